/* SPDX-License-Identifier: MIT */
/* Hostile input against a pure session: one test for each row of the reliability requirements that bytes
 * alone can be, named after the row. What a row says about wall clock and sockets is tried on a running
 * server elsewhere. Standing oracles: the status that is named, one terminal event for each object, bounded
 * memory, 0 bytes left. */
#include "base/bytes.h"
#include "testing/inside.h"
#include "testing/peer.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)

static bool says(choir_str text, const char *part) {
    return test_find(text.data, text.len, part) != NULL;
}

/* Why the link ended. */
static void expect_end(const test_peer *p, int status, const char *part) {
    choir_str text = choir_attachment_text(p->attachment);
    cr_assert_eq(choir_attachment_status(p->attachment), status, "%s: %.*s",
                 choir_status_name(choir_attachment_status(p->attachment)), (int)text.len, text.data);
    cr_assert(says(text, part), "\"%.*s\" does not say \"%s\"", (int)text.len, text.data, part);
    cr_assert(choir_attachment_interest(p->attachment) & CHOIR_FINISHED);
}

static void echo(test_peer *p, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST || e->method != TRIAL_ECHO) return;
    cr_assert_eq(choir_reply(p->session, e->request, e->value, NULL, p->now), CHOIR_OK);
}

static test_peer *open_at(test_peer *p, test_stage stage, bool initiator) {
    test_peer_init(p);
    p->initiator = initiator;
    p->on_event = echo;
    test_peer_open(p, stage);
    return p;
}

/* An honest call on the same session is answered. */
static void expect_undisturbed(test_peer *p, uint64_t id) {
    test_peer_skip(p);
    cr_assert_eq(test_peer_call(p, id, TRIAL_ECHO, "\x02hi", 3), CHOIR_OK);
    choiri_message m;
    cr_assert(test_peer_next(p, &m) && m.body == CHOIRI_BODY_RESPONSE && m.id == id);
    cr_assert(m.payload.len == 4 && memcmp(m.payload.data, "\x00\x02hi", 4) == 0);
}

static void close_peer(test_peer *p) {
    cr_assert_eq(test_peer_deinit(p), 0);
}

/* ---- A1, A2, A3: lengths ---- */

Test(hostile, A1_length_of_four_gigabytes) {
    static const test_stage stages[] = {TEST_STAGE_START, TEST_STAGE_PROLOGUE, TEST_STAGE_HELLO,
                                        TEST_STAGE_OPEN};
    for (int k = 0; k < 4; k++) {
        for (int initiator = 0; initiator <= 1; initiator++) {
            if (initiator && stages[k] == TEST_STAGE_HELLO) continue;
            test_peer p;
            open_at(&p, stages[k], initiator != 0);
            uint64_t held = p.alloc.peak = p.alloc.bytes;
            for (int i = 0; i < 3; i++) cr_assert_eq(test_peer_raw(&p, "\xff", 1), CHOIR_OK);
            int status = k == 0 ? CHOIR_ERR_PROLOGUE : CHOIR_ERR_FRAME_TOO_LARGE;
            cr_assert_eq(test_peer_raw(&p, "\xff", 1), status);
            expect_end(&p, status,
                       k == 0 ? "does not speak vox: saw the bytes" : "a frame of 4294967295 bytes");
            cr_assert_leq(p.alloc.peak, held + 64 * KIB);
            close_peer(&p);
        }
    }
}

Test(hostile, A2_limit_plus_one_with_its_body) {
    test_peer p;
    open_at(&p, TEST_STAGE_OPEN, false);
    size_t len = 16 * MIB + 1;
    uint8_t *frame = calloc(1, 4 + len);
    choiri_store_le32(frame, (uint32_t)len);
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    cr_assert_eq(test_peer_raw(&p, frame, 4 + len), CHOIR_ERR_FRAME_TOO_LARGE);
    expect_end(&p, CHOIR_ERR_FRAME_TOO_LARGE, "a frame of 16777217 bytes, the limit is 16777216");
    cr_assert_leq(p.alloc.peak, held + 64 * KIB, "nothing of the body was kept");
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && m.kind == CHOIRI_MSG_PROTOCOL_ERROR, "the peer is told");
    free(frame);
    close_peer(&p);
}

Test(hostile, A3_one_byte_per_second) {
    test_peer p;
    open_at(&p, TEST_STAGE_OPEN, false);
    choir_time start = p.now;
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    cr_assert_eq(test_peer_raw(&p, "\0\0\0\x01", 4), CHOIR_OK);
    while (choir_attachment_status(p.attachment) == CHOIR_OK && p.now < start + 60 * CHOIR_SECOND) {
        test_peer_sleep(&p, CHOIR_SECOND);
        if (choir_attachment_status(p.attachment) == CHOIR_OK)
            cr_assert_eq(test_peer_raw(&p, "x", 1), CHOIR_OK);
    }
    expect_end(&p, CHOIR_ERR_FRAME_TIMEOUT, "a frame took too long");
    cr_assert_leq(p.now - start, 31 * CHOIR_SECOND);
    cr_assert_leq(p.alloc.peak, held + 64 * KIB + 16 * KIB, "16 MiB were announced, 30 bytes came");
    close_peer(&p);
}

/* ---- A4: nothing comes ---- */

