/* SPDX-License-Identifier: MIT */
/* The Trial service: what the tests of the core call and serve. Written by hand and small, with one method
 * for each thing that a call can be: text, bytes, nothing, an answer with an error, one that comes later, one
 * that outlives its caller's cancel, a value that nests. */
#ifndef CHOIRI_TESTING_TRIAL_H
#define CHOIRI_TESTING_TRIAL_H

#include "choir/type.h"

enum {                   /* methods */
       TRIAL_ECHO,       /* (String) -> String */
       TRIAL_DIVIDE,     /* (i64, i64) -> Result<i64, MathError> */
       TRIAL_LOOKUP,     /* (u32) -> Result<Person, LookupError> */
       TRIAL_ECHO_BYTES, /* (bytes) -> bytes */
       TRIAL_NOTHING,    /* () -> () */
       TRIAL_LATER,      /* (u32) -> u32 */
       TRIAL_KEEP,       /* (u32) -> u32, persist */
       TRIAL_MEASURE,    /* (Tree) -> u32 */
       TRIAL_FLAGS,      /* (Vec<bool>) -> u32 */
       TRIAL_GROW,       /* (u32) -> Tree */
       TRIAL_WATCH,      /* (Tx<u32>) -> u32 */
       TRIAL_ABSENT,     /* (String) -> String; only callers know it */
};

typedef struct trial_person {
    choir_str name;
    uint8_t age;
    struct {
        bool is_some;
        choir_str value;
    } email;
} trial_person;

enum { TRIAL_DIVISION_BY_ZERO, TRIAL_OVERFLOW };
enum { TRIAL_NOT_FOUND, TRIAL_ACCESS_DENIED };
typedef struct trial_error { /* MathError, LookupError */
    uint32_t tag;
} trial_error;

typedef struct trial_divide_args {
    int64_t dividend, divisor;
} trial_divide_args;

typedef struct trial_tree {
    uint32_t value;
    choir_list children; /* of trial_tree */
} trial_tree;

/* What callers know, and the same without `absent`. */
extern const choir_service trial_service, trial_served;
/* The same names and ids with other layouts: echo takes a number, lookup answers one. Only these two methods,
 * in this order. */
extern const choir_service trial_other;
enum { TRIAL_OTHER_ECHO, TRIAL_OTHER_LOOKUP };

#endif
