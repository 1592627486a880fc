/* SPDX-License-Identifier: MIT */
/* Abuse of the session's state by messages that are well-formed: one test for each row of the reliability
 * requirements that needs no wall clock and no socket, named after the row. Time is virtual. */
#include "testing/inside.h"
#include "testing/peer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u

static void expect_end(const test_peer *p, int status, const char *part) {
    choir_str text = choir_session_text(p->session);
    cr_assert_eq(choir_session_status(p->session), status, "%s: %.*s",
                 choir_status_name(choir_session_status(p->session)), (int)text.len, text.data);
    cr_assert_not_null(test_find(text.data, text.len, part), "\"%.*s\" does not say \"%s\"", (int)text.len,
                       text.data, part);
    cr_assert(p->events.closed && (choir_attachment_interest(p->attachment) & CHOIR_FINISHED));
}

/* The peer was told why: a ProtocolError is the last message. */
static void expect_protocol_error(test_peer *p, const char *part) {
    expect_end(p, CHOIR_ERR_PROTOCOL, part);
    choiri_message m = {.kind = CHOIRI_MSG_PING};
    while (test_peer_next(p, &m)) {
    }
    cr_assert_eq(m.kind, CHOIRI_MSG_PROTOCOL_ERROR);
    cr_assert_eq(m.conn, 0);
    cr_assert_not_null(test_find(m.description.data, m.description.len, part));
}

/* Handlers hold what they get, except for echo, which is answered. */
typedef struct handlers {
    choir_request_id ids[4096];
    uint32_t count, most; /* ids; most at a time */
} handlers;

static void handle(test_peer *p, const choir_event *e) {
    handlers *h = p->ctx;
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    if (e->method == TRIAL_ECHO) {
        cr_assert_eq(choir_reply(p->session, e->request, e->value, NULL, p->now), CHOIR_OK);
        return;
    }
    if (!h) return;
    h->ids[h->count++ % 4096] = e->request;
    uint32_t held = choir_session_held_requests(p->session);
    if (held > h->most) h->most = held;
}

static test_peer *open_peer(test_peer *p, bool initiator) {
    test_peer_init(p);
    p->initiator = initiator;
    p->on_event = handle;
    test_peer_open(p, TEST_STAGE_OPEN);
    return p;
}

static void close_peer(test_peer *p) {
    cr_assert_eq(test_peer_deinit(p), 0);
}

static void expect_undisturbed(test_peer *p, uint64_t id) {
    test_peer_skip(p);
    cr_assert_eq(test_peer_call(p, id, TRIAL_ECHO, "\x02hi", 3), CHOIR_OK);
    choiri_message m;
    cr_assert(test_peer_next(p, &m) && m.body == CHOIRI_BODY_RESPONSE && m.id == id);
    cr_assert(m.payload.len == 4 && memcmp(m.payload.data, "\x00\x02hi", 4) == 0);
}

static choir_call_id call_later(test_peer *p) {
    choir_call_id id;
    uint32_t number = 1;
    cr_assert_eq(
        choir_call(p->session, choir_session_root(p->session), TRIAL_LATER, &number, NULL, &id, p->now),
        CHOIR_OK);
    test_events_call(&p->events, id);
    return id;
}

/* ---- A20, A21: work for nothing ---- */

static void drop_cancelled(test_peer *p, const choir_event *e) {
    if (e->kind == CHOIR_EVENT_REQUEST_CANCELLED)
        cr_assert_eq(choir_request_drop(p->session, e->request, NULL, p->now), CHOIR_OK);
}

Test(hostile, A20_rapid_cancel) {
    test_peer p;
    open_peer(&p, false);
    p.on_event = drop_cancelled;
    p.events.quiet = true;
    uint32_t pairs = 0;
    for (; pairs < 100000 && p.status == CHOIR_OK; pairs++) {
        p.now += 10 * CHOIR_MICROSECOND; /* 100,000 pairs in one second */
        if (test_peer_call(&p, 1 + 2 * pairs, TRIAL_LATER, "\x05", 1) == CHOIR_OK)
            test_peer_cancel(&p, 1 + 2 * pairs);
        p.received_len = p.read = 0;
    }
    printf("%u pairs, %u handlers started\n", pairs, p.events.started);
    cr_assert_leq(p.events.started, 1100);
    cr_assert_geq(p.events.started, 1000);
    /* The flood itself is an offence in the end; that handlers are cancelled is none. */
    cr_assert_gt(pairs, 65536);
    expect_end(&p, CHOIR_ERR_PROTOCOL, "a flood of late messages");
    close_peer(&p);
}

