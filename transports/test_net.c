/* SPDX-License-Identifier: MIT */
/* Servers and clients over every kind of link: calls, ends, limits, hostile and unlucky peers.
 *
 * Each test has a world: a loop with a counting allocator, a server of the Testbed service and clients, and counts of
 * what called back. world_end frees the loop and asserts that no byte and no descriptor is left. */
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

#define PATIENCE (10 * CHOIR_SECOND)
#define MiB      (1u << 20)

static const char *const urls[] = {"tcp://127.0.0.1:0", "tcp://[::1]:0", "mem://test"};
#define URLS (sizeof urls / sizeof *urls)

typedef struct world {
    test_alloc memory;
    int fds; /* before the loop was made */
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
    uint64_t bytes; /* echoed */
    /* server */
    uint32_t sessions_opened, sessions_closed, requests, cancelled, ended;
    uint64_t session;   /* the last one that opened */
    int session_status; /* of the last one that closed */
    void *user_data;    /* of the last request that was cancelled */
    bool keep;          /* handlers keep the responder */
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

static choir_time clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (choir_time)t.tv_sec * CHOIR_SECOND + (choir_time)t.tv_nsec;
}

static int open_fds(void) {
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

static void turn_for(world *w, choir_duration span) {
    for (choir_time end = clock_now() + span; clock_now() < end;)
        cr_assert_eq(choir_loop_turn(w->loop, 5 * CHOIR_MILLISECOND), CHOIR_OK);
}

static void once(world *w, void (**what)(world *w)) {
    void (*act)(world * w) = *what;
    *what = NULL;
    if (act) act(w);
}

/* ---- server ---- */

static bool kept(world *w, choir_responder to, const void *args) {
    w->requests++;
    once(w, &w->in_handler);
    if (!w->keep) return false;
    cr_assert_lt(w->kept_len, 64);
    w->kept_args[w->kept_len] = args;
    w->kept[w->kept_len++] = to;
    return true;
}

static void on_echo(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    world *w = ctx;
    cr_assert_eq(request->kind, CHOIR_EVENT_REQUEST);
    if (kept(w, to, args)) return;
    w->result = choir_respond(to, &((const struct testbed_echo_args *)args)->message);
    if (w->result == CHOIR_ERR_NO_MEMORY) choir_respond_drop(to); /* it would wait for another answer */
}

static void on_echo_bytes(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    (void)request;
    if (!kept(ctx, to, args)) choir_respond(to, &((const struct testbed_echo_bytes_args *)args)->data);
}

static void on_divide(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    (void)request;
    const struct testbed_divide_args *a = args;
    uint32_t error = TESTBED_MATH_DIVISION_BY_ZERO;
    if (kept(ctx, to, args)) return;
    if (a->divisor == 0) {
        cr_assert_eq(choir_respond_error(to, &error), CHOIR_OK);
        cr_assert_eq(choir_respond_error(to, &error), CHOIR_ERR_NOT_FOUND);
        return;
    }
    int64_t *quotient = choir_responder_alloc(to, sizeof *quotient, sizeof *quotient);
    *quotient = a->dividend / a->divisor;
    cr_assert_eq(choir_respond(to, quotient), CHOIR_OK);
}

static void on_cancelled(void *ctx, choir_responder request, void *user_data) {
    world *w = ctx;
    (void)request;
    w->user_data = user_data;
    w->cancelled++;
}

static void on_ended(void *ctx, choir_responder request, void *user_data, uint32_t outcome) {
    (void)request;
    (void)user_data;
    (void)outcome;
    ((world *)ctx)->ended++;
}

static void on_session_opened(void *ctx, uint64_t session) {
    world *w = ctx;
    cr_assert_neq(session, 0);
    w->session = session;
    w->sessions_opened++;
}

static void on_session_closed(void *ctx, uint64_t session, int status, choir_str text) {
    (void)session;
    (void)text;
    world *w = ctx;
    cr_assert(choir_status_is_fatal(status));
    w->session_status = status;
    w->sessions_closed++;
}

static choir_handler *const handlers[TESTBED_METHODS] = {
    [TESTBED_ECHO] = on_echo, [TESTBED_ECHO_BYTES] = on_echo_bytes, [TESTBED_DIVIDE] = on_divide};

static choir_server_options server_options(world *w) {
    choir_server_options o;
    choir_server_options_init(&o);
    o.service = &testbed_service;
    o.handlers = handlers;
    o.ctx = w;
    o.cancelled = on_cancelled;
    o.ended = on_ended;
    o.opened = on_session_opened;
    o.closed = on_session_closed;
    return o;
}

static void serve(world *w, const char *url) {
    choir_server_options o = server_options(w);
    int status = choir_listen(w->loop, url, &o, &w->server);
    cr_assert_eq(status, CHOIR_OK, "%s: %.*s", url, (int)choir_loop_error(w->loop).len,
                 choir_loop_error(w->loop).data);
    cr_assert_eq(choir_loop_error(w->loop).len, 0);
}

/* ---- client ---- */

static void on_opened(void *ctx, choir_client *client) {
    world *w = ctx;
    (void)client;
    cr_assert_eq(w->closed, 0);
    w->opened++;
    once(w, &w->in_opened);
}

static void on_closed(void *ctx, choir_client *client, int status, choir_str text) {
    world *w = ctx;
    cr_assert_neq(status, CHOIR_OK);
    cr_assert_eq(choir_client_status(client), status);
    w->closed++;
    w->status = status;
    snprintf(w->text, sizeof w->text, "%.*s", (int)text.len, text.data);
    once(w, &w->in_closed);
}

static void pump(world *w);

static void on_writable(void *ctx, choir_client *client) {
    (void)client;
    ((world *)ctx)->writable = true;
    pump(ctx);
}

static choir_client_options client_options(world *w) {
    choir_client_options o;
    choir_client_options_init(&o);
    o.service = &testbed_service;
    o.ctx = w;
    o.opened = on_opened;
    o.closed = on_closed;
    o.writable = on_writable;
    return o;
}

static void join(world *w, const char *url) {
    choir_client_options o = client_options(w);
    cr_assert_eq(choir_connect(w->loop, url, &o, &w->client), CHOIR_OK);
}

static void count_done(world *w, const choir_event *done) {
    cr_assert_eq(done->kind, CHOIR_EVENT_CALL_DONE);
    cr_assert_lt(done->outcome, 16);
    cr_assert_eq(w->closed, 0, "a call ended after the client");
    w->done++;
    w->outcomes[done->outcome]++;
    once(w, &w->in_done);
}

static void on_echoed(void *ctx, const choir_event *done) {
    if (done->outcome == CHOIR_OUTCOME_OK) {
        const choir_str *s = done->value;
        cr_assert_eq(s->len, 5);
        cr_assert_eq(memcmp(s->data, "hello", 5), 0);
    }
    count_done(ctx, done);
}

static int try_echo(world *w, choir_call_id *ret_call) {
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    return choir_client_call(w->client, TESTBED_ECHO, &args, NULL, on_echoed, w, ret_call);
}

static choir_call_id echo(world *w) {
    choir_call_id call;
    cr_assert_eq(try_echo(w, &call), CHOIR_OK);
    return call;
}

/* Makes as many of the calls that are to be made as are taken. */
static void pump(world *w) {
    while (w->to_send > 0) {
        int status = try_echo(w, NULL);
        if (status == CHOIR_ERR_BLOCKED) return;
        cr_assert_eq(status, CHOIR_OK);
        w->to_send--;
    }
}

static void on_divided(void *ctx, const choir_event *done) {
    world *w = ctx;
    if (done->outcome == CHOIR_OUTCOME_OK) cr_assert_eq(*(const int64_t *)done->value, -21);
    if (done->outcome == CHOIR_OUTCOME_USER_ERROR)
        cr_assert_eq(*(const uint32_t *)done->value, TESTBED_MATH_DIVISION_BY_ZERO);
    count_done(w, done);
}

static void divide(world *w, int64_t dividend, int64_t divisor) {
    struct testbed_divide_args args = {dividend, divisor};
    cr_assert_eq(choir_client_call(w->client, TESTBED_DIVIDE, &args, NULL, on_divided, w, NULL), CHOIR_OK);
}

static void on_blob(void *ctx, const choir_event *done) {
    world *w = ctx;
    if (done->outcome == CHOIR_OUTCOME_OK) {
        const choir_bytes *b = done->value;
        cr_assert_eq(memcmp(b->data, w->blob, b->len), 0);
        w->bytes += b->len;
    }
    count_done(w, done);
}

static int echo_blob(world *w, size_t len) {
    struct testbed_echo_bytes_args args = {{w->blob, len}};
    return choir_client_call(w->client, TESTBED_ECHO_BYTES, &args, NULL, on_blob, w, NULL);
}

static uint8_t *make_blob(size_t len) {
    uint8_t *blob = malloc(len);
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) blob[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    return blob;
}

/* ---- worlds ---- */

static void loop_options(world *w, choir_loop_options *o) {
    choir_loop_options_init(o);
    o->env.allocator = test_allocator(&w->memory);
}

static void world_begin(world *w) {
    *w = (world){.fds = open_fds()};
    choir_loop_options o;
    loop_options(w, &o);
    cr_assert_eq(choir_loop_new(&o, &w->loop), CHOIR_OK);
}

static void world_end(world *w) {
    choir_loop_free(w->loop);
    cr_assert_eq(w->memory.bytes, 0, "%llu bytes are left", (unsigned long long)w->memory.bytes);
    cr_assert_eq(w->memory.blocks, 0);
    cr_assert_eq(open_fds(), w->fds);
    free(w->blob);
}

/* A loop, a server, an open client. */
static void world_open(world *w, const char *url) {
    world_begin(w);
    serve(w, url);
    join(w, choir_server_url(w->server));
    until(w, w->opened == 1 && w->sessions_opened == 1);
}

static void on_each(void (*scenario)(world *w, const char *url)) {
    for (size_t i = 0; i < URLS; i++) {
        world *w = calloc(1, sizeof *w);
        scenario(w, urls[i]);
        free(w);
    }
}

/* ---- calls ---- */

static void calls(world *w, const char *url) {
    world_open(w, url);
    cr_assert_eq(choir_server_sessions(w->server), 1);
    echo(w);
    divide(w, 42, -2);
    divide(w, 1, 0);
    cr_assert_eq(w->done, 0, "a callback ran inside the call");
    until(w, w->done == 3);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], 2);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_USER_ERROR], 1);
    until(w, w->ended == 3);
    choir_client_close(w->client);
    cr_assert_eq(w->closed, 0, "a callback ran inside close");
    cr_assert_eq(try_echo(w, NULL), CHOIR_ERR_CLOSED);
    until(w, w->closed == 1 && w->sessions_closed == 1);
    cr_assert_eq(w->status, CHOIR_ERR_SHUTDOWN);
    cr_assert_eq(choir_server_sessions(w->server), 0);
    world_end(w);
    cr_assert_eq(w->closed, 1);
    cr_assert_eq(w->sessions_closed, 1);
}
Test(net, calls) {
    on_each(calls);
}

