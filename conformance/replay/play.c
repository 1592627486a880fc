/* SPDX-License-Identifier: MIT */
/* One run: our session against one side of a recording. See replay.h.
 *
 * Invariants that are checked in every run, whatever was received: each call and each request ends exactly
 * once, the session's end comes last and once, receive takes what it is given once events were polled, and
 * all comes to rest. */
#include "answer.h"
#include "base/bytes.h"
#include "replay.h"
#include "schema/service.h"
#include "testbed/testbed_newer.h"
#include "value/unit.h"
#include "value/value.h"

#include <stdio.h>
#include <stdlib.h>

#define TURNS_MAX   1000u
#define ARENA_MAX   ((size_t)4 << 20)
#define PING_EVERY  (100 * CHOIR_MILLISECOND)
#define SILENCE_MAX (PING_EVERY / 2 * 3) /* keepalive asks at two thirds */
#define CLOCK_STEPS 8u                   /* deadlines until silence has ended a session */

typedef struct open_call {
    uint32_t done; /* CALL_DONE events */
} open_call;

typedef struct open_request {
    uint64_t wire_id; /* in the recording */
    choir_event event;
    bool answered;
    uint32_t done; /* REQUEST_DONE events */
} open_request;

typedef struct player {
    replay_world *world;
    const replay_part *part;
    replay_run *run;
    replay_link link;
    choir_session *session;       /* NULL until accepted */
    choir_attachment *attachment; /* NULL once its link is gone */
    choir_time now;
    replay_hello ours; /* as recorded */
    const replay_payload *feeding;
    open_call calls[REPLAY_OPEN_MAX];
    uint32_t calls_len;
    open_request requests[REPLAY_OPEN_MAX];
    uint32_t requests_len;
    uint32_t closed;      /* SESSION_CLOSED events */
    replay_buffer stream; /* framing U32LE: output that is no whole frame yet */
    choir_arena *arena;   /* of the call or answer being made */
} player;

/* ---- the run's memory ---- */

size_t replay_append(replay_buffer *b, const void *data, size_t len) {
    if (b->len + len > b->cap) {
        b->cap = (b->len + len) * 2;
        b->data = realloc(b->data, b->cap);
        if (!b->data) abort();
    }
    if (len > 0) memcpy(b->data + b->len, data, len);
    b->len += len;
    return b->len - len;
}

static void broken(player *p, const char *what) {
    if (p->run->broken[0] == 0) snprintf(p->run->broken, sizeof p->run->broken, "%s", what);
}

static replay_piece keep(player *p, const void *data, size_t len) {
    return (replay_piece){replay_append(&p->run->bytes, data, len), len};
}

static replay_record *new_record(player *p, uint32_t kind) {
    static replay_record spare;
    replay_run *run = p->run;
    if (run->records_len == sizeof run->records / sizeof *run->records) {
        broken(p, "more events than a recording can lead to");
        return &spare;
    }
    replay_record *r = &run->records[run->records_len++];
    memset(r, 0, sizeof *r);
    r->kind = kind;
    return r;
}

static void not_taken(player *p, int status) {
    new_record(p, REPLAY_NOT_TAKEN)->status = status;
}

/* ---- events ---- */

/* A value in its wire form, so that runs can be compared: the host sees the struct, not the bytes. */
static replay_piece keep_value(player *p, const choir_unit *unit, uint32_t type, const void *value) {
    choiri_outq q;
    choiri_writer w;
    choir_iov iov;
    choiri_outq_init(&q, p->world->env);
    choiri_writer_init(&w, &q, NULL);
    choiri_value_encode(&w, unit, type, value);
    if (choiri_writer_finish(&w) != CHOIR_OK) broken(p, "a decoded value cannot be encoded");
    replay_piece piece = {p->run->bytes.len, 0};
    for (; choiri_outq_peek(&q, piece.len, UINT64_MAX, &iov, 1) == 1; piece.len += iov.len)
        replay_append(&p->run->bytes, iov.base, iov.len);
    choiri_outq_deinit(&q);
    return piece;
}

