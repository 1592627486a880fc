/* SPDX-License-Identifier: MIT */
/* Names in C. Everything global starts with the prefix; types are in snake case, with the arguments of
 * generics behind them; members keep the names that they have in Rust. Two things that would have one name
 * are an error that names both: which of them should give way is not for a tool to guess.
 *
 * Where only one of two is the user's, the other gives way. A struct may have a member that is called like a
 * type of the file (`user_id: Id` in the trait User): what would hide the type, in C++, is told apart by
 * `struct`. A parameter, whose name nobody needs, gets an underscore when something global has its name; the
 * generator's own parameters are renamed when an argument has theirs. */
#include "gen/gen.h"

#include "base/blake3.h"

#include <stdarg.h>
#include <stdio.h>

#define MANGLED_MAX 64u

const char *gen_format(gen *g, const char *format, ...) {
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int len = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *text = idl_alloc(g->file, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

const char *gen_upper(gen *g, const char *name) {
    char *copy = (char *)(uintptr_t)gen_format(g, "%s", name);
    for (char *c = copy; *c; c++)
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
    return copy;
}

static bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
static bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}

const char *gen_snake(gen *g, choir_str name) {
    char *out = idl_alloc(g->file, 2 * name.len + 1), *at = out;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i], before = i > 0 ? name.data[i - 1] : '_',
             next = i + 1 < name.len ? name.data[i + 1] : '_';
        bool starts = is_upper(c) && before != '_' && (!is_upper(before) || is_lower(next));
        if (starts) *at++ = '_';
        *at++ = is_upper(c) ? (char)(c - 'A' + 'a') : c;
    }
    return out;
}

/* Notes that some struct has a member of this name. */
static const char *note_member(gen *g, const char *name) {
    idl_entry_of(g->file, &g->members, idl_bytes((choir_str){name, strlen(name)}), true)->value = g;
    return name;
}

static const char *tell_apart(gen *g, const char *word, const char *name) {
    bool hidden = idl_entry_of(g->file, &g->members, idl_bytes((choir_str){name, strlen(name)}), false);
    return hidden ? gen_format(g, "%s %s", word, name) : name;
}

const char *gen_struct(gen *g, const char *name) {
    return tell_apart(g, "struct", name);
}

const char *gen_enum(gen *g, const char *name) {
    return tell_apart(g, "enum", name);
}

const char *gen_member(gen *g, choir_str name) {
    bool hidden = name.len > 1 && name.data[0] == '_' && (name.data[1] == '_' || is_upper(name.data[1]));
    return gen_format(g, "%s%.*s%s", hidden ? "x" : "", (int)name.len, name.data,
                      gen_is_word(name) || idl_is(name, g->guard) ? "_" : "");
}

static bool check_ascii(gen *g, const idl_name *name) {
    for (size_t i = 0; i < name->text.len; i++)
        if ((uint8_t)name->text.data[i] >= 0x80)
            return idl_fail(g->file, name->at, (uint32_t)name->text.len, "ASCII letters, digits and _",
                            "\"%.*s\" is no name in C", (int)name->text.len, name->text.data);
    return true;
}

/* ---- collisions ---- */

typedef struct taken {
    const char *what;
    choir_str rust;
    uint32_t at;
} taken;

static bool take(gen *g, const void *owner, const char *name, const taken *by) {
    choir_str key = {name, strlen(name)};
    idl_entry *e = idl_entry_of(g->file, owner, idl_bytes(key), true);
    if (!e->value) {
        taken *t = idl_alloc(g->file, sizeof *t);
        *t = *by;
        e->value = t;
        return true;
    }
    const taken *other = e->value;
    uint32_t line, column;
    idl_place(g->file, other->at, &line, &column);
    return idl_fail(
        g->file, by->at, (uint32_t)by->rust.len, "names that differ in more than underscores and case",
        "the %s \"%.*s\" would be %s in C, as the %s \"%.*s\" in line %u", by->what, (int)by->rust.len,
        by->rust.data, name, other->what, (int)other->rust.len, other->rust.data, (unsigned)line);
}

