/* SPDX-License-Identifier: MIT */
/* Prepared services. Everything of one lies in its own arena, so that preparing either succeeds or leaves nothing;
 * equal schemas of different methods are stored once. Services are found again by the address of their descriptor,
 * in a list: an env has a handful of them, and sessions keep the result.
 */
#include "schema/service.h"

#include "schema/extract.h"
#include "schema/precomputed.h"
#include "schema/unit.h"

#include <string.h>

#define METHODS_MAX 4096u
#define ARENA_MAX   ((size_t)64 << 20) /* far above any real service; a guard against a broken descriptor */
#define KNOWN_FLAGS (CHOIR_METHOD_IDEM | CHOIR_METHOD_PERSIST)

typedef struct prepared {
    choiri_service service; /* first, so that one is the other */
    choiri_arena arena;
} prepared;

static void free_prepared(choir_env *env, prepared *p) {
    choiri_arena_reset(&p->arena);
    choiri_free(env, p, sizeof *p);
}

static void free_services(choir_env *env, void *services) {
    for (choiri_service *s = services; s;) {
        choiri_service *next = s->next;
        free_prepared(env, (prepared *)s);
        s = next;
    }
}

/* --- what is wrong with a descriptor --- */

static int bad_service(choiri_text *text, const char *why) {
    choiri_text_add(text, why);
    return CHOIR_ERR_INVALID;
}

static choiri_text *name_method(choiri_text *text, const choir_service *desc, uint32_t i) {
    choir_str name = choir_method_name(desc, i);
    choiri_text_add(text, "method ");
    choiri_text_quoted(text, (choir_bytes){(const uint8_t *)name.data, name.len}, 64);
    return choiri_text_add(text, ": ");
}

static int bad_method(choiri_text *text, const choir_service *desc, uint32_t i, const char *why) {
    choiri_text_add(name_method(text, desc, i), why);
    return CHOIR_ERR_INVALID;
}

/* Method ids need the case of every letter, and the tables for that are larger than the library (method_id.c). */
static bool is_usable_name(choir_str name) {
    for (size_t i = 0; i < name.len; i++) {
        if ((uint8_t)name.data[i] >= 0x80) return false;
    }
    return name.len > 0;
}

static int check_method(const choir_service *desc, uint32_t i, choiri_text *text) {
    const choir_unit *u = desc->unit;
    const choir_method *m = choiri_service_method(desc, i);
    if (!is_usable_name(choir_method_name(desc, i))) {
        return bad_method(text, desc, i, "names must be ASCII and not empty");
    }
    if (m->args >= u->types_len || m->ok >= u->types_len || m->err >= u->types_len) {
        return bad_method(text, desc, i, "a type is not in the unit");
    }
    const choir_type *args = choiri_unit_type(u, m->args);
    if (args->kind != CHOIR_KIND_UNIT && (args->kind != CHOIR_KIND_TUPLE || args->name != 0)) {
        return bad_method(text, desc, i, "its arguments are neither a tuple nor unit");
    }
    if (m->args_announcement > u->announcements_len || m->response_announcement > u->announcements_len)
        return bad_method(text, desc, i, "what it announces is not in the unit");
    if ((m->flags & ~KNOWN_FLAGS) || m->reserved != 0) return bad_method(text, desc, i, "unknown flags");
    uint64_t id = choiri_method_id(choir_service_name(desc), choir_method_name(desc, i));
    if (m->id != id) {
        choiri_text_hex(choiri_text_add(name_method(text, desc, i), "the descriptor has the id "), m->id);
        choiri_text_hex(choiri_text_add(text, ", the name has "), id);
        return CHOIR_ERR_INVALID;
    }
    return CHOIR_OK;
}

static int check_service(const choir_service *desc, choiri_text *text) {
    if (!desc->unit) return bad_service(text, "a service without a unit");
    int status = choiri_unit_check(desc->unit, text);
    if (status != CHOIR_OK) return status;
    if (!is_usable_name(choir_service_name(desc))) {
        return bad_service(text, "a service's name must be ASCII and not empty");
    }
    if (desc->methods_len > METHODS_MAX) return bad_service(text, "a service with more than 4096 methods");
    if (desc->methods_len > 0 && !desc->methods)
        return bad_service(text, "a service lacks methods it counts");
    for (uint32_t i = 0; i < desc->methods_len && status == CHOIR_OK; i++)
        status = check_method(desc, i, text);
    return status;
}

/* --- preparing --- */

/* The table of ids: at most half full, so that every search ends. */
static int make_lookup(prepared *p, choiri_text *text) {
    choiri_service *s = &p->service;
    uint32_t cap = 2;
    while (cap < 2 * s->methods_len) cap *= 2;
    uint16_t *lookup = choiri_arena_alloc(&p->arena, cap * sizeof *lookup, _Alignof(uint16_t));
    if (!lookup) return CHOIR_ERR_NO_MEMORY;
    memset(lookup, 0, cap * sizeof *lookup);
    s->lookup = lookup;
    s->lookup_mask = cap - 1;
    for (uint32_t m = 0; m < s->methods_len; m++) {
        uint32_t same = choiri_service_lookup(s, s->methods[m].id);
        if (same != UINT32_MAX) {
            choiri_text_add(name_method(text, s->desc, m), "its id is also that of ");
            choiri_text_str(text, choir_method_name(s->desc, same));
            return CHOIR_ERR_INVALID;
        }
        uint32_t at = (uint32_t)s->methods[m].id & s->lookup_mask;
        while (lookup[at] != 0) at = (at + 1) & s->lookup_mask;
        lookup[at] = (uint16_t)(m + 1);
    }
    return CHOIR_OK;
}

