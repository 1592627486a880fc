/* SPDX-License-Identifier: MIT */
/* Calls a method whose types this program does not have: Calculator.divide of the calculator server.
 *
 * usage: dynamic-divide ADDRESS DIVIDEND DIVISOR */
#include <choir/dynamic.h>
#include <choir/net.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What we send we have to announce: two numbers. */
typedef struct arguments {
    int64_t dividend, divisor;
} arguments;

enum { I64, ARGUMENTS };
static const choir_field fields[] = {
    {.type = I64, .offset = offsetof(arguments, dividend)},
    {.type = I64, .offset = offsetof(arguments, divisor)},
};
static const choir_type types[] = {
    [I64] = {.kind = CHOIR_KIND_I64, .size = sizeof(int64_t), .align = _Alignof(int64_t)},
    [ARGUMENTS] = {.kind = CHOIR_KIND_TUPLE,
                   .size = sizeof(arguments),
                   .align = _Alignof(arguments),
                   .count = 2},
};
static const choir_unit unit = {CHOIR_UNIT_HEADER, .types = types, .types_len = 2,  .fields = fields,
                                .fields_len = 2,   .strings = "",  .strings_len = 1};

/* What the peer answers it announces: the unit of the event was made from that. */
static void print(const choir_event *done) {
    choir_view answer = choir_view_of(done->unit, done->type, done->value);
    choir_str variant = choir_view_variant(answer);
    int64_t quotient;
    if (done->outcome == CHOIR_OUTCOME_OK && choir_view_i64(answer, &quotient))
        printf("%" PRId64 "\n", quotient);
    else if (done->outcome == CHOIR_OUTCOME_USER_ERROR)
        printf("error: %.*s\n", CHOIR_STR_ARGS(variant));
    else
        printf("%s: %.*s\n", choir_outcome_text(done->outcome), CHOIR_STR_ARGS(done->text));
}

int main(int argc, char **argv) {
    choir_loop *loop;
    choir_client *client;
    choir_client_options options;
    const choir_event *done;
    char why[200];
    if (argc != 4 || choir_loop_new(NULL, &loop)) return 2;
    arguments args = {strtoll(argv[2], NULL, 10), strtoll(argv[3], NULL, 10)};
    choir_client_options_init(&options);
    if (choir_service_make(choir_loop_env(loop), CHOIR_STR("Calculator"), CHOIR_STR("divide"), &unit,
                           ARGUMENTS, &options.service, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    /* The service has one method, number 0. */
    if (choir_connect(loop, argv[1], &options, &client) ||
        choir_client_wait_call(client, 0, &args, 5 * CHOIR_SECOND, &done)) {
        choir_str text = choir_loop_error(loop);
        fprintf(stderr, "%.*s\n", CHOIR_STR_ARGS(text));
        choir_loop_free(loop);
        return 1;
    }
    print(done);
    choir_loop_free(loop);
    return 0;
}
