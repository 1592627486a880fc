/* SPDX-License-Identifier: MIT */
/* The stages of reading an interface file, and what they hand on:
 *
 *   lexer.c     text -> tokens, one ahead
 *   parse.c     tokens -> declarations (parse_type.c: types and generics; parse_attribute.c: attributes)
 *   resolve.c   declarations -> types: names looked up, generics instantiated, each type once
 *   layout.c    where the members of each type are in C
 *   method_id.c ids of methods, with all of Unicode
 *   service.c   methods, names, announcements
 *
 * Everything lives in the `idl` and is freed with it. The first error is kept, and ends the input, so that
 * whatever is under way stops soon without looking. */
#ifndef IDL_INTERNAL_H
#define IDL_INTERNAL_H

#include "idl/idl.h"

#include <stdlib.h>
#include <string.h>

#define IDL_NONE UINT32_MAX

/* ---- memory and names (memory.c) ---- */

typedef struct idl_block idl_block;

/* Zeroed memory that lives as long as the idl. */
void *idl_alloc(idl *f, size_t size);
/* A block that grows: returns memory for one more element of `size` bytes, zeroed. */
typedef struct idl_vec {
    void *items;
    uint32_t len, cap;
} idl_vec;
void *idl_push(idl_vec *v, size_t size);
choir_str idl_copy(idl *f, choir_str text);

/* Finds by owner and bytes. */
typedef struct idl_entry {
    struct idl_entry *next;
    const void *owner;
    choir_bytes key; /* borrowed as long as the idl */
    void *value;     /* NULL: only made */
    uint32_t at;     /* where it was declared */
} idl_entry;
/* The entry; `make` adds one (with a value of NULL) that is not there. */
idl_entry *idl_entry_of(idl *f, const void *owner, choir_bytes key, bool make);

