/* SPDX-License-Identifier: MIT */
/* From wire schemas to descriptors. rule: schema.dynamic, limit.schema
 *
 * One walk in depth. A reference becomes the index of a type: first its arguments do, then the schema is
 * instantiated with them, unless that pair was met before. So every instantiation is read once, and variables
 * are looked up in a list of indices. A type's record is reserved before its components are made, which ends
 * recursion: a component that is not finished is put behind a pointer, because its size is not known.
 *
 * Bounds, against a peer whose few bytes mean very much: reading costs steps by the byte, as in comparing;
 * records are counted; the walk ends at the depth that values end at; sizes and empty parts add up and have
 * limits. What has been received was checked then, so reading it cannot fail. */
#include "schema/dynamic.h"

#include "value/unit.h"
#include "value/value.h"

#include "base/assert.h"

/* Reading so many bytes costs a step. What is nested is read again at each level. */
#define STEP_BYTES     32u
#define NAME_MAX_SHOWN 64u
#define SCRATCH_MAX    ((size_t)16 << 20) /* the steps allow less; a guard */

/* Growing records; `size` is that of one. */
typedef struct array {
    void *data;
    uint32_t len, cap, size;
} array;

/* What is known about a type besides its record. */
typedef struct info {
    bool done;     /* size and align are final */
    bool opaque;   /* its layout is not announced: it may be an argument that nobody uses */
    bool is_empty; /* takes no bytes on the wire */
    uint32_t empty_parts;
} info;

/* A schema with these arguments is that type. */
typedef struct instance {
    struct instance *next; /* of the same hash */
    uint64_t id;
    const void *place; /* of the first reference to it */
    uint32_t type, args_len;
    uint32_t args[];
} instance;

/* What a schema's variables stand for. */
typedef struct scope {
    choir_bytes params;
    uint64_t params_len;
    const uint32_t *args;
    uint32_t args_len;
} scope;

enum { SAME, NAME, INDEX, ITEM, KEY, VALUE }; /* how a component is reached */

typedef struct frame {
    const struct frame *outer;
    uint32_t depth;
    uint32_t step;
    uint64_t index;
    choir_bytes name;
} frame;

/* A field while the types of its neighbours are made. */
typedef struct component {
    uint32_t name, type, flags;
} component;

typedef struct builder {
    const choiri_recv_tracker *tracker;
    choir_env *env;
    choiri_arena scratch;
    choiri_map instances; /* hash of id and arguments -> instance */
    choiri_map firsts;    /* id -> its first instance */
    array types, infos, fields, variants, strings;
    uint32_t steps;
    int status;
    choiri_text *text;
} builder;

/* --- failures: all return false --- */

static void say_path(choiri_text *text, const frame *f) {
    const frame *steps[2 * (CHOIRI_VALUE_DEPTH + 2)]; /* variants are steps and no depth */
    uint32_t count = 0;
    for (; f; f = f->outer) steps[count++] = f;
    while (count > 0) {
        f = steps[--count];
        if ((f->step == NAME || f->step == INDEX) && text->len > 0) choiri_text_add(text, ".");
        switch (f->step) {
        case NAME: choiri_text_quoted(text, f->name, NAME_MAX_SHOWN); break;
        case INDEX: choiri_text_u64(text, f->index); break;
        case ITEM: choiri_text_add(text, "[]"); break;
        case KEY: choiri_text_add(text, "[key]"); break;
        case VALUE: choiri_text_add(text, "[value]"); break;
        default: break;
        }
    }
    if (text->len > 0) choiri_text_add(text, ": ");
}

/* Starts the text of the first failure; the caller may add to it. */
static bool fail(builder *b, const frame *f, int status, const char *why) {
    if (b->status != CHOIR_OK) return false;
    b->status = status;
    choiri_text_init(b->text);
    say_path(b->text, f);
    choiri_text_add(b->text, why);
    return false;
}

static bool no_memory(builder *b) {
    return fail(b, NULL, CHOIR_ERR_NO_MEMORY, "out of memory");
}

static bool charge(builder *b, size_t bytes) {
    size_t steps = 1 + bytes / STEP_BYTES;
    if (steps > CHOIRI_SCHEMA_MAX_STEPS - b->steps)
        return fail(b, NULL, CHOIR_ERR_TOO_LARGE, "the peer's type is too large to be read");
    b->steps += (uint32_t)steps;
    return true;
}

/* --- memory --- */

static bool reserve(builder *b, array *a, uint32_t more) {
    if (more <= a->cap - a->len) return true;
    uint32_t cap = a->cap < 16 ? 16 : a->cap;
    while (cap - a->len < more) cap *= 2;
    void *data = choiri_realloc(b->env, a->data, (size_t)a->cap * a->size, (size_t)cap * a->size);
    if (!data) return no_memory(b);
    a->data = data;
    a->cap = cap;
    return true;
}

static bool append(builder *b, array *a, const void *records, uint32_t count) {
    if (!reserve(b, a, count)) return false;
    if (count > 0) memcpy((char *)a->data + (size_t)a->len * a->size, records, (size_t)count * a->size);
    a->len += count;
    return true;
}

static void *take(builder *b, size_t count, size_t size) {
    void *p = choiri_arena_alloc(&b->scratch, count * size, _Alignof(void *));
    if (!p) no_memory(b);
    return p;
}

static choir_type *type_at(const builder *b, uint32_t index) {
    return (choir_type *)b->types.data + index;
}
static info *info_at(const builder *b, uint32_t index) {
    return (info *)b->infos.data + index;
}

