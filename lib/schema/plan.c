/* SPDX-License-Identifier: MIT */
/* Compares the peer's type with ours and notes what has to be done. rule: schema.plan
 *
 * Both are walked together, by the peer's order. Ours is what the descriptors say, because that is how values
 * are decoded; beside it goes what we announce about it, where that can be followed: vox 0.4.0 announces some
 * generic types distorted, so a peer with our very type announces the distorted form, too. What is announced
 * by both sides alike is the same, whatever it says.
 *
 * Bounds: a pair of shapes is compared once, so recursion ends; what grows while it recurses ends at the
 * depth, the budget of steps, or the memory. */
#include "base/assert.h"
#include "schema/plan_build.h"
#include "value/unit.h"

#define STEP_NAMES 16u /* comparing so many names costs a step */

enum { PLAIN, OK_VALUE, ERROR_VALUE }; /* where we are in a response */

typedef struct frame {
    const struct frame *outer;
    uint32_t depth;
    uint8_t place; /* PLAIN, ... */
    uint8_t step;  /* from the outer frame to this one */
    uint64_t index;
    choir_bytes name;    /* of a field */
    choir_bytes variant; /* of a field or an element: the variant it is in; empty: none */
    choiri_shape *remote, *local;
    const choiri_shape *beside; /* the announced form of `local`, or NULL */
} frame;

/* --- texts --- */

static choir_str str_of(choir_bytes b) {
    return (choir_str){(const char *)b.data, b.len};
}

/* The path from the root, as "args.0.entries[].id", in our names. */
static void say_path(choiri_text *text, const frame *f) {
    const frame *steps[CHOIRI_SCHEMA_DEPTH + 2];
    uint32_t count = 0;
    for (; f; f = f->outer) steps[count++] = f;
    while (count > 0) {
        f = steps[--count];
        choiri_step_write(text, f->step, f->variant, f->name, f->index);
    }
}

static void say_name(choiri_text *text, choir_bytes name, bool is_plain) {
    if (is_plain)
        choiri_text_str(text, str_of(name));
    else
        choiri_text_quoted(text, name, CHOIRI_PLAN_NAME_MAX);
}

static void say_type(choiri_text *text, const choiri_shape *t, bool is_plain) {
    if (t->form == CHOIRI_WIRE_STRUCT || t->form == CHOIRI_WIRE_ENUM || t->form == CHOIRI_WIRE_CHANNEL)
        choiri_text_add(choiri_text_add(text, choiri_wire_kind_name(t->form)), " ");
    if (t->form == CHOIRI_WIRE_STRUCT || t->form == CHOIRI_WIRE_ENUM) {
        say_name(text, t->name, is_plain);
    } else if (t->form == CHOIRI_WIRE_TUPLE) {
        choiri_text_u64(choiri_text_add(text, "tuple of "), t->variants[0].parts_len);
    } else if (t->name.len > 0) {
        choiri_text_str(text, str_of(t->name));
    } else {
        choiri_text_add(text, choiri_wire_kind_name(t->form));
    }
}

static const char *version_word(bool is_new) {
    return is_new ? "the new version" : "the old version";
}

static void say_types(const choiri_plan_builder *b, const frame *f) {
    choiri_text *text = b->text;
    if (b->in->speaks_of != CHOIRI_PLAN_ENDS) {
        const choiri_shape *types[2] = {f->remote, f->local}; /* the old one first */
        bool is_ours_old = b->in->speaks_of == CHOIRI_PLAN_THEIRS_NEW;
        for (int i = 0; i < 2; i++) {
            say_type(i > 0 ? choiri_text_add(text, ", ") : text, types[is_ours_old ? 1 - i : i], true);
            choiri_text_add(choiri_text_add(text, " in "), version_word(i == 1));
        }
        return;
    }
    say_type(choiri_text_add(text, "ours is "), f->local, true);
    say_type(choiri_text_add(text, ", the peer's is "), f->remote, false);
    if (f->remote->side != CHOIRI_SHAPE_THEIRS) return;
    choiri_text_hex(choiri_text_add(text, " (type "), f->remote->id);
    choiri_text_add(text, ")");
}

static int differ(choiri_plan_builder *b, const frame *f) {
    say_path(b->text, f);
    if (b->text->len > 0) choiri_text_add(b->text, ": ");
    say_types(b, f);
    return CHOIR_ERR_LAYOUT;
}

