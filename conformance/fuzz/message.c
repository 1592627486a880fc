/* SPDX-License-Identifier: MIT */
/* Messages: what was decoded is encoded and decoded as the same.
 * Input: payload. */
#include "fuzz.h"

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
    choiri_message_encode(&w, &m, NULL, 0);
    FUZZ_CHECK(choiri_writer_finish(&w) == CHOIR_OK, "cannot be encoded");
    choir_bytes bytes = fuzz_drain(&f, &q);
    FUZZ_CHECK(bytes.len <= size, "%zu bytes have become %zu", size, bytes.len);
    status = choiri_message_decode(bytes, &again);
    FUZZ_CHECK(status == CHOIR_OK, "what we encode is not decoded: %d", status);
    fuzz_check_same_message(&m, &again);
    return fuzz_close(&f);
}
