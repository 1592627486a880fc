/* SPDX-License-Identifier: MIT */
/* How a link begins: prologue, then Hello, HelloYourself and LetsGo, or Sorry. rule: handshake.order
 *
 * An acceptor stops at the peer's Hello: the host decides. Until then the bytes are kept as they came, so
 * that the link can be handed to another thread and begin there once more. */
#include "base/assert.h"
#include "link/prologue.h"
#include "session/attachment.h"
#include "session/session.h"

/* ---- writing ---- */

/* These payloads pass the scheduler by: nothing else is written before a link is open. */
static int send_payload(choir_attachment *a, choiri_cbor_fn *write, const void *ctx, choir_time now) {
    choiri_writer w;
    choiri_outq_mark mark = choiri_outq_get_mark(&a->out);
    choiri_writer_init(&w, &a->out, NULL);
    choiri_hole frame = choiri_write_hole(&w);
    write(&w, ctx);
    choiri_fill_hole(&w, frame);
    int status = choiri_writer_finish(&w);
    if (status != CHOIR_OK) {
        choiri_outq_rollback(&a->out, mark);
        return status;
    }
    choiri_attachment_wrote(a, now);
    return CHOIR_OK;
}

/* The writers of handshake payloads make CBOR; the codec may spell it in another way. */
typedef struct spelling {
    const choiri_codec *codec;
    choiri_cbor_fn *write;
    const void *ctx;
} spelling;

static void write_in_codec(choiri_writer *w, const void *ctx) {
    const spelling *s = ctx;
    s->codec->write_cbor(w, s->write, s->ctx);
}

static int send_handshake(choir_attachment *a, choiri_cbor_fn *write, const void *ctx, choir_time now) {
    return send_payload(a, write_in_codec, &(spelling){a->codec, write, ctx}, now);
}

static void write_prologue(choiri_writer *w, const void *ctx) {
    choiri_write_raw(w, ctx, CHOIRI_PROLOGUE_LEN);
}
static void write_lets_go(choiri_writer *w, const void *ctx) {
    (void)ctx;
    choiri_handshake_write_lets_go(w);
}
static void write_sorry(choiri_writer *w, const void *ctx) {
    choiri_handshake_write_sorry(w, *(const choir_str *)ctx);
}
/* What a session says on a link. */
typedef struct hello {
    const choir_attachment *a;
    const choir_session *s;
} hello;

static void write_hello(choiri_writer *w, const void *ctx) {
    const hello *h = ctx;
    const choir_session *s = h->s;
    const choiri_prepared *called = s->conns.root.profile->call;
    const choiri_greeting g = {
        .settings = {s->parity, s->conns.root.profile->limits.max_concurrent_requests},
        .max_payload = h->a->max_payload,
        .metadata = s->metadata,
        .service = called ? choir_service_name(called->desc) : CHOIR_STR("Noop"),
    };
    choiri_handshake_write_hello(w, !s->initiator, s->codec, &g);
}

int choiri_greeting_start(choir_attachment *a, choir_time now) {
    uint8_t prologue[CHOIRI_PROLOGUE_LEN];
    choiri_prologue_hello(choiri_prologue_mode_of(a->codec->id), prologue);
    int status = send_payload(a, write_prologue, prologue, now);
    return status == CHOIR_OK ? send_handshake(a, write_hello, &(hello){a, a->session}, now) : status;
}

int choiri_greeting_sorry(choir_attachment *a, choir_str reason, choir_time now) {
    return send_handshake(a, write_sorry, &reason, now);
}

/* ---- what an acceptor has read ---- */

bool choiri_greeting_remember(choir_attachment *a, choir_bytes input) {
    if (a->initiator || a->stage > CHOIRI_STAGE_HELLO || input.len == 0) return true;
    if (input.len > a->seen.cap - a->seen.len) {
        uint32_t cap = a->seen.len + (uint32_t)input.len; /* at most a payload for each of two stages */
        if (cap < 2 * a->seen.cap)
            cap = 2 * a->seen.cap; /* a peer that dribbles costs no more than one that does not */
        uint8_t *bytes = choiri_realloc(a->env, a->seen.bytes, a->seen.cap, cap);
        if (!bytes) return false;
        a->seen.bytes = bytes;
        a->seen.cap = cap;
    }
    memcpy(a->seen.bytes + a->seen.len, input.data, input.len);
    a->seen.len += (uint32_t)input.len;
    return true;
}

