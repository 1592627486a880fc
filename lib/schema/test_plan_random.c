/* SPDX-License-Identifier: MIT */
/* Random types, evolved by random steps, and random values of the evolved type decoded as the original one. A
 * model, which knows neither schemas nor bytes, says for each pair whether a plan must be made, and for each
 * value what must come out: the value's JSON on both sides is written from the model. The seed and the counts
 * are printed; CHOIR_SEED and CHOIR_ROUNDS choose others. */
#include "schema/test_plan.h"

#include <stdarg.h>

#define DECLS    6
#define FIELDS   6
#define TEXT_MAX 65536u

enum { /* kinds */
       U8,
       U32,
       I64,
       U128,
       BOOL,
       F64,
       STRING,
       BYTES,
       UNIT,
       DECL,
       OPTION,
       VEC,
       ARRAY,
       TUPLE,
       MAP,
       RESULT,
       OPTION_BOX, /* of a declaration, which may be the one it is in */
       KINDS
};

typedef struct type {
    uint32_t kind;
    int decl;
    const struct type *a, *b;
} type;

typedef struct field {
    int name;
    const type *type;
    bool has_default;
} field;

typedef struct variant {
    int name;
    uint32_t shape;
    uint32_t count;
    field fields[3];
} variant;

/* A struct is one variant. */
typedef struct decl {
    bool is_enum;
    uint32_t count;
    variant variants[FIELDS];
    uint32_t fields_len;
    field fields[FIELDS];
} decl;

typedef struct model {
    decl decls[DECLS];
    const type *root;
} model;

/* --- chance --- */

static uint64_t state;
static type nodes[4096];
static size_t nodes_len;

