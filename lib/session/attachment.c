/* SPDX-License-Identifier: MIT */
/* One link's life: stages prologue → handshake → open → finished, framing, output, the link's deadlines.
 *
 * Invariants: only this file changes `stage`; `frame_started` is set exactly while a frame is partial and input is wanted;
 * `output_moved` exactly while output waits. The queue holds every payload with its u32 length in front, whatever the
 * framing, so that both framings share one path and a boundary is never lost.
 *
 * Rejected: a lane of its own for pongs. One queue keeps the order of messages trivially true; the number of pongs in it
 * is bounded instead (choiri_session_write_pongs). */
#include "base/assert.h"
#include "base/log.h"
#include "base/options.h"
#include "link/prologue.h"
#include "session/internal.h"

/* Limit of the first frame: a prologue has 8 bytes, everything else is another protocol's and named at once. */
#define PROLOGUE_MAX 64u
/* An advance that comes so much later than its deadline means that the process slept. */
#define SLEPT (5 * CHOIR_SECOND)
/* A bit for each codec that there is. */
#define CODECS ((1u << CHOIRI_CODECS) - 1)
/* So long a link may take none of our answers before we read on all the same: see choiri_attachment_answered. Longer than an
 * honest peer is busy with one message, much shorter than the time after which calls in flight make it count as dead. */
#define ANSWERS_PATIENCE CHOIR_SECOND

static const choir_attachment_options defaults = {
    .size = sizeof defaults,
    .framing = CHOIR_FRAMING_U32LE,
    .max_payload = 16u << 20,
    .max_handshake = 1u << 20,
    .min_rate = 32u << 10,
    .handshake_timeout = 10 * CHOIR_SECOND,
    .frame_timeout = 30 * CHOIR_SECOND,
    .write_stall_timeout = 30 * CHOIR_SECOND,
    .max_output = 1u << 20,
    .codecs = CODECS,
};

void choir_attachment_options_init_sized(choir_attachment_options *o, size_t size) {
    choiri_options_give(o, size, &defaults, sizeof defaults);
}

static choir_time later(choir_time t, choir_duration d) {
    return t > CHOIR_TIME_NEVER - d ? CHOIR_TIME_NEVER : t + d;
}

/* ---- output ---- */

void choiri_attachment_pause(choir_attachment *a, uint8_t reason) {
    if (a->stage != CHOIRI_STAGE_OPEN) return;
    a->paused |= reason;
    a->frame_started = CHOIR_TIME_NEVER;
}

static void resume(choir_attachment *a, choir_time now) {
    a->paused = 0;
    if (choiri_framer_is_partial(&a->framer)) a->frame_started = now;
    /* Silence while we did not listen is not the peer's. */
    if (a->session) choiri_session_alive(a->session, now);
}

/* Only answers hold input back. If our own calls did, a caller with large arguments and its callee would both stop reading
 * and wait for each other; calls have a budget of their own (choir_call answers BLOCKED).
 * Two ends that owe each other more answers than that, each behind calls which the other does not read, would still wait for
 * each other. So when nothing has moved for a while we read on and hold new requests back: what the peer writes gets
 * through, and then so does what we write (reliability case F15). */
void choiri_attachment_answered(choir_attachment *a, uint64_t bytes) {
    a->answers += bytes;
    a->answers_end = a->written + a->out.bytes;
    if (a->answers > a->max_output && !a->holding) choiri_attachment_pause(a, CHOIRI_PAUSED_ANSWERS);
}

void choiri_attachment_wrote(choir_attachment *a, choir_time now) {
    if (a->output_moved == CHOIR_TIME_NEVER) a->output_moved = now;
    if (a->woken) return;
    a->woken = true;
    if (a->wake) a->wake(a->wake_ctx, a);
}

