/* SPDX-License-Identifier: MIT */
/* The `Message` codec. rule: message.* (docs/protocol/messages.md)
 *
 * Every variant index is a varint on the wire, overlong forms included; all of ours are below 128 and are
 * written as one byte. An opaque value (args, ret, item) has a fixed 4-byte length, `schemas` a varint one.
 *
 * Beginnings of calls and responses are `inline` beside being functions: codec.h calls them where every call
 * passes, and the codec's table refers to them, which would keep an optimiser from inlining them.
 *
 * Rejected: driving this from the type tables of the schema layer. The layout of Message is the one thing
 * of vox 0.4.0 that cannot change between peers, and each call goes through here four times. */
#include "protocol/message.h"

#include "base/assert.h"
#include "base/clear.h"
#include "wire/metadata.h"

static bool read_tag_slow(choiri_reader *r, uint8_t max, uint8_t *ret) {
    uint64_t v;
    if (!choiri_read_varint_max(r, max, &v)) return false;
    *ret = (uint8_t)v;
    return true;
}

static inline bool read_tag(choiri_reader *r, uint8_t max, uint8_t *ret) {
    if (r->pos == r->end || *r->pos > max) return read_tag_slow(r, max, ret); /* overlong or wrong */
    *ret = *r->pos++;
    return true;
}

static bool read_u32(choiri_reader *r, uint32_t *ret) {
    uint64_t v;
    if (!choiri_read_varint_max(r, UINT32_MAX, &v)) return false;
    *ret = (uint32_t)v;
    return true;
}

static bool read_settings(choiri_reader *r, choiri_settings *ret) {
    return read_tag(r, CHOIRI_PARITY_EVEN, &ret->parity) && read_u32(r, &ret->max_concurrent_requests);
}

static bool read_request(choiri_reader *r, choiri_message *m) {
    if (!choiri_read_varint(r, &m->id) || !read_tag(r, CHOIRI_BODY_CANCEL, &m->body)) return false;
    if (m->body == CHOIRI_BODY_CALL && !choiri_read_varint(r, &m->method)) return false;
    if (r->pos < r->end && *r->pos == 0) { /* as nearly always: none */
        m->metadata.entries.data = ++r->pos;
    } else if (!choiri_read_metadata(r, &m->metadata)) {
        return false;
    }
    if (m->body == CHOIRI_BODY_CANCEL) return true;
    if (!choiri_read_opaque(r, &m->payload)) return false;
    if (r->pos == r->end || *r->pos != 0) return choiri_read_bytes(r, &m->schemas);
    m->schemas.data = ++r->pos; /* none, as nearly always */
    return true;
}

static bool read_schema(choiri_reader *r, choiri_message *m) {
    return choiri_read_varint(r, &m->method) && read_tag(r, CHOIRI_DIRECTION_RESPONSE, &m->direction) &&
           choiri_read_bytes(r, &m->schemas);
}

static bool read_channel(choiri_reader *r, choiri_message *m) {
    if (!choiri_read_varint(r, &m->id) || !read_tag(r, CHOIRI_CHANNEL_GRANT, &m->body)) return false;
    switch (m->body) {
    case CHOIRI_CHANNEL_ITEM: return choiri_read_opaque(r, &m->payload);
    case CHOIRI_CHANNEL_GRANT: return read_u32(r, &m->additional);
    default: return choiri_read_metadata(r, &m->metadata);
    }
}

static inline bool read_message(choiri_reader *r, choiri_message *m) {
    if (!choiri_read_varint(r, &m->conn) || !read_tag(r, CHOIRI_MSG_PONG, &m->kind)) return false;
    if (CHOIRI_LIKELY(m->kind == CHOIRI_MSG_REQUEST)) return read_request(r, m);
    switch (m->kind) {
    case CHOIRI_MSG_PROTOCOL_ERROR: return choiri_read_string(r, &m->description);
    case CHOIRI_MSG_CONNECTION_OPEN:
    case CHOIRI_MSG_CONNECTION_ACCEPT:
        return read_settings(r, &m->settings) && choiri_read_metadata(r, &m->metadata);
    case CHOIRI_MSG_CONNECTION_REJECT:
    case CHOIRI_MSG_CONNECTION_CLOSE: return choiri_read_metadata(r, &m->metadata);
    case CHOIRI_MSG_SCHEMA: return read_schema(r, m);
    case CHOIRI_MSG_CHANNEL: return read_channel(r, m);
    default: return choiri_read_varint(r, &m->id); /* ping, pong */
    }
}

CHOIRI_NOINLINE int choiri_message_decode_any(choir_bytes payload, choiri_message *ret_msg) {
    choiri_reader r = choiri_reader_of(payload);
    choiri_clear(ret_msg, sizeof *ret_msg);
    return read_message(&r, ret_msg) ? CHOIR_OK : r.status;
}

