/* SPDX-License-Identifier: MIT */
/* Counting and failing allocator for tests: fails the n-th allocation on request and knows what is still
 * held. Every block has guards around it, which are checked when it is freed; freed blocks are overwritten,
 * and a realloc always moves. A wrong size at free, a damaged guard or a pointer that is not ours ends the
 * process with a text. Not thread-safe. */
#ifndef CHOIRI_TESTING_ALLOC_H
#define CHOIRI_TESTING_ALLOC_H

#include "choir/env.h"

typedef struct test_alloc {
    uint64_t calls;   /* alloc and growing realloc calls so far */
    uint64_t fail_at; /* this call (1-based) fails; 0 is never */
    bool fail_after;  /* all later ones fail too */
    uint64_t failed;  /* how many were failed */
    uint64_t blocks;  /* blocks held now */
    uint64_t bytes;   /* bytes held now */
    uint64_t peak;    /* most bytes held */
    uint64_t random;  /* state of the random source; set it before test_env to choose a seed */
} test_alloc;

choir_allocator test_allocator(test_alloc *state);
/* An env on that allocator with a seeded (reproducible) random source; asserts success unless the allocator
 * was told to fail, then returns NULL. */
choir_env *test_env(test_alloc *state);

#endif
