/* SPDX-License-Identifier: MIT */
/* Testbed's handlers. Each is answered at once, but for an echo that was asked to be slow: its answer waits in the
 * request's own memory for a timer of libevent, and goes when the timer fires, the caller cancels or the session ends,
 * whichever is first. */
#include "serve_testbed.h"

#include "testbed/testbed_handlers.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

/* More than the largest message. */
#define ARENA_MAX ((size_t)32 << 20)

/* ---- answers ---- */

/* What cannot be answered is dropped, so that its caller need not wait for ever. */
static void answer(choir_responder to, int result, const void *value, const void *error) {
    int status = result;
    if (result == CHOIR_OK) status = choir_respond(to, value);
    if (result == TESTBED_USER_ERROR) status = choir_respond_error(to, error);
    if (status != CHOIR_OK) choir_respond_drop(to);
}

/* The echoes: the one argument is the answer, and is sent from where it lies. */
static void echo_any(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    (void)ctx, (void)request;
    answer(to, CHOIR_OK, args, NULL);
}

static void reverse(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    const serve_testbed *t = ctx;
    choir_arena *arena;
    choir_str value;
    (void)request;
    if (choir_arena_new(choir_loop_env(t->loop), ARENA_MAX, &arena) != CHOIR_OK) {
        choir_respond_drop(to);
        return;
    }
    answer(to, testbed_reverse(args, arena, &value), &value, NULL);
    choir_arena_free(arena);
}

static void divide(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    int64_t value;
    testbed_math_error error;
    (void)ctx, (void)request;
    answer(to, testbed_divide(args, &value, &error), &value, &error);
}

static void lookup(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    testbed_person value;
    testbed_lookup_error error;
    (void)ctx, (void)request;
    answer(to, testbed_lookup(args, &value, &error), &value, &error);
}

/* ---- answers that wait ---- */

typedef struct waiting {
    choir_responder to;
    const void *value;
    struct event timer;
} waiting;

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    const waiting *w = arg;
    (void)fd, (void)what;
    answer(w->to, CHOIR_OK, w->value, NULL);
}

static void answer_later(const serve_testbed *t, choir_responder to, const void *value, uint32_t ms) {
    const struct timeval after = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    waiting *w = choir_responder_alloc(to, sizeof *w, _Alignof(waiting));
    if (w) {
        w->to = to;
        w->value = value;
    }
    if (!w || event_assign(&w->timer, t->base, -1, 0, on_timer, w) != 0 || event_add(&w->timer, &after) != 0)
        choir_respond_drop(to);
    else
        choir_responder_set_user_data(to, w);
}

/* The request was cancelled or is over. If its answer still waits, it does so no longer. */
static void end_waiting(choir_responder to, void *user_data) {
    waiting *w = user_data;
    if (!w) return;
    event_del(&w->timer);
    choir_respond_drop(to);
}

static void cancelled(void *ctx, choir_responder to, void *user_data) {
    (void)ctx;
    end_waiting(to, user_data);
}

static void ended(void *ctx, choir_responder to, void *user_data, uint32_t outcome) {
    (void)ctx, (void)outcome;
    end_waiting(to, user_data);
}

/* ---- echo and its hooks ---- */

/* "slow:250:text" is 250. */
static bool is_slow(choir_str message, uint32_t *ret_ms) {
    uint64_t ms = 0;
    size_t at = 5;
    if (message.len < at || memcmp(message.data, "slow:", at) != 0) return false;
    for (; at < message.len && message.data[at] >= '0' && message.data[at] <= '9' && ms <= UINT32_MAX; at++)
        ms = ms * 10 + (uint64_t)(message.data[at] - '0');
    if (at == 5 || at == message.len || message.data[at] != ':' || ms > UINT32_MAX) return false;
    *ret_ms = (uint32_t)ms;
    return true;
}

static bool is_text(choir_str message, const char *text) {
    return message.len == strlen(text) && memcmp(message.data, text, message.len) == 0;
}

static void echo(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    const serve_testbed *t = ctx;
    const testbed_echo_args *in = args;
    uint32_t ms;
    (void)request;
    if (t->hooks && is_text(in->message, "exit")) _Exit(3);
    if (t->hooks && is_text(in->message, "panic"))
        choir_respond_drop(to);
    else if (t->hooks && is_slow(in->message, &ms))
        answer_later(t, to, &in->message, ms);
    else
        answer(to, CHOIR_OK, &in->message, NULL);
}

void serve_testbed_options(serve_testbed *testbed, choir_server_options *options) {
    static choir_handler *const handlers[TESTBED_METHODS] = {
        [TESTBED_ECHO] = echo,
        [TESTBED_REVERSE] = reverse,
        [TESTBED_DIVIDE] = divide,
        [TESTBED_LOOKUP] = lookup,
        [TESTBED_ECHO_GNARLY] = echo_any,
        [TESTBED_ECHO_BYTES] = echo_any,
        [TESTBED_ECHO_BOOL] = echo_any,
        [TESTBED_ECHO_U64] = echo_any,
        [TESTBED_ECHO_OPTION_STRING] = echo_any,
    };
    options->service = &testbed_service;
    options->handlers = handlers;
    options->ctx = testbed;
    options->cancelled = cancelled;
    options->ended = ended;
}
