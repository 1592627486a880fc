/* SPDX-License-Identifier: MIT */
/* Prepared services: what a service's descriptors mean on the wire, computed once per env: method ids, a
 * lookup table from id to index, and for both directions of each method its announcement (the unit's own, if
 * it has one; else it is computed), that is the wire schemas with their content hashes exactly as vox 0.4.0's
 * extraction makes them (its defects included, rule: schema.extraction; peers compare against the distorted
 * form). */
#ifndef CHOIRI_SERVICE_H
#define CHOIRI_SERVICE_H

#include "base/env.h"
#include "base/text.h"
#include "choir/type.h"

/* One schema of an announcement: its type id and its CBOR (a Schema object, type_params always present). */
typedef struct choiri_schema_part {
    uint64_t id;
    choir_bytes cbor;
} choiri_schema_part;

/* Everything that has to be told about one root type, dependencies first. */
typedef struct choiri_schema_set {
    const choiri_schema_part *parts;
    uint32_t parts_len;
    choir_bytes root; /* CBOR TypeRef */
} choiri_schema_set;

/* The part with this id, NULL if there is none. */
static inline const choiri_schema_part *choiri_schema_set_find(const choiri_schema_set *a, uint64_t id) {
    for (uint32_t i = 0; i < a->parts_len; i++) {
        if (a->parts[i].id == id) return &a->parts[i];
    }
    return NULL;
}

typedef struct choiri_prepared_method {
    const choir_method *desc;
    uint64_t id;
    const choir_type *args_type, *ok_type,
        *err_type;              /* desc's, looked up; answers of a DYNAMIC method: NULL */
    choiri_schema_set args;     /* root: the tuple of arguments, or unit */
    choiri_schema_set response; /* root: Result<T, VoxError<E>>; empty for a DYNAMIC method */
    bool has_channels;          /* in its arguments; in an answer there are none */
} choiri_prepared_method;

typedef struct choiri_prepared {
    const choir_service *desc;
    const choir_unit *unit; /* desc's */
    const choiri_prepared_method *methods;
    uint32_t methods_len;
    uint32_t lookup_mask;   /* power of two - 1 */
    const uint16_t *lookup; /* by low bits of the id, linear probing: method index + 1, 0 is none */
} choiri_prepared;

/* Finds or prepares. The result lives until choir_service_free, which leaves it alone while somebody retains
 * it, or as long as the env. OK · ERR_ABI · ERR_INVALID (bad descriptor, more
 * than 4096 methods, an id in the descriptor that is not the hash of its ASCII name, two methods with one id,
 * a channel in an answer, a precomputed announcement that cannot be read; text says which) ·
 * ERR_NO_MEMORY. */
int choiri_prepare(choir_env *env, const choir_service *desc, const choiri_prepared **ret_service,
                   choiri_text *ret_text);

/* Whoever keeps one retains it. NULL is fine. */
void choiri_service_retain(const choiri_prepared *s);
void choiri_service_release(const choiri_prepared *s);

static inline uint32_t choiri_method_index(const choiri_prepared *s, const choiri_prepared_method *m) {
    return (uint32_t)(m - s->methods);
}

/* Index of the method with this wire id, or UINT32_MAX. O(1). */
static inline uint32_t choiri_prepared_lookup(const choiri_prepared *s, uint64_t id) {
    for (uint32_t i = (uint32_t)id & s->lookup_mask;; i = (i + 1) & s->lookup_mask) {
        uint32_t at = s->lookup[i];
        if (at == 0) return UINT32_MAX;
        if (s->methods[at - 1].id == id) return at - 1;
    }
}

/* rule: rpc.method-id. Hash of kebab(service) + "." + kebab(method); names are ASCII or UTF-8 (case mapping
 * is for ASCII; other letters are kept as they are). */
uint64_t choiri_method_id(choir_str service, choir_str method);

#endif
