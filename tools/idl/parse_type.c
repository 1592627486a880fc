/* SPDX-License-Identifier: MIT */
/* Types as they are written, generics, and the helpers of all parsing. */
#include "idl/internal.h"

static const char type_forms[] =
    "a name such as u32, String, Vec<T>, n1::Point; (A, B); [T; 4]; () ; &'static str; Box<[T]>";

/* ---- helpers ---- */

bool idl_at(const idl *f, uint32_t punct) {
    return f->tok.kind == IDL_PUNCT && f->tok.punct == punct;
}

bool idl_at_word(const idl *f, const char *word) {
    return f->tok.kind == IDL_IDENT && !f->tok.raw && idl_is(idl_token_text(f), word);
}

bool idl_take(idl *f, uint32_t punct) {
    if (!idl_at(f, punct)) return false;
    idl_next(f);
    return true;
}

bool idl_take_word(idl *f, const char *word) {
    if (!idl_at_word(f, word)) return false;
    idl_next(f);
    return true;
}

bool idl_unexpected(idl *f, const char *allowed) {
    if (f->tok.kind == IDL_END) return idl_fail(f, f->tok.at, 0, allowed, "the file ends here");
    choir_str text = idl_token_text(f);
    return idl_fail(f, f->tok.at, f->tok.len, allowed, "\"%.*s\" is not expected here",
                    (int)(text.len < 60 ? text.len : 60), text.data);
}

bool idl_expect(idl *f, uint32_t punct, const char *where) {
    return idl_take(f, punct) || idl_unexpected(f, where);
}

