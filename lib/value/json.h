/* SPDX-License-Identifier: MIT */
/* JSON's tokens: a cursor over text that someone else owns. Reading is by pulling, the caller knows what must
 * come next. Every function that can fail returns false (or NULL) after it has noted the status and a text;
 * the first failure is the only one, since everybody returns at once. */
#ifndef CHOIRI_JSON_H
#define CHOIRI_JSON_H

#include "base/arena.h"
#include "base/text.h"

/* Strings for the numbers that JSON cannot spell. */
#define CHOIRI_JSON_NAN               "NaN"
#define CHOIRI_JSON_INFINITY          "Infinity"
#define CHOIRI_JSON_NEGATIVE_INFINITY "-Infinity"

typedef struct choiri_json {
    choiri_arena *arena;
    const char *start, *pos, *end;
    int status; /* OK · ERR_MALFORMED · ERR_LAYOUT · ERR_TOO_LARGE · ERR_NO_MEMORY, and the caller's own */
    choiri_text what; /* what was wrong */
} choiri_json;

/* Text that is not UTF-8 is a failure. */
bool choiri_json_init(choiri_json *j, choir_str text, choiri_arena *arena);

/* Notes a status; the caller adds the text. */
choiri_text *choiri_json_fail(choiri_json *j, int status);
/* "expected X at byte N": ERR_MALFORMED. */
bool choiri_json_fail_syntax(choiri_json *j, const char *expected);
/* "expected X, found Y": ERR_LAYOUT, or the above if there is no value at all. */
bool choiri_json_fail_shape(choiri_json *j, const char *expected);

/* Does the next token begin with c? Space before it is skipped; take goes behind c. */
bool choiri_json_is_next(choiri_json *j, char c);
bool choiri_json_take(choiri_json *j, char c);
/* The same for true, false and null. */
bool choiri_json_take_word(choiri_json *j, const char *word);
/* True at the end of the text; else a failure. */
bool choiri_json_end(choiri_json *j);
/* Between elements: true when element number `index` follows, false at the end and after a failure (see
 * status). */
bool choiri_json_next(choiri_json *j, size_t index, char close);

/* A number's text, grammar checked. *ret_whole: neither a fraction nor an exponent. */
bool choiri_json_read_number(choiri_json *j, choir_str *ret, bool *ret_whole);
/* A string: a copy in the arena; with `borrow`, the text itself when there are no escapes in it. */
bool choiri_json_read_string(choiri_json *j, bool borrow, choir_str *ret);
/* The same and the colon. */
bool choiri_json_read_key(choiri_json *j, bool borrow, choir_str *ret);

void *choiri_json_alloc(choiri_json *j, size_t size, size_t align);
/* Memory for the elements of the array or object whose bracket was just taken. *ret_count is right for
 * well-formed text; for other text it is only how many there is room for. *ret_items is NULL when no memory
 * is needed. */
bool choiri_json_alloc_elements(choiri_json *j, size_t size, size_t align, size_t *ret_count,
                                void **ret_items);

/* UTF-8 of a number up to 0x10ffff; returns the length. */
static inline size_t choiri_json_utf8(uint32_t scalar, char out[4]) {
    uint32_t more = scalar < 0x80 ? 0u : scalar < 0x800 ? 1u : scalar < 0x10000 ? 2u : 3u;
    uint32_t lead = more == 0 ? 0u : 0xf0u << (3 - more); /* 110, 1110 or 11110 and then bits of the scalar */
    out[0] = (char)(lead | scalar >> 6 * more);
    for (uint32_t i = 1; i <= more; i++) out[i] = (char)(0x80u | (scalar >> 6 * (more - i) & 0x3fu));
    return 1 + more;
}

#endif