/* A field or variant of this frame's type is the trouble: `why` says what it is in the peer's type. */
static int differ_in(choiri_plan_builder *b, const frame *f, choir_bytes variant, choir_bytes name,
                     const char *why) {
    say_path(b->text, f);
    if (variant.len > 0) say_name(b->text->len > 0 ? choiri_text_add(b->text, ".") : b->text, variant, true);
    if (name.len > 0) say_name(b->text->len > 0 ? choiri_text_add(b->text, ".") : b->text, name, true);
    choiri_text_add(choiri_text_add(b->text, ": "), why);
    if (b->in->speaks_of != CHOIRI_PLAN_ENDS) {
        bool is_new = b->in->speaks_of == CHOIRI_PLAN_THEIRS_NEW;
        choiri_text_add(choiri_text_add(b->text, " "), version_word(is_new));
        say_type(choiri_text_add(b->text, " of "), f->remote, true);
        return CHOIR_ERR_LAYOUT;
    }
    choiri_text_add(b->text, " the peer's type; ");
    say_types(b, f);
    return CHOIR_ERR_LAYOUT;
}

/* Something failed that does not know where we are. */
static int fail(choiri_plan_builder *b, const frame *f, int status) {
    if (b->text->len > 0) return status; /* said already */
    if (status == CHOIR_ERR_MALFORMED) {
        say_path(b->text, f);
        if (b->text->len > 0) choiri_text_add(b->text, ": ");
    }
    choiri_text_str(b->text, choiri_text_get(&b->shapes.why));
    return status;
}

/* --- nodes --- */

choiri_draft_node *choiri_plan_new_node(choiri_plan_builder *b, const choiri_shape *remote,
                                        const choiri_shape *local, int *status) {
    *status = choiri_shapes_charge(&b->shapes, 1);
    choiri_draft_node *n = *status == CHOIR_OK ? choiri_shapes_alloc(&b->shapes, 1, sizeof *n, status) : NULL;
    if (!n) return NULL;
    *n = (choiri_draft_node){.remote = remote, .local = local};
    *b->end = n;
    b->end = &n->next;
    return n;
}

static int new_cases(choiri_plan_builder *b, choiri_draft_node *n, uint32_t count) {
    int status = CHOIR_OK;
    n->cases = choiri_shapes_alloc(&b->shapes, count, sizeof *n->cases, &status);
    if (!n->cases) return status;
    memset(n->cases, 0, count * sizeof *n->cases);
    n->cases_len = count;
    return CHOIR_OK;
}

static int new_parts(choiri_plan_builder *b, choiri_plan_case *c, uint32_t count) {
    int status = choiri_shapes_charge(&b->shapes, count);
    if (status != CHOIR_OK) return status;
    c->parts = choiri_shapes_alloc(&b->shapes, count, sizeof *c->parts, &status);
    if (!c->parts) return status;
    c->parts_len = count;
    for (uint32_t i = 0; i < count; i++) c->parts[i] = (choiri_plan_part){i, NULL};
    return CHOIR_OK;
}

/* --- skipping --- */

static int too_deep(choiri_plan_builder *b) {
    choiri_text_add(b->text, "the types are nested more than 64 deep");
    return CHOIR_ERR_DEPTH;
}

/* A map is a list of pairs. */
static int new_pair(choiri_plan_builder *b, choiri_draft_node *map, const choiri_shape *local,
                    choiri_plan_case **ret) {
    int status = new_cases(b, map, 1);
    if (status == CHOIR_OK) status = new_parts(b, &map->cases[0], 1);
    if (status != CHOIR_OK) return status;
    choiri_draft_node *pair = choiri_plan_new_node(b, NULL, local, &status);
    if (!pair) return status;
    map->cases[0].parts[0].node = pair;
    status = new_cases(b, pair, 1);
    if (status == CHOIR_OK) status = new_parts(b, &pair->cases[0], 2);
    *ret = pair->cases;
    return status;
}

static int skip(choiri_plan_builder *b, const frame *f, choiri_shape *remote, uint32_t depth,
                choiri_draft_node **ret);

