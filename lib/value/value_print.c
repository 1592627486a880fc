/* SPDX-License-Identifier: MIT */
/* Values as text for people, driven by descriptors: logs, debuggers, tests. Much like Rust's Debug, on one
 * line.
 *
 * It never fails: what is too long is cut, what is wrong with a value is said in its place, and what must not
 * be seen is not looked at. Text is escaped so that it cannot end the line or steer a terminal. The work is
 * bounded by the room for the text, since every value that is looked at writes something.
 */
#include "value/json.h"
#include "value/number.h"
#include "value/unit.h"
#include "value/value.h"
#include "wire/utf8.h"

#define TEXT_SHOWN  256u /* bytes of a string */
#define BYTES_SHOWN 32u
#define ITEMS_SHOWN 64u /* elements of a list */

static const char digits[] = "0123456789abcdef";

typedef struct printer {
    const choir_unit *u;
    char *out;
    size_t len, room; /* room does not count the NUL */
    bool cut;
} printer;

static void print(printer *o, uint32_t type, const void *p, uint32_t depth);

static const void *at(const void *p, size_t offset) {
    return (const uint8_t *)p + offset;
}

/* Once something did not fit, nothing more is written. */
static void put(printer *o, const char *data, size_t len) {
    if (o->cut || len == 0) return;
    if (len <= o->room - o->len) {
        memcpy(o->out + o->len, data, len);
        o->len += len;
        return;
    }
    o->cut = true;
    memcpy(o->out + o->len, data, o->room - o->len);
    size_t keep = o->room < 3 ? 0 : o->room - 3;
    while (keep > 0 && ((uint8_t)o->out[keep] & 0xc0u) == 0x80u) keep--; /* not inside a character */
    o->len = keep;
    if (o->room >= 3) memcpy(o->out + keep, "...", 3), o->len += 3;
}

static void put_text(printer *o, const char *text) {
    put(o, text, strlen(text));
}

static void put_name(printer *o, uint32_t name) {
    choir_str s = choiri_unit_name(o->u, name);
    put(o, s.data, s.len);
}

/* Not inline: its room on the stack would be there 64 times when values nest. So with print_scalar. */
static __attribute__((noinline)) void put_number(printer *o, uint32_t kind, const void *p) {
    char text[CHOIRI_NUMBER_MAX];
    put(o, text, choiri_number_write(kind, p, text));
}

static void put_size(printer *o, size_t size) {
    uint64_t wide = size;
    put_number(o, CHOIR_KIND_U64, &wide);
}

/* What is wrong with a value. */
static void put_bad(printer *o, const char *what, uint32_t number) {
    put_text(o, "<bad ");
    put_text(o, what);
    put_text(o, " ");
    put_number(o, CHOIR_KIND_U32, &number);
    put_text(o, ">");
}

/* --- text and bytes --- */

