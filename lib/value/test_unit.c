/* SPDX-License-Identifier: MIT */
/* The check of units: what it refuses, that larger records are read, and that nothing it lets through can
 * hurt. */
#include "schema/test_schema.h"
#include "schema_vectors.h"
#include "testing/announcement.h"
#include "value/test_types.h"
#include "value/unit.h"
#include "value/value.h"

static test_types *sample(void) {
    test_types *ts = test_types_new();
    test_types_declare(ts, "struct Inner { a: u8, b: u64 = default }");
    test_types_declare(
        ts, "enum Kind { Nothing, One(Inner), Two(u8, u32), Named { x: Option<u16>, y: String } }");
    test_types_declare(
        ts,
        "struct Outer { k: Kind, list: Vec<Kind>, map: HashMap<u32, Inner>, arr: [Inner; 3], "
        "r: Result<u8, Kind>, b: Box<Outer>, t: (u8, u64), by: Vec<u8>, s: HashSet<u32>, u: (), d: Duration, "
        "c: Tx<u32>, rx: Rx<String>, sl: [u32] }");
    test_types_declare(ts, "struct WrapA { v: Vec<u32>, x: u32 }");
    test_types_declare(ts, "struct WrapB { v: Vec<Kind>, x: Kind }");
    test_types_instance(ts, "WrapA", 1, "Wrap", "T", "u32");
    test_types_instance(ts, "WrapB", 1, "Wrap", "T", "Kind");
    return ts;
}

static uint32_t find_kind(const test_types *ts, uint32_t kind) {
    uint32_t i = 0;
    while (i < ts->unit.types_len && ts->types[i].kind != kind) i++;
    cr_assert_lt(i, ts->unit.types_len, "no type of kind %u", kind);
    return i;
}

static choir_type *type_of(test_types *ts, uint32_t kind) {
    return &ts->types[find_kind(ts, kind)];
}

Test(unit, good) {
    choiri_text text;
    test_types *ts = sample();
    cr_assert_eq(choiri_unit_check(&ts->unit, &text), CHOIR_OK, "%s", text.data);
    cr_assert_eq(text.len, 0);
    cr_assert_eq(choiri_unit_check(&testbed_unit, &text), CHOIR_OK, "%s", text.data);
    const choir_unit empty = {CHOIR_UNIT_HEADER, .strings_len = 1, .strings = ""};
    cr_assert_eq(choiri_unit_check(&empty, &text), CHOIR_OK, "%s", text.data);
    free(ts);
}

