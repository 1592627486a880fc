/* SPDX-License-Identifier: MIT */
/* Compatibility of two versions of an interface. */
#include "schema/compat.h"

#include "schema/plan.h"
#include "value/unit.h"

/* The extraction of one root; far above any that a connection could carry. */
#define ANNOUNCED_MAX ((size_t)16 << 20)

typedef struct version {
    const choiri_root *root;
    choiri_arena arena;
    choiri_schema_set announcement;
    choiri_recv_tracker tracker; /* of who hears it */
} version;

static int open_version(choir_env *env, const choiri_root *root, version *v, choiri_text *text) {
    static const uint64_t seed[2] = {0, 0}; /* these keys are the program's own */
    v->root = root;
    choiri_arena_init(&v->arena, env, NULL, 0, ANNOUNCED_MAX);
    choiri_recv_tracker_init(&v->tracker, env, seed, NULL);
    int status = choiri_extract(&v->arena, NULL, root, &v->announcement, text);
    for (uint32_t i = 0; i < v->announcement.parts_len && status == CHOIR_OK; i++)
        status = choiri_recv_tracker_add_all(&v->tracker, v->announcement.parts[i].cbor, 1, NULL, text);
    return status;
}

static void close_version(version *v) {
    choiri_recv_tracker_deinit(&v->tracker);
    choiri_arena_reset(&v->arena);
}

/* An array's length is no part of what is compared, because it is announced wrongly where a type has several
 * lengths. So two versions may pass for the same although their values are not. */
static void refuse_array(choiri_compat_way *way, const choiri_text *why) {
    if (way->reads == CHOIRI_READS_NOT) return;
    way->reads = CHOIRI_READS_NOT;
    way->text = *why;
    way->unknowns = 0;
    if (way->vox == CHOIRI_VOX_MISREADS) way->vox = CHOIRI_VOX_UNKNOWN; /* for the same reason */
}

static int ask_vox(choir_env *env, const version *writer, const version *reader, bool is_reader_new,
                   choiri_compat_way *ret) {
    choiri_vox_verdict verdict;
    const choiri_vox_input in = {.env = env,
                                 .tracker = &writer->tracker,
                                 .remote_root = writer->announcement.root,
                                 .writer = writer->root,
                                 .reader = reader->root,
                                 .announcement = &reader->announcement,
                                 .is_reader_new = is_reader_new};
    int status = choiri_vox_read(&in, &verdict);
    if (status != CHOIR_OK) return status;
    ret->vox = verdict.reads;
    ret->vox_text = verdict.text;
    if (verdict.array.len > 0) refuse_array(ret, &verdict.array);
    return CHOIR_OK;
}

static int read_way(choir_env *env, const version *writer, const version *reader, bool is_reader_new,
                    choiri_compat_way *ret) {
    choiri_plan *plan;
    choiri_plan_facts facts;
    const choiri_plan_input in = {.env = env,
                                  .tracker = &writer->tracker,
                                  .remote_root = writer->announcement.root,
                                  .root = reader->root,
                                  .announcement = &reader->announcement,
                                  .speaks_of = is_reader_new ? CHOIRI_PLAN_OURS_NEW : CHOIRI_PLAN_THEIRS_NEW};
    int status = choiri_plan_make(&in, &plan, &facts, &ret->text);
    if (status == CHOIR_ERR_NO_MEMORY) return status;
    ret->reads = status != CHOIR_OK  ? CHOIRI_READS_NOT
                 : facts.has_unknown ? CHOIRI_READS_PARTLY
                 : plan              ? CHOIRI_READS_TRANSLATED
                                     : CHOIRI_READS_SAME;
    if (ret->reads == CHOIRI_READS_PARTLY) ret->text = facts.unknown;
    ret->unknowns = ret->reads == CHOIRI_READS_PARTLY ? facts.unknowns : 0;
    choiri_plan_free(env, plan);
    return ask_vox(env, writer, reader, is_reader_new, ret);
}

