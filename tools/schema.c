/* SPDX-License-Identifier: MIT */
/* choir schema: what an interface file says, as text for people and as a snapshot for later comparison; and
 * how two versions of one get along. */
#include "idl/idl.h"
#include "tool.h"

#include <inttypes.h>
#include <string.h>

typedef struct action {
    const char *name;
    int (*run)(int argc, char **argv);
} action;

/* The file's services with their announcements; NULL: a message was printed, and *ret_status says how it
 * ends. */
static idl *read_interface(int argc, char **argv, int *ret_status) {
    static const tool_option none[] = {{NULL, 0}};
    tool_options o = {.command = &tool_schema, .known = none, .argc = argc, .argv = argv};
    const char *path = NULL;
    idl_error error;
    idl *file;
    *ret_status = TOOL_USAGE;
    for (int option; (option = tool_next(&o)) != TOOL_END;) {
        if (option != TOOL_OPERAND) return NULL;
        if (path) return tool_usage(&tool_schema, "one interface file at a time"), NULL;
        path = o.value;
    }
    if (!path) return tool_usage(&tool_schema, "an interface file is needed, such as testbed.rs"), NULL;
    *ret_status = TOOL_FAILED;
    if (!idl_read(path, &file, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return NULL;
    }
    if (idl_announce(file, &error)) return file;
    fprintf(stderr, "%s\n", error.text);
    idl_free(file);
    return NULL;
}

/* ---- show ---- */

static void show_method(const idl *file, const choir_service *s, uint32_t index) {
    const choir_method *m = &s->methods[index];
    fputs("  ", stdout);
    tool_print_signature(stdout, s, index);
    printf("\n    id %016" PRIx64 "  args ", m->id);
    idl_print_root(stdout, file, m->args_announcement);
    fputs("\n    response ", stdout);
    idl_print_root(stdout, file, m->response_announcement);
    printf("%s%s\n", m->flags & CHOIR_METHOD_IDEM ? "  idem" : "",
           m->flags & CHOIR_METHOD_PERSIST ? "  persist" : "");
}

static int show(int argc, char **argv) {
    int status;
    idl *file = read_interface(argc, argv, &status);
    if (!file) return status;
    for (uint32_t i = 0; i < idl_services_len(file); i++) {
        const choir_service *s = idl_service(file, i);
        choir_str name = choir_service_name(s);
        printf("%s%.*s\n", i > 0 ? "\n" : "", (int)name.len, name.data);
        for (uint32_t m = 0; m < s->methods_len; m++) show_method(file, s, m);
    }
    bool has_services = idl_services_len(file) > 0;
    if (!has_services) tool_say("there is no trait in this file");
    idl_free(file);
    return has_services ? TOOL_OK : TOOL_FAILED;
}

/* ---- export ---- */

static void print_hex(const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) printf("%02x", bytes[i]);
}

/* SchemaPayload: the CBOR map of `schemas` and `root`, as it is sent when nothing was announced before. */
static void print_payload(const choir_unit *u, const choir_announcement *a) {
    static const char schemas[] = "a267736368656d6173", root[] = "64726f6f74";
    fputs(schemas, stdout);
    if (a->count < 24)
        printf("%02x", 0x80u + (unsigned)a->count);
    else if (a->count < 256)
        printf("98%02x", (unsigned)a->count);
    else if (a->count < 65536)
        printf("99%04x", (unsigned)a->count);
    else
        printf("9a%08x", (unsigned)a->count);
    for (uint32_t i = a->first; i < a->first + a->count; i++) {
        const choir_schema *schema = &u->schemas[u->parts[i]];
        print_hex(u->schema_bytes + schema->at, schema->len);
    }
    fputs(root, stdout);
    print_hex(u->schema_bytes + a->root, a->root_len);
}

static void export_announcement(const idl *file, const char *name, uint32_t announcement, const char *end) {
    const choir_unit *u = idl_unit(file);
    printf("          \"%s\": {\"id\": \"%016" PRIx64 "\", \"schemas\": \"", name,
           idl_announced_id(file, announcement));
    print_payload(u, &u->announcements[announcement - 1]);
    printf("\"}%s\n", end);
}

/* Names are letters, digits, underscores and r#, in UTF-8 as JSON is, so that it needs no escapes. */
static void export_method(const idl *file, const choir_service *s, uint32_t index) {
    const choir_method *m = &s->methods[index];
    choir_str name = choir_method_name(s, index);
    printf("%s        {\n          \"name\": \"%.*s\",\n          \"id\": \"%016" PRIx64 "\",\n",
           index > 0 ? ",\n" : "", (int)name.len, name.data, m->id);
    printf("          \"idem\": %s,\n          \"persist\": %s,\n",
           m->flags & CHOIR_METHOD_IDEM ? "true" : "false",
           m->flags & CHOIR_METHOD_PERSIST ? "true" : "false");
    fputs("          \"signature\": \"", stdout);
    tool_print_signature(stdout, s, index);
    fputs("\",\n", stdout);
    export_announcement(file, "args", m->args_announcement, ",");
    export_announcement(file, "response", m->response_announcement, "");
    fputs("        }", stdout);
}

static int export(int argc, char **argv) {
    int status;
    idl *file = read_interface(argc, argv, &status);
    if (!file) return status;
    fputs("{\n  \"choir-schema\": 1,\n  \"services\": [", stdout);
    for (uint32_t i = 0; i < idl_services_len(file); i++) {
        const choir_service *s = idl_service(file, i);
        choir_str name = choir_service_name(s);
        printf("%s\n    {\n      \"name\": \"%.*s\",\n      \"methods\": [\n", i > 0 ? "," : "",
               (int)name.len, name.data);
        for (uint32_t m = 0; m < s->methods_len; m++) export_method(file, s, m);
        fputs("\n      ]\n    }", stdout);
    }
    fputs("\n  ]\n}\n", stdout);
    idl_free(file);
    return TOOL_OK;
}

