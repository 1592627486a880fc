/* SPDX-License-Identifier: MIT */
/* The session: life, states, ready list.
 *
 * States change in set_state only, along the edges of is_legal. Ending queues every terminal event: those of
 * calls and requests first, then each connection's, then the session's own. A node that was in the ready list
 * before, to say something else, waits there for what must come before it (report_closed,
 * choiri_conn_report).
 *
 * Nothing of the host's runs in here but wake, destroy and observers. */
#include "session/session.h"

#include "base/assert.h"
#include "base/clear.h"
#include "base/log.h"
#include "base/time.h"
#include "session/attachment.h"
#include "wire/metadata.h"
#include "wire/utf8.h"

/* Of the bytes of handshake metadata that a peer takes, these are left for the vox-service entry. */
#define SERVICE_ROOM 1024u

/* ---- states ---- */

static bool is_legal(choiri_session_state from, choiri_session_state to) {
    switch (to) {
    case CHOIRI_SESSION_NEW: return false;
    case CHOIRI_SESSION_ESTABLISHED: return from == CHOIRI_SESSION_NEW || from == CHOIRI_SESSION_DETACHED;
    case CHOIRI_SESSION_DETACHED: return from == CHOIRI_SESSION_ESTABLISHED;
    case CHOIRI_SESSION_CLOSING: return from == CHOIRI_SESSION_ESTABLISHED;
    case CHOIRI_SESSION_ENDED: return from != CHOIRI_SESSION_ENDED;
    }
    return false;
}

static void set_state(choir_session *s, choiri_session_state to) {
    CHOIRI_ASSERT(is_legal(s->state, to));
    s->state = to;
}

/* ---- life ---- */

/* The host's metadata is kept as postcard until the last handshake was written. */
static int copy_metadata(choir_session *s, const choir_metadata_entry *entries, size_t count) {
    if (count == 0) return CHOIR_OK;
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, s->env);
    choiri_writer_init(&w, &q, NULL);
    choiri_write_metadata(&w, entries, count);
    int status = choiri_writer_finish(&w);
    size_t size = (size_t)q.bytes;
    if (status == CHOIR_OK && size > CHOIRI_HANDSHAKE_METADATA - SERVICE_ROOM) status = CHOIR_ERR_INVALID;
    if (status == CHOIR_OK && !(s->metadata_copy = choiri_alloc(s->env, size))) status = CHOIR_ERR_NO_MEMORY;
    if (status == CHOIR_OK) {
        s->metadata_size = size;
        choiri_outq_copy(&q, 0, s->metadata_copy, size);
        choiri_reader r = choiri_reader_of((choir_bytes){s->metadata_copy, size});
        bool ok = choiri_read_metadata(&r, &s->metadata);
        CHOIRI_ASSERT(ok);
    }
    choiri_outq_deinit(&q);
    return status;
}

/* One draw for all that is keyed or starts at random. */
static int draw(choir_session *s) {
    struct {
        uint64_t seed[2];
        uint32_t generations[3];
    } random;
    int status = choiri_random(s->env, &random, sizeof random);
    if (status != CHOIR_OK) return status;
    s->seed[0] = random.seed[0];
    s->seed[1] = random.seed[1];
    s->conns.first_generation = random.generations[0] | 1;
    choiri_table_init(&s->calls, s->env, random.generations[1]);
    choiri_table_init(&s->requests, s->env, random.generations[2]);
    return CHOIR_OK;
}