/* 64 calls in flight with deadlines of 20 ms towards handlers that are too slow, for a minute: the caller
 * goes slower, and nobody loses the session. Reliability case F25. */
Test(hostile, A20_timeouts_under_overload_are_no_offence) {
    test_peer p;
    open_peer(&p, false);
    p.on_event = drop_cancelled;
    p.events.quiet = true;
    uint64_t next = 1;
    for (uint32_t tick = 0; tick < 3000; tick++) { /* 20 ms each */
        for (uint32_t i = 0; i < 64; i++)
            cr_assert_eq(test_peer_call(&p, next + 2 * i, TRIAL_LATER, "\x05", 1), CHOIR_OK);
        test_peer_sleep(&p, 20 * CHOIR_MILLISECOND);
        for (uint32_t i = 0; i < 64; i++) cr_assert_eq(test_peer_cancel(&p, next + 2 * i), CHOIR_OK);
        next += 2 * 64;
        p.received_len = p.read = 0;
    }
    cr_assert(choir_session_is_established(p.session));
    printf("%u handlers started in a minute\n", p.events.started);
    cr_assert_leq(p.events.started, 1000 + 60 * 100);
    cr_assert_geq(p.events.started, 60 * 100);
    close_peer(&p);
}

/* What an honest peer does in an hour is no offence. */
Test(hostile, A20_honest_cancels) {
    test_peer p;
    open_peer(&p, false);
    p.on_event = drop_cancelled;
    p.events.quiet = true;
    for (uint32_t i = 0; i < 20000; i++) {
        p.now += 11 * CHOIR_MILLISECOND;
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_LATER, "\x05", 1), CHOIR_OK);
        cr_assert_eq(test_peer_cancel(&p, 1 + 2 * i), CHOIR_OK);
        p.received_len = p.read = 0;
    }
    cr_assert_eq(p.events.started, 20000);
    close_peer(&p);
}

Test(hostile, A21_rapid_bad_calls) {
    for (int kind = 0; kind < 3; kind++) {
        test_peer p;
        open_peer(&p, false);
        if (kind > 0) cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
        test_peer_skip(&p);
        uint64_t held = p.alloc.peak = p.alloc.bytes;
        uint32_t calls = 0, said = 0;
        for (; calls < 100000 && p.status == CHOIR_OK; calls++) {
            p.now += 10 * CHOIR_MICROSECOND;
            uint64_t id = 3 + 2 * calls;
            if (kind == 0) test_peer_call_bare(&p, id, 12345, "x", 1); /* unknown */
            if (kind == 1) test_peer_call(&p, id, TRIAL_LATER, "", 0); /* bad arguments */
            if (kind == 2)
                test_peer_call_bare(&p, id, trial_service.methods[TRIAL_ECHO].id, "\x00", 1); /* no schemas */
            if (p.status == CHOIR_OK) {
                choiri_message m;
                while (test_peer_next(&p, &m))
                    if (m.kind == CHOIRI_MSG_REQUEST) said += memcmp(m.payload.data, "\x01\x06", 2) != 0;
                p.received_len = p.read = 0;
            }
        }
        cr_assert(said >= 1000 && said <= 1100, "%u were looked at, the others were not", said);
        cr_assert(calls > 65536 && calls < 80000, "%u", calls);
        /* Only decoding finds out about bad arguments, so those wait for a start like any other. */
        uint64_t waiting = kind == 1 ? 1024 * 1100 : 0;
        cr_assert_leq(p.alloc.peak, held + waiting + 64 * KIB);
        expect_protocol_error(&p, "a flood");
        close_peer(&p);
    }
}

/* ---- A22, A23: pings ---- */

