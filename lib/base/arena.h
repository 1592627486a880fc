/* SPDX-License-Identifier: MIT */
/* Arena: memory that is freed all at once. Starts in a piece given by its owner (often inside the owning
 * object), goes on in pooled blocks, and never holds more than its limit. */
#ifndef CHOIRI_ARENA_H
#define CHOIRI_ARENA_H

#include "base/assert.h"
#include "base/env.h"

typedef struct choiri_arena_block choiri_arena_block;

typedef struct choiri_arena {
    choir_env *env;
    uint8_t *pos, *end;
    uint8_t *first; /* the owner's piece, may be NULL */
    size_t first_size;
    choiri_arena_block *blocks; /* newest first */
    size_t used;                /* bytes in blocks */
    size_t limit;               /* bytes in blocks allowed */
} choiri_arena;

void choiri_arena_init(choiri_arena *a, choir_env *env, void *first, size_t first_size, size_t limit);
/* The slow halves: another block; all blocks back to the pool. */
void *choiri_arena_grow(choiri_arena *a, size_t size);
void choiri_arena_free_blocks(choiri_arena *a);

/* Aligned to `align` (a power of two, at most 16). NULL when memory or the limit is out: choiri_arena_is_full
 * tells which. size 0 gives a non-NULL pointer. */
static inline void *choiri_arena_alloc(choiri_arena *a, size_t size, size_t align) {
    CHOIRI_ASSERT(align > 0 && align <= 16 && (align & (align - 1)) == 0);
    if (size == 0) size = 1;
    uintptr_t pos = (uintptr_t)a->pos, end = (uintptr_t)a->end;
    size_t pad = (size_t)(0 - pos) & (align - 1);
    if (end - pos < pad || end - pos - pad < size) return choiri_arena_grow(a, size);
    uint8_t *data = a->pos + pad;
    a->pos = data + size;
    return data;
}
/* True when the last failure was the limit. */
bool choiri_arena_is_full(const choiri_arena *a, size_t size);
/* Frees all blocks; the arena can be used again. Keeps nothing. */
static inline void choiri_arena_reset(choiri_arena *a) {
    if (a->blocks) choiri_arena_free_blocks(a);
    a->pos = a->first;
    a->end = a->first ? a->first + a->first_size : NULL;
}

#endif