static bool new_type(builder *b, const frame *f, uint32_t kind, uint32_t *ret) {
    const choir_type t = {.kind = kind, .align = 1};
    if (b->types.len == CHOIRI_DYNAMIC_MAX_TYPES)
        return fail(b, f, CHOIR_ERR_TOO_LARGE, "the peer's type has more than 4096 parts of different types");
    *ret = b->types.len;
    return append(b, &b->types, &t, 1) && append(b, &b->infos, &(info){0}, 1);
}

/* Names end with NUL in a unit. */
static bool add_name(builder *b, const frame *f, choir_bytes name, uint32_t *ret) {
    /* Names go to logs and terminals as they are: no control characters, those of Latin-1 (c2 80 to c2 9f)
     * included. */
    bool is_usable = name.len > 0;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = name.data[i];
        bool is_control =
            byte < 0x20 || byte == 0x7f || (byte == 0xc2 && i + 1 < name.len && name.data[i + 1] < 0xa0);
        is_usable = is_usable && !is_control;
    }
    if (!is_usable) return fail(b, f, CHOIR_ERR_MALFORMED, "the peer's type has an unusable name");
    *ret = b->strings.len;
    return append(b, &b->strings, name.data, (uint32_t)name.len) && append(b, &b->strings, "", 1);
}

/* --- layout --- */

/* Space taken so far, as the compiler does it. */
typedef struct layout {
    uint64_t size;
    uint32_t align;
} layout;

/* Room for one more; returns its offset. */
static uint32_t place(layout *l, const choir_type *t) {
    uint64_t offset = (l->size + t->align - 1) & ~(uint64_t)(t->align - 1);
    l->size = offset + t->size;
    if (t->align > l->align) l->align = t->align;
    return (uint32_t)offset;
}

static bool finish(builder *b, const frame *f, uint32_t index, layout l) {
    choir_type *t = type_at(b, index);
    uint64_t size = (l.size + l.align - 1) & ~(uint64_t)(l.align - 1);
    if (size > CHOIRI_DYNAMIC_MAX_SIZE)
        return fail(b, f, CHOIR_ERR_TOO_LARGE, "a value of the peer's type is larger than any message");
    t->size = (uint32_t)size;
    t->align = l.align;
    info_at(b, index)->done = true;
    return true;
}

static bool finish_pointer(builder *b, const frame *f, uint32_t index, size_t size, size_t align) {
    return finish(b, f, index, (layout){size, (uint32_t)align});
}

/* Adds the empty parts of a component to those of what it is in. */
static bool count_empty(builder *b, const frame *f, uint32_t whole, uint64_t parts) {
    info *i = info_at(b, whole);
    if (parts > CHOIRI_DYNAMIC_MAX_EMPTY - i->empty_parts)
        return fail(b, f, CHOIR_ERR_TOO_LARGE,
                    "the peer's type has more than 16 parts that are always empty");
    i->empty_parts += (uint32_t)parts;
    return true;
}

/* --- references --- */

static void sure(bool ok) {
    CHOIRI_ASSERT(ok);
}

static bool enter(builder *b, frame *next) {
    next->depth = next->outer ? next->outer->depth + 1 : 0;
    if (next->depth <= CHOIRI_VALUE_DEPTH) return true;
    return fail(b, NULL, CHOIR_ERR_DEPTH, "the peer's types are nested more than 64 deep");
}

static bool instantiate(builder *b, const frame *f, const choiri_wire_object *ref, const uint32_t *args,
                        uint32_t args_len, uint32_t *ret);

static bool find_param(builder *b, const frame *f, const scope *s, choir_bytes name, uint32_t *ret) {
    choiri_reader r = choiri_reader_of(s->params);
    if (!charge(b, s->params.len)) return false;
    for (uint32_t i = 0; i < s->params_len && i < s->args_len; i++) {
        choir_str param;
        sure(choiri_cbor_read_text(&r, &param));
        if (!choiri_wire_equal(name, (choir_bytes){(const uint8_t *)param.data, param.len})) continue;
        *ret = s->args[i];
        return true;
    }
    fail(b, f, CHOIR_ERR_MALFORMED, "the peer's types use a type parameter that is not bound: ");
    choiri_text_quoted(b->text, name, NAME_MAX_SHOWN);
    return false;
}

/* The type that a reference means; it may be unfinished or opaque. */
static bool resolve(builder *b, const frame *f, const choiri_wire_object *ref, const scope *s,
                    uint32_t *ret) {
    if (!charge(b, ref->members[1].span.len)) return false;
    if (ref->form == CHOIRI_WIRE_VAR) return find_param(b, f, s, ref->members[0].span, ret);
    size_t count = (size_t)ref->members[1].number;
    uint32_t *args = take(b, count, sizeof *args);
    frame inner = {.outer = f};
    if (!args || (count > 0 && !enter(b, &inner))) return false;
    choiri_wire_reader w = choiri_wire_reader_of(ref->members[1].span);
    for (size_t i = 0; i < count; i++) {
        choiri_wire_object arg;
        sure(choiri_wire_read_ref(&w, &arg));
        if (!resolve(b, &inner, &arg, s, &args[i])) return false;
    }
    return instantiate(b, f, ref, args, (uint32_t)count, ret);
}

static bool is_known(builder *b, const frame *f, uint32_t type) {
    if (!info_at(b, type)->opaque) return true;
    return fail(b, f, CHOIR_ERR_UNSUPPORTED,
                "the peer announced no layout for this type (a Duration, for example)");
}

