/* SPDX-License-Identifier: MIT */
/* The postcard writer: every value read back, block borders, holes, retained spans, and memory that runs
 * out. */
#include "testing/varint.h"
#include "wire/metadata.h"
#include "wire/reader.h"
#include "wire/test_wire.h"
#include "wire/writer.h"

/* Fills the queue so that its tail block has exactly `room` bytes left. */
static void leave_room(bench *b, size_t room) {
    static const uint8_t filler[CHOIRI_BLOCK_SIZE];
    size_t have;
    cr_assert_not_null(choiri_outq_reserve(&b->q, 1, &have));
    cr_assert_geq(have, room);
    choiri_writer w;
    choiri_writer_init(&w, &b->q, NULL);
    choiri_write_raw(&w, filler, have - room);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
}

static const uint64_t numbers[] = {
    0,         1, 127, 128, 16383, 16384, 2097151, 2097152, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX - 1,
    UINT64_MAX};
#define NUMBERS (sizeof numbers / sizeof *numbers)

/* Around every power of two, and numbers without a pattern: the bytes of the plain loop. */
Test(writer, varints_of_every_length) {
    uint64_t seed = 1;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int i = 0; i < 40; i++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            uint64_t v = i < 4 ? (UINT64_C(1) << bit) - 2 + (uint64_t)i : seed >> (63 - bit);
            uint8_t got[16], want[16], *end = want;
            memset(got, 0xcc, sizeof got);
            for (uint64_t left = v;; left >>= 7) {
                *end++ = (uint8_t)(left >= 0x80 ? left | 0x80 : left);
                if (left < 0x80) break;
            }
            cr_assert_eq(choiri_put_varint(got, v) - got, end - want, "%llx", (unsigned long long)v);
            cr_assert_arr_eq(got, want, (size_t)(end - want), "%llx", (unsigned long long)v);
            for (size_t k = 10; k < sizeof got; k++)
                cr_assert_eq(got[k], 0xcc, "more than ten bytes were touched");
        }
    }
}

static void write_everything(choiri_writer *w) {
    for (size_t i = 0; i < NUMBERS; i++) {
        choiri_write_varint(w, numbers[i]);
        choiri_write_zigzag(w, (int64_t)numbers[i]);
        choiri_write_zigzag(w, -(int64_t)(numbers[i] >> 1));
        choiri_write_varint128(w, numbers[i], numbers[NUMBERS - 1 - i]);
    }
    choiri_write_u8(w, 0xab);
    choiri_write_f32(w, 0.25f);
    choiri_write_f64(w, -1.5);
    choiri_write_char(w, 0x1f980);
    choiri_write_bytes(w, (choir_bytes){NULL, 0});
    choiri_write_bytes(w, (choir_bytes){(const uint8_t *)"hello", 5});
}

static void read_everything(choir_bytes in) {
    choiri_reader r = choiri_reader_of(in);
    uint64_t lo, hi;
    int64_t z;
    for (size_t i = 0; i < NUMBERS; i++) {
        cr_assert(choiri_read_varint(&r, &lo));
        cr_assert_eq(lo, numbers[i]);
        cr_assert(choiri_read_zigzag(&r, &z));
        cr_assert_eq(z, (int64_t)numbers[i]);
        cr_assert(choiri_read_zigzag(&r, &z));
        cr_assert_eq(z, -(int64_t)(numbers[i] >> 1));
        cr_assert(choiri_read_varint128(&r, &lo, &hi));
        cr_assert_eq(lo, numbers[i]);
        cr_assert_eq(hi, numbers[NUMBERS - 1 - i]);
    }
    uint8_t u8;
    float f;
    double d;
    uint32_t scalar;
    choir_bytes bytes;
    choir_str text;
    cr_assert(choiri_read_u8(&r, &u8) && u8 == 0xab);
    cr_assert(choiri_read_f32(&r, &f) && f > 0.24f && f < 0.26f);
    cr_assert(choiri_read_f64(&r, &d) && d > -1.51 && d < -1.49);
    cr_assert(choiri_read_char(&r, &scalar) && scalar == 0x1f980);
    cr_assert(choiri_read_bytes(&r, &bytes) && bytes.len == 0);
    cr_assert(choiri_read_string(&r, &text) && str_is(text, "hello"));
    cr_assert_eq(choiri_reader_left(&r), 0);
}

