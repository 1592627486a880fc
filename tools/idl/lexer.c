/* SPDX-License-Identifier: MIT */
/* Tokens of Rust, as far as an interface file needs them. Comments and white space separate tokens and mean
 * nothing else; doc comments are kept for what follows them. Punctuation is one character, except for -> and
 * ::, so that the end of Vec<Vec<u8>> needs no care. */
#include "idl/internal.h"

#include "wire/reader.h"

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80;
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* The character at `pos` + `ahead`, NUL behind the end. */
static char peek(const idl *f, uint32_t ahead) {
    return f->pos + ahead < f->text.len ? f->text.data[f->pos + ahead] : '\0';
}

/* ---- doc comments ---- */

/* Of what comes next, and (with a !) of what they are in. */
typedef struct docs {
    idl_docs outer, inner;
    uint32_t at;
} docs;

static choir_str trim_end(choir_str line) {
    while (line.len > 0 && is_space(line.data[line.len - 1])) line.len--;
    return line;
}

static void add_doc(idl *f, idl_docs *d, choir_str line) {
    idl_doc *doc = idl_alloc(f, sizeof *doc);
    doc->line = trim_end(line);
    *d->end = doc;
    d->end = &doc->next;
}

static idl_docs *start_docs(docs *d, uint32_t at, bool inner) {
    if (!d->outer.first && !d->inner.first) d->at = at;
    return inner ? &d->inner : &d->outer;
}

/* The lines of a block comment, without the stars in front of them. */
static void add_block(idl *f, idl_docs *d, choir_str text) {
    bool first = true;
    while (text.len > 0) {
        size_t len = 0;
        while (len < text.len && text.data[len] != '\n') len++;
        choir_str line = trim_end((choir_str){text.data, len});
        if (!first) {
            size_t skip = 0;
            while (skip < line.len && is_space(line.data[skip])) skip++;
            if (skip < line.len && line.data[skip] == '*') skip++;
            line = (choir_str){line.data + skip, line.len - skip};
        }
        if (line.len > 0 && line.data[0] == ' ') line = (choir_str){line.data + 1, line.len - 1};
        bool last = len == text.len;
        if (line.len > 0 || (!first && !last)) add_doc(f, d, line);
        first = false;
        len += !last;
        text = (choir_str){text.data + len, text.len - len};
    }
}

/* ---- comments and white space ---- */

static void line_comment(idl *f, docs *d) {
    uint32_t start = f->pos;
    bool inner = peek(f, 2) == '!', outer = peek(f, 2) == '/' && peek(f, 3) != '/';
    while (f->pos < f->text.len && f->text.data[f->pos] != '\n') f->pos++;
    if (!inner && !outer) return;
    choir_str line = {f->text.data + start + 3, f->pos - start - 3};
    if (line.len > 0 && line.data[0] == ' ') line = (choir_str){line.data + 1, line.len - 1};
    add_doc(f, start_docs(d, start, inner), line);
}

/* Block comments nest, by counting. */
static bool block_comment(idl *f, docs *d) {
    uint32_t start = f->pos, depth = 0;
    bool inner = peek(f, 2) == '!';
    bool outer = peek(f, 2) == '*' && peek(f, 3) != '*' && peek(f, 3) != '/';
    do {
        if (f->pos >= f->text.len)
            return idl_fail(f, start, 2, "each /* needs its */", "this comment does not end");
        if (peek(f, 0) == '/' && peek(f, 1) == '*') {
            depth++;
            f->pos += 2;
        } else if (peek(f, 0) == '*' && peek(f, 1) == '/') {
            depth--;
            f->pos += 2;
        } else {
            f->pos++;
        }
    } while (depth > 0);
    if (!inner && !outer) return true;
    add_block(f, start_docs(d, start, inner), (choir_str){f->text.data + start + 3, f->pos - start - 5});
    return true;
}

static bool skip_space(idl *f, docs *d) {
    for (;;) {
        if (is_space(peek(f, 0)))
            f->pos++;
        else if (peek(f, 0) == '/' && peek(f, 1) == '/')
            line_comment(f, d);
        else if (peek(f, 0) != '/' || peek(f, 1) != '*')
            return true;
        else if (!block_comment(f, d))
            return false;
    }
}

/* ---- tokens ---- */

static void word(idl *f, uint32_t kind) {
    uint32_t start = f->pos;
    while (f->pos < f->text.len && (is_letter(peek(f, 0)) || is_digit(peek(f, 0)))) f->pos++;
    f->tok.kind = kind;
    f->tok.at = start;
    f->tok.len = f->pos - start;
}

