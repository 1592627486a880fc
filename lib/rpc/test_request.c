/* SPDX-License-Identifier: MIT */
/* Requests that the peer makes: what handlers are told, what goes over the wire, how requests end. */
#include "testing/inside.h"
#include "testing/peer.h"
#include "testing/varint.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Requests as the handlers got them; `auto_reply` answers at once with the arguments. */
typedef struct handlers {
    choir_event last; /* of any request event */
    choir_request_id ids[2048];
    uint32_t count;
    bool auto_reply;
} handlers;

static void handle(test_peer *p, const choir_event *e) {
    handlers *h = p->ctx;
    if (e->kind != CHOIR_EVENT_REQUEST && e->kind != CHOIR_EVENT_REQUEST_CANCELLED &&
        e->kind != CHOIR_EVENT_REQUEST_DONE)
        return;
    h->last = *e;
    cr_assert_eq(e->conn.v, choir_session_root(p->session).v);
    cr_assert_eq(e->service, &trial_served);
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    if (h->count < 2048) h->ids[h->count++] = e->request;
    if (h->auto_reply) cr_assert_eq(choir_reply(p->session, e->request, e->value, NULL, p->now), CHOIR_OK);
}

static test_peer *begin(test_peer *p, handlers *h) {
    memset(h, 0, sizeof *h);
    test_peer_init(p);
    p->ctx = h;
    p->on_event = handle;
    return p;
}

static test_peer *open_peer(test_peer *p, handlers *h) {
    test_peer_open(begin(p, h), TEST_STAGE_OPEN);
    return p;
}

static choiri_message expect_response(test_peer *p, uint64_t id, const char *ret, size_t len) {
    choiri_message m;
    cr_assert(test_peer_next(p, &m), "no answer to %llu", (unsigned long long)id);
    cr_assert(m.kind == CHOIRI_MSG_REQUEST && m.body == CHOIRI_BODY_RESPONSE && m.conn == 0);
    cr_assert_eq(m.id, id);
    cr_assert_eq(m.metadata.count, 0);
    cr_assert_eq(m.payload.len, len);
    cr_assert_eq(memcmp(m.payload.data, ret, len), 0);
    return m;
}
#define EXPECT_RESPONSE(p, id, ret) expect_response((p), (id), (ret), sizeof(ret) - 1)

static void expect_nothing(test_peer *p) {
    choiri_message m;
    cr_assert(!test_peer_next(p, &m));
}

static void reply(test_peer *p, choir_request_id id, uint32_t number, int status) {
    int got = choir_reply(p->session, id, &number, NULL, p->now);
    cr_assert_eq(got, status, "%s", choir_status_name(got));
    test_peer_poll(p);
}

/* ---- what a handler is told ---- */