/* The type of an event's value; false when there is none. */
static bool value_type(const choir_event *e, const choir_method *m, uint32_t *ret) {
    if (!e->value) return false;
    if (e->kind == CHOIR_EVENT_CALL_DONE)
        *ret = e->outcome == CHOIR_OUTCOME_OK ? m->ok : m->err;
    else
        *ret = m->args;
    return true;
}

static void record_event(player *p, const choir_event *e, uint32_t number) {
    replay_record *r = new_record(p, e->kind);
    r->status = e->status;
    r->number = number;
    r->outcome = e->outcome;
    if (e->service) {
        const choir_method *m = choiri_service_method(e->service, e->method);
        uint32_t type;
        r->method = m->id;
        if (value_type(e, m, &type)) r->value = keep_value(p, e->service->unit, type, e->value);
    }
    r->payload = keep(p, e->payload.data, e->payload.len);
    r->metadata = keep(p, e->metadata.entries.data, e->metadata.entries.len);
    r->metadata_count = e->metadata.count;
    r->text = keep(p, e->text.data, e->text.len);
    if (e->kind == CHOIR_EVENT_SESSION_ESTABLISHED)
        r->outcome = choir_conn_peer_requests(p->session, e->conn);
}

/* What the host of an acceptor decides by. */
static void record_hello(player *p, const choir_hello *h) {
    replay_record *r = new_record(p, REPLAY_HELLO);
    r->status = (int32_t)h->parity;
    r->number = h->supports_retry;
    r->outcome = h->max_concurrent_requests;
    r->value = keep(p, h->resume_key, h->resume_key_len);
    r->metadata = keep(p, h->metadata.entries.data, h->metadata.entries.len);
    r->metadata_count = h->metadata.count;
    r->text = keep(p, h->service.data, h->service.len);
}

static uint32_t number_of(const choir_event *e) {
    return (uint32_t)(uintptr_t)e->user_data;
}

static void on_request(player *p, const choir_event *e) {
    choiri_message m;
    if (p->requests_len == REPLAY_OPEN_MAX || !p->feeding ||
        choiri_message_decode(replay_bytes(p->feeding), &m) != CHOIR_OK) {
        broken(p, "a request out of nothing");
        return;
    }
    p->requests[p->requests_len++] = (open_request){.wire_id = m.id, .event = *e};
    choir_request_set_user_data(p->session, e->request, (void *)(uintptr_t)p->requests_len);
    record_event(p, e, p->requests_len);
}

static void on_event(player *p, const choir_event *e) {
    uint32_t number = number_of(e);
    if (p->closed > 0) broken(p, "an event behind the session's end");
    switch (e->kind) {
    case CHOIR_EVENT_REQUEST: on_request(p, e); return;
    case CHOIR_EVENT_CALL_DONE:
        if (number == 0 || number > p->calls_len || p->calls[number - 1].done++ > 0)
            broken(p, "a call that was not open has ended");
        break;
    case CHOIR_EVENT_REQUEST_DONE:
        if (number == 0 || number > p->requests_len || p->requests[number - 1].done++ > 0)
            broken(p, "a request that was not open has ended");
        break;
    case CHOIR_EVENT_SESSION_CLOSED: p->closed++; break;
    default: break;
    }
    record_event(p, e, number);
}

static void poll(player *p) {
    const choir_event *e;
    while (p->session && (e = choir_session_poll(p->session))) on_event(p, e);
}

/* ---- the link ---- */

static void set_options(player *p, choir_session_options *o, choir_conn_options *root) {
    choir_session_options_init(o);
    choir_conn_options_init(root);
    o->root = root;
    root->max_concurrent_requests = p->ours.max_concurrent_requests;
    root->call = p->part->call;
    root->serve = p->part->serve;
    /* The last recorded entry is the service, which the session adds itself. */
    root->metadata = p->ours.entries;
    root->metadata_len = p->ours.entries_len > 0 ? p->ours.entries_len - 1 : 0;
    o->keepalive_idle = SILENCE_MAX;
    o->keepalive_busy = o->keepalive_send = 0;
}

