/* SPDX-License-Identifier: MIT */
/* What a caller is told when a call fails: outcome, status, whether it ran, and a text. Two sessions of ours;
 * what the callee saw decides what may be said. docs/internals/failed-calls.md */
#include "testing/accounting.h"
#include "testing/pair.h"
#include "testing/peer.h"
#include "testing/trial.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* ---- the newest ends of calls ---- */

typedef struct end_of_call {
    uint32_t outcome, ran;
    int status;
    char text[1100];
    bool retryable;
} end_of_call;

typedef struct ends {
    end_of_call list[128];
    uint32_t len, started; /* calls that ended, requests that the callee saw */
} ends;

static void remember(test_side *side, const choir_event *e) {
    ends *all = side->ctx;
    if (e->kind != CHOIR_EVENT_CALL_DONE) return;
    end_of_call *k = &all->list[all->len++ % 128];
    *k = (end_of_call){e->outcome, e->ran, e->status, "", choir_event_is_retryable(e)};
    snprintf(k->text, sizeof k->text, "%.*s", (int)e->text.len, e->text.data);
}

static void count(test_side *side, const choir_event *e) {
    if (e->kind == CHOIR_EVENT_REQUEST) ((ends *)side->ctx)->started++;
}

/* A callee that answers what it can answer at once. */
static void echo(test_side *side, const choir_event *e) {
    count(side, e);
    if (e->kind == CHOIR_EVENT_REQUEST && e->method == TRIAL_ECHO)
        (void)choir_reply(side->session, e->request, e->value, NULL, side->pair->now);
}

static void begin(test_pair *p, ends *all) {
    *all = (ends){.len = 0};
    test_pair_init(p);
    p->client_root.call = &trial_service;
    p->server_root.serve = &trial_served;
    p->client.on_event = remember;
    p->server.on_event = count;
    p->client.ctx = p->server.ctx = all;
}

static void end(test_pair *p) {
    cr_assert_eq(test_pair_deinit(p), 0);
}

#define EXPECT(all, index, end_outcome, end_status, end_ran, part)                                           \
    do {                                                                                                     \
        const end_of_call *k_ = &(all)->list[index];                                                         \
        cr_assert_lt((uint32_t)(index), (all)->len);                                                         \
        cr_expect_eq(k_->outcome, (end_outcome), "%s", choir_outcome_text(k_->outcome));                     \
        cr_expect_eq(k_->status, (end_status), "%s", choir_status_name(k_->status));                         \
        cr_expect_eq(k_->ran, (end_ran));                                                                    \
        cr_expect(strstr(k_->text, (part)), "\"%s\"", k_->text);                                             \
    } while (0)

static int call(test_pair *p, uint32_t method, const void *args, choir_duration patience, choir_call_id *id) {
    choir_call_options o;
    choir_call_options_init(&o);
    if (patience != CHOIR_TIME_NEVER) o.deadline = p->now + patience;
    return test_side_call(&p->client, method, args, &o, id);
}

static const uint32_t seven = 7;

/* ---- deadlines ---- */

Test(failed, a_deadline_before_there_is_a_session) {
    test_pair p;
    ends all;
    begin(&p, &all);
    p.client.hold = true; /* the server does not hear us */
    cr_assert(!test_pair_open(&p) || !choir_session_is_established(p.client.session));
    cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_SECOND, NULL), CHOIR_OK);
    choir_session_advance(p.client.session, p.now + CHOIR_SECOND);
    test_side_poll(&p.client);
    EXPECT(&all, 0, CHOIR_OUTCOME_SEND_FAILED, CHOIR_ERR_TIMED_OUT, CHOIR_RAN_NO,
           "there was no session before the deadline");
    cr_assert(all.list[0].retryable);
    end(&p);
}

Test(failed, a_deadline_while_the_peer_takes_no_more_calls) {
    test_pair p;
    ends all;
    begin(&p, &all);
    p.server_root.max_concurrent_requests = 2;
    cr_assert(test_pair_open(&p));
    for (int i = 0; i < 2; i++) cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_TIME_NEVER, NULL), CHOIR_OK);
    cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_SECOND, NULL), CHOIR_OK);
    test_pair_sleep(&p, 2 * CHOIR_SECOND);
    EXPECT(&all, 0, CHOIR_OUTCOME_SEND_FAILED, CHOIR_ERR_TIMED_OUT, CHOIR_RAN_NO,
           "waited until the deadline for one of the 2 calls that the peer takes at a time");
    cr_assert_eq(all.started, 2);
    end(&p);
}

