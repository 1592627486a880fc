/* SPDX-License-Identifier: MIT */
/* Requests that the peer makes, on their way to the handler: metadata, decision, decode, dispatch.
 *
 * receive does the first step: is it well-formed, do we know the method, may it start or must it wait. The
 * others are poll's, where hooks of the host may run. A request keeps a copy of its message (or its chunk,
 * when that is mostly its own) from the moment it is received, because what the handler is given must not
 * move while it works. A cancelled request is answered at once, but its handler still counts until it has
 * finished. */
#include "rpc/request.h"

#include "base/assert.h"
#include "base/clear.h"
#include "base/log.h"
#include "base/pool.h"

/* What an arena block costs beside what is in it. */
#define KEEP_SLACK 1024u
/* Payloads up to this size are copied when they are kept: 32 bytes must not pin a read block of 256 KiB. */
#define RETAIN_COPY 4096u
/* A larger one is retained when it is at least this share of its chunk: what is pinned is at most twice what
 * came. */
#define RETAIN_SHARE 2u

static const size_t first_size = CHOIRI_REQUEST_SIZE - sizeof(choiri_request);

void choiri_requests_init(choiri_rpc *r) {
    choiri_idmap_init(&r->requests.ids, r->hot.session->env, r->hot.session->seed);
    choiri_dlist_init(&r->requests.live);
    choiri_dlist_init(&r->requests.queue);
}

/* ---- life ---- */

static CHOIRI_NOINLINE void free_rest(choiri_request *q) {
    choir_env *env = choiri_request_session(q)->env;
    choiri_slots_clear(env, &q->slots);
    if (!q->sealed) return;
    choiri_outq_deinit(q->sealed);
    choiri_free(env, q->sealed, sizeof *q->sealed);
}

static CHOIRI_INLINE void free_at_once(choiri_request *q) {
    choiri_rpc *r = q->rpc;
    choir_session *s = r->hot.session;
    if (q->handle.v != 0) {
        choiri_table_remove(&s->requests, q->handle.v);
        r->hot.unreported -= !q->over;
    }
    choiri_dlist_unlink(&q->live);
    if (CHOIRI_UNLIKELY(q->slots || q->sealed)) free_rest(q);
    choiri_discharge(&r->hot, q->charged);
    if (q->arena.blocks) choiri_arena_free_blocks(&q->arena);
    if (q->chunk) choir_chunk_release(q->chunk);
    choiri_obj_free(s->env, q, CHOIRI_REQUEST_SIZE);
}

static CHOIRI_NOINLINE void free_request(choiri_request *q) {
    free_at_once(q);
}

/* Freed in the course of its life: its connection may be idle now, or have waited for it. */
static void let_go(choiri_request *q) {
    choiri_rpc *r = q->rpc;
    free_at_once(q);
    if (r->hot.over)
        choiri_conn_released(r->hot.session, &r->hot);
    else if (r->hot.unreported == 0)
        choiri_conn_cool(r->hot.session, &r->hot);
}

void choiri_requests_deinit(choiri_rpc *r) {
    choir_session *s = r->hot.session;
    while (!choiri_dlist_is_empty(&r->requests.live)) {
        choiri_request *q = CHOIRI_CONTAINER(r->requests.live.next, choiri_request, live);
        choiri_dlist_remove(&q->link);
        if (q->started && !q->finished) {
            choiri_session_end_work(s);
            r->hot.held--;
            s->held--;
        }
        if (q->is_leaving) choiri_session_end_work(s);
        if (q->orphan) s->conns.orphans--;
        free_request(q);
    }
    choiri_idmap_deinit(&r->requests.ids);
}

static bool charge(choiri_request *q, size_t bytes) {
    if (!choiri_charge(&q->rpc->hot, bytes)) return false;
    q->charged += bytes;
    return true;
}

/* What the arena has grown by is charged. false when the quota has no room for it. */
static bool charge_arena(choiri_request *q, size_t before) {
    return q->arena.used == before || charge(q, q->arena.used - before);
}

