/* SPDX-License-Identifier: MIT */
/* Trackers: what is announced when, against recorded sessions, and what a peer can send us. */
#include "schema/plan.h"
#include "schema/test_schema.h"
#include "schema_vectors.h"
#include "value/unit.h"

static const choiri_prepared *prepare(choir_env *env, const choir_service *desc) {
    const choiri_prepared *service;
    choiri_text text;
    int status = choiri_prepare(env, desc, &service, &text);
    cr_assert_eq(status, CHOIR_OK, "%s", text.data);
    return service;
}

static const choiri_prepared_method *method(const choiri_prepared *s, const char *name) {
    uint32_t index;
    cr_assert_eq(choir_service_find(s->desc, (choir_str){name, strlen(name)}, &index), CHOIR_OK);
    return &s->methods[index];
}

/* Announces, as a connection would: reserve, write, commit. */
static test_bytes announce(choir_env *env, choiri_send_tracker *t, const choiri_schema_set *a) {
    cr_assert_eq(choiri_send_tracker_reserve(t, a), CHOIR_OK);
    test_bytes b = test_payload(env, t, a);
    choiri_send_tracker_commit(t, a);
    return b;
}

/* --- sending --- */

static bool is_plain_testbed(const char *session) {
    return strcmp(session, "evolved") != 0 && strcmp(session, "evolved_client") != 0;
}

/* Replays the sessions between Rust peers: one tracker for each side of each connection must announce what
 * Rust did, byte for byte, whatever was announced before. Sessions in which Rust announces a wrong root are
 * left to the tests of matching. */
Test(tracker, recorded_sessions) {
    static const char *const wrong[] = {"unknown_method", "invalid_payload", "operation_conflict_first",
                                        "default_acceptor", "cancel_raw"};
    schema_env s;
    schema_env_open(&s);
    const choiri_prepared *service = prepare(s.env, &testbed);
    choiri_send_tracker sides[2];
    const schema_vector_announcement *last = NULL;
    size_t equal = 0;
    for (int i = 0; i < 2; i++) choiri_send_tracker_init(&sides[i], s.env, test_seed);
    for (size_t i = 0; i < announcements_count; i++) {
        const schema_vector_announcement *v = &announcements[i];
        bool skip = strcmp(v->peer, "rust") != 0 || !is_plain_testbed(v->session);
        for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) skip |= strcmp(v->session, wrong[k]) == 0;
        uint32_t index = choiri_prepared_lookup(service, v->method);
        if (skip || index == UINT32_MAX) continue;
        if (!last || last->connection != v->connection || strcmp(last->session, v->session) != 0) {
            for (int k = 0; k < 2; k++) {
                choiri_send_tracker_deinit(&sides[k]);
                choiri_send_tracker_init(&sides[k], s.env, test_seed);
            }
        }
        last = v;
        const choiri_prepared_method *m = &service->methods[index];
        test_bytes b = announce(s.env, &sides[v->from_server], v->direction == 0 ? &m->args : &m->response);
        if (strcmp(v->session, "panic") == 0 && v->direction == 1) {
            cr_assert_eq(b.len, v->payload.len); /* rebuilt from Rust's schema store: in another order */
        } else {
            test_bytes_eq(test_span(b), v->payload, v->session);
            equal++;
        }
        free(b.data);
    }
    for (int i = 0; i < 2; i++) choiri_send_tracker_deinit(&sides[i]);
    printf("recorded announcements written byte for byte: %zu\n", equal);
    cr_assert_gt(equal, 60);
    schema_env_close(&s);
}

