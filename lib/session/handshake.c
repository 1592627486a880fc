/* SPDX-License-Identifier: MIT */
/* Handshake payloads. Decoding follows what vox 0.4.0 decoders accept: any field order, unknown keys skipped,
 * defaults where the protocol lists them, a later duplicate key overwrites. Metadata is turned into postcard
 * form at once, so that the host sees one kind of list everywhere and the payload need not be kept. */
#include "session/handshake.h"

#include "schema/tracker.h"
#include "wire/cbor.h"

/* Text of a Sorry that is kept. */
#define REASON_MAX 200u

typedef struct decoder {
    choir_env *env;
    choiri_reader r;
    choiri_handshake *h;
    uint8_t *store, *store_end; /* room behind h for metadata and texts */
    choiri_text *text;
    int status;
    const choiri_codec *codec;
} decoder;

static bool is_key(choir_str s, const char *name) {
    return s.len == strlen(name) && memcmp(s.data, name, s.len) == 0;
}

/* The first complaint wins; a reader that ran out of input speaks for itself. */
static bool bad(decoder *d, const char *what) {
    if (d->status == CHOIR_OK) {
        d->status = CHOIR_ERR_HANDSHAKE;
        choiri_text_init(d->text);
        choiri_text_add(d->text, what);
        if (d->r.status == CHOIR_ERR_TRUNCATED) choiri_text_add(d->text, " (the payload ends too early)");
    }
    return false;
}

static bool store_byte(decoder *d, uint8_t b) {
    if (d->store == d->store_end) return bad(d, "handshake metadata is over 16 KiB");
    *d->store++ = b;
    return true;
}

static bool store_varint(decoder *d, uint64_t v) {
    for (; v >= 0x80; v >>= 7)
        if (!store_byte(d, (uint8_t)(v | 0x80))) return false;
    return store_byte(d, (uint8_t)v);
}

static bool store_span(decoder *d, const void *data, size_t len) {
    if (!store_varint(d, len)) return false;
    if ((size_t)(d->store_end - d->store) < len) return bad(d, "handshake metadata is over 16 KiB");
    if (len > 0) memcpy(d->store, data, len);
    d->store += len;
    return true;
}

static bool read_parity_name(decoder *d, choir_str *ret) {
    size_t pairs;
    if (d->codec->unit_is_name && choiri_cbor_peek(&d->r) == CHOIRI_CBOR_TEXT)
        return choiri_cbor_read_text(&d->r, ret);
    return choiri_cbor_read_map(&d->r, &pairs) && pairs == 1 && choiri_cbor_read_text(&d->r, ret) &&
           choiri_cbor_read_null(&d->r);
}

/* An enum with unit variants: {"Odd": null}, or "Odd". rule: handshake.parity */
static bool read_parity(decoder *d, uint8_t *ret) {
    choir_str name;
    if (!read_parity_name(d, &name))
        return bad(d, d->codec->unit_is_name ? "parity must be \"Odd\" or \"Even\""
                                             : "parity must be {\"Odd\": null} or {\"Even\": null}");
    if (is_key(name, "Odd"))
        *ret = CHOIRI_PARITY_ODD;
    else if (is_key(name, "Even"))
        *ret = CHOIRI_PARITY_EVEN;
    else
        return bad(d, "parity is neither Odd nor Even");
    return true;
}

static bool read_settings(decoder *d, choiri_settings *ret) {
    size_t pairs;
    bool parity = false, max = false;
    if (!choiri_cbor_read_map(&d->r, &pairs)) return bad(d, "connection_settings is not a map");
    for (; pairs > 0; pairs--) {
        choir_str key;
        uint64_t n;
        if (!choiri_cbor_read_text(&d->r, &key))
            return bad(d, "connection_settings has a key that is no text");
        if (is_key(key, "parity")) {
            if (!read_parity(d, &ret->parity)) return false;
            parity = true;
        } else if (is_key(key, "max_concurrent_requests")) {
            if (!choiri_cbor_read_uint(&d->r, &n)) return bad(d, "max_concurrent_requests is no number");
            ret->max_concurrent_requests = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
            max = true;
        } else if (!choiri_cbor_skip(&d->r, NULL)) {
            return bad(d, "connection_settings is malformed");
        }
    }
    return (parity && max) || bad(d, "connection_settings lacks parity or max_concurrent_requests");
}

