/* SPDX-License-Identifier: MIT */
/* What the first payload of a link can be, on both ends.
 * Input: modes that are supported, or the mode that was asked for; payload. */
#include "link/prologue.h"
#include "fuzz.h"

#include <string.h>

static void check_text(const choiri_text *text, const char *of) {
    FUZZ_CHECK(text->len > 0 && text->len < sizeof text->data, "%s: a text of %zu bytes", of, text->len);
    FUZZ_CHECK(strlen(text->data) == text->len, "%s: the text has a NUL", of);
    for (size_t i = 0; i < text->len; i++)
        FUZZ_CHECK(text->data[i] >= ' ' && text->data[i] < 127, "%s: a text that terminals obey", of);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_run f;
    fuzz_open(&f, data, size);
    uint8_t choice = fuzz_u8(&f), out[CHOIRI_PROLOGUE_LEN] = {0}, mode = 0xee;
    uint32_t supported = (choice & 1u) | (choice & 2u) | (uint32_t)(choice & 4u) << 14;
    choir_bytes payload = fuzz_copy(&f, f.in);
    choiri_text text;
    choiri_text_init(&text);
    switch (choiri_prologue_judge_hello(payload, supported, out, &mode, &text)) {
    case CHOIRI_PROLOGUE_ACCEPT:
        FUZZ_CHECK(mode < 32 && (supported >> mode & 1u), "mode %d is not supported", mode);
        FUZZ_CHECK(memcmp(out, "VOTA", 4) == 0 && payload.len == CHOIRI_PROLOGUE_LEN, "not accepted");
        choiri_text_init(&text);
        FUZZ_CHECK(choiri_prologue_judge_answer((choir_bytes){out, sizeof out}, mode, &text) == CHOIR_OK,
                   "our answer is not taken by ourselves: %s", text.data);
        break;
    case CHOIRI_PROLOGUE_REJECT:
        FUZZ_CHECK(memcmp(out, "VOTR", 4) == 0, "not rejected");
        check_text(&text, "reject");
        break;
    case CHOIRI_PROLOGUE_CLOSE: check_text(&text, "close"); break;
    default: FUZZ_CHECK(false, "no verdict");
    }
    choiri_text_init(&text);
    int status = choiri_prologue_judge_answer(payload, choice & 16u, &text);
    FUZZ_CHECK(status == CHOIR_OK || status == CHOIR_ERR_REJECTED || status == CHOIR_ERR_PROLOGUE,
               "status %d", status);
    if (status != CHOIR_OK) check_text(&text, "answer");
    if (payload.len >= 4) {
        choiri_text_init(&text);
        choiri_prologue_describe(payload, &text);
        check_text(&text, "description");
    }
    return fuzz_close(&f);
}
