/* SPDX-License-Identifier: MIT */
/* The C client of the interoperability tests: runs the scenarios that the Rust client has, with the same
 * names, and prints the outcomes in the same words (Rust's debug format, driven by the type descriptors), so
 * that the lines can be compared.
 *
 *   client ADDRESS SCENARIO...   |   client ADDRESS all   |   client --list
 * Exit status: 0 all well, 1 a check failed, 2 no connection or a wrong command line. */
#include "interop/checks.h"
#include "interop/evolution.h"
#include "interop/methods.h"
#include "testbed/testbed.h"
#include "testbed/testbed_mistyped.h"
#include "testbed/testbed_newer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIPELINED 1000u

/* Calls and waits; what came back in Rust's words, owned by the caller. */
static char *call(choir_client *client, const choir_service *service, uint32_t method, const void *args) {
    const choir_event *done = NULL;
    int status = choir_client_wait_call(client, method, args, LIMIT, &done);
    return outcome_text(service, method, status, done);
}

static void check(choir_client *client, const char *name, uint32_t method, const void *args,
                  const char *expected) {
    const choir_event *done = NULL;
    int status = choir_client_wait_call(client, method, args, LIMIT, &done);
    ends_with(name, method, status, done, expected);
}

/* The answer must be the argument. */
static void check_echo(choir_client *client, const char *name, uint32_t method, const void *args) {
    const choir_event *done = NULL;
    int status = choir_client_wait_call(client, method, args, LIMIT, &done);
    ends_with_value(name, method, status, done, args);
}

/* ---- scenarios: calls ---- */

static void echo(choir_client *client, const char *name, const char *text, size_t len) {
    testbed_echo_args args = {{text, len}};
    check_echo(client, name, TESTBED_ECHO, &args);
}

static void echo_1mib(choir_client *client, const char *name) {
    const size_t size = (size_t)1 << 20;
    char *text = malloc(size + 16);
    for (size_t at = 0, block = 0; at < size; at += 8) snprintf(text + at, 16, "%07zu ", block++);
    echo(client, name, text, size);
    free(text);
}

static void divide(choir_client *client, const char *name, int64_t a, int64_t b, const char *expected) {
    testbed_divide_args args = {a, b};
    check(client, name, TESTBED_DIVIDE, &args, expected);
}

static void lookup(choir_client *client, const char *name, uint32_t id, const char *expected) {
    testbed_lookup_args args = {id};
    check(client, name, TESTBED_LOOKUP, &args, expected);
}

static void lookup_found(choir_client *client) {
    lookup(client, "lookup-found/1", 1,
           "Ok(Person { name: \"Alice\", age: 30, email: Some(\"alice@example.com\") })");
    lookup(client, "lookup-found/2", 2, "Ok(Person { name: \"Bob\", age: 25, email: None })");
    lookup(client, "lookup-found/3", 3,
           "Ok(Person { name: \"Charlie\", age: 35, email: Some(\"charlie@example.com\") })");
}

static void echo_bytes(choir_client *client) {
    uint8_t all[256];
    for (int i = 0; i < 256; i++) all[i] = (uint8_t)i;
    testbed_echo_bytes_args empty = {{all, 0}}, one = {{all, 1}}, values = {{all, 256}};
    check_echo(client, "echo-bytes/empty", TESTBED_ECHO_BYTES, &empty);
    check_echo(client, "echo-bytes/one", TESTBED_ECHO_BYTES, &one);
    check_echo(client, "echo-bytes/all-values", TESTBED_ECHO_BYTES, &values);
}

