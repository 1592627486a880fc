/* SPDX-License-Identifier: MIT */
/* Values through plans: what the peer encodes by its types, decoded as ours and printed as JSON. */
#include "schema/test_plan.h"

/* The peer's value, and what it must be here. Every way to cut the bytes short must fail, and every turned
 * bit must end in some value or in an error. */
static void becomes(side remote, side local, const char *theirs, const char *ours) {
    translation t;
    void *value;
    size_t left;
    int status = translation_open(&t, remote, local);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", theirs, t.m.text.data);
    cr_assert(t.plan, "%s: no plan", theirs);
    test_bytes b = encode_json(&t, theirs);
    status = decode_ours(&t, test_span(b), &value, &left);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", theirs, t.m.text.data);
    cr_assert_eq(left, 0, "%s: %zu bytes are left", theirs, left);
    choir_str json = print_ours(&t, value);
    cr_assert_str_eq(json.data, ours);
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *exact = malloc(len > 0 ? len : 1);
        memcpy(exact, b.data, len);
        status = decode_ours(&t, (choir_bytes){exact, len}, &value, &left);
        cr_assert_eq(status, CHOIR_ERR_TRUNCATED, "%s cut at %zu: %d", theirs, len, status);
        cr_assert(strstr(t.m.text.data, "truncated "), "%s", t.m.text.data);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        status = decode_ours(&t, test_span(b), &value, &left);
        if (status == CHOIR_OK) (void)print_ours(&t, value);
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(b.data);
    translation_close(&t);
}

/* One struct S on either side, holding other fields. */
static void struct_becomes(const char *remote, const char *local, const char *theirs, const char *ours) {
    becomes((side){remote, "S", NULL}, (side){local, "S", NULL}, theirs, ours);
}

static void fails(side remote, side local, const char *theirs, int expected, const char *text) {
    translation t;
    void *value;
    size_t left;
    int status = translation_open(&t, remote, local);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", theirs, t.m.text.data);
    cr_assert(t.plan);
    test_bytes b = encode_json(&t, theirs);
    status = decode_ours(&t, test_span(b), &value, &left);
    cr_assert_eq(status, expected, "%s: %d %s", theirs, status, t.m.text.data);
    cr_assert_str_eq(t.m.text.data, text);
    free(b.data);
    translation_close(&t);
}

Test(plan_decode, fields_by_name) {
    struct_becomes("struct S { a: u8, b: String, c: u64 }", "struct S { c: u64, a: u8, b: String }",
                   "{\"a\":1,\"b\":\"two\",\"c\":300}", "{\"c\":300,\"a\":1,\"b\":\"two\"}");
    struct_becomes("struct S { a: u8, b: String, c: u64 }", "struct S { c: u64 }",
                   "{\"a\":1,\"b\":\"two\",\"c\":300}", "{\"c\":300}");
    struct_becomes("struct S { a: u8, b: String }", "struct S { }", "{\"a\":1,\"b\":\"two\"}", "{}");
    struct_becomes(
        "struct S { }",
        "enum E { Z, Y(u8) }; struct S { n: u64 = default, s: String = default, v: Vec<u32> = default, "
        "o: Option<u8>, e: E = default, t: (u8, bool) = default, b: Option<Box<u8>>, "
        "a: [u16; 2] = default }",
        "{}", "{\"n\":0,\"s\":\"\",\"v\":[],\"o\":null,\"e\":\"Z\",\"t\":[0,false],\"b\":null,\"a\":[0,0]}");
    /* Nested, in every kind of container, behind boxes. */
    static const char v1[] = "struct P { x: u8, y: u8 }; enum E { A(P), B { p: P, q: u8 }, C(u8, P) };";
    static const char v2[] =
        "struct P { z: Option<u8>, y: u8 }; enum E { C(u8, P), B { q: u8, p: P }, A(P) };";
    char remote[512], local[512];
    static const char fields[] =
        " struct S { v: Vec<P>, o: Option<P>, b: Box<P>, a: [P; 2], t: (u8, P), m: HashMap<u8, P>, "
        "r: Result<P, u8>, q: Result<u8, P>, e: Vec<E>, bb: Box<Box<P>>, bv: Box<Vec<Box<P>>> }";
    snprintf(remote, sizeof remote, "%s%s", v1, fields);
    snprintf(local, sizeof local, "%s%s", v2, fields);
#define P1(n) "{\"x\":9,\"y\":" #n "}"
#define P2(n) "{\"z\":null,\"y\":" #n "}"
#define VALUE(P, E)                                                                                                       \
    "{\"v\":[" P(1) "," P(2) "],\"o\":" P(3) ",\"b\":" P(4) ",\"a\":[" P(5) "," P(6) "],\"t\":[7," P(8) "],\"m\":[[1," P( \
        9) "],[2," P(10) "]],\"r\":{\"Ok\":" P(11) "},\"q\":{\"Err\":" P(12) "},\"e\":[" E "],"                           \
                                                                             "\"bb\":" P(13) ",\"bv\":[" P(               \
                                                                                 14) "]}"
    struct_becomes(
        remote, local,
        VALUE(P1, "{\"A\":" P1(20) "},{\"B\":{\"p\":" P1(21) ",\"q\":22}},{\"C\":[23," P1(24) "]}"),
        VALUE(P2, "{\"A\":" P2(20) "},{\"B\":{\"q\":22,\"p\":" P2(21) "}},{\"C\":[23," P2(24) "]}"));
}

