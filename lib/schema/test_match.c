/* SPDX-License-Identifier: MIT */
/* Matching: the rules of protocol page 05 one by one, recorded announcements, and peers that mean harm. */
#include "schema/schema_vectors.h"
#include "schema/test_schema.h"
#include "schema/test_types.h"

#include <time.h>

/* One side's types: declarations separated by ';', and a root; or the answer of a method that returns
 * Result<root, err>. */
typedef struct side {
    const char *declarations, *root, *err;
} side;

typedef struct match {
    schema_env s;
    choiri_recv_tracker t;
    choiri_text text;
} match;

static void match_open(match *m) {
    schema_env_open(&m->s);
    choiri_recv_tracker_init(&m->t, m->s.env, test_seed);
}

static void match_close(match *m) {
    choiri_recv_tracker_deinit(&m->t);
    schema_env_close(&m->s);
}

/* Matches, twice: as it is, where announcements that are equal to the byte need no comparing, and with one more part
 * on our side, which keeps the shortcut out. Both must say the same. */
static int match_both(const choiri_recv_tracker *t, choir_bytes root, const choiri_announcement *ours,
                      bool lenient, choiri_text *text) {
    choiri_schema_part parts[256];
    choiri_announcement more = {parts, ours->parts_len + 1, ours->root};
    choiri_text other;
    cr_assert_lt(ours->parts_len, 256);
    memcpy(parts, ours->parts, ours->parts_len * sizeof parts[0]);
    parts[ours->parts_len] = (choiri_schema_part){UINT64_C(0xdead), {(const uint8_t *)"", 0}};
    int status = choiri_schema_match(t, root, ours, lenient, text);
    cr_assert_eq(choiri_schema_match(t, root, &more, lenient, &other), status, "%s / %s", text->data,
                 other.data);
    cr_assert_str_eq(text->data, other.data);
    return status;
}

static void make(choiri_arena *arena, const side *d, choiri_announcement *ret) {
    choiri_text text;
    test_types *ts = test_types_new();
    char one[256];
    for (const char *p = d->declarations; p && *p;) {
        size_t len = strcspn(p, ";");
        cr_assert_lt(len, sizeof one);
        memcpy(one, p, len);
        one[len] = '\0';
        test_types_declare(ts, one);
        p += len + (p[len] == ';');
        while (*p == ' ') p++;
    }
    choiri_root root = {.unit = &ts->unit, .is_response = d->err != NULL};
    root.type = root.ok = test_types_find(ts, d->root);
    if (d->err) root.err = test_types_find(ts, d->err);
    int status = choiri_extract(arena, NULL, &root, ret, &text);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", d->root, text.data);
    free(ts);
}

/* Announces `remote` to a fresh tracker and matches it with `local`. */
static int match_sides(match *m, const side *remote, const side *local, bool lenient) {
    choiri_arena arena;
    choiri_announcement theirs, ours;
    choir_bytes root;
    match_open(m);
    choiri_arena_init(&arena, m->s.env, NULL, 0, (size_t)1 << 20);
    make(&arena, remote, &theirs);
    make(&arena, local, &ours);
    test_bytes payload = test_first_payload(m->s.env, &theirs);
    int status = choiri_recv_tracker_add(&m->t, test_span(payload), &root, &m->text);
    cr_assert_eq(status, CHOIR_OK, "%s", m->text.data);
    uint64_t calls = m->s.alloc.calls;
    status = match_both(&m->t, root, &ours, lenient, &m->text);
    cr_assert_eq(m->s.alloc.calls, calls, "matching must not allocate");
    cr_assert_eq(status == CHOIR_OK, m->text.len == 0, "%d: %s", status, m->text.data);
    free(payload.data);
    choiri_arena_reset(&arena);
    match_close(m);
    return status;
}

static void matches(const char *declarations, const char *remote, const char *local) {
    match m;
    int status =
        match_sides(&m, &(side){declarations, remote, NULL}, &(side){declarations, local, NULL}, false);
    cr_assert_eq(status, CHOIR_OK, "%s for %s: %s", remote, local, m.text.data);
}

static void differs(side remote, side local, const char *text) {
    match m;
    int status = match_sides(&m, &remote, &local, false);
    cr_assert_eq(status, CHOIR_ERR_LAYOUT, "%s for %s: %d %s", remote.root, local.root, status, m.text.data);
    cr_assert_str_eq(m.text.data, text);
}

/* The same in both directions is not always the same text; this checks one. */
static void differs_in(const char *remote_declarations, const char *local_declarations, const char *root,
                       const char *text) {
    differs((side){remote_declarations, root, NULL}, (side){local_declarations, root, NULL}, text);
}

/* --- rules --- */

Test(match, equal_types) {
    matches("", "u32", "u32");
    matches("", "()", "()");
    matches("", "(u8, String, Vec<Option<f64>>)", "(u8, String, Vec<Option<f64>>)");
    matches("", "(HashMap<String, Vec<u32>>, [u8; 4], char, (u8,))",
            "(HashMap<String, Vec<u32>>, [u8; 4], char, (u8,))");
    matches("struct P { x: i32, y: i32 }; enum S { A, B(P), C(u8, P), D { p: P } }", "(P, Vec<S>)",
            "(P, Vec<S>)");
    matches("", "Result<Result<u8, u8>, Option<Option<u8>>>", "Result<Result<u8, u8>, Option<Option<u8>>>");
}

Test(match, names) {
    differs((side){"struct A { x: u8 }", "(A,)", NULL}, (side){"struct B { x: u8 }", "(B,)", NULL},
            "args.0: ours is struct B, the peer's is struct \"A\"");
    differs((side){"enum A { X }", "Option<A>", NULL}, (side){"enum B { X }", "Option<B>", NULL},
            "ours is enum B, the peer's is enum \"A\"");
    /* At every level. */
    differs_in("struct In { x: u8 }; struct Out { v: Vec<In> }",
               "struct Inn { x: u8 }; struct Out { v: Vec<Inn> }", "(u8, Out)",
               "args.1.v[]: ours is struct Inn, the peer's is struct \"In\"");
}

