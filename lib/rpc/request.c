/* SPDX-License-Identifier: MIT */
/* Requests that the peer makes.
 *
 * A request keeps a copy of its message (or its chunk, when it is large) from the moment it is received, because what the
 * handler is given must not move while it works. The answer leaves when the handler gives it; a cancelled request is
 * answered at once, but its handler still counts until it has finished. */
#include "base/assert.h"
#include "base/clear.h"
#include "rpc/driver.h"
#include "wire/utf8.h"

/* What an arena block costs beside what is in it. */
#define KEEP_SLACK 1024u

enum { REQUEST_NEW = 1, REQUEST_CANCELLED = 2, REQUEST_DONE = 4 }; /* bits of node */

typedef struct request {
    choiri_node node;
    choiri_list link; /* in the queue */
    choiri_conn *conn;
    choir_request_id handle; /* 0 while undispatched */
    uint64_t wire_id;
    uint32_t method;
    uint32_t outcome; /* how it ended */
    bool answered;    /* the peer has its answer, or there is nobody to give it to */
    bool finished;    /* the handler has answered or dropped it */
    bool over;        /* REQUEST_DONE was polled */
    choir_metadata metadata;
    choir_bytes args;
    const void *value;
    choir_chunk *chunk; /* what args lie in, when they were not copied */
    size_t kept;        /* bytes of its frame: what it counts in the queue */
    size_t charged;
    void *user_data;
    choiri_arena arena;
    uint8_t first[512]; /* the arena's first piece: a small request needs no other memory */
} request;

/* What an answer says. */
typedef struct answer {
    uint64_t wire_id;
    uint32_t method; /* CHOIR_METHOD_NONE: unknown */
    uint32_t outcome;
    const void *value; /* OK, USER_ERROR */
    choir_str text;    /* INVALID_PAYLOAD */
    choir_chunk *chunk;
} answer;

static const choiri_reporter request_reporter;

void choiri_requests_init(choiri_conn *c, const choir_session_options *o, const uint64_t seed[2],
                          uint32_t gen) {
    choiri_table_init(&c->requests.table, c->session->env, gen);
    choiri_idmap_init(&c->requests.ids, c->session->env, seed);
    choiri_list_init(&c->requests.queue);
    c->requests.max_queued = o->max_queued_requests;
    c->requests.max_queued_bytes = o->max_queued_request_bytes;
}

/* ---- answers ---- */

static void write_result(choiri_writer *w, const choiri_conn *c, const answer *a) {
    const choiri_codec *codec = c->session->codec;
    choiri_codec_begin_result(codec, w, a->outcome, a->text);
    if (a->outcome != CHOIR_OUTCOME_OK && a->outcome != CHOIR_OUTCOME_USER_ERROR) return;
    const choir_method *m = c->serve->methods[a->method].desc;
    uint32_t type = a->outcome == CHOIR_OUTCOME_OK ? m->ok : m->err;
    choiri_codec_write_value(codec, w, c->serve->unit, type, a->value);
}

/* A Rust caller sees UnknownMethod only under an announced root, a TypeScript caller only without inline schemas: so the
 * root of "returns nothing, cannot fail" goes ahead in a message of its own. rule: rpc.unknown-method */
static int announce_nothing(choiri_conn *c, uint64_t method_id, choir_time now) {
    choiri_sending m;
    const choiri_announcement *a = &c->nothing->methods[0].response;
    if (!choiri_session_begin(c->session, &m, NULL)) return CHOIR_ERR_CLOSED;
    c->session->codec->begin_schema(&m.writer, 0, method_id, CHOIRI_DIRECTION_RESPONSE);
    int status = choiri_send_tracker_reserve(&c->sent, a);
    if (status == CHOIR_OK)
        choiri_codec_write_schemas(c->session->codec, &m.writer, &c->sent, a);
    else
        choiri_writer_fail(&m.writer, status);
    status = choiri_session_end(c->session, &m, now);
    if (status == CHOIR_OK) choiri_send_tracker_commit(&c->sent, a);
    return status;
}

