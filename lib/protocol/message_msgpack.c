/* SPDX-License-Identifier: MIT */
/* Messages as msgpack. rule: msgpack.message (docs/protocol/msgpack.md)
 *
 * Reading is driven by two tables: the members that there are, and the variants with the members they may and
 * must have. A member that is not known is skipped, one that comes twice is an error, and empty metadata and
 * schemas may be left out. A message needs no pre-scan as a whole: its own nesting is fixed, each member that
 * a count announces has to be there when it is read, and what is passed over (metadata, unknown members) is
 * scanned then. Rejected: the type tables of the schema layer, for the reason that message.c gives. */
#include "protocol/message_msgpack.h"

#include "base/assert.h"
#include "base/clear.h"
#include "wire/metadata.h"
#include "wire/msgpack.h"

enum { /* members, as bits */
       CONNECTION = 1 << 0,
       PAYLOAD = 1 << 1,
       DESCRIPTION = 1 << 2,
       SETTINGS = 1 << 3,
       METADATA = 1 << 4,
       ID = 1 << 5,
       BODY = 1 << 6,
       METHOD = 1 << 7,
       DIRECTION = 1 << 8,
       SCHEMAS = 1 << 9,
       NONCE = 1 << 10,
       ARGS = 1 << 11,
       RET = 1 << 12,
       ITEM = 1 << 13,
       ADDITIONAL = 1 << 14,
       PARITY = 1 << 15,
       MAX_REQUESTS = 1 << 16
};

/* A constant and its length. */
#define NAME(literal)                                                                                        \
    { (literal), sizeof(literal) - 1 }

static const struct member {
    choir_str name;
    uint32_t bit;
} members[] = {
    {NAME("connection_id"), CONNECTION},
    {NAME("payload"), PAYLOAD},
    {NAME("id"), ID},
    {NAME("body"), BODY},
    {NAME("method_id"), METHOD},
    {NAME("metadata"), METADATA},
    {NAME("args"), ARGS},
    {NAME("ret"), RET},
    {NAME("schemas"), SCHEMAS},
    {NAME("nonce"), NONCE},
    {NAME("item"), ITEM},
    {NAME("additional"), ADDITIONAL},
    {NAME("direction"), DIRECTION},
    {NAME("description"), DESCRIPTION},
    {NAME("connection_settings"), SETTINGS},
    {NAME("parity"), PARITY},
    {NAME("max_concurrent_requests"), MAX_REQUESTS},
};

/* A variant of MessagePayload, RequestBody or ChannelBody, in wire order. */
typedef struct variant {
    choir_str name;
    uint32_t must, may;
} variant;

static const variant payloads[] = {
    [CHOIRI_MSG_PROTOCOL_ERROR] = {NAME("ProtocolError"), DESCRIPTION, 0},
    [CHOIRI_MSG_CONNECTION_OPEN] = {NAME("ConnectionOpen"), SETTINGS, METADATA},
    [CHOIRI_MSG_CONNECTION_ACCEPT] = {NAME("ConnectionAccept"), SETTINGS, METADATA},
    [CHOIRI_MSG_CONNECTION_REJECT] = {NAME("ConnectionReject"), 0, METADATA},
    [CHOIRI_MSG_CONNECTION_CLOSE] = {NAME("ConnectionClose"), 0, METADATA},
    [CHOIRI_MSG_REQUEST] = {NAME("RequestMessage"), ID | BODY, 0},
    [CHOIRI_MSG_SCHEMA] = {NAME("SchemaMessage"), METHOD | DIRECTION | SCHEMAS, 0},
    [CHOIRI_MSG_CHANNEL] = {NAME("ChannelMessage"), ID | BODY, 0},
    [CHOIRI_MSG_PING] = {NAME("Ping"), NONCE, 0},
    [CHOIRI_MSG_PONG] = {NAME("Pong"), NONCE, 0},
};
static const variant bodies[] = {
    [CHOIRI_BODY_CALL] = {NAME("Call"), METHOD | ARGS, METADATA | SCHEMAS},
    [CHOIRI_BODY_RESPONSE] = {NAME("Response"), RET, METADATA | SCHEMAS},
    [CHOIRI_BODY_CANCEL] = {NAME("Cancel"), 0, METADATA},
};
static const variant channels[] = {
    [CHOIRI_CHANNEL_ITEM] = {NAME("Item"), ITEM, 0},
    [CHOIRI_CHANNEL_CLOSE] = {NAME("Close"), 0, METADATA},
    [CHOIRI_CHANNEL_RESET] = {NAME("Reset"), 0, METADATA},
    [CHOIRI_CHANNEL_GRANT] = {NAME("GrantCredit"), ADDITIONAL, 0},
};
static const variant directions[] = {{NAME("Args"), 0, 0}, {NAME("Response"), 0, 0}};
static const variant parities[] = {{NAME("Odd"), 0, 0}, {NAME("Even"), 0, 0}};

