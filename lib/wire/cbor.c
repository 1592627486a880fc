/* SPDX-License-Identifier: MIT */
/* Strict CBOR subset (RFC 8949 without indefinite lengths). Pulling instead of building a tree: nothing is
 * allocated, so a count that a peer only announced costs nothing, and skipping keeps its own small stack.
 * Text is checked to be UTF-8 when it is read, not when it is skipped: what nobody looks at needs only an
 * end. */
#include "wire/cbor.h"

#include "wire/utf8.h"

enum { /* major types as they are in the upper three bits */
       MAJOR_UINT = 0,
       MAJOR_NEGATIVE,
       MAJOR_BYTES,
       MAJOR_TEXT,
       MAJOR_ARRAY,
       MAJOR_MAP,
       MAJOR_TAG,
       MAJOR_SIMPLE
};

enum { /* additional information of MAJOR_SIMPLE */
       INFO_FALSE = 20,
       INFO_TRUE = 21,
       INFO_NULL = 22,
       INFO_ONE_BYTE = 24,
       INFO_HALF = 25,
       INFO_DOUBLE = 27
};

typedef struct head {
    uint8_t major, info;
    uint64_t value; /* the argument: number, length, count, tag, or the bits of a float */
} head;

static bool malformed(choiri_reader *r) {
    return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
}

static bool read_head(choiri_reader *r, head *ret) {
    uint8_t first;
    choir_bytes more;
    if (!choiri_read_u8(r, &first)) return false;
    head h = {first >> 5, first & 31, first & 31};
    if (h.info > INFO_DOUBLE) return malformed(r); /* reserved, or an indefinite length */
    if (h.info >= INFO_ONE_BYTE) {
        if (!choiri_read_fixed(r, UINT64_C(1) << (h.info - INFO_ONE_BYTE), &more)) return false;
        h.value = 0;
        for (size_t i = 0; i < more.len; i++) h.value = h.value << 8 | more.data[i];
    }
    /* A simple value below 32 has no two-byte form. */
    if (h.major == MAJOR_SIMPLE && h.info == INFO_ONE_BYTE && h.value < 32) return malformed(r);
    *ret = h;
    return true;
}

int choiri_cbor_peek(const choiri_reader *r) {
    if (r->pos == r->end) return CHOIRI_CBOR_NOTHING;
    unsigned major = *r->pos >> 5, info = *r->pos & 31u;
    if (info > INFO_DOUBLE) return CHOIRI_CBOR_NOTHING;
    if (major != MAJOR_SIMPLE) return (int)major; /* both lists start with the seven other major types */
    if (info == INFO_FALSE || info == INFO_TRUE) return CHOIRI_CBOR_BOOL;
    if (info == INFO_NULL) return CHOIRI_CBOR_NULL;
    return info >= INFO_HALF ? CHOIRI_CBOR_FLOAT : CHOIRI_CBOR_SIMPLE;
}

static bool read_major(choiri_reader *r, uint8_t major, uint64_t *ret) {
    head h;
    if (!read_head(r, &h)) return false;
    if (h.major != major) return malformed(r);
    *ret = h.value;
    return true;
}

bool choiri_cbor_read_uint(choiri_reader *r, uint64_t *ret) {
    return read_major(r, MAJOR_UINT, ret);
}

bool choiri_cbor_read_bool(choiri_reader *r, bool *ret) {
    head h;
    if (!read_head(r, &h)) return false;
    if (h.major != MAJOR_SIMPLE || (h.info != INFO_FALSE && h.info != INFO_TRUE)) return malformed(r);
    *ret = h.info == INFO_TRUE;
    return true;
}

bool choiri_cbor_read_null(choiri_reader *r) {
    head h;
    if (!read_head(r, &h)) return false;
    return (h.major == MAJOR_SIMPLE && h.info == INFO_NULL) || malformed(r);
}

bool choiri_cbor_read_bytes(choiri_reader *r, choir_bytes *ret) {
    uint64_t len;
    return read_major(r, MAJOR_BYTES, &len) && choiri_read_fixed(r, len, ret);
}

bool choiri_cbor_read_text(choiri_reader *r, choir_str *ret) {
    uint64_t len;
    choir_bytes b;
    if (!read_major(r, MAJOR_TEXT, &len) || !choiri_read_fixed(r, len, &b)) return false;
    if (!choiri_utf8_is_valid(b.data, b.len)) return malformed(r);
    *ret = (choir_str){(const char *)b.data, b.len};
    return true;
}

