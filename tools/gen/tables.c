/* SPDX-License-Identifier: MIT */
/* Descriptors in the source. Sizes, alignments and offsets are left to the compiler, so that one output
 * serves every machine; everything else is what the interface file was read into. Tables are wider than other
 * code: one record is one line. Names here have no underscore, which all names of the header have. */
#include "gen/gen.h"

#define BYTES_PER_LINE 17u

static const char *const kind_names[] = {
    "",     "BOOL",  "U8",  "U16",   "U32",    "U64",   "U128",   "I8",    "I16",    "I32",     "I64",
    "I128", "F32",   "F64", "CHAR",  "STRING", "BYTES", "UNIT",   "NEVER", "OPTION", "LIST",    "SET",
    "MAP",  "ARRAY", "BOX", "TUPLE", "STRUCT", "ENUM",  "RESULT", "TX",    "RX",     "DURATION"};

static void number(gen *g, const char *member, uint32_t value) {
    if (value != 0) gen_add(&g->source, ", .%s = %u", member, (unsigned)value);
}

/* The offset of a value in an option or result. */
static const char *choice_member(const gen *g, const choir_type *t) {
    if (t->kind == CHOIR_KIND_OPTION) return gen_is_empty(g, t->elem) ? NULL : "value";
    if (t->kind != CHOIR_KIND_RESULT) return NULL;
    if (!gen_is_empty(g, t->elem)) return "ok";
    return gen_is_empty(g, t->elem2) ? NULL : "err";
}

static void add_type(gen *g, uint32_t index) {
    const choir_type *t = idl_type_at(g->file, index);
    gen_add(&g->source, "    {.kind = CHOIR_KIND_%s", kind_names[t->kind]);
    if (gen_is_empty(g, index))
        gen_add(&g->source, ", .align = 1");
    else
        gen_add(&g->source, ", TYPE(%s)", gen_declare(g, index, ""));
    number(g, "name", t->name);
    number(g, "elem", t->elem);
    number(g, "elem2", t->elem2);
    number(g, "first", t->first);
    number(g, "count", t->count);
    const char *member = choice_member(g, t);
    if (member) gen_add(&g->source, ", .offset = offsetof(%s, %s)", g->names[index], member);
    number(g, "decl", t->decl);
    number(g, "first_param", t->first_param);
    number(g, "params", t->params);
    gen_add(&g->source, "}, /* %u: %s */\n", (unsigned)index,
            g->mangled[index] ? g->mangled[index] : kind_names[t->kind]);
}

/* Where each field is: the owner and the path in it. */
static void add_field(gen *g, const char **paths, uint32_t index) {
    const choir_field *field = idl_field_at(g->file, index);
    gen_add(&g->source, "    {.type = %u", (unsigned)field->type);
    number(g, "name", field->name);
    if (paths[index] && !gen_is_empty(g, field->type))
        gen_add(&g->source, ", .offset = offsetof(%s)", paths[index]);
    number(g, "flags", field->flags);
    gen_add(&g->source, "},\n");
}

static void find_paths(gen *g, const char **paths, uint32_t type) {
    const choir_type *t = idl_type_at(g->file, type);
    const char *name = g->names[type];
    if (t->kind == CHOIR_KIND_TUPLE || t->kind == CHOIR_KIND_STRUCT)
        for (uint32_t i = t->first; i < t->first + t->count; i++)
            paths[i] = gen_format(g, "%s, %s", name, g->members[i]);
    if (t->kind != CHOIR_KIND_ENUM) return;
    const idl_variant *v = idl_info_at(g->file, type)->decl->variants;
    for (uint32_t k = t->first; k < t->first + t->count; k++, v = v->next) {
        const choir_variant *made = idl_variant_at(g->file, k);
        const char *member = gen_variant_member(g, v);
        for (uint32_t i = made->first; i < made->first + made->count; i++)
            paths[i] = made->shape == CHOIR_VARIANT_NEWTYPE
                           ? gen_format(g, "%s, %s", name, member)
                           : gen_format(g, "%s, %s.%s", name, member, g->members[i]);
    }
}

static void add_fields(gen *g) {
    uint32_t len = g->file->fields.len;
    const char **paths = idl_alloc(g->file, (len + 1) * sizeof *paths);
    for (uint32_t i = 0; i < g->file->types.len; i++) find_paths(g, paths, i);
    if (len == 0) return;
    gen_add(&g->source, "\nstatic const choir_field fields[] = {\n");
    for (uint32_t i = 0; i < len; i++) add_field(g, paths, i);
    gen_add(&g->source, "};\n");
}