#define COUNT(list) (uint32_t)(sizeof(list) / sizeof(list)[0])

typedef struct decoder {
    choiri_reader r;
    choiri_arena *arena;
    choiri_message *m;
    choir_bytes metadata; /* as it came; turned around when it is known whose it is */
} decoder;

static bool malformed(decoder *d) {
    return choiri_reader_fail(&d->r, CHOIR_ERR_MALFORMED);
}

static CHOIRI_INLINE bool is_named(choir_bytes text, choir_str name) {
    return text.len == name.len && memcmp(text.data, name.data, name.len) == 0;
}

static CHOIRI_INLINE bool is(choir_bytes text, const char *literal) {
    return is_named(text, (choir_str){literal, strlen(literal)});
}

static bool read_str(decoder *d, choir_bytes *ret) {
    choiri_msgpack_token t;
    if (!choiri_msgpack_read(&d->r, &t)) return false;
    if (t.kind != CHOIRI_MSGPACK_STR) return malformed(d);
    *ret = t.bytes;
    return true;
}

/* The name of one of these variants, as a str. */
static bool read_name(decoder *d, const variant *list, uint32_t count, uint8_t *ret) {
    choir_bytes name;
    if (!read_str(d, &name)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_named(name, list[i].name)) continue;
        *ret = (uint8_t)i;
        return true;
    }
    return malformed(d);
}

static bool read_u32(decoder *d, uint32_t *ret) {
    uint64_t v;
    if (!choiri_msgpack_read_uint(&d->r, &v)) return false;
    if (v > UINT32_MAX) return malformed(d);
    *ret = (uint32_t)v;
    return true;
}

/* A bin; nil stands for an empty one. */
static bool read_opaque(decoder *d, choir_bytes *ret) {
    choiri_msgpack_token t;
    if (!choiri_msgpack_read(&d->r, &t)) return false;
    if (t.kind == CHOIRI_MSGPACK_NIL) return true;
    if (t.kind != CHOIRI_MSGPACK_BIN) return malformed(d);
    *ret = t.bytes;
    return true;
}

static bool read_variant(decoder *d, const variant *list, uint32_t count, uint8_t *ret);

static bool read_members(decoder *d, uint32_t must, uint32_t may);

static bool read_member(decoder *d, uint32_t bit) {
    choiri_message *m = d->m;
    switch (bit) {
    case CONNECTION: return choiri_msgpack_read_uint(&d->r, &m->conn);
    case PAYLOAD: return read_variant(d, payloads, COUNT(payloads), &m->kind);
    case ID:
    case NONCE: return choiri_msgpack_read_uint(&d->r, &m->id);
    case BODY:
        if (m->kind == CHOIRI_MSG_REQUEST) return read_variant(d, bodies, COUNT(bodies), &m->body);
        return read_variant(d, channels, COUNT(channels), &m->body);
    case METHOD: return choiri_msgpack_read_uint(&d->r, &m->method);
    case METADATA: return choiri_msgpack_skip(&d->r, &d->metadata);
    case ARGS:
    case RET:
    case ITEM: return read_opaque(d, &m->payload);
    case SCHEMAS: return read_opaque(d, &m->schemas);
    case ADDITIONAL: return read_u32(d, &m->additional);
    case DIRECTION: return read_name(d, directions, COUNT(directions), &m->direction);
    case DESCRIPTION: return choiri_msgpack_read_text(&d->r, &m->description);
    case SETTINGS: return read_members(d, PARITY | MAX_REQUESTS, 0);
    case PARITY: return read_name(d, parities, COUNT(parities), &m->settings.parity);
    case MAX_REQUESTS: return read_u32(d, &m->settings.max_concurrent_requests);
    default: return malformed(d);
    }
}

/* `among`: there are at most five, so looking at the names of those is quicker than a hash. */
static CHOIRI_NOINLINE uint32_t find_member(choir_bytes name, uint32_t among) {
    for (const struct member *m = members; m < members + COUNT(members); m++)
        if ((m->bit & among) && is_named(name, m->name)) return m->bit;
    return 0;
}

