/* SPDX-License-Identifier: MIT */
/* Map of request ids. Invariant: an id is in the ring, at the place its low bits say, or in `rest`, never in
 * both. */
#include "base/idmap.h"

#include "base/assert.h"

#include <string.h>

#define CAP_FIRST 8u
#define CAP_MAX   (UINT32_C(1) << 24) /* far above any limit on live requests */

void choiri_idmap_init(choiri_idmap *m, choir_env *env, const uint64_t seed[2]) {
    *m = (choiri_idmap){.env = env};
    choiri_map_init(&m->rest, env, seed);
}

void choiri_idmap_deinit(choiri_idmap *m) {
    if (m->ring) choiri_obj_free(m->env, m->ring, m->cap * sizeof *m->ring);
    m->ring = NULL;
    m->cap = m->count = 0;
    choiri_map_deinit(&m->rest);
}

/* Twice the places: ids that had different ones still have. */
static __attribute__((noinline)) int grow(choiri_idmap *m) {
    choiri_idmap bigger = *m;
    bigger.cap = m->cap == 0 ? CAP_FIRST : m->cap * 2;
    bigger.ring = choiri_obj_alloc(m->env, bigger.cap * sizeof *m->ring);
    if (!bigger.ring) return CHOIR_ERR_NO_MEMORY;
    memset(bigger.ring, 0, bigger.cap * sizeof *m->ring);
    for (uint32_t i = 0; i < m->cap; i++)
        if (m->ring[i].value) *choiri_idmap_place(&bigger, m->ring[i].key) = m->ring[i];
    if (m->ring) choiri_obj_free(m->env, m->ring, m->cap * sizeof *m->ring);
    *m = bigger;
    return CHOIR_OK;
}

CHOIRI_NOINLINE int choiri_idmap_put_slow(choiri_idmap *m, uint64_t id, void *value) {
    CHOIRI_ASSERT(value);
    if (m->count >= m->cap / 2 && m->cap < CAP_MAX) {
        int status = grow(m);
        if (status != CHOIR_OK) return status;
    }
    choiri_map_entry *e = choiri_idmap_place(m, id);
    if (e->value) {
        CHOIRI_ASSERT(e->key != id);
        return choiri_map_put(&m->rest, id, value);
    }
    CHOIRI_ASSERT(m->rest.count == 0 || !choiri_map_get(&m->rest, id));
    *e = (choiri_map_entry){id, value};
    m->count++;
    return CHOIR_OK;
}

CHOIRI_NOINLINE void *choiri_idmap_get_rest(const choiri_idmap *m, uint64_t id) {
    return choiri_map_get(&m->rest, id);
}

CHOIRI_NOINLINE void *choiri_idmap_remove_rest(choiri_idmap *m, uint64_t id) {
    return choiri_map_remove(&m->rest, id);
}
