/* SPDX-License-Identifier: MIT */
/* Announcements that were computed when a unit was made, and what can be told from an announcement.
 *
 * Using one costs a list of its parts, whose bytes stay in the unit. They go to peers as they are and are
 * what a peer's types are compared with, so what the comparison relies on is checked here: that each schema
 * and the root can be read, and that every type that is referred to is there. Whether they say what the types
 * say is for the tests of who makes units (choiri_prepared_verify): finding out would take the very work that
 * is saved.
 */
#include "schema/precomputed.h"

#include "schema/extract.h"
#include "schema/wire_schema.h"
#include "value/unit.h"

/* Are all the types known that are referred to anywhere in the next item? `depth` is bounded by who checked
 * it. */
static bool is_closed(choiri_reader *r, const choiri_schema_set *a) {
    size_t count;
    choir_str key;
    uint64_t id;
    switch (choiri_cbor_peek(r)) {
    case CHOIRI_CBOR_ARRAY:
        if (!choiri_cbor_read_array(r, &count)) return false;
        for (; count > 0; count--)
            if (!is_closed(r, a)) return false;
        return true;
    case CHOIRI_CBOR_MAP:
        if (!choiri_cbor_read_map(r, &count)) return false;
        for (; count > 0; count--) {
            if (!choiri_cbor_read_text(r, &key)) return false;
            if (!choiri_wire_is((choir_bytes){(const uint8_t *)key.data, key.len}, "type_id")) {
                if (!is_closed(r, a)) return false;
            } else if (!choiri_cbor_read_uint(r, &id) || !choiri_schema_set_find(a, id)) {
                return false;
            }
        }
        return true;
    default: return choiri_cbor_skip(r, NULL);
    }
}

static bool is_schema(const choiri_schema_part *part) {
    choiri_wire_reader w = choiri_wire_reader_of(part->cbor);
    choiri_wire_object schema;
    return choiri_wire_read_schema(&w, &schema) && choiri_reader_left(&w.r) == 0 &&
           schema.members[0].number == part->id;
}

static bool is_root(choir_bytes root) {
    choiri_wire_reader w = choiri_wire_reader_of(root);
    choiri_wire_object ref;
    return choiri_wire_read_ref(&w, &ref) && choiri_reader_left(&w.r) == 0;
}

static int bad(choiri_text *text, uint32_t index, const char *why) {
    choiri_text_u64(choiri_text_add(text, "announcement "), index);
    choiri_text_add(choiri_text_add(text, ": "), why);
    return CHOIR_ERR_INVALID;
}

int choiri_schema_set_precomputed(choiri_arena *out, const choir_unit *u, uint32_t index,
                                  choiri_schema_set *ret, choiri_text *ret_text) {
    const choir_announcement *from = choiri_unit_announcement(u, index);
    choiri_schema_part *parts =
        choiri_arena_alloc(out, from->count * sizeof *parts, _Alignof(choiri_schema_part));
    if (!parts) return CHOIR_ERR_NO_MEMORY;
    choiri_schema_set a = {parts, from->count, {u->schema_bytes + from->root, from->root_len}};
    for (uint32_t i = 0; i < from->count; i++) {
        const choir_schema *s = choiri_unit_schema(u, u->parts[from->first + i]);
        parts[i] = (choiri_schema_part){s->id, {u->schema_bytes + s->at, s->len}};
        if (!is_schema(&parts[i]))
            return bad(ret_text, index, "one of its schemas is none, or has another id");
    }
    if (!is_root(a.root)) return bad(ret_text, index, "its root is no reference to a type");
    for (uint32_t i = 0; i <= a.parts_len; i++) {
        choiri_reader r = choiri_reader_of(i < a.parts_len ? parts[i].cbor : a.root);
        if (!is_closed(&r, &a)) return bad(ret_text, index, "a type that it refers to is not in it");
    }
    *ret = a;
    return CHOIR_OK;
}

bool choiri_schema_set_has_channels(const choiri_schema_set *a) {
    for (uint32_t i = 0; i < a->parts_len; i++) {
        choiri_wire_reader w = choiri_wire_reader_of(a->parts[i].cbor);
        choiri_wire_object schema, kind;
        if (!choiri_wire_read_schema(&w, &schema)) continue;
        w = choiri_wire_reader_of(schema.members[2].span);
        if (choiri_wire_read_kind(&w, &kind) && kind.form == CHOIRI_WIRE_CHANNEL) return true;
    }
    return false;
}

/* --- the proof that what was computed is what would be computed --- */

static bool is_equal(const choiri_schema_set *a, const choiri_schema_set *b) {
    if (a->parts_len != b->parts_len || !choiri_wire_equal(a->root, b->root)) return false;
    for (uint32_t i = 0; i < a->parts_len; i++) {
        if (a->parts[i].id != b->parts[i].id || !choiri_wire_equal(a->parts[i].cbor, b->parts[i].cbor))
            return false;
    }
    return true;
}

static int verify(choiri_arena *arena, const choiri_root *root, const choiri_schema_set *have,
                  choiri_text *text) {
    choiri_schema_set computed;
    int status = choiri_extract(arena, NULL, root, &computed, text);
    if (status == CHOIR_OK && !is_equal(have, &computed)) {
        choiri_text_add(text, root->is_response
                                  ? "its response is announced differently than its types say"
                                  : "its arguments are announced differently than their types say");
        status = CHOIR_ERR_INVALID;
    }
    choiri_arena_reset(arena);
    return status;
}

int choiri_prepared_verify(choir_env *env, const choiri_prepared *s, choiri_text *ret_text) {
    choiri_arena arena;
    choiri_arena_init(&arena, env, NULL, 0, SIZE_MAX);
    choiri_text_init(ret_text);
    for (uint32_t i = 0; i < s->methods_len; i++) {
        const choiri_prepared_method *m = &s->methods[i];
        choiri_root root = {.unit = s->desc->unit, .type = m->desc->args};
        choiri_text why;
        int status = verify(&arena, &root, &m->args, &why);
        root =
            (choiri_root){.unit = s->desc->unit, .is_response = true, .ok = m->desc->ok, .err = m->desc->err};
        if (status == CHOIR_OK) status = verify(&arena, &root, &m->response, &why);
        if (status == CHOIR_OK) continue;
        choiri_text_str(ret_text, choir_method_name(s->desc, i));
        choiri_text_str(choiri_text_add(ret_text, ": "), choiri_text_get(&why));
        return status;
    }
    return CHOIR_OK;
}
