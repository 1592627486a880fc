/* SPDX-License-Identifier: MIT */
/* The value codec: recorded bytes, damaged bytes, limits, values that must not be sent, random round
 * trips. */
#include "choir/chunk.h"
#include "schema_vectors.h"
#include "value/test_values.h"

static const char *const declarations[] = {
    "struct Loop { next: Box<Loop> }",
    "struct Twins { a: Box<Twins>, b: [Box<Twins>; 3] }",
    NULL,
};

static values *setup(void) {
    return values_declared(declarations);
}

/* --- recorded bytes, whole and damaged --- */

static void check_recorded(values *v, const values_vector *vector) {
    choir_bytes bytes = values_hex(v, vector->hex), again;
    void *value = values_room(v, vector->type);
    choiri_text text;
    cr_assert_eq(values_decode(v, vector->type, bytes, value, &text), CHOIR_OK, "%s", vector->line);
    cr_assert_eq(values_encode(v, vector->type, value, &again), CHOIR_OK, "%s", vector->line);
    cr_assert(values_equal(bytes, again), "%s", vector->line);
    cr_assert_leq(choiri_value_min_size(&v->ts->unit, vector->type), bytes.len, "%s", vector->line);
}

Test(value, recorded) {
    values *v = values_new();
    cr_assert_gt(values_each_vector(v, check_recorded), 160);
    values_free(v);
}

/* Every value that Rust was seen to write, of every type that descriptors can say. */
Test(value, rust_types) {
    values *v = values_new();
    size_t checked = 0;
    for (size_t i = 0; i < rust_types_count; i++) {
        const schema_vector_type *type = &rust_types[i];
        if (type->root.is_response) continue; /* of a VoxError, which rpc encodes by itself */
        v->ts->unit = *type->root.unit;
        for (int k = 0; k < type->values_len; k++) {
            choiri_text text;
            choir_bytes again;
            void *value = values_alloc(v, choiri_unit_type(type->root.unit, type->root.type)->size + 1);
            int rc = values_decode(v, type->root.type, type->values[k], value, &text);
            cr_assert_eq(rc, CHOIR_OK, "%s, value %d: %s", type->name, k, text.data);
            cr_assert_eq(values_encode(v, type->root.type, value, &again), CHOIR_OK);
            cr_assert(values_equal(type->values[k], again), "%s, value %d", type->name, k);
            checked++;
        }
    }
    printf("values as Rust writes them: %zu\n", checked);
    cr_assert_gt(checked, 150);
    values_free(v);
}

static void check_truncated(values *v, const values_vector *vector) {
    choir_bytes bytes = values_hex(v, vector->hex);
    void *value = values_room(v, vector->type);
    choiri_text text;
    for (size_t len = 0; len < bytes.len; len++) {
        /* In memory of its own, so that a read behind the end is found. */
        uint8_t *exact = malloc(len + 1);
        memcpy(exact + 1, bytes.data, len);
        int rc = values_decode(v, vector->type, (choir_bytes){exact + 1, len}, value, &text);
        cr_assert_eq(rc, CHOIR_ERR_TRUNCATED, "%zu bytes of %s", len, vector->line);
        cr_assert(strstr(text.data, "truncated "), "%s", text.data);
        free(exact);
    }
}

Test(value, truncated) {
    values *v = values_new();
    values_each_vector(v, check_truncated);
    values_free(v);
}

/* What decodes after damage is a value: encoding it gives bytes that mean the same, and no more of them. */
static void check_damaged(values *v, uint32_t type, choir_bytes bytes) {
    void *value = values_room(v, type);
    choiri_reader r = choiri_reader_of(bytes);
    choir_bytes once, twice;
    if (choiri_value_decode(&r, &v->ts->unit, type, &v->arena, value, NULL) != CHOIR_OK) return;
    cr_assert_eq(values_encode(v, type, value, &once), CHOIR_OK);
    cr_assert_leq(once.len, (size_t)(r.pos - bytes.data));
    cr_assert_eq(values_decode(v, type, once, value, NULL), CHOIR_OK);
    cr_assert_eq(values_encode(v, type, value, &twice), CHOIR_OK);
    cr_assert(values_equal(once, twice));
}

