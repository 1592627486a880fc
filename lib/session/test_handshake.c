/* SPDX-License-Identifier: MIT */
/* Handshake payloads: what is accepted, what is refused and why, what is kept, what is written. */
#include "schema/tracker.h"
#include "session/handshake.h"
#include "testing/alloc.h"
#include "testing/events.h"
#include "wire/cbor.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- building CBOR by hand ---- */

typedef struct blob {
    uint8_t data[200000];
    size_t len;
} blob;

static void put(blob *b, const void *bytes, size_t len) {
    cr_assert_leq(b->len + len, sizeof b->data);
    memcpy(b->data + b->len, bytes, len);
    b->len += len;
}
static void byte(blob *b, uint8_t v) {
    put(b, &v, 1);
}
static void head(blob *b, uint8_t major, uint64_t n) {
    uint8_t m = (uint8_t)(major << 5);
    if (n < 24) {
        byte(b, (uint8_t)(m | n));
    } else if (n < 256) {
        byte(b, m | 24);
        byte(b, (uint8_t)n);
    } else if (n < 65536) {
        byte(b, m | 25);
        byte(b, (uint8_t)(n >> 8));
        byte(b, (uint8_t)n);
    } else {
        byte(b, m | 27);
        for (int i = 7; i >= 0; i--) byte(b, (uint8_t)(n >> 8 * i));
    }
}
static void map(blob *b, size_t pairs) {
    head(b, 5, pairs);
}
static void array(blob *b, size_t count) {
    head(b, 4, count);
}
static void text(blob *b, const char *s) {
    head(b, 3, strlen(s));
    put(b, s, strlen(s));
}
static void null(blob *b) {
    byte(b, 0xf6);
}
static void parity(blob *b, const char *name) {
    map(b, 1);
    text(b, name);
    null(b);
}

/* The members of a Hello in the order of vox; bits say which are there. */
enum { PARITY = 1, SETTINGS = 2, SCHEMA = 4, RETRY = 8, KEY = 16, METADATA = 32, ALL = 63 };

static void members(blob *b, unsigned which) {
    if (which & PARITY) {
        text(b, "parity");
        parity(b, "Odd");
    }
    if (which & SETTINGS) {
        text(b, "connection_settings");
        map(b, 2);
        text(b, "parity");
        parity(b, "Odd");
        text(b, "max_concurrent_requests");
        head(b, 0, 64);
    }
    if (which & SCHEMA) {
        text(b, "message_payload_schema");
        array(b, 0);
    }
    if (which & RETRY) {
        text(b, "supports_retry");
        byte(b, 0xf5);
    }
    if (which & KEY) {
        text(b, "resume_key");
        null(b);
    }
    if (which & METADATA) {
        text(b, "metadata");
        array(b, 1);
        map(b, 3);
        text(b, "key");
        text(b, "vox-service");
        text(b, "value");
        map(b, 1);
        text(b, "String");
        text(b, "Testbed");
        text(b, "flags");
        head(b, 0, 0);
    }
}

static void begin(blob *b, const char *name, size_t pairs) {
    b->len = 0;
    map(b, 1);
    text(b, name);
    map(b, pairs);
}

/* A good Hello of which the metadata is still to come: `entries` of them. */
static void begin_metadata(blob *b, size_t entries) {
    begin(b, "Hello", 6);
    members(b, ALL & ~(unsigned)METADATA);
    text(b, "metadata");
    array(b, entries);
}

/* ---- decoding ---- */

typedef struct result {
    int status;
    choiri_handshake *h;
    choiri_text text;
} result;

static test_alloc alloc;
static choir_env *env;

