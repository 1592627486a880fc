/* SPDX-License-Identifier: MIT */
/* Calls that we make.
 *
 * A call that cannot leave at once (the connection is not open yet, the peer's number or our output is full)
 * waits in order with its encoded metadata and arguments; its request id, its operation id and the schemas
 * are given when it leaves, because they must follow the order on the wire. */
#include "base/assert.h"
#include "base/clear.h"
#include "base/options.h"
#include "base/pool.h"
#include "rpc/driver.h"
#include "value/unit.h"
#include "wire/metadata.h"

typedef enum call_state { CALL_QUEUED, CALL_SENT, CALL_DONE } call_state;

/* What ended a call that was not answered, where its outcome and status do not tell. While it is queued: what
 * it waits for. */
typedef enum call_end {
    END_BY_CONN,   /* its connection's text says it */
    END_BY_HOST,   /* choir_cancel */
    END_UNREAD,    /* no answer in time */
    END_UNOPENED,  /* until its time was over: the connection was not open, */
    END_IN_FLIGHT, /* the peer took no more calls, */
    END_BY_OUTPUT, /* the link had earlier ones to take */
    END_BY_SIZE,   /* too large; `end` has its size, `wire_id` the limit */
    END_OTHER      /* the status says it */
} call_end;

/* What a call that waits has to send. */
typedef struct staged {
    uint8_t *flat;       /* metadata and arguments in one small piece ... */
    choiri_outq q;       /* ... or in blocks */
    size_t size;         /* of both */
    size_t metadata_len; /* bytes */
    size_t metadata_count;
} staged;

typedef struct call {
    choiri_ready node;
    choiri_dlist live; /* in its connection's list */
    choiri_dlist link; /* in the queue */
    choiri_rpc *rpc;
    const choiri_prepared_method *m;
    choiri_binding *b; /* once it was sent */
    void *user_data;
    choir_call_fn *callback;
    staged *staged; /* queued; NULL otherwise */
    uint32_t method;
    call_state state : 8;
    call_end why : 8; /* done without an answer: what ended it, */
    bool answered;    /* done by an answer: ret holds it */
    uint8_t ran;      /* done without one: CHOIR_RAN_*, */
    uint32_t outcome; /* how, */
    int status;       /* and why */
    choiri_timer timer;
    /* Not cleared: set before they are read. */
    choir_call_id handle;
    uint64_t wire_id;        /* sent: its request id ... */
    uint64_t end;            /* ... and where it ends in the session's output; too large: its size */
    choir_bytes ret;         /* borrowed from the payload that is being reported */
    choir_metadata metadata; /* the same */
} call;

static const choir_call_options defaults = {.size = sizeof defaults, .deadline = CHOIR_TIME_NEVER};

void choir_call_options_init_sized(choir_call_options *o, size_t size) {
    choiri_options_give(o, size, &defaults, sizeof defaults);
}

static choir_session *session_of(const choiri_rpc *r) {
    return r->hot.session;
}
static const choiri_profile *profile_of(const choiri_rpc *r) {
    return r->hot.conn->profile;
}
static choiri_lasting *lasting_of(const choiri_rpc *r) {
    return r->hot.conn->lasting;
}

void choiri_calls_init(choiri_rpc *r) {
    choiri_idmap_init(&r->calls.ids, session_of(r)->env, session_of(r)->seed);
    choiri_dlist_init(&r->calls.live);
    choiri_dlist_init(&r->calls.queue);
}

/* ---- life of a call ---- */

static CHOIRI_NOINLINE void free_staged(call *k) {
    choir_env *env = session_of(k->rpc)->env;
    staged *g = k->staged;
    if (g->flat) choiri_obj_free(env, g->flat, g->size);
    choiri_outq_deinit(&g->q);
    choiri_obj_free(env, g, sizeof *g);
    k->staged = NULL;
}

static void leave_queue(call *k) {
    choiri_dlist_remove(&k->link);
    k->rpc->calls.queued--;
    k->rpc->calls.queued_bytes -= k->staged->size;
}

static call *new_call(choiri_rpc *r, uint32_t method, const choiri_prepared_method *m,
                      const choir_call_options *o) {
    choir_session *s = session_of(r);
    call *k = choiri_obj_alloc(s->env, sizeof *k);
    if (!k) return NULL;
    choiri_clear(k, offsetof(call, timer));
    k->node.kind = CHOIRI_READY_CALL;
    k->rpc = r;
    k->method = method;
    k->m = m;
    k->user_data = o->user_data;
    k->callback = o->callback;
    choiri_timer_init(&k->timer, CHOIRI_TIMER_CALL);
    choiri_dlist_init(&k->link);
    if (choiri_table_insert(&s->calls, k, &k->handle.v) != CHOIR_OK) {
        choiri_obj_free(s->env, k, sizeof *k);
        return NULL;
    }
    choiri_dlist_append(&r->calls.live, &k->live);
    r->hot.unreported++;
    return k;
}