static void check_bit_flips(values *v, const values_vector *vector) {
    choir_bytes bytes = values_hex(v, vector->hex);
    uint8_t *damaged = values_alloc(v, bytes.len);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        memcpy(damaged, bytes.data, bytes.len);
        damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_damaged(v, vector->type, (choir_bytes){damaged, bytes.len});
    }
}

Test(value, bit_flips) {
    values *v = values_new();
    values_each_vector(v, check_bit_flips);
    values_free(v);
}

Test(value, random_round_trips) {
    values *v = setup();
    static const char *const types[] = {"Scalars",
                                        "Parts",
                                        "Vec<Parts>",
                                        "Expr",
                                        "Tree",
                                        "Shapes",
                                        "(Person, Option<Option<Parts>>)",
                                        "HashMap<(u8, String), [Expr; 2]>"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        uint32_t type = values_type(v, types[i]);
        for (int n = 0; n < 500; n++) {
            uint8_t *value = values_room(v, type), *back = values_room(v, type);
            choir_bytes bytes, again;
            values_random_value(v, type, value, 0);
            cr_assert_eq(values_encode(v, type, value, &bytes), CHOIR_OK);
            cr_assert_eq(values_decode(v, type, bytes, back, NULL), CHOIR_OK);
            cr_assert_eq(values_encode(v, type, back, &again), CHOIR_OK);
            cr_assert(values_equal(bytes, again));
            if (bytes.len > 0) {
                uint64_t bit = values_random(v) % (8 * bytes.len);
                ((uint8_t *)(uintptr_t)bytes.data)[bit / 8] ^= (uint8_t)(1u << bit % 8);
                check_damaged(v, type, bytes);
            }
            choiri_arena_reset(&v->arena);
        }
    }
    values_free(v);
}

/* --- what is accepted and what is not --- */

typedef struct bad {
    const char *type, *hex;
    int status;
    const char *text;
} bad;