int choiri_session_make(choir_env *env, const choir_session_options *o, const choiri_conn_init *root,
                        const choiri_upper *upper, bool initiator, const choiri_codec *codec,
                        choir_session **ret_session, choir_time now) {
    choir_session *s = choiri_alloc(env, sizeof *s); /* long-lived: not rounded up to a pool class */
    if (!s) return CHOIR_ERR_NO_MEMORY;
    memset(s, 0, sizeof *s);
    s->env = env;
    s->upper = upper;
    s->codec = codec;
    s->initiator = initiator;
    s->event.size = sizeof s->event;
    s->parity = root->parity;
    s->quota = o->memory_quota;
    s->now = now;
    s->busy_since = CHOIR_TIME_NEVER;
    s->keepalive.idle = o->keepalive_idle;
    s->keepalive.busy = o->keepalive_busy;
    s->keepalive.send = o->keepalive_send;
    s->conns.max_theirs = o->max_connections;
    s->conns.next_id = root->parity == CHOIRI_PARITY_ODD ? 1 : 2;
    s->state_node.kind = CHOIRI_READY_STATE;
    s->closed_node.kind = CHOIRI_READY_CLOSED;
    choiri_dlist_init(&s->conns.cooling);
    choiri_dlist_init(&s->ring);
    choiri_dlist_init(&s->relieved);
    choiri_arena_init(&s->scratch, env, NULL, 0, SIZE_MAX);
    choiri_arena_init(&s->inbox, env, NULL, 0, CHOIRI_DECODE_ARENA_MAX);
    choiri_conn_init_session_buckets(s, &root->like.limits);
    env->objects++;
    int status = draw(s);
    if (status == CHOIR_OK) status = copy_metadata(s, root->metadata, root->metadata_len);
    if (status == CHOIR_OK) status = choiri_conn_make_root(s, root);
    if (status != CHOIR_OK) {
        choir_session_free(s);
        return status;
    }
    s->wake = o->wake;
    s->wake_ctx = o->wake_ctx;
    s->user_data = o->user_data;
    s->destroy = o->destroy;
    *ret_session = s;
    return CHOIR_OK;
}

static void forget_greeting(choir_session *s) {
    if (s->metadata_copy) choiri_free(s->env, s->metadata_copy, s->metadata_size);
    s->metadata_copy = NULL;
    s->metadata = (choir_metadata){{NULL, 0}, 0};
}

static void end_event(choir_session *s);

void choir_session_free(choir_session *s) {
    if (!s) return;
    end_event(s);
    if (s->attachment) {
        choir_attachment *a = s->attachment;
        choiri_egress_lost(s, a);
        choiri_attachment_finish(a, CHOIR_ERR_SHUTDOWN, NULL);
        a->session = NULL;
        s->attachment = NULL;
        choir_attachment_free(a, s->now);
    }
    choiri_conn_drop_all(s);
    forget_greeting(s);
    choiri_slots_clear(s->env, &s->slots);
    CHOIRI_ASSERT(s->charged == 0);
    choiri_table_deinit(&s->calls);
    choiri_table_deinit(&s->requests);
    choiri_arena_reset(&s->scratch);
    choiri_arena_reset(&s->inbox);
    choir_chunk_release(s->last_payload);
    choiri_text_release(s->env, s->text);
    choiri_text_release(s->env, s->link_text);
    choiri_evidence_free(s->env, s->evidence);
    if (s->destroy && s->given) s->destroy(s->user_data);
    s->env->objects--;
    choiri_free(s->env, s, sizeof *s);
}

/* ---- time ---- */

void choiri_session_wake(choir_session *s) {
    if (s->wake) s->wake(s->wake_ctx, s);
}

choir_time choiri_session_time(choir_session *s, choir_time now) {
    if (now > s->now) {
        if (now - s->now > s->gap) s->gap = now - s->now;
        s->now = now;
    }
    return s->now;
}

choir_time choir_session_deadline(const choir_session *s) {
    if (!s || s->state == CHOIRI_SESSION_ENDED) return CHOIR_TIME_NEVER;
    choir_time t = choiri_timers_deadline(&s->timers);
    return s->attachment ? choiri_time_earlier(t, choiri_keepalive_deadline(s->attachment)) : t;
}

void choir_session_advance(choir_session *s, choir_time now) {
    if (!s || s->state == CHOIRI_SESSION_ENDED) return;
    now = choiri_session_time(s, now);
    choir_duration gap = s->gap;
    choiri_timer *timer;
    s->gap = 0;
    uint64_t pass = s->timers.armings;
    while ((timer = choiri_timers_pop(&s->timers, pass, now))) {
        if (timer->owner == CHOIRI_TIMER_CONN)
            choiri_conn_go_on(s, CHOIRI_CONTAINER(timer, choiri_hot, refill), now);
        else
            s->upper->expired(s, timer, now);
    }
    if (s->attachment) choiri_keepalive_advance(s->attachment, gap, now);
    choiri_conn_sweep(s);
    if (s->ready) choiri_session_wake(s);
}

/* ---- what is held ---- */

uint64_t choiri_session_held(const choir_session *s) {
    return s->charged + (s->attachment ? choiri_attachment_held(s->attachment) : 0);
}

bool choiri_session_cap(const choir_session *s, size_t *limit) {
    uint64_t held = choiri_session_held(s), left = held < s->quota ? s->quota - held : 0;
    if (left >= *limit) return false;
    *limit = (size_t)left;
    return true;
}