/* One member is changed, the check must fail with this text, and the member is put back. */
#define REFUSED(status, member, bad_value, why)                                                              \
    do {                                                                                                     \
        choiri_text text;                                                                                    \
        __typeof__(member) kept = (member);                                                                  \
        (member) = (bad_value);                                                                              \
        cr_assert_eq(choiri_unit_check(&ts->unit, &text), (status), "%s = %s: %s", #member, #bad_value,      \
                     text.data);                                                                             \
        cr_assert(strstr(text.data, (why)), "%s = %s: %s", #member, #bad_value, text.data);                  \
        (member) = kept;                                                                                     \
        cr_assert_eq(choiri_unit_check(&ts->unit, &text), CHOIR_OK);                                         \
    } while (0)

Test(unit, versions) {
    test_types *ts = sample();
    choir_unit *u = &ts->unit;
    REFUSED(CHOIR_ERR_ABI, u->abi, 0, "version 0, this library reads version 1");
    REFUSED(CHOIR_ERR_ABI, u->abi, 2, "version 2");
    REFUSED(CHOIR_ERR_ABI, u->type_stride, sizeof(choir_type) - 4, "version");
    REFUSED(CHOIR_ERR_ABI, u->type_stride, sizeof(choir_type) + 2, "version");
    REFUSED(CHOIR_ERR_ABI, u->field_stride, sizeof(choir_field) - 4, "version");
    REFUSED(CHOIR_ERR_ABI, u->variant_stride, sizeof(choir_variant) - 4, "version");
    REFUSED(CHOIR_ERR_ABI, u->method_stride, sizeof(choir_method) - 8, "version");
    REFUSED(CHOIR_ERR_ABI, u->param_stride, 0, "version");
    REFUSED(CHOIR_ERR_ABI, u->schema_stride, sizeof(choir_schema) + 2, "version");
    REFUSED(CHOIR_ERR_ABI, u->announcement_stride, 2, "version");
    REFUSED(CHOIR_ERR_ABI, u->size, sizeof(choir_unit) - 8, "version");
    free(ts);
}

Test(unit, blocks) {
    test_types *ts = sample();
    choir_unit *u = &ts->unit;
    REFUSED(CHOIR_ERR_INVALID, u->types, NULL, "lacks records");
    REFUSED(CHOIR_ERR_INVALID, u->fields, NULL, "lacks records");
    REFUSED(CHOIR_ERR_INVALID, u->variants, NULL, "lacks records");
    REFUSED(CHOIR_ERR_INVALID, u->strings, NULL, "strings");
    REFUSED(CHOIR_ERR_INVALID, u->strings_len, 0, "strings");
    REFUSED(CHOIR_ERR_INVALID, u->strings_len, u->strings_len - 1, "strings");
    REFUSED(CHOIR_ERR_INVALID, ts->strings[0], 'x', "strings");
    REFUSED(CHOIR_ERR_INVALID, u->fields_len, 2, "not in the unit");
    REFUSED(CHOIR_ERR_INVALID, u->variants_len, 2, "not in the unit");
    free(ts);
}

Test(unit, scalars) {
    test_types *ts = sample();
    choir_type *t = type_of(ts, CHOIR_KIND_U32);
    REFUSED(CHOIR_ERR_INVALID, t->kind, 0, "unknown kind");
    REFUSED(CHOIR_ERR_INVALID, t->kind, CHOIR_KIND_DURATION + 1, "unknown kind");
    REFUSED(CHOIR_ERR_INVALID, t->kind, UINT32_MAX, "unknown kind");
    REFUSED(CHOIR_ERR_INVALID, t->align, 0, "");
    REFUSED(CHOIR_ERR_INVALID, t->align, 3, "");
    REFUSED(CHOIR_ERR_INVALID, t->align, 32, "");
    REFUSED(CHOIR_ERR_INVALID, t->size, 8, "size");
    REFUSED(CHOIR_ERR_INVALID, t->size, 6, "multiple");
    t = type_of(ts, CHOIR_KIND_UNIT);
    REFUSED(CHOIR_ERR_INVALID, t->size, 1, "");
    t = type_of(ts, CHOIR_KIND_STRING);
    REFUSED(CHOIR_ERR_INVALID, t->size, 8 * t->size, "");
    t = type_of(ts, CHOIR_KIND_DURATION);
    REFUSED(CHOIR_ERR_INVALID, t->size, 8, "size");
    free(ts);
}

Test(unit, channels_and_twins) {
    static const uint32_t twins[] = {CHOIR_KIND_LIST, CHOIR_KIND_BYTES, CHOIR_KIND_SET, CHOIR_KIND_MAP};
    test_types *ts = sample();
    choir_type *t = type_of(ts, CHOIR_KIND_TX);
    REFUSED(CHOIR_ERR_INVALID, t->size, 16, "size");
    REFUSED(CHOIR_ERR_INVALID, t->elem, ts->unit.types_len, "element type");
    t = type_of(ts, CHOIR_KIND_RX);
    REFUSED(CHOIR_ERR_INVALID, t->size, 0, "size");
    REFUSED(CHOIR_ERR_INVALID, t->elem, UINT32_MAX, "element type");
    for (size_t i = 0; i < sizeof twins / sizeof twins[0]; i++) {
        t = type_of(ts, twins[i]);
        REFUSED(CHOIR_ERR_INVALID, t->count, 2, "unknown form");
        REFUSED(CHOIR_ERR_INVALID, t->count, UINT32_MAX, "unknown form");
    }
    free(ts);
}

Test(unit, generics) {
    test_types *ts = sample();
    choir_type *a = &ts->types[test_types_find(ts, "WrapA")], *b = &ts->types[test_types_find(ts, "WrapB")];
    choir_type *scalar = type_of(ts, CHOIR_KIND_U32), *kind = &ts->types[test_types_find(ts, "Kind")];
    REFUSED(CHOIR_ERR_INVALID, a->decl, 0, "without a declaration");
    REFUSED(CHOIR_ERR_INVALID, scalar->decl, 1, "only named types");
    REFUSED(CHOIR_ERR_INVALID, scalar->params, 1, "without a declaration");
    REFUSED(CHOIR_ERR_INVALID, kind->decl, 1, "its declaration has elsewhere");
    REFUSED(CHOIR_ERR_INVALID, b->name, kind->name, "its declaration has elsewhere");
    REFUSED(CHOIR_ERR_INVALID, b->params, 0, "its declaration has elsewhere");
    REFUSED(CHOIR_ERR_INVALID, a->params, 2, "elsewhere");
    REFUSED(CHOIR_ERR_INVALID, a->params, 3, "not in the unit");
    REFUSED(CHOIR_ERR_INVALID, b->first_param, UINT32_MAX, "not in the unit");
    REFUSED(CHOIR_ERR_INVALID, ts->unit.params_len, 1, "not in the unit");
    REFUSED(CHOIR_ERR_INVALID, ts->unit.params, NULL, "lacks records");
    REFUSED(CHOIR_ERR_INVALID, ts->params[0].type, ts->unit.types_len, "type argument");
    REFUSED(CHOIR_ERR_INVALID, ts->params[1].type, UINT32_MAX, "type argument");
    REFUSED(CHOIR_ERR_INVALID, ts->params[0].name, 0, "parameter without a proper name");
    REFUSED(CHOIR_ERR_INVALID, ts->params[1].name, kind->name, "another name");
    free(ts);
}

Test(unit, announcements) {
    test_types *ts = sample();
    choir_unit *u = &ts->unit;
    static const uint8_t bytes[] = {1, 2, 3, 4};
    choir_schema schemas[] = {{1, 0, 2}, {2, 1, 3}};
    choir_announcement roots[] = {{0, 0, 0, 1}, {0, 3, 3, 1}};
    uint32_t parts[] = {0, 1, 0};
    u->schema_bytes = bytes;
    u->schema_bytes_len = 4;
    u->schemas = schemas;
    u->schemas_len = 2;
    u->announcements = roots;
    u->announcements_len = 2;
    u->parts = parts;
    u->parts_len = 3;
    REFUSED(CHOIR_ERR_INVALID, u->schemas, NULL, "lacks records");
    REFUSED(CHOIR_ERR_INVALID, u->announcements, NULL, "lacks records");
    REFUSED(CHOIR_ERR_INVALID, u->parts, NULL, "lacks records");
    REFUSED(CHOIR_ERR_INVALID, u->schema_bytes, NULL, "lacks records");
    REFUSED(CHOIR_ERR_INVALID, u->schema_bytes_len, 3, "schema 1: its bytes");
    REFUSED(CHOIR_ERR_INVALID, u->schemas_len, 1, "announcement 1: one of its schemas");
    REFUSED(CHOIR_ERR_INVALID, u->parts_len, 2, "announcement 1: its parts");
    REFUSED(CHOIR_ERR_INVALID, schemas[0].len, 0, "schema 0: its bytes");
    REFUSED(CHOIR_ERR_INVALID, schemas[0].len, 5, "schema 0: its bytes");
    REFUSED(CHOIR_ERR_INVALID, schemas[1].at, UINT32_MAX, "schema 1: its bytes");
    REFUSED(CHOIR_ERR_INVALID, roots[1].first, UINT32_MAX, "its parts");
    REFUSED(CHOIR_ERR_INVALID, roots[0].root_len, 0, "announcement 0: its root");
    REFUSED(CHOIR_ERR_INVALID, roots[0].root_len, 5, "announcement 0: its root");
    REFUSED(CHOIR_ERR_INVALID, roots[1].root, UINT32_MAX, "announcement 1: its root");
    REFUSED(CHOIR_ERR_INVALID, parts[2], 2, "one of its schemas");
    free(ts);
}

Test(unit, made_of_others) {
    test_types *ts = sample();
    uint32_t none = ts->unit.types_len;
    choir_type *t = type_of(ts, CHOIR_KIND_OPTION);
    REFUSED(CHOIR_ERR_INVALID, t->elem, none, "element type");
    REFUSED(CHOIR_ERR_INVALID, t->offset, 0, "tag");
    REFUSED(CHOIR_ERR_INVALID, t->offset, 3, "inside");
    REFUSED(CHOIR_ERR_INVALID, t->offset, 4, "inside");
    REFUSED(CHOIR_ERR_INVALID, t->offset, UINT32_MAX - 1, "inside");
    REFUSED(CHOIR_ERR_INVALID, t->size, 0, "inside");
    t = type_of(ts, CHOIR_KIND_LIST);
    REFUSED(CHOIR_ERR_INVALID, t->elem, none, "element type");
    REFUSED(CHOIR_ERR_INVALID, t->size, 2 * t->size, "size");
    t = type_of(ts, CHOIR_KIND_BOX);
    REFUSED(CHOIR_ERR_INVALID, t->elem, UINT32_MAX, "element type");
    t = type_of(ts, CHOIR_KIND_MAP);
    REFUSED(CHOIR_ERR_INVALID, t->elem, find_kind(ts, CHOIR_KIND_U32), "key and value");
    REFUSED(CHOIR_ERR_INVALID, ts->types[t->elem].count, 1, "");
    REFUSED(CHOIR_ERR_INVALID, ts->types[t->elem].name, 1, "key and value");
    REFUSED(CHOIR_ERR_INVALID, ts->types[t->elem].first, UINT32_MAX, "not in the unit");
    t = type_of(ts, CHOIR_KIND_ARRAY);
    REFUSED(CHOIR_ERR_INVALID, t->count, 4, "elements");
    REFUSED(CHOIR_ERR_INVALID, t->count, UINT32_MAX, "elements");
    REFUSED(CHOIR_ERR_INVALID, t->align, 1, "");
    t = type_of(ts, CHOIR_KIND_RESULT);
    REFUSED(CHOIR_ERR_INVALID, t->elem2, none, "error type");
    REFUSED(CHOIR_ERR_INVALID, t->offset, 0, "tag");
    REFUSED(CHOIR_ERR_INVALID, t->offset, t->size, "inside");
    free(ts);
}

Test(unit, members) {
    test_types *ts = sample();
    choir_type *outer = &ts->types[test_types_find(ts, "Outer")],
               *kind = &ts->types[test_types_find(ts, "Kind")];
    choir_field *f = &ts->fields[outer->first + 3];
    REFUSED(CHOIR_ERR_INVALID, outer->name, 0, "without a proper name");
    REFUSED(CHOIR_ERR_INVALID, outer->name, ts->unit.strings_len, "without a proper name");
    REFUSED(CHOIR_ERR_INVALID, outer->count, 200, "not in the unit");
    REFUSED(CHOIR_ERR_INVALID, outer->first, UINT32_MAX, "not in the unit");
    REFUSED(CHOIR_ERR_INVALID, outer->size, outer->size / 2, "");
    REFUSED(CHOIR_ERR_INVALID, f->type, ts->unit.types_len, "field's type");
    REFUSED(CHOIR_ERR_INVALID, ts->strings[outer->name + 1], '\xff', "without a proper name");
    REFUSED(CHOIR_ERR_INVALID, f->name, 0, "without a proper name");
    REFUSED(CHOIR_ERR_INVALID, f->flags, 4, "flags");
    REFUSED(CHOIR_ERR_INVALID, f->offset, outer->size, "inside");
    REFUSED(CHOIR_ERR_INVALID, f->offset, UINT32_MAX - 7, "inside");
    REFUSED(CHOIR_ERR_INVALID, f->offset, f->offset + 1, "inside");
    choir_field *element = &ts->fields[type_of(ts, CHOIR_KIND_TUPLE)->first];
    REFUSED(CHOIR_ERR_INVALID, element->name, 1, "with a name");
    REFUSED(CHOIR_ERR_INVALID, kind->name, 0, "without a proper name");
    REFUSED(CHOIR_ERR_INVALID, kind->align, 2, "");
    REFUSED(CHOIR_ERR_INVALID, kind->size, 0, "tag");
    REFUSED(CHOIR_ERR_INVALID, kind->count, 5, "not in the unit");
    REFUSED(CHOIR_ERR_INVALID, kind->first, UINT32_MAX, "not in the unit");
    choir_variant *v = &ts->variants[kind->first];
    REFUSED(CHOIR_ERR_INVALID, v[0].name, 0, "variant");
    REFUSED(CHOIR_ERR_INVALID, v[0].shape, 4, "shape");
    REFUSED(CHOIR_ERR_INVALID, v[0].count, 1, "unit variant");
    REFUSED(CHOIR_ERR_INVALID, v[1].count, 0, "newtype");
    REFUSED(CHOIR_ERR_INVALID, v[1].shape, CHOIR_VARIANT_TUPLE, "newtype");
    REFUSED(CHOIR_ERR_INVALID, v[2].first, UINT32_MAX, "not in the unit");
    REFUSED(CHOIR_ERR_INVALID, v[2].shape, CHOIR_VARIANT_STRUCT, "without a proper name");
    REFUSED(CHOIR_ERR_INVALID, v[3].shape, CHOIR_VARIANT_TUPLE, "with a name");
    REFUSED(CHOIR_ERR_INVALID, ts->fields[v[1].first].offset, 0, "tag");
    free(ts);
}

/* --- larger records --- */

typedef struct wide_type {
    choir_type v1;
    uint32_t more[3];
} wide_type;
typedef struct wide_field {
    choir_field v1;
    uint32_t more;
} wide_field;
typedef struct wide_variant {
    choir_variant v1;
    uint64_t more;
} wide_variant;

/* A unit of a later version of the header, whose records have grown, means the same. */
Test(unit, wider_records) {
    schema_env s;
    choiri_text text;
    schema_env_open(&s);
    test_types *ts = sample();
    uint32_t outer = test_types_find(ts, "Outer");
    wide_type *types = calloc(ts->unit.types_len, sizeof *types);
    wide_field *fields = calloc(ts->unit.fields_len, sizeof *fields);
    wide_variant *variants = calloc(ts->unit.variants_len, sizeof *variants);
    for (uint32_t i = 0; i < ts->unit.types_len; i++) types[i] = (wide_type){ts->types[i], {~0u, ~0u, ~0u}};
    for (uint32_t i = 0; i < ts->unit.fields_len; i++) fields[i] = (wide_field){ts->fields[i], ~0u};
    for (uint32_t i = 0; i < ts->unit.variants_len; i++)
        variants[i] = (wide_variant){ts->variants[i], ~UINT64_C(0)};
    choir_unit wide = ts->unit;
    wide.types = (const choir_type *)types;
    wide.fields = (const choir_field *)fields;
    wide.variants = (const choir_variant *)variants;
    wide.type_stride = sizeof *types;
    wide.field_stride = sizeof *fields;
    wide.variant_stride = sizeof *variants;
    cr_assert_eq(choiri_unit_check(&wide, &text), CHOIR_OK, "%s", text.data);
    choiri_schema_set narrow_made, wide_made;
    cr_assert_eq(test_announcement_new(s.env, &ts->unit, outer, &narrow_made), CHOIR_OK);
    cr_assert_eq(test_announcement_new(s.env, &wide, outer, &wide_made), CHOIR_OK);
    test_bytes a = test_first_payload(s.env, &narrow_made), b = test_first_payload(s.env, &wide_made);
    test_bytes_eq(test_span(b), test_span(a), "the wide unit's announcement");
    free(a.data);
    free(b.data);
    test_announcement_free(s.env, &narrow_made);
    test_announcement_free(s.env, &wide_made);
    free(types);
    free(fields);
    free(variants);
    free(ts);
    schema_env_close(&s);
}

/* --- anything goes --- */

static uint32_t draw(uint64_t *state, uint32_t below) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 11) % below;
}

