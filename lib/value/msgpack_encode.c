/* SPDX-License-Identifier: MIT */
/* C values to msgpack, driven by descriptors. rule: msgpack.value (docs/protocol/msgpack.md)
 *
 * The sister of value_encode.c: the same checks of what the program hands in, the same walk, other bytes.
 * What is written is what serde writes for msgpack with names, with one exception: an option whose value can
 * itself be nil is an array of one, because Some(None) would otherwise arrive as None. */
#include "value/msgpack.h"

#include "value/bind.h"
#include "value/json.h"
#include "value/unit.h"
#include "wire/utf8.h"

typedef struct encoder {
    choiri_writer *w;
    const choir_unit *u;
    uint32_t open; /* arrays and maps around this */
} encoder;

static void encode(encoder *e, uint32_t type, const void *p, uint32_t depth);

/* p may be NULL when there is nothing at it. */
static const void *at(const void *p, size_t offset) {
    return offset == 0 ? p : (const uint8_t *)p + offset;
}

static void fail(encoder *e, int status) {
    choiri_writer_fail(e->w, status);
}

/* Everything that is inside an array or a map lies between open_* and e->open--. */
static bool open_one(encoder *e) {
    if (e->open == CHOIRI_MSGPACK_DEPTH) {
        fail(e, CHOIR_ERR_DEPTH);
        return false;
    }
    e->open++;
    return true;
}
static bool open_array(encoder *e, size_t count) {
    choiri_msgpack_write_array(e->w, count);
    return open_one(e);
}
static bool open_map(encoder *e, size_t pairs) {
    choiri_msgpack_write_map(e->w, pairs);
    return open_one(e);
}

static void write_name(encoder *e, uint32_t name) {
    choiri_msgpack_write_str(e->w, choiri_unit_name(e->u, name));
}

static void encode_named(encoder *e, uint32_t first, uint32_t count, const void *p, uint32_t depth) {
    if (!open_map(e, count)) return;
    for (uint32_t i = 0; i < count && e->w->status == CHOIR_OK; i++) {
        const choir_field *f = choiri_unit_field(e->u, first + i);
        write_name(e, f->name);
        encode(e, f->type, at(p, f->offset), depth);
    }
    e->open--;
}

static void encode_unnamed(encoder *e, uint32_t first, uint32_t count, const void *p, uint32_t depth) {
    if (!open_array(e, count)) return;
    for (uint32_t i = 0; i < count && e->w->status == CHOIR_OK; i++) {
        const choir_field *f = choiri_unit_field(e->u, first + i);
        encode(e, f->type, at(p, f->offset), depth);
    }
    e->open--;
}

static void encode_items(encoder *e, uint32_t elem, const void *p, size_t count, uint32_t depth) {
    size_t size = choiri_unit_type(e->u, elem)->size;
    if (!open_array(e, count)) return;
    for (size_t i = 0; i < count && e->w->status == CHOIR_OK; i++) encode(e, elem, at(p, i * size), depth);
    e->open--;
}

static void encode_map(encoder *e, const choir_type *t, const choir_list *list, uint32_t depth) {
    const choir_type *pair = choiri_unit_type(e->u, t->elem);
    const choir_field *key = choiri_unit_field(e->u, pair->first),
                      *value = choiri_unit_field(e->u, pair->first + 1);
    if (!open_map(e, list->len)) return;
    for (size_t i = 0; i < list->len && e->w->status == CHOIR_OK; i++) {
        const void *p = at(list->items, i * pair->size);
        encode(e, key->type, at(p, key->offset), depth + 1);
        encode(e, value->type, at(p, value->offset), depth + 1);
    }
    e->open--;
}

