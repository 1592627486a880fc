/* SPDX-License-Identifier: MIT */
/* Hello, HelloYourself, LetsGo and Sorry: what was understood is written again and understood as the same.
 * Input: bits: is it the first payload, is it of msgpack mode; payload (CBOR in both modes: msgpack is
 * translated). */
#include "session/handshake.h"
#include "fuzz.h"

static void write_again(choiri_writer *w, const choiri_handshake *h, const choiri_codec *codec) {
    switch (h->kind) {
    case CHOIRI_HELLO:
    case CHOIRI_HELLO_YOURSELF:
        choiri_handshake_write_hello(
            w, h->kind == CHOIRI_HELLO_YOURSELF, codec,
            &(choiri_greeting){.settings = h->settings, .metadata = h->metadata, .service = h->service});
        break;
    case CHOIRI_LETS_GO: choiri_handshake_write_lets_go(w); break;
    case CHOIRI_SORRY: choiri_handshake_write_sorry(w, h->reason); break;
    default: FUZZ_CHECK(false, "kind %d", (int)h->kind);
    }
}

static void check_same(const choiri_handshake *a, const choiri_handshake *b) {
    FUZZ_CHECK(a->kind == b->kind, "another kind");
    if (a->kind == CHOIRI_SORRY)
        FUZZ_CHECK(fuzz_same(fuzz_bytes(a->reason), fuzz_bytes(b->reason)), "another reason");
    if (a->kind > CHOIRI_HELLO_YOURSELF) return;
    FUZZ_CHECK(a->settings.parity == b->settings.parity, "another parity");
    FUZZ_CHECK(a->settings.max_concurrent_requests == b->settings.max_concurrent_requests, "another number");
    FUZZ_CHECK(fuzz_same(fuzz_bytes(a->service), fuzz_bytes(b->service)), "another service");
    FUZZ_CHECK(a->max_payload == b->max_payload, "another largest payload");
    FUZZ_CHECK(b->metadata.count == a->metadata.count + 1, "other metadata");
    choir_bytes start = {b->metadata.entries.data, a->metadata.entries.len};
    FUZZ_CHECK(start.len < b->metadata.entries.len && fuzz_same(start, a->metadata.entries),
               "other metadata");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_run f;
    fuzz_open(&f, data, size);
    uint8_t choice = fuzz_u8(&f);
    bool first = choice & 1;
    const choiri_codec *codec = choice & 2 ? &choiri_codec_msgpack : &choiri_codec_postcard;
    choiri_handshake *h, *again;
    choiri_text text;
    choiri_text_init(&text);
    int status = choiri_handshake_decode(f.env, fuzz_copy(&f, f.in), first, codec, &h, &text);
    if (status != CHOIR_OK) {
        FUZZ_CHECK(status == CHOIR_ERR_HANDSHAKE || (status == CHOIR_ERR_NEWER_PEER && first), "status %d",
                   status);
        FUZZ_CHECK(status != CHOIR_ERR_HANDSHAKE || text.len > 0, "no text");
        return fuzz_close(&f);
    }
    FUZZ_CHECK(h->metadata.count <= CHOIRI_HANDSHAKE_ENTRIES &&
                   h->metadata.entries.len <= CHOIRI_HANDSHAKE_METADATA && h->key_len <= 16 &&
                   h->reason.len <= 200,
               "over a limit");
    /* vox-service is written once more, for which there must be room. */
    if (h->metadata.count < CHOIRI_HANDSHAKE_ENTRIES &&
        h->metadata.entries.len + h->service.len + 32 < CHOIRI_HANDSHAKE_METADATA) {
        choiri_outq q;
        choiri_writer w;
        choiri_outq_init(&q, f.env);
        choiri_writer_init(&w, &q, NULL);
        write_again(&w, h, codec);
        FUZZ_CHECK(choiri_writer_finish(&w) == CHOIR_OK, "cannot be written");
        status = choiri_handshake_decode(f.env, fuzz_drain(&f, &q), false, codec, &again, &text);
        FUZZ_CHECK(status == CHOIR_OK, "what we write is not understood: %s", text.data);
        check_same(h, again);
        choiri_handshake_free(f.env, again);
    }
    choiri_handshake_free(f.env, h);
    return fuzz_close(&f);
}
