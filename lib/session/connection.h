/* SPDX-License-Identifier: MIT */
/* Connections: the root and virtual ones, objects of their session.
 *
 * A connection is a record of 64 bytes and nothing else while it is idle. Records of one kind share a
 * profile; what a connection needs to carry something, its hot part, is made with the first message and given
 * back when it is idle again. The layer above supplies a driver for each profile, which turns messages into
 * calls and requests.
 *
 * States: opening (we sent Open) or offered (the peer did) → open → closed → gone. A closed connection has
 * queued its terminal event and everything that belonged to it has done so before; it is gone when that event
 * was polled and nothing of it is held any more. */
#ifndef CHOIRI_CONNECTION_H
#define CHOIRI_CONNECTION_H

#include "base/bucket.h"
#include "base/dlist.h"
#include "base/text.h"
#include "base/timer.h"
#include "link/framer.h"
#include "protocol/message.h"
#include "schema/service.h"
#include "session/egress.h"
#include "session/ready.h"
#include "session/slots.h"

typedef struct choiri_conn choiri_conn;
typedef struct choiri_profile choiri_profile;

typedef enum choiri_conn_state {
    CHOIRI_CONN_FREE,
    CHOIRI_CONN_OPENING, /* we sent Open, or shall with the session's start; the root before its handshake */
    CHOIRI_CONN_OFFERED, /* the peer sent Open; the layer above decides */
    CHOIRI_CONN_OPEN,
    CHOIRI_CONN_CLOSED /* its terminal event is queued or was polled */
} choiri_conn_state;

/* ---- what the layer above supplies ---- */

/* One for each kind of connection. */
typedef struct choiri_driver {
    size_t hot_size; /* of its hot part, which starts with a choiri_hot */
    void (*hot_init)(choiri_hot *hot);
    /* Nothing of it needs the hot part any more? The common part was asked before. */
    bool (*hot_is_idle)(const choiri_hot *hot);
    /* Frees what is left, reported or not. */
    void (*hot_deinit)(choiri_hot *hot);
    /* Accepted: what waited may leave. */
    void (*opened)(choir_session *s, choiri_conn *c, choir_time now);
    /* A Request, Schema or Channel message. */
    void (*message)(choir_session *s, choiri_conn *c, const choiri_message *msg, const choiri_frame *frame,
                    choir_time now);
    /* Output has room again, or a token is there: go on with what was held back. */
    void (*go_on)(choir_session *s, choiri_hot *hot, choir_time now);
    /* The oldest call in its queue went on into the link's, where it ends at `end`; `younger` ones are behind
     * it. Needed by drivers that send frames of that kind. */
    void (*call_moved)(choiri_hot *hot, uint32_t younger, uint64_t end);
    /* An orderly end is wanted: answer what is running. */
    void (*shutdown)(choir_session *s, choiri_conn *c, choir_time now);
    /* The connection is over: queue every terminal event that it owes. */
    void (*ended)(choir_session *s, choiri_conn *c, int status);
    void (*lasting_free)(choir_session *s, choiri_conn *c);
} choiri_driver;

/* One for each kind of session: what the layer above has in common for all its connections. */
typedef struct choiri_upper {
    /* Fills `event` from one of the node's bits and clears it; false when there turned out to be nothing to
     * say. A node that was reported for the last time sets session->retired to itself. */
    bool (*report)(choir_session *s, choiri_ready *node, choir_event *event);
    /* Frees the object of a retired node. */
    void (*retire)(choir_session *s, choiri_ready *node);
    /* An answer on its way has left, or never will. */
    void (*left)(choir_session *s, choiri_leaving *leaving, bool taken);
    /* A timer of one of its objects is due. */
    void (*expired)(choir_session *s, choiri_timer *timer, choir_time now);
    /* The peer offers a connection, now in state offered: accept or reject it, at once or later. */
    void (*offered)(choir_session *s, choiri_conn *c, const choiri_message *open, choir_time now);
} choiri_upper;

/* ---- profile ---- */

/* What connections of one kind have in common. Compared byte by byte, so it is filled in from zeroes. */
typedef struct choiri_limits {
    uint64_t max_queued_request_bytes, max_queued_call_bytes, max_output, max_answers;
    uint32_t max_concurrent_requests, max_queued_requests, max_queued_calls;
    uint32_t glitch_burst, glitch_rate;
    uint32_t peer_requests; /* what the peer announced: requests of ours that it takes at a time */
    uint32_t max_calls;     /* that many, but at least one */
    uint32_t reserved;
} choiri_limits;

