/* SPDX-License-Identifier: MIT */
/* Output queue: against a flat array of bytes, with every way of writing, undoing and taking out. */
#include "base/outq.h"
#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    test_alloc alloc;
    choir_env *env;
    choiri_outq q;
} fixture;

static void start(fixture *f) {
    memset(f, 0, sizeof *f);
    f->env = test_env(&f->alloc);
    choiri_outq_init(&f->q, f->env);
}

static void stop(fixture *f) {
    choiri_outq_deinit(&f->q);
    choir_env_free(f->env);
    cr_assert_eq(f->alloc.bytes, 0);
}

static void put(choiri_outq *q, const void *data, size_t len) {
    size_t room;
    uint8_t *p = choiri_outq_reserve(q, len, &room);
    cr_assert_not_null(p);
    cr_assert_geq(room, len);
    memcpy(p, data, len);
    choiri_outq_commit(q, len);
}

/* All queued bytes from `skip` on, through peeks with `max` segments at a time. */
static size_t gather(const choiri_outq *q, size_t skip, uint64_t limit, size_t max, uint8_t *out) {
    size_t len = 0;
    for (;;) {
        choir_iov iov[8];
        size_t count = choiri_outq_peek(q, skip + len, limit - len, iov, max);
        for (size_t i = 0; i < count; i++) {
            cr_assert_gt(iov[i].len, 0);
            memcpy(out + len, iov[i].base, iov[i].len);
            len += iov[i].len;
        }
        if (count == 0) return len;
    }
}

/* Recomputed from the segments: objects, and chunks once for those in a row. */
static uint64_t held_by(const choiri_outq *q) {
    uint64_t held = 0, bytes = 0;
    const choir_chunk *before = NULL;
    for (const choiri_outq_seg *seg = q->head; seg; before = seg->chunk, seg = seg->next) {
        held += choiri_obj_size(seg->size);
        if (seg->chunk && seg->chunk != before) held += choir_chunk_len(seg->chunk);
        bytes += (uint64_t)(seg->end - seg->pos);
        if (!seg->next) cr_assert_eq(seg, q->tail);
    }
    cr_assert_eq(q->bytes, bytes);
    return held;
}

Test(outq, small_writes_share_a_block) {
    fixture f;
    start(&f);
    choir_iov iov[2];
    cr_assert_eq(choiri_outq_peek(&f.q, 0, UINT64_MAX, iov, 2), 0);
    for (int i = 0; i < 64; i++) put(&f.q, "0123456789", 10);
    cr_assert_eq(f.q.bytes, 640);
    cr_assert_eq(choiri_outq_peek(&f.q, 0, UINT64_MAX, iov, 2), 1);
    cr_assert_eq(iov[0].len, 640);
    cr_assert_eq(choiri_outq_peek(&f.q, 5, 7, iov, 2), 1);
    cr_assert_eq(iov[0].len, 7);
    cr_assert_eq(memcmp(iov[0].base, "5678901", 7), 0);
    cr_assert_eq(choiri_outq_peek(&f.q, 0, UINT64_MAX, iov, 0), 0);
    cr_assert_eq(choiri_outq_peek(&f.q, 640, UINT64_MAX, iov, 2), 0);
    cr_assert_eq(choiri_outq_peek(&f.q, 0, 0, iov, 2), 0);
    choiri_outq_consume(&f.q, 635);
    cr_assert_eq(choiri_outq_peek(&f.q, 0, UINT64_MAX, iov, 2), 1);
    cr_assert_eq(memcmp(iov[0].base, "56789", 5), 0);
    choiri_outq_consume(&f.q, 5);
    cr_assert_null(f.q.head, "an idle queue holds nothing");
    stop(&f);
}

