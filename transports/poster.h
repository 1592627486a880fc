/* SPDX-License-Identifier: MIT */
#ifndef CHOIRI_NET_POSTER_H
#define CHOIRI_NET_POSTER_H

#include "loop.h"

/* With choir_loop_free: what was posted runs now, and later posts fail. `forked`: nothing runs. */
void choiri_net_poster_close(choir_loop *loop, bool forked);

#endif