static void decide(player *p) {
    choir_session_options o;
    choir_conn_options root;
    if (p->session || !p->attachment || !choir_attachment_hello(p->attachment)) return;
    record_hello(p, choir_attachment_hello(p->attachment));
    set_options(p, &o, &root);
    int status = choir_attachment_accept(p->attachment, &o, &p->session, p->now);
    if (status == CHOIR_OK) return;
    not_taken(p, status);
    choir_attachment_refuse(p->attachment, NULL, p->now);
}

static void keep_sent(player *p, const uint8_t *data, size_t len) {
    replay_run *run = p->run;
    if (run->sent_len == sizeof run->sent_at / sizeof *run->sent_at) {
        broken(p, "more output than a recording can lead to");
        return;
    }
    run->sent_at[run->sent_len++] = (replay_piece){replay_append(&run->sent, data, len), len};
}

/* Whole frames leave the stream. */
static void split_stream(player *p) {
    replay_buffer *s = &p->stream;
    size_t at = 0;
    while (s->len - at >= 4) {
        const uint8_t *h = s->data + at;
        size_t len = choiri_load_le32(h);
        if (s->len - at - 4 < len) break;
        keep_sent(p, h + 4, len);
        at += 4 + len;
    }
    if (at > 0) memmove(s->data, s->data + at, s->len - at);
    s->len -= at;
}

static bool take_output(player *p) {
    choir_iov iov[16];
    size_t n = p->attachment ? choir_attachment_peek(p->attachment, iov, 16) : 0, len = 0;
    if (n == 0) return false;
    replay_buffer *stream = &p->stream;
    for (size_t i = 0; i < n; i++) {
        replay_append(stream, iov[i].base, iov[i].len);
        len += iov[i].len;
    }
    if (p->link.framing == CHOIR_FRAMING_NONE) {
        keep_sent(p, stream->data, len);
        stream->len = 0;
    } else {
        split_stream(p);
    }
    if (choir_attachment_consume(p->attachment, len, p->now) != CHOIR_OK)
        broken(p, "output cannot be consumed");
    return true;
}

static void hang_up(player *p) {
    choir_attachment *a = p->attachment;
    p->attachment = NULL;
    p->run->status = choir_attachment_status(a);
    choir_attachment_free(a, p->now);
    poll(p);
}

/* Until nothing moves: events, decisions, output. A link that is finished and flushed is closed. */
static void pump(player *p) {
    uint32_t turns = 0;
    do {
        poll(p);
        decide(p);
        if (turns++ > TURNS_MAX) {
            broken(p, "it does not come to rest");
            break;
        }
    } while (take_output(p));
    if (p->attachment && choir_attachment_interest(p->attachment) == CHOIR_FINISHED) hang_up(p);
}

static void receive(player *p, const uint8_t *at, size_t len) {
    while (len > 0 && p->attachment) {
        size_t n = p->link.piece > 0 && p->link.piece < len ? p->link.piece : len, used = 0;
        int status = choir_attachment_receive(p->attachment, at, n, NULL, &used, p->now);
        pump(p);
        if (status != CHOIR_OK) {
            if (!choir_status_is_fatal(status)) broken(p, "input is not taken");
            return;
        }
        if (used == 0 || used > n) {
            broken(p, "receive takes nothing, or more than it was given");
            return;
        }
        at += used;
        len -= used;
    }
}

static void feed(player *p, const replay_payload *payload, replay_change change) {
    uint8_t head[4] = {(uint8_t)payload->len, (uint8_t)(payload->len >> 8), (uint8_t)(payload->len >> 16),
                       (uint8_t)(payload->len >> 24)};
    /* A block of its own, so that a read behind its end is seen. */
    uint8_t *copy = malloc(payload->len);
    if (!copy) abort();
    memcpy(copy, payload->data, payload->len);
    if (payload == &p->part->recording->payloads[change.payload]) copy[change.at] ^= change.mask;
    p->feeding = payload;
    if (p->link.framing == CHOIR_FRAMING_U32LE) receive(p, head, sizeof head);
    receive(p, copy, payload->len);
    p->feeding = NULL;
    free(copy);
}

