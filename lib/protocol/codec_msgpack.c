/* SPDX-License-Identifier: MIT */
/* Msgpack: everything by name, so that peers need no schemas. rule: rpc.vox-error, msgpack.*
 *
 * Messages and values are in message_msgpack.c and value/msgpack_*.c. An answer is {"Ok": value},
 * {"Err": {"User": error}}, {"Err": "UnknownMethod"}, ... Handshakes and schemas are read and written as CBOR
 * and translated on the way. */
#include "base/assert.h"
#include "choir/session.h"
#include "protocol/codec.h"
#include "protocol/message_msgpack.h"
#include "value/msgpack.h"

_Static_assert(CHOIRI_MSGPACK_METADATA < CHOIRI_DECODE_ARENA_MAX, "metadata fits the arena");

static int decode(choir_bytes payload, choiri_arena *arena, choiri_message *ret_msg) {
    choiri_arena_reset(arena);
    return choiri_msgpack_message_decode(payload, arena, ret_msg);
}

/* Reads all that is left. */
static int read_value(choiri_reader *r, const choiri_plan *plan, uint32_t which, const choir_unit *u,
                      uint32_t type, choiri_arena *arena, void *ret_value, choiri_text *ret_text) {
    (void)plan, (void)which; /* values name their fields */
    int status = choiri_msgpack_decode(r, u, type, arena, ret_value, ret_text);
    /* The document has been scanned: what does not fit is of another type. */
    return status == CHOIR_ERR_MALFORMED ? CHOIR_ERR_LAYOUT : status;
}

/* ---- answers ---- */

/* VoxError's variants, by outcome. */
static const char *const names[] = {
    [CHOIR_OUTCOME_USER_ERROR] = "User",
    [CHOIR_OUTCOME_UNKNOWN_METHOD] = "UnknownMethod",
    [CHOIR_OUTCOME_INVALID_PAYLOAD] = "InvalidPayload",
    [CHOIR_OUTCOME_CANCELLED] = "Cancelled",
    [CHOIR_OUTCOME_CONNECTION_CLOSED] = "ConnectionClosed",
    [CHOIR_OUTCOME_SESSION_SHUTDOWN] = "SessionShutdown",
    [CHOIR_OUTCOME_SEND_FAILED] = "SendFailed",
    [CHOIR_OUTCOME_INDETERMINATE] = "Indeterminate",
};
#define NAMES (uint32_t)(sizeof names / sizeof names[0])

static void begin_result(choiri_writer *w, uint32_t outcome, choir_str text) {
    choiri_msgpack_write_map(w, 1);
    if (outcome == CHOIR_OUTCOME_OK) {
        choiri_msgpack_write_key(w, "Ok");
        return;
    }
    choiri_msgpack_write_key(w, "Err");
    bool holds = outcome == CHOIR_OUTCOME_USER_ERROR || outcome == CHOIR_OUTCOME_INVALID_PAYLOAD;
    if (holds) choiri_msgpack_write_map(w, 1);
    choiri_msgpack_write_key(w, names[outcome]);
    if (outcome == CHOIR_OUTCOME_INVALID_PAYLOAD) choiri_msgpack_write_str(w, text);
}

static bool read_outcome(choiri_reader *r, uint32_t *ret) {
    choir_str name;
    if (!choiri_msgpack_read_text(r, &name)) return false;
    for (uint32_t i = CHOIR_OUTCOME_USER_ERROR; i < NAMES; i++) {
        if (name.len != strlen(names[i]) || memcmp(name.data, names[i], name.len) != 0) continue;
        *ret = i;
        return true;
    }
    return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
}

/* The variant by its name; with what it holds when it is the only key of a map. A text may be missing. */
static bool read_error(choiri_reader *r, uint32_t *ret_outcome, choir_str *ret_text) {
    uint32_t pairs = 0;
    choiri_reader ahead = *r;
    if (!choiri_msgpack_read_map(&ahead, &pairs))
        return read_outcome(r, ret_outcome) &&
               (*ret_outcome != CHOIR_OUTCOME_USER_ERROR || choiri_reader_fail(r, CHOIR_ERR_MALFORMED));
    *r = ahead;
    if (pairs != 1) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    if (!read_outcome(r, ret_outcome)) return false;
    if (*ret_outcome == CHOIR_OUTCOME_USER_ERROR) return true;
    if (*ret_outcome == CHOIR_OUTCOME_INVALID_PAYLOAD && !choiri_msgpack_is_nil(r))
        return choiri_msgpack_read_text(r, ret_text);
    return choiri_msgpack_skip(r, NULL);
}

