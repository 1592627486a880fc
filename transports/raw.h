/* SPDX-License-Identifier: MIT */
/* Streams over raw descriptors. */
#ifndef CHOIRI_NET_RAW_H
#define CHOIRI_NET_RAW_H

#include "loop.h"
#include "scheme.h"

/* A stream that reads from fds[0] and writes to fds[1], which may be the same descriptor. Makes them
 * non-blocking, and takes them. OK · ERR_IO (with errno) · ERR_NO_MEMORY. */
int choiri_net_raw_new(choir_loop *loop, const net_scheme *scheme, const int fds[2],
                       choir_stream **ret_stream);

#endif