/* One byte that is not shown as it is. */
static void put_escape(printer *o, uint8_t c) {
    char hex[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
    if (c == '\n')
        put(o, "\\n", 2);
    else if (c == '\t')
        put(o, "\\t", 2);
    else if (c == '"' || c == '\\')
        put(o, (const char[]){'\\', (char)c}, 2);
    else
        put(o, hex, 4);
}

/* Control characters (also those from U+0080 to U+009F, which are c2 and another byte), quotes, backslashes,
 * and all that is not text are escaped. */
static void put_escaped(printer *o, const uint8_t *data, size_t len) {
    bool is_text = choiri_utf8_is_valid(data, len);
    for (size_t i = 0; i < len && !o->cut; i++) {
        uint8_t c = data[i];
        bool control = c < 0x20 || c == 0x7f || c == '"' || c == '\\' || (c >= 0x80 && !is_text);
        if (is_text && c == 0xc2 && data[i + 1] < 0xa0) {
            put_escape(o, c);
            control = true;
            c = data[++i];
        }
        if (control)
            put_escape(o, c);
        else
            put(o, (const char *)&data[i], 1);
    }
}

static void put_string(printer *o, choir_str s) {
    size_t shown = s.len;
    if (s.data && shown > TEXT_SHOWN) {
        shown = TEXT_SHOWN;
        while (shown > TEXT_SHOWN - 3 && ((uint8_t)s.data[shown] & 0xc0u) == 0x80u) shown--;
    }
    if (!s.data && s.len > 0) {
        put_text(o, "<null>");
        return;
    }
    put(o, "\"", 1);
    put_escaped(o, (const uint8_t *)s.data, shown);
    put(o, "\"", 1);
    if (shown == s.len) return;
    put_text(o, "... ");
    put_size(o, s.len);
    put_text(o, " bytes");
}

static void put_char(printer *o, uint32_t scalar) {
    char utf8[4];
    if (scalar > 0x10ffff || (scalar >= 0xd800 && scalar <= 0xdfff)) {
        put_bad(o, "char", scalar);
        return;
    }
    put(o, "'", 1);
    put_escaped(o, (const uint8_t *)utf8, choiri_json_utf8(scalar, utf8));
    put(o, "'", 1);
}

static void put_bytes(printer *o, choir_bytes b) {
    size_t shown = b.len < BYTES_SHOWN ? b.len : BYTES_SHOWN;
    if (!b.data && b.len > 0) {
        put_text(o, "<null>");
        return;
    }
    put_text(o, "0x");
    for (size_t i = 0; i < shown; i++)
        put(o, (const char[]){digits[b.data[i] >> 4], digits[b.data[i] & 15]}, 2);
    if (shown == b.len) return;
    put_text(o, "... ");
    put_size(o, b.len);
    put_text(o, " bytes");
}

/* --- scalars --- */

static void print_bool(printer *o, uint8_t b) {
    if (b > 1)
        put_bad(o, "bool", b);
    else
        put_text(o, b ? "true" : "false");
}

static void print_float(printer *o, uint32_t kind, const void *p) {
    double v = kind == CHOIR_KIND_F32 ? (double)*(const float *)p : *(const double *)p;
    if (v != v)
        put_text(o, "NaN");
    else if (v - v != 0)
        put_text(o, v > 0 ? "inf" : "-inf");
    else
        put_number(o, kind, p);
}

static void print_duration(printer *o, const choir_timespan *v) {
    if (v->nanoseconds >= CHOIRI_NANOS) {
        put_bad(o, "nanoseconds", v->nanoseconds);
        return;
    }
    put_number(o, CHOIR_KIND_DURATION, v);
    put(o, "s", 1);
}

static void print_end(printer *o, const char *name, uint64_t handle) {
    put_text(o, name);
    put_number(o, CHOIR_KIND_U64, &handle);
    put(o, ")", 1);
}

static __attribute__((noinline)) void print_scalar(printer *o, uint32_t kind, const void *p) {
    switch (kind) {
    case CHOIR_KIND_BOOL: print_bool(o, *(const uint8_t *)p); break;
    case CHOIR_KIND_F32:
    case CHOIR_KIND_F64: print_float(o, kind, p); break;
    case CHOIR_KIND_CHAR: put_char(o, *(const uint32_t *)p); break;
    case CHOIR_KIND_STRING: put_string(o, *(const choir_str *)p); break;
    case CHOIR_KIND_BYTES: put_bytes(o, *(const choir_bytes *)p); break;
    case CHOIR_KIND_UNIT: put_text(o, "()"); break;
    case CHOIR_KIND_NEVER: put_text(o, "<never>"); break;
    case CHOIR_KIND_TX: print_end(o, "Tx(", ((const choir_tx *)p)->v); break;
    case CHOIR_KIND_RX: print_end(o, "Rx(", ((const choir_rx *)p)->v); break;
    case CHOIR_KIND_DURATION: print_duration(o, p); break;
    default: put_number(o, kind, p); break; /* integers */
    }
}

/* --- what is made of others --- */

/* Between elements: false when no more are shown. */
static bool next_item(printer *o, size_t i, size_t count) {
    if (i > 0 && i < count) put(o, ", ", 2);
    if (i >= count || o->cut) return false;
    if (i < ITEMS_SHOWN) return true;
    put_text(o, "... ");
    put_size(o, count - i);
    put_text(o, " more");
    return false;
}

static void print_items(printer *o, uint32_t elem, const void *p, size_t count, const char *brackets,
                        uint32_t depth) {
    size_t size = choiri_unit_type(o->u, elem)->size;
    if (!p && count > 0 && size > 0) {
        put_text(o, "<null>");
        return;
    }
    put(o, brackets, 1);
    for (size_t i = 0; next_item(o, i, count); i++) print(o, elem, size > 0 ? at(p, i * size) : p, depth);
    put(o, brackets + 1, 1);
}

static void print_field(printer *o, const choir_field *f, const void *p, uint32_t depth) {
    if (f->flags & CHOIR_FIELD_SENSITIVE)
        put_text(o, "<redacted>");
    else
        print(o, f->type, p ? at(p, f->offset) : NULL, depth);
}

static void print_map(printer *o, const choir_type *t, const choir_list *list, uint32_t depth) {
    const choir_type *entry = choiri_unit_type(o->u, t->elem);
    const choir_field *key = choiri_unit_field(o->u, entry->first);
    const choir_field *value = choiri_unit_field(o->u, entry->first + 1);
    if (!list->items && list->len > 0 && entry->size > 0) {
        put_text(o, "<null>");
        return;
    }
    put(o, "{", 1);
    for (size_t i = 0; next_item(o, i, list->len); i++) {
        const void *p = entry->size > 0 ? at(list->items, i * entry->size) : NULL;
        print_field(o, key, p, depth);
        put(o, ": ", 2);
        print_field(o, value, p, depth);
    }
    put(o, "}", 1);
}

static void print_named(printer *o, uint32_t first, uint32_t count, const void *p, uint32_t depth) {
    for (uint32_t i = 0; i < count && !o->cut; i++) {
        const choir_field *f = choiri_unit_field(o->u, first + i);
        put_text(o, i > 0 ? ", " : " { ");
        put_name(o, f->name);
        put(o, ": ", 2);
        print_field(o, f, p, depth);
    }
    if (count > 0) put(o, " }", 2);
}

static void print_unnamed(printer *o, uint32_t first, uint32_t count, const void *p, bool plain,
                          uint32_t depth) {
    put(o, "(", 1);
    for (uint32_t i = 0; i < count && !o->cut; i++) {
        if (i > 0) put(o, ", ", 2);
        print_field(o, choiri_unit_field(o->u, first + i), p, depth);
    }
    put_text(o, plain && count == 1 ? ",)" : ")");
}

static void print_enum(printer *o, const choir_type *t, const void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag >= t->count) {
        put_bad(o, "tag", tag);
        return;
    }
    const choir_variant *v = choiri_unit_variant(o->u, t->first + tag);
    put_name(o, v->name);
    if (v->shape == CHOIR_VARIANT_STRUCT)
        print_named(o, v->first, v->count, p, depth);
    else if (v->shape != CHOIR_VARIANT_UNIT)
        print_unnamed(o, v->first, v->count, p, false, depth);
}

