/* SPDX-License-Identifier: MIT */
/* What vox 0.4.0 in Rust does with values of another version of a type.
 *
 * The two announcements are walked together, and beside each the descriptors, which know what announcements
 * do not say: where there is a Box, and how long an array is. A pair is visited once, so the walk ends. It
 * goes on behind a difference, for the worst one counts; but it goes in vox's own order, in which a refusal
 * comes before what is behind it. */
#include "schema/vox_reader.h"

#include "schema/shape.h"
#include "value/unit.h"

#define NO_TYPE UINT64_MAX
#define VISITS  1024u
/* Far above what the budget of steps lets the walk use. */
#define WORK_MAX ((size_t)64 << 20)

/* Why the reader does not translate, as the end of a sentence; NULL: it does. */
static const char in_box[] = "it does not translate what is in a Box";
static const char in_variant[] = "it does not translate the named fields of a variant";
static const char as_bytes[] = "it takes both lists for bytes";

typedef struct visit {
    struct visit *next;
    const choiri_shape *remote, *local; /* local is NULL: skipped */
    uint64_t remote_type, local_type;
    const char *why_not;
    bool is_open; /* under way */
} visit;

typedef struct walker {
    const choiri_vox_input *in;
    choiri_shapes shapes;
    choiri_arena arena;
    choiri_vox_verdict *ret;
    visit *visits[VISITS];
} walker;

typedef struct frame {
    const struct frame *outer;
    uint32_t depth;
    uint8_t step; /* from the outer frame to this one */
    uint64_t index;
    choir_bytes name;    /* of a field */
    choir_bytes variant; /* of a field, an element or a newtype: the variant it is in; empty: none */
    choiri_shape *remote, *local;
    uint64_t remote_type, local_type; /* types of their units, or NO_TYPE */
    const char *why_not;              /* in_box, ... */
} frame;

/* --- texts --- */

static bool is_named_bytes(const choiri_shape *t) {
    return t->form == CHOIRI_WIRE_LIST && t->name.len > 0;
}

static choir_str str_of(choir_bytes b) {
    return (choir_str){(const char *)b.data, b.len};
}

static void say_path(choiri_text *text, const frame *f) {
    const frame *steps[CHOIRI_SCHEMA_DEPTH + 2];
    uint32_t count = 0;
    for (; f; f = f->outer) steps[count++] = f;
    while (count > 0) {
        f = steps[--count];
        choiri_step_write(text, f->step, f->variant, f->name, f->index);
    }
}

static void say_announced(choiri_text *text, const choiri_shape *t) {
    bool has_name = t->name.len > 0;
    if (t->form != CHOIRI_WIRE_PRIMITIVE && !is_named_bytes(t)) {
        choiri_text_add(text, choiri_wire_kind_name(t->form));
        if (has_name) choiri_text_add(text, " ");
    }
    choiri_text_str(text, str_of(t->name));
    if (t->form == CHOIRI_WIRE_TUPLE)
        choiri_text_u64(choiri_text_add(text, " of "), t->variants[0].parts_len);
}

/* Is this worse than all before? Then the text is empty now and begins with the path. */
static choiri_text *note(walker *w, choiri_vox_reads reads, const frame *f) {
    choiri_text *text = &w->ret->text;
    if (reads <= w->ret->reads) return NULL;
    w->ret->reads = reads;
    choiri_text_init(text);
    say_path(text, f);
    return text;
}

/* The types differ, and the reader notices unless it does not look. */
static void note_differs(walker *w, const frame *f) {
    bool is_seen = !f->why_not || f->why_not == in_box;
    choiri_text *text = note(w, is_seen ? CHOIRI_VOX_REFUSES : CHOIRI_VOX_MISREADS, f);
    if (!text) return;
    const choiri_shape *old = w->in->is_reader_new ? f->remote : f->local;
    const choiri_shape *new = w->in->is_reader_new ? f->local : f->remote;
    say_announced(choiri_text_add(text, " is announced as "), old);
    say_announced(choiri_text_add(text, " by the old version and as "), new);
    choiri_text_add(text, " by the new one");
    if (!is_seen) choiri_text_add(choiri_text_add(text, ", and "), f->why_not);
}

/* It reads its own layout, and that is another one. */
static void note_layout(walker *w, const frame *f) {
    choiri_text *text = note(w, CHOIRI_VOX_MISREADS, f);
    if (text) choiri_text_add(choiri_text_add(text, " has another layout, and "), f->why_not);
}

static void note_array(walker *w, const frame *f, const char *why) {
    if (w->ret->array.len > 0) return;
    say_path(&w->ret->array, f);
    choiri_text_add(&w->ret->array, why);
}

