/* SPDX-License-Identifier: MIT */
/* Does the peer's type have the layout of ours? rule: schema.match, schema.wrong-binding (protocol page 05)
 *
 * Values are decoded by our own types whatever the peer announces, so this only has to say whether that is right.
 * Both sides are walked together, in CBOR. Type parameters are not substituted but looked up: a reference is read in
 * a scope, the arguments of the schema it stands in, and each scope lies inside that of the reference which opened it.
 *
 * Bounds: nothing is allocated. Every schema looked at costs steps by its size; a pair of references that is being
 * compared already, or has been, counts as equal (if it is not, the comparison has failed or will fail there), which
 * ends recursive types; what grows while it recurses ends at the depth.
 *
 * A struct must have the same fields in the same order. An enum may have more variants on either side, behind the
 * common ones: those are found when such a value is decoded. Array lengths are not compared, because peers
 * announce one length for all arrays of a payload, nor is what goes through channels.
 */
#include "base/assert.h"
#include "schema/recv_tracker.h"

#define SEEN_LEN 64u
/* Arguments with variables in them are compared this deep; what lies deeper counts as new, and then other bounds hold. */
#define SAME_DEPTH     8u
#define STEP_BYTES     64u /* looking at so many bytes costs a step */
#define NAME_MAX_SHOWN 64u

/* Type arguments, for the variables inside a schema. */
typedef struct scope {
    const struct scope *outer; /* where the arguments themselves are read */
    choir_bytes params, args;
    uint64_t params_len, args_len;
} scope;

/* A reference that is no variable, and the schema it means. */
typedef struct type {
    choir_bytes ref; /* data is NULL for the u8 that is only implied in bytes */
    uint64_t id;
    choir_bytes args;
    uint64_t args_len;
    const scope *outer; /* where the arguments are read; NULL when they hold no variables */
    choiri_wire_object kind;
    scope inner; /* for the schema's own variables */
} type;

enum { PLAIN, OK_VALUE, ERROR_VALUE };              /* where we are in a response */
enum { ROOT, NAME, INDEX, ITEM, KEY, VALUE, SAME }; /* steps of a path */

typedef struct frame {
    const struct frame *outer;
    uint32_t depth;
    uint8_t place; /* PLAIN, ... */
    uint8_t step;  /* from the outer frame to this one */
    uint64_t index;
    choir_bytes name;    /* ours */
    choir_bytes variant; /* NAME and INDEX: the variant they are in; empty: none */
    type remote, local;
} frame;

typedef struct seen {
    choir_bytes remote, local;
} seen;

typedef struct matcher {
    const choiri_recv_tracker *tracker;
    const choiri_announcement *announcement;
    bool lenient;
    uint32_t steps;
    choiri_text *text;
    seen seen[SEEN_LEN];
} matcher;

/* --- texts --- */

static void say_step(choiri_text *text, const frame *f) {
    const choir_bytes names[2] = {f->variant, f->step == NAME ? f->name : (choir_bytes){NULL, 0}};
    for (int i = 0; i < 2; i++) {
        if (names[i].len == 0) continue;
        if (text->len > 0) choiri_text_add(text, ".");
        choiri_text_str(text, (choir_str){(const char *)names[i].data, names[i].len});
    }
    switch (f->step) {
    case INDEX: choiri_text_u64(choiri_text_add(text, text->len > 0 ? "." : "args."), f->index); break;
    case ITEM: choiri_text_add(text, "[]"); break;
    case KEY: choiri_text_add(text, "[key]"); break;
    case VALUE: choiri_text_add(text, "[value]"); break;
    default: break;
    }
}

/* The path from the root, as "args.0.entries[].id", in our names. */
static void say_path(choiri_text *text, const frame *f) {
    const frame *steps[CHOIRI_SCHEMA_DEPTH + 2];
    uint32_t count = 0;
    for (; f; f = f->outer) steps[count++] = f;
    while (count > 0) say_step(text, steps[--count]);
}

