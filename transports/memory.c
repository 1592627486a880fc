/* SPDX-License-Identifier: MIT */
/* Links inside one loop: two links that know each other, and payloads that are handed from one attachment to
 * the other when a link runs. Nothing is queued in between, so a receiver that does not want input holds its
 * sender back. How many hand-overs one turn makes is bounded by the links' shares of it and by the turn's own
 * budget.
 *
 * A payload is copied once, into a chunk, because the receiver's events may point into it while the sender
 * already writes its next message. A link that waits is woken by the other end when that wants a payload. */
#include "connect.h"
#include "listener.h"
#include "server.h"

#include <stdio.h>
#include <string.h>

#define IOV_MAX_USED 64u
/* Payloads that one run hands over, so that other links get their turn. */
#define BURST 64u
/* The core copies what it retains up to here; larger payloads get a chunk of their own to be retained in. */
#define SHARED_MAX 4096u

typedef struct memory_link {
    net_link link;
    struct memory_link *peer; /* the other end; NULL: it is gone */
    bool waiting;             /* the other end does not take what we have */
} memory_link;

static memory_link *memory_of(const net_link *link) {
    return (memory_link *)(uintptr_t)link; /* link is its first member */
}

static bool takes(const net_link *link) {
    return link->state == NET_OPEN && net_link_is_ready(link) && net_link_wants(link);
}

/* Moves the next payload to the peer; false when there is no memory for it. */
static bool hand_over(memory_link *from, const choir_iov *iov, size_t n) {
    choir_loop *loop = from->link.loop;
    net_link *to = &from->peer->link;
    size_t len = 0, at = 0;
    for (size_t i = 0; i < n; i++) len += iov[i].len;
    choir_chunk *shared = len <= SHARED_MAX ? choiri_net_block(loop) : NULL, *chunk = shared;
    if (!chunk && choir_env_chunk_new(loop->env, len, &chunk) != CHOIR_OK) return false;
    uint8_t *bytes = choir_chunk_data(chunk);
    for (size_t i = 0; i < n; i++) {
        memcpy(bytes + at, iov[i].base, iov[i].len);
        at += iov[i].len;
    }
    choir_attachment_consume(from->link.attachment, len, loop->now);
    choiri_net_link_feed(to, chunk, bytes, len);
    if (!shared) choir_chunk_release(chunk);
    choiri_net_link_mark(to);
    return true;
}

static void memory_flush(net_link *link) {
    memory_link *m = memory_of(link);
    if (!m->peer) {
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the other end closed the link"));
        return;
    }
    m->waiting = false;
    for (uint32_t left = BURST; m->peer; left--) {
        choir_iov iov[IOV_MAX_USED];
        size_t n = choir_attachment_peek(link->attachment, iov, IOV_MAX_USED);
        if (n == 0) break;
        if (!takes(&m->peer->link)) {
            m->waiting = true;
            break;
        }
        if (left == 0) {
            choiri_net_link_mark(link);
            break;
        }
        if (!hand_over(m, iov, n)) {
            choiri_net_link_lost(link, CHOIR_ERR_OUT_OF_MEMORY, CHOIR_STR("no memory to pass a payload on"));
            return;
        }
    }
    if (m->peer && m->peer->waiting && takes(link)) choiri_net_link_mark(&m->peer->link);
}

/* What wants input is looked at when the other end has some. */
static void memory_want(net_link *link, bool input) {
    (void)link;
    (void)input;
}

static void memory_read(net_link *link) {
    (void)link;
}

/* There is no half of such a link: with the last payload handed over, it ends. */
static void memory_shut(net_link *link) {
    choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("closed"));
}

static void memory_close(net_link *link) {
    memory_link *m = memory_of(link), *peer = m->peer;
    if (!peer) return;
    m->peer = peer->peer = NULL;
    choiri_net_link_mark(&peer->link); /* it finds out when it runs */
}

static const choir_evidence *memory_evidence(const net_link *link) {
    static const choir_evidence evidence = {
        .size = sizeof evidence, .scheme = {"mem", 3}, .peer = {"", 0}, .local = {"", 0}};
    (void)link;
    return &evidence;
}

const net_link_kind choiri_net_memory_links = {
    .size = sizeof(memory_link),
    .framing = CHOIR_FRAMING_NONE,
    .flush = memory_flush,
    .want = memory_want,
    .read = memory_read,
    .shut = memory_shut,
    .close = memory_close,
    .evidence = memory_evidence,
};

/* ---- mem://name ---- */

static int memory_parse(const char *rest, net_address *address, net_text *why) {
    size_t len = strlen(rest);
    if (len == 0 || len > NET_HOST_MAX) {
        choiri_net_text_add(why, len == 0 ? "the name is missing" : "the name has more than 253 bytes");
        return CHOIR_ERR_ADDRESS;
    }
    memcpy(address->host, rest, len + 1);
    return CHOIR_OK;
}

static net_listener *find(choir_loop *loop, const char *name) {
    for (net_node *n = loop->memory_listeners.next; n != &loop->memory_listeners; n = n->next) {
        net_listener *listener = NET_CONTAINER(n, net_listener, named);
        if (strcmp(listener->address.host, name) == 0) return listener;
    }
    return NULL;
}

static void memory_connect(net_link *link) {
    const char *name = link->connect->address.host;
    net_listener *listener = find(link->loop, name);
    if (!listener) {
        choiri_net_connect_failed(link, CHOIR_ERR_CONNECT, "nothing listens on mem://%s", name);
        return;
    }
    if (!choiri_net_server_has_room(listener->server)) {
        link->connect->waits_for = "the server takes no more sessions";
        net_list_append(&listener->waiting, &link->sibling);
        choiri_net_server_expect_room(listener->server);
        return;
    }
    net_link *other = choiri_net_server_accept(listener->server, &choiri_net_memory_links);
    if (!other) {
        choiri_net_connect_failed(link, CHOIR_ERR_NO_MEMORY, "no memory for the link to mem://%s", name);
        return;
    }
    memory_of(other)->peer = memory_of(link);
    memory_of(link)->peer = memory_of(other);
    choiri_net_connect_done(link);
}

static int memory_listen(net_listener *listener) {
    choir_loop *loop = listener->loop;
    const char *name = listener->address.host;
    if (find(loop, name))
        return choiri_net_fail(loop, CHOIR_ERR_LISTEN, "cannot listen on mem://%s: it is in use", name);
    snprintf(listener->url, sizeof listener->url, "mem://%s", name);
    net_list_append(&loop->memory_listeners, &listener->named);
    return CHOIR_OK;
}

static void memory_unlisten(net_listener *listener, bool forked) {
    (void)forked;
    net_node_remove(&listener->named);
}

const net_scheme choiri_net_scheme_memory = {
    .name = "mem",
    .form = "mem://name",
    .slashes = true,
    .links = &choiri_net_memory_links,
    .parse = memory_parse,
    .connect = memory_connect,
    .listen = memory_listen,
    .unlisten = memory_unlisten,
};
