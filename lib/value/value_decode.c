/* SPDX-License-Identifier: MIT */
/* Postcard to C values, driven by descriptors. rule: postcard.value
 *
 * The mirror of value_encode.c. Everything a peer can choose is bounded: nesting by a fixed depth, a list's
 * count by the bytes that are left (or a constant for elements without bytes), memory by the arena's limit;
 * text and bytes take none, they point into the input. Failures are kept in the reader; which type failed and
 * where is noted on the way out, so a good value pays nothing for it. Duplicate map keys are kept as they
 * came. */
#include "value/bind.h"
#include "value/decoder.h"
#include "value/unit.h"

typedef choiri_decoder decoder;

static bool decode(decoder *d, uint32_t type, void *out, uint32_t depth);

/* p may be NULL when there is nothing at it. */
static void *at(void *p, size_t offset) {
    return offset == 0 ? p : (uint8_t *)p + offset;
}

static bool decode_fields(decoder *d, const choir_type *t, uint32_t variant, uint32_t first, uint32_t count,
                          void *out, uint32_t depth) {
    for (uint32_t i = 0; i < count; i++) {
        const choir_field *f = choiri_unit_field(d->u, first + i);
        if (decode(d, f->type, at(out, f->offset), depth)) continue;
        choiri_path_add(&d->path, t, variant, i);
        return false;
    }
    return true;
}

static bool decode_items(decoder *d, const choir_type *t, void *out, size_t count, uint32_t depth) {
    size_t size = choiri_unit_type(d->u, t->elem)->size;
    if (choiri_value_is_nothing(d->u, t->elem, size)) return true;
    for (size_t i = 0; i < count; i++) {
        if (decode(d, t->elem, at(out, i * size), depth)) continue;
        choiri_path_add(&d->path, t, 0, i);
        return false;
    }
    return true;
}

static void *alloc(decoder *d, size_t size, size_t align) {
    void *p = choiri_arena_alloc(d->arena, size, align);
    if (!p)
        choiri_reader_fail(d->r,
                           choiri_arena_is_full(d->arena, size) ? CHOIR_ERR_TOO_LARGE : CHOIR_ERR_NO_MEMORY);
    return p;
}

static bool make_list(decoder *d, const choir_type *elem, uint64_t count, choir_list *out) {
    size_t size;
    if (__builtin_mul_overflow((size_t)count, (size_t)elem->size, &size))
        return choiri_reader_fail(d->r, CHOIR_ERR_TOO_LARGE);
    void *items = size > 0 ? alloc(d, size, elem->align) : NULL;
    if (size > 0 && !items) return false;
    *out = (choir_list){items, (size_t)count};
    return true;
}

static bool decode_list(decoder *d, const choir_type *t, choir_list *out, uint32_t depth) {
    uint64_t count;
    size_t min = choiri_value_min_size(d->u, t->elem);
    if (!choiri_read_count(d->r, min, CHOIRI_DECODER_EMPTY_MAX, &count)) return false;
    if (!make_list(d, choiri_unit_type(d->u, t->elem), count, out)) return false;
    return decode_items(d, t, (void *)(uintptr_t)out->items, (size_t)count, depth);
}

static bool decode_enum(decoder *d, const choir_type *t, void *out, uint32_t depth) {
    uint64_t tag;
    if (!choiri_read_varint(d->r, &tag)) return false;
    if (tag >= t->count) return choiri_reader_fail(d->r, CHOIR_ERR_MALFORMED);
    *(uint32_t *)out = (uint32_t)tag;
    const choir_variant *v = choiri_unit_variant(d->u, t->first + (uint32_t)tag);
    return decode_fields(d, t, (uint32_t)tag, v->first, v->count, out, depth);
}

static bool decode_result(decoder *d, const choir_type *t, void *out, uint32_t depth) {
    bool err;
    if (!choiri_read_bool(d->r, &err)) return false;
    *(uint32_t *)out = err;
    if (decode(d, err ? t->elem2 : t->elem, at(out, t->offset), depth)) return true;
    choiri_path_add(&d->path, t, 0, err);
    return false;
}

/* None leaves zeros behind, so that memory of the arena's last use is not taken for a value. */
static bool decode_option(choiri_reader *r, const choir_type *t, void *out) {
    bool some;
    if (!choiri_read_bool(r, &some)) return false;
    if (!some) memset(out, 0, t->size);
    *(bool *)out = some;
    return true;
}

