/* SPDX-License-Identifier: MIT */
/* The driver's common part: opening and ending a connection, dispatch of messages, schema bindings. */
#include "rpc/driver.h"

#include "base/assert.h"
#include "base/log.h"

/* A method that returns nothing and cannot fail: the announcement Rust callees make for a method they do not know, which
 * lets a Rust caller of such a method see UnknownMethod (rule: rpc.unknown-method). */
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

static const choiri_reporter writable_reporter, closed_reporter;

/* ---- opening, ending ---- */

static int prepare(choir_session *s, const choir_service *desc, const choiri_service **ret) {
    choiri_text text;
    choiri_text_init(&text);
    if (!desc) return CHOIR_OK;
    int status = choiri_service_prepare(s->env, desc, ret, &text);
    if (status != CHOIR_OK && text.len > 0) choiri_log(s->env, CHOIR_LOG_ERROR, "service", &text);
    return status;
}

/* An answer cannot be written by a type that only its reader knows. */
static int check_served(choir_session *s, const choiri_service *service) {
    for (uint32_t i = 0; service && i < service->methods_len; i++) {
        if (!(service->methods[i].desc->flags & CHOIR_METHOD_DYNAMIC)) continue;
        choiri_text text;
        choiri_text_init(&text);
        choiri_conn_method_text(service, i, &text);
        choiri_text_add(&text, " is dynamic and can only be called");
        choiri_log(s->env, CHOIR_LOG_ERROR, "service", &text);
        return CHOIR_ERR_INVALID;
    }
    return CHOIR_OK;
}

static int new_bindings(choir_session *s, const choiri_service *service, choiri_binding **ret) {
    if (!service || service->methods_len == 0) return CHOIR_OK;
    *ret = choiri_zalloc(s->env, service->methods_len * sizeof **ret);
    return *ret ? CHOIR_OK : CHOIR_ERR_NO_MEMORY;
}

static void free_answer(choir_session *s, choiri_answer *answer) {
    if (!answer) return;
    choiri_arena_reset(&answer->arena);
    choiri_free(s->env, answer, sizeof *answer);
}

static void free_bindings(choir_session *s, const choiri_service *service, choiri_binding *b) {
    if (!b) return;
    for (uint32_t i = 0; i < service->methods_len; i++) {
        choiri_free(s->env, b[i].text, b[i].text_len);
        free_answer(s, b[i].answer);
        choiri_plan_free(s->env, b[i].plan);
    }
    choiri_free(s->env, b, service->methods_len * sizeof *b);
}

static void free_conn(choiri_conn *c) {
    choir_session *s = c->session;
    choiri_calls_deinit(c);
    choiri_requests_deinit(c);
    free_bindings(s, c->serve, c->serve_bound);
    free_bindings(s, c->call, c->call_bound);
    choiri_send_tracker_deinit(&c->sent);
    choiri_recv_tracker_deinit(&c->received);
    choiri_free(s->env, c, sizeof *c);
}

static int open_root(choir_session *s, const choir_session_options *o, choiri_conn **ret_conn) {
    struct {
        uint64_t seed[2];
        uint32_t gen[4];
    } random;
    int status = choiri_random(s->env, &random, sizeof random);
    if (status != CHOIR_OK) return status;
    choiri_conn *c = choiri_alloc(s->env, sizeof *c);
    if (!c) return CHOIR_ERR_NO_MEMORY;
    memset(c, 0, sizeof *c);
    c->session = s;
    c->writable.reporter = &writable_reporter;
    c->closed.reporter = &closed_reporter;
    c->handle.v = (uint64_t)(random.gen[0] | 1) << 32;
    choiri_send_tracker_init(&c->sent, s->env, random.seed);
    choiri_recv_tracker_init(&c->received, s->env, random.seed);
    choiri_calls_init(c, o, random.seed, random.gen[1]);
    choiri_requests_init(c, o, random.seed, random.gen[2]);
    status = prepare(s, o->serve, &c->serve);
    if (status == CHOIR_OK) status = check_served(s, c->serve);
    if (status == CHOIR_OK) status = prepare(s, o->call, &c->call);
    if (status == CHOIR_OK) status = prepare(s, &nothing_service, &c->nothing);
    if (status == CHOIR_OK) status = new_bindings(s, c->serve, &c->serve_bound);
    if (status == CHOIR_OK) status = new_bindings(s, c->call, &c->call_bound);
    if (status != CHOIR_OK) {
        free_conn(c);
        return status;
    }
    *ret_conn = c;
    return CHOIR_OK;
}

