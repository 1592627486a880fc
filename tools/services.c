/* SPDX-License-Identifier: MIT */
/* The services that are built in, and their methods in words. */
#include "testbed/testbed.h"
#include "tool.h"

#include <string.h>

/* Types nest at most this deep in what is printed. */
#define DEPTH 8

static const choir_service *const services[] = {&testbed_service};
#define SERVICES (sizeof services / sizeof *services)

static const choir_service *find_service(const char *name, size_t len) {
    for (size_t i = 0; i < SERVICES; i++) {
        choir_str have = choir_service_name(services[i]);
        if (have.len == len && memcmp(have.data, name, len) == 0) return services[i];
    }
    return NULL;
}

bool tool_find_method(const tool_command *command, const char *name, const choir_service **ret_service,
                      uint32_t *ret_method) {
    const char *dot = strchr(name, '.');
    if (!dot) {
        tool_usage(command, "\"%s\" is not of the form SERVICE.METHOD, such as Testbed.echo", name);
        return false;
    }
    const choir_service *service = find_service(name, (size_t)(dot - name));
    choir_str method = {dot + 1, strlen(dot + 1)};
    if (service && choir_service_find(service, method, ret_method) == CHOIR_OK) {
        *ret_service = service;
        return true;
    }
    tool_say("%s is not among the methods that are known here:", name);
    tool_list_methods(stderr);
    return false;
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

void tool_list_methods(FILE *out) {
    for (size_t i = 0; i < SERVICES; i++) {
        for (uint32_t m = 0; m < services[i]->methods_len; m++) {
            choir_str name = choir_service_name(services[i]);
            fprintf(out, "  %.*s.", (int)name.len, name.data);
            tool_print_signature(out, services[i], m);
            fputc('\n', out);
        }
    }
}
