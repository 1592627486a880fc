/* SPDX-License-Identifier: MIT */
/* One link's life: stages prologue → handshake → open → finished, framing, output, the link's deadlines.
 *
 * Invariants: `stage` changes in choiri_attachment_set_stage only, along legal edges; `frame_started` is set
 * exactly while a frame is partial and input is wanted; `output_due` exactly while output waits. The queue
 * holds every payload with its u32 length in front, whatever the framing, so that both framings share one
 * path and a boundary is never lost. */
#include "session/attachment.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/options.h"
#include "link/prologue.h"
#include "session/session.h"

/* An advance that comes so much later than its deadline means that the process slept. */
#define SLEPT  (5 * CHOIR_SECOND)
#define CODECS ((1u << CHOIRI_CODECS) - 1)

static const choir_attachment_options defaults = {
    .size = sizeof defaults,
    .framing = CHOIR_FRAMING_U32LE,
    .max_payload = 16u << 20,
    .max_handshake = 1u << 20,
    .min_rate = 32u << 10,
    .min_output_rate = 1u << 10,
    .handshake_timeout = 10 * CHOIR_SECOND,
    .frame_timeout = 30 * CHOIR_SECOND,
    .write_stall_timeout = 30 * CHOIR_SECOND,
    .codecs = CODECS,
};

void choir_attachment_options_init_sized(choir_attachment_options *o, size_t size) {
    choiri_options_give(o, size, &defaults, sizeof defaults);
}

static bool is_legal(choiri_stage from, choiri_stage to) {
    switch (to) {
    case CHOIRI_STAGE_PROLOGUE: return false;
    case CHOIRI_STAGE_HELLO: return from == CHOIRI_STAGE_PROLOGUE;
    case CHOIRI_STAGE_DECIDE: return from == CHOIRI_STAGE_HELLO;
    case CHOIRI_STAGE_LETSGO: return from == CHOIRI_STAGE_DECIDE;
    case CHOIRI_STAGE_OPEN: return from == CHOIRI_STAGE_HELLO || from == CHOIRI_STAGE_LETSGO;
    case CHOIRI_STAGE_FINISHED: return from != CHOIRI_STAGE_FINISHED;
    }
    return false;
}

void choiri_attachment_set_stage(choir_attachment *a, choiri_stage to) {
    CHOIRI_ASSERT(is_legal(a->stage, to));
    a->stage = to;
}

CHOIRI_NOINLINE void choiri_attachment_wake(choir_attachment *a) {
    if (a->woken) return;
    a->woken = true;
    if (a->wake) a->wake(a->wake_ctx, a);
}

/* ---- output ---- */

static bool has_output(const choir_attachment *a) {
    return a->out.bytes > 0 || (a->session && !choiri_dlist_is_empty(&a->session->ring));
}

bool choiri_attachment_is_flushed(const choir_attachment *a) {
    return !has_output(a);
}

static bool pongs_may_leave(const choir_attachment *a) {
    return a->stage == CHOIRI_STAGE_OPEN && a->pongs.count > 0 && a->written >= a->pongs.mark;
}

/* Pongs are written when the link takes output, and only when the ones before have left: however many pings
 * come, at most CHOIRI_PONGS_MAX answers wait. rule: session.ping */
static void write_pongs(choir_attachment *a) {
    choir_session *s = a->session;
    uint32_t done = 0;
    if (!pongs_may_leave(a)) return;
    for (; done < a->pongs.count; done++) {
        choiri_sending m;
        if (!choiri_egress_begin(s, NULL, &m, NULL)) break;
        s->codec->encode(&m.writer, &(choiri_message){.kind = CHOIRI_MSG_PONG, .id = a->pongs.nonces[done]},
                         NULL, 0);
        if (choiri_egress_end(&m, CHOIRI_FRAME_OTHER, NULL, s->now) != CHOIR_OK) break; /* for memory */
    }
    if (done == 0) {
        /* Nothing is under way that would make the host come back. */
        if (a->out.bytes == 0) choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, s->now);
        return;
    }
    a->pongs.count -= done;
    memmove(a->pongs.nonces, a->pongs.nonces + done, a->pongs.count * sizeof a->pongs.nonces[0]);
    a->pongs.mark = a->written + a->out.bytes;
}