Test(outq, reserve_gives_what_was_asked) {
    fixture f;
    start(&f);
    static const size_t sizes[] = {1, 976, 977, 4096, CHOIRI_BLOCK_SIZE - 64, CHOIRI_BLOCK_SIZE - 63, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t room = 0;
        uint8_t *p = choiri_outq_reserve(&f.q, sizes[i], &room);
        cr_assert_geq(room, sizes[i]);
        memset(p, 1, room);
        size_t again;
        cr_assert_eq(choiri_outq_reserve(&f.q, room, &again), p, "nothing is queued by reserve");
        cr_assert_eq(again, room);
        cr_assert_eq(f.q.bytes, 0);
    }
    /* Six blocks were too small and are empty: only what is committed counts. */
    choiri_outq_commit(&f.q, 3);
    choir_iov iov[8];
    cr_assert_eq(choiri_outq_peek(&f.q, 0, UINT64_MAX, iov, 8), 1);
    cr_assert_eq(iov[0].len, 3);
    choiri_outq_consume(&f.q, 1);
    cr_assert_eq(f.q.bytes, 2);
    choiri_outq_consume(&f.q, 2);
    cr_assert_null(f.q.head);
    size_t room = 77;
    cr_assert_null(choiri_outq_reserve(&f.q, SIZE_MAX, &room));
    cr_assert_eq(room, 77);
    choiri_outq_commit(&f.q, 0);
    stop(&f);
}

Test(outq, blocks_stay_in_the_pool) {
    fixture f;
    start(&f);
    static const uint8_t frame[3000] = {1};
    uint64_t calls = 0;
    for (int round = 0; round < 100; round++) {
        if (round == 1) calls = f.alloc.calls;
        for (int i = 0; i < 20; i++) put(&f.q, frame, sizeof frame);
        choiri_outq_consume(&f.q, 1);
        choiri_outq_consume(&f.q, f.q.bytes);
    }
#if !defined(CHOIRI_POOLS) || CHOIRI_POOLS
    cr_assert_eq(f.alloc.calls, calls);
#else
    cr_assert_gt(f.alloc.calls, calls);
#endif
    stop(&f);
}

Test(outq, splice_retains_until_consumed) {
    fixture f;
    start(&f);
    choir_chunk *chunk;
    cr_assert_eq(choiri_chunk_alloc(f.env, 100, &chunk), CHOIR_OK);
    uint8_t *data = choir_chunk_data(chunk);
    for (int i = 0; i < 100; i++) data[i] = (uint8_t)i;
    cr_assert(choiri_outq_splice(&f.q, chunk, data, 0));
    cr_assert(choir_chunk_is_unique(chunk), "no bytes, nothing retained");
    put(&f.q, "head", 4);
    cr_assert(choiri_outq_splice(&f.q, chunk, data + 10, 50));
    cr_assert_not(choir_chunk_is_unique(chunk));
    put(&f.q, "tail", 4); /* not written into the chunk */
    cr_assert_eq(data[60], 60);
    choir_iov iov[4];
    cr_assert_eq(choiri_outq_peek(&f.q, 0, UINT64_MAX, iov, 4), 3);
    cr_assert_eq(iov[1].base, data + 10);
    cr_assert_eq(iov[1].len, 50);
    cr_assert_eq(choiri_outq_peek(&f.q, 3, 10, iov, 4), 2);
    cr_assert_eq(iov[1].len, 9);
    choiri_outq_consume(&f.q, 53);
    cr_assert_not(choir_chunk_is_unique(chunk));
    choiri_outq_consume(&f.q, 1);
    cr_assert(choir_chunk_is_unique(chunk));
    cr_assert_eq(f.q.bytes, 4);
    /* deinit releases too */
    cr_assert(choiri_outq_splice(&f.q, chunk, data, 100));
    choiri_outq_deinit(&f.q);
    cr_assert(choir_chunk_is_unique(chunk));
    choir_chunk_release(chunk);
    stop(&f);
}

