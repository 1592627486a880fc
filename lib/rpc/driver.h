/* SPDX-License-Identifier: MIT */
/* The rpc driver: turns messages of a connection into calls and requests and back.
 *
 * A call is in exactly one of: queued (not sent: the peer's number is full, or the connection is not open
 * yet), sent (in `ids` under its wire id), done (only its event is left). A request is queued (it has not
 * started), started (it counts against max_concurrent_requests until its handler has finished, cancelled or
 * not: reliability case A31), leaving (answered; the link has not taken the answer yet), over. Both are
 * objects of the session, found by handle in its tables, and in a list of their connection, so that its end
 * looks at nothing else. */
#ifndef CHOIRI_DRIVER_H
#define CHOIRI_DRIVER_H

#include "base/idmap.h"
#include "choir/rpc.h"
#include "rpc/types.h"
#include "session/session.h"

/* A request's metadata is kept with it: more is refused (reliability case A12). */
#define CHOIRI_REQUEST_ENTRIES  64u
#define CHOIRI_REQUEST_METADATA 16384u

/* What decoding a payload up to this size takes is compared with the quota only afterwards: it is little, and
 * goes at once when it was too much. */
#define CHOIRI_DECODE_SMALL 4096u

/* Nodes of the ready list, owners of timers. */
enum { CHOIRI_READY_CALL = CHOIRI_READY_UPPER, CHOIRI_READY_REQUEST };
enum { CHOIRI_TIMER_CALL = CHOIRI_TIMER_UPPER };

/* What a connection has while it carries calls or requests. */
typedef struct choiri_rpc {
    choiri_hot hot; /* first: one is the other */
    struct {
        choiri_idmap ids;   /* wire id -> sent call */
        choiri_dlist live;  /* all that were not reported as done */
        choiri_dlist queue; /* of those that wait to be sent */
        uint32_t in_flight, queued;
        uint64_t queued_bytes;
        bool want_writable;  /* somebody was told BLOCKED ... */
        uint64_t want_bytes; /* ... for a call of at least this size */
    } calls;
    struct {
        choiri_idmap ids;   /* wire id -> request that was not over for the peer */
        choiri_dlist live;  /* all that were not freed */
        choiri_dlist queue; /* of those that wait to start */
        uint32_t running, queued;
        uint64_t queued_bytes;
    } requests;
} choiri_rpc;

extern const choiri_driver choiri_rpc_driver;
extern const choiri_upper choiri_rpc_upper;

static inline choiri_rpc *choiri_rpc_of(choiri_hot *hot) {
    return (choiri_rpc *)(void *)hot;
}
/* The rpc part of a connection's hot part; NULL when it has none, or without memory for one. */
static inline choiri_rpc *choiri_rpc_peek(const choiri_conn *c) {
    return c->hot ? choiri_rpc_of(c->hot) : NULL;
}
static inline choiri_rpc *choiri_rpc_heat(choir_session *s, choiri_conn *c) {
    return choiri_rpc_of(choiri_conn_heat(s, c));
}

/* The entries that tell the peer a reason: those of it, and choir-reason. `entries` has room for
 * CHOIRI_REQUEST_ENTRIES. OK · ERR_INVALID. */
int choiri_reason_entries(const choir_reason *reason, choir_metadata_entry *entries, size_t *ret_count);
/* The other way: the event's text from its metadata, when there is a reason in it. */
void choiri_reason_read(choir_event *event);

/* why.c: a call or an answer that could not be made. */
typedef struct choiri_unsent {
    const choiri_prepared *service;
    uint32_t method;
    uint32_t type;     /* of `value`, when `has_value` */
    const void *value; /* what could not be encoded */
    bool has_value;
    bool is_answer;    /* and not a call */
    uint64_t size;     /* ERR_TOO_LARGE: of the message */
    choiri_binding *b; /* an answer's: a method is complained of once. May be NULL */
} choiri_unsent;

/* Notes the facts behind `status` for choir_session_error, or that there are none; an answer's, whose host
 * may not look, also go to the log. Returns `status`. */
int choiri_unsent_note(choir_session *s, const choiri_unsent *u, int status);
/* The same for what is wrong with a function's arguments. */
int choiri_wrong_note(choir_session *s, int status, const char *what);
/* The same where there is nothing to add to `status`: if it is an error, it has no facts of an older one. */
int choiri_unsaid(choir_session *s, int status);
/* "a message of 9 bytes, where at most 8 are taken" */
void choiri_sizes_text(choiri_text *text, uint64_t size, uint64_t limit);

/* call.c */
void choiri_calls_init(choiri_rpc *r);
void choiri_calls_deinit(choiri_rpc *r);
void choiri_calls_pump(choiri_rpc *r, choir_time now);
void choiri_calls_response(choir_session *s, choiri_conn *c, const choiri_message *msg,
                           const choiri_frame *frame, choir_time now);
void choiri_calls_expired(choiri_timer *timer, choir_time now);
void choiri_calls_ended(choiri_rpc *r, int status);
void choiri_calls_moved(choiri_hot *hot, uint32_t younger, uint64_t end);
bool choiri_call_report(choir_session *s, choiri_ready *node, choir_event *event);
void choiri_call_retire(choiri_ready *node);

/* request.c: from the peer to the handler */
void choiri_requests_init(choiri_rpc *r);
void choiri_requests_deinit(choiri_rpc *r);
void choiri_requests_call(choir_session *s, choiri_conn *c, const choiri_message *msg,
                          const choiri_frame *frame, choir_time now);
void choiri_requests_cancel(choir_session *s, choiri_conn *c, const choiri_message *msg,
                            const choiri_frame *frame, choir_time now);
/* Starts what waits, as far as it may. */
void choiri_requests_pump(choiri_rpc *r, choir_time now);
void choiri_requests_shutdown(choiri_rpc *r, choir_time now);
void choiri_requests_ended(choiri_rpc *r, int status);
bool choiri_request_report(choir_session *s, choiri_ready *node, choir_event *event);
void choiri_request_retire(choiri_ready *node);

#endif
