/* SPDX-License-Identifier: MIT */
/* What layers above the core build on: hooks on the way of a request, bytes that are not decoded, slots,
 * observers, reasons. */
#include "testing/pair.h"
#include "testing/peer.h"
#include "testing/trial.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* What a layer saw, and what it is told to answer. */
typedef struct layer {
    test_pair *pair;
    int verdict, seal_verdict;
    const char *reason;
    choir_request_id last;
    uint32_t decided, sealed, ended, outcome;
    bool saw_value;
    uint8_t answer[64];
    size_t answer_len;
    uint64_t method_id;
} layer;

static int decide(void *ctx, choir_session *s, const choir_event *request, choir_reason *ret_reason) {
    layer *l = ctx;
    cr_assert_eq(s, l->pair->server.session);
    cr_assert_eq(request->kind, CHOIR_EVENT_REQUEST);
    l->decided++;
    l->last = request->request;
    l->saw_value |= request->value != NULL;
    l->method_id = request->method_id;
    if (l->reason) *ret_reason = choir_reason_of((choir_str){l->reason, strlen(l->reason)});
    return l->verdict;
}

static int seal(void *ctx, choir_session *s, choir_request_id request, uint32_t outcome, choir_bytes answer) {
    layer *l = ctx;
    (void)s;
    cr_assert_eq(request.v, l->last.v);
    l->sealed++;
    l->outcome = outcome;
    l->answer_len = answer.len < sizeof l->answer ? answer.len : sizeof l->answer;
    memcpy(l->answer, answer.data, l->answer_len);
    return l->seal_verdict;
}

static void ended(void *ctx, choir_session *s, choir_request_id request, uint32_t outcome) {
    layer *l = ctx;
    (void)s;
    cr_assert_eq(request.v, l->last.v);
    l->ended++;
    l->outcome = outcome;
}

static void echo(test_side *side, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    int status = choir_reply(side->session, e->request, e->value, NULL, side->pair->now);
    cr_assert(status == CHOIR_OK || status == CHOIR_ERR_CANCELLED, "%s", choir_status_name(status));
}

static layer the_layer;
static test_pair pair;

static test_pair *init_pair(void) {
    test_pair_init(&pair);
    pair.client_root.call = &trial_service;
    pair.server_root.serve = &trial_served;
    the_layer = (layer){.pair = &pair};
    return &pair;
}

static test_pair *open_pair(bool with_hooks) {
    static choir_hooks hooks;
    test_pair *p = init_pair();
    hooks = (choir_hooks){sizeof hooks, &the_layer, decide, seal, ended};
    if (with_hooks) p->server_root.hooks = &hooks;
    p->server.on_event = echo;
    cr_assert(test_pair_open(p));
    return p;
}

static void close_pair(void) {
    cr_assert_eq(test_pair_deinit(&pair), 0);
}

static const choir_str hello = {"hello", 5};

static void call_echo(test_pair *p, choir_call_id *ret_call) {
    cr_assert_eq(test_side_call(&p->client, TRIAL_ECHO, &hello, NULL, ret_call), CHOIR_OK);
    test_pair_pump(p);
}

/* ---- hooks ---- */

Test(layers, hooks_that_let_everything_through) {
    test_pair *p = open_pair(true);
    call_echo(p, NULL);
    cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_OK);
    cr_assert(the_layer.decided == 1 && the_layer.sealed == 1 && the_layer.ended == 1);
    cr_assert_not(the_layer.saw_value, "a decision comes before the arguments are decoded");
    cr_assert_eq(the_layer.method_id, trial_service.methods[TRIAL_ECHO].id);
    cr_assert_eq(the_layer.outcome, CHOIR_OUTCOME_OK);
    cr_assert(the_layer.answer_len == 7 && memcmp(the_layer.answer, "\0\5hello", 7) == 0);
    close_pair();
}

Test(layers, a_refused_request_never_runs) {
    test_pair *p = open_pair(true);
    the_layer.verdict = CHOIR_VERDICT_REFUSE;
    the_layer.reason = "not for you";
    call_echo(p, NULL);
    cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_SEND_FAILED);
    cr_assert_eq(p->server.events.started, 0);
    cr_assert(the_layer.decided == 1 && the_layer.sealed == 0 && the_layer.ended == 1);
    cr_assert_str_eq(p->client.events.last_text, "not for you");
    close_pair();
}

