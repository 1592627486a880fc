/* SPDX-License-Identifier: MIT */
/* choir/attachment.h: one link's life.
 *
 * Role:    turns bytes of a link into payloads and back: framing, prologue, handshake, the link's deadlines.
 *          Does no I/O: a transport feeds bytes in and takes bytes out.
 * Owner:   the host until it belongs to a session (an initiator's from the start, an acceptor's from accept
 *          on); then the session frees it. Free an attachment without a session with choir_attachment_free.
 * Life:    dies with its link, and its unwritten output with it. After choir_attachment_closed, or once
 *          interest says FINISHED, it is only good for free; the session it belonged to lets go of it at
 *          choir_session_free or when the host frees it.
 * Threads: one thread at a time, that of its env.
 * Errors:  a fatal status sticks and closes the attachment: flush what peek still offers (it may tell the
 *          peer why), then close the link.
 *
 * The loop of a transport: read bytes; while some are left { receive; poll the session until NULL }; write
 * what peek offers; call advance when deadline is due. After a receive that reports a Hello, decide.
 */
#ifndef CHOIR_ATTACHMENT_H
#define CHOIR_ATTACHMENT_H

#include "choir/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct choir_attachment choir_attachment;

/* Stream links: each payload is preceded by its length; one peek may span many payloads. */
#define CHOIR_FRAMING_U32LE 0u
/* Links that keep boundaries (memory, WebSocket): a receive is given exactly one payload, a peek offers
 * exactly one, and it is consumed as a whole. */
#define CHOIR_FRAMING_NONE 1u

typedef struct choir_attachment_options {
    size_t size;      /* set by choir_attachment_options_init */
    uint32_t framing; /* CHOIR_FRAMING_* */
    /* max_payload: larger frames end the link, larger messages are not sent; at most 1 GiB less a byte. 16
     * MiB: vox peers split bulk data well below it. */
    uint32_t max_payload;
    /* max_handshake: largest payload before the session is established, at most 1 GiB less a byte. 1 MiB; a
     * real Hello has 7.3 KiB. */
    uint32_t max_handshake;
    /* min_rate: bytes per second a slow frame must make on top of frame_timeout; 32 KiB. 0: it has
     * frame_timeout and no more. */
    uint32_t min_rate;
    /* min_output_rate: bytes per second of output that a slow link must take, measured over
     * write_stall_timeout; 1 KiB, far below what any link of use has. 0: one byte is enough. */
    uint32_t min_output_rate;
    /* For the three that follow 0 is "never". */
    /* handshake_timeout: from the start of the link to an established session; 10 s. */
    choir_duration handshake_timeout;
    /* frame_timeout: from a frame's first byte to its last, plus received bytes / min_rate; 30 s. */
    choir_duration frame_timeout;
    /* write_stall_timeout: output waits and the link takes nothing, or less than min_output_rate; 30 s. */
    choir_duration write_stall_timeout;
    /* wake: called when output appears or the deadline moved earlier; may only take a note. For an attachment
     * of a session both wakes may come. */
    void (*wake)(void *ctx, choir_attachment *attachment);
    void *wake_ctx;
    void *user_data;
    /* codecs: a bit 1 << CHOIR_CODEC_* for each codec that an acceptor takes; all that this build has. What
     * an initiator asks for is its session's affair. */
    uint32_t codecs;
    /* resumed_input: 1 for an acceptor that is fed what another one had read (choir_attachment_received): the
     * peer has our prologue already, and it is not sent again. */
    uint32_t resumed_input;
    /* evidence: about the peer. Copied. NULL: none, or choir_attachment_set_evidence tells it later. */
    const choir_evidence *evidence;
} choir_attachment_options;

/* Fills in the defaults and writes exactly `size` bytes (env.h says why). */
CHOIR_API void choir_attachment_options_init_sized(choir_attachment_options *options, size_t size);
static inline void choir_attachment_options_init(choir_attachment_options *options) {
    choir_attachment_options_init_sized(options, sizeof *options);
}

/* Gives `session` (new, without a link) a link and queues prologue and Hello. OK · ERR_INVALID · ERR_STATE
 * (the session has or had one) · ERR_NO_MEMORY. Returns borrowed (valid until the session is freed, or
 * choir_attachment_free). */
CHOIR_API int choir_attachment_new_initiator(choir_env *env, const choir_attachment_options *options,
                                             choir_session *session, choir_attachment **ret_attachment,
                                             choir_time now);
/* The accepting end of a new link. OK · ERR_INVALID · ERR_NO_MEMORY. Returns owned until accept. */
CHOIR_API int choir_attachment_new_acceptor(choir_env *env, const choir_attachment_options *options,
                                            choir_attachment **ret_attachment, choir_time now);
/* Ends the link's side: a session that has it becomes detached (ERR_LINK_LOST unless it ended before). */
CHOIR_API void choir_attachment_free(choir_attachment *attachment, choir_time now);

/* Tells what is known about the peer, for links that learn it with the first bytes (TLS). Copied; constant
 * from then on. OK · ERR_INVALID · ERR_STATE (it was told, or a payload was received) · ERR_NO_MEMORY. */
CHOIR_API int choir_attachment_set_evidence(choir_attachment *attachment, const choir_evidence *evidence);

