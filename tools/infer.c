/* SPDX-License-Identifier: MIT */
/* Types of arguments from how they are written, for methods whose types nobody has told us.
 *
 * A caller announces the types of its arguments, and peers compare them with theirs to the letter: so only
 * what can be one type is taken for that, and the rest has to be spelled out. Strings are String, true and
 * false bool, numbers with a suffix what it says (7u32), other numbers with a fraction or exponent f64,
 * arrays Vec of what their elements are, and objects with a name in front are structs: Point{"x": 1i32, "y":
 * 2i32}. A wrong guess does no harm: the peer refuses it.
 *
 * Each text is read once and written twice: as the JSON that remains without suffixes and names, and as the
 * type in the words of an interface file. That file is then read like any other, so that types are made and
 * laid out in one place. */
#include "infer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 64

/* Text that grows. */
typedef struct text {
    char *data;
    size_t len, cap;
} text;

typedef struct reader {
    const char *pos;
    text json;    /* of this argument */
    text structs; /* declarations of all of them */
    int depth;
    char *error;
    size_t error_size;
} reader;

static void put(text *t, const char *data, size_t len) {
    if (t->len + len >= t->cap) {
        t->cap = 2 * (t->cap + len) + 64;
        t->data = realloc(t->data, t->cap);
        if (!t->data) abort(); /* as everywhere in the tools where a few bytes are not to be had */
    }
    memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = '\0';
}

static void put_text(text *t, const char *s) {
    put(t, s, strlen(s));
}

__attribute__((format(printf, 2, 3))) static bool fail(reader *r, const char *format, ...) {
    va_list arguments;
    if (r->error[0] != '\0') return false;
    va_start(arguments, format);
    vsnprintf(r->error, r->error_size, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_one_of(char c, const char *set) {
    return c != '\0' && strchr(set, c);
}
static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static char peek(reader *r) {
    while (is_space(*r->pos)) r->pos++;
    return *r->pos;
}

static bool take(reader *r, char c) {
    if (peek(r) != c) return false;
    put(&r->json, r->pos++, 1);
    return true;
}

/* A string, as it is: whether its escapes are right is seen when it becomes a value. */
static bool read_string(reader *r, choir_str *ret) {
    const char *start = r->pos++;
    while (*r->pos != '"' && *r->pos != '\0') r->pos += r->pos[0] == '\\' && r->pos[1] != '\0' ? 2 : 1;
    if (*r->pos == '\0') return fail(r, "a string without its end");
    r->pos++;
    put(&r->json, start, (size_t)(r->pos - start));
    if (ret) *ret = (choir_str){start + 1, (size_t)(r->pos - start) - 2};
    return true;
}

static bool read_number(reader *r, text *type) {
    static const char types[][5] = {"u8",  "u16", "u32", "u64",  "u128", "i8",
                                    "i16", "i32", "i64", "i128", "f32",  "f64"};
    const char *start = r->pos;
    bool whole = true;
    for (;; r->pos++) {
        bool is_exponent = is_one_of(r->pos[0], "eE") && (is_digit(r->pos[1]) || is_one_of(r->pos[1], "+-"));
        if (!is_exponent && !is_digit(*r->pos) && !is_one_of(*r->pos, "+-.")) break;
        if (is_exponent || *r->pos == '.') whole = false;
    }
    const char *suffix = r->pos;
    put(&r->json, start, (size_t)(suffix - start));
    while (is_word(*r->pos) || is_digit(*r->pos)) r->pos++;
    size_t len = (size_t)(r->pos - suffix);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strlen(types[i]) != len || memcmp(types[i], suffix, len) != 0) continue;
        put(type, suffix, len);
        return true;
    }
    int shown = (int)(suffix - start);
    if (len > 0) return fail(r, "%.*s is not a type of numbers", (int)len, suffix);
    if (whole)
        return fail(r, "%.*s may be of many types; write %.*su32, %.*si64, ...", shown, start, shown, start,
                    shown, start);
    put_text(type, "f64");
    return true;
}

static bool read_value(reader *r, text *type);

static bool read_array(reader *r, text *type) {
    text first = {0}, next = {0};
    bool ok = take(r, '[');
    if (peek(r) == ']') ok = fail(r, "the elements of [] may be of any type");
    while (ok) {
        text *elem = first.data ? &next : &first;
        elem->len = 0;
        ok = read_value(r, elem);
        if (ok && elem == &next && strcmp(first.data, next.data) != 0)
            ok = fail(r, "an array of %s and %s", first.data, next.data);
        if (ok && !take(r, ',')) break;
    }
    if (ok && !take(r, ']')) ok = fail(r, "expected , or ] at \"%.20s\"", r->pos);
    if (ok) {
        put_text(type, "Vec<");
        put(type, first.data, first.len);
        put_text(type, ">");
    }
    free(first.data);
    free(next.data);
    return ok;
}

