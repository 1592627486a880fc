/* SPDX-License-Identifier: MIT */
/* Servers and clients over every kind of link: calls, waits, connecting, and everything freed at a bad
 * moment. */
#include "connect.h"
#include "test_world.h"

#include <pthread.h>

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
    w->invalid = true;
    echo(w);
    until(w, w->done == 4);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_INVALID_PAYLOAD], 1);
    cr_assert_str_eq(w->text, "not today");
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
    cr_assert_null(choir_request_alloc(choir_responder_session(w->kept[0]), w->kept[0].request, 8, 8));
    cr_assert_eq(choir_request_set_user_data(choir_responder_session(w->kept[0]), w->kept[0].request, w),
                 CHOIR_ERR_NOT_FOUND);
    world_end(w);
}
Test(net, reply_later) {
    on_each(reply_later);
}

static int cancel_call(world *w, choir_call_id call) {
    return choir_cancel(choir_client_session(w->client), call, NULL, choir_loop_now(w->loop));
}

static void cancel(world *w, const char *url) {
    world_open(w, url);
    w->keep = true;
    choir_call_id call = echo(w);
    until(w, w->kept_len == 1);
    cr_assert_eq(choir_request_set_user_data(choir_responder_session(w->kept[0]), w->kept[0].request, w),
                 CHOIR_OK);
    cr_assert_eq(cancel_call(w, call), CHOIR_OK);
    cr_assert_eq(w->done, 0, "a callback ran inside cancel");
    until(w, w->done == 1 && w->cancelled == 1);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_CANCELLED], 1);
    cr_assert_eq(w->user_data, w);
    cr_assert_eq(cancel_call(w, call), CHOIR_ERR_NOT_FOUND);
    const struct testbed_echo_args *args = w->kept_args[0];
    cr_assert_eq(choir_respond(w->kept[0], &args->message), CHOIR_ERR_CANCELLED);
    until(w, w->ended == 1);
    world_end(w);
}
Test(net, cancel) {
    on_each(cancel);
}

static void unknown(world *w, const char *url) {
    world_begin(w);
    choir_server_options o = server_options(w);
    choir_handler *const none[TESTBED_METHODS] = {NULL};
    o.services[0].handlers = none;
    cr_assert_eq(choir_listen(w->loop, url, &o, &w->server), CHOIR_OK);
    join(w, choir_server_url(w->server));
    echo(w);
    until(w, w->done == 1);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_UNKNOWN_METHOD], 1);
    until(w, w->ended == 1);
    cr_assert_eq(w->last_outcome, CHOIR_OUTCOME_UNKNOWN_METHOD);
    world_end(w);
}
Test(net, methods_without_handler_are_unknown) {
    on_each(unknown);
}

/* Options of older programs end earlier, nested ones too; what was never initialised is refused. */
Test(net, options_of_other_headers) {
    world w;
    world_begin(&w);
    choir_server_options so;
    memset(&so, 0xcc, sizeof so);
    choir_server_options_init_sized(&so, offsetof(choir_server_options, session));
    cr_assert_eq(so.size, offsetof(choir_server_options, session));
    uint8_t canary[sizeof so.session + sizeof so.attachment];
    memset(canary, 0xcc, sizeof canary);
    cr_assert_arr_eq((const uint8_t *)&so + so.size, canary, sizeof canary);
    so.services[0] = (choir_served){.service = &testbed_service, .handlers = handlers, .ctx = &w};
    so.services_len = 1;
    cr_assert_eq(choir_listen(w.loop, "mem://old", &so, &w.server), CHOIR_OK);

    choir_session_options session;
    choir_attachment_options attachment;
    memset(&session, 0xff, sizeof session);
    memset(&attachment, 0xff, sizeof attachment);
    choir_client_options co = client_options(&w);
    co.session = &session;
    cr_assert_eq(choir_connect(w.loop, "mem://old", &co, &w.client), CHOIR_ERR_INVALID);
    choir_session_options_init_sized(&session, offsetof(choir_session_options, keepalive_busy));
    co.attachment = &attachment;
    cr_assert_eq(choir_connect(w.loop, "mem://old", &co, &w.client), CHOIR_ERR_INVALID);
    choir_attachment_options_init_sized(&attachment, offsetof(choir_attachment_options, handshake_timeout));
    cr_assert_eq(choir_connect(w.loop, "mem://old", &co, &w.client), CHOIR_OK);
    until(&w, w.opened == 1);

    choir_loop *other = NULL;
    choir_loop_options lo;
    choir_env_options env;
    choir_loop_options_init(&lo);
    memset(&env, 0xff, sizeof env);
    lo.env = &env;
    cr_assert_eq(choir_loop_new(&lo, &other), CHOIR_ERR_INVALID);
    choir_env_options_init_sized(&env, offsetof(choir_env_options, log));
    cr_assert_eq(choir_loop_new(&lo, &other), CHOIR_OK, "malloc, the system's randomness, no log");
    choir_loop_free(other);
    world_end(&w);
}

