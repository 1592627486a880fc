/* SPDX-License-Identifier: MIT */
/* The golden vectors of vox for values (all but the messages, which test_message.c has): read by their
 * type, written back to the same bytes, cut at every byte, and with every single bit flipped. A small
 * interpreter of type strings drives reader and writer here, so that this layer is tested without the type
 * tables of the schema layer.
 *
 * Types: . nothing, b bool, B u8, h i8, w u16, W i16, d u32, D i32, q u64, Q i64, f f32, g f64, s string,
 * y bytes, ?T option, [T list, {KV map, (T..) tuple or struct, <T|T..> enum. */
#include "wire/reader.h"
#include "wire/test_wire.h"
#include "wire_vectors.h"

static bool copy_value(const char **type, choiri_reader *r, choiri_writer *w);

/* Moves past one type without reading a value. */
static void skip_type(const char **type) {
    switch (*(*type)++) {
    case '?':
    case '[': skip_type(type); break;
    case '{':
        skip_type(type);
        skip_type(type);
        break;
    case '(':
        while (**type != ')') skip_type(type);
        ++*type;
        break;
    case '<': do { skip_type(type);
        } while (*(*type)++ == '|');
        break;
    default: break;
    }
}

static bool copy_unsigned(uint64_t max, choiri_reader *r, choiri_writer *w) {
    uint64_t v;
    if (!choiri_read_varint_max(r, max, &v)) return false;
    choiri_write_varint(w, v);
    return true;
}

static bool copy_signed(int64_t max, choiri_reader *r, choiri_writer *w) {
    int64_t v;
    if (!choiri_read_zigzag(r, &v)) return false;
    if (v > max || v < -max - 1) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    choiri_write_zigzag(w, v);
    return true;
}

static bool copy_fixed(size_t len, choiri_reader *r, choiri_writer *w) {
    choir_bytes b;
    if (!choiri_read_fixed(r, len, &b)) return false;
    choiri_write_raw(w, b.data, b.len);
    return true;
}

static bool copy_float(char code, choiri_reader *r, choiri_writer *w) {
    float f;
    double d;
    if (code == 'f') {
        if (!choiri_read_f32(r, &f)) return false;
        choiri_write_f32(w, f);
    } else {
        if (!choiri_read_f64(r, &d)) return false;
        choiri_write_f64(w, d);
    }
    return true;
}

static bool copy_span(char code, choiri_reader *r, choiri_writer *w) {
    choir_bytes b;
    choir_str s;
    if (code == 's') {
        if (!choiri_read_string(r, &s)) return false;
        b = str_bytes(s);
    } else if (!choiri_read_bytes(r, &b)) {
        return false;
    }
    choiri_write_bytes(w, b);
    return true;
}

static bool copy_bool(choiri_reader *r, choiri_writer *w, bool *ret) {
    if (!choiri_read_bool(r, ret)) return false;
    choiri_write_u8(w, *ret);
    return true;
}

static bool copy_option(const char **type, choiri_reader *r, choiri_writer *w) {
    bool some;
    if (!copy_bool(r, w, &some)) return false;
    if (some) return copy_value(type, r, w);
    skip_type(type);
    return true;
}

/* A list of one type or a map of two. */
static bool copy_list(unsigned types, const char **type, choiri_reader *r, choiri_writer *w) {
    uint64_t count;
    const char *start = *type;
    if (!choiri_read_count(r, types, 0, &count)) return false;
    choiri_write_varint(w, count);
    for (uint64_t i = 0; i < count; i++) {
        *type = start;
        for (unsigned k = 0; k < types; k++) {
            if (!copy_value(type, r, w)) return false;
        }
    }
    *type = start;
    for (unsigned k = 0; k < types; k++) skip_type(type);
    return true;
}

static bool copy_tuple(const char **type, choiri_reader *r, choiri_writer *w) {
    while (**type != ')') {
        if (!copy_value(type, r, w)) return false;
    }
    ++*type;
    return true;
}

static bool copy_enum(const char **type, choiri_reader *r, choiri_writer *w) {
    uint64_t variant, i = 0;
    bool found = false;
    if (!choiri_read_varint(r, &variant)) return false;
    choiri_write_varint(w, variant);
    do {
        if (i++ != variant) {
            skip_type(type);
        } else {
            if (!copy_value(type, r, w)) return false;
            found = true;
        }
    } while (*(*type)++ == '|');
    return found || choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
}

