/* SPDX-License-Identifier: MIT */
/* Codecs: how messages, values, answers, schemas and handshakes are spelled on a link, as one constant table
 * for each.
 *
 * Role:   the prologue chooses a table, the session keeps it, and everything that is spelled goes through it.
 *         Nobody asks a codec for its name: what session and rpc must know of it is a member that says that
 *         one thing.
 * Speed:  the operations of every call have a function below, which calls postcard directly: an indirect call
 *         hides the callee from the optimiser. The others are called through the table.
 * Errors: encoders leave theirs in the writer, decoders say below what they answer.
 * docs/internals/codec.md says what a third codec has to supply. */
#ifndef CHOIRI_CODEC_H
#define CHOIRI_CODEC_H

#include "base/arena.h"
#include "choir/event.h"
#include "protocol/message.h"
#include "schema/plan.h"
#include "schema/tracker.h"
#include "value/value.h"

/* Numbers below this are CHOIR_CODEC_*. */
#define CHOIRI_CODECS 2u
/* What decode may take from its arena, whatever the codec: metadata of one message, and a block's head. */
#define CHOIRI_DECODE_ARENA_MAX (16384u + 64u)

/* Writes one CBOR value of ours: no tags, floats or simple values. */
typedef void choiri_cbor_fn(choiri_writer *w, const void *ctx);

typedef struct choiri_codec {
    uint32_t id;      /* CHOIR_CODEC_* */
    const char *name; /* for people */

    /* Spoken by vox peers: whoever answers in another way may be a newer one. */
    bool is_vox;
    /* Peers cannot read us without schemas: the handshake has that of Message, and every method's types are
     * announced. Else they are announced only to a peer that asks for it, by having a message_payload_schema
     * in its handshake. */
    bool needs_schemas;
    /* Values are positional: they are read by a plan, which needs the peer's schemas. Else values name their
     * fields, and schemas only tell the types of dynamic methods. */
    bool compares_layouts;
    /* Metadata of a decoded message lies in its payload, else in the arena that decode was given. */
    bool metadata_in_payload;
    /* In the handshake an enum's variant without members is its name, else {name: null}. */
    bool unit_is_name;

    /* ---- messages ---- */

    /* Decodes one payload. What the arena had is dropped; the message borrows from it and from the payload.
     * OK · ERR_TRUNCATED · ERR_MALFORMED · ERR_DEPTH: the session is over, *ret_msg undefined ·
     * ERR_NO_MEMORY. */
    int (*decode)(choir_bytes payload, choiri_arena *arena, choiri_message *ret_msg);
    /* Any message; metadata is `entries`, or msg->metadata when there are none. */
    void (*encode)(choiri_writer *w, const choiri_message *msg, const choir_metadata_entry *entries,
                   size_t count);
    /* A call or a response up to its value: encode it, fill the hole, write_schemas. `schemas` says that
     * there will be an announcement. operation_id: 0 is none, else it is the last entry of the metadata. */
    choiri_hole (*begin_call)(choiri_writer *w, uint64_t conn, uint64_t id, uint64_t method,
                              const choir_metadata_entry *entries, size_t count, uint64_t operation_id,
                              bool schemas);
    choiri_hole (*begin_response)(choiri_writer *w, uint64_t conn, uint64_t id,
                                  const choir_metadata_entry *entries, size_t count, bool schemas);
    void (*fill_hole)(choiri_writer *w, choiri_hole hole);

    /* ---- values: failures are those of choiri_value_encode and choiri_plan_decode, and ERR_LAYOUT ---- */

    void (*write_value)(choiri_writer *w, const choir_unit *u, uint32_t type, const void *value);
    /* `plan` and `which` are those of choiri_plan_decode; not looked at unless compares_layouts. */
    int (*read_value)(choiri_reader *r, const choiri_plan *plan, uint32_t which, const choir_unit *u,
                      uint32_t type, choiri_arena *arena, void *ret_value, choiri_text *ret_text);

    /* ---- answers: Result<T, VoxError<E>> up to its value, which follows for OK and USER_ERROR ---- */

    /* outcome: any but TIMED_OUT. text: of INVALID_PAYLOAD. */
    void (*begin_result)(choiri_writer *w, uint32_t outcome, choir_str text);
    /* false: *ret_why says what it is instead. *ret_text is written only when the answer has one. */
    bool (*read_result)(choiri_reader *r, uint32_t *ret_outcome, choir_str *ret_text, const char **ret_why);

    /* ---- schemas ---- */

    /* The end of a call, a response or a schema message: the announcement, or that there is none (NULL). */
    void (*write_schemas)(choiri_writer *w, const choiri_send_tracker *t, const choiri_schema_set *a);
    /* A Schema message up to write_schemas, which must have an announcement. */
    void (*begin_schema)(choiri_writer *w, uint64_t conn, uint64_t method, uint8_t direction);

    /* ---- what has one interpreter, which reads CBOR: handshakes and received schemas ---- */

    /* Writes what `write` makes, in this codec. */
    void (*write_cbor)(choiri_writer *w, choiri_cbor_fn *write, const void *ctx);
    /* Turns received bytes into CBOR. OK (choiri_codec_free_cbor gives it back) · ERR_MALFORMED (not one
     * value of this codec) · ERR_TOO_LARGE (it would have more than `max` bytes) · ERR_NO_MEMORY. */
    int (*to_cbor)(choir_env *env, choir_bytes bytes, size_t max, choir_bytes *ret_cbor);
} choiri_codec;