bool gen_take(gen *g, const char *name, const char *what, choir_str rust, uint32_t at) {
    if (gen_is_global_word((choir_str){name, strlen(name)}))
        return idl_fail(g->file, at, (uint32_t)rust.len, "another name, or another prefix: --prefix NAME",
                        "the %s \"%.*s\" would be %s in C, which is a name of C itself", what, (int)rust.len,
                        rust.data, name);
    return take(g, &g->prefix, name, &(taken){what, rust, at});
}

static bool is_taken(gen *g, const void *owner, const char *name) {
    return idl_entry_of(g->file, owner, idl_bytes((choir_str){name, strlen(name)}), false) != NULL;
}

/* Takes a name that is no user's, nor made of one alone: it gives way. */
static const char *claim(gen *g, const char *name) {
    static const taken nobody = {.what = "type"};
    while (is_taken(g, &g->prefix, name)) name = gen_format(g, "%s_", name);
    take(g, &g->prefix, name, &nobody);
    return name;
}

/* ---- types ---- */

static const char *scalar_name(uint32_t kind) {
    static const char *const names[] = {
        [CHOIR_KIND_BOOL] = "bool",     [CHOIR_KIND_U8] = "u8",         [CHOIR_KIND_U16] = "u16",
        [CHOIR_KIND_U32] = "u32",       [CHOIR_KIND_U64] = "u64",       [CHOIR_KIND_U128] = "u128",
        [CHOIR_KIND_I8] = "i8",         [CHOIR_KIND_I16] = "i16",       [CHOIR_KIND_I32] = "i32",
        [CHOIR_KIND_I64] = "i64",       [CHOIR_KIND_I128] = "i128",     [CHOIR_KIND_F32] = "f32",
        [CHOIR_KIND_F64] = "f64",       [CHOIR_KIND_CHAR] = "char",     [CHOIR_KIND_STRING] = "string",
        [CHOIR_KIND_UNIT] = "unit",     [CHOIR_KIND_NEVER] = "never",   [CHOIR_KIND_DURATION] = "duration",
        [CHOIR_KIND_TX] = "tx",         [CHOIR_KIND_RX] = "rx",         [CHOIR_KIND_BOX] = "box",
        [CHOIR_KIND_OPTION] = "option", [CHOIR_KIND_RESULT] = "result",
    };
    return names[kind];
}

static const char *scalar_c(uint32_t kind) {
    static const char *const names[] = {[CHOIR_KIND_BOOL] = "bool",
                                        [CHOIR_KIND_U8] = "uint8_t",
                                        [CHOIR_KIND_U16] = "uint16_t",
                                        [CHOIR_KIND_U32] = "uint32_t",
                                        [CHOIR_KIND_U64] = "uint64_t",
                                        [CHOIR_KIND_U128] = "choir_u128",
                                        [CHOIR_KIND_I8] = "int8_t",
                                        [CHOIR_KIND_I16] = "int16_t",
                                        [CHOIR_KIND_I32] = "int32_t",
                                        [CHOIR_KIND_I64] = "int64_t",
                                        [CHOIR_KIND_I128] = "choir_u128",
                                        [CHOIR_KIND_F32] = "float",
                                        [CHOIR_KIND_F64] = "double",
                                        [CHOIR_KIND_CHAR] = "uint32_t",
                                        [CHOIR_KIND_STRING] = "choir_str",
                                        [CHOIR_KIND_BYTES] = "choir_bytes",
                                        [CHOIR_KIND_TX] = "choir_tx",
                                        [CHOIR_KIND_RX] = "choir_rx",
                                        [CHOIR_KIND_DURATION] = "choir_timespan"};
    return kind < sizeof names / sizeof *names ? names[kind] : NULL;
}

static const char *mangle(gen *g, uint32_t type);

uint32_t gen_hash(choir_str text) {
    choiri_blake3 hash;
    choiri_blake3_init(&hash);
    choiri_blake3_update(&hash, text.data, text.len);
    return (uint32_t)(choiri_blake3_final_u64(&hash) >> 32);
}

