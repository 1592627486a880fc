/* SPDX-License-Identifier: MIT */
/* What was announced about types on a connection. rule: schema.delivery, schema.rebind
 *
 * Bindings are made for methods that are used: a service has dozens, a connection uses a few. What the peer's
 * announcements make us hold (schemas, plans, units, bindings) is followed after each of them and charged to
 * the session: a connection that makes it hold more than the quota is closed. */
#include "rpc/types.h"

#include "base/assert.h"

#define BINDINGS_FIRST 4u

/* A method that returns nothing and cannot fail: the announcement Rust callees make for a method they do not
 * know, which lets a Rust caller of such a method see UnknownMethod (rule: rpc.unknown-method). */
enum { NOTHING_UNIT, NOTHING_NEVER };
static const char nothing_strings[] = "\0Noop\0noop";
static const choir_type nothing_types[] = {
    [NOTHING_UNIT] = {.kind = CHOIR_KIND_UNIT, .align = 1},
    [NOTHING_NEVER] = {.kind = CHOIR_KIND_NEVER, .align = 1},
};
static const choir_unit nothing_unit = {
    CHOIR_UNIT_HEADER,          .types_len = 2, .strings_len = sizeof nothing_strings, .types = nothing_types,
    .strings = nothing_strings,
};
static const choir_method nothing_methods[] = {
    {.name = 6,
     .args = NOTHING_UNIT,
     .ok = NOTHING_UNIT,
     .err = NOTHING_NEVER,
     .id = UINT64_C(0xc9aa6f20a7e5bd52)},
};
static const choir_service nothing_service = {
    .unit = &nothing_unit, .name = 1, .methods_len = 1, .methods = nothing_methods};

/* ---- life ---- */

/* Charges the schemas that connections share, once. */
static void recharge_schemas(choir_session *s) {
    uint64_t held = choiri_schema_store_held(s->schemas);
    s->charged += held - s->schemas->charged; /* modulo: it may be less */
    s->schemas->charged = held;
}

/* The last connection that could announce something is gone. */
static void drop_schemas(choir_session *s) {
    if (s->schemas->trackers > 0) {
        recharge_schemas(s);
        return;
    }
    s->charged -= s->schemas->charged;
    choiri_schema_store_free(s->schemas);
    s->schemas = NULL;
}

choiri_lasting *choiri_lasting_make(choir_session *s, choiri_conn *c) {
    choiri_lasting *l = choiri_alloc(s->env, sizeof *l);
    if (!l) return NULL;
    if (!s->schemas) s->schemas = choiri_schema_store_new(s->env, s->seed);
    if (!s->schemas) {
        choiri_free(s->env, l, sizeof *l);
        return NULL;
    }
    memset(l, 0, sizeof *l);
    choiri_send_tracker_init(&l->sent, s->env, s->seed);
    choiri_recv_tracker_init(&l->received, s->env, s->seed, s->schemas);
    recharge_schemas(s);
    l->next_id = choiri_conn_parity(c) == CHOIRI_PARITY_ODD ? 1 : 2;
    l->next_operation = 1;
    l->charged = sizeof *l;
    s->charged += l->charged;
    c->lasting = l;
    return l;
}

static void free_types(choir_session *s, choiri_answer_types *types) {
    if (!types) return;
    choiri_arena_reset(&types->arena);
    choiri_free(s->env, types, sizeof *types);
}

static size_t index_size(const choiri_prepared *service) {
    return service->methods_len * sizeof(uint16_t);
}

static void free_bindings(choir_session *s, choiri_bindings *b, const choiri_prepared *service) {
    for (uint32_t i = 0; i < b->len; i++) {
        choiri_binding *binding = b->list[i];
        choiri_text_release(s->env, binding->text);
        free_types(s, binding->types);
        choiri_plan_free(s->env, binding->plan);
        choiri_free(s->env, binding, sizeof *binding);
    }
    choiri_free(s->env, b->list, b->cap * sizeof *b->list);
    if (b->index) choiri_free(s->env, b->index, index_size(service));
}

