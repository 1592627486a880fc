/* SPDX-License-Identifier: MIT */
/* Handle table: an array of slots and a free list through it, last freed first used.
 *
 * A slot gives out the generations gen_start, gen_start + 1, ... and passes over 0 when the number wraps. The
 * one that would come out as gen_start again is not given: the slot then stays empty for ever (16 bytes lost
 * after 2^32 - 1 uses). So no handle is ever given twice, and a free slot, whose obj is NULL, answers nobody.
 */
#include "base/table.h"

#include "base/assert.h"

#define CAP_FIRST 8u
/* Far above every limit on what is kept in one; the size in bytes fits 32 bits. */
#define CAP_MAX (UINT32_C(1) << 26)

void choiri_table_init(choiri_table *t, choir_env *env, uint32_t gen_start) {
    *t = (choiri_table){.env = env, .gen_start = gen_start != 0 ? gen_start : 1};
}

void choiri_table_deinit(choiri_table *t) {
    CHOIRI_ASSERT(t->count == 0);
    choiri_free(t->env, t->entries, t->cap * sizeof *t->entries);
    *t = (choiri_table){0};
}

static __attribute__((noinline)) int grow(choiri_table *t) {
    if (t->cap == CAP_MAX) return CHOIR_ERR_NO_MEMORY;
    uint32_t cap = t->cap == 0 ? CAP_FIRST : t->cap * 2;
    choiri_table_entry *entries =
        choiri_realloc(t->env, t->entries, t->cap * sizeof *entries, cap * sizeof *entries);
    if (!entries) return CHOIR_ERR_NO_MEMORY;
    for (uint32_t slot = t->cap; slot < cap; slot++)
        entries[slot] =
            (choiri_table_entry){.gen = t->gen_start, .next = slot + 1 < cap ? slot + 2 : t->free};
    t->free = t->cap + 1;
    t->entries = entries;
    t->cap = cap;
    return CHOIR_OK;
}

int choiri_table_insert(choiri_table *t, void *obj, uint64_t *ret_handle) {
    CHOIRI_ASSERT(obj);
    if (t->free == 0) {
        int rc = grow(t);
        if (rc < 0) return rc;
    }
    uint32_t slot = t->free - 1;
    choiri_table_entry *entry = &t->entries[slot];
    t->free = entry->next;
    t->count++;
    entry->obj = obj;
    *ret_handle = (uint64_t)entry->gen << 32 | slot;
    return CHOIR_OK;
}

void *choiri_table_remove(choiri_table *t, uint64_t handle) {
    void *obj = choiri_table_get(t, handle);
    if (!obj) return NULL;
    uint32_t slot = (uint32_t)handle;
    choiri_table_entry *entry = &t->entries[slot];
    entry->obj = NULL;
    t->count--;
    if (++entry->gen == 0) entry->gen = 1;
    if (entry->gen != t->gen_start) {
        entry->next = t->free;
        t->free = slot + 1;
    }
    return obj;
}
