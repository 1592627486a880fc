/* SPDX-License-Identifier: MIT */
/* Values as JSON text, driven by descriptors; the spelling is in choir/value.h.
 *
 * The writer runs twice: once to learn the length, then into memory of exactly that length, because an arena
 * cannot give back a buffer that turned out too small. What JSON has no word for: infinities and NaN are the
 * strings "Infinity", "-Infinity" and "NaN"; an option in an option is null whichever of the two is empty. */
#include "base/assert.h"
#include "value/json.h"
#include "value/number.h"
#include "value/unit.h"
#include "value/value.h"
#include "wire/utf8.h"

typedef struct output {
    const choir_unit *u;
    char *out;    /* NULL: only counts */
    size_t len;   /* so far */
    size_t limit; /* stop counting here: few bytes of a peer's can be a very long text */
    int status;
} output;

static void write_value(output *o, uint32_t type, const void *p, uint32_t depth);

/* p may be NULL when there is nothing at it. */
static const void *at(const void *p, size_t offset) {
    return offset == 0 ? p : (const uint8_t *)p + offset;
}

static void fail(output *o, int status) {
    if (o->status == CHOIR_OK) o->status = status;
}

static void put(output *o, const char *data, size_t len) {
    if (len > o->limit - o->len) {
        fail(o, CHOIR_ERR_TOO_LARGE);
        return;
    }
    if (o->out) memcpy(o->out + o->len, data, len);
    o->len += len;
}

static void put_text(output *o, const char *text) {
    put(o, text, strlen(text));
}

/* A control character, a quote or a backslash. */
static void put_escaped(output *o, char c) {
    static const char letters[] = "btnvfr",
                      hex[] = "0123456789abcdef"; /* from 8 on; there is no \v in JSON */
    uint8_t b = (uint8_t)c;
    char unicode[6] = {'\\', 'u', '0', '0', hex[b >> 4], hex[b & 15]};
    bool has_letter = b >= '\b' && b <= '\r' && b != '\v';
    char plain[2] = {'\\', b < 0x20 ? letters[has_letter ? b - '\b' : 0] : c};
    if (b >= 0x20 || has_letter)
        put(o, plain, 2);
    else
        put(o, unicode, 6);
}

static void put_string(output *o, choir_str s) {
    if (!choiri_utf8_is_valid((const uint8_t *)s.data, s.len)) {
        fail(o, CHOIR_ERR_INVALID);
        return;
    }
    put(o, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        put(o, s.data + from, i - from);
        put_escaped(o, s.data[i]);
        from = i + 1;
    }
    if (s.len > from) put(o, s.data + from, s.len - from);
    put(o, "\"", 1);
}

static void put_char(output *o, uint32_t c) {
    char utf8[4];
    if (c > 0x10ffff)
        fail(o, CHOIR_ERR_INVALID);
    else
        put_string(o, (choir_str){utf8, choiri_json_utf8(c, utf8)}); /* which refuses surrogates */
}

static void put_number(output *o, uint32_t kind, const void *p) {
    char digits[CHOIRI_NUMBER_MAX];
    put(o, digits, choiri_number_write(kind, p, digits));
}

static void put_float(output *o, uint32_t kind, const void *p) {
    double v = kind == CHOIR_KIND_F32 ? (double)*(const float *)p : *(const double *)p;
    if (v != v)
        put_text(o, "\"" CHOIRI_JSON_NAN "\"");
    else if (v - v != 0)
        put_text(o, v > 0 ? "\"" CHOIRI_JSON_INFINITY "\"" : "\"" CHOIRI_JSON_NEGATIVE_INFINITY "\"");
    else
        put_number(o, kind, p);
}

static void put_duration(output *o, const choir_timespan *v) {
    if (v->nanoseconds < CHOIRI_NANOS)
        put_number(o, CHOIR_KIND_DURATION, v);
    else
        fail(o, CHOIR_ERR_INVALID);
}