/* Calls made before there is a link, even before the loop has run. */
static void calls_at_once(world *w, const char *url) {
    world_begin(w);
    serve(w, url);
    join(w, choir_server_url(w->server));
    echo(w);
    divide(w, 1, 0);
    until(w, w->done == 2);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], 1);
    world_end(w);
}
Test(net, calls_at_once) {
    on_each(calls_at_once);
}

static void reply_later(world *w, const char *url) {
    world_open(w, url);
    w->keep = true;
    for (int i = 0; i < 10; i++) echo(w);
    until(w, w->kept_len == 10);
    turn_for(w, 20 * CHOIR_MILLISECOND);
    cr_assert_eq(w->done, 0);
    for (uint32_t i = 10; i-- > 0;) {
        const struct testbed_echo_args *args = w->kept_args[i];
        cr_assert_eq(choir_respond(w->kept[i], &args->message), CHOIR_OK);
        cr_assert_eq(choir_respond(w->kept[i], &args->message), CHOIR_ERR_NOT_FOUND);
    }
    until(w, w->done == 10 && w->ended == 10);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], 10);
    /* Handles of what is gone, of nothing, and of another session. */
    choir_responder other = w->kept[0];
    other.session = 0;
    cr_assert_eq(choir_respond_drop(other), CHOIR_ERR_NOT_FOUND);
    other.session = UINT64_MAX;
    cr_assert_eq(choir_respond_drop(other), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_respond_drop((choir_responder){0}), CHOIR_ERR_NOT_FOUND);
    cr_assert_null(choir_responder_alloc(w->kept[0], 8, 8));
    cr_assert_eq(choir_responder_set_user_data(w->kept[0], w), CHOIR_ERR_NOT_FOUND);
    world_end(w);
}
Test(net, reply_later) {
    on_each(reply_later);
}

static void cancel(world *w, const char *url) {
    world_open(w, url);
    w->keep = true;
    choir_call_id call = echo(w);
    until(w, w->kept_len == 1);
    cr_assert_eq(choir_responder_set_user_data(w->kept[0], w), CHOIR_OK);
    cr_assert_eq(choir_client_cancel(w->client, call), CHOIR_OK);
    cr_assert_eq(w->done, 0, "a callback ran inside cancel");
    until(w, w->done == 1 && w->cancelled == 1);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_CANCELLED], 1);
    cr_assert_eq(w->user_data, w);
    cr_assert_eq(choir_client_cancel(w->client, call), CHOIR_ERR_NOT_FOUND);
    const struct testbed_echo_args *args = w->kept_args[0];
    cr_assert_eq(choir_respond(w->kept[0], &args->message), CHOIR_ERR_CANCELLED);
    until(w, w->ended == 1);
    world_end(w);
}
Test(net, cancel) {
    on_each(cancel);
}

