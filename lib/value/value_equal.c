/* SPDX-License-Identifier: MIT */
/* Equality of values, driven by descriptors. Two values are equal when they are written as the same bytes,
 * whatever the order of the elements of sets and maps: so floats are compared by their bits, which makes
 * every value equal to itself and to its copy.
 *
 * Values without sets and maps are compared in one walk that ends at the first difference. Sets and maps are
 * compared in the order they are in as far as that goes, which is all the way for those that come from the
 * same place; for the rest each element of either is looked for in the other. That is quadratic, takes no
 * memory, and is bounded in total. Rejected: sorting, which would need memory and an order of all types.
 */
#include "value/unit.h"
#include "value/value.h"

/* Values looked at while searching: some 4,000 elements in any order. */
#define SEARCH_MAX (UINT64_C(1) << 24)

typedef struct comparison {
    const choir_unit *u;
    uint64_t work; /* in searches */
    uint32_t searching;
    int status;
} comparison;

static bool equal(comparison *c, uint32_t type, const void *a, const void *b, uint32_t depth);

static const void *at(const void *p, size_t offset) {
    return (const uint8_t *)p + offset;
}

static bool fail(comparison *c, int status) {
    if (c->status == CHOIR_OK) c->status = status;
    return false;
}

static bool charge(comparison *c, size_t bytes) {
    if (c->searching == 0) return true;
    c->work += 1 + bytes / 64;
    return c->work <= SEARCH_MAX || fail(c, CHOIR_ERR_TOO_LARGE);
}

static bool equal_bytes(comparison *c, choir_bytes a, choir_bytes b) {
    if (a.len != b.len) return false;
    if (a.len > 0 && (!a.data || !b.data)) return fail(c, CHOIR_ERR_INVALID); /* the host forgot it */
    return a.len == 0 || (charge(c, a.len) && memcmp(a.data, b.data, a.len) == 0);
}

/* Scalars whose bytes are all of them. */
static bool is_plain(uint32_t kind) {
    return kind < CHOIR_KIND_STRING || kind == CHOIR_KIND_TX || kind == CHOIR_KIND_RX;
}

static bool equal_items(comparison *c, uint32_t elem, const void *a, const void *b, size_t count,
                        uint32_t depth) {
    const choir_type *t = choiri_unit_type(c->u, elem);
    if (t->size == 0 || count == 0) return true;
    if (!a || !b) return fail(c, CHOIR_ERR_INVALID);
    if (is_plain(t->kind))
        return equal_bytes(c, (choir_bytes){a, count * t->size}, (choir_bytes){b, count * t->size});
    for (size_t i = 0; i < count; i++)
        if (!equal(c, elem, at(a, i * t->size), at(b, i * t->size), depth)) return false;
    return true;
}

/* Looks for an element from place `i` on, and then from the start. */
static bool contains(comparison *c, uint32_t elem, const choir_list *list, size_t i, const void *item,
                     uint32_t depth) {
    size_t size = choiri_unit_type(c->u, elem)->size;
    for (size_t left = list->len; left > 0 && c->status == CHOIR_OK; left--, i++) {
        if (i == list->len) i = 0;
        if (equal(c, elem, item, at(list->items, i * size), depth)) return true;
    }
    return false;
}

/* Are the elements of `a` from `i` on in `b`? */
static bool is_within(comparison *c, uint32_t elem, const choir_list *a, const choir_list *b, size_t i,
                      uint32_t depth) {
    size_t size = choiri_unit_type(c->u, elem)->size;
    for (; i < a->len; i++)
        if (!contains(c, elem, b, i, at(a->items, i * size), depth)) return false;
    return true;
}

static bool equal_content(comparison *c, uint32_t elem, const choir_list *a, const choir_list *b,
                          uint32_t depth) {
    size_t size = choiri_unit_type(c->u, elem)->size, i = 0;
    if (a->len != b->len) return false;
    if (size == 0 || a->len == 0) return true;
    if (!a->items || !b->items) return fail(c, CHOIR_ERR_INVALID);
    while (i < a->len && equal(c, elem, at(a->items, i * size), at(b->items, i * size), depth)) i++;
    if (i == a->len || c->status != CHOIR_OK) return i == a->len;
    c->searching++;
    bool same = is_within(c, elem, a, b, i, depth) && is_within(c, elem, b, a, i, depth);
    c->searching--;
    return same;
}