/* Handshake payloads are written by the attachment itself: begin, let `write` fill it, end. */
static int send_payload(choir_attachment *a, void (*write)(choiri_writer *w, const void *ctx),
                        const void *ctx, choir_time now) {
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
static void write_hello(choiri_writer *w, const void *ctx) {
    const choir_session *s = ctx;
    choiri_settings settings = {s->parity, s->max_concurrent_requests};
    choiri_handshake_write_hello(w, !s->initiator, s->codec, settings, s->metadata, s->call_name);
}

/* In framing NONE a peek offers one payload: where it starts is behind its length. */
static uint32_t first_payload(const choir_attachment *a) {
    choir_iov head;
    uint32_t len;
    if (a->out.bytes < CHOIRI_FRAME_HEAD) return 0;
    size_t n = choiri_outq_peek(&a->out, 0, CHOIRI_FRAME_HEAD, &head, 1);
    CHOIRI_ASSERT(n == 1 && head.len == CHOIRI_FRAME_HEAD); /* a hole never straddles blocks */
    const uint8_t *p = head.base;
    len = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return len;
}

size_t choir_attachment_peek(choir_attachment *a, choir_iov *ret_iov, size_t max) {
    if (!a || !ret_iov) return 0;
    a->woken = true; /* the host is here: writing pongs need not call it */
    if (a->stage == CHOIRI_STAGE_OPEN) choiri_session_write_pongs(a->session, a->session->now);
    a->woken = false;
    if (a->out.bytes == 0) return 0;
    if (!a->none_framing) return choiri_outq_peek(&a->out, 0, UINT64_MAX, ret_iov, max);
    size_t len = first_payload(a), n = choiri_outq_peek(&a->out, CHOIRI_FRAME_HEAD, len, ret_iov, max),
           total = 0;
    for (size_t i = 0; i < n; i++) total += ret_iov[i].len;
    if (total == len) return n;
    /* More segments than the host has room for: a payload must be offered whole. */
    if (!choiri_outq_flatten(&a->out, CHOIRI_FRAME_HEAD + len)) return 0; /* tried again at the next peek */
    return choiri_outq_peek(&a->out, CHOIRI_FRAME_HEAD, len, ret_iov, max);
}

int choir_attachment_consume(choir_attachment *a, size_t bytes, choir_time now) {
    if (!a) return CHOIR_ERR_INVALID;
    uint64_t taken = bytes;
    if (a->none_framing) {
        if (a->out.bytes == 0 || bytes != first_payload(a)) return CHOIR_ERR_INVALID;
        taken += CHOIRI_FRAME_HEAD;
    }
    if (taken > a->out.bytes) return CHOIR_ERR_INVALID;
    if (taken == 0) return CHOIR_OK; /* no progress */
    choiri_outq_consume(&a->out, taken);
    a->written += taken;
    if (a->session) now = choiri_session_time(a->session, now);
    a->output_moved = a->out.bytes > 0 ? now : CHOIR_TIME_NEVER;
    /* Answers and calls leave in one order, so this is the most of answers that can still wait: what stands before the
     * end of the last one, whatever calls are behind it. */
    uint64_t left = a->answers_end > a->written ? a->answers_end - a->written : 0;
    if (a->answers > left) a->answers = left;
    if (a->answers <= a->max_output / 2 && (a->paused || a->holding)) {
        bool was_full = choiri_attachment_is_full(a);
        a->holding = false;
        if (a->paused) resume(a, now);
        if (was_full && a->stage == CHOIRI_STAGE_OPEN) a->session->driver->released(a->session->root, now);
    }
    if (a->session && a->stage == CHOIRI_STAGE_OPEN) choiri_session_drained(a->session, now);
    if (a->session) choiri_session_wake_if_ready(a->session); /* a host does not expect events here */
    return CHOIR_OK;
}

uint64_t choir_attachment_pending(const choir_attachment *a) {
    return a ? a->out.bytes : 0;
}

uint32_t choir_attachment_interest(const choir_attachment *a) {
    if (!a) return CHOIR_FINISHED;
    uint32_t interest = 0;
    bool pongs =
        a->stage == CHOIRI_STAGE_OPEN && a->session->pongs.count > 0 && a->written >= a->session->pongs.mark;
    if (a->out.bytes > 0 || pongs) interest |= CHOIR_HAS_OUTPUT;
    if (a->stage == CHOIRI_STAGE_FINISHED)
        interest |= CHOIR_FINISHED;
    else if (!a->paused && a->stage != CHOIRI_STAGE_DECIDE)
        interest |= CHOIR_WANTS_INPUT;
    return interest;
}

/* ---- ends ---- */

void choiri_attachment_finish(choir_attachment *a, int status, const choiri_text *text) {
    if (a->stage == CHOIRI_STAGE_FINISHED) return;
    a->stage = CHOIRI_STAGE_FINISHED;
    a->status = status;
    if (text) a->text = *text;
    a->frame_started = a->handshake_deadline = CHOIR_TIME_NEVER;
    if (choiri_log_is_on(a->env, CHOIR_LOG_INFO)) {
        choiri_text line;
        choiri_text_init(&line);
        choiri_text_add(choiri_text_add(&line, "finished: "), choir_status_text(status));
        if (a->text.len > 0) choiri_text_str(choiri_text_add(&line, ": "), choiri_text_get(&a->text));
        choiri_log(a->env, CHOIR_LOG_INFO, "attachment", &line);
    }
    if (!a->woken) {
        a->woken = true;
        if (a->wake) a->wake(a->wake_ctx, a);
    }
}

void choiri_attachment_fail(choir_attachment *a, int status, const choiri_text *text, choir_time now) {
    if (a->stage == CHOIRI_STAGE_FINISHED) return;
    if (a->session) {
        choiri_session_fail(a->session, status, text, now); /* finishes this attachment */
        return;
    }
    choiri_attachment_finish(a, status, text);
}

static int fail_with(choir_attachment *a, int status, const char *what, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, what);
    choiri_attachment_fail(a, status, &text, now);
    return status;
}

