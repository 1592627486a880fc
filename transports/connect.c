/* SPDX-License-Identifier: MIT */
/* The way of a client's link to its other end, all within one time-out. Every step is taken when the link
 * runs; what wakes it is an answer of the resolver, a socket with something to say or the link's timer. The
 * scheme says what a step is; what schemes of sockets share, trying addresses one after the other, is here.
 *
 * Each address gets an equal share of the time that is left, so that a dead one does not use up the time of
 * its neighbours. All that were tried are listed, with what became of them, when none worked. */
#include "connect.h"

#include "client.h"
#include "raw.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long a socket whose queue is full is left alone before it is tried again. Only unix sockets say so. */
#define RETRY_AFTER (20 * CHOIR_MILLISECOND)

int choiri_net_connect_start(net_link *link, const net_address *address, const char *url,
                             choir_duration timeout) {
    choir_loop *loop = link->loop;
    net_connect *c = choiri_net_alloc(loop, sizeof *c);
    if (!c) return choiri_net_result(loop, CHOIR_ERR_NO_MEMORY);
    memset(c, 0, sizeof *c);
    c->address = *address;
    snprintf(c->url, sizeof c->url, "%s", url);
    c->timeout = timeout;
    c->deadline = c->attempt_deadline = CHOIR_TIME_NEVER;
    c->fd = -1;
    link->connect = c;
    int status = address->scheme->begin ? address->scheme->begin(link) : CHOIR_OK;
    if (status != CHOIR_OK) choiri_net_connect_free(link);
    return status;
}

/* Forgets the attempt; its socket stays open. */
static void end_attempt(net_connect *c) {
    if (c->fd >= 0) event_del(&c->event);
    c->fd = -1;
    c->ready = false;
    c->attempt_deadline = CHOIR_TIME_NEVER;
}

static void abandon(net_connect *c) {
    int fd = c->fd;
    end_attempt(c);
    if (fd >= 0) close(fd);
}

void choiri_net_connect_free(net_link *link) {
    net_connect *c = link->connect;
    if (!c) return;
    abandon(c);
    choiri_net_resolve_free(c->resolve);
    choiri_net_release(link->loop, c, sizeof *c);
    link->connect = NULL;
}

choir_time choiri_net_connect_deadline(const net_connect *c) {
    return net_earlier(c->deadline, c->attempt_deadline);
}

/* ---- the end of the way ---- */

/* What is left of the time for the handshake; all of it when we were the ones who came too late to look. */
static choir_duration time_left(const net_connect *c, choir_time now) {
    return c->deadline > now ? c->deadline - now : c->timeout;
}

static int attach(net_link *link) {
    const net_connect *c = link->connect;
    choir_attachment_options o = choiri_net_link_waking(link, choiri_net_client_attachment(link->session));
    choir_time now = link->loop->now;
    if (c->deadline != CHOIR_TIME_NEVER &&
        (o.handshake_timeout == 0 || time_left(c, now) < o.handshake_timeout))
        o.handshake_timeout = time_left(c, now);
    return choir_attachment_new_initiator(link->loop->env, &o, link->session->session, &link->attachment,
                                          now);
}

void choiri_net_connect_failed(net_link *link, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char buffer[sizeof link->connect->tried.data];
    vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    choir_str text = {buffer, strlen(buffer)};
    choir_session *session = link->session->session;
    choir_time now = link->loop->now;
    if (!choir_status_is_fatal(status)) status = CHOIR_ERR_CONNECT; /* of memory, or of the system */
    if (choir_session_fail(session, status, text, now) != CHOIR_OK) /* a name that is not UTF-8 */
        (void)choir_session_fail(session, status, CHOIR_STR(""), now);
    choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, text);
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

/* The socket of the attempt is connected. */
static void use_socket(net_link *link) {
    net_connect *c = link->connect;
    choir_stream *stream;
    int fds[2] = {c->fd, c->fd};
    int status = choiri_net_raw_new(link->loop, c->address.scheme, fds, &stream);
    if (status != CHOIR_OK) {
        abandon(c);
        choiri_net_connect_failed(link, status, "connected to %s, but: %s", c->url,
                                  choir_status_text(status));
        return;
    }
    end_attempt(c);
    choiri_net_stream_link_set(link, stream);
    choiri_net_connect_done(link);
}

