/* SPDX-License-Identifier: MIT */
/* Bytes between a client and a server that the test has in its hands: split, joined, cut, or not passed on.
 * */
#ifndef TEST_RELAY_H
#define TEST_RELAY_H

#include "test_world.h"

#include <fcntl.h>

/* One end of the relay: what it reads from and writes to, perhaps the same descriptor. */
typedef struct relay_end {
    int in, out;
} relay_end;

typedef struct relay {
    int listener;      /* for the client; -1: it is connected already */
    relay_end ends[2]; /* ends[0] is the client's */
    size_t chunk;      /* bytes passed at a time */
    size_t left;       /* bytes until it cuts; SIZE_MAX is never */
    bool half;         /* it cuts one direction only: the client's end of stream */
    bool deaf;         /* it takes nothing from the server */
    size_t passed;
    char bytes[2][65536]; /* read from an end, not yet written to the other */
    size_t at[2], len[2];
} relay;

static inline int raw_connect(const char *url) {
    unsigned port = 0;
    cr_assert_eq(sscanf(url, "tcp://127.0.0.1:%u", &port), 1);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* For a client that connects to *url, over TCP. */
static inline void relay_begin(relay *r, const char *to, char url[64]) {
    uint16_t port;
    r->listener = mute_listener(4, &port);
    snprintf(url, 64, "tcp://127.0.0.1:%u", port);
    r->ends[0] = (relay_end){-1, -1};
    r->ends[1].in = r->ends[1].out = raw_connect(to);
}

static inline void relay_close(relay_end *end) {
    if (end->in >= 0) close(end->in);
    if (end->out >= 0 && end->out != end->in) close(end->out);
    *end = (relay_end){-1, -1};
}

static inline void relay_cut(relay *r) {
    for (int i = 0; i < 2; i++) relay_close(&r->ends[i]);
}

static inline void relay_end_all(relay *r) {
    relay_cut(r);
    if (r->listener >= 0) close(r->listener);
}

/* What poll says of it at once. */
static inline short relay_poll(int fd, short what) {
    struct pollfd p = {fd, what, 0};
    return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

/* Without blocking, and without SIGPIPE: a pipe that nobody reads is an error to poll. */
static inline ssize_t relay_write(int fd, const char *bytes, size_t len) {
    ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0 || errno != ENOTSOCK) return n;
    short ready = relay_poll(fd, POLLOUT);
    errno = EAGAIN;
    if (ready == 0) return -1;
    errno = EPIPE;
    if (ready & POLLERR) return -1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return write(fd, bytes, len);
}

/* Writes what waits for the other end; true when nothing is left of it. */
static inline bool relay_flush(relay *r, int from) {
    int to = r->ends[1 - from].out;
    while (r->at[from] < r->len[from]) {
        ssize_t n = relay_write(to, r->bytes[from] + r->at[from], r->len[from] - r->at[from]);
        if (n < 0 && errno == EAGAIN) return false;
        if (n < 0) return true; /* the read of that end will tell */
        r->at[from] += (size_t)n;
    }
    return true;
}

/* Ends the direction to the server. */
static inline void relay_shut(relay *r) {
    relay_end *end = &r->ends[1];
    if (end->out == end->in) {
        shutdown(end->out, SHUT_WR);
        return;
    }
    close(end->out);
    end->out = -1;
}

static inline void relay_step(relay *r) {
    if (r->ends[0].in < 0 && r->ends[1].in >= 0) {
        if (relay_poll(r->listener, POLLIN)) r->ends[0].in = r->ends[0].out = accept(r->listener, NULL, NULL);
        return;
    }
    for (int i = 0; i < (r->deaf ? 1 : 2) && r->ends[0].in >= 0; i++) {
        if (!relay_flush(r, i) || !relay_poll(r->ends[i].in, POLLIN)) continue;
        size_t want = r->chunk < r->left ? r->chunk : r->left;
        ssize_t n = read(r->ends[i].in, r->bytes[i], want);
        if (n <= 0) {
            relay_cut(r);
            return;
        }
        r->at[i] = 0;
        r->len[i] = (size_t)n;
        relay_flush(r, i);
        r->passed += (size_t)n;
        if (r->left != SIZE_MAX) r->left -= (size_t)n;
        if (r->left > 0) continue;
        if (r->half) {
            relay_shut(r);
            r->left = SIZE_MAX;
            r->half = false;
            continue;
        }
        relay_cut(r);
        return;
    }
}

#endif
