/* SPDX-License-Identifier: MIT */
/* Connections as objects of a session, without calls: opening, accepting, rejecting, closing, late messages,
 * many of them, and the loss of a link under them. */
#include "choir/attachment.h"
#include "choir/session.h"
#include "session/attachment.h"
#include "testing/wires.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static test_wires wires;

static test_wires *open_wires(void) {
    test_wires_init(&wires);
    test_wires_open(&wires);
    return &wires;
}

static void close_wires(test_wires *w) {
    cr_assert_eq(test_wires_deinit(w), 0);
}

Test(connection, open_accept_message_close) {
    test_wires *w = open_wires();
    choiri_conn *c = test_wires_connect(&w->client);
    cr_assert_not_null(c);
    cr_assert_eq(choiri_conn_get_state(c), CHOIRI_CONN_OPENING);
    choir_conn_id handle = choiri_conn_handle(c);
    cr_assert_eq(choiri_conn_find(w->client.session, handle), c);
    test_wires_pump(w);
    cr_assert_eq(choiri_conn_get_state(c), CHOIRI_CONN_OPEN);
    cr_assert_eq(w->client.opened, 2, "the root and this one");
    cr_assert_eq(w->server.opened, 2);
    choiri_conn *theirs = choiri_conn_by_wire_id(w->server.session, c->wire_id);
    cr_assert_not_null(theirs);
    cr_assert_neq(choiri_conn_parity(theirs), choiri_conn_parity(c), "ids of the two do not collide");
    cr_assert_eq(test_wires_send(&w->client, c, 1, 100), CHOIR_OK);
    cr_assert_eq(test_wires_send(&w->server, theirs, 1, 200), CHOIR_OK);
    test_wires_pump(w);
    cr_assert_eq(w->server.received[c->wire_id], 100);
    cr_assert_eq(w->client.received[c->wire_id], 200);
    choiri_conn_close(w->client.session, c, CHOIR_ERR_SHUTDOWN, CHOIR_STR("enough"), w->now);
    test_wires_pump(w);
    cr_assert_eq(w->client.closed, 1);
    cr_assert_eq(w->server.closed, 1);
    cr_assert_eq(w->server.last_status, CHOIR_ERR_PEER_CLOSED);
    cr_assert(strstr(w->server.last_text, "enough"), "%s", w->server.last_text);
    cr_assert_null(choiri_conn_find(w->client.session, handle), "a stale handle finds nothing");
    cr_assert(choir_session_is_established(w->client.session) &&
              choir_session_is_established(w->server.session));
    close_wires(w);
}

Test(connection, reject) {
    test_wires *w = open_wires();
    w->server.reject = true;
    cr_assert_not_null(test_wires_connect(&w->client));
    test_wires_pump(w);
    cr_assert_eq(w->client.closed, 1);
    cr_assert_eq(w->client.last_status, CHOIR_ERR_REFUSED);
    cr_assert(strstr(w->client.last_text, "not today"), "%s", w->client.last_text);
    cr_assert_eq(w->server.closed, 0, "nobody there was told of it");
    cr_assert_eq(w->server.session->conns.live, 1);
    close_wires(w);
}

/* Both ends open, ids of both parities, closed in another order; slots are used again, handles never. */
Test(connection, both_directions_and_slots_used_again) {
    enum { N = 200 };
    test_wires *w = open_wires();
    uint64_t handles[N];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            test_wire_end *end = i % 2 ? &w->client : &w->server;
            choiri_conn *c = test_wires_connect(end);
            cr_assert_not_null(c);
            cr_assert_eq(c->wire_id % 2, i % 2);
            if (end == &w->client) {
                for (int k = 1; round > 0 && k < N; k += 2)
                    cr_assert_neq(choiri_conn_handle(c).v, handles[k]);
                handles[i] = choiri_conn_handle(c).v;
            }
        }
        test_wires_pump(w);
        cr_assert_eq(w->client.session->conns.live, N + 1);
        for (uint64_t id = 1; id < w->client.session->conns.next_id; id += 3) {
            choiri_conn *c = choiri_conn_by_wire_id(w->client.session, id);
            if (c) choiri_conn_close(w->client.session, c, CHOIR_ERR_SHUTDOWN, CHOIR_STR(""), w->now);
        }
        test_wires_pump(w);
        for (uint64_t id = 1; id < 2 * N * 3; id++) {
            choiri_conn *c = choiri_conn_by_wire_id(w->server.session, id);
            if (c) choiri_conn_close(w->server.session, c, CHOIR_ERR_SHUTDOWN, CHOIR_STR(""), w->now);
        }
        test_wires_pump(w);
        cr_assert_eq(w->client.session->conns.live, 1);
        cr_assert_eq(w->server.session->conns.live, 1);
        cr_assert_leq(w->client.session->conns.pages_len, N / 64 + 1);
    }
    close_wires(w);
}