Test(outq, rollback_to_empty) {
    fixture f;
    start(&f);
    choir_chunk *chunk;
    cr_assert_eq(choiri_chunk_alloc(f.env, 100, &chunk), CHOIR_OK);
    choiri_outq_mark mark = choiri_outq_get_mark(&f.q);
    size_t room;
    cr_assert_not_null(choiri_outq_reserve(&f.q, 10, &room));
    choiri_outq_rollback(&f.q, mark);
    cr_assert_null(f.q.head, "what was only reserved goes too");
    cr_assert_not_null(choiri_outq_reserve(&f.q, 10, &room));
    choiri_outq_mark reserved = choiri_outq_get_mark(&f.q);
    put(&f.q, "abc", 3);
    choiri_outq_rollback(&f.q, reserved);
    cr_assert_null(f.q.head, "also what was reserved before the mark");
    put(&f.q, "abc", 3);
    cr_assert(choiri_outq_splice(&f.q, chunk, choir_chunk_data(chunk), 100));
    put(&f.q, "abc", 3);
    choiri_outq_rollback(&f.q, mark);
    cr_assert_null(f.q.head);
    cr_assert_eq(f.q.bytes, 0);
    cr_assert(choir_chunk_is_unique(chunk));
    choir_chunk_release(chunk);
    stop(&f);
}

Test(outq, memory_out_changes_nothing) {
    fixture f;
    start(&f);
    choir_chunk *chunk;
    cr_assert_eq(choiri_chunk_alloc(f.env, 100, &chunk), CHOIR_OK);
    f.alloc.fail_at = f.alloc.calls + 1;
    f.alloc.fail_after = true;
    size_t room = 5;
    cr_assert_null(choiri_outq_reserve(&f.q, 10, &room));
    cr_assert_eq(room, 5);
    cr_assert_not(choiri_outq_splice(&f.q, chunk, choir_chunk_data(chunk), 100));
    cr_assert(choir_chunk_is_unique(chunk));
    cr_assert_null(f.q.head);
    f.alloc.fail_at = 0;
    put(&f.q, "x", 1);
    f.alloc.fail_at = f.alloc.calls + 1;
    cr_assert_null(choiri_outq_reserve(&f.q, 50000, &room));
    f.alloc.fail_at = 0;
    uint8_t out[4];
    cr_assert_eq(gather(&f.q, 0, UINT64_MAX, 8, out), 1);
    choir_chunk_release(chunk);
    stop(&f);
}

enum { MODEL_MAX = 1 << 20 };

/* Writes one random piece to the queue and to the model. */
static void write_piece(choiri_outq *q, choir_chunk *chunk, uint8_t *model, size_t *len) {
    static const size_t sizes[] = {1, 10, 100, 1000, 5000, 40000};
    size_t piece = 1 + (size_t)rand() % sizes[rand() % 6];
    if (*len + piece > MODEL_MAX) return;
    if (rand() % 5 == 0) {
        size_t at = (size_t)rand() % (choir_chunk_len(chunk) - 1);
        if (piece > choir_chunk_len(chunk) - at) piece = choir_chunk_len(chunk) - at;
        cr_assert(choiri_outq_splice(q, chunk, choir_chunk_data(chunk) + at, piece));
        memcpy(model + *len, choir_chunk_data(chunk) + at, piece);
    } else {
        size_t room;
        uint8_t *p = choiri_outq_reserve(q, piece, &room);
        size_t used = rand() % 4 == 0 ? (size_t)rand() % (room + 1) : piece;
        if (*len + used > MODEL_MAX) used = 0;
        for (size_t i = 0; i < used; i++) model[*len + i] = p[i] = (uint8_t)rand();
        choiri_outq_commit(q, used);
        piece = used;
    }
    *len += piece;
}

