/* SPDX-License-Identifier: MIT */
/* The Message codec against golden, recorded and worked examples, cut and flipped, and the functions of
 * the hot path against the general encoder. */
#include "protocol/message.h"
#include "wire/test_wire.h"
#include "wire_vectors.h"

#define META3 "030874726163652d696400066162633132330004617574680104deadbeef0307617474656d7074020200"

static const choir_metadata_entry meta3[] = {
    {.key = {"trace-id", 8}, .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"abc123", 6}},
    {.key = {"auth", 4},
     .type = CHOIR_METADATA_BYTES,
     .bytes = {(const uint8_t *)"\xde\xad\xbe\xef", 4},
     .flags = CHOIR_METADATA_SENSITIVE | CHOIR_METADATA_NO_PROPAGATE},
    {.key = {"attempt", 7}, .type = CHOIR_METADATA_U64, .u64 = 2},
};

static choir_bytes encode(bench *b, const choiri_message *m) {
    choiri_writer w;
    choiri_writer_init(&w, &b->q, NULL);
    choiri_message_encode(&w, m, NULL, 0);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    return bench_take(b);
}

static bool same_entries(choir_metadata a, choir_metadata b) {
    choir_metadata_entry x, y;
    if (a.count != b.count) return false;
    while (choir_metadata_next(&a, &x)) {
        if (!choir_metadata_next(&b, &y)) return false;
        if (!bytes_equal(str_bytes(x.key), str_bytes(y.key)) || x.type != y.type) return false;
        if (!bytes_equal(x.bytes, y.bytes) || x.u64 != y.u64 || x.flags != y.flags) return false;
    }
    return !choir_metadata_next(&b, &y);
}

static bool same_message(const choiri_message *a, const choiri_message *b) {
    return a->conn == b->conn && a->kind == b->kind && a->body == b->body && a->direction == b->direction &&
           a->additional == b->additional && a->id == b->id && a->method == b->method &&
           same_entries(a->metadata, b->metadata) && bytes_equal(a->payload, b->payload) &&
           bytes_equal(a->schemas, b->schemas) &&
           bytes_equal(str_bytes(a->description), str_bytes(b->description)) &&
           a->settings.parity == b->settings.parity &&
           a->settings.max_concurrent_requests == b->settings.max_concurrent_requests;
}

typedef struct counts {
    unsigned vectors, prefixes, flips, flip_errors;
} counts;

static void check_prefixes(const test_vector *v, counts *c) {
    for (size_t len = 0; len < v->len; len++, c->prefixes++) {
        choir_bytes part = bytes_copy(v->data, len);
        choiri_message m;
        cr_assert_eq(choiri_message_decode(part, &m), CHOIR_ERR_TRUNCATED, "%s cut to %zu", v->name, len);
        bytes_free(part);
    }
}

/* A9: refused, or another message that is consistent in itself: it differs from the original and survives
 * being written and read again. Bits behind what the message takes are trailing bytes and may be lost. */
static void check_flips(bench *b, const test_vector *v, const choiri_message *original, counts *c) {
    choir_bytes in = bytes_copy(v->data, v->len);
    uint8_t *p = (uint8_t *)(uintptr_t)in.data;
    for (size_t bit = 0; bit < 8 * v->len; bit++, c->flips++) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        choiri_message once, twice;
        int status = choiri_message_decode(in, &once);
        if (status == CHOIR_OK) {
            cr_assert(!same_message(&once, original), "%s: a flip of bit %zu is lost", v->name, bit);
            choir_bytes out = encode(b, &once);
            cr_assert_leq(out.len, v->len);
            cr_assert_eq(choiri_message_decode(out, &twice), CHOIR_OK);
            cr_assert(same_message(&once, &twice), "%s, bit %zu", v->name, bit);
            bytes_free(out);
        } else {
            cr_assert(status == CHOIR_ERR_TRUNCATED || status == CHOIR_ERR_MALFORMED);
            c->flip_errors++;
        }
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    bytes_free(in);
}