void choiri_lasting_free(choir_session *s, choiri_conn *c) {
    choiri_lasting *l = c->lasting;
    if (!l) return;
    free_bindings(s, &l->served, c->profile->serve);
    free_bindings(s, &l->called, c->profile->call);
    choiri_send_tracker_deinit(&l->sent);
    choiri_recv_tracker_deinit(&l->received);
    s->charged -= l->charged;
    drop_schemas(s);
    choiri_free(s->env, l, sizeof *l);
    c->lasting = NULL;
}

static size_t held_by_bindings(const choiri_bindings *b, const choiri_prepared *service) {
    return b->cap * sizeof *b->list + b->len * sizeof **b->list + (b->index ? index_size(service) : 0);
}

/* Charges what it holds now. */
static void recharge(choir_session *s, const choiri_conn *c) {
    choiri_lasting *l = c->lasting;
    uint64_t held = sizeof *l + choiri_recv_tracker_held(&l->received) + l->plan_bytes + l->text_bytes +
                    held_by_bindings(&l->served, c->profile->serve) +
                    held_by_bindings(&l->called, c->profile->call);
    s->charged += held - l->charged; /* modulo 2^64: it may be less */
    l->charged = held;
    recharge_schemas(s);
}

static bool make_room(choir_session *s, choiri_bindings *b, const choiri_prepared *service) {
    if (!b->index) {
        b->index = choiri_zalloc(s->env, index_size(service));
        if (!b->index) return false;
    }
    if (b->len == b->cap) {
        uint16_t cap = b->cap == 0 ? BINDINGS_FIRST : (uint16_t)(b->cap * 2);
        choiri_binding **list = choiri_realloc(s->env, b->list, b->cap * sizeof *list, cap * sizeof *list);
        if (!list) return false;
        b->list = list;
        b->cap = cap;
    }
    return true;
}

CHOIRI_NOINLINE choiri_binding *choiri_binding_make(choir_session *s, choiri_conn *c, bool called,
                                                    uint32_t method) {
    choiri_lasting *l = c->lasting;
    choiri_bindings *b = called ? &l->called : &l->served;
    bool ok = make_room(s, b, called ? c->profile->call : c->profile->serve);
    choiri_binding *binding = ok ? choiri_alloc(s->env, sizeof *binding) : NULL;
    if (binding) {
        *binding = (choiri_binding){.peer = CHOIRI_BOUND_NO};
        b->list[b->len] = binding;
        b->index[method] = ++b->len;
    }
    recharge(s, c);
    return binding;
}

void choiri_method_text(const choiri_prepared *service, uint32_t method, choiri_text *text) {
    choiri_text_str(text, choir_service_name(service->desc));
    choiri_text_str(choiri_text_add(text, "."), choir_method_name(service->desc, method));
}

/* ---- what the peer announces ---- */

/* Makes the types of a DYNAMIC method's answer: nothing to compare them with. */
static int read_types(choir_session *s, choiri_lasting *l, choiri_binding *b, choir_bytes root,
                      choiri_text *why) {
    uint32_t type;
    choiri_answer_types *types = choiri_alloc(s->env, sizeof *types);
    choiri_text_init(why);
    if (!types) return CHOIR_ERR_NO_MEMORY;
    choiri_arena_init(&types->arena, s->env, NULL, 0, CHOIRI_PLANS_MAX_BYTES - l->plan_bytes);
    int status = choiri_dynamic_make(&types->arena, &l->received, root, &types->unit, &type, why);
    if (status == CHOIR_OK && !choiri_dynamic_result(types->unit, type, &types->ok, &types->err)) {
        choiri_text_add(why, "the peer's root is not Result<T, VoxError<E>>");
        status = CHOIR_ERR_LAYOUT;
    }
    if (status != CHOIR_OK) {
        free_types(s, types);
        return status;
    }
    l->plan_bytes += types->arena.used + sizeof *types;
    b->types = types;
    return CHOIR_OK;
}

