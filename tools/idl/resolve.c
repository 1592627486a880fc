/* SPDX-License-Identifier: MIT */
/* From declarations to types: names are looked up, generics and aliases instantiated, and every type gets one
 * record.
 *
 * A struct or enum gets its record when it is first named and its members later, from a list: so recursive
 * types need no care, and nothing recurses deeper than a type is written. Aliases and transparent structs are
 * what they stand for. */
#include "idl/internal.h"

/* Types as they are written nest 64 deep; what aliases add to that is bounded too, which also finds an alias
 * that stands for itself. */
#define RESOLVE_DEPTH (2 * IDL_DEPTH_MAX)

/* Where a type stands: its module, and what the parameters around it stand for. */
typedef struct scope {
    const idl_decl *module;
    const idl_decl *generic; /* whose parameters; NULL: none */
    const idl_value *values;
} scope;

static const char known_types[] =
    "bool, u8 .. u128, i8 .. i128, usize, isize, f32, f64, char, String, &'static str, Vec<T>, [T; N], Option<T>, "
    "Box<T>, Arc<T>, Rc<T>, Cow<T>, tuples, HashMap, BTreeMap, HashSet, BTreeSet, Result<T, E>, Duration, Infallible, "
    "Tx<T>, Rx<T>, VoxError<E>, and types declared in this file (use lines are not looked at)";

static uint32_t resolve(idl *f, const idl_ast_type *t, const scope *s);

/* ---- records ---- */

static uint32_t new_type(idl *f, uint32_t kind, uint32_t at) {
    if (f->types.len == IDL_TYPES_MAX) {
        idl_fail(f, at, 1, "types that end, and fewer than 65,536 of them",
                 "too many types; does a generic type contain itself with ever larger arguments?");
        return IDL_NONE;
    }
    choir_type *t = idl_push(&f->types, sizeof *t);
    idl_info *info = idl_push(&f->infos, sizeof *info);
    t->kind = kind;
    info->at = at;
    return f->types.len - 1;
}

/* The entry for a type made of `words`; a value of NULL means that it is new, else it is the index + 1. */
static idl_entry *intern(idl *f, const void *owner, const uint64_t *words, size_t count) {
    choir_bytes key = {(const uint8_t *)words, count * sizeof *words};
    idl_entry *e = idl_entry_of(f, owner, key, false);
    if (e) return e;
    key.data = (const uint8_t *)idl_copy(f, (choir_str){(const char *)words, key.len}).data;
    return idl_entry_of(f, owner, key, true);
}

static void set(idl_entry *e, uint32_t type) {
    e->value = (void *)(uintptr_t)(type == IDL_NONE ? 0 : type + 1u);
}
static uint32_t get(const idl_entry *e) {
    return (uint32_t)(uintptr_t)e->value - 1u; /* IDL_NONE when there is none yet */
}

/* A builtin type: kind, elements, count. */
static uint32_t builtin(idl *f, uint32_t kind, uint32_t elem, uint32_t elem2, uint32_t count, uint32_t at) {
    const uint64_t words[] = {kind, elem, elem2, count};
    idl_entry *e = intern(f, &f->types, words, 4);
    if (e->value) return get(e);
    uint32_t index = new_type(f, kind, at);
    set(e, index);
    if (index == IDL_NONE) return index;
    choir_type *t = idl_type_at(f, index);
    t->elem = elem;
    t->elem2 = elem2;
    t->count = count;
    return index;
}

static uint32_t scalar(idl *f, uint32_t kind, uint32_t at) {
    return builtin(f, kind, 0, 0, 0, at);
}

static uint32_t list_of(idl *f, uint32_t elem, uint32_t count, uint32_t at) {
    if (idl_type_at(f, elem)->kind == CHOIR_KIND_U8) return builtin(f, CHOIR_KIND_BYTES, 0, 0, count, at);
    return builtin(f, CHOIR_KIND_LIST, elem, 0, count, at);
}