/* The next reference of a list, as the type of a component. */
static bool next_component(builder *b, frame *f, choiri_wire_reader *w, const scope *s, uint32_t *ret) {
    choiri_wire_object ref;
    sure(choiri_wire_read_ref(w, &ref));
    return enter(b, f) && resolve(b, f, &ref, s, ret) && is_known(b, f, *ret);
}

/* A component that lies inside of its whole, so that its size must be known. */
static bool put_inside(builder *b, const frame *f, uint32_t type, uint32_t *ret) {
    if (!info_at(b, type)->done) {
        uint32_t box;
        if (!new_type(b, f, CHOIR_KIND_BOX, &box)) return false;
        type_at(b, box)->elem = type;
        type = box;
        if (!finish_pointer(b, f, box, sizeof(void *), _Alignof(void *))) return false;
    }
    *ret = type;
    return true;
}

static bool next_inside(builder *b, frame *f, choiri_wire_reader *w, const scope *s, uint32_t *ret) {
    uint32_t type;
    return next_component(b, f, w, s, &type) && put_inside(b, f, type, ret);
}

/* vox 0.4.0 announces the body of the first instance for all of them, in which the first parameter stands for
 * everything of the same type: a HashMap<u32, u32> makes all maps of its payload look like HashMap<K, K>. The
 * arguments are always those of the instance, and what they mean for a map and for Result is known (shape.c
 * does the same for plans). */
static bool has_params(const scope *s, const char *first, const char *second) {
    return s->params_len == 2 && s->args_len == 2 && choiri_wire_are(s->params, first, second);
}

static bool is_result(const choiri_wire_object *kind, const scope *s) {
    return choiri_wire_is(kind->members[0].span, "Result") && kind->members[1].number == 2 &&
           has_params(s, "T", "E");
}

static bool argument_inside(builder *b, const frame *f, uint32_t type, uint32_t *ret) {
    return is_known(b, f, type) && put_inside(b, f, type, ret);
}

static bool only_inside(builder *b, const frame *f, uint32_t step, choir_bytes ref, const scope *s,
                        uint32_t *ret) {
    frame next = {.outer = f, .step = step};
    choiri_wire_reader w = choiri_wire_reader_of(ref);
    return next_inside(b, &next, &w, s, ret);
}

/* --- bodies --- */

/* Fields of a struct or of a struct variant. */
static component *read_fields(builder *b, const frame *f, const choiri_wire_member *fields, const scope *s) {
    choiri_wire_reader w = choiri_wire_reader_of(fields->span);
    component *parts = take(b, (size_t)fields->number, sizeof *parts);
    for (uint64_t i = 0; parts && i < fields->number; i++) {
        choiri_wire_object field;
        sure(choiri_wire_read_field(&w, &field));
        frame next = {.outer = f, .step = NAME, .name = field.members[0].span};
        choiri_wire_reader ref = choiri_wire_reader_of(field.members[1].span);
        parts[i].flags = field.members[2].number ? 0 : CHOIR_FIELD_DEFAULT;
        if (!add_name(b, f, field.members[0].span, &parts[i].name) ||
            !next_inside(b, &next, &ref, s, &parts[i].type))
            return NULL;
    }
    return parts;
}

/* Elements of a tuple, or of a variant without names. */
static component *read_elements(builder *b, const frame *f, choir_bytes refs, uint64_t count,
                                const scope *s) {
    choiri_wire_reader w = choiri_wire_reader_of(refs);
    component *parts = take(b, (size_t)count, sizeof *parts);
    for (uint64_t i = 0; parts && i < count; i++) {
        frame next = {.outer = f, .step = INDEX, .index = i};
        parts[i] = (component){0};
        if (!next_inside(b, &next, &w, s, &parts[i].type)) return NULL;
    }
    return parts;
}

/* Makes the components fields of type `index`, behind what `l` has already. */
static bool add_fields(builder *b, const frame *f, uint32_t index, const component *parts, uint64_t count,
                       layout *l, uint32_t *ret_first) {
    bool is_empty = true;
    *ret_first = b->fields.len;
    for (uint64_t i = 0; i < count; i++) {
        const info *part = info_at(b, parts[i].type);
        choir_field field = {parts[i].name, parts[i].type, place(l, type_at(b, parts[i].type)),
                             parts[i].flags};
        if (!part->is_empty) is_empty = false;
        if (l->size > CHOIRI_DYNAMIC_MAX_SIZE) l->size = (uint64_t)CHOIRI_DYNAMIC_MAX_SIZE + 1;
        if (!count_empty(b, f, index, part->empty_parts) || !append(b, &b->fields, &field, 1)) return false;
    }
    info_at(b, index)->is_empty = is_empty;
    return !is_empty || count_empty(b, f, index, 1);
}

static bool make_product(builder *b, const frame *f, const choiri_wire_object *kind, const scope *s,
                         uint32_t index) {
    bool named = kind->form == CHOIRI_WIRE_STRUCT;
    const choiri_wire_member *list = &kind->members[named ? 1 : 0];
    component *parts = named ? read_fields(b, f, list, s) : read_elements(b, f, list->span, list->number, s);
    layout l = {0, 1};
    uint32_t name = 0, first;
    if (!parts || (named && !add_name(b, f, kind->members[0].span, &name)) ||
        !add_fields(b, f, index, parts, list->number, &l, &first))
        return false;
    choir_type *t = type_at(b, index);
    t->name = name;
    t->first = first;
    t->count = (uint32_t)list->number;
    return finish(b, f, index, l);
}

