/* SPDX-License-Identifier: MIT */
/* The core in a loop of one's own: libchoir without libchoir-net, one call over one socket.
 * usage: own-loop PORT
 *
 * What a host does is in turn(). The rest is what any program with a socket has. */
#include "calculator.h"

#include <choir/choir.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef struct host {
    int fd;
    choir_session *session;
    choir_attachment *link;
    uint8_t input[65536];
    size_t at, len; /* input[at, len) was read and not taken yet */
    bool over;
} host;

static choir_time now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (choir_time)t.tv_sec * CHOIR_SECOND + (choir_time)t.tv_nsec;
}

static void handle(host *h, const choir_event *e) {
    if (e->kind == CHOIR_EVENT_CALL_DONE && calculator_ok_add(e))
        printf("2 + 3 = %" PRId64 "\n", *calculator_ok_add(e));
    else if (e->kind == CHOIR_EVENT_CALL_DONE)
        printf("%s: %.*s\n", choir_outcome_text(e->outcome), CHOIR_STR_ARGS(e->text));
    else if (e->kind == CHOIR_EVENT_SESSION_CLOSED)
        h->over = true;
    if (e->kind == CHOIR_EVENT_CALL_DONE) choir_session_close(h->session, now());
}

/* How long poll may sleep, in milliseconds, rounded up. */
static int patience(const host *h) {
    choir_time link = choir_attachment_deadline(h->link), session = choir_session_deadline(h->session);
    choir_time due = link < session ? link : session, t = now();
    if (due == CHOIR_TIME_NEVER) return -1;
    return due <= t ? 0 : (int)((due - t) / CHOIR_MILLISECOND + 1);
}

static void turn(host *h) {
    const choir_event *e;
    choir_iov out[16];
    uint32_t interest = choir_attachment_interest(h->link);
    bool wants = (interest & CHOIR_WANTS_INPUT) && h->at == h->len;
    struct pollfd p = {.fd = h->fd,
                       .events = (short)((wants ? POLLIN : 0) | (interest & CHOIR_HAS_OUTPUT ? POLLOUT : 0))};
    poll(&p, 1, h->at < h->len ? 0 : patience(h));

    /* Read first, so that what has arrived counts as life. */
    if (wants && (p.revents & (POLLIN | POLLHUP | POLLERR))) {
        ssize_t n = read(h->fd, h->input, sizeof h->input);
        if (n <= 0) choir_attachment_closed(h->link, CHOIR_ERR_LINK_LOST, CHOIR_STR("end of stream"), now());
        h->at = 0;
        h->len = n > 0 ? (size_t)n : 0;
    }
    /* One payload at a time, and all its events before the next. */
    for (size_t used = 1; h->at < h->len && used > 0; h->at += used) {
        used = 0;
        choir_attachment_receive(h->link, h->input + h->at, h->len - h->at, NULL, &used, now());
        while ((e = choir_session_poll(h->session))) handle(h, e);
    }
    /* Time passes. */
    choir_attachment_advance(h->link, now());
    choir_session_advance(h->session, now());
    while ((e = choir_session_poll(h->session))) handle(h, e);
    /* Write what is there; the link says how much it took. */
    size_t n = choir_attachment_peek(h->link, out, 16);
    ssize_t sent = n > 0 ? writev(h->fd, (const struct iovec *)(const void *)out, (int)n) : 0;
    if (sent > 0) choir_attachment_consume(h->link, (size_t)sent, now());
}

/* ---- what the core asks of its host ---- */

static void *host_alloc(void *ctx, size_t size) {
    (void)ctx;
    return malloc(size);
}
static void *host_realloc(void *ctx, void *ptr, size_t old_size, size_t size) {
    (void)ctx, (void)old_size;
    return realloc(ptr, size);
}
static void host_free(void *ctx, void *ptr, size_t size) {
    (void)ctx, (void)size;
    free(ptr);
}
static int host_random(void *ctx, void *out, size_t len) {
    (void)ctx;
    return getrandom(out, len, 0) == (ssize_t)len ? 0 : -1;
}

static void check(int status, const char *what) {
    if (status == CHOIR_OK) return;
    fprintf(stderr, "%s: %s\n", what, choir_status_text(status));
    exit(1);
}

int main(int argc, char **argv) {
    static host h;
    choir_env *env;
    choir_env_options env_options;
    choir_session_options options;
    choir_conn_options root;
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    if (argc != 2) return 2;
    peer.sin_port = htons((uint16_t)atoi(argv[1]));
    h.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(h.fd, (const struct sockaddr *)&peer, sizeof peer) != 0) {
        perror("connect");
        return 1;
    }
    choir_env_options_init(&env_options);
    env_options.allocator = (choir_allocator){host_alloc, host_realloc, host_free, NULL};
    env_options.random = host_random;
    check(choir_env_new(&env_options, &env), "environment");
    choir_session_options_init(&options);
    choir_conn_options_init(&root);
    root.call = &calculator_service;
    options.root = &root;
    check(choir_session_new(env, &options, &h.session, now()), "session");
    check(choir_attachment_new_initiator(env, NULL, h.session, &h.link, now()), "attachment");
    check(calculator_call_add(h.session, choir_session_root(h.session), 2, 3, NULL, NULL, now()), "call");
    while (!h.over) turn(&h);
    choir_session_free(h.session);
    choir_env_free(env);
    close(h.fd);
    return 0;
}
