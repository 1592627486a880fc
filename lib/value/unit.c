/* SPDX-License-Identifier: MIT */
/* The check that a unit can be trusted, and names.
 *
 * Everything below the schema layer's entry points indexes the records without looking, so what is checked
 * here is what memory safety needs: indices and ranges, names that end inside their block, members that lie
 * inside their type. Not checked: that types do not contain themselves; interpreters bound their depth
 * instead, which costs no memory and also covers types that are legal and only too deep.
 */
#include "value/unit.h"

#include "wire/utf8.h"

#include <string.h>

/* Sizes of version 1's records: a later library may know longer ones and still reads these. */
#define TYPE_V1         48u
#define FIELD_V1        16u
#define VARIANT_V1      16u
#define METHOD_V1       40u
#define PARAM_V1        8u
#define SCHEMA_V1       16u
#define ANNOUNCEMENT_V1 16u
/* Its pointers have 64 bits or 32. What is behind is only read where the unit's size says that it is
 * there. */
#define UNIT_V1 (sizeof(void *) == 8 ? 136u : 96u)
_Static_assert(sizeof(choir_type) == TYPE_V1 && sizeof(choir_field) == FIELD_V1 &&
                   sizeof(choir_variant) == VARIANT_V1 && sizeof(choir_method) == METHOD_V1 &&
                   sizeof(choir_param) == PARAM_V1 && sizeof(choir_schema) == SCHEMA_V1 &&
                   sizeof(choir_announcement) == ANNOUNCEMENT_V1 && sizeof(choir_unit) == UNIT_V1,
               "records only grow at the end, together with a default for units that lack the new members");

#define ALIGN_MAX         16u
#define KNOWN_FIELD_FLAGS (CHOIR_FIELD_DEFAULT | CHOIR_FIELD_SENSITIVE)

choir_str choiri_unit_name(const choir_unit *u, uint32_t offset) {
    if (offset >= u->strings_len) return (choir_str){"", 0};
    const char *name = u->strings + offset;
    size_t len = 0, max = u->strings_len - offset;
    while (len < max && name[len] != '\0') len++;
    return (choir_str){name, len};
}

/* --- where the check is, for the text --- */
typedef struct place {
    const choir_unit *unit;
    choiri_text *text;
    const char *record; /* "type", "variant", "schema", "announcement" */
    uint32_t index;
} place;

static int bad(const place *p, const char *why) {
    choiri_text_u64(choiri_text_add(choiri_text_add(p->text, p->record), " "), p->index);
    choiri_text_add(choiri_text_add(p->text, ": "), why);
    return CHOIR_ERR_INVALID;
}

static bool is_power_of_two(uint32_t v) {
    return v != 0 && (v & (v - 1)) == 0;
}

/* Names go into announcements as they are, where they must be UTF-8. */
static bool has_name(const choir_unit *u, uint32_t offset) {
    choir_str name = choiri_unit_name(u, offset);
    return name.len > 0 && choiri_utf8_is_valid((const uint8_t *)name.data, name.len);
}

/* Does a value of type `inner` at `offset` lie inside `outer`? */
static bool is_inside(const choir_unit *u, const choir_type *outer, uint32_t offset, uint32_t inner) {
    const choir_type *t = choiri_unit_type(u, inner);
    return is_power_of_two(t->align) && offset % t->align == 0 && t->align <= outer->align &&
           (uint64_t)offset + t->size <= outer->size;
}

/* Fields [first, first + count) of `t`, behind its first `head` bytes. */
static int check_fields(const place *p, const choir_type *t, uint32_t first, uint32_t count, uint32_t head,
                        bool named) {
    const choir_unit *u = p->unit;
    if ((uint64_t)first + count > u->fields_len) return bad(p, "its fields are not in the unit");
    for (uint32_t i = first; i < first + count; i++) {
        const choir_field *f = choiri_unit_field(u, i);
        if (f->type >= u->types_len) return bad(p, "a field's type is not in the unit");
        if (named ? !has_name(u, f->name) : f->name != 0) {
            return bad(p,
                       named ? "a field without a proper name" : "a field with a name, which it cannot have");
        }
        if (f->flags & ~KNOWN_FIELD_FLAGS) return bad(p, "a field with unknown flags");
        if (!is_inside(u, t, f->offset, f->type)) return bad(p, "a field does not lie inside its type");
        if (f->offset < head && choiri_unit_type(u, f->type)->size > 0) {
            return bad(p, "a field lies on the tag");
        }
    }
    return CHOIR_OK;
}

