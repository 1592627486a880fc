/* SPDX-License-Identifier: MIT */
/* The postcard reader on good and bad input: values, truncation at every byte, lengths and counts that
 * lie, and UTF-8 against a reference that knows nothing but the list of scalars. */
#include "testing/varint.h"
#include "wire/reader.h"
#include "wire/test_wire.h"
#include "wire/utf8.h"

static int read_hex(const char *hex, bool (*read)(choiri_reader *r, void *out), void *out, size_t *ret_used) {
    choir_bytes in = from_hex(hex);
    choiri_reader r = choiri_reader_of(in);
    bool ok = read(&r, out);
    cr_assert_eq(ok, r.status == CHOIR_OK);
    cr_assert(r.pos <= r.end);
    *ret_used = (size_t)(r.pos - in.data);
    int status = r.status;
    bytes_free(in);
    return status;
}

static bool as_varint(choiri_reader *r, void *out) {
    return choiri_read_varint(r, out);
}
static bool as_zigzag(choiri_reader *r, void *out) {
    return choiri_read_zigzag(r, out);
}
static bool as_varint128(choiri_reader *r, void *out) {
    uint64_t *halves = out;
    return choiri_read_varint128(r, &halves[0], &halves[1]);
}
static bool as_bool(choiri_reader *r, void *out) {
    return choiri_read_bool(r, out);
}
static bool as_f32(choiri_reader *r, void *out) {
    return choiri_read_f32(r, out);
}
static bool as_f64(choiri_reader *r, void *out) {
    return choiri_read_f64(r, out);
}
static bool as_char(choiri_reader *r, void *out) {
    return choiri_read_char(r, out);
}
static bool as_u16(choiri_reader *r, void *out) {
    return choiri_read_varint_max(r, UINT16_MAX, out);
}

/* Every strict prefix of what a reader takes is too short, and says so. */
static void check_prefixes(const char *hex, bool (*read)(choiri_reader *r, void *out)) {
    choir_bytes in = from_hex(hex);
    for (size_t len = 0; len < in.len; len++) {
        choir_bytes part = bytes_copy(in.data, len);
        choiri_reader r = choiri_reader_of(part);
        uint64_t out[2] = {77, 77};
        cr_assert(!read(&r, out), "%s cut to %zu bytes", hex, len);
        cr_assert_eq(r.status, CHOIR_ERR_TRUNCATED);
        cr_assert_eq(out[0], 77, "an output changed on failure");
        bytes_free(part);
    }
    bytes_free(in);
}

