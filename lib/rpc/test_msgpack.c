/* SPDX-License-Identifier: MIT */
/* Msgpack mode of a session: what a peer in another language may say and leave out, what is refused and how
 * far the damage goes, hostile input, what it costs. The peer is hand-made: every byte it says is spelled
 * here. */
#include "protocol/message_msgpack.h"
#include "testing/inside.h"
#include "testing/pair.h"
#include "testing/peer.h"
#include "wire/msgpack.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u

/* "82 a1'a'01": hex, with text between quotes; `@` stands for the eight bytes of a method's id. */
static choir_bytes spell(const char *text, uint32_t method) {
    static uint8_t out[1 << 16];
    size_t len = 0;
    for (bool quoted = false; *text; text++) {
        unsigned byte;
        if (*text == '\'') {
            quoted = !quoted;
        } else if (quoted) {
            out[len++] = (uint8_t)*text;
        } else if (*text == '@') {
            uint64_t id = trial_service.methods[method].id;
            for (unsigned shift = 64; shift > 0;) out[len++] = (uint8_t)(id >> (shift -= 8));
        } else if (*text != ' ') {
            cr_assert_eq(sscanf(text, "%2x", &byte), 1, "%s", text);
            out[len++] = (uint8_t)byte;
            text++;
        }
    }
    return (choir_bytes){out, len};
}

static int say_of(test_peer *p, uint32_t method, const char *text) {
    choir_bytes b = spell(text, method);
    return test_peer_frame(p, b.data, b.len);
}
static int say(test_peer *p, const char *text) {
    return say_of(p, 0, text);
}

static void on_event(test_peer *p, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    uint32_t number = (uint32_t)e->metadata.count;
    if (e->method == TRIAL_ECHO)
        choir_reply(p->session, e->request, e->value, NULL, p->now);
    else if (e->method == TRIAL_LATER) /* answers how many metadata entries came */
        choir_reply(p->session, e->request, &number, NULL, p->now);
    else if (e->method == TRIAL_MEASURE)
        choir_request_drop(p->session, e->request, NULL, p->now);
    else if (e->method == TRIAL_NOTHING)
        choir_reply(p->session, e->request, NULL, NULL, p->now);
}

#define HELLO                                                                                                \
    "81 a5'Hello' 82 a6'parity' a3'Odd' b3'connection_settings' 82 a6'parity' a3'Odd' b7'max_concurrent_requests' 40"
#define LETSGO "81 a6'LetsGo' 80"

static void start(test_peer *p) {
    test_peer_init(p);
    p->on_event = on_event;
    test_peer_open(p, TEST_STAGE_START);
}

static void open_msgpack(test_peer *p) {
    start(p);
    cr_assert_eq(test_peer_frame(p, "VOTH\x09\x10\0\0", 8), CHOIR_OK);
    cr_assert_eq(say(p, HELLO), CHOIR_OK);
    cr_assert_eq(say(p, LETSGO), CHOIR_OK);
    cr_assert(p->session && choir_session_is_established(p->session));
    cr_assert_eq(choir_session_codec(p->session), CHOIR_CODEC_MSGPACK);
    test_peer_skip(p);
}

static void close_peer(test_peer *p) {
    cr_assert_eq(test_peer_deinit(p), 0);
}

static void expect_text(const test_peer *p, int status, const char *part) {
    choir_str text = choir_attachment_text(p->attachment);
    cr_assert_eq(choir_attachment_status(p->attachment), status, "%s: %.*s",
                 choir_status_name(choir_attachment_status(p->attachment)), (int)text.len, text.data);
    cr_assert(test_find(text.data, text.len, part), "\"%.*s\" does not say \"%s\"", (int)text.len, text.data,
              part);
}