/* `precomputed` is one more than the index of the unit's announcement, 0 for none. */
static int make_announcement(prepared *p, choiri_map *known, const choiri_root *root, uint32_t precomputed,
                             choiri_announcement *ret, choiri_text *text) {
    choiri_text_init(text);
    if (precomputed == 0) return choiri_extract(&p->arena, known, root, ret, text);
    return choiri_announcement_precomputed(&p->arena, root->unit, precomputed - 1, ret, text);
}

static int make_method(prepared *p, choiri_map *known, const choir_method *desc, choiri_method *ret,
                       choiri_text *text) {
    const choir_unit *u = p->service.desc->unit;
    const choiri_root args = {.unit = u, .type = desc->args};
    const choiri_root response = {.unit = u, .is_response = true, .ok = desc->ok, .err = desc->err};
    ret->desc = desc;
    ret->id = desc->id;
    int status = make_announcement(p, known, &args, desc->args_announcement, &ret->args, text);
    if (status != CHOIR_OK) return status;
    ret->has_channels = choiri_announcement_has_channels(&ret->args);
    status = make_announcement(p, known, &response, desc->response_announcement, &ret->response, text);
    if (status != CHOIR_OK || !choiri_announcement_has_channels(&ret->response)) return status;
    choiri_text_add(text, "an end of a channel in its answer, where none can be");
    return CHOIR_ERR_INVALID;
}

static int make_methods(choir_env *env, prepared *p, choiri_text *text) {
    static const uint64_t seed[2] = {0, 0}; /* these keys are the program's own */
    const choir_service *desc = p->service.desc;
    choiri_method *methods =
        choiri_arena_alloc(&p->arena, desc->methods_len * sizeof *methods, _Alignof(choiri_method));
    if (!methods) return CHOIR_ERR_NO_MEMORY;
    choiri_map known;
    choiri_map_init(&known, env, seed);
    int status = CHOIR_OK;
    for (uint32_t i = 0; i < desc->methods_len && status == CHOIR_OK; i++) {
        choiri_text why;
        status = make_method(p, &known, choiri_service_method(desc, i), &methods[i], &why);
        if (status != CHOIR_OK) choiri_text_str(name_method(text, desc, i), choiri_text_get(&why));
    }
    choiri_map_deinit(&known);
    p->service.methods = methods;
    p->service.methods_len = desc->methods_len;
    return status;
}

int choiri_service_prepare(choir_env *env, const choir_service *desc, const choiri_service **ret_service,
                           choiri_text *ret_text) {
    choiri_text_init(ret_text);
    for (const choiri_service *s = env->services; s; s = s->next) {
        if (s->desc == desc) {
            *ret_service = s;
            return CHOIR_OK;
        }
    }
    int status = check_service(desc, ret_text);
    if (status != CHOIR_OK) return status;
    prepared *p = choiri_zalloc(env, sizeof *p);
    if (!p) return CHOIR_ERR_NO_MEMORY;
    choiri_arena_init(&p->arena, env, NULL, 0, ARENA_MAX);
    p->service.desc = desc;
    status = make_methods(env, p, ret_text);
    if (status == CHOIR_OK) status = make_lookup(p, ret_text);
    if (status != CHOIR_OK) {
        free_prepared(env, p);
        return status;
    }
    p->service.next = env->services;
    env->services = &p->service;
    env->services_free = free_services;
    *ret_service = &p->service;
    return CHOIR_OK;
}

/* --- single announcements --- */

static size_t announcement_size(const choiri_announcement *a) {
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
static int pack(choir_env *env, const choiri_announcement *a, choiri_announcement *ret) {
    choiri_schema_part *parts = choiri_alloc(env, announcement_size(a));
    if (!parts) return CHOIR_ERR_NO_MEMORY;
    uint8_t *at = (uint8_t *)(parts + a->parts_len);
    for (uint32_t i = 0; i < a->parts_len; i++) {
        parts[i] = (choiri_schema_part){a->parts[i].id, append(&at, a->parts[i].cbor)};
    }
    *ret = (choiri_announcement){parts, a->parts_len, append(&at, a->root)};
    return CHOIR_OK;
}

int choiri_announcement_new(choir_env *env, const choir_unit *u, uint32_t type, choiri_announcement *ret) {
    choiri_text text;
    choiri_arena arena;
    choiri_announcement made;
    int status = choiri_unit_check(u, &text);
    if (status != CHOIR_OK) return status;
    if (type >= u->types_len) return CHOIR_ERR_INVALID;
    choiri_arena_init(&arena, env, NULL, 0, ARENA_MAX);
    status = choiri_extract(&arena, NULL, &(choiri_root){.unit = u, .type = type}, &made, &text);
    if (status == CHOIR_OK) status = pack(env, &made, ret);
    choiri_arena_reset(&arena);
    return status;
}

void choiri_announcement_free(choir_env *env, choiri_announcement *a) {
    choiri_free(env, (void *)(uintptr_t)a->parts, announcement_size(a));
    *a = (choiri_announcement){0};
}