/* Messages for a connection that was closed are late: nothing on this wire acknowledges a close. */
Test(connection, late_messages_are_harmless) {
    test_wires *w = open_wires();
    choiri_conn *c = test_wires_connect(&w->client);
    test_wires_pump(w);
    choiri_conn *theirs = choiri_conn_by_wire_id(w->server.session, c->wire_id);
    for (uint64_t i = 1; i <= 5000; i++) cr_assert_eq(test_wires_send(&w->client, c, i, 1), CHOIR_OK);
    choiri_conn_close(w->server.session, theirs, CHOIR_ERR_SHUTDOWN, CHOIR_STR(""), w->now);
    test_wires_pump(w);
    cr_assert(choir_session_is_established(w->client.session) &&
              choir_session_is_established(w->server.session));
    cr_assert_eq(w->client.closed, 1);
    close_wires(w);
}

/* What breaks a rule inside a connection ends that one alone. */
Test(connection, a_violation_closes_one_connection) {
    test_wires *w = open_wires();
    choiri_conn *bad = test_wires_connect(&w->client), *good = test_wires_connect(&w->client);
    test_wires_pump(w);
    for (int i = 0; i < 1001; i++) {
        choiri_sending m;
        cr_assert(choiri_egress_begin(w->client.session, choiri_conn_heat(w->client.session, bad), &m, NULL));
        w->client.session->codec->encode(
            &m.writer, &(choiri_message){.conn = bad->wire_id, .kind = CHOIRI_MSG_CHANNEL, .id = 9}, NULL, 0);
        cr_assert_eq(choiri_egress_end(&m, CHOIRI_FRAME_OTHER, NULL, w->now), CHOIR_OK);
    }
    test_wires_pump(w);
    cr_assert_eq(w->server.closed, 1);
    cr_assert_eq(w->server.last_status, CHOIR_ERR_PROTOCOL);
    cr_assert_eq(w->client.closed, 1);
    cr_assert(strstr(w->client.last_text, "too many odd messages"), "%s", w->client.last_text);
    cr_assert_eq(test_wires_send(&w->client, good, 1, 10), CHOIR_OK);
    test_wires_pump(w);
    cr_assert_eq(w->server.received[good->wire_id], 10);
    close_wires(w);
}

/* Ids that are not the opener's to use, or in use, end the session. Reliability cases A26 and A27. */
Test(connection, ids_that_must_not_be_opened) {
    for (int bad = 0; bad < 3; bad++) {
        test_wires *w = open_wires();
        choiri_conn *c = test_wires_connect(&w->client);
        test_wires_pump(w);
        uint64_t id = bad == 0 ? 2 : bad == 1 ? 0 : c->wire_id;
        choiri_sending m;
        cr_assert(choiri_egress_begin(w->client.session, NULL, &m, NULL));
        w->client.session->codec->encode(&m.writer,
                                         &(choiri_message){.conn = id,
                                                           .kind = CHOIRI_MSG_CONNECTION_OPEN,
                                                           .settings = {CHOIRI_PARITY_ODD, 1}},
                                         NULL, 0);
        cr_assert_eq(choiri_egress_end(&m, CHOIRI_FRAME_OTHER, NULL, w->now), CHOIR_OK);
        test_wires_pump(w);
        cr_assert_eq(choir_session_status(w->server.session), CHOIR_ERR_PROTOCOL, "%d", bad);
        close_wires(w);
    }
}

/* Reliability case A24. */
Test(connection, the_peer_may_open_so_many) {
    test_wires_init(&wires);
    wires.options.max_connections = 3;
    test_wires_open(&wires);
    for (int i = 0; i < 4; i++) cr_assert_not_null(test_wires_connect(&wires.client));
    test_wires_pump(&wires);
    cr_assert_eq(wires.client.opened, 4);
    cr_assert_eq(wires.client.closed, 1);
    cr_assert(strstr(wires.client.last_text, "too many connections"), "%s", wires.client.last_text);
    close_wires(&wires);
}