static void established(choiri_conn *c, choir_time now) {
    c->calls.next_id = c->session->parity == CHOIRI_PARITY_ODD ? 1 : 2;
    choiri_calls_pump(c, now);
}

static void shutdown(choiri_conn *c, choir_time now) {
    choiri_requests_shutdown(c, now);
}

static void ended(choiri_conn *c) {
    choiri_calls_ended(c);
    choiri_requests_ended(c);
    c->writable.bits = 0;
    choiri_session_report(c->session, &c->closed, 1);
}

static bool report_writable(choir_session *s, choiri_node *node, choir_event *event) {
    (void)s;
    if (node->bits == 0) return false; /* the connection ended meanwhile */
    node->bits = 0;
    event->kind = CHOIR_EVENT_CONN_WRITABLE;
    event->conn = CHOIRI_CONTAINER(node, choiri_conn, writable)->handle;
    return true;
}

static bool report_closed(choir_session *s, choiri_node *node, choir_event *event) {
    node->bits = 0;
    event->kind = CHOIR_EVENT_CONN_CLOSED;
    event->conn = CHOIRI_CONTAINER(node, choiri_conn, closed)->handle;
    event->status = s->status;
    event->text = choiri_text_get(&s->text);
    return true;
}

/* Neither retires: a connection is freed with its session. */
static const choiri_reporter writable_reporter = {report_writable, NULL};
static const choiri_reporter closed_reporter = {report_closed, NULL};

/* ---- messages ---- */

void choiri_conn_protocol_error(choiri_conn *c, const char *what, uint64_t number, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_u64(choiri_text_add(&text, what), number);
    choiri_session_fail(c->session, CHOIR_ERR_PROTOCOL, &text, now);
}

