/* SPDX-License-Identifier: MIT */
/* Arena: memory that is freed all at once. Starts in a piece given by its owner (often inside the owning
 * object), goes on in pooled blocks, and never holds more than its limit. */
#ifndef CHOIRI_ARENA_H
#define CHOIRI_ARENA_H

#include "base/assert.h"
#include "base/env.h"

/* Size of the first block; most need no other. */
#define CHOIRI_ARENA_BLOCK_FIRST 1024u
/* In front of a block's bytes. */
#define CHOIRI_ARENA_BLOCK_HEAD 16u

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
void *choiri_arena_grow(choiri_arena *a, size_t size, size_t align);
void choiri_arena_free_blocks(choiri_arena *a);

/* Aligned to `align` (a power of two, at most 16). NULL when memory or the limit is out: choiri_arena_is_full
 * tells which. size 0 gives a non-NULL pointer. */
static CHOIRI_INLINE void *choiri_arena_alloc(choiri_arena *a, size_t size, size_t align) {
    size_t room = (size_t)(a->end - a->pos), pad = (size_t)(0 - (uintptr_t)a->pos) & (align - 1);
    size += size == 0;
    if (CHOIRI_UNLIKELY(room < pad || room - pad < size)) return choiri_arena_grow(a, size, align);
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
/* The same, but keeps the block if it is a single small one, for an arena that is used again at once. It has
 * no piece of its owner's. */
static inline void choiri_arena_rewind(choiri_arena *a) {
    if (CHOIRI_LIKELY(a->used == CHOIRI_ARENA_BLOCK_FIRST))
        a->pos = (uint8_t *)a->blocks + CHOIRI_ARENA_BLOCK_HEAD;
    else if (a->used > 0)
        choiri_arena_reset(a);
}

#endif
