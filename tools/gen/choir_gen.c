/* SPDX-License-Identifier: MIT */
/* choir-gen: one interface file in, one C header and one C source out. */
#include "gen/gen.h"

#include "choir/version.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

/* Exit statuses; docs/man/choir-gen.1 and the help list them. */
enum { GEN_OK, GEN_BAD, GEN_USAGE, GEN_SYSTEM };

static const char help[] =
    "usage: choir-gen [OPTION]... FILE.rs\n"
    "\n"
    "Writes FILE.h and FILE.c: C types, descriptors, clients and handlers for the interface in FILE.rs,\n"
    "which is a trait with async methods and the types that it uses, as vox services are written in Rust.\n"
    "\n"
    "  -o, --output DIR      where to write; the current folder\n"
    "  -p, --prefix NAME     what names in C start with; the trait's name if there is one trait, else FILE\n"
    "      --header-name H   how the source includes the header; FILE.h\n"
    "      --check           write nothing; compare with the files that are there\n"
    "      --depfile D       write what was read, for build systems\n"
    "      --help, --version\n"
    "\n"
    "Exit status: 0 success; 1 an error in FILE.rs, or --check found a difference; 2 wrong usage; 3 a file\n"
    "cannot be read or written.\n";

typedef struct options {
    const char *input, *folder, *prefix, *header_name, *depfile;
    bool check;
} options;

static int usage(const char *what, const char *which) {
    fprintf(stderr, "choir-gen: %s%s\nchoir-gen --help tells how it is used\n", what, which);
    return GEN_USAGE;
}

/* Returns an exit status, or -1 to go on. */
static int read_options(int argc, char **argv, options *o) {
    enum { HEADER_NAME = 256, CHECK, DEPFILE, HELP, VERSION };
    static const struct option known[] = {{"output", required_argument, NULL, 'o'},
                                          {"prefix", required_argument, NULL, 'p'},
                                          {"header-name", required_argument, NULL, HEADER_NAME},
                                          {"check", no_argument, NULL, CHECK},
                                          {"depfile", required_argument, NULL, DEPFILE},
                                          {"help", no_argument, NULL, HELP},
                                          {"version", no_argument, NULL, VERSION},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "o:p:", known, NULL)) != -1;) {
        switch (c) {
        case 'o': o->folder = optarg; break;
        case 'p': o->prefix = optarg; break;
        case HEADER_NAME: o->header_name = optarg; break;
        case CHECK: o->check = true; break;
        case DEPFILE: o->depfile = optarg; break;
        case HELP: fputs(help, stdout); return GEN_OK;
        case VERSION: printf("choir-gen %s\n", CHOIR_VERSION); return GEN_OK;
        default: return usage("", "see above");
        }
    }
    if (optind + 1 != argc) return usage("needs one interface file", "");
    o->input = argv[optind];
    return -1;
}

/* ---- what is written ---- */

/* testbed, of a path that ends with testbed.rs */
static choir_str stem_of(const char *path) {
    const char *start = strrchr(path, '/');
    start = start ? start + 1 : path;
    size_t len = strlen(start);
    if (len > 3 && strcmp(start + len - 3, ".rs") == 0) len -= 3;
    return (choir_str){start, len};
}

static bool is_prefix(const char *prefix) {
    size_t len = strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return len > 0 && prefix[len] == '\0' && prefix[0] >= 'a' && prefix[0] <= 'z' && len <= 64;
}

