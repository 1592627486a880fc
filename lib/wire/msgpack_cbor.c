/* SPDX-License-Identifier: MIT */
/* From msgpack to CBOR and back. The two have one data model, and both announce how many items a container
 * has, so a value is translated head by head: no tree, no stack. Handshakes and schemas go through here;
 * calls do not. */
#include "wire/cbor.h"
#include "wire/msgpack.h"

#include "base/assert.h"

enum { SIMPLE_FALSE = 0xf4, SIMPLE_TRUE = 0xf5, SIMPLE_NULL = 0xf6, DOUBLE = 0xfb };

static uint8_t *put_double(uint8_t *p, double real) {
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    *p++ = DOUBLE;
    for (unsigned shift = 64; shift > 0;) *p++ = (uint8_t)(bits >> (shift -= 8));
    return p;
}

/* All of a token but the bytes it spans. Nothing that we know has an ext, so one becomes null. */
static uint8_t *put_token(uint8_t *p, const choiri_msgpack_token *t) {
    switch (t->kind) {
    case CHOIRI_MSGPACK_BOOL: *p++ = t->number ? SIMPLE_TRUE : SIMPLE_FALSE; return p;
    case CHOIRI_MSGPACK_UINT: return choiri_cbor_put_head(p, CHOIRI_CBOR_UINT, t->number);
    case CHOIRI_MSGPACK_NEGATIVE: return choiri_cbor_put_head(p, CHOIRI_CBOR_NEGATIVE, ~t->number);
    case CHOIRI_MSGPACK_FLOAT: return put_double(p, t->real);
    case CHOIRI_MSGPACK_STR: return choiri_cbor_put_head(p, CHOIRI_CBOR_TEXT, t->bytes.len);
    case CHOIRI_MSGPACK_BIN: return choiri_cbor_put_head(p, CHOIRI_CBOR_BYTES, t->bytes.len);
    case CHOIRI_MSGPACK_ARRAY: return choiri_cbor_put_head(p, CHOIRI_CBOR_ARRAY, t->count);
    case CHOIRI_MSGPACK_MAP: return choiri_cbor_put_head(p, CHOIRI_CBOR_MAP, t->count);
    default: *p++ = SIMPLE_NULL; return p;
    }
}

static bool has_bytes(const choiri_msgpack_token *t) {
    return t->kind == CHOIRI_MSGPACK_STR || t->kind == CHOIRI_MSGPACK_BIN;
}

size_t choiri_msgpack_cbor_size(choir_bytes bytes) {
    uint8_t head[CHOIRI_CBOR_HEAD_MAX];
    choiri_reader r = choiri_reader_of(bytes);
    size_t size = 0;
    if (choiri_msgpack_scan(bytes) != CHOIR_OK) return 0;
    while (choiri_reader_left(&r) > 0) {
        choiri_msgpack_token t;
        if (!choiri_msgpack_read(&r, &t)) return 0;
        size += (size_t)(put_token(head, &t) - head) + (has_bytes(&t) ? t.bytes.len : 0);
    }
    return size;
}

void choiri_msgpack_to_cbor(choir_bytes bytes, uint8_t *to) {
    uint8_t head[CHOIRI_CBOR_HEAD_MAX];
    choiri_reader r = choiri_reader_of(bytes);
    while (choiri_reader_left(&r) > 0) {
        choiri_msgpack_token t;
        bool ok = choiri_msgpack_read(&r, &t);
        CHOIRI_ASSERT(ok);
        size_t len = (size_t)(put_token(head, &t) - head);
        memcpy(to, head, len); /* `to` may have room for no more than that */
        to += len;
        if (!has_bytes(&t) || t.bytes.len == 0) continue;
        memcpy(to, t.bytes.data, t.bytes.len);
        to += t.bytes.len;
    }
}

/* One item; *ret_items says how many must follow inside it. */
static bool write_item(choiri_writer *w, choiri_reader *r, uint64_t *ret_items) {
    uint64_t n = 0;
    size_t count = 0;
    choir_str text;
    choir_bytes bytes;
    bool yes, ok;
    *ret_items = 0;
    switch (choiri_cbor_peek(r)) {
    case CHOIRI_CBOR_UINT:
        if ((ok = choiri_cbor_read_uint(r, &n))) choiri_msgpack_write_uint(w, n);
        return ok;
    case CHOIRI_CBOR_TEXT:
        if ((ok = choiri_cbor_read_text(r, &text))) choiri_msgpack_write_str(w, text);
        return ok;
    case CHOIRI_CBOR_BYTES:
        if ((ok = choiri_cbor_read_bytes(r, &bytes))) choiri_msgpack_write_bin(w, bytes);
        return ok;
    case CHOIRI_CBOR_BOOL:
        if ((ok = choiri_cbor_read_bool(r, &yes))) choiri_msgpack_write_bool(w, yes);
        return ok;
    case CHOIRI_CBOR_NULL:
        if ((ok = choiri_cbor_read_null(r))) choiri_msgpack_write_nil(w);
        return ok;
    case CHOIRI_CBOR_ARRAY:
        if ((ok = choiri_cbor_read_array(r, &count))) choiri_msgpack_write_array(w, count);
        *ret_items = count;
        return ok;
    case CHOIRI_CBOR_MAP:
        if ((ok = choiri_cbor_read_map(r, &count))) choiri_msgpack_write_map(w, count);
        *ret_items = 2 * (uint64_t)count;
        return ok;
    default: return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    }
}

void choiri_msgpack_write_cbor(choiri_writer *w, choiri_reader *cbor) {
    uint64_t items;
    for (uint64_t pending = 1; pending > 0 && w->status == CHOIR_OK; pending += items - 1) {
        if (write_item(w, cbor, &items)) continue;
        choiri_writer_fail(w, CHOIR_ERR_INVALID);
        return;
    }
}
