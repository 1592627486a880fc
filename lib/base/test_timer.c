/* SPDX-License-Identifier: MIT */
/* Timer wheel: against a list of deadlines that is searched from end to end. */
#include "base/timer.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define TICK ((choir_time)1 << CHOIRI_TIMER_TICK_BITS)
#define YEAR (365 * 86400 * CHOIR_SECOND)

static choiri_wheel w;

static choir_time round_up(choir_time t) {
    return t % TICK == 0 ? t : t > CHOIR_TIME_NEVER - TICK ? CHOIR_TIME_NEVER : t - t % TICK + TICK;
}

static uint64_t random64(void) {
    static uint64_t state = 1;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

Test(timer, nothing_armed) {
    choiri_wheel_init(&w, 12345);
    cr_assert_eq(choiri_wheel_deadline(&w), CHOIR_TIME_NEVER);
    choiri_wheel_advance(&w, 12345);
    choiri_wheel_advance(&w, 100 * YEAR);
    choiri_wheel_advance(&w, CHOIR_TIME_NEVER);
    cr_assert_null(choiri_wheel_pop(&w));
    cr_assert_eq(choiri_wheel_deadline(&w), CHOIR_TIME_NEVER);
}

Test(timer, fires_at_its_tick_and_not_before) {
    static const choir_time starts[] = {0,        1,          TICK - 1,  TICK, 77 * CHOIR_SECOND + 5,
                                        3 * YEAR, 146 * YEAR, 500 * YEAR};
    static const choir_time delays[] = {1,
                                        TICK - 1,
                                        TICK,
                                        TICK + 1,
                                        63 * TICK,
                                        64 * TICK,
                                        65 * TICK,
                                        4095 * TICK,
                                        4096 * TICK + 1,
                                        CHOIR_SECOND,
                                        30 * CHOIR_SECOND,
                                        86400 * CHOIR_SECOND,
                                        YEAR,
                                        50 * YEAR};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        for (size_t d = 0; d < sizeof delays / sizeof *delays; d++) {
            choir_time deadline = starts[s] + delays[d], at = round_up(deadline);
            choiri_timer t;
            choiri_timer_init(&t);
            choiri_wheel_init(&w, starts[s]);
            cr_assert_not(choiri_timer_is_armed(&t));
            choiri_timer_arm(&w, &t, deadline);
            cr_assert(choiri_timer_is_armed(&t));
            cr_assert_eq(w.armed, 1);
            /* Following the deadline leads there in a few steps, one per level at most. */
            int steps = 0;
            for (choir_time next; (next = choiri_wheel_deadline(&w)) < at; steps++) {
                cr_assert_lt(steps, 8);
                choiri_wheel_advance(&w, next);
                cr_assert_null(choiri_wheel_pop(&w));
            }
            cr_assert_eq(choiri_wheel_deadline(&w), at);
            choiri_wheel_advance(&w, at - 1);
            cr_assert_null(choiri_wheel_pop(&w));
            cr_assert(choiri_timer_is_armed(&t));
            choiri_wheel_advance(&w, at);
            cr_assert_eq(choiri_wheel_pop(&w), &t);
            cr_assert_not(choiri_timer_is_armed(&t));
            cr_assert_eq(w.armed, 0);
            cr_assert_null(choiri_wheel_pop(&w));
            cr_assert_eq(choiri_wheel_deadline(&w), CHOIR_TIME_NEVER);
        }
    }
}

Test(timer, past_deadlines_fire_at_the_next_advance) {
    choiri_timer t;
    choiri_timer_init(&t);
    choir_time now = 1000 * TICK + 5;
    choiri_wheel_init(&w, now);
    static const choir_time deadlines[] = {0, TICK, 999 * TICK, 1000 * TICK};
    for (size_t i = 0; i < 4; i++) {
        choiri_timer_arm(&w, &t, deadlines[i]);
        cr_assert_leq(choiri_wheel_deadline(&w), now);
        cr_assert_null(choiri_wheel_pop(&w), "only advance makes timers due");
        choiri_wheel_advance(&w, now);
        cr_assert_leq(choiri_wheel_deadline(&w), now, "something waits to be popped");
        cr_assert_eq(choiri_wheel_pop(&w), &t);
        cr_assert_eq(choiri_wheel_deadline(&w), CHOIR_TIME_NEVER);
    }
}