void choiri_greeting_forget(choir_attachment *a) {
    if (a->seen.bytes) choiri_free(a->env, a->seen.bytes, a->seen.cap);
    a->seen.bytes = NULL;
    a->seen.len = a->seen.cap = 0;
}

/* ---- prologue ---- */

static void expect_hello(choir_attachment *a) {
    choiri_attachment_set_stage(a, CHOIRI_STAGE_HELLO);
    a->framer.limit = a->max_handshake;
}

static int fail(choir_attachment *a, int status, const choiri_text *text, choir_time now) {
    choiri_attachment_fail(a, status, text, now);
    return status;
}

static int on_prologue(choir_attachment *a, choir_bytes payload, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    if (a->initiator) {
        int status = choiri_prologue_judge_answer(payload, choiri_prologue_mode_of(a->codec->id), &text);
        if (status != CHOIR_OK) return fail(a, status, &text, now);
        expect_hello(a);
        return CHOIR_OK;
    }
    uint8_t answer[CHOIRI_PROLOGUE_LEN], mode;
    choiri_prologue_verdict verdict = choiri_prologue_judge_hello(payload, a->modes, answer, &mode, &text);
    if (verdict == CHOIRI_PROLOGUE_CLOSE) return fail(a, CHOIR_ERR_PROLOGUE, &text, now);
    if (!a->resumed_input && send_payload(a, write_prologue, answer, now) != CHOIR_OK)
        return choiri_attachment_fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for the prologue", now);
    if (verdict == CHOIRI_PROLOGUE_REJECT) return fail(a, CHOIR_ERR_PROLOGUE, &text, now);
    a->codec = choiri_codec_of(choiri_prologue_codec_of(mode));
    expect_hello(a);
    return CHOIR_OK;
}

/* ---- handshake ---- */

/* rule: ours.max-payload. A number in which not even the smallest messages would fit is no number. */
static void open_link(choir_attachment *a, choir_time now) {
    uint64_t theirs = a->hello->max_payload;
    a->max_sent = theirs >= CHOIRI_PAYLOAD_MIN && theirs < a->max_payload ? (uint32_t)theirs : a->max_payload;
    choiri_attachment_set_stage(a, CHOIRI_STAGE_OPEN);
    a->handshake_deadline = CHOIR_TIME_NEVER;
    a->framer.limit = a->max_payload;
    choiri_keepalive_start(a, now);
}

static const char *kind_name(choiri_handshake_kind kind) {
    switch (kind) {
    case CHOIRI_HELLO: return "Hello";
    case CHOIRI_HELLO_YOURSELF: return "HelloYourself";
    case CHOIRI_LETS_GO: return "LetsGo";
    case CHOIRI_SORRY: return "Sorry";
    }
    return "?";
}

static int unexpected(choir_attachment *a, choiri_handshake *h, const char *wanted, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(choiri_text_add(choiri_text_add(&text, kind_name(h->kind)), " instead of "), wanted);
    choiri_handshake_free(a->env, h);
    return fail(a, CHOIR_ERR_HANDSHAKE, &text, now);
}

static int on_sorry(choir_attachment *a, choiri_handshake *h, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, "the peer said Sorry: ");
    choiri_text_quoted(&text, (choir_bytes){(const uint8_t *)h->reason.data, h->reason.len}, 160);
    choiri_handshake_free(a->env, h);
    return fail(a, CHOIR_ERR_REFUSED, &text, now);
}

/* What the peer's Hello says about the session. rule: handshake.settings */
static choiri_peer peer_of(const choiri_handshake *h) {
    return (choiri_peer){
        .requests = h->settings.max_concurrent_requests, .retry = h->retry, .announces = h->announces};
}

