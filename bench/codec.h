/* SPDX-License-Identifier: MIT */
/* What the codec benchmarks share: the value, from a file of JSON, and the clock. */
#ifndef CHOIR_BENCH_CODEC_H
#define CHOIR_BENCH_CODEC_H

#include "base/env.h"
#include "choir/value.h"
#include "harness.h"
#include "testbed.h"
#include "value/value.h"

#define CODEC_BATCH_NS UINT64_C(2000000) /* so short that some batches are left alone by whatever else runs */
#define CODEC_BATCHES  100000u

static inline void *codec_alloc(void *ctx, size_t size) {
    (void)ctx;
    return malloc(size);
}
static inline void *codec_realloc(void *ctx, void *ptr, size_t old_size, size_t size) {
    (void)ctx;
    (void)old_size;
    return realloc(ptr, size);
}
static inline void codec_free(void *ctx, void *ptr, size_t size) {
    (void)ctx;
    (void)size;
    free(ptr);
}
static inline int codec_random(void *ctx, void *out, size_t len) {
    (void)ctx;
    memset(out, 7, len);
    return 0;
}

static inline void codec_check(int status, const char *what) {
    if (status == CHOIR_OK) return;
    fprintf(stderr, "%s: %s\n", what, choir_status_text(status));
    exit(1);
}

static inline choir_env *codec_env(void) {
    choir_env *env;
    choir_env_options options;
    choir_env_options_init(&options);
    options.allocator = (choir_allocator){codec_alloc, codec_realloc, codec_free, NULL};
    options.random = codec_random;
    codec_check(choir_env_new(&options, &env), "env");
    return env;
}

static inline choir_str codec_read_file(const char *path) {
    static char text[1 << 20];
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    size_t len = fread(text, 1, sizeof text, f);
    fclose(f);
    return (choir_str){text, len};
}

static inline void codec_read_value(const choir_unit *unit, uint32_t type, choir_str json, choir_arena *arena,
                                    void *ret_value) {
    choir_str error = {"", 0};
    int status = choir_value_from_json(unit, type, json, arena, ret_value, &error);
    if (status != CHOIR_OK) fprintf(stderr, "%.*s\n", (int)error.len, error.data);
    codec_check(status, "JSON");
}

static inline int codec_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Median nanoseconds of one run of `work`. */
static inline double codec_measure(double seconds, void (*work)(void *ctx), void *ctx) {
    static double samples[CODEC_BATCHES];
    size_t len = 0;
    uint64_t per_batch = 0, start = bench_now();
    for (; bench_now() - start < CODEC_BATCH_NS; per_batch++) work(ctx);
    start = bench_now();
    while (len < CODEC_BATCHES && (double)(bench_now() - start) < seconds * 1e9) {
        uint64_t batch = bench_now();
        for (uint64_t i = 0; i < per_batch; i++) work(ctx);
        samples[len++] = (double)(bench_now() - batch) / (double)per_batch;
    }
    qsort(samples, len, sizeof samples[0], codec_compare);
    return samples[len / 2];
}

#endif