Test(timer, arm_again_and_cancel) {
    choiri_timer t;
    choiri_timer_init(&t);
    choiri_wheel_init(&w, 0);
    choiri_timer_cancel(&w, &t);
    choiri_timer_arm(&w, &t, 5 * TICK);
    choiri_timer_arm(&w, &t, 500 * TICK);
    cr_assert_eq(w.armed, 1);
    choiri_wheel_advance(&w, 5 * TICK);
    cr_assert_null(choiri_wheel_pop(&w));
    choiri_timer_arm(&w, &t, 6 * TICK);
    cr_assert_eq(choiri_wheel_deadline(&w), 6 * TICK);
    choiri_timer_arm(&w, &t, CHOIR_TIME_NEVER);
    cr_assert_not(choiri_timer_is_armed(&t));
    cr_assert_eq(choiri_wheel_deadline(&w), CHOIR_TIME_NEVER);
    /* Cancelled and armed again while it is due. */
    choiri_timer_arm(&w, &t, 7 * TICK);
    choiri_wheel_advance(&w, 7 * TICK);
    choiri_timer_cancel(&w, &t);
    cr_assert_null(choiri_wheel_pop(&w));
    choiri_timer_arm(&w, &t, 8 * TICK);
    choiri_wheel_advance(&w, 8 * TICK);
    choiri_timer_arm(&w, &t, 9 * TICK);
    cr_assert_null(choiri_wheel_pop(&w));
    choiri_wheel_advance(&w, 9 * TICK);
    cr_assert_eq(choiri_wheel_pop(&w), &t);
    cr_assert_eq(w.armed, 0);
    for (size_t level = 0; level < CHOIRI_TIMER_LEVELS; level++) cr_assert_eq(w.used[level], 0);
}

Test(timer, at_the_end_of_time) {
    choiri_timer last, late;
    choiri_timer_init(&last);
    choiri_timer_init(&late);
    choiri_wheel_init(&w, CHOIR_TIME_NEVER - 10 * TICK);
    choiri_timer_arm(&w, &late, CHOIR_TIME_NEVER - 1); /* its tick would begin after the last moment */
    cr_assert_eq(choiri_wheel_deadline(&w), CHOIR_TIME_NEVER);
    choir_time deadline = CHOIR_TIME_NEVER - 2 * TICK;
    choiri_timer_arm(&w, &last, deadline);
    cr_assert_leq(choiri_wheel_deadline(&w), round_up(deadline));
    choiri_wheel_advance(&w, CHOIR_TIME_NEVER);
    cr_assert_eq(choiri_wheel_pop(&w), &last);
    cr_assert_null(choiri_wheel_pop(&w));
    choiri_timer_cancel(&w, &late);
    cr_assert_eq(w.armed, 0);
    choiri_wheel_init(&w, 0); /* and seen from far away */
    choiri_timer_arm(&w, &last, deadline);
    choiri_wheel_advance(&w, round_up(deadline) - 1);
    cr_assert_null(choiri_wheel_pop(&w));
    choiri_wheel_advance(&w, round_up(deadline));
    cr_assert_eq(choiri_wheel_pop(&w), &last);
}

/* One second of ticks, a minute, a day, years, and the far end. */
static choir_time random_delay(void) {
    static const choir_time spans[] = {4 * TICK,  CHOIR_SECOND, 60 * CHOIR_SECOND, 86400 * CHOIR_SECOND,
                                       20 * YEAR, 300 * YEAR};
    return random64() % spans[random64() % 6];
}

enum { TIMERS = 300 };

typedef struct model {
    choiri_timer timers[TIMERS];
    choir_time at[TIMERS]; /* CHOIR_TIME_NEVER when not armed */
    bool due[TIMERS];
    choir_time now;
} model;

static model m;

/* The moment a random time from now, not so late that it cannot be rounded up. */
static choir_time random_later(void) {
    choir_time last = CHOIR_TIME_NEVER - 2 * TICK;
    choir_duration delay = random_delay();
    if (m.now >= last) return m.now;
    return delay < last - m.now ? m.now + delay : last;
}

static void arm_random(size_t i) {
    choir_time deadline = random_later();
    if (random64() % 20 == 0)
        deadline = CHOIR_TIME_NEVER;
    else if (random64() % 10 == 0)
        deadline = m.now - random64() % (m.now + 1);
    choiri_timer_arm(&w, &m.timers[i], deadline);
    m.due[i] = false;
    if (deadline == CHOIR_TIME_NEVER) {
        m.at[i] = CHOIR_TIME_NEVER;
        return;
    }
    m.at[i] = round_up(deadline);
    if (m.at[i] < m.now - m.now % TICK) m.at[i] = m.now - m.now % TICK;
}