void choiri_attachment_ping(choir_attachment *a, uint64_t nonce) {
    uint32_t at = a->pongs.count < CHOIRI_PONGS_MAX ? a->pongs.count++ : CHOIRI_PONGS_MAX - 1;
    a->pongs.nonces[at] = nonce;
    /* Behind output that the link does not take: a peer that floods and does not read is not read either
     * (reliability case A23). */
    if (a->pongs.count == CHOIRI_PONGS_MAX && a->out.bytes > 0) {
        a->paused = true;
        a->frame_started = CHOIR_TIME_NEVER;
    }
    choiri_attachment_wake(a);
}

bool choiri_attachment_pong(choir_attachment *a, uint64_t nonce) {
    if (a->alive.host_nonce == 0 || nonce != a->alive.host_nonce) return false;
    a->alive.host_nonce = 0;
    return true;
}

static void resume(choir_attachment *a, choir_time now) {
    a->paused = false;
    if (choiri_framer_is_partial(&a->framer)) a->frame_started = now;
    choiri_keepalive_heard(a, now); /* silence while we did not listen is not the peer's */
}

/* In framing NONE a peek offers one payload: where it starts is behind its length. */
static uint32_t first_payload(const choir_attachment *a) {
    choir_iov head;
    if (a->out.bytes < CHOIRI_FRAME_HEAD) return 0;
    size_t n = choiri_outq_peek(&a->out, 0, CHOIRI_FRAME_HEAD, &head, 1);
    CHOIRI_ASSERT(n == 1 && head.len == CHOIRI_FRAME_HEAD); /* a hole never straddles blocks */
    return choiri_load_le32(head.base);
}

static size_t peek_whole(choir_attachment *a, choir_iov *ret_iov, size_t max) {
    size_t len = first_payload(a), n = choiri_outq_peek(&a->out, CHOIRI_FRAME_HEAD, len, ret_iov, max),
           total = 0;
    for (size_t i = 0; i < n; i++) total += ret_iov[i].len;
    if (total == len) return n;
    /* More segments than the host has room for: a payload must be offered whole. */
    if (!choiri_outq_flatten(&a->out, CHOIRI_FRAME_HEAD + len)) return 0; /* tried again at the next peek */
    return choiri_outq_peek(&a->out, CHOIRI_FRAME_HEAD, len, ret_iov, max);
}

size_t choir_attachment_peek(choir_attachment *a, choir_iov *ret_iov, size_t max) {
    if (!a || !ret_iov) return 0;
    a->woken = true; /* the host is here: what is written now need not call it */
    write_pongs(a);
    if (a->session && !choiri_dlist_is_empty(&a->session->ring) && !choiri_egress_refill(a) &&
        a->out.bytes == 0)
        choiri_session_fail(a->session, CHOIR_ERR_OUT_OF_MEMORY, NULL, a->session->now);
    a->woken = false;
    if (a->out.bytes == 0) return 0;
    return a->none_framing ? peek_whole(a, ret_iov, max)
                           : choiri_outq_peek(&a->out, 0, UINT64_MAX, ret_iov, max);
}

/* Each byte that is taken earns time, but no more than a silent link has. */
static void earn(choir_attachment *a, uint64_t taken, choir_time now) {
    a->output_moved = now;
    if (!has_output(a) || a->stall_timeout == 0) {
        a->output_due = CHOIR_TIME_NEVER;
        return;
    }
    choir_time most = choiri_time_later(now, a->stall_timeout);
    uint64_t rate = a->min_output_rate;
    if (rate == 0 || taken >= UINT64_MAX / CHOIR_SECOND) {
        a->output_due = most;
        return;
    }
    a->output_due = choiri_time_earlier(choiri_time_later(a->output_due, taken * CHOIR_SECOND / rate), most);
}

int choir_attachment_consume(choir_attachment *a, size_t bytes, choir_time now) {
    if (!a) return CHOIR_ERR_INVALID;
    uint64_t taken = bytes;
    choir_session *s = a->session;
    if (a->none_framing) {
        if (a->out.bytes == 0 || bytes != first_payload(a)) return CHOIR_ERR_INVALID;
        taken += CHOIRI_FRAME_HEAD;
    }
    if (taken > a->out.bytes) return CHOIR_ERR_INVALID;
    if (taken == 0) return CHOIR_OK; /* no progress */
    choiri_outq_consume(&a->out, taken);
    a->written += taken;
    if (s) now = choiri_session_time(s, now);
    earn(a, taken, now);
    if (a->paused && a->out.bytes == 0) resume(a, now);
    if (s) choiri_session_taken(s, now);
    return CHOIR_OK;
}

uint64_t choir_attachment_pending(const choir_attachment *a) {
    return a ? a->out.bytes + (a->session ? choiri_session_queued(a->session) : 0) : 0;
}

