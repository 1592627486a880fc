/* SPDX-License-Identifier: MIT */
/* The session as the core sees it. See choir/session.h for its contract.
 *
 * A session owns what outlives a link: connections, handles, timers, events, the ring of those who have
 * output. What dies with a link is its attachment's (session/attachment.h); neither sets a field of the
 * other. Of calls it knows only their handles: connections have drivers for the rest. */
#ifndef CHOIRI_SESSION_H
#define CHOIRI_SESSION_H

#include "base/arena.h"
#include "base/table.h"
#include "choir/attachment.h"
#include "protocol/codec.h"
#include "schema/schema_store.h"
#include "session/connection.h"

typedef enum choiri_session_state {
    CHOIRI_SESSION_NEW,         /* no link yet, or the handshake is under way */
    CHOIRI_SESSION_ESTABLISHED, /* a link is open */
    CHOIRI_SESSION_DETACHED,    /* the link is gone, another may come */
    CHOIRI_SESSION_CLOSING,     /* nothing new; the last answers leave */
    CHOIRI_SESSION_ENDED        /* terminal events are queued or were polled */
} choiri_session_state;

/* What the peer's Hello says. */
typedef struct choiri_peer {
    uint32_t requests; /* that it takes at a time on the root */
    bool retry;        /* it supports retry: calls carry operation ids */
    bool announces;    /* it wants our schemas; in postcard every peer does */
} choiri_peer;

struct choir_session {
    choir_env *env;
    const choiri_upper *upper;
    const choiri_codec *codec;
    choir_attachment *attachment; /* NULL: none yet, or its link is gone */
    choiri_session_state state : 8;
    bool initiator;
    bool given; /* the host has it: its destroy functions are called */
    bool had_attachment;
    bool resumable; /* the loss of a link does not end it */
    uint8_t parity; /* ours, of connection ids: CHOIRI_PARITY_* */
    choiri_peer peer;
    uint64_t taken;               /* bytes of output that links which are gone have taken */
    uint64_t quota, charged;      /* bytes the peer makes us hold: limit, now */
    uint64_t seed[2];             /* of every hash whose keys a peer chooses */
    choiri_schema_store *schemas; /* the layer above's: what the peer announced, on whichever connection */
    choir_time now;               /* latest time seen; time never goes back */
    choir_duration gap;           /* longest jump of time since the last advance: did we sleep? */
    choiri_timers timers;
    /* Glitches and nuisances that no connection can be blamed for; starts of all connections together. */
    choiri_bucket glitches, nuisances, starts;

    struct {
        choiri_conn root;
        choiri_conn **pages; /* of 64 records */
        uint32_t pages_len;
        uint32_t free;   /* slot + 1 */
        uint32_t live;   /* records whose end was not polled, the root's included */
        uint32_t theirs; /* of those the peer opened */
        uint32_t max_theirs;
        uint32_t first_generation;
        uint32_t *buckets; /* slot + 1, by wire id; the root is not in it */
        uint32_t buckets_len, count;
        uint64_t next_id;     /* the next wire id of ours */
        uint64_t highest;     /* of the peer's wire ids so far */
        choiri_dlist cooling; /* hot parts that became idle, the longest idle first */
        uint32_t cooling_len;
        uint32_t orphans; /* requests of closed connections whose handlers have not finished */
    } conns;
    choiri_table calls, requests; /* the upper layer's objects by handle, of all connections */
    uint32_t held;                /* requests whose handlers have not finished, of all connections */
    uint32_t busy;                /* calls and requests in flight */
    choir_time busy_since;        /* CHOIR_TIME_NEVER when nothing is in flight */
    choiri_dlist ring;            /* connections with output: session/egress.h */
    choiri_dlist relieved;        /* those that may go on because some of it has left */

    struct {
        choir_duration idle, busy, send; /* 0 is off */
    } keepalive;

    choiri_ready *ready, *ready_tail;
    choiri_ready *retired;   /* freed at the next poll, receive or free */
    choiri_ready state_node; /* ESTABLISHED, PONG, DETACHED, RESUMED */
    choiri_ready closed_node;
    choiri_arena scratch;      /* what the current event points to */
    choiri_arena inbox;        /* metadata of the newest message, where it does not lie in its payload */
    choir_chunk *last_payload; /* of an attachment that was freed: what waiting events point to */
    choir_observer *observers, *next_observer; /* the next one to be told of an event */
    choiri_slot *slots;

    /* What a handshake says; empty after the only one. */
    choir_metadata metadata;
    uint8_t *metadata_copy;
    size_t metadata_size;
    choir_evidence *evidence; /* of the newest link that is gone; while there is one, its own */

    int status, link_status;
    /* Allocated; data is NULL while there is none. `text` is why it ended, and while it lives what the newest
     * error of a function does not say. */
    choir_str text, link_text;

