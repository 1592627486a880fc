/* SPDX-License-Identifier: MIT */
/* Extraction against what Rust announces, and its bounds. */
#include "choir/dynamic.h"
#include "schema/test_schema.h"
#include "schema_vectors.h"
#include "testing/announcement.h"
#include "value/test_types.h"
#include "value/unit.h"

/* --- types --- */

static void check_type(choir_env *env, const schema_vector_type *v) {
    choiri_text text;
    choiri_arena arena;
    choiri_schema_set a;
    int status = choiri_unit_check(v->root.unit, &text);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", v->name, text.data);
    choiri_arena_init(&arena, env, NULL, 0, (size_t)1 << 20);
    status = choiri_extract(&arena, NULL, &v->root, &a, &text);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", v->name, text.data);
    test_bytes payload = test_first_payload(env, &a);
    test_bytes_eq(test_span(payload), v->payload, v->name);
    free(payload.data);
    choiri_arena_reset(&arena);
}

/* Every type that Rust was seen to announce and that a descriptor can say, byte for byte. The others are
 * foreign: a path, and vox's own messages, of which the definition is not known. */
Test(extract, rust_types) {
    schema_env s;
    schema_env_open(&s);
    for (size_t i = 0; i < rust_types_count; i++) check_type(s.env, &rust_types[i]);
    printf("types as Rust announces them: %d of %d\n", rust_types_count,
           rust_types_count + rust_types_left_out);
    cr_assert_eq(rust_types_count, 131);
    cr_assert_eq(rust_types_left_out, 3);
    schema_env_close(&s);
}

/* Deeper combinations, computed by an independent implementation that reproduces every recorded type. */
Test(extract, composed_types) {
    schema_env s;
    schema_env_open(&s);
    for (size_t i = 0; i < composed_types_count; i++) check_type(s.env, &composed_types[i]);
    cr_assert_eq(composed_types_count, 245);
    cr_assert_eq(composed_types_left_out, 0);
    schema_env_close(&s);
}

Test(extract, announcement_new) {
    schema_env s;
    schema_env_open(&s);
    for (size_t i = 0; i < rust_types_count; i++) {
        const choiri_root *root = &rust_types[i].root;
        choiri_schema_set a;
        if (root->is_response) continue;
        cr_assert_eq(test_announcement_new(s.env, root->unit, root->type, &a), CHOIR_OK);
        test_bytes payload = test_first_payload(s.env, &a);
        test_bytes_eq(test_span(payload), rust_types[i].payload, rust_types[i].name);
        free(payload.data);
        test_announcement_free(s.env, &a);
    }
    choiri_schema_set a;
    cr_assert_eq(
        test_announcement_new(s.env, rust_types[0].root.unit, rust_types[0].root.unit->types_len, &a),
        CHOIR_ERR_INVALID);
    schema_env_close(&s);
}

/* --- bounds --- */

static int extract_status(choir_env *env, const choir_unit *u, uint32_t type, choiri_text *text) {
    choiri_arena arena;
    choiri_schema_set a = {.parts_len = 77};
    choiri_arena_init(&arena, env, NULL, 0, (size_t)1 << 20);
    cr_assert_eq(choiri_unit_check(u, text), CHOIR_OK, "%s", text->data);
    int status = choiri_extract(&arena, NULL, &(choiri_root){.unit = u, .type = type}, &a, text);
    if (status != CHOIR_OK) cr_assert_eq(a.parts_len, 77, "the output was touched");
    choiri_arena_reset(&arena);
    return status;
}

static uint32_t nested(test_types *ts, const char *open, const char *inner, const char *close, int depth) {
    char text[1024] = "";
    for (int i = 0; i < depth; i++) strcat(text, open);
    strcat(text, inner);
    for (int i = 0; i < depth; i++) strcat(text, close);
    return test_types_find(ts, text);
}

