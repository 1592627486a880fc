/* SPDX-License-Identifier: MIT */
/* choir/event.h: what a session reports.
 *
 * Role:    choir_session_poll returns one event at a time; NULL is the end for this moment. Each object
 *          (session, connection, call, request) reports exactly one terminal event, always, and nothing
 *          after it. Terminal kinds are marked (T).
 * Owner:   the library. The struct only ever grows at the end, so an old program reads events of a newer
 *          library. Ignore kinds you do not know.
 * Life:    the event and what it points to live until the next poll, receive or free of the session,
 *          except what a request holds: its value, payload and metadata live until the request was answered
 *          or dropped *and* its REQUEST_DONE was polled.
 * Threads: the session's.
 * Errors:  how something ended is data here, not a status of a function.
 */
#ifndef CHOIR_EVENT_H
#define CHOIR_EVENT_H

#include "choir/chunk.h"
#include "choir/evidence.h"
#include "choir/metadata.h"
#include "choir/status.h"
#include "choir/type.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The handshake is done: conn is the root connection, metadata the peer's. */
#define CHOIR_EVENT_SESSION_ESTABLISHED 1u
/* The link is gone; status and text say why. RESUMED or CLOSED follows. */
#define CHOIR_EVENT_SESSION_DETACHED 2u
/* (T) The session is over: everything else has had its terminal event. status and text say why. */
#define CHOIR_EVENT_SESSION_CLOSED 3u
/* (T) The connection is over; its calls and requests have had their terminal events. */
#define CHOIR_EVENT_CONN_CLOSED 4u
/* A call that was answered CHOIR_ERR_BLOCKED on conn would be taken now. */
#define CHOIR_EVENT_CONN_WRITABLE 5u
/* (T) A call ended: outcome, value or payload, user_data. */
#define CHOIR_EVENT_CALL_DONE 6u
/* The peer wants something: method, value (decoded arguments), metadata. Answer with choir_reply and
 * friends. */
#define CHOIR_EVENT_REQUEST 7u
/* The peer has cancelled the request and was told so; the handler should stop and must still drop or answer
 * it. metadata and text are what the peer gave as its reason. */
#define CHOIR_EVENT_REQUEST_CANCELLED 8u
/* (T) The request is over: its answer has left (the link took its last byte), it was dropped or cancelled, or
 * its connection ended first; outcome tells which. */
#define CHOIR_EVENT_REQUEST_DONE 9u

/* The peer answered choir_session_ping. Does not come when the link ends first. */
#define CHOIR_EVENT_SESSION_PONG 10u
/* A detached session has another link and goes on: calls and connections are as they were. */
#define CHOIR_EVENT_SESSION_RESUMED 11u

/* How a call ended. 0..8 are what the peer can say; 3 to 9 are also how it ends on our side. Whether it ran
 * is told apart. */
#define CHOIR_OUTCOME_OK             0u
#define CHOIR_OUTCOME_USER_ERROR     1u
#define CHOIR_OUTCOME_UNKNOWN_METHOD 2u
/* The peer could not read our arguments, or we its answer: `status` tells which. */
#define CHOIR_OUTCOME_INVALID_PAYLOAD   3u
#define CHOIR_OUTCOME_CANCELLED         4u
#define CHOIR_OUTCOME_CONNECTION_CLOSED 5u
#define CHOIR_OUTCOME_SESSION_SHUTDOWN  6u
#define CHOIR_OUTCOME_SEND_FAILED       7u /* surely never ran */
#define CHOIR_OUTCOME_INDETERMINATE     8u
#define CHOIR_OUTCOME_TIMED_OUT         9u /* it was sent, and no answer came before its deadline */

/* Name of an outcome in words, such as "user error". Returns borrowed (valid for ever). */
CHOIR_API const char *choir_outcome_text(uint32_t outcome);
/* Could the same call succeed later, on this session or another one? As vox has it: after CONNECTION_CLOSED,
 * SESSION_SHUTDOWN and SEND_FAILED. Of a call of ours choir_event_is_retryable knows more. */