static bool read_members(decoder *d, uint32_t must, uint32_t may) {
    uint32_t pairs, seen = 0;
    if (!choiri_msgpack_read_map(&d->r, &pairs)) return false;
    for (; pairs > 0; pairs--) {
        choir_bytes name;
        if (!read_str(d, &name)) return false;
        uint32_t bit = find_member(name, must | may);
        if (bit & seen) return malformed(d);
        seen |= bit;
        if (!(bit ? read_member(d, bit) : choiri_msgpack_skip(&d->r, NULL))) return false;
    }
    return (seen & must) == must || malformed(d);
}

/* {"Variant": {members}} */
static bool read_variant(decoder *d, const variant *list, uint32_t count, uint8_t *ret) {
    uint32_t pairs;
    if (!choiri_msgpack_read_map(&d->r, &pairs)) return false;
    if (pairs != 1) return malformed(d);
    if (!read_name(d, list, count, ret)) return false;
    return read_members(d, list[*ret].must, list[*ret].may);
}

/* ---- metadata ---- */

typedef struct entry {
    choir_bytes key, text;
    uint64_t u64, flags;
    uint8_t type;
    bool has_key, has_value;
} entry;

static bool read_value(decoder *d, entry *e) {
    uint32_t pairs;
    choir_bytes name;
    choir_str text;
    if (!choiri_msgpack_read_map(&d->r, &pairs) || pairs != 1 || !read_str(d, &name)) return malformed(d);
    if (is(name, "String")) {
        if (!choiri_msgpack_read_text(&d->r, &text)) return false;
        e->text = (choir_bytes){(const uint8_t *)text.data, text.len};
        e->type = CHOIR_METADATA_STRING;
        return true;
    }
    if (is(name, "Bytes")) {
        e->type = CHOIR_METADATA_BYTES;
        return read_opaque(d, &e->text);
    }
    e->type = CHOIR_METADATA_U64;
    return is(name, "U64") ? choiri_msgpack_read_uint(&d->r, &e->u64) : malformed(d);
}

static bool read_entry(decoder *d, entry *e) {
    uint32_t pairs;
    if (!choiri_msgpack_read_map(&d->r, &pairs)) return false;
    for (; pairs > 0; pairs--) {
        choir_bytes name;
        choir_str key;
        bool ok = read_str(d, &name);
        if (ok && is(name, "key")) {
            ok = e->has_key = choiri_msgpack_read_text(&d->r, &key);
            if (ok) e->key = (choir_bytes){(const uint8_t *)key.data, key.len};
        } else if (ok && is(name, "value")) {
            ok = e->has_value = read_value(d, e);
        } else if (ok && is(name, "flags")) {
            ok = choiri_msgpack_read_uint(&d->r, &e->flags);
        } else if (ok) {
            ok = choiri_msgpack_skip(&d->r, NULL);
        }
        if (!ok) return false;
    }
    return (e->has_key && e->has_value) || malformed(d);
}

static uint8_t *put_span(uint8_t *p, choir_bytes b) {
    p = choiri_put_varint(p, b.len);
    if (b.len > 0) memcpy(p, b.data, b.len);
    return p + b.len;
}

/* Postcard is never longer: msgpack spells the names of the members out, 19 bytes and more of each entry. */
static uint8_t *put_entry(uint8_t *p, const entry *e) {
    p = put_span(p, e->key);
    *p++ = e->type;
    p = e->type == CHOIR_METADATA_U64 ? choiri_put_varint(p, e->u64) : put_span(p, e->text);
    return choiri_put_varint(p, e->flags);
}

/* Over the limits: a call may be refused, so what it needs to be known by is kept. */
static bool too_much(decoder *d, uint32_t count) {
    if (d->m->kind != CHOIRI_MSG_REQUEST || d->m->body != CHOIRI_BODY_CALL) return malformed(d);
    d->m->metadata = (choir_metadata){d->metadata, count};
    return true;
}

static bool read_metadata(decoder *d) {
    uint32_t count;
    if (d->metadata.len == 0) return true; /* left out */
    d->r = choiri_reader_of(d->metadata);
    if (choiri_msgpack_is_nil(&d->r)) return true;
    if (!choiri_msgpack_read_array(&d->r, &count)) return false;
    if (count == 0) return true;
    if (count > CHOIRI_MSGPACK_ENTRIES || d->metadata.len > CHOIRI_MSGPACK_METADATA)
        return too_much(d, count);
    uint8_t *start = choiri_arena_alloc(d->arena, d->metadata.len, 1), *p = start;
    if (!start) return choiri_reader_fail(&d->r, CHOIR_ERR_NO_MEMORY);
    for (uint32_t i = 0; i < count; i++) {
        entry e = {.type = 0};
        if (!read_entry(d, &e)) return false;
        p = put_entry(p, &e);
    }
    d->m->metadata = (choir_metadata){{start, (size_t)(p - start)}, count};
    return true;
}

