/* SPDX-License-Identifier: MIT */
/* Handle table: 64-bit handles (generation above slot) to objects, looked up in O(1). Generations start at
 * a random number, a slot retires before its generation wraps: a stale handle never finds another object. */
#ifndef CHOIRI_TABLE_H
#define CHOIRI_TABLE_H

#include "base/env.h"

typedef struct choiri_table_entry {
    void *obj;     /* NULL when free */
    uint32_t gen;  /* of the live handle, or of the next one */
    uint32_t next; /* next free slot + 1, 0 is none */
} choiri_table_entry;

typedef struct choiri_table {
    choir_env *env;
    choiri_table_entry *entries;
    uint32_t cap, count, free; /* free: first free slot + 1 */
    uint32_t gen_start;        /* generation of a slot's first handle, never 0 */
} choiri_table;

/* gen_start comes from the random source; 0 is replaced by 1. */
void choiri_table_init(choiri_table *t, choir_env *env, uint32_t gen_start);
/* Asserts that it is empty. */
void choiri_table_deinit(choiri_table *t);
/* OK (*ret_handle is never 0) or ERR_NO_MEMORY. obj must not be NULL. */
int choiri_table_insert(choiri_table *t, void *obj, uint64_t *ret_handle);
/* NULL when stale or 0. */
static inline void *choiri_table_get(const choiri_table *t, uint64_t handle) {
    uint32_t slot = (uint32_t)handle;
    if (slot >= t->cap || t->entries[slot].gen != (uint32_t)(handle >> 32)) return NULL;
    return t->entries[slot].obj;
}
/* Returns the object, NULL when stale. The handle never becomes valid again. */
void *choiri_table_remove(choiri_table *t, uint64_t handle);

#endif