/* OK, or what failed with nothing sent. rule: rpc.response */
static int send_answer(choiri_conn *c, const answer *a, choir_time now) {
    choiri_sending m;
    if (!choiri_session_begin(c->session, &m, a->chunk)) return CHOIR_ERR_CLOSED;
    const choiri_codec *codec = c->session->codec;
    bool announce =
        a->method != CHOIR_METHOD_NONE && choiri_conn_will_announce(c, &c->serve_bound[a->method]);
    choiri_hole ret = choiri_codec_begin_response(codec, &m.writer, 0, a->wire_id, NULL, 0, announce);
    write_result(&m.writer, c, a);
    choiri_codec_fill_hole(codec, &m.writer, ret);
    if (a->method == CHOIR_METHOD_NONE) {
        choiri_codec_write_schemas(codec, &m.writer, &c->sent, NULL);
        return choiri_session_end(c->session, &m, now);
    }
    /* The true root goes with the first answer of a method, errors included. rule: schema.response-root */
    choiri_binding *b = &c->serve_bound[a->method];
    const choiri_announcement *root = &c->serve->methods[a->method].response;
    int status = choiri_conn_announce(c, b, root, &m.writer);
    if (status != CHOIR_OK) choiri_writer_fail(&m.writer, status);
    status = choiri_session_end(c->session, &m, now);
    if (status != CHOIR_OK) return status;
    choiri_conn_announced(c, b, root);
    choir_attachment *link = c->session->attachment;
    choiri_attachment_answered(link, link->out.bytes - m.mark.bytes);
    return CHOIR_OK;
}

/* An answer of the library's own; there must be memory for it. */
static void refuse(choiri_conn *c, uint64_t wire_id, uint32_t method, uint32_t outcome,
                   const choiri_text *text, choir_time now) {
    answer a = {.wire_id = wire_id, .method = method, .outcome = outcome};
    if (text) a.text = choiri_text_get(text);
    if (send_answer(c, &a, now) != CHOIR_OK) choiri_conn_out_of_memory(c, now);
}

/* ---- life of a request ---- */

static void free_request(request *q) {
    choiri_conn *c = q->conn;
    if (q->handle.v != 0) choiri_table_remove(&c->requests.table, q->handle.v);
    choiri_session_discharge(c->session, q->charged);
    choiri_arena_reset(&q->arena);
    choir_chunk_release(q->chunk);
    choiri_obj_free(c->session->env, q, sizeof *q);
}

static bool charge(request *q, size_t bytes) {
    if (!choiri_session_charge(q->conn->session, bytes)) return false;
    q->charged += bytes;
    return true;
}

/* What is not in the payload is in the session's inbox. */
static bool keep_metadata(request *q, const choiri_message *msg) {
    size_t len = msg->metadata.entries.len;
    if (len == 0) return true;
    q->arena.limit = len + KEEP_SLACK;
    uint8_t *copy = choiri_arena_alloc(&q->arena, len, 1);
    if (!copy) return false;
    memcpy(copy, msg->metadata.entries.data, len);
    q->metadata.entries.data = copy;
    return true;
}

/* Keeps what the message points to: small ones are copied, large ones stay where they are. One that is small beside its chunk
 * is copied too: a peer that sends one such frame per read would otherwise make us hold many times what it is charged for. */
static bool keep(request *q, const choiri_message *msg, const choiri_frame *frame) {
    size_t len = frame->payload.len;
    q->args = msg->payload;
    q->metadata = msg->metadata;
    q->kept = len;
    if (!charge(q, len)) return false;
    if (frame->chunk && len > CHOIRI_RETAIN_COPY &&
        len >= choir_chunk_len(frame->chunk) / CHOIRI_RETAIN_SHARE) {
        q->chunk = choir_chunk_retain(frame->chunk);
        return q->conn->session->codec->metadata_in_payload || keep_metadata(q, msg);
    }
    q->arena.limit = frame->payload.len + KEEP_SLACK;
    size_t metadata = msg->metadata.entries.len, args = msg->payload.len;
    uint8_t *copy = choiri_arena_alloc(&q->arena, metadata + args, 1);
    if (!copy) return false;
    if (metadata > 0) memcpy(copy, msg->metadata.entries.data, metadata);
    if (args > 0) memcpy(copy + metadata, msg->payload.data, args);
    q->metadata.entries.data = copy;
    q->args.data = copy + metadata;
    return true;
}