/* Every kind of field that only the peer has: what follows must be found. */
Test(plan_decode, skips_every_kind) {
    static const struct {
        const char *type, *value;
    } kinds[] = {
        {"bool", "true"},
        {"u8", "255"},
        {"i8", "-128"},
        {"u16", "65535"},
        {"i16", "-32768"},
        {"u32", "4294967295"},
        {"i32", "-2147483648"},
        {"u64", "18446744073709551615"},
        {"i64", "-9223372036854775808"},
        {"u128", "340282366920938463463374607431768211455"},
        {"i128", "-170141183460469231731687303715884105728"},
        {"f32", "1.5"},
        {"f64", "-2.25"},
        {"char", "\"\xf0\x9f\xa6\x80\""},
        {"String", "\"some text\""},
        {"Vec<u8>", "[1,2,3,255]"},
        {"()", "null"},
        {"Option<u64>", "77777"},
        {"Option<u64>", "null"},
        {"Option<Option<String>>", "\"x\""},
        {"Vec<u32>", "[1,300,70000]"},
        {"Vec<Vec<String>>", "[[\"a\",\"b\"],[],[\"c\"]]"},
        {"Vec<()>", "[null,null,null]"},
        {"Vec<((), ())>", "[[null,null]]"},
        {"HashSet<u16>", "[1,2,3]"},
        {"BTreeSet<String>", "[\"q\"]"},
        {"HashMap<String, u64>", "{\"k\":500,\"l\":6}"},
        {"BTreeMap<u8, Vec<f32>>", "[[1,[1.0]],[2,[]]]"},
        {"[u32; 3]", "[1,1000,100000]"},
        {"[(); 5]", "[null,null,null,null,null]"},
        {"[String; 2]", "[\"x\",\"yz\"]"},
        {"Box<u64>", "99999"},
        {"(u8, String, f64)", "[1,\"two\",3.0]"},
        {"T", "[7,8]"},
        {"U", "null"},
        {"P", "{\"s\":\"in\",\"e\":{\"Named\":{\"x\":5,\"y\":\"why\"}}}"},
        {"E", "\"Unit\""},
        {"E", "{\"New\":65000}"},
        {"E", "{\"Pair\":[1,\"b\"]}"},
        {"E", "{\"Named\":{\"x\":1,\"y\":\"\"}}"},
        {"Result<u64, String>", "{\"Ok\":1234}"},
        {"Result<u64, String>", "{\"Err\":\"bad\"}"},
        {"Tree", "{\"v\":1,\"kids\":[{\"v\":2,\"kids\":[]},{\"v\":300,\"kids\":[{\"v\":4,\"kids\":[]}]}]}"},
        {"Chain", "{\"Link\":{\"Link\":\"End\"}}"},
    };
    static const char common[] =
        "struct T(u8, u16); struct U; enum E { Unit, New(u16), Pair(u8, String), "
        "Named { x: u8, y: String } }; struct P { s: String, e: E };"
        "struct Tree { v: u32, kids: Vec<Tree> }; enum Chain { End, Link(Box<Chain>) };";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char remote[512], theirs[512];
        snprintf(remote, sizeof remote, "%s struct S { before: u32, gone: %s, after: String }", common,
                 kinds[i].type);
        snprintf(theirs, sizeof theirs, "{\"before\":1000,\"gone\":%s,\"after\":\"here\"}", kinds[i].value);
        struct_becomes(remote, "struct S { before: u32, after: String }", theirs,
                       "{\"before\":1000,\"after\":\"here\"}");
        /* In front of everything, and behind. */
        snprintf(remote, sizeof remote, "%s struct S { gone: %s, b: u8, last: %s }", common, kinds[i].type,
                 kinds[i].type);
        snprintf(theirs, sizeof theirs, "{\"gone\":%s,\"b\":5,\"last\":%s}", kinds[i].value, kinds[i].value);
        struct_becomes(remote, "struct S { b: u8 }", theirs, "{\"b\":5}");
    }
}