static int skip_case(choiri_plan_builder *b, const frame *f, const choiri_shape_variant *v, uint32_t depth,
                     choiri_plan_case *c) {
    int status = CHOIR_OK;
    c->name = v->name;
    for (uint32_t i = 0; i < v->parts_len && status == CHOIR_OK; i++) {
        c->parts[i].field = CHOIRI_PLAN_NONE;
        status = skip(b, f, v->parts[i].shape, depth, &c->parts[i].node);
    }
    return status;
}

static int skip(choiri_plan_builder *b, const frame *f, choiri_shape *remote, uint32_t depth,
                choiri_draft_node **ret) {
    if (remote->skip) {
        *ret = remote->skip;
        return CHOIR_OK;
    }
    if (depth > CHOIRI_SCHEMA_DEPTH) return too_deep(b);
    int status = choiri_shape_read(&b->shapes, remote);
    choiri_draft_node *n = status == CHOIR_OK ? choiri_plan_new_node(b, remote, NULL, &status) : NULL;
    if (!n) return fail(b, f, status);
    *ret = remote->skip = n;
    n->differs = true;
    if (remote->form == CHOIRI_WIRE_MAP) {
        choiri_plan_case *pair;
        status = new_pair(b, n, NULL, &pair);
        if (status == CHOIR_OK) n->cases[0].parts[0].node->differs = true;
        if (status != CHOIR_OK) return fail(b, f, status);
        return skip_case(b, f, &remote->variants[0], depth + 1, pair);
    }
    status = new_cases(b, n, remote->variants_len);
    for (uint32_t i = 0; i < remote->variants_len && status == CHOIR_OK; i++) {
        status = new_parts(b, &n->cases[i], remote->variants[i].parts_len);
        if (status == CHOIR_OK) status = skip_case(b, f, &remote->variants[i], depth + 1, &n->cases[i]);
    }
    return status == CHOIR_OK ? CHOIR_OK : fail(b, f, status);
}

/* --- comparing --- */

static int compare(choiri_plan_builder *b, frame *f, choiri_draft_node **ret);

/* The announced form of a part of this frame's type, as far as it goes along. */
static const choiri_shape *part_beside(const frame *f, uint32_t variant, uint32_t part) {
    const choiri_shape *a = f->beside;
    if (!a || a->form != f->local->form || a->variants_len != f->local->variants_len) return NULL;
    const choiri_shape_variant *v = &a->variants[variant];
    return v->parts_len == f->local->variants[variant].parts_len ? v->parts[part].shape : NULL;
}

/* Compares part `from` of the peer's variant `theirs` with part `to` of our variant `ours`. `next` says how
 * it is reached. */
static int descend(choiri_plan_builder *b, const frame *f, frame *next, uint32_t theirs, uint32_t from,
                   uint32_t ours, uint32_t to, choiri_draft_node **ret) {
    next->outer = f;
    next->depth = f->depth + 1;
    next->remote = f->remote->variants[theirs].parts[from].shape;
    next->local = f->local->variants[ours].parts[to].shape;
    next->beside = part_beside(f, ours, to);
    return compare(b, next, ret);
}

/* Our field of this name that has no match yet; mostly it is where the last one was, plus one. */
static int find_field(choiri_plan_builder *b, const choiri_shape_variant *ours, const bool *is_matched,
                      choir_bytes name, uint32_t start, uint32_t *ret) {
    uint32_t n = ours->parts_len;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = start + k < n ? start + k : start + k - n;
        if (is_matched[i] || !choiri_wire_equal(ours->parts[i].name, name)) continue;
        *ret = i;
        return choiri_shapes_charge(&b->shapes, k / STEP_NAMES);
    }
    *ret = CHOIRI_PLAN_NONE;
    return choiri_shapes_charge(&b->shapes, n / STEP_NAMES);
}

static int missing_fields(choiri_plan_builder *b, const frame *f, const choiri_shape_variant *ours,
                          const bool *is_matched, choiri_draft_node *n, choiri_plan_case *c) {
    for (uint32_t i = 0; i < ours->parts_len; i++) {
        if (is_matched[i]) continue;
        if (!ours->parts[i].optional) return differ_in(b, f, ours->name, ours->parts[i].name, "missing in");
        c->parts[c->parts_len++] = (choiri_plan_part){i, NULL};
        n->differs = true;
    }
    return CHOIR_OK;
}