/* 10,000 of them, idle: opened, used once, closed. */
Test(connection, ten_thousand) {
    enum { N = 10000 };
    test_wires *w = open_wires();
    uint64_t before = choir_env_memory(w->env);
    for (int i = 0; i < N; i++) {
        cr_assert_not_null(test_wires_connect(&w->client));
        if (i % 64 == 63) test_wires_pump(w);
    }
    test_wires_pump(w);
    uint64_t each = (choir_env_memory(w->env) - before) / N;
    printf("an idle connection, both ends: %llu bytes\n", (unsigned long long)each);
    cr_assert_leq(each, 160);
    for (uint64_t id = 1; id < 2 * N; id += 2) {
        choiri_conn *c = choiri_conn_by_wire_id(w->client.session, id);
        cr_assert_eq(test_wires_send(&w->client, c, 1, 20), CHOIR_OK);
        if (id % 128 == 1) test_wires_pump(w);
    }
    test_wires_pump(w);
    for (uint64_t id = 1; id < 2 * N; id += 2) cr_assert_eq(w->server.received[id], 20);
    each = (choir_env_memory(w->env) - before) / N;
    cr_assert_leq(each, 160, "%llu after each was used", (unsigned long long)each);
    for (uint64_t id = 1; id < 2 * N; id += 2) {
        choiri_conn *c = choiri_conn_by_wire_id(w->client.session, id);
        choiri_conn_close(w->client.session, c, CHOIR_ERR_SHUTDOWN, CHOIR_STR(""), w->now);
        if (id % 128 == 1) test_wires_pump(w);
    }
    test_wires_pump(w);
    cr_assert_eq(w->client.closed, N);
    cr_assert_eq(w->server.closed, N);
    cr_assert_eq(w->server.session->conns.live, 1);
    close_wires(w);
}

/* The session ends under many connections: each has its end, the session's comes last. */
Test(connection, all_end_with_the_session) {
    test_wires *w = open_wires();
    for (int i = 0; i < 500; i++) cr_assert_not_null(test_wires_connect(i % 2 ? &w->client : &w->server));
    test_wires_pump(w);
    choir_session_close(w->client.session, w->now);
    test_wires_pump(w);
    cr_assert_eq(w->client.closed, 501);
    cr_assert_eq(w->client.ended, 1);
    test_wires_cut(w);
    cr_assert_eq(w->server.closed, 501);
    cr_assert_eq(w->server.ended, 1);
    close_wires(w);
}

/* A session that can be resumed outlives its link: its connections are there on the next one. */
Test(connection, they_outlive_the_link) {
    test_wires *w = open_wires();
    w->client.session->resumable = w->server.session->resumable = true;
    choiri_conn *c = test_wires_connect(&w->client);
    test_wires_pump(w);
    cr_assert_eq(test_wires_send(&w->client, c, 1, 10), CHOIR_OK);
    test_wires_pump(w);
    for (int i = 1; i <= 3; i++) {
        test_wires_cut(w);
        cr_assert_eq(w->client.session->state, CHOIRI_SESSION_DETACHED);
        cr_assert_eq(w->client.detached, (uint32_t)i);
        cr_assert_eq(choir_session_status(w->client.session), CHOIR_OK, "the link failed, not the session");
        cr_assert_eq(test_wires_send(&w->client, c, 100, 10), CHOIR_ERR_STATE, "nobody is there");
        test_wires_attach(w);
        cr_assert_eq(w->client.resumed, (uint32_t)i);
        cr_assert_eq(w->server.resumed, (uint32_t)i);
        cr_assert_eq(choiri_conn_by_wire_id(w->client.session, 1), c);
        cr_assert_eq(test_wires_send(&w->client, c, 1 + (uint64_t)i, 10), CHOIR_OK);
        test_wires_pump(w);
        cr_assert_eq(w->server.received[1], 10 + 10 * (uint64_t)i);
    }
    cr_assert(w->client.established == 1 && w->client.closed == 0 && w->client.ended == 0);
    /* Closed while it has no link. */
    test_wires_cut(w);
    choir_session_close(w->client.session, w->now);
    test_wires_pump(w);
    cr_assert(w->client.closed == 2 && w->client.ended == 1);
    close_wires(w);
}

