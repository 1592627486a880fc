/* SPDX-License-Identifier: MIT */
/* The life of a link, whatever its kind.
 *
 * States only go forward: opening → open → flushing → draining → closed, with jumps to closed from anywhere.
 * Input is listened for exactly when the attachment wants some and nothing is left of what was read before,
 * so what a peer can make a link hold is one read, whatever happens behind. A link that is closed is freed by
 * its next run, and its session goes on alone. */
#include "link.h"

#include "connect.h"

#include <string.h>

/* How long a link that has finished may take to pass on its last words, such as the reason of a protocol
 * error. When everything is written: to pass on LINGER_MIN bytes more, or for the other end to close. */
#define LINGER     (250 * CHOIR_MILLISECOND)
#define LINGER_MIN 1024u
/* After so much silence a link is read before it is written to. The program may have slept, and the peer may
 * be gone: what is not given to a dead link surely never left. */
#define SILENCE (100 * CHOIR_MILLISECOND)

/* ---- events ---- */

static void report(net_link *link) {
    if (!link->session && link->acceptor && link->attachment && choir_attachment_hello(link->attachment))
        link->acceptor->hello(link->acceptor, link);
    if (link->session) choiri_net_session_report(link->session);
}

/* ---- input ---- */

static void drop_rest(net_link *link) {
    choir_chunk_release(link->rest.chunk);
    link->rest.chunk = NULL;
    link->rest.at = link->rest.len = 0;
}

int choiri_net_link_preload(net_link *link, const void *bytes, size_t len) {
    choir_chunk *copy;
    if (len == 0) return CHOIR_OK;
    if (choir_env_chunk_new(link->loop->env, len, &copy) != CHOIR_OK) return CHOIR_ERR_NO_MEMORY;
    memcpy(choir_chunk_data(copy), bytes, len);
    link->rest.chunk = copy;
    link->rest.at = 0;
    link->rest.len = len;
    return CHOIR_OK;
}

/* What is left over of a read is copied: a peer that is made to wait must not pin a block many times larger
 * than what it sent, and the loop goes on with the same block. */
static void keep_rest(net_link *link, choir_chunk *chunk, const uint8_t *bytes, size_t len) {
    if (chunk == link->loop->block && choiri_net_link_preload(link, bytes, len) == CHOIR_OK) return;
    link->rest.chunk = choir_chunk_retain(chunk);
    link->rest.at = (size_t)(bytes - choir_chunk_data(chunk));
    link->rest.len = len;
}

static bool is_held(const net_link *link) {
    return link->session && link->session->held;
}

/* Before the first payload: what comes of it may depend on who the peer is. False: the link is lost. */
static bool introduce(net_link *link) {
    if (link->known) return true;
    const choir_evidence *evidence = link->kind->evidence(link);
    int status = evidence ? choir_attachment_set_evidence(link->attachment, evidence) : CHOIR_OK;
    link->known = status == CHOIR_OK;
    if (status == CHOIR_ERR_NO_MEMORY)
        choiri_net_link_lost(link, CHOIR_ERR_OUT_OF_MEMORY,
                             CHOIR_STR("no memory for what is known about the peer"));
    else if (!link->known) /* it comes from a stream of the host's */
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the stream's evidence is not valid"));
    return link->known;
}

void choiri_net_link_feed(net_link *link, choir_chunk *chunk, const uint8_t *bytes, size_t len) {
    choir_loop *loop = link->loop;
    size_t at = 0;
    link->heard = loop->now;
    if (!introduce(link)) return;
    if (link->acceptor) link->acceptor->heard(link->acceptor, link);
    while (at < len && link->state == NET_OPEN && !is_held(link) && net_link_wants(link)) {
        size_t used = 0;
        int status =
            choir_attachment_receive(link->attachment, bytes + at, len - at, chunk, &used, loop->now);
        at += used;
        /* BUSY: a callback of another link has made events here; after them the bytes are taken. */
        report(link);
        if (used == 0 && status != CHOIR_ERR_BUSY) break;
    }
    if (is_held(link) && !loop->held_chunk) loop->held_chunk = choir_chunk_retain(chunk);
    if (at < len && link->state == NET_OPEN &&
        !(choir_attachment_interest(link->attachment) & CHOIR_FINISHED))
        keep_rest(link, chunk, bytes + at, len - at);
}

