/* SPDX-License-Identifier: MIT */
/* Intrusive doubly-linked list. A node that is in no list points to itself, so removing twice is harmless. */
#ifndef CHOIRI_LIST_H
#define CHOIRI_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct choiri_list {
    struct choiri_list *next, *prev;
} choiri_list;

#define CHOIRI_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void choiri_list_init(choiri_list *l) {
    l->next = l->prev = l;
}
static inline bool choiri_list_is_empty(const choiri_list *l) {
    return l->next == l;
}
static inline void choiri_list_append(choiri_list *head, choiri_list *node) {
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void choiri_list_remove(choiri_list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    choiri_list_init(node);
}

#endif