/* A copy with `size` bytes and no more, whose bytes behind `known` are `rest`. Freed by the caller. */
static void *grown(const void *from, size_t known, size_t size, int rest) {
    uint8_t *copy = malloc(size);
    cr_assert_not_null(copy);
    memset(copy, rest, size);
    memcpy(copy, from, size < known ? size : known);
    memcpy(copy, &size, sizeof size);
    return copy;
}

/* Of an older program, which has no `ended`, and of a newer one, which has more than we know. */
Test(layers, hooks_of_other_versions) {
    const choir_hooks ours = {sizeof ours, &the_layer, decide, seal, ended};
    const size_t sizes[] = {offsetof(choir_hooks, ended), sizeof ours + sizeof(void *)};
    for (size_t i = 0; i < 2; i++) {
        test_pair *p = init_pair();
        choir_hooks *hooks = grown(&ours, sizeof ours, sizes[i], 0);
        p->server_root.hooks = hooks;
        p->server.on_event = echo;
        cr_assert(test_pair_open(p));
        free(hooks);
        call_echo(p, NULL);
        cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_OK);
        cr_assert(the_layer.decided == 1 && the_layer.sealed == 1 && the_layer.ended == i);
        close_pair();
    }
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_session_options o;
    choir_conn_options root;
    choir_session *s;
    choir_session_options_init(&o);
    choir_conn_options_init(&root);
    choir_hooks *unknown = grown(&ours, sizeof ours, sizes[1], 1);
    root.hooks = unknown;
    o.root = &root;
    cr_assert_eq(choir_session_new(env, &o, &s, 1), CHOIR_ERR_INVALID);
    free(unknown);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* As an authorisation that asks a database. */
Test(layers, a_decision_can_come_later) {
    for (int verdict = CHOIR_VERDICT_RUN; verdict <= CHOIR_VERDICT_REFUSE; verdict++) {
        test_pair *p = open_pair(true);
        the_layer.verdict = CHOIR_VERDICT_PEND;
        call_echo(p, NULL);
        choir_session *s = p->server.session;
        cr_assert(the_layer.decided == 1 && p->client.events.done == 0 && p->server.events.started == 0);
        cr_assert_eq(choir_request_seal(s, the_layer.last, CHOIR_VERDICT_RUN, p->now), CHOIR_ERR_STATE);
        cr_assert_eq(choir_request_decide(s, the_layer.last, CHOIR_VERDICT_PEND, NULL, p->now),
                     CHOIR_ERR_INVALID);
        const choir_reason why = choir_reason_of(CHOIR_STR("later, no"));
        cr_assert_eq(choir_request_decide(s, the_layer.last, verdict, &why, p->now), CHOIR_OK);
        cr_assert_eq(choir_request_decide(s, the_layer.last, verdict, NULL, p->now),
                     verdict == CHOIR_VERDICT_RUN ? CHOIR_ERR_STATE : CHOIR_ERR_NOT_FOUND);
        test_pair_pump(p);
        cr_assert_eq(the_layer.decided, 1, "nobody is asked twice");
        cr_assert_eq(p->client.events.last_outcome,
                     verdict == CHOIR_VERDICT_RUN ? CHOIR_OUTCOME_OK : CHOIR_OUTCOME_SEND_FAILED);
        if (verdict == CHOIR_VERDICT_REFUSE) cr_assert_str_eq(p->client.events.last_text, "later, no");
        cr_assert_eq(the_layer.ended, 1);
        close_pair();
    }
}

/* As an operation that is stored before its answer leaves. */
Test(layers, an_answer_can_wait_for_its_seal) {
    for (int verdict = CHOIR_VERDICT_RUN; verdict <= CHOIR_VERDICT_REFUSE; verdict++) {
        test_pair *p = open_pair(true);
        the_layer.seal_verdict = CHOIR_VERDICT_PEND;
        call_echo(p, NULL);
        cr_assert(the_layer.sealed == 1 && p->client.events.done == 0 && p->server.events.started == 1);
        cr_assert_eq(choir_reply(p->server.session, the_layer.last, &hello, NULL, p->now),
                     CHOIR_ERR_NOT_FOUND, "it was answered");
        cr_assert_eq(choir_request_seal(p->server.session, the_layer.last, verdict, p->now), CHOIR_OK);
        test_pair_pump(p);
        cr_assert_eq(p->client.events.last_outcome,
                     verdict == CHOIR_VERDICT_RUN ? CHOIR_OUTCOME_OK : CHOIR_OUTCOME_INDETERMINATE);
        cr_assert_eq(the_layer.ended, 1);
        close_pair();
    }
}