uint64_t choiri_session_queued(const choir_session *s) {
    uint64_t bytes = 0;
    for (const choiri_dlist *n = s->ring.next; n != &s->ring; n = n->next)
        bytes += CHOIRI_CONTAINER(n, choiri_hot, egress.turn)->egress.queue.bytes;
    return bytes;
}

/* ---- ready list ---- */

void choiri_ready_add(choir_session *s, choiri_ready *node, uint8_t bits) {
    node->bits |= bits;
    if (node->queued) return;
    node->queued = true;
    node->next = NULL;
    if (s->ready)
        s->ready_tail->next = node;
    else
        s->ready = node;
    s->ready_tail = node;
}

/* A node that has more to say keeps its turn: behind the others it could come after the session's last
 * event. */
static CHOIRI_NOINLINE void add_first(choir_session *s, choiri_ready *node) {
    if (node->bits == 0 || node->queued) return;
    node->queued = true;
    node->next = s->ready;
    if (!s->ready) s->ready_tail = node;
    s->ready = node;
}

static bool report_state(choir_session *s, choiri_ready *node, choir_event *event) {
    const choir_attachment *a = s->attachment;
    if (node->bits & (CHOIRI_REPORT_ESTABLISHED | CHOIRI_REPORT_RESUMED)) {
        bool resumed = !(node->bits & CHOIRI_REPORT_ESTABLISHED);
        node->bits &= (uint8_t) ~(resumed ? CHOIRI_REPORT_RESUMED : CHOIRI_REPORT_ESTABLISHED);
        event->kind = resumed ? CHOIR_EVENT_SESSION_RESUMED : CHOIR_EVENT_SESSION_ESTABLISHED;
        event->conn = choir_session_root(s);
        event->evidence = choiri_session_evidence(s);
        if (a && a->hello) event->metadata = a->hello->metadata;
        s->retired = node; /* lets go of the Hello */
        return true;
    }
    if (node->bits & CHOIRI_REPORT_PONG) {
        node->bits &= (uint8_t)~CHOIRI_REPORT_PONG;
        event->kind = CHOIR_EVENT_SESSION_PONG;
        return true;
    }
    node->bits &= (uint8_t)~CHOIRI_REPORT_DETACHED;
    event->kind = CHOIR_EVENT_SESSION_DETACHED;
    event->status = s->link_status;
    event->text = s->link_text;
    return true;
}

static bool report_closed(choir_session *s, choiri_ready *node, choir_event *event) {
    if (s->conns.live > 0) { /* they were queued behind it */
        choiri_ready_add(s, node, node->bits);
        return false;
    }
    node->bits = 0;
    event->kind = CHOIR_EVENT_SESSION_CLOSED;
    event->status = s->status;
    event->text = choir_session_text(s);
    return true;
}

static CHOIRI_NOINLINE bool report_own(choir_session *s, choiri_ready *node, choir_event *event) {
    event->method = CHOIR_METHOD_NONE;
    switch (node->kind) {
    case CHOIRI_READY_STATE: return report_state(s, node, event);
    case CHOIRI_READY_CLOSED: return report_closed(s, node, event);
    default: return choiri_conn_report(s, node, event);
    }
}

static inline bool report(choir_session *s, choiri_ready *node, choir_event *event) {
    return CHOIRI_LIKELY(node->kind >= CHOIRI_READY_UPPER) ? s->upper->report(s, node, event)
                                                           : report_own(s, node, event);
}

static CHOIRI_NOINLINE void retire_own(choir_session *s, choiri_ready *node) {
    switch (node->kind) {
    case CHOIRI_READY_STATE:
        if (s->attachment) choiri_attachment_forget_hello(s->attachment);
        if (!s->resumable) forget_greeting(s);
        add_first(s, node);
        break;
    case CHOIRI_READY_CLOSED: break;
    default: choiri_conn_retire(s, node); break;
    }
}

/* What the last event pointed to is not needed any more. */
static inline void end_event(choir_session *s) {
    choiri_ready *node = s->retired;
    if (node) {
        s->retired = NULL;
        if (CHOIRI_LIKELY(node->kind >= CHOIRI_READY_UPPER))
            s->upper->retire(s, node);
        else
            retire_own(s, node);
        choiri_arena_rewind(&s->scratch); /* only last events of an object have something in it */
    }
}