Test(hostile, A22_ping_flood) {
    test_peer p;
    open_peer(&p, false);
    p.deaf = true;
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    uint8_t bytes[7000];
    static const uint8_t ping[] = {3, 0, 0, 0, 0, 8, 0};
    for (size_t i = 0; i < 1000; i++) {
        memcpy(bytes + 7 * i, ping, 7);
        bytes[7 * i + 6] = (uint8_t)(i % 100);
    }
    choir_iov iov[16];
    for (int k = 0; k < 300; k++) {
        cr_assert_eq(test_peer_raw(&p, bytes, sizeof bytes), CHOIR_OK);
        choir_attachment_peek(p.attachment, iov, 16); /* the link is tried, and takes nothing */
        cr_assert_leq(choir_attachment_pending(p.attachment), 64 * 7);
    }
    cr_assert_leq(p.alloc.peak, held + 16 * KIB);
    cr_assert(choir_attachment_interest(p.attachment) & CHOIR_HAS_OUTPUT);
    p.deaf = false;
    choiri_message m;
    uint32_t pongs = 0;
    uint64_t last = 0;
    for (; test_peer_next(&p, &m); pongs++, last = m.id) cr_assert_eq(m.kind, CHOIRI_MSG_PONG);
    cr_assert(pongs >= 1 && pongs <= 64, "%u", pongs);
    cr_assert_eq(last, 99, "the newest is among them");
    /* With the peer reading, each ping has its answer. */
    for (uint64_t i = 0; i < 200; i++) {
        cr_assert_eq(test_peer_ping(&p, i), CHOIR_OK);
        cr_assert(test_peer_next(&p, &m) && m.kind == CHOIRI_MSG_PONG && m.id == i);
        cr_assert(!test_peer_next(&p, &m));
    }
    expect_undisturbed(&p, 1);
    close_peer(&p);
}

Test(hostile, A23_ping_flood_of_a_peer_that_does_not_read) {
    test_peer p;
    open_peer(&p, false);
    p.deaf = true;
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    choir_time start = p.now;
    choir_iov iov[16];
    while (p.status == CHOIR_OK && p.now < start + 40 * CHOIR_SECOND) {
        for (uint64_t i = 0; i < 500 && p.status == CHOIR_OK; i++) test_peer_ping(&p, i);
        choir_attachment_peek(p.attachment, iov, 16); /* the link is tried, and takes nothing */
        p.now += 100 * CHOIR_MILLISECOND;
        choir_attachment_advance(p.attachment, p.now);
        choir_session_advance(p.session, p.now);
        test_peer_poll(&p);
        if (choir_session_is_closed(p.session)) break;
    }
    expect_end(&p, CHOIR_ERR_WRITE_STALLED, "too little of our output");
    cr_assert_leq(p.now - start, 31 * CHOIR_SECOND);
    cr_assert_leq(p.alloc.peak, held + 32 * KIB);
    close_peer(&p);
}

/* The same with answers, which are larger: nothing starts above the limit, and what waits is bounded too. */
Test(hostile, A23_answers_for_a_peer_that_does_not_read) {
    test_peer p;
    open_peer(&p, false);
    p.deaf = true;
    static uint8_t args[9003] = {0xa8, 0x46};
    uint64_t id = 1;
    for (int i = 0; i < 5000; i++, id += 2)
        cr_assert_eq(test_peer_call(&p, id, TRIAL_ECHO, args, 9002), CHOIR_OK);
    cr_assert_lt(p.events.started, 200, "1 MiB of answers, and what the link has");
    cr_assert_lt(p.alloc.peak, 24 * 1024 * KIB, "the answers, and 1,024 requests that wait");
    test_check_charges(p.session);
    for (int i = 0; choir_attachment_interest(p.attachment) & CHOIR_WANTS_INPUT; i++) {
        cr_assert_lt(i, 64);
        test_peer_message(&p, &(choiri_message){.kind = CHOIRI_MSG_PING, .id = 1});
    }
    test_peer_sleep(&p, 30 * CHOIR_SECOND);
    expect_end(&p, CHOIR_ERR_WRITE_STALLED, "");
    close_peer(&p);
}

/* What may wait behind answers that nobody takes: half of the session's quota in frames, the quota in memory,
 * and not one request more. */