Test(value, errors_say_where_and_what) {
    static const bad cases[] = {
        {"(i64, i64)", "14", CHOIR_ERR_TRUNCATED, "args.1: truncated i64"},
        {"u64", "", CHOIR_ERR_TRUNCATED, "truncated u64"},
        {"bool", "02", CHOIR_ERR_MALFORMED, "malformed bool"},
        {"Option<bool>", "02", CHOIR_ERR_MALFORMED, "malformed option"},
        {"Option<bool>", "0102", CHOIR_ERR_MALFORMED, "malformed bool"},
        {"u16", "808004", CHOIR_ERR_MALFORMED, "malformed u16"},
        {"i16", "808004", CHOIR_ERR_MALFORMED, "malformed i16"},
        {"i16", "818004", CHOIR_ERR_MALFORMED, "malformed i16"},
        {"u32", "8080808010", CHOIR_ERR_MALFORMED, "malformed u32"},
        {"i32", "8080808010", CHOIR_ERR_MALFORMED, "malformed i32"},
        {"i32", "8180808010", CHOIR_ERR_MALFORMED, "malformed i32"},
        {"u64", "ffffffffffffffffff02", CHOIR_ERR_MALFORMED, "malformed u64"},
        {"u64", "ffffffffffffffffffff01", CHOIR_ERR_MALFORMED, "malformed u64"},
        {"u128", "ffffffffffffffffffffffffffffffffffff04", CHOIR_ERR_MALFORMED, "malformed u128"},
        {"char", "00", CHOIR_ERR_MALFORMED, "malformed char"},
        {"char", "01ff", CHOIR_ERR_MALFORMED, "malformed char"},
        {"String", "02c328", CHOIR_ERR_MALFORMED, "malformed string"},
        {"String", "03eda080", CHOIR_ERR_MALFORMED, "malformed string"},
        {"String", "02c080", CHOIR_ERR_MALFORMED, "malformed string"},
        {"String", "04f4908080", CHOIR_ERR_MALFORMED, "malformed string"},
        {"String", "0561", CHOIR_ERR_TRUNCATED, "truncated string"},
        {"Vec<u8>", "0561", CHOIR_ERR_TRUNCATED, "truncated bytes"},
        {"Result<u8, u8>", "0200", CHOIR_ERR_MALFORMED, "malformed result"},
        {"Result<u8, bool>", "0102", CHOIR_ERR_MALFORMED, "Err: malformed bool"},
        {"Result<Person, u8>", "000161", CHOIR_ERR_TRUNCATED, "Ok.age: truncated u8"},
        {"Shapes", "06", CHOIR_ERR_MALFORMED, "malformed Shapes"},
        {"Shapes", "808080808010", CHOIR_ERR_MALFORMED, "malformed Shapes"},
        {"Shapes", "01", CHOIR_ERR_TRUNCATED, "New: truncated u32"},
        {"Shapes", "020501", CHOIR_ERR_TRUNCATED, "Tup.1: truncated string"},
        {"Shapes", "030102", CHOIR_ERR_MALFORMED, "Named.b: malformed option"},
        {"Vec<Person>", "020161000001620002", CHOIR_ERR_MALFORMED, "[1].email: malformed option"},
        {"(u8, Vec<Person>)", "00010161", CHOIR_ERR_TRUNCATED, "args.1: truncated list"},
        {"HashMap<String, u16>", "010161ffffff01", CHOIR_ERR_MALFORMED, "[0].1: malformed u16"},
        {"[bool; 3]", "000102", CHOIR_ERR_MALFORMED, "[2]: malformed bool"},
        {"!", "00", CHOIR_ERR_MALFORMED, "malformed never"},
        {"Vec<!>", "0100", CHOIR_ERR_MALFORMED, "[0]: malformed never"},
        {"Box<bool>", "07", CHOIR_ERR_MALFORMED, "malformed bool"},
        {"Tree", "0101020103020505", CHOIR_ERR_TRUNCATED, "children[0].children[0].children: truncated list"},
    };
    values *v = setup();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t type = values_type(v, cases[i].type);
        choiri_text text;
        int rc = values_decode(v, type, values_hex(v, cases[i].hex), values_room(v, type), &text);
        cr_expect_eq(rc, cases[i].status, "%s %s: %d", cases[i].type, cases[i].hex, rc);
        cr_expect_str_eq(text.data, cases[i].text);
    }
    values_free(v);
}

