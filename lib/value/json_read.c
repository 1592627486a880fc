/* SPDX-License-Identifier: MIT */
/* Values from JSON text, driven by descriptors; the spelling is in choir/value.h.
 *
 * One pass over the text with the type in hand; there is no tree between. An arena cannot grow a list, so its
 * elements are counted ahead by looking for commas; memory is thus bounded by the text that is really there,
 * and counting again on each of at most 64 levels is the price. Fields come in any order, each at most once,
 * none unknown; those with a default and options may be missing. What JSON has no word for is told in
 * json_write.c. */
#include "base/assert.h"
#include "value/decimal.h"
#include "value/json.h"
#include "value/path.h"
#include "value/unit.h"
#include "value/value.h"

typedef struct input {
    choiri_json json;
    const choir_unit *u;
    choiri_path path; /* of the failure */
} input;

static bool read_value(input *in, uint32_t type, void *out, uint32_t depth);

/* p may be NULL when there is nothing at it. */
static void *at(void *p, size_t offset) {
    return offset == 0 ? p : (uint8_t *)p + offset;
}

/* --- failures: all return false --- */

static bool fail_layout(input *in, const choir_type *t, const char *what) {
    choiri_text *text = choiri_text_add(choiri_json_fail(&in->json, CHOIR_ERR_LAYOUT), what);
    choiri_type_write(in->u, t, choiri_text_add(text, " in "));
    return false;
}

/* The same, about a word of the text. */
static bool fail_name(input *in, const choir_type *t, const char *what, choir_str name) {
    choiri_text *text = choiri_text_add(choiri_json_fail(&in->json, CHOIR_ERR_LAYOUT), what);
    choiri_text_quoted(text, (choir_bytes){(const uint8_t *)name.data, name.len}, 64);
    choiri_type_write(in->u, t, choiri_text_add(text, " in "));
    return false;
}

static bool fail_range(input *in, const choir_type *t) {
    choiri_type_write(in->u, t,
                      choiri_text_add(choiri_json_fail(&in->json, CHOIR_ERR_TOO_LARGE), "out of range for "));
    return false;
}

static bool fail_count(input *in, const choir_type *t, uint32_t count) {
    choiri_text *text = choiri_json_fail(&in->json, CHOIR_ERR_LAYOUT);
    choiri_text_u64(choiri_text_add(text, "expected "), count);
    choiri_type_write(in->u, t, choiri_text_add(text, " elements for "));
    return false;
}

/* An element after the last one, or no JSON. */
static bool fail_more(input *in) {
    return choiri_json_fail_shape(&in->json, "the end of the array");
}

static bool fail_depth(input *in) {
    choiri_text_add(choiri_json_fail(&in->json, CHOIR_ERR_DEPTH), "nested more than 64 deep");
    return false;
}

/* --- values --- */

static uint32_t bit_length(choir_u128 v) {
    if (v.hi) return 128 - (uint32_t)__builtin_clzll(v.hi);
    return v.lo ? 64 - (uint32_t)__builtin_clzll(v.lo) : 0;
}

