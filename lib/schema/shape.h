/* SPDX-License-Identifier: MIT */
/* Shapes: types as plans compare them, whether they come from a peer's schemas, from an announcement of ours
 * or from descriptors. A shape is read when it is first looked at, and its components are shapes again, so
 * recursive types are cycles and nothing endless is ever unfolded by itself.
 *
 * An instance of a generic type is a shape of its own, with its type arguments already put in for the
 * variables. Equal instances are one shape: the same pointer. So "was this pair compared before?" is a
 * question about two pointers, and types that grow with each round (A<T> holding an A<(T, T)>) take one shape
 * per round instead of doubling.
 *
 * Everything lies in one arena and every byte looked at is charged, so a peer's types cost what the budget
 * allows. */
#ifndef CHOIRI_SHAPE_H
#define CHOIRI_SHAPE_H

#include "base/arena.h"
#include "schema/extract.h"
#include "schema/recv_tracker.h"

typedef struct choiri_shape choiri_shape;

typedef struct choiri_shape_part {
    choir_bytes name; /* of a field, else empty */
    choiri_shape *shape;
    bool optional; /* ours: has a value when the peer's type lacks it */
    bool required; /* of wire schemas: what they say */
} choiri_shape_part;

/* The parts of an enum's variant. All other types that have parts have exactly one of these, without a
 * name. */
typedef struct choiri_shape_variant {
    choir_bytes name;
    uint32_t kind; /* CHOIR_VARIANT_* */
    uint32_t parts_len;
    const choiri_shape_part *parts;
} choiri_shape_variant;

enum { /* where a shape comes from */
       CHOIRI_SHAPE_THEIRS,
       CHOIRI_SHAPE_ANNOUNCED, /* what we announce: wire schemas, distorted as peers expect them */
       CHOIRI_SHAPE_OURS,      /* what it is: descriptors */
       CHOIRI_SHAPE_IMPLIED,   /* what everybody knows */
       CHOIRI_SHAPE_SIDES
};

struct choiri_shape {
    choiri_shape *next;  /* of the same side, in the order they were made */
    choiri_shape *chain; /* in the table */
    uint64_t id;         /* type id; OURS: index of the type in its unit, or CHOIRI_SHAPE_RESPONSE, ... */
    choiri_shape *const *args;
    uint32_t args_len;
    uint32_t number; /* how many were made before it, so that hashes do not depend on addresses */
    uint8_t side;
    bool is_read; /* what follows is known */
    uint8_t form; /* CHOIRI_WIRE_* ; all spellings of bytes are a list */
    choir_bytes name;
    uint64_t length; /* array */
    uint32_t variants_len;
    const choiri_shape_variant *variants;
    /* Of an announced shape: what the peer has announced under the same id with the same arguments, and
     * whether that is the same down to the last byte, everything it refers to included. */
    choiri_shape *twin;
    bool is_same;
    /* What the plan has made of a peer's shape. */
    struct choiri_draft_node *nodes, *skip;
};

/* Ids of OURS that no descriptor has. */
#define CHOIRI_SHAPE_RESPONSE  (UINT64_C(1) << 32) /* Result<ok, VoxError<err>> */
#define CHOIRI_SHAPE_VOX_ERROR (CHOIRI_SHAPE_RESPONSE + 1)

#define CHOIRI_SHAPE_BUCKETS 256u

typedef struct choiri_shapes {
    choiri_arena *arena;
    const choiri_recv_tracker *tracker;
    const choiri_schema_set *announcement;
    const choiri_root *root; /* NULL: OURS is not used */
    uint32_t steps;          /* so far, at most CHOIRI_SCHEMA_MAX_STEPS */
    uint32_t made;
    bool is_literal; /* wire schemas mean what they say; set after _init */
    choiri_text why; /* what was wrong; does not say where */
    choiri_shape *first[CHOIRI_SHAPE_SIDES], **end[CHOIRI_SHAPE_SIDES];
    choiri_shape *table[CHOIRI_SHAPE_BUCKETS];
} choiri_shapes;

/* The arena, the members up to `root` and nothing else are set by the caller. */
void choiri_shapes_init(choiri_shapes *s);

/* Adds steps. OK or ERR_TOO_LARGE. */
int choiri_shapes_charge(choiri_shapes *s, size_t steps);
/* Memory of the arena, uninitialised: ERR_NO_MEMORY or ERR_TOO_LARGE go into *ret_status, else it is
 * untouched. */
void *choiri_shapes_alloc(choiri_shapes *s, size_t count, size_t size, int *ret_status);

/* All three: OK · ERR_MALFORMED (an id that was never announced, a variable that is not bound, no reference
 * at all) · ERR_TOO_LARGE · ERR_NO_MEMORY; `why` says more. */
/* The shape that a TypeRef without variables means; not read yet. */
int choiri_shape_of_ref(choiri_shapes *s, uint8_t side, choir_bytes ref, choiri_shape **ret_shape);
/* A shape of ours. */
int choiri_shape_of_type(choiri_shapes *s, uint64_t type, choiri_shape **ret_shape);
int choiri_shape_read(choiri_shapes *s, choiri_shape *shape);

/* Reads everything that our announcement's root refers to and finds its twins. */
int choiri_shapes_find_twins(choiri_shapes *s, choiri_shape **ret_root);

/* Steps of a path into a type, from one shape to what is in it. */
enum {
    CHOIRI_STEP_NONE, /* the root, or what a shape stands for */
    CHOIRI_STEP_NAME,
    CHOIRI_STEP_INDEX,
    CHOIRI_STEP_ITEM,
    CHOIRI_STEP_KEY,
    CHOIRI_STEP_VALUE
};
/* Appends a step, as in "args.0.entries[].id"; `variant` is the one that it leads into (empty: none). */
void choiri_step_write(choiri_text *text, uint32_t step, choir_bytes variant, choir_bytes name,
                       uint64_t index);

#endif
