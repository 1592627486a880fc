/* SPDX-License-Identifier: MIT */
/* Comparing, copying, freeing and printing values: that they agree with the codec, and that they end. */
#include "base/dlist.h"
#include "schema_vectors.h"
#include "value/test_values.h"
#include "wire/utf8.h"

#include <pthread.h>
#include <stdio.h>

static const char *const declarations[] = {
    "struct Ends { tx: Tx<u32>, rx: Option<Rx<String>> }",
    "struct More { k: [Duration], l: Box<()> }",
    NULL,
};
static const char *const random_types[] = {
    "Scalars",
    "Parts",
    "Vec<Parts>",
    "Expr",
    "Tree",
    "Shapes",
    "(Person, Option<Parts>)",
    "HashMap<(u8, String), [Expr; 2]>",
    "BTreeSet<Vec<u16>>",
    "More",
};

static values *setup(void) {
    return values_declared(declarations);
}

static bool is_equal(values *v, uint32_t type, const void *a, const void *b) {
    bool same = false, back = true;
    cr_assert_eq(choir_value_equal(&v->ts->unit, type, a, b, &same), CHOIR_OK);
    cr_assert_eq(choir_value_equal(&v->ts->unit, type, b, a, &back), CHOIR_OK);
    cr_assert_eq(same, back, "not the same in both directions");
    return same;
}

static int compare_status(values *v, uint32_t type, const void *a, const void *b) {
    bool same = true;
    int status = choir_value_equal(&v->ts->unit, type, a, b, &same);
    if (status != CHOIR_OK) cr_assert(same, "the output was touched");
    return status;
}

static const char *print(values *v, uint32_t type, const void *value) {
    static char text[4096];
    size_t len = choir_value_print(&v->ts->unit, type, value, text, sizeof text);
    cr_assert_eq(len, strlen(text));
    return text;
}

/* --- random values: all of it at once --- */

/* A value is equal to its copy, its clone and what is decoded from its bytes; the copies outlive their
 * source, which is overwritten; two values are equal just when their bytes are (without sets and maps of more
 * than one element, which random values have in one order). */
Test(value_ops, agree_with_the_codec) {
    values *v = setup();
    size_t equal = 0, different = 0;
    for (size_t i = 0; i < sizeof random_types / sizeof random_types[0]; i++) {
        uint32_t type = values_type(v, random_types[i]);
        size_t size = v->ts->types[type].size;
        for (int n = 0; n < 200; n++) {
            choiri_arena source;
            choiri_arena_init(&source, v->env, NULL, 0, (size_t)1 << 24);
            choir_bytes bytes, other_bytes, again;
            void *value = values_room(v, type), *other = values_room(v, type), *clone = NULL;
            void *decoded = choiri_arena_alloc(&source, size, 16), *copy = values_room(v, type);
            values_random_value(v, type, value, 0);
            values_random_value(v, type, other, n % 2 ? 0 : 12);
            cr_assert_eq(values_encode(v, type, value, &bytes), CHOIR_OK);
            cr_assert_eq(values_encode(v, type, other, &other_bytes), CHOIR_OK);
            bool same = is_equal(v, type, value, other);
            cr_assert(same || !values_equal(bytes, other_bytes));
            equal += same;
            different += !same;
            /* The source's bytes are its own, too: text borrows from them. */
            uint8_t *payload = malloc(bytes.len + 1);
            memcpy(payload, bytes.data, bytes.len);
            choiri_reader r = choiri_reader_of((choir_bytes){payload, bytes.len});
            cr_assert_eq(choiri_value_decode(&r, &v->ts->unit, type, &source, decoded, NULL), CHOIR_OK);
            cr_assert(is_equal(v, type, value, decoded), "decoded");
            cr_assert_eq(choir_value_copy(&v->ts->unit, type, decoded, values_arena(v), copy), CHOIR_OK);
            cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, type, decoded, &clone), CHOIR_OK);
            memset(payload, 0xdd, bytes.len);
            memset(decoded, 0xdd, size);
            free(payload);
            choiri_arena_reset(&source);
            cr_assert(is_equal(v, type, value, copy), "copied");
            cr_assert(is_equal(v, type, clone, copy), "cloned");
            cr_assert_eq(values_encode(v, type, copy, &again), CHOIR_OK);
            cr_assert(values_equal(bytes, again));
            cr_assert_eq(values_encode(v, type, clone, &again), CHOIR_OK);
            cr_assert(values_equal(bytes, again));
            char copied[2048], cloned[2048];
            choir_value_print(&v->ts->unit, type, copy, copied, sizeof copied);
            choir_value_print(&v->ts->unit, type, clone, cloned, sizeof cloned);
            cr_assert_str_eq(copied, cloned);
            choir_value_free(v->env, clone);
            choiri_arena_reset(&v->arena);
        }
    }
    cr_assert_gt(equal, 20);
    cr_assert_gt(different, 1000);
    choir_value_free(v->env, NULL);
    values_free(v);
}