/* ---- addresses that are tried in turn ---- */

static void note_attempt(net_connect *c, const char *what) {
    char text[NET_URL_MAX];
    choiri_net_sockaddr_text(&c->found[c->next - 1], text, sizeof text);
    choiri_net_text_add(&c->tried, "%s%s: %s", c->tried.len > 0 ? "; " : "", text, what);
}

static void on_socket(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    net_link *link = arg;
    choir_loop *loop = link->loop;
    choiri_net_enter(loop);
    link->connect->ready = true;
    choiri_net_link_mark(link);
    choiri_net_leave(loop);
}

/* The socket itself is asked, too: when we were busy elsewhere, time may be over although it has been
 * connected since. */
static bool is_ready(const net_connect *c) {
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};
    return c->ready || poll(&p, 1, 0) == 1;
}

/* The attempt under way: false while it is still open, or when it has become the link. */
static bool attempt_failed(net_link *link) {
    net_connect *c = link->connect;
    int error = 0;
    socklen_t len = sizeof error;
    if (is_ready(c)) {
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
        if (error == 0) {
            use_socket(link);
            return false;
        }
        abandon(c);
        note_attempt(c, strerror(error));
        return true;
    }
    if (link->loop->now < c->attempt_deadline) return false;
    abandon(c);
    note_attempt(c, "no answer in time");
    return true;
}

/* Starts to connect a socket of our own: 0 connected, EINPROGRESS, or the errno of what failed. */
static int begin_attempt(net_link *link, const net_sockaddr *to) {
    net_connect *c = link->connect;
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    c->fd = fd;
    event_assign(&c->event, link->loop->base, fd, EV_WRITE, on_socket, link);
    int error = connect(fd, &to->any, choiri_net_sockaddr_len(to)) == 0 ? 0 : errno;
    if (error == EINTR) error = EINPROGRESS; /* it goes on by itself */
    if (error == EINPROGRESS)
        event_add(&c->event, NULL);
    else if (error != 0)
        abandon(c);
    return error;
}

static void try_next(net_link *link) {
    net_connect *c = link->connect;
    choir_time now = link->loop->now;
    while (c->next < c->found_len) {
        if (now >= c->deadline) return;
        uint64_t shares = c->found_len - c->next++;
        int error = begin_attempt(link, &c->found[c->next - 1]);
        if (error == 0) {
            use_socket(link);
            return;
        }
        if (error == EAGAIN) {
            c->next--;
            c->waits_for = "the server does not accept";
            c->attempt_deadline = now + RETRY_AFTER;
            return;
        }
        if (error == EINPROGRESS) {
            /* The last one has all the time that is left, and is then ended by the deadline of the whole. */
            c->waits_for = "no answer in time";
            c->attempt_deadline = shares == 1 || c->deadline == CHOIR_TIME_NEVER
                                      ? CHOIR_TIME_NEVER
                                      : now + (c->deadline - now) / shares;
            return;
        }
        note_attempt(c, strerror(error));
    }
    choiri_net_connect_failed(link, CHOIR_ERR_CONNECT, "cannot connect to %s: %s", c->url, c->tried.data);
}

void choiri_net_connect_addresses(net_link *link) {
    net_connect *c = link->connect;
    if (c->fd >= 0 && !attempt_failed(link)) return;
    try_next(link);
}

/* ---- steps ---- */

static void timed_out(net_link *link) {
    net_connect *c = link->connect;
    if (c->fd >= 0)
        note_attempt(c, "no answer in time");
    else
        choiri_net_text_add(&c->tried, "%s%s", c->tried.len > 0 ? "; " : "",
                            c->waits_for ? c->waits_for : "nothing was tried");
    choiri_net_connect_failed(link, CHOIR_ERR_CONNECT_TIMEOUT, "connecting to %s took too long: %s", c->url,
                              c->tried.data);
}

void choiri_net_connect_step(net_link *link) {
    net_connect *c = link->connect;
    choir_time now = link->loop->now;
    if (!c->started) {
        c->started = true;
        if (c->timeout != 0 && c->timeout <= CHOIR_TIME_NEVER - now) c->deadline = now + c->timeout;
    }
    c->address.scheme->connect(link);
    /* Only now: what has happened meanwhile counts, however late we look. */
    if (link->state == NET_OPENING && now >= c->deadline) timed_out(link);
}
