/* SPDX-License-Identifier: MIT */
/* What the tests of the value codec and of JSON share: an env that counts, bytes from hex, encoding into one
 * buffer, random values, and the file of recorded values. */
#ifndef CHOIRI_TEST_VALUES_H
#define CHOIRI_TEST_VALUES_H

#include "base/dlist.h"
#include "testing/alloc.h"
#include "value/test_types.h"
#include "value/value.h"

#include <math.h>

#define TEST_BYTES ((size_t)1 << 20)

typedef struct values {
    test_alloc alloc;
    choir_env *env;
    choiri_arena arena;
    test_types *ts;
    uint64_t random;
} values;

static inline values *values_new(void) {
    values *v = calloc(1, sizeof *v);
    cr_assert(v);
    v->env = test_env(&v->alloc);
    choiri_arena_init(&v->arena, v->env, NULL, 0, (size_t)1 << 26);
    v->ts = test_types_new();
    v->random = 0x9e3779b97f4a7c15;
    return v;
}

static inline void values_free(values *v) {
    choiri_arena_reset(&v->arena);
    choir_env_free(v->env);
    cr_assert_eq(v->alloc.bytes, 0);
    free(v->ts);
    free(v);
}

static inline void *values_alloc(values *v, size_t size) {
    void *p = choiri_arena_alloc(&v->arena, size, 16);
    cr_assert(p);
    return p;
}

/* Memory for one value, filled with rubbish so that nothing depends on zeros. */
static inline void *values_room(values *v, uint32_t type) {
    size_t size = v->ts->types[type].size;
    return memset(values_alloc(v, size), 0xa7, size);
}

static inline choir_bytes values_hex(values *v, const char *hex) {
    size_t len = strlen(hex) / 2;
    uint8_t *data = values_alloc(v, len);
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1, "%s", hex);
        data[i] = (uint8_t)byte;
    }
    return (choir_bytes){data, len};
}

/* What is queued. */
static inline choir_bytes values_take(values *v, const choiri_outq *q) {
    size_t len = (size_t)q->bytes;
    uint8_t *data = values_alloc(v, len);
    cr_assert_eq(choiri_outq_copy(q, 0, data, len), len);
    return (choir_bytes){data, len};
}

/* Whatever a codec refuses can be explained, and nothing else. */
static inline void values_check_why(values *v, uint32_t type, const void *value, int rc) {
    choiri_text text;
    choiri_text_init(&text);
    bool why = choiri_value_why(&v->ts->unit, type, value, &text);
    bool refused = rc == CHOIR_ERR_INVALID || rc == CHOIR_ERR_DEPTH;
    cr_assert(rc == CHOIR_ERR_NO_MEMORY || why == refused, "%d, and: \"%s\"", rc, text.data);
    cr_assert_eq(text.len > 0, why);
}

static inline int values_encode(values *v, uint32_t type, const void *value, choir_bytes *ret) {
    choiri_outq q;
    choiri_writer w;
    *ret = (choir_bytes){NULL, 0};
    choiri_outq_init(&q, v->env);
    choiri_writer_init(&w, &q, NULL);
    choiri_value_encode(&w, &v->ts->unit, type, value);
    int rc = choiri_writer_finish(&w);
    if (rc == CHOIR_OK) *ret = values_take(v, &q);
    choiri_outq_deinit(&q);
    values_check_why(v, type, value, rc);
    return rc;
}

/* Decodes all of it: left-over bytes end the test. */
static inline int values_decode(values *v, uint32_t type, choir_bytes bytes, void *out, choiri_text *text) {
    choiri_reader r = choiri_reader_of(bytes);
    int rc = choiri_value_decode(&r, &v->ts->unit, type, &v->arena, out, text);
    if (rc == CHOIR_OK) cr_assert_eq(choiri_reader_left(&r), 0);
    return rc;
}

