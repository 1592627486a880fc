/* SPDX-License-Identifier: MIT */
/* Declarations: the wire schemas of one extraction before they have ids. extract.c makes them from
 * descriptors, type_id.c finds their ids, schema_write.c turns them into CBOR. They live in one arena and
 * point at each other, recursive types included. */
#ifndef CHOIRI_DECL_H
#define CHOIRI_DECL_H

#include "choir/type.h"
#include "schema/wire_schema.h"

typedef struct choiri_decl choiri_decl;

/* A type reference: concrete, or a variable (a type parameter of the schema it is in). */
typedef struct choiri_ref {
    choiri_decl *decl; /* NULL: a variable */
    choir_str var;
    const struct choiri_ref *args;
    uint32_t args_len;
} choiri_ref;

/* A component of a schema: field, element, variant, or field of a variant. */
typedef struct choiri_item {
    choir_str name;
    bool required; /* fields */
    choiri_ref ref;
    uint32_t shape; /* variants: CHOIR_VARIANT_*, with their fields in `items` and no ref of their own */
    const struct choiri_item *items;
    uint32_t items_len;
} choiri_item;

struct choiri_decl {
    uint64_t key;       /* of the declaration: all instantiations of one generic type share it */
    choiri_decl *next;  /* in the order they were met */
    choiri_decl *later; /* in the order they were emitted: dependencies before dependents */
    uint64_t id;        /* 0: not known yet */
    uint32_t place;     /* in the order of emission */
    bool emitted;       /* the members below are final */
    bool recursive; /* refers to itself or to something emitted later, or is what such a reference means */
    uint32_t kind;  /* CHOIRI_WIRE_* */
    choir_str name; /* struct and enum: its name; primitive: which; channel: its direction */
    const choir_str *params;
    uint32_t params_len;
    const choiri_item *items; /* list, option, array, channel: the element; map: key and value */
    uint32_t items_len;
    uint64_t length; /* array */
};

/* Finds the ids of all declarations of an extraction, `first` and those emitted later (type_id.c). */
void choiri_decl_identify(choiri_decl *first);

/* Writes a Schema object, and a TypeRef; ids must be known. Failures stick in the writer. */
void choiri_decl_write(choiri_writer *w, const choiri_decl *d);
void choiri_ref_write(choiri_writer *w, const choiri_ref *ref);

#endif
