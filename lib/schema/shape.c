/* SPDX-License-Identifier: MIT */
/* Shapes from wire schemas and from descriptors. */
#include "schema/shape.h"

#include "base/assert.h"
#include "value/unit.h"
#include "value/value.h"

#define STEP_BYTES 64u /* looking at so many bytes costs a step */
#define STEP_HOPS  16u /* and so many shapes of a full bucket */
#define NAME_SHOWN 64u

/* What an implied shape is. */
enum { IMPLIED_U8, IMPLIED_STRING };

/* Type arguments, for the variables inside a schema. */
typedef struct scope {
    choir_bytes params;
    uint64_t params_len;
    choiri_shape *const *args;
    uint32_t args_len;
} scope;

void choiri_shapes_init(choiri_shapes *s) {
    s->steps = 0;
    s->made = 0;
    s->is_literal = false;
    choiri_text_init(&s->why);
    for (size_t i = 0; i < CHOIRI_SHAPE_SIDES; i++) {
        s->first[i] = NULL;
        s->end[i] = &s->first[i];
    }
    memset(s->table, 0, sizeof s->table);
}

int choiri_shapes_charge(choiri_shapes *s, size_t steps) {
    if (steps <= CHOIRI_SCHEMA_MAX_STEPS - s->steps) {
        s->steps += (uint32_t)steps;
        return CHOIR_OK;
    }
    s->steps = CHOIRI_SCHEMA_MAX_STEPS;
    choiri_text_init(&s->why);
    choiri_text_add(&s->why, "the peer's type is too large to be compared with ours");
    return CHOIR_ERR_TOO_LARGE;
}

static int charge_bytes(choiri_shapes *s, size_t bytes) {
    return choiri_shapes_charge(s, 1 + bytes / STEP_BYTES);
}

void *choiri_shapes_alloc(choiri_shapes *s, size_t count, size_t size, int *ret_status) {
    size_t bytes;
    if (!__builtin_mul_overflow(count, size, &bytes)) {
        void *p = choiri_arena_alloc(s->arena, bytes, 16);
        if (p) return p;
        if (!choiri_arena_is_full(s->arena, bytes)) {
            *ret_status = CHOIR_ERR_NO_MEMORY;
            choiri_text_init(&s->why);
            choiri_text_add(&s->why, "out of memory");
            return NULL;
        }
    }
    *ret_status = choiri_shapes_charge(s, CHOIRI_SCHEMA_MAX_STEPS + 1);
    return NULL;
}

static choir_bytes bytes_of(choir_str s) {
    return (choir_bytes){(const uint8_t *)s.data, s.len};
}

static choir_bytes word(const char *literal) {
    return (choir_bytes){(const uint8_t *)literal, strlen(literal)};
}

/* Everything but a root was checked when it was received. */
static void sure(bool ok) {
    CHOIRI_ASSERT(ok);
}

/* --- one shape per type --- */

static uint32_t bucket_of(uint8_t side, uint64_t id, choiri_shape *const *args, uint32_t args_len) {
    uint64_t hash = id ^ side;
    for (uint32_t i = 0; i < args_len; i++) hash = (hash ^ args[i]->number) * UINT64_C(0x9e3779b97f4a7c15);
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 56) % CHOIRI_SHAPE_BUCKETS;
}

static int intern(choiri_shapes *s, uint8_t side, uint64_t id, choiri_shape *const *args, uint32_t args_len,
                  choiri_shape **ret) {
    choiri_shape **bucket = &s->table[bucket_of(side, id, args, args_len)];
    size_t hops = 0;
    for (choiri_shape *have = *bucket; have; have = have->chain, hops++) {
        if (have->id != id || have->side != side || have->args_len != args_len) continue;
        if (args_len > 0 && memcmp(have->args, args, args_len * sizeof *args) != 0) continue;
        *ret = have;
        return choiri_shapes_charge(s, hops / STEP_HOPS);
    }
    int status = choiri_shapes_charge(s, 1 + hops / STEP_HOPS);
    if (status != CHOIR_OK) return status;
    choiri_shape *made = choiri_shapes_alloc(s, 1, sizeof *made, &status);
    if (!made) return status;
    *made = (choiri_shape){
        .chain = *bucket, .id = id, .args = args, .args_len = args_len, .number = s->made++, .side = side};
    *bucket = made;
    *s->end[side] = made;
    s->end[side] = &made->next;
    *ret = made;
    return CHOIR_OK;
}

