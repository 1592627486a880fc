/* SPDX-License-Identifier: MIT */
/* Views: walking through a value by its descriptor, for programs that have no C type for it. Values come from
 * a decoder or from the program; a tag out of range is treated as a value that is not there. */
#include "choir/dynamic.h"
#include "value/unit.h"
#include "value/value.h"

static const choir_view nothing = {NULL, 0, NULL};

static const void *at(const void *p, size_t offset) {
    return offset == 0 ? p : (const uint8_t *)p + offset;
}

static const choir_type *type_of(choir_view v) {
    return choiri_unit_type(v.unit, v.type);
}

/* Goes through boxes; a chain of them that has no end is nothing. */
choir_view choir_view_of(const choir_unit *unit, uint32_t type, const void *value) {
    if (!unit || type >= unit->types_len) return nothing;
    choir_view v = {unit, type, value};
    for (uint32_t depth = 0; type_of(v)->kind == CHOIR_KIND_BOX; depth++) {
        if (!v.value || depth == CHOIRI_VALUE_DEPTH) return nothing;
        v.type = type_of(v)->elem;
        v.value = choiri_value_boxed(v.value);
    }
    return v.value || type_of(v)->size == 0 ? v : nothing;
}

uint32_t choir_view_kind(choir_view v) {
    return v.unit ? type_of(v)->kind : 0;
}

choir_str choir_view_name(choir_view v) {
    return choiri_unit_name(v.unit ? v.unit : &(choir_unit){0}, v.unit ? type_of(v)->name : 0);
}

/* The tag of an enum or result, UINT32_MAX when it is none. */
static uint32_t tag_of(choir_view v) {
    const choir_type *t = type_of(v);
    uint32_t tag = *(const uint32_t *)v.value;
    return tag < (t->kind == CHOIR_KIND_RESULT ? 2 : t->count) ? tag : UINT32_MAX;
}

static const choir_variant *variant_of(choir_view v) {
    if (choir_view_kind(v) != CHOIR_KIND_ENUM) return NULL;
    uint32_t tag = tag_of(v);
    return tag == UINT32_MAX ? NULL : choiri_unit_variant(v.unit, type_of(v)->first + tag);
}

choir_str choir_view_variant(choir_view v) {
    const choir_variant *variant = variant_of(v);
    if (variant) return choiri_unit_name(v.unit, variant->name);
    if (choir_view_kind(v) != CHOIR_KIND_RESULT || tag_of(v) == UINT32_MAX) return CHOIR_STR("");
    return tag_of(v) == 0 ? CHOIR_STR("Ok") : CHOIR_STR("Err");
}

size_t choir_view_len(choir_view v) {
    const choir_variant *variant = variant_of(v);
    switch (choir_view_kind(v)) {
    case CHOIR_KIND_OPTION: return *(const uint8_t *)v.value == 1;
    case CHOIR_KIND_BYTES: return ((const choir_bytes *)v.value)->len;
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP: return ((const choir_list *)v.value)->len;
    case CHOIR_KIND_ARRAY:
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT: return type_of(v)->count;
    case CHOIR_KIND_ENUM: return variant ? variant->count : 0;
    case CHOIR_KIND_RESULT: return tag_of(v) <= 1;
    default: return 0;
    }
}

/* Field number i of a struct, tuple or variant; NULL when there is none. */
static const choir_field *field_of(choir_view v, size_t i) {
    const choir_variant *variant = variant_of(v);
    uint32_t kind = choir_view_kind(v);
    bool has_fields = variant || kind == CHOIR_KIND_TUPLE || kind == CHOIR_KIND_STRUCT;
    if (!has_fields || i >= choir_view_len(v)) return NULL;
    return choiri_unit_field(v.unit, (variant ? variant->first : type_of(v)->first) + (uint32_t)i);
}

static choir_view item_of(choir_view v, const void *items, size_t i) {
    uint32_t elem = type_of(v)->elem;
    return choir_view_of(v.unit, elem, at(items, i * choiri_unit_type(v.unit, elem)->size));
}

choir_view choir_view_at(choir_view v, size_t i) {
    const choir_field *f = field_of(v, i);
    if (f) return choir_view_of(v.unit, f->type, at(v.value, f->offset));
    if (i >= choir_view_len(v)) return nothing;
    const choir_type *t = type_of(v);
    switch (t->kind) {
    case CHOIR_KIND_OPTION: return choir_view_of(v.unit, t->elem, at(v.value, t->offset));
    case CHOIR_KIND_RESULT:
        return choir_view_of(v.unit, tag_of(v) == 0 ? t->elem : t->elem2, at(v.value, t->offset));
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP: return item_of(v, ((const choir_list *)v.value)->items, i);
    case CHOIR_KIND_ARRAY: return item_of(v, v.value, i);
    default: return nothing;
    }
}

