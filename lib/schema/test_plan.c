/* SPDX-License-Identifier: MIT */
/* Making plans: the rules of docs/protocol/schemas.md one by one, recorded announcements, and peers that mean
 * harm. What plans do with values is in test_plan_decode.c. */
#include "schema/test_plan.h"
#include "schema_vectors.h"

static void matches(const char *declarations, const char *remote, const char *local) {
    match m;
    int status =
        match_sides(&m, &(side){declarations, remote, NULL}, &(side){declarations, local, NULL}, false);
    cr_assert_eq(status, CHOIR_OK, "%s for %s: %s", remote, local, m.text.data);
    cr_assert(!m.is_translated, "%s for %s", remote, local);
}

static void translates(side remote, side local) {
    match m;
    int status = match_sides(&m, &remote, &local, false);
    cr_assert_eq(status, CHOIR_OK, "%s for %s: %s", remote.root, local.root, m.text.data);
    cr_assert(m.is_translated, "%s for %s", remote.root, local.root);
}

static void translates_in(const char *remote_declarations, const char *local_declarations, const char *root) {
    translates((side){remote_declarations, root, NULL}, (side){local_declarations, root, NULL});
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

Test(plan, equal_types) {
    matches("", "u32", "u32");
    matches("", "()", "()");
    matches("", "(u8, String, Vec<Option<f64>>)", "(u8, String, Vec<Option<f64>>)");
    matches("", "(HashMap<String, Vec<u32>>, [u8; 4], char, (u8,))",
            "(HashMap<String, Vec<u32>>, [u8; 4], char, (u8,))");
    matches("struct P { x: i32, y: i32 }; enum S { A, B(P), C(u8, P), D { p: P } }", "(P, Vec<S>)",
            "(P, Vec<S>)");
    matches("", "Result<Result<u8, u8>, Option<Option<u8>>>", "Result<Result<u8, u8>, Option<Option<u8>>>");
}

Test(plan, names) {
    differs((side){"struct A { x: u8 }", "(A,)", NULL}, (side){"struct B { x: u8 }", "(B,)", NULL},
            "args.0: ours is struct B, the peer's is struct \"A\"");
    differs((side){"enum A { X }", "Option<A>", NULL}, (side){"enum B { X }", "Option<B>", NULL},
            "ours is enum B, the peer's is enum \"A\"");
    /* At every level. */
    differs_in("struct In { x: u8 }; struct Out { v: Vec<In> }",
               "struct Inn { x: u8 }; struct Out { v: Vec<Inn> }", "(u8, Out)",
               "args.1.v[]: ours is struct Inn, the peer's is struct \"In\"");
}

Test(plan, primitives) {
    differs((side){"", "u32", NULL}, (side){"", "u64", NULL}, "ours is u64, the peer's is u32");
    differs((side){"", "(u8, String)", NULL}, (side){"", "(u8, i64)", NULL},
            "args.1: ours is i64, the peer's is string");
    differs((side){"", "()", NULL}, (side){"", "(u8,)", NULL}, "ours is tuple of 1, the peer's is unit");
    differs((side){"", "(!,)", NULL}, (side){"", "(u8,)", NULL}, "args.0: ours is u8, the peer's is never");
    differs((side){"", "(u8,)", NULL}, (side){"", "(!,)", NULL}, "args.0: ours is never, the peer's is u8");
    differs((side){"", "String", NULL}, (side){"", "Vec<u8>", NULL}, "ours is bytes, the peer's is string");
}

Test(plan, kinds) {
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
Test(plan, containers) {
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

Test(plan, tuples) {
    differs((side){"", "(u8, u8)", NULL}, (side){"", "(u8, u8, u8)", NULL},
            "ours is tuple of 3, the peer's is tuple of 2");
    differs((side){"", "(u8, u8, u8)", NULL}, (side){"", "(u8, u8)", NULL},
            "ours is tuple of 2, the peer's is tuple of 3");
    differs((side){"", "(u8, (u8, u16))", NULL}, (side){"", "(u8, (u8, u32))", NULL},
            "args.1.1: ours is u32, the peer's is u16");
}

#define V1 "struct Profile { name: String, bio: String }"
#define V2 "struct Profile { name: String, bio: String, avatar: Option<String> }"

Test(plan, fields) {
    translates_in(V1, V2, "(Profile,)"); /* none */
    translates_in(V2, V1, "(Profile,)"); /* skipped */
    translates_in("struct Record { gamma: f64, alpha: i32, beta: String }",
                  "struct Record { alpha: i32, beta: String, gamma: f64 }", "(Record,)");
    translates_in("struct M { a: u8 }", "struct M { }", "M");
    translates_in("struct M { }", "struct M { a: u8 = default }", "M");
    translates_in("struct M { a: u8 }", "struct M { b: Vec<M> = default, a: u8 }", "Vec<M>");
    differs_in("struct M { unit: String, value: String }", "struct M { unit: String, value: f64 }",
               "(Vec<M>,)", "args.0[].value: ours is f64, the peer's is string");
    differs_in("struct M { x: u8 }", "struct M2 { y: u8 }; struct M { x: u8, in: M2 }", "(u8, M)",
               "args.1.in: missing in the peer's type; ours is struct M, the peer's is struct \"M\"");
    differs_in("struct M { a: u8 }", "struct M { b: u8, a: u8 }", "M",
               "b: missing in the peer's type; ours is struct M, the peer's is struct \"M\"");
    /* A default changes neither the layout nor the verdict. */
    match m;
    cr_assert_eq(match_sides(&m, &(side){"struct M { a: u8 }", "M", NULL},
                             &(side){"struct M { a: u8 = default }", "M", NULL}, false),
                 CHOIR_OK);
    cr_assert(!m.is_translated);
    /* But it helps no field whose zero is no value. */
    static const char *const without[] = {"Box<u8>",     "!", "(u8, Box<M2>)", "E", "Result<Box<u8>, u8>",
                                          "[Box<u8>; 2]"};
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        char ours[128];
        snprintf(ours, sizeof ours,
                 "struct M2 { y: u8 }; enum E { A(Box<u8>), B }; struct M { a: %s = default }", without[i]);
        cr_assert_eq(match_sides(&m, &(side){"struct M { }", "M", NULL}, &(side){ours, "M", NULL}, false),
                     CHOIR_ERR_LAYOUT, "%s", without[i]);
    }
    translates_in("struct M { }", "enum E { A, B(Box<u8>) }; struct M { a: E = default, o: Option<Box<u8>> }",
                  "M");
}

Test(plan, variants) {
    match m;
    static const char two[] = "enum E { A, B(u8) }", three[] = "enum E { A, B(u8), C }";
    cr_assert_eq(match_sides(&m, &(side){two, "E", NULL}, &(side){three, "E", NULL}, false), CHOIR_OK,
                 "more at ours");
    cr_assert(!m.is_translated && !m.facts.has_unknown);
    cr_assert_eq(match_sides(&m, &(side){three, "(u8, E)", NULL}, &(side){two, "(u8, E)", NULL}, false),
                 CHOIR_OK, "more at theirs");
    cr_assert(m.is_translated && m.facts.has_unknown);
    cr_assert_str_eq(m.facts.unknown.data, "args.1: variant \"C\"");
    translates_in("enum E { B(u8), A }", two, "(E,)");
    differs_in("enum E { A, B }", two, "E",
               "B: of another shape in the peer's type; ours is enum E, the peer's is enum \"E\"");
    differs_in("enum E { B(u8, u8), A }", two, "E",
               "B: of another shape in the peer's type; ours is enum E, the peer's is enum \"E\"");
    differs_in("enum E { A, B(u16) }", two, "E", "B: ours is u8, the peer's is u16");
    differs_in("enum E { A(u8, u8) }", "enum E { A(u8, u16) }", "(E,)",
               "args.0.A.1: ours is u16, the peer's is u8");
    differs_in("enum E { A(u8, u8) }", "enum E { A(u8, u8, u8) }", "E",
               "A: another number of values in the peer's type; ours is enum E, the peer's is enum \"E\"");
    differs_in("enum E { A { x: u8 } }", "enum E { A { x: u16 } }", "Vec<E>",
               "[].A.x: ours is u16, the peer's is u8");
    differs_in("enum E { A { x: u8 } }", "enum E { A { x: u8, y: u8 } }", "E",
               "A.y: missing in the peer's type; ours is enum E, the peer's is enum \"E\"");
    translates_in("enum E { A { y: u16, x: u8 } }", "enum E { A { x: u8, z: Option<u8> } }", "E");
    /* Inside a struct variant as anywhere else. */
    translates_in(V1 "; enum E { A { p: Profile } }", V2 "; enum E { A { p: Profile } }", "E");
}

/* Vec<u8> is announced as bytes, bytes<u8> or list<u8>, and a list behind it as bytes<T>: what counts is the
 * element. */
Test(plan, bytes) {
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

Test(plan, recursive) {
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
    translates_in("struct Aa { n: u8, b: Vec<Bb> }; struct Bb { s: String, a: Vec<Aa>, x: u8 }",
                  "struct Aa { n: u8, b: Vec<Bb> }; struct Bb { s: String, a: Vec<Aa> }", "Aa");
    differs_in("struct Aa { n: u8, b: Vec<Bb> }; struct Bb { s: String, a: Vec<Aa> }",
               "struct Aa { n: u8, b: Vec<Bb> }; struct Bb { s: String, a: Vec<Aa>, x: u8 }", "Aa",
               "b[].x: missing in the peer's type; ours is struct Bb, the peer's is struct \"Bb\"");
}

/* --- answers --- */

Test(plan, wrong_bindings) {
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
    choir_bytes announced;
    match_open(m);
    party ours = types_open(m, local);
    test_bytes c = test_cbor(payload), r = test_cbor(root);
    int status = choiri_recv_tracker_add(&m->t, test_span(c), &announced, &m->text);
    cr_assert_eq(status, CHOIR_OK, "%s", m->text.data);
    status = make_plan(m, &m->t, test_span(r), &ours.root, &ours.announcement, lenient, NULL);
    strip_ids(&m->text);
    free(c.data);
    free(r.data);
    types_close(&ours);
    match_close(m);
    return status;
}

#define REF1 "{tag: concrete, type_id: 1, args: []}"

Test(plan, roots_that_were_never_received) {
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
    cr_assert_str_eq(m.text.data, "the peer's root is no type reference");
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

Test(plan, spellings) {
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

Test(plan, variants_out_of_order) {
    static const side local = {"enum E { A, B }", "E", NULL};
#define ENUM(a, b)                                                                                           \
    "{schemas: [{id: 1, kind: {tag: enum, name: E, variants: [{name: A, index: " a ", payload: unit}, "      \
    "{name: B, index: " b ", payload: unit}]}}], root: " REF1 "}"
    match m;
    cr_assert_eq(match_root(&m, ENUM("0", "1"), REF1, &local, false), CHOIR_OK);
    cr_assert_eq(match_root(&m, ENUM("1", "0"), REF1, &local, false), CHOIR_ERR_MALFORMED);
    cr_assert_str_eq(m.text.data, "the peer's type numbers its variants out of order: enum \"E\"");
    cr_assert_eq(match_root(&m, ENUM("0", "5"), REF1, &local, false), CHOIR_ERR_MALFORMED);
}

Test(plan, channels) {
    /* Both sides are written by hand. */
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
    const choiri_schema_set ours = {parts, 2, test_span(tx)};
    cr_assert_eq(choiri_plan_check_same(m.s.env, &m.t, test_span(tx), &ours, &m.text), CHOIR_OK);
    cr_assert_eq(choiri_plan_check_same(m.s.env, &m.t, test_span(rx), &ours, &m.text), CHOIR_ERR_LAYOUT);
    strip_ids(&m.text);
    cr_assert_str_eq(m.text.data, "ours is channel tx, the peer's is channel rx");
    /* What goes through is not compared. */
    parts[1] = (choiri_schema_part){1, choiri_recv_tracker_find(&m.t, 1)};
    cr_assert_eq(choiri_plan_check_same(m.s.env, &m.t, test_span(tx), &ours, &m.text), CHOIR_OK);
    free(c.data);
    free(tx.data);
    free(rx.data);
    match_close(&m);
}

/* Two unfoldings of one recursive type: a Tree whose children are another Tree, whose children are the
 * first. */
Test(plan, unfolded_recursion) {
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

/* What the verdict on an announcement must be. Of the evolved types, one has another type in a field, one
 * lacks a field that the plain one needs, and one needs a field that the plain one lacks. */
static int expected(const schema_vector_announcement *v, const char *name, bool sender_evolved,
                    bool lenient) {
    if (IS_IN(v->session, "evolved", "evolved_client")) {
        if (strcmp(name, "echo_measurement") == 0) return CHOIR_ERR_LAYOUT;
        if (strcmp(name, "echo_tag") == 0) return sender_evolved ? CHOIR_ERR_LAYOUT : CHOIR_OK;
        if (strcmp(name, "echo_config") == 0) return sender_evolved ? CHOIR_OK : CHOIR_ERR_LAYOUT;
        return CHOIR_OK;
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

static choiri_root root_of(const choiri_prepared *service, uint32_t index, int direction) {
    const choir_method *d = service->methods[index].desc;
    return (choiri_root){.unit = service->desc->unit,
                         .is_response = direction == 1,
                         .type = d->args,
                         .ok = d->ok,
                         .err = d->err};
}

Test(plan, recorded_announcements) {
    match m;
    choiri_recv_tracker sides[2];
    const choiri_prepared *plain, *evolved;
    const schema_vector_announcement *last = NULL;
    size_t verdicts[2][2] = {{0}}, wrong = 0, translated = 0;
    match_open(&m);
    cr_assert_eq(choiri_prepare(m.s.env, &testbed, &plain, &m.text), CHOIR_OK);
    cr_assert_eq(choiri_prepare(m.s.env, &testbed_evolved, &evolved, &m.text), CHOIR_OK);
    for (int k = 0; k < 2; k++) choiri_recv_tracker_init(&sides[k], m.s.env, test_seed, NULL);
    for (size_t i = 0; i < announcements_count; i++) {
        const schema_vector_announcement *v = &announcements[i];
        if (!last || last->connection != v->connection || strcmp(last->session, v->session) != 0 ||
            last->peer != v->peer) {
            for (int k = 0; k < 2; k++) {
                choiri_recv_tracker_deinit(&sides[k]);
                choiri_recv_tracker_init(&sides[k], m.s.env, test_seed, NULL);
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
        const choiri_prepared *ours = any_evolved && !sender_evolved ? evolved : plain;
        uint32_t index = choiri_prepared_lookup(ours, v->method);
        if (index == UINT32_MAX) continue;
        const choiri_prepared_method *method = &ours->methods[index];
        choir_str name = choir_method_name(ours->desc, index);
        for (int lenient = 0; lenient <= v->direction; lenient++) {
            choiri_root mine = root_of(ours, index, v->direction);
            status = make_plan(&m, &sides[v->from_server], root, &mine,
                               v->direction == 0 ? &method->args : &method->response, lenient, NULL);
            char text[32];
            snprintf(text, sizeof text, "%.*s", (int)name.len, name.data);
            int should = expected(v, text, sender_evolved, lenient);
            if (status != should) {
                wrong++;
                cr_log_warn("%s %s %s %s lenient %d: %d instead of %d: %s", v->peer, v->session, text,
                            v->direction == 0 ? "args" : "response", lenient, status, should, m.text.data);
            }
            verdicts[lenient][status == CHOIR_OK]++;
            /* The plain types among themselves need no translation, whatever is announced. */
            if (!any_evolved) cr_assert(!m.is_translated, "%s %s", v->session, text);
            translated += m.is_translated;
        }
    }
    for (int k = 0; k < 2; k++) choiri_recv_tracker_deinit(&sides[k]);
    printf("recorded announcements: strict %zu match, %zu do not; lenient %zu match, %zu do not; "
           "%zu translated\n",
           verdicts[0][1], verdicts[0][0], verdicts[1][1], verdicts[1][0], translated);
    cr_assert_gt(translated, 10);
    cr_assert_eq(wrong, 0);
    match_close(&m);
}

/* Every type that Rust was seen to announce, distorted ones included, against itself: nothing to translate.
 * And beside an argument that has changed: all that is translated is that. */
static void check_type(const schema_vector_type *v) {
    match m;
    choir_bytes root;
    choiri_text text;
    choiri_schema_set ours;
    match_open(&m);
    cr_assert_eq(choiri_extract(&m.arena, NULL, &v->root, &ours, &text), CHOIR_OK);
    cr_assert_eq(choiri_recv_tracker_add(&m.t, v->payload, &root, &m.text), CHOIR_OK, "%s", m.text.data);
    int status = make_plan(&m, &m.t, root, &v->root, &ours, v->root.is_response, NULL);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", v->name, m.text.data);
    cr_assert(!m.is_translated, "%s", v->name);
    match_close(&m);
}

Test(plan, rust_types) {
    for (size_t i = 0; i < rust_types_count; i++) check_type(&rust_types[i]);
    for (size_t i = 0; i < composed_types_count; i++) check_type(&composed_types[i]);
    cr_assert_gt(rust_types_count + composed_types_count, 200);
}

/* User generics share one body, that of the first instance: Wrap<String> looks like Wrap<u32>. A peer with
 * our types announces the same; its other types may have changed. An honest peer announces what is true. */
Test(plan, distorted_generics) {
#define WRAP(id, element)                                                                                    \
    "{id: " id ", type_params: [T], kind: {tag: struct, name: Wrap, fields: [" FIELD_OF("v", element) "]}}"
#define FIELD_OF(name, ref) "{name: " name ", type_ref: " ref ", required: true}"
#define STRING(id)          "{id: " id ", kind: {tag: primitive, primitive_type: string}}"
#define OTHER(id, fields)   "{id: " id ", kind: {tag: struct, name: Other, fields: [" fields "]}}"
#define TRIPLE(a, b, c)                                                                                                                           \
    "{id: 8, type_params: [A, B, C], kind: {tag: tuple, elements: [{tag: var, name: A}, {tag: var, name: B}, {tag: var, name: C}]}}], root: " TO( \
        "8", a ", " b ", " c) "}"
    static const char distorted[] =
        "{schemas: [" U32("2") ", " STRING("9") ", " LIST("3") ", " WRAP("5", TO("3", TO("2", ""))) ", ";
    static const char ours[] = OTHER("6", FIELD_OF("a", TO("2", ""))) ", " TRIPLE(
        TO("5", TO("2", "")), TO("5", TO("9", "")), TO("6", ""));
    static const char theirs[] =
        OTHER("7", FIELD_OF("x", TO("9", "")) ", " FIELD_OF("a", TO("2", ""))) ", " TRIPLE(
            TO("5", TO("2", "")), TO("5", TO("9", "")), TO("7", ""));
    static const char honest[] = "{schemas: [" U32("2") ", " STRING("9") ", " LIST("3") ", " WRAP(
        "5", TO("3", "{tag: var, name: T}")) ", ";
    char text[4096];
    match m;
    match_open(&m);
    party local = types_open(
        &m, &(side){"struct Wrap { v: Vec<u32> }; struct Wrbp { v: Vec<String> }; struct Other { a: u32 }",
                    "(Wrap, Wrbp, Other)", NULL});
    uint32_t second = local.ts->types[test_types_find(local.ts, "Wrbp")].name;
    local.ts->strings[second + 2] = 'a';
    /* What we announce. */
    snprintf(text, sizeof text, "%s%s", distorted, ours);
    test_bytes announced = test_cbor(text);
    choiri_wire_reader w = choiri_wire_reader_of(test_span(announced));
    choiri_wire_object payload, schema;
    choiri_schema_part parts[8];
    cr_assert(choiri_wire_read_payload(&w, &payload));
    choiri_schema_set a = {parts, (uint32_t)payload.members[0].number, payload.members[1].span};
    w = choiri_wire_reader_of(payload.members[0].span);
    for (uint32_t i = 0; i < a.parts_len; i++) {
        const uint8_t *start = w.r.pos;
        cr_assert(choiri_wire_read_schema(&w, &schema));
        parts[i] = (choiri_schema_part){schema.members[0].number, {start, (size_t)(w.r.pos - start)}};
    }
    static const struct {
        const char *types, *rest;
        bool is_translated;
    } peers[] = {
        {distorted, ours, false}, {distorted, theirs, true}, {honest, ours, false}, {honest, theirs, true}};
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        choir_bytes root;
        snprintf(text, sizeof text, "%s%s", peers[i].types, peers[i].rest);
        test_bytes c = test_cbor(text);
        choiri_recv_tracker_deinit(&m.t);
        choiri_recv_tracker_init(&m.t, m.s.env, test_seed, NULL);
        cr_assert_eq(choiri_recv_tracker_add(&m.t, test_span(c), &root, &m.text), CHOIR_OK);
        cr_assert_eq(make_plan(&m, &m.t, root, &local.root, &a, false, NULL), CHOIR_OK, "%zu: %s", i,
                     m.text.data);
        cr_assert_eq(m.is_translated, peers[i].is_translated, "%zu", i);
        free(c.data);
    }
    /* The distorted form is only believed as a whole: another list under it is another type. */
    snprintf(
        text, sizeof text,
        "{schemas: [" U8("2") ", " STRING("9") ", " LIST("3") ", " WRAP("5", TO("3", TO("2", ""))) ", %s",
        ours);
    test_bytes c = test_cbor(text);
    choir_bytes root;
    choiri_recv_tracker_deinit(&m.t);
    choiri_recv_tracker_init(&m.t, m.s.env, test_seed, NULL);
    cr_assert_eq(choiri_recv_tracker_add(&m.t, test_span(c), &root, &m.text), CHOIR_OK);
    cr_assert_eq(make_plan(&m, &m.t, root, &local.root, &a, false, NULL), CHOIR_ERR_LAYOUT);
    cr_assert_str_eq(m.text.data, "args.0.v[]: ours is u32, the peer's is u8 (type 0x0000000000000002)");
    free(c.data);
    free(announced.data);
    types_close(&local);
    match_close(&m);
}

/* Of as many types as a connection may announce, each is read once, however they refer to each other. */
Test(plan, four_thousand_types) {
    test_cbor_text c = {0};
    match m;
    choir_bytes root;
    match_open(&m);
    party ours = types_open(&m, &(side){"struct S { x: u8 }", "S", NULL});
    test_put_head(&c, 5, 2);
    test_put_word(&c, "schemas");
    test_put_head(&c, 4, 4096);
    test_put_item(&c, U8("5000"));
    for (int i = 1; i < 4096; i++) {
        char text[256];
        /* Trees of three: the depth stays small, and all of them are skipped. */
        snprintf(
            text, sizeof text,
            "{id: %d, kind: {tag: tuple, elements: [{tag: concrete, type_id: %d}, {tag: concrete, type_id: %d}, {tag: concrete, type_id: %d}]}}",
            i, 3 * i - 1 < 4096 ? 3 * i - 1 : 5000, 3 * i < 4096 ? 3 * i : 5000,
            3 * i + 1 < 4096 ? 3 * i + 1 : 1);
        if (i == 1)
            snprintf(
                text, sizeof text,
                "{id: 1, kind: {tag: struct, name: S, fields: [{name: x, type_ref: {tag: concrete, type_id: 5000}, required: true}, "
                "{name: y, type_ref: {tag: concrete, type_id: 2}, required: true}]}}");
        test_put_item(&c, text);
    }
    test_put_word(&c, "root");
    test_put_item(&c, "{tag: concrete, type_id: 1}");
    cr_assert_eq(choiri_recv_tracker_add(&m.t, (choir_bytes){c.data, c.len}, &root, &m.text), CHOIR_OK, "%s",
                 m.text.data);
    int status = make_plan(&m, &m.t, root, &ours.root, &ours.announcement, false, NULL);
    printf("4096 types: status %d, %u steps, %u nodes\n", status, m.facts.steps, m.facts.nodes);
    cr_assert_eq(status, CHOIR_OK, "%d %s", status, m.text.data);
    free(c.data);
    types_close(&ours);
    match_close(&m);
}

/* Each link of the chain is compared where it is shallow, and then the whole of it hangs on one field. */
Test(plan, deep_graph) {
    enum { LINKS = 2000, EACH_SHALLOW = 55 };
    test_cbor_text c = {0};
    match m;
    choir_bytes root;
    char text[256];
    match_open(&m);
    party ours = types_open(&m, &(side){"struct S { k: u8 }", "S", NULL});
    test_put_head(&c, 5, 2);
    test_put_word(&c, "schemas");
    test_put_head(&c, 4, LINKS + 3);
    test_put_item(&c, U8("2"));
    static char first[65536];
    int len = snprintf(first, sizeof first, "{id: 3, kind: {tag: tuple, elements: [");
    for (int i = 0; i < 64; i++) /* enough bytes that the rest is not measured from here */
        len += snprintf(first + len, sizeof first - (size_t)len, "{tag: concrete, type_id: 2}, ");
    for (int i = EACH_SHALLOW; i < LINKS; i += EACH_SHALLOW)
        len += snprintf(first + len, sizeof first - (size_t)len, "{tag: concrete, type_id: %d}, ", 100 + i);
    snprintf(first + len, sizeof first - (size_t)len, "{tag: concrete, type_id: 2}]}}");
    test_put_item(&c, first);
    for (int i = 0; i < LINKS; i++) {
        snprintf(text, sizeof text, "{id: %d, kind: {tag: tuple, elements: [{tag: concrete, type_id: %d}]}}",
                 100 + i, i == 0 ? 2 : 99 + i);
        test_put_item(&c, text);
    }
    snprintf(
        text, sizeof text,
        "{id: 1, kind: {tag: struct, name: S, fields: [{name: k, type_ref: {tag: concrete, type_id: 2}, required: true}, "
        "{name: p, type_ref: {tag: concrete, type_id: 3}, required: true}, "
        "{name: q, type_ref: {tag: concrete, type_id: %d}, required: true}]}}",
        99 + LINKS);
    test_put_item(&c, text);
    test_put_word(&c, "root");
    test_put_item(&c, "{tag: concrete, type_id: 1}");
    cr_assert_eq(choiri_recv_tracker_add(&m.t, (choir_bytes){c.data, c.len}, &root, &m.text), CHOIR_OK, "%s",
                 m.text.data);
    cr_assert_eq(make_plan(&m, &m.t, root, &ours.root, &ours.announcement, false, NULL), CHOIR_ERR_DEPTH,
                 "%s", m.text.data);
    cr_assert(strstr(m.text.data, "nested more than 64 deep"), "%s", m.text.data);
    free(c.data);
    types_close(&ours);
    match_close(&m);
}

/* The complete table of the TypeScript peer: other order, type_params left out when empty. */
Test(plan, typescript_table) {
    match m;
    const choiri_prepared *service;
    match_open(&m);
    cr_assert_eq(choiri_prepare(m.s.env, &testbed, &service, &m.text), CHOIR_OK);
    for (size_t i = 0; i < testbed_schemas_count; i++) {
        const schema_vector_method *v = &testbed_schemas[i];
        uint32_t index;
        choir_bytes root;
        cr_assert_eq(choir_service_find(&testbed, (choir_str){v->name, strlen(v->name)}, &index), CHOIR_OK);
        choiri_recv_tracker_deinit(&m.t);
        choiri_recv_tracker_init(&m.t, m.s.env, test_seed, NULL);
        cr_assert_eq(choiri_recv_tracker_add(&m.t, v->payload, &root, &m.text), CHOIR_OK, "%s", m.text.data);
        const choiri_prepared_method *method = &service->methods[index];
        choiri_root mine = root_of(service, index, v->direction);
        int status = make_plan(&m, &m.t, root, &mine, v->direction == 0 ? &method->args : &method->response,
                               false, NULL);
        cr_assert(!m.is_translated);
        cr_assert_eq(status, CHOIR_OK, "%s: %s", v->name, m.text.data);
    }
    match_close(&m);
}

/* --- peers that mean harm --- */

/* What a comparison costs is counted in steps, each of which looks at 64 bytes at most: a bound on the time
 * that no machine's load changes. The steps themselves are checked wherever a plan is made. */
static void hostile(const char *what, const char *payload, const char *root, const side *local, int status) {
    match m;
    cr_assert_eq(match_root(&m, payload, root, local, false), status, "%s: %s", what, m.text.data);
    printf("%s: %u steps, at most %llu bytes\n", what, m.facts.steps, (unsigned long long)m.s.alloc.peak);
    cr_assert_lt(m.s.alloc.peak, CHOIRI_PLAN_MAX_WORK + (1u << 20));
}

#define FIELD(name, ref) "{name: " name ", type_ref: " ref ", required: true}"
#define VAR(name)        "{tag: var, name: " name "}"

/* A list of a list of ...: each Tree is another schema, with another id. */
Test(plan, deep_chain) {
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

/* What grows as it recurses ends at the depth: each level is compared once, however often it is met. */
Test(plan, growing_recursion) {
    /* A<T> has an A<list<T>>: deeper and deeper, never the same again. */
    static const side local = {"struct A { x: Vec<A> }", "A", NULL};
    hostile(
        "growing recursion",
        "{schemas: [" U8("2") ", " LIST("3") ", {id: 1, type_params: [T], kind: {tag: struct, name: A, fields: [" FIELD(
            "x", TO("3", TO("1", TO("3", VAR("T"))))) "]}}], root: " REF1 "}",
        TO("1", TO("2", "")), &local, CHOIR_ERR_DEPTH);
}

Test(plan, doubling_recursion) {
    /* A<T> has an A<(T, T)>: what has to be compared to see that it is new doubles each time. */
    static const side local = {"struct A { x: Vec<A> }", "A", NULL};
    hostile("doubling recursion",
            "{schemas: [" U8("2") ", " LIST(
                "3") ","
                     "{id: 4, type_params: [P, Q], kind: {tag: tuple, elements: [" VAR("P") ", " VAR(
                         "Q") "]}},"
                              "{id: 1, type_params: [T], kind: {tag: struct, name: A, fields: [" FIELD(
                                  "x", TO("3", TO("1", TO("4", VAR("T") ", " VAR("T"))))) "]}}], root: " REF1
                                                                                          "}",
            TO("1", TO("2", "")), &local, CHOIR_ERR_DEPTH);
}

/* Two types that refer to each other from each of eight fields, with new arguments every time: 8^64 pairs. */
Test(plan, wide_mutual_recursion) {
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
    hostile("wide mutual recursion",
            "{schemas: [" LIST("3") ", {id: 4, type_params: [P, Q], kind: {tag: tuple, elements: [" VAR(
                "P") ", " VAR("Q") "]}}, " WIDE("1", "A", "2") ", " WIDE("2", "B",
                                                                         "1") ", " U8("20") "], root: " REF1
                                                                                            "}",
            TO("1", TO("20", "")), &local, CHOIR_ERR_DEPTH);
}

/* Seven types, each of which holds the next one eight times, with other arguments in each: 8^6 instances. */
Test(plan, wide_tree) {
    static char payload[32768], declarations[2048];
    int at =
        snprintf(payload, sizeof payload,
                 "{schemas: [" U8("20") ", {id: 4, type_params: [P, Q], kind: {tag: tuple, elements: [" VAR(
                     "P") ", " VAR("Q") "]}}");
    int end = snprintf(declarations, sizeof declarations, "struct A7 { x: u8 }");
    at += snprintf(payload + at, sizeof payload - (size_t)at,
                   ", {id: 107, type_params: [T], kind: {tag: struct, name: A7, fields: [" FIELD(
                       "x", TO("20", "")) "]}}");
    for (int level = 6; level >= 1; level--) {
        at += snprintf(payload + at, sizeof payload - (size_t)at,
                       ", {id: %d, type_params: [T], kind: {tag: struct, name: A%d, fields: [", 100 + level,
                       level);
        end += snprintf(declarations + end, sizeof declarations - (size_t)end, "; struct A%d { ", level);
        for (int i = 0; i < 8; i++) {
            at +=
                snprintf(payload + at, sizeof payload - (size_t)at,
                         "{name: f%d, type_ref: {tag: concrete, type_id: %d, args: [" TO(
                             "4", VAR("T") ", {tag: concrete, type_id: %d, args: []}") "]}, required: true},",
                         i, 101 + level, 30 + i);
            end +=
                snprintf(declarations + end, sizeof declarations - (size_t)end, "f%d: A%d, ", i, level + 1);
        }
        at += snprintf(payload + at, sizeof payload - (size_t)at, "]}}");
        end += snprintf(declarations + end, sizeof declarations - (size_t)end, "}");
    }
    snprintf(payload + at, sizeof payload - (size_t)at, "], root: " REF1 "}");
    hostile("wide tree", payload, TO("101", TO("20", "")), &(side){declarations, "A1", NULL},
            CHOIR_ERR_TOO_LARGE);
}

/* One schema of nearly a megabyte, in six places: it is looked at once. */
Test(plan, huge_schema) {
    static const side local = {"struct A { x: u8 }", "(A, A, A, A, A, A)", NULL};
    match m;
    choir_bytes root;
    test_cbor_text c = {0};
    match_open(&m);
    party ours = types_open(&m, &local);
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
    cr_assert_eq(make_plan(&m, &m.t, root, &ours.root, &ours.announcement, false, NULL), CHOIR_OK, "%s",
                 m.text.data);
    printf("huge schema: %u steps\n", m.facts.steps);
    cr_assert_gt(m.facts.steps, 900000 / 64);
    free(c.data);
    types_close(&ours);
    match_close(&m);
}

/* Schemas that mean themselves. */
Test(plan, cyclic_references) {
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

Test(plan, names_of_peers_are_escaped) {
    match m;
    choir_bytes root;
    test_cbor_text c = {0};
    match_open(&m);
    party ours = types_open(&m, &(side){"struct A { x: u8 }", "A", NULL});
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
    cr_assert_eq(make_plan(&m, &m.t, root, &ours.root, &ours.announcement, false, NULL), CHOIR_ERR_LAYOUT);
    strip_ids(&m.text);
    cr_assert_str_eq(
        m.text.data,
        "ours is struct A, the peer's is struct \"\\x0a\\x1b[2J\\\"0123456789012345678901234567890123456789"
        "012345678901234567\"...");
    free(c.data);
    types_close(&ours);
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

Test(plan, message_schema) {
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

Test(plan, message_schema_malformed) {
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

Test(plan, message_schema_without_memory) {
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
