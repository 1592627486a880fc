/* SPDX-License-Identifier: MIT */
/* Handle table: stale handles, growth, and what happens when a slot's generations come to their end. */
#include "base/table.h"
#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

Test(table, insert_get_remove) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_table t;
    choiri_table_init(&t, env, 0x1234);
    int a, b;
    uint64_t ha, hb, hc;
    cr_assert_null(choiri_table_get(&t, 0));
    cr_assert_null(choiri_table_get(&t, UINT64_C(0x123400000000)), "an empty table has no slots");
    cr_assert_null(choiri_table_remove(&t, 5));
    cr_assert_eq(choiri_table_insert(&t, &a, &ha), CHOIR_OK);
    cr_assert_eq(choiri_table_insert(&t, &b, &hb), CHOIR_OK);
    cr_assert_eq(ha >> 32, 0x1234);
    cr_assert_neq(ha, hb);
    cr_assert_eq(choiri_table_get(&t, ha), &a);
    cr_assert_eq(choiri_table_get(&t, hb), &b);
    cr_assert_null(choiri_table_get(&t, ha + (UINT64_C(1) << 32)), "a generation of the future");
    cr_assert_null(choiri_table_get(&t, ha + 2), "a slot that is free");
    cr_assert_null(choiri_table_get(&t, ha | 0xffffffff), "a slot that does not exist");
    cr_assert_eq(choiri_table_remove(&t, ha), &a);
    cr_assert_null(choiri_table_get(&t, ha));
    cr_assert_null(choiri_table_get(&t, ha + (UINT64_C(1) << 32)), "the next generation is not born");
    cr_assert_null(choiri_table_remove(&t, ha));
    cr_assert_eq(choiri_table_insert(&t, &b, &hc), CHOIR_OK);
    cr_assert_eq((uint32_t)hc, (uint32_t)ha, "the slot is used again");
    cr_assert_neq(hc, ha);
    cr_assert_null(choiri_table_get(&t, ha));
    cr_assert_eq(choiri_table_remove(&t, hb), &b);
    cr_assert_eq(choiri_table_remove(&t, hc), &b);
    choiri_table_deinit(&t);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(table, handles_are_never_zero) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_table t;
    choiri_table_init(&t, env, 0);
    cr_assert_eq(t.gen_start, 1);
    uint64_t h;
    cr_assert_eq(choiri_table_insert(&t, &t, &h), CHOIR_OK);
    cr_assert_eq(h, UINT64_C(1) << 32);
    choiri_table_remove(&t, h);
    choiri_table_deinit(&t);
    choir_env_free(env);
}

/* Jumps over the part of a slot's life in which nothing happens, then watches its last generations. */
static void live_to_the_end(uint32_t gen_start) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_table t;
    choiri_table_init(&t, env, gen_start);
    uint64_t first, h = 0;
    cr_assert_eq(choiri_table_insert(&t, &alloc, &first), CHOIR_OK);
    cr_assert_eq(choiri_table_remove(&t, first), &alloc);
    uint32_t slot = (uint32_t)first;
    enum { LAST = 10 };
    t.entries[slot].gen = gen_start - LAST;
    if (gen_start <= LAST) t.entries[slot].gen--; /* 0 is not a generation */
    uint64_t seen[LAST];
    for (int i = 0; i < LAST; i++) {
        cr_assert_eq(choiri_table_insert(&t, &alloc, &h), CHOIR_OK);
        cr_assert_eq((uint32_t)h, slot);
        cr_assert_neq(h >> 32, 0);
        cr_assert_neq(h, first);
        cr_assert_eq(choiri_table_get(&t, h), &alloc);
        cr_assert_eq(choiri_table_remove(&t, h), &alloc);
        seen[i] = h;
    }
    cr_assert_eq(t.entries[slot].gen, gen_start);
    /* The slot has retired: others are used, and nobody finds them by an old handle. */
    uint64_t others[100];
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(choiri_table_insert(&t, &alloc, &others[i]), CHOIR_OK);
        cr_assert_neq((uint32_t)others[i], slot);
    }
    cr_assert_null(choiri_table_get(&t, first));
    cr_assert_null(choiri_table_remove(&t, first));
    for (int i = 0; i < LAST; i++) cr_assert_null(choiri_table_get(&t, seen[i]));
    for (int i = 0; i < 100; i++) cr_assert_eq(choiri_table_remove(&t, others[i]), &alloc);
    choiri_table_deinit(&t);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(table, slots_retire) {
    static const uint32_t starts[] = {1, 2, 5, 10, 11, 12, 0x80000000, UINT32_MAX - 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) live_to_the_end(starts[i]);
}

