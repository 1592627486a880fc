/* SPDX-License-Identifier: MIT */
/* Which codecs there are. */
#include "protocol/codec.h"

#include "choir/session.h"
#include "wire/msgpack.h"

const choiri_codec *choiri_codec_of(uint32_t codec) {
    switch (codec) {
    case CHOIR_CODEC_POSTCARD: return &choiri_codec_postcard;
    case CHOIR_CODEC_MSGPACK: return choiri_msgpack_is_built() ? &choiri_codec_msgpack : NULL;
    default: return NULL;
    }
}