/* --- equality --- */

/* One changed member is a difference, wherever it is. */
Test(value_ops, every_member_counts) {
    values *v = setup();
    uint32_t type = values_type(v, "Scalars");
    const choir_type *t = &v->ts->types[type];
    size_t changes = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const choir_field *f = &v->ts->fields[t->first + i];
        const choir_type *ft = &v->ts->types[f->type];
        if (ft->size == 0) continue;
        uint8_t *a = values_room(v, type), *b = values_room(v, type);
        values_random_value(v, type, a, 0);
        memcpy(b, a, t->size);
        cr_assert(is_equal(v, type, a, b));
        b[f->offset] ^= 1; /* of text: its address */
        if (ft->kind == CHOIR_KIND_STRING || ft->kind == CHOIR_KIND_BYTES) {
            choir_str x = {"abc", 3}, y = {"abd", 3};
            memcpy(a + f->offset, &x, sizeof x);
            memcpy(b + f->offset, &y, sizeof y);
        }
        cr_assert_not(is_equal(v, type, a, b), "field %u", i);
        if (ft->kind == CHOIR_KIND_DURATION) {
            ((choir_timespan *)(void *)(b + f->offset))->seconds ^= 1;
            cr_assert(is_equal(v, type, a, b));
            memset(b + f->offset + 12, 0xee, 4); /* padding says nothing */
            cr_assert(is_equal(v, type, a, b));
            ((choir_timespan *)(void *)(b + f->offset))->nanoseconds ^= 1;
            cr_assert_not(is_equal(v, type, a, b));
        }
        changes++;
    }
    cr_assert_eq(changes, 17);
    values_free(v);
}

Test(value_ops, floats_by_their_bits) {
    values *v = setup();
    uint32_t wide = values_type(v, "f64"), narrow = values_type(v, "f32");
    double nan = (double)NAN, zero = 0.0, minus = -0.0;
    float nan32 = NAN, other_nan32;
    uint32_t bits = 0x7fc00001;
    memcpy(&other_nan32, &bits, sizeof bits);
    cr_assert(is_equal(v, wide, &nan, &nan));
    cr_assert_not(is_equal(v, wide, &zero, &minus));
    cr_assert(is_equal(v, narrow, &nan32, &nan32));
    cr_assert_not(is_equal(v, narrow, &nan32, &other_nan32));
    values_free(v);
}

Test(value_ops, sets_and_maps_have_no_order) {
    values *v = setup();
    uint32_t set = values_type(v, "HashSet<u32>"), list = values_type(v, "Vec<u32>"),
             map = values_type(v, "BTreeMap<u8, u32>");
    static const uint32_t items[] = {1, 2, 3, 4}, turned[] = {3, 1, 4, 2}, other[] = {3, 1, 4, 5},
                          twice[] = {1, 1, 2, 3}, again[] = {3, 2, 1, 2}, three[] = {1, 2, 3, 3};
    struct {
        uint8_t key;
        uint32_t value;
    } entries[] = {{1, 10}, {2, 20}, {3, 30}}, backwards[] = {{3, 30}, {2, 20}, {1, 10}},
      swapped[] = {{1, 20}, {2, 10}, {3, 30}};
    choir_list a = {items, 4}, b = {turned, 4}, c = {other, 4}, d = {items, 3};
    cr_assert(is_equal(v, set, &a, &a));
    cr_assert(is_equal(v, set, &a, &b));
    cr_assert_not(is_equal(v, list, &a, &b));
    cr_assert_not(is_equal(v, set, &a, &c));
    cr_assert_not(is_equal(v, set, &b, &c));
    cr_assert_not(is_equal(v, set, &a, &d));
    /* What comes twice, which only a peer can make: equally many, and each in the other. */
    choir_list e = {twice, 4}, f = {again, 4}, g = {three, 4};
    cr_assert(is_equal(v, set, &e, &f));
    cr_assert(is_equal(v, set, &e, &g));
    cr_assert_not(is_equal(v, set, &e, &a));
    choir_list x = {entries, 3}, y = {backwards, 3}, z = {swapped, 3};
    cr_assert(is_equal(v, map, &x, &y));
    cr_assert_not(is_equal(v, map, &x, &z));
    choir_list none = {NULL, 0};
    cr_assert(is_equal(v, map, &none, &none));
    cr_assert(is_equal(v, set, &none, &none));
    cr_assert_not(is_equal(v, set, &none, &a));
    values_free(v);
}