bool choiri_compat_vox_differs(const choiri_compat_way *way) {
    switch (way->vox) {
    case CHOIRI_VOX_UNKNOWN: return false;
    case CHOIRI_VOX_READS: return way->reads >= CHOIRI_READS_PARTLY;
    case CHOIRI_VOX_PARTLY: return way->reads != CHOIRI_READS_PARTLY;
    case CHOIRI_VOX_REFUSES: return way->reads != CHOIRI_READS_NOT;
    case CHOIRI_VOX_MISREADS:
    case CHOIRI_VOX_CRASHES: break;
    }
    return true;
}

int choiri_compat_roots(choir_env *env, const choiri_root *before, const choiri_root *after,
                        choiri_compat *ret_compat) {
    version old = {0}, new = {0};
    choiri_text_init(&ret_compat->new_reads_old.text);
    choiri_text_init(&ret_compat->old_reads_new.text);
    int status = open_version(env, before, &old, &ret_compat->new_reads_old.text);
    int second = open_version(env, after, &new, &ret_compat->old_reads_new.text);
    if (status == CHOIR_OK) status = second;
    if (status == CHOIR_OK) status = read_way(env, &old, &new, true, &ret_compat->new_reads_old);
    if (status == CHOIR_OK) status = read_way(env, &new, &old, false, &ret_compat->old_reads_new);
    close_version(&old);
    close_version(&new);
    return status;
}

/* --- channels --- */

/* What goes through a channel is decoded as it is, without a plan: whoever reads it must have the same
 * layout. */
static void items_must_be_the_same(choiri_compat_way *items, uint32_t argument, choiri_compat_way *ret) {
    if (items->reads == CHOIRI_READS_SAME || ret->reads == CHOIRI_READS_NOT) return;
    choiri_text_init(&ret->text);
    choiri_text_u64(choiri_text_add(&ret->text, "args."), argument);
    choiri_text_add(&ret->text, ": items of channels are not translated, and the layouts differ");
    if (items->reads == CHOIRI_READS_NOT)
        choiri_text_str(choiri_text_add(&ret->text, ": "), choiri_text_get(&items->text));
    ret->reads = CHOIRI_READS_NOT;
    if (ret->vox >= CHOIRI_VOX_MISREADS) return;
    ret->vox = CHOIRI_VOX_MISREADS;
    choiri_text_init(&ret->vox_text);
    choiri_text_u64(choiri_text_add(&ret->vox_text, "args."), argument);
    choiri_text_add(&ret->vox_text, " is a channel, whose items it does not compare");
}

/* A Tx is given to who is called, so its items are read by the caller, as responses are; those of an Rx are
 * read like arguments. */
static int compare_channels(choir_env *env, const choiri_root *before, const choiri_root *after,
                            choiri_compat_method *ret) {
    const choir_type *a = choiri_unit_type(before->unit, before->type);
    const choir_type *b = choiri_unit_type(after->unit, after->type);
    if (a->kind != CHOIR_KIND_TUPLE || b->kind != CHOIR_KIND_TUPLE || a->count != b->count) return CHOIR_OK;
    for (uint32_t i = 0; i < a->count; i++) {
        const choir_type *x =
            choiri_unit_type(before->unit, choiri_unit_field(before->unit, a->first + i)->type);
        const choir_type *y =
            choiri_unit_type(after->unit, choiri_unit_field(after->unit, b->first + i)->type);
        if (x->kind != y->kind || (x->kind != CHOIR_KIND_TX && x->kind != CHOIR_KIND_RX)) continue;
        choiri_compat items;
        int status = choiri_compat_roots(env, &(choiri_root){.unit = before->unit, .type = x->elem},
                                         &(choiri_root){.unit = after->unit, .type = y->elem}, &items);
        if (status != CHOIR_OK) return status;
        choiri_compat *way = x->kind == CHOIR_KIND_TX ? &ret->response : &ret->args;
        items_must_be_the_same(&items.new_reads_old, i, &way->new_reads_old);
        items_must_be_the_same(&items.old_reads_new, i, &way->old_reads_new);
    }
    return CHOIR_OK;
}

/* --- methods --- */