/* Names do not grow without end: a long one keeps its start and gets a hash. */
static const char *shorten(gen *g, const char *name) {
    choir_str text = {name, strlen(name)};
    if (text.len <= MANGLED_MAX) return name;
    return gen_format(g, "%.*s_%08x", (int)MANGLED_MAX - 9, name, (unsigned)gen_hash(text));
}

static const char *mangle_decl(gen *g, const idl_info *info) {
    const idl_decl *d = info->decl;
    const char *name = gen_snake(g, d->name.text);
    for (const idl_decl *m = d->in; m; m = m->in)
        name = gen_format(g, "%s_%s", gen_snake(g, m->name.text), name);
    for (uint32_t i = 0; i < d->params_len; i++) {
        const idl_value *v = &info->values[i];
        name = v->is_number ? gen_format(g, "%s_%llu", name, (unsigned long long)v->number)
                            : gen_format(g, "%s_%s", name, mangle(g, v->type));
    }
    return name;
}

static const char *mangle_tuple(gen *g, const choir_type *t, const char *name) {
    for (uint32_t i = t->first; i < t->first + t->count; i++)
        name = shorten(g, gen_format(g, "%s_%s", name, mangle(g, idl_field_at(g->file, i)->type)));
    return name;
}

static const char *mangle_kind(gen *g, uint32_t type) {
    const choir_type *t = idl_type_at(g->file, type);
    const idl_info *info = idl_info_at(g->file, type);
    bool first = t->count == 0;
    if (info->decl) return mangle_decl(g, info);
    switch (t->kind) {
    case CHOIR_KIND_BYTES: return first ? "bytes" : "byte_slice";
    case CHOIR_KIND_LIST: return gen_format(g, "%s_%s", first ? "list" : "slice", mangle(g, t->elem));
    case CHOIR_KIND_SET: return gen_format(g, "%s_%s", first ? "btree_set" : "hash_set", mangle(g, t->elem));
    case CHOIR_KIND_MAP:
        return mangle_tuple(g, idl_type_at(g->file, t->elem), first ? "hash_map" : "btree_map");
    case CHOIR_KIND_ARRAY: return gen_format(g, "array_%u_%s", (unsigned)t->count, mangle(g, t->elem));
    case CHOIR_KIND_OPTION:
    case CHOIR_KIND_BOX:
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX: return gen_format(g, "%s_%s", scalar_name(t->kind), mangle(g, t->elem));
    case CHOIR_KIND_RESULT: return gen_format(g, "result_%s_%s", mangle(g, t->elem), mangle(g, t->elem2));
    case CHOIR_KIND_TUPLE: return mangle_tuple(g, t, info->role == IDL_ENTRY ? "entry" : "tuple");
    default: return scalar_name(t->kind);
    }
}

static const char *mangle(gen *g, uint32_t type) {
    if (!g->mangled[type]) g->mangled[type] = shorten(g, mangle_kind(g, type));
    return g->mangled[type];
}

bool gen_is_struct(const gen *g, uint32_t type) {
    uint32_t kind = idl_type_at(g->file, type)->kind;
    return kind == CHOIR_KIND_OPTION || kind == CHOIR_KIND_RESULT || kind == CHOIR_KIND_TUPLE ||
           kind == CHOIR_KIND_STRUCT || kind == CHOIR_KIND_ENUM;
}

bool gen_is_list(const gen *g, uint32_t type) {
    uint32_t kind = idl_type_at(g->file, type)->kind;
    return kind == CHOIR_KIND_LIST || kind == CHOIR_KIND_SET || kind == CHOIR_KIND_MAP;
}

const char *gen_declared(const gen *g, uint32_t type) {
    if (gen_is_struct(g, type)) return g->names[type];
    bool own = gen_is_list(g, type) && !gen_is_ours((choir_str){g->lists[type], strlen(g->lists[type])});
    return own ? g->lists[type] : NULL;
}

