/* SPDX-License-Identifier: MIT */
/* Serves the calculator: answers at once, with an error of its own, or later. usage: server [tcp://HOST:PORT] */
#include "calculator.h"

#include <choir/net.h>
#include <stdio.h>

/* A request of next_sum that waits for its answer. It lies in the request's own memory. */
typedef struct waiter {
    choir_responder to;
    struct waiter *next, **link; /* link is NULL once it does not wait any more */
} waiter;

typedef struct calculator {
    waiter *waiting;
} calculator;

static void take_off(waiter *w) {
    *w->link = w->next;
    if (w->next) w->next->link = w->link;
    w->link = NULL;
}

/* What cannot be answered is dropped, so that its caller need not wait for ever. */
static void answer(choir_responder to, const void *value) {
    if (choir_respond(to, value) != CHOIR_OK) choir_respond_drop(to);
}

static void add(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    const calculator_add_args *in = args;
    calculator *c = ctx;
    int64_t sum;
    (void)request;
    if (__builtin_add_overflow(in->a, in->b, &sum)) {
        choir_respond_invalid(to, CHOIR_STR("the sum does not fit into 64 bits"));
        return;
    }
    answer(to, &sum);
    while (c->waiting) {
        choir_responder other = c->waiting->to;
        take_off(c->waiting);
        answer(other, &sum);
    }
}

static void divide(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    const calculator_divide_args *in = args;
    (void)ctx, (void)request;
    if (in->divisor == 0)
        choir_respond_error(to, &(calculator_divide_error){CALCULATOR_BY_ZERO});
    else if (in->dividend == INT64_MIN && in->divisor == -1)
        choir_respond_error(to, &(calculator_divide_error){CALCULATOR_OVERFLOW});
    else
        answer(to, &(int64_t){in->dividend / in->divisor});
}

static void next_sum(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    calculator *c = ctx;
    waiter *w = choir_responder_alloc(to, sizeof *w, _Alignof(waiter));
    (void)args, (void)request;
    if (!w) {
        choir_respond_drop(to);
        return;
    }
    *w = (waiter){to, c->waiting, &c->waiting};
    if (w->next) w->next->link = &w->next;
    c->waiting = w;
    choir_responder_set_user_data(to, w);
}

/* Its caller gave a request up. Whoever waits with one must drop it then. */
static void cancelled(void *ctx, choir_responder to, void *user_data) {
    waiter *w = user_data;
    (void)ctx;
    if (!w || !w->link) return;
    take_off(w);
    choir_respond_drop(to);
}

/* A request is over, perhaps because its caller has gone. */
static void ended(void *ctx, choir_responder to, void *user_data, uint32_t outcome) {
    (void)outcome;
    cancelled(ctx, to, user_data);
}

/* Warnings and errors of the library, such as what is wrong with the tables of a service. */
static void print_log(void *ctx, uint32_t level, const char *area, choir_str text) {
    (void)ctx, (void)level;
    fprintf(stderr, "%s: %.*s\n", area, (int)text.len, text.data);
}

int main(int argc, char **argv) {
    static choir_handler *const handlers[CALCULATOR_METHODS] = {
        [CALCULATOR_ADD] = add, [CALCULATOR_DIVIDE] = divide, [CALCULATOR_NEXT_SUM] = next_sum};
    calculator state = {NULL};
    choir_loop *loop;
    choir_server *server;
    choir_loop_options loop_options;
    choir_env_options env_options;
    choir_server_options options;

    choir_loop_options_init(&loop_options);
    choir_env_options_init(&env_options);
    env_options.log = print_log;
    loop_options.env = &env_options;
    choir_server_options_init(&options);
    options.service = &calculator_service;
    options.handlers = handlers;
    options.ctx = &state;
    options.cancelled = cancelled;
    options.ended = ended;
    if (choir_loop_new(&loop_options, &loop)) return 1;
    if (choir_listen(loop, argc > 1 ? argv[1] : "tcp://127.0.0.1:7711", &options, &server)) {
        choir_str why = choir_loop_error(loop);
        fprintf(stderr, "%.*s\n", (int)why.len, why.data);
        choir_loop_free(loop);
        return 1;
    }
    printf("listening on %s\n", choir_server_url(server));
    fflush(stdout);
    choir_loop_run(loop);
    choir_loop_free(loop);
    return 0;
}
