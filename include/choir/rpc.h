/* SPDX-License-Identifier: MIT */
/* choir/rpc.h: calls that we make, requests that the peer makes.
 *
 * Role:    unary calls on a connection. Exactly one CALL_DONE for each call, exactly one answer for each
 *          request.
 * Owner:   calls and requests belong to their connection; handles name them.
 * Life:    a call from choir_call to its CALL_DONE; a request from its REQUEST event until it was answered or
 *          dropped and its REQUEST_DONE was polled.
 * Threads: the session's.
 * Errors:  listed at each function; on failure nothing was queued and nothing changed.
 */
#ifndef CHOIR_RPC_H
#define CHOIR_RPC_H

#include "choir/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct choir_call_options {
    size_t size; /* set by choir_call_options_init */
    /* deadline: the call ends as TIMED_OUT (and the peer is sent a Cancel) at the first advance past it, even
     * when the link is silent. CHOIR_TIME_NEVER by default. */
    choir_time deadline;
    /* metadata: borrowed. vox-operation-id is added by the library when the peer supports retry. */
    const choir_metadata_entry *metadata;
    size_t metadata_len;
    /* user_data, callback: come back in the CALL_DONE event; the core does not use them. */
    void *user_data;
    choir_call_fn *callback;
    /* chunk: strings and byte values over 4 KiB inside it are retained instead of copied. */
    choir_chunk *chunk;
    /* encoded_args: the arguments as they stand on the wire, for those who forward calls; `args` is then
     * NULL. Not checked. */
    choir_bytes encoded_args;
} choir_call_options;

/* Fills in the defaults and writes exactly `size` bytes (env.h says why). */
CHOIR_API void choir_call_options_init_sized(choir_call_options *options, size_t size);
static inline void choir_call_options_init(choir_call_options *options) {
    choir_call_options_init_sized(options, sizeof *options);
}

/* Calls method number `method` of the service given as `call` in the connection's options. `args` is the C
 * struct of its arguments (NULL for none), borrowed. `options` and `ret_call` may be NULL. Beyond the peer's
 * max_concurrent_requests, or before the connection is open, the call waits its turn. OK · ERR_INVALID (no
 * such method, a value that cannot be encoded, bad metadata) · ERR_NOT_FOUND (connection) · ERR_CLOSED ·
 * ERR_UNSUPPORTED (a method with channels, not yet) · ERR_BLOCKED (budgets; CONN_WRITABLE follows) ·
 * ERR_TOO_LARGE (over the message limit) · ERR_DEPTH · ERR_ID_EXHAUSTED · ERR_NO_MEMORY. */
CHOIR_API int choir_call(choir_session *session, choir_conn_id conn, uint32_t method, const void *args,
                         const choir_call_options *options, choir_call_id *ret_call, choir_time now);

/* Cancels: the peer is told, with the reason if there is one, CALL_DONE with CANCELLED follows at once, a
 * late answer is ignored. `reason` may be NULL. OK · ERR_NOT_FOUND (it has ended) · ERR_INVALID (a reason
 * that is not UTF-8, or has too much metadata). rule: rpc.cancel */
CHOIR_API int choir_cancel(choir_session *session, choir_call_id call, const choir_reason *reason,
                           choir_time now);

typedef struct choir_reply_options {
    size_t size; /* set by choir_reply_options_init */
    /* metadata: sent with the answer; borrowed. At most 64 entries. */
    const choir_metadata_entry *metadata;
    size_t metadata_len;
    /* chunk: strings and byte values over 4 KiB inside it are retained instead of copied. NULL: those that
     * lie in the request's own arguments are. */
    choir_chunk *chunk;
    /* encoded: the answer as it stands on the wire, Result and all, for those who forward; the value is then
     * NULL. Not checked. */
    choir_bytes encoded;
} choir_reply_options;