/* Fields in a row; `from` (may be NULL) are their declarations. Returns the first. */
static uint32_t add_fields(idl *f, const uint32_t *types, uint32_t len, const idl_field *from, bool named) {
    uint32_t first = f->fields.len;
    for (uint32_t i = 0; i < len; i++) {
        choir_field *field = idl_push(&f->fields, sizeof *field);
        const idl_field **info = idl_push(&f->field_infos, sizeof *info);
        field->type = types[i];
        *info = from;
        if (!from) continue;
        field->flags = from->flags;
        field->name = named ? idl_string(f, from->name.text) : 0;
        from = from->next;
    }
    return first;
}

/* A tuple without a name; not shared if `role` says what it is for. */
static uint32_t tuple_of(idl *f, const uint32_t *types, uint32_t len, uint32_t role, uint32_t at) {
    uint64_t *words = idl_alloc(f, (len + 1) * sizeof *words);
    words[0] = role;
    for (uint32_t i = 0; i < len; i++) words[i + 1] = types[i];
    idl_entry *e = intern(f, &f->fields, words, len + 1u);
    if (e->value) return get(e);
    uint32_t index = new_type(f, CHOIR_KIND_TUPLE, at);
    set(e, index);
    if (index == IDL_NONE) return index;
    uint32_t first = add_fields(f, types, len, NULL, false);
    idl_type_at(f, index)->first = first;
    idl_type_at(f, index)->count = len;
    idl_info_at(f, index)->role = role;
    return index;
}

/* ---- names ---- */

/* The declaration that a path names, NULL if none does (or after a failure). */
static const idl_decl *find(idl *f, const idl_ast_type *t, const scope *s) {
    const idl_decl *module = s->module;
    uint32_t i = 0;
    bool outward = true;
    for (; i < t->path_len; i++) {
        choir_str word = t->path[i].full;
        if (idl_is(word, "crate"))
            module = NULL;
        else if (idl_is(word, "super"))
            module = module ? module->in : NULL;
        else if (!idl_is(word, "self"))
            break;
        outward = false;
    }
    const idl_decl *d = NULL;
    for (; i < t->path_len; i++) {
        idl_entry *e = idl_entry_of(f, module, idl_bytes(t->path[i].text), false);
        for (; !e && outward && module; e = idl_entry_of(f, module, idl_bytes(t->path[i].text), false))
            module = module->in;
        if (!e) return NULL;
        d = e->value;
        if (i + 1 < t->path_len && d->what != IDL_MODULE) return NULL;
        module = d;
        outward = false;
    }
    return d;
}

static bool takes(idl *f, const idl_ast_type *t, uint32_t len) {
    if (t->args_len == len) return true;
    return idl_fail(f, t->at, t->len, NULL, "%.*s takes %u generic argument%s here, not %u",
                    (int)t->path[t->path_len - 1].text.len, t->path[t->path_len - 1].text.data, (unsigned)len,
                    len == 1 ? "" : "s", (unsigned)t->args_len);
}

static uint32_t arg_type(idl *f, const idl_ast_arg *arg, const scope *s) {
    if (arg->type) return resolve(f, arg->type, s);
    idl_fail(f, arg->at, arg->len, "a type", "a number where a type is needed");
    return IDL_NONE;
}

/* ---- declarations ---- */

static const idl_value *param_value(const scope *s, choir_str name) {
    uint32_t i = 0;
    for (const idl_param *p = s->generic ? s->generic->params : NULL; p; p = p->next, i++)
        if (idl_same(p->name.text, name)) return &s->values[i];
    return NULL;
}

static bool number_of(idl *f, const idl_ast_arg *arg, const scope *s, uint64_t *ret) {
    if (!arg->type) {
        *ret = arg->number;
        return true;
    }
    const idl_ast_type *t = arg->type;
    const idl_value *v = t->form == IDL_AST_PATH && t->path_len == 1 && t->args_len == 0
                             ? param_value(s, t->path[0].text)
                             : NULL;
    if (!v || !v->is_number)
        return idl_fail(f, t->at, t->len, "a number such as 4, or a const parameter",
                        "no number that is known here");
    *ret = v->number;
    return true;
}

