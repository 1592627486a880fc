/* SPDX-License-Identifier: MIT */
/* choir/session.h: a conversation with one peer, which outlives the links it runs over.
 *
 * Role:    ids, connections, calls, requests, events and their deadlines. Has zero or one attachment.
 * Owner:   the host frees it. Freeing it also frees its attachment.
 * Life:    new → established → (detached) → closed → free. Without resume, detached ends the session: every call,
 *          request and connection gets its terminal event, then the session its own. choir_session_free
 *          may come at any time; what was not polled by then is not reported.
 * Threads: one thread at a time, that of its env.
 * Errors:  a fatal status sticks (choir_session_status, choir_session_text) and is reported by the last events.
 */
#ifndef CHOIR_SESSION_H
#define CHOIR_SESSION_H

#include "choir/event.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct choir_session choir_session;

/* How messages and values are spelled on a link. postcard is vox's own: positional, needs schemas, fastest. msgpack is an
 * extension of ours that any language with a msgpack library can speak (docs/protocol/msgpack.md). */
#define CHOIR_CODEC_POSTCARD 0u
#define CHOIR_CODEC_MSGPACK  1u

typedef struct choir_session_options {
    size_t size; /* set by choir_session_options_init */
    /* serve: what we answer on the root connection. NULL (default): every request is an unknown method. */
    const choir_service *serve;
    /* call: what we call on the root connection; its name travels as vox-service. NULL: we only serve. */
    const choir_service *call;
    /* metadata: sent with Hello or HelloYourself, before vox-service. Copied. At most 63 entries and 15 KiB. */
    const choir_metadata_entry *metadata;
    size_t metadata_len;
    /* max_concurrent_requests: announced, and handlers at a time; 64, as vox peers announce. */
    uint32_t max_concurrent_requests;
    /* max_queued_requests, _bytes: requests beyond that wait undispatched, because honest vox peers do not hold
     * our number; later ones are answered SendFailed. 1,024 or 1 MiB; a single one may be larger. While the peer does not
     * take our answers (max_output of the link) nothing starts, and half of memory_quota counts instead of the bytes. */
    uint32_t max_queued_requests;
    uint64_t max_queued_request_bytes;
    /* max_queued_calls, _bytes: our own calls waiting for the peer's number or for the handshake; then
     * choir_call answers BLOCKED. 1,024 or 1 MiB. */
    uint32_t max_queued_calls;
    /* codec: CHOIR_CODEC_*, what an initiator speaks; its link asks the peer for it. It is the session's and not the link's
     * choice because calls are encoded before there is a link. An acceptor's session speaks what its peer asked for. */
    uint32_t codec;
    uint64_t max_queued_call_bytes;
    /* max_output: bytes waiting for the link before choir_call answers BLOCKED; 4 MiB, a few large messages. */
    uint64_t max_output;
    /* memory_quota: bytes of requests that the peer can make this session hold, arguments decoded; 64 MiB, four messages of
     * the largest size. Not 0. Beside it a peer can make us hold one partial message (max_payload), its schemas (1 MiB) and what
     * translates them (1 MiB), and the answers to the requests that run when max_output of the link is reached. */
    uint64_t memory_quota;
    /* glitch_burst, glitch_rate: odd but honest messages (late answers, cancels, calls that cannot run) that
     * are let through at once and per second; then it is a protocol error. 1,000 and 100. */
    uint32_t glitch_burst, glitch_rate;
    /* keepalive_idle: a peer silent this long is dead; a ping asks it at two thirds. 15 s. 0 is off. */
    choir_duration keepalive_idle;
    /* keepalive_busy: the same while calls or requests are in flight, counted from the first of them; ping at half.
     * 5 s. */
    choir_duration keepalive_busy;
    /* keepalive_send: a ping leaves after this long without sending (TypeScript peers end a session after
     * 30 s without input). 15 s. 0 is off. */
    choir_duration keepalive_send;
    /* wake: called when an event appears outside of receive, or the deadline moved earlier. It may only take a note: no function of the
     * library may be called from it. */
    void (*wake)(void *ctx, choir_session *session);
    void *wake_ctx;
    /* user_data: for the host; destroy, when set, is called once when the session is freed. */
    void *user_data;
    void (*destroy)(void *user_data);
} choir_session_options;

