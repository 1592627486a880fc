/* SPDX-License-Identifier: MIT */
/* Links over TCP.
 *
 * One read per wake-up into the loop's chunk: what did not fit wakes us again, so nobody is read to exhaustion while
 * others wait, and no read is made only to hear EAGAIN. Output is written at once; the descriptor is asked to say when it
 * takes more only after it has refused some. Nothing here ever raises SIGPIPE.
 *
 * Rejected: bufferevents (14 system calls per call instead of 6, and reads of 4 KiB). */
#include "internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define IOV_MAX_USED 64u
/* A lone message of at least this size is sent in two pieces, a small head first: the receiver wakes up and makes room
 * while we are still copying the rest, which nearly doubles the rate of single large messages. */
#define LARGE_MESSAGE (64u << 10)
#define LARGE_HEAD    (8u << 10)

/* choir_iov is made to be an iovec. */
_Static_assert(sizeof(choir_iov) == sizeof(struct iovec) &&
                   offsetof(choir_iov, base) == offsetof(struct iovec, iov_base) &&
                   offsetof(choir_iov, len) == offsetof(struct iovec, iov_len),
               "choir_iov is not laid out like struct iovec");

static void lost(net_link *link, const char *what, int error) {
    char text[160];
    int n = snprintf(text, sizeof text, "%s: %s", what, strerror(error));
    choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, (choir_str){text, n > 0 ? strlen(text) : 0});
}

/* ---- input ---- */

static void tcp_read(net_link *link) {
    choir_loop *loop = link->loop;
    if (link->held || link->rest.len > 0) return;
    choir_chunk *chunk = choiri_net_chunk(loop);
    if (!chunk) {
        choiri_net_link_lost(link, CHOIR_ERR_OUT_OF_MEMORY, CHOIR_STR("no memory to read into"));
        return;
    }
    uint8_t *bytes = choir_chunk_data(chunk);
    ssize_t n = recv(link->fd, bytes, choir_chunk_len(chunk), 0);
    if (n > 0) {
        if (link->state == NET_OPEN) choiri_net_link_feed(link, chunk, bytes, (size_t)n);
    } else if (n == 0) {
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the peer closed the link"));
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        lost(link, "reading failed", errno);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    net_link *link = arg;
    choir_loop *loop = link->loop;
    choiri_net_enter(loop);
    tcp_read(link);
    choiri_net_link_mark(link);
    choiri_net_leave(loop);
}

static void tcp_want(net_link *link, bool input) {
    if (input)
        event_add(&link->read_event, NULL);
    else
        event_del(&link->read_event);
}

/* ---- output ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    net_link *link = arg;
    choir_loop *loop = link->loop;
    choiri_net_enter(loop);
    link->writable = true;
    choiri_net_link_mark(link);
    choiri_net_leave(loop);
}

static void wait_writable(net_link *link, bool wait) {
    link->writable = false;
    if (link->writing == wait) return;
    link->writing = wait;
    if (wait)
        event_add(&link->write_event, NULL);
    else
        event_del(&link->write_event);
}

static size_t total_of(const choir_iov *iov, size_t n) {
    size_t total = 0;
    for (size_t i = 0; i < n; i++) total += iov[i].len;
    return total;
}

/* True when what is offered is one large message and nothing else: its length is in front. */
static bool is_lone_large(const choir_iov *iov, size_t total) {
    if (total < LARGE_MESSAGE || iov[0].len < 4) return false;
    const uint8_t *p = iov[0].base;
    uint64_t len = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
    return len + 4 == total;
}

/* Cuts the segments to `max` bytes; returns how many are left. */
static size_t clip(choir_iov *iov, size_t n, size_t max) {
    for (size_t i = 0; i < n; i++) {
        if (iov[i].len >= max) {
            iov[i].len = max;
            return i + 1;
        }
        max -= iov[i].len;
    }
    return n;
}

static ssize_t write_iov(int fd, choir_iov *iov, size_t n) {
    if (n == 1) return send(fd, iov->base, iov->len, MSG_NOSIGNAL);
    struct msghdr m = {.msg_iov = (struct iovec *)(void *)iov, .msg_iovlen = n};
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

/* A peer that has closed may have said why: that is read before the link is given up. */
static void write_failed(net_link *link, int error) {
    if (link->state == NET_OPEN) tcp_read(link);
    lost(link, "writing failed", error);
}

static void tcp_flush(net_link *link) {
    if (link->writing && !link->writable) return;
    bool idle = !link->writing; /* nothing of what is offered was ever refused: it starts with a message */
    while (link->state == NET_OPEN || link->state == NET_FLUSHING) {
        choir_iov iov[IOV_MAX_USED];
        size_t n = choir_attachment_peek(link->attachment, iov, IOV_MAX_USED);
        if (n == 0) {
            wait_writable(link, false);
            return;
        }
        size_t total = total_of(iov, n);
        if (idle && is_lone_large(iov, total)) {
            n = clip(iov, n, LARGE_HEAD);
            total = LARGE_HEAD;
        }
        idle = false;
        ssize_t written = write_iov(link->fd, iov, n);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            write_failed(link, errno);
            return;
        }
        if (written > 0) choir_attachment_consume(link->attachment, (size_t)written, link->loop->now);
        if (written < 0 || (size_t)written < total) {
            wait_writable(link, true);
            return;
        }
    }
}

/* ---- life ---- */

static void set_fd(net_link *link, int fd) {
    static const int on = 1;
    link->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    event_assign(&link->read_event, link->loop->base, fd, EV_READ | EV_PERSIST, on_readable, link);
    event_assign(&link->write_event, link->loop->base, fd, EV_WRITE | EV_PERSIST, on_writable, link);
}

void choiri_net_tcp_abandon(net_link *link) {
    if (link->fd < 0) return;
    event_del(&link->read_event);
    event_del(&link->write_event);
    close(link->fd);
    link->fd = -1;
    link->writing = link->writable = false;
}

static void tcp_shut(net_link *link) {
    wait_writable(link, false);
    shutdown(link->fd, SHUT_WR);
}

const net_ops choiri_net_tcp = {
    .framing = CHOIR_FRAMING_U32LE,
    .flush = tcp_flush,
    .want = tcp_want,
    .read = tcp_read,
    .shut = tcp_shut,
    .close = choiri_net_tcp_abandon,
};

/* ---- connecting and listening ---- */

int choiri_net_tcp_connect(net_link *link, const net_sockaddr *to) {
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) return errno;
    set_fd(link, fd);
    if (connect(fd, &to->any, choiri_net_sockaddr_len(to)) == 0) return 0;
    int error = errno == EINTR ? EINPROGRESS : errno; /* interrupted, it goes on by itself */
    if (error == EINPROGRESS)
        wait_writable(link, true);
    else
        choiri_net_tcp_abandon(link);
    return error;
}

