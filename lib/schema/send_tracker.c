/* SPDX-License-Identifier: MIT */
/* What was announced on one connection. rule: schema.delivery
 *
 * A message is written first and counts as sent only when it is safely queued, and that step must not fail.
 * So ids are reserved before: they take their place in the map, marked as not sent yet. An id that stays
 * reserved because its message was rolled back costs a map entry and nothing else.
 */
#include "schema/tracker.h"

#include "base/assert.h"
#include "wire/cbor.h"
#include "wire/msgpack.h"

/* The two values of the map. */
#define RESERVED ((void *)(uintptr_t)1)
#define SENT     ((void *)(uintptr_t)2)

void choiri_send_tracker_init(choiri_send_tracker *t, choir_env *env, const uint64_t seed[2]) {
    choiri_map_init(&t->sent, env, seed);
}

void choiri_send_tracker_deinit(choiri_send_tracker *t) {
    choiri_map_deinit(&t->sent);
}

static bool is_sent(const choiri_send_tracker *t, uint64_t id) {
    return choiri_map_get(&t->sent, id) == SENT;
}

static size_t head_size(size_t count) {
    return count < 24 ? 1 : count < 256 ? 2 : count < 65536 ? 3 : 5;
}

void choiri_send_tracker_write(const choiri_send_tracker *t, const choiri_schema_set *a, choiri_writer *w) {
    size_t count = 0, bytes = 0;
    for (uint32_t i = 0; i < a->parts_len; i++) {
        if (is_sent(t, a->parts[i].id)) continue;
        count++;
        bytes += a->parts[i].cbor.len;
    }
    const size_t names = 1 + (1 + strlen("schemas")) + (1 + strlen("root")); /* the map's head and keys */
    choiri_write_varint(w, names + head_size(count) + bytes + a->root.len);
    choiri_cbor_write_map(w, 2);
    choiri_cbor_write_key(w, "schemas");
    choiri_cbor_write_array(w, count);
    for (uint32_t i = 0; i < a->parts_len; i++) {
        const choiri_schema_part *part = &a->parts[i];
        if (!is_sent(t, part->id)) choiri_write_raw(w, part->cbor.data, part->cbor.len);
    }
    choiri_cbor_write_key(w, "root");
    choiri_write_raw(w, a->root.data, a->root.len);
}

static void write_translated(choiri_writer *w, choir_bytes cbor) {
    choiri_reader r = choiri_reader_of(cbor);
    choiri_msgpack_write_cbor(w, &r);
}

void choiri_send_tracker_write_msgpack(const choiri_send_tracker *t, const choiri_schema_set *a,
                                       choiri_writer *w) {
    size_t count = 0;
    for (uint32_t i = 0; i < a->parts_len; i++) count += !is_sent(t, a->parts[i].id);
    choiri_msgpack_write_map(w, 2);
    choiri_msgpack_write_key(w, "schemas");
    choiri_msgpack_write_array(w, count);
    for (uint32_t i = 0; i < a->parts_len; i++)
        if (!is_sent(t, a->parts[i].id)) write_translated(w, a->parts[i].cbor);
    choiri_msgpack_write_key(w, "root");
    write_translated(w, a->root);
}

int choiri_send_tracker_reserve(choiri_send_tracker *t, const choiri_schema_set *a) {
    for (uint32_t i = 0; i < a->parts_len; i++) {
        if (choiri_map_get(&t->sent, a->parts[i].id)) continue;
        int status = choiri_map_put(&t->sent, a->parts[i].id, RESERVED);
        if (status != CHOIR_OK) return status;
    }
    return CHOIR_OK;
}

void choiri_send_tracker_commit(choiri_send_tracker *t, const choiri_schema_set *a) {
    for (uint32_t i = 0; i < a->parts_len; i++) {
        if (is_sent(t, a->parts[i].id)) continue;
        /* Removing made room, so putting cannot fail. */
        CHOIRI_ASSERT(choiri_map_remove(&t->sent, a->parts[i].id) == RESERVED);
        int status = choiri_map_put(&t->sent, a->parts[i].id, SENT);
        CHOIRI_ASSERT(status == CHOIR_OK);
    }
}