extern const choiri_codec choiri_codec_postcard, choiri_codec_msgpack;

/* The table of a CHOIR_CODEC_*; NULL when this build does not have it, or nobody does. */
const choiri_codec *choiri_codec_of(uint32_t codec);

/* `bytes` is what to_cbor was given. */
static inline void choiri_codec_free_cbor(choir_env *env, choir_bytes bytes, choir_bytes cbor) {
    if (cbor.data != bytes.data) choiri_free(env, (void *)(uintptr_t)cbor.data, cbor.len);
}

/* ---- the operations of every call ---- */

static inline bool choiri_codec_is_postcard(const choiri_codec *c) {
    return __builtin_expect(c == &choiri_codec_postcard, 1);
}

/* Calls and answers as nearly all are, without the cost of the others: false when it is for decode to look
 * at. */
static inline bool choiri_codec_read_plain(const choiri_codec *c, choir_bytes payload,
                                           choiri_message *ret_msg) {
    return choiri_codec_is_postcard(c) && choiri_message_read_plain(payload, ret_msg);
}

static inline choiri_hole choiri_codec_begin_call(const choiri_codec *c, choiri_writer *w, uint64_t conn,
                                                  uint64_t id, uint64_t method,
                                                  const choir_metadata_entry *entries, size_t count,
                                                  uint64_t operation_id, bool schemas) {
    if (choiri_codec_is_postcard(c))
        return choiri_message_begin_call(w, conn, id, method, entries, count, operation_id);
    return c->begin_call(w, conn, id, method, entries, count, operation_id, schemas);
}

static inline choiri_hole choiri_codec_begin_response(const choiri_codec *c, choiri_writer *w, uint64_t conn,
                                                      uint64_t id, const choir_metadata_entry *entries,
                                                      size_t count, bool schemas) {
    if (choiri_codec_is_postcard(c)) return choiri_message_begin_response(w, conn, id, entries, count);
    return c->begin_response(w, conn, id, entries, count, schemas);
}

static inline void choiri_codec_fill_hole(const choiri_codec *c, choiri_writer *w, choiri_hole hole) {
    if (choiri_codec_is_postcard(c))
        choiri_fill_hole(w, hole);
    else
        c->fill_hole(w, hole);
}

static inline void choiri_codec_write_value(const choiri_codec *c, choiri_writer *w, const choir_unit *u,
                                            uint32_t type, const void *value) {
    if (choiri_codec_is_postcard(c))
        choiri_value_encode(w, u, type, value);
    else
        c->write_value(w, u, type, value);
}

static inline int choiri_codec_read_value(const choiri_codec *c, choiri_reader *r, const choiri_plan *plan,
                                          uint32_t which, const choir_unit *u, uint32_t type,
                                          choiri_arena *arena, void *ret_value, choiri_text *ret_text) {
    if (choiri_codec_is_postcard(c))
        return choiri_plan_decode(plan, which, r, u, type, arena, ret_value, ret_text);
    return c->read_value(r, plan, which, u, type, arena, ret_value, ret_text);
}

static inline void choiri_codec_begin_result(const choiri_codec *c, choiri_writer *w, uint32_t outcome,
                                             choir_str text) {
    if (choiri_codec_is_postcard(c) && outcome == CHOIR_OUTCOME_OK)
        choiri_write_u8(w, 0);
    else
        c->begin_result(w, outcome, text);
}

static inline bool choiri_codec_read_result(const choiri_codec *c, choiri_reader *r, uint32_t *ret_outcome,
                                            choir_str *ret_text, const char **ret_why) {
    if (!choiri_codec_is_postcard(c) || r->pos == r->end || *r->pos != 0)
        return c->read_result(r, ret_outcome, ret_text, ret_why);
    r->pos++;
    *ret_outcome = CHOIR_OUTCOME_OK;
    return true;
}

static inline void choiri_codec_write_schemas(const choiri_codec *c, choiri_writer *w,
                                              const choiri_send_tracker *t, const choiri_schema_set *a) {
    if (choiri_codec_is_postcard(c) && !a)
        choiri_write_u8(w, 0);
    else
        c->write_schemas(w, t, a);
}

#endif
