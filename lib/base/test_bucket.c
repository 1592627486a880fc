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
    cr_assert_eq(take_all(&b, CHOIR_SECOND * 6 / 10), 5);
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
    cr_assert_eq(count, 100 + 99999, "the last token would come at 20 s");
}

Test(bucket, never_over_the_burst) {
    for (uint32_t per_second = 1; per_second < 5000; per_second = per_second * 3 + 1) {
        for (choir_time pause = CHOIR_MILLISECOND; pause < 3 * CHOIR_SECOND; pause += pause / 3) {
            choiri_bucket b;
            choiri_bucket_init(&b, 2, per_second, 0);
            for (choir_time i = 1; i < 20; i++) {
                choiri_bucket_take(&b, i * pause);
                cr_assert_leq(take_all(&b, i * pause), 1, "a token was taken, so one at most is left");
            }
        }
    }
}

Test(bucket, exact_to_the_nanosecond) {
    static const uint32_t rates[] = {1, 3, 7, 100, 999999937, 1000000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        choiri_bucket b;
        choiri_bucket_init(&b, 5, rates[i], 1000);
        cr_assert_eq(take_all(&b, 1000), 5);
        choir_time now = 1000;
        for (uint64_t n = 1; n <= 5; n++) { /* the n-th token is there after n / rate seconds, rounded up */
            choir_time at = 1000 + (n * UINT64_C(1000000000) + rates[i] - 1) / rates[i];
            cr_assert_eq(choiri_bucket_ready_at(&b, now), at > now ? at : now);
            if (at > now) cr_assert_not(choiri_bucket_has(&b, at - 1));
            if (at > now) cr_assert_not(choiri_bucket_take(&b, at - 1));
            cr_assert(choiri_bucket_has(&b, at));
            cr_assert(choiri_bucket_take(&b, at));
            now = at;
        }
    }
}

Test(bucket, full_at_n_and_not_before) {
    choiri_bucket b;
    choiri_bucket_init(&b, 3, 10, 0);
    cr_assert(choiri_bucket_is_full(&b, 0));
    cr_assert(choiri_bucket_take(&b, 0));
    cr_assert(choiri_bucket_take(&b, 0));
    cr_assert_not(choiri_bucket_is_full(&b, 0));
    cr_assert_not(choiri_bucket_is_full(&b, CHOIR_SECOND / 5 - 1));
    cr_assert(choiri_bucket_is_full(&b, CHOIR_SECOND / 5));
    cr_assert(choiri_bucket_is_full(&b, CHOIR_TIME_NEVER));
    cr_assert_eq(take_all(&b, CHOIR_SECOND / 5), 3);
}

Test(bucket, what_is_given_back_can_be_taken_again) {
    choiri_bucket b;
    choiri_bucket_init(&b, 2, 10, 0);
    choiri_bucket_give(&b);
    cr_assert_eq(take_all(&b, 0), 2, "a full bucket holds no more");
    cr_assert_eq(choiri_bucket_ready_at(&b, 0), CHOIR_SECOND / 10);
    choiri_bucket_give(&b);
    cr_assert_eq(choiri_bucket_ready_at(&b, 0), 0);
    cr_assert(choiri_bucket_take(&b, 0));
    cr_assert_not(choiri_bucket_has(&b, CHOIR_SECOND / 10 - 1));
    /* Half a token was gathered; with one given back it is one and a half. */
    cr_assert_not(choiri_bucket_take(&b, CHOIR_SECOND / 20));
    choiri_bucket_give(&b);
    cr_assert_eq(take_all(&b, CHOIR_SECOND / 20), 1);
    cr_assert_eq(choiri_bucket_ready_at(&b, CHOIR_SECOND / 20), CHOIR_SECOND / 10);
}

Test(bucket, asking_changes_nothing) {
    choiri_bucket b, asked;
    choiri_bucket_init(&b, 2, 7, 5);
    take_all(&b, 5);
    asked = b;
    for (choir_time now = 0; now < CHOIR_SECOND; now += 12345678) {
        choiri_bucket_has(&asked, now);
        choiri_bucket_is_full(&asked, now);
        choiri_bucket_ready_at(&asked, now);
    }
    cr_assert_eq(asked.level, b.level);
    cr_assert_eq(asked.filled, b.filled);
}

Test(bucket, extremes) {
    choiri_bucket b;
    choiri_bucket_init(&b, 2, 0, 0);
    cr_assert_eq(choiri_bucket_ready_at(&b, 9), 9);
    cr_assert_eq(take_all(&b, 0), 2);
    cr_assert_not(choiri_bucket_take(&b, CHOIR_TIME_NEVER), "no refill at 0 per second");
    cr_assert_eq(choiri_bucket_ready_at(&b, 0), CHOIR_TIME_NEVER);
    choiri_bucket_init(&b, 0, UINT32_MAX, 0);
    choiri_bucket_give(&b);
    cr_assert_not(choiri_bucket_has(&b, CHOIR_TIME_NEVER));
    cr_assert_eq(choiri_bucket_ready_at(&b, 0), CHOIR_TIME_NEVER, "a burst of 0 never has a token");
    cr_assert(choiri_bucket_is_full(&b, 0));
    choiri_bucket_init(&b, UINT32_MAX, UINT32_MAX, 0);
    for (int i = 0; i < 1000; i++) cr_assert(choiri_bucket_take(&b, 0));
    cr_assert(choiri_bucket_take(&b, CHOIR_TIME_NEVER));
    cr_assert_eq(b.level, (int64_t)(UINT32_MAX - 1) * 1000000000);
}

Test(bucket, a_clock_that_goes_back_gives_and_takes_nothing) {
    choiri_bucket b;
    choiri_bucket_init(&b, 2, 1000, CHOIR_SECOND);
    cr_assert_eq(take_all(&b, 0), 2);
    cr_assert_eq(choiri_bucket_ready_at(&b, 0), CHOIR_SECOND + CHOIR_MILLISECOND);
    cr_assert_not(choiri_bucket_take(&b, CHOIR_SECOND));
    cr_assert_not(choiri_bucket_has(&b, CHOIR_SECOND + CHOIR_MILLISECOND - 1));
    cr_assert(choiri_bucket_has(&b, CHOIR_SECOND + CHOIR_MILLISECOND));
    cr_assert_eq(take_all(&b, 2 * CHOIR_SECOND), 2);
}
