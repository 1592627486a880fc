/* SPDX-License-Identifier: MIT */
/* Exact conversion between floating-point numbers and decimal text.
 *
 * Both directions are school arithmetic on large integers, so there is nothing to be nearly right about. A
 * number is an integer times a power of two, its text an integer times a power of ten; multiplying out the
 * powers that are not negative leaves a fraction of two integers on each side. Printing is the free-format
 * algorithm of Steele, White and Dybvig: digits are divided off until what is left cannot be told apart from
 * the number by a reader. Parsing divides to 64 bits and a remainder, then rounds once. Rejected: the fast
 * algorithms (Ryu, Eisel-Lemire), whose tables are larger than this file; values pass through text only in
 * tools and logs. */
#include "value/decimal.h"

#include "base/assert.h"

#include <string.h>

/* The largest number here is 10^1100, with 64 bits of quotient below it: 3,750 bits. */
#define LIMBS 128u
/* Digits of a parsed number that count. The longest exact middle between two doubles has 767; digits behind
 * these only decide that it is not a tie. */
#define DIGITS_MAX 770u

typedef struct big {
    uint32_t len; /* without leading zero limbs; 0 is zero */
    uint32_t limb[LIMBS];
} big;

/* A binary format: numbers are mantissa * 2^exponent. */
typedef struct format {
    uint32_t bits;      /* of the mantissa, with the hidden one */
    int32_t min;        /* smallest exponent */
    uint32_t exponents; /* all ones in the field of the exponent: not a finite number */
    uint32_t sign;      /* number of the sign bit */
} format;

static const format f32_format = {24, -149, 255, 31}, f64_format = {53, -1074, 2047, 63};

static void big_set(big *a, uint64_t v) {
    a->limb[0] = (uint32_t)v;
    a->limb[1] = (uint32_t)(v >> 32);
    a->len = v >> 32 ? 2 : v ? 1 : 0;
}

static void big_push(big *a, uint32_t limb) {
    CHOIRI_ASSERT(a->len < LIMBS);
    a->limb[a->len++] = limb;
}

/* a = a * factor + more */
static void big_mul(big *a, uint32_t factor, uint32_t more) {
    uint64_t carry = more;
    for (uint32_t i = 0; i < a->len; i++) {
        carry += (uint64_t)a->limb[i] * factor;
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) big_push(a, (uint32_t)carry);
}

static void big_mul_pow10(big *a, uint32_t power) {
    for (; power >= 9; power -= 9) big_mul(a, 1000000000u, 0);
    for (; power > 0; power--) big_mul(a, 10, 0);
}

static void big_shift(big *a, uint32_t bits) {
    if (a->len == 0) return;
    uint32_t limbs = bits / 32;
    CHOIRI_ASSERT(a->len + limbs < LIMBS);
    memmove(a->limb + limbs, a->limb, a->len * sizeof a->limb[0]);
    memset(a->limb, 0, limbs * sizeof a->limb[0]);
    a->len += limbs;
    big_mul(a, 1u << bits % 32, 0);
}

static int32_t big_bits(const big *a) {
    return (int32_t)(32 * a->len) - __builtin_clz(a->limb[a->len - 1]);
}