/* --- descriptors --- */

/* The type of a part, counted as the parts of shapes are. */
static uint64_t part_type(const choiri_root *root, uint64_t type, uint32_t variant, uint32_t part) {
    const choir_unit *u = root->unit;
    if (type == CHOIRI_SHAPE_RESPONSE) return variant == 0 ? root->ok : CHOIRI_SHAPE_VOX_ERROR;
    if (type == CHOIRI_SHAPE_VOX_ERROR) return variant == 0 ? root->err : NO_TYPE;
    if (type == NO_TYPE) return NO_TYPE;
    const choir_type *t = choiri_unit_type(u, (uint32_t)type);
    uint32_t first = t->first, count = t->count;
    switch (t->kind) {
    case CHOIR_KIND_OPTION:
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_ARRAY: return t->elem;
    case CHOIR_KIND_RESULT: return variant == 0 ? t->elem : t->elem2;
    case CHOIR_KIND_MAP:
        first = choiri_unit_type(u, t->elem)->first;
        count = 2;
        break;
    case CHOIR_KIND_ENUM:
        if (variant >= count) return NO_TYPE;
        first = choiri_unit_variant(u, t->first + variant)->first;
        count = choiri_unit_variant(u, t->first + variant)->count;
        break;
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT: break;
    default: return NO_TYPE;
    }
    return part < count ? choiri_unit_field(u, first + part)->type : NO_TYPE;
}

static bool is_kind(const choiri_root *root, uint64_t type, uint32_t kind) {
    return type < CHOIRI_SHAPE_RESPONSE && choiri_unit_type(root->unit, (uint32_t)type)->kind == kind;
}

/* What is in the boxes; true: there are some. */
static bool unbox(const choiri_root *root, uint64_t *type) {
    bool is_boxed = false;
    for (uint32_t depth = 0; depth < CHOIRI_SCHEMA_DEPTH && is_kind(root, *type, CHOIR_KIND_BOX); depth++) {
        *type = choiri_unit_type(root->unit, (uint32_t)*type)->elem;
        is_boxed = true;
    }
    return is_boxed;
}

/* Has the field of a struct or of a variant a value when the writer lacks it? */
static bool fills(const walker *w, const frame *f, uint32_t variant, uint32_t part) {
    const choir_unit *u = w->in->reader->unit;
    if (f->local_type >= CHOIRI_SHAPE_RESPONSE) return false;
    const choir_type *t = choiri_unit_type(u, (uint32_t)f->local_type);
    uint32_t first =
        t->kind == CHOIR_KIND_ENUM ? choiri_unit_variant(u, t->first + variant)->first : t->first;
    const choir_field *field = choiri_unit_field(u, first + part);
    uint32_t kind = choiri_unit_type(u, field->type)->kind;
    return kind == CHOIR_KIND_OPTION || ((field->flags & CHOIR_FIELD_DEFAULT) && kind != CHOIR_KIND_BOX);
}

/* --- visits --- */

/* *ret is NULL when this was visited before. */
static int enter(walker *w, const visit *key, visit **ret, const visit **ret_before) {
    int status = CHOIR_OK;
    uint64_t hash = key->remote->number * UINT64_C(31) + (key->local ? key->local->number : 0);
    visit **bucket = &w->visits[hash % VISITS];
    *ret = NULL;
    for (const visit *v = *bucket; v; v = v->next) {
        if (v->remote != key->remote || v->local != key->local || v->remote_type != key->remote_type ||
            v->local_type != key->local_type || v->why_not != key->why_not)
            continue;
        *ret_before = v;
        return CHOIR_OK;
    }
    status = choiri_shapes_charge(&w->shapes, 1);
    visit *v = status == CHOIR_OK ? choiri_shapes_alloc(&w->shapes, 1, sizeof *v, &status) : NULL;
    if (!v) return status;
    *v = *key;
    v->next = *bucket;
    *bucket = *ret = v;
    return CHOIR_OK;
}

/* --- what it skips --- */

static bool is_u8(const choiri_shape *t) {
    return t->form == CHOIRI_WIRE_PRIMITIVE && choiri_wire_is(t->name, "u8");
}