Test(value, durations) {
    values *v = setup();
    uint32_t type = values_type(v, "(Duration, u8)");
    static const struct {
        choir_timespan span;
        const char *hex;
    } good[] = {
        {{0, 0}, "000007"},
        {{0, 999999999}, "00ff93ebdc0307"},
        {{UINT64_MAX, 1}, "ffffffffffffffffff010107"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        choir_bytes bytes = values_hex(v, good[i].hex), again;
        struct {
            choir_timespan span;
            uint8_t byte;
        } value;
        choiri_text text;
        cr_assert_eq(values_decode(v, type, bytes, &value, &text), CHOIR_OK, "%s", text.data);
        cr_assert_eq(value.span.seconds, good[i].span.seconds);
        cr_assert_eq(value.span.nanoseconds, good[i].span.nanoseconds);
        cr_assert_eq(value.byte, 7);
        cr_assert_eq(values_encode(v, type, &value, &again), CHOIR_OK);
        cr_assert(values_equal(bytes, again));
        for (size_t len = 0; len < bytes.len; len++)
            cr_assert_eq(values_decode(v, type, (choir_bytes){bytes.data, len}, &value, &text),
                         CHOIR_ERR_TRUNCATED);
    }
    choir_bytes second = values_hex(v, "008094ebdc0307"), none; /* a second in nanoseconds */
    uint8_t room[32];
    choiri_text text;
    cr_assert_eq(values_decode(v, type, second, room, &text), CHOIR_ERR_MALFORMED);
    cr_assert_str_eq(text.data, "args.0: malformed duration");
    cr_assert_eq(values_encode(v, values_type(v, "Duration"), &(choir_timespan){0, 1000000000}, &none),
                 CHOIR_ERR_INVALID);
    values_free(v);
}

/* On the wire an end of a channel is the channel's id. */
Test(value, channel_ends) {
    values *v = setup();
    uint32_t type = values_type(v, "(Tx<u32>, Rx<String>)");
    choir_bytes bytes = values_hex(v, "ac02ffffffffffffffffff01"), again;
    struct {
        choir_tx tx;
        choir_rx rx;
    } value = {{0}, {0}};
    choiri_text text;
    cr_assert_eq(values_decode(v, type, bytes, &value, &text), CHOIR_OK, "%s", text.data);
    cr_assert_eq(value.tx.v, 300);
    cr_assert_eq(value.rx.v, UINT64_MAX);
    cr_assert_eq(values_encode(v, type, &value, &again), CHOIR_OK);
    cr_assert(values_equal(bytes, again));
    cr_assert_eq(values_decode(v, type, (choir_bytes){bytes.data, 3}, &value, &text), CHOIR_ERR_TRUNCATED);
    cr_assert_str_eq(text.data, "args.1: truncated rx");
    values_free(v);
}

Test(value, long_paths_keep_both_ends) {
    values *v = setup();
    uint32_t type = values_type(v, "Tree");
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = 1;
    bytes[61] = 0x80; /* the last v goes on to the end of the input */
    choiri_text text;
    int rc = values_decode(v, type, (choir_bytes){bytes, 62}, values_room(v, type), &text);
    cr_assert_eq(rc, CHOIR_ERR_TRUNCATED);
    cr_assert_str_eq(
        text.data,
        "children[0].children[0].children[0]...[0].children[0].children[0].children: truncated list");
    values_free(v);
}

Test(value, lenient_where_vox_is) {
    values *v = setup();
    uint16_t number = 0;
    uint32_t scalar = 0;
    cr_assert_eq(values_decode(v, values_type(v, "u16"), values_hex(v, "85808000"), &number, NULL), CHOIR_OK);
    cr_assert_eq(number, 5, "overlong varint");
    cr_assert_eq(values_decode(v, values_type(v, "char"), values_hex(v, "04c3b16161"), &scalar, NULL),
                 CHOIR_OK);
    cr_assert_eq(scalar, 0xf1, "first scalar of a longer text");

    uint32_t map = values_type(v, "HashMap<u8, u8>");
    choir_list list;
    cr_assert_eq(values_decode(v, map, values_hex(v, "03010205060103"), &list, NULL), CHOIR_OK);
    const uint8_t expected[] = {1, 2, 5, 6, 1, 3};
    cr_assert_eq(list.len, 3, "duplicate keys stay");
    cr_assert_arr_eq(list.items, expected, 6);

    choir_bytes bytes = values_hex(v, "050607");
    choiri_reader r = choiri_reader_of(bytes);
    uint8_t byte;
    cr_assert_eq(choiri_value_decode(&r, &v->ts->unit, values_type(v, "u8"), &v->arena, &byte, NULL),
                 CHOIR_OK);
    cr_assert_eq(choiri_reader_left(&r), 2, "what follows is left alone");
    values_free(v);
}

Test(value, text_and_bytes_are_borrowed) {
    values *v = setup();
    choir_bytes in = values_hex(v, "03616263020102");
    struct {
        choir_str s;
        choir_bytes b;
    } pair;
    choiri_arena none;
    choiri_arena_init(&none, v->env, NULL, 0, 0);
    choiri_reader r = choiri_reader_of(in);
    cr_assert_eq(
        choiri_value_decode(&r, &v->ts->unit, values_type(v, "(String, Vec<u8>)"), &none, &pair, NULL),
        CHOIR_OK);
    cr_assert_eq((const uint8_t *)pair.s.data, in.data + 1);
    cr_assert_eq(pair.b.data, in.data + 5);
    values_free(v);
}

/* --- limits --- */

static const char huge[] = "808080808080808040"; /* 2^62 */

Test(value, counts_are_bounded_by_bytes, .timeout = 120) {
    values *v = setup();
    static const char *const types[] = {"Vec<u32>",     "Vec<()>",         "Vec<Vec<()>>", "Vec<!>",
                                        "HashSet<u64>", "HashMap<u8, ()>", "Vec<f64>",     "Vec<Tree>",
                                        "Vec<Loop>",    "Vec<char>",       "String",       "Vec<u8>"};
    uint64_t before = v->alloc.peak;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        uint32_t type = values_type(v, types[i]);
        for (size_t extra = 0; extra < 3; extra++) {
            char hex[64] = {0};
            strcat(hex, huge);
            for (size_t n = 0; n < extra; n++) strcat(hex, "00");
            int rc = values_decode(v, type, values_hex(v, hex), values_room(v, type), NULL);
            cr_expect(rc == CHOIR_ERR_TRUNCATED || rc == CHOIR_ERR_MALFORMED, "%s: %d", types[i], rc);
        }
    }
    cr_assert_leq(v->alloc.peak, before + 65536, "nothing was allocated for them");

    /* Exactly as many as there are bytes for, and one more. */
    choir_list list;
    cr_assert_eq(
        values_decode(v, values_type(v, "Vec<f32>"), values_hex(v, "020000000000000000"), &list, NULL),
        CHOIR_OK);
    cr_assert_eq(
        values_decode(v, values_type(v, "Vec<f32>"), values_hex(v, "0300000000000000000000"), &list, NULL),
        CHOIR_ERR_TRUNCATED);
    /* Elements without bytes. */
    cr_assert_eq(values_decode(v, values_type(v, "Vec<()>"), values_hex(v, "808004"), &list, NULL), CHOIR_OK);
    cr_assert_eq(list.len, 65536);
    cr_assert_eq(values_decode(v, values_type(v, "Vec<()>"), values_hex(v, "818004"), &list, NULL),
                 CHOIR_ERR_MALFORMED);
    values_free(v);
}

