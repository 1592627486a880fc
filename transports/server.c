/* SPDX-License-Identifier: MIT */
/* Servers: what a listener takes, and the sessions that come of it.
 *
 * An accepted link is in one of two lists until its session is established: `handshakes` (nobody has proved
 * to be a peer yet; the longest silent first) or `leaving`. Its session, from the Hello on, is in `sessions`.
 * `places` counts peers, with whatever there is of them, link or session or both: it is what max_sessions
 * bounds, so a link that only lingers, or a session with requests that a handler still holds, counts too. */
#include "server.h"

#include "listener.h"
#include "options.h"
#include "raw.h"
#include "services.h"

#include <errno.h>
#include <string.h>

struct choir_server {
    net_object object;
    choir_loop *loop;
    choir_server_options options;
    net_session_options each;
    net_listener listener;
    net_acceptor acceptor;
    bool closed;                  /* takes nobody any more */
    net_node handshakes, leaving; /* links */
    net_node sessions;
    uint32_t places, handshakes_len, sessions_len;
    net_timer crowd;         /* when the longest silent of `handshakes` may be shown out */
    uint32_t evicted;        /* since the log was told */
    choir_time evicted_told; /* when it was */
};

static choir_server *server_of(const net_session *session) {
    return session->owner_data;
}

/* How long a link may say nothing in its handshake when others wait for its place. */
#define SILENCE CHOIR_SECOND

/* ---- taking links ---- */

static net_link *longest_silent(const choir_server *s) {
    return NET_CONTAINER(s->handshakes.next, net_link, sibling);
}

bool choiri_net_server_has_room(const choir_server *s) {
    if (s->places >= s->options.max_sessions) return false;
    return s->handshakes_len < s->options.max_handshakes ||
           s->loop->now >= longest_silent(s)->heard + SILENCE;
}

void choiri_net_server_expect_room(choir_server *s) {
    if (s->handshakes_len >= s->options.max_handshakes)
        choiri_net_timer_set(s->loop, &s->crowd, longest_silent(s)->heard + SILENCE);
}

static void on_crowd(net_timer *timer) {
    choir_server *s = NET_CONTAINER(timer, choir_server, crowd);
    choiri_net_listener_resume(&s->listener);
}

/* A peer is gone. */
static void free_place(choir_server *s) {
    s->places--;
    choiri_net_listener_resume(&s->listener);
}

/* The link has left the handshake, in whatever way. */
static void end_handshake(choir_server *s, net_link *link) {
    if (!link->handshaking) return;
    link->handshaking = false;
    s->handshakes_len--;
    net_list_append(&s->leaving, &link->sibling);
    choiri_net_listener_resume(&s->listener);
}

/* Says who was shown out, once a second at most: in an attack there are many. */
static void log_evicted(choir_server *s, const net_link *link) {
    choir_time now = s->loop->now;
    s->evicted++;
    if (s->evicted_told != 0 && now - s->evicted_told < CHOIR_SECOND) return;
    const choir_evidence *e = link->kind->evidence(link);
    choir_str peer = e ? e->peer : CHOIR_STR("unknown");
    choiri_net_log(
        s->loop, CHOIR_LOG_WARNING,
        "%s: %u evicted, last %.*s: silent for %llu ms in the handshake, and max_handshakes is reached",
        s->listener.url, s->evicted, (int)peer.len, peer.data,
        (unsigned long long)((now - link->heard) / CHOIR_MILLISECOND));
    s->evicted_told = now;
    s->evicted = 0;
}

/* Those that have said something are on their way; whoever has long said nothing goes when others come. */
static void make_room(choir_server *s) {
    if (s->handshakes_len < s->options.max_handshakes) return;
    net_link *link = longest_silent(s);
    log_evicted(s, link);
    end_handshake(s, link);
    if (link->session)
        choir_session_close(link->session->session, s->loop->now);
    else
        choiri_net_link_lost(link, CHOIR_ERR_HANDSHAKE_TIMEOUT, CHOIR_STR("silent, and others wait"));
    choiri_net_link_mark(link);
}

net_link *choiri_net_server_accept(choir_server *s, const net_link_kind *kind) {
    choir_loop *loop = s->loop;
    net_link *link = choiri_net_link_new(loop, kind);
    if (!link) return NULL;
    choir_attachment_options o = choiri_net_link_waking(link, &s->each.attachment);
    if (choir_attachment_new_acceptor(loop->env, &o, &link->attachment, loop->now) != CHOIR_OK) {
        choiri_net_link_free(link);
        return NULL;
    }
    make_room(s);
    link->acceptor = &s->acceptor;
    link->state = NET_OPEN;
    link->handshaking = true;
    s->places++;
    s->handshakes_len++;
    net_list_append(&s->handshakes, &link->sibling);
    choiri_net_link_mark(link);
    return link;
}