static void add_variants(gen *g) {
    static const char *const shapes[] = {"UNIT", "NEWTYPE", "TUPLE", "STRUCT"};
    if (g->file->variants.len == 0) return;
    gen_add(&g->source, "\nstatic const choir_variant variants[] = {\n");
    for (uint32_t i = 0; i < g->file->variants.len; i++) {
        const choir_variant *v = idl_variant_at(g->file, i);
        gen_add(&g->source, "    {.name = %u, .shape = CHOIR_VARIANT_%s", (unsigned)v->name,
                shapes[v->shape]);
        number(g, "first", v->first);
        number(g, "count", v->count);
        gen_add(&g->source, "},\n");
    }
    gen_add(&g->source, "};\n");
}

/* One literal for each name: a single one may be longer than C allows. */
static void add_strings(gen *g) {
    const char *all = g->file->strings.items;
    uint32_t len = g->file->strings.len;
    gen_add(
        &g->source,
        "\n/* Names are offsets into one block of text. */\nstatic const struct strings {\n    char s0[1];\n");
    for (uint32_t at = 1; at < len; at += (uint32_t)strlen(all + at) + 1)
        gen_add(&g->source, "    char s%u[%zu];\n", (unsigned)at, strlen(all + at) + 1);
    gen_add(&g->source, "} strings = {\n    \"\",\n");
    for (uint32_t at = 1; at < len; at += (uint32_t)strlen(all + at) + 1) {
        gen_add(&g->source, "    \"");
        for (const char *c = all + at; *c; c++)
            if ((uint8_t)*c < 0x80)
                gen_add(&g->source, "%c", *c);
            else
                gen_add(&g->source, "\\%03o", (unsigned)(uint8_t)*c);
        gen_add(&g->source, "\",\n");
    }
    gen_add(&g->source, "};\n");
}

static void add_params(gen *g) {
    const choir_param *params = g->file->params.items;
    if (g->file->params.len == 0) return;
    gen_add(&g->source, "\nstatic const choir_param params[] = {\n");
    for (uint32_t i = 0; i < g->file->params.len; i++)
        gen_add(&g->source, "    {.name = %u, .type = %u},\n", (unsigned)params[i].name,
                (unsigned)params[i].type);
    gen_add(&g->source, "};\n");
}

/* ---- announcements ---- */

static void add_numbers(gen *g, const char *head, const void *items, uint32_t len, size_t size) {
    gen_add(&g->source, "\n%s = {", head);
    for (uint32_t i = 0; i < len; i++) {
        gen_add(&g->source, i % BYTES_PER_LINE == 0 ? "\n    " : " ");
        if (size == 1)
            gen_add(&g->source, "0x%02x,", (unsigned)((const uint8_t *)items)[i]);
        else
            gen_add(&g->source, "%u,", (unsigned)((const uint32_t *)items)[i]);
    }
    gen_add(&g->source, "\n};\n");
}

static void add_announcements(gen *g) {
    const choir_unit *u = &g->file->unit;
    if (u->announcements_len == 0) return;
    gen_add(&g->source,
            "\n/* What is announced, computed beforehand. */\nstatic const choir_schema schemas[] = {\n");
    for (uint32_t i = 0; i < u->schemas_len; i++)
        gen_add(&g->source, "    {UINT64_C(0x%016llx), %u, %u},\n", (unsigned long long)u->schemas[i].id,
                (unsigned)u->schemas[i].at, (unsigned)u->schemas[i].len);
    gen_add(&g->source, "};\n\nstatic const choir_announcement announcements[] = {\n");
    for (uint32_t i = 0; i < u->announcements_len; i++)
        gen_add(&g->source, "    {.first = %u, .count = %u, .root = %u, .root_len = %u},\n",
                (unsigned)u->announcements[i].first, (unsigned)u->announcements[i].count,
                (unsigned)u->announcements[i].root, (unsigned)u->announcements[i].root_len);
    gen_add(&g->source, "};\n");
    add_numbers(g, "static const uint32_t parts[]", u->parts, u->parts_len, sizeof(uint32_t));
    add_numbers(g, "static const uint8_t bytes[]", u->schema_bytes, u->schema_bytes_len, 1);
}

/* ---- all ---- */

static void unit_member(gen *g, const char *name, const char *table, uint32_t len) {
    if (len == 0) return;
    gen_add(&g->source, "    .%s = %s,\n    .%s_len = %u,\n", name, table, name, (unsigned)len);
}

