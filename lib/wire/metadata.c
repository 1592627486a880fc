/* SPDX-License-Identifier: MIT */
/* Metadata lists: reading, walking, writing. A received list stays in its postcard form: it was checked
 * once, is seldom looked at, and an array of entries would need memory for each call. rule: metadata.* */
#include "wire/metadata.h"

#include "wire/utf8.h"

/* Key length, type, value and flags take at least a byte each. */
#define ENTRY_MIN 4u

/* Writes to *ret as it goes: callers give it an entry of their own. */
static bool read_entry(choiri_reader *r, choir_metadata_entry *ret) {
    choir_str text = {NULL, 0};
    uint64_t type;
    ret->reserved = 0;
    ret->bytes = (choir_bytes){NULL, 0};
    ret->u64 = 0;
    if (!choiri_read_string(r, &ret->key) || !choiri_read_varint_max(r, CHOIR_METADATA_U64, &type))
        return false;
    ret->type = (uint32_t)type;
    if (type == CHOIR_METADATA_U64) {
        if (!choiri_read_varint(r, &ret->u64)) return false;
    } else if (type == CHOIR_METADATA_BYTES) {
        if (!choiri_read_bytes(r, &ret->bytes)) return false;
    } else {
        if (!choiri_read_string(r, &text)) return false;
        ret->bytes = (choir_bytes){(const uint8_t *)text.data, text.len};
    }
    return choiri_read_varint(r, &ret->flags);
}

bool choiri_read_metadata(choiri_reader *r, choir_metadata *ret) {
    uint64_t count;
    choir_metadata_entry entry;
    if (!choiri_read_varint(r, &count)) return false;
    if (count > choiri_reader_left(r) / ENTRY_MIN) return choiri_reader_fail(r, CHOIR_ERR_TRUNCATED);
    const uint8_t *start = r->pos;
    for (uint64_t i = 0; i < count; i++) {
        if (!read_entry(r, &entry)) return false;
    }
    *ret = (choir_metadata){{start, (size_t)(r->pos - start)}, (size_t)count};
    return true;
}

bool choir_metadata_next(choir_metadata *list, choir_metadata_entry *ret_entry) {
    if (list->count == 0) return false;
    choiri_reader r = choiri_reader_of(list->entries);
    choir_metadata_entry entry;
    if (!read_entry(&r, &entry)) {
        *list = (choir_metadata){0}; /* a list that nobody checked: it ends here */
        return false;
    }
    list->entries = (choir_bytes){r.pos, choiri_reader_left(&r)};
    list->count--;
    *ret_entry = entry;
    return true;
}

bool choir_metadata_find(choir_metadata list, choir_str key, uint32_t type, choir_metadata_entry *ret_entry) {
    choir_metadata_entry entry;
    while (choir_metadata_next(&list, &entry)) {
        if (entry.type != type || entry.key.len != key.len) continue;
        if (key.len > 0 && memcmp(entry.key.data, key.data, key.len) != 0) continue;
        *ret_entry = entry;
        return true;
    }
    return false;
}

static bool is_text(choir_bytes b) {
    return choiri_utf8_is_valid(b.data, b.len);
}

/* A peer that gets text which is none ends the whole session, so it is stopped here. */
bool choiri_metadata_entry_is_valid(const choir_metadata_entry *e) {
    if (e->reserved != 0 || e->type > CHOIR_METADATA_U64) return false;
    if (!choiri_utf8_is_valid((const uint8_t *)e->key.data, e->key.len)) return false;
    return e->type != CHOIR_METADATA_STRING || is_text(e->bytes);
}

void choiri_write_entries(choiri_writer *w, const choir_metadata_entry *entries, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const choir_metadata_entry *e = &entries[i];
        if (!choiri_metadata_entry_is_valid(e)) {
            choiri_writer_fail(w, CHOIR_ERR_INVALID);
            return;
        }
        choiri_write_bytes(w, (choir_bytes){(const uint8_t *)e->key.data, e->key.len});
        choiri_write_u8(w, (uint8_t)e->type);
        if (e->type == CHOIR_METADATA_U64) {
            choiri_write_varint(w, e->u64);
        } else {
            choiri_write_bytes(w, e->bytes);
        }
        choiri_write_varint(w, e->flags);
    }
}

void choiri_write_metadata(choiri_writer *w, const choir_metadata_entry *entries, size_t count) {
    choiri_write_varint(w, count);
    choiri_write_entries(w, entries, count);
}
