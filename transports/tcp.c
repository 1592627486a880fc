/* SPDX-License-Identifier: MIT */
/* tcp://host:port.
 *
 * Strict on purpose: numeric hosts are read by inet_pton, not by the historical rules that take 127.1 or
 * 0x7f000001 for an address, so whatever looks like a name is looked up as one. */
#include "connect.h"
#include "evidence.h"
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* How long an answer with addresses of one family waits for the other (RFC 8305 waits 50 ms for the preferred
 * one). */
#define OTHER_FAMILY (250 * CHOIR_MILLISECOND)

/* ---- addresses ---- */

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* The characters of a host name: what no resolver would take is an error here, not one second later. */
static bool is_name(const char *s) {
    for (; *s; s++)
        if (!is_name_char(*s)) return false;
    return true;
}

static int parse_port(const char *s, uint16_t *ret_port, net_text *why) {
    uint32_t port = 0;
    size_t digits = 0;
    for (; s[digits] >= '0' && s[digits] <= '9' && digits < 6; digits++)
        port = port * 10 + (uint32_t)(s[digits] - '0');
    if (digits == 0) {
        choiri_net_text_add(why, "the port is missing or not a number: \"%s\"", s);
        return CHOIR_ERR_ADDRESS;
    }
    if (s[digits] >= '0' && s[digits] <= '9') port = UINT32_MAX;
    if (port > UINT16_MAX) {
        choiri_net_text_add(why, "port %s is over 65535", s);
        return CHOIR_ERR_ADDRESS;
    }
    if (s[digits] != '\0') {
        choiri_net_text_add(why, "nothing may follow the port, found \"%s\"", s + digits);
        return CHOIR_ERR_ADDRESS;
    }
    *ret_port = (uint16_t)port;
    return CHOIR_OK;
}

/* A host in brackets: an IPv6 address, with an interface after % when it is one of a link. */
static int parse_v6(const char *host, uint16_t port, net_sockaddr *ret, net_text *why) {
    char plain[NET_HOST_MAX + 1];
    size_t len = strcspn(host, "%");
    memcpy(plain, host, len);
    plain[len] = '\0';
    memset(ret, 0, sizeof *ret);
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(port);
    if (inet_pton(AF_INET6, plain, &ret->v6.sin6_addr) != 1) {
        choiri_net_text_add(why, "\"%s\" in brackets is not an IPv6 address", host);
        return CHOIR_ERR_ADDRESS;
    }
    if (host[len] == '%') {
        ret->v6.sin6_scope_id = if_nametoindex(host + len + 1);
        if (ret->v6.sin6_scope_id == 0) {
            choiri_net_text_add(why, "there is no network interface \"%s\"", host + len + 1);
            return CHOIR_ERR_ADDRESS;
        }
    }
    return CHOIR_OK;
}

/* Copies the host out of `s` and finds what comes after it, which is where the port's colon must be. */
static int split_host(const char *s, net_address *a, bool *ret_brackets, const char **ret_rest,
                      net_text *why) {
    *ret_brackets = s[0] == '[';
    size_t len = *ret_brackets ? strcspn(++s, "]") : strcspn(s, ":/?#[]");
    if (*ret_brackets && s[len] != ']') {
        choiri_net_text_add(why, "\"[\" without \"]\"");
        return CHOIR_ERR_ADDRESS;
    }
    if (len == 0 || len > NET_HOST_MAX) {
        choiri_net_text_add(why, len == 0 ? "the host is missing" : "the host is longer than a name can be");
        return CHOIR_ERR_ADDRESS;
    }
    memcpy(a->host, s, len);
    a->host[len] = '\0';
    *ret_rest = s + len + (*ret_brackets ? 1 : 0);
    return CHOIR_OK;
}

static int tcp_parse(const char *s, net_address *a, net_text *why) {
    bool brackets;
    const char *rest, *colon = strchr(s, ':');
    if (s[0] != '[' && colon && strchr(colon + 1, ':')) {
        choiri_net_text_add(why, "an IPv6 address needs brackets, as in tcp://[::1]:80");
        return CHOIR_ERR_ADDRESS;
    }
    int status = split_host(s, a, &brackets, &rest, why);
    if (status != CHOIR_OK) return status;
    if (*rest != ':') {
        choiri_net_text_add(why, *rest == '\0' ? "the port is missing" : "expected \":port\" after the host");
        return CHOIR_ERR_ADDRESS;
    }
    status = parse_port(rest + 1, &a->port, why);
    if (status != CHOIR_OK) return status;
    if (brackets) {
        a->numeric = true;
        return parse_v6(a->host, a->port, &a->socket, why);
    }
    struct in_addr v4;
    a->numeric = inet_pton(AF_INET, a->host, &v4) == 1;
    if (a->numeric) {
        memset(&a->socket, 0, sizeof a->socket);
        a->socket.v4 =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(a->port), .sin_addr = v4};
    } else if (!is_name(a->host)) {
        choiri_net_text_add(why, "\"%s\" is neither an address nor a host name", a->host);
        return CHOIR_ERR_ADDRESS;
    }
    return CHOIR_OK;
}