Test(failed, a_deadline_while_the_link_takes_nothing) {
    test_pair p;
    ends all;
    static uint8_t bytes[5000];
    choir_bytes large = {bytes, sizeof bytes};
    begin(&p, &all);
    p.client_root.max_output = 1;
    cr_assert(test_pair_open(&p));
    p.client.hold = true;
    /* The link's own queue takes 64 KiB, the connection's one call more; what follows waits. */
    for (int i = 0; i < 16; i++)
        cr_assert_eq(call(&p, TRIAL_ECHO_BYTES, &large, CHOIR_TIME_NEVER, NULL), CHOIR_OK);
    cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_SECOND, NULL), CHOIR_OK);
    choir_session_advance(p.client.session, p.now + CHOIR_SECOND);
    test_side_poll(&p.client);
    EXPECT(&all, 0, CHOIR_OUTCOME_SEND_FAILED, CHOIR_ERR_TIMED_OUT, CHOIR_RAN_NO,
           "waited until the deadline for the link");
    end(&p);
}

Test(failed, a_deadline_that_passes_at_the_peer) {
    test_pair p;
    ends all;
    begin(&p, &all);
    cr_assert(test_pair_open(&p));
    cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_SECOND, NULL), CHOIR_OK);
    test_pair_sleep(&p, 2 * CHOIR_SECOND);
    EXPECT(&all, 0, CHOIR_OUTCOME_TIMED_OUT, CHOIR_ERR_TIMED_OUT, CHOIR_RAN_MAYBE,
           "no answer before the deadline");
    cr_assert_eq(all.started, 1);
    end(&p);
}

/* A loop that comes late must not start what nobody waits for any more: neither when an older call expires
 * and makes room, nor when an answer does. */
Test(failed, overdue_calls_do_not_leave) {
    for (int by_answer = 0; by_answer <= 1; by_answer++) {
        test_pair p;
        ends all;
        choir_str text = CHOIR_STR("x");
        begin(&p, &all);
        p.server_root.max_concurrent_requests = 1;
        p.server.on_event = echo;
        cr_assert(test_pair_open(&p));
        p.server.hold = true;
        cr_assert_eq(call(&p, TRIAL_ECHO, &text, by_answer ? CHOIR_TIME_NEVER : CHOIR_SECOND, NULL),
                     CHOIR_OK);
        for (int i = 0; i < 5; i++)
            cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_SECOND + (choir_duration)i, NULL), CHOIR_OK);
        test_pair_pump(&p);
        p.now += 2 * CHOIR_SECOND;
        if (by_answer) {
            p.server.hold = false;
            test_pair_pump(&p);
            cr_assert_eq(all.len, 6);
        }
        choir_session_advance(p.client.session, p.now);
        test_pair_pump(&p);
        cr_assert_eq(all.len, 6);
        cr_assert_eq(all.started, 1);
        for (uint32_t i = 0; i < 6; i++) {
            if (all.list[i].outcome == (by_answer ? CHOIR_OUTCOME_OK : CHOIR_OUTCOME_TIMED_OUT)) continue;
            EXPECT(&all, i, CHOIR_OUTCOME_SEND_FAILED, CHOIR_ERR_TIMED_OUT, CHOIR_RAN_NO,
                   "for one of the 1 calls");
        }
        end(&p);
    }
}

/* ---- cancels ---- */

Test(failed, a_cancel_says_whether_it_left) {
    test_pair p;
    ends all;
    choir_call_id ids[2];
    begin(&p, &all);
    p.server_root.max_concurrent_requests = 1;
    cr_assert(test_pair_open(&p));
    for (int i = 0; i < 2; i++)
        cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_TIME_NEVER, &ids[i]), CHOIR_OK);
    test_pair_pump(&p);
    for (int i = 1; i >= 0; i--) cr_assert_eq(choir_cancel(p.client.session, ids[i], NULL, p.now), CHOIR_OK);
    test_side_poll(&p.client);
    EXPECT(&all, 0, CHOIR_OUTCOME_CANCELLED, CHOIR_ERR_CANCELLED, CHOIR_RAN_NO, "cancelled by the caller");
    EXPECT(&all, 1, CHOIR_OUTCOME_CANCELLED, CHOIR_ERR_CANCELLED, CHOIR_RAN_MAYBE, "cancelled by the caller");
    end(&p);
}

