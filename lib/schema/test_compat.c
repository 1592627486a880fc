/* SPDX-License-Identifier: MIT */
/* Compatibility reports: single roots by the rules, and the Testbed against its evolved form as a whole. */
#include "schema/compat.h"
#include "schema/test_plan.h"
#include "schema_vectors.h"

static void check(side before, side after, choiri_reads new_reads_old, choiri_reads old_reads_new) {
    match m;
    choiri_compat c;
    match_open(&m);
    party a = types_open(&m, &before), b = types_open(&m, &after);
    cr_assert_eq(choiri_compat_roots(m.s.env, &a.root, &b.root, &c), CHOIR_OK);
    cr_assert_eq(c.new_reads_old.reads, new_reads_old, "%s: %d %s", after.declarations, c.new_reads_old.reads,
                 c.new_reads_old.text.data);
    cr_assert_eq(c.old_reads_new.reads, old_reads_new, "%s: %d %s", after.declarations, c.old_reads_new.reads,
                 c.old_reads_new.text.data);
    for (int i = 0; i < 2; i++) {
        const choiri_compat_way *w = i == 0 ? &c.new_reads_old : &c.old_reads_new;
        cr_assert_eq(w->text.len > 0, w->reads >= CHOIRI_READS_PARTLY, "%s", w->text.data);
    }
    types_close(&a);
    types_close(&b);
    match_close(&m);
}

#define SIDE(declarations) ((side){declarations, "(S,)", NULL})

Test(compat, roots) {
    check(SIDE("struct S { a: u8 }"), SIDE("struct S { a: u8 }"), CHOIRI_READS_SAME, CHOIRI_READS_SAME);
    check(SIDE("struct S { a: u8 }"), SIDE("struct S { a: u8, b: Option<u8> }"), CHOIRI_READS_TRANSLATED,
          CHOIRI_READS_TRANSLATED);
    check(SIDE("struct S { a: u8 }"), SIDE("struct S { a: u8, b: u8 }"), CHOIRI_READS_NOT,
          CHOIRI_READS_TRANSLATED);
    check(SIDE("struct S { a: u8, b: u8 }"), SIDE("struct S { a: u8 }"), CHOIRI_READS_TRANSLATED,
          CHOIRI_READS_NOT);
    check(SIDE("struct S { a: u8, b: u8 }"), SIDE("struct S { b: u8, a: u8 }"), CHOIRI_READS_TRANSLATED,
          CHOIRI_READS_TRANSLATED);
    check(SIDE("struct S { a: u8 }"), SIDE("struct S { a: u16 }"), CHOIRI_READS_NOT, CHOIRI_READS_NOT);
    check(SIDE("enum E { A }; struct S { e: E }"), SIDE("enum E { A, B }; struct S { e: E }"),
          CHOIRI_READS_SAME, CHOIRI_READS_PARTLY);
    check(SIDE("struct S { a: u8 }"), (side){"struct T { a: u8 }", "(T,)", NULL}, CHOIRI_READS_NOT,
          CHOIRI_READS_NOT);
}

/* The texts speak of versions, without quotes and type ids; and vox only where it differs from us. */
static void check_texts(side before, side after, const char *new_reads_old, const char *old_reads_new,
                        bool new_vox_differs, bool old_vox_differs) {
    match m;
    choiri_compat c;
    match_open(&m);
    party a = types_open(&m, &before), b = types_open(&m, &after);
    cr_assert_eq(choiri_compat_roots(m.s.env, &a.root, &b.root, &c), CHOIR_OK);
    cr_assert_str_eq(c.new_reads_old.text.data, new_reads_old);
    cr_assert_str_eq(c.old_reads_new.text.data, old_reads_new);
    cr_assert_eq(choiri_compat_vox_differs(&c.new_reads_old), new_vox_differs, "%s",
                 c.new_reads_old.vox_text.data);
    cr_assert_eq(choiri_compat_vox_differs(&c.old_reads_new), old_vox_differs, "%s",
                 c.old_reads_new.vox_text.data);
    types_close(&a);
    types_close(&b);
    match_close(&m);
}

Test(compat, texts) {
    check_texts(SIDE("struct S { a: u8 }"), SIDE("struct S { a: u8, b: u8 }"),
                "args.0.b: missing in the old version of struct S", "", false, false);
    check_texts(SIDE("struct S { a: u8, b: u8 }"), SIDE("struct S { a: u8 }"), "",
                "args.0.b: missing in the new version of struct S", false, false);
    check_texts(SIDE("struct S { a: u8 }"), SIDE("struct S { a: u16 }"),
                "args.0.a: u8 in the old version, u16 in the new version",
                "args.0.a: u8 in the old version, u16 in the new version", false, false);
    check_texts(SIDE("enum S { A(u8) }"), SIDE("enum S { A }"),
                "args.0.A: of another shape in the old version of enum S",
                "args.0.A: of another shape in the new version of enum S", false, false);
    check_texts(SIDE("enum S { A }"), SIDE("enum S { A, B, C }"), "", "variant B in args.0", false, false);
    check_texts((side){"enum S { A }", "S", NULL}, (side){"enum S { A, B }", "S", NULL}, "", "variant B",
                false, false);
    check_texts(SIDE("struct S { a: u8 }"), SIDE("struct S { a: u8, b: Option<u8> }"), "", "", true, false);
    check_texts(SIDE("enum S { A { x: u8 } }"), SIDE("enum S { A { x: u8, y: u8 } }"),
                "args.0.A.y: missing in the old version of enum S", "", true, false);
    check_texts(SIDE("struct S { k: Vec<S> }"), SIDE("struct S { k: Vec<S> }"), "", "", true, true);
}

