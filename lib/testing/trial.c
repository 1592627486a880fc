/* SPDX-License-Identifier: MIT */
/* Written by hand, unlike every other service here: tests with it are the proof that units need no
 * generator. */
#include "testing/trial.h"

enum {
    STRING,
    BYTES,
    U8,
    U32,
    I64,
    BOOL,
    UNIT,
    NEVER,
    OPTION_STRING,
    PERSON,
    MATH_ERROR,
    LOOKUP_ERROR,
    TREE,
    TREES,
    BOOLS,
    STRING_ARGS,
    BYTES_ARGS,
    U32_ARGS,
    I64_I64_ARGS,
    TREE_ARGS,
    BOOLS_ARGS,
    TX,
    TX_ARGS,
    TYPES
};

/* Names, each with a NUL behind it. The offsets below repeat them; preparing the services checks them,
 * because the hash of a wrong name is another method id. */
static const char strings[] =
    "\0Trial\0echo\0divide\0lookup\0echo_bytes\0nothing\0later\0keep\0measure\0flags\0grow\0watch\0absent\0"
    "Person\0name\0age\0email\0MathError\0DivisionByZero\0Overflow\0LookupError\0NotFound\0AccessDenied\0"
    "Tree\0value\0children";
enum {
    S_TRIAL = 1,
    S_ECHO = S_TRIAL + sizeof "Trial",
    S_DIVIDE = S_ECHO + sizeof "echo",
    S_LOOKUP = S_DIVIDE + sizeof "divide",
    S_ECHO_BYTES = S_LOOKUP + sizeof "lookup",
    S_NOTHING = S_ECHO_BYTES + sizeof "echo_bytes",
    S_LATER = S_NOTHING + sizeof "nothing",
    S_KEEP = S_LATER + sizeof "later",
    S_MEASURE = S_KEEP + sizeof "keep",
    S_FLAGS = S_MEASURE + sizeof "measure",
    S_GROW = S_FLAGS + sizeof "flags",
    S_WATCH = S_GROW + sizeof "grow",
    S_ABSENT = S_WATCH + sizeof "watch",
    S_PERSON = S_ABSENT + sizeof "absent",
    S_NAME = S_PERSON + sizeof "Person",
    S_AGE = S_NAME + sizeof "name",
    S_EMAIL = S_AGE + sizeof "age",
    S_MATH_ERROR = S_EMAIL + sizeof "email",
    S_DIVISION_BY_ZERO = S_MATH_ERROR + sizeof "MathError",
    S_OVERFLOW = S_DIVISION_BY_ZERO + sizeof "DivisionByZero",
    S_LOOKUP_ERROR = S_OVERFLOW + sizeof "Overflow",
    S_NOT_FOUND = S_LOOKUP_ERROR + sizeof "LookupError",
    S_ACCESS_DENIED = S_NOT_FOUND + sizeof "NotFound",
    S_TREE = S_ACCESS_DENIED + sizeof "AccessDenied",
    S_VALUE = S_TREE + sizeof "Tree",
    S_CHILDREN = S_VALUE + sizeof "value",
};

static const choir_field fields[] = {
    {.name = S_NAME, .type = STRING, .offset = offsetof(trial_person, name)},
    {.name = S_AGE, .type = U8, .offset = offsetof(trial_person, age)},
    {.name = S_EMAIL, .type = OPTION_STRING, .offset = offsetof(trial_person, email)},
    {.name = S_VALUE, .type = U32, .offset = offsetof(trial_tree, value)},
    {.name = S_CHILDREN, .type = TREES, .offset = offsetof(trial_tree, children)},
    {.type = STRING},
    {.type = BYTES},
    {.type = U32},
    {.type = I64, .offset = offsetof(trial_divide_args, dividend)},
    {.type = I64, .offset = offsetof(trial_divide_args, divisor)},
    {.type = TREE},
    {.type = BOOLS},
    {.type = TX},
};
static const choir_variant variants[] = {
    {.name = S_DIVISION_BY_ZERO}, {.name = S_OVERFLOW}, {.name = S_NOT_FOUND}, {.name = S_ACCESS_DENIED}};

#define SCALAR(k, c)                                                                                         \
    { .kind = (k), .size = sizeof(c), .align = _Alignof(c) }
#define ARGS(c, at)                                                                                          \
    { .kind = CHOIR_KIND_TUPLE, .size = sizeof(c), .align = _Alignof(c), .first = (at), .count = 1 }
#define LIST(of)                                                                                             \
    { .kind = CHOIR_KIND_LIST, .size = sizeof(choir_list), .align = _Alignof(choir_list), .elem = (of) }