Test(extract, depth) {
    schema_env s;
    choiri_text text;
    schema_env_open(&s);
    test_types *ts = test_types_new();
    uint32_t fits = nested(ts, "Vec<", "u32", ">", 63), deeper = nested(ts, "Vec<", "u32", ">", 64);
    cr_assert_eq(extract_status(s.env, &ts->unit, fits, &text), CHOIR_OK, "%s", text.data);
    cr_assert_eq(extract_status(s.env, &ts->unit, deeper, &text), CHOIR_ERR_INVALID);
    cr_assert_str_eq(text.data, "a type is nested more than 64 deep");
    free(ts);
    schema_env_close(&s);
}

/* Types that contain themselves in ways Rust cannot say end at a bound. */
Test(extract, endless_types) {
    static const choir_type types[] = {
        {.kind = CHOIR_KIND_LIST, .size = sizeof(choir_list), .align = _Alignof(choir_list), .elem = 0},
        {.kind = CHOIR_KIND_BOX, .size = sizeof(void *), .align = _Alignof(void *), .elem = 1},
        {.kind = CHOIR_KIND_LIST, .size = sizeof(choir_list), .align = _Alignof(choir_list), .elem = 3},
        {.kind = CHOIR_KIND_SET, .size = sizeof(choir_list), .align = _Alignof(choir_list), .elem = 2},
        {.kind = CHOIR_KIND_MAP, .size = sizeof(choir_list), .align = _Alignof(choir_list), .elem = 5},
        {.kind = CHOIR_KIND_TUPLE,
         .size = 2 * sizeof(choir_list),
         .align = _Alignof(choir_list),
         .first = 0,
         .count = 2},
    };
    static const choir_field fields[] = {{0, 4, 0, 0}, {0, 4, sizeof(choir_list), 0}};
    const choir_unit u = {CHOIR_UNIT_HEADER, .types_len = 6,   .types = types, .fields_len = 2,
                          .fields = fields,  .strings_len = 1, .strings = ""};
    schema_env s;
    choiri_text text;
    schema_env_open(&s);
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert_eq(extract_status(s.env, &u, i, &text), CHOIR_ERR_INVALID, "type %u", i);
    }
    schema_env_close(&s);
}

/* A tuple's reference writes out its elements: each level doubles it. */
Test(extract, exponential_types) {
    enum { LEVELS = 60 };
    choir_type types[LEVELS];
    choir_field fields[2 * LEVELS];
    types[0] = (choir_type){.kind = CHOIR_KIND_UNIT, .align = 1};
    for (uint32_t i = 1; i < LEVELS; i++) {
        types[i] = (choir_type){.kind = CHOIR_KIND_TUPLE, .align = 1, .first = 2 * i, .count = 2};
    }
    for (uint32_t i = 0; i < 2 * LEVELS; i++) fields[i] = (choir_field){.type = i < 2 ? 0 : i / 2 - 1};
    const choir_unit u = {CHOIR_UNIT_HEADER, .types_len = LEVELS, .types = types, .fields_len = 2 * LEVELS,
                          .fields = fields,  .strings_len = 1,    .strings = ""};
    schema_env s;
    choiri_text text;
    schema_env_open(&s);
    cr_assert_eq(extract_status(s.env, &u, 9, &text), CHOIR_OK, "%s", text.data);
    cr_assert_eq(extract_status(s.env, &u, LEVELS - 1, &text), CHOIR_ERR_INVALID);
    cr_assert_str_eq(text.data, "a type is too large to be announced");
    cr_assert_lt(s.alloc.peak, 40u << 20);
    schema_env_close(&s);
}

/* A group is sorted by preliminary hash: which of two mutually recursive types is met first changes the ids,
 * but never by which record comes first in the unit. */
Test(extract, record_order_does_not_matter) {
    schema_env s;
    schema_env_open(&s);
    test_types *a = test_types_new(), *b = test_types_new();
    test_types_declare(a, "struct One { x: u8, two: Vec<Two> }");
    test_types_declare(a, "struct Two { one: Vec<One> }");
    test_types_declare(b, "struct Two { one: Vec<One> }");
    test_types_declare(b, "struct One { x: u8, two: Vec<Two> }");
    choiri_schema_set of_a, of_b;
    cr_assert_eq(test_announcement_new(s.env, &a->unit, test_types_find(a, "One"), &of_a), CHOIR_OK);
    cr_assert_eq(test_announcement_new(s.env, &b->unit, test_types_find(b, "One"), &of_b), CHOIR_OK);
    test_bytes bytes_a = test_first_payload(s.env, &of_a), bytes_b = test_first_payload(s.env, &of_b);
    test_bytes_eq(test_span(bytes_a), test_span(bytes_b), "One");
    free(bytes_a.data);
    free(bytes_b.data);
    test_announcement_free(s.env, &of_a);
    test_announcement_free(s.env, &of_b);
    free(a);
    free(b);
    schema_env_close(&s);
}

