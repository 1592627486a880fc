/* SPDX-License-Identifier: MIT */
/* A binary heap of timers and one timerfd for all of them.
 *
 * A timer that is set only ever moves earlier, or goes when it fires; a deadline that has moved later in the
 * meantime is found out then, by its owner. So the deadlines that every message moves touch neither heap nor
 * kernel. The descriptor is set at most once per turn, at its end, and only when the earliest timer is
 * earlier than what it is set to.
 *
 * Rejected: timers of libevent. Their next deadline becomes the timeout of epoll_wait, and a wait with a
 * timeout costs 0.4 us more than one without: 5 % of a small call on one core. */
#include "loop.h"

#include <sys/timerfd.h>
#include <unistd.h>

static void put(net_timers *t, uint32_t at, net_timer *timer) {
    t->heap[at] = timer;
    timer->place = at + 1;
}

static void sift_up(net_timers *t, uint32_t at, net_timer *timer) {
    for (; at > 0; at = (at - 1) / 2) {
        net_timer *parent = t->heap[(at - 1) / 2];
        if (parent->at <= timer->at) break;
        put(t, at, parent);
    }
    put(t, at, timer);
}

static void sift_down(net_timers *t, uint32_t at, net_timer *timer) {
    for (uint32_t child; (child = 2 * at + 1) < t->len; at = child) {
        if (child + 1 < t->len && t->heap[child + 1]->at < t->heap[child]->at) child++;
        if (timer->at <= t->heap[child]->at) break;
        put(t, at, t->heap[child]);
    }
    put(t, at, timer);
}

void choiri_net_timer_set(choir_loop *loop, net_timer *timer, choir_time at) {
    net_timers *t = &loop->timers;
    if (at >= timer->at) return;
    timer->at = at;
    sift_up(t, timer->place == 0 ? t->len++ : timer->place - 1, timer);
}

void choiri_net_timer_clear(choir_loop *loop, net_timer *timer) {
    net_timers *t = &loop->timers;
    if (timer->place == 0) return;
    uint32_t at = timer->place - 1;
    net_timer *last = t->heap[--t->len];
    if (last != timer) {
        /* The last one takes the place, and moves from there to where it belongs. */
        if (last->at < timer->at)
            sift_up(t, at, last);
        else
            sift_down(t, at, last);
    }
    timer->place = 0;
    timer->at = CHOIR_TIME_NEVER;
}

bool choiri_net_timer_init(choir_loop *loop, net_timer *timer, void (*due)(net_timer *timer)) {
    net_timers *t = &loop->timers;
    if (t->users == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 16;
        net_timer **heap = choiri_net_realloc(loop, t->heap, t->cap * sizeof *heap, cap * sizeof *heap);
        if (!heap) return false;
        t->heap = heap;
        t->cap = cap;
    }
    t->users++;
    *timer = (net_timer){.at = CHOIR_TIME_NEVER, .due = due};
    return true;
}

void choiri_net_timer_deinit(choir_loop *loop, net_timer *timer) {
    choiri_net_timer_clear(loop, timer);
    loop->timers.users--;
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    choir_loop *loop = arg;
    net_timers *t = &loop->timers;
    choiri_net_enter(loop);
    t->set_to = CHOIR_TIME_NEVER; /* set again with the end of the turn, which also makes it unreadable */
    while (t->len > 0 && t->heap[0]->at <= loop->now) {
        net_timer *timer = t->heap[0];
        choiri_net_timer_clear(loop, timer);
        timer->due(timer);
    }
    choiri_net_leave(loop);
}

void choiri_net_timers_settle(choir_loop *loop) {
    net_timers *t = &loop->timers;
    bool any = t->len > 0;
    if (any != t->listening) {
        /* Only while something is due some day, so that a loop with nothing left comes to its end. */
        t->listening = any;
        t->set_to = CHOIR_TIME_NEVER;
        if (any)
            event_add(&t->event, NULL);
        else
            event_del(&t->event);
    }
    if (!any || t->heap[0]->at >= t->set_to) return;
    choir_time at = t->set_to = t->heap[0]->at;
    /* 0 would switch it off. */
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / CHOIR_SECOND), .tv_nsec = (long)(at % CHOIR_SECOND) | 1}};
    timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

bool choiri_net_timers_init(choir_loop *loop) {
    net_timers *t = &loop->timers;
    t->set_to = CHOIR_TIME_NEVER;
    t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (t->fd < 0) return false;
    event_assign(&t->event, loop->base, t->fd, EV_READ | EV_PERSIST, on_due, loop);
    return true;
}

void choiri_net_timers_deinit(choir_loop *loop) {
    net_timers *t = &loop->timers;
    event_del(&t->event);
    close(t->fd);
    choiri_net_release(loop, t->heap, t->cap * sizeof *t->heap);
}