Test(hostile, A23_requests_behind_answers_are_bounded) {
    enum { QUOTA = 800000, ARGS = 9002 };
    test_peer p;
    test_peer_init(&p);
    p.options.memory_quota = QUOTA;
    p.root.max_answers = 20000;
    p.on_event = handle;
    test_peer_open(&p, TEST_STAGE_OPEN);
    test_peer_skip(&p);
    p.deaf = true;
    static uint8_t args[ARGS + 1] = {0xa8, 0x46};
    uint64_t id = 1;
    uint64_t started;
    do {
        started = p.events.started;
        cr_assert_eq(test_peer_call(&p, id, TRIAL_ECHO, args, ARGS), CHOIR_OK);
        id += 2;
    } while (p.events.started > started);
    const choiri_rpc *r = test_rpc(p.session);
    for (int i = 0; i < 100; i++, id += 2)
        cr_assert_eq(test_peer_call(&p, id, TRIAL_ECHO, args, ARGS), CHOIR_OK);
    cr_assert_eq(p.events.started, started);
    cr_assert_leq(r->requests.queued_bytes, QUOTA / 2);
    /* An answer is never refused: the last one may go beyond, and its block of output. */
    cr_assert_leq(choiri_session_held(p.session), QUOTA + 20000);
    cr_assert_gt(choiri_session_held(p.session) + 20000, QUOTA, "one more would have been too many");
    cr_assert_lt(p.alloc.peak, 1000 * KIB);
    /* Once they are taken, all that waited runs; the others were told that they did not. */
    uint32_t waited = r->requests.queued;
    p.deaf = false;
    while (choir_attachment_pending(p.attachment) > 0) {
        test_peer_take(&p);
        test_peer_poll(&p);
    }
    cr_assert_eq(p.events.started, started + waited);
    close_peer(&p);
}

/* The same, and then silence. */
Test(hostile, A23_answers_for_a_peer_that_says_nothing_more) {
    test_peer p;
    open_peer(&p, false);
    p.deaf = true;
    static uint8_t args[9003] = {0xa8, 0x46};
    for (uint64_t id = 1; id < 400; id += 2)
        cr_assert_eq(test_peer_call(&p, id, TRIAL_ECHO, args, 9002), CHOIR_OK);
    test_peer_sleep(&p, 16 * CHOIR_SECOND);
    expect_end(&p, CHOIR_ERR_PEER_UNRESPONSIVE, "silent");
    close_peer(&p);
}

/* ---- A24: connections, which are not served here ---- */

Test(hostile, A24_connection_open_flood) {
    test_peer p;
    open_peer(&p, false);
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    uint32_t opens = 0;
    for (; opens < 5000 && p.status == CHOIR_OK; opens++) {
        test_peer_message(&p, &(choiri_message){.conn = 1 + 2 * opens,
                                                .kind = CHOIRI_MSG_CONNECTION_OPEN,
                                                .settings = {CHOIRI_PARITY_ODD, 64}});
        choiri_message m;
        if (p.status == CHOIR_OK) cr_assert(test_peer_next(&p, &m) && m.kind == CHOIRI_MSG_CONNECTION_REJECT);
        if (p.status == CHOIR_OK) cr_assert_eq(m.conn, 1 + 2 * opens);
    }
    cr_assert_eq(opens, 1001);
    cr_assert_leq(p.alloc.bytes, held + 8 * KIB, "one page of records");
    expect_protocol_error(&p, "too many");
    close_peer(&p);
}

/* ---- A26, A27, A28: ids ---- */

static void expect_protocol_end(const choiri_message *m, bool initiator, const char *part) {
    test_peer p;
    open_peer(&p, initiator);
    cr_assert_eq(test_peer_message(&p, m), CHOIR_ERR_PROTOCOL, "%s", part);
    expect_protocol_error(&p, part);
    close_peer(&p);
}

Test(hostile, A26_ids_of_our_own_parity) {
    choiri_message call = {.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CALL, .method = 1};
    choiri_message cancel = {.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CANCEL};
    choiri_message open = {.kind = CHOIRI_MSG_CONNECTION_OPEN, .settings = {CHOIRI_PARITY_ODD, 64}};
    choiri_message channel = {.kind = CHOIRI_MSG_CHANNEL, .body = CHOIRI_CHANNEL_ITEM};
    static const uint64_t ids[2][3] = {{2, 0, UINT64_MAX - 1},
                                       {1, 3, UINT64_MAX}}; /* an acceptor's, an initiator's */
    for (int initiator = 0; initiator <= 1; initiator++) {
        for (int i = 0; i < 3; i++) {
            call.id = cancel.id = open.conn = channel.id = ids[initiator][i];
            expect_protocol_end(&call, initiator != 0, "not the caller's to use");
            expect_protocol_end(&cancel, initiator != 0, "not the caller's");
            expect_protocol_end(&channel, initiator != 0, "never opened");
            if (open.conn != 0) expect_protocol_end(&open, initiator != 0, "not the peer's to use");
        }
    }
    call.id = 0;
    expect_protocol_end(&call, true, "not the caller's to use");
    open.conn = 0;
    expect_protocol_end(&open, false, "not the peer's to use");
    expect_protocol_end(&open, true, "not the peer's to use");
}