void choir_attachment_progress(choir_attachment *a, choir_time now) {
    if (!a || a->stage != CHOIRI_STAGE_OPEN) return;
    a->alive.carried = choiri_session_time(a->session, now);
}

uint32_t choir_attachment_interest(const choir_attachment *a) {
    if (!a) return CHOIR_FINISHED;
    uint32_t interest = 0;
    if (has_output(a) || pongs_may_leave(a)) interest |= CHOIR_HAS_OUTPUT;
    if (a->stage == CHOIRI_STAGE_FINISHED)
        interest |= CHOIR_FINISHED;
    else if (!a->paused && a->stage != CHOIRI_STAGE_DECIDE)
        interest |= CHOIR_WANTS_INPUT;
    return interest;
}

/* ---- ends ---- */

void choiri_attachment_finish(choir_attachment *a, int status, const choiri_text *text) {
    if (a->stage == CHOIRI_STAGE_FINISHED) return;
    choiri_attachment_set_stage(a, CHOIRI_STAGE_FINISHED);
    a->status = status;
    if (text) a->text = choiri_text_keep(a->env, text);
    a->frame_started = a->handshake_deadline = CHOIR_TIME_NEVER;
    if (choiri_log_is_on(a->env, CHOIR_LOG_INFO)) {
        choiri_text line;
        choiri_text_init(&line);
        choiri_text_add(choiri_text_add(&line, "finished: "), choir_status_text(status));
        if (a->text.len > 0) choiri_text_str(choiri_text_add(&line, ": "), a->text);
        choiri_log(a->env, CHOIR_LOG_INFO, "attachment", &line);
    }
    choiri_attachment_wake(a);
}

/* What ends with the link, and leaves a session that can be resumed alive. */
static bool is_of_the_link(int status) {
    return status == CHOIR_ERR_LINK_LOST || status == CHOIR_ERR_PEER_UNRESPONSIVE ||
           status == CHOIR_ERR_WRITE_STALLED || status == CHOIR_ERR_FRAME_TIMEOUT;
}

/* Nothing can be written any more. */
static void drop_output(choir_attachment *a) {
    choiri_outq_consume(&a->out, a->out.bytes);
    a->output_due = CHOIR_TIME_NEVER;
}

/* Output that a dead or stalled link has not taken will not leave, so that those who made it can be told so;
 * only a slow frame is the peer's fault, who hears of it. */
void choiri_attachment_fail(choir_attachment *a, int status, const choiri_text *text, choir_time now) {
    choir_session *s = a->session;
    if (a->stage == CHOIRI_STAGE_OPEN && is_of_the_link(status) && status != CHOIR_ERR_FRAME_TIMEOUT)
        drop_output(a);
    if (s && a->stage == CHOIRI_STAGE_FINISHED) {
        choiri_session_cut(s); /* it was closing, and waited for output that will not leave any more */
    } else if (s && is_of_the_link(status)) {
        choiri_session_link_failed(s, status, text, now);
    } else if (s) {
        choiri_session_fail(s, status, text, now); /* finishes this attachment */
    } else {
        choiri_attachment_finish(a, status, text);
    }
}

int choiri_attachment_fail_with(choir_attachment *a, int status, const char *what, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, what);
    choiri_attachment_fail(a, status, &text, now);
    return status;
}

static void closed(choir_attachment *a, int status, const choiri_text *why, choir_time now) {
    if (a->session) now = choiri_session_time(a->session, now);
    drop_output(a); /* before calls are told whether they may have left */
    choiri_attachment_fail(a, status, why, now);
    drop_output(a);
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
        choiri_text_add(&why, "no answer to conduit mode ");
        choiri_text_add(choiri_text_add(&why, a->codec->name), ", which the peer may not know: ");
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
        /* Events that were not polled yet borrow from the newest payload. */
        choir_chunk *payload = a->framer.delivered ? a->framer.partial : NULL;
        if (payload) a->framer.partial = NULL;
        choiri_session_detach(a->session, payload);
    }
    choiri_attachment_forget_hello(a);
    choiri_greeting_forget(a);
    choiri_framer_deinit(&a->framer);
    choiri_outq_deinit(&a->out);
    choiri_text_release(a->env, a->text);
    choiri_evidence_free(a->env, a->evidence);
    choir_env *env = a->env;
    env->objects--;
    choiri_free(env, a, sizeof *a);
}