Test(request, fields_of_the_event) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    choir_bytes schemas = test_peer_schemas(&p, TRIAL_DIVIDE, false);
    static const uint8_t metadata[] = "\x01k\x00\x01v\x03\x01k\x02\x07\x00";
    cr_assert_eq(test_peer_message(&p, &(choiri_message){.kind = CHOIRI_MSG_REQUEST,
                                                         .body = CHOIRI_BODY_CALL,
                                                         .id = 77,
                                                         .method = trial_service.methods[TRIAL_DIVIDE].id,
                                                         .metadata = {{metadata, sizeof metadata - 1}, 2},
                                                         .payload = {(const uint8_t *)"\x14\x05", 2},
                                                         .schemas = schemas}),
                 CHOIR_OK);
    cr_assert_eq(h.last.kind, CHOIR_EVENT_REQUEST);
    cr_assert_eq(h.last.method, TRIAL_DIVIDE);
    cr_assert_null(h.last.user_data);
    const trial_divide_args *args = h.last.value;
    cr_assert(args->dividend == 10 && args->divisor == -3);
    cr_assert(h.last.payload.len == 2 && memcmp(h.last.payload.data, "\x14\x05", 2) == 0);
    choir_metadata list = h.last.metadata;
    choir_metadata_entry e;
    cr_assert_eq(list.count, 2);
    cr_assert(choir_metadata_next(&list, &e) && e.flags == 3 && e.bytes.len == 1 && e.bytes.data[0] == 'v');
    cr_assert(choir_metadata_find(h.last.metadata, CHOIR_STR("k"), CHOIR_METADATA_U64, &e) && e.u64 == 7);
    choir_request_id id = h.last.request;
    cr_assert_eq(choir_request_set_user_data(p.session, id, &h), CHOIR_OK);
    cr_assert_eq(choir_session_held_requests(p.session), 1);
    int64_t result = -3;
    cr_assert_eq(choir_reply(p.session, id, &result, NULL, p.now), CHOIR_OK);
    test_peer_poll(&p);
    cr_assert_eq(h.last.kind, CHOIR_EVENT_REQUEST, "the answer has not left yet");
    test_peer_take(&p);
    cr_assert_eq(h.last.kind, CHOIR_EVENT_REQUEST_DONE);
    cr_assert_eq(h.last.user_data, &h);
    cr_assert_eq(h.last.request.v, id.v);
    cr_assert_eq(h.last.outcome, CHOIR_OUTCOME_OK);
    cr_assert_eq(choir_session_held_requests(p.session), 0);
    choiri_message m = EXPECT_RESPONSE(&p, 77, "\x00\x05");
    cr_assert_gt(m.schemas.len, 0);
    cr_assert_eq(choir_request_set_user_data(p.session, id, &h), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The arguments are the request's own: they stay when the link's buffers are used for other things, until the
 * end. */
Test(request, arguments_live_as_long_as_the_request) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    static uint8_t large[9002] = {0xa8, 0x46}; /* 9000 */
    memset(large + 2, 'l', 9000);
    choir_event events[3];
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_MEASURE, "\x05\x01\x06\x00", 4), CHOIR_OK);
    events[0] = h.last;
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_LATER, "\x2a", 1), CHOIR_OK);
    events[1] = h.last;
    cr_assert_eq(test_peer_call(&p, 5, TRIAL_ECHO_BYTES, large, sizeof large), CHOIR_OK);
    events[2] = h.last;
    for (int i = 0; i < 100; i++) cr_assert_eq(test_peer_ping(&p, 1), CHOIR_OK);
    const trial_tree *tree = events[0].value;
    cr_assert(tree->value == 5 && tree->children.len == 1);
    cr_assert_eq(((const trial_tree *)tree->children.items)->value, 6);
    cr_assert_eq(*(const uint32_t *)events[1].value, 42);
    const choir_bytes *bytes = events[2].value;
    cr_assert(bytes->len == 9000 && bytes->data[8999] == 'l');
    /* Also past the end of the session, as long as the handler has not finished. */
    choir_attachment_free(p.attachment, p.now);
    p.attachment = NULL;
    test_peer_poll(&p);
    cr_assert(p.events.closed);
    cr_assert_eq(choir_session_held_requests(p.session), 3);
    cr_assert(tree->value == 5 && ((const trial_tree *)tree->children.items)->value == 6);
    cr_assert(bytes->len == 9000 && bytes->data[8999] == 'l');
    uint32_t *memory = choir_request_alloc(p.session, events[0].request, 4, 4);
    cr_assert_not_null(memory, "it may still build its answer");
    *memory = 11;
    size_t charged = (size_t)test_requests_charged(p.session);
    reply(&p, events[0].request, 11, CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_session_held_requests(p.session), 2);
    cr_assert_lt(test_requests_charged(p.session), charged, "what it held is free");
    reply(&p, events[0].request, 11, CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_request_drop(p.session, events[1].request, NULL, p.now), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_session_held_requests(p.session), 1, "the third is freed with the session");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* REQUEST_DONE still shows the arguments, although the answer has left. */
Test(request, arguments_are_there_when_it_is_done) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    h.auto_reply = true;
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x2a", 1), CHOIR_OK);
    cr_assert_eq(h.last.kind, CHOIR_EVENT_REQUEST_DONE);
    cr_assert_eq(h.last.payload.len, 1);
    EXPECT_RESPONSE(&p, 1, "\x00\x2a");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- answers ---- */

