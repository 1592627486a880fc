/* SPDX-License-Identifier: MIT */
/* Replays recorded conversations of real vox peers against our session: our code plays one of the two, the
 * recording the other. No link and no clock: payloads are given to an attachment, time stands still except
 * where the recording waits.
 *
 * A recording is walked in its order. A payload of the side that we play says what to do (make this call,
 * answer this request, ping); one of the other side is received. What we send and what the host is told goes
 * into a run, which is then compared with the recording (compare.c) or with another run (flip.c). */
#ifndef REPLAY_H
#define REPLAY_H

#include "choir/attachment.h"
#include "choir/rpc.h"
#include "protocol/message.h"
#include "testing/alloc.h"

/* ---- recordings: tables made by sessions_to_c.py ---- */

/* Bytes that may change without anything to see, and why: an index into replay_reasons. */
typedef struct replay_free {
    uint32_t at, len, why;
} replay_free;

typedef struct replay_payload {
    const uint8_t *data;
    uint32_t len;
    bool from_client;
    bool delivered; /* false: the recording proxy kept it back */
    const replay_free *free;
    uint32_t free_len;
    /* Between peers of two versions (evolution.py): what the receiver's host sees of the value, and what a
     * server of ours answers instead of what is recorded, if there is something. */
    uint32_t reads; /* REPLAY_SAME, _OTHER: as `seen`, or _UNREADABLE: its layout has no such value */
    choir_bytes seen, answer;
} replay_payload;

enum { REPLAY_SAME, REPLAY_OTHER, REPLAY_UNREADABLE };

typedef struct replay_recording {
    const char *name;
    const replay_payload *payloads;
    uint32_t len;
} replay_recording;

static inline choir_bytes replay_bytes(const replay_payload *p) {
    return (choir_bytes){p->data, p->len};
}

/* ---- what is played ---- */

typedef enum replay_end {
    REPLAY_END_OF_STREAM, /* the peer goes */
    REPLAY_SILENCE        /* the peer says nothing more: keepalive ends the session */
} replay_end;

/* How one recording is played in one role. */
typedef struct replay_part {
    const replay_recording *recording;
    bool client;                /* we play the side that connected */
    bool calls;                 /* we make the calls; else we answer them */
    const choir_service *call;  /* what we call; when we answer only its name counts */
    const choir_service *serve; /* what we answer; NULL when we call */
    replay_end end;
    int status; /* how the session (or a link without one) ends */
    /* The differences that are allowed, each with its reason in README.md: */
    uint64_t free_binding; /* method id whose response root may be another one, or none in the recording */
    bool free_schemas;     /* bindings may be announced with more types, and again without any */
    bool free_service;     /* our HelloYourself names a service, the recorded one does not */
    uint32_t more;         /* messages we send behind the last recorded one */
} replay_part;

/* ---- runs ---- */

typedef struct replay_buffer {
    uint8_t *data;
    size_t len, cap;
} replay_buffer;

/* Appends; returns where. */
size_t replay_append(replay_buffer *b, const void *data, size_t len);

typedef struct replay_piece {
    size_t at, len; /* in the run's `bytes` */
} replay_piece;

/* One event, a Hello that waits for a decision, or a call or answer of ours that was not taken. */
typedef struct replay_record {
    uint32_t kind; /* CHOIR_EVENT_*, REPLAY_HELLO or REPLAY_NOT_TAKEN */
    int32_t status;
    uint32_t number;                             /* of the call or request, counted from 1; 0 is none */
    uint32_t outcome;                            /* ESTABLISHED, HELLO: the peer's max_concurrent_requests */
    uint64_t method;                             /* id */
    replay_piece value, payload, metadata, text; /* value: encoded again */
    size_t metadata_count;
} replay_record;

#define REPLAY_HELLO     1000u
#define REPLAY_NOT_TAKEN 1001u
#define REPLAY_OPEN_MAX  64u

typedef struct replay_run {
    replay_buffer sent; /* our payloads, back to back */
    replay_piece sent_at[REPLAY_OPEN_MAX * 4];
    size_t sent_len;
    replay_buffer bytes; /* what the records point into */
    replay_record records[REPLAY_OPEN_MAX * 4];
    size_t records_len;
    int status;       /* of the session's or the link's end */
    char broken[160]; /* a promise of the library that was not kept; empty when all were */
} replay_run;

/* Changes one byte of one received payload. */
typedef struct replay_change {
    uint32_t payload, at;
    uint8_t mask; /* 0 is no change */
} replay_change;

/* How the link hands payloads over: whole, or as a stream in pieces of that many bytes (0: a frame at
 * once). */
typedef struct replay_link {
    uint32_t framing; /* CHOIR_FRAMING_* */
    size_t piece;
} replay_link;

/* The environment of all runs: services are prepared once. */
typedef struct replay_world {
    test_alloc alloc;
    choir_env *env;
} replay_world;

/* Plays a part; `run` may hold an earlier one. */
void replay_play(replay_world *w, const replay_part *part, replay_link link, replay_change change,
                 replay_run *run);
void replay_run_deinit(replay_run *run);
bool replay_run_equals(const replay_run *a, const replay_run *b);
bool replay_sent_equals(const replay_run *a, const replay_run *b);

/* Does the run say what the recording says? false prints the differences as TAP comments, unless `quiet`. */
bool replay_compare(const replay_part *part, const replay_run *run, bool quiet);
/* Would replay_compare notice? Changes what is expected of us, byte by byte; false prints what went
 * unnoticed. */
bool replay_compare_is_sharp(const replay_part *part, const replay_run *run, uint64_t *ret_tried);

/* ---- handshake payloads ---- */

#define REPLAY_ENTRIES 8u

/* A Hello or HelloYourself, as the CBOR it came in. */
typedef struct replay_hello {
    choir_str name;
    choir_bytes parity, settings, schema; /* whole items; parity is empty in HelloYourself */
    uint32_t max_concurrent_requests;
    choir_metadata_entry entries[REPLAY_ENTRIES];
    size_t entries_len;
    uint8_t store[64]; /* of Bytes values that came as arrays of numbers */
    size_t store_len;
} replay_hello;

/* false when the payload is none. Borrows from it and from *ret. */
bool replay_hello_read(choir_bytes payload, replay_hello *ret);
bool replay_entry_equals(const choir_metadata_entry *a, const choir_metadata_entry *b);
/* The recorded one of either side, or NULL. */
const replay_payload *replay_find_hello(const replay_recording *r, bool of_client);

/* ---- flips ---- */

typedef struct replay_flips {
    uint64_t tried, ended, sent, seen; /* how many, and what became of them */
    uint64_t *harmless;                /* by reason */
    uint64_t silent;                   /* with no effect and no reason: each is a failure */
} replay_flips;

/* How many bytes are changed: all of payloads up to `small` bytes, and of larger ones `sample` (0: all, too),
 * each with so many masks. */
typedef struct replay_extent {
    uint32_t small, sample, masks;
} replay_extent;

/* Changes bytes of each payload that the part receives. Adds to *ret. */
void replay_flip(replay_world *w, const replay_part *part, replay_extent extent, replay_run *scratch,
                 replay_flips *ret);

/* ---- services ---- */

/* The method id of a raw call that has no name; our client calls the first method of newer_service
 * instead. */
#define REPLAY_NAMELESS_METHOD UINT64_C(0xdeadbeefdeadbeef)

#endif
