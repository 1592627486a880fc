/* SPDX-License-Identifier: MIT */
/* UTF-8 check of everything that a peer calls text. Most of it is ASCII, so that is passed over 32 and 8
 * bytes at a time; what is not is decoded one scalar at a time. A table-driven automaton or vector code
 * was not taken: it would be quicker only for long text in other scripts, which calls rarely carry. */
#include "wire/utf8.h"

#include "base/attr.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Where the bytes that are not known to be ASCII begin. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end) {
    for (; end - p >= 32; p += 32)
        if ((choiri_utf8_word(p) | choiri_utf8_word(p + 8) | choiri_utf8_word(p + 16) |
             choiri_utf8_word(p + 24)) &
            HIGH_BITS)
            break;
    for (; end - p >= 8; p += 8)
        if (choiri_utf8_word(p) & HIGH_BITS) break;
    while (p < end && *p < 0x80) p++;
    return p;
}

static bool is_tail(uint8_t b) {
    return (b & 0xc0) == 0x80;
}

/* Length of the scalar at p, whose first byte is not ASCII; 0 when it is not well-formed. The bounds on the
 * second byte keep out overlong forms (e0, f0), surrogates (ed) and what is above U+10FFFF (f4). */
static size_t scalar_len(const uint8_t *p, size_t left) {
    uint8_t lead = p[0];
    if (lead < 0xc2 || lead > 0xf4 || left < 2) return 0;
    if (lead < 0xe0) return is_tail(p[1]) ? 2 : 0;
    if (left < 3 || !is_tail(p[2])) return 0;
    uint8_t low = 0x80, high = 0xbf;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    if (p[1] < low || p[1] > high) return 0;
    if (lead < 0xf0) return 3;
    return left >= 4 && is_tail(p[3]) ? 4 : 0;
}

static CHOIRI_NOINLINE bool is_valid(const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        size_t n = *p < 0x80 ? 1 : scalar_len(p, (size_t)(end - p));
        if (n == 0) return false;
        p = skip_ascii(p + n, end);
    }
    return true;
}

bool choiri_utf8_is_valid(const uint8_t *data, size_t len) {
    if (len == 0) return true; /* data may be NULL */
    const uint8_t *end = data + len, *p = skip_ascii(data, end);
    return p == end || is_valid(p, end);
}
