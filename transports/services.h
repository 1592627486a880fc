/* SPDX-License-Identifier: MIT */
/* The services of a server: which one a peer gets, and who answers for it. */
#ifndef CHOIRI_NET_SERVICES_H
#define CHOIRI_NET_SERVICES_H

#include "loop.h"

/* Room for the reason of a refusal; peers keep 160 bytes of it. */
#define NET_REFUSAL_MAX 160u

/* Checks what the host gave; notes what is wrong with it. OK · ERR_INVALID · ERR_ABI · ERR_NO_MEMORY. */
int choiri_net_services_check(choir_loop *loop, const choir_server_options *options);
/* Warns of methods that nobody answers. */
void choiri_net_services_warn(choir_loop *loop, const char *url, const choir_server_options *options);

/* What a peer that asks for `name` gets: NULL, and true, when that is nothing. False: there is no such
 * service, and *ret_why, of NET_REFUSAL_MAX bytes, says which there are. */
bool choiri_net_services_choose(const choir_server_options *options, choir_str name,
                                const choir_service **ret_service, char *ret_why);

/* The entry of a service; NULL: the server has no such one. */
const choir_served *choiri_net_services_of(const choir_server_options *options, const choir_service *service);
/* Calls the handler for a request; false: there is none. `served` may be NULL. */
bool choiri_net_services_handle(const choir_served *served, choir_responder to, const choir_event *request);

#endif
