/* SPDX-License-Identifier: MIT */
/* choir/env.h: what the host gives the library.
 *
 * Role:    one environment per thread: allocator with a quota, randomness, log sink, the pools that
 *          make the steady state free of allocations. Everything else is created from one.
 * Owner:   the host frees it, after everything that was created from it.
 * Life:    choir_env_free asserts that nothing created from it is alive.
 * Threads: one thread at a time; two environments share nothing but payload chunks.
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

/* Memory source. `size` at free and `old_size` at realloc are what was asked for. Memory is aligned to 16
 * bytes; NULL means that there is none, and a realloc that fails leaves the old block. `ctx` must live until
 * the env and all chunks made by it are gone. */
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

/* Log sink. `text` is borrowed for this call and has no newline. Must not call into the library. */
typedef void choir_log_fn(void *ctx, uint32_t level, const char *area, choir_str text);

/* Fills `out` with `len` unpredictable bytes; anything but 0 means failure. */
typedef int choir_random_fn(void *ctx, void *out, size_t len);

typedef struct choir_env_options {
    size_t size; /* sizeof this struct, set by choir_env_options_init */
    /* allocator: copied. Required: the core has no memory source of its own. */
    choir_allocator allocator;
    /* random: required; used for handle generations and table keys. */
    choir_random_fn *random;
    void *random_ctx;
    /* log: NULL (the default) is off. */
    choir_log_fn *log;
    void *log_ctx;
    /* log_level: the most talkative level that reaches `log`; CHOIR_LOG_WARNING by default. */
    uint32_t log_level;
    uint32_t reserved; /* must be 0 */
    /* memory_quota: bytes that everything under this env may hold at once; 0 is no limit. Default 0:
     * each object has limits of its own; a host that serves strangers sets this to what it can spare. */
    uint64_t memory_quota;
} choir_env_options;

/* Fills in the defaults. As with all options structs the program says how large its struct is: they grow at
 * the end, so that of a program which was compiled with an older header is smaller than the library's, and an
 * init function that filled in what the library knows would write behind it. `size` bytes are written; what
 * the library does not know, members of a newer header, becomes zero and is an error (ERR_INVALID) where it
 * is set all the same. For the same reason options structs hold each other by pointer. */
CHOIR_API void choir_env_options_init_sized(choir_env_options *options, size_t size);
static inline void choir_env_options_init(choir_env_options *options) {
    choir_env_options_init_sized(options, sizeof *options);
}

/* Creates an environment. `options` is borrowed, the structs in it are copied.
 * OK · ERR_INVALID (no allocator or random, unknown option bytes, reserved not 0) · ERR_NO_MEMORY ·
 * ERR_RANDOM. On failure *ret_env is untouched. Returns owned (free with choir_env_free). */
CHOIR_API int choir_env_new(const choir_env_options *options, choir_env **ret_env);

/* Frees the environment and its pools. NULL is fine. */
CHOIR_API void choir_env_free(choir_env *env);

/* Bytes held by everything under this environment now, and the number of allocator calls so far. */
CHOIR_API uint64_t choir_env_memory(const choir_env *env);
CHOIR_API uint64_t choir_env_allocations(const choir_env *env);

#ifdef __cplusplus
}
#endif
#endif
