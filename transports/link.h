/* SPDX-License-Identifier: MIT */
/* A link: an other end, an attachment, and what moves between them. Its kind says how payloads move: over a
 * stream (stream_link.c), or from hand to hand inside the loop (memory.c). Framings over a stream that are
 * not the core's own, such as WebSocket, will be kinds as well.
 *
 * A link dies with its other end; the session it carried may live on. */
#ifndef CHOIRI_NET_LINK_H
#define CHOIRI_NET_LINK_H

#include "loop.h"
#include "session.h"

#include "choir/stream.h"

/* How links of a kind move payloads. */
typedef struct net_link_kind {
    size_t size;      /* of its struct, which starts with a net_link */
    uint32_t framing; /* CHOIR_FRAMING_* */
    /* Writes what the attachment offers, as far as the link takes it. */
    void (*flush)(net_link *link);
    /* Starts or stops listening for input. */
    void (*want)(net_link *link, bool input);
    /* Feeds what has arrived; called before time is told to pass. */
    void (*read)(net_link *link);
    /* How many of the bytes that were written have gone on towards the peer, in all. NULL: as soon as they
     * are written. */
    uint64_t (*gone)(const net_link *link);
    /* No output will follow. */
    void (*shut)(net_link *link);
    /* The end: nothing more is read or written. Called once, from any state. */
    void (*close)(net_link *link);
    /* Gives back what the link has; nothing of it is used any more. NULL: nothing to do. */
    void (*release)(net_link *link);
    /* About the other end, which it has; fixed once it has fed its first bytes. NULL: nothing is known.
     * Returns borrowed (valid until release). */
    const choir_evidence *(*evidence)(const net_link *link);
} net_link_kind;

/* Who decides about the Hello that an accepted link brings: a server. */
typedef struct net_acceptor {
    /* The Hello waits: accept it, with choiri_net_session_attach, or refuse it. */
    void (*hello)(struct net_acceptor *acceptor, net_link *link);
    /* Bytes of the peer have arrived. */
    void (*heard)(struct net_acceptor *acceptor, net_link *link);
    /* The link is about to be freed. */
    void (*gone)(struct net_acceptor *acceptor, net_link *link);
} net_acceptor;

typedef enum net_link_state {
    NET_OPENING,  /* a client's, before there is an other end */
    NET_OPEN,     /* bytes flow */
    NET_FLUSHING, /* the attachment has finished: what it still says is written; linger bounds last words */
    NET_DRAINING, /* everything is written and our side shut; waits for the other end; linger bounds it */
    NET_CLOSED
} net_link_state;

struct net_link {
    choir_loop *loop;
    const net_link_kind *kind;
    net_session *session;         /* NULL: an accepted link's before its Hello was, or one that was let go */
    net_acceptor *acceptor;       /* NULL: a client's, or one that was let go */
    choir_attachment *attachment; /* NULL while opening */
    struct net_connect *connect;  /* a client's while opening */
    net_node all;                 /* in loop->links */
    net_node sibling;             /* in a list of the acceptor */
    net_task task;
    net_timer timer;
    choir_time linger; /* when patience with the other end ends */
    uint64_t gone;     /* bytes that had gone on towards the peer when that was looked at */
    choir_time heard;  /* when bytes came last; when it opened, before that */
    net_link_state state;
    bool reading;     /* listens for input */
    bool known;       /* its attachment was told what is known about the peer */
    bool flushing;    /* output is taken: what comes of that is looked at behind it */
    bool handshaking; /* an accepted link that has not finished its handshake */
    /* Bytes that were read but not wanted yet. Nothing is read while there are some. */
    struct {
        choir_chunk *chunk;
        size_t at, len; /* rest: [at, at + len) of chunk */
    } rest;
};

/* A link without an other end. NULL without memory. */
net_link *choiri_net_link_new(choir_loop *loop, const net_link_kind *kind);
/* Frees it with everything it has but the session, which is without a link from then on. */
void choiri_net_link_free(net_link *link);
void choiri_net_link_mark(net_link *link);
/* Before time is told to pass: reads what has arrived, and tells the attachment that output has gone on. What
 * happened counts, also when we were too slow to look at it. */
void choiri_net_link_look(net_link *link);
/* The same for its attachment or session, which have something to say. */
static inline void net_link_wake(net_link *link) {
    if (!link->flushing) choiri_net_link_mark(link);
}
/* What its attachment is made with: those options, its framing and its wake. */
choir_attachment_options choiri_net_link_waking(net_link *link, const choir_attachment_options *options);
/* Hands bytes from `chunk` to the attachment and reports what comes of them; what is not wanted is kept. */
void choiri_net_link_feed(net_link *link, choir_chunk *chunk, const uint8_t *bytes, size_t len);
/* Keeps a copy of bytes that were read before the link was made. OK · ERR_NO_MEMORY. */
int choiri_net_link_preload(net_link *link, const void *bytes, size_t len);
/* The link has ended, from outside or by us. */
void choiri_net_link_lost(net_link *link, int status, choir_str text);
/* Its acceptor goes. */
void choiri_net_link_let_go(net_link *link);
/* May be read from. */
static inline bool net_link_is_ready(const net_link *link) {
    return link->rest.len == 0 && !(link->session && link->session->held);
}
static inline bool net_link_wants(const net_link *link) {
    return (choir_attachment_interest(link->attachment) & CHOIR_WANTS_INPUT) != 0;
}

/* ---- stream_link.c: the kind that moves bytes over a stream ---- */

extern const net_link_kind choiri_net_stream_links;

/* Does it have all functions that it must have, in a struct that this library understands? */
bool choiri_net_stream_is_whole(const choir_stream *stream);
/* Gives such a link its stream, a whole one, which it takes. */
void choiri_net_stream_link_set(net_link *link, choir_stream *stream);

/* ---- memory.c ---- */

extern const net_link_kind choiri_net_memory_links;

#endif