const char *gen_declare(gen *g, uint32_t type, const char *name) {
    const choir_type *t = idl_type_at(g->file, type);
    const char *between = *name == '\0' || *name == '[' ? "" : " ";
    if (t->kind == CHOIR_KIND_ARRAY) {
        const char *dimension = gen_format(g, "%s[%u]", name, (unsigned)t->count);
        return gen_declare(g, t->elem, dimension);
    }
    if (t->kind == CHOIR_KIND_BOX) {
        uint32_t elem = t->elem;
        if (gen_is_empty(g, elem)) return gen_format(g, "void *%s", name);
        /* A pointer to the first of the elements stands for one to the array. */
        while (idl_type_at(g->file, elem)->kind == CHOIR_KIND_ARRAY) elem = idl_type_at(g->file, elem)->elem;
        return gen_declare(g, elem, gen_format(g, "*%s", name));
    }
    const char *declared = gen_declared(g, type);
    if (declared && name[0] == '*') return gen_format(g, "struct %s %s", declared, name);
    const char *c = declared               ? gen_struct(g, declared)
                    : gen_is_list(g, type) ? g->lists[type]
                                           : scalar_c(t->kind);
    return gen_format(g, "%s%s%s", c, between, name);
}

const char *gen_declare_items(gen *g, uint32_t type) {
    uint32_t elem = idl_type_at(g->file, type)->elem;
    bool pointer = idl_type_at(g->file, elem)->kind == CHOIR_KIND_BOX;
    return pointer ? gen_declare(g, elem, "const *items")
                   : gen_format(g, "const %s", gen_declare(g, elem, "*items"));
}

const char *gen_items(gen *g, uint32_t type) {
    const char *text = "items: ";
    uint32_t kind = idl_type_at(g->file, type)->kind;
    if (kind == CHOIR_KIND_OPTION) type = idl_type_at(g->file, type)->elem;
    kind = idl_type_at(g->file, type)->kind;
    if (!gen_is_list(g, type) && kind != CHOIR_KIND_TX && kind != CHOIR_KIND_RX) return NULL;
    bool typed = gen_is_list(g, type);
    uint32_t elem = idl_type_at(g->file, type)->elem;
    for (; gen_is_list(g, elem); type = elem, elem = idl_type_at(g->file, type)->elem)
        text = gen_format(g, "%s%s of ", text, g->lists[elem]);
    if (typed && strcmp(g->lists[type], "choir_list") != 0) return NULL;
    return gen_format(g, "%s%s", text,
                      gen_is_empty(g, elem) ? "nothing, only their number" : gen_declare(g, elem, ""));
}

/* ---- lists ---- */

/* Of what is the same type in all programs. */
static const char *library_list(uint32_t kind) {
    static const char *const names[] = {[CHOIR_KIND_BOOL] = "choir_bool_list",
                                        [CHOIR_KIND_U8] = "choir_u8_list",
                                        [CHOIR_KIND_U16] = "choir_u16_list",
                                        [CHOIR_KIND_U32] = "choir_u32_list",
                                        [CHOIR_KIND_U64] = "choir_u64_list",
                                        [CHOIR_KIND_U128] = "choir_u128_list",
                                        [CHOIR_KIND_I8] = "choir_i8_list",
                                        [CHOIR_KIND_I16] = "choir_i16_list",
                                        [CHOIR_KIND_I32] = "choir_i32_list",
                                        [CHOIR_KIND_I64] = "choir_i64_list",
                                        [CHOIR_KIND_I128] = "choir_u128_list",
                                        [CHOIR_KIND_F32] = "choir_f32_list",
                                        [CHOIR_KIND_F64] = "choir_f64_list",
                                        [CHOIR_KIND_CHAR] = "choir_u32_list",
                                        [CHOIR_KIND_STRING] = "choir_str_list",
                                        [CHOIR_KIND_BYTES] = "choir_bytes_list",
                                        [CHOIR_KIND_DURATION] = "choir_timespan_list"};
    return kind < sizeof names / sizeof *names ? names[kind] : NULL;
}

static void name_list(gen *g, uint32_t type);

