/* SPDX-License-Identifier: MIT */
/* A session and a peer that says anything. The promises about events are watched as they come
 * (testing/events.h); at every step the charges are within their limits; at the end everything has ended,
 * nothing is charged (choir_session_free asserts it), all that was written is well-formed, and nothing is
 * left. Input: role, stage and kind of link, options, how requests are answered, then actions with their
 * operands. */
#include "fuzz.h"
#include "testing/inside.h"
#include "testing/peer.h"
#include "wire/msgpack.h"

#include <stdlib.h>

#define KEPT    16u
#define ACTIONS 200u

typedef struct actor {
    fuzz_run f;
    test_peer peer;
    choir_call_id calls[KEPT];       /* some that were made, ended or not */
    choir_request_id requests[KEPT]; /* some that came, answered or not */
    uint32_t calls_len, requests_len;
    uint8_t answers; /* two bits for each of four requests in turn: answer, error, drop, later */
} actor;

static const uint8_t nothing[25600]; /* a good value of every result of Trial, a text, or so many bytes */

static void check(const test_peer *p) {
    choir_session *s = p->session;
    if (!s) return;
    const choiri_rpc *r = choiri_rpc_peek(&s->conns.root);
    const choiri_limits *l = test_limits(s);
    test_check_charges(s);
    if (!r) return;
    FUZZ_CHECK(r->requests.running <= l->max_concurrent_requests, "too many requests run");
    FUZZ_CHECK(r->calls.queued <= l->max_queued_calls, "too many calls wait");
    FUZZ_CHECK(r->requests.queued <= l->max_queued_requests, "too many requests wait");
    if (choir_session_is_established(s) && l->peer_requests > 0)
        FUZZ_CHECK(r->calls.in_flight <= l->peer_requests, "too many calls in flight");
}

/* ---- our side ---- */

static void answer(actor *a, choir_request_id id, uint32_t how, const void *value) {
    choir_session *s = a->peer.session;
    switch (how & 3u) {
    case 0: choir_reply(s, id, value ? value : nothing, NULL, a->peer.now); break;
    case 1:
        if (choir_reply_error(s, id, nothing, NULL, a->peer.now) == CHOIR_ERR_INVALID)
            choir_reply_invalid(s, id, CHOIR_STR("not today"), a->peer.now);
        break;
    case 2: choir_request_drop(s, id, NULL, a->peer.now); break;
    default: break;
    }
}

static void on_event(test_peer *p, const choir_event *e) {
    actor *a = p->ctx;
    check(p);
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    uint32_t n = a->requests_len++;
    a->requests[n % KEPT] = e->request;
    bool echoes = e->method == TRIAL_ECHO || e->method == TRIAL_ECHO_BYTES;
    answer(a, e->request, (uint32_t)a->answers >> n % 4 * 2, echoes ? e->value : NULL);
}

static void call(actor *a) {
    test_peer *p = &a->peer;
    uint8_t method = fuzz_u8(&a->f) % (TRIAL_ABSENT + 2), deadline = fuzz_u8(&a->f);
    uint32_t number = fuzz_u8(&a->f);
    choir_bytes b = {nothing, number * 100};
    choir_str text = {(const char *)nothing, number * 100};
    trial_divide_args division = {100, (int64_t)number - 1};
    trial_tree leaves[2] = {{1, {NULL, 0}}, {2, {NULL, 0}}}, tree = {0, {leaves, number % 3}};
    choir_list flags = {nothing, number};
    const void *args = &number;
    choir_call_options o;
    choir_call_id id;
    choir_call_options_init(&o);
    if (deadline > 0) o.deadline = p->now + deadline * 10 * CHOIR_MILLISECOND;
    if (method == TRIAL_ECHO || method == TRIAL_ABSENT) args = &text;
    if (method == TRIAL_ECHO_BYTES) args = &b;
    if (method == TRIAL_DIVIDE) args = &division;
    if (method == TRIAL_MEASURE) args = &tree;
    if (method == TRIAL_FLAGS) args = &flags;
    if (choir_call(p->session, choir_session_root(p->session), method, args, &o, &id, p->now) != CHOIR_OK)
        return;
    test_events_call(&p->events, id);
    a->calls[a->calls_len++ % KEPT] = id;
}