static bool copy_value(const char **type, choiri_reader *r, choiri_writer *w) {
    bool b;
    char code = *(*type)++;
    switch (code) {
    case '.': return true;
    case 'b': return copy_bool(r, w, &b);
    case 'B':
    case 'h': return copy_fixed(1, r, w);
    case 'w': return copy_unsigned(UINT16_MAX, r, w);
    case 'd': return copy_unsigned(UINT32_MAX, r, w);
    case 'q': return copy_unsigned(UINT64_MAX, r, w);
    case 'W': return copy_signed(INT16_MAX, r, w);
    case 'D': return copy_signed(INT32_MAX, r, w);
    case 'Q': return copy_signed(INT64_MAX, r, w);
    case 'f':
    case 'g': return copy_float(code, r, w);
    case 's':
    case 'y': return copy_span(code, r, w);
    case '?': return copy_option(type, r, w);
    case '[': return copy_list(1, type, r, w);
    case '{': return copy_list(2, type, r, w);
    case '(': return copy_tuple(type, r, w);
    case '<': return copy_enum(type, r, w);
    default: cr_assert_fail("no such type: %c", code); return false;
    }
}

#define INFALLIBLE "<.>" /* stands for an error type that has no values we need */

/* The first row whose name the vector's name starts with. */
static const struct {
    const char *name, *type;
} types[] = {
    {"composite/enum_blue", "<.|.|.>"},
    {"composite/enum_green", "<.|.|.>"},
    {"composite/enum_red", "<.|.|.>"},
    {"composite/enum_", "<g|(gg)|.>"},
    {"composite/map_string_point", "{s(DD)"},
    {"composite/map_string_u32", "{sd"},
    {"composite/option_", "?(DD)"},
    {"composite/struct_nested", "(s(DD)[s)"},
    {"composite/struct_point", "(DD)"},
    {"composite/tuple_bool_i64", "(bQ)"},
    {"composite/tuple_u32_string", "(ds)"},
    {"composite/vec_points", "[(DD)"},
    {"primitives/bool_", "b"},
    {"primitives/bytes_", "y"},
    {"primitives/f32_", "f"},
    {"primitives/f64_", "g"},
    {"primitives/i8_", "h"},
    {"primitives/i16_", "W"},
    {"primitives/i32_", "D"},
    {"primitives/i64_", "Q"},
    {"primitives/u8_", "B"},
    {"primitives/u16_", "w"},
    {"primitives/u32_", "d"},
    {"primitives/u64_", "q"},
    {"primitives/option_none_string", "?s"},
    {"primitives/option_some_string", "?s"},
    {"primitives/option_", "?d"},
    {"primitives/string_", "s"},
    {"primitives/vec_string", "[s"},
    {"primitives/vec_i32", "[D"},
    {"primitives/vec_", "[d"},
    {"result/ok_u32", "<d|<" INFALLIBLE "|.|s|.>>"},
    {"result/", "<s|<s|.|s|.>>"},
    {"varint/", "q"},
};

static const char *type_of(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strncmp(name, types[i].name, strlen(types[i].name)) == 0) return types[i].type;
    }
    return NULL;
}

/* Reads a value and writes it back into *ret_out (owned). False when it does not read; status in
 * *ret_status. */
static bool transcode(bench *b, const char *type, choir_bytes in, choir_bytes *ret_out, size_t *ret_used,
                      int *ret_status) {
    choiri_outq_mark mark = choiri_outq_get_mark(&b->q);
    choir_bytes exact = bytes_copy(in.data, in.len);
    choiri_reader r = choiri_reader_of(exact);
    choiri_writer w;
    choiri_writer_init(&w, &b->q, NULL);
    const char *t = type;
    bool ok = copy_value(&t, &r, &w);
    cr_assert_eq(ok, r.status == CHOIR_OK);
    cr_assert(r.pos <= r.end);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    *ret_used = (size_t)(r.pos - exact.data);
    *ret_status = r.status;
    bytes_free(exact);
    if (!ok) {
        choiri_outq_rollback(&b->q, mark);
        return false;
    }
    cr_assert_eq(*t, 0);
    *ret_out = bench_take(b);
    return true;
}

typedef struct counts {
    unsigned vectors, prefixes, flips, flip_errors;
} counts;