static void say_name(choiri_text *text, const char *what, choir_bytes name, bool ours) {
    choiri_text_add(text, what);
    if (ours) {
        choiri_text_str(text, (choir_str){(const char *)name.data, name.len});
    } else {
        choiri_text_quoted(text, name, NAME_MAX_SHOWN);
    }
}

static void say_type(choiri_text *text, const type *t, bool ours) {
    switch (t->kind.form) {
    case CHOIRI_WIRE_STRUCT: say_name(text, "struct ", t->kind.members[0].span, ours); break;
    case CHOIRI_WIRE_ENUM: say_name(text, "enum ", t->kind.members[0].span, ours); break;
    case CHOIRI_WIRE_TUPLE:
        choiri_text_u64(choiri_text_add(text, "tuple of "), t->kind.members[0].number);
        break;
    case CHOIRI_WIRE_CHANNEL: say_name(text, "channel ", t->kind.members[0].span, true); break;
    case CHOIRI_WIRE_PRIMITIVE: say_name(text, "", t->kind.members[0].span, true); break;
    default: choiri_text_add(text, choiri_wire_kind_name(t->kind.form)); break;
    }
}

static void say_types(choiri_text *text, const frame *f) {
    say_type(choiri_text_add(text, "ours is "), &f->local, true);
    say_type(choiri_text_add(text, ", the peer's is "), &f->remote, false);
}

static int differ(matcher *m, const frame *f) {
    say_path(m->text, f);
    if (m->text->len > 0) choiri_text_add(m->text, ": ");
    say_types(m->text, f);
    return CHOIR_ERR_LAYOUT;
}

/* A field or variant of this frame's type is the trouble. */
static int differ_in(matcher *m, const frame *f, choir_bytes name, bool ours, const char *why) {
    say_path(m->text, f);
    say_name(m->text, m->text->len > 0 ? "." : "", name, ours);
    choiri_text_add(choiri_text_add(choiri_text_add(m->text, ": "), why), "; ");
    say_types(m->text, f);
    return CHOIR_ERR_LAYOUT;
}

static int charge(matcher *m, size_t bytes) {
    size_t steps = 1 + bytes / STEP_BYTES;
    if (steps <= CHOIRI_SCHEMA_MAX_STEPS - m->steps) {
        m->steps += (uint32_t)steps;
        return CHOIR_OK;
    }
    m->steps = CHOIRI_SCHEMA_MAX_STEPS;
    choiri_text_init(m->text);
    choiri_text_add(m->text, "the peer's type is too large to be compared with ours");
    return CHOIR_ERR_TOO_LARGE;
}

/* --- reading; everything but a root has been checked before --- */

static void sure(bool ok) {
    CHOIRI_ASSERT(ok);
}

static choiri_wire_object ref_at(choir_bytes span) {
    choiri_wire_reader w = choiri_wire_reader_of(span);
    choiri_wire_object ref;
    sure(choiri_wire_read_ref(&w, &ref));
    return ref;
}

static choir_bytes next_item(choiri_reader *r) {
    const uint8_t *start = r->pos;
    choiri_wire_reader w = {*r, NULL};
    choiri_wire_object ref;
    sure(choiri_wire_read_ref(
        &w, &ref)); /* counts depth as the check did; choiri_cbor_skip counts it otherwise */
    *r = w.r;
    return (choir_bytes){start, (size_t)(r->pos - start)};
}

/* The item with this number of an array. */
static choir_bytes item_at(choir_bytes items, uint64_t index) {
    choiri_reader r = choiri_reader_of(items);
    for (; index > 0; index--) next_item(&r);
    return next_item(&r);
}

static bool find_param(const scope *s, choir_bytes name, uint64_t *ret_index) {
    choiri_reader r = choiri_reader_of(s->params);
    for (uint64_t i = 0; i < s->params_len && i < s->args_len; i++) {
        choir_str param;
        sure(choiri_cbor_read_text(&r, &param));
        if (!choiri_wire_equal(name, (choir_bytes){(const uint8_t *)param.data, param.len})) continue;
        *ret_index = i;
        return true;
    }
    return false;
}

