/* SPDX-License-Identifier: MIT */
/* Token bucket. A token is 10^9 parts, so a nanosecond brings `per_second` parts and nothing is ever rounded.
 * All tokens of the largest burst fit: 2^32 * 10^9 < 2^63. A clock that goes back brings nothing and takes
 * nothing. */
#include "base/bucket.h"

#include "base/time.h"

#define TOKEN CHOIRI_BUCKET_TOKEN

static int64_t full(const choiri_bucket *b) {
    return b->burst * TOKEN;
}

void choiri_bucket_init(choiri_bucket *b, uint32_t burst, uint32_t per_second, choir_time now) {
    *b = (choiri_bucket){.burst = burst, .per_second = per_second, .level = burst * TOKEN, .filled = now};
}

static int64_t level_at(const choiri_bucket *b, choir_time now) {
    if (now <= b->filled) return b->level;
    uint64_t missing = (uint64_t)(full(b) - b->level), parts;
    if (__builtin_mul_overflow(now - b->filled, (uint64_t)b->per_second, &parts) || parts >= missing)
        return full(b);
    return b->level + (int64_t)parts;
}

void choiri_bucket_refill(choiri_bucket *b, choir_time now) {
    b->level = level_at(b, now);
    if (now > b->filled) b->filled = now;
}

void choiri_bucket_give(choiri_bucket *b) {
    b->level = full(b) - b->level > TOKEN ? b->level + TOKEN : full(b);
}

bool choiri_bucket_has(const choiri_bucket *b, choir_time now) {
    return level_at(b, now) >= TOKEN;
}

bool choiri_bucket_is_full(const choiri_bucket *b, choir_time now) {
    return level_at(b, now) == full(b);
}

choir_time choiri_bucket_ready_at(const choiri_bucket *b, choir_time now) {
    if (choiri_bucket_has(b, now)) return now;
    if (b->burst == 0 || b->per_second == 0) return CHOIR_TIME_NEVER;
    uint64_t missing = (uint64_t)(TOKEN - b->level);
    choir_duration wait = missing / b->per_second + (missing % b->per_second != 0);
    return choiri_time_later(b->filled, wait);
}
