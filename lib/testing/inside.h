/* SPDX-License-Identifier: MIT */
/* For tests that look inside: what the root connection of a session has. */
#ifndef CHOIRI_TESTING_INSIDE_H
#define CHOIRI_TESTING_INSIDE_H

#include "base/pool.h"
#include "rpc/driver.h"
#include "session/attachment.h"
#include "testing/accounting.h"

#include <stdlib.h>

static inline choiri_rpc *test_rpc(choir_session *s) {
    choiri_rpc *r = choiri_rpc_heat(s, &s->conns.root);
    if (!r) abort();
    return r;
}
static inline choiri_lasting *test_lasting(choir_session *s) {
    choiri_lasting *l = choiri_lasting_get(s, &s->conns.root);
    if (!l) abort();
    return l;
}
/* Of a method that must have one. */
static inline const choiri_binding *test_binding(const choiri_bindings *b, uint32_t method) {
    const choiri_binding *found = choiri_binding_peek(b, method);
    if (!found) abort();
    return found;
}
/* What requests make it hold: all that is charged but what every connection costs that was used. */
static inline uint64_t test_requests_charged(choir_session *s) {
    choiri_rpc *r = test_rpc(s);
    return r->hot.charged - choiri_obj_size(sizeof *r) - r->hot.egress.charged;
}
static inline const choiri_limits *test_limits(const choir_session *s) {
    return &s->conns.root.profile->limits;
}

#endif