static CHOIRI_INLINE bool copy_parts(choiri_request *q, choir_bytes metadata, choir_bytes args) {
    size_t size = metadata.len + args.len, before = q->arena.used;
    uint8_t *copy = q->first;
    if (CHOIRI_LIKELY(size <= first_size)) {
        q->arena.pos = copy + size;
    } else {
        q->arena.limit = before + size + KEEP_SLACK;
        copy = choiri_arena_alloc(&q->arena, size, 1);
        if (!copy || !charge_arena(q, before)) return false;
    }
    if (metadata.len > 0) memcpy(copy, metadata.data, metadata.len);
    if (args.len > 0) memcpy(copy + metadata.len, args.data, args.len);
    q->metadata.entries.data = copy;
    if (args.len > 0) q->args.data = copy + metadata.len;
    return true;
}

/* Keeps what the message points to. Of a chunk that is retained all is charged; where metadata does not lie
 * in the payload it is copied all the same. */
static CHOIRI_INLINE bool keep(choiri_request *q, const choiri_message *msg, const choiri_frame *frame) {
    size_t len = frame->payload.len;
    q->args = msg->payload;
    q->metadata = msg->metadata;
    q->kept = len;
    if (!frame->chunk || len <= RETAIN_COPY || len < choir_chunk_len(frame->chunk) / RETAIN_SHARE)
        return copy_parts(q, msg->metadata.entries, msg->payload);
    if (!charge(q, choir_chunk_len(frame->chunk))) return false;
    q->chunk = choir_chunk_retain(frame->chunk);
    return choiri_request_session(q)->codec->metadata_in_payload || msg->metadata.entries.len == 0 ||
           copy_parts(q, msg->metadata.entries, (choir_bytes){NULL, 0});
}

static CHOIRI_INLINE choiri_request *new_request(choiri_rpc *r, const choiri_message *msg, uint32_t method,
                                                 choiri_binding *b, choiri_map_entry *place,
                                                 const choiri_frame *frame) {
    choir_session *s = r->hot.session;
    choiri_request *q = choiri_obj_alloc(s->env, CHOIRI_REQUEST_SIZE);
    if (!q) return NULL;
    choiri_clear(q, offsetof(choiri_request, sealed_metadata));
    q->node.kind = CHOIRI_READY_REQUEST;
    choiri_dlist_init(&q->link);
    q->rpc = r;
    q->wire_id = msg->id;
    q->method_id = msg->method;
    q->method = method;
    q->m = &choiri_request_profile(q)->serve->methods[method];
    choiri_arena_init(&q->arena, s->env, q->first, first_size, 0);
    choiri_dlist_append(&r->requests.live, &q->live);
    if (!b && choiri_lasting_get(s, r->hot.conn)) b = choiri_binding_get(s, r->hot.conn, false, method);
    q->b = b;
    if (b && charge(q, CHOIRI_REQUEST_SIZE) && keep(q, msg, frame) &&
        choiri_idmap_put_at(&r->requests.ids, place, msg->id, q) == CHOIR_OK)
        return q;
    free_request(q);
    return NULL;
}

/* From now on its id is the peer's to use again; a cancel that was under way finds nobody. */
void choiri_request_set_answered(choiri_request *q, uint32_t outcome) {
    if (q->answered) return;
    q->answered = true;
    q->outcome = outcome;
    choiri_idmap_remove(&q->rpc->requests.ids, q->wire_id);
}

/* ---- starting ---- */

static bool has_place(const choiri_rpc *r) {
    const choiri_limits *l = &r->hot.conn->profile->limits;
    return r->requests.running < l->max_concurrent_requests && r->hot.egress.answers <= l->max_answers;
}

/* false: without memory for a handle. */
static CHOIRI_INLINE bool start(choiri_request *q) {
    choiri_rpc *r = q->rpc;
    choir_session *s = r->hot.session;
    if (choiri_table_insert(&s->requests, q, &q->handle.v) != CHOIR_OK) return false;
    q->started = true;
    r->requests.running++;
    r->hot.held++;
    r->hot.unreported++;
    s->held++;
    choiri_session_begin_work(s);
    choiri_ready_add(s, &q->node, CHOIRI_REQUEST_NEW);
    return true;
}

/* It gives its place up. */
static void stop(choiri_request *q) {
    choiri_rpc *r = q->rpc;
    choir_session *s = r->hot.session;
    q->finished = true;
    r->requests.running--;
    r->hot.held--;
    s->held--;
    if (!q->is_leaving) choiri_session_end_work(s); /* else when it has left: a dead peer is found as soon */
}