static int skip(walker *w, const frame *f, choiri_shape *t, uint64_t type, uint32_t depth) {
    const visit *before;
    visit *v;
    (void)unbox(w->in->writer, &type);
    const visit key = {.remote = t, .remote_type = type, .local_type = NO_TYPE};
    int status = enter(w, &key, &v, &before);
    if (status != CHOIR_OK || !v || depth > CHOIRI_SCHEMA_DEPTH) return status;
    status = choiri_shape_read(&w->shapes, t);
    bool is_odd = t->form == CHOIRI_WIRE_CHANNEL ||
                  (t->form == CHOIRI_WIRE_PRIMITIVE && choiri_wire_is(t->name, "payload"));
    for (uint32_t i = 0; i < t->variants_len && status == CHOIR_OK; i++) {
        for (uint32_t k = 0; k < t->variants[i].parts_len && status == CHOIR_OK; k++)
            status =
                skip(w, f, t->variants[i].parts[k].shape, part_type(w->in->writer, type, i, k), depth + 1);
    }
    if (status != CHOIR_OK) return status;
    if (is_named_bytes(t) && !is_u8(t->variants[0].parts[0].shape)) is_odd = true;
    if (is_kind(w->in->writer, type, CHOIR_KIND_ARRAY) &&
        choiri_unit_type(w->in->writer->unit, (uint32_t)type)->count != t->length) {
        is_odd = true;
        note_array(w, f, ": the array is announced with another length than it has, so it cannot be skipped");
    }
    choiri_text *text = is_odd ? note(w, CHOIRI_VOX_MISREADS, f) : NULL;
    if (text) choiri_text_add(text, " is skipped as it is announced, and that is not how it is sent");
    return CHOIR_OK;
}

/* --- what it reads --- */

static int walk(walker *w, frame *f);

static int descend(walker *w, const frame *f, frame *next, const uint32_t theirs[2], const uint32_t ours[2]) {
    next->outer = f;
    next->depth = f->depth + 1;
    next->remote = f->remote->variants[theirs[0]].parts[theirs[1]].shape;
    next->local = f->local->variants[ours[0]].parts[ours[1]].shape;
    next->remote_type = part_type(w->in->writer, f->remote_type, theirs[0], theirs[1]);
    next->local_type = part_type(w->in->reader, f->local_type, ours[0], ours[1]);
    if (!next->why_not) next->why_not = f->why_not;
    return walk(w, next);
}

static uint32_t find_part(const choiri_shape_variant *in, choir_bytes name, uint32_t expected) {
    for (uint32_t k = 0; k < in->parts_len; k++) {
        uint32_t i = (expected + k) % in->parts_len;
        if (choiri_wire_equal(in->parts[i].name, name)) return i;
    }
    return UINT32_MAX;
}

static void missing(walker *w, const frame *f, uint32_t variant, const choiri_shape_part *part, bool fills) {
    const choiri_shape_variant *in = &f->local->variants[variant];
    const frame at = {.outer = f, .step = CHOIRI_STEP_NAME, .name = part->name, .variant = in->name};
    bool is_variant = in->name.len > 0;
    if (f->why_not && f->why_not != in_box) return; /* the layout differs, which the caller notes */
    if (is_variant && fills) return;
    if (!is_variant && !part->required) {
        if (fills) return;
        choiri_text *text = note(w, CHOIRI_VOX_REFUSES, &at);
        if (text) choiri_text_add(text, " has a default that it cannot make");
        return;
    }
    choiri_text *text = note(w, is_variant ? CHOIRI_VOX_PARTLY : CHOIRI_VOX_REFUSES, is_variant ? f : &at);
    if (!text) return;
    if (is_variant) {
        choiri_text path = *text;
        choiri_text_init(text);
        choiri_text_str(choiri_text_add(text, "variant "), str_of(in->name));
        choiri_text_str(choiri_text_add(text, " in "), choiri_text_get(&path));
        choiri_text_str(choiri_text_add(text, ", for lack of the field "), str_of(part->name));
    } else {
        choiri_text_add(text, " is required there, because it has no #[facet(default)]");
    }
}

/* Fields of a struct, or of a variant. */
static int walk_fields(walker *w, const frame *f, uint32_t theirs, uint32_t ours) {
    const choiri_shape_variant *remote = &f->remote->variants[theirs], *local = &f->local->variants[ours];
    bool differs = remote->parts_len != local->parts_len, is_variant = local->name.len > 0;
    int status = choiri_shapes_charge(&w->shapes, remote->parts_len + local->parts_len);
    for (uint32_t i = 0, expected = 0; i < remote->parts_len && status == CHOIR_OK; i++) {
        uint32_t to = find_part(local, remote->parts[i].name, expected);
        frame next = {.step = CHOIRI_STEP_NAME, .name = remote->parts[i].name, .variant = local->name};
        if (to != i) differs = true;
        if (to == UINT32_MAX) {
            next.outer = f;
            if (!f->why_not)
                status = skip(w, &next, remote->parts[i].shape,
                              part_type(w->in->writer, f->remote_type, theirs, i), f->depth + 1);
            continue;
        }
        expected = to + 1;
        if (is_variant && (!f->why_not || f->why_not == in_box)) next.why_not = in_variant;
        status = descend(w, f, &next, (uint32_t[]){theirs, i}, (uint32_t[]){ours, to});
    }
    for (uint32_t i = 0; i < local->parts_len && status == CHOIR_OK; i++) {
        if (find_part(remote, local->parts[i].name, i) == UINT32_MAX)
            missing(w, f, ours, &local->parts[i], fills(w, f, ours, i));
    }
    if (differs && f->why_not) note_layout(w, f);
    return status;
}