/* How the peer's values of this root are read as ours: statuses of choiri_plan_make. */
static int make_plan(choir_session *s, choiri_lasting *l, const choiri_prepared *service, uint32_t method,
                     bool response, choir_bytes root, choiri_plan **ret_plan, choiri_text *why) {
    const choiri_prepared_method *m = &service->methods[method];
    const choiri_root ours = {.unit = service->desc->unit,
                              .is_response = response,
                              .type = m->desc->args,
                              .ok = m->desc->ok,
                              .err = m->desc->err};
    const choiri_plan_input in = {.env = s->env,
                                  .tracker = &l->received,
                                  .remote_root = root,
                                  .root = &ours,
                                  .announcement = response ? &m->response : &m->args,
                                  .is_lenient = response};
    int status = choiri_plan_make(&in, ret_plan, NULL, why);
    if (status != CHOIR_OK) return status;
    if (choiri_plan_size(*ret_plan) <= CHOIRI_PLANS_MAX_BYTES - l->plan_bytes) {
        l->plan_bytes += choiri_plan_size(*ret_plan);
        return CHOIR_OK;
    }
    choiri_plan_free(s->env, *ret_plan);
    *ret_plan = NULL;
    choiri_text_add(why, "too many types of this peer differ from ours");
    return CHOIR_ERR_TOO_LARGE;
}