static void leave_queue(choiri_request *q) {
    choiri_dlist_remove(&q->link);
    q->rpc->requests.queued--;
    q->rpc->requests.queued_bytes -= q->kept;
}

void choiri_requests_pump(choiri_rpc *r, choir_time now) {
    while (!choiri_dlist_is_empty(&r->requests.queue) && has_place(r) &&
           r->hot.session->state == CHOIRI_SESSION_ESTABLISHED && choiri_conn_start(&r->hot, now)) {
        choiri_request *q = CHOIRI_CONTAINER(r->requests.queue.next, choiri_request, link);
        leave_queue(q);
        if (start(q)) continue;
        uint64_t wire_id = q->wire_id;
        const choiri_prepared_method *m = q->m;
        choiri_request_set_answered(q, CHOIR_OUTCOME_SEND_FAILED);
        free_request(q);
        choiri_conn_paid(&r->hot);
        choiri_answer_refuse(r, wire_id, m, CHOIR_OUTCOME_SEND_FAILED, CHOIR_STR(""), now);
    }
}

/* ---- ends ---- */

void choiri_request_finish(choiri_request *q, choir_time now) {
    choiri_rpc *r = q->rpc;
    choir_session *s = r->hot.session;
    CHOIRI_ASSERT(!q->finished);
    stop(q);
    if (q->orphan) s->conns.orphans--;
    if (q->over) { /* its connection ended before the handler did */
        if (s->retired != &q->node) let_go(q);
        if (s->held == 0) choiri_session_wake(s);
        return;
    }
    /* What was cancelled has cost us its start for nothing. */
    if (!q->cancelled) choiri_conn_paid(&r->hot);
    if (!q->is_leaving) choiri_ready_add(s, &q->node, CHOIRI_REQUEST_DONE);
    if (!choiri_dlist_is_empty(&r->requests.queue)) choiri_requests_pump(r, now);
    /* wake is for what nobody expects: a handler that answers inside the poll loop is followed by another
     * poll */
    choiri_session_wake(s);
}

/* It was started, and no handler was told of it: it goes without an event. */
static void vanish(choiri_request *q, uint32_t outcome) {
    choiri_request_set_answered(q, outcome);
    if (!q->finished) stop(q);
    q->decided |= q->deciding;
    q->deciding = false; /* whoever still decides is too late */
    q->node.bits = 0;
}

/* The same, for its turn in the ready list: hooks run in poll. */
static void vanish_later(choiri_request *q, uint32_t outcome) {
    vanish(q, outcome);
    choiri_ready_add(choiri_request_session(q), &q->node, 0);
}

/* Inside poll: whoever decided upon it hears of its end. */
static void tell_decider(const choiri_request *q) {
    const choir_hooks *hooks = &choiri_request_profile(q)->hooks;
    if (q->decided && hooks->ended)
        hooks->ended(hooks->ctx, choiri_request_session(q), q->handle, q->outcome);
}

static uint32_t outcome_of(int status) {
    return status == CHOIR_ERR_SHUTDOWN ? CHOIR_OUTCOME_SESSION_SHUTDOWN : CHOIR_OUTCOME_CONNECTION_CLOSED;
}

static void end_one(choiri_request *q, uint32_t outcome) {
    choir_session *s = choiri_request_session(q);
    if (!q->started) {
        leave_queue(q);
        choiri_request_set_answered(q, outcome);
        free_request(q);
        return;
    }
    if (q->over) return; /* only its handler is missing, and that was known */
    if (q->is_leaving) { /* its answer will not leave as far as anybody can tell */
        choiri_dlist_remove(&q->leaving.link);
        q->is_leaving = false;
        choiri_session_end_work(s);
        q->outcome = outcome;
    }
    if (!q->reported) {
        if (!q->finished) vanish_later(q, outcome); /* else it is on its way out */
        return;
    }
    choiri_request_set_answered(q, outcome);
    if (!q->finished) {
        q->orphan = true;
        s->conns.orphans++;
    }
    q->node.bits &= (uint8_t)~CHOIRI_REQUEST_CANCELLED;
    choiri_ready_add(s, &q->node, CHOIRI_REQUEST_DONE);
}

/* Nobody waits for the answers any more. Handlers may still be at work; what their requests hold stays until
 * they have finished, or until the session is freed. */
