/* SPDX-License-Identifier: MIT */
/* Compatibility of two versions of an interface, decided by what peers with these versions would do: each
 * announces its types, and the other makes a plan. Nothing is decided here that a session would decide
 * otherwise, but for arrays whose length has changed, which a session cannot know and would misread. Beside
 * that: what a reader made with vox in Rust would do, which is not always the same. */
#ifndef CHOIRI_COMPAT_H
#define CHOIRI_COMPAT_H

#include "base/text.h"
#include "choir/type.h"
#include "schema/extract.h"
#include "schema/vox_reader.h"

/* Can values of one version be read as the other? */
typedef enum choiri_reads {
    CHOIRI_READS_SAME,       /* nothing has to be translated */
    CHOIRI_READS_TRANSLATED, /* every value */
    CHOIRI_READS_PARTLY,     /* all but those with a variant that the reader lacks: text names the first */
    CHOIRI_READS_NOT         /* text says why */
} choiri_reads;

typedef struct choiri_compat_way {
    choiri_reads reads;
    choiri_text text;
    uint32_t unknowns; /* READS_PARTLY: how many such variants there are */
    choiri_vox_reads vox;
    choiri_text vox_text;
} choiri_compat_way;

/* Does a reader made with vox in Rust do something else with values than we do, as far as a caller sees? */
bool choiri_compat_vox_differs(const choiri_compat_way *way);

typedef struct choiri_compat {
    choiri_compat_way new_reads_old, old_reads_new;
} choiri_compat;

typedef enum choiri_verdict {
    CHOIRI_COMPAT_SAME,
    CHOIRI_COMPAT_BOTH,      /* old and new programs can call each other */
    CHOIRI_COMPAT_NEW_CALLS, /* one way: only new programs can call old ones */
    CHOIRI_COMPAT_OLD_CALLS, /* one way: only old programs can call new ones */
    CHOIRI_COMPAT_BREAKING,  /* neither can */
    CHOIRI_COMPAT_ADDED,
    CHOIRI_COMPAT_REMOVED
} choiri_verdict;

typedef struct choiri_compat_method {
    choir_str name;
    choiri_verdict verdict;
    bool is_partial;              /* but some values cannot be read */
    choiri_compat args, response; /* not of one that was added or removed */
} choiri_compat_method;

/* Who can call whom: arguments are read by who is called, answers by who calls. */
typedef struct choiri_compat_call {
    const choiri_compat_way *args, *answer; /* as they are read */
} choiri_compat_call;
/* Old callers and new servers, or the other way round. */
choiri_compat_call choiri_compat_call_of(const choiri_compat_method *m, bool is_caller_new);

/* One root. OK · ERR_INVALID (a bad type; text of a way says which) · ERR_TOO_LARGE (types beyond the limits
 * of a connection) · ERR_NO_MEMORY. The units have been checked. */
int choiri_compat_roots(choir_env *env, const choiri_root *before, const choiri_root *after,
                        choiri_compat *ret_compat);

/* All methods of a service, by id: those of `before` in order, then what was added. Stops when fn answers
 * false. Statuses of choiri_compat_roots and of choiri_prepare; ret_text says more. */
int choiri_compat_services(choir_env *env, const choir_service *before, const choir_service *after,
                           bool (*fn)(void *ctx, const choiri_compat_method *method), void *ctx,
                           choiri_text *ret_text);

#endif
