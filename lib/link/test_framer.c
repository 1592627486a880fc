/* SPDX-License-Identifier: MIT */
/* The framer: every way to split the input, the limit at the fourth byte, where payloads lie, how much
 * memory an announcement gets, and memory that runs out. */
#include "link/framer.h"

#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT (1u << 20)

typedef struct setup {
    test_alloc alloc;
    choir_env *env;
    choiri_framer f;
} setup;

static void open_framer(setup *s, uint32_t limit) {
    memset(s, 0, sizeof *s);
    s->env = test_env(&s->alloc);
    cr_assert_not_null(s->env);
    choiri_framer_init(&s->f, s->env, limit);
}

static void close_framer(setup *s) {
    choiri_framer_deinit(&s->f);
    choir_env_free(s->env);
    cr_assert_eq(s->alloc.bytes, 0, "%llu bytes leaked", (unsigned long long)s->alloc.bytes);
}

static uint8_t byte_at(size_t frame, size_t i) {
    return (uint8_t)(frame * 37 + i * 5 + (i >> 8));
}

/* A stream of frames with these payload lengths. */
static uint8_t *make_stream(const uint32_t *lens, size_t count, size_t *ret_len) {
    size_t len = 0, at = 0;
    for (size_t i = 0; i < count; i++) len += CHOIRI_FRAME_HEAD + lens[i];
    uint8_t *out = malloc(len);
    for (size_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < 4; k++) out[at++] = (uint8_t)(lens[i] >> (8 * k));
        for (size_t k = 0; k < lens[i]; k++) out[at++] = byte_at(i, k);
    }
    *ret_len = len;
    return out;
}

static void check_payload(choir_bytes payload, size_t frame, uint32_t len) {
    cr_assert_eq(payload.len, len);
    for (size_t k = 0; k < len; k++) {
        if (payload.data[k] != byte_at(frame, k)) cr_assert_fail("frame %zu byte %zu", frame, k);
    }
}

/* Feeds one piece, which is in memory of exactly its size, and checks the frames that come out. */
static size_t feed_piece(choiri_framer *f, const uint8_t *data, size_t len, const uint32_t *lens,
                         size_t done) {
    uint8_t *piece = malloc(len ? len : 1);
    memcpy(piece, data, len);
    size_t at = 0;
    while (at < len) {
        size_t used = 99999;
        bool complete = false;
        choiri_frame frame;
        cr_assert_eq(
            choiri_framer_feed(f, (choir_bytes){piece + at, len - at}, NULL, &used, &complete, &frame),
            CHOIR_OK);
        cr_assert(used > 0 && used <= len - at);
        at += used;
        if (complete) check_payload(frame.payload, done, lens[done]);
        if (!complete) cr_assert_eq(at, len, "bytes left without a frame");
        if (complete) cr_assert(!choiri_framer_is_partial(f));
        done += complete;
    }
    /* The piece goes away while the framer may hold a part of a frame. What was handed out whole is gone. */
    free(piece);
    return done;
}

static const uint32_t two[] = {300, 17};

Test(framer, two_frames_split_at_every_two_places) {
    size_t len;
    uint8_t *stream = make_stream(two, 2, &len);
    unsigned tried = 0;
    setup s;
    open_framer(&s, LIMIT);
    for (size_t a = 0; a <= len; a++) {
        for (size_t b = a; b <= len; b++, tried++) {
            size_t done = feed_piece(&s.f, stream, a, two, 0);
            done = feed_piece(&s.f, stream + a, b - a, two, done);
            done = feed_piece(&s.f, stream + b, len - b, two, done);
            cr_assert_eq(done, 2);
        }
    }
    printf("framer: %u splits of two frames\n", tried);
    close_framer(&s);
    free(stream);
}

Test(framer, one_byte_at_a_time) {
    static const uint32_t lens[] = {0, 1, 0, 0, 70000, 3};
    size_t len, count = sizeof lens / sizeof *lens;
    uint8_t *stream = make_stream(lens, count, &len);
    setup s;
    open_framer(&s, LIMIT);
    size_t done = 0;
    for (size_t i = 0; i < len; i++) done = feed_piece(&s.f, stream + i, 1, lens, done);
    cr_assert_eq(done, count);
    close_framer(&s);
    free(stream);
}