/* ---- ends of connections ---- */

Test(failed, the_end_of_the_link_reaches_its_calls) {
    test_pair p;
    ends all;
    begin(&p, &all);
    p.server_root.max_concurrent_requests = 1;
    cr_assert(test_pair_open(&p));
    for (int i = 0; i < 2; i++) cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_TIME_NEVER, NULL), CHOIR_OK);
    test_pair_pump(&p);
    choir_attachment_closed(p.client.attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("the cable was pulled"),
                            p.now);
    test_side_poll(&p.client);
    EXPECT(&all, 0, CHOIR_OUTCOME_CONNECTION_CLOSED, CHOIR_ERR_LINK_LOST, CHOIR_RAN_MAYBE,
           "the cable was pulled");
    EXPECT(&all, 1, CHOIR_OUTCOME_SEND_FAILED, CHOIR_ERR_LINK_LOST, CHOIR_RAN_NO, "the cable was pulled");
    cr_assert(all.list[0].retryable && all.list[1].retryable);
    end(&p);
}

/* Calls of which some lie in the link's queue and some in their connection's. Both leave after a close in
 * order: what is said to have never run must not run. */
Test(failed, what_a_closing_session_still_sends_may_run) {
    enum { CALLS = 40 };
    for (size_t size = 100; size <= 10000; size *= 10) {
        test_pair p;
        ends all;
        static uint8_t bytes[10000];
        choir_bytes args = {bytes, size};
        begin(&p, &all);
        cr_assert(test_pair_open(&p));
        p.client.hold = true;
        for (int i = 0; i < CALLS; i++)
            cr_assert_eq(call(&p, TRIAL_ECHO_BYTES, &args, CHOIR_TIME_NEVER, NULL), CHOIR_OK);
        choir_session_close(p.client.session, p.now);
        test_side_poll(&p.client);
        p.client.hold = false;
        test_pair_pump(&p);
        uint32_t never = 0;
        for (uint32_t i = 0; i < all.len; i++) never += all.list[i].ran == CHOIR_RAN_NO;
        cr_assert_eq(all.len, CALLS);
        cr_assert_leq(all.started + never, CALLS, "%zu bytes: %u ran, %u surely did not", size, all.started,
                      never);
        cr_assert_gt(all.started, 0);
        end(&p);
    }
}

/* ---- choir_session_fail ---- */

Test(failed, a_host_ends_a_session_before_there_was_a_link) {
    char longest[1500];
    memset(longest, 'x', sizeof longest);
    for (size_t len = 20; len < sizeof longest; len += 400) {
        choir_session *s;
        const choir_event *e;
        test_alloc alloc = {0};
        choir_env *env = test_env(&alloc);
        choir_conn_options root;
        choir_session_options o;
        choir_conn_options_init(&root);
        choir_session_options_init(&o);
        root.call = &trial_service;
        o.root = &root;
        cr_assert_eq(choir_session_new(env, &o, &s, 1), CHOIR_OK);
        cr_assert_eq(choir_call(s, choir_session_root(s), TRIAL_LATER, &seven, NULL, NULL, 1), CHOIR_OK);
        cr_assert_eq(choir_session_fail(s, CHOIR_ERR_CONNECT, (choir_str){longest, len}, 2), CHOIR_OK);
        cr_assert_eq(choir_session_status(s), CHOIR_ERR_CONNECT);
        int events = 0;
        while ((e = choir_session_poll(s))) {
            cr_expect_eq(e->status, CHOIR_ERR_CONNECT);
            cr_expect_eq(e->text.len, len < 1000 ? len : 1000);
            if (e->kind == CHOIR_EVENT_CALL_DONE) {
                cr_expect_eq(e->outcome, CHOIR_OUTCOME_SEND_FAILED);
                cr_expect_eq(e->ran, CHOIR_RAN_NO);
                cr_expect(choir_event_is_retryable(e));
            }
            events++;
        }
        cr_assert_eq(events, 3, "the call, its connection, the session");
        cr_assert_eq(choir_session_fail(s, CHOIR_ERR_CONNECT, CHOIR_STR("again"), 2), CHOIR_OK);
        cr_assert_eq(choir_session_text(s).len, len < 1000 ? len : 1000, "the first end stays");
        choir_session_free(s);
        choir_env_free(env);
        cr_assert_eq(alloc.bytes, 0);
    }
}

