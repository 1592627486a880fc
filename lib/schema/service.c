/* SPDX-License-Identifier: MIT */
/* Prepared services. Everything of one lies in its own arena, so that preparing either succeeds or leaves
 * nothing; equal schemas of different methods are stored once. Services are found again by the address of
 * their descriptor, in a hash: programs that forward make one for each method they meet.
 */
#include "schema/service.h"

#include "base/assert.h"
#include "base/map.h"
#include "choir/dynamic.h"
#include "schema/extract.h"
#include "schema/precomputed.h"
#include "value/unit.h"

#include <string.h>

#define METHODS_MAX 4096u
#define NAME_MAX    1024u              /* of a service made at run time */
#define ARENA_MAX   ((size_t)64 << 20) /* far above any real service; a guard against a broken descriptor */
#define KNOWN_FLAGS (CHOIR_METHOD_IDEM | CHOIR_METHOD_PERSIST | CHOIR_METHOD_DYNAMIC | CHOIR_METHOD_RAW)

typedef struct prepared {
    choiri_prepared service; /* first, so that one is the other */
    choiri_arena arena;
    uint32_t uses; /* profiles of connections that serve or call it */
} prepared;

static prepared *prepared_of(const choiri_prepared *s) {
    return (prepared *)(uintptr_t)s;
}

static void free_prepared(choir_env *env, prepared *p) {
    choiri_arena_reset(&p->arena);
    choiri_free(env, p, sizeof *p);
}

/* --- those of an env --- */

static uint64_t key_of(const choir_service *desc) {
    return (uintptr_t)desc;
}

static void free_one(void *ctx, uint64_t key, void *value) {
    (void)key;
    free_prepared(ctx, value);
}

static void free_services(choir_env *env, void *services) {
    choiri_map *map = services;
    choiri_map_each(map, free_one, env);
    choiri_map_deinit(map);
    choiri_free(env, map, sizeof *map);
}

/* NULL when there is none. */
static prepared *find(const choir_env *env, const choir_service *desc) {
    return env->services ? choiri_map_get(env->services, key_of(desc)) : NULL;
}

static int add(choir_env *env, prepared *p) {
    if (!env->services) {
        choiri_map *map = choiri_alloc(env, sizeof *map);
        if (!map) return CHOIR_ERR_NO_MEMORY;
        choiri_map_init(map, env, (const uint64_t[2]){0, 0}); /* these keys are the program's own */
        env->services = map;
        env->services_free = free_services;
    }
    return choiri_map_put(env->services, key_of(p->service.desc), p);
}

void choiri_service_retain(const choiri_prepared *s) {
    if (s) prepared_of(s)->uses++;
}

void choiri_service_release(const choiri_prepared *s) {
    if (!s) return;
    CHOIRI_ASSERT(prepared_of(s)->uses > 0);
    prepared_of(s)->uses--;
}

