/* SPDX-License-Identifier: MIT */
#include "interop/services.h"

#include "generated/testbed.h"

#include <stdalign.h>
#include <stddef.h>

/* clang-format off */
#define NAMES(X) \
    X(Testbed) X(echo) X(reverse) X(divide) X(not_there) X(not_there_unit) X(not_there_fallible) X(MathError) \
    X(DivisionByZero) X(Overflow)
static const struct names {
    char none[1];
#define MEMBER(n) char n[sizeof #n];
    NAMES(MEMBER)
} names = {
    "",
#define TEXT(n) #n,
    NAMES(TEXT)
};
#define N(n) ((uint32_t)offsetof(struct names, n))
#define PLAIN(k, t) {.kind = CHOIR_KIND_##k, .size = sizeof(t), .align = alignof(t)}
#define TUPLE(s, f, c) {.kind = CHOIR_KIND_TUPLE, .size = sizeof(s), .align = alignof(s), .first = (f), .count = (c)}

enum { STRING, U32, U64, I64, UNIT, NEVER, MATH_ERROR, STRING_ARGS, U64_ARGS, WORDS_ARGS, TYPES };

static const choir_field fields[] = {
    {0, STRING, offsetof(testbed_echo_args, message), 0},
    {0, U64, offsetof(mistyped_echo_args, message), 0},
    {0, STRING, offsetof(mistyped_divide_args, dividend), 0},
    {0, I64, offsetof(mistyped_divide_args, divisor), 0},
};
static const choir_variant variants[] = {{N(DivisionByZero), CHOIR_VARIANT_UNIT, 0, 0},
                                         {N(Overflow), CHOIR_VARIANT_UNIT, 0, 0}};
static const choir_type types[TYPES] = {
    [STRING] = PLAIN(STRING, choir_str),
    [U32] = PLAIN(U32, uint32_t),
    [U64] = PLAIN(U64, uint64_t),
    [I64] = PLAIN(I64, int64_t),
    [UNIT] = {.kind = CHOIR_KIND_UNIT, .align = 1},
    [NEVER] = {.kind = CHOIR_KIND_NEVER, .align = 1},
    [MATH_ERROR] = {.kind = CHOIR_KIND_ENUM, .name = N(MathError), .size = sizeof(testbed_math_error),
                    .align = alignof(testbed_math_error), .first = 0, .count = 2},
    [STRING_ARGS] = TUPLE(testbed_echo_args, 0, 1),
    [U64_ARGS] = TUPLE(mistyped_echo_args, 1, 1),
    [WORDS_ARGS] = TUPLE(mistyped_divide_args, 2, 2),
};
static const choir_unit unit = {
    CHOIR_UNIT_HEADER, .types_len = TYPES, .fields_len = 4, .variants_len = 2, .strings_len = sizeof names,
    .types = types, .fields = fields, .variants = variants, .strings = (const char *)&names};

static const choir_method newer_methods[] = {
    [NEWER_ECHO] = {N(echo), 0, STRING_ARGS, STRING, NEVER, 0, UINT64_C(0x880bc4eee23574be), 0, 0},
    [NEWER_NOT_THERE] = {N(not_there), 0, STRING_ARGS, STRING, NEVER, 0, UINT64_C(0x3daac1da903c41ee), 0, 0},
    [NEWER_NOT_THERE_UNIT] = {N(not_there_unit), 0, STRING_ARGS, UNIT, NEVER, 0, UINT64_C(0x22de0fe3acdacf75), 0, 0},
    [NEWER_NOT_THERE_FALLIBLE] = {N(not_there_fallible), 0, STRING_ARGS, U32, MATH_ERROR, 0, UINT64_C(0x9820aa0f90810549), 0, 0},
};
static const choir_method mistyped_methods[] = {
    [MISTYPED_ECHO] = {N(echo), 0, U64_ARGS, STRING, NEVER, 0, UINT64_C(0x880bc4eee23574be), 0, 0},
    [MISTYPED_DIVIDE] = {N(divide), 0, WORDS_ARGS, I64, MATH_ERROR, 0, UINT64_C(0xfb68d9318f830875), 0, 0},
    [MISTYPED_REVERSE] = {N(reverse), 0, STRING_ARGS, STRING, NEVER, 0, UINT64_C(0x1c223f30e180392a), 0, 0},
};
/* clang-format on */

const choir_service newer_service = {
    .unit = &unit, .name = N(Testbed), .methods_len = 4, .methods = newer_methods};
const choir_service mistyped_service = {
    .unit = &unit, .name = N(Testbed), .methods_len = 3, .methods = mistyped_methods};
