/* SPDX-License-Identifier: MIT */
/* Links over streams.
 *
 * One read per wake-up into the loop's block: what did not fit wakes us again, so nobody is read to
 * exhaustion while others wait, and no read is made only to hear that there is nothing. Output is written at
 * once; the descriptor is asked to say when it takes more only after it has refused some. Which descriptor,
 * and what readiness, says the stream: a filter may have to read in order to write.
 *
 * Rejected: bufferevents (14 system calls per call instead of 6, and reads of 4 KiB). */
#include "link.h"
#include "options.h"

#include "choir/stream.h"

#include <stdio.h>
#include <string.h>

#define IOV_MAX_USED 64u
/* A lone message of at least this size is sent in two pieces, a small head first: the receiver wakes up and
 * makes room while we are still copying the rest, which nearly doubles the rate of single large messages. */
#define LARGE_MESSAGE (64u << 10)
#define LARGE_HEAD    (8u << 10)

typedef struct stream_link {
    net_link link;
    choir_stream *stream; /* NULL: none yet */
    choir_stream_ops ops; /* its functions; those that its host does not know are NULL */
    /* waits: what each operation waits for, while its event is added (`armed`). */
    choir_stream_wait waits[2];
    bool armed[2];
    uint64_t written; /* bytes that the stream took */
    bool writing;     /* the stream takes nothing at the moment */
    bool writable;    /* it does again */
    struct event events[2];
} stream_link;

static stream_link *stream_of(const net_link *link) {
    return (stream_link *)(uintptr_t)link; /* link is its first member */
}

static void lost(stream_link *s, const char *what) {
    char text[160];
    choir_str why = s->ops.error(s->stream);
    int n = snprintf(text, sizeof text, "%s: %.*s", what, (int)why.len, why.data);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    choiri_net_link_lost(&s->link, CHOIR_ERR_LINK_LOST, (choir_str){text, len});
}

/* ---- waiting ---- */

