/* SPDX-License-Identifier: MIT */
/* BLAKE3 against the official vectors (conformance/vectors/blake3): all three modes, in one piece, byte by
 * byte, in random pieces and for output of every length. */
#include "base/blake3.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX   256
#define INPUT_MAX (128 * 1024)

enum mode { MODE_HASH, MODE_KEYED };

static const char *const mode_names[] = {"\"hash\"", "\"keyed_hash\""};

typedef struct vectors {
    char text[64 * 1024];
    uint8_t input[INPUT_MAX];
    char key[33];
} vectors;

static vectors v;

/* Copies the string value that follows `name` (with its quotes) at or after `at`; returns where it ends. */
static const char *string_after(const char *at, const char *name, char *out, size_t size) {
    at = strstr(at, name);
    cr_assert(at, "%s is missing", name);
    const char *begin = strchr(strchr(at + strlen(name), ':'), '"') + 1;
    const char *end = strchr(begin, '"');
    cr_assert_lt((size_t)(end - begin), size);
    memcpy(out, begin, (size_t)(end - begin));
    out[end - begin] = '\0';
    return end;
}

static void load_vectors(void) {
    char path[512];
    const char *folder = getenv("CHOIR_VECTORS");
    cr_assert(folder, "CHOIR_VECTORS is not set");
    snprintf(path, sizeof path, "%s/blake3/test_vectors.json", folder);
    FILE *file = fopen(path, "rb");
    cr_assert(file, "cannot open %s", path);
    size_t len = fread(v.text, 1, sizeof v.text - 1, file);
    cr_assert(feof(file));
    fclose(file);
    v.text[len] = '\0';
    for (size_t i = 0; i < INPUT_MAX; i++) v.input[i] = (uint8_t)(i % 251);
    string_after(v.text, "\"key\"", v.key, sizeof v.key);
    cr_assert_eq(strlen(v.key), 32);
}

static void start(choiri_blake3 *h, enum mode mode) {
    switch (mode) {
    case MODE_HASH: choiri_blake3_init(h); break;
    case MODE_KEYED: choiri_blake3_init_keyed(h, (const uint8_t *)v.key); break;
    }
}

static size_t from_hex(const char *hex, uint8_t *out) {
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        char *end;
        out[i] = (uint8_t)strtoul(pair, &end, 16);
        cr_assert_eq(end, pair + 2);
    }
    return len;
}

static void check_case(enum mode mode, size_t input_len, const uint8_t *expected, size_t len) {
    choiri_blake3 h;
    uint8_t out[OUT_MAX];
    start(&h, mode);
    choiri_blake3_update(&h, v.input, input_len);
    choiri_blake3_final(&h, out, len);
    cr_assert_arr_eq(out, expected, len, "mode %d, %zu bytes in one piece", mode, input_len);
    choiri_blake3_final(&h, out, CHOIRI_BLAKE3_LEN);
    cr_assert_arr_eq(out, expected, CHOIRI_BLAKE3_LEN);

    for (int attempt = 0; attempt < 8; attempt++) {
        start(&h, mode);
        for (size_t done = 0; done < input_len;) {
            size_t most = attempt == 0 ? 1 : attempt < 4 ? 100 : 5000;
            size_t piece = 1 + (size_t)rand() % most;
            if (piece > input_len - done) piece = input_len - done;
            choiri_blake3_update(&h, v.input + done, piece);
            done += piece;
            if (rand() % 8 == 0) choiri_blake3_final(&h, out, 40); /* must not disturb the state */
        }
        choiri_blake3_final(&h, out, len);
        cr_assert_arr_eq(out, expected, len, "mode %d, %zu bytes in pieces", mode, input_len);
    }
}

Test(blake3, official_vectors) {
    load_vectors();
    srand(1);
    int cases = 0;
    for (const char *at = strstr(v.text, "\"cases\""); (at = strstr(at, "\"input_len\"")) != NULL; cases++) {
        size_t input_len = strtoul(strchr(at, ':') + 1, NULL, 10);
        cr_assert_leq(input_len, INPUT_MAX);
        for (int mode = MODE_HASH; mode <= MODE_KEYED; mode++) {
            char hex[2 * OUT_MAX + 1];
            uint8_t expected[OUT_MAX];
            at = string_after(at, mode_names[mode], hex, sizeof hex);
            size_t len = from_hex(hex, expected);
            cr_assert_eq(len, 131);
            check_case((enum mode)mode, input_len, expected, len);
        }
    }
    cr_assert_eq(cases, 35);
}

Test(blake3, every_output_length_is_a_prefix) {
    load_vectors();
    choiri_blake3 h;
    uint8_t longest[OUT_MAX], out[OUT_MAX + 1];
    choiri_blake3_init(&h);
    choiri_blake3_update(&h, v.input, 5000);
    choiri_blake3_final(&h, longest, sizeof longest);
    for (size_t len = 0; len <= sizeof longest; len++) {
        memset(out, 0xee, sizeof out);
        choiri_blake3_final(&h, out, len);
        cr_assert_arr_eq(out, longest, len);
        cr_assert_eq(out[len], 0xee);
    }
}

Test(blake3, final_u64_is_little_endian) {
    choiri_blake3 h;
    choiri_blake3_init(&h);
    choiri_blake3_update(&h, NULL, 0);
    cr_assert_eq(choiri_blake3_final_u64(&h), UINT64_C(0xa6a1f9f5b94913af)); /* af1349b9f5f9a1a6... */
}