static void pipelined_with(world *w, const char *url, uint32_t concurrent, uint64_t max_answers) {
    world_begin(w);
    choir_server_options so = server_options(w);
    choir_session_options session;
    choir_conn_options root;
    choir_attachment_options attachment;
    choir_session_options_init(&session);
    choir_conn_options_init(&root);
    choir_attachment_options_init(&attachment);
    root.max_concurrent_requests = concurrent;
    root.max_answers = max_answers;
    session.root = &root;
    so.session = &session;
    so.attachment = &attachment;
    cr_assert_eq(choir_listen(w->loop, url, &so, &w->server), CHOIR_OK);
    memset(&session, 0xff, sizeof session); /* they were borrowed for the call */
    memset(&root, 0xff, sizeof root);
    memset(&attachment, 0xff, sizeof attachment);
    join(w, choir_server_url(w->server));
    until(w, w->opened == 1);
    w->to_send = 5000;
    pump(w);
    cr_assert_gt(w->to_send, 0, "the queue takes some 1,000 calls, then writable must come");
    until(w, w->done == 5000);
    cr_assert(w->writable);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], 5000);
    cr_assert_eq(w->requests, 5000);
    world_end(w);
}

static void pipelined(world *w, const char *url) {
    pipelined_with(w, url, 64, MiB);
    pipelined_with(w, url, 1000, MiB);
    /* A server that stops reading as soon as a few answers wait: what was read already is kept, and taken
     * later. */
    pipelined_with(w, url, 1000, 200);
}
Test(net, pipelined) {
    on_each(pipelined);
}

/* Arguments that handlers keep stay where they were read, so new room has to be read into. */
static void large_kept(world *w, const char *url) {
    world_open(w, url);
    w->blob = make_blob(100000);
    w->keep = true;
    for (int i = 0; i < 20; i++) cr_assert_eq(echo_blob(w, 100000), CHOIR_OK);
    until(w, w->kept_len == 20);
    for (uint32_t i = 0; i < 20; i++) {
        const struct testbed_echo_bytes_args *args = w->kept_args[i];
        cr_assert_eq(memcmp(args->data.data, w->blob, 100000), 0);
        cr_assert_eq(choir_respond(w->kept[i], &args->data), CHOIR_OK);
    }
    until(w, w->bytes == 20 * 100000);
    world_end(w);
}
Test(net, large_kept) {
    on_each(large_kept);
}

static void many_sessions(world *w, const char *url) {
    world_begin(w);
    serve(w, url);
    choir_client_options o = client_options(w);
    o.opened = NULL;
    o.closed = count_closed;
    choir_client *clients[100];
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    for (int i = 0; i < 100; i++)
        cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), &o, &clients[i]), CHOIR_OK);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 100; i++)
            cr_assert_eq(choir_client_call(clients[i], TESTBED_ECHO, &args, NULL, count_call, w, NULL),
                         CHOIR_OK);
        until(w, w->done == 100u * (uint32_t)round);
    }
    cr_assert_eq(choir_server_sessions(w->server), 100);
    for (int i = 0; i < 100; i += 3) choir_client_free(clients[i]);
    until(w, w->closed == 34 && w->sessions_closed == 34);
    for (int i = 1; i < 100; i += 3) choir_client_close(clients[i]);
    until(w, w->closed == 67 && w->sessions_closed == 67);
    cr_assert_eq(choir_server_sessions(w->server), 33);
    world_end(w);
    cr_assert_eq(w->closed, 100);
    cr_assert_eq(w->sessions_closed, 100);
}
Test(net, many_sessions) {
    on_each(many_sessions);
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

/* Both sides write 64 MiB while neither reads ahead: back-pressure in both directions at once, and no
 * deadlock. */
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
    /* 4 MiB of output and 1 MiB of queue at each end, two messages on their way, and what the server's
     * handlers read. */
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
    cr_assert_null(choir_request_alloc(choir_responder_session(w->kept[0]), w->kept[0].request, 1, 1));
    world_end(w);
}
Test(net, held_arguments) {
    on_each(held_arguments);
}