Test(tracker, each_schema_once) {
    schema_env s;
    schema_env_open(&s);
    const choiri_prepared *service = prepare(s.env, &testbed);
    const choiri_prepared_method *echo = method(service, "echo"), *reverse = method(service, "reverse");
    choiri_send_tracker t;
    choiri_send_tracker_init(&t, s.env, test_seed);
    test_bytes first = announce(s.env, &t, &echo->args), again = announce(s.env, &t, &reverse->args);
    /* The second binding has its root and nothing else: map(2) "schemas" array(0) "root" root. */
    static const uint8_t empty[] = {0xa2, 0x67, 's',  'c', 'h', 'e', 'm', 'a',
                                    's',  0x80, 0x64, 'r', 'o', 'o', 't'};
    cr_assert_eq(again.len, sizeof empty + reverse->args.root.len);
    cr_assert_arr_eq(again.data, empty, sizeof empty);
    cr_assert_gt(first.len, again.len);
    /* `string` went out with the call, so the answer of the same side leaves it out. */
    test_bytes full = test_first_payload(s.env, &echo->response), rest = announce(s.env, &t, &echo->response);
    cr_assert_eq(full.len - rest.len, echo->args.parts[0].cbor.len);
    free(first.data);
    free(again.data);
    free(full.data);
    free(rest.data);
    choiri_send_tracker_deinit(&t);
    schema_env_close(&s);
}

Test(tracker, only_committed_counts) {
    schema_env s;
    schema_env_open(&s);
    const choiri_schema_set *a = &method(prepare(s.env, &testbed), "echo_gnarly")->args;
    choiri_send_tracker t;
    choiri_send_tracker_init(&t, s.env, test_seed);
    test_bytes first = test_payload(s.env, &t, a), second = test_payload(s.env, &t, a);
    test_bytes_eq(test_span(second), test_span(first), "written twice");
    free(second.data);
    cr_assert_eq(choiri_send_tracker_reserve(&t, a), CHOIR_OK);
    cr_assert_eq(choiri_send_tracker_reserve(&t, a), CHOIR_OK);
    second = test_payload(s.env, &t, a); /* the message before was rolled back */
    test_bytes_eq(test_span(second), test_span(first), "written after a rollback");
    free(second.data);
    choiri_send_tracker_commit(&t, a);
    choiri_send_tracker_commit(&t, a);
    second = test_payload(s.env, &t, a);
    cr_assert_lt(second.len, first.len);
    free(first.data);
    free(second.data);
    choiri_send_tracker_deinit(&t);
    schema_env_close(&s);
}

/* The length in front covers the array's head, whose size depends on the count; test_payload checks it. */
Test(tracker, counts_of_all_sizes) {
    static const size_t counts[] = {0, 1, 23, 24, 255, 256, 300};
    static const uint8_t item[] = {0xa0};
    choiri_schema_part parts[300];
    schema_env s;
    schema_env_open(&s);
    for (size_t i = 0; i < 300; i++) parts[i] = (choiri_schema_part){i + 1, {item, 1}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const choiri_schema_set a = {parts, (uint32_t)counts[i], {item, 1}};
        test_bytes b = test_first_payload(s.env, &a);
        choiri_reader r = choiri_reader_of((choir_bytes){b.data + 9, b.len - 9});
        size_t count;
        cr_assert(choiri_cbor_read_array(&r, &count));
        cr_assert_eq(count, counts[i]);
        cr_assert_eq(choiri_reader_left(&r), count + 5 + 1);
        free(b.data);
    }
    schema_env_close(&s);
}

/* After a reservation that succeeded, committing needs no memory; after one that failed, nothing has
 * changed. */
Test(tracker, send_without_memory) {
    uint64_t n = 0, failed;
    do {
        schema_env s;
        schema_env_open(&s);
        const choiri_schema_set *a = &method(prepare(s.env, &testbed), "echo_gnarly")->args;
        choiri_send_tracker t;
        choiri_send_tracker_init(&t, s.env, test_seed);
        test_bytes first = test_payload(s.env, &t, a);
        s.alloc.fail_at = s.alloc.calls + ++n;
        int status = choiri_send_tracker_reserve(&t, a);
        failed = s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        s.alloc.fail_at = 0;
        test_bytes second = test_payload(s.env, &t, a);
        test_bytes_eq(test_span(second), test_span(first), "after a failure");
        free(second.data);
        if (status != CHOIR_OK) cr_assert_eq(choiri_send_tracker_reserve(&t, a), CHOIR_OK);
        s.alloc.fail_at = s.alloc.calls + 1;
        s.alloc.fail_after = true;
        choiri_send_tracker_commit(&t, a);
        s.alloc.fail_at = 0;
        second = test_payload(s.env, &t, a);
        cr_assert_lt(second.len, first.len);
        free(first.data);
        free(second.data);
        choiri_send_tracker_deinit(&t);
        schema_env_close(&s);
    } while (failed > 0);
    cr_assert_gt(n, CHOIRI_POOLS ? 0 : 1); /* pools may have enough already */
}