static void drop_output(choir_attachment *a) {
    choiri_outq_consume(&a->out, a->out.bytes);
    a->output_moved = CHOIR_TIME_NEVER;
}

static void closed(choir_attachment *a, int status, const choiri_text *why, choir_time now) {
    if (a->session) now = choiri_session_time(a->session, now);
    choiri_attachment_fail(a, status, why, now);
    drop_output(a); /* nothing can be written any more */
}

void choir_attachment_closed(choir_attachment *a, int status, choir_str text, choir_time now) {
    if (!a) return;
    if (!choir_status_is_fatal(status)) status = CHOIR_ERR_LINK_LOST;
    choiri_text why;
    choiri_text_init(&why);
    /* A peer need not say that it does not know a mode: those of vox 0.4 hang up. */
    if (a->initiator && a->stage == CHOIRI_STAGE_PROLOGUE && !a->codec->is_vox &&
        status == CHOIR_ERR_LINK_LOST) {
        status = CHOIR_ERR_REJECTED;
        choiri_text_add(choiri_text_add(&why, "no answer to conduit mode "), a->codec->name);
        choiri_text_add(&why, ", which the peer may not know: ");
    }
    choiri_text_str(&why, text);
    closed(a, status, &why, now);
}

void choir_attachment_free(choir_attachment *a, choir_time now) {
    if (!a) return;
    if (a->session) {
        choiri_text why;
        choiri_text_init(&why);
        choiri_text_add(&why, "the host let go of the link");
        closed(a, CHOIR_ERR_LINK_LOST, &why, now);
        a->session->attachment = NULL;
        if (a->framer.delivered) { /* an answer that was not polled yet borrows from it */
            a->session->last_payload = a->framer.partial;
            a->framer.partial = NULL;
        }
    }
    choiri_handshake_free(a->env, a->hello);
    choiri_framer_deinit(&a->framer);
    choiri_outq_deinit(&a->out);
    choir_env *env = a->env;
    env->objects--;
    choiri_free(env, a, sizeof *a);
}

/* ---- input ---- */

static void expect_hello(choir_attachment *a) {
    a->stage = CHOIRI_STAGE_HELLO;
    a->framer.limit = a->max_handshake;
}

static int on_prologue(choir_attachment *a, choir_bytes payload, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    if (a->initiator) {
        int status = choiri_prologue_judge_answer(payload, choiri_prologue_mode_of(a->codec->id), &text);
        if (status != CHOIR_OK) choiri_attachment_fail(a, status, &text, now);
        if (status == CHOIR_OK) expect_hello(a);
        return status;
    }
    uint8_t answer[CHOIRI_PROLOGUE_LEN], mode;
    choiri_prologue_verdict verdict = choiri_prologue_judge_hello(payload, a->modes, answer, &mode, &text);
    if (verdict == CHOIRI_PROLOGUE_CLOSE) {
        choiri_attachment_fail(a, CHOIR_ERR_PROLOGUE, &text, now);
        return CHOIR_ERR_PROLOGUE;
    }
    if (send_payload(a, write_prologue, answer, now) != CHOIR_OK)
        return fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for the prologue", now);
    if (verdict == CHOIRI_PROLOGUE_REJECT) {
        choiri_attachment_fail(a, CHOIR_ERR_PROLOGUE, &text, now);
        return CHOIR_ERR_PROLOGUE;
    }
    a->codec = choiri_codec_of(choiri_prologue_codec_of(mode));
    expect_hello(a);
    return CHOIR_OK;
}

