/* SPDX-License-Identifier: MIT */
/* Every limit of a session's options and of the library's own, at N and at N + 1. */
#include "testing/inside.h"
#include "testing/peer.h"
#include "testing/varint.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct handlers {
    choir_request_id ids[2048];
    uint32_t count;
} handlers;

static void collect(test_peer *p, const choir_event *e) {
    handlers *h = p->ctx;
    if (e->kind == CHOIR_EVENT_REQUEST && h->count < 2048) h->ids[h->count++] = e->request;
}

static test_peer *begin(test_peer *p, handlers *h) {
    h->count = 0;
    test_peer_init(p);
    p->ctx = h;
    p->on_event = collect;
    return p;
}

/* The outcome of the next answer, 0 is ok; the test fails when none comes. */
static uint32_t next_outcome(test_peer *p, uint64_t id) {
    choiri_message m;
    do cr_assert(test_peer_next(p, &m), "no answer to %llu", (unsigned long long)id);
    while (m.kind == CHOIRI_MSG_SCHEMA);
    cr_assert(m.kind == CHOIRI_MSG_REQUEST && m.body == CHOIRI_BODY_RESPONSE);
    cr_assert_eq(m.id, id);
    return m.payload.data[0] == 0 ? CHOIR_OUTCOME_OK : m.payload.data[1] + 1u;
}

static void expect_no_answer(test_peer *p) {
    choiri_message m;
    cr_assert(!test_peer_next(p, &m));
}

static void finish(test_peer *p, choir_request_id id) {
    uint32_t number = 1;
    cr_assert_eq(choir_reply(p->session, id, &number, NULL, p->now), CHOIR_OK);
    test_peer_poll(p);
}

/* ---- requests ---- */

