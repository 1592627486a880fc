/* SPDX-License-Identifier: MIT */
/* Descriptors made from text, for the tests of everything that is driven by descriptors: declarations in
 * Rust's syntax become a unit whose C layout is computed here, and random values of any type can be made.
 *
 *     test_types_declare(ts, "struct Tree { v: u32, children: Vec<Tree> }");
 *     uint32_t type = test_types_find(ts, "(Tree, Option<[u8; 4]>)");
 *
 * Known: bool, u8..u128, i8..i128, f32, f64, char, String, Duration, Vec, HashSet, BTreeSet, HashMap,
 * BTreeMap, [T; N], [T], Option, Result, Box, Tx, Rx, tuples, (), ! and what was declared; a declared type
 * may be used before inside Box and Vec. Fields with "= default" may be missing in JSON. Errors in the text
 * end the test. */
#ifndef CHOIRI_TEST_TYPES_H
#define CHOIRI_TEST_TYPES_H

#include "base/arena.h"
#include "base/text.h"
#include "value/unit.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST_TYPES    1024
#define TEST_FIELDS   1024
#define TEST_VARIANTS 256
#define TEST_PARAMS   16
#define TEST_STRINGS  16384

typedef struct test_types {
    choir_unit unit;
    choir_type types[TEST_TYPES];
    choir_field fields[TEST_FIELDS];
    choir_variant variants[TEST_VARIANTS];
    choir_param params[TEST_PARAMS];
    char strings[TEST_STRINGS];
    struct {
        char name[32];
        uint32_t type;
    } named[TEST_VARIANTS];
    uint32_t named_len;
    const char *pos; /* of the text being read */
} test_types;

static inline test_types *test_types_new(void) {
    test_types *ts = calloc(1, sizeof *ts);
    cr_assert(ts);
    ts->unit = (choir_unit){CHOIR_UNIT_HEADER,    .strings_len = 1,         .types = ts->types,
                            .fields = ts->fields, .variants = ts->variants, .strings = ts->strings,
                            .params = ts->params};
    return ts;
}

/* --- text --- */

static inline void test_types_space(test_types *ts) {
    while (isspace((unsigned char)*ts->pos)) ts->pos++;
}

static inline bool test_types_take(test_types *ts, const char *word) {
    test_types_space(ts);
    size_t len = strlen(word);
    if (strncmp(ts->pos, word, len) != 0) return false;
    if (isalnum((unsigned char)word[len - 1]) &&
        (isalnum((unsigned char)ts->pos[len]) || ts->pos[len] == '_'))
        return false;
    ts->pos += len;
    return true;
}

static inline void test_types_need(test_types *ts, const char *word) {
    cr_assert(test_types_take(ts, word), "expected %s before \"%s\"", word, ts->pos);
}

static inline void test_types_word(test_types *ts, char word[32]) {
    test_types_space(ts);
    size_t len = 0;
    while (isalnum((unsigned char)*ts->pos) || *ts->pos == '_') {
        cr_assert(len < 31);
        word[len++] = *ts->pos++;
    }
    cr_assert(len > 0, "expected a name before \"%s\"", ts->pos);
    word[len] = '\0';
}

/* --- records --- */

static inline uint32_t test_types_string(test_types *ts, const char *name) {
    uint32_t at = ts->unit.strings_len;
    size_t len = strlen(name) + 1;
    cr_assert(at + len <= TEST_STRINGS);
    memcpy(ts->strings + at, name, len);
    ts->unit.strings_len += (uint32_t)len;
    return at;
}

static inline uint32_t test_types_reserve(test_types *ts) {
    cr_assert(ts->unit.types_len < TEST_TYPES);
    return ts->unit.types_len++;
}

static inline uint32_t test_types_add(test_types *ts, choir_type t) {
    uint32_t index = test_types_reserve(ts);
    ts->types[index] = t;
    return index;
}

static inline uint32_t test_types_align(uint32_t offset, uint32_t align) {
    return (offset + align - 1) / align * align;
}

/* Index of a declared type, reserved if it is not declared yet. */
static inline uint32_t test_types_named(test_types *ts, const char *name) {
    for (uint32_t i = 0; i < ts->named_len; i++)
        if (strcmp(ts->named[i].name, name) == 0) return ts->named[i].type;
    cr_assert(ts->named_len < TEST_VARIANTS);
    uint32_t n = ts->named_len++;
    snprintf(ts->named[n].name, sizeof ts->named[n].name, "%s", name);
    ts->named[n].type = test_types_reserve(ts);
    return ts->named[n].type;
}