static inline bool values_equal(choir_bytes a, choir_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ---- types that all of these tests use ---- */

static const char *const values_declarations[] = {
    "struct Person { name: String, age: u8, email: Option<String> }",
    "struct Tree { v: u32, children: Vec<Tree> }",
    "enum Deep { End, More(Box<Deep>) }",
    "enum Expr { Num(i64), Neg(Box<Expr>), Add { l: Box<Expr>, r: Box<Expr> }, Call(String, Vec<Expr>) }",
    "enum Shapes { Unit, New(u32), Tup(u32, String), Named { a: u32, b: Option<String> }, Nothing(), Empty {} }",
    "struct Scalars { a: bool, b: u8, c: u16, d: u32, e: u64, f: u128, g: i8, h: i16, i: i32, j: i64, k: i128, l: f32, "
    "m: f64, n: char, o: String, p: Vec<u8>, q: (), r: Duration }",
    "struct Parts { a: Vec<Person>, b: HashSet<i32>, c: HashMap<String, Tree>, d: BTreeMap<u16, Expr>, e: [Shapes; 3], "
    "f: (u8, (), i128), g: Result<Person, Shapes>, h: Option<Box<Scalars>>, i: Vec<()>, j: Box<[u8; 2]> }",
};

static inline uint32_t values_type(values *v, const char *text) {
    return test_types_find(v->ts, text);
}

/* With those, and `more` of the test's own, up to NULL. */
static inline values *values_declared(const char *const *more) {
    values *v = values_new();
    choiri_text text;
    for (size_t i = 0; i < sizeof values_declarations / sizeof values_declarations[0]; i++)
        test_types_declare(v->ts, values_declarations[i]);
    for (; *more; more++) test_types_declare(v->ts, *more);
    cr_assert_eq(choiri_unit_check(&v->ts->unit, &text), CHOIR_OK, "%s", text.data);
    return v;
}

/* The fixture's arena as the public functions take it. */
static inline choir_arena *values_arena(values *v) {
    return CHOIRI_CONTAINER(&v->arena, choir_arena, arena);
}

/* What every codec must refuse to write: a peer would choke on it. */
static inline void values_each_unsendable(values *v,
                                          void (*refuse)(values *v, const char *type, const void *value)) {
    uint8_t two[32] = {2};
    uint32_t tag = 6, surrogate = 0xd800, high = 0x110000;
    choir_str broken = {"a\xff", 2};
    void *nowhere = NULL;
    choir_list nothing = {NULL, 1}, nested = {&broken, 1};
    refuse(v, "bool", two);
    refuse(v, "Option<u8>", two);
    refuse(v, "Result<u8, u8>", two);
    refuse(v, "Shapes", &tag);
    refuse(v, "char", &surrogate);
    refuse(v, "char", &high);
    refuse(v, "String", &broken);
    refuse(v, "Vec<String>", &nested);
    refuse(v, "Box<u8>", &nowhere);
    refuse(v, "!", two);
    refuse(v, "Vec<!>", &nothing);
}

/* --- random values --- */

static inline uint64_t values_random(values *v) {
    uint64_t z = v->random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Numbers of all lengths, extremes often. */
static inline uint64_t values_random_number(values *v) {
    uint64_t n = values_random(v), shift = values_random(v) % 68;
    if (shift >= 64)
        return shift == 64 ? 0 : shift == 65 ? UINT64_MAX : shift == 66 ? UINT64_MAX >> 1 : UINT64_C(1) << 63;
    return n >> shift;
}

static inline choir_str values_random_text(values *v) {
    static const char *const pieces[] = {"a",
                                         "xyz",
                                         " ",
                                         "\"",
                                         "\\",
                                         "\n",
                                         "\x01",
                                         "\x7f",
                                         "\xc3\xb1",
                                         "\xe4\xb8\x96",
                                         "\xf0\x9f\xa6\x80",
                                         "/",
                                         "\t",
                                         "key",
                                         "\xed\x9f\xbf",
                                         "\xf4\x8f\xbf\xbf"};
    char *data = values_alloc(v, 64);
    size_t len = 0;
    for (uint64_t n = values_random(v) % 8; n > 0; n--) {
        const char *piece = pieces[values_random(v) % (sizeof pieces / sizeof pieces[0])];
        memcpy(data + len, piece, strlen(piece));
        len += strlen(piece);
    }
    return (choir_str){data, len};
}

static inline void values_random_value(values *v, uint32_t type, uint8_t *out, uint32_t depth);

static inline void values_random_fields(values *v, uint32_t first, uint32_t count, uint8_t *out,
                                        uint32_t depth) {
    for (uint32_t i = first; i < first + count; i++)
        values_random_value(v, v->ts->fields[i].type, out + v->ts->fields[i].offset, depth);
}

static inline void values_random_scalar(values *v, const choir_type *t, uint8_t *out) {
    uint64_t n = values_random_number(v);
    choir_u128 wide = {n, values_random(v) % 2 ? values_random_number(v) : 0 - (n >> 63)};
    uint32_t scalar = (uint32_t)(n % 0x110000);
    if (scalar >= 0xd800 && scalar <= 0xdfff) scalar = 0xe000;
    float narrow;
    double number;
    choir_str text;
    switch (t->kind) {
    case CHOIR_KIND_BOOL: *out = n & 1; break;
    case CHOIR_KIND_U128:
    case CHOIR_KIND_I128: memcpy(out, &wide, sizeof wide); break;
    case CHOIR_KIND_CHAR: memcpy(out, &scalar, sizeof scalar); break;
    case CHOIR_KIND_F32:
        memcpy(&narrow, &n, sizeof narrow);
        if (narrow - narrow != 0) narrow = n & 1 ? 1.5f : INFINITY; /* JSON does not keep a NaN's bits */
        memcpy(out, &narrow, sizeof narrow);
        break;
    case CHOIR_KIND_F64:
        n = values_random(v);
        memcpy(&number, &n, sizeof number);
        if (number - number != 0) number = n & 1 ? -0.0 : -(double)INFINITY;
        memcpy(out, &number, sizeof number);
        break;
    case CHOIR_KIND_STRING:
    case CHOIR_KIND_BYTES: /* the same members */
        text = values_random_text(v);
        memcpy(out, &text, sizeof text);
        break;
    case CHOIR_KIND_DURATION: {
        choir_timespan span = {n, (uint32_t)(values_random(v) % 1000000000)};
        if (n % 3 == 0) span.nanoseconds = 0;
        memcpy(out, &span, sizeof span);
        break;
    }
    default: memcpy(out, &n, t->size); break; /* integers; little-endian machines only */
    }
}

static inline void values_random_value(values *v, uint32_t type, uint8_t *out, uint32_t depth) {
    const choir_type *t = &v->ts->types[type];
    bool deep = depth > 12;
    uint64_t n = values_random(v);
    if (!choiri_kind_nests(t->kind)) {
        values_random_scalar(v, t, out);
    } else if (t->kind == CHOIR_KIND_OPTION) {
        *out = !deep && n % 3 > 0 && v->ts->types[t->elem].kind != CHOIR_KIND_NEVER;
        if (*out) values_random_value(v, t->elem, out + t->offset, depth + 1);
    } else if (t->kind == CHOIR_KIND_BOX) {
        void *p = values_room(v, t->elem);
        memcpy(out, &p, sizeof p);
        values_random_value(v, t->elem, p, depth + 1);
    } else if (t->kind == CHOIR_KIND_TUPLE || t->kind == CHOIR_KIND_STRUCT) {
        values_random_fields(v, t->first, t->count, out, depth + 1);
    } else if (t->kind == CHOIR_KIND_ENUM) {
        uint32_t tag = deep ? 0 : (uint32_t)(n % t->count); /* the first variant is one that ends */
        const choir_variant *variant = &v->ts->variants[t->first + tag];
        memcpy(out, &tag, sizeof tag);
        values_random_fields(v, variant->first, variant->count, out, depth + 1);
    } else if (t->kind == CHOIR_KIND_RESULT) {
        uint32_t tag = v->ts->types[t->elem2].kind == CHOIR_KIND_NEVER ? 0 : n & 1;
        memcpy(out, &tag, sizeof tag);
        values_random_value(v, tag ? t->elem2 : t->elem, out + t->offset, depth + 1);
    } else { /* lists, sets, maps, arrays */
        size_t size = v->ts->types[t->elem].size;
        size_t count = t->kind == CHOIR_KIND_ARRAY ? t->count : deep ? 0 : (size_t)(n % 5);
        if (v->ts->types[t->elem].kind == CHOIR_KIND_NEVER) count = 0;
        uint8_t *items = t->kind == CHOIR_KIND_ARRAY ? out : values_alloc(v, count * size);
        choir_list list = {items, count};
        if (t->kind != CHOIR_KIND_ARRAY) memcpy(out, &list, sizeof list);
        for (size_t i = 0; i < count; i++) values_random_value(v, t->elem, items + i * size, depth + 1);
    }
}

/* --- recorded values: conformance/vectors/postcard-values.txt --- */

typedef struct values_vector {
    const char *line; /* for messages */
    uint32_t type;
    const char *json;
    bool lossy; /* the JSON does not read back as the same value */
    const char *hex;
} values_vector;

static inline char *values_trim(char *text) {
    while (*text == ' ') text++;
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\n')) text[--len] = '\0';
    return text;
}

/* Calls fn for each value, after its declarations; the arena is emptied in between. Returns how many. */
static inline size_t values_each_vector(values *v, void (*fn)(values *v, const values_vector *vector)) {
    char path[1024], line[1024], copy[1024];
    const char *folder = getenv("CHOIR_VECTORS");
    cr_assert(folder, "CHOIR_VECTORS is not set");
    snprintf(path, sizeof path, "%s/postcard-values.txt", folder);
    FILE *f = fopen(path, "r");
    cr_assert(f, "%s", path);
    size_t count = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#' || line[0] == '\n') continue;
        if (strncmp(line, "struct ", 7) == 0 || strncmp(line, "enum ", 5) == 0) {
            test_types_declare(v->ts, line);
            continue;
        }
        snprintf(copy, sizeof copy, "%s", line);
        char *json = strchr(copy, '|'), *hex = strrchr(copy, '|');
        cr_assert(json && hex && json != hex, "%s", line);
        *json++ = *hex++ = '\0';
        json = values_trim(json);
        bool lossy = json[0] == '~';
        values_vector vector = {line, test_types_find(v->ts, copy), values_trim(json + lossy), lossy,
                                values_trim(hex)};
        fn(v, &vector);
        choiri_arena_reset(&v->arena);
        count++;
    }
    fclose(f);
    return count;
}

#endif
