/* SPDX-License-Identifier: MIT */
/* choir/session.h: a conversation with one peer, which outlives the links it runs over.
 *
 * Role:    ids, connections, calls, requests, events and their deadlines. Has zero or one attachment.
 * Owner:   the host frees it. Freeing it also frees its attachment.
 * Life:    new → established → closing → closed → free. When the link is lost the session is detached: it is
 *          then resumed over another link or closed. (There is no resume yet, so it is closed.) When it
 *          closes, every call, request and connection gets its terminal event, then the session its own.
 *          choir_session_free may come at any time; what was not polled by then is not reported.
 * Threads: one thread at a time, that of its env.
 * Errors:  a fatal status sticks (choir_session_status, choir_session_text) and is reported by the last
 *          events.
 */
#ifndef CHOIR_SESSION_H
#define CHOIR_SESSION_H

#include "choir/connection.h"
#include "choir/evidence.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How messages and values are spelled on a link. postcard is vox's own: positional, needs schemas, fastest.
 * msgpack is an extension of ours that any language with a msgpack library can speak
 * (docs/protocol/msgpack.md). */
#define CHOIR_CODEC_POSTCARD 0u
#define CHOIR_CODEC_MSGPACK  1u

typedef struct choir_session_options {
    size_t size; /* set by choir_session_options_init */
    /* root: what is served, called and held on the root connection. Copied. NULL: the defaults. */
    const choir_conn_options *root;
    /* codec: CHOIR_CODEC_*, what an initiator speaks; its link asks the peer for it. It is the session's and
     * not the link's choice because calls are encoded before there is a link. An acceptor's session speaks
     * what its peer asked for. */
    uint32_t codec;
    /* max_connections: virtual connections that the peer may have open; 256. */
    uint32_t max_connections;
    /* memory_quota: bytes that the peer can make this session hold: requests with their decoded arguments,
     * schemas and what translates them, answers and other output that it does not take, a partial message; 64
     * MiB, four messages of the largest size. Beyond it requests are refused; what cannot be refused (answers
     * of handlers that run) may still exceed it. One connection may have half of it. Not 0. */
    uint64_t memory_quota;
    /* keepalive_idle: a peer silent this long is dead; a ping asks it at two thirds. 15 s. 0 is off. */
    choir_duration keepalive_idle;
    /* keepalive_busy: the same while calls or requests are in flight, counted from the first of them; ping at
     * half. 5 s. */
    choir_duration keepalive_busy;
    /* keepalive_send: a ping leaves after this long without sending (TypeScript peers end a session after
     * 30 s without input). 15 s. 0 is off. */
    choir_duration keepalive_send;
    /* wake: called when an event appears outside of receive, or the deadline moved earlier, or when handlers
     * have let go of the last request of a connection that is over. It may only take a note: no function of
     * the library may be called from it. */
    void (*wake)(void *ctx, choir_session *session);
    void *wake_ctx;
    /* user_data: for the host; destroy, when set, is called once when the session is freed. */
    void *user_data;
    void (*destroy)(void *user_data);
} choir_session_options;

/* Fills in the defaults and writes exactly `size` bytes (env.h says why). */
CHOIR_API void choir_session_options_init_sized(choir_session_options *options, size_t size);
static inline void choir_session_options_init(choir_session_options *options) {
    choir_session_options_init_sized(options, sizeof *options);
}

/* Checks the descriptors of a service and computes, once per env, what they mean on the wire (a session that
 * is given the service does it too; this tells what is wrong with descriptors that were written by hand). OK
 * · ERR_ABI · ERR_INVALID · ERR_NO_MEMORY; on failure ret_why (may be NULL) gets a text for people, cut to
 * why_size and NUL-terminated. */
CHOIR_API int choir_service_check(choir_env *env, const choir_service *service, char *ret_why,
                                  size_t why_size);

/* Creates the session of an initiator; it does nothing until choir_attachment_new_initiator gives it a link.
 * Calls may be made at once and wait. (An acceptor's session comes from choir_attachment_accept.) OK ·
 * ERR_INVALID (unknown option bytes, too many metadata entries, a descriptor that is wrong) · ERR_ABI ·
 * ERR_UNSUPPORTED (a codec that this build does not have) · ERR_NO_MEMORY · ERR_RANDOM. Returns owned (free
 * with choir_session_free). */
CHOIR_API int choir_session_new(choir_env *env, const choir_session_options *options,
                                choir_session **ret_session, choir_time now);

