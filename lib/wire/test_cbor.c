/* SPDX-License-Identifier: MIT */
/* The CBOR subset: reading and writing each kind, what is refused, depth and counts at their limits, and
 * the real documents of the handshake read, written back, cut and flipped. */
#include "wire/cbor.h"
#include "wire/test_wire.h"
#include "wire_vectors.h"

static int skip_hex(const char *hex, size_t *ret_len) {
    choir_bytes in = from_hex(hex), item = {NULL, 0};
    choiri_reader r = choiri_reader_of(in);
    bool ok = choiri_cbor_skip(&r, &item);
    cr_assert_eq(ok, r.status == CHOIR_OK);
    if (ok) cr_assert(item.data == in.data && item.data + item.len == r.pos);
    *ret_len = item.len;
    bytes_free(in);
    return r.status;
}

static int peek_hex(const char *hex) {
    choir_bytes in = from_hex(hex);
    choiri_reader r = choiri_reader_of(in);
    int kind = choiri_cbor_peek(&r);
    cr_assert_eq(r.pos, in.data);
    bytes_free(in);
    return kind;
}

/* Examples of RFC 8949, appendix A. */
Test(cbor, kinds_of_the_rfc_examples) {
    static const struct {
        const char *hex;
        int kind;
    } rows[] = {
        {"00", CHOIRI_CBOR_UINT},
        {"17", CHOIRI_CBOR_UINT},
        {"1818", CHOIRI_CBOR_UINT},
        {"1903e8", CHOIRI_CBOR_UINT},
        {"1a000f4240", CHOIRI_CBOR_UINT},
        {"1bffffffffffffffff", CHOIRI_CBOR_UINT},
        {"c249010000000000000000", CHOIRI_CBOR_TAG},
        {"3bffffffffffffffff", CHOIRI_CBOR_NEGATIVE},
        {"20", CHOIRI_CBOR_NEGATIVE},
        {"3903e7", CHOIRI_CBOR_NEGATIVE},
        {"f98000", CHOIRI_CBOR_FLOAT},
        {"f93c00", CHOIRI_CBOR_FLOAT},
        {"fa47c35000", CHOIRI_CBOR_FLOAT},
        {"fb3ff199999999999a", CHOIRI_CBOR_FLOAT},
        {"fb7ff0000000000000", CHOIRI_CBOR_FLOAT},
        {"f4", CHOIRI_CBOR_BOOL},
        {"f5", CHOIRI_CBOR_BOOL},
        {"f6", CHOIRI_CBOR_NULL},
        {"f7", CHOIRI_CBOR_SIMPLE},
        {"f0", CHOIRI_CBOR_SIMPLE},
        {"f8ff", CHOIRI_CBOR_SIMPLE},
        {"f820", CHOIRI_CBOR_SIMPLE},
        {"c074323031332d30332d32315432303a30343a30305a", CHOIRI_CBOR_TAG},
        {"d74401020304", CHOIRI_CBOR_TAG},
        {"d818456449455446", CHOIRI_CBOR_TAG},
        {"40", CHOIRI_CBOR_BYTES},
        {"4401020304", CHOIRI_CBOR_BYTES},
        {"60", CHOIRI_CBOR_TEXT},
        {"62c3bc", CHOIRI_CBOR_TEXT},
        {"64f0908591", CHOIRI_CBOR_TEXT},
        {"80", CHOIRI_CBOR_ARRAY},
        {"8301820203820405", CHOIRI_CBOR_ARRAY},
        {"98190102030405060708090a0b0c0d0e0f101112131415161718181819", CHOIRI_CBOR_ARRAY},
        {"a0", CHOIRI_CBOR_MAP},
        {"a201020304", CHOIRI_CBOR_MAP},
        {"a26161016162820203", CHOIRI_CBOR_MAP},
        {"826161a161626163", CHOIRI_CBOR_ARRAY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len;
        cr_assert_eq(peek_hex(rows[i].hex), rows[i].kind, "%s", rows[i].hex);
        cr_assert_eq(skip_hex(rows[i].hex, &len), CHOIR_OK, "%s", rows[i].hex);
        cr_assert_eq(len, strlen(rows[i].hex) / 2, "%s", rows[i].hex);
    }
}

Test(cbor, refused) {
    static const struct {
        const char *hex;
        int status;
    } rows[] = {
        {"", CHOIR_ERR_TRUNCATED},
        {"5f42010243030405ff", CHOIR_ERR_MALFORMED}, /* indefinite lengths, wherever they are */
        {"7f657374726561646d696e67ff", CHOIR_ERR_MALFORMED},
        {"9fff", CHOIR_ERR_MALFORMED},
        {"bf6161019fff", CHOIR_ERR_MALFORMED},
        {"83019f0203ff", CHOIR_ERR_MALFORMED},
        {"a161619f01ff", CHOIR_ERR_MALFORMED},
        {"ff", CHOIR_ERR_MALFORMED},
        {"1c", CHOIR_ERR_MALFORMED}, /* reserved additional information */
        {"3d", CHOIR_ERR_MALFORMED},
        {"5e", CHOIR_ERR_MALFORMED},
        {"fc", CHOIR_ERR_MALFORMED},
        {"1f", CHOIR_ERR_MALFORMED},
        {"df00", CHOIR_ERR_MALFORMED},
        {"f800", CHOIR_ERR_MALFORMED}, /* simple values below 32 have one form only */
        {"f814", CHOIR_ERR_MALFORMED},
        {"f81f", CHOIR_ERR_MALFORMED},
        {"18", CHOIR_ERR_TRUNCATED},
        {"1bffffffffffffff", CHOIR_ERR_TRUNCATED},
        {"42 01", CHOIR_ERR_TRUNCATED},
        {"81", CHOIR_ERR_TRUNCATED},
        {"a101", CHOIR_ERR_TRUNCATED},
        {"c0", CHOIR_ERR_TRUNCATED},
        {"d9d9f7", CHOIR_ERR_TRUNCATED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len;
        cr_assert_eq(skip_hex(rows[i].hex, &len), rows[i].status, "%s", rows[i].hex);
    }
    cr_assert_eq(peek_hex(""), CHOIRI_CBOR_NOTHING);
    for (unsigned first = 0; first < 256; first++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", first);
        cr_assert_eq(peek_hex(hex) == CHOIRI_CBOR_NOTHING, (first & 31) > 27, "%s", hex);
    }
}

/* A14: counts and lengths that only announce. There is no allocator here that could be asked for memory;
 * what is left to show is that they are refused, at once and with the right status. */
Test(cbor, count_bombs) {
    static const char *const bombs[] = {
        "9affffffff",
        "9bffffffffffffffff",
        "9b8000000000000000",
        "baffffffff",
        "bb8000000000000000",
        "bbffffffffffffffff",
        "5affffffff",
        "5bffffffffffffffff",
        "7affffffff",
        "7bffffffffffffffff",
        "9a00000002 00",
        "ba00000001 00",
        "bb8000000000000001 0000", /* twice this count wraps to 2 */
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        size_t len;
        cr_assert_eq(skip_hex(bombs[i], &len), CHOIR_ERR_TRUNCATED, "%s", bombs[i]);
        choir_bytes in = from_hex(bombs[i]);
        size_t count = 77;
        choir_bytes bytes = {NULL, 77};
        choiri_reader r = choiri_reader_of(in), r2 = r, r3 = r;
        cr_assert(!choiri_cbor_read_array(&r, &count));
        cr_assert(!choiri_cbor_read_map(&r2, &count));
        cr_assert(!choiri_cbor_read_bytes(&r3, &bytes));
        cr_assert_eq(count, 77);
        cr_assert_eq(bytes.len, 77);
        bytes_free(in);
    }
}

/* Each level announces as many items as bytes are left: believable one by one, together far too many. */
Test(cbor, nested_counts_of_what_is_left) {
    enum { LEN = 1 << 20 };
    uint8_t *p = calloc(1, LEN);
    for (size_t i = 0; i < CHOIRI_CBOR_DEPTH; i++) {
        uint32_t left = LEN - 5 * ((uint32_t)i + 1);
        uint8_t head[5] = {0x9a, (uint8_t)(left >> 24), (uint8_t)(left >> 16), (uint8_t)(left >> 8),
                           (uint8_t)left};
        memcpy(p + 5 * i, head, 5);
    }
    choiri_reader r = choiri_reader_of((choir_bytes){p, LEN});
    cr_assert(!choiri_cbor_skip(&r, NULL));
    cr_assert_eq(r.status, CHOIR_ERR_TRUNCATED);
    free(p);
}

/* An item may lie inside 64 others, not inside 65, whatever they are. */
Test(cbor, depth) {
    static const uint8_t opening[] = {0x81, 0xa1, 0xc1};
    for (size_t kind = 0; kind < 4; kind++) {
        for (size_t depth = 0; depth <= 70; depth++) {
            uint8_t doc[300];
            size_t len = 0;
            for (size_t i = 0; i < depth; i++) {
                size_t k = kind == 3 ? i % 3 : kind;
                doc[len++] = opening[k];
                if (k == 1) doc[len++] = 0x00; /* the key; the value is what is nested */
            }
            doc[len++] = 0x05;
            choir_bytes exact = bytes_copy(doc, len);
            choiri_reader r = choiri_reader_of(exact);
            cr_assert_eq(choiri_cbor_skip(&r, NULL), depth <= CHOIRI_CBOR_DEPTH, "kind %zu depth %zu", kind,
                         depth);
            cr_assert_eq(r.status, depth <= CHOIRI_CBOR_DEPTH ? CHOIR_OK : CHOIR_ERR_DEPTH);
            bytes_free(exact);
        }
    }
    uint8_t *deep = malloc(100000);
    memset(deep, 0x81, 100000);
    choiri_reader r = choiri_reader_of((choir_bytes){deep, 100000});
    cr_assert(!choiri_cbor_skip(&r, NULL));
    cr_assert_eq(r.status, CHOIR_ERR_DEPTH);
    free(deep);
}

Test(cbor, values) {
    choir_bytes in = from_hex("17 1818 1a00000001 1b0000000000000005 1bffffffffffffffff f4 f5 f6"
                              "62c3bc 60 4401020304 40 5800 590002abcd 83 a2 9a00000000 b800");
    choiri_reader r = choiri_reader_of(in);
    uint64_t v;
    bool b;
    choir_str s;
    choir_bytes bytes;
    size_t count;
    cr_assert(choiri_cbor_read_uint(&r, &v) && v == 23);
    cr_assert(choiri_cbor_read_uint(&r, &v) && v == 24);
    cr_assert(choiri_cbor_read_uint(&r, &v) && v == 1, "not the shortest form");
    cr_assert(choiri_cbor_read_uint(&r, &v) && v == 5);
    cr_assert(choiri_cbor_read_uint(&r, &v) && v == UINT64_MAX);
    cr_assert(choiri_cbor_read_bool(&r, &b) && !b);
    cr_assert(choiri_cbor_read_bool(&r, &b) && b);
    cr_assert(choiri_cbor_read_null(&r));
    cr_assert(choiri_cbor_read_text(&r, &s) && str_is(s, "\xc3\xbc"));
    cr_assert(choiri_cbor_read_text(&r, &s) && s.len == 0);
    cr_assert(choiri_cbor_read_bytes(&r, &bytes) && bytes_are(bytes, "01020304"));
    cr_assert(choiri_cbor_read_bytes(&r, &bytes) && bytes.len == 0);
    cr_assert(choiri_cbor_read_bytes(&r, &bytes) && bytes.len == 0);
    cr_assert(choiri_cbor_read_bytes(&r, &bytes) && bytes_are(bytes, "abcd"));
    cr_assert(choiri_cbor_read_array(&r, &count) && count == 3);
    cr_assert(choiri_cbor_read_map(&r, &count) && count == 2);
    cr_assert(choiri_cbor_read_array(&r, &count) && count == 0);
    cr_assert(choiri_cbor_read_map(&r, &count) && count == 0);
    cr_assert_eq(choiri_reader_left(&r), 0);
    bytes_free(in);
}

static bool as_uint(choiri_reader *r) {
    uint64_t v;
    return choiri_cbor_read_uint(r, &v);
}
static bool as_bool(choiri_reader *r) {
    bool v;
    return choiri_cbor_read_bool(r, &v);
}
static bool as_text(choiri_reader *r) {
    choir_str v;
    return choiri_cbor_read_text(r, &v);
}
static bool as_bytes(choiri_reader *r) {
    choir_bytes v;
    return choiri_cbor_read_bytes(r, &v);
}
static bool as_array(choiri_reader *r) {
    size_t v;
    return choiri_cbor_read_array(r, &v);
}
static bool as_map(choiri_reader *r) {
    size_t v;
    return choiri_cbor_read_map(r, &v);
}

/* Each reading function takes its own kind only; a tag in front of a value that is needed is refused as
 * well. */
Test(cbor, wrong_kinds) {
    static bool (*const readers[])(choiri_reader *) = {
        as_uint, as_bytes, as_text, as_array, as_map, as_bool, choiri_cbor_read_null};
    static const int kinds[] = {CHOIRI_CBOR_UINT, CHOIRI_CBOR_BYTES, CHOIRI_CBOR_TEXT, CHOIRI_CBOR_ARRAY,
                                CHOIRI_CBOR_MAP,  CHOIRI_CBOR_BOOL,  CHOIRI_CBOR_NULL};
    static const char *const items[] = {"05",   "25",     "4100", "6161", "80", "a0",
                                        "c105", "f93c00", "f5",   "f6",   "f7"};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        for (size_t k = 0; k < sizeof readers / sizeof *readers; k++) {
            choir_bytes in = from_hex(items[i]);
            choiri_reader r = choiri_reader_of(in);
            bool expected = peek_hex(items[i]) == kinds[k];
            cr_assert_eq(readers[k](&r), expected, "%s reader %zu", items[i], k);
            cr_assert_eq(r.status, expected ? CHOIR_OK : CHOIR_ERR_MALFORMED);
            bytes_free(in);
        }
    }
    choir_bytes in = from_hex("62c328"); /* text that is not UTF-8 can be skipped, not read */
    choiri_reader r = choiri_reader_of(in), r2 = r;
    cr_assert(choiri_cbor_skip(&r, NULL));
    cr_assert(!as_text(&r2));
    cr_assert_eq(r2.status, CHOIR_ERR_MALFORMED);
    bytes_free(in);
}

Test(cbor, shortest_forms_are_written) {
    static const struct {
        uint64_t v;
        const char *hex;
    } rows[] = {{0, "00"},
                {23, "17"},
                {24, "1818"},
                {255, "18ff"},
                {256, "190100"},
                {65535, "19ffff"},
                {65536, "1a00010000"},
                {UINT32_MAX, "1affffffff"},
                {UINT64_C(1) << 32, "1b0000000100000000"},
                {UINT64_MAX, "1bffffffffffffffff"}};
    bench b;
    bench_open(&b);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        choiri_writer w;
        choiri_writer_init(&w, &b.q, NULL);
        choiri_cbor_write_uint(&w, rows[i].v);
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
        choir_bytes out = bench_take(&b);
        cr_assert(bytes_are(out, rows[i].hex), "%s", rows[i].hex);
        bytes_free(out);
    }
    choiri_writer w;
    choiri_writer_init(&w, &b.q, NULL);
    choiri_cbor_write_array(&w, 300);
    choiri_cbor_write_map(&w, 24);
    choiri_cbor_write_bool(&w, false);
    choiri_cbor_write_bool(&w, true);
    choiri_cbor_write_null(&w);
    choiri_cbor_write_key(&w, "key");
    choiri_cbor_write_text(&w, (choir_str){NULL, 0});
    choiri_cbor_write_bytes(&w, (choir_bytes){(const uint8_t *)"\1\2", 2});
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    choir_bytes out = bench_take(&b);
    cr_assert(bytes_are(out, "99012c b818 f4 f5 f6 636b6579 60 420102"));
    bytes_free(out);
    bench_close(&b);
}