/* What every message starts with takes at most this: connection id and variant, then for requests and
 * channels an id and the variant of the body. */
#define HEAD_MAX (10u + 1u + 10u + 1u)

static uint8_t *put_head(uint8_t *p, uint64_t conn, uint8_t kind) {
    p = choiri_put_varint(p, conn);
    *p++ = kind;
    return p;
}

static uint8_t *put_body_head(uint8_t *p, uint64_t conn, uint8_t kind, uint64_t id, uint8_t body) {
    p = put_head(p, conn, kind);
    p = choiri_put_varint(p, id);
    *p++ = body;
    return p;
}

static void write_head(choiri_writer *w, uint64_t conn, uint8_t kind) {
    if (choiri_writer_ensure(w, HEAD_MAX)) w->pos = put_head(w->pos, conn, kind);
}

static void write_body_head(choiri_writer *w, uint64_t conn, uint8_t kind, uint64_t id, uint8_t body) {
    if (choiri_writer_ensure(w, HEAD_MAX)) w->pos = put_body_head(w->pos, conn, kind, id, body);
}

/* What goes where a message has metadata: entries of ours, or a list as it was received. */
typedef struct metadata {
    const choir_metadata_entry *entries;
    size_t count;
    choir_metadata list; /* without entries */
} metadata;

static void write_metadata(choiri_writer *w, const metadata *m) {
    if (m->count > 0) {
        choiri_write_metadata(w, m->entries, m->count);
        return;
    }
    choiri_write_varint(w, m->list.count);
    choiri_write_span(w, m->list.entries.data, m->list.entries.len);
}

static void write_opaque(choiri_writer *w, choir_bytes b) {
    choiri_hole hole = choiri_write_hole(w);
    choiri_write_span(w, b.data, b.len);
    choiri_fill_hole(w, hole);
}

static void encode_request(choiri_writer *w, const choiri_message *m, const metadata *meta) {
    write_body_head(w, m->conn, m->kind, m->id, m->body);
    if (m->body == CHOIRI_BODY_CALL) choiri_write_varint(w, m->method);
    write_metadata(w, meta);
    if (m->body == CHOIRI_BODY_CANCEL) return;
    write_opaque(w, m->payload);
    choiri_write_bytes(w, m->schemas);
}

static void encode_channel(choiri_writer *w, const choiri_message *m, const metadata *meta) {
    write_body_head(w, m->conn, m->kind, m->id, m->body);
    switch (m->body) {
    case CHOIRI_CHANNEL_ITEM: write_opaque(w, m->payload); break;
    case CHOIRI_CHANNEL_GRANT: choiri_write_varint(w, m->additional); break;
    default: write_metadata(w, meta); break;
    }
}

/* Members with few values are ours to fill in, so a value that the wire has no variant for is a broken
 * invariant. */
static void check_variants(const choiri_message *m) {
    CHOIRI_ASSERT(m->kind <= CHOIRI_MSG_PONG);
    CHOIRI_ASSERT(m->kind != CHOIRI_MSG_REQUEST || m->body <= CHOIRI_BODY_CANCEL);
    CHOIRI_ASSERT(m->kind != CHOIRI_MSG_CHANNEL || m->body <= CHOIRI_CHANNEL_GRANT);
    CHOIRI_ASSERT(m->direction <= CHOIRI_DIRECTION_RESPONSE);
    CHOIRI_ASSERT(m->settings.parity <= CHOIRI_PARITY_EVEN);
}

void choiri_message_begin_schema(choiri_writer *w, uint64_t conn, uint64_t method, uint8_t direction) {
    write_head(w, conn, CHOIRI_MSG_SCHEMA);
    choiri_write_varint(w, method);
    choiri_write_u8(w, direction);
}

void choiri_message_encode(choiri_writer *w, const choiri_message *msg, const choir_metadata_entry *entries,
                           size_t count) {
    const metadata meta = {entries, count, msg->metadata};
    check_variants(msg);
    switch (msg->kind) {
    case CHOIRI_MSG_PROTOCOL_ERROR:
        write_head(w, msg->conn, msg->kind);
        choiri_write_bytes(w, (choir_bytes){(const uint8_t *)msg->description.data, msg->description.len});
        break;
    case CHOIRI_MSG_CONNECTION_OPEN:
    case CHOIRI_MSG_CONNECTION_ACCEPT:
        write_head(w, msg->conn, msg->kind);
        choiri_write_u8(w, msg->settings.parity);
        choiri_write_varint(w, msg->settings.max_concurrent_requests);
        write_metadata(w, &meta);
        break;
    case CHOIRI_MSG_CONNECTION_REJECT:
    case CHOIRI_MSG_CONNECTION_CLOSE:
        write_head(w, msg->conn, msg->kind);
        write_metadata(w, &meta);
        break;
    case CHOIRI_MSG_REQUEST: encode_request(w, msg, &meta); break;
    case CHOIRI_MSG_SCHEMA:
        choiri_message_begin_schema(w, msg->conn, msg->method, msg->direction);
        choiri_write_bytes(w, msg->schemas);
        break;
    case CHOIRI_MSG_CHANNEL: encode_channel(w, msg, &meta); break;
    default: /* ping, pong */
        write_head(w, msg->conn, msg->kind);
        choiri_write_varint(w, msg->id);
        break;
    }
}