static const choir_type types[TYPES] = {
    [STRING] = SCALAR(CHOIR_KIND_STRING, choir_str),
    [BYTES] = SCALAR(CHOIR_KIND_BYTES, choir_bytes),
    [U8] = SCALAR(CHOIR_KIND_U8, uint8_t),
    [U32] = SCALAR(CHOIR_KIND_U32, uint32_t),
    [I64] = SCALAR(CHOIR_KIND_I64, int64_t),
    [BOOL] = SCALAR(CHOIR_KIND_BOOL, bool),
    [UNIT] = {.kind = CHOIR_KIND_UNIT, .align = 1},
    [NEVER] = {.kind = CHOIR_KIND_NEVER, .align = 1},
    [OPTION_STRING] = {.kind = CHOIR_KIND_OPTION,
                       .size = sizeof(((trial_person *)NULL)->email),
                       .align = _Alignof(choir_str),
                       .elem = STRING,
                       .offset = offsetof(trial_person, email.value) - offsetof(trial_person, email)},
    [PERSON] = {.kind = CHOIR_KIND_STRUCT,
                .name = S_PERSON,
                .size = sizeof(trial_person),
                .align = _Alignof(trial_person),
                .count = 3},
    [MATH_ERROR] = {.kind = CHOIR_KIND_ENUM, .name = S_MATH_ERROR, .size = 4, .align = 4, .count = 2},
    [LOOKUP_ERROR] =
        {.kind = CHOIR_KIND_ENUM, .name = S_LOOKUP_ERROR, .size = 4, .align = 4, .first = 2, .count = 2},
    [TREE] = {.kind = CHOIR_KIND_STRUCT,
              .name = S_TREE,
              .size = sizeof(trial_tree),
              .align = _Alignof(trial_tree),
              .first = 3,
              .count = 2},
    [TREES] = LIST(TREE),
    [BOOLS] = LIST(BOOL),
    [STRING_ARGS] = ARGS(choir_str, 5),
    [BYTES_ARGS] = ARGS(choir_bytes, 6),
    [U32_ARGS] = ARGS(uint32_t, 7),
    [I64_I64_ARGS] = {.kind = CHOIR_KIND_TUPLE,
                      .size = sizeof(trial_divide_args),
                      .align = _Alignof(trial_divide_args),
                      .first = 8,
                      .count = 2},
    [TREE_ARGS] = ARGS(trial_tree, 10),
    [BOOLS_ARGS] = ARGS(choir_list, 11),
    [TX] = {.kind = CHOIR_KIND_TX, .size = sizeof(choir_tx), .align = _Alignof(choir_tx), .elem = U32},
    [TX_ARGS] = ARGS(choir_tx, 12),
};

static const choir_unit unit = {
    CHOIR_UNIT_HEADER,
    .types_len = TYPES,
    .fields_len = sizeof fields / sizeof fields[0],
    .variants_len = sizeof variants / sizeof variants[0],
    .strings_len = sizeof strings,
    .types = types,
    .fields = fields,
    .variants = variants,
    .strings = strings,
};

#define ECHO_ID   UINT64_C(0x85449d26f9ec872d)
#define LOOKUP_ID UINT64_C(0x0de51f241aeba3c2)
static const choir_method methods[] = {
    [TRIAL_ECHO] = {.name = S_ECHO, .args = STRING_ARGS, .ok = STRING, .err = NEVER, .id = ECHO_ID},
    [TRIAL_DIVIDE] = {.name = S_DIVIDE,
                      .args = I64_I64_ARGS,
                      .ok = I64,
                      .err = MATH_ERROR,
                      .id = UINT64_C(0xab275ee3e235df71)},
    [TRIAL_LOOKUP] = {.name = S_LOOKUP, .args = U32_ARGS, .ok = PERSON, .err = LOOKUP_ERROR, .id = LOOKUP_ID},
    [TRIAL_ECHO_BYTES] = {.name = S_ECHO_BYTES,
                          .args = BYTES_ARGS,
                          .ok = BYTES,
                          .err = NEVER,
                          .id = UINT64_C(0xb5c1c9fb595963b5)},
    [TRIAL_NOTHING] =
        {.name = S_NOTHING, .args = UNIT, .ok = UNIT, .err = NEVER, .id = UINT64_C(0xbde2e11c2c7abd47)},
    [TRIAL_LATER] =
        {.name = S_LATER, .args = U32_ARGS, .ok = U32, .err = NEVER, .id = UINT64_C(0xf8c2a96aed3d4a8e)},
    [TRIAL_KEEP] = {.name = S_KEEP,
                    .flags = CHOIR_METHOD_PERSIST,
                    .args = U32_ARGS,
                    .ok = U32,
                    .err = NEVER,
                    .id = UINT64_C(0x571e67079befe9fe)},
    [TRIAL_MEASURE] =
        {.name = S_MEASURE, .args = TREE_ARGS, .ok = U32, .err = NEVER, .id = UINT64_C(0x8cd0d3aa410d4234)},
    [TRIAL_FLAGS] =
        {.name = S_FLAGS, .args = BOOLS_ARGS, .ok = U32, .err = NEVER, .id = UINT64_C(0xbff55bbbc0f64eb9)},
    [TRIAL_GROW] =
        {.name = S_GROW, .args = U32_ARGS, .ok = TREE, .err = NEVER, .id = UINT64_C(0xa8c33e33dc0507d4)},
    [TRIAL_WATCH] =
        {.name = S_WATCH, .args = TX_ARGS, .ok = U32, .err = NEVER, .id = UINT64_C(0xab4d3e6f0668b237)},
    [TRIAL_ABSENT] = {.name = S_ABSENT,
                      .args = STRING_ARGS,
                      .ok = STRING,
                      .err = NEVER,
                      .id = UINT64_C(0x6404a48ac88aef98)},
};
static const choir_method other_methods[] = {
    [TRIAL_OTHER_ECHO] = {.name = S_ECHO, .args = U32_ARGS, .ok = STRING, .err = NEVER, .id = ECHO_ID},
    [TRIAL_OTHER_LOOKUP] = {.name = S_LOOKUP, .args = U32_ARGS, .ok = U32, .err = NEVER, .id = LOOKUP_ID},
};

const choir_service trial_service = {&unit, S_TRIAL, TRIAL_ABSENT + 1, methods};
const choir_service trial_served = {&unit, S_TRIAL, TRIAL_ABSENT, methods};
const choir_service trial_other = {&unit, S_TRIAL, 2, other_methods};