/* --- receiving --- */

typedef struct receiver {
    schema_env s;
    choiri_recv_tracker t;
    choiri_text text;
    choir_bytes root;
} receiver;

static void receiver_open(receiver *r) {
    schema_env_open(&r->s);
    choiri_recv_tracker_init(&r->t, r->s.env, test_seed, NULL);
}

static void receiver_close(receiver *r) {
    choiri_recv_tracker_deinit(&r->t);
    schema_env_close(&r->s);
}

/* Adds; on failure the tracker and the output are checked to be as before, on success there is no text. */
static int add(receiver *r, choir_bytes cbor) {
    uint32_t count = r->t.schemas.count;
    size_t bytes = r->t.bytes;
    choir_bytes root = r->root;
    int status = choiri_recv_tracker_add(&r->t, cbor, &r->root, &r->text);
    if (status == CHOIR_OK) {
        cr_assert_eq(r->text.len, 0);
        cr_assert(r->root.data > cbor.data && r->root.data + r->root.len <= cbor.data + cbor.len);
        return status;
    }
    cr_assert(status == CHOIR_ERR_NO_MEMORY || r->text.len > 0);
    cr_assert_eq(r->t.schemas.count, count);
    cr_assert_eq(r->t.bytes, bytes);
    cr_assert_eq(r->root.data, root.data);
    return status;
}

static int add_text(receiver *r, const char *text) {
    test_bytes c = test_cbor(text);
    int status = add(r, test_span(c));
    free(c.data);
    r->root = (choir_bytes){NULL, 0};
    return status;
}

#define ROOT "root: {tag: concrete, type_id: 1, args: []}"
#define REF  "{tag: concrete, type_id: 1, args: []}"

Test(tracker, forms_that_are_allowed) {
    static const char *const good[] = {
        "{schemas: [], " ROOT "}",
        "{" ROOT ", schemas: []}",                                                   /* another order */
        "{more: {a: [1, 2]}, schemas: [], root: {tag: concrete, type_id: 1}, x: !}", /* unknown keys */
        "{schemas: [], root: {tag: concrete, type_id: 1, args: [{tag: var, name: T}, " REF "]}}",
        "{schemas: [{kind: {tag: primitive, primitive_type: u8}, id: 1}], " ROOT "}", /* no type_params */
        "{schemas: [{id: 1, id: 2, type_params: [], kind: {tag: primitive, primitive_type: u8}}], " ROOT "}",
        "{schemas: [{id: 1, type_params: [A, B], kind: {tag: struct, fields: [], name: S}}], " ROOT "}",
        "{schemas: [{id: 1, kind: {tag: struct, name: S, fields: [{required: true, type_ref: " REF
        ", name: a}]}}], " ROOT "}",
        "{schemas: [{id: 1, kind: {tag: enum, name: E, variants: ["
        "{name: A, index: 0, payload: unit}, {name: B, index: 1, payload: {tag: newtype, type_ref: " REF "}},"
        "{name: C, index: 2, payload: {tag: tuple, types: [" REF ", " REF "]}},"
        "{name: D, index: 3, payload: {tag: struct, fields: []}}, {name: E, index: 4, payload: {tag: unit}}]}}], " ROOT
        "}",
        "{schemas: [{id: 1, kind: {tag: tuple, elements: [" REF "]}}, {id: 2, kind: {tag: list, element: " REF
        "}},"
        "{id: 3, kind: {tag: option, element: " REF "}}, {id: 4, kind: {tag: map, key: " REF ", value: " REF
        "}},"
        "{id: 5, kind: {tag: array, element: " REF ", length: 3}},"
        "{id: 6, kind: {tag: channel, direction: rx, element: " REF "}}], " ROOT "}",
        "{schemas: [{id: 1, kind: {tag: primitive, primitive_type: payload}},"
        "{id: 2, kind: {tag: primitive, primitive_type: never}}], " ROOT "}",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        receiver r = {0};
        receiver_open(&r);
        int status = add_text(&r, good[i]);
        cr_assert_eq(status, CHOIR_OK, "%s: %s", good[i], r.text.data);
        receiver_close(&r);
    }
}

