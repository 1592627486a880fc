/* SPDX-License-Identifier: MIT */
/* Random conversations: two sessions that call each other, with handlers that answer now, later, wrongly or
 * never, with cancels, deadlines, links that stop and links that end, tiny limits, pieces of any size and
 * memory that runs out. What must hold at every step: the promises about events (checked as they come), at
 * most as many handlers as announced, functions that answer what their comments list; at the end everything
 * has ended and nothing is left. */
#include "testing/inside.h"
#include "testing/pair.h"
#include "testing/trial.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 64u

typedef struct actor {
    choir_call_id calls[KEPT];       /* some that were made, ended or not */
    choir_request_id requests[KEPT]; /* some that came, answered or not */
    uint32_t calls_len, requests_len;
    uint32_t depth; /* of calls made from within events */
} actor;

static uint64_t state;
static uint32_t pick(uint32_t below) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % below);
}

static void expect_one_of(int status, const int *allowed, size_t count, const char *what) {
    for (size_t i = 0; i < count; i++)
        if (status == allowed[i]) return;
    cr_assert_fail("%s answered %s", what, choir_status_name(status));
}
#define EXPECT_ONE_OF(status, what, ...)                                                                     \
    do {                                                                                                     \
        const int allowed[] = {__VA_ARGS__};                                                                 \
        expect_one_of((status), allowed, sizeof allowed / sizeof *allowed, (what));                          \
    } while (0)

/* ---- what an end can do ---- */

static void make_call(test_side *side) {
    static uint8_t bytes[30000];
    static const choir_metadata_entry entries[] = {
        {.key = {"k", 1}, .type = CHOIR_METADATA_U64, .u64 = 7},
        {.key = {"s", 1}, .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"value", 5}, .flags = 1}};
    actor *me = side->ctx;
    choir_call_options o;
    choir_call_options_init(&o);
    if (pick(3) == 0) o.deadline = side->pair->now + pick(2000) * CHOIR_MILLISECOND;
    o.metadata = entries;
    o.metadata_len = pick(3);
    choir_bytes b = {bytes, pick(3) == 0 ? pick(sizeof bytes) : pick(50)};
    choir_str text = {(const char *)bytes, pick(100)};
    trial_divide_args division = {100, (int64_t)pick(5) - 1};
    trial_tree leaves[3] = {{1, {NULL, 0}}, {2, {NULL, 0}}, {3, {NULL, 0}}}, tree = {0, {leaves, pick(4)}};
    uint32_t number = pick(300), method = pick(TRIAL_ABSENT + 2);
    const void *args = &number;
    if (method == TRIAL_ECHO || method == TRIAL_ABSENT) args = &text;
    if (method == TRIAL_ECHO_BYTES) args = &b;
    if (method == TRIAL_DIVIDE) args = &division;
    if (method == TRIAL_MEASURE) args = &tree;
    if (method == TRIAL_NOTHING) args = NULL;
    if (method == TRIAL_FLAGS) return;
    choir_call_id call;
    int status = test_side_call(side, method, args, &o, &call);
    if (method == TRIAL_WATCH)
        EXPECT_ONE_OF(status, "call", CHOIR_ERR_UNSUPPORTED, CHOIR_ERR_CLOSED);
    else if (method > TRIAL_ABSENT)
        EXPECT_ONE_OF(status, "call", CHOIR_ERR_INVALID, CHOIR_ERR_CLOSED);
    else
        EXPECT_ONE_OF(status, "call", CHOIR_OK, CHOIR_ERR_CLOSED, CHOIR_ERR_BLOCKED, CHOIR_ERR_NO_MEMORY);
    if (status == CHOIR_OK) me->calls[me->calls_len++ % KEPT] = call;
}

static void cancel_call(test_side *side) {
    actor *me = side->ctx;
    if (me->calls_len == 0) return;
    uint32_t kept = me->calls_len < KEPT ? me->calls_len : KEPT;
    EXPECT_ONE_OF(choir_cancel(side->session, me->calls[pick(kept)], NULL, side->pair->now), "cancel",
                  CHOIR_OK, CHOIR_ERR_NOT_FOUND);
}