/* Ten times more elements, in order: ten times the work. In another order: some thousand, then an error in
 * bounded time. */
Test(value_ops, unordered_sets_are_bounded, .timeout = 120) {
    values *v = setup();
    enum { MANY = 1000000, SOME = 4000 };
    uint32_t set = values_type(v, "HashSet<u32>"), texts = values_type(v, "BTreeSet<String>");
    uint32_t *up = malloc(MANY * sizeof *up), *down = malloc(MANY * sizeof *down);
    for (uint32_t i = 0; i < MANY; i++) up[i] = down[MANY - 1 - i] = i;
    choir_list a = {up, MANY}, b = {down, MANY}, c = {up, SOME}, d = {down + MANY - SOME, SOME};
    cr_assert(is_equal(v, set, &a, &a));
    cr_assert(is_equal(v, set, &c, &d));
    cr_assert_eq(compare_status(v, set, &a, &b), CHOIR_ERR_TOO_LARGE);
    /* Long texts that differ at their ends cost more each. */
    char *text = calloc(2, 1 << 16);
    choir_str left[400], right[400];
    for (uint32_t i = 0; i < 400; i++) left[i] = right[399 - i] = (choir_str){text + i, 60000};
    text[60000 + 200] = 1;
    choir_list e = {left, 400}, f = {right, 400};
    cr_assert_eq(compare_status(v, texts, &e, &f), CHOIR_ERR_TOO_LARGE);
    free(text);
    free(up);
    free(down);
    values_free(v);
}

/* --- copies --- */

Test(value_ops, empty_things_and_nothing) {
    values *v = setup();
    struct {
        choir_str text;
        choir_bytes bytes;
        choir_list list, units;
        choir_list nested;
    } value = {{"x", 0}, {(const uint8_t *)"x", 0}, {"x", 0}, {"x", SIZE_MAX}, {&value.list, 1}}, copy;
    uint32_t type = values_type(v, "(String, Vec<u8>, Vec<u32>, Vec<()>, Vec<Vec<u32>>)");
    choir_arena *arena;
    cr_assert_eq(choir_arena_new(v->env, 4096, &arena), CHOIR_OK);
    cr_assert_eq(choir_value_copy(&v->ts->unit, type, &value, arena, &copy), CHOIR_OK);
    cr_assert(is_equal(v, type, &value, &copy));
    cr_assert_str_eq(copy.text.data, "");
    cr_assert_null(copy.bytes.data);
    cr_assert_null(copy.list.items);
    cr_assert_null(copy.units.items);
    cr_assert_eq(copy.units.len, SIZE_MAX);
    cr_assert_null(((const choir_list *)copy.nested.items)->items);
    choir_arena_free(arena);
    /* A value without a size. */
    void *clone = NULL;
    cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, values_type(v, "()"), NULL, &clone), CHOIR_OK);
    cr_assert_not_null(clone);
    choir_value_free(v->env, clone);
    /* A box of nothing is still a pointer. */
    const void *box = "", *boxed = NULL;
    cr_assert_eq(choir_value_copy(&v->ts->unit, values_type(v, "Box<()>"), &box, values_arena(v), &boxed),
                 CHOIR_OK);
    cr_assert_not_null(boxed);
    cr_assert_neq(boxed, box);
    /* An empty option keeps nothing of what was there. */
    struct {
        bool has;
        choir_str text;
    } option = {false, {"secret", 6}}, none;
    uint32_t of_text = values_type(v, "Option<String>");
    cr_assert_eq(choir_value_copy(&v->ts->unit, of_text, &option, values_arena(v), &none), CHOIR_OK);
    cr_assert(!none.has && !none.text.data);
    values_free(v);
}

/* Limits at N and N + 1, and the sum of sizes that is too large for a size. */
Test(value_ops, copies_are_bounded) {
    values *v = setup();
    uint32_t type = values_type(v, "Vec<(u64, u64)>");
    uint64_t items[200] = {0};
    choir_list value = {items, 100}, copy = {NULL, 7};
    for (size_t limit = 1500; limit < 1700; limit++) {
        choir_arena *arena;
        cr_assert_eq(choir_arena_new(v->env, limit, &arena), CHOIR_OK);
        int status = choir_value_copy(&v->ts->unit, type, &value, arena, &copy);
        bool fits = limit >= 1600 + 16; /* the block's head */
        cr_assert_eq(status, fits ? CHOIR_OK : CHOIR_ERR_TOO_LARGE, "limit %zu", limit);
        if (!fits) cr_assert_eq(copy.len, 7, "written to");
        choir_arena_free(arena);
    }
    void *clone = &value;
    value.len = SIZE_MAX / 8;
    cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, type, &value, &clone), CHOIR_ERR_TOO_LARGE);
    value.len = SIZE_MAX / 16;
    cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, type, &value, &clone), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(clone, &value, "untouched on failure");
    values_free(v);
}

