/* SPDX-License-Identifier: MIT */
/* The prologue: each row of docs/protocol/prologue.md for both roles, and what strangers are called. */
#include "link/prologue.h"

#include "choir/session.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define BARE_AND_STABLE 3u
#define ALL_MODES       (3u | 1u << CHOIRI_MODE_MSGPACK | 1u << CHOIRI_MODE_MSGPACK_STABLE)

typedef struct span {
    uint8_t data[64];
    size_t len;
} span;

static span from_hex(const char *hex) {
    span s = {{0}, 0};
    for (; *hex; hex += 2) {
        unsigned v;
        cr_assert_eq(sscanf(hex, "%2x", &v), 1);
        s.data[s.len++] = (uint8_t)v;
    }
    return s;
}

static bool contains(const choiri_text *t, const char *part) {
    return strstr(t->data, part) != NULL;
}

Test(prologue, hello) {
    uint8_t out[CHOIRI_PROLOGUE_LEN];
    static const struct {
        uint8_t mode;
        const char *hex;
    } rows[] = {
        {0, "564f544809000000"}, {1, "564f544809010000"}, {16, "564f544809100000"}, {17, "564f544809110000"}};
    for (size_t i = 0; i < 4; i++) {
        choiri_prologue_hello(rows[i].mode, out);
        cr_assert_eq(memcmp(out, from_hex(rows[i].hex).data, 8), 0, "%s", rows[i].hex);
    }
}