Test(hostile, A4_ten_thousand_silent_links) {
    enum { LINKS = 10000 };
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    static choir_attachment *links[LINKS];
    uint64_t held = alloc.bytes;
    choir_time now = CHOIR_SECOND;
    for (int i = 0; i < LINKS; i++)
        cr_assert_eq(choir_attachment_new_acceptor(env, NULL, &links[i], now), CHOIR_OK);
    uint64_t each = (alloc.bytes - held) / LINKS;
    printf("a link that says nothing holds %llu bytes\n", (unsigned long long)each);
    cr_assert_leq(each, 4 * KIB);
    for (int i = 0; i < LINKS; i++) {
        cr_assert_eq(choir_attachment_deadline(links[i]), now + 10 * CHOIR_SECOND);
        choir_attachment_advance(links[i], now + 10 * CHOIR_SECOND);
        cr_assert_eq(choir_attachment_status(links[i]), CHOIR_ERR_HANDSHAKE_TIMEOUT);
        cr_assert_eq(choir_attachment_interest(links[i]), CHOIR_FINISHED);
        choir_attachment_free(links[i], now);
    }
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* ---- A5: not a prologue ---- */

#define BYTES(literal)  (literal), sizeof(literal) - 1
#define FRAMED(literal) BYTES("\x08\0\0\0" literal)
static const uint8_t rejected[] = "\x08\0\0\0VOTR\x09\x01\0";

Test(hostile, A5_what_is_no_prologue) {
    static const struct {
        const char *name;
        const char *bytes;
        size_t len;
        bool reject; /* TransportReject is answered */
        const char *says;
    } rows[] = {
        {"wrong magic", FRAMED("VOTX\x09\0\0\0"), false, "VOTX"},
        {"older version", FRAMED("VOTH\x08\0\0\0"), true, "prologue version 8 instead of 9"},
        {"newer version", FRAMED("VOTH\x0a\0\0\0"), true, "prologue version 10 instead of 9"},
        {"stable mode", FRAMED("VOTH\x09\x01\0\0"), true, "conduit mode stable is not supported"},
        {"stable msgpack", FRAMED("VOTH\x09\x11\0\0"), true, "conduit mode stable msgpack is not supported"},
        {"mode 255", FRAMED("VOTH\x09\xff\0\0"), true, "conduit mode 255 is not supported"},
        {"an answer", FRAMED("VOTA\x09\0\0\0"), false, "a vox TransportAccept"},
        {"a byte short", BYTES("\x07\0\0\0VOTH\x09\0\0"), false, "7 bytes instead of 8"},
        {"a byte more", BYTES("\x09\0\0\0VOTH\x09\0\0\0\0"), false, "9 bytes instead of 8"},
        {"empty", BYTES("\0\0\0\0"), false, "0 bytes instead of 8"},
        {"HTTP", BYTES("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), false, "an HTTP request (GET)"},
        {"HTTP/2", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), false, "an HTTP/2 preface"},
        {"TLS", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), false, "a TLS ClientHello"},
        {"SSH", BYTES("SSH-2.0-OpenSSH_9.2\r\n"), false, "an SSH banner"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int split = 0; split <= 1; split++) { /* at once, and byte by byte */
            test_peer p;
            open_at(&p, TEST_STAGE_START, false);
            p.status = CHOIR_OK;
            for (size_t at = 0; at < rows[i].len && p.status == CHOIR_OK; at += split ? 1 : rows[i].len)
                test_peer_raw(&p, rows[i].bytes + at, split ? 1 : rows[i].len);
            cr_assert_eq(p.status, CHOIR_ERR_PROLOGUE, "%s", rows[i].name);
            if (!split || rows[i].bytes[0] < 16) expect_end(&p, CHOIR_ERR_PROLOGUE, rows[i].says);
            test_peer_take(&p);
            cr_assert_eq(p.received_len, rows[i].reject ? sizeof rejected : 0, "%s", rows[i].name);
            if (rows[i].reject) cr_assert_eq(memcmp(p.received, rejected, sizeof rejected), 0);
            cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_FINISHED);
            close_peer(&p);
        }
    }
}

Test(hostile, A5_reserved_bits_are_not_looked_at) {
    test_peer p;
    open_at(&p, TEST_STAGE_START, false);
    cr_assert_eq(test_peer_raw(&p, FRAMED("VOTH\x09\0\xff\xff")), CHOIR_OK, "no vox peer checks them");
    test_peer_take(&p);
    cr_assert_eq(memcmp(p.received, "\x08\0\0\0VOTA\x09\0\0\0", 12), 0);
    close_peer(&p);
}

/* ---- A6, A14: large and strange handshakes ---- */

typedef struct blob {
    uint8_t *data;
    size_t len, cap;
} blob;

static void put(blob *b, const void *bytes, size_t len) {
    if (b->len + len > b->cap) {
        b->cap = (b->len + len) * 2;
        b->data = realloc(b->data, b->cap);
    }
    memcpy(b->data + b->len, bytes, len);
    b->len += len;
}
#define PUT(b, literal) put((b), (literal), sizeof(literal) - 1)

