/* SPDX-License-Identifier: MIT */
/* Hash map from 64-bit keys to pointers: open addressing, keyed SipHash because a peer chooses the keys,
 * backward-shift deletion (no tombstones, so churn costs nothing). Grows by doubling; never shrinks. */
#ifndef CHOIRI_MAP_H
#define CHOIRI_MAP_H

#include "base/env.h"

typedef struct choiri_map_entry {
    uint64_t key;
    void *value; /* NULL when free */
} choiri_map_entry;

typedef struct choiri_map {
    choir_env *env;
    choiri_map_entry *entries;
    uint32_t cap, count; /* cap: 0 or a power of two */
    uint64_t seed[2];
} choiri_map;

void choiri_map_init(choiri_map *m, choir_env *env, const uint64_t seed[2]);
void choiri_map_deinit(choiri_map *m);
/* Memory that it holds, for accounts. */
static inline size_t choiri_map_held(const choiri_map *m) {
    return m->entries ? choiri_obj_size(m->cap * sizeof *m->entries) : 0;
}
/* NULL when absent. */
void *choiri_map_get(const choiri_map *m, uint64_t key);
/* Adds a key that is absent (asserted); value not NULL. OK or ERR_NO_MEMORY (nothing changed). */
int choiri_map_put(choiri_map *m, uint64_t key, void *value);
/* Returns the value, NULL when absent. */
void *choiri_map_remove(choiri_map *m, uint64_t key);
/* Calls fn for each entry, in no order; fn must not change the map. */
void choiri_map_each(const choiri_map *m, void (*fn)(void *ctx, uint64_t key, void *value), void *ctx);

#endif