/* --- references --- */

static int bad_ref(choiri_shapes *s, const char *why) {
    choiri_text_init(&s->why);
    choiri_text_add(&s->why, why);
    return CHOIR_ERR_MALFORMED;
}

static int find_argument(choiri_shapes *s, const scope *sc, choir_bytes name, choiri_shape **ret) {
    choiri_reader r = choiri_reader_of(sc->params);
    int status = charge_bytes(s, sc->params.len);
    for (uint64_t i = 0; status == CHOIR_OK && i < sc->params_len && i < sc->args_len; i++) {
        choir_str param;
        sure(choiri_cbor_read_text(&r, &param));
        if (!choiri_wire_equal(name, bytes_of(param))) continue;
        *ret = sc->args[i];
        return CHOIR_OK;
    }
    if (status != CHOIR_OK) return status;
    bad_ref(s, "the peer's types use a type parameter that is not bound: ");
    choiri_text_quoted(&s->why, name, NAME_SHOWN);
    return CHOIR_ERR_MALFORMED;
}

static int resolve(choiri_shapes *s, uint8_t side, choiri_wire_reader *w, const scope *sc,
                   choiri_shape **ret) {
    choiri_wire_object ref;
    const uint8_t *start = w->r.pos;
    if (!choiri_wire_read_ref(w, &ref)) return bad_ref(s, "the peer's root is no type reference");
    int status = charge_bytes(s, (size_t)(w->r.pos - start));
    if (status != CHOIR_OK) return status;
    if (ref.form == CHOIRI_WIRE_VAR) return find_argument(s, sc, ref.members[0].span, ret);
    uint32_t args_len = (uint32_t)ref.members[1].number;
    choiri_shape **args = NULL;
    if (args_len > 0) args = choiri_shapes_alloc(s, args_len, sizeof *args, &status);
    choiri_wire_reader inner = choiri_wire_reader_of(ref.members[1].span);
    for (uint32_t i = 0; i < args_len && status == CHOIR_OK; i++)
        status = resolve(s, side, &inner, sc, &args[i]);
    return status == CHOIR_OK ? intern(s, side, ref.members[0].number, args, args_len, ret) : status;
}

int choiri_shape_of_ref(choiri_shapes *s, uint8_t side, choir_bytes ref, choiri_shape **ret_shape) {
    choiri_wire_reader w = choiri_wire_reader_of(ref);
    scope none = {0};
    return resolve(s, side, &w, &none, ret_shape);
}

int choiri_shape_of_type(choiri_shapes *s, uint64_t type, choiri_shape **ret_shape) {
    return intern(s, CHOIRI_SHAPE_OURS, type, NULL, 0, ret_shape);
}

static int implied(choiri_shapes *s, uint64_t which, choiri_shape **ret) {
    int status = intern(s, CHOIRI_SHAPE_IMPLIED, which, NULL, 0, ret);
    if (status != CHOIR_OK) return status;
    (*ret)->is_read = true;
    (*ret)->form = CHOIRI_WIRE_PRIMITIVE;
    (*ret)->name = word(which == IMPLIED_U8 ? "u8" : "string");
    return CHOIR_OK;
}

/* --- making parts --- */

static choiri_shape_part *make_parts(choiri_shapes *s, choiri_shape_variant *v, uint64_t count, int *status) {
    choiri_shape_part *parts = choiri_shapes_alloc(s, (size_t)count, sizeof *parts, status);
    if (!parts) return NULL;
    memset(parts, 0, (size_t)count * sizeof *parts);
    v->parts = parts;
    v->parts_len = (uint32_t)count;
    return parts;
}