static void check_table(const char *what, const test_vector *table, size_t count, const char *prefix,
                        size_t expected) {
    bench b;
    bench_open(&b);
    counts c = {0};
    for (size_t i = 0; i < count; i++) {
        const test_vector *v = &table[i];
        if (strncmp(v->name, prefix, strlen(prefix)) != 0) continue;
        choiri_message m;
        choir_bytes in = bytes_copy(v->data, v->len);
        cr_assert_eq(choiri_message_decode(in, &m), CHOIR_OK, "%s", v->name);
        choir_bytes out = encode(&b, &m);
        cr_assert(bytes_equal(in, out), "%s", v->name);
        check_prefixes(v, &c);
        check_flips(&b, v, &m, &c);
        bytes_free(out);
        bytes_free(in);
        c.vectors++;
    }
    printf("%s: %u messages, %u prefixes, %u flips (%u refused)\n", what, c.vectors, c.prefixes, c.flips,
           c.flip_errors);
    cr_assert_eq(c.vectors, expected);
    bench_close(&b);
}

Test(message, golden_vectors) {
    check_table("golden", golden_vectors, golden_vectors_count, "wire/", 12);
}
Test(message, extra_vectors) {
    check_table("extra", extra_vectors, extra_vectors_count, "", 11);
}
Test(message, worked_examples) {
    check_table("examples", message_examples, message_examples_count, "", 18);
}
Test(message, recorded_messages, .timeout = 120) {
    check_table("recorded", messages, messages_count, "", messages_count);
}

static choiri_message decode_hex(const char *hex, choir_bytes *ret_in) {
    choiri_message m;
    *ret_in = from_hex(hex);
    cr_assert_eq(choiri_message_decode(*ret_in, &m), CHOIR_OK, "%s", hex);
    return m;
}

static void check_meta3(choir_metadata list) {
    choir_metadata_entry e;
    cr_assert_eq(list.count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert(choir_metadata_next(&list, &e));
        cr_assert(bytes_equal(str_bytes(e.key), str_bytes(meta3[i].key)));
        cr_assert_eq(e.type, meta3[i].type);
        cr_assert(bytes_equal(e.bytes, meta3[i].bytes));
        cr_assert_eq(e.u64, meta3[i].u64);
        cr_assert_eq(e.flags, meta3[i].flags);
    }
    cr_assert(!choir_metadata_next(&list, &e));
}

Test(message, fields_of_requests) {
    choir_bytes in;
    choiri_message m = decode_hex("02050b00 81e0c39cacd6f5d0e501" META3 "05000000f8acd1910100", &in);
    cr_assert_eq(m.conn, 2);
    cr_assert_eq(m.kind, CHOIRI_MSG_REQUEST);
    cr_assert_eq(m.body, CHOIRI_BODY_CALL);
    cr_assert_eq(m.id, 11);
    cr_assert_eq(m.method, UINT64_C(0xe5a1d6b2c390f001));
    check_meta3(m.metadata);
    cr_assert(bytes_are(m.payload, "f8acd19101"));
    cr_assert_eq(m.schemas.len, 0);
    bytes_free(in);
    m = decode_hex("02050b01" META3 "050000008ce0bad60f02a0a1", &in);
    cr_assert_eq(m.body, CHOIRI_BODY_RESPONSE);
    cr_assert_eq(m.method, 0);
    check_meta3(m.metadata);
    cr_assert(bytes_are(m.payload, "8ce0bad60f"));
    cr_assert(bytes_are(m.schemas, "a0a1"));
    bytes_free(in);
    m = decode_hex("02050b02" META3, &in);
    cr_assert_eq(m.body, CHOIRI_BODY_CANCEL);
    check_meta3(m.metadata);
    cr_assert_null(m.payload.data);
    bytes_free(in);
}

