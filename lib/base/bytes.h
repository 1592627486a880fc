/* SPDX-License-Identifier: MIT */
/* Little-endian numbers at any address. Compilers make one load or store of each. */
#ifndef CHOIRI_BYTES_H
#define CHOIRI_BYTES_H

#include <stdint.h>

static inline uint32_t choiri_load_le32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t choiri_load_le64(const uint8_t *p) {
    return (uint64_t)choiri_load_le32(p + 4) << 32 | choiri_load_le32(p);
}
static inline void choiri_store_le32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}
static inline void choiri_store_le64(uint8_t *p, uint64_t v) {
    choiri_store_le32(p, (uint32_t)v);
    choiri_store_le32(p + 4, (uint32_t)(v >> 32));
}

#endif