static void echo_gnarly(choir_client *client) {
    static const testbed_gnarly_attr attrs[] = {{{"owner", 5}, {"root", 4}}, {{"", 0}, {"\xc3\xbc", 2}}};
    static const uint8_t small[] = {1, 2, 3}, full[] = {255, 255, 255, 255, 255}, zero[] = {0};
    static const choir_bytes chunks[] = {{zero, 0}, {small, 3}, {full, 5}}, chunk[] = {{zero, 1}};
    static const choir_str tags[] = {{"x", 1}, {"y", 1}}, children[] = {{"a.txt", 5}};
    static const uint32_t hops[] = {0, 127, 128, UINT32_MAX};
    static const uint8_t digest[] = {0xde, 0xad, 0xbe, 0xef};
    const testbed_gnarly_entry entries[] = {
        {1,
         {false, 0},
         {"a.txt", 5},
         {"/mnt/a.txt", 10},
         {attrs, 2},
         {chunks, 3},
         {.tag = TESTBED_GNARLY_KIND_FILE, .file = {{"text/plain", 10}, {tags, 2}}}},
        {300,
         {true, 1},
         {"dir", 3},
         {"/mnt/dir", 8},
         {attrs, 2},
         {NULL, 0},
         {.tag = TESTBED_GNARLY_KIND_DIRECTORY, .directory = {1, {children, 1}}}},
        {UINT64_MAX,
         {true, UINT64_MAX},
         {"ln", 2},
         {"/mnt/ln", 7},
         {attrs, 2},
         {chunk, 1},
         {.tag = TESTBED_GNARLY_KIND_SYMLINK, .symlink = {{"a.txt", 5}, {hops, 4}}}},
    };
    testbed_echo_gnarly_args args = {
        {UINT64_MAX, {"/mnt", 4}, {entries, 3}, {true, {"end", 3}}, {digest, sizeof digest}}};
    check_echo(client, "echo-gnarly", TESTBED_ECHO_GNARLY, &args);
}

static void scalars(choir_client *client) {
    testbed_echo_bool_args yes = {true}, no = {false};
    testbed_echo_u64_args zero = {0}, two_bytes = {128}, max = {UINT64_MAX};
    testbed_echo_option_string_args some = {{true, {"text", 4}}}, empty = {{true, {"", 0}}},
                                    none = {{false, {"", 0}}};
    check_echo(client, "scalars/true", TESTBED_ECHO_BOOL, &yes);
    check_echo(client, "scalars/false", TESTBED_ECHO_BOOL, &no);
    check_echo(client, "scalars/u64-zero", TESTBED_ECHO_U64, &zero);
    check_echo(client, "scalars/u64-two-bytes", TESTBED_ECHO_U64, &two_bytes);
    check_echo(client, "scalars/u64-max", TESTBED_ECHO_U64, &max);
    check_echo(client, "scalars/some", TESTBED_ECHO_OPTION_STRING, &some);
    check_echo(client, "scalars/some-empty", TESTBED_ECHO_OPTION_STRING, &empty);
    check_echo(client, "scalars/none", TESTBED_ECHO_OPTION_STRING, &none);
}

/* ---- scenarios: many at once ---- */

typedef struct pipeline {
    unsigned answered, correct;
} pipeline;

typedef struct piped_call {
    pipeline *all;
    char text[32];
} piped_call;

static void on_piped(void *ctx, const choir_event *done) {
    piped_call *call = ctx;
    const choir_str *answer = done->value;
    if (done->outcome == CHOIR_OUTCOME_OK && answer->len == strlen(call->text) &&
        memcmp(answer->data, call->text, answer->len) == 0)
        call->all->correct++;
    if (++call->all->answered == PIPELINED) choir_loop_stop(client_checks.loop);
}

static void pipelined(choir_client *client) {
    pipeline all = {0, 0};
    piped_call *calls = calloc(PIPELINED, sizeof *calls);
    char got[64];
    for (unsigned i = 0; i < PIPELINED; i++) {
        calls[i].all = &all;
        snprintf(calls[i].text, sizeof calls[i].text, "call %u", i);
        testbed_echo_args args = {{calls[i].text, strlen(calls[i].text)}};
        int status = choir_client_call(client, TESTBED_ECHO, &args, NULL, on_piped, &calls[i], NULL);
        if (status != CHOIR_OK) all.answered++;
    }
    if (all.answered < PIPELINED) choir_loop_run(client_checks.loop);
    snprintf(got, sizeof got, "Ok(\"%u of %u answers correct\")", all.correct, PIPELINED);
    expect("pipelined-1000", got, "Ok(\"1000 of 1000 answers correct\")");
    free(calls);
}

/* ---- scenarios: wrong methods and types ---- */

static void unknown_method(void) {
    choir_client *client = open_client(&newer_service);
    newer_not_there_args x = {{"x", 1}}; /* as those of the other two */
    newer_echo_args alive = {{"alive", 5}};
    static const struct {
        const char *name;
        uint32_t method;
    } cases[] = {{"unknown-method/string", NEWER_NOT_THERE},
                 {"unknown-method/string-again", NEWER_NOT_THERE},
                 {"unknown-method/unit", NEWER_NOT_THERE_UNIT},
                 {"unknown-method/fallible", NEWER_NOT_THERE_FALLIBLE}};
    for (size_t i = 0; i < 4; i++) {
        char *got = call(client, &newer_service, cases[i].method, &x);
        expect(cases[i].name, got, "Err(UnknownMethod)");
        free(got);
    }
    char *got = call(client, &newer_service, NEWER_ECHO, &alive);
    expect("unknown-method/echo-afterwards", got, "Ok(\"alive\")");
    free(got);
    choir_client_free(client);
}

