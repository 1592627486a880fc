/* SPDX-License-Identifier: MIT */
/* Extraction, step for step as vox 0.4.0 does it (rule: schema.extraction).
 *
 * The rule that shapes everything: all instantiations of one type declaration share one schema, and whichever
 * is finished first decides its body. So the order in which types are visited is part of the wire format, and
 * what looks like an optimisation here (not looking at a body again) is what peers do and compare against.
 *
 * A type is a number: an index into the unit, or one of the few that descriptors cannot name. Boxes are
 * looked through where a type is visited, but they are part of what a type argument is, as in Rust. An
 * instantiation of a named declaration is its record, since const arguments are not in it to tell two of them
 * apart; a builtin one is its kind, and two records of it with equal arguments are the same instantiation.
 *
 * Bounds: descriptors are the program's own, yet a type may contain itself in ways that Rust could not say
 * (an option of itself), and arguments are written out in full, so that tuples of tuples grow exponentially.
 * Both end at DEPTH_MAX or STEPS_MAX.
 */
#include "schema/extract.h"

#include "schema/decl.h"
#include "schema/tracker.h"
#include "value/unit.h"

#define DEPTH_MAX   CHOIRI_SCHEMA_DEPTH
#define STEPS_MAX   200000u /* types looked at; a service of hundreds of types needs a few thousand */
#define SCRATCH_MAX ((size_t)16 << 20)

/* Types that no record describes. */
#define TYPE_U8        UINT32_MAX       /* the element of CHOIR_KIND_BYTES */
#define TYPE_STRING    (UINT32_MAX - 1) /* in VoxError */
#define TYPE_RESPONSE  (UINT32_MAX - 2) /* Result<ok, VoxError<err>> */
#define TYPE_VOX_ERROR (UINT32_MAX - 3) /* VoxError<err> */
#define TYPE_HASHER    (UINT32_MAX - 4) /* of a HashSet */
#define TYPE_NONE      (UINT32_MAX - 5) /* of a unit variant */
#define KIND_VOX_ERROR (CHOIR_KIND_DURATION + 1)
#define KIND_HASHER    (CHOIR_KIND_DURATION + 2)
#define KEY_NAMED      (UINT64_C(1) << 63) /* | index: struct, enum, tuple struct */
#define KEY_GENERIC    (UINT64_C(3) << 62) /* | number of the declaration */
#define COUNT(array)   ((uint32_t)(sizeof(array) / sizeof(array)[0]))

/* The types being visited, innermost first. */
typedef struct visit {
    uint32_t type;
    uint32_t depth;
    const struct visit *outer;
} visit;

typedef struct extraction {
    const choiri_root *root;
    const choir_unit *unit;
    choiri_arena scratch; /* declarations */
    choiri_decl *decls, **decls_end;
    choiri_decl *emitted, **emitted_end;
    uint32_t emitted_len;
    uint32_t steps;
    int status;
    choiri_text *text;
} extraction;

static const char too_deep[] = "a type is nested more than 64 deep";
static const char too_large[] = "a type is too large to be announced";

static bool fail(extraction *x, int status, const char *why) {
    if (x->status == CHOIR_OK) {
        x->status = status;
        choiri_text_add(x->text, why);
    }
    return false;
}

static bool step(extraction *x) {
    return ++x->steps <= STEPS_MAX || fail(x, CHOIR_ERR_INVALID, too_large);
}

static void *scratch(extraction *x, size_t count, size_t size) {
    void *memory = choiri_arena_alloc(&x->scratch, count * size, 16);
    if (memory) return memset(memory, 0, count * size);
    bool full = choiri_arena_is_full(&x->scratch, count * size);
    if (full) {
        fail(x, CHOIR_ERR_INVALID, too_large);
    } else {
        fail(x, CHOIR_ERR_NO_MEMORY, "no memory");
    }
    return NULL;
}

/* --- types --- */

static const choir_type *record(const extraction *x, uint32_t type) {
    return choiri_unit_type(x->unit, type);
}

static uint32_t kind_of(const extraction *x, uint32_t type) {
    switch (type) {
    case TYPE_U8: return CHOIR_KIND_U8;
    case TYPE_STRING: return CHOIR_KIND_STRING;
    case TYPE_RESPONSE: return CHOIR_KIND_RESULT;
    case TYPE_VOX_ERROR: return KIND_VOX_ERROR;
    case TYPE_HASHER: return KIND_HASHER;
    default: return record(x, type)->kind;
    }
}