/* The next payload that the session wrote is this. */
static void expect_said(test_peer *p, const char *text) {
    choir_bytes got, want;
    cr_assert(test_peer_next_frame(p, &got), "nothing was said, expected %s", text);
    want = spell(text, 0);
    bool same = got.len == want.len && memcmp(got.data, want.data, got.len) == 0;
    if (!same)
        for (size_t i = 0; i < got.len; i++)
            fprintf(stderr, i + 1 < got.len ? "%02x" : "%02x\n", got.data[i]);
    cr_assert(same, "expected %s", text);
}

#define CONN0   "82 ad'connection_id' 00 a7'payload' 81 "
#define REQUEST CONN0 "ae'RequestMessage' 82 a2'id' "
#define CALL    "a4'body' 81 a4'Call' 82 a9'method_id' cf@ a4'args' "
#define ANSWER  "a4'body' 81 a8'Response' 81 a3'ret' c6 000000"

static void expect_undisturbed(test_peer *p) {
    test_peer_skip(p);
    cr_assert_eq(say_of(p, TRIAL_ECHO, REQUEST "ce0000ffff " CALL "c40491a2'hi'"), CHOIR_OK);
    expect_said(p, REQUEST "cdffff " ANSWER "07 81a2'Ok' a2'hi'");
}

/* ---- honest ---- */

/* The conversation of docs/protocol/msgpack.md, byte for byte. */
Test(msgpack, a_whole_session) {
    test_peer p;
    choir_bytes frame;
    start(&p);
    cr_assert_eq(test_peer_frame(&p, "VOTH\x09\x10\0\0", 8), CHOIR_OK);
    cr_assert(test_peer_next_frame(&p, &frame) && frame.len == 8 &&
              memcmp(frame.data, "VOTA\x09\x10\0\0", 8) == 0);
    cr_assert_eq(say(&p, HELLO), CHOIR_OK);
    expect_said(
        &p, "81 ad'HelloYourself' 85 b3'connection_settings' 82 a6'parity' a4'Even' "
            "b7'max_concurrent_requests' 40 b6'message_payload_schema' 90 ae'supports_retry' c2 "
            "aa'resume_key' c0 a8'metadata' 92 83 a3'key' b1'choir-max-payload' a5'value' 81 a3'U64' "
            "ce01000000 a5'flags' 00 83 a3'key' ab'vox-service' a5'value' 81 a6'String' a5'Trial' a5'flags' "
            "00");
    cr_assert_eq(say(&p, LETSGO), CHOIR_OK);
    cr_assert_eq(say_of(&p, TRIAL_ECHO, REQUEST "01 " CALL "c40491a2'hi'"), CHOIR_OK);
    expect_said(&p, REQUEST "01 " ANSWER "07 81a2'Ok' a2'hi'");
    cr_assert_eq(say(&p, CONN0 "a4'Ping' 81 a5'nonce' 07"), CHOIR_OK);
    expect_said(&p, CONN0 "a4'Pong' 81 a5'nonce' 07");
    close_peer(&p);
}