static inline uint32_t test_types_parse(test_types *ts);
static inline uint32_t test_types_find(test_types *ts, const char *text);

typedef struct test_types_layout {
    uint32_t size, align;
} test_types_layout;

/* A list of fields up to `close`, laid out from layout->size on. They are collected first, because the types
 * inside them may have fields of their own. */
static inline uint32_t test_types_fields(test_types *ts, const char *close, bool named,
                                         test_types_layout *layout, uint32_t *ret_first) {
    choir_field fields[32];
    uint32_t count = 0;
    while (!test_types_take(ts, close)) {
        cr_assert(count < 32);
        choir_field f = {0};
        if (named) {
            char name[32];
            test_types_word(ts, name);
            test_types_need(ts, ":");
            f.name = test_types_string(ts, name);
        }
        f.type = test_types_parse(ts);
        if (test_types_take(ts, "=")) {
            test_types_need(ts, "default");
            f.flags = CHOIR_FIELD_DEFAULT;
        }
        const choir_type *t = &ts->types[f.type];
        cr_assert(t->align > 0, "a type is used by value before it is declared, before \"%s\"", ts->pos);
        f.offset = test_types_align(layout->size, t->align);
        layout->size = f.offset + t->size;
        if (t->align > layout->align) layout->align = t->align;
        fields[count++] = f;
        if (!test_types_take(ts, ",")) {
            test_types_need(ts, close);
            break;
        }
    }
    *ret_first = ts->unit.fields_len;
    cr_assert(*ret_first + count <= TEST_FIELDS);
    memcpy(&ts->fields[*ret_first], fields, count * sizeof fields[0]);
    ts->unit.fields_len += count;
    return count;
}

/* --- types --- */

static inline uint32_t test_types_scalar(test_types *ts, const char *word) {
    static const struct {
        const char *name;
        uint32_t kind, size, align;
    } scalars[] = {
        {"bool", CHOIR_KIND_BOOL, 1, 1},
        {"u8", CHOIR_KIND_U8, 1, 1},
        {"u16", CHOIR_KIND_U16, 2, 2},
        {"u32", CHOIR_KIND_U32, 4, 4},
        {"u64", CHOIR_KIND_U64, 8, _Alignof(uint64_t)},
        {"u128", CHOIR_KIND_U128, 16, _Alignof(choir_u128)},
        {"i8", CHOIR_KIND_I8, 1, 1},
        {"i16", CHOIR_KIND_I16, 2, 2},
        {"i32", CHOIR_KIND_I32, 4, 4},
        {"i64", CHOIR_KIND_I64, 8, _Alignof(int64_t)},
        {"i128", CHOIR_KIND_I128, 16, _Alignof(choir_u128)},
        {"f32", CHOIR_KIND_F32, 4, 4},
        {"f64", CHOIR_KIND_F64, 8, _Alignof(double)},
        {"char", CHOIR_KIND_CHAR, 4, 4},
        {"String", CHOIR_KIND_STRING, sizeof(choir_str), _Alignof(choir_str)},
        {"Duration", CHOIR_KIND_DURATION, sizeof(choir_timespan), _Alignof(choir_timespan)},
    };
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        if (strcmp(scalars[i].name, word) == 0)
            return test_types_add(
                ts,
                (choir_type){.kind = scalars[i].kind, .size = scalars[i].size, .align = scalars[i].align});
    return test_types_named(ts, word);
}

static inline uint32_t test_types_tuple(test_types *ts) { /* behind '(' */
    if (test_types_take(ts, ")"))
        return test_types_add(ts, (choir_type){.kind = CHOIR_KIND_UNIT, .align = 1});
    test_types_layout layout = {0, 1};
    choir_type t = {.kind = CHOIR_KIND_TUPLE};
    t.count = test_types_fields(ts, ")", false, &layout, &t.first);
    t.align = layout.align;
    t.size = test_types_align(layout.size, layout.align);
    return test_types_add(ts, t);
}

/* Lays out a map's entry, if its value's type is declared already: it may be the one that is being
 * declared. */
static inline void test_types_finish(test_types *ts, uint32_t type) {
    choir_type *entry = &ts->types[type];
    choir_field *value = &ts->fields[entry->first + 1];
    const choir_type *k = &ts->types[ts->fields[entry->first].type], *v = &ts->types[value->type];
    if (v->align == 0) return;
    entry->align = k->align > v->align ? k->align : v->align;
    value->offset = test_types_align(k->size, v->align);
    entry->size = test_types_align(value->offset + v->size, entry->align);
}