Test(framer, random_pieces) {
    uint32_t lens[200];
    unsigned seed = 12345;
    for (size_t i = 0; i < 200; i++) {
        seed = seed * 1103515245u + 12345u;
        lens[i] = (seed >> 8) % (1u << ((seed >> 24) % 18));
    }
    size_t len;
    uint8_t *stream = make_stream(lens, 200, &len);
    for (unsigned round = 0; round < 30; round++) {
        setup s;
        open_framer(&s, LIMIT);
        size_t done = 0, at = 0;
        while (at < len) {
            seed = seed * 1103515245u + 12345u;
            size_t n = (seed >> 8) % (1u << (4 + round % 15));
            if (n > len - at) n = len - at;
            done = feed_piece(&s.f, stream + at, n, lens, done);
            at += n;
        }
        cr_assert_eq(done, 200);
        close_framer(&s);
    }
    free(stream);
}

static int feed(choiri_framer *f, const void *data, size_t len, size_t *ret_used, bool *ret_done,
                choiri_frame *ret_frame) {
    return choiri_framer_feed(f, (choir_bytes){data, len}, NULL, ret_used, ret_done, ret_frame);
}

/* A1, A2: limit N passes, N + 1 is refused with the fourth byte, and no memory is asked for. */
Test(framer, the_limit_counts_at_the_fourth_byte) {
    setup s;
    open_framer(&s, 1000);
    uint64_t before = s.alloc.calls;
    size_t used;
    bool done;
    choiri_frame frame;
    cr_assert_eq(feed(&s.f, "\xe9\x03\x00", 3, &used, &done, &frame), CHOIR_OK);
    cr_assert(!done);
    cr_assert_eq(used, 3);
    cr_assert(choiri_framer_is_partial(&s.f));
    cr_assert_eq(feed(&s.f,
                      "\x00"
                      "body",
                      5, &used, &done, &frame),
                 CHOIR_ERR_FRAME_TOO_LARGE);
    cr_assert_eq(memcmp(s.f.head, "\xe9\x03\x00\x00", 4), 0, "the head is there to be described");
    cr_assert_eq(feed(&s.f, "more", 4, &used, &done, &frame), CHOIR_ERR_FRAME_TOO_LARGE);
    cr_assert_eq(s.alloc.calls, before);
    choiri_framer_deinit(&s.f);

    cr_assert_eq(feed(&s.f, "\xff\xff\xff\xff", 4, &used, &done, &frame), CHOIR_ERR_FRAME_TOO_LARGE);
    choiri_framer_deinit(&s.f);
    cr_assert_eq(feed(&s.f, "GET / HTTP/1.1\r\n", 16, &used, &done, &frame), CHOIR_ERR_FRAME_TOO_LARGE);
    cr_assert_eq(memcmp(s.f.head, "GET ", 4), 0);
    choiri_framer_deinit(&s.f);

    uint32_t limit = 1000;
    size_t len;
    uint8_t *stream = make_stream(&limit, 1, &len);
    cr_assert_eq(feed(&s.f, stream, len, &used, &done, &frame), CHOIR_OK);
    cr_assert(done);
    check_payload(frame.payload, 0, 1000);
    free(stream);
    choiri_framer_init(&s.f, s.env, 0);
    cr_assert_eq(feed(&s.f, "\x01\x00\x00\x00", 4, &used, &done, &frame), CHOIR_ERR_FRAME_TOO_LARGE);
    close_framer(&s);
}

Test(framer, empty_payloads_are_delivered) {
    setup s;
    open_framer(&s, 1000);
    size_t used;
    bool done;
    choiri_frame frame;
    cr_assert_eq(feed(&s.f, "\0\0\0\0\0\0\0\0", 8, &used, &done, &frame), CHOIR_OK);
    cr_assert(done);
    cr_assert_eq(used, 4);
    cr_assert_eq(frame.payload.len, 0);
    cr_assert_not_null(frame.payload.data);
    cr_assert_eq(feed(&s.f, "\0\0\0", 3, &used, &done, &frame), CHOIR_OK);
    cr_assert(!done);
    cr_assert_eq(feed(&s.f, NULL, 0, &used, &done, &frame), CHOIR_OK); /* nothing at all changes nothing */
    cr_assert(!done);
    cr_assert_eq(used, 0);
    cr_assert_eq(feed(&s.f, "\0", 1, &used, &done, &frame), CHOIR_OK);
    cr_assert(done);
    cr_assert_eq(frame.payload.len, 0);
    close_framer(&s);
}

