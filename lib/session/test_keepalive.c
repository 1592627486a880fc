/* SPDX-License-Identifier: MIT */
/* Keepalive in virtual time: who is asked when, who is dead when, and what counts as life. */
#include "session/attachment.h"
#include "session/session.h"
#include "testing/peer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* The next message must be this ping. */
static void expect_ping(test_peer *p, uint64_t nonce) {
    choiri_message m;
    cr_assert(test_peer_next(p, &m), "no ping %llu", (unsigned long long)nonce);
    cr_assert_eq(m.kind, CHOIRI_MSG_PING);
    cr_assert_eq(m.conn, 0);
    cr_assert_eq(m.id, nonce);
}

static void expect_nothing(test_peer *p) {
    choiri_message m;
    cr_assert(!test_peer_next(p, &m));
}

static int pong(test_peer *p, uint64_t nonce) {
    return test_peer_message(p, &(choiri_message){.kind = CHOIRI_MSG_PONG, .id = nonce});
}

static test_peer *open_peer(test_peer *p, bool initiator) {
    test_peer_init(p);
    p->initiator = initiator;
    test_peer_open(p, TEST_STAGE_OPEN);
    return p;
}

static void expect_alive(const test_peer *p) {
    cr_assert(choir_session_is_established(p->session), "%.*s", (int)choir_session_text(p->session).len,
              choir_session_text(p->session).data);
}

static void expect_dead(const test_peer *p) {
    cr_assert_eq(choir_session_status(p->session), CHOIR_ERR_PEER_UNRESPONSIVE, "%s",
                 choir_status_name(choir_session_status(p->session)));
    cr_assert(p->events.closed);
}

/* Lets time pass up to an absolute moment after the opening; checks that nothing is due one nanosecond
 * before. */
static void pass_until(test_peer *p, choir_time t) {
    cr_assert_gt(t, p->now);
    test_peer_sleep(p, t - p->now);
}

Test(keepalive, idle_peer_is_asked_at_10_s_and_dead_at_15_s) {
    for (int initiator = 0; initiator <= 1; initiator++) {
        test_peer p;
        choir_time t0 = open_peer(&p, initiator != 0)->now;
        cr_assert_eq(choir_session_deadline(p.session), t0 + 10 * CHOIR_SECOND);
        pass_until(&p, t0 + 10 * CHOIR_SECOND - 1);
        expect_nothing(&p);
        pass_until(&p, t0 + 10 * CHOIR_SECOND);
        expect_ping(&p, 1);
        cr_assert_eq(choir_session_deadline(p.session), t0 + 15 * CHOIR_SECOND);
        pass_until(&p, t0 + 15 * CHOIR_SECOND - 1);
        expect_alive(&p);
        pass_until(&p, t0 + 15 * CHOIR_SECOND);
        expect_dead(&p);
        expect_nothing(&p);
        cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_FINISHED);
        cr_assert(strstr(p.events.last_text, "silent for 15000 ms"), "%s", p.events.last_text);
        cr_assert_str_eq(p.events.log, "established\ndetached ERR_PEER_UNRESPONSIVE\nconn-closed "
                                       "ERR_PEER_UNRESPONSIVE\nclosed ERR_PEER_UNRESPONSIVE\n");
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}

