/* SPDX-License-Identifier: MIT */
/* Messages: what was decoded is encoded and decoded as the same.
 * Input: payload. */
#include "wire/message.h"
#include "fuzz.h"

static void check_same(const choiri_message *a, const choiri_message *b) {
    FUZZ_CHECK(a->conn == b->conn && a->kind == b->kind && a->body == b->body &&
                   a->direction == b->direction && a->additional == b->additional && a->id == b->id &&
                   a->method == b->method,
               "another number");
    FUZZ_CHECK(a->settings.parity == b->settings.parity &&
                   a->settings.max_concurrent_requests == b->settings.max_concurrent_requests,
               "other settings");
    FUZZ_CHECK(a->metadata.count == b->metadata.count && fuzz_same(a->metadata.entries, b->metadata.entries),
               "other metadata");
    FUZZ_CHECK(fuzz_same(a->payload, b->payload), "another payload");
    FUZZ_CHECK(fuzz_same(a->schemas, b->schemas), "other schemas");
    FUZZ_CHECK(fuzz_same(fuzz_bytes(a->description), fuzz_bytes(b->description)), "another description");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_run f;
    fuzz_open(&f, data, size);
    choiri_message m, again;
    int status = choiri_message_decode(fuzz_copy(&f, f.in), &m);
    FUZZ_CHECK(status == CHOIR_OK || status == CHOIR_ERR_TRUNCATED || status == CHOIR_ERR_MALFORMED,
               "status %d", status);
    if (status != CHOIR_OK) return fuzz_close(&f);
    size_t count = 0;
    choir_metadata list = m.metadata;
    for (choir_metadata_entry e; choir_metadata_next(&list, &e);) count++;
    FUZZ_CHECK(count == m.metadata.count, "%zu entries of %zu", count, m.metadata.count);

    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, f.env);
    choiri_writer_init(&w, &q, NULL);
    choiri_message_encode(&w, &m);
    FUZZ_CHECK(choiri_writer_finish(&w) == CHOIR_OK, "cannot be encoded");
    choir_bytes bytes = fuzz_drain(&f, &q);
    FUZZ_CHECK(bytes.len <= size, "%zu bytes have become %zu", size, bytes.len);
    status = choiri_message_decode(bytes, &again);
    FUZZ_CHECK(status == CHOIR_OK, "what we encode is not decoded: %d", status);
    check_same(&m, &again);
    return fuzz_close(&f);
}
