/* SPDX-License-Identifier: MIT */
#include "base/arena.h"
#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(arena, first_piece_then_blocks) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    uint64_t calls = alloc.calls;
    _Alignas(16) uint8_t first[100];
    choiri_arena a;
    choiri_arena_init(&a, env, first, sizeof first, 100000);
    uint8_t *p = choiri_arena_alloc(&a, 99, 1);
    cr_assert_eq(p, first);
    cr_assert_eq(choiri_arena_alloc(&a, 1, 1), first + 99);
    cr_assert_eq(alloc.calls, calls);
    p = choiri_arena_alloc(&a, 1, 1);
    memset(p, 1, 1);
    cr_assert(p < first || p >= first + sizeof first);
    cr_assert_eq(alloc.calls, calls + 1);
    cr_assert_gt(a.used, 0);
    choiri_arena_reset(&a);
    cr_assert_eq(a.used, 0);
    cr_assert_eq(choiri_arena_alloc(&a, 100, 16), first, "usable again from its start");
    choiri_arena_reset(&a);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(arena, alignment) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    _Alignas(16) uint8_t first[64];
    choiri_arena a;
    for (size_t offset = 0; offset < 16; offset++) {
        choiri_arena_init(&a, env, first + offset, sizeof first - offset, 1 << 20);
        for (int i = 0; i < 200; i++) {
            size_t align = (size_t)1 << (i % 5), size = (size_t)(i % 23);
            uint8_t *p = choiri_arena_alloc(&a, size, align);
            cr_assert_not_null(p);
            cr_assert_eq((uintptr_t)p % align, 0);
            memset(p, 0xaa, size);
        }
        choiri_arena_reset(&a);
    }
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(arena, padding_counts_too) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    _Alignas(16) uint8_t first[32];
    choiri_arena a;
    for (size_t size = 1; size <= 32; size++) {
        choiri_arena_init(&a, env, first, sizeof first, 4096);
        choiri_arena_alloc(&a, 1, 1);
        uint8_t *p = choiri_arena_alloc(&a, size, 16);
        cr_assert_eq(p == first + 16, size <= 16, "%zu bytes", size);
        choiri_arena_reset(&a);
    }
    choir_env_free(env);
}

Test(arena, size_zero) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_arena a;
    choiri_arena_init(&a, env, NULL, 0, 4096);
    cr_assert_not_null(choiri_arena_alloc(&a, 0, 16));
    choiri_arena_reset(&a);
    choir_env_free(env);
}

Test(arena, limit_at_n_and_one_more) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    for (size_t limit = 0; limit < 40000; limit += limit < 64 ? 1 : 997) {
        choiri_arena a;
        choiri_arena_init(&a, env, NULL, 0, limit);
        size_t most = limit > 16 ? limit - 16 : 0; /* without the block's header */
        cr_assert_eq(choiri_arena_is_full(&a, most), limit < 16);
        cr_assert(choiri_arena_is_full(&a, most + 1));
        cr_assert(choiri_arena_is_full(&a, SIZE_MAX));
        cr_assert_null(choiri_arena_alloc(&a, most + 1, 1));
        cr_assert_null(choiri_arena_alloc(&a, SIZE_MAX, 16));
        if (most > 0) {
            uint8_t *p = choiri_arena_alloc(&a, most, 16);
            cr_assert_not_null(p);
            memset(p, 1, most);
            cr_assert_leq(a.used, 2 * limit + 64, "%zu of %zu", a.used, limit);
            cr_assert_null(choiri_arena_alloc(&a, 1, 1));
            cr_assert(choiri_arena_is_full(&a, 1));
        }
        /* In small pieces it never holds more than the limit either. */
        choiri_arena_reset(&a);
        size_t got = 0;
        for (uint8_t *p; (p = choiri_arena_alloc(&a, 24, 8)) != NULL; got += 24) memset(p, 2, 24);
        cr_assert_leq(a.used, 2 * limit + 64, "%zu of %zu", a.used, limit);
        cr_assert_leq(got, limit);
        if (limit > 1000) cr_assert_geq(got, limit - limit / 16 - 100);
        choiri_arena_reset(&a);
    }
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(arena, large_piece_keeps_the_current_block) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_arena a;
    choiri_arena_init(&a, env, NULL, 0, 1 << 20);
    uint8_t *small = choiri_arena_alloc(&a, 8, 8);
    uint8_t *large = choiri_arena_alloc(&a, 100000, 8);
    memset(large, 1, 100000);
    cr_assert_eq(choiri_arena_alloc(&a, 8, 8), small + 8);
    choiri_arena_reset(&a);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(arena, memory_out_is_not_full) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_arena a;
    choiri_arena_init(&a, env, NULL, 0, 100000);
    for (int i = 0; i < 3; i++) {
        alloc.fail_at = alloc.calls + 1;
        cr_assert_null(choiri_arena_alloc(&a, 20000, 8));
        cr_assert_not(choiri_arena_is_full(&a, 20000));
        cr_assert_not_null(choiri_arena_alloc(&a, 20000, 8));
    }
    choiri_arena_reset(&a);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* Random sizes: pieces do not overlap. */
Test(arena, pieces_are_separate) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    uint8_t first[200];
    choiri_arena a;
    choiri_arena_init(&a, env, first, sizeof first, 1 << 22);
    enum { PIECES = 2000 };
    static uint8_t *pieces[PIECES];
    static size_t sizes[PIECES];
    srand(5);
    for (size_t i = 0; i < PIECES; i++) {
        sizes[i] = (size_t)rand() % (i % 100 == 0 ? 40000 : 200);
        pieces[i] = choiri_arena_alloc(&a, sizes[i], (size_t)1 << (rand() % 5));
        cr_assert_not_null(pieces[i]);
        memset(pieces[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t k = 0; k < sizes[i]; k++) cr_assert_eq(pieces[i][k], (uint8_t)i);
    choiri_arena_reset(&a);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* One small block stays for what comes next; anything more goes. */
Test(arena, rewound_keeps_a_small_block) {
    test_alloc a = {0};
    choir_env *env = test_env(&a);
    choiri_arena arena;
    choiri_arena_init(&arena, env, NULL, 0, 1 << 20);
    choiri_arena_rewind(&arena);
    cr_assert_eq(arena.used, 0);
    void *first = choiri_arena_alloc(&arena, 100, 16);
    cr_assert_not_null(first);
    cr_assert_eq(arena.used, CHOIRI_ARENA_BLOCK_FIRST);
    choiri_arena_rewind(&arena);
    cr_assert_eq(choiri_arena_alloc(&arena, 900, 16), first);
    cr_assert_eq(arena.used, CHOIRI_ARENA_BLOCK_FIRST);
    cr_assert_not_null(choiri_arena_alloc(&arena, 900, 16)); /* a second block */
    choiri_arena_rewind(&arena);
    cr_assert_eq(arena.used, 0);
    cr_assert_not_null(choiri_arena_alloc(&arena, 2000, 16)); /* a large one */
    choiri_arena_rewind(&arena);
    cr_assert_eq(arena.used, 0);
    choir_env_free(env);
}
