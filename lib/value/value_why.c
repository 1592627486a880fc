/* SPDX-License-Identifier: MIT */
/* Why a value could not be encoded: a second walk, after the encoder has failed, so that encoding pays
 * nothing for it. It looks for what every codec refuses, in the order in which they come to it. */
#include "value/path.h"
#include "value/unit.h"
#include "value/value.h"
#include "wire/utf8.h"

typedef struct search {
    const choir_unit *u;
    const choir_type *type; /* what was wrong */
    const char *what;
    uint64_t number;
    bool has_number;
    choiri_path path;
} search;

static bool found(search *s, uint32_t type, const void *p, uint32_t depth);

static const void *at(const void *p, size_t offset) {
    return offset == 0 ? p : (const uint8_t *)p + offset;
}

static bool wrong(search *s, const choir_type *t, const char *what) {
    s->type = t;
    s->what = what;
    return true;
}

static bool wrong_number(search *s, const choir_type *t, const char *what, uint64_t number) {
    s->number = number;
    s->has_number = true;
    return wrong(s, t, what);
}

static bool in_fields(search *s, const choir_type *t, uint32_t variant, uint32_t first, uint32_t count,
                      const void *p, uint32_t depth) {
    for (uint32_t i = 0; i < count; i++) {
        const choir_field *f = choiri_unit_field(s->u, first + i);
        if (!found(s, f->type, at(p, f->offset), depth)) continue;
        choiri_path_add(&s->path, t, variant, i);
        return true;
    }
    return false;
}

static bool in_items(search *s, const choir_type *t, const void *p, size_t count, uint32_t depth) {
    size_t size = choiri_unit_type(s->u, t->elem)->size;
    if (choiri_value_is_nothing(s->u, t->elem, size)) return false;
    for (size_t i = 0; i < count; i++) {
        if (!found(s, t->elem, at(p, i * size), depth)) continue;
        choiri_path_add(&s->path, t, 0, i);
        return true;
    }
    return false;
}

static bool in_enum(search *s, const choir_type *t, const void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag >= t->count) return wrong_number(s, t, "has no variant ", tag);
    const choir_variant *v = choiri_unit_variant(s->u, t->first + tag);
    return in_fields(s, t, tag, v->first, v->count, p, depth);
}

static bool in_result(search *s, const choir_type *t, const void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag > 1) return wrong_number(s, t, "is neither Ok (0) nor Err (1) but ", tag);
    if (!found(s, tag == 0 ? t->elem : t->elem2, at(p, t->offset), depth)) return false;
    choiri_path_add(&s->path, t, 0, tag);
    return true;
}

static bool in_scalar(search *s, const choir_type *t, const void *p) {
    uint32_t scalar;
    const choir_str *text = p;
    switch (t->kind) {
    case CHOIR_KIND_BOOL:
        return *(const uint8_t *)p > 1 && wrong_number(s, t, "is neither 0 nor 1 but ", *(const uint8_t *)p);
    case CHOIR_KIND_CHAR:
        scalar = *(const uint32_t *)p;
        return (scalar > 0x10ffff || (scalar >= 0xd800 && scalar <= 0xdfff)) &&
               wrong_number(s, t, "is not a character: ", scalar);
    case CHOIR_KIND_STRING:
        return text->len > 0 && !choiri_utf8_is_valid((const uint8_t *)text->data, text->len) &&
               wrong(s, t, "is not UTF-8");
    case CHOIR_KIND_DURATION:
        return ((const choir_timespan *)p)->nanoseconds >= CHOIRI_NANOS &&
               wrong_number(
                   s, t, "has a second or more of nanoseconds: ", ((const choir_timespan *)p)->nanoseconds);
    case CHOIR_KIND_NEVER: return wrong(s, t, "has no values");
    default: return false;
    }
}

static bool found(search *s, uint32_t type, const void *p, uint32_t depth) {
    for (;; depth++) {
        const choir_type *t = choiri_unit_type(s->u, type);
        if (choiri_kind_nests(t->kind) && depth == CHOIRI_VALUE_DEPTH)
            return wrong_number(s, t, "is nested deeper than ", CHOIRI_VALUE_DEPTH);
        switch (t->kind) {
        case CHOIR_KIND_OPTION:
            if (*(const uint8_t *)p > 1)
                return wrong_number(s, t, "is neither 0 nor 1 but ", *(const uint8_t *)p);
            if (*(const uint8_t *)p == 0) return false;
            type = t->elem;
            p = at(p, t->offset);
            continue;
        case CHOIR_KIND_BOX:
            p = choiri_value_boxed(p);
            if (!p) return wrong(s, t, "is NULL");
            type = t->elem;
            continue;
        case CHOIR_KIND_RESULT: return in_result(s, t, p, depth + 1);
        case CHOIR_KIND_LIST:
        case CHOIR_KIND_SET:
        case CHOIR_KIND_MAP:
            return in_items(s, t, ((const choir_list *)p)->items, ((const choir_list *)p)->len, depth + 1);
        case CHOIR_KIND_ARRAY: return in_items(s, t, p, t->count, depth + 1);
        case CHOIR_KIND_TUPLE:
        case CHOIR_KIND_STRUCT:
            return !choiri_value_is_nothing(s->u, type, t->size) &&
                   in_fields(s, t, 0, t->first, t->count, p, depth + 1);
        case CHOIR_KIND_ENUM: return in_enum(s, t, p, depth + 1);
        default: return in_scalar(s, t, p);
        }
    }
}

bool choiri_value_why(const choir_unit *u, uint32_t type, const void *value, choiri_text *text) {
    search s = {.u = u};
    const choir_type *t = choiri_unit_type(u, type);
    if (!value && t->size > 0)
        wrong(&s, t, "is missing (NULL)");
    else if (!found(&s, type, value, 0))
        return false;
    choiri_text path;
    choiri_text_init(&path);
    choiri_path_write(&s.path, u, &path);
    if (path.len > 0) choiri_text_add(choiri_text_str(text, choiri_text_get(&path)), ": ");
    choiri_type_write(u, s.type, text);
    choiri_text_add(choiri_text_add(text, " "), s.what);
    if (s.has_number) choiri_text_u64(text, s.number);
    return true;
}