/* A hook that refuses at once, and one that answers with a number that is not a verdict. */
Test(layers, a_seal_can_be_refused_at_once) {
    static const int verdicts[] = {CHOIR_VERDICT_REFUSE, 3, -1};
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        test_pair *p = open_pair(true);
        the_layer.seal_verdict = verdicts[i];
        call_echo(p, NULL);
        cr_assert_eq(the_layer.sealed, 1);
        cr_assert_eq(p->client.events.done, 1);
        cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_INDETERMINATE, "%d", verdicts[i]);
        cr_assert(the_layer.ended == 1 && the_layer.outcome == CHOIR_OUTCOME_INDETERMINATE);
        close_pair();
    }
}

static void echo_with_note(test_side *side, const choir_event *e) {
    const choir_metadata_entry note = {
        .key = CHOIR_STR("note"), .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"done", 4}};
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    choir_reply_options o;
    choir_reply_options_init(&o);
    o.metadata = &note;
    o.metadata_len = 1;
    cr_assert_eq(choir_reply(side->session, e->request, e->value, &o, side->pair->now), CHOIR_OK);
}

static size_t notes;

static void count_notes(test_side *side, const choir_event *e) {
    (void)side;
    if (e->kind == CHOIR_EVENT_CALL_DONE) notes += e->metadata.count;
}

/* Metadata tells of the answer as much as its value does, and goes with it. */
Test(layers, what_is_not_sealed_has_no_metadata) {
    for (int late = 0; late < 2; late++) {
        for (int verdict = CHOIR_VERDICT_RUN; verdict <= CHOIR_VERDICT_REFUSE; verdict++) {
            test_pair *p = open_pair(true);
            p->server.on_event = echo_with_note;
            p->client.on_event = count_notes;
            notes = 0;
            the_layer.seal_verdict = late ? CHOIR_VERDICT_PEND : verdict;
            call_echo(p, NULL);
            if (late) {
                cr_assert_eq(choir_request_seal(p->server.session, the_layer.last, verdict, p->now),
                             CHOIR_OK);
                test_pair_pump(p);
            }
            cr_assert_eq(p->client.events.done, 1);
            cr_assert_eq(notes, verdict == CHOIR_VERDICT_RUN ? 1 : 0, "late %d, verdict %d: %zu", late,
                         verdict, notes);
            close_pair();
        }
    }
}

/* While somebody decides, or seals, callers give up and links go. */
Test(layers, whoever_pends_may_be_overtaken) {
    for (int sealing = 0; sealing < 2; sealing++) {
        for (int cut = 0; cut < 2; cut++) {
            test_pair *p = open_pair(true);
            choir_call_id call;
            *(sealing ? &the_layer.seal_verdict : &the_layer.verdict) = CHOIR_VERDICT_PEND;
            call_echo(p, &call);
            if (cut)
                test_pair_cut(p);
            else
                cr_assert_eq(choir_cancel(p->client.session, call, NULL, p->now), CHOIR_OK);
            test_pair_pump(p);
            cr_assert_eq(p->client.events.done, 1);
            int status =
                sealing ? choir_request_seal(p->server.session, the_layer.last, CHOIR_VERDICT_RUN, p->now)
                        : choir_request_decide(p->server.session, the_layer.last, CHOIR_VERDICT_RUN, NULL,
                                               p->now);
            cr_assert(status == CHOIR_ERR_NOT_FOUND || (sealing && status == CHOIR_ERR_CANCELLED),
                      "%d %d: %s", sealing, cut, choir_status_name(status));
            test_pair_pump(p);
            cr_assert_eq(the_layer.ended, 1, "%d %d: %u", sealing, cut, the_layer.ended);
            close_pair();
        }
    }
}

