/* SPDX-License-Identifier: MIT */
/* Types in the header, each behind those that it holds by value. */
#include "gen/gen.h"

static void add_type(gen *g, uint32_t type);

/* A member, with its docs; nothing for what is empty. */
static void add_member(gen *g, uint32_t type, const char *name, const idl_doc *docs, unsigned indent) {
    if (gen_is_empty(g, type)) return;
    gen_add_docs(&g->header, docs, indent, gen_items(g, type));
    gen_add(&g->header, "%*s%s;\n", (int)indent, "", gen_declare(g, type, name));
}

static void add_fields(gen *g, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++) {
        const idl_field *info = gen_field_info(g, i);
        add_member(g, idl_field_at(g->file, i)->type, g->members[i], info ? info->docs : NULL, 4);
    }
}

static void open_struct(gen *g, const char *name, const idl_doc *docs) {
    gen_add(&g->header, "\n");
    gen_add_docs(&g->header, docs, 0, NULL);
    gen_add(&g->header, "typedef struct %s {\n", name);
}

static void close_struct(gen *g, const char *name) {
    gen_add(&g->header, "} %s;\n", name);
}

/* Does any of the fields have a member in C? */
static bool has_members(const gen *g, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++)
        if (!gen_is_empty(g, idl_field_at(g->file, i)->type)) return true;
    return false;
}

static void add_tags(gen *g, uint32_t type) {
    const idl_decl *d = idl_info_at(g->file, type)->decl;
    gen_add(&g->header, "\n");
    gen_add_docs(&g->header, NULL, 0, gen_format(g, "%s.tag", g->names[type]));
    gen_add(&g->header, "typedef enum %s {\n", g->tags[type]);
    for (const idl_variant *v = d->variants; v; v = v->next) {
        gen_add_docs(&g->header, v->docs, 4, NULL);
        gen_add(&g->header, "    %s,\n", gen_variant_tag(g, type, v));
    }
    gen_add(&g->header, "} %s;\n", g->tags[type]);
}

/* Variants with several fields have a struct of their own, which C++ wants to have a name. */
static void add_variant_structs(gen *g, uint32_t type) {
    const choir_type *t = idl_type_at(g->file, type);
    const idl_variant *v = idl_info_at(g->file, type)->decl->variants;
    for (uint32_t i = t->first; i < t->first + t->count; i++, v = v->next) {
        const choir_variant *made = idl_variant_at(g->file, i);
        if (made->shape <= CHOIR_VARIANT_NEWTYPE || !has_members(g, made->first, made->count)) continue;
        open_struct(g, gen_variant_struct(g, type, v), NULL);
        add_fields(g, made->first, made->count);
        close_struct(g, gen_variant_struct(g, type, v));
    }
}

static void add_enum(gen *g, uint32_t type) {
    const choir_type *t = idl_type_at(g->file, type);
    const idl_decl *d = idl_info_at(g->file, type)->decl;
    const idl_variant *v = d->variants;
    bool any = false;
    add_tags(g, type);
    add_variant_structs(g, type);
    open_struct(g, g->names[type], d->docs);
    gen_add(&g->header, "    %s tag;\n", gen_enum(g, g->tags[type]));
    for (uint32_t i = t->first; i < t->first + t->count; i++, v = v->next) {
        const choir_variant *made = idl_variant_at(g->file, i);
        if (!has_members(g, made->first, made->count)) continue;
        if (!any) gen_add(&g->header, "    union {\n");
        any = true;
        const char *name = gen_variant_member(g, v);
        if (made->shape == CHOIR_VARIANT_NEWTYPE)
            add_member(g, idl_field_at(g->file, made->first)->type, name, NULL, 8);
        else
            gen_add(&g->header, "        %s %s;\n", gen_struct(g, gen_variant_struct(g, type, v)), name);
    }
    if (any) gen_add(&g->header, "    };\n");
    close_struct(g, g->names[type]);
}

static void add_option(gen *g, uint32_t type) {
    open_struct(g, g->names[type], NULL);
    gen_add(&g->header, "    bool some;\n");
    add_member(g, idl_type_at(g->file, type)->elem, "value", NULL, 4);
    close_struct(g, g->names[type]);
}

