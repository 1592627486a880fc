/* SPDX-License-Identifier: MIT */
/* The tables behind calculator.h: constant data, which server and client share. docs/guide/types-by-hand.md explains
 * them line by line. */
#include "calculator.h"

/* Names are offsets into one block of text. Written as a struct of arrays, the compiler counts the offsets. */
#define NAMES(X) X(Calculator) X(add) X(divide) X(next_sum) X(DivideError) X(ByZero) X(Overflow)
#define ROOM(n)  char n[sizeof #n];
#define TEXT(n)  .n = #n,
#define NAME(n)  offsetof(struct names, n)
static const struct names {
    char empty[1];
    NAMES(ROOM)
} names = {NAMES(TEXT)};

#define C_TYPE(type) .size = sizeof(type), .align = _Alignof(type)

/* Types refer to each other by index. */
enum { I64, UNIT, NEVER, ADD_ARGS, DIVIDE_ARGS, DIVIDE_ERROR, TYPES };

static const choir_field fields[] = {
    {.type = I64, .offset = offsetof(calculator_add_args, a)},
    {.type = I64, .offset = offsetof(calculator_add_args, b)},
    {.type = I64, .offset = offsetof(calculator_divide_args, dividend)},
    {.type = I64, .offset = offsetof(calculator_divide_args, divisor)},
};

static const choir_variant variants[] = {
    [CALCULATOR_BY_ZERO] = {.name = NAME(ByZero)},
    [CALCULATOR_OVERFLOW] = {.name = NAME(Overflow)},
};

static const choir_type types[TYPES] = {
    [I64] = {.kind = CHOIR_KIND_I64, C_TYPE(int64_t)},
    [UNIT] = {.kind = CHOIR_KIND_UNIT, .align = 1},
    [NEVER] = {.kind = CHOIR_KIND_NEVER, .align = 1},
    [ADD_ARGS] = {.kind = CHOIR_KIND_TUPLE, C_TYPE(calculator_add_args), .first = 0, .count = 2},
    [DIVIDE_ARGS] = {.kind = CHOIR_KIND_TUPLE, C_TYPE(calculator_divide_args), .first = 2, .count = 2},
    [DIVIDE_ERROR] = {.kind = CHOIR_KIND_ENUM,
                      .name = NAME(DivideError),
                      C_TYPE(calculator_divide_error),
                      .first = 0,
                      .count = 2},
};

static const choir_unit unit = {
    CHOIR_UNIT_HEADER,
    .types = types,
    .types_len = TYPES,
    .fields = fields,
    .fields_len = sizeof fields / sizeof *fields,
    .variants = variants,
    .variants_len = sizeof variants / sizeof *variants,
    .strings = (const char *)&names,
    .strings_len = sizeof names,
};

/* An id is a hash of the two names. Put 0 when you do not know it: the library logs which one it should be. */
static const choir_method methods[CALCULATOR_METHODS] = {
    [CALCULATOR_ADD] =
        {.name = NAME(add), .args = ADD_ARGS, .ok = I64, .err = NEVER, .id = 0x313ca8a8e5be9ffd},
    [CALCULATOR_DIVIDE] =
        {.name = NAME(divide), .args = DIVIDE_ARGS, .ok = I64, .err = DIVIDE_ERROR, .id = 0xe2c0f1e49e8957a4},
    [CALCULATOR_NEXT_SUM] =
        {.name = NAME(next_sum), .args = UNIT, .ok = I64, .err = NEVER, .id = 0xc471e95597418e32},
};

const choir_service calculator_service = {
    .unit = &unit, .name = NAME(Calculator), .methods = methods, .methods_len = CALCULATOR_METHODS};