Test(table, growth_keeps_handles) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_table t;
    choiri_table_init(&t, env, UINT32_MAX);
    enum { COUNT = 5000 };
    static uint64_t handles[COUNT];
    static char objs[COUNT];
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(choiri_table_insert(&t, &objs[i], &handles[i]), CHOIR_OK);
        cr_assert_eq((uint32_t)handles[i], (uint32_t)i, "lowest slots first");
        cr_assert_eq(choiri_table_get(&t, handles[i / 2]), &objs[i / 2]);
    }
    cr_assert_eq(t.count, COUNT);
    for (int i = 0; i < COUNT; i++) cr_assert_eq(choiri_table_get(&t, handles[i]), &objs[i]);
    for (int i = 0; i < COUNT; i++) cr_assert_eq(choiri_table_remove(&t, handles[i]), &objs[i]);
    choiri_table_deinit(&t);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(table, memory_out) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_table t;
    choiri_table_init(&t, env, 7);
    uint64_t h = 42, handles[9];
    alloc.fail_at = alloc.calls + 1;
    cr_assert_eq(choiri_table_insert(&t, &t, &h), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(h, 42);
    for (int i = 0; i < 8; i++) cr_assert_eq(choiri_table_insert(&t, &t, &handles[i]), CHOIR_OK);
    alloc.fail_at = alloc.calls + 1;
    cr_assert_eq(choiri_table_insert(&t, &t, &h), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(choiri_table_get(&t, handles[7]), &t);
    cr_assert_eq(choiri_table_insert(&t, &t, &handles[8]), CHOIR_OK);
    for (int i = 0; i < 9; i++) cr_assert_eq(choiri_table_remove(&t, handles[i]), &t);
    choiri_table_deinit(&t);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* Random inserts and removals; every handle ever given is asked for again. */
Test(table, churn) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_table t;
    choiri_table_init(&t, env, UINT32_MAX - 20);
    enum { STEPS = 20000, LIVE = 200 };
    static uint64_t given[STEPS];
    static void *expected[STEPS];
    size_t live[LIVE], count = 0, total = 0;
    srand(11);
    for (int step = 0; step < STEPS; step++) {
        if (count < LIVE && (count == 0 || rand() % 2)) {
            expected[total] = &given[rand() % STEPS];
            cr_assert_eq(choiri_table_insert(&t, expected[total], &given[total]), CHOIR_OK);
            live[count++] = total++;
        } else {
            size_t i = (size_t)rand() % count, which = live[i];
            cr_assert_eq(choiri_table_remove(&t, given[which]), expected[which]);
            expected[which] = NULL;
            live[i] = live[--count];
        }
        size_t ask = (size_t)rand() % total;
        cr_assert_eq(choiri_table_get(&t, given[ask]), expected[ask]);
    }
    for (size_t i = 0; i < total; i++) cr_assert_eq(choiri_table_get(&t, given[i]), expected[i]);
    cr_assert_eq(t.count, count);
    while (count > 0) choiri_table_remove(&t, given[live[--count]]);
    choiri_table_deinit(&t);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(table, deinit_asserts_that_it_is_empty, .signal = SIGILL) {
    test_alloc alloc = {0};
    choiri_table t;
    choiri_table_init(&t, test_env(&alloc), 1);
    uint64_t h;
    choiri_table_insert(&t, &t, &h);
    choiri_table_deinit(&t);
}
