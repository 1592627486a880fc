/* SPDX-License-Identifier: MIT */
/* What the recorded clients with traits of their own have called. Both services say they are the Testbed, as those
 * traits did, because method ids are made of the names. */
#include "replay.h"

#include <stddef.h>

enum { STRING, U32, U64, I64, UNIT, NEVER, MATH_ERROR, ARGS_STRING, ARGS_U64, ARGS_STRING_I64, TYPES };

static const char strings[] =
    "\0Testbed\0not_there\0not_there_unit\0not_there_fallible\0echo\0divide\0reverse\0"
    "MathError\0DivisionByZero\0Overflow";
enum {
    N_TESTBED = 1,
    N_NOT_THERE = N_TESTBED + sizeof "Testbed",
    N_NOT_THERE_UNIT = N_NOT_THERE + sizeof "not_there",
    N_NOT_THERE_FALLIBLE = N_NOT_THERE_UNIT + sizeof "not_there_unit",
    N_ECHO = N_NOT_THERE_FALLIBLE + sizeof "not_there_fallible",
    N_DIVIDE = N_ECHO + sizeof "echo",
    N_REVERSE = N_DIVIDE + sizeof "divide",
    N_MATH_ERROR = N_REVERSE + sizeof "reverse",
    N_DIVISION_BY_ZERO = N_MATH_ERROR + sizeof "MathError",
    N_OVERFLOW = N_DIVISION_BY_ZERO + sizeof "DivisionByZero",
};

typedef struct string_i64 {
    choir_str a;
    int64_t b;
} string_i64;

#define SCALAR(kind_, c_type)                                                                                \
    { .kind = (kind_), .size = sizeof(c_type), .align = _Alignof(c_type) }
#define TUPLE(c_type, first_, count_)                                                                        \
    {                                                                                                        \
        .kind = CHOIR_KIND_TUPLE, .size = sizeof(c_type), .align = _Alignof(c_type), .first = (first_),      \
        .count = (count_)                                                                                    \
    }

static const choir_type types[TYPES] = {
    [STRING] = SCALAR(CHOIR_KIND_STRING, choir_str),
    [U32] = SCALAR(CHOIR_KIND_U32, uint32_t),
    [U64] = SCALAR(CHOIR_KIND_U64, uint64_t),
    [I64] = SCALAR(CHOIR_KIND_I64, int64_t),
    [UNIT] = {.kind = CHOIR_KIND_UNIT, .align = 1},
    [NEVER] = {.kind = CHOIR_KIND_NEVER, .align = 1},
    [MATH_ERROR] =
        {.kind = CHOIR_KIND_ENUM, .name = N_MATH_ERROR, .size = 4, .align = 4, .first = 0, .count = 2},
    [ARGS_STRING] = TUPLE(choir_str, 0, 1),
    [ARGS_U64] = TUPLE(uint64_t, 1, 1),
    [ARGS_STRING_I64] = TUPLE(string_i64, 2, 2),
};
static const choir_field fields[] = {
    {.type = STRING},
    {.type = U64},
    {.type = STRING, .offset = offsetof(string_i64, a)},
    {.type = I64, .offset = offsetof(string_i64, b)},
};
static const choir_variant variants[] = {
    {.name = N_DIVISION_BY_ZERO, .shape = CHOIR_VARIANT_UNIT},
    {.name = N_OVERFLOW, .shape = CHOIR_VARIANT_UNIT},
};
static const choir_unit unit = {
    CHOIR_UNIT_HEADER,
    .types_len = TYPES,
    .fields_len = sizeof fields / sizeof *fields,
    .variants_len = sizeof variants / sizeof *variants,
    .strings_len = sizeof strings,
    .types = types,
    .fields = fields,
    .variants = variants,
    .strings = strings,
};

#define ECHO_ID    UINT64_C(0x880bc4eee23574be)
#define DIVIDE_ID  UINT64_C(0xfb68d9318f830875)
#define REVERSE_ID UINT64_C(0x1c223f30e180392a)

static const choir_method unknown_methods[] = {
    {.name = N_NOT_THERE,
     .args = ARGS_STRING,
     .ok = STRING,
     .err = NEVER,
     .id = UINT64_C(0x3daac1da903c41ee)},
    {.name = N_NOT_THERE_UNIT,
     .args = ARGS_STRING,
     .ok = UNIT,
     .err = NEVER,
     .id = UINT64_C(0x22de0fe3acdacf75)},
    {.name = N_NOT_THERE_FALLIBLE,
     .args = ARGS_STRING,
     .ok = U32,
     .err = MATH_ERROR,
     .id = UINT64_C(0x9820aa0f90810549)},
    {.name = N_ECHO, .args = ARGS_STRING, .ok = STRING, .err = NEVER, .id = ECHO_ID},
};
const choir_service replay_unknown_methods = {
    .unit = &unit,
    .name = N_TESTBED,
    .methods_len = sizeof unknown_methods / sizeof *unknown_methods,
    .methods = unknown_methods,
};

static const choir_method other_arguments[] = {
    {.name = N_ECHO, .args = ARGS_U64, .ok = STRING, .err = NEVER, .id = ECHO_ID},
    {.name = N_DIVIDE, .args = ARGS_STRING_I64, .ok = I64, .err = MATH_ERROR, .id = DIVIDE_ID},
    {.name = N_REVERSE, .args = ARGS_STRING, .ok = STRING, .err = NEVER, .id = REVERSE_ID},
};
const choir_service replay_other_arguments = {
    .unit = &unit,
    .name = N_TESTBED,
    .methods_len = sizeof other_arguments / sizeof *other_arguments,
    .methods = other_arguments,
};
