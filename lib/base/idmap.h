/* SPDX-License-Identifier: MIT */
/* Map from wire ids, of one parity or both, to pointers.
 *
 * Ids are given out in sequence, so the low bits of live ones hardly ever meet: a ring indexed by them needs
 * no hash. It has at least twice as many places as live ids, so n ids in sequence of one parity, 2n wide, do
 * not meet, and the two parities never do. An id whose place is taken (a very old request, or a peer that
 * chooses ids to collide) goes to a keyed hash map instead, so nobody can make a lookup long. Ring and map
 * grow with the number of live ids only. */
#ifndef CHOIRI_IDMAP_H
#define CHOIRI_IDMAP_H

#include "base/map.h"

typedef struct choiri_idmap {
    choir_env *env;
    choiri_map_entry *ring;
    uint32_t cap, count; /* of the ring; cap is 0 or a power of two */
    choiri_map rest;     /* ids whose place in the ring was taken */
} choiri_idmap;

void choiri_idmap_init(choiri_idmap *m, choir_env *env, const uint64_t seed[2]);
void choiri_idmap_deinit(choiri_idmap *m);
/* Adds an id that is absent (asserted); value not NULL. OK or ERR_NO_MEMORY (nothing changed). */
int choiri_idmap_put(choiri_idmap *m, uint64_t id, void *value);

static inline choiri_map_entry *choiri_idmap_place(const choiri_idmap *m, uint64_t id) {
    return &m->ring[id & (m->cap - 1)];
}
/* NULL when absent. */
static inline void *choiri_idmap_get(const choiri_idmap *m, uint64_t id) {
    if (m->count > 0) {
        const choiri_map_entry *e = choiri_idmap_place(m, id);
        if (e->value && e->key == id) return e->value;
    }
    return m->rest.count > 0 ? choiri_map_get(&m->rest, id) : NULL;
}
/* Returns the value, NULL when absent. */
static inline void *choiri_idmap_remove(choiri_idmap *m, uint64_t id) {
    if (m->count > 0) {
        choiri_map_entry *e = choiri_idmap_place(m, id);
        if (e->value && e->key == id) {
            void *value = e->value;
            e->value = NULL;
            m->count--;
            return value;
        }
    }
    return m->rest.count > 0 ? choiri_map_remove(&m->rest, id) : NULL;
}

#endif