static void put_bytes(output *o, choir_bytes b) {
    put(o, "[", 1);
    for (size_t i = 0; i < b.len && o->status == CHOIR_OK; i++) {
        if (i > 0) put(o, ",", 1);
        put_number(o, CHOIR_KIND_U8, &b.data[i]);
    }
    put(o, "]", 1);
}

static void write_fields(output *o, uint32_t first, uint32_t count, bool named, const void *p,
                         uint32_t depth) {
    put(o, named ? "{" : "[", 1);
    for (uint32_t i = 0; i < count && o->status == CHOIR_OK; i++) {
        const choir_field *f = choiri_unit_field(o->u, first + i);
        if (i > 0) put(o, ",", 1);
        if (named) put_string(o, choiri_unit_name(o->u, f->name));
        if (named) put(o, ":", 1);
        write_value(o, f->type, at(p, f->offset), depth);
    }
    put(o, named ? "}" : "]", 1);
}

static void write_items(output *o, uint32_t elem, const void *p, size_t count, uint32_t depth) {
    size_t size = choiri_unit_type(o->u, elem)->size;
    put(o, "[", 1);
    for (size_t i = 0; i < count && o->status == CHOIR_OK; i++) {
        if (i > 0) put(o, ",", 1);
        write_value(o, elem, at(p, i * size), depth);
    }
    put(o, "]", 1);
}

/* A map whose keys are strings. */
static void write_object(output *o, const choir_type *entry, const choir_list *list, uint32_t depth) {
    const choir_field *key = choiri_unit_field(o->u, entry->first);
    const choir_field *value = choiri_unit_field(o->u, entry->first + 1);
    if (depth == CHOIRI_VALUE_DEPTH) { /* an entry is a tuple, which counts */
        fail(o, CHOIR_ERR_DEPTH);
        return;
    }
    put(o, "{", 1);
    for (size_t i = 0; i < list->len && o->status == CHOIR_OK; i++) {
        const void *p = at(list->items, i * entry->size);
        if (i > 0) put(o, ",", 1);
        put_string(o, *(const choir_str *)at(p, key->offset));
        put(o, ":", 1);
        write_value(o, value->type, at(p, value->offset), depth + 1);
    }
    put(o, "}", 1);
}

static void write_map(output *o, const choir_type *t, const choir_list *list, uint32_t depth) {
    const choir_type *entry = choiri_unit_type(o->u, t->elem);
    if (choiri_unit_type(o->u, choiri_unit_field(o->u, entry->first)->type)->kind == CHOIR_KIND_STRING)
        write_object(o, entry, list, depth);
    else
        write_items(o, t->elem, list->items, list->len, depth);
}

static void write_enum(output *o, const choir_type *t, const void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag >= t->count) {
        fail(o, CHOIR_ERR_INVALID);
        return;
    }
    const choir_variant *v = choiri_unit_variant(o->u, t->first + tag);
    if (v->shape != CHOIR_VARIANT_UNIT) put(o, "{", 1);
    put_string(o, choiri_unit_name(o->u, v->name));
    if (v->shape == CHOIR_VARIANT_UNIT) return;
    put(o, ":", 1);
    const choir_field *f = v->shape == CHOIR_VARIANT_NEWTYPE ? choiri_unit_field(o->u, v->first) : NULL;
    if (f)
        write_value(o, f->type, at(p, f->offset), depth);
    else
        write_fields(o, v->first, v->count, v->shape == CHOIR_VARIANT_STRUCT, p, depth);
    put(o, "}", 1);
}

static void write_result(output *o, const choir_type *t, const void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag > 1) {
        fail(o, CHOIR_ERR_INVALID);
        return;
    }
    put_text(o, tag == 0 ? "{\"Ok\":" : "{\"Err\":");
    write_value(o, tag == 0 ? t->elem : t->elem2, at(p, t->offset), depth);
    put(o, "}", 1);
}