static void dropped(world *w, const char *url) {
    world_begin(w);
    choir_server_options o = server_options(w);
    choir_handler *const none[TESTBED_METHODS] = {NULL};
    o.handlers = none;
    cr_assert_eq(choir_listen(w->loop, url, &o, &w->server), CHOIR_OK);
    join(w, choir_server_url(w->server));
    echo(w);
    until(w, w->done == 1);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_CANCELLED], 1);
    world_end(w);
}
Test(net, methods_without_handler_are_dropped) {
    on_each(dropped);
}

static void pipelined(world *w, const char *url) {
    world_open(w, url);
    w->to_send = 5000;
    pump(w);
    cr_assert_gt(w->to_send, 0, "the queue takes 1,024 calls, then writable must come");
    until(w, w->done == 5000);
    cr_assert(w->writable);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], 5000);
    cr_assert_eq(w->requests, 5000);
    world_end(w);
}
Test(net, pipelined) {
    on_each(pipelined);
}

static void large(world *w, const char *url) {
    world_open(w, url);
    w->blob = make_blob(8 * MiB);
    static const size_t sizes[] = {4091, 4097, 65521, 65536, 262144, 262145, MiB, 8 * MiB};
    uint64_t total = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert_eq(echo_blob(w, sizes[i]), CHOIR_OK);
        until(w, w->done == i + 1);
        total += sizes[i];
    }
    cr_assert_eq(w->bytes, total);
    for (int i = 0; i < 3; i++) cr_assert_eq(echo_blob(w, MiB), CHOIR_OK);
    until(w, w->bytes == total + 3 * MiB);
    world_end(w);
}
Test(net, large) {
    on_each(large);
}

/* Both sides write 64 MiB while neither reads ahead: back-pressure in both directions at once, and no deadlock. */
static void flood(world *w, const char *url) {
    world_open(w, url);
    w->blob = make_blob(MiB);
    choir_time end = clock_now() + 3 * PATIENCE;
    uint32_t sent = 0;
    while (w->done < 64) {
        cr_assert_lt(clock_now(), end, "%u of %u answered", w->done, sent);
        while (sent < 64 && echo_blob(w, MiB) == CHOIR_OK) sent++;
        cr_assert_eq(choir_loop_turn(w->loop, 20 * CHOIR_MILLISECOND), CHOIR_OK);
    }
    cr_assert_eq(w->bytes, 64ull * MiB);
    /* 4 MiB of output and 1 MiB of queue at each end, two messages on their way, and what the server's handlers read. */
    cr_assert_lt(w->memory.peak, 80ull * MiB);
    world_end(w);
}
Test(net, flood) {
    on_each(flood);
}

static void on_pong(void *ctx, choir_duration round_trip) {
    world *w = ctx;
    w->done++;
    w->bytes = round_trip;
}

static void ping(world *w, const char *url) {
    world_begin(w);
    serve(w, url);
    join(w, choir_server_url(w->server));
    cr_assert_eq(choir_client_ping(w->client, on_pong, w), CHOIR_ERR_STATE);
    until(w, w->opened == 1);
    cr_assert_eq(choir_client_ping(w->client, on_pong, w), CHOIR_OK);
    cr_assert_eq(choir_client_ping(w->client, on_pong, w), CHOIR_ERR_BUSY);
    until(w, w->done == 1);
    cr_assert_lt(w->bytes, PATIENCE);
    cr_assert_eq(choir_client_ping(w->client, on_pong, w), CHOIR_OK);
    choir_client_close(w->client);
    until(w, w->closed == 1);
    cr_assert_eq(w->done, 2);
    cr_assert_eq(w->bytes, CHOIR_TIME_NEVER);
    world_end(w);
}
Test(net, ping) {
    on_each(ping);
}

/* ---- freeing what calls back ---- */

static void free_client(world *w) {
    choir_client_free(w->client);
    choir_client_free(w->client);
    cr_assert_eq(try_echo(w, NULL), CHOIR_ERR_CLOSED); /* it is there until the end of the turn */
}
static void free_server(world *w) {
    choir_server_free(w->server);
}

static void client_in_done(world *w, const char *url) {
    world_open(w, url);
    w->in_done = free_client;
    for (int i = 0; i < 100; i++) echo(w);
    until(w, w->closed == 1);
    cr_assert_eq(w->done, 100);
    cr_assert_eq(w->status, CHOIR_ERR_SHUTDOWN);
    until(w, w->sessions_closed == 1);
    world_end(w);
    cr_assert_eq(w->done + w->closed, 101);
}
Test(net, client_freed_in_done) {
    on_each(client_in_done);
}

static void client_in_opened(world *w, const char *url) {
    world_begin(w);
    w->in_opened = free_client;
    serve(w, url);
    join(w, choir_server_url(w->server));
    echo(w);
    until(w, w->closed == 1);
    cr_assert_eq(w->done, 1);
    turn_for(w, 50 * CHOIR_MILLISECOND);
    world_end(w);
    cr_assert_eq(w->closed, 1);
}
Test(net, client_freed_in_opened) {
    on_each(client_in_opened);
}

static void client_in_closed(world *w, const char *url) {
    world_open(w, url);
    w->in_closed = free_client;
    choir_server_close(w->server);
    until(w, w->closed == 1);
    cr_assert_eq(w->status, CHOIR_ERR_LINK_LOST);
    turn_for(w, 20 * CHOIR_MILLISECOND);
    world_end(w);
    cr_assert_eq(w->closed, 1);
}
Test(net, client_freed_in_closed) {
    on_each(client_in_closed);
}

static void server_in_handler(world *w, const char *url) {
    world_open(w, url);
    w->in_handler = free_server;
    for (int i = 0; i < 10; i++) echo(w);
    until(w, w->done == 10 && w->closed == 1);
    cr_assert_eq(w->requests, 1);
    cr_assert_eq(w->ended, 1);
    cr_assert_eq(w->sessions_closed, 1);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], 0);
    world_end(w);
    cr_assert_eq(w->sessions_closed, 1);
}
Test(net, server_freed_in_handler) {
    on_each(server_in_handler);
}

/* Everything is open and busy when the loop goes. */
static void count_closed(void *ctx, choir_client *client, int status, choir_str text) {
    (void)client;
    (void)status;
    (void)text;
    ((world *)ctx)->closed++;
}
static void count_call(void *ctx, const choir_event *done) {
    (void)done;
    ((world *)ctx)->done++;
}

