/* SPDX-License-Identifier: MIT */
/* The pairing heap.
 *
 * Invariants: a timer comes after its parent; the root has neither parent nor sibling; `deadline` tells
 * whether a timer is in the heap. Deadline and order are never equal for two timers, so the order of firing
 * depends on nothing else. While a pass runs, what it has yet to pop was armed before it, and what is armed
 * during it is not earlier than its time: the latter comes after all of the former, and the first timer armed
 * during the pass ends it.
 *
 * A peer can choose deadlines, and with them the heap's shape, so nothing here recurses: a chain of a million
 * children takes no more stack than one. Rejected: a hierarchical wheel (7 KiB per session, deadlines rounded
 * up to ticks) and a binary heap in an array (arming can fail). */
#include "base/timer.h"

#define ORDER_MAX ((UINT64_C(1) << 56) - 1) /* out of reach: two years of arming once per nanosecond */

static bool is_before(const choiri_timer *a, const choiri_timer *b) {
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

/* Two roots become one: the later one is the first child of the other. */
static choiri_timer *meld(choiri_timer *a, choiri_timer *b) {
    choiri_timer *parent = is_before(a, b) ? a : b, *child = parent == a ? b : a;
    child->next = parent->child;
    child->prev = parent;
    if (parent->child) parent->child->prev = child;
    parent->child = child;
    parent->next = parent->prev = NULL;
    return parent;
}

/* All siblings become one heap, in two passes: pairs from left to right, stacked by `next`, then the pairs
 * from the top. */
static choiri_timer *meld_all(choiri_timer *list) {
    choiri_timer *pairs = NULL, *root = NULL;
    while (list) {
        choiri_timer *a = list, *b = a->next;
        list = b ? b->next : NULL;
        if (b) a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        choiri_timer *next = pairs->next;
        if (root) {
            root = meld(root, pairs);
        } else {
            root = pairs;
            root->next = root->prev = NULL;
        }
        pairs = next;
    }
    return root;
}

void choiri_timers_cancel(choiri_timers *h, choiri_timer *t) {
    if (!choiri_timer_is_armed(t)) return;
    choiri_timer *children = meld_all(t->child);
    if (t == h->first) {
        h->first = children;
    } else {
        if (t->prev->child == t)
            t->prev->child = t->next;
        else
            t->prev->next = t->next;
        if (t->next) t->next->prev = t->prev;
        if (children) h->first = meld(h->first, children);
    }
    t->child = t->next = t->prev = NULL;
    t->deadline = CHOIR_TIME_NEVER;
}

void choiri_timers_rearm(choiri_timers *h, choiri_timer *t, choir_time deadline) {
    choiri_timers_cancel(h, t);
    if (deadline == CHOIR_TIME_NEVER) return;
    t->deadline = deadline > h->now ? deadline : h->now;
    t->order = h->armings++ & ORDER_MAX;
    h->first = h->first ? meld(h->first, t) : t;
}

choiri_timer *choiri_timers_pop(choiri_timers *h, uint64_t pass, choir_time now) {
    choiri_timer *t = h->first;
    if (now > h->now) h->now = now;
    if (!t || t->deadline > now || t->order >= pass) return NULL;
    choiri_timers_cancel(h, t);
    return t;
}