static void check_deadline(void) {
    choir_time earliest = CHOIR_TIME_NEVER, shown = choiri_wheel_deadline(&w);
    uint64_t armed = 0;
    for (size_t i = 0; i < TIMERS; i++) {
        cr_assert_eq(choiri_timer_is_armed(&m.timers[i]), m.at[i] != CHOIR_TIME_NEVER);
        if (m.at[i] == CHOIR_TIME_NEVER) continue;
        armed++;
        if (m.at[i] < earliest) earliest = m.at[i];
    }
    cr_assert_leq(shown, earliest);
    cr_assert_eq(w.armed, armed);
    if (armed == 0) cr_assert_eq(shown, CHOIR_TIME_NEVER);
}

static void pop_all_due(void) {
    for (choiri_timer *t; (t = choiri_wheel_pop(&w)) != NULL;) {
        size_t i = (size_t)(t - m.timers);
        cr_assert_leq(m.at[i], m.now, "not before its time");
        m.at[i] = CHOIR_TIME_NEVER;
        if (random64() % 2) arm_random(i); /* as a callback would; it cannot come back in this loop */
        m.due[i] = m.at[i] <= m.now && m.at[i] != CHOIR_TIME_NEVER;
    }
    for (size_t i = 0; i < TIMERS; i++)
        if (m.at[i] != CHOIR_TIME_NEVER && !m.due[i]) cr_assert_gt(m.at[i], m.now, "not forgotten");
    memset(m.due, 0, sizeof m.due);
}

static void run_random(choir_time start, int steps) {
    m.now = start;
    choiri_wheel_init(&w, start);
    for (size_t i = 0; i < TIMERS; i++) {
        choiri_timer_init(&m.timers[i]);
        m.at[i] = CHOIR_TIME_NEVER;
    }
    for (int step = 0; step < steps; step++) {
        for (uint64_t changes = random64() % 6; changes > 0; changes--) {
            size_t i = (size_t)(random64() % TIMERS);
            if (random64() % 3 == 0) {
                choiri_timer_cancel(&w, &m.timers[i]);
                m.at[i] = CHOIR_TIME_NEVER;
            } else {
                arm_random(i);
            }
        }
        check_deadline();
        /* Time passes: to the deadline, a little, or a lot. */
        choir_time next = choiri_wheel_deadline(&w);
        if (random64() % 2 && next != CHOIR_TIME_NEVER)
            m.now = next > m.now ? next : m.now;
        else if (random64() % 500 == 0)
            m.now = random_later();
        else if (m.now < CHOIR_TIME_NEVER - 20 * TICK)
            m.now += random64() % (10 * TICK);
        choiri_wheel_advance(&w, m.now);
        pop_all_due();
    }
}

Test(timer, random_against_search) {
    run_random(0, 20000);
    run_random(12345678901234567, 20000);
    run_random(146 * YEAR, 20000); /* just before the highest digit turns over */
    run_random(CHOIR_TIME_NEVER - 100 * YEAR, 20000);
}

Test(timer, hundred_thousand) {
    enum { COUNT = 100000 };
    static choiri_timer timers[COUNT];
    static choir_time deadlines[COUNT];
    choir_time now = 42 * CHOIR_SECOND;
    choiri_wheel_init(&w, now);
    for (size_t i = 0; i < COUNT; i++) {
        choiri_timer_init(&timers[i]);
        deadlines[i] = now + random64() % (100 * CHOIR_SECOND);
        choiri_timer_arm(&w, &timers[i], deadlines[i]);
    }
    cr_assert_eq(w.armed, COUNT);
    size_t cancelled = 0, fired = 0;
    for (size_t i = 0; i < COUNT; i += 3, cancelled++) choiri_timer_cancel(&w, &timers[i]);
    for (choir_time next, before = 0; (next = choiri_wheel_deadline(&w)) != CHOIR_TIME_NEVER; before = next) {
        cr_assert(next > before);
        choiri_wheel_advance(&w, next);
        for (choiri_timer *t; (t = choiri_wheel_pop(&w)) != NULL; fired++) {
            size_t i = (size_t)(t - timers);
            cr_assert_neq(i % 3, 0);
            cr_assert_eq(round_up(deadlines[i]), next, "at its tick exactly");
        }
    }
    cr_assert_eq(fired + cancelled, COUNT);
    cr_assert_eq(w.armed, 0);
}

Test(timer, advance_may_not_go_back, .signal = SIGILL) {
    choiri_wheel_init(&w, 10 * TICK);
    choiri_wheel_advance(&w, 9 * TICK);
}
