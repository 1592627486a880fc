/* SPDX-License-Identifier: MIT */
#include "testing/peer.h"

#include "base/bytes.h"
#include "base/pool.h"
#include "link/prologue.h"
#include "session/handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "test peer: %s\n", what);
    abort();
}

void test_peer_init(test_peer *p) {
    memset(p, 0, sizeof *p);
    p->now = CHOIR_SECOND;
    test_events_init(&p->events, "session");
    choir_env_options_init(&p->env_options);
    choir_session_options_init(&p->options);
    choir_conn_options_init(&p->root);
    choir_attachment_options_init(&p->link);
    p->root.serve = &trial_served;
    p->root.call = &trial_service;
}

/* ---- output ---- */

/* Room for so many bytes more. */
static uint8_t *grow(test_peer *p, size_t len) {
    if (p->received_len + len > p->received_cap) {
        p->received_cap = (p->received_len + len) * 2;
        p->received = realloc(p->received, p->received_cap);
        check(p->received, "no memory");
    }
    uint8_t *at = p->received + p->received_len;
    p->received_len += len;
    return at;
}

static void store_le32(uint8_t *to, size_t n) {
    for (size_t i = 0; i < 4; i++) to[i] = (uint8_t)(n >> 8 * i);
}

/* A link that keeps boundaries takes all that a peek offers, which is one payload. It is kept with its length
 * in front, as a stream would have brought it. */
size_t test_peer_take_part(test_peer *p, size_t max) {
    choir_iov iov[16];
    bool whole = p->link.framing == CHOIR_FRAMING_NONE;
    size_t total = 0, n = p->attachment ? choir_attachment_peek(p->attachment, iov, 16) : 0;
    if (n == 0 || max == 0) return 0;
    size_t head = p->received_len;
    if (whole) grow(p, 4);
    for (size_t i = 0; i < n && (whole || total < max); i++) {
        size_t len = whole || iov[i].len < max - total ? iov[i].len : max - total;
        if (len > 0) memcpy(grow(p, len), iov[i].base, len);
        total += len;
    }
    if (whole) store_le32(p->received + head, total);
    check(choir_attachment_consume(p->attachment, total, p->now) == CHOIR_OK, "consume");
    test_peer_poll(p);
    return total;
}

void test_peer_take(test_peer *p) {
    while (test_peer_take_part(p, SIZE_MAX) > 0) {
    }
}

bool test_peer_next_frame(test_peer *p, choir_bytes *ret_payload) {
    if (!p->deaf) test_peer_take(p);
    if (p->read == p->received_len) return false;
    size_t left = p->received_len - p->read;
    if (p->gave_up && (left < 4 || left - 4 < choiri_load_le32(p->received + p->read))) return false;
    check(left >= 4, "half a length was written");
    uint32_t len = choiri_load_le32(p->received + p->read);
    check(left - 4 >= len, "half a payload was written");
    *ret_payload = (choir_bytes){p->received + p->read + 4, len};
    p->read += 4 + len;
    return true;
}

bool test_peer_next(test_peer *p, choiri_message *ret_msg) {
    choir_bytes payload;
    if (!test_peer_next_frame(p, &payload)) return false;
    check(choiri_message_decode(payload, ret_msg) == CHOIR_OK, "the session wrote what is no message");
    return true;
}

void test_peer_skip(test_peer *p) {
    if (!p->deaf) test_peer_take(p);
    p->read = p->received_len = 0;
}

/* ---- input ---- */

void test_peer_poll(test_peer *p) {
    const choir_event *e;
    while (p->session && (e = choir_session_poll(p->session))) {
        test_events_add(&p->events, e);
        if (p->on_event) p->on_event(p, e);
    }
}

/* A Hello is accepted, unless it brings a resume key or there is no memory for a session. */
static void decide(test_peer *p) {
    if (p->session || !choir_attachment_hello(p->attachment)) return;
    int status = choir_attachment_accept(p->attachment, &p->options, &p->session, p->now);
    if (status == CHOIR_OK) return;
    check(status == CHOIR_ERR_UNSUPPORTED || status == CHOIR_ERR_NO_MEMORY, "accept");
    choir_attachment_refuse(p->attachment, NULL, p->now);
}

int test_peer_raw(test_peer *p, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    test_peer_poll(p);
    do {
        size_t used = 0;
        p->status = choir_attachment_receive(p->attachment, at, len, NULL, &used, p->now);
        test_peer_poll(p);
        decide(p);
        if (!p->deaf) test_peer_take(p);
        if (p->status != CHOIR_OK) break;
        at += used;
        len -= used;
    } while (len > 0);
    return p->status;
}

/* What `w` wrote is fed and forgotten; a stream wants its length in front. */
static int feed_queue(test_peer *p, choiri_outq *q, choiri_writer *w) {
    check(choiri_writer_finish(w) == CHOIR_OK, "cannot encode");
    size_t len = (size_t)q->bytes;
    uint8_t *copy = malloc(4 + len);
    check(copy, "no memory");
    choiri_store_le32(copy, (uint32_t)len);
    choiri_outq_copy(q, 0, copy + 4, len);
    choiri_outq_deinit(q);
    size_t head = p->link.framing == CHOIR_FRAMING_NONE ? 4 : 0;
    int status = test_peer_raw(p, copy + head, 4 + len - head);
    free(copy);
    return status;
}

