/* SPDX-License-Identifier: MIT */
/* Extraction: from descriptors to what has to be announced about them. rule: schema.extraction */
#ifndef CHOIRI_EXTRACT_H
#define CHOIRI_EXTRACT_H

#include "base/arena.h"
#include "base/map.h"
#include "schema/service.h"

/* The root of an extraction: a type, or Result<ok, VoxError<err>>. */
typedef struct choiri_root {
    const choir_unit *unit; /* checked */
    bool is_response;
    uint32_t type;    /* not of a response */
    uint32_t ok, err; /* of a response */
} choiri_root;

/* Makes the announcement of one root; its memory is from `out`. Parts that `known` (may be NULL) has already,
 * with the same id and the same bytes, are shared; new ones are added to it, as id -> choiri_schema_part *.
 * OK · ERR_INVALID (nested too deep or too large: text says) · ERR_NO_MEMORY. After a failure the caller
 * resets the arena. */
int choiri_extract(choiri_arena *out, choiri_map *known, const choiri_root *root, choiri_schema_set *ret,
                   choiri_text *ret_text);

#endif