/* `argument`: what a newtype is of, whatever was announced; NULL: as announced. */
static bool make_variant(builder *b, const frame *f, const choiri_wire_object *variant, const scope *s,
                         const uint32_t *argument, uint32_t index, layout *l, choir_variant *ret) {
    choiri_wire_object shape;
    choiri_wire_reader w = choiri_wire_reader_of(variant->members[2].span);
    frame next = {.outer = f, .depth = f->depth, .step = NAME, .name = variant->members[0].span};
    component *parts;
    layout own = {sizeof(uint32_t), _Alignof(uint32_t)};
    if (!add_name(b, f, variant->members[0].span, &ret->name)) return false;
    sure(choiri_wire_read_shape(&w, &shape));
    size_t count = (size_t)shape.members[0].number; /* elements that are all there, in memory */
    switch (shape.form) {
    case CHOIR_VARIANT_UNIT: parts = take(b, count = 0, sizeof *parts); break;
    case CHOIR_VARIANT_NEWTYPE:
        count = 1;
        if (!argument) {
            parts = read_elements(b, &next, shape.members[0].span, count, s);
            break;
        }
        parts = take(b, count, sizeof *parts);
        if (!parts || !argument_inside(b, &next, *argument, &parts[0].type)) return false;
        parts[0].name = parts[0].flags = 0;
        break;
    case CHOIR_VARIANT_TUPLE: parts = read_elements(b, &next, shape.members[0].span, count, s); break;
    default: parts = read_fields(b, &next, &shape.members[0], s); break;
    }
    /* In a unit one unnamed value is a newtype, however it was announced. */
    ret->shape = shape.form == CHOIR_VARIANT_TUPLE && count == 1 ? CHOIR_VARIANT_NEWTYPE : shape.form;
    ret->count = (uint32_t)count;
    if (!parts || !add_fields(b, f, index, parts, count, &own, &ret->first)) return false;
    if (own.size > l->size) l->size = own.size;
    if (own.align > l->align) l->align = own.align;
    return true;
}

static bool make_enum(builder *b, const frame *f, const choiri_wire_object *kind, const scope *s,
                      uint32_t index) {
    const choiri_wire_member *list = &kind->members[1];
    choiri_wire_reader w = choiri_wire_reader_of(list->span);
    choir_variant *variants = take(b, (size_t)list->number, sizeof *variants);
    layout l = {sizeof(uint32_t), _Alignof(uint32_t)};
    uint32_t name;
    bool by_argument = is_result(kind, s);
    if (!variants || !add_name(b, f, kind->members[0].span, &name)) return false;
    for (uint64_t i = 0; i < list->number; i++) {
        choiri_wire_object variant;
        sure(choiri_wire_read_variant(&w, &variant));
        if (variant.members[1].number != i)
            return fail(b, f, CHOIR_ERR_UNSUPPORTED,
                        "the peer's enum has its variants numbered out of order");
        if (!make_variant(b, f, &variant, s, by_argument ? &s->args[i] : NULL, index, &l, &variants[i]))
            return false;
        info_at(b, index)->empty_parts = 0; /* a value is one variant: each was seen to be within the limit */
    }
    choir_type *t = type_at(b, index);
    t->name = name;
    t->first = b->variants.len;
    t->count = (uint32_t)list->number;
    info_at(b, index)->is_empty = false;
    return append(b, &b->variants, variants, (uint32_t)list->number) && finish(b, f, index, l);
}

static bool make_list(builder *b, const frame *f, choir_bytes element, const scope *s, uint32_t index) {
    frame next = {.outer = f, .step = ITEM};
    choiri_wire_reader w = choiri_wire_reader_of(element);
    uint32_t elem;
    if (!next_component(b, &next, &w, s, &elem)) return false;
    type_at(b, index)->elem = elem;
    return finish_pointer(b, f, index, sizeof(choir_list), _Alignof(choir_list));
}

static bool make_map(builder *b, const frame *f, const choiri_wire_object *kind, const scope *s,
                     uint32_t index) {
    component parts[2] = {{0}, {0}};
    layout l = {0, 1};
    uint32_t entry, first;
    bool read = has_params(s, "K", "V")
                    ? argument_inside(b, f, s->args[0], &parts[0].type) &&
                          argument_inside(b, f, s->args[1], &parts[1].type)
                    : only_inside(b, f, KEY, kind->members[0].span, s, &parts[0].type) &&
                          only_inside(b, f, VALUE, kind->members[1].span, s, &parts[1].type);
    if (!read || !new_type(b, f, CHOIR_KIND_TUPLE, &entry) || !add_fields(b, f, entry, parts, 2, &l, &first))
        return false;
    type_at(b, entry)->first = first;
    type_at(b, entry)->count = 2;
    type_at(b, index)->elem = entry;
    return finish(b, f, entry, l) && finish_pointer(b, f, index, sizeof(choir_list), _Alignof(choir_list));
}

static bool make_option(builder *b, const frame *f, choir_bytes element, const scope *s, uint32_t index) {
    layout l = {sizeof(bool), _Alignof(bool)};
    uint32_t elem;
    if (!only_inside(b, f, SAME, element, s, &elem)) return false;
    choir_type *t = type_at(b, index);
    t->elem = elem;
    t->offset = place(&l, type_at(b, elem));
    return count_empty(b, f, index, info_at(b, elem)->empty_parts) && finish(b, f, index, l);
}

