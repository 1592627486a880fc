/* SPDX-License-Identifier: MIT */
/* The pre-scan of msgpack: values, metadata and what is passed over go through here before anybody reads
 * them.
 *
 * Five hostile bytes can announce four billion items. So every item that was announced and has not come yet
 * is counted over all levels, and each takes a byte at least: more of them than bytes that are left are a
 * lie, found at the head that tells it. Text is not looked into: it is checked where it is read, and what
 * nobody reads needs only an end. */
#include "wire/msgpack.h"

#include "wire/utf8.h"

/* A value's head, by its first byte. */
typedef struct shape {
    uint8_t length_size; /* bytes of the length or count that follow the first byte */
    uint8_t fixed;       /* bytes behind that, or the length or count itself when it is in the first byte */
    uint8_t items_each;  /* 1: an array, 2: a map, 0: neither */
} shape;

/* c4 to df; c1 is none, c0, c2 and c3 are complete with their first byte. */
static const shape shapes[] = {
    {1, 0, 0}, {2, 0, 0}, {4, 0, 0},                        /* bin 8, 16, 32 */
    {1, 1, 0}, {2, 1, 0}, {4, 1, 0},                        /* ext 8, 16, 32: a type follows the length */
    {0, 4, 0}, {0, 8, 0},                                   /* float 32, 64 */
    {0, 1, 0}, {0, 2, 0}, {0, 4, 0}, {0, 8, 0},             /* uint 8, 16, 32, 64 */
    {0, 1, 0}, {0, 2, 0}, {0, 4, 0}, {0, 8, 0},             /* int 8, 16, 32, 64 */
    {0, 2, 0}, {0, 3, 0}, {0, 5, 0}, {0, 9, 0}, {0, 17, 0}, /* fixext 1, 2, 4, 8, 16 */
    {1, 0, 0}, {2, 0, 0}, {4, 0, 0},                        /* str 8, 16, 32 */
    {2, 0, 1}, {4, 0, 1},                                   /* array 16, 32 */
    {2, 0, 2}, {4, 0, 2},                                   /* map 16, 32 */
};

static shape shape_of(uint8_t first) {
    if (first < 0x80 || first >= 0xe0) return (shape){0, 0, 0}; /* fixint */
    if (first < 0x90) return (shape){0, first & 15, 2};
    if (first < 0xa0) return (shape){0, first & 15, 1};
    if (first < 0xc0) return (shape){0, first & 31, 0};
    return first < 0xc4 ? (shape){0, 0, 0} : shapes[first - 0xc4];
}

/* A length or count of 0, 1, 2 or 4 bytes, big-endian. */
static CHOIRI_INLINE uint64_t load_length(const uint8_t *p, size_t size) {
    uint64_t n = size > 0 ? p[0] : 0;
    if (size > 1) n = n << 8 | p[1];
    if (size > 2) n = n << 16 | (uint64_t)p[2] << 8 | p[3];
    return n;
}

/* Passes over a head and what belongs to it directly; *ret_items says how many values must follow inside it.
 * NULL: *ret_status says why. */
static CHOIRI_NOINLINE const uint8_t *scan_long(const uint8_t *p, const uint8_t *end, bool *ret_container,
                                                uint64_t *ret_items, int *ret_status) {
    *ret_status = *p == 0xc1 ? CHOIR_ERR_MALFORMED : CHOIR_ERR_TRUNCATED;
    if (*p == 0xc1) return NULL;
    shape s = shape_of(*p++);
    if (s.length_size > (size_t)(end - p)) return NULL;
    uint64_t n = load_length(p, s.length_size) + s.fixed;
    p += s.length_size;
    *ret_container = s.items_each > 0;
    *ret_items = n * s.items_each;
    if (s.items_each > 0) return p;
    return n <= (size_t)(end - p) ? p + n : NULL;
}

/* Values that have not come yet, by level; the level that is read now is not in `outer`. */
typedef struct pending {
    uint64_t here, all;
    size_t depth;
    uint64_t outer[CHOIRI_MSGPACK_DEPTH + 1];
} pending;

static CHOIRI_INLINE void enter(pending *w, uint64_t items) {
    w->outer[w->depth++] = w->here;
    w->here = items;
    w->all += items;
}

