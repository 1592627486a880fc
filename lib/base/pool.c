/* SPDX-License-Identifier: MIT */
/* Object pools: a free list per size class, so that a call in the steady state allocates nothing.
 *
 * Small classes (up to 1 KiB) are carved out of slabs of about 4 KiB, which stay until the env is freed: what
 * the peak needed once, it may need again. Larger classes are single allocations; a bounded number of them is
 * kept for reuse. Free lists are last in, first out: what was freed last is still in the cache. Rejected:
 * giving empty slabs back. It needs a count per slab and a way from an object to its slab on every free, to
 * win back at most the peak of the small objects.
 *
 * CHOIRI_POOLS=0 sends each object to the allocator, for sanitizers.
 */
#include "base/pool.h"

#include "base/assert.h"
#include "base/env.h"

size_t choiri_obj_size(size_t size) {
    CHOIRI_ASSERT(size > 0);
    return size > CHOIRI_OBJ_MAX ? size : (size_t)64 << choiri_obj_class(size);
}

#if CHOIRI_POOLS

#define SLAB_BYTES   4096u
#define SLAB_CLASSES 5u
/* Blocks kept per large class: 4 MiB of output blocks, what 256 sessions that all write in one turn of a loop
 * need. Beyond that, one allocation for each 16 KiB is little beside writing them. */
#define KEEP_MAX 256u

struct choiri_slab {
    _Alignas(16) choiri_slab *next;
    size_t size; /* of the slab, this header included */
};

/* An object of a class whose free list is empty. */
static __attribute__((noinline)) void *refill(choir_env *env, unsigned k) {
    size_t size = (size_t)64 << k;
    if (k >= SLAB_CLASSES) return choiri_alloc(env, size);
    uint32_t count = SLAB_BYTES / (uint32_t)size;
    choiri_slab *slab = choiri_alloc(env, sizeof *slab + count * size);
    if (!slab) return NULL;
    slab->size = sizeof *slab + count * size;
    slab->next = env->pool.slabs;
    env->pool.slabs = slab;
    uint8_t *objs = (uint8_t *)(slab + 1);
    for (uint32_t i = count; --i > 0;) { /* the first one is the caller's, the second is next */
        choiri_free_obj *obj = (choiri_free_obj *)(void *)(objs + i * size);
        obj->next = env->pool.free[k];
        env->pool.free[k] = obj;
    }
    env->pool.counts[k] = count - 1;
    return objs;
}

void *choiri_obj_alloc_slow(choir_env *env, size_t size) {
    CHOIRI_ASSERT(size > 0);
    return size > CHOIRI_OBJ_MAX ? choiri_alloc(env, size) : refill(env, choiri_obj_class(size));
}

void choiri_obj_free(choir_env *env, void *ptr, size_t size) {
    if (!ptr) return;
    if (size > CHOIRI_OBJ_MAX) {
        choiri_free(env, ptr, size);
        return;
    }
    unsigned k = choiri_obj_class(size);
    if (k >= SLAB_CLASSES && env->pool.counts[k] >= KEEP_MAX) {
        choiri_free(env, ptr, (size_t)64 << k);
        return;
    }
    choiri_free_obj *obj = ptr;
    obj->next = env->pool.free[k];
    env->pool.free[k] = obj;
    env->pool.counts[k]++;
}

void choiri_pool_trim(choir_env *env) {
    for (unsigned k = SLAB_CLASSES; k < CHOIRI_OBJ_CLASSES; k++) {
        while (env->pool.free[k]) {
            choiri_free_obj *obj = env->pool.free[k];
            env->pool.free[k] = obj->next;
            choiri_free(env, obj, (size_t)64 << k);
        }
        env->pool.counts[k] = 0;
    }
}

void choiri_pool_deinit(choir_env *env) {
    choiri_pool_trim(env);
    for (unsigned k = 0; k < SLAB_CLASSES; k++) {
        env->pool.free[k] = NULL;
        env->pool.counts[k] = 0;
    }
    while (env->pool.slabs) {
        choiri_slab *slab = env->pool.slabs;
        env->pool.slabs = slab->next;
        choiri_free(env, slab, slab->size);
    }
}

#else

void *choiri_obj_alloc_slow(choir_env *env, size_t size) {
    return choiri_alloc(env, size);
}
void choiri_obj_free(choir_env *env, void *ptr, size_t size) {
    choiri_free(env, ptr, size);
}
void choiri_pool_trim(choir_env *env) {
    (void)env;
}
void choiri_pool_deinit(choir_env *env) {
    (void)env;
}

#endif
