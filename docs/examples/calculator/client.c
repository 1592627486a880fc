/* SPDX-License-Identifier: MIT */
/* Calls the calculator in every way there is: waiting, with a deadline, with a callback.
 * usage: client [tcp://HOST:PORT] */
#include "calculator.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static _Noreturn void die(const char *what, choir_str why) {
    fprintf(stderr, "%s: %.*s\n", what, CHOIR_STR_ARGS(why));
    exit(1);
}

/* `result` is NULL when the call ended without one. */
static void print(const char *what, const int64_t *result, const choir_event *done) {
    if (result)
        printf("%s: %" PRId64 "\n", what, *result);
    else
        printf("%s: %s%s%.*s\n", what, choir_outcome_text(done->outcome), done->text.len > 0 ? ": " : "",
               CHOIR_STR_ARGS(done->text));
}

/* Calls and waits, at most for a second. */
static void add(choir_loop *loop, choir_client *client, const char *what, int64_t a, int64_t b) {
    const choir_event *done;
    if (calculator_wait_add(client, a, b, CHOIR_SECOND, &done)) die(what, choir_loop_error(loop));
    print(what, calculator_ok_add(done), done);
}

static void divide(choir_loop *loop, choir_client *client, const char *what, int64_t dividend,
                   int64_t divisor) {
    const choir_event *done;
    if (calculator_wait_divide(client, dividend, divisor, CHOIR_SECOND, &done))
        die(what, choir_loop_error(loop));
    const calculator_divide_error *error = calculator_err_divide(done);
    if (error)
        printf("%s: %s\n", what,
               error->tag == CALCULATOR_DIVIDE_ERROR_BY_ZERO ? "division by zero" : "overflow");
    else
        print(what, calculator_ok_divide(done), done);
}

static int answers;

static void on_next_sum(void *ctx, const choir_event *done) {
    print(ctx, calculator_ok_next_sum(done), done);
    answers++;
}

int main(int argc, char **argv) {
    choir_loop *loop;
    choir_client *client;
    choir_client_options options;
    const choir_event *done;
    char first[] = "next_sum", second[] = "another next_sum";
    choir_call_id call;

    choir_client_options_init(&options);
    options.service = &calculator_service;
    if (choir_loop_new(NULL, &loop)) return 1;
    if (choir_connect(loop, argc > 1 ? argv[1] : "tcp://127.0.0.1:7711", &options, &client) ||
        choir_client_wait_open(client))
        die("connect", choir_loop_error(loop));

    add(loop, client, "2 + 3", 2, 3);
    divide(loop, client, "-7 / 2", -7, 2);
    divide(loop, client, "1 / 0", 1, 0);
    add(loop, client, "too much", INT64_MAX, 1);
    if (calculator_wait_next_sum(client, 100 * CHOIR_MILLISECOND, &done))
        die("next_sum", choir_loop_error(loop));
    print("next_sum, alone", calculator_ok_next_sum(done), done);

    /* Many calls may be under way; each is answered by its callback, in whatever order. */
    if (calculator_client_next_sum(client, NULL, on_next_sum, first, NULL) ||
        calculator_client_next_sum(client, NULL, on_next_sum, second, &call))
        die("call", choir_loop_error(loop));
    choir_cancel(choir_client_session(client), call, NULL, choir_loop_now(loop));
    add(loop, client, "20 + 22", 20, 22);
    while (answers < 2) {
        if (choir_loop_turn(loop, CHOIR_TIME_NEVER)) die("loop", choir_loop_error(loop));
    }
    choir_loop_free(loop);
    return 0;
}
