/* SPDX-License-Identifier: MIT */
/* Reader of wire schemas, driven by a table of forms: every object is a map of at most three known members,
 * and the tagged ones say which form it is in their first entry. Unknown members are skipped, a member that
 * comes twice counts the second time, as vox peers have it. Each byte is looked at once per level the caller
 * descends. */
#include "schema/wire_schema.h"

#include "choir/type.h"

enum { /* what a member holds */
       NOTHING,
       TEXT,
       UINT,
       BOOL,
       TEXTS, /* these four: arrays */
       REFS,
       FIELDS,
       VARIANTS,
       SCHEMAS,
       REF, /* these three: one tagged object */
       KIND,
       SHAPE,
       PRIMITIVE, /* texts of which only some are known */
       DIRECTION
};

typedef struct member_form {
    const char *key;
    uint8_t holds;
    bool optional;
} member_form;

typedef struct form {
    const char *tag;
    member_form members[3];
} form;

static const form plain_forms[] = {
    [CHOIRI_WIRE_PAYLOAD] = {NULL, {{"schemas", SCHEMAS, false}, {"root", REF, false}}},
    [CHOIRI_WIRE_SCHEMA] = {NULL, {{"id", UINT, false}, {"type_params", TEXTS, true}, {"kind", KIND, false}}},
    [CHOIRI_WIRE_FIELD] = {NULL,
                           {{"name", TEXT, false}, {"type_ref", REF, false}, {"required", BOOL, false}}},
    [CHOIRI_WIRE_VARIANT] = {NULL,
                             {{"name", TEXT, false}, {"index", UINT, false}, {"payload", SHAPE, false}}},
};

static const form kind_forms[] = {
    [CHOIRI_WIRE_STRUCT] = {"struct", {{"name", TEXT, false}, {"fields", FIELDS, false}}},
    [CHOIRI_WIRE_ENUM] = {"enum", {{"name", TEXT, false}, {"variants", VARIANTS, false}}},
    [CHOIRI_WIRE_TUPLE] = {"tuple", {{"elements", REFS, false}}},
    [CHOIRI_WIRE_LIST] = {"list", {{"element", REF, false}}},
    [CHOIRI_WIRE_OPTION] = {"option", {{"element", REF, false}}},
    [CHOIRI_WIRE_MAP] = {"map", {{"key", REF, false}, {"value", REF, false}}},
    [CHOIRI_WIRE_ARRAY] = {"array", {{"element", REF, false}, {"length", UINT, false}}},
    [CHOIRI_WIRE_CHANNEL] = {"channel", {{"direction", DIRECTION, false}, {"element", REF, false}}},
    [CHOIRI_WIRE_PRIMITIVE] = {"primitive", {{"primitive_type", PRIMITIVE, false}}},
};

static const form ref_forms[] = {
    [CHOIRI_WIRE_CONCRETE] = {"concrete", {{"type_id", UINT, false}, {"args", REFS, true}}},
    [CHOIRI_WIRE_VAR] = {"var", {{"name", TEXT, false}}},
};

