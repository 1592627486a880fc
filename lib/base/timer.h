/* SPDX-License-Identifier: MIT */
/* Timers: a hierarchical wheel. Arming, cancelling and finding the next deadline take a fixed number of steps
 * whatever the number of timers: 7 levels of 64 slots, a bitmap per level. One tick is 2^20 ns (1.05 ms): a
 * timer fires at the first advance at or after its deadline rounded up to a tick, never before it. */
#ifndef CHOIRI_TIMER_H
#define CHOIRI_TIMER_H

#include "base/list.h"
#include "choir/base.h"

#define CHOIRI_TIMER_LEVELS    7u
#define CHOIRI_TIMER_SLOTS     64u
#define CHOIRI_TIMER_TICK_BITS 20u

typedef struct choiri_timer {
    choiri_list node; /* in a slot, or in itself when not armed */
    uint64_t tick;    /* when it fires */
    uint16_t slot;    /* level * 64 + slot, for the bitmap */
} choiri_timer;

typedef struct choiri_wheel {
    uint64_t now_tick;
    uint64_t armed;                     /* number of armed timers */
    uint64_t used[CHOIRI_TIMER_LEVELS]; /* bit per slot that has timers */
    choiri_list slots[CHOIRI_TIMER_LEVELS][CHOIRI_TIMER_SLOTS];
    choiri_list due; /* expired, waiting for choiri_wheel_pop */
} choiri_wheel;

void choiri_wheel_init(choiri_wheel *w, choir_time now);
void choiri_timer_init(choiri_timer *t);
static inline bool choiri_timer_is_armed(const choiri_timer *t) {
    return !choiri_list_is_empty(&t->node);
}
/* Arms or re-arms. A deadline in the past fires at the next advance. */
void choiri_timer_arm(choiri_wheel *w, choiri_timer *t, choir_time deadline);
/* Harmless when not armed. Also takes it off the due list. */
void choiri_timer_cancel(choiri_wheel *w, choiri_timer *t);
/* Earliest moment at which advance may have something to do: never later than the earliest deadline rounded up
 * to a tick, perhaps earlier (a cascade). CHOIR_TIME_NEVER when nothing is armed. */
choir_time choiri_wheel_deadline(const choiri_wheel *w);
/* Moves what is due to the due list. `now` must not go back. */
void choiri_wheel_advance(choiri_wheel *w, choir_time now);
/* Next due timer, disarmed; NULL when none. */
choiri_timer *choiri_wheel_pop(choiri_wheel *w);

#endif
