/* SPDX-License-Identifier: MIT */
/* A peer made by hand: tells one session of ours exactly the bytes that a test wants, and reads what it
 * writes. The session under test has an allocator of its own, so that its memory can be watched; what the
 * peer needs comes from another. */
#ifndef CHOIRI_TESTING_PEER_H
#define CHOIRI_TESTING_PEER_H

#include "choir/attachment.h"
#include "protocol/message.h"
#include "schema/tracker.h"
#include "testing/alloc.h"
#include "testing/events.h"
#include "testing/trial.h"

/* How far test_peer_open goes. */
typedef enum test_stage {
    TEST_STAGE_START,    /* nothing was fed */
    TEST_STAGE_PROLOGUE, /* prologues are exchanged */
    TEST_STAGE_HELLO,    /* for acceptors: the Hello was accepted, LetsGo must follow */
    TEST_STAGE_OPEN,
} test_stage;

typedef struct test_peer {
    test_alloc alloc; /* of the session under test */
    choir_env *env;
    choir_env_options env_options; /* a log may be put here before open */
    bool initiator;                /* the session under test is the initiator */
    choir_session_options options; /* defaults */
    choir_conn_options root;       /* the same; serves trial_served and calls trial_service */
    choir_attachment_options link; /* the peer follows its framing */
    choir_attachment *attachment;
    choir_session *session;
    choir_time now; /* starts at one second */
    int status;     /* what the last receive answered */
    bool is_open;
    bool deaf;    /* takes nothing off the output */
    bool gave_up; /* the session dropped output that waited too long, so the last frame may be cut short */
    test_events events;
    void (*on_event)(struct test_peer *peer, const choir_event *event);
    void *ctx;

    test_alloc own_alloc;
    choir_env *own_env;
    void *hoard; /* objects that test_peer_exhaust holds */
    choiri_send_tracker announced;
    bool announced_args[16], announced_answer[16];
    uint8_t *received; /* what the session has written, from the start */
    size_t received_len, received_cap, read;
} test_peer;

void test_peer_init(test_peer *peer);
/* Creates the session and feeds it up to `stage`; what it wrote on the way is dropped. */
void test_peer_open(test_peer *peer, test_stage stage);
/* Ends the session that is there, which is polled before, and frees it. Harmless when there is none. */
void test_peer_close(test_peer *peer);
/* Closes, and opens once more in the same environments; what the peer under test holds must then be what it
 * held before. Much cheaper than a new peer. */
void test_peer_reopen(test_peer *peer, test_stage stage);
/* Frees everything and returns the bytes that are left allocated. A session that ends here is polled
 * before. */
uint64_t test_peer_deinit(test_peer *peer);

/* Input. Each feeds, polls, decides about a waiting Hello, takes the output (unless deaf), and answers the
 * status of receive. Raw bytes are what the link brings: where it keeps boundaries, one payload. */
int test_peer_raw(test_peer *peer, const void *bytes, size_t len);
int test_peer_frame(test_peer *peer, const void *payload, size_t len);
int test_peer_message(test_peer *peer, const choiri_message *msg);
/* The Hello (or HelloYourself) of a vox peer, with an empty list of schemas. */
int test_peer_hello(test_peer *peer);
int test_peer_lets_go(test_peer *peer);
/* Messages. The first call and the first answer of a method carry its schemas. */
int test_peer_call(test_peer *peer, uint64_t id, uint32_t method, const void *args, size_t len);
int test_peer_call_bare(test_peer *peer, uint64_t id, uint64_t method_id, const void *args, size_t len);
int test_peer_answer(test_peer *peer, uint64_t id, uint32_t method, const void *ret, size_t len);
int test_peer_cancel(test_peer *peer, uint64_t id);
int test_peer_ping(test_peer *peer, uint64_t nonce);
/* SchemaPayload of one direction of a method, as bytes; valid until the next. */
choir_bytes test_peer_schemas(test_peer *peer, uint32_t method, bool response);

/* Memory of the session under test is out, its pools are empty: until restore. */
void test_peer_exhaust(test_peer *peer);
void test_peer_restore(test_peer *peer);

/* Lets time pass, advancing at every deadline. */
void test_peer_sleep(test_peer *peer, choir_duration d);
void test_peer_poll(test_peer *peer);
/* Takes the output that waits; the other takes at most so many bytes of it (one payload, where the link keeps
 * boundaries), and returns how many. */
void test_peer_take(test_peer *peer);
size_t test_peer_take_part(test_peer *peer, size_t max);

/* Output: the next payload, or the next message; false when there is none. A message borrows until the next
 * input. */
bool test_peer_next_frame(test_peer *peer, choir_bytes *ret_payload);
bool test_peer_next(test_peer *peer, choiri_message *ret_msg);
/* Drops what was written and not read. */
void test_peer_skip(test_peer *peer);

#endif