static const test_vector *find_example(const char *name) {
    for (size_t i = 0; i < handshake_examples_count; i++) {
        if (strcmp(handshake_examples[i].name, name) == 0) return &handshake_examples[i];
    }
    cr_assert_fail("no example %s", name);
    return NULL;
}

static void write_parity(choiri_writer *w) {
    choiri_cbor_write_key(w, "parity");
    choiri_cbor_write_map(w, 1);
    choiri_cbor_write_key(w, "Odd");
    choiri_cbor_write_null(w);
}

Test(cbor, the_smallest_hello_is_written_byte_for_byte) {
    bench b;
    bench_open(&b);
    choiri_writer w;
    choiri_writer_init(&w, &b.q, NULL);
    choiri_cbor_write_map(&w, 1);
    choiri_cbor_write_key(&w, "Hello");
    choiri_cbor_write_map(&w, 6);
    write_parity(&w);
    choiri_cbor_write_key(&w, "connection_settings");
    choiri_cbor_write_map(&w, 2);
    write_parity(&w);
    choiri_cbor_write_key(&w, "max_concurrent_requests");
    choiri_cbor_write_uint(&w, 64);
    choiri_cbor_write_key(&w, "message_payload_schema");
    choiri_cbor_write_array(&w, 0);
    choiri_cbor_write_key(&w, "supports_retry");
    choiri_cbor_write_bool(&w, true);
    choiri_cbor_write_key(&w, "resume_key");
    choiri_cbor_write_null(&w);
    choiri_cbor_write_key(&w, "metadata");
    choiri_cbor_write_array(&w, 1);
    choiri_cbor_write_map(&w, 3);
    choiri_cbor_write_key(&w, "key");
    choiri_cbor_write_text(&w, CHOIR_STR("vox-service"));
    choiri_cbor_write_key(&w, "value");
    choiri_cbor_write_map(&w, 1);
    choiri_cbor_write_key(&w, "String");
    choiri_cbor_write_text(&w, CHOIR_STR("Testbed"));
    choiri_cbor_write_key(&w, "flags");
    choiri_cbor_write_uint(&w, 0);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    choir_bytes out = bench_take(&b);
    const test_vector *want = find_example("Hello");
    cr_assert(bytes_equal(out, (choir_bytes){want->data, want->len}));
    cr_assert_eq(out.len, 189);
    bytes_free(out);
    bench_close(&b);
}