static int pend_first(void *ctx, choir_session *s, const choir_event *request, choir_reason *ret_reason) {
    (void)s, (void)request, (void)ret_reason;
    return ++*(uint32_t *)ctx == 1 ? CHOIR_VERDICT_PEND : CHOIR_VERDICT_RUN;
}

/* A place that a cancelled decision gives up goes to whoever waits. */
Test(layers, a_cancelled_decision_makes_room) {
    test_peer p;
    uint32_t decided = 0;
    choir_hooks hooks = {sizeof hooks, &decided, pend_first, NULL, NULL};
    test_peer_init(&p);
    p.root.hooks = &hooks;
    p.root.max_concurrent_requests = 1;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_ECHO, "\1a", 2), CHOIR_OK);
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_ECHO, "\1b", 2), CHOIR_OK);
    cr_assert(decided == 1 && p.events.started == 0);
    cr_assert_eq(test_peer_cancel(&p, 1), CHOIR_OK);
    cr_assert(decided == 2 && p.events.started == 1, "%u %u", decided, p.events.started);
    test_peer_close(&p);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

static int close_inside(void *ctx, choir_session *s, const choir_event *request, choir_reason *ret_reason) {
    layer *l = ctx;
    (void)request, (void)ret_reason;
    l->decided++;
    choir_session_close(s, l->pair->now);
    return l->verdict;
}

/* A hook may end the session. What it answers then is too late. */
Test(layers, a_hook_may_close_the_session) {
    for (int verdict = CHOIR_VERDICT_RUN; verdict <= CHOIR_VERDICT_PEND; verdict++) {
        static choir_hooks hooks;
        test_pair *p = init_pair();
        hooks = (choir_hooks){sizeof hooks, &the_layer, close_inside, NULL, NULL};
        p->server_root.hooks = &hooks;
        p->server.on_event = echo;
        cr_assert(test_pair_open(p));
        the_layer.verdict = verdict;
        call_echo(p, NULL);
        test_pair_cut(p);
        cr_assert_eq(p->server.events.started, 0);
        cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_SEND_FAILED, "it never ran");
        cr_assert_eq(choir_session_status(p->server.session), CHOIR_ERR_SHUTDOWN);
        close_pair();
    }
}

/* Hooks run in poll, whatever ended a request. */
Test(layers, the_end_of_a_decided_request_is_told_in_poll) {
    test_pair *p = open_pair(true);
    the_layer.verdict = CHOIR_VERDICT_PEND;
    call_echo(p, NULL);
    choir_session_close(p->server.session, p->now);
    cr_assert_eq(the_layer.ended, 0);
    test_side_poll(&p->server);
    cr_assert(the_layer.ended == 1 && the_layer.outcome == CHOIR_OUTCOME_SEND_FAILED);
    test_pair_pump(p);
    cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_SEND_FAILED, "it never ran");
    close_pair();
}

static char large[40000];
static int refuse_badly(void *ctx, choir_session *s, const choir_event *request, choir_reason *ret_reason) {
    layer *l = ctx;
    (void)s, (void)request;
    *ret_reason =
        choir_reason_of(l->decided++ == 0 ? (choir_str){"\xff", 1} : (choir_str){large, sizeof large});
    return CHOIR_VERDICT_REFUSE;
}

/* A reason that cannot be said is left out. */
Test(layers, bad_reasons_harm_nobody) {
    static choir_hooks hooks;
    test_pair *p = init_pair();
    memset(large, 'x', sizeof large);
    hooks = (choir_hooks){sizeof hooks, &the_layer, refuse_badly, NULL, NULL};
    p->server_root.hooks = &hooks;
    p->server_link.max_payload = 20000;
    cr_assert(test_pair_open(p));
    for (uint32_t i = 1; i <= 2; i++) {
        call_echo(p, NULL);
        cr_assert_eq(p->client.events.done, i);
        cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_SEND_FAILED);
        cr_assert(choir_session_is_established(p->server.session));
    }
    const choir_reason bad = choir_reason_of((choir_str){"\xff", 1});
    cr_assert_eq(choir_cancel(p->client.session, (choir_call_id){1}, &bad, p->now), CHOIR_ERR_INVALID);
    close_pair();
}

/* ---- bytes that are not decoded ---- */

