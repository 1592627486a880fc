/* SPDX-License-Identifier: MIT */
/* choir/choir.h: all headers of the core. libchoir-net has its own: choir/net.h. */
#ifndef CHOIR_CHOIR_H
#define CHOIR_CHOIR_H

#include "choir/attachment.h"
#include "choir/base.h"
#include "choir/binder.h"
#include "choir/chunk.h"
#include "choir/connection.h"
#include "choir/dynamic.h"
#include "choir/env.h"
#include "choir/event.h"
#include "choir/evidence.h"
#include "choir/metadata.h"
#include "choir/rpc.h"
#include "choir/session.h"
#include "choir/status.h"
#include "choir/type.h"
#include "choir/value.h"
#include "choir/version.h"

#endif
