/* SPDX-License-Identifier: MIT */
/* msgpack to C values, driven by descriptors. rule: msgpack.value (docs/protocol/msgpack.md)
 *
 * The pre-scan has seen all of the input, so nesting, lengths and counts are known to be honest; what is left
 * to check is the type, which nobody has announced: values of a peer in another language are taken as
 * generously as they are clear. Every refusal names the place and what was found there. A value announces no
 * more items than it has bytes, and memory is the arena's, so its limit bounds both. */
#include "value/bind.h"
#include "value/msgpack.h"
#include "value/path.h"
#include "value/unit.h"
#include "wire/utf8.h"

#include <float.h>

typedef struct decoder {
    choiri_reader r;
    const choir_unit *u;
    choiri_arena *arena;
    uint64_t steps;           /* key comparisons that are left */
    const choir_type *failed; /* what was expected; NULL until a type did not fit */
    const char *found;        /* the kind that came instead */
    const char *why;          /* or another reason */
    choir_str name;           /* that goes with it */
    choiri_path path;
} decoder;

static bool decode(decoder *d, uint32_t type, void *out, uint32_t depth);

/* out may be NULL when there is nothing to store at it. */
static void *at(void *p, size_t offset) {
    return offset == 0 ? p : (uint8_t *)p + offset;
}

/* ---- what went wrong; all answer false ---- */

static bool fail(decoder *d, int status) {
    return choiri_reader_fail(&d->r, status);
}

static bool mismatch(decoder *d, const choir_type *t, const char *found) {
    if (d->r.status == CHOIR_OK) {
        d->failed = t;
        d->found = found;
    }
    return fail(d, CHOIR_ERR_MALFORMED);
}

static bool not_a(decoder *d, const choir_type *t, const choiri_msgpack_token *token) {
    return mismatch(d, t, choiri_msgpack_kind_name(token->kind));
}

static bool wrong(decoder *d, const char *why, choir_str name) {
    if (d->r.status == CHOIR_OK) {
        d->why = why;
        d->name = name;
    }
    return fail(d, CHOIR_ERR_MALFORMED);
}

/* ---- scalars ---- */

/* JavaScript writes an integer over 32 bits as a float, so one that is exact counts as the integer it is. */
static void take_whole(choiri_msgpack_token *token) {
    const double exact = 9007199254740992.0; /* 2^53: up to here every integer is one */
    if (token->kind != CHOIRI_MSGPACK_FLOAT || !(token->real >= -exact && token->real <= exact)) return;
    int64_t whole = (int64_t)token->real;
    if ((double)whole != token->real) return;
    token->kind = whole < 0 ? CHOIRI_MSGPACK_NEGATIVE : CHOIRI_MSGPACK_UINT;
    token->number = (uint64_t)whole;
}

static bool to_unsigned(decoder *d, const choir_type *t, const choiri_msgpack_token *token, uint64_t max,
                        uint64_t *ret) {
    if (token->kind == CHOIRI_MSGPACK_NEGATIVE) return mismatch(d, t, "a number below 0");
    if (token->kind != CHOIRI_MSGPACK_UINT) return not_a(d, t, token);
    if (token->number > max) return mismatch(d, t, "a number that is too large");
    *ret = token->number;
    return true;
}

static bool to_signed(decoder *d, const choir_type *t, const choiri_msgpack_token *token, int64_t min,
                      int64_t max, int64_t *ret) {
    if (token->kind != CHOIRI_MSGPACK_NEGATIVE && token->kind != CHOIRI_MSGPACK_UINT)
        return not_a(d, t, token);
    bool negative = token->kind == CHOIRI_MSGPACK_NEGATIVE;
    if (!negative && token->number > (uint64_t)max) return mismatch(d, t, "a number that is too large");
    if (negative && (int64_t)token->number < min) return mismatch(d, t, "a number that is too small");
    *ret = (int64_t)token->number;
    return true;
}

