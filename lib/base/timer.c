/* SPDX-License-Identifier: MIT */
/* The timer wheel.
 *
 * A tick number is read as digits of 6 bits. A timer lies on the level of the highest digit in which its tick differs
 * from now_tick, in the slot that its own digit names. From that follows:
 *  - level 0 holds exact ticks from now_tick on (a deadline in the past is in the slot of now_tick itself);
 *  - on a higher level, slots in use have a number greater than now_tick's digit, and all of them come after all of
 *    the levels below: the first slot in use, from below, is what happens next;
 *  - when time comes to such a slot, its timers are placed anew and land at least one level lower, so a timer moves
 *    at most once per level in its life.
 * Seven digits are 42 bits, ticks have 45: a timer that differs above the seventh digit waits in slot 0 of the
 * highest level, which no other timer can use, for the moment when that digit turns over to 0.
 *
 * Time jumps from one used slot to the next, so sleeping for a year costs no more than what was armed.
 */
#include "base/timer.h"

#include "base/assert.h"

#define DIGIT_BITS 6u
#define DIGIT_MASK (CHOIRI_TIMER_SLOTS - 1)
#define LEVEL_TOP  (CHOIRI_TIMER_LEVELS - 1)
#define TICK_MASK  ((UINT64_C(1) << CHOIRI_TIMER_TICK_BITS) - 1)
/* Greater than every tick that a choir_time can reach. */
#define TICK_NEVER UINT64_MAX

static unsigned digit(uint64_t tick, unsigned level) {
    return (unsigned)(tick >> (level * DIGIT_BITS)) & DIGIT_MASK;
}

void choiri_wheel_init(choiri_wheel *w, choir_time now) {
    w->now_tick = now >> CHOIRI_TIMER_TICK_BITS;
    w->armed = 0;
    for (unsigned level = 0; level < CHOIRI_TIMER_LEVELS; level++) {
        w->used[level] = 0;
        for (unsigned slot = 0; slot < CHOIRI_TIMER_SLOTS; slot++) choiri_list_init(&w->slots[level][slot]);
    }
    choiri_list_init(&w->due);
}

void choiri_timer_init(choiri_timer *t) {
    *t = (choiri_timer){.node = {&t->node, &t->node}};
}

/* Puts a timer that is in no list where its tick belongs; tick >= now_tick. */
static void place(choiri_wheel *w, choiri_timer *t) {
    uint64_t differs = t->tick ^ w->now_tick;
    unsigned level = differs == 0 ? 0 : (63u - (unsigned)__builtin_clzll(differs)) / DIGIT_BITS;
    unsigned slot = 0;
    if (level > LEVEL_TOP)
        level = LEVEL_TOP;
    else
        slot = digit(t->tick, level);
    t->slot = (uint16_t)(level * CHOIRI_TIMER_SLOTS + slot);
    w->used[level] |= UINT64_C(1) << slot;
    choiri_list_append(&w->slots[level][slot], &t->node);
}

void choiri_timer_arm(choiri_wheel *w, choiri_timer *t, choir_time deadline) {
    choiri_timer_cancel(w, t);
    if (deadline == CHOIR_TIME_NEVER) return;
    uint64_t tick = (deadline >> CHOIRI_TIMER_TICK_BITS) + ((deadline & TICK_MASK) != 0);
    t->tick = tick > w->now_tick ? tick : w->now_tick;
    place(w, t);
    w->armed++;
}

void choiri_timer_cancel(choiri_wheel *w, choiri_timer *t) {
    if (!choiri_timer_is_armed(t)) return;
    choiri_list_remove(&t->node);
    w->armed--;
    /* A timer on the due list is no longer in this slot; the bit of an empty slot is right to be 0 all the same. */
    unsigned level = t->slot / CHOIRI_TIMER_SLOTS, slot = t->slot % CHOIRI_TIMER_SLOTS;
    if (choiri_list_is_empty(&w->slots[level][slot])) w->used[level] &= ~(UINT64_C(1) << slot);
}

/* The next slot in use and the tick at which its time comes, TICK_NEVER when there is none. */
static uint64_t next_slot(const choiri_wheel *w, unsigned *ret_level, unsigned *ret_slot) {
    for (unsigned level = 0; level < CHOIRI_TIMER_LEVELS; level++) {
        unsigned here = digit(w->now_tick, level);
        uint64_t after = (level == 0 ? ~UINT64_C(0) : ~UINT64_C(1)) << here;
        uint64_t used = w->used[level] & after;
        if (used == 0) continue;
        *ret_level = level;
        *ret_slot = (unsigned)__builtin_ctzll(used);
        uint64_t higher = w->now_tick >> ((level + 1) * DIGIT_BITS) << DIGIT_BITS;
        return (higher | *ret_slot) << (level * DIGIT_BITS);
    }
    if ((w->used[LEVEL_TOP] & 1) == 0) return TICK_NEVER;
    *ret_level = LEVEL_TOP;
    *ret_slot = 0;
    return ((w->now_tick >> (CHOIRI_TIMER_LEVELS * DIGIT_BITS)) + 1) << (CHOIRI_TIMER_LEVELS * DIGIT_BITS);
}

choir_time choiri_wheel_deadline(const choiri_wheel *w) {
    unsigned level = 0, slot = 0;
    uint64_t tick = choiri_list_is_empty(&w->due) ? next_slot(w, &level, &slot) : w->now_tick;
    /* The last tick of all, and what lies after it, is later than a choir_time can say. */
    return tick > CHOIR_TIME_NEVER >> CHOIRI_TIMER_TICK_BITS ? CHOIR_TIME_NEVER
                                                             : tick << CHOIRI_TIMER_TICK_BITS;
}

/* Moves all nodes of one list to the end of another. */
static void move_all(choiri_list *to, choiri_list *from) {
    if (choiri_list_is_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    choiri_list_init(from);
}

void choiri_wheel_advance(choiri_wheel *w, choir_time now) {
    uint64_t target = now >> CHOIRI_TIMER_TICK_BITS;
    CHOIRI_ASSERT(target >= w->now_tick);
    unsigned level = 0, slot = 0;
    uint64_t tick;
    while ((tick = next_slot(w, &level, &slot)) <= target) {
        w->now_tick = tick;
        w->used[level] &= ~(UINT64_C(1) << slot);
        if (level == 0) {
            move_all(&w->due, &w->slots[0][slot]);
            continue;
        }
        choiri_list moving;
        choiri_list_init(&moving);
        move_all(&moving, &w->slots[level][slot]);
        while (!choiri_list_is_empty(&moving)) {
            choiri_timer *t = CHOIRI_CONTAINER(moving.next, choiri_timer, node);
            choiri_list_remove(&t->node);
            place(w, t);
        }
    }
    w->now_tick = target;
}

choiri_timer *choiri_wheel_pop(choiri_wheel *w) {
    if (choiri_list_is_empty(&w->due)) return NULL;
    choiri_timer *t = CHOIRI_CONTAINER(w->due.next, choiri_timer, node);
    choiri_list_remove(&t->node);
    w->armed--;
    return t;
}
