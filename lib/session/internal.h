/* SPDX-License-Identifier: MIT */
/* Attachment and session as the core sees them. See choir/attachment.h and choir/session.h for their contracts.
 *
 * The split: an attachment owns everything that dies with its link (framer, unwritten output, handshake, deadlines of
 * the link); a session owns what outlives it (connections, ids, pending events). A session speaks to its connections'
 * drivers through choiri_driver, so this layer knows nothing of calls.
 */
#ifndef CHOIRI_SESSION_INTERNAL_H
#define CHOIRI_SESSION_INTERNAL_H

#include "base/arena.h"
#include "base/bucket.h"
#include "base/env.h"
#include "base/text.h"
#include "base/timer.h"
#include "choir/attachment.h"
#include "choir/session.h"
#include "link/framer.h"
#include "protocol/codec.h"
#include "session/handshake.h"

/* Pongs that may wait for the link: more pings are answered by the newest only (reliability case A22 allows 64; an honest
 * peer has one ping under way). */
#define CHOIRI_PONGS_MAX 16u

/* ---- ready list: objects with something to report. Intrusive, so reporting never allocates. ---- */

typedef struct choiri_node choiri_node;

typedef struct choiri_reporter {
    /* Fills `event` from one of node->bits and clears it; false when there turned out to be nothing to say. A node that
     * was reported for the last time sets session->retired to itself. */
    bool (*report)(choir_session *s, choiri_node *node, choir_event *event);
    /* Frees the object of a retired node. */
    void (*retire)(choir_session *s, choiri_node *node);
} choiri_reporter;

struct choiri_node {
    choiri_node *next;
    const choiri_reporter *reporter;
    uint32_t bits; /* what is to be reported; meaning is the reporter's */
    bool queued;   /* in the ready list */
};

/* ---- what a connection's driver offers to the session ---- */

typedef struct choiri_conn choiri_conn;

typedef struct choiri_driver {
    /* OK, ERR_NO_MEMORY, ERR_INVALID, ERR_ABI, ERR_RANDOM. */
    int (*open_root)(choir_session *s, const choir_session_options *options, choiri_conn **ret_conn);
    /* Both ends are known: parity and limits are in the session. */
    void (*established)(choiri_conn *c, choir_time now);
    void (*message)(choiri_conn *c, const choiri_message *msg, const choiri_frame *frame, choir_time now);
    /* A timer of this connection is due; its owner tells what it is in. */
    void (*expired)(choiri_conn *c, choiri_timer *timer, choir_time now);
    /* Output went below its limit. */
    void (*drained)(choiri_conn *c, choir_time now);
    /* The link takes answers again: requests that were held back may start. */
    void (*released)(choiri_conn *c, choir_time now);
    /* Orderly end is wanted: answer what is running. */
    void (*shutdown)(choiri_conn *c, choir_time now);
    /* The link is gone for good: queue every terminal event. */
    void (*ended)(choiri_conn *c);
    void (*free)(choiri_conn *c);
    choir_conn (*handle)(const choiri_conn *c);
    uint32_t (*held_requests)(const choiri_conn *c);
} choiri_driver;

/* ---- session ---- */

typedef enum choiri_session_state {
    CHOIRI_SESSION_NEW, /* no link yet, or the handshake is under way */
    CHOIRI_SESSION_ESTABLISHED,
    CHOIRI_SESSION_CLOSING, /* inside choir_session_close: the driver gives its last answers */
    CHOIRI_SESSION_ENDED    /* terminal events are queued or were polled */
} choiri_session_state;

struct choir_session {
    choir_env *env;
    const choiri_driver *driver;
    const choiri_codec *codec; /* of the link that it has or will have */
    choiri_conn *root;
    choir_attachment *attachment; /* NULL: none yet, or its link is gone */
    choiri_session_state state;
    bool had_attachment;
    bool initiator;
    bool retry;           /* the peer supports retry: calls carry operation ids */
    bool announces;       /* the peer wants our schemas */
    uint8_t parity;       /* ours: CHOIRI_PARITY_* */
    choiri_settings peer; /* what the peer announced */
    uint32_t max_concurrent_requests;
    uint64_t max_output;
    uint64_t quota, charged; /* bytes the peer makes us hold: limit, now */
    choir_time now;          /* latest time seen; time never goes back */
    choiri_bucket glitches;

