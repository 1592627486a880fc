/* SPDX-License-Identifier: MIT */
/* When something of a loop is due: links, sessions, the timers of the host. */
#ifndef CHOIRI_NET_TIMER_H
#define CHOIRI_NET_TIMER_H

#include "choir/net.h"

#include <event2/event_struct.h>

typedef struct net_timer {
    choir_time at;  /* CHOIR_TIME_NEVER while it is not in the heap */
    uint32_t place; /* index in the heap + 1; 0 while it is not there */
    void (*due)(struct net_timer *timer);
} net_timer;

typedef struct net_timers {
    net_timer **heap; /* by `at` */
    uint32_t len, cap;
    uint32_t users;    /* timers that were initialised: each has room */
    choir_time set_to; /* of fd; CHOIR_TIME_NEVER: to nothing that counts */
    bool listening;    /* event is added */
    int fd;
    struct event event;
} net_timers;

bool choiri_net_timers_init(choir_loop *loop);
void choiri_net_timers_deinit(choir_loop *loop);
/* With the end of each turn. */
void choiri_net_timers_settle(choir_loop *loop);

/* Makes room for a timer, so that setting it cannot fail; false without memory. */
bool choiri_net_timer_init(choir_loop *loop, net_timer *timer, void (*due)(net_timer *timer));
void choiri_net_timer_deinit(choir_loop *loop, net_timer *timer);
/* Has `due` called at `at`, unless that is set to come earlier anyway. */
void choiri_net_timer_set(choir_loop *loop, net_timer *timer, choir_time at);
void choiri_net_timer_clear(choir_loop *loop, net_timer *timer);

#endif
