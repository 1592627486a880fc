/* SPDX-License-Identifier: MIT */
/* From the nodes that comparing made to the block that is kept: what is the same for a whole subtree becomes
 * one node, what takes no bytes and is not wanted becomes nothing. */
#include "base/assert.h"
#include "schema/plan_build.h"
#include "value/unit.h"
#include "value/value.h"

#define STEP_NODES 16u /* looking at so many nodes again costs a step */
#define ENOUGH     64u /* a bound of this many bytes is as good as a larger one */

enum { NEW, MEASURING, MEASURED, PLACED }; /* state of a node */

/* --- what differs --- */

static bool parts_differ(const choiri_draft_node *n) {
    for (uint32_t c = 0; c < n->cases_len; c++) {
        for (uint32_t i = 0; i < n->cases[c].parts_len; i++) {
            const choiri_draft_node *part = n->cases[c].parts[i].node;
            if (part && part->differs) return true;
        }
    }
    return false;
}

/* Recursive types make cycles, so this goes round until nothing changes. Few rounds are enough where parts
 * were made after what they are parts of, because newer ones are behind. */
int choiri_plan_settle(choiri_plan_builder *b) {
    for (bool again = true; again;) {
        size_t seen = 0;
        again = false;
        for (choiri_draft_node *n = b->first; n; n = n->next, seen++) {
            if (n->differs || !parts_differ(n)) continue;
            n->differs = true;
            again = true;
        }
        int status = choiri_shapes_charge(&b->shapes, seen / STEP_NODES);
        if (status != CHOIR_OK) return status;
    }
    return CHOIR_OK;
}

/* --- what a node does --- */

static uint8_t primitive_op(choir_bytes name, uint32_t *ret_count) {
    static const struct {
        char name[8];
        uint8_t op, count;
    } ops[] = {
        {"bool", CHOIRI_PLAN_FIXED, 1},
        {"u8", CHOIRI_PLAN_FIXED, 1},
        {"i8", CHOIRI_PLAN_FIXED, 1},
        {"f32", CHOIRI_PLAN_FIXED, 4},
        {"f64", CHOIRI_PLAN_FIXED, 8},
        {"unit", CHOIRI_PLAN_FIXED, 0},
        {"u128", CHOIRI_PLAN_VARINT128, 0},
        {"i128", CHOIRI_PLAN_VARINT128, 0},
        {"string", CHOIRI_PLAN_BYTES, 0},
        {"char", CHOIRI_PLAN_BYTES, 0},
        {"never", CHOIRI_PLAN_NEVER, 0},
        {"payload", CHOIRI_PLAN_VARINTS, 2}, /* a Duration: seconds, nanoseconds */
    };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (!choiri_wire_is(name, ops[i].name)) continue;
        *ret_count = ops[i].count;
        return ops[i].op;
    }
    *ret_count = 1;
    return CHOIRI_PLAN_VARINTS;
}

/* The op, and its count as far as it does not depend on the block. */
static uint8_t op_of(const choiri_draft_node *n, uint32_t *ret_count) {
    *ret_count = 0;
    if (!n->differs) return CHOIRI_PLAN_SAME;
    if (!n->remote) return CHOIRI_PLAN_FIELDS; /* key and value of a map */
    switch (n->remote->form) {
    case CHOIRI_WIRE_PRIMITIVE: return primitive_op(n->remote->name, ret_count);
    case CHOIRI_WIRE_CHANNEL: *ret_count = 1; return CHOIRI_PLAN_VARINTS;
    case CHOIRI_WIRE_OPTION: return CHOIRI_PLAN_OPTION;
    case CHOIRI_WIRE_LIST:
    case CHOIRI_WIRE_MAP: return CHOIRI_PLAN_LIST;
    case CHOIRI_WIRE_ARRAY: /* more elements than a payload has bytes are as good as all of them */
        *ret_count = n->remote->length < UINT32_MAX ? (uint32_t)n->remote->length : UINT32_MAX;
        return CHOIRI_PLAN_ARRAY;
    case CHOIRI_WIRE_ENUM: *ret_count = n->cases_len; return CHOIRI_PLAN_ENUM;
    default: *ret_count = 1; return CHOIRI_PLAN_FIELDS;
    }
}

/* The type of ours, without the boxes around it. */
static const choir_type *type_of(const choiri_plan_builder *b, const choiri_draft_node *n) {
    const choir_unit *u = b->in->root->unit;
    CHOIRI_ASSERT(n->local->side == CHOIRI_SHAPE_OURS && n->local->id < u->types_len);
    const choir_type *t = choiri_unit_type(u, (uint32_t)n->local->id);
    while (t->kind == CHOIR_KIND_BOX) t = choiri_unit_type(u, t->elem); /* was followed to its end before */
    return t;
}

