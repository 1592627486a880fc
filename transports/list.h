/* SPDX-License-Identifier: MIT */
/* Intrusive lists: a node that is in no list points to itself, so removing it twice is harmless. */
#ifndef CHOIRI_NET_LIST_H
#define CHOIRI_NET_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct net_node {
    struct net_node *next, *prev;
} net_node;

static inline void net_node_init(net_node *n) {
    n->next = n->prev = n;
}
static inline bool net_list_is_empty(const net_node *head) {
    return head->next == head;
}
static inline void net_node_remove(net_node *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    net_node_init(n);
}
static inline void net_list_append(net_node *head, net_node *n) {
    net_node_remove(n);
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}
#define NET_CONTAINER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
