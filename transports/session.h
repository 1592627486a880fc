/* SPDX-License-Identifier: MIT */
/* A session in the loop: its handle, its owner and its events. It may have a link, lose it and be given
 * another. */
#ifndef CHOIRI_NET_SESSION_H
#define CHOIRI_NET_SESSION_H

#include "loop.h"

/* Whom a session belongs to: a client or a server. */
typedef struct net_session_owner {
    void (*event)(net_session *session, const choir_event *event);
    /* The session is over, has no link and holds no request; true when the owner needs nothing of it any
     * more. */
    bool (*is_done)(const net_session *session);
    /* The session is about to be freed. */
    void (*gone)(net_session *session);
} net_session_owner;

struct net_session {
    choir_loop *loop;
    const net_session_owner *owner; /* NULL: let go; events are thrown away */
    void *owner_data;               /* the client or server */
    choir_session *session;
    choir_conn_id root; /* of session */
    uint64_t handle;    /* in the loop; 0 is none */
    net_link *link;     /* NULL: none yet, or not any more */
    net_node all;       /* in loop->sessions */
    net_node sibling;   /* in a list of the owner */
    net_task task;      /* is marked only while there is no link: that one's run does the work of both */
    net_timer timer;
    bool held;        /* an event is out (loop->held): no poll, no receive */
    bool established; /* it has been */
    bool over;        /* it has reported its end */
};

/* Without a choir_session, which the caller gives it (choiri_net_session_set) or frees it. NULL without
 * memory. */
net_session *choiri_net_session_new(choir_loop *loop, const net_session_owner *owner, void *owner_data);
void choiri_net_session_set(net_session *session, choir_session *core);
/* What its choir_session is made with: those options, whose root stays where it is, and its wake. */
choir_session_options choiri_net_session_waking(net_session *session, const choir_session_options *options);
/* Gives it a link; it has none. */
void choiri_net_session_attach(net_session *session, net_link *link);
/* Its link is gone. */
void choiri_net_session_detach(net_session *session);
/* Frees it with everything it has; it has no link any more. */
void choiri_net_session_free(net_session *session);
/* There is work for it, or for its link, in this turn. */
void choiri_net_session_mark(net_session *session);
/* Polls and reports the events. */
void choiri_net_session_report(net_session *session);
/* The end of a call: calls back, if that was wanted. */
static inline void net_session_done(const choir_event *event) {
    if (event->callback) event->callback(event->user_data, event);
}
/* Sets the timer and frees what is at its end; behind every run. */
void choiri_net_session_settle(net_session *session);
/* The owner goes: every event is reported now, and the session is on its own for the little that it still has
 * to say, and for requests that handlers hold. */
void choiri_net_session_let_go(net_session *session);

/* Notes what became of a function of the core, as choiri_net_result does, in the core's words where it has
 * some. Returns `status`. */
int choiri_net_session_result(choir_loop *loop, const choir_session *core, int status);

/* NULL when there is none of that handle. */
net_session *choiri_net_session_find(choir_loop *loop, uint64_t handle);
/* Gives it a handle; false without memory. */
bool choiri_net_session_name(net_session *session);

#endif