/* What is done with a value of a type that passed the check stays inside its memory. */
static void use_value(choir_env *env, const choir_unit *u, uint32_t type) {
    char text[512];
    bool same = false;
    size_t size = choiri_unit_type(u, type)->size;
    if (size > 65536) return;
    void *value = calloc(1, size + (size == 0)), *clone = NULL;
    (void)choir_value_print(u, type, value, text, sizeof text);
    int status = choir_value_equal(u, type, value, value, &same);
    cr_assert(status == CHOIR_OK ? same : status == CHOIR_ERR_INVALID || status == CHOIR_ERR_DEPTH);
    status = choir_value_clone(env, u, type, value, &clone);
    cr_assert(status == CHOIR_OK || status == CHOIR_ERR_INVALID || status == CHOIR_ERR_DEPTH);
    choir_value_free(env, clone);
    free(value);
}

/* Random damage: the check refuses it, or every type of the unit can be announced or is refused there, and
 * its values can be looked at. Run with sanitizers, this finds what the check forgot. */
Test(unit, damaged_units) {
    uint64_t random = 0x2545f4914f6cdd1d;
    int refused = 0, passed = 0;
    schema_env s;
    choiri_text text;
    schema_env_open(&s);
    test_types *good = sample(), *bad = test_types_new();
    for (int round = 0; round < 5000; round++) {
        choir_unit u = good->unit;
        memcpy(bad->types, good->types, sizeof bad->types);
        memcpy(bad->fields, good->fields, sizeof bad->fields);
        memcpy(bad->variants, good->variants, sizeof bad->variants);
        memcpy(bad->params, good->params, sizeof bad->params);
        u.types = bad->types;
        u.fields = bad->fields;
        u.variants = bad->variants;
        u.params = bad->params;
        uint32_t which = draw(&random, 4);
        uint32_t words[] = {u.types_len * 12, u.fields_len * 4, u.variants_len * 4, u.params_len * 2};
        uint32_t *blocks[] = {(uint32_t *)bad->types, (uint32_t *)bad->fields, (uint32_t *)bad->variants,
                              (uint32_t *)bad->params};
        blocks[which][draw(&random, words[which])] = draw(&random, 10) == 0 ? UINT32_MAX : draw(&random, 40);
        if (choiri_unit_check(&u, &text) != CHOIR_OK) {
            cr_assert_gt(text.len, 0);
            refused++;
            continue;
        }
        passed++;
        choiri_schema_set a;
        for (uint32_t i = 0; i < u.types_len; i += 1 + draw(&random, 8)) {
            int status = test_announcement_new(s.env, &u, i, &a);
            cr_assert(status == CHOIR_OK || status == CHOIR_ERR_INVALID, "status %d", status);
            if (status == CHOIR_OK) test_announcement_free(s.env, &a);
            use_value(s.env, &u, i);
        }
    }
    printf("damaged units: %d refused, %d harmless\n", refused, passed);
    cr_assert_gt(refused, 1000);
    cr_assert_gt(passed, 100);
    free(good);
    free(bad);
    schema_env_close(&s);
}

