/* SPDX-License-Identifier: MIT */
/* Calls that we make: what choir_call answers, what goes over the wire, how calls end. */
#include "testing/inside.h"
#include "testing/peer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static test_peer *open_peer(test_peer *p) {
    test_peer_init(p);
    p->initiator = true;
    test_peer_open(p, TEST_STAGE_OPEN);
    return p;
}

static int try_call(test_peer *p, uint32_t method, const void *args, const choir_call_options *o,
                    choir_call_id *ret) {
    choir_call_id id;
    int status = choir_call(p->session, choir_session_root(p->session), method, args, o, &id, p->now);
    if (status == CHOIR_OK) test_events_call(&p->events, id);
    if (status == CHOIR_OK && ret) *ret = id;
    return status;
}

static choir_call_id call(test_peer *p, uint32_t method, const void *args) {
    choir_call_id id = {0};
    cr_assert_eq(try_call(p, method, args, NULL, &id), CHOIR_OK);
    return id;
}

static choir_call_id later(test_peer *p, uint32_t number) {
    return call(p, TRIAL_LATER, &number);
}

/* The next message must be a Call with this id. */
static choiri_message expect_call(test_peer *p, uint64_t id, uint32_t method) {
    choiri_message m;
    cr_assert(test_peer_next(p, &m), "no call %llu", (unsigned long long)id);
    cr_assert(m.kind == CHOIRI_MSG_REQUEST && m.body == CHOIRI_BODY_CALL && m.conn == 0);
    cr_assert_eq(m.id, id);
    cr_assert_eq(m.method, trial_service.methods[method].id);
    return m;
}

static void expect_cancel(test_peer *p, uint64_t id) {
    choiri_message m;
    cr_assert(test_peer_next(p, &m) && m.kind == CHOIRI_MSG_REQUEST && m.body == CHOIRI_BODY_CANCEL);
    cr_assert_eq(m.id, id);
}

static void expect_nothing(test_peer *p) {
    choiri_message m;
    cr_assert(!test_peer_next(p, &m));
}

/* ---- what choir_call answers ---- */

