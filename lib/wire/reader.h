/* SPDX-License-Identifier: MIT */
/* Postcard reader: a bounded cursor over bytes that someone else owns. Every function returns false and
 * leaves the cursor somewhere inside the span when the input is bad; r->status then says why (first error
 * wins). Overlong varints are accepted as vox peers do, values out of range are not. */
#ifndef CHOIRI_READER_H
#define CHOIRI_READER_H

#include "base/attr.h"
#include "base/bytes.h"
#include "choir/base.h"
#include "choir/binder.h"
#include "choir/status.h"
#include "wire/utf8.h"

#include <string.h>

typedef struct choiri_reader {
    const uint8_t *pos, *end;
    int status; /* OK, ERR_TRUNCATED, ERR_MALFORMED, ERR_DEPTH; of values also those of their decoders */
    const choir_binder *binder; /* for ends of channels in values. Borrowed; NULL: they stay numbers */
} choiri_reader;

static inline choiri_reader choiri_reader_of(choir_bytes b) {
    const uint8_t *start = b.data ? b.data : (const uint8_t *)""; /* arithmetic on NULL is undefined */
    return (choiri_reader){start, start + b.len, CHOIR_OK, NULL};
}
static inline size_t choiri_reader_left(const choiri_reader *r) {
    return (size_t)(r->end - r->pos);
}
/* Notes the first error and ends the input, so that nothing can be read after it. */
void choiri_reader_stop(choiri_reader *r, int status);
static inline bool choiri_reader_fail(choiri_reader *r, int status) { /* always false */
    choiri_reader_stop(r, status);
    return false;
}

/* The 7-bit groups of 8 bytes, whose high bits are clear, moved together: pairs, then fours, then all. */
static inline uint64_t choiri_join_groups(uint64_t x) {
    x = (x & UINT64_C(0x007f007f007f007f)) | (x & UINT64_C(0x7f007f007f007f00)) >> 1;
    x = (x & UINT64_C(0x00003fff00003fff)) | (x & UINT64_C(0x3fff00003fff0000)) >> 2;
    return (x & UINT64_C(0x000000000fffffff)) | (x & UINT64_C(0x0fffffff00000000)) >> 4;
}

/* Longest varint of 64 bits. */
#define CHOIRI_VARINT_MAX 10u
/* Reads a varint of which CHOIRI_VARINT_MAX bytes are there: returns where it ends, NULL when it has more
 * than 64 bits. No loop, since method ids are hashes: each call brings one of nine or ten bytes. */
static CHOIRI_INLINE const uint8_t *choiri_take_varint(const uint8_t *p, uint64_t *ret) {
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    uint64_t x = choiri_load_le64(p), ends = ~x & high_bits;
    if (ends) {
        uint64_t upto = ends ^ (ends - 1); /* all bits up to the lowest one of `ends` */
        *ret = choiri_join_groups(x & upto & ~high_bits);
        return p + (unsigned)__builtin_ctzll(ends) / 8 + 1;
    }
    uint64_t low = choiri_join_groups(x & ~high_bits) | (uint64_t)(p[8] & 0x7f) << 56;
    if (p[8] < 0x80) {
        *ret = low;
        return p + 9;
    }
    if (p[9] > 1) return NULL; /* of the tenth group only one bit is left */
    *ret = low | (uint64_t)p[9] << 63;
    return p + 10;
}

bool choiri_read_varint_slow(choiri_reader *r, uint64_t *ret);
/* Unsigned LEB128, at most 10 bytes, at most 2^64-1. */
static inline bool choiri_read_varint(choiri_reader *r, uint64_t *ret) {
    if (r->pos < r->end && *r->pos < 0x80) {
        *ret = *r->pos++;
        return true;
    }
    return choiri_read_varint_slow(r, ret);
}
/* As above but at most `max`; more is ERR_MALFORMED. */
static inline bool choiri_read_varint_max(choiri_reader *r, uint64_t max, uint64_t *ret) {
    uint64_t v;
    if (!choiri_read_varint(r, &v)) return false;
    if (v > max) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    *ret = v;
    return true;
}
bool choiri_read_varint128(choiri_reader *r, uint64_t *ret_lo, uint64_t *ret_hi);
bool choiri_read_zigzag(choiri_reader *r, int64_t *ret);
static inline bool choiri_read_u8(choiri_reader *r, uint8_t *ret) {
    if (r->pos == r->end) return choiri_reader_fail(r, CHOIR_ERR_TRUNCATED);
    *ret = *r->pos++;
    return true;
}
static inline bool choiri_read_bool(choiri_reader *r, bool *ret) { /* 00 or 01; also an Option's tag */
    uint8_t b;
    if (!choiri_read_u8(r, &b)) return false;
    if (b > 1) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    *ret = b == 1;
    return true;
}
bool choiri_read_f32(choiri_reader *r, float *ret);
bool choiri_read_f64(choiri_reader *r, double *ret);
/* `len` bytes, borrowed from the input. A length from the wire has 64 bits whatever size_t has. */
static inline bool choiri_read_fixed(choiri_reader *r, uint64_t len, choir_bytes *ret) {
    if (len > choiri_reader_left(r)) return choiri_reader_fail(r, CHOIR_ERR_TRUNCATED);
    *ret = (choir_bytes){r->pos, (size_t)len};
    r->pos += (size_t)len;
    return true;
}
static inline bool choiri_read_u32le(choiri_reader *r, uint32_t *ret) {
    choir_bytes b;
    if (!choiri_read_fixed(r, 4, &b)) return false;
    *ret = choiri_load_le32(b.data);
    return true;
}
static inline bool choiri_read_bytes(choiri_reader *r, choir_bytes *ret) { /* varint length + bytes */
    uint64_t len;
    return choiri_read_varint(r, &len) && choiri_read_fixed(r, len, ret);
}
static inline bool choiri_read_opaque(choiri_reader *r, choir_bytes *ret) { /* u32 LE length + bytes */
    uint32_t len;
    return choiri_read_u32le(r, &len) && choiri_read_fixed(r, len, ret);
}
bool choiri_read_string(choiri_reader *r, choir_str *ret); /* as bytes, checked UTF-8 */
/* The same for short ASCII: false, with nothing read, for any other. */
static inline bool choiri_read_short_string(choiri_reader *r, choir_str *ret) {
    const uint8_t *p = r->pos;
    if (p == r->end || *p >= r->end - p) return false;
    size_t len = *p++;
    if (!choiri_utf8_is_short_ascii(p, len)) return false;
    *ret = (choir_str){(const char *)p, len};
    r->pos = p + len;
    return true;
}
bool choiri_read_char(choiri_reader *r, uint32_t *ret); /* string whose first scalar counts, not empty */
/* A count of things that take at least `min_size` bytes each (0: zero-sized, then at most `max_empty`). */
bool choiri_read_count(choiri_reader *r, size_t min_size, uint64_t max_empty, uint64_t *ret);

#endif