/* What a list of it is called after: the name in C without prefix. */
static const char *list_stem(gen *g, uint32_t elem) {
    uint32_t inner = elem;
    while (idl_type_at(g->file, inner)->kind == CHOIR_KIND_BOX) inner = idl_type_at(g->file, inner)->elem;
    if (gen_is_list(g, inner)) name_list(g, inner);
    if (!gen_is_list(g, elem)) return mangle(g, elem);
    const char *prefix = gen_declared(g, elem) ? g->prefix : "choir";
    return g->lists[elem] + strlen(prefix) + 1;
}

/* Lists of one C type are one C type, whatever they are in Rust. Those of nothing have no pointer to it, and
 * in C a pointer to arrays of const elements cannot be had from one to others. */
static void name_list(gen *g, uint32_t type) {
    uint32_t elem = idl_type_at(g->file, type)->elem, kind = idl_type_at(g->file, elem)->kind;
    if (g->lists[type]) return;
    g->first_list[type] = type;
    g->lists[type] = gen_is_empty(g, elem) || kind == CHOIR_KIND_ARRAY ? "choir_list" : library_list(kind);
    if (g->lists[type]) return;
    const char *name = gen_format(g, "%s_%s_list", g->prefix, list_stem(g, elem)),
               *c = gen_declare(g, elem, "");
    idl_entry *e = idl_entry_of(g->file, &g->lists, idl_bytes((choir_str){c, strlen(c)}), true);
    if (!e->value) {
        e->value = g;
        e->at = type;
        g->lists[type] = claim(g, name);
    }
    g->first_list[type] = e->at;
    g->lists[type] = g->lists[e->at];
}

/* ---- members ---- */

/* Members of one struct; unnamed ones are f0, f1, ... */
static bool name_fields(gen *g, uint32_t first, uint32_t count, const char *a, const char *b) {
    const void *owner = &g->members[first];
    for (uint32_t i = 0; i < count; i++) {
        const idl_field *info = gen_field_info(g, first + i);
        if (!info || info->name.text.len == 0) {
            g->members[first + i] = a ? (i == 0 ? a : b) : gen_format(g, "f%u", (unsigned)i);
            continue;
        }
        const char *name = gen_member(g, info->name.text);
        g->members[first + i] = note_member(g, name);
        if (!check_ascii(g, &info->name) ||
            !take(g, owner, name, &(taken){"field", info->name.text, info->name.at}))
            return false;
    }
    return true;
}

const char *gen_variant_member(gen *g, const idl_variant *v) {
    const char *snake = gen_snake(g, v->name.text);
    if (strcmp(snake, "tag") == 0) return "tag_"; /* beside the union there is one */
    return note_member(g, gen_member(g, (choir_str){snake, strlen(snake)}));
}

const char *gen_handler(gen *g, const idl_method *m) {
    return idl_is(m->name.text, "size") ? "size_" : note_member(g, gen_member(g, m->name.text));
}

const char *gen_responder(gen *g, const char *prefix, const idl_method *m) {
    return gen_format(g, "%s_%s_responder", prefix, gen_method(g, m));
}

const char *gen_own(gen *g, const idl_method *m, const char *name) {
    while (is_taken(g, &m->docs, name) || is_taken(g, &g->prefix, name))
        name = gen_format(g, "call_%s", name);
    return name;
}

const char *gen_variant_tag(gen *g, uint32_t type, const idl_variant *v) {
    return gen_upper(g, gen_format(g, "%s_%s", g->names[type], gen_snake(g, v->name.text)));
}

const char *gen_variant_struct(gen *g, uint32_t type, const idl_variant *v) {
    return gen_format(g, "%s_%s", g->names[type], gen_snake(g, v->name.text));
}

static bool name_variants(gen *g, uint32_t type) {
    const choir_type *t = idl_type_at(g->file, type);
    const idl_variant *v = idl_info_at(g->file, type)->decl->variants;
    for (uint32_t i = t->first; i < t->first + t->count; i++, v = v->next) {
        const choir_variant *made = idl_variant_at(g->file, i);
        choir_str rust = v->name.text;
        const taken by = {"variant", rust, v->name.at};
        if (!check_ascii(g, &v->name) || !name_fields(g, made->first, made->count, NULL, NULL) ||
            !gen_take(g, gen_variant_tag(g, type, v), "variant", rust, v->name.at) ||
            !take(g, &g->names[type], gen_variant_member(g, v), &by))
            return false;
        if (made->shape > CHOIR_VARIANT_NEWTYPE && made->count > 0 &&
            !gen_take(g, gen_variant_struct(g, type, v), "variant", rust, v->name.at))
            return false;
    }
    return true;
}

