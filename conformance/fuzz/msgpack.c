/* SPDX-License-Identifier: MIT */
/* Msgpack mode: messages, values, and the translation to CBOR that handshakes and schemas go through. What
 * was read is written and read as the same. Input: which of the three; for a value its type (interface,
 * number); bytes. */
#include "value/msgpack.h"
#include "protocol/message_msgpack.h"
#include "types.h"
#include "value/unit.h"
#include "wire/cbor.h"

#include "choir/value.h"

static void check_message(fuzz_run *f, choir_bytes payload) {
    choiri_message m, again;
    choiri_arena arena, second;
    choiri_arena_init(&arena, f->env, NULL, 0, CHOIRI_MSGPACK_METADATA + 1024);
    choiri_arena_init(&second, f->env, NULL, 0, CHOIRI_MSGPACK_METADATA + 1024);
    int status = choiri_msgpack_message_decode(payload, &arena, &m);
    FUZZ_CHECK(status == CHOIR_OK || status == CHOIR_ERR_TRUNCATED || status == CHOIR_ERR_MALFORMED ||
                   status == CHOIR_ERR_DEPTH,
               "status %d", status);
    if (status == CHOIR_OK && m.metadata.count <= CHOIRI_MSGPACK_ENTRIES &&
        m.metadata.entries.len <= CHOIRI_MSGPACK_METADATA) {
        choiri_outq q;
        choiri_writer w;
        choiri_outq_init(&q, f->env);
        choiri_writer_init(&w, &q, NULL);
        choiri_msgpack_message_encode(&w, &m, NULL, 0);
        FUZZ_CHECK(choiri_writer_finish(&w) == CHOIR_OK, "cannot be encoded");
        status = choiri_msgpack_message_decode(fuzz_drain(f, &q), &second, &again);
        FUZZ_CHECK(status == CHOIR_OK, "what we encode is not decoded: %d", status);
        fuzz_check_same_message(&m, &again);
    }
    choiri_arena_reset(&second);
    choiri_arena_reset(&arena);
}

/* Our spelling may nest deeper than one that we also read, so that there may be no room for it. */
static void check_again(fuzz_run *f, const choir_unit *u, uint32_t type, const void *value) {
    choiri_outq q;
    choiri_writer w;
    choiri_arena arena;
    choiri_text text;
    choiri_text_init(&text);
    choiri_outq_init(&q, f->env);
    choiri_writer_init(&w, &q, NULL);
    choiri_msgpack_encode(&w, u, type, value);
    int status = choiri_writer_finish(&w);
    choir_bytes bytes = fuzz_drain(f, &q);
    FUZZ_CHECK(status == CHOIR_OK || status == CHOIR_ERR_DEPTH, "encode: %d", status);
    if (status != CHOIR_OK) return;
    choiri_arena_init(&arena, f->env, NULL, 0, (size_t)64 << 20);
    void *again = fuzz_memory(f, choiri_unit_type(u, type)->size);
    bool equal = false;
    choiri_reader r = choiri_reader_of(bytes);
    status = choiri_msgpack_decode(&r, u, type, &arena, again, &text);
    FUZZ_CHECK(status == CHOIR_OK, "decode again: %d %s", status, text.data);
    status = choir_value_equal(u, type, value, again, &equal);
    FUZZ_CHECK(status == CHOIR_OK && equal, "status %d, equal %d", status, equal);
    choiri_arena_reset(&arena);
}

static void check_value(fuzz_run *f) {
    uint32_t type;
    const choir_unit *u = fuzz_type(f, &type);
    choir_bytes bytes = fuzz_copy(f, f->in);
    void *value = fuzz_memory(f, choiri_unit_type(u, type)->size);
    choiri_arena arena;
    choiri_text text;
    choiri_text_init(&text);
    choiri_arena_init(&arena, f->env, NULL, 0, choiri_value_arena_limit(bytes.len));
    choiri_reader r = choiri_reader_of(bytes);
    int status = choiri_msgpack_decode(&r, u, type, &arena, value, &text);
    if (status == CHOIR_OK) {
        check_again(f, u, type, value);
        fuzz_check_value(f, u, type, value);
    } else {
        FUZZ_CHECK(text.len > 0, "status %d without a text", status);
    }
    choiri_arena_reset(&arena);
}

static void check_cbor(fuzz_run *f, choir_bytes bytes) {
    size_t size = choiri_msgpack_cbor_size(bytes);
    FUZZ_CHECK((size > 0) == (choiri_msgpack_scan(bytes) == CHOIR_OK), "a size of %zu", size);
    if (size == 0) return;
    FUZZ_CHECK(size <= 2 * bytes.len, "%zu bytes have become %zu", bytes.len, size);
    uint8_t *cbor = fuzz_memory(f, size);
    choiri_msgpack_to_cbor(bytes, cbor);
    choiri_reader r = choiri_reader_of((choir_bytes){cbor, size});
    FUZZ_CHECK(choiri_cbor_skip(&r, NULL) && choiri_reader_left(&r) == 0, "is no CBOR: %d", r.status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_run f;
    fuzz_open(&f, data, size);
    switch (fuzz_u8(&f) % 3) {
    case 0: check_message(&f, fuzz_copy(&f, f.in)); break;
    case 1: check_value(&f); break;
    default: check_cbor(&f, fuzz_copy(&f, f.in)); break;
    }
    return fuzz_close(&f);
}