static choir_method raw_methods[TRIAL_ABSENT];
static choir_service raw_service;

static const choir_service *make_raw(void) {
    raw_service = trial_served;
    memcpy(raw_methods, trial_served.methods, raw_service.methods_len * sizeof *raw_methods);
    for (uint32_t i = 0; i < raw_service.methods_len; i++) raw_methods[i].flags |= CHOIR_METHOD_RAW;
    raw_service.methods = raw_methods;
    return &raw_service;
}

static choir_event forwarded;
static uint8_t forwarded_bytes[64];

static void answer_raw(test_side *side, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    forwarded = *e;
    cr_assert_leq(e->payload.len, sizeof forwarded_bytes);
    memcpy(forwarded_bytes, e->payload.data, e->payload.len);
    choir_reply_options how;
    choir_reply_options_init(&how);
    how.encoded = (choir_bytes){(const uint8_t *)"\0\3yes", 5};
    cr_assert_eq(choir_reply(side->session, e->request, e, &how, side->pair->now), CHOIR_ERR_INVALID,
                 "a value, and bytes");
    cr_assert_eq(choir_reply(side->session, e->request, NULL, &how, side->pair->now), CHOIR_OK);
}

static choir_str answered;
static char answered_text[16];

static void on_client(test_side *side, const choir_event *e) {
    (void)side;
    if (e->kind != CHOIR_EVENT_CALL_DONE || !e->value) return;
    answered = *(const choir_str *)e->value;
    memcpy(answered_text, answered.data, answered.len);
}

Test(layers, a_raw_method_passes_bytes) {
    test_pair *p = init_pair();
    p->server_root.serve = make_raw();
    p->server.on_event = answer_raw;
    p->client.on_event = on_client;
    cr_assert(test_pair_open(p));
    call_echo(p, NULL);
    cr_assert_null(forwarded.value);
    cr_assert(forwarded.payload.len == 6 && memcmp(forwarded_bytes, "\5hello", 6) == 0);
    cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_OK);
    cr_assert(answered.len == 3 && memcmp(answered_text, "yes", 3) == 0);
    close_pair();
}

Test(layers, arguments_can_be_given_encoded) {
    test_pair *p = open_pair(false);
    p->client.on_event = on_client;
    choir_call_options how;
    choir_call_options_init(&how);
    how.encoded_args = (choir_bytes){(const uint8_t *)"\3abc", 4};
    cr_assert_eq(test_side_call(&p->client, TRIAL_ECHO, &hello, &how, NULL), CHOIR_ERR_INVALID,
                 "a value, and bytes");
    cr_assert_eq(test_side_call(&p->client, TRIAL_ECHO, NULL, &how, NULL), CHOIR_OK);
    test_pair_pump(p);
    cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_OK);
    cr_assert(answered.len == 3 && memcmp(answered_text, "abc", 3) == 0);
    close_pair();
}

/* ---- slots ---- */

static uint32_t destroyed;
static void destroy(void *value) {
    (void)value;
    destroyed++;
}

static choir_key key_a = {"a"}, key_b = {"b"};
static int values[4];

static void hang(test_side *side, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    cr_assert_null(choir_request_slot(side->session, e->request, &key_a));
    cr_assert_eq(choir_request_set_slot(side->session, e->request, &key_a, &values[3], destroy), CHOIR_OK);
    cr_assert_eq(choir_request_slot(side->session, e->request, &key_a), &values[3]);
    echo(side, e);
}

