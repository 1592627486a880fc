/* SPDX-License-Identifier: MIT */
/* Token bucket: odd but legal behaviour is charged here; an empty bucket is an offence. */
#ifndef CHOIRI_BUCKET_H
#define CHOIRI_BUCKET_H

#include "choir/base.h"

typedef struct choiri_bucket {
    uint32_t burst; /* tokens when full */
    uint32_t per_second;
    uint64_t tokens;   /* in units of 1/2^20 token, so that slow refills do not round away */
    choir_time filled; /* when tokens was brought up to date */
} choiri_bucket;

void choiri_bucket_init(choiri_bucket *b, uint32_t burst, uint32_t per_second, choir_time now);
/* Takes one token; false when there is none. */
bool choiri_bucket_take(choiri_bucket *b, choir_time now);

#endif
