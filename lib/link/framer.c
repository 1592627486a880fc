/* SPDX-License-Identifier: MIT */
/* Length framer of stream links. rule: link.frame
 *
 * State: head_len bytes of the length are in head; once there are 4, need is valid and `have` bytes of the
 * payload are in partial. partial is NULL until a payload's first byte has come without its last. A feed
 * either changes all of this or, when it fails, nothing (except that a length over the limit stays in
 * head, to be described).
 *
 * Rejected: one growing buffer for the link with payloads as slices of it. A payload that is kept would
 * pin or copy it, and one large frame would leave every idle link with a large buffer. */
#include "link/framer.h"

#include "base/bytes.h"

#include <string.h>

/* First buffer of a payload that comes in parts, if it is that long at all. */
#define PARTIAL_START 32768u
/* A full buffer is replaced by one of so many times the bytes received: 4 with the old one still there. */
#define PARTIAL_FACTOR 3u

void choiri_framer_init(choiri_framer *f, choir_env *env, uint32_t limit) {
    *f = (choiri_framer){.env = env, .limit = limit};
}

void choiri_framer_deinit(choiri_framer *f) {
    choiri_chunk_give(f->env, f->partial);
    *f = (choiri_framer){.env = f->env, .limit = f->limit};
}

/* Ready for the next frame. */
static inline void restart(choiri_framer *f) {
    if (f->partial) choiri_chunk_give(f->env, f->partial);
    f->partial = NULL;
    f->delivered = false;
    f->head_len = 0;
    f->need = f->have = 0;
}

void choiri_framer_drop(choiri_framer *f) {
    if (f->delivered) restart(f);
}

/* The length bytes seen so far with those of the input behind them, not yet kept. */
typedef struct joined_head {
    uint8_t bytes[CHOIRI_FRAME_HEAD];
    uint8_t len;
    uint8_t used; /* of the input */
} joined_head;

static joined_head join_head(const choiri_framer *f, choir_bytes input) {
    joined_head h = {.len = f->head_len};
    if (h.len == 0 && input.len >= CHOIRI_FRAME_HEAD) { /* the usual case, without a loop */
        memcpy(h.bytes, input.data, CHOIRI_FRAME_HEAD);
        h.len = h.used = CHOIRI_FRAME_HEAD;
        return h;
    }
    memcpy(h.bytes, f->head, sizeof h.bytes);
    while (h.len < CHOIRI_FRAME_HEAD && h.used < input.len) h.bytes[h.len++] = input.data[h.used++];
    return h;
}

static void keep_head(choiri_framer *f, const joined_head *h) {
    memcpy(f->head, h->bytes, sizeof f->head);
    f->head_len = h->len;
}

/* Makes room for `len` payload bytes altogether; what is there moves along. False when memory is out. */
static bool make_room(choiri_framer *f, uint32_t need, uint32_t len) {
    if (f->partial && choir_chunk_len(f->partial) >= len) return true;
    uint64_t room = (uint64_t)len * PARTIAL_FACTOR;
    if (room < PARTIAL_START) room = PARTIAL_START;
    if (room > need) room = need;
    choir_chunk *chunk;
    if (choiri_chunk_take(f->env, (size_t)room, &chunk) != CHOIR_OK) return false;
    if (f->have > 0) memcpy(choir_chunk_data(chunk), choir_chunk_data(f->partial), f->have);
    choiri_chunk_give(f->env, f->partial);
    f->partial = chunk;
    return true;
}

/* Takes payload bytes into partial: the way of payloads that do not lie whole in one input. */
static int collect(choiri_framer *f, uint32_t need, choir_bytes input, size_t *ret_taken) {
    uint32_t n = need - f->have;
    if (n > input.len) n = (uint32_t)input.len;
    if (n > 0) {
        if (!make_room(f, need, f->have + n)) return CHOIR_ERR_NO_MEMORY;
        memcpy(choir_chunk_data(f->partial) + f->have, input.data, n);
        f->have += n;
    }
    *ret_taken = n;
    return CHOIR_OK;
}

int choiri_framer_feed(choiri_framer *f, choir_bytes input, choir_chunk *chunk, size_t *ret_used,
                       bool *ret_done, choiri_frame *ret_frame) {
    if (f->delivered) restart(f);
    joined_head h = join_head(f, input);
    if (h.len < CHOIRI_FRAME_HEAD) {
        keep_head(f, &h);
        *ret_used = h.used;
        *ret_done = false;
        return CHOIR_OK;
    }
    uint32_t need = choiri_load_le32(h.bytes);
    if (need > f->limit) {
        keep_head(f, &h);
        return CHOIR_ERR_FRAME_TOO_LARGE;
    }
    choir_bytes rest = input;
    if (h.used > 0) rest = (choir_bytes){input.data + h.used, input.len - h.used};
    if (f->have == 0 && rest.len >= need) { /* whole in the input: handed out where it lies */
        restart(f);
        *ret_used = h.used + (size_t)need;
        *ret_done = true;
        *ret_frame = (choiri_frame){{rest.data, need}, chunk};
        return CHOIR_OK;
    }
    size_t taken;
    int status = collect(f, need, rest, &taken);
    if (status != CHOIR_OK) return status;
    keep_head(f, &h);
    f->need = need;
    f->delivered = f->have == need;
    *ret_used = h.used + taken;
    *ret_done = f->delivered;
    if (f->delivered) *ret_frame = (choiri_frame){{choir_chunk_data(f->partial), need}, f->partial};
    return CHOIR_OK;
}