/* A Hello that says it knows schemas gets ours with the first answer of a method, and once. */
Test(msgpack, schemas_go_to_who_asks_for_them) {
    test_peer p;
    choir_bytes frame;
    start(&p);
    test_peer_frame(&p, "VOTH\x09\x10\0\0", 8);
    say(&p, "81 a5'Hello' 83 a6'parity' a3'Odd' b3'connection_settings' 82 a6'parity' a3'Odd' "
            "b7'max_concurrent_requests' 40 b6'message_payload_schema' 90");
    say(&p, LETSGO);
    test_peer_skip(&p);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(say_of(&p, TRIAL_NOTHING, i ? REQUEST "03 " CALL "c401c0" : REQUEST "01 " CALL "c401c0"),
                     CHOIR_OK);
        cr_assert(test_peer_next_frame(&p, &frame));
        choiri_message m;
        choiri_arena arena;
        choiri_arena_init(&arena, p.own_env, NULL, 0, 4096);
        cr_assert_eq(choiri_msgpack_message_decode(frame, &arena, &m), CHOIR_OK);
        cr_assert(m.kind == CHOIRI_MSG_REQUEST && m.body == CHOIRI_BODY_RESPONSE);
        cr_assert_eq(m.schemas.len > 0, i == 0);
        if (i == 0) {
            choir_bytes root;
            choiri_text why;
            choiri_recv_tracker tracker;
            static const uint64_t seed[2] = {1, 2};
            size_t size = choiri_msgpack_cbor_size(m.schemas);
            uint8_t *cbor = malloc(size);
            cr_assert_gt(size, 0);
            choiri_msgpack_to_cbor(m.schemas, cbor);
            choiri_recv_tracker_init(&tracker, p.own_env, seed, NULL);
            cr_assert_eq(choiri_recv_tracker_add(&tracker, (choir_bytes){cbor, size}, &root, &why), CHOIR_OK,
                         "%s", why.data);
            choiri_recv_tracker_deinit(&tracker);
            free(cbor);
        }
    }
    close_peer(&p);
}

/* Any order, members that are new, members that are left out, nil for nothing. */
Test(msgpack, messages_are_read_generously) {
    static const char *const calls[] = {
        "81 a7'payload' 81 ae'RequestMessage' 82 a2'id' 01 a4'body' 81 a4'Call' 82 a9'method_id' cf@ a4'args' "
        "c40491a2'hi'",
        "83 a3'new' 93c0c0c0 a7'payload' 81 ae'RequestMessage' 83 a4'body' 81 a4'Call' 85 a4'args' c40491a2'hi' a3'ext' "
        "d6ff00000000 a7'schemas' c400 a8'metadata' 90 a9'method_id' cf@ a2'id' cf0000000000000001 a1'x' cb0000000000000000 "
        "ad'connection_id' d000",
        "82 a7'payload' 81 ae'RequestMessage' 82 a2'id' 01 a4'body' 81 a4'Call' 84 a9'method_id' cf@ a8'metadata' c0 "
        "a7'schemas' c0 a4'args' c500 04 91a2'hi' ad'connection_id' 00",
    };
    for (size_t i = 0; i < 3; i++) {
        test_peer p;
        open_msgpack(&p);
        cr_assert_eq(say_of(&p, TRIAL_ECHO, calls[i]), CHOIR_OK, "%zu", i);
        expect_said(&p, REQUEST "01 " ANSWER "07 81a2'Ok' a2'hi'");
        close_peer(&p);
    }
}

Test(msgpack, outcomes) {
    test_peer p;
    open_msgpack(&p);
    cr_assert_eq(say(&p, REQUEST "01 a4'body' 81 a4'Call' 82 a9'method_id' 05 a4'args' c401c0"), CHOIR_OK);
    expect_said(&p, REQUEST "01 " ANSWER "13 81a3'Err' ad'UnknownMethod'");
    cr_assert_eq(say_of(&p, TRIAL_LATER, REQUEST "03 " CALL "c404 91a2'hi'"), CHOIR_OK);
    expect_said(&p, REQUEST "03 " ANSWER "4f 81a3'Err' 81ae'InvalidPayload' d938"
                            "'Trial.later arguments: args.0: expected u32, found a str'");
    close_peer(&p);
}

Test(msgpack, metadata_arrives) {
    test_peer p;
    open_msgpack(&p);
    const char *one = "83 a3'key' a1'k' a5'value' 81 a3'U64' cd0100 a5'flags' 01 ";
    const char *two = "82 a5'value' 81 a5'Bytes' c4020001 a3'key' a1'b' ";
    const char *three = "82 a5'value' 81 a6'String' a2'hi' a3'key' a1's' ";
    char text[1024];
    snprintf(text, sizeof text,
             REQUEST "01 a4'body' 81 a4'Call' 83 a9'method_id' cf@ a8'metadata' 93 %s%s%s a4'args' c4029101",
             one, two, three);
    cr_assert_eq(say_of(&p, TRIAL_LATER, text), CHOIR_OK);
    expect_said(&p, REQUEST "01 " ANSWER "05 81a2'Ok' 03");
    close_peer(&p);
}