Test(value_ops, failing_allocations) {
    values *v = setup();
    uint32_t type = values_type(v, "Parts");
    void *value = values_room(v, type), *clone = NULL;
    values_random_value(v, type, value, 0);
    uint64_t calls = v->alloc.calls;
    cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, type, value, &clone), CHOIR_OK);
    cr_assert_eq(v->alloc.calls, calls + 1, "one piece of memory");
    choir_value_free(v->env, clone);
    v->alloc.fail_at = v->alloc.calls + 1;
    cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, type, value, &clone), CHOIR_ERR_NO_MEMORY);
    choir_arena *arena;
    v->alloc.fail_at = 0;
    cr_assert_eq(choir_arena_new(v->env, 1 << 20, &arena), CHOIR_OK);
    uint32_t bytes = values_type(v, "Vec<u8>");
    static const uint8_t many[100000];
    choir_bytes large = {many, sizeof many}, copy;
    v->alloc.fail_at = v->alloc.calls + 1;
    cr_assert_eq(choir_value_copy(&v->ts->unit, bytes, &large, arena, &copy), CHOIR_ERR_NO_MEMORY);
    v->alloc.fail_at = 0;
    cr_assert_eq(choir_value_copy(&v->ts->unit, bytes, &large, arena, &copy), CHOIR_OK);
    choir_arena_free(arena);
    values_free(v);
}

/* --- values that are wrong --- */

static void refused(values *v, const char *name, const void *value, const char *printed) {
    uint32_t type = values_type(v, name);
    void *clone = NULL, *copy = values_room(v, type);
    cr_assert_eq(compare_status(v, type, value, value), CHOIR_ERR_INVALID, "%s", name);
    cr_assert_eq(choir_value_copy(&v->ts->unit, type, value, values_arena(v), copy), CHOIR_ERR_INVALID, "%s",
                 name);
    cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, type, value, &clone), CHOIR_ERR_INVALID, "%s", name);
    cr_assert_null(clone);
    cr_assert_str_eq(print(v, type, value), printed);
}

Test(value_ops, wrong_values) {
    values *v = setup();
    const void *null = NULL;
    refused(v, "Shapes", (const uint32_t[16]){6}, "<bad tag 6>");
    refused(v, "Result<u32, u32>", (const uint32_t[2]){2, 0}, "<bad tag 2>");
    refused(v, "Option<String>", (const uint64_t[4]){2}, "<bad option 2>");
    refused(v, "Box<u32>", &null, "<null>");
    refused(v, "(Box<()>,)", &null, "(<null>,)");
    refused(v, "String", &(choir_str){NULL, 5}, "<null>");
    refused(v, "Vec<u8>", &(choir_bytes){NULL, 500}, "<null>");
    refused(v, "Vec<u32>", &(choir_list){NULL, 5}, "<null>");
    refused(v, "Vec<String>", &(choir_list){NULL, 5}, "<null>");
    refused(v, "HashSet<String>", &(choir_list){NULL, 5}, "<null>");
    refused(v, "HashMap<u8, u8>", &(choir_list){NULL, 5}, "<null>");
    refused(v, "u32", NULL, "<null>");
    uint32_t none = v->ts->unit.types_len, number = 1;
    bool same;
    void *clone;
    cr_assert_eq(choir_value_equal(&v->ts->unit, none, &number, &number, &same), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_value_copy(&v->ts->unit, none, &number, values_arena(v), &number), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, none, &number, &clone), CHOIR_ERR_INVALID);
    cr_assert_str_eq(print(v, none, &number), "<no such type>");
    v->ts->unit.abi = 2;
    cr_assert_eq(choir_value_equal(&v->ts->unit, 0, &number, &number, &same), CHOIR_ERR_ABI);
    cr_assert_eq(choir_value_copy(&v->ts->unit, 0, &number, values_arena(v), &number), CHOIR_ERR_ABI);
    cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, 0, &number, &clone), CHOIR_ERR_ABI);
    cr_assert_str_eq(print(v, 0, &number),
                     "the unit was made for descriptor version 2, this library reads version 1");
    values_free(v);
}

/* --- nesting --- */

/* Deep values: `count` boxes and the end. As C sees them: a tag, and the pointer behind it. */
typedef struct deep {
    uint32_t tag;
    const struct deep *more;
} deep;

