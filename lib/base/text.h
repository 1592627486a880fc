/* SPDX-License-Identifier: MIT */
/* Bounded text builder: error texts and log lines without printf. Text that does not fit is cut and ends in
 * "...". Bytes of a peer go through _quoted, which escapes what is not printable ASCII. */
#ifndef CHOIRI_TEXT_H
#define CHOIRI_TEXT_H

#include "base/env.h"

typedef struct choiri_text {
    size_t len;
    bool cut;
    char data[248]; /* always NUL-terminated */
} choiri_text;

void choiri_text_init(choiri_text *t);
choiri_text *choiri_text_add(choiri_text *t, const char *literal);
choiri_text *choiri_text_str(choiri_text *t, choir_str s);
choiri_text *choiri_text_u64(choiri_text *t, uint64_t v);
/* 0x and 16 digits */
choiri_text *choiri_text_hex(choiri_text *t, uint64_t v);
/* "..." around at most `max` bytes, unprintable ones as \xNN */
choiri_text *choiri_text_quoted(choiri_text *t, choir_bytes b, size_t max);
/* A copy of exactly its length, for what is kept: data is NULL without memory, or when there is no text. */
choir_str choiri_text_keep(choir_env *env, const choiri_text *t);
/* Of choiri_text_keep. */
void choiri_text_release(choir_env *env, choir_str kept);
static inline choir_str choiri_text_get(const choiri_text *t) {
    return (choir_str){t->data, t->len};
}

#endif