/* One more digit to a number of four limbs, lowest first; false when it takes more than 128 bits. */
static bool add_digit(uint32_t limbs[4], char digit) {
    uint64_t carry = (uint64_t)(digit - '0');
    for (size_t i = 0; i < 4; i++) {
        carry += (uint64_t)limbs[i] * 10;
        limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return carry == 0;
}

/* Decimal digits as a number; false when it takes more than 128 bits. */
static bool parse_digits(const char *p, const char *end, choir_u128 *ret) {
    uint32_t limbs[4] = {0};
    for (; p < end; p++)
        if (!add_digit(limbs, *p)) return false;
    *ret = (choir_u128){(uint64_t)limbs[1] << 32 | limbs[0], (uint64_t)limbs[3] << 32 | limbs[2]};
    return true;
}

static bool read_integer(input *in, const choir_type *t, void *out) {
    bool is_signed = t->kind >= CHOIR_KIND_I8;
    uint32_t size = 1u << (t->kind - (is_signed ? CHOIR_KIND_I8 : CHOIR_KIND_U8)), bits = 8 * size;
    choir_str text;
    bool whole;
    if (!choiri_json_read_number(&in->json, &text, &whole)) return false;
    if (!whole) return fail_name(in, t, "not an integer: ", text);
    bool negative = text.data[0] == '-';
    choir_u128 v;
    if (!parse_digits(text.data + negative, text.data + text.len, &v)) return fail_range(in, t);
    if ((v.lo | v.hi) == 0) negative = false;
    if (negative && !is_signed) return fail_range(in, t);
    /* -v is ~(v - 1), and v - 1 takes as many bits as -v without its sign. */
    if (negative) v = (choir_u128){v.lo - 1, v.hi - (v.lo == 0)};
    if (bit_length(v) > bits - is_signed) return fail_range(in, t);
    if (negative) v = (choir_u128){~v.lo, ~v.hi};
    switch (size) {
    case 1: *(uint8_t *)out = (uint8_t)v.lo; break;
    case 2: *(uint16_t *)out = (uint16_t)v.lo; break;
    case 4: *(uint32_t *)out = (uint32_t)v.lo; break;
    case 8: *(uint64_t *)out = v.lo; break;
    default: *(choir_u128 *)out = v; break;
    }
    return true;
}

static bool is_equal(choir_str a, choir_str b) {
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool is_text(choir_str s, const char *text) {
    return is_equal(s, (choir_str){text, strlen(text)});
}

static bool read_float(input *in, const choir_type *t, double *ret_wide, float *ret_narrow) {
    choir_str text;
    bool whole;
    if (choiri_json_is_next(&in->json, '"')) {
        if (!choiri_json_read_string(&in->json, true, &text)) return false;
        if (is_text(text, CHOIRI_JSON_NAN))
            *ret_wide = (double)__builtin_nanf("");
        else if (is_text(text, CHOIRI_JSON_INFINITY))
            *ret_wide = (double)__builtin_inff();
        else if (is_text(text, CHOIRI_JSON_NEGATIVE_INFINITY))
            *ret_wide = (double)-__builtin_inff();
        else
            return fail_name(in, t, "not a number: ", text);
        *ret_narrow = (float)*ret_wide;
        return true;
    }
    if (!choiri_json_read_number(&in->json, &text, &whole)) return false;
    int rc = t->kind == CHOIR_KIND_F32 ? choiri_decimal_to_f32(text, ret_narrow)
                                       : choiri_decimal_to_f64(text, ret_wide);
    return rc == CHOIR_OK || fail_range(in, t);
}

/* How many digits a number has in front of its point when it is written without an exponent and in
 * billionths. */
static int64_t count_whole_nanos(choir_str number) {
    const char *p = number.data, *end = p + number.len;
    int64_t whole = 0, exponent = 0;
    while (p < end && *p >= '0' && *p <= '9') p++, whole++;
    while (p < end && *p != 'e' && *p != 'E') p++;
    bool negative = p < end && p[1] == '-';
    for (p += p < end ? 1 : 0; p < end; p++)
        if (*p >= '0' && exponent < 1000)
            exponent = exponent * 10 + (*p - '0'); /* more is out of range anyway */
    return whole + (negative ? -exponent : exponent) + 9;
}

/* Divides by 10^9 in place and returns the remainder. */
static uint32_t split_nanos(uint32_t limbs[4]) {
    uint64_t rest = 0;
    for (size_t i = 4; i-- > 0;) {
        rest = rest << 32 | limbs[i];
        limbs[i] = (uint32_t)(rest / CHOIRI_NANOS);
        rest %= CHOIRI_NANOS;
    }
    return (uint32_t)rest;
}

/* A number of seconds. It is read as a number of nanoseconds, digit by digit, so that nothing is rounded. */
static bool read_duration(input *in, const choir_type *t, choir_timespan *out) {
    choir_str text;
    bool whole;
    uint32_t limbs[4] = {0};
    if (!choiri_json_read_number(&in->json, &text, &whole)) return false;
    if (text.data[0] == '-') return fail_range(in, t);
    int64_t keep = count_whole_nanos(text); /* how many digits; behind the last of the text follow zeros */
    for (size_t i = 0; i < text.len && text.data[i] != 'e' && text.data[i] != 'E'; i++) {
        if (text.data[i] == '.') continue;
        if (keep-- > 0 ? !add_digit(limbs, text.data[i]) : text.data[i] != '0')
            return keep >= 0 ? fail_range(in, t) : fail_name(in, t, "finer than a nanosecond: ", text);
    }
    while (keep-- > 0)
        if (!add_digit(limbs, '0')) return fail_range(in, t);
    uint32_t nanos = split_nanos(limbs);
    if (limbs[2] | limbs[3]) return fail_range(in, t);
    *out = (choir_timespan){(uint64_t)limbs[1] << 32 | limbs[0], nanos};
    return true;
}

/* A string of one character. */
static bool read_char(input *in, const choir_type *t, uint32_t *out) {
    choir_str s;
    if (!choiri_json_read_string(&in->json, true, &s)) return false;
    uint32_t lead = s.len > 0 ? (uint8_t)s.data[0] : 0;
    size_t len = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (s.len != len) return fail_name(in, t, "not one character: ", s);
    uint32_t scalar = len == 1 ? lead : lead & 0x7fu >> len;
    for (size_t i = 1; i < len; i++) scalar = scalar << 6 | ((uint8_t)s.data[i] & 0x3fu);
    *out = scalar;
    return true;
}

static bool read_bool(input *in, bool *out) {
    if (choiri_json_take_word(&in->json, "true"))
        *out = true;
    else if (choiri_json_take_word(&in->json, "false"))
        *out = false;
    else
        return choiri_json_fail_shape(&in->json, "true or false");
    return true;
}

static bool read_bytes(input *in, const choir_type *t, choir_bytes *out) {
    static const choir_type u8 = {.kind = CHOIR_KIND_U8, .size = 1, .align = 1};
    size_t count, i = 0;
    void *items;
    if (!choiri_json_take(&in->json, '[')) return choiri_json_fail_shape(&in->json, "an array");
    if (!choiri_json_alloc_elements(&in->json, 1, 1, &count, &items)) return false;
    for (; choiri_json_next(&in->json, i, ']'); i++) {
        if (i == count) return fail_more(in);
        if (read_integer(in, &u8, at(items, i))) continue;
        choiri_path_add(&in->path, t, 0, i);
        return false;
    }
    *out = (choir_bytes){items, i};
    return in->json.status == CHOIR_OK;
}

static bool read_scalar(input *in, const choir_type *t, void *out) {
    double wide;
    float narrow;
    switch (t->kind) {
    case CHOIR_KIND_BOOL: return read_bool(in, out);
    case CHOIR_KIND_F32: return read_float(in, t, &wide, out);
    case CHOIR_KIND_F64: return read_float(in, t, out, &narrow);
    case CHOIR_KIND_CHAR: return read_char(in, t, out);
    case CHOIR_KIND_STRING: return choiri_json_read_string(&in->json, false, out);
    case CHOIR_KIND_BYTES: return read_bytes(in, t, out);
    case CHOIR_KIND_UNIT:
        return choiri_json_take_word(&in->json, "null") || choiri_json_fail_shape(&in->json, "null");
    case CHOIR_KIND_NEVER: return choiri_json_fail_shape(&in->json, "nothing");
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX:
        choiri_text_add(choiri_json_fail(&in->json, CHOIR_ERR_UNSUPPORTED), "a channel end has no JSON");
        return false;
    case CHOIR_KIND_DURATION: return read_duration(in, t, out);
    default: return read_integer(in, t, out);
    }
}

static bool read_items(input *in, const choir_type *t, void *items, size_t count, uint32_t depth,
                       size_t *ret_count) {
    size_t size = choiri_unit_type(in->u, t->elem)->size, i = 0;
    for (; choiri_json_next(&in->json, i, ']'); i++) {
        if (i == count) return fail_more(in);
        if (read_value(in, t->elem, at(items, i * size), depth)) continue;
        choiri_path_add(&in->path, t, 0, i);
        return false;
    }
    *ret_count = i;
    return in->json.status == CHOIR_OK;
}

static bool read_array(input *in, const choir_type *t, void *out, uint32_t depth) {
    size_t count;
    if (!choiri_json_take(&in->json, '[')) return choiri_json_fail_shape(&in->json, "an array");
    if (!read_items(in, t, out, t->count, depth, &count)) return false;
    return count == t->count || fail_count(in, t, t->count);
}

static bool read_list(input *in, const choir_type *t, choir_list *out, uint32_t depth) {
    const choir_type *elem = choiri_unit_type(in->u, t->elem);
    size_t count;
    void *items;
    if (!choiri_json_take(&in->json, '[')) return choiri_json_fail_shape(&in->json, "an array");
    if (!choiri_json_alloc_elements(&in->json, elem->size, elem->align, &count, &items)) return false;
    if (!read_items(in, t, items, count, depth, &count)) return false;
    *out = (choir_list){items, count};
    return true;
}

static bool read_map(input *in, const choir_type *t, choir_list *out, uint32_t depth) {
    const choir_type *entry = choiri_unit_type(in->u, t->elem);
    const choir_field *key = choiri_unit_field(in->u, entry->first);
    const choir_field *value = choiri_unit_field(in->u, entry->first + 1);
    const choir_type *key_type = choiri_unit_type(in->u, key->type);
    if (key_type->kind != CHOIR_KIND_STRING) return read_list(in, t, out, depth);
    size_t count, i = 0;
    void *items;
    if (!choiri_json_take(&in->json, '{')) return choiri_json_fail_shape(&in->json, "an object");
    if (depth == CHOIRI_VALUE_DEPTH) return fail_depth(in); /* an entry is a tuple, which counts */
    if (!choiri_json_alloc_elements(&in->json, entry->size, entry->align, &count, &items)) return false;
    for (; choiri_json_next(&in->json, i, '}'); i++) {
        if (i == count) return choiri_json_fail_syntax(&in->json, "'}'");
        void *p = at(items, i * entry->size);
        if (choiri_json_read_key(&in->json, false, at(p, key->offset)) &&
            read_value(in, value->type, at(p, value->offset), depth + 1))
            continue;
        choiri_path_add(&in->path, t, 0, i);
        return false;
    }
    *out = (choir_list){items, i};
    return in->json.status == CHOIR_OK;
}

/* The parts of a struct, a tuple or a variant: where they are and how they are told in paths. */
typedef struct parts {
    const choir_type *type;
    uint32_t variant, first, count;
} parts;

static bool read_part(input *in, const parts *ps, uint32_t i, void *out, uint32_t depth) {
    const choir_field *f = choiri_unit_field(in->u, ps->first + i);
    if (read_value(in, f->type, at(out, f->offset), depth)) return true;
    choiri_path_add(&in->path, ps->type, ps->variant, i);
    return false;
}

static bool read_tuple(input *in, const parts *ps, void *out, uint32_t depth) {
    uint32_t i = 0;
    if (!choiri_json_take(&in->json, '[')) return choiri_json_fail_shape(&in->json, "an array");
    for (; choiri_json_next(&in->json, i, ']'); i++) {
        if (i == ps->count) return fail_more(in);
        if (!read_part(in, ps, i, out, depth)) return false;
    }
    if (in->json.status != CHOIR_OK) return false;
    return i == ps->count || fail_count(in, ps->type, ps->count);
}

static uint32_t find_field(const input *in, const parts *ps, choir_str name) {
    uint32_t i = 0;
    while (i < ps->count &&
           !is_equal(choiri_unit_name(in->u, choiri_unit_field(in->u, ps->first + i)->name), name))
        i++;
    return i;
}

/* Fills in a field that the text does not have. */
static bool read_missing(input *in, const parts *ps, uint32_t i, void *out) {
    const choir_field *f = choiri_unit_field(in->u, ps->first + i);
    const choir_type *t = choiri_unit_type(in->u, f->type);
    bool has_default = (f->flags & CHOIR_FIELD_DEFAULT) && choiri_value_has_zero(in->u, f->type);
    if (t->kind != CHOIR_KIND_OPTION && !has_default)
        return fail_name(in, ps->type, "missing field ", choiri_unit_name(in->u, f->name));
    memset(at(out, f->offset), 0, t->size);
    return true;
}

static bool read_struct(input *in, const parts *ps, void *out, uint32_t depth) {
    if (!choiri_json_take(&in->json, '{')) return choiri_json_fail_shape(&in->json, "an object");
    bool *seen = choiri_json_alloc(&in->json, ps->count, 1);
    if (!seen) return false;
    memset(seen, 0, ps->count);
    for (size_t i = 0; choiri_json_next(&in->json, i, '}'); i++) {
        choir_str key;
        if (!choiri_json_read_key(&in->json, true, &key)) return false;
        uint32_t field = find_field(in, ps, key);
        if (field == ps->count) return fail_name(in, ps->type, "unknown field ", key);
        if (seen[field]) return fail_name(in, ps->type, "second field ", key);
        seen[field] = true;
        if (!read_part(in, ps, field, out, depth)) return false;
    }
    if (in->json.status != CHOIR_OK) return false;
    for (uint32_t i = 0; i < ps->count; i++)
        if (!seen[i] && !read_missing(in, ps, i, out)) return false;
    return true;
}

static uint32_t find_variant(const input *in, const choir_type *t, choir_str name) {
    uint32_t i = 0;
    while (i < t->count &&
           !is_equal(choiri_unit_name(in->u, choiri_unit_variant(in->u, t->first + i)->name), name))
        i++;
    return i;
}

static bool read_payload(input *in, const choir_type *t, uint32_t tag, void *out, uint32_t depth) {
    const choir_variant *v = choiri_unit_variant(in->u, t->first + tag);
    parts ps = {t, tag, v->first, v->count};
    switch (v->shape) {
    case CHOIR_VARIANT_NEWTYPE: return read_part(in, &ps, 0, out, depth);
    case CHOIR_VARIANT_TUPLE: return read_tuple(in, &ps, out, depth);
    default: return read_struct(in, &ps, out, depth);
    }
}

/* An object with one key, which says what the value is. */
static bool read_tagged(input *in, const choir_type *t, choir_str *ret_key) {
    if (!choiri_json_take(&in->json, '{')) return choiri_json_fail_shape(&in->json, "an object");
    if (choiri_json_take(&in->json, '}')) return fail_layout(in, t, "no variant");
    return choiri_json_read_key(&in->json, true, ret_key);
}

static bool end_tagged(input *in, const choir_type *t) {
    if (choiri_json_take(&in->json, ',')) return fail_layout(in, t, "more than one variant");
    return choiri_json_take(&in->json, '}') || choiri_json_fail_syntax(&in->json, "'}'");
}

static bool read_enum(input *in, const choir_type *t, void *out, uint32_t depth) {
    choir_str name;
    bool unit = choiri_json_is_next(&in->json, '"');
    if (!(unit ? choiri_json_read_string(&in->json, true, &name) : read_tagged(in, t, &name))) return false;
    uint32_t tag = find_variant(in, t, name);
    if (tag == t->count) return fail_name(in, t, "unknown variant ", name);
    if (unit != (choiri_unit_variant(in->u, t->first + tag)->shape == CHOIR_VARIANT_UNIT))
        return fail_name(in, t, unit ? "no payload for variant " : "a payload for variant ", name);
    *(uint32_t *)out = tag;
    return unit || (read_payload(in, t, tag, out, depth) && end_tagged(in, t));
}

static bool read_result(input *in, const choir_type *t, void *out, uint32_t depth) {
    choir_str name;
    if (!read_tagged(in, t, &name)) return false;
    bool err = is_text(name, "Err");
    if (!err && !is_text(name, "Ok")) return fail_name(in, t, "unknown variant ", name);
    *(uint32_t *)out = err;
    if (read_value(in, err ? t->elem2 : t->elem, at(out, t->offset), depth)) return end_tagged(in, t);
    choiri_path_add(&in->path, t, 0, err);
    return false;
}

static bool read_option(input *in, const choir_type *t, void *out, uint32_t depth) {
    if (choiri_json_take_word(&in->json, "null")) {
        memset(out, 0, t->size);
        return true;
    }
    *(bool *)out = true;
    return read_value(in, t->elem, at(out, t->offset), depth);
}

static bool read_box(input *in, const choir_type *t, void *out, uint32_t depth) {
    const choir_type *elem = choiri_unit_type(in->u, t->elem);
    void *p = choiri_json_alloc(&in->json, elem->size, elem->align);
    if (!p) return false;
    memcpy(out, &p, sizeof p); /* the pointer has the program's type */
    return read_value(in, t->elem, p, depth);
}

static bool read_value(input *in, uint32_t type, void *out, uint32_t depth) {
    const choir_type *t = choiri_unit_type(in->u, type);
    if (!choiri_kind_nests(t->kind)) return read_scalar(in, t, out);
    if (depth++ == CHOIRI_VALUE_DEPTH) return fail_depth(in);
    parts ps = {t, 0, t->first, t->count};
    switch (t->kind) {
    case CHOIR_KIND_OPTION: return read_option(in, t, out, depth);
    case CHOIR_KIND_BOX: return read_box(in, t, out, depth);
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET: return read_list(in, t, out, depth);
    case CHOIR_KIND_MAP: return read_map(in, t, out, depth);
    case CHOIR_KIND_ARRAY: return read_array(in, t, out, depth);
    case CHOIR_KIND_TUPLE: return read_tuple(in, &ps, out, depth);
    case CHOIR_KIND_STRUCT: return read_struct(in, &ps, out, depth);
    case CHOIR_KIND_ENUM: return read_enum(in, t, out, depth);
    default: return read_result(in, t, out, depth);
    }
}

static bool check_type(input *in, uint32_t type) {
    in->json.status = choiri_unit_check(in->u, &in->json.what);
    if (in->json.status == CHOIR_OK && type >= in->u->types_len)
        choiri_text_add(choiri_json_fail(&in->json, CHOIR_ERR_INVALID), "no such type");
    return in->json.status == CHOIR_OK;
}

/* The text of a failure: in the arena while that has room. */
static choir_str explain(const input *in, choiri_arena *arena) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_path_write(&in->path, in->u, &text);
    if (text.len > 0) choiri_text_add(&text, ": ");
    choiri_text_str(&text, choiri_text_get(&in->json.what));
    char *copy = choiri_arena_alloc(arena, text.len, 1);
    if (!copy) return CHOIR_STR("over the memory limit");
    memcpy(copy, text.data, text.len);
    return (choir_str){copy, text.len};
}

int choir_value_from_json(const choir_unit *unit, uint32_t type, choir_str json, choir_arena *arena,
                          void *ret_value, choir_str *ret_error) {
    input in;
    in.u = unit;
    in.path.len = 0;
    if (check_type(&in, type) && choiri_json_init(&in.json, json, &arena->arena) &&
        read_value(&in, type, ret_value, 0) && choiri_json_end(&in.json))
        return CHOIR_OK;
    if (ret_error) *ret_error = explain(&in, &arena->arena);
    return in.json.status;
}