/* What the parameters of `d` stand for in this use of it. */
static const idl_value *values_of(idl *f, const idl_decl *d, const idl_ast_type *t, const scope *s) {
    if (!takes(f, t, d->params_len)) return NULL;
    idl_value *values = idl_alloc(f, (d->params_len + 1) * sizeof *values);
    const idl_ast_arg *arg = t->args;
    uint32_t i = 0;
    for (const idl_param *p = d->params; p; p = p->next, arg = arg->next, i++) {
        values[i].is_number = p->is_const;
        if (p->is_const ? !number_of(f, arg, s, &values[i].number)
                        : (values[i].type = arg_type(f, arg, s)) == IDL_NONE)
            return NULL;
    }
    return values;
}

static uint32_t instance(idl *f, idl_decl *d, const idl_ast_type *t, const scope *s) {
    const idl_value *values = values_of(f, d, t, s);
    if (!values) return IDL_NONE;
    uint64_t words[33];
    for (uint32_t i = 0; i < d->params_len; i++)
        words[i] = values[i].is_number ? values[i].number : values[i].type;
    idl_entry *e = intern(f, &d->number, words, d->params_len);
    if (e->value) return get(e);
    if (d->what == IDL_ALIAS) {
        scope inside = {d->in, d, values};
        set(e, resolve(f, d->alias, &inside));
        return get(e);
    }
    static const uint32_t kinds[] = {[IDL_STRUCT] = CHOIR_KIND_STRUCT,
                                     [IDL_TUPLE_STRUCT] = CHOIR_KIND_TUPLE,
                                     [IDL_UNIT_STRUCT] = CHOIR_KIND_UNIT,
                                     [IDL_ENUM] = CHOIR_KIND_ENUM};
    if (d->what == IDL_UNIT_STRUCT) {
        set(e, scalar(f, CHOIR_KIND_UNIT, t->at));
        return get(e);
    }
    uint32_t index = new_type(f, kinds[d->what], t->at);
    set(e, index);
    if (index == IDL_NONE) return index;
    if (d->params_len > 0 && d->number == 0) d->number = ++f->generics_len;
    uint32_t name = idl_string(f, d->name.text);
    idl_type_at(f, index)->name = name;
    idl_type_at(f, index)->decl = d->number;
    idl_info_at(f, index)->decl = d;
    idl_info_at(f, index)->values = values;
    *(uint32_t *)idl_push(&f->todo, sizeof(uint32_t)) = index;
    return index;
}

/* ---- builtin types ---- */

/* T in Box<T>, &T and so on: str and slices exist only there. */
static uint32_t pointee(idl *f, const idl_ast_type *t, const scope *s) {
    if (t->form == IDL_AST_PATH && t->path_len == 1 && idl_is(t->path[0].text, "str"))
        return scalar(f, CHOIR_KIND_STRING, t->at);
    uint32_t elem = resolve(f, t->form == IDL_AST_SLICE ? t->elem : t, s);
    if (elem == IDL_NONE) return elem;
    if (t->form == IDL_AST_SLICE) return list_of(f, elem, CHOIR_COUNT_SLICE, t->at);
    return builtin(f, CHOIR_KIND_BOX, elem, 0, 0, t->at);
}

static uint32_t map_of(idl *f, const uint32_t *args, uint32_t count, uint32_t at) {
    uint32_t entry = tuple_of(f, args, 2, IDL_ENTRY, at);
    return entry == IDL_NONE ? entry : builtin(f, CHOIR_KIND_MAP, entry, 0, count, at);
}

typedef struct builtin_type {
    const char *name;
    uint32_t kind;
    uint32_t args;
    uint32_t count;
} builtin_type;