/* What the acceptor sees, does, sends and says. A5 of the reliability matrix. */
Test(prologue, acceptor) {
    static const struct {
        const char *hex;
        uint32_t supported;
        choiri_prologue_verdict verdict;
        const char *out;
        const char *text;
    } rows[] = {
        {"564f544809000000", BARE_AND_STABLE, CHOIRI_PROLOGUE_ACCEPT, "564f544109000000", NULL},
        {"564f544809010000", BARE_AND_STABLE, CHOIRI_PROLOGUE_ACCEPT, "564f544109010000", NULL},
        {"564f54480900ffff", BARE_AND_STABLE, CHOIRI_PROLOGUE_ACCEPT, "564f544109000000", NULL},
        {"564f544809100000", ALL_MODES, CHOIRI_PROLOGUE_ACCEPT, "564f544109100000", NULL},
        {"564f544809110000", ALL_MODES, CHOIRI_PROLOGUE_ACCEPT, "564f544109110000", NULL},
        {"564f544809000000", 2, CHOIRI_PROLOGUE_REJECT, "564f545209010000", "mode bare is not"},
        {"564f544809010000", 1, CHOIRI_PROLOGUE_REJECT, "564f545209010000", "mode stable is not"},
        {"564f544809100000", BARE_AND_STABLE, CHOIRI_PROLOGUE_REJECT, "564f545209010000",
         "mode msgpack is not"},
        {"564f544809110000", BARE_AND_STABLE, CHOIRI_PROLOGUE_REJECT, "564f545209010000",
         "mode stable msgpack is not"},
        {"564f544809020000", BARE_AND_STABLE, CHOIRI_PROLOGUE_REJECT, "564f545209010000", "mode 2 is not"},
        {"564f544809ff0000", UINT32_MAX, CHOIRI_PROLOGUE_REJECT, "564f545209010000", "mode 255 is not"},
        {"564f544809200000", UINT32_MAX, CHOIRI_PROLOGUE_REJECT, "564f545209010000", "mode 32 is not"},
        {"564f544808000000", BARE_AND_STABLE, CHOIRI_PROLOGUE_REJECT, "564f545209010000",
         "prologue version 8 instead of 9"},
        {"564f5448ff000000", BARE_AND_STABLE, CHOIRI_PROLOGUE_REJECT, "564f545209010000", "version 255"},
        {"", BARE_AND_STABLE, CHOIRI_PROLOGUE_CLOSE, NULL, "got nothing (0 bytes instead of 8)"},
        {"56", BARE_AND_STABLE, CHOIRI_PROLOGUE_CLOSE, NULL, "\"V\" (1 byte instead of 8)"},
        {"564f5448090000", BARE_AND_STABLE, CHOIRI_PROLOGUE_CLOSE, NULL,
         "TransportHello (7 bytes instead of 8)"},
        {"564f54480900000000", BARE_AND_STABLE, CHOIRI_PROLOGUE_CLOSE, NULL,
         "TransportHello (9 bytes instead of 8)"},
        {"564f544109000000", BARE_AND_STABLE, CHOIRI_PROLOGUE_CLOSE, NULL, "a vox TransportAccept"},
        {"564f545209010000", BARE_AND_STABLE, CHOIRI_PROLOGUE_CLOSE, NULL, "a vox TransportReject"},
        {"766f746809000000", BARE_AND_STABLE, CHOIRI_PROLOGUE_CLOSE, NULL, "the bytes \"voth"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        span in = from_hex(rows[i].hex);
        uint8_t out[CHOIRI_PROLOGUE_LEN], untouched[CHOIRI_PROLOGUE_LEN], mode = 77;
        memset(out, 0xee, sizeof out);
        memset(untouched, 0xee, sizeof untouched);
        choiri_text text;
        choiri_text_init(&text);
        choiri_prologue_verdict verdict =
            choiri_prologue_judge_hello((choir_bytes){in.data, in.len}, rows[i].supported, out, &mode, &text);
        cr_assert_eq(verdict, rows[i].verdict, "%s", rows[i].hex);
        span want = rows[i].out ? from_hex(rows[i].out) : (span){.len = 0};
        cr_assert_eq(memcmp(out, want.len > 0 ? want.data : untouched, sizeof out), 0, "%s", rows[i].hex);
        cr_assert_eq(mode, verdict == CHOIRI_PROLOGUE_ACCEPT ? in.data[5] : 77);
        if (rows[i].text)
            cr_assert(contains(&text, rows[i].text), "%s: %s", rows[i].hex, text.data);
        else
            cr_assert_eq(text.len, 0);
    }
}

Test(prologue, initiator) {
    static const struct {
        const char *hex;
        uint8_t mode;
        int status;
        const char *text;
    } rows[] = {
        {"564f544109000000", 0, CHOIR_OK, NULL},
        {"564f544109010000", 1, CHOIR_OK, NULL},
        {"564f54410900ffff", 0, CHOIR_OK, NULL},
        {"564f544109110000", 17, CHOIR_OK, NULL},
        {"564f544109010000", 0, CHOIR_ERR_PROLOGUE, "selected conduit mode stable when asked for bare"},
        {"564f544109000000", 17, CHOIR_ERR_PROLOGUE,
         "selected conduit mode bare when asked for stable msgpack"},
        {"564f544108000000", 0, CHOIR_ERR_PROLOGUE, "version 8 instead of 9"},
        {"564f545209010000", 1, CHOIR_ERR_REJECTED, "refused conduit mode stable: unsupported"},
        {"564f545209010000", 16, CHOIR_ERR_REJECTED, "refused conduit mode msgpack: unsupported"},
        {"564f545209020000", 0, CHOIR_ERR_REJECTED, "reason 2"},
        {"564f545209000000", 0, CHOIR_ERR_REJECTED, "reason 0"},
        {"564f545208010000", 0, CHOIR_ERR_PROLOGUE, "version 8 instead of 9"},
        {"564f544809000000", 0, CHOIR_ERR_PROLOGUE, "a vox TransportHello"},
        {"564f54410900000000", 0, CHOIR_ERR_PROLOGUE, "9 bytes instead of 8"},
        {"", 0, CHOIR_ERR_PROLOGUE, "got nothing"},
        {"485454502f312e3120343030", 0, CHOIR_ERR_PROLOGUE, "an HTTP response (12 bytes instead of 8)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        span in = from_hex(rows[i].hex);
        choiri_text text;
        choiri_text_init(&text);
        cr_assert_eq(choiri_prologue_judge_answer((choir_bytes){in.data, in.len}, rows[i].mode, &text),
                     rows[i].status, "%s", rows[i].hex);
        if (rows[i].text)
            cr_assert(contains(&text, rows[i].text), "%s: %s", rows[i].hex, text.data);
        else
            cr_assert_eq(text.len, 0);
    }
}

#define SEEN(literal) (literal), sizeof(literal) - 1

Test(prologue, strangers_are_named) {
    static const struct {
        const char *seen;
        size_t len;
        const char *name;
    } rows[] = {
        {SEEN("GET / HTTP/1.1\r\nHost: x\r\n"), "an HTTP request (GET)"},
        {SEEN("GET "), "an HTTP request (GET)"},
        {SEEN("POST /rpc HTTP/1.1\r\n"), "an HTTP request (POST)"},
        {SEEN("POST"), "an HTTP request (POST)"},
        {SEEN("PUT /x"), "an HTTP request (PUT)"},
        {SEEN("DELE"), "an HTTP request (DELETE)"},
        {SEEN("OPTIONS *"), "an HTTP request (OPTIONS)"},
        {SEEN("CONN"), "an HTTP request (CONNECT)"},
        {SEEN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "an HTTP/2 preface"},
        {SEEN("PRI "), "an HTTP/2 preface"},
        {SEEN("HTTP/1.1 400 Bad Request"), "an HTTP response"},
        {SEEN("HTTP"), "an HTTP response"},
        {SEEN("\x16\x03\x01\x02\x00\x01\x00"), "a TLS ClientHello"},
        {SEEN("\x16\x03\x03\x00"), "a TLS ClientHello"},
        {SEEN("\x16\x03\x03\x00\x7a\x02"), "a TLS record"}, /* a ServerHello */
        {SEEN("\x15\x03\x03\x00\x02\x02\x28"), "a TLS record"},
        {SEEN("SSH-2.0-OpenSSH_9.2\r\n"), "an SSH banner"},
        {SEEN("SSH-"), "an SSH banner"},
        {SEEN("PROXY TCP4 1.2.3.4"), "a PROXY protocol header"},
        {SEEN("\r\n\r\n\0\r\nQUIT\n\x21"), "a PROXY protocol header"},
        {SEEN("EHLO there"), "an SMTP greeting"},
        {SEEN("VOTH"), "a vox TransportHello"},
        {SEEN("GETX"), "the bytes \"GETX\""},
        {SEEN("\x16\x04\x01\x02"), "the bytes \"\\x16\\x04\\x01\\x02\""},
        {SEEN("\xff\xff\xff\xff"), "the bytes \"\\xff\\xff\\xff\\xff\""},
        {SEEN("GE"), "the bytes \"GE\""},
        {SEEN(""), "nothing"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        choiri_text text;
        choiri_prologue_describe((choir_bytes){(const uint8_t *)rows[i].seen, rows[i].len}, &text);
        cr_assert_str_eq(text.data, rows[i].name);
    }
    uint8_t long_one[300];
    memset(long_one, 'z', sizeof long_one);
    choiri_text text;
    choiri_prologue_describe((choir_bytes){long_one, sizeof long_one}, &text);
    cr_assert_lt(text.len, 60, "only the first bytes are quoted");
    choiri_prologue_describe((choir_bytes){NULL, 0}, &text);
    cr_assert_str_eq(text.data, "nothing");
}

/* Codecs ask for their bare mode, and every mode that there is leads back to its codec. */
Test(prologue, modes_and_codecs) {
    cr_assert_eq(choiri_prologue_mode_of(CHOIR_CODEC_POSTCARD), CHOIRI_MODE_BARE);
    cr_assert_eq(choiri_prologue_mode_of(CHOIR_CODEC_MSGPACK), CHOIRI_MODE_MSGPACK);
    cr_assert_eq(choiri_prologue_codec_of(CHOIRI_MODE_BARE), CHOIR_CODEC_POSTCARD);
    cr_assert_eq(choiri_prologue_codec_of(CHOIRI_MODE_STABLE), CHOIR_CODEC_POSTCARD);
    cr_assert_eq(choiri_prologue_codec_of(CHOIRI_MODE_MSGPACK), CHOIR_CODEC_MSGPACK);
    cr_assert_eq(choiri_prologue_codec_of(CHOIRI_MODE_MSGPACK_STABLE), CHOIR_CODEC_MSGPACK);
}
