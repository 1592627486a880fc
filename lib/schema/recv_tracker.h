/* SPDX-License-Identifier: MIT */
/* The inside of the receive tracker, for the schema layer: looking up, and adding a bare list of schemas. */
#ifndef CHOIRI_RECV_TRACKER_H
#define CHOIRI_RECV_TRACKER_H

#include "schema/tracker.h"
#include "schema/wire_schema.h"

/* The CBOR of the schema with this id; data is NULL when it was never received. */
choir_bytes choiri_recv_tracker_find(const choiri_recv_tracker *t, uint64_t id);

/* Adds `count` Schema objects that follow one another: all or none. *ret_last (may be NULL) is the id of the
 * last one. Statuses of choiri_recv_tracker_add. */
int choiri_recv_tracker_add_all(choiri_recv_tracker *t, choir_bytes schemas, size_t count, uint64_t *ret_last,
                                choiri_text *text);

#endif
