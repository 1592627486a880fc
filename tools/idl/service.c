/* SPDX-License-Identifier: MIT */
/* The results: strings, methods with their ids, services, the unit, and what is announced. */
#include "idl/internal.h"

#include "schema/extract.h"
#include "schema/wire_schema.h"
#include "value/unit.h"

#include <inttypes.h>

/* Far above any real interface; a guard against types whose announcement grows without end. */
#define ANNOUNCE_MAX ((size_t)256 << 20)

uint32_t idl_string(idl *f, choir_str name) {
    idl_entry *e = idl_entry_of(f, &f->strings, idl_bytes(name), true);
    if (e->value) return (uint32_t)(uintptr_t)e->value - 1;
    uint32_t at = f->strings.len;
    for (size_t i = 0; i < name.len; i++) *(char *)idl_push(&f->strings, 1) = name.data[i];
    *(char *)idl_push(&f->strings, 1) = '\0';
    e->value = (void *)((uintptr_t)at + 1);
    return at;
}

/* A method's id must be its own. */
static bool check_id(idl *f, const idl_decl *trait, const idl_method *m, uint64_t id) {
    choir_str copy = idl_copy(f, (choir_str){(const char *)&id, sizeof id});
    idl_entry *e = idl_entry_of(f, &trait->methods, idl_bytes(copy), true);
    uint32_t line, column;
    if (e->value) {
        const idl_method *other = e->value;
        idl_place(f, other->name.at, &line, &column);
        return idl_fail(
            f, m->name.at, (uint32_t)m->name.text.len, "names that differ in more than underscores and case",
            "the method id of \"%.*s\" is also that of \"%.*s\" in line %u", (int)m->name.full.len,
            m->name.full.data, (int)other->name.full.len, other->name.full.data, (unsigned)line);
    }
    e->value = (void *)(uintptr_t)m;
    return true;
}

static bool make_services(idl *f) {
    choir_method *method = f->methods.items;
    for (const idl_decl *d = f->decls; d; d = d->next) {
        if (d->what != IDL_TRAIT) continue;
        uint32_t name = idl_string(f, d->name.full);
        *(choir_service *)idl_push(&f->services, sizeof(choir_service)) =
            (choir_service){&f->unit, name, d->methods_len, d->methods_len ? method : NULL};
        *(const idl_decl **)idl_push(&f->traits, sizeof(idl_decl *)) = d;
        for (const idl_method *m = d->methods; m; m = m->next, method++) {
            if (!idl_method_id(f, &d->name, &m->name, &method->id)) return false;
            if (!check_id(f, d, m, method->id)) return false;
        }
    }
    return true;
}

static void fill_unit(idl *f) {
    static const choir_unit header = {CHOIR_UNIT_HEADER};
    f->unit = header;
    f->unit.types = f->types.items;
    f->unit.types_len = f->types.len;
    f->unit.fields = f->fields.items;
    f->unit.fields_len = f->fields.len;
    f->unit.variants = f->variants.items;
    f->unit.variants_len = f->variants.len;
    f->unit.strings = f->strings.items;
    f->unit.strings_len = f->strings.len;
    f->unit.params = f->params.items;
    f->unit.params_len = f->params.len;
    f->unit.schemas = f->schemas.items;
    f->unit.schemas_len = f->schemas.len;
    f->unit.announcements = f->announcements.items;
    f->unit.announcements_len = f->announcements.len;
    f->unit.parts = f->parts.items;
    f->unit.parts_len = f->parts.len;
    f->unit.schema_bytes = f->schema_bytes.items;
    f->unit.schema_bytes_len = f->schema_bytes.len;
}

bool idl_finish(idl *f) {
    if (!make_services(f)) return false;
    fill_unit(f);
    return true;
}

uint32_t idl_services_len(const idl *file) {
    return file->services.len;
}

const choir_service *idl_service(const idl *file, uint32_t index) {
    return (const choir_service *)file->services.items + index;
}

const choir_service *idl_find(const idl *file, choir_str name) {
    for (uint32_t i = 0; i < file->services.len; i++)
        if (idl_same(choir_service_name(idl_service(file, i)), name)) return idl_service(file, i);
    return NULL;
}

const choir_unit *idl_unit(const idl *file) {
    return &file->unit;
}

/* ---- announcements ---- */

static void *env_alloc(void *ctx, size_t size) {
    (void)ctx;
    return malloc(size);
}
static void *env_realloc(void *ctx, void *ptr, size_t old_size, size_t size) {
    (void)ctx, (void)old_size;
    return realloc(ptr, size);
}
static void env_free(void *ctx, void *ptr, size_t size) {
    (void)ctx, (void)size;
    free(ptr);
}
/* Only the layout of tables in memory depends on it. */
static int no_random(void *ctx, void *out, size_t len) {
    (void)ctx;
    memset(out, 1, len);
    return 0;
}