static bool is_named(const extraction *x, uint32_t type) {
    uint32_t kind = kind_of(x, type);
    return kind == CHOIR_KIND_STRUCT || kind == CHOIR_KIND_ENUM ||
           (kind == CHOIR_KIND_TUPLE && record(x, type)->name != 0);
}

static bool is_channel(const extraction *x, uint32_t type) {
    uint32_t kind = kind_of(x, type);
    return kind == CHOIR_KIND_TX || kind == CHOIR_KIND_RX;
}

/* How many type arguments the instantiation has. */
static uint32_t args_count(const extraction *x, uint32_t type) {
    if (is_named(x, type)) return record(x, type)->params;
    switch (kind_of(x, type)) {
    case CHOIR_KIND_BYTES:
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_OPTION:
    case CHOIR_KIND_ARRAY:
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX:
    case KIND_VOX_ERROR: return 1;
    case CHOIR_KIND_SET: return record(x, type)->count == CHOIR_COUNT_HASH_SET ? 2 : 1;
    case CHOIR_KIND_MAP:
    case CHOIR_KIND_RESULT: return 2;
    case CHOIR_KIND_TUPLE: return record(x, type)->count;
    default: return 0;
    }
}

static uint32_t arg_of(const extraction *x, uint32_t type, uint32_t i) {
    if (type == TYPE_RESPONSE) return i == 0 ? x->root->ok : TYPE_VOX_ERROR;
    if (type == TYPE_VOX_ERROR) return x->root->err;
    const choir_type *t = record(x, type);
    if (is_named(x, type)) return choiri_unit_param(x->unit, t->first_param + i)->type;
    switch (t->kind) {
    case CHOIR_KIND_BYTES: return TYPE_U8;
    case CHOIR_KIND_SET: return i == 0 ? t->elem : TYPE_HASHER;
    case CHOIR_KIND_MAP: return choiri_unit_field(x->unit, record(x, t->elem)->first + i)->type;
    case CHOIR_KIND_TUPLE: return choiri_unit_field(x->unit, t->first + i)->type;
    case CHOIR_KIND_RESULT: return i == 0 ? t->elem : t->elem2;
    default: return t->elem;
    }
}

static uint32_t class_of(const extraction *x, uint32_t type) {
    uint32_t kind = kind_of(x, type);
    return kind == CHOIR_KIND_BYTES ? CHOIR_KIND_LIST : kind;
}

/* Which of the twin types that share a kind, which arity, which length: 0 where there is but one. */
static uint32_t form_of(const extraction *x, uint32_t type) {
    switch (class_of(x, type)) {
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP:
    case CHOIR_KIND_ARRAY:
    case CHOIR_KIND_TUPLE: return record(x, type)->count;
    default: return 0;
    }
}

/* Are these the same Rust type? */
static bool is_same(extraction *x, uint32_t a, uint32_t b, uint32_t depth) {
    if (a == b) return true;
    uint32_t class = class_of(x, a), count = args_count(x, a);
    if (class != class_of(x, b) || is_named(x, a) || is_named(x, b) || form_of(x, a) != form_of(x, b))
        return false;
    if (depth == DEPTH_MAX) return fail(x, CHOIR_ERR_INVALID, too_deep);
    if (!step(x)) return false;
    if (class == CHOIR_KIND_BOX) return is_same(x, record(x, a)->elem, record(x, b)->elem, depth + 1);
    for (uint32_t i = 0; i < count; i++) {
        if (!is_same(x, arg_of(x, a, i), arg_of(x, b, i), depth + 1)) return false;
    }
    return true;
}

/* Looks through boxes. */
static bool unbox(extraction *x, uint32_t *type) {
    for (uint32_t i = 0; kind_of(x, *type) == CHOIR_KIND_BOX; i++) {
        if (i == DEPTH_MAX) return fail(x, CHOIR_ERR_INVALID, too_deep);
        *type = record(x, *type)->elem;
    }
    return true;
}

/* Vec<u8>, however it is described. */
static bool is_bytes(extraction *x, uint32_t type) {
    if (class_of(x, type) != CHOIR_KIND_LIST) return false;
    uint32_t elem = arg_of(x, type, 0);
    return unbox(x, &elem) && kind_of(x, elem) == CHOIR_KIND_U8;
}

/* --- declarations --- */

