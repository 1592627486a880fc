/* SPDX-License-Identifier: MIT */
/* Where things are in C, as the compiler lays out the structs that choir-gen writes: members in order, each
 * at the next multiple of its alignment, the whole a multiple of the largest. What has no values to tell
 * apart (unit, never, and what is made of them only) has size 0 and no member.
 *
 * The generated code has its offsets from the compiler; these are for tools that work without one. */
#include "idl/internal.h"

#define SIZE_LIMIT ((uint64_t)1 << 30)

typedef struct span {
    uint64_t size;
    uint32_t align;
} span;

static uint64_t round_up(uint64_t at, uint32_t align) {
    return (at + align - 1) & ~(uint64_t)(align - 1);
}

/* Appends a member; returns its offset. */
static uint64_t append(span *s, uint64_t size, uint32_t align) {
    if (size == 0) return 0;
    uint64_t at = round_up(s->size, align);
    s->size = at + size;
    if (align > s->align) s->align = align;
    return at;
}

static bool lay(idl *f, uint32_t index, uint32_t depth);

static bool lay_scalar(choir_type *t, size_t size, size_t align) {
    t->size = (uint32_t)size;
    t->align = (uint32_t)align;
    return true;
}
#define SCALAR(t, c) lay_scalar(t, sizeof(c), _Alignof(c))

/* Also checks the size. */
static bool set_span(idl *f, uint32_t index, span s) {
    s.size = round_up(s.size, s.align);
    if (s.size >= SIZE_LIMIT)
        return idl_fail(f, idl_info_at(f, index)->at, 1, "values below 1 GiB; Vec<T> for many elements",
                        "a value of this type is too large");
    idl_type_at(f, index)->size = (uint32_t)s.size;
    idl_type_at(f, index)->align = s.align;
    return true;
}

/* Fields in a row, from 0 on; their offsets are relative to `base`, which is known later for unions. */
static bool lay_fields(idl *f, uint32_t first, uint32_t count, uint32_t depth, span *ret) {
    *ret = (span){0, 1};
    for (uint32_t i = first; i < first + count; i++) {
        choir_field *field = idl_field_at(f, i);
        if (!lay(f, field->type, depth + 1)) return false;
        const choir_type *t = idl_type_at(f, field->type);
        uint64_t at = append(ret, t->size, t->align);
        if (ret->size >= SIZE_LIMIT) return set_span(f, field->type, *ret);
        field->offset = (uint32_t)at;
    }
    ret->size = round_up(ret->size, ret->align);
    return true;
}

/* A tag and the union of what the variants have. */
static bool lay_enum(idl *f, uint32_t index, uint32_t depth) {
    const choir_type *t = idl_type_at(f, index);
    span all = {0, 1}, whole = {sizeof(uint32_t), _Alignof(uint32_t)};
    for (uint32_t i = t->first; i < t->first + t->count; i++) {
        span one;
        if (!lay_fields(f, idl_variant_at(f, i)->first, idl_variant_at(f, i)->count, depth, &one))
            return false;
        if (one.size > all.size) all.size = one.size;
        if (one.align > all.align) all.align = one.align;
    }
    all.size = round_up(all.size, all.align);
    uint32_t base = (uint32_t)append(&whole, all.size, all.align);
    for (uint32_t i = t->first; i < t->first + t->count; i++) {
        const choir_variant *v = idl_variant_at(f, i);
        for (uint32_t k = v->first; k < v->first + v->count; k++)
            if (idl_type_at(f, idl_field_at(f, k)->type)->size > 0) idl_field_at(f, k)->offset += base;
    }
    return set_span(f, index, whole);
}

/* Option and Result: `head` bytes in front of one value, or of one of two. */
static bool lay_choice(idl *f, uint32_t index, uint32_t head, uint32_t depth) {
    choir_type *t = idl_type_at(f, index);
    uint32_t other = t->kind == CHOIR_KIND_RESULT ? t->elem2 : t->elem;
    if (!lay(f, t->elem, depth + 1) || !lay(f, other, depth + 1)) return false;
    const choir_type *a = idl_type_at(f, t->elem), *b = idl_type_at(f, other);
    uint32_t align = a->align > b->align ? a->align : b->align;
    span whole = {head, head};
    t->offset = (uint32_t)append(&whole, round_up(a->size > b->size ? a->size : b->size, align), align);
    return set_span(f, index, whole);
}

static bool lay_array(idl *f, uint32_t index, uint32_t depth) {
    const choir_type *t = idl_type_at(f, index);
    if (!lay(f, t->elem, depth + 1)) return false;
    const choir_type *elem = idl_type_at(f, t->elem);
    return set_span(f, index, (span){(uint64_t)elem->size * t->count, elem->align});
}

static bool lay_kind(idl *f, uint32_t index, uint32_t depth) {
    choir_type *t = idl_type_at(f, index);
    span fields;
    switch (t->kind) {
    case CHOIR_KIND_BOOL: return SCALAR(t, bool);
    case CHOIR_KIND_U8:
    case CHOIR_KIND_I8: return SCALAR(t, uint8_t);
    case CHOIR_KIND_U16:
    case CHOIR_KIND_I16: return SCALAR(t, uint16_t);
    case CHOIR_KIND_U32:
    case CHOIR_KIND_I32:
    case CHOIR_KIND_CHAR: return SCALAR(t, uint32_t);
    case CHOIR_KIND_U64:
    case CHOIR_KIND_I64: return SCALAR(t, uint64_t);
    case CHOIR_KIND_U128:
    case CHOIR_KIND_I128: return SCALAR(t, choir_u128);
    case CHOIR_KIND_F32: return SCALAR(t, float);
    case CHOIR_KIND_F64: return SCALAR(t, double);
    case CHOIR_KIND_STRING: return SCALAR(t, choir_str);
    case CHOIR_KIND_BYTES: return SCALAR(t, choir_bytes);
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP: return SCALAR(t, choir_list);
    case CHOIR_KIND_BOX: return SCALAR(t, void *);
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX: return SCALAR(t, choir_tx);
    case CHOIR_KIND_DURATION: return SCALAR(t, choir_timespan);
    case CHOIR_KIND_OPTION: return lay_choice(f, index, sizeof(bool), depth);
    case CHOIR_KIND_RESULT: return lay_choice(f, index, sizeof(uint32_t), depth);
    case CHOIR_KIND_ARRAY: return lay_array(f, index, depth);
    case CHOIR_KIND_ENUM: return lay_enum(f, index, depth);
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT:
        return lay_fields(f, t->first, t->count, depth, &fields) && set_span(f, index, fields);
    default: return lay_scalar(t, 0, 1); /* unit, never */
    }
}

static bool lay(idl *f, uint32_t index, uint32_t depth) {
    idl_info *info = idl_info_at(f, index);
    if (info->state == 2) return true;
    const idl_decl *d = info->decl;
    uint32_t at = d && d != f->prelude ? d->name.at : info->at;
    uint32_t len = d && d != f->prelude ? (uint32_t)d->name.text.len : 1;
    if (info->state == 1)
        return idl_fail(f, at, len, "Box<T>, Vec<T> and maps around what is recursive",
                        "a type that contains itself would have no end");
    if (depth == IDL_DEPTH_MAX)
        return idl_fail(f, at, len, "64 levels", "values of this type are nested too deep");
    info->state = 1;
    if (!lay_kind(f, index, depth)) return false;
    idl_info_at(f, index)->state = 2;
    return true;
}

bool idl_layout(idl *f) {
    for (uint32_t i = 0; i < f->types.len; i++)
        if (!lay(f, i, 0)) return false;
    return true;
}