/* The same values, starting at each distance from the border of a block, give the same bytes. */
Test(writer, values_around_block_borders) {
    bench b;
    bench_open(&b);
    choiri_writer w;
    choiri_writer_init(&w, &b.q, NULL);
    write_everything(&w);
    uint64_t offset = choiri_writer_offset(&w);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    choir_bytes want = bench_take(&b);
    cr_assert_eq(want.len, offset);
    read_everything(want);
    for (size_t room = 0; room <= want.len + 20 && room < 1000; room++) {
        leave_room(&b, room);
        size_t skip = (size_t)b.q.bytes;
        choiri_writer_init(&w, &b.q, NULL);
        write_everything(&w);
        cr_assert_eq(choiri_writer_offset(&w), skip + want.len);
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
        choir_bytes got = bench_take(&b);
        cr_assert(bytes_equal((choir_bytes){got.data + skip, got.len - skip}, want), "room %zu", room);
        bytes_free(got);
    }
    bytes_free(want);
    bench_close(&b);
}

Test(writer, raw_bytes_straddle_blocks) {
    bench b;
    bench_open(&b);
    size_t len = 5 * CHOIRI_BLOCK_SIZE + 77;
    uint8_t *data = malloc(len);
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)(i * 31 >> 3);
    static const size_t lens[] = {1, 100, 4096, 5000, CHOIRI_BLOCK_SIZE, 3 * CHOIRI_BLOCK_SIZE};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        for (size_t room = 0; room <= 64; room++) {
            leave_room(&b, room);
            size_t skip = (size_t)b.q.bytes;
            choiri_writer w;
            choiri_writer_init(&w, &b.q, NULL);
            choiri_write_raw(&w, data, lens[i]);
            choiri_write_raw(&w, NULL, 0);
            cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
            choir_bytes got = bench_take(&b);
            cr_assert(
                bytes_equal((choir_bytes){got.data + skip, got.len - skip}, (choir_bytes){data, lens[i]}));
            bytes_free(got);
        }
    }
    /* What would fill many blocks is gathered in one. */
    choiri_writer w;
    choiri_writer_init(&w, &b.q, NULL);
    choiri_write_u8(&w, 1);
    choiri_write_raw(&w, data, len);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    choir_iov iov[16];
    cr_assert_leq(choiri_outq_peek(&b.q, 0, UINT64_MAX, iov, 16), 2);
    choir_bytes got = bench_take(&b);
    cr_assert_eq(memcmp(got.data + 1, data, len), 0);
    bytes_free(got);
    free(data);
    bench_close(&b);
}

Test(writer, chars_of_every_length) {
    bench b;
    bench_open(&b);
    for (uint32_t c = 0; c <= 0x110000; c += c < 0x3000 ? 1 : 251) {
        bool is_scalar = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        choiri_writer w;
        choiri_writer_init(&w, &b.q, NULL);
        choiri_write_char(&w, c);
        cr_assert_eq(choiri_writer_finish(&w), is_scalar ? CHOIR_OK : CHOIR_ERR_INVALID);
        if (!is_scalar) continue;
        choir_bytes got = bench_take(&b);
        choiri_reader r = choiri_reader_of(got);
        uint32_t back;
        cr_assert(choiri_read_char(&r, &back));
        cr_assert_eq(back, c);
        cr_assert_eq(choiri_reader_left(&r), 0);
        bytes_free(got);
    }
    choiri_writer w;
    choiri_writer_init(&w, &b.q, NULL);
    choiri_write_char(&w, UINT32_MAX);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_ERR_INVALID);
    bench_close(&b);
}