static uint64_t key_of(const extraction *x, uint32_t type) {
    if (is_named(x, type)) {
        uint32_t decl = record(x, type)->decl;
        return decl != 0 ? KEY_GENERIC | decl : KEY_NAMED | type;
    }
    uint32_t class = class_of(x, type);
    return (uint64_t) class << 32 | (class == CHOIR_KIND_ARRAY ? 0 : form_of(x, type));
}

static choiri_decl *find_decl(extraction *x, uint64_t key) {
    for (choiri_decl *d = x->decls; d; d = d->next) {
        if (d->key == key) return d;
    }
    choiri_decl *d = scratch(x, 1, sizeof *d);
    if (!d) return NULL;
    d->key = key;
    *x->decls_end = d;
    x->decls_end = &d->next;
    return d;
}

/* Only the first body counts. */
static void emit(extraction *x, choiri_decl *d, const choiri_decl *body) {
    if (d->emitted) return;
    d->kind = body->kind;
    d->name = body->name;
    d->params = body->params;
    d->params_len = body->params_len;
    d->items = body->items;
    d->items_len = body->items_len;
    d->length = body->length;
    d->emitted = true;
    d->place = x->emitted_len++;
    *x->emitted_end = d;
    x->emitted_end = &d->later;
}

static bool refer(extraction *x, uint32_t type, const visit *outer, choiri_ref *ret);

/* The arguments of a concrete reference, each with whatever has to be emitted for it. */
static bool refer_args(extraction *x, uint32_t type, const visit *here, choiri_ref *ret) {
    uint32_t count = args_count(x, type);
    if (count == 0) return true;
    choiri_ref *args = scratch(x, count, sizeof *args);
    if (!args) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!refer(x, arg_of(x, type, i), here, &args[i])) return false;
    }
    ret->args = args;
    ret->args_len = count;
    return true;
}

/* --- bodies --- */

/* The names of an anonymous tuple's type parameters, or of a declaration of the program. */
static bool make_params(extraction *x, uint32_t type, choiri_decl *body) {
    choir_str *params = scratch(x, body->params_len, sizeof *params);
    if (!params) return false;
    body->params = params;
    for (uint32_t i = 0; i < body->params_len; i++) {
        if (is_named(x, type)) {
            uint32_t name = choiri_unit_param(x->unit, record(x, type)->first_param + i)->name;
            params[i] = choiri_unit_name(x->unit, name);
            continue;
        }
        choiri_text name; /* T0, T1, ... */
        choiri_text_init(&name);
        choiri_text_u64(choiri_text_add(&name, "T"), i);
        char *copy = scratch(x, name.len, 1);
        if (!copy) return false;
        params[i] = (choir_str){memcpy(copy, name.data, name.len), name.len};
    }
    return true;
}

/* The names of the type parameters of a declaration. */
static bool name_params(extraction *x, uint32_t type, choiri_decl *body) {
    static const choir_str of_t[] = {{"T", 1}, {"S", 1}}, of_error[] = {{"E", 1}}; /* S: the hasher */
    static const choir_str of_result[] = {{"T", 1}, {"E", 1}}, of_map[] = {{"K", 1}, {"V", 1}};
    body->params_len = args_count(x, type);
    if (is_named(x, type)) return make_params(x, type, body);
    switch (kind_of(x, type)) {
    case CHOIR_KIND_MAP: body->params = of_map; return true;
    case CHOIR_KIND_RESULT: body->params = of_result; return true;
    case KIND_VOX_ERROR: body->params = of_error; return true;
    case CHOIR_KIND_TUPLE: return make_params(x, type, body);
    default: body->params = of_t; return true;
    }
}

static choiri_ref variable(choir_str name) {
    return (choiri_ref){.var = name};
}

/* A component inside a body. One whose type is that of a type argument becomes the (first such) parameter; it
 * is still visited, so that its schema is emitted. */
static bool component(extraction *x, uint32_t of, const choiri_decl *body, uint32_t type, const visit *here,
                      choiri_ref *ret) {
    if (!refer(x, type, here, ret)) return false;
    for (uint32_t i = 0; i < body->params_len; i++) {
        if (is_same(x, type, arg_of(x, of, i), 0)) {
            *ret = variable(body->params[i]);
            break;
        }
    }
    return x->status == CHOIR_OK;
}

static choiri_item *items_of(extraction *x, uint32_t count) {
    return scratch(x, count, sizeof(choiri_item));
}

