/* SPDX-License-Identifier: MIT */
/* Method ids: hash of kebab(service) + "." + kebab(method). rule: rpc.method-id
 *
 * A name is cut into words at everything that is no letter or digit, and inside such a piece at changes of
 * case: after a lower-case letter before an upper-case one (getUrl), and before the last of several
 * upper-case letters that a lower-case one follows (HTTPServer). Digits take over what came before them.
 * Bytes above ASCII count as letters without case, which is right only for names that have no capitals among
 * them: ids of such names are computed by choir-gen, which has the tables, and are not checked here.
 */
#include "base/blake3.h"
#include "schema/service.h"

static bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
static bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
static bool is_word(char c) {
    return is_upper(c) || is_lower(c) || (c >= '0' && c <= '9') || (uint8_t)c >= 0x80;
}

typedef struct kebab {
    choiri_blake3 hash;
    bool any; /* a word came before */
} kebab;

static void add_word(kebab *k, const char *word, size_t len) {
    if (len == 0) return;
    if (k->any) choiri_blake3_update(&k->hash, "-", 1);
    k->any = true;
    for (size_t i = 0; i < len; i++) {
        char c = is_upper(word[i]) ? (char)(word[i] - 'A' + 'a') : word[i];
        choiri_blake3_update(&k->hash, &c, 1);
    }
}

static void add_piece(kebab *k, const char *piece, size_t len) {
    enum { NONE, LOWER, UPPER } mode = NONE;
    size_t start = 0;
    for (size_t i = 0; i + 1 < len; i++) {
        char c = piece[i], next = piece[i + 1];
        if (is_lower(c) || (mode == LOWER && !is_upper(c))) {
            mode = LOWER;
            if (!is_upper(next)) continue;
            add_word(k, piece + start, i + 1 - start);
            start = i + 1;
            mode = NONE;
        } else if (mode == UPPER && is_upper(c) && is_lower(next)) {
            add_word(k, piece + start, i - start);
            start = i;
            mode = NONE;
        } else if (is_upper(c)) {
            mode = UPPER;
        }
    }
    add_word(k, piece + start, len - start);
}

static void add_name(kebab *k, choir_str name) {
    k->any = false;
    for (size_t i = 0; i < name.len;) {
        size_t start = i;
        while (i < name.len && is_word(name.data[i])) i++;
        add_piece(k, name.data + start, i - start);
        if (i < name.len) i++;
    }
}

uint64_t choiri_method_id(choir_str service, choir_str method) {
    kebab k;
    choiri_blake3_init(&k.hash);
    add_name(&k, service);
    choiri_blake3_update(&k.hash, ".", 1);
    add_name(&k, method);
    return choiri_blake3_final_u64(&k.hash);
}