static const builtin_type builtins[] = {
    {"bool", CHOIR_KIND_BOOL, 0, 0},
    {"u8", CHOIR_KIND_U8, 0, 0},
    {"u16", CHOIR_KIND_U16, 0, 0},
    {"u32", CHOIR_KIND_U32, 0, 0},
    {"u64", CHOIR_KIND_U64, 0, 0},
    {"u128", CHOIR_KIND_U128, 0, 0},
    {"usize", CHOIR_KIND_U64, 0, 0},
    {"i8", CHOIR_KIND_I8, 0, 0},
    {"i16", CHOIR_KIND_I16, 0, 0},
    {"i32", CHOIR_KIND_I32, 0, 0},
    {"i64", CHOIR_KIND_I64, 0, 0},
    {"i128", CHOIR_KIND_I128, 0, 0},
    {"isize", CHOIR_KIND_I64, 0, 0},
    {"f32", CHOIR_KIND_F32, 0, 0},
    {"f64", CHOIR_KIND_F64, 0, 0},
    {"char", CHOIR_KIND_CHAR, 0, 0},
    {"String", CHOIR_KIND_STRING, 0, 0},
    {"Infallible", CHOIR_KIND_NEVER, 0, 0},
    {"Duration", CHOIR_KIND_DURATION, 0, 0},
    {"Vec", CHOIR_KIND_LIST, 1, CHOIR_COUNT_VEC},
    {"Option", CHOIR_KIND_OPTION, 1, 0},
    {"Box", CHOIR_KIND_BOX, 1, 0},
    {"Arc", CHOIR_KIND_BOX, 1, 0},
    {"Rc", CHOIR_KIND_BOX, 1, 0},
    {"Cow", CHOIR_KIND_BOX, 1, 0},
    {"HashSet", CHOIR_KIND_SET, 1, CHOIR_COUNT_HASH_SET},
    {"BTreeSet", CHOIR_KIND_SET, 1, CHOIR_COUNT_BTREE_SET},
    {"HashMap", CHOIR_KIND_MAP, 2, CHOIR_COUNT_HASH_MAP},
    {"BTreeMap", CHOIR_KIND_MAP, 2, CHOIR_COUNT_BTREE_MAP},
    {"Result", CHOIR_KIND_RESULT, 2, 0},
    {"Tx", CHOIR_KIND_TX, 1, 0},
    {"Rx", CHOIR_KIND_RX, 1, 0},
};

/* A builtin by its last name: alone, or behind the path of a crate that has it. */
static const builtin_type *find_builtin(const idl_ast_type *t) {
    static const char *const crates[] = {"std", "core", "alloc", "vox", "vox_types"};
    bool ours = t->path_len == 1;
    for (size_t i = 0; i < sizeof crates / sizeof *crates; i++)
        ours = ours || idl_is(t->path[0].text, crates[i]);
    for (size_t i = 0; ours && i < sizeof builtins / sizeof *builtins; i++)
        if (idl_is(t->path[t->path_len - 1].text, builtins[i].name)) return &builtins[i];
    return NULL;
}

static uint32_t make_builtin(idl *f, const builtin_type *b, const idl_ast_type *t, const scope *s) {
    uint32_t args[2] = {0, 0};
    if (!takes(f, t, b->args)) return IDL_NONE;
    if (b->kind == CHOIR_KIND_BOX && t->args->type) return pointee(f, t->args->type, s);
    uint32_t i = 0;
    for (const idl_ast_arg *arg = t->args; arg; arg = arg->next)
        if ((args[i++] = arg_type(f, arg, s)) == IDL_NONE) return IDL_NONE;
    if (b->kind == CHOIR_KIND_MAP) return map_of(f, args, b->count, t->at);
    if (b->kind == CHOIR_KIND_LIST) return list_of(f, args[0], b->count, t->at);
    return builtin(f, b->kind, args[0], args[1], b->count, t->at);
}

