/* SPDX-License-Identifier: MIT */
/* Type ids: hashes of declarations. rule: schema.type-id, schema.type-id-recursive
 *
 * Invariant while it runs: a declaration's id is 0 until it is known, and 0 is also what the hash of a
 * reference to an unknown id takes. So members of a group see 0 for each other and for later groups, and a
 * plain declaration sees 0 for a recursive one (a defect of 0.4.0 that all peers share) without anything
 * being special.
 */
#include "base/blake3.h"
#include "schema/decl.h"

static void hash_u32(choiri_blake3 *h, uint32_t v) {
    uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    choiri_blake3_update(h, le, sizeof le);
}

static void hash_u64(choiri_blake3 *h, uint64_t v) {
    hash_u32(h, (uint32_t)v);
    hash_u32(h, (uint32_t)(v >> 32));
}

static void hash_text(choiri_blake3 *h, choir_str s) {
    hash_u32(h, (uint32_t)s.len);
    choiri_blake3_update(h, s.data, s.len);
}

static void hash_word(choiri_blake3 *h, const char *literal) {
    hash_text(h, (choir_str){literal, strlen(literal)});
}

static void hash_ref(choiri_blake3 *h, const choiri_ref *ref) {
    if (!ref->decl) {
        hash_word(h, "var");
        hash_text(h, ref->var);
        return;
    }
    hash_word(h, "concrete");
    hash_u64(h, ref->decl->id);
    if (ref->args_len > 0) hash_word(h, "args");
    for (uint32_t i = 0; i < ref->args_len; i++) hash_ref(h, &ref->args[i]);
}

/* Elements have no name on the wire, not even an empty one. */
static void hash_items(choiri_blake3 *h, const choiri_item *items, uint32_t len, bool named) {
    for (uint32_t i = 0; i < len; i++) {
        if (named) hash_text(h, items[i].name);
        hash_ref(h, &items[i].ref);
    }
}

static void hash_variants(choiri_blake3 *h, const choiri_decl *d) {
    static const char shapes[][8] = {"unit", "newtype", "tuple", "struct"};
    for (uint32_t i = 0; i < d->items_len; i++) {
        const choiri_item *v = &d->items[i];
        hash_text(h, v->name);
        hash_u32(h, i);
        hash_word(h, shapes[v->shape]);
        hash_items(h, v->items, v->items_len, v->shape == CHOIR_VARIANT_STRUCT);
    }
}

static uint64_t hash_decl(const choiri_decl *d) {
    choiri_blake3 h;
    choiri_blake3_init(&h);
    if (d->kind != CHOIRI_WIRE_PRIMITIVE) hash_word(&h, choiri_wire_kind_name(d->kind));
    switch (d->kind) {
    case CHOIRI_WIRE_PRIMITIVE: hash_text(&h, d->name); break;
    case CHOIRI_WIRE_STRUCT:
    case CHOIRI_WIRE_ENUM:
        hash_text(&h, d->name);
        hash_u32(&h, d->params_len);
        for (uint32_t i = 0; i < d->params_len; i++) hash_text(&h, d->params[i]);
        if (d->kind == CHOIRI_WIRE_STRUCT) {
            hash_items(&h, d->items, d->items_len, true);
        } else {
            hash_variants(&h, d);
        }
        break;
    default:
        if (d->kind == CHOIRI_WIRE_CHANNEL) hash_word(&h, d->name.data[0] == 't' ? "send" : "recv");
        hash_items(&h, d->items, d->items_len, false);
        if (d->kind == CHOIRI_WIRE_ARRAY) hash_u64(&h, d->length);
        break;
    }
    return choiri_blake3_final_u64(&h);
}

/* --- recursive declarations --- */

/* Marks what refers to itself or forward, and what is referred to like that. */
static void mark_ref(choiri_decl *from, const choiri_ref *ref) {
    if (!ref->decl) return;
    if (ref->decl->place >= from->place) {
        from->recursive = true;
        ref->decl->recursive = true;
    }
    for (uint32_t i = 0; i < ref->args_len; i++) mark_ref(from, &ref->args[i]);
}

static void mark_items(choiri_decl *from, const choiri_item *items, uint32_t len) {
    for (uint32_t i = 0; i < len; i++) {
        mark_ref(from, &items[i].ref);
        mark_items(from, items[i].items, items[i].items_len);
    }
}

/* Sorts the group [first, end) by preliminary hash, stably, as a list of its own; returns its head. The list
 * runs through `next`, which nothing else needs any more. */
static choiri_decl *sort_group(choiri_decl *first, const choiri_decl *end) {
    choiri_decl *sorted = NULL;
    for (choiri_decl *d = first; d != end; d = d->later) {
        choiri_decl **at = &sorted;
        while (*at && (*at)->key <= d->key) at = &(*at)->next;
        d->next = *at;
        *at = d;
    }
    return sorted;
}

/* A group is a run of recursive declarations. Their keys have done their work and make room for the
 * preliminary hashes: the ids must stay 0 until all of those are known. */
static void identify_group(choiri_decl *first, const choiri_decl *end) {
    for (choiri_decl *d = first; d != end; d = d->later) d->key = hash_decl(d);
    choiri_decl *sorted = sort_group(first, end);
    choiri_blake3 h;
    choiri_blake3_init(&h);
    for (const choiri_decl *d = sorted; d; d = d->next) hash_u64(&h, d->key);
    uint64_t group = choiri_blake3_final_u64(&h), position = 0;
    for (choiri_decl *d = sorted; d; d = d->next) {
        choiri_blake3_init(&h);
        hash_u64(&h, group);
        hash_u64(&h, position++);
        d->id = choiri_blake3_final_u64(&h);
    }
}

void choiri_decl_identify(choiri_decl *first) {
    for (choiri_decl *d = first; d; d = d->later) mark_items(d, d->items, d->items_len);
    for (choiri_decl *d = first; d; d = d->later) {
        if (!d->recursive) d->id = hash_decl(d);
    }
    for (choiri_decl *d = first; d;) {
        choiri_decl *end = d->later;
        if (d->recursive) {
            while (end && end->recursive) end = end->later;
            identify_group(d, end);
        }
        d = end;
    }
}