void choiri_requests_ended(choiri_rpc *r, int status) {
    for (choiri_dlist *n = r->requests.live.next, *next; n != &r->requests.live; n = next) {
        next = n->next;
        end_one(CHOIRI_CONTAINER(n, choiri_request, live), outcome_of(status));
    }
}

void choiri_requests_shutdown(choiri_rpc *r, choir_time now) {
    for (choiri_dlist *n = r->requests.live.next, *next; n != &r->requests.live; n = next) {
        next = n->next;
        choiri_request *q = CHOIRI_CONTAINER(n, choiri_request, live);
        if (q->answered) continue;
        choiri_answer a = {.wire_id = q->wire_id,
                           .m = q->m,
                           .outcome = q->reported ? CHOIR_OUTCOME_CANCELLED : CHOIR_OUTCOME_SEND_FAILED};
        (void)choiri_answer_send(r, &a, NULL, now); /* we are leaving anyway */
        if (q->reported) {
            choiri_request_set_answered(q, CHOIR_OUTCOME_SESSION_SHUTDOWN);
        } else if (q->started) {
            vanish_later(q, CHOIR_OUTCOME_SEND_FAILED);
        } else {
            leave_queue(q);
            choiri_request_set_answered(q, CHOIR_OUTCOME_SEND_FAILED);
            free_request(q);
        }
    }
}

/* ---- messages ---- */

static CHOIRI_INLINE bool check_id(choir_session *s, choiri_conn *c, const choiri_rpc *r,
                                   const choiri_message *msg, const choiri_map_entry *place, choir_time now) {
    if (choiri_conn_is_ours(c, msg->id) || msg->id == 0) {
        choiri_conn_protocol_error(s, c, "call with a request id that is not the caller's to use: ", msg->id,
                                   now);
        return false;
    }
    if (CHOIRI_UNLIKELY(!place) && choiri_idmap_get(&r->requests.ids, msg->id)) {
        choiri_conn_protocol_error(s, c, "call with the id of a request that is still open: ", msg->id, now);
        return false;
    }
    return true;
}

/* As nearly all calls are: of a method whose types are settled, with nothing but its arguments. */
static CHOIRI_INLINE bool is_usual(const choir_session *s, const choiri_conn *c, const choiri_message *msg,
                                   uint32_t method, const choiri_binding *b) {
    return b && choiri_binding_is_settled(s, b) && msg->schemas.len == 0 && msg->metadata.count == 0 &&
           !c->profile->serve->methods[method].has_channels;
}

