/* SPDX-License-Identifier: MIT */
#include "types.h"

#include "choir/dynamic.h"
#include "testbed/testbed.h"
#include "testbed/testbed_evolved.h"
#include "value/json.h"
#include "value/unit.h"
#include "wire/utf8.h"
#include "zoo.h"

#include <string.h>

#define ARENA ((size_t)64 << 20)

static const choir_service *const services[] = {&zoo_service, &testbed_service, &evolved_service};
#define SERVICES (sizeof services / sizeof services[0])

const choir_unit *fuzz_type(fuzz_run *f, uint32_t *ret_type) {
    const choir_unit *u = services[fuzz_u8(f) % SERVICES]->unit;
    *ret_type = fuzz_u8(f) % u->types_len;
    return u;
}

const choiri_prepared_method *fuzz_method(fuzz_run *f, const choir_unit **ret_unit) {
    static test_alloc alloc;
    static choir_env *env;
    static const choiri_prepared *prepared[SERVICES];
    choiri_text text;
    if (!env) env = test_env(&alloc);
    uint32_t service = fuzz_u8(f) % (uint32_t)SERVICES;
    if (!prepared[service])
        FUZZ_CHECK(choiri_prepare(env, services[service], &prepared[service], &text) == CHOIR_OK, "%s",
                   text.data);
    *ret_unit = services[service]->unit;
    return &prepared[service]->methods[fuzz_u8(f) % prepared[service]->methods_len];
}

static void check_equal(const choir_unit *u, uint32_t type, const void *a, const void *b, const char *what) {
    bool equal = false;
    int status = choir_value_equal(u, type, a, b, &equal);
    FUZZ_CHECK(status == CHOIR_OK && equal, "%s: status %d, equal %d", what, status, equal);
}

static void check_copies(fuzz_run *f, choir_arena *arena, const choir_unit *u, uint32_t type,
                         const void *value) {
    void *copy = fuzz_memory(f, choiri_unit_type(u, type)->size), *clone;
    int status = choir_value_copy(u, type, value, arena, copy);
    FUZZ_CHECK(status == CHOIR_OK, "copy: %d", status);
    check_equal(u, type, value, copy, "copy");
    status = choir_value_clone(f->env, u, type, value, &clone);
    FUZZ_CHECK(status == CHOIR_OK, "clone: %d", status);
    check_equal(u, type, value, clone, "clone");
    choir_value_free(f->env, clone);
}

static void check_postcard(fuzz_run *f, choir_arena *arena, const choir_unit *u, uint32_t type,
                           const void *value) {
    choir_bytes bytes;
    choir_str why = {"", 0};
    int status = choir_value_to_postcard(u, type, value, arena, &bytes);
    FUZZ_CHECK(status == CHOIR_OK, "encode: %d", status);
    bytes = fuzz_copy(f, bytes);
    void *again = fuzz_memory(f, choiri_unit_type(u, type)->size);
    status = choir_value_from_postcard(u, type, bytes, arena, again, &why);
    FUZZ_CHECK(status == CHOIR_OK, "decode again: %d %.*s", status, (int)why.len, why.data);
    check_equal(u, type, value, again, "postcard");
}

static void check_print(fuzz_run *f, const choir_unit *u, uint32_t type, const void *value) {
    static const size_t rooms[] = {4096, 7, 1, 0};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        char *text = fuzz_memory(f, rooms[i]);
        size_t len = choir_value_print(u, type, value, text, rooms[i]);
        if (rooms[i] == 0) continue;
        FUZZ_CHECK(len < rooms[i] && strlen(text) == len, "printed %zu into %zu bytes", len, rooms[i]);
        FUZZ_CHECK(choiri_utf8_is_valid((const uint8_t *)text, len), "printed what is not UTF-8");
    }
}

/* In JSON all NaN are one, and an option in an option is null whichever of them is empty: values with those
 * are compared by their text alone. */
static void check_json(fuzz_run *f, choir_arena *arena, const choir_unit *u, uint32_t type,
                       const void *value) {
    choir_str text, again, why = {"", 0};
    int status = choir_value_to_json(u, type, value, arena, &text);
    if (status == CHOIR_ERR_TOO_LARGE || status == CHOIR_ERR_UNSUPPORTED) return;
    FUZZ_CHECK(status == CHOIR_OK, "to JSON: %d", status);
    FUZZ_CHECK(strlen(text.data) == text.len, "a NUL in JSON");
    void *read = fuzz_memory(f, choiri_unit_type(u, type)->size);
    choir_bytes exact = fuzz_copy(f, fuzz_bytes(text));
    status =
        choir_value_from_json(u, type, (choir_str){(const char *)exact.data, exact.len}, arena, read, &why);
    FUZZ_CHECK(status == CHOIR_OK, "from JSON: %d %.*s: %s", status, (int)why.len, why.data, text.data);
    if (!strstr(text.data, CHOIRI_JSON_NAN) && !strstr(text.data, "null"))
        check_equal(u, type, value, read, text.data);
    status = choir_value_to_json(u, type, read, arena, &again);
    FUZZ_CHECK(status == CHOIR_OK, "to JSON again: %d", status);
    FUZZ_CHECK(fuzz_same(fuzz_bytes(text), fuzz_bytes(again)), "%s has become %s", text.data, again.data);
}

void fuzz_check_value(fuzz_run *f, const choir_unit *u, uint32_t type, const void *value) {
    choir_arena *arena;
    FUZZ_CHECK(choir_arena_new(f->env, ARENA, &arena) == CHOIR_OK, "no arena");
    check_equal(u, type, value, value, "itself");
    check_copies(f, arena, u, type, value);
    check_postcard(f, arena, u, type, value);
    check_print(f, u, type, value);
    check_json(f, arena, u, type, value);
    choir_arena_free(arena);
}