int choiri_net_tcp_connected(net_link *link) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
    if (error == 0)
        wait_writable(link, false);
    else
        choiri_net_tcp_abandon(link);
    return error;
}

void choiri_net_tcp_adopt(net_link *link, int fd) {
    set_fd(link, fd);
}

int choiri_net_tcp_accept(int fd) {
    return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Binds and listens; false leaves errno. */
static bool listen_on(int fd, const net_sockaddr *address, net_sockaddr *ret_bound) {
    static const int on = 1;
    socklen_t len = sizeof *ret_bound;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           bind(fd, &address->any, choiri_net_sockaddr_len(address)) == 0 && listen(fd, SOMAXCONN) == 0 &&
           getsockname(fd, &ret_bound->any, &len) == 0;
}

int choiri_net_tcp_listen(choir_loop *loop, const net_address *address, int *ret_fd,
                          net_sockaddr *ret_bound) {
    net_sockaddr at = address->socket;
    if (!address->numeric) {
        /* A name would have to be looked up, for which there is no time here; this one is known. */
        if (strcmp(address->host, "localhost") != 0)
            return choiri_net_fail(loop, CHOIR_ERR_ADDRESS,
                                   "\"%s\": listening needs a numeric address or localhost", address->host);
        at = (net_sockaddr){.v4 = {.sin_family = AF_INET,
                                   .sin_port = htons(address->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    }
    net_sockaddr bound;
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0 || !listen_on(fd, &at, &bound)) {
        int error = errno;
        char text[NET_URL_MAX];
        choiri_net_sockaddr_text(&at, text, sizeof text);
        if (fd >= 0) close(fd);
        return choiri_net_fail(loop, CHOIR_ERR_LISTEN, "cannot listen on tcp://%s: %s", text,
                               strerror(error));
    }
    *ret_fd = fd;
    *ret_bound = bound;
    return CHOIR_OK;
}
