/* SPDX-License-Identifier: MIT */
/* What vox in Rust makes of other versions. Each expectation but for the texts was seen with vox-postcard
 * 0.4.0: a plan made of the two types, and a value of the first one read with it. */
#include "schema/test_plan.h"
#include "schema/vox_reader.h"

static int ask(match *m, const party *writer, const party *reader, choiri_vox_verdict *ret) {
    choir_bytes root;
    announce(m, writer, &root);
    const choiri_vox_input in = {.env = m->s.env,
                                 .tracker = &m->t,
                                 .remote_root = root,
                                 .writer = &writer->root,
                                 .reader = &reader->root,
                                 .announcement = &reader->announcement,
                                 .is_reader_new = true};
    return choiri_vox_read(&in, ret);
}

static void check_sides(side writer, side reader, choiri_vox_reads reads, const char *text,
                        const char *array) {
    match m;
    choiri_vox_verdict v;
    match_open(&m);
    party a = types_open(&m, &writer), b = types_open(&m, &reader);
    cr_assert_eq(ask(&m, &a, &b, &v), CHOIR_OK);
    cr_assert_eq(v.reads, reads, "%s for %s: %d %s", writer.declarations, reader.declarations, (int)v.reads,
                 v.text.data);
    cr_assert_str_eq(v.text.data, text);
    cr_assert_str_eq(v.array.data, array);
    types_close(&a);
    types_close(&b);
    match_close(&m);
}

/* Types S of two versions, in arguments. */
static void check(const char *writer, const char *reader, choiri_vox_reads reads, const char *text) {
    check_sides((side){writer, "(S,)", NULL}, (side){reader, "(S,)", NULL}, reads, text, "");
}

Test(vox_reader, fields) {
    check("struct S { a: u8 }", "struct S { a: u8 }", CHOIRI_VOX_READS, "");
    check("struct S { a: u8 }", "struct S { a: u8, b: Option<u8> }", CHOIRI_VOX_REFUSES,
          "args.0.b is required there, because it has no #[facet(default)]");
    check("struct S { a: u8 }", "struct S { a: u8, b: Option<u8> = default }", CHOIRI_VOX_READS, "");
    check("struct S { a: u8 }", "struct S { a: u8, b: u8 = default }", CHOIRI_VOX_READS, "");
    check("struct S { a: u8 }", "struct S { a: u8, b: Box<u8> = default }", CHOIRI_VOX_REFUSES,
          "args.0.b has a default that it cannot make");
    check("struct S { a: u8, b: Option<u8> }", "struct S { a: u8 }", CHOIRI_VOX_READS, "");
    check("struct S { a: u8, b: u16 }", "struct S { b: u16, a: u8 }", CHOIRI_VOX_READS, "");
    check("struct S { a: u8 }", "struct S { a: u16 }", CHOIRI_VOX_REFUSES,
          "args.0.a is announced as u8 by the old version and as u16 by the new one");
    check_sides((side){"struct S { a: u8 }", "(S,)", NULL}, (side){"struct T { a: u8 }", "(T,)", NULL},
                CHOIRI_VOX_REFUSES,
                "args.0 is announced as struct S by the old version and as struct T by the new one", "");
    check_sides((side){"", "(u8,)", NULL}, (side){"", "(u8, u8)", NULL}, CHOIRI_VOX_REFUSES,
                " is announced as tuple of 1 by the old version and as tuple of 2 by the new one", "");
}

Test(vox_reader, variants) {
    check("enum S { X { a: u8 }, Y }", "enum S { X { a: u8, b: Option<u8> }, Y }", CHOIRI_VOX_READS, "");
    check("enum S { X { a: u8 }, Y }", "enum S { X { a: u8, b: u16 = default }, Y }", CHOIRI_VOX_READS, "");
    check("enum S { X { a: u8 }, Y }", "enum S { X { a: u8, b: Vec<u8> }, Y }", CHOIRI_VOX_PARTLY,
          "variant X in args.0, for lack of the field b");
    check("enum S { X { a: u8, b: u16 }, Y }", "enum S { X { a: u8 }, Y }", CHOIRI_VOX_READS, "");
    check("enum S { X { a: u8, b: u16 }, Y }", "enum S { Y, X { b: u16, a: u8 } }", CHOIRI_VOX_READS, "");
    check("enum S { X { a: String }, Y }", "enum S { X { a: u8 }, Y }", CHOIRI_VOX_MISREADS,
          "args.0.X.a is announced as string by the old version and as u8 by the new one, and it does not "
          "translate the named fields of a variant");
    check("enum N { A, B }; enum S { V { n: N } }", "enum N { B, A }; enum S { V { n: N } }",
          CHOIRI_VOX_MISREADS,
          "args.0.V.n has another layout, and it does not translate the named fields of a variant");
    check("enum N { A, B }; enum S { V(N) }", "enum N { B, A }; enum S { V(N) }", CHOIRI_VOX_READS, "");
    check("struct N { a: u8 }; enum S { V(u8, N) }",
          "struct N { a: u8, b: u8 = default }; enum S { V(u8, N) }", CHOIRI_VOX_READS, "");
    check("enum S { X, Y }", "enum S { X }", CHOIRI_VOX_PARTLY, "variant Y in args.0");
    check("enum S { X(u8) }", "enum S { X { a: u8 } }", CHOIRI_VOX_REFUSES,
          "args.0 is announced as enum S by the old version and as enum S by the new one");
}

