/* SPDX-License-Identifier: MIT */
#ifndef CHOIRI_TESTING_VARINT_H
#define CHOIRI_TESTING_VARINT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that a number takes as a varint. */
static inline size_t test_varint_size(uint64_t v) {
    return 1u + (size_t)(63 - __builtin_clzll(v | 1)) / 7u;
}

#endif
