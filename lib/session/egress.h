/* SPDX-License-Identifier: MIT */
/* Output: who may write next. docs/internals/foundation.md, section 2.
 *
 * While the link's own queue is short a message is encoded straight into it. Above that each connection has a
 * queue of its own, in its hot part, and stands in a ring; whoever takes output (peek) refills the link's
 * queue from the ring by deficit round robin, whole frames at a time. A connection with anything in its queue
 * queues everything, so its messages leave in the order in which they were made. The root's Ping, Pong and
 * ProtocolError go into the link's queue at any time: no more than CHOIRI_EGRESS_SHORT and one frame are in
 * front of them.
 *
 * A stable conduit, which keeps what was sent until the peer has acknowledged it, has its two ends here:
 * frames get their numbers in onto_link, through which each one passes on its way into the link's queue, and
 * what choiri_egress_taken drops from there moves to a queue of the session instead, from which a new link
 * starts. */
#ifndef CHOIRI_EGRESS_H
#define CHOIRI_EGRESS_H

#include "base/dlist.h"
#include "base/outq.h"
#include "choir/attachment.h"
#include "wire/writer.h"

/* The link's queue is short below this: what a link of 10 Mbit/s takes in 50 ms, and enough to fill one
 * write. */
#define CHOIRI_EGRESS_SHORT (64u << 10)
/* What a connection may send in its turn. */
#define CHOIRI_EGRESS_QUANTUM (16u << 10)
/* Largest payload: two bits of the length are needed while it is queued. */
#define CHOIRI_EGRESS_PAYLOAD_MAX ((UINT32_C(1) << 30) - 1)

typedef struct choiri_hot choiri_hot;

/* Where a frame ends in a session's output while it waits in its connection's queue: not known yet. */
#define CHOIRI_EGRESS_QUEUED UINT64_MAX

/* What a frame in a connection's queue is, for its budgets. */
typedef enum choiri_frame_kind {
    CHOIRI_FRAME_OTHER,
    CHOIRI_FRAME_CALL, /* of a call itself, not of its cancel: drivers count them */
    CHOIRI_FRAME_ANSWER,
    CHOIRI_FRAME_REFUSAL /* an answer whose leaving nobody waits for; egress.c finds out */
} choiri_frame_kind;

/* An answer on its way: in the order of its connection's queue first, of the link's then. The layer above is
 * told when the link has taken its last byte, or never will. */
typedef struct choiri_leaving {
    choiri_dlist link;
    uint64_t end; /* position in the link's output behind it */
} choiri_leaving;

/* A connection's part, in its hot part. */
typedef struct choiri_egress {
    choiri_outq queue;       /* frames; the upper bits of each length say what it is: see egress.c */
    choiri_dlist turn;       /* in the session's ring while something is queued */
    choiri_dlist relieved;   /* in the session's list of those whose queue has become short enough to go on */
    choiri_dlist leaving;    /* of answers in `queue` */
    uint64_t deficit;        /* bytes it may still send in this round */
    uint64_t calls, answers; /* bytes of such frames in `queue` */
    uint32_t call_frames;    /* how many frames of calls those are */
    uint64_t charged;        /* of `queue`'s memory */
} choiri_egress;

void choiri_egress_init(choiri_egress *e, choir_env *env);
/* Drops what is queued; its answers are given up. Harmless when there is nothing. */
void choiri_egress_clear(choiri_hot *hot);
static inline bool choiri_egress_is_empty(const choiri_egress *e) {
    return e->queue.bytes == 0;
}

/* One message to the peer: begin, encode into `writer`, end. */
typedef struct choiri_sending {
    choiri_writer writer;
    choir_session *session;
    choiri_hot *hot; /* whose queue it goes to; NULL: the link's */
    choiri_outq *queue;
    choiri_outq_mark mark;
    uint8_t *head; /* of the frame: its length goes there. NULL after a failure */
    uint64_t end;  /* after end: position in the session's output behind it, or CHOIRI_EGRESS_QUEUED; after
                      ERR_TOO_LARGE: its size */
} choiri_sending;

/* hot: of the connection; NULL for the root's Ping, Pong and ProtocolError. `chunk`: see choiri_writer_init.
 * false when there is no open link. */
bool choiri_egress_begin(choir_session *s, choiri_hot *hot, choiri_sending *m, choir_chunk *chunk);
/* OK · ERR_TOO_LARGE · ERR_NO_MEMORY · ERR_INVALID · ERR_DEPTH: nothing is queued then. `leaving`: of an
 * answer, NULL otherwise; it is in a list until the layer above is told. */
int choiri_egress_end(choiri_sending *m, choiri_frame_kind kind, choiri_leaving *leaving, choir_time now);

/* The largest payload that may be sent; 0 without a link. */
uint32_t choiri_egress_max(const choir_session *s);
/* What is before this position was taken by a link, or is still offered to it. Positions count on from link
 * to link, so what an earlier one did not take is never said to have left too early. */
bool choiri_egress_has_left(const choir_session *s, uint64_t end);

/* From the attachment. Fills its queue from the ring, as far as that is short. false without memory for it:
 * what was moved stays moved. */
bool choiri_egress_refill(choir_attachment *a);
/* The link took what is before `position`: tells the layer above of answers, and connections that may go
 * on. */
void choiri_egress_taken(choir_attachment *a, choir_time now);
/* The link is gone: nothing that is queued will leave. */
void choiri_egress_lost(choir_session *s, choir_attachment *a);

#endif
