/* SPDX-License-Identifier: MIT */
/* Text builder: every function appends through `append`, which keeps the three rules: NUL-terminated, never
 * longer than the array, and once cut nothing more is added (a later short piece after a gap would
 * mislead). */
#include "base/text.h"

#include <string.h>

#define ROOM (sizeof((choiri_text *)NULL)->data - 1)

void choiri_text_init(choiri_text *t) {
    t->len = 0;
    t->cut = false;
    t->data[0] = '\0';
}

static choiri_text *append(choiri_text *t, const char *data, size_t len) {
    if (t->cut || len == 0) return t;
    if (len <= ROOM - t->len) {
        memcpy(t->data + t->len, data, len);
        t->len += len;
    } else {
        memcpy(t->data + t->len, data, ROOM - t->len);
        size_t keep = ROOM - 3;
        while (keep > 0 && ((uint8_t)t->data[keep] & 0xc0u) == 0x80u) keep--; /* not inside a character */
        memcpy(t->data + keep, "...", 3);
        t->len = keep + 3;
        t->cut = true;
    }
    t->data[t->len] = '\0';
    return t;
}

choiri_text *choiri_text_add(choiri_text *t, const char *literal) {
    return append(t, literal, strlen(literal));
}

choiri_text *choiri_text_str(choiri_text *t, choir_str s) {
    return append(t, s.data, s.len);
}

choiri_text *choiri_text_u64(choiri_text *t, uint64_t v) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return append(t, digits + at, sizeof digits - at);
}

static const char hex_digits[] = "0123456789abcdef";

choiri_text *choiri_text_hex(choiri_text *t, uint64_t v) {
    char digits[18] = {'0', 'x'};
    for (size_t i = sizeof digits; i-- > 2; v >>= 4) digits[i] = hex_digits[v & 15];
    return append(t, digits, sizeof digits);
}

choiri_text *choiri_text_quoted(choiri_text *t, choir_bytes b, size_t max) {
    append(t, "\"", 1);
    for (size_t i = 0; i < b.len && i < max && !t->cut; i++) {
        uint8_t c = b.data[i];
        char escaped[4] = {'\\', 'x', hex_digits[c >> 4], hex_digits[c & 15]};
        char plain[2] = {'\\', (char)c};
        if (c < 0x20 || c > 0x7e)
            append(t, escaped, 4);
        else if (c == '"' || c == '\\')
            append(t, plain, 2);
        else
            append(t, plain + 1, 1);
    }
    append(t, "\"", 1);
    return b.len > max ? append(t, "...", 3) : t; /* outside the quotes: the three dots are not the peer's */
}

choir_str choiri_text_keep(choir_env *env, const choiri_text *t) {
    char *copy = t->len > 0 ? choiri_alloc(env, t->len) : NULL;
    if (!copy) return (choir_str){NULL, 0};
    memcpy(copy, t->data, t->len);
    return (choir_str){copy, t->len};
}

void choiri_text_release(choir_env *env, choir_str kept) {
    choiri_free(env, (void *)(uintptr_t)kept.data, kept.len);
}