static const deep *deep_value(deep *nodes, size_t count) {
    for (size_t i = 0; i <= count; i++) nodes[i] = (deep){i < count, i < count ? &nodes[i + 1] : NULL};
    return nodes;
}

typedef struct deep_test {
    values *v;
    uint32_t type;
    deep nodes[100];
    bool done;
} deep_test;

/* What a thread with 64 KiB of stack can do with a value at the limit. */
static void *on_a_small_stack(void *ctx) {
    deep_test *t = ctx;
    const choir_unit *u = &t->v->ts->unit;
    void *clone = NULL, *copy = values_room(t->v, t->type);
    char text[512];
    bool same = false;
    const deep *value = deep_value(t->nodes, 31); /* 32 enums and 31 boxes, and the end counts as well */
    cr_assert_eq(choir_value_clone(t->v->env, u, t->type, value, &clone), CHOIR_OK);
    cr_assert_eq(choir_value_equal(u, t->type, value, clone, &same), CHOIR_OK);
    cr_assert(same);
    cr_assert_eq(choir_value_copy(u, t->type, clone, values_arena(t->v), copy), CHOIR_OK);
    cr_assert_gt(choir_value_print(u, t->type, copy, text, sizeof text), 31u * 6);
    choir_value_free(t->v->env, clone);
    choir_bytes bytes;
    deep decoded;
    choiri_text why;
    cr_assert_eq(values_encode(t->v, t->type, value, &bytes), CHOIR_OK);
    cr_assert_eq(values_decode(t->v, t->type, bytes, &decoded, &why), CHOIR_OK);
    cr_assert_eq(choir_value_equal(u, t->type, value, &decoded, &same), CHOIR_OK);
    cr_assert(same);
    t->done = true;
    return NULL;
}

/* Reliability case A16. */
Test(value_ops, values_at_the_depth_limit_fit_a_small_stack) {
    static deep_test t;
    pthread_attr_t attr;
    pthread_t thread;
    t.v = setup();
    t.type = values_type(t.v, "Deep");
    cr_assert_eq(pthread_attr_init(&attr), 0);
    cr_assert_eq(pthread_attr_setstacksize(&attr, 64 << 10), 0);
    cr_assert_eq(pthread_create(&thread, &attr, on_a_small_stack, &t), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(t.done);
    pthread_attr_destroy(&attr);
    values_free(t.v);
}

Test(value_ops, nesting_ends_at_64) {
    values *v = setup();
    uint32_t type = values_type(v, "Deep");
    deep nodes[100];
    for (size_t count = 28; count < 40; count++) {
        const deep *value = deep_value(nodes, count);
        int expected = 2 * count + 1 <= CHOIRI_VALUE_DEPTH ? CHOIR_OK : CHOIR_ERR_DEPTH; /* enums and boxes */
        choir_bytes bytes;
        void *clone = NULL;
        deep copy;
        cr_assert_eq(values_encode(v, type, value, &bytes), expected, "%zu", count);
        cr_assert_eq(compare_status(v, type, value, value), expected, "%zu", count);
        cr_assert_eq(choir_value_copy(&v->ts->unit, type, value, values_arena(v), &copy), expected, "%zu",
                     count);
        cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, type, value, &clone), expected, "%zu", count);
        choir_value_free(v->env, clone);
        const char *text = print(v, type, value);
        cr_assert_eq(strstr(text, "...") == NULL, expected == CHOIR_OK, "%s", text);
    }
    values_free(v);
}

/* A value that points to itself ends, too. */
Test(value_ops, endless_values_end) {
    values *v = setup();
    uint32_t type = values_type(v, "Deep");
    deep loop = {1, NULL}, copy;
    loop.more = &loop;
    cr_assert_eq(compare_status(v, type, &loop, &loop), CHOIR_ERR_DEPTH);
    cr_assert_eq(choir_value_copy(&v->ts->unit, type, &loop, values_arena(v), &copy), CHOIR_ERR_DEPTH);
    cr_assert_str_eq(print(v, type, &loop) + 5 * 32, "..."
                                                     "))))))))))))))))))))))))))))))))");
    values_free(v);
}

/* Types without bytes that are made of 2^60 parts cost nothing, whatever is done with their values; neither
 * do lists of any number of them. */