Test(message, fields_of_the_others) {
    choir_bytes in;
    choiri_message m = decode_hex("000012626164206672616d652073657175656e6365", &in);
    cr_assert_eq(m.kind, CHOIRI_MSG_PROTOCOL_ERROR);
    cr_assert(str_is(m.description, "bad frame sequence"));
    bytes_free(in);
    m = decode_hex("02010040" META3, &in);
    cr_assert_eq(m.kind, CHOIRI_MSG_CONNECTION_OPEN);
    cr_assert_eq(m.settings.parity, CHOIRI_PARITY_ODD);
    cr_assert_eq(m.settings.max_concurrent_requests, 64);
    check_meta3(m.metadata);
    bytes_free(in);
    m = decode_hex("02020160" META3, &in);
    cr_assert_eq(m.kind, CHOIRI_MSG_CONNECTION_ACCEPT);
    cr_assert_eq(m.settings.parity, CHOIRI_PARITY_EVEN);
    cr_assert_eq(m.settings.max_concurrent_requests, 96);
    bytes_free(in);
    m = decode_hex("0206bee9d591ee9df18588010101a0", &in);
    cr_assert_eq(m.kind, CHOIRI_MSG_SCHEMA);
    cr_assert_eq(m.method, UINT64_C(0x880bc4eee23574be));
    cr_assert_eq(m.direction, CHOIRI_DIRECTION_RESPONSE);
    cr_assert(bytes_are(m.schemas, "a0"));
    bytes_free(in);
    m = decode_hex("02070300010000004d", &in);
    cr_assert_eq(m.kind, CHOIRI_MSG_CHANNEL);
    cr_assert_eq(m.body, CHOIRI_CHANNEL_ITEM);
    cr_assert_eq(m.id, 3);
    cr_assert(bytes_are(m.payload, "4d"));
    bytes_free(in);
    m = decode_hex("020703038008", &in);
    cr_assert_eq(m.body, CHOIRI_CHANNEL_GRANT);
    cr_assert_eq(m.additional, 1024);
    bytes_free(in);
    m = decode_hex("0008ffffffffffffffffff01", &in);
    cr_assert_eq(m.kind, CHOIRI_MSG_PING);
    cr_assert_eq(m.id, UINT64_MAX);
    bytes_free(in);
}

