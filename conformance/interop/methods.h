/* SPDX-License-Identifier: MIT */
/* Every method of Testbed without channels, called with values at the edges of its types. */
#ifndef CHOIR_INTEROP_METHODS_H
#define CHOIR_INTEROP_METHODS_H

#include "choir/net.h"

void call_methods(choir_client *client);

#endif
