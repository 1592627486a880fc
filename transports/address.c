/* SPDX-License-Identifier: MIT */
/* Socket addresses as text. */
#include "address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

socklen_t choiri_net_sockaddr_len(const net_sockaddr *address) {
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

void choiri_net_sockaddr_text(const net_sockaddr *address, char *ret_text, size_t size) {
    char host[INET6_ADDRSTRLEN];
    if (address->any.sa_family != AF_INET6) {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        snprintf(ret_text, size, "%s:%u", host, (unsigned)ntohs(address->v4.sin_port));
        return;
    }
    char scope[IF_NAMESIZE + 1] = "";
    inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
    if (address->v6.sin6_scope_id != 0 && if_indextoname(address->v6.sin6_scope_id, scope + 1))
        scope[0] = '%';
    snprintf(ret_text, size, "[%s%s]:%u", host, scope, (unsigned)ntohs(address->v6.sin6_port));
}