Test(compat, unknowns) {
    match m;
    choiri_compat c;
    match_open(&m);
    party a = types_open(&m, &SIDE("enum E { A }; struct S { a: E, b: Vec<E> }")),
          b = types_open(&m, &SIDE("enum E { A, B, C }; struct S { a: E, b: Vec<E> }"));
    cr_assert_eq(choiri_compat_roots(m.s.env, &a.root, &b.root, &c), CHOIR_OK);
    cr_assert_eq(c.old_reads_new.unknowns, 2, "each variant once"); /* the pair of types is compared once */
    cr_assert_eq(c.new_reads_old.unknowns, 0);
    types_close(&a);
    types_close(&b);
    match_close(&m);
}

/* Plans do not compare lengths, because those that are announced may be wrong. A report knows the true
 * ones. */
Test(compat, arrays) {
    static const char why[] = "args.0.a: the array has another length, and lengths are not compared";
    check(SIDE("struct S { a: [u8; 2] }"), SIDE("struct S { a: [u8; 2] }"), CHOIRI_READS_SAME,
          CHOIRI_READS_SAME);
    check(SIDE("struct S { a: [u8; 2], b: [u8; 3] }"), SIDE("struct S { b: [u8; 3], a: [u8; 2] }"),
          CHOIRI_READS_TRANSLATED, CHOIRI_READS_TRANSLATED);
    check(SIDE("struct S { a: [u8; 2] }"), SIDE("struct S { a: [u8; 3] }"), CHOIRI_READS_NOT,
          CHOIRI_READS_NOT);
    check(SIDE("struct S { b: u8, a: [u8; 2] }"), SIDE("struct S { b: u8 }"), CHOIRI_READS_TRANSLATED,
          CHOIRI_READS_NOT);
    check(SIDE("struct S { b: [u8; 3], a: [u8; 2] }"), SIDE("struct S { b: [u8; 3] }"), CHOIRI_READS_NOT,
          CHOIRI_READS_NOT);
    check(SIDE("enum E { A, B }; struct S { e: E, a: [u8; 2] }"),
          SIDE("enum E { A }; struct S { e: E, a: [u8; 3] }"), CHOIRI_READS_NOT, CHOIRI_READS_NOT);
    check_texts(SIDE("struct S { a: [u8; 2] }"), SIDE("struct S { a: [u8; 3] }"), why, why, false, false);
}

typedef struct report {
    char text[4096];
    size_t len;
    size_t most; /* methods after which to stop */
    size_t methods;
} report;

static void write_way(report *r, const char *name, const choiri_compat_way *w) {
    static const char *const words[] = {"same", "translated", "partly", "not"};
    r->len += (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, " %s %s", name, words[w->reads]);
}

static bool write_method(void *ctx, const choiri_compat_method *m) {
    static const char *const words[] = {"same",     "both",  "new calls", "old calls",
                                        "breaking", "added", "removed"};
    report *r = ctx;
    r->methods++;
    r->len += (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, "%.*s: %s%s", (int)m->name.len,
                               m->name.data, words[m->verdict], m->is_partial ? " partial" : "");
    if (m->verdict < CHOIRI_COMPAT_ADDED && m->verdict != CHOIRI_COMPAT_SAME) {
        write_way(r, "args", &m->args.new_reads_old);
        write_way(r, "/", &m->args.old_reads_new);
        write_way(r, "response", &m->response.new_reads_old);
        write_way(r, "/", &m->response.old_reads_new);
    }
    r->len += (size_t)snprintf(r->text + r->len, sizeof r->text - r->len, "\n");
    return r->methods != r->most;
}

static const char changed[] =
    "echo_profile: both args translated / translated response translated / translated\n"
    "echo_record: both args translated / translated response translated / translated\n"
    "echo_status: both partial args same / partly response same / partly\n"
    "echo_tag: breaking args translated / not response translated / not\n"
    "echo_measurement: breaking args not / not response not / not\n"
    "echo_config: breaking args not / translated response not / translated\n";