/* The number of a schema in the unit: equal ones are kept once. */
static uint32_t add_schema(idl *f, const choiri_schema_part *part) {
    idl_entry *e = idl_entry_of(f, &f->schemas, part->cbor, false);
    if (e) return (uint32_t)(uintptr_t)e->value;
    choir_str copy = idl_copy(f, (choir_str){(const char *)part->cbor.data, part->cbor.len});
    e = idl_entry_of(f, &f->schemas, idl_bytes(copy), true);
    uint32_t index = f->schemas.len, at = f->schema_bytes.len;
    for (size_t i = 0; i < copy.len; i++) *(char *)idl_push(&f->schema_bytes, 1) = copy.data[i];
    choir_schema *schema = idl_push(&f->schemas, sizeof *schema);
    *schema = (choir_schema){part->id, at, (uint32_t)copy.len};
    e->value = (void *)(uintptr_t)index;
    return index;
}

static uint32_t add_announcement(idl *f, const choiri_schema_set *a) {
    choir_announcement made = {.first = f->parts.len, .count = a->parts_len};
    for (uint32_t i = 0; i < a->parts_len; i++) {
        uint32_t schema = add_schema(f, &a->parts[i]);
        *(uint32_t *)idl_push(&f->parts, sizeof(uint32_t)) = schema;
    }
    made.root = f->schema_bytes.len;
    made.root_len = (uint32_t)a->root.len;
    for (size_t i = 0; i < a->root.len; i++) *(uint8_t *)idl_push(&f->schema_bytes, 1) = a->root.data[i];
    *(choir_announcement *)idl_push(&f->announcements, sizeof made) = made;
    return f->announcements.len; /* index + 1 */
}

static bool announce(idl *f, choir_env *env, const choiri_root *root, const idl_method *m, uint32_t *ret) {
    choiri_arena arena;
    choiri_schema_set made;
    choiri_text text;
    choiri_text_init(&text);
    choiri_arena_init(&arena, env, NULL, 0, ANNOUNCE_MAX);
    int status = choiri_extract(&arena, NULL, root, &made, &text);
    if (status == CHOIR_OK) *ret = add_announcement(f, &made);
    choiri_arena_reset(&arena);
    if (status == CHOIR_OK) return true;
    choir_str why = choiri_text_get(&text);
    return idl_fail(f, m->name.at, (uint32_t)m->name.text.len, NULL, "this method cannot be announced: %.*s",
                    (int)why.len, why.data);
}

static bool announce_all(idl *f, choir_env *env) {
    choiri_text text;
    if (choiri_unit_check(&f->unit, &text) != CHOIR_OK) {
        choir_str why = choiri_text_get(&text);
        return idl_fail(f, IDL_NONE, 0, NULL, "%.*s", (int)why.len, why.data);
    }
    choir_method *method = f->methods.items;
    for (const idl_decl *d = f->decls; d; d = d->next) {
        for (const idl_method *m = d->methods; m; m = m->next, method++) {
            const choiri_root args = {.unit = &f->unit, .type = method->args};
            const choiri_root response = {
                .unit = &f->unit, .is_response = true, .ok = method->ok, .err = method->err};
            if (!announce(f, env, &args, m, &method->args_announcement) ||
                !announce(f, env, &response, m, &method->response_announcement))
                return false;
        }
    }
    return true;
}

choir_env *idl_env(void) {
    choir_env *env;
    choir_env_options options;
    choir_env_options_init(&options);
    options.allocator = (choir_allocator){env_alloc, env_realloc, env_free, NULL};
    options.random = no_random;
    return choir_env_new(&options, &env) == CHOIR_OK ? env : NULL;
}

bool idl_announce(idl *f, idl_error *ret_error) {
    choir_env *env = idl_env();
    f->error = ret_error;
    f->failed = false;
    if (!env) return idl_fail(f, IDL_NONE, 0, NULL, "%s", choir_status_text(CHOIR_ERR_NO_MEMORY));
    bool good = f->announcements.len > 0 || announce_all(f, env);
    choir_env_free(env);
    fill_unit(f);
    return good;
}

uint64_t idl_announced_id(const idl *file, uint32_t announcement) {
    const choir_announcement *a = &file->unit.announcements[announcement - 1];
    choiri_wire_reader r =
        choiri_wire_reader_of((choir_bytes){file->unit.schema_bytes + a->root, a->root_len});
    choiri_wire_object root;
    return choiri_wire_read_ref(&r, &root) ? root.members[0].number : 0;
}

static void print_ref(FILE *out, choiri_wire_reader *r) {
    choiri_wire_object ref;
    if (!choiri_wire_read_ref(r, &ref) || ref.form != CHOIRI_WIRE_CONCRETE)
        return; /* roots have no variables */
    fprintf(out, "%016" PRIx64, ref.members[0].number);
    if (ref.members[1].number == 0) return;
    choiri_wire_reader args = choiri_wire_reader_of(ref.members[1].span);
    for (uint64_t i = 0; i < ref.members[1].number; i++) {
        fputs(i == 0 ? "<" : ", ", out);
        print_ref(out, &args);
    }
    fputc('>', out);
}

void idl_print_root(FILE *out, const idl *file, uint32_t announcement) {
    const choir_announcement *a = &file->unit.announcements[announcement - 1];
    choiri_wire_reader r =
        choiri_wire_reader_of((choir_bytes){file->unit.schema_bytes + a->root, a->root_len});
    print_ref(out, &r);
}
