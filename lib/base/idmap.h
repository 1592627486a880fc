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

#include "base/attr.h"
#include "base/map.h"

typedef struct choiri_idmap {
    choir_env *env;
    choiri_map_entry *ring;
    uint32_t cap, count; /* of the ring; cap is 0 or a power of two */
    choiri_map rest;     /* ids whose place in the ring was taken */
} choiri_idmap;

void choiri_idmap_init(choiri_idmap *m, choir_env *env, const uint64_t seed[2]);
void choiri_idmap_deinit(choiri_idmap *m);
static inline choiri_map_entry *choiri_idmap_place(const choiri_idmap *m, uint64_t id) {
    return &m->ring[id & (m->cap - 1)];
}
/* Adds an id that is absent (asserted); value not NULL. OK or ERR_NO_MEMORY (nothing changed). */
int choiri_idmap_put_slow(choiri_idmap *m, uint64_t id, void *value);
/* In two steps for those who must know first that it is absent: the place where it goes, while nothing is put
 * or removed. NULL: look with get, and use put. */
static inline choiri_map_entry *choiri_idmap_free_place(const choiri_idmap *m, uint64_t id) {
    if (CHOIRI_UNLIKELY(m->count >= m->cap / 2 || m->rest.count > 0)) return NULL;
    choiri_map_entry *e = choiri_idmap_place(m, id);
    return CHOIRI_LIKELY(!e->value) ? e : NULL;
}
static inline int choiri_idmap_put_at(choiri_idmap *m, choiri_map_entry *place, uint64_t id, void *value) {
    if (CHOIRI_UNLIKELY(!place)) return choiri_idmap_put_slow(m, id, value);
    *place = (choiri_map_entry){id, value};
    m->count++;
    return CHOIR_OK;
}
static inline int choiri_idmap_put(choiri_idmap *m, uint64_t id, void *value) {
    return choiri_idmap_put_at(m, choiri_idmap_free_place(m, id), id, value);
}
void *choiri_idmap_get_rest(const choiri_idmap *m, uint64_t id);
void *choiri_idmap_remove_rest(choiri_idmap *m, uint64_t id);
/* NULL when absent. */
static inline void *choiri_idmap_get(const choiri_idmap *m, uint64_t id) {
    if (m->count > 0) {
        const choiri_map_entry *e = choiri_idmap_place(m, id);
        if (e->value && e->key == id) return e->value;
    }
    return CHOIRI_UNLIKELY(m->rest.count > 0) ? choiri_idmap_get_rest(m, id) : NULL;
}
/* Those that are in the ring, as nearly all are; NULL for others. */
static inline void *choiri_idmap_remove_quick(choiri_idmap *m, uint64_t id) {
    if (m->count == 0) return NULL;
    choiri_map_entry *e = choiri_idmap_place(m, id);
    void *value = e->value;
    if (!value || e->key != id) return NULL;
    e->value = NULL;
    m->count--;
    return value;
}
/* Returns the value, NULL when absent. */
static inline void *choiri_idmap_remove(choiri_idmap *m, uint64_t id) {
    void *value = choiri_idmap_remove_quick(m, id);
    if (value) return value;
    return CHOIRI_UNLIKELY(m->rest.count > 0) ? choiri_idmap_remove_rest(m, id) : NULL;
}

#endif
