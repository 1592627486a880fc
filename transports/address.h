/* SPDX-License-Identifier: MIT */
/* Addresses: the text of a URL, understood by its scheme (scheme.h), and socket addresses as text. */
#ifndef CHOIRI_NET_ADDRESS_H
#define CHOIRI_NET_ADDRESS_H

#include "text.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NET_HOST_MAX 253u /* longest DNS name */
#define NET_URL_MAX  280u /* a URL with such a name, and its NUL */

typedef union net_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
} net_sockaddr;

/* What a URL says. Each scheme fills in what it has. */
typedef struct net_address {
    const struct net_scheme *scheme;
    char host[NET_HOST_MAX + 1]; /* tcp: without brackets; mem: the name */
    uint16_t port;               /* tcp */
    bool numeric;                /* socket is filled in, nothing has to be resolved */
    net_sockaddr socket;
    int fds[2]; /* fd, stdio: to read from and to write to; may be the same */
    int mode;   /* unix: of the socket file; -1: as the umask has it */
} net_address;

/* Understands a URL of any scheme. OK · ERR_ADDRESS with *ret_why saying what is wrong; *ret_address is then
 * unspecified. */
int choiri_net_address_parse(const char *url, net_address *ret_address, net_text *ret_why);
/* "127.0.0.1:80", "[::1]:80", "/run/example.sock", "@abstract". */
void choiri_net_sockaddr_text(const net_sockaddr *address, char *ret_text, size_t size);
socklen_t choiri_net_sockaddr_len(const net_sockaddr *address);

#endif
