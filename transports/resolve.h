/* SPDX-License-Identifier: MIT */
/* Names to addresses, without blocking. */
#ifndef CHOIRI_NET_RESOLVE_H
#define CHOIRI_NET_RESOLVE_H

#include "address.h"
#include "loop.h"

#define NET_FOUND_MAX 16u /* addresses of a name that are tried */

/* A lookup of one name, both address families at once. */
typedef struct net_resolve net_resolve;

/* Starts to resolve; `task` is marked whenever something was found out. OK · ERR_NO_MEMORY · ERR_IO (no
 * resolver). */
int choiri_net_resolve_new(choir_loop *loop, net_task *task, const char *host, uint16_t port,
                           net_resolve **ret_resolve);
void choiri_net_resolve_free(net_resolve *resolve);
/* True when both families were answered. */
bool choiri_net_resolve_is_done(const net_resolve *resolve);
/* When the first address was found; CHOIR_TIME_NEVER while there is none. */
choir_time choiri_net_resolve_found_at(const net_resolve *resolve);
/* Copies at most NET_FOUND_MAX addresses, IPv4 first, and returns how many. */
size_t choiri_net_resolve_found(const net_resolve *resolve, net_sockaddr ret_found[NET_FOUND_MAX]);
/* Why there are none, for people. */
const char *choiri_net_resolve_error(const net_resolve *resolve);
/* At the end of a turn: lets go of a resolver that nobody uses. */
void choiri_net_dns_settle(choir_loop *loop);
/* With choir_loop_free. */
void choiri_net_dns_free(choir_loop *loop);

#endif