static int check_variants(const place *p, const choir_type *t) {
    const choir_unit *u = p->unit;
    if ((uint64_t)t->first + t->count > u->variants_len) return bad(p, "its variants are not in the unit");
    for (uint32_t i = t->first; i < t->first + t->count; i++) {
        const choir_variant *v = choiri_unit_variant(u, i);
        place at = {u, p->text, "variant", i};
        if (!has_name(u, v->name)) return bad(&at, "no proper name");
        if (v->shape > CHOIR_VARIANT_STRUCT) return bad(&at, "unknown shape");
        if (v->shape == CHOIR_VARIANT_UNIT && v->count != 0) return bad(&at, "a unit variant with fields");
        /* What the wire calls a newtype is decided by the number of fields; one C form for it is enough. */
        if ((v->shape == CHOIR_VARIANT_NEWTYPE && v->count != 1) ||
            (v->shape == CHOIR_VARIANT_TUPLE && v->count == 1)) {
            return bad(&at, "one unnamed field is a newtype, and a newtype has one");
        }
        int status =
            check_fields(&at, t, v->first, v->count, sizeof(uint32_t), v->shape == CHOIR_VARIANT_STRUCT);
        if (status != CHOIR_OK) return status;
    }
    return CHOIR_OK;
}

/* Size of the kinds whose C type is fixed, 0 for the others (and for unit and never). */
static size_t fixed_size(uint32_t kind) {
    switch (kind) {
    case CHOIR_KIND_BOOL:
    case CHOIR_KIND_U8:
    case CHOIR_KIND_I8: return 1;
    case CHOIR_KIND_U16:
    case CHOIR_KIND_I16: return 2;
    case CHOIR_KIND_U32:
    case CHOIR_KIND_I32:
    case CHOIR_KIND_F32:
    case CHOIR_KIND_CHAR: return 4;
    case CHOIR_KIND_U64:
    case CHOIR_KIND_I64:
    case CHOIR_KIND_F64: return 8;
    case CHOIR_KIND_U128:
    case CHOIR_KIND_I128: return sizeof(choir_u128);
    case CHOIR_KIND_STRING: return sizeof(choir_str);
    case CHOIR_KIND_BYTES: return sizeof(choir_bytes);
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP: return sizeof(choir_list);
    case CHOIR_KIND_BOX: return sizeof(void *);
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX: return sizeof(choir_tx);
    case CHOIR_KIND_DURATION: return sizeof(choir_timespan);
    default: return 0;
    }
}

/* The kinds that stand for two types each. */
static bool is_collection(uint32_t kind) {
    return kind == CHOIR_KIND_LIST || kind == CHOIR_KIND_BYTES || kind == CHOIR_KIND_SET ||
           kind == CHOIR_KIND_MAP;
}

static bool is_pair(const choir_type *t) {
    return t->kind == CHOIR_KIND_TUPLE && t->name == 0 && t->count == 2;
}

/* The kinds that are made of other types. */
static int check_parts(const place *p, const choir_type *t) {
    const choir_unit *u = p->unit;
    switch (t->kind) {
    case CHOIR_KIND_OPTION:
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP:
    case CHOIR_KIND_ARRAY:
    case CHOIR_KIND_BOX:
    case CHOIR_KIND_RESULT:
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX:
        if (t->elem >= u->types_len) return bad(p, "its element type is not in the unit");
        break;
    case CHOIR_KIND_TUPLE: return check_fields(p, t, t->first, t->count, 0, false);
    case CHOIR_KIND_STRUCT:
        if (!has_name(u, t->name)) return bad(p, "a struct without a proper name");
        return check_fields(p, t, t->first, t->count, 0, true);
    case CHOIR_KIND_ENUM:
        if (!has_name(u, t->name)) return bad(p, "an enum without a proper name");
        if (t->size < sizeof(uint32_t) || t->align < _Alignof(uint32_t)) return bad(p, "no room for its tag");
        return check_variants(p, t);
    default: return CHOIR_OK;
    }
    const choir_type *elem = choiri_unit_type(u, t->elem);
    bool inside = is_inside(u, t, t->offset, t->elem);
    switch (t->kind) {
    case CHOIR_KIND_OPTION:
        if (t->size < 1 || !inside) return bad(p, "its value does not lie inside it");
        if (t->offset < 1 && elem->size > 0) return bad(p, "its value lies on the tag");
        break;
    case CHOIR_KIND_MAP:
        if (!is_pair(elem)) return bad(p, "a map's element must be the tuple of key and value");
        if ((uint64_t)elem->first + 2 > u->fields_len) return bad(p, "its key and value are not in the unit");
        break;
    case CHOIR_KIND_ARRAY:
        if ((uint64_t)t->count * elem->size != t->size) return bad(p, "its size is not that of its elements");
        if (t->align < elem->align) return bad(p, "its elements are not aligned");
        break;
    case CHOIR_KIND_RESULT:
        if (t->elem2 >= u->types_len) return bad(p, "its error type is not in the unit");
        if (t->size < sizeof(uint32_t) || t->align < _Alignof(uint32_t)) return bad(p, "no room for its tag");
        if (!inside || !is_inside(u, t, t->offset, t->elem2)) {
            return bad(p, "its values do not lie inside it");
        }
        if (t->offset < sizeof(uint32_t) && elem->size + choiri_unit_type(u, t->elem2)->size > 0) {
            return bad(p, "its values lie on the tag");
        }
        break;
    default: break;
    }
    return CHOIR_OK;
}