static inline uint32_t test_types_add_list(test_types *ts, uint32_t kind, uint32_t form, uint32_t elem) {
    choir_type t = {
        .kind = kind, .size = sizeof(choir_list), .align = _Alignof(choir_list), .elem = elem, .count = form};
    if (kind == CHOIR_KIND_LIST && ts->types[elem].kind == CHOIR_KIND_U8) t.kind = CHOIR_KIND_BYTES;
    return test_types_add(ts, t);
}

static inline uint32_t test_types_list(test_types *ts, uint32_t kind, uint32_t form) {
    test_types_need(ts, "<");
    uint32_t elem = test_types_parse(ts);
    if (test_types_take(ts, ",")) { /* a map */
        uint32_t value = test_types_parse(ts), first = ts->unit.fields_len;
        cr_assert(first + 2 <= TEST_FIELDS);
        ts->fields[first] = (choir_field){.type = elem};
        ts->fields[first + 1] = (choir_field){.type = value};
        ts->unit.fields_len += 2;
        elem = test_types_add(ts, (choir_type){.kind = CHOIR_KIND_TUPLE, .first = first, .count = 2});
        test_types_finish(ts, elem);
    }
    test_types_need(ts, ">");
    return test_types_add_list(ts, kind, form, elem);
}

static inline uint32_t test_types_option(test_types *ts) {
    test_types_need(ts, "<");
    choir_type t = {.kind = CHOIR_KIND_OPTION, .elem = test_types_parse(ts)};
    test_types_need(ts, ">");
    t.align = ts->types[t.elem].align;
    cr_assert(t.align > 0);
    t.offset = test_types_align(1, t.align);
    t.size = test_types_align(t.offset + ts->types[t.elem].size, t.align);
    return test_types_add(ts, t);
}

static inline uint32_t test_types_result(test_types *ts) {
    test_types_need(ts, "<");
    choir_type t = {.kind = CHOIR_KIND_RESULT, .elem = test_types_parse(ts), .align = 4};
    test_types_need(ts, ",");
    t.elem2 = test_types_parse(ts);
    test_types_need(ts, ">");
    const choir_type *ok = &ts->types[t.elem], *err = &ts->types[t.elem2];
    if (ok->align > t.align) t.align = ok->align;
    if (err->align > t.align) t.align = err->align;
    t.offset = test_types_align(4, t.align);
    t.size = test_types_align(t.offset + (ok->size > err->size ? ok->size : err->size), t.align);
    return test_types_add(ts, t);
}

static inline uint32_t test_types_array(test_types *ts) { /* behind '[' */
    choir_type t = {.kind = CHOIR_KIND_ARRAY, .elem = test_types_parse(ts)};
    if (test_types_take(ts, "]")) return test_types_add_list(ts, CHOIR_KIND_LIST, CHOIR_COUNT_SLICE, t.elem);
    test_types_need(ts, ";");
    test_types_space(ts);
    char *end;
    t.count = (uint32_t)strtoul(ts->pos, &end, 10);
    ts->pos = end;
    test_types_need(ts, "]");
    t.align = ts->types[t.elem].align;
    t.size = t.count * ts->types[t.elem].size;
    return test_types_add(ts, t);
}

static inline uint32_t test_types_parse(test_types *ts) {
    if (test_types_take(ts, "(")) return test_types_tuple(ts);
    if (test_types_take(ts, "[")) return test_types_array(ts);
    if (test_types_take(ts, "!"))
        return test_types_add(ts, (choir_type){.kind = CHOIR_KIND_NEVER, .align = 1});
    char word[32];
    test_types_word(ts, word);
    if (strcmp(word, "Vec") == 0) return test_types_list(ts, CHOIR_KIND_LIST, CHOIR_COUNT_VEC);
    if (strcmp(word, "HashSet") == 0) return test_types_list(ts, CHOIR_KIND_SET, CHOIR_COUNT_HASH_SET);
    if (strcmp(word, "BTreeSet") == 0) return test_types_list(ts, CHOIR_KIND_SET, CHOIR_COUNT_BTREE_SET);
    if (strcmp(word, "HashMap") == 0) return test_types_list(ts, CHOIR_KIND_MAP, CHOIR_COUNT_HASH_MAP);
    if (strcmp(word, "BTreeMap") == 0) return test_types_list(ts, CHOIR_KIND_MAP, CHOIR_COUNT_BTREE_MAP);
    if (strcmp(word, "Option") == 0) return test_types_option(ts);
    if (strcmp(word, "Result") == 0) return test_types_result(ts);
    choir_type t = {.size = sizeof(void *), .align = _Alignof(void *)};
    if (strcmp(word, "Box") == 0)
        t.kind = CHOIR_KIND_BOX;
    else if (strcmp(word, "Tx") == 0 || strcmp(word, "Rx") == 0)
        t = (choir_type){word[0] == 'T' ? CHOIR_KIND_TX : CHOIR_KIND_RX, .size = sizeof(choir_tx),
                         .align = _Alignof(choir_tx)};
    else
        return test_types_scalar(ts, word);
    test_types_need(ts, "<");
    t.elem = test_types_parse(ts);
    test_types_need(ts, ">");
    return test_types_add(ts, t);
}

