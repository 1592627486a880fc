/* SPDX-License-Identifier: MIT */
/* Items: modules, structs, enums, aliases, traits. Names are entered into the table as they come, so that a
 * second one is found where it stands. */
#include "idl/internal.h"

static const char items_allowed[] =
    "struct, enum, type, trait, mod NAME { }, use; with pub, doc comments and attributes";
static const char no_effect[] =
    "attributes where they mean something: idem and persist on methods, transparent on "
    "structs, default and sensitive on fields";

/* Enters a name; says where the other one is. */
static bool enter(idl *f, const void *owner, const idl_name *name, const char *what, void *value) {
    idl_entry *e = idl_entry_of(f, owner, idl_bytes(name->text), true);
    if (e->value) {
        uint32_t line, column;
        idl_place(f, e->at, &line, &column);
        return idl_fail(f, name->at, (uint32_t)name->text.len, "one of each name",
                        "a second %s \"%.*s\"; the first is in line %u", what, (int)name->text.len,
                        name->text.data, (unsigned)line);
    }
    e->value = value;
    e->at = name->at;
    return true;
}

static bool only(idl *f, const idl_attributes *a, bool method, bool field, bool transparent, bool service) {
    if ((a->method_flags && !method) || (a->field_flags && !field) || (a->transparent && !transparent) ||
        (a->service && !service))
        return idl_fail(f, a->at - 1, 1, no_effect, "this attribute has no meaning here");
    return true;
}

/* pub, pub(crate), pub(in a::b). */
static bool skip_visibility(idl *f) {
    if (!idl_take_word(f, "pub") || !idl_take(f, '(')) return !f->failed;
    while (!idl_at(f, ')')) {
        if (f->tok.kind != IDL_IDENT && !idl_at(f, IDL_PATH_SEP))
            return idl_unexpected(f, "pub or pub(crate)");
        idl_next(f);
    }
    return idl_expect(f, ')', "pub or pub(crate)");
}

/* ---- fields ---- */

/* A named field, or an unnamed one of a tuple. */
static bool parse_field(idl *f, bool named, idl_field *ret) {
    idl_attributes a;
    if (!idl_parse_attributes(f, &a) || !only(f, &a, false, true, false, false) || !skip_visibility(f))
        return false;
    ret->at = f->tok.at;
    ret->docs = a.docs.first;
    ret->flags = a.field_flags;
    ret->default_at = a.default_at;
    if (named) {
        if (!idl_expect_name(f, "a field: NAME: TYPE", &ret->name)) return false;
        if (!idl_expect(f, ':', "a field: NAME: TYPE")) return false;
    }
    ret->type = idl_parse_type(f);
    return ret->type != NULL;
}

/* Fields up to the closing bracket, with commas between them. */
static bool parse_fields(idl *f, const void *owner, bool named, idl_field **ret, uint32_t *ret_len) {
    uint32_t close = named ? '}' : ')';
    while (!idl_at(f, close)) {
        idl_field *field = idl_alloc(f, sizeof *field);
        if (!parse_field(f, named, field)) return false;
        if (named && !enter(f, owner, &field->name, "field", field)) return false;
        *ret = field;
        ret = &field->next;
        ++*ret_len;
        if (!idl_take(f, ',')) break;
    }
    return idl_expect(f, close,
                      named ? "fields NAME: TYPE with commas between them, then }"
                            : "types with commas between them, then )");
}

/* ---- structs and enums ---- */

static bool parse_struct(idl *f, idl_decl *d, const idl_attributes *a) {
    static const char forms[] = "struct NAME { .. }, struct NAME(..); or struct NAME;";
    if (!idl_parse_params(f, d) || !idl_skip_where(f)) return false;
    if (idl_take(f, '{')) {
        d->what = IDL_STRUCT;
        if (!parse_fields(f, d, true, &d->fields, &d->fields_len)) return false;
    } else if (idl_take(f, '(')) {
        d->what = IDL_TUPLE_STRUCT;
        if (!parse_fields(f, d, false, &d->fields, &d->fields_len) || !idl_skip_where(f)) return false;
        if (!idl_expect(f, ';', forms)) return false;
    } else {
        d->what = IDL_UNIT_STRUCT;
        if (!idl_expect(f, ';', forms)) return false;
    }
    if (!a->transparent) return true;
    if (d->fields_len != 1)
        return idl_fail(f, d->name.at, (uint32_t)d->name.text.len, "transparent structs with one field",
                        "a transparent struct with %u fields", (unsigned)d->fields_len);
    d->what = IDL_ALIAS;
    d->alias = d->fields->type;
    return true;
}