int choir_service_free(choir_env *env, const choir_service *service) {
    if (!env || !service) return CHOIR_ERR_INVALID;
    prepared *p = find(env, service);
    if (!p) return CHOIR_ERR_NOT_FOUND;
    if (p->uses > 0) return CHOIR_ERR_STATE;
    choiri_map_remove(env->services, key_of(service));
    free_prepared(env, p);
    return CHOIR_OK;
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

static bool is_ascii(choir_str name) {
    for (size_t i = 0; i < name.len; i++) {
        if ((uint8_t)name.data[i] >= 0x80) return false;
    }
    return true;
}

/* The id is trusted if it cannot be computed here: it takes the case of every letter, and the tables for that
 * are larger than the library (method_id.c). */
static int check_method_id(const choir_service *desc, uint32_t i, choiri_text *text) {
    choir_str service = choir_service_name(desc), method = choir_method_name(desc, i);
    uint64_t stated = choiri_service_method(desc, i)->id;
    if (!is_ascii(service) || !is_ascii(method)) return CHOIR_OK;
    uint64_t id = choiri_method_id(service, method);
    if (stated == id) return CHOIR_OK;
    choiri_text_hex(choiri_text_add(name_method(text, desc, i), "the descriptor has the id "), stated);
    choiri_text_hex(choiri_text_add(text, ", the name has "), id);
    return CHOIR_ERR_INVALID;
}

static int check_method(const choir_service *desc, uint32_t i, choiri_text *text) {
    const choir_unit *u = desc->unit;
    const choir_method *m = choiri_service_method(desc, i);
    if (choir_method_name(desc, i).len == 0) return bad_method(text, desc, i, "a name must not be empty");
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
    return check_method_id(desc, i, text);
}

static int check_service(const choir_service *desc, choiri_text *text) {
    if (!desc->unit) return bad_service(text, "a service without a unit");
    int status = choiri_unit_check(desc->unit, text);
    if (status != CHOIR_OK) return status;
    if (choir_service_name(desc).len == 0) return bad_service(text, "a service's name must not be empty");
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
    choiri_prepared *s = &p->service;
    uint32_t cap = 2;
    while (cap < 2 * s->methods_len) cap *= 2;
    uint16_t *lookup = choiri_arena_alloc(&p->arena, cap * sizeof *lookup, _Alignof(uint16_t));
    if (!lookup) return CHOIR_ERR_NO_MEMORY;
    memset(lookup, 0, cap * sizeof *lookup);
    s->lookup = lookup;
    s->lookup_mask = cap - 1;
    for (uint32_t m = 0; m < s->methods_len; m++) {
        uint32_t same = choiri_prepared_lookup(s, s->methods[m].id);
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
                             choiri_schema_set *ret, choiri_text *text) {
    choiri_text_init(text);
    if (precomputed == 0) return choiri_extract(&p->arena, known, root, ret, text);
    return choiri_schema_set_precomputed(&p->arena, root->unit, precomputed - 1, ret, text);
}

static int make_method(prepared *p, choiri_map *known, const choir_method *desc, choiri_prepared_method *ret,
                       choiri_text *text) {
    const choir_unit *u = p->service.desc->unit;
    const choiri_root args = {.unit = u, .type = desc->args};
    const choiri_root response = {.unit = u, .is_response = true, .ok = desc->ok, .err = desc->err};
    ret->desc = desc;
    ret->id = desc->id;
    ret->args_type = choiri_unit_type(u, desc->args);
    ret->ok_type = ret->err_type = NULL;
    ret->response = (choiri_schema_set){0};
    int status = make_announcement(p, known, &args, desc->args_announcement, &ret->args, text);
    if (status != CHOIR_OK) return status;
    ret->has_channels = choiri_schema_set_has_channels(&ret->args);
    if (desc->flags & CHOIR_METHOD_DYNAMIC) return CHOIR_OK;
    ret->ok_type = choiri_unit_type(u, desc->ok);
    ret->err_type = choiri_unit_type(u, desc->err);
    status = make_announcement(p, known, &response, desc->response_announcement, &ret->response, text);
    if (status != CHOIR_OK || !choiri_schema_set_has_channels(&ret->response)) return status;
    choiri_text_add(text, "an end of a channel in its answer, where none can be");
    return CHOIR_ERR_INVALID;
}

static int make_methods(choir_env *env, prepared *p, choiri_text *text) {
    static const uint64_t seed[2] = {0, 0}; /* these keys are the program's own */
    const choir_service *desc = p->service.desc;
    choiri_prepared_method *methods =
        choiri_arena_alloc(&p->arena, desc->methods_len * sizeof *methods, _Alignof(choiri_prepared_method));
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

/* Takes `p`: it is the env's afterwards, or freed. */
static int prepare(choir_env *env, prepared *p, const choir_service *desc, choiri_text *text) {
    p->service.desc = desc;
    p->service.unit = desc->unit;
    int status = check_service(desc, text);
    if (status == CHOIR_OK) status = make_methods(env, p, text);
    if (status == CHOIR_OK) status = make_lookup(p, text);
    if (status == CHOIR_OK) status = add(env, p);
    if (status != CHOIR_OK) free_prepared(env, p);
    return status;
}

int choiri_prepare(choir_env *env, const choir_service *desc, const choiri_prepared **ret_service,
                   choiri_text *ret_text) {
    choiri_text_init(ret_text);
    prepared *p = find(env, desc);
    if (p) {
        *ret_service = &p->service;
        return CHOIR_OK;
    }
    p = choiri_zalloc(env, sizeof *p);
    if (!p) return CHOIR_ERR_NO_MEMORY;
    choiri_arena_init(&p->arena, env, NULL, 0, ARENA_MAX);
    int status = prepare(env, p, desc, ret_text);
    if (status == CHOIR_OK) *ret_service = &p->service;
    return status;
}

/* --- services made at run time --- */

/* A copy in the arena; NULL without memory. */
static void *copy(prepared *p, const void *data, size_t size) {
    void *to = choiri_arena_alloc(&p->arena, size, 16);
    return to && size > 0 ? memcpy(to, data, size) : to;
}

/* The unit's strings and behind them the two names, which end with NUL. */
static const char *copy_strings(prepared *p, const choir_unit *u, choir_str service, choir_str method) {
    char *to = choiri_arena_alloc(&p->arena, u->strings_len + service.len + method.len + 2, 1);
    if (!to) return NULL;
    memcpy(to, u->strings, u->strings_len);
    char *end = (char *)memcpy(to + u->strings_len, service.data, service.len) + service.len;
    *end++ = '\0';
    end = (char *)memcpy(end, method.data, method.len) + method.len;
    *end = '\0';
    return to;
}

/* The records that a method's arguments need; what is announced about them is computed again. */
static choir_unit *copy_unit(prepared *p, const choir_unit *u) {
    choir_unit *to = copy(p, u, sizeof *u);
    if (!to) return NULL;
    to->size = sizeof *u;
    to->types = copy(p, u->types, (size_t)u->types_len * u->type_stride);
    to->fields = copy(p, u->fields, (size_t)u->fields_len * u->field_stride);
    to->variants = copy(p, u->variants, (size_t)u->variants_len * u->variant_stride);
    to->params = copy(p, u->params, (size_t)u->params_len * u->param_stride);
    to->schemas_len = to->announcements_len = to->parts_len = to->schema_bytes_len = 0;
    return to->types && to->fields && to->variants && to->params ? to : NULL;
}

static const choir_service *make_service(prepared *p, const choir_unit *u, uint32_t args, choir_str service,
                                         choir_str method) {
    choir_unit *unit = copy_unit(p, u);
    choir_method *m = choiri_arena_alloc(&p->arena, sizeof *m, _Alignof(choir_method));
    choir_service *s = choiri_arena_alloc(&p->arena, sizeof *s, _Alignof(choir_service));
    if (!unit || !m || !s) return NULL;
    unit->strings = copy_strings(p, u, service, method);
    if (!unit->strings) return NULL;
    uint32_t name = unit->strings_len;
    unit->strings_len += (uint32_t)(service.len + method.len + 2);
    unit->method_stride = sizeof *m;
    *m = (choir_method){.name = name + (uint32_t)service.len + 1,
                        .flags = CHOIR_METHOD_DYNAMIC,
                        .args = args,
                        .id = choiri_method_id(service, method)};
    *s = (choir_service){.unit = unit, .name = name, .methods_len = 1, .methods = m};
    return s;
}

static void tell(const choiri_text *text, char *ret_why, size_t why_size) {
    if (!ret_why || why_size == 0) return;
    size_t len = text->len < why_size - 1 ? text->len : why_size - 1;
    memcpy(ret_why, text->data, len);
    ret_why[len] = '\0';
}

int choir_service_make(choir_env *env, choir_str service, choir_str method, const choir_unit *unit,
                       uint32_t args, const choir_service **ret_service, char *ret_why, size_t why_size) {
    static const choir_type no_arguments = {.kind = CHOIR_KIND_UNIT, .align = 1};
    static const choir_unit no_unit = {CHOIR_UNIT_HEADER, .types_len = 1, .strings_len = 1,
                                       .types = &no_arguments, .strings = ""};
    choiri_text text;
    choiri_text_init(&text);
    if (!is_ascii(service) || !is_ascii(method)) {
        choiri_text_add(&text, "a name is not ASCII: its id needs tables that the library does not have");
        tell(&text, ret_why, why_size);
        return CHOIR_ERR_INVALID;
    }
    if (service.len > NAME_MAX || method.len > NAME_MAX || (unit && unit->strings_len > UINT32_MAX / 2)) {
        choiri_text_add(&text, "a name is longer than 1024 bytes, or the unit's strings than 2 GiB");
        tell(&text, ret_why, why_size);
        return CHOIR_ERR_INVALID;
    }
    int status = unit ? choiri_unit_check(unit, &text) : CHOIR_OK;
    prepared *p = status == CHOIR_OK ? choiri_zalloc(env, sizeof *p) : NULL;
    if (p) {
        choiri_arena_init(&p->arena, env, NULL, 0, ARENA_MAX);
        const choir_service *desc = make_service(p, unit ? unit : &no_unit, unit ? args : 0, service, method);
        if (desc) {
            status = prepare(env, p, desc, &text);
            if (status == CHOIR_OK) *ret_service = desc;
        } else {
            free_prepared(env, p);
            status = CHOIR_ERR_NO_MEMORY;
        }
    } else if (status == CHOIR_OK) {
        status = CHOIR_ERR_NO_MEMORY;
    }
    if (status != CHOIR_OK) tell(&text, ret_why, why_size);
    return status;
}
