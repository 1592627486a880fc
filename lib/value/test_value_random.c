/* SPDX-License-Identifier: MIT */
/* Random types, and random values of them through everything that reads or writes values: postcard, msgpack,
 * JSON, copies, comparing, printing. What comes back is what went in; what is cut short is refused; what has
 * bits turned over is refused or is another value, which then goes through postcard again. Input lies in
 * memory of its exact length, so that a sanitizer sees a byte read too far. The seed and the counts are
 * printed; CHOIR_SEED and CHOIR_ROUNDS choose others. */
#include "value/msgpack.h"
#include "value/test_values.h"

#include <stdarg.h>

#define DECLS       6
#define VALUE_DEPTH 6 /* where values start: from 12 on they end */
#define CUTS_MAX    200

static struct { size_t values, bytes, cuts, flips, flips_read, json_exact, largest; } counts;

/* --- types, as text --- */

typedef struct text {
    size_t len;
    char data[4096];
} text;

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->data + t->len, sizeof t->data - t->len, format, args);
    va_end(args);
    t->len += (size_t)n;
    cr_assert_lt(t->len, sizeof t->data);
}

static uint32_t below(values *v, uint32_t n) {
    return (uint32_t)(values_random(v) % n);
}

static void scalar(values *v, text *t) {
    static const char *const names[] = {"bool", "u8",   "u16", "u32",    "u64",      "u128",
                                        "i8",   "i16",  "i32", "i64",    "i128",     "f32",
                                        "f64",  "char", "()",  "String", "Duration", "Vec<u8>"};
    add(t, "%s", names[below(v, sizeof names / sizeof names[0])]);
}

static void type(values *v, text *t, uint32_t decls, int depth);

static void group(values *v, text *t, const char *open, uint32_t decls, int depth, uint32_t count,
                  const char *close) {
    add(t, "%s", open);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) add(t, ", ");
        type(v, t, decls, depth + 1);
    }
    add(t, "%s", close);
}

/* Declarations below `decls` may be used by value, all of them behind a box or in a list. */
static void type(values *v, text *t, uint32_t decls, int depth) {
    static const char *const lists[] = {"Vec<", "HashSet<", "BTreeSet<"}, *const maps[] = {"HashMap<",
                                                                                           "BTreeMap<"};
    switch (depth > 4 ? 15 : below(v, 18)) {
    case 0: group(v, t, "Option<", decls, depth, 1, ">"); return;
    case 1: add(t, "Option<Box<D%u>>", below(v, DECLS)); return;
    case 2: add(t, "Vec<D%u>", below(v, DECLS)); return;
    case 3: group(v, t, lists[below(v, 3)], decls, depth, 1, ">"); return;
    case 4: group(v, t, maps[below(v, 2)], decls, depth, 2, ">"); return;
    case 5:
        group(v, t, "[", decls, depth, 1, "; ");
        add(t, "%u]", below(v, 4));
        return;
    case 6: group(v, t, "Box<", decls, depth, 1, ">"); return;
    case 7: group(v, t, "(", decls, depth, 1 + below(v, 4), ")"); return;
    case 8: group(v, t, "Result<", decls, depth, 2, ">"); return;
    case 9: group(v, t, "Result<", decls, depth, 1, ", !>"); return;
    case 10: group(v, t, "Box<[", decls, depth, 1, "]>"); return;
    case 11: add(t, below(v, 2) ? "Vec<!>" : "Option<!>"); return;
    case 12:
    case 13:
    case 14:
        if (decls > 0) {
            add(t, "D%u", below(v, decls));
            return;
        }
        break;
    default: break;
    }
    scalar(v, t);
}

static void fields(values *v, text *t, const char *open, uint32_t count, bool named, uint32_t decls,
                   const char *close) {
    add(t, "%s", open);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) add(t, ", ");
        if (named) add(t, "f%u: ", i);
        type(v, t, decls, 2);
    }
    add(t, "%s", close);
}

