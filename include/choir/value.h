/* SPDX-License-Identifier: MIT */
/* choir/value.h: what can be done with values of described types.
 *
 * Role:    comparing, copying and printing values of any described type, and JSON in and out. Structs are
 *          objects, tuples and lists arrays, options null or the value, unit null, unit variants "Name",
 *          other variants {"Name": payload}, results {"Ok": v} or {"Err": e}, bytes an array of numbers, maps
 *          arrays of [key, value] (objects when the key is a string), 64-bit and 128-bit integers plain
 *          numbers of any length, durations numbers of seconds, exact to the nanosecond (1.5). Ends of
 *          channels have no JSON.
 * Owner:   decoded values and copies live in the arena the caller gives, clones by themselves.
 * Life:    until the arena is reset or freed; clones until choir_value_free.
 * Threads: those of the env.
 * Errors:  listed below; the text says where, as path.to[3].field, and what was expected. Everything here
 *          bounds nesting at 64 (ERR_DEPTH) and its work by the size of the value. JSON checks the whole unit
 *          each time; comparing, copying and printing look only at its version and rely on a unit that is
 *          right, as one is that a service was prepared with.
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

/* `limit` is the most bytes it will hold. OK · ERR_NO_MEMORY. Returns owned (free with choir_arena_free). */
CHOIR_API int choir_arena_new(choir_env *env, size_t limit, choir_arena **ret_arena);
CHOIR_API void choir_arena_free(choir_arena *arena);
CHOIR_API void choir_arena_reset(choir_arena *arena);
/* NULL when the limit or memory is out. Returns owned by the arena. `align` is a power of two up to 16. */
CHOIR_API void *choir_arena_alloc(choir_arena *arena, size_t size, size_t align);

/* Reads one JSON text into `ret_value` (memory of the type's size). Strings are copied into the arena.
 * OK · ERR_MALFORMED (not JSON, or trailing text) · ERR_LAYOUT (JSON of another shape) · ERR_DEPTH ·
 * ERR_TOO_LARGE (number out of range, arena limit) · ERR_NO_MEMORY · ERR_UNSUPPORTED (an end of a channel) ·
 * ERR_ABI · ERR_INVALID.
 * On failure *ret_value is undefined and *ret_error (may be NULL) is a text in the arena. */
CHOIR_API int choir_value_from_json(const choir_unit *unit, uint32_t type, choir_str json, choir_arena *arena,
                                    void *ret_value, choir_str *ret_error);

/* Writes a value as one line of JSON into the arena, NUL-terminated after its length.
 * OK · ERR_DEPTH · ERR_TOO_LARGE · ERR_NO_MEMORY · ERR_UNSUPPORTED (an end of a channel) · ERR_INVALID (a tag
 * out of range, nanoseconds that are a second or more) · ERR_ABI. */
CHOIR_API int choir_value_to_json(const choir_unit *unit, uint32_t type, const void *value,
                                  choir_arena *arena, choir_str *ret_json);

/* Are two values equal? They are when they are encoded as the same bytes, whatever the order of the elements
 * of sets and maps. So floats are compared by their bits: a NaN is equal to itself, 0.0 is not -0.0; defaults
 * and None are values like others. Sets and maps are equal when they have equally many elements and each of
 * either is in the other. In the same order that takes one walk; in another, it is quadratic and ends with
 * ERR_TOO_LARGE where it would take more than 2^24 steps, that is for some thousand elements. Takes no
 * memory.
 * OK · ERR_DEPTH · ERR_TOO_LARGE · ERR_INVALID (a tag out of range, no such type) · ERR_ABI. */
CHOIR_API int choir_value_equal(const choir_unit *unit, uint32_t type, const void *a, const void *b,
                                bool *ret_equal);

/* Copies a value and everything it points to into one piece of the arena; the value itself goes to
 * `ret_value` (memory of the type's size). Nothing of the source is borrowed. On failure nothing was written.
 * OK · ERR_DEPTH · ERR_TOO_LARGE (arena limit) · ERR_NO_MEMORY · ERR_INVALID (a tag out of range, a pointer
 * that is missing, no such type) · ERR_ABI. */
CHOIR_API int choir_value_copy(const choir_unit *unit, uint32_t type, const void *value, choir_arena *arena,
                               void *ret_value);

/* The same into one piece of the env's memory that holds the value and everything it points to. Errors as
 * choir_value_copy. Returns owned (free with choir_value_free). */
CHOIR_API int choir_value_clone(choir_env *env, const choir_unit *unit, uint32_t type, const void *value,
                                void **ret_value);
/* Frees a clone; NULL is fine. In constant time and stack, however deep the value is. */
CHOIR_API void choir_value_free(choir_env *env, void *value);

/* Writes a value as text for people, such as Person { name: "Ann", age: 3, email: None }, into `ret_text`: at
 * most `size` bytes with the NUL that ends it. Fields with CHOIR_FIELD_SENSITIVE are <redacted>. Strings over
 * 256 bytes, bytes over 32 and lists over 64 elements are cut and their length is told; text that does not
 * fit ends in "...". Control characters are escaped. It cannot fail: what is wrong with a value is said in
 * its place, as <bad tag 7>. Returns the length without the NUL. */
CHOIR_API size_t choir_value_print(const choir_unit *unit, uint32_t type, const void *value, char *ret_text,
                                   size_t size);

#ifdef __cplusplus
}
#endif
#endif