static CHOIRI_NOINLINE const choir_event *reported(choir_session *s) {
    for (choir_observer *o = s->observers; o; o = s->next_observer) {
        s->next_observer = o->next; /* it may take itself off, and others */
        o->event(o->ctx, s, &s->event);
    }
    return &s->event;
}

/* No event is left that could point into the last payload. */
static CHOIRI_NOINLINE void forget_payload(choir_session *s) {
    if (s->attachment) choiri_framer_drop(&s->attachment->framer);
    choir_chunk_release(s->last_payload);
    s->last_payload = NULL;
}

/* false: there turned out to be nothing to say. */
static inline bool report_next(choir_session *s, choiri_ready *node) {
    s->ready = node->next;
    node->queued = false;
    choiri_clear(&s->event.kind, sizeof s->event - offsetof(choir_event, kind));
    bool said = report(s, node, &s->event);
    if (node->bits != 0 && node != s->retired) add_first(s, node);
    return said;
}

const choir_event *choir_session_poll(choir_session *s) {
    if (!s) return NULL;
    for (;;) {
        end_event(s);
        choiri_ready *node = s->ready;
        if (!node) break;
        if (CHOIRI_UNLIKELY(!report_next(s, node))) continue;
        return CHOIRI_UNLIKELY(s->observers != NULL) ? reported(s) : &s->event;
    }
    /* While calls are under way there will be more values soon, so scratch keeps its piece. */
    if (s->busy == 0 && s->scratch.blocks) choiri_arena_reset(&s->scratch);
    if (s->last_payload || (s->attachment && s->attachment->framer.delivered)) forget_payload(s);
    return NULL;
}

/* ---- ends ---- */

static void log_end(choir_session *s) {
    if (!choiri_log_is_on(s->env, CHOIR_LOG_INFO)) return;
    choiri_text line;
    choiri_text_init(&line);
    choiri_text_add(choiri_text_add(&line, "closed: "), choir_status_text(s->status));
    if (s->text.len > 0) choiri_text_str(choiri_text_add(&line, ": "), s->text);
    choiri_log(s->env, CHOIR_LOG_INFO, "session", &line);
}

static void set_text(choir_session *s, const choiri_text *text) {
    choiri_text_release(s->env, s->text);
    s->text = text ? choiri_text_keep(s->env, text) : (choir_str){NULL, 0};
}

void choiri_session_note(choir_session *s, const choiri_text *text) {
    if (s->state != CHOIRI_SESSION_ENDED) set_text(s, text); /* else it says why, and events point to it */
}

/* What is to be told of a link that ended, once. */
static void note_link(choir_session *s, int status, const choiri_text *text) {
    choiri_text_release(s->env, s->link_text);
    s->link_text = text ? choiri_text_keep(s->env, text) : (choir_str){NULL, 0};
    s->link_status = status;
    choiri_ready_add(s, &s->state_node, CHOIRI_REPORT_DETACHED);
}

static void end_session(choir_session *s, int status, const choiri_text *text) {
    if (s->state == CHOIRI_SESSION_ENDED) return;
    bool had_link = s->state == CHOIRI_SESSION_ESTABLISHED || s->state == CHOIRI_SESSION_CLOSING;
    set_state(s, CHOIRI_SESSION_ENDED);
    s->status = status;
    set_text(s, text);
    if (s->attachment) choiri_egress_lost(s, s->attachment);
    if (had_link) note_link(s, status, text);
    choiri_conn_end_all(s, status, text);
    choiri_ready_add(s, &s->closed_node, 1);
    log_end(s);
    choiri_session_wake(s);
}

/* Tells the peer what it did, as far as there is a peer and memory. rule: session.protocol-error */
static void say_why(choir_session *s, int status, const choiri_text *text, choir_time now) {
    choiri_sending m;
    if (status != CHOIR_ERR_PROTOCOL && status != CHOIR_ERR_FRAME_TOO_LARGE &&
        status != CHOIR_ERR_FRAME_TIMEOUT && status != CHOIR_ERR_OUT_OF_MEMORY)
        return;
    if (s->state != CHOIRI_SESSION_ESTABLISHED || !choiri_egress_begin(s, NULL, &m, NULL)) return;
    const char *general = choir_status_text(status);
    choir_str why = text && text->len > 0 ? choiri_text_get(text) : (choir_str){general, strlen(general)};
    s->codec->encode(&m.writer, &(choiri_message){.kind = CHOIRI_MSG_PROTOCOL_ERROR, .description = why},
                     NULL, 0);
    (void)choiri_egress_end(&m, CHOIRI_FRAME_OTHER, NULL, now); /* without memory the peer gets no reason */
}

