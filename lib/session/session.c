/* SPDX-License-Identifier: MIT */
/* The session: life, ready list, demultiplexing by connection id.
 *
 * States: new → established → closing → ended; end_session is the only way into the last and is taken exactly once.
 * Ending queues every terminal event: the calls' and requests' first, then the connection's, then the session's own;
 * the ready list is first in, first out, so that order is what poll gives.
 *
 * Nothing of the host's runs in here but wake and destroy. */
#include "base/assert.h"
#include "base/clear.h"
#include "base/log.h"
#include "base/options.h"
#include "session/internal.h"

/* Of the bytes of handshake metadata that a peer takes, these are left for the vox-service entry. */
#define SERVICE_ROOM 1024u

static const choiri_reporter state_reporter, closed_reporter;

static const choir_session_options defaults = {
    .size = sizeof defaults,
    .max_concurrent_requests = 64,
    .max_queued_requests = 1024,
    .max_queued_request_bytes = 1u << 20,
    .max_queued_calls = 1024,
    .max_queued_call_bytes = 1u << 20,
    .max_output = 4u << 20,
    .memory_quota = 64u << 20,
    .glitch_burst = 1000,
    .glitch_rate = 100,
    .keepalive_idle = 15 * CHOIR_SECOND,
    .keepalive_busy = 5 * CHOIR_SECOND,
    .keepalive_send = 15 * CHOIR_SECOND,
};

void choir_session_options_init_sized(choir_session_options *o, size_t size) {
    choiri_options_give(o, size, &defaults, sizeof defaults);
}

int choiri_session_options_check(const choir_session_options *in, choir_session_options *ret) {
    choir_session_options o = defaults;
    if (in && choiri_options_copy(&o, sizeof o, in) != CHOIR_OK) return CHOIR_ERR_INVALID;
    if (o.codec >= CHOIRI_CODECS || o.max_concurrent_requests == 0 || o.max_output == 0 ||
        o.memory_quota == 0)
        return CHOIR_ERR_INVALID;
    /* One entry of what a peer takes is ours: vox-service. */
    if (o.metadata_len >= CHOIRI_HANDSHAKE_ENTRIES || (o.metadata_len > 0 && !o.metadata))
        return CHOIR_ERR_INVALID;
    *ret = o;
    return CHOIR_OK;
}

/* ---- life ---- */

/* The host's metadata is kept as postcard until the handshake is written. */
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
        choir_iov iov;
        size_t at = 0;
        while (at < size && choiri_outq_peek(&q, at, UINT64_MAX, &iov, 1) == 1) {
            memcpy(s->metadata_copy + at, iov.base, iov.len);
            at += iov.len;
        }
        s->metadata_size = size;
        choiri_reader r = choiri_reader_of((choir_bytes){s->metadata_copy, size});
        bool ok = choiri_read_metadata(&r, &s->metadata);
        CHOIRI_ASSERT(ok);
    }
    choiri_outq_deinit(&q);
    return status;
}