static void open(choir_attachment *a) {
    a->stage = CHOIRI_STAGE_OPEN;
    a->handshake_deadline = CHOIR_TIME_NEVER;
    a->framer.limit = a->max_payload;
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
    choiri_attachment_fail(a, CHOIR_ERR_HANDSHAKE, &text, now);
    return CHOIR_ERR_HANDSHAKE;
}

static int on_sorry(choir_attachment *a, choiri_handshake *h, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, "the peer said Sorry: ");
    choiri_text_quoted(&text, (choir_bytes){(const uint8_t *)h->reason.data, h->reason.len}, 160);
    choiri_handshake_free(a->env, h);
    choiri_attachment_fail(a, CHOIR_ERR_REFUSED, &text, now);
    return CHOIR_ERR_REFUSED;
}

/* Initiator: HelloYourself is answered with LetsGo and the session is established. rule: handshake.initiator */
static int on_hello_yourself(choir_attachment *a, choiri_handshake *h, choir_time now) {
    if (h->settings.parity == a->session->parity) {
        choiri_handshake_free(a->env, h);
        return fail_with(a, CHOIR_ERR_HANDSHAKE, "the peer answered with our own parity, ids would collide",
                         now);
    }
    if (send_handshake(a, write_lets_go, NULL, now) != CHOIR_OK) {
        choiri_handshake_free(a->env, h);
        return fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for LetsGo", now);
    }
    open(a);
    choiri_session_established(a->session, h, now); /* takes h */
    return a->status;
}

/* What is decoded is kept apart from the payload, so what was translated is needed no longer. */
static int decode_handshake(choir_attachment *a, choir_bytes payload, choiri_handshake **ret,
                            choiri_text *ret_text) {
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
    int status = decode_handshake(a, payload, &h, &text);
    if (status == CHOIR_ERR_NO_MEMORY)
        return fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for the handshake", now);
    if (status != CHOIR_OK) {
        choiri_attachment_fail(a, status, &text, now);
        return status;
    }
    if (h->kind == CHOIRI_SORRY) return on_sorry(a, h, now);
    if (a->initiator)
        return h->kind == CHOIRI_HELLO_YOURSELF ? on_hello_yourself(a, h, now)
                                                : unexpected(a, h, "HelloYourself", now);
    if (a->stage == CHOIRI_STAGE_HELLO) {
        if (h->kind != CHOIRI_HELLO) return unexpected(a, h, "Hello", now);
        a->hello = h;
        a->stage = CHOIRI_STAGE_DECIDE;
        return CHOIR_OK;
    }
    if (h->kind != CHOIRI_LETS_GO) return unexpected(a, h, "LetsGo", now);
    choiri_handshake_free(a->env, h);
    open(a);
    choiri_session_established(a->session, NULL, now);
    return CHOIR_OK;
}

static int on_payload(choir_attachment *a, const choiri_frame *frame, choir_time now) {
    switch (a->stage) {
    case CHOIRI_STAGE_PROLOGUE: return on_prologue(a, frame->payload, now);
    case CHOIRI_STAGE_HELLO:
    case CHOIRI_STAGE_LETSGO: return on_handshake(a, frame->payload, now);
    case CHOIRI_STAGE_OPEN: choiri_session_payload(a->session, frame, now); return a->status;
    case CHOIRI_STAGE_DECIDE:
    case CHOIRI_STAGE_FINISHED: break;
    }
    return CHOIR_ERR_STATE;
}