static bool find_session(const world *w, uint64_t handle) {
    return choiri_net_session_find(w->loop, handle) != NULL;
}

/* A handler on another thread reads its arguments while the loop's thread frees the server: the session stays
 * until the last request was let go of, and goes by itself then. */
static void *read_arguments(void *arg) {
    const world *w = arg;
    for (int i = 0; i < 1000; i++)
        for (uint32_t k = 0; k < w->kept_len; k++) {
            const struct testbed_echo_args *args = w->kept_args[k];
            if (memcmp(args->message.data, "hello", 5) != 0) return arg;
        }
    return NULL;
}

static void held_past_server(world *w, const char *url) {
    world_open(w, url);
    w->keep = true;
    for (int i = 0; i < 3; i++) echo(w);
    until(w, w->kept_len == 3);
    choir_server_free(w->server);
    pthread_t thread;
    void *wrong;
    cr_assert_eq(pthread_create(&thread, NULL, read_arguments, w), 0);
    until(w, w->closed == 1);
    cr_assert_eq(pthread_join(thread, &wrong), 0);
    cr_assert_null(wrong, "arguments changed under their handler");
    cr_assert_eq(w->ended, 3);
    cr_assert_eq(w->sessions_closed, 1);
    for (uint32_t i = 0; i < 3; i++) {
        turn_for(w, 5 * CHOIR_MILLISECOND);
        cr_assert(find_session(w, w->session));
        cr_assert_null(read_arguments(w));
        const struct testbed_echo_args *args = w->kept_args[i];
        cr_assert_neq(choir_respond(w->kept[i], &args->message), CHOIR_OK);
        w->kept_args[i] = w->kept_args[2];
    }
    until(w, !find_session(w, w->session));
    cr_assert_eq(w->ended, 3);
    world_end(w);
}
Test(net, held_requests_outlive_their_server) {
    on_each(held_past_server);
}

/* ---- connecting ---- */

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
    cr_assert_lt(clock_now() - begin, DEFAULT_TIMEOUT);
    cr_assert(strstr(choir_loop_error(w.loop).data, text), "%s", choir_loop_error(w.loop).data);
    cr_assert_eq(w.opened, 0);
    cr_assert_eq(w.closed, 1);
    cr_assert_eq(w.status, status, "%s: %s", choir_status_name(w.status), w.text);
    cr_assert(strstr(w.text, text), "\"%s\" does not say \"%s\"", w.text, text);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_SEND_FAILED], 1, "a call that was never sent");
    cr_assert_eq(w.call_status, status, "why it was not reaches the call");
    cr_assert_str_eq(w.call_text, w.text);
    cr_assert_eq(try_echo(&w, NULL), CHOIR_ERR_CLOSED);
    cr_assert_eq(choir_client_status(w.client), status);
    choir_str end = choir_client_text(w.client);
    cr_assert(end.len == strlen(w.text) && memcmp(end.data, w.text, end.len) == 0, "%.*s", (int)end.len,
              end.data);
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
    snprintf(text, sizeof text, "127.0.0.1:%u: Connection refused; [::1]:%u: Connection refused", port, port);
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
    cr_assert(status == CHOIR_ERR_RESOLVE || status == CHOIR_ERR_CONNECT_TIMEOUT, "%s",
              choir_status_name(status));
    cr_assert(strstr(w.text, "no-such-host.invalid"), "%s", w.text);
    world_end(&w);
}

