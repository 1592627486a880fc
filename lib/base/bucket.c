/* SPDX-License-Identifier: MIT */
/* Token bucket. Time is counted in steps of 2^20 ns; `filled` moves on by whole steps only, so the rest of a step is
 * not lost however often a token is asked for. */
#include "base/bucket.h"

#define STEP_BITS 20u
#define UNIT_BITS 20u
/* Units that one step brings at one token per second are 2^40 / 10^9 = 1099.51; this is twice that, and 1e-5 less. */
#define UNITS_PER_TWO_STEPS UINT64_C(2199)

void choiri_bucket_init(choiri_bucket *b, uint32_t burst, uint32_t per_second, choir_time now) {
    *b = (choiri_bucket){burst, per_second, (uint64_t)burst << UNIT_BITS, now};
}

static void refill(choiri_bucket *b, choir_time now) {
    uint64_t steps = now > b->filled ? (now - b->filled) >> STEP_BITS : 0;
    if (steps == 0) return;
    b->filled += steps << STEP_BITS;
    if (b->per_second == 0) return;
    /* The comparison comes first: after a long silence the product below would not fit. */
    uint64_t full = (uint64_t)b->burst << UNIT_BITS, missing = full - b->tokens;
    uint64_t two_steps = b->per_second * UNITS_PER_TWO_STEPS;
    if (steps / 2 > missing / two_steps) {
        b->tokens = full;
        return;
    }
    uint64_t units = steps * two_steps / 2;
    b->tokens = units < missing ? b->tokens + units : full;
}

bool choiri_bucket_take(choiri_bucket *b, choir_time now) {
    refill(b, now);
    if (b->tokens < UINT64_C(1) << UNIT_BITS) return false;
    b->tokens -= UINT64_C(1) << UNIT_BITS;
    return true;
}