static void declare(values *v, uint32_t d) {
    text t = {0};
    if (below(v, 3) == 0) {
        add(&t, "enum D%u { End", d); /* one that ends */
        for (uint32_t i = below(v, 5); i > 0; i--) {
            add(&t, ", V%u", i);
            switch (below(v, 5)) {
            case 0: break;
            case 1: add(&t, "(Box<D%u>)", below(v, DECLS)); break;
            case 2: fields(v, &t, "(", 1, false, d, ")"); break;
            case 3: fields(v, &t, "(", 2 + below(v, 2), false, d, ")"); break;
            default: fields(v, &t, " { ", below(v, 4), true, d, " }"); break;
            }
        }
        add(&t, " }");
    } else {
        add(&t, "struct D%u", d);
        switch (below(v, 6)) {
        case 0: break;
        case 1: fields(v, &t, "(", 1 + below(v, 3), false, d, ")"); break;
        default: fields(v, &t, " { ", below(v, 6), true, d, " }"); break;
        }
    }
    test_types_declare(v->ts, t.data);
}

/* Not if an option and what is in it are both null. */
static bool json_is_exact(const choir_unit *u) {
    for (uint32_t i = 0; i < u->types_len; i++)
        if (u->types[i].kind == CHOIR_KIND_OPTION && choiri_msgpack_may_be_nil(u, u->types[i].elem))
            return false;
    return true;
}

/* --- codecs --- */

typedef struct codec {
    const char *name;
    int (*write)(values *v, uint32_t type, const void *value, choir_bytes *ret);
    int (*read)(values *v, uint32_t type, choir_bytes bytes, void *value); /* all of the bytes */
} codec;

static int read_postcard(values *v, uint32_t t, choir_bytes bytes, void *value) {
    choiri_text why;
    choiri_reader r = choiri_reader_of(bytes);
    int status = choiri_value_decode(&r, &v->ts->unit, t, &v->arena, value, &why);
    if (status == CHOIR_OK && choiri_reader_left(&r) > 0) return CHOIR_ERR_MALFORMED;
    if (status != CHOIR_OK) cr_assert_gt(why.len, 0);
    return status;
}

static int write_msgpack(values *v, uint32_t t, const void *value, choir_bytes *ret) {
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, v->env);
    choiri_writer_init(&w, &q, NULL);
    choiri_msgpack_encode(&w, &v->ts->unit, t, value);
    int status = choiri_writer_finish(&w);
    if (status == CHOIR_OK) *ret = values_take(v, &q);
    choiri_outq_deinit(&q);
    return status;
}

static int read_msgpack(values *v, uint32_t t, choir_bytes bytes, void *value) {
    choiri_text why;
    choiri_reader r = choiri_reader_of(bytes);
    return choiri_msgpack_decode(&r, &v->ts->unit, t, &v->arena, value, &why);
}

static int write_json(values *v, uint32_t t, const void *value, choir_bytes *ret) {
    choir_str json;
    choir_arena *arena = (choir_arena *)(void *)&v->arena; /* its only member */
    int status = choir_value_to_json(&v->ts->unit, t, value, arena, &json);
    if (status == CHOIR_OK) *ret = (choir_bytes){(const uint8_t *)json.data, json.len};
    return status;
}

static int read_json(values *v, uint32_t t, choir_bytes bytes, void *value) {
    choir_str why;
    choir_arena *arena = (choir_arena *)(void *)&v->arena;
    return choir_value_from_json(&v->ts->unit, t, (choir_str){(const char *)bytes.data, bytes.len}, arena,
                                 value, &why);
}

static const codec postcard = {"postcard", values_encode, read_postcard},
                   msgpack = {"msgpack", write_msgpack, read_msgpack}, json = {"JSON", write_json, read_json};