/* A bin of 16 bytes, big-endian, or any number that msgpack can write. */
static bool to_128(decoder *d, const choir_type *t, const choiri_msgpack_token *token, choir_u128 *out) {
    bool is_signed = t->kind == CHOIR_KIND_I128, negative = token->kind == CHOIRI_MSGPACK_NEGATIVE;
    if (token->kind == CHOIRI_MSGPACK_UINT || (negative && is_signed)) {
        *out = (choir_u128){token->number, negative ? UINT64_MAX : 0};
        return true;
    }
    if (negative) return mismatch(d, t, "a number below 0");
    if (token->kind != CHOIRI_MSGPACK_BIN) return not_a(d, t, token);
    if (token->bytes.len != 16) return mismatch(d, t, "a bin of another length than 16");
    *out = (choir_u128){0, 0};
    for (unsigned i = 0; i < 8; i++) {
        out->hi = out->hi << 8 | token->bytes.data[i];
        out->lo = out->lo << 8 | token->bytes.data[8 + i];
    }
    return true;
}

/* Integers too, because JavaScript has only one kind of number and writes 3.0 as 3. */
static bool to_double(decoder *d, const choir_type *t, const choiri_msgpack_token *token, double *ret) {
    if (token->kind == CHOIRI_MSGPACK_FLOAT)
        *ret = token->real;
    else if (token->kind == CHOIRI_MSGPACK_UINT)
        *ret = (double)token->number;
    else if (token->kind == CHOIRI_MSGPACK_NEGATIVE)
        *ret = (double)(int64_t)token->number;
    else
        return not_a(d, t, token);
    return true;
}

/* Python writes 64 bits for every float. What f32 has no number for is refused; infinities and NaN are as
 * they are. */
static bool to_float(decoder *d, const choir_type *t, const choiri_msgpack_token *token, float *ret) {
    double v;
    if (token->kind == CHOIRI_MSGPACK_FLOAT && token->count == 4) { /* by its bits */
        uint32_t bits = (uint32_t)token->number;
        memcpy(ret, &bits, sizeof bits);
        return true;
    }
    if (!to_double(d, t, token, &v)) return false;
    bool finite = v >= -DBL_MAX && v <= DBL_MAX;
    float f = !finite || (v >= -(double)FLT_MAX && v <= (double)FLT_MAX) ? (float)v : 0;
    if (finite && f == 0 && (v > 1 || v < -1)) return mismatch(d, t, "a number that is too large");
    *ret = f;
    return true;
}

static bool to_string(decoder *d, const choir_type *t, const choiri_msgpack_token *token, choir_str *ret) {
    if (token->kind != CHOIRI_MSGPACK_STR) return not_a(d, t, token);
    if (!choiri_utf8_is_valid(token->bytes.data, token->bytes.len))
        return mismatch(d, t, "bytes that are not UTF-8");
    *ret = (choir_str){(const char *)token->bytes.data, token->bytes.len};
    return true;
}

static bool to_char(decoder *d, const choir_type *t, const choiri_msgpack_token *token, uint32_t *ret) {
    choir_str s;
    if (!to_string(d, t, token, &s)) return false;
    const uint8_t *p = token->bytes.data;
    size_t len = s.len == 0 ? 1 : p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (s.len != len) return mismatch(d, t, "a str that is not one character");
    uint32_t c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) c = c << 6 | (p[i] & 0x3fu);
    *ret = c;
    return true;
}

static void *alloc(decoder *d, size_t size, size_t align) {
    void *p = choiri_arena_alloc(d->arena, size, align);
    if (!p) fail(d, choiri_arena_is_full(d->arena, size) ? CHOIR_ERR_TOO_LARGE : CHOIR_ERR_NO_MEMORY);
    return p;
}

