/* SPDX-License-Identifier: MIT */
/* Schemas as they are on the wire: CBOR objects of a few known forms (rule: schema.cbor).
 *
 * Reading checks an object completely, whatever is nested in it, and hands out where its members are; nothing
 * is built and nothing allocated, so what a peer announces costs only the time to look at its bytes once.
 * Writing is done from declarations, in schema_write.c.
 */
#ifndef CHOIRI_WIRE_SCHEMA_H
#define CHOIRI_WIRE_SCHEMA_H

#include "wire/cbor.h"

/* Type references nest through their arguments: at most this deep. */
#define CHOIRI_SCHEMA_DEPTH 64u

enum { /* schema kinds */
       CHOIRI_WIRE_STRUCT,
       CHOIRI_WIRE_ENUM,
       CHOIRI_WIRE_TUPLE,
       CHOIRI_WIRE_LIST,
       CHOIRI_WIRE_OPTION,
       CHOIRI_WIRE_MAP,
       CHOIRI_WIRE_ARRAY,
       CHOIRI_WIRE_CHANNEL,
       CHOIRI_WIRE_PRIMITIVE
};
enum { CHOIRI_WIRE_CONCRETE, CHOIRI_WIRE_VAR }; /* type references */
enum { CHOIRI_WIRE_PAYLOAD, CHOIRI_WIRE_SCHEMA, CHOIRI_WIRE_FIELD, CHOIRI_WIRE_VARIANT }; /* without a tag */
/* Shapes of a variant: CHOIR_VARIANT_*. */

/* Where a member is and what it says. Absent ones (they may be) are all zero. */
typedef struct choiri_wire_member {
    choir_bytes span; /* text: the text; array: its items; object: all of it */
    uint64_t number;  /* number or bool: its value; array: how many items */
} choiri_wire_member;

/* One object. Members are in the order of the data model, whatever order they were sent in:
 *   payload    schemas root            schema   id type_params kind     concrete  type_id args     var  name
 *   struct     name fields             enum     name variants           tuple     elements
 *   list option element                map      key value               array     element length
 *   channel    direction element       primitive primitive_type
 *   field      name type_ref required  variant  name index payload
 *   newtype    type_ref                tuple variant types              struct variant fields */
typedef struct choiri_wire_object {
    uint32_t form; /* which of the forms above, counted among those that could have been there */
    choiri_wire_member members[3];
} choiri_wire_object;

typedef struct choiri_wire_reader {
    choiri_reader r;
    const char *why; /* what was wrong when r.status is ERR_MALFORMED; NULL: the CBOR itself */
} choiri_wire_reader;

static inline choiri_wire_reader choiri_wire_reader_of(choir_bytes b) {
    return (choiri_wire_reader){choiri_reader_of(b), NULL};
}

/* All: false after a failure, with r.status ERR_TRUNCATED, ERR_MALFORMED or ERR_DEPTH. The next item must be
 * such an object. */
bool choiri_wire_read_payload(choiri_wire_reader *w, choiri_wire_object *ret);
bool choiri_wire_read_schema(choiri_wire_reader *w, choiri_wire_object *ret);
bool choiri_wire_read_kind(choiri_wire_reader *w, choiri_wire_object *ret);
bool choiri_wire_read_ref(choiri_wire_reader *w, choiri_wire_object *ret);
bool choiri_wire_read_field(choiri_wire_reader *w, choiri_wire_object *ret);
bool choiri_wire_read_variant(choiri_wire_reader *w, choiri_wire_object *ret);
bool choiri_wire_read_shape(choiri_wire_reader *w, choiri_wire_object *ret);

/* The tag of a kind: "struct", "enum", ... */
const char *choiri_wire_kind_name(uint32_t kind);

/* Is this text exactly this literal? */
bool choiri_wire_is(choir_bytes text, const char *literal);
/* Are these two the items of an array of texts, such as the names of type parameters? */
bool choiri_wire_are(choir_bytes texts, const char *first, const char *second);
static inline bool choiri_wire_equal(choir_bytes a, choir_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
