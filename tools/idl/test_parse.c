/* SPDX-License-Identifier: MIT */
/* What is read and what is refused: messages with their places, bounds, and text that is cut or damaged. */
#include "idl/idl.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static idl *parse(const char *text) {
    idl *file = NULL;
    idl_error error;
    cr_assert(idl_parse(text, strlen(text), "test.rs", &file, &error), "%s", error.text);
    return file;
}

/* ---- what is refused ---- */

static const struct {
    const char *text, *message; /* the start of it */
} bad[] = {
    {"struct A { x: i31 }",
     "test.rs:1:15: error: there is no type \"i31\"\n    struct A { x: i31 }\n                  ^^^\n"},
    {"struct A { x: nowhere::B }", "test.rs:1:15: error: there is no type \"nowhere::B\"\n"},
    {"mod m { struct B; } struct A { x: B }", "test.rs:1:35: error: there is no type \"B\"\n"},
    {"struct A { x: std::path::PathBuf }", "test.rs:1:15: error: vox cannot encode a PathBuf\n"},
    {"struct A { x: str }", "test.rs:1:15: error: str has no size of its own\n"},
    {"struct A { x: [u8] }", "test.rs:1:15: error: a slice has no size of its own\n"},
    {"struct A { x: Vec<u8, u8> }", "test.rs:1:15: error: Vec takes 1 generic argument here, not 2\n"},
    {"struct A { x: HashMap<u8> }", "test.rs:1:15: error: HashMap takes 2 generic arguments here, not 1\n"},
    {"struct G<T> { t: T } struct A { x: G }",
     "test.rs:1:36: error: G takes 1 generic argument here, not 0\n"},
    {"struct A { x: [u8; n] }", "test.rs:1:20: error: no number that is known here\n"},
    {"struct A { x: [u8; 99999999999] }", "test.rs:1:15: error: this array is too large\n"},
    {"struct A { x: [u64; 1000000000] }", "test.rs:1:15: error: a value of this type is too large\n"},
    {"struct A { x: [u8; 99999999999999999999] }", "test.rs:1:20: error: this number is too large\n"},
    {"struct A { x: *const u8 }", "test.rs:1:15: error: pointers stay in one process\n"},
    {"struct A { x: &'static mut u8 }", "test.rs:1:24: error: &mut cannot be sent\n"},
    {"struct A { x: dyn B }", "test.rs:1:15: error: \"dyn\" begins no type that vox can carry\n"},
    {"struct A { x: fn() }", "test.rs:1:15: error: \"fn\" begins no type that vox can carry\n"},
    {"struct N {\n    n: N,\n}", "test.rs:1:8: error: a type that contains itself would have no end\n"},
    {"struct N { n: Option<(u8, N)> }",
     "test.rs:1:8: error: a type that contains itself would have no end\n"},
    {"struct A { b: B } struct B { a: [A; 2] }", "test.rs:1:8: error: a type that contains itself"},
    {"type A = Vec<A>;", "test.rs:1:10: error: nested too deep; does an alias"},
    {"#[facet(transparent)] struct A(Box<A>);", "test.rs:1:32: error: nested too deep; does an alias"},
    {"#[facet(transparent)] struct A(u8, u8);", "test.rs:1:30: error: a transparent struct with 2 fields\n"},
    {"struct S<T> { x: Option<Box<S<Vec<T>>>> } struct A { s: S<u8> }",
     "test.rs:1:29: error: too many types; does"},
    {"struct A { fn: u32 }", "test.rs:1:12: error: \"fn\" is a keyword of Rust; as a name it is r#fn\n"},
    {"struct A { a: u32,\n  a: u32 }", "test.rs:2:3: error: a second field \"a\"; the first is in line 1\n"},
    {"struct A;\nenum A { B }", "test.rs:2:6: error: a second item \"A\"; the first is in line 1\n"},
    {"enum A { B, B }", "test.rs:1:13: error: a second variant \"B\"; the first is in line 1\n"},
    {"enum A { B { c: u8, c: u8 } }", "test.rs:1:21: error: a second field \"c\"; the first is in line 1\n"},
    {"enum A {}", "test.rs:1:6: error: an enum without variants\n"},
    {"struct A<T, T> { a: T }", "test.rs:1:13: error: two parameters are called \"T\"\n"},
    {"trait T { async fn f(&self); async fn f(&self); }",
     "test.rs:1:39: error: a second method \"f\"; the first"},
    {"trait T { async fn f(&self, a: u8, a: u8); }",
     "test.rs:1:36: error: a second argument \"a\"; the first"},
    {"trait T { async fn a_b(&self);\n async fn a__b(&self); }",
     "test.rs:2:11: error: the method id of \"a__b\" is also that of \"a_b\" in line 1\n"},
    {"trait T { fn f(&self); }", "test.rs:1:11: error: \"fn\" is not expected here\n"},
    {"trait T { async fn f(); }", "test.rs:1:22: error: \")\" is not expected here\n"},
    {"trait T { async fn f(&self) {} }", "test.rs:1:29: error: \"{\" is not expected here\n"},
    {"trait T { async fn f(&self) -> Tx<u32>; }",
     "test.rs:1:32: error: a channel in what a method returns\n"},
    {"struct H { r: Rx<u8> } trait T { async fn f(&self) -> Result<u8, Vec<H>>; }",
     "test.rs:1:55: error: a channel in what a method returns\n"},
    {"trait T { async fn f(&self, t: Tx<Rx<u8>>); }",
     "test.rs:1:32: error: a channel that carries channels\n"},
    {"trait T { async fn f(&self, t: T); }", "test.rs:1:32: error: \"T\" is a trait, no type\n"},
    {"trait T<A> { }", "test.rs:1:8: error: \"<\" is not expected here\n"},
    {"#[foo] struct A;", "test.rs:1:3: error: the attribute foo is not known here\n"},
    {"#[facet(foo)] struct A;", "test.rs:1:9: error: facet(foo) is not known here\n"},
    {"#[cfg(test)] struct A;", "test.rs:1:3: error: the attribute cfg is not known here\n"},
    {"struct A { #[vox(idem)] x: u32 }", "test.rs:1:17: error: this attribute has no meaning here\n"},
    {"trait T { #[vox(often)] async fn f(&self); }", "test.rs:1:17: error: \"often\" is not expected here\n"},
    {"const N: usize = 4;", "test.rs:1:1: error: \"const\" is not expected here\n"},
    {"impl A { }", "test.rs:1:1: error: \"impl\" is not expected here\n"},
    {"fn main() {}", "test.rs:1:1: error: \"fn\" is not expected here\n"},
    {"mod m;", "test.rs:1:6: error: \";\" is not expected here\n"},
    {"struct A { /// nothing\n}", "test.rs:1:12: error: this doc comment documents nothing\n"},
    {"struct A { x: u8 } /// nothing", "test.rs:1:20: error: this doc comment documents nothing\n"},
    {"/* /* */", "test.rs:1:1: error: this comment does not end\n"},
    {"#[doc = \"abc] struct A;", "test.rs:1:9: error: this string does not end\n"},
    {"#[doc = r##\"abc\"# ] struct A;", "test.rs:1:9: error: this string does not end\n"},
    {"#[derive(A struct A;", "test.rs:1:3: error: this bracket is not closed\n"},
    {"#[derive(A]) struct A;", "test.rs:1:11: error: \"]\" is not expected here\n"},
    {"struct A {", "test.rs:1:11: error: the file ends here\n"},
    {"struct A { x: Vec<", "test.rs:1:19: error: the file ends here\n"},
    {"enum A { B = 'x", "test.rs:1:14: error: \"'x\" is not expected here\n"},
    {"enum A { B = '", "test.rs:1:14: error: a stray apostrophe\n"},
    {"use a::b", "test.rs:1:5: error: this use line does not end\n"},
    {"struct \x01;", "test.rs:1:8: error: the character with code 0x01 has no meaning here\n"},
    {"struct A { x: u8 } \xc3", "test.rs: error: the file is not UTF-8 text"},
    {"trait A\xcc\x81 { async fn f(&self); }",
     "test.rs:1:7: error: names of traits and methods are hashed in lower case"},
};