Test(layers, slots) {
    test_pair *p = open_pair(false);
    choir_session *s = p->server.session;
    choir_conn_id root = choir_session_root(s);
    p->server.on_event = hang;
    destroyed = 0;
    cr_assert_eq(choir_session_set_slot(s, &key_a, &values[0], destroy), CHOIR_OK);
    cr_assert_eq(choir_session_set_slot(s, &key_b, &values[1], destroy), CHOIR_OK);
    cr_assert_eq(choir_session_slot(s, &key_a), &values[0]);
    cr_assert_eq(choir_session_slot(s, &key_b), &values[1]);
    cr_assert_eq(choir_session_set_slot(s, &key_a, &values[2], destroy), CHOIR_OK);
    cr_assert_eq(destroyed, 1, "the one that was replaced");
    cr_assert_eq(choir_session_set_slot(s, &key_b, NULL, NULL), CHOIR_OK);
    cr_assert_eq(destroyed, 2);
    cr_assert_null(choir_session_slot(s, &key_b));
    cr_assert_null(choir_conn_slot(s, root, &key_a));
    cr_assert_eq(choir_conn_set_slot(s, root, &key_a, &values[1], destroy), CHOIR_OK);
    cr_assert_eq(choir_conn_slot(s, root, &key_a), &values[1]);
    cr_assert_eq(choir_conn_set_slot(s, (choir_conn_id){1}, &key_a, &values[1], destroy),
                 CHOIR_ERR_NOT_FOUND);
    for (int i = 0; i < 3; i++) call_echo(p, NULL);
    cr_assert_eq(destroyed, 5, "a request's goes with it");
    cr_assert_eq(choir_conn_slot(s, root, &key_a), &values[1], "a connection with slots stays as it is");
    close_pair();
    cr_assert_eq(destroyed, 7, "all others with their objects");
}

/* ---- user data ---- */

static void *last_destroyed;
static void remember(void *user_data) {
    destroyed++;
    last_destroyed = user_data;
}

/* What is replaced stays the host's; what is there at the end is destroyed, once. */
Test(layers, user_data_of_sessions_and_connections) {
    test_pair *p = init_pair();
    p->server_options.user_data = &values[0];
    p->server_options.destroy = remember;
    p->client_root.user_data = &values[2];
    p->client_root.destroy = remember;
    cr_assert(test_pair_open(p));
    choir_session *server = p->server.session, *client = p->client.session;
    choir_conn_id root = choir_session_root(client), none = {1};
    destroyed = 0;
    cr_assert_eq(choir_session_user_data(server), &values[0]);
    choir_session_set_user_data(server, &values[1]);
    cr_assert_eq(choir_session_user_data(server), &values[1]);
    choir_session_set_user_data(NULL, &values[1]);
    cr_assert_null(choir_session_user_data(NULL));
    cr_assert_eq(choir_conn_user_data(client, root), &values[2]);
    cr_assert_eq(choir_conn_set_user_data(client, root, &values[3]), CHOIR_OK);
    cr_assert_eq(choir_conn_user_data(client, root), &values[3]);
    cr_assert_eq(choir_conn_set_user_data(client, none, &values[2]), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_conn_set_user_data(NULL, root, &values[2]), CHOIR_ERR_NOT_FOUND);
    cr_assert_null(choir_conn_user_data(client, none));
    cr_assert_null(choir_conn_user_data(server, choir_session_root(server)));
    cr_assert_eq(destroyed, 0);
    choir_session_free(client);
    p->client.session = NULL;
    p->client.attachment = NULL;
    cr_assert(destroyed == 1 && last_destroyed == &values[3]);
    close_pair();
    cr_assert(destroyed == 2 && last_destroyed == &values[1]);
}

/* ---- descriptors ---- */

Test(layers, services_are_checked) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_unit unit = *trial_service.unit;
    choir_service service = trial_service;
    char text[128] = "untouched", cut[6];
    service.unit = &unit;
    cr_assert_eq(choir_service_check(NULL, &service, NULL, 0), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_service_check(env, NULL, NULL, 0), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_service_check(env, &trial_service, text, sizeof text), CHOIR_OK);
    cr_assert_str_eq(text, "untouched");
    unit.abi = 77;
    cr_assert_eq(choir_service_check(env, &service, text, sizeof text), CHOIR_ERR_ABI);
    cr_assert_neq(strlen(text), 0);
    cr_assert_neq(strcmp(text, "untouched"), 0);
    cr_assert_eq(choir_service_check(env, &service, cut, sizeof cut), CHOIR_ERR_ABI);
    cr_assert(strlen(cut) == 5 && strncmp(cut, text, 5) == 0, "cut: %s", cut);
    cr_assert_eq(choir_service_check(env, &service, NULL, 100), CHOIR_ERR_ABI);
    cr_assert_eq(choir_service_check(env, &service, cut, 0), CHOIR_ERR_ABI);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* ---- observers ---- */

