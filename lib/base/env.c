/* SPDX-License-Identifier: MIT */
/* The environment: what the host gave, and every allocation counted.
 *
 * Invariants: memory + shared_memory is what the allocator handed out and did not get back, and never exceeds
 * the quota (if there is one) through an allocation of ours. The quota is checked before the allocator is
 * asked, so a full quota costs no call. Everything but shared_memory belongs to the env's thread.
 */
#include "base/env.h"

#include "base/assert.h"
#include "base/options.h"

#include <string.h>

static const choir_env_options defaults = {.size = sizeof defaults, .log_level = CHOIR_LOG_WARNING};

void choir_env_options_init_sized(choir_env_options *options, size_t size) {
    choiri_options_give(options, size, &defaults, sizeof defaults);
}

int choir_env_new(const choir_env_options *options, choir_env **ret_env) {
    if (!ret_env) return CHOIR_ERR_INVALID;
    choir_env_options o = defaults;
    int rc = choiri_options_copy(&o, sizeof o, options);
    if (rc < 0) return rc;
    if (!o.allocator.alloc || !o.allocator.realloc || !o.allocator.free || !o.random || o.reserved != 0)
        return CHOIR_ERR_INVALID;

    /* A source that does not work at all is found here and not by the first session. */
    uint64_t seed;
    if (o.random(o.random_ctx, &seed, sizeof seed) != 0) return CHOIR_ERR_RANDOM;

    if (o.memory_quota != 0 && o.memory_quota < sizeof(choir_env)) return CHOIR_ERR_NO_MEMORY;
    choir_env *env = o.allocator.alloc(o.allocator.ctx, sizeof *env);
    if (!env) return CHOIR_ERR_NO_MEMORY;
    memset(env, 0, sizeof *env);
    env->allocator = o.allocator;
    env->random = o.random;
    env->random_ctx = o.random_ctx;
    env->seed[0] = seed;
    env->log = o.log;
    env->log_ctx = o.log_ctx;
    env->wall = o.wall;
    env->wall_ctx = o.wall_ctx;
    env->log_level = o.log_level;
    env->quota = o.memory_quota;
    env->allocations = 1;
    atomic_init(&env->shared_memory, sizeof *env);
    *ret_env = env;
    return CHOIR_OK;
}

void choir_env_free(choir_env *env) {
    if (!env) return;
    CHOIRI_ASSERT(env->objects == 0);
    if (env->services_free) env->services_free(env, env->services);
    choiri_chunk_drop_spares(env);
    choiri_pool_deinit(env);
    /* Whoever still held memory would give it back to an env that is gone. */
    CHOIRI_ASSERT(env->memory == 0);
    choiri_env_unshare(env, sizeof *env);
}

void choiri_env_unshare(choir_env *env, size_t size) {
    /* Copied first: unless we are the last, the env may be freed at any moment after the subtraction. */
    choir_allocator allocator = env->allocator;
    size_t before = atomic_fetch_sub_explicit(&env->shared_memory, size, memory_order_acq_rel);
    CHOIRI_ASSERT(before >= size);
    if (before == size) allocator.free(allocator.ctx, env, sizeof *env);
}

uint64_t choir_env_memory(const choir_env *env) {
    return env->memory + atomic_load_explicit(&env->shared_memory, memory_order_relaxed);
}

uint64_t choir_env_wall(const choir_env *env) {
    return env && env->wall ? env->wall(env->wall_ctx) : 0;
}

uint64_t choir_env_allocations(const choir_env *env) {
    return env->allocations;
}

static bool fits(const choir_env *env, size_t size) {
    uint64_t held = choir_env_memory(env);
    return held <= env->quota && size <= env->quota - held;
}

bool choiri_quota_allows(choir_env *env, size_t size) {
    if (env->quota == 0 || fits(env, size)) return true;
    /* What the pools merely keep for later must not be the reason for a refusal. */
    choiri_chunk_drop_spares(env);
    choiri_pool_trim(env);
    return fits(env, size);
}

void *choiri_alloc(choir_env *env, size_t size) {
    CHOIRI_ASSERT(size > 0);
    if (!choiri_quota_allows(env, size)) return NULL;
    env->allocations++;
    void *ptr = env->allocator.alloc(env->allocator.ctx, size);
    if (ptr) env->memory += size;
    return ptr;
}

void *choiri_zalloc(choir_env *env, size_t size) {
    void *ptr = choiri_alloc(env, size);
    if (ptr) memset(ptr, 0, size);
    return ptr;
}

void *choiri_realloc(choir_env *env, void *ptr, size_t old_size, size_t size) {
    CHOIRI_ASSERT(size > 0 && (ptr || old_size == 0));
    if (!ptr) return choiri_alloc(env, size);
    CHOIRI_ASSERT(env->memory >= old_size);
    if (size > old_size && !choiri_quota_allows(env, size - old_size)) return NULL;
    env->allocations++;
    void *moved = env->allocator.realloc(env->allocator.ctx, ptr, old_size, size);
    if (moved) env->memory = env->memory - old_size + size;
    return moved;
}

void choiri_free(choir_env *env, void *ptr, size_t size) {
    if (!ptr) return;
    CHOIRI_ASSERT(env->memory >= size);
    env->memory -= size;
    env->allocator.free(env->allocator.ctx, ptr, size);
}

int choiri_random(choir_env *env, void *out, size_t len) {
    return env->random(env->random_ctx, out, len) == 0 ? CHOIR_OK : CHOIR_ERR_RANDOM;
}