    struct {
        choir_duration idle, busy, send; /* 0 is off */
        choir_time last_rx;              /* last byte of the peer */
        choir_time last_tx;              /* last message of ours */
        choir_time busy_since;           /* CHOIR_TIME_NEVER when nothing is in flight */
        choir_duration gap;              /* longest jump of time since the last advance: did we sleep? */
        bool asked;                      /* a Ping was sent since last_rx ... */
        bool ask_failed;                 /* ... or should have been: there was no memory for it */
        uint64_t mark;                   /* output position behind the newest Ping */
        uint64_t nonce;                  /* of the newest Ping */
        uint64_t host_nonce;             /* of choir_session_ping's, 0 is none */
    } alive;

    struct {
        uint64_t nonces[CHOIRI_PONGS_MAX];
        uint32_t count;
        uint64_t mark; /* output position behind the last pong written */
    } pongs;

    choiri_timers timers;
    choiri_node *ready, *ready_tail;
    choiri_node *retired;   /* freed at the next poll, receive or free */
    choiri_node state_node; /* ESTABLISHED, PONG, DETACHED */
    choiri_node closed_node;
    choiri_arena scratch; /* what the current event points to */
    uint8_t scratch_first[256];
    choiri_arena inbox; /* what of the newest message is not in its payload */
    choir_event event;
    choir_chunk *last_payload; /* of an attachment that was freed: what waiting events point to */

    choir_metadata metadata; /* of the options, until the handshake was sent; then empty */
    uint8_t *metadata_copy;
    size_t metadata_size;
    choiri_handshake *peer_hello; /* until ESTABLISHED was reported */
    choir_str call_name;          /* service we expect from the peer, or "Noop" */

    int status;
    choiri_text text;

    void (*wake)(void *ctx, choir_session *session);
    void *wake_ctx;
    void *user_data;
    void (*destroy)(void *user_data);
};

enum { /* bits of state_node */
       CHOIRI_REPORT_ESTABLISHED = 1,
       CHOIRI_REPORT_PONG = 2,
       CHOIRI_REPORT_DETACHED = 4,
};

/* options: already copied to full size (choiri_session_options_check). */
int choiri_session_new(choir_env *env, const choir_session_options *options, const choiri_driver *driver,
                       bool initiator, choir_session **ret_session, choir_time now);
/* Answers the waiting Hello and ties the two together. OK · ERR_NO_MEMORY (nothing changed). */
int choiri_attachment_accept(choir_attachment *a, choir_session *s, choir_time now);
int choiri_session_options_check(const choir_session_options *in, choir_session_options *ret);

/* Clamps and remembers time. */
choir_time choiri_session_time(choir_session *s, choir_time now);
/* Queues `bits` of a node for reporting. */
void choiri_session_report(choir_session *s, choiri_node *node, uint32_t bits);
/* Charges one odd but honest message; false when that was one too many and the session has failed. */
bool choiri_session_glitch(choir_session *s, choir_time now);
/* Bytes held because of the peer. */
bool choiri_session_charge(choir_session *s, size_t bytes);
void choiri_session_discharge(choir_session *s, size_t bytes);
/* Ends the session. ERR_PROTOCOL and ERR_OUT_OF_MEMORY tell the peer why, if they still can. */
void choiri_session_fail(choir_session *s, int status, const choiri_text *text, choir_time now);
void choiri_session_arm(choir_session *s, choiri_timer *timer, choir_time deadline);
void choiri_session_disarm(choir_session *s, choiri_timer *timer);
/* The driver says whether calls or requests are in flight. */
static inline void choiri_session_set_busy(choir_session *s, bool busy, choir_time now) {
    if (!busy)
        s->alive.busy_since = CHOIR_TIME_NEVER;
    else if (s->alive.busy_since == CHOIR_TIME_NEVER)
        s->alive.busy_since = now;
}
/* True when there is no event to poll. */
static inline bool choiri_session_is_idle(const choir_session *s) {
    return s->ready == NULL;
}

/* From the attachment: the handshake is done (takes `peer`; NULL when accept has left it in the session), a payload, bytes were seen, output is going, the link is gone. */
void choiri_session_established(choir_session *s, choiri_handshake *peer, choir_time now);
void choiri_session_payload(choir_session *s, const choiri_frame *frame, choir_time now);
void choiri_session_alive(choir_session *s, choir_time now);
void choiri_session_wake_if_ready(choir_session *s);
void choiri_session_drained(choir_session *s, choir_time now);
void choiri_session_write_pongs(choir_session *s, choir_time now);