bool choiri_msgpack_skip(choiri_reader *r, choir_bytes *ret_item) {
    const uint8_t *p = r->pos, *end = r->end;
    pending w; /* of `outer` only what was entered is looked at */
    w.here = w.all = 1;
    w.depth = 0;
    for (;;) {
        uint64_t items = 0;
        bool container = false;
        if (w.all > (size_t)(end - p)) return choiri_reader_fail(r, CHOIR_ERR_TRUNCATED);
        uint8_t first = *p;
        if (first < 0x80) { /* heads of one byte first, which are most: a number, */
            p++;
        } else if ((first & 0xe0) == 0xa0 && (first & 31u) < (size_t)(end - p)) { /* a short str, */
            p += 1 + (first & 31);
        } else if (first < 0xa0) { /* a small map or array */
            p++;
            container = true;
            items = (uint64_t)(first & 15) << (first < 0x90);
        } else {
            int status;
            p = scan_long(p, end, &container, &items, &status);
            if (!p) return choiri_reader_fail(r, status);
        }
        w.here--;
        w.all--;
        if (container) {
            if (w.depth == CHOIRI_MSGPACK_DEPTH) return choiri_reader_fail(r, CHOIR_ERR_DEPTH);
            if (items > 0) enter(&w, items);
        }
        if (w.all == 0) break;
        while (w.here == 0) w.here = w.outer[--w.depth];
    }
    if (ret_item) *ret_item = (choir_bytes){r->pos, (size_t)(p - r->pos)};
    r->pos = p;
    return true;
}

int choiri_msgpack_scan(choir_bytes bytes) {
    choiri_reader r = choiri_reader_of(bytes);
    if (!choiri_msgpack_skip(&r, NULL)) return r.status;
    return r.pos == r.end ? CHOIR_OK : CHOIR_ERR_MALFORMED;
}

/* ---- small readers on top of tokens ---- */

static bool read_kind(choiri_reader *r, uint32_t kind, choiri_msgpack_token *ret) {
    return choiri_msgpack_read(r, ret) && (ret->kind == kind || choiri_reader_fail(r, CHOIR_ERR_MALFORMED));
}

bool choiri_msgpack_read_text(choiri_reader *r, choir_str *ret) {
    choiri_msgpack_token t;
    if (!read_kind(r, CHOIRI_MSGPACK_STR, &t)) return false;
    if (!choiri_utf8_is_valid(t.bytes.data, t.bytes.len)) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    *ret = (choir_str){(const char *)t.bytes.data, t.bytes.len};
    return true;
}

bool choiri_msgpack_read_uint(choiri_reader *r, uint64_t *ret) {
    choiri_msgpack_token t;
    if (!read_kind(r, CHOIRI_MSGPACK_UINT, &t)) return false;
    *ret = t.number;
    return true;
}

bool choiri_msgpack_read_map(choiri_reader *r, uint32_t *ret_pairs) {
    choiri_msgpack_token t;
    if (!read_kind(r, CHOIRI_MSGPACK_MAP, &t)) return false;
    *ret_pairs = t.count;
    return true;
}

bool choiri_msgpack_read_array(choiri_reader *r, uint32_t *ret_count) {
    choiri_msgpack_token t;
    if (!read_kind(r, CHOIRI_MSGPACK_ARRAY, &t)) return false;
    *ret_count = t.count;
    return true;
}

const char *choiri_msgpack_kind_name(uint32_t kind) {
    static const char names[][16] = {"nothing", "nil",   "a bool", "a number", "a number < 0", "a float",
                                     "a str",   "a bin", "an ext", "an array", "a map"};
    return names[kind < sizeof names / sizeof names[0] ? kind : 0];
}

/* ---- a bin that is filled in later ---- */

choiri_hole choiri_msgpack_write_hole(choiri_writer *w) {
    if (!choiri_writer_ensure(w, 5)) return (choiri_hole){NULL, 0};
    *w->pos++ = 0xc6;
    choiri_hole hole = {w->pos, 0};
    memset(w->pos, 0, 4);
    w->pos += 4;
    hole.start = choiri_writer_offset(w);
    return hole;
}

void choiri_msgpack_fill_hole(choiri_writer *w, choiri_hole hole) {
    if (w->status != CHOIR_OK) return;
    uint64_t len = choiri_writer_offset(w) - hole.start;
    if (len > UINT32_MAX) {
        choiri_writer_fail(w, CHOIR_ERR_TOO_LARGE);
        return;
    }
    for (size_t i = 0; i < 4; i++) hole.at[i] = (uint8_t)(len >> (24 - 8 * i));
}