static uint32_t seen[2], order;
static void observe(void *ctx, choir_session *s, const choir_event *e) {
    uint32_t *n = ctx;
    (void)s;
    cr_assert_eq(e->size, sizeof *e);
    (*n)++;
    order = order * 2 + (n == &seen[1]);
}

Test(layers, observers) {
    test_pair *p = open_pair(false);
    choir_observer first = {observe, &seen[0], NULL}, second = {observe, &seen[1], NULL};
    seen[0] = seen[1] = 0;
    order = 1;
    choir_session_unobserve(p->server.session, &first);
    choir_session_observe(p->server.session, &first);
    choir_session_observe(p->server.session, &second);
    call_echo(p, NULL); /* REQUEST, REQUEST_DONE */
    cr_assert(seen[0] == 2 && seen[1] == 2, "%u %u", seen[0], seen[1]);
    cr_assert_eq(order, 0x15, "in the order in which they came");
    choir_session_unobserve(p->server.session, &first);
    call_echo(p, NULL);
    cr_assert(seen[0] == 2 && seen[1] == 4);
    close_pair();
}

/* ---- reasons ---- */

static choir_metadata_entry more = {.key = {"code", 4}, .type = CHOIR_METADATA_U64, .u64 = 7};
static choir_reason why;

static void drop(test_side *side, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    cr_assert_eq(choir_request_drop(side->session, e->request, &why, side->pair->now), CHOIR_OK);
}

static uint64_t code;
static void read_code(test_side *side, const choir_event *e) {
    (void)side;
    if (e->kind != CHOIR_EVENT_CALL_DONE) return;
    choir_metadata_entry entry;
    if (choir_metadata_find(e->metadata, CHOIR_STR("code"), CHOIR_METADATA_U64, &entry)) code = entry.u64;
}

Test(layers, a_reason_travels_with_its_metadata) {
    test_pair *p = open_pair(false);
    p->server.on_event = drop;
    p->client.on_event = read_code;
    why = choir_reason_of(CHOIR_STR("busy"));
    why.metadata = &more;
    why.metadata_len = 1;
    call_echo(p, NULL);
    cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_CANCELLED);
    cr_assert_str_eq(p->client.events.last_text, "busy");
    cr_assert_eq(code, 7);
    close_pair();
}

Test(layers, reasons_of_other_versions) {
    const choir_reason ours = choir_reason_of(CHOIR_STR("enough"));
    const struct {
        size_t size;
        int rest, status;
    } rows[] = {{offsetof(choir_reason, metadata), 0, CHOIR_OK},
                {offsetof(choir_reason, metadata_len), 0, CHOIR_OK},
                {sizeof ours + 8, 0, CHOIR_OK},
                {sizeof ours + 8, 1, CHOIR_ERR_INVALID}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_pair *p = open_pair(true);
        choir_call_id call;
        the_layer.verdict = CHOIR_VERDICT_PEND;
        call_echo(p, &call);
        choir_reason *reason = grown(&ours, sizeof ours, rows[i].size, rows[i].rest);
        cr_assert_eq(choir_cancel(p->client.session, call, reason, p->now), rows[i].status, "%zu", i);
        free(reason);
        test_pair_pump(p);
        close_pair();
    }
}

