/* SPDX-License-Identifier: MIT */
/* Calls that we make.
 *
 * A call that cannot leave at once (the handshake is not done, the peer's number or our output is full) waits in order
 * with its encoded metadata and arguments; its request id, its operation id and the schemas are given when it leaves,
 * because they must follow the order on the wire. */
#include "base/assert.h"
#include "base/clear.h"
#include "base/options.h"
#include "rpc/driver.h"
#include "wire/metadata.h"

typedef enum call_state { CALL_QUEUED, CALL_SENT, CALL_DONE } call_state;

typedef struct call {
    choiri_node node;
    choiri_timer timer;
    choiri_list link; /* in the queue */
    choiri_conn *conn;
    choir_call_id handle;
    uint64_t wire_id; /* sent: its request id */
    uint32_t method;
    call_state state;
    uint32_t outcome;        /* done without an answer: how */
    int status;              /* and why, when the link ended */
    bool answered;           /* done by an answer: ret holds it */
    choir_bytes ret;         /* borrowed from the payload that is being reported */
    choir_metadata metadata; /* the same; queued: in `staged` */
    uint8_t *staged;         /* queued: metadata and arguments in one small piece ... */
    choiri_outq staged_q;    /* ... or in blocks */
    size_t staged_size, staged_metadata;
    void *user_data;
    choir_call_fn *callback;
} call;

static const choiri_reporter call_reporter;

static const choir_call_options defaults = {.size = sizeof defaults, .deadline = CHOIR_TIME_NEVER};

void choir_call_options_init_sized(choir_call_options *o, size_t size) {
    choiri_options_give(o, size, &defaults, sizeof defaults);
}

void choiri_calls_init(choiri_conn *c, const choir_session_options *o, const uint64_t seed[2], uint32_t gen) {
    choiri_table_init(&c->calls.table, c->session->env, gen);
    choiri_idmap_init(&c->calls.ids, c->session->env, seed);
    choiri_list_init(&c->calls.queue);
    c->calls.next_id = 1;
    c->calls.next_operation = 1;
    c->calls.max_queued = o->max_queued_calls;
    c->calls.max_queued_bytes = o->max_queued_call_bytes;
}

/* ---- life of a call ---- */

static void free_staged(call *k) {
    choiri_conn *c = k->conn;
    if (k->staged) choiri_obj_free(c->session->env, k->staged, k->staged_size);
    k->staged = NULL;
    choiri_outq_deinit(&k->staged_q);
}

static void leave_queue(call *k) {
    choiri_conn *c = k->conn;
    choiri_list_remove(&k->link);
    c->calls.queued--;
    c->calls.queued_bytes -= k->staged_size;
}

static call *new_call(choiri_conn *c, uint32_t method, const choir_call_options *o) {
    call *k = choiri_obj_alloc(c->session->env, sizeof *k);
    if (!k) return NULL;
    choiri_clear(k, sizeof *k);
    k->node.reporter = &call_reporter;
    k->conn = c;
    k->method = method;
    k->user_data = o->user_data;
    k->callback = o->callback;
    choiri_timer_init(&k->timer, CHOIRI_TIMER_CALL);
    choiri_list_init(&k->link);
    choiri_outq_init(&k->staged_q, c->session->env);
    if (choiri_table_insert(&c->calls.table, k, &k->handle.v) == CHOIR_OK) return k;
    choiri_obj_free(c->session->env, k, sizeof *k);
    return NULL;
}

static void free_call(call *k) {
    choiri_conn *c = k->conn;
    choiri_session_disarm(c->session, &k->timer);
    choiri_table_remove(&c->calls.table, k->handle.v);
    free_staged(k);
    choiri_obj_free(c->session->env, k, sizeof *k);
}

/* The one way into `done`: queues the terminal event. */
static void finish(call *k, uint32_t outcome, int status) {
    choiri_conn *c = k->conn;
    CHOIRI_ASSERT(k->state != CALL_DONE);
    if (k->state == CALL_QUEUED) {
        leave_queue(k);
        free_staged(k);
    } else {
        c->calls.in_flight--;
        choiri_conn_update_busy(c);
    }
    k->state = CALL_DONE;
    k->outcome = outcome;
    k->status = status;
    choiri_session_disarm(c->session, &k->timer);
    choiri_session_report(c->session, &k->node, 1);
}

