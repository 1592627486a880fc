/* SPDX-License-Identifier: MIT */
/* Object pools, from which all layers draw: freed objects are kept in size classes, so that the steady state
 * of a call allocates nothing: choiri_obj_alloc and _free, in env.h. Pools can be compiled out
 * (-Dpools=false), so that sanitizers see every object. */
#ifndef CHOIRI_POOL_H
#define CHOIRI_POOL_H

#include "choir/env.h"

/* Object size classes: 64 << k bytes for k in 0..8, that is 64 B to 16 KiB. */
#define CHOIRI_OBJ_CLASSES 9u
#define CHOIRI_OBJ_MAX     ((size_t)64 << (CHOIRI_OBJ_CLASSES - 1))
/* Size of an output block and of a request's overflow block: the largest class. */
#define CHOIRI_BLOCK_SIZE CHOIRI_OBJ_MAX

/* Pools can be compiled out. */
#ifndef CHOIRI_POOLS
#define CHOIRI_POOLS 1
#endif

typedef struct choiri_free_obj {
    struct choiri_free_obj *next;
} choiri_free_obj;
typedef struct choiri_slab choiri_slab;

/* The env's pools. */
typedef struct choiri_pool {
    choiri_free_obj *free[CHOIRI_OBJ_CLASSES];
    uint32_t counts[CHOIRI_OBJ_CLASSES]; /* lengths of those lists */
    choiri_slab *slabs;                  /* what small objects are carved from, freed with the env */
} choiri_pool;

/* 0 for up to 64 bytes, 1 for up to 128, ... */
static inline unsigned choiri_obj_class(size_t size) {
    size_t lines = (size - 1) >> 6;
    return lines == 0 ? 0u : 64u - (unsigned)__builtin_clzll(lines);
}
/* What an object of `size` bytes occupies, for accounts of what somebody holds: the same with and without
 * pools. */
size_t choiri_obj_size(size_t size);
/* The pools' part of choir_env_free, and of making room when the quota is full: single blocks kept for reuse
 * go back to the allocator. */
void choiri_pool_deinit(choir_env *env);
void choiri_pool_trim(choir_env *env);

#endif
