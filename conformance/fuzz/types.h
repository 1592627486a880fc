/* SPDX-License-Identifier: MIT */
/* The types that values and schemas are tried with, those of the generated Zoo and Testbed, and what must
 * hold for each value of any type. */
#ifndef FUZZ_TYPES_H
#define FUZZ_TYPES_H

#include "fuzz.h"
#include "schema/service.h"
#include "value/value.h"

/* Takes a type from the input: one byte for the interface, one for the type in it. */
const choir_unit *fuzz_type(fuzz_run *f, uint32_t *ret_type);
/* Takes a method from the input, likewise. It is prepared in an env of its own, which stays. */
const choiri_prepared_method *fuzz_method(fuzz_run *f, const choir_unit **ret_unit);

/* A value that was decoded can be encoded, decoded, copied, compared, printed, written as JSON and read from
 * that, and is then what it was. */
void fuzz_check_value(fuzz_run *f, const choir_unit *unit, uint32_t type, const void *value);

#endif