void choiri_calls_deinit(choiri_conn *c) {
    for (uint32_t i = 0; i < c->calls.table.cap; i++) {
        call *k = c->calls.table.entries[i].obj;
        if (k) free_call(k);
    }
    choiri_table_deinit(&c->calls.table);
    choiri_idmap_deinit(&c->calls.ids);
}

void choiri_calls_ended(choiri_conn *c) {
    int status = c->session->status;
    uint32_t sent =
        status == CHOIR_ERR_SHUTDOWN ? CHOIR_OUTCOME_SESSION_SHUTDOWN : CHOIR_OUTCOME_CONNECTION_CLOSED;
    for (uint32_t i = 0; i < c->calls.table.cap; i++) {
        call *k = c->calls.table.entries[i].obj;
        if (!k || k->state == CALL_DONE) continue;
        if (k->state == CALL_SENT) choiri_idmap_remove(&c->calls.ids, k->wire_id);
        finish(k, k->state == CALL_SENT ? sent : CHOIR_OUTCOME_SEND_FAILED, status);
    }
}

/* ---- sending ---- */

static void count_sent(call *k) {
    choiri_conn *c = k->conn;
    k->state = CALL_SENT;
    k->wire_id = c->calls.next_id;
    c->calls.next_id += 2;
    c->calls.next_operation++;
    c->calls.in_flight++;
    choiri_conn_update_busy(c);
}

/* What stands in front of and behind the arguments is the same for a direct and for a queued call. The map entry is made
 * first because taking it back cannot fail. */
static int begin_send(call *k, choiri_sending *m, choir_chunk *chunk, const choir_metadata_entry *entries,
                      size_t count, choiri_hole *ret_args) {
    choiri_conn *c = k->conn;
    if (c->calls.next_id > UINT64_MAX - 2) return CHOIR_ERR_ID_EXHAUSTED;
    if (!choiri_session_begin(c->session, m, chunk)) return CHOIR_ERR_CLOSED;
    int status = choiri_idmap_put(&c->calls.ids, c->calls.next_id, k);
    if (status != CHOIR_OK) {
        choiri_writer_fail(&m->writer, status);
        return choiri_session_end(c->session, m, c->session->now);
    }
    uint64_t operation = c->session->retry ? c->calls.next_operation : 0;
    uint64_t id = c->call->methods[k->method].id;
    bool announce = choiri_conn_will_announce(c, &c->call_bound[k->method]);
    *ret_args = choiri_codec_begin_call(c->session->codec, &m->writer, 0, c->calls.next_id, id, entries,
                                        count, operation, announce);
    return CHOIR_OK;
}

static int end_send(call *k, choiri_sending *m, choiri_hole args, choir_time now) {
    choiri_conn *c = k->conn;
    choiri_binding *b = &c->call_bound[k->method];
    const choiri_announcement *a = &c->call->methods[k->method].args;
    choiri_codec_fill_hole(c->session->codec, &m->writer, args);
    int status = choiri_conn_announce(c, b, a, &m->writer);
    if (status != CHOIR_OK) choiri_writer_fail(&m->writer, status);
    status = choiri_session_end(c->session, m, now);
    if (status != CHOIR_OK) {
        choiri_idmap_remove(&c->calls.ids, c->calls.next_id);
        return status;
    }
    choiri_conn_announced(c, b, a);
    count_sent(k);
    return CHOIR_OK;
}

static int send_now(call *k, const void *args, const choir_call_options *o, choir_time now) {
    choiri_conn *c = k->conn;
    choiri_sending m;
    choiri_hole hole;
    int status = begin_send(k, &m, o->chunk, o->metadata, o->metadata_len, &hole);
    if (status != CHOIR_OK) return status;
    choiri_codec_write_value(c->session->codec, &m.writer, c->call->unit,
                             c->call->methods[k->method].desc->args, args);
    return end_send(k, &m, hole, now);
}

static void copy_out(const choiri_outq *q, uint8_t *to) {
    choir_iov iov;
    for (size_t at = 0; choiri_outq_peek(q, at, UINT64_MAX, &iov, 1) == 1; at += iov.len)
        memcpy(to + at, iov.base, iov.len);
}