/* A10, A11, A13 and what docs/protocol/messages.md says about odd input. */
Test(message, odd_input) {
    static const struct {
        const char *hex;
        int status;
    } rows[] = {
        {"", CHOIR_ERR_TRUNCATED},
        {"000a", CHOIR_ERR_MALFORMED}, /* no such variant */
        {"00ff01", CHOIR_ERR_MALFORMED},
        {"00880001", CHOIR_OK},  /* an overlong variant */
        {"800008 01", CHOIR_OK}, /* an overlong connection id */
        {"00050103", CHOIR_ERR_MALFORMED},
        {"00070104", CHOIR_ERR_MALFORMED},
        {"0006010200", CHOIR_ERR_MALFORMED},            /* direction */
        {"0001 02 40 00", CHOIR_ERR_MALFORMED},         /* parity */
        {"0001 00 ffffffff0f 00", CHOIR_OK},            /* u32 max */
        {"0001 00 8080808010 00", CHOIR_ERR_MALFORMED}, /* one more */
        {"00070103 8080808010", CHOIR_ERR_MALFORMED},
        {"00080180 ffffff", CHOIR_OK},                        /* trailing bytes */
        {"0008 8080808080808080808001", CHOIR_ERR_MALFORMED}, /* 11 bytes */
        {"0008 80808080808080808080", CHOIR_ERR_MALFORMED},
        {"0008 ffffffffffffffffff02", CHOIR_ERR_MALFORMED}, /* 2^64 */
        {"00050101 00 05000000 0001", CHOIR_ERR_TRUNCATED}, /* opaque beyond the frame */
        {"00050101 00 ffffffff 0001 00", CHOIR_ERR_TRUNCATED},
        {"00050101 00 01000000 00 05 a0", CHOIR_ERR_TRUNCATED}, /* schemas beyond the frame */
        {"00050101 00 01000000 00 00 ffff", CHOIR_OK},
        {"00050101 00 00000000 00", CHOIR_OK},
        {"00050102 808080808080808040", CHOIR_ERR_TRUNCATED}, /* 2^62 metadata entries */
        {"00050102 01 00 01 00 00", CHOIR_OK},                /* an empty key, empty bytes */
        {"00050102 02 00 01 00 00", CHOIR_ERR_TRUNCATED},
        {"00050102 01 01 6b 03 00 00", CHOIR_ERR_MALFORMED},    /* metadata type */
        {"00050102 01 01 ff 02 00 00", CHOIR_ERR_MALFORMED},    /* key not UTF-8 */
        {"00050102 01 01 6b 00 01 ff 00", CHOIR_ERR_MALFORMED}, /* value not UTF-8 */
        {"00050102 01 01 6b 01 01 ff 00", CHOIR_OK},            /* bytes need not be */
        {"00050102 01 01 00 00 01 00 00", CHOIR_OK},            /* NUL in text */
        {"0000 02 c328", CHOIR_ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        choir_bytes in = from_hex(rows[i].hex);
        choiri_message m;
        cr_assert_eq(choiri_message_decode(in, &m), rows[i].status, "%s", rows[i].hex);
        bytes_free(in);
    }
    choiri_message m;
    cr_assert_eq(choiri_message_decode((choir_bytes){NULL, 0}, &m), CHOIR_ERR_TRUNCATED);
}

Test(message, many_metadata_entries) {
    enum { COUNT = 1000 };
    bench b;
    bench_open(&b);
    choir_metadata_entry *entries = calloc(COUNT, sizeof *entries);
    for (size_t i = 0; i < COUNT; i++) {
        entries[i] = (choir_metadata_entry){.key = CHOIR_STR("same"), .type = CHOIR_METADATA_U64, .u64 = i};
    }
    choiri_writer w;
    choiri_writer_init(&w, &b.q, NULL);
    const choiri_message reject = {.conn = 7, .kind = CHOIRI_MSG_CONNECTION_REJECT};
    choiri_message_encode(&w, &reject, entries, COUNT);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    choir_bytes out = bench_take(&b);
    choiri_message m;
    cr_assert_eq(choiri_message_decode(out, &m), CHOIR_OK);
    cr_assert_eq(m.kind, CHOIRI_MSG_CONNECTION_REJECT);
    cr_assert_eq(m.conn, 7);
    choir_metadata_entry e;
    for (size_t i = 0; i < COUNT; i++) cr_assert(choir_metadata_next(&m.metadata, &e) && e.u64 == i);
    cr_assert(!choir_metadata_next(&m.metadata, &e));
    bytes_free(out);
    free(entries);
    bench_close(&b);
}

Test(message, metadata_lookup) {
    choir_bytes in;
    /* k = "a", k = 7, k = 8, "" = "e" */
    choiri_message m =
        decode_hex("00050102 04 016b 00 0161 00 016b 02 07 01 016b 02 08 00 00 00 0165 00", &in);
    choir_metadata_entry e = {.u64 = 55};
    cr_assert(choir_metadata_find(m.metadata, CHOIR_STR("k"), CHOIR_METADATA_U64, &e));
    cr_assert_eq(e.u64, 7); /* the one of another type is passed over, the first of this type taken */
    cr_assert_eq(e.flags, 1);
    cr_assert(choir_metadata_find(m.metadata, CHOIR_STR("k"), CHOIR_METADATA_STRING, &e));
    cr_assert(bytes_are(e.bytes, "61"));
    cr_assert(choir_metadata_find(m.metadata, (choir_str){NULL, 0}, CHOIR_METADATA_STRING, &e));
    cr_assert(bytes_are(e.bytes, "65"));
    e.u64 = 55;
    cr_assert(!choir_metadata_find(m.metadata, CHOIR_STR("k"), CHOIR_METADATA_BYTES, &e));
    cr_assert(!choir_metadata_find(m.metadata, CHOIR_STR("kk"), CHOIR_METADATA_U64, &e));
    cr_assert_eq(e.u64, 55, "an output changed on failure");
    choir_metadata none = {0};
    cr_assert(!choir_metadata_next(&none, &e));
    choir_metadata lie = {m.metadata.entries, 9}; /* more entries than bytes */
    for (size_t i = 0; i < 4; i++) cr_assert(choir_metadata_next(&lie, &e));
    cr_assert(!choir_metadata_next(&lie, &e));
    cr_assert_eq(lie.count, 0);
    bytes_free(in);
}

static void check_output(bench *b, choiri_writer *w, const char *hex) {
    cr_assert_eq(choiri_writer_finish(w), CHOIR_OK);
    choir_bytes out = bench_take(b);
    cr_assert(bytes_are(out, hex), "not %s", hex);
    bytes_free(out);
}

Test(message, hot_path_gives_the_golden_bytes) {
    bench b;
    bench_open(&b);
    choiri_writer w;
    choiri_writer_init(&w, &b.q, NULL);
    choiri_hole hole = choiri_message_begin_call(&w, 2, 11, UINT64_C(0xe5a1d6b2c390f001), meta3, 3, 0);
    choiri_write_varint(&w, 0x12345678);
    choiri_fill_hole(&w, hole);
    choiri_write_bytes(&w, (choir_bytes){NULL, 0});
    check_output(&b, &w, "02050b0081e0c39cacd6f5d0e501" META3 "05000000f8acd1910100");

    choiri_writer_init(&w, &b.q, NULL);
    hole = choiri_message_begin_call(&w, 0, 1, UINT64_C(0x880bc4eee23574be), NULL, 0, 1);
    choiri_write_bytes(&w, (choir_bytes){(const uint8_t *)"hello", 5});
    choiri_fill_hole(&w, hole);
    choiri_write_u8(&w, 0);
    check_output(
        &b, &w,
        "00050100bee9d591ee9df18588010110766f782d6f7065726174696f6e2d6964020100060000000568656c6c6f00");

    choiri_writer_init(&w, &b.q, NULL);
    hole = choiri_message_begin_response(&w, 2, 11, meta3, 3);
    choiri_write_varint(&w, 0xfaceb00c);
    choiri_fill_hole(&w, hole);
    choiri_write_u8(&w, 0);
    check_output(&b, &w, "02050b01" META3 "050000008ce0bad60f00");

    choiri_writer_init(&w, &b.q, NULL);
    choiri_message_encode(
        &w, &(choiri_message){.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CANCEL, .id = 1}, NULL, 0);
    check_output(&b, &w, "0005010200");
    choiri_writer_init(&w, &b.q, NULL);
    choiri_message_encode(&w, &(choiri_message){.kind = CHOIRI_MSG_PING, .id = UINT64_MAX}, NULL, 0);
    choiri_message_encode(&w, &(choiri_message){.kind = CHOIRI_MSG_PONG, .id = 1}, NULL, 0);
    check_output(&b, &w, "0008ffffffffffffffffff01 000901");
    choiri_writer_init(&w, &b.q, NULL);
    choiri_message_encode(
        &w,
        &(choiri_message){.kind = CHOIRI_MSG_PROTOCOL_ERROR, .description = CHOIR_STR("bad frame sequence")},
        NULL, 0);
    check_output(&b, &w, "000012626164206672616d652073657175656e6365");
    choiri_writer_init(&w, &b.q, NULL);
    choiri_message_encode(&w, &(choiri_message){.conn = 4, .kind = CHOIRI_MSG_CONNECTION_REJECT}, meta3, 3);
    check_output(&b, &w, "0403" META3);
    bench_close(&b);
}

/* With ids of every length, with and without entries and an operation id, and at each distance from the
 * border of a block, a call reads back as what it was. */
Test(message, begun_calls_read_back) {
    static const uint64_t ids[] = {0, 1, 127, 128, UINT64_C(1) << 35, UINT64_MAX};
    bench b;
    bench_open(&b);
    size_t filled = 0;
    for (size_t n = 0; n < 6 * 2 * 6 * 2; n++) {
        uint64_t id = ids[n % 6], op = ids[n / 12 % 6];
        size_t count = n / 6 % 2 ? 3 : 0;
        bool response = n / 72;
        size_t before = (size_t)b.q.bytes;
        choiri_writer w;
        choiri_writer_init(&w, &b.q, NULL);
        choiri_hole hole = response ? choiri_message_begin_response(&w, id, ~id, meta3, count)
                                    : choiri_message_begin_call(&w, id, ~id, id ^ 5, meta3, count, op);
        choiri_write_raw(&w, "value", 5);
        choiri_fill_hole(&w, hole);
        choiri_write_bytes(&w, (choir_bytes){(const uint8_t *)"cbor", 4});
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
        choir_bytes out = bench_bytes(&b);
        choiri_message m;
        cr_assert_eq(choiri_message_decode((choir_bytes){out.data + before, out.len - before}, &m), CHOIR_OK);
        cr_assert_eq(m.conn, id);
        cr_assert_eq(m.id, ~id);
        cr_assert_eq(m.method, response ? 0 : (id ^ 5));
        cr_assert_eq(m.body, response ? CHOIRI_BODY_RESPONSE : CHOIRI_BODY_CALL);
        cr_assert(bytes_are(m.payload, "76616c7565"));
        cr_assert(bytes_are(m.schemas, "63626f72"));
        choir_metadata_entry e;
        bool has_op = !response && op != 0;
        cr_assert_eq(m.metadata.count, count + has_op);
        cr_assert_eq(choir_metadata_find(m.metadata, CHOIR_STR("vox-operation-id"), CHOIR_METADATA_U64, &e),
                     has_op);
        if (has_op) cr_assert_eq(e.u64, op);
        if (has_op) m.metadata.count--; /* it is the last one */
        if (count > 0) check_meta3(m.metadata);
        bytes_free(out);
        if (b.q.bytes > 60000) choiri_outq_consume(&b.q, b.q.bytes);
        filled++;
    }
    cr_assert_eq(filled, 144);
    bench_close(&b);
}

/* Whatever one byte of a call or an answer becomes: what the short way takes, the long one reads the same,
 * and what it does not take has left no trace. */
Test(message, the_short_way_reads_what_the_long_one_reads) {
    static const char *const payloads[] = {
        "00050100bea487c7ceee899088010023000000206162636465666768696a6b6c6d6e6f707172737475767778797a30313233343500",
        "0005d50f00bea487c7ceee89908801000200000005ff00",
        "000501010002000000002a00",
        "0205ffff03010002000000002a00",
        "7f058101010001000000050000",
    };
    size_t taken = 0;
    choiri_message none;
    cr_assert_not(choiri_message_read_plain((choir_bytes){NULL, 0}, &none));
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        choir_bytes b = from_hex(payloads[i]);
        uint8_t *data = (uint8_t *)(uintptr_t)b.data;
        for (size_t at = 0; at < b.len; at++) {
            uint8_t was = data[at];
            for (unsigned v = 0; v < 256; v++) {
                choiri_message plain, any;
                data[at] = (uint8_t)v;
                for (size_t len = b.len - 1; len <= b.len; len++) {
                    choir_bytes payload = {b.data, len};
                    if (!choiri_message_read_plain(payload, &plain)) continue;
                    memset(&any, 0xa5, sizeof any);
                    cr_assert_eq(choiri_message_decode_any(payload, &any), CHOIR_OK);
                    cr_assert(memcmp(&plain, &any, sizeof any) == 0, "%s, byte %zu is %02x", payloads[i], at,
                              v);
                    taken++;
                }
            }
            data[at] = was;
        }
        bytes_free(b);
    }
    cr_assert_gt(taken, 1000);
}

/* No memory: the hole says so, and filling it does no harm. */
Test(message, memory_runs_out) {
    for (uint64_t n = 1; n <= 2; n++) {
        bench b;
        bench_open(&b);
        b.alloc.fail_at = b.alloc.calls + 1;
        b.alloc.fail_after = true;
        choiri_writer w;
        choiri_writer_init(&w, &b.q, NULL);
        choiri_hole hole = n == 1 ? choiri_message_begin_call(&w, 1, 2, 3, meta3, 3, 4)
                                  : choiri_message_begin_response(&w, 1, 2, meta3, 3);
        cr_assert_null(hole.at);
        choiri_fill_hole(&w, hole);
        choiri_message_encode(
            &w, &(choiri_message){.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CANCEL, .conn = 1, .id = 1},
            NULL, 0);
        choiri_message_encode(&w, &(choiri_message){.kind = CHOIRI_MSG_PING, .id = 1}, NULL, 0);
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_ERR_NO_MEMORY);
        cr_assert_eq(b.q.bytes, 0);
        bench_close(&b);
    }
}