Test(failed, a_host_ends_a_session_that_lives) {
    for (int closing = 0; closing <= 1; closing++) {
        test_pair p;
        ends all;
        begin(&p, &all);
        cr_assert(test_pair_open(&p));
        cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_TIME_NEVER, NULL), CHOIR_OK);
        if (closing) {
            p.client.hold = true;
            choir_session_close(p.client.session, p.now);
        }
        cr_assert_eq(choir_session_fail(p.client.session, CHOIR_OK, CHOIR_STR(""), p.now), CHOIR_ERR_INVALID);
        cr_assert_eq(choir_session_fail(p.client.session, CHOIR_ERR_BUSY, CHOIR_STR(""), p.now),
                     CHOIR_ERR_INVALID, "a condition ends nothing");
        cr_assert_eq(choir_session_fail(p.client.session, CHOIR_ERR_SHUTDOWN, CHOIR_STR("\xff"), p.now),
                     CHOIR_ERR_INVALID);
        cr_assert_eq(choir_session_fail(NULL, CHOIR_ERR_SHUTDOWN, CHOIR_STR(""), p.now), CHOIR_ERR_INVALID);
        cr_assert(!choir_session_is_closed(p.client.session));
        cr_assert_eq(choir_session_fail(p.client.session, CHOIR_ERR_REFUSED, CHOIR_STR("banned"), p.now),
                     CHOIR_OK);
        test_side_poll(&p.client);
        if (closing) {
            EXPECT(&all, 0, CHOIR_OUTCOME_SESSION_SHUTDOWN, CHOIR_ERR_SHUTDOWN, CHOIR_RAN_MAYBE, "");
            cr_expect_str_eq(all.list[0].text, "", "what ended the session later did not end the call");
        } else {
            EXPECT(&all, 0, CHOIR_OUTCOME_CONNECTION_CLOSED, CHOIR_ERR_REFUSED, CHOIR_RAN_MAYBE, "banned");
        }
        cr_assert(!all.list[0].retryable || closing);
        cr_assert_eq(choir_session_status(p.client.session), CHOIR_ERR_REFUSED);
        end(&p);
    }
}

/* ---- too large ---- */

/* rule: ours.max-payload. The largest that fits, and one byte more; directly and out of the queue. */
Test(failed, what_the_peer_does_not_take_never_leaves) {
    size_t fits = 0;
    for (size_t size = 3500; size <= 4096 && (fits == 0 || size == fits + 1); size++) {
        test_pair p;
        ends all;
        static uint8_t bytes[4096];
        choir_bytes args = {bytes, size};
        begin(&p, &all);
        p.server_link.max_payload = 4096;
        cr_assert(test_pair_open(&p));
        int status = call(&p, TRIAL_ECHO_BYTES, &args, CHOIR_TIME_NEVER, NULL);
        if (status != CHOIR_OK) {
            choir_str why = choir_session_error(p.client.session);
            cr_assert_eq(status, CHOIR_ERR_TOO_LARGE);
            cr_assert(test_find(why.data, why.len,
                                "Trial.echo_bytes: a message of 4097 bytes, where at most 4096 are taken"),
                      "%.*s", (int)why.len, why.data);
            fits = size - 1;
        }
        test_pair_pump(&p);
        cr_assert_eq(all.started, status == CHOIR_OK);
        cr_assert(choir_session_is_established(p.client.session));
        end(&p);
        if (fits > 0) break;
    }
    cr_assert_gt(fits, 3500);
    for (int more = 0; more <= 1; more++) {
        test_pair p;
        ends all;
        static uint8_t bytes[4096];
        choir_bytes args = {bytes, fits + (size_t)more};
        begin(&p, &all);
        p.server_link.max_payload = 4096;
        p.client.hold = true;
        (void)test_pair_open(&p);
        cr_assert_eq(call(&p, TRIAL_ECHO_BYTES, &args, CHOIR_TIME_NEVER, NULL), CHOIR_OK, "it waits");
        p.client.hold = false;
        test_pair_pump(&p);
        cr_assert_eq(all.started, !more);
        if (more) {
            EXPECT(&all, 0, CHOIR_OUTCOME_SEND_FAILED, CHOIR_ERR_TOO_LARGE, CHOIR_RAN_NO,
                   "a message of 4097 bytes, where at most 4096 are taken");
            cr_assert(!all.list[0].retryable, "it can never be sent");
        }
        cr_assert(choir_session_is_established(p.client.session));
        end(&p);
    }
}

