/* SPDX-License-Identifier: MIT */
/* Output queue.
 *
 * Invariants: q->bytes is the sum of end - pos over all segments. While it is 0 the queue holds no segment,
 * except one that was reserved and not yet committed to or rolled back. A block that is still empty, and was
 * too small for what was reserved next, may lie between others: peek and consume pass over it. q->held is the
 * sum of the segments'; a segment is charged its object, and its chunk unless the one before it, which is
 * charged too, has the same. Rejected: splitting a block in two around a retained chunk, so that the rest of
 * the block is used after it. It needs a count of owners per block; a small block after each chunk wastes
 * less than the chunk's size.
 */
#include "base/outq.h"

#include <string.h>

/* Size of a block that is the first of a queue or comes after a chunk: what a waiting queue holds stays in
 * proportion to its bytes, with thousands of sessions that have one small frame to send each. */
#define BLOCK_SMALL 1024u

_Static_assert(sizeof(choiri_outq_seg) <= 64, "a block must have room for CHOIRI_BLOCK_SIZE - 64 bytes");

void choiri_outq_init(choiri_outq *q, choir_env *env) {
    *q = (choiri_outq){.env = env};
}

static size_t len_of(const choiri_outq_seg *seg) {
    return (size_t)(seg->end - seg->pos);
}

static size_t room_of(const choiri_outq_seg *seg) {
    return seg ? (size_t)(seg->limit - seg->end) : 0;
}

static void seg_free(choir_env *env, choiri_outq_seg *seg) {
    choir_chunk_release(seg->chunk);
    choiri_obj_free(env, seg, seg->size);
}

static void free_from(choiri_outq *q, choiri_outq_seg *seg) {
    while (seg) {
        choiri_outq_seg *next = seg->next;
        q->held -= seg->held;
        seg_free(q->env, seg);
        seg = next;
    }
}

void choiri_outq_deinit(choiri_outq *q) {
    free_from(q, q->head);
    CHOIRI_ASSERT(q->held == 0);
    q->head = q->tail = NULL;
    q->bytes = 0;
}

/* Charges `q` anew for its segment `seg`, which comes behind `before` (NULL: is the first). */
static void charge(choiri_outq *q, choiri_outq_seg *seg, const choiri_outq_seg *before) {
    q->held -= seg->held;
    seg->held = choiri_obj_size(seg->size);
    if (seg->chunk && !(before && before->chunk == seg->chunk)) seg->held += choir_chunk_len(seg->chunk);
    q->held += seg->held;
}

/* Appends a segment of no queue, with its bytes. */
static void append(choiri_outq *q, choiri_outq_seg *seg) {
    charge(q, seg, q->tail);
    q->bytes += len_of(seg);
    seg->next = NULL;
    if (q->tail)
        q->tail->next = seg;
    else
        q->head = seg;
    q->tail = seg;
}

/* Takes the oldest segment out, with its bytes. */
static choiri_outq_seg *take_head(choiri_outq *q) {
    choiri_outq_seg *seg = q->head;
    q->head = seg->next;
    if (!q->head) q->tail = NULL;
    q->bytes -= len_of(seg);
    q->held -= seg->held;
    seg->held = 0;
    if (q->head && seg->chunk && q->head->chunk == seg->chunk) charge(q, q->head, NULL);
    return seg;
}

/* A block with at least `min` bytes of room to come behind `before`, in no queue. NULL when memory is out. */
static choiri_outq_seg *new_block(choir_env *env, size_t min, const choiri_outq_seg *before) {
    if (min > SIZE_MAX - sizeof(choiri_outq_seg)) return NULL;
    size_t need = sizeof(choiri_outq_seg) + min;
    size_t size = !before || before->chunk ? BLOCK_SMALL : CHOIRI_BLOCK_SIZE;
    if (size < need) size = need <= CHOIRI_BLOCK_SIZE ? CHOIRI_BLOCK_SIZE : need;
    choiri_outq_seg *seg = choiri_obj_alloc(env, size);
    if (!seg) return NULL;
    uint8_t *data = (uint8_t *)(seg + 1);
    *seg = (choiri_outq_seg){.pos = data, .end = data, .limit = (uint8_t *)seg + size, .size = size};
    return seg;
}

/* A segment for bytes in a chunk, retained. */
static choiri_outq_seg *new_span(choir_env *env, choir_chunk *chunk, const uint8_t *data, size_t len) {
    choiri_outq_seg *seg = choiri_obj_alloc(env, sizeof *seg);
    if (!seg) return NULL;
    uint8_t *pos = (uint8_t *)(uintptr_t)data; /* never written through: nothing can be reserved */
    *seg = (choiri_outq_seg){.pos = pos,
                             .end = pos + len,
                             .limit = pos + len,
                             .chunk = choir_chunk_retain(chunk),
                             .size = sizeof *seg};
    return seg;
}

uint8_t *choiri_outq_grow(choiri_outq *q, size_t min, size_t *ret_room) {
    choiri_outq_seg *seg = new_block(q->env, min, q->tail);
    if (!seg) return NULL;
    append(q, seg);
    *ret_room = room_of(seg);
    return seg->end;
}

bool choiri_outq_splice(choiri_outq *q, choir_chunk *chunk, const uint8_t *data, size_t len) {
    if (len == 0) return true;
    choiri_outq_seg *seg = new_span(q->env, chunk, data, len);
    if (!seg) return false;
    append(q, seg);
    return true;
}