static void feed_rest(net_link *link) {
    if (link->rest.len == 0 || is_held(link) || !net_link_wants(link)) return;
    choir_chunk *chunk = link->rest.chunk;
    size_t at = link->rest.at, len = link->rest.len;
    link->rest.chunk = NULL;
    link->rest.len = 0;
    choiri_net_link_feed(link, chunk, choir_chunk_data(chunk) + at, len);
    choir_chunk_release(chunk);
}

/* ---- time ---- */

static choir_time deadline(const net_link *link) {
    if (link->state == NET_CLOSED) return CHOIR_TIME_NEVER;
    choir_time t = link->linger;
    if (link->state == NET_OPENING) t = net_earlier(t, choiri_net_connect_deadline(link->connect));
    if (link->attachment) t = net_earlier(t, choir_attachment_deadline(link->attachment));
    return t;
}

/* How many bytes have gone on since that was looked at. */
static uint64_t gone_since(net_link *link) {
    if (!link->kind->gone || link->state == NET_OPENING || link->state == NET_CLOSED) return 0;
    uint64_t before = link->gone;
    link->gone = link->kind->gone(link);
    return link->gone > before ? link->gone - before : 0;
}

void choiri_net_link_look(net_link *link) {
    if (link->reading) link->kind->read(link);
    if (link->state == NET_OPEN && gone_since(link) > 0)
        choir_attachment_progress(link->attachment, link->loop->now);
}

static void due(net_timer *timer) {
    net_link *link = NET_CONTAINER(timer, net_link, timer);
    choir_loop *loop = link->loop;
    choiri_net_link_mark(link); /* which sets the next time */
    if (deadline(link) > loop->now) return;
    choiri_net_link_look(link);
    if (link->attachment) choir_attachment_advance(link->attachment, loop->now);
    if (link->linger > loop->now) return;
    if (link->state == NET_DRAINING && gone_since(link) >= LINGER_MIN)
        link->linger = loop->now + LINGER;
    else
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the other end did not close in time"));
}

/* ---- life ---- */

static void run(net_task *task);

net_link *choiri_net_link_new(choir_loop *loop, const net_link_kind *kind) {
    net_link *link = choiri_net_alloc(loop, kind->size);
    if (!link) return NULL;
    memset(link, 0, kind->size);
    if (!choiri_net_timer_init(loop, &link->timer, due)) {
        choiri_net_release(loop, link, kind->size);
        return NULL;
    }
    link->loop = loop;
    link->kind = kind;
    link->linger = CHOIR_TIME_NEVER;
    link->heard = loop->now;
    link->task.run = run;
    net_node_init(&link->all);
    net_node_init(&link->sibling);
    net_node_init(&link->task.node);
    net_list_append(&loop->links, &link->all);
    return link;
}

static void close_link(net_link *link) {
    link->state = NET_CLOSED;
    link->reading = false;
    link->kind->close(link);
    choiri_net_connect_free(link);
    drop_rest(link);
    choiri_net_timer_clear(link->loop, &link->timer);
}

void choiri_net_link_lost(net_link *link, int status, choir_str text) {
    if (link->state == NET_CLOSED) return;
    close_link(link);
    if (link->attachment) choir_attachment_closed(link->attachment, status, text, link->loop->now);
    choiri_net_link_mark(link);
}

void choiri_net_link_let_go(net_link *link) {
    if (link->acceptor) link->acceptor->gone(link->acceptor, link);
    link->acceptor = NULL;
    net_node_remove(&link->sibling);
}

