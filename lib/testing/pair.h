/* SPDX-License-Identifier: MIT */
/* Two sessions joined in memory, with a virtual clock and a log of events on each side. Moves bytes between
 * them in pieces of a chosen size, polls after each receive as a host must, and records what each side has
 * written. */
#ifndef CHOIRI_TESTING_PAIR_H
#define CHOIRI_TESTING_PAIR_H

#include "choir/attachment.h"
#include "choir/rpc.h"
#include "testing/alloc.h"
#include "testing/events.h"

typedef struct test_side {
    const char *name;
    struct test_pair *pair;
    choir_session *session;       /* NULL until accepted */
    choir_attachment *attachment; /* NULL once its link is gone */
    /* on_event: called for each event, after it was logged; may call anything. */
    void (*on_event)(struct test_side *side, const choir_event *event);
    void *ctx;
    test_events events; /* lines, checked as they come */
    uint8_t *sent;      /* every byte this side has put on the link, with lengths also for framing NONE */
    size_t sent_len, sent_cap;
    int status; /* the last fatal status that receive answered */
    bool hold;  /* the link takes nothing from this side */
} test_side;

typedef struct test_pair {
    test_alloc alloc;
    choir_env *env;
    test_side client, server;
    choir_time now;
    /* split: 0 everything at once, 1.. pieces of that many bytes, -1 random pieces from `seed`. */
    int split;
    uint64_t seed;
    bool whole_payloads; /* framing NONE on both ends */
    size_t hanging;      /* calls that had not ended when the scenario was over */
    choir_session_options client_options, server_options;
    choir_conn_options client_root, server_root;
    choir_attachment_options client_link, server_link;
} test_pair;

/* Defaults everywhere; time starts at one second. `split` and the options may be changed before open. */
void test_pair_init(test_pair *p);
/* Creates both ends and moves bytes until nothing moves. false when something could not be created
 * (allocation). */
bool test_pair_open(test_pair *p);
/* Moves bytes and polls until nothing moves. */
void test_pair_pump(test_pair *p);
/* choir_call on the root, watched; a failure is a line "call ERR_...". `options` and `ret_call` may be
 * NULL. */
int test_side_call(test_side *side, uint32_t method, const void *args, const choir_call_options *options,
                   choir_call_id *ret_call);
/* Polls one side's events. */
void test_side_poll(test_side *side);
/* Feeds raw bytes to one side as if the other had sent them; polls as it goes. Returns the last status. */
int test_side_feed(test_side *side, const void *bytes, size_t len);
/* Lets time pass: reads first, then advances both ends at every deadline in between. */
void test_pair_sleep(test_pair *p, choir_duration d);
/* Cuts the link: both ends see the end of stream. */
void test_pair_cut(test_pair *p);
/* Frees everything; returns the bytes that are left allocated (0 when nothing leaks). */
uint64_t test_pair_deinit(test_pair *p);

#endif
