/* SPDX-License-Identifier: MIT */
/* Paths into values, for error texts. */
#include "value/path.h"

#include "base/assert.h"
#include "value/unit.h"

/* Steps written at each end of a path. A text has room for about this many names. */
#define ENDS 6u

void choiri_path_add(choiri_path *p, const choir_type *type, uint32_t variant, size_t index) {
    CHOIRI_ASSERT(p->len <= CHOIRI_VALUE_DEPTH);
    p->steps[p->len++] = (choiri_path_step){type, index, variant};
}

static void add_name(choiri_text *text, choir_str name) {
    if (text->len > 0) choiri_text_add(text, ".");
    choiri_text_str(text, name);
}

static void add_number(choiri_text *text, size_t number) {
    if (text->len == 0) choiri_text_add(text, "args");
    choiri_text_u64(choiri_text_add(text, "."), number);
}

static void add_variant(const choir_unit *u, const choiri_path_step *s, choiri_text *text) {
    const choir_variant *v = choiri_unit_variant(u, s->type->first + s->variant);
    add_name(text, choiri_unit_name(u, v->name));
    if (v->shape == CHOIR_VARIANT_TUPLE) add_number(text, s->index);
    if (v->shape == CHOIR_VARIANT_STRUCT)
        add_name(text, choiri_unit_name(u, choiri_unit_field(u, v->first + (uint32_t)s->index)->name));
}

static void add_step(const choir_unit *u, const choiri_path_step *s, choiri_text *text) {
    switch (s->type->kind) {
    case CHOIR_KIND_TUPLE: add_number(text, s->index); break;
    case CHOIR_KIND_STRUCT:
        add_name(text, choiri_unit_name(u, choiri_unit_field(u, s->type->first + (uint32_t)s->index)->name));
        break;
    case CHOIR_KIND_ENUM: add_variant(u, s, text); break;
    case CHOIR_KIND_RESULT: add_name(text, s->index == 0 ? CHOIR_STR("Ok") : CHOIR_STR("Err")); break;
    default: choiri_text_add(choiri_text_u64(choiri_text_add(text, "["), s->index), "]"); break;
    }
}

void choiri_path_write(const choiri_path *p, const choir_unit *u, choiri_text *text) {
    for (uint32_t i = p->len; i-- > 0;) {
        if (p->len > 2 * ENDS && i == p->len - 1 - ENDS) {
            choiri_text_add(text, "...");
            i = ENDS - 1;
        }
        add_step(u, &p->steps[i], text);
    }
}

void choiri_type_write(const choir_unit *u, const choir_type *t, choiri_text *text) {
    static const char names[][9] = {
        "?",    "bool",  "u8",  "u16",   "u32",    "u64",   "u128",   "i8",    "i16",    "i32",     "i64",
        "i128", "f32",   "f64", "char",  "string", "bytes", "unit",   "never", "option", "list",    "set",
        "map",  "array", "box", "tuple", "struct", "enum",  "result", "tx",    "rx",     "duration"};
    if (t->kind == CHOIR_KIND_STRUCT || t->kind == CHOIR_KIND_ENUM)
        choiri_text_str(text, choiri_unit_name(u, t->name));
    else
        choiri_text_add(text, names[t->kind < sizeof names / sizeof names[0] ? t->kind : 0]);
}
