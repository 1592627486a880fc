/* SPDX-License-Identifier: MIT */
/* The parts of choir-gen: from an interface file (idl/) to one C header and one C source.
 *
 *   text.c     text that grows, and lines filled as clang-format fills them
 *   names.c    what everything is called in C; names that collide are errors
 *   words.c    names that C and C++ have taken
 *   types.c    structs, unions and tags in the header
 *   methods.c  functions and the table of handlers in the header, the dispatcher in the source
 *   tables.c   descriptors in the source
 *
 * Output depends on the text of the interface file and the options only. */
#ifndef GEN_H
#define GEN_H

#include "idl/internal.h"

#define GEN_COLUMNS 110u

/* ---- text.c ---- */

typedef struct gen_text {
    idl_vec chars;
} gen_text;

void gen_add(gen_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gen_add_bytes(gen_text *t, choir_str text);
/* HEAD(ITEM, ITEM, ...)TAIL with as many lines as it takes, items below each other. `items` is separated by
 * newlines. */
void gen_add_list(gen_text *t, const char *head, const char *items, const char *tail);
/* Doc comment in front of something, indented; nothing if there is none. `extra` (may be NULL) is a last
 * line. */
void gen_add_docs(gen_text *t, const idl_doc *docs, unsigned indent, const char *extra);

/* ---- names.c ---- */

typedef struct gen {
    idl *file;
    const char *prefix; /* of types */
    const char *guard;  /* the header's */
    const char *header_name;
    const char **mangled; /* by type: option_string; NULL: not made yet */
    const char **names;   /* by type: its C type, without array dimensions */
    const char **tags;    /* by type: the C type of an enum's tag */
    const char **lists;   /* by type: the C type of a list, set or map */
    uint32_t *first_list; /* by type: the first one with the same C type */
    const char **members; /* by field: its name in C */
    const char **params;  /* by field of arguments: the parameter's */
    gen_text header, source;
    bool *emitted; /* by type */
} gen;

/* printf into memory of the idl. */
const char *gen_format(gen *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *gen_upper(gen *g, const char *name);
/* HTTPServer -> http_server */
const char *gen_snake(gen *g, choir_str name);
/* The name of a member or argument: C's own words get an underscore. */
const char *gen_member(gen *g, choir_str name);
/* A type where there are members: with `struct` or `enum` in front if one of them has its name. */
const char *gen_struct(gen *g, const char *name);
const char *gen_enum(gen *g, const char *name);
/* For names that would be too long, or are made of parts that could be cut in another way. */
uint32_t gen_hash(choir_str text);
/* Makes the names of all types and members. */
bool gen_name_all(gen *g);
/* Takes a name of the whole program; `what` and the place say for what. */
bool gen_take(gen *g, const char *name, const char *what, choir_str rust, uint32_t at);

/* The constant that stands for a type. */
const char *gen_type_number(gen *g, uint32_t type);

/* Does this type have no values to tell apart, and so no member in C? */
static inline bool gen_is_empty(const gen *g, uint32_t type) {
    return idl_type_at(g->file, type)->size == 0;
}
/* Is it a struct, which is passed by pointer? */
bool gen_is_struct(const gen *g, uint32_t type);
/* Is it a list, set or map? */
bool gen_is_list(const gen *g, uint32_t type);
/* The name of a type that the header declares, which is a struct; NULL: it is another one. */
const char *gen_declared(const gen *g, uint32_t type);
/* A declaration: "uint8_t key[4]", "struct x *next"; a type: name is "". */
const char *gen_declare(gen *g, uint32_t type, const char *name);
/* The pointer of a list to what it holds. */
const char *gen_declare_items(gen *g, uint32_t type);
/* What a list without a type of its own holds, or a channel, for a comment; NULL: there is nothing to say. */
const char *gen_items(gen *g, uint32_t type);
/* Of a variant: the union's member, the tag's constant, and the struct of its fields. */
const char *gen_variant_member(gen *g, const idl_variant *v);
const char *gen_variant_tag(gen *g, uint32_t type, const idl_variant *v);
const char *gen_variant_struct(gen *g, uint32_t type, const idl_variant *v);
/* Of a service: what its methods' names start with. */
const char *gen_service_prefix(gen *g, uint32_t service);
const char *gen_method(gen *g, const idl_method *m); /* its own part of names */
/* Its member in the table of handlers. */
const char *gen_handler(gen *g, const idl_method *m);
/* The type of its responders. */
const char *gen_responder(gen *g, const char *prefix, const idl_method *m);
/* A name for a parameter or variable of the generator's in a function that has the method's arguments:
 * `name`, or another one if an argument has that. */
const char *gen_own(gen *g, const idl_method *m, const char *name);

static inline const idl_decl *gen_trait(const gen *g, uint32_t service) {
    return ((const idl_decl *const *)g->file->traits.items)[service];
}
static inline const idl_field *gen_field_info(const gen *g, uint32_t field) {
    return ((const idl_field *const *)g->file->field_infos.items)[field];
}

/* ---- words.c ---- */

/* Is it a word of C or C++, of their headers or of the library, which members and parameters cannot have? */
bool gen_is_word(choir_str name);
/* The same for what starts with a prefix and an underscore. */
bool gen_is_global_word(choir_str name);
/* Would a parameter of this name hide something? */
bool gen_is_shadow(choir_str name);
/* Does the library have it: choir, choir_..., choiri, choiri_...? */
bool gen_is_ours(choir_str name);

/* ---- types.c, methods.c, tables.c ---- */

void gen_add_types(gen *g);
void gen_add_args(gen *g, uint32_t type);
void gen_add_service(gen *g, uint32_t service);
void gen_add_dispatcher(gen *g, uint32_t service);
void gen_add_tables(gen *g);
void gen_add_methods_table(gen *g, uint32_t service);

#endif
