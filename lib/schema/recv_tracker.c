/* SPDX-License-Identifier: MIT */
/* What the peer has announced on one connection. rule: schema.delivery, limit.schema
 *
 * Schemas are kept as the bytes they came in, checked once: a parsed form would need memory in proportion to
 * what a peer can think of, and they are looked at only when a method is used for the first time. Ids are the
 * peer's word; they name entries of this connection's table and nothing else. The bytes are shared with other
 * connections of the session (schema_store.h), and count against the limits of each.
 * Payloads are all or nothing: the ids that one has added are remembered until the whole payload was seen to
 * be good.
 */
#include "schema/recv_tracker.h"

#include "base/assert.h"

#define ADDED_FIRST 64u

/* The ids that a payload has added so far. */
typedef struct added {
    uint64_t *ids;
    uint32_t len, cap;
} added;

void choiri_recv_tracker_init(choiri_recv_tracker *t, choir_env *env, const uint64_t seed[2],
                              choiri_schema_store *store) {
    *t = (choiri_recv_tracker){.env = env, .store = store};
    if (store) store->trackers++;
    choiri_map_init(&t->schemas, env, seed);
}

static void release_entry(void *ctx, uint64_t key, void *value) {
    const choiri_recv_tracker *t = ctx;
    (void)key;
    choiri_stored_schema_release(t->store, t->env, value);
}

void choiri_recv_tracker_deinit(choiri_recv_tracker *t) {
    choiri_map_each(&t->schemas, release_entry, t);
    choiri_map_deinit(&t->schemas);
    t->bytes = 0;
    if (t->store) t->store->trackers--;
    t->store = NULL;
}

choir_bytes choiri_recv_tracker_find(const choiri_recv_tracker *t, uint64_t id) {
    const choiri_stored_schema *s = choiri_map_get(&t->schemas, id);
    return s ? (choir_bytes){s->cbor, s->len} : (choir_bytes){NULL, 0};
}

static bool make_room(choir_env *env, added *a) {
    if (a->len < a->cap) return true;
    uint32_t cap = a->cap == 0 ? ADDED_FIRST : a->cap * 2;
    uint64_t *ids = choiri_realloc(env, a->ids, a->cap * sizeof *ids, cap * sizeof *ids);
    if (!ids) return false;
    a->ids = ids;
    a->cap = cap;
    return true;
}

static int keep(choiri_recv_tracker *t, uint64_t id, choir_bytes cbor, added *a, choiri_text *text) {
    choir_bytes have = choiri_recv_tracker_find(t, id);
    if (have.data) {
        if (choiri_wire_equal(have, cbor)) return CHOIR_OK;
        choiri_text_add(choiri_text_hex(choiri_text_add(text, "type "), id),
                        " was announced before with another body");
        return CHOIR_ERR_PROTOCOL;
    }
    if (t->schemas.count == CHOIRI_SCHEMA_MAX_TYPES || cbor.len > CHOIRI_SCHEMA_MAX_BYTES - t->bytes) {
        choiri_text_add(text, "the peer announced more types than a connection may hold");
        return CHOIR_ERR_TOO_LARGE;
    }
    if (!make_room(t->env, a)) return CHOIR_ERR_NO_MEMORY;
    choiri_stored_schema *s = choiri_stored_schema_get(t->store, t->env, cbor);
    if (!s) return CHOIR_ERR_NO_MEMORY;
    int status = choiri_map_put(&t->schemas, id, s);
    if (status != CHOIR_OK) {
        choiri_stored_schema_release(t->store, t->env, s);
        return status;
    }
    t->bytes += cbor.len;
    a->ids[a->len++] = id;
    return CHOIR_OK;
}

static void take_back(choiri_recv_tracker *t, const added *a) {
    for (uint32_t i = 0; i < a->len; i++) {
        choiri_stored_schema *s = choiri_map_remove(&t->schemas, a->ids[i]);
        CHOIRI_ASSERT(s);
        t->bytes -= s->len;
        choiri_stored_schema_release(t->store, t->env, s);
    }
}

/* Says what was wrong with CBOR that starts at `start`. Whatever it was, the input is malformed. */
static int bad_cbor(const choiri_wire_reader *w, const uint8_t *start, choiri_text *text) {
    const char *why = w->why                               ? w->why
                      : w->r.status == CHOIR_ERR_TRUNCATED ? "the bytes end too early"
                      : w->r.status == CHOIR_ERR_DEPTH     ? "nested more than 64 deep"
                                                           : "not the CBOR that must be here";
    choiri_text_u64(choiri_text_add(text, "malformed at byte "), (uint64_t)(w->r.pos - start));
    choiri_text_add(choiri_text_add(text, ": "), why);
    return CHOIR_ERR_MALFORMED;
}

int choiri_recv_tracker_add_all(choiri_recv_tracker *t, choir_bytes schemas, size_t count, uint64_t *ret_last,
                                choiri_text *text) {
    choiri_wire_reader w = choiri_wire_reader_of(schemas);
    added a = {NULL, 0, 0};
    uint64_t last = 0;
    int status = CHOIR_OK;
    for (size_t i = 0; i < count && status == CHOIR_OK; i++) {
        choiri_wire_object schema;
        const uint8_t *start = w.r.pos;
        if (!choiri_wire_read_schema(&w, &schema)) {
            status = bad_cbor(&w, schemas.data, text);
            break;
        }
        last = schema.members[0].number;
        status = keep(t, last, (choir_bytes){start, (size_t)(w.r.pos - start)}, &a, text);
    }
    if (status != CHOIR_OK) take_back(t, &a);
    choiri_free(t->env, a.ids, a.cap * sizeof *a.ids);
    if (status == CHOIR_OK && ret_last) *ret_last = last;
    return status;
}

int choiri_recv_tracker_add(choiri_recv_tracker *t, choir_bytes cbor, choir_bytes *ret_root,
                            choiri_text *ret_text) {
    choiri_wire_reader w = choiri_wire_reader_of(cbor);
    choiri_wire_object payload;
    choiri_text_init(ret_text);
    if (cbor.len > CHOIRI_SCHEMA_MAX_PAYLOAD) {
        choiri_text_add(ret_text, "the peer announced more types than a connection may hold");
        return CHOIR_ERR_TOO_LARGE;
    }
    if (!choiri_wire_read_payload(&w, &payload)) return bad_cbor(&w, cbor.data, ret_text);
    const choiri_wire_member *schemas = &payload.members[0];
    int status = choiri_recv_tracker_add_all(t, schemas->span, (size_t)schemas->number, NULL, ret_text);
    if (status == CHOIR_OK) *ret_root = payload.members[1].span;
    return status;
}
