/* SPDX-License-Identifier: MIT */
/* The transport prologue: 8 bytes each way that fix conduit mode and codec of an attachment. Pure functions.
 * rule: prologue.* (docs/protocol/prologue.md). */
#ifndef CHOIRI_PROLOGUE_H
#define CHOIRI_PROLOGUE_H

#include "base/text.h"
#include "choir/base.h"
#include "choir/status.h"

#define CHOIRI_PROLOGUE_LEN     8u
#define CHOIRI_PROLOGUE_VERSION 9u

enum { /* conduit modes */
       CHOIRI_MODE_BARE = 0,
       CHOIRI_MODE_STABLE = 1,
       CHOIRI_MODE_MSGPACK = 16,        /* bare msgpack */
       CHOIRI_MODE_MSGPACK_STABLE = 17, /* reserved: stable msgpack */
};
#define CHOIRI_REJECT_MODE 1u /* the only reason defined: unsupported mode */

typedef enum choiri_prologue_verdict {
    CHOIRI_PROLOGUE_ACCEPT, /* go on; out holds VOTA (acceptor) */
    CHOIRI_PROLOGUE_REJECT, /* out holds VOTR: send it, then close; text names the mode or version */
    CHOIRI_PROLOGUE_CLOSE,  /* nothing to send; text names what was seen */
} choiri_prologue_verdict;

/* The mode that asks for a codec (CHOIR_CODEC_*) on a bare conduit, and the codec of a mode that was
 * accepted. */
uint8_t choiri_prologue_mode_of(uint32_t codec);
uint32_t choiri_prologue_codec_of(uint8_t mode);

/* TransportHello of an initiator. */
void choiri_prologue_hello(uint8_t mode, uint8_t ret_out[CHOIRI_PROLOGUE_LEN]);
/* Acceptor: judges the peer's first payload. `supported` has a bit per conduit mode 0..31. Writes ret_out
 * for ACCEPT and REJECT, ret_mode for ACCEPT, ret_text otherwise. Right magic with another version or an
 * unsupported mode is rejected; modes are named (bare, stable, msgpack, stable msgpack, or the number).
 * Reserved bytes are not checked (no peer does; rule: prologue.reserved). */
choiri_prologue_verdict choiri_prologue_judge_hello(choir_bytes payload, uint32_t supported,
                                                    uint8_t ret_out[CHOIRI_PROLOGUE_LEN], uint8_t *ret_mode,
                                                    choiri_text *ret_text);
/* Initiator: judges the answer to `mode`. OK, ERR_REJECTED (VOTR; text names the reason) or ERR_PROLOGUE
 * (anything else; text names what was seen). */
int choiri_prologue_judge_answer(choir_bytes payload, uint8_t mode, choiri_text *ret_text);
/* Says what a peer that is not vox seems to speak, from its first bytes (at least 4): "an HTTP request
 * (GET)", "an HTTP/2 preface", "an HTTP response", "a TLS ClientHello", "a TLS record", "an SSH banner",
 * ...; else quotes the bytes. Used when the first frame length is absurd and when the magic is wrong. */
void choiri_prologue_describe(choir_bytes seen, choiri_text *ret_text);

#endif