/* A container's items take a byte each at least: more of them than bytes are a lie. */
static bool check_count(choiri_reader *r, uint64_t count, unsigned items_each) {
    return count <= choiri_reader_left(r) / items_each || choiri_reader_fail(r, CHOIR_ERR_TRUNCATED);
}

static bool read_count(choiri_reader *r, uint8_t major, unsigned items_each, size_t *ret) {
    uint64_t count;
    if (!read_major(r, major, &count) || !check_count(r, count, items_each)) return false;
    *ret = (size_t)count;
    return true;
}

bool choiri_cbor_read_array(choiri_reader *r, size_t *ret_count) {
    return read_count(r, MAJOR_ARRAY, 1, ret_count);
}

bool choiri_cbor_read_map(choiri_reader *r, size_t *ret_pairs) {
    return read_count(r, MAJOR_MAP, 2, ret_pairs);
}

/* Reads a head and what belongs to it directly; *ret_items says how many whole items must follow inside
 * it. */
static bool skip_one(choiri_reader *r, uint64_t *ret_items) {
    head h;
    choir_bytes skipped;
    *ret_items = 0;
    if (!read_head(r, &h)) return false;
    switch (h.major) {
    case MAJOR_BYTES:
    case MAJOR_TEXT: return choiri_read_fixed(r, h.value, &skipped);
    case MAJOR_ARRAY: *ret_items = h.value; return check_count(r, h.value, 1);
    case MAJOR_MAP: *ret_items = 2 * h.value; return check_count(r, h.value, 2);
    case MAJOR_TAG: *ret_items = 1; return true;
    default: return true;
    }
}

/* An item may lie inside CHOIRI_CBOR_DEPTH others, a tag counting as one. */
bool choiri_cbor_skip(choiri_reader *r, choir_bytes *ret_item) {
    const uint8_t *start = r->pos;
    uint64_t left[CHOIRI_CBOR_DEPTH + 1]; /* items still missing on each level */
    size_t depth = 0;
    left[0] = 1;
    do {
        uint64_t items;
        if (!skip_one(r, &items)) return false;
        left[depth]--;
        if (items > 0) {
            if (depth == CHOIRI_CBOR_DEPTH) return choiri_reader_fail(r, CHOIR_ERR_DEPTH);
            left[++depth] = items;
        }
        while (depth > 0 && left[depth] == 0) depth--;
    } while (left[depth] > 0);
    if (ret_item) *ret_item = (choir_bytes){start, (size_t)(r->pos - start)};
    return true;
}

uint8_t *choiri_cbor_put_head(uint8_t *p, unsigned major, uint64_t value) {
    unsigned first = major << 5;
    if (value < INFO_ONE_BYTE) {
        *p++ = (uint8_t)(first | value);
    } else {
        unsigned log = value <= UINT8_MAX ? 0u : value <= UINT16_MAX ? 1u : value <= UINT32_MAX ? 2u : 3u;
        *p++ = (uint8_t)(first | (INFO_ONE_BYTE + log));
        for (unsigned shift = 8u << log; shift > 0;) *p++ = (uint8_t)(value >> (shift -= 8));
    }
    return p;
}

static void write_head(choiri_writer *w, unsigned major, uint64_t value) {
    if (choiri_writer_ensure(w, CHOIRI_CBOR_HEAD_MAX)) w->pos = choiri_cbor_put_head(w->pos, major, value);
}

void choiri_cbor_write_uint(choiri_writer *w, uint64_t v) {
    write_head(w, MAJOR_UINT, v);
}
void choiri_cbor_write_bool(choiri_writer *w, bool v) {
    write_head(w, MAJOR_SIMPLE, v ? INFO_TRUE : INFO_FALSE);
}
void choiri_cbor_write_null(choiri_writer *w) {
    write_head(w, MAJOR_SIMPLE, INFO_NULL);
}

void choiri_cbor_write_text(choiri_writer *w, choir_str s) {
    write_head(w, MAJOR_TEXT, s.len);
    choiri_write_span(w, (const uint8_t *)s.data, s.len);
}

void choiri_cbor_write_key(choiri_writer *w, const char *literal) {
    choiri_cbor_write_text(w, (choir_str){literal, strlen(literal)});
}

void choiri_cbor_write_bytes(choiri_writer *w, choir_bytes b) {
    write_head(w, MAJOR_BYTES, b.len);
    choiri_write_span(w, b.data, b.len);
}

void choiri_cbor_write_array(choiri_writer *w, size_t count) {
    write_head(w, MAJOR_ARRAY, count);
}
void choiri_cbor_write_map(choiri_writer *w, size_t pairs) {
    write_head(w, MAJOR_MAP, pairs);
}
