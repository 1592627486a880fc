/* SPDX-License-Identifier: MIT */
/* Token bucket: odd but legal behaviour is charged here. What is done takes a token, and is refused or waits
 * without one; a token that turns out not to be owed is given back. */
#ifndef CHOIRI_BUCKET_H
#define CHOIRI_BUCKET_H

#include "choir/base.h"

typedef struct choiri_bucket {
    uint32_t burst; /* tokens when full */
    uint32_t per_second;
    int64_t level;     /* in 1/10^9 token, so that a refill is exact to the nanosecond */
    choir_time filled; /* when level was brought up to date */
} choiri_bucket;

void choiri_bucket_init(choiri_bucket *b, uint32_t burst, uint32_t per_second, choir_time now);
#define CHOIRI_BUCKET_TOKEN INT64_C(1000000000)
/* What `level` gains until `now`. */
void choiri_bucket_refill(choiri_bucket *b, choir_time now);
/* Takes one token; false when there is none. */
static inline bool choiri_bucket_take(choiri_bucket *b, choir_time now) {
    if (now > b->filled) choiri_bucket_refill(b, now);
    if (b->level < CHOIRI_BUCKET_TOKEN) return false;
    b->level -= CHOIRI_BUCKET_TOKEN;
    return true;
}
/* One token that was taken comes back. */
void choiri_bucket_give(choiri_bucket *b);
/* True when take would succeed. */
bool choiri_bucket_has(const choiri_bucket *b, choir_time now);
bool choiri_bucket_is_full(const choiri_bucket *b, choir_time now);
/* The first moment, not before `now`, at which take would succeed; CHOIR_TIME_NEVER when that never comes. */
choir_time choiri_bucket_ready_at(const choiri_bucket *b, choir_time now);

#endif