Test(idl_parse, refused) {
    for (size_t i = 0; i < COUNT(bad); i++) {
        idl *file = NULL;
        idl_error error;
        if (idl_parse(bad[i].text, strlen(bad[i].text), "test.rs", &file, &error)) {
            cr_expect(false, "%s was read", bad[i].text);
            idl_free(file);
            continue;
        }
        cr_expect(strncmp(error.text, bad[i].message, strlen(bad[i].message)) == 0,
                  "%s\nis refused with\n%s\nnot\n%s", bad[i].text, error.text, bad[i].message);
    }
}

/* ---- bounds ---- */

/* `head`, `count` times `open`, `middle`, `count` times `close`, `tail`. */
static char *nested(const char *head, const char *open, const char *middle, const char *close,
                    const char *tail, size_t count) {
    size_t size = strlen(head) + strlen(middle) + strlen(tail) + count * (strlen(open) + strlen(close)) + 1;
    char *text = malloc(size), *at = text;
    cr_assert(text);
    at += sprintf(at, "%s", head);
    for (size_t i = 0; i < count; i++) at += sprintf(at, "%s", open);
    at += sprintf(at, "%s", middle);
    for (size_t i = 0; i < count; i++) at += sprintf(at, "%s", close);
    sprintf(at, "%s", tail);
    return text;
}