/* null, or {"bytes": <byte string>}. Another length than 16 counts as no key, as it does for vox peers. */
static bool read_resume_key(decoder *d) {
    size_t pairs;
    choir_str key;
    choir_bytes bytes;
    d->h->key_len = 0;
    if (choiri_cbor_peek(&d->r) == CHOIRI_CBOR_NULL) return choiri_cbor_read_null(&d->r);
    if (!choiri_cbor_read_map(&d->r, &pairs) || pairs != 1 || !choiri_cbor_read_text(&d->r, &key) ||
        !is_key(key, "bytes") || !choiri_cbor_read_bytes(&d->r, &bytes))
        return bad(d, "resume_key must be null or {\"bytes\": byte string}");
    if (bytes.len == sizeof d->h->key) {
        memcpy(d->h->key, bytes.data, bytes.len);
        d->h->key_len = (uint8_t)bytes.len;
    }
    return true;
}

/* Bytes come as a byte string (TypeScript) or as an array of numbers (Rust). */
static bool read_bytes_value(decoder *d) {
    choir_bytes bytes;
    size_t count;
    if (choiri_cbor_peek(&d->r) == CHOIRI_CBOR_BYTES)
        return choiri_cbor_read_bytes(&d->r, &bytes) && store_span(d, bytes.data, bytes.len);
    if (!choiri_cbor_read_array(&d->r, &count) || !store_varint(d, count)) return false;
    for (; count > 0; count--) {
        uint64_t n;
        if (!choiri_cbor_read_uint(&d->r, &n) || n > 255 || !store_byte(d, (uint8_t)n)) return false;
    }
    return true;
}

/* By its type, *ret_string is set, or *ret_number and *ret_is_number. */
static bool read_value(decoder *d, choir_str *ret_string, uint64_t *ret_number, bool *ret_is_number) {
    size_t pairs;
    choir_str name, s;
    uint64_t n;
    if (!choiri_cbor_read_map(&d->r, &pairs) || pairs != 1 || !choiri_cbor_read_text(&d->r, &name))
        return bad(d, "a metadata value is not a map of one entry");
    if (is_key(name, "String")) {
        if (!choiri_cbor_read_text(&d->r, &s)) return bad(d, "a String metadata value is no text");
        *ret_string = s;
        return store_byte(d, CHOIR_METADATA_STRING) && store_span(d, s.data, s.len);
    }
    if (is_key(name, "U64")) {
        if (!choiri_cbor_read_uint(&d->r, &n)) return bad(d, "a U64 metadata value is no number");
        *ret_number = n;
        *ret_is_number = true;
        return store_byte(d, CHOIR_METADATA_U64) && store_varint(d, n);
    }
    if (is_key(name, "Bytes"))
        return (store_byte(d, CHOIR_METADATA_BYTES) && read_bytes_value(d)) ||
               bad(d, "a Bytes metadata value is neither bytes nor numbers");
    return bad(d, "a metadata value is neither String nor Bytes nor U64");
}

/* Where one entry's members lie in the payload; the value is read after the key, whatever their order. */
typedef struct raw_entry {
    choir_str key;
    choir_bytes value;
    uint64_t flags;
    bool has_key, has_value;
} raw_entry;

static bool read_entry_members(decoder *d, raw_entry *e) {
    size_t pairs;
    if (!choiri_cbor_read_map(&d->r, &pairs)) return bad(d, "a metadata entry is not a map");
    for (; pairs > 0; pairs--) {
        choir_str key;
        bool ok;
        if (!choiri_cbor_read_text(&d->r, &key)) return bad(d, "a metadata entry has a key that is no text");
        if (is_key(key, "key"))
            ok = e->has_key = choiri_cbor_read_text(&d->r, &e->key);
        else if (is_key(key, "value"))
            ok = e->has_value = choiri_cbor_skip(&d->r, &e->value);
        else if (is_key(key, "flags"))
            ok = choiri_cbor_read_uint(&d->r, &e->flags);
        else
            ok = choiri_cbor_skip(&d->r, NULL);
        if (!ok) return bad(d, "a metadata entry is malformed");
    }
    return (e->has_key && e->has_value) || bad(d, "a metadata entry lacks key or value");
}