/* ---- the other end ---- */

Test(msgpack, a_peer_that_refuses_the_mode_is_named) {
    test_pair p;
    test_pair_init(&p);
    p.client_options.codec = CHOIR_CODEC_MSGPACK;
    p.server_link.codecs = 1u << CHOIR_CODEC_POSTCARD;
    cr_assert(test_pair_open(&p));
    cr_assert_eq(choir_session_status(p.client.session), CHOIR_ERR_REJECTED);
    choir_str text = choir_session_text(p.client.session);
    cr_assert(test_find(text.data, text.len, "the peer refused conduit mode msgpack: unsupported"));
    cr_assert_eq(test_pair_deinit(&p), 0);
}

/* As peers of vox 0.4 do: they hang up without a word. In postcard, or once the peer has said something, it
 * is a lost link. */
static void expect_hung_up_on(uint32_t codec, const char *said, int status, const char *text) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.options.codec = codec;
    test_peer_open(&p, TEST_STAGE_START);
    if (said) cr_assert_eq(test_peer_frame(&p, said, 8), CHOIR_OK);
    choir_attachment_closed(p.attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("gone"), p.now);
    choir_str got = choir_session_text(p.session);
    cr_expect_eq(choir_session_status(p.session), status);
    cr_expect(got.len == strlen(text) && memcmp(got.data, text, got.len) == 0, "%.*s", (int)got.len,
              got.data);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(msgpack, a_peer_that_hangs_up_on_the_mode_is_named) {
    expect_hung_up_on(CHOIR_CODEC_MSGPACK, NULL, CHOIR_ERR_REJECTED,
                      "no answer to conduit mode msgpack, which the peer may not know: gone");
    expect_hung_up_on(CHOIR_CODEC_MSGPACK, "VOTA\x09\x10\0\0", CHOIR_ERR_LINK_LOST, "gone");
    expect_hung_up_on(CHOIR_CODEC_POSTCARD, NULL, CHOIR_ERR_LINK_LOST, "gone");
}

Test(msgpack, options_are_checked) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_session *s = NULL;
    choir_attachment *a = NULL;
    choir_session_options o;
    choir_session_options_init(&o);
    o.codec = 2;
    cr_assert_eq(choir_session_new(env, &o, &s, 1), CHOIR_ERR_INVALID);
    for (uint32_t codecs = 0; codecs <= 4; codecs += 4) {
        choir_attachment_options l;
        choir_attachment_options_init(&l);
        l.codecs = codecs;
        cr_assert_eq(choir_attachment_new_acceptor(env, &l, &a, 1), CHOIR_ERR_INVALID);
    }
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* ---- what is refused, and how far it goes ---- */

