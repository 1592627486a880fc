/* SPDX-License-Identifier: MIT */
/* The environment's inside: counted allocation, under one quota. Every allocation of the core goes through
 * choiri_alloc and friends, or through the object pools (base/pool.h), so the quota and the count are
 * true. */
#ifndef CHOIRI_BASE_ENV_H
#define CHOIRI_BASE_ENV_H

#include "base/attr.h"
#include "base/chunk.h"
#include "base/pool.h"
#include "choir/env.h"

#include <stdatomic.h>

#define CHOIRI_PROFILE_LISTS 64u

struct choir_env {
    choir_allocator allocator; /* the host's */
    choir_random_fn *random;
    void *random_ctx;
    choir_log_fn *log;
    void *log_ctx;
    choir_wall_fn *wall;
    void *wall_ctx;
    uint32_t log_level;
    uint32_t objects; /* sessions and attachments alive, asserted 0 at free */
    uint64_t memory;  /* bytes held now, without this struct and without chunks */
    /* Bytes of the chunks made by choiri_chunk_alloc, which any thread may release, plus the size of this
     * struct until choir_env_free. Who brings it to 0 frees the struct: a chunk may outlive its env. */
    _Atomic size_t shared_memory;
    uint64_t quota;       /* of both together; 0 is none */
    uint64_t allocations; /* alloc and realloc calls so far */
    choiri_pool pool;
    choiri_spares spares;
    uint64_t seed[2];                     /* of tables of the env whose keys a peer chooses */
    void *profiles[CHOIRI_PROFILE_LISTS]; /* session layer: what connections of one kind share (hot.c) */
    void *services; /* schema layer: services prepared once per env (lib/schema/service.h) */
    void (*services_free)(choir_env *env, void *services); /* set by the schema layer with `services` */
};

/* NULL when the allocator or the quota says no. size 0 is not allowed. */
void *choiri_alloc(choir_env *env, size_t size);
void *choiri_zalloc(choir_env *env, size_t size);
/* On failure NULL and the old block is untouched. ptr may be NULL with old_size 0. */
void *choiri_realloc(choir_env *env, void *ptr, size_t old_size, size_t size);
/* ptr may be NULL. */
void choiri_free(choir_env *env, void *ptr, size_t size);

/* Objects up to CHOIRI_OBJ_MAX bytes from the pools, uninitialised; larger ones go to choiri_alloc. Free with
 * the same size; ptr may be NULL. */
void *choiri_obj_alloc_slow(choir_env *env, size_t size);
static inline void *choiri_obj_alloc(choir_env *env, size_t size) {
    if (CHOIRI_POOLS && CHOIRI_LIKELY(size - 1 < CHOIRI_OBJ_MAX)) {
        unsigned k = choiri_obj_class(size);
        choiri_free_obj *obj = env->pool.free[k];
        if (CHOIRI_LIKELY(obj != NULL)) {
            env->pool.free[k] = obj->next;
            env->pool.counts[k]--;
            return obj;
        }
    }
    return choiri_obj_alloc_slow(env, size);
}
void choiri_obj_free(choir_env *env, void *ptr, size_t size);

/* True when the quota has room for `size` more bytes. */
bool choiri_quota_allows(choir_env *env, size_t size);
/* Gives back `size` bytes of shared_memory; safe on any thread. `env` may be gone afterwards. */
void choiri_env_unshare(choir_env *env, size_t size);

/* OK or ERR_RANDOM. */
int choiri_random(choir_env *env, void *out, size_t len);

#endif