static uint32_t unknown(idl *f, const idl_ast_type *t) {
    choir_str last = t->path[t->path_len - 1].text;
    if (idl_is(last, "PathBuf") || idl_is(last, "Path"))
        idl_fail(f, t->at, t->len, "String for a path", "vox cannot encode a %.*s", (int)last.len, last.data);
    else if (idl_is(last, "str"))
        idl_fail(f, t->at, t->len, "String, &'static str, Box<str>", "str has no size of its own");
    else
        idl_fail(f, t->at, t->len, known_types, "there is no type \"%.*s\"", (int)(t->len < 80 ? t->len : 80),
                 f->text.data + t->at);
    return IDL_NONE;
}

static uint32_t resolve_path(idl *f, const idl_ast_type *t, const scope *s) {
    const idl_value *v = t->path_len == 1 ? param_value(s, t->path[0].text) : NULL;
    if (v && !v->is_number) return takes(f, t, 0) ? v->type : IDL_NONE;
    const idl_decl *d = find(f, t, s);
    if (d && (d->what == IDL_TRAIT || d->what == IDL_MODULE)) {
        idl_fail(f, t->at, t->len, known_types, "\"%.*s\" is a %s, no type", (int)d->name.text.len,
                 d->name.text.data, d->what == IDL_TRAIT ? "trait" : "module");
        return IDL_NONE;
    }
    if (d) return instance(f, (idl_decl *)(uintptr_t)d, t, s);
    const builtin_type *b = find_builtin(t);
    if (b) return make_builtin(f, b, t, s);
    if (idl_is(t->path[t->path_len - 1].text, "VoxError")) return instance(f, f->prelude, t, s);
    return unknown(f, t);
}

static uint32_t resolve_tuple(idl *f, const idl_ast_type *t, const scope *s) {
    if (t->args_len == 0) return scalar(f, CHOIR_KIND_UNIT, t->at);
    uint32_t *types = idl_alloc(f, t->args_len * sizeof *types);
    uint32_t i = 0;
    for (const idl_ast_arg *arg = t->args; arg; arg = arg->next)
        if ((types[i++] = resolve(f, arg->type, s)) == IDL_NONE) return IDL_NONE;
    return tuple_of(f, types, i, IDL_PLAIN, t->at);
}

static uint32_t resolve_array(idl *f, const idl_ast_type *t, const scope *s) {
    uint64_t len;
    uint32_t elem = resolve(f, t->elem, s);
    if (elem == IDL_NONE || !number_of(f, t->args, s, &len)) return IDL_NONE;
    if (len <= UINT32_MAX) return builtin(f, CHOIR_KIND_ARRAY, elem, 0, (uint32_t)len, t->at);
    idl_fail(f, t->at, t->len, "arrays below 1 GiB", "this array is too large");
    return IDL_NONE;
}

static uint32_t resolve_form(idl *f, const idl_ast_type *t, const scope *s) {
    switch (t->form) {
    case IDL_AST_PATH: return resolve_path(f, t, s);
    case IDL_AST_TUPLE: return resolve_tuple(f, t, s);
    case IDL_AST_ARRAY: return resolve_array(f, t, s);
    case IDL_AST_REF: return pointee(f, t->elem, s);
    default:
        idl_fail(f, t->at, t->len, "Vec<T>, Box<[T]>, &'static [T]", "a slice has no size of its own");
        return IDL_NONE;
    }
}

static uint32_t resolve(idl *f, const idl_ast_type *t, const scope *s) {
    if (f->resolving == RESOLVE_DEPTH) {
        idl_fail(f, t->at, t->len, "Box, Vec and the like around what is recursive, in a struct or enum",
                 "nested too deep; does an alias or transparent struct stand for itself?");
        return IDL_NONE;
    }
    f->resolving++;
    uint32_t type = resolve_form(f, t, s);
    f->resolving--;
    return type;
}

/* ---- members ---- */

static bool make_fields(idl *f, const idl_field *from, uint32_t len, bool named, const scope *s,
                        uint32_t *ret_first) {
    uint32_t *types = idl_alloc(f, (len + 1) * sizeof *types), i = 0;
    for (const idl_field *field = from; field; field = field->next)
        if ((types[i++] = resolve(f, field->type, s)) == IDL_NONE) return false;
    *ret_first = add_fields(f, types, len, from, named);
    return true;
}

