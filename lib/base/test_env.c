/* SPDX-License-Identifier: MIT */
/* The environment: options of older and newer programs, quota, counting, object pools, status texts, log. */
#include "base/assert.h"
#include "base/env.h"
#include "base/log.h"
#include "base/options.h"
#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#ifndef CHOIRI_POOLS
#define CHOIRI_POOLS 1
#endif

static int good_random(void *ctx, void *out, size_t len) {
    (void)ctx;
    memset(out, 7, len);
    return 0;
}

static int bad_random(void *ctx, void *out, size_t len) {
    (void)ctx, (void)out, (void)len;
    return 1;
}

static choir_env_options good_options(test_alloc *alloc) {
    choir_env_options o;
    choir_env_options_init(&o);
    o.allocator = test_allocator(alloc);
    o.random = good_random;
    return o;
}

Test(env, options_defaults) {
    choir_env_options o;
    memset(&o, 0xff, sizeof o);
    choir_env_options_init(&o);
    cr_assert_eq(o.size, sizeof o);
    cr_assert_eq(o.log_level, CHOIR_LOG_WARNING);
    cr_assert_eq(o.reserved, 0);
    cr_assert_eq(o.memory_quota, 0);
    cr_assert_null(o.log);
}

Test(env, new_refuses_what_is_missing) {
    test_alloc alloc = {0};
    choir_env *const marker = (choir_env *)&alloc;
    choir_env *env = marker;
    choir_env_options o = good_options(&alloc);
    cr_assert_eq(choir_env_new(NULL, &env), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_env_new(&o, NULL), CHOIR_ERR_INVALID);
    o.allocator.alloc = NULL;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_INVALID);
    o = good_options(&alloc);
    o.allocator.realloc = NULL;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_INVALID);
    o = good_options(&alloc);
    o.allocator.free = NULL;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_INVALID);
    o = good_options(&alloc);
    o.random = NULL;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_INVALID);
    o = good_options(&alloc);
    o.reserved = 1;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_INVALID);
    o = good_options(&alloc);
    o.random = bad_random;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_RANDOM);
    o = good_options(&alloc);
    o.memory_quota = sizeof(choir_env) - 1;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(alloc.calls, 0);
    o = good_options(&alloc);
    alloc.fail_at = 1;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(env, marker, "outputs are untouched on failure");
    cr_assert_eq(alloc.blocks, 0);
    choir_env_free(NULL);
}

static uint64_t ticking(void *ctx) {
    return ++*(uint64_t *)ctx;
}

Test(env, wall_clock) {
    test_alloc alloc = {0};
    uint64_t wall = 1700000000000000000;
    choir_env *env;
    choir_env_options o = good_options(&alloc);
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
    cr_assert_eq(choir_env_wall(env), 0, "the host gave none");
    cr_assert_eq(choir_env_wall(NULL), 0);
    choir_env_free(env);
    o.wall = ticking;
    o.wall_ctx = &wall;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
    cr_assert_eq(wall, 1700000000000000000, "nobody but layers above asks");
    cr_assert_eq(choir_env_wall(env), 1700000000000000001);
    cr_assert_eq(choir_env_wall(env), 1700000000000000002);
    choir_env_free(env);
}

Test(env, options_of_other_versions) {
    test_alloc alloc = {0};
    struct {
        choir_env_options known;
        uint8_t unknown[24];
    } newer = {.known = good_options(&alloc)};
    choir_env *env;
    newer.known.size = sizeof newer;
    cr_assert_eq(choir_env_new(&newer.known, &env), CHOIR_OK);
    choir_env_free(env);
    for (size_t i = 0; i < sizeof newer.unknown; i++) {
        newer.unknown[i] = 0x80;
        cr_assert_eq(choir_env_new(&newer.known, &env), CHOIR_ERR_INVALID, "byte %zu", i);
        newer.unknown[i] = 0;
    }
    /* An older program knows no quota: what lies behind its struct is not read. */
    choir_env_options o = good_options(&alloc);
    o.memory_quota = 1;
    o.size = offsetof(choir_env_options, memory_quota);
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
    cr_assert_eq(env->quota, 0);
    choir_env_free(env);
    /* ... and one that knows only the allocator lacks what is required. */
    o.size = offsetof(choir_env_options, random);
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_INVALID);
    o.size = 0;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_INVALID);
    o.size = sizeof(size_t) - 1;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_INVALID);
    o.size = SIZE_MAX; /* never initialised */
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_ERR_INVALID);
    cr_assert_eq(alloc.blocks, 0);
}