/* ---- diff ---- */

/* Which callers must be able to go on. Both, unless the command line says otherwise: while a release is
 * rolled out, callers and servers of both versions meet. */
typedef struct requirement {
    bool callers[IDL_CALLERS];
} requirement;

static bool read_requirement(const char *text, requirement *ret) {
    bool both = strcmp(text, "both") == 0, is_old = strcmp(text, "old-callers") == 0;
    if (!both && !is_old && strcmp(text, "new-callers") != 0)
        return tool_usage(&tool_schema, "\"%s\" is neither old-callers, new-callers nor both", text), false;
    ret->callers[IDL_OLD_CALLERS] = both || is_old;
    ret->callers[IDL_NEW_CALLERS] = both || !is_old;
    return true;
}

/* The command line; false: a message was printed. */
static bool read_arguments(int argc, char **argv, const char *ret_paths[2], requirement *ret) {
    enum { ALLOW, REQUIRE };
    static const tool_option known[] = {{"allow", TOOL_FLAG}, {"require", TOOL_VALUE}, {NULL, 0}};
    tool_options o = {.command = &tool_schema, .known = known, .argc = argc, .argv = argv};
    bool is_allowed = false, is_required = false;
    int count = 0;
    for (int option; (option = tool_next(&o)) != TOOL_END;) {
        if (option == TOOL_BAD) return false;
        if (option == TOOL_OPERAND && count == 2)
            return tool_usage(&tool_schema, "more than two interface files"), false;
        if (option == TOOL_OPERAND) ret_paths[count++] = o.value;
        if (option == REQUIRE && !read_requirement(o.value, ret)) return false;
        if (option == REQUIRE) is_required = true;
        if (option == ALLOW) is_allowed = true;
    }
    if (count < 2)
        return tool_usage(&tool_schema, "two interface files are needed: the old and the new one"), false;
    if (is_allowed && is_required)
        return tool_usage(&tool_schema, "--allow requires nothing; leave out one of --allow and --require"),
               false;
    if (is_allowed) *ret = (requirement){{false, false}};
    return true;
}

static int judge(const idl_diff_counts *counts, const requirement *required) {
    static const char *const names[] = {"old callers of new servers", "new callers of old servers"};
    int status = TOOL_OK;
    for (int i = 0; i < IDL_CALLERS; i++) {
        const idl_diff_way *way = &counts->callers[i];
        if (way->broken == 0 || !required->callers[i]) continue;
        tool_say("breaking for %s: %u of %u methods", names[i], (unsigned)way->broken,
                 (unsigned)way->methods);
        status = TOOL_BREAKS;
    }
    return status;
}

static int diff(int argc, char **argv) {
    idl *files[2] = {NULL, NULL};
    const char *paths[2];
    requirement required = {{true, true}};
    idl_diff_counts counts;
    idl_error error;
    int status = TOOL_FAILED;
    if (!read_arguments(argc, argv, paths, &required)) return TOOL_USAGE;
    if (!idl_read(paths[0], &files[0], &error) || !idl_read(paths[1], &files[1], &error))
        fprintf(stderr, "%s\n", error.text);
    else if (!idl_diff(files[0], files[1], stdout, &counts, &error))
        fprintf(stderr, "choir: %s\n", error.text);
    else
        status = judge(&counts, &required);
    for (int i = 0; i < 2; i++)
        if (files[i]) idl_free(files[i]);
    return status;
}

/* ---- the command ---- */

static const action actions[] = {{"show", show}, {"export", export}, {"diff", diff}};

static int run(int argc, char **argv) {
    if (argc < 1) return tool_usage(&tool_schema, "what to do is missing: show, export or diff");
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (strcmp(argv[0], actions[i].name) == 0) return actions[i].run(argc - 1, argv + 1);
    return tool_usage(&tool_schema, "\"%s\" is neither show, export nor diff", argv[0]);
}

const tool_command tool_schema = {
    "schema", "look at interface files and compare them",
    "usage: choir schema show FILE.rs\n"
    "       choir schema export FILE.rs\n"
    "       choir schema diff [--require=CALLERS | --allow] OLD.rs NEW.rs\n"
    "\n"
    "Reads an interface file: a trait with async methods and its types, as vox services are written in Rust.\n"
    "show prints each method with its id, its flags, and the type ids of its arguments and its response. The id of\n"
    "a generic type, as tuples and every response are, is that of its declaration; the ids of its type arguments\n"
    "stand behind it, in <>.\n"
    "export prints a snapshot as JSON: beside that, the schemas that are announced, as hexadecimal CBOR.\n"
    "diff says of each method whether old callers can call new servers, and new callers old servers: yes, no and\n"
    "why, or all but some values. A further line says so where a peer made with vox 0.4.0 in Rust would not do the\n"
    "same; the exit status does not depend on it. The last lines sum up.\n"
    "\n"
    "Options of diff\n"
    "  --require CALLERS  what must work for exit status 0: old-callers (with new servers), new-callers (with old\n"
    "                     servers), or both, which is the default\n"
    "  --allow            require nothing: report, and exit with 0\n"
    "\n"
    "Exit status\n"
    "  0  done; diff: what is required works\n"
    "  1  diff: something that is required breaks\n"
    "  2  wrong usage; nothing was done\n"
    "  3  an interface file cannot be read or has an error\n",
    run};