static void add_unit(gen *g) {
    const choir_unit *u = &g->file->unit;
    gen_add(&g->source, "\nconst choir_unit %s_unit = {\n    CHOIR_UNIT_HEADER,\n", g->prefix);
    unit_member(g, "types", "types", u->types_len);
    unit_member(g, "fields", "fields", u->fields_len);
    unit_member(g, "variants", "variants", u->variants_len);
    unit_member(g, "params", "params", u->params_len);
    if (u->announcements_len > 0) {
        unit_member(g, "schemas", "schemas", u->schemas_len);
        unit_member(g, "announcements", "announcements", u->announcements_len);
        unit_member(g, "parts", "parts", u->parts_len);
        unit_member(g, "schema_bytes", "bytes", u->schema_bytes_len);
    }
    gen_add(&g->source, "    .strings = (const char *)&strings,\n    .strings_len = sizeof strings,\n};\n");
}

/* What the header says and the library relies on. */
static void add_layouts(gen *g) {
    bool any = false, lists = false;
    for (uint32_t i = 0; i < g->file->types.len; i++) {
        if (!g->tags[i]) continue;
        if (!any)
            gen_add(
                &g->source,
                "#define TAG(type) _Static_assert(sizeof(type) == sizeof(uint32_t), \"a tag is a uint32_t: "
                "not with -fshort-enums\")\n");
        any = true;
        gen_add(&g->source, "TAG(%s);\n", g->tags[i]);
    }
    for (uint32_t i = 0; i < g->file->types.len; i++) {
        if (!gen_is_list(g, i) || !gen_declared(g, i) || g->first_list[i] != i) continue;
        if (!lists)
            gen_add(&g->source,
                    "#define AT(type, member) offsetof(type, member) == offsetof(choir_list, member)\n"
                    "#define LIST(type) _Static_assert(sizeof(type) == sizeof(choir_list) && "
                    "AT(type, items) && AT(type, len), \"a list is a choir_list\")\n");
        lists = true;
        gen_add(&g->source, "LIST(%s);\n", g->lists[i]);
    }
    if (any || lists) gen_add(&g->source, "\n");
}

void gen_add_tables(gen *g) {
    gen_add(&g->source, "/* One record is one line. */\n/* clang-format off */\n");
    add_layouts(g);
    add_strings(g);
    gen_add(&g->source, "\n#define TYPE(type) .size = sizeof(type), .align = _Alignof(type)\n");
    if (g->file->types.len > 0) gen_add(&g->source, "\nstatic const choir_type types[] = {\n");
    for (uint32_t i = 0; i < g->file->types.len; i++) add_type(g, i);
    if (g->file->types.len > 0) gen_add(&g->source, "};\n");
    add_fields(g);
    add_variants(g);
    add_params(g);
    add_announcements(g);
    add_unit(g);
}

void gen_add_methods_table(gen *g, uint32_t service) {
    static const char *const flags[] = {"", ", .flags = CHOIR_METHOD_IDEM", ", .flags = CHOIR_METHOD_PERSIST",
                                        ", .flags = CHOIR_METHOD_IDEM | CHOIR_METHOD_PERSIST"};
    const char *prefix = gen_service_prefix(g, service);
    const choir_service *s = idl_service(g->file, service);
    if (s->methods_len > 0) {
        gen_add(&g->source, "\nstatic const choir_method methods%u[] = {\n", (unsigned)service);
        for (uint32_t i = 0; i < s->methods_len; i++) {
            const choir_method *m = &s->methods[i];
            gen_add(&g->source,
                    "    {.name = %u%s, .args = %u, .ok = %u, .err = %u, .id = UINT64_C(0x%016llx)",
                    (unsigned)m->name, flags[m->flags], (unsigned)m->args, (unsigned)m->ok, (unsigned)m->err,
                    (unsigned long long)m->id);
            number(g, "args_announcement", m->args_announcement);
            number(g, "response_announcement", m->response_announcement);
            gen_add(&g->source, "},\n");
        }
        gen_add(&g->source, "};\n");
    }
    gen_add(&g->source, "\nconst choir_service %s_service = {\n    .unit = &%s_unit,\n    .name = %u,\n",
            prefix, g->prefix, (unsigned)s->name);
    if (s->methods_len > 0)
        gen_add(&g->source, "    .methods_len = %u,\n    .methods = methods%u,\n", (unsigned)s->methods_len,
                (unsigned)service);
    gen_add(&g->source, "};\n");
}
