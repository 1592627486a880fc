/* SPDX-License-Identifier: MIT */
/* Numbers of described types as decimal text, for JSON and for debug prints. */
#ifndef CHOIRI_NUMBER_H
#define CHOIRI_NUMBER_H

#include "choir/type.h"

#define CHOIRI_NUMBER_MAX 48u /* sign and 39 digits, 20 digits and a fraction of 9, a float */

/* Writes an integer, a finite float, or a duration (seconds, exactly: 1.5) whose nanoseconds are below a
 * second. Returns the length; there is no NUL. */
size_t choiri_number_write(uint32_t kind, const void *number, char out[CHOIRI_NUMBER_MAX]);

#endif