/* The fields of a struct, a tuple struct or a variant; NULL after a failure. */
static choiri_item *fields(extraction *x, uint32_t type, const choiri_decl *body, uint32_t first,
                           uint32_t count, const visit *here) {
    choiri_item *items = items_of(x, count);
    for (uint32_t i = 0; items && i < count; i++) {
        const choir_field *f = choiri_unit_field(x->unit, first + i);
        items[i].name = choiri_unit_name(x->unit, f->name);
        items[i].required = !(f->flags & CHOIR_FIELD_DEFAULT);
        if (!component(x, type, body, f->type, here, &items[i].ref)) return NULL;
    }
    return items;
}

/* A struct, an enum or a tuple struct. */
static bool named_body(extraction *x, uint32_t type, const visit *here, choiri_decl *body) {
    const choir_type *t = record(x, type);
    body->name = choiri_unit_name(x->unit, t->name);
    body->items_len = t->count;
    if (t->kind != CHOIR_KIND_ENUM) {
        body->kind = t->kind == CHOIR_KIND_STRUCT ? CHOIRI_WIRE_STRUCT : CHOIRI_WIRE_TUPLE;
        body->items = fields(x, type, body, t->first, t->count, here);
        return body->items != NULL;
    }
    choiri_item *variants = items_of(x, t->count);
    for (uint32_t i = 0; variants && i < t->count; i++) {
        const choir_variant *v = choiri_unit_variant(x->unit, t->first + i);
        choiri_item *own = fields(x, type, body, v->first, v->count, here);
        if (!own) return false;
        for (uint32_t f = 0; f < v->count; f++)
            own[f].required = true; /* defaults do not count in variants */
        variants[i] = (choiri_item){.name = choiri_unit_name(x->unit, v->name),
                                    .shape = v->shape,
                                    .items = own,
                                    .items_len = v->count};
    }
    body->kind = CHOIRI_WIRE_ENUM;
    body->items = variants;
    return variants != NULL;
}

/* The builtin enums: each variant is a newtype of a component, or a unit variant where that is TYPE_NONE. */
typedef struct newtype {
    choir_str name;
    uint32_t type;
} newtype;

static bool enum_body(extraction *x, uint32_t type, const newtype *variants, uint32_t count,
                      const visit *here, choiri_decl *body) {
    choiri_item *items = items_of(x, count);
    for (uint32_t i = 0; items && i < count; i++) {
        items[i].name = variants[i].name;
        if (variants[i].type == TYPE_NONE) continue;
        choiri_item *value = items_of(x, 1);
        if (!value || !component(x, type, body, variants[i].type, here, &value->ref)) return false;
        items[i].shape = CHOIR_VARIANT_NEWTYPE;
        items[i].items = value;
        items[i].items_len = 1;
    }
    body->kind = CHOIRI_WIRE_ENUM;
    body->items = items;
    body->items_len = count;
    return items != NULL;
}

static bool result_body(extraction *x, uint32_t type, const visit *here, choiri_decl *body) {
    const newtype variants[] = {{CHOIR_STR("Ok"), arg_of(x, type, 0)},
                                {CHOIR_STR("Err"), arg_of(x, type, 1)}};
    body->name = CHOIR_STR("Result");
    return enum_body(x, type, variants, COUNT(variants), here, body);
}

/* What comes instead of an answer. rule: rpc.vox-error */
static bool vox_error_body(extraction *x, const visit *here, choiri_decl *body) {
    const newtype variants[] = {
        {CHOIR_STR("User"), x->root->err},          {CHOIR_STR("UnknownMethod"), TYPE_NONE},
        {CHOIR_STR("InvalidPayload"), TYPE_STRING}, {CHOIR_STR("Cancelled"), TYPE_NONE},
        {CHOIR_STR("ConnectionClosed"), TYPE_NONE}, {CHOIR_STR("SessionShutdown"), TYPE_NONE},
        {CHOIR_STR("SendFailed"), TYPE_NONE},       {CHOIR_STR("Indeterminate"), TYPE_NONE},
    };
    body->name = CHOIR_STR("VoxError");
    return enum_body(x, TYPE_VOX_ERROR, variants, COUNT(variants), here, body);
}

