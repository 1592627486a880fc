/* SPDX-License-Identifier: MIT */
#include "testing/pair.h"

#include <stdlib.h>
#include <string.h>

static void append(uint8_t **buf, size_t *len, size_t *cap, const void *data, size_t n) {
    if (*len + n + 1 > *cap) {
        *cap = (*len + n + 1) * 2;
        *buf = realloc(*buf, *cap);
    }
    if (n > 0) memcpy(*buf + *len, data, n);
    *len += n;
    (*buf)[*len] = 0;
}

void test_pair_init(test_pair *p) {
    memset(p, 0, sizeof *p);
    p->now = CHOIR_SECOND;
    p->client.name = "client";
    p->server.name = "server";
    test_events_init(&p->client.events, "client");
    test_events_init(&p->server.events, "server");
    p->client.pair = p->server.pair = p;
    p->seed = 1;
    choir_session_options_init(&p->client_options);
    choir_session_options_init(&p->server_options);
    choir_conn_options_init(&p->client_root);
    choir_conn_options_init(&p->server_root);
    choir_attachment_options_init(&p->client_link);
    choir_attachment_options_init(&p->server_link);
}

bool test_pair_open(test_pair *p) {
    p->env = test_env(&p->alloc);
    if (!p->env) return false;
    p->client_options.root = &p->client_root;
    p->server_options.root = &p->server_root;
    if (p->whole_payloads) p->client_link.framing = p->server_link.framing = CHOIR_FRAMING_NONE;
    if (choir_session_new(p->env, &p->client_options, &p->client.session, p->now) != CHOIR_OK) return false;
    if (choir_attachment_new_initiator(p->env, &p->client_link, p->client.session, &p->client.attachment,
                                       p->now) != CHOIR_OK)
        return false;
    if (choir_attachment_new_acceptor(p->env, &p->server_link, &p->server.attachment, p->now) != CHOIR_OK)
        return false;
    test_pair_pump(p);
    return true;
}

int test_side_call(test_side *side, uint32_t method, const void *args, const choir_call_options *options,
                   choir_call_id *ret_call) {
    choir_call_id call;
    int status = choir_call(side->session, choir_session_root(side->session), method, args, options, &call,
                            side->pair->now);
    if (status != CHOIR_OK) {
        test_events_note(&side->events, "call %s", choir_status_name(status));
        return status;
    }
    test_events_call(&side->events, call);
    if (ret_call) *ret_call = call;
    return CHOIR_OK;
}

void test_side_poll(test_side *side) {
    const choir_event *e;
    while (side->session && (e = choir_session_poll(side->session))) {
        test_events_add(&side->events, e);
        if (side->on_event) side->on_event(side, e);
    }
}

static void decide(test_side *side) {
    test_pair *p = side->pair;
    if (side->session || !side->attachment || !choir_attachment_hello(side->attachment)) return;
    int status = choir_attachment_accept(side->attachment, &p->server_options, &side->session, p->now);
    if (status == CHOIR_OK) return;
    test_events_note(&side->events, "accept %s", choir_status_name(status));
    choir_attachment_refuse(side->attachment, NULL, p->now);
}

int test_side_feed(test_side *side, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    int status = CHOIR_OK;
    while (len > 0 && side->attachment) {
        size_t used = 0;
        status = choir_attachment_receive(side->attachment, at, len, NULL, &used, side->pair->now);
        if (choir_status_is_fatal(status)) side->status = status;
        test_side_poll(side);
        decide(side);
        if (status != CHOIR_OK) break;
        at += used;
        len -= used;
    }
    return status;
}

static size_t piece(test_pair *p, size_t len) {
    if (p->split == 0 || p->whole_payloads) return len;
    size_t n = (size_t)p->split;
    if (p->split < 0) {
        p->seed = p->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        n = 1 + (size_t)(p->seed >> 33) % 97;
    }
    return n < len ? n : len;
}