static uint64_t random64(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint32_t below(uint32_t n) {
    return (uint32_t)(random64() % n);
}

static const type *new_type(type t) {
    cr_assert_lt(nodes_len, sizeof nodes / sizeof nodes[0]);
    nodes[nodes_len] = t;
    return &nodes[nodes_len++];
}

/* Declarations below `decls` may be used by value, all of them behind a box or in a list. */
static const type *random_type(int decls, int depth) {
    uint32_t k = below(depth > 3 ? UNIT + 1 : KINDS);
    type t = {.kind = k};
    switch (k) {
    case DECL:
        if (decls == 0) return new_type((type){.kind = STRING});
        t.decl = (int)below((uint32_t)decls);
        break;
    case OPTION_BOX: t.decl = (int)below(DECLS); break;
    case OPTION: /* null is ambiguous for options and unit */
    case VEC:
        if (k == VEC && below(3) == 0) {
            t.a = new_type((type){.kind = DECL, .decl = (int)below(DECLS)});
            break;
        }
        do {
            t.a = random_type(decls, depth + 1);
        } while (t.a->kind == U8 ||
                 (k == OPTION && (t.a->kind == OPTION || t.a->kind == OPTION_BOX || t.a->kind == UNIT)));
        break;
    case ARRAY:
    case MAP: t.a = random_type(decls, depth + 1); break;
    case TUPLE:
    case RESULT:
        t.a = random_type(decls, depth + 1);
        t.b = random_type(decls, depth + 1);
        break;
    default: break;
    }
    return new_type(t);
}

static bool may_default(const type *t) {
    return t->kind <= BYTES || t->kind == VEC || t->kind == MAP;
}

static field random_field(int name, int decls) {
    field f = {.name = name, .type = random_type(decls, 1)};
    f.has_default = may_default(f.type) && below(2);
    return f;
}

static variant random_variant(int name, int decls) {
    variant v = {.name = name, .shape = below(4)};
    v.count = v.shape == CHOIR_VARIANT_UNIT ? 0 : v.shape == CHOIR_VARIANT_NEWTYPE ? 1 : 2 + below(2);
    for (uint32_t i = 0; i < v.count; i++) {
        v.fields[i] = random_field((int)i, decls);
        if (v.shape != CHOIR_VARIANT_STRUCT) v.fields[i].has_default = false;
    }
    return v;
}

static void random_model(model *m) {
    for (int d = 0; d < DECLS; d++) {
        decl *x = &m->decls[d];
        memset(x, 0, sizeof *x);
        x->is_enum = below(3) == 0;
        if (x->is_enum) {
            x->count = 1 + below(FIELDS - 1);
            for (uint32_t i = 0; i < x->count; i++) x->variants[i] = random_variant((int)i, d);
            x->variants[0] = (variant){.name = 0}; /* one that ends */
        } else {
            x->fields_len = below(FIELDS);
            for (uint32_t i = 0; i < x->fields_len; i++) x->fields[i] = random_field((int)i, d);
        }
    }
    const type *last = new_type((type){.kind = DECL, .decl = DECLS - 1});
    m->root = new_type((type){.kind = TUPLE, .a = random_type(DECLS, 0), .b = last});
}

/* --- evolution --- */

static void swap(void *list, size_t size, uint32_t count) {
    uint8_t tmp[sizeof(variant)], *a = (uint8_t *)list + size * below(count),
                                  *b = (uint8_t *)list + size * below(count);
    memcpy(tmp, a, size);
    memmove(a, b, size);
    memcpy(b, tmp, size);
}

static void evolve_fields(field *fields, uint32_t *count, uint32_t max, int decls, bool is_tuple) {
    uint32_t at = *count > 0 ? below(*count) : 0;
    switch (below(8)) {
    case 0:
    case 1:
        if (*count < max && !is_tuple) fields[(*count)++] = random_field(10 + (int)below(40), decls);
        break;
    case 2:
        if (*count > 0 && !is_tuple) {
            memmove(&fields[at], &fields[at + 1], (*count - at - 1) * sizeof fields[0]);
            (*count)--;
        }
        break;
    case 3: /* another type, mostly an error */
        if (*count > 0 && below(4) == 0) fields[at].type = random_type(decls, 1);
        if (*count > 0 && !may_default(fields[at].type)) fields[at].has_default = false;
        break;
    case 4:
        if (*count > 0 && !is_tuple) fields[at].has_default = may_default(fields[at].type);
        break;
    default:
        if (*count > 1 && !is_tuple) swap(fields, sizeof fields[0], *count);
        break;
    }
}

static void evolve(model *m) {
    int d = (int)below(DECLS);
    decl *x = &m->decls[d];
    if (!x->is_enum) {
        evolve_fields(x->fields, &x->fields_len, FIELDS, d, false);
        return;
    }
    uint32_t at = below(x->count);
    variant *v = &x->variants[at];
    switch (below(4)) {
    case 0:
        if (x->count < FIELDS) x->variants[x->count++] = random_variant(10 + (int)below(40), d);
        break;
    case 1:
        if (v->name != 0) {
            memmove(v, v + 1, (x->count - at - 1) * sizeof *v);
            x->count--;
        }
        break;
    case 2: swap(x->variants, sizeof x->variants[0], x->count); break;
    default:
        if (v->name != 0 && v->shape == CHOIR_VARIANT_STRUCT)
            evolve_fields(v->fields, &v->count, 3, d, false);
        else if (v->name != 0 && v->shape != CHOIR_VARIANT_UNIT)
            evolve_fields(v->fields, &v->count, 3, d, true);
        break;
    }
}

/* Equal names would be ambiguous. */
static bool has_duplicates(const model *m) {
    for (int d = 0; d < DECLS; d++) {
        const decl *x = &m->decls[d];
        for (uint32_t i = 0; i < x->fields_len; i++)
            for (uint32_t k = 0; k < i; k++)
                if (x->fields[i].name == x->fields[k].name) return true;
        for (uint32_t i = 0; i < x->count; i++) {
            for (uint32_t k = 0; k < i; k++)
                if (x->variants[i].name == x->variants[k].name) return true;
            for (uint32_t a = 0; a < x->variants[i].count; a++)
                for (uint32_t b = 0; b < a; b++)
                    if (x->variants[i].fields[a].name == x->variants[i].fields[b].name) return true;
        }
    }
    return false;
}

/* --- texts --- */

typedef struct text {
    size_t len;
    char data[TEXT_MAX];
} text;

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->data + t->len, TEXT_MAX - t->len, format, args);
    va_end(args);
    t->len += (size_t)n;
    cr_assert_lt(t->len, TEXT_MAX);
}