static void expect_invalid(choir_client *client, const char *name, uint32_t method, const void *args) {
    static const char start[] = "Err(InvalidPayload(";
    char *got = call(client, &mistyped_service, method, args);
    verdict(name, got, "Err(InvalidPayload(..))", strncmp(got, start, sizeof start - 1) == 0);
    free(got);
}

static void invalid_payload(void) {
    choir_client *client = open_client(&mistyped_service);
    mistyped_echo_args number = {5};
    mistyped_divide_args words = {{"x", 1}, 1};
    mistyped_reverse_args abc = {{"abc", 3}};
    expect_invalid(client, "invalid-payload/echo-u64", MISTYPED_ECHO, &number);
    expect_invalid(client, "invalid-payload/divide-string", MISTYPED_DIVIDE, &words);
    char *got = call(client, &mistyped_service, MISTYPED_REVERSE, &abc);
    expect("invalid-payload/reverse-afterwards", got, "Ok(\"cba\")");
    free(got);
    choir_client_free(client);
}

/* ---- scenarios: calls that do not get their answer ---- */

typedef struct ended_call {
    bool over;
    uint32_t outcome;
    int32_t status;
} ended_call;

static void on_ended(void *ctx, const choir_event *done) {
    *(ended_call *)ctx = (ended_call){true, done->outcome, done->status};
}

static choir_call_id start(choir_client *client, const char *text, choir_duration timeout,
                           ended_call *ended) {
    testbed_echo_args args = {{text, strlen(text)}};
    choir_call_options options;
    choir_call_id id = {0};
    *ended = (ended_call){false, 0, 0};
    choir_call_options_init(&options);
    if (timeout) options.deadline = choir_loop_now(client_checks.loop) + timeout;
    int status = choir_client_call(client, TESTBED_ECHO, &args, &options, on_ended, ended, &id);
    if (status != CHOIR_OK) *ended = (ended_call){true, CHOIR_OUTCOME_SEND_FAILED, status};
    return id;
}

static void wait_for(const ended_call *ended) {
    choir_time end = choir_loop_now(client_checks.loop) + LIMIT;
    while (!ended->over && choir_loop_now(client_checks.loop) < end)
        choir_loop_turn(client_checks.loop, CHOIR_SECOND / 10);
}

static void cancel(choir_client *client) {
    ended_call ended;
    choir_call_id id = start(client, "slow:10000:x", 0, &ended);
    choir_loop_turn(client_checks.loop, 0); /* the call leaves */
    choir_cancel(choir_client_session(client), id, NULL, choir_loop_now(client_checks.loop));
    wait_for(&ended);
    expect("cancel", ended.over ? choir_outcome_text(ended.outcome) : "nothing", "cancelled");
    echo(client, "cancel/echo-afterwards", "still here", 10);
}

static void deadline(choir_client *client) {
    ended_call ended;
    choir_time began = choir_loop_now(client_checks.loop);
    start(client, "slow:10000:x", CHOIR_SECOND / 5, &ended);
    wait_for(&ended);
    bool in_time = choir_loop_now(client_checks.loop) - began < 5 * CHOIR_SECOND;
    expect("deadline", ended.over && in_time ? choir_outcome_text(ended.outcome) : "nothing", "timed out");
    echo(client, "deadline/echo-afterwards", "still here", 10);
}

static void lost(choir_client *client, const char *name, const char *text) {
    ended_call ended;
    start(client, text, 0, &ended);
    wait_for(&ended);
    char got[128];
    snprintf(got, sizeof got, "%s (%s)", ended.over ? choir_outcome_text(ended.outcome) : "nothing",
             choir_status_name(ended.status));
    verdict(name, got, "connection closed", ended.over && ended.outcome == CHOIR_OUTCOME_CONNECTION_CLOSED);
}

/* ---- the list ---- */

static const struct {
    const char *name;
    bool automatic;
} scenarios[] = {
    {"echo-empty", true},     {"echo-one-byte", true},    {"echo-1mib", true},
    {"echo-non-ascii", true}, {"reverse", true},          {"divide-ok", true},
    {"divide-by-zero", true}, {"divide-overflow", true},  {"divide-negative", true},
    {"lookup-found", true},   {"lookup-not-found", true}, {"lookup-denied", true},
    {"echo-bytes", true},     {"echo-gnarly", true},      {"scalars", true},
    {"pipelined-1000", true}, {"unknown-method", true},   {"invalid-payload", true},
    {"methods", true},        {"call-as-v1", false},      {"call-as-evolved", false},
    {"cancel", false},        {"deadline", false},        {"peer-killed", false},
    {"slow-call", false},
};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

