/* SPDX-License-Identifier: MIT */
/* SipHash-1-3 of one 64-bit key (8 bytes, little-endian): for tables whose keys a peer chooses. */
#ifndef CHOIRI_SIPHASH_H
#define CHOIRI_SIPHASH_H

#include <stdint.h>

uint64_t choiri_siphash(const uint64_t seed[2], uint64_t key);

#endif