struct choiri_profile {
    choiri_profile *next; /* of the env */
    uint32_t refs;
    const choiri_driver *driver;
    const choiri_prepared *serve; /* NULL: everything is an unknown method */
    const choiri_prepared *call;  /* NULL: nothing can be called */
    void (*destroy)(void *user_data);
    choir_hooks hooks;
    choiri_limits limits;
};

/* Finds or makes one that is equal to `like` (its next and refs do not count); NULL without memory. */
choiri_profile *choiri_profile_get(choir_env *env, const choiri_profile *like);
void choiri_profile_release(choir_env *env, choiri_profile *p);

/* ---- record ---- */

struct choiri_conn {
    choiri_ready node; /* state: choiri_conn_state and CHOIRI_CONN_* flags; generation: of the handle */
    uint64_t wire_id;
    uint32_t slot;
    uint32_t next; /* slot + 1 in a chain of the hash or in the free list; 0 ends it */
    choiri_profile *profile;
    choiri_hot *hot; /* NULL while it carries nothing */
    void *lasting;   /* the driver's, from the first message to the end: ids given out, types announced */
    void *user_data;
};
_Static_assert(sizeof(void *) != 8 || sizeof(choiri_conn) == 64, "a record is a cache line");

enum { CHOIRI_CONN_WRITABLE = 1, CHOIRI_CONN_OVER = 2 }; /* bits of node */
enum {                                                   /* beside the state */
       CHOIRI_CONN_STATE = 0x3f,
       CHOIRI_CONN_THEIRS = 0x40, /* the peer opened it */
       CHOIRI_CONN_EVEN = 0x80,   /* the request ids that we use on it are even */
};

/* Owners of timers: those of the layer above come after ours. */
enum { CHOIRI_TIMER_CONN = 1, CHOIRI_TIMER_UPPER };

/* Every hot part starts with this. */
struct choiri_hot {
    choir_session *session;
    choiri_conn *conn;
    choiri_egress egress; /* what waits for the link */
    choiri_slot *slots;
    choiri_dlist cooling; /* in the session's list of those that became idle; in none while it is not */
    uint64_t charged;     /* bytes that the peer makes us hold here, this struct included */
    uint32_t unreported;  /* calls and requests whose terminal event was not polled */
    uint32_t held;        /* requests whose handlers have not finished */
    bool over;           /* CONN_CLOSED was polled: the record goes when nothing is held or queued any more */
    choir_str why;       /* of a virtual connection's end; allocated */
    choiri_timer refill; /* armed while a request waits for `starts` to have a token */
    /* One is taken by each request that starts, and given back unless it was for nothing. */
    choiri_bucket starts;
    /* What no honest peer does often: the connection ends when it is empty. */
    choiri_bucket glitches;
    /* What costs next to nothing, and an overloaded honest peer does: it ends a flood only. */
    choiri_bucket nuisances;
};

static inline choiri_conn_state choiri_conn_get_state(const choiri_conn *c) {
    return (choiri_conn_state)(c->node.state & CHOIRI_CONN_STATE);
}
/* CHOIRI_PARITY_*: of the request ids that we use on this connection. */
static inline uint8_t choiri_conn_parity(const choiri_conn *c) {
    return c->node.state & CHOIRI_CONN_EVEN ? CHOIRI_PARITY_EVEN : CHOIRI_PARITY_ODD;
}
static inline bool choiri_conn_is_ours(const choiri_conn *c, uint64_t id) {
    return (id & 1) == (choiri_conn_parity(c) == CHOIRI_PARITY_ODD);
}
static inline choir_conn_id choiri_conn_handle(const choiri_conn *c) {
    return (choir_conn_id){(uint64_t)c->node.generation << 32 | c->slot};
}
static inline bool choiri_conn_is_root(const choiri_conn *c) {
    return c->slot == 0;
}

/* ---- looking up ---- */

/* O(1); NULL for a stale handle, an unknown wire id. choiri_conn_by_wire_id (session.h) knows the root,
 * too. */
choiri_conn *choiri_conn_find(choir_session *s, choir_conn_id handle);
choiri_conn *choiri_conn_virtual(choir_session *s, uint64_t wire_id);

/* ---- life ---- */

/* What a connection is made of. `like` is copied into a profile; metadata is borrowed. */
typedef struct choiri_conn_init {
    choiri_profile like;
    uint8_t parity; /* CHOIRI_PARITY_*: of our request ids on it */
    void *user_data;
    const choir_metadata_entry *metadata;
    size_t metadata_len;
} choiri_conn_init;

/* Makes the root's record, in state opening. OK · ERR_NO_MEMORY. */
int choiri_conn_make_root(choir_session *s, const choiri_conn_init *init);
/* Opens a virtual connection: the peer is sent Open. rule: connection.open
 * OK · ERR_STATE (not established) · ERR_INVALID (metadata) · ERR_ID_EXHAUSTED · ERR_NO_MEMORY. */
