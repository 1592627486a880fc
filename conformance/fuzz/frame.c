/* SPDX-License-Identifier: MIT */
/* The framer gives the same payloads however the stream is cut into pieces.
 * Input: limit, sizes of pieces (count, then one byte each), stream. */
#include "base/bytes.h"
#include "fuzz.h"
#include "link/framer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t limits[] = {0, 16, 300, 1u << 20};
    fuzz_run f;
    fuzz_open(&f, data, size);
    uint32_t limit = limits[fuzz_u8(&f) % 4];
    choir_bytes sizes = fuzz_take(&f, fuzz_u8(&f) % 32u), stream = f.in;
    size_t piece = 0, fed = 0, frame_at = 0; /* where the frame under way begins */
    uint64_t idle = f.env->memory;
    int status = CHOIR_OK;
    choiri_framer framer;
    choiri_framer_init(&framer, f.env, limit);
    while (fed < stream.len && status == CHOIR_OK) {
        size_t left = stream.len - fed, take = sizes.len > 0 ? sizes.data[piece++ % sizes.len] + 1u : left;
        choir_bytes in = fuzz_copy(&f, (choir_bytes){stream.data + fed, take < left ? take : left});
        while (in.len > 0) {
            size_t used = SIZE_MAX;
            bool done = false;
            choiri_frame frame;
            status = choiri_framer_feed(&framer, in, NULL, &used, &done, &frame);
            if (status != CHOIR_OK) break;
            FUZZ_CHECK(used <= in.len && (used > 0 || done), "%zu of %zu bytes were used", used, in.len);
            in = (choir_bytes){in.data + used, in.len - used};
            fed += used;
            FUZZ_CHECK(f.env->memory <= idle + 65536 + 4096 + 4 * (fed - frame_at), "holds too much");
            if (!done) continue;
            uint32_t len = choiri_load_le32(stream.data + frame_at);
            choir_bytes expected = {stream.data + frame_at + 4, len};
            FUZZ_CHECK(len <= limit && fed == frame_at + 4 + len, "a frame ends at the wrong place");
            FUZZ_CHECK(fuzz_same(frame.payload, expected), "the payload of a frame is another one");
            frame_at = fed;
        }
    }
    bool too_large = stream.len - frame_at >= 4 && choiri_load_le32(stream.data + frame_at) > limit;
    FUZZ_CHECK(status == (too_large ? CHOIR_ERR_FRAME_TOO_LARGE : CHOIR_OK), "status %d", status);
    if (!too_large) FUZZ_CHECK(choiri_framer_is_partial(&framer) == (frame_at < fed), "partial");
    choiri_framer_deinit(&framer);
    return fuzz_close(&f);
}