static bool can(const choiri_compat_way *w) {
    return w->reads != CHOIRI_READS_NOT;
}

static bool is_same(const choiri_compat *c) {
    return c->new_reads_old.reads == CHOIRI_READS_SAME && c->old_reads_new.reads == CHOIRI_READS_SAME;
}

static bool is_partial(const choiri_compat *c) {
    return c->new_reads_old.reads == CHOIRI_READS_PARTLY || c->old_reads_new.reads == CHOIRI_READS_PARTLY;
}

choiri_compat_call choiri_compat_call_of(const choiri_compat_method *m, bool is_caller_new) {
    if (is_caller_new) return (choiri_compat_call){&m->args.old_reads_new, &m->response.new_reads_old};
    return (choiri_compat_call){&m->args.new_reads_old, &m->response.old_reads_new};
}

static bool works(choiri_compat_call c) {
    return can(c.args) && can(c.answer);
}

static choiri_verdict judge(const choiri_compat_method *m) {
    bool old_calls_new = works(choiri_compat_call_of(m, false));
    bool new_calls_old = works(choiri_compat_call_of(m, true));
    if (is_same(&m->args) && is_same(&m->response)) return CHOIRI_COMPAT_SAME;
    if (old_calls_new && new_calls_old) return CHOIRI_COMPAT_BOTH;
    return old_calls_new   ? CHOIRI_COMPAT_OLD_CALLS
           : new_calls_old ? CHOIRI_COMPAT_NEW_CALLS
                           : CHOIRI_COMPAT_BREAKING;
}

static int compare_method(choir_env *env, const choir_unit *u, const choir_method *before,
                          const choir_unit *v, const choir_method *after, choiri_compat_method *ret) {
    const choiri_root a = {.unit = u, .type = before->args}, b = {.unit = v, .type = after->args};
    const choiri_root x = {.unit = u, .is_response = true, .ok = before->ok, .err = before->err},
                      y = {.unit = v, .is_response = true, .ok = after->ok, .err = after->err};
    int status = choiri_compat_roots(env, &a, &b, &ret->args);
    if (status == CHOIR_OK) status = choiri_compat_roots(env, &x, &y, &ret->response);
    if (status == CHOIR_OK) status = compare_channels(env, &a, &b, ret);
    if (status != CHOIR_OK) return status;
    ret->verdict = judge(ret);
    ret->is_partial = is_partial(&ret->args) || is_partial(&ret->response);
    return CHOIR_OK;
}

int choiri_compat_services(choir_env *env, const choir_service *before, const choir_service *after,
                           bool (*fn)(void *ctx, const choiri_compat_method *method), void *ctx,
                           choiri_text *ret_text) {
    const choiri_prepared *old, *new;
    int status = choiri_prepare(env, before, &old, ret_text);
    if (status == CHOIR_OK) status = choiri_prepare(env, after, &new, ret_text);
    if (status != CHOIR_OK) return status;
    for (uint32_t i = 0; i < old->methods_len; i++) {
        uint32_t k = choiri_prepared_lookup(new, old->methods[i].id);
        choiri_compat_method m = {.name = choir_method_name(before, i), .verdict = CHOIRI_COMPAT_REMOVED};
        if (k != UINT32_MAX)
            status = compare_method(env, before->unit, old->methods[i].desc, after->unit,
                                    new->methods[k].desc, &m);
        if (status != CHOIR_OK) {
            choiri_text_str(choiri_text_add(ret_text, "method "), m.name);
            choiri_text_add(choiri_text_add(ret_text, ": "), choir_status_text(status));
            return status;
        }
        if (!fn(ctx, &m)) return CHOIR_OK;
    }
    for (uint32_t k = 0; k < new->methods_len; k++) {
        if (choiri_prepared_lookup(old, new->methods[k].id) != UINT32_MAX) continue;
        choiri_compat_method m = {.name = choir_method_name(after, k), .verdict = CHOIRI_COMPAT_ADDED};
        if (!fn(ctx, &m)) return CHOIR_OK;
    }
    return CHOIR_OK;
}
