/* SPDX-License-Identifier: MIT */
/* choir/value.h: values of described types as JSON, for tools and logs.
 *
 * Role:    JSON in and out of any described type. Structs are objects, tuples and lists arrays, options
 *          null or the value, unit null, unit variants "Name", other variants {"Name": payload}, results
 *          {"Ok": v} or {"Err": e}, bytes an array of numbers, maps arrays of [key, value] (objects when the
 *          key is a string), 64-bit and 128-bit integers plain numbers of any length, durations numbers of
 *          seconds, exact to the nanosecond (1.5). Ends of channels have no JSON.
 * Owner:   decoded values live in the arena the caller gives.
 * Life:    until the arena is reset or freed.
 * Threads: those of the env.
 * Errors:  listed below; the text says where, as path.to[3].field, and what was expected.
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

#ifdef __cplusplus
}
#endif
#endif
