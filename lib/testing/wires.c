/* SPDX-License-Identifier: MIT */
#include "testing/wires.h"

#include "session/attachment.h"
#include "testing/accounting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "test wires: %s\n", what);
    abort();
}

static test_wire_end *end_of(const choir_session *s) {
    return s->user_data;
}

/* ---- the driver ---- */

static void hot_init(choiri_hot *hot) {
    (void)hot;
}
static bool hot_is_idle(const choiri_hot *hot) {
    (void)hot;
    return true;
}

static void on_opened(choir_session *s, choiri_conn *c, choir_time now) {
    (void)c, (void)now;
    if (end_of(s)) end_of(s)->opened++;
}

static void on_message(choir_session *s, choiri_conn *c, const choiri_message *msg, const choiri_frame *frame,
                       choir_time now) {
    (void)frame;
    test_wire_end *end = end_of(s);
    if (msg->kind != CHOIRI_MSG_SCHEMA) {
        choiri_hot *hot = choiri_conn_heat(s, c);
        check(hot, "no memory");
        choiri_conn_glitch(hot, now);
        return;
    }
    check(c->wire_id < TEST_WIRES_MAX, "too many connections");
    check(msg->method > end->last_method[c->wire_id], "messages of a connection are out of order");
    end->last_method[c->wire_id] = msg->method;
    end->received[c->wire_id] += msg->schemas.len;
    end->order[c->wire_id] = ++end->messages;
}

static void on_go_on(choir_session *s, choiri_hot *hot, choir_time now) {
    (void)hot, (void)now;
    end_of(s)->went_on++;
}

static void on_shutdown(choir_session *s, choiri_conn *c, choir_time now) {
    (void)s, (void)c, (void)now;
}
static void on_ended(choir_session *s, choiri_conn *c, int status) {
    (void)s, (void)c, (void)status;
}
static void lasting_free(choir_session *s, choiri_conn *c) {
    (void)s, (void)c;
}

static const choiri_driver driver = {
    .hot_size = sizeof(choiri_hot),
    .hot_init = hot_init,
    .hot_is_idle = hot_is_idle,
    .hot_deinit = hot_init,
    .opened = on_opened,
    .message = on_message,
    .go_on = on_go_on,
    .shutdown = on_shutdown,
    .ended = on_ended,
    .lasting_free = lasting_free,
};

/* ---- what all connections have in common ---- */

static bool report(choir_session *s, choiri_ready *node, choir_event *event) {
    (void)s, (void)node, (void)event;
    check(false, "a node that nobody has");
    return false;
}
static void retire(choir_session *s, choiri_ready *node) {
    (void)s, (void)node;
}
static void left(choir_session *s, choiri_leaving *leaving, bool taken) {
    (void)leaving;
    end_of(s)->left += taken;
}
static void expired(choir_session *s, choiri_timer *timer, choir_time now) {
    (void)s, (void)timer, (void)now;
}

static void init_conn(const test_wires *w, uint8_t parity, choiri_conn_init *ret) {
    memset(ret, 0, sizeof *ret);
    ret->like.driver = &driver;
    ret->like.limits = choiri_limits_of(&w->conn);
    ret->parity = parity;
}

static void offered(choir_session *s, choiri_conn *c, const choiri_message *open, choir_time now) {
    (void)open;
    test_wire_end *end = end_of(s);
    choiri_conn_init init;
    init_conn(end->wires, choiri_conn_parity(c), &init);
    int status = end->reject ? choiri_conn_reject(s, c, CHOIR_STR("not today"), now)
                             : choiri_conn_accept(s, c, &init, now);
    check(status == CHOIR_OK, "accept");
}

static const choiri_upper upper = {report, retire, left, expired, offered};

/* ---- life ---- */

void test_wires_init(test_wires *w) {
    memset(w, 0, sizeof *w);
    w->now = CHOIR_SECOND;
    w->client.wires = w->server.wires = w;
    choir_attachment_options_init(&w->link);
    choir_session_options_init(&w->options);
    choir_conn_options_init(&w->conn);
    w->options.keepalive_idle = w->options.keepalive_busy = w->options.keepalive_send = 0;
    w->options.max_connections = TEST_WIRES_MAX;
}

static choir_session *new_session(test_wires *w, test_wire_end *end, bool initiator) {
    choiri_conn_init init;
    choir_session *s;
    init_conn(w, initiator ? CHOIRI_PARITY_ODD : CHOIRI_PARITY_EVEN, &init);
    w->options.user_data = end;
    check(choiri_session_make(w->env, &w->options, &init, &upper, initiator, &choiri_codec_postcard, &s,
                              w->now) == CHOIR_OK,
          "session");
    s->given = true;
    return s;
}

static void poll(test_wire_end *end) {
    const choir_event *e;
    while (end->session && (e = choir_session_poll(end->session))) {
        end->detached += e->kind == CHOIR_EVENT_SESSION_DETACHED;
        end->resumed += e->kind == CHOIR_EVENT_SESSION_RESUMED;
        end->established += e->kind == CHOIR_EVENT_SESSION_ESTABLISHED;
        end->ended += e->kind == CHOIR_EVENT_SESSION_CLOSED;
        end->pongs += e->kind == CHOIR_EVENT_SESSION_PONG;
        if (e->kind != CHOIR_EVENT_CONN_CLOSED) continue;
        end->closed++;
        end->last_status = e->status;
        size_t len = e->text.len < sizeof end->last_text - 1 ? e->text.len : sizeof end->last_text - 1;
        if (len > 0) memcpy(end->last_text, e->text.data, len);
        end->last_text[len] = 0;
    }
}

