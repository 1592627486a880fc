/* SPDX-License-Identifier: MIT */
/* Servers: a listening address, the links of its peers, handlers, responders.
 *
 * Every link is in one of three lists: `handshakes` (oldest first; nobody has proved to be a peer yet), `sessions`
 * (established) or `leaving`. `links` counts all of them: it is what max_sessions bounds, so a link that only lingers,
 * or whose session has requests that a handler still holds, counts too. When the bound is reached, or descriptors run
 * out, the listening socket is not looked at and the kernel's backlog waits; a timer or the end of a link goes on. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Connections that are taken in one go, before the sessions that exist are looked at again. */
#define ACCEPT_BURST 64u
/* How long accepting rests when the system is short of descriptors or memory. */
#define ACCEPT_PAUSE (100 * CHOIR_MILLISECOND)

struct choir_server {
    net_object object;
    choir_loop *loop;
    choir_server_options options;
    net_session_options each;
    net_address address;
    char url[NET_URL_MAX];
    int fd;           /* -1: mem, or closed */
    bool closed;      /* takes nobody any more */
    bool listening;   /* event is added */
    bool pausing;     /* pause is added */
    bool warned;      /* of this shortage */
    net_node memory;  /* in loop->memory_servers */
    net_node waiting; /* links of this loop that wait for room */
    net_node handshakes, sessions, leaving;
    uint32_t links, handshakes_len, sessions_len;
    struct event event, pause;
};

static choir_server *server_of(const net_link *link) {
    return link->owner_data;
}

/* ---- taking links ---- */

bool choiri_net_server_is_full(const choir_server *s) {
    return s->links >= s->options.max_sessions;
}

void choiri_net_server_wait(choir_server *s, net_link *link) {
    net_list_append(&s->waiting, &link->sibling);
}

static void wake_waiting(choir_server *s) {
    while (!net_list_is_empty(&s->waiting)) {
        net_link *link = NET_CONTAINER(s->waiting.next, net_link, sibling);
        net_node_remove(&link->sibling);
        choiri_net_link_mark(link);
    }
}

static void listen_again(choir_server *s) {
    if (s->closed || choiri_net_server_is_full(s)) return;
    wake_waiting(s);
    if (s->fd < 0 || s->listening || s->pausing) return;
    s->listening = event_add(&s->event, NULL) == 0;
}

static void stop_listening(choir_server *s) {
    if (s->listening) event_del(&s->event);
    s->listening = false;
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    choir_server *s = arg;
    choiri_net_enter(s->loop);
    s->pausing = false;
    listen_again(s);
    choiri_net_leave(s->loop);
}

static void pause_accepting(choir_server *s, int error) {
    struct timeval after = net_timeval(ACCEPT_PAUSE);
    if (!s->warned)
        choiri_net_log(s->loop, CHOIR_LOG_WARNING, "%s: accepting has to pause: %s", s->url, strerror(error));
    s->warned = true;
    stop_listening(s);
    s->pausing = event_add(&s->pause, &after) == 0;
}

/* The link has left the handshake, in whatever way. */
static void end_handshake(choir_server *s, net_link *link, net_node *list) {
    if (!link->handshaking) return;
    link->handshaking = false;
    s->handshakes_len--;
    net_list_append(list, &link->sibling);
}

static void make_room(choir_server *s) {
    while (s->handshakes_len >= s->options.max_handshakes) {
        net_link *oldest = NET_CONTAINER(s->handshakes.next, net_link, sibling);
        end_handshake(s, oldest, &s->leaving);
        choiri_net_link_lost(oldest, CHOIR_ERR_HANDSHAKE_TIMEOUT, CHOIR_STR("made room for a newer link"));
    }
}

static void on_event(net_link *link, const choir_event *event);
static void on_hello(net_link *link);
static bool is_done(const net_link *link);
static void on_gone(net_link *link);
static const net_owner server_owner = {on_event, on_hello, is_done, on_gone};