/* --- services --- */

typedef struct id_set {
    uint64_t ids[64];
    size_t len;
} id_set;

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void ids_of(choir_bytes payload, id_set *ret, choir_bytes *ret_root) {
    choiri_wire_reader w = choiri_wire_reader_of(payload);
    choiri_wire_object object, schema;
    cr_assert(choiri_wire_read_payload(&w, &object));
    *ret_root = object.members[1].span;
    ret->len = (size_t)object.members[0].number;
    w = choiri_wire_reader_of(object.members[0].span);
    for (size_t i = 0; i < ret->len; i++) {
        cr_assert(choiri_wire_read_schema(&w, &schema));
        ret->ids[i] = schema.members[0].number;
    }
    qsort(ret->ids, ret->len, sizeof ret->ids[0], by_value);
}

static size_t check_service(choir_env *env, const choir_service *desc, const schema_vector_method *rows,
                            size_t count) {
    const choiri_prepared *service;
    choiri_text text;
    size_t checked = 0;
    int status = choiri_prepare(env, desc, &service, &text);
    cr_assert_eq(status, CHOIR_OK, "%s", text.data);
    for (size_t i = 0; i < count; i++) {
        uint32_t index;
        cr_assert_eq(choir_service_find(desc, (choir_str){rows[i].name, strlen(rows[i].name)}, &index),
                     CHOIR_OK);
        const choiri_prepared_method *m = &service->methods[index];
        test_bytes payload = test_first_payload(env, rows[i].direction == 0 ? &m->args : &m->response);
        id_set ours, theirs;
        choir_bytes our_root, their_root;
        ids_of(test_span(payload), &ours, &our_root);
        ids_of(rows[i].payload, &theirs, &their_root);
        if (strcmp(rows[i].name, "echo_bytes") == 0 && rows[i].direction == 1) {
            /* The table is TypeScript's; Rust announces bytes<u8> here and so do we. */
            cr_assert_eq(ours.len, theirs.len + 1);
        } else {
            test_bytes_eq(our_root, their_root, rows[i].name);
            cr_assert_eq(ours.len, theirs.len);
            cr_assert_arr_eq(ours.ids, theirs.ids, ours.len * sizeof ours.ids[0], "%s", rows[i].name);
        }
        free(payload.data);
        checked++;
    }
    return checked;
}

Test(extract, testbed) {
    schema_env s;
    schema_env_open(&s);
    size_t checked = check_service(s.env, &testbed, testbed_schemas, testbed_schemas_count);
    size_t evolved =
        check_service(s.env, &testbed_evolved, testbed_evolved_schemas, testbed_evolved_schemas_count);
    printf("directions of Testbed methods: %zu of %d, evolved: %zu of %d\n", checked, testbed_schemas_count,
           evolved, testbed_evolved_schemas_count);
    cr_assert_eq(checked, 72);
    cr_assert_eq(evolved, 12);
    schema_env_close(&s);
}

Test(extract, services_are_prepared_once) {
    schema_env s;
    choiri_text text;
    const choiri_prepared *one, *two, *again;
    schema_env_open(&s);
    cr_assert_eq(choiri_prepare(s.env, &testbed, &one, &text), CHOIR_OK);
    uint64_t memory = choir_env_memory(s.env);
    printf("the prepared Testbed: %llu bytes\n", (unsigned long long)memory);
    cr_assert_lt(memory, 64u << 10);
    cr_assert_eq(choiri_prepare(s.env, &testbed_evolved, &two, &text), CHOIR_OK);
    cr_assert_eq(choiri_prepare(s.env, &testbed, &again, &text), CHOIR_OK);
    cr_assert_eq(one, again);
    cr_assert_neq(one, two);
    for (uint32_t i = 0; i < one->methods_len; i++) {
        cr_assert_eq(choiri_prepared_lookup(one, one->methods[i].id), i);
        cr_assert_eq(one->methods[i].desc, choiri_service_method(&testbed, i));
    }
    cr_assert_eq(choiri_prepared_lookup(one, 0), UINT32_MAX);
    cr_assert_eq(choiri_prepared_lookup(one, UINT64_MAX), UINT32_MAX);
    schema_env_close(&s);
}

