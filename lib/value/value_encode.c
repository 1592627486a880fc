/* SPDX-License-Identifier: MIT */
/* C values to postcard, driven by descriptors. rule: postcard.value
 *
 * One recursive function with one switch: a field costs a call, a jump and its bytes. Options, boxes, results
 * and structs of one field go round the loop instead of recursing, since what they hold is the last thing
 * they write. What the program hands in is checked where a peer would choke on it (tags, text, chars); that
 * descriptors are right was checked when the service was prepared. Rejected: compiling each type to a list of
 * steps first; that is twice the code and saves little, because the time goes into copying bytes and checking
 * text. */
#include "value/bind.h"
#include "value/unit.h"
#include "value/value.h"
#include "wire/utf8.h"

static void encode(choiri_writer *w, const choir_unit *u, uint32_t type, const void *p, uint32_t depth);

/* p may be NULL when there is nothing at it. */
static const void *at(const void *p, size_t offset) {
    return offset == 0 ? p : (const uint8_t *)p + offset;
}

static void encode_fields(choiri_writer *w, const choir_unit *u, uint32_t first, uint32_t count,
                          const void *p, uint32_t depth) {
    for (uint32_t i = 0; i < count && w->status == CHOIR_OK; i++) {
        const choir_field *f = choiri_unit_field(u, first + i);
        encode(w, u, f->type, at(p, f->offset), depth);
    }
}

static void encode_items(choiri_writer *w, const choir_unit *u, uint32_t elem, const void *p, size_t count,
                         uint32_t depth) {
    size_t size = choiri_unit_type(u, elem)->size;
    if (choiri_value_is_nothing(u, elem, size)) return;
    for (size_t i = 0; i < count && w->status == CHOIR_OK; i++) encode(w, u, elem, at(p, i * size), depth);
}

static void encode_list(choiri_writer *w, const choir_unit *u, uint32_t elem, const choir_list *list,
                        uint32_t depth) {
    choiri_write_varint(w, list->len);
    encode_items(w, u, elem, list->items, list->len, depth);
}

static void encode_string(choiri_writer *w, const choir_str *s) {
    const uint8_t *data = (const uint8_t *)s->data;
    if (CHOIRI_LIKELY(choiri_utf8_is_short_ascii(data, s->len)) || choiri_utf8_is_valid(data, s->len))
        choiri_write_bytes(w, (choir_bytes){data, s->len});
    else
        choiri_writer_fail(w, CHOIR_ERR_INVALID);
}

static void encode_enum(choiri_writer *w, const choir_unit *u, const choir_type *t, const void *p,
                        uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag >= t->count) {
        choiri_writer_fail(w, CHOIR_ERR_INVALID);
        return;
    }
    const choir_variant *v = choiri_unit_variant(u, t->first + tag);
    choiri_write_varint(w, tag);
    encode_fields(w, u, v->first, v->count, p, depth);
}

/* A bool, or the tag of an option or a result. False when it is none: bools are read as bytes, because memory
 * that holds something else than 0 or 1 must not be looked at as a bool. */
static bool encode_tag(choiri_writer *w, uint32_t tag) {
    if (tag > 1) {
        choiri_writer_fail(w, CHOIR_ERR_INVALID);
        return false;
    }
    choiri_write_u8(w, (uint8_t)tag);
    return true;
}

static void encode_i128(choiri_writer *w, choir_u128 v) {
    uint64_t sign = 0 - (v.hi >> 63);
    choiri_write_varint128(w, v.lo << 1 ^ sign, (v.hi << 1 | v.lo >> 63) ^ sign);
}

static void encode_duration(choiri_writer *w, const choir_timespan *v) {
    if (v->nanoseconds >= CHOIRI_NANOS) choiri_writer_fail(w, CHOIR_ERR_INVALID);
    choiri_write_varint(w, v->seconds);
    choiri_write_varint(w, v->nanoseconds);
}

static void encode_end(choiri_writer *w, const choir_unit *u, uint32_t type, const void *p) {
    uint64_t number;
    if (choiri_unbind(w, u, type, p, &number)) choiri_write_varint(w, number);
}