/* Replaces variables until the reference is concrete. Ends because each replacement leaves a scope. */
static int resolve(matcher *m, choir_bytes span, const scope *s, type *ret) {
    for (;;) {
        int status = charge(m, span.len);
        if (status != CHOIR_OK) return status;
        choiri_wire_object ref = ref_at(span);
        if (ref.form == CHOIRI_WIRE_CONCRETE) {
            *ret = (type){.ref = span,
                          .id = ref.members[0].number,
                          .args = ref.members[1].span,
                          .args_len = ref.members[1].number};
            ret->outer = ret->args_len > 0 ? s : NULL;
            return CHOIR_OK;
        }
        uint64_t index;
        if (!s || !find_param(s, ref.members[0].span, &index)) {
            say_name(m->text,
                     "the peer's types use a type parameter that is not bound: ", ref.members[0].span, false);
            return CHOIR_ERR_MALFORMED;
        }
        status = charge(m, s->params.len + s->args.len);
        if (status != CHOIR_OK) return status;
        span = item_at(s->args, index);
        s = s->outer;
    }
}

static choir_bytes find_local(const choiri_announcement *a, uint64_t id) {
    for (uint32_t i = 0; i < a->parts_len; i++) {
        if (a->parts[i].id == id) return a->parts[i].cbor;
    }
    return (choir_bytes){NULL, 0};
}

/* Finds and reads the schema that a resolved reference means. */
static int load(matcher *m, const frame *f, bool ours, type *t) {
    choir_bytes cbor =
        ours ? find_local(m->announcement, t->id) : choiri_recv_tracker_find(m->tracker, t->id);
    int status = charge(m, cbor.len + (ours ? m->announcement->parts_len : 0));
    if (status != CHOIR_OK) return status;
    if (!cbor.data) {
        CHOIRI_ASSERT(!ours);
        say_path(m->text, f);
        choiri_text_add(m->text, m->text->len > 0 ? ": " : "");
        choiri_text_hex(choiri_text_add(m->text, "the peer never announced type "), t->id);
        return CHOIR_ERR_MALFORMED;
    }
    choiri_wire_object schema;
    choiri_wire_reader w = choiri_wire_reader_of(cbor);
    sure(choiri_wire_read_schema(&w, &schema));
    w = choiri_wire_reader_of(schema.members[2].span);
    sure(choiri_wire_read_kind(&w, &t->kind));
    t->inner = (scope){t->outer, schema.members[1].span, t->args, schema.members[1].number, t->args_len};
    return CHOIR_OK;
}

/* The scope of a schema's components; none when it has no arguments, so that its references count as closed. */
static const scope *inner_scope(const type *t) {
    return t->args_len > 0 ? &t->inner : NULL;
}

static bool is_primitive(const type *t, const char *name) {
    return t->kind.form == CHOIRI_WIRE_PRIMITIVE && choiri_wire_is(t->kind.members[0].span, name);
}

/* --- pairs that were met before --- */

static bool is_same(matcher *m, const type *a, const type *b, uint32_t depth) {
    if (a->id != b->id || a->args_len != b->args_len || !a->ref.data != !b->ref.data) return false;
    if (!a->outer && !b->outer) return choiri_wire_equal(a->args, b->args);
    if (depth == SAME_DEPTH) return false;
    choiri_reader ra = choiri_reader_of(a->args), rb = choiri_reader_of(b->args);
    for (uint64_t i = 0; i < a->args_len; i++) {
        choir_bytes arg_a = next_item(&ra), arg_b = next_item(&rb);
        type ta, tb;
        if (resolve(m, arg_a, a->outer, &ta) != CHOIR_OK || resolve(m, arg_b, b->outer, &tb) != CHOIR_OK) {
            choiri_text_init(m->text); /* the comparison goes on; should it matter, it finds that again */
            return false;
        }
        if (!is_same(m, &ta, &tb, depth + 1)) return false;
    }
    return true;
}