static int walk_elements(walker *w, const frame *f, uint32_t theirs, uint32_t ours) {
    const choiri_shape_variant *remote = &f->remote->variants[theirs], *local = &f->local->variants[ours];
    int status = CHOIR_OK;
    if (remote->parts_len != local->parts_len) {
        note_differs(w, f);
        return CHOIR_OK;
    }
    for (uint32_t i = 0; i < local->parts_len && status == CHOIR_OK; i++) {
        frame next = {.step = CHOIRI_STEP_INDEX, .index = i, .variant = local->name};
        if (local->kind == CHOIR_VARIANT_NEWTYPE) next.step = CHOIRI_STEP_NONE;
        status = descend(w, f, &next, (uint32_t[]){theirs, i}, (uint32_t[]){ours, i});
    }
    return status;
}

static int walk_variants(walker *w, const frame *f) {
    int status = CHOIR_OK;
    for (uint32_t i = 0; i < f->remote->variants_len && status == CHOIR_OK; i++) {
        const choiri_shape_variant *remote = &f->remote->variants[i];
        uint32_t to = 0, count = f->local->variants_len;
        while (to < count && !choiri_wire_equal(f->local->variants[to].name, remote->name)) to++;
        status = choiri_shapes_charge(&w->shapes, 1 + to / 16);
        if (to != i && f->why_not && i < count) note_layout(w, f);
        if (to == count) {
            choiri_text *text = note(w, CHOIRI_VOX_PARTLY, f);
            if (!text) continue;
            choiri_text path = *text;
            choiri_text_init(text);
            choiri_text_str(choiri_text_add(text, "variant "), str_of(remote->name));
            choiri_text_str(choiri_text_add(text, " in "), choiri_text_get(&path));
            continue;
        }
        if (f->local->variants[to].kind != remote->kind)
            note_differs(w, f);
        else if (remote->kind == CHOIR_VARIANT_STRUCT)
            status = walk_fields(w, f, i, to);
        else if (remote->kind != CHOIR_VARIANT_UNIT)
            status = walk_elements(w, f, i, to);
    }
    return status;
}

static bool is_buffer(walker *w, const choiri_shape *t, int *status) {
    if (t->form != CHOIRI_WIRE_LIST) return false;
    choiri_shape *element = t->variants[0].parts[0].shape;
    *status = choiri_shape_read(&w->shapes, element);
    return is_named_bytes(t) || (*status == CHOIR_OK && is_u8(element));
}

/* One part at [0][0]: lists, options, arrays. */
static int walk_element(walker *w, const frame *f, const char *why_not) {
    frame next = {.step = f->local->form == CHOIRI_WIRE_OPTION ? CHOIRI_STEP_NONE : CHOIRI_STEP_ITEM,
                  .why_not = why_not};
    return descend(w, f, &next, (uint32_t[]){0, 0}, (uint32_t[]){0, 0});
}

static int walk_map(walker *w, const frame *f) {
    frame key = {.step = CHOIRI_STEP_KEY}, value = {.step = CHOIRI_STEP_VALUE};
    int status = descend(w, f, &key, (uint32_t[]){0, 0}, (uint32_t[]){0, 0});
    return status == CHOIR_OK ? descend(w, f, &value, (uint32_t[]){0, 1}, (uint32_t[]){0, 1}) : status;
}

static int walk_array(walker *w, const frame *f) {
    const choiri_root *writer = w->in->writer, *reader = w->in->reader;
    if (is_kind(writer, f->remote_type, CHOIR_KIND_ARRAY) &&
        is_kind(reader, f->local_type, CHOIR_KIND_ARRAY) &&
        choiri_unit_type(writer->unit, (uint32_t)f->remote_type)->count !=
            choiri_unit_type(reader->unit, (uint32_t)f->local_type)->count) {
        note_array(w, f, ": the array has another length, and lengths are not compared");
        choiri_text *text = note(w, CHOIRI_VOX_MISREADS, f);
        if (text) choiri_text_add(text, " has another length, and lengths are not compared");
    }
    return walk_element(w, f, NULL);
}