    void (*wake)(void *ctx, choir_session *session);
    void *wake_ctx;
    void *user_data;
    void (*destroy)(void *user_data);
    choir_event event;
};

enum { /* bits of state_node */
       CHOIRI_REPORT_ESTABLISHED = 1,
       CHOIRI_REPORT_RESUMED = 2,
       CHOIRI_REPORT_PONG = 4,
       CHOIRI_REPORT_DETACHED = 8,
};

/* ---- life ---- */

/* options: already copied to full size and checked, as is their root. OK · ERR_NO_MEMORY · ERR_INVALID ·
 * ERR_RANDOM. */
int choiri_session_make(choir_env *env, const choir_session_options *options, const choiri_conn_init *root,
                        const choiri_upper *upper, bool initiator, const choiri_codec *codec,
                        choir_session **ret_session, choir_time now);
/* What is told as a reason: `in`, or an empty one for NULL. OK · ERR_INVALID (its size, a text that is not
 * UTF-8, NULL with a length). */
int choiri_reason_check(const choir_reason *in, choir_reason *ret);
/* OK · ERR_INVALID. */
int choiri_session_options_check(const choir_session_options *in, choir_session_options *ret,
                                 choir_conn_options *ret_root);
/* What options say about a connection's limits. */
choiri_limits choiri_limits_of(const choir_conn_options *o);

/* The live connection with this id on the wire; NULL: none. O(1). */
static inline choiri_conn *choiri_conn_by_wire_id(choir_session *s, uint64_t wire_id) {
    if (wire_id != 0) return choiri_conn_virtual(s, wire_id);
    return choiri_conn_get_state(&s->conns.root) == CHOIRI_CONN_CLOSED ? NULL : &s->conns.root;
}

/* About the peer of the newest link. */
const choir_evidence *choiri_session_evidence(const choir_session *s);

/* Clamps and remembers time. */
choir_time choiri_session_time(choir_session *s, choir_time now);
/* True when there is no event to poll. */
static inline bool choiri_session_is_idle(const choir_session *s) {
    return s->ready == NULL;
}
void choiri_session_wake(choir_session *s);
/* The layer above says that a call or request is in flight, or is no longer: work that waits for the peer, or
 * that the peer waits for, shortens the time in which a dead peer must be found. */
static inline void choiri_session_begin_work(choir_session *s) {
    if (s->busy++ == 0) s->busy_since = s->now;
}
static inline void choiri_session_end_work(choir_session *s) {
    if (--s->busy == 0) s->busy_since = CHOIR_TIME_NEVER;
}
/* What is held, the link's own share included: what is compared with the quota. */
uint64_t choiri_session_held(const choir_session *s);
/* Lowers *limit to what is left of the quota; true when that is less. */
bool choiri_session_cap(const choir_session *s, size_t *limit);
/* Bytes in the queues of connections. */
uint64_t choiri_session_queued(const choir_session *s);

/* ---- failures ---- */

/* Ends the session. ERR_PROTOCOL and ERR_OUT_OF_MEMORY tell the peer why, if they still can. */
void choiri_session_fail(choir_session *s, int status, const choiri_text *text, choir_time now);
/* What the newest error does not say; NULL: nothing. Without effect once the session has ended. */
void choiri_session_note(choir_session *s, const choiri_text *text);
void choiri_session_protocol_error(choir_session *s, const char *what, uint64_t number, choir_time now);
/* As choiri_conn_glitch and _nuisance, for what no connection can be blamed for. */
bool choiri_session_glitch(choir_session *s, choir_time now);
bool choiri_session_nuisance(choir_session *s, choir_time now);

/* ---- from the attachment ---- */

/* May it be given a link? */
bool choiri_session_may_attach(const choir_session *s);
void choiri_session_attach(choir_session *s, choir_attachment *a);
/* The handshake is done. */
void choiri_session_established(choir_session *s, const choiri_peer *peer, choir_time now);
void choiri_session_payload(choir_session *s, const choiri_frame *frame, choir_time now);
/* The link took output. */
void choiri_session_taken(choir_session *s, choir_time now);
/* The link is lost, silent or stalled: the session is detached, or has failed with it. */
void choiri_session_link_failed(choir_session *s, int status, const choiri_text *text, choir_time now);
/* A link that was only flushing last answers is gone, or takes nothing: the session has closed. */
void choiri_session_cut(choir_session *s);
/* The attachment is about to be freed; `payload` is what events may still point to. Takes it. */
void choiri_session_detach(choir_session *s, choir_chunk *payload);

/* ---- demux.c, connection.c: among its own files ---- */

void choiri_conn_offered(choir_session *s, const choiri_message *msg, choir_time now);
void choiri_conn_message(choir_session *s, choiri_conn *c, const choiri_message *msg, choir_time now);

#endif
