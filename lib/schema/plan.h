/* SPDX-License-Identifier: MIT */
/* Translation plans: how to read values of a peer's type as values of ours.
 * rule: schema.plan (docs/protocol/schemas.md)
 *
 * Role:   made once per method and direction of a connection, from the root that the peer announced, the
 *         schemas received so far and our descriptors; used for every value that follows.
 * Same:   when the peer's layout is ours there is no plan (NULL), and values are decoded as if nothing had
 *         been compared.
 * Rules:  fields and variants are matched by name; what only the peer has is skipped; what only we have
 *         becomes zero when it is an Option or has a default, and is an error otherwise; a variant that only
 *         the peer has is an error once it is received. Lengths of arrays, what goes through channels, and
 *         type arguments of primitives are not compared; bytes, bytes<T> and list<T> are one thing.
 *         For answers also rule: schema.wrong-binding.
 * Memory: one block from the env, bounded; the announcement and the tracker are not needed afterwards. */
#ifndef CHOIRI_PLAN_H
#define CHOIRI_PLAN_H

#include "schema/extract.h"
#include "schema/recv_tracker.h"
#include "value/value.h"

/* One plan: some thousands of fields that differ. */
#define CHOIRI_PLAN_MAX_BYTES (256u * 1024u)
/* What comparing may take while it lasts: the budget of steps with the largest thing a step makes. */
#define CHOIRI_PLAN_MAX_WORK ((size_t)4 << 20)

typedef struct choiri_plan choiri_plan;

/* Which value of the plan's root is meant. */
enum { CHOIRI_PLAN_ROOT = 0, CHOIRI_PLAN_OK = 0, CHOIRI_PLAN_ERR = 1 };

/* How texts call the two types. */
enum {
    CHOIRI_PLAN_ENDS,      /* "ours" and "the peer's", whose names are quoted and have their type ids */
    CHOIRI_PLAN_OURS_NEW,  /* for who compares two versions: ours is the new one, the peer's the old one */
    CHOIRI_PLAN_THEIRS_NEW /* the other way round */
};

typedef struct choiri_plan_input {
    choir_env *env;
    const choiri_recv_tracker *tracker;    /* what the peer has announced */
    choir_bytes remote_root;               /* CBOR TypeRef */
    const choiri_root *root;               /* ours */
    const choiri_schema_set *announcement; /* what we announce about it */
    /* Tolerates what callers must tolerate of vox 0.4.0 callees: a remote `never` means anything, `unit` as
     * Ok means anything, and a root that was never received or has the type id 0 means ours. */
    bool is_lenient;
    uint8_t speaks_of; /* CHOIRI_PLAN_ENDS, ... */
} choiri_plan_input;

/* For tests and reports. */
typedef struct choiri_plan_facts {
    uint32_t steps;      /* that comparing took, at most CHOIRI_SCHEMA_MAX_STEPS */
    uint32_t nodes;      /* of the plan, 0 for none */
    bool has_unknown;    /* the peer's type has variants that ours lacks */
    uint32_t unknowns;   /* how many */
    choiri_text unknown; /* the first of them */
} choiri_plan_facts;

/* OK (*ret_plan is NULL when the layouts are the same) · ERR_LAYOUT (text names path and both types) ·
 * ERR_MALFORMED (a type that was never announced, ...) · ERR_TOO_LARGE (steps, work or size) · ERR_DEPTH ·
 * ERR_NO_MEMORY. ret_facts may be NULL. */
int choiri_plan_make(const choiri_plan_input *in, choiri_plan **ret_plan, choiri_plan_facts *ret_facts,
                     choiri_text *ret_text);
/* NULL is fine. */
void choiri_plan_free(choir_env *env, choiri_plan *plan);
size_t choiri_plan_size(const choiri_plan *plan); /* 0 for NULL */

/* As choiri_value_decode, for a value that the peer encoded by its own type; `plan` may be NULL. `which` is
 * CHOIRI_PLAN_OK or _ERR for the plan of a response, else _ROOT. */
int choiri_plan_run(const choiri_plan *plan, uint32_t which, choiri_reader *r, const choir_unit *u,
                    uint32_t type, choiri_arena *arena, void *ret_value, choiri_text *ret_text);
static inline int choiri_plan_decode(const choiri_plan *plan, uint32_t which, choiri_reader *r,
                                     const choir_unit *u, uint32_t type, choiri_arena *arena, void *ret_value,
                                     choiri_text *ret_text) {
    if (!plan) return choiri_value_decode(r, u, type, arena, ret_value, ret_text);
    return choiri_plan_run(plan, which, r, u, type, arena, ret_value, ret_text);
}

/* Wire schema against wire schema, for what is not translated: the same layout? (More variants on either
 * side, behind the common ones, are.) Statuses of choiri_plan_make. */
int choiri_plan_check_same(choir_env *env, const choiri_recv_tracker *tracker, choir_bytes remote_root,
                           const choiri_schema_set *ours, choiri_text *ret_text);

#endif