/* An identifier of whatever characters a name has. */
static const char *identifier(gen *g, choir_str name) {
    char *out = (char *)(uintptr_t)gen_snake(g, name);
    for (char *c = out; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9'))) *c = '_';
    return out;
}

static void choose_prefix(gen *g, const options *o) {
    const char *prefix = o->prefix;
    if (!prefix && g->file->services.len == 1) prefix = gen_snake(g, gen_trait(g, 0)->name.text);
    if (!prefix) prefix = identifier(g, stem_of(o->input));
    g->prefix = is_prefix(prefix) ? prefix : gen_format(g, "x%s", prefix);
}

/* Different for all headers that a program can have. The hash tells prefix a_b and c.rs from prefix a and
 * b_c.rs, and my-api.rs from my_api.rs. */
static void choose_guard(gen *g, const options *o) {
    choir_str stem = stem_of(o->input);
    const char *both = gen_format(g, "%s %.*s", g->prefix, (int)stem.len, stem.data);
    g->guard = gen_upper(g, gen_format(g, "generated_%s_%s_%08x_h", g->prefix, identifier(g, stem),
                                       (unsigned)gen_hash((choir_str){both, strlen(both)})));
}

/* The library has names that start with choir_; so the interface cannot. */
static bool check_prefix(gen *g) {
    static const char why[] = "names in C would start with \"%s_\", as those of the library do";
    static const char allowed[] = "another prefix: --prefix NAME";
    choir_str prefix = {g->prefix, strlen(g->prefix)};
    if (!gen_is_ours(prefix)) return true;
    if (g->file->services.len != 1) return idl_fail(g->file, IDL_NONE, 0, allowed, why, g->prefix);
    const idl_name *trait = &gen_trait(g, 0)->name;
    return idl_fail(g->file, trait->at, (uint32_t)trait->text.len, allowed, why, g->prefix);
}

static void banner(gen *g, gen_text *t, const options *o) {
    const char *name = strrchr(o->input, '/');
    gen_add(t, "/* Made by choir-gen from %s; changes belong there. */\n", name ? name + 1 : o->input);
    (void)g;
}

static bool uses_arrays(const gen *g) {
    for (uint32_t i = 0; i < g->file->types.len; i++)
        if (idl_type_at(g->file, i)->kind == CHOIR_KIND_ARRAY) return true;
    return false;
}

static void make_header(gen *g, const options *o) {
    banner(g, &g->header, o);
    gen_add_docs(&g->header, g->file->docs, 0, NULL);
    gen_add(&g->header, "#ifndef %s\n#define %s\n\n#include <choir/%s.h>\n", g->guard, g->guard,
            g->file->services.len > 0 ? "net" : "type");
    if (uses_arrays(g) && g->file->services.len > 0) gen_add(&g->header, "#include <string.h>\n");
    gen_add(&g->header, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    gen_add_types(g);
    for (uint32_t i = 0; i < g->file->services.len; i++) gen_add_service(g, i);
    gen_add(&g->header, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

static void make_source(gen *g, const options *o) {
    bool any = false;
    banner(g, &g->source, o);
    gen_add(&g->source, "#include \"%s\"\n\n", g->header_name);
    gen_add(
        &g->source,
        "_Static_assert(CHOIR_TYPE_ABI == %uu, \"made for another version of choir: run choir-gen again\");\n\n",
        (unsigned)CHOIR_TYPE_ABI);
    gen_add_tables(g);
    for (uint32_t i = 0; i < g->file->services.len; i++) {
        gen_add_methods_table(g, i);
        any = any || idl_service(g->file, i)->methods_len > 0;
    }
    gen_add(&g->source, "/* clang-format on */\n");
    if (any)
        gen_add(
            &g->source,
            "\n#define HAS(type, member) (h->size >= offsetof(type, member) + sizeof h->member && h->member)\n");
    for (uint32_t i = 0; i < g->file->services.len; i++) gen_add_dispatcher(g, i);
}

/* ---- files ---- */

static int system_error(const char *path) {
    fprintf(stderr, "choir-gen: %s: %s\n", path, strerror(errno));
    return GEN_SYSTEM;
}

/* Through a second file, so that nobody sees half of one. */
static int write_file(gen *g, const char *path, const gen_text *t) {
    const char *temporary = gen_format(g, "%s.tmp", path);
    FILE *file = fopen(temporary, "wb");
    if (!file) return system_error(temporary);
    bool good = fwrite(t->chars.items, 1, t->chars.len, file) == t->chars.len;
    good = fclose(file) == 0 && good;
    if (good && rename(temporary, path) == 0) return GEN_OK;
    int status = system_error(path);
    remove(temporary);
    return status;
}

/* Says in which line the file differs first. */
static int check_file(const char *path, const gen_text *t) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        if (errno != ENOENT) return system_error(path);
        fprintf(stderr, "choir-gen: %s is not there\n", path);
        return GEN_BAD;
    }
    const char *text = t->chars.items;
    unsigned line = 1;
    uint32_t at = 0;
    int c = getc(file);
    while (c != EOF && at < t->chars.len && (char)c == text[at]) {
        line += c == '\n';
        at++;
        c = getc(file);
    }
    bool same = c == EOF && at == t->chars.len && !ferror(file);
    fclose(file);
    if (same) return GEN_OK;
    fprintf(stderr, "choir-gen: %s:%u: differs from what the interface file says now\n", path, line);
    return GEN_BAD;
}

static void add_escaped(gen_text *t, const char *path) {
    for (; *path; path++)
        gen_add(t, "%s%c", *path == ' ' || *path == '#' ? "\\" : *path == '$' ? "$" : "", *path);
}

static int write_all(gen *g, const options *o) {
    choir_str stem = stem_of(o->input);
    const char *base = gen_format(g, "%s/%.*s", o->folder, (int)stem.len, stem.data);
    const char *header = gen_format(g, "%s.h", base), *source = gen_format(g, "%s.c", base);
    if (o->check) {
        int first = check_file(header, &g->header), second = check_file(source, &g->source);
        return first > second ? first : second;
    }
    int status = write_file(g, header, &g->header);
    if (status == GEN_OK) status = write_file(g, source, &g->source);
    if (status != GEN_OK || !o->depfile) return status;
    gen_text deps = {0};
    add_escaped(&deps, header);
    gen_add(&deps, " ");
    add_escaped(&deps, source);
    gen_add(&deps, ": ");
    add_escaped(&deps, o->input);
    gen_add(&deps, "\n");
    status = write_file(g, o->depfile, &deps);
    free(deps.chars.items);
    return status;
}

static int run(const options *o, idl *file) {
    idl_error error;
    choir_str stem = stem_of(o->input);
    gen g = {.file = file};
    int status = GEN_BAD;
    if (!idl_announce(file, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return GEN_BAD;
    }
    file->error = &error;
    choose_prefix(&g, o);
    choose_guard(&g, o);
    g.header_name = o->header_name ? o->header_name : gen_format(&g, "%.*s.h", (int)stem.len, stem.data);
    if (file->types.len + file->services.len == 0) {
        fprintf(stderr, "%s: error: the file declares nothing\n", o->input);
    } else if (!check_prefix(&g) || !gen_name_all(&g)) {
        fprintf(stderr, "%s\n", error.text);
    } else {
        make_header(&g, o);
        make_source(&g, o);
        status = write_all(&g, o);
    }
    free(g.header.chars.items);
    free(g.source.chars.items);
    return status;
}

int main(int argc, char **argv) {
    options o = {.folder = "."};
    idl_error error;
    idl *file;
    int status = read_options(argc, argv, &o);
    if (status >= 0) return status;
    if (o.prefix && !is_prefix(o.prefix))
        return usage("a prefix is of lower-case letters, digits and underscores: ", o.prefix);
    if (o.prefix && gen_is_ours((choir_str){o.prefix, strlen(o.prefix)}))
        return usage("names that start with choir_ or choiri_ are the library's; not --prefix ", o.prefix);
    if (!idl_read(o.input, &file, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return error.line == 0 && strstr(error.text, "cannot be") ? GEN_SYSTEM : GEN_BAD;
    }
    status = run(&o, file);
    idl_free(file);
    return status;
}