Test(tracker, forms_that_are_refused) {
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"[]", "not the CBOR"},
        {"{}", "a member is missing"},
        {"{schemas: []}", "a member is missing"},
        {"{" ROOT "}", "a member is missing"},
        {"{schemas: {}, " ROOT "}", "not the CBOR"},
        {"{schemas: !, " ROOT "}", "not the CBOR"},
        {"{schemas: [1], " ROOT "}", "not the CBOR"},
        {"{schemas: [], root: {type_id: 1, tag: concrete, args: []}}", "`tag` is not the first entry"},
        {"{schemas: [], root: {}}", "`tag` is missing"},
        {"{schemas: [], root: {tag: concrete}}", "a member is missing"},
        {"{schemas: [], root: concrete}", "a member is missing"},
        {"{schemas: [], root: unit}", "an unknown tag"},
        {"{schemas: [], root: {tag: var}}", "a member is missing"},
        {"{schemas: [], root: {tag: other, name: a}}", "an unknown tag"},
        {"{schemas: [], root: {tag: concrete, type_id: a}}", "not the CBOR"},
        {"{schemas: [{kind: {tag: tuple, elements: []}}], " ROOT "}", "a member is missing"},
        {"{schemas: [{id: 1}], " ROOT "}", "a member is missing"},
        {"{schemas: [{id: 1, type_params: [1], kind: {tag: tuple, elements: []}}], " ROOT "}",
         "not the CBOR"},
        {"{schemas: [{id: 1, kind: {elements: [], tag: tuple}}], " ROOT "}", "`tag` is not the first entry"},
        {"{schemas: [{id: 1, kind: {tag: tuple}}], " ROOT "}", "a member is missing"},
        {"{schemas: [{id: 1, kind: {tag: union, elements: []}}], " ROOT "}", "an unknown tag"},
        {"{schemas: [{id: 1, kind: {tag: struct, name: S}}], " ROOT "}", "a member is missing"},
        {"{schemas: [{id: 1, kind: {tag: struct, name: S, fields: [{name: a, type_ref: " REF "}]}}], " ROOT
         "}",
         "missing"},
        {"{schemas: [{id: 1, kind: {tag: struct, name: S, fields: [{name: a, required: true}]}}], " ROOT "}",
         "missing"},
        {"{schemas: [{id: 1, kind: {tag: enum, name: S, variants: [{name: a, index: 0}]}}], " ROOT "}",
         "missing"},
        {"{schemas: [{id: 1, kind: {tag: enum, name: S, variants: [{name: a, index: 0, payload: newtype}]}}], " ROOT
         "}",
         "missing"},
        {"{schemas: [{id: 1, kind: {tag: array, element: " REF "}}], " ROOT "}", "missing"},
        {"{schemas: [{id: 1, kind: {tag: map, element: " REF "}}], " ROOT "}", "missing"},
        {"{schemas: [{id: 1, kind: {tag: channel, direction: send, element: " REF "}}], " ROOT "}",
         "channel direction"},
        {"{schemas: [{id: 1, kind: {tag: primitive, primitive_type: u24}}], " ROOT "}", "unknown primitive"},
        /* counts that lie */
        {"{schemas: #4000000000[], " ROOT "}", "end too early"},
        {"#18446744073709551614{schemas: [], " ROOT "}", "end too early"},
        {"{schemas: #1[], " ROOT "}", "not the CBOR"},
        {"{schemas: [], root: {tag: concrete, type_id: 1, args: #9223372036854775808[]}}", "end too early"},
        {"{schemas: [{id: 1, kind: {tag: tuple, elements: #1000000[]}}], " ROOT "}", "end too early"},
        {"{schemas: [{id: 1, kind: {tag: struct, name: S, fields: #77777777777[]}}], " ROOT "}",
         "end too early"},
    };
    receiver r = {0};
    receiver_open(&r);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t calls = r.s.alloc.calls;
        cr_assert_eq(add_text(&r, bad[i].text), CHOIR_ERR_MALFORMED, "%s", bad[i].text);
        cr_assert(strstr(r.text.data, bad[i].why), "%s: %s", bad[i].text, r.text.data);
        cr_assert_eq(r.s.alloc.calls, calls, "%s: memory was asked for", bad[i].text);
    }
    receiver_close(&r);
}

