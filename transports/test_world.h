/* SPDX-License-Identifier: MIT */
/* What the tests of libchoir-net share: a world is a loop with a counting allocator, a server of the Testbed
 * service and clients, and counts of what called back. world_end frees the loop and asserts that no byte and
 * no descriptor is left. */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include "choir/net.h"
#include "testbed/testbed.h"
#include "testing/alloc.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How long to wait for what must come: far longer than a busy machine needs. A deadline is tested for not
 * coming early and for not being the default; how late it comes depends on the machine. */
#define PATIENCE        (30 * CHOIR_SECOND)
#define DEFAULT_TIMEOUT (10 * CHOIR_SECOND) /* of connections and handshakes */
#define MiB             (1u << 20)

/* Names of sockets are those of the process, since test programs run beside each other, and of the moment: a
 * process that was killed may have had the same number, and left its socket. */
static char urls[5][64] = {"tcp://127.0.0.1:0", "tcp://[::1]:0", "mem://test"};
#define URLS (sizeof urls / sizeof *urls)

__attribute__((constructor)) static void name_sockets(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(urls[3], sizeof urls[3], "unix:///tmp/choir-test-%d-%lx.sock", (int)getpid(), t.tv_nsec);
    snprintf(urls[4], sizeof urls[4], "unix-abstract:choir-test-%d-%lx", (int)getpid(), t.tv_nsec);
}

typedef struct world {
    test_alloc memory;
    choir_env_options env; /* of the loop */
    int fds;               /* before the loop was made */
    choir_loop *loop;
    choir_server *server;
    choir_client *client;
    /* client */
    uint32_t opened, closed;
    int status;
    char text[512];
    bool writable;
    /* calls, by outcome */
    uint32_t done, outcomes[16];
    int call_status; /* of the last one, */
    char call_text[512];
    uint64_t bytes; /* echoed */
    /* server */
    uint32_t sessions_opened, sessions_closed, requests, cancelled, ended;
    uint64_t session;                        /* the last one that opened */
    int session_status;                      /* of the last one that closed */
    bool invalid;                            /* echo finds its arguments invalid */
    void *user_data;                         /* of the last request that was cancelled ... */
    char reason[64];                         /* ... and why */
    uint32_t last_outcome;                   /* of a request */
    size_t server_metadata, client_metadata; /* entries in the peer's Hello */
    bool keep;                               /* handlers keep the responder */
    choir_responder kept[64];
    const void *kept_args[64];
    uint32_t kept_len;
    /* What a callback shall do, once. */
    void (*in_handler)(struct world *w);
    void (*in_done)(struct world *w);
    void (*in_opened)(struct world *w);
    void (*in_closed)(struct world *w);
    int result;       /* of what it did */
    uint32_t to_send; /* calls that pump still has to make */
    uint8_t *blob;
} world;

static inline choir_time clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (choir_time)t.tv_sec * CHOIR_SECOND + (choir_time)t.tv_nsec;
}

static inline int open_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

