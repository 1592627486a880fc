/* SPDX-License-Identifier: MIT */
/* What the tests of this layer share: an env with a counting allocator, a queue whose bytes can be read back,
 * inputs in memory of exactly their size (so that AddressSanitizer sees the first byte read too much), and a
 * seeded random source. */
#ifndef TEST_WIRE_H
#define TEST_WIRE_H

#include "base/outq.h"
#include "testing/alloc.h"
#include "wire/writer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench {
    test_alloc alloc;
    choir_env *env;
    choiri_outq q;
} bench;

static inline void bench_open(bench *b) {
    memset(b, 0, sizeof *b);
    b->env = test_env(&b->alloc);
    cr_assert_not_null(b->env);
    choiri_outq_init(&b->q, b->env);
}

/* Also asserts that nothing is leaked. */
static inline void bench_close(bench *b) {
    choiri_outq_deinit(&b->q);
    choir_env_free(b->env);
    cr_assert_eq(b->alloc.bytes, 0, "%llu bytes leaked", (unsigned long long)b->alloc.bytes);
    cr_assert_eq(b->alloc.blocks, 0);
}

/* All queued bytes in memory of their own; the queue keeps them. */
static inline choir_bytes bench_bytes(const bench *b) {
    size_t len = (size_t)b->q.bytes;
    uint8_t *out = malloc(len ? len : 1);
    cr_assert_eq(choiri_outq_copy(&b->q, 0, out, len), len);
    return (choir_bytes){out, len};
}

/* The same, and empties the queue. */
static inline choir_bytes bench_take(bench *b) {
    choir_bytes out = bench_bytes(b);
    choiri_outq_consume(&b->q, b->q.bytes);
    return out;
}

static inline void bytes_free(choir_bytes b) {
    free((void *)(uintptr_t)b.data);
}

static inline choir_bytes bytes_copy(const void *data, size_t len) {
    uint8_t *out = malloc(len ? len : 1);
    if (len > 0) memcpy(out, data, len);
    return (choir_bytes){out, len};
}

static inline bool bytes_equal(choir_bytes a, choir_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool str_is(choir_str s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static inline choir_bytes str_bytes(choir_str s) {
    return (choir_bytes){(const uint8_t *)s.data, s.len};
}

/* "00 05 0b" as bytes in memory of exactly their size; blanks do not count. */
static inline choir_bytes from_hex(const char *hex) {
    uint8_t *out = malloc(strlen(hex) / 2 + 1);
    size_t len = 0;
    while (*hex) {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        unsigned v;
        cr_assert_eq(sscanf(hex, "%2x", &v), 1);
        out[len++] = (uint8_t)v;
        hex += 2;
    }
    choir_bytes exact = bytes_copy(out, len);
    free(out);
    return exact;
}

static inline bool bytes_are(choir_bytes b, const char *hex) {
    choir_bytes want = from_hex(hex);
    bool equal = bytes_equal(b, want);
    bytes_free(want);
    return equal;
}

static inline uint64_t next_random(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

#endif