/* A byte that must be 0 or 1 before it may be looked at as a bool. */
static bool flag(output *o, const void *p) {
    uint8_t b = *(const uint8_t *)p;
    if (b > 1) fail(o, CHOIR_ERR_INVALID);
    return b == 1;
}

static void write_scalar(output *o, uint32_t kind, const void *p) {
    switch (kind) {
    case CHOIR_KIND_BOOL: put_text(o, flag(o, p) ? "true" : "false"); break;
    case CHOIR_KIND_F32:
    case CHOIR_KIND_F64: put_float(o, kind, p); break;
    case CHOIR_KIND_CHAR: put_char(o, *(const uint32_t *)p); break;
    case CHOIR_KIND_STRING: put_string(o, *(const choir_str *)p); break;
    case CHOIR_KIND_BYTES: put_bytes(o, *(const choir_bytes *)p); break;
    case CHOIR_KIND_UNIT: put_text(o, "null"); break;
    case CHOIR_KIND_DURATION: put_duration(o, p); break;
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX: fail(o, CHOIR_ERR_UNSUPPORTED); break;
    case CHOIR_KIND_NEVER: fail(o, CHOIR_ERR_INVALID); break;
    default: put_number(o, kind, p); break; /* integers */
    }
}

static void write_value(output *o, uint32_t type, const void *p, uint32_t depth) {
    const choir_type *t = choiri_unit_type(o->u, type);
    const choir_list *list = p;
    if (choiri_kind_nests(t->kind) && depth++ == CHOIRI_VALUE_DEPTH) {
        fail(o, CHOIR_ERR_DEPTH);
        return;
    }
    switch (t->kind) {
    case CHOIR_KIND_OPTION:
        if (flag(o, p))
            write_value(o, t->elem, at(p, t->offset), depth);
        else
            put_text(o, "null");
        break;
    case CHOIR_KIND_BOX:
        p = choiri_value_boxed(p);
        if (p)
            write_value(o, t->elem, p, depth);
        else
            fail(o, CHOIR_ERR_INVALID);
        break;
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET: write_items(o, t->elem, list->items, list->len, depth); break;
    case CHOIR_KIND_MAP: write_map(o, t, list, depth); break;
    case CHOIR_KIND_ARRAY: write_items(o, t->elem, p, t->count, depth); break;
    case CHOIR_KIND_TUPLE: write_fields(o, t->first, t->count, false, p, depth); break;
    case CHOIR_KIND_STRUCT: write_fields(o, t->first, t->count, true, p, depth); break;
    case CHOIR_KIND_ENUM: write_enum(o, t, p, depth); break;
    case CHOIR_KIND_RESULT: write_result(o, t, p, depth); break;
    default: write_scalar(o, t->kind, p); break;
    }
}

int choir_value_to_json(const choir_unit *unit, uint32_t type, const void *value, choir_arena *arena,
                        choir_str *ret_json) {
    choiri_arena *a = &arena->arena;
    choiri_text text;
    int rc = choiri_unit_check(unit, &text);
    if (rc != CHOIR_OK) return rc;
    if (type >= unit->types_len) return CHOIR_ERR_INVALID;
    output o = {.u = unit, .limit = a->limit};
    write_value(&o, type, value, 0);
    if (o.status != CHOIR_OK) return o.status;
    char *out = choiri_arena_alloc(a, o.len + 1, 1);
    if (!out) return choiri_arena_is_full(a, o.len + 1) ? CHOIR_ERR_TOO_LARGE : CHOIR_ERR_NO_MEMORY;
    o = (output){.u = unit, .out = out, .limit = o.len};
    write_value(&o, type, value, 0);
    CHOIRI_ASSERT(o.status == CHOIR_OK && o.len == o.limit);
    out[o.len] = '\0';
    *ret_json = (choir_str){out, o.len};
    return CHOIR_OK;
}