/* Reads a document by its kinds and writes it in shortest form; what has no reading function is copied. */
static bool copy_item(choiri_reader *r, choiri_writer *w, unsigned depth) {
    uint64_t v;
    bool b;
    choir_str s;
    choir_bytes bytes;
    size_t count;
    if (depth > CHOIRI_CBOR_DEPTH) return choiri_reader_fail(r, CHOIR_ERR_DEPTH);
    switch (choiri_cbor_peek(r)) {
    case CHOIRI_CBOR_UINT:
        if (!choiri_cbor_read_uint(r, &v)) return false;
        choiri_cbor_write_uint(w, v);
        return true;
    case CHOIRI_CBOR_BOOL:
        if (!choiri_cbor_read_bool(r, &b)) return false;
        choiri_cbor_write_bool(w, b);
        return true;
    case CHOIRI_CBOR_NULL: choiri_cbor_write_null(w); return choiri_cbor_read_null(r);
    case CHOIRI_CBOR_TEXT:
        if (!choiri_cbor_read_text(r, &s)) return false;
        choiri_cbor_write_text(w, s);
        return true;
    case CHOIRI_CBOR_BYTES:
        if (!choiri_cbor_read_bytes(r, &bytes)) return false;
        choiri_cbor_write_bytes(w, bytes);
        return true;
    case CHOIRI_CBOR_ARRAY:
        if (!choiri_cbor_read_array(r, &count)) return false;
        choiri_cbor_write_array(w, count);
        break;
    case CHOIRI_CBOR_MAP:
        if (!choiri_cbor_read_map(r, &count)) return false;
        choiri_cbor_write_map(w, count);
        count *= 2;
        break;
    default:
        if (!choiri_cbor_skip(r, &bytes)) return false;
        choiri_write_raw(w, bytes.data, bytes.len);
        return true;
    }
    while (count-- > 0) {
        if (!copy_item(r, w, depth + 1)) return false;
    }
    return true;
}