/* ---- what the recorded side that we play did ---- */

static bool find_method(const choir_service *service, uint64_t id, uint32_t *ret) {
    if (id == REPLAY_NAMELESS_METHOD) id = newer_service.methods[0].id;
    for (uint32_t i = 0; service && i < service->methods_len; i++) {
        if (choiri_service_method(service, i)->id != id) continue;
        *ret = i;
        return true;
    }
    return false;
}

/* The recorded metadata without what the library adds. */
static size_t own_entries(choir_metadata list, choir_metadata_entry ret[REPLAY_ENTRIES]) {
    const choir_str operation = CHOIR_STR("vox-operation-id");
    size_t n = 0;
    choir_metadata_entry e;
    while (n < REPLAY_ENTRIES && choir_metadata_next(&list, &e)) {
        if (e.key.len != operation.len || memcmp(e.key.data, operation.data, operation.len) != 0)
            ret[n++] = e;
    }
    return n;
}

static void call(player *p, const choiri_message *m) {
    const choir_service *service = p->part->call;
    choir_metadata_entry entries[REPLAY_ENTRIES];
    choir_call_options o;
    uint32_t index;
    if (p->calls_len == REPLAY_OPEN_MAX || !find_method(service, m->method, &index)) {
        broken(p, "the recording calls a method that is not described");
        return;
    }
    const choir_method *method = choiri_service_method(service, index);
    const choir_type *type = choiri_unit_type(service->unit, method->args);
    choiri_reader r = choiri_reader_of(m->payload);
    choir_arena_reset(p->arena);
    void *args = choir_arena_alloc(p->arena, type->size, type->align);
    if (!args ||
        choiri_value_decode(&r, service->unit, method->args, &p->arena->arena, args, NULL) != CHOIR_OK) {
        broken(p, "recorded arguments cannot be decoded");
        return;
    }
    choir_call_options_init(&o);
    o.metadata = entries;
    o.metadata_len = own_entries(m->metadata, entries);
    o.user_data = (void *)(uintptr_t)(p->calls_len + 1);
    int status = choir_call(p->session, choir_session_root(p->session), index, args, &o, NULL, p->now);
    if (status == CHOIR_OK)
        p->calls[p->calls_len++] = (open_call){0};
    else
        not_taken(p, status);
}

static void reply(player *p, const choiri_message *m) {
    for (uint32_t i = 0; i < p->requests_len; i++) {
        open_request *q = &p->requests[i];
        if (q->wire_id != m->id || q->answered) continue;
        q->answered = true;
        choir_arena_reset(p->arena);
        int status = replay_answer(p->session, &q->event, p->arena, p->now);
        if (status != CHOIR_OK) not_taken(p, status);
        return;
    }
}

static void pass_time(player *p) {
    choir_time t = choir_session_deadline(p->session);
    if (t == CHOIR_TIME_NEVER) return;
    if (t > p->now) p->now = t;
    if (p->attachment) choir_attachment_advance(p->attachment, p->now);
    choir_session_advance(p->session, p->now);
    pump(p);
}

/* Pings with odd nonces are the host's, the others come from keepalive: both ways are played. */
static void ping(player *p, const choiri_message *m) {
    if (m->id % 2 == 0) {
        pass_time(p);
        return;
    }
    int status = choir_session_ping(p->session, p->now);
    if (status != CHOIR_OK) not_taken(p, status);
}

static void act(player *p, const replay_payload *payload) {
    choiri_message m;
    /* Prologue and handshake are the attachment's own doing. None of their payloads is a message: they start
     * with a letter or with a CBOR map, messages with a connection id and a small kind. */
    if (payload->len > 1 && payload->data[1] > CHOIRI_MSG_PONG) return;
    if (!p->session || choiri_message_decode(replay_bytes(payload), &m) != CHOIR_OK) return;
    if (m.kind == CHOIRI_MSG_PING) ping(p, &m);
    if (m.kind != CHOIRI_MSG_REQUEST) return;
    if (m.body == CHOIRI_BODY_CALL) call(p, &m);
    if (m.body == CHOIRI_BODY_RESPONSE) reply(p, &m);
}

