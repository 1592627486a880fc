/* SPDX-License-Identifier: MIT */
/* Rust's own texts: every type is announced as Rust announces it, every method has the id that Rust's macro
 * computes. */
#include "idl/idl.h"
#include "rust_vectors.h"
#include "schema/service.h"
#include "testing/alloc.h"
#include "testing/announcement.h"
#include "value/value.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* CBOR of {"schemas": [..], "root": ..} as lower-case hex. */
static char *payload_of(const choiri_schema_set *a) {
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

/* Each example value, decoded and encoded again, is the same bytes. Returns how many there were. */
static size_t check_values(choir_env *env, const choir_unit *u, uint32_t type, size_t row) {
    size_t count = 0;
    for (const char *hex = rust_types[row].values; *hex; hex = strchr(hex, ';') + 1, count++) {
        uint8_t bytes[256];
        size_t len = 0;
        for (const char *at = hex; *at != ';'; at += 2) {
            unsigned byte;
            cr_assert(len < sizeof bytes && sscanf(at, "%2x", &byte) == 1);
            bytes[len++] = (uint8_t)byte;
        }
        choiri_arena arena;
        choiri_text text;
        choiri_text_init(&text);
        choiri_arena_init(&arena, env, NULL, 0, (size_t)1 << 20);
        choiri_reader r = choiri_reader_of((choir_bytes){bytes, len});
        void *value = choiri_arena_alloc(&arena, u->types[type].size, 16);
        cr_assert(value);
        choir_str why = choiri_text_get(&text);
        cr_expect_eq(choiri_value_decode(&r, u, type, &arena, value, &text), CHOIR_OK, "%s: %.*s: %.*s",
                     rust_types[row].name, (int)(2 * len), hex, (int)why.len, why.data);
        cr_expect_eq(choiri_reader_left(&r), 0);
        choiri_outq q;
        choiri_writer w;
        choir_iov out[1];
        choiri_outq_init(&q, env);
        choiri_writer_init(&w, &q, NULL);
        choiri_value_encode(&w, u, type, value);
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
        cr_assert(q.bytes == len && (len == 0 || choiri_outq_peek(&q, 0, UINT64_MAX, out, 1) == 1));
        cr_expect(len == 0 || memcmp(out[0].base, bytes, len) == 0, "%s: %.*s", rust_types[row].name,
                  (int)(2 * len), hex);
        choiri_outq_deinit(&q);
        choiri_arena_reset(&arena);
    }
    return count;
}

static bool parse(const char *text, idl **ret, idl_error *error) {
    return idl_parse(text, strlen(text), "test.rs", ret, error);
}

Test(idl_vectors, types) {
    size_t same = 0, refused = 0, values = 0;
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
        choiri_schema_set made;
        uint32_t type = u->fields[u->types[probe->methods[0].args].first].type;
        cr_assert_eq(test_announcement_new(env, u, type, &made), CHOIR_OK, "%s", rust_types[i].name);
        char *payload = payload_of(&made);
        bool equal = strcmp(payload, rust_types[i].payload) == 0;
        cr_expect(equal, "%s: announced\n%s instead of\n%s", rust_types[i].name, payload,
                  rust_types[i].payload);
        same += equal;
        values += check_values(env, u, type, i);
        free(payload);
        test_announcement_free(env, &made);
        choir_env_free(env);
        cr_expect_eq(alloc.blocks, 0);
        idl_free(file);
    }
    cr_expect_eq(same, 131);
    cr_expect_eq(values, 162);
    cr_expect_eq(refused, 1);
}

Test(idl_vectors, method_ids) {
    size_t same = 0;
    for (size_t i = 0; i < COUNT(rust_methods); i++) {
        idl *file;
        idl_error error;
        cr_assert(parse(rust_methods[i].text, &file, &error), "%s: %s", rust_methods[i].text, error.text);
        cr_expect_eq(idl_service(file, 0)->methods[0].id, rust_methods[i].id, "%s", rust_methods[i].text);
        same += idl_service(file, 0)->methods[0].id == rust_methods[i].id;
        idl_free(file);
    }
    cr_expect_eq(same, 43);
}

/* Forms that no vector has, by the id of the ASCII or lower-case name that is hashed alike. */
Test(idl_vectors, method_ids_by_case) {
    static const struct {
        const char *name, *same;
    } pairs[] = {
        {"\303\211tatDuR\303\211SEAU", "\303\251tat_du_r\303\251seau"}, /* EtatDuRESEAU with acute accents */
        {"HTTP\303\211tat", "http_\303\251tat"},                        /* a capital before a small letter */
        {"\316\243", "\317\202"},                                       /* a sigma alone is a final one */
        {"\316\243\316\221_\316\243\316\221\316\243", "\317\203\316\261_\317\203\316\261\317\202"},
        {"\304\260x", "i\314\207x"},        /* I with a dot becomes two scalars */
        {"\346\227\245B", "\346\227\245b"}, /* letters without case end nothing */
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char text[128];
        idl *file;
        idl_error error;
        snprintf(text, sizeof text, "trait S { async fn %s(&self); }", pairs[i].name);
        cr_assert(parse(text, &file, &error), "%s: %s", text, error.text);
        uint64_t id = idl_service(file, 0)->methods[0].id;
        cr_expect_eq(id, choiri_method_id(CHOIR_STR("s"), (choir_str){pairs[i].same, strlen(pairs[i].same)}),
                     "%s", pairs[i].name);
        idl_free(file);
    }
}

Test(idl_vectors, method_names_that_are_not_settled) {
    idl *file;
    idl_error error;
    cr_assert(!parse("trait S { async fn a\314\201b(&self); }", &file, &error));
    cr_expect(strstr(error.text, "counts as a letter"), "%s", error.text);
}