Test(outq, random_against_flat_bytes) {
    fixture f;
    start(&f);
    choir_chunk *chunk;
    cr_assert_eq(choiri_chunk_alloc(f.env, 50000, &chunk), CHOIR_OK);
    for (size_t i = 0; i < 50000; i++) choir_chunk_data(chunk)[i] = (uint8_t)(i * 7);
    static uint8_t model[MODEL_MAX], out[MODEL_MAX];
    size_t len = 0;
    srand(7);
    for (int step = 0; step < 3000; step++) {
        choiri_outq_mark mark = choiri_outq_get_mark(&f.q);
        size_t before = len;
        for (int pieces = rand() % 6; pieces > 0; pieces--) write_piece(&f.q, chunk, model, &len);
        if (rand() % 3 == 0) {
            choiri_outq_rollback(&f.q, mark);
            len = before;
        }
        cr_assert_eq(f.q.bytes, len);
        cr_assert_eq(f.q.held, held_by(&f.q));
        if (step % 8 == 0) {
            size_t skip = len > 0 ? (size_t)rand() % len : 0;
            uint64_t limit = rand() % 2 ? UINT64_MAX : (uint64_t)rand() % 20000;
            size_t expected = limit < len - skip ? (size_t)limit : len - skip;
            cr_assert_eq(gather(&f.q, skip, limit, 1 + (size_t)rand() % 8, out), expected);
            cr_assert_arr_eq(out, model + skip, expected);
        }
        size_t take = rand() % 4 == 0 ? len : (size_t)rand() % 30000;
        if (take > len) take = len;
        choiri_outq_consume(&f.q, take);
        memmove(model, model + take, len - take);
        len -= take;
        if (len == 0) cr_assert_null(f.q.head);
    }
    choiri_outq_deinit(&f.q);
    cr_assert(choir_chunk_is_unique(chunk));
    choir_chunk_release(chunk);
    stop(&f);
}

Test(outq, flatten_makes_one_segment_and_move_hands_over) {
    fixture f;
    start(&f);
    choiri_outq a, b;
    choiri_outq_init(&a, f.env);
    choiri_outq_init(&b, f.env);
    uint8_t expected[60000], out[60000];
    for (size_t i = 0; i < sizeof expected; i++) expected[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t at = 0; at < 30000; at += 3000) put(&a, expected + at, 3000);
    for (size_t at = 30000; at < 60000; at += 3000) put(&b, expected + at, 3000);
    choiri_outq_move(&a, &b);
    cr_assert_eq(b.bytes, 0);
    cr_assert_null(b.head);
    cr_assert_eq(a.bytes, 60000);
    choiri_outq_consume(&a, 100);
    cr_assert(choiri_outq_flatten(&a, 50000));
    choir_iov iov[2];
    cr_assert_eq(choiri_outq_peek(&a, 0, 50000, iov, 2), 1);
    cr_assert_eq(iov[0].len, 50000);
    cr_assert_eq(gather(&a, 0, UINT64_MAX, 8, out), 59900);
    cr_assert_eq(memcmp(out, expected + 100, 59900), 0);
    choiri_outq_move(&b, &a); /* into an empty one */
    cr_assert_eq(gather(&b, 0, UINT64_MAX, 8, out), 59900);
    put(&b, "more", 4);
    choiri_outq_consume(&b, 59900);
    cr_assert_eq(gather(&b, 0, UINT64_MAX, 8, out), 4);
    choiri_outq_deinit(&a);
    choiri_outq_deinit(&b);
    stop(&f);
}

/* ---- what a queue holds ---- */

