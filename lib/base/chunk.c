/* SPDX-License-Identifier: MIT */
/* Payload chunks: an atomic reference count in front of bytes, or beside bytes of the host.
 *
 * A chunk is the only object that crosses threads, so it must not touch the plain counters of an env when it
 * is released. A chunk made by choiri_chunk_alloc is therefore charged to env->shared_memory, which is
 * atomic: taken at creation, on the env's thread, and given back by the last release, on any thread. That
 * word also keeps the env's struct in memory, so a chunk that the host retained may outlive the env
 * (choiri_env_unshare). Rejected: charging the holder instead of the env (a chunk held three times would
 * count three times), and chunks from the object pools (the thread that releases last may not touch the free
 * lists).
 */
#include "base/chunk.h"

#include "base/assert.h"
#include "base/env.h"

struct choir_chunk {
    _Alignas(16) _Atomic uint32_t refs;
    size_t len;
    uint8_t *data;                                      /* after this struct, or the host's */
    choir_env *env;                                     /* whose shared_memory is charged; NULL is none */
    choir_allocator allocator;                          /* where this struct is from */
    void (*free_fn)(void *ctx, void *data, size_t len); /* for the host's bytes; may be NULL */
    void *free_ctx;
    size_t size; /* allocated */
};

/* A chunk with room for `room` bytes behind the struct. NULL when memory is out. */
static choir_chunk *make(const choir_allocator *allocator, size_t room) {
    if (room > SIZE_MAX - sizeof(choir_chunk)) return NULL;
    size_t size = sizeof(choir_chunk) + room;
    choir_chunk *chunk = allocator->alloc(allocator->ctx, size);
    if (!chunk) return NULL;
    *chunk =
        (choir_chunk){.len = room, .data = (uint8_t *)(chunk + 1), .allocator = *allocator, .size = size};
    atomic_init(&chunk->refs, 1);
    return chunk;
}

static bool is_usable(const choir_allocator *allocator) {
    return allocator && allocator->alloc && allocator->free;
}

int choir_chunk_new(const choir_allocator *allocator, size_t len, choir_chunk **ret_chunk) {
    if (!is_usable(allocator) || !ret_chunk) return CHOIR_ERR_INVALID;
    choir_chunk *chunk = make(allocator, len);
    if (!chunk) return CHOIR_ERR_NO_MEMORY;
    *ret_chunk = chunk;
    return CHOIR_OK;
}

int choir_chunk_wrap(const choir_allocator *allocator, void *data, size_t len,
                     void (*free_fn)(void *ctx, void *data, size_t len), void *ctx, choir_chunk **ret_chunk) {
    if (!is_usable(allocator) || !ret_chunk || (!data && len > 0)) return CHOIR_ERR_INVALID;
    choir_chunk *chunk = make(allocator, 0);
    if (!chunk) return CHOIR_ERR_NO_MEMORY;
    chunk->len = len;
    chunk->data = data;
    chunk->free_fn = free_fn;
    chunk->free_ctx = ctx;
    *ret_chunk = chunk;
    return CHOIR_OK;
}

int choiri_chunk_alloc(choir_env *env, size_t len, choir_chunk **ret_chunk) {
    if (len > SIZE_MAX - sizeof(choir_chunk)) return CHOIR_ERR_NO_MEMORY;
    if (!choiri_quota_allows(env, sizeof(choir_chunk) + len)) return CHOIR_ERR_NO_MEMORY;
    env->allocations++;
    choir_chunk *chunk = make(&env->allocator, len);
    if (!chunk) return CHOIR_ERR_NO_MEMORY;
    chunk->env = env;
    atomic_fetch_add_explicit(&env->shared_memory, chunk->size, memory_order_relaxed);
    *ret_chunk = chunk;
    return CHOIR_OK;
}

int choir_env_chunk_new(choir_env *env, size_t len, choir_chunk **ret_chunk) {
    if (!env || !ret_chunk) return CHOIR_ERR_INVALID;
    return choiri_chunk_alloc(env, len, ret_chunk);
}

static size_t spare_size(uint32_t class) {
    return class == 0 ? CHOIRI_SPARE_SMALL : CHOIRI_SPARE_LARGE;
}

int choiri_chunk_take(choir_env *env, size_t len, choir_chunk **ret_chunk) {
    uint32_t class = len > CHOIRI_SPARE_SMALL;
    if (!CHOIRI_POOLS || len > CHOIRI_SPARE_LARGE) return choiri_chunk_alloc(env, len, ret_chunk);
    if (env->spares.counts[class] == 0) return choiri_chunk_alloc(env, spare_size(class), ret_chunk);
    *ret_chunk = env->spares.chunks[class][--env->spares.counts[class]];
    return CHOIR_OK;
}

void choiri_chunk_give(choir_env *env, choir_chunk *chunk) {
    if (CHOIRI_POOLS && chunk && choir_chunk_is_unique(chunk)) {
        uint32_t class = chunk->len > CHOIRI_SPARE_SMALL;
        if (chunk->len == spare_size(class) && env->spares.counts[class] < CHOIRI_SPARES) {
            env->spares.chunks[class][env->spares.counts[class]++] = chunk;
            return;
        }
    }
    choir_chunk_release(chunk);
}

void choiri_chunk_drop_spares(choir_env *env) {
    for (uint32_t class = 0; class < CHOIRI_SPARE_CLASSES; class ++)
        while (env->spares.counts[class] > 0)
            choir_chunk_release(env->spares.chunks[class][--env->spares.counts[class]]);
}

choir_chunk *choir_chunk_retain(choir_chunk *chunk) {
    uint32_t before = atomic_fetch_add_explicit(&chunk->refs, 1, memory_order_relaxed);
    CHOIRI_ASSERT(before > 0 && before < UINT32_MAX);
    return chunk;
}

void choir_chunk_release(choir_chunk *chunk) {
    if (!chunk) return;
    uint32_t before = atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel);
    CHOIRI_ASSERT(before > 0);
    if (before > 1) return;
    if (chunk->free_fn) chunk->free_fn(chunk->free_ctx, chunk->data, chunk->len);
    choir_env *env = chunk->env;
    size_t size = chunk->size;
    choir_allocator allocator = chunk->allocator;
    allocator.free(allocator.ctx, chunk, size);
    if (env) choiri_env_unshare(env, size);
}

uint8_t *choir_chunk_data(choir_chunk *chunk) {
    return chunk->data;
}

size_t choir_chunk_len(const choir_chunk *chunk) {
    return chunk->len;
}

bool choir_chunk_is_unique(const choir_chunk *chunk) {
    /* Acquire: what other holders read before they released is over before the caller writes. */
    return atomic_load_explicit(&chunk->refs, memory_order_acquire) == 1;
}