/* Some, Ok or Err around a value. */
static void print_wrapped(printer *o, const char *name, uint32_t type, const void *p, uint32_t depth) {
    put_text(o, name);
    print(o, type, p, depth);
    put(o, ")", 1);
}

static void print_option(printer *o, const choir_type *t, const void *p, uint32_t depth) {
    uint8_t has = *(const uint8_t *)p; /* it may be no bool */
    if (has > 1)
        put_bad(o, "option", has);
    else if (has)
        print_wrapped(o, "Some(", t->elem, at(p, t->offset), depth);
    else
        put_text(o, "None");
}

static void print_result(printer *o, const choir_type *t, const void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag > 1)
        put_bad(o, "tag", tag);
    else
        print_wrapped(o, tag == 0 ? "Ok(" : "Err(", tag == 0 ? t->elem : t->elem2, at(p, t->offset), depth);
}

static void print_box(printer *o, const choir_type *t, const void *p, uint32_t depth) {
    p = choiri_value_boxed(p);
    if (p)
        print(o, t->elem, p, depth);
    else
        put_text(o, "<null>");
}

/* p may be NULL when there is nothing at it. */
static void print(printer *o, uint32_t type, const void *p, uint32_t depth) {
    const choir_type *t = choiri_unit_type(o->u, type);
    const choir_list *list = p;
    if (o->cut) return;
    if (choiri_kind_nests(t->kind) && depth++ == CHOIRI_VALUE_DEPTH) {
        put_text(o, "...");
        return;
    }
    switch (t->kind) {
    case CHOIR_KIND_OPTION: print_option(o, t, p, depth); break;
    case CHOIR_KIND_LIST: print_items(o, t->elem, list->items, list->len, "[]", depth); break;
    case CHOIR_KIND_SET: print_items(o, t->elem, list->items, list->len, "{}", depth); break;
    case CHOIR_KIND_MAP: print_map(o, t, list, depth); break;
    case CHOIR_KIND_ARRAY: print_items(o, t->elem, p, t->count, "[]", depth); break;
    case CHOIR_KIND_BOX: print_box(o, t, p, depth); break;
    case CHOIR_KIND_TUPLE:
        put_name(o, t->name);
        print_unnamed(o, t->first, t->count, p, t->name == 0, depth);
        break;
    case CHOIR_KIND_STRUCT:
        put_name(o, t->name);
        print_named(o, t->first, t->count, p, depth);
        break;
    case CHOIR_KIND_ENUM: print_enum(o, t, p, depth); break;
    case CHOIR_KIND_RESULT: print_result(o, t, p, depth); break;
    default: print_scalar(o, t->kind, p); break;
    }
}

size_t choir_value_print(const choir_unit *unit, uint32_t type, const void *value, char *ret_text,
                         size_t size) {
    choiri_text text;
    if (size == 0) return 0;
    printer o = {.u = unit, .out = ret_text, .room = size - 1};
    if (choiri_unit_check_version(unit, &text) != CHOIR_OK)
        put(&o, text.data, text.len);
    else if (type >= unit->types_len)
        put_text(&o, "<no such type>");
    else if (!value && choiri_unit_type(unit, type)->size > 0)
        put_text(&o, "<null>");
    else
        print(&o, type, value, 0);
    ret_text[o.len] = '\0';
    return o.len;
}
