/* SPDX-License-Identifier: MIT */
/* What every benchmark client shares: command line, warm-up and window, latency samples, one line of JSON. */
#ifndef CHOIR_BENCH_HARNESS_H
#define CHOIR_BENCH_HARNESS_H

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_WARM_UP 0.3 /* seconds before the window */
#define BENCH_SAMPLES (1u << 20)
/* With many calls in flight the clock is read for one call in so many: two reads cost more than a call. */
#define BENCH_SAMPLE_EVERY 16u

typedef struct bench {
    const char *peer;
    long in_flight;
    double seconds;
    uint64_t calls, next; /* done in this phase; when to look at the clock again */
    uint64_t phase_end, start, stop;
    int phase;         /* 0 warm-up, 1 window, 2 over */
    uint32_t *samples; /* nanoseconds */
    size_t samples_len;
} bench;

static inline uint64_t bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static inline void bench_pin(int core) {
    cpu_set_t set;
    if (core < 0) return;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static inline void bench_start(bench *b, const char *peer, long in_flight, double seconds) {
    memset(b, 0, sizeof *b);
    b->peer = peer;
    b->in_flight = in_flight;
    b->seconds = seconds;
    b->samples = calloc(BENCH_SAMPLES, sizeof *b->samples); /* touched now, not in the window */
    memset(b->samples, 1, BENCH_SAMPLES * sizeof *b->samples);
    b->phase_end = bench_now() + (uint64_t)(BENCH_WARM_UP * 1e9);
    b->next = 1;
}

/* Counts one finished call; false when the window is over. */
static inline int bench_count(bench *b) {
    if (++b->calls < b->next) return 1;
    uint64_t now = bench_now();
    b->next = b->calls + (b->in_flight > 1 ? 64 : 1);
    if (now < b->phase_end) return 1;
    if (b->phase == 0) {
        b->phase = 1;
        b->start = now;
        b->phase_end = now + (uint64_t)(b->seconds * 1e9);
        b->calls = 0;
        b->next = 1;
        b->samples_len = 0;
        return 1;
    }
    b->phase = 2;
    b->stop = now;
    return 0;
}

static inline void bench_sample(bench *b, uint64_t nanoseconds) {
    if (b->phase == 1 && b->samples_len < BENCH_SAMPLES)
        b->samples[b->samples_len++] = nanoseconds > UINT32_MAX ? UINT32_MAX : (uint32_t)nanoseconds;
}

static inline int bench_compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* `sent` and `received`: bytes per call on the link, 0 when not known; `allocations`: of the process in the
 * window, or -1. */
static inline void bench_report(bench *b, double sent, double received, double allocations) {
    double seconds = (double)(b->stop - b->start) * 1e-9;
    double p50 = 0, p99 = 0;
    if (b->samples_len > 0) {
        qsort(b->samples, b->samples_len, sizeof *b->samples, bench_compare);
        p50 = b->samples[b->samples_len / 2] / 1e3;
        p99 = b->samples[(size_t)((double)b->samples_len * 0.99)] / 1e3;
    }
    printf("{\"peer\":\"%s\",\"inflight\":%ld,\"calls\":%llu,\"seconds\":%.4f,\"rate\":%.1f,"
           "\"p50_us\":%.2f,\"p99_us\":%.2f,\"sent\":%.1f,\"received\":%.1f,\"allocations\":%.4f}\n",
           b->peer, b->in_flight, (unsigned long long)b->calls, seconds, (double)b->calls / seconds, p50, p99,
           sent, received, allocations);
    fflush(stdout);
}

#endif