Test(vox_reader, boxes) {
    static const char why[] = "args.0.i has another layout, and it does not translate what is in a Box";
    check("struct I { x: u8 }; struct S { i: Box<I>, k: u8 }",
          "struct I { x: u8, y: u8 = default }; struct S { i: Box<I>, k: u8 }", CHOIRI_VOX_MISREADS, why);
    check("struct I { y: u8, x: u8 }; struct S { i: Box<I> }",
          "struct I { x: u8, y: u8 }; struct S { i: Box<I> }", CHOIRI_VOX_MISREADS, why);
    check("enum I { A, B }; struct S { i: Box<I> }", "enum I { B, A }; struct S { i: Box<I> }",
          CHOIRI_VOX_MISREADS, why);
    check("enum I { A, B, C }; struct S { i: Box<I> }", "enum I { A, B }; struct S { i: Box<I> }",
          CHOIRI_VOX_PARTLY, "variant C in args.0.i");
    check("struct I { x: u8 }; struct S { i: Box<I> }", "struct I { x: String }; struct S { i: Box<I> }",
          CHOIRI_VOX_REFUSES,
          "args.0.i.x is announced as u8 by the old version and as string by the new one");
    check("struct I { x: u8 }; struct S { v: Vec<Box<I>> }",
          "struct I { x: u8, y: u8 = default }; struct S { v: Vec<Box<I>> }", CHOIRI_VOX_MISREADS,
          "args.0.v[] has another layout, and it does not translate what is in a Box");
    check("struct I { x: u8 }; struct S { i: Box<I> }",
          "struct I { x: u8 }; struct S { i: I, k: u8 = default }", CHOIRI_VOX_READS, "");
}

/* What is announced is distorted, and vox believes it. */
Test(vox_reader, announcements) {
    check("struct S { a: Vec<u32> }", "struct S { z: Vec<u8> = default, a: Vec<u32> }", CHOIRI_VOX_REFUSES,
          "args.0.a is announced as list by the old version and as bytes by the new one");
    check("struct S { z: Vec<u8>, a: Vec<u32> }", "struct S { a: Vec<u32> }", CHOIRI_VOX_REFUSES,
          "args.0.a is announced as bytes by the old version and as list by the new one");
    check("struct S { z: Vec<u8>, a: Vec<u32> }", "struct S { z: Vec<u8>, a: Vec<String> }",
          CHOIRI_VOX_MISREADS,
          "args.0.a[] is announced as u32 by the old version and as string by the new one, and it takes both "
          "lists for bytes");
    check("struct S { z: Vec<u32>, a: Vec<u8> }", "struct S { a: Vec<u8>, z: Vec<u32> = default }",
          CHOIRI_VOX_REFUSES, "args.0.z is announced as list by the old version and as bytes by the new one");
    check("struct S { a: HashMap<u32, u32>, b: HashMap<u32, String> }",
          "struct S { b: HashMap<u32, String> }", CHOIRI_VOX_REFUSES,
          "args.0.b[value] is announced as u32 by the old version and as string by the new one");
    check_sides((side){"", "u8", "!"}, (side){"", "u8", "u8"}, CHOIRI_VOX_REFUSES,
                "Err.User is announced as never by the old version and as u8 by the new one", "");
    check_sides((side){"", "u8", "u8"}, (side){"", "u8", "u8"}, CHOIRI_VOX_READS, "", "");
}

Test(vox_reader, skipping) {
    static const char why[] = "args.0.a is skipped as it is announced, and that is not how it is sent";
    check("struct S { z: Vec<u8>, a: Vec<u32>, k: u8 }", "struct S { z: Vec<u8>, k: u8 }",
          CHOIRI_VOX_MISREADS, why);
    check("struct S { a: Vec<u32>, k: u8 }", "struct S { k: u8 }", CHOIRI_VOX_READS, "");
    check("struct S { a: Vec<u8>, k: u8 }", "struct S { k: u8 }", CHOIRI_VOX_READS, "");
    check("struct S { a: Option<Duration>, k: u8 }", "struct S { k: u8 }", CHOIRI_VOX_MISREADS, why);
    check("struct T { kids: Vec<T> }; struct S { a: T, k: u8 }", "struct S { k: u8 }", CHOIRI_VOX_READS, "");
    check_sides((side){"struct S { b: [u8; 2], a: [u8; 3], k: u8 }", "(S,)", NULL},
                (side){"struct S { k: u8 }", "(S,)", NULL}, CHOIRI_VOX_MISREADS, why,
                "args.0.a: the array is announced with another length than it has, so it cannot be skipped");
}