Test(keepalive, an_answer_is_life) {
    test_peer p;
    choir_time t = open_peer(&p, false)->now;
    for (uint64_t i = 1; i <= 20; i++) {
        t += 10 * CHOIR_SECOND;
        pass_until(&p, t);
        expect_ping(&p, i);
        t += 4 * CHOIR_SECOND;
        pass_until(&p, t);
        cr_assert_eq(pong(&p, i), CHOIR_OK);
    }
    expect_alive(&p);
    cr_assert_str_eq(p.events.log, "established\n", "the host did not ask, so it is not told");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Bytes count, not payloads: a peer in the middle of a large message is alive. */
Test(keepalive, half_a_frame_is_life) {
    test_peer p;
    test_peer_init(&p);
    p.options.keepalive_send = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_time t0 = p.now;
    static const uint8_t ping[] = {3, 0, 0, 0, 0, 8, 1};
    for (size_t i = 0; i < 6; i++) {
        pass_until(&p, t0 + (i + 1) * 4 * CHOIR_SECOND);
        cr_assert_eq(test_peer_raw(&p, ping + i, 1), CHOIR_OK);
        expect_nothing(&p);
        cr_assert_eq(choir_session_deadline(p.session), p.now + 10 * CHOIR_SECOND);
    }
    expect_alive(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(keepalive, other_messages_and_wrong_pongs_are_life_too) {
    test_peer p;
    choir_time t0 = open_peer(&p, false)->now;
    pass_until(&p, t0 + 12 * CHOIR_SECOND);
    expect_ping(&p, 1);
    cr_assert_eq(pong(&p, 77), CHOIR_OK);
    cr_assert_eq(choir_session_deadline(p.session), p.now + 10 * CHOIR_SECOND);
    pass_until(&p, p.now + 12 * CHOIR_SECOND);
    expect_ping(&p, 2);
    cr_assert_eq(test_peer_ping(&p, 5), CHOIR_OK);
    cr_assert_eq(choir_session_deadline(p.session), p.now + 10 * CHOIR_SECOND);
    cr_assert_str_eq(p.events.log, "established\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- busy ---- */

static choir_call_id call(test_peer *p, uint32_t number) {
    choir_call_id id;
    cr_assert_eq(
        choir_call(p->session, choir_session_root(p->session), TRIAL_LATER, &number, NULL, &id, p->now),
        CHOIR_OK);
    test_events_call(&p->events, id);
    return id;
}

Test(keepalive, busy_peer_is_asked_at_2500_ms_and_dead_at_5_s) {
    test_peer p;
    choir_time t0 = open_peer(&p, true)->now;
    pass_until(&p, t0 + 3 * CHOIR_SECOND);
    call(&p, 1);
    test_peer_skip(&p);
    choir_time start = p.now;
    cr_assert_eq(choir_session_deadline(p.session), start + 2500 * CHOIR_MILLISECOND);
    pass_until(&p, start + 2500 * CHOIR_MILLISECOND - 1);
    expect_nothing(&p);
    pass_until(&p, start + 2500 * CHOIR_MILLISECOND);
    expect_ping(&p, 1);
    pass_until(&p, start + 5 * CHOIR_SECOND - 1);
    expect_alive(&p);
    pass_until(&p, start + 5 * CHOIR_SECOND);
    expect_dead(&p);
    cr_assert(strstr(p.events.log, "call-done later connection closed ERR_PEER_UNRESPONSIVE\n"));
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Nine seconds of silence before the call are not held against the peer. */
Test(keepalive, silence_counts_from_the_first_call) {
    test_peer p;
    choir_time t0 = open_peer(&p, true)->now;
    pass_until(&p, t0 + 9 * CHOIR_SECOND);
    call(&p, 1);
    pass_until(&p, t0 + 10 * CHOIR_SECOND);
    call(&p, 2); /* another one does not start it again */
    test_peer_skip(&p);
    pass_until(&p, t0 + 14 * CHOIR_SECOND - 1);
    expect_alive(&p);
    pass_until(&p, t0 + 14 * CHOIR_SECOND);
    expect_dead(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(keepalive, idle_again_after_the_last_answer) {
    test_peer p;
    open_peer(&p, true);
    call(&p, 1);
    call(&p, 2);
    test_peer_skip(&p);
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x00\x05", 2), CHOIR_OK);
    cr_assert_eq(choir_session_deadline(p.session), p.now + 2500 * CHOIR_MILLISECOND,
                 "one is still in flight");
    cr_assert_eq(test_peer_answer(&p, 3, TRIAL_LATER, "\x00\x06", 2), CHOIR_OK);
    cr_assert_eq(choir_session_deadline(p.session), p.now + 10 * CHOIR_SECOND);
    choir_call_id id = call(&p, 3);
    cr_assert_eq(choir_session_deadline(p.session), p.now + 2500 * CHOIR_MILLISECOND);
    cr_assert_eq(choir_cancel(p.session, id, NULL, p.now), CHOIR_OK);
    cr_assert_eq(choir_session_deadline(p.session), p.now + 10 * CHOIR_SECOND, "given up");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A slow answer is no death as long as pings are answered. */
Test(keepalive, busy_peer_that_answers_pings_lives) {
    test_peer p;
    open_peer(&p, true);
    call(&p, 1);
    test_peer_skip(&p);
    for (uint64_t i = 1; i <= 40; i++) {
        test_peer_sleep(&p, 2500 * CHOIR_MILLISECOND);
        expect_ping(&p, i);
        cr_assert_eq(pong(&p, i), CHOIR_OK);
    }
    expect_alive(&p);
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x00\x05", 2), CHOIR_OK);
    cr_assert_str_eq(p.events.log, "established\ncall-done later ok 05\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- options ---- */

Test(keepalive, options_move_the_moments) {
    test_peer p;
    test_peer_init(&p);
    p.options.keepalive_idle = 3 * CHOIR_SECOND;
    p.options.keepalive_busy = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_time t0 = p.now;
    cr_assert_eq(choir_session_deadline(p.session), t0 + 2 * CHOIR_SECOND);
    pass_until(&p, t0 + 3 * CHOIR_SECOND - 1);
    expect_alive(&p);
    pass_until(&p, t0 + 3 * CHOIR_SECOND);
    expect_dead(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);

    test_peer_init(&p);
    p.initiator = true;
    p.options.keepalive_idle = p.options.keepalive_busy = p.options.keepalive_send = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    call(&p, 1);
    cr_assert_eq(choir_session_deadline(p.session), CHOIR_TIME_NEVER, "all off");
    test_peer_sleep(&p, 1000 * CHOIR_SECOND);
    expect_alive(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Who waits for us hears from us, whatever we hear from them: every 15 s since the last message of ours. */
Test(keepalive, sends_after_15_s_without_sending) {
    test_peer p;
    open_peer(&p, false);
    for (uint64_t i = 1; i <= 5; i++) {
        choir_time start = p.now;
        for (int k = 0; k < 2; k++) { /* the peer is talkative, with messages that need no answer */
            test_peer_sleep(&p, 7 * CHOIR_SECOND);
            cr_assert_eq(pong(&p, 1000), CHOIR_OK);
        }
        expect_nothing(&p);
        cr_assert_eq(choir_session_deadline(p.session), start + 15 * CHOIR_SECOND);
        test_peer_sleep(&p, CHOIR_SECOND);
        expect_ping(&p, i);
    }
    /* An answer of ours is as good as a ping. */
    test_peer_sleep(&p, 8 * CHOIR_SECOND);
    cr_assert_eq(test_peer_ping(&p, 9), CHOIR_OK);
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && m.kind == CHOIRI_MSG_PONG && m.id == 9);
    test_peer_sleep(&p, 9 * CHOIR_SECOND);
    expect_nothing(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- time that is odd ---- */

Test(keepalive, time_that_goes_back_is_clamped) {
    test_peer p;
    test_peer_init(&p);
    p.options.keepalive_send = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_time t0 = p.now;
    pass_until(&p, t0 + 9 * CHOIR_SECOND);
    choir_session_advance(p.session, 0);
    choir_session_advance(p.session, t0);
    cr_assert_eq(choir_session_deadline(p.session), t0 + 10 * CHOIR_SECOND);
    p.now = t0;
    cr_assert_eq(pong(&p, 1), CHOIR_OK); /* received "before" the last advance */
    cr_assert_eq(choir_session_deadline(p.session), t0 + 19 * CHOIR_SECOND);
    p.now = t0 + 9 * CHOIR_SECOND;
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The process slept for an hour, whatever is called first afterwards: the peer gets its chance to answer. */
Test(keepalive, after_sleeping_silence_starts_again) {
    for (int first = 0; first < 4; first++) {
        test_peer p;
        choir_time t0 = open_peer(&p, true)->now;
        call(&p, 1);
        pass_until(&p, t0 + 2500 * CHOIR_MILLISECOND);
        test_peer_skip(&p); /* the ping is on its way */
        p.now = t0 + 3600 * CHOIR_SECOND;
        if (first == 1) choir_attachment_advance(p.attachment, p.now);
        if (first == 2) call(&p, 2);
        if (first == 3) cr_assert_eq(choir_session_ping(p.session, p.now), CHOIR_OK);
        choir_session_advance(p.session, p.now);
        test_peer_poll(&p);
        expect_alive(&p);
        choir_time t1 = p.now;
        pass_until(&p, t1 + 5 * CHOIR_SECOND - 1);
        expect_alive(&p);
        pass_until(&p, t1 + 5 * CHOIR_SECOND);
        expect_dead(&p);
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}

/* Asked late, because advance came late: the answer still has its time. */
Test(keepalive, a_late_question_leaves_time_for_its_answer) {
    test_peer p;
    choir_time t0 = open_peer(&p, false)->now;
    p.now = t0 + 14 * CHOIR_SECOND;
    choir_session_advance(p.session, p.now);
    expect_ping(&p, 1);
    cr_assert_eq(choir_session_deadline(p.session), t0 + 19 * CHOIR_SECOND);
    pass_until(&p, t0 + 19 * CHOIR_SECOND - 1);
    expect_alive(&p);
    pass_until(&p, t0 + 19 * CHOIR_SECOND);
    expect_dead(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* While we do not read, silence is our own doing; the write stall watches then. */
Test(keepalive, paused_input_is_not_silence) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.options.keepalive_send = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    static char text[200];
    memset(text, 'x', sizeof text);
    choir_str s = {text, sizeof text};
    choir_call_id id;
    cr_assert_eq(choir_call(p.session, choir_session_root(p.session), TRIAL_ECHO, &s, NULL, &id, p.now),
                 CHOIR_OK);
    test_events_call(&p.events, id);
    cr_assert(choir_attachment_interest(p.attachment) & CHOIR_WANTS_INPUT, "our own calls do not stop input");
    for (uint64_t i = 0; i < CHOIRI_PONGS_MAX; i++) cr_assert_eq(test_peer_ping(&p, i), CHOIR_OK);
    cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_HAS_OUTPUT);
    cr_assert_eq(choir_session_deadline(p.session), CHOIR_TIME_NEVER);
    p.now += 20 * CHOIR_SECOND;
    choir_session_advance(p.session, p.now);
    expect_alive(&p);
    test_peer_take(&p);
    cr_assert(choir_attachment_interest(p.attachment) & CHOIR_WANTS_INPUT);
    cr_assert_eq(choir_session_deadline(p.session), p.now + 2500 * CHOIR_MILLISECOND,
                 "the clock starts with reading");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- no memory for the question ---- */

Test(keepalive, without_memory_it_asks_again_and_then_says_so) {
    test_peer p;
    choir_time t0 = open_peer(&p, false)->now;
    test_peer_exhaust(&p);
    pass_until(&p, t0 + 12 * CHOIR_SECOND);
    expect_nothing(&p);
    expect_alive(&p);
    test_peer_restore(&p);
    pass_until(&p, t0 + 15 * CHOIR_SECOND);
    expect_ping(&p, 1);
    pass_until(&p, t0 + 20 * CHOIR_SECOND - 1);
    expect_alive(&p);
    pass_until(&p, t0 + 20 * CHOIR_SECOND);
    expect_dead(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);

    t0 = open_peer(&p, false)->now;
    test_peer_exhaust(&p);
    pass_until(&p, t0 + 15 * CHOIR_SECOND);
    cr_assert_eq(choir_session_status(p.session), CHOIR_ERR_OUT_OF_MEMORY);
    test_peer_restore(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Pongs that find no memory wait, those before them are not written twice. */
Test(keepalive, pongs_wait_for_memory) {
    test_peer p;
    open_peer(&p, true);
    p.deaf = true;
    static char text[1024];
    choir_iov iov[16];
    choir_call_id id;
    choir_str s = {text, 10};
    while (p.attachment->out.tail == NULL ||
           p.attachment->out.tail->limit - p.attachment->out.tail->end > 100) {
        cr_assert_eq(choir_call(p.session, choir_session_root(p.session), TRIAL_ECHO, &s, NULL, &id, p.now),
                     CHOIR_OK); /* until the block is nearly full */
        test_events_call(&p.events, id);
    }
    for (uint64_t i = 1; i <= 12; i++) cr_assert_eq(test_peer_ping(&p, i), CHOIR_OK);
    test_peer_exhaust(&p);
    cr_assert_gt(choir_attachment_peek(p.attachment, iov, 16), 0);
    cr_assert(p.attachment->pongs.count > 0 && p.attachment->pongs.count < 12, "%u wait",
              p.attachment->pongs.count);
    cr_assert_gt(choir_attachment_peek(p.attachment, iov, 16), 0);
    test_peer_restore(&p);
    p.deaf = false;
    choiri_message m;
    uint64_t next = 1;
    while (test_peer_next(&p, &m))
        if (m.kind == CHOIRI_MSG_PONG) cr_assert_eq(m.id, next++);
    cr_assert_eq(next, 13);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- the host's own ping ---- */

Test(keepalive, ping_of_the_host) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    cr_assert_eq(choir_session_ping(p.session, p.now), CHOIR_ERR_STATE);
    cr_assert_eq(choir_session_ping(NULL, p.now), CHOIR_ERR_STATE);
    cr_assert_eq(test_peer_hello(&p), CHOIR_OK);
    test_peer_skip(&p);
    cr_assert_eq(choir_session_ping(p.session, p.now), CHOIR_OK);
    cr_assert_eq(choir_session_ping(p.session, p.now), CHOIR_ERR_BUSY);
    expect_ping(&p, 1);
    cr_assert_eq(pong(&p, 2), CHOIR_OK);
    cr_assert_eq(pong(&p, 0), CHOIR_OK);
    cr_assert_str_eq(p.events.log, "established\n");
    cr_assert_eq(pong(&p, 1), CHOIR_OK);
    cr_assert_eq(pong(&p, 1), CHOIR_OK);
    cr_assert_str_eq(p.events.log, "established\npong\n");
    cr_assert_eq(choir_session_ping(p.session, p.now), CHOIR_OK);
    expect_ping(&p, 2);
    choir_session_close(p.session, p.now);
    cr_assert_eq(choir_session_ping(p.session, p.now), CHOIR_ERR_STATE);
    test_peer_poll(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A Pong that nobody polled when the session ended still comes before the end. */
Test(keepalive, pong_comes_before_the_end) {
    test_peer p;
    open_peer(&p, true);
    cr_assert_eq(choir_session_ping(p.session, p.now), CHOIR_OK);
    static const uint8_t bytes[] = {3, 0, 0, 0, 0, 9, 1};
    size_t used;
    cr_assert_eq(choir_attachment_receive(p.attachment, bytes, sizeof bytes, NULL, &used, p.now), CHOIR_OK);
    choir_session_close(p.session, p.now);
    test_peer_take(&p);
    cr_assert_str_eq(
        p.events.log,
        "established\npong\ndetached ERR_SHUTDOWN\nconn-closed ERR_SHUTDOWN\nclosed ERR_SHUTDOWN\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The same for ESTABLISHED, whose event frees what it pointed to with the next poll. */
Test(keepalive, established_comes_before_the_end) {
    for (int polled = 0; polled <= 1; polled++) {
        test_peer p;
        test_peer_init(&p);
        test_peer_open(&p, TEST_STAGE_HELLO);
        static const uint8_t lets_go[] = "\x09\0\0\0\xa1\x66LetsGo\xa0";
        size_t used;
        cr_assert_eq(choir_attachment_receive(p.attachment, lets_go, 13, NULL, &used, p.now), CHOIR_OK);
        if (polled) {
            const choir_event *e = choir_session_poll(p.session);
            cr_assert(e && e->kind == CHOIR_EVENT_SESSION_ESTABLISHED);
            test_events_add(&p.events, e);
            cr_assert(choir_metadata_find(e->metadata, CHOIR_STR("vox-service"), CHOIR_METADATA_STRING,
                                          &(choir_metadata_entry){.u64 = 0}));
        }
        choir_session_close(p.session, p.now);
        test_peer_poll(&p);
        cr_assert_str_eq(
            p.events.log,
            "established\ndetached ERR_SHUTDOWN\nconn-closed ERR_SHUTDOWN\nclosed ERR_SHUTDOWN\n");
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}