int test_peer_frame(test_peer *p, const void *payload, size_t len) {
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, p->own_env);
    choiri_writer_init(&w, &q, NULL);
    choiri_write_raw(&w, payload, len);
    return feed_queue(p, &q, &w);
}

int test_peer_message(test_peer *p, const choiri_message *msg) {
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, p->own_env);
    choiri_writer_init(&w, &q, NULL);
    choiri_message_encode(&w, msg, NULL, 0);
    return feed_queue(p, &q, &w);
}

int test_peer_hello(test_peer *p) {
    static const uint8_t hello[] =
        "\xa1\x65Hello\xa6\x66parity\xa1\x63Odd\xf6\x73"
        "connection_settings\xa2\x66parity\xa1\x63Odd\xf6\x77max_concurrent_requests\x18\x40\x76"
        "message_payload_schema\x80\x6esupports_retry\xf5\x6aresume_key\xf6\x68metadata\x81\xa3\x63key\x6bvox-service\x65"
        "value\xa1\x66String\x65Trial\x65"
        "flags";
    static const uint8_t yourself[] =
        "\xa1\x6dHelloYourself\xa5\x73"
        "connection_settings\xa2\x66parity\xa1\x64"
        "Even\xf6\x77max_concurrent_requests\x18\x40\x76"
        "message_payload_schema\x80\x6esupports_retry\xf4\x6aresume_key\xf6\x68metadata\x80";
    /* The first one's last byte, flags 0, is the literal's NUL. */
    if (!p->initiator) return test_peer_frame(p, hello, sizeof hello);
    return test_peer_frame(p, yourself, sizeof yourself - 1);
}

int test_peer_lets_go(test_peer *p) {
    return test_peer_frame(p, "\xa1\x66LetsGo\xa0", 9);
}

static const choiri_prepared *prepared(test_peer *p) {
    const choiri_prepared *service;
    choiri_text text;
    check(choiri_prepare(p->own_env, &trial_service, &service, &text) == CHOIR_OK, text.data);
    return service;
}

choir_bytes test_peer_schemas(test_peer *p, uint32_t method, bool response) {
    static uint8_t bytes[8192];
    const choiri_prepared_method *m = &prepared(p)->methods[method];
    const choiri_schema_set *a = response ? &m->response : &m->args;
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, p->own_env);
    choiri_writer_init(&w, &q, NULL);
    check(choiri_send_tracker_reserve(&p->announced, a) == CHOIR_OK, "no memory");
    choiri_send_tracker_write(&p->announced, a, &w);
    choiri_send_tracker_commit(&p->announced, a);
    check(choiri_writer_finish(&w) == CHOIR_OK && q.bytes <= sizeof bytes, "cannot encode schemas");
    size_t len = choiri_outq_copy(&q, 0, bytes, sizeof bytes);
    choiri_outq_deinit(&q);
    choiri_reader r = choiri_reader_of((choir_bytes){bytes, len});
    choir_bytes ret;
    check(choiri_read_bytes(&r, &ret), "cannot read schemas"); /* without the length in front */
    return ret;
}

int test_peer_call_bare(test_peer *p, uint64_t id, uint64_t method_id, const void *args, size_t len) {
    return test_peer_message(p, &(choiri_message){.kind = CHOIRI_MSG_REQUEST,
                                                  .body = CHOIRI_BODY_CALL,
                                                  .id = id,
                                                  .method = method_id,
                                                  .payload = {args, len}});
}

int test_peer_call(test_peer *p, uint64_t id, uint32_t method, const void *args, size_t len) {
    choiri_message m = {.kind = CHOIRI_MSG_REQUEST,
                        .body = CHOIRI_BODY_CALL,
                        .id = id,
                        .method = trial_service.methods[method].id,
                        .payload = {args, len}};
    if (!p->announced_args[method]) m.schemas = test_peer_schemas(p, method, false);
    p->announced_args[method] = true;
    return test_peer_message(p, &m);
}

int test_peer_answer(test_peer *p, uint64_t id, uint32_t method, const void *ret, size_t len) {
    choiri_message m = {
        .kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_RESPONSE, .id = id, .payload = {ret, len}};
    if (!p->announced_answer[method]) m.schemas = test_peer_schemas(p, method, true);
    p->announced_answer[method] = true;
    return test_peer_message(p, &m);
}

int test_peer_cancel(test_peer *p, uint64_t id) {
    return test_peer_message(
        p, &(choiri_message){.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CANCEL, .id = id});
}

int test_peer_ping(test_peer *p, uint64_t nonce) {
    return test_peer_message(p, &(choiri_message){.kind = CHOIRI_MSG_PING, .id = nonce});
}

/* ---- life ---- */

static const uint64_t map_seed[2] = {1, 2};