Test(value_ops, exponential_types_cost_nothing, .timeout = 120) {
    enum { LEVELS = 60 };
    choir_type types[LEVELS + 1];
    choir_field fields[2 * LEVELS];
    types[0] = (choir_type){.kind = CHOIR_KIND_UNIT, .align = 1};
    for (uint32_t i = 1; i < LEVELS; i++)
        types[i] = (choir_type){.kind = CHOIR_KIND_TUPLE, .align = 1, .first = 2 * i, .count = 2};
    for (uint32_t i = 0; i < 2 * LEVELS; i++) fields[i] = (choir_field){.type = i < 2 ? 0 : i / 2 - 1};
    types[LEVELS] = (choir_type){.kind = CHOIR_KIND_LIST,
                                 .size = sizeof(choir_list),
                                 .align = _Alignof(choir_list),
                                 .elem = LEVELS - 1};
    values *v = values_new();
    v->ts->unit =
        (choir_unit){CHOIR_UNIT_HEADER, .types_len = LEVELS + 1, .types = types, .fields_len = 2 * LEVELS,
                     .fields = fields,  .strings_len = 1,        .strings = ""};
    choiri_text text;
    cr_assert_eq(choiri_unit_check(&v->ts->unit, &text), CHOIR_OK, "%s", text.data);
    choir_list list = {NULL, SIZE_MAX / 16 + 1}, copy;
    choir_bytes bytes;
    choir_str json, error;
    char printed[300];
    for (uint32_t type = LEVELS - 1; type <= LEVELS; type++) {
        void *value = type == LEVELS ? &list : NULL, *clone = NULL;
        cr_assert_eq(values_encode(v, type, value, &bytes), CHOIR_OK);
        cr_assert_eq(bytes.len, type < LEVELS ? 0 : sizeof(size_t) == 8 ? 9 : 5);
        cr_assert(is_equal(v, type, value, value));
        cr_assert_eq(choir_value_copy(&v->ts->unit, type, value, values_arena(v), &copy), CHOIR_OK);
        cr_assert_eq(choir_value_clone(v->env, &v->ts->unit, type, value, &clone), CHOIR_OK);
        choir_value_free(v->env, clone);
        cr_assert_eq(choir_value_print(&v->ts->unit, type, value, printed, sizeof printed),
                     sizeof printed - 1);
        choir_arena *arena;
        cr_assert_eq(choir_arena_new(v->env, 65536, &arena), CHOIR_OK);
        cr_assert_eq(choir_value_to_json(&v->ts->unit, type, value, arena, &json), CHOIR_ERR_TOO_LARGE);
        cr_assert_neq(choir_value_from_json(&v->ts->unit, type, CHOIR_STR("[[[["), arena, &copy, &error),
                      CHOIR_OK);
        choir_arena_free(arena);
    }
    uint8_t none = 0;
    choiri_reader r = choiri_reader_of((choir_bytes){&none, 0});
    cr_assert_eq(choiri_value_decode(&r, &v->ts->unit, LEVELS - 1, &v->arena, NULL, &text), CHOIR_OK);
    /* A peer may announce 65,536 of them, and no more. */
    cr_assert_eq(values_decode(v, LEVELS, values_hex(v, "808004"), &copy, &text), CHOIR_OK);
    cr_assert_eq(copy.len, 65536);
    cr_assert_eq(values_decode(v, LEVELS, values_hex(v, "818004"), &copy, &text), CHOIR_ERR_MALFORMED);
    cr_assert_eq(values_decode(v, LEVELS, values_hex(v, "808080808080808010"), &copy, &text),
                 CHOIR_ERR_MALFORMED);
    values_free(v);
}

/* --- prints --- */

static void prints(values *v, const char *type, const char *json, const char *expected) {
    uint32_t index = values_type(v, type);
    void *value = values_room(v, index);
    choir_str error = {NULL, 0};
    int status = choir_value_from_json(&v->ts->unit, index, (choir_str){json, strlen(json)}, values_arena(v),
                                       value, &error);
    cr_assert_eq(status, CHOIR_OK, "%s: %.*s", json, (int)error.len, error.data);
    cr_assert_str_eq(print(v, index, value), expected);
}

