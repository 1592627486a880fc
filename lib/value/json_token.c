/* SPDX-License-Identifier: MIT */
/* JSON's tokens, strictly as RFC 8259 has them.
 *
 * The text is known to be UTF-8, so strings are only looked at for quotes, backslashes and control
 * characters. */
#include "value/json.h"

#include "base/assert.h"
#include "wire/utf8.h"

#include <string.h>

static void skip_space(choiri_json *j) {
    while (j->pos < j->end && (*j->pos == ' ' || *j->pos == '\t' || *j->pos == '\n' || *j->pos == '\r'))
        j->pos++;
}

/* --- failures: all return false --- */

choiri_text *choiri_json_fail(choiri_json *j, int status) {
    CHOIRI_ASSERT(j->status == CHOIR_OK);
    j->status = status;
    return &j->what;
}

bool choiri_json_fail_syntax(choiri_json *j, const char *expected) {
    choiri_text *text = choiri_json_fail(j, CHOIR_ERR_MALFORMED);
    choiri_text_add(choiri_text_add(text, "expected "), expected);
    choiri_text_u64(choiri_text_add(text, " at byte "), (uint64_t)(j->pos - j->start));
    return false;
}

/* How many digits there are. */
static size_t digits(const char *p, const char *end) {
    size_t n = 0;
    while (p + n < end && p[n] >= '0' && p[n] <= '9') n++;
    return n;
}

static bool starts_with(const choiri_json *j, const char *word) {
    size_t len = strlen(word);
    return (size_t)(j->end - j->pos) >= len && memcmp(j->pos, word, len) == 0;
}

/* What value begins here; NULL for none. */
static const char *found(const choiri_json *j) {
    if (starts_with(j, "{")) return "an object";
    if (starts_with(j, "[")) return "an array";
    if (starts_with(j, "\"")) return "a string";
    if (starts_with(j, "null")) return "null";
    if (starts_with(j, "true") || starts_with(j, "false")) return "a boolean";
    return digits(j->pos, j->end) > 0 || starts_with(j, "-") ? "a number" : NULL;
}

bool choiri_json_fail_shape(choiri_json *j, const char *expected) {
    skip_space(j);
    const char *instead = found(j);
    if (!instead) return choiri_json_fail_syntax(j, expected);
    choiri_text *text = choiri_json_fail(j, CHOIR_ERR_LAYOUT);
    choiri_text_add(choiri_text_add(text, "expected "), expected);
    choiri_text_add(choiri_text_add(text, ", found "), instead);
    return false;
}

void *choiri_json_alloc(choiri_json *j, size_t size, size_t align) {
    void *p = choiri_arena_alloc(j->arena, size, align);
    if (p) return p;
    bool full = choiri_arena_is_full(j->arena, size);
    choiri_text *text = choiri_json_fail(j, full ? CHOIR_ERR_TOO_LARGE : CHOIR_ERR_NO_MEMORY);
    choiri_text_add(text, full ? "over the memory limit" : "out of memory");
    return NULL;
}

/* --- tokens --- */

bool choiri_json_init(choiri_json *j, choir_str text, choiri_arena *arena) {
    j->arena = arena;
    j->start = j->pos = text.data;
    j->end = text.data + text.len;
    j->status = CHOIR_OK;
    choiri_text_init(&j->what);
    if (choiri_utf8_is_valid((const uint8_t *)text.data, text.len)) return true;
    choiri_text_add(choiri_json_fail(j, CHOIR_ERR_MALFORMED), "not UTF-8");
    return false;
}

bool choiri_json_end(choiri_json *j) {
    skip_space(j);
    return j->pos == j->end || choiri_json_fail_syntax(j, "the end");
}

bool choiri_json_is_next(choiri_json *j, char c) {
    skip_space(j);
    return j->pos < j->end && *j->pos == c;
}

bool choiri_json_take(choiri_json *j, char c) {
    bool is_next = choiri_json_is_next(j, c);
    if (is_next) j->pos++;
    return is_next;
}

bool choiri_json_take_word(choiri_json *j, const char *word) {
    skip_space(j);
    if (!starts_with(j, word)) return false;
    j->pos += strlen(word);
    return true;
}

bool choiri_json_next(choiri_json *j, size_t index, char close) {
    if (choiri_json_take(j, close)) return false;
    if (index == 0 || choiri_json_take(j, ',')) return true;
    return choiri_json_fail_syntax(j, close == ']' ? "',' or ']'" : "',' or '}'");
}