int choiri_session_new(choir_env *env, const choir_session_options *o, const choiri_driver *driver,
                       bool initiator, choir_session **ret_session, choir_time now) {
    choir_session *s = choiri_alloc(env, sizeof *s); /* long-lived: not rounded up to a pool class */
    if (!s) return CHOIR_ERR_NO_MEMORY;
    memset(s, 0, sizeof *s);
    s->env = env;
    s->driver = driver;
    s->initiator = initiator;
    /* An acceptor speaks what its peer asked for: choiri_attachment_accept. */
    s->codec = choiri_codec_of(initiator ? o->codec : CHOIR_CODEC_POSTCARD);
    s->parity = initiator ? CHOIRI_PARITY_ODD : CHOIRI_PARITY_EVEN;
    s->max_concurrent_requests = o->max_concurrent_requests;
    s->max_output = o->max_output;
    s->quota = o->memory_quota;
    s->now = now;
    s->state_node.reporter = &state_reporter;
    s->closed_node.reporter = &closed_reporter;
    s->call_name = o->call ? choir_service_name(o->call) : CHOIR_STR("Noop");
    choiri_bucket_init(&s->glitches, o->glitch_burst, o->glitch_rate, now);
    choiri_keepalive_init(s, o, now);
    choiri_arena_init(&s->scratch, env, s->scratch_first, sizeof s->scratch_first, SIZE_MAX);
    choiri_arena_init(&s->inbox, env, NULL, 0, CHOIRI_DECODE_ARENA_MAX);
    choiri_text_init(&s->text);
    env->objects++;
    int status = copy_metadata(s, o->metadata, o->metadata_len);
    if (status == CHOIR_OK) status = driver->open_root(s, o, &s->root);
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

/* What the last event pointed to is not needed any more. */
static void end_event(choir_session *s) {
    if (s->retired) {
        choiri_node *node = s->retired;
        s->retired = NULL;
        node->reporter->retire(s, node);
    }
    choiri_arena_reset(&s->scratch);
}

static void free_handshake(choir_session *s) {
    choiri_handshake_free(s->env, s->peer_hello);
    s->peer_hello = NULL;
    if (s->metadata_copy) choiri_free(s->env, s->metadata_copy, s->metadata_size);
    s->metadata_copy = NULL;
    s->metadata = (choir_metadata){{NULL, 0}, 0};
}

void choir_session_free(choir_session *s) {
    if (!s) return;
    end_event(s);
    if (s->attachment) {
        choir_attachment *a = s->attachment;
        s->attachment = NULL;
        a->session = NULL;
        a->stage = CHOIRI_STAGE_FINISHED;
        choir_attachment_free(a, s->now);
    }
    if (s->root) s->driver->free(s->root);
    free_handshake(s);
    CHOIRI_ASSERT(s->charged == 0);
    choiri_arena_reset(&s->scratch);
    choiri_arena_reset(&s->inbox);
    choir_chunk_release(s->last_payload);
    if (s->destroy) s->destroy(s->user_data);
    s->env->objects--;
    choiri_free(s->env, s, sizeof *s);
}

/* ---- time, charges ---- */

static void wake(choir_session *s) {
    if (s->wake) s->wake(s->wake_ctx, s);
}

void choiri_session_wake_if_ready(choir_session *s) {
    if (s->ready) wake(s);
}

choir_time choiri_session_time(choir_session *s, choir_time now) {
    if (now > s->now) {
        if (now - s->now > s->alive.gap) s->alive.gap = now - s->now;
        s->now = now;
    }
    return s->now;
}

bool choiri_session_charge(choir_session *s, size_t bytes) {
    if (bytes > s->quota - s->charged) return false;
    s->charged += bytes;
    return true;
}

void choiri_session_discharge(choir_session *s, size_t bytes) {
    CHOIRI_ASSERT(bytes <= s->charged);
    s->charged -= bytes;
}

bool choiri_session_glitch(choir_session *s, choir_time now) {
    if (s->state == CHOIRI_SESSION_ENDED) return false;
    if (choiri_bucket_take(&s->glitches, now)) return true;
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, "too many late, cancelled or impossible requests");
    choiri_session_fail(s, CHOIR_ERR_PROTOCOL, &text, now);
    return false;
}

void choiri_session_arm(choir_session *s, choiri_timer *timer, choir_time deadline) {
    choiri_timers_arm(&s->timers, timer, deadline);
}

void choiri_session_disarm(choir_session *s, choiri_timer *timer) {
    choiri_timers_cancel(&s->timers, timer);
}

choir_time choir_session_deadline(const choir_session *s) {
    if (!s || s->state == CHOIRI_SESSION_ENDED) return CHOIR_TIME_NEVER;
    choir_time t = choiri_timers_deadline(&s->timers);
    choir_time alive = choiri_keepalive_deadline(s);
    return alive < t ? alive : t;
}

void choir_session_advance(choir_session *s, choir_time now) {
    if (!s || s->state == CHOIRI_SESSION_ENDED) return;
    now = choiri_session_time(s, now);
    uint64_t pass = s->timers.armings;
    choiri_timer *timer;
    while ((timer = choiri_timers_pop(&s->timers, pass, now))) s->driver->expired(s->root, timer, now);
    choiri_keepalive_advance(s, now);
    if (s->ready) wake(s);
}

/* ---- ready list ---- */