/* Frees session and attachment at once, nothing is sent. NULL is fine. */
CHOIR_API void choir_session_free(choir_session *session);

/* Orderly end: requests that are running are dropped (their callers are told Cancelled), queued ones are
 * answered SendFailed, calls in flight end as SESSION_SHUTDOWN, nothing new is taken and input is not read
 * any more. Answers that were given before are still sent: the session has closed (ERR_SHUTDOWN) when the
 * link has taken all output, or is lost, or took nothing for too long. Harmless when already closed. rule:
 * session.shutdown */
CHOIR_API void choir_session_close(choir_session *session, choir_time now);

/* Ends the session because of something that only the host knows: no address could be connected, a policy.
 * Nothing more is said to the peer; what was written may still leave. Events carry `status`, which is fatal,
 * and `text`, for people (copied, cut at 1,000 bytes). Harmless when already closed. OK · ERR_INVALID (a
 * status that is not fatal, a text that is not UTF-8). */
CHOIR_API int choir_session_fail(choir_session *session, int status, choir_str text, choir_time now);

/* Next event, or NULL. Returns borrowed (valid until the next poll, receive or free). */
CHOIR_API const choir_event *choir_session_poll(choir_session *session);

/* Fires what is due. Read the link before calling it: bytes that have arrived count as life. A `now` that
 * goes back is clamped; a jump longer than the keepalive interval (the process slept) restarts liveness. */
CHOIR_API void choir_session_advance(choir_session *session, choir_time now);
/* When advance has something to do next; CHOIR_TIME_NEVER if nothing is waiting. */
CHOIR_API choir_time choir_session_deadline(const choir_session *session);

/* Sends a Ping; SESSION_PONG follows when the peer answers it. OK · ERR_STATE (not established) · ERR_BUSY
 * (one of the host's is under way) · ERR_NO_MEMORY. rule: session.ping */
CHOIR_API int choir_session_ping(choir_session *session, choir_time now);

/* True from ESTABLISHED until the link is lost or close was called. */
CHOIR_API bool choir_session_is_established(const choir_session *session);
/* True when nothing but poll and free is left to do. */
CHOIR_API bool choir_session_is_closed(const choir_session *session);
/* OK while it lives, then the fatal status; text is for people, empty while it lives. Text returns
 * borrowed (valid until free). */
CHOIR_API int choir_session_status(const choir_session *session);
CHOIR_API choir_str choir_session_text(const choir_session *session);

/* What the status of the newest choir_call, choir_reply or the like of this session that failed does not say,
 * such as "Kv.put: args.1[3].kind: Kind has no variant 7", or a size beside its limit. Empty when there is
 * nothing to add, and when the session is closed. Returns borrowed (valid until the next function of the
 * session). */
CHOIR_API choir_str choir_session_error(const choir_session *session);

/* The root connection; a handle even before ESTABLISHED. */
CHOIR_API choir_conn_id choir_session_root(const choir_session *session);
/* CHOIR_CODEC_*: what it speaks. */
CHOIR_API uint32_t choir_session_codec(const choir_session *session);
/* What is known about the peer through the link that it has, or had last; NULL when its transport told
 * nothing. Returns borrowed (valid until the session has another link, or is freed). */
CHOIR_API const choir_evidence *choir_session_evidence(const choir_session *session);
/* Requests whose handlers have not answered or dropped them yet, also after their connection has ended. What
 * they hold is freed with the session: a host whose handlers run on other threads frees the session when this
 * is 0. */
CHOIR_API uint32_t choir_session_held_requests(const choir_session *session);
CHOIR_API void *choir_session_user_data(const choir_session *session);
/* What was set before is not destroyed. */
CHOIR_API void choir_session_set_user_data(choir_session *session, void *user_data);

/* ---- observers ---- */

/* Sees each event of a session inside choir_session_poll, just before that returns it. May call any function
 * of the session but poll, receive and free. */
typedef struct choir_observer {
    void (*event)(void *ctx, choir_session *session, const choir_event *event);
    void *ctx;
    struct choir_observer *next; /* the library's */
} choir_observer;

/* Adds one behind those that are there. Keeps `observer` until it is removed or the session is freed. */
CHOIR_API void choir_session_observe(choir_session *session, choir_observer *observer);
/* Harmless when it was not added. */
CHOIR_API void choir_session_unobserve(choir_session *session, choir_observer *observer);

#ifdef __cplusplus
}
#endif
#endif
