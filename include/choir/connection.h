/* SPDX-License-Identifier: MIT */
/* choir/connection.h: what a connection serves, calls and may hold.
 *
 * Role:    options of connections, for the root in the session's options; reasons and hooks that calls,
 *          requests and connections share; what layers above hang on a session or connection.
 * Owner:   connections belong to their session; handles (choir_conn_id) name them.
 * Life:    a connection ends with its CONN_CLOSED event at the latest when its session does. Its record is
 *          gone when that event was polled and no request of it is held by a handler any more.
 * Threads: the session's.
 * Errors:  listed at each function.
 */
#ifndef CHOIR_CONNECTION_H
#define CHOIR_CONNECTION_H

#include "choir/event.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct choir_session choir_session;

/* Why something ends, for the peer and for its people. Passed as a pointer that may be NULL: no reason. */
typedef struct choir_reason {
    size_t size; /* set by choir_reason_of, or sizeof */
    /* text: sent as metadata choir-reason; borrowed, UTF-8. */
    choir_str text;
    /* metadata: sent with it; borrowed. At most 63 entries. */
    const choir_metadata_entry *metadata;
    size_t metadata_len;
} choir_reason;

static inline choir_reason choir_reason_of(choir_str text) {
    choir_reason reason = {sizeof reason, text, NULL, 0};
    return reason;
}

/* What a decision hook answers. */
#define CHOIR_VERDICT_RUN    0 /* go on */
#define CHOIR_VERDICT_REFUSE 1 /* the caller is told that it never ran, with the reason */
#define CHOIR_VERDICT_PEND   2 /* choir_request_decide will say which of the two */

/* Hooks on the way of a request, for layers that look at requests before they run (admission, authorisation,
 * operation tables). Called inside choir_session_poll or choir_reply; they may call any function of the
 * session but poll, receive, reply and free. Without hooks nothing of this costs anything. */
typedef struct choir_hooks {
    size_t size; /* sizeof this struct */
    void *ctx;
    /* decide: the request was received and may start now; its arguments are not decoded yet (`value` is NULL,
     * `payload` and `metadata` are there). It holds a place among max_concurrent_requests while it pends. A
     * REFUSE may fill in *ret_reason, borrowed until the hook is called again. NULL: RUN. */
    int (*decide)(void *ctx, choir_session *session, const choir_event *request, choir_reason *ret_reason);
    /* seal: the handler has answered; `answer` is what will be sent, encoded, borrowed for this call. RUN
     * sends it; REFUSE, and any number that is no verdict, tells the caller that the outcome is not known;
     * PEND keeps it until choir_request_seal. NULL: RUN. */
    int (*seal)(void *ctx, choir_session *session, choir_request_id request, uint32_t outcome,
                choir_bytes answer);
    /* ended: a request that was decided upon is over, however it ended; called in poll, once. May be NULL. */
    void (*ended)(void *ctx, choir_session *session, choir_request_id request, uint32_t outcome);
} choir_hooks;

typedef struct choir_conn_options {
    size_t size; /* set by choir_conn_options_init */
    /* serve: what we answer on this connection. NULL (default): every request is an unknown method. */
    const choir_service *serve;
    /* call: what we call on it; its name travels as vox-service. NULL: we only serve. */
    const choir_service *call;
    /* metadata: sent with Hello or HelloYourself (root), before vox-service. Copied. At most 62 entries and
     * 15 KiB. */
    const choir_metadata_entry *metadata;
    size_t metadata_len;
    /* max_concurrent_requests: announced, and handlers at a time; 64, as vox peers announce. Not 0. */
    uint32_t max_concurrent_requests;
    /* max_queued_requests, _bytes: requests beyond that wait undispatched, because honest vox peers do not
     * respect our number; later ones are answered SendFailed. 1,024 or 1 MiB; a single one may be larger.
     * While the peer does not take our answers (max_answers) nothing starts, and half of the session's
     * memory_quota counts instead of the bytes. */
    uint32_t max_queued_requests;
    uint64_t max_queued_request_bytes;
    /* max_queued_calls, _bytes: our own calls waiting for the peer's number or for the handshake; then
     * choir_call answers BLOCKED. 1,024 or 1 MiB. */
    uint64_t max_queued_call_bytes;
    uint32_t max_queued_calls;
    /* glitch_burst, glitch_rate: how many odd messages are let through at once and per second before they are
     * a protocol error, and how many requests may start for nothing (cancelled while they run, or impossible)
     * before nothing new starts until time has passed (never, with a rate of 0). 1,000 and 100; the burst is
     * at least max_concurrent_requests. */
    uint32_t glitch_burst, glitch_rate;
    uint32_t reserved; /* must be 0 */
    /* max_output: bytes of calls that wait for the link before choir_call answers BLOCKED; 4 MiB, a few large
     * messages. Not 0. */
    uint64_t max_output;
    /* max_answers: bytes of answers that wait for the link before no more requests start; 1 MiB. */
    uint64_t max_answers;
    /* hooks: copied. NULL: none. */
    const choir_hooks *hooks;
    /* user_data: for the host; destroy, when set, is called once when the connection is gone. */
    void *user_data;
    void (*destroy)(void *user_data);
} choir_conn_options;

/* Fills in the defaults and writes exactly `size` bytes (env.h says why). */
CHOIR_API void choir_conn_options_init_sized(choir_conn_options *options, size_t size);
static inline void choir_conn_options_init(choir_conn_options *options) {
    choir_conn_options_init_sized(options, sizeof *options);
}

/* The service that is called on a connection (`call` of its options), NULL for none and for a stale handle.
 * Returns borrowed (valid as long as the descriptor). */
CHOIR_API const choir_service *choir_conn_service(const choir_session *session, choir_conn_id conn);
/* What the peer announced: how many requests of ours it takes at a time; 0 before it did, and for a stale
 * handle. */
CHOIR_API uint32_t choir_conn_peer_requests(const choir_session *session, choir_conn_id conn);
CHOIR_API void *choir_conn_user_data(const choir_session *session, choir_conn_id conn);
/* What was set before is not destroyed. OK · ERR_NOT_FOUND. */
CHOIR_API int choir_conn_set_user_data(choir_session *session, choir_conn_id conn, void *user_data);

/* ---- keyed slots: what layers above hang on an object ---- */

/* The address of a layer's own static choir_key is its key. */
typedef struct choir_key {
    const char *name; /* for people */
} choir_key;

/* Hangs `value` on a session, connection or request under `key`; `destroy`, when not NULL, is called with it
 * when the object goes, or when it is replaced. A NULL value takes it off. OK · ERR_NOT_FOUND ·
 * ERR_NO_MEMORY. Takes `value` on success. */
CHOIR_API int choir_session_set_slot(choir_session *session, const choir_key *key, void *value,
                                     void (*destroy)(void *value));
CHOIR_API int choir_conn_set_slot(choir_session *session, choir_conn_id conn, const choir_key *key,
                                  void *value, void (*destroy)(void *value));
CHOIR_API int choir_request_set_slot(choir_session *session, choir_request_id request, const choir_key *key,
                                     void *value, void (*destroy)(void *value));
/* NULL when there is none. Returns borrowed (valid until it is replaced or its object goes). */
CHOIR_API void *choir_session_slot(const choir_session *session, const choir_key *key);
CHOIR_API void *choir_conn_slot(const choir_session *session, choir_conn_id conn, const choir_key *key);
CHOIR_API void *choir_request_slot(const choir_session *session, choir_request_id request,
                                   const choir_key *key);

#ifdef __cplusplus
}
#endif
#endif
