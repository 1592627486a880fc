/* SPDX-License-Identifier: MIT */
/* Values in postcard.
 * Input: type (interface, number), bytes of a value. */
#include "types.h"
#include "value/unit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_run f;
    uint32_t type;
    fuzz_open(&f, data, size);
    const choir_unit *u = fuzz_type(&f, &type);
    void *value = fuzz_memory(&f, choiri_unit_type(u, type)->size);
    choir_bytes bytes = fuzz_copy(&f, f.in);
    choiri_reader r = choiri_reader_of(bytes);
    choiri_arena arena;
    choiri_text text;
    choiri_text_init(&text);
    choiri_arena_init(&arena, f.env, NULL, 0, choiri_value_arena_limit(bytes.len));
    int status = choiri_value_decode(&r, u, type, &arena, value, &text);
    if (status == CHOIR_OK)
        fuzz_check_value(&f, u, type, value);
    else
        FUZZ_CHECK(text.len > 0, "status %d without a text", status);
    choiri_arena_reset(&arena);
    return fuzz_close(&f);
}
