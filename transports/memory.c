/* SPDX-License-Identifier: MIT */
/* Links inside one loop: two links that know each other, and payloads that are handed from one attachment to the other
 * when a link runs. Nothing is queued in between, so a receiver that does not want input holds its sender back. How many
 * hand-overs one turn makes is bounded by the links' shares of it and by the turn's own budget.
 *
 * A payload is copied once, into a chunk, because the receiver's events may point into it while the sender already writes
 * its next message. `writing` says that the other end did not want a payload; it wakes us when it does. */
#include "internal.h"

#include <string.h>

#define IOV_MAX_USED 64u
/* Payloads that one run hands over, so that other links get their turn. */
#define BURST 64u
/* The core copies what it retains up to here; larger payloads get a chunk of their own to be retained in. */
#define SHARED_MAX 4096u

static bool takes(const net_link *link) {
    return link->state == NET_OPEN && !link->held && link->rest.len == 0 && net_link_wants(link);
}

/* Moves the next payload of `from` to its peer; false when there is none, or no memory for it. */
static bool hand_over(net_link *from, const choir_iov *iov, size_t n) {
    choir_loop *loop = from->loop;
    net_link *to = from->peer;
    size_t len = 0, at = 0;
    for (size_t i = 0; i < n; i++) len += iov[i].len;
    choir_chunk *shared = len <= SHARED_MAX ? choiri_net_chunk(loop) : NULL, *chunk = shared;
    if (!chunk && choir_env_chunk_new(loop->env, len, &chunk) != CHOIR_OK) return false;
    uint8_t *bytes = choir_chunk_data(chunk);
    for (size_t i = 0; i < n; i++) {
        memcpy(bytes + at, iov[i].base, iov[i].len);
        at += iov[i].len;
    }
    choir_attachment_consume(from->attachment, len, loop->now);
    choiri_net_link_feed(to, chunk, bytes, len);
    if (!shared) choir_chunk_release(chunk);
    choiri_net_link_mark(to);
    return true;
}

static void memory_flush(net_link *link) {
    if (!link->peer) {
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the other end closed the link"));
        return;
    }
    link->writing = false;
    for (uint32_t left = BURST; link->peer; left--) {
        choir_iov iov[IOV_MAX_USED];
        size_t n = choir_attachment_peek(link->attachment, iov, IOV_MAX_USED);
        if (n == 0) break;
        if (!takes(link->peer)) {
            link->writing = true;
            break;
        }
        if (left == 0) {
            choiri_net_link_mark(link);
            break;
        }
        if (!hand_over(link, iov, n)) {
            choiri_net_link_lost(link, CHOIR_ERR_OUT_OF_MEMORY, CHOIR_STR("no memory to pass a payload on"));
            return;
        }
    }
    if (link->peer && link->peer->writing && takes(link)) choiri_net_link_mark(link->peer);
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
    net_link *peer = link->peer;
    if (!peer) return;
    link->peer = peer->peer = NULL;
    choiri_net_link_mark(peer); /* it finds out when it runs */
}

const net_ops choiri_net_memory = {
    .framing = CHOIR_FRAMING_NONE,
    .flush = memory_flush,
    .want = memory_want,
    .read = memory_read,
    .shut = memory_shut,
    .close = memory_close,
};

void choiri_net_memory_connect(net_link *link, const char *name) {
    choir_server *server = choiri_net_server_find(link->loop, name);
    if (!server) {
        choiri_net_connect_failed(link, CHOIR_ERR_CONNECT, "nothing listens on mem://%s", name);
        return;
    }
    if (choiri_net_server_is_full(server)) {
        choiri_net_server_wait(server, link);
        return;
    }
    net_link *peer = choiri_net_server_accept(server, &choiri_net_memory);
    if (!peer) {
        choiri_net_connect_failed(link, CHOIR_ERR_NO_MEMORY, "no memory for the link to mem://%s", name);
        return;
    }
    peer->peer = link;
    link->peer = peer;
    choiri_net_connect_done(link);
}