/* A hole never straddles blocks and counts exactly what follows it. */
Test(writer, holes_around_block_borders) {
    bench b;
    bench_open(&b);
    uint8_t body[300];
    memset(body, 'x', sizeof body);
    for (size_t room = 0; room < 16; room++) {
        for (size_t len = 0; len < sizeof body; len += 23) {
            leave_room(&b, room);
            size_t skip = (size_t)b.q.bytes;
            choiri_writer w;
            choiri_writer_init(&w, &b.q, NULL);
            choiri_write_u8(&w, 7);
            choiri_hole outer = choiri_write_hole(&w);
            choiri_hole inner = choiri_write_hole(&w);
            choiri_write_raw(&w, body, len);
            choiri_fill_hole(&w, inner);
            choiri_write_u8(&w, 8);
            choiri_fill_hole(&w, outer);
            cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
            choir_bytes got = bench_take(&b);
            choiri_reader r = choiri_reader_of((choir_bytes){got.data + skip, got.len - skip});
            uint8_t u8;
            choir_bytes outer_bytes, inner_bytes;
            cr_assert(choiri_read_u8(&r, &u8) && u8 == 7);
            cr_assert(choiri_read_opaque(&r, &outer_bytes));
            cr_assert_eq(outer_bytes.len, len + 5);
            cr_assert_eq(choiri_reader_left(&r), 0);
            r = choiri_reader_of(outer_bytes);
            cr_assert(choiri_read_opaque(&r, &inner_bytes));
            cr_assert(bytes_equal(inner_bytes, (choir_bytes){body, len}));
            bytes_free(got);
        }
    }
    bench_close(&b);
}

static choir_chunk *make_chunk(bench *b, size_t len) {
    choir_chunk *chunk;
    cr_assert_eq(choiri_chunk_alloc(b->env, len, &chunk), CHOIR_OK);
    for (size_t i = 0; i < len; i++) choir_chunk_data(chunk)[i] = (uint8_t)(i * 7 >> 2);
    return chunk;
}

/* True when some output segment lies inside the chunk. */
static bool is_retained(const bench *b, choir_chunk *chunk) {
    choir_iov iov[32];
    size_t n = choiri_outq_peek(&b->q, 0, UINT64_MAX, iov, 32);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = iov[i].base;
        if (at >= choir_chunk_data(chunk) && at < choir_chunk_data(chunk) + choir_chunk_len(chunk))
            return true;
    }
    return false;
}