static const char *const nests[][6] = {
    {"struct A { x: ", "Vec<", "u8", ">", "}", "types are nested too deep here"},
    {"struct A { x: ", "(", "u8", ",)", "}", "types are nested too deep here"},
    {"struct A { x: ", "[", "u8", "; 1]", "}", "types are nested too deep here"},
    {"struct A { x: ", "&", "u8", "", "}", "types are nested too deep here"},
    {"", "mod m {", "", "}", "", "modules are nested too deep here"},
    {"#[derive", "(", "", ")", "] struct A;", "brackets are nested too deep here"},
};

Test(idl_parse, nesting) {
    for (size_t i = 0; i < COUNT(nests); i++) {
        const char *const *n = nests[i];
        /* A level is also the innermost type, and in values the struct around it. */
        size_t most = i == 1 || i == 2 ? 62 : i < 4 ? 63 : 64;
        for (size_t count = 62; count <= 10000; count = count < 66 ? count + 1 : 10000 + (count == 10000)) {
            char *text = nested(n[0], n[1], n[2], n[3], n[4], count);
            idl *file = NULL;
            idl_error error;
            bool good = idl_parse(text, strlen(text), "test.rs", &file, &error);
            cr_expect_eq(good, count <= most, "%zu of %s", count, n[1]);
            cr_expect(good || strstr(error.text, n[5]) ||
                          strstr(error.text, "values of this type are nested"),
                      "%s", error.text);
            if (good) idl_free(file);
            free(text);
        }
    }
}

/* Values of types that hold each other. */
Test(idl_parse, depth_of_values) {
    for (int count = 62; count <= 66; count++) {
        char text[8192], *at = text;
        for (int i = 0; i < count; i++) at += sprintf(at, "struct A%d { x: A%d }\n", i, i + 1);
        sprintf(at, "struct A%d { x: u8 }", count);
        idl *file = NULL;
        idl_error error;
        bool good = idl_parse(text, strlen(text), "test.rs", &file, &error);
        cr_expect(good || strstr(error.text, "values of this type are nested too deep"), "%s", error.text);
        cr_expect_eq(good, count <= 62);
        if (good) idl_free(file);
    }
}

Test(idl_parse, size) {
    size_t len = IDL_FILE_MAX + 1;
    char *text = malloc(len);
    cr_assert(text);
    memset(text, ' ', len);
    idl *file;
    idl_error error;
    cr_expect_not(idl_parse(text, len, "test.rs", &file, &error));
    cr_expect_str_eq(error.text,
                     "test.rs: error: the file is too large; an interface file has at most 8388608 bytes");
    cr_assert(idl_parse(text, len - 1, "test.rs", &file, &error));
    idl_free(file);
    free(text);
}

/* ---- damaged text ---- */

static const char sample[] =
    "//! Inner.\nuse a::{b, c};\n/// Doc.\n#[derive(Facet, Clone)] #[repr(u8)]\npub enum E<'a, T: Bound + 'a, const N: "
    "usize> where T: X { A = -1, B(T), C { x: [u8; N], r#type: Option<Box<E<'a, T, N>>> } /* c */ }\n"
    "pub(crate) struct S(pub u8, #[facet(default = 0, rename = \"x\")] pub Vec<String>);\n"
    "mod m { pub type P = super::S; #[facet(transparent)] pub struct Q(f64); }\n#[vox::service]\npub trait T: Send {\n"
    "    /** Block. */\n    #[vox(idem)] async fn f(&self, a: E<'static, &'static str, 3>, b: Tx<m::P>) -> "
    "Result<std::collections::HashMap<String, (u8, char)>, m::Q>;\n    async fn g(&self);\n}\n";

static void try_text(const char *text, size_t len) {
    char *copy = malloc(len + 1); /* of exactly this size, so that reading behind it is found */
    cr_assert(copy);
    memcpy(copy, text, len);
    idl *file;
    idl_error error;
    if (idl_parse(copy, len, "test.rs", &file, &error))
        idl_free(file);
    else
        cr_assert(strlen(error.text) > 0 && strstr(error.text, "error: "));
    free(copy);
}

Test(idl_parse, every_truncation) {
    for (size_t len = 0; len <= strlen(sample); len++) try_text(sample, len);
    idl *file = parse(sample);
    cr_expect_eq(idl_services_len(file), 1);
    idl_free(file);
}