/* --- how many bytes a value takes at least: 0 exactly for those that never take any --- */

/* Only parts that every value has are looked into, so what nests deeper than a value may has no value that
 * could be read. Nodes are shared, which makes graphs far deeper than the types that were compared. */
static uint32_t measure_at(choiri_plan_builder *b, choiri_draft_node *n, uint32_t depth);

static uint32_t measure_parts(choiri_plan_builder *b, const choiri_plan_case *c, uint32_t depth) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < c->parts_len && sum < ENOUGH; i++)
        if (c->parts[i].node) sum += measure_at(b, c->parts[i].node, depth);
    return sum;
}

static uint32_t measure_op(choiri_plan_builder *b, choiri_draft_node *n, uint32_t depth) {
    uint32_t count, each;
    switch (op_of(n, &count)) {
    case CHOIRI_PLAN_SAME:
        if (n->local->side != CHOIRI_SHAPE_OURS) return 1; /* the u8 of bytes */
        return (uint32_t)choiri_value_min_size(b->in->root->unit, (uint32_t)n->local->id);
    case CHOIRI_PLAN_FIXED:
    case CHOIRI_PLAN_VARINTS: return count;
    case CHOIRI_PLAN_FIELDS: return measure_parts(b, n->cases, depth);
    case CHOIRI_PLAN_ARRAY:
        if (n->local) count = type_of(b, n)->count;
        each = count == 0 ? 0 : measure_at(b, n->cases[0].parts[0].node, depth);
        return each > 0 && count > ENOUGH ? ENOUGH : each * count;
    default: return 1;
    }
}

static uint32_t measure_at(choiri_plan_builder *b, choiri_draft_node *n, uint32_t depth) {
    if (n->state == MEASURING) return 1; /* contains itself without end: there is no such value */
    if (depth > CHOIRI_VALUE_DEPTH) {
        b->is_too_deep = true;
        return 1;
    }
    if (n->state == NEW) {
        n->state = MEASURING;
        uint32_t min = measure_op(b, n, depth + 1);
        n->min = (uint8_t)(min < ENOUGH ? min : ENOUGH);
        n->state = MEASURED;
    }
    return n->min;
}

static uint32_t measure(choiri_plan_builder *b, choiri_draft_node *n) {
    return measure_at(b, n, 0);
}

/* --- the block --- */

typedef struct packing {
    choiri_plan_builder *b;
    choiri_draft_node **order; /* in the order of their places */
    uint32_t nodes, branches, steps, names;
    /* where the next ones go, while the block is filled */
    choiri_plan_branch *branch;
    choiri_plan_step *step;
    uint8_t *name, *names_start;
    choiri_plan_branch *branches_start;
    choiri_plan_step *steps_start;
} packing;

/* Skipping what takes no bytes is nothing. */
static bool is_needed(choiri_plan_builder *b, const choiri_plan_part *p) {
    return !p->node || p->field != CHOIRI_PLAN_NONE || measure(b, p->node) > 0;
}

static void place(packing *p, choiri_draft_node *n) {
    (void)measure(p->b, n);
    if (n->state == PLACED) return;
    n->state = PLACED;
    n->at = p->nodes;
    p->order[p->nodes++] = n;
}

static uint32_t name_len(const choiri_plan_case *c) {
    if (c->variant != CHOIRI_PLAN_NONE) return 0;
    /* One byte too many says that it was cut. */
    return c->name.len > CHOIRI_PLAN_NAME_MAX ? CHOIRI_PLAN_NAME_MAX + 1 : (uint32_t)c->name.len;
}

static bool has_branches(const choiri_draft_node *n) {
    uint32_t count;
    uint8_t op = op_of(n, &count);
    return op == CHOIRI_PLAN_FIELDS || op == CHOIRI_PLAN_ENUM;
}

/* Gives every node that can be reached a place, and counts. */
static void count(packing *p) {
    for (uint32_t at = 0; at < p->nodes; at++) {
        const choiri_draft_node *n = p->order[at];
        if (!n->differs) continue;
        if (has_branches(n)) p->branches += n->cases_len;
        for (uint32_t c = 0; c < n->cases_len; c++) {
            p->names += name_len(&n->cases[c]);
            for (uint32_t i = 0; i < n->cases[c].parts_len; i++) {
                const choiri_plan_part *part = &n->cases[c].parts[i];
                if (!is_needed(p->b, part) && has_branches(n)) continue;
                p->steps++;
                if (part->node) place(p, part->node);
            }
        }
    }
}