void choiri_session_fail(choir_session *s, int status, const choiri_text *text, choir_time now) {
    if (s->state == CHOIRI_SESSION_ENDED) return;
    say_why(s, status, text, now);
    if (s->attachment) choiri_attachment_finish(s->attachment, status, text);
    end_session(s, status, text);
}

#define TEXT_MAX 1000u /* of a host's text */

int choir_session_fail(choir_session *s, int status, choir_str text, choir_time now) {
    if (!s || !choir_status_is_fatal(status) || (text.len > 0 && !text.data) ||
        (text.len > 0 && !choiri_utf8_is_valid((const uint8_t *)text.data, text.len)))
        return CHOIR_ERR_INVALID;
    if (s->state == CHOIRI_SESSION_ENDED) return CHOIR_OK;
    choiri_session_time(s, now);
    choiri_text line;
    choiri_text_init(&line);
    choiri_text_str(&line, text);
    if (s->attachment) choiri_attachment_finish(s->attachment, status, &line);
    end_session(s, status, &line);
    if (!line.cut) return CHOIR_OK;
    /* Longer than texts of ours are. */
    size_t len = text.len < TEXT_MAX ? text.len : TEXT_MAX;
    while (len < text.len && ((uint8_t)text.data[len] & 0xc0u) == 0x80u) len--; /* not inside a character */
    char *all = choiri_alloc(s->env, len);
    if (!all) return CHOIR_OK; /* then only the start of it is kept */
    choiri_text_release(s->env, s->text);
    s->text = (choir_str){memcpy(all, text.data, len), len};
    return CHOIR_OK;
}

void choiri_session_protocol_error(choir_session *s, const char *what, uint64_t number, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_u64(choiri_text_add(&text, what), number);
    choiri_session_fail(s, CHOIR_ERR_PROTOCOL, &text, now);
}

static bool take(choir_session *s, choiri_bucket *bucket, const char *too_many, choir_time now) {
    if (s->state == CHOIRI_SESSION_ENDED) return false;
    if (choiri_bucket_take(bucket, now)) return true;
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, too_many);
    choiri_session_fail(s, CHOIR_ERR_PROTOCOL, &text, now);
    return false;
}

bool choiri_session_glitch(choir_session *s, choir_time now) {
    return take(s, &s->glitches, "too many connections, or messages for ones that are not there", now);
}

bool choiri_session_nuisance(choir_session *s, choir_time now) {
    return take(s, &s->nuisances, "a flood of messages for connections that were closed", now);
}

void choir_session_close(choir_session *s, choir_time now) {
    if (!s || s->state == CHOIRI_SESSION_ENDED || s->state == CHOIRI_SESSION_CLOSING) return;
    now = choiri_session_time(s, now);
    if (s->state != CHOIRI_SESSION_ESTABLISHED) {
        if (s->attachment) choiri_attachment_finish(s->attachment, CHOIR_ERR_SHUTDOWN, NULL);
        end_session(s, CHOIR_ERR_SHUTDOWN, NULL);
        return;
    }
    choiri_conn_shutdown_all(s, now);
    if (s->state == CHOIRI_SESSION_ENDED) return; /* not even the last answers could be given */
    set_state(s, CHOIRI_SESSION_CLOSING);
    choiri_attachment_finish(s->attachment, CHOIR_ERR_SHUTDOWN, NULL);
    if (choiri_attachment_is_flushed(s->attachment)) end_session(s, CHOIR_ERR_SHUTDOWN, NULL);
}

/* ---- from the attachment ---- */

bool choiri_session_may_attach(const choir_session *s) {
    return !s->attachment &&
           (s->state == CHOIRI_SESSION_DETACHED || (s->state == CHOIRI_SESSION_NEW && !s->had_attachment));
}

void choiri_session_attach(choir_session *s, choir_attachment *a) {
    s->attachment = a;
    s->had_attachment = true;
}

void choiri_session_established(choir_session *s, const choiri_peer *peer, choir_time now) {
    bool first = s->state == CHOIRI_SESSION_NEW;
    set_state(s, CHOIRI_SESSION_ESTABLISHED);
    s->peer = *peer;
    choiri_ready_add(s, &s->state_node, first ? CHOIRI_REPORT_ESTABLISHED : CHOIRI_REPORT_RESUMED);
    if (first) choiri_conn_opened(s, &s->conns.root, peer->requests, now);
}