static bool read_entry(decoder *d) {
    raw_entry e = {.flags = 0};
    choir_str string = {NULL, 0};
    uint64_t number;
    bool is_number = false;
    if (!read_entry_members(d, &e)) return false;
    choiri_reader behind = d->r;
    if (!store_span(d, e.key.data, e.key.len)) return false;
    d->r = choiri_reader_of(e.value);
    if (!read_value(d, &string, &number, &is_number)) return bad(d, "a metadata value is malformed");
    d->r = behind;
    if (is_number && !d->h->has_max_payload && is_key(e.key, "choir-max-payload")) {
        d->h->has_max_payload = true;
        d->h->max_payload = number;
    }
    if (string.data && !d->h->service.data && is_key(e.key, "vox-service")) {
        /* Kept, not borrowed: the text is the last thing that was stored. */
        d->h->service = (choir_str){(const char *)d->store - string.len, string.len};
    }
    return store_varint(d, e.flags);
}

static bool read_metadata(decoder *d) {
    size_t count;
    const uint8_t *start = d->store;
    d->h->metadata = (choir_metadata){{NULL, 0}, 0};
    d->h->service = (choir_str){NULL, 0};
    d->h->has_max_payload = false;
    d->h->max_payload = 0;
    if (!choiri_cbor_read_array(&d->r, &count)) return bad(d, "metadata is not an array");
    if (count > CHOIRI_HANDSHAKE_ENTRIES) return bad(d, "handshake metadata has more than 64 entries");
    for (size_t i = 0; i < count; i++)
        if (!read_entry(d)) return false;
    d->h->metadata = (choir_metadata){{start, (size_t)(d->store - start)}, count};
    return true;
}

static bool read_message_schema(decoder *d) {
    choir_bytes list;
    if (choiri_cbor_peek(&d->r) != CHOIRI_CBOR_ARRAY || !choiri_cbor_skip(&d->r, &list))
        return bad(d, "message_payload_schema is not an array");
    int status = choiri_message_schema_match(d->env, list, d->text);
    if (status == CHOIR_OK) return true;
    d->status = status == CHOIR_ERR_NO_MEMORY ? status : CHOIR_ERR_HANDSHAKE;
    return false;
}

/* Hello and HelloYourself. rule: handshake.hello */
static bool read_hello(decoder *d) {
    size_t pairs;
    bool parity = d->h->kind == CHOIRI_HELLO_YOURSELF, settings = false, schema = false;
    if (!choiri_cbor_read_map(&d->r, &pairs)) return bad(d, "Hello is not a map");
    for (; pairs > 0; pairs--) {
        choir_str key;
        if (!choiri_cbor_read_text(&d->r, &key)) return bad(d, "Hello has a key that is no text");
        bool ok;
        if (is_key(key, "parity") && d->h->kind == CHOIRI_HELLO)
            ok = parity = read_parity(d, &d->h->parity);
        else if (is_key(key, "connection_settings"))
            ok = settings = read_settings(d, &d->h->settings);
        else if (is_key(key, "message_payload_schema"))
            ok = schema = d->h->announces = read_message_schema(d);
        else if (is_key(key, "supports_retry"))
            ok = choiri_cbor_read_bool(&d->r, &d->h->retry);
        else if (is_key(key, "resume_key"))
            ok = read_resume_key(d);
        else if (is_key(key, "metadata"))
            ok = read_metadata(d);
        else
            ok = choiri_cbor_skip(&d->r, NULL);
        if (!ok) return bad(d, "Hello is malformed");
    }
    if (!d->codec->needs_schemas)
        return (parity && settings) || bad(d, "Hello lacks parity or connection_settings");
    return (parity && settings && schema) ||
           bad(d, "Hello lacks parity, connection_settings or message_payload_schema");
}