int choiri_conn_open(choir_session *s, const choiri_conn_init *init, choiri_conn **ret_conn, choir_time now);
/* Answers an offered one. OK · ERR_INVALID (metadata) · ERR_NO_MEMORY; it is then still offered. rule:
 * connection.accept */
int choiri_conn_accept(choir_session *s, choiri_conn *c, const choiri_conn_init *init, choir_time now);
/* The same with a refusal; the connection is gone without an event, since nobody was told of it. rule:
 * connection.reject */
int choiri_conn_reject(choir_session *s, choiri_conn *c, choir_str reason, choir_time now);
/* Ends a virtual connection: the peer is sent Close with `reason` when it is not empty. Its events say
 * `status`. Nothing on this wire acknowledges it. rule: connection.close */
void choiri_conn_close(choir_session *s, choiri_conn *c, int status, choir_str reason, choir_time now);
/* The peer broke a rule inside of it, or memory ran out: closes a virtual connection with the reason, and
 * fails the session for the root. */
void choiri_conn_fail(choir_session *s, choiri_conn *c, int status, const choiri_text *why, choir_time now);
/* The same, with ERR_PROTOCOL and "<what><number>". */
void choiri_conn_protocol_error(choir_session *s, choiri_conn *c, const char *what, uint64_t number,
                                choir_time now);
/* Both ends are known now. */
void choiri_conn_opened(choir_session *s, choiri_conn *c, uint32_t peer_requests, choir_time now);
/* Why it ended: once it is closed. The root has its session's. */
int choiri_conn_status(const choir_session *s, const choiri_conn *c);
/* The same for people; empty while it lives. */
choir_str choiri_conn_text(const choir_session *s, const choiri_conn *c);
/* Over, with nothing to send: queues all that it owes, then its own end. `text` may be NULL. */
void choiri_conn_end(choir_session *s, choiri_conn *c, int status, const choiri_text *text);
/* Every live one, for the session's end. */
void choiri_conn_end_all(choir_session *s, int status, const choiri_text *text);
void choiri_conn_shutdown_all(choir_session *s, choir_time now);
/* With the session: frees every record and what it has. */
void choiri_conn_drop_all(choir_session *s);

/* Reports for the ready list. */
bool choiri_conn_report(choir_session *s, choiri_ready *node, choir_event *event);
void choiri_conn_retire(choir_session *s, choiri_ready *node);

/* A request of it is not held any more, or its queue is empty: one that was reported as over goes with the
 * last of that. */
void choiri_conn_released(choir_session *s, choiri_hot *hot);
/* Its output has room again, or `starts` a token: the driver goes on. */
void choiri_conn_go_on(choir_session *s, choiri_hot *hot, choir_time now);

/* ---- hot part (hot.c) ---- */

/* Makes it if there is none; NULL without memory. */
choiri_hot *choiri_conn_heat(choir_session *s, choiri_conn *c);
/* Something of it has ended. A hot part that nothing needs is given back when others have become idle after
 * it: the last few idle ones of a session stay, so that a connection with one call after the other does not
 * make it each time. */
void choiri_conn_cool(choir_session *s, choiri_hot *hot);
/* Gives back what has become idle, but for the last few. */
void choiri_conn_sweep(choir_session *s);
/* Whatever it holds. */
void choiri_hot_free(choir_session *s, choiri_conn *c);

/* ---- what a peer makes us hold ---- */

/* Charges connection and session; false when the session's quota has no room for it. */
bool choiri_charge(choiri_hot *hot, size_t bytes);
/* The same for what cannot be refused. */
void choiri_charge_anyway(choiri_hot *hot, size_t bytes);
void choiri_discharge(choiri_hot *hot, size_t bytes);

/* ---- what a peer does too often ---- */

/* The buckets of the session: starts of all connections together, and what no connection can be blamed for.
 * The limits are those of the root. */
void choiri_conn_init_session_buckets(choir_session *s, const choiri_limits *l);
/* Charges one odd message; false when that was one too many and the connection has failed. */
bool choiri_conn_glitch(choiri_hot *hot, choir_time now);
/* The same for one that is late, or a request over the limits: many more of them are let through, because a
 * peer that is overloaded, or does not know of our limits, sends them by the thousand. */
bool choiri_conn_nuisance(choiri_hot *hot, choir_time now);
/* May a request start? It takes a token, of the connection and of the session, so that neither many cancels
 * nor many connections start more handlers than options allow. When there is none, the driver's go_on is
 * called once there is. */
bool choiri_conn_start(choiri_hot *hot, choir_time now);
/* What was started was not for nothing: the token comes back. */
void choiri_conn_paid(choiri_hot *hot);

#endif
