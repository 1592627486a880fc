/* SPDX-License-Identifier: MIT */
/* Socket addresses as text. */
#include "address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Names of abstract sockets have no end but that of the address; ours come from texts, without a NUL inside.
 * */
static size_t local_len(const struct sockaddr_un *local) {
    size_t before = offsetof(struct sockaddr_un, sun_path);
    size_t first = local->sun_path[0] == '\0';
    return before + first + strnlen(local->sun_path + first, sizeof local->sun_path - first) + !first;
}

socklen_t choiri_net_sockaddr_len(const net_sockaddr *address) {
    if (address->any.sa_family == AF_UNIX) return (socklen_t)local_len(&address->local);
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

static void local_text(const struct sockaddr_un *local, char *ret_text, size_t size) {
    bool abstract = local->sun_path[0] == '\0' && local->sun_path[1] != '\0';
    size_t room = sizeof local->sun_path - abstract;
    const char *name = local->sun_path + abstract;
    snprintf(ret_text, size, "%s%.*s", abstract ? "@" : "", (int)strnlen(name, room), name);
}

void choiri_net_sockaddr_text(const net_sockaddr *address, char *ret_text, size_t size) {
    char host[INET6_ADDRSTRLEN];
    if (address->any.sa_family == AF_UNIX) {
        local_text(&address->local, ret_text, size);
        return;
    }
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