/* Would a call be taken now, and would it leave at once? */
static bool queue_has_room(const choiri_conn *c) {
    return c->calls.queued < c->calls.max_queued && c->calls.queued_bytes < c->calls.max_queued_bytes;
}
static bool queue_has_room_for(const choiri_conn *c, uint64_t bytes) {
    return queue_has_room(c) &&
           (c->calls.queued == 0 || bytes <= c->calls.max_queued_bytes - c->calls.queued_bytes);
}
/* Remembers that somebody waits for room, the smallest call first. */
static int blocked(choiri_conn *c, uint64_t bytes) {
    if (!c->calls.want_writable || bytes < c->calls.want_bytes) c->calls.want_bytes = bytes;
    c->calls.want_writable = true;
    return CHOIR_ERR_BLOCKED;
}

/* Encodes metadata and arguments for later. Small ones are packed, so that a waiting call does not hold a block. */
static int stage(call *k, const void *args, const choir_call_options *o) {
    choiri_conn *c = k->conn;
    choiri_writer w;
    choiri_writer_init(&w, &k->staged_q, o->chunk);
    choiri_write_entries(&w, o->metadata, o->metadata_len);
    k->staged_metadata = (size_t)choiri_writer_offset(&w);
    choiri_codec_write_value(c->session->codec, &w, c->call->unit, c->call->methods[k->method].desc->args,
                             args);
    int status = choiri_writer_finish(&w);
    if (status != CHOIR_OK) return status;
    k->metadata.count = o->metadata_len;
    k->staged_size = (size_t)k->staged_q.bytes;
    if (!queue_has_room_for(c, k->staged_size)) return blocked(c, k->staged_size);
    /* Metadata is walked as one span when the call leaves, so it is packed with the rest. */
    if (k->staged_size > 0 && (k->staged_size <= CHOIRI_RETAIN_COPY || o->metadata_len > 0)) {
        k->staged = choiri_obj_alloc(c->session->env, k->staged_size);
        if (!k->staged) return CHOIR_ERR_NO_MEMORY;
        copy_out(&k->staged_q, k->staged);
        choiri_outq_deinit(&k->staged_q);
        choiri_outq_init(&k->staged_q, c->session->env);
    }
    choiri_list_append(&c->calls.queue, &k->link);
    c->calls.queued++;
    c->calls.queued_bytes += k->staged_size;
    return CHOIR_OK;
}

static int send_staged(call *k, choir_time now) {
    choiri_sending m;
    choiri_hole hole;
    choir_metadata_entry entries[CHOIRI_REQUEST_ENTRIES];
    choir_metadata list = {{k->staged, k->staged_metadata}, k->metadata.count};
    size_t count = 0;
    while (count < CHOIRI_REQUEST_ENTRIES && choir_metadata_next(&list, &entries[count])) count++;
    int status = begin_send(k, &m, NULL, entries, count, &hole);
    if (status != CHOIR_OK) return status;
    if (k->staged)
        choiri_write_raw(&m.writer, k->staged + k->staged_metadata, k->staged_size - k->staged_metadata);
    else
        choiri_write_queue(&m.writer, &k->staged_q);
    status = end_send(k, &m, hole, now); /* state is `sent` on success */
    return status;
}

static bool may_send(const choiri_conn *c) {
    const choir_session *s = c->session;
    uint32_t max = s->peer.max_concurrent_requests ? s->peer.max_concurrent_requests : 1;
    return s->state == CHOIRI_SESSION_ESTABLISHED && c->calls.in_flight < max &&
           choiri_session_output(s) < s->max_output;
}

static bool may_send_next(const choiri_conn *c) {
    return choiri_list_is_empty(&c->calls.queue) && may_send(c);
}

/* Sends what waits, as far as it may. */
void choiri_calls_pump(choiri_conn *c, choir_time now) {
    while (!choiri_list_is_empty(&c->calls.queue) && may_send(c)) {
        call *k = CHOIRI_CONTAINER(c->calls.queue.next, call, link);
        size_t size = k->staged_size;
        int status = send_staged(k, now);
        if (status == CHOIR_OK) {
            choiri_list_remove(&k->link);
            c->calls.queued--;
            c->calls.queued_bytes -= size;
            free_staged(k);
        } else {
            finish(k, CHOIR_OUTCOME_SEND_FAILED, status);
        }
    }
    if (c->calls.want_writable && c->session->state == CHOIRI_SESSION_ESTABLISHED &&
        (queue_has_room_for(c, c->calls.want_bytes) || may_send_next(c))) {
        c->calls.want_writable = false;
        choiri_session_report(c->session, &c->writable, 1);
        if (c->session->wake) c->session->wake(c->session->wake_ctx, c->session);
    }
}