static request *new_request(choiri_conn *c, const choiri_message *msg, uint32_t method,
                            const choiri_frame *frame) {
    request *q = choiri_obj_alloc(c->session->env, sizeof *q);
    if (!q) return NULL;
    choiri_clear(q, offsetof(request, first)); /* not the piece for its arena */
    q->node.reporter = &request_reporter;
    choiri_list_init(&q->link);
    q->conn = c;
    q->wire_id = msg->id;
    q->method = method;
    choiri_arena_init(&q->arena, c->session->env, q->first, sizeof q->first, 0);
    if (keep(q, msg, frame) && choiri_idmap_put(&c->requests.ids, msg->id, q) == CHOIR_OK) return q;
    free_request(q);
    return NULL;
}

/* The peer has its answer. */
static void set_answered(request *q, uint32_t outcome) {
    if (q->answered) return;
    q->answered = true;
    q->outcome = outcome;
    choiri_idmap_remove(&q->conn->requests.ids, q->wire_id);
}

/* Decodes the arguments: OK, INVALID_PAYLOAD with a text, or SEND_FAILED when memory or the quota is out: the caller may
 * try that again. What decoding takes is bounded by the payload's size and by what is left of the quota. */
static uint32_t decode(request *q, choiri_text *text) {
    choiri_conn *c = q->conn;
    const choiri_method *m = &c->serve->methods[q->method];
    const choir_unit *unit = c->serve->unit;
    const choir_type *t = m->args_type;
    choiri_text why;
    choiri_text_init(&why);
    size_t used = q->arena.used, limit = choiri_value_arena_limit(q->args.len) + t->size + t->align;
    uint64_t left = c->session->quota - c->session->charged;
    q->arena.limit = used + (left < limit ? (size_t)left : limit);
    void *value = choiri_arena_alloc(&q->arena, t->size, t->align);
    choiri_reader r = choiri_reader_of(q->args);
    const choiri_plan *plan = c->serve_bound[q->method].plan;
    int status = value ? choiri_codec_read_value(c->session->codec, &r, plan, CHOIRI_PLAN_ROOT, unit,
                                                 m->desc->args, &q->arena, value, &why)
                       : CHOIR_ERR_NO_MEMORY;
    if (status == CHOIR_OK && charge(q, q->arena.used - used)) {
        q->value = value;
        return CHOIR_OUTCOME_OK;
    }
    if (status == CHOIR_ERR_NO_MEMORY || (status == CHOIR_ERR_TOO_LARGE && left < limit))
        return CHOIR_OUTCOME_SEND_FAILED;
    choiri_text_init(text);
    choiri_conn_method_text(c->serve, q->method, text);
    choiri_text_str(choiri_text_add(text, " arguments: "), choiri_text_get(&why));
    return CHOIR_OUTCOME_INVALID_PAYLOAD;
}

/* Gives a request to the host, or refuses it when its arguments are bad. */
static void dispatch(request *q, choir_time now) {
    choiri_conn *c = q->conn;
    choiri_text text;
    uint32_t outcome = decode(q, &text);
    if (outcome == CHOIR_OUTCOME_OK && choiri_table_insert(&c->requests.table, q, &q->handle.v) != CHOIR_OK)
        outcome = CHOIR_OUTCOME_SEND_FAILED;
    if (outcome != CHOIR_OUTCOME_OK) {
        uint64_t wire_id = q->wire_id;
        uint32_t method = q->method;
        set_answered(q, outcome);
        free_request(q);
        if (choiri_session_glitch(c->session, now))
            refuse(c, wire_id, method, outcome, outcome == CHOIR_OUTCOME_INVALID_PAYLOAD ? &text : NULL, now);
        return;
    }
    c->requests.running++;
    c->requests.held++;
    choiri_conn_update_busy(c);
    choiri_session_report(c->session, &q->node, REQUEST_NEW);
}

