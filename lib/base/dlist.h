/* SPDX-License-Identifier: MIT */
/* Intrusive doubly-linked list. A node that is in no list points to itself, so removing twice is harmless. */
#ifndef CHOIRI_DLIST_H
#define CHOIRI_DLIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct choiri_dlist {
    struct choiri_dlist *next, *prev;
} choiri_dlist;

#define CHOIRI_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void choiri_dlist_init(choiri_dlist *l) {
    l->next = l->prev = l;
}
static inline bool choiri_dlist_is_empty(const choiri_dlist *l) {
    return l->next == l;
}
static inline void choiri_dlist_append(choiri_dlist *head, choiri_dlist *node) {
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
/* The same for a node that is not looked at again. */
static inline void choiri_dlist_unlink(choiri_dlist *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
}
static inline void choiri_dlist_remove(choiri_dlist *node) {
    choiri_dlist_unlink(node);
    choiri_dlist_init(node);
}

#endif