static void free_call(call *k) {
    choiri_rpc *r = k->rpc;
    choir_session *s = session_of(r);
    choiri_timers_cancel(&s->timers, &k->timer);
    if (k->handle.v != 0) choiri_table_remove(&s->calls, k->handle.v);
    choiri_dlist_unlink(&k->live);
    if (k->staged) free_staged(k);
    choiri_obj_free(s->env, k, sizeof *k);
    if (--r->hot.unreported == 0) choiri_conn_cool(s, &r->hot);
}

static CHOIRI_INLINE void end_call(call *k, uint32_t outcome, int status) {
    choir_session *s = session_of(k->rpc);
    k->state = CALL_DONE;
    k->outcome = outcome;
    k->status = status;
    choiri_timers_cancel(&s->timers, &k->timer);
    choiri_ready_add(s, &k->node, 1);
}

/* The way into `done` without an answer: queues the terminal event. */
static void finish(call *k, uint32_t outcome, int status, call_end why) {
    choiri_rpc *r = k->rpc;
    choir_session *s = session_of(r);
    CHOIRI_ASSERT(k->state != CALL_DONE);
    k->why = why;
    k->ran = k->state == CALL_SENT && outcome != CHOIR_OUTCOME_SEND_FAILED ? CHOIR_RAN_MAYBE : CHOIR_RAN_NO;
    if (k->state == CALL_QUEUED) {
        leave_queue(k);
        free_staged(k);
    } else {
        r->calls.in_flight--;
        choiri_session_end_work(s);
    }
    end_call(k, outcome, status);
}

void choiri_calls_deinit(choiri_rpc *r) {
    while (!choiri_dlist_is_empty(&r->calls.live)) {
        call *k = CHOIRI_CONTAINER(r->calls.live.next, call, live);
        if (k->state == CALL_SENT) choiri_session_end_work(session_of(r));
        choiri_dlist_remove(&k->link);
        free_call(k);
    }
    choiri_idmap_deinit(&r->calls.ids);
}

/* Of a call that was sent. A connection's queue is emptied when its link is lost; when it is closed in order,
 * what lies there still leaves. */
static bool has_left(const call *k) {
    const choiri_egress *e = &k->rpc->hot.egress;
    return k->end == CHOIRI_EGRESS_QUEUED ? !choiri_egress_is_empty(e)
                                          : choiri_egress_has_left(session_of(k->rpc), k->end);
}

void choiri_calls_ended(choiri_rpc *r, int status) {
    uint32_t sent =
        status == CHOIR_ERR_SHUTDOWN ? CHOIR_OUTCOME_SESSION_SHUTDOWN : CHOIR_OUTCOME_CONNECTION_CLOSED;
    r->calls.want_writable = false;
    for (choiri_dlist *n = r->calls.live.next; n != &r->calls.live; n = n->next) {
        call *k = CHOIRI_CONTAINER(n, call, live);
        if (k->state == CALL_DONE) continue;
        bool left = k->state == CALL_SENT && has_left(k);
        if (k->state == CALL_SENT) choiri_idmap_remove(&r->calls.ids, k->wire_id);
        finish(k, left ? sent : CHOIR_OUTCOME_SEND_FAILED, status, END_BY_CONN);
    }
}

/* Request ids are given out one after the other as calls are sent, so those that are queued have the newest.
 * The call may be gone, when it was given up. */
void choiri_calls_moved(choiri_hot *hot, uint32_t younger, uint64_t end) {
    choiri_rpc *r = choiri_rpc_of(hot);
    call *k = choiri_idmap_get(&r->calls.ids, lasting_of(r)->next_id - 2 - 2 * (uint64_t)younger);
    if (k) k->end = end;
}

/* ---- sending ---- */

static void count_sent(call *k) {
    choiri_lasting *l = lasting_of(k->rpc);
    k->state = CALL_SENT;
    k->wire_id = l->next_id;
    l->next_id += 2;
    l->next_operation++;
    k->rpc->calls.in_flight++;
    choiri_session_begin_work(session_of(k->rpc));
}

/* What stands in front of and behind the arguments is the same for a direct and for a queued call. The map
 * entry is made first because taking it back cannot fail. */
