/* SPDX-License-Identifier: MIT */
/* fd:N and fd:IN,OUT, descriptors that the process has been given, and stdio:, which is its standard input
 * and output.
 *
 * To serve on a descriptor that listens is to accept from it, as with socket activation; on one that is
 * connected it is to have that one session. stdio: takes the two descriptors out of the way and leaves
 * /dev/null and standard error in their places: a printf somewhere in the program must not end up among the
 * payloads. */
#include "connect.h"
#include "evidence.h"
#include "listener.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- addresses ---- */

/* Reads a number without a sign; returns what follows it, or NULL. */
static const char *parse_number(const char *s, int *ret) {
    int number = 0;
    const char *at = s;
    for (; *at >= '0' && *at <= '9' && number < 1000000; at++) number = number * 10 + (*at - '0');
    *ret = number;
    return at == s ? NULL : at;
}

static int fd_parse(const char *rest, net_address *a, net_text *why) {
    const char *at = parse_number(rest, &a->fds[0]);
    a->fds[1] = a->fds[0];
    if (at && *at == ',') at = parse_number(at + 1, &a->fds[1]);
    if (at && *at == '\0') return CHOIR_OK;
    choiri_net_text_add(why, "\"%s\" is neither a descriptor's number nor two, as in 3,4", rest);
    return CHOIR_ERR_ADDRESS;
}

static int stdio_parse(const char *rest, net_address *a, net_text *why) {
    a->fds[0] = STDIN_FILENO;
    a->fds[1] = STDOUT_FILENO;
    if (*rest == '\0') return CHOIR_OK;
    choiri_net_text_add(why, "nothing may follow \"stdio:\", found \"%s\"", rest);
    return CHOIR_ERR_ADDRESS;
}

/* ---- the descriptors ---- */

/* A regular file never says when it is ready. */
static bool can_wait(mode_t mode) {
    return S_ISSOCK(mode) || S_ISFIFO(mode) || S_ISCHR(mode);
}

static int check_open(choir_loop *loop, const int fds[2]) {
    struct stat st;
    for (int i = 0; i < 2; i++) {
        if (fstat(fds[i], &st) != 0)
            return choiri_net_fail(loop, CHOIR_ERR_ADDRESS, "descriptor %d: %s", fds[i], strerror(errno));
        if (!can_wait(st.st_mode))
            return choiri_net_fail(loop, CHOIR_ERR_ADDRESS,
                                   "descriptor %d is neither a socket nor a pipe nor a device", fds[i]);
    }
    return CHOIR_OK;
}

/* Moves standard input and output to other descriptors. */
static int move_away(choir_loop *loop, int fds[2]) {
    int status = check_open(loop, fds);
    if (status != CHOIR_OK) return status;
    int in = fcntl(fds[0], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int out = fcntl(fds[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (in < 0 || out < 0 || null < 0) {
        int error = errno;
        if (in >= 0) close(in);
        if (out >= 0) close(out);
        if (null >= 0) close(null);
        return choiri_net_fail(loop, CHOIR_ERR_IO, "standard input and output: %s", strerror(error));
    }
    dup2(null, fds[0]);
    if (dup2(STDERR_FILENO, fds[1]) < 0) dup2(null, fds[1]);
    close(null);
    fds[0] = in;
    fds[1] = out;
    return CHOIR_OK;
}

/* ---- connecting and listening ---- */

static int fd_begin(net_link *link) {
    return check_open(link->loop, link->connect->address.fds);
}

static void fd_connect(net_link *link) {
    net_connect *c = link->connect;
    choir_stream *stream;
    int status = choiri_net_raw_new(link->loop, c->address.scheme, c->address.fds, &stream);
    if (status != CHOIR_OK) {
        choiri_net_connect_failed(link, CHOIR_ERR_CONNECT, "%s: %s", c->url,
                                  status == CHOIR_ERR_IO ? strerror(errno) : choir_status_text(status));
        return;
    }
    choiri_net_stream_link_set(link, stream);
    choiri_net_connect_done(link);
}

/* Only now: a client that is freed before its first step has taken nothing. */
static void stdio_connect(net_link *link) {
    choir_loop *loop = link->loop;
    int status = move_away(loop, link->connect->address.fds);
    if (status == CHOIR_OK)
        fd_connect(link);
    else
        choiri_net_connect_failed(link, CHOIR_ERR_CONNECT, "%s", loop->error.data);
}

static bool is_listening(int fd) {
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

static int fd_listen(net_listener *l) {
    int *fds = l->address.fds, status = check_open(l->loop, fds);
    if (status != CHOIR_OK) return status;
    if (fds[0] == fds[1])
        snprintf(l->url, sizeof l->url, "fd:%d", fds[0]);
    else
        snprintf(l->url, sizeof l->url, "fd:%d,%d", fds[0], fds[1]);
    if (!is_listening(fds[0])) {
        l->connected = true;
        return CHOIR_OK;
    }
    if (fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) | O_NONBLOCK) != 0)
        return choiri_net_fail(l->loop, CHOIR_ERR_LISTEN, "%s: %s", l->url, strerror(errno));
    l->fd = fds[0];
    return CHOIR_OK;
}

static int stdio_listen(net_listener *l) {
    int status = move_away(l->loop, l->address.fds);
    if (status != CHOIR_OK) return status;
    snprintf(l->url, sizeof l->url, "stdio:");
    l->connected = true;
    return CHOIR_OK;
}

static void stdio_unlisten(net_listener *l, bool forked) {
    (void)forked;
    for (int i = 0; i < 2 && l->connected; i++) close(l->address.fds[i]);
}

/* ---- links ---- */

/* What kind of socket it is, if it is one, nobody has said. */
static void fd_evidence(int fd, net_evidence *evidence) {
    int family = AF_UNSPEC;
    socklen_t len = sizeof family;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) != 0) return;
    const net_scheme *like = family == AF_UNIX ? &choiri_net_scheme_local : &choiri_net_scheme_tcp;
    like->evidence(fd, evidence);
}

const net_scheme choiri_net_scheme_fd = {
    .name = "fd",
    .form = "fd:number",
    .links = &choiri_net_stream_links,
    .parse = fd_parse,
    .begin = fd_begin,
    .connect = fd_connect,
    .listen = fd_listen,
    .evidence = fd_evidence,
};

const net_scheme choiri_net_scheme_stdio = {
    .name = "stdio",
    .form = "stdio:",
    .links = &choiri_net_stream_links,
    .parse = stdio_parse,
    .begin = fd_begin,
    .connect = stdio_connect,
    .listen = stdio_listen,
    .unlisten = stdio_unlisten,
    .evidence = fd_evidence,
};