static choiri_shape_variant *make_variants(choiri_shapes *s, choiri_shape *shape, uint64_t count,
                                           int *status) {
    choiri_shape_variant *variants = choiri_shapes_alloc(s, (size_t)count, sizeof *variants, status);
    if (!variants) return NULL;
    memset(variants, 0, (size_t)count * sizeof *variants);
    shape->variants = variants;
    shape->variants_len = (uint32_t)count;
    return variants;
}

/* The parts of a type that is no enum. */
static choiri_shape_part *make_only_parts(choiri_shapes *s, choiri_shape *shape, uint64_t count,
                                          int *status) {
    choiri_shape_variant *v = make_variants(s, shape, 1, status);
    return v ? make_parts(s, v, count, status) : NULL;
}

/* --- from wire schemas --- */

static int read_refs(choiri_shapes *s, uint8_t side, const choiri_wire_member *refs, const scope *sc,
                     choiri_shape_variant *ret) {
    int status = CHOIR_OK;
    choiri_wire_reader w = choiri_wire_reader_of(refs->span);
    choiri_shape_part *parts = make_parts(s, ret, refs->number, &status);
    for (uint64_t i = 0; i < refs->number && status == CHOIR_OK; i++)
        status = resolve(s, side, &w, sc, &parts[i].shape);
    return status;
}

static int read_fields(choiri_shapes *s, uint8_t side, const choiri_wire_member *fields, const scope *sc,
                       choiri_shape_variant *ret) {
    int status = CHOIR_OK;
    choiri_wire_reader w = choiri_wire_reader_of(fields->span);
    choiri_shape_part *parts = make_parts(s, ret, fields->number, &status);
    for (uint64_t i = 0; i < fields->number && status == CHOIR_OK; i++) {
        choiri_wire_object field;
        sure(choiri_wire_read_field(&w, &field));
        choiri_wire_reader ref = choiri_wire_reader_of(field.members[1].span);
        parts[i].name = field.members[0].span;
        parts[i].required = field.members[2].number != 0;
        status = resolve(s, side, &ref, sc, &parts[i].shape);
    }
    return status;
}

static int read_variant(choiri_shapes *s, uint8_t side, const choiri_wire_object *variant, const scope *sc,
                        choiri_shape_variant *ret) {
    choiri_wire_object payload;
    choiri_wire_reader w = choiri_wire_reader_of(variant->members[2].span);
    sure(choiri_wire_read_shape(&w, &payload));
    ret->name = variant->members[0].span;
    ret->kind = payload.form;
    payload.members[0].number = payload.form == CHOIR_VARIANT_NEWTYPE ? 1 : payload.members[0].number;
    if (payload.form == CHOIR_VARIANT_UNIT) return CHOIR_OK;
    if (payload.form == CHOIR_VARIANT_STRUCT) return read_fields(s, side, &payload.members[0], sc, ret);
    return read_refs(s, side, &payload.members[0], sc, ret);
}

static int read_variants(choiri_shapes *s, choiri_shape *shape, const choiri_wire_member *list,
                         const scope *sc) {
    int status = CHOIR_OK;
    choiri_wire_reader w = choiri_wire_reader_of(list->span);
    choiri_shape_variant *variants = make_variants(s, shape, list->number, &status);
    for (uint64_t i = 0; i < list->number && status == CHOIR_OK; i++) {
        choiri_wire_object variant;
        sure(choiri_wire_read_variant(&w, &variant));
        if (variant.members[1].number != i) {
            bad_ref(s, "the peer's type numbers its variants out of order: enum ");
            choiri_text_quoted(&s->why, shape->name, NAME_SHOWN);
            return CHOIR_ERR_MALFORMED;
        }
        status = read_variant(s, shape->side, &variant, sc, &variants[i]);
    }
    return status;
}

static bool has_params(const scope *sc, const char *first, const char *second) {
    return sc->params_len == 2 && sc->args_len == 2 && choiri_wire_are(sc->params, first, second);
}

/* vox 0.4.0 announces the body of the first instance for all of them, and writes the first parameter for
 * everything that is of the same type in it: a HashMap<u32, u32> makes all maps of its payload look like
 * HashMap<K, K>. The arguments are always those of the instance, and what they mean for a map and a Result is
 * known. */