/* A Hello up to the list of schemas. */
static void begin_hello(blob *b) {
    PUT(b, "\xa1\x65Hello\xa3\x66parity\xa1\x63Odd\xf6\x73"
           "connection_settings\xa2\x66parity\xa1\x63Odd\xf6\x77max_concurrent_requests\x18\x40\x76"
           "message_payload_schema");
}

static void put_id(blob *b, uint64_t id) {
    uint8_t bytes[9] = {0x1b};
    for (int i = 0; i < 8; i++) bytes[8 - i] = (uint8_t)(id >> 8 * i);
    put(b, bytes, sizeof bytes);
}

static void put_count(blob *b, uint32_t count) {
    uint8_t bytes[5] = {0x9a, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8),
                        (uint8_t)count};
    put(b, bytes, sizeof bytes);
}

/* Schema `id` is a list of type `element`, with `depth` more references in its arguments, one inside the
 * other. */
static void put_list_schema(blob *b, uint64_t id, uint64_t element, size_t depth) {
    PUT(b, "\xa3\x62id");
    put_id(b, id);
    PUT(b, "\x6btype_params\x80\x64kind\xa2\x63tag\x64list\x67"
           "element");
    for (size_t i = 0; i <= depth; i++) {
        PUT(b, "\xa3\x63tag\x68"
               "concrete\x67type_id");
        put_id(b, element);
        if (i < depth)
            PUT(b, "\x64"
                   "args\x81");
        else
            PUT(b, "\x64"
                   "args\x80");
    }
}

static void put_message_struct(blob *b, uint64_t id, uint64_t field) {
    PUT(b, "\xa3\x62id");
    put_id(b, id);
    PUT(b, "\x6btype_params\x80\x64kind\xa3\x63tag\x66struct\x64name\x67Message\x66"
           "fields\x81\xa3\x64name\x6d"
           "connection_id\x68type_ref\xa3\x63tag\x68"
           "concrete\x67type_id");
    put_id(b, field);
    PUT(b, "\x64"
           "args\x80\x68required\xf5");
}

/* The Hello is refused before its sender is answered, and cost at most this much beyond its own size. */
static void expect_refused_hello(const blob *b, uint64_t memory) {
    test_peer p;
    open_at(&p, TEST_STAGE_PROLOGUE, false);
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    cr_assert_eq(test_peer_frame(&p, b->data, b->len), CHOIR_ERR_HANDSHAKE, "%s",
                 choir_status_name(p.status));
    expect_end(&p, CHOIR_ERR_HANDSHAKE, "");
    cr_assert_gt(choir_attachment_text(p.attachment).len, 0);
    /* Its bytes are kept until somebody has decided about it. */
    cr_assert_leq(p.alloc.peak - held, memory + b->len, "%llu bytes",
                  (unsigned long long)(p.alloc.peak - held));
    test_peer_take(&p);
    cr_assert_eq(p.received_len, 0);
    close_peer(&p);
}

Test(hostile, A6_hello_of_sixteen_megabytes) {
    test_peer p;
    open_at(&p, TEST_STAGE_PROLOGUE, false);
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    cr_assert_eq(test_peer_raw(&p, "\0\0\0\x01", 4), CHOIR_ERR_FRAME_TOO_LARGE, "before any of it is read");
    expect_end(&p, CHOIR_ERR_FRAME_TOO_LARGE, "the limit is 1048576");
    cr_assert_leq(p.alloc.peak, held + 64 * KIB);
    close_peer(&p);
}

/* As many schemas as fit into the largest Hello; a million would be refused by its length. */
Test(hostile, A6_hello_full_of_schemas) {
    blob b = {0};
    begin_hello(&b);
    size_t count = (MIB - b.len - 100) / 110;
    put_count(&b, (uint32_t)count);
    for (size_t i = 0; i < count; i++) put_list_schema(&b, i, i + 1, 0);
    cr_assert_leq(b.len, MIB);
    printf("%zu schemas\n", count);
    expect_refused_hello(&b, 2 * MIB);
    free(b.data);
}

Test(hostile, A6_cyclic_type_references) {
    blob b = {0};
    begin_hello(&b);
    PUT(&b, "\x83");
    put_list_schema(&b, 1, 2, 0);
    put_list_schema(&b, 2, 1, 0);
    put_message_struct(&b, 3, 1);
    expect_refused_hello(&b, 64 * KIB);
    b.len = 0;
    begin_hello(&b);
    PUT(&b, "\x81");
    put_message_struct(&b, 1, 1);
    expect_refused_hello(&b, 64 * KIB);
    free(b.data);
}

Test(hostile, A6_deep_type_references) {
    static const size_t depths[] = {63, 64, 65, 1000, 20000};
    for (size_t i = 0; i < 5; i++) {
        blob b = {0};
        begin_hello(&b);
        PUT(&b, "\x82");
        put_list_schema(&b, 1, 1, depths[i]);
        put_message_struct(&b, 2, 1);
        cr_assert_leq(b.len, MIB);
        expect_refused_hello(&b, 64 * KIB + 2 * b.len);
        free(b.data);
    }
    blob b = {0}; /* 10^5 arrays, one inside the other */
    begin_hello(&b);
    for (int i = 0; i < 100000; i++) PUT(&b, "\x81");
    PUT(&b, "\x80");
    expect_refused_hello(&b, 64 * KIB);
    free(b.data);
}