static inline choir_type test_types_enum(test_types *ts) { /* behind '{' */
    choir_variant variants[32];
    choir_type t = {.kind = CHOIR_KIND_ENUM, .size = 4, .align = 4};
    while (!test_types_take(ts, "}")) {
        cr_assert(t.count < 32);
        char name[32];
        test_types_word(ts, name);
        choir_variant v = {.name = test_types_string(ts, name)};
        test_types_layout layout = {4, 4};
        if (test_types_take(ts, "(")) {
            v.count = test_types_fields(ts, ")", false, &layout, &v.first);
            v.shape = v.count == 1 ? CHOIR_VARIANT_NEWTYPE : CHOIR_VARIANT_TUPLE;
        } else if (test_types_take(ts, "{")) {
            v.count = test_types_fields(ts, "}", true, &layout, &v.first);
            v.shape = CHOIR_VARIANT_STRUCT;
        }
        if (layout.size > t.size) t.size = layout.size;
        if (layout.align > t.align) t.align = layout.align;
        variants[t.count++] = v;
        if (!test_types_take(ts, ",")) {
            test_types_need(ts, "}");
            break;
        }
    }
    t.size = test_types_align(t.size, t.align);
    t.first = ts->unit.variants_len;
    cr_assert(t.first + t.count <= TEST_VARIANTS);
    memcpy(&ts->variants[t.first], variants, t.count * sizeof variants[0]);
    ts->unit.variants_len += t.count;
    return t;
}

static inline void test_types_declare(test_types *ts, const char *text) {
    char name[32];
    ts->pos = text;
    bool is_enum = test_types_take(ts, "enum");
    if (!is_enum) test_types_need(ts, "struct");
    test_types_word(ts, name);
    uint32_t index = test_types_named(ts, name);
    choir_type t = {.kind = CHOIR_KIND_UNIT, .align = 1};
    test_types_layout layout = {0, 1};
    if (is_enum) {
        test_types_need(ts, "{");
        t = test_types_enum(ts);
    } else if (test_types_take(ts, "{")) {
        t.kind = CHOIR_KIND_STRUCT;
        t.count = test_types_fields(ts, "}", true, &layout, &t.first);
    } else if (test_types_take(ts, "(")) {
        t.kind = CHOIR_KIND_TUPLE;
        t.count = test_types_fields(ts, ")", false, &layout, &t.first);
    }
    if (!is_enum) {
        t.align = layout.align;
        t.size = test_types_align(layout.size, layout.align);
    }
    if (is_enum || t.kind == CHOIR_KIND_STRUCT) t.name = test_types_string(ts, name);
    ts->types[index] = t;
    for (uint32_t i = 0; i < ts->unit.types_len; i++)
        if (ts->types[i].kind == CHOIR_KIND_MAP) test_types_finish(ts, ts->types[i].elem);
}

/* Makes a declared type an instantiation of declaration `decl`, named `name`, with one parameter. */
static inline void test_types_instance(test_types *ts, const char *declared, uint32_t decl, const char *name,
                                       const char *param, const char *arg) {
    uint32_t n = ts->unit.params_len, argument = test_types_find(ts, arg);
    cr_assert(n < TEST_PARAMS);
    ts->params[n] = (choir_param){test_types_string(ts, param), argument};
    ts->unit.params_len++;
    choir_type *t = &ts->types[test_types_named(ts, declared)];
    t->name = test_types_string(ts, name);
    t->decl = decl;
    t->first_param = n;
    t->params = 1;
}

static inline uint32_t test_types_find(test_types *ts, const char *text) {
    ts->pos = text;
    uint32_t type = test_types_parse(ts);
    test_types_space(ts);
    cr_assert_eq(*ts->pos, '\0', "text behind the type: \"%s\"", ts->pos);
    return type;
}

#endif