static void write_type(text *out, const type *t) {
    static const char *const names[] = {"u8", "u32", "i64", "u128", "bool", "f64", "String", "Vec<u8>", "()"};
    if (t->kind <= UNIT) {
        add(out, "%s", names[t->kind]);
        return;
    }
    static const char *const open[] = {
        [DECL] = "D",
        [OPTION] = "Option<",
        [VEC] = "Vec<",
        [ARRAY] = "[",
        [TUPLE] = "(",
        [RESULT] = "Result<",
        [MAP] = "HashMap<String, ",
        [OPTION_BOX] = "Option<Box<D",
    };
    static const char *const close[] = {[DECL] = "",   [OPTION] = ">", [VEC] = ">", [ARRAY] = "; 2]",
                                        [TUPLE] = ")", [RESULT] = ">", [MAP] = ">", [OPTION_BOX] = ">>"};
    add(out, "%s", open[t->kind]);
    if (t->kind == DECL || t->kind == OPTION_BOX) add(out, "%d", t->decl);
    if (t->a) write_type(out, t->a);
    if (t->b) {
        add(out, ", ");
        write_type(out, t->b);
    }
    add(out, "%s", close[t->kind]);
}

static void write_fields(text *out, const field *fields, uint32_t count, bool named) {
    for (uint32_t i = 0; i < count; i++) {
        add(out, i > 0 ? ", " : "");
        if (named) add(out, "f%d: ", fields[i].name);
        write_type(out, fields[i].type);
        if (fields[i].has_default) add(out, " = default");
    }
}

static void write_model(text *out, const model *m) {
    out->len = 0;
    for (int d = 0; d < DECLS; d++) {
        const decl *x = &m->decls[d];
        add(out, "%s%s D%d { ", d > 0 ? "; " : "", x->is_enum ? "enum" : "struct", d);
        write_fields(out, x->fields, x->fields_len, true);
        for (uint32_t i = 0; i < x->count; i++) {
            const variant *v = &x->variants[i];
            add(out, "%sV%d", i > 0 ? ", " : "", v->name);
            if (v->shape == CHOIR_VARIANT_UNIT) continue;
            add(out, v->shape == CHOIR_VARIANT_STRUCT ? " { " : "(");
            write_fields(out, v->fields, v->count, v->shape == CHOIR_VARIANT_STRUCT);
            add(out, v->shape == CHOIR_VARIANT_STRUCT ? " }" : ")");
        }
        add(out, " }");
    }
}

/* --- what must come of it --- */

typedef struct pair {
    const model *remote, *local;
    bool met[DECLS];
    bool is_unknown; /* the value has a variant that the local type lacks */
} pair;

static bool fits(pair *p, const type *r, const type *l);

static const field *find_field(const field *fields, uint32_t count, int name) {
    for (uint32_t i = 0; i < count; i++)
        if (fields[i].name == name) return &fields[i];
    return NULL;
}

static const variant *find_variant(const decl *d, int name) {
    for (uint32_t i = 0; i < d->count; i++)
        if (d->variants[i].name == name) return &d->variants[i];
    return NULL;
}

static bool fields_fit(pair *p, const field *r, uint32_t r_len, const field *l, uint32_t l_len) {
    for (uint32_t i = 0; i < l_len; i++) {
        const field *f = find_field(r, r_len, l[i].name);
        bool is_option = l[i].type->kind == OPTION || l[i].type->kind == OPTION_BOX;
        if (f ? !fits(p, f->type, l[i].type) : !is_option && !l[i].has_default) return false;
    }
    return true;
}

static bool decls_fit(pair *p, int d) {
    const decl *r = &p->remote->decls[d], *l = &p->local->decls[d];
    if (p->met[d]) return true;
    p->met[d] = true;
    if (!r->is_enum) return fields_fit(p, r->fields, r->fields_len, l->fields, l->fields_len);
    for (uint32_t i = 0; i < r->count; i++) {
        const variant *a = &r->variants[i], *b = find_variant(l, a->name);
        if (!b) continue;
        if (a->shape != b->shape) return false;
        if (a->shape == CHOIR_VARIANT_STRUCT) {
            if (!fields_fit(p, a->fields, a->count, b->fields, b->count)) return false;
            continue;
        }
        if (a->count != b->count) return false;
        for (uint32_t k = 0; k < a->count; k++)
            if (!fits(p, a->fields[k].type, b->fields[k].type)) return false;
    }
    return true;
}

