/* SPDX-License-Identifier: MIT */
/* Memory: none is asked for in the steady state, what is held is known and goes away again, and nothing that
 * an event points to goes away too early. */
#include "testing/inside.h"
#include "testing/pair.h"
#include "testing/peer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef CHOIRI_POOLS
#define CHOIRI_POOLS 1
#endif

/* ---- the steady state ---- */

static void serve(test_side *side, const choir_event *e) {
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    int status;
    if (e->method == TRIAL_LOOKUP) {
        uint32_t id = *(const uint32_t *)e->value;
        trial_person person = {CHOIR_STR("Charlie"), 35, {true, CHOIR_STR("charlie@example.com")}};
        trial_error error = {TRIAL_NOT_FOUND};
        status = id < 100 ? choir_reply(side->session, e->request, &person, NULL, side->pair->now)
                          : choir_reply_error(side->session, e->request, &error, NULL, side->pair->now);
    } else {
        status = choir_reply(side->session, e->request, e->value, NULL, side->pair->now);
    }
    cr_assert_eq(status, CHOIR_OK);
}

typedef struct load {
    uint32_t burst; /* calls at a time */
    bool metadata, deadlines;
} load;

static void call_echo_and_lookup(test_pair *p, const load *l, uint32_t count) {
    static const choir_metadata_entry entry = {.key = {"trace", 5},
                                               .type = CHOIR_METADATA_STRING,
                                               .bytes = {(const uint8_t *)"0123456789abcdef", 16}};
    choir_call_options o;
    choir_call_options_init(&o);
    if (l->metadata) {
        o.metadata = &entry;
        o.metadata_len = 1;
    }
    for (uint32_t i = 0; i < count; i += l->burst) {
        for (uint32_t k = 0; k < l->burst; k++) {
            choir_str text = CHOIR_STR("hello, this is an echo");
            uint32_t id = i % 2 ? 1 : 150;
            if (l->deadlines) o.deadline = p->now + (1 + k) * CHOIR_SECOND;
            cr_assert_eq(test_side_call(&p->client, TRIAL_ECHO, &text, &o, NULL), CHOIR_OK);
            cr_assert_eq(test_side_call(&p->client, TRIAL_LOOKUP, &id, &o, NULL), CHOIR_OK);
        }
        test_pair_pump(p);
        p->now += CHOIR_MILLISECOND;
    }
}

static void expect_steady(const load *l, int split) {
    test_pair p;
    test_pair_init(&p);
    p.split = split;
    p.client.events.quiet = p.server.events.quiet = true;
    p.client_root.call = &trial_service;
    p.server_root.serve = &trial_served;
    p.server.on_event = serve;
    cr_assert(test_pair_open(&p));
    call_echo_and_lookup(&p, l, 2000);
    uint64_t allocations = choir_env_allocations(p.env), calls = p.alloc.calls,
             memory = choir_env_memory(p.env);
    call_echo_and_lookup(&p, l, 1000);
    cr_assert_eq(choir_env_allocations(p.env), allocations);
    cr_assert_eq(p.alloc.calls, calls);
    cr_assert_eq(choir_env_memory(p.env), memory);
    cr_assert_eq(p.client.events.failed, 0);
    cr_assert_eq(test_events_open_calls(&p.client.events), 0);
    cr_assert_eq(test_pair_deinit(&p), 0);
}

Test(memory, steady_state_allocates_nothing) {
    if (!CHOIRI_POOLS) cr_skip_test("the pools are compiled out");
    expect_steady(&(load){.burst = 1}, 0);
    expect_steady(&(load){.burst = 20}, 0);
}

/* More than the peer takes at a time, so that calls wait. */
Test(memory, steady_state_with_a_queue) {
    if (!CHOIRI_POOLS) cr_skip_test("the pools are compiled out");
    expect_steady(&(load){.burst = 200, .metadata = true}, 0);
}

Test(memory, steady_state_with_metadata_and_deadlines) {
    if (!CHOIRI_POOLS) cr_skip_test("the pools are compiled out");
    expect_steady(&(load){.burst = 5, .metadata = true, .deadlines = true}, 0);
}

Test(memory, steady_state_in_pieces) {
    if (!CHOIRI_POOLS) cr_skip_test("the pools are compiled out");
    expect_steady(&(load){.burst = 3}, 11);
    expect_steady(&(load){.burst = 3}, -1);
}

/* ---- what is held ---- */

/* Sessions that come and go leave nothing behind, and a quiet one costs what is printed. */
Test(memory, sessions_come_and_go) {
    test_pair p;
    test_pair_init(&p);
    p.client_root.call = &trial_service;
    p.server_root.serve = &trial_served;
    cr_assert(test_pair_open(&p));
    uint64_t flat = 0;
    for (int i = 0; i < 200; i++) {
        test_pair q;
        test_pair_init(&q);
        q.client.on_event = NULL;
        choir_session *client, *server = NULL;
        choir_attachment *a, *b;
        cr_assert_eq(choir_session_new(p.env, &p.client_options, &client, p.now), CHOIR_OK);
        cr_assert_eq(choir_attachment_new_initiator(p.env, NULL, client, &a, p.now), CHOIR_OK);
        cr_assert_eq(choir_attachment_new_acceptor(p.env, NULL, &b, p.now), CHOIR_OK);
        q.env = p.env;
        q.now = p.now;
        q.server_options = p.server_options;
        q.client.session = client;
        q.client.attachment = a;
        q.server.session = server;
        q.server.attachment = b;
        test_pair_pump(&q);
        cr_assert(choir_session_is_established(client));
        if (i == 100) {
            uint64_t both = choir_env_memory(p.env) - flat;
            printf("two sessions with their links: %llu bytes\n", (unsigned long long)both);
            cr_assert_lt(both, 40000);
        }
        choir_session_free(q.client.session);
        choir_session_free(q.server.session);
        test_events_deinit(&q.client.events);
        test_events_deinit(&q.server.events);
        free(q.client.sent);
        free(q.server.sent);
        if (i == 20) flat = choir_env_memory(p.env);
        if (i > 20) cr_assert_leq(choir_env_memory(p.env), flat);
    }
    cr_assert_eq(test_pair_deinit(&p), 0);
}