Test(hostile, A27_request_id_that_is_live) {
    for (int queued = 0; queued <= 1; queued++) { /* running, or waiting undispatched */
        test_peer p;
        test_peer_init(&p);
        p.on_event = handle;
        p.root.max_concurrent_requests = 1;
        test_peer_open(&p, TEST_STAGE_OPEN);
        cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
        cr_assert_eq(test_peer_call(&p, 3, TRIAL_LATER, "\x06", 1), CHOIR_OK);
        cr_assert_str_eq(p.events.log, "established\nrequest later 05\n");
        cr_assert_eq(test_peer_call(&p, queued ? 3 : 1, TRIAL_LATER, "\x07", 1), CHOIR_ERR_PROTOCOL);
        expect_protocol_error(&p, "the id of a request that is still open: ");
        cr_assert_str_eq(p.events.log, "established\nrequest later 05\ndetached ERR_PROTOCOL\n"
                                       "request-done later connection closed\nconn-closed ERR_PROTOCOL\n"
                                       "closed ERR_PROTOCOL\n");
        close_peer(&p);
    }
}

Test(hostile, A28_extreme_ids) {
    static const uint64_t ids[] = {UINT64_MAX, (UINT64_C(1) << 63) + 1, UINT64_MAX - 2, 1};
    test_peer p;
    open_peer(&p, false);
    for (size_t i = 0; i < 4; i++) expect_undisturbed(&p, ids[i]);
    close_peer(&p);

    open_peer(&p, true);
    test_lasting(p.session)->next_id = UINT64_MAX - 4;
    call_later(&p);
    call_later(&p);
    uint32_t number = 1;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(
            choir_call(p.session, choir_session_root(p.session), TRIAL_LATER, &number, NULL, NULL, p.now),
            CHOIR_ERR_ID_EXHAUSTED, "refused, never wrapped");
    cr_assert_eq(test_peer_answer(&p, UINT64_MAX - 4, TRIAL_LATER, "\x00\x01", 2), CHOIR_OK);
    cr_assert_eq(test_peer_answer(&p, UINT64_MAX - 2, TRIAL_LATER, "\x00\x02", 2), CHOIR_OK);
    cr_assert_str_eq(p.events.log, "established\ncall-done later ok 01\ncall-done later ok 02\n");
    close_peer(&p);
}

/* ---- A29: connections that nobody opened ---- */

Test(hostile, A29_messages_for_the_root_and_for_our_ids) {
    for (int initiator = 0; initiator <= 1; initiator++) {
        uint64_t ours = initiator ? 3 : 4;
        choiri_message m = {.kind = CHOIRI_MSG_CONNECTION_CLOSE};
        expect_protocol_end(&m, initiator != 0, "a connection message for the root");
        m.kind = CHOIRI_MSG_CONNECTION_REJECT;
        expect_protocol_end(&m, initiator != 0, "a connection message for the root");
        m.kind = CHOIRI_MSG_CONNECTION_ACCEPT;
        expect_protocol_end(&m, initiator != 0, "a connection message for the root");
        for (uint8_t kind = CHOIRI_MSG_CONNECTION_ACCEPT; kind <= CHOIRI_MSG_CHANNEL; kind++) {
            m = (choiri_message){.conn = ours, .kind = kind, .body = CHOIRI_BODY_CANCEL, .id = 1};
            expect_protocol_end(&m, initiator != 0, "never opened");
        }
    }
}

static choiri_message late_message(uint32_t i) {
    static const uint8_t kinds[] = {CHOIRI_MSG_CONNECTION_CLOSE, CHOIRI_MSG_REQUEST,
                                    CHOIRI_MSG_SCHEMA,           CHOIRI_MSG_CHANNEL,
                                    CHOIRI_MSG_REQUEST,          CHOIRI_MSG_CONNECTION_ACCEPT};
    return (choiri_message){
        .conn = 1 + 2 * (i % 1000), .kind = kinds[i % 6], .body = (uint8_t)(i % 3), .id = 1 + i};
}