/* Skipped by what Rust announces, which is not always what it is. */
Test(plan_decode, skips_distorted_types) {
    /* bytes<u32> is a list of u32; the second map looks like HashMap<K, K>; the second Result like Result<T,
     * T>. */
    struct_becomes("struct S { a: Vec<u8>, b: Vec<u32>, c: u8 }", "struct S { c: u8 }",
                   "{\"a\":[1,2],\"b\":[70000,80000],\"c\":5}", "{\"c\":5}");
    struct_becomes("struct S { a: HashMap<u32, u32>, b: HashMap<u32, String>, c: u8 }", "struct S { c: u8 }",
                   "{\"a\":[[1,2]],\"b\":[[1000,\"a long enough text\"]],\"c\":5}", "{\"c\":5}");
    struct_becomes("struct S { a: Result<u8, u8>, b: Result<u8, String>, c: u8 }", "struct S { c: u8 }",
                   "{\"a\":{\"Ok\":1},\"b\":{\"Err\":\"text\"},\"c\":5}", "{\"c\":5}");
    /* And translated: other fields of the same struct differ. */
    struct_becomes("struct S { a: HashMap<u32, u32>, b: HashMap<u32, String>, x: u8 }",
                   "struct S { b: HashMap<u32, String>, a: HashMap<u32, u32> }",
                   "{\"a\":[[1,2]],\"b\":[[1000,\"text\"]],\"x\":5}",
                   "{\"b\":[[1000,\"text\"]],\"a\":[[1,2]]}");
    struct_becomes("struct S { a: Vec<u8>, b: Vec<u32>, v: Vec<Vec<u8>>, x: u8 }",
                   "struct S { v: Vec<Vec<u8>>, b: Vec<u32>, a: Vec<u8> }",
                   "{\"a\":[1,2],\"b\":[70000],\"v\":[[1],[]],\"x\":5}",
                   "{\"v\":[[1],[]],\"b\":[70000],\"a\":[1,2]}");
    struct_becomes("struct S { b: Vec<u32>, a: Vec<u8> }", "struct S { a: Vec<u8>, b: Vec<u32> }",
                   "{\"b\":[70000],\"a\":[1,2]}", "{\"a\":[1,2],\"b\":[70000]}");
    /* Lengths of arrays are ours. */
    struct_becomes("struct S { a: [u16; 2], b: [u16; 3], x: u8 }", "struct S { b: [u16; 3], a: [u16; 2] }",
                   "{\"a\":[1,2],\"b\":[3,4,5],\"x\":1}", "{\"b\":[3,4,5],\"a\":[1,2]}");
}

