/* SPDX-License-Identifier: MIT */
/* Evidence while it is collected, and copies of it. */
#ifndef CHOIRI_NET_EVIDENCE_H
#define CHOIRI_NET_EVIDENCE_H

#include "choir/net.h"

#define NET_EVIDENCE_TEXT 128u /* longer than an address with its interface, or the path of a socket */

/* What a scheme fills in; empty at first. */
typedef struct net_evidence {
    uint32_t flags; /* CHOIR_EVIDENCE_* */
    uint32_t uid, gid;
    int32_t pid;
    char peer[NET_EVIDENCE_TEXT], local[NET_EVIDENCE_TEXT];
} net_evidence;

/* A copy of what this library has collected, with its texts in one block; NULL without memory. Returns owned
 * (free with choiri_net_evidence_free). */
choir_evidence *choiri_net_evidence_copy(choir_loop *loop, const choir_evidence *evidence);
void choiri_net_evidence_free(choir_loop *loop, choir_evidence *evidence);

#endif