static void repair(choiri_shape *shape, const scope *sc) {
    if (shape->form == CHOIRI_WIRE_MAP && has_params(sc, "K", "V")) {
        choiri_shape_part *parts = (choiri_shape_part *)(uintptr_t)shape->variants[0].parts;
        for (uint32_t i = 0; i < 2; i++) parts[i].shape = sc->args[i];
    }
    if (shape->form != CHOIRI_WIRE_ENUM || !choiri_wire_is(shape->name, "Result") ||
        shape->variants_len != 2 || !has_params(sc, "T", "E")) {
        return;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const choiri_shape_variant *v = &shape->variants[i];
        if (!choiri_wire_is(v->name, i == 0 ? "Ok" : "Err") || v->kind != CHOIR_VARIANT_NEWTYPE) return;
    }
    for (uint32_t i = 0; i < 2; i++)
        ((choiri_shape_part *)(uintptr_t)shape->variants[i].parts)->shape = sc->args[i];
}

/* Peers announce bytes for the lists of a payload whose first one is a list of u8; then the element is in the
 * arguments of the reference. */
static int read_primitive(choiri_shapes *s, choiri_shape *shape, choir_bytes name) {
    int status = CHOIR_OK;
    shape->name = name;
    if (!choiri_wire_is(name, "bytes")) return CHOIR_OK;
    shape->form = CHOIRI_WIRE_LIST;
    choiri_shape_part *parts = make_only_parts(s, shape, 1, &status);
    if (!parts) return status;
    if (shape->args_len == 0) return implied(s, IMPLIED_U8, &parts[0].shape);
    parts[0].shape = shape->args[0];
    return CHOIR_OK;
}

static int read_kind(choiri_shapes *s, choiri_shape *shape, const choiri_wire_object *kind, const scope *sc) {
    int status = CHOIR_OK;
    const choiri_wire_member *first = &kind->members[0];
    shape->form = (uint8_t)kind->form;
    if (kind->form == CHOIRI_WIRE_PRIMITIVE) return read_primitive(s, shape, first->span);
    if (kind->form == CHOIRI_WIRE_ENUM || kind->form == CHOIRI_WIRE_STRUCT ||
        kind->form == CHOIRI_WIRE_CHANNEL)
        shape->name = first->span;
    if (kind->form == CHOIRI_WIRE_CHANNEL) return CHOIR_OK; /* what goes through it is not compared */
    if (kind->form == CHOIRI_WIRE_ENUM) return read_variants(s, shape, &kind->members[1], sc);
    choiri_shape_variant *only = make_variants(s, shape, 1, &status);
    if (!only) return status;
    if (kind->form == CHOIRI_WIRE_STRUCT) return read_fields(s, shape->side, &kind->members[1], sc, only);
    if (kind->form == CHOIRI_WIRE_TUPLE) return read_refs(s, shape->side, first, sc, only);
    if (kind->form == CHOIRI_WIRE_ARRAY) shape->length = kind->members[1].number;
    uint32_t count = kind->form == CHOIRI_WIRE_MAP ? 2 : 1;
    choiri_shape_part *parts = make_parts(s, only, count, &status);
    for (uint32_t i = 0; i < count && status == CHOIR_OK; i++) {
        choiri_wire_reader ref = choiri_wire_reader_of(kind->members[i].span);
        status = resolve(s, shape->side, &ref, sc, &parts[i].shape);
    }
    return status;
}

static choir_bytes find_cbor(const choiri_shapes *s, uint8_t side, uint64_t id) {
    if (side == CHOIRI_SHAPE_THEIRS) return choiri_recv_tracker_find(s->tracker, id);
    const choiri_schema_part *part = choiri_schema_set_find(s->announcement, id);
    return part ? part->cbor : (choir_bytes){NULL, 0};
}

