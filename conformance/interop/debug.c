/* SPDX-License-Identifier: MIT */
#include "interop/debug.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_PRINTED 2000u

typedef struct text {
    char *data;
    size_t len, cap;
} text;

static void add(text *t, const char *data, size_t len) {
    if (t->len + len + 1 > t->cap) {
        t->cap = (t->len + len + 1) * 2;
        t->data = realloc(t->data, t->cap);
    }
    memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = 0;
}
static void put(text *t, const char *s) {
    add(t, s, strlen(s));
}

__attribute__((format(printf, 2, 3))) static void putf(text *t, const char *format, ...) {
    char buf[96];
    va_list args;
    va_start(args, format);
    vsnprintf(buf, sizeof buf, format, args);
    va_end(args);
    put(t, buf);
}

static uint32_t scalar_at(const char *s, size_t left, size_t *ret_len) {
    unsigned char b = (unsigned char)s[0];
    size_t n = b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
    uint32_t v = n == 1 ? b : b & (0x7fu >> n);
    for (size_t i = 1; i < n && i < left; i++) v = v << 6 | ((unsigned char)s[i] & 0x3f);
    *ret_len = n;
    return v;
}

/* What Rust escapes in a string, as far as the tests have it: quotes, control characters, combining marks,
 * unassigned. */
static void put_string(text *t, choir_str s) {
    put(t, "\"");
    for (size_t i = 0, n; i < s.len; i += n) {
        uint32_t v = scalar_at(s.data + i, s.len - i, &n);
        if (v == '"' || v == '\\')
            putf(t, "\\%c", (int)v);
        else if (v == 0)
            put(t, "\\0");
        else if (v == '\n' || v == '\r' || v == '\t')
            putf(t, "\\%c", v == '\n' ? 'n' : v == '\r' ? 'r' : 't');
        else if (v < 0x20 || (v >= 0x7f && v <= 0x9f) || (v >= 0x300 && v <= 0x36f) || v >= 0xf0000)
            putf(t, "\\u{%" PRIx32 "}", v);
        else
            add(t, s.data + i, n);
    }
    put(t, "\"");
}