static CHOIRI_INLINE int begin_send(call *k, choiri_sending *m, choir_chunk *chunk,
                                    const choir_metadata_entry *entries, size_t count,
                                    choiri_hole *ret_args) {
    choiri_rpc *r = k->rpc;
    choir_session *s = session_of(r);
    choiri_lasting *l = lasting_of(r);
    if (l->next_id > UINT64_MAX - 2) return CHOIR_ERR_ID_EXHAUSTED;
    choiri_binding *b = choiri_binding_get(s, r->hot.conn, true, k->method);
    if (!b) return CHOIR_ERR_NO_MEMORY;
    k->b = b;
    if (!choiri_egress_begin(s, &r->hot, m, chunk)) return CHOIR_ERR_CLOSED;
    int status = choiri_idmap_put(&r->calls.ids, l->next_id, k);
    if (status != CHOIR_OK) {
        choiri_writer_fail(&m->writer, status);
        return choiri_egress_end(m, CHOIRI_FRAME_CALL, NULL, s->now);
    }
    *ret_args = choiri_codec_begin_call(s->codec, &m->writer, r->hot.conn->wire_id, l->next_id, k->m->id,
                                        entries, count, s->peer.retry ? l->next_operation : 0,
                                        choiri_types_will_announce(s, b));
    return CHOIR_OK;
}

static CHOIRI_INLINE int end_send(call *k, choiri_sending *m, choiri_hole args, choir_time now) {
    choiri_rpc *r = k->rpc;
    choir_session *s = session_of(r);
    choiri_lasting *l = lasting_of(r);
    const choiri_schema_set *a = &k->m->args;
    choiri_codec_fill_hole(s->codec, &m->writer, args);
    int status = choiri_types_announce(s, l, k->b, a, &m->writer);
    if (status != CHOIR_OK) choiri_writer_fail(&m->writer, status);
    status = choiri_egress_end(m, CHOIRI_FRAME_CALL, NULL, now);
    if (status != CHOIR_OK) {
        k->end = m->end;
        k->wire_id = choiri_egress_max(s);
        choiri_idmap_remove(&r->calls.ids, l->next_id);
        return status;
    }
    choiri_types_announced(s, l, k->b, a);
    count_sent(k);
    k->end = m->end;
    return CHOIR_OK;
}

static CHOIRI_INLINE void write_args(const call *k, choiri_writer *w, const void *args,
                                     const choir_call_options *o) {
    if (CHOIRI_UNLIKELY(o->encoded_args.data != NULL))
        choiri_write_span(w, o->encoded_args.data, o->encoded_args.len);
    else
        choiri_codec_write_value(session_of(k->rpc)->codec, w, profile_of(k->rpc)->call->unit,
                                 k->m->desc->args, args);
}

static int send_now(call *k, const void *args, const choir_call_options *o, choir_time now) {
    choiri_sending m;
    choiri_hole hole;
    int status = begin_send(k, &m, o->chunk, o->metadata, o->metadata_len, &hole);
    if (status != CHOIR_OK) return status;
    write_args(k, &m.writer, args, o);
    return end_send(k, &m, hole, now);
}

/* Would a call be taken now, and would it leave at once? */
static bool queue_has_room(const choiri_rpc *r) {
    const choiri_limits *l = &profile_of(r)->limits;
    return r->calls.queued < l->max_queued_calls && r->calls.queued_bytes < l->max_queued_call_bytes;
}
static bool queue_has_room_for(const choiri_rpc *r, uint64_t bytes) {
    return queue_has_room(r) &&
           (r->calls.queued == 0 ||
            bytes <= profile_of(r)->limits.max_queued_call_bytes - r->calls.queued_bytes);
}
/* Remembers that somebody waits for room, the smallest call first. */
static int blocked(choiri_rpc *r, uint64_t bytes) {
    if (!r->calls.want_writable || bytes < r->calls.want_bytes) r->calls.want_bytes = bytes;
    r->calls.want_writable = true;
    choiri_session_note(session_of(r), NULL); /* the status says it all, and an older text would mislead */
    return CHOIR_ERR_BLOCKED;
}

static bool is_overdue(const call *k, choir_time now) {
    return k->timer.deadline <= now;
}

/* What a call that is queued waits for; when that is over, what it waited for before. */
static call_end waits_for(const call *k) {
    const choiri_rpc *r = k->rpc;
    if (choiri_conn_get_state(r->hot.conn) != CHOIRI_CONN_OPEN ||
        session_of(r)->state != CHOIRI_SESSION_ESTABLISHED)
        return END_UNOPENED;
    return r->calls.in_flight >= profile_of(r)->limits.max_calls ? END_IN_FLIGHT : k->why;
}

