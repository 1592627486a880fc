/* SPDX-License-Identifier: MIT */
/* The services that are known, and their methods in words. */
#include "testbed/testbed.h"
#include "tool.h"

#include <string.h>

/* Types nest at most this deep in what is printed. */
#define DEPTH 8

static const choir_service *const services[] = {&testbed_service};
#define SERVICES (sizeof services / sizeof *services)

static uint32_t services_len(const idl *types) {
    return types ? idl_services_len(types) : SERVICES;
}
static const choir_service *service_at(const idl *types, uint32_t i) {
    return types ? idl_service(types, i) : services[i];
}

static const choir_service *find_service(const idl *types, choir_str name) {
    for (uint32_t i = 0; i < services_len(types); i++) {
        choir_str have = choir_service_name(service_at(types, i));
        if (have.len == name.len && memcmp(have.data, name.data, name.len) == 0) return service_at(types, i);
    }
    return NULL;
}

bool tool_read_types(const char *path, idl **ret_types) {
    idl_error error;
    if (idl_read(path, ret_types, &error)) return true;
    fprintf(stderr, "%s\n", error.text);
    return false;
}

int tool_find_method(const tool_command *command, const char *name, const idl *types,
                     const choir_service **ret_service, uint32_t *ret_method) {
    const char *dot = strchr(name, '.');
    if (!dot || dot == name || dot[1] == '\0')
        return tool_usage(command, "\"%s\" is not of the form SERVICE.METHOD, such as Testbed.echo", name);
    const choir_service *service = find_service(types, (choir_str){name, (size_t)(dot - name)});
    choir_str method = {dot + 1, strlen(dot + 1)};
    *ret_service = NULL;
    if (service && choir_service_find(service, method, ret_method) == CHOIR_OK) *ret_service = service;
    if (*ret_service || !types) return TOOL_OK;
    tool_say("%s is not among the methods of the file:", name);
    tool_list_methods(stderr, types);
    return TOOL_USAGE;
}

static void print_type(FILE *out, const choir_unit *u, uint32_t index, int depth);

static void print_tuple(FILE *out, const choir_unit *u, const choir_type *t, int depth) {
    fputc('(', out);
    for (uint32_t i = 0; i < t->count && depth < DEPTH; i++) {
        if (i > 0) fputs(", ", out);
        print_type(out, u, u->fields[t->first + i].type, depth + 1);
    }
    fputc(')', out);
}

static void print_type(FILE *out, const choir_unit *u, uint32_t index, int depth) {
    static const char names[][9] = {
        "?",    "bool",  "u8",  "u16",   "u32",    "u64",   "u128",   "i8",    "i16",    "i32",     "i64",
        "i128", "f32",   "f64", "char",  "string", "bytes", "unit",   "never", "Option", "list",    "set",
        "map",  "array", "Box", "tuple", "struct", "enum",  "Result", "Tx",    "Rx",     "Duration"};
    const choir_type *t = &u->types[index];
    bool result = t->kind == CHOIR_KIND_RESULT;
    bool has_element = (t->kind >= CHOIR_KIND_OPTION && t->kind <= CHOIR_KIND_BOX) || result ||
                       t->kind == CHOIR_KIND_TX || t->kind == CHOIR_KIND_RX;
    if (t->kind == CHOIR_KIND_TUPLE) {
        print_tuple(out, u, t, depth);
        return;
    }
    fputs(t->name != 0 ? u->strings + t->name : names[t->kind], out);
    if (!has_element || depth == DEPTH) return;
    fputc('<', out);
    print_type(out, u, t->elem, depth + 1);
    if (t->kind == CHOIR_KIND_ARRAY) fprintf(out, ", %u", (unsigned)t->count);
    if (result) fputs(", ", out);
    if (result) print_type(out, u, t->elem2, depth + 1);
    fputc('>', out);
}

void tool_print_signature(FILE *out, const choir_service *service, uint32_t method) {
    const choir_unit *u = service->unit;
    const choir_method *m = &service->methods[method];
    bool fails = u->types[m->err].kind != CHOIR_KIND_NEVER;
    fputs(u->strings + m->name, out);
    if (u->types[m->args].kind == CHOIR_KIND_UNIT)
        fputs("()", out);
    else
        print_type(out, u, m->args, 0);
    fputs(fails ? " -> Result<" : " -> ", out);
    print_type(out, u, m->ok, 0);
    if (!fails) return;
    fputs(", ", out);
    print_type(out, u, m->err, 0);
    fputc('>', out);
}

void tool_list_methods(FILE *out, const idl *types) {
    for (uint32_t i = 0; i < services_len(types); i++) {
        const choir_service *service = service_at(types, i);
        for (uint32_t m = 0; m < service->methods_len; m++) {
            choir_str name = choir_service_name(service);
            fprintf(out, "  %.*s.", (int)name.len, name.data);
            tool_print_signature(out, service, m);
            fputc('\n', out);
        }
    }
}