Test(tracker, repeats) {
#define U8(id)  "{id: " id ", kind: {tag: primitive, primitive_type: u8}}"
#define U16(id) "{id: " id ", kind: {tag: primitive, primitive_type: u16}}"
    receiver r = {0};
    receiver_open(&r);
    cr_assert_eq(add_text(&r, "{schemas: [" U8("1") ", " U16("2") "], " ROOT "}"), CHOIR_OK);
    size_t bytes = r.t.bytes;
    cr_assert_eq(add_text(&r, "{schemas: [" U8("1") "], " ROOT "}"), CHOIR_OK);
    cr_assert_eq(add_text(&r, "{schemas: [" U8("1") ", " U8("1") ", " U16("2") "], " ROOT "}"), CHOIR_OK);
    cr_assert_eq(r.t.schemas.count, 2);
    cr_assert_eq(r.t.bytes, bytes);
    /* The same id with another body: known from before, or in the same payload; what came before it is not
     * kept. */
    cr_assert_eq(add_text(&r, "{schemas: [" U8("7") ", " U8("8") ", " U16("1") "], " ROOT "}"),
                 CHOIR_ERR_PROTOCOL);
    cr_assert_str_eq(r.text.data, "type 0x0000000000000001 was announced before with another body");
    cr_assert_null(choiri_recv_tracker_find(&r.t, 7).data);
    cr_assert_eq(add_text(&r, "{schemas: [" U8("7") ", " U16("7") "], " ROOT "}"), CHOIR_ERR_PROTOCOL);
    cr_assert_null(choiri_recv_tracker_find(&r.t, 7).data);
    cr_assert_eq(r.t.schemas.count, 2);
    cr_assert_eq(add_text(&r, "{schemas: [" U16("7") "], " ROOT "}"), CHOIR_OK);
    cr_assert_not_null(choiri_recv_tracker_find(&r.t, 7).data);
    receiver_close(&r);
}

/* --- limits --- */

/* Payload of `count` schemas with ids from `first`, each a struct whose name has `name` bytes. */
static test_cbor_text many(uint64_t first, uint64_t count, size_t name) {
    test_cbor_text c = {0};
    char *text = malloc(name + 1);
    memset(text, 'n', name);
    text[name] = '\0';
    test_put_head(&c, 5, 2);
    test_put_word(&c, "schemas");
    test_put_head(&c, 4, count);
    for (uint64_t i = 0; i < count; i++) {
        test_put_head(&c, 5, 2);
        test_put_word(&c, "id");
        test_put_head(&c, 0, first + i);
        test_put_word(&c, "kind");
        test_put_head(&c, 5, 3);
        test_put_word(&c, "tag");
        test_put_word(&c, "struct");
        test_put_word(&c, "name");
        test_put_word(&c, text);
        test_put_word(&c, "fields");
        test_put_head(&c, 4, 0);
    }
    test_put_word(&c, "root");
    test_put_item(&c, REF);
    free(text);
    return c;
}

static int add_many(receiver *r, uint64_t first, uint64_t count, size_t name) {
    test_cbor_text c = many(first, count, name);
    int status = add(r, (choir_bytes){c.data, c.len});
    free(c.data);
    r->root = (choir_bytes){NULL, 0};
    return status;
}

