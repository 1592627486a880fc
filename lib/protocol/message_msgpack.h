/* SPDX-License-Identifier: MIT */
/* The `Message` codec of msgpack mode: the same messages as protocol/message.h, as maps by name. What is
 * opaque to the session (arguments, results, items, schemas) is a bin that holds msgpack of its own: it keeps
 * its own nesting limit, and what is wrong in it is the call's affair and not the session's. rule:
 * msgpack.message (docs/protocol/msgpack.md) */
#ifndef CHOIRI_MESSAGE_MSGPACK_H
#define CHOIRI_MESSAGE_MSGPACK_H

#include "base/arena.h"
#include "protocol/message.h"

/* Metadata of one message: more entries, or more bytes, are not kept. A call with more is still decoded, so
 * that it can be refused by itself: its metadata then has the true count, or a length over the limit, and
 * must not be walked. */
#define CHOIRI_MSGPACK_ENTRIES  64u
#define CHOIRI_MSGPACK_METADATA 16384u

/* Decodes one payload. Metadata is turned into postcard form, in `arena` (limit: CHOIRI_MSGPACK_METADATA and
 * a block's head), everything else borrows from the payload.
 * OK · ERR_TRUNCATED · ERR_MALFORMED · ERR_DEPTH: the session is over · ERR_NO_MEMORY. */
int choiri_msgpack_message_decode(choir_bytes payload, choiri_arena *arena, choiri_message *ret_msg);

/* Encodes any message. Metadata is `entries`, or when there are none msg->metadata: a received list or one
 * that was staged. */
void choiri_msgpack_message_encode(choiri_writer *w, const choiri_message *msg,
                                   const choir_metadata_entry *entries, size_t count);

/* Hot paths: everything up to the value, whose hole is filled with choiri_msgpack_fill_hole. `schemas` says
 * that the member of that name follows: a key and a bin, for the caller to write. */
choiri_hole choiri_msgpack_begin_call(choiri_writer *w, uint64_t conn, uint64_t id, uint64_t method,
                                      const choir_metadata_entry *entries, size_t count,
                                      uint64_t operation_id, bool schemas);
choiri_hole choiri_msgpack_begin_response(choiri_writer *w, uint64_t conn, uint64_t id,
                                          const choir_metadata_entry *entries, size_t count, bool schemas);
/* A Schema message up to the member `schemas`. */
void choiri_msgpack_begin_schema(choiri_writer *w, uint64_t conn, uint64_t method, uint8_t direction);

#endif