static bool quoted(idl *f, char quote, uint32_t kind) {
    uint32_t start = f->pos++;
    while (f->pos < f->text.len && peek(f, 0) != quote) f->pos += peek(f, 0) == '\\' ? 2 : 1;
    if (f->pos >= f->text.len)
        return idl_fail(f, start, 1, "a string ends with a quote", "this string does not end");
    f->pos++;
    f->tok.kind = kind;
    f->tok.at = start;
    f->tok.len = f->pos - start;
    return true;
}

/* r"...", r#"..."# and so on. */
static bool raw_string(idl *f) {
    uint32_t start = f->pos++, hashes = 0, have = 0;
    for (; peek(f, 0) == '#'; f->pos++) hashes++;
    f->pos++;
    for (bool open = true; open;) {
        if (f->pos >= f->text.len)
            return idl_fail(f, start, 1 + hashes,
                            "a raw string ends with a quote and as many # as it starts with",
                            "this string does not end");
        open = f->text.data[f->pos++] != '"';
        for (have = 0; !open && have < hashes && peek(f, 0) == '#'; f->pos++) have++;
        open = open || have < hashes;
    }
    f->tok.kind = IDL_STRING;
    f->tok.at = start;
    f->tok.len = f->pos - start;
    return true;
}

static bool is_raw_string(const idl *f) {
    uint32_t i = 1;
    while (peek(f, i) == '#') i++;
    return peek(f, 0) == 'r' && peek(f, i) == '"';
}

/* 'a' is a character, 'a without the second quote a lifetime. */
static bool apostrophe(idl *f) {
    uint32_t len = 1;
    while (((uint8_t)peek(f, 1 + len) & 0xc0u) == 0x80u) len++;
    if (peek(f, 1) == '\\' || peek(f, 1 + len) == '\'') return quoted(f, '\'', IDL_CHAR);
    if (!is_letter(peek(f, 1)))
        return idl_fail(f, f->pos, 1, "a lifetime such as 'static", "a stray apostrophe");
    f->pos++;
    word(f, IDL_LIFETIME);
    f->tok.at--;
    f->tok.len++;
    return true;
}

static void number(idl *f) {
    uint32_t start = f->pos;
    while (is_letter(peek(f, 0)) || is_digit(peek(f, 0)) || (peek(f, 0) == '.' && is_digit(peek(f, 1))))
        f->pos++;
    f->tok.kind = IDL_NUMBER;
    f->tok.at = start;
    f->tok.len = f->pos - start;
}

static bool punctuation(idl *f) {
    static const char known[] = "#![](){}<>,;:=&*+-?.|/@$%^~";
    char c = peek(f, 0), next = peek(f, 1);
    if (c == '\0' || !strchr(known, c))
        return idl_fail(f, f->pos, 1, NULL, "the character with code 0x%02x has no meaning here",
                        (unsigned)(uint8_t)c);
    f->tok.kind = IDL_PUNCT;
    f->tok.at = f->pos;
    f->tok.punct = (uint8_t)c;
    if (c == '-' && next == '>') f->tok.punct = IDL_ARROW;
    if (c == ':' && next == ':') f->tok.punct = IDL_PATH_SEP;
    f->tok.len = f->tok.punct > 255 ? 2 : 1;
    f->pos += f->tok.len;
    return true;
}

static bool token(idl *f) {
    char c = peek(f, 0);
    if (f->pos == f->text.len) {
        f->tok.kind = IDL_END;
        f->tok.at = f->pos;
        return true;
    }
    if (is_raw_string(f)) return raw_string(f);
    if (c == 'b' && peek(f, 1) == '"') {
        f->pos++;
        return quoted(f, '"', IDL_STRING);
    }
    if (c == 'r' && peek(f, 1) == '#' && is_letter(peek(f, 2))) {
        f->pos += 2;
        f->tok.raw = true;
        word(f, IDL_IDENT);
        return true;
    }
    if (c == '"') return quoted(f, '"', IDL_STRING);
    if (c == '\'') return apostrophe(f);
    if (is_digit(c)) {
        number(f);
        return true;
    }
    if (!is_letter(c)) return punctuation(f);
    word(f, IDL_IDENT);
    return true;
}

void idl_next(idl *f) {
    if (f->failed) return;
    if (f->tok.docs || f->tok.inner_docs) {
        idl_fail(f, f->tok.docs_at, 3,
                 "doc comments in front of items, fields, variants and methods; /* */ or // anywhere",
                 "this doc comment documents nothing");
        return;
    }
    docs d = {.outer.end = &d.outer.first, .inner.end = &d.inner.first};
    if (!skip_space(f, &d)) return;
    f->tok = (idl_token){.docs = d.outer.first, .inner_docs = d.inner.first, .docs_at = d.at};
    token(f);
}