Test(value_ops, prints) {
    values *v = setup();
    prints(v, "Person", "{\"name\":\"Ann\",\"age\":3,\"email\":null}",
           "Person { name: \"Ann\", age: 3, email: None }");
    prints(v, "Option<Option<u8>>", "7", "Some(Some(7))");
    prints(v, "Result<Person, Shapes>", "{\"Err\":{\"Tup\":[1,\"x\"]}}", "Err(Tup(1, \"x\"))");
    prints(v, "Vec<Shapes>",
           "[\"Unit\",{\"New\":5},{\"Named\":{\"a\":1,\"b\":\"y\"}},{\"Nothing\":[]},{\"Empty\":{}}]",
           "[Unit, New(5), Named { a: 1, b: Some(\"y\") }, Nothing(), Empty]");
    prints(v, "(u8, (), (i8,))", "[1,null,[-1]]", "(1, (), (-1,))");
    prints(v, "[u16; 3]", "[1,2,3]", "[1, 2, 3]");
    prints(v, "HashMap<String, u8>", "{\"a\":1,\"b\":2}", "{\"a\": 1, \"b\": 2}");
    prints(v, "BTreeSet<char>", "[\"a\",\"\\u00df\",\"\\n\",\"'\"]", "{'a', '\xc3\x9f', '\\n', '''}");
    prints(v, "(bool, f32, f64, f64, f64)", "[true,1.5,\"NaN\",\"Infinity\",\"-Infinity\"]",
           "(true, 1.5, NaN, inf, -inf)");
    prints(
        v, "(u128, i128, i64)",
        "[340282366920938463463374607431768211455,-170141183460469231731687303715884105728,-9223372036854775808]",
        "(340282366920938463463374607431768211455, -170141183460469231731687303715884105728, -9223372036854775808)");
    prints(v, "(Duration, Duration)", "[1.5, 18446744073709551615]", "(1.5s, 18446744073709551615s)");
    prints(v, "Vec<u8>", "[0,1,255]", "0x0001ff");
    prints(v, "Vec<u8>", "[]", "0x");
    prints(v, "Expr", "{\"Add\":{\"l\":{\"Num\":1},\"r\":{\"Neg\":{\"Num\":2}}}}",
           "Add { l: Num(1), r: Neg(Num(2)) }");
    struct {
        choir_tx tx;
        struct {
            bool has;
            choir_rx rx;
        } rx;
    } ends = {{7}, {true, {9}}};
    cr_assert_str_eq(print(v, values_type(v, "Ends"), &ends), "Ends { tx: Tx(7), rx: Some(Rx(9)) }");
    values_free(v);
}

Test(value_ops, prints_cannot_be_misread) {
    values *v = setup();
    static const struct {
        const char *text, *printed;
    } texts[] = {
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\x1b[31m\r\n\t\x7f", "\"\\x1b[31m\\x0d\\n\\t\\x7f\""},
        {"\xc2\x9b"
         "0m \xc2\xa0 \xc3\x9b",
         "\"\\xc2\\x9b"
         "0m \xc2\xa0 \xc3\x9b\""}, /* CSI is a control, U+00A0 and U+00DB are not */
        {"ok \xff\xc3", "\"ok \\xff\\xc3\""},
        {"\xf0\x9f\xa6\x80", "\"\xf0\x9f\xa6\x80\""},
    };
    uint32_t type = values_type(v, "String");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_assert_str_eq(print(v, type, &(choir_str){texts[i].text, strlen(texts[i].text)}),
                         texts[i].printed);
    cr_assert_str_eq(print(v, values_type(v, "bool"), &(uint8_t){7}), "<bad bool 7>");
    cr_assert_str_eq(print(v, values_type(v, "char"), &(uint32_t){0xd800}), "<bad char 55296>");
    cr_assert_str_eq(print(v, values_type(v, "char"), &(uint32_t){0x110000}), "<bad char 1114112>");
    cr_assert_str_eq(print(v, values_type(v, "Duration"), &(choir_timespan){1, 1000000000}),
                     "<bad nanoseconds 1000000000>");
    values_free(v);
}

/* Nothing of a sensitive field is seen, wherever it is. */
Test(value_ops, sensitive_fields_are_redacted) {
    values *v = setup();
    uint32_t person = values_type(v, "Person"), shapes = values_type(v, "Shapes"),
             map = values_type(v, "HashMap<String, u8>");
    choir_field *name = &v->ts->fields[v->ts->types[person].first];
    const choir_variant *variants = &v->ts->variants[v->ts->types[shapes].first];
    name->flags |= CHOIR_FIELD_SENSITIVE;
    v->ts->fields[variants[1].first].flags |= CHOIR_FIELD_SENSITIVE;
    v->ts->fields[variants[3].first + 1].flags |= CHOIR_FIELD_SENSITIVE;
    v->ts->fields[v->ts->types[v->ts->types[map].elem].first + 1].flags |= CHOIR_FIELD_SENSITIVE;
    prints(v, "Vec<Person>", "[{\"name\":\"secret\",\"age\":3,\"email\":\"x\"}]",
           "[Person { name: <redacted>, age: 3, email: Some(\"x\") }]");
    prints(v, "(Shapes, Shapes)", "[{\"New\":5},{\"Named\":{\"a\":1,\"b\":null}}]",
           "(New(<redacted>), Named { a: 1, b: <redacted> })");
    struct {
        choir_str key;
        uint8_t value;
    } entry = {{"k", 1}, 5};
    cr_assert_str_eq(print(v, map, &(choir_list){&entry, 1}), "{\"k\": <redacted>}");
    values_free(v);
}

