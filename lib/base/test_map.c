/* SPDX-License-Identifier: MIT */
/* Hash map against an array indexed by key. */
#include "base/map.h"
#include "base/siphash.h"
#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t seed[2] = {1, 2};

Test(map, empty) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    uint64_t calls = alloc.calls;
    choiri_map m;
    choiri_map_init(&m, env, seed);
    cr_assert_null(choiri_map_get(&m, 0));
    cr_assert_null(choiri_map_remove(&m, 0));
    cr_assert_eq(alloc.calls, calls, "an empty map holds nothing");
    choiri_map_deinit(&m);
    choir_env_free(env);
}

Test(map, any_key) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_map m;
    choiri_map_init(&m, env, seed);
    int a, b;
    cr_assert_eq(choiri_map_put(&m, 0, &a), CHOIR_OK);
    cr_assert_eq(choiri_map_put(&m, UINT64_MAX, &b), CHOIR_OK);
    cr_assert_eq(choiri_map_get(&m, 0), &a);
    cr_assert_eq(choiri_map_get(&m, UINT64_MAX), &b);
    cr_assert_null(choiri_map_get(&m, 1));
    cr_assert_null(choiri_map_remove(&m, 1));
    cr_assert_eq(choiri_map_remove(&m, 0), &a);
    cr_assert_null(choiri_map_get(&m, 0));
    cr_assert_eq(choiri_map_remove(&m, UINT64_MAX), &b);
    cr_assert_eq(m.count, 0);
    choiri_map_deinit(&m);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* A run of keys that all want the same entry at the end of the array, so that it wraps; removed in every
 * order. */
Test(map, wrapped_runs) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    uint64_t keys[4];
    int found = 0;
    for (uint64_t key = 0; found < 4; key++) {
        uint64_t want = found == 3 ? 0 : 7; /* the last one is displaced by the others */
        if ((choiri_siphash(seed, key) & 7) == want) keys[found++] = key;
    }
    for (int order = 0; order < 256; order++) {
        int at[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6};
        if ((1 << at[0] | 1 << at[1] | 1 << at[2] | 1 << at[3]) != 15) continue;
        choiri_map m;
        choiri_map_init(&m, env, seed);
        for (int i = 0; i < 4; i++) cr_assert_eq(choiri_map_put(&m, keys[i], &keys[i]), CHOIR_OK);
        cr_assert_eq(m.cap, 8);
        for (int i = 0; i < 4; i++) {
            cr_assert_eq(choiri_map_remove(&m, keys[at[i]]), &keys[at[i]]);
            for (int k = 0; k < 4; k++) {
                bool gone = false;
                for (int j = 0; j <= i; j++) gone = gone || at[j] == k;
                cr_assert_eq(choiri_map_get(&m, keys[k]), gone ? NULL : &keys[k]);
            }
        }
        choiri_map_deinit(&m);
    }
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

static void mark_seen(void *ctx, uint64_t key, void *value) {
    void **seen = ctx;
    cr_assert_null(seen[key]);
    seen[key] = value;
}

Test(map, random_against_array) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    enum { KEYS = 3000 };
    static void *model[KEYS], *seen[KEYS];
    choiri_map m;
    choiri_map_init(&m, env, seed);
    srand(13);
    uint32_t count = 0;
    for (int step = 0; step < 300000; step++) {
        /* The number of live keys swings between few and most. */
        bool filling = step / 20000 % 2 == 0;
        uint64_t key = (uint64_t)rand() % KEYS;
        cr_assert_eq(choiri_map_get(&m, key), model[key]);
        if (model[key] && (!filling || rand() % 4 == 0)) {
            cr_assert_eq(choiri_map_remove(&m, key), model[key]);
            model[key] = NULL;
            count--;
        } else if (!model[key] && (filling || rand() % 4 == 0)) {
            model[key] = &model[rand() % KEYS];
            cr_assert_eq(choiri_map_put(&m, key, model[key]), CHOIR_OK);
            count++;
        }
        cr_assert_eq(m.count, count);
        cr_assert_leq(m.count, m.cap / 2);
        if (step % 20000 == 0) {
            memset(seen, 0, sizeof seen);
            choiri_map_each(&m, mark_seen, seen);
            cr_assert_arr_eq(seen, model, sizeof seen);
        }
    }
    choiri_map_deinit(&m);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(map, churn_allocates_nothing) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_map m;
    choiri_map_init(&m, env, seed);
    for (uint64_t key = 0; key < 100; key++) cr_assert_eq(choiri_map_put(&m, key, &m), CHOIR_OK);
    uint64_t calls = alloc.calls;
    uint32_t cap = m.cap;
    for (uint64_t key = 100; key < 100000; key++) {
        cr_assert_eq(choiri_map_remove(&m, key - 100), &m);
        cr_assert_eq(choiri_map_put(&m, key, &m), CHOIR_OK);
    }
    cr_assert_eq(alloc.calls, calls);
    cr_assert_eq(m.cap, cap);
    choiri_map_deinit(&m);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(map, memory_out_changes_nothing) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_map m;
    choiri_map_init(&m, env, seed);
    uint64_t key = 0;
    for (int failures = 0; failures < 8;) {
        alloc.fail_at = alloc.calls + 1;
        int rc = choiri_map_put(&m, key, &m);
        if (rc != CHOIR_OK) {
            failures++;
            cr_assert_eq(rc, CHOIR_ERR_NO_MEMORY);
            cr_assert_null(choiri_map_get(&m, key));
            alloc.fail_at = 0;
            cr_assert_eq(choiri_map_put(&m, key, &m), CHOIR_OK);
        }
        key++;
        cr_assert_eq(m.count, key);
        for (uint64_t k = 0; k < key; k++) cr_assert_eq(choiri_map_get(&m, k), &m);
    }
    choiri_map_deinit(&m);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(map, a_key_twice, .signal = SIGILL) {
    test_alloc alloc = {0};
    choiri_map m;
    choiri_map_init(&m, test_env(&alloc), seed);
    choiri_map_put(&m, 5, &m);
    choiri_map_put(&m, 5, &m);
}