static int check_options(const choir_call_options *in, choir_call_options *ret) {
    if (in && in->size == sizeof *in) { /* of our own size, as nearly always: nothing to look for */
        *ret = *in;
    } else {
        *ret = defaults;
        if (in && choiri_options_copy(ret, sizeof *ret, in) != CHOIR_OK) return CHOIR_ERR_INVALID;
    }
    if (ret->metadata_len > CHOIRI_REQUEST_ENTRIES || (ret->metadata_len > 0 && !ret->metadata))
        return CHOIR_ERR_INVALID;
    return CHOIR_OK;
}

static int start(call *k, const void *args, const choir_call_options *o, bool now_or_later, choir_time now) {
    choir_session *s = k->conn->session;
    choir_time before = s->wake ? choir_session_deadline(s) : 0;
    if (o->deadline != CHOIR_TIME_NEVER) choiri_session_arm(s, &k->timer, o->deadline);
    int status = now_or_later ? send_now(k, args, o, now) : stage(k, args, o);
    if (status == CHOIR_OK && s->wake && choir_session_deadline(s) < before) s->wake(s->wake_ctx, s);
    return status;
}

int choir_call(choir_session *s, choir_conn conn, uint32_t method, const void *args,
               const choir_call_options *options, choir_call_id *ret_call, choir_time now) {
    choir_call_options o;
    if (!s || check_options(options, &o) != CHOIR_OK) return CHOIR_ERR_INVALID;
    choiri_conn *c = s->root;
    if (conn.v != c->handle.v) return CHOIR_ERR_NOT_FOUND;
    if (s->state == CHOIRI_SESSION_CLOSING || s->state == CHOIRI_SESSION_ENDED) return CHOIR_ERR_CLOSED;
    if (!c->call || method >= c->call->methods_len) return CHOIR_ERR_INVALID;
    if (c->call->methods[method].has_channels) return CHOIR_ERR_UNSUPPORTED;
    now = choiri_session_time(s, now);
    bool direct = may_send_next(c);
    if (!direct && !queue_has_room(c)) return blocked(c, 0);
    call *k = new_call(c, method, &o);
    if (!k) return CHOIR_ERR_NO_MEMORY;
    int status = start(k, args, &o, direct, now);
    if (status != CHOIR_OK) {
        free_call(k);
        return status;
    }
    if (ret_call) *ret_call = k->handle;
    return CHOIR_OK;
}

/* ---- ends ---- */

/* The answer to a call that was given up may carry the only announcement of its method's response, so its id is remembered
 * while none was seen. Only the newest few: one that falls out costs the check of the layout, nothing else. */
static void remember_late(choiri_conn *c, const call *k) {
    if (c->call_bound[k->method].peer != CHOIRI_BOUND_NO) return;
    c->calls.late_ids[c->calls.late_next % CHOIRI_LATE_IDS] = k->wire_id;
    c->calls.late_methods[c->calls.late_next++ % CHOIRI_LATE_IDS] = k->method;
}

static uint32_t late_method(const choiri_conn *c, uint64_t wire_id) {
    for (uint32_t i = 0; i < CHOIRI_LATE_IDS; i++)
        if (c->calls.late_ids[i] == wire_id) return c->calls.late_methods[i];
    return CHOIR_METHOD_NONE;
}

/* Gives a call up: the peer is told if it has it. Its answers may still come, and twice: Rust callees answer a cancelled
 * call two times (rule: rpc.cancel-twice). */
static void give_up(call *k, uint32_t outcome, choir_time now) {
    choiri_conn *c = k->conn;
    choiri_sending m;
    if (k->state == CALL_SENT) {
        choiri_idmap_remove(&c->calls.ids, k->wire_id);
        if (choiri_session_begin(c->session, &m, NULL)) {
            c->session->codec->encode(
                &m.writer,
                &(choiri_message){.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CANCEL, .id = k->wire_id},
                NULL, 0);
            (void)choiri_session_end(c->session, &m, now); /* without memory the peer just works in vain */
        }
        c->calls.late += 2;
        remember_late(c, k);
    }
    finish(k, outcome, CHOIR_OK);
    choiri_calls_pump(c, now);
}

