/* SPDX-License-Identifier: MIT */
/* BLAKE3, portable and streaming: method ids and type ids are the first 8 bytes of a hash, little-endian. */
#ifndef CHOIRI_BLAKE3_H
#define CHOIRI_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#define CHOIRI_BLAKE3_LEN   32u
#define CHOIRI_BLAKE3_BLOCK 64u
#define CHOIRI_BLAKE3_CHUNK 1024u
#define CHOIRI_BLAKE3_DEPTH 54u

typedef struct choiri_blake3 {
    uint32_t key[8];
    uint32_t cv[8]; /* chaining value of the current chunk */
    uint64_t chunk; /* its number */
    uint8_t block[CHOIRI_BLAKE3_BLOCK];
    uint8_t block_len, blocks; /* bytes in block; blocks of this chunk done */
    uint8_t flags;             /* of every compression: 0 or keyed */
    uint8_t depth;             /* chaining values on the stack */
    uint32_t stack[CHOIRI_BLAKE3_DEPTH][8];
} choiri_blake3;

void choiri_blake3_init(choiri_blake3 *h);
void choiri_blake3_init_keyed(choiri_blake3 *h, const uint8_t key[32]);
void choiri_blake3_update(choiri_blake3 *h, const void *data, size_t len);
/* Any length of output; the state is not changed, more may be added afterwards. */
void choiri_blake3_final(const choiri_blake3 *h, uint8_t *out, size_t len);
/* The first 8 bytes as a little-endian number. rule: schema.type-id, rpc.method-id */
uint64_t choiri_blake3_final_u64(const choiri_blake3 *h);

#endif
