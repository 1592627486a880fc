/* SPDX-License-Identifier: MIT */
/* Hash map with linear probing.
 *
 * Invariant: no free entry lies between an entry's home (its hash) and its place, so a search ends at the
 * first free one. A removal keeps that by moving later entries of the run back into the hole, for which it
 * hashes them again; at most half of the entries are used, so that a run is short (2.5 steps to its end on
 * average). Rejected: storing the hash beside each entry. It saves about one hash per removal and costs half
 * again the memory.
 */
#include "base/map.h"

#include "base/assert.h"
#include "base/siphash.h"

#include <string.h>

#define CAP_FIRST 8u
/* Far above every limit on what is kept in one; the size in bytes fits 32 bits. */
#define CAP_MAX (UINT32_C(1) << 26)

void choiri_map_init(choiri_map *m, choir_env *env, const uint64_t seed[2]) {
    *m = (choiri_map){.env = env, .seed = {seed[0], seed[1]}};
}

void choiri_map_deinit(choiri_map *m) {
    if (m->entries) choiri_obj_free(m->env, m->entries, m->cap * sizeof *m->entries);
    m->entries = NULL;
    m->cap = m->count = 0;
}

static uint32_t home(const choiri_map *m, uint64_t key) {
    return (uint32_t)choiri_siphash(m->seed, key) & (m->cap - 1);
}

/* Where the key is, or the free entry where it would go. Needs cap > 0. */
static choiri_map_entry *find(const choiri_map *m, uint64_t key) {
    uint32_t i = home(m, key);
    while (m->entries[i].value && m->entries[i].key != key) i = (i + 1) & (m->cap - 1);
    return &m->entries[i];
}

void *choiri_map_get(const choiri_map *m, uint64_t key) {
    return m->count > 0 ? find(m, key)->value : NULL;
}

static __attribute__((noinline)) int grow(choiri_map *m) {
    choiri_map old = *m;
    if (old.cap == CAP_MAX) return CHOIR_ERR_NO_MEMORY;
    uint32_t cap = old.cap == 0 ? CAP_FIRST : old.cap * 2;
    choiri_map_entry *entries = choiri_obj_alloc(m->env, cap * sizeof *entries);
    if (!entries) return CHOIR_ERR_NO_MEMORY;
    memset(entries, 0, cap * sizeof *entries);
    m->entries = entries;
    m->cap = cap;
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.entries[i].value) *find(m, old.entries[i].key) = old.entries[i];
    choiri_map_deinit(&old);
    return CHOIR_OK;
}

int choiri_map_put(choiri_map *m, uint64_t key, void *value) {
    CHOIRI_ASSERT(value);
    if (m->count >= m->cap / 2) {
        int rc = grow(m);
        if (rc < 0) return rc;
    }
    choiri_map_entry *entry = find(m, key);
    CHOIRI_ASSERT(!entry->value);
    *entry = (choiri_map_entry){key, value};
    m->count++;
    return CHOIR_OK;
}

void *choiri_map_remove(choiri_map *m, uint64_t key) {
    if (m->count == 0) return NULL;
    choiri_map_entry *entry = find(m, key);
    void *value = entry->value;
    if (!value) return NULL;
    const uint32_t mask = m->cap - 1;
    uint32_t hole = (uint32_t)(entry - m->entries);
    for (uint32_t i = (hole + 1) & mask; m->entries[i].value; i = (i + 1) & mask) {
        /* An entry may move back to the hole unless its home lies after the hole. */
        uint32_t from_home = (i - home(m, m->entries[i].key)) & mask;
        if (from_home < ((i - hole) & mask)) continue;
        m->entries[hole] = m->entries[i];
        hole = i;
    }
    m->entries[hole].value = NULL;
    m->count--;
    return value;
}

void choiri_map_each(const choiri_map *m, void (*fn)(void *ctx, uint64_t key, void *value), void *ctx) {
    for (uint32_t i = 0; i < m->cap; i++)
        if (m->entries[i].value) fn(ctx, m->entries[i].key, m->entries[i].value);
}