/* Fields of a struct, or of an enum's variant: by name. */
static int compare_fields(choiri_plan_builder *b, const frame *f, uint32_t theirs, uint32_t ours,
                          choiri_draft_node *n, choiri_plan_case *c) {
    const choiri_shape_variant *remote = &f->remote->variants[theirs], *local = &f->local->variants[ours];
    int status = new_parts(b, c, remote->parts_len + local->parts_len);
    bool *is_matched =
        status == CHOIR_OK ? choiri_shapes_alloc(&b->shapes, local->parts_len, 1, &status) : NULL;
    if (!is_matched) return fail(b, f, status);
    memset(is_matched, 0, local->parts_len);
    c->parts_len = remote->parts_len;
    for (uint32_t i = 0, expected = 0; i < remote->parts_len && status == CHOIR_OK; i++) {
        uint32_t to;
        choir_bytes name = remote->parts[i].name;
        status = find_field(b, local, is_matched, name, expected, &to);
        if (status != CHOIR_OK) return fail(b, f, status);
        c->parts[i].field = to;
        if (to != i) n->differs = true;
        if (to == CHOIRI_PLAN_NONE) {
            status = skip(b, f, remote->parts[i].shape, f->depth + 1, &c->parts[i].node);
            continue;
        }
        frame next = {.step = CHOIRI_STEP_NAME, .name = local->parts[to].name, .variant = local->name};
        is_matched[to] = true;
        expected = to + 1;
        status = descend(b, f, &next, theirs, i, ours, to, &c->parts[i].node);
    }
    return status == CHOIR_OK ? missing_fields(b, f, local, is_matched, n, c) : status;
}

/* Where the value of a newtype variant is in a response. */
static uint8_t place_in(const frame *f, choir_bytes variant) {
    choir_bytes name = f->local->name;
    if (choiri_wire_is(name, "Result")) {
        if (choiri_wire_is(variant, "Ok") && !f->outer) return OK_VALUE;
        if (choiri_wire_is(variant, "Err")) return ERROR_VALUE;
    }
    return choiri_wire_is(name, "VoxError") && choiri_wire_is(variant, "User") ? ERROR_VALUE : PLAIN;
}

/* What is matched by its position: the elements of tuples and tuple variants, the one of a newtype. */
static int compare_elements(choiri_plan_builder *b, const frame *f, uint32_t theirs, uint32_t ours,
                            choiri_plan_case *c) {
    const choiri_shape_variant *remote = &f->remote->variants[theirs], *local = &f->local->variants[ours];
    if (remote->parts_len != local->parts_len) {
        if (local->name.len == 0) return differ(b, f);
        return differ_in(b, f, local->name, (choir_bytes){NULL, 0}, "another number of values in");
    }
    int status = new_parts(b, c, local->parts_len);
    if (status != CHOIR_OK) return fail(b, f, status);
    bool is_newtype = local->kind == CHOIR_VARIANT_NEWTYPE;
    for (uint32_t i = 0; i < local->parts_len && status == CHOIR_OK; i++) {
        frame next = {
            .step = is_newtype ? CHOIRI_STEP_NONE : CHOIRI_STEP_INDEX, .index = i, .variant = local->name};
        if (is_newtype) next.place = place_in(f, local->name);
        status = descend(b, f, &next, theirs, i, ours, i, &c->parts[i].node);
    }
    return status;
}

static int find_variant(choiri_plan_builder *b, const choiri_shape *ours, choir_bytes name, uint32_t expected,
                        uint32_t *ret) {
    *ret = expected;
    if (expected < ours->variants_len && choiri_wire_equal(ours->variants[expected].name, name))
        return CHOIR_OK;
    for (*ret = 0; *ret < ours->variants_len; ++*ret)
        if (choiri_wire_equal(ours->variants[*ret].name, name)) break;
    int status = choiri_shapes_charge(&b->shapes, *ret / STEP_NAMES);
    if (*ret == ours->variants_len) *ret = CHOIRI_PLAN_NONE;
    return status;
}