void choiri_session_report(choir_session *s, choiri_node *node, uint32_t bits) {
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

/* A node that has more to say keeps its turn: behind the others it could come after the session's last event. */
static void report_next(choir_session *s, choiri_node *node) {
    if (node->bits == 0 || node->queued) return;
    node->queued = true;
    node->next = s->ready;
    if (!s->ready) s->ready_tail = node;
    s->ready = node;
}

const choir_event *choir_session_poll(choir_session *s) {
    if (!s) return NULL;
    end_event(s);
    while (s->ready) {
        choiri_node *node = s->ready;
        s->ready = node->next;
        node->queued = false;
        choiri_clear(&s->event, sizeof s->event);
        s->event.method = CHOIR_METHOD_NONE;
        bool said = node->reporter->report(s, node, &s->event);
        if (node != s->retired) report_next(s, node);
        if (said) return &s->event;
        end_event(s);
    }
    /* No event is left that could point into the last payload. */
    if (s->attachment) choiri_framer_drop(&s->attachment->framer);
    return NULL;
}

static bool report_state(choir_session *s, choiri_node *node, choir_event *event) {
    if (node->bits & CHOIRI_REPORT_ESTABLISHED) {
        node->bits &= ~(uint32_t)CHOIRI_REPORT_ESTABLISHED;
        event->kind = CHOIR_EVENT_SESSION_ESTABLISHED;
        event->conn = s->driver->handle(s->root);
        if (s->peer_hello) event->metadata = s->peer_hello->metadata;
        s->retired = node; /* lets go of the handshake */
        return true;
    }
    if (node->bits & CHOIRI_REPORT_PONG) {
        node->bits &= ~(uint32_t)CHOIRI_REPORT_PONG;
        event->kind = CHOIR_EVENT_SESSION_PONG;
        return true;
    }
    node->bits &= ~(uint32_t)CHOIRI_REPORT_DETACHED;
    event->kind = CHOIR_EVENT_SESSION_DETACHED;
    event->status = s->status;
    event->text = choiri_text_get(&s->text);
    return true;
}

static void retire_state(choir_session *s, choiri_node *node) {
    free_handshake(s);
    report_next(s, node);
}

static bool report_closed(choir_session *s, choiri_node *node, choir_event *event) {
    node->bits = 0;
    event->kind = CHOIR_EVENT_SESSION_CLOSED;
    event->status = s->status;
    event->text = choiri_text_get(&s->text);
    return true;
}

static const choiri_reporter state_reporter = {report_state, retire_state};
static const choiri_reporter closed_reporter = {report_closed, NULL};

/* ---- ends ---- */

static void end_session(choir_session *s, int status, const choiri_text *text) {
    if (s->state == CHOIRI_SESSION_ENDED) return;
    bool was_established = s->state == CHOIRI_SESSION_ESTABLISHED || s->state == CHOIRI_SESSION_CLOSING;
    s->state = CHOIRI_SESSION_ENDED;
    s->status = status;
    if (text) s->text = *text;
    s->alive.busy_since = CHOIR_TIME_NEVER;
    s->pongs.count = 0;
    if (was_established) choiri_session_report(s, &s->state_node, CHOIRI_REPORT_DETACHED);
    s->driver->ended(s->root);
    choiri_session_report(s, &s->closed_node, 1);
    if (choiri_log_is_on(s->env, CHOIR_LOG_INFO)) {
        choiri_text line;
        choiri_text_init(&line);
        choiri_text_add(choiri_text_add(&line, "closed: "), choir_status_text(status));
        if (s->text.len > 0) choiri_text_str(choiri_text_add(&line, ": "), choiri_text_get(&s->text));
        choiri_log(s->env, CHOIR_LOG_INFO, "session", &line);
    }
    wake(s);
}

/* Tells the peer what it did, as far as there is a peer and memory. rule: session.protocol-error */
static void say_why(choir_session *s, int status, const choiri_text *text, choir_time now) {
    choiri_sending m;
    if (status != CHOIR_ERR_PROTOCOL && status != CHOIR_ERR_FRAME_TOO_LARGE &&
        status != CHOIR_ERR_FRAME_TIMEOUT && status != CHOIR_ERR_OUT_OF_MEMORY)
        return;
    if (s->state != CHOIRI_SESSION_ESTABLISHED && s->state != CHOIRI_SESSION_CLOSING) return;
    if (!choiri_session_begin(s, &m, NULL)) return;
    choir_str why = text && text->len > 0
                        ? choiri_text_get(text)
                        : (choir_str){choir_status_text(status), strlen(choir_status_text(status))};
    s->codec->encode(&m.writer, &(choiri_message){.kind = CHOIRI_MSG_PROTOCOL_ERROR, .description = why},
                     NULL, 0);
    (void)choiri_session_end(s, &m, now); /* without memory the peer has to do without a reason */
}

void choiri_session_fail(choir_session *s, int status, const choiri_text *text, choir_time now) {
    if (s->state == CHOIRI_SESSION_ENDED) return;
    say_why(s, status, text, now);
    if (s->attachment) choiri_attachment_finish(s->attachment, status, text);
    end_session(s, status, text);
}

void choir_session_close(choir_session *s, choir_time now) {
    if (!s || s->state == CHOIRI_SESSION_ENDED) return;
    now = choiri_session_time(s, now);
    if (s->state == CHOIRI_SESSION_ESTABLISHED) {
        s->state = CHOIRI_SESSION_CLOSING;
        s->driver->shutdown(s->root, now);
        if (s->state == CHOIRI_SESSION_ENDED) return;
    }
    if (s->attachment) choiri_attachment_finish(s->attachment, CHOIR_ERR_SHUTDOWN, NULL);
    end_session(s, CHOIR_ERR_SHUTDOWN, NULL);
}

/* ---- from the attachment ---- */

void choiri_session_established(choir_session *s, choiri_handshake *peer, choir_time now) {
    if (peer) {
        s->peer_hello = peer;
        s->peer = peer->settings;
        s->retry = peer->retry;
        s->announces = peer->announces;
    }
    s->state = CHOIRI_SESSION_ESTABLISHED;
    choiri_session_alive(s, now);
    s->alive.last_tx = now;
    choiri_session_report(s, &s->state_node, CHOIRI_REPORT_ESTABLISHED);
    s->driver->established(s->root, now);
}

void choiri_session_drained(choir_session *s, choir_time now) {
    if (s->state == CHOIRI_SESSION_ESTABLISHED && s->attachment->out.bytes <= s->max_output / 2)
        s->driver->drained(s->root, now);
}

static void protocol_error(choir_session *s, const char *what, uint64_t number, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_u64(choiri_text_add(&text, what), number);
    choiri_session_fail(s, CHOIR_ERR_PROTOCOL, &text, now);
}

/* A peer that opens virtual connections is told that there are none, and charged. rule: connection.open */
static void reject_open(choir_session *s, const choiri_message *msg, choir_time now) {
    if ((msg->conn & 1) == (s->parity == CHOIRI_PARITY_ODD) || msg->conn == 0) {
        protocol_error(s, "ConnectionOpen with an id that is not the peer's to use: ", msg->conn, now);
        return;
    }
    if (!choiri_session_glitch(s, now)) return;
    static const char reason[] = "virtual connections are not supported";
    choir_metadata_entry entry = {.key = CHOIR_STR("error"),
                                  .type = CHOIR_METADATA_STRING,
                                  .bytes = {(const uint8_t *)reason, sizeof reason - 1}};
    choiri_sending m;
    if (!choiri_session_begin(s, &m, NULL)) return;
    s->codec->encode(&m.writer, &(choiri_message){.conn = msg->conn, .kind = CHOIRI_MSG_CONNECTION_REJECT},
                     &entry, 1);
    int status = choiri_session_end(s, &m, now);
    if (status != CHOIR_OK) choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
}

/* For a connection that is not open. We have never opened one, so an id of our parity is nobody's; one of the peer's was
 * rejected, and what it sent before it knew is honest. rule: connection.unknown */
static void unknown_connection(choir_session *s, const choiri_message *msg, choir_time now) {
    if ((msg->conn & 1) == (s->parity == CHOIRI_PARITY_ODD))
        protocol_error(s, "message for a connection that was never opened: ", msg->conn, now);
    else
        choiri_session_glitch(s, now);
}

static void on_ping(choir_session *s, const choiri_message *msg) {
    uint32_t at = s->pongs.count < CHOIRI_PONGS_MAX ? s->pongs.count++ : CHOIRI_PONGS_MAX - 1;
    s->pongs.nonces[at] = msg->id;
    choir_attachment *a = s->attachment;
    /* Behind output that the link does not take: who floods and does not read is not read either (reliability case A23). */
    if (s->pongs.count == CHOIRI_PONGS_MAX && a->out.bytes > 0)
        choiri_attachment_pause(a, CHOIRI_PAUSED_PONGS);
    if (!a->woken) {
        a->woken = true;
        if (a->wake) a->wake(a->wake_ctx, a);
    }
}

static void on_pong(choir_session *s, const choiri_message *msg) {
    if (msg->conn != 0 || s->alive.host_nonce == 0 || msg->id != s->alive.host_nonce) return;
    s->alive.host_nonce = 0;
    choiri_session_report(s, &s->state_node, CHOIRI_REPORT_PONG);
}

static void on_protocol_error(choir_session *s, const choiri_message *msg, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, "the peer says: ");
    choiri_text_quoted(&text, (choir_bytes){(const uint8_t *)msg->description.data, msg->description.len},
                       160);
    choiri_session_fail(s, CHOIR_ERR_PEER_PROTOCOL, &text, now);
}

