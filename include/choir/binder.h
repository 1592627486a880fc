/* SPDX-License-Identifier: MIT */
/* choir/binder.h: what stands between a value and the session that carries it.
 *
 * Role:    ends of channels are numbers on the wire and handles in a program. A binder turns one into the
 *          other while a value is decoded or encoded, whatever the codec and however deep in the value they
 *          are. Layers above bring what they refer to by number in the same way.
 * Owner:   whoever makes it. The library borrows the struct while it is installed and calls it only while it
 *          decodes or encodes a value; `ctx` is the maker's.
 * Life:    a handle is the binder's to make and to end. What a value bound before it failed stays bound:
 *          whoever installed the binder hears how decoding or encoding ended, and has `ctx` to undo it.
 * Threads: those of the session. Must not call into the library.
 * Errors:  a function answers OK or a status, which becomes the value's: decoding ends there and its text has
 *          the path to the end that was refused; of a message whose encoding fails no byte is sent.
 *          ERR_MALFORMED (a number that the peer may not use), ERR_NOT_FOUND (a handle that is none),
 *          ERR_STATE (an end that was given away before), ERR_TOO_LARGE (more than may be open),
 *          ERR_NO_MEMORY, ERR_UNSUPPORTED, ERR_INVALID. Not ERR_TRUNCATED: that is input that ends.
 *
 * Without a binder decoding stores the number where the handle goes, and encoding writes what is there.
 */
#ifndef CHOIR_BINDER_H
#define CHOIR_BINDER_H

#include "choir/type.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is bound, borrowed for the call. The `elem` of a channel's type is that of its items. */
typedef struct choir_binding_site {
    const choir_unit *unit;
    uint32_t type; /* index in the unit */
    uint32_t kind; /* of that type: CHOIR_KIND_TX, CHOIR_KIND_RX */
} choir_binding_site;

typedef struct choir_binder {
    size_t size; /* sizeof this struct; it grows at the end */
    void *ctx;
    /* Decoding: the peer's number. Stores the handle at `ret_handle`, a choir_tx or choir_rx; what is there
     * after a failure is not looked at. */
    int (*bind)(void *ctx, const choir_binding_site *site, uint64_t number, void *ret_handle);
    /* Encoding: `handle` points to the program's choir_tx or choir_rx. Stores the number that the peer is
     * told. */
    int (*unbind)(void *ctx, const choir_binding_site *site, const void *handle, uint64_t *ret_number);
} choir_binder;

#ifdef __cplusplus
}
#endif
#endif
