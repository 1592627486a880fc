/* SPDX-License-Identifier: MIT */
/* Payload chunks: counts, host memory, the charge of the env, and release on other threads. */
#include "base/env.h"
#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int some_random(void *ctx, void *out, size_t len) {
    (void)ctx;
    memset(out, 1, len);
    return 0;
}

Test(chunk, new_and_release) {
    test_alloc alloc = {0};
    choir_allocator a = test_allocator(&alloc);
    choir_chunk *chunk = NULL;
    for (size_t len = 0; len < 3000; len = len * 2 + 1) {
        cr_assert_eq(choir_chunk_new(&a, len, &chunk), CHOIR_OK);
        cr_assert_eq(choir_chunk_len(chunk), len);
        cr_assert_eq((uintptr_t)choir_chunk_data(chunk) % 16, 0);
        memset(choir_chunk_data(chunk), 1, len);
        cr_assert(choir_chunk_is_unique(chunk));
        cr_assert_eq(choir_chunk_retain(chunk), chunk);
        cr_assert_not(choir_chunk_is_unique(chunk));
        choir_chunk_release(chunk);
        cr_assert(choir_chunk_is_unique(chunk));
        cr_assert_eq(alloc.blocks, 1);
        choir_chunk_release(chunk);
        cr_assert_eq(alloc.blocks, 0);
    }
    choir_chunk_release(NULL);
}

typedef struct freed {
    int count;
    void *data;
    size_t len;
} freed;

static void on_free(void *ctx, void *data, size_t len) {
    freed *f = ctx;
    f->count++;
    f->data = data;
    f->len = len;
}