static bool name_members(gen *g, uint32_t type) {
    const choir_type *t = idl_type_at(g->file, type);
    switch (t->kind) {
    case CHOIR_KIND_ENUM: return name_variants(g, type);
    case CHOIR_KIND_TUPLE:
        return idl_info_at(g->file, type)->role == IDL_ENTRY
                   ? name_fields(g, t->first, t->count, "key", "value")
                   : name_fields(g, t->first, t->count, NULL, NULL);
    case CHOIR_KIND_STRUCT: return name_fields(g, t->first, t->count, NULL, NULL);
    default: return true;
    }
}

const char *gen_type_number(gen *g, uint32_t type) {
    return gen_upper(g, gen_format(g, "%s_type_%s", g->prefix, mangle(g, type)));
}

static bool name_type(gen *g, uint32_t type) {
    const idl_info *info = idl_info_at(g->file, type);
    if (!gen_is_struct(g, type)) return true;
    if (info->decl && !check_ascii(g, &info->decl->name)) return false;
    if (info->role != IDL_ARGS) g->names[type] = gen_format(g, "%s_%s", g->prefix, mangle(g, type));
    if (gen_is_empty(g, type)) return name_members(g, type);
    choir_str rust = {g->names[type], g->names[type] ? strlen(g->names[type]) : 0};
    uint32_t at = info->at;
    if (info->decl && info->decl != g->file->prelude) {
        rust = info->decl->name.text;
        at = info->decl->name.at;
    }
    if (info->role == IDL_ARGS) return name_members(g, type);
    return gen_take(g, g->names[type], "type", rust, at) &&
           gen_take(g, gen_type_number(g, type), "type", rust, at) && name_members(g, type);
}

/* ---- services ---- */

const char *gen_service_prefix(gen *g, uint32_t service) {
    if (g->file->services.len == 1) return g->prefix;
    return gen_format(g, "%s_%s", g->prefix, gen_snake(g, gen_trait(g, service)->name.text));
}

const char *gen_method(gen *g, const idl_method *m) {
    return gen_snake(g, m->name.text);
}

static const char *take_param(gen *g, const idl_method *m, const char *name) {
    idl_entry_of(g->file, &m->docs, idl_bytes((choir_str){name, strlen(name)}), true);
    return name;
}

/* Everything that the header declares for a method. */
static bool name_method(gen *g, const char *prefix, const idl_method *m, const choir_method *made) {
    const char *name = gen_method(g, m);
    bool fails = idl_type_at(g->file, made->err)->kind != CHOIR_KIND_NEVER;
    const char *const names[] = {gen_upper(g, gen_format(g, "%s_%s", prefix, name)),
                                 gen_format(g, "%s_client_%s", prefix, name),
                                 gen_format(g, "%s_wait_%s", prefix, name),
                                 gen_format(g, "%s_call_%s", prefix, name),
                                 gen_format(g, "%s_ok_%s", prefix, name),
                                 gen_format(g, "%s_reply_%s", prefix, name),
                                 gen_responder(g, prefix, m),
                                 gen_format(g, "%s_err_%s", prefix, name),
                                 gen_format(g, "%s_fail_%s", prefix, name)};
    for (size_t i = 0; i < sizeof names / sizeof *names - (fails ? 0 : 2); i++)
        if (!gen_take(g, names[i], "method", m->name.text, m->name.at)) return false;
    if (m->args_len == 0) return true;
    g->names[made->args] = gen_format(g, "%s_%s_args", prefix, name);
    return gen_take(g, g->names[made->args], "method", m->name.text, m->name.at);
}