/* Encodes metadata and arguments for later. */
static CHOIRI_NOINLINE int stage(call *k, const void *args, const choir_call_options *o) {
    choiri_rpc *r = k->rpc;
    choir_session *s = session_of(r);
    choiri_writer w;
    staged *g = k->staged = choiri_obj_alloc(s->env, sizeof *g);
    if (!g) return CHOIR_ERR_NO_MEMORY;
    *g = (staged){.metadata_count = o->metadata_len};
    choiri_outq_init(&g->q, s->env);
    choiri_writer_init(&w, &g->q, o->chunk);
    choiri_write_entries(&w, o->metadata, o->metadata_len);
    g->metadata_len = (size_t)choiri_writer_offset(&w);
    write_args(k, &w, args, o);
    int status = choiri_writer_finish(&w);
    g->size = (size_t)g->q.bytes;
    if (status != CHOIR_OK) return status;
    if (!queue_has_room_for(r, g->size)) return blocked(r, g->size);
    /* Metadata is walked as one span when the call leaves, so it is packed with the rest. */
    if (g->size > 0 && (g->size <= CHOIRI_SPLICE_MIN || o->metadata_len > 0)) {
        g->flat = choiri_obj_alloc(s->env, g->size);
        if (!g->flat) return CHOIR_ERR_NO_MEMORY;
        choiri_outq_copy(&g->q, 0, g->flat, g->size);
        choiri_outq_deinit(&g->q);
    }
    choiri_dlist_append(&r->calls.queue, &k->link);
    r->calls.queued++;
    r->calls.queued_bytes += g->size;
    k->why = END_BY_OUTPUT;
    k->why = waits_for(k);
    return CHOIR_OK;
}

static CHOIRI_NOINLINE int send_staged(call *k, choir_time now) {
    choiri_sending m;
    choiri_hole hole;
    choir_metadata_entry entries[CHOIRI_REQUEST_ENTRIES];
    staged *g = k->staged;
    choir_metadata list = {{g->flat, g->metadata_len}, g->metadata_count};
    size_t count = 0;
    while (count < CHOIRI_REQUEST_ENTRIES && choir_metadata_next(&list, &entries[count])) count++;
    int status = begin_send(k, &m, NULL, entries, count, &hole);
    if (status != CHOIR_OK) return status;
    if (g->flat)
        choiri_write_raw(&m.writer, g->flat + g->metadata_len, g->size - g->metadata_len);
    else
        choiri_write_queue(&m.writer, &g->q);
    return end_send(k, &m, hole, now); /* state is `sent` on success */
}

static bool may_send(const choiri_rpc *r) {
    const choiri_limits *l = &profile_of(r)->limits;
    return r->calls.in_flight < l->max_calls && r->hot.egress.calls < l->max_output &&
           choiri_conn_get_state(r->hot.conn) == CHOIRI_CONN_OPEN &&
           session_of(r)->state == CHOIRI_SESSION_ESTABLISHED;
}

static bool may_send_next(const choiri_rpc *r) {
    return choiri_dlist_is_empty(&r->calls.queue) && may_send(r);
}

/* Sends what waits, as far as it may. */
CHOIRI_NOINLINE void choiri_calls_pump(choiri_rpc *r, choir_time now) {
    choir_session *s = session_of(r);
    while (!choiri_dlist_is_empty(&r->calls.queue) && may_send(r)) {
        call *k = CHOIRI_CONTAINER(r->calls.queue.next, call, link);
        if (is_overdue(k, now)) { /* whoever made it does not wait any more: it must not run for nothing */
            finish(k, CHOIR_OUTCOME_SEND_FAILED, CHOIR_ERR_TIMED_OUT, k->why);
            continue;
        }
        size_t size = k->staged->size;
        int status = send_staged(k, now);
        if (status == CHOIR_OK) {
            choiri_dlist_remove(&k->link);
            r->calls.queued--;
            r->calls.queued_bytes -= size;
            free_staged(k);
        } else {
            finish(k, CHOIR_OUTCOME_SEND_FAILED, status,
                   status == CHOIR_ERR_TOO_LARGE ? END_BY_SIZE : END_OTHER);
        }
    }
    if (r->calls.want_writable && s->state == CHOIRI_SESSION_ESTABLISHED &&
        (queue_has_room_for(r, r->calls.want_bytes) || may_send_next(r))) {
        r->calls.want_writable = false;
        choiri_ready_add(s, &r->hot.conn->node, CHOIRI_CONN_WRITABLE);
        choiri_session_wake(s);
    }
}

/* Those of this version's size, as nearly all are, are used where they lie; others are copied. NULL: they are
 * not valid. */
static const choir_call_options *check_options(const choir_call_options *in, const void *args,
                                               choir_call_options *copy) {
    if (!in) return &defaults;
    if (in->size != sizeof *in) {
        *copy = defaults;
        if (choiri_options_copy(copy, sizeof *copy, in) != CHOIR_OK) return NULL;
        in = copy;
    }
    if (in->metadata_len > CHOIRI_REQUEST_ENTRIES || (in->metadata_len > 0 && !in->metadata) ||
        (in->encoded_args.data && args))
        return NULL;
    return in;
}

