/* SPDX-License-Identifier: MIT */
/* Output queue.
 *
 * Invariants: q->bytes is the sum of end - pos over all segments. While it is 0 the queue holds no segment, except
 * one that was reserved and not yet committed to or rolled back. A block that is still empty, and was too small for
 * what was reserved next, may lie between others: peek and consume pass over it.
 * Rejected: splitting a block in two around a retained chunk, so that the rest of the block is used after it. It
 * needs a count of owners per block; a small block after each chunk wastes less than the chunk's size.
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

static void seg_free(choiri_outq *q, choiri_outq_seg *seg) {
    choir_chunk_release(seg->chunk);
    choiri_obj_free(q->env, seg, seg->size);
}

static void free_from(choiri_outq *q, choiri_outq_seg *seg) {
    while (seg) {
        choiri_outq_seg *next = seg->next;
        seg_free(q, seg);
        seg = next;
    }
}

void choiri_outq_deinit(choiri_outq *q) {
    free_from(q, q->head);
    q->head = q->tail = NULL;
    q->bytes = 0;
}

static void append(choiri_outq *q, choiri_outq_seg *seg) {
    if (q->tail)
        q->tail->next = seg;
    else
        q->head = seg;
    q->tail = seg;
}

uint8_t *choiri_outq_grow(choiri_outq *q, size_t min, size_t *ret_room) {
    if (min > SIZE_MAX - sizeof(choiri_outq_seg)) return NULL;
    size_t need = sizeof(choiri_outq_seg) + min;
    size_t size = !q->tail || q->tail->chunk ? BLOCK_SMALL : CHOIRI_BLOCK_SIZE;
    if (size < need) size = need <= CHOIRI_BLOCK_SIZE ? CHOIRI_BLOCK_SIZE : need;
    choiri_outq_seg *seg = choiri_obj_alloc(q->env, size);
    if (!seg) return NULL;
    uint8_t *data = (uint8_t *)(seg + 1);
    *seg = (choiri_outq_seg){.pos = data, .end = data, .limit = (uint8_t *)seg + size, .size = size};
    append(q, seg);
    *ret_room = (size_t)(seg->limit - data);
    return data;
}

bool choiri_outq_splice(choiri_outq *q, choir_chunk *chunk, const uint8_t *data, size_t len) {
    if (len == 0) return true;
    choiri_outq_seg *seg = choiri_obj_alloc(q->env, sizeof *seg);
    if (!seg) return false;
    uint8_t *pos = (uint8_t *)(uintptr_t)data; /* never written through: nothing can be reserved */
    *seg = (choiri_outq_seg){.pos = pos,
                             .end = pos + len,
                             .limit = pos + len,
                             .chunk = choir_chunk_retain(chunk),
                             .size = sizeof *seg};
    append(q, seg);
    q->bytes += len;
    return true;
}

void choiri_outq_move(choiri_outq *q, choiri_outq *from) {
    CHOIRI_ASSERT(q->env == from->env);
    if (from->bytes == 0) {
        choiri_outq_deinit(from);
        return;
    }
    if (q->tail)
        q->tail->next = from->head;
    else
        q->head = from->head;
    q->tail = from->tail;
    q->bytes += from->bytes;
    from->head = from->tail = NULL;
    from->bytes = 0;
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

bool choiri_outq_flatten(choiri_outq *q, size_t len) {
    CHOIRI_ASSERT(len > 0 && len <= q->bytes);
    size_t size = sizeof(choiri_outq_seg) + len, at = 0;
    choiri_outq_seg *flat = choiri_obj_alloc(q->env, size);
    if (!flat) return false;
    uint8_t *data = (uint8_t *)(flat + 1);
    choir_iov iov;
    for (; at < len && choiri_outq_peek(q, at, len - at, &iov, 1) == 1; at += iov.len)
        memcpy(data + at, iov.base, iov.len);
    CHOIRI_ASSERT(at == len);
    *flat = (choiri_outq_seg){.pos = data, .end = data + len, .limit = data + len, .size = size};
    choiri_outq_consume(q, len);
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
    q->bytes -= len;
    for (;;) {
        choiri_outq_seg *seg = q->head;
        size_t have = (size_t)(seg->end - seg->pos);
        if (len < have) {
            seg->pos += len;
            return;
        }
        len -= have;
        q->head = seg->next;
        seg_free(q, seg);
    }
}