void choiri_attachment_forget_hello(choir_attachment *a) {
    choiri_handshake_free(a->env, a->hello);
    a->hello = NULL;
}

choir_evidence *choiri_attachment_take_evidence(choir_attachment *a) {
    choir_evidence *evidence = a->evidence;
    a->evidence = NULL;
    return evidence;
}

/* ---- input ---- */

static int on_payload(choir_attachment *a, const choiri_frame *frame, choir_time now) {
    if (a->stage == CHOIRI_STAGE_OPEN) {
        choiri_session_payload(a->session, frame, now);
        return a->status;
    }
    return choiri_greeting_payload(a, frame->payload, now);
}

/* A length over the limit. Before the prologue is through the four bytes are most likely another
 * protocol's. */
static int frame_too_large(choir_attachment *a, choir_bytes input, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    if (a->stage == CHOIRI_STAGE_PROLOGUE) {
        uint8_t seen[16];
        size_t n = CHOIRI_FRAME_HEAD, more = input.len < sizeof seen - n ? input.len : sizeof seen - n;
        memcpy(seen, a->framer.head, n);
        if (more > 0) memcpy(seen + n, input.data, more);
        choiri_text what;
        choiri_prologue_describe((choir_bytes){seen, n + more}, &what);
        choiri_text_add(&text, "the peer does not speak vox: saw ");
        choiri_text_str(&text, choiri_text_get(&what));
        choiri_attachment_fail(a, CHOIR_ERR_PROLOGUE, &text, now);
        return CHOIR_ERR_PROLOGUE;
    }
    choiri_text_u64(choiri_text_add(&text, "a frame of "), choiri_load_le32(a->framer.head));
    choiri_text_u64(choiri_text_add(&text, " bytes, the limit is "), a->framer.limit);
    choiri_attachment_fail(a, CHOIR_ERR_FRAME_TOO_LARGE, &text, now);
    return CHOIR_ERR_FRAME_TOO_LARGE;
}

static CHOIRI_NOINLINE int feed(choir_attachment *a, choir_bytes input, choir_chunk *chunk, size_t *ret_used,
                                choir_time now) {
    size_t used;
    bool done;
    choiri_frame frame;
    uint8_t head_before = a->framer.head_len;
    int status = choiri_framer_feed(&a->framer, input, chunk, &used, &done, &frame);
    if (status == CHOIR_ERR_FRAME_TOO_LARGE) {
        size_t head = CHOIRI_FRAME_HEAD - head_before; /* bytes of this input that went into the length */
        return frame_too_large(a, (choir_bytes){input.data + head, input.len - head}, now);
    }
    if (status != CHOIR_OK)
        return choiri_attachment_fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for a frame", now);
    bool greeting = a->stage != CHOIRI_STAGE_OPEN;
    if (greeting && !choiri_greeting_remember(a, (choir_bytes){input.data, used}))
        return choiri_attachment_fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for the handshake", now);
    *ret_used = used;
    if (done) {
        a->frame_started = CHOIR_TIME_NEVER;
        status = on_payload(a, &frame, now);
        if (greeting) choiri_framer_drop(&a->framer); /* what is kept of a handshake has been copied */
        return status;
    }
    if (!a->paused && a->frame_started == CHOIR_TIME_NEVER && choiri_framer_is_partial(&a->framer))
        a->frame_started = now;
    return CHOIR_OK;
}

static CHOIRI_NOINLINE int feed_whole(choir_attachment *a, choir_bytes input, choir_chunk *chunk,
                                      size_t *ret_used, choir_time now) {
    if (input.len > a->framer.limit) {
        choiri_text text;
        choiri_text_init(&text);
        choiri_text_u64(choiri_text_add(&text, "a payload of "), input.len);
        choiri_text_u64(choiri_text_add(&text, " bytes, the limit is "), a->framer.limit);
        choiri_attachment_fail(a, CHOIR_ERR_FRAME_TOO_LARGE, &text, now);
        return CHOIR_ERR_FRAME_TOO_LARGE;
    }
    choiri_frame frame = {input, chunk};
    if (a->stage != CHOIRI_STAGE_OPEN && !choiri_greeting_remember(a, input))
        return choiri_attachment_fail_with(a, CHOIR_ERR_OUT_OF_MEMORY, "no memory for the handshake", now);
    *ret_used = input.len;
    return on_payload(a, &frame, now);
}