/* A length over the limit. Before the prologue is through the four bytes are most likely another protocol's. */
static int frame_too_large(choir_attachment *a, choir_bytes input, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    if (a->stage == CHOIRI_STAGE_PROLOGUE) {
        uint8_t seen[16];
        size_t n = CHOIRI_FRAME_HEAD;
        memcpy(seen, a->framer.head, n);
        if (input.len <= sizeof seen - n && input.len > 0) {
            memcpy(seen + n, input.data, input.len);
            n += input.len;
        } else if (input.len > 0) {
            memcpy(seen + n, input.data, sizeof seen - n);
            n = sizeof seen;
        }
        choiri_text what;
        choiri_prologue_describe((choir_bytes){seen, n}, &what);
        choiri_text_add(&text, "the peer does not speak vox: saw ");
        choiri_text_str(&text, choiri_text_get(&what));
        choiri_attachment_fail(a, CHOIR_ERR_PROLOGUE, &text, now);
        return CHOIR_ERR_PROLOGUE;
    }
    const uint8_t *p = a->framer.head;
    uint32_t len = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    choiri_text_u64(choiri_text_add(&text, "a frame of "), len);
    choiri_text_u64(choiri_text_add(&text, " bytes, the limit is "), a->framer.limit);
    choiri_attachment_fail(a, CHOIR_ERR_FRAME_TOO_LARGE, &text, now);
    return CHOIR_ERR_FRAME_TOO_LARGE;
}

static int feed(choir_attachment *a, choir_bytes input, choir_chunk *chunk, size_t *ret_used,
                choir_time now) {
    choiri_frame frame;
    bool done;
    size_t used = 0, head_before = a->framer.delivered ? 0 : a->framer.head_len;
    int status = choiri_framer_feed(&a->framer, input, chunk, &used, &done, &frame);
    if (status == CHOIR_ERR_FRAME_TOO_LARGE) {
        size_t head = CHOIRI_FRAME_HEAD - head_before; /* bytes of this input that went into the length */
        return frame_too_large(a, (choir_bytes){input.data + head, input.len - head}, now);
    }
    if (status != CHOIR_OK) return fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for a frame", now);
    *ret_used = used;
    if (done) {
        a->frame_started = CHOIR_TIME_NEVER;
        bool handshake = a->stage != CHOIRI_STAGE_OPEN;
        status = on_payload(a, &frame, now);
        if (handshake) choiri_framer_drop(&a->framer); /* what is kept of a handshake has been copied */
        return status;
    }
    if (!a->paused && a->frame_started == CHOIR_TIME_NEVER && choiri_framer_is_partial(&a->framer))
        a->frame_started = now;
    return CHOIR_OK;
}

static int feed_whole(choir_attachment *a, choir_bytes input, choir_chunk *chunk, size_t *ret_used,
                      choir_time now) {
    if (input.len > a->framer.limit) {
        choiri_text text;
        choiri_text_init(&text);
        choiri_text_u64(choiri_text_add(&text, "a payload of "), input.len);
        choiri_text_u64(choiri_text_add(&text, " bytes, the limit is "), a->framer.limit);
        choiri_attachment_fail(a, CHOIR_ERR_FRAME_TOO_LARGE, &text, now);
        return CHOIR_ERR_FRAME_TOO_LARGE;
    }
    choiri_frame frame = {input, chunk};
    *ret_used = input.len;
    return on_payload(a, &frame, now);
}

int choir_attachment_receive(choir_attachment *a, const void *bytes, size_t len, choir_chunk *chunk,
                             size_t *ret_used, choir_time now) {
    if (!a || !ret_used || (!bytes && len > 0)) return CHOIR_ERR_INVALID;
    if (a->stage == CHOIRI_STAGE_DECIDE) return CHOIR_ERR_STATE;
    if (a->stage == CHOIRI_STAGE_FINISHED) return a->status == CHOIR_OK ? CHOIR_ERR_STATE : a->status;
    choir_bytes input = {bytes, len};
    if (a->session) {
        if (!choiri_session_is_idle(a->session)) return CHOIR_ERR_BUSY;
        now = choiri_session_time(a->session, now);
        if (len > 0) choiri_session_alive(a->session, now);
    }
    *ret_used = 0;
    if (a->none_framing) return feed_whole(a, input, chunk, ret_used, now);
    return len > 0 ? feed(a, input, chunk, ret_used, now) : CHOIR_OK;
}

