/* SPDX-License-Identifier: MIT */
#ifndef CHOIRI_NET_SERVER_H
#define CHOIRI_NET_SERVER_H

#include "link.h"
#include "scheme.h"

/* True when another link would be taken. */
bool choiri_net_server_has_room(const choir_server *server);
/* There was none: sees to it that the listener is resumed when there is. */
void choiri_net_server_expect_room(choir_server *server);
/* A link for a new peer, with its attachment; NULL without memory. The caller gives it its other end. */
net_link *choiri_net_server_accept(choir_server *server, const net_link_kind *kind);

/* A link for a peer on descriptors that are connected, which it takes, with bytes that were read from them
 * before.
 * OK · ERR_NO_MEMORY · ERR_IO (with errno). */
int choiri_net_server_take(choir_server *server, const net_scheme *scheme, const int fds[2],
                           const void *bytes, size_t len);

#endif