void choiri_conn_out_of_memory(choiri_conn *c, choir_time now) {
    choiri_session_fail(c->session, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
}

void choiri_conn_method_text(const choiri_service *service, uint32_t method, choiri_text *text) {
    choiri_text_str(text, choir_service_name(service->desc));
    choiri_text_str(choiri_text_add(text, "."), choir_method_name(service->desc, method));
}

static void set_bad(choiri_conn *c, choiri_binding *b, const choiri_text *text) {
    b->peer = CHOIRI_BOUND_BAD;
    b->text = choiri_alloc(c->session->env, text->len + 1);
    if (!b->text) return; /* refused all the same, only without the reason */
    b->text_len = (uint16_t)(text->len + 1);
    memcpy(b->text, text->data, text->len + 1);
}

/* Makes the types of a DYNAMIC method's answer: nothing to compare them with. */
static int read_answer(choiri_conn *c, choiri_binding *b, choir_bytes root, choiri_text *why) {
    choir_session *s = c->session;
    uint32_t type;
    choiri_answer *answer = choiri_alloc(s->env, sizeof *answer);
    choiri_text_init(why);
    if (!answer) {
        choiri_text_add(why, "out of memory");
        return CHOIR_ERR_NO_MEMORY;
    }
    choiri_arena_init(&answer->arena, s->env, NULL, 0, CHOIRI_PLANS_MAX_BYTES - c->plan_bytes);
    int status = choiri_dynamic_make(&answer->arena, &c->received, root, &answer->unit, &type, why);
    if (status == CHOIR_OK && !choiri_dynamic_result(answer->unit, type, &answer->ok, &answer->err)) {
        choiri_text_add(why, "the peer's root is not Result<T, VoxError<E>>");
        status = CHOIR_ERR_LAYOUT;
    }
    if (status != CHOIR_OK) {
        free_answer(s, answer);
        return status;
    }
    c->plan_bytes += answer->arena.used;
    b->answer = answer;
    return CHOIR_OK;
}

/* How the peer's values of this root are read as ours: statuses of choiri_plan_make. */
static int make_plan(choiri_conn *c, const choiri_service *service, uint32_t method, bool response,
                     choir_bytes root, choiri_plan **ret_plan, choiri_text *why) {
    const choiri_method *m = &service->methods[method];
    const choiri_root ours = {.unit = service->desc->unit,
                              .is_response = response,
                              .type = m->desc->args,
                              .ok = m->desc->ok,
                              .err = m->desc->err};
    const choiri_plan_input in = {.env = c->session->env,
                                  .tracker = &c->received,
                                  .remote_root = root,
                                  .root = &ours,
                                  .announcement = response ? &m->response : &m->args,
                                  .is_lenient = response};
    int status = choiri_plan_make(&in, ret_plan, NULL, why);
    if (status != CHOIR_OK) return status;
    if (choiri_plan_size(*ret_plan) <= CHOIRI_PLANS_MAX_BYTES - c->plan_bytes) {
        c->plan_bytes += choiri_plan_size(*ret_plan);
        return CHOIR_OK;
    }
    choiri_plan_free(c->session->env, *ret_plan);
    *ret_plan = NULL;
    choiri_text_add(why, "too many types of this peer differ from ours");
    return CHOIR_ERR_TOO_LARGE;
}

/* false when the session has failed. */
static bool set_binding(choiri_conn *c, uint32_t method, bool response, choir_bytes root, choir_time now) {
    const choiri_service *service = response ? c->call : c->serve;
    choiri_binding *b = response ? &c->call_bound[method] : &c->serve_bound[method];
    choiri_text why, text;
    choiri_text_init(&why);
    /* The first good root stays, as it does with vox peers; a bad one may be repaired (rule: schema.rebind). */
    if (b->peer == CHOIRI_BOUND_OK) return true;
    /* A comparison may take milliseconds, and a peer can ask for one with a few bytes: the second one is charged. */
    if (b->peer == CHOIRI_BOUND_BAD && !choiri_session_glitch(c->session, now)) return false;
    if (b->tries == CHOIRI_BINDING_TRIES) return true; /* it stays bad */
    b->tries++;
    choiri_free(c->session->env, b->text, b->text_len);
    b->text = NULL;
    b->text_len = 0;
    bool dynamic = service->methods[method].desc->flags & CHOIR_METHOD_DYNAMIC;
    int status = dynamic ? read_answer(c, b, root, &why)
                         : make_plan(c, service, method, response, root, &b->plan, &why);
    if (status == CHOIR_OK) {
        b->peer = CHOIRI_BOUND_OK;
        return true;
    }
    if (status == CHOIR_ERR_NO_MEMORY) {
        choiri_conn_out_of_memory(c, now);
        return false;
    }
    choiri_text_init(&text);
    choiri_conn_method_text(service, method, &text);
    choiri_text_str(choiri_text_add(&text, response ? " answer: " : " arguments: "), choiri_text_get(&why));
    set_bad(c, b, &text);
    return true;
}

static bool bind_cbor(choiri_conn *c, uint32_t method, bool response, choir_bytes schemas, choir_time now) {
    choir_bytes root;
    choiri_text why, text;
    choiri_text_init(&why);
    int status = choiri_recv_tracker_add(&c->received, schemas, &root, &why);
    if (status == CHOIR_OK) return method == CHOIR_METHOD_NONE || set_binding(c, method, response, root, now);
    if (status == CHOIR_ERR_NO_MEMORY) {
        choiri_conn_out_of_memory(c, now);
        return false;
    }
    choiri_text_init(&text);
    choiri_text_str(choiri_text_add(&text, "schemas: "), choiri_text_get(&why));
    choiri_session_fail(c->session, CHOIR_ERR_PROTOCOL, &text, now);
    return false;
}

static void bad_schemas(choiri_conn *c, int status, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, "schemas: ");
    if (status == CHOIR_ERR_TOO_LARGE)
        choiri_text_add(&text, "the peer announced more types than a connection may hold");
    else
        choiri_text_add(choiri_text_add(choiri_text_add(&text, "not one "), c->session->codec->name),
                        " value");
    choiri_session_fail(c->session, CHOIR_ERR_PROTOCOL, &text, now);
}