int choir_cancel(choir_session *s, choir_call_id id, choir_time now) {
    if (!s) return CHOIR_ERR_INVALID;
    call *k = choiri_table_get(&s->root->calls.table, id.v);
    if (!k || k->state == CALL_DONE) return CHOIR_ERR_NOT_FOUND;
    give_up(k, CHOIR_OUTCOME_CANCELLED, choiri_session_time(s, now));
    if (s->wake) s->wake(s->wake_ctx, s);
    return CHOIR_OK;
}

void choiri_calls_expired(choiri_conn *c, choiri_timer *timer, choir_time now) {
    (void)c;
    CHOIRI_ASSERT(timer->owner == CHOIRI_TIMER_CALL);
    call *k = CHOIRI_CONTAINER(timer, call, timer);
    if (k->state != CALL_DONE) give_up(k, CHOIR_OUTCOME_TIMED_OUT, now);
}

/* rule: rpc.response. An answer nobody waits for is honest when we gave the call up, odd otherwise, and impossible for an
 * id that was never given out. */
static bool is_late(choiri_conn *c, const choiri_message *msg, choir_time now) {
    if (!choiri_conn_is_ours(c, msg->id) || msg->id >= c->calls.next_id || msg->id == 0) {
        choiri_conn_protocol_error(c, "answer to a call that was never made: ", msg->id, now);
        return false;
    }
    if (c->calls.late > 0)
        c->calls.late--;
    else if (!choiri_session_glitch(c->session, now))
        return false;
    return true;
}

void choiri_calls_response(choiri_conn *c, const choiri_message *msg, choir_time now) {
    call *k = choiri_idmap_remove(&c->calls.ids, msg->id);
    if (!k && !is_late(c, msg, now)) return;
    if (msg->schemas.len > 0 &&
        !choiri_conn_bind(c, k ? k->method : late_method(c, msg->id), true, msg->schemas, now)) {
        /* The session has failed; the call was out of the map and ended with the others. */
        return;
    }
    if (!k) return;
    k->answered = true;
    k->ret = msg->payload;
    k->metadata = msg->metadata;
    finish(k, CHOIR_OUTCOME_OK, CHOIR_OK);
    if (!choiri_list_is_empty(&c->calls.queue) || c->calls.want_writable) choiri_calls_pump(c, now);
}

/* ---- reporting ---- */

/* The peer's handler ran, whatever we made of its answer: the status tells this from the peer's own InvalidPayload. */
static bool answer_is_bad(call *k, choir_event *event, const choiri_text *why) {
    choiri_conn *c = k->conn;
    choiri_text text;
    choiri_text_init(&text);
    choiri_conn_method_text(c->call, k->method, &text);
    choiri_text_str(choiri_text_add(&text, " answer: "), choiri_text_get(why));
    char *copy = choiri_arena_alloc(&c->session->scratch, text.len + 1, 1);
    if (copy) memcpy(copy, text.data, text.len + 1);
    event->outcome = CHOIR_OUTCOME_INVALID_PAYLOAD;
    if (event->status == CHOIR_OK) event->status = CHOIR_ERR_MALFORMED;
    event->text = copy ? (choir_str){copy, text.len} : (choir_str){"", 0};
    return false;
}

/* Whose value an answer has: the descriptor's types, or those that the peer announced. NULL when there are none, which the
 * text then says. */
static const choir_type *find_type(const call *k, uint32_t which, choir_event *event, choiri_text *why) {
    const choiri_conn *c = k->conn;
    const choiri_method *m = &c->call->methods[k->method];
    const choiri_answer *answer = c->call_bound[k->method].answer;
    if (m->ok_type) {
        event->unit = c->call->unit;
        event->type = which == CHOIRI_PLAN_OK ? m->desc->ok : m->desc->err;
        return which == CHOIRI_PLAN_OK ? m->ok_type : m->err_type;
    }
    if (!answer) {
        choiri_text_add(why, "the peer has not announced its type");
        return NULL;
    }
    event->unit = answer->unit;
    event->type = which == CHOIRI_PLAN_OK ? answer->ok : answer->err;
    return choiri_unit_type(event->unit, event->type);
}