int choiri_net_server_take(choir_server *s, const net_scheme *scheme, const int fds[2], const void *bytes,
                           size_t len) {
    choir_stream *stream;
    net_link *link = choiri_net_server_accept(s, scheme->links);
    if (!link) return CHOIR_ERR_NO_MEMORY;
    int status = choiri_net_link_preload(link, bytes, len);
    if (status == CHOIR_OK) status = choiri_net_raw_new(s->loop, scheme, fds, &stream);
    if (status == CHOIR_OK) {
        choiri_net_stream_link_set(link, stream);
    } else {
        int error = errno;
        choiri_net_link_free(link);
        errno = error;
    }
    return status;
}

/* OK when a peer that comes from elsewhere may be taken. */
static int check_adoption(choir_server *s, const void *bytes, size_t len) {
    if (choiri_net_check_process(s->loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    if (!bytes && len > 0) return choiri_net_result(s->loop, CHOIR_ERR_INVALID);
    if (s->closed) return choiri_net_result(s->loop, CHOIR_ERR_CLOSED);
    if (!choiri_net_server_has_room(s))
        return choiri_net_fail(s->loop, CHOIR_ERR_BLOCKED, "the server takes no more sessions");
    choiri_net_now(s->loop);
    return CHOIR_OK;
}

int choir_server_adopt(choir_server *server, int fd, const char *scheme, const void *bytes, size_t len) {
    if (!server || !scheme) return CHOIR_ERR_INVALID;
    choir_loop *loop = server->loop;
    int fds[2] = {fd, fd}, status = check_adoption(server, bytes, len);
    if (status != CHOIR_OK) return status;
    const net_scheme *row = choiri_net_scheme_find(scheme, strlen(scheme));
    if (!row || row->links != &choiri_net_stream_links)
        return choiri_net_fail(loop, CHOIR_ERR_ADDRESS, "\"%.40s\" is not a scheme of descriptors", scheme);
    status = choiri_net_server_take(server, row, fds, bytes, len);
    if (status == CHOIR_ERR_IO)
        return choiri_net_fail(loop, status, "descriptor %d cannot be a link: %s", fd, strerror(errno));
    return choiri_net_result(loop, status);
}

int choir_server_adopt_stream(choir_server *server, choir_stream *stream, const void *bytes, size_t len) {
    if (!server || !stream || !choiri_net_stream_is_whole(stream)) return CHOIR_ERR_INVALID;
    int status = check_adoption(server, bytes, len);
    if (status != CHOIR_OK) return status;
    net_link *link = choiri_net_server_accept(server, &choiri_net_stream_links);
    status = link ? choiri_net_link_preload(link, bytes, len) : CHOIR_ERR_NO_MEMORY;
    if (status == CHOIR_OK)
        choiri_net_stream_link_set(link, stream);
    else if (link)
        choiri_net_link_free(link);
    return choiri_net_result(server->loop, status);
}

/* ---- what the acceptor of a link does ---- */

static const net_session_owner server_owner;

/* Makes a session of the link whose Hello waits; it serves `serve`, or nothing. */
static int accept_session(choir_server *s, net_link *link, const choir_service *serve) {
    choir_session *core;
    net_session *session = choiri_net_session_new(s->loop, &server_owner, s);
    if (!session) return CHOIR_ERR_NO_MEMORY;
    s->each.root.serve = serve;
    choir_session_options o = choiri_net_session_waking(session, choiri_net_session_options_of(&s->each));
    int status = choiri_net_session_name(session)
                     ? choir_attachment_accept(link->attachment, &o, &core, s->loop->now)
                     : CHOIR_ERR_NO_MEMORY;
    if (status != CHOIR_OK) {
        session->owner = NULL; /* which has not heard of it */
        choiri_net_session_free(session);
        return status;
    }
    choiri_net_session_set(session, core);
    choiri_net_session_attach(session, link);
    net_list_append(&s->sessions, &session->sibling);
    return CHOIR_OK;
}

static void refuse(choir_server *s, net_link *link, const char *why) {
    const choir_reason reason = choir_reason_of((choir_str){why, strlen(why)});
    choir_attachment_refuse(link->attachment, &reason, s->loop->now);
}

static void on_hello(net_acceptor *acceptor, net_link *link) {
    choir_server *s = NET_CONTAINER(acceptor, choir_server, acceptor);
    const choir_service *service;
    char why[NET_REFUSAL_MAX];
    choir_str name = choir_attachment_hello(link->attachment)->service;
    if (!choiri_net_services_choose(&s->options, name, &service, why)) {
        choiri_net_log(s->loop, CHOIR_LOG_INFO, "%s: a peer is refused: %s", s->listener.url, why);
        refuse(s, link, why);
        return;
    }
    if (!service)
        choiri_net_log(s->loop, CHOIR_LOG_INFO, "%s: a peer names none of several services and gets none",
                       s->listener.url);
    int status = accept_session(s, link, service);
    if (status == CHOIR_OK) return;
    refuse(s, link,
           status == CHOIR_ERR_UNSUPPORTED ? "sessions cannot be resumed here" : choir_status_text(status));
}

static void on_heard(net_acceptor *acceptor, net_link *link) {
    choir_server *s = NET_CONTAINER(acceptor, choir_server, acceptor);
    if (link->handshaking) net_list_append(&s->handshakes, &link->sibling);
}

static void on_link_gone(net_acceptor *acceptor, net_link *link) {
    choir_server *s = NET_CONTAINER(acceptor, choir_server, acceptor);
    end_handshake(s, link);
    if (!link->session) free_place(s);
}

/* ---- sessions ---- */

static void on_session_over(choir_server *s, net_session *session, const choir_event *event) {
    if (!session->established) return;
    s->sessions_len--;
    if (s->options.closed) s->options.closed(s->options.ctx, session->handle, event);
}

static choir_responder responder_of(const net_session *session, const choir_event *event) {
    return (choir_responder){session->loop, session->handle, event->request, event->service, event->method};
}

/* One that we have and nobody answers. Without memory for that it is dropped, which always works. */
static void unknown_method(net_session *session, const choir_event *event) {
    choir_time now = session->loop->now;
    if (choir_reply_unknown(session->session, event->request, now) != CHOIR_OK)
        choir_request_drop(session->session, event->request, NULL, now);
}

static void on_event(net_session *session, const choir_event *event) {
    choir_server *s = server_of(session);
    const choir_server_options *o = &s->options;
    const choir_served *served = event->request.v != 0 ? choiri_net_services_of(o, event->service) : NULL;
    void *ctx = served ? served->ctx : NULL;
    switch (event->kind) {
    case CHOIR_EVENT_CALL_DONE: net_session_done(event); return;
    case CHOIR_EVENT_REQUEST:
        if (!choiri_net_services_handle(served, responder_of(session, event), event))
            unknown_method(session, event);
        return;
    case CHOIR_EVENT_REQUEST_CANCELLED:
        if (o->cancelled) o->cancelled(ctx, responder_of(session, event), event);
        return;
    case CHOIR_EVENT_REQUEST_DONE:
        if (o->ended) o->ended(ctx, responder_of(session, event), event);
        return;
    case CHOIR_EVENT_SESSION_ESTABLISHED:
        end_handshake(s, session->link);
        s->sessions_len++;
        if (o->opened) o->opened(o->ctx, session->handle, event);
        return;
    case CHOIR_EVENT_SESSION_CLOSED: on_session_over(s, session, event); return;
    default: return;
    }
}

/* A session that is over is of no use to its server. */
static bool is_done(const net_session *session) {
    (void)session;
    return true;
}

static void on_session_gone(net_session *session) {
    free_place(server_of(session));
}

static const net_session_owner server_owner = {on_event, is_done, on_session_gone};

/* ---- life ---- */

static const choir_server_options defaults = {
    .size = sizeof defaults, .max_sessions = 10000, .max_handshakes = 1024};

void choir_server_options_init_sized(choir_server_options *options, size_t size) {
    choiri_net_options_give(options, size, &defaults, sizeof defaults);
}

static void close_server(net_object *object) {
    choir_server *s = NET_CONTAINER(object, choir_server, object);
    if (s->closed) return;
    s->closed = true;
    choir_time now = choiri_net_now(s->loop);
    choiri_net_listener_close(&s->listener);
    for (net_node *n = s->handshakes.next; n != &s->handshakes; n = n->next) {
        net_link *link = NET_CONTAINER(n, net_link, sibling);
        if (!link->session) choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the server closes"));
    }
    for (net_node *n = s->sessions.next; n != &s->sessions; n = n->next) {
        net_session *session = NET_CONTAINER(n, net_session, sibling);
        choir_session_close(session->session, now);
    }
}

static void bury_links(net_node *list) {
    while (!net_list_is_empty(list)) {
        net_link *link = NET_CONTAINER(list->next, net_link, sibling);
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the server closes"));
        choiri_net_link_let_go(link);
    }
}

static int check_options(choir_loop *loop, const choir_server_options *options, choir_server_options *ret,
                         net_session_options *ret_each) {
    *ret = defaults;
    if ((options && choiri_net_options_copy(ret, sizeof *ret, options) != CHOIR_OK) ||
        choiri_net_session_options(ret->session, ret->attachment, ret_each) != CHOIR_OK)
        return choiri_net_fail(loop, CHOIR_ERR_INVALID,
                               "the server's options are not initialised, or of a newer library");
    if (ret->max_sessions == 0 || ret->max_handshakes == 0)
        return choiri_net_fail(loop, CHOIR_ERR_INVALID, "a server needs limits that are not 0");
    int status = choiri_net_services_check(loop, ret);
    if (status != CHOIR_OK) return status;
    ret->session = NULL; /* the host's, which were borrowed */
    ret->attachment = NULL;
    return CHOIR_OK;
}

/* The one peer of a listener that has no others. */
static int take_connected(choir_server *s) {
    net_listener *l = &s->listener;
    int status = choiri_net_server_take(s, l->address.scheme, l->address.fds, NULL, 0);
    l->connected = status != CHOIR_OK;
    return choiri_net_result(s->loop, status);
}

static void free_server(choir_server *s) {
    choiri_net_timer_deinit(s->loop, &s->crowd);
    choiri_net_release(s->loop, s, sizeof *s);
}

static void bury_server(net_object *object) {
    choir_server *s = NET_CONTAINER(object, choir_server, object);
    while (!net_list_is_empty(&s->sessions))
        choiri_net_session_let_go(NET_CONTAINER(s->sessions.next, net_session, sibling));
    bury_links(&s->handshakes);
    bury_links(&s->leaving);
    free_server(s);
}

static void abandon_server(net_object *object) {
    choir_server *s = NET_CONTAINER(object, choir_server, object);
    choiri_net_listener_abandon(&s->listener);
    free_server(s);
}

/* NULL without memory. */
static choir_server *new_server(choir_loop *loop, const choir_server_options *options,
                                const net_session_options *each) {
    choir_server *s = choiri_net_alloc(loop, sizeof *s);
    if (!s) return NULL;
    memset(s, 0, sizeof *s);
    if (!choiri_net_timer_init(loop, &s->crowd, on_crowd)) {
        choiri_net_release(loop, s, sizeof *s);
        return NULL;
    }
    s->object.close = close_server;
    s->object.bury = bury_server;
    s->object.abandon = abandon_server;
    s->loop = loop;
    s->options = *options;
    s->each = *each;
    s->acceptor = (net_acceptor){on_hello, on_heard, on_link_gone};
    net_node_init(&s->object.node);
    net_node_init(&s->handshakes);
    net_node_init(&s->leaving);
    net_node_init(&s->sessions);
    return s;
}

int choir_listen(choir_loop *loop, const char *url, const choir_server_options *options,
                 choir_server **ret_server) {
    if (!loop || !url || !ret_server) return CHOIR_ERR_INVALID;
    if (choiri_net_check_usable(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    choir_server_options o;
    net_session_options each;
    net_address address;
    int status = check_options(loop, options, &o, &each);
    if (status == CHOIR_OK) status = choiri_net_address_parse(url, &address, &loop->error);
    if (status != CHOIR_OK) return status;
    choir_server *s = new_server(loop, &o, &each);
    if (!s) return choiri_net_result(loop, CHOIR_ERR_NO_MEMORY);
    status = choiri_net_listener_open(&s->listener, s, loop, &address);
    if (status == CHOIR_OK && s->listener.connected) status = take_connected(s);
    if (status != CHOIR_OK) {
        choiri_net_listener_close(&s->listener);
        free_server(s);
        return status;
    }
    net_list_append(&loop->objects, &s->object.node);
    choiri_net_services_warn(loop, choir_server_url(s), &s->options);
    *ret_server = s;
    return choiri_net_result(loop, CHOIR_OK);
}

const char *choir_server_url(const choir_server *server) {
    return server ? server->listener.url : "";
}
bool choir_server_is_done(const choir_server *server) {
    return !server || (server->places == 0 && !choiri_net_listener_expects(&server->listener));
}
size_t choir_server_sessions(const choir_server *server) {
    return server ? server->sessions_len : 0;
}

void choir_server_close(choir_server *server) {
    if (server && !net_is_forked(server->loop)) close_server(&server->object);
}

void choir_server_free(choir_server *server) {
    if (server && !net_is_forked(server->loop)) choiri_net_doom(server->loop, &server->object);
}