static void check_same(values *v, uint32_t t, const void *a, const void *b, const char *what) {
    bool equal = false;
    int status = choir_value_equal(&v->ts->unit, t, a, b, &equal);
    if (equal) return;
    static char left[4096], right[4096];
    choir_value_print(&v->ts->unit, t, a, left, sizeof left);
    choir_value_print(&v->ts->unit, t, b, right, sizeof right);
    cr_assert(false, "%s: %d\n%s\n%s", what, status, left, right);
}

/* Reads from memory of the exact length, which the value then borrows from; free(*ret_memory). */
static int read_copy(values *v, const codec *c, uint32_t t, choir_bytes bytes, size_t len, uint32_t flips,
                     void **ret_value, uint8_t **ret_memory) {
    *ret_memory = malloc(len > 0 ? len : 1);
    cr_assert(*ret_memory);
    if (len > 0) memcpy(*ret_memory, bytes.data, len);
    for (; flips > 0 && len > 0; flips--)
        (*ret_memory)[below(v, (uint32_t)len)] ^= (uint8_t)(1u << below(v, 8));
    *ret_value = values_room(v, t);
    return c->read(v, t, (choir_bytes){*ret_memory, len}, *ret_value);
}

static void check_cuts(values *v, const codec *c, uint32_t t, choir_bytes bytes) {
    size_t cuts = bytes.len < CUTS_MAX ? bytes.len : CUTS_MAX;
    /* A number that is cut is a number, and null with nothing behind it is not JSON's only way to end. */
    if (c == &json && (bytes.len == 0 || !strchr("{[\"", bytes.data[0]))) return;
    for (size_t i = 0; i < cuts; i++) {
        void *value;
        uint8_t *memory;
        size_t len = cuts == bytes.len ? i : below(v, (uint32_t)bytes.len);
        int status = read_copy(v, c, t, bytes, len, 0, &value, &memory);
        cr_assert_neq(status, CHOIR_OK, "%s of %zu bytes is read when it is cut to %zu", c->name, bytes.len,
                      len);
        cr_assert_neq(status, CHOIR_ERR_NO_MEMORY);
        free(memory);
        counts.cuts++;
    }
}

static void check_flips(values *v, const codec *c, uint32_t t, choir_bytes bytes) {
    for (int i = 0; i < 12; i++) {
        void *value, *again = values_room(v, t);
        uint8_t *memory;
        char shown[256];
        choir_bytes other;
        counts.flips++;
        if (read_copy(v, c, t, bytes, bytes.len, 1 + below(v, 3), &value, &memory) == CHOIR_OK) {
            counts.flips_read++;
            cr_assert_lt(choir_value_print(&v->ts->unit, t, value, shown, sizeof shown), sizeof shown);
            cr_assert_eq(values_encode(v, t, value, &other), CHOIR_OK, "%s", shown);
            cr_assert_eq(read_postcard(v, t, other, again), CHOIR_OK, "%s", shown);
            check_same(v, t, value, again, "what was read from damaged bytes, again");
        }
        free(memory);
    }
}

static void check_codec(values *v, const codec *c, uint32_t t, const void *value, bool exact) {
    choir_bytes bytes = {NULL, 0}, again = {NULL, 0};
    void *back;
    uint8_t *memory;
    int status = c->write(v, t, value, &bytes);
    cr_assert_eq(status, CHOIR_OK, "%s cannot be written: %d", c->name, status);
    status = read_copy(v, c, t, bytes, bytes.len, 0, &back, &memory);
    cr_assert_eq(status, CHOIR_OK, "%s cannot be read: %d", c->name, status);
    if (exact) {
        check_same(v, t, value, back, c->name);
        cr_assert_eq(c->write(v, t, back, &again), CHOIR_OK);
        cr_assert(values_equal(bytes, again), "%s is written as other bytes the second time", c->name);
    }
    free(memory);
    check_cuts(v, c, t, bytes);
    check_flips(v, c, t, bytes);
    counts.bytes += bytes.len;
    if (bytes.len > counts.largest) counts.largest = bytes.len;
}

