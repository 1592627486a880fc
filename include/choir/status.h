/* SPDX-License-Identifier: MIT */
/* choir/status.h: what a choir function returns.
 *
 * Role:    0 is success, errors are negative. Codes at or below CHOIR_ERR_FATAL are fatal: they stick to the
 *          object, which accepts nothing but queries, poll and free from then on (choir_status_is_fatal).
 * Owner:   the texts are static.
 * Life:    codes are never renumbered or removed, only added.
 * Threads: any.
 * Errors:  none. How a call ended is an outcome, not a status (choir/event.h).
 */
#ifndef CHOIR_STATUS_H
#define CHOIR_STATUS_H

#include "choir/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, value, text). Conditions come first: they leave the object as it was before the call. */
#define CHOIR_STATUS_MAP(X)                                                                                  \
    X(OK, 0, "ok")                                                                                           \
    X(ERR_INVALID, -1, "an argument is not allowed here")                                                    \
    X(ERR_STATE, -2, "not allowed in this state of the object")                                              \
    X(ERR_NOT_FOUND, -3, "no live object has this handle or name")                                           \
    X(ERR_BUSY, -4, "events must be polled first, or one of this kind is under way")                         \
    X(ERR_BLOCKED, -5, "a budget is full; a writable event follows")                                         \
    X(ERR_TOO_LARGE, -6, "over a size limit")                                                                \
    X(ERR_NO_MEMORY, -7, "the allocator returned nothing, or the quota is full")                             \
    X(ERR_ID_EXHAUSTED, -8, "no request id is left on this connection")                                      \
    X(ERR_CANCELLED, -9, "the peer cancelled this request; nothing was sent")                                \
    X(ERR_CLOSED, -10, "the session is closed, or has no link")                                              \
    X(ERR_TRUNCATED, -11, "the input ends in the middle of a value")                                         \
    X(ERR_MALFORMED, -12, "the input is not well-formed")                                                    \
    X(ERR_DEPTH, -13, "nested more than 64 deep")                                                            \
    X(ERR_LAYOUT, -14, "the two types do not have the same layout")                                          \
    X(ERR_ABI, -15, "made for another version of this library")                                              \
    X(ERR_UNSUPPORTED, -16, "this build or peer cannot do that")                                             \
    X(ERR_TIMED_OUT, -17, "took longer than allowed")                                                        \
    X(ERR_REENTRANT, -18, "would wait inside a callback of the same loop")                                   \
    X(ERR_ADDRESS, -19, "the address cannot be understood")                                                  \
    X(ERR_LISTEN, -21, "the address cannot be listened on")                                                  \
    X(ERR_IO, -22, "the operating system reported an error")                                                 \
    X(ERR_RANDOM, -23, "the random source failed")                                                           \
    /* ---- fatal from here on: the attachment or session is over ---- */                                    \
    X(ERR_PROTOCOL, -1001, "the peer broke the protocol")                                                    \
    X(ERR_PEER_PROTOCOL, -1002, "the peer reported that we broke the protocol")                              \
    X(ERR_FRAME_TOO_LARGE, -1003, "the peer announced a frame over the limit")                               \
    X(ERR_FRAME_TIMEOUT, -1004, "a frame took too long to arrive")                                           \
    X(ERR_PROLOGUE, -1005, "the peer did not start with a vox prologue")                                     \
    X(ERR_REJECTED, -1006, "the peer refused the conduit mode")                                              \
    X(ERR_HANDSHAKE, -1007, "the handshake failed")                                                          \
    X(ERR_REFUSED, -1008, "the peer refused the session (Sorry)")                                            \
    X(ERR_HANDSHAKE_TIMEOUT, -1009, "the handshake was not finished in time")                                \
    X(ERR_PEER_UNRESPONSIVE, -1010, "the peer sent nothing for too long")                                    \
    X(ERR_WRITE_STALLED, -1011, "the peer took nothing off our output for too long")                         \
    X(ERR_LINK_LOST, -1012, "the link ended")                                                                \
    X(ERR_OUT_OF_MEMORY, -1013, "memory ran out in the middle of a message")                                 \
    X(ERR_SHUTDOWN, -1014, "we closed the session")                                                          \
    X(ERR_NEWER_PEER, -1015, "the peer speaks vox 0.9 or later, which this protocol is not")                 \
    X(ERR_PEER_CLOSED, -1016, "the peer closed the connection")                                              \
    X(ERR_CONNECT, -1017, "no address of the name could be connected")                                       \
    X(ERR_RESOLVE, -1018, "the name of the address cannot be resolved")                                      \
    X(ERR_CONNECT_TIMEOUT, -1019, "connecting took longer than allowed")

typedef enum choir_status {
#define CHOIR_STATUS_ENUM(name, value, text) CHOIR_##name = (value),
    CHOIR_STATUS_MAP(CHOIR_STATUS_ENUM)
#undef CHOIR_STATUS_ENUM
} choir_status;

/* Layers above have numbers of their own: CHOIR_STATUS_OF(layer, code) with a layer from 1 to 99, which each
 * of them fixes in its header, and codes on both sides of the same line as here. Their texts are theirs. */
#define CHOIR_STATUS_RANGE           10000
#define CHOIR_STATUS_OF(layer, code) ((code) - (layer)*CHOIR_STATUS_RANGE)
static inline int choir_status_layer(int status) {
    return -status / CHOIR_STATUS_RANGE;
}

/* A status at or below this line, in each layer's range, is fatal: it ends the object for which it was
 * reported. */
#define CHOIR_ERR_FATAL (-1000)

static inline bool choir_status_is_fatal(int status) {
    return status % CHOIR_STATUS_RANGE <= CHOIR_ERR_FATAL;
}

/* Could the same thing succeed later? What failed for want of an answer, a peer or room may: connecting,
 * resolving, time-outs, a lost link, a full budget. What was refused, or is wrong, will not. */
CHOIR_API bool choir_status_is_retryable(int status);

/* The name of a status, such as "ERR_BLOCKED", or "ERR_UNKNOWN". Returns borrowed (valid for ever). */
CHOIR_API const char *choir_status_name(int status);

/* A status in words, without a full stop. Returns borrowed (valid for ever). */
CHOIR_API const char *choir_status_text(int status);

#ifdef __cplusplus
}
#endif
#endif