static void act_alone(actor *a, uint8_t action) {
    test_peer *p = &a->peer;
    uint8_t which = fuzz_u8(&a->f);
    switch (action) {
    case 0: call(a); break;
    case 1:
        if (a->calls_len > 0) choir_cancel(p->session, a->calls[which % KEPT % a->calls_len], NULL, p->now);
        break;
    case 2:
        if (a->requests_len > 0) {
            choir_request_id id = a->requests[which % KEPT % a->requests_len];
            uint8_t *memory = which & 16 ? choir_request_alloc(p->session, id, which * 20u, 8) : NULL;
            if (memory) *memory = 1;
            answer(a, id, fuzz_u8(&a->f), NULL);
        }
        break;
    case 3: choir_session_ping(p->session, p->now); break;
    default:
        if (which == 0x5e) choir_session_close(p->session, p->now); /* rarely: little can happen afterwards */
        break;
    }
}

/* ---- the peer's ---- */

/* A message with whatever the input says, mostly small numbers. */
static void send_message(actor *a) {
    fuzz_run *f = &a->f;
    choiri_message m = {.kind = fuzz_u8(f) % (CHOIRI_MSG_PONG + 1)};
    m.body = fuzz_u8(f) % 4;
    if (m.kind == CHOIRI_MSG_REQUEST) m.body %= 3;
    m.conn = fuzz_u8(f) & 7u;
    m.id = fuzz_u8(f);
    m.method = trial_service.methods[fuzz_u8(f) % TRIAL_ABSENT].id ^ (uint64_t)(fuzz_u8(f) == 0x5e);
    m.direction = m.body & 1;
    m.additional = fuzz_u8(f);
    m.settings = (choiri_settings){m.body & 1, m.additional};
    m.payload = fuzz_take(f, fuzz_u8(f));
    m.schemas = fuzz_take(f, fuzz_u16(f));
    m.description = CHOIR_STR("because");
    static const uint8_t entry[] = "\x01k\x02\x07";
    if (m.conn & 4) m.metadata = (choir_metadata){{entry, sizeof entry}, 1}; /* the NUL: no flags */
    test_peer_message(&a->peer, &m);
}

/* An honest call with large arguments, which come back as a large answer. */
static void send_large(actor *a, uint8_t id, uint32_t len) {
    uint8_t args[2 + 16383] = {(uint8_t)(len | 0x80), (uint8_t)(len >> 7)};
    test_peer_call(&a->peer, id, TRIAL_ECHO_BYTES, args, 2 + len);
}

static void act_on_link(actor *a, uint8_t action) {
    test_peer *p = &a->peer;
    fuzz_run *f = &a->f;
    choir_bytes b = {NULL, 0};
    uint8_t id = fuzz_u8(f), method = fuzz_u8(f) % TRIAL_ABSENT;
    switch (action) {
    case 0:
        b = fuzz_copy(f, fuzz_take(f, fuzz_u16(f)));
        test_peer_raw(p, b.data, b.len);
        break;
    case 1:
        b = fuzz_take(f, fuzz_u16(f));
        test_peer_frame(p, b.data, b.len);
        break;
    case 2: send_message(a); break;
    case 3:
        b = fuzz_take(f, fuzz_u8(f));
        test_peer_call(p, id, method, b.data, b.len);
        break;
    case 4:
        b = fuzz_take(f, fuzz_u8(f));
        test_peer_answer(p, id, method, b.data, b.len);
        break;
    case 5: test_peer_cancel(p, id); break;
    case 6: test_peer_sleep(p, id * 80 * CHOIR_MILLISECOND); break;
    case 7: test_peer_take_part(p, id); break;
    case 8: p->deaf = !p->deaf; break;
    case 9: send_large(a, id, fuzz_u8(f) * 64u); break;
    case 10: p->alloc.fail_at = id > 0 ? p->alloc.calls + id : 0; break;
    default:
        if (id != 0x5e) break; /* cut, rarely as well */
        choir_attachment_free(p->attachment, p->now);
        p->attachment = NULL;
        break;
    }
}

