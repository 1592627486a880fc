/* SPDX-License-Identifier: MIT */
/* choir/dynamic.h: values of types that the program has no C type for.
 *
 * Role:    a peer announces the types of what it sends. From that a unit is made at run time, and then
 *          everything that works from descriptors works on such values too: JSON, codecs, and the views
 *          below, with which a program walks through them. choir_service_make is for calling methods that the
 *          program has no descriptors of; their CALL_DONE events bring the unit that was made from the peer's
 *          announcement.
 * Owner:   units and values are in the arena they were made in; those of events are the connection's.
 * Life:    until the arena is reset or freed; units of events until the session is freed.
 * Threads: those of the env. Views only read.
 * Errors:  listed at each function. A view of something that is not there is empty, and what is read from it
 *          is missing too, so that only the last step needs a check.
 *
 * What vox 0.4.0 peers announce about arrays and generic types is not always true: of several arrays in one
 * payload all have the announced length of the first, and of several instances of a generic type the body of
 * the first. Such values end as malformed, or with bytes that are left over; in rare cases they are read
 * wrongly. Compiled types and types from an interface file do not depend on announcements.
 */
#ifndef CHOIR_DYNAMIC_H
#define CHOIR_DYNAMIC_H

#include "choir/value.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- units and values ---- */

/* Makes a unit from a CBOR SchemaPayload that is complete (it refers to nothing announced before), borrowed.
 * *ret_type is its root. At most 4,096 types, 16 MiB for a value, 64 levels, and as many bytes as are read in
 * some milliseconds.
 * OK · ERR_MALFORMED (CBOR, or a reference to something that is not there) · ERR_PROTOCOL (one id for two
 * types) · ERR_UNSUPPORTED (a type whose layout is not announced) · ERR_DEPTH · ERR_TOO_LARGE · ERR_NO_MEMORY
 * · ERR_RANDOM. *ret_error (may be NULL) is a text in the arena. */
CHOIR_API int choir_unit_from_schemas(choir_bytes schemas, choir_arena *arena, const choir_unit **ret_unit,
                                      uint32_t *ret_type, choir_str *ret_error);

/* Decodes all of `postcard` into `ret_value` (memory of the type's size). Strings and bytes point into
 * `postcard`, which is kept until the value is no longer used. OK · ERR_TRUNCATED · ERR_MALFORMED (also:
 * bytes are left) · ERR_DEPTH · ERR_TOO_LARGE · ERR_NO_MEMORY · ERR_ABI · ERR_INVALID. *ret_error as
 * above. */
CHOIR_API int choir_value_from_postcard(const choir_unit *unit, uint32_t type, choir_bytes postcard,
                                        choir_arena *arena, void *ret_value, choir_str *ret_error);
/* Encodes into the arena. OK · ERR_INVALID (a value that cannot be encoded) · ERR_DEPTH · ERR_TOO_LARGE ·
 * ERR_NO_MEMORY · ERR_ABI. */
CHOIR_API int choir_value_to_postcard(const choir_unit *unit, uint32_t type, const void *value,
                                      choir_arena *arena, choir_bytes *ret_postcard);

/* ---- services ---- */

/* Makes a service with one method, as `call` of a session: its arguments are of type `args` of `unit` (a
 * tuple), and its answer is whatever the peer announces (CHOIR_METHOD_DYNAMIC). Without arguments, `unit` is
 * NULL. Names are those of the interface, such as Testbed and echo_point. Copies names and unit.
 * OK · ERR_INVALID · ERR_ABI · ERR_NO_MEMORY; `ret_why` (may be NULL) is a text of at most `why_size` - 1
 * bytes. Returns borrowed (valid as long as the env). */
CHOIR_API int choir_service_make(choir_env *env, choir_str service, choir_str method, const choir_unit *unit,
                                 uint32_t args, const choir_service **ret_service, char *ret_why,
                                 size_t why_size);

/* ---- looking at values ---- */

/* A value and what it is. Borrows both. */
typedef struct choir_view {
    const choir_unit *unit; /* NULL: the empty view */
    uint32_t type;
    const void *value;
} choir_view;

/* The view of a value; `unit` must have been checked, as those of this header and of services in use are. */
CHOIR_API choir_view choir_view_of(const choir_unit *unit, uint32_t type, const void *value);
/* CHOIR_KIND_* of what is there, and 0 for the empty view. Boxes are not seen: they are what they hold. */
CHOIR_API uint32_t choir_view_kind(choir_view view);
/* The name of a struct or an enum; else empty. */
CHOIR_API choir_str choir_view_name(choir_view view);
/* The name of an enum's variant; Ok or Err of a result; else empty. */
CHOIR_API choir_str choir_view_variant(choir_view view);
/* How many parts there are: fields of a struct, tuple or variant, elements of a list, set or array, entries
 * of a map, bytes, 1 for an option that has a value and for a result; else 0. */
CHOIR_API size_t choir_view_len(choir_view view);
/* Part number i, counted from 0; the entries of a map are tuples of key and value. Empty when there is none.
 * Bytes have no views of their own: choir_view_bytes. */
CHOIR_API choir_view choir_view_at(choir_view view, size_t i);
/* The name of part i of a struct or of a variant with names; else empty. */
CHOIR_API choir_str choir_view_field_name(choir_view view, size_t i);
/* The part with this name of a struct or of a variant with names. */
CHOIR_API choir_view choir_view_field(choir_view view, choir_str name);

/* Scalars. False, and nothing is set, when the value is of another kind or does not fit. An option that has a
 * value is read as that. Integers of all sizes are read by both functions, f32 by _f64, bytes and lists of u8
 * by _bytes. */
CHOIR_API bool choir_view_bool(choir_view view, bool *ret);
CHOIR_API bool choir_view_u64(choir_view view, uint64_t *ret);
CHOIR_API bool choir_view_i64(choir_view view, int64_t *ret);
CHOIR_API bool choir_view_f64(choir_view view, double *ret);
CHOIR_API bool choir_view_char(choir_view view, uint32_t *ret);
CHOIR_API bool choir_view_str(choir_view view, choir_str *ret);
CHOIR_API bool choir_view_bytes(choir_view view, choir_bytes *ret);

#ifdef __cplusplus
}
#endif
#endif