Test(layers, reasons_that_cannot_be_told) {
    test_pair *p = open_pair(true);
    choir_call_id call;
    the_layer.verdict = CHOIR_VERDICT_PEND;
    call_echo(p, &call);
    const choir_reason nowhere = choir_reason_of((choir_str){NULL, 3});
    choir_reason many = choir_reason_of(CHOIR_STR("no"));
    static choir_metadata_entry entries[64];
    many.metadata = entries;
    many.metadata_len = 64;
    cr_assert_eq(choir_cancel(p->client.session, call, &nowhere, p->now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_cancel(p->client.session, call, &many, p->now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_request_decide(p->server.session, the_layer.last, CHOIR_VERDICT_RUN, NULL, p->now),
                 CHOIR_OK);
    p->server.on_event = NULL;
    test_pair_pump(p);
    cr_assert_eq(choir_request_drop(p->server.session, the_layer.last, &nowhere, p->now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_request_drop(p->server.session, the_layer.last, &many, p->now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_request_drop(p->server.session, the_layer.last, NULL, p->now), CHOIR_OK);
    test_pair_pump(p);
    cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_CANCELLED);
    close_pair();
}

static void reply_with_metadata(test_side *side, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    choir_reply_options how;
    choir_reply_options_init(&how);
    choir_metadata_entry entry = more; /* gone when this returns */
    how.metadata = &entry;
    how.metadata_len = 1;
    cr_assert_eq(choir_reply(side->session, e->request, e->value, &how, side->pair->now), CHOIR_OK);
    memset(&entry, 0xaa, sizeof entry);
}

Test(layers, metadata_waits_with_its_answer) {
    test_pair *p = open_pair(true);
    p->server.on_event = reply_with_metadata;
    p->client.on_event = read_code;
    code = 0;
    the_layer.seal_verdict = CHOIR_VERDICT_PEND;
    call_echo(p, NULL);
    cr_assert_eq(code, 0);
    cr_assert_eq(choir_request_seal(p->server.session, the_layer.last, CHOIR_VERDICT_RUN, p->now), CHOIR_OK);
    test_pair_pump(p);
    cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_OK);
    cr_assert_eq(code, 7);
    close_pair();
}

/* ---- memory ---- */

static void hang_and_drop(test_side *side, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    if (choir_request_set_slot(side->session, e->request, &key_a, &values[3], destroy) != CHOIR_OK ||
        choir_reply(side->session, e->request, e->value, NULL, side->pair->now) == CHOIR_ERR_NO_MEMORY)
        cr_assert_eq(choir_request_drop(side->session, e->request, NULL, side->pair->now), CHOIR_OK);
}

/* Each allocation fails once; nothing leaks, and every call ends. */
Test(layers, failing_allocations) {
    for (uint64_t n = 1;; n++) {
        static choir_hooks hooks;
        test_pair *p = init_pair();
        hooks = (choir_hooks){sizeof hooks, &the_layer, decide, seal, ended};
        p->server_root.hooks = &hooks;
        p->server.on_event = hang_and_drop;
        p->alloc.fail_at = n;
        bool opened = test_pair_open(p);
        the_layer.verdict = the_layer.seal_verdict = CHOIR_VERDICT_PEND;
        if (opened && test_side_call(&p->client, TRIAL_ECHO, &hello, NULL, NULL) == CHOIR_OK) {
            test_pair_pump(p);
            if (the_layer.decided > 0)
                (void)choir_request_decide(p->server.session, the_layer.last, CHOIR_VERDICT_RUN, NULL,
                                           p->now);
            test_pair_pump(p);
            if (the_layer.sealed > 0)
                (void)choir_request_seal(p->server.session, the_layer.last, CHOIR_VERDICT_RUN, p->now);
            test_pair_pump(p);
        }
        bool failed = p->alloc.failed > 0;
        cr_assert_eq(test_pair_deinit(p), 0, "after failing allocation %llu", (unsigned long long)n);
        if (!failed) break;
    }
}

static void finish_it(void *ctx, choir_session *s, choir_request_id request, uint32_t outcome) {
    layer *l = ctx;
    (void)outcome;
    l->ended++;
    int status = choir_request_seal(s, request, CHOIR_VERDICT_REFUSE, l->pair->now);
    cr_assert(status == CHOIR_ERR_CANCELLED || status == CHOIR_ERR_NOT_FOUND, "%d", status);
}

/* Its connection has ended while the sealing pends: a table that hears of the end completes it at once. */
Test(layers, the_end_of_a_request_may_complete_its_sealing) {
    static choir_hooks hooks;
    test_pair *p = init_pair();
    hooks = (choir_hooks){sizeof hooks, &the_layer, decide, seal, finish_it};
    p->server_root.hooks = &hooks;
    p->server.on_event = echo;
    cr_assert(test_pair_open(p));
    the_layer.seal_verdict = CHOIR_VERDICT_PEND;
    call_echo(p, NULL);
    cr_assert_eq(the_layer.sealed, 1);
    choir_session_close(p->client.session, p->now);
    test_pair_pump(p);
    choir_session_close(p->server.session, p->now);
    test_pair_pump(p);
    choir_attachment_closed(p->server.attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("gone"), p->now);
    test_pair_pump(p);
    cr_assert_eq(the_layer.ended, 1);
    close_pair();
}