static bool parse_discriminant(idl *f) {
    if (!idl_take(f, '=')) return true;
    idl_take(f, '-');
    if (f->tok.kind != IDL_NUMBER && f->tok.kind != IDL_CHAR)
        return idl_unexpected(f, "a number as discriminant");
    idl_next(f);
    return !f->failed;
}

static bool parse_variant(idl *f, idl_variant *v) {
    idl_attributes a;
    if (!idl_parse_attributes(f, &a) || !only(f, &a, false, false, false, false)) return false;
    v->docs = a.docs.first;
    if (!idl_expect_name(f, "a variant: NAME, NAME(TYPES) or NAME { FIELDS }", &v->name)) return false;
    if (idl_take(f, '{')) {
        v->shape = CHOIR_VARIANT_STRUCT;
        if (!parse_fields(f, v, true, &v->fields, &v->fields_len)) return false;
    } else if (idl_take(f, '(')) {
        if (!parse_fields(f, v, false, &v->fields, &v->fields_len)) return false;
        v->shape = v->fields_len == 1 ? CHOIR_VARIANT_NEWTYPE : CHOIR_VARIANT_TUPLE;
    }
    return parse_discriminant(f);
}

static bool parse_enum(idl *f, idl_decl *d) {
    static const char form[] = "enum NAME { VARIANTS with commas between them }";
    idl_variant **end = &d->variants;
    d->what = IDL_ENUM;
    if (!idl_parse_params(f, d) || !idl_skip_where(f) || !idl_expect(f, '{', form)) return false;
    while (!idl_at(f, '}')) {
        idl_variant *v = idl_alloc(f, sizeof *v);
        if (!parse_variant(f, v) || !enter(f, d, &v->name, "variant", v)) return false;
        *end = v;
        end = &v->next;
        d->variants_len++;
        if (!idl_take(f, ',')) break;
    }
    if (d->variants_len == 0 && !f->failed)
        return idl_fail(f, d->name.at, (uint32_t)d->name.text.len,
                        "std::convert::Infallible for a type without values", "an enum without variants");
    return idl_expect(f, '}', form);
}

static bool parse_alias(idl *f, idl_decl *d) {
    d->what = IDL_ALIAS;
    if (!idl_parse_params(f, d) || !idl_expect(f, '=', "type NAME = TYPE;")) return false;
    d->alias = idl_parse_type(f);
    return d->alias && idl_expect(f, ';', "type NAME = TYPE;");
}

/* ---- traits ---- */

static bool parse_method_args(idl *f, idl_method *m) {
    static const char form[] = "async fn NAME(&self, NAME: TYPE, ..) -> TYPE;";
    idl_field **end = &m->args;
    if (!idl_expect(f, '(', form) || !idl_expect(f, '&', form)) return false;
    if (!idl_take_word(f, "self")) return idl_unexpected(f, form);
    while (idl_take(f, ',') && !idl_at(f, ')')) {
        idl_field *arg = idl_alloc(f, sizeof *arg);
        arg->at = f->tok.at;
        if (!idl_expect_name(f, form, &arg->name) || !enter(f, m, &arg->name, "argument", arg) ||
            !idl_expect(f, ':', form))
            return false;
        arg->type = idl_parse_type(f);
        if (!arg->type) return false;
        *end = arg;
        end = &arg->next;
        m->args_len++;
    }
    return idl_expect(f, ')', form);
}

static bool parse_method(idl *f, idl_method *m) {
    static const char form[] = "async fn NAME(&self, ..) -> TYPE; without a body";
    idl_attributes a;
    if (!idl_parse_attributes(f, &a) || !only(f, &a, true, false, false, false)) return false;
    m->docs = a.docs.first;
    m->flags = a.method_flags;
    if (!idl_take_word(f, "async") || !idl_take_word(f, "fn")) return idl_unexpected(f, form);
    if (!idl_expect_name(f, form, &m->name) || !parse_method_args(f, m)) return false;
    if (idl_take(f, IDL_ARROW)) {
        m->ret = idl_parse_type(f);
        if (!m->ret) return false;
    }
    return idl_expect(f, ';', form);
}