static bool read_sorry(decoder *d) {
    size_t pairs;
    if (!choiri_cbor_read_map(&d->r, &pairs)) return bad(d, "Sorry is not a map");
    for (; pairs > 0; pairs--) {
        choir_str key, reason;
        if (!choiri_cbor_read_text(&d->r, &key)) return bad(d, "Sorry is malformed");
        if (is_key(key, "reason")) {
            if (!choiri_cbor_read_text(&d->r, &reason)) return bad(d, "the reason of Sorry is no text");
            if (reason.len > REASON_MAX) reason.len = REASON_MAX;
            d->h->reason = (choir_str){(const char *)d->store, reason.len};
            if (reason.len > 0) memcpy(d->store, reason.data, reason.len);
        } else if (!choiri_cbor_skip(&d->r, NULL)) {
            return bad(d, "Sorry is malformed");
        }
    }
    return true;
}

static bool read_body(decoder *d) {
    size_t pairs;
    choir_str name;
    if (!choiri_cbor_read_map(&d->r, &pairs) || pairs != 1 || !choiri_cbor_read_text(&d->r, &name))
        return bad(d, "a handshake message must be a map of one entry");
    if (is_key(name, "Hello")) {
        d->h->kind = CHOIRI_HELLO;
        return read_hello(d);
    }
    if (is_key(name, "HelloYourself")) {
        d->h->kind = CHOIRI_HELLO_YOURSELF;
        return read_hello(d);
    }
    if (is_key(name, "LetsGo")) {
        d->h->kind = CHOIRI_LETS_GO;
        return (choiri_cbor_peek(&d->r) == CHOIRI_CBOR_MAP && choiri_cbor_skip(&d->r, NULL)) ||
               bad(d, "LetsGo is not a map");
    }
    if (is_key(name, "Sorry")) {
        d->h->kind = CHOIRI_SORRY;
        return read_sorry(d);
    }
    return bad(d, "unknown handshake message");
}

/* vox 0.9 and later do not start their handshake with a CBOR map. A peer whose first message was one speaks
 * 0.4. */
static int check_first_byte(choir_bytes payload, bool newer, choiri_text *ret_text) {
    choiri_text_init(ret_text);
    if (payload.len > 0 && payload.data[0] >> 5 == CHOIRI_CBOR_MAP) return CHOIR_OK;
    if (payload.len == 0) {
        choiri_text_add(ret_text, "empty handshake payload");
        return CHOIR_ERR_HANDSHAKE;
    }
    choiri_text_add(ret_text, "a handshake message must start with a CBOR map, not with ");
    choiri_text_quoted(ret_text, payload, 16);
    if (!newer) return CHOIR_ERR_HANDSHAKE;
    choiri_text_add(ret_text, ": this looks like vox 0.9 or later, choir speaks vox 0.4");
    return CHOIR_ERR_NEWER_PEER;
}

static void fill_hello(choiri_handshake *h) {
    h->hello = (choir_hello){
        .parity = h->parity == CHOIRI_PARITY_ODD ? 1 : 2,
        .max_concurrent_requests = h->settings.max_concurrent_requests,
        .supports_retry = h->retry,
        .resume_key_len = h->key_len,
        .resume_key = h->key_len ? h->key : NULL,
        .service = h->service,
        .metadata = h->metadata,
    };
}

int choiri_handshake_decode(choir_env *env, choir_bytes payload, bool first, const choiri_codec *codec,
                            choiri_handshake **ret, choiri_text *ret_text) {
    int status = check_first_byte(payload, first && codec->is_vox, ret_text);
    if (status != CHOIR_OK) return status;
    /* What is stored is never longer than the payload (CBOR spells member names out), nor than the limits. */
    size_t room = payload.len < CHOIRI_HANDSHAKE_METADATA ? payload.len : CHOIRI_HANDSHAKE_METADATA;
    size_t size = sizeof(choiri_handshake) + room;
    choiri_handshake *h = choiri_alloc(env, size);
    if (!h) return CHOIR_ERR_NO_MEMORY;
    *h = (choiri_handshake){.size = size};
    decoder d = {.env = env, .r = choiri_reader_of(payload), .h = h, .text = ret_text, .codec = codec};
    d.store = (uint8_t *)(h + 1);
    d.store_end = d.store + room;
    if (!read_body(&d)) {
        choiri_free(env, h, size);
        return d.status == CHOIR_OK ? CHOIR_ERR_HANDSHAKE : d.status;
    }
    fill_hello(h);
    *ret = h;
    return CHOIR_OK;
}

void choiri_handshake_free(choir_env *env, choiri_handshake *h) {
    if (h) choiri_free(env, h, h->size);
}