/* A caller that takes less than an answer has is told so; handlers need not know of it, and the request is
 * over. */
Test(failed, an_answer_that_the_peer_does_not_take) {
    test_pair p;
    ends all;
    static char text[3000];
    memset(text, 'x', sizeof text);
    choir_str args = {text, sizeof text};
    begin(&p, &all);
    p.client_link.max_payload = 2500;
    p.server.on_event = echo;
    cr_assert(test_pair_open(&p));
    cr_assert_eq(call(&p, TRIAL_ECHO, &args, CHOIR_TIME_NEVER, NULL), CHOIR_ERR_TOO_LARGE,
                 "our own limit is one of what we send, too");
    p.client_link.max_payload = 2500;
    args.len = 2200; /* the answer carries schemas, the call carries fewer */
    for (; args.len < 2500; args.len += 5) {
        all.len = 0;
        int status = call(&p, TRIAL_ECHO, &args, CHOIR_TIME_NEVER, NULL);
        if (status != CHOIR_OK) break;
        test_pair_pump(&p);
        cr_assert_eq(all.len, 1);
        if (all.list[0].outcome == CHOIR_OUTCOME_OK) continue;
        EXPECT(&all, 0, CHOIR_OUTCOME_INDETERMINATE, CHOIR_OK, CHOIR_RAN_MAYBE,
               " bytes, where at most 2500 are taken");
        cr_assert(!all.list[0].retryable);
    }
    cr_assert_eq(choir_session_held_requests(p.server.session), 0);
    cr_assert(choir_session_is_established(p.client.session));
    test_check_charges(p.server.session);
    end(&p);
}

/* A peer that takes too little for the answers that it asks for loses its connection, not our memory. */
Test(failed, a_peer_that_takes_next_to_nothing) {
    test_pair p;
    ends all;
    begin(&p, &all);
    p.client_link.max_payload = 200;
    p.client_link.max_handshake = 16384;
    p.server.on_event = echo;
    cr_assert(test_pair_open(&p));
    choir_str args = CHOIR_STR("x");
    for (int i = 0; i < 3 && choir_session_is_established(p.client.session); i++)
        if (call(&p, TRIAL_ECHO, &args, CHOIR_TIME_NEVER, NULL) == CHOIR_OK) test_pair_pump(&p);
    if (p.server.status != CHOIR_OK) {
        cr_assert_eq(choir_session_status(p.server.session), CHOIR_ERR_PROTOCOL);
        choir_str why = choir_session_text(p.server.session);
        cr_assert(test_find(why.data, why.len, "the peer takes at most 200 bytes, too few for an answer"),
                  "%.*s", (int)why.len, why.data);
    }
    cr_assert_eq(choir_session_held_requests(p.server.session), 0);
    end(&p);
}

static void refuse_all(test_side *side, const choir_event *e) {
    if (e->kind == CHOIR_EVENT_REQUEST)
        (void)choir_reply_invalid(side->session, e->request, CHOIR_STR("no"), side->pair->now);
}

/* Not even a refusal fits: the request is over all the same. */
Test(failed, a_refusal_that_the_peer_does_not_take) {
    for (uint32_t max = 100; max <= 700; max += 20) {
        test_pair p;
        ends all;
        begin(&p, &all);
        p.client_link.max_payload = max;
        p.client_link.max_handshake = 16384;
        p.server.on_event = refuse_all;
        cr_assert(test_pair_open(&p));
        choir_str args = CHOIR_STR("x");
        if (call(&p, TRIAL_ECHO, &args, CHOIR_TIME_NEVER, NULL) == CHOIR_OK) test_pair_pump(&p);
        cr_assert_eq(choir_session_held_requests(p.server.session), 0, "at most %u bytes", max);
        end(&p);
    }
}

/* The same behind a seal, which keeps the answer apart, at once and later: every request ends, whatever
 * fits. */
typedef struct sealing {
    choir_request_id pending;
    int verdict;
} sealing;

static int seal(void *ctx, choir_session *s, choir_request_id request, uint32_t outcome, choir_bytes answer) {
    sealing *k = ctx;
    (void)s, (void)outcome, (void)answer;
    k->pending = request;
    return k->verdict;
}