static void setup(void) {
    alloc = (test_alloc){0};
    env = test_env(&alloc);
}
static void teardown(void) {
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

static result decode_bytes(const void *data, size_t len, bool first) {
    /* A copy of the exact size, so that reading behind it is seen. */
    uint8_t *copy = malloc(len ? len : 1);
    if (len > 0) memcpy(copy, data, len);
    result r = {.h = NULL};
    choiri_text_init(&r.text);
    r.status =
        choiri_handshake_decode(env, (choir_bytes){copy, len}, first, &choiri_codec_postcard, &r.h, &r.text);
    free(copy);
    return r;
}

static result decode(const blob *b) {
    return decode_bytes(b->data, b->len, true);
}

static void drop(result *r) {
    choiri_handshake_free(env, r->h);
    r->h = NULL;
}

static void expect_bad(const blob *b, const char *why) {
    result r = decode(b);
    cr_assert_eq(r.status, CHOIR_ERR_HANDSHAKE, "%s: %s", why, choir_status_name(r.status));
    cr_assert(strstr(r.text.data, why), "\"%s\" does not say \"%s\"", r.text.data, why);
}

static bool str_is(choir_str s, const char *expected) {
    return s.len == strlen(expected) && memcmp(s.data, expected, s.len) == 0;
}

static size_t from_hex(const char *hex, uint8_t *out) {
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        sscanf(hex + 2 * i, "%2x", &v);
        out[i] = (uint8_t)v;
    }
    return n;
}

static const char hello_hex[] =
    "a16548656c6c6fa666706172697479a1634f6464f673636f6e6e656374696f6e5f73657474696e6773a266706172697479a1634f6464f677"
    "6d61785f636f6e63757272656e745f72657175657374731840766d6573736167655f7061796c6f61645f736368656d61806e737570706f72"
    "74735f7265747279f56a726573756d655f6b6579f6686d6574616461746181a3636b65796b766f782d736572766963656576616c7565a166"
    "537472696e67675465737462656465666c61677300";
static const char yourself_hex[] =
    "a16d48656c6c6f596f757273656c66a573636f6e6e656374696f6e5f73657474696e6773a266706172697479a1644576656ef6776d61785f"
    "636f6e63757272656e745f72657175657374731840766d6573736167655f7061796c6f61645f736368656d61806e737570706f7274735f72"
    "65747279f56a726573756d655f6b6579a165627974657350000102030405060708090a0b0c0d0e0f686d6574616461746180";
static const char sorry_hex[] =
    "a165536f727279a166726561736f6e781b73657373696f6e20726573756d65206b6579206d69736d61746368";

TestSuite(handshake, .init = setup, .fini = teardown);

Test(handshake, golden_hello) {
    uint8_t bytes[256];
    result r = decode_bytes(bytes, from_hex(hello_hex, bytes), true);
    cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
    cr_assert_eq(r.h->kind, CHOIRI_HELLO);
    cr_assert_eq(r.h->parity, CHOIRI_PARITY_ODD);
    cr_assert_eq(r.h->settings.parity, CHOIRI_PARITY_ODD);
    cr_assert_eq(r.h->settings.max_concurrent_requests, 64);
    cr_assert(r.h->retry);
    cr_assert_eq(r.h->key_len, 0);
    cr_assert(str_is(r.h->service, "Testbed"));
    cr_assert_eq(r.h->hello.parity, 1);
    cr_assert_eq(r.h->hello.supports_retry, 1);
    cr_assert_eq(r.h->hello.max_concurrent_requests, 64);
    cr_assert_null(r.h->hello.resume_key);
    cr_assert(str_is(r.h->hello.service, "Testbed"));
    choir_metadata list = r.h->hello.metadata;
    choir_metadata_entry e;
    cr_assert_eq(list.count, 1);
    cr_assert(choir_metadata_next(&list, &e) && str_is(e.key, "vox-service") && e.flags == 0);
    drop(&r);
    blob b;
    b.len = 0;
    begin(&b, "Hello", 6);
    members(&b, ALL);
    uint8_t golden[256];
    cr_assert_eq(from_hex(hello_hex, golden), b.len, "the builder of these tests makes the same");
    cr_assert_eq(memcmp(golden, b.data, b.len), 0);
}

Test(handshake, golden_hello_yourself_with_key) {
    uint8_t bytes[256];
    result r = decode_bytes(bytes, from_hex(yourself_hex, bytes), true);
    cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
    cr_assert_eq(r.h->kind, CHOIRI_HELLO_YOURSELF);
    cr_assert_eq(r.h->settings.parity, CHOIRI_PARITY_EVEN);
    cr_assert_eq(r.h->hello.resume_key_len, 16);
    for (unsigned i = 0; i < 16; i++) cr_assert_eq(r.h->hello.resume_key[i], i);
    cr_assert_eq(r.h->metadata.count, 0);
    cr_assert_eq(r.h->service.len, 0);
    drop(&r);
}

