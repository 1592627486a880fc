/* SPDX-License-Identifier: MIT */
/* Does a run say what the recording says?
 *
 * What we have sent is compared message by message and field by field with what the recorded side sent, in
 * order; which message carries a schema is free, so announcements are compared as a set. What our host was
 * told follows from what the other recorded side sent. Free everywhere: texts of InvalidPayload answers,
 * supports_retry and resume_key. */
#include "replay.h"
#include "schema/wire_schema.h"
#include "testbed/testbed_newer.h"

#include <stdio.h>

#define ANNOUNCED_MAX 64u
#define IDS_MAX       64u

typedef struct comparison {
    const replay_part *part;
    const replay_run *run;
    bool quiet;
    bool failed;
} comparison;

static void differ(comparison *c, uint32_t at, const char *what) {
    c->failed = true;
    if (c->quiet) return;
    printf("# %s as the %s, payload %u: %s\n", c->part->recording->name,
           c->part->client ? "client" : "server", at, what);
}

static bool same(choir_bytes a, choir_bytes b) {
    return choiri_wire_equal(a, b);
}
static choir_bytes piece_bytes(const replay_buffer *b, replay_piece p) {
    return (choir_bytes){p.len > 0 ? b->data + p.at : NULL, p.len};
}
static choir_bytes sent_bytes(const replay_run *run, size_t i) {
    return piece_bytes(&run->sent, run->sent_at[i]);
}

/* Payloads of prologue and handshake cannot be taken for messages; see play.c. */
static bool is_message(choir_bytes b, choiri_message *ret) {
    return b.len > 1 && b.data[1] <= CHOIRI_MSG_PONG && choiri_message_decode(b, ret) == CHOIR_OK;
}
static bool is_schema(choir_bytes b) {
    choiri_message m;
    return is_message(b, &m) && m.kind == CHOIRI_MSG_SCHEMA;
}

/* The recorded message at `i`, if it is one and of that side; an answer that ours has to be unlike is
 * ours. */
static bool recorded(const replay_part *part, uint32_t i, bool of_client, choiri_message *ret) {
    const replay_payload *p = &part->recording->payloads[i];
    if (p->from_client != of_client || !is_message(replay_bytes(p), ret)) return false;
    if (p->answer.len > 0 && !part->calls) ret->payload = p->answer;
    return true;
}

static uint64_t method_id(uint64_t recorded_id, bool calls) {
    return calls && recorded_id == REPLAY_NAMELESS_METHOD ? newer_service.methods[0].id : recorded_id;
}

/* The call that a recorded request id belongs to. Returns its number, counted from 1. */
static uint32_t find_call(const replay_part *part, bool of_client, uint64_t id, choiri_message *ret) {
    uint32_t number = 0;
    for (uint32_t i = 0; i < part->recording->len; i++) {
        if (!recorded(part, i, of_client, ret) || ret->kind != CHOIRI_MSG_REQUEST ||
            ret->body != CHOIRI_BODY_CALL)
            continue;
        number++;
        if (ret->id == id) return number;
    }
    return 0;
}

/* ---- what we sent ---- */

static void compare_metadata(comparison *c, uint32_t at, choir_metadata theirs, choir_metadata ours) {
    choir_metadata_entry a, b;
    if (theirs.count != ours.count) differ(c, at, "another number of metadata entries");
    while (choir_metadata_next(&theirs, &a) && choir_metadata_next(&ours, &b))
        if (!replay_entry_equals(&a, &b)) differ(c, at, "another metadata entry");
}

/* Only the text of an InvalidPayload answer is free. */
static bool same_answer(choir_bytes theirs, choir_bytes ours) {
    static const uint8_t invalid[] = {1, 2};
    choir_str text;
    if (theirs.len < 2 || memcmp(theirs.data, invalid, 2) != 0) return same(theirs, ours);
    if (ours.len < 2 || memcmp(ours.data, invalid, 2) != 0) return false;
    choiri_reader r = choiri_reader_of((choir_bytes){ours.data + 2, ours.len - 2});
    return choiri_read_string(&r, &text) && choiri_reader_left(&r) == 0;
}

