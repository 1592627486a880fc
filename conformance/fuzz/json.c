/* SPDX-License-Identifier: MIT */
/* Values in JSON.
 * Input: type (interface, number), text. */
#include "choir/value.h"
#include "types.h"
#include "value/unit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_run f;
    uint32_t type;
    fuzz_open(&f, data, size);
    const choir_unit *u = fuzz_type(&f, &type);
    void *value = fuzz_memory(&f, choiri_unit_type(u, type)->size);
    choir_bytes text = fuzz_copy(&f, f.in);
    choir_str why = {"", 0};
    choir_arena *arena;
    FUZZ_CHECK(choir_arena_new(f.env, (size_t)1 << 20, &arena) == CHOIR_OK, "no arena");
    int status =
        choir_value_from_json(u, type, (choir_str){(const char *)text.data, text.len}, arena, value, &why);
    if (status == CHOIR_OK)
        fuzz_check_value(&f, u, type, value);
    else
        FUZZ_CHECK(why.len > 0, "status %d without a text", status);
    choir_arena_free(arena);
    return fuzz_close(&f);
}
