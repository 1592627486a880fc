/* SPDX-License-Identifier: MIT */
/* The C client of the interoperability tests: runs the scenarios that the Rust client has, with the same names, and prints
 * the outcomes in the same words (Rust's debug format, driven by the type descriptors), so that the lines can be compared.
 *
 *   client HOST:PORT SCENARIO...   |   client HOST:PORT all   |   client --list
 * Exit status: 0 all well, 1 a check failed, 2 no connection or a wrong command line. */
#include "choir/net.h"
#include "interop/debug.h"
#include "testbed/testbed.h"
#include "testbed/testbed_mistyped.h"
#include "testbed/testbed_newer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT     (20 * CHOIR_SECOND)
#define PIPELINED 1000u

static choir_loop *loop;
static const char *address;
static unsigned passed, failed;

/* ---- results ---- */

static void verdict(const char *name, const char *got, const char *expected, bool ok) {
    char *shown = debug_abbreviate(got);
    printf("result %s %s\n", name, shown);
    if (ok) {
        passed++;
        printf("ok %s\n", name);
    } else {
        failed++;
        printf("FAIL %s: got %s expected %s\n", name, shown, expected);
    }
    fflush(stdout);
    free(shown);
}

static void expect(const char *name, const char *got, const char *expected) {
    verdict(name, got, expected, strcmp(got, expected) == 0);
}

static choir_client *open_client(const choir_service *service) {
    choir_client_options options;
    choir_client *client;
    char url[128];
    choir_client_options_init(&options);
    options.service = service;
    snprintf(url, sizeof url, "tcp://%s", address);
    int status = choir_connect(loop, url, &options, &client);
    if (status == CHOIR_OK) status = choir_client_wait_open(client);
    if (status == CHOIR_OK) return client;
    choir_str why = choir_loop_error(loop);
    fprintf(stderr, "no session with %s: %s %.*s\n", url, choir_status_text(status), (int)why.len, why.data);
    exit(2);
}

/* Calls and waits; what came back in Rust's words, owned by the caller. */
static char *call(choir_client *client, const choir_service *service, uint32_t method, const void *args) {
    const choir_event *done;
    int status = choir_client_call_wait(client, method, args, LIMIT, &done);
    if (status != CHOIR_OK) {
        char *text = malloc(64);
        snprintf(text, 64, "no call: %s", choir_status_name(status));
        return text;
    }
    return debug_outcome(service, method, done);
}

static void check(choir_client *client, const char *name, uint32_t method, const void *args,
                  const char *expected) {
    char *got = call(client, &testbed_service, method, args);
    expect(name, got, expected);
    free(got);
}

/* The answer must be the argument: `type` is its type. */
static void check_echo(choir_client *client, const char *name, uint32_t method, const void *args) {
    char *got = call(client, &testbed_service, method, args);
    char *value = debug_value(testbed_service.unit, testbed_service.methods[method].ok, args);
    char *expected = malloc(strlen(value) + 8);
    sprintf(expected, "Ok(%s)", value);
    expect(name, got, expected);
    free(got);
    free(value);
    free(expected);
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
    if (++call->all->answered == PIPELINED) choir_loop_stop(loop);
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
    if (all.answered < PIPELINED) choir_loop_run(loop);
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
    if (timeout) options.deadline = choir_loop_now(loop) + timeout;
    int status = choir_client_call(client, TESTBED_ECHO, &args, &options, on_ended, ended, &id);
    if (status != CHOIR_OK) *ended = (ended_call){true, CHOIR_OUTCOME_SEND_FAILED, status};
    return id;
}

static void wait_for(const ended_call *ended) {
    choir_time end = choir_loop_now(loop) + LIMIT;
    while (!ended->over && choir_loop_now(loop) < end) choir_loop_turn(loop, CHOIR_SECOND / 10);
}

static void cancel(choir_client *client) {
    ended_call ended;
    choir_call_id id = start(client, "slow:10000:x", 0, &ended);
    choir_loop_turn(loop, 0); /* the call leaves */
    choir_client_cancel(client, id);
    wait_for(&ended);
    expect("cancel", ended.over ? choir_outcome_text(ended.outcome) : "nothing", "cancelled");
    echo(client, "cancel/echo-afterwards", "still here", 10);
}

static void deadline(choir_client *client) {
    ended_call ended;
    choir_time began = choir_loop_now(loop);
    start(client, "slow:10000:x", CHOIR_SECOND / 5, &ended);
    wait_for(&ended);
    bool in_time = choir_loop_now(loop) - began < 5 * CHOIR_SECOND;
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

enum { AUTOMATIC = 1, OWN_CLIENT = 2 };
static const struct {
    const char *name;
    unsigned kind;
} scenarios[] = {
    {"echo-empty", AUTOMATIC},
    {"echo-one-byte", AUTOMATIC},
    {"echo-1mib", AUTOMATIC},
    {"echo-non-ascii", AUTOMATIC},
    {"reverse", AUTOMATIC},
    {"divide-ok", AUTOMATIC},
    {"divide-by-zero", AUTOMATIC},
    {"divide-overflow", AUTOMATIC},
    {"divide-negative", AUTOMATIC},
    {"lookup-found", AUTOMATIC},
    {"lookup-not-found", AUTOMATIC},
    {"lookup-denied", AUTOMATIC},
    {"echo-bytes", AUTOMATIC},
    {"echo-gnarly", AUTOMATIC},
    {"scalars", AUTOMATIC},
    {"pipelined-1000", AUTOMATIC},
    {"unknown-method", AUTOMATIC | OWN_CLIENT},
    {"invalid-payload", AUTOMATIC | OWN_CLIENT},
    {"cancel", 0},
    {"deadline", 0},
    {"peer-killed", 0},
    {"slow-call", 0},
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
    if (!strcmp(name, "cancel")) cancel(c);
    if (!strcmp(name, "deadline")) deadline(c);
    if (!strcmp(name, "peer-killed")) lost(c, name, "exit");
    if (!strcmp(name, "slow-call")) {
        printf("calling\n");
        fflush(stdout);
        lost(c, name, "slow:600000:x");
    }
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
    address = argv[1];
    if (choir_loop_new(NULL, &loop) != CHOIR_OK) return 2;
    choir_client *shared = open_client(&testbed_service);
    for (int a = 2; a < argc; a++) {
        unsigned before = passed + failed;
        for (size_t i = 0; i < SCENARIOS; i++) {
            bool all = !strcmp(argv[a], "all") && (scenarios[i].kind & AUTOMATIC);
            if (!all && strcmp(argv[a], scenarios[i].name) != 0) continue;
            run_strings(shared, scenarios[i].name);
            run_results(shared, scenarios[i].name);
            run_others(shared, scenarios[i].name);
        }
        if (passed + failed == before) {
            fprintf(stderr, "no scenario is called %s; see --list\n", argv[a]);
            return 2;
        }
    }
    choir_loop_free(loop);
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
