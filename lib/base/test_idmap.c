/* SPDX-License-Identifier: MIT */
/* Map of request ids: against a naive model, with sequential, colliding and extreme ids, and failing
 * allocation. */
#include "base/idmap.h"
#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <string.h>

static const uint64_t seed[2] = {1, 2};
static int values[4096];

static void leave(choir_env *env, const test_alloc *alloc) {
    choir_env_free(env);
    cr_assert_eq(alloc->bytes, 0);
}

Test(idmap, sequential_ids_never_leave_the_ring) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_idmap m;
    choiri_idmap_init(&m, env, seed);
    cr_assert_null(choiri_idmap_get(&m, 1));
    cr_assert_null(choiri_idmap_remove(&m, 1));
    /* 100 live at a time, ids going up as a caller's do */
    for (uint64_t i = 0; i < 10000; i++) {
        cr_assert_eq(choiri_idmap_put(&m, 2 * i + 1, &values[i % 4096]), CHOIR_OK);
        if (i >= 100) cr_assert_eq(choiri_idmap_remove(&m, 2 * (i - 100) + 1), &values[(i - 100) % 4096]);
        cr_assert_eq(m.rest.count, 0);
    }
    cr_assert_eq(m.count, 100);
    cr_assert_leq(m.cap, 256);
    choiri_idmap_deinit(&m);
    leave(env, &alloc);
}

/* The next ids of both parities, which advance at paces of their own and at distances of their own. */
Test(idmap, both_parities_in_sequence_never_leave_the_ring) {
    static const uint64_t starts[][2] = {
        {1, 2}, {1, 4098}, {0xfffffffffffff001, 16}, {77, UINT64_C(1) << 40}};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        for (uint64_t odd = 0; odd <= 64;
             odd += 8) { /* live ids of that parity; the others are even, 64 altogether */
            test_alloc alloc = {0};
            choir_env *env = test_env(&alloc);
            choiri_idmap m;
            choiri_idmap_init(&m, env, seed);
            uint64_t live[2] = {odd, 64 - odd};
            for (uint64_t i = 0; i < 1000; i++) {
                for (int p = 0; p < 2; p++) {
                    uint64_t id = starts[s][p] + 2 * i;
                    if (live[p] == 0) continue;
                    if (i >= live[p])
                        cr_assert_eq(choiri_idmap_remove(&m, id - 2 * live[p]),
                                     &values[(i - live[p]) * 2 + (uint64_t)p]);
                    cr_assert_eq(choiri_idmap_put(&m, id, &values[i * 2 + (uint64_t)p]), CHOIR_OK);
                    cr_assert_eq(m.rest.count, 0);
                }
            }
            cr_assert_eq(m.count, 64);
            cr_assert_eq(m.cap, 128, "twice as many places as ids, no more");
            choiri_idmap_deinit(&m);
            leave(env, &alloc);
        }
    }
}

Test(idmap, colliding_and_extreme_ids_are_found) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_idmap m;
    choiri_idmap_init(&m, env, seed);
    const uint64_t extremes[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63, 1, 2};
    for (size_t i = 0; i < 5; i++) cr_assert_eq(choiri_idmap_put(&m, extremes[i], &values[i]), CHOIR_OK);
    for (uint64_t i = 1; i <= 1000; i++) /* all with the same low 32 bits */
        cr_assert_eq(choiri_idmap_put(&m, (i << 32) + 1, &values[i]), CHOIR_OK);
    cr_assert_gt(m.rest.count, 900);
    cr_assert_leq(m.cap, 64, "colliding ids must not make the ring grow");
    for (size_t i = 0; i < 5; i++) cr_assert_eq(choiri_idmap_get(&m, extremes[i]), &values[i]);
    for (uint64_t i = 1; i <= 1000; i++) cr_assert_eq(choiri_idmap_remove(&m, (i << 32) + 1), &values[i]);
    for (uint64_t i = 1; i <= 1000; i++) cr_assert_null(choiri_idmap_get(&m, (i << 32) + 1));
    for (size_t i = 0; i < 5; i++) cr_assert_eq(choiri_idmap_remove(&m, extremes[i]), &values[i]);
    cr_assert_eq(m.count + m.rest.count, 0);
    choiri_idmap_deinit(&m);
    leave(env, &alloc);
}

Test(idmap, random_operations_agree_with_a_model) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_idmap m;
    static void *model[4096];
    uint64_t x = 42, live = 0;
    choiri_idmap_init(&m, env, seed);
    for (int i = 0; i < 200000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        uint64_t id = (x >> 40) % 4096, key = id * UINT64_C(0x100000001) * 2;
        cr_assert_eq(choiri_idmap_get(&m, key), model[id]);
        if (model[id]) {
            cr_assert_eq(choiri_idmap_remove(&m, key), model[id]);
            model[id] = NULL;
            live--;
        } else {
            cr_assert_eq(choiri_idmap_put(&m, key, &values[id]), CHOIR_OK);
            model[id] = &values[id];
            live++;
        }
        cr_assert_eq((uint64_t)m.count + m.rest.count, live);
    }
    choiri_idmap_deinit(&m);
    leave(env, &alloc);
}

/* A place is offered only for what is surely absent and needs no growth. */
Test(idmap, put_in_two_steps) {
    test_alloc a = {0};
    choir_env *env = test_env(&a);
    choiri_idmap m;
    int v[3];
    choiri_idmap_init(&m, env, seed);
    cr_assert_null(choiri_idmap_free_place(&m, 1)); /* it has to grow */
    cr_assert_eq(choiri_idmap_put_at(&m, NULL, 1, &v[0]), CHOIR_OK);
    choiri_map_entry *place = choiri_idmap_free_place(&m, 3);
    cr_assert_not_null(place);
    cr_assert_null(choiri_idmap_get(&m, 3));
    cr_assert_eq(choiri_idmap_put_at(&m, place, 3, &v[1]), CHOIR_OK);
    cr_assert_null(choiri_idmap_free_place(&m, 3));         /* it is there */
    cr_assert_null(choiri_idmap_free_place(&m, 3 + m.cap)); /* its place is taken */
    cr_assert_eq(choiri_idmap_put_at(&m, NULL, 3 + m.cap, &v[2]), CHOIR_OK);
    cr_assert_null(choiri_idmap_free_place(&m, 5)); /* not all are in the ring: look first */
    cr_assert_null(choiri_idmap_remove_quick(&m, 3 + m.cap));
    cr_assert_eq(choiri_idmap_remove(&m, 3 + m.cap), &v[2]);
    cr_assert_eq(choiri_idmap_remove_quick(&m, 3), &v[1]);
    cr_assert_eq(choiri_idmap_get(&m, 1), &v[0]);
    choiri_idmap_remove(&m, 1);
    choiri_idmap_deinit(&m);
    leave(env, &a);
}

Test(idmap, failing_allocation_changes_nothing) {
    for (uint64_t fail = 1;; fail++) {
        test_alloc alloc = {0};
        choir_env *env = test_env(&alloc);
        choiri_idmap m;
        choiri_idmap_init(&m, env, seed);
        alloc.fail_at = alloc.calls + fail;
        uint64_t put = 0;
        while (put < 300 && choiri_idmap_put(&m, put * 2 + 1, &values[put]) == CHOIR_OK) put++;
        for (uint64_t i = 0; i < 300; i++)
            cr_assert_eq(choiri_idmap_get(&m, i * 2 + 1), i < put ? &values[i] : NULL);
        bool failed = alloc.failed > 0;
        choiri_idmap_deinit(&m);
        leave(env, &alloc);
        if (!failed) break;
        cr_assert_lt(put, 300);
    }
}
