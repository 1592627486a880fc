/* SPDX-License-Identifier: MIT */
/* The attachment as the core sees it. See choir/attachment.h for its contract.
 *
 * Everything that dies with its link: framer, handshake, output in flight, pongs, keepalive, the link's
 * deadlines. Only attachment.c, greeting.c, keepalive.c and egress.c set its fields; the session calls the
 * functions below. */
#ifndef CHOIRI_ATTACHMENT_H
#define CHOIRI_ATTACHMENT_H

#include "base/time.h"
#include "choir/attachment.h"
#include "link/framer.h"
#include "protocol/codec.h"
#include "session/egress.h"
#include "session/handshake.h"

/* Pongs that may wait for the link: more pings are answered by the newest only (reliability case A22 allows
 * 64; an honest peer has one ping under way). */
#define CHOIRI_PONGS_MAX 16u
/* Limit of the first frame: a prologue has 8 bytes, everything else is another protocol's and named at
 * once. */
#define CHOIRI_PROLOGUE_MAX 64u

typedef enum choiri_stage {
    CHOIRI_STAGE_PROLOGUE, /* the peer's prologue must come next */
    CHOIRI_STAGE_HELLO,    /* Hello (acceptor) or HelloYourself (initiator) */
    CHOIRI_STAGE_DECIDE,   /* acceptor: a Hello waits for the host */
    CHOIRI_STAGE_LETSGO,   /* acceptor: LetsGo */
    CHOIRI_STAGE_OPEN,
    CHOIRI_STAGE_FINISHED /* takes nothing more; output is flushed, then the link is closed */
} choiri_stage;

#define CHOIRI_PAYLOAD_MIN 64u /* the least that a link can be limited to */

struct choir_attachment {
    choir_env *env;
    choir_session *session;    /* NULL until accepted */
    const choiri_codec *codec; /* NULL until the prologue settled on one */
    choiri_stage stage : 8;
    bool initiator;
    bool none_framing;
    bool paused;        /* input is not wanted: the peer floods us with pings and does not read */
    bool woken;         /* wake was called and nothing was peeked since */
    bool resumed_input; /* what comes first was read before, and our prologue was sent then */
    bool asked;         /* a Ping was sent since alive.last_rx ... */
    bool ask_failed;    /* ... or should have been: there was no memory for it */
    choiri_framer framer;
    choiri_outq out;      /* every payload with its length in front, whatever the framing */
    uint64_t written;     /* bytes ever consumed, those of earlier links of the session included */
    choiri_dlist leaving; /* answers in `out`, in order */
    uint32_t modes;       /* acceptor: a bit per conduit mode that it takes */
    uint32_t max_payload, max_handshake; /* that we take */
    uint32_t max_sent;                   /* payload that both ends take; once it is open */
    uint32_t min_rate, min_output_rate;
    int status;
    choir_duration frame_timeout, stall_timeout;
    choir_time handshake_deadline; /* CHOIR_TIME_NEVER once open */
    choir_time frame_started;      /* CHOIR_TIME_NEVER when no frame is partial */
    choir_time output_due;   /* when the link must have taken more; CHOIR_TIME_NEVER while nothing waits */
    choir_time output_moved; /* last time the link took something */
    choiri_handshake *hello; /* of the peer: acceptor from DECIDE on, both until ESTABLISHED was reported */
    struct {
        uint8_t *bytes; /* acceptor: prologue and Hello as they came, until the host has decided */
        uint32_t len, cap;
    } seen;

    struct {
        uint64_t nonces[CHOIRI_PONGS_MAX];
        uint32_t count;
        uint64_t mark; /* output position behind the last pong written */
    } pongs;

    struct {
        choir_time last_rx;  /* last byte of the peer */
        choir_time last_tx;  /* last message of ours */
        choir_time carried;  /* last time the transport told of bytes that went on, beyond what we can see */
        uint64_t mark;       /* output position behind the newest Ping */
        uint64_t nonce;      /* of the newest Ping */
        uint64_t host_nonce; /* of choir_session_ping's, 0 is none */
    } alive;