/* ---- writing ---- */

static void write_parity(choiri_writer *w, const choiri_codec *codec, uint8_t parity) {
    if (!codec->unit_is_name) choiri_cbor_write_map(w, 1);
    choiri_cbor_write_key(w, parity == CHOIRI_PARITY_ODD ? "Odd" : "Even");
    if (!codec->unit_is_name) choiri_cbor_write_null(w);
}

static void write_entry(choiri_writer *w, const choir_metadata_entry *e) {
    choiri_cbor_write_map(w, 3);
    choiri_cbor_write_key(w, "key");
    choiri_cbor_write_text(w, e->key);
    choiri_cbor_write_key(w, "value");
    choiri_cbor_write_map(w, 1);
    if (e->type == CHOIR_METADATA_STRING) {
        choiri_cbor_write_key(w, "String");
        choiri_cbor_write_text(w, (choir_str){(const char *)e->bytes.data, e->bytes.len});
    } else if (e->type == CHOIR_METADATA_BYTES) {
        choiri_cbor_write_key(w, "Bytes");
        choiri_cbor_write_bytes(w, e->bytes);
    } else {
        choiri_cbor_write_key(w, "U64");
        choiri_cbor_write_uint(w, e->u64);
    }
    choiri_cbor_write_key(w, "flags");
    choiri_cbor_write_uint(w, e->flags);
}

static void write_message_schema(choiri_writer *w, const choiri_codec *codec) {
    choiri_cbor_write_key(w, "message_payload_schema");
    if (codec->needs_schemas)
        choiri_write_raw(w, choiri_message_schema, choiri_message_schema_len);
    else
        choiri_cbor_write_array(w, 0);
}

static void write_metadata(choiri_writer *w, const choiri_greeting *g) {
    choir_metadata list = g->metadata;
    choir_metadata_entry e;
    choiri_cbor_write_key(w, "metadata");
    choiri_cbor_write_array(w, list.count + (g->max_payload > 0) + 1);
    /* In front of the host's, because the first counts. */
    e = (choir_metadata_entry){
        .key = CHOIR_STR("choir-max-payload"), .type = CHOIR_METADATA_U64, .u64 = g->max_payload};
    if (g->max_payload > 0) write_entry(w, &e);
    while (choir_metadata_next(&list, &e)) write_entry(w, &e);
    e = (choir_metadata_entry){.key = CHOIR_STR("vox-service"),
                               .type = CHOIR_METADATA_STRING,
                               .bytes = {(const uint8_t *)g->service.data, g->service.len}};
    write_entry(w, &e);
}

void choiri_handshake_write_hello(choiri_writer *w, bool yourself, const choiri_codec *codec,
                                  const choiri_greeting *g) {
    choiri_cbor_write_map(w, 1);
    choiri_cbor_write_key(w, yourself ? "HelloYourself" : "Hello");
    choiri_cbor_write_map(w, yourself ? 5 : 6);
    if (!yourself) {
        choiri_cbor_write_key(w, "parity");
        write_parity(w, codec, g->settings.parity);
    }
    choiri_cbor_write_key(w, "connection_settings");
    choiri_cbor_write_map(w, 2);
    choiri_cbor_write_key(w, "parity");
    write_parity(w, codec, g->settings.parity);
    choiri_cbor_write_key(w, "max_concurrent_requests");
    choiri_cbor_write_uint(w, g->settings.max_concurrent_requests);
    write_message_schema(w, codec);
    choiri_cbor_write_key(w, "supports_retry");
    choiri_cbor_write_bool(w, false);
    choiri_cbor_write_key(w, "resume_key");
    choiri_cbor_write_null(w);
    write_metadata(w, g);
}

void choiri_handshake_write_lets_go(choiri_writer *w) {
    choiri_cbor_write_map(w, 1);
    choiri_cbor_write_key(w, "LetsGo");
    choiri_cbor_write_map(w, 0);
}

void choiri_handshake_write_sorry(choiri_writer *w, choir_str reason) {
    choiri_cbor_write_map(w, 1);
    choiri_cbor_write_key(w, "Sorry");
    choiri_cbor_write_map(w, 1);
    choiri_cbor_write_key(w, "reason");
    choiri_cbor_write_text(w, reason);
}