/* Takes input, at most one payload per call; *ret_used says how many bytes were taken; it is not touched when
 * the attachment took none because of its state. `bytes` is kept until the session was polled until NULL.
 * `chunk`, when not NULL, is where bytes lie: large payloads are then retained in it instead of copied. OK ·
 * ERR_BUSY (events are waiting, nothing was taken) · ERR_STATE (a Hello waits for a decision, or nothing more
 * is wanted) · a fatal status. */
CHOIR_API int choir_attachment_receive(choir_attachment *attachment, const void *bytes, size_t len,
                                       choir_chunk *chunk, size_t *ret_used, choir_time now);
/* The link ended: end of stream (status CHOIR_ERR_LINK_LOST) or another fatal status, with a text for people
 * (copied, cut at some 200 bytes). The session becomes detached. */
CHOIR_API void choir_attachment_closed(choir_attachment *attachment, int status, choir_str text,
                                       choir_time now);

/* The Hello of an initiator, as the acceptor's host sees it. */
typedef struct choir_hello {
    uint32_t parity;                  /* 1 odd, 2 even: ids the peer will use */
    uint32_t max_concurrent_requests; /* what the peer announces */
    uint32_t supports_retry;          /* 0 or 1 */
    uint32_t resume_key_len;          /* 0 when there is none */
    const uint8_t *resume_key;
    choir_str service; /* the first String vox-service; empty when there is none */
    choir_metadata metadata;
    const choir_evidence *evidence; /* NULL when the transport told nothing */
} choir_hello;

/* Acceptor: the peer's Hello once it is there and waits for a decision, else NULL. Returns borrowed (valid
 * until accept, refuse or free). */
CHOIR_API const choir_hello *choir_attachment_hello(choir_attachment *attachment);
/* Answers HelloYourself and makes a new session of it; SESSION_ESTABLISHED follows with the peer's LetsGo. OK
 * · ERR_STATE (no Hello waits) · ERR_UNSUPPORTED (the Hello brings a resume key, which would make its caller
 * run calls twice here: refuse it) · ERR_INVALID · ERR_ABI · ERR_NO_MEMORY · ERR_RANDOM. On failure the Hello
 * still waits. Returns owned (free with choir_session_free), which from then on owns the attachment. */
CHOIR_API int choir_attachment_accept(choir_attachment *attachment, const choir_session_options *options,
                                      choir_session **ret_session, choir_time now);
/* Answers Sorry with the reason's text, which is for people; metadata has no place in a Sorry and is not
 * sent. The attachment is finished once that is flushed. `reason` may be NULL. OK · ERR_STATE · ERR_INVALID
 * (a reason that is not UTF-8; the Hello still waits) · ERR_NO_MEMORY (finished all the same). */
CHOIR_API int choir_attachment_refuse(choir_attachment *attachment, const choir_reason *reason,
                                      choir_time now);
/* Acceptor, while a Hello waits for a decision: every byte that was received so far. A host that finds that
 * the session it belongs to lives on another loop, and thread, hands the descriptor and these bytes over,
 * frees this attachment, and feeds them to a new one there (resumed_input). Empty at any other time. Returns
 * borrowed (valid until accept, refuse or free). */
CHOIR_API choir_bytes choir_attachment_received(const choir_attachment *attachment);

/* Output: fills up to `max` segments (at least 16, so that any payload fits) and returns how many. Pointers
 * live until the next call on the attachment or its session that is not consume. */
CHOIR_API size_t choir_attachment_peek(choir_attachment *attachment, choir_iov *ret_iov, size_t max);
/* The link took `bytes` of what peek offered (framing NONE: all of it). Events may follow, such as the end of
 * a request whose answer has left: poll the session before the next receive. OK · ERR_INVALID (more than was
 * offered). */
CHOIR_API int choir_attachment_consume(choir_attachment *attachment, size_t bytes, choir_time now);

/* For transports that can see it: bytes that the link took earlier have gone on towards the peer (the
 * kernel's queue became shorter). A link that makes progress is alive, however long an answer to a ping takes
 * to come through. */
CHOIR_API void choir_attachment_progress(choir_attachment *attachment, choir_time now);

/* Bytes of output that wait, without answers to pings (they are made by peek). For a host that writes in the
 * middle of a long burst of input, so that the peer can work meanwhile. */
CHOIR_API uint64_t choir_attachment_pending(const choir_attachment *attachment);

#define CHOIR_WANTS_INPUT 1u
#define CHOIR_HAS_OUTPUT  2u
/* No input is wanted, and once HAS_OUTPUT is gone the link should be closed. Output that nobody takes goes
 * with write_stall_timeout; a transport may have less patience with last words (libchoir-net has 250 ms). */
#define CHOIR_FINISHED 4u
CHOIR_API uint32_t choir_attachment_interest(const choir_attachment *attachment);

/* The link's own deadlines: handshake, slow frame, write stall. As for sessions. */
CHOIR_API void choir_attachment_advance(choir_attachment *attachment, choir_time now);
CHOIR_API choir_time choir_attachment_deadline(const choir_attachment *attachment);

CHOIR_API int choir_attachment_status(const choir_attachment *attachment);
CHOIR_API choir_str choir_attachment_text(const choir_attachment *attachment);
/* NULL while it belongs to none. Returns borrowed. */
CHOIR_API choir_session *choir_attachment_session(const choir_attachment *attachment);
CHOIR_API void *choir_attachment_user_data(const choir_attachment *attachment);

#ifdef __cplusplus
}
#endif
#endif
