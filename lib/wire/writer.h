/* SPDX-License-Identifier: MIT */
/* Postcard writer: encodes in place at the tail of an output queue. Fields may straddle blocks; bytes that a
 * length prefix is patched into later never do (choiri_write_hole). The first failure (memory) sticks in
 * w->status and later writes do nothing, so callers check once, at the end; they then roll the queue back. */
#ifndef CHOIRI_WRITER_H
#define CHOIRI_WRITER_H

#include "base/bytes.h"
#include "base/outq.h"
#include "choir/binder.h"
#include "choir/metadata.h"
#include "choir/status.h"

#include <string.h>

/* Spans over this size are retained instead of copied when they lie inside a chunk. */
#define CHOIRI_SPLICE_MIN 4096u
/* A message has at most this many retained spans: more segments cost more to write than copying does. */
#define CHOIRI_SPLICE_MAX 7u

typedef struct choiri_writer {
    choiri_outq *q;
    uint8_t *base, *pos, *end;  /* reserved piece; base..pos is written and not committed */
    choir_chunk *chunk;         /* spans inside it may be retained; NULL is none. Borrowed. */
    const choir_binder *binder; /* for ends of channels in values. Borrowed; NULL: they are numbers */
    uint32_t splices;
    int status; /* OK, ERR_NO_MEMORY, ERR_TOO_LARGE, ERR_INVALID, ERR_DEPTH; first wins */
} choiri_writer;

/* `chunk` may be NULL. What is free at the tail is there at once. */
static inline void choiri_writer_init(choiri_writer *w, choiri_outq *q, choir_chunk *chunk) {
    w->q = q;
    w->base = w->pos = q->tail ? q->tail->end : NULL;
    w->end = q->tail ? q->tail->limit : NULL;
    w->chunk = chunk;
    w->binder = NULL;
    w->splices = 0;
    w->status = CHOIR_OK;
}
/* Commits what was written and returns the status. After a failure the caller rolls the queue back. */
static inline int choiri_writer_finish(choiri_writer *w) {
    if (CHOIRI_LIKELY(w->status == CHOIR_OK)) choiri_outq_commit(w->q, (size_t)(w->pos - w->base));
    w->base = w->end = w->pos; /* the rest of the piece is not ours any more */
    return w->status;
}
void choiri_writer_fail(choiri_writer *w, int status);
/* Bytes in the queue if finished now. */
static inline uint64_t choiri_writer_offset(const choiri_writer *w) {
    return w->q->bytes + (uint64_t)(w->pos - w->base);
}
/* Makes `len` (at most 4096) contiguous bytes available at w->pos; false on failure. */
bool choiri_writer_grow(choiri_writer *w, size_t len);
static inline bool choiri_writer_ensure(choiri_writer *w, size_t len) {
    return (size_t)(w->end - w->pos) >= len || choiri_writer_grow(w, len);
}

/* The low 56 bits as eight bytes of seven: halves, then pairs, then single ones move apart. */
static inline uint64_t choiri_split_groups(uint64_t v) {
    v = (v & UINT64_C(0x000000000fffffff)) | (v & UINT64_C(0x00fffffff0000000)) << 4;
    v = (v & UINT64_C(0x00003fff00003fff)) | (v & UINT64_C(0x0fffc0000fffc000)) << 2;
    return (v & UINT64_C(0x007f007f007f007f)) | (v & UINT64_C(0x3f803f803f803f80)) << 1;
}

/* A varint of five bytes or more, such as a method id, without a loop. */
static CHOIRI_INLINE uint8_t *choiri_put_long(uint8_t *p, uint64_t v) {
    uint64_t groups = choiri_split_groups(v) | UINT64_C(0x8080808080808080);
    if (v >> 56 == 0) {
        size_t last = (size_t)(63 - __builtin_clzll(v)) / 7;
        groups ^= UINT64_C(0x80) << 8 * last; /* the last one has no mark; what follows it is written over */
        choiri_store_le64(p, groups);
        return p + last + 1;
    }
    choiri_store_le64(p, groups);
    p += 8;
    uint64_t high = v >> 56;
    if (high >= 0x80) {
        *p++ = (uint8_t)(high | 0x80);
        high = 1;
    }
    *p++ = (uint8_t)high;
    return p;
}

/* The same, called. */
uint8_t *choiri_put_varint_long(uint8_t *p, uint64_t v);
static inline uint8_t *choiri_put_varint(uint8_t *p, uint64_t v) { /* at most 10 bytes at p */
    if (CHOIRI_LIKELY(v < 0x80)) {
        *p = (uint8_t)v;
        return p + 1;
    }
    if (v >> 28) return choiri_put_varint_long(p, v);
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}
static inline void choiri_write_varint(choiri_writer *w, uint64_t v) {
    if (choiri_writer_ensure(w, 10)) w->pos = choiri_put_varint(w->pos, v);
}
static inline void choiri_write_u8(choiri_writer *w, uint8_t v) {
    if (choiri_writer_ensure(w, 1)) *w->pos++ = v;
}
void choiri_write_varint128(choiri_writer *w, uint64_t lo, uint64_t hi);
void choiri_write_zigzag(choiri_writer *w, int64_t v);
void choiri_write_f32(choiri_writer *w, float v);
void choiri_write_f64(choiri_writer *w, double v);
void choiri_write_raw(choiri_writer *w, const void *data, size_t len);     /* copies, across blocks */
void choiri_write_span(choiri_writer *w, const uint8_t *data, size_t len); /* raw, retained if it can be */
/* Everything queued in `from`, which is empty afterwards; blocks are handed over, not copied. */
void choiri_write_queue(choiri_writer *w, choiri_outq *from);
void choiri_write_bytes_slow(choiri_writer *w, choir_bytes b);
/* Varint length + span. */
static inline void choiri_write_bytes(choiri_writer *w, choir_bytes b) {
    if (b.len == 0 || b.len > CHOIRI_SPLICE_MIN || (size_t)(w->end - w->pos) < b.len + 10) {
        choiri_write_bytes_slow(w, b);
        return;
    }
    uint8_t *p = choiri_put_varint(w->pos, b.len);
    memcpy(p, b.data, b.len);
    w->pos = p + b.len;
}
void choiri_write_char(choiri_writer *w, uint32_t scalar); /* as a string of one scalar */
void choiri_write_metadata(choiri_writer *w, const choir_metadata_entry *entries, size_t count);

/* A u32 little-endian length to be filled in later: returns where, and remembers where it started
 * counting. */
typedef struct choiri_hole {
    uint8_t *at; /* NULL after a failure */
    uint64_t start;
} choiri_hole;
choiri_hole choiri_write_hole(choiri_writer *w);
/* Fills in the number of bytes written since. */
static inline void choiri_fill_hole(choiri_writer *w, choiri_hole hole) {
    if (CHOIRI_UNLIKELY(w->status != CHOIR_OK)) return;
    uint64_t len = choiri_writer_offset(w) - hole.start;
    if (CHOIRI_UNLIKELY(len > UINT32_MAX))
        choiri_writer_fail(w, CHOIR_ERR_TOO_LARGE);
    else
        choiri_store_le32(hole.at, (uint32_t)len);
}

#endif