static bool is_named(const choir_type *t) {
    return t->kind == CHOIR_KIND_STRUCT || t->kind == CHOIR_KIND_ENUM ||
           (t->kind == CHOIR_KIND_TUPLE && t->name != 0);
}

/* The first record of the declaration of record `i`. */
static const choir_type *first_of(const choir_unit *u, uint32_t i) {
    uint32_t decl = choiri_unit_type(u, i)->decl, k = 0;
    while (choiri_unit_type(u, k)->decl != decl) k++;
    return choiri_unit_type(u, k);
}

static bool is_same_name(const choir_unit *u, uint32_t a, uint32_t b) {
    choir_str x = choiri_unit_name(u, a), y = choiri_unit_name(u, b);
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

/* Instantiations share what is announced about the first of them, which is wrong if they differ. */
static int check_generic(const place *p, const choir_type *t) {
    const choir_unit *u = p->unit;
    if (t->decl == 0) return t->params == 0 ? CHOIR_OK : bad(p, "type parameters without a declaration");
    if (!is_named(t)) return bad(p, "a declaration's number, which only named types have");
    if ((uint64_t)t->first_param + t->params > u->params_len)
        return bad(p, "its type parameters are not in the unit");
    const choir_type *first = first_of(u, p->index);
    if (first->kind != t->kind || !is_same_name(u, first->name, t->name) || first->params != t->params)
        return bad(p,
                   "not of the kind, name and number of type parameters that its declaration has elsewhere");
    for (uint32_t i = 0; i < t->params; i++) {
        const choir_param *param = choiri_unit_param(u, t->first_param + i);
        if (!has_name(u, param->name)) return bad(p, "a type parameter without a proper name");
        if (param->type >= u->types_len) return bad(p, "a type argument is not in the unit");
        /* The first record's parameters have been checked when that was. */
        if (!is_same_name(u, choiri_unit_param(u, first->first_param + i)->name, param->name))
            return bad(p, "a type parameter with another name than elsewhere");
    }
    return CHOIR_OK;
}

static int check_type(const place *p) {
    const choir_type *t = choiri_unit_type(p->unit, p->index);
    if (t->kind < CHOIR_KIND_BOOL || t->kind > CHOIR_KIND_DURATION) return bad(p, "unknown kind");
    if (!is_power_of_two(t->align) || t->align > ALIGN_MAX) return bad(p, "bad alignment");
    if (t->size % t->align != 0) return bad(p, "its size is no multiple of its alignment");
    size_t fixed = fixed_size(t->kind);
    if (fixed != 0 && t->size != fixed) return bad(p, "not the size its kind has here");
    if ((t->kind == CHOIR_KIND_UNIT || t->kind == CHOIR_KIND_NEVER) && t->size != 0) {
        return bad(p, "unit and never have no size");
    }
    if (is_collection(t->kind) && t->count > 1) return bad(p, "an unknown form of its collection");
    int status = check_generic(p, t);
    return status == CHOIR_OK ? check_parts(p, t) : status;
}

/* --- what is announced --- */

static int check_schema(const place *p) {
    const choir_schema *s = choiri_unit_schema(p->unit, p->index);
    if (s->len == 0 || (uint64_t)s->at + s->len > p->unit->schema_bytes_len)
        return bad(p, "its bytes are not in the unit");
    return CHOIR_OK;
}

static int check_announcement(const place *p) {
    const choir_unit *u = p->unit;
    const choir_announcement *a = choiri_unit_announcement(u, p->index);
    if ((uint64_t)a->first + a->count > u->parts_len) return bad(p, "its parts are not in the unit");
    if (a->root_len == 0 || (uint64_t)a->root + a->root_len > u->schema_bytes_len)
        return bad(p, "its root is not in the unit");
    for (uint32_t i = 0; i < a->count; i++) {
        if (u->parts[a->first + i] >= u->schemas_len) return bad(p, "one of its schemas is not in the unit");
    }
    return CHOIR_OK;
}

static bool is_stride(uint32_t stride, size_t least, size_t align) {
    return stride >= least && stride % align == 0;
}

static int check_each(const choir_unit *u, const char *record, uint32_t count, int (*check)(const place *),
                      choiri_text *text) {
    int status = CHOIR_OK;
    for (uint32_t i = 0; i < count && status == CHOIR_OK; i++) status = check(&(place){u, text, record, i});
    return status;
}

int choiri_unit_check_version(const choir_unit *u, choiri_text *ret_text) {
    choiri_text_init(ret_text);
    if (u->abi != CHOIR_TYPE_ABI) {
        choiri_text_u64(choiri_text_add(ret_text, "the unit was made for descriptor version "), u->abi);
        choiri_text_u64(choiri_text_add(ret_text, ", this library reads version "), CHOIR_TYPE_ABI);
        return CHOIR_ERR_ABI;
    }
    if (u->size < UNIT_V1 || u->reserved != 0 || !is_stride(u->type_stride, TYPE_V1, _Alignof(choir_type)) ||
        !is_stride(u->field_stride, FIELD_V1, _Alignof(choir_field)) ||
        !is_stride(u->variant_stride, VARIANT_V1, _Alignof(choir_variant)) ||
        !is_stride(u->method_stride, METHOD_V1, _Alignof(choir_method)) ||
        !is_stride(u->param_stride, PARAM_V1, _Alignof(choir_param)) ||
        !is_stride(u->schema_stride, SCHEMA_V1, _Alignof(choir_schema)) ||
        !is_stride(u->announcement_stride, ANNOUNCEMENT_V1, _Alignof(choir_announcement))) {
        choiri_text_add(ret_text, "the unit's records have not the sizes of descriptor version ");
        choiri_text_u64(ret_text, CHOIR_TYPE_ABI);
        return CHOIR_ERR_ABI;
    }
    return CHOIR_OK;
}

int choiri_unit_check(const choir_unit *u, choiri_text *ret_text) {
    int status = choiri_unit_check_version(u, ret_text);
    if (status != CHOIR_OK) return status;
    if ((u->types_len > 0 && !u->types) || (u->fields_len > 0 && !u->fields) ||
        (u->variants_len > 0 && !u->variants) || (u->params_len > 0 && !u->params) ||
        (u->schemas_len > 0 && !u->schemas) || (u->announcements_len > 0 && !u->announcements) ||
        (u->parts_len > 0 && !u->parts) || (u->schema_bytes_len > 0 && !u->schema_bytes)) {
        choiri_text_add(ret_text, "the unit lacks records it counts");
        return CHOIR_ERR_INVALID;
    }
    if (!u->strings || u->strings_len == 0 || u->strings[0] != '\0' ||
        u->strings[u->strings_len - 1] != '\0') {
        choiri_text_add(ret_text, "the unit's strings do not start with the empty name and end with NUL");
        return CHOIR_ERR_INVALID;
    }
    status = check_each(u, "type", u->types_len, check_type, ret_text);
    if (status == CHOIR_OK) status = check_each(u, "schema", u->schemas_len, check_schema, ret_text);
    if (status == CHOIR_OK)
        status = check_each(u, "announcement", u->announcements_len, check_announcement, ret_text);
    return status;
}

/* --- names, for programs --- */

int choir_service_find(const choir_service *service, choir_str name, uint32_t *ret_index) {
    choiri_text text;
    if (choiri_unit_check_version(service->unit, &text) != CHOIR_OK) return CHOIR_ERR_ABI;
    for (uint32_t i = 0; i < service->methods_len; i++) {
        choir_str have = choir_method_name(service, i);
        if (have.len != name.len || (name.len > 0 && memcmp(have.data, name.data, name.len) != 0)) continue;
        *ret_index = i;
        return CHOIR_OK;
    }
    return CHOIR_ERR_NOT_FOUND;
}

choir_str choir_service_name(const choir_service *service) {
    choiri_text text;
    if (choiri_unit_check_version(service->unit, &text) != CHOIR_OK) return (choir_str){"", 0};
    return choiri_unit_name(service->unit, service->name);
}

choir_str choir_method_name(const choir_service *service, uint32_t index) {
    choiri_text text;
    if (index >= service->methods_len || choiri_unit_check_version(service->unit, &text) != CHOIR_OK)
        return (choir_str){"", 0};
    return choiri_unit_name(service->unit, choiri_service_method(service, index)->name);
}
