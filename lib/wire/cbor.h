/* SPDX-License-Identifier: MIT */
/* Strict CBOR subset of the handshake and of schemas: definite lengths, nesting at most 64, counts bounded
 * by the bytes that are left, nothing allocated at all. Reading is by pulling: the caller knows what must
 * come next. Non-shortest integers are accepted (vox peers do), indefinite lengths and reserved forms are
 * not. */
#ifndef CHOIRI_CBOR_H
#define CHOIRI_CBOR_H

#include "wire/reader.h"
#include "wire/writer.h"

#define CHOIRI_CBOR_DEPTH 64u

enum { /* major types and the simple values we know, as choiri_cbor_peek tells them */
       CHOIRI_CBOR_UINT = 0,
       CHOIRI_CBOR_NEGATIVE,
       CHOIRI_CBOR_BYTES,
       CHOIRI_CBOR_TEXT,
       CHOIRI_CBOR_ARRAY,
       CHOIRI_CBOR_MAP,
       CHOIRI_CBOR_TAG,
       CHOIRI_CBOR_FLOAT,
       CHOIRI_CBOR_BOOL,
       CHOIRI_CBOR_NULL,
       CHOIRI_CBOR_SIMPLE, /* undefined and unassigned ones: only skipped */
       CHOIRI_CBOR_NOTHING /* end of input or a forbidden first byte */
};

/* Uses choiri_reader: same cursor, same sticky status. */
int choiri_cbor_peek(const choiri_reader *r);
bool choiri_cbor_read_uint(choiri_reader *r, uint64_t *ret);
bool choiri_cbor_read_bool(choiri_reader *r, bool *ret);
bool choiri_cbor_read_null(choiri_reader *r);
bool choiri_cbor_read_text(choiri_reader *r, choir_str *ret);     /* borrows; checked UTF-8 */
bool choiri_cbor_read_bytes(choiri_reader *r, choir_bytes *ret);  /* borrows */
bool choiri_cbor_read_array(choiri_reader *r, size_t *ret_count); /* count <= bytes left */
bool choiri_cbor_read_map(choiri_reader *r, size_t *ret_pairs);   /* 2 * pairs <= bytes left */
/* Skips one whole item of any definite kind, nested at most CHOIRI_CBOR_DEPTH; iterative. ret_item may be
 * NULL. */
bool choiri_cbor_skip(choiri_reader *r, choir_bytes *ret_item);

/* Writing: shortest forms. */
#define CHOIRI_CBOR_HEAD_MAX 9u
/* The head of an item of major type 0 to 5; p has room for the longest. Returns what is behind it. */
uint8_t *choiri_cbor_put_head(uint8_t *p, unsigned major, uint64_t value);
void choiri_cbor_write_uint(choiri_writer *w, uint64_t v);
void choiri_cbor_write_bool(choiri_writer *w, bool v);
void choiri_cbor_write_null(choiri_writer *w);
void choiri_cbor_write_text(choiri_writer *w, choir_str s);
void choiri_cbor_write_key(choiri_writer *w, const char *literal);
void choiri_cbor_write_bytes(choiri_writer *w, choir_bytes b);
void choiri_cbor_write_array(choiri_writer *w, size_t count);
void choiri_cbor_write_map(choiri_writer *w, size_t pairs);

#endif