static void refuse_or_answer(test_side *side, const choir_event *e) {
    static char text[2000];
    const choir_str large = {memset(text, 'y', sizeof text), sizeof text};
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    if (e->method == TRIAL_ECHO)
        (void)choir_reply(side->session, e->request, &large, NULL, side->pair->now);
    else
        (void)choir_reply_invalid(side->session, e->request, large, side->pair->now);
}

Test(failed, sealed_answers_that_the_peer_does_not_take) {
    for (uint32_t i = 0; i < 6 * 30; i++) {
        test_pair p;
        ends all;
        sealing k = {.verdict = i % 3 == 0   ? CHOIR_VERDICT_RUN
                                : i % 3 == 1 ? CHOIR_VERDICT_REFUSE
                                             : CHOIR_VERDICT_PEND};
        const choir_hooks hooks = {.size = sizeof hooks, .ctx = &k, .seal = seal};
        choir_str text = CHOIR_STR("x");
        begin(&p, &all);
        p.client_link.max_payload = 200 + i / 6 * 50;
        p.client_link.max_handshake = 16384;
        p.server_root.hooks = &hooks;
        p.server.on_event = refuse_or_answer;
        cr_assert(test_pair_open(&p));
        bool refusal = i / 3 % 2;
        int status = call(&p, refusal ? TRIAL_LATER : TRIAL_ECHO, refusal ? (const void *)&seven : &text,
                          CHOIR_TIME_NEVER, NULL);
        if (status == CHOIR_OK) test_pair_pump(&p);
        if (k.verdict == CHOIR_VERDICT_PEND && k.pending.v) {
            int verdict = i / 6 % 2 ? CHOIR_VERDICT_RUN : CHOIR_VERDICT_REFUSE;
            (void)choir_request_seal(p.server.session, k.pending, verdict, p.now);
            test_side_poll(&p.server);
            test_pair_pump(&p);
        }
        cr_assert_eq(choir_session_held_requests(p.server.session), 0, "case %u", i);
        if (all.len > 0 && all.list[0].status == CHOIR_OK && refusal && k.verdict == CHOIR_VERDICT_RUN)
            EXPECT(&all, 0, CHOIR_OUTCOME_INVALID_PAYLOAD, CHOIR_OK, CHOIR_RAN_NO, "");
        if (p.server.session) test_check_charges(p.server.session);
        end(&p);
    }
}

/* A refusal leaves its text out when that does not fit. */
Test(failed, a_long_refusal_is_said_without_its_text) {
    test_pair p;
    ends all;
    begin(&p, &all);
    p.client_link.max_payload = 1500;
    p.client_link.max_handshake = 16384;
    p.server.on_event = refuse_or_answer;
    cr_assert(test_pair_open(&p));
    cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_TIME_NEVER, NULL), CHOIR_OK);
    test_pair_pump(&p);
    EXPECT(&all, 0, CHOIR_OUTCOME_INVALID_PAYLOAD, CHOIR_OK, CHOIR_RAN_NO, "");
    cr_assert_str_eq(all.list[0].text, "");
    cr_assert(choir_session_is_established(p.client.session));
    end(&p);
}

/* ---- errors of functions ---- */

static void expect_error(const choir_session *s, const char *text) {
    choir_str why = choir_session_error(s);
    cr_expect(why.len == strlen(text) && memcmp(why.data, text, why.len) == 0, "\"%.*s\", not \"%s\"",
              (int)why.len, why.data, text);
}

