/* SPDX-License-Identifier: MIT */
/* Keyed slots: what layers above hang on an object. A list, because an object has one or two. */
#ifndef CHOIRI_SLOTS_H
#define CHOIRI_SLOTS_H

#include "base/env.h"
#include "choir/connection.h"

typedef struct choiri_slot choiri_slot;

/* OK · ERR_NO_MEMORY. A NULL value takes it off. */
int choiri_slots_set(choir_env *env, choiri_slot **slots, const choir_key *key, void *value,
                     void (*destroy)(void *value));
void *choiri_slots_get(const choiri_slot *slots, const choir_key *key);
/* Destroys all of them. */
void choiri_slots_clear(choir_env *env, choiri_slot **slots);

#endif