Test(match, primitives) {
    differs((side){"", "u32", NULL}, (side){"", "u64", NULL}, "ours is u64, the peer's is u32");
    differs((side){"", "(u8, String)", NULL}, (side){"", "(u8, i64)", NULL},
            "args.1: ours is i64, the peer's is string");
    differs((side){"", "()", NULL}, (side){"", "(u8,)", NULL}, "ours is tuple of 1, the peer's is unit");
    differs((side){"", "(!,)", NULL}, (side){"", "(u8,)", NULL}, "args.0: ours is u8, the peer's is never");
    differs((side){"", "(u8,)", NULL}, (side){"", "(!,)", NULL}, "args.0: ours is never, the peer's is u8");
    differs((side){"", "String", NULL}, (side){"", "Vec<u8>", NULL}, "ours is bytes, the peer's is string");
}

Test(match, kinds) {
    static const char *const roots[] = {
        "u8", "S", "E", "(u8, u8)", "Vec<u32>", "Option<u8>", "[u8; 3]", "HashMap<u8, u8>", "Result<u8, u8>",
        "()", "!"};
    static const char declarations[] = "struct S { a: u8 }; enum E { A }";
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        for (size_t k = 0; k < sizeof roots / sizeof roots[0]; k++) {
            match m;
            int status = match_sides(&m, &(side){declarations, roots[i], NULL},
                                     &(side){declarations, roots[k], NULL}, false);
            cr_assert_eq(status, i == k ? CHOIR_OK : CHOIR_ERR_LAYOUT, "%s for %s", roots[i], roots[k]);
        }
    }
}

/* Every type of the table against every other: equal only to itself, as far as Rust's own defects allow. */
Test(match, containers) {
    matches("", "HashSet<u32>", "Vec<u32>"); /* the same on the wire */
    matches("", "[u32; 3]", "[u32; 4]");     /* lengths are not compared */
    differs((side){"", "[u32; 3]", NULL}, (side){"", "[u64; 3]", NULL}, "[]: ours is u64, the peer's is u32");
    differs((side){"", "Vec<u32>", NULL}, (side){"", "[u32; 3]", NULL}, "ours is array, the peer's is list");
    differs((side){"", "HashMap<u8, String>", NULL}, (side){"", "HashMap<u16, String>", NULL},
            "[key]: ours is u16, the peer's is u8");
    differs((side){"", "HashMap<u8, Vec<bool>>", NULL}, (side){"", "HashMap<u8, Vec<char>>", NULL},
            "[value][]: ours is char, the peer's is bool");
    differs((side){"", "Option<Option<u8>>", NULL}, (side){"", "Option<u8>", NULL},
            "ours is u8, the peer's is option");
}

Test(match, tuples) {
    differs((side){"", "(u8, u8)", NULL}, (side){"", "(u8, u8, u8)", NULL},
            "ours is tuple of 3, the peer's is tuple of 2");
    differs((side){"", "(u8, u8, u8)", NULL}, (side){"", "(u8, u8)", NULL},
            "ours is tuple of 2, the peer's is tuple of 3");
    differs((side){"", "(u8, (u8, u16))", NULL}, (side){"", "(u8, (u8, u32))", NULL},
            "args.1.1: ours is u32, the peer's is u16");
}

Test(match, fields) {
    differs_in(
        "struct Profile { name: String, bio: String }",
        "struct Profile { name: String, bio: String, avatar: Option<String> }", "(Profile,)",
        "args.0.avatar: missing in the peer's type; ours is struct Profile, the peer's is struct \"Profile\"");
    differs_in(
        "struct Profile { name: String, bio: String, avatar: Option<String> }",
        "struct Profile { name: String, bio: String }", "(Profile,)",
        "args.0.\"avatar\": missing in our type; ours is struct Profile, the peer's is struct \"Profile\"");
    differs_in(
        "struct Record { gamma: f64, alpha: i32, beta: String }",
        "struct Record { alpha: i32, beta: String, gamma: f64 }", "(Record,)",
        "args.0.alpha: at another place in the peer's type; ours is struct Record, the peer's is struct \"Record\"");
    differs_in("struct M { unit: String, value: String }", "struct M { unit: String, value: f64 }",
               "(Vec<M>,)", "args.0[].value: ours is f64, the peer's is string");
    differs_in("struct M { a: u8 }", "struct M { }", "M",
               "\"a\": missing in our type; ours is struct M, the peer's is struct \"M\"");
    /* A default changes neither the layout nor the verdict. */
    match m;
    cr_assert_eq(match_sides(&m, &(side){"struct M { a: u8 }", "M", NULL},
                             &(side){"struct M { a: u8 = default }", "M", NULL}, false),
                 CHOIR_OK);
}

Test(match, variants) {
    match m;
    static const char two[] = "enum E { A, B(u8) }", three[] = "enum E { A, B(u8), C }";
    cr_assert_eq(match_sides(&m, &(side){two, "E", NULL}, &(side){three, "E", NULL}, false), CHOIR_OK,
                 "more at ours");
    cr_assert_eq(match_sides(&m, &(side){three, "E", NULL}, &(side){two, "E", NULL}, false), CHOIR_OK,
                 "more at theirs");
    differs_in(
        "enum E { B(u8), A }", two, "(E,)",
        "args.0.A: another variant has its number in the peer's type; ours is enum E, the peer's is enum \"E\"");
    differs_in("enum E { A, B }", two, "E",
               "B: of another shape in the peer's type; ours is enum E, the peer's is enum \"E\"");
    differs_in("enum E { A, B(u16) }", two, "E", "B: ours is u8, the peer's is u16");
    differs_in("enum E { A(u8, u8) }", "enum E { A(u8, u16) }", "(E,)",
               "args.0.A.1: ours is u16, the peer's is u8");
    differs_in("enum E { A(u8, u8) }", "enum E { A(u8, u8, u8) }", "E",
               "A: another number of values in the peer's type; ours is enum E, the peer's is enum \"E\"");
    differs_in("enum E { A { x: u8 } }", "enum E { A { x: u16 } }", "Vec<E>",
               "[].A.x: ours is u16, the peer's is u8");
    differs_in("enum E { A { x: u8 } }", "enum E { A { x: u8, y: u8 } }", "E",
               "y: missing in the peer's type; ours is enum E, the peer's is enum \"E\"");
}

