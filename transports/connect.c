/* SPDX-License-Identifier: MIT */
/* The way of a client's link to its other end: resolve the name, try its addresses one after the other, all within one
 * deadline. Every step is taken when the link runs; what wakes it is an answer of the resolver, a writable socket or the
 * link's timer.
 *
 * Each address gets an equal share of the time that is left, so that a dead one does not use up the time of its
 * neighbours. All that were tried are listed, with what became of them, when none worked. */
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How long an answer with addresses of one family waits for the other (RFC 8305 waits 50 ms for the preferred one). */
#define OTHER_FAMILY (250 * CHOIR_MILLISECOND)

int choiri_net_connect_start(net_link *link, const net_address *address, const char *url,
                             choir_duration timeout) {
    choir_loop *loop = link->loop;
    net_connect *c = choiri_net_alloc(loop, sizeof *c);
    if (!c) return CHOIR_ERR_NO_MEMORY;
    memset(c, 0, sizeof *c);
    c->address = *address;
    snprintf(c->url, sizeof c->url, "%s", url);
    choir_time now = choiri_net_now(loop);
    c->deadline = timeout == 0 || timeout > CHOIR_TIME_NEVER - now ? CHOIR_TIME_NEVER : now + timeout;
    c->attempt_deadline = CHOIR_TIME_NEVER;
    if (address->scheme == NET_TCP && address->numeric) {
        c->found[0] = address->socket;
        c->found_len = 1;
        c->searched = true;
    } else if (address->scheme == NET_TCP) {
        int status = choiri_net_resolve_new(link, address->host, address->port, &c->resolve);
        if (status != CHOIR_OK) {
            choiri_net_release(loop, c, sizeof *c);
            return status;
        }
    }
    link->connect = c;
    return CHOIR_OK;
}

void choiri_net_connect_free(net_link *link) {
    if (!link->connect) return;
    choiri_net_resolve_free(link->connect->resolve);
    choiri_net_release(link->loop, link->connect, sizeof *link->connect);
    link->connect = NULL;
}

choir_time choiri_net_connect_deadline(const net_connect *c) {
    choir_time t = c->deadline;
    if (c->attempt_deadline < t) t = c->attempt_deadline;
    if (!c->searched && c->resolve) {
        choir_time found_at = choiri_net_resolve_found_at(c->resolve);
        if (found_at != CHOIR_TIME_NEVER && found_at + OTHER_FAMILY < t) t = found_at + OTHER_FAMILY;
    }
    return t;
}

static int attach(net_link *link) {
    choir_attachment_options o = *choiri_net_client_attachment(link);
    choir_time now = link->loop->now, deadline = link->connect->deadline;
    o.framing = link->ops->framing;
    if (deadline != CHOIR_TIME_NEVER && (o.handshake_timeout == 0 || deadline - now < o.handshake_timeout))
        o.handshake_timeout = deadline > now ? deadline - now : 1;
    return choir_attachment_new_initiator(link->loop->env, &o, link->session, &link->attachment, now);
}

void choiri_net_connect_failed(net_link *link, int status, const char *format, ...) {
    net_connect *c = link->connect;
    va_list arguments;
    va_start(arguments, format);
    char text[sizeof c->tried.data];
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    c->status = status;
    c->tried.len = 0;
    choiri_net_text_add(&c->tried, "%s", text);
    /* For the session, and so for the calls that wait in it, this is a link that ended before its first byte. */
    if (!link->attachment && attach(link) != CHOIR_OK) choir_session_close(link->session, link->loop->now);
    choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, net_text_get(&c->tried));
}

void choiri_net_connect_done(net_link *link) {
    int status = attach(link);
    if (status != CHOIR_OK) {
        choiri_net_connect_failed(link, status, "connected to %s, but: %s", link->connect->url,
                                  choir_status_text(status));
        return;
    }
    link->state = NET_OPEN;
    choiri_net_connect_free(link);
}

/* ---- tcp ---- */

static void note_attempt(net_connect *c, const char *what) {
    char text[NET_URL_MAX];
    choiri_net_sockaddr_text(&c->found[c->next - 1], text, sizeof text);
    choiri_net_text_add(&c->tried, "%s%s: %s", c->tried.len > 0 ? "; " : "", text, what);
}

/* Takes what the resolver has found, once that is enough; false while it is not, or when there is nothing. */
static bool search(net_link *link) {
    net_connect *c = link->connect;
    choir_time found_at = choiri_net_resolve_found_at(c->resolve);
    bool enough = choiri_net_resolve_is_done(c->resolve) ||
                  (found_at != CHOIR_TIME_NEVER && link->loop->now >= found_at + OTHER_FAMILY);
    if (!enough) return false;
    c->found_len = choiri_net_resolve_found(c->resolve, c->found);
    c->searched = true;
    if (c->found_len > 0) return true;
    choiri_net_connect_failed(link, CHOIR_ERR_ADDRESS, "cannot resolve \"%s\" of %s: %s", c->address.host,
                              c->url, choiri_net_resolve_error(c->resolve));
    return false;
}

/* The attempt under way: false while it is still open, or when it has become the link. */
static bool attempt_failed(net_link *link) {
    net_connect *c = link->connect;
    if (link->writable) {
        int error = choiri_net_tcp_connected(link);
        if (error == 0) {
            choiri_net_connect_done(link);
            return false;
        }
        note_attempt(c, strerror(error));
        return true;
    }
    if (link->loop->now < c->attempt_deadline) return false;
    choiri_net_tcp_abandon(link);
    note_attempt(c, "no answer in time");
    return true;
}

static void try_next(net_link *link) {
    net_connect *c = link->connect;
    choir_time now = link->loop->now;
    while (c->next < c->found_len) {
        uint64_t shares = c->found_len - c->next++;
        int error = choiri_net_tcp_connect(link, &c->found[c->next - 1]);
        if (error == 0) {
            choiri_net_connect_done(link);
            return;
        }
        if (error == EINPROGRESS) {
            /* The last one has all the time that is left, and is then ended by the deadline of the whole. */
            c->attempt_deadline = shares == 1 || c->deadline == CHOIR_TIME_NEVER
                                      ? CHOIR_TIME_NEVER
                                      : now + (c->deadline - now) / shares;
            return;
        }
        note_attempt(c, strerror(error));
    }
    choiri_net_connect_failed(link, CHOIR_ERR_CONNECT, "cannot connect to %s: %s", c->url, c->tried.data);
}

static void timed_out(net_link *link) {
    net_connect *c = link->connect;
    if (link->fd >= 0) note_attempt(c, "no answer in time");
    if (!c->searched && c->resolve)
        choiri_net_text_add(&c->tried, "the name \"%s\" was not resolved", c->address.host);
    choiri_net_connect_failed(link, CHOIR_ERR_TIMED_OUT, "connecting to %s took too long: %s", c->url,
                              c->tried.len > 0 ? c->tried.data : "the server takes no more sessions");
}

void choiri_net_connect_step(net_link *link) {
    net_connect *c = link->connect;
    if (link->loop->now >= c->deadline) {
        timed_out(link);
        return;
    }
    if (c->address.scheme == NET_MEMORY) {
        choiri_net_memory_connect(link, c->address.host);
        return;
    }
    if (!c->searched && !search(link)) return;
    if (link->fd >= 0 && !attempt_failed(link)) return;
    try_next(link);
}
