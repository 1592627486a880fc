/* SPDX-License-Identifier: MIT */
/* Received schemas, interned by their bytes. limit.schema, docs/internals/accounting.md
 *
 * The hash is keyed with the session's seed, which no peer knows: it cannot make schemas that meet, and what
 * it announces is hashed once and compared with one candidate, whatever it has announced before. Schemas that
 * do meet are told apart by their bytes.
 *
 * Rejected: type ids as keys. They are hashes as well, but the peer computes them, and nothing says that it
 * did so honestly. */
#include "schema/schema_store.h"

#include "base/assert.h"
#include "base/blake3.h"

#include <string.h>

choiri_schema_store *choiri_schema_store_new(choir_env *env, const uint64_t seed[2]) {
    choiri_schema_store *store = choiri_alloc(env, sizeof *store);
    if (!store) return NULL;
    *store = (choiri_schema_store){.env = env};
    choiri_map_init(&store->by_hash, env, seed);
    return store;
}

void choiri_schema_store_free(choiri_schema_store *store) {
    CHOIRI_ASSERT(store->trackers == 0 && store->bytes == 0 && store->by_hash.count == 0);
    choiri_map_deinit(&store->by_hash);
    choiri_free(store->env, store, sizeof *store);
}

size_t choiri_schema_store_held(const choiri_schema_store *store) {
    return sizeof *store + choiri_map_held(&store->by_hash) + store->bytes;
}

static uint64_t hash_of(const choiri_schema_store *store, choir_bytes cbor) {
    uint8_t key[32] = {0};
    choiri_blake3 h;
    memcpy(key, store->by_hash.seed, sizeof store->by_hash.seed);
    choiri_blake3_init_keyed(&h, key);
    choiri_blake3_update(&h, cbor.data, cbor.len);
    return choiri_blake3_final_u64(&h);
}

static choiri_stored_schema *make(choir_env *env, choir_bytes cbor) {
    choiri_stored_schema *s = choiri_alloc(env, sizeof *s + cbor.len);
    if (!s) return NULL;
    *s = (choiri_stored_schema){.users = 1, .len = cbor.len};
    memcpy(s->cbor, cbor.data, cbor.len);
    return s;
}

/* Puts it behind `first`, those with the same hash, or makes it the first. */
static bool link_up(choiri_schema_store *store, choiri_stored_schema *first, choiri_stored_schema *s) {
    if (!first) return choiri_map_put(&store->by_hash, s->hash, s) == CHOIR_OK;
    s->next = first->next;
    first->next = s;
    return true;
}

choiri_stored_schema *choiri_stored_schema_get(choiri_schema_store *store, choir_env *env, choir_bytes cbor) {
    if (!store) return make(env, cbor);
    uint64_t hash = hash_of(store, cbor);
    choiri_stored_schema *first = choiri_map_get(&store->by_hash, hash), *s = first;
    while (s && (s->len != cbor.len || memcmp(s->cbor, cbor.data, cbor.len) != 0)) s = s->next;
    if (s) {
        s->users++;
        return s;
    }
    s = make(store->env, cbor);
    if (!s) return NULL;
    s->hash = hash;
    if (!link_up(store, first, s)) {
        choiri_free(store->env, s, choiri_stored_schema_held(s));
        return NULL;
    }
    store->bytes += choiri_stored_schema_held(s);
    return s;
}

static void unlink_from(choiri_schema_store *store, choiri_stored_schema *s) {
    choiri_stored_schema *first = choiri_map_get(&store->by_hash, s->hash);
    store->bytes -= choiri_stored_schema_held(s);
    if (first == s) {
        choiri_map_remove(&store->by_hash, s->hash);
        /* Removing made room, so putting cannot fail. */
        int status = s->next ? choiri_map_put(&store->by_hash, s->hash, s->next) : CHOIR_OK;
        CHOIRI_ASSERT(status == CHOIR_OK);
        return;
    }
    while (first->next != s) first = first->next;
    first->next = s->next;
}

void choiri_stored_schema_release(choiri_schema_store *store, choir_env *env, choiri_stored_schema *schema) {
    CHOIRI_ASSERT(schema->users > 0);
    if (--schema->users > 0) return;
    if (store) unlink_from(store, schema);
    choiri_free(env, schema, choiri_stored_schema_held(schema));
}
