/* SPDX-License-Identifier: MIT */
/* Received schemas, once for equal bytes: what the trackers of a session's connections share. A schema is
 * found by its bytes and never by the id that a peer claims for it, so two connections that announce the same
 * types cost one copy, and one that gives an id another meaning gets a schema of its own. */
#ifndef CHOIRI_SCHEMA_STORE_H
#define CHOIRI_SCHEMA_STORE_H

#include "base/map.h"

typedef struct choiri_stored_schema choiri_stored_schema;

struct choiri_stored_schema {
    choiri_stored_schema *next; /* another one with the same hash */
    uint64_t hash;
    uint32_t users; /* trackers that have it, each once for an id */
    size_t len;
    uint8_t cbor[];
};

typedef struct choiri_schema_store {
    choir_env *env;
    choiri_map by_hash; /* hash of the bytes -> choiri_stored_schema */
    size_t bytes;       /* of all of them */
    uint32_t trackers;  /* that use it */
    uint64_t charged;   /* for its owner */
} choiri_schema_store;

/* One without trackers; NULL without memory. */
choiri_schema_store *choiri_schema_store_new(choir_env *env, const uint64_t seed[2]);
/* It must have no tracker any more, and so no schema. */
void choiri_schema_store_free(choiri_schema_store *store);
/* Memory of all that is in it, and its own. */
size_t choiri_schema_store_held(const choiri_schema_store *store);

/* The schema with these bytes, with one user more; NULL without memory. `store` NULL: one that nobody else
 * has, from `env`. */
choiri_stored_schema *choiri_stored_schema_get(choiri_schema_store *store, choir_env *env, choir_bytes cbor);
/* One user less: the last one frees it. */
void choiri_stored_schema_release(choiri_schema_store *store, choir_env *env, choiri_stored_schema *schema);
/* What one of them occupies. */
static inline size_t choiri_stored_schema_held(const choiri_stored_schema *schema) {
    return sizeof *schema + schema->len;
}

#endif