/* Late messages are honest: a million of them, as fast as they may come, are no error and cost no memory. */
Test(hostile, A29b_late_messages_are_charged) {
    test_peer p;
    open_peer(&p, false);
    p.events.quiet = true;
    expect_undisturbed(&p, 1);
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    for (uint32_t i = 0; i < 1000000; i++) {
        p.now += 10100 * CHOIR_MICROSECOND; /* 99 per second */
        choiri_message m = late_message(i);
        cr_assert_eq(test_peer_message(&p, &m), CHOIR_OK, "message %u", i);
    }
    cr_assert_eq(p.alloc.bytes, held);
    expect_undisturbed(&p, 3);
    uint32_t flood = 0;
    for (; flood < 5000 && p.status == CHOIR_OK; flood++) {
        choiri_message m = late_message(flood);
        test_peer_message(&p, &m);
    }
    cr_assert(flood > 990 && flood <= 1001, "%u", flood);
    expect_protocol_error(&p, "too many");
    close_peer(&p);
}

/* ---- A30, A31: too many requests ---- */

Test(hostile, A30_requests_beyond_the_number) {
    test_peer p;
    static handlers h;
    h = (handlers){.count = 0};
    open_peer(&p, false);
    p.ctx = &h;
    p.events.quiet = true;
    cr_assert_eq(test_peer_call(&p, UINT64_MAX, TRIAL_NOTHING, "", 0), CHOIR_OK); /* a warm-up */
    cr_assert_eq(choir_reply(p.session, h.ids[0], NULL, NULL, p.now), CHOIR_OK);
    test_peer_skip(&p);
    h = (handlers){.count = 0};
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    for (uint64_t i = 0; i < 64 + 1024; i++)
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(h.count, 64, "exactly as many handlers as announced");
    choiri_message m;
    cr_assert(!test_peer_next(&p, &m), "1,024 wait without an answer");
    uint64_t each = (p.alloc.bytes - held) / (64 + 1024);
    printf("a request that waits holds %llu bytes\n", (unsigned long long)each);
    cr_assert_leq(each, 1200);
    uint64_t id = 1 + 2 * (64 + 1024);
    for (int i = 0; i < 10; i++, id += 2) {
        cr_assert_eq(test_peer_call(&p, id, TRIAL_LATER, "\x05", 1), CHOIR_OK);
        cr_assert(test_peer_next(&p, &m) && m.id == id && memcmp(m.payload.data, "\x01\x06", 2) == 0,
                  "SendFailed at once");
    }
    /* As handlers finish the others follow, never more than 64 at a time. */
    uint32_t number = 6;
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_eq(choir_reply(p.session, h.ids[i], &number, NULL, p.now), CHOIR_OK);
        test_peer_poll(&p);
    }
    cr_assert_eq(h.count, 1064);
    cr_assert_eq(h.most, 64);
    test_peer_skip(&p);
    /* A flood of refused ones is an offence. */
    for (uint32_t i = 0; i < 1024; i++, id += 2) test_peer_call(&p, id, TRIAL_LATER, "\x05", 1);
    uint32_t flood = 0;
    for (; flood < 100000 && p.status == CHOIR_OK; flood++, id += 2)
        test_peer_call(&p, id, TRIAL_LATER, "\x05", 1);
    cr_assert(flood > 60000 && flood <= 65536, "%u", flood);
    expect_protocol_error(&p, "a flood");
    for (uint32_t i = 0; i < h.count; i++) (void)choir_request_drop(p.session, h.ids[i], NULL, p.now);
    cr_assert_eq(choir_session_held_requests(p.session), 0);
    close_peer(&p);
}

/* The same when it is the memory quota that is full. */
Test(hostile, A30_flood_beyond_the_quota) {
    test_peer p;
    test_peer_init(&p);
    p.on_event = handle;
    p.options.memory_quota = 256 * KIB;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.events.quiet = true;
    static uint8_t args[10002] = {0x90, 0x4e}; /* 10,000 */
    uint32_t calls = 0;
    for (; calls < 100000 && p.status == CHOIR_OK; calls++) {
        test_peer_call(&p, 1 + 2 * calls, TRIAL_ECHO_BYTES, args, sizeof args);
        p.received_len = p.read = 0;
    }
    cr_assert(calls > 65536 && calls < 65636, "%u", calls);
    cr_assert_lt(p.alloc.peak, 256 * KIB + 256 * KIB);
    expect_end(&p, CHOIR_ERR_PROTOCOL, "a flood");
    close_peer(&p);
}