/* Why a call of a known method cannot run; false when it can. */
static CHOIRI_NOINLINE bool is_impossible(const choir_session *s, const choiri_conn *c,
                                          const choiri_message *msg, uint32_t method, choiri_text *text) {
    const choiri_prepared *service = c->profile->serve;
    const choiri_lasting *l = c->lasting;
    const choiri_binding *b = l ? choiri_binding_peek(&l->served, method) : NULL;
    uint8_t peer = b ? b->peer : CHOIRI_BOUND_NO;
    choiri_text_init(text);
    if (service->methods[method].has_channels) {
        choiri_method_text(service, method, text);
        choiri_text_add(text, ": channels are not supported yet");
    } else if (peer == CHOIRI_BOUND_BAD) {
        choiri_text_str(text, b->text.data ? b->text : CHOIR_STR("arguments of another layout"));
    } else if (peer == CHOIRI_BOUND_NO && s->codec->compares_layouts &&
               !(service->methods[method].desc->flags & CHOIR_METHOD_RAW)) {
        choiri_method_text(service, method, text);
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

static const choiri_prepared_method *known(const choiri_rpc *r, uint32_t method) {
    return method == CHOIR_METHOD_NONE ? NULL : &r->hot.conn->profile->serve->methods[method];
}

/* Over a limit, or there is no memory: nothing ran, so the caller may try again. */
static CHOIRI_NOINLINE void refuse(choiri_rpc *r, const choiri_message *msg, uint32_t method,
                                   choir_time now) {
    if (choiri_conn_nuisance(&r->hot, now))
        choiri_answer_refuse(r, msg->id, known(r, method), CHOIR_OUTCOME_SEND_FAILED, CHOIR_STR(""), now);
}

/* It can never run. That costs us something for nothing, as starting a handler for nothing does: reliability
 * case A21. */
static CHOIRI_NOINLINE void refuse_impossible(choiri_rpc *r, const choiri_message *msg, uint32_t method,
                                              uint32_t outcome, const choiri_text *text, choir_time now) {
    choir_session *s = r->hot.session;
    if (!choiri_conn_start(&r->hot, now)) {
        refuse(r, msg, method, now);
        return;
    }
    int status = method == CHOIR_METHOD_NONE && s->codec->needs_schemas
                     ? choiri_types_announce_nothing(s, r->hot.conn, msg->method, now)
                     : CHOIR_OK;
    if (status != CHOIR_OK) {
        choiri_answer_owed(r, status, now);
        return;
    }
    choiri_answer_refuse(r, msg->id, known(r, method), outcome, text ? choiri_text_get(text) : CHOIR_STR(""),
                         now);
    choiri_conn_cool(s, &r->hot);
}

/* Requests held back because of our own answers are not the peer's excess: half of the session's quota is
 * theirs. */
static bool queue_has_room(const choiri_rpc *r, size_t bytes) {
    const choiri_limits *l = &r->hot.conn->profile->limits;
    uint64_t max =
        r->hot.egress.answers > l->max_answers ? r->hot.session->quota / 2 : l->max_queued_request_bytes;
    return r->requests.queued < l->max_queued_requests && r->requests.queued_bytes <= max &&
           (r->requests.queued == 0 || bytes <= max - r->requests.queued_bytes);
}

/* Everything about a call that few of them are: of an unknown method, with schemas or metadata, impossible.
 * true: it was dealt with, or its connection has failed. */
static CHOIRI_NOINLINE bool is_unusual(choiri_rpc *r, const choiri_message *msg, uint32_t method,
                                       choir_time now) {
    choir_session *s = r->hot.session;
    choiri_conn *c = r->hot.conn;
    choiri_text text;
    if (msg->schemas.len > 0 && !choiri_types_bind(s, c, method, false, msg->schemas, now)) return true;
    if (method == CHOIR_METHOD_NONE)
        refuse_impossible(r, msg, method, CHOIR_OUTCOME_UNKNOWN_METHOD, NULL, now);
    else if (is_impossible(s, c, msg, method, &text))
        refuse_impossible(r, msg, method, CHOIR_OUTCOME_INVALID_PAYLOAD, &text, now);
    else
        return false;
    return true;
}

/* Handlers that answer late, as long polls do, can take all places, and the peer then waits without a word.
 * Once for each connection: it is the peer that decides how often. */
static void tell_full(choiri_rpc *r) {
    choir_session *s = r->hot.session;
    uint32_t places = r->hot.conn->profile->limits.max_concurrent_requests;
    choiri_lasting *l = r->requests.running >= places ? choiri_lasting_get(s, r->hot.conn) : NULL;
    choiri_text text;
    if (!l || l->was_full) return;
    l->was_full = true;
    choiri_text_init(&text);
    choiri_text_u64(&text, places);
    choiri_text_add(
        &text, " requests of a peer are with their handlers (max_concurrent_requests); more of them wait");
    choiri_log(s->env, CHOIR_LOG_WARNING, "rpc", &text);
}

/* One more with nothing to wait for it, or for which there is neither place nor memory. */
static CHOIRI_NOINLINE void enqueue(choiri_rpc *r, const choiri_message *msg, uint32_t method,
                                    const choiri_frame *frame, choir_time now) {
    choiri_request *q =
        queue_has_room(r, frame->payload.len) ? new_request(r, msg, method, NULL, NULL, frame) : NULL;
    if (!q) {
        refuse(r, msg, method, now);
        return;
    }
    choiri_dlist_append(&r->requests.queue, &q->link);
    r->requests.queued++;
    r->requests.queued_bytes += q->kept;
    tell_full(r);
}

static CHOIRI_COLD void could_not_start(choiri_rpc *r, choiri_request *q, const choiri_message *msg,
                                        uint32_t method, choir_time now) {
    if (q) {
        choiri_request_set_answered(q, CHOIR_OUTCOME_SEND_FAILED);
        free_request(q);
    }
    choiri_conn_paid(&r->hot);
    refuse(r, msg, method, now);
}

/* rule: rpc.call */
CHOIRI_NOINLINE void choiri_requests_call(choir_session *s, choiri_conn *c, const choiri_message *msg,
                                          const choiri_frame *frame, choir_time now) {
    choiri_rpc *r = choiri_rpc_heat(s, c);
    if (CHOIRI_UNLIKELY(!r)) {
        choiri_conn_fail(s, c, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return;
    }
    choiri_map_entry *place = choiri_idmap_free_place(&r->requests.ids, msg->id);
    if (!check_id(s, c, r, msg, place, now)) return;
    const choiri_prepared *service = c->profile->serve;
    uint32_t method = service ? choiri_prepared_lookup(service, msg->method) : CHOIR_METHOD_NONE;
    const choiri_lasting *l = c->lasting;
    choiri_binding *b = l && method != CHOIR_METHOD_NONE ? choiri_binding_peek(&l->served, method) : NULL;
    if (!is_usual(s, c, msg, method, b) && is_unusual(r, msg, method, now)) return;
    if (!choiri_dlist_is_empty(&r->requests.queue) || !has_place(r) || !choiri_conn_start(&r->hot, now)) {
        enqueue(r, msg, method, frame, now);
        return;
    }
    choiri_request *q = new_request(r, msg, method, b, place, frame);
    if (CHOIRI_UNLIKELY(!q || !start(q))) could_not_start(r, q, msg, method, now);
}

/* rule: rpc.cancel. Each is a nuisance at most: late ones, and those of requests that have not started, cost
 * us next to nothing. */
CHOIRI_NOINLINE void choiri_requests_cancel(choir_session *s, choiri_conn *c, const choiri_message *msg,
                                            const choiri_frame *frame, choir_time now) {
    (void)frame;
    if (choiri_conn_is_ours(c, msg->id)) {
        choiri_conn_protocol_error(s, c, "cancel of a request id that is not the caller's: ", msg->id, now);
        return;
    }
    choiri_rpc *r = choiri_rpc_heat(s, c);
    if (!r) {
        choiri_conn_fail(s, c, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return;
    }
    choiri_request *q = choiri_idmap_get(&r->requests.ids, msg->id);
    if (!choiri_conn_nuisance(&r->hot, now)) return;
    if (!q || (q->m->desc->flags & CHOIR_METHOD_PERSIST)) return;
    choiri_request_set_answered(q, CHOIR_OUTCOME_CANCELLED);
    const choiri_prepared_method *m = q->m;
    if (!q->started) { /* nobody knows of it */
        leave_queue(q);
        free_request(q);
    } else if (!q->reported) { /* a decision pends */
        vanish_later(q, CHOIR_OUTCOME_CANCELLED);
    } else {
        q->cancelled = true;
        q->why = msg->metadata;
        choiri_ready_add(s, &q->node, CHOIRI_REQUEST_CANCELLED);
    }
    choiri_answer_refuse(r, msg->id, m, CHOIR_OUTCOME_CANCELLED, CHOIR_STR(""), now);
    if (!choiri_dlist_is_empty(&r->requests.queue)) choiri_requests_pump(r, now);
}

/* ---- reporting: decision, decode, dispatch ---- */

/* Its value is there once it was decoded. */
static void fill_event(const choiri_request *q, choir_event *event) {
    event->conn = choiri_conn_handle(q->rpc->hot.conn);
    event->request = q->handle;
    event->user_data = q->user_data;
    event->service = choiri_request_profile(q)->serve->desc;
    event->method = q->method;
    event->method_id = q->method_id;
    event->payload = q->args;
    event->metadata = q->metadata;
    event->deadline = CHOIR_TIME_NEVER;
    if (!q->value) return;
    event->value = q->value;
    event->unit = choiri_request_profile(q)->serve->unit;
    event->type = q->m->desc->args;
}

/* What was started turns out to be impossible, or unwanted: the caller is told, the host is not. */
static void turn_down(choiri_request *q, choiri_answer *answer, bool wasted, choir_time now) {
    choiri_rpc *r = q->rpc;
    answer->wire_id = q->wire_id;
    answer->m = q->m;
    vanish(q, answer->outcome);
    if (!wasted) choiri_conn_paid(&r->hot);
    choiri_answer_must(r, answer, now);
    if (!choiri_dlist_is_empty(&r->requests.queue)) choiri_requests_pump(r, now);
}

/* Somebody decided against it. A reason that cannot be sent is left out. */
static void turn_away(choiri_request *q, const choir_reason *reason, choir_time now) {
    choir_metadata_entry entries[CHOIRI_REQUEST_ENTRIES];
    choiri_answer a = {.outcome = CHOIR_OUTCOME_SEND_FAILED, .metadata = entries};
    if (choiri_reason_entries(reason, entries, &a.metadata_len) != CHOIR_OK) a.metadata_len = 0;
    turn_down(q, &a, false, now);
}

/* Decodes the arguments: OK, INVALID_PAYLOAD with a text, or SEND_FAILED when memory or the quota is out: the
 * caller may try that again. What decoding takes is bounded by the payload's size and by what is left of the
 * quota. */
static uint32_t decode(choiri_request *q, choiri_text *text) {
    choir_session *s = choiri_request_session(q);
    const choir_unit *u = choiri_request_profile(q)->serve->unit;
    const choir_type *t = q->m->args_type;
    choiri_text why;
    if (q->m->desc->flags & CHOIR_METHOD_RAW) return CHOIR_OUTCOME_OK;
    choiri_text_init(&why);
    size_t used = q->arena.used, limit = choiri_value_arena_limit(q->args.len) + t->size + t->align;
    bool short_of_quota = q->args.len > CHOIRI_DECODE_SMALL && choiri_session_cap(s, &limit);
    q->arena.limit = used + limit;
    void *value = choiri_arena_alloc(&q->arena, t->size, t->align);
    choiri_reader r = choiri_reader_of(q->args);
    int status = value ? choiri_codec_read_value(s->codec, &r, q->b->plan, CHOIRI_PLAN_ROOT, u,
                                                 q->m->desc->args, &q->arena, value, &why)
                       : CHOIR_ERR_NO_MEMORY;
    bool charged = charge_arena(q, used);
    if (CHOIRI_LIKELY(status == CHOIR_OK && charged)) {
        q->value = value;
        return CHOIR_OUTCOME_OK;
    }
    if (!charged) { /* what it took is not paid for: it goes at once, with all that was kept */
        choiri_charge_anyway(&q->rpc->hot, q->arena.used - used);
        q->charged += q->arena.used - used;
    }
    if (!charged || status == CHOIR_ERR_NO_MEMORY || (status == CHOIR_ERR_TOO_LARGE && short_of_quota))
        return CHOIR_OUTCOME_SEND_FAILED;
    choiri_text_init(text);
    choiri_method_text(choiri_request_profile(q)->serve, q->method, text);
    choiri_text_str(choiri_text_add(text, " arguments: "), choiri_text_get(&why));
    return CHOIR_OUTCOME_INVALID_PAYLOAD;
}

/* true: go on. */
static bool decide(choiri_request *q, choir_event *event, choir_time now) {
    const choir_hooks *hooks = &choiri_request_profile(q)->hooks;
    choir_reason reason = {.size = sizeof reason};
    choir_session *s = choiri_request_session(q);
    q->deciding = true;
    fill_event(q, event);
    event->kind = CHOIR_EVENT_REQUEST;
    int verdict = hooks->decide(hooks->ctx, s, event, &reason);
    if (!q->deciding) return false; /* completed by the hook, or ended inside it: it is in the list again */
    if (verdict == CHOIR_VERDICT_PEND) return false;
    q->deciding = false;
    q->decided = true;
    if (verdict == CHOIR_VERDICT_RUN) return true;
    turn_away(q, &reason, now);
    tell_decider(q);
    s->retired = &q->node;
    return false;
}

static CHOIRI_NOINLINE bool report_new(choiri_request *q, choir_event *event, choir_time now) {
    choiri_text text;
    q->node.bits &= (uint8_t)~CHOIRI_REQUEST_NEW;
    event->evidence = choiri_session_evidence(choiri_request_session(q));
    if (choiri_request_profile(q)->hooks.decide && !q->decided && !decide(q, event, now)) return false;
    uint32_t outcome = decode(q, &text);
    if (outcome != CHOIR_OUTCOME_OK) {
        bool bad = outcome == CHOIR_OUTCOME_INVALID_PAYLOAD;
        choiri_answer a = {.outcome = outcome, .text = bad ? choiri_text_get(&text) : CHOIR_STR("")};
        turn_down(q, &a, bad, now);
        tell_decider(q);
        choiri_request_session(q)->retired = &q->node;
        return false;
    }
    fill_event(q, event);
    q->reported = true;
    event->kind = CHOIR_EVENT_REQUEST;
    return true;
}

CHOIRI_NOINLINE bool choiri_request_report(choir_session *s, choiri_ready *node, choir_event *event) {
    choiri_request *q = CHOIRI_CONTAINER(node, choiri_request, node);
    if (node->bits == 0) { /* ended before it was reported */
        tell_decider(q);
        s->retired = node;
        return false;
    }
    if (node->bits & CHOIRI_REQUEST_NEW) return report_new(q, event, s->now);
    fill_event(q, event);
    if (node->bits & CHOIRI_REQUEST_CANCELLED) {
        node->bits &= (uint8_t)~CHOIRI_REQUEST_CANCELLED;
        event->kind = CHOIR_EVENT_REQUEST_CANCELLED;
        event->metadata = q->why;
        choiri_reason_read(event);
        return true;
    }
    node->bits = 0;
    event->kind = CHOIR_EVENT_REQUEST_DONE;
    event->outcome = q->outcome;
    q->over = true;
    q->rpc->hot.unreported--;
    s->retired = node; /* a hook that finishes it leaves it to the next poll */
    tell_decider(q);
    if (!q->finished) s->retired = NULL;
    return true;
}

void choiri_request_retire(choiri_ready *node) {
    let_go(CHOIRI_CONTAINER(node, choiri_request, node));
}

/* ---- the host's side ---- */

choiri_request *choiri_request_find(choir_session *s, choir_request_id id) {
    if (!s) return NULL;
    choiri_request *q = choiri_table_get(&s->requests, id.v);
    return q && !q->finished ? q : NULL;
}

int choir_request_decide(choir_session *s, choir_request_id id, int verdict, const choir_reason *reason,
                         choir_time now) {
    if (!s || (verdict != CHOIR_VERDICT_RUN && verdict != CHOIR_VERDICT_REFUSE)) return CHOIR_ERR_INVALID;
    choiri_request *q = choiri_request_find(s, id);
    if (!q) return CHOIR_ERR_NOT_FOUND;
    if (!q->deciding) return CHOIR_ERR_STATE;
    now = choiri_session_time(s, now);
    q->deciding = false;
    q->decided = true;
    if (verdict == CHOIR_VERDICT_RUN) {
        choiri_ready_add(s, &q->node, CHOIRI_REQUEST_NEW);
    } else {
        choiri_ready_add(s, &q->node, 0); /* goes when its turn comes */
        turn_away(q, reason, now);
    }
    choiri_session_wake(s);
    return CHOIR_OK;
}

int choir_request_set_user_data(choir_session *s, choir_request_id id, void *user_data) {
    choiri_request *q = choiri_request_find(s, id);
    if (!q) return CHOIR_ERR_NOT_FOUND;
    q->user_data = user_data;
    return CHOIR_OK;
}

int choir_request_set_slot(choir_session *s, choir_request_id id, const choir_key *key, void *value,
                           void (*destroy)(void *value)) {
    choiri_request *q = key ? choiri_request_find(s, id) : NULL;
    if (!q) return CHOIR_ERR_NOT_FOUND;
    return choiri_slots_set(s->env, &q->slots, key, value, destroy);
}

void *choir_request_slot(const choir_session *s, choir_request_id id, const choir_key *key) {
    const choiri_request *q = s ? choiri_table_get(&s->requests, id.v) : NULL;
    return q ? choiri_slots_get(q->slots, key) : NULL;
}

void *choir_request_alloc(choir_session *s, choir_request_id id, size_t size, size_t align) {
    choiri_request *q = choiri_request_find(s, id);
    if (!q || align == 0 || align > 16 || (align & (align - 1)) != 0) return NULL;
    /* The host's own wish is not bounded by what the peer sent, only by the quota. */
    uint64_t held = choiri_session_held(s), left = held < s->quota ? s->quota - held : 0;
    size_t before = q->arena.used;
    q->arena.limit = before + (left < SIZE_MAX / 2 ? (size_t)left : SIZE_MAX / 2);
    void *ptr = choiri_arena_alloc(&q->arena, size, align);
    choiri_charge_anyway(&q->rpc->hot, q->arena.used - before);
    q->charged += q->arena.used - before;
    return ptr;
}
