/* SPDX-License-Identifier: MIT */
/* Promises of the public headers that are easy to break: most of these tests are about two rules at once,
 * such as a full output and a ping, or a late answer and its schemas. */
#include "testing/inside.h"
#include "testing/pair.h"
#include "testing/peer.h"
#include "wire/cbor.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The id of the newest request, for tests that answer later. */
static choir_request_id newest;

static void remember(test_peer *p, const choir_event *e) {
    (void)p;
    if (e->kind == CHOIR_EVENT_REQUEST) newest = e->request;
}

static choir_call_id call(test_peer *p, uint32_t method, const void *args, choir_time deadline) {
    choir_call_options o;
    choir_call_options_init(&o);
    o.deadline = deadline;
    choir_call_id id;
    cr_assert_eq(choir_call(p->session, choir_session_root(p->session), method, args, &o, &id, p->now),
                 CHOIR_OK);
    test_events_call(&p->events, id);
    return id;
}

/* The link takes up to `len` bytes. */
static void drain(test_peer *p, size_t len) {
    choir_iov iov[16];
    size_t n = choir_attachment_peek(p->attachment, iov, 16), total = 0;
    for (size_t i = 0; i < n; i++) total += iov[i].len;
    cr_assert_eq(choir_attachment_consume(p->attachment, total < len ? total : len, p->now), CHOIR_OK);
    test_peer_poll(p);
}

static void pass(test_peer *p, choir_duration d) {
    p->now += d;
    choir_attachment_advance(p->attachment, p->now);
    choir_session_advance(p->session, p->now);
    test_peer_poll(p);
}

static void expect_alive(const test_peer *p) {
    cr_assert(choir_session_is_established(p->session), "%s at %llu ms: %s", p->events.log,
              (unsigned long long)(p->now / CHOIR_MILLISECOND), p->events.last_text);
}

/* The message as a frame; returns its length. */
static size_t make_frame(test_peer *p, const choiri_message *m, uint8_t *out, size_t cap) {
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, p->own_env);
    choiri_writer_init(&w, &q, NULL);
    choiri_message_encode(&w, m, NULL, 0);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    size_t len = (size_t)q.bytes, at = 0;
    cr_assert_leq(len + 4, cap);
    choir_iov iov;
    for (; choiri_outq_peek(&q, at, UINT64_MAX, &iov, 1) == 1; at += iov.len)
        memcpy(out + 4 + at, iov.base, iov.len);
    for (size_t i = 0; i < 4; i++) out[i] = (uint8_t)(len >> 8 * i);
    choiri_outq_deinit(&q);
    return len + 4;
}

/* ---- schemas ---- */

static void write_ref(choiri_writer *w, uint64_t id, int args_depth) {
    for (int i = args_depth; i >= 0; i--) {
        choiri_cbor_write_map(w, 3);
        choiri_cbor_write_key(w, "tag");
        choiri_cbor_write_key(w, "concrete");
        choiri_cbor_write_key(w, "type_id");
        choiri_cbor_write_uint(w, id);
        choiri_cbor_write_key(w, "args");
        choiri_cbor_write_array(w, i > 0);
    }
}

/* (T1<T2<T2<...>>>,) where the innermost is nested `depth` times. */
static size_t nested_schemas(test_peer *p, int depth, uint8_t *out, size_t cap) {
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, p->own_env);
    choiri_writer_init(&w, &q, NULL);
    choiri_cbor_write_map(&w, 2);
    choiri_cbor_write_key(&w, "schemas");
    choiri_cbor_write_array(&w, 2);
    choiri_cbor_write_map(&w, 2);
    choiri_cbor_write_key(&w, "id");
    choiri_cbor_write_uint(&w, 1);
    choiri_cbor_write_key(&w, "kind");
    choiri_cbor_write_map(&w, 2);
    choiri_cbor_write_key(&w, "tag");
    choiri_cbor_write_key(&w, "tuple");
    choiri_cbor_write_key(&w, "elements");
    choiri_cbor_write_array(&w, 1);
    write_ref(&w, 2, depth);
    choiri_cbor_write_map(&w, 2);
    choiri_cbor_write_key(&w, "id");
    choiri_cbor_write_uint(&w, 2);
    choiri_cbor_write_key(&w, "kind");
    choiri_cbor_write_map(&w, 2);
    choiri_cbor_write_key(&w, "tag");
    choiri_cbor_write_key(&w, "primitive");
    choiri_cbor_write_key(&w, "primitive_type");
    choiri_cbor_write_key(&w, "u8");
    choiri_cbor_write_key(&w, "root");
    write_ref(&w, 1, 0);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    cr_assert_leq(q.bytes, cap);
    size_t at = 0;
    choir_iov iov;
    for (; choiri_outq_peek(&q, at, UINT64_MAX, &iov, 1) == 1; at += iov.len)
        memcpy(out + at, iov.base, iov.len);
    choiri_outq_deinit(&q);
    return at;
}

