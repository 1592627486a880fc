/* SPDX-License-Identifier: MIT */
/* What both directions of the value codec need: the smallest encoding of a type, and the public arena. */
#include "value/value.h"

#include "value/unit.h"

/* A bound of this many bytes is as good as a larger one: memory has limits of its own. It keeps the walk
 * short. */
#define ENOUGH 64u
/* Types looked at for one bound; what was found so far is a bound, too. Few, because it is asked for each
 * list of a value: a megabyte of empty lists would otherwise cost seconds. */
#define STEPS 16u

static size_t min_size(const choir_unit *u, uint32_t index, uint32_t depth, uint32_t *steps) {
    const choir_type *t = choiri_unit_type(u, index);
    if (*steps == 0) return 0;
    --*steps;
    switch (t->kind) {
    case CHOIR_KIND_UNIT: return 0;
    case CHOIR_KIND_F32: return 4;
    case CHOIR_KIND_F64: return 8;
    case CHOIR_KIND_CHAR:
    case CHOIR_KIND_DURATION: return 2;
    case CHOIR_KIND_BOX:
    case CHOIR_KIND_ARRAY:
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT: break;
    default: return 1; /* a varint, a tag or a count; never: no value is 0 bytes long either */
    }
    /* A type that contains itself without an option, list or enum between has no finite value. */
    if (depth == CHOIRI_VALUE_DEPTH) return 1;
    if (t->kind == CHOIR_KIND_BOX) return min_size(u, t->elem, depth + 1, steps);
    if (t->kind == CHOIR_KIND_ARRAY) {
        size_t each = t->count == 0 ? 0 : min_size(u, t->elem, depth + 1, steps);
        return each > 0 && t->count > ENOUGH ? ENOUGH : each * t->count;
    }
    size_t sum = 0;
    for (uint32_t i = 0; i < t->count && sum < ENOUGH; i++)
        sum += min_size(u, choiri_unit_field(u, t->first + i)->type, depth + 1, steps);
    return sum;
}

size_t choiri_value_min_size(const choir_unit *u, uint32_t type) {
    uint32_t steps = STEPS;
    return min_size(u, type, 0, &steps);
}

static bool has_zero(const choir_unit *u, uint32_t type, uint32_t depth) {
    const choir_type *t = choiri_unit_type(u, type);
    uint32_t first = t->first, count = t->count;
    if (depth == CHOIRI_VALUE_DEPTH) return false;
    switch (t->kind) {
    case CHOIR_KIND_NEVER:
    case CHOIR_KIND_BOX:
    case CHOIR_KIND_TX:
    case CHOIR_KIND_RX: return false;
    case CHOIR_KIND_ARRAY: return count == 0 || has_zero(u, t->elem, depth + 1);
    case CHOIR_KIND_RESULT: return has_zero(u, t->elem, depth + 1);
    case CHOIR_KIND_ENUM:
        if (count == 0) return false;
        first = choiri_unit_variant(u, t->first)->first;
        count = choiri_unit_variant(u, t->first)->count;
        break;
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT: break;
    default: return true;
    }
    for (uint32_t i = first; i < first + count; i++)
        if (!has_zero(u, choiri_unit_field(u, i)->type, depth + 1)) return false;
    return true;
}

bool choiri_value_has_zero(const choir_unit *u, uint32_t type) {
    return has_zero(u, type, 0);
}

int choir_arena_new(choir_env *env, size_t limit, choir_arena **ret_arena) {
    choir_arena *a = choiri_alloc(env, sizeof *a);
    if (!a) return CHOIR_ERR_NO_MEMORY;
    choiri_arena_init(&a->arena, env, NULL, 0, limit);
    *ret_arena = a;
    return CHOIR_OK;
}

void choir_arena_free(choir_arena *arena) {
    if (!arena) return;
    choiri_arena_reset(&arena->arena);
    choiri_free(arena->arena.env, arena, sizeof *arena);
}

void choir_arena_reset(choir_arena *arena) {
    choiri_arena_reset(&arena->arena);
}

void *choir_arena_alloc(choir_arena *arena, size_t size, size_t align) {
    if (align == 0 || align > 16 || (align & (align - 1)) != 0) return NULL;
    return choiri_arena_alloc(&arena->arena, size, align);
}
