/* SPDX-License-Identifier: MIT */
/* Calls of methods that the caller has no types for: the answer is read by what the peer announced. */
#include "choir/dynamic.h"
#include "testing/inside.h"
#include "testing/pair.h"
#include "testing/peer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a peer that announces whatever the test wants ---- */

typedef struct dynamic_peer {
    test_peer p;
    choir_arena *arena;
    const choir_service *service;
    char json[400]; /* of the last answer that had a value */
    const choir_unit *unit;
    choir_str view; /* of its variant */
} dynamic_peer;

static void look(test_peer *p, const choir_event *e) {
    dynamic_peer *d = p->ctx;
    choir_str json;
    if (e->kind != CHOIR_EVENT_CALL_DONE) return;
    cr_assert_eq(e->unit != NULL, e->value != NULL);
    d->json[0] = '\0';
    d->unit = e->unit;
    if (!e->value) return;
    cr_assert_eq(choir_value_to_json(e->unit, e->type, e->value, d->arena, &json), CHOIR_OK);
    snprintf(d->json, sizeof d->json, "%s", json.data);
}

/* The session calls one method of Trial whose types it does not know. */
static void open_dynamic(dynamic_peer *d, uint32_t method) {
    const choir_method *m = &trial_service.methods[method];
    *d = (dynamic_peer){0};
    test_peer_init(&d->p);
    d->p.initiator = true;
    d->p.on_event = look;
    d->p.ctx = d;
    test_peer_open(&d->p, TEST_STAGE_START); /* makes the env that the service needs */
    cr_assert_eq(choir_service_make(d->p.env, choir_service_name(&trial_service),
                                    choir_method_name(&trial_service, method), trial_service.unit, m->args,
                                    &d->service, NULL, 0),
                 CHOIR_OK);
    cr_assert_eq(choir_arena_new(d->p.env, 1 << 20, &d->arena), CHOIR_OK);
    d->p.root.call = d->service;
    test_peer_reopen(&d->p, TEST_STAGE_OPEN);
}

static void close_dynamic(dynamic_peer *d) {
    choir_arena_free(d->arena);
    cr_assert_eq(test_peer_deinit(&d->p), 0);
}

static void call(dynamic_peer *d, const void *args) {
    choir_call_id id;
    cr_assert_eq(choir_call(d->p.session, choir_session_root(d->p.session), 0, args, NULL, &id, d->p.now),
                 CHOIR_OK);
    test_events_call(&d->p.events, id);
    test_peer_take(&d->p);
}

/* An answer with these schemas. */
static void answer(dynamic_peer *d, uint64_t id, choir_bytes schemas, const void *ret, size_t len) {
    const choiri_message m = {.kind = CHOIRI_MSG_REQUEST,
                              .body = CHOIRI_BODY_RESPONSE,
                              .id = id,
                              .payload = {ret, len},
                              .schemas = schemas};
    cr_assert_eq(test_peer_message(&d->p, &m), CHOIR_OK);
}

static void expect(dynamic_peer *d, uint32_t outcome, const char *json, const char *text) {
    cr_assert_eq(d->p.events.last_outcome, outcome, "%s", d->p.events.log);
    cr_assert_str_eq(d->json, json);
    cr_assert(strstr(d->p.events.last_text, text), "%s", d->p.events.last_text);
}

static const choir_bytes no_schemas = {NULL, 0};
#define RET(bytes) bytes, sizeof bytes - 1

Test(dynamic, an_answer_of_unknown_type) {
    dynamic_peer d;
    open_dynamic(&d, TRIAL_LOOKUP);
    uint32_t number = 1;
    call(&d, &number);
    answer(&d, 1, test_peer_schemas(&d.p, TRIAL_LOOKUP, true), RET("\0\3Bob\31\1\1x"));
    expect(&d, CHOIR_OUTCOME_OK, "{\"name\":\"Bob\",\"age\":25,\"email\":\"x\"}", "");
    const choir_unit *unit = d.unit;
    call(&d, &number);
    answer(&d, 3, no_schemas, RET("\1\0\1"));
    expect(&d, CHOIR_OUTCOME_USER_ERROR, "\"AccessDenied\"", "");
    cr_assert_eq(d.unit, unit, "made once");
    call(&d, &number);
    answer(&d, 5, no_schemas, RET("\1\1"));
    expect(&d, CHOIR_OUTCOME_UNKNOWN_METHOD, "", "");
    call(&d, &number);
    answer(&d, 7, no_schemas, RET("\1\2\2no"));
    expect(&d, CHOIR_OUTCOME_INVALID_PAYLOAD, "", "no");
    close_dynamic(&d);
}

Test(dynamic, a_service_in_use_is_not_freed) {
    dynamic_peer d;
    open_dynamic(&d, TRIAL_LOOKUP);
    uint32_t number = 1;
    cr_assert_eq(choir_service_free(d.p.env, d.service), CHOIR_ERR_STATE);
    call(&d, &number);
    answer(&d, 1, test_peer_schemas(&d.p, TRIAL_LOOKUP, true), RET("\0\3Bob\31\0"));
    choir_session_close(d.p.session, d.p.now);
    test_peer_poll(&d.p);
    cr_assert_eq(choir_service_free(d.p.env, d.service), CHOIR_ERR_STATE, "not before its session");
    d.p.root.call = NULL;
    test_peer_reopen(&d.p, TEST_STAGE_OPEN);
    cr_assert_eq(choir_service_free(d.p.env, d.service), CHOIR_OK);
    cr_assert_eq(choir_service_free(d.p.env, d.service), CHOIR_ERR_NOT_FOUND);
    close_dynamic(&d);
}