Test(plan_decode, variants_by_name) {
    side three = {"enum E { A, B(u8), C { x: u8, y: u16 } }", "Vec<E>", NULL},
         turned = {"enum E { C { y: u16 }, Z, A, B(u8) }", "Vec<E>", NULL},
         two = {"enum E { A, B(u8) }", "(u8, Vec<E>)", NULL},
         more = {"enum E { A, New(String), B(u8) }", "(u8, Vec<E>)", NULL};
    becomes(three, turned, "[\"A\",{\"B\":7},{\"C\":{\"x\":1,\"y\":500}}]",
            "[\"A\",{\"B\":7},{\"C\":{\"y\":500}}]");
    becomes(more, two, "[1,[\"A\",{\"B\":7}]]", "[1,[\"A\",{\"B\":7}]]");
    fails(more, two, "[1,[\"A\",{\"New\":\"x\"}]]", CHOIR_ERR_MALFORMED,
          "args.1[1]: the peer sent variant \"New\" of enum E, which ours does not have");
    fails((side){"enum Status { Active, Inactive, Suspended }", "(Status,)", NULL},
          (side){"enum Status { Active, Inactive }", "(Status,)", NULL}, "[\"Suspended\"]",
          CHOIR_ERR_MALFORMED,
          "args.0: the peer sent variant \"Suspended\" of enum Status, which ours does not have");
    /* Inside what is skipped nobody minds. */
    becomes((side){"enum E { A, New(String) }; struct S { e: E, b: u8 }", "S", NULL},
            (side){"enum E { A }; struct S { b: u8 }", "S", NULL}, "{\"e\":{\"New\":\"x\"},\"b\":5}",
            "{\"b\":5}");
}

Test(plan_decode, recursive_types) {
    side tree1 = {"struct Tree { x: u8, v: u32, kids: Vec<Tree> }", "Tree", NULL},
         tree2 = {"struct Tree { kids: Vec<Tree>, v: u32, n: Option<String> }", "Tree", NULL};
    becomes(
        tree1, tree2,
        "{\"x\":1,\"v\":2,\"kids\":[{\"x\":3,\"v\":4,\"kids\":[]},{\"x\":5,\"v\":6,\"kids\":[]}]}",
        "{\"kids\":[{\"kids\":[],\"v\":4,\"n\":null},{\"kids\":[],\"v\":6,\"n\":null}],\"v\":2,\"n\":null}");
    becomes((side){"struct N { v: u8, next: Option<Box<N>> }", "N", NULL},
            (side){"struct N { next: Option<Box<N>>, v: u8 }", "N", NULL},
            "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"next\":null}}}",
            "{\"next\":{\"next\":{\"next\":null,\"v\":3},\"v\":2},\"v\":1}");
    becomes((side){"struct M { v: u8, w: u8, in: HashMap<String, M> }", "M", NULL},
            (side){"struct M { in: HashMap<String, M>, v: u8 }", "M", NULL},
            "{\"v\":1,\"w\":2,\"in\":{\"a\":{\"v\":3,\"w\":4,\"in\":{}}}}",
            "{\"in\":{\"a\":{\"in\":{},\"v\":3}},\"v\":1}");
    becomes(
        (side){"struct Aa { n: u8, b: Option<Box<Bb>> }; struct Bb { s: String, a: Vec<Aa>, x: u8 }", "Aa",
               NULL},
        (side){"struct Aa { b: Option<Box<Bb>>, n: u8 }; struct Bb { s: String, a: Vec<Aa> }", "Aa", NULL},
        "{\"n\":1,\"b\":{\"s\":\"t\",\"a\":[{\"n\":2,\"b\":null}],\"x\":9}}",
        "{\"b\":{\"s\":\"t\",\"a\":[{\"b\":null,\"n\":2}]},\"n\":1}");
}