/* A variant that we do not have. Its payload is not looked at: the value is an error whatever follows. */
static void note_unknown(choiri_plan_builder *b, const frame *f, choiri_draft_node *n, choiri_plan_case *c,
                         uint32_t number) {
    if (!b->is_wire || number < f->local->variants_len) n->differs = true;
    c->variant = CHOIRI_PLAN_NONE;
    if (!b->facts || b->facts->unknowns++ > 0) return;
    choiri_text *text = &b->facts->unknown;
    b->facts->has_unknown = true;
    say_path(text, f);
    if (b->in->speaks_of != CHOIRI_PLAN_ENDS) {
        choiri_text path = *text;
        choiri_text_init(text);
        choiri_text_str(choiri_text_add(text, "variant "), str_of(c->name));
        if (path.len > 0) choiri_text_str(choiri_text_add(text, " in "), choiri_text_get(&path));
        return;
    }
    choiri_text_add(text, text->len > 0 ? ": variant " : "variant ");
    say_name(text, c->name, false);
}

static int compare_variants(choiri_plan_builder *b, const frame *f, choiri_draft_node *n) {
    int status = new_cases(b, n, f->remote->variants_len);
    if (status != CHOIR_OK) return fail(b, f, status);
    for (uint32_t i = 0; i < f->remote->variants_len && status == CHOIR_OK; i++) {
        const choiri_shape_variant *remote = &f->remote->variants[i];
        choiri_plan_case *c = &n->cases[i];
        c->name = remote->name;
        status = find_variant(b, f->local, remote->name, i, &c->variant);
        if (status != CHOIR_OK) return fail(b, f, status);
        if (c->variant == CHOIRI_PLAN_NONE) {
            note_unknown(b, f, n, c, i);
            continue;
        }
        const choiri_shape_variant *local = &f->local->variants[c->variant];
        if (c->variant != i) n->differs = true;
        if (local->kind != remote->kind)
            return differ_in(b, f, local->name, (choir_bytes){NULL, 0}, "of another shape in");
        if (local->kind == CHOIR_VARIANT_STRUCT)
            status = compare_fields(b, f, i, c->variant, n, c);
        else if (local->kind != CHOIR_VARIANT_UNIT)
            status = compare_elements(b, f, i, c->variant, c);
    }
    return status;
}

static int compare_map(choiri_plan_builder *b, const frame *f, choiri_draft_node *n) {
    choiri_shape *pair_type = f->local;
    choiri_plan_case *pair;
    int status = CHOIR_OK;
    if (!b->is_wire) {
        const choir_unit *u = b->in->root->unit;
        const choir_type *t = choiri_unit_type(u, (uint32_t)f->local->id);
        while (t->kind == CHOIR_KIND_BOX)
            t = choiri_unit_type(u, t->elem); /* own_box has seen that it ends */
        status = choiri_shape_of_type(&b->shapes, t->elem, &pair_type);
    }
    if (status == CHOIR_OK) status = new_pair(b, n, pair_type, &pair);
    if (status != CHOIR_OK) return fail(b, f, status);
    frame key = {.step = CHOIRI_STEP_KEY}, value = {.step = CHOIRI_STEP_VALUE};
    status = descend(b, f, &key, 0, 0, 0, 0, &pair->parts[0].node);
    return status == CHOIR_OK ? descend(b, f, &value, 0, 1, 0, 1, &pair->parts[1].node) : status;
}

static int compare_parts(choiri_plan_builder *b, const frame *f, choiri_draft_node *n) {
    if (f->remote->form != f->local->form || !choiri_wire_equal(f->remote->name, f->local->name)) {
        /* Lists have a name only for texts. */
        if (f->remote->form != CHOIRI_WIRE_LIST || f->local->form != CHOIRI_WIRE_LIST) return differ(b, f);
    }
    int status = CHOIR_OK;
    switch (f->local->form) {
    case CHOIRI_WIRE_CHANNEL:
    case CHOIRI_WIRE_PRIMITIVE: return CHOIR_OK;
    case CHOIRI_WIRE_ENUM: return compare_variants(b, f, n);
    case CHOIRI_WIRE_MAP: return compare_map(b, f, n);
    default: status = new_cases(b, n, 1); break;
    }
    if (status != CHOIR_OK) return fail(b, f, status);
    if (f->local->form == CHOIRI_WIRE_STRUCT) return compare_fields(b, f, 0, 0, n, n->cases);
    if (f->local->form == CHOIRI_WIRE_TUPLE) return compare_elements(b, f, 0, 0, n->cases);
    frame next = {.step = f->local->form == CHOIRI_WIRE_OPTION ? CHOIRI_STEP_NONE : CHOIRI_STEP_ITEM};
    status = new_parts(b, n->cases, 1);
    return status == CHOIR_OK ? descend(b, f, &next, 0, 0, 0, 0, &n->cases[0].parts[0].node)
                              : fail(b, f, status);
}

