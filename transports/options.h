/* SPDX-License-Identifier: MIT */
/* Options structs of programs that were compiled with older or newer headers, and the options of a session
 * and its link as a server or client hands them on. */
#ifndef CHOIRI_NET_OPTIONS_H
#define CHOIRI_NET_OPTIONS_H

#include "choir/attachment.h"

/* Lays `src` over the defaults in `dst`, as the core does with its options. OK · ERR_INVALID. */
int choiri_net_options_copy(void *dst, size_t dst_size, const void *src);
/* Fills the caller's `dst` of `size` bytes with as much of the defaults as fits, as the core does. */
void choiri_net_options_give(void *dst, size_t size, const void *defaults, size_t defaults_size);

/* What each session of a client or server and its link are made with: whole, whatever header the program was
 * compiled with. */
typedef struct net_session_options {
    choir_session_options session;
    choir_conn_options root;
    choir_attachment_options attachment;
} net_session_options;

/* The session's options with those of its root, which lie beside them: valid as long as `options` stays where
 * it is. */
static inline const choir_session_options *choiri_net_session_options_of(net_session_options *options) {
    options->session.root = &options->root;
    return &options->session;
}

/* Lays what the host gave, either may be NULL, over the defaults. Evidence and wakes are ours: those of the
 * host are taken off, and ours are set where there is something to wake. OK · ERR_INVALID. */
int choiri_net_session_options(const choir_session_options *session,
                               const choir_attachment_options *attachment, net_session_options *ret_options);

#endif
