/* SPDX-License-Identifier: MIT */
/* Ids of methods whose names have other letters than ASCII's. The library's choiri_method_id knows the case
 * of ASCII only; here a name is brought into the form that is hashed (kebab case) with tables of all of
 * Unicode, and what comes out has no capitals left that the library would not know.
 *
 * The rules are those of the library's method_id.c, by scalars instead of bytes, and one of Rust's own: a
 * sigma that ends a word becomes the final one. */
#include "idl/internal.h"

#include "schema/service.h"

typedef enum letter { NO_LETTER, UPPER, LOWER, LETTER, UNSURE } letter;

typedef struct letter_range {
    uint32_t first, last;
    letter kind;
} letter_range;

typedef struct lower_pair {
    uint32_t from, to[2]; /* 0: no second one */
} lower_pair;

#include "idl_unicode.h"

#define SIGMA       0x3a3u
#define FINAL_SIGMA 0x3c2u

static letter kind_of(uint32_t c) {
    if (c < 0x80) {
        if (c >= 'A' && c <= 'Z') return UPPER;
        if (c >= 'a' && c <= 'z') return LOWER;
        return c >= '0' && c <= '9' ? LETTER : NO_LETTER;
    }
    size_t low = 0, high = sizeof letter_ranges / sizeof letter_ranges[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        const letter_range *r = &letter_ranges[middle];
        if (c < r->first)
            high = middle;
        else if (c > r->last)
            low = middle + 1;
        else
            return r->kind;
    }
    return NO_LETTER;
}

static lower_pair lower_of(uint32_t c) {
    if (c < 0x80) return (lower_pair){c, {kind_of(c) == UPPER ? c + 'a' - 'A' : c, 0}};
    size_t low = 0, high = sizeof lower_pairs / sizeof lower_pairs[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c < lower_pairs[middle].from)
            high = middle;
        else if (c > lower_pairs[middle].from)
            low = middle + 1;
        else
            return lower_pairs[middle];
    }
    return (lower_pair){c, {c, 0}};
}

typedef struct kebab {
    char *text; /* with room for whatever comes of the name */
    size_t len;
} kebab;

static void put(kebab *k, uint32_t c) {
    uint32_t more = c < 0x80 ? 0u : c < 0x800 ? 1u : c < 0x10000 ? 2u : 3u;
    uint32_t lead = more == 0 ? 0u : (0xf0u << (3 - more)) & 0xffu;
    k->text[k->len++] = (char)(lead | c >> (6 * more));
    for (; more > 0; more--) k->text[k->len++] = (char)(0x80u | (c >> (6 * (more - 1)) & 0x3fu));
}

static void put_word(kebab *k, const uint32_t *word, size_t len) {
    if (len == 0) return;
    if (k->len > 0) put(k, '-');
    for (size_t i = 0; i < len; i++) {
        lower_pair lower = lower_of(word[i]);
        put(k, word[i] == SIGMA && i + 1 == len ? FINAL_SIGMA : lower.to[0]);
        if (lower.to[1]) put(k, lower.to[1]);
    }
}

static void put_piece(kebab *k, const uint32_t *piece, size_t len) {
    letter mode = NO_LETTER;
    size_t start = 0;
    for (size_t i = 0; i + 1 < len; i++) {
        letter now = kind_of(piece[i]), next = kind_of(piece[i + 1]);
        letter then = now == LETTER ? mode : now;
        if (then == LOWER && next == UPPER) {
            put_word(k, piece + start, i + 1 - start);
            start = i + 1;
            mode = NO_LETTER;
        } else if (mode == UPPER && now == UPPER && next == LOWER) {
            put_word(k, piece + start, i - start);
            start = i;
            mode = NO_LETTER;
        } else {
            mode = then;
        }
    }
    put_word(k, piece + start, len - start);
}

/* Of text that is known to be UTF-8. */
static uint32_t next_scalar(choir_str s, size_t *at) {
    uint32_t lead = (uint8_t)s.data[(*at)++];
    if (lead < 0x80) return lead;
    uint32_t more = lead >= 0xf0 ? 3u : lead >= 0xe0 ? 2u : 1u, scalar = lead & (0x3fu >> more);
    for (; more > 0; more--) scalar = scalar << 6 | ((uint8_t)s.data[(*at)++] & 0x3fu);
    return scalar;
}

static bool make_kebab(idl *f, const idl_name *name, choir_str *ret) {
    uint32_t *scalars = idl_alloc(f, (name->full.len + 1) * sizeof *scalars);
    /* A scalar in lower case is at most half as long again, and a hyphen may come before it. */
    kebab k = {idl_alloc(f, 3 * name->full.len + 1), 0};
    size_t len = 0;
    for (size_t at = 0; at < name->full.len;) {
        scalars[len] = next_scalar(name->full, &at);
        if (kind_of(scalars[len++]) == UNSURE)
            return idl_fail(
                f, name->at, (uint32_t)name->text.len, "letters, digits and _",
                "names of traits and methods are hashed in lower case, and it is not known whether one of "
                "these characters counts as a letter");
    }
    for (size_t i = 0; i < len;) {
        size_t start = i;
        while (i < len && kind_of(scalars[i]) != NO_LETTER) i++;
        put_piece(&k, scalars + start, i - start);
        if (i < len) i++;
    }
    *ret = (choir_str){k.text, k.len};
    return true;
}

bool idl_method_id(idl *f, const idl_name *trait, const idl_name *method, uint64_t *ret_id) {
    choir_str service, name;
    if (!make_kebab(f, trait, &service) || !make_kebab(f, method, &name)) return false;
    *ret_id = choiri_method_id(service, name);
    return true;
}
