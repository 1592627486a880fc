/* SPDX-License-Identifier: MIT */
/* CBOR of declarations, in the exact member order of vox 0.4.0 (rule: schema.cbor). */
#include "schema/decl.h"

static void write_tag(choiri_writer *w, size_t members, const char *tag) {
    choiri_cbor_write_map(w, 1 + members);
    choiri_cbor_write_key(w, "tag");
    choiri_cbor_write_key(w, tag);
}

static void write_text(choiri_writer *w, const char *key, choir_str text) {
    choiri_cbor_write_key(w, key);
    choiri_cbor_write_text(w, text);
}

void choiri_ref_write(choiri_writer *w, const choiri_ref *ref) {
    if (!ref->decl) {
        write_tag(w, 1, "var");
        write_text(w, "name", ref->var);
        return;
    }
    write_tag(w, 2, "concrete");
    choiri_cbor_write_key(w, "type_id");
    choiri_cbor_write_uint(w, ref->decl->id);
    choiri_cbor_write_key(w, "args");
    choiri_cbor_write_array(w, ref->args_len);
    for (uint32_t i = 0; i < ref->args_len; i++) choiri_ref_write(w, &ref->args[i]);
}

static void write_ref(choiri_writer *w, const char *key, const choiri_item *item) {
    choiri_cbor_write_key(w, key);
    choiri_ref_write(w, &item->ref);
}

static void write_refs(choiri_writer *w, const char *key, const choiri_item *items, uint32_t len) {
    choiri_cbor_write_key(w, key);
    choiri_cbor_write_array(w, len);
    for (uint32_t i = 0; i < len; i++) choiri_ref_write(w, &items[i].ref);
}

static void write_fields(choiri_writer *w, const choiri_item *items, uint32_t len) {
    choiri_cbor_write_key(w, "fields");
    choiri_cbor_write_array(w, len);
    for (uint32_t i = 0; i < len; i++) {
        choiri_cbor_write_map(w, 3);
        write_text(w, "name", items[i].name);
        write_ref(w, "type_ref", &items[i]);
        choiri_cbor_write_key(w, "required");
        choiri_cbor_write_bool(w, items[i].required);
    }
}

static void write_variant(choiri_writer *w, uint32_t index, const choiri_item *v) {
    choiri_cbor_write_map(w, 3);
    write_text(w, "name", v->name);
    choiri_cbor_write_key(w, "index");
    choiri_cbor_write_uint(w, index);
    choiri_cbor_write_key(w, "payload");
    switch (v->shape) {
    case CHOIR_VARIANT_NEWTYPE:
        write_tag(w, 1, "newtype");
        write_ref(w, "type_ref", &v->items[0]);
        break;
    case CHOIR_VARIANT_TUPLE:
        write_tag(w, 1, "tuple");
        write_refs(w, "types", v->items, v->items_len);
        break;
    case CHOIR_VARIANT_STRUCT:
        write_tag(w, 1, "struct");
        write_fields(w, v->items, v->items_len);
        break;
    default: choiri_cbor_write_key(w, "unit"); break;
    }
}

static void write_kind(choiri_writer *w, const choiri_decl *d) {
    const char *tag = choiri_wire_kind_name(d->kind);
    switch (d->kind) {
    case CHOIRI_WIRE_STRUCT:
        write_tag(w, 2, tag);
        write_text(w, "name", d->name);
        write_fields(w, d->items, d->items_len);
        break;
    case CHOIRI_WIRE_ENUM:
        write_tag(w, 2, tag);
        write_text(w, "name", d->name);
        choiri_cbor_write_key(w, "variants");
        choiri_cbor_write_array(w, d->items_len);
        for (uint32_t i = 0; i < d->items_len; i++) write_variant(w, i, &d->items[i]);
        break;
    case CHOIRI_WIRE_TUPLE:
        write_tag(w, 1, tag);
        write_refs(w, "elements", d->items, d->items_len);
        break;
    case CHOIRI_WIRE_MAP:
        write_tag(w, 2, tag);
        write_ref(w, "key", &d->items[0]);
        write_ref(w, "value", &d->items[1]);
        break;
    case CHOIRI_WIRE_PRIMITIVE:
        write_tag(w, 1, tag);
        write_text(w, "primitive_type", d->name);
        break;
    case CHOIRI_WIRE_CHANNEL:
        write_tag(w, 2, tag);
        write_text(w, "direction", d->name);
        write_ref(w, "element", &d->items[0]);
        break;
    default: /* list, option, array */
        write_tag(w, d->kind == CHOIRI_WIRE_ARRAY ? 2 : 1, tag);
        write_ref(w, "element", &d->items[0]);
        if (d->kind != CHOIRI_WIRE_ARRAY) break;
        choiri_cbor_write_key(w, "length");
        choiri_cbor_write_uint(w, d->length);
        break;
    }
}

void choiri_decl_write(choiri_writer *w, const choiri_decl *d) {
    choiri_cbor_write_map(w, 3);
    choiri_cbor_write_key(w, "id");
    choiri_cbor_write_uint(w, d->id);
    choiri_cbor_write_key(w, "type_params");
    choiri_cbor_write_array(w, d->params_len);
    for (uint32_t i = 0; i < d->params_len; i++) choiri_cbor_write_text(w, d->params[i]);
    choiri_cbor_write_key(w, "kind");
    write_kind(w, d);
}