/* A payload that lies whole in the input is not copied, even when its length came in pieces; its chunk is the
 * caller's. One that does not has a chunk of exactly its size, which can be kept. */
Test(framer, where_payloads_lie) {
    setup s;
    open_framer(&s, LIMIT);
    choir_chunk *block;
    cr_assert_eq(choiri_chunk_alloc(s.env, 4096, &block), CHOIR_OK);
    size_t len, used;
    uint8_t *stream = make_stream(two, 2, &len);
    memcpy(choir_chunk_data(block), stream, len);
    uint64_t calls = s.alloc.calls;
    bool done;
    choiri_frame frame;
    choir_bytes in = {choir_chunk_data(block), 2};
    cr_assert_eq(choiri_framer_feed(&s.f, in, block, &used, &done, &frame), CHOIR_OK);
    cr_assert(!done);
    in = (choir_bytes){choir_chunk_data(block) + 2, len - 2};
    cr_assert_eq(choiri_framer_feed(&s.f, in, block, &used, &done, &frame), CHOIR_OK);
    cr_assert(done);
    cr_assert_eq(frame.payload.data, choir_chunk_data(block) + 4);
    cr_assert_eq(frame.chunk, block);
    cr_assert_eq(used, 302);
    cr_assert_eq(s.alloc.calls, calls, "no memory for whole payloads");
    cr_assert(choir_chunk_is_unique(block));

    /* The second frame in two parts, fed from the first one's end. */
    in = (choir_bytes){choir_chunk_data(block) + 304, 10};
    cr_assert_eq(choiri_framer_feed(&s.f, in, block, &used, &done, &frame), CHOIR_OK);
    cr_assert(!done);
    cr_assert(choiri_framer_is_partial(&s.f));
    cr_assert_eq(choiri_framer_received(&s.f), 6);
    in = (choir_bytes){choir_chunk_data(block) + 314, len - 314};
    cr_assert_eq(choiri_framer_feed(&s.f, in, block, &used, &done, &frame), CHOIR_OK);
    cr_assert(done);
    cr_assert_eq(choiri_framer_received(&s.f), 0);
    check_payload(frame.payload, 1, 17);
    cr_assert_neq(frame.chunk, block);
    cr_assert_eq(frame.payload.data, choir_chunk_data(frame.chunk));
    cr_assert_geq(choir_chunk_len(frame.chunk), 17);
    choir_chunk *kept = choir_chunk_retain(frame.chunk);
    cr_assert_eq(choiri_framer_feed(&s.f, (choir_bytes){stream, 50}, NULL, &used, &done, &frame), CHOIR_OK);
    check_payload((choir_bytes){choir_chunk_data(kept), 17}, 1, 17);
    cr_assert(choir_chunk_is_unique(kept), "the framer let go of it");
    choir_chunk_release(kept);
    choir_chunk_release(block);
    free(stream);
    close_framer(&s);
}

