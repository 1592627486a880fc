/* SPDX-License-Identifier: MIT */
/* Timers: against a list of deadlines that is searched from end to end, and heaps of shapes that a peer could
 * make. */
#include "base/timer.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define YEAR (365 * 86400 * CHOIR_SECOND)

static uint64_t random64(void) {
    static uint64_t state = 1;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static choiri_timer *pop(choiri_timers *h, choir_time now) {
    return choiri_timers_pop(h, h->armings, now);
}

Test(timer, nothing_armed) {
    choiri_timers h = {0};
    cr_assert_eq(choiri_timers_deadline(&h), CHOIR_TIME_NEVER);
    cr_assert_null(pop(&h, 12345));
    cr_assert_null(pop(&h, CHOIR_TIME_NEVER));
    cr_assert_eq(choiri_timers_deadline(&h), CHOIR_TIME_NEVER);
}

Test(timer, fires_at_its_deadline_and_not_before) {
    static const choir_time deadlines[] = {
        1, 2, CHOIR_MILLISECOND, CHOIR_SECOND + 1, 500 * YEAR, CHOIR_TIME_NEVER - 1};
    for (size_t i = 0; i < sizeof deadlines / sizeof *deadlines; i++) {
        choiri_timers h = {0};
        choiri_timer t;
        choiri_timer_init(&t, 200);
        cr_assert_not(choiri_timer_is_armed(&t));
        choiri_timers_arm(&h, &t, deadlines[i]);
        cr_assert(choiri_timer_is_armed(&t));
        cr_assert_eq(choiri_timers_deadline(&h), deadlines[i]);
        cr_assert_null(pop(&h, deadlines[i] - 1));
        cr_assert(choiri_timer_is_armed(&t));
        cr_assert_eq(pop(&h, deadlines[i]), &t);
        cr_assert_eq(t.owner, 200);
        cr_assert_not(choiri_timer_is_armed(&t));
        cr_assert_null(pop(&h, deadlines[i]));
        cr_assert_eq(choiri_timers_deadline(&h), CHOIR_TIME_NEVER);
    }
}

Test(timer, arm_again_and_cancel) {
    choiri_timers h = {0};
    choiri_timer t, other;
    choiri_timer_init(&t, 1);
    choiri_timer_init(&other, 2);
    choiri_timers_cancel(&h, &t);
    choiri_timers_arm(&h, &other, 7);
    choiri_timers_arm(&h, &t, 5);
    choiri_timers_arm(&h, &t, 9); /* later */
    cr_assert_eq(choiri_timers_deadline(&h), 7);
    choiri_timers_arm(&h, &t, 6); /* earlier */
    cr_assert_eq(choiri_timers_deadline(&h), 6);
    choiri_timers_arm(&h, &t, CHOIR_TIME_NEVER);
    cr_assert_not(choiri_timer_is_armed(&t));
    cr_assert_eq(choiri_timers_deadline(&h), 7);
    choiri_timers_cancel(&h, &other);
    choiri_timers_cancel(&h, &other);
    cr_assert_null(h.first);
    cr_assert_null(pop(&h, CHOIR_TIME_NEVER));
}

Test(timer, equal_deadlines_fire_in_the_order_of_arming) {
    enum { COUNT = 100 };
    choiri_timers h = {0};
    choiri_timer timers[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        choiri_timer_init(&timers[i], 0);
        choiri_timers_arm(&h, &timers[i], 5);
    }
    choiri_timers_arm(&h, &timers[0], 5); /* anew: the last now */
    for (size_t i = 0; i < COUNT; i++) cr_assert_eq(pop(&h, 5), &timers[(i + 1) % COUNT]);
    cr_assert_null(pop(&h, 5));
}

Test(timer, a_pass_ends_although_its_timers_are_due_again) {
    static const choir_time deadlines[] = {0, 3, 10};
    for (size_t i = 0; i < 3; i++) {
        choiri_timers h = {0};
        choiri_timer again, other;
        choiri_timer_init(&again, 1);
        choiri_timer_init(&other, 2);
        choiri_timers_arm(&h, &again, 3);
        choiri_timers_arm(&h, &other, 10);
        for (int round = 0; round < 3; round++) {
            int fired_again = 0, fired_other = 0;
            uint64_t pass = h.armings;
            for (choiri_timer *t; (t = choiri_timers_pop(&h, pass, 10)) != NULL;) {
                fired_again += t->owner == 1;
                fired_other += t->owner == 2;
                choiri_timers_arm(&h, t, deadlines[i]); /* now, or in the past */
            }
            cr_assert_eq(fired_again, 1);
            cr_assert_eq(fired_other, 1, "one that is always due keeps nobody else from firing");
            cr_assert_eq(choiri_timers_deadline(&h), 10, "due at once");
        }
    }
}

Test(timer, a_timer_may_be_cancelled_by_the_one_before_it) {
    choiri_timers h = {0};
    choiri_timer a, b;
    choiri_timer_init(&a, 1);
    choiri_timer_init(&b, 2);
    choiri_timers_arm(&h, &a, 1);
    choiri_timers_arm(&h, &b, 2);
    uint64_t pass = h.armings;
    cr_assert_eq(choiri_timers_pop(&h, pass, 5), &a);
    choiri_timers_cancel(&h, &b);
    cr_assert_null(choiri_timers_pop(&h, pass, 5));
}

enum { TIMERS = 300 };

typedef struct model {
    choiri_timers heap;
    choiri_timer timers[TIMERS];
    choir_time at[TIMERS]; /* CHOIR_TIME_NEVER when not armed */
    uint64_t order[TIMERS];
    uint64_t armings;
    choir_time now;
} model;

static model m;

static void arm_random(size_t i) {
    static const choir_time spans[] = {4, 1000, CHOIR_SECOND, YEAR};
    choir_time deadline = m.now + random64() % spans[random64() % 4];
    if (random64() % 20 == 0)
        deadline = CHOIR_TIME_NEVER;
    else if (random64() % 10 == 0)
        deadline = m.now - random64() % (m.now + 1);
    choiri_timers_arm(&m.heap, &m.timers[i], deadline);
    m.at[i] = deadline > m.now ? deadline : m.now;
    if (deadline != CHOIR_TIME_NEVER) m.order[i] = m.armings++;
}

/* Parents before children, links both ways; returns how many timers there are. */
static size_t check_heap(void) {
    size_t count = 0;
    for (size_t i = 0; i < TIMERS; i++) {
        const choiri_timer *t = &m.timers[i];
        cr_assert_eq(choiri_timer_is_armed(t), m.at[i] != CHOIR_TIME_NEVER);
        if (!choiri_timer_is_armed(t)) continue;
        count++;
        cr_assert_eq(t->deadline, m.at[i]);
        cr_assert_eq(t->owner, i & 255);
        if (t == m.heap.first) cr_assert(!t->prev && !t->next);
        if (t != m.heap.first) cr_assert(t->prev && (t->prev->child == t || t->prev->next == t));
        if (t->next) cr_assert_eq(t->next->prev, t);
        for (const choiri_timer *c = t->child; c; c = c->next) cr_assert_leq(t->deadline, c->deadline);
    }
    return count;
}

/* The one that must fire next, TIMERS when none is armed. */
static size_t first_armed(void) {
    size_t first = TIMERS;
    for (size_t i = 0; i < TIMERS; i++) {
        if (m.at[i] == CHOIR_TIME_NEVER) continue;
        if (first == TIMERS || m.at[i] < m.at[first] ||
            (m.at[i] == m.at[first] && m.order[i] < m.order[first]))
            first = i;
    }
    return first;
}

static void run_pass(void) {
    uint64_t pass = m.heap.armings;
    for (;;) {
        size_t first = first_armed();
        bool due = first < TIMERS && m.at[first] <= m.now && m.order[first] < pass;
        choiri_timer *t = choiri_timers_pop(&m.heap, pass, m.now);
        cr_assert_eq(t, due ? &m.timers[first] : NULL);
        if (!t) return;
        m.at[first] = CHOIR_TIME_NEVER;
        if (random64() % 3 == 0) arm_random(first); /* as a callback would */
    }
}

static void run_random(choir_time start, int steps) {
    m.heap = (choiri_timers){.now = start};
    m.now = start;
    m.armings = 0;
    for (size_t i = 0; i < TIMERS; i++) {
        choiri_timer_init(&m.timers[i], (uint8_t)i);
        m.at[i] = CHOIR_TIME_NEVER;
    }
    for (int step = 0; step < steps; step++) {
        for (uint64_t changes = random64() % 6; changes > 0; changes--) {
            size_t i = (size_t)(random64() % TIMERS);
            if (random64() % 3 == 0) {
                choiri_timers_cancel(&m.heap, &m.timers[i]);
                m.at[i] = CHOIR_TIME_NEVER;
            } else {
                arm_random(i);
            }
        }
        check_heap();
        size_t first = first_armed();
        choir_time next = choiri_timers_deadline(&m.heap);
        cr_assert_eq(next, first < TIMERS ? m.at[first] : CHOIR_TIME_NEVER);
        /* Time passes: to the deadline, a little, or a lot. */
        if (random64() % 2 && next != CHOIR_TIME_NEVER)
            m.now = next;
        else
            m.now += random64() % (random64() % 100 == 0 ? YEAR : 5000);
        run_pass();
    }
    for (size_t i = 0; i < TIMERS; i++) {
        choiri_timers_cancel(&m.heap, &m.timers[i]);
        m.at[i] = CHOIR_TIME_NEVER;
        if (i % 50 == 0) check_heap();
    }
    cr_assert_null(m.heap.first);
}

Test(timer, random_against_search) {
    run_random(0, 20000);
    run_random(12345678901234567, 20000);
}

enum { MANY = 200000 };

static choiri_timer many[MANY];

static void pop_all(choiri_timers *h, size_t expected) {
    choir_time before = 0;
    size_t fired = 0;
    for (choir_time next; (next = choiri_timers_deadline(h)) != CHOIR_TIME_NEVER; before = next) {
        cr_assert(next > before);
        for (; pop(h, next); fired++) {
        }
    }
    cr_assert_eq(fired, expected);
}

/* A chain of children, a root with all the others as children, and both by halves: nothing recurses or
 * becomes quadratic. */
Test(timer, shapes_that_a_peer_can_make) {
    for (int shape = 0; shape < 4; shape++) {
        choiri_timers h = {0};
        size_t cancelled = 0;
        for (size_t i = 0; i < MANY; i++) {
            choir_time up = i + 1, down = MANY - i;
            choiri_timer_init(&many[i], 0);
            choiri_timers_arm(&h, &many[i], shape == 0 ? up : shape == 1 ? down : i % 2 ? MANY + up : down);
        }
        for (size_t i = 0; shape == 3 && i < MANY; i += 3, cancelled++) choiri_timers_cancel(&h, &many[i]);
        pop_all(&h, MANY - cancelled);
    }
}

Test(timer, many_at_random) {
    static choir_time deadlines[MANY];
    choiri_timers h = {0};
    size_t left = 0;
    for (size_t i = 0; i < MANY; i++) {
        choiri_timer_init(&many[i], 0);
        deadlines[i] = 1 + random64() % (100 * CHOIR_SECOND);
        choiri_timers_arm(&h, &many[i], deadlines[i]);
    }
    for (size_t i = 0; i < MANY; i++) {
        if (i % 3 == 0)
            choiri_timers_cancel(&h, &many[i]);
        else
            left++;
        if (i % 3 == 1) choiri_timers_arm(&h, &many[i], deadlines[i] += 1 + random64() % CHOIR_SECOND);
    }
    for (choiri_timer *t; (t = pop(&h, CHOIR_TIME_NEVER - 1)) != NULL; left--)
        cr_assert_neq((size_t)(t - many) % 3, 0);
    cr_assert_eq(left, 0);
}
