/* SPDX-License-Identifier: MIT */
#include "base/bucket.h"

#include <criterion/criterion.h>

static unsigned take_all(choiri_bucket *b, choir_time now) {
    unsigned count = 0;
    while (choiri_bucket_take(b, now)) count++;
    return count;
}

Test(bucket, burst_at_n_and_one_more) {
    choiri_bucket b;
    for (uint32_t burst = 0; burst < 50; burst++) {
        choiri_bucket_init(&b, burst, 1000, 77);
        cr_assert_eq(take_all(&b, 77), burst);
        cr_assert_not(choiri_bucket_take(&b, 77));
    }
}

Test(bucket, refills_over_time) {
    choiri_bucket b;
    choiri_bucket_init(&b, 10, 10, 0);
    cr_assert_eq(take_all(&b, 0), 10);
    cr_assert_not(choiri_bucket_take(&b, CHOIR_SECOND / 11));
    cr_assert(choiri_bucket_take(&b, CHOIR_SECOND / 9));
    cr_assert_not(choiri_bucket_take(&b, CHOIR_SECOND / 9));
    unsigned more = take_all(&b, CHOIR_SECOND * 6 / 10);
    cr_assert(more == 4 || more == 5, "%u", more);
    cr_assert_eq(take_all(&b, 100 * CHOIR_SECOND), 10, "never over the burst");
}

Test(bucket, slow_refills_do_not_round_away) {
    /* One token in a second, asked for every 100 ns, every us, and every 2 ms. */
    static const choir_duration steps[] = {100, 1000, 2 * CHOIR_MILLISECOND};
    for (size_t i = 0; i < 3; i++) {
        choiri_bucket b;
        choir_time now = 5;
        choiri_bucket_init(&b, 3, 1, now);
        cr_assert_eq(take_all(&b, now), 3);
        unsigned count = 0;
        for (choir_time end = now + 3 * CHOIR_SECOND + CHOIR_SECOND / 10; now < end; now += steps[i])
            count += choiri_bucket_take(&b, now);
        cr_assert_eq(count, 3, "step %zu", i);
    }
}

Test(bucket, long_run_rate) {
    choiri_bucket b;
    choiri_bucket_init(&b, 100, 5000, 0);
    unsigned count = 0;
    for (choir_time now = 0; now < 20 * CHOIR_SECOND; now += 37 * CHOIR_MICROSECOND)
        count += choiri_bucket_take(&b, now);
    cr_assert_geq(count, 100 + 99900);
    cr_assert_leq(count, 100 + 100000);
}

Test(bucket, never_over_the_burst) {
    for (uint32_t per_second = 1; per_second < 5000; per_second = per_second * 3 + 1) {
        for (choir_time pause = CHOIR_MILLISECOND; pause < 3 * CHOIR_SECOND; pause += pause / 3) {
            choiri_bucket b;
            choiri_bucket_init(&b, 2, per_second, 0);
            for (choir_time i = 1; i < 20; i++) {
                choiri_bucket_take(&b, i * pause);
                cr_assert_leq(b.tokens, (uint64_t)1 << 20, "a token was taken, so one at most is left");
            }
        }
    }
}

Test(bucket, extremes) {
    choiri_bucket b;
    choiri_bucket_init(&b, 2, 0, 0);
    cr_assert_eq(take_all(&b, 0), 2);
    cr_assert_not(choiri_bucket_take(&b, CHOIR_TIME_NEVER), "no refill at 0 per second");
    choiri_bucket_init(&b, UINT32_MAX, UINT32_MAX, 0);
    for (int i = 0; i < 1000; i++) cr_assert(choiri_bucket_take(&b, 0));
    cr_assert(choiri_bucket_take(&b, CHOIR_TIME_NEVER));
    cr_assert_eq(b.tokens, ((uint64_t)UINT32_MAX - 1) << 20);
    b.tokens = 0;
    b.filled = 0;
    cr_assert(choiri_bucket_take(&b, CHOIR_SECOND / 2));
    cr_assert_leq(b.tokens, (uint64_t)UINT32_MAX << 19);
    cr_assert_geq(b.tokens, ((uint64_t)UINT32_MAX << 19) / 100 * 99);
    choiri_bucket_init(&b, UINT32_MAX, 1, 0);
    b.tokens = 0;
    cr_assert(choiri_bucket_take(&b, 1000 * CHOIR_SECOND));
    cr_assert_leq(b.tokens, (uint64_t)1000 << 20);
    /* A clock that goes back gives nothing and takes nothing. */
    choiri_bucket_init(&b, 2, 1000, CHOIR_SECOND);
    cr_assert_eq(take_all(&b, 0), 2);
    cr_assert_not(choiri_bucket_take(&b, CHOIR_SECOND));
    cr_assert_eq(take_all(&b, 2 * CHOIR_SECOND), 2);
}
