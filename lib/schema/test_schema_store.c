/* SPDX-License-Identifier: MIT */
/* Two trackers that share a store: what is announced on two connections of a session. */
#include "schema/recv_tracker.h"
#include "schema/schema_store.h"
#include "schema/test_schema.h"

typedef struct shared {
    schema_env s;
    choiri_schema_store *store;
    choiri_recv_tracker t[2];
    choiri_text text;
} shared;

static void open_shared(shared *x) {
    schema_env_open(&x->s);
    x->store = choiri_schema_store_new(x->s.env, test_seed);
    cr_assert_not_null(x->store);
    for (int i = 0; i < 2; i++) choiri_recv_tracker_init(&x->t[i], x->s.env, test_seed, x->store);
}

/* The store holds nothing once the last user is gone. */
static void close_shared(shared *x) {
    for (int i = 0; i < 2; i++) choiri_recv_tracker_deinit(&x->t[i]);
    cr_assert(x->store->trackers == 0 && x->store->bytes == 0);
    choiri_schema_store_free(x->store);
    schema_env_close(&x->s);
}

/* Schemas with the ids first, first + 1, ... of one primitive. */
static test_bytes schemas_of(uint64_t first, size_t count, const char *type) {
    test_cbor_text c = {0};
    for (uint64_t id = first; id < first + count; id++) {
        char text[200];
        snprintf(text, sizeof text, "{id: %llu, kind: {tag: primitive, primitive_type: %s}}",
                 (unsigned long long)id, type);
        test_put_item(&c, text);
    }
    return (test_bytes){c.data, c.len};
}

static int announce(shared *x, int tracker, uint64_t first, size_t count, const char *type) {
    test_bytes b = schemas_of(first, count, type);
    choiri_text_init(&x->text);
    int status = choiri_recv_tracker_add_all(&x->t[tracker], test_span(b), count, NULL, &x->text);
    free(b.data);
    return status;
}

Test(schema_store, equal_bytes_cost_once) {
    shared x;
    open_shared(&x);
    cr_assert_eq(announce(&x, 0, 1, 100, "u8"), CHOIR_OK);
    size_t held = choiri_schema_store_held(x.store);
    uint64_t bytes = x.s.alloc.bytes;
    cr_assert_eq(announce(&x, 1, 1, 100, "u8"), CHOIR_OK);
    cr_assert_eq(choiri_schema_store_held(x.store), held);
    cr_assert_leq(x.s.alloc.bytes - bytes, choiri_recv_tracker_held(&x.t[1]), "only the table of ids");
    cr_assert_eq(x.t[0].bytes, x.t[1].bytes, "each counts all of it against its limit");
    for (uint64_t id = 1; id <= 100; id++)
        cr_assert_eq(choiri_recv_tracker_find(&x.t[0], id).data, choiri_recv_tracker_find(&x.t[1], id).data);
    /* It stays for as long as one of them has it. */
    choiri_recv_tracker_deinit(&x.t[0]);
    cr_assert_eq(choiri_schema_store_held(x.store), held);
    cr_assert_not_null(choiri_recv_tracker_find(&x.t[1], 100).data);
    choiri_recv_tracker_init(&x.t[0], x.s.env, test_seed, x.store);
    close_shared(&x);
}

/* An id is what its connection says: the same one, with other bytes, is another schema elsewhere. */
Test(schema_store, equal_ids_with_other_bytes_are_told_apart) {
    shared x;
    open_shared(&x);
    cr_assert_eq(announce(&x, 0, 1, 3, "u8"), CHOIR_OK);
    cr_assert_eq(announce(&x, 1, 1, 3, "u16"), CHOIR_OK);
    choir_bytes a = choiri_recv_tracker_find(&x.t[0], 2), b = choiri_recv_tracker_find(&x.t[1], 2);
    cr_assert(a.len != b.len && x.store->by_hash.count == 6);
    cr_assert_eq(announce(&x, 0, 2, 1, "u16"), CHOIR_ERR_PROTOCOL, "on one connection an id has one body");
    cr_assert_eq(x.store->by_hash.count, 6);
    close_shared(&x);
}

