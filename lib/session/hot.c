/* SPDX-License-Identifier: MIT */
/* Profiles and hot parts: what connections share, and what one has only while it carries something.
 *
 * Invariants: a hot part is charged for itself; it is given back only when nothing is queued, live or owed
 * and its buckets are full again, because one that idled its way to new buckets would have been forgiven.
 * Those that became idle are in `cooling`, in that order, and the last few stay: sweeping looks at a fixed
 * number each time.
 *
 * Rejected: giving a hot part back at once (a connection with one call at a time would make it for each of
 * them), and a timer for it (one more deadline for each connection, which a peer could arm by the
 * thousand). */
#include "base/assert.h"
#include "base/pool.h"
#include "base/siphash.h"
#include "base/time.h"
#include "session/attachment.h"
#include "session/session.h"

#include <string.h>

/* Idle hot parts that a session keeps, and how many one sweep looks at. */
#define WARM  8u
#define SWEEP 4u
/* Nuisances: enough for a caller that sends 20,000 calls at once, or has ten thousand too many a second; each
 * costs a microsecond and an answer of 20 bytes. */
#define NUISANCE_BURST 65536u
#define NUISANCE_RATE  10000u
/* All connections of a session together may start as much for nothing as so many of them. */
#define SESSION_SHARE 4u
/* Handlers that were left behind by connections that have ended. With so many of them nothing starts, and it
 * is tried again later. */
#define ORPHANS_MAX  1024u
#define ORPHANS_WAIT (100 * CHOIR_MILLISECOND)

/* ---- profiles ---- */

static bool is_same(const choiri_profile *a, const choiri_profile *b) {
    const size_t from = offsetof(choiri_profile, driver);
    return memcmp((const char *)a + from, (const char *)b + from, sizeof *a - from) == 0;
}

/* What peers announce is in it: with one list, many peers with a number each would make every handshake walk
 * them all. */
static choiri_profile **list_of(choir_env *env, const choiri_profile *p) {
    uint64_t at = choiri_siphash(env->seed, p->limits.peer_requests) % CHOIRI_PROFILE_LISTS;
    return (choiri_profile **)&env->profiles[at];
}

choiri_profile *choiri_profile_get(choir_env *env, const choiri_profile *like) {
    choiri_profile **place = list_of(env, like);
    for (choiri_profile *p = *place; p; p = p->next) {
        if (!is_same(p, like)) continue;
        p->refs++;
        return p;
    }
    choiri_profile *p = choiri_alloc(env, sizeof *p);
    if (!p) return NULL;
    memcpy(p, like, sizeof *p); /* padding too: it is compared */
    p->refs = 1;
    choiri_service_retain(p->serve);
    choiri_service_retain(p->call);
    p->next = *place;
    *place = p;
    return p;
}

void choiri_profile_release(choir_env *env, choiri_profile *p) {
    if (!p || --p->refs > 0) return;
    choiri_profile **place = list_of(env, p);
    while (*place != p) place = &(*place)->next;
    *place = p->next;
    choiri_service_release(p->serve);
    choiri_service_release(p->call);
    choiri_free(env, p, sizeof *p);
}

/* ---- hot parts ---- */

/* Every handler that may run at a time has a token. */
static void init_buckets(const choiri_limits *l, uint32_t share, choir_time now, choiri_bucket *starts,
                         choiri_bucket *glitches, choiri_bucket *nuisances) {
    uint32_t burst = l->glitch_burst;
    if (burst < l->max_concurrent_requests) burst = l->max_concurrent_requests;
    if (burst > UINT32_MAX / share) burst = UINT32_MAX / share;
    uint32_t rate = l->glitch_rate > UINT32_MAX / share ? UINT32_MAX / share : l->glitch_rate;
    choiri_bucket_init(starts, burst * share, rate * share, now);
    choiri_bucket_init(glitches, l->glitch_burst, l->glitch_rate, now);
    choiri_bucket_init(nuisances, NUISANCE_BURST, NUISANCE_RATE, now);
}

void choiri_conn_init_session_buckets(choir_session *s, const choiri_limits *l) {
    init_buckets(l, SESSION_SHARE, s->now, &s->starts, &s->glitches, &s->nuisances);
}

choiri_hot *choiri_conn_heat(choir_session *s, choiri_conn *c) {
    if (c->hot) return c->hot;
    const choiri_driver *d = c->profile->driver;
    const choiri_limits *l = &c->profile->limits;
    choiri_hot *hot = choiri_obj_alloc(s->env, d->hot_size);
    if (!hot) return NULL;
    memset(hot, 0, d->hot_size);
    hot->session = s;
    hot->conn = c;
    choiri_timer_init(&hot->refill, CHOIRI_TIMER_CONN);
    choiri_dlist_init(&hot->cooling);
    init_buckets(l, 1, s->now, &hot->starts, &hot->glitches, &hot->nuisances);
    choiri_egress_init(&hot->egress, s->env);
    choiri_charge_anyway(hot, choiri_obj_size(d->hot_size));
    d->hot_init(hot);
    c->hot = hot;
    return hot;
}

static void uncool(choir_session *s, choiri_hot *hot) {
    if (choiri_dlist_is_empty(&hot->cooling)) return;
    choiri_dlist_remove(&hot->cooling);
    s->conns.cooling_len--;
}