/* Nothing starts while the peer does not take our answers: what waits would only make more of them. */
static bool may_start(const choiri_conn *c) {
    return c->requests.running < c->session->max_concurrent_requests &&
           !choiri_attachment_is_full(c->session->attachment);
}

static void leave_queue(request *q) {
    choiri_list_remove(&q->link);
    q->conn->requests.queued--;
    q->conn->requests.queued_bytes -= q->kept;
}

void choiri_requests_pump(choiri_conn *c, choir_time now) {
    while (may_start(c) && !choiri_list_is_empty(&c->requests.queue) &&
           c->session->state == CHOIRI_SESSION_ESTABLISHED) {
        request *q = CHOIRI_CONTAINER(c->requests.queue.next, request, link);
        leave_queue(q);
        dispatch(q, now);
    }
}

/* The handler is through with it, whatever the peer was told. */
static void finish(request *q, choir_time now) {
    choiri_conn *c = q->conn;
    CHOIRI_ASSERT(!q->finished);
    q->finished = true;
    c->requests.held--;
    if (q->over) { /* its connection ended before the handler did */
        free_request(q);
        return;
    }
    if (!(q->node.bits & REQUEST_DONE)) {
        c->requests.running--;
        choiri_conn_update_busy(c);
    }
    choiri_session_report(c->session, &q->node, REQUEST_DONE);
    if (!choiri_list_is_empty(&c->requests.queue)) choiri_requests_pump(c, now);
    /* wake is for what nobody expects: a handler that answers inside the poll loop is followed by another poll */
    if (c->session->wake) c->session->wake(c->session->wake_ctx, c->session);
}

void choiri_requests_deinit(choiri_conn *c) {
    for (uint32_t i = 0; i < c->requests.table.cap; i++) {
        request *q = c->requests.table.entries[i].obj;
        if (q) free_request(q);
    }
    while (!choiri_list_is_empty(&c->requests.queue)) {
        request *q = CHOIRI_CONTAINER(c->requests.queue.next, request, link);
        choiri_list_remove(&q->link);
        free_request(q);
    }
    choiri_table_deinit(&c->requests.table);
    choiri_idmap_deinit(&c->requests.ids);
}

/* The link is gone: nobody waits for the answers any more. Handlers may still be at work; what their requests hold stays
 * until they have finished, or until the session is freed. */
void choiri_requests_ended(choiri_conn *c) {
    uint32_t outcome = c->session->status == CHOIR_ERR_SHUTDOWN ? CHOIR_OUTCOME_SESSION_SHUTDOWN
                                                                : CHOIR_OUTCOME_CONNECTION_CLOSED;
    while (!choiri_list_is_empty(&c->requests.queue)) {
        request *q = CHOIRI_CONTAINER(c->requests.queue.next, request, link);
        leave_queue(q);
        set_answered(q, outcome);
        free_request(q);
    }
    for (uint32_t i = 0; i < c->requests.table.cap; i++) {
        request *q = c->requests.table.entries[i].obj;
        if (!q || q->over || (q->node.bits & REQUEST_DONE)) continue;
        set_answered(q, outcome);
        c->requests.running--;
        if (q->node.bits & REQUEST_NEW) {
            /* Never reported: it goes without a word when its turn in the ready list comes. */
            q->finished = true;
            q->node.bits = 0;
            c->requests.held--;
        } else {
            q->node.bits &= ~(uint32_t)REQUEST_CANCELLED;
            choiri_session_report(c->session, &q->node, REQUEST_DONE);
        }
    }
}