Test(reader, varints_of_every_size) {
    static const struct {
        const char *hex;
        uint64_t v;
    } rows[] = {{"00", 0},
                {"7f", 127},
                {"8001", 128},
                {"ff7f", 16383},
                {"808001", 16384},
                {"808040", 1048576},
                {"81e0c39cacd6f5d0e501", UINT64_C(0xe5a1d6b2c390f001)},
                {"ffffffffffffffffff01", UINT64_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t v;
        size_t used;
        cr_assert_eq(read_hex(rows[i].hex, as_varint, &v, &used), CHOIR_OK);
        cr_assert_eq(v, rows[i].v);
        cr_assert_eq(used, strlen(rows[i].hex) / 2);
        cr_assert_eq(used, test_varint_size(v));
        check_prefixes(rows[i].hex, as_varint);
    }
}

/* rule: postcard.varint; overlong forms are accepted as vox peers do, values out of range are not. */
Test(reader, bad_varints) {
    static const struct {
        const char *hex;
        int status;
        uint64_t v;
    } rows[] = {
        {"8000", CHOIR_OK, 0},
        {"818000", CHOIR_OK, 1},
        {"ff808080808080808000", CHOIR_OK, 127},
        {"ffffffffffffffffff00", CHOIR_OK, UINT64_MAX >> 1},
        {"ffffffffffffffffff02", CHOIR_ERR_MALFORMED, 0},
        {"ffffffffffffffffff7f", CHOIR_ERR_MALFORMED, 0},
        {"ffffffffffffffffff8100", CHOIR_ERR_MALFORMED, 0},
        {"8080808080808080808001", CHOIR_ERR_MALFORMED, 0}, /* 11 bytes */
        {"80808080808080808080808080808080", CHOIR_ERR_MALFORMED, 0},
        {"80808080808080808080", CHOIR_ERR_MALFORMED, 0},
        {"808080808080808080", CHOIR_ERR_TRUNCATED, 0},
        {"", CHOIR_ERR_TRUNCATED, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t v = 0;
        size_t used;
        cr_assert_eq(read_hex(rows[i].hex, as_varint, &v, &used), rows[i].status, "%s", rows[i].hex);
        cr_assert_eq(v, rows[i].v);
    }
}

Test(reader, varint_limit) {
    uint64_t v = 5;
    size_t used;
    cr_assert_eq(read_hex("ffff03", as_u16, &v, &used), CHOIR_OK);
    cr_assert_eq(v, UINT16_MAX);
    cr_assert_eq(read_hex("808004", as_u16, &v, &used), CHOIR_ERR_MALFORMED);
    cr_assert_eq(v, UINT16_MAX);
}

Test(reader, varint128) {
    static const struct {
        const char *hex;
        int status;
        uint64_t lo, hi;
    } rows[] = {
        {"00", CHOIR_OK, 0, 0},
        {"ffffffffffffffffff01", CHOIR_OK, UINT64_MAX, 0},
        {"80808080808080808002", CHOIR_OK, 0, 1},
        {"80808080808080808004", CHOIR_OK, 0, 2},
        {"8080808080808080808001", CHOIR_OK, 0, 64},
        {"ffffffffffffffffffffffffffffffffffff03", CHOIR_OK, UINT64_MAX, UINT64_MAX},
        {"ffffffffffffffffffffffffffffffffffff04", CHOIR_ERR_MALFORMED, 0, 0},
        {"ffffffffffffffffffffffffffffffffffff8300", CHOIR_ERR_MALFORMED, 0, 0},
        {"ffffffffffffffffffffffffffffffffffff", CHOIR_ERR_TRUNCATED, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t v[2] = {0, 0};
        size_t used;
        cr_assert_eq(read_hex(rows[i].hex, as_varint128, v, &used), rows[i].status, "%s", rows[i].hex);
        cr_assert_eq(v[0], rows[i].lo);
        cr_assert_eq(v[1], rows[i].hi);
        if (rows[i].status == CHOIR_OK) check_prefixes(rows[i].hex, as_varint128);
    }
}

Test(reader, zigzag) {
    static const struct {
        const char *hex;
        int64_t v;
    } rows[] = {{"00", 0},
                {"01", -1},
                {"02", 1},
                {"ff01", -128},
                {"feffffffffffffffff01", INT64_MAX},
                {"ffffffffffffffffff01", INT64_MIN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t v;
        size_t used;
        cr_assert_eq(read_hex(rows[i].hex, as_zigzag, &v, &used), CHOIR_OK);
        cr_assert_eq(v, rows[i].v);
    }
}

Test(reader, bool_and_floats) {
    bool b = false;
    float f = 0;
    double d = 0;
    size_t used;
    cr_assert_eq(read_hex("01", as_bool, &b, &used), CHOIR_OK);
    cr_assert(b);
    cr_assert_eq(read_hex("00", as_bool, &b, &used), CHOIR_OK);
    cr_assert(!b);
    cr_assert_eq(read_hex("02", as_bool, &b, &used), CHOIR_ERR_MALFORMED);
    cr_assert_eq(read_hex("ff", as_bool, &b, &used), CHOIR_ERR_MALFORMED);
    cr_assert_eq(read_hex("0000c03f", as_f32, &f, &used), CHOIR_OK);
    cr_assert(f > 1.49f && f < 1.51f);
    cr_assert_eq(read_hex("000000000000f0bf", as_f64, &d, &used), CHOIR_OK);
    cr_assert(d > -1.01 && d < -0.99);
    check_prefixes("0000c03f", as_f32);
    check_prefixes("000000000000f0bf", as_f64);
}

Test(reader, a_nan_keeps_its_bits) {
    choir_bytes in = from_hex("01 00 a0 7f 0100 0000 0000 f47f");
    choiri_reader r = choiri_reader_of(in);
    float f;
    double d;
    cr_assert(choiri_read_f32(&r, &f) && choiri_read_f64(&r, &d));
    uint32_t f_bits;
    uint64_t d_bits;
    memcpy(&f_bits, &f, 4);
    memcpy(&d_bits, &d, 8);
    cr_assert_eq(f_bits, 0x7fa00001u);
    cr_assert_eq(d_bits, UINT64_C(0x7ff4000000000001));
    bytes_free(in);
}

Test(reader, chars) {
    uint32_t c = 0;
    size_t used;
    cr_assert_eq(read_hex("0161", as_char, &c, &used), CHOIR_OK);
    cr_assert_eq(c, 'a');
    cr_assert_eq(read_hex("02c3a9", as_char, &c, &used), CHOIR_OK);
    cr_assert_eq(c, 0xe9);
    cr_assert_eq(read_hex("03e4b896", as_char, &c, &used), CHOIR_OK);
    cr_assert_eq(c, 0x4e16);
    cr_assert_eq(read_hex("04f09fa680", as_char, &c, &used), CHOIR_OK);
    cr_assert_eq(c, 0x1f980);
    cr_assert_eq(read_hex("03616263", as_char, &c, &used), CHOIR_OK); /* the first scalar counts */
    cr_assert_eq(c, 'a');
    cr_assert_eq(used, 4);
    cr_assert_eq(read_hex("00", as_char, &c, &used), CHOIR_ERR_MALFORMED);
    cr_assert_eq(read_hex("03eda080", as_char, &c, &used), CHOIR_ERR_MALFORMED);
    cr_assert_eq(read_hex("02c3", as_char, &c, &used), CHOIR_ERR_TRUNCATED);
}

/* A11: a length beyond what is there, in each of its two spellings. */
Test(reader, lengths_beyond_the_end) {
    static const struct {
        const char *hex;
        bool opaque;
        bool ok;
    } rows[] = {
        {"02 6162", false, true},
        {"03 6162", false, false},
        {"ffffffffffffffffff01 6162", false, false},
        {"8080808010 6162", false, false},
        {"02000000 6162", true, true},
        {"03000000 6162", true, false},
        {"ffffffff 6162", true, false},
        {"020000", true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        choir_bytes in = from_hex(rows[i].hex), out = {NULL, 9};
        choiri_reader r = choiri_reader_of(in);
        bool ok = rows[i].opaque ? choiri_read_opaque(&r, &out) : choiri_read_bytes(&r, &out);
        cr_assert_eq(ok, rows[i].ok, "%s", rows[i].hex);
        cr_assert_eq(r.status, rows[i].ok ? CHOIR_OK : CHOIR_ERR_TRUNCATED);
        cr_assert_eq(out.len, rows[i].ok ? 2u : 9u);
        if (ok) cr_assert(out.data >= in.data && out.data + out.len <= in.data + in.len, "not borrowed");
        bytes_free(in);
    }
}

Test(reader, counts_are_bounded_by_the_bytes_left) {
    static const struct {
        const char *hex;
        size_t min_size;
        uint64_t max_empty;
        int status;
    } rows[] = {
        {"04 00000000", 1, 0, CHOIR_OK},
        {"05 00000000", 1, 0, CHOIR_ERR_TRUNCATED},
        {"02 00000000", 2, 0, CHOIR_OK},
        {"03 00000000", 2, 0, CHOIR_ERR_TRUNCATED},
        {"01 00000000", 4, 0, CHOIR_OK},
        {"01 00000000", 5, 0, CHOIR_ERR_TRUNCATED},
        {"00", 5, 0, CHOIR_OK},
        {"808080808080808040 00", 1, 0, CHOIR_ERR_TRUNCATED},  /* 2^62 */
        {"808080808080808040 00", 16, 0, CHOIR_ERR_TRUNCATED}, /* 2^62 * 16 wraps to 0 */
        {"ffffffffffffffffff01 00", 4, 0, CHOIR_ERR_TRUNCATED},
        {"808080808080808040 00", 0, 1000, CHOIR_ERR_MALFORMED}, /* as many units */
        {"e807", 0, 1000, CHOIR_OK},
        {"e907", 0, 1000, CHOIR_ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        choir_bytes in = from_hex(rows[i].hex);
        choiri_reader r = choiri_reader_of(in);
        uint64_t count;
        bool ok = choiri_read_count(&r, rows[i].min_size, rows[i].max_empty, &count);
        cr_assert_eq(ok, rows[i].status == CHOIR_OK, "row %zu", i);
        cr_assert_eq(r.status, rows[i].status, "row %zu", i);
        bytes_free(in);
    }
}

Test(reader, the_first_error_stays_and_nothing_is_read_after_it) {
    choir_bytes in = from_hex("02 ff 01020304 05");
    choiri_reader r = choiri_reader_of(in);
    bool b = true;
    uint64_t v;
    choir_bytes bytes;
    cr_assert(!choiri_read_bool(&r, &b));
    cr_assert_eq(r.status, CHOIR_ERR_MALFORMED);
    cr_assert(!choiri_read_varint(&r, &v));
    cr_assert(!choiri_read_fixed(&r, 1, &bytes));
    cr_assert_eq(r.status, CHOIR_ERR_MALFORMED);
    cr_assert(b);
    bytes_free(in);
}

Test(reader, an_empty_span_without_address) {
    choiri_reader r = choiri_reader_of((choir_bytes){NULL, 0});
    choir_bytes out;
    uint64_t v;
    cr_assert(choiri_read_fixed(&r, 0, &out));
    cr_assert_eq(out.len, 0);
    cr_assert(!choiri_read_varint(&r, &v));
    cr_assert(choiri_utf8_is_valid(NULL, 0));
}

/* Reference: the shortest encoding of each scalar value, nothing else. */
static size_t encode_scalar(uint32_t c, uint8_t out[4]) {
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xc0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* All two- and three-byte strings are valid exactly when they are made of valid scalars. */
Test(reader, utf8_of_one_scalar_is_exact) {
    uint8_t *valid = calloc(1, 1u << 24); /* by the first three bytes, 00 where there are fewer */
    for (uint32_t c = 0; c < 0x10000; c++) {
        if (c >= 0xd800 && c <= 0xdfff) continue;
        uint8_t b[4] = {0};
        size_t n = encode_scalar(c, b);
        valid[(size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2]] = (uint8_t)n;
    }
    for (uint32_t x = 0; x < 1u << 16; x++) {
        uint8_t b[2] = {(uint8_t)(x >> 8), (uint8_t)x};
        bool both_ascii = b[0] < 0x80 && b[1] < 0x80;
        cr_assert_eq(choiri_utf8_is_valid(b, 2), both_ascii || valid[(size_t)x << 8] == 2, "%04x", x);
    }
    for (uint32_t x = 0x800000; x < 1u << 24; x++) { /* the first byte not ASCII */
        uint8_t b[3] = {(uint8_t)(x >> 16), (uint8_t)(x >> 8), (uint8_t)x};
        bool two_and_ascii = b[2] < 0x80 && valid[(size_t)(x & 0xffff00)] == 2;
        if (choiri_utf8_is_valid(b, 3) != (valid[x] == 3 || two_and_ascii)) cr_assert_fail("%06x", x);
    }
    free(valid);
}

Test(reader, utf8_above_the_basic_plane) {
    for (uint32_t c = 0x10000; c <= 0x10ffff; c++) {
        uint8_t b[4];
        cr_assert_eq(encode_scalar(c, b), 4);
        if (!choiri_utf8_is_valid(b, 4)) cr_assert_fail("U+%X", c);
        for (size_t len = 1; len < 4; len++) {
            if (choiri_utf8_is_valid(b, len)) cr_assert_fail("U+%X cut to %zu", c, len);
        }
    }
    for (uint32_t c = 0x110000; c < 0x200000; c += 7) { /* too large */
        uint8_t b[4];
        encode_scalar(c, b);
        if (choiri_utf8_is_valid(b, 4)) cr_assert_fail("U+%X", c);
    }
    for (uint32_t c = 0; c < 0x10000; c += 3) { /* overlong: four bytes where fewer do */
        uint8_t b[4] = {0xf0, (uint8_t)(0x80 | c >> 12), (uint8_t)(0x80 | (c >> 6 & 0x3f)),
                        (uint8_t)(0x80 | (c & 0x3f))};
        if (choiri_utf8_is_valid(b, 4)) cr_assert_fail("overlong %X", c);
    }
}

/* The fast path looks at 8 bytes at a time: a bad byte is found wherever it lies in runs of any length. */
Test(reader, utf8_bad_byte_at_any_place) {
    for (size_t len = 1; len <= 40; len++) {
        choir_bytes text = bytes_copy("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH", len);
        uint8_t *p = (uint8_t *)(uintptr_t)text.data;
        cr_assert(choiri_utf8_is_valid(p, len));
        for (size_t at = 0; at < len; at++) {
            uint8_t was = p[at];
            p[at] = 0x80;
            cr_assert(!choiri_utf8_is_valid(p, len));
            p[at] = 0xc3; /* a lead byte, followed by ASCII or by the end */
            cr_assert(!choiri_utf8_is_valid(p, len));
            if (at + 1 < len) {
                uint8_t next = p[at + 1];
                p[at + 1] = 0xa9;
                cr_assert(choiri_utf8_is_valid(p, len));
                p[at + 1] = next;
            }
            p[at] = was;
        }
        bytes_free(text);
    }
}
