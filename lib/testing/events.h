/* SPDX-License-Identifier: MIT */
/* The list of a session's events, one line each, and the watchman over the promises that choir/event.h makes:
 * each object reports exactly one terminal event and nothing after it, connections end after their calls and
 * requests, the session ends last. A broken promise ends the process with the list and a text.
 *
 * Lines: "established", "detached ERR_LINK_LOST", "conn-closed ERR_LINK_LOST" (the root; others are "virtual
 * conn-closed ..."), "closed ERR_LINK_LOST", "writable", "pong", "request echo 0161", "request-cancelled
 * echo", "request-done echo ok", "call-done echo ok 0161". The hex digits are the payload, its length stands
 * for the rest of long ones; an outcome that the end of the link caused has its status behind it. */
#ifndef CHOIRI_TESTING_EVENTS_H
#define CHOIRI_TESTING_EVENTS_H

#include "choir/rpc.h"

/* Handles that were seen. */
typedef struct test_handles {
    struct test_handle {
        uint64_t v;
        uint32_t state;
    } * slots;
    size_t cap, count, live;
} test_handles;

typedef struct test_events {
    const char *name; /* of the side, for texts */
    char *log;        /* never NULL after init */
    size_t log_len, log_cap;
    bool quiet; /* only watch, for floods */
    bool established, detached, conn_closed, closed;
    test_handles calls, requests;
    uint32_t done;    /* CALL_DONE events */
    uint32_t failed;  /* ... with an outcome that neither side's handler chose */
    uint32_t started; /* REQUEST events */
    uint32_t last_outcome;
    char last_text[256]; /* of the last event that had one */
} test_events;

void test_events_init(test_events *t, const char *name);
void test_events_deinit(test_events *t);
/* A call was taken: it must end. */
void test_events_call(test_events *t, choir_call_id call);
void test_events_add(test_events *t, const choir_event *event);
/* Calls that were taken and have not ended; requests that were reported and have not ended. */
size_t test_events_open_calls(const test_events *t);
size_t test_events_open_requests(const test_events *t);
/* Where `part` begins in some bytes, NULL when it does not: for texts that are not NUL-terminated. */
const void *test_find(const void *data, size_t len, const char *part);
/* A line of one's own. */
void test_events_note(test_events *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