/* localhost is this machine, whatever hosts files and name servers say (RFC 6761): it is not looked up. */
Test(net, localhost_is_loopback) {
    static const char *const names[] = {"localhost", "LocalHost.", "a.b.localhost"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t at = 0; at < 2; at++) { /* IPv4 and IPv6 */
            world w;
            char url[64];
            world_begin(&w);
            serve(&w, urls[at]);
            snprintf(url, sizeof url, "tcp://%s:%s", names[i], strrchr(choir_server_url(w.server), ':') + 1);
            join(&w, url);
            until(&w, w.opened == 1);
            cr_assert_null(w.loop->dns, "%s was looked up", names[i]);
            world_end(&w);
        }
    }
    world w;
    world_begin(&w);
    serve(&w, "tcp://A.localhost:0");
    cr_assert_eq(strncmp(choir_server_url(w.server), "tcp://127.0.0.1:", 16), 0);
    choir_server_options s = server_options(&w);
    cr_assert_eq(choir_listen(w.loop, "tcp://notlocalhost:0", &s, &w.server), CHOIR_ERR_ADDRESS);
    world_end(&w);
}

static void count_run(net_task *task) {
    (void)task;
}

/* The hosts file knows one family of localhost, and a resolver that does not answer is asked for the other:
 * that must not keep the loop from being idle afterwards. */
Test(net, a_name_does_not_keep_the_loop, .timeout = 60) {
    world w;
    net_resolve *r;
    net_task task = {.run = count_run};
    world_begin(&w);
    net_node_init(&task.node);
    cr_assert_eq(choiri_net_resolve_new(w.loop, &task, "localhost", 1, &r), CHOIR_OK);
    until(&w, choiri_net_resolve_found_at(r) != CHOIR_TIME_NEVER);
    choiri_net_resolve_free(r);
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK);
    cr_assert_null(w.loop->dns);
    net_node_remove(&task.node);
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
    cr_assert(took >= 190 * CHOIR_MILLISECOND && took < DEFAULT_TIMEOUT, "%llu", (unsigned long long)took);
    world_end(&w);
    close(fd);
}

/* A backlog that is full drops SYNs: connections are neither made nor refused. */
static int full_listener(uint16_t *ret_port, int ret_fill[4]) {
    int fd = mute_listener(0, ret_port);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(*ret_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 4; i++) {
        ret_fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(ret_fill[i], (struct sockaddr *)&a, sizeof a);
    }
    return fd;
}

Test(net, connect_timeout) {
    char url[64];
    uint16_t port;
    int fill[4], fd = full_listener(&port, fill);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    expect_failure(url, 300 * CHOIR_MILLISECOND, CHOIR_ERR_CONNECT_TIMEOUT, "took too long: 127.0.0.1:");
    for (int i = 0; i < 4; i++) close(fill[i]);
    close(fd);
}

/* The program does something else for longer than connecting may take. */
static void be_elsewhere(choir_duration span) {
    for (choir_time end = clock_now() + span; clock_now() < end;) continue;
}

/* Time that we did not look is not the peer's: whatever has been connected meanwhile is a connection. */
static void late_after(world *w, const char *url, int turns) {
    world_begin(w);
    serve(w, url);
    choir_client_options o = client_options(w);
    o.connect_timeout = 150 * CHOIR_MILLISECOND;
    cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), &o, &w->client), CHOIR_OK);
    for (int i = 0; i < turns; i++) choir_loop_turn(w->loop, 0);
    be_elsewhere(200 * CHOIR_MILLISECOND);
    cr_assert_eq(choir_client_wait_open(w->client), CHOIR_OK, "%s, after %d turns: %s", url, turns, w->text);
    world_end(w);
}

/* Nothing was tried before. */
static void late(world *w, const char *url) {
    late_after(w, url, 0);
}
Test(net, late_is_not_too_late, .timeout = 60) {
    on_each(late);
}

/* The kernel has made the connection, and we have not looked. */
Test(net, connected_without_being_noticed, .timeout = 60) {
    world w;
    late_after(&w, urls[0], 1);
    late_after(&w, urls[1], 1);
}