/* Initiator: HelloYourself is answered with LetsGo and the session is established. rule:
 * handshake.initiator */
static int on_hello_yourself(choir_attachment *a, choiri_handshake *h, choir_time now) {
    if (h->settings.parity == a->session->parity) {
        choiri_handshake_free(a->env, h);
        return choiri_attachment_fail_with(a, CHOIR_ERR_HANDSHAKE,
                                           "the peer answered with our own parity, ids would collide", now);
    }
    if (send_handshake(a, write_lets_go, NULL, now) != CHOIR_OK) {
        choiri_handshake_free(a->env, h);
        return choiri_attachment_fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for LetsGo", now);
    }
    a->hello = h;
    choiri_peer peer = peer_of(h);
    open_link(a, now);
    choiri_session_established(a->session, &peer, now);
    return a->status;
}

/* What is decoded is kept apart from the payload, so the translated one is needed no longer. */
static int decode(choir_attachment *a, choir_bytes payload, choiri_handshake **ret, choiri_text *ret_text) {
    choir_bytes cbor;
    int status = a->codec->to_cbor(a->env, payload, SIZE_MAX, &cbor);
    if (status == CHOIR_ERR_NO_MEMORY) return status;
    if (status != CHOIR_OK) {
        choiri_text_init(ret_text);
        choiri_text_add(choiri_text_add(ret_text, "a handshake message must be "), a->codec->name);
        choiri_text_quoted(choiri_text_add(ret_text, ", not "), payload, 16);
        return CHOIR_ERR_HANDSHAKE;
    }
    status = choiri_handshake_decode(a->env, cbor, a->stage == CHOIRI_STAGE_HELLO, a->codec, ret, ret_text);
    choiri_codec_free_cbor(a->env, payload, cbor);
    return status;
}

static int on_handshake(choir_attachment *a, choir_bytes payload, choir_time now) {
    choiri_handshake *h;
    choiri_text text;
    int status = decode(a, payload, &h, &text);
    if (status == CHOIR_ERR_NO_MEMORY)
        return choiri_attachment_fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for the handshake", now);
    if (status != CHOIR_OK) return fail(a, status, &text, now);
    if (h->kind == CHOIRI_SORRY) return on_sorry(a, h, now);
    if (a->initiator)
        return h->kind == CHOIRI_HELLO_YOURSELF ? on_hello_yourself(a, h, now)
                                                : unexpected(a, h, "HelloYourself", now);
    if (a->stage == CHOIRI_STAGE_HELLO) {
        if (h->kind != CHOIRI_HELLO) return unexpected(a, h, "Hello", now);
        a->hello = h;
        choiri_attachment_set_stage(a, CHOIRI_STAGE_DECIDE);
        return CHOIR_OK;
    }
    if (h->kind != CHOIRI_LETS_GO) return unexpected(a, h, "LetsGo", now);
    choiri_handshake_free(a->env, h);
    choiri_peer peer = peer_of(a->hello);
    open_link(a, now);
    choiri_session_established(a->session, &peer, now);
    return a->status;
}

int choiri_greeting_payload(choir_attachment *a, choir_bytes payload, choir_time now) {
    return a->stage == CHOIRI_STAGE_PROLOGUE ? on_prologue(a, payload, now) : on_handshake(a, payload, now);
}

int choiri_greeting_accept(choir_attachment *a, choir_session *s, choir_time now) {
    CHOIRI_ASSERT(a->stage == CHOIRI_STAGE_DECIDE);
    int status = send_handshake(a, write_hello, &(hello){a, s}, now);
    if (status != CHOIR_OK) return status;
    a->session = s;
    a->written += s->taken;
    choiri_session_attach(s, a);
    choiri_greeting_forget(a);
    choiri_attachment_set_stage(a, CHOIRI_STAGE_LETSGO);
    choiri_keepalive_start(a, now);
    return CHOIR_OK;
}