void choiri_outq_move(choiri_outq *q, choiri_outq *from) {
    CHOIRI_ASSERT(q->env == from->env);
    if (from->bytes == 0) {
        choiri_outq_deinit(from);
        return;
    }
    charge(from, from->head, q->tail);
    if (q->tail)
        q->tail->next = from->head;
    else
        q->head = from->head;
    q->tail = from->tail;
    q->bytes += from->bytes;
    q->held += from->held;
    *from = (choiri_outq){.env = from->env};
}

/* ---- transfer ---- */

typedef enum piece { MOVED, SPLICED, COPIED } piece;

/* What becomes of the first `left` bytes of a queue that begins with `seg`, as far as they are in it. */
static piece piece_of(const choiri_outq_seg *seg, uint64_t left) {
    size_t len = len_of(seg);
    if (len <= left && (seg->chunk || len >= CHOIRI_OUTQ_MOVE_MIN)) return MOVED;
    return seg->chunk && left >= CHOIRI_OUTQ_MOVE_MIN ? SPLICED : COPIED;
}

/* Makes the blocks and spans that a transfer of `left` bytes needs, in their order: nothing after this can
 * fail. */
static bool prepare(const choiri_outq *to, const choiri_outq *from, uint64_t left, choiri_outq *fresh) {
    const choiri_outq_seg *tail = to->tail;
    size_t room = room_of(tail);
    for (choiri_outq_seg *seg = from->head; left > 0; seg = seg->next) {
        size_t len = len_of(seg) < left ? len_of(seg) : (size_t)left;
        piece what = piece_of(seg, left);
        left -= len;
        if (what == COPIED && room >= len) {
            room -= len;
            continue;
        }
        choiri_outq_seg *at = seg;
        if (what == COPIED) at = new_block(to->env, len, tail);
        if (what == SPLICED) at = new_span(to->env, seg->chunk, seg->pos, len);
        if (!at) return false;
        if (what != MOVED) append(fresh, at);
        tail = at;
        room = room_of(at) - (what == COPIED ? len : 0);
    }
    return true;
}

bool choiri_outq_transfer(choiri_outq *to, choiri_outq *from, uint64_t len) {
    CHOIRI_ASSERT(to->env == from->env && len <= from->bytes);
    choiri_outq fresh;
    choiri_outq_init(&fresh, to->env);
    if (!prepare(to, from, len, &fresh)) {
        choiri_outq_deinit(&fresh);
        return false;
    }
    while (len > 0) {
        choiri_outq_seg *seg = from->head;
        size_t n = len_of(seg) < len ? len_of(seg) : (size_t)len;
        piece what = piece_of(seg, len);
        len -= n;
        if (what == MOVED) {
            append(to, take_head(from));
            continue;
        }
        if (what == SPLICED || room_of(to->tail) < n) append(to, take_head(&fresh));
        if (what == COPIED && n > 0) { /* else it was an empty block */
            memcpy(to->tail->end, seg->pos, n);
            to->tail->end += n;
            to->bytes += n;
        }
        choiri_outq_consume(from, n);
    }
    if (from->bytes == 0) choiri_outq_deinit(from);
    return true;
}

void choiri_outq_rollback(choiri_outq *q, choiri_outq_mark mark) {
    CHOIRI_ASSERT(q->bytes >= mark.bytes);
    if (mark.bytes == 0) { /* also drops a block that was only reserved */
        choiri_outq_deinit(q);
        return;
    }
    choiri_outq_seg *tail = mark.tail;
    free_from(q, tail->next);
    tail->next = NULL;
    tail->end = tail->pos + mark.tail_len;
    q->tail = tail;
    q->bytes = mark.bytes;
}

size_t choiri_outq_peek(const choiri_outq *q, size_t skip, uint64_t limit, choir_iov *iov, size_t max) {
    size_t count = 0;
    for (const choiri_outq_seg *seg = q->head; seg && count < max && limit > 0; seg = seg->next) {
        size_t len = (size_t)(seg->end - seg->pos);
        if (skip >= len) {
            skip -= len;
            continue;
        }
        len -= skip;
        if (len > limit) len = (size_t)limit;
        iov[count++] = (choir_iov){seg->pos + skip, len};
        limit -= len;
        skip = 0;
    }
    return count;
}

size_t choiri_outq_copy(const choiri_outq *q, size_t skip, void *out, size_t len) {
    size_t done = 0;
    choir_iov iov;
    for (; done < len && choiri_outq_peek(q, skip + done, len - done, &iov, 1) == 1; done += iov.len)
        memcpy((uint8_t *)out + done, iov.base, iov.len);
    return done;
}

bool choiri_outq_flatten(choiri_outq *q, size_t len) {
    CHOIRI_ASSERT(len > 0 && len <= q->bytes);
    choiri_outq_seg *flat = choiri_obj_alloc(q->env, sizeof *flat + len);
    if (!flat) return false;
    uint8_t *data = (uint8_t *)(flat + 1);
    choiri_outq_copy(q, 0, data, len);
    *flat =
        (choiri_outq_seg){.pos = data, .end = data + len, .limit = data + len, .size = sizeof *flat + len};
    choiri_outq_consume(q, len);
    charge(q, flat, NULL);
    flat->next = q->head;
    q->head = flat;
    if (!q->tail) q->tail = flat;
    q->bytes += len;
    return true;
}

void choiri_outq_consume(choiri_outq *q, uint64_t len) {
    CHOIRI_ASSERT(len <= q->bytes);
    if (len == q->bytes) {
        choiri_outq_deinit(q);
        return;
    }
    for (;;) {
        choiri_outq_seg *seg = q->head;
        size_t have = len_of(seg);
        if (len < have) {
            seg->pos += len;
            q->bytes -= len;
            return;
        }
        len -= have;
        seg_free(q->env, take_head(q));
    }
}