Test(net, loop_freed_with_everything_open) {
    for (size_t i = 0; i < URLS; i++) {
        world w;
        world_open(&w, urls[i]);
        w.keep = true;
        choir_client_options o = client_options(&w);
        o.closed = count_closed;
        choir_client *clients[3];
        struct testbed_echo_args args = {CHOIR_STR("hello")};
        for (int k = 0; k < 3; k++) {
            cr_assert_eq(choir_connect(w.loop, choir_server_url(w.server), &o, &clients[k]), CHOIR_OK);
            for (int n = 0; n < 10; n++)
                cr_assert_eq(choir_client_call(clients[k], TESTBED_ECHO, &args, NULL, count_call, &w, NULL),
                             CHOIR_OK);
            if (k == 0) until(&w, w.requests == 10);
        }
        world_end(&w);
        cr_assert_eq(w.done, 30);
        cr_assert_eq(w.closed, 4);
        cr_assert_eq(w.sessions_opened, w.sessions_closed);
        cr_assert_eq(w.requests, w.ended);
    }
}

static void make_new(world *w) {
    choir_client_options o = client_options(w);
    choir_server_options s = server_options(w);
    choir_client *client = NULL;
    choir_server *server = NULL;
    w->result = choir_connect(w->loop, "tcp://127.0.0.1:1", &o, &client);
    cr_assert_eq(choir_listen(w->loop, "tcp://127.0.0.1:0", &s, &server), w->result);
    cr_assert_null(client);
    cr_assert_null(server);
}

Test(net, nothing_new_while_the_loop_is_freed) {
    world w;
    world_open(&w, urls[0]);
    w.in_closed = make_new;
    world_end(&w);
    cr_assert_eq(w.result, CHOIR_ERR_STATE);
}

/* Handlers that still hold a request of a session that is gone may read its arguments until they let go. */
static void held_arguments(world *w, const char *url) {
    world_open(w, url);
    w->keep = true;
    for (int i = 0; i < 3; i++) echo(w);
    until(w, w->kept_len == 3);
    choir_client_free(w->client);
    until(w, w->sessions_closed == 1 && w->ended == 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct testbed_echo_args *args = w->kept_args[i];
        cr_assert_eq(memcmp(args->message.data, "hello", 5), 0);
        int status = choir_respond(w->kept[i], &args->message);
        cr_assert(status == CHOIR_ERR_NOT_FOUND || status == CHOIR_ERR_CANCELLED, "%s",
                  choir_status_name(status));
        turn_for(w, 5 * CHOIR_MILLISECOND);
    }
    cr_assert_null(choir_responder_alloc(w->kept[0], 1, 1));
    world_end(w);
}
Test(net, held_arguments) {
    on_each(held_arguments);
}

/* ---- connecting ---- */

/* A socket that listens; how many may wait, and its port. */
static int mute_listener(int backlog, uint16_t *ret_port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    cr_assert_eq(listen(fd, backlog), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static uint16_t free_port(void) {
    uint16_t port;
    close(mute_listener(1, &port));
    return port;
}

static void expect_failure(const char *url, choir_duration timeout, int status, const char *text) {
    world w;
    world_begin(&w);
    choir_client_options o = client_options(&w);
    o.connect_timeout = timeout;
    cr_assert_eq(choir_connect(w.loop, url, &o, &w.client), CHOIR_OK);
    choir_call_options late;
    choir_call_options_init(&late);
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    cr_assert_eq(choir_client_call(w.client, TESTBED_ECHO, &args, &late, on_echoed, &w, NULL), CHOIR_OK);
    choir_time begin = clock_now();
    cr_assert_eq(choir_client_wait_open(w.client), status);
    cr_assert_lt(clock_now() - begin, timeout + 500 * CHOIR_MILLISECOND);
    cr_assert(strstr(choir_loop_error(w.loop).data, text), "%s", choir_loop_error(w.loop).data);
    cr_assert_eq(w.opened, 0);
    cr_assert_eq(w.closed, 1);
    cr_assert_eq(w.status, status, "%s: %s", choir_status_name(w.status), w.text);
    cr_assert(strstr(w.text, text), "\"%s\" does not say \"%s\"", w.text, text);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_SEND_FAILED], 1, "a call that was never sent");
    cr_assert_eq(try_echo(&w, NULL), CHOIR_ERR_CLOSED);
    cr_assert_eq(choir_client_status(w.client), status);
    world_end(&w);
}

Test(net, refused_addresses_are_listed) {
    char url[64], text[128];
    uint16_t port = free_port();
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    snprintf(text, sizeof text, "cannot connect to %.40s: 127.0.0.1:%u: Connection refused", url, port);
    expect_failure(url, PATIENCE, CHOIR_ERR_CONNECT, text);
    snprintf(url, sizeof url, "tcp://[::1]:%u", port);
    snprintf(text, sizeof text, "[::1]:%u: Connection refused", port);
    expect_failure(url, PATIENCE, CHOIR_ERR_CONNECT, text);
    snprintf(url, sizeof url, "tcp://localhost:%u", port);
    snprintf(text, sizeof text, "127.0.0.1:%u: Connection refused", port);
    expect_failure(url, PATIENCE, CHOIR_ERR_CONNECT, text);
    expect_failure("mem://nobody", PATIENCE, CHOIR_ERR_CONNECT, "nothing listens on mem://nobody");
}

Test(net, unresolvable_name) {
    /* Where no resolver answers, time runs out instead. */
    world w;
    world_begin(&w);
    choir_client_options o = client_options(&w);
    o.connect_timeout = 2 * CHOIR_SECOND;
    cr_assert_eq(choir_connect(w.loop, "tcp://no-such-host.invalid:1", &o, &w.client), CHOIR_OK);
    int status = choir_client_wait_open(w.client);
    cr_assert(status == CHOIR_ERR_ADDRESS || status == CHOIR_ERR_TIMED_OUT, "%s", choir_status_name(status));
    cr_assert(strstr(w.text, "no-such-host.invalid"), "%s", w.text);
    world_end(&w);
}

/* The name is still looked up when the client, or its loop, goes. */
Test(net, freed_while_resolving) {
    for (int host = 0; host < 2; host++) {
        world w;
        w = (world){.fds = open_fds()};
        choir_loop_options lo;
        loop_options(&w, &lo);
        struct event_base *base = host ? event_base_new() : NULL;
        lo.base = base;
        cr_assert_eq(choir_loop_new(&lo, &w.loop), CHOIR_OK);
        join(&w, "tcp://a.invalid:1");
        choir_client_free(w.client);
        choir_loop_turn(w.loop, 0);
        cr_assert_eq(w.closed, 1);
        join(&w, "tcp://b.invalid:1");
        choir_loop_free(w.loop);
        cr_assert_eq(w.closed, 2);
        cr_assert_eq(w.memory.bytes, 0);
        if (base) {
            event_base_loop(base, EVLOOP_NONBLOCK);
            event_base_loop(base, EVLOOP_NONBLOCK);
            event_base_free(base);
        }
        cr_assert_eq(open_fds(), w.fds);
    }
}