void choiri_requests_shutdown(choiri_conn *c, choir_time now) {
    while (!choiri_list_is_empty(&c->requests.queue)) {
        request *q = CHOIRI_CONTAINER(c->requests.queue.next, request, link);
        answer a = {.wire_id = q->wire_id, .method = q->method, .outcome = CHOIR_OUTCOME_SEND_FAILED};
        leave_queue(q);
        set_answered(q, a.outcome);
        free_request(q);
        (void)send_answer(c, &a, now); /* we are leaving anyway */
    }
    for (uint32_t i = 0; i < c->requests.table.cap; i++) {
        request *q = c->requests.table.entries[i].obj;
        if (!q || q->answered) continue;
        answer a = {.wire_id = q->wire_id, .method = q->method, .outcome = CHOIR_OUTCOME_CANCELLED};
        (void)send_answer(c, &a, now);
        set_answered(q, CHOIR_OUTCOME_SESSION_SHUTDOWN);
    }
}

/* ---- messages ---- */

static bool check_id(choiri_conn *c, const choiri_message *msg, choir_time now) {
    if (choiri_conn_is_ours(c, msg->id) || msg->id == 0) {
        choiri_conn_protocol_error(c, "call with a request id that is not the caller's to use: ", msg->id,
                                   now);
        return false;
    }
    if (choiri_idmap_get(&c->requests.ids, msg->id)) {
        choiri_conn_protocol_error(c, "call with the id of a request that is still open: ", msg->id, now);
        return false;
    }
    return true;
}

/* Refusals that cost us something for nothing are charged: reliability case A21. */
static void refuse_charged(choiri_conn *c, const choiri_message *msg, uint32_t method, uint32_t outcome,
                           const choiri_text *text, choir_time now) {
    if (!choiri_session_glitch(c->session, now)) return;
    if (method == CHOIR_METHOD_NONE && c->session->codec->needs_schemas &&
        announce_nothing(c, msg->method, now) != CHOIR_OK) {
        choiri_conn_out_of_memory(c, now);
        return;
    }
    refuse(c, msg->id, method, outcome, text, now);
}

/* Why a call of a known method cannot run; false when it can. */
static bool is_impossible(choiri_conn *c, const choiri_message *msg, uint32_t method, choiri_text *text) {
    const choiri_binding *b = &c->serve_bound[method];
    choiri_text_init(text);
    if (c->serve->methods[method].has_channels) {
        choiri_conn_method_text(c->serve, method, text);
        choiri_text_add(text, ": channels are not supported yet");
    } else if (b->peer == CHOIRI_BOUND_BAD) {
        choiri_text_add(text, b->text ? b->text : "arguments of another layout");
    } else if (b->peer == CHOIRI_BOUND_NO && c->session->codec->compares_layouts) {
        choiri_conn_method_text(c->serve, method, text);
        choiri_text_add(text,
                        " arguments: no schemas were received; they must come before or with the first call");
    } else if (msg->metadata.count > CHOIRI_REQUEST_ENTRIES) {
        choiri_text_u64(choiri_text_add(text, "metadata entries: "), msg->metadata.count);
        choiri_text_u64(choiri_text_add(text, ", the limit is "), CHOIRI_REQUEST_ENTRIES);
    } else if (msg->metadata.entries.len > CHOIRI_REQUEST_METADATA) {
        choiri_text_u64(choiri_text_add(text, "metadata bytes: "), msg->metadata.entries.len);
        choiri_text_u64(choiri_text_add(text, ", the limit is "), CHOIRI_REQUEST_METADATA);
    }
    return text->len > 0;
}

/* Requests held back because of our own answers are not the peer's excess: half of the session's quota is theirs. */
static bool queue_has_room(const choiri_conn *c, size_t bytes) {
    uint64_t max = c->session->attachment->holding ? c->session->quota / 2 : c->requests.max_queued_bytes;
    return c->requests.queued < c->requests.max_queued && c->requests.queued_bytes <= max &&
           (c->requests.queued == 0 || bytes <= max - c->requests.queued_bytes);
}