static const struct {
    const char *bytes;
    size_t len;
} cbor_bombs[] = {{BYTES("\x9a\xff\xff\xff\xff")},
                  {BYTES("\x9b\xff\xff\xff\xff\xff\xff\xff\xff")},
                  {BYTES("\xba\xff\xff\xff\xff")},
                  {BYTES("\xbb\x80\x00\x00\x00\x00\x00\x00\x00")},
                  {BYTES("\x5a\xff\xff\xff\xff")},
                  {BYTES("\x7b\xff\xff\xff\xff\xff\xff\xff\xff")},
                  {BYTES("\x81\x81\x81\x9a\xff\xff\xff\xff")},
                  {BYTES("\x98\x20\x98\x1f\x98\x1e\x98\x1d\x98\x1c")},
                  {BYTES("\x9f\xff")}};

Test(hostile, A14_cbor_count_bombs_in_the_handshake) {
    for (size_t i = 0; i < sizeof cbor_bombs / sizeof *cbor_bombs; i++) {
        /* As the list of schemas, as metadata, as a member that nobody knows, as the whole message's map. */
        static const char *const places[] = {"\x76message_payload_schema", "\x68metadata", "\x65other"};
        for (size_t k = 0; k < 3; k++) {
            blob b = {0};
            PUT(&b, "\xa1\x65Hello\xa3\x66parity\xa1\x63Odd\xf6\x73"
                    "connection_settings\xa2\x66parity\xa1\x63Odd\xf6\x77max_concurrent_requests\x18\x40");
            put(&b, places[k], strlen(places[k]));
            put(&b, cbor_bombs[i].bytes, cbor_bombs[i].len);
            expect_refused_hello(&b, 2 * b.len + 4 * KIB);
            free(b.data);
        }
    }
    blob b = {0};
    PUT(&b, "\xba\xff\xff\xff\xff\x65Hello");
    expect_refused_hello(&b, 4 * KIB);
    free(b.data);
}

Test(hostile, A14_cbor_count_bombs_in_schemas) {
    for (size_t i = 0; i < sizeof cbor_bombs / sizeof *cbor_bombs; i++) {
        test_peer p;
        open_at(&p, TEST_STAGE_OPEN, false);
        blob b = {0};
        PUT(&b, "\xa2\x67schemas");
        put(&b, cbor_bombs[i].bytes, cbor_bombs[i].len);
        uint64_t held = p.alloc.peak = p.alloc.bytes;
        cr_assert_eq(test_peer_message(&p, &(choiri_message){.kind = CHOIRI_MSG_SCHEMA,
                                                             .method = trial_service.methods[TRIAL_ECHO].id,
                                                             .schemas = {b.data, b.len}}),
                     CHOIR_ERR_PROTOCOL);
        expect_end(&p, CHOIR_ERR_PROTOCOL, "schemas: ");
        cr_assert_leq(p.alloc.peak - held, 2 * b.len + 8 * KIB);
        free(b.data);
        close_peer(&p);
    }
}

/* ---- A7: messages out of turn ---- */

Test(hostile, A7_messages_out_of_turn) {
    test_peer p;
    open_at(&p, TEST_STAGE_HELLO, false);
    cr_assert_eq(test_peer_hello(&p), CHOIR_ERR_HANDSHAKE);
    expect_end(&p, CHOIR_ERR_HANDSHAKE, "Hello instead of LetsGo");
    cr_assert_str_eq(p.events.log, "conn-closed ERR_HANDSHAKE\nclosed ERR_HANDSHAKE\n");
    close_peer(&p);

    open_at(&p, TEST_STAGE_PROLOGUE, false);
    cr_assert_eq(test_peer_lets_go(&p), CHOIR_ERR_HANDSHAKE);
    expect_end(&p, CHOIR_ERR_HANDSHAKE, "LetsGo instead of Hello");
    close_peer(&p);

    open_at(&p, TEST_STAGE_PROLOGUE, true);
    cr_assert_eq(test_peer_lets_go(&p), CHOIR_ERR_HANDSHAKE);
    expect_end(&p, CHOIR_ERR_HANDSHAKE, "LetsGo instead of HelloYourself");
    close_peer(&p);

    open_at(&p, TEST_STAGE_HELLO, false);
    cr_assert_eq(test_peer_ping(&p, 1), CHOIR_ERR_HANDSHAKE, "a message before LetsGo");
    expect_end(&p, CHOIR_ERR_HANDSHAKE, "must start with a CBOR map");
    close_peer(&p);

    open_at(&p, TEST_STAGE_OPEN, false);
    cr_assert_eq(test_peer_hello(&p), CHOIR_ERR_PROTOCOL, "a handshake after LetsGo");
    expect_end(&p, CHOIR_ERR_PROTOCOL, "cannot be decoded");
    close_peer(&p);

    open_at(&p, TEST_STAGE_OPEN, false);
    cr_assert_eq(test_peer_raw(&p, FRAMED("VOTH\x09\0\0\0")), CHOIR_ERR_PROTOCOL);
    close_peer(&p);
}

/* ---- A8: random bytes ---- */

static uint64_t seed = 1;
static uint32_t random_number(uint32_t below) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % below);
}