int choiri_msgpack_message_decode(choir_bytes payload, choiri_arena *arena, choiri_message *ret_msg) {
    decoder d = {.r = choiri_reader_of(payload), .arena = arena, .m = ret_msg};
    choiri_clear(ret_msg, sizeof *ret_msg);
    if (!read_members(&d, PAYLOAD, CONNECTION)) return d.r.status;
    if (choiri_reader_left(&d.r) > 0) return CHOIR_ERR_MALFORMED;
    return read_metadata(&d) ? CHOIR_OK : d.r.status;
}

/* ---- writing ---- */

static CHOIRI_INLINE void key(choiri_writer *w, const char *literal) {
    choiri_msgpack_write_key(w, literal);
}

static CHOIRI_INLINE void write_number(choiri_writer *w, const char *name, uint64_t v) {
    key(w, name);
    choiri_msgpack_write_uint(w, v);
}

static CHOIRI_INLINE void write_opaque(choiri_writer *w, const char *name, choir_bytes b) {
    key(w, name);
    choiri_msgpack_write_bin(w, b);
}

/* Up to the members of the payload, of which there are so many. */
static void begin(choiri_writer *w, uint64_t conn, uint8_t kind, size_t count) {
    choiri_msgpack_write_map(w, 2);
    write_number(w, "connection_id", conn);
    key(w, "payload");
    choiri_msgpack_write_map(w, 1);
    choiri_msgpack_write_name(w, payloads[kind].name);
    choiri_msgpack_write_map(w, count);
}

/* Up to the members of the body. */
static void begin_body(choiri_writer *w, uint64_t conn, uint8_t kind, uint64_t id, choir_str body,
                       size_t count) {
    begin(w, conn, kind, 2);
    write_number(w, "id", id);
    key(w, "body");
    choiri_msgpack_write_map(w, 1);
    choiri_msgpack_write_name(w, body);
    choiri_msgpack_write_map(w, count);
}

static void write_entry(choiri_writer *w, const choir_metadata_entry *e) {
    choiri_msgpack_write_map(w, 3);
    key(w, "key");
    choiri_msgpack_write_str(w, e->key);
    key(w, "value");
    choiri_msgpack_write_map(w, 1);
    if (e->type == CHOIR_METADATA_U64) {
        write_number(w, "U64", e->u64);
    } else if (e->type == CHOIR_METADATA_BYTES) {
        write_opaque(w, "Bytes", e->bytes);
    } else {
        key(w, "String");
        choiri_msgpack_write_str(w, (choir_str){(const char *)e->bytes.data, e->bytes.len});
    }
    write_number(w, "flags", e->flags);
}

/* What goes where a message has metadata: entries of ours, or a list as it was received. */
typedef struct metadata {
    const choir_metadata_entry *entries;
    size_t count;
    choir_metadata list; /* without entries */
} metadata;

static bool has_any(const metadata *m) {
    return m->count > 0 || m->list.count > 0;
}

static void write_checked(choiri_writer *w, const choir_metadata_entry *e) {
    if (choiri_metadata_entry_is_valid(e))
        write_entry(w, e);
    else
        choiri_writer_fail(w, CHOIR_ERR_INVALID);
}

/* The member: entries of ours, and the operation id unless it is 0; there must be any. */
static void write_entries(choiri_writer *w, const choir_metadata_entry *entries, size_t count,
                          uint64_t operation_id) {
    key(w, "metadata");
    choiri_msgpack_write_array(w, count + (operation_id != 0));
    for (size_t i = 0; i < count; i++) write_checked(w, &entries[i]);
    if (operation_id == 0) return;
    write_entry(w, &(choir_metadata_entry){.key = CHOIR_STR("vox-operation-id"),
                                           .type = CHOIR_METADATA_U64,
                                           .u64 = operation_id});
}

static void write_metadata(choiri_writer *w, const metadata *m) {
    choir_metadata list = m->list;
    choir_metadata_entry e;
    if (m->count > 0) {
        write_entries(w, m->entries, m->count, 0);
    } else if (list.count > 0) {
        key(w, "metadata");
        choiri_msgpack_write_array(w, list.count);
        while (choir_metadata_next(&list, &e)) write_entry(w, &e);
    }
}

