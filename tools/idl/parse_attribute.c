/* SPDX-License-Identifier: MIT */
/* Doc comments and attributes. What vox looks at is understood, what has no effect on vox is skipped by name,
 * everything else is an error: an attribute that is not understood may mean anything. */
#include "idl/internal.h"

static const char known_attributes[] =
    "#[derive(..)], #[repr(..)], #[doc = \"..\"], #[vox::service], #[vox(idem)], #[vox(persist)], "
    "#[facet(default)], #[facet(transparent)], #[facet(sensitive)], lints";

/* Without effect on what is sent. */
static bool is_harmless(choir_str name) {
    static const char *const names[] = {"derive",         "repr",     "allow",   "warn",       "deny",
                                        "forbid",         "expect",   "serde",   "deprecated", "default",
                                        "non_exhaustive", "must_use", "rustfmt", "clippy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (idl_is(name, names[i])) return true;
    return false;
}

/* facet attributes that vox does not look at. */
static bool is_harmless_facet(choir_str name) {
    return idl_is(name, "rename") || idl_is(name, "rename_all") || idl_is(name, "flatten") ||
           (name.len >= 4 && memcmp(name.data, "skip", 4) == 0);
}

/* Skips to the bracket that closes what is open, by counting. */
static bool skip_tokens(idl *f, uint32_t open_at, bool until_comma) {
    char stack[IDL_DEPTH_MAX];
    uint32_t depth = 0;
    for (;;) {
        if (f->tok.kind == IDL_END)
            return idl_fail(f, open_at, 1, "each ( [ { needs its ) ] }", "this bracket is not closed");
        if (f->tok.kind == IDL_PUNCT && f->tok.punct < 128 && strchr("([{", (char)f->tok.punct)) {
            if (depth == IDL_DEPTH_MAX)
                return idl_fail(f, f->tok.at, 1, "64 levels", "brackets are nested too deep here");
            stack[depth++] = f->tok.punct == '(' ? ')' : f->tok.punct == '[' ? ']' : '}';
        } else if (f->tok.kind == IDL_PUNCT && f->tok.punct < 128 && strchr(")]}", (char)f->tok.punct)) {
            if (depth == 0) return true;
            if (stack[--depth] != (char)f->tok.punct) return idl_unexpected(f, "brackets in pairs");
        } else if (until_comma && depth == 0 && idl_at(f, ',')) {
            return true;
        }
        idl_next(f);
    }
}

static void meant(idl_attributes *a, uint32_t at) {
    if (a->at == 0) a->at = at + 1;
}

/* Is a default the zero that C gives? */
static bool is_zero(choir_str text) {
    static const char *const zeros[] = {"0", "0.0", "false", "\"\"", "None", "'\\0'"};
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
        if (idl_is(text, zeros[i])) return true;
    return false;
}

static bool facet_default(idl *f, idl_attributes *a) {
    a->field_flags |= CHOIR_FIELD_DEFAULT;
    if (!idl_take(f, '=')) return true;
    uint32_t at = f->tok.at;
    bool zero = is_zero(idl_token_text(f));
    idl_next(f);
    if (!idl_at(f, ',') && !idl_at(f, ')')) zero = false;
    if (!zero) a->default_at = at + 1;
    return skip_tokens(f, at, true);
}

static bool facet(idl *f, idl_attributes *a) {
    static const char known[] =
        "facet(default), facet(transparent), facet(sensitive); without effect on vox: "
        "rename, rename_all, flatten, skip*";
    uint32_t open_at = f->tok.at;
    if (!idl_expect(f, '(', "#[facet(..)]")) return false;
    while (!idl_at(f, ')')) {
        uint32_t at = f->tok.at, len = f->tok.len;
        choir_str name = idl_token_text(f);
        if (f->tok.kind != IDL_IDENT) return idl_unexpected(f, known);
        idl_next(f);
        if (idl_is(name, "default")) {
            meant(a, at);
            if (!facet_default(f, a)) return false;
        } else if (idl_is(name, "sensitive")) {
            meant(a, at);
            a->field_flags |= CHOIR_FIELD_SENSITIVE;
        } else if (idl_is(name, "transparent")) {
            meant(a, at);
            a->transparent = true;
        } else if (is_harmless_facet(name)) {
            if (!skip_tokens(f, open_at, true)) return false;
        } else {
            return idl_fail(f, at, len, known, "facet(%.*s) is not known here", (int)name.len, name.data);
        }
        if (!idl_take(f, ',')) break;
    }
    return idl_expect(f, ')', known);
}

static bool vox(idl *f, idl_attributes *a) {
    static const char known[] = "#[vox::service] on traits, #[vox(idem)] and #[vox(persist)] on methods";
    meant(a, f->tok.at);
    if (idl_take(f, IDL_PATH_SEP)) {
        a->service = true;
        return idl_take_word(f, "service") || idl_unexpected(f, known);
    }
    if (!idl_expect(f, '(', known)) return false;
    do {
        if (idl_take_word(f, "idem"))
            a->method_flags |= CHOIR_METHOD_IDEM;
        else if (idl_take_word(f, "persist"))
            a->method_flags |= CHOIR_METHOD_PERSIST;
        else
            return idl_unexpected(f, known);
    } while (idl_take(f, ','));
    return idl_expect(f, ')', known);
}

static void add_docs(idl_docs *docs, idl_doc *first) {
    *docs->end = first;
    while (*docs->end) docs->end = &(*docs->end)->next;
}

/* doc = "text", of one line, as it is written; doc(hidden) and the like say nothing to us. */
static bool doc(idl *f, idl_attributes *a) {
    if (!idl_take(f, '=')) return skip_tokens(f, f->tok.at, false);
    choir_str text = idl_token_text(f);
    if (f->tok.kind != IDL_STRING || text.data[0] != '"') return idl_unexpected(f, "#[doc = \"text\"]");
    idl_doc *line = idl_alloc(f, sizeof *line);
    line->line = (choir_str){text.data + 1, text.len - 2};
    if (line->line.len > 0 && line->line.data[0] == ' ')
        line->line = (choir_str){text.data + 2, text.len - 3};
    for (size_t i = 0; i < line->line.len; i++)
        if (line->line.data[i] == '\n' || line->line.data[i] == '\\')
            return idl_unexpected(f, "a doc text of one line without escapes; or ///");
    add_docs(&a->docs, line);
    idl_next(f);
    return !f->failed;
}

static bool attribute(idl *f, idl_attributes *a) {
    uint32_t at = f->tok.at, len = f->tok.len;
    choir_str name = idl_token_text(f);
    if (f->tok.kind != IDL_IDENT) return idl_unexpected(f, known_attributes);
    idl_next(f);
    if (idl_is(name, "doc")) return doc(f, a);
    if (idl_is(name, "facet")) return facet(f, a);
    if (idl_is(name, "vox")) return vox(f, a);
    if (is_harmless(name)) return skip_tokens(f, at, false);
    return idl_fail(f, at, len, known_attributes, "the attribute %.*s is not known here", (int)name.len,
                    name.data);
}

bool idl_parse_attributes(idl *f, idl_attributes *ret) {
    *ret = (idl_attributes){0};
    ret->docs.end = &ret->docs.first;
    for (;;) {
        if (f->tok.docs) add_docs(&ret->docs, idl_take_docs(f));
        uint32_t at = f->tok.at;
        if (!idl_take(f, '#')) return !f->failed;
        if (idl_at(f, '!'))
            return idl_fail(f, at, 2, "#![..] at the start of the file", "an inner attribute here");
        if (!idl_expect(f, '[', known_attributes) || !attribute(f, ret) ||
            !idl_expect(f, ']', known_attributes))
            return false;
    }
}

/* #![...] and inner docs at the start of a file or module. */
bool idl_skip_inner_attributes(idl *f) {
    while (idl_at(f, '#') && !f->failed) {
        uint32_t pos = f->pos;
        idl_token tok = f->tok;
        idl_take_docs(f);
        idl_next(f);
        if (!idl_at(f, '!')) { /* of the first item */
            f->pos = pos;
            f->tok = tok;
            return !f->failed;
        }
        idl_next(f);
        idl_attributes ignored = {.docs.end = &ignored.docs.first};
        if (!idl_expect(f, '[', known_attributes) || !attribute(f, &ignored) ||
            !idl_expect(f, ']', known_attributes))
            return false;
    }
    return !f->failed;
}