/* One message to the peer: begin, encode into `writer`, end. end answers OK or what failed, with nothing queued then. */
typedef struct choiri_sending {
    choiri_writer writer;
    choiri_outq_mark mark;
    choiri_hole frame;
} choiri_sending;
/* false when there is no link to write to. `chunk`: see choiri_writer_init. */
bool choiri_session_begin(choir_session *s, choiri_sending *m, choir_chunk *chunk);
/* OK · ERR_TOO_LARGE · ERR_NO_MEMORY · ERR_INVALID · ERR_DEPTH. */
int choiri_session_end(choir_session *s, choiri_sending *m, choir_time now);
uint64_t choiri_session_output(const choir_session *s);

void choiri_keepalive_init(choir_session *s, const choir_session_options *o, choir_time now);
choir_time choiri_keepalive_deadline(const choir_session *s);
void choiri_keepalive_advance(choir_session *s, choir_time now);

/* ---- attachment ---- */

typedef enum choiri_stage {
    CHOIRI_STAGE_PROLOGUE, /* the peer's prologue must come next */
    CHOIRI_STAGE_HELLO,    /* Hello (acceptor) or HelloYourself (initiator) */
    CHOIRI_STAGE_DECIDE,   /* acceptor: a Hello waits for the host */
    CHOIRI_STAGE_LETSGO,   /* acceptor: LetsGo */
    CHOIRI_STAGE_OPEN,
    CHOIRI_STAGE_FINISHED /* takes nothing more; output is flushed, then the link is closed */
} choiri_stage;

enum { CHOIRI_PAUSED_ANSWERS = 1, CHOIRI_PAUSED_PONGS = 2 };

struct choir_attachment {
    choir_env *env;
    choir_session *session;
    choiri_stage stage;
    bool initiator;
    bool none_framing;
    const choiri_codec *codec; /* acceptor: NULL until the prologue has settled it */
    uint8_t paused;            /* input is not wanted, because of: CHOIRI_PAUSED_* */
    bool holding; /* too many answers wait: until they are gone, requests that come in do not start */
    bool woken;   /* wake was called and nothing was peeked since */
    choiri_framer framer;
    choiri_outq out;      /* every payload with its length in front, whatever the framing */
    uint64_t written;     /* bytes ever consumed */
    uint64_t answers;     /* at most so many bytes of answers wait in `out` ... */
    uint64_t answers_end; /* ... all before this position, counted as `written` is */
    uint32_t modes;       /* acceptor: a bit per conduit mode that it takes */
    uint32_t max_payload, max_handshake;
    uint32_t min_rate;
    uint64_t max_output;
    choir_duration frame_timeout, stall_timeout;
    choir_time handshake_deadline; /* CHOIR_TIME_NEVER once open */
    choir_time frame_started;      /* CHOIR_TIME_NEVER when no frame is partial */
    choir_time output_moved;       /* last time output appeared or was taken; NEVER when none waits */
    choiri_handshake *hello;       /* stage DECIDE */
    int status;
    choiri_text text;
    void (*wake)(void *ctx, choir_attachment *attachment);
    void *wake_ctx;
    void *user_data;
};

/* Stops input; `status` sticks. The session, if any, is told. */
void choiri_attachment_fail(choir_attachment *a, int status, const choiri_text *text, choir_time now);
/* Takes no more input and flushes; the session is not told. */
void choiri_attachment_finish(choir_attachment *a, int status, const choiri_text *text);
/* No more input until the link has taken some output and answers of at most half of max_output are left; `reason` is one of
 * CHOIRI_PAUSED_*. */
void choiri_attachment_pause(choir_attachment *a, uint8_t reason);
/* More answers wait than the link should hold; the driver's `released` is called when that is over. */
static inline bool choiri_attachment_is_full(const choir_attachment *a) {
    return a && (a->holding || (a->paused & CHOIRI_PAUSED_ANSWERS));
}
/* An answer of so many bytes was added. */
void choiri_attachment_answered(choir_attachment *a, uint64_t bytes);
/* Output was added. */
void choiri_attachment_wrote(choir_attachment *a, choir_time now);

#endif
