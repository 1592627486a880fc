/* SPDX-License-Identifier: MIT */
/* Schemes of addresses: one table, one row and one file for each. What differs between schemes is in its row;
 * nothing else asks which scheme an address has. A new scheme is its file, which defines the row, and its
 * name in the list. */
#ifndef CHOIRI_NET_SCHEME_H
#define CHOIRI_NET_SCHEME_H

#include "address.h"
#include "choir/stream.h"

struct net_evidence;
struct net_link;
struct net_link_kind;
struct net_listener;

typedef struct net_scheme {
    const char *name;
    const char *alias;                 /* another name of it, or NULL */
    const char *form;                  /* how such an address looks, for people */
    bool slashes;                      /* "//" follows the colon */
    const struct net_link_kind *links; /* how its links move payloads, and their framing */
    /* Understands what follows the scheme, into *address. OK · ERR_ADDRESS with *why saying what is wrong. */
    int (*parse)(const char *rest, net_address *address, net_text *why);
    /* Prepares to connect a client's link, which has its net_connect; NULL: there is nothing to prepare.
     * OK · a status, noted with its reason. */
    int (*begin)(struct net_link *link);
    /* One step on the way to the other end, whenever there is news: goes as far as it can, and ends with
     * choiri_net_connect_done or _failed when there is nothing to wait for any more. */
    void (*connect)(struct net_link *link);
    /* Opens listener->address for peers and writes listener->url. OK · a status, noted with its reason. */
    int (*listen)(struct net_listener *listener);
    /* Undoes what listen did besides the descriptor; NULL: nothing. `forked`: in a process that was forked
     * off, which must not take anything from its parent. */
    void (*unlisten)(struct net_listener *listener, bool forked);
    /* Sets a new descriptor up; NULL: nothing to do. */
    void (*prepare)(int fd);
    /* Collects what the descriptor knows about the peer; NULL: nothing. */
    void (*evidence)(int fd, struct net_evidence *evidence);
} net_scheme;

#define NET_SCHEME_MAP(X)                                                                                    \
    X(tcp)                                                                                                   \
    X(local)                                                                                                 \
    X(abstract)                                                                                              \
    X(fd)                                                                                                    \
    X(stdio)                                                                                                 \
    X(memory)

#define NET_SCHEME_DECLARE(name) extern const net_scheme choiri_net_scheme_##name;
NET_SCHEME_MAP(NET_SCHEME_DECLARE)
#undef NET_SCHEME_DECLARE

/* The row of that name or alias; NULL when there is none. */
const net_scheme *choiri_net_scheme_find(const char *name, size_t len);

#endif