void choiri_hot_free(choir_session *s, choiri_conn *c) {
    choiri_hot *hot = c->hot;
    if (!hot) return;
    const choiri_driver *d = c->profile->driver;
    choiri_slots_clear(s->env, &hot->slots);
    choiri_egress_clear(hot);
    d->hot_deinit(hot);
    uncool(s, hot); /* not before: what ends with it may find it idle */
    c->hot = NULL;
    choiri_timers_cancel(&s->timers, &hot->refill);
    choiri_text_release(s->env, hot->why);
    choiri_discharge(hot, choiri_obj_size(d->hot_size));
    CHOIRI_ASSERT(hot->charged == 0);
    choiri_obj_free(s->env, hot, d->hot_size);
}

/* Nothing is queued, live or owed. */
static bool is_idle(const choiri_hot *hot) {
    return hot->unreported == 0 && hot->held == 0 && !hot->why.data && !hot->slots &&
           choiri_egress_is_empty(&hot->egress) && hot->conn->profile->driver->hot_is_idle(hot);
}

void choiri_conn_sweep(choir_session *s) {
    for (uint32_t i = 0; i < SWEEP && s->conns.cooling_len > WARM; i++) {
        choiri_hot *hot = CHOIRI_CONTAINER(s->conns.cooling.next, choiri_hot, cooling);
        choir_time now = s->now;
        uncool(s, hot);
        if (!is_idle(hot)) continue; /* it comes again when it is */
        if (choiri_bucket_is_full(&hot->starts, now) && choiri_bucket_is_full(&hot->glitches, now) &&
            choiri_bucket_is_full(&hot->nuisances, now)) {
            choiri_hot_free(s, hot->conn);
        } else { /* later */
            choiri_dlist_append(&s->conns.cooling, &hot->cooling);
            s->conns.cooling_len++;
        }
    }
}

void choiri_conn_cool(choir_session *s, choiri_hot *hot) {
    if (!choiri_dlist_is_empty(&hot->cooling) || !is_idle(hot)) return;
    choiri_dlist_append(&s->conns.cooling, &hot->cooling);
    if (++s->conns.cooling_len > WARM) choiri_conn_sweep(s);
}

/* ---- charges ---- */

static CHOIRI_NOINLINE bool has_room(const choir_session *s, size_t bytes) {
    return choiri_session_held(s) + bytes <= s->quota;
}

/* One connection may have half of the quota while others are there to be harmed. */
bool choiri_charge(choiri_hot *hot, size_t bytes) {
    choir_session *s = hot->session;
    const choir_attachment *a = s->attachment;
    /* Sums of what is in memory: they cannot wrap. */
    uint64_t mine = hot->charged + bytes, all = s->charged + bytes;
    if (mine > s->quota / 2 && (s->conns.live > 1 || mine > s->quota)) return false;
    if (CHOIRI_LIKELY(a && !a->framer.partial) ? all + a->out.held > s->quota : !has_room(s, bytes))
        return false;
    hot->charged = mine;
    s->charged = all;
    return true;
}

void choiri_charge_anyway(choiri_hot *hot, size_t bytes) {
    hot->session->charged += bytes;
    hot->charged += bytes;
}

void choiri_discharge(choiri_hot *hot, size_t bytes) {
    CHOIRI_ASSERT(bytes <= hot->charged && bytes <= hot->session->charged);
    hot->session->charged -= bytes;
    hot->charged -= bytes;
}

/* ---- buckets ---- */

static bool charge_event(choiri_hot *hot, choiri_bucket *bucket, const char *too_many, choir_time now) {
    if (choiri_conn_get_state(hot->conn) == CHOIRI_CONN_CLOSED) return false;
    if (choiri_bucket_take(bucket, now)) {
        choiri_conn_cool(hot->session, hot); /* often there is nothing else to it */
        return true;
    }
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, too_many);
    choiri_conn_fail(hot->session, hot->conn, CHOIR_ERR_PROTOCOL, &text, now);
    return false;
}

bool choiri_conn_glitch(choiri_hot *hot, choir_time now) {
    return charge_event(hot, &hot->glitches, "too many odd messages", now);
}

bool choiri_conn_nuisance(choiri_hot *hot, choir_time now) {
    return charge_event(hot, &hot->nuisances, "a flood of late messages or of requests over the limits", now);
}

/* Nothing starts before; the host is told, because the deadline may have become an earlier one. */
static CHOIRI_COLD bool wait_until(choiri_hot *hot, choir_time at) {
    choiri_timers_arm(&hot->session->timers, &hot->refill, at);
    choiri_session_wake(hot->session);
    return false;
}

bool choiri_conn_start(choiri_hot *hot, choir_time now) {
    choir_session *s = hot->session;
    if (CHOIRI_UNLIKELY(s->conns.orphans >= ORPHANS_MAX))
        return wait_until(hot, choiri_time_later(now, ORPHANS_WAIT));
    if (CHOIRI_UNLIKELY(!choiri_bucket_take(&hot->starts, now)))
        return wait_until(hot, choiri_bucket_ready_at(&hot->starts, now));
    if (CHOIRI_LIKELY(choiri_bucket_take(&s->starts, now))) return true;
    choiri_bucket_give(&hot->starts);
    return wait_until(hot, choiri_bucket_ready_at(&s->starts, now));
}

void choiri_conn_paid(choiri_hot *hot) {
    choiri_bucket_give(&hot->starts);
    choiri_bucket_give(&hot->session->starts);
}