static void compare_messages(comparison *c, uint32_t at, const choiri_message *theirs,
                             const choiri_message *ours) {
    bool response = theirs->kind == CHOIRI_MSG_REQUEST && theirs->body == CHOIRI_BODY_RESPONSE;
    if (theirs->kind != ours->kind || theirs->body != ours->body) {
        differ(c, at, "another kind of message");
        return;
    }
    if (theirs->conn != ours->conn) differ(c, at, "another connection id");
    if (theirs->id != ours->id) differ(c, at, "another id");
    if (method_id(theirs->method, c->part->calls) != ours->method) differ(c, at, "another method id");
    compare_metadata(c, at, theirs->metadata, ours->metadata);
    if (response ? !same_answer(theirs->payload, ours->payload) : !same(theirs->payload, ours->payload))
        differ(c, at, response ? "another answer" : "other arguments");
    if (theirs->settings.parity != ours->settings.parity ||
        theirs->settings.max_concurrent_requests != ours->settings.max_concurrent_requests)
        differ(c, at, "other settings");
}

static void compare_hellos(comparison *c, uint32_t at, const replay_hello *theirs, const replay_hello *ours) {
    if (theirs->name.len != ours->name.len) differ(c, at, "another handshake message");
    if (!same(theirs->parity, ours->parity)) differ(c, at, "another parity");
    if (!same(theirs->settings, ours->settings)) differ(c, at, "other settings");
    if (!same(theirs->schema, ours->schema)) differ(c, at, "another message schema");
    size_t extra = c->part->free_service && theirs->entries_len == 0 ? 1 : 0;
    if (ours->entries_len != theirs->entries_len + extra) differ(c, at, "another number of metadata entries");
    for (size_t i = 0; i < theirs->entries_len && i < ours->entries_len; i++)
        if (!replay_entry_equals(&theirs->entries[i], &ours->entries[i]))
            differ(c, at, "another metadata entry");
}

/* Takes out what recorded peers did not say, because it is choir's own. rule: ours.keys */
static void drop_own(replay_hello *h) {
    size_t left = 0;
    for (size_t i = 0; i < h->entries_len; i++) {
        choir_str key = h->entries[i].key;
        if (key.len < 5 || memcmp(key.data, "choir", 5) != 0) h->entries[left++] = h->entries[i];
    }
    h->entries_len = left;
}

static void compare_payloads(comparison *c, uint32_t at, choir_bytes theirs, choir_bytes ours) {
    choiri_message their_message, our_message;
    replay_hello their_hello, our_hello;
    bool messages = recorded(c->part, at, c->part->client, &their_message),
         hellos = replay_hello_read(theirs, &their_hello);
    bool our_hellos = replay_hello_read(ours, &our_hello);
    if (our_hellos) drop_own(&our_hello);
    if (messages != is_message(ours, &our_message) || hellos != our_hellos)
        differ(c, at, "another kind of payload");
    else if (messages)
        compare_messages(c, at, &their_message, &our_message);
    else if (hellos)
        compare_hellos(c, at, &their_hello, &our_hello);
    else if (!same(theirs, ours))
        differ(c, at, "other bytes");
}

static void compare_sent(comparison *c) {
    const replay_recording *r = c->part->recording;
    size_t next = 0;
    for (uint32_t i = 0; i < r->len; i++) {
        choir_bytes theirs = replay_bytes(&r->payloads[i]);
        if (r->payloads[i].from_client != c->part->client || is_schema(theirs)) continue;
        while (next < c->run->sent_len && is_schema(sent_bytes(c->run, next))) next++;
        if (next == c->run->sent_len) {
            differ(c, i, "was not sent");
            return;
        }
        compare_payloads(c, i, theirs, sent_bytes(c->run, next++));
    }
    if (c->run->sent_len - next != c->part->more) differ(c, r->len, "another number of messages was sent");
}

/* ---- announcements ---- */

typedef struct announcement {
    uint64_t method;
    uint8_t direction;
    bool found;
    choir_bytes root;
    uint64_t ids[IDS_MAX];
    size_t ids_len;
} announcement;

typedef struct announcements {
    announcement list[ANNOUNCED_MAX];
    size_t len;
    uint64_t ids[ANNOUNCED_MAX * IDS_MAX]; /* of all of them */
    size_t ids_len;
} announcements;

static bool has_id(const uint64_t *ids, size_t len, uint64_t id) {
    for (size_t i = 0; i < len; i++)
        if (ids[i] == id) return true;
    return false;
}

/* Reads one SchemaPayload; false when it cannot be read or is too long. */
static bool announce(announcements *all, uint64_t method, uint8_t direction, choir_bytes schemas) {
    choiri_wire_reader w = choiri_wire_reader_of(schemas);
    choiri_wire_object payload, schema;
    if (all->len == ANNOUNCED_MAX || !choiri_wire_read_payload(&w, &payload)) return false;
    announcement *a = &all->list[all->len++];
    *a = (announcement){.method = method, .direction = direction, .root = payload.members[1].span};
    w = choiri_wire_reader_of(payload.members[0].span);
    for (uint64_t i = 0; i < payload.members[0].number; i++) {
        if (i == IDS_MAX || !choiri_wire_read_schema(&w, &schema)) return false;
        a->ids[a->ids_len++] = schema.members[0].number;
        all->ids[all->ids_len++] = schema.members[0].number;
    }
    return true;
}

