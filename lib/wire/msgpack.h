/* SPDX-License-Identifier: MIT */
/* MessagePack: a pre-scan that bounds what a peer says, reading token by token, writing in place. Nothing is
 * allocated in either direction; strings and bytes borrow from the input.
 *
 * Whatever comes from a peer goes through choiri_msgpack_scan first (or through choiri_msgpack_skip, the same
 * for one value inside): after it, lengths and counts are known to fit the bytes that are there, and nesting
 * to be at most CHOIRI_MSGPACK_DEPTH. */
#ifndef CHOIRI_MSGPACK_H
#define CHOIRI_MSGPACK_H

#include "wire/reader.h"
#include "wire/writer.h"

/* Arrays and maps around each other. msgpack-c in its usual build reads no deeper, and peers may use it. */
#define CHOIRI_MSGPACK_DEPTH 32u

enum { /* kinds of a token */
       CHOIRI_MSGPACK_NOTHING = 0,
       CHOIRI_MSGPACK_NIL,
       CHOIRI_MSGPACK_BOOL,
       CHOIRI_MSGPACK_UINT,
       CHOIRI_MSGPACK_NEGATIVE,
       CHOIRI_MSGPACK_FLOAT,
       CHOIRI_MSGPACK_STR,
       CHOIRI_MSGPACK_BIN,
       CHOIRI_MSGPACK_EXT,
       CHOIRI_MSGPACK_ARRAY,
       CHOIRI_MSGPACK_MAP
};

typedef struct choiri_msgpack_token {
    uint32_t kind;
    uint32_t count;    /* array: items; map: pairs. They follow as tokens of their own. Float: its bytes */
    uint64_t number;   /* bool, uint; negative: two's complement; float of 4 bytes: its bits */
    double real;       /* float, of either width */
    choir_bytes bytes; /* str (not checked), bin, ext */
} choiri_msgpack_token;

/* True when this library was built with msgpack. Without it every function here fails with ERR_UNSUPPORTED or
 * writes nothing, and no session gets as far as calling one. */
bool choiri_msgpack_is_built(void);

/* ---- pre-scan ---- */

/* Is this exactly one value? OK · ERR_TRUNCATED (a length or a count that the bytes cannot hold) ·
 * ERR_MALFORMED (the byte c1, bytes behind the value) · ERR_DEPTH. The work is in proportion to the number of
 * values. */
int choiri_msgpack_scan(choir_bytes bytes);
/* The same for the next value in a reader, which is then behind it. ret_item may be NULL. */
bool choiri_msgpack_skip(choiri_reader *r, choir_bytes *ret_item);

/* ---- reading ---- */

/* The next token: a scalar, string or bytes as a whole, an array or a map up to its items. */
bool choiri_msgpack_read(choiri_reader *r, choiri_msgpack_token *ret);
static inline bool choiri_msgpack_is_nil(const choiri_reader *r) {
    return r->pos < r->end && *r->pos == 0xc0;
}
/* A str that is UTF-8. */
bool choiri_msgpack_read_text(choiri_reader *r, choir_str *ret);
bool choiri_msgpack_read_uint(choiri_reader *r, uint64_t *ret);
bool choiri_msgpack_read_map(choiri_reader *r, uint32_t *ret_pairs);
bool choiri_msgpack_read_array(choiri_reader *r, uint32_t *ret_count);
/* A name for people: "a map". */
const char *choiri_msgpack_kind_name(uint32_t kind);

/* ---- writing: the shortest form. Failures stick in the writer. ---- */

void choiri_msgpack_write_nil(choiri_writer *w);
void choiri_msgpack_write_bool(choiri_writer *w, bool v);
void choiri_msgpack_write_uint(choiri_writer *w, uint64_t v);
void choiri_msgpack_write_int(choiri_writer *w, int64_t v);
void choiri_msgpack_write_f32(choiri_writer *w, float v);
void choiri_msgpack_write_f64(choiri_writer *w, double v);
void choiri_msgpack_write_str(choiri_writer *w, choir_str s);
void choiri_msgpack_write_bin(choiri_writer *w, choir_bytes b);
void choiri_msgpack_write_array(choiri_writer *w, size_t count);
void choiri_msgpack_write_map(choiri_writer *w, size_t pairs);
/* A str of less than 32 bytes, whose head is one byte; with a literal nothing of it is computed at run
 * time. */
static inline void choiri_msgpack_write_name(choiri_writer *w, choir_str name) {
    if (CHOIRI_UNLIKELY(name.len >= 32 || (size_t)(w->end - w->pos) < name.len + 1)) {
        choiri_msgpack_write_str(w, name);
        return;
    }
    *w->pos = (uint8_t)(0xa0 | name.len);
    memcpy(w->pos + 1, name.data, name.len);
    w->pos += 1 + name.len;
}
static CHOIRI_INLINE void choiri_msgpack_write_key(choiri_writer *w, const char *literal) {
    choiri_msgpack_write_name(w, (choir_str){literal, strlen(literal)});
}
/* A bin of a length that is not known yet (bin 32), filled in later. */
choiri_hole choiri_msgpack_write_hole(choiri_writer *w);
void choiri_msgpack_fill_hole(choiri_writer *w, choiri_hole hole);

/* ---- the same data model in CBOR ----
 *
 * Handshakes and schemas have one interpreter, which reads CBOR. */

/* Bytes that this takes as CBOR, at most twice its own; 0: it is not one well-formed value
 * (choiri_msgpack_scan). */
size_t choiri_msgpack_cbor_size(choir_bytes bytes);
/* Writes it there: `to` has room for that size, which was not 0. */
void choiri_msgpack_to_cbor(choir_bytes bytes, uint8_t *to);
/* Writes one CBOR value of ours (no tags, floats or simple values) as msgpack. */
void choiri_msgpack_write_cbor(choiri_writer *w, choiri_reader *cbor);

#endif
