/* SPDX-License-Identifier: MIT */
#include "testing/announcement.h"

#include "schema/extract.h"
#include "value/unit.h"

#include <string.h>

static size_t announcement_size(const choiri_schema_set *a) {
    size_t size = a->parts_len * sizeof *a->parts + a->root.len;
    for (uint32_t i = 0; i < a->parts_len; i++) size += a->parts[i].cbor.len;
    return size;
}

static choir_bytes append(uint8_t **at, choir_bytes b) {
    choir_bytes copy = {memcpy(*at, b.data, b.len), b.len};
    *at += b.len;
    return copy;
}

/* Copies an announcement into one block that starts with its parts. */
static int pack(choir_env *env, const choiri_schema_set *a, choiri_schema_set *ret) {
    choiri_schema_part *parts = choiri_alloc(env, announcement_size(a));
    if (!parts) return CHOIR_ERR_NO_MEMORY;
    uint8_t *at = (uint8_t *)(parts + a->parts_len);
    for (uint32_t i = 0; i < a->parts_len; i++) {
        parts[i] = (choiri_schema_part){a->parts[i].id, append(&at, a->parts[i].cbor)};
    }
    *ret = (choiri_schema_set){parts, a->parts_len, append(&at, a->root)};
    return CHOIR_OK;
}

int test_announcement_new(choir_env *env, const choir_unit *u, uint32_t type, choiri_schema_set *ret) {
    choiri_text text;
    choiri_arena arena;
    choiri_schema_set made;
    int status = choiri_unit_check(u, &text);
    if (status != CHOIR_OK) return status;
    if (type >= u->types_len) return CHOIR_ERR_INVALID;
    choiri_arena_init(&arena, env, NULL, 0, (size_t)64 << 20);
    status = choiri_extract(&arena, NULL, &(choiri_root){.unit = u, .type = type}, &made, &text);
    if (status == CHOIR_OK) status = pack(env, &made, ret);
    choiri_arena_reset(&arena);
    return status;
}

void test_announcement_free(choir_env *env, choiri_schema_set *a) {
    choiri_free(env, (void *)(uintptr_t)a->parts, announcement_size(a));
    *a = (choiri_schema_set){0};
}