static void encode_enum(encoder *e, const choir_type *t, const void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag >= t->count) {
        fail(e, CHOIR_ERR_INVALID);
        return;
    }
    const choir_variant *v = choiri_unit_variant(e->u, t->first + tag);
    if (v->shape == CHOIR_VARIANT_UNIT) {
        write_name(e, v->name);
        return;
    }
    if (!open_map(e, 1)) return;
    write_name(e, v->name);
    if (v->shape == CHOIR_VARIANT_NEWTYPE) {
        const choir_field *f = choiri_unit_field(e->u, v->first);
        encode(e, f->type, at(p, f->offset), depth);
    } else if (v->shape == CHOIR_VARIANT_TUPLE) {
        encode_unnamed(e, v->first, v->count, p, depth);
    } else {
        encode_named(e, v->first, v->count, p, depth);
    }
    e->open--;
}

static void encode_result(encoder *e, const choir_type *t, const void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag > 1) {
        fail(e, CHOIR_ERR_INVALID);
    } else if (open_map(e, 1)) {
        choiri_msgpack_write_key(e->w, tag == 0 ? "Ok" : "Err");
        encode(e, tag == 0 ? t->elem : t->elem2, at(p, t->offset), depth);
        e->open--;
    }
}

/* Read as a byte: memory that holds something else than 0 or 1 must not be looked at as a bool. */
static void encode_option(encoder *e, const choir_type *t, const void *p, uint32_t depth) {
    uint8_t some = *(const uint8_t *)p;
    bool apart = some == 1 && choiri_msgpack_may_be_nil(e->u, t->elem);
    if (some > 1)
        fail(e, CHOIR_ERR_INVALID);
    else if (some == 0)
        choiri_msgpack_write_nil(e->w);
    else if (!apart || open_array(e, 1))
        encode(e, t->elem, at(p, t->offset), depth);
    if (apart) e->open--;
}

static void encode_bool(encoder *e, uint8_t v) {
    if (v > 1)
        fail(e, CHOIR_ERR_INVALID);
    else
        choiri_msgpack_write_bool(e->w, v == 1);
}

/* A bin of 16 bytes, big-endian. */
static void encode_u128(encoder *e, choir_u128 v) {
    uint8_t bytes[16];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(v.hi >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(v.lo >> (56 - 8 * i));
    }
    choiri_msgpack_write_bin(e->w, (choir_bytes){bytes, sizeof bytes});
}

static void encode_char(encoder *e, uint32_t c) {
    char utf8[4];
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        fail(e, CHOIR_ERR_INVALID);
    else
        choiri_msgpack_write_str(e->w, (choir_str){utf8, choiri_json_utf8(c, utf8)});
}

static void encode_string(encoder *e, const choir_str *s) {
    if (choiri_utf8_is_valid((const uint8_t *)s->data, s->len))
        choiri_msgpack_write_str(e->w, *s);
    else
        fail(e, CHOIR_ERR_INVALID);
}

static void encode_duration(encoder *e, const choir_timespan *d) {
    if (d->nanoseconds >= CHOIRI_NANOS) {
        fail(e, CHOIR_ERR_INVALID);
    } else if (open_map(e, 2)) {
        choiri_msgpack_write_key(e->w, "secs");
        choiri_msgpack_write_uint(e->w, d->seconds);
        choiri_msgpack_write_key(e->w, "nanos");
        choiri_msgpack_write_uint(e->w, d->nanoseconds);
        e->open--;
    }
}

static void encode_end(encoder *e, uint32_t type, const void *p) {
    uint64_t number;
    if (choiri_unbind(e->w, e->u, type, p, &number)) choiri_msgpack_write_uint(e->w, number);
}