/* Makes memory for the pointee and stores the pointer, which has the program's type. */
static void *decode_box(decoder *d, const choir_type *t, void *out) {
    const choir_type *elem = choiri_unit_type(d->u, t->elem);
    void *p = alloc(d, elem->size, elem->align);
    if (p) memcpy(out, &p, sizeof p);
    return p;
}

static bool decode_unsigned(choiri_reader *r, uint64_t max, uint64_t *ret) {
    return choiri_read_varint(r, ret) && (*ret <= max || choiri_reader_fail(r, CHOIR_ERR_MALFORMED));
}

static bool decode_signed(choiri_reader *r, int64_t min, int64_t max, int64_t *ret) {
    return choiri_read_zigzag(r, ret) &&
           ((*ret >= min && *ret <= max) || choiri_reader_fail(r, CHOIR_ERR_MALFORMED));
}

static bool decode_i128(choiri_reader *r, choir_u128 *out) {
    uint64_t lo, hi;
    if (!choiri_read_varint128(r, &lo, &hi)) return false;
    uint64_t sign = 0 - (lo & 1);
    *out = (choir_u128){(lo >> 1 | hi << 63) ^ sign, hi >> 1 ^ sign};
    return true;
}

static bool decode_duration(choiri_reader *r, choir_timespan *out) {
    uint64_t nanos;
    if (!choiri_read_varint(r, &out->seconds) || !decode_unsigned(r, CHOIRI_NANOS - 1, &nanos)) return false;
    out->nanoseconds = (uint32_t)nanos;
    return true;
}

static bool decode_end(decoder *d, uint32_t type, void *out) {
    uint64_t number;
    return choiri_read_varint(d->r, &number) && choiri_bind(d->r, d->u, type, number, out);
}

static bool decode_scalar(choiri_reader *r, uint32_t kind, void *out) {
    uint64_t u;
    int64_t i;
    bool ok;
    switch (kind) {
    case CHOIR_KIND_BOOL: return choiri_read_bool(r, out);
    case CHOIR_KIND_U8:
    case CHOIR_KIND_I8: return choiri_read_u8(r, out);
    case CHOIR_KIND_U16:
        if ((ok = decode_unsigned(r, UINT16_MAX, &u))) *(uint16_t *)out = (uint16_t)u;
        return ok;
    case CHOIR_KIND_U32:
        if ((ok = decode_unsigned(r, UINT32_MAX, &u))) *(uint32_t *)out = (uint32_t)u;
        return ok;
    case CHOIR_KIND_U64: return choiri_read_varint(r, out);
    case CHOIR_KIND_U128: return choiri_read_varint128(r, &((choir_u128 *)out)->lo, &((choir_u128 *)out)->hi);
    case CHOIR_KIND_I16:
        if ((ok = decode_signed(r, INT16_MIN, INT16_MAX, &i))) *(int16_t *)out = (int16_t)i;
        return ok;
    case CHOIR_KIND_I32:
        if ((ok = decode_signed(r, INT32_MIN, INT32_MAX, &i))) *(int32_t *)out = (int32_t)i;
        return ok;
    case CHOIR_KIND_I64: return choiri_read_zigzag(r, out);
    case CHOIR_KIND_I128: return decode_i128(r, out);
    case CHOIR_KIND_F32: return choiri_read_f32(r, out);
    case CHOIR_KIND_F64: return choiri_read_f64(r, out);
    case CHOIR_KIND_CHAR: return choiri_read_char(r, out);
    case CHOIR_KIND_STRING: return choiri_read_string(r, out);
    case CHOIR_KIND_BYTES: return choiri_read_bytes(r, out);
    case CHOIR_KIND_UNIT: return true;
    case CHOIR_KIND_DURATION: return decode_duration(r, out);
    default: return choiri_reader_fail(r, CHOIR_ERR_MALFORMED); /* never */
    }
}

static bool decode_parts(decoder *d, const choir_type *t, void *out, uint32_t depth) {
    switch (t->kind) {
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP: return decode_list(d, t, out, depth);
    case CHOIR_KIND_ARRAY: return decode_items(d, t, out, t->count, depth);
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT: return decode_fields(d, t, 0, t->first, t->count, out, depth);
    case CHOIR_KIND_ENUM: return decode_enum(d, t, out, depth);
    case CHOIR_KIND_RESULT: return decode_result(d, t, out, depth);
    default: return choiri_reader_fail(d->r, CHOIR_ERR_MALFORMED); /* no such kind */
    }
}

