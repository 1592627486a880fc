/* SPDX-License-Identifier: MIT */
/* Rust's own texts: every type is announced as Rust announces it, every method has the id that Rust's macro computes. */
#include "idl/idl.h"
#include "rust_vectors.h"
#include "schema/service.h"
#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* CBOR of {"schemas": [..], "root": ..} as lower-case hex. */
static char *payload_of(const choiri_announcement *a) {
    static const char schemas[] = "a267736368656d6173", root[] = "64726f6f74";
    size_t size = 64 + 2 * a->root.len;
    for (uint32_t i = 0; i < a->parts_len; i++) size += 2 * a->parts[i].cbor.len;
    char *hex = malloc(size), *at = hex;
    cr_assert(hex);
    at += sprintf(at, "%s", schemas);
    if (a->parts_len < 24)
        at += sprintf(at, "%02x", 0x80u + a->parts_len);
    else
        at += sprintf(at, "98%02x", a->parts_len);
    for (uint32_t i = 0; i < a->parts_len; i++)
        for (size_t k = 0; k < a->parts[i].cbor.len; k++) at += sprintf(at, "%02x", a->parts[i].cbor.data[k]);
    at += sprintf(at, "%s", root);
    for (size_t k = 0; k < a->root.len; k++) at += sprintf(at, "%02x", a->root.data[k]);
    return hex;
}

static bool parse(const char *text, idl **ret, idl_error *error) {
    return idl_parse(text, strlen(text), "test.rs", ret, error);
}

Test(idl_vectors, types) {
    size_t same = 0, refused = 0;
    for (size_t i = 0; i < COUNT(rust_types); i++) {
        idl *file;
        idl_error error;
        if (!parse(rust_types[i].text, &file, &error)) {
            cr_expect(strstr(rust_types[i].name, "PathBuf"), "%s", error.text);
            cr_expect(strstr(error.text, "vox cannot encode a PathBuf"), "%s", error.text);
            refused++;
            continue;
        }
        test_alloc alloc = {0};
        choir_env *env = test_env(&alloc);
        const choir_service *probe = idl_find(file, CHOIR_STR("Probe"));
        const choir_unit *u = idl_unit(file);
        choiri_announcement made;
        uint32_t type = u->fields[u->types[probe->methods[0].args].first].type;
        cr_assert_eq(choiri_announcement_new(env, u, type, &made), CHOIR_OK, "%s", rust_types[i].name);
        char *payload = payload_of(&made);
        bool equal = strcmp(payload, rust_types[i].payload) == 0;
        cr_expect(equal, "%s: announced\n%s instead of\n%s", rust_types[i].name, payload,
                  rust_types[i].payload);
        same += equal;
        free(payload);
        choiri_announcement_free(env, &made);
        choir_env_free(env);
        cr_expect_eq(alloc.blocks, 0);
        idl_free(file);
    }
    cr_expect_eq(same, 131);
    cr_expect_eq(refused, 1);
}

Test(idl_vectors, method_ids) {
    size_t same = 0, refused = 0;
    for (size_t i = 0; i < COUNT(rust_methods); i++) {
        idl *file;
        idl_error error;
        bool good = parse(rust_methods[i].text, &file, &error);
        cr_expect_eq(good, rust_methods[i].ascii, "%s", rust_methods[i].text);
        if (good) {
            cr_expect_eq(idl_service(file, 0)->methods[0].id, rust_methods[i].id, "%s", rust_methods[i].text);
            same += idl_service(file, 0)->methods[0].id == rust_methods[i].id;
            idl_free(file);
        } else {
            cr_expect(strstr(error.text, "known for ASCII only"), "%s", error.text);
            refused++;
        }
    }
    cr_expect_eq(same + refused, 43);
    cr_expect_eq(same, 39);
}