Test(net, mute_peer_times_out) {
    char url[64];
    uint16_t port;
    int fd = mute_listener(8, &port);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    world w;
    world_begin(&w);
    choir_client_options o = client_options(&w);
    o.connect_timeout = 200 * CHOIR_MILLISECOND;
    cr_assert_eq(choir_connect(w.loop, url, &o, &w.client), CHOIR_OK);
    choir_time begin = clock_now();
    cr_assert_eq(choir_client_wait_open(w.client), CHOIR_ERR_HANDSHAKE_TIMEOUT);
    choir_duration took = clock_now() - begin;
    cr_assert_geq(took, 190 * CHOIR_MILLISECOND);
    cr_assert_lt(took, 400 * CHOIR_MILLISECOND);
    world_end(&w);
    close(fd);
}

/* A backlog that is full drops SYNs: the connection is neither made nor refused. */
Test(net, connect_timeout) {
    char url[64];
    uint16_t port;
    int fd = mute_listener(0, &port), fill[4];
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&a, sizeof a);
    }
    usleep(20000);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    expect_failure(url, 300 * CHOIR_MILLISECOND, CHOIR_ERR_TIMED_OUT, "took too long: 127.0.0.1:");
    for (int i = 0; i < 4; i++) close(fill[i]);
    close(fd);
}

Test(net, client_closed_while_connecting) {
    world w;
    world_begin(&w);
    join(&w, "tcp://127.0.0.1:1");
    echo(&w);
    choir_client_close(w.client);
    until(&w, w.closed == 1);
    cr_assert_eq(w.status, CHOIR_ERR_SHUTDOWN);
    cr_assert_eq(w.done, 1);
    world_end(&w);
}

Test(net, bad_arguments) {
    world w;
    world_begin(&w);
    choir_client_options c = client_options(&w);
    choir_server_options s = server_options(&w);
    cr_assert_eq(choir_connect(w.loop, "tcp://127.0.0.1:0", &c, &w.client), CHOIR_ERR_ADDRESS);
    cr_assert(strstr(choir_loop_error(w.loop).data, "port 0"));
    cr_assert_eq(choir_connect(w.loop, "nonsense", &c, &w.client), CHOIR_ERR_ADDRESS);
    cr_assert(strstr(choir_loop_error(w.loop).data, "\"nonsense\" is not an address"));
    cr_assert_eq(choir_connect(NULL, "mem://x", &c, &w.client), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_connect(w.loop, NULL, &c, &w.client), CHOIR_ERR_INVALID);
    c.size = 0;
    cr_assert_eq(choir_connect(w.loop, "mem://x", &c, &w.client), CHOIR_ERR_INVALID);
    cr_assert_null(w.client);
    cr_assert_eq(choir_listen(w.loop, "tcp://example.org:1", &s, &w.server), CHOIR_ERR_ADDRESS);
    cr_assert_eq(choir_listen(w.loop, "tcp://198.51.100.1:1", &s, &w.server), CHOIR_ERR_LISTEN);
    cr_assert(strstr(choir_loop_error(w.loop).data, "tcp://198.51.100.1:1: Cannot assign"));
    s.handlers = NULL;
    cr_assert_eq(choir_listen(w.loop, "mem://x", &s, &w.server), CHOIR_ERR_INVALID);
    s = server_options(&w);
    choir_unit unit = *testbed_service.unit;
    choir_service service = testbed_service;
    unit.abi = 77;
    service.unit = &unit;
    s.service = &service;
    cr_assert_eq(choir_listen(w.loop, "mem://x", &s, &w.server), CHOIR_ERR_ABI);
    cr_assert_null(w.server);
    serve(&w, "mem://x");
    s = server_options(&w);
    cr_assert_eq(choir_listen(w.loop, "mem://x", &s, &w.server), CHOIR_ERR_LISTEN);
    cr_assert(strstr(choir_loop_error(w.loop).data, "in use"));
    choir_server_close(w.server);
    serve(&w, "mem://x"); /* a closed server gives its name free */
    serve(&w, "tcp://localhost:0");
    cr_assert_eq(strncmp(choir_server_url(w.server), "tcp://127.0.0.1:", 16), 0);
    char taken[64];
    snprintf(taken, sizeof taken, "%s", choir_server_url(w.server));
    cr_assert_eq(choir_listen(w.loop, taken, &s, &w.server), CHOIR_ERR_LISTEN);
    cr_assert(strstr(choir_loop_error(w.loop).data, "in use"));
    world_end(&w);
}

/* ---- the loop ---- */

static void run_inside(world *w) {
    const choir_event *done = NULL;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    cr_assert_eq(choir_loop_run(w->loop), CHOIR_ERR_REENTRANT);
    cr_assert_eq(choir_loop_turn(w->loop, 0), CHOIR_ERR_REENTRANT);
    cr_assert_eq(choir_client_wait_open(w->client), CHOIR_ERR_REENTRANT);
    w->result = choir_client_call_wait(w->client, TESTBED_ECHO, &args, CHOIR_SECOND, &done);
    cr_assert_null(done);
    choir_loop_free(w->loop); /* does nothing */
}

static void reentrant(world *w, const char *url) {
    world_open(w, url);
    w->in_handler = run_inside;
    w->in_done = run_inside;
    echo(w);
    until(w, w->done == 1);
    cr_assert_eq(w->result, CHOIR_ERR_REENTRANT);
    world_end(w);
}
Test(net, waiting_in_a_callback_is_refused) {
    on_each(reentrant);
}

static void stop(world *w) {
    choir_loop_stop(w->loop);
}

static void run_and_stop(world *w, const char *url) {
    world_open(w, url);
    w->in_done = stop;
    echo(w);
    cr_assert_eq(choir_loop_run(w->loop), CHOIR_OK);
    cr_assert_eq(w->done, 1);
    choir_client_free(w->client);
    choir_server_free(w->server);
    cr_assert_eq(choir_loop_run(w->loop), CHOIR_OK); /* until nothing is left */
    cr_assert_eq(w->closed, 1);
    cr_assert_eq(w->sessions_closed, 1);
    world_end(w);
}
Test(net, run_and_stop) {
    on_each(run_and_stop);
}

Test(net, turn_waits_no_longer_than_allowed) {
    world w;
    world_begin(&w);
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK);
    cr_assert_eq(choir_loop_turn(w.loop, CHOIR_TIME_NEVER), CHOIR_OK); /* nothing could happen */
    serve(&w, urls[0]);
    choir_time begin = clock_now();
    cr_assert_eq(choir_loop_turn(w.loop, 0), CHOIR_OK);
    cr_assert_lt(clock_now() - begin, 20 * CHOIR_MILLISECOND);
    begin = clock_now();
    cr_assert_eq(choir_loop_turn(w.loop, 30 * CHOIR_MILLISECOND), CHOIR_OK);
    choir_duration took = clock_now() - begin;
    cr_assert(took >= 25 * CHOIR_MILLISECOND && took < 90 * CHOIR_MILLISECOND, "%llu",
              (unsigned long long)took);
    choir_time now = choir_loop_now(w.loop);
    cr_assert_leq(now, clock_now());
    cr_assert_gt(now, begin);
    world_end(&w);
}