/* rule: rpc.call */
void choiri_requests_call(choiri_conn *c, const choiri_message *msg, const choiri_frame *frame,
                          choir_time now) {
    choiri_text text;
    if (!check_id(c, msg, now)) return;
    uint32_t method = c->serve ? choiri_service_lookup(c->serve, msg->method) : CHOIR_METHOD_NONE;
    if (msg->schemas.len > 0 && !choiri_conn_bind(c, method, false, msg->schemas, now)) return;
    if (method == CHOIR_METHOD_NONE) {
        refuse_charged(c, msg, method, CHOIR_OUTCOME_UNKNOWN_METHOD, NULL, now);
        return;
    }
    if (is_impossible(c, msg, method, &text)) {
        refuse_charged(c, msg, method, CHOIR_OUTCOME_INVALID_PAYLOAD, &text, now);
        return;
    }
    bool run = may_start(c);
    if (!run && !queue_has_room(c, frame->payload.len)) {
        refuse_charged(c, msg, method, CHOIR_OUTCOME_SEND_FAILED, NULL, now);
        return;
    }
    request *q = new_request(c, msg, method, frame);
    if (!q) { /* memory or the quota: nothing ran, so the caller may try again */
        refuse_charged(c, msg, method, CHOIR_OUTCOME_SEND_FAILED, NULL, now);
        return;
    }
    if (run) {
        dispatch(q, now);
        return;
    }
    choiri_list_append(&c->requests.queue, &q->link);
    c->requests.queued++;
    c->requests.queued_bytes += q->kept;
}

/* rule: rpc.cancel. For an id that is not open it is late, and charged; so is each one for an open id, because starting
 * and cancelling costs us more than the peer (reliability case A20). */
void choiri_requests_cancel(choiri_conn *c, const choiri_message *msg, choir_time now) {
    if (choiri_conn_is_ours(c, msg->id)) {
        choiri_conn_protocol_error(c, "cancel of a request id that is not the caller's: ", msg->id, now);
        return;
    }
    if (!choiri_session_glitch(c->session, now)) return;
    request *q = choiri_idmap_get(&c->requests.ids, msg->id);
    if (!q || (c->serve->methods[q->method].desc->flags & CHOIR_METHOD_PERSIST)) return;
    set_answered(q, CHOIR_OUTCOME_CANCELLED);
    uint32_t method = q->method;
    if (q->handle.v == 0) { /* undispatched: nobody knows of it */
        leave_queue(q);
        free_request(q);
    } else {
        choiri_session_report(c->session, &q->node, REQUEST_CANCELLED);
    }
    refuse(c, msg->id, method, CHOIR_OUTCOME_CANCELLED, NULL, now);
}

/* ---- the host's side ---- */

static request *find(choir_session *s, choir_request_id id) {
    if (!s) return NULL;
    request *q = choiri_table_get(&s->root->requests.table, id.v);
    return q && !q->finished ? q : NULL;
}

static int answer_request(choir_session *s, choir_request_id id, uint32_t outcome, const void *value,
                          choir_str text, choir_chunk *chunk, choir_time now) {
    request *q = find(s, id);
    if (!q) return CHOIR_ERR_NOT_FOUND;
    now = choiri_session_time(s, now);
    if (q->answered) {
        int status = q->outcome == CHOIR_OUTCOME_CANCELLED ? CHOIR_ERR_CANCELLED : CHOIR_ERR_NOT_FOUND;
        finish(q, now);
        return status;
    }
    answer a = {.wire_id = q->wire_id,
                .method = q->method,
                .outcome = outcome,
                .value = value,
                .text = text,
                .chunk = chunk ? chunk : q->chunk};
    int status = send_answer(q->conn, &a, now);
    if (status != CHOIR_OK) return status;
    set_answered(q, outcome);
    finish(q, now);
    return CHOIR_OK;
}

int choir_reply(choir_session *s, choir_request_id id, const void *value, choir_chunk *chunk,
                choir_time now) {
    return answer_request(s, id, CHOIR_OUTCOME_OK, value, (choir_str){"", 0}, chunk, now);
}