static bool transcode(bench *b, choir_bytes in, choir_bytes *ret_out, size_t *ret_used, int *ret_status) {
    choiri_outq_mark mark = choiri_outq_get_mark(&b->q);
    choiri_reader r = choiri_reader_of(in);
    choiri_writer w;
    choiri_writer_init(&w, &b->q, NULL);
    bool ok = copy_item(&r, &w, 0);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    *ret_used = (size_t)(r.pos - in.data);
    *ret_status = r.status;
    if (!ok) {
        choiri_outq_rollback(&b->q, mark);
        return false;
    }
    *ret_out = bench_take(b);
    return true;
}

typedef struct counts {
    unsigned documents, prefixes, flips, flip_errors;
} counts;

static void check_flip(bench *b, choir_bytes in, choir_bytes original, counts *c) {
    choir_bytes once, twice, item;
    size_t used, used_again;
    int status;
    choiri_reader r = choiri_reader_of(in);
    bool skipped = choiri_cbor_skip(&r, &item);
    c->flips++;
    if (transcode(b, in, &once, &used, &status)) {
        cr_assert(skipped);
        cr_assert_eq(used, item.len);
        cr_assert(used < in.len || !bytes_equal(once, original), "a flip is lost");
        cr_assert(transcode(b, once, &twice, &used_again, &status));
        cr_assert(bytes_equal(once, twice));
        bytes_free(once);
        bytes_free(twice);
    } else {
        c->flip_errors++;
        /* Where they differ, reading stopped earlier, at text that is not UTF-8. */
        if (skipped || status != r.status) cr_assert_eq(status, CHOIR_ERR_MALFORMED);
    }
}