/* A1, A2: what a peer announces costs nothing, what it sends costs at most four times as much and 64 KiB. */
Test(framer, memory_follows_the_bytes_that_came) {
    static const uint32_t lens[] = {16u << 20};
    size_t len;
    uint8_t *stream = make_stream(lens, 1, &len);
    setup s;
    open_framer(&s, 16u << 20);
    uint64_t base = s.alloc.bytes;
    size_t used, at = 0;
    bool done;
    choiri_frame frame;
    cr_assert_eq(feed(&s.f, stream, 4, &used, &done, &frame), CHOIR_OK);
    cr_assert_eq(s.alloc.bytes, base, "the length alone");
    cr_assert_eq(feed(&s.f, stream + 4, 1, &used, &done, &frame), CHOIR_OK);
    cr_assert_leq(s.alloc.peak - base, 65536);
    for (at = 5; at < len; at += used) {
        size_t n = len - at < 1000 ? len - at : 1000;
        cr_assert_eq(feed(&s.f, stream + at, n, &used, &done, &frame), CHOIR_OK);
        cr_assert_leq(s.alloc.peak - base, 65536 + 4 * (at + used - 4), "after %zu bytes", at);
    }
    cr_assert(done);
    cr_assert_eq(choir_chunk_len(frame.chunk), 16u << 20);
    check_payload(frame.payload, 0, 16u << 20);
    cr_assert_eq(feed(&s.f, "", 0, &used, &done, &frame), CHOIR_OK);
    choiri_chunk_drop_spares(s.env);
    cr_assert_leq(s.alloc.bytes, base, "an idle link keeps no buffer, only the env keeps spares");
    close_framer(&s);
    free(stream);
}

/* Each allocation fails once: nothing is taken, and the same feed works the second time. */
Test(framer, memory_runs_out_anywhere) {
    static const uint32_t lens[] = {5, 200000, 0, 40000, 7};
    size_t len, count = sizeof lens / sizeof *lens;
    uint8_t *stream = make_stream(lens, count, &len);
    unsigned failures = 0;
    for (uint64_t n = 1;; n++) {
        setup s;
        open_framer(&s, LIMIT);
        s.alloc.fail_at = s.alloc.calls + n;
        size_t at = 0, done = 0;
        while (at < len) {
            size_t used = 12345, piece = len - at < 1111 ? len - at : 1111;
            bool complete = false;
            choiri_frame frame = {{NULL, 0}, NULL};
            choiri_framer before;
            memcpy(&before, &s.f, sizeof before); /* padding as well */
            int status = feed(&s.f, stream + at, piece, &used, &complete, &frame);
            if (status == CHOIR_ERR_NO_MEMORY) {
                cr_assert_eq(used, 12345);
                cr_assert(!complete && !frame.payload.data);
                if (!before.delivered) cr_assert_eq(memcmp(&before, &s.f, sizeof before), 0, "changed");
                continue;
            }
            cr_assert_eq(status, CHOIR_OK);
            at += used;
            if (complete) check_payload(frame.payload, done, lens[done]);
            done += complete;
        }
        cr_assert_eq(done, count);
        bool failed = s.alloc.failed > 0;
        close_framer(&s);
        if (!failed) break;
        failures++;
    }
    printf("framer: %u allocations failed in turn\n", failures);
    cr_assert_geq(failures, 3);
    free(stream);
}

Test(framer, ends_in_the_middle) {
    for (size_t cut = 0; cut < 321; cut++) {
        size_t len, used;
        uint8_t *stream = make_stream(two, 1, &len);
        setup s;
        open_framer(&s, LIMIT);
        bool done = false;
        choiri_frame frame;
        size_t n = cut < len ? cut : len;
        cr_assert_eq(feed(&s.f, stream, n, &used, &done, &frame), CHOIR_OK);
        cr_assert_eq(done, n == len);
        cr_assert_eq(choiri_framer_is_partial(&s.f), n > 0 && n < len);
        close_framer(&s);
        free(stream);
    }
}

Test(framer, straddling_frames_allocate_nothing_once_warm) {
    setup s;
    open_framer(&s, 65536);
    const uint32_t lens[] = {100};
    size_t len, used;
    uint8_t *stream = make_stream(lens, 1, &len);
    uint64_t before = 0;
    for (size_t round = 0; round < 1000; round++) {
        size_t cut = 1 + round % (len - 1);
        bool done;
        choiri_frame frame;
        cr_assert_eq(feed(&s.f, stream, cut, &used, &done, &frame), CHOIR_OK);
        cr_assert_not(done);
        cr_assert_eq(feed(&s.f, stream + cut, len - cut, &used, &done, &frame), CHOIR_OK);
        cr_assert(done);
        if (round == len) before = choir_env_allocations(s.env);
    }
    if (CHOIRI_POOLS) cr_assert_eq(choir_env_allocations(s.env), before);
    close_framer(&s);
    free(stream);
}
