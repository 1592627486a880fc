/* SPDX-License-Identifier: MIT */
/* A service, described by hand. In vox it would be written as
 *
 *     enum DivideError { ByZero, Overflow }
 *     trait Calculator {
 *         async fn add(&self, a: i64, b: i64) -> i64;
 *         async fn divide(&self, dividend: i64, divisor: i64) -> Result<i64, DivideError>;
 *         async fn next_sum(&self) -> i64; // waits for the next sum that somebody asks for
 *     }
 */
#ifndef CALCULATOR_H
#define CALCULATOR_H

#include <choir/type.h>

/* The methods, in the order of calculator_service. */
enum { CALCULATOR_ADD, CALCULATOR_DIVIDE, CALCULATOR_NEXT_SUM, CALCULATOR_METHODS };

/* The arguments of each as one struct; next_sum has none. */
typedef struct calculator_add_args {
    int64_t a, b;
} calculator_add_args;

typedef struct calculator_divide_args {
    int64_t dividend, divisor;
} calculator_divide_args;

/* DivideError: an enum whose variants carry nothing is its tag. */
enum { CALCULATOR_BY_ZERO, CALCULATOR_OVERFLOW };
typedef struct calculator_divide_error {
    uint32_t tag;
} calculator_divide_error;

extern const choir_service calculator_service;

#endif
