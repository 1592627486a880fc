/* SPDX-License-Identifier: MIT */
/* Schema trackers, one pair per connection: what was announced to the peer, and what the peer has announced.
 * rule: schema.delivery (docs/protocol/schemas.md). They know no session. */
#ifndef CHOIRI_TRACKER_H
#define CHOIRI_TRACKER_H

#include "base/map.h"
#include "base/text.h"
#include "schema/schema_store.h"
#include "schema/service.h"
#include "wire/writer.h"

/* --- what was sent: each type id at most once per connection, whatever the method or direction --- */
typedef struct choiri_send_tracker {
    choiri_map sent; /* type id -> non-NULL */
} choiri_send_tracker;

void choiri_send_tracker_init(choiri_send_tracker *t, choir_env *env, const uint64_t seed[2]);
void choiri_send_tracker_deinit(choiri_send_tracker *t);
/* Writes the SchemaPayload as `schemas` bytes (varint length + CBOR): the parts not sent yet, and the root.
 * Failures stick in the writer. Changes nothing here. */
void choiri_send_tracker_write(const choiri_send_tracker *t, const choiri_schema_set *a, choiri_writer *w);
/* The same SchemaPayload as one msgpack value. */
void choiri_send_tracker_write_msgpack(const choiri_send_tracker *t, const choiri_schema_set *a,
                                       choiri_writer *w);
/* After the message is safely queued: remembers the parts as sent. OK or ERR_NO_MEMORY: call
 * choiri_send_tracker_reserve before queueing, then this cannot fail. */
int choiri_send_tracker_reserve(choiri_send_tracker *t, const choiri_schema_set *a);
void choiri_send_tracker_commit(choiri_send_tracker *t, const choiri_schema_set *a);

/* --- what was received --- */
#define CHOIRI_SCHEMA_MAX_TYPES 4096u /* per connection: reliability case A38 */
#define CHOIRI_SCHEMA_MAX_BYTES (1u << 20)
/* One payload is larger than what is kept of it (the envelope, members that we do not know), but not by
 * much. */
#define CHOIRI_SCHEMA_MAX_PAYLOAD (CHOIRI_SCHEMA_MAX_BYTES + 65536u)
#define CHOIRI_SCHEMA_MAX_STEPS   20000u /* of one plan: keeps a hostile pair well under 10 ms */

typedef struct choiri_recv_tracker {
    choir_env *env;
    choiri_schema_store *store; /* NULL: its schemas are its own */
    choiri_map schemas;         /* type id -> choiri_stored_schema */
    size_t bytes;               /* of their CBOR, as if they were its own: for the limit */
} choiri_recv_tracker;

/* store: what it shares with other trackers of the same env, and outlives it; NULL: nothing. */
void choiri_recv_tracker_init(choiri_recv_tracker *t, choir_env *env, const uint64_t seed[2],
                              choiri_schema_store *store);
void choiri_recv_tracker_deinit(choiri_recv_tracker *t);
/* Takes one CBOR SchemaPayload: checks every schema, keeps those not known, tolerates an exact
 * repeat, and hands out the root TypeRef (borrowed from cbor). Atomic: after a failure nothing was stored.
 * OK · ERR_MALFORMED (bad CBOR or schema) · ERR_PROTOCOL (an id again with another body) · ERR_TOO_LARGE
 * (limits above) · ERR_NO_MEMORY; ret_text says what. Unknown keys are skipped, root may precede schemas,
 * `tag` must be the first key of an internally tagged map, type_params and args may be left out. */
int choiri_recv_tracker_add(choiri_recv_tracker *t, choir_bytes cbor, choir_bytes *ret_root,
                            choiri_text *ret_text);

/* Memory that it holds besides the schemas, for accounts. */
static inline size_t choiri_recv_tracker_held(const choiri_recv_tracker *t) {
    return choiri_map_held(&t->schemas);
}

/* For the handshake: is this list of schemas (a CBOR array, last one `Message`) the 0.4.0 layout? An empty
 * list is. OK · ERR_LAYOUT · ERR_MALFORMED · ERR_TOO_LARGE · ERR_NO_MEMORY. */
int choiri_message_schema_match(choir_env *env, choir_bytes list, choiri_text *ret_text);

/* The constant list every 0.4.0 peer sends: 7123 bytes of CBOR. */
extern const uint8_t choiri_message_schema[];
extern const size_t choiri_message_schema_len;

#endif