static bool read_field(reader *r, text *fields) {
    choir_str name = {NULL, 0};
    if (peek(r) != '"') return fail(r, "expected the name of a field at \"%.20s\"", r->pos);
    if (!read_string(r, &name)) return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_word(name.data[i]) && (i == 0 || !is_digit(name.data[i])))
            return fail(r, "\"%.*s\" cannot be the name of a field", (int)name.len, name.data);
    if (name.len == 0) return fail(r, "a field without a name");
    put(fields, name.data, name.len);
    put_text(fields, ": ");
    if (!take(r, ':')) return fail(r, "expected : at \"%.20s\"", r->pos);
    if (!read_value(r, fields)) return false;
    put_text(fields, ", ");
    return true;
}

/* The declaration of a struct, unless the same one is there already. */
static void declare(reader *r, choir_str name, const text *fields) {
    text decl = {0};
    put_text(&decl, "struct ");
    put(&decl, name.data, name.len);
    put_text(&decl, " { ");
    put(&decl, fields->len > 0 ? fields->data : "", fields->len);
    put_text(&decl, "}\n");
    if (!r->structs.data || !strstr(r->structs.data, decl.data)) put(&r->structs, decl.data, decl.len);
    free(decl.data);
}

/* A word: true, false, or the name of a struct. */
static bool read_word(reader *r, text *type) {
    choir_str word = {r->pos, 0};
    while (is_word(*r->pos) || is_digit(*r->pos)) r->pos++;
    word.len = (size_t)(r->pos - word.data);
    bool is_bool = (word.len == 4 && memcmp(word.data, "true", 4) == 0) ||
                   (word.len == 5 && memcmp(word.data, "false", 5) == 0);
    if (is_bool) {
        put(&r->json, word.data, word.len);
        put_text(type, "bool");
        return true;
    }
    if (word.len == 4 && memcmp(word.data, "null", 4) == 0)
        return fail(r, "null may be of any optional type");
    if (!take(r, '{'))
        return fail(r, "%.*s is no value; a string keeps its quotes", (int)word.len, word.data);
    text fields = {0};
    bool ok = true;
    while (ok && peek(r) != '}') {
        ok = read_field(r, &fields);
        if (ok && !take(r, ',')) break;
    }
    if (ok && !take(r, '}')) ok = fail(r, "expected , or } at \"%.20s\"", r->pos);
    if (ok) {
        declare(r, word, &fields);
        put(type, word.data, word.len);
    }
    free(fields.data);
    return ok;
}

static bool read_value(reader *r, text *type) {
    bool ok;
    char c = peek(r);
    if (r->depth == DEPTH) return fail(r, "nested more than %d deep", DEPTH);
    r->depth++;
    if (c == '"') {
        put_text(type, "String");
        ok = read_string(r, NULL);
    } else if (c == '[') {
        ok = read_array(r, type);
    } else if (c == '{') {
        ok = fail(r, "an object needs the name of its struct in front, such as Point{\"x\":1i32}");
    } else if (c == '-' || is_digit(c)) {
        ok = read_number(r, type);
    } else if (is_word(c)) {
        ok = read_word(r, type);
    } else {
        ok = fail(r, c == '\0' ? "a value is missing" : "expected a value at \"%.20s\"", r->pos);
    }
    r->depth--;
    return ok;
}

/* Reads one argument: its type goes to `types`. */
static bool read_argument(reader *r, size_t index, const char *argument, text *types) {
    char name[32];
    snprintf(name, sizeof name, ", a%zu: ", index);
    r->pos = argument;
    r->json = (text){0};
    put_text(types, name);
    if (!read_value(r, types)) return false;
    return peek(r) == '\0' || fail(r, "text behind the value: \"%.20s\"", r->pos);
}

bool infer_arguments(char *const *texts, size_t count, inferred *ret, size_t *ret_bad, char *ret_why,
                     size_t why_size) {
    reader r = {.error = ret_why, .error_size = why_size};
    text file = {0};
    bool ok = true;
    ret_why[0] = '\0';
    *ret = (inferred){.json = calloc(count + 1, sizeof *ret->json), .count = count};
    if (!ret->json) abort();
    put_text(&file, "trait Inferred { async fn call(&self");
    for (size_t i = 0; i < count && ok; i++) {
        *ret_bad = i;
        ok = read_argument(&r, i, texts[i], &file);
        ret->json[i] = r.json.data;
    }
    put_text(&file, "); }\n");
    if (r.structs.data) put(&file, r.structs.data, r.structs.len);
    idl_error error;
    if (ok && !idl_parse(file.data, file.len, "arguments", &ret->types, &error)) {
        *ret_bad = count;
        ok = fail(&r, "%s", error.text);
    }
    free(file.data);
    free(r.structs.data);
    if (!ok) infer_free(ret);
    return ok;
}

void infer_free(inferred *i) {
    for (size_t k = 0; i->json && k < i->count; k++) free(i->json[k]);
    free(i->json);
    idl_free(i->types);
    *i = (inferred){0};
}