Test(outq, held_counts_blocks_and_whole_chunks) {
    fixture f;
    start(&f);
    choir_chunk *chunk, *other;
    cr_assert_eq(choiri_chunk_alloc(f.env, 50000, &chunk), CHOIR_OK);
    cr_assert_eq(choiri_chunk_alloc(f.env, 7000, &other), CHOIR_OK);
    const uint8_t *data = choir_chunk_data(chunk);
    cr_assert_eq(f.q.held, 0);
    put(&f.q, "x", 1);
    cr_assert_eq(f.q.held, 1024, "the first block is small");
    choiri_outq_mark mark = choiri_outq_get_mark(&f.q);
    cr_assert(choiri_outq_splice(&f.q, chunk, data, 10));
    cr_assert_eq(f.q.held, 1024 + 64 + 50000);
    cr_assert(choiri_outq_splice(&f.q, chunk, data + 20, 10));
    cr_assert_eq(f.q.held, 1024 + 2 * 64 + 50000, "the same chunk, once");
    cr_assert(choiri_outq_splice(&f.q, other, choir_chunk_data(other), 10));
    cr_assert(choiri_outq_splice(&f.q, chunk, data + 30, 10));
    cr_assert_eq(f.q.held, 1024 + 4 * 64 + 2 * 50000 + 7000, "not in a row");
    choiri_outq_consume(&f.q, 1 + 10);
    cr_assert_eq(f.q.held, 3 * 64 + 2 * 50000 + 7000, "the second segment still pins the chunk");
    choiri_outq_consume(&f.q, 10);
    cr_assert_eq(f.q.held, 2 * 64 + 50000 + 7000);
    choiri_outq aside;
    choiri_outq_init(&aside, f.env);
    cr_assert(choiri_outq_splice(&aside, chunk, data, 10));
    cr_assert(choiri_outq_splice(&aside, chunk, data, 10));
    choiri_outq_move(&f.q, &aside);
    cr_assert_eq(aside.held, 0);
    cr_assert_eq(f.q.held, 4 * 64 + 50000 + 7000, "moved behind the same chunk");
    cr_assert(choiri_outq_flatten(&f.q, 15));
    cr_assert_eq(f.q.held, held_by(&f.q));
    cr_assert_geq(f.q.held, 50000 + 3 * sizeof(choiri_outq_seg));
    choiri_outq_deinit(&f.q);
    cr_assert_eq(f.q.held, 0);
    put(&f.q, "x", 1);
    mark = choiri_outq_get_mark(&f.q);
    put(&f.q, data, 30000);
    cr_assert(choiri_outq_splice(&f.q, chunk, data, 10));
    cr_assert_eq(f.q.held, 1024 + sizeof(choiri_outq_seg) + 30000 + 64 + 50000);
    choiri_outq_rollback(&f.q, mark);
    cr_assert_eq(f.q.held, 1024);
    choiri_outq_consume(&f.q, 1);
    cr_assert_eq(f.q.held, 0);
    choir_chunk_release(chunk);
    choir_chunk_release(other);
    stop(&f);
}

/* ---- transfer ---- */

Test(outq, transfer_moves_what_is_large_and_copies_what_is_small) {
    fixture f;
    start(&f);
    choir_chunk *chunk;
    cr_assert_eq(choiri_chunk_alloc(f.env, 50000, &chunk), CHOIR_OK);
    uint8_t *data = choir_chunk_data(chunk), out[60000];
    for (size_t i = 0; i < 50000; i++) data[i] = (uint8_t)(i * 7 + i / 251);
    choiri_outq to;
    choiri_outq_init(&to, f.env);
    choir_iov iov[4];
    /* Small runs share a block of the target. */
    for (int i = 0; i < 3; i++) {
        put(&f.q, data, 100);
        choiri_outq_seal(&f.q);
    }
    cr_assert(choiri_outq_transfer(&to, &f.q, 250));
    cr_assert_eq(f.q.bytes, 50);
    cr_assert(choiri_outq_transfer(&to, &f.q, 50));
    cr_assert_null(f.q.head);
    cr_assert_eq(choiri_outq_peek(&to, 0, UINT64_MAX, iov, 4), 1);
    cr_assert_eq(to.held, 1024);
    choiri_outq_deinit(&to);
    /* At 4,096 bytes a block moves, with the room that is left in it. */
    for (size_t len = CHOIRI_OUTQ_MOVE_MIN - 1; len <= CHOIRI_OUTQ_MOVE_MIN; len++) {
        put(&f.q, data, len);
        const uint8_t *at = f.q.head->pos;
        cr_assert(choiri_outq_transfer(&to, &f.q, len));
        cr_assert_eq(to.head->pos == at, len == CHOIRI_OUTQ_MOVE_MIN);
        put(&to, data, 10);
        cr_assert_eq(choiri_outq_peek(&to, 0, UINT64_MAX, iov, 4), 1);
        choiri_outq_deinit(&to);
    }
    /* A chunk moves even if it is small, and is shared when it is cut; a small piece of it is copied. */
    cr_assert(choiri_outq_splice(&f.q, chunk, data, 10));
    cr_assert(choiri_outq_splice(&f.q, chunk, data + 10, 40000));
    cr_assert(choiri_outq_transfer(&to, &f.q, 10));
    cr_assert_eq(to.head->pos, data);
    cr_assert_eq(to.held, 64 + 50000);
    cr_assert_eq(f.q.held, 64 + 50000);
    cr_assert(choiri_outq_transfer(&to, &f.q, 4096));
    cr_assert_eq(to.tail->pos, data + 10);
    cr_assert_eq(to.held, 2 * 64 + 50000);
    cr_assert(choiri_outq_transfer(&to, &f.q, 4095));
    cr_assert_null(to.tail->chunk);
    cr_assert_eq(choiri_outq_copy(&to, 0, out, sizeof out), 10 + 4096 + 4095);
    cr_assert_arr_eq(out, data, 10 + 4096 + 4095);
    cr_assert(choiri_outq_transfer(&to, &f.q, 0));
    choiri_outq_deinit(&to);
    choiri_outq_deinit(&f.q);
    choir_chunk_release(chunk);
    stop(&f);
}