/* What a caller must put up with: vox 0.4.0 derives the root of a response from the first answer it happens
 * to send. A value of type never does not come, and what comes instead follows the true type. */
static bool is_tolerated(const choiri_plan_builder *b, const frame *f) {
    if (f->remote->form != CHOIRI_WIRE_PRIMITIVE) return false;
    bool is_lenient = b->in->is_lenient;
    if (choiri_wire_is(f->remote->name, "never")) return is_lenient || f->place == ERROR_VALUE;
    return is_lenient && f->place == OK_VALUE && choiri_wire_is(f->remote->name, "unit");
}

static int compare(choiri_plan_builder *b, frame *f, choiri_draft_node **ret) {
    if (f->depth > CHOIRI_SCHEMA_DEPTH) return too_deep(b);
    int status = CHOIR_OK;
    bool is_same = f->beside && f->beside->side == CHOIRI_SHAPE_ANNOUNCED && f->beside->is_same &&
                   f->beside->twin == f->remote;
    size_t hops = 0;
    for (choiri_draft_node *n = is_same ? NULL : f->remote->nodes; n; n = n->sibling, hops++) {
        if (n->local != f->local) continue;
        *ret = n;
        return CHOIR_OK;
    }
    status = choiri_shapes_charge(&b->shapes, hops / STEP_NAMES);
    if (status == CHOIR_OK && !is_same) status = choiri_shape_read(&b->shapes, f->remote);
    if (status == CHOIR_OK && !is_same) status = choiri_shape_read(&b->shapes, f->local);
    if (status == CHOIR_OK) *ret = choiri_plan_new_node(b, f->remote, f->local, &status);
    if (status != CHOIR_OK) return fail(b, f, status);
    /* Neither says anything about the pair as such. */
    if (is_same || is_tolerated(b, f)) return CHOIR_OK;
    (*ret)->sibling = f->remote->nodes;
    f->remote->nodes = *ret;
    return compare_parts(b, f, *ret);
}

/* --- roots --- */

/* The usual case: the peer announced exactly what we would have, and all of it. */
static bool is_identical(const choiri_recv_tracker *t, choir_bytes remote_root, const choiri_schema_set *a) {
    if (!choiri_wire_equal(remote_root, a->root)) return false;
    for (uint32_t i = 0; i < a->parts_len; i++) {
        if (!choiri_wire_equal(choiri_recv_tracker_find(t, a->parts[i].id), a->parts[i].cbor)) return false;
    }
    return true;
}

/* Does the peer's root say nothing? */
static bool is_ours_by_default(const choiri_plan_input *in) {
    choiri_wire_reader w = choiri_wire_reader_of(in->remote_root);
    choiri_wire_object ref;
    if (!in->is_lenient || !choiri_wire_read_ref(&w, &ref) || ref.form != CHOIRI_WIRE_CONCRETE) return false;
    return ref.members[0].number == 0 || !choiri_recv_tracker_find(in->tracker, ref.members[0].number).data;
}

/* Result and VoxError of a response are read by the driver, by our numbers: they are the same in all versions
 * of the protocol. What is inside Ok and User is what a plan is for. */
static int open_response(choiri_plan_builder *b, const frame *f, const choiri_draft_node *result,
                         choiri_draft_node *roots[2]) {
    const choiri_draft_node *level = result;
    roots[0] = roots[1] = NULL;
    for (int which = 0; which < 2 && level; which++) {
        const choiri_draft_node *err = NULL;
        for (uint32_t i = 0; i < level->cases_len; i++) {
            const choiri_plan_case *c = &level->cases[i];
            if (c->variant != i && (c->variant != CHOIRI_PLAN_NONE || i < level->local->variants_len)) {
                say_path(b->text, f);
                choiri_text_add(b->text, "the peer's type numbers the variants of answers in another way: ");
                say_name(b->text, c->name, false);
                return CHOIR_ERR_LAYOUT;
            }
            if (i == 0 && c->parts_len == 1) roots[which] = c->parts[0].node;
            if (i == 1 && which == 0 && c->parts_len == 1) err = c->parts[0].node;
        }
        level = err;
    }
    return CHOIR_OK;
}

