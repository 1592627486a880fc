/* SPDX-License-Identifier: MIT */
/* A request of the peer, as request.c (on its way to the handler) and answer.c (on its way back) see it. */
#ifndef CHOIRI_REQUEST_H
#define CHOIRI_REQUEST_H

#include "rpc/driver.h"

/* A whole object class: a small request needs no other memory. */
#define CHOIRI_REQUEST_SIZE 1024u

enum { CHOIRI_REQUEST_NEW = 1, CHOIRI_REQUEST_CANCELLED = 2, CHOIRI_REQUEST_DONE = 4 }; /* bits of node */

typedef struct choiri_request {
    choiri_ready node;
    choiri_dlist live; /* in its connection's list */
    choiri_dlist link; /* in the queue */
    choiri_rpc *rpc;
    const choiri_prepared_method *m;
    choiri_binding *b;
    choir_request_id handle; /* 0 while queued */
    uint32_t method;
    uint32_t outcome;    /* how it ended */
    bool started : 1;    /* it has a place among those that run */
    bool reported : 1;   /* the host knows of it */
    bool deciding : 1;   /* a decision pends ... */
    bool decided : 1;    /* ... or was made */
    bool sealing : 1;    /* a sealing pends: the answer is in `sealed` */
    bool answered : 1;   /* the peer has its answer, or there is nobody to give it to */
    bool cancelled : 1;  /* by the peer, while it ran */
    bool finished : 1;   /* the handler has answered or dropped it */
    bool is_leaving : 1; /* in a list of those whose answers are on their way */
    bool orphan : 1;     /* its connection ended before its handler did */
    bool over : 1;       /* REQUEST_DONE was polled */
    size_t charged;
    const void *value;
    choir_chunk *chunk; /* what args lie in, when they were not copied */
    choiri_slot *slots;
    void *user_data;
    /* While a sealing pends: metadata, staged as that of calls is, and the answer behind it. Allocated. */
    choiri_outq *sealed;
    /* Not cleared: set before they are read. */
    size_t sealed_metadata, sealed_entries; /* bytes, entries */
    uint64_t wire_id, method_id;
    choir_metadata metadata;
    choir_metadata why; /* of its Cancel: in the newest payload, since the event comes before the next */
    choir_bytes args;
    size_t kept;            /* bytes of its frame: what it counts in the queue */
    choiri_leaving leaving; /* once its answer is on its way */
    choiri_arena arena;
    uint8_t first[];
} choiri_request;

/* What an answer says. */
typedef struct choiri_answer {
    uint64_t wire_id;
    const choiri_prepared_method *m; /* NULL: unknown */
    choiri_binding *b;               /* its; NULL: is looked up */
    uint32_t outcome;
    const void *value; /* OK, USER_ERROR */
    choir_str text;    /* INVALID_PAYLOAD */
    choir_chunk *chunk;
    choir_bytes encoded; /* instead of outcome, value and text, when data is not NULL */
    const choir_metadata_entry *metadata;
    size_t metadata_len;
} choiri_answer;

static inline choir_session *choiri_request_session(const choiri_request *q) {
    return q->rpc->hot.session;
}
static inline const choiri_profile *choiri_request_profile(const choiri_request *q) {
    return q->rpc->hot.conn->profile;
}

/* answer.c: OK, or what failed with nothing sent. `leaving`: see choiri_egress_end. rule: rpc.response */
int choiri_answer_send(choiri_rpc *r, const choiri_answer *a, choiri_leaving *leaving, choir_time now);
/* An answer of the library's own; there must be memory for it. */
void choiri_answer_refuse(choiri_rpc *r, uint64_t wire_id, const choiri_prepared_method *m, uint32_t outcome,
                          choir_str text, choir_time now);
/* Sends it, or closes the connection: it owes an answer. */
void choiri_answer_must(choiri_rpc *r, const choiri_answer *a, choir_time now);
/* What became of an answer that the peer is owed: OK and ERR_CLOSED are nothing, all else ends the
 * connection. */
void choiri_answer_owed(choiri_rpc *r, int status, choir_time now);
/* Memory of the answer that waits for its seal. */
static inline size_t choiri_sealed_held(const choiri_request *q) {
    return q->sealed ? (size_t)q->sealed->held + sizeof *q->sealed : 0;
}
/* For the ready list's owner: the link has taken an answer, or never will. */
void choiri_answer_left(choir_session *s, choiri_leaving *leaving, bool taken);

/* request.c */

/* The peer has its answer, or will not get one. */
void choiri_request_set_answered(choiri_request *q, uint32_t outcome);
/* The handler is through with it, whatever the peer was told. */
void choiri_request_finish(choiri_request *q, choir_time now);
/* By handle; NULL when it is not the host's to answer any more. */
choiri_request *choiri_request_find(choir_session *s, choir_request_id id);

#endif