/* `count` numbers that are bytes. */
static bool read_octets(decoder *d, const choir_type *t, uint32_t count, uint8_t *out) {
    for (uint32_t i = 0; i < count; i++) {
        choiri_msgpack_token token;
        if (!choiri_msgpack_read(&d->r, &token)) return false;
        if (token.kind != CHOIRI_MSGPACK_UINT || token.number > UINT8_MAX)
            return mismatch(d, t, "an array with other things than bytes");
        out[i] = (uint8_t)token.number;
    }
    return true;
}

/* A bin; or a str, which is what old writers have for it; or an array of numbers, as serde writes Vec<u8>. */
static bool to_bytes(decoder *d, const choir_type *t, const choiri_msgpack_token *token, choir_bytes *ret) {
    if (token->kind == CHOIRI_MSGPACK_BIN || token->kind == CHOIRI_MSGPACK_STR) {
        *ret = token->bytes;
        return true;
    }
    if (token->kind != CHOIRI_MSGPACK_ARRAY) return not_a(d, t, token);
    uint8_t *data = alloc(d, token->count, 1);
    if (!data || !read_octets(d, t, token->count, data)) return false;
    *ret = (choir_bytes){data, token->count};
    return true;
}

/* nil, or something empty. */
static bool to_unit(decoder *d, const choir_type *t, const choiri_msgpack_token *token) {
    bool container = token->kind == CHOIRI_MSGPACK_ARRAY || token->kind == CHOIRI_MSGPACK_MAP;
    if (token->kind == CHOIRI_MSGPACK_NIL || (container && token->count == 0)) return true;
    return not_a(d, t, token);
}