static bool is_met(matcher *m, const frame *f) {
    if (!f->remote.ref.data || !f->local.ref.data) return false;
    for (const frame *o = f->outer; o; o = o->outer) {
        if (is_same(m, &o->remote, &f->remote, 0) && is_same(m, &o->local, &f->local, 0)) return true;
    }
    if (f->remote.outer || f->local.outer) return false;
    uint64_t hash = (f->remote.id ^ f->local.id * UINT64_C(0x9e3779b97f4a7c15)) + f->remote.ref.len;
    seen *s = &m->seen[(hash ^ hash >> 32) % SEEN_LEN];
    if (choiri_wire_equal(s->remote, f->remote.ref) && choiri_wire_equal(s->local, f->local.ref)) return true;
    *s = (seen){f->remote.ref, f->local.ref};
    return false;
}

/* --- comparing --- */

static int compare(matcher *m, frame *f);

/* Compares a component of this frame's types. `next` says how it is reached. */
static int descend(matcher *m, const frame *f, frame *next, choir_bytes remote, const scope *remote_scope,
                   choir_bytes local, const scope *local_scope) {
    static const choiri_wire_object u8 = {CHOIRI_WIRE_PRIMITIVE, {{{(const uint8_t *)"u8", 2}, 0}}};
    int status = CHOIR_OK;
    next->outer = f;
    next->depth = f ? f->depth + 1 : 0;
    if (next->depth > CHOIRI_SCHEMA_DEPTH) {
        choiri_text_add(m->text, "the types are nested more than 64 deep");
        return CHOIR_ERR_DEPTH;
    }
    next->remote.kind = next->local.kind = u8;
    if (local.data) status = resolve(m, local, local_scope, &next->local);
    if (local.data && status == CHOIR_OK) status = load(m, next, true, &next->local);
    if (remote.data && status == CHOIR_OK) status = resolve(m, remote, remote_scope, &next->remote);
    if (remote.data && status == CHOIR_OK) status = load(m, next, false, &next->remote);
    return status == CHOIR_OK ? compare(m, next) : status;
}

static int descend_inside(matcher *m, const frame *f, frame *next, choir_bytes remote, choir_bytes local) {
    return descend(m, f, next, remote, inner_scope(&f->remote), local, inner_scope(&f->local));
}

typedef struct cursor {
    choiri_wire_reader w;
    uint64_t left;
} cursor;

static cursor cursor_of(const choiri_wire_member *array) {
    return (cursor){choiri_wire_reader_of(array->span), array->number};
}

static bool next_field(cursor *c, choiri_wire_object *ret) {
    if (c->left == 0) return false;
    c->left--;
    sure(choiri_wire_read_field(&c->w, ret));
    return true;
}

static bool has_field(cursor c, choir_bytes name) {
    choiri_wire_object field;
    while (next_field(&c, &field)) {
        if (choiri_wire_equal(field.members[0].span, name)) return true;
    }
    return false;
}

static int compare_fields(matcher *m, const frame *f, choir_bytes variant, const choiri_wire_member *remote,
                          const choiri_wire_member *local) {
    cursor r = cursor_of(remote), l = cursor_of(local);
    for (;;) {
        choiri_wire_object theirs, ours;
        bool has_theirs = next_field(&r, &theirs), has_ours = next_field(&l, &ours);
        if (!has_theirs && !has_ours) return CHOIR_OK;
        if (!has_theirs || !has_ours || !choiri_wire_equal(theirs.members[0].span, ours.members[0].span)) {
            if (has_ours && !has_field(cursor_of(remote), ours.members[0].span)) {
                return differ_in(m, f, ours.members[0].span, true, "missing in the peer's type");
            }
            if (has_theirs && !has_field(cursor_of(local), theirs.members[0].span)) {
                return differ_in(m, f, theirs.members[0].span, false, "missing in our type");
            }
            return differ_in(m, f, has_ours ? ours.members[0].span : theirs.members[0].span, has_ours,
                             "at another place in the peer's type");
        }
        frame next = {.step = NAME, .name = ours.members[0].span, .variant = variant};
        int status = descend_inside(m, f, &next, theirs.members[1].span, ours.members[1].span);
        if (status != CHOIR_OK) return status;
    }
}

