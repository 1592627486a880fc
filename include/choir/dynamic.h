/* SPDX-License-Identifier: MIT */
/* choir/dynamic.h: values of types for which the program has no C type.
 *
 * Role:    a peer announces the types of what it sends. A unit is made from the announcement at run time, and
 *          everything that works from descriptors then works on such values: JSON, codecs, and the views
 *          below, which let a program walk through them. choir_service_make makes a service for calling
 *          methods of which the program has no descriptors; the CALL_DONE event then brings the unit made
 *          from the peer's announcement.
 * Owner:   the arena that units and values were made in. Those of events belong to the connection.
 * Life:    until the arena is reset or freed. Units of events live as long as their connection.
 * Threads: those of the env. Views only read.
 * Errors:  listed at each function. A view of something that is not there is empty, and so is everything that
 *          is taken from it, so only the last step needs a check.
 *
 * What vox 0.4.0 peers announce about arrays and generic types is not always true. All arrays in one payload
 * are announced with the length of the first, and all instances of a generic type with the body of the first.
 * So a type with arrays at several places, or with several instances of a generic type, is ERR_UNSUPPORTED
 * (rule: schema.dynamic). Compiled types and types from an interface file do not depend on announcements.
 */
#ifndef CHOIR_DYNAMIC_H
#define CHOIR_DYNAMIC_H

#include "choir/value.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- units and values ---- */

/* Makes a unit from a CBOR SchemaPayload (borrowed). The payload must be complete: it refers to nothing
 * announced earlier. *ret_type is its root. At most 4,096 types, 16 MiB per value, 64 levels, and as much
 * work as takes some milliseconds.
 * OK · ERR_MALFORMED (CBOR, or a reference to something that is not there) · ERR_PROTOCOL (one id for two
 * types) · ERR_UNSUPPORTED (a layout that is not announced, or not certain) · ERR_DEPTH · ERR_TOO_LARGE ·
 * ERR_NO_MEMORY · ERR_RANDOM. *ret_error (may be NULL) is a text in the arena. */
CHOIR_API int choir_unit_from_schemas(choir_bytes schemas, choir_arena *arena, const choir_unit **ret_unit,
                                      uint32_t *ret_type, choir_str *ret_error);

/* Decodes all of `postcard` into `ret_value`, memory of the type's size. Strings and bytes point into
 * `postcard`, which is kept until the value is no longer used. OK · ERR_TRUNCATED · ERR_MALFORMED (also when
 * bytes are left) · ERR_DEPTH · ERR_TOO_LARGE · ERR_NO_MEMORY · ERR_ABI · ERR_INVALID. *ret_error as
 * above. */
CHOIR_API int choir_value_from_postcard(const choir_unit *unit, uint32_t type, choir_bytes postcard,
                                        choir_arena *arena, void *ret_value, choir_str *ret_error);
/* Encodes into the arena. OK · ERR_INVALID (a value that cannot be encoded) · ERR_DEPTH · ERR_TOO_LARGE ·
 * ERR_NO_MEMORY · ERR_ABI. */
CHOIR_API int choir_value_to_postcard(const choir_unit *unit, uint32_t type, const void *value,
                                      choir_arena *arena, choir_bytes *ret_postcard);

/* ---- services ---- */

/* Makes a service of one method, to be the `call` of a session. Its arguments have type `args` of `unit` (a
 * tuple); its answer has whatever type the peer announces (CHOIR_METHOD_DYNAMIC). `unit` is NULL when there
 * are no arguments. Names are those of the interface, such as Testbed and echo_point. Copies names and unit.
 * OK · ERR_INVALID · ERR_ABI · ERR_NO_MEMORY. `ret_why` (may be NULL) gets a text of at most `why_size` - 1
 * bytes. Returns borrowed (valid until choir_service_free, or as long as the env). */
CHOIR_API int choir_service_make(choir_env *env, choir_str service, choir_str method, const choir_unit *unit,
                                 uint32_t args, const choir_service **ret_service, char *ret_why,
                                 size_t why_size);

/* Frees what the env knows about a service, and the service itself when choir_service_make made it; one that
 * is compiled in is prepared anew when it is used again (before a plug-in is unloaded, its services have to
 * be freed). OK · ERR_INVALID · ERR_NOT_FOUND (the env does not know it, or it was freed) · ERR_STATE (a
 * session that was not freed serves or calls it). */
CHOIR_API int choir_service_free(choir_env *env, const choir_service *service);

/* ---- looking at values ---- */

/* A value and its type. Borrows both. */
typedef struct choir_view {
    const choir_unit *unit; /* NULL in the empty view */
    uint32_t type;
    const void *value;
} choir_view;

/* The view of a value. `unit` must have been checked; units made here and those of services in use have
 * been. */
CHOIR_API choir_view choir_view_of(const choir_unit *unit, uint32_t type, const void *value);
/* CHOIR_KIND_* of the value, 0 for the empty view. A box is seen as what it holds. */
CHOIR_API uint32_t choir_view_kind(choir_view view);
/* The name of a struct or an enum, else empty. */
CHOIR_API choir_str choir_view_name(choir_view view);
/* The name of an enum's variant, Ok or Err for a result, else empty. */
CHOIR_API choir_str choir_view_variant(choir_view view);
/* The number of parts: fields of a struct, tuple or variant; elements of a list, set or array; entries of a
 * map; bytes; 1 for a result and for an option that has a value; else 0. */
CHOIR_API size_t choir_view_len(choir_view view);
/* Part number i, counted from 0, or the empty view. Entries of a map are tuples of key and value. Single
 * bytes have no views: use choir_view_bytes. */
CHOIR_API choir_view choir_view_at(choir_view view, size_t i);
/* The name of part i of a struct or of a variant with named fields, else empty. */
CHOIR_API choir_str choir_view_field_name(choir_view view, size_t i);
/* The part with this name, of a struct or of a variant with named fields. */
CHOIR_API choir_view choir_view_field(choir_view view, choir_str name);

/* Scalars. False when the value is of another kind or does not fit; *ret is then untouched. An option that
 * has a value is read as that value. Both integer functions read integers of all sizes, _f64 also reads f32,
 * and _bytes reads bytes and lists of u8. */
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
