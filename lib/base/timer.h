/* SPDX-License-Identifier: MIT */
/* Timers: an intrusive pairing heap. A timer fires at the first pass at or after its deadline, never before
 * it, and equal deadlines fire in the order in which they were armed. Nothing is ever allocated, so arming
 * cannot fail.
 *
 * Finding the next deadline and arming take a fixed number of steps, cancelling and popping O(log n)
 * amortised, and so does arming anew (O(1) for a timer without children, as most are). */
#ifndef CHOIRI_TIMER_H
#define CHOIRI_TIMER_H

#include "choir/base.h"

typedef struct choiri_timer choiri_timer;

struct choiri_timer {
    choir_time deadline; /* CHOIR_TIME_NEVER: not armed */
    choiri_timer *child; /* first of those that come after this one */
    choiri_timer *next;  /* sibling */
    choiri_timer *prev;  /* sibling, or the parent of a first child; NULL for the root */
    uint64_t order : 56; /* number of this arming, among equal deadlines */
    uint64_t owner : 8;  /* whose timer it is: what the struct around it is */
};

/* Zeroed, or initialised as {0}: nothing armed. */
typedef struct choiri_timers {
    choiri_timer *first; /* the root of the heap */
    choir_time now;      /* of the latest pass */
    uint64_t armings;    /* so far */
} choiri_timers;

static inline void choiri_timer_init(choiri_timer *t, uint8_t owner) {
    *t = (choiri_timer){.deadline = CHOIR_TIME_NEVER, .owner = owner};
}
static inline bool choiri_timer_is_armed(const choiri_timer *t) {
    return t->deadline != CHOIR_TIME_NEVER;
}
/* Arms, or arms anew. A deadline before the latest pass counts as the time of that pass; CHOIR_TIME_NEVER
 * disarms. */
void choiri_timers_rearm(choiri_timers *h, choiri_timer *t, choir_time deadline);
static inline void choiri_timers_arm(choiri_timers *h, choiri_timer *t, choir_time deadline) {
    if (deadline != CHOIR_TIME_NEVER || choiri_timer_is_armed(t)) choiri_timers_rearm(h, t, deadline);
}
/* Harmless when not armed. */
void choiri_timers_cancel(choiri_timers *h, choiri_timer *t);
/* The earliest deadline; CHOIR_TIME_NEVER when nothing is armed. */
static inline choir_time choiri_timers_deadline(const choiri_timers *h) {
    return h->first ? h->first->deadline : CHOIR_TIME_NEVER;
}
/* The next timer that is due, disarmed; NULL when none is left. A pass pops until then:
 *
 *     uint64_t pass = h->armings;
 *     while ((t = choiri_timers_pop(h, pass, now))) ...
 *
 * What is armed during a pass fires in a later one, even if it is due at once: a pass always ends. */
choiri_timer *choiri_timers_pop(choiri_timers *h, uint64_t pass, choir_time now);

#endif
