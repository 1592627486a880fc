/* SPDX-License-Identifier: MIT */
/* What Testbed's methods do. No state. */
#include "testbed/testbed_handlers.h"

#include <string.h>

int testbed_echo(const testbed_echo_args *args, choir_str *ret) {
    *ret = args->message;
    return CHOIR_OK;
}

int testbed_reverse(const testbed_reverse_args *args, choir_arena *arena, choir_str *ret) {
    choir_str in = args->message;
    char *out = choir_arena_alloc(arena, in.len, 1);
    if (!out) return CHOIR_ERR_NO_MEMORY;
    /* A scalar is a first byte and the continuation bytes (10xxxxxx) behind it. */
    for (size_t from = 0; from < in.len;) {
        size_t len = 1;
        while (from + len < in.len && ((uint8_t)in.data[from + len] & 0xc0u) == 0x80u) len++;
        memcpy(out + in.len - from - len, in.data + from, len);
        from += len;
    }
    *ret = (choir_str){out, in.len};
    return CHOIR_OK;
}

int testbed_divide(const testbed_divide_args *args, int64_t *ret, testbed_math_error *ret_err) {
    bool by_zero = args->divisor == 0;
    if (by_zero || (args->dividend == INT64_MIN && args->divisor == -1)) {
        *ret_err = (testbed_math_error){by_zero ? TESTBED_MATH_DIVISION_BY_ZERO : TESTBED_MATH_OVERFLOW};
        return TESTBED_USER_ERROR;
    }
    *ret = args->dividend / args->divisor;
    return CHOIR_OK;
}

int testbed_lookup(const testbed_lookup_args *args, testbed_person *ret, testbed_lookup_error *ret_err) {
    static const testbed_person people[] = {
        {{"Alice", 5}, 30, {true, {"alice@example.com", 17}}},
        {{"Bob", 3}, 25, {false, {NULL, 0}}},
        {{"Charlie", 7}, 35, {true, {"charlie@example.com", 19}}},
    };
    if (args->id >= 1 && args->id <= sizeof people / sizeof people[0]) {
        *ret = people[args->id - 1];
        return CHOIR_OK;
    }
    bool denied = args->id >= 100 && args->id <= 199;
    *ret_err = (testbed_lookup_error){denied ? TESTBED_LOOKUP_ACCESS_DENIED : TESTBED_LOOKUP_NOT_FOUND};
    return TESTBED_USER_ERROR;
}

int testbed_echo_gnarly(const testbed_echo_gnarly_args *args, testbed_gnarly_payload *ret) {
    *ret = args->payload;
    return CHOIR_OK;
}

int testbed_echo_bytes(const testbed_echo_bytes_args *args, choir_bytes *ret) {
    *ret = args->data;
    return CHOIR_OK;
}

int testbed_echo_bool(const testbed_echo_bool_args *args, bool *ret) {
    *ret = args->b;
    return CHOIR_OK;
}

int testbed_echo_u64(const testbed_echo_u64_args *args, uint64_t *ret) {
    *ret = args->n;
    return CHOIR_OK;
}

int testbed_echo_option_string(const testbed_echo_option_string_args *args, testbed_option_string *ret) {
    *ret = args->s;
    return CHOIR_OK;
}
