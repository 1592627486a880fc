/* SPDX-License-Identifier: MIT */
#include "testing/accounting.h"

#include "base/pool.h"
#include "rpc/request.h"
#include "session/attachment.h"

#include <stdio.h>
#include <stdlib.h>

static void expect(uint64_t charged, uint64_t held, const char *what) {
    if (charged == held) return;
    fprintf(stderr, "%s: %llu bytes are charged, %llu are held\n", what, (unsigned long long)charged,
            (unsigned long long)held);
    abort();
}

/* Blocks as they were allocated, chunks whole, once for each run of segments of the same. */
static uint64_t held_by_queue(const choiri_outq *q) {
    uint64_t held = 0;
    for (const choiri_outq_seg *seg = q->head; seg; seg = seg->next) held += seg->held;
    return held;
}

static uint64_t held_by_request(const choiri_request *q) {
    uint64_t held = choiri_obj_size(CHOIRI_REQUEST_SIZE) + q->arena.used;
    if (q->chunk) held += choir_chunk_len(q->chunk);
    held += choiri_sealed_held(q);
    expect(q->charged, held, "a request");
    return held;
}

static uint64_t held_by_hot(const choiri_conn *c) {
    if (!c->hot) return 0;
    const choiri_rpc *r = choiri_rpc_of(c->hot);
    const choiri_egress *e = &c->hot->egress;
    uint64_t held = choiri_obj_size(c->profile->driver->hot_size) + held_by_queue(&e->queue);
    if (c->profile->driver == &choiri_rpc_driver)
        for (const choiri_dlist *n = r->requests.live.next; n != &r->requests.live; n = n->next)
            held += held_by_request(CHOIRI_CONTAINER(n, choiri_request, live));
    expect(c->hot->charged, held, "a connection's hot part");
    return held;
}

static uint64_t held_by_bindings(const choiri_bindings *b, const choiri_prepared *service, uint64_t *plans) {
    uint64_t texts = 0;
    for (uint32_t i = 0; i < b->len; i++) {
        const choiri_binding *binding = b->list[i];
        texts += binding->text.len + sizeof *binding;
        if (binding->plan) *plans += choiri_plan_size(binding->plan);
        if (binding->types) *plans += binding->types->arena.used + sizeof *binding->types;
    }
    return texts + b->cap * sizeof *b->list + (b->index ? service->methods_len * sizeof *b->index : 0);
}

/* What the schemas that connections share hold, and how many users they have. */
typedef struct shared {
    uint64_t held, users, expected;
} shared;

static void add_schemas(void *ctx, uint64_t hash, void *value) {
    shared *sum = ctx;
    for (const choiri_stored_schema *s = value; s; s = s->next) {
        if (s->hash != hash || s->users == 0) abort();
        sum->held += choiri_stored_schema_held(s);
        sum->users += s->users;
    }
}

static void add_users(const choiri_conn *c, shared *sum) {
    const choiri_lasting *l = c->lasting;
    if (choiri_conn_get_state(c) == CHOIRI_CONN_FREE || !l || c->profile->driver != &choiri_rpc_driver)
        return;
    sum->expected += l->received.schemas.count;
}

static uint64_t held_by_schemas(const choir_session *s) {
    shared sum = {0, 0, 0};
    if (!s->schemas) return 0;
    choiri_map_each(&s->schemas->by_hash, add_schemas, &sum);
    add_users(&s->conns.root, &sum);
    for (uint32_t i = 0; i < s->conns.pages_len; i++)
        for (uint32_t k = 0; k < 64; k++) add_users(&s->conns.pages[i][k], &sum);
    expect(sum.users, sum.expected, "users of schemas");
    sum.held += sizeof *s->schemas + choiri_map_held(&s->schemas->by_hash);
    expect(s->schemas->charged, sum.held, "schemas that connections share");
    return sum.held;
}

/* The part that a peer determines follows each announcement; bindings that we make in between are charged
 * with the next. */
static uint64_t held_by_lasting(const choiri_conn *c) {
    const choiri_lasting *l = c->lasting;
    if (!l || c->profile->driver != &choiri_rpc_driver) return 0;
    uint64_t plans = 0, schemas = choiri_map_held(&l->received.schemas), bindings;
    bindings = held_by_bindings(&l->served, c->profile->serve, &plans) +
               held_by_bindings(&l->called, c->profile->call, &plans);
    expect(l->plan_bytes, plans, "plans");
    expect(choiri_recv_tracker_held(&l->received), schemas, "schemas");
    uint64_t held = sizeof *l + schemas + plans + bindings;
    expect(l->charged, held, "what a connection knows of types");
    return held;
}

static uint64_t held_by_conn(const choiri_conn *c) {
    if (choiri_conn_get_state(c) == CHOIRI_CONN_FREE) return 0;
    return held_by_hot(c) + held_by_lasting(c) + (c->node.state & CHOIRI_CONN_THEIRS ? sizeof *c : 0);
}

void test_check_charges(choir_session *s) {
    uint64_t held = held_by_conn(&s->conns.root) + held_by_schemas(s);
    for (uint32_t i = 0; i < s->conns.pages_len; i++)
        for (uint32_t k = 0; k < 64; k++) held += held_by_conn(&s->conns.pages[i][k]);
    expect(s->charged, held, "a session");
    const choir_attachment *a = s->attachment;
    if (!a) return;
    expect(a->out.held, held_by_queue(&a->out), "a link's queue");
    held += a->out.held + (a->framer.partial ? choir_chunk_len(a->framer.partial) : 0);
    expect(choiri_session_held(s), held, "a session and its link");
}