/* True when [pos, pos + len) lies in a segment of the queue. */
static bool has_bytes_at(const choiri_outq *q, const uint8_t *pos) {
    for (const choiri_outq_seg *seg = q->head; seg; seg = seg->next)
        if (pos >= seg->pos && pos < seg->end) return true;
    return false;
}

/* The promise of the header: a producer that seals behind frames of 4,096 bytes and more, and a transfer of a
 * frame at a time: each segment of such a frame with 4,096 bytes or more is where it was. */
Test(outq, transfer_of_sealed_frames_copies_no_run_of_4096_bytes) {
    static const size_t sizes[] = {30, 3000, 4095, 4096, 5000, 12000, 16000, 40000, 100000};
    static uint8_t bytes[100000];
    fixture f;
    start(&f);
    choiri_outq to;
    choiri_outq_init(&to, f.env);
    srand(3);
    for (int round = 0; round < 300; round++) {
        size_t frames[20], count = 1 + (size_t)rand() % 20;
        for (size_t i = 0; i < count; i++) {
            frames[i] = sizes[rand() % 9] + (size_t)rand() % 3;
            if (frames[i] > sizeof bytes) frames[i] = sizeof bytes;
            for (size_t at = 0, n; at < frames[i];
                 at += n) { /* as a writer does it: whatever room there is */
                size_t room;
                uint8_t *p = choiri_outq_reserve(&f.q, 1, &room);
                n = room < frames[i] - at ? room : frames[i] - at;
                memcpy(p, bytes + at, n);
                choiri_outq_commit(&f.q, n);
            }
            if (frames[i] >= CHOIRI_OUTQ_MOVE_MIN) choiri_outq_seal(&f.q);
        }
        for (size_t i = 0; i < count; i++) {
            choir_iov iov[64];
            size_t runs = choiri_outq_peek(&f.q, 0, frames[i], iov, 64);
            cr_assert(choiri_outq_transfer(&to, &f.q, frames[i]));
            for (size_t k = 0; k < runs; k++)
                if (iov[k].len >= CHOIRI_OUTQ_MOVE_MIN) cr_assert(has_bytes_at(&to, iov[k].base));
            if (rand() % 2) choiri_outq_consume(&to, (uint64_t)rand() % (to.bytes + 1));
        }
        cr_assert_null(f.q.head);
    }
    choiri_outq_deinit(&to);
    stop(&f);
}