/* Bytes that look a little like messages: small numbers are far more likely than large ones. */
static size_t random_payload(uint8_t *out, size_t max) {
    size_t len = random_number((uint32_t)max);
    for (size_t i = 0; i < len; i++) {
        uint32_t kind = random_number(8);
        out[i] = (uint8_t)(kind < 5   ? random_number(11)
                           : kind < 7 ? random_number(256)
                                      : 0x80 | random_number(128));
    }
    return len;
}

/* Release builds try all ten million cases, which takes them seconds; other builds try a part. */
#ifdef TEST_ALL
#define A8_MORE 54u
#else
#define A8_MORE 1u
#endif

static uint64_t cases_tried;

static void random_cases(test_stage stage, bool initiator, bool framed, uint32_t cases) {
    test_peer p;
    uint32_t ends = 0;
    open_at(&p, stage, initiator);
    p.events.quiet = true;
    for (uint32_t i = 0; i < cases; i++) {
        uint8_t bytes[80];
        size_t len = random_payload(bytes, sizeof bytes);
        if (framed)
            test_peer_frame(&p, bytes, len);
        else if (len > 0)
            test_peer_raw(&p, bytes, len);
        cr_assert(p.status == CHOIR_OK || choir_status_is_fatal(p.status));
        bool end = choir_attachment_interest(p.attachment) & CHOIR_FINISHED;
        if (!end) test_peer_skip(&p);
        if (end || i % 1000 == 999) { /* a session that lives is cut now and then */
            ends += end;
            test_peer_reopen(&p, stage);
        }
    }
    close_peer(&p);
    cases_tried += cases;
    cr_assert_gt(ends, cases / 200, "%u of %u were refused", ends, cases);
}

Test(hostile, A8_random_bytes_after_each_stage) {
    for (int initiator = 0; initiator <= 1; initiator++) {
        for (test_stage stage = TEST_STAGE_START; stage <= TEST_STAGE_OPEN; stage++) {
            if (initiator && stage == TEST_STAGE_HELLO) continue;
            random_cases(stage, initiator != 0, true, A8_MORE * (stage == TEST_STAGE_OPEN ? 60000 : 6000));
            random_cases(stage, initiator != 0, false, A8_MORE * 6000);
        }
    }
    printf("%llu random inputs\n", (unsigned long long)cases_tried);
}

/* Handshakes of vox peers with some bytes changed. */
Test(hostile, A8_damaged_handshakes) {
    test_peer p;
    blob b = {0};
    open_at(&p, TEST_STAGE_PROLOGUE, false);
    for (uint32_t i = 0; i < 20000; i++) {
        b.len = 0;
        begin_hello(&b);
        if (i % 16 == 0)
            put(&b, choiri_message_schema, choiri_message_schema_len);
        else
            PUT(&b, "\x80");
        for (uint32_t n = 1 + random_number(3); n > 0; n--)
            b.data[random_number((uint32_t)b.len)] = (uint8_t)random_number(256);
        test_peer_frame(&p, b.data, b.len);
        cr_assert(p.status == CHOIR_OK || p.status == CHOIR_ERR_HANDSHAKE ||
                  p.status == CHOIR_ERR_NEWER_PEER || p.status == CHOIR_ERR_REFUSED);
        test_peer_reopen(&p, TEST_STAGE_PROLOGUE);
    }
    free(b.data);
    close_peer(&p);
}

/* ---- A9: golden messages, cut and flipped ---- */

/* Calls `use` for each hex string of a vector file. */
static void each_vector(const char *name, void (*use)(const uint8_t *bytes, size_t len)) {
    const char *folder = getenv("CHOIR_VECTORS");
    char path[1024];
    cr_assert_not_null(folder, "CHOIR_VECTORS is not set");
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    static char text[1 << 20];
    size_t len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    fclose(file);
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, "\"hex\": \"")); count++) {
        at += strlen("\"hex\": \"");
        static uint8_t bytes[1 << 16];
        size_t n = 0;
        for (unsigned v; *at != '"' && n < sizeof bytes && sscanf(at, "%2x", &v) == 1; at += 2)
            bytes[n++] = (uint8_t)v;
        use(bytes, n);
    }
    cr_assert_gt(count, 10);
}

static uint32_t taken, refused;

static test_peer reader;

static void feed_case(const uint8_t *bytes, size_t len) {
    choiri_message m;
    int decoded = choiri_message_decode((choir_bytes){bytes, len}, &m);
    int status = test_peer_frame(&reader, bytes, len);
    if (decoded != CHOIR_OK) cr_assert_eq(status, CHOIR_ERR_PROTOCOL, "what is no message ends the session");
    cr_assert(status == CHOIR_OK || status == CHOIR_ERR_PROTOCOL || status == CHOIR_ERR_PEER_PROTOCOL, "%s",
              choir_status_name(status));
    *(status == CHOIR_OK ? &taken : &refused) += 1;
    if (status == CHOIR_OK && taken % 500 != 0)
        test_peer_skip(&reader);
    else
        test_peer_reopen(&reader, TEST_STAGE_OPEN);
}

static void cut_and_flip(const uint8_t *bytes, size_t len) {
    if (len > 100) return;
    uint8_t copy[100];
    for (size_t n = 0; n < len; n++) { /* every message ends with something that it needs */
        uint32_t before = refused;
        feed_case(bytes, n);
        cr_assert_eq(refused, before + 1, "%zu bytes of %zu", n, len);
    }
    for (size_t bit = 0; bit < 8 * len; bit++) {
        memcpy(copy, bytes, len);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        feed_case(copy, len);
    }
}