/* false when the connection has failed. */
static bool set_binding(choir_session *s, choiri_conn *c, uint32_t method, bool response, choir_bytes root,
                        choir_time now) {
    choiri_lasting *l = c->lasting;
    const choiri_prepared *service = response ? c->profile->call : c->profile->serve;
    uint32_t flags = service->methods[method].desc->flags;
    choiri_binding *b = choiri_binding_get(s, c, response, method);
    choiri_hot *hot = choiri_conn_heat(s, c);
    choiri_text why, text;
    choiri_text_init(&why);
    if (!b || !hot) {
        choiri_conn_fail(s, c, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return false;
    }
    /* The first good root stays, as it does with vox peers; a bad one may be repaired. */
    if (b->peer == CHOIRI_BOUND_OK || (flags & CHOIR_METHOD_RAW)) return true;
    /* A comparison may take milliseconds, and a peer can ask for one with a few bytes: the second one is
     * charged. */
    if (b->peer == CHOIRI_BOUND_BAD && !choiri_conn_glitch(hot, now)) return false;
    if (b->tries == CHOIRI_BINDING_TRIES) return true; /* it stays bad */
    b->tries++;
    l->text_bytes -= b->text.len;
    choiri_text_release(s->env, b->text);
    b->text = (choir_str){NULL, 0};
    int status = flags & CHOIR_METHOD_DYNAMIC
                     ? read_types(s, l, b, root, &why)
                     : make_plan(s, l, service, method, response, root, &b->plan, &why);
    if (status == CHOIR_OK) {
        b->peer = CHOIRI_BOUND_OK;
        return true;
    }
    if (status == CHOIR_ERR_NO_MEMORY) {
        choiri_conn_fail(s, c, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return false;
    }
    choiri_text_init(&text);
    choiri_method_text(service, method, &text);
    choiri_text_str(choiri_text_add(&text, response ? " answer: " : " arguments: "), choiri_text_get(&why));
    b->peer = CHOIRI_BOUND_BAD;
    b->text = choiri_text_keep(s->env, &text); /* without memory it is refused without the reason */
    l->text_bytes += b->text.len;
    return true;
}

static void bad_schemas(choir_session *s, choiri_conn *c, const char *why, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(choiri_text_add(&text, "schemas: "), why);
    choiri_conn_fail(s, c, CHOIR_ERR_PROTOCOL, &text, now);
}

static bool bind_cbor(choir_session *s, choiri_conn *c, uint32_t method, bool response, choir_bytes schemas,
                      choir_time now) {
    choiri_lasting *l = c->lasting;
    choir_bytes root;
    choiri_text why;
    choiri_text_init(&why);
    int status = choiri_recv_tracker_add(&l->received, schemas, &root, &why);
    recharge(s, c);
    if (status == CHOIR_ERR_NO_MEMORY) {
        choiri_conn_fail(s, c, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return false;
    }
    if (status != CHOIR_OK) {
        bad_schemas(s, c, why.data, now);
        return false;
    }
    bool ok = method == CHOIR_METHOD_NONE || set_binding(s, c, method, response, root, now);
    recharge(s, c);
    if (!ok) return false;
    if (choiri_session_held(s) <= s->quota) return true;
    bad_schemas(s, c, "the peer announced more types than the session may hold", now);
    return false;
}

bool choiri_types_bind(choir_session *s, choiri_conn *c, uint32_t method, bool response, choir_bytes schemas,
                       choir_time now) {
    const choiri_codec *codec = s->codec;
    const choiri_prepared *service = response ? c->profile->call : c->profile->serve;
    choir_bytes cbor = {NULL, 0};
    int status = choiri_lasting_get(s, c) ? codec->to_cbor(s->env, schemas, CHOIRI_SCHEMA_MAX_PAYLOAD, &cbor)
                                          : CHOIR_ERR_NO_MEMORY;
    if (status == CHOIR_ERR_NO_MEMORY) {
        choiri_conn_fail(s, c, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return false;
    }
    if (status != CHOIR_OK) {
        choiri_text what;
        choiri_text_init(&what);
        choiri_text_add(choiri_text_add(choiri_text_add(&what, "not one "), codec->name), " value");
        bad_schemas(s, c,
                    status == CHOIR_ERR_TOO_LARGE ? "the peer announced more types than a connection may hold"
                                                  : what.data,
                    now);
        return false;
    }
    /* Without a comparison schemas only tell the types of dynamic methods. */
    if (!codec->compares_layouts && method != CHOIR_METHOD_NONE &&
        !(service->methods[method].desc->flags & CHOIR_METHOD_DYNAMIC))
        method = CHOIR_METHOD_NONE;
    bool ok = bind_cbor(s, c, method, response, cbor, now);
    choiri_codec_free_cbor(s->env, schemas, cbor);
    return ok;
}

CHOIRI_NOINLINE void choiri_types_message(choir_session *s, choiri_conn *c, const choiri_message *msg,
                                          const choiri_frame *frame, choir_time now) {
    (void)frame;
    bool response = msg->direction == CHOIRI_DIRECTION_RESPONSE;
    const choiri_prepared *service = response ? c->profile->call : c->profile->serve;
    uint32_t method = service ? choiri_prepared_lookup(service, msg->method) : CHOIR_METHOD_NONE;
    choiri_types_bind(s, c, method, response, msg->schemas, now);
}

/* ---- what we announce ---- */

CHOIRI_COLD int choiri_types_write(const choir_session *s, choiri_lasting *l, const choiri_schema_set *a,
                                   choiri_writer *w) {
    int status = choiri_send_tracker_reserve(&l->sent, a);
    if (status == CHOIR_OK) choiri_codec_write_schemas(s->codec, w, &l->sent, a);
    return status;
}

int choiri_types_announce_nothing(choir_session *s, choiri_conn *c, uint64_t method_id, choir_time now) {
    choiri_sending m;
    const choiri_prepared *nothing;
    choiri_lasting *l = choiri_lasting_get(s, c);
    int status = choiri_prepare_logged(s->env, &nothing_service, &nothing);
    if (!l || status != CHOIR_OK) return CHOIR_ERR_NO_MEMORY;
    const choiri_schema_set *a = &nothing->methods[0].response;
    if (!choiri_egress_begin(s, c->hot, &m, NULL)) return CHOIR_ERR_CLOSED;
    s->codec->begin_schema(&m.writer, c->wire_id, method_id, CHOIRI_DIRECTION_RESPONSE);
    status = choiri_send_tracker_reserve(&l->sent, a);
    if (status == CHOIR_OK)
        choiri_codec_write_schemas(s->codec, &m.writer, &l->sent, a);
    else
        choiri_writer_fail(&m.writer, status);
    status = choiri_egress_end(&m, CHOIRI_FRAME_ANSWER, NULL, now);
    if (status == CHOIR_OK) choiri_send_tracker_commit(&l->sent, a);
    return status;
}