Test(compat, testbed) {
    schema_env s;
    choiri_text text;
    report r = {0};
    schema_env_open(&s);
    cr_assert_eq(choiri_compat_services(s.env, &testbed_evolved, &testbed, write_method, &r, &text),
                 CHOIR_OK);
    cr_assert(strstr(r.text, "echo: added\n") && strstr(r.text, "sum: added\n"), "%s", r.text);
    r = (report){0};
    cr_assert_eq(choiri_compat_services(s.env, &testbed, &testbed_evolved, write_method, &r, &text),
                 CHOIR_OK);
    cr_assert_eq(r.methods, testbed.methods_len);
    cr_assert(strstr(r.text, "echo: removed\n"), "%s", r.text);
    cr_assert(strstr(r.text, changed), "%s", r.text);
    r = (report){.most = 3};
    cr_assert_eq(choiri_compat_services(s.env, &testbed, &testbed, write_method, &r, &text), CHOIR_OK);
    cr_assert_str_eq(r.text, "echo: same\nreverse: same\ndivide: same\n");
    schema_env_close(&s);
}

/* A service with one method, in parts. */
typedef struct service {
    choir_method method;
    choir_service service;
} service;

static const choir_service *make_service(party *p, service *s, const char *ok, const char *err) {
    uint32_t name = test_types_string(p->ts, "Svc"), method = test_types_string(p->ts, "go");
    s->method = (choir_method){.name = method,
                               .args = p->root.type,
                               .ok = test_types_find(p->ts, ok),
                               .err = test_types_find(p->ts, err),
                               .id = choiri_method_id(CHOIR_STR("Svc"), CHOIR_STR("go"))};
    s->service = (choir_service){&p->ts->unit, name, 1, &s->method};
    return &s->service;
}

static void check_method(side before, const char *ok, side after, const char *new_ok, const char *expected) {
    match m;
    choiri_text text;
    report r = {0};
    service a, b;
    match_open(&m);
    party old = types_open(&m, &before), new = types_open(&m, &after);
    int status = choiri_compat_services(m.s.env, make_service(&old, &a, ok, "!"),
                                        make_service(&new, &b, new_ok, "!"), write_method, &r, &text);
    cr_assert_eq(status, CHOIR_OK, "%d %s", status, text.data);
    cr_assert(strstr(r.text, expected) == r.text, "%s instead of %s", r.text, expected);
    types_close(&old);
    types_close(&new);
    match_close(&m);
}

Test(compat, one_way) {
    static const char v1[] = "struct S { a: u8 }; struct R { x: u8 }",
                      more_args[] = "struct S { a: u8, b: u8 }; struct R { x: u8 }",
                      more_answer[] = "struct S { a: u8 }; struct R { x: u8, y: u8 }",
                      both[] = "struct S { a: u8, b: u8 }; struct R { x: u8, y: u8 }";
    check_method(SIDE(v1), "R", SIDE(more_args), "R", "go: new calls");
    check_method(SIDE(v1), "R", SIDE(more_answer), "R", "go: old calls");
    check_method(SIDE(more_answer), "R", SIDE(v1), "R", "go: new calls");
    check_method(SIDE(v1), "R", SIDE(both), "R", "go: breaking");
    check_method(SIDE(v1), "R", SIDE(v1), "S", "go: breaking");
}

/* Items of channels have no plans. */
Test(compat, channels) {
    static const char v1[] = "struct S { a: u8 }", v2[] = "struct S { a: u8, b: Option<u8> }",
                      e1[] = "enum S { A }", e2[] = "enum S { A, B }";
    check_method((side){v1, "(S, Tx<u8>)", NULL}, "()", (side){v1, "(S, Tx<u8>)", NULL}, "()", "go: same");
    check_method((side){v1, "(S, u8)", NULL}, "()", (side){v2, "(S, u8)", NULL}, "()", "go: both");
    check_method((side){v1, "(u8, Tx<S>)", NULL}, "()", (side){v2, "(u8, Tx<S>)", NULL}, "()",
                 "go: breaking args same / same response not / not");
    check_method((side){v1, "(u8, Rx<S>)", NULL}, "()", (side){v2, "(u8, Rx<S>)", NULL}, "()",
                 "go: breaking args not / not");
    check_method((side){e1, "(Tx<S>,)", NULL}, "()", (side){e2, "(Tx<S>,)", NULL}, "()",
                 "go: new calls args same / same response same / not");
    check_method((side){e1, "(Rx<S>,)", NULL}, "()", (side){e2, "(Rx<S>,)", NULL}, "()",
                 "go: old calls args same / not response same / same");
    check_method((side){v1, "(Tx<S>,)", NULL}, "()", (side){v1, "(Rx<S>,)", NULL}, "()",
                 "go: breaking args not / not");
}

Test(compat, no_memory) {
    uint64_t n = 0, failed;
    do {
        match m;
        choiri_compat c;
        match_open(&m);
        party a = types_open(&m, &SIDE("struct S { a: u8, b: Vec<S> }")),
              b = types_open(&m, &SIDE("struct S { b: Vec<S>, c: Option<u8>, a: u8 }"));
        m.s.alloc.fail_at = m.s.alloc.calls + ++n;
        int status = choiri_compat_roots(m.s.env, &a.root, &b.root, &c);
        failed = m.s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        types_close(&a);
        types_close(&b);
        match_close(&m);
    } while (failed > 0);
    cr_assert_gt(n, 4);
}
