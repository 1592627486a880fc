/* SPDX-License-Identifier: MIT */
/* The handshake: Hello, HelloYourself, LetsGo, Sorry. Pure: payload in, struct out, and the reverse.
 * It is CBOR here; the attachment translates where the codec has another spelling. What codecs say
 * differently they tell: how an enum's unit variant is written, and whether message_payload_schema may be
 * left out (unless it is needed, having it means to want our schemas).
 * rule: handshake.* */
#ifndef CHOIRI_HANDSHAKE_H
#define CHOIRI_HANDSHAKE_H

#include "base/env.h"
#include "base/text.h"
#include "choir/attachment.h"
#include "protocol/codec.h"
#include "wire/writer.h"

/* Limits of a handshake's metadata: what is kept of it until the host has decided. Of the entries two are
 * ours: choir-max-payload and vox-service. */
#define CHOIRI_HANDSHAKE_ENTRIES  64u
#define CHOIRI_HANDSHAKE_OURS     2u
#define CHOIRI_HANDSHAKE_METADATA 16384u

typedef enum choiri_handshake_kind {
    CHOIRI_HELLO,
    CHOIRI_HELLO_YOURSELF,
    CHOIRI_LETS_GO,
    CHOIRI_SORRY
} choiri_handshake_kind;

/* A received handshake message, self-contained: metadata is kept in postcard form behind the struct. */
typedef struct choiri_handshake {
    choiri_handshake_kind kind;
    uint8_t parity; /* Hello: the peer's ids, CHOIRI_PARITY_* */
    choiri_settings settings;
    bool retry;
    bool announces;  /* the peer wants schemas */
    uint8_t key_len; /* 0: no key. Longer ones than 16 are none (rule: handshake.resume-key) */
    uint8_t key[16];
    choir_str service; /* first String vox-service */
    bool has_max_payload;
    uint64_t max_payload; /* first U64 choir-max-payload. rule: ours.max-payload */
    choir_metadata metadata;
    choir_str reason;  /* Sorry, cut at 200 bytes */
    choir_hello hello; /* the same for the host */
    size_t size;       /* of this allocation */
} choiri_handshake;

/* Decodes one payload; `first`: it is the peer's first. OK · ERR_NEWER_PEER (the first one does not start
 * with a CBOR map) · ERR_HANDSHAKE (text says what is wrong) · ERR_NO_MEMORY. Returns owned (free with
 * choiri_handshake_free). */
int choiri_handshake_decode(choir_env *env, choir_bytes payload, bool first, const choiri_codec *codec,
                            choiri_handshake **ret, choiri_text *ret_text);
void choiri_handshake_free(choir_env *env, choiri_handshake *h);

/* What a Hello says. */
typedef struct choiri_greeting {
    choiri_settings settings;
    uint32_t max_payload;    /* that we take; 0: we do not say */
    choir_metadata metadata; /* the host's */
    choir_str service;       /* vox-service; comes last, as vox peers have it */
} choiri_greeting;

/* Writes Hello (with parity) or HelloYourself (without), with the constant Message schema (an empty one where
 * the codec needs none), supports_retry false and no resume key (there is no operation table yet). */
void choiri_handshake_write_hello(choiri_writer *w, bool yourself, const choiri_codec *codec,
                                  const choiri_greeting *g);
void choiri_handshake_write_lets_go(choiri_writer *w);
void choiri_handshake_write_sorry(choiri_writer *w, choir_str reason);

#endif