/* List, set, option, array, map: the type arguments are the components, but for a set's hasher. */
static bool container_body(extraction *x, uint32_t type, uint32_t kind, const visit *here,
                           choiri_decl *body) {
    uint32_t count = kind == CHOIRI_WIRE_MAP ? 2 : 1;
    choiri_item *items = items_of(x, count);
    for (uint32_t i = 0; items && i < count; i++) {
        if (!component(x, type, body, arg_of(x, type, i), here, &items[i].ref)) return false;
    }
    body->kind = kind;
    body->items = items;
    body->items_len = count;
    return items != NULL;
}

/* Tuples and channels are made of variables; what these stand for is visited only as arguments. */
static bool variables_body(extraction *x, uint32_t kind, choiri_decl *body) {
    choiri_item *items = items_of(x, body->params_len);
    for (uint32_t i = 0; items && i < body->params_len; i++) items[i].ref.var = body->params[i];
    body->kind = kind;
    body->items = items;
    body->items_len = body->params_len;
    return items != NULL;
}

static const char *scalar_name(uint32_t kind) {
    static const char *const names[] = {
        [CHOIR_KIND_BOOL] = "bool", [CHOIR_KIND_U8] = "u8",       [CHOIR_KIND_U16] = "u16",
        [CHOIR_KIND_U32] = "u32",   [CHOIR_KIND_U64] = "u64",     [CHOIR_KIND_U128] = "u128",
        [CHOIR_KIND_I8] = "i8",     [CHOIR_KIND_I16] = "i16",     [CHOIR_KIND_I32] = "i32",
        [CHOIR_KIND_I64] = "i64",   [CHOIR_KIND_I128] = "i128",   [CHOIR_KIND_F32] = "f32",
        [CHOIR_KIND_F64] = "f64",   [CHOIR_KIND_CHAR] = "char",   [CHOIR_KIND_STRING] = "string",
        [CHOIR_KIND_UNIT] = "unit", [CHOIR_KIND_NEVER] = "never",
    };
    return kind < COUNT(names) ? names[kind] : "payload"; /* Duration, a hasher: foreign to the schemas */
}

static void primitive_body(const char *name, choiri_decl *body) {
    *body = (choiri_decl){.kind = CHOIRI_WIRE_PRIMITIVE, .name = {name, strlen(name)}};
}

static bool make_body(extraction *x, uint32_t type, const visit *here, choiri_decl *body) {
    if (!name_params(x, type, body)) return false;
    if (is_named(x, type)) return named_body(x, type, here, body);
    switch (kind_of(x, type)) {
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET: return container_body(x, type, CHOIRI_WIRE_LIST, here, body);
    case CHOIR_KIND_OPTION: return container_body(x, type, CHOIRI_WIRE_OPTION, here, body);
    case CHOIR_KIND_MAP: return container_body(x, type, CHOIRI_WIRE_MAP, here, body);
    case CHOIR_KIND_ARRAY:
        body->length = record(x, type)->count;
        return container_body(x, type, CHOIRI_WIRE_ARRAY, here, body);
    case CHOIR_KIND_TUPLE: return variables_body(x, CHOIRI_WIRE_TUPLE, body);
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX:
        body->name = kind_of(x, type) == CHOIR_KIND_TX ? CHOIR_STR("tx") : CHOIR_STR("rx");
        return variables_body(x, CHOIRI_WIRE_CHANNEL, body);
    case CHOIR_KIND_RESULT: return result_body(x, type, here, body);
    case KIND_VOX_ERROR: return vox_error_body(x, here, body);
    default: primitive_body(scalar_name(kind_of(x, type)), body); return true;
    }
}

static bool is_visited(extraction *x, uint32_t type, const visit *outer) {
    for (const visit *v = outer; v; v = v->outer) {
        if (is_same(x, type, v->type, 0)) return true;
    }
    return false;
}

/* Makes the reference to a type and emits what it depends on and was not emitted yet. */
static bool refer(extraction *x, uint32_t type, const visit *outer, choiri_ref *ret) {
    if (!step(x) || !unbox(x, &type)) return false;
    visit here = {type, outer ? outer->depth + 1 : 1, outer};
    if (here.depth > DEPTH_MAX) return fail(x, CHOIR_ERR_INVALID, too_deep);
    choiri_decl *d = find_decl(x, key_of(x, type));
    if (!d) return false;
    *ret = (choiri_ref){.decl = d};
    /* A channel met again inside its own element is emitted there: only its element is looked at, so that
     * ends. */
    if (d->emitted || (!is_channel(x, type) && is_visited(x, type, outer)))
        return refer_args(x, type, &here, ret);
    choiri_decl body = {0};
    if (is_bytes(x, type)) { /* the first Vec of an extraction, if it is one of bytes, has no arguments */
        primitive_body("bytes", &body);
    } else if (!make_body(x, type, &here, &body) || !refer_args(x, type, &here, ret)) {
        return false;
    }
    emit(x, d, &body);
    return x->status == CHOIR_OK;
}

