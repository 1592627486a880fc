/* SPDX-License-Identifier: MIT */
#ifndef CHOIRI_NET_SERVER_H
#define CHOIRI_NET_SERVER_H

#include "link.h"

/* True when another link would be taken. */
bool choiri_net_server_has_room(const choir_server *server);
/* A link for a new peer, with its attachment; NULL without memory. The caller gives it its other end. */
net_link *choiri_net_server_accept(choir_server *server, const net_link_kind *kind);

#endif