static void call_wait(world *w, const char *url) {
    world_open(w, url);
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    w->blob = make_blob(300000);
    struct testbed_echo_bytes_args large_args = {{w->blob, 300000}};
    const choir_event *done;
    for (int i = 0; i < 50; i++) {
        echo(w); /* traffic beside it */
        cr_assert_eq(choir_client_call_wait(w->client, TESTBED_ECHO, &args, PATIENCE, &done), CHOIR_OK);
        echo(w);
        const choir_str *s = done->value;
        cr_assert_eq(done->outcome, CHOIR_OUTCOME_OK);
        cr_assert_eq(s->len, 5);
        cr_assert_eq(memcmp(s->data, "hello", 5), 0);
        cr_assert_eq(choir_client_call_wait(w->client, TESTBED_ECHO_BYTES, &large_args, PATIENCE, &done),
                     CHOIR_OK);
        const choir_bytes *b = done->value;
        cr_assert_eq(memcmp(b->data, w->blob, b->len), 0);
    }
    until(w, w->done == 100);
    w->keep = true;
    choir_time begin = clock_now();
    cr_assert_eq(choir_client_call_wait(w->client, TESTBED_ECHO, &args, 50 * CHOIR_MILLISECOND, &done),
                 CHOIR_OK);
    cr_assert_eq(done->outcome, CHOIR_OUTCOME_TIMED_OUT);
    choir_duration took = clock_now() - begin;
    cr_assert(took >= 49 * CHOIR_MILLISECOND && took < 150 * CHOIR_MILLISECOND, "%llu",
              (unsigned long long)took);
    choir_client_close(w->client);
    cr_assert_eq(choir_client_call_wait(w->client, TESTBED_ECHO, &args, PATIENCE, &done), CHOIR_ERR_CLOSED);
    world_end(w);
}
Test(net, call_wait) {
    on_each(call_wait);
}

/* Two clients of one loop: what one wait returned must survive what the other link read in the same turn. */
Test(net, call_wait_is_not_overwritten) {
    world w;
    world_open(&w, urls[0]);
    choir_client *first = w.client;
    join(&w, choir_server_url(w.server));
    until(&w, w.opened == 2);
    struct testbed_echo_args ours = {
        CHOIR_STR("these bytes were received first and have to stay as they are")};
    for (int i = 0; i < 200; i++) {
        for (int k = 0; k < 3; k++) echo(&w);
        const choir_event *done;
        cr_assert_eq(choir_client_call_wait(first, TESTBED_ECHO, &ours, PATIENCE, &done), CHOIR_OK);
        const choir_str *s = done->value;
        cr_assert_eq(s->len, ours.message.len);
        cr_assert_eq(memcmp(s->data, ours.message.data, s->len), 0);
    }
    until(&w, w.done == 600);
    world_end(&w);
}

static void free_waited(world *w) {
    choir_client_free(w->client);
}

static void freed_in_wait(world *w, const char *url) {
    world_open(w, url);
    w->in_done = free_waited;
    w->keep = true;
    choir_call_options options;
    choir_call_options_init(&options);
    options.deadline = choir_loop_now(w->loop) + 20 * CHOIR_MILLISECOND;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    cr_assert_eq(choir_client_call(w->client, TESTBED_ECHO, &args, &options, on_echoed, w, NULL), CHOIR_OK);
    const choir_event *done = NULL;
    cr_assert_eq(choir_client_call_wait(w->client, TESTBED_ECHO, &args, PATIENCE, &done), CHOIR_ERR_CLOSED);
    cr_assert_null(done);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_TIMED_OUT], 1);
    cr_assert_eq(w->closed, 1);
    world_end(w);
}
Test(net, client_freed_while_waited_for) {
    on_each(freed_in_wait);
}

Test(net, two_loops) {
    world server, client;
    world_begin(&server);
    serve(&server, urls[0]);
    world_begin(&client);
    join(&client, choir_server_url(server.server));
    client.to_send = 1000;
    for (choir_time end = clock_now() + PATIENCE; client.done < 1000;) {
        cr_assert_lt(clock_now(), end);
        if (client.opened) pump(&client);
        choir_loop_turn(client.loop, CHOIR_MILLISECOND);
        choir_loop_turn(server.loop, CHOIR_MILLISECOND);
    }
    cr_assert_eq(client.outcomes[CHOIR_OUTCOME_OK], 1000);
    /* A responder of one loop means nothing in the other, and mem:// is a name inside one loop. */
    join(&client, "mem://test");
    client.opened = 0; /* of the second */
    choir_responder stranger = {client.loop, server.session, {1}};
    cr_assert_eq(choir_respond_drop(stranger), CHOIR_ERR_NOT_FOUND);
    until(&client, client.closed == 1);
    cr_assert_eq(client.status, CHOIR_ERR_CONNECT);
    client.closed = 0;
    client.fds =
        open_fds() - 3; /* what the client's loop adds: epoll, its event descriptor's pair or socket */
    choir_loop_free(client.loop);
    cr_assert_eq(client.closed, 1);
    cr_assert_eq(client.memory.bytes, 0);
    until(&server, server.sessions_closed == 1);
    world_end(&server);
}

typedef struct host_timer {
    world *w;
    struct event *event;
    uint32_t fired;
} host_timer;

static void on_host_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    host_timer *t = arg;
    t->fired++;
    if (t->fired <= 100) echo(t->w); /* a call from a callback that is not ours */
    cr_assert_eq(choir_loop_run(t->w->loop), CHOIR_ERR_REENTRANT);
    if (t->w->done == 100) event_base_loopbreak(event_get_base(t->event));
}

static void ignore_log(int severity, const char *message) {
    (void)severity;
    (void)message;
}

Test(net, host_event_base) {
    event_set_log_callback(ignore_log); /* libevent is not silent about the nested run */
    for (size_t i = 0; i < URLS; i++) {
        world w = {.fds = open_fds()};
        struct event_base *base = event_base_new();
        choir_loop_options o;
        loop_options(&w, &o);
        o.base = base;
        cr_assert_eq(choir_loop_new(&o, &w.loop), CHOIR_OK);
        serve(&w, urls[i]);
        join(&w, choir_server_url(w.server));
        host_timer t = {.w = &w};
        struct timeval often = {0, 500};
        t.event = event_new(base, -1, EV_PERSIST, on_host_timer, &t);
        event_add(t.event, &often);
        event_base_dispatch(base);
        cr_assert_eq(w.done, 100);
        cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 100);
        event_free(t.event);
        choir_loop_free(w.loop);
        cr_assert_eq(w.closed, 1);
        event_base_free(base);
        cr_assert_eq(w.memory.bytes, 0);
        cr_assert_eq(open_fds(), w.fds);
    }
}

/* ---- limits ---- */

static void count_opened(void *ctx, choir_client *client) {
    (void)client;
    ((world *)ctx)->opened++;
}

