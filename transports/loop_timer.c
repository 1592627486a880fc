/* SPDX-License-Identifier: MIT */
/* Timers of the host on a loop: in the same heap as those of links and sessions, so they cost no descriptor
 * each. */
#include "loop.h"

struct choir_loop_timer {
    choir_loop *loop;
    net_timer timer;
    net_node node; /* in loop->host_timers */
    choir_loop_timer_fn *fn;
    void *ctx;
};

static void due(net_timer *timer) {
    choir_loop_timer *t = NET_CONTAINER(timer, choir_loop_timer, timer);
    t->fn(t->ctx, t); /* which may have freed it */
}

int choir_loop_timer_new(choir_loop *loop, choir_loop_timer_fn *fn, void *ctx, choir_loop_timer **ret_timer) {
    if (!loop || !fn || !ret_timer) return CHOIR_ERR_INVALID;
    if (choiri_net_check_usable(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    choir_loop_timer *t = choiri_net_alloc(loop, sizeof *t);
    if (!t || !choiri_net_timer_init(loop, &t->timer, due)) {
        choiri_net_release(loop, t, sizeof *t);
        return choiri_net_result(loop, CHOIR_ERR_NO_MEMORY);
    }
    t->loop = loop;
    t->fn = fn;
    t->ctx = ctx;
    net_node_init(&t->node);
    net_list_append(&loop->host_timers, &t->node);
    *ret_timer = t;
    return choiri_net_result(loop, CHOIR_OK);
}

void choir_loop_timer_set(choir_loop_timer *timer, choir_time at) {
    if (!timer || net_is_forked(timer->loop)) return;
    choir_loop *loop = timer->loop;
    choir_time now = choiri_net_now(loop);
    choiri_net_timer_clear(loop, &timer->timer);
    /* What is due already comes with the next turn: set in its own callback, it must not run for ever in this
     * one. */
    if (at != CHOIR_TIME_NEVER) choiri_net_timer_set(loop, &timer->timer, at > now ? at : now + 1);
    choiri_net_schedule(loop);
}

static void drop(choir_loop_timer *timer) {
    choir_loop *loop = timer->loop;
    choiri_net_timer_deinit(loop, &timer->timer);
    net_node_remove(&timer->node);
    choiri_net_release(loop, timer, sizeof *timer);
}

void choir_loop_timer_free(choir_loop_timer *timer) {
    if (!timer || net_is_forked(timer->loop)) return;
    choir_loop *loop = timer->loop;
    drop(timer);
    choiri_net_schedule(loop); /* without it the loop may be idle */
}

void choiri_net_host_timers_free(choir_loop *loop) {
    while (!net_list_is_empty(&loop->host_timers))
        drop(NET_CONTAINER(loop->host_timers.next, choir_loop_timer, node));
}