/* Turns the loop until the condition holds. */
#define until(w, condition)                                                                                  \
    do {                                                                                                     \
        choir_time until_end = clock_now() + PATIENCE;                                                       \
        while (!(condition)) {                                                                               \
            cr_assert_lt(clock_now(), until_end, "waited for " #condition);                                  \
            cr_assert_eq(choir_loop_turn((w)->loop, 20 * CHOIR_MILLISECOND), CHOIR_OK);                      \
        }                                                                                                    \
    } while (0)

static inline void turn_for(world *w, choir_duration span) {
    choir_time end = clock_now() + span;
    do cr_assert_eq(choir_loop_turn(w->loop, 5 * CHOIR_MILLISECOND), CHOIR_OK);
    while (clock_now() < end);
}

static inline void once(world *w, void (**what)(world *w)) {
    void (*act)(world * w) = *what;
    *what = NULL;
    if (act) act(w);
}

/* ---- server ---- */

static inline bool kept(world *w, choir_responder to, const void *args) {
    w->requests++;
    once(w, &w->in_handler);
    if (!w->keep) return false;
    cr_assert_lt(w->kept_len, 64);
    w->kept_args[w->kept_len] = args;
    w->kept[w->kept_len++] = to;
    return true;
}

static inline void on_echo(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    world *w = ctx;
    cr_assert_eq(request->kind, CHOIR_EVENT_REQUEST);
    if (kept(w, to, args)) return;
    if (w->invalid) {
        choir_respond_invalid(to, CHOIR_STR("not today"));
        return;
    }
    w->result = choir_respond(to, &((const struct testbed_echo_args *)args)->message);
    if (w->result == CHOIR_ERR_NO_MEMORY) choir_respond_drop(to); /* it would wait for another answer */
}

static inline void on_echo_bytes(void *ctx, choir_responder to, const void *args,
                                 const choir_event *request) {
    (void)request;
    if (!kept(ctx, to, args)) choir_respond(to, &((const struct testbed_echo_bytes_args *)args)->data);
}

static inline void on_divide(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    (void)request;
    const struct testbed_divide_args *a = args;
    uint32_t error = TESTBED_MATH_ERROR_DIVISION_BY_ZERO;
    if (kept(ctx, to, args)) return;
    if (a->divisor == 0) {
        cr_assert_eq(choir_respond_error(to, &error), CHOIR_OK);
        cr_assert_eq(choir_respond_error(to, &error), CHOIR_ERR_NOT_FOUND);
        return;
    }
    int64_t *quotient =
        choir_request_alloc(choir_responder_session(to), to.request, sizeof *quotient, sizeof *quotient);
    *quotient = a->dividend / a->divisor;
    cr_assert_eq(choir_respond(to, quotient), CHOIR_OK);
}

static inline void on_cancelled(void *ctx, choir_responder request, const choir_event *event) {
    world *w = ctx;
    cr_assert_eq(event->kind, CHOIR_EVENT_REQUEST_CANCELLED);
    cr_assert_eq(event->request.v, request.request.v);
    snprintf(w->reason, sizeof w->reason, "%.*s", (int)event->text.len, event->text.data);
    w->user_data = event->user_data;
    w->cancelled++;
}

static inline void on_ended(void *ctx, choir_responder request, const choir_event *event) {
    world *w = ctx;
    cr_assert_eq(event->kind, CHOIR_EVENT_REQUEST_DONE);
    cr_assert_eq(event->request.v, request.request.v);
    w->last_outcome = event->outcome;
    w->ended++;
}

static inline void on_session_opened(void *ctx, uint64_t session, const choir_event *event) {
    world *w = ctx;
    cr_assert_neq(session, 0);
    cr_assert_eq(event->kind, CHOIR_EVENT_SESSION_ESTABLISHED);
    cr_assert_eq(event->evidence, choir_session_evidence(choir_loop_session(w->loop, session)));
    w->server_metadata = event->metadata.count;
    w->session = session;
    w->sessions_opened++;
}

static inline void on_session_closed(void *ctx, uint64_t session, const choir_event *event) {
    (void)session;
    world *w = ctx;
    cr_assert_eq(event->kind, CHOIR_EVENT_SESSION_CLOSED);
    cr_assert(choir_status_is_fatal(event->status));
    w->session_status = event->status;
    w->sessions_closed++;
}

static choir_handler *const handlers[TESTBED_METHODS] = {
    [TESTBED_ECHO] = on_echo, [TESTBED_ECHO_BYTES] = on_echo_bytes, [TESTBED_DIVIDE] = on_divide};

static inline choir_server_options server_options(world *w) {
    choir_server_options o;
    choir_server_options_init(&o);
    o.services[0] = (choir_served){.service = &testbed_service, .handlers = handlers, .ctx = w};
    o.services_len = 1;
    o.ctx = w;
    o.cancelled = on_cancelled;
    o.ended = on_ended;
    o.opened = on_session_opened;
    o.closed = on_session_closed;
    return o;
}

static inline void serve(world *w, const char *url) {
    choir_server_options o = server_options(w);
    int status = choir_listen(w->loop, url, &o, &w->server);
    cr_assert_eq(status, CHOIR_OK, "%s: %.*s", url, (int)choir_loop_error(w->loop).len,
                 choir_loop_error(w->loop).data);
    cr_assert_eq(choir_loop_error(w->loop).len, 0);
}

/* ---- client ---- */

static inline void on_opened(void *ctx, choir_client *client, const choir_event *event) {
    world *w = ctx;
    cr_assert_eq(event->kind, CHOIR_EVENT_SESSION_ESTABLISHED);
    cr_assert_eq(event->conn.v, choir_client_conn(client).v);
    w->client_metadata = event->metadata.count;
    cr_assert_eq(w->closed, 0);
    w->opened++;
    once(w, &w->in_opened);
}

static inline void on_closed(void *ctx, choir_client *client, const choir_event *event) {
    world *w = ctx;
    cr_assert_eq(event->kind, CHOIR_EVENT_SESSION_CLOSED);
    cr_assert_neq(event->status, CHOIR_OK);
    cr_assert_eq(choir_client_status(client), event->status);
    w->closed++;
    w->status = event->status;
    snprintf(w->text, sizeof w->text, "%.*s", (int)event->text.len, event->text.data);
    once(w, &w->in_closed);
}

static inline void pump(world *w);

static inline void on_writable(void *ctx, choir_client *client) {
    (void)client;
    ((world *)ctx)->writable = true;
    pump(ctx);
}

static inline choir_client_options client_options(world *w) {
    choir_client_options o;
    choir_client_options_init(&o);
    o.service = &testbed_service;
    o.ctx = w;
    o.opened = on_opened;
    o.closed = on_closed;
    o.writable = on_writable;
    return o;
}

static inline void join(world *w, const char *url) {
    choir_client_options o = client_options(w);
    cr_assert_eq(choir_connect(w->loop, url, &o, &w->client), CHOIR_OK);
}

static inline void count_done(world *w, const choir_event *done) {
    cr_assert_eq(done->kind, CHOIR_EVENT_CALL_DONE);
    cr_assert_lt(done->outcome, 16);
    snprintf(w->text, sizeof w->text, "%.*s", (int)done->text.len, done->text.data);
    snprintf(w->call_text, sizeof w->call_text, "%s", w->text);
    w->call_status = done->status;
    if (done->status != CHOIR_OK && done->status != CHOIR_ERR_SHUTDOWN && w->memory.failed == 0)
        cr_assert_gt(done->text.len, 0, "nothing is said about %s", choir_status_name(done->status));
    cr_assert_eq(w->closed, 0, "a call ended after the client");
    w->done++;
    w->outcomes[done->outcome]++;
    once(w, &w->in_done);
}

static inline void on_echoed(void *ctx, const choir_event *done) {
    if (done->outcome == CHOIR_OUTCOME_OK) {
        const choir_str *s = done->value;
        cr_assert_eq(s->len, 5);
        cr_assert_eq(memcmp(s->data, "hello", 5), 0);
    }
    count_done(ctx, done);
}

static inline int try_echo(world *w, choir_call_id *ret_call) {
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    return choir_client_call(w->client, TESTBED_ECHO, &args, NULL, on_echoed, w, ret_call);
}

static inline choir_call_id echo(world *w) {
    choir_call_id call;
    cr_assert_eq(try_echo(w, &call), CHOIR_OK);
    return call;
}

/* Makes as many of the calls that are to be made as are taken. */
static inline void pump(world *w) {
    while (w->to_send > 0) {
        int status = try_echo(w, NULL);
        if (status == CHOIR_ERR_BLOCKED) return;
        cr_assert_eq(status, CHOIR_OK);
        w->to_send--;
    }
}

static inline void on_divided(void *ctx, const choir_event *done) {
    world *w = ctx;
    if (done->outcome == CHOIR_OUTCOME_OK) cr_assert_eq(*(const int64_t *)done->value, -21);
    if (done->outcome == CHOIR_OUTCOME_USER_ERROR)
        cr_assert_eq(*(const uint32_t *)done->value, TESTBED_MATH_ERROR_DIVISION_BY_ZERO);
    count_done(w, done);
}

static inline void divide(world *w, int64_t dividend, int64_t divisor) {
    struct testbed_divide_args args = {dividend, divisor};
    cr_assert_eq(choir_client_call(w->client, TESTBED_DIVIDE, &args, NULL, on_divided, w, NULL), CHOIR_OK);
}

static inline void on_blob(void *ctx, const choir_event *done) {
    world *w = ctx;
    if (done->outcome == CHOIR_OUTCOME_OK) {
        const choir_bytes *b = done->value;
        cr_assert_eq(memcmp(b->data, w->blob, b->len), 0);
        w->bytes += b->len;
    }
    count_done(w, done);
}

static inline int echo_blob(world *w, size_t len) {
    struct testbed_echo_bytes_args args = {{w->blob, len}};
    return choir_client_call(w->client, TESTBED_ECHO_BYTES, &args, NULL, on_blob, w, NULL);
}

static inline uint8_t *make_blob(size_t len) {
    uint8_t *blob = malloc(len);
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) blob[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    return blob;
}

/* ---- worlds ---- */

static inline void loop_options(world *w, choir_loop_options *o) {
    choir_loop_options_init(o);
    choir_env_options_init(&w->env);
    w->env.allocator = test_allocator(&w->memory);
    o->env = &w->env;
}

/* `base`: the host's, NULL for one of the loop's own. */
static inline void world_begin_on(world *w, struct event_base *base) {
    *w = (world){.fds = open_fds()};
    choir_loop_options o;
    loop_options(w, &o);
    o.base = base;
    cr_assert_eq(choir_loop_new(&o, &w->loop), CHOIR_OK);
}

static inline void world_begin(world *w) {
    world_begin_on(w, NULL);
}

static inline void world_end(world *w) {
    choir_loop_free(w->loop);
    cr_assert_eq(w->memory.bytes, 0, "%llu bytes are left", (unsigned long long)w->memory.bytes);
    cr_assert_eq(w->memory.blocks, 0);
    cr_assert_eq(open_fds(), w->fds);
    cr_assert_neq(access(urls[3] + strlen("unix://"), F_OK), 0, "the socket is left");
    free(w->blob);
}

/* A loop, a server, an open client. */
static inline void world_open(world *w, const char *url) {
    world_begin(w);
    serve(w, url);
    join(w, choir_server_url(w->server));
    until(w, w->opened == 1 && w->sessions_opened == 1);
}

static inline void on_each(void (*scenario)(world *w, const char *url)) {
    for (size_t i = 0; i < URLS; i++) {
        world *w = calloc(1, sizeof *w);
        scenario(w, urls[i]);
        free(w);
    }
}

static inline void count_closed(void *ctx, choir_client *client, const choir_event *event) {
    (void)client;
    (void)event;
    ((world *)ctx)->closed++;
}
static inline void count_call(void *ctx, const choir_event *done) {
    (void)done;
    ((world *)ctx)->done++;
}

/* ---- sockets ---- */

/* A socket that listens; how many may wait, and its port. */
static inline int mute_listener(int backlog, uint16_t *ret_port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    cr_assert_eq(listen(fd, backlog), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

#endif