/* Of a value only the start: whoever decodes it scans it first. */
static bool read_any(choiri_reader *r, uint32_t *ret_outcome, choir_str *ret_text) {
    uint32_t pairs;
    choir_str name;
    if (!choiri_msgpack_read_map(r, &pairs) || pairs != 1 || !choiri_msgpack_read_text(r, &name))
        return false;
    if (name.len == 2 && memcmp(name.data, "Ok", 2) == 0) {
        *ret_outcome = CHOIR_OUTCOME_OK;
        return true;
    }
    return name.len == 3 && memcmp(name.data, "Err", 3) == 0 && read_error(r, ret_outcome, ret_text) &&
           (*ret_outcome == CHOIR_OUTCOME_USER_ERROR || choiri_reader_left(r) == 0);
}

static bool read_result(choiri_reader *r, uint32_t *ret_outcome, choir_str *ret_text, const char **ret_why) {
    if (read_any(r, ret_outcome, ret_text)) return true;
    *ret_why = "it is neither Ok nor an error that is known";
    return false;
}

/* ---- schemas ---- */

/* The member `schemas`, which the message was begun with. */
static void write_schemas(choiri_writer *w, const choiri_send_tracker *t, const choiri_schema_set *a) {
    if (!a) return;
    choiri_msgpack_write_key(w, "schemas");
    choiri_hole hole = choiri_msgpack_write_hole(w);
    choiri_send_tracker_write_msgpack(t, a, w);
    choiri_msgpack_fill_hole(w, hole);
}

/* ---- CBOR ---- */

static void write_cbor(choiri_writer *w, choiri_cbor_fn *write, const void *ctx) {
    choiri_outq q;
    choiri_writer staged;
    choir_iov iov;
    choiri_outq_init(&q, w->q->env);
    choiri_writer_init(&staged, &q, NULL);
    write(&staged, ctx);
    int status = choiri_writer_finish(&staged);
    if (status == CHOIR_OK && !choiri_outq_flatten(&q, (size_t)q.bytes)) status = CHOIR_ERR_NO_MEMORY;
    if (status == CHOIR_OK) {
        size_t n = choiri_outq_peek(&q, 0, UINT64_MAX, &iov, 1);
        CHOIRI_ASSERT(n == 1 && iov.len == q.bytes);
        choiri_reader r = choiri_reader_of((choir_bytes){iov.base, iov.len});
        choiri_msgpack_write_cbor(w, &r);
    } else {
        choiri_writer_fail(w, status);
    }
    choiri_outq_deinit(&q);
}

static int to_cbor(choir_env *env, choir_bytes bytes, size_t max, choir_bytes *ret_cbor) {
    size_t size = choiri_msgpack_cbor_size(bytes);
    if (size == 0) return CHOIR_ERR_MALFORMED;
    if (size > max) return CHOIR_ERR_TOO_LARGE;
    uint8_t *cbor = choiri_alloc(env, size);
    if (!cbor) return CHOIR_ERR_NO_MEMORY;
    choiri_msgpack_to_cbor(bytes, cbor);
    *ret_cbor = (choir_bytes){cbor, size};
    return CHOIR_OK;
}

const choiri_codec choiri_codec_msgpack = {
    .id = CHOIR_CODEC_MSGPACK,
    .name = "msgpack",
    .is_vox = false,
    .needs_schemas = false,
    .compares_layouts = false,
    .metadata_in_payload = false,
    .unit_is_name = true,
    .decode = decode,
    .encode = choiri_msgpack_message_encode,
    .begin_call = choiri_msgpack_begin_call,
    .begin_response = choiri_msgpack_begin_response,
    .fill_hole = choiri_msgpack_fill_hole,
    .write_value = choiri_msgpack_encode,
    .read_value = read_value,
    .begin_result = begin_result,
    .read_result = read_result,
    .write_schemas = write_schemas,
    .begin_schema = choiri_msgpack_begin_schema,
    .write_cbor = write_cbor,
    .to_cbor = to_cbor,
};
