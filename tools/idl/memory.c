/* SPDX-License-Identifier: MIT */
/* Memory, the table of names, and errors with their place. */
#include "idl/internal.h"

#include "wire/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define BLOCK    ((size_t)64 << 10)
#define LINE_MAX 100u

struct idl_block {
    idl_block *next;
    size_t used, size;
    max_align_t data[];
};

static void *checked(void *memory) {
    if (memory) return memory;
    fputs("out of memory\n", stderr);
    exit(3);
}

void *idl_alloc(idl *f, size_t size) {
    size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    idl_block *b = f->blocks;
    if (!b || b->size - b->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        b = checked(calloc(1, sizeof *b + room));
        b->size = room;
        b->next = f->blocks;
        f->blocks = b;
    }
    void *memory = (char *)b->data + b->used;
    b->used += size;
    return memory;
}

void *idl_push(idl_vec *v, size_t size) {
    if (v->len == v->cap) {
        v->cap = v->cap ? 2 * v->cap : 16;
        v->items = checked(realloc(v->items, v->cap * size));
    }
    return memset((char *)v->items + (size_t)v->len++ * size, 0, size);
}

choir_str idl_copy(idl *f, choir_str text) {
    char *copy = idl_alloc(f, text.len + 1);
    if (text.len > 0) memcpy(copy, text.data, text.len);
    return (choir_str){copy, text.len};
}

/* ---- the table ---- */