void choiri_session_payload(choir_session *s, const choiri_frame *frame, choir_time now) {
    choiri_message msg;
    end_event(s);
    /* Nothing waits that points into the inbox: a receive finds no event pending. */
    int status = choiri_codec_decode(s->codec, frame->payload, &s->inbox, &msg);
    if (status == CHOIR_ERR_NO_MEMORY) {
        choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return;
    }
    if (status != CHOIR_OK) {
        choiri_text text;
        choiri_text_init(&text);
        choiri_text_add(choiri_text_add(&text, "a message that cannot be decoded: "),
                        choir_status_text(status));
        choiri_session_fail(s, CHOIR_ERR_PROTOCOL, &text, now);
        return;
    }
    if (__builtin_expect(msg.kind == CHOIRI_MSG_REQUEST && msg.conn == 0, 1)) {
        s->driver->message(s->root, &msg, frame, now);
        return;
    }
    switch (msg.kind) {
    case CHOIRI_MSG_PING: on_ping(s, &msg); return;
    case CHOIRI_MSG_PONG: on_pong(s, &msg); return;
    case CHOIRI_MSG_PROTOCOL_ERROR: on_protocol_error(s, &msg, now); return;
    case CHOIRI_MSG_CONNECTION_OPEN: reject_open(s, &msg, now); return;
    case CHOIRI_MSG_CONNECTION_ACCEPT:
    case CHOIRI_MSG_CONNECTION_REJECT:
    case CHOIRI_MSG_CONNECTION_CLOSE:
        if (msg.conn == 0)
            protocol_error(s, "a connection message for the root connection, kind ", msg.kind, now);
        else
            unknown_connection(s, &msg, now);
        return;
    default: break;
    }
    if (msg.conn == 0)
        s->driver->message(s->root, &msg, frame, now);
    else
        unknown_connection(s, &msg, now);
}

