/* SPDX-License-Identifier: MIT */
/* Floating-point numbers as decimal text and back, exactly: what is printed is the shortest text that reads
 * back as the same number, what is read is rounded correctly (to nearest, ties to even). */
#ifndef CHOIRI_DECIMAL_H
#define CHOIRI_DECIMAL_H

#include "choir/base.h"
#include "choir/status.h"

/* Longest text: sign, 17 digits, point, "e-308". */
#define CHOIRI_DECIMAL_MAX 32u

/* Writes a finite number as JSON, always with a point or an exponent: 1.5, 2.0, -0.0, 1e-7. Returns the
 * length; there is no NUL. */
size_t choiri_decimal_from_f64(double v, char out[CHOIRI_DECIMAL_MAX]);
size_t choiri_decimal_from_f32(float v, char out[CHOIRI_DECIMAL_MAX]);

/* Reads a number that is known to follow JSON's grammar. OK, or ERR_TOO_LARGE when it rounds to infinity. */
int choiri_decimal_to_f64(choir_str number, double *ret);
int choiri_decimal_to_f32(choir_str number, float *ret);

#endif