/* Deeper than a value may be: an error, in what is kept and in what is skipped. */
Test(plan_decode, depth) {
    static const char *const locals[] = {"struct N { next: Option<Box<N>>, v: u8 }", "struct N { v: u8 }"};
    for (int skips = 0; skips < 2; skips++) {
        translation t;
        void *value;
        size_t left;
        uint8_t bytes[400];
        int status = translation_open(&t, (side){"struct N { v: u8, next: Option<Box<N>> }", "N", NULL},
                                      (side){locals[skips], "N", NULL});
        cr_assert_eq(status, CHOIR_OK, "%s", t.m.text.data);
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = i % 2 == 0 ? 7 : 1;
        status = decode_ours(&t, (choir_bytes){bytes, sizeof bytes}, &value, &left);
        cr_assert_eq(status, CHOIR_ERR_DEPTH, "%d", status);
        cr_assert(strstr(t.m.text.data, "nested more than 64 deep"));
        bytes[5] = 0;
        cr_assert_eq(decode_ours(&t, (choir_bytes){bytes, 6}, &value, &left), CHOIR_OK);
        translation_close(&t);
    }
}

/* The limit is that of values which need no plan, to the level. */
Test(plan_decode, depth_is_the_same_as_without_a_plan) {
    static const side remote = {"struct N { v: u8, next: Option<Box<N>> }", "N", NULL},
                      turned = {"struct N { next: Option<Box<N>>, v: u8 }", "N", NULL},
                      skipping = {"struct N { v: u8 }", "N", NULL};
    size_t deepest[3] = {0};
    for (int k = 0; k < 3; k++) {
        translation t;
        uint8_t bytes[200];
        cr_assert_eq(translation_open(&t, remote, k == 0 ? remote : k == 1 ? turned : skipping), CHOIR_OK);
        for (size_t levels = 1; levels < 100; levels++) {
            void *value;
            size_t left;
            for (size_t i = 0; i < levels; i++) {
                bytes[2 * i] = 7;
                bytes[2 * i + 1] = i + 1 < levels;
            }
            if (decode_ours(&t, (choir_bytes){bytes, 2 * levels}, &value, &left) != CHOIR_OK) break;
            deepest[k] = levels;
        }
        translation_close(&t);
    }
    cr_assert_eq(deepest[0], deepest[1]);
    /* What is skipped has no boxes to count. */
    cr_assert_gt(deepest[2], deepest[0]);
    cr_assert_leq(deepest[2], CHOIRI_VALUE_DEPTH / 2 + 1);
}

/* Work and memory follow the bytes, not the numbers in them. */
Test(plan_decode, counts) {
    static const struct {
        const char *remote, *local;
        int status; /* of 2^32 elements that are not there */
    } cases[] = {
        {"struct S { gone: Vec<()>, b: u8 }", "struct S { b: u8 }", CHOIR_ERR_MALFORMED},
        {"struct S { gone: Vec<u8>, b: u8 }", "struct S { b: u8 }", CHOIR_ERR_TRUNCATED},
        {"struct S { gone: Vec<u64>, b: u8 }", "struct S { b: u8 }", CHOIR_ERR_TRUNCATED},
        {"struct P { x: u8 }; struct S { gone: Vec<[P; 1000]>, b: u8 }", "struct S { b: u8 }",
         CHOIR_ERR_TRUNCATED},
        {"struct P { }; struct S { kept: Vec<P>, b: u8 }",
         "struct P { x: Option<u64> }; struct S { kept: Vec<P>, b: u8 }", CHOIR_ERR_MALFORMED},
        {"struct P { x: u8 }; struct S { kept: Vec<P>, b: u8 }",
         "struct P { x: u8, y: Option<u8> }; struct S { kept: Vec<P>, b: u8 }", CHOIR_ERR_TRUNCATED},
    };
    static const uint8_t many[] = {0x80, 0x80, 0x80, 0x80, 0x10, 1, 1};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        translation t;
        void *value;
        size_t left;
        cr_assert_eq(
            translation_open(&t, (side){cases[i].remote, "S", NULL}, (side){cases[i].local, "S", NULL}),
            CHOIR_OK);
        int status = decode_ours(&t, (choir_bytes){many, sizeof many}, &value, &left);
        cr_assert_eq(status, cases[i].status, "%zu: %d %s", i, status, t.m.text.data);
        translation_close(&t);
    }
}