/* A protocol error is the session's failure, resumable or not. */
Test(connection, a_protocol_error_is_not_the_links) {
    test_wires *w = open_wires();
    w->server.session->resumable = true;
    size_t used;
    cr_assert_eq(choir_attachment_receive(w->server.attachment, "\x02\0\0\0\xff\xff", 6, NULL, &used, w->now),
                 CHOIR_ERR_PROTOCOL);
    cr_assert_eq(w->server.session->state, CHOIRI_SESSION_ENDED);
    close_wires(w);
}

/* What an acceptor has read can be fed to another attachment, which does not send the prologue again. */
Test(connection, a_hello_can_be_handed_on) {
    test_wires_init(&wires);
    test_wires *w = &wires;
    test_wires_open(w);
    choir_attachment *first, *second;
    choir_iov iov[16];
    choir_session_options o;
    choir_session *s, *accepted;
    choir_session_options_init(&o);
    cr_assert_eq(choir_attachment_new_acceptor(w->env, NULL, &first, w->now), CHOIR_OK);
    choir_attachment *a;
    cr_assert_eq(choir_session_new(w->env, &o, &s, w->now), CHOIR_OK);
    cr_assert_eq(choir_attachment_new_initiator(w->env, NULL, s, &a, w->now), CHOIR_OK);
    uint8_t bytes[16384];
    size_t len = 0, used, n = choir_attachment_peek(a, iov, 16);
    for (size_t i = 0; i < n; i++) {
        memcpy(bytes + len, iov[i].base, iov[i].len);
        len += iov[i].len;
    }
    cr_assert_eq(choir_attachment_consume(a, len, w->now), CHOIR_OK);
    for (size_t at = 0; at < len; at += used)
        cr_assert_eq(
            choir_attachment_receive(first, bytes + at, len - at < 100 ? len - at : 100, NULL, &used, w->now),
            CHOIR_OK);
    cr_assert_not_null(choir_attachment_hello(first));
    choir_bytes seen = choir_attachment_received(first);
    cr_assert(seen.len == len && memcmp(seen.data, bytes, len) == 0);

    choir_attachment_options link;
    choir_attachment_options_init(&link);
    link.resumed_input = 1;
    cr_assert_eq(choir_attachment_new_acceptor(w->env, &link, &second, w->now), CHOIR_OK);
    for (size_t at = 0; at < seen.len; at += used)
        cr_assert_eq(choir_attachment_receive(second, seen.data + at, seen.len - at, NULL, &used, w->now),
                     CHOIR_OK);
    cr_assert_not_null(choir_attachment_hello(second));
    cr_assert_eq(choir_attachment_pending(second), 0, "the peer has the prologue already");
    /* The first one's prologue, the second one's Hello: together a greeting. */
    n = choir_attachment_peek(first, iov, 16);
    cr_assert(n == 1 && iov[0].len == 12);
    cr_assert_eq(choir_attachment_receive(a, iov[0].base, iov[0].len, NULL, &used, w->now), CHOIR_OK);
    choir_attachment_free(first, w->now);
    cr_assert_eq(choir_attachment_accept(second, &o, &accepted, w->now), CHOIR_OK);
    cr_assert_eq(choir_attachment_received(second).len, 0, "it was decided");
    n = choir_attachment_peek(second, iov, 16);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(choir_attachment_receive(a, iov[i].base, iov[i].len, NULL, &used, w->now), CHOIR_OK);
    cr_assert(choir_session_is_established(s));
    choir_session_free(s);
    choir_session_free(accepted);
    close_wires(w);
}

/* ---- output by turns ---- */

/* Bytes are moved in pieces of this size, of which the last has what is waited for. */
#define PIECE 512u
/* What may be in front of a message, but for one frame: the link's own queue. */
#define SHORT 65536u

/* Bytes that the server took until `done` holds. */
static size_t move_until(test_wires *w, bool (*done)(const test_wires *w)) {
    size_t total = 0;
    while (!done(w)) {
        size_t moved = test_wires_move(&w->client, &w->server, PIECE);
        cr_assert_gt(moved, 0, "nothing moves after %zu bytes", total);
        total += moved;
    }
    return total;
}

static bool second_has_it(const test_wires *w) {
    return w->server.received[3] > 0;
}

