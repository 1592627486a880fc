/* SPDX-License-Identifier: MIT */
/* Numbers as decimal text. */
#include "value/number.h"

#include "value/decimal.h"

#include <string.h>

static size_t write_u128(choir_u128 v, char *out) {
    uint32_t limbs[4] = {(uint32_t)(v.hi >> 32), (uint32_t)v.hi, (uint32_t)(v.lo >> 32), (uint32_t)v.lo};
    char digits[40];
    size_t from = sizeof digits;
    uint32_t left;
    do { /* the remainder of a division by ten is the last digit that is missing */
        uint64_t rest = 0;
        left = 0;
        for (size_t i = 0; i < 4; i++) {
            rest = rest << 32 | limbs[i];
            limbs[i] = (uint32_t)(rest / 10);
            rest %= 10;
            left |= limbs[i];
        }
        digits[--from] = (char)('0' + rest);
    } while (left > 0);
    memcpy(out, digits + from, sizeof digits - from);
    return sizeof digits - from;
}

static size_t write_u64(uint64_t v, char *out) {
    char digits[20];
    size_t from = sizeof digits;
    do {
        digits[--from] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    memcpy(out, digits + from, sizeof digits - from);
    return sizeof digits - from;
}

static size_t write_i64(int64_t v, char *out) {
    if (v >= 0) return write_u64((uint64_t)v, out);
    *out = '-';
    return 1 + write_u64(0 - (uint64_t)v, out + 1);
}

static size_t write_i128(choir_u128 v, char *out) {
    if (!(v.hi >> 63)) return write_u128(v, out);
    *out = '-';
    return 1 + write_u128((choir_u128){0 - v.lo, ~v.hi + (v.lo == 0)}, out + 1);
}

static size_t write_duration(const choir_timespan *v, char *out) {
    size_t len = write_u64(v->seconds, out);
    char digits[10] = {'.'};
    size_t digits_len = 0;
    uint32_t nanos = v->nanoseconds;
    for (size_t i = 9; i > 0; i--, nanos /= 10) {
        digits[i] = (char)('0' + nanos % 10);
        if (digits_len == 0 && nanos % 10 != 0) digits_len = 1 + i;
    }
    memcpy(out + len, digits, digits_len);
    return len + digits_len;
}

size_t choiri_number_write(uint32_t kind, const void *number, char out[CHOIRI_NUMBER_MAX]) {
    switch (kind) {
    case CHOIR_KIND_U8: return write_u64(*(const uint8_t *)number, out);
    case CHOIR_KIND_U16: return write_u64(*(const uint16_t *)number, out);
    case CHOIR_KIND_U32: return write_u64(*(const uint32_t *)number, out);
    case CHOIR_KIND_U64: return write_u64(*(const uint64_t *)number, out);
    case CHOIR_KIND_U128: return write_u128(*(const choir_u128 *)number, out);
    case CHOIR_KIND_I8: return write_i64(*(const int8_t *)number, out);
    case CHOIR_KIND_I16: return write_i64(*(const int16_t *)number, out);
    case CHOIR_KIND_I32: return write_i64(*(const int32_t *)number, out);
    case CHOIR_KIND_I64: return write_i64(*(const int64_t *)number, out);
    case CHOIR_KIND_I128: return write_i128(*(const choir_u128 *)number, out);
    case CHOIR_KIND_F32: return choiri_decimal_from_f32(*(const float *)number, out);
    case CHOIR_KIND_F64: return choiri_decimal_from_f64(*(const double *)number, out);
    default: return write_duration(number, out);
    }
}
