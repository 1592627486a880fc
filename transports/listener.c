/* SPDX-License-Identifier: MIT */
/* Accepting.
 *
 * While the server is full, or descriptors run out, the listening socket is not looked at and the kernel's
 * backlog waits; a timer or the end of a link goes on. */
#include "listener.h"

#include "link.h"
#include "server.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Connections that are taken in one go, before the sessions that exist are looked at again. */
#define ACCEPT_BURST 64u
/* How long accepting rests when the system is short of descriptors or memory. */
#define ACCEPT_PAUSE (100 * CHOIR_MILLISECOND)

/* Looks at the socket no more. */
static void ignore(net_listener *l) {
    if (l->listening) event_del(&l->event);
    l->listening = false;
}

void choiri_net_listener_rest(net_listener *l) {
    ignore(l);
    choiri_net_server_expect_room(l->server);
}

static void wake_waiting(net_listener *l) {
    while (!net_list_is_empty(&l->waiting)) {
        net_link *link = NET_CONTAINER(l->waiting.next, net_link, sibling);
        net_node_remove(&link->sibling);
        choiri_net_link_mark(link);
    }
}

void choiri_net_listener_resume(net_listener *l) {
    if (!l->open) return;
    if (!choiri_net_server_has_room(l->server)) {
        choiri_net_server_expect_room(l->server);
        return;
    }
    wake_waiting(l);
    if (l->fd < 0 || l->listening || l->pausing) return;
    l->listening = event_add(&l->event, NULL) == 0;
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    net_listener *l = arg;
    choir_loop *loop = l->loop;
    choiri_net_enter(loop);
    l->pausing = false;
    choiri_net_listener_resume(l);
    choiri_net_leave(loop);
}

static void pause_accepting(net_listener *l, int error) {
    struct timeval after = net_timeval(ACCEPT_PAUSE);
    if (!l->warned)
        choiri_net_log(l->loop, CHOIR_LOG_WARNING, "%s: accepting has to pause: %s", l->url, strerror(error));
    l->warned = true;
    ignore(l);
    l->pausing = event_add(&l->pause, &after) == 0;
}

static bool is_shortage(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_acceptable(evutil_socket_t listening, short what, void *arg) {
    (void)what;
    net_listener *l = arg;
    choir_loop *loop = l->loop;
    choiri_net_enter(loop);
    for (uint32_t left = ACCEPT_BURST; left > 0 && choiri_net_server_has_room(l->server); left--) {
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (fd < 0 && !is_shortage(errno)) continue; /* that connection is gone already */
        int fds[2] = {fd, fd};
        if (fd < 0 || choiri_net_server_take(l->server, l->address.scheme, fds, NULL, 0) != CHOIR_OK) {
            pause_accepting(l, fd < 0 ? errno : ENOMEM);
            if (fd >= 0) close(fd);
            break;
        }
        l->warned = false;
    }
    if (!choiri_net_server_has_room(l->server)) choiri_net_listener_rest(l);
    choiri_net_leave(loop);
}

int choiri_net_listener_open(net_listener *l, choir_server *server, choir_loop *loop,
                             const net_address *address) {
    *l = (net_listener){.loop = loop, .server = server, .address = *address, .fd = -1, .file.lock = -1};
    net_node_init(&l->named);
    net_node_init(&l->waiting);
    int status = address->scheme->listen(l);
    if (status != CHOIR_OK) return status;
    l->open = true;
    if (l->fd < 0) return CHOIR_OK;
    event_assign(&l->event, loop->base, l->fd, EV_READ | EV_PERSIST, on_acceptable, l);
    event_assign(&l->pause, loop->base, -1, 0, on_pause_over, l);
    l->listening = event_add(&l->event, NULL) == 0;
    if (l->listening) return CHOIR_OK;
    choiri_net_listener_close(l);
    return choiri_net_fail(loop, CHOIR_ERR_LISTEN, "cannot listen on %s: the event loop refuses it", l->url);
}

bool choiri_net_listener_expects(const net_listener *l) {
    return l->open && (l->fd >= 0 || !net_list_is_empty(&l->named));
}

static void release(net_listener *l, bool forked) {
    l->open = false;
    ignore(l);
    if (l->address.scheme->unlisten) l->address.scheme->unlisten(l, forked);
    if (l->fd < 0) return;
    event_del(&l->pause);
    close(l->fd);
    l->fd = -1;
}

void choiri_net_listener_close(net_listener *l) {
    if (!l->open) return;
    release(l, false);
    wake_waiting(l);
}

void choiri_net_listener_abandon(net_listener *l) {
    if (l->open) release(l, true);
}
