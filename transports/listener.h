/* SPDX-License-Identifier: MIT */
/* Where a server's peers come from: a listening socket, a name inside the loop, or descriptors that are
 * connected already. */
#ifndef CHOIRI_NET_LISTENER_H
#define CHOIRI_NET_LISTENER_H

#include "loop.h"
#include "scheme.h"

#include <sys/types.h>

typedef struct net_listener {
    choir_loop *loop;
    choir_server *server;
    net_address address;
    char url[NET_URL_MAX];
    int fd;         /* listens; -1: there is none */
    bool connected; /* address.fds is the only peer there will be, and has not been taken yet */
    /* unix: what is ours in the file system. */
    struct {
        int lock; /* descriptor of the locked file; -1: none */
        dev_t dev;
        ino_t ino; /* of the socket file */
    } file;
    bool open;        /* listen has succeeded, and close was not called */
    bool listening;   /* event is added */
    bool pausing;     /* pause is added */
    bool warned;      /* of this shortage */
    net_node named;   /* mem: in loop->memory_listeners */
    net_node waiting; /* links of this loop that wait for room */
    struct event event, pause;
} net_listener;

/* Opens `address` for peers of the server. OK · a status of the scheme's listen, with the reason noted. */
int choiri_net_listener_open(net_listener *listener, choir_server *server, choir_loop *loop,
                             const net_address *address);
/* Harmless when it is closed. */
void choiri_net_listener_close(net_listener *listener);
/* In a process that was forked off: closes its copies of the descriptors. */
void choiri_net_listener_abandon(net_listener *listener);
/* True while others may come. */
bool choiri_net_listener_expects(const net_listener *listener);
/* The server has room, or may have. */
void choiri_net_listener_resume(net_listener *listener);
/* The server is full: the backlog waits until it has room. */
void choiri_net_listener_rest(net_listener *listener);

#endif