void choiri_net_link_free(net_link *link) {
    choir_loop *loop = link->loop;
    if (link->state != NET_CLOSED) close_link(link);
    choiri_net_link_let_go(link);
    if (link->attachment) choir_attachment_free(link->attachment, loop->now);
    if (link->session) choiri_net_session_detach(link->session);
    if (link->kind->release) link->kind->release(link);
    choiri_net_timer_deinit(loop, &link->timer);
    net_node_remove(&link->task.node);
    net_node_remove(&link->all);
    choiri_net_release(loop, link, link->kind->size);
}

void choiri_net_link_mark(net_link *link) {
    choiri_net_mark(link->loop, &link->task);
}

/* There is output, or the deadline has moved. */
static void wake(void *ctx, choir_attachment *attachment) {
    (void)attachment;
    net_link_wake(ctx);
}

choir_attachment_options choiri_net_link_waking(net_link *link, const choir_attachment_options *options) {
    choir_attachment_options o = *options;
    o.framing = link->kind->framing;
    o.wake = wake;
    o.wake_ctx = link;
    return o;
}

/* ---- a link's share of a turn ---- */

/* Its session closes in order, and answers are still to leave: the attachment bounds how long that takes. */
static bool is_closing(const net_link *link) {
    return link->session && !choir_session_is_closed(link->session->session);
}

/* Its other end is dead, or takes nothing: there is nothing to say to it, and nothing to wait for. */
static bool is_dead(const net_link *link) {
    int status = choir_attachment_status(link->attachment);
    return status == CHOIR_ERR_PEER_UNRESPONSIVE || status == CHOIR_ERR_WRITE_STALLED;
}

/* Goes to the states that the attachment asks for, and listens for input as it wishes. */
static void settle(net_link *link) {
    if (link->state == NET_OPENING || link->state == NET_CLOSED) return;
    uint32_t interest = choir_attachment_interest(link->attachment);
    if (link->state == NET_OPEN && (interest & CHOIR_FINISHED)) {
        if (is_dead(link)) {
            choiri_net_link_lost(link, choir_attachment_status(link->attachment),
                                 choir_attachment_text(link->attachment));
            return;
        }
        link->state = NET_FLUSHING;
        if (!is_closing(link)) link->linger = link->loop->now + LINGER;
        drop_rest(link);
    }
    if (link->state == NET_FLUSHING && !(interest & CHOIR_HAS_OUTPUT)) {
        link->state = NET_DRAINING;
        if (link->linger == CHOIR_TIME_NEVER) link->linger = link->loop->now + LINGER;
        (void)gone_since(link); /* patience counts from here */
        link->kind->shut(link);
        if (link->state == NET_CLOSED) return;
    }
    bool wants = link->state == NET_OPEN && (interest & CHOIR_WANTS_INPUT);
    if (wants && link->rest.len > 0) choiri_net_link_mark(link);
    bool input = (wants && link->rest.len == 0) || link->state == NET_DRAINING;
    if (input == link->reading) return;
    link->reading = input;
    link->kind->want(link, input);
}

static void flush(net_link *link) {
    link->flushing = true;
    link->kind->flush(link);
    link->flushing = false;
}

static void run(net_task *task) {
    net_link *link = NET_CONTAINER(task, net_link, task);
    if (link->state == NET_OPENING && choir_session_is_closed(link->session->session))
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("closed while connecting"));
    if (link->state == NET_OPENING) choiri_net_connect_step(link);
    if (link->state == NET_OPEN) feed_rest(link);
    if (link->state == NET_OPEN && link->reading && link->loop->now - link->heard > SILENCE)
        link->kind->read(link);
    report(link);
    if (link->state == NET_OPEN || link->state == NET_FLUSHING) flush(link);
    report(link);
    settle(link);
    net_session *session = link->session;
    if (link->state == NET_CLOSED && !is_held(link))
        choiri_net_link_free(link);
    else
        choiri_net_timer_set(link->loop, &link->timer, deadline(link));
    if (session) choiri_net_session_settle(session);
}