/* The fewest digits that mean this number, with an exponent where Rust has one. */
static void put_f64(text *t, double v) {
    char digits[32];
    int precision = 0;
    if (isinf(v)) {
        put(t, v < 0 ? "-inf" : "inf");
        return;
    }
    do snprintf(digits, sizeof digits, "%.*e", precision, v);
    while (strtod(digits, NULL) != v && ++precision < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (v != 0 && (exponent < -4 || exponent >= 16)) {
        *strchr(digits, 'e') = 0;
        putf(t, "%se%d", digits, exponent);
    } else {
        /* At least one digit behind the point. */
        putf(t, "%.*f", precision - exponent > 1 ? precision - exponent : 1, v);
    }
}

static void put_value(text *t, const choir_unit *u, uint32_t type, const void *value);

static const char *name_of(const choir_unit *u, uint32_t offset) {
    return u->strings + offset;
}

static void put_items(text *t, const choir_unit *u, uint32_t elem, const void *items, size_t count) {
    put(t, "[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) put(t, ", ");
        put_value(t, u, elem, (const char *)items + i * u->types[elem].size);
    }
    put(t, "]");
}

static void put_fields(text *t, const choir_unit *u, uint32_t first, uint32_t count, const void *value,
                       bool named) {
    put(t, named ? " { " : "(");
    for (uint32_t i = 0; i < count; i++) {
        const choir_field *f = &u->fields[first + i];
        if (i > 0) put(t, ", ");
        if (named) putf(t, "%s: ", name_of(u, f->name));
        put_value(t, u, f->type, (const char *)value + f->offset);
    }
    put(t, named ? " }" : ")");
}

static void put_enum(text *t, const choir_unit *u, const choir_type *type, const void *value) {
    uint32_t tag;
    memcpy(&tag, value, sizeof tag);
    const choir_variant *v = &u->variants[type->first + tag];
    put(t, name_of(u, v->name));
    if (v->count > 0) put_fields(t, u, v->first, v->count, value, v->shape == CHOIR_VARIANT_STRUCT);
}

static bool put_scalar(text *t, uint32_t kind, const void *value) {
    switch (kind) {
    case CHOIR_KIND_BOOL: put(t, *(const bool *)value ? "true" : "false"); return true;
    case CHOIR_KIND_U8: putf(t, "%u", *(const uint8_t *)value); return true;
    case CHOIR_KIND_U32: putf(t, "%" PRIu32, *(const uint32_t *)value); return true;
    case CHOIR_KIND_I32: putf(t, "%" PRId32, *(const int32_t *)value); return true;
    case CHOIR_KIND_F64: put_f64(t, *(const double *)value); return true;
    case CHOIR_KIND_U64: putf(t, "%" PRIu64, *(const uint64_t *)value); return true;
    case CHOIR_KIND_I64: putf(t, "%" PRId64, *(const int64_t *)value); return true;
    case CHOIR_KIND_STRING: put_string(t, *(const choir_str *)value); return true;
    case CHOIR_KIND_UNIT: put(t, "()"); return true;
    default: return false;
    }
}

static void put_value(text *t, const choir_unit *u, uint32_t index, const void *value) {
    const choir_type *type = &u->types[index];
    if (put_scalar(t, type->kind, value)) return;
    switch (type->kind) {
    case CHOIR_KIND_BYTES: {
        const choir_bytes *b = value;
        put(t, "[");
        for (size_t i = 0; i < b->len; i++) putf(t, i > 0 ? ", %u" : "%u", b->data[i]);
        put(t, "]");
        break;
    }
    case CHOIR_KIND_OPTION:
        if (!*(const bool *)value) {
            put(t, "None");
            break;
        }
        put(t, "Some(");
        put_value(t, u, type->elem, (const char *)value + type->offset);
        put(t, ")");
        break;
    case CHOIR_KIND_LIST: {
        const choir_list *list = value;
        put_items(t, u, type->elem, list->items, list->len);
        break;
    }
    case CHOIR_KIND_STRUCT:
        put(t, name_of(u, type->name));
        put_fields(t, u, type->first, type->count, value, true);
        break;
    case CHOIR_KIND_TUPLE: put_fields(t, u, type->first, type->count, value, false); break;
    case CHOIR_KIND_ENUM: put_enum(t, u, type, value); break;
    default: putf(t, "<kind %" PRIu32 ">", type->kind);
    }
}

char *debug_value(const choir_unit *unit, uint32_t type, const void *value) {
    text t = {NULL, 0, 0};
    put_value(&t, unit, type, value);
    return t.data;
}

char *debug_outcome(const choir_service *service, uint32_t method, const choir_event *done) {
    static const char *const names[] = {"Ok",
                                        "User",
                                        "UnknownMethod",
                                        "InvalidPayload",
                                        "Cancelled",
                                        "ConnectionClosed",
                                        "SessionShutdown",
                                        "SendFailed",
                                        "Indeterminate",
                                        "TimedOut"};
    const choir_method *m = &service->methods[method];
    text t = {NULL, 0, 0};
    if (done->outcome == CHOIR_OUTCOME_OK) {
        put(&t, "Ok(");
        put_value(&t, service->unit, m->ok, done->value);
        put(&t, ")");
        return t.data;
    }
    putf(&t, "Err(%s", names[done->outcome]);
    if (done->outcome == CHOIR_OUTCOME_USER_ERROR) {
        put(&t, "(");
        put_value(&t, service->unit, m->err, done->value);
        put(&t, ")");
    } else if (done->outcome == CHOIR_OUTCOME_INVALID_PAYLOAD) {
        put(&t, "(");
        put_string(&t, done->text);
        put(&t, ")");
    }
    put(&t, ")");
    return t.data;
}

char *debug_abbreviate(const char *in) {
    text t = {NULL, 0, 0};
    size_t len = strlen(in), shown = 0;
    if (len <= LONGEST_PRINTED) {
        put(&t, in);
        return t.data;
    }
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)in[i]) * UINT64_C(0x100000001b3);
    for (int chars = 0; chars < 40; chars++) {
        size_t n;
        scalar_at(in + shown, len - shown, &n);
        shown += n;
    }
    add(&t, in, shown);
    putf(&t, "... (%zu bytes, fnv1a %016" PRIx64 ")", len, hash);
    return t.data;
}
