/* SPDX-License-Identifier: MIT */
/* The loop, and how a turn goes.
 *
 * libevent calls back because something is readable, writable or due; each such callback enters the loop (the
 * first of a wake-up reads the clock), feeds what it read and marks its link. The turn event, activated once
 * per wake-up, comes behind them: it runs every marked task, which is where output is written: one write for
 * the answers of one wake-up, and more only in the middle of a long burst (link.c). Calls from outside a
 * callback mark tasks in the same way.
 *
 * Nothing is freed while anything of it may be on the stack: links, sessions, clients and servers go in the
 * turn event only (or in choir_loop_free), under which no other callback runs. */
#ifndef CHOIRI_NET_LOOP_H
#define CHOIRI_NET_LOOP_H

#include "choir/net.h"
#include "list.h"
#include "text.h"
#include "timer.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/time.h>

typedef struct net_link net_link;
typedef struct net_session net_session;

/* Something that runs once in the turn in which it was marked. */
typedef struct net_task {
    net_node node; /* in loop->marked; in no list while it is not marked */
    void (*run)(struct net_task *task);
} net_task;

/* A client or server, as the loop sees it. */
typedef struct net_object {
    net_node node; /* in loop->objects or loop->doomed */
    bool doomed;
    void (*close)(struct net_object *object); /* begins the orderly end; may be called more than once */
    void (*bury)(struct net_object *object);  /* every callback that is still due, then free */
    /* In a process that was forked off, when its links and sessions are gone: closes and frees, and says
     * nothing. */
    void (*abandon)(struct net_object *object);
} net_object;

typedef struct net_slot {
    net_session *session; /* NULL: free */
    uint32_t generation;  /* of the session that is or was here */
    uint32_t next_free;   /* index + 1; 0 ends the list */
} net_slot;

struct choir_loop {
    /* here: a page that the kernel wipes in processes that are forked off; 1 in the one that made the loop.
     * */
    const volatile uint8_t *here;
    struct event_base *base;
    bool own_base;
    struct {
        choir_loop_closed_fn *done; /* NULL: nobody waits for the end of everything */
        void *ctx;
    } closing;
    bool running;   /* we are inside event_base_loop */
    bool stop;      /* choir_loop_run shall return */
    bool fresh;     /* now was read in this turn */
    bool turning;   /* the turn event is pending or runs */
    bool freeing;   /* choir_loop_free is at work: nothing new may be made */
    uint32_t depth; /* callbacks of ours that are running; 0 or 1 */
    choir_time now;
    choir_env *env;
    choir_allocator allocator;
    choir_log_fn *log;
    void *log_ctx;
    uint32_t log_level;
    choir_chunk *block; /* what links read into; replaced when somebody retained it */
    net_node marked;    /* tasks that have work in this turn */
    net_node links;
    net_node sessions;
    net_node objects;          /* clients and servers */
    net_node doomed;           /* those that were freed by the host: they go with this turn */
    net_node memory_listeners; /* those of mem:// */
    struct event turn_event;
    struct event timeout_event; /* bounds choir_loop_turn */
    net_timers timers;
    net_slot *slots; /* sessions by handle */
    uint32_t slots_len, free_slot;
    uint32_t first_generation; /* random, so that handles of two runs do not look alike */
    struct net_dns *dns;       /* made with the first name */
    choir_poster *poster;      /* while somebody may post */
    net_node host_timers;
    /* What choir_client_wait_call and _wait_open wait for. */
    struct {
        bool active;
        choir_client *client; /* NULL once it was freed */
        choir_call_id call;
        const choir_event *done;
    } wait;
    net_session *held;       /* its last event is in the hands of choir_client_wait_call's caller */
    choir_chunk *held_chunk; /* what that event may point into */
    net_text error;
};

/* ---- memory and texts ---- */

void *choiri_net_alloc(choir_loop *loop, size_t size);
/* `ptr` may be NULL. On failure NULL, and the old block is untouched. */
void *choiri_net_realloc(choir_loop *loop, void *ptr, size_t old_size, size_t size);
void choiri_net_release(choir_loop *loop, void *ptr, size_t size);
/* Notes why a function of the loop failed; returns `status`. */
int choiri_net_fail(choir_loop *loop, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with the text that belongs to the status; OK clears the note. */
int choiri_net_result(choir_loop *loop, int status);
/* Checks descriptors; notes what is wrong with them. */
int choiri_net_service_check(choir_loop *loop, const choir_service *service);
void choiri_net_log(choir_loop *loop, uint32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- loop_timer.c ---- */

/* With choir_loop_free: those that are left, without a call. */
void choiri_net_host_timers_free(choir_loop *loop);

/* ---- processes ---- */

/* True in another process than the one that made the loop: there it can only be freed. */
static inline bool net_is_forked(const choir_loop *loop) {
    return *loop->here == 0;
}
/* OK · ERR_STATE, noted. */
int choiri_net_check_process(choir_loop *loop);
/* The same, and the loop is not being freed: something new may be made. */
int choiri_net_check_usable(choir_loop *loop);

/* ---- the turn ---- */

/* Time of this turn; outside of callbacks the clock is read. */
choir_time choiri_net_now(choir_loop *loop);
/* Around every callback of libevent. */
void choiri_net_enter(choir_loop *loop);
void choiri_net_leave(choir_loop *loop);
/* Makes sure that the turn event comes. */
void choiri_net_schedule(choir_loop *loop);
/* Puts a task among those that run in this turn. */
void choiri_net_mark(choir_loop *loop, net_task *task);
/* The host freed it: closes it now and buries it with the end of the turn. */
void choiri_net_doom(choir_loop *loop, net_object *object);
/* A block to read into that nobody else holds; NULL without memory. The loop keeps its reference. */
choir_chunk *choiri_net_block(choir_loop *loop);
/* True inside a callback of this loop, where it cannot be run. */
bool choiri_net_is_reentrant(const choir_loop *loop);
/* One pass of event_base_loop. OK · ERR_REENTRANT (the host's base runs already) · ERR_IO. *ret_idle: nothing
 * is left that could happen. */
int choiri_net_pass(choir_loop *loop, int flags, bool *ret_idle);
/* Lets go of the event that the last choir_client_wait_call returned. */
void choiri_net_unhold(choir_loop *loop);

static inline choir_time net_earlier(choir_time a, choir_time b) {
    return a < b ? a : b;
}
static inline struct timeval net_timeval(choir_duration d) {
    /* Rounded up, so that what is due is due when the timer fires. */
    uint64_t us = d / CHOIR_MICROSECOND + (d % CHOIR_MICROSECOND != 0);
    return (struct timeval){.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
}

#endif