Test(vox_reader, arrays) {
    static const char why[] = "args.0.a has another length, and lengths are not compared",
                      array[] = "args.0.a: the array has another length, and lengths are not compared";
    check("struct S { a: [u8; 2], b: [u8; 3] }", "struct S { a: [u8; 2], b: [u8; 3] }", CHOIRI_VOX_READS, "");
    check_sides((side){"struct S { a: [u8; 2] }", "(S,)", NULL},
                (side){"struct S { a: [u8; 3] }", "(S,)", NULL}, CHOIRI_VOX_MISREADS, why, array);
    /* Both announce the length of the first. */
    check_sides((side){"struct S { b: [u8; 2], a: [u8; 3] }", "(S,)", NULL},
                (side){"struct S { b: [u8; 2], a: [u8; 4] }", "(S,)", NULL}, CHOIRI_VOX_MISREADS, why, array);
}

Test(vox_reader, recursion) {
    static const char tree[] = "struct S { kids: Vec<S> }", one[] = "enum S { V { kids: Vec<S> }, W }",
                      other[] = "enum S { W, V { kids: Vec<S> } }",
                      boxed[] = "struct S { next: Option<Box<S>> }";
    check(tree, tree, CHOIRI_VOX_CRASHES,
          "args.0.kids[] is of a type that contains itself, and comparing that never ends");
    check(boxed, boxed, CHOIRI_VOX_CRASHES,
          "args.0.next.next is of a type that contains itself, and comparing that never ends");
    check(one, one, CHOIRI_VOX_READS, ""); /* fields of variants are not compared */
    check(one, other, CHOIRI_VOX_MISREADS,
          "args.0.V.kids[] has another layout, and it does not translate the named fields of a variant");
    check("struct A { x: u8 }; struct S { a: A, b: A }", "struct A { x: u8 }; struct S { a: A, b: A }",
          CHOIRI_VOX_READS, "");
}

/* The worst counts, wherever it is, but a peer that has refused goes no further. */
Test(vox_reader, worst) {
    check("enum E { A, B }; struct S { e: E, x: u8, t: u8 }",
          "enum E { A }; struct S { e: E, x: u16, t: u8 }", CHOIRI_VOX_REFUSES,
          "args.0.x is announced as u8 by the old version and as u16 by the new one");
    check("enum E { A, B }; struct T { k: Vec<T> }; struct S { e: E, t: T, x: u8 }",
          "enum E { A }; struct T { k: Vec<T> }; struct S { e: E, t: T, x: u16 }", CHOIRI_VOX_CRASHES,
          "args.0.t.k[] is of a type that contains itself, and comparing that never ends");
    check("enum E { A, B }; struct T { k: Vec<T> }; struct S { e: E, x: u8, t: T }",
          "enum E { A }; struct T { k: Vec<T> }; struct S { e: E, x: u16, t: T }", CHOIRI_VOX_REFUSES,
          "args.0.x is announced as u8 by the old version and as u16 by the new one");
}

/* Takes what is in the env's pools, so that whoever needs memory has to ask the allocator. */
#define HOGS 16
static void fill_hogs(match *m, choiri_arena *hogs) {
    for (int i = 0; i < HOGS; i++) {
        choiri_arena_init(&hogs[i], m->s.env, NULL, 0, (size_t)1 << 20);
        for (int k = 0; k < 64; k++) cr_assert(choiri_arena_alloc(&hogs[i], 1000, 1));
    }
}

Test(vox_reader, no_memory) {
#define FIELDS(v)                                                                                            \
    "{ a: " v ", b: (u8, " v "), c: (u16, " v "), d: (u32, " v "), e: (u64, " v "), f: (i8, " v ") }"
    static const char types[] = "struct A " FIELDS("u8") "; struct B " FIELDS("A") "; struct C " FIELDS(
        "B") "; struct D " FIELDS("C") "; struct S " FIELDS("D");
    uint64_t n = 0, failed;
    do {
        match m;
        choiri_vox_verdict v;
        match_open(&m);
        party a = types_open(&m, &(side){types, "(S,)", NULL}),
              b = types_open(&m, &(side){types, "(S,)", NULL});
        choir_bytes root;
        choiri_arena hogs[HOGS];
        announce(&m, &a, &root);
        fill_hogs(&m, hogs);
        const choiri_vox_input in = {m.s.env, &m.t, root, &a.root, &b.root, &b.announcement, true};
        m.s.alloc.fail_at = m.s.alloc.calls + ++n;
        int status = choiri_vox_read(&in, &v);
        failed = m.s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        cr_assert(status != CHOIR_OK || v.reads == CHOIRI_VOX_READS);
        for (int i = 0; i < HOGS; i++) choiri_arena_reset(&hogs[i]);
        types_close(&a);
        types_close(&b);
        match_close(&m);
    } while (failed > 0);
    cr_assert_gt(n, 2);
}
