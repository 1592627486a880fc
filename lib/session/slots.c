/* SPDX-License-Identifier: MIT */
/* Keyed slots. A destroy function may set or take off others of the same object: each slot is out of the list
 * before its own is called. */
#include "session/slots.h"
#include "base/pool.h"

struct choiri_slot {
    choiri_slot *next;
    const choir_key *key;
    void *value;
    void (*destroy)(void *value);
};

static void destroy(choir_env *env, choiri_slot *slot) {
    choiri_slot gone = *slot;
    choiri_obj_free(env, slot, sizeof *slot);
    if (gone.destroy) gone.destroy(gone.value);
}

int choiri_slots_set(choir_env *env, choiri_slot **slots, const choir_key *key, void *value,
                     void (*destroy_fn)(void *value)) {
    choiri_slot *made = NULL;
    if (value) {
        made = choiri_obj_alloc(env, sizeof *made);
        if (!made) return CHOIR_ERR_NO_MEMORY;
    }
    choiri_slot **place = slots;
    while (*place && (*place)->key != key) place = &(*place)->next;
    choiri_slot *before = *place;
    if (before) *place = before->next;
    if (made) {
        *made = (choiri_slot){*slots, key, value, destroy_fn};
        *slots = made;
    }
    if (before) destroy(env, before);
    return CHOIR_OK;
}

void *choiri_slots_get(const choiri_slot *slots, const choir_key *key) {
    while (slots && slots->key != key) slots = slots->next;
    return slots ? slots->value : NULL;
}

void choiri_slots_clear(choir_env *env, choiri_slot **slots) {
    while (*slots) {
        choiri_slot *slot = *slots;
        *slots = slot->next;
        destroy(env, slot);
    }
}