int choir_reply_error(choir_session *s, choir_request_id id, const void *error, choir_chunk *chunk,
                      choir_time now) {
    request *q = find(s, id);
    if (!q) return CHOIR_ERR_NOT_FOUND;
    const choiri_service *service = q->conn->serve;
    uint32_t err = service->methods[q->method].desc->err;
    if (choiri_unit_type(service->unit, err)->kind == CHOIR_KIND_NEVER) return CHOIR_ERR_INVALID;
    return answer_request(s, id, CHOIR_OUTCOME_USER_ERROR, error, (choir_str){"", 0}, chunk, now);
}

int choir_reply_invalid(choir_session *s, choir_request_id id, choir_str text, choir_time now) {
    if (!text.data && text.len > 0) return CHOIR_ERR_INVALID;
    if (text.len > 0 && !choiri_utf8_is_valid((const uint8_t *)text.data, text.len)) return CHOIR_ERR_INVALID;
    return answer_request(s, id, CHOIR_OUTCOME_INVALID_PAYLOAD, NULL, text, NULL, now);
}

int choir_request_drop(choir_session *s, choir_request_id id, choir_time now) {
    int status = answer_request(s, id, CHOIR_OUTCOME_CANCELLED, NULL, (choir_str){"", 0}, NULL, now);
    if (status == CHOIR_ERR_CANCELLED || status == CHOIR_OK) return CHOIR_OK;
    request *q = find(s, id);
    if (!q) return status;
    /* No memory for five bytes: the session cannot keep its promise of one answer each, so it ends. */
    choiri_conn_out_of_memory(q->conn, s->now);
    finish(q, s->now);
    return CHOIR_OK;
}

int choir_request_set_user_data(choir_session *s, choir_request_id id, void *user_data) {
    request *q = find(s, id);
    if (!q) return CHOIR_ERR_NOT_FOUND;
    q->user_data = user_data;
    return CHOIR_OK;
}

void *choir_request_alloc(choir_session *s, choir_request_id id, size_t size, size_t align) {
    request *q = find(s, id);
    if (!q || align == 0 || align > 16 || (align & (align - 1)) != 0) return NULL;
    /* The host's own wish is not bounded by what the peer sent, only by the quota. */
    if (!charge(q, size)) return NULL;
    q->arena.limit = SIZE_MAX;
    void *ptr = choiri_arena_alloc(&q->arena, size, align);
    if (ptr) return ptr;
    choiri_session_discharge(s, size);
    q->charged -= size;
    return NULL;
}

/* ---- reporting ---- */

static void fill_event(const request *q, choir_event *event) {
    event->conn = q->conn->handle;
    event->request = q->handle;
    event->user_data = q->user_data;
    event->service = q->conn->serve->desc;
    event->method = q->method;
    event->value = q->value;
    event->unit = q->value ? event->service->unit : NULL;
    event->type = q->value ? q->conn->serve->methods[q->method].desc->args : 0;
    event->payload = q->args;
    event->metadata = q->metadata;
}

static bool report_request(choir_session *s, choiri_node *node, choir_event *event) {
    request *q = CHOIRI_CONTAINER(node, request, node);
    if (node->bits == 0) { /* ended before it was reported */
        s->retired = node;
        return false;
    }
    fill_event(q, event);
    if (node->bits & REQUEST_NEW) {
        node->bits &= ~(uint32_t)REQUEST_NEW;
        event->kind = CHOIR_EVENT_REQUEST;
        return true;
    }
    if (node->bits & REQUEST_CANCELLED) {
        node->bits &= ~(uint32_t)REQUEST_CANCELLED;
        event->kind = CHOIR_EVENT_REQUEST_CANCELLED;
        return true;
    }
    node->bits = 0;
    event->kind = CHOIR_EVENT_REQUEST_DONE;
    event->outcome = q->outcome;
    q->over = true;
    if (q->finished) s->retired = node;
    return true;
}

static void retire_request(choir_session *s, choiri_node *node) {
    (void)s;
    free_request(CHOIRI_CONTAINER(node, request, node));
}

static const choiri_reporter request_reporter = {report_request, retire_request};