static int compare_elements(matcher *m, const frame *f, choir_bytes variant, const choiri_wire_member *remote,
                            const choiri_wire_member *local) {
    choiri_reader r = choiri_reader_of(remote->span), l = choiri_reader_of(local->span);
    if (remote->number != local->number) {
        if (variant.len == 0) return differ(m, f);
        return differ_in(m, f, variant, true, "another number of values in the peer's type");
    }
    for (uint64_t i = 0; i < local->number; i++) {
        choir_bytes theirs = next_item(&r), ours = next_item(&l);
        frame next = {.step = INDEX, .index = i, .variant = variant};
        int status = descend_inside(m, f, &next, theirs, ours);
        if (status != CHOIR_OK) return status;
    }
    return CHOIR_OK;
}

/* Where the value of a newtype variant is in a response. */
static uint8_t place_in(const frame *f, choir_bytes variant) {
    choir_bytes name = f->local.kind.members[0].span;
    if (choiri_wire_is(name, "Result")) {
        if (choiri_wire_is(variant, "Ok") && !f->outer) return OK_VALUE;
        if (choiri_wire_is(variant, "Err")) return ERROR_VALUE;
    }
    return choiri_wire_is(name, "VoxError") && choiri_wire_is(variant, "User") ? ERROR_VALUE : PLAIN;
}

static int compare_variant(matcher *m, const frame *f, const choiri_wire_object *remote,
                           const choiri_wire_object *local) {
    choir_bytes name = local->members[0].span;
    choiri_wire_object theirs, ours;
    choiri_wire_reader r = choiri_wire_reader_of(remote->members[2].span);
    choiri_wire_reader l = choiri_wire_reader_of(local->members[2].span);
    sure(choiri_wire_read_shape(&r, &theirs) && choiri_wire_read_shape(&l, &ours));
    if (theirs.form != ours.form) return differ_in(m, f, name, true, "of another shape in the peer's type");
    switch (ours.form) {
    case CHOIR_VARIANT_NEWTYPE: {
        frame next = {.step = SAME, .variant = name, .place = place_in(f, name)};
        return descend_inside(m, f, &next, theirs.members[0].span, ours.members[0].span);
    }
    case CHOIR_VARIANT_TUPLE: return compare_elements(m, f, name, &theirs.members[0], &ours.members[0]);
    case CHOIR_VARIANT_STRUCT: return compare_fields(m, f, name, &theirs.members[0], &ours.members[0]);
    default: return CHOIR_OK;
    }
}

static int compare_variants(matcher *m, const frame *f) {
    cursor r = cursor_of(&f->remote.kind.members[1]), l = cursor_of(&f->local.kind.members[1]);
    for (uint64_t i = 0; r.left > 0 && l.left > 0; i++, r.left--, l.left--) {
        choiri_wire_object theirs, ours;
        sure(choiri_wire_read_variant(&r.w, &theirs) && choiri_wire_read_variant(&l.w, &ours));
        if (!choiri_wire_equal(theirs.members[0].span, ours.members[0].span)) {
            return differ_in(m, f, ours.members[0].span, true,
                             "another variant has its number in the peer's type");
        }
        if (theirs.members[1].number != i) {
            return differ_in(m, f, ours.members[0].span, true, "numbered out of order in the peer's type");
        }
        int status = compare_variant(m, f, &theirs, &ours);
        if (status != CHOIR_OK) return status;
    }
    return CHOIR_OK;
}

static int compare_component(matcher *m, const frame *f, uint8_t step, uint32_t member) {
    frame next = {.step = step};
    return descend_inside(m, f, &next, f->remote.kind.members[member].span,
                          f->local.kind.members[member].span);
}

/* bytes, bytes<T> and list<T> are three spellings of a list: peers announce bytes for the lists of a payload whose
 * first one is a list of u8, and then its element is in the arguments of the reference. */
static bool is_list(const type *t) {
    return t->kind.form == CHOIRI_WIRE_LIST || is_primitive(t, "bytes");
}

