/* SPDX-License-Identifier: MIT */
/* Testbed on a server: its functions (testbed/testbed_handlers.h) as handlers. */
#ifndef SERVE_TESTBED_H
#define SERVE_TESTBED_H

#include "choir/net.h"

typedef struct serve_testbed {
    choir_loop *loop;
    struct event_base *base; /* of the loop */
    bool hooks;              /* the argument of echo may make the server misbehave */
    bool evolved;            /* serves testbed_evolved.rs */
} serve_testbed;

/* Sets service, handlers and callbacks. The server keeps `testbed` until it is freed. */
void serve_testbed_options(serve_testbed *testbed, choir_server_options *options);

#endif