choir_str choir_view_field_name(choir_view v, size_t i) {
    const choir_field *f = field_of(v, i);
    return f ? choiri_unit_name(v.unit, f->name) : CHOIR_STR("");
}

choir_view choir_view_field(choir_view v, choir_str name) {
    for (size_t i = 0; name.len > 0 && field_of(v, i); i++) {
        choir_str have = choir_view_field_name(v, i);
        if (have.len == name.len && memcmp(have.data, name.data, name.len) == 0) return choir_view_at(v, i);
    }
    return nothing;
}

/* ---- scalars ---- */

/* What an option holds. */
static choir_view held(choir_view v) {
    for (uint32_t depth = 0; choir_view_kind(v) == CHOIR_KIND_OPTION; depth++)
        v = depth < CHOIRI_VALUE_DEPTH ? choir_view_at(v, 0) : nothing;
    return v;
}

bool choir_view_bool(choir_view v, bool *ret) {
    v = held(v);
    if (choir_view_kind(v) != CHOIR_KIND_BOOL || *(const uint8_t *)v.value > 1) return false;
    *ret = *(const uint8_t *)v.value == 1;
    return true;
}

/* Any integer, with its sign extended to 128 bits. */
static bool read_integer(choir_view v, bool *ret_is_signed, choir_u128 *ret) {
    int64_t i = 0;
    uint64_t u = 0;
    v = held(v);
    uint32_t kind = choir_view_kind(v);
    *ret_is_signed = kind >= CHOIR_KIND_I8 && kind <= CHOIR_KIND_I128;
    switch (kind) {
    case CHOIR_KIND_U8: u = *(const uint8_t *)v.value; break;
    case CHOIR_KIND_U16: u = *(const uint16_t *)v.value; break;
    case CHOIR_KIND_U32: u = *(const uint32_t *)v.value; break;
    case CHOIR_KIND_U64: u = *(const uint64_t *)v.value; break;
    case CHOIR_KIND_I8: i = *(const int8_t *)v.value; break;
    case CHOIR_KIND_I16: i = *(const int16_t *)v.value; break;
    case CHOIR_KIND_I32: i = *(const int32_t *)v.value; break;
    case CHOIR_KIND_I64: i = *(const int64_t *)v.value; break;
    case CHOIR_KIND_U128:
    case CHOIR_KIND_I128: *ret = *(const choir_u128 *)v.value; return true;
    default: return false;
    }
    *ret = *ret_is_signed ? (choir_u128){(uint64_t)i, i < 0 ? UINT64_MAX : 0} : (choir_u128){u, 0};
    return true;
}

bool choir_view_u64(choir_view v, uint64_t *ret) {
    bool is_signed;
    choir_u128 n;
    if (!read_integer(v, &is_signed, &n) || n.hi != 0) return false;
    *ret = n.lo;
    return true;
}

bool choir_view_i64(choir_view v, int64_t *ret) {
    bool is_signed;
    choir_u128 n;
    if (!read_integer(v, &is_signed, &n)) return false;
    bool is_negative = is_signed && n.hi == UINT64_MAX && n.lo > INT64_MAX;
    if (!is_negative && (n.hi != 0 || n.lo > INT64_MAX)) return false;
    *ret = (int64_t)n.lo;
    return true;
}

bool choir_view_f64(choir_view v, double *ret) {
    v = held(v);
    switch (choir_view_kind(v)) {
    case CHOIR_KIND_F32: *ret = (double)*(const float *)v.value; return true;
    case CHOIR_KIND_F64: *ret = *(const double *)v.value; return true;
    default: return false;
    }
}

bool choir_view_char(choir_view v, uint32_t *ret) {
    v = held(v);
    if (choir_view_kind(v) != CHOIR_KIND_CHAR) return false;
    *ret = *(const uint32_t *)v.value;
    return true;
}

bool choir_view_str(choir_view v, choir_str *ret) {
    v = held(v);
    if (choir_view_kind(v) != CHOIR_KIND_STRING) return false;
    *ret = *(const choir_str *)v.value;
    return true;
}

bool choir_view_bytes(choir_view v, choir_bytes *ret) {
    v = held(v);
    const choir_list *list = v.value;
    switch (choir_view_kind(v)) {
    case CHOIR_KIND_BYTES: *ret = *(const choir_bytes *)v.value; return true;
    case CHOIR_KIND_LIST:
        if (choiri_unit_type(v.unit, type_of(v)->elem)->kind != CHOIR_KIND_U8) return false;
        *ret = (choir_bytes){list->items, list->len};
        return true;
    default: return false;
    }
}
