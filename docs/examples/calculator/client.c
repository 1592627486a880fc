/* SPDX-License-Identifier: MIT */
/* Calls the calculator in every way there is: waiting, with a deadline, with a callback.
 * usage: client [tcp://HOST:PORT] */
#include "calculator.h"

#include <choir/net.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static _Noreturn void die(const char *what, choir_str why) {
    fprintf(stderr, "%s: %.*s\n", what, (int)why.len, why.data);
    exit(1);
}

/* Every method of this service has an i64 as its result. */
static void print(const char *what, const choir_event *done) {
    if (done->outcome == CHOIR_OUTCOME_OK) {
        printf("%s: %" PRId64 "\n", what, *(const int64_t *)done->value);
    } else if (done->outcome == CHOIR_OUTCOME_USER_ERROR) {
        const calculator_divide_error *error = done->value;
        printf("%s: %s\n", what, error->tag == CALCULATOR_BY_ZERO ? "division by zero" : "overflow");
    } else {
        printf("%s: %s%s%.*s\n", what, choir_outcome_text(done->outcome), done->text.len > 0 ? ": " : "",
               (int)done->text.len, done->text.data);
    }
}

/* Calls and waits, at most for `timeout`. */
static void ask(choir_loop *loop, choir_client *client, const char *what, uint32_t method, const void *args,
                choir_duration timeout) {
    const choir_event *done;
    if (choir_client_call_wait(client, method, args, timeout, &done)) die(what, choir_loop_error(loop));
    print(what, done);
}

static int answers;

static void on_next_sum(void *ctx, const choir_event *done) {
    print(ctx, done);
    answers++;
}

int main(int argc, char **argv) {
    choir_loop *loop;
    choir_client *client;
    choir_client_options options;
    char first[] = "next_sum", second[] = "another next_sum";
    choir_call_id call;

    choir_client_options_init(&options);
    options.service = &calculator_service;
    if (choir_loop_new(NULL, &loop)) return 1;
    if (choir_connect(loop, argc > 1 ? argv[1] : "tcp://127.0.0.1:7711", &options, &client) ||
        choir_client_wait_open(client))
        die("connect", choir_loop_error(loop));

    ask(loop, client, "2 + 3", CALCULATOR_ADD, &(calculator_add_args){2, 3}, CHOIR_SECOND);
    ask(loop, client, "-7 / 2", CALCULATOR_DIVIDE, &(calculator_divide_args){-7, 2}, CHOIR_SECOND);
    ask(loop, client, "1 / 0", CALCULATOR_DIVIDE, &(calculator_divide_args){1, 0}, CHOIR_SECOND);
    ask(loop, client, "too much", CALCULATOR_ADD, &(calculator_add_args){INT64_MAX, 1}, CHOIR_SECOND);
    ask(loop, client, "next_sum, alone", CALCULATOR_NEXT_SUM, NULL, 100 * CHOIR_MILLISECOND);

    /* Many calls may be under way; each is answered by its callback, in whatever order. */
    if (choir_client_call(client, CALCULATOR_NEXT_SUM, NULL, NULL, on_next_sum, first, NULL) ||
        choir_client_call(client, CALCULATOR_NEXT_SUM, NULL, NULL, on_next_sum, second, &call))
        die("call", choir_loop_error(loop));
    choir_client_cancel(client, call);
    ask(loop, client, "20 + 22", CALCULATOR_ADD, &(calculator_add_args){20, 22}, CHOIR_SECOND);
    while (answers < 2) {
        if (choir_loop_turn(loop, CHOIR_TIME_NEVER)) die("loop", choir_loop_error(loop));
    }
    choir_loop_free(loop);
    return 0;
}