static int start(call *k, const void *args, const choir_call_options *o, bool now_or_later, choir_time now) {
    choir_session *s = session_of(k->rpc);
    bool timed = s->wake && o->deadline != CHOIR_TIME_NEVER;
    choir_time before = timed ? choir_session_deadline(s) : 0;
    if (o->deadline != CHOIR_TIME_NEVER) {
        choiri_timers_arm(&s->timers, &k->timer, o->deadline);
        now_or_later = now_or_later && o->deadline > now; /* one that is overdue never leaves */
    }
    int status = now_or_later ? send_now(k, args, o, now) : stage(k, args, o);
    /* The first call of a session that had nothing to do shortens its patience with a silent peer. */
    if (status == CHOIR_OK && (s->busy == 1 || (timed && choir_session_deadline(s) < before)))
        choiri_session_wake(s);
    return status;
}

static CHOIRI_COLD int no_method(choir_session *s, const choiri_prepared *service, uint32_t method) {
    choiri_text text;
    if (!service)
        return choiri_wrong_note(s, CHOIR_ERR_INVALID, "the connection calls no service (its option `call`)");
    choiri_text_init(&text);
    choiri_text_u64(choiri_text_add(&text, "method number "), method);
    choiri_text_str(choiri_text_add(&text, " of "), choir_service_name(service->desc));
    choiri_text_u64(choiri_text_add(&text, ", which has "), service->methods_len);
    choiri_session_note(s, &text);
    return CHOIR_ERR_INVALID;
}

/* One that was tried and could not be made. */
static CHOIRI_COLD int unsent(call *k, const void *args, const choir_call_options *o, int status) {
    const choiri_unsent u = {.service = profile_of(k->rpc)->call,
                             .method = k->method,
                             .type = k->m->desc->args,
                             .value = args,
                             .has_value = !o->encoded_args.data,
                             .size = k->end};
    choiri_unsent_note(session_of(k->rpc), &u, status);
    free_call(k);
    return status;
}

int choir_call(choir_session *s, choir_conn_id conn, uint32_t method, const void *args,
               const choir_call_options *options, choir_call_id *ret_call, choir_time now) {
    choir_call_options copy;
    const choir_call_options *o = check_options(options, args, &copy);
    if (!s) return CHOIR_ERR_INVALID;
    if (!o) return choiri_wrong_note(s, CHOIR_ERR_INVALID, "the options of the call are not valid");
    choiri_conn *c = choiri_conn_find(s, conn);
    if (!c) return choiri_wrong_note(s, CHOIR_ERR_NOT_FOUND, "the connection has ended");
    if (s->state == CHOIRI_SESSION_CLOSING || s->state == CHOIRI_SESSION_ENDED ||
        choiri_conn_get_state(c) == CHOIRI_CONN_CLOSED)
        return choiri_wrong_note(s, CHOIR_ERR_CLOSED, "the session is closing");
    const choiri_prepared *service = c->profile ? c->profile->call : NULL;
    if (!service || method >= service->methods_len) return no_method(s, service, method);
    const choiri_prepared_method *m = &service->methods[method];
    if (m->has_channels)
        return choiri_wrong_note(s, CHOIR_ERR_UNSUPPORTED, "methods with channels cannot be called yet");
    now = choiri_session_time(s, now);
    choiri_rpc *r = choiri_rpc_heat(s, c);
    if (!r || !choiri_lasting_get(s, c)) return choiri_unsaid(s, CHOIR_ERR_NO_MEMORY);
    bool direct = may_send_next(r);
    if (!direct && !queue_has_room(r)) return blocked(r, 0);
    call *k = new_call(r, method, m, o);
    if (!k) return choiri_unsaid(s, CHOIR_ERR_NO_MEMORY);
    int status = start(k, args, o, direct, now);
    if (CHOIRI_UNLIKELY(status != CHOIR_OK)) return unsent(k, args, o, status);
    if (ret_call) *ret_call = k->handle;
    return CHOIR_OK;
}

/* ---- ends ---- */

/* The answer to a call that was given up may carry the only announcement of its method's response, so its id
 * is remembered while none was seen. Only the newest few: one that falls out costs the check of the layout,
 * nothing else. */
static void remember_late(choiri_lasting *l, const call *k) {
    if (k->b->peer != CHOIRI_BOUND_NO) return;
    l->late_ids[l->late_next % CHOIRI_LATE_IDS] = k->wire_id;
    l->late_methods[l->late_next++ % CHOIRI_LATE_IDS] = k->method;
}

static uint32_t late_method(const choiri_lasting *l, uint64_t wire_id) {
    for (uint32_t i = 0; i < CHOIRI_LATE_IDS; i++)
        if (l->late_ids[i] == wire_id) return l->late_methods[i];
    return CHOIR_METHOD_NONE;
}