static bool parse_trait(idl *f, idl_decl *d) {
    static const char form[] = "trait NAME { METHODS }, without type parameters";
    idl_method **end = &d->methods;
    d->what = IDL_TRAIT;
    if (idl_take(f, ':') && !idl_skip_bounds(f)) return false;
    if (!idl_expect(f, '{', form)) return false;
    while (!idl_at(f, '}')) {
        idl_method *m = idl_alloc(f, sizeof *m);
        if (!parse_method(f, m) || !enter(f, d, &m->name, "method", m)) return false;
        *end = m;
        end = &m->next;
        d->methods_len++;
    }
    return idl_expect(f, '}', form);
}

/* ---- items ---- */

/* use lines are for Rust; names are looked up without them. */
static bool skip_use(idl *f) {
    uint32_t at = f->tok.at;
    while (!idl_take(f, ';')) {
        if (f->tok.kind == IDL_END) return idl_fail(f, at, 1, "use PATH;", "this use line does not end");
        idl_next(f);
    }
    return !f->failed;
}

static bool parse_items(idl *f, idl_decl *in);

static bool parse_module(idl *f, idl_decl *d) {
    d->what = IDL_MODULE;
    if (!idl_expect(f, '{', "mod NAME { .. }; a module in a file of its own is not read")) return false;
    if (f->depth == IDL_DEPTH_MAX)
        return idl_fail(f, d->name.at, (uint32_t)d->name.text.len, "64 levels",
                        "modules are nested too deep here");
    f->depth++;
    idl_take_inner_docs(f);
    if (!idl_skip_inner_attributes(f) || !parse_items(f, d)) return false;
    f->depth--;
    return idl_expect(f, '}', items_allowed);
}

static bool parse_body(idl *f, idl_decl *d, const char *keyword, const idl_attributes *a) {
    switch (keyword[0]) {
    case 's': return parse_struct(f, d, a);
    case 'e': return parse_enum(f, d);
    case 'm': return parse_module(f, d);
    default: return keyword[1] == 'y' ? parse_alias(f, d) : parse_trait(f, d);
    }
}

static bool parse_item(idl *f, idl_decl *in) {
    static const char *const keywords[] = {"struct", "enum", "type", "trait", "mod"};
    idl_attributes a;
    if (!idl_parse_attributes(f, &a) || !skip_visibility(f)) return false;
    if (idl_take_word(f, "use")) return skip_use(f);
    const char *keyword = NULL;
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords && !keyword; i++)
        if (idl_take_word(f, keywords[i])) keyword = keywords[i];
    if (!keyword) return idl_unexpected(f, items_allowed);
    if (!only(f, &a, false, false, keyword[0] == 's', keyword[1] == 'r')) return false;
    idl_decl *d = idl_alloc(f, sizeof *d);
    d->docs = a.docs.first;
    d->in = in;
    if (!idl_expect_name(f, "a name", &d->name) || !enter(f, in, &d->name, "item", d)) return false;
    *f->decls_end = d;
    f->decls_end = &d->next;
    if (!parse_body(f, d, keyword, &a)) return false;
    return !f->failed;
}

static bool parse_items(idl *f, idl_decl *in) {
    while (f->tok.kind != IDL_END && !(in && idl_at(f, '}'))) {
        if (!parse_item(f, in)) return false;
    }
    return !f->failed;
}

bool idl_parse_file(idl *f, idl_decl *in) {
    if (f->text.len >= 3 && memcmp(f->text.data, "\xef\xbb\xbf", 3) == 0) f->pos = 3;
    idl_next(f);
    f->docs = idl_take_inner_docs(f);
    if (f->failed || !idl_skip_inner_attributes(f) || !parse_items(f, in)) return false;
    idl_next(f); /* behind the end: nothing but a complaint about docs of nothing */
    return !f->failed;
}
