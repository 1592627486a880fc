/* SPDX-License-Identifier: MIT */
/* The `Message` codec: every variant of the vox 0.4.0 session protocol. Decoding borrows from the payload;
 * encoding writes in place. rule: message.* (docs/protocol/messages.md). */
#ifndef CHOIRI_MESSAGE_H
#define CHOIRI_MESSAGE_H

#include "base/clear.h"
#include "choir/metadata.h"
#include "wire/metadata.h"
#include "wire/reader.h"

enum { /* MessagePayload, in wire order */
       CHOIRI_MSG_PROTOCOL_ERROR = 0,
       CHOIRI_MSG_CONNECTION_OPEN,
       CHOIRI_MSG_CONNECTION_ACCEPT,
       CHOIRI_MSG_CONNECTION_REJECT,
       CHOIRI_MSG_CONNECTION_CLOSE,
       CHOIRI_MSG_REQUEST,
       CHOIRI_MSG_SCHEMA,
       CHOIRI_MSG_CHANNEL,
       CHOIRI_MSG_PING,
       CHOIRI_MSG_PONG,
};
enum { CHOIRI_BODY_CALL = 0, CHOIRI_BODY_RESPONSE, CHOIRI_BODY_CANCEL };
enum { CHOIRI_CHANNEL_ITEM = 0, CHOIRI_CHANNEL_CLOSE, CHOIRI_CHANNEL_RESET, CHOIRI_CHANNEL_GRANT };
enum { CHOIRI_PARITY_ODD = 0, CHOIRI_PARITY_EVEN };
enum { CHOIRI_DIRECTION_ARGS = 0, CHOIRI_DIRECTION_RESPONSE };

typedef struct choiri_settings {
    uint8_t parity; /* CHOIRI_PARITY_* */
    uint32_t max_concurrent_requests;
} choiri_settings;

typedef struct choiri_message {
    uint64_t conn;
    uint8_t kind;             /* CHOIRI_MSG_* */
    uint8_t body;             /* request: CHOIRI_BODY_*; channel: CHOIRI_CHANNEL_* */
    uint8_t direction;        /* schema: CHOIRI_DIRECTION_* */
    uint32_t additional;      /* channel grant */
    uint64_t id;              /* request or channel id; ping, pong: nonce */
    uint64_t method;          /* call, schema */
    choir_metadata metadata;  /* where the variant has it */
    choir_bytes payload;      /* args, ret, item */
    choir_bytes schemas;      /* call, response, schema */
    choir_str description;    /* protocol error */
    choiri_settings settings; /* connection open, accept */
} choiri_message;

/* An id that takes at most three bytes, as those of the first million calls do; NULL when it takes more.
 * There are three bytes at p. */
static CHOIRI_INLINE const uint8_t *choiri_take_id(const uint8_t *p, uint64_t *ret) {
    uint32_t id = p[0] & 0x7f;
    if (p[0] >= 0x80) {
        id |= (uint32_t)(p[1] & 0x7f) << 7;
        if (p[1] >= 0x80) {
            if (p[2] >= 0x80) return NULL;
            id |= (uint32_t)p[2] << 14;
            p++;
        }
        p++;
    }
    *ret = id;
    return p + 1;
}

/* Length of an opaque value. */
#define CHOIRI_OPAQUE_HEAD 4u
/* What is behind the body's tag: an answer of no bytes, and a method id before it. */
#define CHOIRI_MESSAGE_REST_MIN (1u + CHOIRI_OPAQUE_HEAD + 1u)

/* A call or an answer as nearly all are: short ids, no metadata, no schemas. Its places are known, so it is
 * read without looking for the end each time. false: it is something else, and what was written to *m does
 * not count. */
static CHOIRI_INLINE bool choiri_message_read_plain(choir_bytes payload, choiri_message *m) {
    choiri_clear(m, sizeof *m);
    if (payload.len < 2 + 3 + 1 + CHOIRI_MESSAGE_REST_MIN) return false; /* its data may be NULL */
    const uint8_t *p = payload.data, *end = p + payload.len;
    if (p[0] >= 0x80 || p[1] != CHOIRI_MSG_REQUEST) return false;
    m->conn = p[0];
    m->kind = CHOIRI_MSG_REQUEST;
    p = choiri_take_id(p + 2, &m->id);
    if (!p || *p > CHOIRI_BODY_RESPONSE) return false;
    m->body = *p++;
    if (m->body == CHOIRI_BODY_CALL) {
        if (end - p < (ptrdiff_t)(CHOIRI_VARINT_MAX + CHOIRI_MESSAGE_REST_MIN)) return false;
        p = choiri_take_varint(p, &m->method);
        if (!p) return false;
    }
    if (p[0] != 0) return false;
    m->metadata.entries.data = ++p;
    uint32_t len = choiri_load_le32(p);
    p += CHOIRI_OPAQUE_HEAD;
    if (len != (size_t)(end - p) - 1 || p[len] != 0) return false;
    m->payload = (choir_bytes){p, len};
    m->schemas.data = end;
    return true;
}

/* Decodes one payload. Trailing bytes are ignored, as vox peers do (rule: message.trailing). All members
 * that the variant does not have are zero. OK, or ERR_TRUNCATED / ERR_MALFORMED: the session is then over,
 * and *ret_msg is undefined. */
int choiri_message_decode_any(choir_bytes payload, choiri_message *ret_msg);
static inline int choiri_message_decode(choir_bytes payload, choiri_message *ret_msg) {
    if (CHOIRI_LIKELY(choiri_message_read_plain(payload, ret_msg))) return CHOIR_OK;
    return choiri_message_decode_any(payload, ret_msg);
}

/* Encodes any message but those of every call, which have their own functions below. Metadata is `entries`,
 * or when there are none msg->metadata, which is written back verbatim. */
void choiri_message_encode(choiri_writer *w, const choiri_message *msg, const choir_metadata_entry *entries,
                           size_t count);

/* Hot paths. Begin writes everything up to the args or ret length and returns its hole; the caller writes the
 * value, fills the hole and writes the schemas as bytes (empty: one 00). */
choiri_hole
choiri_message_begin_call(choiri_writer *w, uint64_t conn, uint64_t id, uint64_t method,
                          const choir_metadata_entry *entries, size_t count,
                          uint64_t operation_id /* 0 is none; written as vox-operation-id, last */);
choiri_hole choiri_message_begin_response(choiri_writer *w, uint64_t conn, uint64_t id,
                                          const choir_metadata_entry *entries, size_t count);
/* A Schema message up to its schemas as bytes. */
void choiri_message_begin_schema(choiri_writer *w, uint64_t conn, uint64_t method, uint8_t direction);

#endif
