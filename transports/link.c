/* SPDX-License-Identifier: MIT */
/* One link: an other end (a socket, or a link of the same loop), an attachment and a session, and what moves between
 * them. What is special to a kind of link is in its net_ops.
 *
 * States only go forward: opening → open → flushing → draining → closed, with jumps to closed from anywhere. Input is
 * listened for exactly when the attachment wants some and nothing is left of what was read before, so what a peer can
 * make a link hold is one read, whatever happens behind. */
#include "internal.h"

#include <string.h>

/* How long a link that has finished may take to pass on its last words, such as the reason of a protocol error. */
#define LINGER (250 * CHOIR_MILLISECOND)

/* ---- events ---- */

void choiri_net_link_report(net_link *link) {
    if (!link->session && link->attachment && link->owner && choir_attachment_hello(link->attachment))
        link->owner->hello(link);
    if (!link->session) return;
    const choir_event *event;
    while (!link->held && (event = choir_session_poll(link->session))) {
        if (event->kind == CHOIR_EVENT_SESSION_ESTABLISHED) link->established = true;
        if (event->kind == CHOIR_EVENT_SESSION_CLOSED) link->over = true;
        if (link->owner) link->owner->event(link, event);
    }
}

/* ---- input ---- */

static void drop_rest(net_link *link) {
    choir_chunk_release(link->rest.chunk);
    link->rest.chunk = NULL;
    link->rest.at = link->rest.len = 0;
}

/* What is left over of a read is copied: a peer that is made to wait must not pin a block many times larger than what it
 * sent, and the loop goes on with the same block. */
static void keep_rest(net_link *link, choir_chunk *chunk, const uint8_t *bytes, size_t len) {
    choir_chunk *copy;
    link->rest.len = len;
    if (chunk == link->loop->chunk && choir_env_chunk_new(link->loop->env, len, &copy) == CHOIR_OK) {
        memcpy(choir_chunk_data(copy), bytes, len);
        link->rest.chunk = copy;
        link->rest.at = 0;
        return;
    }
    link->rest.chunk = choir_chunk_retain(chunk);
    link->rest.at = (size_t)(bytes - choir_chunk_data(chunk));
}

void choiri_net_link_feed(net_link *link, choir_chunk *chunk, const uint8_t *bytes, size_t len) {
    choir_loop *loop = link->loop;
    size_t at = 0;
    while (at < len && link->state == NET_OPEN && !link->held && net_link_wants(link)) {
        size_t used = 0;
        int status =
            choir_attachment_receive(link->attachment, bytes + at, len - at, chunk, &used, loop->now);
        at += used;
        /* BUSY: a callback of another link has made events here; after them the bytes are taken. */
        choiri_net_link_report(link);
        if (used == 0 && status != CHOIR_ERR_BUSY) break;
    }
    if (loop->held == link && !loop->held_chunk) loop->held_chunk = choir_chunk_retain(chunk);
    if (at < len && link->state == NET_OPEN &&
        !(choir_attachment_interest(link->attachment) & CHOIR_FINISHED))
        keep_rest(link, chunk, bytes + at, len - at);
}

static void feed_rest(net_link *link) {
    if (link->rest.len == 0 || link->held || !net_link_wants(link)) return;
    choir_chunk *chunk = link->rest.chunk;
    size_t at = link->rest.at, len = link->rest.len;
    link->rest.chunk = NULL;
    link->rest.len = 0;
    choiri_net_link_feed(link, chunk, choir_chunk_data(chunk) + at, len);
    choir_chunk_release(chunk);
}

/* ---- time ---- */

static choir_time earlier(choir_time a, choir_time b) {
    return a < b ? a : b;
}

static choir_time deadline(const net_link *link) {
    if (link->state == NET_CLOSED) return CHOIR_TIME_NEVER;
    choir_time t = link->linger;
    if (link->state == NET_OPENING) t = earlier(t, choiri_net_connect_deadline(link->connect));
    if (link->attachment) t = earlier(t, choir_attachment_deadline(link->attachment));
    if (link->session && !link->over) t = earlier(t, choir_session_deadline(link->session));
    return t;
}

void choiri_net_link_due(net_link *link) {
    choir_loop *loop = link->loop;
    choiri_net_link_mark(link); /* which sets the next time */
    if (deadline(link) > loop->now) return;
    /* What has arrived counts as life, also when we were too slow to look at it. */
    if (link->reading) link->ops->read(link);
    if (link->attachment) choir_attachment_advance(link->attachment, loop->now);
    if (link->session && !link->over) choir_session_advance(link->session, loop->now);
    if (link->linger <= loop->now)
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the other end did not close in time"));
}