/* Equal schemas of two methods are stored once, but an id alone does not make them equal: a type that holds a
 * recursive one keeps its id while that of the recursive type depends on where it was met. */
Test(extract, one_id_two_bodies) {
    schema_env s;
    choiri_text text;
    const choiri_prepared *made;
    schema_env_open(&s);
    test_types *ts = test_types_new();
    test_types_declare(ts, "struct Tree { v: u32, kids: Vec<Tree> }");
    test_types_declare(ts, "struct Holder { t: Tree }");
    choir_method methods[] = {{.args = test_types_find(ts, "(Holder,)")},
                              {.args = test_types_find(ts, "(Vec<Tree>, Holder)")}};
    static const char *const names[] = {"one", "two"};
    for (int i = 0; i < 2; i++) {
        methods[i].name = test_types_string(ts, names[i]);
        methods[i].ok = methods[i].err = test_types_find(ts, "()");
        methods[i].id = choiri_method_id(CHOIR_STR("S"), (choir_str){names[i], 3});
    }
    const choir_service service = {&ts->unit, test_types_string(ts, "S"), 2, methods};
    cr_assert_eq(choiri_prepare(s.env, &service, &made, &text), CHOIR_OK, "%s", text.data);
    const choiri_schema_set *one = &made->methods[0].args, *two = &made->methods[1].args;
    size_t shared = 0, split = 0;
    for (uint32_t i = 0; i < one->parts_len; i++) {
        for (uint32_t k = 0; k < two->parts_len; k++) {
            if (one->parts[i].id != two->parts[k].id) continue;
            bool same = one->parts[i].cbor.data == two->parts[k].cbor.data;
            cr_assert_eq(same, choiri_wire_equal(one->parts[i].cbor, two->parts[k].cbor));
            shared += same;
            split += !same;
        }
    }
    cr_assert_geq(shared, 1); /* u32 */
    cr_assert_eq(split, 1);   /* Holder */
    free(ts);
    schema_env_close(&s);
}

/* --- services that are wrong --- */

typedef struct broken {
    schema_env s;
    choir_unit unit;
    choir_method methods[2];
    choir_service service;
    choiri_text text;
} broken;

static const choir_type broken_types[] = {
    {.kind = CHOIR_KIND_UNIT, .align = 1},
    {.kind = CHOIR_KIND_NEVER, .align = 1},
    {.kind = CHOIR_KIND_U32, .size = 4, .align = 4},
    {.kind = CHOIR_KIND_TUPLE, .name = 1, .align = 1}, /* a tuple struct */
};
/*                                     0 1      6     11    16     21     28 */
static const char broken_strings[] = "\0Calc\0\0a_b\0\0a__b\0\0\303\251t\303\251\0";

static void broken_open(broken *b) {
    schema_env_open(&b->s);
    b->unit = (choir_unit){CHOIR_UNIT_HEADER, .types_len = 4, .types = broken_types,
                           .strings_len = sizeof broken_strings, .strings = broken_strings};
    uint64_t id = choiri_method_id(CHOIR_STR("Calc"), CHOIR_STR("a_b"));
    for (int i = 0; i < 2; i++) b->methods[i] = (choir_method){.name = 7, .ok = 2, .err = 1, .id = id};
    b->methods[1].name = 12;
    b->service = (choir_service){&b->unit, 1, 1, b->methods};
}

/* Asked twice: after the first time the pools have what they keep, and the second time nothing may be
 * added. */