/* The entry {vox-operation-id, U64(id), no flags}: all but the id is constant. */
static const uint8_t operation_key[] = {16,  'v', 'o', 'x', '-', 'o', 'p', 'e', 'r',
                                        'a', 't', 'i', 'o', 'n', '-', 'i', 'd', 2};
#define OPERATION_MAX (sizeof operation_key + 10u + 1u)
#define HOLE_LEN      4u

/* The caller has made sure of the room. */
static CHOIRI_INLINE choiri_hole put_hole(choiri_writer *w, uint8_t *p) {
    choiri_hole hole = {p, 0};
    memset(p, 0, HOLE_LEN);
    w->pos = p + HOLE_LEN;
    hole.start = choiri_writer_offset(w);
    return hole;
}

/* From the metadata count to the hole, with metadata. At p there is room for the count. */
static CHOIRI_NOINLINE choiri_hole begin_value_after(choiri_writer *w, uint8_t *p,
                                                     const choir_metadata_entry *entries, size_t count,
                                                     uint64_t operation_id) {
    w->pos = choiri_put_varint(p, (uint64_t)count + (operation_id != 0));
    choiri_write_entries(w, entries, count);
    if (!choiri_writer_ensure(w, OPERATION_MAX + HOLE_LEN)) return (choiri_hole){NULL, 0};
    p = w->pos;
    if (operation_id != 0) {
        memcpy(p, operation_key, sizeof operation_key);
        p = choiri_put_varint(p + sizeof operation_key, operation_id);
        *p++ = 0;
    }
    return put_hole(w, p);
}

/* The same, usually without. There is room for a hole behind the count, too. */
static CHOIRI_INLINE choiri_hole begin_value(choiri_writer *w, uint8_t *p,
                                             const choir_metadata_entry *entries, size_t count,
                                             uint64_t operation_id) {
    if (CHOIRI_UNLIKELY(count > 0 || operation_id != 0))
        return begin_value_after(w, p, entries, count, operation_id);
    *p = 0;
    return put_hole(w, p + 1);
}

#define CALL_HEAD_MAX (HEAD_MAX + 10 + 10 + HOLE_LEN)

static CHOIRI_NOINLINE choiri_hole grow_and_begin_call(choiri_writer *w, uint64_t conn, uint64_t id,
                                                       uint64_t method, const choir_metadata_entry *entries,
                                                       size_t count, uint64_t operation_id) {
    if (!choiri_writer_grow(w, CALL_HEAD_MAX)) return (choiri_hole){NULL, 0};
    return choiri_message_begin_call(w, conn, id, method, entries, count, operation_id);
}

/* Calls nothing on its usual way, so it saves no registers. */
choiri_hole choiri_message_begin_call(choiri_writer *w, uint64_t conn, uint64_t id, uint64_t method,
                                      const choir_metadata_entry *entries, size_t count,
                                      uint64_t operation_id) {
    if (CHOIRI_UNLIKELY((size_t)(w->end - w->pos) < CALL_HEAD_MAX))
        return grow_and_begin_call(w, conn, id, method, entries, count, operation_id);
    uint8_t *p = put_body_head(w->pos, conn, CHOIRI_MSG_REQUEST, id, CHOIRI_BODY_CALL);
    p = CHOIRI_LIKELY(method >> 28) ? choiri_put_long(p, method) : choiri_put_varint(p, method);
    return begin_value(w, p, entries, count, operation_id);
}

choiri_hole choiri_message_begin_response(choiri_writer *w, uint64_t conn, uint64_t id,
                                          const choir_metadata_entry *entries, size_t count) {
    if (!choiri_writer_ensure(w, HEAD_MAX + 10 + HOLE_LEN)) return (choiri_hole){NULL, 0};
    uint8_t *p = put_body_head(w->pos, conn, CHOIRI_MSG_REQUEST, id, CHOIRI_BODY_RESPONSE);
    return begin_value(w, p, entries, count, 0);
}