Test(msgpack, bad_handshakes) {
    static const struct {
        const char *hello, *text;
    } rows[] = {
        {"c1", "must be msgpack"},
        {"dd ff000000", "must be msgpack"},
        {"df ffffffff", "must be msgpack"},
        {"c6 ffffffff", "must be msgpack"},
        {"a5'Hello'", "must start with a"},
        {"81 a5'Hello' 80", "lacks parity or connection_settings"},
        {"81 a5'Hello' 81 a6'parity' a3'odd'", "neither Odd nor Even"},
        {"81 a5'Hello' 81 a6'parity' 01", "parity must be \"Odd\" or \"Even\""},
        {"81 a5'Hello' c0", "Hello is not a map"},
        {"81 a5'Howdy' 80", "unknown handshake message"},
        {HELLO " 00", "must be msgpack"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_peer p;
        start(&p);
        test_peer_frame(&p, "VOTH\x09\x10\0\0", 8);
        uint64_t before = p.alloc.peak = p.alloc.bytes;
        cr_assert_eq(say(&p, rows[i].hello), CHOIR_ERR_HANDSHAKE, "%s", rows[i].hello);
        expect_text(&p, CHOIR_ERR_HANDSHAKE, rows[i].text);
        cr_assert_leq(p.alloc.peak, before + 8 * KIB);
        close_peer(&p);
    }
}

/* What cannot be taken apart ends the session, with memory for no more than the reason. */
Test(msgpack, A15_bad_messages_end_the_session) {
    static const char *const rows[] = {
        "c1",
        "c0",
        "",
        "dd ff000000",
        "df ffffffff",
        "c6 ffffffff",
        "c9 ffffffff 00",
        "91c0",
        "80",
        CONN0 "a4'Ping' 81 a5'nonce' 07 c0",           /* bytes behind it */
        CONN0 "a4'Ping' 80",                           /* a member that is missing */
        CONN0 "a4'Ping' 82 a5'nonce' 07 a5'nonce' 07", /* one that comes twice */
        CONN0 "a4'Ping' 81 a5'nonce' a1'7'",           /* of another type */
        CONN0 "a4'Ping' 81 a5'nonce' ff",
        CONN0 "a4'Ding' 81 a5'nonce' 07", /* a variant that is not known: A13 */
        "82 ad'connection_id' 00 a7'payload' 82 a4'Ping' 81 a5'nonce' 07 a4'Pong' 81 a5'nonce' 07",
        CONN0 "ad'ProtocolError' 81 ab'description' a1ff",                   /* text that is none: A12 */
        CONN0 "a4'Ping' 81 c0 07",                                           /* a name that is none */
        REQUEST "01 a4'body' 81 a4'Call' 82 a9'method_id' 01 a4'args' 91c0", /* args that are not opaque */
        REQUEST "01 a4'body' 81 a4'Call' 81 a9'method_id' 01",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_peer p;
        open_msgpack(&p);
        uint64_t before = p.alloc.peak = p.alloc.bytes;
        cr_assert_eq(say(&p, rows[i]), CHOIR_ERR_PROTOCOL, "%s", rows[i]);
        expect_text(&p, CHOIR_ERR_PROTOCOL, "a message that cannot be decoded");
        cr_assert_leq(p.alloc.peak, before + 8 * KIB, "%s", rows[i]);
        close_peer(&p);
    }
}

Test(msgpack, A15_deep_nesting_ends_the_session) {
    test_peer p;
    uint8_t *deep = malloc(100001);
    memset(deep, 0x91, 100000);
    deep[100000] = 0xc0;
    open_msgpack(&p);
    p.alloc.peak = p.alloc.bytes;
    cr_assert_eq(test_peer_frame(&p, deep, 100001), CHOIR_ERR_PROTOCOL);
    cr_assert_leq(p.alloc.peak, 2 * 100001 + 8 * KIB);
    free(deep);
    close_peer(&p);
}

/* What is wrong inside the opaque members is the call's affair. */
Test(msgpack, A11_bad_arguments_end_the_call_alone) {
    static const char *const rows[] = {
        "c400",         "c401c1",          "c40291a2",        "c40591a2'hi' 00",
        "c40192",       "c405 ddff000000", "c405 dfffffffff", "c405 c6ffffffff",
        "c403 91a1ff",  "c402 9101",       "c401c0",          "c40481a2'hi'",
        "c40492a0a0a0", "c40591 d6ff0000", "c40491c40161",
    };
    test_peer p;
    open_msgpack(&p);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, REQUEST "%02zx " CALL "%s", 2 * i + 1, rows[i]);
        test_peer_skip(&p);
        p.alloc.peak = p.alloc.bytes;
        uint64_t before = p.alloc.bytes;
        cr_assert_eq(say_of(&p, TRIAL_ECHO, text), CHOIR_OK, "%s", rows[i]);
        choir_bytes frame;
        cr_assert(test_peer_next_frame(&p, &frame) && test_find(frame.data, frame.len, "InvalidPayload"),
                  "%s", rows[i]);
        cr_assert(test_find(frame.data, frame.len, "Trial.echo arguments"), "%s", rows[i]);
        cr_assert_leq(p.alloc.peak, before + 8 * KIB, "%s", rows[i]);
    }
    expect_undisturbed(&p);
    close_peer(&p);
}

