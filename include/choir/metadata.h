/* SPDX-License-Identifier: MIT */
/* choir/metadata.h: key-value pairs that travel beside calls, answers and handshakes.
 *
 * Role:    a list to send is an array of choir_metadata_entry. A received list is a checked span of bytes;
 *          walk it with choir_metadata_next. Keys may repeat and keep their order.
 * Owner:   entries borrow their strings. A received list borrows from whatever delivered it.
 * Life:    that of the event or request it came with.
 * Threads: no state.
 * Errors:  none. A received list was checked when its message was decoded.
 *
 * Never send a bytes value to a Rust vox 0.4.0 peer: it cannot decode one and ends the session
 * (rule: metadata.bytes-rust).
 */
#ifndef CHOIR_METADATA_H
#define CHOIR_METADATA_H

#include "choir/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CHOIR_METADATA_STRING 0u
#define CHOIR_METADATA_BYTES  1u
#define CHOIR_METADATA_U64    2u

/* Do not log the value. */
#define CHOIR_METADATA_SENSITIVE (UINT64_C(1) << 0)
/* Do not pass it on to other calls. */
#define CHOIR_METADATA_NO_PROPAGATE (UINT64_C(1) << 1)

typedef struct choir_metadata_entry {
    choir_str key;
    uint32_t type;     /* CHOIR_METADATA_STRING, _BYTES or _U64 */
    uint32_t reserved; /* must be 0 */
    choir_bytes bytes; /* of a string or bytes value */
    uint64_t u64;      /* of a u64 value */
    uint64_t flags;    /* CHOIR_METADATA_SENSITIVE, ...; unknown bits are kept */
} choir_metadata_entry;

/* A received list: postcard entries, checked when the message was decoded. */
typedef struct choir_metadata {
    choir_bytes entries; /* without the leading count */
    size_t count;
} choir_metadata;

/* Takes the first entry off *list and stores it in *ret_entry (borrowed from the list's bytes). False at the
 * end. */
CHOIR_API bool choir_metadata_next(choir_metadata *list, choir_metadata_entry *ret_entry);

/* Finds the first entry with this key and type. Entries with the key but another type are passed over, as vox
 * peers do. False when there is none. */
CHOIR_API bool choir_metadata_find(choir_metadata list, choir_str key, uint32_t type,
                                   choir_metadata_entry *ret_entry);

#ifdef __cplusplus
}
#endif
#endif