/* Vec<u8> is announced as bytes, bytes<u8> or list<u8>, and a list behind it as bytes<T>: what counts is the element. */
Test(match, bytes) {
    matches("", "(Vec<u8>,)", "(Vec<u8>,)");
    matches("", "(Vec<u8>, Vec<u32>)", "(Vec<u8>, Vec<u32>)");
    matches("", "(Vec<u32>, Vec<u8>)", "(Vec<u32>, Vec<u8>)");
    matches("", "Vec<Vec<u8>>", "Vec<Vec<u8>>");
    matches("", "Option<Vec<u8>>", "Option<Vec<u8>>");
    differs((side){"", "(Vec<u8>, Vec<u32>)", NULL}, (side){"", "(Vec<u8>, Vec<u16>)", NULL},
            "args.1[]: ours is u16, the peer's is u32");
    differs((side){"", "(Vec<u8>, Vec<u32>)", NULL}, (side){"", "(Vec<u8>, Vec<u8>)", NULL},
            "args.1[]: ours is u8, the peer's is u32");
    differs((side){"", "Vec<Vec<u8>>", NULL}, (side){"", "Vec<u8>", NULL},
            "[]: ours is u8, the peer's is bytes");
    differs((side){"", "Vec<i8>", NULL}, (side){"", "Vec<u8>", NULL}, "[]: ours is u8, the peer's is i8");
}

Test(match, recursive) {
    static const char types[] =
        "struct Tree { v: u32, kids: Vec<Tree> }; enum Chain { End, Link(Box<Chain>) };"
        "struct Aa { n: u8, b: Vec<Bb> }; struct Bb { s: String, a: Vec<Aa> }";
    matches(types, "(Tree, Chain)", "(Tree, Chain)");
    matches(types, "Vec<Aa>", "Vec<Aa>");
    /* A peer whose type is the same, but cut up in another way. */
    differs_in("struct Tree { v: u32, kids: Vec<Tree> }", "struct Tree { v: u64, kids: Vec<Tree> }", "Tree",
               "v: ours is u64, the peer's is u32");
    differs_in("struct Node { v: u32 }; struct Tree { kids: Vec<Node> }", "struct Tree { kids: Vec<Tree> }",
               "Tree", "kids[]: ours is struct Tree, the peer's is struct \"Node\"");
    differs_in("struct Aa { n: u8, b: Vec<Bb> }; struct Bb { s: String, a: Vec<Aa>, x: u8 }",
               "struct Aa { n: u8, b: Vec<Bb> }; struct Bb { s: String, a: Vec<Aa> }", "Aa",
               "b[].\"x\": missing in our type; ours is struct Bb, the peer's is struct \"Bb\"");
}

/* --- answers --- */