/* ---- time ---- */

static choir_time frame_deadline(const choir_attachment *a) {
    if (a->frame_started == CHOIR_TIME_NEVER || a->frame_timeout == 0) return CHOIR_TIME_NEVER;
    choir_duration earned =
        a->min_rate > 0 ? (uint64_t)choiri_framer_received(&a->framer) * CHOIR_SECOND / a->min_rate : 0;
    return later(later(a->frame_started, a->frame_timeout), earned);
}

static choir_time stall_deadline(const choir_attachment *a) {
    if (a->output_moved == CHOIR_TIME_NEVER || a->stall_timeout == 0) return CHOIR_TIME_NEVER;
    return later(a->output_moved, a->stall_timeout);
}

/* When input goes on although our answers do not. Who floods us with pings gets no such chance. */
static choir_time resume_deadline(const choir_attachment *a) {
    if (a->paused != CHOIRI_PAUSED_ANSWERS || a->output_moved == CHOIR_TIME_NEVER) return CHOIR_TIME_NEVER;
    return later(a->output_moved, ANSWERS_PATIENCE);
}

static choir_time earlier(choir_time a, choir_time b) {
    return a < b ? a : b;
}

choir_time choir_attachment_deadline(const choir_attachment *a) {
    if (!a) return CHOIR_TIME_NEVER;
    choir_time t = earlier(a->handshake_deadline, frame_deadline(a));
    return earlier(t, earlier(stall_deadline(a), resume_deadline(a)));
}

void choir_attachment_advance(choir_attachment *a, choir_time now) {
    if (!a) return;
    if (a->stage == CHOIRI_STAGE_FINISHED) {
        if (now >= stall_deadline(a)) drop_output(a); /* nobody takes our last words */
        return;
    }
    if (a->session) now = choiri_session_time(a->session, now);
    if (now >= a->handshake_deadline)
        fail_with(a, CHOIR_ERR_HANDSHAKE_TIMEOUT, "the handshake was not finished in time", now);
    else if (now >= frame_deadline(a))
        fail_with(a, CHOIR_ERR_FRAME_TIMEOUT, "a frame took too long to arrive", now);
    else if (now >= stall_deadline(a) && now - stall_deadline(a) > SLEPT)
        a->output_moved = now; /* nobody tried to write in that time */
    else if (now >= stall_deadline(a)) {
        a->output_moved = now; /* the last words have their own time */
        fail_with(a, CHOIR_ERR_WRITE_STALLED, "the peer took nothing off our output for too long", now);
    } else if (now >= resume_deadline(a)) {
        a->holding = true;
        resume(a, now);
    }
}

/* ---- life ---- */

static uint32_t modes_of(uint32_t codecs) {
    uint32_t modes = 0;
    for (uint32_t i = 0; i < CHOIRI_CODECS; i++)
        if ((codecs >> i & 1) && choiri_codec_of(i)) modes |= 1u << choiri_prologue_mode_of(i);
    return modes;
}

static int new_attachment(choir_env *env, const choir_attachment_options *options, bool initiator,
                          choir_attachment **ret, choir_time now) {
    choir_attachment_options o = defaults;
    if (!env || !ret || (options && choiri_options_copy(&o, sizeof o, options) != CHOIR_OK))
        return CHOIR_ERR_INVALID;
    if (o.framing > CHOIR_FRAMING_NONE || o.max_payload < 64 || o.max_handshake < 64)
        return CHOIR_ERR_INVALID;
    if (o.codecs == 0 || (o.codecs & ~CODECS) || o.reserved != 0) return CHOIR_ERR_INVALID;
    choir_attachment *a = choiri_alloc(env, sizeof *a); /* long-lived: not rounded up to a pool class */
    if (!a) return CHOIR_ERR_NO_MEMORY;
    memset(a, 0, sizeof *a);
    a->env = env;
    a->initiator = initiator;
    a->stage = CHOIRI_STAGE_PROLOGUE;
    a->modes = modes_of(o.codecs);
    a->none_framing = o.framing == CHOIR_FRAMING_NONE;
    a->max_payload = o.max_payload;
    a->max_handshake = o.max_handshake;
    a->min_rate = o.min_rate;
    a->max_output = o.max_output;
    a->frame_timeout = o.frame_timeout;
    a->stall_timeout = o.write_stall_timeout;
    a->handshake_deadline = o.handshake_timeout ? later(now, o.handshake_timeout) : CHOIR_TIME_NEVER;
    a->frame_started = a->output_moved = CHOIR_TIME_NEVER;
    a->wake = o.wake;
    a->wake_ctx = o.wake_ctx;
    a->user_data = o.user_data;
    choiri_text_init(&a->text);
    choiri_framer_init(&a->framer, env, PROLOGUE_MAX);
    choiri_outq_init(&a->out, env);
    env->objects++;
    *ret = a;
    return CHOIR_OK;
}