/* 30,000 lists of 65,536 units each are 90 KB on the wire and must not be two billion steps. */
Test(value, lists_of_nothing_cost_nothing, .timeout = 120) {
    values *v = setup();
    enum { LISTS = 30000 };
    uint8_t *bytes = malloc(3 + 3 * LISTS);
    uint8_t *p = choiri_put_varint(bytes, LISTS);
    for (size_t i = 0; i < LISTS; i++) p = choiri_put_varint(p, 65536);
    choir_list list;
    choir_bytes all = {bytes, (size_t)(p - bytes)}, again;
    uint32_t type = values_type(v, "Vec<Vec<()>>");
    cr_assert_eq(values_decode(v, type, all, &list, NULL), CHOIR_OK);
    cr_assert_eq(values_encode(v, type, &list, &again), CHOIR_OK);
    cr_assert(values_equal(all, again));
    free(bytes);
    values_free(v);
}

static void nested_lists(char *text, size_t depth) {
    text[0] = '\0';
    for (size_t i = 0; i < depth; i++) strcat(text, "Vec<");
    strcat(text, "u32");
    for (size_t i = 0; i < depth; i++) strcat(text, ">");
}

Test(value, nesting_ends_at_64) {
    values *v = setup();
    char text[512];
    uint8_t ones[80];
    memset(ones, 1, sizeof ones);
    for (size_t depth = 64; depth <= 65; depth++) {
        nested_lists(text, depth);
        uint32_t type = values_type(v, text);
        choir_list list;
        choiri_text why;
        int rc = values_decode(v, type, (choir_bytes){ones, depth + 1}, &list, &why);
        cr_assert_eq(rc, depth == 64 ? CHOIR_OK : CHOIR_ERR_DEPTH);
        if (rc != CHOIR_OK) cr_assert(strstr(why.data, ": nested more than 64 deep"), "%s", why.data);
        /* The same by hand, for the encoder. */
        uint32_t leaf = 1;
        choir_list nest[66] = {{&leaf, 1}};
        for (size_t i = 1; i < depth; i++) nest[i] = (choir_list){&nest[i - 1], 1};
        choir_bytes bytes;
        cr_assert_eq(values_encode(v, type, &nest[depth - 1], &bytes),
                     depth == 64 ? CHOIR_OK : CHOIR_ERR_DEPTH);
    }
    values_free(v);
}