/* --- names --- */

static bool is_text(choir_str s, const char *expected) {
    return s.len == strlen(expected) && memcmp(s.data, expected, s.len) == 0;
}

Test(unit, names) {
    uint32_t index = 77;
    cr_assert_eq(choir_service_find(&testbed, CHOIR_STR("divide"), &index), CHOIR_OK);
    cr_assert_eq(index, 2);
    cr_assert(is_text(choir_method_name(&testbed, index), "divide"));
    cr_assert(is_text(choir_method_name(&testbed, testbed.methods_len), ""));
    cr_assert(is_text(choir_method_name(&testbed, UINT32_MAX), ""));
    cr_assert(is_text(choir_service_name(&testbed), "Testbed"));
    cr_assert_eq(choir_service_find(&testbed, CHOIR_STR("divid"), &index), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_service_find(&testbed, CHOIR_STR("divide2"), &index), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choir_service_find(&testbed, CHOIR_STR(""), &index), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(index, 2);
    choir_unit other = testbed_unit;
    choir_service service = testbed;
    service.unit = &other;
    other.abi = 9;
    cr_assert_eq(choir_service_find(&service, CHOIR_STR("divide"), &index), CHOIR_ERR_ABI);
    /* Names never leave their block, even in a unit that nobody has checked. */
    const choir_unit unchecked = {CHOIR_UNIT_HEADER, .strings_len = 3,
                                  .strings = (const char[]){'\0', 'a', 'b'}};
    cr_assert_eq(choiri_unit_name(&unchecked, 1).len, 2);
    cr_assert_eq(choiri_unit_name(&unchecked, 3).len, 0);
    cr_assert_eq(choiri_unit_name(&unchecked, UINT32_MAX).len, 0);
}
