/* SPDX-License-Identifier: MIT */
/* choir/env.h: what the host gives the library.
 *
 * Role:    one environment per thread: an allocator with a quota, randomness, a log sink, and the pools that
 *          keep the steady state free of allocations. Everything else is created from one.
 * Owner:   the host. It frees the environment after everything that was created from it.
 * Life:    choir_env_free asserts that nothing created from it is alive.
 * Threads: one thread at a time. Two environments share nothing but payload chunks.
 * Errors:  ERR_NO_MEMORY, ERR_INVALID, ERR_RANDOM.
 */
#ifndef CHOIR_ENV_H
#define CHOIR_ENV_H

#include "choir/base.h"
#include "choir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct choir_env choir_env;

/* Where memory comes from. Memory is aligned to 16 bytes; NULL means that there is none. `size` in free and
 * `old_size` in realloc are the sizes that were asked for; a realloc that fails leaves the old block alone.
 * `ctx` must live until the env and all chunks made from it are gone. */
typedef struct choir_allocator {
    void *(*alloc)(void *ctx, size_t size);
    void *(*realloc)(void *ctx, void *ptr, size_t old_size, size_t size);
    void (*free)(void *ctx, void *ptr, size_t size);
    void *ctx;
} choir_allocator;

#define CHOIR_LOG_ERROR   0u
#define CHOIR_LOG_WARNING 1u
#define CHOIR_LOG_INFO    2u
#define CHOIR_LOG_DEBUG   3u

/* Where log lines go. `text` is borrowed for this call and has no newline. Must not call into the library. */
typedef void choir_log_fn(void *ctx, uint32_t level, const char *area, choir_str text);

/* Time of day in nanoseconds since 1970-01-01 00:00 UTC. */
typedef uint64_t choir_wall_fn(void *ctx);

/* Fills `out` with `len` unpredictable bytes. Anything but 0 means failure. */
typedef int choir_random_fn(void *ctx, void *out, size_t len);

typedef struct choir_env_options {
    size_t size; /* sizeof this struct, set by choir_env_options_init */
    /* allocator: copied. Required, because the core has no memory of its own. */
    choir_allocator allocator;
    /* random: required. Used for handle generations and table keys. */
    choir_random_fn *random;
    void *random_ctx;
    /* log: NULL, the default, turns logging off. */
    choir_log_fn *log;
    void *log_ctx;
    /* log_level: the most verbose level that reaches `log`. CHOIR_LOG_WARNING by default. */
    uint32_t log_level;
    uint32_t reserved; /* must be 0 */
    /* memory_quota: bytes that everything under this env may hold at once. 0, the default, is no limit,
     * because each object has limits of its own. A host that serves strangers sets this to what it can
     * spare. */
    uint64_t memory_quota;
    /* wall: time of day, for layers that store times; NULL (the default): there is none. The core itself
     * never asks. */
    choir_wall_fn *wall;
    void *wall_ctx;
} choir_env_options;

/* Fills in the defaults and writes exactly `size` bytes. Options structs only grow at the end, so the struct
 * of a program that was compiled with an older header is smaller than the library's: an init function must
 * not write more than the program has. Members of a newer header, which the library does not know, become
 * zero; setting one is an error (ERR_INVALID). For the same reason options structs refer to each other by
 * pointer. */
CHOIR_API void choir_env_options_init_sized(choir_env_options *options, size_t size);
static inline void choir_env_options_init(choir_env_options *options) {
    choir_env_options_init_sized(options, sizeof *options);
}

/* Creates an environment. `options` is borrowed; the structs in it are copied.
 * OK · ERR_INVALID (no allocator or random, unknown option bytes, reserved not 0) · ERR_NO_MEMORY ·
 * ERR_RANDOM. On failure *ret_env is untouched. Returns owned (free with choir_env_free). */
CHOIR_API int choir_env_new(const choir_env_options *options, choir_env **ret_env);

/* Frees the environment and its pools. NULL is fine. */
CHOIR_API void choir_env_free(choir_env *env);

/* Time of day from the host's clock; 0 when it gave none. */
CHOIR_API uint64_t choir_env_wall(const choir_env *env);

/* Bytes held by everything under this environment now, and the number of allocator calls so far. */
CHOIR_API uint64_t choir_env_memory(const choir_env *env);
CHOIR_API uint64_t choir_env_allocations(const choir_env *env);

#ifdef __cplusplus
}
#endif
#endif