Test(hostile, A9_golden_messages_cut_and_flipped) {
    open_at(&reader, TEST_STAGE_OPEN, false);
    reader.events.quiet = true;
    each_vector("golden/message-examples.json", cut_and_flip);
    each_vector("recorded/messages.json", cut_and_flip);
    close_peer(&reader);
    printf("%u messages were taken, %u refused\n", taken, refused);
    cr_assert(taken > 1000 && refused > 1000);
}

/* ---- A10, A11: varints and lengths inside of messages ---- */

static void expect_message(const char *bytes, size_t len, int status) {
    test_peer p;
    open_at(&p, TEST_STAGE_OPEN, false);
    cr_assert_eq(test_peer_frame(&p, bytes, len), status, "%s", choir_status_name(p.status));
    if (status == CHOIR_OK) expect_undisturbed(&p, 101);
    if (status != CHOIR_OK) expect_end(&p, CHOIR_ERR_PROTOCOL, "cannot be decoded");
    close_peer(&p);
}

Test(hostile, A10_varints) {
    /* A Ping's nonce, then its connection id, then its variant. */
    expect_message(BYTES("\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), CHOIR_OK); /* 2^64 - 1 */
    expect_message(BYTES("\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
                   CHOIR_ERR_PROTOCOL); /* overflow */
    expect_message(BYTES("\x00\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
                   CHOIR_ERR_PROTOCOL); /* 11 bytes */
    expect_message(BYTES("\x00\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"), CHOIR_ERR_PROTOCOL);
    expect_message(BYTES("\x00\x08\x80"), CHOIR_ERR_PROTOCOL);
    expect_message(BYTES("\x00\x08\x81\x80\x00"), CHOIR_OK);     /* overlong forms are honest */
    expect_message(BYTES("\x80\x80\x00\x88\x00\x01"), CHOIR_OK); /* here too */
    expect_message(BYTES("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00\x08\x01"), CHOIR_ERR_PROTOCOL);
    expect_message(BYTES("\x00\x88\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00\x01"), CHOIR_ERR_PROTOCOL);
    expect_message(BYTES(""), CHOIR_ERR_PROTOCOL);
    expect_message(BYTES("\x00"), CHOIR_ERR_PROTOCOL);
    expect_message(BYTES("\x00\x08"), CHOIR_ERR_PROTOCOL);
    /* Counts and lengths that no payload can have. */
    expect_message(BYTES("\x00\x05\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), CHOIR_ERR_PROTOCOL);
    expect_message(BYTES("\x00\x05\x01\x02\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7fk"), CHOIR_ERR_PROTOCOL);
    expect_message(BYTES("\x00\x00\xff\xff\xff\xff\x0fx"), CHOIR_ERR_PROTOCOL);
}

Test(hostile, A10_varints_in_arguments) {
    static const struct {
        const char *bytes;
        size_t len;
        bool good;
    } rows[] = {{BYTES("\xff\xff\xff\xff\x0f"), true},
                {BYTES("\xff\xff\xff\xff\x1f"), false},
                {BYTES("\x85\x80\x80\x00"), true},
                {BYTES("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), false},
                {BYTES("\x80\x80\x80\x80\x10"), false},
                {BYTES("\x80"), false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_peer p;
        open_at(&p, TEST_STAGE_OPEN, false);
        cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, rows[i].bytes, rows[i].len), CHOIR_OK);
        choiri_message m;
        cr_assert_eq(test_peer_next(&p, &m), !rows[i].good, "row %zu", i);
        if (!rows[i].good) cr_assert_eq(memcmp(m.payload.data, "\x01\x02", 2), 0);
        expect_undisturbed(&p, 3);
        close_peer(&p);
    }
}

Test(hostile, A11_lengths_that_do_not_fit) {
    const uint64_t method = trial_service.methods[TRIAL_ECHO].id;
    uint8_t message[64] = {0, CHOIRI_MSG_REQUEST, 1, CHOIRI_BODY_CALL};
    uint8_t *at = choiri_put_varint(message + 4, method);
    *at++ = 0;
    size_t head = (size_t)(at - message);
    /* The opaque length is beyond the frame: the message cannot be decoded. */
    static const char *const opaque[] = {"\x05\0\0\0\x01x\0", "\xff\xff\xff\xff\x01x\0", "\x03\0\0\0\x01x\0",
                                         "\x02\0\0"};
    static const size_t lens[] = {7, 7, 7, 3};
    for (size_t i = 0; i < 4; i++) {
        memcpy(message + head, opaque[i], lens[i]);
        expect_message((const char *)message, head + lens[i], CHOIR_ERR_PROTOCOL);
    }
    /* The length of the schemas is. */
    memcpy(message + head, "\x02\0\0\0\x01x\x05", 7);
    expect_message((const char *)message, head + 7, CHOIR_ERR_PROTOCOL);
    /* The inner length does not fit the outer one: only this call is refused. */
    static const struct {
        const char *args;
        size_t len;
        bool good;
    } rows[] = {{BYTES("\x02x"), false},
                {BYTES("\xff\xff\xff\xff\x0fx"), false},
                {BYTES(""), false},
                {BYTES("\x01xyz"), true}};
    for (size_t i = 0; i < 4; i++) {
        test_peer p;
        open_at(&p, TEST_STAGE_OPEN, false);
        cr_assert_eq(test_peer_call(&p, 1, TRIAL_ECHO, rows[i].args, rows[i].len), CHOIR_OK);
        choiri_message m;
        cr_assert(test_peer_next(&p, &m) && m.id == 1);
        const char *ret = rows[i].good ? "\x00\x01" : "\x01\x02";
        cr_assert_eq(memcmp(m.payload.data, ret, 2), 0, "trailing bytes are ignored, missing ones are not");
        expect_undisturbed(&p, 3);
        close_peer(&p);
    }
    expect_message(BYTES("\x00\x08\x01 and more"), CHOIR_OK); /* behind a message as well */
}

/* ---- A12: strings and metadata ---- */

Test(hostile, A12_strings) {
    expect_message(BYTES("\x00\x05\x09\x02\x01\x02\xc0\x80\x02\x01\x00"),
                   CHOIR_ERR_PROTOCOL); /* a key in overlong UTF-8 */
    expect_message(BYTES("\x00\x05\x09\x02\x01\x01k\x00\x01\xff\x00"),
                   CHOIR_ERR_PROTOCOL); /* a value that is none */
    expect_message(BYTES("\x00\x05\x09\x02\x01\x03\xed\xa0\x80\x02\x01\x00"),
                   CHOIR_ERR_PROTOCOL);                                            /* a surrogate */
    expect_message(BYTES("\x00\x05\x09\x02\x01\x03k\0k\x00\x01\0\x00"), CHOIR_OK); /* NUL is a character */
    expect_message(BYTES("\x00\x05\x09\x02\x02\x00\x02\x01\x00\x00\x02\x01\x00"),
                   CHOIR_OK);                                          /* empty keys, twice */
    expect_message(BYTES("\x00\x00\x02\xc3\x28"), CHOIR_ERR_PROTOCOL); /* the text of a ProtocolError */
    test_peer p;
    open_at(&p, TEST_STAGE_OPEN, false);
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_ECHO, "\x02\xc3\x28", 3), CHOIR_OK);
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && memcmp(m.payload.data, "\x01\x02", 2) == 0,
              "in arguments only the call");
    expect_undisturbed(&p, 3);
    cr_assert_eq(test_peer_call(&p, 5, TRIAL_ECHO, "\x03\0\0\0", 4), CHOIR_OK);
    cr_assert(test_peer_next(&p, &m) && memcmp(m.payload.data, "\x00\x03\0\0\0", 5) == 0);
    close_peer(&p);
}

static void expect_metadata_refused(const uint8_t *list, size_t len, size_t count) {
    test_peer p;
    open_at(&p, TEST_STAGE_OPEN, false);
    expect_undisturbed(&p, 1);
    uint64_t held = p.alloc.peak = p.alloc.bytes;
    cr_assert_eq(test_peer_message(&p, &(choiri_message){.kind = CHOIRI_MSG_REQUEST,
                                                         .body = CHOIRI_BODY_CALL,
                                                         .id = 3,
                                                         .method = trial_service.methods[TRIAL_ECHO].id,
                                                         .metadata = {{list, len}, count},
                                                         .payload = {(const uint8_t *)"\x01x", 2}}),
                 CHOIR_OK);
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && m.id == 3 && memcmp(m.payload.data, "\x01\x02", 2) == 0);
    cr_assert_leq(p.alloc.bytes, held + 20 * KIB, "retained");
    cr_assert_eq(test_requests_charged(p.session), 0);
    test_check_charges(p.session);
    expect_undisturbed(&p, 5);
    close_peer(&p);
}

Test(hostile, A12_metadata) {
    enum { ENTRIES = 100000 };
    uint8_t *list = malloc(2 * MIB);
    for (size_t i = 0; i < ENTRIES; i++) memcpy(list + 4 * i, "\0\x02\0\0", 4);
    expect_metadata_refused(list, 4 * ENTRIES, ENTRIES);
    uint8_t *at = choiri_put_varint(list, MIB);
    memset(at, 'k', MIB);
    memcpy(at + MIB, "\x02\x01\0", 3);
    expect_metadata_refused(list, (size_t)(at - list) + MIB + 3, 1);
    free(list);
}

/* ---- A13: variants that do not exist ---- */

Test(hostile, A13_unknown_variants_of_messages) {
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {{BYTES("\x00\x0a\x01")},
                {BYTES("\x00\x7f\x01")},
                {BYTES("\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01")}, /* 2^63 */
                {BYTES("\x00\x05\x01\x03\x00")},                             /* request body */
                {BYTES("\x00\x07\x01\x04\x00")},                             /* channel body */
                {BYTES("\x00\x06\x01\x02\x00")},                   /* direction of a schema message */
                {BYTES("\x01\x01\x02\x40\x00")},                   /* parity */
                {BYTES("\x00\x05\x09\x02\x01\x01k\x03\x01\x00")}}; /* type of a metadata value */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_peer p;
        open_at(&p, TEST_STAGE_OPEN, false);
        cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
        cr_assert_eq(test_peer_frame(&p, rows[i].bytes, rows[i].len), CHOIR_ERR_PROTOCOL, "row %zu", i);
        expect_end(&p, CHOIR_ERR_PROTOCOL, "cannot be decoded");
        choiri_message m;
        cr_assert(test_peer_next(&p, &m) && m.kind == CHOIRI_MSG_PROTOCOL_ERROR && m.conn == 0);
        cr_assert(strstr(p.events.log, "request-done later connection closed\n"));
        close_peer(&p);
    }
}

Test(hostile, A13_unknown_variants_in_payloads) {
    test_peer p;
    open_at(&p, TEST_STAGE_OPEN, false);
    choiri_message m;
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_LATER, "\x05", 1), CHOIR_OK);
    cr_assert_eq(test_peer_call(&p, 3, TRIAL_FLAGS, "\x01\x02", 2), CHOIR_OK);
    cr_assert(test_peer_next(&p, &m) && m.id == 3 && memcmp(m.payload.data, "\x01\x02", 2) == 0);
    expect_undisturbed(&p, 5);
    cr_assert_eq(test_events_open_requests(&p.events), 1, "the first one still runs");
    close_peer(&p);

    open_at(&p, TEST_STAGE_OPEN, true);
    choir_call_id ids[2];
    uint32_t number = 1;
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(
            choir_call(p.session, choir_session_root(p.session), TRIAL_LOOKUP, &number, NULL, &ids[i], p.now),
            CHOIR_OK);
        test_events_call(&p.events, ids[i]);
    }
    test_peer_skip(&p);
    cr_assert_eq(test_peer_answer(&p, 1, TRIAL_LOOKUP, "\x01\x00\x02", 3), CHOIR_OK);
    cr_assert_eq(p.events.last_outcome, CHOIR_OUTCOME_INVALID_PAYLOAD);
    cr_assert_eq(test_peer_answer(&p, 3, TRIAL_LOOKUP, "\x01\x00\x01", 3), CHOIR_OK);
    cr_assert_eq(p.events.last_outcome, CHOIR_OUTCOME_USER_ERROR);
    close_peer(&p);
}