/* Fills in the defaults, at most `size` bytes (env.h says why). */
CHOIR_API void choir_session_options_init_sized(choir_session_options *options, size_t size);
static inline void choir_session_options_init(choir_session_options *options) {
    choir_session_options_init_sized(options, sizeof *options);
}

/* Checks the descriptors of a service and computes, once per env, what they mean on the wire (a session that is given the
 * service does it too; this tells what is wrong with descriptors that were written by hand).
 * OK · ERR_ABI · ERR_INVALID · ERR_NO_MEMORY; on failure ret_why (may be NULL) gets a text for people, cut to why_size
 * and NUL-terminated. */
CHOIR_API int choir_service_check(choir_env *env, const choir_service *service, char *ret_why,
                                  size_t why_size);

/* Creates the session of an initiator; it does nothing until choir_attachment_new_initiator gives it a link.
 * Calls may be made at once and wait. (An acceptor's session comes from choir_attachment_accept.)
 * OK · ERR_INVALID (unknown option bytes, too many metadata entries, a descriptor that is wrong) · ERR_ABI ·
 * ERR_UNSUPPORTED (a codec that this build does not have) · ERR_NO_MEMORY · ERR_RANDOM. Returns owned (free with choir_session_free). */
CHOIR_API int choir_session_new(choir_env *env, const choir_session_options *options,
                                choir_session **ret_session, choir_time now);

/* Frees session and attachment at once, nothing is sent. NULL is fine. */
CHOIR_API void choir_session_free(choir_session *session);

/* Orderly end, at once: requests that are running are dropped (their callers are told Cancelled), queued ones are
 * answered SendFailed, calls in flight end as SESSION_SHUTDOWN, and the session has ended with ERR_SHUTDOWN when this
 * returns (its events remain to be polled). The attachment is finished and still flushes what is queued. Harmless
 * when already closed. rule: session.shutdown */
CHOIR_API void choir_session_close(choir_session *session, choir_time now);

/* Next event, or NULL. Returns borrowed (valid until the next poll, receive or free). */
CHOIR_API const choir_event *choir_session_poll(choir_session *session);

/* Fires what is due. Read the link before calling it: bytes that have arrived count as life. A `now` that goes
 * back is clamped; a jump longer than the keepalive interval (the process slept) restarts liveness. */
CHOIR_API void choir_session_advance(choir_session *session, choir_time now);
/* When advance has something to do next; CHOIR_TIME_NEVER if nothing is waiting. */
CHOIR_API choir_time choir_session_deadline(const choir_session *session);

/* Sends a Ping; SESSION_PONG follows when the peer answers it. OK · ERR_STATE (not established) · ERR_BUSY (one of
 * the host's is under way) · ERR_NO_MEMORY. rule: session.ping */
CHOIR_API int choir_session_ping(choir_session *session, choir_time now);

/* True from ESTABLISHED until the link is lost or close was called. */
CHOIR_API bool choir_session_is_established(const choir_session *session);
/* True when nothing but poll and free is left to do. */
CHOIR_API bool choir_session_is_closed(const choir_session *session);
/* OK while it lives, then the fatal status; text is for people, empty while it lives. Text returns
 * borrowed (valid until free). */
CHOIR_API int choir_session_status(const choir_session *session);
CHOIR_API choir_str choir_session_text(const choir_session *session);

/* The root connection; a handle even before ESTABLISHED. */
CHOIR_API choir_conn choir_session_root(const choir_session *session);
/* The service that is called on it (`call` of its options), NULL for none. Returns borrowed. */
CHOIR_API const choir_service *choir_session_service(const choir_session *session);
/* CHOIR_CODEC_*: what it speaks. */
CHOIR_API uint32_t choir_session_codec(const choir_session *session);
/* What the peer announced; 0 before its Hello. */
CHOIR_API uint32_t choir_session_peer_max_requests(const choir_session *session);
/* Requests whose handlers have not answered or dropped them yet, also after their connection has ended. What they hold
 * is freed with the session: a host whose handlers run on other threads frees the session when this is 0. */
CHOIR_API uint32_t choir_session_held_requests(const choir_session *session);
CHOIR_API void *choir_session_user_data(const choir_session *session);
CHOIR_API void choir_session_set_user_data(choir_session *session, void *user_data);

#ifdef __cplusplus
}
#endif
#endif
