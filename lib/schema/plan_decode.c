/* SPDX-License-Identifier: MIT */
/* Decodes values of a peer's type by a plan.
 *
 * The plan follows the peer's bytes; what is the same for a whole subtree goes to the value decoder. What is
 * skipped takes no memory, and whatever is looped over takes at least one byte of the input each time round,
 * or memory of the arena: elements without either are not looped over, and the plan has no steps that skip
 * nothing. So the work is bounded by the input and the depth, however the peer's types look. */
#include "base/assert.h"
#include "schema/plan_build.h"
#include "value/decoder.h"
#include "value/unit.h"

typedef struct runner {
    choiri_decoder d;
    const choiri_plan *plan;
    bool is_skipped;                   /* what failed is nothing of ours */
    const choiri_plan_branch *unknown; /* the peer's variant that ours does not have */
    const choir_type *unknown_type;
} runner;

static bool run(runner *x, uint32_t index, void *out, uint32_t depth);

/* p may be NULL when there is nothing at it. */
static void *at(void *p, size_t offset) {
    return offset == 0 ? p : (uint8_t *)p + offset;
}

/* A field of ours: where it is in the C struct, and its type. */
typedef struct slot {
    uint32_t offset, type;
} slot;

static slot slot_of(const runner *x, const choir_type *t, uint32_t variant, uint32_t field) {
    if (t->kind == CHOIR_KIND_RESULT) return (slot){t->offset, variant == 0 ? t->elem : t->elem2};
    uint32_t first =
        t->kind == CHOIR_KIND_ENUM ? choiri_unit_variant(x->d.u, t->first + variant)->first : t->first;
    const choir_field *f = choiri_unit_field(x->d.u, first + field);
    return (slot){f->offset, f->type};
}

/* t is NULL when all is skipped. */
static bool run_steps(runner *x, const choiri_plan_branch *b, const choir_type *t, void *out,
                      uint32_t depth) {
    for (uint32_t i = 0; i < b->count; i++) {
        const choiri_plan_step *s = &x->plan->steps[b->first + i];
        if (s->field == CHOIRI_PLAN_NONE) {
            if (!run(x, s->node, NULL, depth)) return false;
            continue;
        }
        slot to = slot_of(x, t, b->variant, s->field);
        if (s->node == CHOIRI_PLAN_NONE) {
            uint32_t size = choiri_unit_type(x->d.u, to.type)->size;
            if (size > 0) memset(at(out, to.offset), 0, size);
            continue;
        }
        if (run(x, s->node, at(out, to.offset), depth)) continue;
        bool is_err = t->kind == CHOIR_KIND_RESULT && b->variant == 1;
        choiri_path_add(&x->d.path, t, t->kind == CHOIR_KIND_ENUM ? b->variant : 0, is_err ? 1 : s->field);
        return false;
    }
    return true;
}

static bool run_enum(runner *x, const choiri_plan_node *n, const choir_type *t, void *out, uint32_t depth) {
    uint64_t tag;
    if (!choiri_read_varint(x->d.r, &tag)) return false;
    if (tag >= n->count) return choiri_reader_fail(x->d.r, CHOIR_ERR_MALFORMED);
    const choiri_plan_branch *b = &x->plan->branches[n->first + tag];
    if (t && b->variant == CHOIRI_PLAN_NONE) {
        x->unknown = b;
        x->unknown_type = t;
        return choiri_reader_fail(x->d.r, CHOIR_ERR_MALFORMED);
    }
    if (t) *(uint32_t *)out = b->variant;
    return run_steps(x, b, t, out, depth);
}

static bool run_items(runner *x, uint32_t elem, const choir_type *t, void *out, size_t count,
                      uint32_t depth) {
    size_t size = t ? choiri_unit_type(x->d.u, t->elem)->size : 0;
    if (size == 0 && x->plan->nodes[elem].min == 0) return true;
    for (size_t i = 0; i < count; i++) {
        if (run(x, elem, t ? at(out, i * size) : NULL, depth)) continue;
        if (t) choiri_path_add(&x->d.path, t, 0, i);
        return false;
    }
    return true;
}

static bool run_list(runner *x, uint32_t elem, const choir_type *t, choir_list *out, uint32_t depth) {
    uint64_t count;
    if (!choiri_read_count(x->d.r, x->plan->nodes[elem].min, CHOIRI_DECODER_EMPTY_MAX, &count)) return false;
    if (!t) return run_items(x, elem, NULL, NULL, (size_t)count, depth);
    if (!choiri_decoder_list(&x->d, choiri_unit_type(x->d.u, t->elem), count, out)) return false;
    return run_items(x, elem, t, (void *)(uintptr_t)out->items, (size_t)count, depth);
}