static void max_sessions(world *w, const char *url) {
    world_begin(w);
    choir_server_options so = server_options(w);
    so.max_sessions = 2;
    cr_assert_eq(choir_listen(w->loop, url, &so, &w->server), CHOIR_OK);
    choir_client_options co = client_options(w);
    co.opened = count_opened;
    co.closed = count_closed;
    choir_client *clients[4];
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), &co, &clients[i]), CHOIR_OK);
        cr_assert_eq(choir_client_call(clients[i], TESTBED_ECHO, &args, NULL, count_call, w, NULL), CHOIR_OK);
    }
    until(w, w->done == 2);
    turn_for(w, 50 * CHOIR_MILLISECOND);
    cr_assert_eq(w->opened, 2);
    cr_assert_eq(choir_server_sessions(w->server), 2);
    choir_client_free(clients[0]);
    choir_client_free(clients[1]);
    until(w, w->opened == 4 && w->done == 4 && w->closed == 2);
    cr_assert_eq(choir_server_sessions(w->server), 2);
    world_end(w);
    cr_assert_eq(w->closed, 4);
    cr_assert_eq(w->sessions_closed, 4);
}
Test(net, max_sessions) {
    on_each(max_sessions);
}

static int raw_connect(const char *url) {
    unsigned port = 0;
    cr_assert_eq(sscanf(url, "tcp://127.0.0.1:%u", &port), 1);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* True when the other end has closed, reading what comes before. */
static bool is_closed(int fd) {
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) continue;
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

Test(net, max_handshakes_oldest_goes) {
    world w;
    world_begin(&w);
    choir_server_options so = server_options(&w);
    so.max_handshakes = 3;
    cr_assert_eq(choir_listen(w.loop, urls[0], &so, &w.server), CHOIR_OK);
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = raw_connect(choir_server_url(w.server));
        turn_for(&w, 5 * CHOIR_MILLISECOND);
    }
    for (int i = 0; i < 5; i++) cr_assert_eq(is_closed(fds[i]), i < 2, "link %d", i);
    /* Honest peers still get through. */
    join(&w, choir_server_url(w.server));
    until(&w, w.opened == 1 && w.sessions_opened == 1);
    cr_assert(is_closed(fds[2]));
    for (int i = 0; i < 5; i++) close(fds[i]);
    world_end(&w);
}

Test(net, handshake_timeout) {
    world w;
    world_begin(&w);
    choir_server_options so = server_options(&w);
    so.attachment.handshake_timeout = 50 * CHOIR_MILLISECOND;
    cr_assert_eq(choir_listen(w.loop, urls[0], &so, &w.server), CHOIR_OK);
    int fd = raw_connect(choir_server_url(w.server));
    choir_time begin = clock_now();
    until(&w, is_closed(fd));
    choir_duration took = clock_now() - begin;
    cr_assert(took >= 45 * CHOIR_MILLISECOND && took < 150 * CHOIR_MILLISECOND, "%llu",
              (unsigned long long)took);
    close(fd);
    world_end(&w);
}

static choir_duration cpu_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (choir_duration)t.tv_sec * CHOIR_SECOND + (choir_duration)t.tv_nsec;
}

