/* SPDX-License-Identifier: MIT */
#ifndef CHOIRI_UTF8_H
#define CHOIRI_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t choiri_utf8_word(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* True when it is ASCII of at most 32 bytes, as most text is: there is nothing else to check then. */
static inline bool choiri_utf8_is_short_ascii(const uint8_t *p, size_t len) {
    uint64_t all = 0;
    if (len > 32) return false;
    if (len < 8) {
        for (size_t i = 0; i < len; i++) all |= p[i];
        return all < 0x80;
    }
    const uint8_t *last = p + len - 8;
    all = choiri_utf8_word(p) | choiri_utf8_word(last);
    if (len > 16) all |= choiri_utf8_word(p + 8) | choiri_utf8_word(last - 8); /* they may overlap */
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

/* True when the bytes are well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool choiri_utf8_is_valid(const uint8_t *data, size_t len);

#endif