Test(failed, errors_carry_facts) {
    test_pair p;
    ends all;
    begin(&p, &all);
    p.client_root.max_queued_calls = 0;
    p.server_root.max_concurrent_requests = 1;
    cr_assert(test_pair_open(&p));
    choir_session *s = p.client.session;
    choir_conn_id root = choir_session_root(s);
    expect_error(s, "");
    choir_str broken = {"a\xff", 2}, text = CHOIR_STR("x");
    cr_assert_eq(choir_call(s, root, TRIAL_ECHO, &broken, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    expect_error(s, "Trial.echo: args.0: string is not UTF-8");
    cr_assert_eq(choir_call(s, root, TRIAL_ECHO, NULL, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    expect_error(s, "Trial.echo: tuple is missing (NULL)");
    const trial_tree *deep = NULL;
    trial_tree trees[80];
    for (int i = 79; i >= 0; i--) {
        trees[i] = (trial_tree){1, {deep, deep != NULL}};
        deep = &trees[i];
    }
    cr_assert_eq(choir_call(s, root, TRIAL_MEASURE, deep, NULL, NULL, p.now), CHOIR_ERR_DEPTH);
    choir_str why = choir_session_error(s);
    cr_expect(test_find(why.data, why.len, "nested deeper than 64"), "%.*s", (int)why.len, why.data);
    cr_assert_eq(choir_call(s, root, 99, &text, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    expect_error(s, "method number 99 of Trial, which has 12");
    cr_assert_eq(choir_call(s, root, TRIAL_WATCH, &text, NULL, NULL, p.now), CHOIR_ERR_UNSUPPORTED);
    expect_error(s, "methods with channels cannot be called yet");
    const choir_metadata_entry bad = {
        .key = {"\xff", 1}, .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"x", 1}};
    choir_call_options o;
    choir_call_options_init(&o);
    o.metadata = &bad;
    o.metadata_len = 1;
    if (choir_call(s, root, TRIAL_ECHO, &text, &o, NULL, p.now) == CHOIR_ERR_INVALID)
        expect_error(s, "Trial.echo: its metadata is not well-formed");
    o.metadata_len = 1000;
    cr_assert_eq(choir_call(s, root, TRIAL_ECHO, &text, &o, NULL, p.now), CHOIR_ERR_INVALID);
    expect_error(s, "the options of the call are not valid");
    /* What follows says nothing of what was before. */
    cr_assert_eq(call(&p, TRIAL_LATER, &seven, CHOIR_TIME_NEVER, NULL), CHOIR_OK);
    cr_assert_eq(choir_call(s, root, TRIAL_ECHO, &broken, NULL, NULL, p.now), CHOIR_ERR_BLOCKED);
    expect_error(s, "");
    cr_assert_eq(choir_call(s, (choir_conn_id){12345}, TRIAL_ECHO, &text, NULL, NULL, p.now),
                 CHOIR_ERR_NOT_FOUND);
    expect_error(s, "the connection has ended");
    cr_assert_eq(choir_call(s, root, 99, &text, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    const choir_request_id nobody = {77};
    static const char *const old = "method number 99 of Trial, which has 12";
    expect_error(s, old);
    cr_assert_eq(choir_reply_unknown(s, nobody, p.now), CHOIR_ERR_NOT_FOUND);
    expect_error(s, "");
    cr_assert_eq(choir_call(s, root, 99, &text, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_reply_error(s, nobody, &text, NULL, p.now), CHOIR_ERR_NOT_FOUND);
    expect_error(s, "");
    cr_assert_eq(choir_call(s, root, 99, &text, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_request_drop(s, nobody, NULL, p.now), CHOIR_ERR_NOT_FOUND);
    expect_error(s, "");
    /* When the session is over, its text is the reason for that and stays it. */
    test_pair_cut(&p);
    expect_error(p.client.session, "");
    choir_str reason = choir_session_text(p.client.session);
    cr_assert_gt(reason.len, 0);
    cr_assert_eq(choir_call(s, root, TRIAL_ECHO, &broken, NULL, NULL, p.now), CHOIR_ERR_CLOSED);
    cr_assert_eq(choir_session_text(p.client.session).data, reason.data);
    end(&p);
}

static uint32_t warnings;
static char last_warning[300];

static void on_log(void *ctx, uint32_t level, const char *area, choir_str text) {
    (void)ctx, (void)area;
    if (level != CHOIR_LOG_WARNING) return;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%.*s", (int)text.len, text.data);
}

/* Handlers that do not look at statuses: once for each method, however often it happens. */
static void answer_badly(test_side *side, const choir_event *e) {
    const choir_str broken = {"\xff", 1};
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    cr_assert_eq(choir_reply(side->session, e->request, &broken, NULL, side->pair->now), CHOIR_ERR_INVALID);
    expect_error(side->session, "Trial.echo cannot be answered: string is not UTF-8");
    cr_assert_eq(choir_request_drop(side->session, e->request, NULL, side->pair->now), CHOIR_OK);
}

Test(failed, a_bad_answer_is_logged_once) {
    test_pair p;
    ends all;
    begin(&p, &all);
    p.server.on_event = answer_badly;
    cr_assert(test_pair_open(&p));
    p.env->log = on_log;
    p.env->log_level = CHOIR_LOG_WARNING;
    choir_str text = CHOIR_STR("x");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(call(&p, TRIAL_ECHO, &text, CHOIR_TIME_NEVER, NULL), CHOIR_OK);
        test_pair_pump(&p);
        EXPECT(&all, (uint32_t)i, CHOIR_OUTCOME_CANCELLED, CHOIR_OK, CHOIR_RAN_MAYBE, "");
    }
    cr_assert_eq(warnings, 1);
    cr_assert_str_eq(last_warning, "Trial.echo cannot be answered: string is not UTF-8");
    end(&p);
}

/* 64 long polls fill a connection; its operator learns it, once. (A peer that keeps to the number waits by
 * itself.) */
Test(failed, handlers_that_take_all_places_are_logged) {
    test_peer p;
    test_peer_init(&p);
    p.root.serve = &trial_served;
    p.root.max_concurrent_requests = 3;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.env->log = on_log;
    p.env->log_level = CHOIR_LOG_WARNING;
    for (uint64_t id = 1; id <= 11; id += 2) {
        cr_assert_eq(test_peer_call(&p, id, TRIAL_LATER, "\x07", 1), CHOIR_OK);
        cr_assert_eq(warnings, id > 5);
    }
    cr_assert_str_eq(last_warning, "3 requests of a peer are with their handlers (max_concurrent_requests); "
                                   "more of them wait");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- NULL means none ---- */

/* Wherever options, a reason or a text are given; what is needed says ERR_INVALID. */
Test(failed, null_for_options_means_the_defaults) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_session *s;
    choir_attachment *a;
    cr_assert_eq(choir_session_new(env, NULL, &s, 1), CHOIR_OK);
    cr_assert_eq(choir_call(s, choir_session_root(s), 0, NULL, NULL, NULL, 1), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_attachment_new_initiator(env, NULL, s, &a, 1), CHOIR_OK);
    cr_assert_eq(choir_attachment_new_acceptor(env, NULL, &a, 1), CHOIR_OK);
    cr_assert_eq(choir_attachment_accept(a, NULL, &s, 1), CHOIR_ERR_STATE);
    choir_attachment_free(a, 1);
    cr_assert_eq(choir_session_new(NULL, NULL, &s, 1), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_session_new(env, NULL, NULL, 1), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_attachment_new_acceptor(NULL, NULL, &a, 1), CHOIR_ERR_INVALID);
    choir_env *none;
    cr_assert_eq(choir_env_new(NULL, &none), CHOIR_ERR_INVALID, "a core without an allocator is none");
    choir_session_free(s);
    choir_session_free(NULL);
    choir_attachment_free(NULL, 1);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
    /* A whole session with nothing but defaults: accept, call, cancel, reply, drop. */
    test_pair p;
    ends all;
    choir_call_id id;
    begin(&p, &all);
    cr_assert(test_pair_open(&p));
    cr_assert_eq(choir_call(p.client.session, choir_session_root(p.client.session), TRIAL_LATER, &seven, NULL,
                            &id, p.now),
                 CHOIR_OK);
    test_events_call(&p.client.events, id);
    cr_assert_eq(choir_cancel(p.client.session, id, NULL, p.now), CHOIR_OK);
    test_pair_pump(&p);
    end(&p);
}

/* ---- tables ---- */

/* rule: rpc.retryable */
Test(failed, what_may_succeed_later) {
    for (uint32_t outcome = 0; outcome < 12; outcome++)
        cr_expect_eq(choir_outcome_is_retryable(outcome), outcome >= 5 && outcome <= 7, "%u", outcome);
    static const int later[] = {CHOIR_ERR_TIMED_OUT,      CHOIR_ERR_CONNECT, CHOIR_ERR_RESOLVE,
                                CHOIR_ERR_BLOCKED,        CHOIR_ERR_IO,      CHOIR_ERR_LINK_LOST,
                                CHOIR_ERR_CONNECT_TIMEOUT};
    static const int never[] = {CHOIR_OK,
                                CHOIR_ERR_INVALID,
                                CHOIR_ERR_ADDRESS,
                                CHOIR_ERR_REFUSED,
                                CHOIR_ERR_PROTOCOL,
                                CHOIR_ERR_TOO_LARGE,
                                CHOIR_ERR_REJECTED,
                                CHOIR_ERR_PROLOGUE,
                                CHOIR_ERR_NEWER_PEER,
                                12345};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        cr_expect(choir_status_is_retryable(later[i]), "%s", choir_status_name(later[i]));
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        cr_expect(!choir_status_is_retryable(never[i]), "%s", choir_status_name(never[i]));
}
