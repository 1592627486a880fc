/* SPDX-License-Identifier: MIT */
/* The driver: one per connection; turns messages into calls and requests and back.
 *
 * A call is in exactly one of: queued (not sent: the peer's number is full, or there is no session yet), sent (in `ids`
 * under its wire id), done (only its event is left). A request is in exactly one of: queued (undispatched), running
 * (dispatched, its handler has not finished), finished (only its event is left). A request counts against
 * max_concurrent_requests until its handler has finished, cancelled or not (reliability case A31). */
#ifndef CHOIRI_DRIVER_H
#define CHOIRI_DRIVER_H

#include "base/idmap.h"
#include "base/list.h"
#include "base/table.h"
#include "choir/rpc.h"
#include "schema/dynamic.h"
#include "schema/plan.h"
#include "schema/service.h"
#include "schema/tracker.h"
#include "session/internal.h"
#include "value/unit.h"
#include "value/value.h"

/* Payloads up to this size are copied when they are kept, larger ones keep their chunk: 32 bytes must not pin a read block
 * of 256 KiB. */
#define CHOIRI_RETAIN_COPY 4096u
/* A larger payload is retained when it is at least this share of its chunk, else copied. */
#define CHOIRI_RETAIN_SHARE 8u
/* A request's metadata is kept with it: more is refused (reliability case A12). */
#define CHOIRI_REQUEST_ENTRIES  64u
#define CHOIRI_REQUEST_METADATA 16384u

/* All plans and units of a connection together: as much as the schemas they are made from may take. */
#define CHOIRI_PLANS_MAX_BYTES CHOIRI_SCHEMA_MAX_BYTES

#define CHOIRI_LATE_IDS 4u

/* What is known about one direction of one method. */
enum { CHOIRI_BOUND_NO = 0, CHOIRI_BOUND_OK, CHOIRI_BOUND_BAD };
/* A vox peer announces a method's types once, and may have to repair that once. */
#define CHOIRI_BINDING_TRIES 4u
/* The types of a DYNAMIC method's answer, as the peer announced them. */
typedef struct choiri_answer {
    choiri_arena arena; /* has the unit */
    const choir_unit *unit;
    uint32_t ok, err;
} choiri_answer;

typedef struct choiri_binding {
    char *text;            /* BAD: why, allocated */
    choiri_plan *plan;     /* OK: how the peer's values are read; NULL: as ours */
    choiri_answer *answer; /* OK, of a DYNAMIC method: allocated */
    uint16_t text_len;
    bool announced; /* ours was sent */
    uint8_t peer;   /* CHOIRI_BOUND_*: the peer's */
    uint8_t tries;  /* announcements of the peer that were looked at */
} choiri_binding;

struct choiri_conn {
    choir_session *session;
    choir_conn handle;
    choiri_node writable, closed;  /* two: CLOSED must not come where WRITABLE was waiting already */
    const choiri_service *serve;   /* NULL: everything is an unknown method */
    const choiri_service *call;    /* NULL: nothing can be called */
    const choiri_service *nothing; /* whose response root answers an unknown method */
    choiri_binding *serve_bound;   /* one per method of serve: our response, the peer's args */
    choiri_binding *call_bound;    /* one per method of call: our args, the peer's response */
    choiri_send_tracker sent;
    choiri_recv_tracker received;
    size_t plan_bytes; /* of all plans and units: at most CHOIRI_PLANS_MAX_BYTES */

    struct {
        choiri_table table;
        choiri_idmap ids; /* wire id -> sent call */
        choiri_list queue;
        uint64_t next_id; /* our parity; never wraps */
        uint64_t next_operation;
        uint64_t late; /* answers that may still come for calls we gave up: not charged */
        uint64_t late_ids
            [CHOIRI_LATE_IDS]; /* newest given-up calls whose method has no response binding; 0: none */
        uint32_t late_methods[CHOIRI_LATE_IDS];
        uint32_t late_next;
        uint32_t in_flight, queued;
        uint64_t queued_bytes;
        uint32_t max_queued;
        uint64_t max_queued_bytes;
        bool want_writable;  /* somebody was told BLOCKED ... */
        uint64_t want_bytes; /* ... for a call of at least this size */
    } calls;

    struct {
        choiri_table table; /* dispatched ones */
        choiri_idmap ids;   /* wire id -> request that has no answer yet */
        choiri_list queue;
        uint32_t running, queued;
        uint32_t held; /* handlers that have not finished, those of an ended connection included */
        uint64_t queued_bytes;
        uint32_t max_queued;
        uint64_t max_queued_bytes;
    } requests;
};

extern const choiri_driver choiri_rpc_driver;

static inline bool choiri_conn_is_ours(const choiri_conn *c, uint64_t id) {
    return (id & 1) == (c->session->parity == CHOIRI_PARITY_ODD);
}
/* After a change of the numbers in flight: work that waits for the peer, or that the peer waits for, shortens the time in
 * which a dead peer must be found. */
static inline void choiri_conn_update_busy(choiri_conn *c) {
    choiri_session_set_busy(c->session, c->calls.in_flight + c->requests.running > 0, c->session->now);
}
/* Fails the session: `what` followed by the number. */
void choiri_conn_protocol_error(choiri_conn *c, const char *what, uint64_t number, choir_time now);
void choiri_conn_out_of_memory(choiri_conn *c, choir_time now);
/* Takes schemas of the peer and binds them to a method (CHOIR_METHOD_NONE: only remembers them). false when the session has
 * failed. */
bool choiri_conn_bind(choiri_conn *c, uint32_t method, bool response, choir_bytes schemas, choir_time now);
/* Does our next message for this binding carry schemas? */
static inline bool choiri_conn_will_announce(const choiri_conn *c, const choiri_binding *b) {
    return !b->announced && c->session->announces;
}
/* The end of our message: the announcement if it is to be made, else none. OK or ERR_NO_MEMORY. */
int choiri_conn_announce(choiri_conn *c, choiri_binding *b, const choiri_announcement *a, choiri_writer *w);
/* The message is queued: so is its announcement. */
void choiri_conn_announced(choiri_conn *c, choiri_binding *b, const choiri_announcement *a);
/* "Testbed.echo" */
void choiri_conn_method_text(const choiri_service *service, uint32_t method, choiri_text *text);

/* Owners of timers. */
enum { CHOIRI_TIMER_CALL = 1 };

/* call.c */
void choiri_calls_init(choiri_conn *c, const choir_session_options *o, const uint64_t seed[2], uint32_t gen);
void choiri_calls_deinit(choiri_conn *c);
void choiri_calls_pump(choiri_conn *c, choir_time now);
void choiri_calls_response(choiri_conn *c, const choiri_message *msg, choir_time now);
void choiri_calls_expired(choiri_conn *c, choiri_timer *timer, choir_time now);
void choiri_calls_ended(choiri_conn *c);

/* request.c */
void choiri_requests_init(choiri_conn *c, const choir_session_options *o, const uint64_t seed[2],
                          uint32_t gen);
void choiri_requests_deinit(choiri_conn *c);
void choiri_requests_call(choiri_conn *c, const choiri_message *msg, const choiri_frame *frame,
                          choir_time now);
void choiri_requests_cancel(choiri_conn *c, const choiri_message *msg, choir_time now);
/* Starts what waits, as far as it may. */
void choiri_requests_pump(choiri_conn *c, choir_time now);
void choiri_requests_shutdown(choiri_conn *c, choir_time now);
void choiri_requests_ended(choiri_conn *c);

#endif