typedef struct deep {
    uint32_t tag;
    struct deep *more;
} deep;

Test(value, boxes_count_as_nesting) {
    values *v = setup();
    uint32_t type = values_type(v, "Deep");
    /* Each level is an enum and a box: 32 of them, the last an End without a box. */
    deep chain[40];
    for (size_t levels = 31; levels <= 33; levels++) {
        uint8_t bytes[40];
        memset(bytes, 1, sizeof bytes);
        bytes[levels] = 0;
        for (size_t i = 0; i <= levels; i++) chain[i] = (deep){i < levels, i < levels ? &chain[i + 1] : NULL};
        deep out;
        choir_bytes again;
        int expected = levels <= 31 ? CHOIR_OK : CHOIR_ERR_DEPTH;
        cr_assert_eq(values_decode(v, type, (choir_bytes){bytes, levels + 1}, &out, NULL), expected);
        cr_assert_eq(values_encode(v, type, chain, &again), expected);
    }
    /* A type that never ends takes no bytes at all. */
    struct loop {
        struct loop *next;
    } loop;
    loop.next = &loop;
    choir_bytes none;
    cr_assert_eq(values_decode(v, values_type(v, "Loop"), (choir_bytes){NULL, 0}, &loop, NULL),
                 CHOIR_ERR_DEPTH);
    loop.next = &loop;
    cr_assert_eq(values_encode(v, values_type(v, "Loop"), &loop, &none), CHOIR_ERR_DEPTH);
    values_free(v);
}

static choir_bytes some_parts(values *v, uint32_t type) {
    choir_bytes bytes;
    v->random = 12345; /* a value with many allocations */
    uint8_t *value = values_room(v, type);
    do {
        values_random_value(v, type, value, 0);
        cr_assert_eq(values_encode(v, type, value, &bytes), CHOIR_OK);
    } while (bytes.len < 3000);
    return bytes;
}

Test(value, memory_ends_at_the_limit) {
    values *v = setup();
    uint32_t type = values_type(v, "Vec<Parts>");
    choir_bytes bytes = some_parts(v, type);
    choir_list list;
    size_t limit = 0;
    int rc;
    do {
        choiri_arena arena;
        choiri_text text;
        choiri_arena_init(&arena, v->env, NULL, 0, ++limit);
        choiri_reader r = choiri_reader_of(bytes);
        rc = choiri_value_decode(&r, &v->ts->unit, type, &arena, &list, &text);
        if (rc != CHOIR_OK) {
            cr_assert_eq(rc, CHOIR_ERR_TOO_LARGE);
            cr_assert(strstr(text.data, "over the memory limit"), "%s", text.data);
        }
        choiri_arena_reset(&arena);
    } while (rc != CHOIR_OK);
    cr_assert_geq(limit, list.len * v->ts->types[v->ts->types[type].elem].size);
    cr_assert_leq(limit, choiri_value_arena_limit(bytes.len),
                  "an ordinary value fits the limit of its payload");

    /* One list: its memory and the block's header, exactly. */
    uint32_t numbers = values_type(v, "Vec<u64>");
    uint8_t ones[101];
    memset(ones, 1, sizeof ones);
    ones[0] = 100;
    for (size_t spare = 0; spare < 2; spare++) {
        _Alignas(16) uint8_t piece[800];
        choiri_arena arena;
        choiri_arena_init(&arena, v->env, piece, 799 + spare, 0);
        choiri_reader r = choiri_reader_of((choir_bytes){ones, sizeof ones});
        rc = choiri_value_decode(&r, &v->ts->unit, numbers, &arena, &list, NULL);
        cr_assert_eq(rc, spare ? CHOIR_OK : CHOIR_ERR_TOO_LARGE);
    }
    values_free(v);
}

