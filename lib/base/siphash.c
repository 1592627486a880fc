/* SPDX-License-Identifier: MIT */
/* SipHash-1-3 (Aumasson and Bernstein) for the one message length that is needed: one round for the key, one
 * for the final block, which holds the length 8 in its top byte, and three to finish. One round instead of
 * two is enough for a table: only collisions matter, and the hash is never shown to anybody. */
#include "base/siphash.h"

static inline uint64_t rotl(uint64_t v, unsigned n) {
    return v << n | v >> (64 - n);
}

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

uint64_t choiri_siphash(const uint64_t seed[2], uint64_t key) {
    const uint64_t last = UINT64_C(8) << 56;
    uint64_t v[4] = {
        seed[0] ^ UINT64_C(0x736f6d6570736575),
        seed[1] ^ UINT64_C(0x646f72616e646f6d),
        seed[0] ^ UINT64_C(0x6c7967656e657261),
        seed[1] ^ UINT64_C(0x7465646279746573),
    };
    v[3] ^= key;
    sip_round(v);
    v[0] ^= key;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