Test(hostile, A31_cancelled_handlers_still_count) {
    test_peer p;
    static handlers h;
    h = (handlers){.count = 0};
    open_peer(&p, false);
    p.ctx = &h;
    for (uint64_t i = 0; i < 64; i++) {
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_LATER, "\x05", 1), CHOIR_OK);
        cr_assert_eq(test_peer_cancel(&p, 1 + 2 * i), CHOIR_OK);
    }
    cr_assert_eq(h.count, 64);
    for (uint64_t i = 64; i < 100; i++)
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(h.count, 64, "their handlers have not finished");
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(choir_request_drop(p.session, h.ids[i], NULL, p.now), CHOIR_OK);
    test_peer_poll(&p);
    cr_assert_eq(h.count, 74);
    cr_assert_eq(h.most, 64);
    close_peer(&p);
}

/* ---- A32: answers ---- */

static int answer(test_peer *p, uint64_t id, const char *ret, size_t len) {
    return test_peer_message(p, &(choiri_message){.kind = CHOIRI_MSG_REQUEST,
                                                  .body = CHOIRI_BODY_RESPONSE,
                                                  .id = id,
                                                  .payload = {(const uint8_t *)ret, len}});
}

Test(hostile, A32_answers_that_nobody_waits_for) {
    static const uint64_t never[] = {3, 5, 0, 2, UINT64_MAX, UINT64_MAX - 1};
    for (size_t i = 0; i < 6; i++) { /* only 1 was given out */
        test_peer p;
        open_peer(&p, true);
        call_later(&p);
        cr_assert_eq(answer(&p, never[i], "\x00\x05", 2), CHOIR_ERR_PROTOCOL, "%zu", i);
        expect_protocol_error(&p, "answer to a call that was never made");
        cr_assert(strstr(p.events.log, "call-done later connection closed ERR_PROTOCOL\n"));
        close_peer(&p);
    }
    /* Second answers are honest and charged. */
    test_peer p;
    open_peer(&p, true);
    call_later(&p);
    cr_assert_eq(answer(&p, 1, "\x00\x05", 2), CHOIR_OK);
    call_later(&p);
    uint32_t seconds = 0;
    for (; seconds < 5000 && p.status == CHOIR_OK; seconds++) answer(&p, 1, "\x00\x06", 2);
    cr_assert_eq(seconds, 1001);
    cr_assert_str_eq(p.events.log,
                     "established\ncall-done later ok 05\ndetached ERR_PROTOCOL\n"
                     "call-done later connection closed ERR_PROTOCOL\nconn-closed ERR_PROTOCOL\n"
                     "closed ERR_PROTOCOL\n");
    close_peer(&p);
}

/* Of the wrong type: only that call is hurt. */
Test(hostile, A32_answer_of_the_wrong_type) {
    test_peer p;
    open_peer(&p, true);
    call_later(&p);
    call_later(&p);
    cr_assert_eq(answer(&p, 1, "\x00\xff\xff\xff\xff\xff\x01", 7), CHOIR_OK);
    cr_assert_eq(p.events.last_outcome, CHOIR_OUTCOME_INVALID_PAYLOAD);
    cr_assert_eq(answer(&p, 3, "\x00\x05", 2), CHOIR_OK);
    cr_assert_str_eq(p.events.log,
                     "established\ncall-done later invalid payload ERR_MALFORMED\ncall-done later ok 05\n");
    close_peer(&p);
    /* Under a root that says so: the schemas of another method's answer. */
    open_peer(&p, true);
    call_later(&p);
    choir_bytes other = test_peer_schemas(&p, TRIAL_ECHO, true);
    cr_assert_eq(test_peer_message(&p, &(choiri_message){.kind = CHOIRI_MSG_REQUEST,
                                                         .body = CHOIRI_BODY_RESPONSE,
                                                         .id = 1,
                                                         .payload = {(const uint8_t *)"\x00\x01x", 3},
                                                         .schemas = other}),
                 CHOIR_OK);
    cr_assert_eq(p.events.last_outcome, CHOIR_OUTCOME_INVALID_PAYLOAD);
    cr_assert(strstr(p.events.last_text, "Trial.later answer"), "%s", p.events.last_text);
    cr_assert(choir_session_is_established(p.session));
    close_peer(&p);
}

