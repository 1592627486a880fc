/* SPDX-License-Identifier: MIT */
/* The transport prologue. rule: prologue.* (docs/protocol/prologue.md)
 *
 * Whoever connects to the wrong port wants to know what answered, and whoever is connected to by mistake
 * wants to know by what: so everything that is not a prologue is named as well as its first bytes allow. */
#include "link/prologue.h"

#include "base/assert.h"
#include "choir/session.h"

#include <string.h>

#define MAGIC_LEN 4u
#define HELLO     "VOTH"
#define ACCEPT    "VOTA"
#define REJECT    "VOTR"
/* Bytes of a peer quoted in a text. */
#define QUOTE_MAX 32u

static void put(uint8_t *out, const char *magic, uint8_t last) {
    memcpy(out, magic, MAGIC_LEN);
    out[4] = CHOIRI_PROLOGUE_VERSION;
    out[5] = last;
    out[6] = out[7] = 0;
}

static bool starts_with(choir_bytes b, const char *text, size_t len) {
    return b.len >= len && memcmp(b.data, text, len) == 0;
}

static bool has_magic(choir_bytes payload, const char *magic) {
    return payload.len == CHOIRI_PROLOGUE_LEN && starts_with(payload, magic, MAGIC_LEN);
}

void choiri_prologue_hello(uint8_t mode, uint8_t ret_out[CHOIRI_PROLOGUE_LEN]) {
    put(ret_out, HELLO, mode);
}

/* What each mode is; the bare one of a codec comes first. */
static const struct mode {
    uint8_t mode;
    uint32_t codec;
    const char *name;
} modes[] = {
    {CHOIRI_MODE_BARE, CHOIR_CODEC_POSTCARD, "bare"},
    {CHOIRI_MODE_STABLE, CHOIR_CODEC_POSTCARD, "stable"},
    {CHOIRI_MODE_MSGPACK, CHOIR_CODEC_MSGPACK, "msgpack"},
    {CHOIRI_MODE_MSGPACK_STABLE, CHOIR_CODEC_MSGPACK, "stable msgpack"},
};
#define MODES (sizeof modes / sizeof modes[0])

uint8_t choiri_prologue_mode_of(uint32_t codec) {
    size_t i = 0;
    while (i < MODES && modes[i].codec != codec) i++;
    CHOIRI_ASSERT(i < MODES);
    return modes[i].mode;
}

static const struct mode *find_mode(uint8_t mode) {
    for (size_t i = 0; i < MODES; i++)
        if (modes[i].mode == mode) return &modes[i];
    return NULL;
}

uint32_t choiri_prologue_codec_of(uint8_t mode) {
    const struct mode *m = find_mode(mode);
    CHOIRI_ASSERT(m);
    return m->codec;
}

static void add_mode(choiri_text *t, uint8_t mode) {
    const struct mode *m = find_mode(mode);
    if (m)
        choiri_text_add(t, m->name);
    else
        choiri_text_u64(t, mode);
}

static void add_version(choiri_text *t, uint8_t version) {
    choiri_text_add(t, "prologue version ");
    choiri_text_u64(t, version);
    choiri_text_add(t, " instead of ");
    choiri_text_u64(t, CHOIRI_PROLOGUE_VERSION);
}

/* What peers of other protocols begin with; `len` bytes of `start` are compared, or as many as were seen. */
typedef struct foreign {
    const char *start;
    size_t len;
    const char *name;
} foreign;

static const foreign foreigners[] = {
    {"GET ", 4, "an HTTP request (GET)"},
    {"POST ", 5, "an HTTP request (POST)"},
    {"HEAD ", 5, "an HTTP request (HEAD)"},
    {"PUT ", 4, "an HTTP request (PUT)"},
    {"DELETE ", 7, "an HTTP request (DELETE)"},
    {"OPTIONS ", 8, "an HTTP request (OPTIONS)"},
    {"PATCH ", 6, "an HTTP request (PATCH)"},
    {"TRACE ", 6, "an HTTP request (TRACE)"},
    {"CONNECT ", 8, "an HTTP request (CONNECT)"},
    {"PRI * HTTP/2", 12, "an HTTP/2 preface"},
    {"HTTP/", 5, "an HTTP response"},
    {"SSH-", 4, "an SSH banner"},
    {"PROXY ", 6, "a PROXY protocol header"},
    {"\r\n\r\n\0\r\nQUIT\n", 12, "a PROXY protocol header"},
    {"EHLO ", 5, "an SMTP greeting"},
    {"HELO ", 5, "an SMTP greeting"},
    {HELLO, 4, "a vox TransportHello"},
    {ACCEPT, 4, "a vox TransportAccept"},
    {REJECT, 4, "a vox TransportReject"},
};

/* TLS records start with a content type (20 to 23), major version 3 and a minor one; the first of a client
 * is a handshake record (22) whose message type, the sixth byte, is 1. */