/* A16, A15: the deepest value that is read, and deeper ones, on a small stack. A tree takes two levels for
 * each of its own. */
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

static void *run_deep(void *arg) {
    test_peer p;
    uint32_t deepest = 0;
    static char text[65536];
    (void)arg;
    open_msgpack(&p);
    for (uint32_t depth = 1; depth <= 1024; depth = depth < 40 ? depth + 1 : depth * 2) {
        int n = snprintf(text, sizeof text, REQUEST "cd%04x " CALL "c50000 91", 2 * depth + 1);
        for (uint32_t i = 1; i < depth; i++) n += snprintf(text + n, 64, "82a5'value'01a8'children'91");
        snprintf(text + n, 64, "82a5'value'01a8'children'90");
        choir_bytes frame = spell(text, TRIAL_MEASURE), got;
        uint8_t *args = (uint8_t *)(uintptr_t)test_find(frame.data, frame.len, "\x91\x82\xa5value");
        size_t size = (size_t)(frame.data + frame.len - args);
        args[-2] = (uint8_t)(size >> 8);
        args[-1] = (uint8_t)size;
        test_peer_skip(&p);
        cr_assert_eq(test_peer_frame(&p, frame.data, frame.len), CHOIR_OK);
        if (p.events.started > deepest)
            deepest = p.events.started;
        else
            cr_assert(test_peer_next_frame(&p, &got) &&
                      test_find(got.data, got.len, "nested more than 32 deep"));
    }
    cr_assert_eq(deepest, 15);
    close_peer(&p);
    return NULL;
}