/* ---- A16: deep values ---- */

/* A tree with `depth` levels, one child each. Its list takes a level of nesting as well, and so do the
 * arguments. */
static size_t make_deep_tree(uint8_t *out, size_t depth) {
    uint8_t *at = out;
    for (size_t i = 0; i < depth; i++) {
        *at++ = 7;
        *at++ = i + 1 < depth;
    }
    return (size_t)(at - out);
}

static uint32_t measured;
static void measure(test_peer *p, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    uint32_t levels = 1;
    const trial_tree *t = e->value;
    for (; t->children.len > 0; t = t->children.items) levels++;
    measured = levels;
    cr_assert_eq(choir_reply(p->session, e->request, &levels, NULL, p->now), CHOIR_OK);
}

static void *run_deep(void *arg) {
    (void)arg;
    test_peer p;
    test_peer_init(&p);
    p.on_event = measure;
    test_peer_open(&p, TEST_STAGE_OPEN);
    uint8_t args[4096];
    choiri_message m;
    uint32_t deepest = 0;
    for (size_t depth = 1; depth <= 2000; depth = depth < 70 ? depth + 1 : depth * 2) {
        measured = 0;
        cr_assert_eq(test_peer_call(&p, 2 * depth + 1, TRIAL_MEASURE, args, make_deep_tree(args, depth)),
                     CHOIR_OK);
        cr_assert(test_peer_next(&p, &m) && m.id == 2 * depth + 1);
        cr_assert_eq(measured == depth, m.payload.data[0] == 0);
        if (measured == depth) deepest = measured;
    }
    cr_assert(deepest >= 31 && deepest < 64, "%u", deepest);
    close_peer(&p);
    return NULL;
}