/* Lists of lists of nothing: a few bytes that name billions of elements. */
Test(plan_decode, lists_of_nothing) {
    translation t;
    void *value;
    size_t left;
    side remote = {"struct P { }; struct S { gone: Vec<Vec<Vec<()>>>, kept: Vec<Vec<P>> }", "S", NULL},
         local = {"struct P { o: Option<u64> }; struct S { kept: Vec<Vec<P>> }", "S", NULL};
    cr_assert_eq(translation_open(&t, remote, local), CHOIR_OK, "%s", t.m.text.data);
    uint8_t bytes[2000];
    size_t len = 0;
    bytes[len++] = 1;
    bytes[len++] = 100;
    for (int i = 0; i < 100; i++) { /* 65536 elements each, which are not looked at */
        bytes[len++] = 0x80;
        bytes[len++] = 0x80;
        bytes[len++] = 0x04;
    }
    bytes[len++] = 2;
    bytes[len++] = 3;
    bytes[len++] = 1;
    cr_assert_eq(decode_ours(&t, (choir_bytes){bytes, len}, &value, &left), CHOIR_OK, "%s", t.m.text.data);
    cr_assert_eq(left, 0);
    choir_str json = print_ours(&t, value);
    cr_assert_str_eq(json.data, "{\"kept\":[[{\"o\":null},{\"o\":null},{\"o\":null}],[{\"o\":null}]]}");
    /* Those that take memory here are bounded by it. */
    len = 0;
    bytes[len++] = 0;
    bytes[len++] = 100;
    for (int i = 0; i < 100; i++) {
        bytes[len++] = 0x80;
        bytes[len++] = 0x80;
        bytes[len++] = 0x04;
    }
    t.memory.arena.limit = t.memory.arena.used + choiri_value_arena_limit(len);
    cr_assert_eq(decode_ours(&t, (choir_bytes){bytes, len}, &value, &left), CHOIR_ERR_TOO_LARGE);
    translation_close(&t);
}

Test(plan_decode, texts) {
    translation t;
    void *value;
    size_t left;
    side remote = {"struct P { gone: String, n: u64, v: Vec<u32> }; struct S { entries: Vec<P> }", "(u8, S)",
                   NULL},
         local = {"struct P { v: Vec<u32>, n: u64 }; struct S { entries: Vec<P> }", "(u8, S)", NULL};
    cr_assert_eq(translation_open(&t, remote, local), CHOIR_OK);
    cr_assert_eq(decode_ours(&t, (choir_bytes){(const uint8_t *)"\x01\x01\x03xy", 5}, &value, &left),
                 CHOIR_ERR_TRUNCATED);
    cr_assert_str_eq(t.m.text.data, "args.1.entries[0]: truncated field that ours does not have");
    cr_assert_eq(decode_ours(&t, (choir_bytes){(const uint8_t *)"\x01\x01\x01x\x80", 5}, &value, &left),
                 CHOIR_ERR_TRUNCATED);
    cr_assert_str_eq(t.m.text.data, "args.1.entries[0].n: truncated u64");
    cr_assert_eq(decode_ours(&t, (choir_bytes){(const uint8_t *)"\x01", 1}, &value, &left),
                 CHOIR_ERR_TRUNCATED);
    cr_assert_str_eq(t.m.text.data, "args.1.entries: truncated list");
    cr_assert_eq(
        decode_ours(&t, (choir_bytes){(const uint8_t *)"\x01\x01\x01x\x05\x02\x07\xff", 8}, &value, &left),
        CHOIR_ERR_TRUNCATED);
    cr_assert_str_eq(t.m.text.data, "args.1.entries[0].v[1]: truncated u32");
    translation_close(&t);
    /* The peer's own number of a variant is out of its range. */
    cr_assert_eq(translation_open(&t, (side){"enum E { B, A }", "(E,)", NULL},
                                  (side){"enum E { A, B }", "(E,)", NULL}),
                 CHOIR_OK);
    cr_assert_eq(decode_ours(&t, (choir_bytes){(const uint8_t *)"\x02", 1}, &value, &left),
                 CHOIR_ERR_MALFORMED);
    cr_assert_str_eq(t.m.text.data, "args.0: malformed E");
    translation_close(&t);
}

