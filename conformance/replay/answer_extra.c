/* SPDX-License-Identifier: MIT */
/* What the methods of Extra answered in the recordings: one of their arguments, or a number. */
#include "answer.h"
#include "extra.h"
#include "testbed/testbed_handlers.h"

static uint32_t sum_of_values(const extra_hash_map_args *args) {
    const extra_entry_string_u32 *entries = args->map.items;
    uint32_t sum = 0;
    for (size_t i = 0; i < args->map.len; i++) sum += entries[i].value;
    return sum;
}

static uint32_t items_of_both(const extra_generic_nested_args *args) {
    return (uint32_t)(args->a.items.len + args->b.items.len);
}

/* Methods that answer a number; false for others. */
static bool find_number(uint32_t method, const void *args, uint32_t *ret) {
    switch (method) {
    case EXTRA_HASH_MAP: *ret = sum_of_values(args); return true;
    case EXTRA_SETS: {
        const extra_sets_args *a = args;
        *ret = (uint32_t)(a->hash.len + a->btree.len);
        return true;
    }
    case EXTRA_GENERICS: *ret = ((const extra_generics_args *)args)->a.a; return true;
    case EXTRA_GENERIC_NESTED: *ret = items_of_both(args); return true;
    case EXTRA_TUPLES: *ret = ((const extra_tuples_args *)args)->c; return true;
    case EXTRA_OPT_OPT: *ret = (uint32_t)((const extra_opt_opt_args *)args)->b.len; return true;
    case EXTRA_CHECK: *ret = ((const extra_check_args *)args)->number; return true;
    default: return false;
    }
}

int replay_run_extra(uint32_t method, const void *args, uint32_t *number, const void **ret) {
    *ret = number;
    if (find_number(method, args, number))
        return method == EXTRA_CHECK && *number == 0 ? TESTBED_USER_ERROR : CHOIR_OK;
    switch (method) {
    case EXTRA_CHARACTER: *ret = &((const extra_character_args *)args)->b; break;
    case EXTRA_WIDE: *ret = &((const extra_wide_args *)args)->b; break;
    case EXTRA_SIZES: *ret = &((const extra_sizes_args *)args)->b; break;
    case EXTRA_NUMBERED: *ret = &((const extra_numbered_args *)args)->b; break;
    case EXTRA_POINTERS: *ret = ((const extra_pointers_args *)args)->a; break;
    default: *ret = args; break; /* the first argument */
    }
    return CHOIR_OK;
}