static int read_wire(choiri_shapes *s, choiri_shape *shape) {
    choir_bytes cbor = find_cbor(s, shape->side, shape->id);
    int status = charge_bytes(s, cbor.len);
    if (status != CHOIR_OK) return status;
    if (!cbor.data) {
        choiri_text_init(&s->why);
        choiri_text_hex(choiri_text_add(&s->why, "the peer never announced type "), shape->id);
        return CHOIR_ERR_MALFORMED;
    }
    choiri_wire_object schema, kind;
    choiri_wire_reader w = choiri_wire_reader_of(cbor);
    sure(choiri_wire_read_schema(&w, &schema));
    w = choiri_wire_reader_of(schema.members[2].span);
    sure(choiri_wire_read_kind(&w, &kind));
    scope sc = {schema.members[1].span, schema.members[1].number, shape->args, shape->args_len};
    status = read_kind(s, shape, &kind, &sc);
    if (status == CHOIR_OK && !s->is_literal) repair(shape, &sc);
    return status;
}

/* --- from descriptors --- */

static int own_fields(choiri_shapes *s, uint32_t first, uint32_t count, choiri_shape_variant *ret) {
    const choir_unit *u = s->root->unit;
    int status = choiri_shapes_charge(s, count / STEP_HOPS);
    choiri_shape_part *parts = status == CHOIR_OK ? make_parts(s, ret, count, &status) : NULL;
    for (uint32_t i = 0; i < count && status == CHOIR_OK; i++) {
        const choir_field *f = choiri_unit_field(u, first + i);
        parts[i].name = bytes_of(choiri_unit_name(u, f->name));
        parts[i].optional = choiri_unit_type(u, f->type)->kind == CHOIR_KIND_OPTION ||
                            ((f->flags & CHOIR_FIELD_DEFAULT) && choiri_value_has_zero(u, f->type));
        status = choiri_shape_of_type(s, f->type, &parts[i].shape);
    }
    return status;
}

static int own_enum(choiri_shapes *s, choiri_shape *shape, const choir_type *t) {
    const choir_unit *u = s->root->unit;
    int status = CHOIR_OK;
    choiri_shape_variant *variants = make_variants(s, shape, t->count, &status);
    shape->name = bytes_of(choiri_unit_name(u, t->name));
    for (uint32_t i = 0; i < t->count && status == CHOIR_OK; i++) {
        const choir_variant *v = choiri_unit_variant(u, t->first + i);
        variants[i].name = bytes_of(choiri_unit_name(u, v->name));
        variants[i].kind = v->shape;
        status = own_fields(s, v->first, v->count, &variants[i]);
    }
    return status;
}

/* An enum of newtypes and unit variants: what Result and VoxError are. */
static int own_built_in(choiri_shapes *s, choiri_shape *shape, const char *name, const char *const *names,
                        choiri_shape *const *payloads, uint32_t count) {
    int status = CHOIR_OK;
    choiri_shape_variant *variants = make_variants(s, shape, count, &status);
    shape->form = CHOIRI_WIRE_ENUM;
    shape->name = word(name);
    for (uint32_t i = 0; i < count && status == CHOIR_OK; i++) {
        variants[i].name = word(names[i]);
        if (!payloads[i]) continue;
        variants[i].kind = CHOIR_VARIANT_NEWTYPE;
        choiri_shape_part *parts = make_parts(s, &variants[i], 1, &status);
        if (parts) parts[0].shape = payloads[i];
    }
    return status;
}

static int own_result(choiri_shapes *s, choiri_shape *shape, uint64_t ok, uint64_t err) {
    static const char *const names[] = {"Ok", "Err"};
    choiri_shape *payloads[2];
    int status = choiri_shape_of_type(s, ok, &payloads[0]);
    if (status == CHOIR_OK) status = choiri_shape_of_type(s, err, &payloads[1]);
    return status == CHOIR_OK ? own_built_in(s, shape, "Result", names, payloads, 2) : status;
}

static int own_vox_error(choiri_shapes *s, choiri_shape *shape) {
    static const char *const names[] = {"User",       "UnknownMethod",    "InvalidPayload",
                                        "Cancelled",  "ConnectionClosed", "SessionShutdown",
                                        "SendFailed", "Indeterminate"};
    choiri_shape *payloads[8] = {NULL};
    int status = choiri_shape_of_type(s, s->root->err, &payloads[0]);
    if (status == CHOIR_OK) status = implied(s, IMPLIED_STRING, &payloads[2]);
    return status == CHOIR_OK ? own_built_in(s, shape, "VoxError", names, payloads, 8) : status;
}

