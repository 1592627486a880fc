/* SPDX-License-Identifier: MIT */
/* Test allocator: malloc with a header in front of each block (size and a guard) and a guard behind it. With
 * AddressSanitizer the guard behind is left out, so that an overflow is reported where it happens. */
#include "testing/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#endif

#if defined(WITH_ASAN)
static const size_t tail = 0;
#else
static const size_t tail = 16;
#endif

#define GUARD      UINT64_C(0x5afe5afe0ddba11c)
#define TAIL_BYTE  0xa5
#define NEW_BYTE   0xcd
#define FREED_BYTE 0xdd

typedef struct header {
    _Alignas(16) uint64_t guard;
    size_t size;
} header;

static _Noreturn void fail(const char *what, size_t expected, size_t got) {
    fprintf(stderr, "test allocator: %s (%zu, %zu)\n", what, expected, got);
    abort();
}

static void *test_alloc_alloc(void *ctx, size_t size) {
    test_alloc *state = ctx;
    state->calls++;
    if (state->fail_at != 0 &&
        (state->calls == state->fail_at || (state->fail_after && state->calls > state->fail_at))) {
        state->failed++;
        return NULL;
    }
    if (size == 0) fail("a block of 0 bytes was asked for", 1, 0);
    if (size > SIZE_MAX - sizeof(header) - tail) return NULL;
    header *h = malloc(sizeof *h + size + tail);
    if (!h) return NULL;
    *h = (header){GUARD, size};
    uint8_t *data = (uint8_t *)(h + 1);
    memset(data, NEW_BYTE, size);
    memset(data + size, TAIL_BYTE, tail);
    state->blocks++;
    state->bytes += size;
    if (state->bytes > state->peak) state->peak = state->bytes;
    return data;
}

static void test_alloc_free(void *ctx, void *ptr, size_t size) {
    test_alloc *state = ctx;
    header *h = (header *)ptr - 1;
    if (h->guard != GUARD) fail("not a live block, or written before its start", 0, 0);
    if (h->size != size) fail("freed with another size than it was asked for with", h->size, size);
    uint8_t *data = ptr;
    for (size_t i = 0; i < tail; i++)
        if (data[size + i] != TAIL_BYTE) fail("written after its end", size, size + i);
    if (state->blocks == 0 || state->bytes < size)
        fail("freed to another allocator", size, (size_t)state->bytes);
    state->blocks--;
    state->bytes -= size;
    memset(h, FREED_BYTE, sizeof *h + size);
    free(h);
}

static void *test_alloc_realloc(void *ctx, void *ptr, size_t old_size, size_t size) {
    test_alloc *state = ctx;
    bool grows = size > old_size;
    test_alloc saved = *state;
    if (!grows) state->fail_at = 0; /* shrinking never fails and is not counted */
    uint8_t *moved = test_alloc_alloc(state, size);
    if (!grows) {
        state->fail_at = saved.fail_at;
        state->calls = saved.calls;
    }
    if (!moved) return NULL;
    memcpy(moved, ptr, grows ? old_size : size);
    test_alloc_free(state, ptr, old_size);
    return moved;
}

choir_allocator test_allocator(test_alloc *state) {
    return (choir_allocator){test_alloc_alloc, test_alloc_realloc, test_alloc_free, state};
}

/* splitmix64: any seed will do, also 0. */
static int test_random(void *ctx, void *out, size_t len) {
    test_alloc *state = ctx;
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++) {
        uint64_t v = state->random += UINT64_C(0x9e3779b97f4a7c15);
        v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
        bytes[i] = (uint8_t)(v >> 56);
    }
    return 0;
}

choir_env *test_env(test_alloc *state) {
    choir_env_options options;
    choir_env_options_init(&options);
    options.allocator = test_allocator(state);
    options.random = test_random;
    options.random_ctx = state;
    choir_env *env = NULL;
    uint64_t failed = state->failed;
    int rc = choir_env_new(&options, &env);
    if (rc != CHOIR_OK && state->failed == failed) fail(choir_status_name(rc), 0, 0);
    return env;
}
