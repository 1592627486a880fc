/* SPDX-License-Identifier: MIT */
/* Postcard writer over an output queue.
 *
 * State: base..pos is written into reserved memory and not yet committed, pos..end is free. Invariant:
 * w->pos and w->end are equal after a failure, so the inline writers fall into choiri_writer_grow, which
 * refuses; what was written before is left to the caller's rollback. A hole's pointer stays good because
 * the queue never moves bytes: it is only valid until the queue is consumed, and nobody consumes in the
 * middle of a message.
 *
 * Rejected: encoding into a buffer of its own and copying to the queue at the end. That copies each byte
 * once more and needs a size first or a growing buffer. */
#include "wire/writer.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "wire/reader.h"

#define GROW_MAX 4096u
/* Copies that would fill more blocks than this get one piece of memory of their own, so that a message that
 * could not retain its spans is still gathered in few segments. */
#define COPY_BLOCKS_MAX 4u

void choiri_writer_fail(choiri_writer *w, int status) {
    if (w->status == CHOIR_OK) w->status = status;
    w->end = w->pos;
}

static void commit(choiri_writer *w) {
    size_t len = (size_t)(w->pos - w->base);
    if (len > 0) choiri_outq_commit(w->q, len);
    w->base = w->pos;
}

static bool reserve(choiri_writer *w, size_t len) {
    if (w->status != CHOIR_OK) return false;
    commit(w);
    size_t room;
    uint8_t *at = choiri_outq_reserve(w->q, len, &room);
    if (!at) {
        choiri_writer_fail(w, CHOIR_ERR_NO_MEMORY);
        return false;
    }
    w->base = w->pos = at;
    w->end = at + room;
    return true;
}

bool choiri_writer_grow(choiri_writer *w, size_t len) {
    CHOIRI_ASSERT(len <= GROW_MAX);
    return reserve(w, len);
}

void choiri_write_raw(choiri_writer *w, const void *data, size_t len) {
    const uint8_t *from = data;
    while (len > 0) {
        size_t n = (size_t)(w->end - w->pos);
        if (n > len) n = len;
        if (n > 0) {
            memcpy(w->pos, from, n);
            w->pos += n;
            from += n;
            len -= n;
        }
        if (len > 0 && !reserve(w, len > COPY_BLOCKS_MAX * CHOIRI_BLOCK_SIZE ? len : 1)) return;
    }
}

void choiri_write_queue(choiri_writer *w, choiri_outq *from) {
    if (w->status != CHOIR_OK) return;
    commit(w);
    choiri_outq_move(w->q, from);
    w->base = w->pos = w->end = NULL; /* what was reserved is no longer the tail */
}

static bool lies_in(choir_chunk *chunk, const uint8_t *data, size_t len) {
    /* Compared as numbers: relational operators on pointers into different objects are undefined. */
    uintptr_t start = (uintptr_t)choir_chunk_data(chunk), at = (uintptr_t)data;
    return at >= start && at - start <= choir_chunk_len(chunk) &&
           len <= choir_chunk_len(chunk) - (at - start);
}

void choiri_write_span(choiri_writer *w, const uint8_t *data, size_t len) {
    if (len <= CHOIRI_SPLICE_MIN || !w->chunk || w->splices == CHOIRI_SPLICE_MAX ||
        !lies_in(w->chunk, data, len)) {
        choiri_write_raw(w, data, len);
        return;
    }
    if (w->status != CHOIR_OK) return;
    commit(w);
    if (!choiri_outq_splice(w->q, w->chunk, data, len)) {
        choiri_writer_fail(w, CHOIR_ERR_NO_MEMORY);
        return;
    }
    w->splices++;
    w->base = w->pos = w->end = NULL; /* what was reserved is no longer at the tail */
}

uint8_t *choiri_put_varint_long(uint8_t *p, uint64_t v) {
    return choiri_put_long(p, v);
}

void choiri_write_bytes_slow(choiri_writer *w, choir_bytes b) {
    choiri_write_varint(w, b.len);
    choiri_write_span(w, b.data, b.len);
}

void choiri_write_varint128(choiri_writer *w, uint64_t lo, uint64_t hi) {
    if (!choiri_writer_ensure(w, 19)) return;
    uint8_t *p = w->pos;
    while (hi > 0 || lo >= 0x80) {
        *p++ = (uint8_t)(lo | 0x80);
        lo = lo >> 7 | hi << 57;
        hi >>= 7;
    }
    *p++ = (uint8_t)lo;
    w->pos = p;
}

void choiri_write_zigzag(choiri_writer *w, int64_t v) {
    choiri_write_varint(w, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

void choiri_write_f32(choiri_writer *w, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (!choiri_writer_ensure(w, 4)) return;
    choiri_store_le32(w->pos, bits);
    w->pos += 4;
}

void choiri_write_f64(choiri_writer *w, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (!choiri_writer_ensure(w, 8)) return;
    choiri_store_le64(w->pos, bits);
    w->pos += 8;
}

void choiri_write_char(choiri_writer *w, uint32_t scalar) {
    if (scalar > 0x10ffff || (scalar >= 0xd800 && scalar <= 0xdfff)) {
        choiri_writer_fail(w, CHOIR_ERR_INVALID);
        return;
    }
    uint32_t more = scalar < 0x80 ? 0u : scalar < 0x800 ? 1u : scalar < 0x10000 ? 2u : 3u;
    if (!choiri_writer_ensure(w, 2 + more)) return;
    uint8_t *p = w->pos;
    *p++ = (uint8_t)(1 + more);
    /* The lead byte says by its high bits how many bytes follow: none, 110, 1110 or 11110. */
    uint32_t lead = more == 0 ? 0u : (0xf0u << (3 - more)) & 0xffu;
    *p++ = (uint8_t)(lead | scalar >> (6 * more));
    for (uint32_t i = more; i > 0; i--) *p++ = (uint8_t)(0x80u | (scalar >> (6 * (i - 1)) & 0x3fu));
    w->pos = p;
}

choiri_hole choiri_write_hole(choiri_writer *w) {
    if (!choiri_writer_ensure(w, 4)) return (choiri_hole){NULL, 0};
    choiri_hole hole = {w->pos, 0};
    choiri_store_le32(w->pos, 0);
    w->pos += 4;
    hole.start = choiri_writer_offset(w);
    return hole;
}