Test(limits, running_and_queued_requests) {
    test_peer p;
    static handlers h;
    begin(&p, &h);
    p.root.max_concurrent_requests = 2;
    p.root.max_queued_requests = 3;
    test_peer_open(&p, TEST_STAGE_OPEN);
    for (uint64_t i = 0; i < 5; i++)
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(h.count, 2);
    expect_no_answer(&p);
    cr_assert_eq(test_peer_call(&p, 11, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(next_outcome(&p, 11), CHOIR_OUTCOME_SEND_FAILED, "the sixth");
    finish(&p, h.ids[0]);
    cr_assert_eq(next_outcome(&p, 1), CHOIR_OUTCOME_OK);
    cr_assert_eq(h.count, 3);
    cr_assert_eq(test_peer_call(&p, 13, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    expect_no_answer(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(limits, no_queue_at_all) {
    test_peer p;
    static handlers h;
    begin(&p, &h);
    p.root.max_concurrent_requests = 1;
    p.root.max_queued_requests = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(next_outcome(&p, 3), CHOIR_OUTCOME_SEND_FAILED);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(limits, bytes_of_queued_requests) {
    test_peer p;
    static handlers h;
    begin(&p, &h);
    p.root.max_concurrent_requests = 1;
    test_peer_open(&p, TEST_STAGE_OPEN);
    uint8_t args[101] = {99};
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    args[0] = 59;
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_ECHO_BYTES, args, 60), CHOIR_OK);
    /* Whole frames are counted: what a peer puts beside the arguments is held as well. The first one brings
     * schemas. */
    uint64_t first = test_rpc(p.session)->requests.queued_bytes;
    cr_assert_gt(first, 60);
    args[0] = 39;
    cr_assert_eq(test_peer_call(&p, 5, TRIAL_ECHO_BYTES, args, 40), CHOIR_OK);
    uint64_t both = test_rpc(p.session)->requests.queued_bytes, frame = both - first;
    cr_assert_gt(frame, 40);
    p.session->conns.root.profile->limits.max_queued_request_bytes = both + frame;
    args[0] = 40;
    cr_assert_eq(test_peer_call(&p, 7, TRIAL_ECHO_BYTES, args, 41), CHOIR_OK);
    cr_assert_eq(next_outcome(&p, 7), CHOIR_OUTCOME_SEND_FAILED, "one byte too many");
    args[0] = 39;
    cr_assert_eq(test_peer_call(&p, 9, TRIAL_ECHO_BYTES, args, 40), CHOIR_OK);
    expect_no_answer(&p);
    cr_assert_eq(test_rpc(p.session)->requests.queued_bytes, both + frame);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

static uint32_t outcome_with_metadata(size_t entries, size_t bytes) {
    test_peer p;
    static handlers h;
    static uint8_t list[40000];
    begin(&p, &h);
    test_peer_open(&p, TEST_STAGE_OPEN);
    /* One String entry of the size that is left, and small ones: key "", U64 0, no flags, 4 bytes each. */
    size_t large = bytes - 4 * (entries - 1);
    uint8_t *at = list;
    *at++ = 0;
    *at++ = CHOIR_METADATA_STRING;
    size_t value = large - 3 - test_varint_size(large - 4);
    at = choiri_put_varint(at, value);
    memset(at, 'v', value);
    at += value;
    *at++ = 0;
    for (size_t i = 1; i < entries; i++, at += 4) memcpy(at, "\0\x02\0\0", 4);
    cr_assert_eq((size_t)(at - list), bytes);
    choiri_message m = {.kind = CHOIRI_MSG_REQUEST,
                        .body = CHOIRI_BODY_CALL,
                        .id = 1,
                        .method = trial_service.methods[TRIAL_LATER].id,
                        .metadata = {{list, bytes}, entries},
                        .payload = {(const uint8_t *)"\x05", 1}};
    m.schemas = test_peer_schemas(&p, TRIAL_LATER, false);
    cr_assert_eq(test_peer_message(&p, &m), CHOIR_OK);
    uint32_t outcome = CHOIR_OUTCOME_OK;
    if (h.count == 0) outcome = next_outcome(&p, 1);
    cr_assert_eq(test_peer_deinit(&p), 0);
    return outcome;
}

Test(limits, metadata_of_a_request) {
    cr_assert_eq(outcome_with_metadata(64, 1000), CHOIR_OUTCOME_OK);
    cr_assert_eq(outcome_with_metadata(65, 1000), CHOIR_OUTCOME_INVALID_PAYLOAD);
    cr_assert_eq(outcome_with_metadata(1, 16384), CHOIR_OUTCOME_OK);
    cr_assert_eq(outcome_with_metadata(1, 16385), CHOIR_OUTCOME_INVALID_PAYLOAD);
    cr_assert_eq(outcome_with_metadata(64, 16384), CHOIR_OUTCOME_OK);
}

/* ---- calls ---- */

Test(limits, queued_calls) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.root.max_queued_calls = 3;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    for (uint32_t i = 0; i < 4; i++) {
        choir_call_id id;
        int status = choir_call(p.session, choir_session_root(p.session), TRIAL_LATER, &i, NULL, &id, p.now);
        cr_assert_eq(status, i < 3 ? CHOIR_OK : CHOIR_ERR_BLOCKED);
        if (status == CHOIR_OK) test_events_call(&p.events, id);
    }
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(limits, metadata_of_a_call) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_metadata_entry entries[65] = {{.key = {"k", 1}, .type = CHOIR_METADATA_U64}};
    for (int i = 1; i < 65; i++) entries[i] = entries[0];
    choir_call_options o;
    choir_call_options_init(&o);
    o.metadata = entries;
    uint32_t number = 1;
    choir_call_id id;
    o.metadata_len = 65;
    cr_assert_eq(choir_call(p.session, choir_session_root(p.session), TRIAL_LATER, &number, &o, &id, p.now),
                 CHOIR_ERR_INVALID);
    o.metadata_len = 64;
    cr_assert_eq(choir_call(p.session, choir_session_root(p.session), TRIAL_LATER, &number, &o, &id, p.now),
                 CHOIR_OK);
    test_events_call(&p.events, id);
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && m.metadata.count == 64);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A message of exactly the limit leaves, one more byte does not. */
Test(limits, size_of_a_message) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.link.max_payload = 5000;
    test_peer_open(&p, TEST_STAGE_OPEN);
    static uint8_t bytes[5000];
    choir_bytes b = {bytes, 0};
    choir_call_id id;
    choir_conn_id root = choir_session_root(p.session);
    cr_assert_eq(choir_call(p.session, root, TRIAL_ECHO_BYTES, &b, NULL, &id, p.now),
                 CHOIR_OK); /* takes the schemas */
    test_events_call(&p.events, id);
    choir_bytes frame;
    cr_assert(test_peer_next_frame(&p, &frame));
    /* conn, kind, id, body, method, metadata, length of the opaque, length of the bytes, schemas */
    size_t head =
        1 + 1 + 1 + 1 + test_varint_size(trial_service.methods[TRIAL_ECHO_BYTES].id) + 1 + 4 + 2 + 1;
    b.len = 5000 - head + 1;
    cr_assert_eq(choir_call(p.session, root, TRIAL_ECHO_BYTES, &b, NULL, &id, p.now), CHOIR_ERR_TOO_LARGE);
    b.len--;
    cr_assert_eq(choir_call(p.session, root, TRIAL_ECHO_BYTES, &b, NULL, &id, p.now), CHOIR_OK);
    test_events_call(&p.events, id);
    cr_assert(test_peer_next_frame(&p, &frame));
    cr_assert_eq(frame.len, 5000);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- what a peer does too often ---- */

/* An item of a channel that was never opened. */
static int send_item(test_peer *p) {
    return test_peer_message(
        p, &(choiri_message){.kind = CHOIRI_MSG_CHANNEL, .body = CHOIRI_CHANNEL_ITEM, .id = 99});
}

/* Odd messages: `burst` at once, then `rate` per second; one more ends the session. */
Test(limits, glitches) {
    test_peer p;
    test_peer_init(&p);
    p.root.glitch_burst = 5;
    p.root.glitch_rate = 2;
    p.options.keepalive_idle = p.options.keepalive_send = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    for (int i = 0; i < 5; i++) cr_assert_eq(send_item(&p), CHOIR_OK);
    test_peer_sleep(&p, 2001 * CHOIR_MILLISECOND);
    for (int i = 0; i < 4; i++) cr_assert_eq(send_item(&p), CHOIR_OK, "four more after two seconds");
    cr_assert_eq(send_item(&p), CHOIR_ERR_PROTOCOL);
    cr_assert(strstr(p.events.last_text, "too many odd messages"));
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && m.kind == CHOIRI_MSG_PROTOCOL_ERROR && m.conn == 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Late cancels are what an overloaded caller sends: thousands are let through, not a flood. */
Test(limits, nuisances) {
    test_peer p;
    test_peer_init(&p);
    p.root.glitch_burst = p.root.glitch_rate = 0;
    p.options.keepalive_idle = p.options.keepalive_send = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    for (int i = 0; i < 65536; i++) cr_assert_eq(test_peer_cancel(&p, 99), CHOIR_OK);
    test_peer_sleep(&p, CHOIR_SECOND);
    for (int i = 0; i < 10000; i++) cr_assert_eq(test_peer_cancel(&p, 99), CHOIR_OK, "10,000 a second");
    cr_assert_eq(test_peer_cancel(&p, 99), CHOIR_ERR_PROTOCOL);
    cr_assert(strstr(p.events.last_text, "a flood of late messages or of requests over the limits"));
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Requests that are cancelled while they run cost a start each: when those are spent nothing starts until
 * time has passed, and nobody is punished. Reliability cases A20 and F25. */
Test(limits, starts_for_nothing) {
    enum { BURST = 8 };
    test_peer p;
    static handlers h;
    begin(&p, &h);
    p.root.max_concurrent_requests = BURST;
    p.root.glitch_burst = BURST;
    p.root.glitch_rate = 2;
    p.options.keepalive_idle = p.options.keepalive_busy = p.options.keepalive_send = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    uint64_t id = 1;
    for (uint32_t i = 0; i < BURST; i++, id += 2) {
        cr_assert_eq(test_peer_call(&p, id, TRIAL_LATER, "\x05", 1), CHOIR_OK);
        cr_assert_eq(test_peer_cancel(&p, id), CHOIR_OK);
        (void)choir_request_drop(p.session, h.ids[i], NULL, p.now);
    }
    cr_assert_eq(h.count, BURST);
    cr_assert_eq(test_peer_call(&p, id, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(test_peer_call(&p, id + 2, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(h.count, BURST, "they wait");
    test_peer_sleep(&p, 499 * CHOIR_MILLISECOND);
    cr_assert_eq(h.count, BURST);
    test_peer_sleep(&p, 2 * CHOIR_MILLISECOND);
    cr_assert_eq(h.count, BURST + 1);
    test_peer_sleep(&p, 500 * CHOIR_MILLISECOND);
    cr_assert_eq(h.count, BURST + 2);
    /* What is answered gives its start back: then there is no limit. */
    finish(&p, h.ids[BURST]);
    finish(&p, h.ids[BURST + 1]);
    for (id += 4; h.count < 100; id += 2) {
        uint32_t before = h.count;
        cr_assert_eq(test_peer_call(&p, id, TRIAL_LATER, "\x05", 1), CHOIR_OK);
        cr_assert_eq(h.count, before + 1);
        finish(&p, h.ids[before]);
    }
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- the quota ---- */

/* Requests are held up to the quota; beyond it they are refused in a way that may be tried again, and when
 * one is finished there is room again. */
Test(limits, quota_of_held_requests) {
    test_peer p;
    static handlers h;
    begin(&p, &h);
    p.options.memory_quota = 60000;
    test_peer_open(&p, TEST_STAGE_OPEN);
    static uint8_t args[9002] = {0xa8, 0x46}; /* 9000 */
    for (uint64_t i = 0; i < 6; i++)
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_ECHO_BYTES, args, sizeof args), CHOIR_OK);
    cr_assert_eq(h.count, 3, "three times 9 KB in blocks of 16 fit 60 KB, not four");
    for (uint64_t id = 7; id <= 11; id += 2) cr_assert_eq(next_outcome(&p, id), CHOIR_OUTCOME_SEND_FAILED);
    cr_assert_leq(choiri_session_held(p.session), 60000);
    test_check_charges(p.session);
    choir_bytes none = {NULL, 0};
    cr_assert_eq(choir_reply(p.session, h.ids[1], &none, NULL, p.now), CHOIR_OK);
    test_peer_poll(&p);
    cr_assert_eq(next_outcome(&p, 3), CHOIR_OUTCOME_OK);
    cr_assert_eq(test_peer_call(&p, 13, TRIAL_ECHO_BYTES, args, sizeof args), CHOIR_OK);
    cr_assert_eq(h.count, 4);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Room for 1 MiB where a leaf has 24 bytes in memory, and for as many leaves where it has less. */
#define TREE_QUOTA ((1u << 20) * sizeof(trial_tree) / 24)

/* A tree of `n` leaves: 2 bytes on the wire become 24 in memory, or 12 where pointers have 32 bits. */
static size_t make_tree(uint8_t *out, size_t n) {
    uint8_t *at = out;
    *at++ = 1;
    at = choiri_put_varint(at, n);
    memset(at, 0, 2 * n);
    return (size_t)(at - out) + 2 * n;
}

/* What decoding needs is bounded by the quota too, before it is allocated. */
Test(limits, quota_of_decoded_arguments) {
    test_peer p;
    static handlers h;
    static uint8_t args[1000000];
    begin(&p, &h);
    p.options.memory_quota = TREE_QUOTA;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_MEASURE, args, make_tree(args, 30000)), CHOIR_OK);
    cr_assert_eq(h.count, 1, "60 KB that become 720");
    uint64_t held = p.alloc.bytes;
    p.alloc.peak = held;
    size_t len = make_tree(args, 40000);
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_MEASURE, args, len), CHOIR_OK);
    cr_assert_eq(next_outcome(&p, 3), CHOIR_OUTCOME_SEND_FAILED);
    cr_assert_lt(p.alloc.peak, held + 4 * len + 65536, "the 960 KB were never allocated");
    finish(&p, h.ids[0]);
    cr_assert_eq(next_outcome(&p, 1), CHOIR_OUTCOME_OK);
    cr_assert_eq(test_requests_charged(p.session), 0);
    cr_assert_eq(test_peer_call(&p, 5, TRIAL_MEASURE, args, make_tree(args, 30000)), CHOIR_OK);
    cr_assert_eq(h.count, 2);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* More than 16 times the payload is never decoded, whatever the quota: that is the arguments' fault. */
Test(limits, decoded_arguments_in_proportion) {
    test_peer p;
    static handlers h;
    static uint8_t args[200000];
    begin(&p, &h);
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_MEASURE, args, make_tree(args, 90000)), CHOIR_OK);
    cr_assert_eq(h.count, 1, "12 times");
    cr_assert_leq(p.alloc.peak, 65536 + 16 * 180000 + 1200000);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The answer to a call of ours is bounded in the same way, and the session lives on. */
Test(limits, quota_of_decoded_answers) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.options.memory_quota = TREE_QUOTA;
    test_peer_open(&p, TEST_STAGE_OPEN);
    static uint8_t ret[100000];
    static const size_t leaves[] = {30000, 45000, 30000};
    for (uint64_t i = 0; i < 3; i++) {
        uint32_t number = 1;
        choir_call_id id;
        choir_conn_id root = choir_session_root(p.session);
        cr_assert_eq(choir_call(p.session, root, TRIAL_GROW, &number, NULL, &id, p.now), CHOIR_OK);
        test_events_call(&p.events, id);
        test_peer_skip(&p);
        p.alloc.peak = p.alloc.bytes;
        size_t len = 1 + make_tree(ret + 1, leaves[i]);
        cr_assert_eq(test_peer_answer(&p, 1 + 2 * i, TRIAL_GROW, ret, len), CHOIR_OK);
        bool fits = leaves[i] == 30000;
        cr_assert_eq(p.events.last_outcome, fits ? CHOIR_OUTCOME_OK : CHOIR_OUTCOME_INVALID_PAYLOAD);
        if (!fits) cr_assert(strstr(p.events.last_text, "over the memory limit"), "%s", p.events.last_text);
        if (!fits) cr_assert_lt(p.alloc.peak, p.alloc.bytes + 4 * len + 65536);
    }
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The quota of the environment: a session that is refused everything else still ends in order. */
Test(limits, quota_of_the_environment) {
    test_alloc alloc = {0};
    choir_env_options o;
    choir_env_options_init(&o);
    choir_env *probe = test_env(&alloc);
    o.allocator = probe->allocator;
    o.random = probe->random;
    o.random_ctx = probe->random_ctx;
    uint64_t quota = 1000;
    for (bool opened = false; !opened; quota += quota / 8) {
        choir_env *env = NULL;
        choir_session *s = NULL;
        choir_attachment *a = NULL;
        choir_session_options so;
        choir_conn_options root;
        choir_session_options_init(&so);
        choir_conn_options_init(&root);
        root.call = &trial_service;
        so.root = &root;
        o.memory_quota = quota;
        cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
        int status = choir_session_new(env, &so, &s, 1);
        if (status == CHOIR_OK) status = choir_attachment_new_initiator(env, NULL, s, &a, 1);
        cr_assert(status == CHOIR_OK || status == CHOIR_ERR_NO_MEMORY);
        cr_assert_leq(choir_env_memory(env), quota + sizeof *env);
        opened = status == CHOIR_OK;
        choir_session_free(s);
        choir_env_free(env);
    }
    choir_env_free(probe);
    cr_assert_eq(alloc.bytes, 0);
    printf("a session with its Hello needs less than %llu bytes\n", (unsigned long long)quota);
}