static void encode_request(choiri_writer *w, const choiri_message *m, const metadata *meta) {
    bool schemas = m->schemas.len > 0;
    size_t count = (size_t)has_any(meta) + schemas;
    if (m->body == CHOIRI_BODY_CALL) count += 2;
    if (m->body == CHOIRI_BODY_RESPONSE) count += 1;
    begin_body(w, m->conn, m->kind, m->id, bodies[m->body].name, count);
    if (m->body == CHOIRI_BODY_CALL) write_number(w, "method_id", m->method);
    write_metadata(w, meta);
    if (m->body == CHOIRI_BODY_CANCEL) return;
    write_opaque(w, m->body == CHOIRI_BODY_CALL ? "args" : "ret", m->payload);
    if (schemas) write_opaque(w, "schemas", m->schemas);
}

static void encode_channel(choiri_writer *w, const choiri_message *m, const metadata *meta) {
    bool plain = m->body == CHOIRI_CHANNEL_ITEM || m->body == CHOIRI_CHANNEL_GRANT;
    begin_body(w, m->conn, m->kind, m->id, channels[m->body].name, plain || has_any(meta));
    if (m->body == CHOIRI_CHANNEL_ITEM)
        write_opaque(w, "item", m->payload);
    else if (m->body == CHOIRI_CHANNEL_GRANT)
        write_number(w, "additional", m->additional);
    else
        write_metadata(w, meta);
}

static void encode_settings(choiri_writer *w, const choiri_message *m, const metadata *meta) {
    begin(w, m->conn, m->kind, 1u + has_any(meta));
    key(w, "connection_settings");
    choiri_msgpack_write_map(w, 2);
    key(w, "parity");
    choiri_msgpack_write_name(w, parities[m->settings.parity].name);
    write_number(w, "max_concurrent_requests", m->settings.max_concurrent_requests);
    write_metadata(w, meta);
}

void choiri_msgpack_begin_schema(choiri_writer *w, uint64_t conn, uint64_t method, uint8_t direction) {
    begin(w, conn, CHOIRI_MSG_SCHEMA, 3);
    write_number(w, "method_id", method);
    key(w, "direction");
    choiri_msgpack_write_name(w, directions[direction].name);
}

void choiri_msgpack_message_encode(choiri_writer *w, const choiri_message *m,
                                   const choir_metadata_entry *entries, size_t count) {
    const metadata meta = {entries, count, m->metadata};
    CHOIRI_ASSERT(m->kind <= CHOIRI_MSG_PONG);
    switch (m->kind) {
    case CHOIRI_MSG_PROTOCOL_ERROR:
        begin(w, m->conn, m->kind, 1);
        key(w, "description");
        choiri_msgpack_write_str(w, m->description);
        break;
    case CHOIRI_MSG_CONNECTION_OPEN:
    case CHOIRI_MSG_CONNECTION_ACCEPT: encode_settings(w, m, &meta); break;
    case CHOIRI_MSG_CONNECTION_REJECT:
    case CHOIRI_MSG_CONNECTION_CLOSE:
        begin(w, m->conn, m->kind, has_any(&meta));
        write_metadata(w, &meta);
        break;
    case CHOIRI_MSG_REQUEST: encode_request(w, m, &meta); break;
    case CHOIRI_MSG_SCHEMA:
        choiri_msgpack_begin_schema(w, m->conn, m->method, m->direction);
        write_opaque(w, "schemas", m->schemas);
        break;
    case CHOIRI_MSG_CHANNEL: encode_channel(w, m, &meta); break;
    default: /* ping, pong */
        begin(w, m->conn, m->kind, 1);
        write_number(w, "nonce", m->id);
        break;
    }
}

choiri_hole choiri_msgpack_begin_call(choiri_writer *w, uint64_t conn, uint64_t id, uint64_t method,
                                      const choir_metadata_entry *entries, size_t count,
                                      uint64_t operation_id, bool schemas) {
    bool any = count > 0 || operation_id != 0;
    begin_body(w, conn, CHOIRI_MSG_REQUEST, id, bodies[CHOIRI_BODY_CALL].name, 2u + any + schemas);
    write_number(w, "method_id", method);
    if (any) write_entries(w, entries, count, operation_id);
    key(w, "args");
    return choiri_msgpack_write_hole(w);
}

choiri_hole choiri_msgpack_begin_response(choiri_writer *w, uint64_t conn, uint64_t id,
                                          const choir_metadata_entry *entries, size_t count, bool schemas) {
    begin_body(w, conn, CHOIRI_MSG_REQUEST, id, bodies[CHOIRI_BODY_RESPONSE].name,
               1u + (count > 0) + schemas);
    if (count > 0) write_entries(w, entries, count, 0);
    key(w, "ret");
    return choiri_msgpack_write_hole(w);
}