#if defined(__SANITIZE_ADDRESS__)
#define STACK (1024 * KIB) /* frames are several times larger */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACK (1024 * KIB)
#endif
#endif
#ifndef STACK
#define STACK (64 * KIB)
#endif

Test(hostile, A16_values_at_the_depth_limit_on_a_small_stack) {
    pthread_attr_t attr;
    pthread_t thread;
    cr_assert_eq(pthread_attr_init(&attr), 0);
    cr_assert_eq(pthread_attr_setstacksize(&attr, STACK), 0);
    cr_assert_eq(pthread_create(&thread, &attr, run_deep, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

/* ---- F22: vox 0.9 and later ---- */

Test(hostile, F22_newer_vox_is_named) {
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {{BYTES("\x00\x01\x02\x03")},
                {BYTES("\x05hello")},
                {BYTES("\x80")},
                {BYTES("\xff\xff")},
                {BYTES("{\"a\":1}")}};
    for (size_t i = 0; i < 5; i++) {
        for (int initiator = 0; initiator <= 1; initiator++) {
            test_peer p;
            open_at(&p, TEST_STAGE_PROLOGUE, initiator != 0);
            cr_assert_eq(test_peer_frame(&p, rows[i].bytes, rows[i].len), CHOIR_ERR_NEWER_PEER);
            expect_end(&p, CHOIR_ERR_NEWER_PEER, "vox 0.9 or later");
            close_peer(&p);
        }
    }
}