static bool make_variants(idl *f, const idl_decl *d, const scope *s, uint32_t *ret_first) {
    uint32_t first = f->variants.len, i = 0;
    for (const idl_variant *from = d->variants; from; from = from->next) {
        uint32_t name = idl_string(f, from->name.text);
        choir_variant *v = idl_push(&f->variants, sizeof *v);
        *v = (choir_variant){.name = name, .shape = from->shape, .count = from->fields_len};
    }
    for (const idl_variant *from = d->variants; from; from = from->next, i++) {
        uint32_t at = 0;
        bool named = from->shape == CHOIR_VARIANT_STRUCT;
        if (!make_fields(f, from->fields, from->fields_len, named, s, &at)) return false;
        idl_variant_at(f, first + i)->first = at;
    }
    *ret_first = first;
    return true;
}

static bool make_members(idl *f, uint32_t index) {
    const idl_info info = *idl_info_at(f, index);
    const idl_decl *d = info.decl;
    scope inside = {d->in, d, info.values};
    uint32_t first = 0, count = d->what == IDL_ENUM ? d->variants_len : d->fields_len;
    if (d->what == IDL_ENUM ? !make_variants(f, d, &inside, &first)
                            : !make_fields(f, d->fields, count, d->what == IDL_STRUCT, &inside, &first))
        return false;
    uint32_t first_param = f->params.len, i = 0;
    for (const idl_param *p = d->params; p; p = p->next, i++) {
        if (p->is_const) continue;
        uint32_t name = idl_string(f, p->name.text);
        *(choir_param *)idl_push(&f->params, sizeof(choir_param)) = (choir_param){name, info.values[i].type};
    }
    choir_type *t = idl_type_at(f, index);
    t->first = first;
    t->count = count;
    t->params = d->type_params_len;
    t->first_param = d->type_params_len > 0 ? first_param : 0;
    return true;
}

static bool make_all_members(idl *f) {
    for (uint32_t i = 0; i < f->todo.len; i++)
        if (!make_members(f, ((const uint32_t *)f->todo.items)[i])) return false;
    f->todo.len = 0;
    return true;
}

/* ---- methods ---- */

/* Result<T, E> as it is written becomes the two ways in which a method ends. */
static bool make_result(idl *f, const idl_method *m, const scope *s, choir_method *ret) {
    const idl_ast_type *t = m->ret;
    if (!t) {
        ret->ok = scalar(f, CHOIR_KIND_UNIT, m->name.at);
        ret->err = scalar(f, CHOIR_KIND_NEVER, m->name.at);
        return !f->failed;
    }
    const builtin_type *b = t->form == IDL_AST_PATH && !find(f, t, s) ? find_builtin(t) : NULL;
    if (b && b->kind == CHOIR_KIND_RESULT && t->args_len == 2) {
        ret->ok = arg_type(f, t->args, s);
        if (ret->ok != IDL_NONE) ret->err = arg_type(f, t->args->next, s);
        return !f->failed;
    }
    ret->ok = resolve(f, t, s);
    if (f->failed) return false;
    const choir_type *ok = idl_type_at(f, ret->ok);
    if (ok->kind == CHOIR_KIND_RESULT) { /* behind an alias */
        ret->ok = ok->elem;
        ret->err = ok->elem2;
        return true;
    }
    ret->err = scalar(f, CHOIR_KIND_NEVER, m->name.at);
    return !f->failed;
}