static void encode_scalar(encoder *e, uint32_t type, uint32_t kind, const void *p) {
    choiri_writer *w = e->w;
    switch (kind) {
    case CHOIR_KIND_BOOL: encode_bool(e, *(const uint8_t *)p); break;
    case CHOIR_KIND_U8: choiri_msgpack_write_uint(w, *(const uint8_t *)p); break;
    case CHOIR_KIND_U16: choiri_msgpack_write_uint(w, *(const uint16_t *)p); break;
    case CHOIR_KIND_U32: choiri_msgpack_write_uint(w, *(const uint32_t *)p); break;
    case CHOIR_KIND_U64: choiri_msgpack_write_uint(w, *(const uint64_t *)p); break;
    case CHOIR_KIND_U128:
    case CHOIR_KIND_I128: encode_u128(e, *(const choir_u128 *)p); break;
    case CHOIR_KIND_I8: choiri_msgpack_write_int(w, *(const int8_t *)p); break;
    case CHOIR_KIND_I16: choiri_msgpack_write_int(w, *(const int16_t *)p); break;
    case CHOIR_KIND_I32: choiri_msgpack_write_int(w, *(const int32_t *)p); break;
    case CHOIR_KIND_I64: choiri_msgpack_write_int(w, *(const int64_t *)p); break;
    case CHOIR_KIND_F32: choiri_msgpack_write_f32(w, *(const float *)p); break;
    case CHOIR_KIND_F64: choiri_msgpack_write_f64(w, *(const double *)p); break;
    case CHOIR_KIND_CHAR: encode_char(e, *(const uint32_t *)p); break;
    case CHOIR_KIND_STRING: encode_string(e, p); break;
    case CHOIR_KIND_BYTES: choiri_msgpack_write_bin(w, *(const choir_bytes *)p); break;
    case CHOIR_KIND_UNIT: choiri_msgpack_write_nil(w); break;
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX: encode_end(e, type, p); break;
    case CHOIR_KIND_DURATION: encode_duration(e, p); break;
    default: fail(e, CHOIR_ERR_INVALID); break; /* never */
    }
}

static void encode(encoder *e, uint32_t type, const void *p, uint32_t depth) {
    const choir_type *t = choiri_unit_type(e->u, type);
    if (choiri_msgpack_is_scalar(t->kind)) {
        encode_scalar(e, type, t->kind, p);
        return;
    }
    if (depth == CHOIRI_VALUE_DEPTH) {
        fail(e, CHOIR_ERR_DEPTH);
        return;
    }
    depth++;
    switch (t->kind) {
    case CHOIR_KIND_OPTION: encode_option(e, t, p, depth); break;
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
        encode_items(e, t->elem, ((const choir_list *)p)->items, ((const choir_list *)p)->len, depth);
        break;
    case CHOIR_KIND_MAP: encode_map(e, t, p, depth); break;
    case CHOIR_KIND_ARRAY: encode_items(e, t->elem, p, t->count, depth); break;
    case CHOIR_KIND_BOX:
        p = choiri_value_boxed(p);
        if (p)
            encode(e, t->elem, p, depth);
        else
            fail(e, CHOIR_ERR_INVALID);
        break;
    case CHOIR_KIND_TUPLE:
        if (choiri_msgpack_is_newtype(t)) {
            const choir_field *f = choiri_unit_field(e->u, t->first);
            encode(e, f->type, at(p, f->offset), depth);
        } else {
            encode_unnamed(e, t->first, t->count, p, depth);
        }
        break;
    case CHOIR_KIND_STRUCT: encode_named(e, t->first, t->count, p, depth); break;
    case CHOIR_KIND_ENUM: encode_enum(e, t, p, depth); break;
    case CHOIR_KIND_RESULT: encode_result(e, t, p, depth); break;
    default: fail(e, CHOIR_ERR_INVALID); break;
    }
}

void choiri_msgpack_encode(choiri_writer *w, const choir_unit *u, uint32_t type, const void *value) {
    encoder e = {.w = w, .u = u};
    if (!value && choiri_unit_type(u, type)->size > 0) /* the host forgot it */
        fail(&e, CHOIR_ERR_INVALID);
    else
        encode(&e, type, value, 0);
}

/* Boxes and newtypes are not seen on the wire. */
bool choiri_msgpack_may_be_nil(const choir_unit *u, uint32_t type) {
    for (uint32_t i = 0; i < CHOIRI_VALUE_DEPTH; i++) {
        const choir_type *t = choiri_unit_type(u, type);
        if (t->kind == CHOIR_KIND_BOX)
            type = t->elem;
        else if (choiri_msgpack_is_newtype(t))
            type = choiri_unit_field(u, t->first)->type;
        else
            return t->kind == CHOIR_KIND_OPTION || t->kind == CHOIR_KIND_UNIT;
    }
    return false; /* it has no finite value */
}