static void add_result(gen *g, uint32_t type) {
    const choir_type *t = idl_type_at(g->file, type);
    open_struct(g, g->names[type], NULL);
    gen_add(&g->header, "    /* 0: ok; 1: err */\n    uint32_t tag;\n");
    if (!gen_is_empty(g, t->elem) || !gen_is_empty(g, t->elem2)) {
        gen_add(&g->header, "    union {\n");
        add_member(g, t->elem, "ok", NULL, 8);
        add_member(g, t->elem2, "err", NULL, 8);
        gen_add(&g->header, "    };\n");
    }
    close_struct(g, g->names[type]);
}

static void add_record(gen *g, uint32_t type) {
    const choir_type *t = idl_type_at(g->file, type);
    const idl_decl *d = idl_info_at(g->file, type)->decl;
    open_struct(g, g->names[type], d ? d->docs : NULL);
    add_fields(g, t->first, t->count);
    close_struct(g, g->names[type]);
}

/* Of what it holds it needs no more than the name, so that a struct can have a list of itself. */
static void add_list(gen *g, uint32_t type) {
    open_struct(g, g->lists[type], NULL);
    gen_add(&g->header, "    %s;\n    size_t len;\n", gen_declare_items(g, type));
    close_struct(g, g->lists[type]);
}

static void add_field_types(gen *g, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++) add_type(g, idl_field_at(g->file, i)->type);
}

/* What a type holds by value comes first. Nesting is bounded by the layout. */
static void add_parts(gen *g, uint32_t type) {
    const choir_type *t = idl_type_at(g->file, type);
    switch (t->kind) {
    case CHOIR_KIND_RESULT:
        add_type(g, t->elem);
        add_type(g, t->elem2);
        return;
    case CHOIR_KIND_OPTION:
    case CHOIR_KIND_ARRAY: add_type(g, t->elem); return;
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT: add_field_types(g, t->first, t->count); return;
    case CHOIR_KIND_ENUM:
        for (uint32_t i = t->first; i < t->first + t->count; i++)
            add_field_types(g, idl_variant_at(g->file, i)->first, idl_variant_at(g->file, i)->count);
        return;
    default: return;
    }
}

static void add_type(gen *g, uint32_t type) {
    if (gen_is_list(g, type)) type = g->first_list[type];
    if (g->emitted[type] || gen_is_empty(g, type)) return;
    g->emitted[type] = true;
    add_parts(g, type);
    switch (idl_type_at(g->file, type)->kind) {
    case CHOIR_KIND_ENUM: add_enum(g, type); return;
    case CHOIR_KIND_OPTION: add_option(g, type); return;
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP:
        if (gen_declared(g, type)) add_list(g, type);
        return;
    case CHOIR_KIND_RESULT: add_result(g, type); return;
    case CHOIR_KIND_TUPLE:
    case CHOIR_KIND_STRUCT: add_record(g, type); return;
    default: return;
    }
}

typedef struct place {
    uint32_t at, type;
} place;

static int by_place(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return x->type < y->type ? -1 : 1;
}

/* Types with a name in C as numbers, in the order of the file. */
static void add_numbers(gen *g, const place *places, uint32_t len) {
    bool any = false;
    gen_add(&g->header, "\n/* The tables, and types in them: for choir_value_print and the like. */\n");
    gen_add(&g->header, "extern const choir_unit %s_unit;\n", g->prefix);
    for (uint32_t i = 0; i < len; i++) {
        uint32_t type = places[i].type;
        if (!gen_is_struct(g, type) || gen_is_empty(g, type)) continue;
        if (!any) gen_add(&g->header, "enum {\n");
        any = true;
        gen_add(&g->header, "    %s = %u,\n", gen_type_number(g, type), (unsigned)type);
    }
    if (any) gen_add(&g->header, "};\n");
}

/* Declared types in the order of the file, then those that only have a form, as (A, B) in a Vec. Arguments
 * come with their methods. */
void gen_add_types(gen *g) {
    uint32_t types = g->file->types.len, len = 0;
    place *places = idl_alloc(g->file, (types + 1) * sizeof *places);
    for (uint32_t i = 0; i < types; i++) {
        const idl_info *info = idl_info_at(g->file, i);
        if (info->role == IDL_ARGS) continue;
        places[len++] =
            (place){info->decl && info->decl != g->file->prelude ? info->decl->name.at : IDL_NONE, i};
    }
    if (len > 0) qsort(places, len, sizeof *places, by_place);
    for (uint32_t i = 0; i < len; i++) add_type(g, places[i].type);
    add_numbers(g, places, len);
}

void gen_add_args(gen *g, uint32_t type) {
    add_type(g, type);
}
