/* SPDX-License-Identifier: MIT */
/* Announcements that come with a unit instead of being computed when a service is first used. */
#ifndef CHOIRI_PRECOMPUTED_H
#define CHOIRI_PRECOMPUTED_H

#include "base/arena.h"
#include "schema/service.h"

/* Announcement `index` of a checked unit. Its list is from `out`, the bytes stay the unit's.
 * OK · ERR_INVALID (it cannot be read, or lacks a type: text says) · ERR_NO_MEMORY. */
int choiri_schema_set_precomputed(choiri_arena *out, const choir_unit *u, uint32_t index,
                                  choiri_schema_set *ret, choiri_text *ret_text);

/* Does a value of the announced type hold an end of a channel, or could it? */
bool choiri_schema_set_has_channels(const choiri_schema_set *a);

/* Computes what every method announces and compares it with what the prepared service has: for tests of
 * whatever makes units. OK · ERR_INVALID (text says which method) · ERR_NO_MEMORY. */
int choiri_prepared_verify(choir_env *env, const choiri_prepared *s, choiri_text *ret_text);

#endif