Test(dynamic, steady_state_allocates_nothing) {
    dynamic_peer d;
    open_dynamic(&d, TRIAL_LOOKUP);
    uint32_t number = 1;
    uint64_t before = 0;
    for (uint64_t i = 0; i < 20; i++) {
        if (i == 10) before = d.p.alloc.calls;
        call(&d, &number);
        answer(&d, 2 * i + 1, i == 0 ? test_peer_schemas(&d.p, TRIAL_LOOKUP, true) : no_schemas,
               RET("\0\3Bob\31\0"));
        choir_arena_reset(d.arena);
    }
    if (CHOIRI_POOLS) cr_assert_eq(d.p.alloc.calls, before);
    close_dynamic(&d);
}

Test(dynamic, answers_that_cannot_be_read) {
    static const struct {
        const char *ret;
        size_t len;
        const char *text;
    } cases[] = {
        {RET("\0\3Bob\31\0\0"), "1 bytes are left behind a value of the announced type"},
        {RET("\0\3Bo"), "name: truncated string"},
        {RET("\1\0\2"), "malformed LookupError"},
        {RET("\2"), "neither Ok nor Err"},
        {RET(""), "neither Ok nor Err"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dynamic_peer d;
        open_dynamic(&d, TRIAL_LOOKUP);
        call(&d, &(uint32_t){1});
        answer(&d, 1, test_peer_schemas(&d.p, TRIAL_LOOKUP, true), cases[i].ret, cases[i].len);
        expect(&d, CHOIR_OUTCOME_INVALID_PAYLOAD, "", cases[i].text);
        close_dynamic(&d);
    }
}

/* TypeScript's peers, a first answer of Rust's, and worse. Errors without a value are still told. */
Test(dynamic, announcements_that_say_nothing) {
    dynamic_peer d;
    open_dynamic(&d, TRIAL_LOOKUP);
    uint32_t number = 1;
    call(&d, &number);
    answer(&d, 1, no_schemas, RET("\0\3Bob\31\0"));
    expect(&d, CHOIR_OUTCOME_INVALID_PAYLOAD, "", "Trial.lookup answer: the peer has not announced its type");
    /* The root of another method is no response. */
    call(&d, &number);
    answer(&d, 3, test_peer_schemas(&d.p, TRIAL_LOOKUP, false), RET("\0\3Bob\31\0"));
    expect(&d, CHOIR_OUTCOME_INVALID_PAYLOAD, "", "not Result<T, VoxError<E>>");
    call(&d, &number);
    answer(&d, 5, no_schemas, RET("\1\3"));
    expect(&d, CHOIR_OUTCOME_CANCELLED, "", "");
    /* A bad root may be repaired. */
    call(&d, &number);
    answer(&d, 7, test_peer_schemas(&d.p, TRIAL_LOOKUP, true), RET("\0\3Bob\31\0"));
    expect(&d, CHOIR_OUTCOME_OK, "{\"name\":\"Bob\",\"age\":25,\"email\":null}", "");
    close_dynamic(&d);
}

/* Root with type id 0, which replays of Rust announce: "schemas" [] "root" concrete 0. */
Test(dynamic, root_without_a_type) {
    static const uint8_t nothing[] = "\xa2\x67schemas\x80\x64root\xa3\x63tag\x68"
                                     "concrete\x67type_id\0\x64"
                                     "args\x80";
    dynamic_peer d;
    open_dynamic(&d, TRIAL_LOOKUP);
    call(&d, &(uint32_t){1});
    answer(&d, 1, (choir_bytes){nothing, sizeof nothing - 1}, RET("\0\3Bob\31\0"));
    expect(&d, CHOIR_OUTCOME_INVALID_PAYLOAD, "", "never announced type 0x0000000000000000");
    close_dynamic(&d);
}

Test(dynamic, can_only_be_called) {
    dynamic_peer d;
    open_dynamic(&d, TRIAL_LOOKUP);
    choir_session_options o;
    choir_session *s = NULL;
    choir_conn_options root;
    choir_session_options_init(&o);
    choir_conn_options_init(&root);
    root.serve = d.service;
    o.root = &root;
    cr_assert_eq(choir_session_new(d.p.env, &o, &s, d.p.now), CHOIR_ERR_INVALID);
    cr_assert(!s);
    close_dynamic(&d);
}

/* Each allocation of a first answer fails once: the call ends, with the reason or the session with it;
 * nothing leaks. */
Test(dynamic, failing_allocations) {
    uint64_t n = 0, failed;
    do {
        dynamic_peer d;
        open_dynamic(&d, TRIAL_LOOKUP);
        call(&d, &(uint32_t){1});
        choir_bytes schemas = test_peer_schemas(&d.p, TRIAL_LOOKUP, true);
        const choiri_message m = {.kind = CHOIRI_MSG_REQUEST,
                                  .body = CHOIRI_BODY_RESPONSE,
                                  .id = 1,
                                  .payload = {(const uint8_t *)"\0\3Bob\31\0", 7},
                                  .schemas = schemas};
        d.p.on_event = NULL;
        d.p.alloc.fail_at = d.p.alloc.calls + ++n;
        test_peer_message(&d.p, &m);
        failed = d.p.alloc.failed;
        d.p.alloc.fail_at = 0;
        cr_assert_eq(test_events_open_calls(&d.p.events), 0);
        if (failed == 0) cr_assert_eq(d.p.events.last_outcome, CHOIR_OUTCOME_OK);
        close_dynamic(&d);
    } while (failed > 0);
    cr_assert_gt(n, CHOIRI_POOLS ? 1 : 3);
}
