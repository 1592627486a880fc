/* SPDX-License-Identifier: MIT */
/* Postcard reader, the parts that are too large to be inline.
 *
 * Invariant: pos <= end always, and after a failure pos == end. So a caller that overlooks one failed read
 * gets no bytes afterwards, and the status of the first failure stays. Every length is compared with the
 * bytes that are left before it is used; no addition to a pointer can pass the end. */
#include "wire/reader.h"

#include "base/assert.h"

/* 128 bits in groups of 7 take 19 bytes, of which the last may only bring two bits. */
#define VARINT128_MAX 19u

void choiri_reader_stop(choiri_reader *r, int status) {
    if (r->status == CHOIR_OK) r->status = status;
    r->pos = r->end;
}

bool choiri_read_varint_slow(choiri_reader *r, uint64_t *ret) {
    size_t left = choiri_reader_left(r);
    uint64_t v = 0;
    if (left >= CHOIRI_VARINT_MAX) {
        const uint8_t *p = choiri_take_varint(r->pos, ret);
        if (!p) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
        r->pos = p;
        return true;
    }
    for (size_t i = 0; i < left; i++) { /* at most nine bytes: 63 bits */
        v |= (uint64_t)(r->pos[i] & 0x7f) << (7 * i);
        if (r->pos[i] >= 0x80) continue;
        r->pos += i + 1;
        *ret = v;
        return true;
    }
    return choiri_reader_fail(r, CHOIR_ERR_TRUNCATED);
}

bool choiri_read_varint128(choiri_reader *r, uint64_t *ret_lo, uint64_t *ret_hi) {
    size_t left = choiri_reader_left(r);
    size_t max = left < VARINT128_MAX ? left : VARINT128_MAX;
    uint64_t lo = 0, hi = 0;
    for (size_t i = 0; i < max; i++) {
        uint8_t b = r->pos[i];
        uint64_t group = b & 0x7f;
        if (i < 9) {
            lo |= group << (7 * i);
        } else if (i == 9) { /* bit 63 goes to the low half, the other six to the high one */
            lo |= group << 63;
            hi = group >> 1;
        } else {
            hi |= group << (7 * i - 64);
        }
        if (b >= 0x80) continue;
        if (i == VARINT128_MAX - 1 && b > 3) break;
        r->pos += i + 1;
        *ret_lo = lo;
        *ret_hi = hi;
        return true;
    }
    return choiri_reader_fail(r, max < VARINT128_MAX ? CHOIR_ERR_TRUNCATED : CHOIR_ERR_MALFORMED);
}

bool choiri_read_zigzag(choiri_reader *r, int64_t *ret) {
    uint64_t z;
    if (!choiri_read_varint(r, &z)) return false;
    uint64_t v = (z >> 1) ^ (0 - (z & 1));
    memcpy(ret, &v, sizeof v);
    return true;
}

bool choiri_read_f32(choiri_reader *r, float *ret) {
    uint32_t bits;
    if (!choiri_read_u32le(r, &bits)) return false;
    memcpy(ret, &bits, sizeof bits);
    return true;
}

bool choiri_read_f64(choiri_reader *r, double *ret) {
    uint32_t lo, hi;
    if (!choiri_read_u32le(r, &lo) || !choiri_read_u32le(r, &hi)) return false;
    uint64_t bits = (uint64_t)hi << 32 | lo;
    memcpy(ret, &bits, sizeof bits);
    return true;
}

bool choiri_read_string(choiri_reader *r, choir_str *ret) {
    choir_bytes b;
    if (!choiri_read_bytes(r, &b)) return false;
    if (CHOIRI_UNLIKELY(!choiri_utf8_is_valid(b.data, b.len)))
        return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    *ret = (choir_str){(const char *)b.data, b.len};
    return true;
}

/* First scalar of text that is known to be valid and not empty. */
static uint32_t first_scalar(choir_str s) {
    uint32_t lead = (uint8_t)s.data[0];
    if (lead < 0x80) return lead;
    uint32_t more = lead >= 0xf0 ? 3u : lead >= 0xe0 ? 2u : 1u;
    uint32_t scalar = lead & (0x3fu >> more);
    CHOIRI_ASSERT(s.len > more);
    for (uint32_t i = 1; i <= more; i++) scalar = scalar << 6 | ((uint8_t)s.data[i] & 0x3fu);
    return scalar;
}

bool choiri_read_char(choiri_reader *r, uint32_t *ret) {
    choir_str s;
    if (!choiri_read_string(r, &s)) return false;
    if (s.len == 0) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    *ret = first_scalar(s);
    return true;
}

bool choiri_read_count(choiri_reader *r, size_t min_size, uint64_t max_empty, uint64_t *ret) {
    uint64_t count, bytes;
    if (!choiri_read_varint(r, &count)) return false;
    if (min_size == 0) {
        if (count > max_empty) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    } else if (__builtin_mul_overflow(count, min_size, &bytes) || bytes > choiri_reader_left(r)) {
        return choiri_reader_fail(r, CHOIR_ERR_TRUNCATED);
    }
    *ret = count;
    return true;
}