static bool make_method(idl *f, const idl_decl *trait, const idl_method *m, const scope *s) {
    choir_method made = {.flags = m->flags};
    if (m->args_len == 0) {
        made.args = scalar(f, CHOIR_KIND_UNIT, m->name.at);
    } else {
        uint32_t first;
        if (!make_fields(f, m->args, m->args_len, false, s, &first)) return false;
        made.args = new_type(f, CHOIR_KIND_TUPLE, m->name.at);
        if (made.args == IDL_NONE) return false;
        choir_type *t = idl_type_at(f, made.args);
        idl_info *info = idl_info_at(f, made.args);
        t->first = first;
        t->count = m->args_len;
        info->role = IDL_ARGS;
        info->service = trait;
        info->method = m;
    }
    if (!make_result(f, m, s, &made)) return false;
    uint32_t name = idl_string(f, m->name.full);
    choir_method *method = idl_push(&f->methods, sizeof *method);
    *method = made;
    method->name = name;
    return true;
}

/* ---- channels ---- */

static void push_part(idl *f, uint32_t type) {
    idl_info *info = idl_info_at(f, type);
    if (info->seen) return;
    info->seen = true;
    *(uint32_t *)idl_push(&f->todo, sizeof(uint32_t)) = type;
}

static void push_fields(idl *f, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++) push_part(f, idl_field_at(f, i)->type);
}

static void push_parts(idl *f, const choir_type *t) {
    switch (t->kind) {
    case CHOIR_KIND_RESULT:
        push_part(f, t->elem2);
        push_part(f, t->elem);
        return;
    case CHOIR_KIND_OPTION:
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP:
    case CHOIR_KIND_ARRAY:
    case CHOIR_KIND_BOX: push_part(f, t->elem); return;
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT: push_fields(f, t->first, t->count); return;
    case CHOIR_KIND_ENUM:
        for (uint32_t i = t->first; i < t->first + t->count; i++)
            push_fields(f, idl_variant_at(f, i)->first, idl_variant_at(f, i)->count);
        return;
    default: return;
    }
}

/* Is there a channel in this type? What was looked at before had none. */
static bool has_channel(idl *f, uint32_t type) {
    push_part(f, type);
    while (f->todo.len > 0) {
        const choir_type *t = idl_type_at(f, ((const uint32_t *)f->todo.items)[--f->todo.len]);
        if (t->kind == CHOIR_KIND_TX || t->kind == CHOIR_KIND_RX) return true;
        push_parts(f, t);
    }
    return false;
}

static bool check_channels(idl *f) {
    const choir_method *method = f->methods.items;
    for (const idl_decl *d = f->decls; d; d = d->next) {
        for (const idl_method *m = d->methods; m; m = m->next, method++) {
            if (has_channel(f, method->ok) || has_channel(f, method->err))
                return idl_fail(f, m->ret->at, m->ret->len, "Tx<T> and Rx<T> in the arguments of a method",
                                "a channel in what a method returns");
        }
    }
    for (uint32_t i = 0; i < f->types.len; i++) {
        const choir_type *t = idl_type_at(f, i);
        if ((t->kind == CHOIR_KIND_TX || t->kind == CHOIR_KIND_RX) && has_channel(f, t->elem))
            return idl_fail(f, idl_info_at(f, i)->at, 2, "channels of values",
                            "a channel that carries channels");
    }
    return true;
}

/* ---- all ---- */

bool idl_resolve(idl *f) {
    idl_string(f, (choir_str){"", 0});
    for (const idl_decl *d = f->decls; d; d = d->next) {
        scope s = {d->in, NULL, NULL};
        for (const idl_method *m = d->methods; m; m = m->next)
            if (!make_method(f, d, m, &s)) return false;
    }
    if (!make_all_members(f)) return false;
    /* Types that no method uses, as far as they are types without arguments. */
    for (idl_decl *d = f->decls; d; d = d->next) {
        scope s = {d->in, NULL, NULL};
        idl_ast_type t = {
            .at = d->name.at, .len = (uint32_t)d->name.text.len, .path = &d->name, .path_len = 1};
        if (d->what == IDL_TRAIT || d->what == IDL_MODULE || d->params_len > 0) continue;
        if (instance(f, d, &t, &s) == IDL_NONE) return false;
    }
    return make_all_members(f) && check_channels(f);
}