/* Schemas whose hashes meet. No peer can make them without the seed, so the bytes of one that is there are
 * changed behind the store's back. */
Test(schema_store, equal_hashes_are_told_apart) {
    for (int order = 0; order < 6; order++) {
        static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        shared x;
        open_shared(&x);
        static const uint8_t text[] = "a schema";
        const choir_bytes cbor = {text, sizeof text};
        choiri_stored_schema *s[3];
        for (int i = 0; i < 3; i++) {
            s[i] = choiri_stored_schema_get(x.store, x.s.env, cbor);
            cr_assert_eq(s[i]->users, 1);
            s[i]->cbor[0] = (uint8_t)i;
        }
        cr_assert_eq(x.store->by_hash.count, 1);
        s[1]->cbor[0] = 'a';
        cr_assert_eq(choiri_stored_schema_get(x.store, x.s.env, cbor), s[1]);
        choiri_stored_schema_release(x.store, x.s.env, s[1]);
        for (int i = 0; i < 3; i++) choiri_stored_schema_release(x.store, x.s.env, s[orders[order][i]]);
        cr_assert_eq(x.store->by_hash.count, 0);
        close_shared(&x);
    }
}

/* Limits are each connection's own, however much is shared. */
Test(schema_store, limits_at_n_and_one_more) {
    shared x;
    open_shared(&x);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(announce(&x, i, 1, CHOIRI_SCHEMA_MAX_TYPES, "u8"), CHOIR_OK);
        size_t held = choiri_schema_store_held(x.store);
        cr_assert_eq(announce(&x, i, CHOIRI_SCHEMA_MAX_TYPES + 1, 1, "u8"), CHOIR_ERR_TOO_LARGE);
        cr_assert_eq(choiri_schema_store_held(x.store), held);
    }
    cr_assert_eq(x.store->by_hash.count, CHOIRI_SCHEMA_MAX_TYPES);
    close_shared(&x);
}

/* All or nothing, also of what another one has already. */
Test(schema_store, a_payload_that_fails_leaves_nothing) {
    shared x;
    open_shared(&x);
    cr_assert_eq(announce(&x, 0, 1, 10, "u8"), CHOIR_OK);
    cr_assert_eq(announce(&x, 1, 20, 1, "u8"), CHOIR_OK);
    size_t held = choiri_schema_store_held(x.store);
    uint32_t count = x.store->by_hash.count;
    cr_assert_eq(announce(&x, 1, 5, 16, "u16"), CHOIR_ERR_PROTOCOL, "the last of them is known, otherwise");
    cr_assert_eq(x.t[1].schemas.count, 1);
    cr_assert_eq(x.store->by_hash.count, count);
    cr_assert_geq(choiri_schema_store_held(x.store), held, "the table may have grown");
    close_shared(&x);
}

Test(schema_store, failing_allocations) {
    uint64_t n = 0, failed;
    do {
        shared x;
        open_shared(&x);
        cr_assert_eq(announce(&x, 0, 1, 70, "u8"), CHOIR_OK);
        size_t bytes = x.store->bytes;
        x.s.alloc.fail_at = x.s.alloc.calls + ++n;
        int status = announce(&x, 1, 50, 150, "u8");
        failed = x.s.alloc.failed;
        x.s.alloc.fail_at = 0;
        cr_assert_eq(status, failed ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        cr_assert_eq(x.t[1].schemas.count, failed ? 0 : 150);
        if (failed) cr_assert_eq(x.store->bytes, bytes);
        cr_assert_eq(announce(&x, 1, 50, 150, "u8"), CHOIR_OK);
        close_shared(&x);
    } while (failed > 0);
    cr_assert_gt(n, 100, "one for each schema at least");
    for (n = 1;; n++) {
        schema_env s;
        schema_env_open(&s);
        s.alloc.fail_at = s.alloc.calls + n;
        choiri_schema_store *store = choiri_schema_store_new(s.env, test_seed);
        s.alloc.fail_at = 0;
        if (store) choiri_schema_store_free(store);
        schema_env_close(&s);
        if (store) break;
    }
    cr_assert_gt(n, 1);
}