static void fill_case(packing *p, const choiri_draft_node *n, const choiri_plan_case *c) {
    choiri_plan_step *first = p->step;
    for (uint32_t i = 0; i < c->parts_len; i++) {
        const choiri_plan_part *part = &c->parts[i];
        if (!is_needed(p->b, part) && has_branches(n)) continue;
        *p->step++ = (choiri_plan_step){part->field, part->node ? part->node->at : CHOIRI_PLAN_NONE};
    }
    if (!has_branches(n)) return;
    uint32_t len = name_len(c);
    *p->branch++ = (choiri_plan_branch){.variant = c->variant,
                                        .first = (uint32_t)(first - p->steps_start),
                                        .count = (uint32_t)(p->step - first),
                                        .name = (uint32_t)(p->name - p->names_start),
                                        .name_len = len};
    if (len > 0) memcpy(p->name, c->name.data, len);
    p->name += len;
}

static choiri_plan_node fill_node(packing *p, const choiri_draft_node *n) {
    uint32_t count;
    choiri_plan_node ret = {.op = op_of(n, &count), .min = n->min, .type = CHOIRI_PLAN_NONE, .count = count};
    if (n->local && n->local->side == CHOIRI_SHAPE_OURS) ret.type = (uint32_t)n->local->id;
    CHOIRI_ASSERT(ret.op != CHOIRI_PLAN_SAME || ret.type != CHOIRI_PLAN_NONE);
    if (!n->differs) return ret;
    ret.first =
        has_branches(n) ? (uint32_t)(p->branch - p->branches_start) : (uint32_t)(p->step - p->steps_start);
    for (uint32_t c = 0; c < n->cases_len; c++) fill_case(p, n, &n->cases[c]);
    return ret;
}

static choiri_plan *fill(packing *p, size_t size, choiri_draft_node *const roots[2]) {
    choiri_plan *plan = choiri_alloc(p->b->in->env, size);
    if (!plan) return NULL;
    choiri_plan_node *nodes = (choiri_plan_node *)(plan + 1);
    p->branch = p->branches_start = (choiri_plan_branch *)(nodes + p->nodes);
    p->step = p->steps_start = (choiri_plan_step *)(p->branch + p->branches);
    p->name = p->names_start = (uint8_t *)(p->step + p->steps);
    *plan = (choiri_plan){.size = size,
                          .nodes_len = p->nodes,
                          .nodes = nodes,
                          .branches = p->branches_start,
                          .steps = p->steps_start,
                          .names = p->names_start};
    for (int i = 0; i < 2; i++)
        plan->roots[i] = roots[i] && roots[i]->differs ? roots[i]->at : CHOIRI_PLAN_NONE;
    for (uint32_t i = 0; i < p->nodes; i++) nodes[i] = fill_node(p, p->order[i]);
    return plan;
}

int choiri_plan_pack(choiri_plan_builder *b, choiri_draft_node *const roots[2], choiri_plan **ret_plan) {
    packing p = {.b = b};
    uint32_t all = 0;
    int status = CHOIR_OK;
    for (const choiri_draft_node *n = b->first; n; n = n->next) all++;
    p.order = choiri_shapes_alloc(&b->shapes, all, sizeof *p.order, &status);
    if (!p.order) return status;
    for (int i = 0; i < 2; i++)
        if (roots[i] && roots[i]->differs) place(&p, roots[i]);
    if (p.nodes == 0) return CHOIR_OK;
    count(&p);
    if (b->is_too_deep) {
        choiri_text_init(&b->shapes.why);
        choiri_text_add(&b->shapes.why, "the types are nested more than 64 deep");
        return CHOIR_ERR_DEPTH;
    }
    size_t size = sizeof(choiri_plan) + p.nodes * sizeof(choiri_plan_node) +
                  p.branches * sizeof(choiri_plan_branch) + p.steps * sizeof(choiri_plan_step) + p.names;
    if (size > CHOIRI_PLAN_MAX_BYTES) return choiri_shapes_charge(&b->shapes, CHOIRI_SCHEMA_MAX_STEPS + 1);
    *ret_plan = fill(&p, size, roots);
    if (*ret_plan) return CHOIR_OK;
    choiri_text_init(&b->shapes.why);
    choiri_text_add(&b->shapes.why, "out of memory");
    return CHOIR_ERR_NO_MEMORY;
}