net_link *choiri_net_server_accept(choir_server *s, const net_ops *ops) {
    choir_loop *loop = s->loop;
    choir_attachment_options o = s->each.attachment;
    o.framing = ops->framing;
    net_link *link = choiri_net_link_new(loop, ops, NULL, s);
    if (!link) return NULL;
    if (choir_attachment_new_acceptor(loop->env, &o, &link->attachment, loop->now) != CHOIR_OK) {
        choiri_net_link_free(link);
        return NULL;
    }
    make_room(s);
    link->owner = &server_owner;
    link->state = NET_OPEN;
    link->handshaking = true;
    s->links++;
    s->handshakes_len++;
    net_list_append(&s->handshakes, &link->sibling);
    choiri_net_link_mark(link);
    return link;
}

static bool is_shortage(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_acceptable(evutil_socket_t listening, short what, void *arg) {
    (void)what;
    choir_server *s = arg;
    choiri_net_enter(s->loop);
    for (uint32_t left = ACCEPT_BURST; left > 0 && !choiri_net_server_is_full(s); left--) {
        int fd = choiri_net_tcp_accept(listening);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (fd < 0 && !is_shortage(errno)) continue; /* that connection is gone already */
        net_link *link = fd < 0 ? NULL : choiri_net_server_accept(s, &choiri_net_tcp);
        if (!link) {
            pause_accepting(s, fd < 0 ? errno : ENOMEM);
            if (fd >= 0) close(fd);
            break;
        }
        choiri_net_tcp_adopt(link, fd);
        s->warned = false;
    }
    if (choiri_net_server_is_full(s)) stop_listening(s);
    choiri_net_leave(s->loop);
}

/* ---- links and their sessions ---- */

static void on_hello(net_link *link) {
    choir_server *s = server_of(link);
    choir_loop *loop = link->loop;
    link->handle = choiri_net_handle_new(loop, link);
    int status = link->handle == 0
                     ? CHOIR_ERR_NO_MEMORY
                     : choir_attachment_accept(link->attachment, &s->each.session, &link->session, loop->now);
    if (status == CHOIR_OK) {
        link->root = choir_session_root(link->session);
        return;
    }
    const char *why =
        status == CHOIR_ERR_UNSUPPORTED ? "sessions cannot be resumed here" : choir_status_text(status);
    choir_attachment_refuse(link->attachment, (choir_str){why, strlen(why)}, loop->now);
}

static void on_session_over(choir_server *s, net_link *link, const choir_event *event) {
    if (!link->established) return;
    s->sessions_len--;
    if (s->options.closed) s->options.closed(s->options.ctx, link->handle, event->status, event->text);
}

static choir_responder responder_of(const net_link *link, const choir_event *event) {
    return (choir_responder){link->loop, link->handle, event->request};
}

/* Calls the method's handler, if there is one. */
static bool handle(const choir_server_options *o, choir_responder to, const choir_event *event) {
    if (o->dispatch) return o->dispatch(o->dispatch_to, o->ctx, to, event->value, event);
    if (event->method >= o->service->methods_len || !o->handlers[event->method]) return false;
    o->handlers[event->method](o->ctx, to, event->value, event);
    return true;
}

static void on_event(net_link *link, const choir_event *event) {
    choir_server *s = server_of(link);
    const choir_server_options *o = &s->options;
    switch (event->kind) {
    case CHOIR_EVENT_REQUEST:
        if (!handle(o, responder_of(link, event), event))
            choir_request_drop(link->session, event->request, link->loop->now);
        return;
    case CHOIR_EVENT_REQUEST_CANCELLED:
        if (o->cancelled) o->cancelled(o->ctx, responder_of(link, event), event->user_data);
        return;
    case CHOIR_EVENT_REQUEST_DONE:
        if (o->ended) o->ended(o->ctx, responder_of(link, event), event->user_data, event->outcome);
        return;
    case CHOIR_EVENT_SESSION_ESTABLISHED:
        end_handshake(s, link, &s->sessions);
        s->sessions_len++;
        if (o->opened) o->opened(o->ctx, link->handle);
        return;
    case CHOIR_EVENT_SESSION_CLOSED: on_session_over(s, link, event); return;
    default: return;
    }
}

/* What handlers have not answered yet, they may still read the arguments of. */
static bool is_done(const net_link *link) {
    return !link->session || choir_session_held_requests(link->session) == 0;
}

static void on_gone(net_link *link) {
    choir_server *s = server_of(link);
    end_handshake(s, link, &s->leaving);
    net_node_remove(&link->sibling);
    s->links--;
    listen_again(s);
}

/* ---- life ---- */

static const choir_server_options defaults = {
    .size = sizeof defaults, .max_sessions = 10000, .max_handshakes = 1024};

void choir_server_options_init_sized(choir_server_options *options, size_t size) {
    choiri_net_options_give(options, size, &defaults, sizeof defaults);
}

static void close_list(choir_loop *loop, net_node *list) {
    for (net_node *n = list->next; n != list; n = n->next) {
        net_link *link = NET_CONTAINER(n, net_link, sibling);
        if (link->session)
            choir_session_close(link->session, choiri_net_now(loop));
        else
            choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("the server closes"));
        choiri_net_link_mark(link);
    }
}