Test(request, answers_on_the_wire) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    for (uint64_t i = 0; i < 6; i++)
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_LOOKUP, "\x05", 1), CHOIR_OK);
    trial_person bob = {CHOIR_STR("Bob"), 25, {false, {NULL, 0}}};
    trial_error denied = {TRIAL_ACCESS_DENIED};
    cr_assert_eq(choir_reply(p.session, h.ids[0], &bob, NULL, p.now), CHOIR_OK);
    cr_assert_eq(choir_reply_error(p.session, h.ids[1], &denied, NULL, p.now), CHOIR_OK);
    cr_assert_eq(choir_reply_invalid(p.session, h.ids[2], CHOIR_STR("no such page"), p.now), CHOIR_OK);
    cr_assert_eq(choir_request_drop(p.session, h.ids[3], NULL, p.now), CHOIR_OK);
    cr_assert_eq(choir_reply_unknown(p.session, h.ids[5], p.now), CHOIR_OK);
    test_peer_poll(&p);
    cr_assert_gt(EXPECT_RESPONSE(&p, 1,
                                 "\x00\x03"
                                 "Bob\x19\x00")
                     .schemas.len,
                 0, "the root goes with the first answer");
    cr_assert_eq(EXPECT_RESPONSE(&p, 3, "\x01\x00\x01").schemas.len, 0);
    EXPECT_RESPONSE(&p, 5, "\x01\x02\x0cno such page");
    EXPECT_RESPONSE(&p, 7, "\x01\x03");
    EXPECT_RESPONSE(&p, 11, "\x01\x01");
    expect_nothing(&p);
    cr_assert_eq(choir_reply_invalid(p.session, h.ids[4], CHOIR_STR("\xff"), p.now), CHOIR_ERR_INVALID,
                 "not UTF-8");
    cr_assert_eq(choir_reply_invalid(p.session, h.ids[4], (choir_str){NULL, 3}, p.now), CHOIR_ERR_INVALID);
    trial_person broken = {{"\xff", 1}, 1, {false, {NULL, 0}}};
    cr_assert_eq(choir_reply(p.session, h.ids[4], &broken, NULL, p.now), CHOIR_ERR_INVALID);
    trial_error unknown = {7};
    cr_assert_eq(choir_reply_error(p.session, h.ids[4], &unknown, NULL, p.now), CHOIR_ERR_INVALID);
    expect_nothing(&p);
    cr_assert_eq(choir_reply(p.session, h.ids[4], &bob, NULL, p.now), CHOIR_OK, "it still waited");
    test_peer_poll(&p);
    EXPECT_RESPONSE(&p, 9,
                    "\x00\x03"
                    "Bob\x19\x00");
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(choir_reply(p.session, h.ids[i], &bob, NULL, p.now), CHOIR_ERR_NOT_FOUND);
        cr_assert_eq(choir_reply_error(p.session, h.ids[i], &denied, NULL, p.now), CHOIR_ERR_NOT_FOUND);
        cr_assert_eq(choir_reply_invalid(p.session, h.ids[i], CHOIR_STR(""), p.now), CHOIR_ERR_NOT_FOUND);
        cr_assert_eq(choir_request_drop(p.session, h.ids[i], NULL, p.now), CHOIR_ERR_NOT_FOUND);
        cr_assert_eq(choir_reply_unknown(p.session, h.ids[i], p.now), CHOIR_ERR_NOT_FOUND);
        cr_assert_null(choir_request_alloc(p.session, h.ids[i], 1, 1));
    }
    cr_assert_eq(choir_reply(NULL, h.ids[0], &bob, NULL, p.now), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The true root goes with the first answer, whatever that says: also when it is an error or a refusal of
 * ours. */
Test(request, root_goes_with_the_first_answer_of_any_kind) {
    for (int kind = 0; kind < 4; kind++) {
        test_peer p;
        handlers h;
        open_peer(&p, &h);
        cr_assert_eq(test_peer_call(&p, 1, TRIAL_LOOKUP, kind == 0 ? "" : "\x05", kind == 0 ? 0 : 1),
                     CHOIR_OK);
        if (kind == 1) cr_assert_eq(choir_request_drop(p.session, h.ids[0], NULL, p.now), CHOIR_OK);
        if (kind == 2)
            cr_assert_eq(choir_reply_invalid(p.session, h.ids[0], CHOIR_STR("x"), p.now), CHOIR_OK);
        if (kind == 3) cr_assert_eq(test_peer_cancel(&p, 1), CHOIR_OK);
        choiri_message m;
        cr_assert(test_peer_next(&p, &m) && m.body == CHOIRI_BODY_RESPONSE);
        cr_assert_gt(m.schemas.len, 0, "kind %d", kind);
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}

Test(request, no_error_for_a_method_that_cannot_fail) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    trial_error error = {0};
    cr_assert_eq(choir_reply_error(p.session, h.ids[0], &error, NULL, p.now), CHOIR_ERR_INVALID);
    expect_nothing(&p);
    reply(&p, h.ids[0], 6, CHOIR_OK);
    EXPECT_RESPONSE(&p, 1, "\x00\x06");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* It is told to the caller, and the request is over, whether the handler looks at the status or not. */
Test(request, answer_over_the_message_limit) {
    test_peer p;
    handlers h;
    begin(&p, &h);
    p.link.max_payload = 3000;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_ECHO, "\x01x", 2), CHOIR_OK);
    static char text[3000];
    memset(text, 'y', sizeof text);
    choir_str s = {text, sizeof text};
    cr_assert_eq(choir_reply(p.session, h.ids[0], &s, NULL, p.now), CHOIR_ERR_TOO_LARGE);
    static char kept[256];
    choir_str why = choir_session_error(p.session); /* until the next function */
    cr_assert_leq(why.len, sizeof kept);
    why.data = memcpy(kept, why.data, why.len);
    cr_assert(test_find(why.data, why.len, "Trial.echo cannot be answered: a message of "), "%.*s",
              (int)why.len, why.data);
    cr_assert(test_find(why.data, why.len, " bytes, where at most 3000 are taken"));
    cr_assert_eq(choir_reply(p.session, h.ids[0], &s, NULL, p.now), CHOIR_ERR_NOT_FOUND);
    test_peer_poll(&p);
    choiri_message m;
    choir_metadata_entry e;
    cr_assert(test_peer_next(&p, &m) && m.body == CHOIRI_BODY_RESPONSE && m.id == 1);
    cr_assert(m.payload.len == 2 && memcmp(m.payload.data, "\x01\x07", 2) == 0);
    cr_assert(choir_metadata_find(m.metadata, CHOIR_STR("choir-reason"), CHOIR_METADATA_STRING, &e));
    cr_assert(e.bytes.len == why.len && memcmp(e.bytes.data, why.data, why.len) == 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A Rust caller sees UnknownMethod only under an announced root, a TypeScript caller only without inline
 * schemas. */
Test(request, unknown_method) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    uint64_t method = trial_service.methods[TRIAL_ABSENT].id;
    for (uint64_t i = 0; i < 2; i++) {
        cr_assert_eq(test_peer_call_bare(&p, 1 + 2 * i, method, "\x01x", 2), CHOIR_OK);
        choiri_message m;
        cr_assert(test_peer_next(&p, &m) && m.kind == CHOIRI_MSG_SCHEMA);
        cr_assert_eq(m.method, method);
        cr_assert_eq(m.direction, CHOIRI_DIRECTION_RESPONSE);
        cr_assert_gt(m.schemas.len, 0);
        cr_assert_eq(EXPECT_RESPONSE(&p, 1 + 2 * i, "\x01\x01").schemas.len, 0);
    }
    cr_assert_str_eq(p.events.log, "established\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The peer learns the true root of the answer with the refusal, and nothing else is disturbed. */
Test(request, channels_are_not_supported_yet) {
    static const char text[] = "Trial.watch: channels are not supported yet";
    test_peer p;
    handlers h;
    choiri_message m;
    char expected[64] = {1, 2, (char)(sizeof text - 1)};
    open_peer(&p, &h);
    memcpy(expected + 3, text, sizeof text - 1);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_WATCH, "\x05", 1), CHOIR_OK);
    m = expect_response(&p, 1, expected, sizeof text + 2);
    cr_assert_gt(m.schemas.len, 0);
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_WATCH, "", 0), CHOIR_OK);
    expect_response(&p, 3, expected, sizeof text + 2);
    cr_assert_eq(h.count, 0, "no handler saw it");
    cr_assert_eq(test_peer_call(&p, 5, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(h.count, 1);
    reply(&p, h.ids[0], 5, CHOIR_OK);
    EXPECT_RESPONSE(&p, 5, "\x00\x05");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(request, a_session_that_serves_nothing) {
    test_peer p;
    handlers h;
    begin(&p, &h);
    p.root.serve = NULL;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_ECHO, "\x01x", 2), CHOIR_OK);
    test_peer_skip(&p);
    cr_assert_eq(test_peer_cancel(&p, 1), CHOIR_OK, "it is answered, so this is late");
    cr_assert_str_eq(p.events.log, "established\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

static void expect_refusal(uint32_t method, const void *args, size_t len, const char *text) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, method, args, len), CHOIR_OK);
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && m.body == CHOIRI_BODY_RESPONSE && m.id == 1);
    cr_assert_eq(memcmp(m.payload.data, "\x01\x02", 2), 0);
    choiri_reader r = choiri_reader_of((choir_bytes){m.payload.data + 2, m.payload.len - 2});
    choir_str why;
    cr_assert(choiri_read_string(&r, &why));
    cr_assert(test_find(why.data, why.len, text), "\"%.*s\" does not say \"%s\"", (int)why.len, why.data,
              text);
    cr_assert_str_eq(p.events.log, "established\n");
    cr_assert_eq(test_requests_charged(p.session), 0);
    h.auto_reply = true;
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_ECHO, "\x01x", 2), CHOIR_OK);
    EXPECT_RESPONSE(&p, 3, "\x00\x01x");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(request, arguments_that_are_bad) {
    expect_refusal(TRIAL_LATER, "", 0, "Trial.later arguments: ");
    expect_refusal(TRIAL_LATER, "\x80", 1, "truncated u32");
    expect_refusal(TRIAL_LATER, "\xff\xff\xff\xff\x1f", 5, "malformed u32");
    expect_refusal(TRIAL_ECHO_BYTES, "\xff\xff\xff\xff\x0f", 5, "truncated");
    expect_refusal(TRIAL_ECHO_BYTES, "\x02x", 2, "truncated");
    expect_refusal(TRIAL_FLAGS, "\x01\x02", 2, "malformed bool");
    expect_refusal(TRIAL_FLAGS, "\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01", 10, "");
}