/* Fills in the defaults and writes exactly `size` bytes (env.h says why). */
CHOIR_API void choir_reply_options_init_sized(choir_reply_options *options, size_t size);
static inline void choir_reply_options_init(choir_reply_options *options) {
    choir_reply_options_init_sized(options, sizeof *options);
}

/* Answers a request with Ok(value): the C value of the method's ok type (NULL for unit), borrowed. `options`
 * may be NULL. OK · ERR_NOT_FOUND (it has ended or was answered) · ERR_CANCELLED (the peer cancelled it; the
 * request is finished with this) · ERR_TOO_LARGE (more than the peer takes: its caller is told that the
 * outcome is not known, and why; the request is finished with this) · ERR_CLOSED (there is no link just
 * now) · ERR_INVALID (a value that cannot be encoded, bad options) · ERR_DEPTH · ERR_NO_MEMORY. After the
 * last four the request still waits for an answer. choir_session_error says more; a value that cannot be
 * encoded is also logged, once for each method of a connection. */
CHOIR_API int choir_reply(choir_session *session, choir_request_id request, const void *value,
                          const choir_reply_options *options, choir_time now);
/* Answers with Err(User(error)): the C value of the method's err type. Also ERR_INVALID for a method that
 * cannot fail (it would crash a Rust caller). Else as choir_reply. */
CHOIR_API int choir_reply_error(choir_session *session, choir_request_id request, const void *error,
                                const choir_reply_options *options, choir_time now);
/* Answers InvalidPayload with a text for people, which is left out when the peer does not take as much. OK
 * and the other statuses as choir_reply; ERR_TOO_LARGE: not even that fitted, and the connection has
 * ended. */
CHOIR_API int choir_reply_invalid(choir_session *session, choir_request_id request, choir_str text,
                                  choir_time now);
/* Answers UnknownMethod, for those who serve a part of a service. As choir_reply_invalid. */
CHOIR_API int choir_reply_unknown(choir_session *session, choir_request_id request, choir_time now);
/* Gives a request up without an answer of its own: the peer is told Cancelled, with the reason if there is
 * one (`reason` may be NULL). OK · ERR_NOT_FOUND · ERR_INVALID (a reason that is not UTF-8, or has too much
 * metadata). Without memory even for that the connection ends (OUT_OF_MEMORY), the root with its session,
 * because it owes an answer. */
CHOIR_API int choir_request_drop(choir_session *session, choir_request_id request, const choir_reason *reason,
                                 choir_time now);

/* Completes a decision that pends (choir_hooks): CHOIR_VERDICT_RUN or _REFUSE, with a reason that may be
 * NULL. The request is reported, or refused, at the next poll. OK · ERR_NOT_FOUND (it has ended: cancelled,
 * or its connection is gone) · ERR_STATE (it does not pend) · ERR_INVALID. */
CHOIR_API int choir_request_decide(choir_session *session, choir_request_id request, int verdict,
                                   const choir_reason *reason, choir_time now);
/* Completes a sealing that pends: the answer leaves (CHOIR_VERDICT_RUN), or the caller is told that the
 * outcome is not known (CHOIR_VERDICT_REFUSE). As choir_request_decide; also ERR_CANCELLED (the peer gave it
 * up meanwhile) and ERR_TOO_LARGE (as in choir_reply): it is finished; ERR_CLOSED and ERR_NO_MEMORY: it still
 * pends. */
CHOIR_API int choir_request_seal(choir_session *session, choir_request_id request, int verdict,
                                 choir_time now);

/* user_data of a request: comes with its later events; what was set before is not destroyed. OK ·
 * ERR_NOT_FOUND. */
CHOIR_API int choir_request_set_user_data(choir_session *session, choir_request_id request, void *user_data);
/* Memory that lives as long as the request, for building its answer; NULL when memory or the session's quota
 * is out, or when the request is not found. Returns borrowed (valid until the request is over). */
CHOIR_API void *choir_request_alloc(choir_session *session, choir_request_id request, size_t size,
                                    size_t align);

#ifdef __cplusplus
}
#endif
#endif