/* A plan of a response has two roots, and the driver reads what is around them. */
Test(plan_decode, responses) {
    translation t;
    static const char v1[] = "struct P { x: u8, y: u8 }; struct E { code: u8, why: String }",
                      v2[] = "struct P { y: u8 }; struct E { why: String, hint: Option<u8> }";
    int status = translation_open(&t, (side){v1, "P", "E"}, (side){v2, "P", "E"});
    cr_assert_eq(status, CHOIR_OK, "%s", t.m.text.data);
    for (uint32_t which = 0; which < 2; which++) {
        uint32_t type = which == 0 ? t.ours.root.ok : t.ours.root.err;
        void *value = choir_arena_alloc(&t.memory, t.ours.ts->types[type].size, 16);
        choiri_reader r = choiri_reader_of((choir_bytes){(const uint8_t *)"\x05\x02hi", which == 0 ? 2 : 4});
        choir_str json;
        status =
            choiri_plan_decode(t.plan, which, &r, t.ours.root.unit, type, &t.memory.arena, value, &t.m.text);
        cr_assert_eq(status, CHOIR_OK, "%s", t.m.text.data);
        cr_assert_eq(choir_value_to_json(t.ours.root.unit, type, value, &t.memory, &json), CHOIR_OK);
        cr_assert_str_eq(json.data, which == 0 ? "{\"y\":2}" : "{\"why\":\"hi\",\"hint\":null}");
    }
    translation_close(&t);
    /* One of them only. */
    cr_assert_eq(translation_open(&t, (side){v1, "P", "u8"}, (side){v2, "P", "u8"}), CHOIR_OK);
    cr_assert(t.plan && t.plan->roots[0] != CHOIRI_PLAN_NONE && t.plan->roots[1] == CHOIRI_PLAN_NONE);
    translation_close(&t);
    /* The root of a first answer that was InvalidPayload, and T has changed. */
    cr_assert_eq(translation_open(&t, (side){v1, "P", "!"}, (side){v2, "P", "E"}), CHOIR_OK, "%s",
                 t.m.text.data);
    cr_assert(t.plan && t.plan->roots[0] != CHOIRI_PLAN_NONE && t.plan->roots[1] == CHOIRI_PLAN_NONE);
    translation_close(&t);
}

/* --- memory --- */

Test(plan_decode, no_memory) {
    uint64_t n = 0, failed;
    do {
        translation t;
        choiri_plan *plan;
        side remote = {"struct Tree { x: u8, v: u32, kids: Vec<Tree> }; enum E { Old(Tree), B }",
                       "(E, Vec<Tree>)", NULL},
             local = {
                 "struct Tree { kids: Vec<Tree>, v: u32, n: Option<String> }; enum E { B, C, Old(Tree) }",
                 "(E, Vec<Tree>)", NULL};
        cr_assert_eq(translation_open(&t, remote, local), CHOIR_OK);
        const choiri_plan_input in = {
            t.m.s.env, &t.m.t,          t.theirs.announcement.root, &t.ours.root, &t.ours.announcement,
            false,     CHOIRI_PLAN_ENDS};
        t.m.s.alloc.fail_at = t.m.s.alloc.calls + ++n;
        int status = choiri_plan_make(&in, &plan, NULL, &t.m.text);
        failed = t.m.s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK, "%d %s", status, t.m.text.data);
        cr_assert_eq(status == CHOIR_OK, plan != NULL);
        choiri_plan_free(t.m.s.env, plan);
        translation_close(&t);
    } while (failed > 0);
    cr_assert_geq(n, 2);
}