static bool make_array(builder *b, const frame *f, const choiri_wire_object *kind, const scope *s,
                       uint32_t index) {
    uint64_t length = kind->members[1].number;
    uint32_t elem;
    if (!only_inside(b, f, ITEM, kind->members[0].span, s, &elem)) return false;
    if (length > CHOIRI_DYNAMIC_MAX_SIZE)
        return fail(b, f, CHOIR_ERR_TOO_LARGE, "an array of the peer's is longer than any message");
    const info *part = info_at(b, elem);
    choir_type *t = type_at(b, index);
    t->elem = elem;
    t->count = (uint32_t)length;
    info_at(b, index)->is_empty = length == 0 || part->is_empty;
    layout l = {length * type_at(b, elem)->size, type_at(b, elem)->align};
    return count_empty(b, f, index, length * part->empty_parts) && finish(b, f, index, l);
}

static bool make_channel(builder *b, const frame *f, const choiri_wire_object *kind, const scope *s,
                         uint32_t index) {
    frame next = {.outer = f, .step = ITEM};
    choiri_wire_reader w = choiri_wire_reader_of(kind->members[1].span);
    uint32_t elem;
    if (!next_component(b, &next, &w, s, &elem)) return false;
    type_at(b, index)->kind = choiri_wire_is(kind->members[0].span, "tx") ? CHOIR_KIND_TX : CHOIR_KIND_RX;
    type_at(b, index)->elem = elem;
    return finish_pointer(b, f, index, sizeof(choir_tx), _Alignof(choir_tx));
}

typedef struct primitive {
    char name[8];
    uint32_t kind, size, align;
} primitive;

#define OF(type) sizeof(type), _Alignof(type)
static const primitive primitives[] = {
    {"bool", CHOIR_KIND_BOOL, OF(bool)},
    {"u8", CHOIR_KIND_U8, OF(uint8_t)},
    {"u16", CHOIR_KIND_U16, OF(uint16_t)},
    {"u32", CHOIR_KIND_U32, OF(uint32_t)},
    {"u64", CHOIR_KIND_U64, OF(uint64_t)},
    {"u128", CHOIR_KIND_U128, OF(choir_u128)},
    {"i8", CHOIR_KIND_I8, OF(int8_t)},
    {"i16", CHOIR_KIND_I16, OF(int16_t)},
    {"i32", CHOIR_KIND_I32, OF(int32_t)},
    {"i64", CHOIR_KIND_I64, OF(int64_t)},
    {"i128", CHOIR_KIND_I128, OF(choir_u128)},
    {"f32", CHOIR_KIND_F32, OF(float)},
    {"f64", CHOIR_KIND_F64, OF(double)},
    {"char", CHOIR_KIND_CHAR, OF(uint32_t)},
    {"string", CHOIR_KIND_STRING, OF(choir_str)},
    {"bytes", CHOIR_KIND_BYTES, OF(choir_bytes)},
    {"unit", CHOIR_KIND_UNIT, 0, 1},
    {"never", CHOIR_KIND_NEVER, 0, 1},
};
#undef OF

/* Also bytes<T>, which is how vox announces all lists of a payload whose first one has elements u8. */
static bool make_primitive(builder *b, const frame *f, choir_bytes name, const scope *s, uint32_t index) {
    choir_type *t = type_at(b, index);
    info *i = info_at(b, index);
    if (choiri_wire_is(name, "bytes") && s->args_len > 0 && type_at(b, s->args[0])->kind != CHOIR_KIND_U8) {
        if (info_at(b, s->args[0])->opaque)
            return fail(b, f, CHOIR_ERR_UNSUPPORTED,
                        "the peer announced no layout for the elements of this list");
        t->kind = CHOIR_KIND_LIST;
        t->elem = s->args[0];
        return finish_pointer(b, f, index, sizeof(choir_list), _Alignof(choir_list));
    }
    for (size_t p = 0; p < sizeof primitives / sizeof *primitives; p++) {
        if (!choiri_wire_is(name, primitives[p].name)) continue;
        t->kind = primitives[p].kind;
        i->is_empty = t->kind == CHOIR_KIND_UNIT;
        i->empty_parts = i->is_empty;
        return finish(b, f, index, (layout){primitives[p].size, primitives[p].align});
    }
    i->opaque = true; /* payload */
    return finish(b, f, index, (layout){0, 1});
}

static bool make_body(builder *b, const frame *f, const choiri_wire_object *kind, const scope *s,
                      uint32_t index) {
    switch (kind->form) {
    case CHOIRI_WIRE_STRUCT:
    case CHOIRI_WIRE_TUPLE: return make_product(b, f, kind, s, index);
    case CHOIRI_WIRE_ENUM: return make_enum(b, f, kind, s, index);
    case CHOIRI_WIRE_LIST: return make_list(b, f, kind->members[0].span, s, index);
    case CHOIRI_WIRE_OPTION: return make_option(b, f, kind->members[0].span, s, index);
    case CHOIRI_WIRE_MAP: return make_map(b, f, kind, s, index);
    case CHOIRI_WIRE_ARRAY: return make_array(b, f, kind, s, index);
    case CHOIRI_WIRE_CHANNEL: return make_channel(b, f, kind, s, index);
    default: return make_primitive(b, f, kind->members[0].span, s, index);
    }
}

/* --- instantiations --- */

static uint64_t hash_of(uint64_t id, const uint32_t *args, uint32_t args_len) {
    uint64_t hash = id;
    for (uint32_t i = 0; i < args_len; i++) hash = (hash ^ args[i]) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    return hash;
}