/* Room for the value, and what decoding it may take. The size of a type of the peer's is not to be trusted. */
static void *new_value(call *k, const choir_type *t, size_t payload) {
    choir_session *s = k->conn->session;
    uint64_t left = s->quota - s->charged;
    size_t limit = choiri_value_arena_limit(payload);
    if (!k->conn->call_bound[k->method].answer) limit += t->size + t->align;
    s->scratch.limit = left < limit ? (size_t)left : limit;
    return choiri_arena_alloc(&s->scratch, t->size, t->align);
}

static bool is_read(call *k, uint32_t which, choiri_reader *r, choir_event *event, choiri_text *why) {
    choiri_conn *c = k->conn;
    const choir_type *t = find_type(k, which, event, why);
    if (!t) return false;
    event->payload = (choir_bytes){r->pos, choiri_reader_left(r)};
    void *value = new_value(k, t, event->payload.len);
    if (!value) {
        event->status = CHOIR_ERR_NO_MEMORY;
        choiri_text_add(why, "no memory");
        return false;
    }
    const choiri_binding *b = &c->call_bound[k->method];
    event->status = choiri_codec_read_value(c->session->codec, r, b->plan, which, event->unit, event->type,
                                            &c->session->scratch, value, why);
    if (event->status != CHOIR_OK) return false;
    /* With our own type, bytes behind the value may be what a newer peer added. */
    if (b->answer && choiri_reader_left(r) > 0) {
        choiri_text_u64(why, choiri_reader_left(r));
        choiri_text_add(why, " bytes are left behind a value of the announced type");
        return false;
    }
    event->value = value;
    return true;
}

static bool decode_value(call *k, uint32_t which, choiri_reader *r, choir_event *event) {
    const choiri_binding *b = &k->conn->call_bound[k->method];
    choiri_text why;
    choiri_text_init(&why);
    if (b->peer == CHOIRI_BOUND_BAD) { /* the text names the method already */
        event->outcome = CHOIR_OUTCOME_INVALID_PAYLOAD;
        event->status = CHOIR_ERR_LAYOUT;
        event->text = b->text ? (choir_str){b->text, (size_t)b->text_len - 1} : (choir_str){"", 0};
        return false;
    }
    if (is_read(k, which, r, event, &why)) return true;
    event->unit = NULL;
    event->type = 0;
    return answer_is_bad(k, event, &why);
}

/* rule: rpc.vox-error */
static void decode_answer(call *k, choir_event *event) {
    choiri_reader r = choiri_reader_of(k->ret);
    const char *bad;
    if (!choiri_codec_read_result(k->conn->session->codec, &r, &event->outcome, &event->text, &bad)) {
        choiri_text why;
        choiri_text_init(&why);
        choiri_text_add(&why, bad);
        answer_is_bad(k, event, &why);
    } else if (event->outcome == CHOIR_OUTCOME_OK) {
        decode_value(k, CHOIRI_PLAN_OK, &r, event);
    } else if (event->outcome == CHOIR_OUTCOME_USER_ERROR) {
        decode_value(k, CHOIRI_PLAN_ERR, &r, event);
    }
}

static bool report_call(choir_session *s, choiri_node *node, choir_event *event) {
    call *k = CHOIRI_CONTAINER(node, call, node);
    choiri_conn *c = k->conn;
    node->bits = 0;
    s->retired = node;
    event->kind = CHOIR_EVENT_CALL_DONE;
    event->conn = c->handle;
    event->call = k->handle;
    event->user_data = k->user_data;
    event->callback = k->callback;
    event->service = c->call->desc;
    event->method = k->method;
    event->outcome = k->outcome;
    event->status = k->status;
    choiri_table_remove(&c->calls.table, k->handle.v);
    if (!k->answered) return true;
    event->metadata = k->metadata;
    decode_answer(k, event);
    return true;
}

static void retire_call(choir_session *s, choiri_node *node) {
    (void)s;
    free_call(CHOIRI_CONTAINER(node, call, node));
}

static const choiri_reporter call_reporter = {report_call, retire_call};
