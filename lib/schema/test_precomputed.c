/* SPDX-License-Identifier: MIT */
/* Announcements that come with a unit: that they are used as they are, that they are equal to computed ones,
 * and that bad ones are found before a peer sees them. And units of other versions, wherever they come in. */
#include "schema/plan.h"
#include "schema/precomputed.h"
#include "schema/test_schema.h"
#include "schema_vectors.h"
#include "value/test_types.h"
#include "value/value.h"

#define MAX_METHODS 64
#define MAX_PARTS   2048

/* A service whose announcements were computed ahead, from one that has none. */
typedef struct ahead {
    choir_unit unit;
    choir_method methods[MAX_METHODS];
    choir_service service;
    choir_schema schemas[MAX_PARTS];
    choir_announcement announcements[2 * MAX_METHODS];
    uint32_t parts[MAX_PARTS];
    uint8_t bytes[65536];
} ahead;

static uint32_t ahead_bytes(ahead *a, choir_bytes b) {
    uint32_t at = a->unit.schema_bytes_len;
    cr_assert_leq(at + b.len, sizeof a->bytes);
    memcpy(a->bytes + at, b.data, b.len);
    a->unit.schema_bytes_len += (uint32_t)b.len;
    return at;
}

static uint32_t ahead_schema(ahead *a, const choiri_schema_part *part) {
    for (uint32_t i = 0; i < a->unit.schemas_len; i++) {
        const choir_schema *s = &a->schemas[i];
        if (s->id == part->id && choiri_wire_equal((choir_bytes){a->bytes + s->at, s->len}, part->cbor))
            return i;
    }
    cr_assert_lt(a->unit.schemas_len, MAX_PARTS);
    a->schemas[a->unit.schemas_len] =
        (choir_schema){part->id, ahead_bytes(a, part->cbor), (uint32_t)part->cbor.len};
    return a->unit.schemas_len++;
}

static uint32_t ahead_announcement(ahead *a, const choiri_schema_set *made) {
    choir_announcement *to = &a->announcements[a->unit.announcements_len];
    *to = (choir_announcement){a->unit.parts_len, made->parts_len, ahead_bytes(a, made->root),
                               (uint32_t)made->root.len};
    for (uint32_t i = 0; i < made->parts_len; i++) {
        cr_assert_lt(a->unit.parts_len, MAX_PARTS);
        a->parts[a->unit.parts_len++] = ahead_schema(a, &made->parts[i]);
    }
    return ++a->unit.announcements_len;
}

static ahead *ahead_new(const choiri_prepared *made) {
    ahead *a = calloc(1, sizeof *a);
    cr_assert(a && made->methods_len <= MAX_METHODS);
    a->unit = *made->desc->unit;
    a->unit.schemas = a->schemas;
    a->unit.announcements = a->announcements;
    a->unit.parts = a->parts;
    a->unit.schema_bytes = a->bytes;
    for (uint32_t i = 0; i < made->methods_len; i++) {
        a->methods[i] = *made->methods[i].desc;
        a->methods[i].args_announcement = ahead_announcement(a, &made->methods[i].args);
        a->methods[i].response_announcement = ahead_announcement(a, &made->methods[i].response);
    }
    a->service = *made->desc;
    a->service.unit = &a->unit;
    a->service.methods = a->methods;
    return a;
}

/* Testbed with its announcements, and without. */
typedef struct pair {
    schema_env s;
    choiri_text text;
    const choiri_prepared *computed;
    ahead *a;
} pair;

static void pair_open(pair *p) {
    schema_env_open(&p->s);
    cr_assert_eq(choiri_prepare(p->s.env, &testbed, &p->computed, &p->text), CHOIR_OK, "%s", p->text.data);
    p->a = ahead_new(p->computed);
}

static void pair_close(pair *p) {
    free(p->a);
    schema_env_close(&p->s);
}

static bool is_inside(const ahead *a, choir_bytes b) {
    return b.data >= a->bytes && b.data + b.len <= a->bytes + sizeof a->bytes;
}