static bool is_instance(const instance *i, uint64_t id, const uint32_t *args, uint32_t args_len) {
    return i->id == id && i->args_len == args_len &&
           (args_len == 0 || memcmp(i->args, args, args_len * sizeof *args) == 0);
}

static bool add_instance(builder *b, const frame *f, const choiri_wire_object *ref, const uint32_t *args,
                         uint32_t args_len, uint32_t *ret) {
    uint64_t id = ref->members[0].number, hash = hash_of(id, args, args_len);
    instance *i = take(b, 1, sizeof *i + args_len * sizeof *args), *first;
    if (!i || !new_type(b, f, CHOIR_KIND_UNIT, ret)) return false;
    *i = (instance){NULL, id, ref->members[1].span.data, *ret, args_len};
    if (args_len > 0) memcpy(i->args, args, args_len * sizeof *args);
    if (!choiri_map_get(&b->firsts, id) && choiri_map_put(&b->firsts, id, i) != CHOIR_OK) return no_memory(b);
    first = choiri_map_get(&b->instances, hash);
    if (first) {
        i->next = first->next;
        first->next = i;
        return true;
    }
    return choiri_map_put(&b->instances, hash, i) == CHOIR_OK || no_memory(b);
}

/* Which parameters the components of a body are, one bit each; `left` is how many may still come. */
typedef struct once {
    const scope *s;
    uint32_t seen;
    uint64_t left;
} once;

#define PARAMS_MAX 16u /* that are looked at */

static bool is_once(once *o, const choiri_wire_object *ref) {
    choiri_reader params = choiri_reader_of(o->s->params);
    if (ref->form != CHOIRI_WIRE_VAR || o->left == 0) return false;
    o->left--;
    for (uint32_t i = 0; i < o->s->params_len; i++) {
        choir_str param;
        sure(choiri_cbor_read_text(&params, &param));
        if (!choiri_wire_equal(ref->members[0].span, (choir_bytes){(const uint8_t *)param.data, param.len}))
            continue;
        bool again = o->seen & 1u << i;
        o->seen |= 1u << i;
        return !again;
    }
    return false;
}

static bool are_once(once *o, const choiri_wire_member *refs) {
    choiri_wire_reader w = choiri_wire_reader_of(refs->span);
    choiri_wire_object ref;
    for (uint64_t i = 0; i < refs->number; i++) {
        sure(choiri_wire_read_ref(&w, &ref));
        if (!is_once(o, &ref)) return false;
    }
    return true;
}

static bool fields_are_once(once *o, const choiri_wire_member *fields) {
    choiri_wire_reader w = choiri_wire_reader_of(fields->span);
    choiri_wire_object field, ref;
    for (uint64_t i = 0; i < fields->number; i++) {
        sure(choiri_wire_read_field(&w, &field));
        choiri_wire_reader type = choiri_wire_reader_of(field.members[1].span);
        sure(choiri_wire_read_ref(&type, &ref));
        if (!is_once(o, &ref)) return false;
    }
    return true;
}

static bool variants_are_once(once *o, const choiri_wire_member *variants) {
    choiri_wire_reader w = choiri_wire_reader_of(variants->span);
    choiri_wire_object variant, shape, ref;
    for (uint64_t i = 0; i < variants->number; i++) {
        sure(choiri_wire_read_variant(&w, &variant));
        choiri_wire_reader payload = choiri_wire_reader_of(variant.members[2].span);
        sure(choiri_wire_read_shape(&payload, &shape));
        choiri_wire_reader only = choiri_wire_reader_of(shape.members[0].span);
        bool fits = true;
        switch (shape.form) {
        case CHOIR_VARIANT_UNIT: break;
        case CHOIR_VARIANT_NEWTYPE:
            sure(choiri_wire_read_ref(&only, &ref));
            fits = is_once(o, &ref);
            break;
        case CHOIR_VARIANT_TUPLE: fits = are_once(o, &shape.members[0]); break;
        default: fits = fields_are_once(o, &shape.members[0]); break;
        }
        if (!fits) return false;
    }
    return true;
}

/* Does the body hold for every instance, though it may be announced as that of another one? Rust has no
 * parameter that is not used. So when each of them is a component once, and there is no other component, none
 * of them can stand for a type that only happened to be equal in the instance that was announced. */
static bool is_common_body(const choiri_wire_object *kind, const scope *s) {
    once o = {s, 0, s->params_len};
    bool fits = s->params_len <= PARAMS_MAX;
    switch (kind->form) {
    case CHOIRI_WIRE_STRUCT: fits = fits && fields_are_once(&o, &kind->members[1]); break;
    case CHOIRI_WIRE_TUPLE: fits = fits && are_once(&o, &kind->members[0]); break;
    case CHOIRI_WIRE_ENUM:
        if (is_result(kind, s)) return true;
        fits = fits && variants_are_once(&o, &kind->members[1]);
        break;
    case CHOIRI_WIRE_ARRAY: return false; /* its length is no parameter */
    default: return true;
    }
    return fits && o.left == 0;
}

static bool refuse_array(builder *b, const frame *f) {
    return fail(
        b, f, CHOIR_ERR_UNSUPPORTED,
        "the peer's type has several arrays, and vox announces all of them with the length of the first");
}

/* A schema without parameters has one body, and needs no instance to tell it from others. */
static bool check_first(builder *b, const frame *f, uint64_t id, const choiri_wire_object *kind,
                        const scope *s) {
    if (s->params_len == 0 || !choiri_map_get(&b->firsts, id) || is_common_body(kind, s)) return true;
    if (kind->form == CHOIRI_WIRE_ARRAY) return refuse_array(b, f);
    return fail(b, f, CHOIR_ERR_UNSUPPORTED,
                "the peer's type has several instances of a generic type, and vox announces all of them with "
                "the body of the first");
}

