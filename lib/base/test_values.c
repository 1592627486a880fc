/* SPDX-License-Identifier: MIT */
/* The helpers of choir/base.h and choir/type.h. */
#include "choir/type.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static bool is_precision(int expected, const char *text, int len, const char *data) {
    return len == expected && data == text;
}

Test(values, strings) {
    const char name[] = "Ada Lovelace";
    choir_str whole = choir_str_of(name), ada = {name, 3}, none = choir_str_of(NULL),
              empty = choir_str_of("");
    char line[64];
    cr_expect(whole.data == name && whole.len == 12);
    cr_expect(!none.data && none.len == 0 && empty.data && empty.len == 0);
    cr_expect(choir_str_equal(ada, CHOIR_STR("Ada")) && choir_str_equal(none, empty));
    cr_expect(!choir_str_equal(ada, whole) && !choir_str_equal(ada, CHOIR_STR("Adb")));
    cr_expect(choir_str_equal((choir_str){"a\0b", 3}, CHOIR_STR("a\0b")) &&
              !choir_str_equal((choir_str){"a\0b", 3}, CHOIR_STR("a\0c")));
    snprintf(line, sizeof line, "<%.*s>", CHOIR_STR_ARGS(ada));
    cr_expect(strcmp(line, "<Ada>") == 0);
    /* More than an int holds would be a negative precision, which means none. */
    choir_str huge = {name, sizeof(size_t) > 4 ? SIZE_MAX / 2 : 0x90000000u};
    cr_expect(is_precision(INT32_MAX, name, CHOIR_STR_ARGS(huge)));
    const uint8_t bytes[] = {0, 1, 2}, others[] = {0, 1, 3};
    cr_expect(choir_bytes_equal((choir_bytes){bytes, 2}, (choir_bytes){others, 2}) &&
              !choir_bytes_equal((choir_bytes){bytes, 3}, (choir_bytes){others, 3}));
    cr_expect(choir_bytes_equal((choir_bytes){NULL, 0}, (choir_bytes){others, 0}));
}

Test(values, spans) {
    choir_timespan span = choir_timespan_of(3 * CHOIR_SECOND + 7);
    cr_expect(span.seconds == 3 && span.nanoseconds == 7 && choir_duration_of(span) == 3 * CHOIR_SECOND + 7);
    span = choir_timespan_of(CHOIR_TIME_NEVER);
    cr_expect(span.nanoseconds < CHOIR_SECOND && choir_duration_of(span) == CHOIR_TIME_NEVER);
    cr_expect_eq(choir_duration_of(choir_timespan_of(CHOIR_TIME_NEVER - 1)), CHOIR_TIME_NEVER - 1);
    cr_expect_eq(choir_duration_of((choir_timespan){18446744073, 709551614}), CHOIR_TIME_NEVER - 1);
    cr_expect_eq(choir_duration_of((choir_timespan){18446744073, 709551616}), CHOIR_TIME_NEVER);
    cr_expect_eq(choir_duration_of((choir_timespan){18446744074, 0}), CHOIR_TIME_NEVER);
    cr_expect_eq(choir_duration_of((choir_timespan){UINT64_MAX, 999999999}), CHOIR_TIME_NEVER);
    cr_expect_eq(choir_duration_of((choir_timespan){0, 0}), 0);
}

Test(values, options) {
    struct option {
        bool some;
        uint16_t value[2];
    } pair = CHOIR_SOME({1, 2}), none = CHOIR_NONE;
    struct nothing {
        bool some;
    } nothing = CHOIR_SOME();
    cr_expect(pair.some && pair.value[1] == 2 && !none.some && nothing.some);
    none = (struct option)CHOIR_SOME({3});
    cr_expect(none.some && none.value[0] == 3);
}