/* Copies keep nothing of the source, which is overwritten before they are compared. */
static void check_copies(values *v, uint32_t t, const void *value) {
    const choir_unit *u = &v->ts->unit;
    choir_bytes bytes;
    void *borrowed, *copy = values_room(v, t), *clone = NULL;
    uint8_t *memory;
    cr_assert_eq(values_encode(v, t, value, &bytes), CHOIR_OK);
    cr_assert_eq(read_copy(v, &postcard, t, bytes, bytes.len, 0, &borrowed, &memory), CHOIR_OK);
    cr_assert_eq(choir_value_copy(u, t, borrowed, (choir_arena *)(void *)&v->arena, copy), CHOIR_OK);
    cr_assert_eq(choir_value_clone(v->env, u, t, borrowed, &clone), CHOIR_OK);
    memset(memory, 0xa7, bytes.len);
    free(memory);
    check_same(v, t, value, copy, "copy");
    check_same(v, t, value, clone, "clone");
    choir_value_free(v->env, clone);
}

static void check_print(values *v, uint32_t t, const void *value) {
    static char whole[1 << 16], part[1 << 16];
    size_t len = choir_value_print(&v->ts->unit, t, value, whole, sizeof whole);
    cr_assert_eq(strlen(whole), len);
    for (int i = 0; i < 8; i++) {
        size_t size = 1 + below(v, (uint32_t)(len < sizeof part - 1 ? len + 1 : len));
        memset(part, 0x55, size);
        size_t got = choir_value_print(&v->ts->unit, t, value, part, size);
        cr_assert_lt(got, size);
        cr_assert_eq(part[got], '\0');
    }
}

static uint64_t from_environment(const char *name, uint64_t otherwise) {
    const char *given = getenv(name);
    return given ? strtoull(given, NULL, 0) : otherwise;
}

static void one_round(uint64_t seed) {
    values *v = values_new();
    v->random = seed;
    for (uint32_t d = 0; d < DECLS; d++) declare(v, d);
    text root = {0};
    type(v, &root, DECLS, 0);
    uint32_t t = test_types_find(v->ts, root.data);
    choiri_text why;
    cr_assert_eq(choiri_unit_check(&v->ts->unit, &why), CHOIR_OK, "%s: %s", root.data, why.data);
    bool exact = json_is_exact(&v->ts->unit);
    for (int i = 0; i < 3; i++) {
        uint8_t *value = values_room(v, t);
        values_random_value(v, t, value, VALUE_DEPTH);
        check_codec(v, &postcard, t, value, true);
        if (choiri_msgpack_is_built()) check_codec(v, &msgpack, t, value, true);
        check_codec(v, &json, t, value, exact);
        check_copies(v, t, value);
        check_print(v, t, value);
        counts.values++;
        counts.json_exact += exact;
        choiri_arena_reset(&v->arena);
    }
    values_free(v);
}

Test(value_random, everything_comes_back, .timeout = 170) {
    uint64_t seed = from_environment("CHOIR_SEED", 20260311), rounds = from_environment("CHOIR_ROUNDS", 1500);
    for (uint64_t round = 0; round < rounds; round++) one_round(seed + round * 0x1234567);
    printf(
        "seed %llu: %zu values of %llu types, %zu bytes, the largest %zu; %zu cut short, %zu damaged, of those %zu read; "
        "%zu exact in JSON\n",
        (unsigned long long)seed, counts.values, (unsigned long long)rounds, counts.bytes, counts.largest,
        counts.cuts, counts.flips, counts.flips_read, counts.json_exact);
    cr_assert_gt(counts.cuts, rounds * 10);
    cr_assert_gt(counts.flips_read, rounds);
    cr_assert_gt(counts.json_exact, counts.values / 10);
    cr_assert_gt(counts.largest, 1000);
}