static bool pong_is_there(const test_wires *w) {
    return w->server.pongs > 0;
}

/* Reliability case F16: 4 MiB of one wait, another's message passes them but for what the link has already,
 * 64 KiB, and one frame. */
Test(connection, nobody_waits_behind_all_of_another) {
    enum { FRAME = 65536 };
    test_wires *w = open_wires();
    choiri_conn *big = test_wires_connect(&w->client), *small = test_wires_connect(&w->client);
    test_wires_pump(w);
    for (uint64_t i = 1; i <= 64; i++) cr_assert_eq(test_wires_send(&w->client, big, i, FRAME), CHOIR_OK);
    cr_assert_eq(test_wires_send(&w->client, small, 1, 100), CHOIR_OK);
    cr_assert_eq(small->wire_id, 3);
    size_t before = move_until(w, second_has_it);
    cr_assert_leq(before, SHORT + FRAME + PIECE, "%zu", before);
    test_wires_pump(w);
    cr_assert_eq(w->server.received[big->wire_id], 64 * FRAME, "nothing is lost, or out of order");
    close_wires(w);
}

/* At 10 Mbit/s a byte takes 0.8 us: what may be in front of it is there in 66 ms. */
Test(connection, a_pong_passes_what_waits) {
    test_wires *w = open_wires();
    choiri_conn *c = test_wires_connect(&w->client);
    test_wires_pump(w);
    enum { FRAME = 16384 };
    for (uint64_t i = 1; i <= 320; i++) cr_assert_eq(test_wires_send(&w->client, c, i, FRAME), CHOIR_OK);
    cr_assert_eq(choir_session_ping(w->server.session, w->now), CHOIR_OK);
    while (test_wires_move(&w->server, &w->client, SIZE_MAX) > 0) {
    }
    size_t before = move_until(w, pong_is_there);
    cr_assert_leq(before, SHORT + FRAME + PIECE, "%zu", before);
    close_wires(w);
}

/* Whoever has small frames gets as many bytes as whoever has large ones. */
Test(connection, turns_are_counted_in_bytes) {
    enum { EACH = 1 << 20 };
    static const size_t sizes[] = {500, 4000, 30000};
    test_wires *w = open_wires();
    choiri_conn *c[3];
    for (int i = 0; i < 3; i++) c[i] = test_wires_connect(&w->client);
    test_wires_pump(w);
    for (int i = 0; i < 3; i++)
        for (uint64_t n = 1; n <= EACH / sizes[i]; n++)
            cr_assert_eq(test_wires_send(&w->client, c[i], n, sizes[i]), CHOIR_OK);
    /* The first 64 KiB went straight to the link, all of the first one. */
    for (size_t total = 0; total < EACH; total += test_wires_move(&w->client, &w->server, 4096)) {
        size_t least = SIZE_MAX, most = 0;
        for (int i = 0; i < 3; i++) {
            size_t got = (size_t)w->server.received[c[i]->wire_id];
            if (got < least) least = got;
            if (got > most) most = got;
        }
        cr_assert_leq(most - least, 65536 + 2 * 16384 + 30000, "%zu and %zu", least, most);
    }
    test_wires_pump(w);
    for (int i = 0; i < 3; i++) cr_assert_eq(w->server.received[c[i]->wire_id], EACH / sizes[i] * sizes[i]);
    close_wires(w);
}

/* An answer that nobody waits for does not report the next one as taken. */
Test(connection, an_answer_has_left_when_its_last_byte_has) {
    enum { FRAME = 20000 };
    test_wires *w = open_wires();
    choiri_conn *c = test_wires_connect(&w->client), *other = test_wires_connect(&w->client);
    choiri_leaving leaving;
    test_wires_pump(w);
    for (uint64_t i = 1; i <= 20; i++) cr_assert_eq(test_wires_send(&w->client, other, i, FRAME), CHOIR_OK);
    cr_assert_eq(test_wires_send(&w->client, c, 1, FRAME), CHOIR_OK);
    cr_assert_eq(test_wires_answer(&w->client, c, 2, FRAME, &leaving), CHOIR_OK);
    while (test_wires_move(&w->client, &w->server, 1000) > 0)
        cr_assert_eq(w->client.left, w->server.received[c->wire_id] == 2 * FRAME);
    cr_assert_eq(w->client.left, 1);
    close_wires(w);
}