static void answer(test_side *side, choir_request_id id, const choir_event *e) {
    static const uint8_t zeros[64]; /* a good value of every result type but a tree's: nothing, or 0 */
    choir_session *s = side->session;
    choir_time now = side->pair->now;
    int status;
    switch (pick(6)) {
    case 0: status = choir_request_drop(s, id, NULL, now); break;
    case 1: status = choir_reply_invalid(s, id, CHOIR_STR("not today"), now); break;
    case 2: status = choir_reply_error(s, id, zeros, NULL, now); break;
    default:
        status = choir_reply(s, id, e && e->method == TRIAL_ECHO_BYTES ? e->value : zeros, NULL, now);
        break;
    }
    EXPECT_ONE_OF(status, "answer", CHOIR_OK, CHOIR_ERR_NOT_FOUND, CHOIR_ERR_CANCELLED, CHOIR_ERR_INVALID,
                  CHOIR_ERR_NO_MEMORY);
}

static void answer_kept(test_side *side) {
    actor *me = side->ctx;
    if (me->requests_len == 0) return;
    uint32_t kept = me->requests_len < KEPT ? me->requests_len : KEPT;
    choir_request_id id = me->requests[pick(kept)];
    if (pick(4) == 0) {
        uint8_t *memory = choir_request_alloc(side->session, id, 1 + pick(3000), 8);
        if (memory) *memory = 1;
    }
    answer(side, id, NULL);
}

static void ping(test_side *side) {
    EXPECT_ONE_OF(choir_session_ping(side->session, side->pair->now), "ping", CHOIR_OK, CHOIR_ERR_STATE,
                  CHOIR_ERR_BUSY, CHOIR_ERR_NO_MEMORY);
}

static void check(const test_side *side) {
    choir_session *s = side->session;
    if (!s) return;
    const choiri_rpc *r = choiri_rpc_peek(&s->conns.root);
    const choiri_limits *l = test_limits(s);
    test_check_charges(s);
    if (!r) return;
    cr_assert_leq(r->requests.running, l->max_concurrent_requests);
    cr_assert_leq(r->calls.queued, l->max_queued_calls);
    cr_assert_leq(r->requests.queued, l->max_queued_requests);
    if (choir_session_is_established(s) && l->peer_requests > 0)
        cr_assert_leq(r->calls.in_flight, l->peer_requests);
}

/* When nothing moves any more, nothing may be waiting to be moved. */
static void check_flow(test_pair *p) {
    if (p->client.hold || p->server.hold || !p->client.attachment || !p->server.attachment) return;
    cr_assert_eq(choir_attachment_pending(p->client.attachment), 0, "the ends wait for each other");
    cr_assert_eq(choir_attachment_pending(p->server.attachment), 0, "the ends wait for each other");
}

static void on_event(test_side *side, const choir_event *e) {
    actor *me = side->ctx;
    check(side);
    if (e->kind == CHOIR_EVENT_REQUEST) {
        me->requests[me->requests_len++ % KEPT] = e->request;
        if (pick(2) == 0) answer(side, e->request, e);
    }
    if (me->depth > 2 || pick(8) != 0) return;
    me->depth++; /* anything is allowed in an event */
    switch (pick(4)) {
    case 0: make_call(side); break;
    case 1: cancel_call(side); break;
    case 2: answer_kept(side); break;
    default: ping(side); break;
    }
    me->depth--;
}

static void act(test_pair *p) {
    test_side *side = pick(2) ? &p->client : &p->server;
    if (!side->session) return;
    uint32_t what = pick(100);
    if (what < 40)
        make_call(side);
    else if (what < 50)
        cancel_call(side);
    else if (what < 65)
        answer_kept(side);
    else if (what < 68)
        ping(side);
    else if (what < 72)
        side->hold = !side->hold;
    else if (what < 95) {
        test_pair_pump(p);
        check_flow(p);
    } else if (what < 99)
        test_pair_sleep(p, pick(1500) * CHOIR_MILLISECOND);
    else if (pick(4) == 0)
        choir_session_close(side->session, p->now);
    else if (pick(4) == 0)
        test_pair_cut(p);
    check(&p->client);
    check(&p->server);
}

