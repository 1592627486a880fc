/* SPDX-License-Identifier: MIT */
/* What the tests of plans share: two sides with types of their own, what one announces to the other, the plan
 * that the other makes of it, and values that go through. */
#ifndef CHOIRI_TEST_PLAN_H
#define CHOIRI_TEST_PLAN_H

#include "schema/plan.h"
#include "schema/plan_build.h"
#include "schema/test_schema.h"
#include "value/test_types.h"
#include "value/value.h"

/* One side's types: declarations separated by ';', and a root; or the answer of a method that returns
 * Result<root, err>. */
typedef struct side {
    const char *declarations, *root, *err;
} side;

typedef struct party {
    test_types *ts;
    choiri_root root;
    choiri_schema_set announcement;
} party;

typedef struct match {
    schema_env s;
    choiri_arena arena;
    choiri_recv_tracker t;
    choiri_text text; /* without the type ids, which test_full_text has */
    choiri_plan_facts facts;
    bool is_translated;
} match;

static inline void match_open(match *m) {
    memset(m, 0, sizeof *m);
    schema_env_open(&m->s);
    choiri_arena_init(&m->arena, m->s.env, NULL, 0, (size_t)1 << 22);
    choiri_recv_tracker_init(&m->t, m->s.env, test_seed, NULL);
    choiri_text_init(&m->text);
}

static inline void match_close(match *m) {
    choiri_recv_tracker_deinit(&m->t);
    choiri_arena_reset(&m->arena);
    schema_env_close(&m->s);
}

static inline party types_open(match *m, const side *d) {
    choiri_text text;
    party ret = {.ts = test_types_new()};
    char one[512];
    for (const char *p = d->declarations; p && *p;) {
        size_t len = 0;
        for (int inside = 0; p[len] && (p[len] != ';' || inside > 0); len++)
            inside += (p[len] == '[') - (p[len] == ']'); /* an array's type has a ';', too */
        cr_assert_lt(len, sizeof one);
        memcpy(one, p, len);
        one[len] = '\0';
        test_types_declare(ret.ts, one);
        p += len + (p[len] == ';');
        while (*p == ' ') p++;
    }
    ret.root = (choiri_root){.unit = &ret.ts->unit, .is_response = d->err != NULL};
    ret.root.type = ret.root.ok = test_types_find(ret.ts, d->root);
    if (d->err) ret.root.err = test_types_find(ret.ts, d->err);
    int status = choiri_unit_check(&ret.ts->unit, &text);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", d->root, text.data);
    status = choiri_extract(&m->arena, NULL, &ret.root, &ret.announcement, &text);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", d->root, text.data);
    return ret;
}

static inline void types_close(party *t) {
    free(t->ts);
}

/* Takes " (type 0x...)" out. */
static inline void strip_ids(choiri_text *text) {
    char *at;
    while ((at = strstr(text->data, " (type 0x"))) {
        size_t len = strcspn(at, ")") + 1;
        memmove(at, at + len, strlen(at + len) + 1);
    }
    text->len = strlen(text->data);
}

/* Makes the plan, twice: as it is, where announcements that are equal to the byte need no comparing, and with
 * one more part on our side, which keeps the shortcut out. Both must say the same. *ret_plan is the second;
 * may be NULL. */
static inline int make_plan(match *m, const choiri_recv_tracker *t, choir_bytes remote_root,
                            const choiri_root *root, const choiri_schema_set *ours, bool lenient,
                            choiri_plan **ret_plan) {
    choiri_schema_part parts[256];
    choiri_schema_set more = {parts, ours->parts_len + 1, ours->root};
    choiri_plan *first, *second;
    choiri_text other;
    cr_assert_lt(ours->parts_len, 256);
    memcpy(parts, ours->parts, ours->parts_len * sizeof parts[0]);
    parts[ours->parts_len] = (choiri_schema_part){UINT64_C(0xdead), {(const uint8_t *)"", 0}};
    choiri_plan_input in = {m->s.env, t, remote_root, root, ours, lenient, CHOIRI_PLAN_ENDS};
    int status = choiri_plan_make(&in, &first, NULL, &m->text);
    in.announcement = &more;
    cr_assert_eq(choiri_plan_make(&in, &second, &m->facts, &other), status, "%s / %s", m->text.data,
                 other.data);
    cr_assert_str_eq(m->text.data, other.data);
    cr_assert_eq(status == CHOIR_OK, m->text.len == 0, "%d: %s", status, m->text.data);
    cr_assert_eq(choiri_plan_size(first), choiri_plan_size(second));
    cr_assert_leq(m->facts.steps, CHOIRI_SCHEMA_MAX_STEPS);
    cr_assert_leq(choiri_plan_size(second), CHOIRI_PLAN_MAX_BYTES);
    m->is_translated = second != NULL;
    choiri_plan_free(m->s.env, first);
    if (ret_plan)
        *ret_plan = second;
    else
        choiri_plan_free(m->s.env, second);
    return status;
}