static const char *primitive_name(uint32_t kind) {
    static const char names[][8] = {"",     "bool",   "u8",  "u16",  "u32",  "u64", "u128",
                                    "i8",   "i16",    "i32", "i64",  "i128", "f32", "f64",
                                    "char", "string", "",    "unit", "never"};
    return kind < sizeof names / sizeof names[0] ? names[kind] : "payload"; /* Duration */
}

/* Boxes are not seen on the wire: the shape is that of what they hold. */
static int own_box(choiri_shapes *s, choiri_shape *shape, const choir_type *t) {
    const choir_unit *u = s->root->unit;
    choiri_shape *inner;
    uint32_t type = t->elem;
    for (uint32_t depth = 0; choiri_unit_type(u, type)->kind == CHOIR_KIND_BOX; depth++) {
        if (depth == CHOIRI_VALUE_DEPTH) return choiri_shapes_charge(s, CHOIRI_SCHEMA_MAX_STEPS + 1);
        type = choiri_unit_type(u, type)->elem;
    }
    int status = choiri_shape_of_type(s, type, &inner);
    if (status == CHOIR_OK) status = choiri_shape_read(s, inner);
    if (status != CHOIR_OK) return status;
    shape->form = inner->form;
    shape->name = inner->name;
    shape->length = inner->length;
    shape->variants = inner->variants;
    shape->variants_len = inner->variants_len;
    return CHOIR_OK;
}

static int own_elements(choiri_shapes *s, choiri_shape *shape, const choir_type *t) {
    int status = CHOIR_OK;
    if (shape->form == CHOIRI_WIRE_MAP) { /* its element is the tuple of key and value */
        const choir_type *pair = choiri_unit_type(s->root->unit, t->elem);
        choiri_shape_variant *only = make_variants(s, shape, 1, &status);
        return only ? own_fields(s, pair->first, 2, only) : status;
    }
    choiri_shape_part *parts = make_only_parts(s, shape, 1, &status);
    if (!parts) return status;
    if (t->kind == CHOIR_KIND_BYTES) return implied(s, IMPLIED_U8, &parts[0].shape);
    return choiri_shape_of_type(s, t->elem, &parts[0].shape);
}

static int read_own(choiri_shapes *s, choiri_shape *shape) {
    if (shape->id == CHOIRI_SHAPE_VOX_ERROR) return own_vox_error(s, shape);
    if (shape->id == CHOIRI_SHAPE_RESPONSE) return own_result(s, shape, s->root->ok, CHOIRI_SHAPE_VOX_ERROR);
    const choir_unit *u = s->root->unit;
    const choir_type *t = choiri_unit_type(u, (uint32_t)shape->id);
    int status = CHOIR_OK;
    choiri_shape_variant *only;
    switch (t->kind) {
    case CHOIR_KIND_BYTES:
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
        if (t->kind == CHOIR_KIND_BYTES) shape->name = word("bytes");
        shape->form = CHOIRI_WIRE_LIST;
        return own_elements(s, shape, t);
    case CHOIR_KIND_OPTION: shape->form = CHOIRI_WIRE_OPTION; return own_elements(s, shape, t);
    case CHOIR_KIND_MAP: shape->form = CHOIRI_WIRE_MAP; return own_elements(s, shape, t);
    case CHOIR_KIND_ARRAY: shape->form = CHOIRI_WIRE_ARRAY; return own_elements(s, shape, t);
    case CHOIR_KIND_BOX: return own_box(s, shape, t);
    case CHOIR_KIND_ENUM: shape->form = CHOIRI_WIRE_ENUM; return own_enum(s, shape, t);
    case CHOIR_KIND_RESULT: return own_result(s, shape, t->elem, t->elem2);
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX:
        shape->form = CHOIRI_WIRE_CHANNEL;
        shape->name = word(t->kind == CHOIR_KIND_TX ? "tx" : "rx");
        return CHOIR_OK;
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT:
        shape->form = t->kind == CHOIR_KIND_TUPLE ? CHOIRI_WIRE_TUPLE : CHOIRI_WIRE_STRUCT;
        if (t->kind == CHOIR_KIND_STRUCT) shape->name = bytes_of(choiri_unit_name(u, t->name));
        only = make_variants(s, shape, 1, &status);
        return only ? own_fields(s, t->first, t->count, only) : status;
    default:
        shape->form = CHOIRI_WIRE_PRIMITIVE;
        shape->name = word(primitive_name(t->kind));
        return CHOIR_OK;
    }
}

