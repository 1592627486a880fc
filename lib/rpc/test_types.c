/* SPDX-License-Identifier: MIT */
/* What the peer announced, on two connections of one session: the session under test opens the second one,
 * since nobody is offered connections yet. */
#include "testing/inside.h"
#include "testing/peer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Opens a virtual connection with the root's profile; the peer accepts it. */
static choiri_conn *open_second(test_peer *p) {
    choir_session *s = p->session;
    choiri_conn_init init = {.like = *s->conns.root.profile, .parity = CHOIRI_PARITY_EVEN};
    choiri_conn *c = NULL;
    cr_assert_eq(choiri_conn_open(s, &init, &c, p->now), CHOIR_OK);
    test_peer_skip(p);
    choiri_message accept = {
        .conn = c->wire_id, .kind = CHOIRI_MSG_CONNECTION_ACCEPT, .settings = {CHOIRI_PARITY_ODD, 64}};
    cr_assert_eq(test_peer_message(p, &accept), CHOIR_OK);
    cr_assert_eq(choiri_conn_get_state(c), CHOIRI_CONN_OPEN);
    return c;
}

static void open_peer(test_peer *p) {
    test_peer_init(p);
    test_peer_open(p, TEST_STAGE_OPEN);
    p->events.quiet = true;
}

static int tell(test_peer *p, uint64_t conn, choir_bytes schemas) {
    choiri_message m = {.conn = conn,
                        .kind = CHOIRI_MSG_SCHEMA,
                        .method = trial_service.methods[TRIAL_MEASURE].id,
                        .schemas = schemas};
    int status = test_peer_message(p, &m);
    if (!choir_session_is_closed(p->session)) test_check_charges(p->session);
    return status;
}

static const choiri_recv_tracker *known_on(const choiri_conn *c) {
    return &((const choiri_lasting *)c->lasting)->received;
}

static void close_peer(test_peer *p) {
    cr_assert_eq(test_peer_deinit(p), 0);
}

Test(types, two_connections_hold_equal_types_once) {
    test_peer p;
    open_peer(&p);
    choiri_conn *second = open_second(&p);
    choir_bytes schemas = test_peer_schemas(&p, TRIAL_MEASURE, false);
    cr_assert_eq(tell(&p, 0, schemas), CHOIR_OK);
    choir_session *s = p.session;
    size_t held = choiri_schema_store_held(s->schemas), types = known_on(&s->conns.root)->schemas.count;
    cr_assert_gt(types, 1);
    uint64_t charged = s->charged;
    cr_assert_eq(tell(&p, second->wire_id, schemas), CHOIR_OK);
    cr_assert_eq(known_on(second)->schemas.count, types);
    cr_assert_eq(known_on(second)->bytes, known_on(&s->conns.root)->bytes);
    cr_assert_eq(choiri_schema_store_held(s->schemas), held);
    printf("%zu types: %zu bytes for the first connection, of which the second shares %zu\n", types,
           (size_t)charged, s->schemas->bytes);
    /* One goes: the other one still has them. */
    choiri_conn_close(s, second, CHOIR_ERR_SHUTDOWN, CHOIR_STR(""), p.now);
    test_peer_poll(&p);
    test_check_charges(s);
    cr_assert_eq(s->schemas->trackers, 1);
    cr_assert_eq(choiri_schema_store_held(s->schemas), held);
    close_peer(&p);
}

/* The same id, with bytes of another type, on another connection. */
Test(types, equal_ids_with_other_bytes_are_two_types) {
    test_peer p;
    open_peer(&p);
    choiri_conn *second = open_second(&p);
    uint8_t other[4096];
    choir_bytes schemas = test_peer_schemas(&p, TRIAL_LATER, false); /* (u32) */
    cr_assert_eq(tell(&p, 0, schemas), CHOIR_OK);
    cr_assert_leq(schemas.len, sizeof other);
    memcpy(other, schemas.data, schemas.len);
    uint8_t *primitive = (uint8_t *)(uintptr_t)test_find(other, schemas.len, "u32");
    cr_assert_not_null(primitive);
    primitive[0] = 'i';
    size_t before = p.session->schemas->by_hash.count;
    cr_assert_eq(tell(&p, second->wire_id, (choir_bytes){other, schemas.len}), CHOIR_OK);
    cr_assert_eq(p.session->schemas->by_hash.count, before + 1, "the tuple is the same, the number is not");
    cr_assert_eq(known_on(second)->schemas.count, known_on(&p.session->conns.root)->schemas.count);
    /* On one connection it is a lie. */
    cr_assert_eq(tell(&p, 0, (choir_bytes){other, schemas.len}), CHOIR_ERR_PROTOCOL);
    close_peer(&p);
}

/* Without memory the connection that announced is gone, or its session; the other one's types are as they
 * were. */
Test(types, failing_allocations) {
    uint64_t n = 0, failed;
    do {
        test_peer p;
        open_peer(&p);
        choiri_conn *second = open_second(&p);
        choir_bytes schemas = test_peer_schemas(&p, TRIAL_MEASURE, false);
        cr_assert_eq(tell(&p, 0, schemas), CHOIR_OK);
        uint32_t types = known_on(&p.session->conns.root)->schemas.count;
        choiri_message m = {.conn = second->wire_id,
                            .kind = CHOIRI_MSG_SCHEMA,
                            .method = trial_service.methods[TRIAL_MEASURE].id,
                            .schemas = schemas};
        p.alloc.fail_at = p.alloc.calls + ++n;
        test_peer_message(&p, &m);
        failed = p.alloc.failed;
        p.alloc.fail_at = 0;
        if (!choir_session_is_closed(p.session)) {
            cr_assert_eq(known_on(&p.session->conns.root)->schemas.count, types);
            test_check_charges(p.session);
        }
        close_peer(&p);
    } while (failed > 0);
    cr_assert_gt(n, 3);
}

/* Types are the peer's doing, so the quota bounds them over all connections: shared ones once. */
Test(types, the_quota_counts_shared_types_once) {
    test_peer p;
    test_peer_init(&p);
    p.options.memory_quota = 16384;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.events.quiet = true;
    choir_bytes schemas = test_peer_schemas(&p, TRIAL_MEASURE, false);
    choiri_conn *conns[64];
    int opened = 0, told = 0;
    for (; opened < 64; opened++) conns[opened] = open_second(&p);
    size_t alone = 0;
    for (; told < opened; told++) {
        uint64_t before = p.session->charged;
        if (tell(&p, conns[told]->wire_id, schemas) != CHOIR_OK) break;
        if (choiri_conn_get_state(conns[told]) != CHOIRI_CONN_OPEN) break;
        if (told == 0) alone = (size_t)(p.session->charged - before);
    }
    cr_assert(told > 1 && told < opened, "%d", told);
    cr_assert_gt((size_t)told * alone, 16384, "more than would fit with a copy for each");
    cr_assert_leq(choiri_session_held(p.session), 16384 + 4096);
    close_peer(&p);
}