void choiri_session_taken(choir_session *s, choir_time now) {
    choiri_egress_taken(s->attachment, now);
    if (s->state == CHOIRI_SESSION_CLOSING && choiri_attachment_is_flushed(s->attachment))
        end_session(s, CHOIR_ERR_SHUTDOWN, NULL);
    if (s->ready) choiri_session_wake(s); /* a host does not expect events here */
}

void choiri_session_link_failed(choir_session *s, int status, const choiri_text *text, choir_time now) {
    if (s->state == CHOIRI_SESSION_DETACHED) { /* the handshake of another link */
        choiri_attachment_finish(s->attachment, status, text);
        return;
    }
    if (s->state != CHOIRI_SESSION_ESTABLISHED || !s->resumable) {
        choiri_session_fail(s, status, text, now);
        return;
    }
    choiri_attachment_finish(s->attachment, status, text);
    choiri_egress_lost(s, s->attachment);
    set_state(s, CHOIRI_SESSION_DETACHED);
    note_link(s, status, text);
    choiri_session_wake(s);
}

void choiri_session_cut(choir_session *s) {
    if (s->state == CHOIRI_SESSION_CLOSING) end_session(s, CHOIR_ERR_SHUTDOWN, NULL);
}

void choiri_session_detach(choir_session *s, choir_chunk *payload) {
    choiri_egress_lost(s, s->attachment);
    s->taken = s->attachment->written;
    choiri_evidence_free(s->env, s->evidence);
    s->evidence = choiri_attachment_take_evidence(s->attachment);
    s->attachment = NULL;
    choir_chunk_release(s->last_payload);
    s->last_payload = payload;
}

/* ---- queries, slots, observers ---- */

uint32_t choir_session_codec(const choir_session *s) {
    return s ? s->codec->id : CHOIR_CODEC_POSTCARD;
}
bool choir_session_is_established(const choir_session *s) {
    return s && s->state == CHOIRI_SESSION_ESTABLISHED;
}
bool choir_session_is_closed(const choir_session *s) {
    return !s || s->state == CHOIRI_SESSION_ENDED;
}
int choir_session_status(const choir_session *s) {
    return s ? s->status : CHOIR_ERR_INVALID;
}
/* The one text says why it ended, or until then what the newest error does not. */
choir_str choir_session_text(const choir_session *s) {
    return s && s->text.data && s->status != CHOIR_OK ? s->text : (choir_str){"", 0};
}
choir_str choir_session_error(const choir_session *s) {
    return s && s->text.data && s->status == CHOIR_OK ? s->text : (choir_str){"", 0};
}
choir_conn_id choir_session_root(const choir_session *s) {
    return s ? choiri_conn_handle(&s->conns.root) : (choir_conn_id){0};
}
const choir_evidence *choiri_session_evidence(const choir_session *s) {
    return s->attachment ? s->attachment->evidence : s->evidence;
}
const choir_evidence *choir_session_evidence(const choir_session *s) {
    return s ? choiri_session_evidence(s) : NULL;
}
uint32_t choir_session_held_requests(const choir_session *s) {
    return s ? s->held : 0;
}
void *choir_session_user_data(const choir_session *s) {
    return s ? s->user_data : NULL;
}
void choir_session_set_user_data(choir_session *s, void *user_data) {
    if (s) s->user_data = user_data;
}

int choir_session_set_slot(choir_session *s, const choir_key *key, void *value,
                           void (*destroy)(void *value)) {
    if (!s || !key) return CHOIR_ERR_NOT_FOUND;
    return choiri_slots_set(s->env, &s->slots, key, value, destroy);
}

void *choir_session_slot(const choir_session *s, const choir_key *key) {
    return s ? choiri_slots_get(s->slots, key) : NULL;
}

void choir_session_observe(choir_session *s, choir_observer *observer) {
    if (!s || !observer || !observer->event) return;
    choir_observer **place = &s->observers;
    while (*place && *place != observer) place = &(*place)->next;
    if (*place) return;
    observer->next = NULL;
    *place = observer;
}

void choir_session_unobserve(choir_session *s, choir_observer *observer) {
    if (!s || !observer) return;
    choir_observer **place = &s->observers;
    while (*place && *place != observer) place = &(*place)->next;
    if (*place) *place = observer->next;
    if (s->next_observer == observer) s->next_observer = observer->next;
}
