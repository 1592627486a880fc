/* SPDX-License-Identifier: MIT */
/* When links are due: a binary heap of links and one timerfd for all of them.
 *
 * A link's entry only ever moves earlier, or goes when it fires; a deadline that has moved later in the meantime is found
 * out then. So the deadlines that every message moves touch neither heap nor kernel. The descriptor is set at most once
 * per turn, at its end, and only when the earliest entry is earlier than what it is set to.
 *
 * Room in the heap is made with each link, so setting a deadline cannot fail.
 *
 * Rejected: timers of libevent. Their next deadline becomes the timeout of epoll_wait, and a wait with a timeout costs
 * 0.4 us more than one without: 5 % of a small call on one core. */
#include "internal.h"

#include <sys/timerfd.h>
#include <unistd.h>

static void put(choir_loop *loop, uint32_t at, net_link *link) {
    loop->timers.heap[at] = link;
    link->timer_at = at + 1;
}

static void sift_up(choir_loop *loop, uint32_t at, net_link *link) {
    for (; at > 0; at = (at - 1) / 2) {
        net_link *parent = loop->timers.heap[(at - 1) / 2];
        if (parent->armed <= link->armed) break;
        put(loop, at, parent);
    }
    put(loop, at, link);
}

static void sift_down(choir_loop *loop, uint32_t at, net_link *link) {
    for (uint32_t child; (child = 2 * at + 1) < loop->timers.len; at = child) {
        net_link **heap = loop->timers.heap;
        if (child + 1 < loop->timers.len && heap[child + 1]->armed < heap[child]->armed) child++;
        if (link->armed <= heap[child]->armed) break;
        put(loop, at, heap[child]);
    }
    put(loop, at, link);
}

void choiri_net_timer_set(net_link *link, choir_time t) {
    choir_loop *loop = link->loop;
    if (t >= link->armed) return;
    link->armed = t;
    sift_up(loop, link->timer_at == 0 ? loop->timers.len++ : link->timer_at - 1, link);
}

void choiri_net_timer_clear(net_link *link) {
    choir_loop *loop = link->loop;
    if (link->timer_at == 0) return;
    uint32_t at = link->timer_at - 1;
    net_link *last = loop->timers.heap[--loop->timers.len];
    if (last != link) {
        /* The last one takes the place, and moves from there to where it belongs. */
        bool earlier = last->armed < link->armed;
        if (earlier)
            sift_up(loop, at, last);
        else
            sift_down(loop, at, last);
    }
    link->timer_at = 0;
    link->armed = CHOIR_TIME_NEVER;
}

bool choiri_net_timers_reserve(choir_loop *loop, uint32_t links) {
    if (links <= loop->timers.cap) return true;
    uint32_t cap = loop->timers.cap ? loop->timers.cap * 2 : 16;
    net_link **heap = loop->timers.heap;
    heap = heap ? loop->allocator.realloc(loop->allocator.ctx, heap, loop->timers.cap * sizeof *heap,
                                          cap * sizeof *heap)
                : choiri_net_alloc(loop, cap * sizeof *heap);
    if (!heap) return false;
    loop->timers.heap = heap;
    loop->timers.cap = cap;
    return true;
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    choir_loop *loop = arg;
    choiri_net_enter(loop);
    loop->timers.set_to =
        CHOIR_TIME_NEVER; /* set again with the end of the turn, which also makes it unreadable */
    while (loop->timers.len > 0 && loop->timers.heap[0]->armed <= loop->now) {
        net_link *link = loop->timers.heap[0];
        choiri_net_timer_clear(link);
        choiri_net_link_due(link);
    }
    choiri_net_leave(loop);
}

void choiri_net_timers_settle(choir_loop *loop) {
    bool any = loop->timers.len > 0;
    if (any != loop->timers.listening) {
        /* Only while something is due some day, so that a loop with nothing left comes to its end. */
        loop->timers.listening = any;
        loop->timers.set_to = CHOIR_TIME_NEVER;
        if (any)
            event_add(&loop->timers.event, NULL);
        else
            event_del(&loop->timers.event);
    }
    if (!any || loop->timers.heap[0]->armed >= loop->timers.set_to) return;
    choir_time t = loop->timers.set_to = loop->timers.heap[0]->armed;
    /* 0 would switch it off. */
    struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(t / CHOIR_SECOND), .tv_nsec = (long)(t % CHOIR_SECOND) | 1}};
    timerfd_settime(loop->timers.fd, TFD_TIMER_ABSTIME, &at, NULL);
}

bool choiri_net_timers_init(choir_loop *loop) {
    loop->timers.set_to = CHOIR_TIME_NEVER;
    loop->timers.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->timers.fd < 0) return false;
    event_assign(&loop->timers.event, loop->base, loop->timers.fd, EV_READ | EV_PERSIST, on_due, loop);
    return true;
}

void choiri_net_timers_deinit(choir_loop *loop) {
    event_del(&loop->timers.event);
    close(loop->timers.fd);
    choiri_net_release(loop, loop->timers.heap, loop->timers.cap * sizeof *loop->timers.heap);
}
