/* SPDX-License-Identifier: MIT */
/* The ready list: objects that have something to report. Intrusive, first in, first out, so that reporting
 * never allocates and terminal events come in the order in which objects ended. */
#ifndef CHOIRI_READY_H
#define CHOIRI_READY_H

#include "choir/event.h"

typedef struct choiri_ready choiri_ready;

/* What a ready node is part of. */
enum {
    CHOIRI_READY_STATE,  /* the session: established, detached, pong */
    CHOIRI_READY_CLOSED, /* the session's last word */
    CHOIRI_READY_CONN,   /* a connection */
    CHOIRI_READY_UPPER,  /* from here on: objects of the layer above, which numbers them as it likes */
};

/* 16 bytes. `state` and `generation` are the owner's to use: they lie here because a connection's record has
 * no other room. */
struct choiri_ready {
    choiri_ready *next;
    uint8_t kind; /* CHOIRI_READY_* */
    uint8_t bits; /* what is to be reported; their meaning is the kind's */
    bool queued;  /* in the ready list */
    uint8_t state;
    uint32_t generation;
};
_Static_assert(sizeof(choiri_ready) <= 16, "a connection's record has 16 bytes for it");

/* Queues `bits` of a node for reporting. */
void choiri_ready_add(choir_session *s, choiri_ready *node, uint8_t bits);

#endif