static bool key_is(choir_bytes key, const char *name) {
    return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

/* {"secs": u64, "nanos": u32}, or the two in an array. */
static bool to_duration(decoder *d, const choir_type *t, const choiri_msgpack_token *token,
                        choir_timespan *ret) {
    uint64_t parts[2] = {0, 0};
    unsigned seen = 0;
    bool map = token->kind == CHOIRI_MSGPACK_MAP;
    if ((!map && token->kind != CHOIRI_MSGPACK_ARRAY) || token->count != 2) return not_a(d, t, token);
    for (unsigned i = 0; i < 2; i++) {
        choiri_msgpack_token key, value;
        unsigned which = i;
        if (map) {
            if (!choiri_msgpack_read(&d->r, &key)) return false;
            if (key.kind != CHOIRI_MSGPACK_STR) return mismatch(d, t, "a map with other keys");
            if (!key_is(key.bytes, "secs") && !key_is(key.bytes, "nanos"))
                return mismatch(d, t, "a map with other keys");
            which = key_is(key.bytes, "nanos");
        }
        if (!choiri_msgpack_read(&d->r, &value)) return false;
        if (!to_unsigned(d, t, &value, which ? CHOIRI_NANOS - 1 : UINT64_MAX, &parts[which])) return false;
        seen |= 1u << which;
    }
    if (seen != 3) return mismatch(d, t, "a map with other keys");
    *ret = (choir_timespan){parts[0], (uint32_t)parts[1]};
    return true;
}

static bool decode_integer(decoder *d, const choir_type *t, choiri_msgpack_token *token, void *out) {
    uint64_t u;
    int64_t i;
    bool ok;
    take_whole(token);
    switch (t->kind) {
    case CHOIR_KIND_U8:
        if ((ok = to_unsigned(d, t, token, UINT8_MAX, &u))) *(uint8_t *)out = (uint8_t)u;
        return ok;
    case CHOIR_KIND_U16:
        if ((ok = to_unsigned(d, t, token, UINT16_MAX, &u))) *(uint16_t *)out = (uint16_t)u;
        return ok;
    case CHOIR_KIND_U32:
        if ((ok = to_unsigned(d, t, token, UINT32_MAX, &u))) *(uint32_t *)out = (uint32_t)u;
        return ok;
    case CHOIR_KIND_U64: return to_unsigned(d, t, token, UINT64_MAX, out);
    case CHOIR_KIND_I8:
        if ((ok = to_signed(d, t, token, INT8_MIN, INT8_MAX, &i))) *(int8_t *)out = (int8_t)i;
        return ok;
    case CHOIR_KIND_I16:
        if ((ok = to_signed(d, t, token, INT16_MIN, INT16_MAX, &i))) *(int16_t *)out = (int16_t)i;
        return ok;
    case CHOIR_KIND_I32:
        if ((ok = to_signed(d, t, token, INT32_MIN, INT32_MAX, &i))) *(int32_t *)out = (int32_t)i;
        return ok;
    default: return to_signed(d, t, token, INT64_MIN, INT64_MAX, out);
    }
}

static bool decode_end(decoder *d, uint32_t type, const choir_type *t, choiri_msgpack_token *token,
                       void *out) {
    uint64_t number;
    take_whole(token);
    if (!to_unsigned(d, t, token, UINT64_MAX, &number)) return false;
    if (choiri_bind(&d->r, d->u, type, number, out)) return true;
    d->failed = t;
    return false;
}

static bool decode_scalar(decoder *d, uint32_t type, const choir_type *t, choiri_msgpack_token *token,
                          void *out) {
    switch (t->kind) {
    case CHOIR_KIND_BOOL:
        if (token->kind != CHOIRI_MSGPACK_BOOL) return not_a(d, t, token);
        *(bool *)out = token->number == 1;
        return true;
    case CHOIR_KIND_U128:
    case CHOIR_KIND_I128: return to_128(d, t, token, out);
    case CHOIR_KIND_F32: return to_float(d, t, token, out);
    case CHOIR_KIND_F64: return to_double(d, t, token, out);
    case CHOIR_KIND_CHAR: return to_char(d, t, token, out);
    case CHOIR_KIND_STRING: return to_string(d, t, token, out);
    case CHOIR_KIND_BYTES: return to_bytes(d, t, token, out);
    case CHOIR_KIND_UNIT: return to_unit(d, t, token);
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX: return decode_end(d, type, t, token, out);
    case CHOIR_KIND_DURATION: return to_duration(d, t, token, out);
    case CHOIR_KIND_NEVER: return not_a(d, t, token);
    default: return decode_integer(d, t, token, out);
    }
}

/* ---- fields ---- */

typedef struct fields {
    const choir_type *type; /* whose they are, for the path */
    uint32_t variant, first, count;
} fields;

static bool decode_field(decoder *d, const fields *f, uint32_t i, void *out, uint32_t depth) {
    const choir_field *field = choiri_unit_field(d->u, f->first + i);
    if (decode(d, field->type, at(out, field->offset), depth)) return true;
    choiri_path_add(&d->path, f->type, f->variant, i);
    return false;
}

static bool decode_in_order(decoder *d, const fields *f, uint32_t count, void *out, uint32_t depth) {
    if (count != f->count) return wrong(d, "an array with another number of items", (choir_str){"", 0});
    for (uint32_t i = 0; i < count; i++)
        if (!decode_field(d, f, i, out, depth)) return false;
    return true;
}

/* Fields mostly come in our order, so the search starts behind the last one that was found. */
static bool find_field(decoder *d, const fields *f, choir_bytes key, uint32_t start, uint32_t *ret) {
    uint32_t i = start;
    for (uint32_t n = 0; n < f->count; n++, i = i + 1 == f->count ? 0 : i + 1) {
        if (d->steps == 0) return fail(d, CHOIR_ERR_TOO_LARGE);
        d->steps--;
        if (!key_is(key, d->u->strings + choiri_unit_field(d->u, f->first + i)->name)) continue;
        *ret = i;
        return true;
    }
    *ret = f->count;
    return true;
}

/* What was not there: an option is none, a field with a default is zero, anything else is an error. */
static bool fill_missing(decoder *d, const fields *f, const uint64_t *seen, void *out) {
    for (uint32_t i = 0; i < f->count; i++) {
        if (seen[i / 64] >> (i % 64) & 1) continue;
        const choir_field *field = choiri_unit_field(d->u, f->first + i);
        const choir_type *t = choiri_unit_type(d->u, field->type);
        if (t->kind != CHOIR_KIND_OPTION && !(field->flags & CHOIR_FIELD_DEFAULT))
            return wrong(d, "lacks the field ", choiri_unit_name(d->u, field->name));
        if (t->size > 0) memset(at(out, field->offset), 0, t->size);
    }
    return true;
}

#define SEEN_WORDS 8u

static bool decode_by_name(decoder *d, const fields *f, uint32_t pairs, void *out, uint32_t depth) {
    uint64_t few[SEEN_WORDS] = {0}, *seen = few;
    size_t words = ((size_t)f->count + 63) / 64;
    if (words > SEEN_WORDS) {
        if (!(seen = alloc(d, words * sizeof *seen, _Alignof(uint64_t)))) return false;
        memset(seen, 0, words * sizeof *seen);
    }
    for (uint32_t next = 0, i; pairs > 0; pairs--) {
        choiri_msgpack_token key;
        choiri_reader before = d->r;
        if (!choiri_msgpack_read(&d->r, &key)) return false;
        i = f->count;
        if (key.kind != CHOIRI_MSGPACK_STR) { /* nobody's name, whatever it is */
            d->r = before;
            if (!choiri_msgpack_skip(&d->r, NULL)) return false;
        } else if (!find_field(d, f, key.bytes, next, &i)) {
            return false;
        }
        if (i == f->count) {
            if (!choiri_msgpack_skip(&d->r, NULL)) return false;
            continue;
        }
        if (seen[i / 64] >> (i % 64) & 1)
            return wrong(d, "has twice the field ",
                         choiri_unit_name(d->u, choiri_unit_field(d->u, f->first + i)->name));
        seen[i / 64] |= UINT64_C(1) << (i % 64);
        if (!decode_field(d, f, i, out, depth)) return false;
        next = i + 1 == f->count ? 0 : i + 1;
    }
    return fill_missing(d, f, seen, out);
}

/* By name in a map, or in order in an array: the compact form of serde. */
static bool decode_struct(decoder *d, const choir_type *t, const fields *f, void *out, uint32_t depth) {
    choiri_msgpack_token token;
    if (!choiri_msgpack_read(&d->r, &token)) return false;
    if (token.kind == CHOIRI_MSGPACK_MAP) return decode_by_name(d, f, token.count, out, depth);
    if (token.kind == CHOIRI_MSGPACK_ARRAY) return decode_in_order(d, f, token.count, out, depth);
    if (f->count == 0) return to_unit(d, t, &token);
    return not_a(d, t, &token);
}

static bool decode_tuple(decoder *d, const choir_type *t, const fields *f, void *out, uint32_t depth) {
    choiri_msgpack_token token;
    if (!choiri_msgpack_read(&d->r, &token)) return false;
    if (token.kind == CHOIRI_MSGPACK_ARRAY) return decode_in_order(d, f, token.count, out, depth);
    if (f->count == 0) return to_unit(d, t, &token);
    return not_a(d, t, &token);
}

/* ---- enums ---- */

static bool find_variant(decoder *d, const choir_type *t, choir_bytes name, uint32_t *ret) {
    for (uint32_t i = 0; i < t->count; i++) {
        if (d->steps == 0) return fail(d, CHOIR_ERR_TOO_LARGE);
        d->steps--;
        if (!key_is(name, d->u->strings + choiri_unit_variant(d->u, t->first + i)->name)) continue;
        *ret = i;
        return true;
    }
    return mismatch(d, t, "a variant that is not known");
}

static bool decode_payload(decoder *d, const choir_type *t, uint32_t tag, void *out, uint32_t depth) {
    const choir_variant *v = choiri_unit_variant(d->u, t->first + tag);
    fields f = {t, tag, v->first, v->count};
    choiri_msgpack_token token;
    switch (v->shape) {
    case CHOIR_VARIANT_UNIT: return choiri_msgpack_read(&d->r, &token) && to_unit(d, t, &token);
    case CHOIR_VARIANT_NEWTYPE: return decode_field(d, &f, 0, out, depth);
    case CHOIR_VARIANT_TUPLE: return decode_tuple(d, t, &f, out, depth);
    default: return decode_struct(d, t, &f, out, depth);
    }
}

/* "Unit" or {"Variant": payload}; {"Unit": nil} is taken, too. */
static bool decode_enum(decoder *d, const choir_type *t, void *out, uint32_t depth) {
    choiri_msgpack_token token, name;
    uint32_t tag;
    if (!choiri_msgpack_read(&d->r, &token)) return false;
    if (token.kind == CHOIRI_MSGPACK_STR) {
        if (!find_variant(d, t, token.bytes, &tag)) return false;
        if (choiri_unit_variant(d->u, t->first + tag)->shape != CHOIR_VARIANT_UNIT)
            return mismatch(d, t, "a variant without what belongs to it");
        *(uint32_t *)out = tag;
        return true;
    }
    if (token.kind != CHOIRI_MSGPACK_MAP || token.count != 1) return not_a(d, t, &token);
    if (!choiri_msgpack_read(&d->r, &name)) return false;
    if (name.kind != CHOIRI_MSGPACK_STR) return not_a(d, t, &name);
    if (!find_variant(d, t, name.bytes, &tag)) return false;
    *(uint32_t *)out = tag;
    return decode_payload(d, t, tag, out, depth);
}

static bool decode_result(decoder *d, const choir_type *t, void *out, uint32_t depth) {
    choiri_msgpack_token token, name;
    if (!choiri_msgpack_read(&d->r, &token)) return false;
    if (token.kind != CHOIRI_MSGPACK_MAP || token.count != 1) return not_a(d, t, &token);
    if (!choiri_msgpack_read(&d->r, &name)) return false;
    bool err = name.kind == CHOIRI_MSGPACK_STR && key_is(name.bytes, "Err");
    if (!err && !(name.kind == CHOIRI_MSGPACK_STR && key_is(name.bytes, "Ok")))
        return mismatch(d, t, "neither Ok nor Err");
    *(uint32_t *)out = err;
    if (decode(d, err ? t->elem2 : t->elem, at(out, t->offset), depth)) return true;
    choiri_path_add(&d->path, t, 0, err);
    return false;
}

/* ---- the others ---- */

static bool decode_items(decoder *d, const choir_type *t, void *out, size_t count, uint32_t depth) {
    size_t size = choiri_unit_type(d->u, t->elem)->size;
    for (size_t i = 0; i < count; i++) {
        if (decode(d, t->elem, at(out, i * size), depth)) continue;
        choiri_path_add(&d->path, t, 0, i);
        return false;
    }
    return true;
}

static bool alloc_items(decoder *d, const choir_type *t, uint32_t count, choir_list *out) {
    const choir_type *elem = choiri_unit_type(d->u, t->elem);
    size_t size;
    if (__builtin_mul_overflow((size_t)count, (size_t)elem->size, &size)) return fail(d, CHOIR_ERR_TOO_LARGE);
    *out = (choir_list){size > 0 ? alloc(d, size, elem->align) : NULL, count};
    return size == 0 || out->items;
}

static bool decode_list(decoder *d, const choir_type *t, choir_list *out, uint32_t depth) {
    choiri_msgpack_token token;
    if (!choiri_msgpack_read(&d->r, &token)) return false;
    if (token.kind != CHOIRI_MSGPACK_ARRAY) return not_a(d, t, &token);
    return alloc_items(d, t, token.count, out) &&
           decode_items(d, t, (void *)(uintptr_t)out->items, token.count, depth);
}

static bool decode_pair(decoder *d, const choir_type *pair, void *out, uint32_t depth) {
    fields f = {pair, 0, pair->first, 2};
    return decode_field(d, &f, 0, out, depth + 1) && decode_field(d, &f, 1, out, depth + 1);
}

/* A map; or an array of pairs, because a JavaScript object has only strings for keys. */
static bool decode_map(decoder *d, const choir_type *t, choir_list *out, uint32_t depth) {
    choiri_msgpack_token token;
    const choir_type *pair = choiri_unit_type(d->u, t->elem);
    if (!choiri_msgpack_read(&d->r, &token)) return false;
    if (token.kind != CHOIRI_MSGPACK_MAP && token.kind != CHOIRI_MSGPACK_ARRAY) return not_a(d, t, &token);
    if (!alloc_items(d, t, token.count, out)) return false;
    uint8_t *items = (void *)(uintptr_t)out->items;
    if (token.kind == CHOIRI_MSGPACK_ARRAY) return decode_items(d, t, items, token.count, depth);
    for (size_t i = 0; i < token.count; i++) {
        if (decode_pair(d, pair, at(items, i * pair->size), depth)) continue;
        choiri_path_add(&d->path, t, 0, i);
        return false;
    }
    return true;
}

/* Bytes may come as bytes. */
static bool decode_array(decoder *d, const choir_type *t, void *out, uint32_t depth) {
    choiri_msgpack_token token;
    if (!choiri_msgpack_read(&d->r, &token)) return false;
    bool octets = choiri_unit_type(d->u, t->elem)->kind == CHOIR_KIND_U8;
    bool is_bytes = token.kind == CHOIRI_MSGPACK_BIN || token.kind == CHOIRI_MSGPACK_STR;
    if (octets && is_bytes && token.bytes.len == t->count) {
        if (t->count > 0) memcpy(out, token.bytes.data, t->count);
        return true;
    }
    if (token.kind != CHOIRI_MSGPACK_ARRAY) return not_a(d, t, &token);
    if (token.count != t->count) return mismatch(d, t, "an array of another length");
    return decode_items(d, t, out, t->count, depth);
}

/* nil is none and leaves zeros behind. Some of what may itself be nil is an array of one. */
static bool decode_option(decoder *d, const choir_type *t, void *out, uint32_t depth) {
    choiri_msgpack_token token;
    if (choiri_msgpack_is_nil(&d->r)) {
        d->r.pos++;
        memset(out, 0, t->size);
        return true;
    }
    *(bool *)out = true;
    if (choiri_msgpack_may_be_nil(d->u, t->elem)) {
        if (!choiri_msgpack_read(&d->r, &token)) return false;
        if (token.kind != CHOIRI_MSGPACK_ARRAY || token.count != 1)
            return wrong(d, "an option of what may be nil must be nil or an array of one",
                         (choir_str){"", 0});
    }
    return decode(d, t->elem, at(out, t->offset), depth);
}

/* Makes memory for the pointee and stores the pointer, which has the program's type. */
static bool decode_box(decoder *d, const choir_type *t, void *out, uint32_t depth) {
    const choir_type *elem = choiri_unit_type(d->u, t->elem);
    void *p = alloc(d, elem->size, elem->align);
    if (!p) return false;
    memcpy(out, &p, sizeof p);
    return decode(d, t->elem, p, depth);
}

static bool decode_parts(decoder *d, const choir_type *t, void *out, uint32_t depth) {
    fields f = {t, 0, t->first, t->count};
    switch (t->kind) {
    case CHOIR_KIND_OPTION: return decode_option(d, t, out, depth);
    case CHOIR_KIND_BOX: return decode_box(d, t, out, depth);
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET: return decode_list(d, t, out, depth);
    case CHOIR_KIND_MAP: return decode_map(d, t, out, depth);
    case CHOIR_KIND_ARRAY: return decode_array(d, t, out, depth);
    case CHOIR_KIND_TUPLE:
        if (!choiri_msgpack_is_newtype(t)) return decode_tuple(d, t, &f, out, depth);
        out = at(out, choiri_unit_field(d->u, t->first)->offset);
        return decode(d, choiri_unit_field(d->u, t->first)->type, out, depth);
    case CHOIR_KIND_STRUCT: return decode_struct(d, t, &f, out, depth);
    case CHOIR_KIND_ENUM: return decode_enum(d, t, out, depth);
    case CHOIR_KIND_RESULT: return decode_result(d, t, out, depth);
    default: return wrong(d, "a type that cannot be read", (choir_str){"", 0});
    }
}

static bool decode(decoder *d, uint32_t type, void *out, uint32_t depth) {
    const choir_type *t = choiri_unit_type(d->u, type);
    choiri_msgpack_token token;
    if (choiri_msgpack_is_scalar(t->kind))
        return choiri_msgpack_read(&d->r, &token) && decode_scalar(d, type, t, &token, out);
    if (depth == CHOIRI_VALUE_DEPTH) return fail(d, CHOIR_ERR_DEPTH);
    return decode_parts(d, t, out, depth + 1);
}

static void explain(const decoder *d, choiri_text *text) {
    choiri_text_init(text);
    choiri_path_write(&d->path, d->u, text);
    if (text->len > 0) choiri_text_add(text, ": ");
    if (!d->found && choiri_bind_explain(d->u, d->failed, d->r.status, text)) return;
    switch (d->r.status) {
    case CHOIR_ERR_TOO_LARGE: choiri_text_add(text, "over the memory limit"); return;
    case CHOIR_ERR_NO_MEMORY: choiri_text_add(text, "out of memory"); return;
    case CHOIR_ERR_DEPTH: choiri_text_add(text, "nested too deep"); return;
    default: break;
    }
    if (d->failed && !d->found) {
        choiri_type_write(d->u, d->failed, choiri_text_add(text, "malformed ")); /* the binder says so */
    } else if (d->failed) {
        choiri_type_write(d->u, d->failed, choiri_text_add(text, "expected "));
        choiri_text_add(choiri_text_add(text, ", found "), d->found);
    } else if (d->why) {
        choiri_text_str(choiri_text_add(text, d->why), d->name);
    } else {
        choiri_text_add(text, "not msgpack");
    }
}

static int explain_scan(int status, choiri_text *text) {
    if (!text) return status;
    choiri_text_init(text);
    choiri_text_add(text, status == CHOIR_ERR_DEPTH       ? "nested more than 32 deep"
                          : status == CHOIR_ERR_TRUNCATED ? "truncated msgpack"
                                                          : "not one msgpack value");
    return status;
}

int choiri_msgpack_decode(choiri_reader *r, const choir_unit *u, uint32_t type, choiri_arena *arena,
                          void *ret_value, choiri_text *ret_text) {
    decoder d; /* not initialised as a whole: the path is a kilobyte that is rarely used */
    choir_bytes bytes = {r->pos, choiri_reader_left(r)};
    int status = choiri_msgpack_scan(bytes);
    if (status != CHOIR_OK) return explain_scan(status, ret_text);
    d.r = *r;
    r->pos = r->end;
    d.u = u;
    d.arena = arena;
    d.steps = CHOIRI_MSGPACK_STEPS + (uint64_t)CHOIRI_MSGPACK_STEPS_EACH * bytes.len;
    d.failed = NULL;
    d.found = d.why = NULL;
    d.path.len = 0;
    if (decode(&d, type, ret_value, 0)) return CHOIR_OK;
    if (ret_text) explain(&d, ret_text);
    return d.r.status;
}