Test(env, options_copy) {
    struct small {
        size_t size;
        uint32_t a, b;
    } dst = {sizeof dst, 1, 2}, src = {offsetof(struct small, b), 10, 20};
    cr_assert_eq(choiri_options_copy(&dst, sizeof dst, &src), CHOIR_OK);
    cr_assert_eq(dst.size, sizeof dst);
    cr_assert_eq(dst.a, 10);
    cr_assert_eq(dst.b, 2);
    src.size = sizeof src;
    cr_assert_eq(choiri_options_copy(&dst, sizeof dst, &src), CHOIR_OK);
    cr_assert_eq(dst.b, 20);
    src = (struct small){3, 30, 40};
    cr_assert_eq(choiri_options_copy(&dst, sizeof dst, &src), CHOIR_ERR_INVALID);
    cr_assert_eq(choiri_options_copy(&dst, sizeof dst, NULL), CHOIR_ERR_INVALID);
    cr_assert_eq(dst.a, 10);
}

Test(env, options_give) {
    struct small {
        size_t size;
        uint32_t a, b;
    };
    const struct small defaults = {sizeof defaults, 1, 2};
    for (size_t size = 0; size <= sizeof defaults + 8; size++) {
        uint8_t bytes[sizeof defaults + 8], before[sizeof bytes];
        memset(bytes, 0xcc, sizeof bytes);
        memset(before, 0xcc, sizeof before);
        choiri_options_give(bytes, size, &defaults, sizeof defaults);
        size_t expected = size < sizeof size ? 0 : size, given;
        if (expected > 0) {
            size_t known = expected < sizeof defaults ? expected : sizeof defaults;
            memcpy(&given, bytes, sizeof given);
            cr_assert_eq(given, expected);
            cr_assert_arr_eq(bytes + sizeof given, (const uint8_t *)&defaults + sizeof given,
                             known - sizeof given);
            for (size_t i = known; i < expected; i++) cr_assert_eq(bytes[i], 0);
        }
        cr_assert_arr_eq(bytes + expected, before, sizeof bytes - expected, "size %zu", size);
    }
}

/* A newer program on this library: what it leaves alone is fine, what it sets is refused. */
Test(env, options_of_a_newer_program) {
    struct small {
        size_t size;
        uint32_t a, b;
    };
    struct {
        struct small known;
        uint64_t newer;
    } newer;
    const struct small defaults = {sizeof defaults, 1, 2};
    struct small got;
    choiri_options_give(&newer, sizeof newer, &defaults, sizeof defaults);
    cr_assert_eq(choiri_options_copy(&got, sizeof got, &newer), CHOIR_OK);
    cr_assert(got.size == sizeof got && got.a == 1 && got.b == 2);
    newer.newer = 1;
    cr_assert_eq(choiri_options_copy(&got, sizeof got, &newer), CHOIR_ERR_INVALID);
}

Test(env, memory_is_counted) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    cr_assert_eq(choir_env_memory(env), alloc.bytes);
    cr_assert_eq(choir_env_allocations(env), 1);
    uint8_t *p = choiri_zalloc(env, 100);
    for (int i = 0; i < 100; i++) cr_assert_eq(p[i], 0);
    memset(p, 1, 100);
    cr_assert_eq(choir_env_memory(env), alloc.bytes);
    p = choiri_realloc(env, p, 100, 5000);
    cr_assert_eq(p[99], 1);
    cr_assert_eq(choir_env_memory(env), alloc.bytes);
    p = choiri_realloc(env, p, 5000, 10);
    cr_assert_eq(p[9], 1);
    cr_assert_eq(choir_env_memory(env), alloc.bytes);
    void *q = choiri_realloc(env, NULL, 0, 64);
    cr_assert_eq(choir_env_allocations(env), 5);
    choiri_free(env, q, 64);
    choiri_free(env, p, 10);
    choiri_free(env, NULL, 10);
    cr_assert_eq(choir_env_memory(env), sizeof(choir_env));
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
    cr_assert_eq(alloc.blocks, 0);
}