static bool announce_message(comparison *c, announcements *all, choir_bytes payload) {
    choiri_message m, called;
    bool calls = c->part->calls;
    if (!is_message(payload, &m) || m.schemas.len == 0) return true;
    if (m.kind == CHOIRI_MSG_SCHEMA) return announce(all, method_id(m.method, calls), m.direction, m.schemas);
    if (m.body == CHOIRI_BODY_CALL)
        return announce(all, method_id(m.method, calls), CHOIRI_DIRECTION_ARGS, m.schemas);
    return find_call(c->part, !c->part->client, m.id, &called) > 0 &&
           announce(all, called.method, CHOIRI_DIRECTION_RESPONSE, m.schemas);
}

static bool is_free(const replay_part *part, const announcement *a) {
    return part->free_binding == a->method && a->direction == CHOIRI_DIRECTION_RESPONSE;
}

static bool same_announcement(const replay_part *part, const announcement *theirs, const announcement *ours) {
    if (theirs->method != ours->method || theirs->direction != ours->direction) return false;
    if (is_free(part, ours)) return true;
    if (!same(theirs->root, ours->root)) return false;
    if (part->free_schemas) return true;
    for (size_t i = 0; i < ours->ids_len; i++)
        if (!has_id(theirs->ids, theirs->ids_len, ours->ids[i])) return false;
    return theirs->ids_len == ours->ids_len;
}

static void match_announcements(comparison *c, announcements *theirs, announcements *ours) {
    uint32_t end = c->part->recording->len;
    for (size_t i = 0; i < theirs->len; i++) {
        size_t k = 0;
        while (k < ours->len &&
               (ours->list[k].found || !same_announcement(c->part, &theirs->list[i], &ours->list[k])))
            k++;
        if (k == ours->len)
            differ(c, end, "a recorded announcement was not made");
        else
            ours->list[k].found = true;
        for (size_t j = 0; j < theirs->list[i].ids_len && !is_free(c->part, &theirs->list[i]); j++)
            if (!has_id(ours->ids, ours->ids_len, theirs->list[i].ids[j]))
                differ(c, end, "a recorded type was not announced");
    }
    for (size_t k = 0; k < ours->len; k++)
        if (!ours->list[k].found && !c->part->free_schemas && !is_free(c->part, &ours->list[k]))
            differ(c, end, "an announcement more than recorded");
    for (size_t i = 0; i < ours->ids_len; i++)
        if (has_id(ours->ids, i, ours->ids[i])) differ(c, end, "a type was announced twice");
}

static void compare_announcements(comparison *c) {
    static announcements theirs, ours; /* large; this program has one thread */
    const replay_recording *r = c->part->recording;
    bool ok = true;
    theirs.len = ours.len = theirs.ids_len = ours.ids_len = 0;
    for (uint32_t i = 0; i < r->len; i++)
        if (r->payloads[i].from_client == c->part->client)
            ok = ok && announce_message(c, &theirs, replay_bytes(&r->payloads[i]));
    for (size_t i = 0; i < c->run->sent_len; i++)
        ok = ok && announce_message(c, &ours, sent_bytes(c->run, i));
    if (ok)
        match_announcements(c, &theirs, &ours);
    else
        differ(c, r->len, "announcements cannot be read");
}

/* ---- what the host was told ---- */

/* A session's life in the order it must have; the position in it, counted from 1, or 0 for what is not part
 * of it. */
static uint32_t life_step(const replay_record *r) {
    static const uint32_t life[] = {REPLAY_HELLO, CHOIR_EVENT_SESSION_ESTABLISHED,
                                    CHOIR_EVENT_SESSION_DETACHED, CHOIR_EVENT_CONN_CLOSED,
                                    CHOIR_EVENT_SESSION_CLOSED};
    for (uint32_t i = 0; i < sizeof life / sizeof *life; i++)
        if (life[i] == r->kind) return i + 1;
    return 0;
}

/* The next event about a call, a request or a ping; NULL behind the last. */
static const replay_record *next_record(const replay_run *run, size_t *at) {
    while (*at < run->records_len) {
        const replay_record *r = &run->records[(*at)++];
        if (life_step(r) == 0) return r;
    }
    return NULL;
}