static bool send_cancel(const call *k, const choir_metadata_entry *entries, size_t count, choir_time now) {
    choiri_hot *hot = &k->rpc->hot;
    choiri_sending m;
    if (!choiri_egress_begin(hot->session, hot, &m, NULL)) return false;
    hot->session->codec->encode(&m.writer,
                                &(choiri_message){.conn = hot->conn->wire_id,
                                                  .kind = CHOIRI_MSG_REQUEST,
                                                  .body = CHOIRI_BODY_CANCEL,
                                                  .id = k->wire_id},
                                entries, count);
    return choiri_egress_end(&m, CHOIRI_FRAME_OTHER, NULL, now) == CHOIR_OK;
}

/* Gives a call up: the peer is told if it has it. Its answers may still come, and twice: Rust callees answer
 * a cancelled call two times (rule: rpc.cancel-twice). */
static void give_up(call *k, uint32_t outcome, int status, call_end why, const choir_metadata_entry *entries,
                    size_t count, choir_time now) {
    choiri_rpc *r = k->rpc;
    if (k->state == CALL_SENT) {
        choiri_idmap_remove(&r->calls.ids, k->wire_id);
        /* A reason that cannot be said is left out; without memory the peer just works in vain. */
        if (!send_cancel(k, entries, count, now) && count > 0) (void)send_cancel(k, NULL, 0, now);
        lasting_of(r)->late += 2;
        remember_late(lasting_of(r), k);
    }
    finish(k, outcome, status, why);
    choiri_calls_pump(r, now);
}

int choir_cancel(choir_session *s, choir_call_id id, const choir_reason *reason, choir_time now) {
    choir_metadata_entry entries[CHOIRI_REQUEST_ENTRIES];
    size_t count;
    if (!s || choiri_reason_entries(reason, entries, &count) != CHOIR_OK) return CHOIR_ERR_INVALID;
    call *k = choiri_table_get(&s->calls, id.v);
    if (!k || k->state == CALL_DONE) return CHOIR_ERR_NOT_FOUND;
    give_up(k, CHOIR_OUTCOME_CANCELLED, CHOIR_ERR_CANCELLED, END_BY_HOST, entries, count,
            choiri_session_time(s, now));
    choiri_session_wake(s);
    return CHOIR_OK;
}

void choiri_calls_expired(choiri_timer *timer, choir_time now) {
    call *k = CHOIRI_CONTAINER(timer, call, timer);
    if (k->state == CALL_QUEUED)
        give_up(k, CHOIR_OUTCOME_SEND_FAILED, CHOIR_ERR_TIMED_OUT, waits_for(k), NULL, 0, now);
    else if (k->state == CALL_SENT)
        give_up(k, CHOIR_OUTCOME_TIMED_OUT, CHOIR_ERR_TIMED_OUT, END_UNREAD, NULL, 0, now);
}

/* rule: rpc.response. An answer nobody waits for is honest when we gave the call up, odd otherwise, and
 * impossible for an id that was never given out. */