bool choiri_json_read_number(choiri_json *j, choir_str *ret, bool *ret_whole) {
    skip_space(j);
    const char *p = j->pos;
    if (p < j->end && *p == '-') p++;
    size_t n = digits(p, j->end);
    if (n == 0 && p == j->pos) return choiri_json_fail_shape(j, "a number");
    bool bad = n == 0 || (n > 1 && *p == '0');
    p += n;
    bool whole = true;
    if (!bad && p < j->end && *p == '.') {
        whole = false;
        n = digits(p + 1, j->end);
        bad = n == 0;
        p += 1 + n;
    }
    if (!bad && p < j->end && (*p == 'e' || *p == 'E')) {
        whole = false;
        p++;
        if (p < j->end && (*p == '+' || *p == '-')) p++;
        n = digits(p, j->end);
        bad = n == 0;
        p += n;
    }
    if (bad) return choiri_json_fail_syntax(j, "a number");
    *ret = (choir_str){j->pos, (size_t)(p - j->pos)};
    *ret_whole = whole;
    j->pos = p;
    return true;
}

static bool read_hex(const char *p, const char *end, uint32_t *ret) {
    uint32_t v = 0;
    if (end - p < 4) return false;
    for (size_t i = 0; i < 4; i++) {
        uint32_t c = (uint8_t)p[i], letter = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if (letter >= 'a' && letter <= 'f')
            v = v << 4 | (letter - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

/* One escape, behind its backslash. Returns what follows it, or NULL. */
static const char *read_escape(const char *p, const char *end, uint32_t *ret) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (p == end) return NULL;
    for (size_t i = 0; letters[i]; i++) {
        if (*p != letters[i]) continue;
        *ret = (uint8_t)meanings[i];
        return p + 1;
    }
    uint32_t low;
    if (*p != 'u' || !read_hex(p + 1, end, ret)) return NULL;
    p += 5;
    if (*ret < 0xd800 || *ret > 0xdfff) return p;
    /* Two halves of a scalar above U+FFFF; one alone is no text. */
    if (*ret > 0xdbff || end - p < 6 || p[0] != '\\' || p[1] != 'u' || !read_hex(p + 2, end, &low))
        return NULL;
    if (low < 0xdc00 || low > 0xdfff) return NULL;
    *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
    return p + 6;
}

/* Copies with the escapes replaced; out has room for len bytes, and no escape is shorter than what it
 * means. */
static bool unescape(choiri_json *j, const char *p, const char *end, char *out, size_t *ret_len) {
    size_t len = 0;
    while (p < end) {
        uint32_t scalar;
        if (*p != '\\') {
            out[len++] = *p++;
            continue;
        }
        const char *behind = read_escape(p + 1, end, &scalar);
        if (!behind) {
            j->pos = p;
            return choiri_json_fail_syntax(j, "an escape");
        }
        len += choiri_json_utf8(scalar, out + len);
        p = behind;
    }
    *ret_len = len;
    return true;
}

bool choiri_json_read_string(choiri_json *j, bool borrow, choir_str *ret) {
    if (!choiri_json_take(j, '"')) return choiri_json_fail_shape(j, "a string");
    const char *from = j->pos;
    bool escapes = false;
    for (; j->pos < j->end && *j->pos != '"'; j->pos++) {
        if ((uint8_t)*j->pos < 0x20) return choiri_json_fail_syntax(j, "an escape for a control character");
        if (*j->pos != '\\') continue;
        escapes = true;
        if (++j->pos == j->end) break;
    }
    if (j->pos == j->end) return choiri_json_fail_syntax(j, "'\"'");
    const char *end = j->pos++;
    size_t len = (size_t)(end - from);
    if (borrow && !escapes) {
        *ret = (choir_str){from, len};
        return true;
    }
    char *copy = choiri_json_alloc(j, len, 1);
    if (!copy || !unescape(j, from, end, copy, &len)) return false;
    *ret = (choir_str){copy, len};
    return true;
}

bool choiri_json_read_key(choiri_json *j, bool borrow, choir_str *ret) {
    if (!choiri_json_is_next(j, '"')) return choiri_json_fail_syntax(j, "a key");
    if (!choiri_json_read_string(j, borrow, ret)) return false;
    return choiri_json_take(j, ':') || choiri_json_fail_syntax(j, "':'");
}

/* Elements of the array or object whose bracket was just taken; only well-formed text is counted right. */
static size_t count_elements(const choiri_json *j) {
    size_t count = 0, depth = 0;
    bool in_string = false;
    for (const char *p = j->pos; p < j->end; p++) {
        if (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') continue;
        if (!in_string && (*p == ']' || *p == '}') && depth-- == 0) break;
        if (count == 0) count = 1;
        if (*p == '"') in_string = !in_string;
        if (in_string && *p == '\\' && j->end - p > 1) p++;
        if (in_string) continue;
        if (*p == '[' || *p == '{') depth++;
        if (*p == ',' && depth == 0) count++;
    }
    return count;
}

bool choiri_json_alloc_elements(choiri_json *j, size_t size, size_t align, size_t *ret_count,
                                void **ret_items) {
    size_t bytes, count = count_elements(j);
    *ret_count = count;
    *ret_items = NULL;
    if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
    return bytes == 0 || (*ret_items = choiri_json_alloc(j, bytes, align)) != NULL;
}
