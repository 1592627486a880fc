/* SPDX-License-Identifier: MIT */
/* The life of a session in the loop.
 *
 * While it has a link, that one's run reports its events and is what marking it marks; without one it runs
 * itself. It is freed when it is over, has no link, its owner needs it no more, and no handler holds a
 * request of it: a handler on another thread may still be reading the arguments, also after its server was
 * freed.
 *
 * A slot's generation never comes twice, so a handle names one session for ever. */
#include "session.h"

#include "link.h"

#include <string.h>

/* ---- handles ---- */

static bool grow_slots(choir_loop *loop) {
    uint32_t len = loop->slots_len ? loop->slots_len * 2 : 16;
    if (len < loop->slots_len) return false;
    net_slot *slots =
        choiri_net_realloc(loop, loop->slots, loop->slots_len * sizeof *slots, len * sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = len; i-- > loop->slots_len;) {
        slots[i] = (net_slot){NULL, loop->first_generation, loop->free_slot};
        loop->free_slot = i + 1;
    }
    loop->slots = slots;
    loop->slots_len = len;
    return true;
}

bool choiri_net_session_name(net_session *session) {
    choir_loop *loop = session->loop;
    if (loop->free_slot == 0 && !grow_slots(loop)) return false;
    uint32_t at = loop->free_slot - 1;
    net_slot *slot = &loop->slots[at];
    loop->free_slot = slot->next_free;
    slot->session = session;
    session->handle = (uint64_t)slot->generation << 32 | at;
    return true;
}

static void free_handle(choir_loop *loop, uint64_t handle) {
    if (!choiri_net_session_find(loop, handle)) return;
    uint32_t at = (uint32_t)handle;
    net_slot *slot = &loop->slots[at];
    slot->session = NULL;
    if (++slot->generation == UINT32_MAX) return; /* retired: its next generation would be an old one */
    slot->next_free = loop->free_slot;
    loop->free_slot = at + 1;
}

net_session *choiri_net_session_find(choir_loop *loop, uint64_t handle) {
    uint32_t at = (uint32_t)handle;
    if (at >= loop->slots_len || loop->slots[at].generation != handle >> 32) return NULL;
    return loop->slots[at].session;
}

choir_session *choir_loop_session(choir_loop *loop, uint64_t handle) {
    net_session *session = loop && !net_is_forked(loop) ? choiri_net_session_find(loop, handle) : NULL;
    return session ? session->session : NULL;
}

/* ---- events ---- */

void choiri_net_session_report(net_session *session) {
    const choir_event *event;
    while (!session->held && (event = choir_session_poll(session->session))) {
        if (event->kind == CHOIR_EVENT_SESSION_ESTABLISHED) session->established = true;
        if (event->kind == CHOIR_EVENT_SESSION_CLOSED) session->over = true;
        if (session->owner) session->owner->event(session, event);
    }
}

static choir_time deadline(const net_session *session) {
    return session->over ? CHOIR_TIME_NEVER : choir_session_deadline(session->session);
}

static void due(net_timer *timer) {
    net_session *session = NET_CONTAINER(timer, net_session, timer);
    choir_loop *loop = session->loop;
    net_link *link = session->link;
    choiri_net_session_mark(session); /* which sets the next time */
    if (deadline(session) > loop->now) return;
    if (link) choiri_net_link_look(link);
    if (!session->over) choir_session_advance(session->session, loop->now);
}

/* ---- life ---- */

static void run(net_task *task) {
    net_session *session = NET_CONTAINER(task, net_session, task);
    choiri_net_session_report(session);
    choiri_net_session_settle(session);
}

net_session *choiri_net_session_new(choir_loop *loop, const net_session_owner *owner, void *owner_data) {
    net_session *session = choiri_net_alloc(loop, sizeof *session);
    if (!session) return NULL;
    memset(session, 0, sizeof *session);
    if (!choiri_net_timer_init(loop, &session->timer, due)) {
        choiri_net_release(loop, session, sizeof *session);
        return NULL;
    }
    session->loop = loop;
    session->owner = owner;
    session->owner_data = owner_data;
    session->task.run = run;
    net_node_init(&session->all);
    net_node_init(&session->sibling);
    net_node_init(&session->task.node);
    net_list_append(&loop->sessions, &session->all);
    return session;
}

/* Events have appeared outside of a run, or the deadline has moved. */
static void wake(void *ctx, choir_session *core) {
    net_session *session = ctx;
    (void)core;
    if (session->link)
        net_link_wake(session->link);
    else
        choiri_net_session_mark(session);
}

choir_session_options choiri_net_session_waking(net_session *session, const choir_session_options *options) {
    choir_session_options o = *options;
    o.wake = wake;
    o.wake_ctx = session;
    return o;
}

void choiri_net_session_set(net_session *session, choir_session *core) {
    session->session = core;
    session->root = choir_session_root(core);
}

void choiri_net_session_attach(net_session *session, net_link *link) {
    session->link = link;
    link->session = session;
}

void choiri_net_session_detach(net_session *session) {
    session->link->session = NULL;
    session->link = NULL;
    choiri_net_session_mark(session);
}

void choiri_net_session_free(net_session *session) {
    choir_loop *loop = session->loop;
    if (loop->held == session) choiri_net_unhold(loop);
    if (session->owner) session->owner->gone(session);
    free_handle(loop, session->handle);
    choir_session_free(session->session);
    choiri_net_timer_deinit(loop, &session->timer);
    net_node_remove(&session->task.node);
    net_node_remove(&session->sibling);
    net_node_remove(&session->all);
    choiri_net_release(loop, session, sizeof *session);
}

void choiri_net_session_mark(net_session *session) {
    choiri_net_mark(session->loop, session->link ? &session->link->task : &session->task);
}

void choiri_net_session_settle(net_session *session) {
    if (session->over && !session->link && choir_session_held_requests(session->session) == 0 &&
        (!session->owner || session->owner->is_done(session))) {
        choiri_net_session_free(session);
        return;
    }
    if (session->over) /* a loop that waits for nothing else comes to its end */
        choiri_net_timer_clear(session->loop, &session->timer);
    else
        choiri_net_timer_set(session->loop, &session->timer, deadline(session));
}

void choiri_net_session_let_go(net_session *session) {
    choir_loop *loop = session->loop;
    net_link *link = session->link;
    if (loop->held == session) choiri_net_unhold(loop);
    choir_session_close(session->session, loop->now);
    choiri_net_session_report(session);
    if (link && (!session->over || link->state == NET_OPENING))
        choiri_net_link_lost(link, CHOIR_ERR_LINK_LOST, CHOIR_STR("closed"));
    choiri_net_session_report(session);
    session->owner->gone(session);
    session->owner = NULL;
    net_node_remove(&session->sibling);
    if (link) choiri_net_link_let_go(link);
    choiri_net_session_mark(session);
}

/* ---- results ---- */

int choiri_net_session_result(choir_loop *loop, const choir_session *core, int status) {
    if (status == CHOIR_OK) return choiri_net_result(loop, CHOIR_OK);
    choir_str why = choir_session_is_closed(core) ? choir_session_text(core) : choir_session_error(core);
    if (why.len == 0) return choiri_net_result(loop, status);
    return choiri_net_fail(loop, status, "%.*s", (int)why.len, why.data);
}