static uint64_t hash_of(const void *owner, choir_bytes key) {
    uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)(uintptr_t)owner;
    for (size_t i = 0; i < key.len; i++) h = (h ^ key.data[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static void grow(idl *f) {
    uint32_t len = f->buckets_len ? 4 * f->buckets_len : 256;
    idl_entry **buckets = checked(calloc(len, sizeof(idl_entry *)));
    for (uint32_t i = 0; i < f->buckets_len; i++) {
        for (idl_entry *e = f->buckets[i], *next; e; e = next) {
            idl_entry **to = &buckets[hash_of(e->owner, e->key) % len];
            next = e->next;
            e->next = *to;
            *to = e;
        }
    }
    free(f->buckets);
    f->buckets = buckets;
    f->buckets_len = len;
}

idl_entry *idl_entry_of(idl *f, const void *owner, choir_bytes key, bool make) {
    if (f->entries_len >= f->buckets_len) grow(f);
    idl_entry **bucket = &f->buckets[hash_of(owner, key) % f->buckets_len];
    for (idl_entry *e = *bucket; e; e = e->next) {
        if (e->owner == owner && e->key.len == key.len &&
            (key.len == 0 || memcmp(e->key.data, key.data, key.len) == 0))
            return e;
    }
    if (!make) return NULL;
    idl_entry *e = idl_alloc(f, sizeof *e);
    *e = (idl_entry){.next = *bucket, .owner = owner, .key = key};
    *bucket = e;
    f->entries_len++;
    return e;
}

/* ---- errors ---- */

void idl_place(const idl *f, uint32_t at, uint32_t *ret_line, uint32_t *ret_column) {
    uint32_t line = 1, column = 1;
    for (uint32_t i = 0; i < at && i < f->text.len; i++) {
        if (f->text.data[i] == '\n') {
            line++;
            column = 1;
        } else if (((uint8_t)f->text.data[i] & 0xc0u) != 0x80u) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

/* The line with the place marked, as far as it can be read. */
static void add_line(idl *f, uint32_t at, uint32_t len, char *out, size_t size) {
    uint32_t start = at, end = at;
    while (start > 0 && f->text.data[start - 1] != '\n' && at - start < LINE_MAX / 2) start--;
    while (start > 0 && ((uint8_t)f->text.data[start] & 0xc0u) == 0x80u) start--;
    while (end < f->text.len && f->text.data[end] != '\n' && end - start < LINE_MAX) end++;
    while (end < f->text.len && end > start && ((uint8_t)f->text.data[end] & 0xc0u) == 0x80u) end--;
    if (start == end) return;
    char line[LINE_MAX + 8], marks[2 * LINE_MAX + 8];
    size_t n = 0, m = 0;
    for (uint32_t i = start; i < end; i++) {
        uint8_t c = (uint8_t)f->text.data[i];
        line[n++] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
        if ((c & 0xc0u) == 0x80u) continue;
        if (i < at)
            marks[m++] = ' ';
        else if (i == at || i < at + len)
            marks[m++] = '^';
    }
    if (at >= end) marks[m++] = '^';
    size_t used = strlen(out);
    snprintf(out + used, size - used, "\n    %.*s\n    %.*s", (int)n, line, (int)m, marks);
}

bool idl_fail(idl *f, uint32_t at, uint32_t len, const char *allowed, const char *format, ...) {
    if (f->failed) return false;
    f->failed = true;
    f->pos = (uint32_t)f->text.len;
    f->tok = (idl_token){.kind = IDL_END, .at = f->pos};
    idl_error *e = f->error;
    char what[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    if (at == IDL_NONE) {
        e->line = e->column = 0;
        snprintf(e->text, sizeof e->text, "%s: error: %s", f->file_name, what);
    } else {
        idl_place(f, at, &e->line, &e->column);
        snprintf(e->text, sizeof e->text, "%s:%u:%u: error: %s", f->file_name, (unsigned)e->line,
                 (unsigned)e->column, what);
        add_line(f, at, len, e->text, sizeof e->text);
    }
    size_t used = strlen(e->text);
    if (allowed) snprintf(e->text + used, sizeof e->text - used, "\nallowed: %s", allowed);
    return false;
}

/* ---- files ---- */

static void free_all(idl *f) {
    idl_vec *const vecs[] = {&f->types,  &f->infos,   &f->fields,        &f->field_infos, &f->variants,
                             &f->params, &f->strings, &f->todo,          &f->services,    &f->methods,
                             &f->traits, &f->schemas, &f->announcements, &f->parts,       &f->schema_bytes};
    for (size_t i = 0; i < sizeof vecs / sizeof *vecs; i++) free(vecs[i]->items);
    for (idl_block *b = f->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(f->buckets);
    free(f);
}

void idl_free(idl *file) {
    if (file) free_all(file);
}

/* What every file may use: parsed like the file itself. */
static const char prelude[] =
    "pub enum VoxError<E> { User(E), UnknownMethod, InvalidPayload(String), Cancelled, "
    "ConnectionClosed, SessionShutdown, SendFailed, Indeterminate }";

static bool parse_both(idl *f, choir_str text) {
    static idl_decl std; /* a module that no path can name; only its address counts */
    f->text = (choir_str){prelude, sizeof prelude - 1};
    if (!idl_parse_file(f, &std)) return false;
    f->prelude = f->decls;
    f->prelude->in = NULL;
    f->decls = NULL;
    f->decls_end = &f->decls;
    f->text = idl_copy(f, text);
    f->pos = 0;
    return idl_parse_file(f, NULL);
}

bool idl_parse(const char *text, size_t len, const char *file_name, idl **ret_idl, idl_error *ret_error) {
    idl *f = checked(calloc(1, sizeof *f));
    f->error = ret_error;
    f->decls_end = &f->decls;
    f->file_name = idl_copy(f, (choir_str){file_name, strlen(file_name)}).data;
    if (len > IDL_FILE_MAX)
        idl_fail(f, IDL_NONE, 0, NULL, "the file is too large; an interface file has at most %zu bytes",
                 IDL_FILE_MAX);
    else if (!choiri_utf8_is_valid((const uint8_t *)text, len))
        idl_fail(f, IDL_NONE, 0, NULL, "the file is not UTF-8 text");
    else if (parse_both(f, (choir_str){text, len}) && idl_resolve(f) && idl_layout(f))
        idl_finish(f);
    if (f->failed) {
        free_all(f);
        return false;
    }
    f->error = NULL;
    *ret_idl = f;
    return true;
}

bool idl_read(const char *path, idl **ret_idl, idl_error *ret_error) {
    *ret_error = (idl_error){0};
    FILE *file = fopen(path, "rb");
    if (!file) {
        snprintf(ret_error->text, sizeof ret_error->text, "%s: error: cannot be opened: %s", path,
                 strerror(errno));
        return false;
    }
    /* One byte more than is allowed tells a file that is too long, also where its size is not known. */
    char *text = checked(malloc(IDL_FILE_MAX + 1));
    size_t len = fread(text, 1, IDL_FILE_MAX + 1, file);
    int error = errno;
    bool bad = ferror(file) != 0;
    fclose(file);
    if (bad)
        snprintf(ret_error->text, sizeof ret_error->text, "%s: error: cannot be read: %s", path,
                 strerror(error));
    else
        bad = !idl_parse(text, len, path, ret_idl, ret_error);
    free(text);
    return !bad;
}