static void close_server(net_object *object) {
    choir_server *s = NET_CONTAINER(object, choir_server, object);
    if (s->closed) return;
    s->closed = true;
    stop_listening(s);
    if (s->fd >= 0) {
        event_del(&s->pause);
        close(s->fd);
        s->fd = -1;
    }
    net_node_remove(&s->memory);
    wake_waiting(s);
    close_list(s->loop, &s->handshakes);
    close_list(s->loop, &s->sessions);
}

static void bury_list(net_node *list) {
    while (!net_list_is_empty(list)) choiri_net_link_let_go(NET_CONTAINER(list->next, net_link, sibling));
}

static void bury_server(net_object *object) {
    choir_server *s = NET_CONTAINER(object, choir_server, object);
    bury_list(&s->handshakes);
    bury_list(&s->sessions);
    bury_list(&s->leaving);
    choiri_net_release(s->loop, s, sizeof *s);
}

choir_server *choiri_net_server_find(choir_loop *loop, const char *name) {
    for (net_node *n = loop->memory_servers.next; n != &loop->memory_servers; n = n->next) {
        choir_server *s = NET_CONTAINER(n, choir_server, memory);
        if (strcmp(s->address.host, name) == 0) return s;
    }
    return NULL;
}

static int check_options(choir_loop *loop, const choir_server_options *options, choir_server_options *ret,
                         net_session_options *ret_each) {
    *ret = defaults;
    if (!options || choiri_net_options_copy(ret, sizeof *ret, options) != CHOIR_OK ||
        choiri_net_session_options(ret->session, ret->attachment, ret_each) != CHOIR_OK)
        return choiri_net_fail(loop, CHOIR_ERR_INVALID,
                               "the server's options are not initialised, or of a newer library");
    if (!ret->service || (!ret->handlers && !ret->dispatch) || ret->max_sessions == 0 ||
        ret->max_handshakes == 0)
        return choiri_net_fail(loop, CHOIR_ERR_INVALID,
                               "a server needs a service, handlers (generated ones with their size) and "
                               "limits that are not 0");
    int status = choiri_net_service_check(loop, ret->service);
    if (status != CHOIR_OK) return status;
    ret->session = NULL; /* the host's, which were borrowed */
    ret->attachment = NULL;
    ret_each->session.serve = ret->service;
    return CHOIR_OK;
}

/* Opens the address for peers. */
static int open_address(choir_server *s) {
    choir_loop *loop = s->loop;
    if (s->address.scheme == NET_MEMORY) {
        if (choiri_net_server_find(loop, s->address.host))
            return choiri_net_fail(loop, CHOIR_ERR_LISTEN, "cannot listen on mem://%s: it is in use",
                                   s->address.host);
        snprintf(s->url, sizeof s->url, "mem://%s", s->address.host);
        net_list_append(&loop->memory_servers, &s->memory);
        return CHOIR_OK;
    }
    net_sockaddr bound;
    int status = choiri_net_tcp_listen(loop, &s->address, &s->fd, &bound);
    if (status != CHOIR_OK) return status;
    char text[NET_URL_MAX - 8];
    choiri_net_sockaddr_text(&bound, text, sizeof text);
    snprintf(s->url, sizeof s->url, "tcp://%s", text);
    event_assign(&s->event, loop->base, s->fd, EV_READ | EV_PERSIST, on_acceptable, s);
    event_assign(&s->pause, loop->base, -1, 0, on_pause_over, s);
    s->listening = event_add(&s->event, NULL) == 0;
    if (s->listening) return CHOIR_OK;
    close(s->fd);
    return choiri_net_fail(loop, CHOIR_ERR_LISTEN, "cannot listen on %s: the event loop refuses it", s->url);
}