/* What is not one whole frame of an open link, or not wanted. */
static CHOIRI_NOINLINE int receive_any(choir_attachment *a, choir_bytes input, choir_chunk *chunk,
                                       size_t *ret_used, choir_time now) {
    if (a->stage == CHOIRI_STAGE_DECIDE) return CHOIR_ERR_STATE;
    if (a->stage == CHOIRI_STAGE_FINISHED) return a->status == CHOIR_OK ? CHOIR_ERR_STATE : a->status;
    if (a->session) {
        if (!choiri_session_is_idle(a->session)) return CHOIR_ERR_BUSY;
        now = choiri_session_time(a->session, now);
        if (input.len > 0) choiri_keepalive_heard(a, now);
    }
    *ret_used = 0;
    if (a->none_framing) return feed_whole(a, input, chunk, ret_used, now);
    return input.len > 0 ? feed(a, input, chunk, ret_used, now) : CHOIR_OK;
}

int choir_attachment_receive(choir_attachment *a, const void *bytes, size_t len, choir_chunk *chunk,
                             size_t *ret_used, choir_time now) {
    choir_bytes input = {bytes, len};
    choiri_frame frame;
    if (!a || !ret_used || (!bytes && len > 0)) return CHOIR_ERR_INVALID;
    if (CHOIRI_UNLIKELY(a->stage != CHOIRI_STAGE_OPEN || !choiri_session_is_idle(a->session) ||
                        a->none_framing || !choiri_framer_take_whole(&a->framer, input, chunk, &frame)))
        return receive_any(a, input, chunk, ret_used, now);
    now = choiri_session_time(a->session, now);
    choiri_keepalive_heard(a, now);
    *ret_used = CHOIRI_FRAME_HEAD + frame.payload.len;
    choiri_session_payload(a->session, &frame, now);
    return a->status;
}

/* ---- time ---- */

static choir_time frame_deadline(const choir_attachment *a) {
    if (a->frame_started == CHOIR_TIME_NEVER || a->frame_timeout == 0) return CHOIR_TIME_NEVER;
    choir_duration earned =
        a->min_rate > 0 ? (uint64_t)choiri_framer_received(&a->framer) * CHOIR_SECOND / a->min_rate : 0;
    return choiri_time_later(choiri_time_later(a->frame_started, a->frame_timeout), earned);
}

choir_time choir_attachment_deadline(const choir_attachment *a) {
    if (!a) return CHOIR_TIME_NEVER;
    return choiri_time_earlier(choiri_time_earlier(a->handshake_deadline, frame_deadline(a)), a->output_due);
}

void choir_attachment_advance(choir_attachment *a, choir_time now) {
    if (!a) return;
    if (a->session) now = choiri_session_time(a->session, now);
    bool stalled = now >= a->output_due;
    if (stalled && now - a->output_due > SLEPT) { /* nobody tried to write in that time */
        a->output_due = choiri_time_later(now, a->stall_timeout);
        stalled = false;
    }
    if (a->stage == CHOIRI_STAGE_FINISHED) {
        if (!stalled) return;
        drop_output(a); /* nobody takes our last words */
        if (a->session) choiri_session_cut(a->session);
    } else if (now >= a->handshake_deadline) {
        choiri_attachment_fail_with(a, CHOIR_ERR_HANDSHAKE_TIMEOUT, "the handshake was not finished in time",
                                    now);
    } else if (now >= frame_deadline(a)) {
        choiri_attachment_fail_with(a, CHOIR_ERR_FRAME_TIMEOUT, "a frame took too long to arrive", now);
    } else if (stalled) {
        a->output_due = choiri_time_later(now, a->stall_timeout); /* the last words have their own time */
        choiri_attachment_fail_with(a, CHOIR_ERR_WRITE_STALLED,
                                    "the peer took too little of our output for too long", now);
    }
}

/* ---- life ---- */

static uint32_t modes_of(uint32_t codecs) {
    uint32_t modes = 0;
    for (uint32_t codec = 0; codec < CHOIRI_CODECS; codec++)
        if ((codecs & 1u << codec) && choiri_codec_of(codec)) modes |= 1u << choiri_prologue_mode_of(codec);
    return modes;
}