static void create_envs(test_peer *p) {
    p->own_env = test_env(&p->own_alloc);
    p->env = test_env(&p->alloc);
    check(p->own_env && p->env, "no environment");
    if (p->env_options.log) {
        p->env->log = p->env_options.log;
        p->env->log_ctx = p->env_options.log_ctx;
        p->env->log_level = p->env_options.log_level;
    }
    choiri_send_tracker_init(&p->announced, p->own_env, map_seed);
}

static void create_session(test_peer *p) {
    if (!p->initiator) {
        check(choir_attachment_new_acceptor(p->env, &p->link, &p->attachment, p->now) == CHOIR_OK,
              "acceptor");
        return;
    }
    check(choir_session_new(p->env, &p->options, &p->session, p->now) == CHOIR_OK, "session");
    check(choir_attachment_new_initiator(p->env, &p->link, p->session, &p->attachment, p->now) == CHOIR_OK,
          "initiator");
}

static void bring_to(test_peer *p, test_stage stage) {
    p->is_open = true;
    p->gave_up = false;
    p->options.root = &p->root;
    create_session(p);
    if (stage >= TEST_STAGE_PROLOGUE) {
        uint8_t prologue[CHOIRI_PROLOGUE_LEN];
        choiri_prologue_hello(CHOIRI_MODE_BARE, prologue);
        if (p->initiator) prologue[3] = 'A'; /* VOTA */
        check(test_peer_frame(p, prologue, sizeof prologue) == CHOIR_OK, "prologue");
    }
    if (stage >= TEST_STAGE_HELLO) check(test_peer_hello(p) == CHOIR_OK, "hello");
    if (stage >= TEST_STAGE_OPEN && !p->initiator) check(test_peer_lets_go(p) == CHOIR_OK, "lets go");
    check((stage == TEST_STAGE_OPEN) == (p->session && choir_session_is_established(p->session)), "stage");
    test_peer_skip(p);
}

void test_peer_open(test_peer *p, test_stage stage) {
    create_envs(p);
    bring_to(p, stage);
}

void test_peer_close(test_peer *p) {
    if (!p->is_open) return;
    p->is_open = false;
    if (p->attachment) choir_attachment_closed(p->attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("cut"), p->now);
    test_peer_poll(p);
    check(!p->session || p->events.closed, "the link ended and the session did not");
    if (p->attachment && !choir_attachment_session(p->attachment))
        choir_attachment_free(p->attachment, p->now);
    choir_session_free(p->session);
    p->session = NULL;
    p->attachment = NULL;
    test_events_deinit(&p->events);
    choiri_send_tracker_deinit(&p->announced);
}

void test_peer_reopen(test_peer *p, test_stage stage) {
    bool quiet = p->events.quiet;
    test_peer_close(p);
    test_events_init(&p->events, "session");
    p->events.quiet = quiet;
    choiri_send_tracker_init(&p->announced, p->own_env, map_seed);
    memset(p->announced_args, 0, sizeof p->announced_args);
    memset(p->announced_answer, 0, sizeof p->announced_answer);
    bring_to(p, stage);
}

uint64_t test_peer_deinit(test_peer *p) {
    test_peer_close(p);
    choir_env_free(p->env);
    choir_env_free(p->own_env);
    check(p->own_alloc.bytes == 0, "the peer itself leaks");
    free(p->received);
    return p->alloc.bytes;
}

/* ---- memory ---- */

typedef struct hoarded {
    void *next;
    size_t size;
} hoarded;

void test_peer_exhaust(test_peer *p) {
    p->alloc.fail_at = p->alloc.calls + 1;
    p->alloc.fail_after = true;
    for (size_t size = 64; size <= CHOIRI_OBJ_MAX; size *= 2) {
        hoarded *h;
        while ((h = choiri_obj_alloc(p->env, size))) {
            *h = (hoarded){p->hoard, size};
            p->hoard = h;
        }
    }
}

void test_peer_restore(test_peer *p) {
    p->alloc.fail_at = 0;
    p->alloc.fail_after = false;
    while (p->hoard) {
        hoarded *h = p->hoard;
        p->hoard = h->next;
        choiri_obj_free(p->env, h, h->size);
    }
}

/* ---- time ---- */

void test_peer_sleep(test_peer *p, choir_duration d) {
    choir_time end = p->now + d;
    int due = 0; /* rounds in a row in which something was due at once */
    if (!p->deaf) test_peer_take(p);
    while (p->now < end) {
        choir_time t = choir_attachment_deadline(p->attachment);
        choir_time u = p->session ? choir_session_deadline(p->session) : CHOIR_TIME_NEVER;
        if (u < t) t = u;
        due = t > p->now ? 0 : due + 1;
        if (due > 2) abort(); /* what advance leaves due makes a host spin */
        if (due == 0) p->now = t < end ? t : end;
        uint64_t waits = choir_attachment_pending(p->attachment);
        choir_attachment_advance(p->attachment, p->now);
        if (p->session) choir_session_advance(p->session, p->now);
        if (choir_attachment_pending(p->attachment) < waits) p->gave_up = true;
        test_peer_poll(p);
        if (!p->deaf) test_peer_take(p);
    }
}
