/* SPDX-License-Identifier: MIT */
/* Postcard, vox's own codec: positional, with CBOR for handshakes and schemas. rule: rpc.vox-error,
 * schema.delivery
 *
 * What is needed for every call is called directly from codec.h and is here for the table's sake, so that a
 * caller which goes through it gets the same. */
#include "protocol/codec.h"

#include "choir/session.h"

static int decode(choir_bytes payload, choiri_arena *arena, choiri_message *ret_msg) {
    (void)arena; /* all of a message lies in its payload */
    return choiri_message_decode(payload, ret_msg);
}

/* An empty list of schemas is always there, so nothing depends on whether there will be one. */
static choiri_hole begin_call(choiri_writer *w, uint64_t conn, uint64_t id, uint64_t method,
                              const choir_metadata_entry *entries, size_t count, uint64_t operation_id,
                              bool schemas) {
    (void)schemas;
    return choiri_message_begin_call(w, conn, id, method, entries, count, operation_id);
}

static choiri_hole begin_response(choiri_writer *w, uint64_t conn, uint64_t id,
                                  const choir_metadata_entry *entries, size_t count, bool schemas) {
    (void)schemas;
    return choiri_message_begin_response(w, conn, id, entries, count);
}

static int read_value(choiri_reader *r, const choiri_plan *plan, uint32_t which, const choir_unit *u,
                      uint32_t type, choiri_arena *arena, void *ret_value, choiri_text *ret_text) {
    return choiri_plan_decode(plan, which, r, u, type, arena, ret_value, ret_text);
}

/* Variants of VoxError have the numbers of the outcomes behind OK. */
static void begin_result(choiri_writer *w, uint32_t outcome, choir_str text) {
    choiri_write_u8(w, outcome != CHOIR_OUTCOME_OK);
    if (outcome == CHOIR_OUTCOME_OK) return;
    choiri_write_u8(w, (uint8_t)(outcome - CHOIR_OUTCOME_USER_ERROR));
    if (outcome == CHOIR_OUTCOME_INVALID_PAYLOAD)
        choiri_write_bytes(w, (choir_bytes){(const uint8_t *)text.data, text.len});
}

static bool read_result(choiri_reader *r, uint32_t *ret_outcome, choir_str *ret_text, const char **ret_why) {
    uint64_t tag, variant;
    if (!choiri_read_varint(r, &tag) || tag > 1) {
        *ret_why = "it is neither Ok nor Err";
        return false;
    }
    if (tag == 0) {
        *ret_outcome = CHOIR_OUTCOME_OK;
        return true;
    }
    if (!choiri_read_varint_max(r, CHOIR_OUTCOME_INDETERMINATE - CHOIR_OUTCOME_USER_ERROR, &variant)) {
        *ret_why = "an error that is not known";
        return false;
    }
    *ret_outcome = (uint32_t)variant + CHOIR_OUTCOME_USER_ERROR;
    /* TypeScript servers leave out InvalidPayload's text. */
    if (*ret_outcome == CHOIR_OUTCOME_INVALID_PAYLOAD && choiri_reader_left(r) > 0)
        (void)choiri_read_string(r, ret_text);
    return true;
}

static void write_schemas(choiri_writer *w, const choiri_send_tracker *t, const choiri_schema_set *a) {
    if (a)
        choiri_send_tracker_write(t, a, w);
    else
        choiri_write_u8(w, 0);
}

static void write_cbor(choiri_writer *w, choiri_cbor_fn *write, const void *ctx) {
    write(w, ctx);
}

static int to_cbor(choir_env *env, choir_bytes bytes, size_t max, choir_bytes *ret_cbor) {
    (void)env;
    if (bytes.len > max) return CHOIR_ERR_TOO_LARGE;
    *ret_cbor = bytes; /* whoever reads it finds what is wrong */
    return CHOIR_OK;
}

const choiri_codec choiri_codec_postcard = {
    .id = CHOIR_CODEC_POSTCARD,
    .name = "postcard",
    .is_vox = true,
    .needs_schemas = true,
    .compares_layouts = true,
    .metadata_in_payload = true,
    .unit_is_name = false,
    .decode = decode,
    .encode = choiri_message_encode,
    .begin_call = begin_call,
    .begin_response = begin_response,
    .fill_hole = choiri_fill_hole,
    .write_value = choiri_value_encode,
    .read_value = read_value,
    .begin_result = begin_result,
    .read_result = read_result,
    .write_schemas = write_schemas,
    .begin_schema = choiri_message_begin_schema,
    .write_cbor = write_cbor,
    .to_cbor = to_cbor,
};