/* --- results --- */

/* Moves what was written into one piece of the arena. */
static int take(choiri_writer *w, choiri_arena *arena, choir_bytes *ret) {
    int status = choiri_writer_finish(w);
    size_t len = (size_t)w->q->bytes;
    uint8_t *copy = status == CHOIR_OK ? choiri_arena_alloc(arena, len, 1) : NULL;
    if (!copy) return status == CHOIR_OK ? CHOIR_ERR_NO_MEMORY : status;
    choiri_outq_copy(w->q, 0, copy, len);
    choiri_outq_consume(w->q, len);
    *ret = (choir_bytes){copy, len};
    return CHOIR_OK;
}

/* One declaration's part. Its bytes are those of an equal part that is known already, or made now. */
static int make_part(extraction *x, const choiri_decl *d, choiri_outq *q, choiri_arena *out,
                     choiri_map *known, choiri_schema_part *ret) {
    choir_bytes cbor;
    choiri_writer w;
    choiri_writer_init(&w, q, NULL);
    choiri_decl_write(&w, d);
    int status = take(&w, &x->scratch, &cbor);
    if (status != CHOIR_OK) return status;
    const choiri_schema_part *have = known ? choiri_map_get(known, d->id) : NULL;
    if (have && choiri_wire_equal(have->cbor, cbor)) {
        *ret = *have;
        return CHOIR_OK;
    }
    uint8_t *copy = choiri_arena_alloc(out, cbor.len, 1);
    if (!copy) return CHOIR_ERR_NO_MEMORY;
    *ret = (choiri_schema_part){d->id, {memcpy(copy, cbor.data, cbor.len), cbor.len}};
    return known && !have ? choiri_map_put(known, d->id, ret) : CHOIR_OK;
}

static bool has_part(const choiri_schema_set *a, uint64_t id) {
    for (uint32_t i = 0; i < a->parts_len; i++) {
        if (a->parts[i].id == id) return true;
    }
    return false;
}

/* Declarations with equal ids are announced once, the first of them. */
static int make_parts(extraction *x, const choiri_ref *root, choiri_arena *out, choiri_map *known,
                      choiri_schema_set *ret) {
    choiri_schema_part *parts =
        choiri_arena_alloc(out, x->emitted_len * sizeof *parts, _Alignof(choiri_schema_part));
    if (!parts) return CHOIR_ERR_NO_MEMORY;
    choiri_schema_set a = {.parts = parts};
    choiri_outq q;
    choiri_outq_init(&q, out->env);
    int status = CHOIR_OK;
    for (const choiri_decl *d = x->emitted; d && status == CHOIR_OK; d = d->later) {
        if (has_part(&a, d->id)) continue;
        status = make_part(x, d, &q, out, known, &parts[a.parts_len]);
        a.parts_len++;
    }
    if (status == CHOIR_OK) {
        choiri_writer w;
        choiri_writer_init(&w, &q, NULL);
        choiri_ref_write(&w, root);
        status = take(&w, out, &a.root);
    }
    choiri_outq_deinit(&q);
    if (status == CHOIR_OK) *ret = a;
    return status;
}

int choiri_extract(choiri_arena *out, choiri_map *known, const choiri_root *root, choiri_schema_set *ret,
                   choiri_text *ret_text) {
    extraction x = {.root = root, .unit = root->unit, .text = ret_text};
    choiri_ref ref;
    choiri_text_init(ret_text);
    choiri_arena_init(&x.scratch, out->env, NULL, 0, SCRATCH_MAX);
    x.decls_end = &x.decls;
    x.emitted_end = &x.emitted;
    int status;
    if (!refer(&x, root->is_response ? TYPE_RESPONSE : root->type, NULL, &ref)) {
        status = x.status;
    } else if (x.emitted_len > CHOIRI_SCHEMA_MAX_TYPES) {
        choiri_text_add(ret_text, too_large);
        status = CHOIR_ERR_INVALID;
    } else {
        choiri_decl_identify(x.emitted);
        status = make_parts(&x, &ref, out, known, ret);
    }
    choiri_arena_reset(&x.scratch);
    return status;
}