/* ---- a run from start to end ---- */

static void start(player *p) {
    choir_attachment_options link;
    choir_session_options o;
    choir_conn_options root;
    choir_attachment_options_init(&link);
    link.framing = p->link.framing;
    if (!p->part->client) {
        if (choir_attachment_new_acceptor(p->world->env, &link, &p->attachment, p->now) != CHOIR_OK)
            broken(p, "no attachment");
        return;
    }
    set_options(p, &o, &root);
    if (choir_session_new(p->world->env, &o, &p->session, p->now) != CHOIR_OK ||
        choir_attachment_new_initiator(p->world->env, &link, p->session, &p->attachment, p->now) != CHOIR_OK)
        broken(p, "no session");
}

static void end_link(player *p) {
    if (p->part->end == REPLAY_SILENCE) {
        for (uint32_t i = 0; i < CLOCK_STEPS && p->attachment; i++) pass_time(p);
    }
    if (!p->attachment) return;
    choir_attachment_closed(p->attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("end of stream"), p->now);
    hang_up(p);
}

static void end_session(player *p) {
    for (uint32_t i = 0; i < p->requests_len; i++) {
        if (!p->requests[i].answered)
            choir_request_drop(p->session, p->requests[i].event.request, NULL, p->now);
    }
    poll(p);
    for (uint32_t i = 0; i < p->calls_len; i++)
        if (p->calls[i].done != 1) broken(p, "a call has not ended");
    for (uint32_t i = 0; i < p->requests_len; i++)
        if (p->requests[i].done != 1) broken(p, "a request has not ended");
    if (p->session && p->closed != 1) broken(p, "the session has not reported its end");
    if (p->session && choir_session_held_requests(p->session) != 0) broken(p, "a request is held for ever");
    choir_session_free(p->session);
}

void replay_play(replay_world *w, const replay_part *part, replay_link link, replay_change change,
                 replay_run *run) {
    player *p = calloc(1, sizeof *p);
    if (!p) abort();
    *p = (player){.world = w, .part = part, .run = run, .link = link, .now = CHOIR_SECOND};
    run->sent.len = run->bytes.len = run->sent_len = run->records_len = 0;
    run->status = CHOIR_OK;
    run->broken[0] = 0;
    w->alloc.random = 1;
    const replay_payload *ours = replay_find_hello(part->recording, part->client);
    if (ours && !replay_hello_read(replay_bytes(ours), &p->ours))
        broken(p, "the recorded Hello cannot be read");
    if (p->ours.max_concurrent_requests == 0) p->ours.max_concurrent_requests = 64;
    if (choir_arena_new(w->env, ARENA_MAX, &p->arena) != CHOIR_OK) abort();
    start(p);
    pump(p);
    for (uint32_t i = 0; i < part->recording->len && p->attachment; i++) {
        const replay_payload *payload = &part->recording->payloads[i];
        if (payload->from_client == part->client)
            act(p, payload);
        else if (payload->delivered)
            feed(p, payload, change);
        pump(p);
    }
    end_link(p);
    end_session(p);
    choir_arena_free(p->arena);
    free(p->stream.data);
    free(p);
}

void replay_run_deinit(replay_run *run) {
    free(run->sent.data);
    free(run->bytes.data);
}

static bool equals(const replay_buffer *a, const replay_buffer *b) {
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

bool replay_sent_equals(const replay_run *a, const replay_run *b) {
    return equals(&a->sent, &b->sent) && a->sent_len == b->sent_len &&
           memcmp(a->sent_at, b->sent_at, a->sent_len * sizeof *a->sent_at) == 0;
}

bool replay_run_equals(const replay_run *a, const replay_run *b) {
    return replay_sent_equals(a, b) && a->status == b->status && equals(&a->bytes, &b->bytes) &&
           a->records_len == b->records_len && strcmp(a->broken, b->broken) == 0 &&
           memcmp(a->records, b->records, a->records_len * sizeof *a->records) == 0;
}