/* ---- life ---- */

net_link *choiri_net_link_new(choir_loop *loop, const net_ops *ops, const net_owner *owner,
                              void *owner_data) {
    if (!choiri_net_timers_reserve(loop, loop->links_len + 1)) return NULL;
    net_link *link = choiri_net_alloc(loop, sizeof *link);
    if (!link) return NULL;
    memset(link, 0, sizeof *link);
    link->loop = loop;
    link->ops = ops;
    link->owner = owner;
    link->owner_data = owner_data;
    link->fd = -1;
    link->armed = link->linger = CHOIR_TIME_NEVER;
    net_node_init(&link->all);
    net_node_init(&link->sibling);
    net_node_init(&link->dirty);
    net_list_append(&loop->links, &link->all);
    loop->links_len++;
    return link;
}

static void close_link(net_link *link) {
    link->state = NET_CLOSED;
    link->reading = false;
    link->ops->close(link);
    drop_rest(link);
    choiri_net_timer_clear(link);
}

void choiri_net_link_lost(net_link *link, int status, choir_str text) {
    if (link->state == NET_CLOSED) return;
    close_link(link);
    if (link->attachment) choir_attachment_closed(link->attachment, status, text, link->loop->now);
    choiri_net_link_mark(link);
}

void choiri_net_link_free(net_link *link) {
    choir_loop *loop = link->loop;
    if (loop->held == link) choiri_net_unhold(loop);
    if (link->state != NET_CLOSED) close_link(link);
    if (link->owner) link->owner->gone(link);
    choiri_net_handle_free(loop, link->handle);
    choiri_net_connect_free(link);
    if (link->session)
        choir_session_free(link->session);
    else if (link->attachment)
        choir_attachment_free(link->attachment, loop->now);
    net_node_remove(&link->dirty);
    net_node_remove(&link->sibling);
    net_node_remove(&link->all);
    loop->links_len--;
    choiri_net_release(loop, link, sizeof *link);
}

void choiri_net_link_mark(net_link *link) {
    if (link->marked) return;
    link->marked = true;
    net_list_append(&link->loop->dirty, &link->dirty);
    choiri_net_schedule(link->loop);
}

void choiri_net_link_let_go(net_link *link) {
    if (link->loop->held == link) choiri_net_unhold(link->loop);
    if (link->session) choir_session_close(link->session, link->loop->now);
    choiri_net_link_report(link);
    if (!link->over || link->state == NET_OPENING) { /* without an other end, or still without a session */
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("closed"));
        choiri_net_link_report(link);
    }
    link->owner->gone(link);
    link->owner = NULL;
    choiri_net_handle_free(link->loop, link->handle);
    link->handle = 0;
    choiri_net_link_run(link);
}

/* ---- a link's share of a turn ---- */

/* Goes to the states that the attachment asks for, and listens for input as it wishes. */
static void settle(net_link *link) {
    if (link->state == NET_OPENING || link->state == NET_CLOSED) return;
    uint32_t interest = choir_attachment_interest(link->attachment);
    if (link->state == NET_OPEN && (interest & CHOIR_FINISHED)) {
        link->state = NET_FLUSHING;
        link->linger = link->loop->now + LINGER;
        drop_rest(link);
    }
    if (link->state == NET_FLUSHING && !(interest & CHOIR_HAS_OUTPUT)) {
        link->state = NET_DRAINING;
        link->ops->shut(link);
    }
    bool wants = link->state == NET_OPEN && (interest & CHOIR_WANTS_INPUT);
    if (wants && link->rest.len > 0) choiri_net_link_mark(link);
    bool input = (wants && link->rest.len == 0) || link->state == NET_DRAINING;
    if (input == link->reading) return;
    link->reading = input;
    link->ops->want(link, input);
}

void choiri_net_link_run(net_link *link) {
    if (link->state == NET_OPENING && !link->over) choiri_net_connect_step(link);
    if (link->state == NET_OPEN) feed_rest(link);
    choiri_net_link_report(link);
    if (link->state == NET_OPEN || link->state == NET_FLUSHING) link->ops->flush(link);
    choiri_net_link_report(link);
    settle(link);
    bool over = !link->session || link->over;
    if (link->state == NET_CLOSED && over && (!link->owner || link->owner->is_done(link))) {
        choiri_net_link_free(link);
        return;
    }
    choiri_net_timer_set(link, deadline(link));
}
