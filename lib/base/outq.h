/* SPDX-License-Identifier: MIT */
/* Output queue: an ordered run of bytes in pooled blocks and retained chunks, taken out by peek and consume.
 *
 * Small writes are copied together into blocks of up to CHOIRI_BLOCK_SIZE, large spans are retained: 64
 * segments cost more to write than copying 64 small frames into one. The queue does not know frames; the
 * attachment keeps each frame's first bytes contiguous by reserving them in one go. A producer writes between
 * mark and commit-or-rollback, so a message that failed half-way leaves no bytes.
 *
 * Frames move from queue to queue (choiri_outq_transfer). What is below CHOIRI_OUTQ_MOVE_MIN is copied then,
 * so that the target stays short; what is above moves with its block. For that a producer seals its queue
 * behind each frame of CHOIRI_OUTQ_MOVE_MIN bytes or more: such a frame then never shares a block with a
 * younger one, and a transfer of one frame copies no run of that length.
 */
#ifndef CHOIRI_OUTQ_H
#define CHOIRI_OUTQ_H

#include "base/assert.h"
#include "base/env.h"

#include <string.h>

/* Runs of so many bytes move without copying. */
#define CHOIRI_OUTQ_MOVE_MIN 4096u

typedef struct choiri_outq_seg choiri_outq_seg;

/* One run of bytes: behind this struct (a block) or in a chunk. pos <= end <= limit. */
struct choiri_outq_seg {
    choiri_outq_seg *next; /* newer */
    uint8_t *pos;          /* first byte that is not consumed */
    uint8_t *end;          /* where the next byte goes */
    uint8_t *limit;        /* end of what may be reserved: `end` for a chunk */
    choir_chunk *chunk;    /* retained; NULL for a block */
    size_t size;           /* of the object that this struct is in */
    size_t held;           /* what the queue was charged for it */
};

typedef struct choiri_outq {
    choir_env *env;
    choiri_outq_seg *head, *tail; /* oldest, newest */
    uint64_t bytes;               /* committed and not consumed */
    uint64_t held; /* memory: blocks as allocated, chunks whole, once for segments of one chunk in a row */
} choiri_outq;

typedef struct choiri_outq_mark {
    choiri_outq_seg *tail;
    size_t tail_len;
    uint64_t bytes;
} choiri_outq_mark;

void choiri_outq_init(choiri_outq *q, choir_env *env);
void choiri_outq_deinit(choiri_outq *q);

/* The slow half of reserve: a new block at the tail. */
uint8_t *choiri_outq_grow(choiri_outq *q, size_t min, size_t *ret_room);

/* At least `min` (up to CHOIRI_BLOCK_SIZE - 64 from the pool, more from the allocator; not 0) contiguous
 * bytes at the tail; *ret_room tells how many there really are. NULL when memory is out. Nothing is queued
 * yet. The bytes stay where they are until they are consumed or rolled back; no consume between this and
 * commit. */
static inline uint8_t *choiri_outq_reserve(choiri_outq *q, size_t min, size_t *ret_room) {
    choiri_outq_seg *tail = q->tail;
    if (CHOIRI_UNLIKELY(!tail || (size_t)(tail->limit - tail->end) < min))
        return choiri_outq_grow(q, min, ret_room);
    *ret_room = (size_t)(tail->limit - tail->end);
    return tail->end;
}
/* The first `len` reserved bytes are now queued. */
static inline void choiri_outq_commit(choiri_outq *q, size_t len) {
    if (len == 0) return; /* also when nothing could be reserved */
    choiri_outq_seg *tail = q->tail;
    CHOIRI_ASSERT(tail && len <= (size_t)(tail->limit - tail->end));
    tail->end += len;
    q->bytes += len;
}
/* Nothing more is appended to the newest block. */
static inline void choiri_outq_seal(choiri_outq *q) {
    if (q->tail) q->tail->limit = q->tail->end;
}
/* Queues bytes inside `chunk` without copying (retains). false when memory is out. */
bool choiri_outq_splice(choiri_outq *q, choir_chunk *chunk, const uint8_t *data, size_t len);

/* Hands all bytes of `from` over to the end of `q` (same env) without copying; `from` is empty afterwards. */
void choiri_outq_move(choiri_outq *q, choiri_outq *from);
/* Moves the oldest `len` bytes (at most from->bytes) to the end of `to` (same env). A segment that is covered
 * whole and is a chunk or has CHOIRI_OUTQ_MOVE_MIN bytes moves; so many bytes at the beginning of a chunk are
 * spliced; the rest is copied, each run in one piece. Not between mark and commit of either queue. false when
 * memory is out (nothing changed). */
bool choiri_outq_transfer(choiri_outq *to, choiri_outq *from, uint64_t len);

/* Undo: everything queued since the mark goes away. Only before any consume. */
static inline choiri_outq_mark choiri_outq_get_mark(const choiri_outq *q) {
    const choiri_outq_seg *tail = q->tail;
    return (choiri_outq_mark){q->tail, tail ? (size_t)(tail->end - tail->pos) : 0, q->bytes};
}
void choiri_outq_rollback(choiri_outq *q, choiri_outq_mark mark);

/* Fills up to `max` segments with queued bytes from offset `skip`, in order, at most `limit` bytes
 * altogether; returns how many segments. Pointers live until the next call that is not consume. */
size_t choiri_outq_peek(const choiri_outq *q, size_t skip, uint64_t limit, choir_iov *iov, size_t max);
/* Copies up to `len` queued bytes from offset `skip`; returns how many there were. They stay in the queue. */
size_t choiri_outq_copy(const choiri_outq *q, size_t skip, void *out, size_t len);
/* Makes the oldest `len` bytes (at most q->bytes) one contiguous segment. false when memory is out (nothing
 * changed). */
bool choiri_outq_flatten(choiri_outq *q, size_t len);
/* Drops the oldest `len` bytes (at most q->bytes). Blocks that become empty go back to the pool; an empty
 * queue holds nothing. */
void choiri_outq_consume(choiri_outq *q, uint64_t len);

#endif