/* A9 of the reliability matrix: an error or a consistent other value, never a silent difference. */
static void check_flips(bench *b, const char *type, choir_bytes in, counts *c) {
    uint8_t *flipped = (uint8_t *)(uintptr_t)bytes_copy(in.data, in.len).data;
    for (size_t bit = 0; bit < 8 * in.len; bit++) {
        flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        choir_bytes once, twice;
        size_t used, used_again;
        int status;
        c->flips++;
        if (transcode(b, type, (choir_bytes){flipped, in.len}, &once, &used, &status)) {
            bool whole = used == in.len;
            cr_assert(!whole || !bytes_equal(once, in), "a flip of bit %zu is lost", bit);
            cr_assert(transcode(b, type, once, &twice, &used_again, &status));
            cr_assert(bytes_equal(once, twice));
            cr_assert_eq(used_again, once.len);
            bytes_free(once);
            bytes_free(twice);
        } else {
            cr_assert(status == CHOIR_ERR_TRUNCATED || status == CHOIR_ERR_MALFORMED);
            c->flip_errors++;
        }
        flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(flipped);
}

Test(golden, values) {
    bench b;
    bench_open(&b);
    counts c = {0};
    for (size_t i = 0; i < golden_vectors_count; i++) {
        const test_vector *v = &golden_vectors[i];
        if (strncmp(v->name, "wire/", 5) == 0) continue;
        const char *type = type_of(v->name);
        cr_assert_not_null(type, "%s has no type here", v->name);
        choir_bytes in = {v->data, v->len}, out;
        size_t used;
        int status;
        cr_assert(transcode(&b, type, in, &out, &used, &status), "%s", v->name);
        cr_assert_eq(used, v->len, "%s", v->name);
        cr_assert(bytes_equal(in, out), "%s", v->name);
        bytes_free(out);
        c.vectors++;
        for (size_t len = 0; len < v->len; len++, c.prefixes++) {
            cr_assert(!transcode(&b, type, (choir_bytes){v->data, len}, &out, &used, &status), "%s", v->name);
            cr_assert_eq(status, CHOIR_ERR_TRUNCATED);
        }
        check_flips(&b, type, in, &c);
    }
    printf("golden values: %u vectors, %u prefixes, %u flips (%u refused)\n", c.vectors, c.prefixes, c.flips,
           c.flip_errors);
    cr_assert_eq(c.vectors, 104);
    bench_close(&b);
}

/* What the bytes mean, for one vector of each kind: reading and writing back alone could agree on
 * nonsense. */
Test(golden, meanings) {
    static const uint64_t expected[] = {0, 1, 127, 128, 255, 256, 16383, 16384, 65535, 65536, 1048576};
    unsigned seen = 0;
    for (size_t i = 0; i < golden_vectors_count; i++) {
        const test_vector *v = &golden_vectors[i];
        choiri_reader r = choiri_reader_of((choir_bytes){v->data, v->len});
        if (strncmp(v->name, "varint/u64_", 11) == 0) {
            uint64_t value, named = strtoull(v->name + 11, NULL, 10);
            cr_assert(choiri_read_varint(&r, &value));
            cr_assert_eq(value, named);
            for (size_t k = 0; k < sizeof expected / sizeof *expected; k++) seen += expected[k] == value;
        } else if (strncmp(v->name, "primitives/i", 12) == 0 && strchr("136", v->name[12])) {
            const char *number = strchr(v->name, '_') + 1;
            int64_t value;
            if (strncmp(number, "neg", 3) != 0) continue;
            cr_assert(choiri_read_zigzag(&r, &value));
            cr_assert_eq(value, -strtoll(number + 3, NULL, 10), "%s", v->name);
        } else if (strcmp(v->name, "primitives/string_unicode") == 0) {
            choir_str s;
            cr_assert(choiri_read_string(&r, &s));
            cr_assert(str_is(s, "h\xc3\xa9llo \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\xa6\x80"));
        } else if (strcmp(v->name, "composite/enum_circle") == 0) {
            uint64_t variant;
            double d;
            cr_assert(choiri_read_varint(&r, &variant) && choiri_read_f64(&r, &d));
            cr_assert(d > 3.1399 && d < 3.1401);
        }
    }
    cr_assert_eq(seen, sizeof expected / sizeof *expected);
}