/* A method whose arguments have channels is described and announced, but cannot be called yet. */
Test(call, channels_are_not_supported_yet) {
    test_peer p;
    open_peer(&p);
    choir_conn_id root = choir_session_root(p.session);
    choir_tx args = {0};
    choir_call_id id = {42};
    cr_assert_eq(choir_call(p.session, root, TRIAL_WATCH, &args, NULL, &id, p.now), CHOIR_ERR_UNSUPPORTED);
    cr_assert_eq(id.v, 42, "untouched on failure");
    expect_nothing(&p);
    uint32_t number = 1;
    cr_assert_eq(choir_call(p.session, root, TRIAL_LATER, &number, NULL, &id, p.now), CHOIR_OK);
    expect_call(&p, 1, TRIAL_LATER); /* nothing was used up */
    choir_session_free(p.session);
    p.session = NULL;
    p.attachment = NULL;
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, wrong_arguments) {
    test_peer p;
    open_peer(&p);
    choir_conn_id root = choir_session_root(p.session);
    uint32_t number = 1;
    choir_call_id id = {42};
    cr_assert_eq(choir_call(NULL, root, TRIAL_LATER, &number, NULL, &id, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_call(p.session, (choir_conn_id){0}, TRIAL_LATER, &number, NULL, &id, p.now),
                 CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_call(p.session, (choir_conn_id){root.v + 1}, TRIAL_LATER, &number, NULL, &id, p.now),
                 CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_call(p.session, root, TRIAL_ABSENT + 1, &number, NULL, &id, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_call(p.session, root, CHOIR_METHOD_NONE, &number, NULL, &id, p.now),
                 CHOIR_ERR_INVALID);
    choir_call_options o;
    choir_metadata_entry entries[65] = {{.key = {"k", 1}, .type = CHOIR_METADATA_U64}};
    for (int i = 1; i < 65; i++) entries[i] = entries[0];
    for (int bad = 0; bad < 6; bad++) {
        choir_call_options_init(&o);
        o.metadata = entries;
        o.metadata_len = 1;
        if (bad == 0) o.size = sizeof o.size - 1;
        if (bad == 1) o.metadata_len = 65;
        if (bad == 2) o.metadata = NULL;
        if (bad == 3) entries[0].type = 9;
        if (bad == 4) entries[0].key = (choir_str){"\xff", 1};
        if (bad == 5)
            entries[0].type = CHOIR_METADATA_STRING,
            entries[0].bytes = (choir_bytes){(const uint8_t *)"\xff", 1};
        cr_assert_eq(choir_call(p.session, root, TRIAL_LATER, &number, &o, &id, p.now), CHOIR_ERR_INVALID,
                     "%d", bad);
        entries[0] = entries[1];
    }
    choir_str bad_text = {"\xc0\x80", 2};
    cr_assert_eq(choir_call(p.session, root, TRIAL_ECHO, &bad_text, NULL, &id, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(id.v, 42, "untouched on failure");
    expect_nothing(&p);
    cr_assert_eq(choir_call(p.session, root, TRIAL_LATER, &number, NULL, NULL, p.now), CHOIR_OK,
                 "nobody wants the id");
    expect_call(&p, 1, TRIAL_LATER);
    choir_session_free(p.session); /* unpolled: the watchman does not know this call */
    p.session = NULL;
    p.attachment = NULL;
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, too_deep_and_too_large) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.link.max_payload = 1000;
    test_peer_open(&p, TEST_STAGE_OPEN);
    trial_tree trees[70];
    for (uint32_t i = 0; i < 70; i++) trees[i] = (trial_tree){i, {i < 69 ? &trees[i + 1] : NULL, i < 69}};
    cr_assert_eq(try_call(&p, TRIAL_MEASURE, &trees[0], NULL, NULL), CHOIR_ERR_DEPTH);
    static char text[1000];
    memset(text, 'x', sizeof text);
    choir_str s = {text, sizeof text};
    cr_assert_eq(try_call(&p, TRIAL_ECHO, &s, NULL, NULL), CHOIR_ERR_TOO_LARGE);
    expect_nothing(&p);
    s.len = 600;
    call(&p, TRIAL_ECHO, &s);
    choiri_message m = expect_call(&p, 1, TRIAL_ECHO);
    cr_assert_eq(m.payload.len, 602);
    cr_assert_gt(m.schemas.len, 0, "what failed before has announced nothing");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, closed) {
    test_peer p;
    open_peer(&p);
    choir_session_close(p.session, p.now);
    uint32_t number = 1;
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, NULL, NULL), CHOIR_ERR_CLOSED);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, a_session_that_only_serves_calls_nothing) {
    test_peer p;
    test_peer_init(&p);
    p.root.call = NULL;
    test_peer_open(&p, TEST_STAGE_OPEN);
    uint32_t number = 1;
    cr_assert_eq(try_call(&p, 0, &number, NULL, NULL), CHOIR_ERR_INVALID);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A failed call changes nothing, whatever allocation it was that failed, and may be made again. */
Test(call, failing_allocations) {
    for (int queued = 0; queued <= 1; queued++) {
        for (uint64_t n = 1;; n++) {
            test_peer p;
            test_peer_init(&p);
            p.initiator = true;
            test_peer_open(&p, queued ? TEST_STAGE_PROLOGUE : TEST_STAGE_OPEN);
            static const choir_metadata_entry entry = {.key = {"k", 1}, .type = CHOIR_METADATA_U64, .u64 = 7};
            choir_call_options o;
            choir_call_options_init(&o);
            o.metadata = &entry;
            o.metadata_len = 1;
            o.deadline = p.now + 2 * CHOIR_SECOND;
            static char text[100000];
            memset(text, 'x', sizeof text);
            choir_str s = {text, sizeof text};
            p.alloc.fail_at = p.alloc.calls + n;
            int status = try_call(&p, TRIAL_ECHO, &s, &o, NULL);
            bool failed = p.alloc.failed > 0;
            cr_assert_eq(status, failed ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
            if (failed) cr_assert_eq(try_call(&p, TRIAL_ECHO, &s, &o, NULL), CHOIR_OK);
            p.alloc.fail_at = 0;
            if (queued) {
                choir_bytes ignored;
                cr_assert_eq(test_peer_hello(&p), CHOIR_OK);
                cr_assert(test_peer_next_frame(&p, &ignored), "LetsGo");
            }
            choiri_message m = expect_call(&p, 1, TRIAL_ECHO);
            cr_assert_eq(m.payload.len, sizeof text + 3);
            cr_assert_eq(m.metadata.count, 1);
            cr_assert_gt(m.schemas.len, 0);
            expect_nothing(&p);
            cr_assert_eq(test_peer_deinit(&p), 0);
            if (!failed) {
                printf("%llu allocations failed in turn\n", (unsigned long long)n - 1);
                break;
            }
        }
    }
}

/* ---- the wire ---- */

Test(call, bytes) {
    test_peer p;
    open_peer(&p);
    choir_str s = CHOIR_STR("hello");
    static const choir_metadata_entry entries[] = {
        {.key = {"a", 1}, .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"b", 1}, .flags = 1},
        {.key = {"n", 1}, .type = CHOIR_METADATA_U64, .u64 = 300, .flags = 0}};
    call(&p, TRIAL_ECHO, &s);
    choiri_message m = expect_call(&p, 1, TRIAL_ECHO);
    cr_assert_eq(m.metadata.count, 0);
    choir_bytes expected = test_peer_schemas(&p, TRIAL_ECHO, false);
    cr_assert_eq(m.schemas.len, expected.len);
    cr_assert_eq(memcmp(m.schemas.data, expected.data, expected.len), 0);
    choir_call_options o;
    choir_call_options_init(&o);
    o.metadata = entries;
    o.metadata_len = 2;
    cr_assert_eq(try_call(&p, TRIAL_ECHO, &s, &o, NULL), CHOIR_OK);
    choir_bytes frame;
    cr_assert(test_peer_next_frame(&p, &frame));
    static const uint8_t golden[] =
        "\x00\x05\x03\x00\xad\x8e\xb2\xcf\xef\xa4\xa7\xa2\x85\x01" /* conn, Request, id, Call, method */
        "\x02\x01"
        "a\x00\x01"
        "b\x01\x01n\x02\xac\x02\x00"     /* metadata */
        "\x06\x00\x00\x00\x05hello\x00"; /* arguments, no schemas */
    /* the method id as a varint */
    uint8_t id[10];
    uint8_t *end = choiri_put_varint(id, trial_service.methods[TRIAL_ECHO].id);
    cr_assert_eq(end - id, 10);
    cr_assert_eq(memcmp(golden + 4, id, 10), 0, "the test's own golden bytes");
    cr_assert_eq(frame.len, sizeof golden - 1);
    cr_assert_eq(memcmp(frame.data, golden, frame.len), 0);
    call(&p, TRIAL_NOTHING, NULL);
    m = expect_call(&p, 5, TRIAL_NOTHING);
    cr_assert_eq(m.payload.len, 0);
    cr_assert_gt(m.schemas.len, 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Operation ids go only to peers that support retry; they count 1, 2, 3 in the order in which calls leave. */
Test(call, operation_ids) {
    static const char yourself[] =
        "\xa1\x6dHelloYourself\xa3\x73"
        "connection_settings\xa2\x66parity\xa1\x64"
        "Even\xf6\x77max_concurrent_requests\x01\x76message_payload_schema\x80\x6esupports_retry\xf5";
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    later(&p, 1);
    choir_call_id second = later(&p, 2);
    later(&p, 3);
    cr_assert_eq(test_peer_frame(&p, yourself, sizeof yourself - 1), CHOIR_OK);
    choir_bytes lets_go;
    cr_assert(test_peer_next_frame(&p, &lets_go));
    cr_assert_eq(choir_cancel(p.session, second, NULL, p.now), CHOIR_OK, "it never left, so it takes no ids");
    for (uint64_t i = 0; i < 2; i++) {
        choiri_message m = expect_call(&p, 1 + 2 * i, TRIAL_LATER);
        choir_metadata_entry e;
        cr_assert_eq(m.metadata.count, 1);
        cr_assert(choir_metadata_find(m.metadata, CHOIR_STR("vox-operation-id"), CHOIR_METADATA_U64, &e));
        cr_assert_eq(e.u64, i + 1);
        cr_assert_eq(e.flags, 0);
        expect_nothing(&p);
        cr_assert_eq(test_peer_answer(&p, m.id, TRIAL_LATER, "\x00\x09", 2), CHOIR_OK);
    }
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, without_retry_no_operation_ids) {
    test_peer p;
    open_peer(&p);
    later(&p, 1);
    cr_assert_eq(expect_call(&p, 1, TRIAL_LATER).metadata.count, 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Schemas are told once: types at most once on a connection, the root once for each method. */
Test(call, schemas_are_told_once) {
    test_peer p;
    open_peer(&p);
    later(&p, 1);
    later(&p, 2);
    uint32_t number = 3;
    call(&p, TRIAL_LOOKUP, &number);
    choiri_message m = expect_call(&p, 1, TRIAL_LATER);
    size_t whole = m.schemas.len;
    cr_assert_eq(expect_call(&p, 3, TRIAL_LATER).schemas.len, 0);
    m = expect_call(&p, 5, TRIAL_LOOKUP);
    cr_assert(m.schemas.len > 0 && m.schemas.len < whole, "the same types, so only a root");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- ends ---- */

typedef struct seen {
    uint32_t count;
    choir_event event;
    uint32_t number;
} seen;

static void callback(void *ctx, const choir_event *done) {
    (void)ctx;
    (void)done;
    cr_assert_fail("the core does not call it");
}

static void look(test_peer *p, const choir_event *e) {
    seen *s = p->ctx;
    if (e->kind != CHOIR_EVENT_CALL_DONE) return;
    s->count++;
    s->event = *e;
    s->number = e->value ? *(const uint32_t *)e->value : 0;
    cr_assert_eq(e->conn.v, choir_session_root(p->session).v);
}

Test(call, what_call_done_tells) {
    test_peer p;
    open_peer(&p);
    seen s = {0};
    p.ctx = &s;
    p.on_event = look;
    choir_call_options o;
    choir_call_options_init(&o);
    o.user_data = &s;
    o.callback = callback;
    uint32_t number = 1;
    choir_call_id id;
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, &o, &id), CHOIR_OK);
    choir_bytes schemas = test_peer_schemas(&p, TRIAL_LATER, true);
    cr_assert_eq(
        test_peer_message(&p, &(choiri_message){.kind = CHOIRI_MSG_REQUEST,
                                                .body = CHOIRI_BODY_RESPONSE,
                                                .id = 1,
                                                .metadata = {{(const uint8_t *)"\x01k\x02\x07\x00", 5}, 1},
                                                .payload = {(const uint8_t *)"\x00\xac\x02", 3},
                                                .schemas = schemas}),
        CHOIR_OK);
    cr_assert_eq(s.count, 1);
    cr_assert_eq(s.event.call.v, id.v);
    cr_assert_eq(s.event.user_data, &s);
    cr_assert_eq(s.event.callback, callback);
    cr_assert_eq(s.event.service, &trial_service);
    cr_assert_eq(s.event.method, TRIAL_LATER);
    cr_assert_eq(s.event.outcome, CHOIR_OUTCOME_OK);
    cr_assert_eq(s.event.status, CHOIR_OK);
    cr_assert_eq(s.number, 300);
    cr_assert_eq(s.event.payload.len, 2);
    cr_assert_eq(s.event.metadata.count, 1);
    cr_assert_eq(choir_cancel(p.session, id, NULL, p.now), CHOIR_ERR_NOT_FOUND, "it has ended");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

static void expect_outcome(const char *ret, size_t len, uint32_t method, uint32_t outcome, const char *text) {
    test_peer p;
    open_peer(&p);
    seen s = {0};
    p.ctx = &s;
    p.on_event = look;
    uint32_t number = 1;
    trial_divide_args args = {1, 0};
    call(&p, method, method == TRIAL_DIVIDE ? (const void *)&args : &number);
    cr_assert_eq(test_peer_answer(&p, 1, method, ret, len), CHOIR_OK);
    cr_assert_eq(s.count, 1);
    cr_assert_eq(s.event.outcome, outcome, "%s", choir_outcome_text(s.event.outcome));
    if (text) cr_assert(strstr(p.events.last_text, text), "%s", p.events.last_text);
    cr_assert(choir_session_is_established(p.session), "nothing else is disturbed");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, every_outcome_of_a_peer) {
    expect_outcome("\x00\x05", 2, TRIAL_LATER, CHOIR_OUTCOME_OK, NULL);
    expect_outcome("\x00\x05trailing", 10, TRIAL_LATER, CHOIR_OUTCOME_OK, NULL);
    expect_outcome("\x01\x00\x01", 3, TRIAL_DIVIDE, CHOIR_OUTCOME_USER_ERROR, NULL);
    expect_outcome("\x01\x01", 2, TRIAL_LATER, CHOIR_OUTCOME_UNKNOWN_METHOD, NULL);
    expect_outcome("\x01\x02\x03why", 6, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD, "why");
    expect_outcome("\x01\x02", 2, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD, NULL);
    expect_outcome("\x01\x02\x09why", 6, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD, NULL);
    expect_outcome("\x01\x03", 2, TRIAL_LATER, CHOIR_OUTCOME_CANCELLED, NULL);
    expect_outcome("\x01\x04", 2, TRIAL_LATER, CHOIR_OUTCOME_CONNECTION_CLOSED, NULL);
    expect_outcome("\x01\x05", 2, TRIAL_LATER, CHOIR_OUTCOME_SESSION_SHUTDOWN, NULL);
    expect_outcome("\x01\x06", 2, TRIAL_LATER, CHOIR_OUTCOME_SEND_FAILED, NULL);
    expect_outcome("\x01\x07", 2, TRIAL_LATER, CHOIR_OUTCOME_INDETERMINATE, NULL);
    expect_outcome("\x01\x08", 2, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD, "an error that is not known");
    expect_outcome("\x01", 1, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD, "an error that is not known");
    expect_outcome("\x02\x05", 2, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD, "neither Ok nor Err");
    expect_outcome("", 0, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD,
                   "Trial.later answer: it is neither Ok nor Err");
    expect_outcome("\x00", 1, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD, "Trial.later answer: truncated");
    expect_outcome("\x00\x80", 2, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD, "truncated");
    expect_outcome("\x01\x00\x05", 3, TRIAL_LATER, CHOIR_OUTCOME_INVALID_PAYLOAD, "Trial.later answer");
    expect_outcome("\x01\x00\x02", 3, TRIAL_DIVIDE, CHOIR_OUTCOME_INVALID_PAYLOAD, "Trial.divide answer");
}

/* A Rust callee may answer under another root, or none: then our layout is what counts. */
Test(call, answer_without_a_root) {
    test_peer p;
    open_peer(&p);
    later(&p, 1);
    p.announced_answer[TRIAL_LATER] = true;
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x00\x07", 2), CHOIR_OK);
    cr_assert_str_eq(p.events.log, "established\ncall-done later ok 07\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, answers_in_any_order) {
    test_peer p;
    open_peer(&p);
    for (uint32_t i = 0; i < 3; i++) later(&p, i);
    cr_assert_eq(test_peer_answer(&p, 5, TRIAL_LATER, "\x00\x03", 2), CHOIR_OK);
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x00\x01", 2), CHOIR_OK);
    cr_assert_eq(test_peer_answer(&p, 3, TRIAL_LATER, "\x00\x02", 2), CHOIR_OK);
    cr_assert_str_eq(p.events.log,
                     "established\ncall-done later ok 03\ncall-done later ok 01\ncall-done later ok 02\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A Rust callee answers a cancelled call twice; both are honest and cost nothing. */
Test(call, late_answers_after_cancel_are_free) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.root.glitch_burst = p.root.glitch_rate = 0; /* every odd message is one too many */
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_call_id id = later(&p, 1);
    expect_call(&p, 1, TRIAL_LATER);
    cr_assert_eq(choir_cancel(p.session, id, NULL, p.now), CHOIR_OK);
    cr_assert_eq(choir_cancel(p.session, id, NULL, p.now), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_cancel(NULL, id, NULL, p.now), CHOIR_ERR_INVALID);
    expect_cancel(&p, 1);
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x01\x03", 2), CHOIR_OK);
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x01\x03", 2), CHOIR_OK);
    cr_assert_str_eq(p.events.log, "established\ncall-done later cancelled ERR_CANCELLED\n");
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x01\x03", 2), CHOIR_ERR_PROTOCOL, "the third is odd");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

static void cancel_in_handler(test_peer *p, const choir_event *e) {
    choir_call_id *other = p->ctx;
    if (e->kind == CHOIR_EVENT_CALL_DONE && other->v != 0) {
        choir_call_id id = *other;
        other->v = 0;
        cr_assert_eq(choir_cancel(p->session, e->call, NULL, p->now), CHOIR_ERR_NOT_FOUND,
                     "the one that is reported");
        cr_assert_eq(choir_cancel(p->session, id, NULL, p->now), CHOIR_OK);
        later(p, 9); /* anything may be called from here */
    }
}

Test(call, calls_and_cancels_while_polling) {
    test_peer p;
    open_peer(&p);
    later(&p, 1);
    choir_call_id other = later(&p, 2);
    p.ctx = &other;
    p.on_event = cancel_in_handler;
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x00\x01", 2), CHOIR_OK);
    cr_assert_str_eq(p.events.log,
                     "established\ncall-done later ok 01\ncall-done later cancelled ERR_CANCELLED\n");
    cr_assert_eq(test_peer_answer(&p, 5, TRIAL_LATER, "\x00\x05", 2), CHOIR_OK);
    cr_assert_eq(p.events.done, 3);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- deadlines ---- */

static uint32_t wakes;
static void count_wake(void *ctx, choir_session *s) {
    (void)s;
    cr_assert_eq(ctx, &wakes);
    wakes++;
}

/* A caller whose wakes are counted. */
static void open_counting(test_peer *p) {
    test_peer_init(p);
    p->initiator = true;
    p->options.wake = count_wake;
    p->options.wake_ctx = &wakes;
    test_peer_open(p, TEST_STAGE_OPEN);
}

/* Work in flight shortens the time in which a dead peer must be found; more of it changes nothing. */
Test(call, the_first_one_wakes_the_host) {
    test_peer p;
    open_counting(&p);
    uint32_t number = 1;
    choir_time before = choir_session_deadline(p.session);
    wakes = 0;
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, NULL, NULL), CHOIR_OK);
    cr_assert_lt(choir_session_deadline(p.session), before);
    cr_assert_eq(wakes, 1);
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, NULL, NULL), CHOIR_OK);
    cr_assert_eq(wakes, 1);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, deadline_fires_within_a_tick) {
    test_peer p;
    open_counting(&p);
    choir_call_options o;
    choir_call_options_init(&o);
    o.deadline = p.now + 123456789;
    uint32_t number = 1;
    wakes = 0;
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, &o, NULL), CHOIR_OK);
    cr_assert_eq(wakes, 1, "the deadline moved earlier");
    cr_assert_eq(choir_session_deadline(p.session), o.deadline);
    choir_session_advance(p.session, o.deadline - 1);
    cr_assert_null(choir_session_poll(p.session), "never early");
    cr_assert_eq(choir_session_deadline(p.session), o.deadline);
    choir_session_advance(p.session, o.deadline);
    test_peer_poll(&p);
    cr_assert_str_eq(p.events.log, "established\ncall-done later timed out ERR_TIMED_OUT\n");
    expect_call(&p, 1, TRIAL_LATER);
    expect_cancel(&p, 1);
    /* One in the past never leaves. */
    o.deadline = 1;
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, &o, NULL), CHOIR_OK);
    choir_session_advance(p.session, p.now);
    test_peer_poll(&p);
    cr_assert_eq(p.events.done, 2);
    cr_assert_eq(p.events.last_outcome, CHOIR_OUTCOME_SEND_FAILED);
    /* An answer in time disarms it. */
    o.deadline = p.now + CHOIR_SECOND;
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, &o, NULL), CHOIR_OK);
    cr_assert_eq(test_peer_answer(&p, 3, TRIAL_LATER, "\x00\x01", 2), CHOIR_OK);
    cr_assert_eq(p.events.last_outcome, CHOIR_OUTCOME_OK);
    cr_assert_null(p.session->timers.first);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, cancel_and_expiry_wake_the_host) {
    test_peer p;
    open_counting(&p);
    choir_call_id id = later(&p, 1);
    wakes = 0;
    cr_assert_eq(choir_cancel(p.session, id, NULL, p.now), CHOIR_OK);
    cr_assert_geq(wakes, 1);
    test_peer_poll(&p);
    wakes = 0;
    choir_attachment_closed(p.attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("x"), p.now);
    cr_assert_geq(wakes, 1);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- waiting calls ---- */

/* Calls wait in order and leave in order, as many as the peer allows; those that waited for the handshake
 * too. */
Test(call, peers_number_is_kept) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    for (uint32_t i = 0; i < 200; i++) later(&p, i);
    expect_nothing(&p);
    cr_assert_eq(test_peer_hello(&p), CHOIR_OK);
    choir_bytes lets_go;
    cr_assert(test_peer_next_frame(&p, &lets_go) && lets_go.len == 9);
    uint64_t next = 0;
    for (; next < 64; next++) {
        choiri_message m = expect_call(&p, 1 + 2 * next, TRIAL_LATER);
        cr_assert_eq(m.payload.data[0] & 0x7f, next & 0x7f, "in order");
    }
    expect_nothing(&p);
    for (uint64_t done = 0; done < 200; done++) {
        cr_assert_eq(test_peer_answer(&p, 1 + 2 * done, TRIAL_LATER, "\x00\x01", 2), CHOIR_OK);
        if (next < 200) {
            expect_call(&p, 1 + 2 * next, TRIAL_LATER);
            next++;
        }
        expect_nothing(&p);
    }
    cr_assert_eq(p.events.done, 200);
    cr_assert_eq(p.events.failed, 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A peer that announces 0 is asked one at a time: none would be for ever. */
Test(call, peers_number_zero_is_one) {
    static const char yourself[] = "\xa1\x6dHelloYourself\xa2\x73"
                                   "connection_settings\xa2\x66parity\xa1\x64"
                                   "Even\xf6\x77max_concurrent_requests\x00\x76message_payload_schema\x80";
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    cr_assert_eq(test_peer_frame(&p, yourself, sizeof yourself - 1), CHOIR_OK);
    test_peer_skip(&p);
    later(&p, 1);
    later(&p, 2);
    expect_call(&p, 1, TRIAL_LATER);
    expect_nothing(&p);
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x00\x01", 2), CHOIR_OK);
    expect_call(&p, 3, TRIAL_LATER);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Large arguments wait in blocks, small ones packed, with and without metadata: all arrive as they were. */
Test(call, waiting_arguments_of_any_size) {
    static const size_t sizes[] = {0, 1, 100, 4090, 4096, 4097, 20000, 300000};
    static uint8_t bytes[300000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31 >> 3);
    static const choir_metadata_entry entry = {.key = {"k", 1}, .type = CHOIR_METADATA_U64, .u64 = 7};
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    for (size_t i = 0; i < 16; i++) {
        choir_call_options o;
        choir_call_options_init(&o);
        o.metadata = &entry;
        o.metadata_len = i & 1;
        choir_bytes b = {bytes, sizes[i / 2]};
        cr_assert_eq(try_call(&p, TRIAL_ECHO_BYTES, &b, &o, NULL), CHOIR_OK);
    }
    cr_assert_eq(test_peer_hello(&p), CHOIR_OK);
    choir_bytes lets_go;
    cr_assert(test_peer_next_frame(&p, &lets_go));
    for (size_t i = 0; i < 16; i++) {
        choiri_message m = expect_call(&p, 1 + 2 * i, TRIAL_ECHO_BYTES);
        cr_assert_eq(m.metadata.count, i & 1);
        choiri_reader r = choiri_reader_of(m.payload);
        choir_bytes b = {NULL, 0};
        cr_assert(choiri_read_bytes(&r, &b) && b.len == sizes[i / 2] && choiri_reader_left(&r) == 0);
        cr_assert(b.len == 0 || memcmp(b.data, bytes, b.len) == 0);
    }
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* More than the link takes: calls wait until half of the output is gone. */
Test(call, output_limit_queues_calls) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.root.max_output = 10000;
    p.root.max_queued_calls = 2;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    static uint8_t bytes[70000];
    choir_bytes large = {bytes, sizeof bytes}, b = {bytes, 6000};
    call(&p, TRIAL_ECHO_BYTES, &large); /* what the link has to take first: 64 KiB go straight to it */
    for (int i = 0; i < 4; i++) call(&p, TRIAL_ECHO_BYTES, &b);
    cr_assert_eq(try_call(&p, TRIAL_ECHO_BYTES, &b, NULL, NULL), CHOIR_ERR_BLOCKED);
    cr_assert_eq(test_rpc(p.session)->calls.in_flight, 3, "12,000 bytes behind it");
    cr_assert_eq(test_rpc(p.session)->calls.queued, 2);
    cr_assert_str_eq(p.events.log, "established\n");
    choir_iov iov[16];
    cr_assert(choir_attachment_peek(p.attachment, iov, 16) > 0);
    cr_assert_eq(choir_attachment_consume(p.attachment, 4000, p.now), CHOIR_OK);
    test_peer_poll(&p);
    cr_assert_eq(test_rpc(p.session)->calls.in_flight, 3, "more than 64 KiB are still before them");
    cr_assert(choir_attachment_peek(p.attachment, iov, 16) > 0);
    cr_assert_eq(choir_attachment_consume(p.attachment, 3000, p.now), CHOIR_OK);
    cr_assert(choir_attachment_peek(p.attachment, iov, 16) > 0);
    cr_assert_eq(choir_attachment_consume(p.attachment, 1, p.now), CHOIR_OK);
    test_peer_poll(&p);
    cr_assert_eq(test_rpc(p.session)->calls.in_flight, 4);
    cr_assert_str_eq(p.events.log, "established\nwritable\n");
    cr_assert_eq(try_call(&p, TRIAL_ECHO_BYTES, &b, NULL, NULL), CHOIR_OK, "as promised");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The budget in bytes: the first call may be as large as it likes, then the sum counts. WRITABLE comes when a
 * call of the size that was refused fits. */
Test(call, byte_budget_of_the_queue) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.root.max_queued_call_bytes = 1000;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    static uint8_t bytes[5000];
    choir_bytes b = {bytes, 398};
    call(&p, TRIAL_ECHO_BYTES, &b); /* 400 */
    call(&p, TRIAL_ECHO_BYTES, &b); /* 800 */
    b.len = 199;
    cr_assert_eq(try_call(&p, TRIAL_ECHO_BYTES, &b, NULL, NULL), CHOIR_ERR_BLOCKED, "201 more");
    b.len = 198;
    choir_call_id third = call(&p, TRIAL_ECHO_BYTES, &b); /* 1000 */
    b.len = 0;
    cr_assert_eq(try_call(&p, TRIAL_ECHO_BYTES, &b, NULL, NULL), CHOIR_ERR_BLOCKED);
    cr_assert_eq(choir_cancel(p.session, third, NULL, p.now), CHOIR_OK);
    test_peer_poll(&p);
    cr_assert_str_eq(p.events.log, "call-done echo_bytes cancelled ERR_CANCELLED\n",
                     "no WRITABLE before there is a link");
    cr_assert_eq(test_peer_hello(&p), CHOIR_OK);
    cr_assert_str_eq(p.events.log, "call-done echo_bytes cancelled ERR_CANCELLED\nestablished\nwritable\n");
    cr_assert_eq(test_peer_deinit(&p), 0);

    test_peer_init(&p);
    p.initiator = true;
    p.root.max_queued_call_bytes = 1000;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    b.len = 5000;
    call(&p, TRIAL_ECHO_BYTES, &b);
    b.len = 0;
    cr_assert_eq(try_call(&p, TRIAL_ECHO_BYTES, &b, NULL, NULL), CHOIR_ERR_BLOCKED);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, writable_waits_until_the_call_fits) {
    static const char yourself[] = "\xa1\x6dHelloYourself\xa2\x73"
                                   "connection_settings\xa2\x66parity\xa1\x64"
                                   "Even\xf6\x77max_concurrent_requests\x01\x76message_payload_schema\x80";
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.root.max_queued_call_bytes = 1000;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    cr_assert_eq(test_peer_frame(&p, yourself, sizeof yourself - 1), CHOIR_OK);
    static uint8_t bytes[1000];
    choir_bytes b = {bytes, 298};
    for (int i = 0; i < 4; i++) call(&p, TRIAL_ECHO_BYTES, &b); /* one in flight, 900 wait */
    b.len = 498;
    cr_assert_eq(try_call(&p, TRIAL_ECHO_BYTES, &b, NULL, NULL), CHOIR_ERR_BLOCKED);
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_ECHO_BYTES, "\x00\x00", 2), CHOIR_OK);
    cr_assert_null(strstr(p.events.log, "writable"), "600 wait: 500 do not fit");
    cr_assert_eq(test_peer_answer(&p, 3, TRIAL_ECHO_BYTES, "\x00\x00", 2), CHOIR_OK);
    cr_assert_not_null(strstr(p.events.log, "writable"));
    cr_assert_eq(try_call(&p, TRIAL_ECHO_BYTES, &b, NULL, NULL), CHOIR_OK);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A WRITABLE that waits to be polled when the session ends is gone, and CONN_CLOSED does not take its
 * place. */
Test(call, writable_does_not_outlive_the_session) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.root.max_queued_calls = 1;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    later(&p, 1);
    uint32_t number = 2;
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, NULL, NULL), CHOIR_ERR_BLOCKED);
    static const char yourself[] = "\x78\0\0\0"
                                   "\xa1\x6dHelloYourself\xa2\x73"
                                   "connection_settings\xa2\x66parity\xa1\x64"
                                   "Even\xf6\x77max_concurrent_requests\x01\x76message_payload_schema\x80";
    uint8_t frame[256];
    memcpy(frame, yourself, sizeof yourself);
    frame[0] = sizeof yourself - 1 - 4;
    size_t used;
    cr_assert_eq(choir_attachment_receive(p.attachment, frame, sizeof yourself - 1, NULL, &used, p.now),
                 CHOIR_OK);
    choir_session_close(p.session, p.now);
    test_peer_take(&p);
    cr_assert_str_eq(p.events.log, "established\ndetached ERR_SHUTDOWN\ncall-done later session shut down "
                                   "ERR_SHUTDOWN\nconn-closed ERR_SHUTDOWN\nclosed ERR_SHUTDOWN\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A waiting call that cannot be sent after all ends alone. */
Test(call, a_waiting_call_that_is_too_large_ends) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.link.max_payload = 1000;
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    static uint8_t bytes[5000];
    choir_bytes b = {bytes, 100}, large = {bytes, 5000};
    call(&p, TRIAL_ECHO_BYTES, &large);
    call(&p, TRIAL_ECHO_BYTES, &b);
    cr_assert_eq(test_peer_hello(&p), CHOIR_OK);
    cr_assert(strstr(p.events.log, "call-done echo_bytes send failed ERR_TOO_LARGE\n"), "%s", p.events.log);
    choir_bytes lets_go;
    cr_assert(test_peer_next_frame(&p, &lets_go));
    expect_call(&p, 1, TRIAL_ECHO_BYTES);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- ids ---- */

Test(call, ids_are_never_wrapped) {
    test_peer p;
    open_peer(&p);
    test_lasting(p.session)->next_id =
        UINT64_MAX - 2; /* the last one of our parity that leaves room for a successor */
    later(&p, 1);
    expect_call(&p, UINT64_MAX - 2, TRIAL_LATER);
    uint32_t number = 2;
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, NULL, NULL), CHOIR_ERR_ID_EXHAUSTED);
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, NULL, NULL), CHOIR_ERR_ID_EXHAUSTED);
    expect_nothing(&p);
    cr_assert_eq(test_peer_answer(&p, UINT64_MAX - 2, TRIAL_LATER, "\x00\x01", 2), CHOIR_OK,
                 "the rest goes on");
    cr_assert_eq(p.events.last_outcome, CHOIR_OUTCOME_OK);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, even_ids_are_never_wrapped) {
    test_peer p;
    test_peer_init(&p); /* an acceptor calls, too */
    test_peer_open(&p, TEST_STAGE_OPEN);
    later(&p, 1);
    expect_call(&p, 2, TRIAL_LATER);
    test_lasting(p.session)->next_id = UINT64_MAX - 3;
    later(&p, 2);
    expect_call(&p, UINT64_MAX - 3, TRIAL_LATER);
    uint32_t number = 3;
    cr_assert_eq(try_call(&p, TRIAL_LATER, &number, NULL, NULL), CHOIR_ERR_ID_EXHAUSTED);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(call, handles_are_never_given_twice) {
    test_peer p;
    open_peer(&p);
    choir_call_id first = later(&p, 1);
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LATER, "\x00\x01", 2), CHOIR_OK);
    choir_call_id second = later(&p, 2);
    cr_assert_neq(first.v, second.v);
    cr_assert_eq(choir_cancel(p.session, first, NULL, p.now), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_cancel(p.session, (choir_call_id){0}, NULL, p.now), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_cancel(p.session, second, NULL, p.now), CHOIR_OK);
    cr_assert_eq(test_peer_deinit(&p), 0);
}