/* A9 for CBOR: cut at every `step`th byte, every `step`th bit flipped. */
static void check_document(bench *b, const test_vector *v, size_t step, counts *c) {
    choir_bytes in = bytes_copy(v->data, v->len), out;
    size_t used;
    int status;
    cr_assert(transcode(b, in, &out, &used, &status), "%s", v->name);
    cr_assert(bytes_equal(in, out), "%s", v->name);
    bytes_free(out);
    for (size_t len = 0; len < v->len; len += step, c->prefixes++) {
        choir_bytes part = bytes_copy(v->data, len);
        choiri_reader r = choiri_reader_of(part);
        cr_assert(!choiri_cbor_skip(&r, NULL));
        cr_assert_eq(r.status, CHOIR_ERR_TRUNCATED);
        cr_assert(!transcode(b, part, &out, &used, &status));
        cr_assert_eq(status, CHOIR_ERR_TRUNCATED);
        bytes_free(part);
    }
    uint8_t *p = (uint8_t *)(uintptr_t)in.data;
    for (size_t bit = 0; bit < 8 * v->len; bit += step) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_flip(b, in, (choir_bytes){v->data, v->len}, c);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    bytes_free(in);
    c->documents++;
}

Test(cbor, real_documents, .timeout = 300) {
    bench b;
    bench_open(&b);
    counts c = {0};
    for (size_t i = 0; i < handshake_examples_count; i++) check_document(&b, &handshake_examples[i], 1, &c);
    for (size_t i = 0; i < message_payload_schema_count; i++) {
        check_document(&b, &message_payload_schema[i], 1, &c);
    }
    /* The recorded ones mostly consist of that schema again. */
    for (size_t i = 0; i < handshakes_count; i++) check_document(&b, &handshakes[i], 11, &c);
    printf("cbor: %u documents, %u prefixes, %u flips (%u refused)\n", c.documents, c.prefixes, c.flips,
           c.flip_errors);
    cr_assert_eq(c.documents, 4 + 1 + 9);
    bench_close(&b);
}