Test(chunk, wrap) {
    test_alloc alloc = {0};
    choir_allocator a = test_allocator(&alloc);
    uint8_t bytes[10];
    freed f = {0};
    choir_chunk *chunk;
    cr_assert_eq(choir_chunk_wrap(&a, bytes, sizeof bytes, on_free, &f, &chunk), CHOIR_OK);
    cr_assert_eq(choir_chunk_data(chunk), bytes);
    cr_assert_eq(choir_chunk_len(chunk), sizeof bytes);
    choir_chunk_retain(chunk);
    choir_chunk_release(chunk);
    cr_assert_eq(f.count, 0);
    choir_chunk_release(chunk);
    cr_assert_eq(f.count, 1);
    cr_assert_eq(f.data, bytes);
    cr_assert_eq(f.len, sizeof bytes);
    cr_assert_eq(choir_chunk_wrap(&a, bytes, sizeof bytes, NULL, NULL, &chunk), CHOIR_OK);
    choir_chunk_release(chunk);
    cr_assert_eq(choir_chunk_wrap(&a, NULL, 0, on_free, &f, &chunk), CHOIR_OK);
    choir_chunk_release(chunk);
    cr_assert_eq(f.count, 2);
    alloc.fail_at = alloc.calls + 1;
    cr_assert_eq(choir_chunk_wrap(&a, bytes, sizeof bytes, on_free, &f, &chunk), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(f.count, 2, "not called when wrapping failed");
    cr_assert_eq(alloc.blocks, 0);
}

Test(chunk, refuses_what_is_invalid) {
    test_alloc alloc = {0};
    choir_allocator a = test_allocator(&alloc), none = {0};
    choir_chunk *const marker = (choir_chunk *)&alloc;
    choir_chunk *chunk = marker;
    cr_assert_eq(choir_chunk_new(NULL, 1, &chunk), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_chunk_new(&none, 1, &chunk), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_chunk_new(&a, 1, NULL), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_chunk_new(&a, SIZE_MAX, &chunk), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(choir_chunk_wrap(NULL, NULL, 0, NULL, NULL, &chunk), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_chunk_wrap(&a, NULL, 1, NULL, NULL, &chunk), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_chunk_wrap(&a, NULL, 0, NULL, NULL, NULL), CHOIR_ERR_INVALID);
    cr_assert_eq(alloc.calls, 0);
    alloc.fail_at = 1;
    cr_assert_eq(choir_chunk_new(&a, 1, &chunk), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(chunk, marker);
}

Test(chunk, counts_against_the_env) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    uint64_t before = choir_env_memory(env), calls = choir_env_allocations(env);
    choir_chunk *chunk;
    cr_assert_eq(choiri_chunk_alloc(env, 1000, &chunk), CHOIR_OK);
    cr_assert_eq(choir_chunk_len(chunk), 1000);
    cr_assert_geq(choir_env_memory(env), before + 1000);
    cr_assert_eq(choir_env_memory(env), alloc.bytes);
    cr_assert_eq(choir_env_allocations(env), calls + 1);
    choir_chunk_release(chunk);
    cr_assert_eq(choir_env_memory(env), before);
    alloc.fail_at = alloc.calls + 1;
    cr_assert_eq(choiri_chunk_alloc(env, 1000, &chunk), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(choir_env_memory(env), before);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(chunk, of_the_env_is_bounded_by_its_quota) {
    test_alloc alloc = {0};
    choir_env_options o;
    choir_env_options_init(&o);
    o.allocator = test_allocator(&alloc);
    o.random = some_random;
    o.memory_quota = 8192;
    choir_env *env;
    choir_chunk *chunk = NULL, *other = NULL;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
    uint64_t before = choir_env_memory(env);
    cr_assert_eq(choir_env_chunk_new(NULL, 1, &chunk), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_env_chunk_new(env, 1, NULL), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_env_chunk_new(env, 8192, &chunk), CHOIR_ERR_NO_MEMORY);
    cr_assert_null(chunk);
    cr_assert_eq(choir_env_chunk_new(env, 4096, &chunk), CHOIR_OK);
    cr_assert_eq(choir_chunk_len(chunk), 4096);
    cr_assert_geq(choir_env_memory(env), before + 4096);
    cr_assert_eq(choir_env_chunk_new(env, 4096, &other), CHOIR_ERR_NO_MEMORY);
    choir_chunk_release(chunk);
    cr_assert_eq(choir_env_memory(env), before);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(chunk, outlives_its_env) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_chunk *first, *second;
    cr_assert_eq(choiri_chunk_alloc(env, 10, &first), CHOIR_OK);
    cr_assert_eq(choiri_chunk_alloc(env, 10, &second), CHOIR_OK);
    choir_env_free(env);
    memset(choir_chunk_data(first), 1, 10);
    choir_chunk_release(first);
    cr_assert_eq(alloc.blocks, 2, "the chunk and the env's struct");
    choir_chunk_release(second);
    cr_assert_eq(alloc.blocks, 0);
    cr_assert_eq(alloc.bytes, 0);
}

/* A thread-safe allocator, as the host must give when chunks cross threads. */
static _Atomic long held;

static void *shared_alloc(void *ctx, size_t size) {
    (void)ctx;
    atomic_fetch_add(&held, 1);
    return malloc(size);
}

static void *shared_realloc(void *ctx, void *ptr, size_t old_size, size_t size) {
    (void)ctx, (void)old_size;
    return realloc(ptr, size);
}

static void shared_free(void *ctx, void *ptr, size_t size) {
    (void)ctx, (void)size;
    atomic_fetch_sub(&held, 1);
    free(ptr);
}

enum { THREADS = 4, CHUNKS = 2000, LEN = 64 };

static choir_chunk *shared[CHUNKS];

static void *reader(void *arg) {
    (void)arg;
    for (size_t i = 0; i < CHUNKS; i++) {
        uint8_t *data = choir_chunk_data(shared[i]);
        for (size_t k = 0; k < LEN; k++)
            if (data[k] != (uint8_t)i) return arg;
        choir_chunk_retain(shared[i]);
        choir_chunk_release(shared[i]);
        choir_chunk_release(shared[i]);
    }
    return NULL;
}

Test(chunk, released_by_many_threads_after_their_env) {
    choir_env_options o;
    choir_env_options_init(&o);
    o.allocator = (choir_allocator){shared_alloc, shared_realloc, shared_free, NULL};
    o.random = some_random;
    choir_env *env;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
    for (size_t i = 0; i < CHUNKS; i++) {
        cr_assert_eq(choiri_chunk_alloc(env, LEN, &shared[i]), CHOIR_OK);
        memset(choir_chunk_data(shared[i]), (uint8_t)i, LEN);
        for (int t = 1; t < THREADS; t++) choir_chunk_retain(shared[i]);
    }
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) cr_assert_eq(pthread_create(&threads[t], NULL, reader, shared), 0);
    /* The env's own thread goes on allocating meanwhile, then ends the env at any moment. */
    for (int i = 0; i < 1000; i++) {
        choir_chunk *own;
        cr_assert_eq(choiri_chunk_alloc(env, 16, &own), CHOIR_OK);
        choiri_free(env, choiri_alloc(env, 32), 32);
        choir_chunk_release(own);
        cr_assert_geq(choir_env_memory(env), sizeof(choir_env));
    }
    choir_env_free(env);
    for (int t = 0; t < THREADS; t++) {
        void *result;
        cr_assert_eq(pthread_join(threads[t], &result), 0);
        cr_assert_null(result);
    }
    cr_assert_eq(atomic_load(&held), 0);
}