/* What is said about a time-out is what happened. */
Test(net, time_outs_say_what_is_true) {
    char url[64];
    uint16_t port;
    int fill[4], fd = full_listener(&port, fill);
    world w;
    world_begin(&w);
    choir_client_options o = client_options(&w);
    o.connect_timeout = 50 * CHOIR_MILLISECOND;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    cr_assert_eq(choir_connect(w.loop, url, &o, &w.client), CHOIR_OK);
    choir_loop_turn(w.loop, 0);
    be_elsewhere(60 * CHOIR_MILLISECOND);
    cr_assert_eq(choir_client_wait_open(w.client), CHOIR_ERR_CONNECT_TIMEOUT);
    snprintf(url, sizeof url, "took too long: 127.0.0.1:%u: no answer in time", port);
    cr_assert(strstr(w.text, url), "%s", w.text);
    world_end(&w);
    for (int i = 0; i < 4; i++) close(fill[i]);
    close(fd);

    world_begin(&w);
    choir_server_options so = server_options(&w);
    so.max_sessions = 1;
    cr_assert_eq(choir_listen(w.loop, urls[2], &so, &w.server), CHOIR_OK);
    join(&w, urls[2]);
    until(&w, w.opened == 1);
    o.closed = count_closed;
    cr_assert_eq(choir_connect(w.loop, urls[2], &o, &w.client), CHOIR_OK);
    cr_assert_eq(choir_client_wait_open(w.client), CHOIR_ERR_CONNECT_TIMEOUT);
    cr_assert(strstr(choir_loop_error(w.loop).data, "the server takes no more sessions"), "%s",
              choir_loop_error(w.loop).data);
    w.closed = 0;
    world_end(&w);
}

