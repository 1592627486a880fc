/* SPDX-License-Identifier: MIT */
/* BLAKE3 from its specification, in portable C: one compression at a time, no vectors. What is hashed here
 * are method names and type descriptions, at most some kilobytes.
 *
 * The input is a row of chunks of 1024 bytes, the leaves of a binary tree. The state holds the chunk being
 * filled and, on the stack, the chaining values of the finished subtrees to its left: one for each bit that
 * is set in the number of finished chunks, largest subtree first. A chunk or block is compressed only when a
 * byte after it arrives, because the very last one is compressed with other flags.
 */
#include "base/blake3.h"

#include "base/bytes.h"

#include "base/assert.h"

#include <string.h>

enum {
    FLAG_CHUNK_START = 1,
    FLAG_CHUNK_END = 2,
    FLAG_PARENT = 4,
    FLAG_ROOT = 8,
    FLAG_KEYED = 16,
};

static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* Order of the message words in each of the seven rounds: the permutation applied again and again. */
static const uint8_t schedule[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

/* What one compression needs: kept for the last one, which is done when the output is asked for. */
typedef struct node {
    const uint32_t *cv;
    uint32_t words[16];
    uint64_t counter;
    uint32_t block_len;
    uint32_t flags;
} node;

static void load_words(uint32_t *words, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) words[i] = choiri_load_le32(bytes + 4 * i);
}

static inline uint32_t rotr(uint32_t v, unsigned n) {
    return v >> n | v << (32 - n);
}

static inline void mix(uint32_t *v, unsigned a, unsigned b, unsigned c, unsigned d, uint32_t x, uint32_t y) {
    v[a] += v[b] + x;
    v[d] = rotr(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotr(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = rotr(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = rotr(v[b] ^ v[c], 7);
}

/* The 16 words of output: the first 8 are the next chaining value. */
static void compress(const node *n, uint32_t out[16]) {
    const uint32_t *m = n->words;
    uint32_t v[16];
    memcpy(v, n->cv, 32);
    memcpy(v + 8, iv, 16);
    v[12] = (uint32_t)n->counter;
    v[13] = (uint32_t)(n->counter >> 32);
    v[14] = n->block_len;
    v[15] = n->flags;
    for (size_t round = 0; round < 7; round++) {
        const uint8_t *s = schedule[round];
        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (size_t i = 0; i < 8; i++) {
        out[i] = v[i] ^ v[i + 8];
        out[i + 8] = v[i + 8] ^ n->cv[i];
    }
}

static void chaining_value(const node *n, uint32_t out[8]) {
    uint32_t words[16];
    compress(n, words);
    memcpy(out, words, 32);
}

/* The block being filled, as it is now. */
static node chunk_node(const choiri_blake3 *h) {
    node n = {.cv = h->cv, .counter = h->chunk, .block_len = h->block_len, .flags = h->flags};
    if (h->blocks == 0) n.flags |= FLAG_CHUNK_START;
    load_words(n.words, h->block, 16);
    return n;
}

static node parent_node(const choiri_blake3 *h, const uint32_t left[8], const uint32_t right[8]) {
    node n = {.cv = h->key, .block_len = CHOIRI_BLAKE3_BLOCK, .flags = h->flags | (uint32_t)FLAG_PARENT};
    memcpy(n.words, left, 32);
    memcpy(n.words + 8, right, 32);
    return n;
}

static void start_chunk(choiri_blake3 *h) {
    memcpy(h->cv, h->key, sizeof h->cv);
    memset(h->block, 0, sizeof h->block);
    h->block_len = h->blocks = 0;
}

static void init(choiri_blake3 *h, const uint32_t key[8], uint8_t flags) {
    memcpy(h->key, key, sizeof h->key);
    h->chunk = 0;
    h->flags = flags;
    h->depth = 0;
    start_chunk(h);
}

void choiri_blake3_init(choiri_blake3 *h) {
    init(h, iv, 0);
}

void choiri_blake3_init_keyed(choiri_blake3 *h, const uint8_t key[32]) {
    uint32_t words[8];
    load_words(words, key, 8);
    init(h, words, FLAG_KEYED);
}

/* The current chunk is full and not the last: its value goes on the stack, together with every subtree that
 * it completes. There are as many of those as the new number of chunks has zero bits at its end. */
static void finish_chunk(choiri_blake3 *h) {
    uint32_t cv[8];
    node n = chunk_node(h);
    n.flags |= FLAG_CHUNK_END;
    chaining_value(&n, cv);
    h->chunk++;
    for (uint64_t chunks = h->chunk; (chunks & 1) == 0; chunks >>= 1) {
        n = parent_node(h, h->stack[--h->depth], cv);
        chaining_value(&n, cv);
    }
    CHOIRI_ASSERT(h->depth < CHOIRI_BLAKE3_DEPTH);
    memcpy(h->stack[h->depth++], cv, sizeof cv);
    start_chunk(h);
}

/* The current block is full and not the last of its chunk. */
static void finish_block(choiri_blake3 *h) {
    node n = chunk_node(h);
    chaining_value(&n, h->cv);
    memset(h->block, 0, sizeof h->block);
    h->block_len = 0;
    h->blocks++;
}

void choiri_blake3_update(choiri_blake3 *h, const void *data, size_t len) {
    const uint8_t *bytes = data;
    while (len > 0) {
        if (h->block_len == CHOIRI_BLAKE3_BLOCK) {
            if (h->blocks == CHOIRI_BLAKE3_CHUNK / CHOIRI_BLAKE3_BLOCK - 1)
                finish_chunk(h);
            else
                finish_block(h);
        }
        size_t take = CHOIRI_BLAKE3_BLOCK - h->block_len;
        if (take > len) take = len;
        memcpy(h->block + h->block_len, bytes, take);
        h->block_len = (uint8_t)(h->block_len + take);
        bytes += take;
        len -= take;
    }
}

void choiri_blake3_final(const choiri_blake3 *h, uint8_t *out, size_t len) {
    uint32_t cv[8];
    node n = chunk_node(h);
    n.flags |= FLAG_CHUNK_END;
    for (size_t i = h->depth; i-- > 0;) {
        chaining_value(&n, cv);
        n = parent_node(h, h->stack[i], cv);
    }
    n.flags |= FLAG_ROOT;
    for (n.counter = 0; len > 0; n.counter++) {
        uint32_t words[16];
        compress(&n, words);
        size_t take = len < sizeof words ? len : sizeof words;
        for (size_t i = 0; i < take; i++) out[i] = (uint8_t)(words[i / 4] >> (i % 4 * 8));
        out += take;
        len -= take;
    }
}

uint64_t choiri_blake3_final_u64(const choiri_blake3 *h) {
    uint8_t bytes[8];
    choiri_blake3_final(h, bytes, sizeof bytes);
    return choiri_load_le64(bytes);
}