/* As many fields as the steps allow, and more. */
Test(plan_decode, size) {
    match m;
    choir_bytes root;
    match_open(&m);
    party ours = types_open(&m, &(side){"struct S { x: u8 }", "S", NULL});
    for (int fields = 4000; fields <= 12000; fields += 8000) {
        test_cbor_text c = {0};
        choiri_plan *plan = NULL;
        test_put_head(&c, 5, 2);
        test_put_word(&c, "schemas");
        test_put_head(&c, 4, 2);
        test_put_item(&c, "{id: 2, kind: {tag: primitive, primitive_type: u8}}");
        test_put_head(&c, 5, 2);
        test_put_item(&c, "id");
        test_put_head(&c, 0, (uint64_t)fields);
        test_put_item(&c, "kind");
        test_put_head(&c, 5, 3);
        test_put_item(&c, "tag");
        test_put_item(&c, "struct");
        test_put_item(&c, "name");
        test_put_item(&c, "S");
        test_put_item(&c, "fields");
        test_put_head(&c, 4, (uint64_t)fields + 1);
        for (int i = 0; i < fields; i++)
            test_put_item(&c, "{name: g, type_ref: {tag: concrete, type_id: 2}, required: true}");
        test_put_item(&c, "{name: x, type_ref: {tag: concrete, type_id: 2}, required: true}");
        test_put_word(&c, "root");
        test_put_item(&c,
                      fields == 4000 ? "{tag: concrete, type_id: 4000}" : "{tag: concrete, type_id: 12000}");
        int status = choiri_recv_tracker_add(&m.t, (choir_bytes){c.data, c.len}, &root, &m.text);
        if (status == CHOIR_OK)
            status = make_plan(&m, &m.t, root, &ours.root, &ours.announcement, false, &plan);
        printf("%d fields: status %d, %u steps, %zu bytes\n", fields, status, m.facts.steps,
               choiri_plan_size(plan));
        cr_assert_eq(status, fields == 4000 ? CHOIR_OK : CHOIR_ERR_TOO_LARGE, "%s", m.text.data);
        choiri_plan_free(m.s.env, plan);
        free(c.data);
    }
    types_close(&ours);
    match_close(&m);
}

static int count_bind(void *ctx, const choir_binding_site *site, uint64_t number, void *ret_handle) {
    cr_assert_eq(site->kind, CHOIR_KIND_RX);
    *(uint64_t *)ret_handle = number + 1000;
    ++*(uint32_t *)ctx;
    return number == 66 ? CHOIR_ERR_TOO_LARGE : CHOIR_OK;
}

/* Ends that both sides know are bound, one that only the peer has is skipped with its field. */
Test(plan_decode, ends_are_bound) {
    translation t;
    uint32_t bound = 0;
    const choir_binder binder = {.size = sizeof binder, .ctx = &bound, .bind = count_bind};
    cr_assert_eq(translation_open(&t, (side){"struct S { gone: Tx<u8>, a: u8, keep: Rx<u8> }", "S", NULL},
                                  (side){"struct S { keep: Rx<u8>, a: u8 }", "S", NULL}),
                 CHOIR_OK, "%s", t.m.text.data);
    cr_assert(t.plan);
    struct {
        choir_rx keep;
        uint8_t a;
    } value;
    for (uint8_t number = 65; number <= 66; number++) {
        const uint8_t bytes[] = {5, 7, number};
        choiri_reader r = choiri_reader_of((choir_bytes){bytes, sizeof bytes});
        r.binder = &binder;
        int status = choiri_plan_decode(t.plan, CHOIRI_PLAN_ROOT, &r, t.ours.root.unit, t.ours.root.type,
                                        &t.memory.arena, &value, &t.m.text);
        cr_assert_eq(status, number == 65 ? CHOIR_OK : CHOIR_ERR_TOO_LARGE, "%s", t.m.text.data);
        cr_assert_eq(bound, number - 64u);
        if (number == 65) cr_assert(value.keep.v == 1065 && value.a == 7);
    }
    cr_assert_str_eq(t.m.text.data, "keep: rx cannot be bound: over a size limit");
    translation_close(&t);
}