/* Words that name nothing in Rust. */
static bool is_keyword(choir_str word) {
    static const char *const words[] = {
        "as",     "async", "await", "break", "const",  "continue", "crate", "dyn",   "else",   "enum",
        "extern", "false", "fn",    "for",   "if",     "impl",     "in",    "let",   "loop",   "match",
        "mod",    "move",  "mut",   "pub",   "ref",    "return",   "self",  "Self",  "static", "struct",
        "super",  "trait", "true",  "type",  "unsafe", "use",      "where", "while", "_"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (idl_is(word, words[i])) return true;
    return false;
}

static void take_name(idl *f, idl_name *ret) {
    choir_str text = idl_token_text(f);
    *ret = (idl_name){text, text, f->tok.at};
    if (f->tok.raw) ret->full = (choir_str){text.data - 2, text.len + 2};
    idl_next(f);
}

bool idl_expect_name(idl *f, const char *what, idl_name *ret) {
    if (f->tok.kind != IDL_IDENT) return idl_unexpected(f, what);
    if (!f->tok.raw && is_keyword(idl_token_text(f))) {
        choir_str word = idl_token_text(f);
        return idl_fail(f, f->tok.at, f->tok.len, what,
                        "\"%.*s\" is a keyword of Rust; as a name it is r#%.*s", (int)word.len, word.data,
                        (int)word.len, word.data);
    }
    take_name(f, ret);
    return !f->failed;
}

idl_doc *idl_take_docs(idl *f) {
    idl_doc *docs = f->tok.docs;
    f->tok.docs = NULL;
    return docs;
}

idl_doc *idl_take_inner_docs(idl *f) {
    idl_doc *docs = f->tok.inner_docs;
    f->tok.inner_docs = NULL;
    return docs;
}

static bool deeper(idl *f) {
    if (f->depth < IDL_DEPTH_MAX) {
        f->depth++;
        return true;
    }
    return idl_fail(f, f->tok.at, f->tok.len, "64 levels", "types are nested too deep here");
}

/* ---- numbers ---- */

/* Decimal, hexadecimal, octal or binary, with underscores and a suffix. */
static bool parse_number(idl *f, idl_ast_arg *ret) {
    choir_str text = idl_token_text(f);
    uint64_t base = 10, value = 0;
    size_t i = 0;
    if (text.len > 2 && text.data[0] == '0' && strchr("xob", text.data[1])) {
        base = text.data[1] == 'x' ? 16 : text.data[1] == 'o' ? 8 : 2;
        i = 2;
    }
    for (; i < text.len; i++) {
        char c = text.data[i];
        uint64_t digit = c >= '0' && c <= '9'   ? (uint64_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (uint64_t)(c - 'A') + 10
                                                : 99;
        if (c == '_') continue;
        if (digit >= base) break;
        if (value > (UINT64_MAX - digit) / base)
            return idl_fail(f, f->tok.at, f->tok.len, "a number of at most 64 bits",
                            "this number is too large");
        value = value * base + digit;
    }
    choir_str suffix = {text.data + i, text.len - i};
    if (suffix.len > 0 && !idl_is(suffix, "usize") && !idl_is(suffix, "u8") && !idl_is(suffix, "u16") &&
        !idl_is(suffix, "u32") && !idl_is(suffix, "u64"))
        return idl_fail(f, f->tok.at, f->tok.len, "a whole number such as 4, 0x10 or 1_000",
                        "no whole number");
    ret->number = value;
    idl_next(f);
    return !f->failed;
}

/* A type or a number in a list: Vec<T>, BufN<2>. */
static idl_ast_arg *parse_arg(idl *f) {
    idl_ast_arg *arg = idl_alloc(f, sizeof *arg);
    uint32_t at = f->tok.at;
    arg->at = at;
    if (f->tok.kind == IDL_NUMBER) {
        arg->len = f->tok.len;
        if (!parse_number(f, arg)) return NULL;
    } else {
        arg->type = idl_parse_type(f);
        if (!arg->type) return NULL;
        arg->len = arg->type->len;
    }
    return arg;
}

/* ---- types ---- */

/* The generic arguments behind the `<`. Lifetimes mean nothing here. */
static bool parse_args(idl *f, idl_ast_type *t) {
    idl_ast_arg **end = &t->args;
    while (!idl_at(f, '>')) {
        if (f->tok.kind == IDL_LIFETIME) {
            idl_next(f);
        } else {
            idl_ast_arg *arg = parse_arg(f);
            if (!arg) return false;
            *end = arg;
            end = &arg->next;
            t->args_len++;
        }
        if (!idl_take(f, ',')) break;
    }
    return idl_expect(f, '>', "generic arguments in <>, with commas between them");
}

static bool parse_path(idl *f, idl_ast_type *t) {
    idl_name path[8];
    idl_take(f, IDL_PATH_SEP);
    do {
        if (t->path_len == sizeof path / sizeof *path)
            return idl_fail(f, t->at, f->tok.at - t->at, "8 parts", "this path is too long");
        if (f->tok.kind != IDL_IDENT) return idl_unexpected(f, type_forms);
        choir_str text = idl_token_text(f);
        bool outer = idl_is(text, "self") || idl_is(text, "super") || idl_is(text, "crate");
        if (!f->tok.raw && is_keyword(text) && !outer)
            return idl_fail(f, f->tok.at, f->tok.len, type_forms,
                            "\"%.*s\" begins no type that vox can carry", (int)text.len, text.data);
        take_name(f, &path[t->path_len++]);
    } while (!idl_at(f, '<') && idl_take(f, IDL_PATH_SEP) && !idl_at(f, '<'));
    t->path = idl_alloc(f, t->path_len * sizeof *path);
    memcpy(t->path, path, t->path_len * sizeof *path);
    return !idl_take(f, '<') || parse_args(f, t);
}

static bool parse_tuple(idl *f, idl_ast_type *t) {
    idl_ast_arg **end = &t->args;
    bool comma = true;
    t->form = IDL_AST_TUPLE;
    while (!idl_at(f, ')') && comma) {
        idl_ast_arg *arg = idl_alloc(f, sizeof *arg);
        arg->type = idl_parse_type(f);
        if (!arg->type) return false;
        *end = arg;
        end = &arg->next;
        t->args_len++;
        comma = idl_take(f, ',');
    }
    if (!idl_expect(f, ')', "a tuple such as (u32, String)")) return false;
    if (t->args_len == 1 && !comma) *t = *t->args->type; /* only parentheses */
    return true;
}

static bool parse_array(idl *f, idl_ast_type *t) {
    t->form = IDL_AST_SLICE;
    t->elem = idl_parse_type(f);
    if (!t->elem) return false;
    if (idl_take(f, ';')) {
        t->form = IDL_AST_ARRAY;
        t->args = parse_arg(f);
        if (!t->args) return false;
    }
    return idl_expect(f, ']', "[T; N], or [T] behind & or in Box<>");
}

static bool parse_form(idl *f, idl_ast_type *t) {
    if (idl_take(f, '(')) return parse_tuple(f, t);
    if (idl_take(f, '[')) return parse_array(f, t);
    if (idl_at(f, '*') || idl_at(f, '!'))
        return idl_fail(f, f->tok.at, 1, type_forms, "%s",
                        idl_at(f, '*') ? "pointers stay in one process"
                                       : "! is written std::convert::Infallible");
    if (!idl_take(f, '&')) return parse_path(f, t);
    t->form = IDL_AST_REF;
    if (f->tok.kind == IDL_LIFETIME) idl_next(f);
    if (idl_at_word(f, "mut")) return idl_fail(f, f->tok.at, 3, type_forms, "&mut cannot be sent");
    t->elem = idl_parse_type(f);
    return t->elem != NULL;
}

idl_ast_type *idl_parse_type(idl *f) {
    if (!deeper(f)) return NULL;
    idl_ast_type *t = idl_alloc(f, sizeof *t);
    uint32_t at = f->tok.at;
    t->at = at;
    if (!parse_form(f, t)) return NULL;
    /* Up to the token in front of the next one, which may be lines away. */
    uint32_t end = f->tok.at;
    while (end > at + 1 && strchr(" \t\r\n", f->text.data[end - 1])) end--;
    t->at = at;
    t->len = end - at;
    f->depth--;
    return f->failed ? NULL : t;
}

/* ---- generics ---- */

/* T: A + B<C> + 'static + ?Sized. Bounds mean nothing on the wire. */
bool idl_skip_bounds(idl *f) {
    do {
        if (f->tok.kind == IDL_LIFETIME) {
            idl_next(f);
            continue;
        }
        idl_take(f, '?');
        if (!idl_at(f, ',') && !idl_at(f, '>') && !idl_at(f, '{') && !idl_parse_type(f)) return false;
    } while (idl_take(f, '+'));
    return !f->failed;
}

bool idl_skip_where(idl *f) {
    if (!idl_take_word(f, "where")) return true;
    while (!idl_at(f, '{') && !idl_at(f, ';') && !idl_at(f, '(')) {
        if (f->tok.kind == IDL_LIFETIME)
            idl_next(f);
        else if (!idl_parse_type(f))
            return false;
        if (!idl_expect(f, ':', "where T: Bound") || !idl_skip_bounds(f)) return false;
        if (!idl_take(f, ',')) break;
    }
    return !f->failed;
}

static bool parse_param(idl *f, idl_decl *d, idl_param *p) {
    static const char what[] = "type parameters: <T>, <const N: usize>, <'a>";
    p->is_const = idl_take_word(f, "const");
    if (!idl_expect_name(f, what, &p->name)) return false;
    for (const idl_param *other = d->params; other; other = other->next) {
        if (idl_same(other->name.text, p->name.text))
            return idl_fail(f, p->name.at, (uint32_t)p->name.text.len, NULL,
                            "two parameters are called \"%.*s\"", (int)p->name.text.len, p->name.text.data);
    }
    if (!idl_take(f, ':')) return !p->is_const || idl_unexpected(f, what);
    if (!p->is_const) return idl_skip_bounds(f);
    static const char *const kinds[] = {"usize", "u8", "u16", "u32", "u64"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (idl_take_word(f, kinds[i])) return true;
    return idl_unexpected(f, "const parameters of type usize, u8, u16, u32 or u64");
}

bool idl_parse_params(idl *f, idl_decl *d) {
    if (!idl_take(f, '<')) return true;
    idl_param **end = &d->params;
    while (!idl_at(f, '>')) {
        if (f->tok.kind == IDL_LIFETIME) {
            idl_next(f);
            if (idl_take(f, ':') && !idl_skip_bounds(f)) return false;
        } else {
            if (d->params_len == 32)
                return idl_fail(f, f->tok.at, f->tok.len, "32", "too many type parameters");
            idl_param *p = idl_alloc(f, sizeof *p);
            if (!parse_param(f, d, p)) return false;
            *end = p;
            end = &p->next;
            d->params_len++;
            d->type_params_len += !p->is_const;
        }
        if (!idl_take(f, ',')) break;
    }
    return idl_expect(f, '>', "type parameters without defaults: <T>, <const N: usize>, <'a>");
}