/* What the recorded answer means: how the call ends, and the bytes of its value. */
static uint32_t outcome_of(choir_bytes ret, choir_bytes *value) {
    size_t tags = ret.len > 0 && ret.data[0] == 0 ? 1 : 2;
    *value = (choir_bytes){ret.data + tags, ret.len - tags};
    return tags == 1 ? CHOIR_OUTCOME_OK : ret.data[1] + 1u;
}

/* Requests that the library refuses itself are not reported. */
static bool is_reported(uint32_t outcome) {
    return outcome == CHOIR_OUTCOME_OK || outcome == CHOIR_OUTCOME_USER_ERROR;
}

static void compare_done(comparison *c, uint32_t at, const replay_record *r, const choiri_message *response) {
    choiri_message called;
    choir_bytes value, text = {NULL, 0};
    uint32_t outcome = outcome_of(response->payload, &value);
    uint32_t number = find_call(c->part, c->part->client, response->id, &called);
    const replay_payload *p = &c->part->recording->payloads[at];
    choir_bytes raw = value;
    if (p->reads == REPLAY_OTHER) value = p->seen;
    if (p->reads == REPLAY_UNREADABLE) { /* the text is our own */
        outcome = CHOIR_OUTCOME_INVALID_PAYLOAD;
        value = raw = (choir_bytes){NULL, 0};
        text = r ? piece_bytes(&c->run->bytes, r->text) : value;
    } else if (outcome == CHOIR_OUTCOME_INVALID_PAYLOAD) {
        choiri_reader reader = choiri_reader_of(value);
        choiri_read_bytes(&reader, &text);
        value = raw = (choir_bytes){NULL, 0};
    }
    if (!r || r->kind != CHOIR_EVENT_CALL_DONE || r->number != number) {
        differ(c, at, "no call has ended, or another one");
        return;
    }
    if (r->outcome != outcome) differ(c, at, "another outcome");
    if (r->method != method_id(called.method, c->part->calls)) differ(c, at, "another method");
    if (!same(piece_bytes(&c->run->bytes, r->value), value)) differ(c, at, "another value");
    if (!same(piece_bytes(&c->run->bytes, r->payload), raw)) differ(c, at, "other bytes of the value");
    if (!same(piece_bytes(&c->run->bytes, r->text), text)) differ(c, at, "another text");
    if (!same(piece_bytes(&c->run->bytes, r->metadata), response->metadata.entries))
        differ(c, at, "other metadata");
}

static void compare_request(comparison *c, uint32_t at, const replay_record *r,
                            const choiri_message *called) {
    choiri_message found;
    const replay_payload *p = &c->part->recording->payloads[at];
    choir_bytes value = p->reads == REPLAY_OTHER ? p->seen : called->payload;
    if (!r || r->kind != CHOIR_EVENT_REQUEST) {
        differ(c, at, "no request");
        return;
    }
    if (r->method != called->method) differ(c, at, "a request of another method");
    if (!same(piece_bytes(&c->run->bytes, r->value), value)) differ(c, at, "other arguments");
    if (!same(piece_bytes(&c->run->bytes, r->payload), called->payload))
        differ(c, at, "other bytes of arguments");
    if (!same(piece_bytes(&c->run->bytes, r->metadata), called->metadata.entries) ||
        r->metadata_count != called->metadata.count)
        differ(c, at, "other metadata");
    if (find_call(c->part, !c->part->client, called->id, &found) == 0)
        differ(c, at, "a request that was not made");
}

/* The recorded answer to a recorded call; false when there is none. */
static bool find_answer(const replay_part *part, uint64_t id, choiri_message *ret) {
    for (uint32_t i = 0; i < part->recording->len; i++)
        if (recorded(part, i, part->client != part->calls, ret) && ret->kind == CHOIRI_MSG_REQUEST &&
            ret->body == CHOIRI_BODY_RESPONSE && ret->id == id)
            return true;
    return false;
}

static void compare_client_event(comparison *c, uint32_t at, const choiri_message *m, size_t *next) {
    if (m->kind == CHOIRI_MSG_REQUEST && m->body == CHOIRI_BODY_RESPONSE) {
        compare_done(c, at, next_record(c->run, next), m);
    } else if (m->kind == CHOIRI_MSG_PONG && m->id % 2 == 1) { /* the host's own pings: see play.c */
        const replay_record *r = next_record(c->run, next);
        if (!r || r->kind != CHOIR_EVENT_SESSION_PONG) differ(c, at, "no pong was reported");
    }
}

