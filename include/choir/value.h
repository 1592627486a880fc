/* SPDX-License-Identifier: MIT */
/* choir/value.h: operations on values of described types.
 *
 * Role:    compares, copies and prints values of any described type, and reads and writes them as JSON. In
 *          JSON structs are objects, tuples and lists arrays, options null or the value, unit null, unit
 *          variants "Name", other variants {"Name": payload}, results {"Ok": v} or {"Err": e}, bytes an array
 *          of numbers, maps arrays of [key, value] (objects when the key is a string), 64-bit and 128-bit
 *          integers plain numbers of any length, and durations numbers of seconds, exact to the nanosecond
 *          (1.5). Ends of channels have no JSON.
 * Owner:   the arena that the caller gives owns decoded values and copies. A clone is the caller's.
 * Life:    until the arena is reset or freed; a clone until choir_value_free.
 * Threads: those of the env.
 * Errors:  listed at each function. Texts say where, as in path.to[3].field, and what was expected. Nesting
 *          is bounded at 64 (ERR_DEPTH), and work by the size of the value. JSON checks the whole unit each
 *          time. Comparing, copying and printing check only its version and rely on the rest being right, as
 *          it is in the unit of a service that is in use.
 */
#ifndef CHOIR_VALUE_H
#define CHOIR_VALUE_H

#include "choir/env.h"
#include "choir/type.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Memory that is freed all at once. */
typedef struct choir_arena choir_arena;

/* The arena holds at most `limit` bytes. OK · ERR_NO_MEMORY. Returns owned (free with choir_arena_free). */
CHOIR_API int choir_arena_new(choir_env *env, size_t limit, choir_arena **ret_arena);
CHOIR_API void choir_arena_free(choir_arena *arena);
CHOIR_API void choir_arena_reset(choir_arena *arena);
/* NULL when the limit is reached or memory is out. `align` is a power of two up to 16. Returns borrowed
 * (valid until the arena is reset or freed). */
CHOIR_API void *choir_arena_alloc(choir_arena *arena, size_t size, size_t align);

/* Reads one JSON text into `ret_value`, memory of the type's size. Strings are copied into the arena.
 * OK · ERR_MALFORMED (not JSON, or trailing text) · ERR_LAYOUT (JSON of another shape) · ERR_DEPTH ·
 * ERR_TOO_LARGE (number out of range, arena limit) · ERR_NO_MEMORY · ERR_UNSUPPORTED (an end of a channel) ·
 * ERR_ABI · ERR_INVALID.
 * On failure *ret_value is undefined and *ret_error (may be NULL) is a text in the arena. */
CHOIR_API int choir_value_from_json(const choir_unit *unit, uint32_t type, choir_str json, choir_arena *arena,
                                    void *ret_value, choir_str *ret_error);

/* Writes a value into the arena as one line of JSON, with a NUL behind it that its length does not count.
 * OK · ERR_DEPTH · ERR_TOO_LARGE · ERR_NO_MEMORY · ERR_UNSUPPORTED (an end of a channel) · ERR_INVALID (a tag
 * out of range, a second or more of nanoseconds) · ERR_ABI. */
CHOIR_API int choir_value_to_json(const choir_unit *unit, uint32_t type, const void *value,
                                  choir_arena *arena, choir_str *ret_json);

/* Two values are equal when they have the same encoding, whatever the order of the elements of sets and maps.
 * So floats are compared by their bits: a NaN equals itself, and 0.0 is not -0.0. Sets and maps are equal
 * when they have the same number of elements and each contains the elements of the other. That takes one walk
 * when the order is the same. Otherwise it is quadratic, and ends with ERR_TOO_LARGE where it would take more
 * than 2^24 steps (some thousands of elements). Needs no memory.
 * OK · ERR_DEPTH · ERR_TOO_LARGE · ERR_INVALID (a tag out of range, no such type) · ERR_ABI. */
CHOIR_API int choir_value_equal(const choir_unit *unit, uint32_t type, const void *a, const void *b,
                                bool *ret_equal);

/* Copies a value to `ret_value`, memory of the type's size, and everything it points to into one piece of the
 * arena. The copy borrows nothing from the source. Nothing is written on failure.
 * OK · ERR_DEPTH · ERR_TOO_LARGE (arena limit) · ERR_NO_MEMORY · ERR_INVALID (a tag out of range, a missing
 * pointer, no such type) · ERR_ABI. */
CHOIR_API int choir_value_copy(const choir_unit *unit, uint32_t type, const void *value, choir_arena *arena,
                               void *ret_value);

/* Copies a value and everything it points to into one piece of the env's memory. Errors as choir_value_copy.
 * Returns owned (free with choir_value_free). */
CHOIR_API int choir_value_clone(choir_env *env, const choir_unit *unit, uint32_t type, const void *value,
                                void **ret_value);
/* Frees a clone. NULL is fine. Takes constant time and stack, however deep the value is. */
CHOIR_API void choir_value_free(choir_env *env, void *value);

/* Writes a value as text for people, such as Person { name: "Ann", age: 3, email: None }, into `ret_text`: at
 * most `size` bytes, including the NUL at the end. Fields with CHOIR_FIELD_SENSITIVE are shown as <redacted>.
 * Strings over 256 bytes, bytes over 32 and lists over 64 elements are cut, and their length is shown. Text
 * that does not fit ends in "...". Control characters are escaped. Printing cannot fail: a bad part of a
 * value is shown as what it is, such as <bad tag 7>. Returns the length without the NUL. */
CHOIR_API size_t choir_value_print(const choir_unit *unit, uint32_t type, const void *value, char *ret_text,
                                   size_t size);

#ifdef __cplusplus
}
#endif
#endif