static const form shape_forms[] = {
    [CHOIR_VARIANT_UNIT] = {"unit", {{NULL, NOTHING, false}}},
    [CHOIR_VARIANT_NEWTYPE] = {"newtype", {{"type_ref", REF, false}}},
    [CHOIR_VARIANT_TUPLE] = {"tuple", {{"types", REFS, false}}},
    [CHOIR_VARIANT_STRUCT] = {"struct", {{"fields", FIELDS, false}}},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *choiri_wire_kind_name(uint32_t kind) {
    return kind_forms[kind].tag;
}

bool choiri_wire_is(choir_bytes text, const char *literal) {
    return choiri_wire_equal(text, (choir_bytes){(const uint8_t *)literal, strlen(literal)});
}

static bool fail(choiri_wire_reader *w, const char *why) {
    if (w->r.status == CHOIR_OK) w->why = why;
    choiri_reader_fail(&w->r, CHOIR_ERR_MALFORMED);
    return false;
}

static bool read_text(choiri_wire_reader *w, choir_bytes *ret) {
    choir_str s;
    if (!choiri_cbor_read_text(&w->r, &s)) return false;
    *ret = (choir_bytes){(const uint8_t *)s.data, s.len};
    return true;
}

bool choiri_wire_are(choir_bytes texts, const char *first, const char *second) {
    choiri_wire_reader w = choiri_wire_reader_of(texts);
    choir_bytes text;
    return read_text(&w, &text) && choiri_wire_is(text, first) && read_text(&w, &text) &&
           choiri_wire_is(text, second);
}

static bool is_primitive(choir_bytes name) {
    static const char known[][8] = {"bool",   "u8",   "u16",   "u32",   "u64",    "u128", "i8",
                                    "i16",    "i32",  "i64",   "i128",  "f32",    "f64",  "char",
                                    "string", "unit", "never", "bytes", "payload"};
    for (size_t i = 0; i < COUNT(known); i++) {
        if (choiri_wire_is(name, known[i])) return true;
    }
    return false;
}

static bool read_object(choiri_wire_reader *w, uint8_t what, uint32_t depth, choiri_wire_object *ret);
static bool read_form(choiri_wire_reader *w, const form *f, size_t pairs, uint32_t depth,
                      choiri_wire_object *ret);

static bool read_plain(choiri_wire_reader *w, uint32_t form_index, uint32_t depth, choiri_wire_object *ret) {
    size_t pairs;
    *ret = (choiri_wire_object){.form = form_index};
    return choiri_cbor_read_map(&w->r, &pairs) && read_form(w, &plain_forms[form_index], pairs, depth, ret);
}

/* The items of an array, all checked. */
static bool read_items(choiri_wire_reader *w, uint8_t holds, uint32_t depth, choiri_wire_member *ret) {
    size_t count;
    choir_bytes text;
    choiri_wire_object object;
    if (!choiri_cbor_read_array(&w->r, &count)) return false;
    const uint8_t *start = w->r.pos;
    for (size_t i = 0; i < count; i++) {
        bool ok = false;
        switch (holds) {
        case TEXTS: ok = read_text(w, &text); break;
        case REFS: ok = read_object(w, REF, depth + 1, &object); break;
        case FIELDS: ok = read_plain(w, CHOIRI_WIRE_FIELD, depth, &object); break;
        case VARIANTS: ok = read_plain(w, CHOIRI_WIRE_VARIANT, depth, &object); break;
        case SCHEMAS: ok = read_plain(w, CHOIRI_WIRE_SCHEMA, depth, &object); break;
        default: break;
        }
        if (!ok) return false;
    }
    *ret = (choiri_wire_member){{start, (size_t)(w->r.pos - start)}, count};
    return true;
}

static bool read_member(choiri_wire_reader *w, uint8_t holds, uint32_t depth, choiri_wire_member *ret) {
    const uint8_t *start = w->r.pos;
    choiri_wire_object object;
    bool flag;
    switch (holds) {
    case TEXT: return read_text(w, &ret->span);
    case PRIMITIVE:
        return read_text(w, &ret->span) && (is_primitive(ret->span) || fail(w, "an unknown primitive type"));
    case DIRECTION:
        return read_text(w, &ret->span) &&
               (choiri_wire_is(ret->span, "tx") || choiri_wire_is(ret->span, "rx") ||
                fail(w, "an unknown channel direction"));
    case UINT: return choiri_cbor_read_uint(&w->r, &ret->number);
    case BOOL:
        if (!choiri_cbor_read_bool(&w->r, &flag)) return false;
        ret->number = flag;
        return true;
    case REF:
    case KIND:
    case SHAPE:
        if (!read_object(w, holds, depth, &object)) return false;
        ret->span = (choir_bytes){start, (size_t)(w->r.pos - start)};
        return true;
    default: return read_items(w, holds, depth, ret);
    }
}

/* The members of an object of this form: `pairs` map entries. */
static bool read_form(choiri_wire_reader *w, const form *f, size_t pairs, uint32_t depth,
                      choiri_wire_object *ret) {
    bool found[3] = {false, false, false};
    for (; pairs > 0; pairs--) {
        choir_bytes key;
        if (!read_text(w, &key)) return false;
        size_t i = 0;
        while (i < 3 && (f->members[i].holds == NOTHING || !choiri_wire_is(key, f->members[i].key))) i++;
        if (i == 3) {
            if (!choiri_cbor_skip(&w->r, NULL)) return false;
            continue;
        }
        if (!read_member(w, f->members[i].holds, depth, &ret->members[i])) return false;
        found[i] = true;
    }
    for (size_t i = 0; i < 3; i++) {
        const member_form *m = &f->members[i];
        if (m->holds != NOTHING && !found[i] && !m->optional) return fail(w, "a member is missing");
    }
    return true;
}

/* A tagged object. A bare text stands for one that has nothing but its tag. */
static bool read_object(choiri_wire_reader *w, uint8_t what, uint32_t depth, choiri_wire_object *ret) {
    const form *forms = what == REF ? ref_forms : what == KIND ? kind_forms : shape_forms;
    size_t count = what == REF ? COUNT(ref_forms) : what == KIND ? COUNT(kind_forms) : COUNT(shape_forms);
    choir_bytes key, tag;
    size_t pairs = 1;
    if (depth > CHOIRI_SCHEMA_DEPTH) return choiri_reader_fail(&w->r, CHOIR_ERR_DEPTH);
    if (choiri_cbor_peek(&w->r) != CHOIRI_CBOR_TEXT) {
        if (!choiri_cbor_read_map(&w->r, &pairs)) return false;
        if (pairs == 0) return fail(w, "`tag` is missing");
        if (!read_text(w, &key)) return false;
        if (!choiri_wire_is(key, "tag")) return fail(w, "`tag` is not the first entry");
    }
    if (!read_text(w, &tag)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!choiri_wire_is(tag, forms[i].tag)) continue;
        *ret = (choiri_wire_object){.form = i};
        return read_form(w, &forms[i], pairs - 1, depth, ret);
    }
    return fail(w, "an unknown tag");
}

bool choiri_wire_read_payload(choiri_wire_reader *w, choiri_wire_object *ret) {
    return read_plain(w, CHOIRI_WIRE_PAYLOAD, 1, ret);
}
bool choiri_wire_read_schema(choiri_wire_reader *w, choiri_wire_object *ret) {
    return read_plain(w, CHOIRI_WIRE_SCHEMA, 1, ret);
}
bool choiri_wire_read_kind(choiri_wire_reader *w, choiri_wire_object *ret) {
    return read_object(w, KIND, 1, ret);
}
bool choiri_wire_read_ref(choiri_wire_reader *w, choiri_wire_object *ret) {
    return read_object(w, REF, 1, ret);
}
bool choiri_wire_read_field(choiri_wire_reader *w, choiri_wire_object *ret) {
    return read_plain(w, CHOIRI_WIRE_FIELD, 1, ret);
}
bool choiri_wire_read_variant(choiri_wire_reader *w, choiri_wire_object *ret) {
    return read_plain(w, CHOIRI_WIRE_VARIANT, 1, ret);
}
bool choiri_wire_read_shape(choiri_wire_reader *w, choiri_wire_object *ret) {
    return read_object(w, SHAPE, 1, ret);
}
