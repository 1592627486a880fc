/* SPDX-License-Identifier: MIT */
/* Reader of recorded Hello and HelloYourself payloads, apart from the library's own: members are kept as the
 * CBOR they are, so that two of them can be compared byte by byte. */
#include "replay.h"
#include "wire/cbor.h"

static bool is(choir_str s, const char *name) {
    return s.len == strlen(name) && memcmp(s.data, name, s.len) == 0;
}

/* {"key": .., "value": {"String" | "Bytes" | "U64": ..}, "flags": ..}, in this order as all recorded peers
 * have it. */
static bool read_entry(choiri_reader *r, replay_hello *h) {
    choir_metadata_entry e = {.type = CHOIR_METADATA_STRING};
    choir_str key, kind, text;
    size_t pairs, count;
    uint64_t n;
    if (h->entries_len == REPLAY_ENTRIES) return false;
    if (!choiri_cbor_read_map(r, &pairs) || pairs != 3 || !choiri_cbor_read_text(r, &key) ||
        !is(key, "key") || !choiri_cbor_read_text(r, &e.key) || !choiri_cbor_read_text(r, &key) ||
        !is(key, "value") || !choiri_cbor_read_map(r, &pairs) || pairs != 1 ||
        !choiri_cbor_read_text(r, &kind))
        return false;
    if (is(kind, "String")) {
        if (!choiri_cbor_read_text(r, &text)) return false;
        e.bytes = (choir_bytes){(const uint8_t *)text.data, text.len};
    } else if (is(kind, "U64")) {
        e.type = CHOIR_METADATA_U64;
        if (!choiri_cbor_read_uint(r, &e.u64)) return false;
    } else if (choiri_cbor_peek(r) == CHOIRI_CBOR_BYTES) {
        e.type = CHOIR_METADATA_BYTES;
        if (!choiri_cbor_read_bytes(r, &e.bytes)) return false;
    } else {
        e.type = CHOIR_METADATA_BYTES;
        if (!choiri_cbor_read_array(r, &count) || count > sizeof h->store - h->store_len) return false;
        e.bytes = (choir_bytes){h->store + h->store_len, count};
        for (; count > 0; count--) {
            if (!choiri_cbor_read_uint(r, &n) || n > 255) return false;
            h->store[h->store_len++] = (uint8_t)n;
        }
    }
    if (!choiri_cbor_read_text(r, &key) || !is(key, "flags") || !choiri_cbor_read_uint(r, &e.flags))
        return false;
    h->entries[h->entries_len++] = e;
    return true;
}

static bool read_settings(choir_bytes item, replay_hello *h) {
    choiri_reader r = choiri_reader_of(item);
    size_t pairs;
    uint64_t n;
    if (!choiri_cbor_read_map(&r, &pairs)) return false;
    for (; pairs > 0; pairs--) {
        choir_str key;
        if (!choiri_cbor_read_text(&r, &key)) return false;
        if (!is(key, "max_concurrent_requests")) {
            if (!choiri_cbor_skip(&r, NULL)) return false;
            continue;
        }
        if (!choiri_cbor_read_uint(&r, &n)) return false;
        h->max_concurrent_requests = (uint32_t)n;
    }
    return true;
}

static bool read_member(choiri_reader *r, replay_hello *h) {
    choir_str key;
    choir_bytes item;
    size_t count;
    if (!choiri_cbor_read_text(r, &key)) return false;
    if (is(key, "metadata")) {
        if (!choiri_cbor_read_array(r, &count)) return false;
        for (; count > 0; count--)
            if (!read_entry(r, h)) return false;
        return true;
    }
    if (!choiri_cbor_skip(r, &item)) return false;
    if (is(key, "parity")) h->parity = item;
    if (is(key, "message_payload_schema")) h->schema = item;
    if (!is(key, "connection_settings")) return true;
    h->settings = item;
    return read_settings(item, h);
}

bool replay_hello_read(choir_bytes payload, replay_hello *ret) {
    choiri_reader r = choiri_reader_of(payload);
    size_t pairs;
    *ret = (replay_hello){.max_concurrent_requests = 0};
    if (choiri_cbor_peek(&r) != CHOIRI_CBOR_MAP || !choiri_cbor_read_map(&r, &pairs) || pairs != 1 ||
        !choiri_cbor_read_text(&r, &ret->name))
        return false;
    if (!is(ret->name, "Hello") && !is(ret->name, "HelloYourself")) return false;
    if (!choiri_cbor_read_map(&r, &pairs)) return false;
    for (; pairs > 0; pairs--)
        if (!read_member(&r, ret)) return false;
    return choiri_reader_left(&r) == 0;
}

bool replay_entry_equals(const choir_metadata_entry *a, const choir_metadata_entry *b) {
    return a->key.len == b->key.len && memcmp(a->key.data, b->key.data, a->key.len) == 0 &&
           a->type == b->type && a->u64 == b->u64 && a->flags == b->flags && a->bytes.len == b->bytes.len &&
           (a->bytes.len == 0 || memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0);
}

const replay_payload *replay_find_hello(const replay_recording *r, bool of_client) {
    for (uint32_t i = 0; i < r->len; i++) {
        replay_hello h;
        if (r->payloads[i].from_client == of_client && replay_hello_read(replay_bytes(&r->payloads[i]), &h))
            return &r->payloads[i];
    }
    return NULL;
}