Test(tracker, limit_of_types) {
    receiver r = {0};
    receiver_open(&r);
    cr_assert_eq(add_many(&r, 100, CHOIRI_SCHEMA_MAX_TYPES + 1, 1), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(r.t.schemas.count, 0);
    cr_assert_eq(add_many(&r, 100, CHOIRI_SCHEMA_MAX_TYPES, 1), CHOIR_OK, "%s", r.text.data);
    cr_assert_eq(r.t.schemas.count, CHOIRI_SCHEMA_MAX_TYPES);
    cr_assert_eq(add_many(&r, 100, CHOIRI_SCHEMA_MAX_TYPES, 1), CHOIR_OK, "a repeat");
    cr_assert_eq(add_many(&r, 99, 1, 1), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(add_many(&r, 100, 0, 1), CHOIR_OK);
    receiver_close(&r);
}

Test(tracker, limit_of_bytes) {
    receiver r = {0};
    receiver_open(&r);
    cr_assert_eq(add_many(&r, 100, 1, 300), CHOIR_OK);
    size_t rest = CHOIRI_SCHEMA_MAX_BYTES - r.t.bytes, head = r.t.bytes - 300;
    cr_assert_eq(add_many(&r, 200, 1, rest - head + 1), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(add_many(&r, 200, 1, rest - head), CHOIR_OK, "%s", r.text.data);
    cr_assert_eq(r.t.bytes, CHOIRI_SCHEMA_MAX_BYTES);
    cr_assert_eq(add_many(&r, 300, 1, 1), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(add_many(&r, 100, 1, 300), CHOIR_OK, "a repeat");
    receiver_close(&r);
}

/* A payload is not looked at when it is far larger than what may be kept of it. */
Test(tracker, limit_of_payload) {
    receiver r = {0};
    receiver_open(&r);
    for (size_t extra = 0; extra < 2; extra++) {
        test_bytes head = test_cbor("{schemas: [], " ROOT "}");
        size_t len = CHOIRI_SCHEMA_MAX_BYTES + 65536 + extra; /* bytes behind the payload are ignored */
        uint8_t *data = calloc(1, len);
        memcpy(data, head.data, head.len);
        cr_assert_eq(add(&r, (choir_bytes){data, len}), extra == 0 ? CHOIR_OK : CHOIR_ERR_TOO_LARGE);
        free(data);
        free(head.data);
        r.root = (choir_bytes){NULL, 0};
    }
    receiver_close(&r);
}

Test(tracker, hundred_thousand_schemas) {
    receiver r = {0};
    receiver_open(&r);
    uint64_t before = r.s.alloc.peak;
    cr_assert_eq(add_many(&r, 1, 100000, 1), CHOIR_ERR_TOO_LARGE);
    cr_assert_lt(r.s.alloc.peak - before, 2u << 20);
    for (uint64_t i = 0; i < 25; i++) add_many(&r, 1 + 4000 * i, 4000, 1);
    cr_assert_eq(r.t.schemas.count, 4000);
    cr_assert_lt(r.s.alloc.peak - before, 3u << 20);
    printf("peak of 10^5 schemas: %llu bytes\n", (unsigned long long)(r.s.alloc.peak - before));
    receiver_close(&r);
}

static int add_nested(receiver *r, int depth) {
    test_cbor_text c = {0};
    test_put_head(&c, 5, 2);
    test_put_word(&c, "schemas");
    test_put_head(&c, 4, 0);
    test_put_word(&c, "root");
    for (int i = 1; i < depth; i++) {
        test_put_head(&c, 5, 3);
        test_put_word(&c, "tag");
        test_put_word(&c, "concrete");
        test_put_word(&c, "type_id");
        test_put_head(&c, 0, 1);
        test_put_word(&c, "args");
        test_put_head(&c, 4, 1);
    }
    test_put_item(&c, REF);
    int status = add(r, (choir_bytes){c.data, c.len});
    free(c.data);
    r->root = (choir_bytes){NULL, 0};
    return status;
}

Test(tracker, deep_references) {
    receiver r = {0};
    receiver_open(&r);
    cr_assert_eq(add_nested(&r, 64), CHOIR_OK, "%s", r.text.data);
    cr_assert_eq(add_nested(&r, 65), CHOIR_ERR_MALFORMED);
    cr_assert(strstr(r.text.data, "nested more than 64 deep"));
    cr_assert_eq(add_nested(&r, 10000), CHOIR_ERR_MALFORMED);
    /* Also where it would only be skipped. */
    test_cbor_text c = {0};
    test_put_head(&c, 5, 1);
    test_put_word(&c, "unknown");
    for (int i = 0; i < 100000; i++) test_put_head(&c, 4, 1);
    cr_assert_eq(add(&r, (choir_bytes){c.data, c.len}), CHOIR_ERR_MALFORMED);
    free(c.data);
    receiver_close(&r);
}

/* --- damage --- */

static const char *const damaged_methods[] = {"echo", "divide", "echo_gnarly", "echo_shape",
                                              "process_message"};

Test(tracker, truncated_everywhere) {
    receiver r = {0};
    receiver_open(&r);
    const choiri_prepared *service = prepare(r.s.env, &testbed);
    size_t cuts = 0;
    for (size_t m = 0; m < sizeof damaged_methods / sizeof damaged_methods[0]; m++) {
        test_bytes b = test_first_payload(r.s.env, &method(service, damaged_methods[m])->response);
        for (size_t len = 0; len < b.len; len++, cuts++) {
            uint8_t *copy = malloc(len + 1);
            memcpy(copy, b.data, len);
            uint8_t *exact = realloc(copy, len > 0 ? len : 1);
            cr_assert_eq(add(&r, (choir_bytes){exact, len}), CHOIR_ERR_MALFORMED, "%s cut at %zu",
                         damaged_methods[m], len);
            free(exact);
        }
        free(b.data);
    }
    cr_assert_eq(r.t.schemas.count, 0);
    printf("cuts: %zu\n", cuts);
    receiver_close(&r);
}

/* Every single bit of real payloads turned over: an error, or something that can be stored and compared. */
Test(tracker, bit_flips) {
    receiver r = {0};
    receiver_open(&r);
    const choiri_prepared *service = prepare(r.s.env, &testbed);
    size_t refused = 0, stored = 0, matched = 0;
    for (size_t m = 0; m < sizeof damaged_methods / sizeof damaged_methods[0]; m++) {
        const choiri_schema_set *a = &method(service, damaged_methods[m])->response;
        test_bytes b = test_first_payload(r.s.env, a);
        for (size_t bit = 0; bit < 8 * b.len; bit++) {
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int status = add(&r, test_span(b));
            cr_assert(status == CHOIR_OK || status == CHOIR_ERR_MALFORMED || status == CHOIR_ERR_PROTOCOL,
                      "%d", status);
            if (status == CHOIR_OK) {
                stored++;
                status = choiri_plan_check_same(r.s.env, &r.t, r.root, a, &r.text);
                cr_assert((status == CHOIR_OK) == (r.text.len == 0));
                matched += status == CHOIR_OK;
                choiri_recv_tracker_deinit(&r.t);
                choiri_recv_tracker_init(&r.t, r.s.env, test_seed, NULL);
            } else {
                refused++;
            }
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            r.root = (choir_bytes){NULL, 0};
        }
        free(b.data);
    }
    printf("bit flips: %zu refused, %zu stored, of those %zu match\n", refused, stored, matched);
    cr_assert_gt(refused, 0);
    cr_assert_gt(stored, matched);
    receiver_close(&r);
}

/* --- memory --- */

Test(tracker, receive_without_memory) {
    uint64_t n = 0, failed;
    do {
        receiver r = {0};
        receiver_open(&r);
        const choiri_schema_set *a = &method(prepare(r.s.env, &testbed), "echo_gnarly")->args;
        test_bytes b = test_first_payload(r.s.env, a);
        r.s.alloc.fail_at = r.s.alloc.calls + ++n;
        int status = add(&r, test_span(b));
        failed = r.s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        r.s.alloc.fail_at = 0;
        cr_assert_eq(add(&r, test_span(b)), CHOIR_OK);
        cr_assert_eq(r.t.schemas.count, a->parts_len);
        free(b.data);
        receiver_close(&r);
    } while (failed > 0);
    printf("failed allocations while receiving: %llu\n", (unsigned long long)n - 1);
    cr_assert_gt(n, 10);
}