static bool fits(pair *p, const type *r, const type *l) {
    if (r->kind == OPTION_BOX || l->kind == OPTION_BOX) { /* boxes are not on the wire */
        const type *a = r->kind == OPTION ? r->a : NULL, *b = l->kind == OPTION ? l->a : NULL;
        if ((!a && r->kind != OPTION_BOX) || (!b && l->kind != OPTION_BOX)) return false;
        if ((a && a->kind != DECL) || (b && b->kind != DECL)) return false;
        int da = a ? a->decl : r->decl, db = b ? b->decl : l->decl;
        return da == db && decls_fit(p, da);
    }
    if (r->kind != l->kind) return false;
    if (r->kind == DECL) return r->decl == l->decl && decls_fit(p, r->decl);
    if (r->a && !fits(p, r->a, l->a)) return false;
    return !r->b || fits(p, r->b, l->b);
}

/* --- values: the same one in both texts; `l` is NULL for what is skipped --- */

static text scratch[64];
static size_t scratch_len;

static text *borrow(void) {
    cr_assert_lt(scratch_len, 64);
    scratch[scratch_len].len = 0;
    scratch[scratch_len].data[0] = '\0';
    return &scratch[scratch_len++];
}

static void value(pair *p, const type *r, const type *l, text *to_r, text *to_l, int depth);

static void zero(const type *t, text *out) {
    static const char *const zeros[] = {"0", "0", "0", "0", "false", "0.0", "\"\"", "[]", "null"};
    add(out, "%s", t->kind <= UNIT ? zeros[t->kind] : t->kind == VEC ? "[]" : t->kind == MAP ? "{}" : "null");
}

static void field_values(pair *p, const field *r, uint32_t r_len, const field *l, uint32_t l_len,
                         bool is_skipped, text *to_r, text *to_l, int depth) {
    text *ours[FIELDS] = {NULL};
    size_t mark = scratch_len;
    add(to_r, "{");
    for (uint32_t i = 0; i < r_len; i++) {
        const field *f = is_skipped ? NULL : find_field(l, l_len, r[i].name);
        text *one = borrow();
        add(to_r, "%s\"f%d\":", i > 0 ? "," : "", r[i].name);
        value(p, r[i].type, f ? f->type : NULL, to_r, one, depth);
        if (f) ours[f - l] = one;
    }
    add(to_r, "}");
    add(to_l, "{");
    for (uint32_t i = 0; i < (is_skipped ? 0 : l_len); i++) {
        add(to_l, "%s\"f%d\":", i > 0 ? "," : "", l[i].name);
        if (ours[i])
            add(to_l, "%s", ours[i]->data);
        else
            zero(l[i].type, to_l);
    }
    add(to_l, "}");
    scratch_len = mark;
}

static void decl_value(pair *p, int d, bool is_skipped, text *to_r, text *to_l, int depth) {
    const decl *r = &p->remote->decls[d], *l = &p->local->decls[d];
    if (!r->is_enum) {
        field_values(p, r->fields, r->fields_len, l->fields, l->fields_len, is_skipped, to_r, to_l, depth);
        return;
    }
    const variant *v = depth > 6 ? find_variant(r, 0) : &r->variants[below(r->count)];
    const variant *mine = is_skipped ? NULL : find_variant(l, v->name);
    if (!is_skipped && !mine) p->is_unknown = true;
    if (!mine) is_skipped = true;
    if (v->shape == CHOIR_VARIANT_UNIT) {
        add(to_r, "\"V%d\"", v->name);
        add(to_l, "\"V%d\"", v->name);
        return;
    }
    add(to_r, "{\"V%d\":", v->name);
    add(to_l, "{\"V%d\":", v->name);
    if (v->shape == CHOIR_VARIANT_STRUCT) {
        field_values(p, v->fields, v->count, mine ? mine->fields : NULL, mine ? mine->count : 0, is_skipped,
                     to_r, to_l, depth);
    } else {
        bool is_tuple = v->shape == CHOIR_VARIANT_TUPLE;
        for (uint32_t i = 0; i < v->count; i++) {
            add(to_r, "%s", i > 0 ? "," : is_tuple ? "[" : "");
            add(to_l, "%s", i > 0 ? "," : is_tuple ? "[" : "");
            value(p, v->fields[i].type, mine ? mine->fields[i].type : NULL, to_r, to_l, depth);
        }
        add(to_r, "%s", is_tuple ? "]" : "");
        add(to_l, "%s", is_tuple ? "]" : "");
    }
    add(to_r, "}");
    add(to_l, "}");
}

