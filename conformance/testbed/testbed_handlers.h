/* SPDX-License-Identifier: MIT */
/* What Testbed's methods do, as plain functions that know nothing of servers or sessions.
 *
 * Results borrow from the arguments, from static memory or from the arena: they live as long as the first of these
 * that ends. All return CHOIR_OK, or TESTBED_USER_ERROR with *ret_err filled in, or CHOIR_ERR_NO_MEMORY. */
#ifndef TESTBED_HANDLERS_H
#define TESTBED_HANDLERS_H

#include "choir/value.h"
#include "testbed/testbed.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TESTBED_USER_ERROR 1

int testbed_echo(const testbed_echo_args *args, choir_str *ret);
/* By Unicode scalar values: "añ😀b" becomes "b😀ña". */
int testbed_reverse(const testbed_reverse_args *args, choir_arena *arena, choir_str *ret);
/* Rounds towards zero. */
int testbed_divide(const testbed_divide_args *args, int64_t *ret, testbed_math_error *ret_err);
int testbed_lookup(const testbed_lookup_args *args, testbed_person *ret, testbed_lookup_error *ret_err);
int testbed_echo_gnarly(const testbed_echo_gnarly_args *args, testbed_gnarly_payload *ret);
int testbed_echo_bytes(const testbed_echo_bytes_args *args, choir_bytes *ret);
int testbed_echo_bool(const testbed_echo_bool_args *args, bool *ret);
int testbed_echo_u64(const testbed_echo_u64_args *args, uint64_t *ret);
int testbed_echo_option_string(const testbed_echo_option_string_args *args, testbed_option_string *ret);

#ifdef __cplusplus
}
#endif
#endif