/* Moves what `from` has to say; true when bytes moved. */
static bool move(test_side *from, test_side *to) {
    test_pair *p = from->pair;
    choir_iov iov[16];
    if (!from->attachment || from->hold) return false;
    /* A link takes nothing for an end that does not read. */
    if (to->attachment && !(choir_attachment_interest(to->attachment) & (CHOIR_WANTS_INPUT | CHOIR_FINISHED)))
        return false;
    size_t n = choir_attachment_peek(from->attachment, iov, 16);
    if (n == 0) return false;
    uint8_t *copy = NULL;
    size_t total = 0, len = 0, cap = 0;
    for (size_t i = 0; i < n; i++) total += iov[i].len;
    size_t take = piece(p, total);
    for (size_t i = 0; i < n && len < take; i++)
        append(&copy, &len, &cap, iov[i].base, iov[i].len < take - len ? iov[i].len : take - len);
    if (p->whole_payloads) {
        uint8_t head[4] = {(uint8_t)take, (uint8_t)(take >> 8), (uint8_t)(take >> 16), (uint8_t)(take >> 24)};
        append(&from->sent, &from->sent_len, &from->sent_cap, head, sizeof head);
    }
    append(&from->sent, &from->sent_len, &from->sent_cap, copy, take);
    if (choir_attachment_consume(from->attachment, take, p->now) != CHOIR_OK) abort();
    test_side_poll(from);
    for (size_t at = 0; at < take;) {
        size_t k = piece(p, take - at);
        test_side_feed(to, copy + at, k);
        at += k;
    }
    free(copy);
    return true;
}

/* A finished end whose output is gone closes its link; the other end sees the end of stream. */
static bool hang_up(test_side *side, test_side *other) {
    if (!side->attachment || choir_attachment_interest(side->attachment) != CHOIR_FINISHED) return false;
    choir_attachment *a = side->attachment;
    side->attachment = NULL;
    choir_attachment_free(a, side->pair->now);
    test_side_poll(side);
    if (other->attachment) {
        choir_attachment_closed(other->attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("end of stream"),
                                side->pair->now);
        test_side_poll(other);
    }
    return true;
}

void test_pair_pump(test_pair *p) {
    bool moved = true;
    while (moved) {
        test_side_poll(&p->client);
        test_side_poll(&p->server);
        moved = move(&p->client, &p->server);
        moved |= move(&p->server, &p->client);
        moved |= hang_up(&p->client, &p->server);
        moved |= hang_up(&p->server, &p->client);
    }
}

static choir_time next_deadline(const test_side *side) {
    choir_time t = choir_session_deadline(side->session);
    choir_time a = side->attachment ? choir_attachment_deadline(side->attachment) : CHOIR_TIME_NEVER;
    return a < t ? a : t;
}

static void advance(test_side *side) {
    if (side->attachment) choir_attachment_advance(side->attachment, side->pair->now);
    choir_session_advance(side->session, side->pair->now);
    test_side_poll(side);
}

void test_pair_sleep(test_pair *p, choir_duration d) {
    choir_time end = p->now + d;
    int due = 0; /* rounds in a row in which something was due at once */
    while (p->now < end) {
        choir_time t = next_deadline(&p->client), u = next_deadline(&p->server);
        if (u < t) t = u;
        due = t > p->now ? 0 : due + 1;
        if (due > 2) abort(); /* what advance leaves due makes a host spin */
        if (due == 0) p->now = t < end ? t : end;
        test_pair_pump(p);
        advance(&p->client);
        advance(&p->server);
        test_pair_pump(p);
    }
}

void test_pair_cut(test_pair *p) {
    test_side *sides[] = {&p->client, &p->server};
    for (int i = 0; i < 2; i++) {
        choir_attachment *a = sides[i]->attachment;
        sides[i]->attachment = NULL;
        if (!a) continue;
        choir_attachment_closed(a, CHOIR_ERR_LINK_LOST, CHOIR_STR("cut"), p->now);
        choir_attachment_free(a, p->now);
        test_side_poll(sides[i]);
    }
}

uint64_t test_pair_deinit(test_pair *p) {
    test_side *sides[] = {&p->client, &p->server};
    for (int i = 0; i < 2; i++) {
        /* An attachment that never got a session is ours to free, one with a session goes with it. */
        if (sides[i]->attachment && !choir_attachment_session(sides[i]->attachment))
            choir_attachment_free(sides[i]->attachment, p->now);
        choir_session_free(sides[i]->session);
        test_events_deinit(&sides[i]->events);
        free(sides[i]->sent);
    }
    choir_env_free(p->env);
    return p->alloc.bytes;
}