/* Options and boxes go round the loop: nothing follows what they hold, and they are not seen in paths. */
static bool decode(decoder *d, uint32_t type, void *out, uint32_t depth) {
    for (;; depth++) {
        const choir_type *t = choiri_unit_type(d->u, type);
        bool ok;
        if (t->kind - CHOIR_KIND_OPTION >
            CHOIR_KIND_RX - CHOIR_KIND_OPTION) { /* around what nests and ends */
            ok = decode_scalar(d->r, t->kind, out);
        } else if (t->kind >= CHOIR_KIND_TX) {
            ok = decode_end(d, type, out);
        } else if (depth == CHOIRI_VALUE_DEPTH) {
            ok = choiri_reader_fail(d->r, CHOIR_ERR_DEPTH);
        } else if (t->kind == CHOIR_KIND_OPTION) {
            if ((ok = decode_option(d->r, t, out))) {
                if (!*(const bool *)out) return true;
                type = t->elem;
                out = at(out, t->offset);
                continue;
            }
        } else if (t->kind == CHOIR_KIND_BOX) {
            out = decode_box(d, t, out);
            if ((ok = out != NULL)) {
                type = t->elem;
                continue;
            }
        } else if (choiri_value_is_nothing(d->u, type, t->size)) {
            ok = true;
        } else {
            ok = decode_parts(d, t, out, depth + 1);
        }
        if (!ok && !d->failed) d->failed = t;
        return ok;
    }
}

void choiri_decoder_explain(const decoder *d, choiri_text *text) {
    choiri_text_init(text);
    choiri_path_write(&d->path, d->u, text);
    if (text->len > 0) choiri_text_add(text, ": ");
    if (choiri_bind_explain(d->u, d->failed, d->r->status, text)) return;
    switch (d->r->status) {
    case CHOIR_ERR_DEPTH: choiri_text_add(text, "nested more than 64 deep"); break;
    case CHOIR_ERR_TOO_LARGE: choiri_text_add(text, "over the memory limit"); break;
    case CHOIR_ERR_NO_MEMORY: choiri_text_add(text, "out of memory"); break;
    default:
        choiri_text_add(text, d->r->status == CHOIR_ERR_TRUNCATED ? "truncated " : "malformed ");
        if (d->failed)
            choiri_type_write(d->u, d->failed, text);
        else
            choiri_text_add(text, "field that ours does not have");
        break;
    }
}

static CHOIRI_NOINLINE int decode_any(choiri_reader *r, const choir_unit *u, uint32_t type,
                                      choiri_arena *arena, void *ret_value, choiri_text *ret_text) {
    decoder d;
    choiri_decoder_init(&d, r, u, arena);
    if (decode(&d, type, ret_value, 0)) return CHOIR_OK;
    if (ret_text) choiri_decoder_explain(&d, ret_text);
    return r->status;
}

/* What many values are, text alone or as the only argument, is read without the machinery; a text that is
 * none is read again with it, which says why. */
int choiri_value_decode(choiri_reader *r, const choir_unit *u, uint32_t type, choiri_arena *arena,
                        void *ret_value, choiri_text *ret_text) {
    const choir_type *t = choiri_unit_type(u, type);
    void *out = ret_value;
    if (t->kind == CHOIR_KIND_TUPLE && t->count == 1) {
        const choir_field *f = choiri_unit_field(u, t->first);
        t = choiri_unit_type(u, f->type);
        out = at(out, f->offset);
    }
    if (t->kind == CHOIR_KIND_STRING && choiri_read_short_string(r, out)) return CHOIR_OK;
    return decode_any(r, u, type, arena, ret_value, ret_text);
}

/* --- for plans --- */

bool choiri_decoder_read(decoder *d, uint32_t type, void *out, uint32_t depth) {
    return decode(d, type, out, depth);
}

void *choiri_decoder_alloc(decoder *d, size_t size, size_t align) {
    return alloc(d, size, align);
}

bool choiri_decoder_list(decoder *d, const choir_type *elem, uint64_t count, choir_list *out) {
    return make_list(d, elem, count, out);
}

void *choiri_decoder_box(decoder *d, const choir_type *box, void *out) {
    return decode_box(d, box, out);
}

bool choiri_decoder_option(decoder *d, const choir_type *option, void *out) {
    return decode_option(d->r, option, out);
}
