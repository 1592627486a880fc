/* SPDX-License-Identifier: MIT */
/* Token bucket: odd but legal behaviour is charged here. What can be refused takes a token and is refused without one;
 * what has already happened is charged, if need be as a debt, and the bucket says when it is paid. */
#ifndef CHOIRI_BUCKET_H
#define CHOIRI_BUCKET_H

#include "choir/base.h"

typedef struct choiri_bucket {
    uint32_t burst; /* tokens when full; the debt is never greater either */
    uint32_t per_second;
    int64_t level;     /* in 1/10^9 token, so that a refill is exact to the nanosecond; negative: debt */
    choir_time filled; /* when level was brought up to date */
} choiri_bucket;

void choiri_bucket_init(choiri_bucket *b, uint32_t burst, uint32_t per_second, choir_time now);
/* Takes one token; false when there is none. */
bool choiri_bucket_take(choiri_bucket *b, choir_time now);
/* Takes one token even if there is none. */
void choiri_bucket_charge(choiri_bucket *b, choir_time now);
/* True when take would succeed. */
bool choiri_bucket_has(const choiri_bucket *b, choir_time now);
bool choiri_bucket_is_full(const choiri_bucket *b, choir_time now);
/* The first moment, not before `now`, at which take would succeed; CHOIR_TIME_NEVER when that never comes. */
choir_time choiri_bucket_ready_at(const choiri_bucket *b, choir_time now);

#endif