CHOIR_API bool choir_outcome_is_retryable(uint32_t outcome);

/* Did the method of a call run? As far as it is known here: a peer that says it did not is believed. */
#define CHOIR_RAN_NO    0u /* surely not: calling again does no harm */
#define CHOIR_RAN_MAYBE 1u
#define CHOIR_RAN_YES   2u

#define CHOIR_METHOD_NONE UINT32_MAX

struct choir_event;
/* A completion function that travels with a call. The core never calls it; libchoir-net does. */
typedef void choir_call_fn(void *ctx, const struct choir_event *done);

typedef struct choir_event {
    size_t size;   /* of this struct in the library: members behind it are not there */
    uint32_t kind; /* CHOIR_EVENT_* */
    /* status: a choir_status. DETACHED, CLOSED, CONN_CLOSED: why. CALL_DONE: OK when the outcome is the
     * peer's answer, else why our side ended the call: its connection's end, ERR_TIMED_OUT, ERR_CANCELLED, or
     * with INVALID_PAYLOAD why the answer could not be read. */
    int32_t status;
    choir_conn_id conn;           /* every event except DETACHED, RESUMED, CLOSED and PONG of the session */
    choir_call_id call;           /* CALL_DONE */
    choir_request_id request;     /* REQUEST, REQUEST_CANCELLED, REQUEST_DONE */
    void *user_data;              /* what was given with the call, or set on the request */
    const choir_service *service; /* of method; NULL when method is none */
    uint32_t method;              /* index in the service, or CHOIR_METHOD_NONE */
    uint32_t outcome;             /* CALL_DONE, REQUEST_DONE: CHOIR_OUTCOME_* */
    /* value: decoded C value: the arguments of a REQUEST; the Ok or the error value of CALL_DONE (outcome OK
     * or USER_ERROR). NULL when there is none. */
    const void *value;
    /* payload: the bytes value was decoded from. */
    choir_bytes payload;
    choir_metadata metadata;
    /* text: what exactly, for people; may be empty. Of a CALL_DONE or REQUEST_CANCELLED with status OK these
     * are the peer's words as they came: of any length, and not to be shown on a terminal as they are
     * (choir_explain of libchoir-net quotes them). All other texts are ours and one line. */
    choir_str text;
    choir_call_fn *callback; /* CALL_DONE: what was given with the call */
    /* unit, type: what describes value: the service's unit, or for a method that is CHOIR_METHOD_DYNAMIC one
     * made from the peer's announcement, which lives as long as the connection. NULL when there is no
     * value. */
    const choir_unit *unit;
    uint32_t type;
    uint32_t ran; /* CALL_DONE: CHOIR_RAN_* */
    /* method_id: REQUEST: on the wire; also of a method that `service` does not have. */
    uint64_t method_id;
    /* channel: which one an event is about; 0 is none. There are none yet. */
    uint64_t channel;
    /* deadline: REQUEST: when the caller stops waiting; CHOIR_TIME_NEVER when it did not say. */
    choir_time deadline;
    const choir_evidence *evidence; /* REQUEST, ESTABLISHED: about the peer; NULL when there is none */
} choir_event;

/* Could the same call succeed later? By the status when our side ended it, else by the outcome. Whether that
 * is safe is another question: `ran`. */
static inline bool choir_event_is_retryable(const choir_event *done) {
    return done->status != CHOIR_OK ? choir_status_is_retryable(done->status)
                                    : choir_outcome_is_retryable(done->outcome);
}

/* Is this the end of a call of that method, with that outcome? NULL is none. For generated code, which then
 * knows the type of `value`. */
static inline bool choir_event_is(const choir_event *done, const choir_service *service, uint32_t method,
                                  uint32_t outcome) {
    return done && done->service == service && done->method == method && done->outcome == outcome;
}

#ifdef __cplusplus
}
#endif
#endif
