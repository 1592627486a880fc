/* SPDX-License-Identifier: MIT */
/* choir/evidence.h: what a link knows about the other end that the peer cannot merely claim.
 *
 * Role:    the addresses of a link and, on unix sockets, the credentials that the kernel vouches for.
 * Owner:   the link that collected it, or the session that copied it.
 * Life:    fixed before the session is given the first payload, and constant from then on.
 * Threads: that of its owner.
 * Errors:  what is not known is empty, or lacks its flag; nothing is ever guessed.
 */
#ifndef CHOIR_EVIDENCE_H
#define CHOIR_EVIDENCE_H

#include "choir/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* uid, gid and pid are known. */
#define CHOIR_EVIDENCE_CREDENTIALS 1u

typedef struct choir_evidence {
    size_t size;      /* sizeof this struct */
    choir_str scheme; /* "tcp", "unix", "mem", ... */
    /* peer, local: the two ends as text, such as 127.0.0.1:4711 or /run/example.sock; empty for an end
     * without a name. The peer's own choice, where it has one: an address, not an identity. */
    choir_str peer, local;
    uint32_t flags; /* CHOIR_EVIDENCE_* */
    /* uid, gid, pid: of the process that connected, or listens, at the time it did (SO_PEERCRED). The number
     * of a process that has ended may be another's by now. */
    uint32_t uid, gid;
    int32_t pid;
} choir_evidence;

#ifdef __cplusplus
}
#endif
#endif