Test(writer, which_spans_are_retained) {
    bench b;
    bench_open(&b);
    choir_chunk *chunk = make_chunk(&b, 65536), *other = make_chunk(&b, 65536);
    const uint8_t *in = choir_chunk_data(chunk);
    const struct {
        const uint8_t *data;
        size_t len;
        choir_chunk *given;
        bool retained;
    } rows[] = {
        {in, 65536, chunk, true},
        {in + 1, 4097, chunk, true},
        {in + 65536 - 4097, 4097, chunk, true},
        {in, 4096, chunk, false}, /* too small to be worth a segment */
        {in, 0, chunk, false},
        {in, 65536, NULL, false},
        {in, 65536, other, false},
        {choir_chunk_data(other), 5000, chunk, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        choiri_writer w;
        choiri_writer_init(&w, &b.q, rows[i].given);
        choiri_write_u8(&w, 1);
        choiri_hole hole = choiri_write_hole(&w);
        choiri_write_bytes(&w, (choir_bytes){rows[i].data, rows[i].len});
        choiri_fill_hole(&w, hole);
        choiri_write_u8(&w, 2);
        cr_assert_eq(choiri_writer_offset(&w), 6 + test_varint_size(rows[i].len) + rows[i].len);
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
        cr_assert_eq(is_retained(&b, chunk), rows[i].retained, "row %zu", i);
        cr_assert_eq(choir_chunk_is_unique(chunk), !rows[i].retained);
        choir_bytes got = bench_take(&b);
        choiri_reader r = choiri_reader_of(got);
        uint8_t one, two;
        choir_bytes opaque, bytes;
        cr_assert(choiri_read_u8(&r, &one) && choiri_read_opaque(&r, &opaque) && choiri_read_u8(&r, &two));
        cr_assert_eq(two, 2);
        r = choiri_reader_of(opaque);
        cr_assert(choiri_read_bytes(&r, &bytes));
        cr_assert(bytes_equal(bytes, (choir_bytes){rows[i].data, rows[i].len}));
        bytes_free(got);
        cr_assert(choir_chunk_is_unique(chunk), "a reference is left");
    }
    choir_chunk_release(chunk);
    choir_chunk_release(other);
    bench_close(&b);
}

/* A span that begins before its chunk or ends behind it is not retained. The chunk is the middle of memory
 * that is all ours, so that such spans exist. */
Test(writer, a_span_across_the_border_of_its_chunk_is_copied) {
    bench b;
    bench_open(&b);
    uint8_t *memory = calloc(1, 30000);
    choir_allocator allocator = test_allocator(&b.alloc);
    choir_chunk *chunk;
    cr_assert_eq(choir_chunk_wrap(&allocator, memory + 10000, 10000, NULL, NULL, &chunk), CHOIR_OK);
    static const struct {
        size_t at, len;
        bool retained;
    } rows[] = {{9999, 5000, false}, {15001, 5000, false}, {15000, 5000, true}, {5000, 20000, false},
                {0, 5000, false},    {20000, 5000, false}, {10000, 10000, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        choiri_writer w;
        choiri_writer_init(&w, &b.q, chunk);
        choiri_write_span(&w, memory + rows[i].at, rows[i].len);
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
        cr_assert_eq(!choir_chunk_is_unique(chunk), rows[i].retained, "row %zu", i);
        cr_assert_eq(b.q.bytes, rows[i].len);
        choiri_outq_consume(&b.q, b.q.bytes);
    }
    choir_chunk_release(chunk);
    free(memory);
    bench_close(&b);
}

Test(writer, more_than_seven_large_spans_are_copied) {
    bench b;
    bench_open(&b);
    choir_chunk *chunk = make_chunk(&b, 20000);
    for (size_t spans = 1; spans <= 12; spans++) {
        choiri_writer w;
        choiri_writer_init(&w, &b.q, chunk);
        for (size_t i = 0; i < spans; i++) {
            choiri_write_bytes(&w, (choir_bytes){choir_chunk_data(chunk) + i, 5000 + i});
        }
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
        cr_assert_eq(w.splices, spans < CHOIRI_SPLICE_MAX ? spans : CHOIRI_SPLICE_MAX);
        choir_iov iov[64];
        cr_assert_leq(choiri_outq_peek(&b.q, 0, UINT64_MAX, iov, 64), 17u);
        if (spans <= 8) cr_assert_leq(choiri_outq_peek(&b.q, 0, UINT64_MAX, iov, 64), 16u);
        choir_bytes got = bench_take(&b);
        choiri_reader r = choiri_reader_of(got);
        for (size_t i = 0; i < spans; i++) {
            choir_bytes bytes;
            cr_assert(choiri_read_bytes(&r, &bytes));
            cr_assert(bytes_equal(bytes, (choir_bytes){choir_chunk_data(chunk) + i, 5000 + i}));
        }
        cr_assert_eq(choiri_reader_left(&r), 0);
        bytes_free(got);
    }
    choir_chunk_release(chunk);
    bench_close(&b);
}

/* What was encoded aside is moved behind what is written, and counts in a hole around it. */
Test(writer, a_whole_queue_is_taken_over) {
    bench b;
    bench_open(&b);
    choiri_outq aside;
    choiri_outq_init(&aside, b.env);
    choir_chunk *chunk = make_chunk(&b, 8000);
    choiri_writer w, inner;
    choiri_writer_init(&inner, &aside, chunk);
    choiri_write_raw(&inner, "head", 4);
    choiri_write_span(&inner, choir_chunk_data(chunk), 8000);
    choiri_write_raw(&inner, "tail", 4);
    cr_assert_eq(choiri_writer_finish(&inner), CHOIR_OK);
    choiri_writer_init(&w, &b.q, NULL);
    choiri_write_u8(&w, 7);
    choiri_hole hole = choiri_write_hole(&w);
    choiri_write_queue(&w, &aside);
    choiri_fill_hole(&w, hole);
    choiri_write_queue(&w, &aside); /* empty by now */
    choiri_write_u8(&w, 8);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    cr_assert_eq(aside.bytes, 0);
    choir_bytes got = bench_take(&b);
    cr_assert_eq(got.len, 1 + 4 + 8008 + 1);
    cr_assert_eq(memcmp(got.data, "\x07\x48\x1f\0\0head", 9), 0);
    cr_assert_eq(memcmp(got.data + 9, choir_chunk_data(chunk), 8000), 0);
    cr_assert_eq(memcmp(got.data + 8009, "tail\x08", 5), 0);
    bytes_free(got);
    choiri_outq_deinit(&aside);
    choir_chunk_release(chunk);
    bench_close(&b);
}

/* The bytes of the chunk are never looked at, so one that only claims to be so long will do. */
Test(writer, an_opaque_over_four_gigabytes_is_refused) {
    if (SIZE_MAX == UINT32_MAX) return;
    bench b;
    bench_open(&b);
    static uint8_t one;
    choir_allocator allocator = test_allocator(&b.alloc);
    choir_chunk *chunk;
    cr_assert_eq(choir_chunk_wrap(&allocator, &one, 0x40000000, NULL, NULL, &chunk), CHOIR_OK);
    for (size_t spans = 3; spans <= 4; spans++) {
        choiri_outq_mark mark = choiri_outq_get_mark(&b.q);
        choiri_writer w;
        choiri_writer_init(&w, &b.q, chunk);
        choiri_hole hole = choiri_write_hole(&w);
        for (size_t i = 0; i < spans; i++) choiri_write_span(&w, &one, 0x40000000);
        choiri_fill_hole(&w, hole);
        cr_assert_eq(choiri_writer_finish(&w), spans == 4 ? CHOIR_ERR_TOO_LARGE : CHOIR_OK);
        choiri_outq_rollback(&b.q, mark);
        cr_assert_eq(b.q.bytes, 0);
    }
    cr_assert(choir_chunk_is_unique(chunk));
    choir_chunk_release(chunk);
    bench_close(&b);
}

static int write_much(bench *b, choir_chunk *chunk, const uint8_t *data) {
    choiri_writer w;
    choiri_writer_init(&w, &b->q, chunk);
    choiri_write_varint(&w, 5);
    choiri_hole hole = choiri_write_hole(&w);
    for (size_t i = 0; i < 4; i++) {
        choiri_write_bytes(&w, (choir_bytes){choir_chunk_data(chunk), 5000});
        choiri_write_raw(&w, data, 2 * CHOIRI_BLOCK_SIZE);
        choiri_write_raw(&w, data, 6 * CHOIRI_BLOCK_SIZE);
        choiri_write_char(&w, 'c');
    }
    choiri_fill_hole(&w, hole);
    return choiri_writer_finish(&w);
}

/* Memory that runs out at each possible moment: the failure sticks, and after the rollback the queue holds
 * what it held before. */
Test(writer, memory_runs_out_anywhere) {
    static const uint8_t data[6 * CHOIRI_BLOCK_SIZE];
    uint64_t tried = 0;
    for (uint64_t n = 1;; n++) {
        bench b;
        bench_open(&b);
        choir_chunk *chunk = make_chunk(&b, 8000);
        choiri_writer w;
        choiri_writer_init(&w, &b.q, NULL);
        choiri_write_raw(&w, "before", 6);
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
        choiri_outq_mark mark = choiri_outq_get_mark(&b.q);
        b.alloc.fail_at = b.alloc.calls + n;
        b.alloc.fail_after = n % 2 == 0;
        int status = write_much(&b, chunk, data);
        bool failed = b.alloc.failed > 0;
        cr_assert_eq(status, failed ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        choiri_outq_rollback(&b.q, mark);
        choir_bytes left = bench_take(&b);
        cr_assert(bytes_equal(left, (choir_bytes){(const uint8_t *)"before", 6}));
        cr_assert(choir_chunk_is_unique(chunk));
        bytes_free(left);
        choir_chunk_release(chunk);
        bench_close(&b);
        if (!failed) break;
        tried++;
    }
    cr_log_info("%llu allocations failed in turn", (unsigned long long)tried);
    cr_assert_geq(tried, 10);
}

Test(writer, the_first_failure_stays_and_writes_after_it_do_nothing) {
    bench b;
    bench_open(&b);
    choiri_outq_mark mark = choiri_outq_get_mark(&b.q);
    choir_chunk *chunk = make_chunk(&b, 8000);
    choiri_writer w;
    choiri_writer_init(&w, &b.q, chunk);
    choiri_write_u8(&w, 1);
    choiri_writer_fail(&w, CHOIR_ERR_DEPTH);
    uint64_t offset = choiri_writer_offset(&w);
    choiri_writer_fail(&w, CHOIR_ERR_INVALID);
    write_everything(&w);
    choiri_write_span(&w, choir_chunk_data(chunk), 8000);
    choiri_hole hole = choiri_write_hole(&w);
    cr_assert_null(hole.at);
    choiri_fill_hole(&w, hole);
    cr_assert_eq(choiri_writer_offset(&w), offset);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_ERR_DEPTH);
    cr_assert(choir_chunk_is_unique(chunk));
    choiri_outq_rollback(&b.q, mark);
    cr_assert_eq(b.q.bytes, 0);
    choir_chunk_release(chunk);
    bench_close(&b);
}

Test(writer, metadata) {
    bench b;
    bench_open(&b);
    const choir_metadata_entry meta3[] = {
        {.key = CHOIR_STR("trace-id"),
         .type = CHOIR_METADATA_STRING,
         .bytes = {(const uint8_t *)"abc123", 6}},
        {.key = CHOIR_STR("auth"),
         .type = CHOIR_METADATA_BYTES,
         .bytes = {(const uint8_t *)"\xde\xad\xbe\xef", 4},
         .flags = CHOIR_METADATA_SENSITIVE | CHOIR_METADATA_NO_PROPAGATE},
        {.key = CHOIR_STR("attempt"), .type = CHOIR_METADATA_U64, .u64 = 2},
    };
    choiri_writer w;
    choiri_writer_init(&w, &b.q, NULL);
    choiri_write_metadata(&w, meta3, 3);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    choir_bytes got = bench_take(&b);
    cr_assert(bytes_are(
        got, "030874726163652d696400066162633132330004617574680104deadbeef0307617474656d7074020200"));
    bytes_free(got);

    const choir_metadata_entry bad[] = {
        {.key = {"\xff", 1}, .type = CHOIR_METADATA_U64},
        {.key = CHOIR_STR("k"), .type = 3},
        {.key = CHOIR_STR("k"), .type = CHOIR_METADATA_U64, .reserved = 1},
        {.key = CHOIR_STR("k"), .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"\xc3", 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        choiri_outq_mark mark = choiri_outq_get_mark(&b.q);
        choiri_writer_init(&w, &b.q, NULL);
        choiri_write_metadata(&w, &bad[i], 1);
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_ERR_INVALID, "entry %zu", i);
        choiri_outq_rollback(&b.q, mark);
    }
    bench_close(&b);
}
