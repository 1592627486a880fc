/* SPDX-License-Identifier: MIT */
/* Chunks whose memory counts against an env, and a few that are kept for reuse. */
#ifndef CHOIRI_CHUNK_H
#define CHOIRI_CHUNK_H

#include "choir/chunk.h"
#include "choir/env.h"

/* Chunks kept for reuse: so many of each of these sizes. They are for frames that straddle two reads, which
 * one link after the other has, so a few serve all; larger frames have a buffer of their own. */
#define CHOIRI_SPARE_CLASSES 2u
#define CHOIRI_SPARE_SMALL   4096u
#define CHOIRI_SPARE_LARGE   32768u
#define CHOIRI_SPARES        4u

typedef struct choiri_spares {
    choir_chunk *chunks[CHOIRI_SPARE_CLASSES][CHOIRI_SPARES];
    uint32_t counts[CHOIRI_SPARE_CLASSES];
} choiri_spares;

/* A chunk whose memory counts against the env until its last release, on whatever thread and however late:
 * also after choir_env_free (see chunk.c). To be called on the env's own thread. OK or ERR_NO_MEMORY. */
int choiri_chunk_alloc(choir_env *env, size_t len, choir_chunk **ret_chunk);
/* The same with at least `len` bytes, from the spares if there is one. */
int choiri_chunk_take(choir_env *env, size_t len, choir_chunk **ret_chunk);
/* Releases a chunk of choiri_chunk_take, on the env's thread: becomes a spare if nobody else holds it. NULL
 * is fine. */
void choiri_chunk_give(choir_env *env, choir_chunk *chunk);
void choiri_chunk_drop_spares(choir_env *env);

#endif