static bool is_late(choir_session *s, choiri_conn *c, const choiri_message *msg, choir_time now) {
    choiri_lasting *l = c->lasting;
    if (!choiri_conn_is_ours(c, msg->id) || !l || msg->id >= l->next_id || msg->id == 0) {
        choiri_conn_protocol_error(s, c, "answer to a call that was never made: ", msg->id, now);
        return false;
    }
    if (l->late > 0) {
        l->late--;
        return true;
    }
    choiri_hot *hot = choiri_conn_heat(s, c);
    if (hot) return choiri_conn_glitch(hot, now);
    choiri_conn_fail(s, c, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
    return false;
}

static CHOIRI_INLINE void take_answer(call *k, const choiri_message *msg) {
    k->answered = true;
    k->ret = msg->payload;
    k->metadata = msg->metadata;
    CHOIRI_ASSERT(k->state == CALL_SENT);
    k->rpc->calls.in_flight--;
    choiri_session_end_work(session_of(k->rpc));
    end_call(k, CHOIR_OUTCOME_OK, CHOIR_OK);
}

/* One that nobody waits for, or that brings schemas. When taking those fails, the connection has; the call
 * was out of the map and ended with the others. */
static CHOIRI_NOINLINE void take_odd_answer(choir_session *s, choiri_conn *c, call *k,
                                            const choiri_message *msg, choir_time now) {
    if (!k && c->hot) k = choiri_idmap_remove(&choiri_rpc_peek(c)->calls.ids, msg->id);
    if (!k && !is_late(s, c, msg, now)) return;
    if (msg->schemas.len > 0) {
        uint32_t method = k ? k->method : late_method(c->lasting, msg->id);
        if (!choiri_types_bind(s, c, method, true, msg->schemas, now)) return;
    }
    if (!k) return;
    take_answer(k, msg);
    choiri_calls_pump(k->rpc, now);
}

CHOIRI_NOINLINE void choiri_calls_response(choir_session *s, choiri_conn *c, const choiri_message *msg,
                                           const choiri_frame *frame, choir_time now) {
    choiri_rpc *r = choiri_rpc_peek(c);
    call *k = r ? choiri_idmap_remove_quick(&r->calls.ids, msg->id) : NULL;
    (void)frame;
    if (CHOIRI_UNLIKELY(!k || msg->schemas.len > 0)) {
        take_odd_answer(s, c, k, msg, now);
        return;
    }
    take_answer(k, msg);
    if (!choiri_dlist_is_empty(&r->calls.queue) || r->calls.want_writable) choiri_calls_pump(r, now);
}

/* ---- reporting ---- */

/* A text of the event that is being reported; without memory there is none. */
static choir_str keep_text(choir_session *s, const choiri_text *text) {
    char *copy = choiri_arena_alloc(&s->scratch, text->len + 1, 1);
    return copy ? (choir_str){memcpy(copy, text->data, text->len + 1), text->len} : (choir_str){"", 0};
}

/* What ended a call that was not answered. */
static CHOIRI_NOINLINE void explain_end(const call *k, choir_event *event) {
    choir_session *s = session_of(k->rpc);
    choiri_text text;
    choiri_text_init(&text);
    event->ran = k->ran;
    switch (k->why) {
    case END_BY_CONN:
        /* A session that closes may end for another reason later, which is not the call's. */
        if (k->status == choiri_conn_status(s, k->rpc->hot.conn))
            event->text = choiri_conn_text(s, k->rpc->hot.conn);
        return;
    case END_BY_HOST: event->text = CHOIR_STR("cancelled by the caller"); return;
    case END_UNREAD: event->text = CHOIR_STR("no answer before the deadline"); return;
    case END_UNOPENED:
        choiri_text_add(&text, "there was no session before the deadline");
        if (s->link_text.len > 0) choiri_text_str(choiri_text_add(&text, "; the last link: "), s->link_text);
        break;
    case END_BY_OUTPUT:
        event->text = CHOIR_STR("waited until the deadline for the link to take what was sent before");
        return;
    case END_IN_FLIGHT:
        choiri_text_add(&text, "waited until the deadline for one of the ");
        choiri_text_add(choiri_text_u64(&text, profile_of(k->rpc)->limits.max_calls),
                        " calls that the peer takes at a time");
        break;
    case END_BY_SIZE: choiri_sizes_text(&text, k->end, k->wire_id); break;
    case END_OTHER: return;
    }
    event->text = keep_text(s, &text);
}

/* The peer's handler ran, whatever we made of its answer: the status tells this from the peer's own
 * InvalidPayload. */
static CHOIRI_NOINLINE bool answer_is_bad(const call *k, choir_event *event, const choiri_text *why) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_method_text(profile_of(k->rpc)->call, k->method, &text);
    choiri_text_str(choiri_text_add(&text, " answer: "), choiri_text_get(why));
    event->outcome = CHOIR_OUTCOME_INVALID_PAYLOAD;
    if (event->status == CHOIR_OK) event->status = CHOIR_ERR_MALFORMED;
    event->text = keep_text(session_of(k->rpc), &text);
    return false;
}

/* Whose value an answer has: the descriptor's types, or those that the peer announced. NULL when there are
 * none, which the text then says. */
static CHOIRI_INLINE const choir_type *find_type(const call *k, const choiri_binding *b, uint32_t which,
                                                 choir_event *event, choiri_text *why) {
    const choiri_prepared_method *m = k->m;
    if (m->ok_type) {
        event->unit = profile_of(k->rpc)->call->unit;
        event->type = which == CHOIRI_PLAN_OK ? m->desc->ok : m->desc->err;
        return which == CHOIRI_PLAN_OK ? m->ok_type : m->err_type;
    }
    if (!b->types) {
        choiri_text_add(why, "the peer has not announced its type");
        return NULL;
    }
    event->unit = b->types->unit;
    event->type = which == CHOIRI_PLAN_OK ? b->types->ok : b->types->err;
    return choiri_unit_type(event->unit, event->type);
}

/* Room for the value, and what decoding it may take. The size of a type of the peer's is not to be
 * trusted. */
static CHOIRI_INLINE void *new_value(choir_session *s, const choiri_binding *b, const choir_type *t,
                                     size_t payload) {
    size_t limit = choiri_value_arena_limit(payload);
    if (!b->types) limit += t->size + t->align;
    if (payload > CHOIRI_DECODE_SMALL) choiri_session_cap(s, &limit);
    s->scratch.limit = limit;
    return choiri_arena_alloc(&s->scratch, t->size, t->align);
}