static void open_builder(choiri_plan_builder *b, const choiri_plan_input *in, choiri_plan_facts *facts,
                         choiri_text *text) {
    b->in = in;
    b->is_wire = in->root == NULL;
    b->text = text;
    b->facts = facts;
    b->is_too_deep = false;
    b->first = NULL;
    b->end = &b->first;
    choiri_arena_init(&b->arena, in->env, NULL, 0, CHOIRI_PLAN_MAX_WORK);
    b->shapes.arena = &b->arena;
    b->shapes.tracker = in->tracker;
    b->shapes.announcement = in->announcement;
    b->shapes.root = in->root;
    choiri_shapes_init(&b->shapes);
}

static int compare_roots(choiri_plan_builder *b, choiri_draft_node *roots[2]) {
    const choiri_plan_input *in = b->in;
    choiri_shape *beside;
    choiri_draft_node *root;
    frame f = {.step = CHOIRI_STEP_NONE};
    int status = choiri_shapes_find_twins(&b->shapes, &beside);
    if (status == CHOIR_OK)
        status = choiri_shape_of_ref(&b->shapes, CHOIRI_SHAPE_THEIRS, in->remote_root, &f.remote);
    f.local = beside;
    f.beside = beside;
    if (status == CHOIR_OK && in->root)
        status = choiri_shape_of_type(
            &b->shapes, in->root->is_response ? CHOIRI_SHAPE_RESPONSE : in->root->type, &f.local);
    if (status != CHOIR_OK) return fail(b, &f, status);
    status = compare(b, &f, &root);
    if (status == CHOIR_OK) status = choiri_plan_settle(b);
    if (status != CHOIR_OK) return fail(b, &f, status);
    roots[0] = root;
    roots[1] = NULL;
    return in->root && in->root->is_response ? open_response(b, &f, root, roots) : CHOIR_OK;
}

int choiri_plan_make(const choiri_plan_input *in, choiri_plan **ret_plan, choiri_plan_facts *ret_facts,
                     choiri_text *ret_text) {
    choiri_text_init(ret_text);
    if (ret_facts) {
        *ret_facts = (choiri_plan_facts){0};
        choiri_text_init(&ret_facts->unknown);
    }
    *ret_plan = NULL;
    if (is_identical(in->tracker, in->remote_root, in->announcement) || is_ours_by_default(in))
        return CHOIR_OK;
    choiri_plan_builder b;
    choiri_draft_node *roots[2];
    open_builder(&b, in, ret_facts, ret_text);
    int status = compare_roots(&b, roots);
    if (status == CHOIR_OK) {
        status = choiri_plan_pack(&b, roots, ret_plan);
        if (status != CHOIR_OK) fail(&b, NULL, status);
    }
    if (ret_facts) ret_facts->steps = b.shapes.steps;
    if (ret_facts && *ret_plan) ret_facts->nodes = (*ret_plan)->nodes_len;
    choiri_arena_reset(&b.arena);
    return status;
}

int choiri_plan_check_same(choir_env *env, const choiri_recv_tracker *tracker, choir_bytes remote_root,
                           const choiri_schema_set *ours, choiri_text *ret_text) {
    choiri_plan_input in = {.env = env, .tracker = tracker, .remote_root = remote_root, .announcement = ours};
    choiri_plan_builder b;
    choiri_draft_node *roots[2];
    choiri_text_init(ret_text);
    if (is_identical(tracker, remote_root, ours)) return CHOIR_OK;
    open_builder(&b, &in, NULL, ret_text);
    int status = compare_roots(&b, roots);
    if (status == CHOIR_OK && roots[0]->differs) {
        choiri_text_add(ret_text, "the peer's type has other fields or another order than ours");
        status = CHOIR_ERR_LAYOUT;
    }
    choiri_arena_reset(&b.arena);
    return status;
}

void choiri_plan_free(choir_env *env, choiri_plan *plan) {
    if (plan) choiri_free(env, plan, plan->size);
}

size_t choiri_plan_size(const choiri_plan *plan) {
    return plan ? plan->size : 0;
}