static void run_strings(choir_client *c, const char *name) {
    static const char mixed[] =
        "a\xc3\xb1\xc3\x9f \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x98\x80 e\xcc\x81 \0 \xf4\x8f\xbf\xbf";
    static const testbed_reverse_args word = {{"a\xc3\xb1\xf0\x9f\x98\x80"
                                               "b",
                                               8}};
    if (!strcmp(name, "echo-empty")) echo(c, name, "", 0);
    if (!strcmp(name, "echo-one-byte")) echo(c, name, "a", 1);
    if (!strcmp(name, "echo-1mib")) echo_1mib(c, name);
    if (!strcmp(name, "echo-non-ascii")) echo(c, name, mixed, sizeof mixed - 1);
    if (!strcmp(name, "reverse"))
        check(c, name, TESTBED_REVERSE, &word,
              "Ok(\"b\xf0\x9f\x98\x80\xc3\xb1"
              "a\")");
}

static void run_results(choir_client *c, const char *name) {
    if (!strcmp(name, "divide-ok")) divide(c, name, 10, 3, "Ok(3)");
    if (!strcmp(name, "divide-by-zero")) divide(c, name, 10, 0, "Err(User(DivisionByZero))");
    if (!strcmp(name, "divide-overflow")) divide(c, name, INT64_MIN, -1, "Err(User(Overflow))");
    if (!strcmp(name, "divide-negative")) divide(c, name, -7, 2, "Ok(-3)");
    if (!strcmp(name, "lookup-found")) lookup_found(c);
    if (!strcmp(name, "lookup-not-found")) lookup(c, name, 999, "Err(User(NotFound))");
    if (!strcmp(name, "lookup-denied")) lookup(c, name, 100, "Err(User(AccessDenied))");
    if (!strcmp(name, "echo-bytes")) echo_bytes(c);
    if (!strcmp(name, "echo-gnarly")) echo_gnarly(c);
    if (!strcmp(name, "scalars")) scalars(c);
    if (!strcmp(name, "pipelined-1000")) pipelined(c);
}

static void run_others(choir_client *c, const char *name) {
    if (!strcmp(name, "unknown-method")) unknown_method();
    if (!strcmp(name, "invalid-payload")) invalid_payload();
    if (!strcmp(name, "methods")) call_methods(c);
    if (!strcmp(name, "call-as-v1")) call_as_v1();
    if (!strcmp(name, "call-as-evolved")) call_as_evolved();
    if (!strcmp(name, "cancel")) cancel(c);
    if (!strcmp(name, "deadline")) deadline(c);
    if (!strcmp(name, "peer-killed")) lost(c, name, "exit");
    if (!strcmp(name, "slow-call")) {
        printf("calling\n");
        fflush(stdout);
        lost(c, name, "slow:600000:x");
    }
}

/* Runs the scenarios of this name, or the automatic ones for "all"; false if there is none. */
static bool run(choir_client *shared, const char *name) {
    bool known = false;
    for (size_t i = 0; i < SCENARIOS; i++) {
        bool all = !strcmp(name, "all") && scenarios[i].automatic;
        if (!all && strcmp(name, scenarios[i].name) != 0) continue;
        known = true;
        run_strings(shared, scenarios[i].name);
        run_results(shared, scenarios[i].name);
        run_others(shared, scenarios[i].name);
    }
    return known;
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < SCENARIOS; i++) printf("%s\n", scenarios[i].name);
        return 0;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: %s HOST:PORT SCENARIO... | HOST:PORT all | --list\n", argv[0]);
        return 2;
    }
    client_checks.address = argv[1];
    if (choir_loop_new(NULL, &client_checks.loop) != CHOIR_OK) return 2;
    choir_client *shared = open_client(&testbed_service);
    for (int a = 2; a < argc; a++) {
        if (run(shared, argv[a])) continue;
        fprintf(stderr, "no scenario is called %s; see --list\n", argv[a]);
        return 2;
    }
    choir_loop_free(client_checks.loop);
    printf("%u passed, %u failed\n", client_checks.passed, client_checks.failed);
    return client_checks.failed ? 1 : 0;
}