static void act(actor *a) {
    test_peer *p = &a->peer;
    uint8_t action = fuzz_u8(&a->f);
    if (action & 0x80) {
        if (p->session) act_alone(a, action % 5);
    } else if (p->attachment)
        act_on_link(a, action % 12);
    test_peer_poll(p);
    check(p);
}

/* ---- running ---- */

static test_stage choose(actor *a) {
    static const uint32_t numbers[] = {1, 2, 5, 64}, queues[] = {1024, 0, 1, 3},
                          bytes[] = {1 << 20, 0, 100, 10000};
    uint8_t role = fuzz_u8(&a->f), options = fuzz_u8(&a->f);
    choir_session_options *o = &a->peer.options;
    choir_conn_options *root = &a->peer.root;
    a->answers = fuzz_u8(&a->f);
    choir_session_options_init(o);
    choir_conn_options_init(root);
    choir_attachment_options_init(&a->peer.link);
    root->serve = &trial_served;
    root->call = &trial_service;
    a->peer.initiator = role & 1;
    root->max_concurrent_requests = numbers[options & 3];
    root->max_queued_calls = root->max_queued_requests = queues[options >> 2 & 3];
    root->max_queued_call_bytes = root->max_queued_request_bytes = bytes[options >> 4 & 3];
    if (options & 64) o->memory_quota = 40000;
    if (options & 128) root->max_output = root->max_answers = 10000;
    if (role & 8) root->glitch_burst = 3;
    if (role & 32) a->peer.link.framing = CHOIR_FRAMING_NONE;
    test_stage stage = (test_stage)(3 - (role >> 1 & 3));
    /* An acceptor does what its peer asks for; further than this an initiator is brought in postcard only. */
    if (role & 16 && stage == TEST_STAGE_START && choiri_msgpack_is_built()) o->codec = CHOIR_CODEC_MSGPACK;
    return a->peer.initiator && stage == TEST_STAGE_HELLO ? TEST_STAGE_PROLOGUE : stage;
}

/* Environments stay, because preparing services takes far longer than an input; what they hold must not grow.
 * (With pools, which keep what was freed, that cannot be seen.) */
static void check_held(const test_peer *p, uint64_t held) {
    FUZZ_CHECK(CHOIRI_POOLS || p->alloc.bytes == held, "%llu bytes are held instead of %llu",
               (unsigned long long)p->alloc.bytes, (unsigned long long)held);
}

/* The first unknown method prepares what announces nothing, once for an environment. */
static uint64_t start(test_peer *p) {
    test_peer_init(p);
    p->initiator = true;
    test_peer_open(p, TEST_STAGE_OPEN);
    test_peer_call_bare(p, 2, 1, "", 0);
    test_peer_close(p);
    return p->alloc.bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static actor a;
    static uint64_t held;
    test_peer *p = &a.peer;
    fuzz_open(&a.f, data, size);
    if (!p->env) held = start(p);
    a.calls_len = a.requests_len = 0;
    p->ctx = &a;
    p->on_event = on_event;
    p->now = CHOIR_SECOND;
    p->alloc.random = 1;
    test_stage stage = choose(&a);
    p->events.quiet = true;
    test_peer_reopen(p, stage);
    for (uint32_t i = 0; i < ACTIONS && a.f.in.len > 0; i++) act(&a);
    p->alloc.fail_at = 0;
    p->deaf = false;
    if (p->attachment && stage == TEST_STAGE_OPEN)
        for (choiri_message m; test_peer_next(p, &m);) {
        } /* looks at each */
    test_peer_close(p);
    check_held(p, held);
    return fuzz_close(&a.f);
}
