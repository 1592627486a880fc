/* SPDX-License-Identifier: MIT */
/* choir/stream.h: something that moves bytes in both directions without blocking.
 *
 * Role:    what a stream link of libchoir-net reads from and writes to. Raw descriptors are one stream (tcp,
 *          unix, stdio, fd); a host may bring its own (choir_server_adopt_stream).
 * Owner:   the link, once it was given the stream; close ends it.
 * Life:    from the host, or a scheme's connect or accept, to close, which is called exactly once.
 * Threads: that of the loop.
 * Errors:  statuses as listed; `error` says in words why the last operation answered ERR_IO.
 *
 * Layers stand on this seam. A filter such as TLS is a stream that owns another stream and does its handshake
 * inside read and writev: whichever is called goes on with it, and `wait` tells what that needs, which may be
 * to write in order to read. WebSocket is a framing over a stream: a kind of link beside the stream link,
 * which gives the session one message at a time (transports/link.h).
 */
#ifndef CHOIR_STREAM_H
#define CHOIR_STREAM_H

#include "choir/evidence.h"
#include "choir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct choir_stream choir_stream;

#define CHOIR_STREAM_READABLE 1u
#define CHOIR_STREAM_WRITABLE 2u

/* What an operation waits for: readiness (CHOIR_STREAM_*) of a descriptor. `ready` 0: nothing, it can go on
 * at once, as in a filter that has decoded more than it was asked for. */
typedef struct choir_stream_wait {
    int fd;
    uint32_t ready;
} choir_stream_wait;

#define CHOIR_STREAM_READ  0u
#define CHOIR_STREAM_WRITE 1u

typedef struct choir_stream_ops {
    size_t size; /* sizeof this struct; all functions but `unsent` have to be there */
    /* read: takes at most `size` bytes; one attempt is enough. OK (at least one byte) · ERR_BLOCKED (none
     * yet) · ERR_CLOSED (the peer will send no more) · ERR_IO. */
    int (*read)(choir_stream *stream, void *ret_bytes, size_t size, size_t *ret_len);
    /* writev: takes as many of the bytes as it can; fewer than all means that the rest has to wait. After
     * ERR_BLOCKED or fewer, the same bytes are offered again, perhaps with more behind them. Never raises
     * SIGPIPE. OK (at least one byte) · ERR_BLOCKED · ERR_IO. */
    int (*writev)(choir_stream *stream, const choir_iov *segments, size_t len, size_t *ret_written);
    /* shut: says that no more bytes will come; the peer's can still be read. Called once, when everything is
     * written. OK · ERR_IO. */
    int (*shut)(choir_stream *stream);
    /* close: releases everything and says nothing to the peer: a process that was forked off closes its copy,
     * too. */
    void (*close)(choir_stream *stream);
    /* wait: what CHOIR_STREAM_READ or _WRITE waits for. Asked before an operation is tried for the first
     * time, and again whenever it has answered BLOCKED or, writing, has taken fewer bytes. */
    choir_stream_wait (*wait)(const choir_stream *stream, uint32_t operation);
    /* evidence: about the peer; fixed once read has returned the first bytes. NULL: nothing is known, or not
     * yet. Returns borrowed (valid until close). */
    const choir_evidence *(*evidence)(const choir_stream *stream);
    /* error: why an operation failed, for people. Returns borrowed (valid until the next operation). */
    choir_str (*error)(const choir_stream *stream);
    /* unsent: how many bytes that writev took have not gone on to the peer yet, as far as can be told. NULL:
     * nothing is known of that. A link whose bytes go on is alive, however slow. */
    size_t (*unsent)(const choir_stream *stream);
} choir_stream_ops;

/* A stream's struct starts with this. */
struct choir_stream {
    const choir_stream_ops *ops;
};

#ifdef __cplusplus
}
#endif
#endif