/* Two queues, two models: producing, transferring in steps of all sizes, undoing, taking out. */
static void transfer_at_random(size_t step_max, int steps) {
    fixture f;
    start(&f);
    choir_chunk *chunk;
    choiri_outq to;
    choiri_outq_init(&to, f.env);
    cr_assert_eq(choiri_chunk_alloc(f.env, 50000, &chunk), CHOIR_OK);
    for (size_t i = 0; i < 50000; i++) choir_chunk_data(chunk)[i] = (uint8_t)(i * 7);
    static uint8_t model[MODEL_MAX], moved[MODEL_MAX], out[MODEL_MAX];
    size_t len = 0, moved_len = 0;
    srand((unsigned)step_max);
    for (int step = 0; step < steps; step++) {
        choiri_outq_mark mark = choiri_outq_get_mark(&f.q);
        size_t before = len;
        if (len < step_max * 4) write_piece(&f.q, chunk, model, &len);
        if (rand() % 3 == 0) choiri_outq_seal(&f.q);
        if (rand() % 8 == 0) {
            choiri_outq_rollback(&f.q, mark);
            len = before;
        }
        size_t n = rand() % 10 == 0 ? len : (size_t)rand() % (step_max + 1);
        if (n > len) n = len;
        if (n > MODEL_MAX - moved_len) n = MODEL_MAX - moved_len;
        cr_assert(choiri_outq_transfer(&to, &f.q, n));
        memcpy(moved + moved_len, model, n);
        memmove(model, model + n, len - n);
        moved_len += n;
        len -= n;
        if (rand() % 4 == 0) write_piece(&to, chunk, moved, &moved_len);
        cr_assert_eq(f.q.bytes, len);
        cr_assert_eq(f.q.held, held_by(&f.q));
        cr_assert_eq(to.bytes, moved_len);
        cr_assert_eq(to.held, held_by(&to));
        if (len == 0 && n > 0) cr_assert_null(f.q.head);
        if (step % 16 == 0) {
            cr_assert_eq(choiri_outq_copy(&to, 0, out, sizeof out), moved_len);
            cr_assert_eq(memcmp(out, moved, moved_len), 0);
            cr_assert_eq(choiri_outq_copy(&f.q, 0, out, sizeof out), len);
            cr_assert_eq(memcmp(out, model, len), 0);
        }
        size_t take = rand() % 4 == 0 ? moved_len : (size_t)rand() % (step_max * 2);
        if (take > moved_len) take = moved_len;
        choiri_outq_consume(&to, take);
        memmove(moved, moved + take, moved_len - take);
        moved_len -= take;
        cr_assert_eq(to.held, held_by(&to));
    }
    choiri_outq_deinit(&to);
    choiri_outq_deinit(&f.q);
    cr_assert(choir_chunk_is_unique(chunk));
    choir_chunk_release(chunk);
    stop(&f);
}

Test(outq, transfer_at_random) {
    static const size_t step_max[] = {1, 100, 5000, 40000};
    for (size_t i = 0; i < 4; i++) transfer_at_random(step_max[i], 3000);
}