/* `ref`: concrete, with these arguments. */
static bool instantiate(builder *b, const frame *f, const choiri_wire_object *ref, const uint32_t *args,
                        uint32_t args_len, uint32_t *ret) {
    static const uint32_t kinds[] = {
        [CHOIRI_WIRE_STRUCT] = CHOIR_KIND_STRUCT,  [CHOIRI_WIRE_ENUM] = CHOIR_KIND_ENUM,
        [CHOIRI_WIRE_TUPLE] = CHOIR_KIND_TUPLE,    [CHOIRI_WIRE_LIST] = CHOIR_KIND_LIST,
        [CHOIRI_WIRE_OPTION] = CHOIR_KIND_OPTION,  [CHOIRI_WIRE_MAP] = CHOIR_KIND_MAP,
        [CHOIRI_WIRE_ARRAY] = CHOIR_KIND_ARRAY,    [CHOIRI_WIRE_CHANNEL] = CHOIR_KIND_TX,
        [CHOIRI_WIRE_PRIMITIVE] = CHOIR_KIND_UNIT,
    };
    uint64_t id = ref->members[0].number;
    for (instance *i = choiri_map_get(&b->instances, hash_of(id, args, args_len)); i; i = i->next) {
        if (!charge(b, args_len * sizeof *args)) return false;
        if (!is_instance(i, id, args, args_len)) continue;
        *ret = i->type;
        /* args_len: only an array of vox's has an argument, and only those share a length. */
        return type_at(b, i->type)->kind != CHOIR_KIND_ARRAY || args_len == 0 ||
               i->place == ref->members[1].span.data || refuse_array(b, f);
    }
    choir_bytes cbor = choiri_recv_tracker_find(b->tracker, id);
    if (!cbor.data) {
        fail(b, f, CHOIR_ERR_MALFORMED, "the peer never announced type ");
        choiri_text_hex(b->text, id);
        return false;
    }
    choiri_wire_object schema, kind;
    choiri_wire_reader w = choiri_wire_reader_of(cbor);
    if (!charge(b, cbor.len)) return false;
    sure(choiri_wire_read_schema(&w, &schema));
    w = choiri_wire_reader_of(schema.members[2].span);
    sure(choiri_wire_read_kind(&w, &kind));
    const scope s = {schema.members[1].span, schema.members[1].number, args, args_len};
    if (!check_first(b, f, id, &kind, &s) || !add_instance(b, f, ref, args, args_len, ret)) return false;
    type_at(b, *ret)->kind = kinds[kind.form];
    return make_body(b, f, &kind, &s, *ret);
}

/* --- the unit --- */

/* Copies an array into the result. */
static const void *settle(builder *b, choiri_arena *out, const array *a, size_t align) {
    size_t size = (size_t)a->len * a->size;
    void *p = choiri_arena_alloc(out, size, align);
    if (!p && choiri_arena_is_full(out, size))
        fail(b, NULL, CHOIR_ERR_TOO_LARGE, "the peer's type is over the memory limit");
    else if (!p)
        no_memory(b);
    else if (size > 0)
        memcpy(p, a->data, size);
    return p;
}

static const choir_unit *make_unit(builder *b, choiri_arena *out) {
    const choir_unit header = {
        CHOIR_UNIT_HEADER,
        .types_len = b->types.len,
        .fields_len = b->fields.len,
        .variants_len = b->variants.len,
        .strings_len = b->strings.len,
    };
    const array whole = {(void *)(uintptr_t)&header, 1, 1, sizeof header};
    choir_unit *u = (choir_unit *)(uintptr_t)settle(b, out, &whole, _Alignof(choir_unit));
    if (!u) return NULL;
    u->types = settle(b, out, &b->types, _Alignof(choir_type));
    u->fields = settle(b, out, &b->fields, _Alignof(choir_field));
    u->variants = settle(b, out, &b->variants, _Alignof(choir_variant));
    u->strings = settle(b, out, &b->strings, 1);
    return b->status == CHOIR_OK ? u : NULL;
}

static void free_builder(builder *b) {
    array *const arrays[] = {&b->types, &b->infos, &b->fields, &b->variants, &b->strings};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        choiri_free(b->env, arrays[i]->data, (size_t)arrays[i]->cap * arrays[i]->size);
    choiri_map_deinit(&b->instances);
    choiri_map_deinit(&b->firsts);
    choiri_arena_reset(&b->scratch);
}

static bool make_root(builder *b, choir_bytes root, uint32_t *ret) {
    choiri_wire_reader w = choiri_wire_reader_of(root);
    choiri_wire_object ref;
    const scope none = {0};
    frame f = {0};
    if (!choiri_wire_read_ref(&w, &ref))
        return fail(b, NULL, CHOIR_ERR_MALFORMED, "the peer's root is no type reference");
    w = choiri_wire_reader_of(root);
    return append(b, &b->strings, "", 1) && next_component(b, &f, &w, &none, ret);
}

