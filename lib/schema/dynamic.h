/* SPDX-License-Identifier: MIT */
/* Units made at run time from what a peer announced, so that its values can be read without a C type: every
 * interpreter of descriptors works on them as on those of a program.
 *
 * Generic schemas are instantiated once for each list of arguments. A type that contains itself gets a BOX
 * where the cycle closes; lists are indirect already. The result passes choiri_unit_check by construction.
 *
 * What vox 0.4.0 announces wrongly (rule: schema.extraction) is read where its meaning is certain: bytes<T>
 * is a list of T, unless T is u8. Arrays of one payload share the length of the first, and instances of a
 * generic type the body of the first; a root in which that can make a difference is refused. */
#ifndef CHOIRI_DYNAMIC_H
#define CHOIRI_DYNAMIC_H

#include "base/arena.h"
#include "choir/dynamic.h"
#include "schema/recv_tracker.h"

/* Records of one unit; a connection cannot announce more types, but their instantiations have no end. */
#define CHOIRI_DYNAMIC_MAX_TYPES 4096u
/* A value of one type, and the length of an array: as much as the largest message. */
#define CHOIRI_DYNAMIC_MAX_SIZE (UINT32_C(1) << 24)
/* Parts of one type that take no bytes on the wire: they cost time that no payload pays for. Real types have
 * one or two. */
#define CHOIRI_DYNAMIC_MAX_EMPTY 16u

/* The unit of a root (CBOR of a TypeRef), and the root's type in it, made in `out`.
 * OK · ERR_MALFORMED (a reference to a type or parameter that is not there, a bad name) · ERR_UNSUPPORTED (a
 * type whose layout is not announced, or not certain) · ERR_DEPTH · ERR_TOO_LARGE (limits above, or the
 * arena's) · ERR_NO_MEMORY; ret_text says what and where. */
int choiri_dynamic_make(choiri_arena *out, const choiri_recv_tracker *t, choir_bytes root,
                        const choir_unit **ret_unit, uint32_t *ret_type, choiri_text *ret_text);

/* The types of a response: T and E of its root Result<T, VoxError<E>>. False when it is not of that form. */
bool choiri_dynamic_result(const choir_unit *u, uint32_t root, uint32_t *ret_ok, uint32_t *ret_err);

#endif