Test(outq, transfer_with_failing_allocation_changes_nothing) {
    static uint8_t bytes[30000], before[80000], after[80000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 3 + i / 255);
    for (uint64_t fail = 1;; fail++) {
        fixture f;
        start(&f);
        choir_chunk *chunk;
        choiri_outq to;
        choiri_outq_init(&to, f.env);
        cr_assert_eq(choiri_chunk_alloc(f.env, 50000, &chunk), CHOIR_OK);
        memcpy(choir_chunk_data(chunk), bytes, sizeof bytes);
        /* Room for one run at the target; then copied, moved, copied behind what moved, and a piece of a
         * chunk. */
        put(&to, bytes, 500);
        for (int i = 0; i < 3; i++) {
            put(&f.q, bytes + i, 3000);
            choiri_outq_seal(&f.q);
        }
        put(&f.q, bytes, 20000);
        choiri_outq_seal(&f.q);
        put(&f.q, bytes, 17000);
        cr_assert(choiri_outq_splice(&f.q, chunk, choir_chunk_data(chunk), 20));
        put(&f.q, bytes, 30);
        cr_assert(choiri_outq_splice(&f.q, chunk, choir_chunk_data(chunk), 20000));
        uint64_t len = f.q.bytes - 10000, held = f.q.held, held_to = to.held;
        size_t total = choiri_outq_copy(&f.q, 0, before, sizeof before);
        /* Nothing comes from the pools from here on. */
        void *kept[2000];
        size_t kept_sizes[2000], count = 0;
        for (size_t size = 64; size <= CHOIRI_OBJ_MAX; size *= 2) {
            uint64_t calls = f.alloc.calls;
            while (CHOIRI_POOLS && calls == f.alloc.calls) {
                f.alloc.fail_at = f.alloc.calls + 1;
                void *obj = choiri_obj_alloc(f.env, size);
                if (obj) {
                    cr_assert_lt(count, 2000);
                    kept[count] = obj;
                    kept_sizes[count++] = size;
                }
            }
        }
        f.alloc.fail_at = f.alloc.calls + fail;
        f.alloc.failed = 0;
        bool ok = choiri_outq_transfer(&to, &f.q, len);
        cr_assert_eq(ok, f.alloc.failed == 0);
        f.alloc.fail_at = 0;
        if (!ok) {
            cr_assert_eq(f.q.held, held);
            cr_assert_eq(to.held, held_to);
            cr_assert_eq(to.bytes, 500);
            cr_assert_eq(choiri_outq_copy(&f.q, 0, after, sizeof after), total);
            cr_assert_arr_eq(after, before, total);
            cr_assert(choiri_outq_transfer(&to, &f.q, len));
        }
        cr_assert_eq(choiri_outq_copy(&to, 500, after, sizeof after), len);
        cr_assert_arr_eq(after, before, (size_t)len);
        cr_assert_eq(to.held, held_by(&to));
        cr_assert_eq(f.q.held, held_by(&f.q));
        while (count-- > 0) choiri_obj_free(f.env, kept[count], kept_sizes[count]);
        choiri_outq_deinit(&to);
        choiri_outq_deinit(&f.q);
        choir_chunk_release(chunk);
        stop(&f);
        if (!ok) continue;
        cr_assert_gt(fail, 3, "several allocations were tried");
        return;
    }
}

Test(outq, copy_from_any_offset) {
    fixture f;
    start(&f);
    uint8_t out[16] = {0};
    cr_assert_eq(choiri_outq_copy(&f.q, 0, out, 16), 0);
    for (uint8_t i = 0; i < 16; i++) { /* a byte in each segment */
        put(&f.q, &i, 1);
        choiri_outq_seal(&f.q);
    }
    for (size_t n = 1; n <= 16; n++) {
        memset(out, 0xff, sizeof out);
        cr_assert_eq(choiri_outq_copy(&f.q, 0, out, n), n);
        for (size_t i = 0; i < 16; i++) cr_assert_eq(out[i], i < n ? i : 0xff);
    }
    cr_assert_eq(choiri_outq_copy(&f.q, 10, out, 16), 6);
    cr_assert_eq(out[0], 10);
    cr_assert_eq(choiri_outq_copy(&f.q, 16, out, 16), 0);
    stop(&f);
}

Test(outq, transfer_of_more_than_there_is, .signal = SIGILL) {
    fixture f;
    start(&f);
    choiri_outq to;
    choiri_outq_init(&to, f.env);
    put(&f.q, "x", 1);
    choiri_outq_transfer(&to, &f.q, 2);
}

Test(outq, consume_more_than_there_is, .signal = SIGILL) {
    fixture f;
    start(&f);
    put(&f.q, "x", 1);
    choiri_outq_consume(&f.q, 2);
}

Test(outq, commit_more_than_reserved, .signal = SIGILL) {
    fixture f;
    start(&f);
    size_t room;
    choiri_outq_reserve(&f.q, 1, &room);
    choiri_outq_commit(&f.q, room + 1);
}