static void encode(choiri_writer *w, const choir_unit *u, uint32_t type, const void *p, uint32_t depth) {
    for (;; depth++) {
        const choir_type *t = choiri_unit_type(u, type);
        if (choiri_kind_nests(t->kind) && depth == CHOIRI_VALUE_DEPTH) {
            choiri_writer_fail(w, CHOIR_ERR_DEPTH);
            return;
        }
        switch (t->kind) {
        case CHOIR_KIND_BOOL: encode_tag(w, *(const uint8_t *)p); return;
        case CHOIR_KIND_U8:
        case CHOIR_KIND_I8: choiri_write_u8(w, *(const uint8_t *)p); return;
        case CHOIR_KIND_U16: choiri_write_varint(w, *(const uint16_t *)p); return;
        case CHOIR_KIND_U32: choiri_write_varint(w, *(const uint32_t *)p); return;
        case CHOIR_KIND_U64: choiri_write_varint(w, *(const uint64_t *)p); return;
        case CHOIR_KIND_U128:
            choiri_write_varint128(w, ((const choir_u128 *)p)->lo, ((const choir_u128 *)p)->hi);
            return;
        case CHOIR_KIND_I16: choiri_write_zigzag(w, *(const int16_t *)p); return;
        case CHOIR_KIND_I32: choiri_write_zigzag(w, *(const int32_t *)p); return;
        case CHOIR_KIND_I64: choiri_write_zigzag(w, *(const int64_t *)p); return;
        case CHOIR_KIND_I128: encode_i128(w, *(const choir_u128 *)p); return;
        case CHOIR_KIND_F32: choiri_write_f32(w, *(const float *)p); return;
        case CHOIR_KIND_F64: choiri_write_f64(w, *(const double *)p); return;
        case CHOIR_KIND_CHAR: choiri_write_char(w, *(const uint32_t *)p); return;
        case CHOIR_KIND_STRING: encode_string(w, p); return;
        case CHOIR_KIND_BYTES: choiri_write_bytes(w, *(const choir_bytes *)p); return;
        case CHOIR_KIND_UNIT: return;
        case CHOIR_KIND_OPTION:
            if (!encode_tag(w, *(const uint8_t *)p) || *(const uint8_t *)p == 0) return;
            type = t->elem;
            p = at(p, t->offset);
            continue;
        case CHOIR_KIND_RESULT:
            if (!encode_tag(w, *(const uint32_t *)p)) return;
            type = *(const uint32_t *)p == 0 ? t->elem : t->elem2;
            p = at(p, t->offset);
            continue;
        case CHOIR_KIND_BOX:
            type = t->elem;
            p = choiri_value_boxed(p);
            if (p) continue;
            break;
        case CHOIR_KIND_LIST:
        case CHOIR_KIND_SET:
        case CHOIR_KIND_MAP: encode_list(w, u, t->elem, p, depth + 1); return;
        case CHOIR_KIND_ARRAY: encode_items(w, u, t->elem, p, t->count, depth + 1); return;
        case CHOIR_KIND_TUPLE:
        case CHOIR_KIND_STRUCT:
            if (t->count == 1) { /* as most arguments are: nothing follows */
                const choir_field *f = choiri_unit_field(u, t->first);
                type = f->type;
                p = at(p, f->offset);
                continue;
            }
            if (!choiri_value_is_nothing(u, type, t->size))
                encode_fields(w, u, t->first, t->count, p, depth + 1);
            return;
        case CHOIR_KIND_ENUM: encode_enum(w, u, t, p, depth + 1); return;
        case CHOIR_KIND_TX:
        case CHOIR_KIND_RX: encode_end(w, u, type, p); return;
        case CHOIR_KIND_DURATION: encode_duration(w, p); return;
        default: break; /* never */
        }
        choiri_writer_fail(w, CHOIR_ERR_INVALID);
        return;
    }
}

static CHOIRI_NOINLINE void encode_any(choiri_writer *w, const choir_unit *u, uint32_t type,
                                       const void *value) {
    if (!value && choiri_unit_type(u, type)->size > 0) /* the host forgot it */
        choiri_writer_fail(w, CHOIR_ERR_INVALID);
    else
        encode(w, u, type, value, 0);
}

/* What many values are, text alone or as the only argument, is written without the machinery. */
void choiri_value_encode(choiri_writer *w, const choir_unit *u, uint32_t type, const void *value) {
    const choir_type *t = choiri_unit_type(u, type);
    const void *p = value;
    if (CHOIRI_LIKELY(value != NULL)) {
        if (t->kind == CHOIR_KIND_TUPLE && t->count == 1) {
            const choir_field *f = choiri_unit_field(u, t->first);
            t = choiri_unit_type(u, f->type);
            p = at(value, f->offset);
        }
        if (t->kind == CHOIR_KIND_STRING) {
            encode_string(w, p);
            return;
        }
    }
    encode_any(w, u, type, value);
}