int choiri_shape_read(choiri_shapes *s, choiri_shape *shape) {
    if (shape->is_read) return CHOIR_OK;
    int status = shape->side == CHOIRI_SHAPE_OURS ? read_own(s, shape) : read_wire(s, shape);
    if (status == CHOIR_OK) shape->is_read = true;
    return status;
}

/* --- twins --- */

static int find_twin(choiri_shapes *s, choiri_shape *a) {
    int status = CHOIR_OK;
    choiri_shape **args = NULL;
    if (a->args_len > 0) args = choiri_shapes_alloc(s, a->args_len, sizeof *args, &status);
    /* Arguments were made before what they are arguments of, so their twins are known. */
    for (uint32_t i = 0; i < a->args_len && status == CHOIR_OK; i++) args[i] = a->args[i]->twin;
    if (status == CHOIR_OK) status = intern(s, CHOIRI_SHAPE_THEIRS, a->id, args, a->args_len, &a->twin);
    a->is_same = status == CHOIR_OK && choiri_wire_equal(find_cbor(s, CHOIRI_SHAPE_ANNOUNCED, a->id),
                                                         find_cbor(s, CHOIRI_SHAPE_THEIRS, a->id));
    return status;
}

static bool parts_are_same(const choiri_shape *a) {
    for (uint32_t v = 0; v < a->variants_len; v++) {
        for (uint32_t i = 0; i < a->variants[v].parts_len; i++) {
            const choiri_shape *part = a->variants[v].parts[i].shape;
            if (part->side == CHOIRI_SHAPE_ANNOUNCED && !part->is_same) return false;
        }
    }
    return true;
}

int choiri_shapes_find_twins(choiri_shapes *s, choiri_shape **ret_root) {
    int status = choiri_shape_of_ref(s, CHOIRI_SHAPE_ANNOUNCED, s->announcement->root, ret_root);
    /* Reading one appends those it refers to. */
    for (choiri_shape *a = s->first[CHOIRI_SHAPE_ANNOUNCED]; a && status == CHOIR_OK; a = a->next) {
        status = choiri_shape_read(s, a);
        if (status == CHOIR_OK) status = find_twin(s, a);
    }
    for (bool again = true; again && status == CHOIR_OK;) {
        again = false;
        for (choiri_shape *a = s->first[CHOIRI_SHAPE_ANNOUNCED]; a; a = a->next) {
            if (!a->is_same || parts_are_same(a)) continue;
            a->is_same = false;
            again = true;
        }
    }
    return status;
}

/* ---- paths ---- */

static void add_name(choiri_text *text, choir_bytes name) {
    if (name.len == 0) return;
    if (text->len > 0) choiri_text_add(text, ".");
    choiri_text_str(text, (choir_str){(const char *)name.data, name.len});
}

void choiri_step_write(choiri_text *text, uint32_t step, choir_bytes variant, choir_bytes name,
                       uint64_t index) {
    add_name(text, variant);
    switch (step) {
    case CHOIRI_STEP_NAME: add_name(text, name); break;
    case CHOIRI_STEP_INDEX:
        choiri_text_u64(choiri_text_add(text, text->len > 0 ? "." : "args."), index);
        break;
    case CHOIRI_STEP_ITEM: choiri_text_add(text, "[]"); break;
    case CHOIRI_STEP_KEY: choiri_text_add(text, "[key]"); break;
    case CHOIRI_STEP_VALUE: choiri_text_add(text, "[value]"); break;
    default: break;
    }
}
