/* SPDX-License-Identifier: MIT */
/* Interface files: read or refused with a place; what was read is a sound unit, and is compatible with
 * itself. Input: text. */
#include "idl/idl.h"
#include "fuzz.h"
#include "value/unit.h"

#include <string.h>

static void check_file(const idl *file) {
    choiri_text text;
    choiri_text_init(&text);
    FUZZ_CHECK(choiri_unit_check(idl_unit(file), &text) == CHOIR_OK, "%s", text.data);
    static FILE *null;
    if (!null) null = fopen("/dev/null", "w");
    idl_diff_counts counts = {0};
    idl_error error = {0};
    if (!null || !idl_diff(file, file, null, &counts, &error)) {
        FUZZ_CHECK(null && error.text[0], "no text");
        return;
    }
    for (int i = 0; i < IDL_CALLERS; i++) {
        const idl_diff_way *way = &counts.callers[i];
        FUZZ_CHECK(way->broken == 0 && way->partial == 0, "differs from itself");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_run f;
    idl *file = NULL;
    idl_error error = {0};
    fuzz_open(&f, data, size);
    choir_bytes text = fuzz_copy(&f, f.in);
    if (!idl_parse((const char *)text.data, text.len, "fuzz.rs", &file, &error)) {
        FUZZ_CHECK(!file && strstr(error.text, "error: "), "refused without a text");
        return fuzz_close(&f);
    }
    if (idl_announce(file, &error))
        check_file(file);
    else
        FUZZ_CHECK(strstr(error.text, "error: "), "not announced, without a text");
    idl_free(file);
    return fuzz_close(&f);
}