    choir_str text;           /* allocated; empty while there is none */
    choir_evidence *evidence; /* allocated; NULL: none */
    void (*wake)(void *ctx, choir_attachment *attachment);
    void *wake_ctx;
    void *user_data;
};

/* ---- for the session and the scheduler ---- */

/* What the peer makes us hold here. */
static inline uint64_t choiri_attachment_held(const choir_attachment *a) {
    return a->out.held +
           (CHOIRI_UNLIKELY(a->framer.partial != NULL) ? choir_chunk_len(a->framer.partial) : 0);
}
/* Tells the host, once until its next peek, that there is something for it. */
void choiri_attachment_wake(choir_attachment *a);
/* Takes no more input, flushes what is queued; `status` sticks. The session is not told. */
void choiri_attachment_finish(choir_attachment *a, int status, const choiri_text *text);
/* Output was added. */
static inline void choiri_attachment_wrote(choir_attachment *a, choir_time now) {
    if (a->output_due == CHOIR_TIME_NEVER && a->stall_timeout > 0)
        a->output_due = choiri_time_later(now, a->stall_timeout);
    a->alive.last_tx = now;
    if (!a->woken) choiri_attachment_wake(a);
}
/* A Ping or a Pong of the peer. */
void choiri_attachment_ping(choir_attachment *a, uint64_t nonce);
/* true when it answers the host's. */
bool choiri_attachment_pong(choir_attachment *a, uint64_t nonce);
/* The peer's Hello is not needed any more. */
void choiri_attachment_forget_hello(choir_attachment *a);
/* What it knows about the peer, for a session that outlives it; it knows nothing any more. */
choir_evidence *choiri_attachment_take_evidence(choir_attachment *a);
/* Nothing is left that could leave. */
bool choiri_attachment_is_flushed(const choir_attachment *a);
/* Answers the waiting Hello and ties the two together. OK · ERR_NO_MEMORY (nothing changed). */
int choiri_greeting_accept(choir_attachment *a, choir_session *s, choir_time now);

/* ---- among its own files ---- */

/* The one way from stage to stage. */
void choiri_attachment_set_stage(choir_attachment *a, choiri_stage to);
/* Stops input; `status` sticks. The session, if any, is told: the link's failure, or its own. */
void choiri_attachment_fail(choir_attachment *a, int status, const choiri_text *text, choir_time now);
int choiri_attachment_fail_with(choir_attachment *a, int status, const char *what, choir_time now);
/* greeting.c: a payload of stages PROLOGUE to LETSGO. The status of receive. */
int choiri_greeting_payload(choir_attachment *a, choir_bytes payload, choir_time now);
/* What the initiator says first. OK · ERR_NO_MEMORY. */
int choiri_greeting_start(choir_attachment *a, choir_time now);
/* Answers Sorry. OK · ERR_NO_MEMORY. */
int choiri_greeting_sorry(choir_attachment *a, choir_str reason, choir_time now);
/* Input of an acceptor before the decision, for choir_attachment_received. false without memory. */
bool choiri_greeting_remember(choir_attachment *a, choir_bytes input);
void choiri_greeting_forget(choir_attachment *a);

/* evidence.c: one block with the texts behind the struct. OK · ERR_INVALID · ERR_NO_MEMORY. */
int choiri_evidence_copy(choir_env *env, const choir_evidence *from, choir_evidence **ret);
/* NULL is fine. */
void choiri_evidence_free(choir_env *env, choir_evidence *evidence);

/* keepalive.c */
void choiri_keepalive_start(choir_attachment *a, choir_time now);
/* Bytes of the peer, or silence that was our doing. */
void choiri_keepalive_heard(choir_attachment *a, choir_time now);
choir_time choiri_keepalive_deadline(const choir_attachment *a);
/* `gap`: the longest jump of time since it was called last. */
void choiri_keepalive_advance(choir_attachment *a, choir_duration gap, choir_time now);

#endif
