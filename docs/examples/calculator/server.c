/* SPDX-License-Identifier: MIT */
/* Serves the calculator: answers at once, with an error of its own, or later.
 * usage: server [tcp://HOST:PORT] */
#include "calculator.h"

#include <stdio.h>

/* A request of next_sum that waits for its answer. It lies in the request's own memory. */
typedef struct waiter {
    calculator_next_sum_responder to;
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
static void or_drop(int status, choir_responder to) {
    if (status != CHOIR_OK) choir_respond_drop(to);
}

static void add(void *ctx, calculator_add_responder to, const calculator_add_args *args,
                const choir_event *request) {
    calculator *c = ctx;
    int64_t sum;
    (void)request;
    if (__builtin_add_overflow(args->a, args->b, &sum)) {
        choir_respond_invalid(to.any, CHOIR_STR("the sum does not fit into 64 bits"));
        return;
    }
    or_drop(calculator_reply_add(to, sum), to.any);
    while (c->waiting) {
        calculator_next_sum_responder other = c->waiting->to;
        take_off(c->waiting);
        or_drop(calculator_reply_next_sum(other, sum), other.any);
    }
}

static void divide(void *ctx, calculator_divide_responder to, const calculator_divide_args *args,
                   const choir_event *request) {
    (void)ctx, (void)request;
    bool by_zero = args->divisor == 0;
    if (by_zero || (args->dividend == INT64_MIN && args->divisor == -1)) {
        const calculator_divide_error why = {by_zero ? CALCULATOR_DIVIDE_ERROR_BY_ZERO
                                                     : CALCULATOR_DIVIDE_ERROR_OVERFLOW};
        or_drop(calculator_fail_divide(to, &why), to.any);
    } else {
        or_drop(calculator_reply_divide(to, args->dividend / args->divisor), to.any);
    }
}

static void next_sum(void *ctx, calculator_next_sum_responder to, const choir_event *request) {
    calculator *c = ctx;
    choir_session *session = choir_responder_session(to.any);
    waiter *w = choir_request_alloc(session, to.any.request, sizeof *w, _Alignof(waiter));
    (void)request;
    if (!w) {
        choir_respond_drop(to.any);
        return;
    }
    *w = (waiter){to, c->waiting, &c->waiting};
    if (w->next) w->next->link = &w->next;
    c->waiting = w;
    choir_request_set_user_data(session, to.any.request, w);
}

/* The caller gave a request up, or has gone. Whoever waits with one must drop it then. */
static void let_go(void *ctx, choir_responder to, const choir_event *event) {
    waiter *w = event->user_data;
    (void)ctx;
    if (!w || !w->link) return;
    take_off(w);
    choir_respond_drop(to);
}

int main(int argc, char **argv) {
    static const calculator_handlers handlers = {
        .size = sizeof handlers, .add = add, .divide = divide, .next_sum = next_sum};
    calculator state = {NULL};
    choir_loop *loop;
    choir_server *server;
    choir_loop_options loop_options;
    choir_env_options env_options;
    choir_server_options options;

    choir_loop_options_init(&loop_options);
    choir_env_options_init(&env_options);
    env_options.log = choir_log_to_stderr;
    loop_options.env = &env_options;
    choir_server_options_init(&options);
    calculator_serve(&options, &handlers, &state);
    options.cancelled = let_go;
    options.ended = let_go;
    if (choir_loop_new(&loop_options, &loop)) return 1;
    if (choir_listen(loop, argc > 1 ? argv[1] : "tcp://127.0.0.1:7711", &options, &server)) {
        choir_str why = choir_loop_error(loop);
        fprintf(stderr, "%.*s\n", CHOIR_STR_ARGS(why));
        choir_loop_free(loop);
        return 1;
    }
    printf("listening on %s\n", choir_server_url(server));
    fflush(stdout);
    choir_loop_run(loop);
    choir_loop_free(loop);
    return 0;
}