/* Two parts of the library read these references: what the first takes, the second must be able to walk. */
Test(promises, a_deeply_nested_type_reference_is_refused_or_compared) {
    static uint8_t bytes[1 << 14];
    int compared = 0, refused = 0;
    for (int depth = 0; depth <= 80; depth++) {
        test_peer p;
        test_peer_init(&p);
        test_peer_open(&p, TEST_STAGE_OPEN);
        size_t len = nested_schemas(&p, depth, bytes, sizeof bytes);
        int status = test_peer_message(&p, &(choiri_message){.kind = CHOIRI_MSG_SCHEMA,
                                                             .method = trial_service.methods[TRIAL_ECHO].id,
                                                             .schemas = {bytes, len}});
        if (status == CHOIR_OK) {
            compared++;
            cr_assert_eq(refused, 0, "%d deep is taken, less was refused", depth);
            cr_assert_eq(test_binding(&test_lasting(p.session)->served, TRIAL_ECHO)->peer, CHOIRI_BOUND_BAD);
        } else {
            refused++;
            cr_assert_eq(status, CHOIR_ERR_PROTOCOL);
        }
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
    cr_assert(compared > 40 && refused > 0, "%d compared, %d refused", compared, refused);
}

/* A few bytes of the peer make us compare a whole type again. */
Test(promises, each_comparison_after_a_bad_one_is_charged) {
    test_peer p;
    test_peer_init(&p);
    p.root.glitch_burst = 3;
    test_peer_open(&p, TEST_STAGE_OPEN);
    int sent = 0, status;
    do {
        choiri_message m = {.kind = CHOIRI_MSG_SCHEMA, .method = trial_service.methods[TRIAL_LATER].id};
        m.schemas = test_peer_schemas(&p, TRIAL_DIVIDE, false); /* only the first time more than the root */
        status = test_peer_message(&p, &m);
        cr_assert_lt(sent++, 10, "comparisons are free");
    } while (status == CHOIR_OK);
    cr_assert_eq(sent, 5, "the first is free, three are let through: %d", sent);
    cr_assert_eq(choir_session_status(p.session), CHOIR_ERR_PROTOCOL);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A peer announces a method's response once. It may do so with the answer to a call that we gave up. */
Test(promises, a_late_answer_still_tells_the_layout) {
    for (int late = 0; late <= 1; late++) {
        test_peer p;
        test_peer_init(&p);
        p.initiator = true;
        test_peer_open(&p, TEST_STAGE_OPEN);
        choir_str text = CHOIR_STR("x");
        choir_call_id id = call(&p, TRIAL_ECHO, &text, CHOIR_TIME_NEVER);
        if (late) cr_assert_eq(choir_cancel(p.session, id, NULL, p.now), CHOIR_OK);
        test_peer_poll(&p);
        choiri_message m = {.kind = CHOIRI_MSG_REQUEST,
                            .body = CHOIRI_BODY_RESPONSE,
                            .id = 1,
                            .payload = {(const uint8_t *)"\0\2hi", 4},
                            .schemas = test_peer_schemas(&p, TRIAL_LOOKUP, true)};
        cr_assert_eq(test_peer_message(&p, &m), CHOIR_OK);
        call(&p, TRIAL_ECHO, &text, CHOIR_TIME_NEVER);
        m.id = 3;
        m.schemas = (choir_bytes){NULL, 0};
        cr_assert_eq(test_peer_message(&p, &m), CHOIR_OK);
        cr_assert_eq(p.events.done, 2);
        cr_assert_neq(p.events.last_outcome, CHOIR_OUTCOME_OK, "Result<Person, _> was taken for a String");
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}

/* ---- flow ---- */

typedef struct pipe {
    uint8_t bytes[65536];
    size_t len;
} pipe;

typedef struct endpoint {
    choir_session *session;
    choir_attachment *attachment;
    uint32_t made, done, ok, refused;
} endpoint;

static void poll_endpoint(endpoint *e, choir_time now) {
    const choir_event *event;
    while (e->session && (event = choir_session_poll(e->session))) {
        if (event->kind == CHOIR_EVENT_REQUEST)
            cr_assert_eq(choir_reply(e->session, event->request, event->value, NULL, now), CHOIR_OK);
        if (event->kind != CHOIR_EVENT_CALL_DONE) continue;
        e->done++;
        e->ok += event->outcome == CHOIR_OUTCOME_OK;
        e->refused += event->outcome == CHOIR_OUTCOME_SEND_FAILED;
    }
}

static bool write_some(endpoint *e, pipe *to, choir_time now) {
    choir_iov iov[16];
    size_t n = choir_attachment_peek(e->attachment, iov, 16), total = 0;
    for (size_t i = 0; i < n && to->len < sizeof to->bytes; i++) {
        size_t room = sizeof to->bytes - to->len, len = iov[i].len < room ? iov[i].len : room;
        memcpy(to->bytes + to->len, iov[i].base, len);
        to->len += len;
        total += len;
        if (len < iov[i].len) break;
    }
    if (total > 0) cr_assert_eq(choir_attachment_consume(e->attachment, total, now), CHOIR_OK);
    return total > 0;
}

static bool read_some(endpoint *e, pipe *from, const choir_session_options *options, choir_time now) {
    if (!(choir_attachment_interest(e->attachment) & CHOIR_WANTS_INPUT) || from->len == 0) return false;
    poll_endpoint(e, now); /* writing may have made an event */
    for (size_t at = 0, used; at < from->len; at += used) {
        int status =
            choir_attachment_receive(e->attachment, from->bytes + at, from->len - at, NULL, &used, now);
        cr_assert_eq(status, CHOIR_OK, "%s: %s", choir_status_text(status),
                     choir_attachment_text(e->attachment).data);
        if (choir_attachment_hello(e->attachment))
            cr_assert_eq(choir_attachment_accept(e->attachment, options, &e->session, now), CHOIR_OK);
        poll_endpoint(e, now);
    }
    from->len = 0;
    return true;
}

static bool call_more(endpoint *e, uint32_t calls, const choir_bytes *args, choir_time now) {
    if (!e->session || !choir_session_is_established(e->session) || e->made == calls) return false;
    if (choir_call(e->session, choir_session_root(e->session), TRIAL_ECHO_BYTES, args, NULL, NULL, now) !=
        CHOIR_OK)
        return false;
    e->made++;
    return true;
}

/* Each reads only when it wants input, over a link that holds little; something moves at every step. Returns
 * how many calls were refused. */
static uint32_t exchange(size_t size, uint32_t calls_up, uint32_t calls_down) {
    static pipe up, down;
    up.len = down.len = 0;
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_session_options o;
    choir_conn_options root;
    choir_session_options_init(&o);
    choir_conn_options_init(&root);
    root.call = &trial_service;
    root.serve = &trial_served;
    o.root = &root;
    choir_time now = CHOIR_SECOND;
    endpoint a = {0}, b = {0};
    cr_assert_eq(choir_session_new(env, &o, &a.session, now), CHOIR_OK);
    cr_assert_eq(choir_attachment_new_initiator(env, NULL, a.session, &a.attachment, now), CHOIR_OK);
    cr_assert_eq(choir_attachment_new_acceptor(env, NULL, &b.attachment, now), CHOIR_OK);
    uint8_t *bytes = calloc(1, size);
    choir_bytes args = {bytes, size};
    for (bool moved = true; a.done < calls_up || b.done < calls_down;) {
        cr_assert(moved, "stuck: %u and %u calls made, %u and %u done", a.made, b.made, a.done, b.done);
        moved = write_some(&a, &up, now);
        if (read_some(&b, &up, &o, now)) moved = true;
        if (write_some(&b, &down, now)) moved = true;
        if (read_some(&a, &down, &o, now)) moved = true;
        poll_endpoint(&a, now);
        poll_endpoint(&b, now);
        if (call_more(&a, calls_up, &args, now)) moved = true;
        if (call_more(&b, calls_down, &args, now)) moved = true;
    }
    cr_assert(a.ok + a.refused == calls_up && b.ok + b.refused == calls_down);
    cr_assert(choir_session_is_established(a.session) && choir_session_is_established(b.session));
    free(bytes);
    choir_session_free(a.session);
    choir_session_free(b.session);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
    return a.refused + b.refused;
}

/* If its own calls stopped a caller from reading, the callee could not write its answers, and would stop
 * reading too. */
Test(promises, large_calls_do_not_stop_their_caller_from_reading) {
    cr_assert_eq(exchange(1000000, 8, 0), 0);
    cr_assert_eq(exchange(1000000, 0, 8), 0);
}

/* Calls in both directions, whose answers stay below max_output. */
Test(promises, two_ends_with_large_calls_do_not_wait_for_each_other) {
    cr_assert_eq(exchange(100000, 10, 10), 0);
}

/* Calls in both directions, whose answers are many times max_answers: both ends go on reading, and hold
 * requests back until their answers have left; what does not fit half of the quota is refused and never ran.
 * Reliability case F15. */
Test(promises, two_ends_with_large_answers_do_not_wait_for_each_other) {
    cr_assert_eq(exchange(1000000, 64, 64), 0);
    uint32_t refused = exchange(3000000, 64, 64);
    printf("192 MB of calls and answers each way: %u of 128 calls were refused\n", refused);
    cr_assert_lt(refused, 64);
}

/* The Ping stands behind the call in our own output: the peer cannot answer what it was not given. */
Test(promises, a_ping_behind_a_slow_call_is_not_silence) {
    enum { SIZE = 1000000, STEP = 15000 };
    static uint8_t large[SIZE];
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    choir_bytes args = {large, SIZE};
    call(&p, TRIAL_ECHO_BYTES, &args, CHOIR_TIME_NEVER);
    int steps = 0;
    for (; choir_attachment_pending(p.attachment) > 0; steps++) {
        drain(&p, STEP);
        pass(&p, 100 * CHOIR_MILLISECOND);
        expect_alive(&p);
        cr_assert_lt(steps, 200);
    }
    cr_assert_gt(steps, 50, "longer than the time of a busy peer");
    /* It has the Ping now, and says nothing: that is silence. */
    for (int i = 0; i < 100 && choir_session_is_established(p.session); i++) {
        drain(&p, STEP);
        pass(&p, 100 * CHOIR_MILLISECOND);
    }
    cr_assert_eq(choir_session_status(p.session), CHOIR_ERR_PEER_UNRESPONSIVE);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A link that takes nothing gives no reason to wait. */
Test(promises, a_ping_on_a_dead_link_is_silence) {
    static uint8_t large[1000000];
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    choir_bytes args = {large, sizeof large};
    call(&p, TRIAL_ECHO_BYTES, &args, CHOIR_TIME_NEVER);
    drain(&p, 1000);
    test_peer_sleep(&p, 6 * CHOIR_SECOND);
    cr_assert_eq(choir_session_status(p.session), CHOIR_ERR_PEER_UNRESPONSIVE);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

static uint8_t answer_bytes[1500000];
static void answer_much(test_peer *p, const choir_event *e) {
    choir_bytes b = {answer_bytes, sizeof answer_bytes};
    if (e->kind == CHOIR_EVENT_REQUEST)
        cr_assert_eq(choir_reply(p->session, e->request, &b, NULL, p->now), CHOIR_OK);
}

/* The beginning of a frame came with the read that paused us; nobody reads its rest. */
Test(promises, a_paused_input_has_no_slow_frame) {
    test_peer p;
    test_peer_init(&p);
    p.on_event = answer_much;
    p.link.frame_timeout = 2 * CHOIR_SECOND;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_ECHO_BYTES, "\x01x", 2), CHOIR_OK);
    for (uint64_t i = 0; i < 16; i++) cr_assert_eq(test_peer_ping(&p, i), CHOIR_OK);
    cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_HAS_OUTPUT);
    cr_assert_eq(test_peer_raw(&p, "\x20\0\0\0\0\x05", 6), CHOIR_OK);
    for (int i = 0; !(choir_attachment_interest(p.attachment) & CHOIR_WANTS_INPUT); i++) {
        cr_assert_lt(i, 1000);
        drain(&p, 20000);
        pass(&p, 100 * CHOIR_MILLISECOND);
        expect_alive(&p);
    }
    cr_assert_gt(p.now, 4 * CHOIR_SECOND);
    /* From then on it has the usual time. */
    pass(&p, 1800 * CHOIR_MILLISECOND);
    expect_alive(&p);
    pass(&p, 300 * CHOIR_MILLISECOND);
    cr_assert_eq(choir_session_status(p.session), CHOIR_ERR_FRAME_TIMEOUT);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- time ---- */

Test(promises, huge_durations_are_never) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.options.keepalive_idle = p.options.keepalive_busy = p.options.keepalive_send = CHOIR_TIME_NEVER;
    p.link.frame_timeout = p.link.write_stall_timeout = p.link.handshake_timeout = CHOIR_TIME_NEVER;
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_str text = CHOIR_STR("x");
    call(&p, TRIAL_ECHO, &text, CHOIR_TIME_NEVER);
    test_peer_skip(&p);
    cr_assert_eq(test_peer_raw(&p, "\x20\0\0\0\0", 5), CHOIR_OK);
    for (int i = 0; i < 200; i++) {
        pass(&p, 100 * CHOIR_MILLISECOND);
        expect_alive(&p);
        choiri_message m;
        cr_assert(!test_peer_next(&p, &m), "a ping every tick");
        cr_assert_gt(choir_session_deadline(p.session), p.now + 1000 * CHOIR_SECOND);
        cr_assert_gt(choir_attachment_deadline(p.attachment), p.now + 1000 * CHOIR_SECOND);
    }
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- lifetimes ---- */

Test(promises, a_hello_lives_until_the_decision) {
    static const uint8_t hello[] =
        "\xa1\x65Hello\xa6\x66parity\xa1\x63Odd\xf6\x73"
        "connection_settings\xa2\x66parity\xa1\x63Odd\xf6\x77max_concurrent_requests\x18\x40\x76"
        "message_payload_schema\x80\x6esupports_retry\xf5\x6aresume_key\xf6\x68metadata\x81\xa3\x63key\x6bvox-service\x65"
        "value\xa1\x66String\x65Trial\x65"
        "flags"; /* its NUL is the value of flags */
    for (int cut = 0; cut <= 1; cut++) {
        test_peer p;
        test_peer_init(&p);
        test_peer_open(&p, TEST_STAGE_PROLOGUE);
        uint8_t frame[4 + sizeof hello] = {sizeof hello};
        memcpy(frame + 4, hello, sizeof hello);
        size_t used;
        cr_assert_lt(sizeof hello, 256);
        cr_assert_eq(choir_attachment_receive(p.attachment, frame, sizeof frame, NULL, &used, p.now),
                     CHOIR_OK);
        const choir_hello *h = choir_attachment_hello(p.attachment);
        cr_assert_not_null(h);
        p.now += 11 * CHOIR_SECOND;
        if (cut)
            choir_attachment_closed(p.attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("cut"), p.now);
        else
            choir_attachment_advance(p.attachment, p.now);
        cr_assert_neq(choir_attachment_status(p.attachment), CHOIR_OK);
        cr_assert_eq(h->max_concurrent_requests, 64);
        cr_assert(h->service.len == 5 && memcmp(h->service.data, "Trial", 5) == 0);
        choir_session *session = NULL;
        cr_assert_eq(choir_attachment_accept(p.attachment, &p.options, &session, p.now), CHOIR_ERR_STATE);
        cr_assert_null(session);
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}

/* ---- wakes ---- */

static uint32_t wakes;
static choir_attachment *woken;
static void wake_attachment(void *ctx, choir_attachment *a) {
    (void)ctx;
    wakes++;
    woken = a;
}
static void wake_session(void *ctx, choir_session *s) {
    (void)ctx;
    (void)s;
    wakes++;
}

Test(promises, wake_never_names_an_attachment_that_was_not_returned) {
    choir_attachment_options o;
    choir_attachment_options_init(&o);
    o.wake = wake_attachment;
    bool done = false;
    for (uint64_t k = 1; !done; k++) {
        test_alloc alloc = {0};
        choir_env *env = test_env(&alloc);
        choir_session *session;
        choir_attachment *a = NULL;
        cr_assert_eq(choir_session_new(env, NULL, &session, 1), CHOIR_OK);
        alloc.fail_at = alloc.calls + k;
        woken = NULL;
        done = choir_attachment_new_initiator(env, &o, session, &a, 1) == CHOIR_OK;
        cr_assert_eq(woken, a, "failing allocation %llu", (unsigned long long)k);
        choir_session_free(session);
        choir_env_free(env);
        cr_assert_eq(alloc.bytes, 0);
        cr_assert_lt(k, 20);
    }
    cr_assert_not_null(woken, "there was output");
}

Test(promises, peek_does_not_wake_its_caller) {
    test_peer p;
    test_peer_init(&p);
    p.link.wake = wake_attachment;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    cr_assert_eq(test_peer_ping(&p, 1), CHOIR_OK);
    wakes = 0;
    choir_iov iov[16];
    cr_assert_gt(choir_attachment_peek(p.attachment, iov, 16), 0);
    cr_assert_eq(wakes, 0);
    /* What comes after it does. */
    cr_assert_eq(choir_session_ping(p.session, p.now), CHOIR_OK);
    cr_assert_eq(wakes, 1);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Nothing is to be written, but the host must learn that the link is to be closed. */
Test(promises, the_end_wakes_even_without_output) {
    test_peer p;
    test_peer_init(&p);
    p.link.wake = wake_attachment;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    cr_assert_eq(test_peer_ping(&p, 1), CHOIR_OK);
    drain(&p, SIZE_MAX); /* the answer, written by this peek: none comes after it */
    wakes = 0;
    choir_session_close(p.session, p.now);
    cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_FINISHED);
    cr_assert_eq(wakes, 1);
    test_peer_poll(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(promises, a_session_wakes_for_events_and_earlier_deadlines) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.options.wake = wake_session;
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_str text = CHOIR_STR("x");
    wakes = 0;
    choir_time before = choir_session_deadline(p.session);
    call(&p, TRIAL_ECHO, &text, CHOIR_TIME_NEVER);
    cr_assert_lt(choir_session_deadline(p.session), before, "the peer is busy");
    cr_assert_eq(wakes, 1);
    call(&p, TRIAL_ECHO, &text, CHOIR_TIME_NEVER);
    cr_assert_eq(wakes, 1, "the deadline did not move");
    call(&p, TRIAL_ECHO, &text, p.now + CHOIR_SECOND);
    cr_assert_eq(wakes, 2);
    p.now += CHOIR_SECOND - 1;
    choir_session_advance(p.session, p.now);
    cr_assert_eq(wakes, 2, "nothing happened");
    p.now += CHOIR_SECOND;
    choir_session_advance(p.session, p.now);
    cr_assert_eq(wakes, 3, "the third call has ended");
    test_peer_poll(&p);
    cr_assert_eq(p.events.done, 1);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- what the peer makes us hold ---- */

/* Bytes behind the message, in the same frame, are kept with it. */
Test(promises, a_queued_request_counts_with_its_whole_frame) {
    enum { PADDED = 200000 };
    static uint8_t frame[4 + PADDED];
    test_peer p;
    test_peer_init(&p);
    p.root.max_concurrent_requests = 1;
    p.root.max_queued_request_bytes = 100000;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x01", 1), CHOIR_OK);
    for (uint64_t i = 0; i < 8; i++) {
        choiri_message m = {.kind = CHOIRI_MSG_REQUEST,
                            .body = CHOIRI_BODY_CALL,
                            .id = 3 + 2 * i,
                            .method = trial_service.methods[TRIAL_LATER].id,
                            .payload = {(const uint8_t *)"\x01", 1}};
        make_frame(&p, &m, frame, sizeof frame);
        for (size_t k = 0; k < 4; k++) frame[k] = (uint8_t)(PADDED >> 8 * k);
        cr_assert_eq(test_peer_raw(&p, frame, 10), CHOIR_OK);
        cr_assert_eq(test_peer_raw(&p, frame + 10, sizeof frame - 10), CHOIR_OK);
    }
    expect_alive(&p);
    cr_assert_eq(test_rpc(p.session)->requests.queued, 1, "one may wait however large it is");
    cr_assert_eq(test_rpc(p.session)->requests.queued_bytes, PADDED);
    cr_assert_lt(choir_env_memory(p.env), 4 * PADDED, "that one, in its block, and the last frame");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

enum { RUNNING = 8, WAITING = 200, LARGE = 1 << 20 };
static choir_request_id open_requests[RUNNING + WAITING];
static uint32_t open_len;
static void collect(test_peer *p, const choir_event *e) {
    (void)p;
    if (e->kind == CHOIR_EVENT_REQUEST) open_requests[open_len++] = e->request;
}
static uint32_t wakes;
static void count_wake(void *ctx, choir_session *session) {
    (void)ctx, (void)session;
    wakes++;
}

/* Large answers to tiny requests, for a peer that does not read: what runs is answered, and nothing more
 * starts. When the link takes them the rest starts, in the middle of a consume, and the host is told. */
Test(promises, answers_that_are_not_taken_stop_what_waits) {
    static uint8_t large[LARGE];
    test_peer p;
    test_peer_init(&p);
    p.root.max_concurrent_requests = RUNNING;
    p.options.wake = count_wake;
    p.on_event = collect;
    open_len = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    for (uint64_t i = 0; i < RUNNING + WAITING; i++)
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_ECHO_BYTES, "\x01x", 2), CHOIR_OK);
    cr_assert_eq(open_len, RUNNING);
    choir_bytes b = {large, sizeof large};
    for (uint32_t i = 0; i < open_len; i++) {
        cr_assert_eq(choir_reply(p.session, open_requests[i], &b, NULL, p.now), CHOIR_OK);
        test_peer_poll(&p);
    }
    /* The first two ran over the limit of 1 MiB; until then each one that was answered let another start. */
    cr_assert_lt(open_len, RUNNING + 3);
    cr_assert_lt(choir_attachment_pending(p.attachment), (uint64_t)(RUNNING + 3) * (LARGE + 100));
    uint32_t started = open_len;
    choir_iov iov[64];
    while (choir_attachment_pending(p.attachment) > 0 && open_len == started) {
        wakes = 0;
        size_t n = choir_attachment_peek(p.attachment, iov, 64), total = 0;
        for (size_t i = 0; i < n; i++) total += iov[i].len;
        cr_assert_eq(choir_attachment_consume(p.attachment, total, p.now), CHOIR_OK);
        test_peer_poll(&p);
    }
    cr_assert_gt(wakes, 0, "nobody was told that requests wait to be polled");
    cr_assert_eq(open_len, started + RUNNING);
    for (uint32_t i = 0; i < open_len; i++)
        (void)choir_request_drop(p.session, open_requests[i], NULL, p.now);
    test_peer_poll(&p);
    p.deaf = false;
    test_peer_take(&p);
    for (uint32_t i = 0; i < open_len; i++)
        (void)choir_request_drop(p.session, open_requests[i], NULL, p.now);
    test_peer_poll(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* One small frame must not keep a large block of the transport. */
Test(promises, a_small_share_of_a_chunk_is_copied_a_large_one_kept) {
    enum { BLOCK = 1 << 18 };
    static uint8_t args[200003];
    static const size_t sizes[] = {100000, 200000};
    for (int large = 0; large <= 1; large++) {
        test_peer p;
        test_peer_init(&p);
        p.on_event = remember;
        test_peer_open(&p, TEST_STAGE_OPEN);
        test_alloc chunks = {0};
        choir_allocator allocator = test_allocator(&chunks);
        choir_chunk *chunk;
        cr_assert_eq(choir_chunk_new(&allocator, BLOCK, &chunk), CHOIR_OK);
        size_t n = sizes[large], head = 0;
        for (size_t v = n; head == 0 || v > 0; v >>= 7)
            args[head++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        choiri_message m = {.kind = CHOIRI_MSG_REQUEST,
                            .body = CHOIRI_BODY_CALL,
                            .id = 1,
                            .method = trial_service.methods[TRIAL_ECHO_BYTES].id,
                            .payload = {args, head + n},
                            .schemas = test_peer_schemas(&p, TRIAL_ECHO_BYTES, false)};
        size_t len = make_frame(&p, &m, choir_chunk_data(chunk), BLOCK), used;
        cr_assert_eq(
            choir_attachment_receive(p.attachment, choir_chunk_data(chunk), len, chunk, &used, p.now),
            CHOIR_OK);
        test_peer_poll(&p);
        cr_assert_eq(p.events.started, 1);
        cr_assert_eq(choir_chunk_is_unique(chunk), !large, "%zu bytes", n);
        cr_assert_eq(choir_reply(p.session, newest, &(choir_bytes){args, 3}, NULL, p.now), CHOIR_OK);
        test_peer_poll(&p);
        cr_assert_eq(test_peer_deinit(&p), 0);
        cr_assert(choir_chunk_is_unique(chunk));
        choir_chunk_release(chunk);
        cr_assert_eq(chunks.bytes, 0);
    }
}

Test(promises, memory_that_was_not_given_is_not_charged) {
    test_peer p;
    test_peer_init(&p);
    p.on_event = remember;
    p.options.memory_quota = 1 << 20;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x01", 1), CHOIR_OK);
    uint64_t charged = test_requests_charged(p.session);
    test_peer_exhaust(&p);
    for (int i = 0; i < 20; i++) cr_assert_null(choir_request_alloc(p.session, newest, 100000, 8));
    test_peer_restore(&p);
    cr_assert_eq(test_requests_charged(p.session), charged);
    cr_assert_not_null(choir_request_alloc(p.session, newest, 100000, 8));
    cr_assert_eq(choir_reply(p.session, newest, &(uint32_t){1}, NULL, p.now), CHOIR_OK);
    test_peer_take(&p);
    cr_assert_eq(test_requests_charged(p.session), 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(promises, an_answered_request_is_not_held) {
    test_peer p;
    test_peer_init(&p);
    p.on_event = remember;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x01", 1), CHOIR_OK);
    choir_request_id first = newest;
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_LATER, "\x01", 1), CHOIR_OK);
    cr_assert_eq(choir_session_held_requests(p.session), 2);
    cr_assert_eq(choir_reply(p.session, first, &(uint32_t){1}, NULL, p.now), CHOIR_OK);
    cr_assert_eq(choir_session_held_requests(p.session), 1, "before its event was polled");
    test_peer_poll(&p);
    cr_assert_eq(choir_session_held_requests(p.session), 1);
    /* A handler outlives its link. */
    choir_attachment_closed(p.attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("cut"), p.now);
    test_peer_poll(&p);
    cr_assert_eq(choir_session_held_requests(p.session), 1);
    (void)choir_reply(p.session, newest, &(uint32_t){1}, NULL, p.now);
    cr_assert_eq(choir_session_held_requests(p.session), 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* interest says that there is output; peek has no memory for it. Nothing would ever call it again. */
Test(promises, a_pong_without_memory_does_not_hang) {
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    cr_assert_eq(test_peer_ping(&p, 1), CHOIR_OK);
    cr_assert(choir_attachment_interest(p.attachment) & CHOIR_HAS_OUTPUT);
    test_peer_exhaust(&p);
    choir_iov iov[16];
    cr_assert_eq(choir_attachment_peek(p.attachment, iov, 16), 0);
    cr_assert_eq(choir_session_status(p.session), CHOIR_ERR_OUT_OF_MEMORY);
    cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_FINISHED);
    test_peer_restore(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- options and arguments ---- */

Test(promises, metadata_that_is_taken_reaches_the_peer) {
    static choir_metadata_entry entries[64];
    for (int i = 0; i < 64; i++)
        entries[i] = (choir_metadata_entry){.key = CHOIR_STR("k"), .type = CHOIR_METADATA_U64, .u64 = 1};
    for (size_t n = 61; n <= 64; n++) {
        test_pair p;
        test_pair_init(&p);
        p.client_root.metadata = entries;
        p.client_root.metadata_len = n;
        cr_assert_eq(test_pair_open(&p), n <= 62, "%zu entries", n);
        cr_assert_eq(p.client.session && choir_session_is_established(p.client.session), n <= 62);
        cr_assert_eq(test_pair_deinit(&p), 0);
    }
    static uint8_t large[17000];
    memset(large, 'x', sizeof large);
    size_t taken = 0, refused = 0;
    for (size_t n = 15000; n <= 16600; n += 10) {
        test_pair p;
        test_pair_init(&p);
        entries[0] =
            (choir_metadata_entry){.key = CHOIR_STR("k"), .type = CHOIR_METADATA_STRING, .bytes = {large, n}};
        p.client_root.metadata = entries;
        p.client_root.metadata_len = 1;
        p.client_root.call = &trial_service;
        bool open = test_pair_open(&p);
        cr_assert_eq(p.client.session && choir_session_is_established(p.client.session), open, "%zu bytes",
                     n);
        open ? taken++ : refused++;
        cr_assert_eq(test_pair_deinit(&p), 0);
    }
    cr_assert(taken > 0 && refused > 0);
}

Test(promises, a_forgotten_value_is_invalid) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.on_event = remember;
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_conn_id root = choir_session_root(p.session);
    cr_assert_eq(choir_call(p.session, root, TRIAL_ECHO, NULL, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_call(p.session, root, TRIAL_DIVIDE, NULL, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    call(&p, TRIAL_NOTHING, NULL, CHOIR_TIME_NEVER);
    cr_assert_eq(test_peer_call(&p, 2, TRIAL_LATER, "\x01", 1), CHOIR_OK);
    cr_assert_eq(choir_reply(p.session, newest, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_reply(p.session, newest, &(uint32_t){1}, NULL, p.now), CHOIR_OK, "it still waits");
    test_peer_poll(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* With it no call would ever leave. */
Test(promises, max_output_zero_is_invalid) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_session_options o;
    choir_conn_options root;
    choir_session_options_init(&o);
    choir_conn_options_init(&root);
    root.max_output = 0;
    o.root = &root;
    choir_session *session = NULL;
    cr_assert_eq(choir_session_new(env, &o, &session, 1), CHOIR_ERR_INVALID);
    cr_assert_null(session);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(promises, receive_that_takes_nothing_leaves_used_alone) {
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_session_close(p.session, p.now);
    size_t used = 777;
    cr_assert_neq(choir_attachment_receive(p.attachment, "", 1, NULL, &used, p.now), CHOIR_OK);
    cr_assert_eq(used, 777);
    test_peer_poll(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}