int choir_attachment_new_acceptor(choir_env *env, const choir_attachment_options *options,
                                  choir_attachment **ret_attachment, choir_time now) {
    return new_attachment(env, options, false, ret_attachment, now);
}

int choir_attachment_new_initiator(choir_env *env, const choir_attachment_options *options,
                                   choir_session *session, choir_attachment **ret_attachment,
                                   choir_time now) {
    if (!session || session->env != env) return CHOIR_ERR_INVALID;
    if (session->had_attachment || !session->initiator || session->state != CHOIRI_SESSION_NEW)
        return CHOIR_ERR_STATE;
    choir_attachment *a;
    int status = new_attachment(env, options, true, &a, now);
    if (status != CHOIR_OK) return status;
    uint8_t prologue[CHOIRI_PROLOGUE_LEN];
    a->codec = session->codec;
    choiri_prologue_hello(choiri_prologue_mode_of(a->codec->id), prologue);
    a->woken = true; /* the host does not know it yet */
    now = choiri_session_time(session, now);
    status = send_payload(a, write_prologue, prologue, now);
    if (status == CHOIR_OK) status = send_handshake(a, write_hello, session, now);
    if (status != CHOIR_OK) {
        choir_attachment_free(a, now);
        return status;
    }
    a->session = session;
    session->attachment = a;
    session->had_attachment = true;
    choiri_session_alive(session, now);
    *ret_attachment = a;
    if (a->wake) a->wake(a->wake_ctx, a);
    return CHOIR_OK;
}

const choir_hello *choir_attachment_hello(choir_attachment *a) {
    return a && a->stage == CHOIRI_STAGE_DECIDE ? &a->hello->hello : NULL;
}

int choiri_attachment_accept(choir_attachment *a, choir_session *s, choir_time now) {
    CHOIRI_ASSERT(a->stage == CHOIRI_STAGE_DECIDE);
    s->parity = a->hello->parity == CHOIRI_PARITY_ODD ? CHOIRI_PARITY_EVEN : CHOIRI_PARITY_ODD;
    s->peer = (choiri_settings){a->hello->parity, a->hello->settings.max_concurrent_requests};
    s->retry = a->hello->retry;
    s->announces = a->hello->announces;
    s->codec = a->codec;
    int status = send_handshake(a, write_hello, s, now);
    if (status != CHOIR_OK) return status;
    a->session = s;
    s->attachment = a;
    s->had_attachment = true;
    s->peer_hello = a->hello;
    a->hello = NULL;
    a->stage = CHOIRI_STAGE_LETSGO;
    choiri_session_alive(s, now);
    return CHOIR_OK;
}

int choir_attachment_refuse(choir_attachment *a, choir_str reason, choir_time now) {
    if (!a || a->stage != CHOIRI_STAGE_DECIDE) return CHOIR_ERR_STATE;
    int status = send_handshake(a, write_sorry, &reason, now);
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_str(choiri_text_add(&text, "refused: "), reason);
    choiri_attachment_finish(a, CHOIR_ERR_SHUTDOWN, &text);
    return status;
}

int choir_attachment_status(const choir_attachment *a) {
    return a ? a->status : CHOIR_ERR_INVALID;
}
choir_str choir_attachment_text(const choir_attachment *a) {
    return a ? choiri_text_get(&a->text) : (choir_str){"", 0};
}
choir_session *choir_attachment_session(const choir_attachment *a) {
    return a ? a->session : NULL;
}
void *choir_attachment_user_data(const choir_attachment *a) {
    return a ? a->user_data : NULL;
}