Test(request, trailing_bytes_are_ignored) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    h.auto_reply = true;
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05more", 5), CHOIR_OK);
    EXPECT_RESPONSE(&p, 1, "\x00\x05");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(request, schemas_must_come_first) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    uint64_t method = trial_service.methods[TRIAL_LATER].id;
    cr_assert_eq(test_peer_call_bare(&p, 1, method, "\x05", 1), CHOIR_OK);
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && m.payload.len > 2 && memcmp(m.payload.data, "\x01\x02", 2) == 0);
    cr_assert(test_find(m.payload.data, m.payload.len, "no schemas were received"));
    /* In a message of their own, as Rust sends them. */
    choir_bytes schemas = test_peer_schemas(&p, TRIAL_LATER, false);
    cr_assert_eq(test_peer_message(&p, &(choiri_message){.kind = CHOIRI_MSG_SCHEMA,
                                                         .method = method,
                                                         .direction = CHOIRI_DIRECTION_ARGS,
                                                         .schemas = schemas}),
                 CHOIR_OK);
    h.auto_reply = true;
    cr_assert_eq(test_peer_call_bare(&p, 3, method, "\x05", 1), CHOIR_OK);
    EXPECT_RESPONSE(&p, 3, "\x00\x05");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- cancel ---- */