Test(env, failed_realloc_leaves_the_block) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    uint8_t *p = choiri_alloc(env, 64);
    memset(p, 9, 64);
    alloc.fail_at = alloc.calls + 1;
    cr_assert_null(choiri_realloc(env, p, 64, 128));
    cr_assert_eq(p[63], 9);
    cr_assert_eq(choir_env_memory(env), alloc.bytes);
    choiri_free(env, p, 64);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(env, quota_at_n_and_one_more) {
    test_alloc alloc = {0};
    choir_env_options o = good_options(&alloc);
    o.memory_quota = sizeof(choir_env) + 1000;
    choir_env *env;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
    uint64_t calls = alloc.calls;
    cr_assert_null(choiri_alloc(env, 1001));
    cr_assert_null(choiri_alloc(env, SIZE_MAX));
    choir_chunk *chunk;
    cr_assert_eq(choiri_chunk_alloc(env, 1000, &chunk), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(choiri_chunk_alloc(env, SIZE_MAX, &chunk), CHOIR_ERR_NO_MEMORY);
    cr_assert_eq(alloc.calls, calls, "the allocator is not asked when the quota is full");
    void *p = choiri_alloc(env, 1000);
    cr_assert_not_null(p);
    cr_assert_null(choiri_alloc(env, 1));
    cr_assert_null(choiri_realloc(env, p, 1000, 1001));
    p = choiri_realloc(env, p, 1000, 400);
    cr_assert_not_null(p);
    /* Chunks and everything else share the quota. */
    cr_assert_eq(choiri_chunk_alloc(env, 300, &chunk), CHOIR_OK);
    uint64_t left = o.memory_quota - choir_env_memory(env);
    cr_assert_null(choiri_alloc(env, (size_t)left + 1));
    void *rest = choiri_alloc(env, (size_t)left);
    cr_assert_not_null(rest);
    choir_chunk_release(chunk);
    choiri_free(env, rest, (size_t)left);
    choiri_free(env, p, 400);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(env, failed_random) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    uint64_t a = 0, b = 0;
    cr_assert_eq(choiri_random(env, &a, sizeof a), CHOIR_OK);
    cr_assert_eq(choiri_random(env, &b, sizeof b), CHOIR_OK);
    cr_assert_neq(a, b);
    env->random = bad_random;
    cr_assert_eq(choiri_random(env, &a, sizeof a), CHOIR_ERR_RANDOM);
    choir_env_free(env);
}

/* Every size: whole, separate and, with pools, not from the allocator the second time. */
Test(env, objects_of_every_size) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    static const size_t sizes[] = {1,    63,   64,   65,   128,   129,   256,   257,
                                   512,  513,  1024, 1025, 2048,  2049,  4096,  4097,
                                   8192, 8193, 9999, 9000, 16383, 16384, 16385, 50000};
    enum { COUNT = sizeof sizes / sizeof *sizes, EACH = 9 };
    uint8_t *objs[COUNT][EACH];
    for (int round = 0; round < 3; round++) {
        uint64_t calls = alloc.calls;
        for (size_t i = 0; i < COUNT; i++) {
            for (size_t j = 0; j < EACH; j++) {
                objs[i][j] = choiri_obj_alloc(env, sizes[i]);
                cr_assert_eq((uintptr_t)objs[i][j] % 16, 0);
                memset(objs[i][j], (int)(i * EACH + j), sizes[i]);
            }
        }
        if (CHOIRI_POOLS && round > 0)
            cr_assert_eq(alloc.calls - calls, 2 * EACH, "only those over the largest class");
        for (size_t i = 0; i < COUNT; i++) {
            for (size_t j = 0; j < EACH; j++) {
                for (size_t k = 0; k < sizes[i]; k++) cr_assert_eq(objs[i][j][k], (uint8_t)(i * EACH + j));
                choiri_obj_free(env, objs[i][j], sizes[i]);
            }
        }
        cr_assert_eq(choir_env_memory(env), alloc.bytes);
    }
    choiri_obj_free(env, NULL, 64);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(env, small_objects_come_many_at_a_time) {
    if (!CHOIRI_POOLS) return;
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    uint64_t calls = alloc.calls;
    void *objs[129];
    for (size_t i = 0; i < 128; i++) objs[i] = choiri_obj_alloc(env, 40);
    cr_assert_eq(alloc.calls - calls, 2);
    objs[128] = choiri_obj_alloc(env, 40);
    cr_assert_eq(alloc.calls - calls, 3);
    for (size_t i = 0; i < 129; i++) choiri_obj_free(env, objs[i], 40);
    cr_assert_eq(choiri_obj_alloc(env, 64), objs[128], "last freed, first used");
    choiri_obj_free(env, objs[128], 64);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(env, kept_blocks_are_bounded_and_yield_to_the_quota) {
    if (!CHOIRI_POOLS) return;
    test_alloc alloc = {0};
    choir_env_options o = good_options(&alloc);
    o.memory_quota = 6 * 1024 * 1024;
    choir_env *env;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
    for (int round = 0; round < 2; round++) {
        void *blocks[300];
        for (size_t i = 0; i < 300; i++) cr_assert(blocks[i] = choiri_obj_alloc(env, CHOIRI_BLOCK_SIZE));
        for (size_t i = 0; i < 300; i++) choiri_obj_free(env, blocks[i], CHOIRI_BLOCK_SIZE);
        cr_assert_eq(alloc.blocks, 1 + 256);
        void *large = choiri_alloc(env, 5 * 1024 * 1024);
        cr_assert_not_null(large, "kept blocks make room");
        cr_assert_eq(alloc.blocks, 2);
        choiri_free(env, large, 5 * 1024 * 1024);
    }
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(env, objects_when_memory_is_out) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    for (size_t size = 64; size <= 2 * CHOIRI_OBJ_MAX; size *= 2) {
        alloc.fail_at = alloc.calls + 1;
        cr_assert_null(choiri_obj_alloc(env, size));
        void *obj = choiri_obj_alloc(env, size);
        cr_assert_not_null(obj);
        choiri_obj_free(env, obj, size);
    }
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* Random objects of random sizes, with their contents checked when they are freed. */
Test(env, objects_churn) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    enum { LIVE = 500 };
    struct {
        uint8_t *ptr;
        size_t size;
        uint8_t fill;
    } live[LIVE] = {0};
    srand(3);
    for (int step = 0; step < 50000; step++) {
        size_t i = (size_t)rand() % LIVE;
        if (live[i].ptr) {
            cr_assert_eq(live[i].ptr[0], live[i].fill);
            cr_assert_eq(live[i].ptr[live[i].size - 1], live[i].fill);
            choiri_obj_free(env, live[i].ptr, live[i].size);
            live[i].ptr = NULL;
        } else {
            live[i].size = 1 + (size_t)rand() % ((size_t)1 << (rand() % 15));
            live[i].fill = (uint8_t)rand();
            live[i].ptr = choiri_obj_alloc(env, live[i].size);
            memset(live[i].ptr, live[i].fill, live[i].size);
        }
    }
    for (size_t i = 0; i < LIVE; i++)
        if (live[i].ptr) choiri_obj_free(env, live[i].ptr, live[i].size);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

static void free_services(choir_env *env, void *services) {
    choiri_free(env, services, 77);
}

Test(env, services_go_with_the_env) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    env->services = choiri_alloc(env, 77);
    env->services_free = free_services;
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(env, free_asserts_that_nothing_is_alive, .signal = SIGILL) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    env->objects = 1;
    choir_env_free(env);
}

Test(env, free_asserts_that_memory_came_back, .signal = SIGILL) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choiri_alloc(env, 1);
    choir_env_free(env);
}

Test(status, names_and_texts) {
    cr_assert_str_eq(choir_status_name(CHOIR_OK), "OK");
    cr_assert_str_eq(choir_status_name(CHOIR_ERR_BLOCKED), "ERR_BLOCKED");
    cr_assert_str_eq(choir_status_name(CHOIR_ERR_NEWER_PEER), "ERR_NEWER_PEER");
    cr_assert_str_eq(choir_status_name(1), "ERR_UNKNOWN");
    cr_assert_str_eq(choir_status_name(CHOIR_ERR_FATAL), "ERR_UNKNOWN");
    cr_assert_str_eq(choir_status_text(CHOIR_OK), "ok");
#define CHECK(name, value, text)                                                                             \
    cr_assert_str_eq(choir_status_name(value), #name);                                                       \
    cr_assert_str_eq(choir_status_text(value), text);                                                        \
    cr_assert_neq((text)[strlen(text) - 1], '.');
    CHOIR_STATUS_MAP(CHECK)
#undef CHECK
    cr_assert(choir_status_is_fatal(CHOIR_ERR_PROTOCOL));
    cr_assert_not(choir_status_is_fatal(CHOIR_ERR_RANDOM));
}

typedef struct log_seen {
    int lines;
    uint32_t level;
    char area[16], text[64];
} log_seen;

static void see_log(void *ctx, uint32_t level, const char *area, choir_str text) {
    log_seen *seen = ctx;
    seen->lines++;
    seen->level = level;
    strcpy(seen->area, area);
    memcpy(seen->text, text.data, text.len);
    seen->text[text.len] = '\0';
}

Test(log, levels) {
    test_alloc alloc = {0};
    log_seen seen = {0};
    choir_env_options o = good_options(&alloc);
    choir_env *env;
    choiri_text t;
    choiri_text_init(&t);
    choiri_text_add(&t, "hello");
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
    cr_assert_not(choiri_log_is_on(env, CHOIR_LOG_ERROR), "off by default");
    choiri_log(env, CHOIR_LOG_ERROR, "test", &t);
    choir_env_free(env);
    o.log = see_log;
    o.log_ctx = &seen;
    cr_assert_eq(choir_env_new(&o, &env), CHOIR_OK);
    choiri_log(env, CHOIR_LOG_INFO, "test", &t);
    cr_assert_eq(seen.lines, 0);
    choiri_log(env, CHOIR_LOG_WARNING, "test", &t);
    cr_assert_eq(seen.lines, 1);
    cr_assert_eq(seen.level, CHOIR_LOG_WARNING);
    cr_assert_str_eq(seen.area, "test");
    cr_assert_str_eq(seen.text, "hello");
    choir_env_free(env);
}

/* The test allocator itself: it must notice what it is there for. */
Test(test_allocator, wrong_size, .signal = SIGABRT) {
    test_alloc alloc = {0};
    choir_allocator a = test_allocator(&alloc);
    void *p = a.alloc(a.ctx, 10);
    a.free(a.ctx, p, 11);
}

Test(test_allocator, failing_calls) {
    test_alloc alloc = {.fail_at = 2};
    choir_allocator a = test_allocator(&alloc);
    void *p = a.alloc(a.ctx, 10);
    cr_assert_null(a.alloc(a.ctx, 10));
    p = a.realloc(a.ctx, p, 10, 20);
    cr_assert_not_null(p);
    cr_assert_eq(alloc.calls, 3);
    alloc.fail_at = 4;
    alloc.fail_after = true;
    cr_assert_null(a.realloc(a.ctx, p, 20, 30));
    cr_assert_null(a.alloc(a.ctx, 1));
    p = a.realloc(a.ctx, p, 20, 5);
    cr_assert_not_null(p, "shrinking never fails");
    cr_assert_eq(alloc.failed, 3);
    a.free(a.ctx, p, 5);
    cr_assert_eq(alloc.blocks, 0);
    cr_assert_eq(alloc.peak, 30);
    alloc = (test_alloc){.fail_at = 1};
    cr_assert_null(test_env(&alloc));
}