Test(handshake, golden_sorry_and_lets_go) {
    uint8_t bytes[256];
    result r = decode_bytes(bytes, from_hex(sorry_hex, bytes), true);
    cr_assert_eq(r.status, CHOIR_OK);
    cr_assert_eq(r.h->kind, CHOIRI_SORRY);
    cr_assert(str_is(r.h->reason, "session resume key mismatch"));
    drop(&r);
    r = decode_bytes("\xa1\x66LetsGo\xa0", 9, false);
    cr_assert_eq(r.status, CHOIR_OK);
    cr_assert_eq(r.h->kind, CHOIRI_LETS_GO);
    drop(&r);
    r = decode_bytes("\xa1\x66LetsGo\xa1\x61x\x01", 12, false);
    cr_assert_eq(r.status, CHOIR_OK, "keys we do not know are skipped");
    drop(&r);
    r = decode_bytes("\xa1\x66LetsGo\xf6", 9, false);
    cr_assert_eq(r.status, CHOIR_ERR_HANDSHAKE);
    r = decode_bytes("\xa1\x66LetsGo\x80", 9, false);
    cr_assert_eq(r.status, CHOIR_ERR_HANDSHAKE);
}

Test(handshake, cut_at_every_byte) {
    const char *const all[] = {hello_hex, yourself_hex, sorry_hex, "a1664c657473476fa0"};
    for (size_t k = 0; k < 4; k++) {
        uint8_t bytes[256];
        size_t len = from_hex(all[k], bytes);
        for (size_t n = 0; n < len; n++) {
            result r = decode_bytes(bytes, n, true);
            cr_assert_eq(r.status, CHOIR_ERR_HANDSHAKE, "%zu bytes of number %zu", n, k);
            cr_assert_gt(r.text.len, 0);
        }
        bytes[len] = 0xff;
        result r = decode_bytes(bytes, len + 1, true);
        cr_assert_eq(r.status, CHOIR_OK, "what follows the item is ignored, as vox peers do");
        drop(&r);
    }
}