static int new_attachment(choir_env *env, const choir_attachment_options *options, bool initiator,
                          choir_attachment **ret, choir_time now) {
    choir_attachment_options o = defaults;
    if (!env || !ret || (options && choiri_options_copy(&o, sizeof o, options) != CHOIR_OK))
        return CHOIR_ERR_INVALID;
    if (o.framing > CHOIR_FRAMING_NONE || o.max_payload < CHOIRI_PAYLOAD_MIN ||
        o.max_payload > CHOIRI_EGRESS_PAYLOAD_MAX || o.max_handshake < CHOIRI_PAYLOAD_MIN ||
        o.max_handshake > CHOIRI_EGRESS_PAYLOAD_MAX || o.codecs == 0 || (o.codecs & ~CODECS) ||
        o.resumed_input > 1)
        return CHOIR_ERR_INVALID;
    choir_attachment *a = choiri_alloc(env, sizeof *a); /* long-lived: not rounded up to a pool class */
    if (!a) return CHOIR_ERR_NO_MEMORY;
    memset(a, 0, sizeof *a);
    int status = o.evidence ? choiri_evidence_copy(env, o.evidence, &a->evidence) : CHOIR_OK;
    if (status != CHOIR_OK) {
        choiri_free(env, a, sizeof *a);
        return status;
    }
    a->env = env;
    a->initiator = initiator;
    a->modes = modes_of(o.codecs);
    a->none_framing = o.framing == CHOIR_FRAMING_NONE;
    a->resumed_input = o.resumed_input;
    a->max_payload = o.max_payload;
    a->max_handshake = o.max_handshake;
    a->min_rate = o.min_rate;
    a->min_output_rate = o.min_output_rate;
    a->frame_timeout = o.frame_timeout;
    a->stall_timeout = o.write_stall_timeout;
    a->handshake_deadline =
        o.handshake_timeout ? choiri_time_later(now, o.handshake_timeout) : CHOIR_TIME_NEVER;
    a->frame_started = a->output_due = CHOIR_TIME_NEVER;
    a->wake = o.wake;
    a->wake_ctx = o.wake_ctx;
    a->user_data = o.user_data;
    choiri_dlist_init(&a->leaving);
    choiri_framer_init(&a->framer, env, CHOIRI_PROLOGUE_MAX);
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
    if (!session->initiator || !choiri_session_may_attach(session)) return CHOIR_ERR_STATE;
    choir_attachment *a;
    int status = new_attachment(env, options, true, &a, now);
    if (status != CHOIR_OK) return status;
    now = choiri_session_time(session, now);
    a->codec = session->codec;
    a->written = session->taken;
    a->woken = true; /* the host does not know it yet */
    a->session = session;
    status = choiri_greeting_start(a, now);
    if (status != CHOIR_OK) {
        a->session = NULL;
        choir_attachment_free(a, now);
        return status;
    }
    choiri_session_attach(session, a);
    choiri_keepalive_start(a, now);
    *ret_attachment = a;
    if (a->wake) a->wake(a->wake_ctx, a);
    return CHOIR_OK;
}

int choir_attachment_set_evidence(choir_attachment *a, const choir_evidence *evidence) {
    if (!a || !evidence) return CHOIR_ERR_INVALID;
    if (a->evidence || a->stage != CHOIRI_STAGE_PROLOGUE) return CHOIR_ERR_STATE;
    return choiri_evidence_copy(a->env, evidence, &a->evidence);
}

const choir_hello *choir_attachment_hello(choir_attachment *a) {
    if (!a || a->stage != CHOIRI_STAGE_DECIDE) return NULL;
    a->hello->hello.evidence = a->evidence;
    return &a->hello->hello;
}

choir_bytes choir_attachment_received(const choir_attachment *a) {
    if (!a || a->stage != CHOIRI_STAGE_DECIDE) return (choir_bytes){NULL, 0};
    return (choir_bytes){a->seen.bytes, a->seen.len};
}

int choir_attachment_refuse(choir_attachment *a, const choir_reason *reason, choir_time now) {
    if (!a || a->stage != CHOIRI_STAGE_DECIDE) return CHOIR_ERR_STATE;
    choir_reason r;
    if (choiri_reason_check(reason, &r) != CHOIR_OK) return CHOIR_ERR_INVALID;
    int status = choiri_greeting_sorry(a, r.text, now);
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_str(choiri_text_add(&text, "refused: "), r.text);
    choiri_attachment_finish(a, CHOIR_ERR_SHUTDOWN, &text);
    return status;
}

int choir_attachment_status(const choir_attachment *a) {
    return a ? a->status : CHOIR_ERR_INVALID;
}
choir_str choir_attachment_text(const choir_attachment *a) {
    return a && a->text.data ? a->text : (choir_str){"", 0};
}
choir_session *choir_attachment_session(const choir_attachment *a) {
    return a ? a->session : NULL;
}
void *choir_attachment_user_data(const choir_attachment *a) {
    return a ? a->user_data : NULL;
}