/* ---- running ---- */

static void choose_options(choir_session_options *o, choir_conn_options *root) {
    static const uint32_t numbers[] = {1, 2, 5, 64}, queues[] = {0, 1, 3, 1024},
                          bytes[] = {0, 100, 10000, 1 << 20};
    root->call = &trial_service;
    root->serve = &trial_served;
    root->max_concurrent_requests = numbers[pick(4)];
    root->max_queued_calls = queues[pick(4)];
    root->max_queued_call_bytes = bytes[pick(4)];
    root->max_queued_requests = queues[pick(4)];
    root->max_queued_request_bytes = bytes[pick(4)];
    if (pick(4) == 0) o->memory_quota = 60000;
    if (pick(4) == 0) root->max_output = 20000;
    if (pick(4) == 0) root->max_answers = 10000;
}

static void run(uint64_t seed, bool failing, test_pair *p) {
    actor client = {.depth = 0}, server = {.depth = 0};
    state = seed;
    test_pair_init(p);
    p->client.ctx = &client;
    p->server.ctx = &server;
    p->client.on_event = p->server.on_event = on_event;
    p->seed = seed;
    p->split = (int)pick(3) - 1;
    if (p->split == 1) p->split = 1 + (int)pick(40);
    p->whole_payloads = pick(5) == 0;
    choose_options(&p->client_options, &p->client_root);
    choose_options(&p->server_options, &p->server_root);
    if (failing && pick(4) == 0) p->alloc.fail_at = 1 + pick(300);
    if (test_pair_open(p)) {
        for (uint32_t i = 0; i < 60; i++) {
            if (failing && pick(10) == 0) p->alloc.fail_at = p->alloc.calls + 1 + pick(30);
            if (failing && pick(300) == 0) p->alloc.fail_after = true;
            act(p);
        }
    }
    p->client.hold = p->server.hold = false;
    test_pair_pump(p);
    check_flow(p);
    test_pair_cut(p);
    for (int i = 0; i < 2; i++) {
        test_side *side = i ? &p->server : &p->client;
        if (side->session && !side->events.closed)
            choir_session_close(side->session, p->now); /* it had no link */
        test_side_poll(side);
        cr_assert(!side->session || side->events.closed, "seed %llu: the %s did not close",
                  (unsigned long long)seed, side->name);
        cr_assert_eq(test_events_open_calls(&side->events), 0);
        cr_assert_eq(test_events_open_requests(&side->events), 0);
    }
}

static void run_all(uint64_t first, uint64_t count, bool failing) {
    uint64_t done = 0, started = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        test_pair p;
        run(seed, failing, &p);
        done += p.client.events.done + p.server.events.done;
        started += p.client.events.started + p.server.events.started;
        cr_assert_eq(test_pair_deinit(&p), 0, "seed %llu leaks", (unsigned long long)seed);
    }
    printf("%llu conversations, %llu calls, %llu requests\n", (unsigned long long)count,
           (unsigned long long)done, (unsigned long long)started);
    cr_assert_gt(done, count);
}

Test(random, conversations) {
    run_all(1, 2000, false);
}
Test(random, conversations_without_memory) {
    run_all(100000, 2000, true);
}

/* Two runs with one seed are the same, byte for byte. */
Test(random, a_seed_is_a_conversation) {
    for (uint64_t seed = 1; seed <= 200; seed++) {
        test_pair a, b;
        run(seed, seed % 2 == 0, &a);
        run(seed, seed % 2 == 0, &b);
        cr_assert_str_eq(a.client.events.log, b.client.events.log);
        cr_assert_str_eq(a.server.events.log, b.server.events.log);
        cr_assert(a.client.sent_len == b.client.sent_len && a.server.sent_len == b.server.sent_len);
        if (a.client.sent) cr_assert_eq(memcmp(a.client.sent, b.client.sent, a.client.sent_len), 0);
        if (a.server.sent) cr_assert_eq(memcmp(a.server.sent, b.server.sent, a.server.sent_len), 0);
        test_pair_deinit(&a);
        test_pair_deinit(&b);
    }
}
