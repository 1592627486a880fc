/* SPDX-License-Identifier: MIT */
/* Arena: a bump pointer over the owner's piece first and over blocks then.
 *
 * Blocks start at 1 KiB and grow fourfold up to CHOIRI_BLOCK_SIZE: many requests overflow by a little, few by
 * much. Something larger than a block gets one of its own, and the current block stays current. `used` counts
 * whole blocks as they are allocated, with their headers: what is really held. The last block may exceed the
 * limit by what its size is rounded up.
 */
#include "base/arena.h"

struct choiri_arena_block {
    _Alignas(16) choiri_arena_block *next; /* older */
    size_t size;
};
_Static_assert(sizeof(choiri_arena_block) == CHOIRI_ARENA_BLOCK_HEAD, "rewind goes behind it");

void choiri_arena_init(choiri_arena *a, choir_env *env, void *first, size_t first_size, size_t limit) {
    *a = (choiri_arena){.env = env, .first = first, .first_size = first ? first_size : 0, .limit = limit};
    choiri_arena_reset(a);
}

void choiri_arena_free_blocks(choiri_arena *a) {
    while (a->blocks) {
        choiri_arena_block *block = a->blocks;
        a->blocks = block->next;
        choiri_obj_free(a->env, block, block->size);
    }
    a->used = 0;
}

bool choiri_arena_is_full(const choiri_arena *a, size_t size) {
    size_t left = a->limit > a->used ? a->limit - a->used : 0;
    return left < sizeof(choiri_arena_block) || size > left - sizeof(choiri_arena_block);
}

/* Size of the next block for something that needs `need` bytes, header included; need fits the limit. */
static size_t block_size(const choiri_arena *a, size_t need) {
    size_t size = a->used < CHOIRI_ARENA_BLOCK_FIRST       ? CHOIRI_ARENA_BLOCK_FIRST
                  : a->used < 4 * CHOIRI_ARENA_BLOCK_FIRST ? 4 * CHOIRI_ARENA_BLOCK_FIRST
                                                           : CHOIRI_BLOCK_SIZE;
    while (size < need && size < CHOIRI_BLOCK_SIZE) size *= 4;
    if (size > a->limit - a->used) size = a->limit - a->used;
    return size > need ? size : need;
}

void *choiri_arena_grow(choiri_arena *a, size_t size, size_t align) {
    CHOIRI_ASSERT(align > 0 && align <= 16 && (align & (align - 1)) == 0);
    if (choiri_arena_is_full(a, size)) return NULL;
    size_t need = sizeof(choiri_arena_block) + size;
    size_t total = block_size(a, need);
    choiri_arena_block *block = choiri_obj_alloc(a->env, total);
    if (!block) return NULL;
    block->size = total;
    block->next = a->blocks;
    a->blocks = block;
    a->used += choiri_obj_size(total);
    uint8_t *data = (uint8_t *)(block + 1);
    if (total <= CHOIRI_BLOCK_SIZE) {
        a->pos = data + size;
        a->end = (uint8_t *)block + total;
    }
    return data;
}