static void same_announcement(const ahead *a, const choiri_schema_set *got, const choiri_schema_set *expected,
                              const char *what) {
    cr_assert_eq(got->parts_len, expected->parts_len, "%s", what);
    for (uint32_t i = 0; i < got->parts_len; i++) {
        cr_assert_eq(got->parts[i].id, expected->parts[i].id);
        test_bytes_eq(got->parts[i].cbor, expected->parts[i].cbor, what);
        cr_assert(is_inside(a, got->parts[i].cbor), "%s: a copy", what);
    }
    test_bytes_eq(got->root, expected->root, what);
    cr_assert(is_inside(a, got->root), "%s: a copy", what);
}

Test(precomputed, equal_to_computed_and_not_copied) {
    pair p;
    const choiri_prepared *made;
    pair_open(&p);
    uint64_t before = choir_env_memory(p.s.env);
    cr_assert_eq(choiri_prepare(p.s.env, &p.a->service, &made, &p.text), CHOIR_OK, "%s", p.text.data);
    printf("the prepared Testbed: computed %llu bytes, precomputed %llu\n", (unsigned long long)before,
           (unsigned long long)(choir_env_memory(p.s.env) - before));
    cr_assert_lt(choir_env_memory(p.s.env) - before, before);
    cr_assert_eq(made->methods_len, testbed.methods_len);
    for (uint32_t i = 0; i < made->methods_len; i++) {
        same_announcement(p.a, &made->methods[i].args, &p.computed->methods[i].args, "arguments");
        same_announcement(p.a, &made->methods[i].response, &p.computed->methods[i].response, "response");
        cr_assert_eq(made->methods[i].has_channels, p.computed->methods[i].has_channels);
    }
    cr_assert_eq(choiri_prepared_verify(p.s.env, made, &p.text), CHOIR_OK, "%s", p.text.data);
    cr_assert_eq(choiri_prepared_verify(p.s.env, p.computed, &p.text), CHOIR_OK, "%s", p.text.data);
    pair_close(&p);
}

/* Nothing is extracted for a method that names its announcements, and only that is: here echo announces what
 * reverse does, which is the same, but echo_bytes what echo does, which the proof tells by name. */
Test(precomputed, taken_as_it_is) {
    pair p;
    uint32_t echo, echo_bytes;
    const choiri_prepared *made;
    pair_open(&p);
    cr_assert_eq(choir_service_find(&testbed, CHOIR_STR("echo"), &echo), CHOIR_OK);
    cr_assert_eq(choir_service_find(&testbed, CHOIR_STR("echo_bytes"), &echo_bytes), CHOIR_OK);
    for (uint32_t i = 0; i < p.a->service.methods_len; i++)
        p.a->methods[i].args_announcement = p.a->methods[i].response_announcement = 0;
    p.a->methods[echo_bytes].args_announcement = 2 * echo + 1;
    cr_assert_eq(choiri_prepare(p.s.env, &p.a->service, &made, &p.text), CHOIR_OK, "%s", p.text.data);
    same_announcement(p.a, &made->methods[echo_bytes].args, &p.computed->methods[echo].args, "arguments");
    cr_assert_not(is_inside(p.a, made->methods[echo].args.root));
    test_bytes_eq(made->methods[echo].args.root, p.computed->methods[echo].args.root, "computed");
    cr_assert_eq(choiri_prepared_verify(p.s.env, made, &p.text), CHOIR_ERR_INVALID);
    cr_assert_str_eq(p.text.data, "echo_bytes: its arguments are announced differently than their types say");
    pair_close(&p);

    pair_open(&p);
    p.a->methods[echo].response_announcement = 2 * echo_bytes + 2;
    cr_assert_eq(choiri_prepare(p.s.env, &p.a->service, &made, &p.text), CHOIR_OK, "%s", p.text.data);
    cr_assert_eq(choiri_prepared_verify(p.s.env, made, &p.text), CHOIR_ERR_INVALID);
    cr_assert_str_eq(p.text.data, "echo: its response is announced differently than its types say");
    pair_close(&p);
}

static void refused(pair *p, const char *why) {
    const choiri_prepared *made = NULL;
    cr_assert_eq(choiri_prepare(p->s.env, &p->a->service, &made, &p->text), CHOIR_ERR_INVALID, "%s", why);
    cr_assert(strstr(p->text.data, why), "\"%s\" does not say \"%s\"", p->text.data, why);
    cr_assert_null(made);
}