static CHOIRI_INLINE bool is_read(const call *k, const choiri_binding *b, uint32_t which, choiri_reader *r,
                                  choir_event *event, choiri_text *why) {
    choir_session *s = session_of(k->rpc);
    const choir_type *t = find_type(k, b, which, event, why);
    if (!t) return false;
    event->payload = (choir_bytes){r->pos, choiri_reader_left(r)};
    void *value = new_value(s, b, t, event->payload.len);
    if (!value) {
        event->status = CHOIR_ERR_NO_MEMORY;
        choiri_text_add(why, "no memory");
        return false;
    }
    event->status = choiri_codec_read_value(s->codec, r, b->plan, which, event->unit, event->type,
                                            &s->scratch, value, why);
    if (event->status != CHOIR_OK) return false;
    /* With our own type, bytes behind the value may be what a newer peer added. */
    if (b->types && choiri_reader_left(r) > 0) {
        choiri_text_u64(why, choiri_reader_left(r));
        choiri_text_add(why, " bytes are left behind a value of the announced type");
        return false;
    }
    event->value = value;
    return true;
}

static CHOIRI_INLINE bool decode_value(const call *k, uint32_t which, choiri_reader *r, choir_event *event) {
    const choiri_binding *b = k->b;
    choiri_text why;
    choiri_text_init(&why);
    if (b->peer == CHOIRI_BOUND_BAD) { /* the text names the method already */
        event->outcome = CHOIR_OUTCOME_INVALID_PAYLOAD;
        event->status = CHOIR_ERR_LAYOUT;
        event->text = b->text.data ? b->text : (choir_str){"", 0};
        return false;
    }
    if (is_read(k, b, which, r, event, &why)) return true;
    event->unit = NULL;
    event->type = 0;
    return answer_is_bad(k, event, &why);
}

/* What an answer without a value says about that. */
static CHOIRI_COLD uint32_t ran_by_outcome(uint32_t outcome) {
    bool never = outcome == CHOIR_OUTCOME_UNKNOWN_METHOD || outcome == CHOIR_OUTCOME_INVALID_PAYLOAD ||
                 outcome == CHOIR_OUTCOME_SEND_FAILED;
    return never ? CHOIR_RAN_NO : CHOIR_RAN_MAYBE;
}

/* One that cannot be read tells nothing. */
static CHOIRI_COLD void result_is_bad(const call *k, choir_event *event, const char *bad) {
    choiri_text why;
    choiri_text_init(&why);
    choiri_text_add(&why, bad);
    answer_is_bad(k, event, &why);
    event->ran = CHOIR_RAN_MAYBE;
}

/* rule: rpc.vox-error */
static CHOIRI_INLINE void decode_answer(const call *k, choir_event *event) {
    choiri_reader r = choiri_reader_of(k->ret);
    const char *bad;
    if (k->m->desc->flags & CHOIR_METHOD_RAW) {
        event->payload = k->ret;
        event->ran = CHOIR_RAN_MAYBE; /* the bytes say it */
    } else if (!choiri_codec_read_result(session_of(k->rpc)->codec, &r, &event->outcome, &event->text,
                                         &bad)) {
        result_is_bad(k, event, bad);
    } else if (event->outcome <= CHOIR_OUTCOME_USER_ERROR) {
        event->ran = CHOIR_RAN_YES;
        decode_value(k, event->outcome == CHOIR_OUTCOME_OK ? CHOIRI_PLAN_OK : CHOIRI_PLAN_ERR, &r, event);
    } else {
        event->ran = ran_by_outcome(event->outcome);
    }
}

CHOIRI_NOINLINE bool choiri_call_report(choir_session *s, choiri_ready *node, choir_event *event) {
    call *k = CHOIRI_CONTAINER(node, call, node);
    node->bits = 0;
    s->retired = node;
    event->kind = CHOIR_EVENT_CALL_DONE;
    event->conn = choiri_conn_handle(k->rpc->hot.conn);
    event->call = k->handle;
    event->user_data = k->user_data;
    event->callback = k->callback;
    event->service = profile_of(k->rpc)->call->desc;
    event->method = k->method;
    event->method_id = k->m->id;
    event->outcome = k->outcome;
    event->status = k->status;
    choiri_table_remove(&s->calls, k->handle.v); /* the host is told: it is nobody's any more */
    k->handle.v = 0;
    if (!k->answered) {
        explain_end(k, event);
        return true;
    }
    event->metadata = k->metadata;
    decode_answer(k, event);
    if (event->outcome > CHOIR_OUTCOME_USER_ERROR && event->text.len == 0) choiri_reason_read(event);
    return true;
}

void choiri_call_retire(choiri_ready *node) {
    free_call(CHOIRI_CONTAINER(node, call, node));
}
