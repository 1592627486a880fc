/* SPDX-License-Identifier: MIT */
/* Decimal conversion against libc's, which glibc rounds correctly: random bits, short and long digits,
 * ties. */
#include "value/decimal.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Release builds try a million numbers of a kind, other builds the first of these. */
#ifdef TEST_ALL
#define ROUNDS 1000000
#else
#define ROUNDS 100000
#endif

static uint64_t random_state = 0x243f6a8885a308d3;

static uint64_t random_bits(void) {
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static double f64_of(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static float f32_of(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static choir_str text_of(const char *text) {
    return (choir_str){text, strlen(text)};
}

/* Significant digits of a number's text. */
static int digits_in(const char *text) {
    int n = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (n == 0 && *text == '0')) continue;
        n++;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

static void check_print_f64(double v) {
    char text[CHOIRI_DECIMAL_MAX + 1], reference[64];
    size_t len = choiri_decimal_from_f64(v, text);
    cr_assert_leq(len, CHOIRI_DECIMAL_MAX);
    text[len] = '\0';
    double back = strtod(text, NULL);
    cr_assert_eq(memcmp(&back, &v, sizeof v), 0, "%a became %s", v, text);
    /* One digit less does not come back, however it is rounded by libc. */
    int digits = digits_in(text);
    if (digits <= 1) return;
    snprintf(reference, sizeof reference, "%.*e", digits - 2, v);
    cr_assert(strtod(reference, NULL) != v, "%s is shorter than %s", reference, text);
}

static void check_parse_f64(const char *text) {
    double expected = strtod(text, NULL), got = 0;
    int rc = choiri_decimal_to_f64(text_of(text), &got);
    cr_assert_eq(rc, isinf(expected) ? CHOIR_ERR_TOO_LARGE : CHOIR_OK, "%s", text);
    if (rc == CHOIR_OK)
        cr_assert_eq(memcmp(&got, &expected, sizeof got), 0, "%s: %a, not %a", text, got, expected);
}

static void check_parse_f32(const char *text) {
    float expected = strtof(text, NULL), got = 0;
    int rc = choiri_decimal_to_f32(text_of(text), &got);
    cr_assert_eq(rc, isinf(expected) ? CHOIR_ERR_TOO_LARGE : CHOIR_OK, "%s", text);
    if (rc == CHOIR_OK)
        cr_assert_eq(memcmp(&got, &expected, sizeof got), 0, "%s: %a, not %a", text, (double)got,
                     (double)expected);
}

Test(decimal, random_f64, .timeout = 170) {
    char text[64];
    for (int i = 0; i < ROUNDS; i++) {
        double v = f64_of(random_bits());
        if (!isfinite(v)) continue;
        if (i % 4 == 0) check_print_f64(v);
        snprintf(text, sizeof text, "%.17g", v);
        check_parse_f64(text);
    }
}

Test(decimal, random_f64_prints, .timeout = 170) {
    for (int i = 0; i < ROUNDS; i++) {
        char text[CHOIRI_DECIMAL_MAX];
        double v = f64_of(random_bits()), back;
        if (!isfinite(v)) continue;
        size_t len = choiri_decimal_from_f64(v, text);
        cr_assert_eq(choiri_decimal_to_f64((choir_str){text, len}, &back), CHOIR_OK);
        cr_assert_eq(memcmp(&back, &v, sizeof v), 0, "%a", v);
    }
}

Test(decimal, random_f32, .timeout = 170) {
    char text[CHOIRI_DECIMAL_MAX + 1];
    for (int i = 0; i < ROUNDS / 4; i++) {
        float v = f32_of((uint32_t)random_bits()), back;
        if (!isfinite(v)) continue;
        text[choiri_decimal_from_f32(v, text)] = '\0';
        back = strtof(text, NULL);
        cr_assert_eq(memcmp(&back, &v, sizeof v), 0, "%a became %s", (double)v, text);
        cr_assert_leq(digits_in(text), 9, "%s", text);
        check_parse_f32(text);
    }
}

Test(decimal, random_texts, .timeout = 170) {
    char text[128];
    for (int i = 0; i < ROUNDS / 4; i++) {
        unsigned long long whole = random_bits() >> random_bits() % 64,
                           part = random_bits() >> random_bits() % 64;
        snprintf(text, sizeof text, "%s%llu.%llue%d", i % 2 ? "-" : "", whole, part,
                 (int)(random_bits() % 680) - 350);
        check_parse_f64(text);
        snprintf(text, sizeof text, "%llu.%lluE%+d", whole, part, (int)(random_bits() % 100) - 70);
        check_parse_f32(text);
    }
}

/* The exact middle between two neighbours, up to 767 digits long, and a hair to both sides of it. */
Test(decimal, ties) {
    static char text[2000];
    for (int i = 0; i < 3000; i++) {
        uint64_t bits = random_bits() & (UINT64_MAX >> 1);
        if (i % 3 == 0) bits &= (UINT64_C(1) << 53) - 1; /* the smallest normal and subnormal numbers */
        double low = f64_of(bits), high = f64_of(bits + 1);
        if (!isfinite(high)) continue;
        snprintf(text, sizeof text, "%.1100Lf", ((long double)low + (long double)high) / 2);
        check_parse_f64(text);
        strcat(text, "1");
        check_parse_f64(text);
        size_t last = strlen(text) - 1;
        text[last] = '\0';
        while (text[last - 1] == '0') text[--last] = '\0'; /* to the last digit that counts */
        if (text[last - 1] == '.') continue;
        text[last - 1]--;
        memset(text + last, '9', 200);
        text[last + 200] = '\0';
        check_parse_f64(text);
    }
}

Test(decimal, extremes) {
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "0e999999999999999999999",
        "-0.000e-5",
        "1e308",
        "1e309",
        "-1e309",
        "1e99999999999999999999",
        "1e-323",
        "1e-324",
        "1e-99999999999999999999",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "4.9406564584124654e-324",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "179769313486231580793e289",
        "9007199254740993",
        "9007199254740992.9999999999999999999999999999999999999999",
        "0.1",
        "1.0000000000000002",
        "123456789e-10",
        "16777217",
        "3.4028235677973366e38",
        "3.4028235677973365e38",
        "7.0064923216240853e-46",
        "7.006492321624086e-46",
        "1.1754943508222875e-38",
        "0.000000000000000000000000000000000000000000001",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        check_parse_f64(texts[i]);
        check_parse_f32(texts[i]);
    }
    /* Text much longer than what is kept of it. */
    static char text[100010];
    memset(text, '0', sizeof text);
    text[1] = '.';
    text[99000] = '1';
    memcpy(text + 99001, "e98990", 7);
    check_parse_f64(text);
    memset(text, '9', 99000);
    memcpy(text + 99000, "e-98990", 8);
    check_parse_f64(text);
}

static void check_neighbours(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    check_print_f64(v);
    check_print_f64(-f64_of(bits - 1));
    if (isfinite(f64_of(bits + 1))) check_print_f64(f64_of(bits + 1));
}

/* Powers of two have a nearer neighbour below; powers of ten are where the number of digits is guessed. */
Test(decimal, powers) {
    for (int e = -1074; e < 1024; e++)
        check_neighbours(f64_of(e < -1022 ? UINT64_C(1) << (e + 1074) : (uint64_t)(e + 1023) << 52));
    for (int e = -323; e <= 308; e++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", e);
        check_neighbours(strtod(text, NULL));
    }
}

Test(decimal, spelling) {
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {-1.5, "-1.5"},
        {100, "100.0"},
        {0.1, "0.1"},
        {12.5, "12.5"},
        {1e15, "1000000000000000.0"},
        {1234567890123456, "1234567890123456.0"},
        {1e16, "1e16"},
        {12345678901234567000.0, "1.2345678901234567e19"},
        {1e-5, "0.00001"},
        {1.25e-5, "0.0000125"},
        {1e-6, "1e-6"},
        {1e23, "1e23"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e308"},
        {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
        {9007199254740993.0, "9007199254740992.0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[CHOIRI_DECIMAL_MAX + 1];
        text[choiri_decimal_from_f64(cases[i].v, text)] = '\0';
        cr_expect_str_eq(text, cases[i].text);
    }
    char text[CHOIRI_DECIMAL_MAX + 1];
    text[choiri_decimal_from_f32(0.1f, text)] = '\0';
    cr_expect_str_eq(text, "0.1", "not the digits of the double that is nearest to the float");
    text[choiri_decimal_from_f32(3.4028235e38f, text)] = '\0';
    cr_expect_str_eq(text, "3.4028235e38");
}