static int big_compare(const big *a, const big *b) {
    if (a->len != b->len) return a->len < b->len ? -1 : 1;
    for (uint32_t i = a->len; i-- > 0;)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* a + b compared with c */
static int big_compare_sum(const big *a, const big *b, const big *c) {
    big sum;
    uint64_t carry = 0;
    sum.len = 0;
    for (uint32_t i = 0; i < a->len || i < b->len || carry; i++) {
        carry += (uint64_t)(i < a->len ? a->limb[i] : 0) + (i < b->len ? b->limb[i] : 0);
        big_push(&sum, (uint32_t)carry);
        carry >>= 32;
    }
    return big_compare(&sum, c);
}

/* a -= b * factor, which is not more than a */
static void big_subtract(big *a, const big *b, uint32_t factor) {
    uint64_t carry = 0; /* to be taken from the next limb */
    for (uint32_t i = 0; i < a->len && (i < b->len || carry); i++) {
        carry += i < b->len ? (uint64_t)b->limb[i] * factor : 0;
        uint32_t low = (uint32_t)carry;
        carry = (carry >> 32) + (a->limb[i] < low);
        a->limb[i] -= low;
    }
    while (a->len > 0 && a->limb[a->len - 1] == 0) a->len--;
}

/* a %= b, returns a / b, which must be below 2^32. The first limbs give a quotient that is never too large,
 * and close when b's highest bits are set; the rest is subtracted one by one. */
static uint32_t big_divide(big *a, const big *b) {
    if (a->len < b->len) return 0;
    uint64_t top = a->limb[a->len - 1];
    if (a->len > b->len) top = top << 32 | a->limb[a->len - 2];
    uint32_t quotient = (uint32_t)(top / ((uint64_t)b->limb[b->len - 1] + 1));
    big_subtract(a, b, quotient);
    while (big_compare(a, b) >= 0) {
        big_subtract(a, b, 1);
        quotient++;
    }
    return quotient;
}

/* Shortest digits of mantissa * 2^exponent, and where the point is: the number is 0.DIGITS * 10^*ret_point.
 * `uneven`: the next number below is only half as far away as the next above. */
static size_t shortest(uint64_t mantissa, int32_t exponent, bool uneven, char digits[17],
                       int32_t *ret_point) {
    /* The number is value / scale; above / scale and below / scale are half the ways to its neighbours. */
    big value, scale, above, below;
    big_set(&value, mantissa);
    big_set(&scale, 1);
    big_set(&above, 1);
    big_set(&below, 1);
    big_shift(&scale, exponent < 0 ? (uint32_t)-exponent : 0);
    uint32_t up = exponent > 0 ? (uint32_t)exponent : 0, finer = uneven ? 1 : 0;
    big_shift(&value, up + finer + 1);
    big_shift(&scale, finer + 1);
    big_shift(&above, up + finer);
    big_shift(&below, up);

    /* log10 of the number's highest bit, rounded down; 0.30103 is near enough to log10(2) for any exponent
     * here. The point is then right or one too small. */
    int32_t log10 = (exponent + 63 - __builtin_clzll(mantissa)) * 30103;
    int32_t point = log10 / 100000 + (log10 % 100000 < 0 ? 0 : 1);
    if (point > 0) big_mul_pow10(&scale, (uint32_t)point);
    uint32_t scaled = point < 0 ? (uint32_t)-point : 0;
    big_mul_pow10(&value, scaled);
    big_mul_pow10(&above, scaled);
    big_mul_pow10(&below, scaled);

    /* A reader rounds a tie to the even mantissa: the ends of the interval are ours only if our mantissa is
     * even. */
    int inside = mantissa % 2 == 0 ? 0 : 1;
    bool too_small = big_compare_sum(&value, &above, &scale) >= inside;
    if (too_small) point++;
    size_t len = 0;
    for (bool low = false, high = false; !low && !high;) {
        if (len > 0 || !too_small) {
            big_mul(&value, 10, 0);
            big_mul(&above, 10, 0);
            big_mul(&below, 10, 0);
        }
        uint32_t digit = big_divide(&value, &scale);
        low = big_compare(&below, &value) >= inside;
        high = big_compare_sum(&value, &above, &scale) >= inside;
        if (low && high) high = big_compare_sum(&value, &value, &scale) >= 0; /* the nearer one */
        if (high) digit++;
        CHOIRI_ASSERT(len < 17 && digit <= 9);
        digits[len++] = (char)('0' + digit);
    }
    *ret_point = point;
    return len;
}

static size_t put_exponent(char *out, int32_t exponent) {
    char digits[4];
    size_t len = 0, n = 0;
    out[len++] = 'e';
    if (exponent < 0) out[len++] = '-';
    for (uint32_t v = (uint32_t)(exponent < 0 ? -exponent : exponent); v > 0; v /= 10)
        digits[n++] = (char)('0' + v % 10);
    while (n > 0) out[len++] = digits[--n];
    return len;
}

/* 0.DIGITS * 10^point as 0.00012, 12.5 or 1200.0, and as 1.2e30 when there would be many zeros. */
static size_t put_digits(char *out, const char *digits, size_t n, int32_t point) {
    bool scientific = point > 16 || point < -4;
    size_t whole = scientific ? 1 : point > 0 ? (size_t)point : 0;
    size_t zeros = scientific || point > 0 ? 0 : (size_t)-point;
    size_t len = 0;
    if (whole == 0) out[len++] = '0';
    for (size_t i = 0; i < whole; i++) out[len++] = i < n ? digits[i] : '0';
    if (!scientific || n > 1) out[len++] = '.';
    while (zeros-- > 0) out[len++] = '0';
    for (size_t i = whole; i < n; i++) out[len++] = digits[i];
    if (!scientific && n <= whole) out[len++] = '0';
    return scientific ? len + put_exponent(out + len, point - 1) : len;
}

static size_t print(uint64_t bits, const format *f, char *out) {
    uint32_t stored = f->bits - 1; /* the highest bit of a normal mantissa is not stored */
    uint64_t hidden = UINT64_C(1) << stored;
    uint64_t mantissa = bits & (hidden - 1);
    int32_t field = (int32_t)(bits >> stored & f->exponents);
    bool uneven = mantissa == 0 && field > 1;
    CHOIRI_ASSERT(field < (int32_t)f->exponents);
    size_t len = 0;
    if (bits >> f->sign) out[len++] = '-';
    if (field > 0) mantissa |= hidden;
    if (mantissa == 0) {
        memcpy(out + len, "0.0", 3);
        return len + 3;
    }
    char digits[17];
    int32_t point;
    size_t n = shortest(mantissa, f->min + (field > 0 ? field - 1 : 0), uneven, digits, &point);
    return len + put_digits(out + len, digits, n, point);
}

/* The digits of a text as an integer times a power of ten. */
typedef struct decimal {
    big digits;
    uint32_t len;     /* digits counted, without leading zeros */
    int64_t exponent; /* of ten */
    bool more;        /* digits that were left out are not all 0 */
} decimal;

static void add_digit(decimal *d, char c, bool after_point) {
    bool kept = d->len < DIGITS_MAX;
    if (kept && (d->len > 0 || c != '0')) {
        big_mul(&d->digits, 10, (uint32_t)(c - '0'));
        d->len++;
    }
    if (!kept && c != '0') d->more = true;
    if (kept == after_point) d->exponent += kept ? -1 : 1;
}

static void scan(decimal *d, choir_str s) {
    size_t i = 0;
    bool after_point = false;
    big_set(&d->digits, 0);
    d->len = 0;
    d->exponent = 0;
    d->more = false;
    if (s.data[0] == '-') i++;
    for (; i < s.len && s.data[i] != 'e' && s.data[i] != 'E'; i++) {
        if (s.data[i] == '.')
            after_point = true;
        else
            add_digit(d, s.data[i], after_point);
    }
    if (i == s.len) return;
    bool negative = s.data[++i] == '-';
    if (negative || s.data[i] == '+') i++;
    int64_t exponent = 0;
    for (; i < s.len; i++)
        if (exponent < INT64_C(1) << 50)
            exponent = exponent * 10 + (s.data[i] - '0'); /* longer than any text */
    d->exponent += negative ? -exponent : exponent;
}

/* num / den in 64 bits with the highest or next to highest set, times 2^-*ret_scale. */
static uint64_t divide(big *num, big *den, int32_t *ret_scale, bool *ret_rest) {
    int32_t scale = 63 + big_bits(den) - big_bits(num);
    if (scale > 0) big_shift(num, (uint32_t)scale);
    if (scale < 0) big_shift(den, (uint32_t)-scale);
    uint32_t spare = (uint32_t)__builtin_clz(den->limb[den->len - 1]);
    big_shift(num, spare);
    big_shift(den, spare);
    /* Two digits of 32 bits: the last limb of the numerator is kept back for the second. */
    uint32_t last = num->limb[0];
    num->len--;
    memmove(num->limb, num->limb + 1, num->len * sizeof num->limb[0]);
    uint64_t quotient = (uint64_t)big_divide(num, den) << 32;
    big_shift(num, 32);
    if (num->len > 0)
        num->limb[0] = last;
    else
        big_set(num, last);
    quotient |= big_divide(num, den);
    *ret_scale = scale;
    *ret_rest = num->len > 0;
    return quotient;
}

/* Rounds quotient * 2^exponent (and a bit more, if `rest`). */
static int round_to(const format *f, uint64_t quotient, int32_t exponent, bool rest, uint64_t *ret_bits) {
    int32_t drop = 64 - __builtin_clzll(quotient) - (int32_t)f->bits;
    if (exponent + drop < f->min) drop = f->min - exponent;
    *ret_bits = 0;
    if (drop > 64) return CHOIR_OK; /* below half of the smallest number */
    uint64_t mantissa = drop < 64 ? quotient >> drop : 0;
    uint64_t half = UINT64_C(1) << (drop - 1), dropped = quotient & (half | (half - 1));
    if (dropped > half || (dropped == half && (rest || mantissa % 2 == 1))) mantissa++;
    /* The hidden bit adds one to the exponent's field, as does a mantissa that was rounded up to the next
     * power. */
    uint64_t bits = ((uint64_t)(exponent + drop - f->min) << (f->bits - 1)) + mantissa;
    if (bits >> (f->bits - 1) >= f->exponents) return CHOIR_ERR_TOO_LARGE;
    *ret_bits = bits;
    return CHOIR_OK;
}

static int parse(choir_str number, const format *f, uint64_t *ret_bits) {
    decimal d;
    uint64_t bits = 0;
    scan(&d, number);
    int64_t point = d.exponent + d.len;
    if (d.len > 0 && point > 310) return CHOIR_ERR_TOO_LARGE;
    if (d.len > 0 && point > -330) { /* else it is 0, or rounds to it */
        big den;
        int32_t scale;
        bool rest;
        big_set(&den, 1);
        if (d.exponent > 0) big_mul_pow10(&d.digits, (uint32_t)d.exponent);
        if (d.exponent < 0) big_mul_pow10(&den, (uint32_t)-d.exponent);
        uint64_t quotient = divide(&d.digits, &den, &scale, &rest);
        int rc = round_to(f, quotient, -scale, rest || d.more, &bits);
        if (rc != CHOIR_OK) return rc;
    }
    *ret_bits = bits | (uint64_t)(number.data[0] == '-') << f->sign;
    return CHOIR_OK;
}

size_t choiri_decimal_from_f64(double v, char out[CHOIRI_DECIMAL_MAX]) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return print(bits, &f64_format, out);
}

size_t choiri_decimal_from_f32(float v, char out[CHOIRI_DECIMAL_MAX]) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return print(bits, &f32_format, out);
}

int choiri_decimal_to_f64(choir_str number, double *ret) {
    uint64_t bits;
    int rc = parse(number, &f64_format, &bits);
    if (rc == CHOIR_OK) memcpy(ret, &bits, sizeof *ret);
    return rc;
}

int choiri_decimal_to_f32(choir_str number, float *ret) {
    uint64_t bits;
    int rc = parse(number, &f32_format, &bits);
    uint32_t narrow = (uint32_t)bits;
    if (rc == CHOIR_OK) memcpy(ret, &narrow, sizeof *ret);
    return rc;
}