Test(value_ops, long_things_are_cut) {
    values *v = setup();
    char text[600], expected[700];
    memset(text, 'x', sizeof text);
    choir_str s = {text, 256};
    uint32_t type = values_type(v, "String");
    cr_assert_eq(strlen(print(v, type, &s)), 258);
    s.len = 257;
    snprintf(expected, sizeof expected, "\"%.256s\"... 257 bytes", text);
    cr_assert_str_eq(print(v, type, &s), expected);
    memcpy(text + 254, "\xf0\x9f\xa6\x80", 4); /* not inside a character */
    s.len = 600;
    snprintf(expected, sizeof expected, "\"%.254s\"... 600 bytes", text);
    cr_assert_str_eq(print(v, type, &s), expected);
    uint8_t data[33] = {0};
    choir_bytes bytes = {data, 32};
    cr_assert_eq(strlen(print(v, values_type(v, "Vec<u8>"), &bytes)), 66);
    bytes.len = 33;
    cr_assert(strstr(print(v, values_type(v, "Vec<u8>"), &bytes), "00... 33 bytes"));
    choir_list list = {data, 33};
    uint32_t bools = values_type(v, "Vec<bool>"), units = values_type(v, "HashSet<()>");
    cr_assert_not(strstr(print(v, bools, &list), "more"));
    list = (choir_list){NULL, 64};
    cr_assert_not(strstr(print(v, units, &list), "more"));
    list.len = 65;
    cr_assert(strstr(print(v, units, &list), "(), ... 1 more}"));
    list.len = SIZE_MAX;
    char rest[64];
    snprintf(rest, sizeof rest, "(), ... %zu more}", SIZE_MAX - 64);
    cr_assert(strstr(print(v, units, &list), rest));
    values_free(v);
}

/* Every size of the room: the text is cut at its end and never longer, and nothing is written behind it. */
Test(value_ops, prints_into_any_room) {
    values *v = setup();
    uint32_t type = values_type(v, "(String, Person)");
    const char *json =
        "[\"a\xc3\x9f\xf0\x9f\xa6\x80z\",{\"name\":\"\\u00e4\\u00f6\",\"age\":3,\"email\":\"\xe4\xb8\x96\"}]";
    void *value = values_room(v, type);
    choir_str error;
    cr_assert_eq(choir_value_from_json(&v->ts->unit, type, (choir_str){json, strlen(json)}, values_arena(v),
                                       value, &error),
                 CHOIR_OK);
    const char *whole = print(v, type, value);
    size_t full = strlen(whole);
    cr_assert_eq(choir_value_print(&v->ts->unit, type, value, NULL, 0), 0);
    for (size_t size = 1; size < full + 3; size++) {
        char *room = malloc(size); /* exactly: writing behind it is found */
        size_t len = choir_value_print(&v->ts->unit, type, value, room, size);
        cr_assert_eq(len, strlen(room));
        cr_assert_lt(len, size);
        cr_assert(choiri_utf8_is_valid((const uint8_t *)room, len), "size %zu: %s", size, room);
        if (size > full) {
            cr_assert_str_eq(room, whole);
        } else if (size > 3) {
            cr_assert_str_eq(room + len - 3, "...");
            cr_assert_eq(memcmp(room, whole, len - 3), 0);
            cr_assert_gt(len + 4, size - 1);
        } else {
            cr_assert_eq(len, 0);
        }
        free(room);
    }
    values_free(v);
}

/* All values that Rust was seen to write: copies are equal to them, and all can be printed. */
Test(value_ops, rust_types) {
    values *v = values_new();
    size_t checked = 0;
    for (size_t i = 0; i < rust_types_count; i++) {
        const schema_vector_type *t = &rust_types[i];
        if (t->root.is_response) continue;
        v->ts->unit = *t->root.unit;
        uint32_t type = t->root.type;
        size_t size = choiri_unit_type(t->root.unit, type)->size;
        for (int k = 0; k < t->values_len; k++, checked++) {
            choiri_text text;
            void *value = values_alloc(v, size), *copy = values_alloc(v, size);
            cr_assert_eq(values_decode(v, type, t->values[k], value, &text), CHOIR_OK);
            cr_assert_eq(choir_value_copy(t->root.unit, type, value, values_arena(v), copy), CHOIR_OK);
            cr_assert(is_equal(v, type, value, copy), "%s", t->name);
            cr_assert_not(strstr(print(v, type, copy), "<"), "%s", t->name);
        }
    }
    cr_assert_gt(checked, 150);
    values_free(v);
}