static void disarm(stream_link *s, uint32_t operation) {
    if (s->armed[operation]) event_del(&s->events[operation]);
    s->armed[operation] = false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

/* Waits for what the stream wants before it goes on with the operation. */
static void arm(stream_link *s, uint32_t operation) {
    static const event_callback_fn callbacks[] = {on_readable, on_writable};
    choir_stream_wait wait = s->ops.wait(s->stream, operation);
    struct event *event = &s->events[operation];
    if (s->armed[operation]) {
        bool same = wait.fd == s->waits[operation].fd && wait.ready == s->waits[operation].ready;
        if (same && wait.ready != 0) return;
        event_del(event);
    }
    short what = EV_PERSIST;
    if (wait.ready & CHOIR_STREAM_READABLE) what |= EV_READ;
    if (wait.ready & CHOIR_STREAM_WRITABLE) what |= EV_WRITE;
    event_assign(event, s->link.loop->base, wait.fd, what, callbacks[operation], s);
    s->waits[operation] = wait;
    s->armed[operation] = true;
    if (wait.ready == 0)
        event_active(event, 0, 0);
    else
        event_add(event, NULL);
}

/* ---- input ---- */

static void stream_read(net_link *link) {
    stream_link *s = stream_of(link);
    choir_loop *loop = link->loop;
    if (!net_link_is_ready(link)) return;
    choir_chunk *block = choiri_net_block(loop);
    if (!block) {
        choiri_net_link_lost(link, CHOIR_ERR_OUT_OF_MEMORY, CHOIR_STR("no memory to read into"));
        return;
    }
    uint8_t *bytes = choir_chunk_data(block);
    size_t len = 0;
    switch (s->ops.read(s->stream, bytes, choir_chunk_len(block), &len)) {
    case CHOIR_OK:
        if (link->state == NET_OPEN) choiri_net_link_feed(link, block, bytes, len);
        break;
    case CHOIR_ERR_BLOCKED: break;
    case CHOIR_ERR_CLOSED:
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the peer closed the link"));
        return;
    default: lost(s, "reading failed"); return;
    }
    if (link->reading) arm(s, CHOIR_STREAM_READ);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    stream_link *s = arg;
    choir_loop *loop = s->link.loop;
    choiri_net_enter(loop);
    stream_read(&s->link);
    choiri_net_link_mark(&s->link);
    choiri_net_leave(loop);
}

static void stream_want(net_link *link, bool input) {
    if (input)
        arm(stream_of(link), CHOIR_STREAM_READ);
    else
        disarm(stream_of(link), CHOIR_STREAM_READ);
}

/* ---- output ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    stream_link *s = arg;
    choir_loop *loop = s->link.loop;
    choiri_net_enter(loop);
    s->writable = true;
    choiri_net_link_mark(&s->link);
    choiri_net_leave(loop);
}

static void set_writing(stream_link *s, bool writing) {
    s->writing = writing;
    s->writable = false;
    if (writing)
        arm(s, CHOIR_STREAM_WRITE);
    else
        disarm(s, CHOIR_STREAM_WRITE);
}

static size_t total_of(const choir_iov *iov, size_t n) {
    size_t total = 0;
    for (size_t i = 0; i < n; i++) total += iov[i].len;
    return total;
}

/* True when what is offered is one large message and nothing else: its length is in front. */
static bool is_lone_large(const choir_iov *iov, size_t total) {
    if (total < LARGE_MESSAGE || iov[0].len < 4) return false;
    const uint8_t *p = iov[0].base;
    uint64_t len = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
    return len + 4 == total;
}

/* Cuts the segments to `max` bytes; returns how many are left. */
static size_t clip(choir_iov *iov, size_t n, size_t max) {
    for (size_t i = 0; i < n; i++) {
        if (iov[i].len >= max) {
            iov[i].len = max;
            return i + 1;
        }
        max -= iov[i].len;
    }
    return n;
}

/* A peer that has closed may have said why: that is read before the link is given up. */
static void write_failed(stream_link *s) {
    choir_str why = s->ops.error(s->stream);
    char text[160];
    snprintf(text, sizeof text, "writing failed: %.*s", (int)why.len, why.data);
    if (s->link.state == NET_OPEN) stream_read(&s->link);
    choiri_net_link_lost(&s->link, CHOIR_ERR_LINK_LOST, (choir_str){text, strlen(text)});
}

static void stream_flush(net_link *link) {
    stream_link *s = stream_of(link);
    if (s->writing && !s->writable) return;
    bool idle = !s->writing; /* nothing of what is offered was ever refused: it starts with a message */
    while (link->state == NET_OPEN || link->state == NET_FLUSHING) {
        choir_iov iov[IOV_MAX_USED];
        size_t n = choir_attachment_peek(link->attachment, iov, IOV_MAX_USED);
        if (n == 0) {
            if (s->writing) set_writing(s, false);
            return;
        }
        size_t total = total_of(iov, n), written = 0;
        if (idle && is_lone_large(iov, total)) {
            n = clip(iov, n, LARGE_HEAD);
            total = LARGE_HEAD;
        }
        idle = false;
        int status = s->ops.writev(s->stream, iov, n, &written);
        if (status != CHOIR_OK && status != CHOIR_ERR_BLOCKED) {
            write_failed(s);
            return;
        }
        s->written += written;
        if (written > 0) choir_attachment_consume(link->attachment, written, link->loop->now);
        if (written < total) {
            set_writing(s, true);
            return;
        }
    }
}

/* ---- life ---- */

/* Lays the stream's functions over `ret`. False: one is missing without which there is no stream. */
static bool take_ops(const choir_stream *stream, choir_stream_ops *ret) {
    memset(ret, 0, sizeof *ret);
    return stream->ops && choiri_net_options_copy(ret, sizeof *ret, stream->ops) == CHOIR_OK && ret->read &&
           ret->writev && ret->shut && ret->close && ret->wait && ret->evidence && ret->error;
}

bool choiri_net_stream_is_whole(const choir_stream *stream) {
    choir_stream_ops ops;
    return take_ops(stream, &ops);
}

void choiri_net_stream_link_set(net_link *link, choir_stream *stream) {
    stream_link *s = stream_of(link);
    take_ops(stream, &s->ops);
    s->stream = stream;
}

static uint64_t stream_gone(const net_link *link) {
    const stream_link *s = stream_of(link);
    if (!s->ops.unsent) return s->written;
    size_t unsent = s->ops.unsent(s->stream);
    return unsent < s->written ? s->written - unsent : 0;
}

static void stream_shut(net_link *link) {
    stream_link *s = stream_of(link);
    if (s->writing) set_writing(s, false);
    s->ops.shut(s->stream);
}

static void stream_close(net_link *link) {
    stream_link *s = stream_of(link);
    disarm(s, CHOIR_STREAM_READ);
    disarm(s, CHOIR_STREAM_WRITE);
    s->writing = s->writable = false;
}

static void stream_release(net_link *link) {
    stream_link *s = stream_of(link);
    if (s->stream) s->ops.close(s->stream);
}

static const choir_evidence *stream_evidence(const net_link *link) {
    const stream_link *s = stream_of(link);
    return s->ops.evidence(s->stream);
}

const net_link_kind choiri_net_stream_links = {
    .size = sizeof(stream_link),
    .framing = CHOIR_FRAMING_U32LE,
    .flush = stream_flush,
    .want = stream_want,
    .read = stream_read,
    .gone = stream_gone,
    .shut = stream_shut,
    .close = stream_close,
    .release = stream_release,
    .evidence = stream_evidence,
};
