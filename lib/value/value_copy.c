/* SPDX-License-Identifier: MIT */
/* Deep copies, driven by descriptors.
 *
 * A copy is one block, whatever the value is made of. The walk runs twice: over the source to learn how much
 * memory it points to and whether it is sound, then over the copy, where each pointer still leads to the
 * source and is turned to a copy of what is there. So a copy fails before anything was written, and a value
 * of the heap is freed by freeing its block: nothing is walked then, and no depth can hurt. Rejected: a block
 * for each string and list, which costs an allocation each and has to be walked again to be freed.
 */
#include "base/assert.h"
#include "base/env.h"
#include "value/unit.h"
#include "value/value.h"

typedef struct copier {
    const choir_unit *u;
    uint8_t *out; /* NULL: only counts */
    size_t len;   /* so far */
    size_t limit;
    int status;
} copier;

static void follow(copier *c, uint32_t type, void *p, uint32_t depth);

static void *at(void *p, size_t offset) {
    return (uint8_t *)p + offset;
}

/* Returns NULL. */
static void *fail(copier *c, int status) {
    if (c->status == CHOIR_OK) c->status = status;
    return NULL;
}

/* Makes room for `count` things that lie at `from`, and copies them. Returns where they are now: while
 * counting, where they are. */
static void *take(copier *c, const void *from, size_t count, size_t size, size_t align) {
    size_t bytes = 0, pad = (0 - c->len) & (align - 1), left = c->limit - c->len;
    bool fits = !__builtin_mul_overflow(count, size, &bytes) && left >= pad && left - pad >= bytes;
    if (c->status != CHOIR_OK) return NULL;
    if (!from && bytes > 0) return fail(c, CHOIR_ERR_INVALID); /* the host forgot it */
    if (!fits) return fail(c, CHOIR_ERR_TOO_LARGE);
    size_t start = c->len + pad;
    c->len = start + bytes;
    if (!c->out) return (void *)(uintptr_t)from;
    return bytes > 0 ? memcpy(c->out + start, from, bytes) : c->out + start;
}

/* Things that hold no pointers are copied with what they lie in. */
static bool is_flat(const choir_type *t) {
    return t->size == 0 ||
           (!choiri_kind_nests(t->kind) && t->kind != CHOIR_KIND_STRING && t->kind != CHOIR_KIND_BYTES);
}

static void follow_items(copier *c, uint32_t elem, void *items, size_t count, uint32_t depth) {
    const choir_type *t = choiri_unit_type(c->u, elem);
    if (is_flat(t)) return;
    for (size_t i = 0; i < count && c->status == CHOIR_OK; i++)
        follow(c, elem, at(items, i * t->size), depth);
}

static void follow_list(copier *c, uint32_t elem, choir_list *list, uint32_t depth) {
    const choir_type *t = choiri_unit_type(c->u, elem);
    void *items = take(c, list->items, list->len, t->size, t->align);
    if (c->status != CHOIR_OK) return;
    if (c->out) list->items = list->len > 0 && t->size > 0 ? items : NULL;
    follow_items(c, elem, items, list->len, depth);
}

static void follow_fields(copier *c, uint32_t first, uint32_t count, void *p, uint32_t depth) {
    for (uint32_t i = first; i < first + count && c->status == CHOIR_OK; i++) {
        const choir_field *f = choiri_unit_field(c->u, i);
        follow(c, f->type, at(p, f->offset), depth);
    }
}

static void follow_enum(copier *c, const choir_type *t, void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag >= t->count) {
        fail(c, CHOIR_ERR_INVALID);
        return;
    }
    const choir_variant *v = choiri_unit_variant(c->u, t->first + tag);
    follow_fields(c, v->first, v->count, p, depth);
}

static void follow_option(copier *c, const choir_type *t, void *p, uint32_t depth) {
    uint8_t has = *(const uint8_t *)p; /* it may be no bool */
    if (has > 1)
        fail(c, CHOIR_ERR_INVALID);
    else if (has)
        follow(c, t->elem, at(p, t->offset), depth);
    else if (c->out)
        memset(p, 0, t->size); /* no pointers of the source */
}

static void follow_result(copier *c, const choir_type *t, void *p, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)p;
    if (tag > 1)
        fail(c, CHOIR_ERR_INVALID);
    else
        follow(c, tag == 0 ? t->elem : t->elem2, at(p, t->offset), depth);
}

static void follow_box(copier *c, const choir_type *t, void *p, uint32_t depth) {
    const choir_type *elem = choiri_unit_type(c->u, t->elem);
    const void *from = choiri_value_boxed(p);
    if (!from) fail(c, CHOIR_ERR_INVALID);
    void *to = take(c, from, 1, elem->size, elem->align);
    if (c->status != CHOIR_OK) return;
    if (c->out) memcpy(p, &to, sizeof to);
    follow(c, t->elem, to, depth);
}

