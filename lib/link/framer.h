/* SPDX-License-Identifier: MIT */
/* Length framer of stream links: u32 little-endian length, then the payload. Pure: bytes in, payload
 * slices out. rule: link.frame. The limit is checked as soon as the fourth length byte is there. A payload
 * that lies whole in the input is handed out where it lies; only one that does not gets a buffer of its
 * own, which grows with the bytes that have really come (at most 4 times them and 64 KiB) up to the exact
 * size. */
#ifndef CHOIRI_FRAMER_H
#define CHOIRI_FRAMER_H

#include "base/bytes.h"
#include "base/env.h"

#define CHOIRI_FRAME_HEAD 4u

typedef struct choiri_framer {
    choir_env *env;
    uint32_t limit; /* largest payload accepted */
    uint8_t head[CHOIRI_FRAME_HEAD];
    uint8_t head_len;     /* bytes of the length seen so far */
    bool delivered;       /* partial holds the payload handed out last; dropped at the next feed */
    uint32_t need;        /* payload length, valid when head_len is 4 */
    uint32_t have;        /* payload bytes in partial */
    choir_chunk *partial; /* NULL while nothing is buffered */
} choiri_framer;

typedef struct choiri_frame {
    choir_bytes payload; /* borrowed until the next feed or deinit, unless chunk is retained */
    choir_chunk *chunk;  /* where it lies: the caller's or the framer's own; NULL if the caller gave none */
} choiri_frame;

void choiri_framer_init(choiri_framer *f, choir_env *env, uint32_t limit);
void choiri_framer_deinit(choiri_framer *f);
/* Takes bytes up to the end of at most one payload. `chunk` is where bytes lie, NULL if nowhere. OK with
 * *ret_done saying whether *ret_frame is filled · ERR_FRAME_TOO_LARGE (head holds the four bytes) ·
 * ERR_NO_MEMORY (nothing taken; may be tried again). *ret_used is always set on OK. An empty payload is
 * delivered. */
int choiri_framer_feed(choiri_framer *f, choir_bytes input, choir_chunk *chunk, size_t *ret_used,
                       bool *ret_done, choiri_frame *ret_frame);
/* The usual case of feed without its call: true when a whole payload lies at the start of the input and
 * nothing was pending. It is then done as feed does it; what it used is CHOIRI_FRAME_HEAD and the payload. */
static inline bool choiri_framer_take_whole(const choiri_framer *f, choir_bytes input, choir_chunk *chunk,
                                            choiri_frame *ret_frame) {
    if (f->head_len > 0 || input.len < CHOIRI_FRAME_HEAD) return false;
    uint32_t len = choiri_load_le32(input.data);
    if (len > f->limit || len > input.len - CHOIRI_FRAME_HEAD) return false;
    *ret_frame = (choiri_frame){{input.data + CHOIRI_FRAME_HEAD, len}, chunk};
    return true;
}
/* The payload handed out last is not needed any more: lets go of its buffer, so that an idle link holds
 * none. */
void choiri_framer_drop(choiri_framer *f);
/* True between the first byte of a frame and its last. */
static inline bool choiri_framer_is_partial(const choiri_framer *f) {
    return !f->delivered && f->head_len > 0;
}
/* Payload bytes that this frame has received so far. */
static inline uint32_t choiri_framer_received(const choiri_framer *f) {
    return f->delivered ? 0 : f->have;
}

#endif