/* Tells `m` what `remote` announces. */
static inline void announce(match *m, const party *remote, choir_bytes *ret_root) {
    for (uint32_t i = 0; i < remote->announcement.parts_len; i++) {
        int status =
            choiri_recv_tracker_add_all(&m->t, remote->announcement.parts[i].cbor, 1, NULL, &m->text);
        cr_assert_eq(status, CHOIR_OK, "%s", m->text.data);
    }
    *ret_root = remote->announcement.root;
}

/* Announces `remote` to a fresh tracker and makes the plan for `local`. */
static inline int match_sides(match *m, const side *remote, const side *local, bool lenient) {
    choir_bytes root;
    match_open(m);
    party theirs = types_open(m, remote), ours = types_open(m, local);
    announce(m, &theirs, &root);
    int status = make_plan(m, &m->t, root, &ours.root, &ours.announcement, lenient, NULL);
    strip_ids(&m->text);
    types_close(&theirs);
    types_close(&ours);
    match_close(m);
    return status;
}

/* --- values --- */

typedef struct translation {
    match m;
    party theirs, ours;
    choiri_plan *plan;
    choir_arena memory;
} translation;

static inline int translation_open(translation *t, side remote, side local) {
    choir_bytes root;
    match_open(&t->m);
    t->theirs = types_open(&t->m, &remote);
    t->ours = types_open(&t->m, &local);
    announce(&t->m, &t->theirs, &root);
    choiri_arena_init(&t->memory.arena, t->m.s.env, NULL, 0, (size_t)1 << 26);
    return make_plan(&t->m, &t->m.t, root, &t->ours.root, &t->ours.announcement, remote.err != NULL,
                     &t->plan);
}

static inline void translation_close(translation *t) {
    choiri_plan_free(t->m.s.env, t->plan);
    choiri_arena_reset(&t->memory.arena);
    types_close(&t->theirs);
    types_close(&t->ours);
    match_close(&t->m);
}

/* What the peer sends for a value: memory of its own, exactly as long; free(ret.data). */
static inline test_bytes encode_theirs(translation *t, uint32_t type, const void *value) {
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, t->m.s.env);
    choiri_writer_init(&w, &q, NULL);
    choiri_value_encode(&w, t->theirs.root.unit, type, value);
    int status = choiri_writer_finish(&w);
    cr_assert_eq(status, CHOIR_OK, "encode: %d", status);
    test_bytes all = test_take(&q), exact = {malloc(all.len > 0 ? all.len : 1), all.len};
    if (all.len > 0) memcpy(exact.data, all.data, all.len);
    free(all.data);
    choiri_outq_deinit(&q);
    return exact;
}

static inline test_bytes encode_json(translation *t, const char *json) {
    uint32_t type = t->theirs.root.type;
    void *value = choir_arena_alloc(&t->memory, t->theirs.ts->types[type].size, 16);
    choir_str why = {"", 0};
    cr_assert(value);
    int status = choir_value_from_json(t->theirs.root.unit, type, (choir_str){json, strlen(json)}, &t->memory,
                                       value, &why);
    cr_assert_eq(status, CHOIR_OK, "%s: %.*s", json, (int)why.len, why.data);
    return encode_theirs(t, type, value);
}

/* Decodes what the peer sent. Memory that is handed out is rubbish before, so that nothing depends on
 * zeros. */
static inline int decode_ours(translation *t, choir_bytes bytes, void **ret_value, size_t *ret_left) {
    uint32_t type = t->ours.root.type;
    size_t size = t->ours.ts->types[type].size;
    *ret_value = choir_arena_alloc(&t->memory, size, 16);
    cr_assert(*ret_value);
    memset(*ret_value, 0xa7, size);
    choiri_reader r = choiri_reader_of(bytes);
    int status = choiri_plan_decode(t->plan, CHOIRI_PLAN_ROOT, &r, t->ours.root.unit, type, &t->memory.arena,
                                    *ret_value, &t->m.text);
    *ret_left = choiri_reader_left(&r);
    return status;
}

static inline choir_str print_ours(translation *t, const void *value) {
    choir_str json;
    int status = choir_value_to_json(t->ours.root.unit, t->ours.root.type, value, &t->memory, &json);
    cr_assert_eq(status, CHOIR_OK, "to JSON: %d", status);
    return json;
}

#endif