static choir_bytes element_of(const type *t, const scope **ret_scope) {
    *ret_scope = t->outer;
    if (t->kind.form != CHOIRI_WIRE_LIST)
        return t->args_len > 0 ? item_at(t->args, 0) : (choir_bytes){NULL, 0};
    *ret_scope = inner_scope(t);
    return t->kind.members[0].span;
}

static int compare_lists(matcher *m, const frame *f) {
    const scope *remote_scope, *local_scope;
    choir_bytes remote = element_of(&f->remote, &remote_scope), local = element_of(&f->local, &local_scope);
    frame next = {.step = ITEM};
    return descend(m, f, &next, remote, remote_scope, local, local_scope);
}

/* What a caller must put up with: vox 0.4.0 derives the root of a response from the first answer it happens to
 * send. A value of type never does not come, and what comes instead follows the true type. */
static bool is_tolerated(const matcher *m, const frame *f) {
    if (is_primitive(&f->remote, "never")) return m->lenient || f->place == ERROR_VALUE;
    return m->lenient && f->place == OK_VALUE && is_primitive(&f->remote, "unit");
}

static int compare(matcher *m, frame *f) {
    const choiri_wire_object *r = &f->remote.kind, *l = &f->local.kind;
    if (is_tolerated(m, f) || is_met(m, f)) return CHOIR_OK;
    if (is_list(&f->remote) && is_list(&f->local)) return compare_lists(m, f);
    if (r->form != l->form) return differ(m, f);
    int status = CHOIR_OK;
    switch (l->form) {
    case CHOIRI_WIRE_STRUCT:
    case CHOIRI_WIRE_ENUM:
    case CHOIRI_WIRE_CHANNEL:
    case CHOIRI_WIRE_PRIMITIVE:
        if (!choiri_wire_equal(r->members[0].span, l->members[0].span)) return differ(m, f);
        if (l->form == CHOIRI_WIRE_ENUM) return compare_variants(m, f);
        if (l->form != CHOIRI_WIRE_STRUCT) return CHOIR_OK;
        return compare_fields(m, f, (choir_bytes){NULL, 0}, &r->members[1], &l->members[1]);
    case CHOIRI_WIRE_TUPLE:
        return compare_elements(m, f, (choir_bytes){NULL, 0}, &r->members[0], &l->members[0]);
    case CHOIRI_WIRE_MAP:
        status = compare_component(m, f, KEY, 0);
        return status == CHOIR_OK ? compare_component(m, f, VALUE, 1) : status;
    default: return compare_component(m, f, l->form == CHOIRI_WIRE_OPTION ? SAME : ITEM, 0);
    }
}

/* The usual case: the peer announced exactly what we would have, and all of it. */
static bool is_identical(const choiri_recv_tracker *t, choir_bytes remote_root,
                         const choiri_announcement *a) {
    if (!choiri_wire_equal(remote_root, a->root)) return false;
    for (uint32_t i = 0; i < a->parts_len; i++) {
        if (!choiri_wire_equal(choiri_recv_tracker_find(t, a->parts[i].id), a->parts[i].cbor)) return false;
    }
    return true;
}

int choiri_schema_match(const choiri_recv_tracker *t, choir_bytes remote_root,
                        const choiri_announcement *local, bool lenient_response, choiri_text *ret_text) {
    matcher m = {.tracker = t, .announcement = local, .lenient = lenient_response, .text = ret_text};
    choiri_wire_reader w = choiri_wire_reader_of(remote_root);
    choiri_wire_object ref;
    frame root = {.step = ROOT};
    choiri_text_init(ret_text);
    if (is_identical(t, remote_root, local)) return CHOIR_OK;
    if (!choiri_wire_read_ref(&w, &ref)) {
        choiri_text_add(ret_text, "the peer's root is no type reference");
        return CHOIR_ERR_MALFORMED;
    }
    if (lenient_response && ref.form == CHOIRI_WIRE_CONCRETE &&
        (ref.members[0].number == 0 || !choiri_recv_tracker_find(t, ref.members[0].number).data)) {
        return CHOIR_OK;
    }
    return descend(&m, NULL, &root, remote_root, NULL, local->root, NULL);
}