Test(precomputed, bad_ones) {
    pair p;
    pair_open(&p);
    ahead *a = p.a;
    uint32_t kept = a->methods[0].args_announcement;
    a->methods[0].args_announcement = a->unit.announcements_len + 1;
    refused(&p, "method \"echo\": what it announces is not in the unit");
    a->methods[0].args_announcement = kept;
    kept = a->methods[3].response_announcement;
    a->methods[3].response_announcement = UINT32_MAX;
    refused(&p, "method \"lookup\": what it announces is not in the unit");
    a->methods[3].response_announcement = kept;
    a->schemas[0].id++;
    refused(&p, "method \"echo\": announcement 0: one of its schemas is none, or has another id");
    a->schemas[0].id--;
    a->schemas[0].len++; /* the first byte of the next */
    refused(&p, "announcement 0: one of its schemas");
    a->schemas[0].len -= 2;
    refused(&p, "announcement 0: one of its schemas");
    a->schemas[0].len++;
    a->announcements[0].root_len--;
    refused(&p, "method \"echo\": announcement 0: its root");
    a->announcements[0].root_len++;
    a->bytes[a->announcements[0].root] = 0;
    refused(&p, "announcement 0: its root");
    a->bytes[a->announcements[0].root] = 0xa3;
    a->announcements[0].first++;
    a->announcements[0].count--;
    refused(&p, "announcement 0: a type that it refers to is not in it");
    a->announcements[0].first--;
    a->announcements[0].count++;
    const choiri_prepared *made;
    cr_assert_eq(choiri_prepare(p.s.env, &a->service, &made, &p.text), CHOIR_OK, "%s", p.text.data);
    pair_close(&p);
}

/* One byte after the other is changed: the unit is refused, or what it announces can be read (with
 * sanitizers, and with the assertions of who reads it, this is the test that nothing bad gets through), and
 * the proof sees every difference. */
Test(precomputed, damaged) {
    pair p;
    size_t refusals = 0, different = 0;
    pair_open(&p);
    for (uint32_t at = 0; at < p.a->unit.schema_bytes_len; at += 7) {
        schema_env s;
        const choiri_prepared *made = NULL;
        schema_env_open(&s);
        p.a->bytes[at] ^= (uint8_t)(1u << at % 8);
        int status = choiri_prepare(s.env, &p.a->service, &made, &p.text);
        if (status == CHOIR_OK) {
            cr_assert_eq(choiri_prepared_verify(s.env, made, &p.text), CHOIR_ERR_INVALID, "byte %u", at);
            for (uint32_t i = 0; i < made->methods_len; i++) {
                choiri_recv_tracker t;
                choir_bytes root;
                choiri_recv_tracker_init(&t, s.env, test_seed, NULL);
                test_bytes b = test_first_payload(s.env, &made->methods[i].response);
                if (choiri_recv_tracker_add(&t, test_span(b), &root, &p.text) == CHOIR_OK)
                    (void)choiri_plan_check_same(s.env, &t, root, &p.computed->methods[i].response, &p.text);
                free(b.data);
                choiri_recv_tracker_deinit(&t);
            }
            different++;
        } else {
            cr_assert_eq(status, CHOIR_ERR_INVALID);
            refusals++;
        }
        p.a->bytes[at] ^= (uint8_t)(1u << at % 8);
        schema_env_close(&s);
    }
    printf("damaged announcements: %zu refused, %zu only different\n", refusals, different);
    cr_assert_gt(refusals, 100);
    cr_assert_gt(different, 100);
    pair_close(&p);
}