static net_sockaddr local(uint16_t port) {
    return (net_sockaddr){
        .v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
}

/* A name with several addresses: each has its share of the time, and all are listed when none works. */
Test(net, addresses_are_tried_in_turn) {
    uint16_t dead, refusing = free_port();
    int fill[4], fd = full_listener(&dead, fill);
    for (int works = 0; works < 2; works++) {
        world w;
        char url[64], text[200];
        unsigned port = refusing;
        world_begin(&w);
        serve(&w, urls[0]);
        if (works) sscanf(choir_server_url(w.server), "tcp://127.0.0.1:%u", &port);
        snprintf(url, sizeof url, "tcp://127.0.0.1:%u", refusing);
        choir_client_options o = client_options(&w);
        o.connect_timeout = 3 * CHOIR_SECOND;
        cr_assert_eq(choir_connect(w.loop, url, &o, &w.client), CHOIR_OK);
        /* What a resolver would have found. */
        net_connect *c = NET_CONTAINER(w.loop->links.prev, net_link, all)->connect;
        c->found[1] = local(dead);
        c->found[2] = local((uint16_t)port);
        c->found_len = 3;
        choir_time begin = clock_now();
        cr_assert_eq(choir_client_wait_open(w.client), works ? CHOIR_OK : CHOIR_ERR_CONNECT);
        choir_duration took = clock_now() - begin;
        cr_assert_geq(took, 1400 * CHOIR_MILLISECOND);
        snprintf(text, sizeof text,
                 "127.0.0.1:%u: Connection refused; 127.0.0.1:%u: no answer in time; "
                 "127.0.0.1:%u: Connection refused",
                 refusing, dead, refusing);
        if (!works) cr_assert(strstr(w.text, text), "%s", w.text);
        world_end(&w);
    }
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
    s.services[0].handlers = NULL;
    cr_assert_eq(choir_listen(w.loop, "mem://x", &s, &w.server), CHOIR_ERR_INVALID);
    cr_assert(strstr(choir_loop_error(w.loop).data, "Testbed needs handlers"));
    s = server_options(&w);
    choir_unit unit = *testbed_service.unit;
    choir_service service = testbed_service;
    unit.abi = 77;
    service.unit = &unit;
    s.services[0].service = &service;
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

typedef struct hosts_own {
    world *w;
    bool done;
} hosts_own;

/* A callback of the host's, on its own base, of which the library knows nothing. */
static void wait_inside(evutil_socket_t fd, short what, void *ctx) {
    hosts_own *h = ctx;
    const choir_event *done = NULL;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    (void)fd, (void)what;
    cr_assert_eq(choir_client_wait_call(h->w->client, TESTBED_ECHO, &args, CHOIR_SECOND, &done),
                 CHOIR_ERR_REENTRANT);
    cr_assert_null(done);
    cr_assert_eq(choir_client_wait_open(h->w->client), CHOIR_ERR_REENTRANT);
    cr_assert_eq(choir_loop_run(h->w->loop), CHOIR_ERR_REENTRANT);
    h->done = true;
}

Test(net, a_call_that_is_refused_in_a_callback_of_the_hosts_does_not_run) {
    world w;
    struct event_base *base = event_base_new();
    world_begin_on(&w, base);
    serve(&w, "tcp://127.0.0.1:0");
    join(&w, choir_server_url(w.server));
    until(&w, w.opened == 1);
    hosts_own h = {&w, false};
    const struct timeval now = {0, 0};
    event_base_once(base, -1, EV_TIMEOUT, wait_inside, &h, &now);
    until(&w, h.done);
    echo(&w);
    until(&w, w.done == 1);
    cr_assert_eq(w.requests, 1, "and nothing else has run");
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 1);
    /* Outside of callbacks a host may wait, on its own base, too. */
    const choir_event *done;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    cr_assert_eq(choir_client_wait_call(w.client, TESTBED_ECHO, &args, PATIENCE, &done), CHOIR_OK);
    cr_assert_eq(done->outcome, CHOIR_OUTCOME_OK);
    world_end(&w);
    event_base_free(base);
}

static void run_inside(world *w) {
    const choir_event *done = NULL;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    cr_assert_eq(choir_loop_run(w->loop), CHOIR_ERR_REENTRANT);
    cr_assert_eq(choir_loop_turn(w->loop, 0), CHOIR_ERR_REENTRANT);
    cr_assert_eq(choir_client_wait_open(w->client), CHOIR_ERR_REENTRANT);
    w->result = choir_client_wait_call(w->client, TESTBED_ECHO, &args, CHOIR_SECOND, &done);
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
    cr_assert_eq(choir_loop_turn(w.loop, 0), CHOIR_OK); /* would wait for ever */
    choir_time begin = clock_now();
    cr_assert_eq(choir_loop_turn(w.loop, 30 * CHOIR_MILLISECOND), CHOIR_OK);
    choir_duration took = clock_now() - begin;
    cr_assert_geq(took, 25 * CHOIR_MILLISECOND);
    choir_time now = choir_loop_now(w.loop);
    cr_assert_leq(now, clock_now());
    cr_assert_gt(now, begin);
    world_end(&w);
}

static void wait_call(world *w, const char *url) {
    world_open(w, url);
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    w->blob = make_blob(300000);
    struct testbed_echo_bytes_args large_args = {{w->blob, 300000}};
    const choir_event *done;
    for (int i = 0; i < 50; i++) {
        echo(w); /* traffic beside it */
        cr_assert_eq(choir_client_wait_call(w->client, TESTBED_ECHO, &args, PATIENCE, &done), CHOIR_OK);
        echo(w);
        const choir_str *s = done->value;
        cr_assert_eq(done->outcome, CHOIR_OUTCOME_OK);
        cr_assert_eq(s->len, 5);
        cr_assert_eq(memcmp(s->data, "hello", 5), 0);
        cr_assert_eq(choir_client_wait_call(w->client, TESTBED_ECHO_BYTES, &large_args, PATIENCE, &done),
                     CHOIR_OK);
        const choir_bytes *b = done->value;
        cr_assert_eq(memcmp(b->data, w->blob, b->len), 0);
    }
    until(w, w->done == 100);
    w->keep = true;
    choir_time begin = clock_now();
    cr_assert_eq(choir_client_wait_call(w->client, TESTBED_ECHO, &args, 50 * CHOIR_MILLISECOND, &done),
                 CHOIR_OK);
    cr_assert_eq(done->outcome, CHOIR_OUTCOME_TIMED_OUT);
    choir_duration took = clock_now() - begin;
    cr_assert_geq(took, 49 * CHOIR_MILLISECOND);
    choir_client_close(w->client);
    cr_assert_eq(choir_client_wait_call(w->client, TESTBED_ECHO, &args, PATIENCE, &done), CHOIR_ERR_CLOSED);
    world_end(w);
}
Test(net, wait_call) {
    on_each(wait_call);
}

/* Two clients of one loop: what one wait returned must survive what the other link read in the same turn. */
Test(net, wait_call_is_not_overwritten) {
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
        cr_assert_eq(choir_client_wait_call(first, TESTBED_ECHO, &ours, PATIENCE, &done), CHOIR_OK);
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
    cr_assert_eq(choir_client_wait_call(w->client, TESTBED_ECHO, &args, PATIENCE, &done), CHOIR_ERR_CLOSED);
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
    choir_responder stranger = {.loop = client.loop, .session = server.session, .request = {1}};
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