/* Case F11: without descriptors accepting pauses, costs nothing, and goes on by itself. */
Test(net, out_of_descriptors) {
    world w;
    world_begin(&w);
    serve(&w, urls[0]);
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    choir_client *clients[3];
    for (int i = 0; i < 3; i++) {
        join(&w, choir_server_url(w.server));
        clients[i] = w.client;
    }
    /* The clients' sockets fit below the limit, the server's do not. */
    int next = dup(0);
    close(next);
    low = (struct rlimit){.rlim_cur = (rlim_t)next + 3, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    turn_for(&w, 50 * CHOIR_MILLISECOND);
    choir_duration cpu = cpu_time();
    turn_for(&w, 400 * CHOIR_MILLISECOND);
    cpu = cpu_time() - cpu;
    cr_assert_lt(cpu, 400 * CHOIR_MILLISECOND / 20, "%llu ns", (unsigned long long)cpu);
    cr_assert_eq(w.opened, 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    until(&w, w.opened == 3);
    (void)clients;
    world_end(&w);
}

/* ---- hostile and unlucky peers ---- */

Test(net, garbage_is_answered_and_closed) {
    world w;
    world_begin(&w);
    serve(&w, urls[0]);
    static const char *const openings[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "\x08\0\0\0VOTH\x09\x07\x07\x07", "\0\0\0\0", "\xff\xff\xff\xff"};
    static const size_t sizes[] = {27, 12, 4, 4};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int fd = raw_connect(choir_server_url(w.server));
        cr_assert_eq(send(fd, openings[i], sizes[i], 0), (ssize_t)sizes[i]);
        until(&w, is_closed(fd));
        close(fd);
    }
    cr_assert_eq(w.sessions_opened, 0);
    world_end(&w);
}

/* A peer that goes on sending after it was given up, and never closes, is rid of after the linger. */
Test(net, linger_is_bounded) {
    world w;
    world_begin(&w);
    serve(&w, urls[0]);
    int fds = open_fds();
    int fd = raw_connect(choir_server_url(w.server));
    cr_assert_eq(send(fd, "\xff\xff\xff\xff", 4, 0), 4);
    choir_time begin = clock_now();
    until(&w, open_fds() == fds + 2);
    char junk[1000] = {0};
    while (open_fds() == fds + 2) {
        cr_assert_lt(clock_now() - begin, 500 * CHOIR_MILLISECOND);
        send(fd, junk, sizeof junk, MSG_DONTWAIT | MSG_NOSIGNAL);
        choir_loop_turn(w.loop, 5 * CHOIR_MILLISECOND);
    }
    cr_assert_geq(clock_now() - begin, 200 * CHOIR_MILLISECOND);
    close(fd);
    world_end(&w);
}

/* ---- a relay between client and server that can be unkind ---- */

typedef struct relay {
    int listener, ends[2]; /* ends[0] is the client's */
    size_t chunk;          /* bytes passed at a time */
    size_t left;           /* bytes until it cuts; SIZE_MAX is never */
    bool half;             /* it cuts one direction only: the client's end of stream */
    bool deaf;             /* it takes nothing from the server */
    size_t passed;
    char bytes[2][65536]; /* read from an end, not yet written to the other */
    size_t at[2], len[2];
} relay;

static void relay_begin(relay *r, const char *to, char url[64]) {
    uint16_t port;
    r->listener = mute_listener(4, &port);
    snprintf(url, 64, "tcp://127.0.0.1:%u", port);
    r->ends[0] = -1;
    r->ends[1] = raw_connect(to);
}

static void relay_cut(relay *r) {
    for (int i = 0; i < 2; i++) {
        if (r->ends[i] >= 0) close(r->ends[i]);
        r->ends[i] = -1;
    }
}

static void relay_end(relay *r) {
    relay_cut(r);
    close(r->listener);
}

/* Writes what waits for the other end; true when nothing is left of it. */
static bool relay_flush(relay *r, int from) {
    while (r->at[from] < r->len[from]) {
        ssize_t n = send(r->ends[1 - from], r->bytes[from] + r->at[from], r->len[from] - r->at[from],
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return false;
        if (n < 0) return true; /* the read of that end will tell */
        r->at[from] += (size_t)n;
    }
    return true;
}

static void relay_step(relay *r) {
    if (r->ends[0] < 0 && r->ends[1] >= 0) {
        struct pollfd p = {r->listener, POLLIN, 0};
        if (poll(&p, 1, 0) == 1) r->ends[0] = accept(r->listener, NULL, NULL);
        return;
    }
    for (int i = 0; i < (r->deaf ? 1 : 2) && r->ends[0] >= 0; i++) {
        if (!relay_flush(r, i)) continue;
        size_t want = r->chunk < r->left ? r->chunk : r->left;
        ssize_t n = recv(r->ends[i], r->bytes[i], want, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            relay_cut(r);
            return;
        }
        if (n < 0) continue;
        r->at[i] = 0;
        r->len[i] = (size_t)n;
        relay_flush(r, i);
        r->passed += (size_t)n;
        if (r->left != SIZE_MAX) r->left -= (size_t)n;
        if (r->left > 0) continue;
        if (r->half) {
            shutdown(r->ends[1], SHUT_WR);
            r->left = SIZE_MAX;
            r->half = false;
            continue;
        }
        relay_cut(r);
        return;
    }
}

/* One session with a few calls over the relay, until everything is answered or over. */
static size_t over_relay(size_t chunk, size_t left, bool half) {
    static relay r;
    world w;
    r = (relay){.chunk = chunk, .left = left, .half = half};
    char url[64];
    world_begin(&w);
    serve(&w, urls[0]);
    relay_begin(&r, choir_server_url(w.server), url);
    join(&w, url);
    for (int i = 0; i < 3; i++) echo(&w);
    for (choir_time end = clock_now() + PATIENCE; w.done < 3;) {
        cr_assert_lt(clock_now(), end, "%zu bytes passed", r.passed);
        relay_step(&r);
        choir_loop_turn(w.loop, 0);
    }
    size_t passed = r.passed;
    relay_end(&r);
    until(&w, w.closed == 1 && w.sessions_closed == w.sessions_opened);
    cr_assert_eq(w.status, CHOIR_ERR_LINK_LOST);
    cr_assert_eq(w.done, 3);
    cr_assert_eq(w.requests, w.ended);
    world_end(&w);
    return passed;
}

Test(net, one_byte_at_a_time, .timeout = 60) {
    over_relay(1, SIZE_MAX, false);
}

/* The link is cut, in both directions or in one, at many places: everything ends exactly once. */
Test(net, cut, .timeout = 120) {
    size_t all = over_relay(4096, SIZE_MAX, false);
    for (size_t at = 1; at < all; at += at < 64 ? 1 : 61) over_relay(4096, at, false);
    for (size_t at = 1; at < all; at += 97) over_relay(4096, at, true);
}

/* What the peer sent before it closed counts, also when we were about to write. */
Test(net, input_before_the_end_is_read) {
    world w;
    world_open(&w, urls[0]);
    w.in_handler = free_server; /* answers are lost, but the client learns why */
    for (int i = 0; i < 100; i++) echo(&w);
    until(&w, w.closed == 1);
    for (int i = 0; i < 3; i++) try_echo(&w, NULL);
    cr_assert_eq(w.done, 100);
    world_end(&w);
}

/* A peer that stops reading is given up, and costs what was allowed until then. */
Test(net, peer_that_does_not_read, .timeout = 60) {
    world w;
    char url[64];
    world_begin(&w);
    choir_server_options so = server_options(&w);
    so.attachment.write_stall_timeout = 300 * CHOIR_MILLISECOND;
    so.session.keepalive_busy = so.session.keepalive_idle = 0;
    cr_assert_eq(choir_listen(w.loop, urls[0], &so, &w.server), CHOIR_OK);
    static relay r = {.chunk = 65536, .left = SIZE_MAX};
    relay_begin(&r, choir_server_url(w.server), url);
    join(&w, url);
    w.blob = make_blob(MiB);
    choir_time end = clock_now() + PATIENCE;
    for (uint32_t sent = 0; w.sessions_closed == 0;) {
        cr_assert_lt(clock_now(), end);
        r.deaf = w.opened && w.sessions_opened;
        if (r.deaf && sent < 60 && echo_blob(&w, MiB) == CHOIR_OK) sent++;
        relay_step(&r);
        choir_loop_turn(w.loop, 0);
    }
    cr_assert_eq(w.session_status, CHOIR_ERR_WRITE_STALLED, "%s", choir_status_name(w.session_status));
    cr_assert_lt(w.memory.peak, 32ull * MiB);
    relay_end(&r);
    until(&w, w.closed == 1);
    world_end(&w);
}

/* ---- memory that runs out ---- */

/* The n-th allocation fails: a refusal or an end, no crash, no leak, every callback at most once. Returns false when
 * nothing failed any more. */
static bool with_failure(uint64_t n, const char *url) {
    world w = {.fds = open_fds(), .memory = {.fail_at = n}};
    choir_loop_options lo;
    loop_options(&w, &lo);
    if (choir_loop_new(&lo, &w.loop) != CHOIR_OK) {
        cr_assert_eq(w.memory.bytes, 0);
        cr_assert_eq(open_fds(), w.fds);
        return true;
    }
    choir_server_options so = server_options(&w);
    so.attachment.handshake_timeout = so.session.keepalive_busy = 500 * CHOIR_MILLISECOND;
    choir_client_options co = client_options(&w);
    co.opened = count_opened;
    co.connect_timeout = 500 * CHOIR_MILLISECOND;
    co.session.keepalive_busy = 500 * CHOIR_MILLISECOND;
    uint32_t made = 0;
    if (choir_listen(w.loop, url, &so, &w.server) == CHOIR_OK &&
        choir_connect(w.loop, choir_server_url(w.server), &co, &w.client) == CHOIR_OK) {
        for (int i = 0; i < 3; i++) made += try_echo(&w, NULL) == CHOIR_OK;
        for (choir_time end = clock_now() + PATIENCE; w.done < made && w.closed == 0;) {
            cr_assert_lt(clock_now(), end, "allocation %llu", (unsigned long long)n);
            choir_loop_turn(w.loop, 20 * CHOIR_MILLISECOND);
        }
    }
    bool failed = w.memory.failed > 0;
    bool had_client = w.client != NULL;
    world_end(&w);
    cr_assert_eq(w.done, made);
    cr_assert_eq(w.closed, had_client ? 1 : 0);
    cr_assert_eq(w.sessions_opened, w.sessions_closed);
    return failed;
}

Test(net, failing_allocations, .timeout = 150) {
    for (size_t i = 0; i < URLS; i += 2) {
        uint64_t n = 1;
        while (with_failure(n, urls[i])) n++;
        cr_assert_gt(n, 20);
    }
}
