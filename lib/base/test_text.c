/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <criterion/criterion.h>
#include <string.h>

static choir_bytes bytes_of(const char *s) {
    return (choir_bytes){(const uint8_t *)s, strlen(s)};
}

Test(text, pieces) {
    choiri_text t;
    choiri_text_init(&t);
    cr_assert_str_eq(t.data, "");
    choiri_text_u64(choiri_text_add(&t, "stream "), 0);
    choiri_text_add(choiri_text_u64(choiri_text_add(&t, " of "), UINT64_MAX), ": ");
    choiri_text_str(&t, CHOIR_STR("end"));
    cr_assert_str_eq(t.data, "stream 0 of 18446744073709551615: end");
    cr_assert_eq(t.len, strlen(t.data));
    cr_assert_not(t.cut);
    cr_assert_eq(choiri_text_get(&t).len, t.len);
}

Test(text, hex) {
    choiri_text t;
    choiri_text_init(&t);
    choiri_text_hex(choiri_text_hex(&t, 0), UINT64_C(0x0123456789abcdef));
    cr_assert_str_eq(t.data, "0x00000000000000000x0123456789abcdef");
}

Test(text, quoted) {
    choiri_text t;
    choiri_text_init(&t);
    choiri_text_quoted(&t, bytes_of("a\"b\\c\n\x7f~ \xc3\xa9"), 100);
    cr_assert_str_eq(t.data, "\"a\\\"b\\\\c\\x0a\\x7f~ \\xc3\\xa9\"");
    choiri_text_init(&t);
    choiri_text_quoted(&t, (choir_bytes){(const uint8_t *)"\0x", 2}, 2);
    cr_assert_str_eq(t.data, "\"\\x00x\"");
    choiri_text_init(&t);
    choiri_text_quoted(&t, bytes_of("abcdef"), 3);
    cr_assert_str_eq(t.data, "\"abc\"...");
    choiri_text_init(&t);
    choiri_text_quoted(&t, (choir_bytes){NULL, 0}, 3);
    cr_assert_str_eq(t.data, "\"\"");
}

Test(text, cut_at_n_and_one_more) {
    char long_text[300];
    memset(long_text, 'x', sizeof long_text);
    choiri_text t;
    const size_t room = sizeof t.data - 1;
    for (size_t before = 0; before <= room; before++) {
        for (size_t len = room - before; len <= room - before + 2; len++) {
            choiri_text_init(&t);
            choiri_text_str(&t, (choir_str){long_text, before});
            choiri_text_str(&t, (choir_str){long_text, len});
            cr_assert_eq(t.len, room);
            cr_assert_eq(t.data[room], '\0');
            cr_assert_eq(strlen(t.data), room);
            cr_assert_eq(t.cut, before + len > room);
            cr_assert_eq(strcmp(t.data + room - 3, "...") == 0, before + len > room);
            choiri_text_add(&t, "y"); /* one more: cut now at the latest, and never a "y" */
            cr_assert(t.cut);
            cr_assert_str_eq(t.data + room - 3, "...");
        }
    }
}

Test(text, not_cut_inside_a_character) {
    for (int shift = 0; shift < 4; shift++) {
        choiri_text t;
        choiri_text_init(&t);
        for (int i = 0; i < shift; i++) choiri_text_add(&t, "x");
        for (int i = 0; i < 100; i++) choiri_text_add(&t, "\xe2\x82\xac"); /* the euro sign */
        cr_assert(t.cut);
        cr_assert_eq((t.len - 3 - (size_t)shift) % 3, 0);
        cr_assert_str_eq(t.data + t.len - 3, "...");
    }
}

Test(text, long_quotation) {
    uint8_t zeros[4096] = {0};
    choiri_text t;
    choiri_text_init(&t);
    choiri_text_quoted(&t, (choir_bytes){zeros, sizeof zeros}, SIZE_MAX);
    cr_assert(t.cut);
    cr_assert_eq(t.len, sizeof t.data - 1);
}