Test(handshake, every_bit_flipped_is_an_error_or_a_handshake) {
    const char *const all[] = {hello_hex, yourself_hex, sorry_hex};
    for (size_t k = 0; k < 3; k++) {
        uint8_t bytes[256];
        size_t len = from_hex(all[k], bytes);
        for (size_t bit = 0; bit < len * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            result r = decode_bytes(bytes, len, true);
            cr_assert(r.status == CHOIR_OK || r.status == CHOIR_ERR_HANDSHAKE ||
                      (r.status == CHOIR_ERR_NEWER_PEER && bit < 8));
            drop(&r);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

Test(handshake, members_that_may_be_missing) {
    blob b;
    for (unsigned which = 0; which <= ALL; which++) {
        begin(&b, "Hello", (size_t)__builtin_popcount(which));
        members(&b, which);
        bool good = (which & (PARITY | SETTINGS | SCHEMA)) == (PARITY | SETTINGS | SCHEMA);
        result r = decode(&b);
        cr_assert_eq(r.status, good ? CHOIR_OK : CHOIR_ERR_HANDSHAKE, "%u: %s", which, r.text.data);
        if (good) cr_assert_eq(r.h->retry, (which & RETRY) != 0);
        drop(&r);
        begin(&b, "HelloYourself", (size_t)__builtin_popcount(which & ~(unsigned)PARITY));
        members(&b, which & ~(unsigned)PARITY);
        good = (which & (SETTINGS | SCHEMA)) == (SETTINGS | SCHEMA);
        r = decode(&b);
        cr_assert_eq(r.status, good ? CHOIR_OK : CHOIR_ERR_HANDSHAKE);
        drop(&r);
    }
}

Test(handshake, any_order_unknown_keys_and_repeats) {
    blob b;
    begin(&b, "Hello", 10);
    members(&b, METADATA);
    text(&b, "later");
    put(&b, "\xfb\x3f\xf0\0\0\0\0\0\0", 9); /* a float */
    members(&b, KEY | RETRY | SCHEMA);
    text(&b, "tagged");
    put(&b, "\xc1\x82\x20\xf7", 4); /* a tag around [-1, undefined] */
    members(&b, SETTINGS);
    members(&b, PARITY);
    text(&b, "parity");
    parity(&b, "Even"); /* a later one overwrites */
    text(&b, "supports_retry");
    byte(&b, 0xf4);
    result r = decode(&b);
    cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
    cr_assert_eq(r.h->parity, CHOIRI_PARITY_EVEN);
    cr_assert_eq(r.h->hello.parity, 2);
    cr_assert(!r.h->retry);
    cr_assert(str_is(r.h->service, "Testbed"));
    drop(&r);
}

Test(handshake, forms_of_parity) {
    static const char *const bad[] = {"\x63Odd",
                                      "\xa1\x63Odd\xa0",
                                      "\xa1\x63Odd\xf5",
                                      "\xa1\x63odd\xf6",
                                      "\xa1\x65Weird\xf6",
                                      "\xa0",
                                      ("\xa2\x63Odd\xf6\x64"
                                       "Even\xf6"),
                                      "\x01",
                                      "\xf6",
                                      "\xbf\x63Odd\xf6\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        blob b;
        begin(&b, "Hello", 4);
        text(&b, "parity");
        put(&b, bad[i], strlen(bad[i]));
        members(&b, SETTINGS | SCHEMA | RETRY);
        result r = decode(&b);
        cr_assert_eq(r.status, CHOIR_ERR_HANDSHAKE, "form %zu", i);
        cr_assert(strstr(r.text.data, "parity"), "%s", r.text.data);
    }
}

Test(handshake, settings) {
    blob b;
    begin(&b, "Hello", 3);
    members(&b, PARITY | SCHEMA);
    text(&b, "connection_settings");
    map(&b, 3);
    text(&b, "max_concurrent_requests");
    head(&b, 0, UINT64_C(1) << 40);
    text(&b, "other");
    array(&b, 0);
    text(&b, "parity");
    parity(&b, "Even");
    result r = decode(&b);
    cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
    cr_assert_eq(r.h->settings.max_concurrent_requests, UINT32_MAX, "too large numbers are cut down");
    cr_assert_eq(r.h->settings.parity, CHOIRI_PARITY_EVEN);
    cr_assert_eq(r.h->parity, CHOIRI_PARITY_ODD, "the outer one is what counts");
    drop(&r);

    begin(&b, "Hello", 3);
    members(&b, PARITY | SCHEMA);
    text(&b, "connection_settings");
    map(&b, 1);
    text(&b, "parity");
    parity(&b, "Odd");
    expect_bad(&b, "lacks parity or max_concurrent_requests");

    begin(&b, "Hello", 3);
    members(&b, PARITY | SCHEMA);
    text(&b, "connection_settings");
    map(&b, 1);
    text(&b, "max_concurrent_requests");
    byte(&b, 0x20); /* -1 */
    expect_bad(&b, "max_concurrent_requests is no number");

    begin(&b, "Hello", 3);
    members(&b, PARITY | SCHEMA);
    text(&b, "connection_settings");
    array(&b, 0);
    expect_bad(&b, "connection_settings is not a map");
}

static result decode_key(const char *form, size_t len) {
    blob b;
    begin(&b, "Hello", 4);
    members(&b, PARITY | SETTINGS | SCHEMA);
    text(&b, "resume_key");
    put(&b, form, len);
    return decode(&b);
}

Test(handshake, forms_of_the_resume_key) {
    uint8_t form[64] = {0xa1, 0x65, 'b', 'y', 't', 'e', 's'};
    for (size_t n = 0; n <= 20; n++) {
        form[7] = (uint8_t)(0x40 | n);
        result r = decode_key((const char *)form, 8 + n);
        cr_assert_eq(r.status, CHOIR_OK);
        cr_assert_eq(r.h->hello.resume_key_len, n == 16 ? 16 : 0, "another length than 16 is no key");
        drop(&r);
    }
    static const char *const bad[] = {"\x41x",
                                      "\x80",
                                      ("\xa1\x65"
                                       "bytes\x80"),
                                      ("\xa1\x65"
                                       "bytez\x41x"),
                                      "\xa0",
                                      "\x61x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        result r = decode_key(bad[i], strlen(bad[i]));
        cr_assert_eq(r.status, CHOIR_ERR_HANDSHAKE, "form %zu", i);
        cr_assert(strstr(r.text.data, "resume_key"), "%s", r.text.data);
    }
}

static void entry_head(blob *b, const char *key, bool flags) {
    map(b, flags ? 3 : 2);
    text(b, "key");
    text(b, key);
    text(b, "value");
    map(b, 1);
}

Test(handshake, metadata_values) {
    blob b;
    begin_metadata(&b, 6);
    entry_head(&b, "vox-service", true); /* not a String: passed over */
    text(&b, "U64");
    head(&b, 0, UINT64_MAX);
    text(&b, "flags");
    head(&b, 0, 3);
    entry_head(&b, "b1", true);
    text(&b, "Bytes");
    put(&b, "\x43\0\x7f\xff", 4);
    text(&b, "flags");
    head(&b, 0, 0);
    entry_head(&b, "b2", true);
    text(&b, "Bytes");
    put(&b, "\x83\0\x18\x7f\x18\xff", 6); /* an array of numbers, as Rust sends it */
    text(&b, "flags");
    head(&b, 0, 0);
    entry_head(&b, "vox-service", false); /* without flags, as TypeScript accepts it */
    text(&b, "String");
    text(&b, "First");
    map(&b, 4); /* another order, and a member that we do not know */
    text(&b, "flags");
    head(&b, 0, 1);
    text(&b, "value");
    map(&b, 1);
    text(&b, "String");
    text(&b, "Second");
    text(&b, "x");
    null(&b);
    text(&b, "key");
    text(&b, "vox-service");
    entry_head(&b, "", true);
    text(&b, "String");
    text(&b, "");
    text(&b, "flags");
    head(&b, 0, UINT64_MAX);
    result r = decode(&b);
    cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
    cr_assert(str_is(r.h->service, "First"), "the first String");
    choir_metadata list = r.h->metadata;
    choir_metadata_entry e;
    cr_assert_eq(list.count, 6);
    cr_assert(choir_metadata_next(&list, &e));
    cr_assert(e.type == CHOIR_METADATA_U64 && e.u64 == UINT64_MAX && e.flags == 3);
    for (int i = 0; i < 2; i++) {
        cr_assert(choir_metadata_next(&list, &e));
        cr_assert(e.type == CHOIR_METADATA_BYTES && e.bytes.len == 3 &&
                  memcmp(e.bytes.data, "\0\x7f\xff", 3) == 0);
    }
    cr_assert(choir_metadata_next(&list, &e) && e.flags == 0);
    cr_assert(choir_metadata_next(&list, &e) && e.flags == 1 && str_is(e.key, "vox-service"));
    cr_assert(choir_metadata_next(&list, &e) && e.flags == UINT64_MAX && e.key.len == 0 && e.bytes.len == 0);
    cr_assert(!choir_metadata_next(&list, &e));
    drop(&r);
}

#define SPAN(literal) (literal), sizeof(literal) - 1

Test(handshake, bad_metadata) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *why;
    } rows[] = {
        {SPAN("\x81\x01"), "a metadata entry is not a map"},
        {SPAN("\xf6"), "metadata is not an array"},
        {SPAN("\x81\xa1\x63key\x61x"), "lacks key or value"},
        {SPAN("\x81\xa1\x65value\xa1\x63U64\x01"), "lacks key or value"},
        {SPAN("\x81\xa2\x63key\x61x\x65value\x01"), "not a map of one entry"},
        {SPAN("\x81\xa2\x63key\x61x\x65value\xa1\x63I64\x01"), "neither String nor Bytes nor U64"},
        {SPAN("\x81\xa2\x63key\x61x\x65value\xa1\x66String\x01"), "a String metadata value is no text"},
        {SPAN("\x81\xa2\x63key\x61x\x65value\xa1\x63U64\x20"), "a U64 metadata value is no number"},
        {SPAN("\x81\xa2\x63key\x61x\x65value\xa1\x65"
              "Bytes\x81\x19\x01\x00"),
         "neither bytes nor numbers"},
        {SPAN("\x81\xa2\x63key\x41x\x65value\xa1\x63U64\x01"), "a metadata entry is malformed"},
        {SPAN("\x81\xa2\x63key\x61\xff\x65value\xa1\x63U64\x01"), "a metadata entry is malformed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        blob b;
        begin(&b, "Hello", 4);
        members(&b, PARITY | SETTINGS | SCHEMA);
        text(&b, "metadata");
        put(&b, rows[i].bytes, rows[i].len);
        expect_bad(&b, rows[i].why);
    }
}

Test(handshake, metadata_limits) {
    blob *b = malloc(sizeof *b);
    for (size_t count = 64; count <= 65; count++) {
        begin_metadata(b, count);
        for (size_t i = 0; i < count; i++) {
            entry_head(b, "k", true);
            text(b, "U64");
            head(b, 0, 1);
            text(b, "flags");
            head(b, 0, 0);
        }
        result r = decode(b);
        cr_assert_eq(r.status, count == 64 ? CHOIR_OK : CHOIR_ERR_HANDSHAKE);
        if (count == 65) cr_assert(strstr(r.text.data, "more than 64 entries"));
        drop(&r);
    }
    /* One entry whose postcard form has exactly 16 KiB, and one byte more: key 2, type 1, length 2, flags
     * 1. */
    for (size_t extra = 0; extra <= 1; extra++) {
        static char value[16384];
        size_t len = CHOIRI_HANDSHAKE_METADATA - 6 + extra;
        memset(value, 'v', len);
        value[len] = '\0';
        begin_metadata(b, 1);
        entry_head(b, "k", true);
        text(b, "String");
        text(b, value);
        text(b, "flags");
        head(b, 0, 0);
        result r = decode(b);
        cr_assert_eq(r.status, extra ? CHOIR_ERR_HANDSHAKE : CHOIR_OK, "%s", r.text.data);
        if (extra) cr_assert(strstr(r.text.data, "over 16 KiB"));
        if (!extra) cr_assert_eq(r.h->metadata.entries.len, CHOIRI_HANDSHAKE_METADATA);
        drop(&r);
    }
    free(b);
}

/* However the payload looks, what is kept is in proportion to it. */
Test(handshake, memory_in_proportion) {
    blob *b = malloc(sizeof *b);
    begin_metadata(b, 64);
    for (size_t i = 0; i < 64; i++) {
        entry_head(b, "", false);
        text(b, "U64");
        head(b, 0, UINT64_MAX);
    }
    uint64_t before = alloc.bytes;
    result r = decode(b);
    cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
    cr_assert_leq(alloc.peak, before + sizeof(choiri_handshake) + b->len);
    drop(&r);
    cr_assert_eq(alloc.bytes, before);
    free(b);
}

Test(handshake, sorry_is_cut) {
    blob b;
    char reason[300];
    memset(reason, 'r', sizeof reason);
    reason[299] = '\0';
    begin(&b, "Sorry", 2);
    text(&b, "detail");
    array(&b, 0);
    text(&b, "reason");
    text(&b, reason);
    result r = decode(&b);
    cr_assert_eq(r.status, CHOIR_OK);
    cr_assert_eq(r.h->reason.len, 200);
    cr_assert_eq(memcmp(r.h->reason.data, reason, 200), 0);
    drop(&r);
    begin(&b, "Sorry", 1);
    text(&b, "reason");
    null(&b);
    expect_bad(&b, "the reason of Sorry is no text");
    begin(&b, "Sorry", 0);
    r = decode(&b);
    cr_assert_eq(r.status, CHOIR_OK);
    cr_assert_eq(r.h->reason.len, 0);
    drop(&r);
}

Test(handshake, not_a_handshake) {
    blob b = {.len = 0};
    map(&b, 1);
    text(&b, "Bye");
    map(&b, 0);
    expect_bad(&b, "unknown handshake message");
    b.len = 0;
    map(&b, 2);
    text(&b, "LetsGo");
    map(&b, 0);
    text(&b, "LetsGo");
    map(&b, 0);
    expect_bad(&b, "a map of one entry");
    result r = decode_bytes("", 0, true);
    cr_assert_eq(r.status, CHOIR_ERR_HANDSHAKE);
    cr_assert_str_eq(r.text.data, "empty handshake payload");
    r = decode_bytes("\x05hello", 6, true);
    cr_assert_eq(r.status, CHOIR_ERR_NEWER_PEER);
    cr_assert(strstr(r.text.data, "vox 0.9 or later"), "%s", r.text.data);
    r = decode_bytes("\x00\x08\x01", 3, false);
    cr_assert_eq(r.status, CHOIR_ERR_HANDSHAKE, "who spoke CBOR before is not a newer peer");
}

Test(handshake, message_schema) {
    blob b;
    begin(&b, "Hello", 3);
    members(&b, PARITY | SETTINGS);
    text(&b, "message_payload_schema");
    put(&b, choiri_message_schema, choiri_message_schema_len);
    result r = decode(&b);
    cr_assert_eq(r.status, CHOIR_OK, "the constant: %s", r.text.data);
    drop(&r);
    /* With another field in Message it is another protocol. */
    const uint8_t *at = test_find(b.data, b.len, "connection_id");
    cr_assert_not_null(at);
    b.data[at - b.data] = 'k';
    r = decode(&b);
    cr_assert_eq(r.status, CHOIR_ERR_HANDSHAKE);
    cr_assert_gt(r.text.len, 0);
    begin(&b, "Hello", 3);
    members(&b, PARITY | SETTINGS);
    text(&b, "message_payload_schema");
    null(&b);
    expect_bad(&b, "message_payload_schema is not an array");
}

Test(handshake, failing_allocations) {
    blob b;
    begin(&b, "Hello", 3);
    members(&b, PARITY | SETTINGS);
    text(&b, "message_payload_schema");
    put(&b, choiri_message_schema, choiri_message_schema_len);
    uint64_t held = alloc.bytes, n = 0;
    for (;; n++) {
        alloc.fail_at = alloc.calls + n + 1;
        uint64_t failed = alloc.failed;
        result r = decode(&b);
        if (alloc.failed == failed) {
            cr_assert_eq(r.status, CHOIR_OK);
            drop(&r);
            break;
        }
        cr_assert_eq(r.status, CHOIR_ERR_NO_MEMORY);
        cr_assert_eq(alloc.bytes, held);
    }
    alloc.fail_at = 0;
    cr_assert_geq(n, 1);
    printf("%llu allocations failed in turn\n", (unsigned long long)n);
}

/* ---- writing ---- */

static size_t flatten(choiri_outq *q, uint8_t *out, size_t room) {
    size_t len = 0;
    choir_iov iov;
    cr_assert_leq(q->bytes, room);
    for (; choiri_outq_peek(q, len, UINT64_MAX, &iov, 1) == 1; len += iov.len)
        memcpy(out + len, iov.base, iov.len);
    choiri_outq_deinit(q);
    return len;
}

static size_t write_hello(bool yourself, uint32_t max_payload, choir_metadata metadata, uint8_t *out,
                          size_t room) {
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, env);
    choiri_writer_init(&w, &q, NULL);
    const choiri_greeting g = {.settings = {yourself ? CHOIRI_PARITY_EVEN : CHOIRI_PARITY_ODD, 64},
                               .max_payload = max_payload,
                               .metadata = metadata,
                               .service = CHOIR_STR("Testbed")};
    choiri_handshake_write_hello(&w, yourself, &choiri_codec_postcard, &g);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    return flatten(&q, out, room);
}

/* Ours is a vox Hello with the whole schema list, without retry. */
Test(handshake, written_hello_is_vox_hello) {
    uint8_t got[8192];
    choir_metadata none = {{NULL, 0}, 0};
    size_t len = write_hello(false, 0, none, got, sizeof got);
    cr_assert_eq(len, 7311, "a real Hello has this size");
    blob b;
    begin(&b, "Hello", 6);
    members(&b, PARITY | SETTINGS);
    text(&b, "message_payload_schema");
    put(&b, choiri_message_schema, choiri_message_schema_len);
    text(&b, "supports_retry");
    byte(&b, 0xf4);
    members(&b, KEY | METADATA);
    cr_assert_eq(len, b.len);
    cr_assert_eq(memcmp(got, b.data, len), 0);
    len = write_hello(true, 0, none, got, sizeof got);
    cr_assert_eq(len, 7330 - 23, "a real HelloYourself, which also has a key of 23 bytes");
    result r = decode_bytes(got, len, true);
    cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
    cr_assert_eq(r.h->kind, CHOIRI_HELLO_YOURSELF);
    cr_assert_eq(r.h->settings.parity, CHOIRI_PARITY_EVEN);
    drop(&r);
}

Test(handshake, written_metadata_is_read_back) {
    static const uint8_t entries[] = "\x01"
                                     "a\x00\x02xy\x01" /* String */
                                     "\x01"
                                     "b\x01\x02\x00\xff\x02"     /* Bytes */
                                     "\x00\x02\xac\x02\x80\x01"; /* U64 300, flags 128 */
    choir_metadata list = {{entries, sizeof entries - 1}, 3};
    uint8_t got[8192];
    size_t len = write_hello(false, 0, list, got, sizeof got);
    result r = decode_bytes(got, len, true);
    cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
    cr_assert_eq(r.h->metadata.count, 4);
    cr_assert_eq(memcmp(r.h->metadata.entries.data, entries, sizeof entries - 1), 0);
    cr_assert(str_is(r.h->service, "Testbed"), "vox-service comes last");
    drop(&r);
}

/* rule: ours.max-payload. In front of all others; the first U64 counts, whatever else has the key. */
Test(handshake, written_max_payload_is_read_back) {
    static const uint8_t odd[] = "\x11"
                                 "choir-max-payload\x00\x02xy\x00" /* a String: absent */
                                 "\x11"
                                 "choir-max-payload\x02\x00\x00" /* 0, which counts */
                                 "\x11"
                                 "choir-max-payload\x02\xac\x02\x00";
    static const uint32_t sizes[] = {0, 1, 64, 16u << 20, UINT32_MAX};
    uint8_t got[8192];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t len = write_hello(i & 1, sizes[i], (choir_metadata){{NULL, 0}, 0}, got, sizeof got);
        result r = decode_bytes(got, len, true);
        cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
        cr_assert_eq(r.h->max_payload, sizes[i]);
        cr_assert_eq(r.h->metadata.count, sizes[i] > 0 ? 2 : 1);
        cr_assert(str_is(r.h->service, "Testbed"));
        drop(&r);
    }
    for (uint32_t ours = 0; ours <= 500; ours += 500) { /* what a host adds does not count beside ours */
        size_t len = write_hello(false, ours, (choir_metadata){{odd, sizeof odd - 1}, 3}, got, sizeof got);
        result r = decode_bytes(got, len, true);
        cr_assert_eq(r.status, CHOIR_OK, "%s", r.text.data);
        cr_assert(r.h->has_max_payload);
        cr_assert_eq(r.h->max_payload, ours);
        drop(&r);
    }
}

Test(handshake, written_sorry_and_lets_go) {
    uint8_t got[256], golden[256];
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, env);
    choiri_writer_init(&w, &q, NULL);
    choiri_handshake_write_sorry(&w, CHOIR_STR("session resume key mismatch"));
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    size_t len = flatten(&q, got, sizeof got);
    cr_assert_eq(len, from_hex(sorry_hex, golden));
    cr_assert_eq(memcmp(got, golden, len), 0);
    choiri_outq_init(&q, env);
    choiri_writer_init(&w, &q, NULL);
    choiri_handshake_write_lets_go(&w);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    cr_assert_eq(flatten(&q, got, sizeof got), 9);
    cr_assert_eq(memcmp(got, "\xa1\x66LetsGo\xa0", 9), 0);
}