static void leaf(uint32_t k, text *to_r, text *to_l) {
    static const char *const samples[][4] = {
        [U8] = {"0", "7", "128", "255"},
        [U32] = {"0", "300", "70000", "4294967295"},
        [I64] = {"0", "-1", "9223372036854775807", "-9223372036854775808"},
        [U128] = {"0", "18446744073709551616", "340282366920938463463374607431768211455", "5"},
        [BOOL] = {"true", "false", "true", "false"},
        [F64] = {"1.5", "-0.25", "0.5", "12.75"},
        [STRING] = {"\"\"", "\"a\"", "\"some longer text\"", "\"\xc3\xb1\""},
        [BYTES] = {"[]", "[0]", "[1,2,255]", "[128,128,128,128,1]"},
        [UNIT] = {"null", "null", "null", "null"},
    };
    const char *s = samples[k][below(4)];
    add(to_r, "%s", s);
    add(to_l, "%s", s);
}

static void both(text *a, text *b, const char *s) {
    add(a, "%s", s);
    add(b, "%s", s);
}

static void value(pair *p, const type *r, const type *l, text *to_r, text *to_l, int depth) {
    bool deep = depth > 6;
    uint32_t count = deep ? 0 : below(4);
    switch (r->kind) {
    case DECL: decl_value(p, r->decl, !l, to_r, to_l, depth + 1); break;
    case OPTION_BOX:
    case OPTION:
        if (count == 0)
            both(to_r, to_l, "null");
        else if (r->kind == OPTION_BOX || r->a->kind == DECL)
            decl_value(p, r->kind == OPTION_BOX ? r->decl : r->a->decl, !l, to_r, to_l, depth + 1);
        else
            value(p, r->a, l ? l->a : NULL, to_r, to_l, depth + 1);
        break;
    case ARRAY:
    case VEC:
    case MAP:
        if (r->kind == ARRAY) count = 2;
        both(to_r, to_l, r->kind == MAP ? "{" : "[");
        for (uint32_t i = 0; i < count; i++) {
            char key[16];
            snprintf(key, sizeof key, "\"k%u\":", i);
            both(to_r, to_l, i > 0 ? "," : "");
            if (r->kind == MAP) both(to_r, to_l, key);
            value(p, r->a, l ? l->a : NULL, to_r, to_l, depth + 1);
        }
        both(to_r, to_l, r->kind == MAP ? "}" : "]");
        break;
    case TUPLE:
        both(to_r, to_l, "[");
        value(p, r->a, l ? l->a : NULL, to_r, to_l, depth + 1);
        both(to_r, to_l, ",");
        value(p, r->b, l ? l->b : NULL, to_r, to_l, depth + 1);
        both(to_r, to_l, "]");
        break;
    case RESULT: {
        bool is_err = below(2);
        const type *of_l = !l ? NULL : is_err ? l->b : l->a;
        both(to_r, to_l, is_err ? "{\"Err\":" : "{\"Ok\":");
        value(p, is_err ? r->b : r->a, of_l, to_r, to_l, depth + 1);
        both(to_r, to_l, "}");
        break;
    }
    default: leaf(r->kind, to_r, to_l); break;
    }
}

/* --- one pair --- */

static struct { size_t pairs, same, translated, refused, values, unknown, damaged; } counts;

static text declarations[2], roots[2], json[2];

