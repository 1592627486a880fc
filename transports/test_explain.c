/* SPDX-License-Identifier: MIT */
/* choir_explain: one line about each way in which a call can fail, by what a person asks. */
#include "test_world.h"

typedef struct told {
    choir_client *client;
    char line[1024];
    uint32_t done;
} told;

static void tell(void *ctx, const choir_event *done) {
    told *t = ctx;
    choir_explain(t->client, CHOIR_OK, done, t->line, sizeof t->line);
    t->done++;
    /* Whatever room there is, it is kept to. */
    char room[1026];
    for (size_t size = 1; size <= 1024; size += size < 40 ? 1 : 53) {
        memset(room, '#', sizeof room);
        cr_assert_eq(choir_explain(t->client, CHOIR_OK, done, room, size), room);
        cr_assert_lt(strlen(room), size);
        cr_assert_eq(room[size], '#');
        if (size > strlen(t->line))
            cr_assert_str_eq(room, t->line);
        else if (size > 4)
            cr_assert_str_eq(room + size - 4, "...");
    }
}

static void call_and_tell(world *w, told *t, choir_duration patience) {
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    choir_call_options o;
    choir_call_options_init(&o);
    if (patience > 0) o.deadline = choir_loop_now(w->loop) + patience;
    *t = (told){.client = w->client};
    cr_assert_eq(choir_client_call(w->client, TESTBED_ECHO, &args, &o, tell, t, NULL), CHOIR_OK);
    until(w, t->done == 1);
}

static void expect_line(const told *t, const char *start, const char *end) {
    size_t len = strlen(t->line), tail = strlen(end);
    cr_expect_eq(strncmp(t->line, start, strlen(start)), 0, "%s", t->line);
    cr_expect(len >= tail && strcmp(t->line + len - tail, end) == 0, "%s", t->line);
}

Test(explain, nobody_listens) {
    world w;
    told t;
    char url[64];
    world_begin(&w);
    uint16_t port;
    close(mute_listener(1, &port));
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    join(&w, url);
    cr_assert_str_eq(choir_client_url(w.client), url);
    call_and_tell(&w, &t, 0);
    expect_line(&t, "Testbed.echo: send failed: cannot connect to tcp://127.0.0.1:",
                "Connection refused. It never ran. Check that a server listens there.");
    const choir_event *done = (const choir_event *)(const void *)&w;
    struct testbed_echo_args args = {CHOIR_STR("x")};
    int status = choir_client_wait_call(w.client, TESTBED_ECHO, &args, CHOIR_SECOND, &done);
    cr_assert_eq(status, CHOIR_ERR_CLOSED);
    cr_assert_null(done, "so that what is made of it is nothing, too");
    cr_assert(!choir_event_is(done, &testbed_service, TESTBED_ECHO, CHOIR_OUTCOME_OK));
    choir_explain(w.client, status, done, t.line, sizeof t.line);
    expect_line(&t, "Testbed.echo: cannot connect to",
                "Connection refused. It never ran. Check that a server listens there.");
    world_end(&w);
}

static void explain_answers(world *w, const char *url) {
    told t;
    char at[128];
    world_open(w, url);
    snprintf(at, sizeof at, "Testbed.echo at %s: ", choir_client_url(w->client));
    call_and_tell(w, &t, 0);
    expect_line(&t, at, ": ok");
    w->invalid = true;
    call_and_tell(w, &t, 0);
    expect_line(&t, at,
                "invalid payload: the peer refused the arguments, it says \"not today\". It never ran.");
    w->keep = true;
    call_and_tell(w, &t, 20 * CHOIR_MILLISECOND);
    expect_line(
        &t, at,
        "timed out: no answer before the deadline. It may have run. Find out whether it ran before calling "
        "again.");
    world_end(w);
}
Test(explain, answers) {
    on_each(explain_answers);
}

/* What a peer wrote can neither steer a terminal nor end the line, and is not longer than a line. */
Test(explain, a_peers_text_is_quoted) {
    static char evil[70000];
    memset(evil, 'x', sizeof evil);
    memcpy(evil, "\x1b]0;owned\x07\n\xc2\x9b\"\\", 15);
    const choir_event done = {.size = sizeof done,
                              .kind = CHOIR_EVENT_CALL_DONE,
                              .method = CHOIR_METHOD_NONE,
                              .outcome = CHOIR_OUTCOME_INVALID_PAYLOAD,
                              .text = {evil, sizeof evil}};
    char line[1024];
    choir_explain(NULL, CHOIR_OK, &done, line, sizeof line);
    cr_assert(strstr(line, "it says \"\\x1b]0;owned\\x07\\x0a\\xc2\\x9b\\\"\\\\xxx"), "%s", line);
    cr_assert_lt(strlen(line), 400);
    for (const char *c = line; *c; c++) cr_assert(*c >= 0x20 && *c < 0x7f);
}

/* A host's text is one line, too: C1 controls have two bytes. */
Test(explain, a_hosts_text_is_one_line) {
    const choir_event done = {.size = sizeof done,
                              .kind = CHOIR_EVENT_CALL_DONE,
                              .method = CHOIR_METHOD_NONE,
                              .outcome = CHOIR_OUTCOME_CONNECTION_CLOSED,
                              .status = CHOIR_ERR_REFUSED,
                              .ran = CHOIR_RAN_MAYBE,
                              .text = CHOIR_STR("a\nb\xc2\x9b"
                                                "c\xc3\xa4")};
    char line[1024];
    choir_explain(NULL, CHOIR_OK, &done, line, sizeof line);
    cr_assert(strstr(line, ": a\\x0ab\\xc2\\x9bc\xc3\xa4."), "%s", line);
}

Test(explain, a_function_that_failed) {
    world w;
    told t;
    world_open(&w, "tcp://127.0.0.1:0");
    char at[128];
    const choir_event *done;
    struct testbed_echo_args broken = {{"a\xff", 2}};
    snprintf(at, sizeof at, "%s: Testbed.echo: args.0: string is not UTF-8.", choir_client_url(w.client));
    int status = choir_client_wait_call(w.client, TESTBED_ECHO, &broken, CHOIR_SECOND, &done);
    cr_assert_eq(status, CHOIR_ERR_INVALID);
    choir_explain(w.client, status, done, t.line, sizeof t.line);
    cr_assert_str_eq(t.line, at);
    choir_explain(NULL, CHOIR_ERR_REENTRANT, NULL, t.line, sizeof t.line);
    cr_assert_str_eq(
        t.line, "would wait inside a callback of the same loop. Call with a callback instead of waiting.");
    choir_explain(NULL, CHOIR_OK, NULL, t.line, sizeof t.line);
    cr_assert_str_eq(t.line, "ok");
    cr_assert_str_eq(choir_explain(NULL, CHOIR_OK, NULL, NULL, 0), "");
    world_end(&w);
}