static bool equal_fields(comparison *c, uint32_t first, uint32_t count, const void *a, const void *b,
                         uint32_t depth) {
    for (uint32_t i = first; i < first + count; i++) {
        const choir_field *f = choiri_unit_field(c->u, i);
        if (!equal(c, f->type, at(a, f->offset), at(b, f->offset), depth)) return false;
    }
    return true;
}

static bool equal_enums(comparison *c, const choir_type *t, const void *a, const void *b, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)a, other = *(const uint32_t *)b;
    if (tag >= t->count || other >= t->count) return fail(c, CHOIR_ERR_INVALID);
    const choir_variant *v = choiri_unit_variant(c->u, t->first + tag);
    return tag == other && equal_fields(c, v->first, v->count, a, b, depth);
}

static bool equal_options(comparison *c, const choir_type *t, const void *a, const void *b, uint32_t depth) {
    uint8_t has = *(const uint8_t *)a, other = *(const uint8_t *)b; /* they may be no bools */
    if (has > 1 || other > 1) return fail(c, CHOIR_ERR_INVALID);
    return has == other && (!has || equal(c, t->elem, at(a, t->offset), at(b, t->offset), depth));
}

static bool equal_results(comparison *c, const choir_type *t, const void *a, const void *b, uint32_t depth) {
    uint32_t tag = *(const uint32_t *)a, other = *(const uint32_t *)b;
    if (tag > 1 || other > 1) return fail(c, CHOIR_ERR_INVALID);
    return tag == other && equal(c, tag == 0 ? t->elem : t->elem2, at(a, t->offset), at(b, t->offset), depth);
}

static bool equal_boxes(comparison *c, const choir_type *t, const void *a, const void *b, uint32_t depth) {
    a = choiri_value_boxed(a);
    b = choiri_value_boxed(b);
    return a && b ? equal(c, t->elem, a, b, depth) : fail(c, CHOIR_ERR_INVALID);
}

static bool equal_durations(const choir_timespan *a, const choir_timespan *b) {
    return a->seconds == b->seconds && a->nanoseconds == b->nanoseconds; /* there is padding behind them */
}

static bool equal(comparison *c, uint32_t type, const void *a, const void *b, uint32_t depth) {
    const choir_type *t = choiri_unit_type(c->u, type);
    const choir_list *x = a, *y = b;
    if (t->size == 0) return true;
    if (!charge(c, 0)) return false;
    if (is_plain(t->kind)) return memcmp(a, b, t->size) == 0;
    if (choiri_kind_nests(t->kind) && depth++ == CHOIRI_VALUE_DEPTH) return fail(c, CHOIR_ERR_DEPTH);
    switch (t->kind) {
    case CHOIR_KIND_STRING: /* the same members */
    case CHOIR_KIND_BYTES: return equal_bytes(c, *(const choir_bytes *)a, *(const choir_bytes *)b);
    case CHOIR_KIND_DURATION: return equal_durations(a, b);
    case CHOIR_KIND_OPTION: return equal_options(c, t, a, b, depth);
    case CHOIR_KIND_LIST:
        return x->len == y->len && equal_items(c, t->elem, x->items, y->items, x->len, depth);
    case CHOIR_KIND_SET:
    case CHOIR_KIND_MAP: return equal_content(c, t->elem, x, y, depth);
    case CHOIR_KIND_ARRAY: return equal_items(c, t->elem, a, b, t->count, depth);
    case CHOIR_KIND_BOX: return equal_boxes(c, t, a, b, depth);
    case CHOIR_KIND_ENUM: return equal_enums(c, t, a, b, depth);
    case CHOIR_KIND_RESULT: return equal_results(c, t, a, b, depth);
    default: return equal_fields(c, t->first, t->count, a, b, depth); /* tuples, structs */
    }
}

int choir_value_equal(const choir_unit *unit, uint32_t type, const void *a, const void *b, bool *ret_equal) {
    choiri_text text;
    int status = choiri_unit_check_version(unit, &text);
    if (status != CHOIR_OK) return status;
    if (type >= unit->types_len || ((!a || !b) && choiri_unit_type(unit, type)->size > 0))
        return CHOIR_ERR_INVALID;
    comparison c = {.u = unit};
    bool same = equal(&c, type, a, b, 0);
    if (c.status == CHOIR_OK) *ret_equal = same;
    return c.status;
}