/* A Hello is answered by the session that is there, or by a new one. */
static void decide(test_wires *w, test_wire_end *end) {
    if (!end->attachment || !choir_attachment_hello(end->attachment)) return;
    if (!end->session) end->session = new_session(w, end, false);
    check(choiri_greeting_accept(end->attachment, end->session, w->now) == CHOIR_OK, "accept");
}

size_t test_wires_move(test_wire_end *from, test_wire_end *to, size_t max) {
    static uint8_t bytes[1 << 17];
    test_wires *w = from->wires;
    choir_iov iov[64];
    size_t total = 0;
    if (max > sizeof bytes) max = sizeof bytes;
    if (!from->attachment) return 0;
    size_t n = choir_attachment_peek(from->attachment, iov, 64);
    for (size_t i = 0; i < n && total < max; i++) {
        size_t len = iov[i].len < max - total ? iov[i].len : max - total;
        memcpy(bytes + total, iov[i].base, len);
        total += len;
    }
    check(choir_attachment_consume(from->attachment, total, w->now) == CHOIR_OK, "consume");
    poll(from);
    for (size_t at = 0, used = 0; at < total && to->attachment; at += used) {
        used = 0;
        int status = choir_attachment_receive(to->attachment, bytes + at, total - at, NULL, &used, w->now);
        poll(to);
        decide(w, to);
        if (status != CHOIR_OK) break;
    }
    if (from->session) test_check_charges(from->session);
    return total;
}

void test_wires_pump(test_wires *w) {
    poll(&w->client);
    poll(&w->server);
    while (test_wires_move(&w->client, &w->server, SIZE_MAX) +
               test_wires_move(&w->server, &w->client, SIZE_MAX) >
           0) {
    }
}

void test_wires_attach(test_wires *w) {
    check(choir_attachment_new_initiator(w->env, &w->link, w->client.session, &w->client.attachment,
                                         w->now) == CHOIR_OK,
          "initiator");
    check(choir_attachment_new_acceptor(w->env, &w->link, &w->server.attachment, w->now) == CHOIR_OK,
          "acceptor");
    test_wires_pump(w);
    check(choir_session_is_established(w->client.session) && choir_session_is_established(w->server.session),
          "not established");
}

void test_wires_open(test_wires *w) {
    w->env = test_env(&w->alloc);
    check(w->env, "env");
    w->client.session = new_session(w, &w->client, true);
    test_wires_attach(w);
}

void test_wires_cut(test_wires *w) {
    test_wire_end *ends[] = {&w->client, &w->server};
    for (int i = 0; i < 2; i++) {
        choir_attachment *a = ends[i]->attachment;
        ends[i]->attachment = NULL;
        choir_attachment_closed(a, CHOIR_ERR_LINK_LOST, CHOIR_STR("cut"), w->now);
        choir_attachment_free(a, w->now);
        poll(ends[i]);
    }
}

choiri_conn *test_wires_connect(test_wire_end *end) {
    choiri_conn_init init;
    choiri_conn *c = NULL;
    init_conn(end->wires, CHOIRI_PARITY_ODD, &init);
    end->last_status = choiri_conn_open(end->session, &init, &c, end->wires->now);
    return c;
}

int test_wires_send(test_wire_end *end, choiri_conn *c, uint64_t number, size_t bytes) {
    return test_wires_answer(end, c, number, bytes, NULL);
}

int test_wires_answer(test_wire_end *end, choiri_conn *c, uint64_t number, size_t bytes,
                      choiri_leaving *leaving) {
    static const uint8_t zeros[4096];
    choir_session *s = end->session;
    choiri_sending m;
    choiri_hot *hot = choiri_conn_heat(s, c);
    if (!hot) return CHOIR_ERR_NO_MEMORY;
    if (!choiri_egress_begin(s, hot, &m, NULL)) return CHOIR_ERR_STATE;
    choiri_write_varint(&m.writer, c->wire_id);
    choiri_write_u8(&m.writer, CHOIRI_MSG_SCHEMA);
    choiri_write_varint(&m.writer, number);
    choiri_write_u8(&m.writer, CHOIRI_DIRECTION_ARGS);
    choiri_write_varint(&m.writer, bytes);
    for (size_t left = bytes; left > 0;) {
        size_t n = left < sizeof zeros ? left : sizeof zeros;
        choiri_write_raw(&m.writer, zeros, n);
        left -= n;
    }
    int status = choiri_egress_end(&m, CHOIRI_FRAME_ANSWER, leaving, end->wires->now);
    choiri_conn_cool(s, hot);
    return status;
}

uint64_t test_wires_deinit(test_wires *w) {
    test_wire_end *ends[] = {&w->client, &w->server};
    for (int i = 0; i < 2; i++) {
        if (ends[i]->attachment && !choir_attachment_session(ends[i]->attachment))
            choir_attachment_free(ends[i]->attachment, w->now);
        choir_session_free(ends[i]->session);
    }
    choir_env_free(w->env);
    return w->alloc.bytes;
}