static void compare_server_event(comparison *c, uint32_t at, bool from_peer, const choiri_message *m,
                                 size_t *next) {
    choiri_message answer;
    choir_bytes value;
    if (m->kind == CHOIRI_MSG_PONG && from_peer && m->id % 2 == 1) {
        const replay_record *r = next_record(c->run, next);
        if (!r || r->kind != CHOIR_EVENT_SESSION_PONG) differ(c, at, "no pong was reported");
        return;
    }
    if (m->kind != CHOIRI_MSG_REQUEST) return;
    if (!find_answer(c->part, m->id, &answer)) {
        differ(c, at, "a recorded call without an answer");
        return;
    }
    uint32_t outcome = outcome_of(answer.payload, &value);
    if (!is_reported(outcome)) return;
    const replay_record *r = next_record(c->run, next);
    if (from_peer)
        compare_request(c, at, r, m);
    else if (!r || r->kind != CHOIR_EVENT_REQUEST_DONE || r->outcome != outcome)
        differ(c, at, "the request has not ended so");
}

static void compare_events(comparison *c) {
    const replay_recording *r = c->part->recording;
    size_t next = 0;
    uint32_t unanswered = 0;
    choiri_message m, answer;
    for (uint32_t i = 0; i < r->len; i++) {
        if (!is_message(replay_bytes(&r->payloads[i]), &m)) continue;
        bool from_peer = r->payloads[i].from_client != c->part->client;
        if (!c->part->calls)
            compare_server_event(c, i, from_peer, &m, &next);
        else if (from_peer && r->payloads[i].delivered)
            compare_client_event(c, i, &m, &next);
        if (from_peer && !r->payloads[i].delivered && m.kind == CHOIRI_MSG_REQUEST &&
            find_answer(c->part, m.id, &answer))
            unanswered++;
    }
    for (; c->part->calls && unanswered > 0; unanswered--) {
        const replay_record *done = next_record(c->run, &next);
        if (!done || done->kind != CHOIR_EVENT_CALL_DONE || done->outcome != CHOIR_OUTCOME_CONNECTION_CLOSED)
            differ(c, r->len, "an unanswered call has not ended with its connection");
    }
    if (next_record(c->run, &next)) differ(c, r->len, "more events than the recording leads to");
}

/* The peer's metadata and number, as the Hello and ESTABLISHED tell them. */
static void compare_greeting(comparison *c, const replay_record *r, const replay_hello *peer) {
    uint32_t end = c->part->recording->len;
    choir_metadata list = {piece_bytes(&c->run->bytes, r->metadata), r->metadata_count};
    choir_metadata_entry e;
    size_t n = 0;
    for (; n < peer->entries_len && choir_metadata_next(&list, &e); n++)
        if (!replay_entry_equals(&e, &peer->entries[n])) break;
    if (n != peer->entries_len || r->metadata_count != n) differ(c, end, "other metadata than the peer's");
    if (r->outcome != peer->max_concurrent_requests)
        differ(c, end, "another number of requests than the peer's");
}

/* The session comes to be when both have shaken hands, and ends once. */
static void compare_life(comparison *c) {
    const replay_payload *theirs = replay_find_hello(c->part->recording, !c->part->client);
    uint32_t end = c->part->recording->len, last = 0;
    replay_hello peer;
    bool greeted = false;
    bool hello = theirs && replay_hello_read(replay_bytes(theirs), &peer);
    for (size_t i = 0; i < c->run->records_len; i++) {
        const replay_record *r = &c->run->records[i];
        uint32_t step = life_step(r);
        if (step == 0) continue;
        if (step <= last) differ(c, end, "the session's events are out of order");
        last = step;
        if (r->kind == CHOIR_EVENT_SESSION_ESTABLISHED) greeted = true;
        if (step > 2 ? r->status != c->part->status : !hello) differ(c, end, "another start or end");
        if (step <= 2 && hello) compare_greeting(c, r, &peer);
    }
    if (greeted != (hello && replay_find_hello(c->part->recording, c->part->client)))
        differ(c, end, "established, or not, unlike the recording");
}

bool replay_compare(const replay_part *part, const replay_run *run, bool quiet) {
    comparison c = {.part = part, .run = run, .quiet = quiet};
    if (run->broken[0]) differ(&c, part->recording->len, run->broken);
    if (run->status != part->status) differ(&c, part->recording->len, choir_status_text(run->status));
    compare_sent(&c);
    compare_announcements(&c);
    compare_events(&c);
    compare_life(&c);
    return !c.failed;
}
