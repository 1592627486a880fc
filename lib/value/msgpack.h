/* SPDX-License-Identifier: MIT */
/* Descriptor-driven msgpack codec: C values to bytes and back, by names. It is to msgpack mode what
 * value/value.h is to postcard, with the same bounds. docs/protocol/msgpack.md says how each type is spelled.
 * */
#ifndef CHOIRI_SCHEMA_MSGPACK_H
#define CHOIRI_SCHEMA_MSGPACK_H

#include "value/value.h"
#include "wire/msgpack.h"

/* Comparing a key that is not known costs a step for each field. A value may take this many, and some for
 * each byte: it bounds what a few megabytes of wrong keys can cost. A struct of 1,000 fields in any order is
 * far below. */
#define CHOIRI_MSGPACK_STEPS      (1u << 20)
#define CHOIRI_MSGPACK_STEPS_EACH 16u

/* Failures stick in the writer: those of choiri_value_encode. ERR_DEPTH also for more than
 * CHOIRI_MSGPACK_DEPTH arrays and maps around each other, which no peer has to read. */
void choiri_msgpack_encode(choiri_writer *w, const choir_unit *u, uint32_t type, const void *value);

/* Reads exactly one value from all that is left in the reader, after the pre-scan. Strings and bytes borrow
 * from it.
 * OK · ERR_TRUNCATED · ERR_MALFORMED (also: another type, a missing field, bytes behind the value) ·
 * ERR_DEPTH · ERR_TOO_LARGE (arena limit, steps) · ERR_NO_MEMORY. `ret_value` has the type's size and is
 * undefined after a failure. ret_text (may be NULL) says where and what: "args.1: expected i64, found a str".
 * */
int choiri_msgpack_decode(choiri_reader *r, const choir_unit *u, uint32_t type, choiri_arena *arena,
                          void *ret_value, choiri_text *ret_text);

/* Can a value of this type be nil? An option of such a type is written as an array of one. */
bool choiri_msgpack_may_be_nil(const choir_unit *u, uint32_t type);
/* A tuple struct of one field is written as what is in it. */
static inline bool choiri_msgpack_is_newtype(const choir_type *t) {
    return t->kind == CHOIR_KIND_TUPLE && t->name != 0 && t->count == 1;
}
static inline bool choiri_msgpack_is_scalar(uint32_t kind) {
    return kind < CHOIR_KIND_OPTION || (kind >= CHOIR_KIND_TX && kind <= CHOIR_KIND_DURATION);
}

#endif
