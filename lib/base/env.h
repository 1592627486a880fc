/* SPDX-License-Identifier: MIT */
/* The environment's inside: counted allocation and the object pools all layers draw from.
 *
 * Every allocation of the core goes through choiri_alloc and friends (so the quota and the count are true) or
 * through choiri_obj_alloc, which keeps freed objects in size classes so that the steady state of a call
 * allocates nothing. Pools can be compiled out (-Dpools=false) so that sanitizers see every object.
 */
#ifndef CHOIRI_BASE_ENV_H
#define CHOIRI_BASE_ENV_H

#include "choir/chunk.h"
#include "choir/env.h"

#include <stdatomic.h>

/* Object size classes: 64 << k bytes for k in 0..8, that is 64 B to 16 KiB. */
#define CHOIRI_OBJ_CLASSES 9u
#define CHOIRI_OBJ_MAX     ((size_t)64 << (CHOIRI_OBJ_CLASSES - 1))
/* Size of an output block and of a request's overflow block: the largest class. */
#define CHOIRI_BLOCK_SIZE CHOIRI_OBJ_MAX

/* Pools can be compiled out. */
#ifndef CHOIRI_POOLS
#define CHOIRI_POOLS 1
#endif

/* Chunks kept for reuse: so many of each of these sizes. They are for frames that straddle two reads, which one link after
 * the other has, so a few serve all; larger frames have a buffer of their own. */
#define CHOIRI_SPARE_CLASSES 2u
#define CHOIRI_SPARE_SMALL   4096u
#define CHOIRI_SPARE_LARGE   32768u
#define CHOIRI_SPARES        4u

typedef struct choiri_free_obj choiri_free_obj;
typedef struct choiri_slab choiri_slab;

struct choir_env {
    choir_allocator allocator; /* the host's */
    choir_random_fn *random;
    void *random_ctx;
    choir_log_fn *log;
    void *log_ctx;
    uint32_t log_level;
    uint32_t objects; /* sessions and attachments alive, asserted 0 at free */
    uint64_t memory;  /* bytes held now, without this struct and without chunks */
    /* Bytes of the chunks made by choiri_chunk_new, which any thread may release, plus the size of this struct
     * until choir_env_free. Who brings it to 0 frees the struct: a chunk may outlive its env. */
    _Atomic size_t shared_memory;
    uint64_t quota;       /* of both together; 0 is none */
    uint64_t allocations; /* alloc and realloc calls so far */
    choiri_free_obj *free_objs[CHOIRI_OBJ_CLASSES];
    uint32_t free_counts[CHOIRI_OBJ_CLASSES];                 /* lengths of those lists */
    choir_chunk *spares[CHOIRI_SPARE_CLASSES][CHOIRI_SPARES]; /* for choiri_chunk_take */
    uint32_t spare_counts[CHOIRI_SPARE_CLASSES];
    choiri_slab *slabs; /* what small objects are carved from, freed with the env */
    void *services;     /* schema layer: services prepared once per env (lib/schema/service.h) */
    void (*services_free)(choir_env *env, void *services); /* set by the schema layer with `services` */
};

/* NULL when the allocator or the quota says no. size 0 is not allowed. */
void *choiri_alloc(choir_env *env, size_t size);
void *choiri_zalloc(choir_env *env, size_t size);
/* On failure NULL and the old block is untouched. ptr may be NULL with old_size 0. */
void *choiri_realloc(choir_env *env, void *ptr, size_t old_size, size_t size);
/* ptr may be NULL. */
void choiri_free(choir_env *env, void *ptr, size_t size);

/* Objects up to CHOIRI_OBJ_MAX bytes from the pools, uninitialised; larger ones go to choiri_alloc.
 * Free with the same size. */
void *choiri_obj_alloc(choir_env *env, size_t size);
/* What an object of `size` bytes occupies, for accounts of what somebody holds: the same with and without pools. */
size_t choiri_obj_size(size_t size);
void choiri_obj_free(choir_env *env, void *ptr, size_t size);

/* The pools' part of choir_env_free, and of making room when the quota is full: single blocks kept for reuse go
 * back to the allocator. */
void choiri_pool_deinit(choir_env *env);
void choiri_pool_trim(choir_env *env);

/* True when the quota has room for `size` more bytes. */
bool choiri_quota_allows(choir_env *env, size_t size);
/* Gives back `size` bytes of shared_memory; safe on any thread. `env` may be gone afterwards. */
void choiri_env_unshare(choir_env *env, size_t size);

/* OK or ERR_RANDOM. */
int choiri_random(choir_env *env, void *out, size_t len);

/* A chunk whose memory counts against the env until its last release, on whatever thread and however late: also
 * after choir_env_free (see chunk.c). To be called on the env's own thread. OK or ERR_NO_MEMORY. */
int choiri_chunk_new(choir_env *env, size_t len, choir_chunk **ret_chunk);
/* The same with at least `len` bytes, from the spares if there is one. */
int choiri_chunk_take(choir_env *env, size_t len, choir_chunk **ret_chunk);
/* Releases a chunk of choiri_chunk_take, on the env's thread: becomes a spare if nobody else holds it. NULL is fine. */
void choiri_chunk_give(choir_env *env, choir_chunk *chunk);
void choiri_chunk_drop_spares(choir_env *env);

#endif
