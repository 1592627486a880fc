/* SPDX-License-Identifier: MIT */
/* Addresses as URLs: parsing, with errors that say what is wrong, and the way back to text.
 *
 * Strict on purpose: numeric hosts are read by inet_pton, not by the historical rules that take 127.1 or 0x7f000001
 * for an address, so whatever looks like a name is looked up as one. No state. */
#include "internal.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void choiri_net_text_add(net_text *t, const char *format, ...) {
    size_t room = sizeof t->data - t->len;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(t->data + t->len, room, format, arguments);
    va_end(arguments);
    if (n < 0) return;
    if ((size_t)n < room) {
        t->len += (size_t)n;
        return;
    }
    t->len = sizeof t->data - 1;
    memcpy(t->data + t->len - 3, "...", 4);
}

socklen_t choiri_net_sockaddr_len(const net_sockaddr *address) {
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

void choiri_net_sockaddr_text(const net_sockaddr *address, char *ret_text, size_t size) {
    char host[INET6_ADDRSTRLEN];
    if (address->any.sa_family != AF_INET6) {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        snprintf(ret_text, size, "%s:%u", host, (unsigned)ntohs(address->v4.sin_port));
        return;
    }
    char scope[IF_NAMESIZE + 1] = "";
    inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
    if (address->v6.sin6_scope_id != 0 && if_indextoname(address->v6.sin6_scope_id, scope + 1))
        scope[0] = '%';
    snprintf(ret_text, size, "[%s%s]:%u", host, scope, (unsigned)ntohs(address->v6.sin6_port));
}

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

static int parse_tcp(const char *s, net_address *a, net_text *why) {
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

static int parse_memory(const char *s, net_address *a, net_text *why) {
    size_t len = strlen(s);
    if (len == 0 || len > NET_HOST_MAX) {
        choiri_net_text_add(why, len == 0 ? "the name is missing" : "the name has more than 253 bytes");
        return CHOIR_ERR_ADDRESS;
    }
    memcpy(a->host, s, len + 1);
    return CHOIR_OK;
}

int choiri_net_address_parse(const char *url, net_address *ret_address, net_text *ret_why) {
    *ret_why = (net_text){.len = 0};
    *ret_address = (net_address){.scheme = NET_TCP};
    const char *rest = strstr(url, "://");
    size_t len = rest ? (size_t)(rest - url) : 0;
    int status = CHOIR_ERR_ADDRESS;
    net_text why = {.len = 0};
    if (!rest) {
        choiri_net_text_add(&why, "it has no scheme");
    } else if (len == 3 && memcmp(url, "tcp", 3) == 0) {
        status = parse_tcp(rest + 3, ret_address, &why);
    } else if (len == 3 && memcmp(url, "mem", 3) == 0) {
        ret_address->scheme = NET_MEMORY;
        status = parse_memory(rest + 3, ret_address, &why);
    } else {
        choiri_net_text_add(&why, "the scheme is not known");
    }
    if (status != CHOIR_OK)
        choiri_net_text_add(ret_why,
                            "\"%.200s\" is not an address: %s; expected tcp://host:port or mem://name", url,
                            why.data);
    return status;
}