/* ---- output ---- */

bool choiri_session_begin(choir_session *s, choiri_sending *m, choir_chunk *chunk) {
    choir_attachment *a = s->attachment;
    if (!a || a->stage != CHOIRI_STAGE_OPEN) return false;
    m->mark = choiri_outq_get_mark(&a->out);
    choiri_writer_init(&m->writer, &a->out, chunk);
    m->frame = choiri_write_hole(&m->writer);
    return true;
}

int choiri_session_end(choir_session *s, choiri_sending *m, choir_time now) {
    choir_attachment *a = s->attachment;
    choiri_fill_hole(&m->writer, m->frame);
    int status = choiri_writer_finish(&m->writer);
    if (status == CHOIR_OK && a->out.bytes - m->mark.bytes > (uint64_t)a->max_payload + CHOIRI_FRAME_HEAD)
        status = CHOIR_ERR_TOO_LARGE;
    if (status != CHOIR_OK) {
        choiri_outq_rollback(&a->out, m->mark);
        return status;
    }
    s->alive.last_tx = now;
    choiri_attachment_wrote(a, now);
    return CHOIR_OK;
}

uint64_t choiri_session_output(const choir_session *s) {
    return s->attachment ? s->attachment->out.bytes : 0;
}

/* Pongs are written when the link takes output, and only when the ones before have left: however many pings come, at most
 * CHOIRI_PONGS_MAX answers wait. rule: session.ping */
void choiri_session_write_pongs(choir_session *s, choir_time now) {
    choir_attachment *a = s->attachment;
    if (s->pongs.count == 0 || a->written < s->pongs.mark) return;
    uint32_t done = 0;
    for (; done < s->pongs.count; done++) {
        choiri_sending m;
        if (!choiri_session_begin(s, &m, NULL)) break;
        s->codec->encode(&m.writer, &(choiri_message){.kind = CHOIRI_MSG_PONG, .id = s->pongs.nonces[done]},
                         NULL, 0);
        if (choiri_session_end(s, &m, now) != CHOIR_OK) break; /* the rest waits for memory */
    }
    if (done == 0) {
        /* Nothing is under way that would make the host come back. */
        if (a->out.bytes == 0) choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return;
    }
    s->pongs.count -= done;
    memmove(s->pongs.nonces, s->pongs.nonces + done, s->pongs.count * sizeof s->pongs.nonces[0]);
    s->pongs.mark = a->written + a->out.bytes;
}

/* ---- queries ---- */

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
choir_str choir_session_text(const choir_session *s) {
    return s ? choiri_text_get(&s->text) : (choir_str){"", 0};
}
choir_conn choir_session_root(const choir_session *s) {
    return s ? s->driver->handle(s->root) : (choir_conn){0};
}
uint32_t choir_session_peer_max_requests(const choir_session *s) {
    return s ? s->peer.max_concurrent_requests : 0;
}
uint32_t choir_session_held_requests(const choir_session *s) {
    return s ? s->driver->held_requests(s->root) : 0;
}
void *choir_session_user_data(const choir_session *s) {
    return s ? s->user_data : NULL;
}
void choir_session_set_user_data(choir_session *s, void *user_data) {
    if (s) s->user_data = user_data;
}
