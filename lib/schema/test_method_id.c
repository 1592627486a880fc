/* SPDX-License-Identifier: MIT */
/* Method ids against what Rust's service macro computes. */
#include "base/blake3.h"
#include "schema/service.h"
#include "schema/test_schema.h"
#include "schema_vectors.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static choir_str str(const char *s) {
    return (choir_str){s, strlen(s)};
}

/* Is the name one that needs Unicode's case tables? The only kind that differs; choir-gen has them, and
 * preparing trusts it. */
static bool has_wide_capitals(const char *name) {
    return strstr(name, "Ü") || strstr(name, "Ñ") || strstr(name, "Σ");
}

Test(method_id, rust_names) {
    int equal = 0;
    for (size_t i = 0; i < rust_method_ids_count; i++) {
        const schema_vector_method_id *m = &rust_method_ids[i];
        uint64_t id = choiri_method_id(str(m->service), str(m->method));
        if (has_wide_capitals(m->method)) {
            cr_assert_neq(id, m->id, "%s needs no case tables after all", m->method);
            continue;
        }
        cr_assert_eq(id, m->id, "%s.%s", m->service, m->method);
        equal++;
    }
    printf("method ids as Rust computes them: %d of %d\n", equal, rust_method_ids_count);
    cr_assert_eq(equal, 41);
}

Test(method_id, testbed) {
    for (uint32_t i = 0; i < testbed.methods_len; i++) {
        choir_str name = choir_method_name(&testbed, i);
        cr_assert_eq(choiri_method_id(choir_service_name(&testbed), name), testbed.methods[i].id, "%s",
                     name.data);
    }
    cr_assert_eq(testbed.methods_len, 36);
}

static void kebab_is(const char *name, const char *kebab) {
    choiri_blake3 h;
    choiri_blake3_init(&h);
    choiri_blake3_update(&h, "s.", 2);
    choiri_blake3_update(&h, kebab, strlen(kebab));
    cr_assert_eq(choiri_method_id(CHOIR_STR("S"), str(name)), choiri_blake3_final_u64(&h), "%s is not %s",
                 name, kebab);
}

Test(method_id, edges) {
    kebab_is("", "");
    kebab_is("_", "");
    kebab_is("___", "");
    kebab_is("a", "a");
    kebab_is("A", "a");
    kebab_is("1", "1");
    kebab_is("aB", "a-b");
    kebab_is("Ab", "ab");
    kebab_is("AB", "ab");
    kebab_is("ABc", "a-bc");
    kebab_is("a1B", "a1-b");
    kebab_is("A1b", "a1b");
    kebab_is("1B", "1b");
    kebab_is("1Bc", "1bc");
    kebab_is("a-b.c d", "a-b-c-d");
    kebab_is("r#type", "r-type");
    kebab_is("loadTemplate", "load-template");
    kebab_is("\303\251clair", "\303\251clair");
}

/* The library cannot compute the ids of such names, so it takes what the generator says. */
Test(method_id, other_letters_are_trusted) {
    static const choir_type unit_type = {.kind = CHOIR_KIND_UNIT, .align = 1};
    static const char strings[] = "\0S\0\303\234nder_\303\221\0Ascii";
    const choir_unit u = {CHOIR_UNIT_HEADER, .types_len = 1, .strings_len = sizeof strings,
                          .types = &unit_type, .strings = strings};
    choir_method m = {.name = 3, .id = 0x8fdc3d64171c96cb};
    const choir_service s = {&u, 1, 1, &m};
    const choiri_prepared *made;
    choiri_text text;
    schema_env e;
    schema_env_open(&e);
    cr_assert_eq(choiri_prepare(e.env, &s, &made, &text), CHOIR_OK, "%s", text.data);
    cr_assert_eq(choiri_prepared_lookup(made, m.id), 0);
    schema_env_close(&e);
    schema_env_open(&e);
    m.name = 13;
    cr_assert_eq(choiri_prepare(e.env, &s, &made, &text), CHOIR_ERR_INVALID);
    cr_assert(strstr(text.data, "the descriptor has the id"), "%s", text.data);
    schema_env_close(&e);
}
