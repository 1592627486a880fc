/* SPDX-License-Identifier: MIT */
/* Where inside a value something went wrong. Nothing is kept while all goes well: the steps are added on the
 * way out of the recursion, innermost first, so success costs nothing. */
#ifndef CHOIRI_PATH_H
#define CHOIRI_PATH_H

#include "base/text.h"
#include "choir/type.h"
#include "value/value.h"

typedef struct choiri_path_step {
    const choir_type *type; /* what was entered */
    size_t index;           /* which element or field of it; the variant for a result */
    uint32_t variant;       /* which variant; enums only */
} choiri_path_step;

typedef struct choiri_path {
    uint32_t len;
    choiri_path_step steps[CHOIRI_VALUE_DEPTH + 1]; /* innermost first; JSON looks into bytes, too */
} choiri_path;

void choiri_path_add(choiri_path *p, const choir_type *type, uint32_t variant, size_t index);

/* Appends the path, as in "entries[3].kind.File.mime". Tuples have no name to start with, so a path that
 * begins with one begins with "args", which is what nearly all tuples are: "args.1". Long paths lose their
 * middle. */
void choiri_path_write(const choiri_path *p, const choir_unit *u, choiri_text *text);

/* Appends the name of a struct or an enum, and the kind of everything else. */
void choiri_type_write(const choir_unit *u, const choir_type *t, choiri_text *text);

#endif
