/* SPDX-License-Identifier: MIT */
/* What Testbed's methods do, as plain functions that know nothing of servers or sessions. Echoes return their
 * argument and need none; methods with channels are not here.
 *
 * Results borrow from the arguments, from static memory or from the arena: they live as long as the first of
 * these that ends. Functions with a status return CHOIR_OK, or TESTBED_USER_ERROR with *ret_err filled in, or
 * CHOIR_ERR_NO_MEMORY, or CHOIR_ERR_TOO_LARGE for a result that no message holds. */
#ifndef TESTBED_HANDLERS_H
#define TESTBED_HANDLERS_H

#include "choir/value.h"
#include "testbed/testbed.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TESTBED_USER_ERROR 1

/* The most points that one answer may have: 8 MiB in memory, and less on the wire, where the limit is 16
 * MiB. */
#define TESTBED_POINTS_MAX (UINT32_C(1) << 20)

/* By Unicode scalar values: "añ😀b" becomes "b😀ña". */
int testbed_reverse(const testbed_reverse_args *args, choir_arena *arena, choir_str *ret);
/* Rounds towards zero. */
int testbed_divide(const testbed_divide_args *args, int64_t *ret, testbed_math_error *ret_err);
int testbed_lookup(const testbed_lookup_args *args, testbed_person *ret, testbed_lookup_error *ret_err);
testbed_person testbed_create_person(const testbed_create_person_args *args);
double testbed_rectangle_area(const testbed_rectangle_area_args *args);
/* In whatever case. */
testbed_option_color testbed_parse_color(const testbed_parse_color_args *args);
double testbed_shape_area(const testbed_shape_area_args *args);
testbed_canvas testbed_create_canvas(const testbed_create_canvas_args *args);
/* A number is doubled modulo 2^64. */
int testbed_process_message(const testbed_process_message_args *args, choir_arena *arena,
                            testbed_message *ret);
/* *ret is a list of testbed_point. ERR_TOO_LARGE: over TESTBED_POINTS_MAX. */
int testbed_get_points(const testbed_get_points_args *args, choir_arena *arena, testbed_point_list *ret);
testbed_tuple_string_i32 testbed_swap_pair(const testbed_swap_pair_args *args);
/* Returns a list of testbed_color. */
testbed_color_list testbed_all_colors(void);
testbed_tagged_point testbed_describe_point(const testbed_describe_point_args *args);

#ifdef __cplusplus
}
#endif
#endif