static inline choir_bytes idl_bytes(choir_str s) {
    return (choir_bytes){(const uint8_t *)s.data, s.len};
}
static inline bool idl_is(choir_str s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}
static inline bool idl_same(choir_str a, choir_str b) {
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* ---- tokens (lexer.c) ---- */

typedef struct idl_doc {
    choir_str line;
    struct idl_doc *next;
} idl_doc;

typedef struct idl_docs {
    idl_doc *first, **end;
} idl_docs;

enum { IDL_END, IDL_IDENT, IDL_LIFETIME, IDL_NUMBER, IDL_STRING, IDL_CHAR, IDL_PUNCT };
enum { IDL_ARROW = 256, IDL_PATH_SEP }; /* punctuation of two characters; others are themselves */

typedef struct idl_token {
    uint32_t kind;
    uint32_t punct;
    uint32_t at, len;    /* in the text */
    bool raw;            /* an identifier with r# in front */
    idl_doc *docs;       /* in front of it, not claimed yet */
    idl_doc *inner_docs; /* those of what encloses it */
    uint32_t docs_at;
} idl_token;

/* ---- declarations ---- */

typedef struct idl_name {
    choir_str text; /* without r# */
    choir_str full; /* with it */
    uint32_t at;    /* offset in the text */
} idl_name;

typedef struct idl_ast_type idl_ast_type;

/* A type or number among others: elements of a tuple, arguments of a generic. */
typedef struct idl_ast_arg {
    idl_ast_type *type; /* NULL: a number */
    uint64_t number;
    uint32_t at, len;
    struct idl_ast_arg *next;
} idl_ast_arg;

enum { IDL_AST_PATH, IDL_AST_TUPLE, IDL_AST_ARRAY, IDL_AST_SLICE, IDL_AST_REF };

struct idl_ast_type {
    uint32_t form;
    uint32_t at, len;
    idl_name *path; /* linked by position: path_len of them */
    uint32_t path_len;
    idl_ast_arg *args; /* of a path: generic arguments; of a tuple: elements; of an array: its length */
    uint32_t args_len;
    idl_ast_type *elem; /* array, slice, reference */
};

typedef struct idl_field {
    idl_name name; /* empty in tuples */
    idl_ast_type *type;
    idl_doc *docs;
    uint32_t flags;      /* CHOIR_FIELD_* */
    uint32_t default_at; /* of a default that is not zero, + 1 */
    uint32_t at;
    struct idl_field *next;
} idl_field;

typedef struct idl_variant {
    idl_name name;
    idl_doc *docs;
    uint32_t shape;
    idl_field *fields;
    uint32_t fields_len;
    struct idl_variant *next;
} idl_variant;

typedef struct idl_param {
    idl_name name;
    bool is_const;
    struct idl_param *next;
} idl_param;

typedef struct idl_method {
    idl_name name;
    idl_doc *docs;
    uint32_t flags; /* CHOIR_METHOD_* */
    idl_field *args;
    uint32_t args_len;
    idl_ast_type *ret; /* NULL: unit */
    struct idl_method *next;
} idl_method;

enum {
    IDL_MODULE,
    IDL_STRUCT,
    IDL_TUPLE_STRUCT,
    IDL_UNIT_STRUCT,
    IDL_ENUM,
    IDL_ALIAS, /* also a transparent struct: it is its only field */
    IDL_TRAIT
};

typedef struct idl_decl {
    uint32_t what;
    idl_name name;
    idl_doc *docs;
    struct idl_decl *in; /* the module around it; NULL: the file */
    idl_param *params;
    uint32_t params_len, type_params_len;
    idl_field *fields;
    uint32_t fields_len;
    idl_variant *variants;
    uint32_t variants_len;
    idl_ast_type *alias;
    idl_method *methods;
    uint32_t methods_len;
    uint32_t number; /* of a generic declaration that was used, from 1 */
    struct idl_decl *next;
} idl_decl;

/* ---- types ---- */

/* What a generic parameter stands for. */
typedef struct idl_value {
    bool is_number;
    uint32_t type;
    uint64_t number;
} idl_value;

enum {
    IDL_PLAIN,
    IDL_ARGS,
    IDL_ENTRY
}; /* IDL_ARGS: arguments of a method; IDL_ENTRY: key and value of a map */

/* What is known about a type beyond its choir_type. */
typedef struct idl_info {
    const idl_decl *decl;     /* of struct, enum, tuple struct; NULL: a builtin */
    const idl_value *values;  /* for its parameters */
    const idl_decl *service;  /* IDL_ARGS: whose method */
    const idl_method *method; /* IDL_ARGS */
    uint32_t role;
    uint32_t at;    /* where it was first used */
    uint32_t state; /* layout.c: 0 not yet, 1 under way, 2 done */
    bool seen;      /* by the search for channels */
} idl_info;

struct idl {
    idl_block *blocks;
    idl_entry **buckets;
    uint32_t buckets_len, entries_len;
    const char *file_name;
    choir_str text; /* a copy */
    idl_error *error;
    bool failed;
    /* parsing */
    uint32_t pos;
    idl_token tok;
    uint32_t depth;
    idl_doc *docs; /* of the file itself */
    idl_decl *decls, **decls_end;
    idl_decl *prelude; /* VoxError */
    uint32_t generics_len;
    /* resolving */
    idl_vec types, infos, fields, field_infos, variants, params, strings;
    idl_vec todo;       /* types whose body is not made yet */
    uint32_t resolving; /* how deep */
    /* results */
    idl_vec services, methods, traits;
    idl_vec schemas, announcements, parts, schema_bytes;
    choir_unit unit;
};

/* ---- errors (memory.c) ---- */

/* Notes the first error: `format` says what is wrong at [at, at + len) of the text, `allowed` (may be NULL)
 * what would be right. Ends the input. Returns false. */
bool idl_fail(idl *f, uint32_t at, uint32_t len, const char *allowed, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Line and column (in characters) of an offset, from 1. */
void idl_place(const idl *f, uint32_t at, uint32_t *ret_line, uint32_t *ret_column);

/* ---- stages ---- */

void idl_next(idl *f); /* reads the next token into f->tok */
static inline choir_str idl_token_text(const idl *f) {
    return (choir_str){f->text.data + f->tok.at, f->tok.len};
}
/* Parsing helpers (parse_type.c). */
bool idl_at(const idl *f, uint32_t punct);
bool idl_at_word(const idl *f, const char *word);
bool idl_take(idl *f, uint32_t punct); /* if it is there */
bool idl_take_word(idl *f, const char *word);
bool idl_expect(idl *f, uint32_t punct, const char *where);
bool idl_expect_name(idl *f, const char *what, idl_name *ret);
bool idl_unexpected(idl *f, const char *allowed);
idl_doc *idl_take_docs(idl *f);
idl_doc *idl_take_inner_docs(idl *f);
idl_ast_type *idl_parse_type(idl *f);
bool idl_parse_params(idl *f, idl_decl *d); /* <...>, if there */
bool idl_skip_bounds(idl *f);
bool idl_skip_where(idl *f);

/* What attributes say (parse_attribute.c). */
typedef struct idl_attributes {
    idl_docs docs;
    uint32_t at;           /* of the first one that means something, + 1 */
    uint32_t method_flags; /* vox(idem), vox(persist) */
    uint32_t field_flags;
    uint32_t default_at;
    bool transparent, service;
} idl_attributes;
/* Reads docs and attributes in front of something. */
bool idl_parse_attributes(idl *f, idl_attributes *ret);
bool idl_skip_inner_attributes(idl *f);

bool idl_parse_file(idl *f, idl_decl *in);
bool idl_resolve(idl *f); /* services first */
bool idl_layout(idl *f);  /* sizes, alignments, offsets */
/* method_id.c: false for a name with characters that are neither letters nor not. */
bool idl_method_id(idl *f, const idl_name *trait, const idl_name *method, uint64_t *ret_id);
bool idl_finish(idl *f);                     /* the unit, services and methods */
uint32_t idl_string(idl *f, choir_str name); /* offset in the strings */

static inline choir_type *idl_type_at(const idl *f, uint32_t i) {
    return (choir_type *)f->types.items + i;
}
static inline idl_info *idl_info_at(const idl *f, uint32_t i) {
    return (idl_info *)f->infos.items + i;
}
static inline choir_field *idl_field_at(const idl *f, uint32_t i) {
    return (choir_field *)f->fields.items + i;
}
static inline choir_variant *idl_variant_at(const idl *f, uint32_t i) {
    return (choir_variant *)f->variants.items + i;
}

/* service.c: an env for the layers, NULL without memory. */
struct choir_env *idl_env(void);

#endif