static bool run_option(runner *x, uint32_t elem, const choir_type *t, void *out, uint32_t depth) {
    bool some;
    if (!t) return choiri_read_bool(x->d.r, &some) && (!some || run(x, elem, NULL, depth));
    if (!choiri_decoder_option(&x->d, t, out)) return false;
    return !*(const bool *)out || run(x, elem, at(out, t->offset), depth);
}

static bool run_parts(runner *x, const choiri_plan_node *n, const choir_type *t, void *out, uint32_t depth) {
    const choiri_plan *p = x->plan;
    switch (n->op) {
    case CHOIRI_PLAN_OPTION: return run_option(x, p->steps[n->first].node, t, out, depth);
    case CHOIRI_PLAN_LIST: return run_list(x, p->steps[n->first].node, t, out, depth);
    case CHOIRI_PLAN_ARRAY:
        return run_items(x, p->steps[n->first].node, t, out, t ? t->count : n->count, depth);
    case CHOIRI_PLAN_FIELDS: return run_steps(x, &p->branches[n->first], t, out, depth);
    default: return run_enum(x, n, t, out, depth);
    }
}

static bool skip_leaf(choiri_reader *r, const choiri_plan_node *n) {
    choir_bytes bytes;
    uint64_t lo, hi;
    switch (n->op) {
    case CHOIRI_PLAN_FIXED: return choiri_read_fixed(r, n->count, &bytes);
    case CHOIRI_PLAN_VARINT128: return choiri_read_varint128(r, &lo, &hi);
    case CHOIRI_PLAN_BYTES: return choiri_read_bytes(r, &bytes);
    case CHOIRI_PLAN_VARINTS:
        for (uint32_t i = 0; i < n->count; i++)
            if (!choiri_read_varint(r, &lo)) return false;
        return true;
    default: return choiri_reader_fail(r, CHOIR_ERR_MALFORMED); /* never */
    }
}

static bool run(runner *x, uint32_t index, void *out, uint32_t depth) {
    const choiri_plan_node *n = &x->plan->nodes[index];
    if (n->op == CHOIRI_PLAN_SAME) return choiri_decoder_read(&x->d, n->type, out, depth);
    if (n->op < CHOIRI_PLAN_OPTION) {
        if (skip_leaf(x->d.r, n)) return true;
        x->is_skipped = true;
        return false;
    }
    const choir_type *t = n->type == CHOIRI_PLAN_NONE ? NULL : choiri_unit_type(x->d.u, n->type);
    bool ok = true;
    for (; ok && t && t->kind == CHOIR_KIND_BOX && depth < CHOIRI_VALUE_DEPTH; depth++) {
        out = choiri_decoder_box(&x->d, t, out);
        ok = out != NULL;
        t = choiri_unit_type(x->d.u, t->elem);
    }
    if (ok && depth == CHOIRI_VALUE_DEPTH) ok = choiri_reader_fail(x->d.r, CHOIR_ERR_DEPTH);
    ok = ok && run_parts(x, n, t, out, depth + 1);
    if (!ok && !t) x->is_skipped = true;
    if (!ok && !x->d.failed && !x->is_skipped) x->d.failed = t;
    return ok;
}

static void explain(const runner *x, choiri_text *text) {
    if (!x->unknown) {
        choiri_decoder_explain(&x->d, text);
        return;
    }
    const choiri_plan_branch *b = x->unknown;
    choiri_text_init(text);
    choiri_path_write(&x->d.path, x->d.u, text);
    choiri_text_add(text, text->len > 0 ? ": the peer sent variant " : "the peer sent variant ");
    choiri_text_quoted(text, (choir_bytes){x->plan->names + b->name, b->name_len}, CHOIRI_PLAN_NAME_MAX);
    choiri_text_add(text, " of enum ");
    choiri_type_write(x->d.u, x->unknown_type, text);
    choiri_text_add(text, ", which ours does not have");
}

int choiri_plan_run(const choiri_plan *plan, uint32_t which, choiri_reader *r, const choir_unit *u,
                    uint32_t type, choiri_arena *arena, void *ret_value, choiri_text *ret_text) {
    if (plan->roots[which] == CHOIRI_PLAN_NONE)
        return choiri_value_decode(r, u, type, arena, ret_value, ret_text);
    runner x; /* as the value decoder: not initialised as a whole */
    choiri_decoder_init(&x.d, r, u, arena);
    x.plan = plan;
    x.is_skipped = false;
    x.unknown = NULL;
    if (run(&x, plan->roots[which], ret_value, 0)) return CHOIR_OK;
    if (ret_text) explain(&x, ret_text);
    return r->status;
}
