/* SPDX-License-Identifier: MIT */
/* The way of a client's link from an address to an open link. */
#ifndef CHOIRI_NET_CONNECT_H
#define CHOIRI_NET_CONNECT_H

#include "link.h"
#include "resolve.h"
#include "scheme.h"

typedef struct net_connect {
    net_address address;
    char url[NET_URL_MAX];
    choir_duration timeout; /* of all of it, the handshake included; 0: none */
    choir_time deadline;    /* that long after the first step */
    bool started;           /* it was taken */
    /* waits_for: what has not happened when time is over, for people; NULL: nothing was waited for. */
    const char *waits_for;
    net_resolve *resolve;
    net_sockaddr found[NET_FOUND_MAX]; /* addresses that are tried one after the other */
    size_t found_len, next;
    bool searched; /* found is complete */
    /* The attempt under way. */
    int fd;                      /* -1: none */
    choir_time attempt_deadline; /* of the address that is being tried, or when it is tried again */
    bool ready;                  /* the socket has something to say */
    struct event event;
    net_text tried; /* the addresses and what became of them */
} net_connect;

/* Gives an opening link its way. OK · a status of the scheme's begin, with the reason noted and nothing
 * changed. */
int choiri_net_connect_start(net_link *link, const net_address *address, const char *url,
                             choir_duration timeout);
/* Goes on as far as possible: the link is then still opening, open, or closed. */
void choiri_net_connect_step(net_link *link);
choir_time choiri_net_connect_deadline(const net_connect *connect);
void choiri_net_connect_free(net_link *link);
/* Tries the addresses in `found`; what schemes of sockets do once these are known. */
void choiri_net_connect_addresses(net_link *link);
/* The link has its other end and opens. */
void choiri_net_connect_done(net_link *link);
/* There will be no link; the text is for people. */
void choiri_net_connect_failed(net_link *link, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