int choir_listen(choir_loop *loop, const char *url, const choir_server_options *options,
                 choir_server **ret_server) {
    if (!loop || !url || !ret_server) return CHOIR_ERR_INVALID;
    if (loop->freeing) return choiri_net_result(loop, CHOIR_ERR_STATE);
    choir_server_options o;
    net_session_options each;
    net_address address;
    int status = check_options(loop, options, &o, &each);
    if (status == CHOIR_OK) status = choiri_net_address_parse(url, &address, &loop->error);
    if (status != CHOIR_OK) return status;
    choir_server *s = choiri_net_alloc(loop, sizeof *s);
    if (!s) return choiri_net_result(loop, CHOIR_ERR_NO_MEMORY);
    memset(s, 0, sizeof *s);
    s->object.close = close_server;
    s->object.bury = bury_server;
    s->loop = loop;
    s->options = o;
    s->each = each;
    s->address = address;
    s->fd = -1;
    net_node_init(&s->object.node);
    net_node_init(&s->memory);
    net_node_init(&s->waiting);
    net_node_init(&s->handshakes);
    net_node_init(&s->sessions);
    net_node_init(&s->leaving);
    status = open_address(s);
    if (status != CHOIR_OK) {
        choiri_net_release(loop, s, sizeof *s);
        return status;
    }
    net_list_append(&loop->objects, &s->object.node);
    *ret_server = s;
    return choiri_net_result(loop, CHOIR_OK);
}

const char *choir_server_url(const choir_server *server) {
    return server ? server->url : "";
}
size_t choir_server_sessions(const choir_server *server) {
    return server ? server->sessions_len : 0;
}

void choir_server_close(choir_server *server) {
    if (server) close_server(&server->object);
}

void choir_server_free(choir_server *server) {
    if (server) choiri_net_doom(server->loop, &server->object);
}

/* ---- responders ---- */

static net_link *responder_link(choir_responder to) {
    return to.loop ? choiri_net_handle_find(to.loop, to.session) : NULL;
}

/* After every answer: it leaves with this turn. */
static int answered(choir_responder to, net_link *link, int status) {
    if (link) choiri_net_link_mark(link);
    return to.loop ? choiri_net_result(to.loop, status) : status;
}

int choir_respond(choir_responder to, const void *value) {
    net_link *link = responder_link(to);
    return answered(to, link,
                    link ? choir_reply(link->session, to.request, value, NULL, choiri_net_now(to.loop))
                         : CHOIR_ERR_NOT_FOUND);
}

int choir_respond_error(choir_responder to, const void *error) {
    net_link *link = responder_link(to);
    return answered(to, link,
                    link ? choir_reply_error(link->session, to.request, error, NULL, choiri_net_now(to.loop))
                         : CHOIR_ERR_NOT_FOUND);
}

int choir_respond_invalid(choir_responder to, choir_str text) {
    net_link *link = responder_link(to);
    return answered(to, link,
                    link ? choir_reply_invalid(link->session, to.request, text, choiri_net_now(to.loop))
                         : CHOIR_ERR_NOT_FOUND);
}

int choir_respond_drop(choir_responder to) {
    net_link *link = responder_link(to);
    return answered(to, link,
                    link ? choir_request_drop(link->session, to.request, choiri_net_now(to.loop))
                         : CHOIR_ERR_NOT_FOUND);
}

void *choir_responder_alloc(choir_responder to, size_t size, size_t align) {
    net_link *link = responder_link(to);
    return link ? choir_request_alloc(link->session, to.request, size, align) : NULL;
}

int choir_responder_set_user_data(choir_responder to, void *user_data) {
    net_link *link = responder_link(to);
    if (!to.loop) return CHOIR_ERR_NOT_FOUND;
    return choiri_net_result(to.loop, link ? choir_request_set_user_data(link->session, to.request, user_data)
                                           : CHOIR_ERR_NOT_FOUND);
}