bool choiri_conn_bind(choiri_conn *c, uint32_t method, bool response, choir_bytes schemas, choir_time now) {
    const choiri_codec *codec = c->session->codec;
    const choiri_service *service = response ? c->call : c->serve;
    choir_bytes cbor;
    int status = codec->to_cbor(c->session->env, schemas, CHOIRI_SCHEMA_MAX_PAYLOAD, &cbor);
    if (status == CHOIR_ERR_NO_MEMORY) {
        choiri_conn_out_of_memory(c, now);
        return false;
    }
    if (status != CHOIR_OK) {
        bad_schemas(c, status, now);
        return false;
    }
    /* Without a comparison schemas only tell the types of dynamic methods. */
    if (!codec->compares_layouts && method != CHOIR_METHOD_NONE &&
        !(service->methods[method].desc->flags & CHOIR_METHOD_DYNAMIC))
        method = CHOIR_METHOD_NONE;
    bool ok = bind_cbor(c, method, response, cbor, now);
    choiri_codec_free_cbor(c->session->env, schemas, cbor);
    return ok;
}

int choiri_conn_announce(choiri_conn *c, choiri_binding *b, const choiri_announcement *a, choiri_writer *w) {
    if (!choiri_conn_will_announce(c, b)) {
        choiri_codec_write_schemas(c->session->codec, w, &c->sent, NULL);
        return CHOIR_OK;
    }
    int status = choiri_send_tracker_reserve(&c->sent, a);
    if (status == CHOIR_OK) choiri_codec_write_schemas(c->session->codec, w, &c->sent, a);
    return status;
}

void choiri_conn_announced(choiri_conn *c, choiri_binding *b, const choiri_announcement *a) {
    if (!choiri_conn_will_announce(c, b)) return;
    choiri_send_tracker_commit(&c->sent, a);
    b->announced = true;
}

static void on_schema(choiri_conn *c, const choiri_message *msg, choir_time now) {
    bool response = msg->direction == CHOIRI_DIRECTION_RESPONSE;
    const choiri_service *service = response ? c->call : c->serve;
    uint32_t method = service ? choiri_service_lookup(service, msg->method) : CHOIR_METHOD_NONE;
    choiri_conn_bind(c, method, response, msg->schemas, now);
}

/* Channels are not built yet: none is ever open here, so what comes is late or nobody's. */
static void on_channel(choiri_conn *c, const choiri_message *msg, choir_time now) {
    if (choiri_conn_is_ours(c, msg->id))
        choiri_conn_protocol_error(c, "message for a channel that was never opened: ", msg->id, now);
    else
        choiri_session_glitch(c->session, now);
}

static void on_message(choiri_conn *c, const choiri_message *msg, const choiri_frame *frame, choir_time now) {
    switch (msg->kind) {
    case CHOIRI_MSG_REQUEST:
        if (msg->body == CHOIRI_BODY_RESPONSE)
            choiri_calls_response(c, msg, now);
        else if (msg->body == CHOIRI_BODY_CALL)
            choiri_requests_call(c, msg, frame, now);
        else
            choiri_requests_cancel(c, msg, now);
        return;
    case CHOIRI_MSG_SCHEMA: on_schema(c, msg, now); return;
    case CHOIRI_MSG_CHANNEL: on_channel(c, msg, now); return;
    default: CHOIRI_ASSERT(false); /* the session keeps the rest */
    }
}

static choir_conn conn_handle(const choiri_conn *c) {
    return c->handle;
}
static uint32_t held_requests(const choiri_conn *c) {
    return c->requests.held;
}

const choiri_driver choiri_rpc_driver = {
    .open_root = open_root,
    .established = established,
    .message = on_message,
    .expired = choiri_calls_expired,
    .drained = choiri_calls_pump,
    .released = choiri_requests_pump,
    .shutdown = shutdown,
    .ended = ended,
    .free = free_conn,
    .handle = conn_handle,
    .held_requests = held_requests,
};
