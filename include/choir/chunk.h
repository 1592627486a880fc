/* SPDX-License-Identifier: MIT */
/* choir/chunk.h: reference-counted payload bytes.
 *
 * Role:    keeps received and sent payloads without copying them.
 * Owner:   shared. Whoever retains must release. The last release frees the bytes (or calls the host's
 *          function).
 * Life:    the bytes neither move nor change while anybody holds a reference.
 * Threads: the count is atomic, so retain and release may run on any thread. Chunks and posters
 *          (net.h) are the only objects that may be used on several threads. A chunk's allocator is called on
 *          the thread that releases last.
 * Errors:  ERR_NO_MEMORY, ERR_INVALID.
 */
#ifndef CHOIR_CHUNK_H
#define CHOIR_CHUNK_H

#include "choir/env.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct choir_chunk choir_chunk;

/* Makes a chunk of `len` uninitialised bytes from an allocator (copied). The caller holds the one reference.
 * The allocator must be thread-safe if the chunk is to cross threads.
 * OK · ERR_INVALID (NULL) · ERR_NO_MEMORY. Returns owned (release with choir_chunk_release). */
CHOIR_API int choir_chunk_new(const choir_allocator *allocator, size_t len, choir_chunk **ret_chunk);

/* The same from the memory of an env: it counts against the env's quota until the last release, on whatever
 * thread and also after choir_env_free. To be called on the env's thread. What a peer can make a transport
 * hold belongs here. OK · ERR_INVALID · ERR_NO_MEMORY (or over the quota). Returns owned (release with
 * choir_chunk_release). */
CHOIR_API int choir_env_chunk_new(choir_env *env, size_t len, choir_chunk **ret_chunk);

/* Makes a chunk around the host's memory: `data` is kept until the last release, which calls
 * `free_fn(ctx, data, len)`. That happens when sending fails, too. Without `free_fn` the bytes must outlive
 * every reference. OK · ERR_INVALID · ERR_NO_MEMORY (free_fn is not called then). */
CHOIR_API int choir_chunk_wrap(const choir_allocator *allocator, void *data, size_t len,
                               void (*free_fn)(void *ctx, void *data, size_t len), void *ctx,
                               choir_chunk **ret_chunk);

/* Adds a reference (retains); returns its argument. */
CHOIR_API choir_chunk *choir_chunk_retain(choir_chunk *chunk);
/* Drops a reference (releases). NULL is fine. */
CHOIR_API void choir_chunk_release(choir_chunk *chunk);

/* The bytes. Returns borrowed (valid while the caller holds a reference). */
CHOIR_API uint8_t *choir_chunk_data(choir_chunk *chunk);
CHOIR_API size_t choir_chunk_len(const choir_chunk *chunk);
/* True when the caller's reference is the only one: the bytes may then be written. */
CHOIR_API bool choir_chunk_is_unique(const choir_chunk *chunk);

#ifdef __cplusplus
}
#endif
#endif