/* Parameters for the arguments of a method, when everything global has its name. */
static void name_params(gen *g, const idl_method *m, const choir_method *made) {
    const choir_type *t = idl_type_at(g->file, made->args);
    if (m->args_len == 0) return;
    const char **params = g->params + t->first;
    for (uint32_t i = 0; i < t->count; i++) {
        const char *name = g->members[t->first + i];
        if (!is_taken(g, &g->prefix, name) && !gen_is_shadow((choir_str){name, strlen(name)}))
            params[i] = take_param(g, m, name);
    }
    for (uint32_t i = 0; i < t->count; i++) {
        const char *name = g->members[t->first + i];
        if (params[i]) continue;
        do {
            name = gen_format(g, "%s_", name);
        } while (is_taken(g, &g->prefix, name) || is_taken(g, &m->docs, name));
        params[i] = take_param(g, m, name);
    }
}

static bool name_service(gen *g, uint32_t service) {
    const idl_decl *d = gen_trait(g, service);
    const char *prefix = gen_service_prefix(g, service);
    static const char *const own[] = {"service", "handlers", "dispatch", "serve"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!gen_take(g, gen_format(g, "%s_%s", prefix, own[i]), "trait", d->name.text, d->name.at))
            return false;
    if (!gen_take(g, gen_upper(g, gen_format(g, "%s_methods", prefix)), "trait", d->name.text, d->name.at))
        return false;
    const choir_method *made = idl_service(g->file, service)->methods;
    for (const idl_method *m = d->methods; m; m = m->next, made++)
        if (!name_method(g, prefix, m, made) ||
            !take(g, &d->docs, gen_handler(g, m), &(taken){"method", m->name.text, m->name.at}))
            return false;
    return true;
}

/* What Rust can say and descriptors cannot. */
static bool check_defaults(gen *g) {
    for (uint32_t i = 0; i < g->file->fields.len; i++) {
        const idl_field *field = gen_field_info(g, i);
        if (field && field->default_at != 0)
            return idl_fail(g->file, field->default_at - 1, 1,
                            "#[facet(default)], or default = 0, false or \"\"",
                            "a default that is not zero; a missing field is zero in C");
    }
    return true;
}

bool gen_name_all(gen *g) {
    uint32_t types = g->file->types.len;
    g->mangled = idl_alloc(g->file, (types + 1) * sizeof *g->mangled);
    g->names = idl_alloc(g->file, (types + 1) * sizeof *g->names);
    g->tags = idl_alloc(g->file, (types + 1) * sizeof *g->tags);
    g->lists = idl_alloc(g->file, (types + 1) * sizeof *g->lists);
    g->first_list = idl_alloc(g->file, (types + 1) * sizeof *g->first_list);
    g->members = idl_alloc(g->file, (g->file->fields.len + 1) * sizeof *g->members);
    g->params = idl_alloc(g->file, (g->file->fields.len + 1) * sizeof *g->params);
    g->emitted = idl_alloc(g->file, types + 1);
    const char *unit = gen_format(g, "%s_unit", g->prefix);
    choir_str prefix = {g->prefix, strlen(g->prefix)};
    if (!check_defaults(g) || !gen_take(g, unit, "file", prefix, 0) ||
        !gen_take(g, g->guard, "file", prefix, 0))
        return false;
    for (uint32_t i = 0; i < g->file->services.len; i++)
        if (!name_service(g, i)) return false;
    for (uint32_t i = 0; i < types; i++)
        if (!name_type(g, i)) return false;
    for (uint32_t i = 0; i < types; i++)
        if (idl_type_at(g->file, i)->kind == CHOIR_KIND_ENUM && !gen_is_empty(g, i))
            g->tags[i] = claim(g, gen_format(g, "%s_tag", g->names[i]));
    for (uint32_t i = 0; i < types; i++)
        if (gen_is_list(g, i)) name_list(g, i);
    for (uint32_t i = 0; i < g->file->services.len; i++) {
        const choir_method *made = idl_service(g->file, i)->methods;
        for (const idl_method *m = gen_trait(g, i)->methods; m; m = m->next) name_params(g, m, made++);
    }
    return true;
}
