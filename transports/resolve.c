/* SPDX-License-Identifier: MIT */
/* Names to addresses, with libevent's evdns.
 *
 * The two address families are asked for separately: then each request has exactly one callback, at a time we
 * know of, and an answer of one family need not wait for the seconds that evdns gives the other. Cancelled
 * requests call back later, so what they refer to (a net_resolve, and net_dns behind it) may outlive link and
 * loop; it is plain malloc's, as is everything of evdns, and goes with the last callback. The evdns_base goes
 * when nobody asks any more, at the end of a turn: its socket would keep the loop from ever being idle, which
 * it does in libevent 2.1 also without a request when one was cancelled.
 *
 * Rejected: getaddrinfo in a thread (this library starts none), and one evdns request for both families (a
 * leftover of it can touch the evdns_base after that was freed). */
#include "resolve.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES        2u
#define FOUND_OF_FAMILY (NET_FOUND_MAX / FAMILIES)

struct net_dns {
    struct evdns_base *base;
    choir_loop *loop; /* NULL: it is gone */
    uint32_t pending; /* requests whose callback has not come */
    uint32_t asking;  /* net_resolves that somebody is interested in */
};

typedef struct half {
    net_resolve *resolve;
    struct evdns_getaddrinfo_request *request; /* NULL: answered */
    int error;                                 /* EVUTIL_EAI_*, 0 is none */
    size_t len;
    net_sockaddr found[FOUND_OF_FAMILY];
} half;

struct net_resolve {
    struct net_dns *dns;
    net_task *task;   /* NULL: nobody is interested any more */
    uint32_t pending; /* halves that are not answered */
    choir_time found_at;
    half halves[FAMILIES];
};

static void dns_drop(struct net_dns *dns) {
    evdns_base_free(dns->base, 0);
    free(dns);
}

static struct net_dns *dns_of(choir_loop *loop) {
    if (loop->dns) return loop->dns;
    struct net_dns *dns = calloc(1, sizeof *dns);
    if (!dns) return NULL;
    dns->base =
        evdns_base_new(loop->base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!dns->base) {
        /* Without a usable resolv.conf the hosts file still counts, and a server on this machine. */
        dns->base = evdns_base_new(loop->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        if (dns->base) {
            evdns_base_load_hosts(dns->base, "/etc/hosts");
            evdns_base_nameserver_ip_add(dns->base, "127.0.0.1");
        }
    }
    if (!dns->base) {
        free(dns);
        return NULL;
    }
    dns->loop = loop;
    loop->dns = dns;
    return dns;
}

/* Lets the loop look whether the resolver can go. */
static void dns_rest(struct net_dns *dns) {
    if (dns->pending > 0 || dns->asking > 0) return;
    if (dns->loop)
        choiri_net_schedule(dns->loop);
    else
        dns_drop(dns);
}

void choiri_net_dns_settle(choir_loop *loop) {
    struct net_dns *dns = loop->dns;
    if (!dns || dns->pending > 0 || dns->asking > 0) return;
    loop->dns = NULL;
    dns_drop(dns);
}

void choiri_net_dns_free(choir_loop *loop) {
    struct net_dns *dns = loop->dns;
    if (!dns) return;
    loop->dns = NULL;
    /* The callbacks of cancelled requests are due at once. In a base of the host's they come when it runs
     * that. */
    for (uint32_t tries = 16; loop->own_base && dns->pending > 0 && tries > 0; tries--)
        event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    dns->loop = NULL;
    if (dns->pending == 0) dns_drop(dns);
}

static void copy_found(half *h, const struct evutil_addrinfo *list) {
    for (; list && h->len < FOUND_OF_FAMILY; list = list->ai_next) {
        if (list->ai_addrlen > sizeof h->found[0]) continue;
        net_sockaddr *to = &h->found[h->len++];
        memset(to, 0, sizeof *to);
        memcpy(to, list->ai_addr, list->ai_addrlen);
    }
}

static void on_answer(int error, struct evutil_addrinfo *list, void *arg) {
    half *h = arg;
    net_resolve *r = h->resolve;
    struct net_dns *dns = r->dns;
    h->request = NULL;
    h->error = error;
    if (error == 0) copy_found(h, list);
    if (list) evutil_freeaddrinfo(list);
    r->pending--;
    dns->pending--;
    if (r->task) {
        if (h->len > 0 && r->found_at == CHOIR_TIME_NEVER) r->found_at = choiri_net_now(dns->loop);
        choiri_net_mark(dns->loop, r->task);
    } else if (r->pending == 0) {
        free(r);
    }
    dns_rest(dns);
}

int choiri_net_resolve_new(choir_loop *loop, net_task *task, const char *host, uint16_t port,
                           net_resolve **ret_resolve) {
    static const int families[FAMILIES] = {AF_INET, AF_INET6};
    struct net_dns *dns = dns_of(loop);
    if (!dns) return CHOIR_ERR_IO;
    net_resolve *r = calloc(1, sizeof *r);
    if (!r) return CHOIR_ERR_NO_MEMORY;
    *r = (net_resolve){.dns = dns, .task = task, .pending = FAMILIES, .found_at = CHOIR_TIME_NEVER};
    dns->pending += FAMILIES;
    dns->asking++;
    char service[8];
    evutil_snprintf(service, sizeof service, "%u", (unsigned)port);
    for (size_t i = 0; i < FAMILIES; i++) {
        half *h = &r->halves[i];
        struct evutil_addrinfo hints = {.ai_family = families[i],
                                        .ai_socktype = SOCK_STREAM,
                                        .ai_protocol = IPPROTO_TCP,
                                        .ai_flags = EVUTIL_AI_NUMERICSERV};
        h->resolve = r;
        /* May call back before it returns, NULL then. */
        struct evdns_getaddrinfo_request *request =
            evdns_getaddrinfo(dns->base, host, service, &hints, on_answer, h);
        if (request) h->request = request;
    }
    *ret_resolve = r;
    return CHOIR_OK;
}

void choiri_net_resolve_free(net_resolve *r) {
    if (!r) return;
    r->task = NULL;
    r->dns->asking--;
    if (r->pending == 0) {
        dns_rest(r->dns);
        free(r);
        return;
    }
    for (size_t i = 0; i < FAMILIES; i++)
        if (r->halves[i].request) evdns_getaddrinfo_cancel(r->halves[i].request);
}

bool choiri_net_resolve_is_done(const net_resolve *r) {
    return r->pending == 0;
}
choir_time choiri_net_resolve_found_at(const net_resolve *r) {
    return r->found_at;
}

size_t choiri_net_resolve_found(const net_resolve *r, net_sockaddr ret_found[NET_FOUND_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < FAMILIES; i++)
        for (size_t k = 0; k < r->halves[i].len; k++) ret_found[n++] = r->halves[i].found[k];
    return n;
}

const char *choiri_net_resolve_error(const net_resolve *r) {
    for (size_t i = 0; i < FAMILIES; i++)
        if (r->halves[i].error != 0) return evutil_gai_strerror(r->halves[i].error);
    return "it has no address";
}