/* Cut short or with bits turned over: an error or some value, and nothing worse. */
static void damage(translation *t, test_bytes b) {
    void *out;
    size_t left;
    for (int i = 0; i < 8 && b.len > 0; i++) {
        size_t len = below((uint32_t)b.len + 1);
        uint8_t *copy = malloc(len > 0 ? len : 1);
        memcpy(copy, b.data, len);
        for (uint32_t flips = below(3); flips > 0 && len > 0; flips--)
            copy[below((uint32_t)len)] ^= (uint8_t)(1u << below(8));
        if (decode_ours(t, (choir_bytes){copy, len}, &out, &left) == CHOIR_OK) (void)print_ours(t, out);
        counts.damaged++;
        free(copy);
    }
}

static void one_value(translation *t, pair *p) {
    void *out;
    size_t left;
    json[0].len = json[1].len = 0;
    p->is_unknown = false;
    scratch_len = 0;
    value(p, p->remote->root, p->local->root, &json[0], &json[1], 0);
    test_bytes b = encode_json(t, json[0].data);
    int status = decode_ours(t, test_span(b), &out, &left);
    counts.values++;
    if (p->is_unknown) {
        counts.unknown++;
        cr_assert_eq(status, CHOIR_ERR_MALFORMED, "%d: %s", status, json[0].data);
        cr_assert(strstr(t->m.text.data, "which ours does not have") || t->m.text.cut, "%s", t->m.text.data);
    } else {
        cr_assert_eq(status, CHOIR_OK, "%d %s: %s\nremote %s\nlocal %s", status, t->m.text.data, json[0].data,
                     declarations[0].data, declarations[1].data);
        cr_assert_eq(left, 0);
        choir_str got = print_ours(t, out);
        cr_assert_str_eq(got.data, json[1].data, "\nsent %s\nremote %s\nlocal %s", json[0].data,
                         declarations[0].data, declarations[1].data);
    }
    damage(t, b);
    free(b.data);
}

static void one_pair(const model *remote, const model *local) {
    const model *sides[2] = {remote, local};
    translation t;
    pair p = {.remote = remote, .local = local};
    for (int i = 0; i < 2; i++) {
        write_model(&declarations[i], sides[i]);
        roots[i].len = 0;
        write_type(&roots[i], sides[i]->root);
    }
    int status = translation_open(&t, (side){declarations[0].data, roots[0].data, NULL},
                                  (side){declarations[1].data, roots[1].data, NULL});
    bool expected = fits(&p, remote->root, local->root);
    cr_assert_eq(status, expected ? CHOIR_OK : CHOIR_ERR_LAYOUT, "%d %s\nremote %s %s\nlocal %s", status,
                 t.m.text.data, declarations[0].data, roots[0].data, declarations[1].data);
    counts.pairs++;
    counts.refused += !expected;
    counts.translated += t.plan != NULL;
    counts.same += expected && !t.plan;
    for (int i = 0; i < 4 && expected; i++) one_value(&t, &p);
    translation_close(&t);
}

static uint64_t from_environment(const char *name, uint64_t otherwise) {
    const char *given = getenv(name);
    return given ? strtoull(given, NULL, 0) : otherwise;
}

Test(plan_random, evolution, .timeout = 170) {
    static model original, evolved;
    uint64_t seed = from_environment("CHOIR_SEED", 20240607);
    uint64_t rounds = from_environment("CHOIR_ROUNDS", 1500);
    for (uint64_t round = 0; round < rounds; round++) {
        state = seed + round * 0x1234567;
        nodes_len = 0;
        random_model(&original);
        evolved = original;
        for (uint32_t steps = below(16); steps > 0; steps--) {
            model before = evolved;
            evolve(&evolved);
            if (has_duplicates(&evolved)) evolved = before;
        }
        one_pair(&evolved, &original);
        one_pair(&original, &evolved);
    }
    printf(
        "seed %llu: %zu pairs, of those %zu the same, %zu translated, %zu refused; %zu values, of those %zu with a "
        "variant that is not known; %zu damaged ones\n",
        (unsigned long long)seed, counts.pairs, counts.same, counts.translated, counts.refused, counts.values,
        counts.unknown, counts.damaged);
    cr_assert_gt(counts.same, rounds / 10);
    cr_assert_gt(counts.translated, rounds / 10);
    cr_assert_gt(counts.refused, rounds / 20);
    cr_assert_gt(counts.unknown, rounds / 50);
}