Test(match, wrong_bindings) {
    static const char types[] = "enum MathError { Zero, Overflow }; struct Person { name: String }";
    static const side good = {types, "Person", "MathError"}, unit_never = {types, "()", "!"},
                      person_never = {types, "Person", "!"}, never = {types, "!", "!"},
                      other = {types, "u8", "MathError"};
    match m;
    /* never as error type: the binding of a first answer that was InvalidPayload. */
    cr_assert_eq(match_sides(&m, &person_never, &good, false), CHOIR_OK);
    cr_assert_eq(match_sides(&m, &person_never, &good, true), CHOIR_OK);
    /* unit for everything: unknown method, cancelled, ... */
    cr_assert_eq(match_sides(&m, &unit_never, &good, true), CHOIR_OK);
    cr_assert_eq(match_sides(&m, &unit_never, &good, false), CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(m.text.data, "Ok: ours is struct Person, the peer's is unit");
    cr_assert_eq(match_sides(&m, &never, &good, true), CHOIR_OK);
    cr_assert_eq(match_sides(&m, &never, &good, false), CHOIR_ERR_LAYOUT);
    /* Only that much: another type is another type, and so is a unit further in. */
    cr_assert_eq(match_sides(&m, &other, &good, true), CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(m.text.data, "Ok: ours is struct Person, the peer's is u8");
    cr_assert_eq(match_sides(&m, &good, &person_never, true), CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(m.text.data, "Err.User: ours is never, the peer's is enum \"MathError\"");
    cr_assert_eq(match_sides(&m, &(side){types, "Vec<()>", "!"}, &(side){types, "Vec<u8>", "!"}, true),
                 CHOIR_ERR_LAYOUT);
    cr_assert_eq(
        match_sides(&m, &(side){types, "Result<(), u8>", "!"}, &(side){types, "Result<u8, u8>", "!"}, true),
        CHOIR_ERR_LAYOUT);
    cr_assert_eq(match_sides(&m, &(side){types, "String", "()"}, &(side){types, "String", "u8"}, true),
                 CHOIR_ERR_LAYOUT);
    cr_assert_eq(match_sides(&m, &(side){types, "()", "MathError"}, &(side){types, "()", "MathError"}, true),
                 CHOIR_OK);
}

static int match_root(match *m, const char *payload, const char *root, const side *local, bool lenient) {
    choiri_arena arena;
    choiri_announcement ours;
    choir_bytes announced;
    match_open(m);
    choiri_arena_init(&arena, m->s.env, NULL, 0, (size_t)1 << 20);
    make(&arena, local, &ours);
    test_bytes c = test_cbor(payload), r = test_cbor(root);
    int status = choiri_recv_tracker_add(&m->t, test_span(c), &announced, &m->text);
    cr_assert_eq(status, CHOIR_OK, "%s", m->text.data);
    status = match_both(&m->t, test_span(r), &ours, lenient, &m->text);
    cr_assert_eq(status == CHOIR_OK, m->text.len == 0, "%d: %s", status, m->text.data);
    free(c.data);
    free(r.data);
    choiri_arena_reset(&arena);
    match_close(m);
    return status;
}

#define REF1 "{tag: concrete, type_id: 1, args: []}"

Test(match, roots_that_were_never_received) {
    static const side local = {"", "String", "!"}, args = {"", "(u8,)", NULL};
    static const char empty[] = "{schemas: [], root: " REF1 "}";
    match m;
    /* A replayed answer has the type id 0. */
    cr_assert_eq(match_root(&m, empty, "{tag: concrete, type_id: 0, args: []}", &local, true), CHOIR_OK);
    cr_assert_eq(match_root(&m, empty, REF1, &local, true), CHOIR_OK);
    cr_assert_eq(match_root(&m, empty, REF1, &args, false), CHOIR_ERR_MALFORMED);
    cr_assert_str_eq(m.text.data, "the peer never announced type 0x0000000000000001");
    cr_assert_eq(match_root(&m, empty, "{tag: var, name: T}", &local, true), CHOIR_ERR_MALFORMED);
    cr_assert_str_eq(m.text.data, "the peer's types use a type parameter that is not bound: \"T\"");
    cr_assert_eq(match_root(&m, empty, "[]", &local, true), CHOIR_ERR_MALFORMED);
    cr_assert_eq(match_root(&m, empty, "{tag: concrete}", &local, false), CHOIR_ERR_MALFORMED);
    /* Further in, an unknown type is not tolerated. */
    cr_assert_eq(
        match_root(
            &m,
            "{schemas: [{id: 1, kind: {tag: tuple, elements: [{tag: concrete, type_id: 9}]}}], root: " REF1
            "}",
            REF1, &args, false),
        CHOIR_ERR_MALFORMED);
    cr_assert_str_eq(m.text.data, "args.0: the peer never announced type 0x0000000000000009");
}

/* --- other spellings --- */

#define U8(id)       "{id: " id ", kind: {tag: primitive, primitive_type: u8}}"
#define U32(id)      "{id: " id ", type_params: [], kind: {tag: primitive, primitive_type: u32}}"
#define LIST(id)     "{id: " id ", type_params: [T], kind: {tag: list, element: {tag: var, name: T}}}"
#define BYTES(id)    "{id: " id ", kind: {tag: primitive, primitive_type: bytes}}"
#define TO(id, args) "{tag: concrete, type_id: " id ", args: [" args "]}"

Test(match, spellings) {
    static const side bytes = {"", "Vec<u8>", NULL}, list = {"", "Vec<u32>", NULL}, one = {"", "u32", NULL},
                      lists = {"", "Vec<Vec<u32>>", NULL}, nested = {"", "(Vec<u8>, Vec<Vec<u8>>)", NULL};
    static const char all[] = "{schemas: [" U8("1") ", " U32("2") ", " LIST("3") ", " BYTES(
        "4") ", "
             "{id: 5, kind: {tag: list, element: " TO(
                 "2",
                 "") "}},"
                     "{id: 6, type_params: [A, B], kind: {tag: tuple, elements: [{tag: var, name: A}, {tag: var, name: B}]}},"
                     "{id: 7, type_params: [T, S], kind: {tag: list, element: {tag: var, name: T}}}"
                     "], root: " REF1 "}";
    match m;
    /* list<u8>, bytes, bytes<u8>, and with arguments left out */
    cr_assert_eq(match_root(&m, all, TO("3", TO("1", "")), &bytes, false), CHOIR_OK);
    cr_assert_eq(match_root(&m, all, TO("4", ""), &bytes, false), CHOIR_OK);
    cr_assert_eq(match_root(&m, all, TO("4", TO("1", "")), &bytes, false), CHOIR_OK);
    cr_assert_eq(match_root(&m, all, "{tag: concrete, type_id: 4}", &bytes, false), CHOIR_OK);
    /* list<u32> honestly, without a parameter, and as bytes<u32> */
    cr_assert_eq(match_root(&m, all, TO("3", TO("2", "")), &list, false), CHOIR_OK);
    cr_assert_eq(match_root(&m, all, TO("5", ""), &list, false), CHOIR_OK);
    cr_assert_eq(match_root(&m, all, TO("4", TO("2", "")), &list, false), CHOIR_OK);
    cr_assert_eq(match_root(&m, all, TO("4", ""), &list, false), CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(m.text.data, "[]: ours is u32, the peer's is u8");
    cr_assert_eq(match_root(&m, all, TO("4", TO("4", TO("2", ""))), &lists, false), CHOIR_OK);
    /* A set announces its hasher as well. */
    cr_assert_eq(match_root(&m, all, TO("7", TO("2", "") ", " TO("1", "")), &list, false), CHOIR_OK);
    /* Ours is (bytes, bytes<bytes<u8>>) with Rust's defects; the honest announcement fits. */
    cr_assert_eq(match_root(&m, all, TO("6", TO("4", "") ", " TO("3", TO("4", ""))), &nested, false),
                 CHOIR_OK);
    cr_assert_eq(
        match_root(&m, all, TO("6", TO("3", TO("1", "")) ", " TO("3", TO("3", TO("1", "")))), &nested, false),
        CHOIR_OK);
    /* Type arguments on a primitive mean nothing. */
    cr_assert_eq(match_root(&m, all, TO("2", TO("1", "") ", " TO("99", "")), &one, false), CHOIR_OK);
    /* A schema that needs arguments and gets none. */
    cr_assert_eq(match_root(&m, all, TO("3", ""), &list, false), CHOIR_ERR_MALFORMED);
    cr_assert_eq(match_root(&m, all, TO("6", TO("4", "")), &nested, false), CHOIR_ERR_MALFORMED);
}

Test(match, variants_out_of_order) {
    static const side local = {"enum E { A, B }", "E", NULL};
#define ENUM(a, b)                                                                                           \
    "{schemas: [{id: 1, kind: {tag: enum, name: E, variants: [{name: A, index: " a ", payload: unit}, "      \
    "{name: B, index: " b ", payload: unit}]}}], root: " REF1 "}"
    match m;
    cr_assert_eq(match_root(&m, ENUM("0", "1"), REF1, &local, false), CHOIR_OK);
    cr_assert_eq(match_root(&m, ENUM("1", "0"), REF1, &local, false), CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(m.text.data,
                     "A: numbered out of order in the peer's type; ours is enum E, the peer's is enum \"E\"");
    cr_assert_eq(match_root(&m, ENUM("0", "5"), REF1, &local, false), CHOIR_ERR_LAYOUT);
}

Test(match, channels) {
    /* Descriptors have no channels yet: both sides are written by hand. */
    static const char pair[] = "{schemas: [{id: 1, kind: {tag: channel, direction: tx, element: " TO(
        "8", "") "}},"
                 "{id: 2, kind: {tag: channel, direction: rx, element: " TO("9", "") "}}], root: " REF1 "}";
    test_bytes c = test_cbor(pair), tx = test_cbor(TO("1", "")), rx = test_cbor(TO("2", ""));
    match m;
    choir_bytes root;
    match_open(&m);
    cr_assert_eq(choiri_recv_tracker_add(&m.t, test_span(c), &root, &m.text), CHOIR_OK);
    choiri_schema_part parts[] = {{1, choiri_recv_tracker_find(&m.t, 1)},
                                  {2, choiri_recv_tracker_find(&m.t, 2)}};
    const choiri_announcement ours = {parts, 2, test_span(tx)};
    cr_assert_eq(match_both(&m.t, test_span(tx), &ours, false, &m.text), CHOIR_OK);
    cr_assert_eq(match_both(&m.t, test_span(rx), &ours, false, &m.text), CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(m.text.data, "ours is channel tx, the peer's is channel rx");
    /* What goes through is not compared. */
    parts[1] = (choiri_schema_part){1, choiri_recv_tracker_find(&m.t, 1)};
    cr_assert_eq(match_both(&m.t, test_span(tx), &ours, false, &m.text), CHOIR_OK);
    free(c.data);
    free(tx.data);
    free(rx.data);
    match_close(&m);
}

/* Two unfoldings of one recursive type: a Tree whose children are another Tree, whose children are the first. */
Test(match, unfolded_recursion) {
    static const side tree = {"struct Tree { v: u32, kids: Vec<Tree> }", "Tree", NULL};
#define TREE(id, kids)                                                                                       \
    "{id: " id ", kind: {tag: struct, name: Tree, fields: ["                                                 \
    "{name: v, type_ref: " TO("2", "") ", required: true}, {name: kids, type_ref: " TO(                      \
        "3", kids) ", required: true}]}}"
    match m;
    cr_assert_eq(match_root(&m,
                            "{schemas: [" U32("2") ", " LIST("3") ", " TREE("10", TO("11", "")) ", " TREE(
                                "11", TO("12", "")) ", " TREE("12", TO("10", "")) "], root: " REF1 "}",
                            TO("10", ""), &tree, false),
                 CHOIR_OK);
    /* The third has another field. */
    cr_assert_eq(match_root(&m,
                            "{schemas: [" U32("2") ", " LIST("3") ", " TREE("10", TO("11", "")) ", " TREE(
                                "11", TO("2", "")) "], root: " REF1 "}",
                            TO("10", ""), &tree, false),
                 CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(m.text.data, "kids[].kids[]: ours is struct Tree, the peer's is u32");
}

/* --- recorded announcements --- */

static bool is_in(const char *name, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) return true;
    }
    return false;
}
#define IS_IN(name, ...)                                                                                     \
    is_in(name, (const char *const[]){__VA_ARGS__},                                                          \
          sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* What the verdict on an announcement must be. Between the plain and the evolved types only an added variant does
 * not matter, whoever announces which. */
static int expected(const schema_vector_announcement *v, const char *name, bool lenient) {
    if (IS_IN(v->session, "evolved", "evolved_client")) {
        return strcmp(name, "echo_status") == 0 ? CHOIR_OK : CHOIR_ERR_LAYOUT;
    }
    if (strcmp(v->session, "invalid_payload") == 0 && v->direction == 0 && IS_IN(name, "echo", "divide")) {
        return CHOIR_ERR_LAYOUT; /* echo(u64), divide(string, i64) */
    }
    bool is_unit = strncmp(name, "generate", 8) == 0; /* for these the wrong root is the right one */
    if (v->direction == 1 && !is_unit &&
        IS_IN(v->session, "default_acceptor", "operation_conflict_first", "cancel_raw")) {
        return lenient ? CHOIR_OK : CHOIR_ERR_LAYOUT;
    }
    return CHOIR_OK;
}

Test(match, recorded_announcements) {
    match m;
    choiri_recv_tracker sides[2];
    const choiri_service *plain, *evolved;
    const schema_vector_announcement *last = NULL;
    size_t verdicts[2][2] = {{0}}, wrong = 0;
    match_open(&m);
    cr_assert_eq(choiri_service_prepare(m.s.env, &testbed, &plain, &m.text), CHOIR_OK);
    cr_assert_eq(choiri_service_prepare(m.s.env, &testbed_evolved, &evolved, &m.text), CHOIR_OK);
    for (int k = 0; k < 2; k++) choiri_recv_tracker_init(&sides[k], m.s.env, test_seed);
    for (size_t i = 0; i < announcements_count; i++) {
        const schema_vector_announcement *v = &announcements[i];
        if (!last || last->connection != v->connection || strcmp(last->session, v->session) != 0 ||
            last->peer != v->peer) {
            for (int k = 0; k < 2; k++) {
                choiri_recv_tracker_deinit(&sides[k]);
                choiri_recv_tracker_init(&sides[k], m.s.env, test_seed);
            }
        }
        last = v;
        choir_bytes root;
        int status = choiri_recv_tracker_add(&sides[v->from_server], v->payload, &root, &m.text);
        cr_assert_eq(status, CHOIR_OK, "%s %zu: %s", v->session, i, m.text.data);
        /* The receiver has the evolved types exactly when the sender has the plain ones. */
        bool sender_evolved = (strcmp(v->session, "evolved") == 0 && v->from_server) ||
                              (strcmp(v->session, "evolved_client") == 0 && !v->from_server);
        bool any_evolved = IS_IN(v->session, "evolved", "evolved_client");
        const choiri_service *ours = any_evolved && !sender_evolved ? evolved : plain;
        uint32_t index = choiri_service_lookup(ours, v->method);
        if (index == UINT32_MAX) continue;
        const choiri_method *method = &ours->methods[index];
        choir_str name = choir_method_name(ours->desc, index);
        for (int lenient = 0; lenient <= v->direction; lenient++) {
            status = match_both(&sides[v->from_server], root,
                                v->direction == 0 ? &method->args : &method->response, lenient, &m.text);
            char text[32];
            snprintf(text, sizeof text, "%.*s", (int)name.len, name.data);
            int should = expected(v, text, lenient);
            if (status != should) {
                wrong++;
                cr_log_warn("%s %s %s %s lenient %d: %d instead of %d: %s", v->peer, v->session, text,
                            v->direction == 0 ? "args" : "response", lenient, status, should, m.text.data);
            }
            verdicts[lenient][status == CHOIR_OK]++;
        }
    }
    for (int k = 0; k < 2; k++) choiri_recv_tracker_deinit(&sides[k]);
    printf("recorded announcements: strict %zu match, %zu do not; lenient %zu match, %zu do not\n",
           verdicts[0][1], verdicts[0][0], verdicts[1][1], verdicts[1][0]);
    cr_assert_eq(wrong, 0);
    match_close(&m);
}

/* The complete table of the TypeScript peer: other order, type_params left out when empty. */
Test(match, typescript_table) {
    match m;
    const choiri_service *service;
    match_open(&m);
    cr_assert_eq(choiri_service_prepare(m.s.env, &testbed, &service, &m.text), CHOIR_OK);
    for (size_t i = 0; i < testbed_schemas_count; i++) {
        const schema_vector_method *v = &testbed_schemas[i];
        uint32_t index;
        choir_bytes root;
        cr_assert_eq(choir_service_find(&testbed, (choir_str){v->name, strlen(v->name)}, &index), CHOIR_OK);
        choiri_recv_tracker_deinit(&m.t);
        choiri_recv_tracker_init(&m.t, m.s.env, test_seed);
        cr_assert_eq(choiri_recv_tracker_add(&m.t, v->payload, &root, &m.text), CHOIR_OK, "%s", m.text.data);
        const choiri_method *method = &service->methods[index];
        int status =
            match_both(&m.t, root, v->direction == 0 ? &method->args : &method->response, false, &m.text);
        cr_assert_eq(status, CHOIR_OK, "%s: %s", v->name, m.text.data);
    }
    match_close(&m);
}

/* --- peers that mean harm --- */

static double hostile(const char *payload, const char *root, const side *local, int status) {
    match m;
    clock_t start = clock();
    cr_assert_eq(match_root(&m, payload, root, local, false), status, "%s", m.text.data);
    return (double)(clock() - start) / (double)CLOCKS_PER_SEC * 1e3;
}

#define FIELD(name, ref) "{name: " name ", type_ref: " ref ", required: true}"
#define VAR(name)        "{tag: var, name: " name "}"

/* A list of a list of ...: each Tree is another schema, with another id. */
Test(match, deep_chain) {
    static const side local = {"struct Tree { v: u32, kids: Vec<Tree> }", "Tree", NULL};
    for (int depth = 20; depth <= 40; depth += 20) {
        static char payload[16384];
        int len = snprintf(payload, sizeof payload, "{schemas: [" U32("2") ", " LIST("3"));
        for (int i = 0; i <= depth; i++) {
            len += snprintf(
                payload + len, sizeof payload - (size_t)len,
                ", {id: %d, kind: {tag: struct, name: Tree, fields: [{name: v, type_ref: " TO(
                    "2",
                    "") ", required: true}, {name: kids, type_ref: " TO("3",
                                                                        "{tag: concrete, type_id: %d, args: []}") ", required: true}]}}",
                10 + i, 10 + (i == depth ? i : i + 1));
        }
        snprintf(payload + len, sizeof payload - (size_t)len, "], root: " REF1 "}");
        match m;
        int status = match_root(&m, payload, TO("10", ""), &local, false);
        cr_assert_eq(status, depth == 20 ? CHOIR_OK : CHOIR_ERR_DEPTH, "%d: %s", status, m.text.data);
    }
}

Test(match, growing_recursion) {
    /* A<T> has an A<list<T>>: deeper and deeper, never the same again. */
    static const side local = {"struct A { x: Vec<A> }", "A", NULL};
    double ms = hostile(
        "{schemas: [" U8("2") ", " LIST("3") ", {id: 1, type_params: [T], kind: {tag: struct, name: A, fields: [" FIELD(
            "x", TO("3", TO("1", TO("3", VAR("T"))))) "]}}], root: " REF1 "}",
        TO("1", TO("2", "")), &local, CHOIR_ERR_TOO_LARGE);
    printf("growing recursion: %.1f ms\n", ms);
    cr_assert_lt(ms, 1000);
}

Test(match, doubling_recursion) {
    /* A<T> has an A<(T, T)>: what has to be compared to see that it is new doubles each time. */
    static const side local = {"struct A { x: Vec<A> }", "A", NULL};
    double ms = hostile(
        "{schemas: [" U8("2") ", " LIST(
            "3") ","
                 "{id: 4, type_params: [P, Q], kind: {tag: tuple, elements: [" VAR("P") ", " VAR(
                     "Q") "]}},"
                          "{id: 1, type_params: [T], kind: {tag: struct, name: A, fields: [" FIELD(
                              "x", TO("3", TO("1", TO("4", VAR("T") ", " VAR("T"))))) "]}}], root: " REF1 "}",
        TO("1", TO("2", "")), &local, CHOIR_ERR_TOO_LARGE);
    printf("doubling recursion: %.1f ms\n", ms);
    cr_assert_lt(ms, 1000);
}

/* Two types that refer to each other from each of eight fields, with new arguments every time: 8^64 pairs. */
Test(match, wide_mutual_recursion) {
    static const side local = {
        "struct A { a: Vec<B>, b: Vec<B>, c: Vec<B>, d: Vec<B>, e: Vec<B>, f: Vec<B>, g: Vec<B>, h: Vec<B> };"
        "struct B { a: Vec<A>, b: Vec<A>, c: Vec<A>, d: Vec<A>, e: Vec<A>, f: Vec<A>, g: Vec<A>, h: Vec<A> }",
        "A", NULL};
#define EACH(to, n) TO("3", TO(to, TO("4", VAR("T") ", " TO(n, ""))))
#define WIDE(id, name, to)                                                                                            \
    "{id: " id ", type_params: [T], kind: {tag: struct, name: " name                                                  \
    ", fields: [" FIELD("a", EACH(to, "20")) "," FIELD("b", EACH(to, "21")) "," FIELD("c", EACH(to, "22")) "," FIELD( \
        "d",                                                                                                          \
        EACH(                                                                                                         \
            to,                                                                                                       \
            "23")) "," FIELD("e",                                                                                     \
                             EACH(                                                                                    \
                                 to,                                                                                  \
                                 "24")) "," FIELD("f",                                                                \
                                                  EACH(                                                               \
                                                      to,                                                             \
                                                      "25")) "," FIELD("g",                                           \
                                                                       EACH(                                          \
                                                                           to,                                        \
                                                                           "26")) "," FIELD("h",                      \
                                                                                            EACH(                     \
                                                                                                to,                   \
                                                                                                "27")) "]}}"
    double ms = hostile(
        "{schemas: [" LIST("3") ", {id: 4, type_params: [P, Q], kind: {tag: tuple, elements: [" VAR(
            "P") ", " VAR("Q") "]}}, " WIDE("1", "A", "2") ", " WIDE("2", "B",
                                                                     "1") ", " U8("20") "], root: " REF1 "}",
        TO("1", TO("20", "")), &local, CHOIR_ERR_TOO_LARGE);
    printf("wide mutual recursion: %.1f ms\n", ms);
    cr_assert_lt(ms, 1000);
}

/* One schema of nearly a megabyte, looked at again and again. */
Test(match, huge_schema) {
    static const side local = {"struct A { x: u8 }", "(A, A, A, A, Vec<A>, Option<A>)", NULL};
    match m;
    choiri_arena arena;
    choiri_announcement ours;
    choir_bytes root;
    test_cbor_text c = {0};
    match_open(&m);
    choiri_arena_init(&arena, m.s.env, NULL, 0, (size_t)1 << 20);
    make(&arena, &local, &ours);
    test_put_head(&c, 5, 2);
    test_put_word(&c, "schemas");
    test_put_head(&c, 4, 3);
    test_put_item(&c, U8("2"));
    test_put_item(&c, "{id: 4, type_params: [P], kind: {tag: tuple, elements: [" VAR("P") "," VAR(
                          "P") "," VAR("P") "," VAR("P") "," TO("1", "") "," TO("1", "") "]}}");
    test_put_head(&c, 5, 3);
    test_put_word(&c, "padding"); /* skipped, but looked at */
    test_put_head(&c, 4, 900000);
    for (int i = 0; i < 900000; i++) test_put_head(&c, 0, 0);
    test_put_item(&c, "id");
    test_put_head(&c, 0, 1);
    test_put_item(&c, "kind");
    test_put_item(&c, "{tag: struct, name: A, fields: [" FIELD("x", TO("2", "")) "]}");
    test_put_word(&c, "root");
    test_put_item(&c, TO("4", TO("1", "")));
    cr_assert_eq(choiri_recv_tracker_add(&m.t, (choir_bytes){c.data, c.len}, &root, &m.text), CHOIR_OK, "%s",
                 m.text.data);
    clock_t start = clock();
    cr_assert_eq(match_both(&m.t, root, &ours, false, &m.text), CHOIR_ERR_TOO_LARGE, "%s", m.text.data);
    cr_assert_str_eq(m.text.data, "the peer's type is too large to be compared with ours");
    printf("huge schema: %.1f ms\n", (double)(clock() - start) / (double)CLOCKS_PER_SEC * 1e3);
    free(c.data);
    choiri_arena_reset(&arena);
    match_close(&m);
}

/* Schemas that mean themselves. */
Test(match, cyclic_references) {
    static const side list = {"", "Vec<Vec<u32>>", NULL}, tree = {"struct T { k: Vec<T> }", "T", NULL},
                      option = {"", "Option<u8>", NULL};
    match m;
    static const char endless[] =
        "{schemas: [{id: 1, kind: {tag: list, element: " REF1 "}}, {id: 2, kind: {tag: option, element: " TO(
            "2", "") "}}, {id: 3, kind: {tag: tuple, elements: [" TO("3", "") "]}}], root: " REF1 "}";
    cr_assert_eq(match_root(&m, endless, REF1, &list, false), CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(m.text.data, "[][]: ours is u32, the peer's is list");
    cr_assert_eq(match_root(&m, endless, REF1, &tree, false), CHOIR_ERR_LAYOUT);
    cr_assert_eq(match_root(&m, endless, TO("2", ""), &option, false), CHOIR_ERR_LAYOUT);
    cr_assert_eq(match_root(&m, endless, TO("3", ""), &list, false), CHOIR_ERR_LAYOUT);
    /* bytes of bytes of bytes ... in the arguments end with them */
    cr_assert_eq(match_root(&m, "{schemas: [" BYTES("1") "], root: " REF1 "}",
                            TO("1", TO("1", TO("1", TO("1", "")))), &list, false),
                 CHOIR_ERR_LAYOUT);
}

Test(match, names_of_peers_are_escaped) {
    match m;
    choiri_arena arena;
    choiri_announcement ours;
    choir_bytes root;
    test_cbor_text c = {0};
    match_open(&m);
    choiri_arena_init(&arena, m.s.env, NULL, 0, (size_t)1 << 20);
    make(&arena, &(side){"struct A { x: u8 }", "A", NULL}, &ours);
    test_put_head(&c, 5, 2);
    test_put_word(&c, "schemas");
    test_put_head(&c, 4, 1);
    test_put_head(&c, 5, 2);
    test_put_item(&c, "id");
    test_put_head(&c, 0, 1);
    test_put_word(&c, "kind");
    test_put_head(&c, 5, 3);
    test_put_word(&c, "tag");
    test_put_word(&c, "struct");
    test_put_word(&c, "name");
    test_put_word(&c, "\n\x1b[2J\"0123456789012345678901234567890123456789012345678901234567890123456789");
    test_put_word(&c, "fields");
    test_put_head(&c, 4, 0);
    test_put_word(&c, "root");
    test_put_item(&c, REF1);
    cr_assert_eq(choiri_recv_tracker_add(&m.t, (choir_bytes){c.data, c.len}, &root, &m.text), CHOIR_OK);
    cr_assert_eq(match_both(&m.t, root, &ours, false, &m.text), CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(
        m.text.data,
        "ours is struct A, the peer's is struct \"\\x0a\\x1b[2J\\\"0123456789012345678901234567890123456789"
        "012345678901234567\"...");
    free(c.data);
    choiri_arena_reset(&arena);
    match_close(&m);
}

/* --- the protocol's own messages --- */

static int match_list(schema_env *s, const uint8_t *data, size_t len, choiri_text *text) {
    uint8_t *exact = malloc(len > 0 ? len : 1);
    memcpy(exact, data, len);
    int status = choiri_message_schema_match(s->env, (choir_bytes){exact, len}, text);
    free(exact);
    cr_assert_eq(status == CHOIR_OK || status == CHOIR_ERR_NO_MEMORY, text->len == 0, "%d: %s", status,
                 text->data);
    return status;
}

/* The list with its schemas in another order: reversed, the last one staying where it is. */
static test_bytes reordered(void) {
    choiri_wire_reader w = choiri_wire_reader_of(message_schema_vector);
    choir_bytes parts[64];
    size_t count;
    choiri_wire_object object;
    test_cbor_text c = {0};
    cr_assert(choiri_cbor_read_array(&w.r, &count));
    for (size_t i = 0; i < count; i++) {
        const uint8_t *start = w.r.pos;
        cr_assert(choiri_wire_read_schema(&w, &object));
        parts[i] = (choir_bytes){start, (size_t)(w.r.pos - start)};
    }
    cr_assert_eq(count, 33);
    test_put_head(&c, 4, count);
    for (size_t i = count - 1; i-- > 0;) test_put(&c, parts[i].data, parts[i].len);
    test_put(&c, parts[count - 1].data, parts[count - 1].len);
    return (test_bytes){c.data, c.len};
}

/* Replaces the first `from` behind `after` by `to`, of the same length. */
static void replace(test_bytes *b, const char *after, const char *from, const char *to) {
    size_t at = 0;
    for (const char *word = after; word; word = word == after && from ? from : NULL) {
        while (at + strlen(word) <= b->len && memcmp(b->data + at, word, strlen(word)) != 0) at++;
        cr_assert_leq(at + strlen(word), b->len, "%s is not there", word);
        if (word == from) memcpy(b->data + at, to, strlen(to));
        at += strlen(word);
    }
}

Test(match, message_schema) {
    schema_env s;
    choiri_text text;
    schema_env_open(&s);
    test_bytes_eq((choir_bytes){choiri_message_schema, choiri_message_schema_len}, message_schema_vector,
                  "the constant");
    cr_assert_eq(choiri_message_schema_len, 7123);
    uint64_t calls = s.alloc.calls;
    cr_assert_eq(match_list(&s, choiri_message_schema, choiri_message_schema_len, &text), CHOIR_OK);
    cr_assert_eq(match_list(&s, (const uint8_t *)"\x80", 1, &text), CHOIR_OK);
    cr_assert_eq(s.alloc.calls, calls);
    test_bytes b = reordered();
    cr_assert_eq(match_list(&s, b.data, b.len, &text), CHOIR_OK, "%s", text.data);
    replace(&b, "Pong", "nonce", "nonsx");
    cr_assert_eq(match_list(&s, b.data, b.len, &text), CHOIR_ERR_LAYOUT);
    cr_assert(strstr(text.data, "nonce: missing in the peer's type; ours is struct Pong"), "%s", text.data);
    free(b.data);
    b = reordered();
    replace(&b, "primitive_type", "u64", "u16");
    cr_assert_eq(match_list(&s, b.data, b.len, &text), CHOIR_ERR_LAYOUT);
    cr_assert(strstr(text.data, "ours is u64, the peer's is u16"), "%s", text.data);
    free(b.data);
    b = reordered();
    replace(&b, "fields", "connection_id", "connection_ix");
    cr_assert_eq(match_list(&s, b.data, b.len, &text), CHOIR_ERR_LAYOUT, "%s", text.data);
    free(b.data);
    schema_env_close(&s);
}

Test(match, message_schema_malformed) {
    schema_env s;
    choiri_text text;
    schema_env_open(&s);
    cr_assert_eq(match_list(&s, (const uint8_t *)"", 0, &text), CHOIR_ERR_MALFORMED);
    cr_assert_eq(match_list(&s, (const uint8_t *)"\xf6", 1, &text), CHOIR_ERR_MALFORMED);
    cr_assert_eq(match_list(&s, (const uint8_t *)"\xa0", 1, &text), CHOIR_ERR_MALFORMED);
    cr_assert_eq(match_list(&s, (const uint8_t *)"\x81\x01", 2, &text), CHOIR_ERR_MALFORMED);
    for (size_t len = 1; len < choiri_message_schema_len; len++) {
        cr_assert_eq(match_list(&s, choiri_message_schema, len, &text), CHOIR_ERR_MALFORMED, "cut at %zu",
                     len);
    }
    test_bytes b = reordered();
    size_t verdicts[3] = {0};
    for (size_t bit = 0; bit < 8 * b.len; bit += 7) {
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int status = match_list(&s, b.data, b.len, &text);
        cr_assert(status == CHOIR_OK || status == CHOIR_ERR_MALFORMED || status == CHOIR_ERR_LAYOUT, "%d",
                  status);
        verdicts[status == CHOIR_OK ? 0 : status == CHOIR_ERR_LAYOUT ? 1 : 2]++;
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    printf("bit flips of the message schemas: %zu harmless, %zu other layouts, %zu malformed\n", verdicts[0],
           verdicts[1], verdicts[2]);
    cr_assert_gt(verdicts[1], 50);
    cr_assert_gt(verdicts[2], 100);
    free(b.data);
    schema_env_close(&s);
}

Test(match, message_schema_without_memory) {
    choiri_text text;
    test_bytes b = reordered();
    uint64_t n = 0, failed;
    do {
        schema_env s;
        schema_env_open(&s);
        s.alloc.fail_at = s.alloc.calls + ++n;
        int status = match_list(&s, b.data, b.len, &text);
        failed = s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        schema_env_close(&s);
    } while (failed > 0);
    cr_assert_gt(n, 30);
    free(b.data);
}