int choiri_dynamic_make(choiri_arena *out, const choiri_recv_tracker *t, choir_bytes root,
                        const choir_unit **ret_unit, uint32_t *ret_type, choiri_text *ret_text) {
    builder b = {.tracker = t,
                 .env = out->env,
                 .types.size = sizeof(choir_type),
                 .infos.size = sizeof(info),
                 .fields.size = sizeof(choir_field),
                 .variants.size = sizeof(choir_variant),
                 .strings.size = 1,
                 .text = ret_text};
    const choir_unit *unit = NULL;
    uint32_t type;
    choiri_text_init(ret_text);
    choiri_arena_init(&b.scratch, out->env, NULL, 0, SCRATCH_MAX);
    choiri_map_init(&b.instances, out->env, t->schemas.seed);
    choiri_map_init(&b.firsts, out->env, t->schemas.seed);
    if (make_root(&b, root, &type)) unit = make_unit(&b, out);
    free_builder(&b);
    if (!unit) return b.status;
    *ret_unit = unit;
    *ret_type = type;
    return CHOIR_OK;
}

/* --- responses --- */

static bool has_name(const choir_unit *u, uint32_t offset, choir_str name) {
    choir_str have = choiri_unit_name(u, offset);
    return have.len == name.len && memcmp(have.data, name.data, name.len) == 0;
}

/* The value of variant number `index` of an enum, both with these names. */
static bool find_newtype(const choir_unit *u, uint32_t type, choir_str name, uint32_t index,
                         choir_str variant, uint32_t *ret) {
    const choir_type *t = choiri_unit_type(u, type);
    if (t->kind != CHOIR_KIND_ENUM || t->count <= index || !has_name(u, t->name, name)) return false;
    const choir_variant *v = choiri_unit_variant(u, t->first + index);
    if (v->shape != CHOIR_VARIANT_NEWTYPE || !has_name(u, v->name, variant)) return false;
    *ret = choiri_unit_field(u, v->first)->type;
    return true;
}

bool choiri_dynamic_result(const choir_unit *u, uint32_t root, uint32_t *ret_ok, uint32_t *ret_err) {
    uint32_t error;
    return find_newtype(u, root, CHOIR_STR("Result"), 0, CHOIR_STR("Ok"), ret_ok) &&
           find_newtype(u, root, CHOIR_STR("Result"), 1, CHOIR_STR("Err"), &error) &&
           find_newtype(u, error, CHOIR_STR("VoxError"), 0, CHOIR_STR("User"), ret_err);
}

/* --- for programs --- */

/* Makes the text of a failure one of the arena's. */
static void explain(choir_arena *arena, const choiri_text *text, choir_str *ret) {
    char *copy = ret ? choiri_arena_alloc(&arena->arena, text->len + 1, 1) : NULL;
    if (ret) *ret = copy ? (choir_str){memcpy(copy, text->data, text->len + 1), text->len} : CHOIR_STR("");
}

int choir_unit_from_schemas(choir_bytes schemas, choir_arena *arena, const choir_unit **ret_unit,
                            uint32_t *ret_type, choir_str *ret_error) {
    choiri_recv_tracker tracker;
    choiri_text text;
    choir_bytes root;
    uint64_t seed[2];
    int status = choiri_random(arena->arena.env, seed, sizeof seed);
    if (status != CHOIR_OK) return status;
    choiri_recv_tracker_init(&tracker, arena->arena.env, seed, NULL);
    status = choiri_recv_tracker_add(&tracker, schemas, &root, &text);
    if (status == CHOIR_OK)
        status = choiri_dynamic_make(&arena->arena, &tracker, root, ret_unit, ret_type, &text);
    choiri_recv_tracker_deinit(&tracker);
    if (status != CHOIR_OK) explain(arena, &text, ret_error);
    return status;
}

int choir_value_from_postcard(const choir_unit *unit, uint32_t type, choir_bytes postcard, choir_arena *arena,
                              void *ret_value, choir_str *ret_error) {
    choiri_text text;
    choiri_reader r = choiri_reader_of(postcard);
    int status = choiri_unit_check(unit, &text);
    if (status == CHOIR_OK && type >= unit->types_len) status = CHOIR_ERR_INVALID;
    if (status == CHOIR_OK) status = choiri_value_decode(&r, unit, type, &arena->arena, ret_value, &text);
    if (status == CHOIR_OK && choiri_reader_left(&r) > 0) {
        choiri_text_init(&text);
        choiri_text_add(choiri_text_u64(&text, choiri_reader_left(&r)), " bytes are left behind the value");
        status = CHOIR_ERR_MALFORMED;
    }
    if (status != CHOIR_OK) explain(arena, &text, ret_error);
    return status;
}

int choir_value_to_postcard(const choir_unit *unit, uint32_t type, const void *value, choir_arena *arena,
                            choir_bytes *ret_postcard) {
    choiri_arena *a = &arena->arena;
    choiri_text text;
    choiri_outq q;
    choiri_writer w;
    int status = choiri_unit_check(unit, &text);
    if (status != CHOIR_OK) return status;
    if (type >= unit->types_len) return CHOIR_ERR_INVALID;
    choiri_outq_init(&q, a->env);
    choiri_writer_init(&w, &q, NULL);
    choiri_value_encode(&w, unit, type, value);
    status = choiri_writer_finish(&w);
    size_t len = (size_t)q.bytes;
    uint8_t *out = status == CHOIR_OK ? choiri_arena_alloc(a, len, 1) : NULL;
    if (out) {
        choiri_outq_copy(&q, 0, out, len);
        *ret_postcard = (choir_bytes){out, len};
    } else if (status == CHOIR_OK) {
        status = choiri_arena_is_full(a, len) ? CHOIR_ERR_TOO_LARGE : CHOIR_ERR_NO_MEMORY;
    }
    choiri_outq_deinit(&q);
    return status;
}