static int compare(walker *w, const frame *f) {
    const choiri_shape *r = f->remote, *l = f->local;
    int status = CHOIR_OK;
    bool both_bytes = is_buffer(w, r, &status);
    if (status == CHOIR_OK) both_bytes = is_buffer(w, l, &status) && both_bytes;
    if (status != CHOIR_OK) return status;
    if (both_bytes) return walk_element(w, f, as_bytes);
    /* Only structs, enums, primitives, channels and lists called bytes have a name. */
    if (r->form != l->form || !choiri_wire_equal(r->name, l->name)) {
        note_differs(w, f);
        return CHOIR_OK;
    }
    switch (l->form) {
    case CHOIRI_WIRE_STRUCT: return walk_fields(w, f, 0, 0);
    case CHOIRI_WIRE_TUPLE: return walk_elements(w, f, 0, 0);
    case CHOIRI_WIRE_ENUM: return walk_variants(w, f);
    case CHOIRI_WIRE_MAP: return walk_map(w, f);
    case CHOIRI_WIRE_ARRAY: return walk_array(w, f);
    case CHOIRI_WIRE_LIST:
    case CHOIRI_WIRE_OPTION: return walk_element(w, f, NULL);
    default: return CHOIR_OK;
    }
}

static void note_endless(walker *w, const frame *f) {
    if (f->why_not && f->why_not != in_box) return;  /* is not compared */
    if (w->ret->reads == CHOIRI_VOX_REFUSES) return; /* it did not get so far */
    choiri_text *text = note(w, CHOIRI_VOX_CRASHES, f);
    if (!text) return;
    choiri_text_add(text, " is of a type that contains itself, and comparing that never ends");
}

static int walk(walker *w, frame *f) {
    const visit *before = NULL;
    visit *v;
    if (f->depth > CHOIRI_SCHEMA_DEPTH) return CHOIR_ERR_DEPTH; /* nor would a plan of ours be made */
    (void)unbox(w->in->writer, &f->remote_type);
    if (unbox(w->in->reader, &f->local_type) && !f->why_not) f->why_not = in_box;
    int status = choiri_shape_read(&w->shapes, f->remote);
    if (status == CHOIR_OK) status = choiri_shape_read(&w->shapes, f->local);
    if (status != CHOIR_OK) return status;
    const visit key = {.remote = f->remote,
                       .local = f->local,
                       .remote_type = f->remote_type,
                       .local_type = f->local_type,
                       .why_not = f->why_not,
                       .is_open = true};
    status = enter(w, &key, &v, &before);
    if (status != CHOIR_OK) return status;
    if (!v) {
        if (before->is_open) note_endless(w, f);
        return CHOIR_OK;
    }
    status = compare(w, f);
    v->is_open = false;
    return status;
}

int choiri_vox_read(const choiri_vox_input *in, choiri_vox_verdict *ret) {
    walker w;
    frame f = {.step = CHOIRI_STEP_NONE};
    memset(&w, 0, sizeof w);
    choiri_text_init(&ret->text);
    choiri_text_init(&ret->array);
    ret->reads = CHOIRI_VOX_READS;
    w.in = in;
    w.ret = ret;
    choiri_arena_init(&w.arena, in->env, NULL, 0, WORK_MAX);
    w.shapes.arena = &w.arena;
    w.shapes.tracker = in->tracker;
    w.shapes.announcement = in->announcement;
    choiri_shapes_init(&w.shapes);
    w.shapes.is_literal = true;
    f.remote_type = in->writer->is_response ? CHOIRI_SHAPE_RESPONSE : in->writer->type;
    f.local_type = in->reader->is_response ? CHOIRI_SHAPE_RESPONSE : in->reader->type;
    int status = choiri_shape_of_ref(&w.shapes, CHOIRI_SHAPE_THEIRS, in->remote_root, &f.remote);
    if (status == CHOIR_OK)
        status = choiri_shape_of_ref(&w.shapes, CHOIRI_SHAPE_ANNOUNCED, in->announcement->root, &f.local);
    if (status == CHOIR_OK) status = walk(&w, &f);
    choiri_arena_reset(&w.arena);
    if (status == CHOIR_ERR_NO_MEMORY) return status;
    if (status != CHOIR_OK) {
        ret->reads = CHOIRI_VOX_UNKNOWN;
        choiri_text_init(&ret->text);
    }
    return CHOIR_OK;
}