Test(precomputed, failing_allocations) {
    pair p;
    uint64_t n = 0, failed;
    pair_open(&p);
    do {
        schema_env s;
        const choiri_prepared *made = NULL;
        schema_env_open(&s);
        s.alloc.fail_at = s.alloc.calls + ++n;
        s.alloc.fail_after = true;
        int status = choiri_prepare(s.env, &p.a->service, &made, &p.text);
        failed = s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        s.alloc.fail_at = 0;
        cr_assert_eq(choiri_prepare(s.env, &p.a->service, &made, &p.text), CHOIR_OK);
        s.alloc.failed = 0;
        s.alloc.fail_at = s.alloc.calls + n;
        status = choiri_prepared_verify(s.env, made, &p.text);
        cr_assert_eq(status, s.alloc.failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        failed += s.alloc.failed;
        schema_env_close(&s);
    } while (failed > 0);
    cr_assert_gt(n, 3);
    pair_close(&p);
}

/* --- channels --- */

Test(precomputed, channels_are_in_arguments) {
    static const char *const with[] = {
        "sum",       "generate",  "generate_retry_non_idem", "generate_retry_idem",
        "transform", "sum_large", "generate_large"};
    pair p;
    size_t found = 0;
    pair_open(&p);
    for (uint32_t i = 0; i < p.computed->methods_len; i++) found += p.computed->methods[i].has_channels;
    cr_assert_eq(found, sizeof with / sizeof with[0]);
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++) {
        uint32_t index;
        cr_assert_eq(choir_service_find(&testbed, (choir_str){with[i], strlen(with[i])}, &index), CHOIR_OK);
        cr_assert(p.computed->methods[index].has_channels, "%s", with[i]);
    }
    pair_close(&p);
}

Test(precomputed, no_channels_in_answers) {
    static const char *const types[] = {"Tx<u8>", "Vec<(u8, Option<Rx<u8>>)>", "Deep"};
    for (size_t i = 0; i < 2 * sizeof types / sizeof types[0]; i++) {
        schema_env s;
        choiri_text text;
        const choiri_prepared *made;
        schema_env_open(&s);
        test_types *ts = test_types_new();
        test_types_declare(ts, "struct Deep { more: Vec<Deep>, x: HashMap<String, Rx<u32>> }");
        uint32_t type = test_types_find(ts, types[i / 2]), unit = test_types_find(ts, "()");
        choir_method m = {.name = test_types_string(ts, "one"), .args = unit};
        m.ok = i % 2 ? unit : type;
        m.err = i % 2 ? type : unit;
        m.id = choiri_method_id(CHOIR_STR("S"), CHOIR_STR("one"));
        const choir_service service = {&ts->unit, test_types_string(ts, "S"), 1, &m};
        cr_assert_eq(choiri_prepare(s.env, &service, &made, &text), CHOIR_ERR_INVALID);
        cr_assert_str_eq(text.data, "method \"one\": an end of a channel in its answer, where none can be");
        free(ts);
        schema_env_close(&s);
    }
}

/* --- versions --- */

/* A unit of another version, and one whose records are too small, wherever one can come in. */
Test(precomputed, other_versions) {
    for (int i = 0; i < 2; i++) {
        schema_env s;
        choiri_text text;
        choir_unit unit = testbed_unit;
        choir_service service = testbed;
        choir_arena *arena;
        const choiri_prepared *made;
        uint32_t index, value = 0;
        choir_str json, error = {NULL, 0};
        const char *why = i ? "the unit's records have not the sizes of descriptor version 1"
                            : "the unit was made for descriptor version 2, this library reads version 1";
        schema_env_open(&s);
        service.unit = &unit;
        if (i == 0) unit.abi = 2;
        if (i == 1) unit.type_stride -= 4;
        cr_assert_eq(choir_arena_new(s.env, 4096, &arena), CHOIR_OK);
        cr_assert_eq(choiri_prepare(s.env, &service, &made, &text), CHOIR_ERR_ABI);
        cr_assert_str_eq(text.data, why);
        cr_assert_eq(choir_service_find(&service, CHOIR_STR("echo"), &index), CHOIR_ERR_ABI);
        cr_assert_eq(choir_service_name(&service).len, 0);
        cr_assert_eq(choir_method_name(&service, 0).len, 0);
        cr_assert_eq(choir_value_to_json(&unit, 0, &value, arena, &json), CHOIR_ERR_ABI);
        cr_assert_eq(choir_value_from_json(&unit, 0, CHOIR_STR("1"), arena, &value, &error), CHOIR_ERR_ABI);
        cr_assert_eq(error.len, strlen(why));
        cr_assert_arr_eq(error.data, why, error.len);
        choir_arena_free(arena);
        schema_env_close(&s);
    }
}