static void follow_text(copier *c, choir_str *s) {
    const char *data = take(c, s->data, s->len, 1, 1);
    if (c->out) s->data = s->len > 0 ? data : "";
}

static void follow_bytes(copier *c, choir_bytes *b) {
    const uint8_t *data = take(c, b->data, b->len, 1, 1);
    if (c->out) b->data = b->len > 0 ? data : NULL;
}

/* While counting, p is the source's and nothing is written to it. */
static void follow(copier *c, uint32_t type, void *p, uint32_t depth) {
    const choir_type *t = choiri_unit_type(c->u, type);
    if (is_flat(t)) return;
    if (choiri_kind_nests(t->kind) && depth++ == CHOIRI_VALUE_DEPTH) {
        fail(c, CHOIR_ERR_DEPTH);
        return;
    }
    switch (t->kind) {
    case CHOIR_KIND_STRING: follow_text(c, p); break;
    case CHOIR_KIND_BYTES: follow_bytes(c, p); break;
    case CHOIR_KIND_OPTION: follow_option(c, t, p, depth); break;
    case CHOIR_KIND_LIST:
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP: follow_list(c, t->elem, p, depth); break;
    case CHOIR_KIND_ARRAY: follow_items(c, t->elem, p, t->count, depth); break;
    case CHOIR_KIND_BOX: follow_box(c, t, p, depth); break;
    case CHOIR_KIND_ENUM: follow_enum(c, t, p, depth); break;
    case CHOIR_KIND_RESULT: follow_result(c, t, p, depth); break;
    default: follow_fields(c, t->first, t->count, p, depth); break; /* tuples, structs */
    }
}

/* How much the value points to, behind its first `head` bytes. */
static int measure(const choir_unit *u, uint32_t type, const void *value, size_t head, size_t limit,
                   size_t *ret) {
    choiri_text text;
    int status = choiri_unit_check_version(u, &text);
    if (status != CHOIR_OK) return status;
    if (type >= u->types_len || (!value && choiri_unit_type(u, type)->size > 0)) return CHOIR_ERR_INVALID;
    copier c = {.u = u, .len = head, .limit = limit};
    follow(&c, type, (void *)(uintptr_t)value, 0);
    if (c.status == CHOIR_OK) *ret = c.len;
    return c.status;
}

/* Copies a value that was measured to `to`, and what it points to into `out` from `head` on. */
static void copy(const choir_unit *u, uint32_t type, const void *value, void *to, uint8_t *out, size_t head,
                 size_t len) {
    copier c = {.u = u, .out = out, .len = head, .limit = len};
    size_t size = choiri_unit_type(u, type)->size;
    if (size > 0) memcpy(to, value, size);
    follow(&c, type, to, 0);
    CHOIRI_ASSERT(c.status == CHOIR_OK && c.len == len);
}

int choir_value_copy(const choir_unit *unit, uint32_t type, const void *value, choir_arena *arena,
                     void *ret_value) {
    choiri_arena *a = &arena->arena;
    size_t len;
    int status = measure(unit, type, value, 0, a->limit, &len);
    if (status != CHOIR_OK) return status;
    uint8_t *out = choiri_arena_alloc(a, len, 16);
    if (!out) return choiri_arena_is_full(a, len) ? CHOIR_ERR_TOO_LARGE : CHOIR_ERR_NO_MEMORY;
    copy(unit, type, value, ret_value, out, 0, len);
    return CHOIR_OK;
}

/* --- the heap --- */

/* In front of a cloned value. */
typedef struct block {
    _Alignas(16) size_t size; /* of all of it */
} block;

int choir_value_clone(choir_env *env, const choir_unit *unit, uint32_t type, const void *value,
                      void **ret_value) {
    choiri_text text;
    size_t len, head = sizeof(block);
    int status = choiri_unit_check_version(unit, &text);
    if (status != CHOIR_OK) return status;
    if (type < unit->types_len) head += choiri_unit_type(unit, type)->size;
    status = measure(unit, type, value, head, SIZE_MAX, &len);
    if (status != CHOIR_OK) return status;
    block *b = choiri_alloc(env, len);
    if (!b) return CHOIR_ERR_NO_MEMORY;
    b->size = len;
    copy(unit, type, value, b + 1, (uint8_t *)b, head, len);
    *ret_value = b + 1;
    return CHOIR_OK;
}

void choir_value_free(choir_env *env, void *value) {
    if (!value) return;
    block *b = (block *)value - 1;
    choiri_free(env, b, b->size);
}