static const char *name_tls(choir_bytes seen) {
    const uint8_t *p = seen.data;
    if (p[0] < 20 || p[0] > 23 || p[1] != 3 || p[2] > 4) return NULL;
    return p[0] == 22 && (seen.len < 6 || p[5] == 1) ? "a TLS ClientHello" : "a TLS record";
}

static const char *name_foreign(choir_bytes seen) {
    if (seen.len < MAGIC_LEN) return NULL;
    for (size_t i = 0; i < sizeof foreigners / sizeof *foreigners; i++) {
        const foreign *f = &foreigners[i];
        if (starts_with(seen, f->start, f->len < seen.len ? f->len : seen.len)) return f->name;
    }
    return name_tls(seen);
}

void choiri_prologue_describe(choir_bytes seen, choiri_text *ret_text) {
    choiri_text_init(ret_text);
    const char *name = name_foreign(seen);
    if (name) {
        choiri_text_add(ret_text, name);
    } else if (seen.len == 0) {
        choiri_text_add(ret_text, "nothing");
    } else {
        choiri_text_add(ret_text, "the bytes ");
        choiri_text_quoted(ret_text, seen, QUOTE_MAX);
    }
}

/* A payload that is no prologue at all, or not the one expected. */
static void describe_payload(choir_bytes payload, choiri_text *t) {
    choiri_text seen;
    choiri_prologue_describe(payload, &seen);
    choiri_text_init(t);
    choiri_text_add(t, "expected a vox prologue, got ");
    choiri_text_str(t, choiri_text_get(&seen));
    if (payload.len == CHOIRI_PROLOGUE_LEN) return;
    choiri_text_add(t, " (");
    choiri_text_u64(t, payload.len);
    choiri_text_add(t, payload.len == 1 ? " byte instead of " : " bytes instead of ");
    choiri_text_u64(t, CHOIRI_PROLOGUE_LEN);
    choiri_text_add(t, ")");
}

choiri_prologue_verdict choiri_prologue_judge_hello(choir_bytes payload, uint32_t supported,
                                                    uint8_t ret_out[CHOIRI_PROLOGUE_LEN], uint8_t *ret_mode,
                                                    choiri_text *ret_text) {
    if (!has_magic(payload, HELLO)) {
        describe_payload(payload, ret_text);
        return CHOIRI_PROLOGUE_CLOSE;
    }
    uint8_t version = payload.data[4], mode = payload.data[5];
    if (version == CHOIRI_PROLOGUE_VERSION && mode < 32 && (supported >> mode & 1u)) {
        put(ret_out, ACCEPT, mode);
        *ret_mode = mode;
        return CHOIRI_PROLOGUE_ACCEPT;
    }
    put(ret_out, REJECT, CHOIRI_REJECT_MODE);
    choiri_text_init(ret_text);
    if (version != CHOIRI_PROLOGUE_VERSION) {
        add_version(ret_text, version);
    } else {
        choiri_text_add(ret_text, "conduit mode ");
        add_mode(ret_text, mode);
        choiri_text_add(ret_text, " is not supported");
    }
    return CHOIRI_PROLOGUE_REJECT;
}

static int judge_accept(uint8_t selected, uint8_t mode, choiri_text *t) {
    if (selected == mode) return CHOIR_OK;
    choiri_text_init(t);
    choiri_text_add(t, "the peer selected conduit mode ");
    add_mode(t, selected);
    choiri_text_add(t, " when asked for ");
    add_mode(t, mode);
    return CHOIR_ERR_PROLOGUE;
}

static int judge_reject(uint8_t reason, uint8_t mode, choiri_text *t) {
    choiri_text_init(t);
    choiri_text_add(t, "the peer refused conduit mode ");
    add_mode(t, mode);
    choiri_text_add(t, ": ");
    if (reason == CHOIRI_REJECT_MODE) {
        choiri_text_add(t, "unsupported");
    } else {
        choiri_text_add(t, "reason ");
        choiri_text_u64(t, reason);
    }
    return CHOIR_ERR_REJECTED;
}

int choiri_prologue_judge_answer(choir_bytes payload, uint8_t mode, choiri_text *ret_text) {
    bool accepts = has_magic(payload, ACCEPT), rejects = has_magic(payload, REJECT);
    if (!accepts && !rejects) {
        describe_payload(payload, ret_text);
        return CHOIR_ERR_PROLOGUE;
    }
    if (payload.data[4] != CHOIRI_PROLOGUE_VERSION) {
        choiri_text_init(ret_text);
        add_version(ret_text, payload.data[4]);
        return CHOIR_ERR_PROLOGUE;
    }
    return accepts ? judge_accept(payload.data[5], mode, ret_text)
                   : judge_reject(payload.data[5], mode, ret_text);
}