/* ---- A40: secrets ---- */

#define CANARY "canary-7f3a"

static char log_text[1 << 16];
static size_t log_len;
static void collect_log(void *ctx, uint32_t level, const char *area, choir_str text) {
    (void)ctx;
    (void)level;
    int n =
        snprintf(log_text + log_len, sizeof log_text - log_len, "%s: %.*s\n", area, (int)text.len, text.data);
    if (n > 0) log_len += (size_t)n;
}

static void expect_no_canary(const test_peer *p) {
    cr_assert_null(strstr(log_text, CANARY), "%s", log_text);
    cr_assert_null(strstr(p->events.last_text, CANARY));
    choir_str text = choir_session_text(p->session);
    cr_assert_null(test_find(text.data, text.len, CANARY));
}

/* Sensitive metadata in everything that has any, with an end that is logged, at the most talkative level. */
Test(hostile, A40_sensitive_metadata_is_not_logged) {
    static const uint8_t list[] = "\x05token\x00\x0b" CANARY "\x01";
    choir_metadata secret = {{list, sizeof list - 1}, 1};
    const choir_metadata_entry entry = {.key = {"token", 5},
                                        .type = CHOIR_METADATA_STRING,
                                        .bytes = {(const uint8_t *)CANARY, strlen(CANARY)},
                                        .flags = CHOIR_METADATA_SENSITIVE};
    choiri_message messages[] = {
        {.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CALL, .id = 1, .method = 1, .metadata = secret},
        {.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CALL, .id = 2, .method = 1, .metadata = secret},
        {.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CANCEL, .id = 1, .metadata = secret},
        {.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CANCEL, .id = 2, .metadata = secret},
        {.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_RESPONSE, .id = 2, .metadata = secret},
        {.conn = 1, .kind = CHOIRI_MSG_CONNECTION_OPEN, .metadata = secret},
        {.conn = 2, .kind = CHOIRI_MSG_CONNECTION_OPEN, .metadata = secret},
        {.conn = 0, .kind = CHOIRI_MSG_CONNECTION_CLOSE, .metadata = secret},
        {.conn = 2, .kind = CHOIRI_MSG_CONNECTION_REJECT, .metadata = secret},
        {.kind = CHOIRI_MSG_CHANNEL, .body = CHOIRI_CHANNEL_CLOSE, .id = 2, .metadata = secret},
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        test_peer p;
        test_peer_init(&p);
        p.on_event = handle;
        p.root.metadata = &entry;
        p.root.metadata_len = 1;
        p.env_options.log = collect_log;
        p.env_options.log_level = CHOIR_LOG_DEBUG;
        test_peer_open(&p, TEST_STAGE_OPEN);
        messages[i].schemas = i == 0 ? test_peer_schemas(&p, TRIAL_LATER, false) : (choir_bytes){NULL, 0};
        if (i == 0) messages[i].method = trial_service.methods[TRIAL_LATER].id; /* bad arguments */
        test_peer_message(&p, &messages[i]);
        choir_session_close(p.session, p.now);
        test_peer_poll(&p);
        expect_no_canary(&p);
        close_peer(&p);
    }
    /* In a handshake that is refused after its metadata was read. */
    static const char hello[] =
        "\xa1\x65Hello\xa2\x68metadata\x81\xa3\x63key\x65token\x65value\xa1\x66String\x6b" CANARY "\x65"
        "flags\x01\x66parity\x01";
    test_peer p;
    test_peer_init(&p);
    p.env_options.log = collect_log;
    p.env_options.log_level = CHOIR_LOG_DEBUG;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    cr_assert_eq(test_peer_frame(&p, hello, sizeof hello - 1), CHOIR_ERR_HANDSHAKE);
    expect_no_canary(&p);
    close_peer(&p);
    cr_assert_gt(log_len, 500, "there was a log");
    cr_assert_not_null(strstr(log_text, "closed: "));
}