/* localhost and the names below it are this machine (RFC 6761): no hosts file or name server is asked. */
static bool is_localhost(const char *host) {
    static const char name[] = "localhost";
    size_t len = strlen(host), suffix = sizeof name - 1;
    if (len > 0 && host[len - 1] == '.') len--;
    if (len < suffix || strncasecmp(host + len - suffix, name, suffix) != 0) return false;
    return len == suffix || host[len - suffix - 1] == '.';
}

static net_sockaddr loopback_v4(uint16_t port) {
    return (net_sockaddr){
        .v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
}

static net_sockaddr loopback_v6(uint16_t port) {
    return (net_sockaddr){
        .v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
}

/* ---- connecting ---- */

static int tcp_begin(net_link *link) {
    net_connect *c = link->connect;
    choir_loop *loop = link->loop;
    if (c->address.port == 0)
        return choiri_net_fail(loop, CHOIR_ERR_ADDRESS, "\"%s\": port 0 cannot be connected to", c->url);
    if (c->address.numeric) {
        c->found[0] = c->address.socket;
        c->found_len = 1;
        c->searched = true;
        return CHOIR_OK;
    }
    if (is_localhost(c->address.host)) {
        c->found[0] = loopback_v4(c->address.port);
        c->found[1] = loopback_v6(c->address.port);
        c->found_len = 2;
        c->searched = true;
        return CHOIR_OK;
    }
    c->waits_for = "the name was not resolved";
    return choiri_net_result(
        loop, choiri_net_resolve_new(loop, &link->task, c->address.host, c->address.port, &c->resolve));
}

/* Takes what the resolver has found, once that is enough; false while it is not, or when there is nothing. */
static bool search(net_link *link) {
    net_connect *c = link->connect;
    choir_time found_at = choiri_net_resolve_found_at(c->resolve);
    bool enough = choiri_net_resolve_is_done(c->resolve);
    if (!enough && found_at != CHOIR_TIME_NEVER) {
        c->attempt_deadline = found_at + OTHER_FAMILY;
        enough = link->loop->now >= c->attempt_deadline;
    }
    if (!enough) return false;
    c->attempt_deadline = CHOIR_TIME_NEVER;
    c->found_len = choiri_net_resolve_found(c->resolve, c->found);
    c->searched = true;
    if (c->found_len > 0) return true;
    choiri_net_connect_failed(link, CHOIR_ERR_RESOLVE, "cannot resolve \"%s\" of %s: %s", c->address.host,
                              c->url, choiri_net_resolve_error(c->resolve));
    return false;
}

static void tcp_connect(net_link *link) {
    if (link->connect->searched || search(link)) choiri_net_connect_addresses(link);
}

/* ---- listening ---- */

/* Binds and listens; false leaves errno. */
static bool listen_on(int fd, const net_sockaddr *address, net_sockaddr *ret_bound) {
    static const int on = 1;
    socklen_t len = sizeof *ret_bound;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           bind(fd, &address->any, choiri_net_sockaddr_len(address)) == 0 && listen(fd, SOMAXCONN) == 0 &&
           getsockname(fd, &ret_bound->any, &len) == 0;
}

static int tcp_listen(net_listener *listener) {
    const net_address *address = &listener->address;
    net_sockaddr at = address->socket, bound;
    char text[NET_URL_MAX - 8];
    if (!address->numeric) {
        /* A name would have to be looked up, for which there is no time here; this one is known. */
        if (!is_localhost(address->host))
            return choiri_net_fail(listener->loop, CHOIR_ERR_ADDRESS,
                                   "\"%s\": listening needs a numeric address or localhost", address->host);
        at = loopback_v4(address->port);
    }
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0 || !listen_on(fd, &at, &bound)) {
        int error = errno;
        choiri_net_sockaddr_text(&at, text, sizeof text);
        if (fd >= 0) close(fd);
        return choiri_net_fail(listener->loop, CHOIR_ERR_LISTEN, "cannot listen on tcp://%s: %s", text,
                               strerror(error));
    }
    choiri_net_sockaddr_text(&bound, text, sizeof text);
    snprintf(listener->url, sizeof listener->url, "tcp://%s", text);
    listener->fd = fd;
    return CHOIR_OK;
}

/* ---- links ---- */

static void tcp_prepare(int fd) {
    static const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void tcp_evidence(int fd, net_evidence *evidence) {
    net_sockaddr address;
    socklen_t len = sizeof address;
    if (getpeername(fd, &address.any, &len) == 0)
        choiri_net_sockaddr_text(&address, evidence->peer, sizeof evidence->peer);
    len = sizeof address;
    if (getsockname(fd, &address.any, &len) == 0)
        choiri_net_sockaddr_text(&address, evidence->local, sizeof evidence->local);
}

const net_scheme choiri_net_scheme_tcp = {
    .name = "tcp",
    .form = "tcp://host:port",
    .slashes = true,
    .links = &choiri_net_stream_links,
    .parse = tcp_parse,
    .begin = tcp_begin,
    .connect = tcp_connect,
    .listen = tcp_listen,
    .prepare = tcp_prepare,
    .evidence = tcp_evidence,
};