Test(value, memory_runs_out) {
    values *v = setup();
    uint32_t type = values_type(v, "Vec<Parts>");
    choir_bytes bytes = some_parts(v, type);
    uint64_t held = v->alloc.bytes, failures = 0;
    int rc = CHOIR_ERR_NO_MEMORY;
    for (uint64_t n = 1; rc != CHOIR_OK; n++) {
        choiri_arena arena;
        choiri_text text;
        choir_list list;
        test_alloc small = {.fail_at = n};
        choir_env *env = test_env(&small);
        if (!env) continue;
        choiri_arena_init(&arena, env, NULL, 0, (size_t)1 << 26);
        choiri_reader r = choiri_reader_of(bytes);
        rc = choiri_value_decode(&r, &v->ts->unit, type, &arena, &list, &text);
        if (rc != CHOIR_OK) {
            failures++;
            cr_assert_eq(rc, CHOIR_ERR_NO_MEMORY);
            cr_assert(strstr(text.data, "out of memory"), "%s", text.data);
        }
        choiri_arena_reset(&arena);
        choir_env_free(env);
        cr_assert_eq(small.bytes, 0);
    }
    cr_assert_gt(failures, 0);
    cr_assert_eq(v->alloc.bytes, held);
    values_free(v);
}

Test(value, output_runs_out_of_memory) {
    values *v = setup();
    uint32_t type = values_type(v, "Vec<String>");
    static char text[30000];
    memset(text, 'x', sizeof text);
    choir_str strings[3] = {{text, sizeof text}, {text, 10}, {text, sizeof text}};
    choir_list list = {strings, 3};
    int rc = CHOIR_ERR_NO_MEMORY;
    uint64_t failures = 0;
    for (uint64_t n = 1; rc != CHOIR_OK; n++) {
        test_alloc small = {.fail_at = n, .fail_after = true};
        choir_env *env = test_env(&small);
        if (!env) continue;
        choiri_outq q;
        choiri_writer w;
        choiri_outq_init(&q, env);
        choiri_outq_mark mark = choiri_outq_get_mark(&q);
        choiri_writer_init(&w, &q, NULL);
        choiri_value_encode(&w, &v->ts->unit, type, &list);
        rc = choiri_writer_finish(&w);
        if (rc != CHOIR_OK) {
            failures++;
            cr_assert_eq(rc, CHOIR_ERR_NO_MEMORY);
            choiri_outq_rollback(&q, mark);
            cr_assert_eq(q.bytes, 0);
        }
        choiri_outq_deinit(&q);
        choir_env_free(env);
        cr_assert_eq(small.bytes, 0);
    }
    cr_assert_gt(failures, 0);
    values_free(v);
}

/* --- what must not be sent --- */

static void refuse(values *v, const char *type, const void *value) {
    choir_bytes bytes;
    cr_expect_eq(values_encode(v, values_type(v, type), value, &bytes), CHOIR_ERR_INVALID, "%s", type);
}

Test(value, what_a_peer_would_choke_on_is_not_sent) {
    values *v = setup();
    values_each_unsendable(v, refuse);
    values_free(v);
}

static void expect_why(values *v, const char *type, const void *value, const char *expected) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, "put ");
    cr_assert_eq(choiri_value_why(&v->ts->unit, values_type(v, type), value, &text), expected != NULL);
    cr_expect_str_eq(text.data + 4, expected ? expected : "", "%s", type);
}

