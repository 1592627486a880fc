/* SPDX-License-Identifier: MIT */
/* A plan while it is being made: nodes in an arena (plan.c makes them, plan_pack.c puts them into one block),
 * and the form of the finished block (plan_pack.c writes it, plan_decode.c runs it). */
#ifndef CHOIRI_PLAN_BUILD_H
#define CHOIRI_PLAN_BUILD_H

#include "schema/plan.h"
#include "schema/shape.h"

#define CHOIRI_PLAN_NAME_MAX 64u /* bytes of a peer's name that are kept for texts */

/* --- while it is being made --- */

typedef struct choiri_draft_node choiri_draft_node;

/* One part of a value, in the order of the wire. */
typedef struct choiri_plan_part {
    uint32_t field;          /* of ours; CHOIRI_PLAN_NONE: skipped */
    choiri_draft_node *node; /* NULL: the peer does not have it, it becomes zero */
} choiri_plan_part;

typedef struct choiri_plan_case {
    uint32_t variant; /* of ours; CHOIRI_PLAN_NONE: we do not have it */
    uint32_t parts_len;
    choir_bytes name; /* the peer's */
    choiri_plan_part *parts;
} choiri_plan_case;

struct choiri_draft_node {
    choiri_draft_node *next;    /* all, in the order they were made */
    choiri_draft_node *sibling; /* of the same remote shape, for another one of ours */
    const choiri_shape *remote; /* NULL: the pair of a map */
    const choiri_shape *local;  /* NULL: is skipped */
    bool differs;               /* cannot be decoded as ours */
    uint8_t state;              /* plan_pack.c */
    uint8_t min;                /* fewest bytes of a value, at most 64 */
    uint32_t at;                /* in the block */
    uint32_t cases_len;         /* enum: by the peer's number; else 0 or 1 */
    choiri_plan_case *cases;
};

typedef struct choiri_plan_builder {
    choiri_shapes shapes;
    choiri_arena arena;
    const choiri_plan_input *in;
    bool is_wire; /* ours is an announcement, too: nothing is translated, and variants may be added */
    choiri_text *text;
    choiri_plan_facts *facts; /* may be NULL */
    choiri_draft_node *first, **end;
    bool is_too_deep; /* plan_pack.c: a value would be nested too deep */
} choiri_plan_builder;

choiri_draft_node *choiri_plan_new_node(choiri_plan_builder *b, const choiri_shape *remote,
                                        const choiri_shape *local, int *status);

/* Finds out which nodes differ because their parts do. OK or ERR_TOO_LARGE. */
int choiri_plan_settle(choiri_plan_builder *b);
/* Makes the block. roots: of CHOIRI_PLAN_OK and _ERR; NULL: decoded as ours. *ret_plan is NULL when both
 * are. */
int choiri_plan_pack(choiri_plan_builder *b, choiri_draft_node *const roots[2], choiri_plan **ret_plan);

/* --- the finished block --- */

#define CHOIRI_PLAN_NONE UINT32_MAX

enum {                    /* what a node does */
       CHOIRI_PLAN_SAME,  /* decodes type `type` */
       CHOIRI_PLAN_FIXED, /* these skip: `count` bytes, ... */
       CHOIRI_PLAN_VARINTS,
       CHOIRI_PLAN_VARINT128,
       CHOIRI_PLAN_BYTES,  /* a length and so many bytes */
       CHOIRI_PLAN_NEVER,  /* no value exists */
       CHOIRI_PLAN_OPTION, /* these decode into `type`, or skip when it is NONE; first part: the element */
       CHOIRI_PLAN_LIST,
       CHOIRI_PLAN_ARRAY,  /* `count`: elements of the peer's, when it is skipped */
       CHOIRI_PLAN_FIELDS, /* one case */
       CHOIRI_PLAN_ENUM    /* `count` cases */
};

typedef struct choiri_plan_node {
    uint8_t op, min;
    uint16_t reserved;
    uint32_t type;  /* of the unit; NONE: is skipped */
    uint32_t first; /* case, or part for OPTION, LIST, ARRAY */
    uint32_t count;
} choiri_plan_node;

typedef struct choiri_plan_branch {
    uint32_t variant, first, count; /* parts */
    uint32_t name, name_len;        /* of the peer's variant, if we do not have it */
} choiri_plan_branch;

typedef struct choiri_plan_step {
    uint32_t field; /* NONE: is skipped */
    uint32_t node;  /* NONE: becomes zero */
} choiri_plan_step;

struct choiri_plan {
    size_t size; /* of the block */
    uint32_t roots[2];
    uint32_t nodes_len;
    const choiri_plan_node *nodes;
    const choiri_plan_branch *branches;
    const choiri_plan_step *steps;
    const uint8_t *names;
};

#endif