static void broken_check(broken *b, int expected, const char *why) {
    const choiri_prepared *made = NULL;
    uint64_t memory = 0;
    for (int i = 0; i < 2; i++) {
        memory = choir_env_memory(b->s.env);
        int status = choiri_prepare(b->s.env, &b->service, &made, &b->text);
        cr_assert_eq(status, expected, "%d: %s", status, b->text.data);
        cr_assert(strstr(b->text.data, why), "\"%s\" does not say \"%s\"", b->text.data, why);
    }
    cr_assert_eq(choir_env_memory(b->s.env), memory);
    cr_assert_eq(made == NULL, expected != CHOIR_OK);
}

Test(extract, broken_services) {
    broken b;
    broken_open(&b);
    b.service.unit = NULL;
    broken_check(&b, CHOIR_ERR_INVALID, "without a unit");
    b.service.unit = &b.unit;
    b.unit.abi = 2;
    broken_check(&b, CHOIR_ERR_ABI, "descriptor version 2");
    b.unit.abi = CHOIR_TYPE_ABI;
    b.service.name = 0;
    broken_check(&b, CHOIR_ERR_INVALID, "a service's name");
    b.service.name = 1;
    b.service.methods_len = 4097;
    broken_check(&b, CHOIR_ERR_INVALID, "more than 4096");
    b.service.methods_len = 1;
    b.service.methods = NULL;
    broken_check(&b, CHOIR_ERR_INVALID, "lacks methods");
    b.service.methods = b.methods;
    b.methods[0].id++;
    broken_check(&b, CHOIR_ERR_INVALID, "method \"a_b\": the descriptor has the id 0x");
    b.methods[0].id--;
    b.methods[0].flags = 16;
    broken_check(&b, CHOIR_ERR_INVALID, "flags");
    b.methods[0].flags = CHOIR_METHOD_IDEM | CHOIR_METHOD_PERSIST;
    b.methods[0].err = 4;
    broken_check(&b, CHOIR_ERR_INVALID, "not in the unit");
    b.methods[0].err = 1;
    b.methods[0].args = 2;
    broken_check(&b, CHOIR_ERR_INVALID, "neither a tuple nor unit");
    b.methods[0].args = 3;
    broken_check(&b, CHOIR_ERR_INVALID, "neither a tuple nor unit");
    b.methods[0].args = 0;
    b.service.methods_len = 2; /* a_b and a__b have one id */
    broken_check(&b, CHOIR_ERR_INVALID, "method \"a__b\": its id is also that of a_b");
    b.service.methods_len = 0;
    broken_check(&b, CHOIR_OK, "");
    schema_env_close(&b.s);
}

/* --- memory --- */

Test(extract, failing_allocations) {
    choiri_text text;
    const choiri_prepared *made = NULL;
    uint64_t n = 0, failed;
    do {
        schema_env s;
        schema_env_open(&s);
        s.alloc.fail_at = s.alloc.calls + ++n;
        s.alloc.fail_after = true;
        int status = choiri_prepare(s.env, &testbed_evolved, &made, &text);
        failed = s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        if (failed > 0) {
            cr_assert_eq(choir_service_free(s.env, &testbed_evolved), CHOIR_ERR_NOT_FOUND,
                         "nothing is left of what could not be prepared");
            s.alloc.fail_at = 0;
            status = choiri_prepare(s.env, &testbed_evolved, &made, &text);
            cr_assert_eq(status, CHOIR_OK, "after failure %llu", (unsigned long long)n);
        }
        schema_env_close(&s);
    } while (failed > 0);
    printf("failed allocations while preparing: %llu\n", (unsigned long long)n - 1);
    cr_assert_gt(n, 3);
}

Test(extract, failing_allocations_of_an_announcement) {
    const choiri_root *root = &composed_types[1].root;
    uint64_t n = 1;
    for (;; n++) {
        schema_env s;
        choiri_schema_set a;
        schema_env_open(&s);
        s.alloc.fail_at = s.alloc.calls + n;
        int status = test_announcement_new(s.env, root->unit, root->type, &a);
        bool failed = s.alloc.failed > 0;
        cr_assert_eq(status, failed ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        if (status == CHOIR_OK) test_announcement_free(s.env, &a);
        schema_env_close(&s);
        if (!failed) break;
    }
    cr_assert_gt(n, 2);
}