Test(value, what_cannot_be_sent_is_said) {
    values *v = setup();
    const choir_str names[] = {CHOIR_STR("x"), CHOIR_STR("y"), {"a\xff", 2}};
    struct {
        uint32_t number;
        choir_list list;
    } args = {7, {names, 3}};
    expect_why(v, "(u32, Vec<String>)", &args, "args.1[2]: string is not UTF-8");
    args.list.len = 2;
    expect_why(v, "(u32, Vec<String>)", &args, NULL);
    expect_why(v, "(u32, Vec<String>)", NULL, "tuple is missing (NULL)");
    expect_why(v, "()", NULL, NULL);
    expect_why(v, "String", &names[2], "string is not UTF-8");
    expect_why(v, "(String,)", &names[2], "args.0: string is not UTF-8");
    expect_why(v, "bool", &(uint8_t){2}, "bool is neither 0 nor 1 but 2");
    expect_why(v, "char", &(uint32_t){0xd800}, "char is not a character: 55296");
    expect_why(v, "Duration", &(choir_timespan){1, 1000000000},
               "duration has a second or more of nanoseconds: 1000000000");
    expect_why(v, "Box<u32>", &(void *){NULL}, "box is NULL");
    expect_why(v, "!", "", "never has no values");
    values_free(v);
}

/* --- the writer's way with large spans --- */

Test(value, large_bytes_are_retained) {
    values *v = setup();
    choir_allocator allocator = test_allocator(&v->alloc);
    choir_chunk *chunk;
    cr_assert_eq(choir_chunk_new(&allocator, 10000, &chunk), CHOIR_OK);
    memset(choir_chunk_data(chunk), 'a', 10000);
    struct {
        choir_bytes b;
        choir_str s;
    } pair = {{choir_chunk_data(chunk), 5000}, {(const char *)choir_chunk_data(chunk) + 5000, 5000}};
    choiri_outq q;
    choiri_writer w;
    choir_iov iov[8];
    choiri_outq_init(&q, v->env);
    choiri_writer_init(&w, &q, chunk);
    choiri_value_encode(&w, &v->ts->unit, values_type(v, "(Vec<u8>, String)"), &pair);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    cr_assert_eq(choiri_outq_peek(&q, 0, UINT64_MAX, iov, 8), 4);
    cr_assert_eq(iov[1].base, pair.b.data);
    cr_assert_eq(iov[3].base, pair.s.data);
    cr_assert_eq(q.bytes, 2 * (2 + 5000));
    choiri_outq_deinit(&q);
    choir_chunk_release(chunk);
    values_free(v);
}

Test(value, smallest_sizes, .timeout = 120) {
    static const struct {
        const char *type;
        size_t size;
    } cases[] = {
        {"()", 0},
        {"u8", 1},
        {"u64", 1},
        {"f32", 4},
        {"f64", 8},
        {"char", 2},
        {"String", 1},
        {"Vec<f64>", 1},
        {"Option<f64>", 1},
        {"[f32; 3]", 12},
        {"[(); 9]", 0},
        {"(f32, (), u8)", 5},
        {"Person", 3},
        {"Box<Person>", 3},
        {"Tree", 2},
        {"Deep", 1},
        {"[f64; 100000]", 64},
        {"Result<f64, f64>", 1},
    };
    values *v = setup();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(choiri_value_min_size(&v->ts->unit, values_type(v, cases[i].type)), cases[i].size, "%s",
                     cases[i].type);
    /* Types without an end: the search for their smallest value has one, and what it has found by then is a
     * bound. */
    cr_expect_leq(choiri_value_min_size(&v->ts->unit, values_type(v, "Loop")), 64);
    cr_expect_leq(choiri_value_min_size(&v->ts->unit, values_type(v, "Twins")), 64);
    values_free(v);
}
