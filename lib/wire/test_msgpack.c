/* SPDX-License-Identifier: MIT */
/* msgpack: every form read and written, what the pre-scan refuses and what that costs, and CBOR both ways. */
#include "wire/cbor.h"
#include "wire/msgpack.h"
#include "wire/test_wire.h"
#include "wire_vectors.h"

#include <math.h>

static choiri_msgpack_token read_hex(const char *hex) {
    choir_bytes in = from_hex(hex);
    choiri_reader r = choiri_reader_of(in);
    choiri_msgpack_token t = {0};
    cr_assert_eq(choiri_msgpack_scan(in), CHOIR_OK, "%s", hex);
    cr_assert(choiri_msgpack_read(&r, &t), "%s", hex);
    if (t.kind != CHOIRI_MSGPACK_ARRAY && t.kind != CHOIRI_MSGPACK_MAP) cr_assert_eq(r.pos, r.end, "%s", hex);
    bytes_free(in);
    return t;
}

/* The examples of the msgpack specification's list of formats, each width at its ends. */
Test(msgpack, every_form_is_read) {
    static const struct {
        const char *hex;
        uint32_t kind;
        uint64_t number;
    } rows[] = {
        {"c0", CHOIRI_MSGPACK_NIL, 0},
        {"c2", CHOIRI_MSGPACK_BOOL, 0},
        {"c3", CHOIRI_MSGPACK_BOOL, 1},
        {"00", CHOIRI_MSGPACK_UINT, 0},
        {"7f", CHOIRI_MSGPACK_UINT, 127},
        {"cc80", CHOIRI_MSGPACK_UINT, 128},
        {"cc01", CHOIRI_MSGPACK_UINT, 1},
        {"cdffff", CHOIRI_MSGPACK_UINT, 65535},
        {"ceffffffff", CHOIRI_MSGPACK_UINT, UINT32_MAX},
        {"cfffffffffffffffff", CHOIRI_MSGPACK_UINT, UINT64_MAX},
        {"ff", CHOIRI_MSGPACK_NEGATIVE, UINT64_MAX},
        {"e0", CHOIRI_MSGPACK_NEGATIVE, (uint64_t)-32},
        {"d080", CHOIRI_MSGPACK_NEGATIVE, (uint64_t)-128},
        {"d07f", CHOIRI_MSGPACK_UINT, 127},
        {"d18000", CHOIRI_MSGPACK_NEGATIVE, (uint64_t)INT16_MIN},
        {"d280000000", CHOIRI_MSGPACK_NEGATIVE, (uint64_t)INT32_MIN},
        {"d38000000000000000", CHOIRI_MSGPACK_NEGATIVE, (uint64_t)INT64_MIN},
        {"d30000000000000005", CHOIRI_MSGPACK_UINT, 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        choiri_msgpack_token t = read_hex(rows[i].hex);
        cr_assert_eq(t.kind, rows[i].kind, "%s", rows[i].hex);
        cr_assert_eq(t.number, rows[i].number, "%s", rows[i].hex);
    }
    cr_assert_eq(read_hex("ca3fc00000").real, 1.5);
    cr_assert_eq(read_hex("cbbff8000000000000").real, -1.5);
    cr_assert(isnan(read_hex("cb7ff8000000000000").real));
    cr_assert(isinf(read_hex("caff800000").real));
}

Test(msgpack, strings_bytes_and_ext_are_borrowed) {
    static const struct {
        const char *hex;
        uint32_t kind;
        size_t len, at;
    } rows[] = {
        {"a0", CHOIRI_MSGPACK_STR, 0, 1},       {"a36162 63", CHOIRI_MSGPACK_STR, 3, 1},
        {"d900", CHOIRI_MSGPACK_STR, 0, 2},     {"d90161", CHOIRI_MSGPACK_STR, 1, 2},
        {"da000161", CHOIRI_MSGPACK_STR, 1, 3}, {"db0000000161", CHOIRI_MSGPACK_STR, 1, 5},
        {"c400", CHOIRI_MSGPACK_BIN, 0, 2},     {"c40161", CHOIRI_MSGPACK_BIN, 1, 2},
        {"c5000161", CHOIRI_MSGPACK_BIN, 1, 3}, {"c60000000161", CHOIRI_MSGPACK_BIN, 1, 5},
        {"d4ff00", CHOIRI_MSGPACK_EXT, 2, 1},   {"d6ff00000000", CHOIRI_MSGPACK_EXT, 5, 1},
        {"c7000c", CHOIRI_MSGPACK_EXT, 1, 2},   {"c90000000101aa", CHOIRI_MSGPACK_EXT, 2, 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        choir_bytes in = from_hex(rows[i].hex);
        choiri_reader r = choiri_reader_of(in);
        choiri_msgpack_token t;
        cr_assert(choiri_msgpack_read(&r, &t), "%s", rows[i].hex);
        cr_assert(t.kind == rows[i].kind && t.bytes.len == rows[i].len, "%s", rows[i].hex);
        cr_assert(r.pos == r.end);
        if (t.bytes.len > 0) cr_assert_eq(t.bytes.data, in.data + rows[i].at, "%s", rows[i].hex);
        bytes_free(in);
    }
}

Test(msgpack, containers_are_read_up_to_their_items) {
    static const struct {
        const char *hex;
        uint32_t kind, count;
        size_t head;
    } rows[] = {
        {"90", CHOIRI_MSGPACK_ARRAY, 0, 1},       {"92c0c3", CHOIRI_MSGPACK_ARRAY, 2, 1},
        {"dc0001c0", CHOIRI_MSGPACK_ARRAY, 1, 3}, {"dd0000000191c0", CHOIRI_MSGPACK_ARRAY, 1, 5},
        {"80", CHOIRI_MSGPACK_MAP, 0, 1},         {"81a16101", CHOIRI_MSGPACK_MAP, 1, 1},
        {"de000101c0", CHOIRI_MSGPACK_MAP, 1, 3}, {"df0000000101c0", CHOIRI_MSGPACK_MAP, 1, 5},
        {"dc0000", CHOIRI_MSGPACK_ARRAY, 0, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        choir_bytes in = from_hex(rows[i].hex);
        choiri_reader r = choiri_reader_of(in);
        choiri_msgpack_token t;
        cr_assert_eq(choiri_msgpack_scan(in), CHOIR_OK, "%s", rows[i].hex);
        cr_assert(choiri_msgpack_read(&r, &t));
        cr_assert(t.kind == rows[i].kind && t.count == rows[i].count, "%s", rows[i].hex);
        cr_assert_eq(r.pos, in.data + rows[i].head, "%s", rows[i].hex);
        bytes_free(in);
    }
}

/* Whatever is cut off is found, by the pre-scan as by the reader. */
Test(msgpack, truncation) {
    static const char *const rows[] = {"cc80",
                                       "cdffff",
                                       "ceffffffff",
                                       "cfffffffffffffffff",
                                       "d38000000000000000",
                                       "cbbff8000000000000",
                                       "a3616263",
                                       "db0000000161",
                                       "c60000000161",
                                       "c90000000101aa",
                                       "d6ff00000000",
                                       "dd0000000191c0",
                                       "df0000000101c0"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        choir_bytes whole = from_hex(rows[i]);
        for (size_t len = 0; len < whole.len; len++) {
            choir_bytes in = bytes_copy(whole.data, len);
            choiri_reader r = choiri_reader_of(in);
            cr_assert_eq(choiri_msgpack_scan(in), CHOIR_ERR_TRUNCATED, "%zu of %s", len, rows[i]);
            cr_assert_not(choiri_msgpack_skip(&r, NULL));
            cr_assert_eq(r.pos, r.end);
            r = choiri_reader_of(in);
            choiri_msgpack_token t;
            while (choiri_msgpack_read(&r, &t)) {
            } /* ends, and in bounds */
            cr_assert_eq(r.status, CHOIR_ERR_TRUNCATED);
            bytes_free(in);
        }
        bytes_free(whole);
    }
}

/* A15: a few bytes that announce gigabytes are refused at the head that announces them. */
Test(msgpack, A15_count_bombs) {
    static const struct {
        const char *hex;
        int status;
    } rows[] = {
        {"ddff000000", CHOIR_ERR_TRUNCATED},
        {"dfffffffff", CHOIR_ERR_TRUNCATED},
        {"c6ffffffff", CHOIR_ERR_TRUNCATED},
        {"c9ffffffff00", CHOIR_ERR_TRUNCATED},
        {"dbffffffff61", CHOIR_ERR_TRUNCATED},
        {"dd00000003c0c0", CHOIR_ERR_TRUNCATED},
        {"df00000001c0", CHOIR_ERR_TRUNCATED},
        {"92dd00000001c0", CHOIR_ERR_TRUNCATED},
        {"929292c0c0c0", CHOIR_ERR_TRUNCATED},
        {"c1", CHOIR_ERR_MALFORMED},
        {"92c0c1", CHOIR_ERR_MALFORMED},
        {"c0c0", CHOIR_ERR_MALFORMED},
        {"", CHOIR_ERR_TRUNCATED},
        {"929292c0c0c0c0", CHOIR_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        choir_bytes in = from_hex(rows[i].hex);
        cr_assert_eq(choiri_msgpack_scan(in), rows[i].status, "%s", rows[i].hex);
        bytes_free(in);
    }
}

Test(msgpack, A15_nesting_ends_at_32) {
    uint8_t deep[100001];
    memset(deep, 0x91, sizeof deep);
    deep[32] = 0xc0;
    cr_assert_eq(choiri_msgpack_scan((choir_bytes){deep, 33}), CHOIR_OK);
    deep[32] = 0x91;
    deep[33] = 0xc0;
    cr_assert_eq(choiri_msgpack_scan((choir_bytes){deep, 34}), CHOIR_ERR_DEPTH);
    deep[32] = 0x90; /* empty, but one more all the same: as msgpack-c counts */
    cr_assert_eq(choiri_msgpack_scan((choir_bytes){deep, 33}), CHOIR_ERR_DEPTH);
    memset(deep, 0x91, sizeof deep);
    deep[100000] = 0xc0;
    cr_assert_eq(choiri_msgpack_scan((choir_bytes){deep, sizeof deep}), CHOIR_ERR_DEPTH);
}

static bool written(bench *b, choiri_writer *w, const char *hex) {
    cr_assert_eq(choiri_writer_finish(w), CHOIR_OK);
    choir_bytes out = bench_take(b);
    bool equal = bytes_are(out, hex);
    bytes_free(out);
    choiri_writer_init(w, &b->q, NULL);
    return equal;
}

Test(msgpack, shortest_forms_are_written) {
    static const struct {
        int64_t v;
        const char *hex;
    } rows[] = {{0, "00"},
                {127, "7f"},
                {128, "cc80"},
                {255, "ccff"},
                {256, "cd0100"},
                {65536, "ce00010000"},
                {INT64_C(1) << 32, "cf0000000100000000"},
                {-1, "ff"},
                {-32, "e0"},
                {-33, "d0df"},
                {-128, "d080"},
                {-129, "d1ff7f"},
                {-32769, "d2ffff7fff"},
                {INT64_MIN, "d38000000000000000"}};
    bench b;
    bench_open(&b);
    choiri_writer w;
    choiri_writer_init(&w, &b.q, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        choiri_msgpack_write_int(&w, rows[i].v);
        cr_assert(written(&b, &w, rows[i].hex), "%s", rows[i].hex);
        if (rows[i].v < 0) continue;
        choiri_msgpack_write_uint(&w, (uint64_t)rows[i].v);
        cr_assert(written(&b, &w, rows[i].hex), "%s", rows[i].hex);
    }
    choiri_msgpack_write_uint(&w, UINT64_MAX);
    cr_assert(written(&b, &w, "cfffffffffffffffff"));
    choiri_msgpack_write_nil(&w);
    choiri_msgpack_write_bool(&w, true);
    choiri_msgpack_write_bool(&w, false);
    choiri_msgpack_write_f32(&w, 1.5f);
    choiri_msgpack_write_f64(&w, -1.5);
    cr_assert(written(&b, &w, "c0c3c2ca3fc00000cbbff8000000000000"));
    choiri_msgpack_write_key(&w, "abc");
    choiri_msgpack_write_bin(&w, (choir_bytes){(const uint8_t *)"x", 1});
    choiri_msgpack_write_array(&w, 15);
    choiri_msgpack_write_array(&w, 16);
    choiri_msgpack_write_array(&w, 65536);
    choiri_msgpack_write_map(&w, 15);
    choiri_msgpack_write_map(&w, 16);
    cr_assert(written(&b, &w, "a3616263 c40178 9f dc0010 dd00010000 8f de0010"));
    choiri_hole hole = choiri_msgpack_write_hole(&w);
    choiri_msgpack_write_key(&w, "ab");
    choiri_msgpack_fill_hole(&w, hole);
    cr_assert(written(&b, &w, "c600000003a26162"));
    if (SIZE_MAX > UINT32_MAX) {
        choiri_msgpack_write_str(&w, (choir_str){"", (size_t)UINT32_MAX + 1});
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_ERR_TOO_LARGE);
    }
    bench_close(&b);
}

/* ---- CBOR ---- */

static void there_and_back(bench *b, choir_bytes cbor) {
    choiri_writer w;
    choiri_writer_init(&w, &b->q, NULL);
    choiri_reader r = choiri_reader_of(cbor);
    choiri_msgpack_write_cbor(&w, &r);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    cr_assert_eq(r.pos, r.end);
    choir_bytes packed = bench_take(b);
    size_t size = choiri_msgpack_cbor_size(packed);
    cr_assert_eq(size, cbor.len);
    uint8_t *again = malloc(size); /* exactly: a byte too much is found */
    choiri_msgpack_to_cbor(packed, again);
    cr_assert_arr_eq(again, cbor.data, size);
    for (size_t len = 0; len < packed.len; len += 1 + len / 64) {
        choir_bytes cut = bytes_copy(packed.data, len);
        cr_assert_eq(choiri_msgpack_cbor_size(cut), 0);
        bytes_free(cut);
    }
    free(again);
    bytes_free(packed);
}

Test(msgpack, handshakes_and_schemas_translate) {
    bench b;
    bench_open(&b);
    static const char *const documents[] = {
        "a1664c657473476fa0", "f6", "f4", "f5", "17", "1818", "1903e8", "1bffffffffffffffff", "8301020380"};
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        choir_bytes cbor = from_hex(documents[i]);
        if (i < 8) there_and_back(&b, cbor);
        bytes_free(cbor);
    }
    choir_bytes hello = from_hex(
        "a1654f746865 72a463626f6f f4 636e756c f6 6362696e 4301ff00 646c69737483 1863 78186162636465666768696a6b"
        "6c6d6e6f707172737475767778 a10102");
    there_and_back(&b, hello);
    bytes_free(hello);
    bench_close(&b);
}

/* What has no counterpart, and the most a value grows by. */
Test(msgpack, cbor_of_anything) {
    static const struct {
        const char *msgpack, *cbor;
    } rows[] = {
        {"c7010caa", "f6"},
        {"d6ff00000000", "f6"},
        {"ca3fc00000", "fb3ff8000000000000"},
        {"ff", "20"},
        {"d38000000000000000", "3b7fffffffffffffff"},
        {"93187fd901 61", "8318186161"},
    };
    for (size_t i = 0; i < 5; i++) {
        choir_bytes in = from_hex(rows[i].msgpack);
        size_t size = choiri_msgpack_cbor_size(in);
        uint8_t *out = malloc(size);
        choiri_msgpack_to_cbor(in, out);
        cr_assert(bytes_are((choir_bytes){out, size}, rows[i].cbor), "%s", rows[i].msgpack);
        free(out);
        bytes_free(in);
    }
    uint8_t many[1000];
    memset(many, 0x7f, sizeof many);
    memcpy(many, "\xdc\x03\xe5", 3);
    cr_assert_eq(choiri_msgpack_scan((choir_bytes){many, 1000}), CHOIR_OK);
    cr_assert_leq(choiri_msgpack_cbor_size((choir_bytes){many, 1000}), 2 * sizeof many);
}

/* Random bytes: the pre-scan and the reader agree about the end of a value, and nothing is read beyond it. */
Test(msgpack, scan_and_read_agree) {
    uint64_t state = 88172645463325252;
    size_t good = 0;
    for (int n = 0; n < 200000; n++) {
        uint8_t raw[24];
        size_t len = 1 + (size_t)(next_random(&state) % sizeof raw);
        for (size_t i = 0; i < len; i++) raw[i] = (uint8_t)(next_random(&state) >> 32);
        if (n % 2) raw[0] = (uint8_t)(0x80 | (raw[0] & 0x5f)); /* more containers */
        choir_bytes in = bytes_copy(raw, len);
        choiri_reader scan = choiri_reader_of(in), read = scan;
        bool ok = choiri_msgpack_skip(&scan, NULL);
        uint64_t pending = 1;
        while (ok && pending > 0) {
            choiri_msgpack_token t;
            cr_assert(choiri_msgpack_read(&read, &t));
            pending--;
            if (t.kind == CHOIRI_MSGPACK_ARRAY) pending += t.count;
            if (t.kind == CHOIRI_MSGPACK_MAP) pending += 2 * (uint64_t)t.count;
        }
        if (ok) cr_assert_eq(read.pos, scan.pos);
        good += ok;
        bytes_free(in);
    }
    cr_assert_gt(good, 10000);
}
