/* SPDX-License-Identifier: MIT */
/* choir/chunk.h: reference-counted payload bytes.
 *
 * Role:    lets received and sent payloads be kept without copying them.
 * Owner:   shared: whoever retains must release. The last release frees (or calls the host's function).
 * Life:    the bytes do not move or change while anybody holds a reference.
 * Threads: the count is atomic; retain and release may run on any thread. This is the only object of
 *          the library that may cross threads. The allocator behind a chunk is called from the thread
 *          that releases last.
 * Errors:  ERR_NO_MEMORY, ERR_INVALID.
 */
#ifndef CHOIR_CHUNK_H
#define CHOIR_CHUNK_H

#include "choir/env.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct choir_chunk choir_chunk;

/* Makes a chunk of `len` uninitialised bytes from a plain allocator (copied), with one reference held
 * by the caller. The allocator must be thread-safe if the chunk is to cross threads.
 * OK · ERR_INVALID (NULL) · ERR_NO_MEMORY. Returns owned (release with choir_chunk_release). */
CHOIR_API int choir_chunk_new(const choir_allocator *allocator, size_t len, choir_chunk **ret_chunk);

/* Makes a chunk around memory of the host: `data` is kept until `free_fn(ctx, data, len)` is called by
 * the last release, which comes also when sending failed. Without `free_fn` the bytes must outlive
 * every reference. OK · ERR_INVALID · ERR_NO_MEMORY (free_fn is then not called). */
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