Test(request, cancel_of_a_running_request) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(test_peer_cancel(&p, 1), CHOIR_OK);
    EXPECT_RESPONSE(&p, 1, "\x01\x03");
    cr_assert_eq(h.last.kind, CHOIR_EVENT_REQUEST_CANCELLED);
    cr_assert_eq(*(const uint32_t *)h.last.value, 5, "the handler still has its arguments");
    cr_assert_eq(test_peer_cancel(&p, 1), CHOIR_OK, "late");
    expect_nothing(&p);
    /* The id may be used again: it has its answer. */
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x06", 1), CHOIR_OK);
    reply(&p, h.ids[0], 9, CHOIR_ERR_CANCELLED);
    expect_nothing(&p);
    cr_assert_eq(h.last.outcome, CHOIR_OUTCOME_CANCELLED);
    reply(&p, h.ids[0], 9, CHOIR_ERR_NOT_FOUND);
    reply(&p, h.ids[1], 10, CHOIR_OK);
    EXPECT_RESPONSE(&p, 1, "\x00\x0a");
    cr_assert_str_eq(p.events.log,
                     "established\nrequest later 05\nrequest-cancelled later\nrequest later 06\n"
                     "request-done later cancelled\nrequest-done later ok\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* What the caller gave as its reason; the metadata of the request is another matter. */
Test(request, a_cancel_has_a_reason) {
    static const char entries[] = "\x0c"
                                  "choir-reason"
                                  "\x00\x0d"
                                  "nobody waits."
                                  "\x00"
                                  "\x01"
                                  "n"
                                  "\x02\x05\x00";
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    const choiri_message cancel = {.kind = CHOIRI_MSG_REQUEST,
                                   .body = CHOIRI_BODY_CANCEL,
                                   .id = 1,
                                   .metadata = {{(const uint8_t *)entries, sizeof entries - 1}, 2}};
    cr_assert_eq(test_peer_message(&p, &cancel), CHOIR_OK);
    cr_assert_eq(h.last.kind, CHOIR_EVENT_REQUEST_CANCELLED);
    cr_assert_str_eq(p.events.last_text, "nobody waits.");
    cr_assert_eq(h.last.metadata.count, 2);
    reply(&p, h.ids[0], 9, CHOIR_ERR_CANCELLED);
    cr_assert_eq(h.last.kind, CHOIR_EVENT_REQUEST_DONE);
    cr_assert_eq(h.last.metadata.count, 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(request, drop_after_cancel) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(test_peer_cancel(&p, 1), CHOIR_OK);
    EXPECT_RESPONSE(&p, 1, "\x01\x03");
    cr_assert_eq(choir_request_drop(p.session, h.ids[0], NULL, p.now), CHOIR_OK);
    test_peer_poll(&p);
    expect_nothing(&p);
    cr_assert_eq(choir_session_held_requests(p.session), 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(request, cancel_of_an_undispatched_request) {
    test_peer p;
    handlers h;
    begin(&p, &h);
    p.root.max_concurrent_requests = 1;
    test_peer_open(&p, TEST_STAGE_OPEN);
    for (uint64_t i = 0; i < 3; i++)
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(test_rpc(p.session)->requests.queued, 2);
    cr_assert_eq(test_peer_cancel(&p, 3), CHOIR_OK);
    EXPECT_RESPONSE(&p, 3, "\x01\x03");
    cr_assert_eq(test_rpc(p.session)->requests.queued, 1);
    cr_assert_str_eq(p.events.log, "established\nrequest later 05\n", "nobody knew of it");
    reply(&p, h.ids[0], 1, CHOIR_OK);
    EXPECT_RESPONSE(&p, 1, "\x00\x01");
    reply(&p, h.ids[1], 2, CHOIR_OK);
    EXPECT_RESPONSE(&p, 5, "\x00\x02");
    cr_assert_eq(test_requests_charged(p.session), 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(request, cancel_of_a_persist_method_is_ignored) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_KEEP, "\x05", 1), CHOIR_OK);
    cr_assert_eq(test_peer_cancel(&p, 1), CHOIR_OK);
    expect_nothing(&p);
    reply(&p, h.ids[0], 9, CHOIR_OK);
    EXPECT_RESPONSE(&p, 1, "\x00\x09");
    cr_assert_str_eq(p.events.log, "established\nrequest keep 05\nrequest-done keep ok\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The end of the session tells each caller once. */
Test(request, close_answers_what_has_no_answer) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_LATER, "\x06", 1), CHOIR_OK);
    cr_assert_eq(test_peer_cancel(&p, 1), CHOIR_OK);
    EXPECT_RESPONSE(&p, 1, "\x01\x03");
    choir_session_close(p.session, p.now);
    EXPECT_RESPONSE(&p, 3, "\x01\x03");
    expect_nothing(&p);
    test_peer_poll(&p);
    cr_assert(strstr(p.events.log, "request-done later cancelled\nrequest-done later session shut down\n"),
              "%s", p.events.log);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- schemas ---- */

static int tell_schemas(test_peer *p, uint32_t method, uint32_t schemas_of) {
    choir_bytes schemas = test_peer_schemas(p, schemas_of, false);
    return test_peer_message(p, &(choiri_message){.kind = CHOIRI_MSG_SCHEMA,
                                                  .method = trial_service.methods[method].id,
                                                  .direction = CHOIRI_DIRECTION_ARGS,
                                                  .schemas = schemas});
}

/* A bad root may be repaired, a good one stays: as with vox peers. */
Test(request, roots_that_come_again) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    uint64_t method = trial_service.methods[TRIAL_LATER].id;
    h.auto_reply = true;
    cr_assert_eq(tell_schemas(&p, TRIAL_LATER, TRIAL_ECHO), CHOIR_OK);
    cr_assert_eq(test_peer_call_bare(&p, 1, method, "\x05", 1), CHOIR_OK);
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && memcmp(m.payload.data, "\x01\x02", 2) == 0);
    cr_assert_not_null(test_find(m.payload.data, m.payload.len, "Trial.later arguments: "));
    cr_assert_eq(tell_schemas(&p, TRIAL_LATER, TRIAL_LATER), CHOIR_OK);
    cr_assert_eq(test_peer_call_bare(&p, 3, method, "\x05", 1), CHOIR_OK);
    EXPECT_RESPONSE(&p, 3, "\x00\x05");
    cr_assert_eq(tell_schemas(&p, TRIAL_LATER, TRIAL_ECHO), CHOIR_OK);
    cr_assert_eq(test_peer_call_bare(&p, 5, method, "\x05", 1), CHOIR_OK);
    EXPECT_RESPONSE(&p, 5, "\x00\x05");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- the queue ---- */

/* N run, the others wait and are dispatched in order as handlers finish. */
Test(request, undispatched_requests_keep_their_order) {
    test_peer p;
    handlers h;
    begin(&p, &h);
    p.root.max_concurrent_requests = 3;
    test_peer_open(&p, TEST_STAGE_OPEN);
    for (uint8_t i = 0; i < 50; i++)
        cr_assert_eq(test_peer_call(&p, 1 + 2u * i, TRIAL_LATER, &i, 1), CHOIR_OK);
    for (uint32_t i = 0; i < 50; i++) {
        cr_assert_eq(h.count, i + 3 < 50 ? i + 3 : 50);
        reply(&p, h.ids[i], i, CHOIR_OK);
        uint8_t ret[2] = {0, (uint8_t)i};
        expect_response(&p, 1 + 2u * i, (const char *)ret, 2);
    }
    cr_assert_eq(test_rpc(p.session)->requests.queued_bytes, 0);
    cr_assert_eq(test_requests_charged(p.session), 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A queued request whose arguments turn out bad makes room for the next. */
Test(request, bad_ones_in_the_queue) {
    test_peer p;
    handlers h;
    begin(&p, &h);
    p.root.max_concurrent_requests = 1;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x01", 1), CHOIR_OK);
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_LATER, "\x80", 1), CHOIR_OK);
    cr_assert_eq(test_peer_call(&p, 5, TRIAL_LATER, "", 0), CHOIR_OK);
    cr_assert_eq(test_peer_call(&p, 7, TRIAL_LATER, "\x02", 1), CHOIR_OK);
    expect_nothing(&p);
    reply(&p, h.ids[0], 1, CHOIR_OK);
    EXPECT_RESPONSE(&p, 1, "\x00\x01");
    choiri_message m;
    for (uint64_t id = 3; id <= 5; id += 2)
        cr_assert(test_peer_next(&p, &m) && m.id == id && memcmp(m.payload.data, "\x01\x02", 2) == 0);
    reply(&p, h.ids[1], 2, CHOIR_OK);
    EXPECT_RESPONSE(&p, 7, "\x00\x02");
    cr_assert_eq(test_rpc(p.session)->requests.running, 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- memory of a request ---- */

Test(request, alloc) {
    test_peer p;
    handlers h;
    begin(&p, &h);
    p.options.memory_quota = 10000;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    choir_session *s = p.session;
    for (size_t align = 1; align <= 16; align *= 2) {
        void *memory = choir_request_alloc(s, h.ids[0], 10, align);
        cr_assert(memory && (uintptr_t)memory % align == 0);
        memset(memory, 1, 10);
    }
    cr_assert_null(choir_request_alloc(s, h.ids[0], 10, 0));
    cr_assert_null(choir_request_alloc(s, h.ids[0], 10, 3));
    cr_assert_null(choir_request_alloc(s, h.ids[0], 10, 32));
    cr_assert_null(choir_request_alloc(s, h.ids[0], SIZE_MAX, 1));
    cr_assert_null(choir_request_alloc(s, h.ids[0], 10001, 1), "over the quota");
    void *large = choir_request_alloc(s, h.ids[0], 5000, 8);
    cr_assert_not_null(large);
    memset(large, 2, 5000);
    cr_assert_null(choir_request_alloc(s, h.ids[0], 5000, 8), "together over the quota");
    cr_assert_eq(*(const uint32_t *)h.last.value, 5, "the arguments are where they were");
    reply(&p, h.ids[0], 1, CHOIR_OK);
    test_peer_take(&p);
    cr_assert_eq(test_requests_charged(s), 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The handler's own wish is bounded by the quota alone, not by the size of the arguments. */
Test(request, alloc_is_not_bounded_by_the_arguments) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    void *memory = choir_request_alloc(p.session, h.ids[0], 1 << 20, 16);
    cr_assert_not_null(memory);
    memset(memory, 1, 1 << 20);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* Arguments in the chunk that was received stay there; the answer that repeats them is sent from there. */
Test(request, large_arguments_are_not_copied) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_ECHO_BYTES, "\x00", 1), CHOIR_OK);
    choir_bytes none = {NULL, 0};
    cr_assert_eq(choir_reply(p.session, h.ids[0], &none, NULL, p.now), CHOIR_OK);
    test_peer_skip(&p);
    test_alloc chunks = {0};
    choir_allocator allocator = test_allocator(&chunks);
    choir_chunk *chunk;
    const size_t len = 200000;
    cr_assert_eq(choir_chunk_new(&allocator, len + 64, &chunk), CHOIR_OK);
    uint8_t *data = choir_chunk_data(chunk), *at = data + 4;
    *at++ = 0; /* conn 0, Request, id 3, Call, method, no metadata, arguments, no schemas */
    *at++ = CHOIRI_MSG_REQUEST;
    *at++ = 3;
    *at++ = CHOIRI_BODY_CALL;
    at = choiri_put_varint(at, trial_service.methods[TRIAL_ECHO_BYTES].id);
    *at++ = 0;
    uint32_t args = (uint32_t)(len + test_varint_size(len));
    for (int i = 0; i < 4; i++) *at++ = (uint8_t)(args >> 8 * i);
    at = choiri_put_varint(at, len);
    memset(at, 'z', len);
    at += len;
    *at++ = 0;
    uint32_t payload = (uint32_t)(at - data - 4);
    for (int i = 0; i < 4; i++) data[i] = (uint8_t)(payload >> 8 * i);
    uint64_t held = p.alloc.bytes;
    size_t used;
    cr_assert_eq(choir_attachment_receive(p.attachment, data, (size_t)(at - data), chunk, &used, p.now),
                 CHOIR_OK);
    cr_assert_eq(used, (size_t)(at - data));
    test_peer_poll(&p);
    const choir_bytes *value = h.last.value;
    cr_assert(value->data > data && value->data < at, "it lies in the chunk");
    choir_chunk_release(chunk); /* ours; the request has one of its own */
    cr_assert_eq(chunks.blocks, 1);
    cr_assert_lt(p.alloc.bytes, held + 8192);
    p.alloc.peak = p.alloc.bytes;
    cr_assert_eq(choir_reply(p.session, h.ids[1], value, NULL, p.now), CHOIR_OK);
    test_peer_poll(&p);
    cr_assert_lt(p.alloc.peak, held + 16384, "nor is the answer");
    cr_assert_eq(chunks.blocks, 1, "the output holds it");
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && m.id == 3 && m.payload.len == args + 1);
    cr_assert_eq(m.payload.data[args], 'z');
    cr_assert_eq(chunks.bytes, 0, "written, so nobody holds it");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- ids ---- */

Test(request, any_id_of_the_peers_parity) {
    static const uint64_t ids[] = {1, UINT64_MAX, (UINT64_C(1) << 63) + 1, 3};
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    h.auto_reply = true;
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(test_peer_call(&p, ids[i], TRIAL_LATER, "\x05", 1), CHOIR_OK);
        EXPECT_RESPONSE(&p, ids[i], "\x00\x05");
    }
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- no memory ---- */

/* Whatever cannot be allocated while a request comes in and is answered: it is refused, or the session ends
 * and says so; it is never left without an answer. */
Test(request, failing_allocations) {
    uint64_t n = 1;
    for (;; n++) {
        test_peer p;
        handlers h;
        open_peer(&p, &h);
        static uint8_t args[50002] = {0xd0, 0x86, 0x03}; /* 50,000 */
        p.alloc.fail_at = p.alloc.calls + n;
        (void)test_peer_call(&p, 1, TRIAL_ECHO_BYTES, args, 50003 - 1);
        (void)test_peer_call(&p, 3, TRIAL_LATER, "\x05", 1);
        bool failed = p.alloc.failed > 0;
        for (uint32_t i = 0; i < h.count; i++) {
            bool closed = choir_session_is_closed(p.session);
            int status = choir_request_drop(p.session, h.ids[i], NULL, p.now);
            cr_assert_eq(status, closed ? CHOIR_ERR_NOT_FOUND : CHOIR_OK);
        }
        test_peer_poll(&p);
        choiri_message m;
        uint32_t answers = 0;
        while (test_peer_next(&p, &m)) answers += m.kind == CHOIRI_MSG_REQUEST;
        if (choir_session_is_established(p.session))
            cr_assert_eq(answers, 2);
        else
            cr_assert_eq(choir_session_status(p.session), CHOIR_ERR_OUT_OF_MEMORY);
        cr_assert_eq(test_peer_deinit(&p), 0);
        if (!failed) break;
    }
    printf("%llu allocations failed in turn\n", (unsigned long long)n - 1);
}

/* No memory for the five bytes that give a request up: the promise of one answer each cannot be kept. */
Test(request, drop_without_memory_ends_the_session) {
    test_peer p;
    handlers h;
    open_peer(&p, &h);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    test_peer_exhaust(&p);
    uint32_t number = 1;
    cr_assert_eq(choir_reply(p.session, h.ids[0], &number, NULL, p.now), CHOIR_ERR_NO_MEMORY);
    cr_assert(choir_session_is_established(p.session), "it still waits for an answer");
    cr_assert_eq(choir_request_drop(p.session, h.ids[0], NULL, p.now), CHOIR_OK);
    test_peer_poll(&p);
    cr_assert_eq(choir_session_status(p.session), CHOIR_ERR_OUT_OF_MEMORY);
    cr_assert_str_eq(
        p.events.log,
        "established\nrequest later 05\ndetached ERR_OUT_OF_MEMORY\nrequest-done later connection closed\n"
        "conn-closed ERR_OUT_OF_MEMORY\nclosed ERR_OUT_OF_MEMORY\n");
    cr_assert_eq(choir_session_held_requests(p.session), 0);
    test_peer_restore(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}