/* A whole interface, cut at every byte. */
Test(idl_parse, every_truncation_of_testbed) {
    static char text[65536];
    FILE *file = fopen(getenv("TESTBED_RS"), "rb");
    cr_assert(file);
    size_t len = fread(text, 1, sizeof text, file);
    fclose(file);
    cr_assert(len > 1000 && len < sizeof text);
    for (size_t cut = 0; cut <= len; cut++) try_text(text, cut);
}

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

Test(idl_parse, mutations) {
    static const char pieces[] = "<>(){}[];:,#!'\"/*&= \n\\\x80"
                                 "abT0r";
    uint64_t state = 20260801;
    char text[2 * sizeof sample];
    for (int round = 0; round < 20000; round++) {
        size_t len = strlen(sample);
        memcpy(text, sample, len);
        for (uint64_t edits = 1 + next(&state) % 4; edits > 0; edits--) {
            size_t at = (size_t)(next(&state) % len), span = (size_t)(next(&state) % 20);
            if (at + span > len) span = len - at;
            switch (next(&state) % 3) {
            case 0: text[at] = pieces[next(&state) % (sizeof pieces - 1)]; break;
            case 1: /* leave out */
                memmove(text + at, text + at + span, len - at - span);
                len -= span;
                break;
            default: /* twice */
                if (len + span > sizeof text) break;
                memmove(text + at + span, text + at, len - at);
                len += span;
            }
            if (len == 0) break;
        }
        try_text(text, len);
    }
}

/* ---- what is read ---- */

Test(idl_parse, layout_is_that_of_c) {
    struct inner {
        uint8_t a;
        double b;
    };
    struct option {
        bool some;
        struct inner value;
    };
    struct shape {
        uint32_t tag;
        union {
            struct inner one;
            choir_u128 two;
            struct {
                uint8_t x;
                choir_str y;
            } three;
        };
    };
    idl *file = parse(
        "struct Inner { a: u8, nothing: (), b: f64 } struct Outer { o: Option<Inner>, s: Shape, t: [u16; 3] }"
        "enum Shape { Zero, One(Inner), Two(i128), Three { x: u8, y: String } }");
    const choir_unit *u = idl_unit(file);
    size_t found = 0;
    for (uint32_t i = 0; i < u->types_len; i++) {
        const choir_type *t = &u->types[i];
        if (t->kind == CHOIR_KIND_OPTION) {
            cr_expect(t->size == sizeof(struct option) && t->offset == offsetof(struct option, value));
            found++;
        } else if (t->kind == CHOIR_KIND_ENUM) {
            const choir_field *y = &u->fields[u->variants[t->first + 3].first + 1];
            cr_expect(t->size == sizeof(struct shape) && t->align == _Alignof(struct shape));
            cr_expect_eq(y->offset, offsetof(struct shape, three.y));
            found++;
        }
    }
    cr_expect_eq(found, 2);
    idl_free(file);
}

Test(idl_parse, services) {
    idl *file =
        parse("trait A { async fn f(&self); } trait B { async fn g(&self, x: u8) -> Result<u8, String>; }");
    cr_assert_eq(idl_services_len(file), 2);
    const choir_service *b = idl_find(file, CHOIR_STR("B"));
    cr_assert_eq(b, idl_service(file, 1));
    cr_assert_null(idl_find(file, CHOIR_STR("C")));
    const choir_unit *u = idl_unit(file);
    cr_expect_eq(u->types[b->methods[0].args].kind, CHOIR_KIND_TUPLE);
    cr_expect_eq(u->types[b->methods[0].ok].kind, CHOIR_KIND_U8);
    cr_expect_eq(u->types[b->methods[0].err].kind, CHOIR_KIND_STRING);
    idl_free(file);
}

/* Aliases of results end a method in two ways too; names of the file go before those of the library. */
Test(idl_parse, names) {
    idl *file = parse(
        "type Answer<T> = Result<T, String>; struct Duration { x: u8 } mod m { pub struct D(super::Duration); }"
        "trait A { async fn f(&self, d: Duration, e: std::time::Duration, g: m::D) -> Answer<u8>; }");
    const choir_unit *u = idl_unit(file);
    const choir_method *m = idl_service(file, 0)->methods;
    uint32_t first = u->types[m->args].first;
    cr_expect_eq(u->types[m->err].kind, CHOIR_KIND_STRING);
    cr_expect_eq(u->types[u->fields[first].type].kind, CHOIR_KIND_STRUCT);
    cr_expect_eq(u->types[u->fields[first + 1].type].kind, CHOIR_KIND_DURATION);
    cr_expect_eq(u->types[u->fields[first + 2].type].kind, CHOIR_KIND_TUPLE);
    idl_free(file);
}