/* After a burst the charges are back to nothing, on both sides. */
Test(memory, charges_go_back_to_nothing) {
    test_pair p;
    test_pair_init(&p);
    p.client_root.call = &trial_service;
    p.server_root.serve = &trial_served;
    p.server.on_event = serve;
    cr_assert(test_pair_open(&p));
    static uint8_t bytes[300000];
    choir_bytes b = {bytes, sizeof bytes};
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(test_side_call(&p.client, TRIAL_ECHO_BYTES, &b, NULL, NULL), CHOIR_OK);
        if (i % 5 == 4) test_pair_pump(&p);
    }
    cr_assert_eq(p.client.events.done, 20);
    cr_assert_eq(test_requests_charged(p.server.session), 0);
    cr_assert_eq(test_requests_charged(p.client.session), 0);
    cr_assert_eq(test_rpc(p.client.session)->calls.queued_bytes, 0);
    cr_assert_eq(choir_attachment_pending(p.client.attachment), 0);
    cr_assert_eq(test_pair_deinit(&p), 0);
}

/* ---- what events point to ---- */

/* An answer that arrived in pieces lies in a buffer of the link; it is reported although the link was freed
 * before the host polled. */
Test(memory, answer_outlives_its_link) {
    for (int split = 0; split <= 1; split++) {
        test_peer p;
        test_peer_init(&p);
        p.initiator = true;
        test_peer_open(&p, TEST_STAGE_OPEN);
        choir_str text = CHOIR_STR("x");
        choir_call_id id;
        cr_assert_eq(
            choir_call(p.session, choir_session_root(p.session), TRIAL_ECHO, &text, NULL, &id, p.now),
            CHOIR_OK);
        static uint8_t answer[8192]; /* conn, Request, 1, Response, no metadata, ret, no schemas */
        const uint32_t ret = 5003;
        uint8_t *at = answer + 4;
        memcpy(at, "\0\x05\x01\x01\0", 5);
        at += 5;
        for (int i = 0; i < 4; i++) *at++ = (uint8_t)(ret >> 8 * i);
        memcpy(at, "\0\x88\x27", 3); /* Ok, a string of 5000 */
        memset(at + 3, 's', 5000);
        at += ret;
        *at++ = 0;
        uint32_t payload = (uint32_t)(at - answer - 4);
        for (int i = 0; i < 4; i++) answer[i] = (uint8_t)(payload >> 8 * i);
        size_t used, total = (size_t)(at - answer), first = split ? 100 : total;
        cr_assert_eq(choir_attachment_receive(p.attachment, answer, first, NULL, &used, p.now), CHOIR_OK);
        if (split)
            cr_assert_eq(
                choir_attachment_receive(p.attachment, answer + first, total - first, NULL, &used, p.now),
                CHOIR_OK);
        choir_attachment_free(p.attachment, p.now);
        p.attachment = NULL;
        const choir_event *e = choir_session_poll(p.session);
        cr_assert(e && e->kind == CHOIR_EVENT_CALL_DONE && e->outcome == CHOIR_OUTCOME_OK);
        const choir_str *s = e->value;
        cr_assert(s->len == 5000 && s->data[0] == 's' && s->data[4999] == 's');
        test_peer_poll(&p);
        cr_assert(p.events.closed);
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}

/* Freed with everything unpolled: calls, requests, their memory. */
Test(memory, free_without_polling) {
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_OPEN);
    static uint8_t args[9002] = {0xa8, 0x46};
    for (uint64_t i = 0; i < 200; i++)
        cr_assert_eq(test_peer_call(&p, 1 + 2 * i, TRIAL_ECHO_BYTES, args, sizeof args), CHOIR_OK);
    for (uint32_t i = 0; i < 200; i++)
        cr_assert_eq(choir_call(p.session, choir_session_root(p.session), TRIAL_LATER, &i, NULL, NULL, p.now),
                     CHOIR_OK);
    choir_attachment_closed(p.attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("x"), p.now);
    choir_session_free(p.session);
    p.session = NULL;
    p.attachment = NULL;
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* The current event's memory is freed with the session too. */
Test(memory, free_in_the_middle_of_polling) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_OPEN);
    for (uint32_t i = 0; i < 5; i++) {
        choir_call_id id;
        cr_assert_eq(choir_call(p.session, choir_session_root(p.session), TRIAL_GROW, &i, NULL, &id, p.now),
                     CHOIR_OK);
        test_events_call(&p.events, id);
    }
    choir_attachment_closed(p.attachment, CHOIR_ERR_LINK_LOST, CHOIR_STR("x"), p.now);
    for (int i = 0; i < 3; i++) cr_assert_not_null(choir_session_poll(p.session));
    choir_session_free(p.session);
    p.session = NULL;
    p.attachment = NULL;
    cr_assert_eq(test_peer_deinit(&p), 0);
}
