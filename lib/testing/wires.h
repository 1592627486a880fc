/* SPDX-License-Identifier: MIT */
/* Two sessions whose connections have a driver of the tests' own, joined in memory: for what the session
 * layer does by itself, without calls. Messages are Schema messages, which any driver may send, with a
 * payload of any size. */
#ifndef CHOIRI_TESTING_WIRES_H
#define CHOIRI_TESTING_WIRES_H

#include "session/session.h"
#include "testing/alloc.h"

#define TEST_WIRES_MAX 65536u

typedef struct test_wire_end {
    struct test_wires *wires;
    choir_session *session;
    choir_attachment *attachment;
    bool reject;             /* offers are rejected */
    uint32_t opened, closed; /* connections */
    uint32_t went_on;        /* times that a connection was told so */
    uint32_t messages;
    uint64_t received[TEST_WIRES_MAX];    /* bytes of payload by wire id */
    uint64_t last_method[TEST_WIRES_MAX]; /* method of the newest message by wire id: must grow */
    uint64_t order[TEST_WIRES_MAX];       /* number of that message among all */
    int last_status;
    char last_text[256];
    uint32_t detached, resumed, established, ended, pongs;
    uint32_t left; /* answers that the link took */
} test_wire_end;

typedef struct test_wires {
    test_alloc alloc;
    choir_env *env;
    choir_time now;
    choir_attachment_options link;
    choir_session_options options;
    choir_conn_options conn; /* of every connection */
    test_wire_end client, server;
} test_wires;

/* Defaults; they may be changed before open. */
void test_wires_init(test_wires *w);
/* Makes both ends and a link, and brings them to established. */
void test_wires_open(test_wires *w);
/* Another link between two sessions that have none. */
void test_wires_attach(test_wires *w);
/* Cuts the link; both ends see the end of stream. */
void test_wires_cut(test_wires *w);
/* Moves at most `max` bytes in one direction; returns how many. */
size_t test_wires_move(test_wire_end *from, test_wire_end *to, size_t max);
/* Moves and polls until nothing moves. */
void test_wires_pump(test_wires *w);
/* Opens a connection of this end; NULL when that failed, with the status in last_status. */
choiri_conn *test_wires_connect(test_wire_end *end);
/* Sends a message of so many bytes; `number` must grow for each connection. */
int test_wires_send(test_wire_end *end, choiri_conn *c, uint64_t number, size_t bytes);
/* The same, as an answer of which `left` is told; it stays until then. */
int test_wires_answer(test_wire_end *end, choiri_conn *c, uint64_t number, size_t bytes,
                      choiri_leaving *leaving);
/* Frees everything; returns the bytes that are left. */
uint64_t test_wires_deinit(test_wires *w);

#endif