Test(msgpack, A16_values_at_the_depth_limit_on_a_small_stack) {
    pthread_attr_t attr;
    pthread_t thread;
    cr_assert_eq(pthread_attr_init(&attr), 0);
    cr_assert_eq(pthread_attr_setstacksize(&attr, STACK), 0);
    cr_assert_eq(pthread_create(&thread, &attr, run_deep, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

/* 10^5 entries, and a key of a mebibyte. */
Test(msgpack, A12_metadata_is_bounded) {
    for (int large = 0; large <= 1; large++) {
        test_peer p;
        size_t size = 4u << 20, len = 0;
        uint8_t *call = malloc(size);
        open_msgpack(&p);
        choir_bytes head =
            spell(REQUEST "01 a4'body' 81 a4'Call' 83 a9'method_id' cf@ a4'args' c4029101 a8'metadata' ",
                  TRIAL_LATER);
        memcpy(call, head.data, head.len);
        len = head.len;
        uint32_t count = large ? 1 : 100000;
        uint8_t array[5] = {0xdd, 0, (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count};
        memcpy(call + len, array, 5);
        len += 5;
        for (uint32_t i = 0; i < count; i++) {
            choir_bytes entry = spell(large ? "82 a5'value' 81 a3'U64' 01 a3'key' db00100000"
                                            : "82 a3'key' a1'k' a5'value' 81 a3'U64' 01",
                                      0);
            memcpy(call + len, entry.data, entry.len);
            len += entry.len;
        }
        if (large) memset(call + len, 'k', 1u << 20), len += 1u << 20;
        uint64_t before = p.alloc.bytes;
        cr_assert_eq(test_peer_frame(&p, call, len), CHOIR_OK);
        choir_bytes frame;
        cr_assert(test_peer_next_frame(&p, &frame));
        cr_assert(test_find(frame.data, frame.len,
                            large ? "metadata bytes: 10" : "metadata entries: 100000, the limit is 64"));
        test_peer_skip(&p);
        expect_undisturbed(&p);
        cr_assert_leq(p.alloc.bytes, before + 20 * KIB);
        free(call);
        close_peer(&p);
    }
}

/* 64 entries are taken, 65 are not, and an answer with too many ends the session. */
Test(msgpack, metadata_at_its_limit) {
    for (uint32_t count = 64; count <= 65; count++) {
        test_peer p;
        char text[8192] =
            REQUEST "01 a4'body' 81 a4'Call' 83 a9'method_id' cf@ a4'args' c4029101 a8'metadata' dc";
        snprintf(text + strlen(text), 8, "%04x", count);
        for (uint32_t i = 0; i < count; i++) strcat(text, "82a3'key'a1'k'a5'value'81a3'U64'01");
        open_msgpack(&p);
        cr_assert_eq(say_of(&p, TRIAL_LATER, text), CHOIR_OK);
        if (count == 64) {
            expect_said(&p, REQUEST "01 " ANSWER "05 81a2'Ok' 40");
        } else {
            choir_bytes frame;
            cr_assert(test_peer_next_frame(&p, &frame) &&
                      test_find(frame.data, frame.len, "metadata entries: 65, the limit is 64"));
        }
        close_peer(&p);
    }
}

/* A38: schemas are optional, but what comes is checked and bounded. */
Test(msgpack, A38_schemas_of_the_peer) {
    test_peer p;
    open_msgpack(&p);
    cr_assert_eq(
        say_of(&p, TRIAL_ECHO,
               REQUEST
               "01 a4'body' 81 a4'Call' 83 a9'method_id' cf@ a4'args' c40491a2'hi' a7'schemas' c4 01 c1"),
        CHOIR_ERR_PROTOCOL);
    expect_text(&p, CHOIR_ERR_PROTOCOL, "schemas: not one msgpack value");
    close_peer(&p);

    static const char *const bad[] = {"c4 05 ddffffffff", "c4 01 80", "c4 06 81 a4'root' ", "c4 02 91c0"};
    for (size_t i = 0; i < 4; i++) {
        char text[512];
        open_msgpack(&p);
        snprintf(text, sizeof text,
                 CONN0 "ad'SchemaMessage' 83 a9'method_id' 01 a9'direction' a4'Args' a7'schemas' %s", bad[i]);
        p.alloc.peak = p.alloc.bytes;
        uint64_t before = p.alloc.bytes;
        cr_assert_eq(say(&p, text), CHOIR_ERR_PROTOCOL, "%s", bad[i]);
        cr_assert_leq(p.alloc.peak, before + 8 * KIB);
        close_peer(&p);
    }
}

/* ---- A9: a recorded session, cut everywhere and with every bit flipped ---- */

typedef struct recording {
    uint8_t *bytes;
    size_t len;
} recording;

/* What a client of ours says in a small session. */
static recording record(void) {
    test_pair p;
    choir_str hello = CHOIR_STR("hello");
    trial_divide_args by_zero = {7, 0};
    test_pair_init(&p);
    p.client_options.codec = CHOIR_CODEC_MSGPACK;
    p.client_root.call = &trial_service;
    p.server_root.serve = &trial_served;
    cr_assert(test_pair_open(&p));
    test_side_call(&p.client, TRIAL_ECHO, &hello, NULL, NULL);
    test_side_call(&p.client, TRIAL_DIVIDE, &by_zero, NULL, NULL);
    choir_session_ping(p.client.session, p.now);
    test_pair_pump(&p);
    recording r = {malloc(p.client.sent_len), p.client.sent_len};
    memcpy(r.bytes, p.client.sent, r.len);
    test_pair_cut(&p);
    cr_assert_eq(test_pair_deinit(&p), 0);
    return r;
}

enum { ENDED, WAITS, REFUSED, SAME, OTHER, CLASSES };

/* How a session took these bytes; what it wrote for the undamaged ones is `usual`. */
static int classify(const uint8_t *bytes, size_t len, const recording *usual, recording *ret_said) {
    test_peer p;
    start(&p);
    test_peer_raw(&p, bytes, len);
    int class = OTHER;
    uint8_t *said = malloc(p.received_len + 1);
    size_t said_len = p.received_len;
    if (said_len > 0) memcpy(said, p.received, said_len);
    if (choir_attachment_status(p.attachment) != CHOIR_OK) {
        class = ENDED;
        cr_assert_gt(choir_attachment_text(p.attachment).len, 0);
    } else if (!p.session || !choir_session_is_established(p.session)) {
        class = WAITS;
    } else if (test_find(said, said_len,
                         "\x81\xa3"
                         "Err")) {
        class = REFUSED;
    } else if (usual && said_len == usual->len && memcmp(said, usual->bytes, said_len) == 0) {
        class = SAME;
    }
    close_peer(&p);
    if (ret_said)
        *ret_said = (recording){said, said_len};
    else
        free(said);
    return class;
}

Test(msgpack, A9_every_prefix_and_every_bit_flip, .timeout = 170) {
    recording r = record(), usual;
    size_t classes[CLASSES] = {0};
    cr_assert_eq(classify(r.bytes, r.len, NULL, &usual), OTHER);
    for (size_t len = 0; len < r.len; len++) {
        uint8_t *cut = malloc(len + 1);
        memcpy(cut, r.bytes, len);
        int class = classify(cut, len, &usual, NULL);
        cr_assert(class == WAITS || class == OTHER || class == REFUSED, "prefix of %zu bytes: %d", len,
                  class);
        free(cut);
    }
    for (size_t bit = 0; bit < 8 * r.len; bit++) {
        r.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        classes[classify(r.bytes, r.len, &usual, NULL)]++;
        r.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    printf(
        "%zu flips: %zu end the session, %zu leave it waiting, %zu refuse a call, %zu change nothing, %zu change a "
        "value\n",
        8 * r.len, classes[ENDED], classes[WAITS], classes[REFUSED], classes[SAME], classes[OTHER]);
    cr_assert_gt(classes[ENDED], classes[OTHER]);
    cr_assert_gt(classes[REFUSED], 0);
    free(r.bytes);
    free(usual.bytes);
}

/* ---- steady state ---- */

static void echo(test_side *side, const choir_event *e) {
    if (e->kind == CHOIR_EVENT_REQUEST)
        cr_assert_eq(choir_reply(side->session, e->request, e->value, NULL, side->pair->now), CHOIR_OK);
}

/* A call after the first few takes no memory from the allocator, on either side. */
Test(msgpack, a_call_in_steady_state_allocates_nothing) {
    test_pair p;
    choir_str hello = CHOIR_STR("hello");
    test_pair_init(&p);
    p.client_options.codec = CHOIR_CODEC_MSGPACK;
    p.client_root.call = p.server_root.serve = &trial_service;
    p.server.on_event = echo;
    cr_assert(test_pair_open(&p));
    uint64_t calls = 0;
    for (int i = 0; i < 40; i++) {
        if (i == 20) calls = p.alloc.calls;
        cr_assert_eq(test_side_call(&p.client, TRIAL_ECHO, &hello, NULL, NULL), CHOIR_OK);
        test_pair_pump(&p);
    }
    cr_assert_eq(p.client.events.done, 40);
    cr_assert_eq(p.client.events.failed, 0);
    if (CHOIRI_POOLS) cr_assert_eq(p.alloc.calls, calls);
    test_pair_cut(&p);
    cr_assert_eq(test_pair_deinit(&p), 0);
}
