/* SPDX-License-Identifier: MIT */
/* Hints to the compiler. A function that is called rarely is CHOIRI_COLD: kept out of its callers, which then
 * need fewer registers, and so fewer instructions, on the way that every message takes. */
#ifndef CHOIRI_ATTR_H
#define CHOIRI_ATTR_H

#define CHOIRI_LIKELY(cond)   __builtin_expect(!!(cond), 1)
#define CHOIRI_UNLIKELY(cond) __builtin_expect(!!(cond), 0)
#define CHOIRI_COLD           __attribute__((cold, noinline))
#define CHOIRI_NOINLINE       __attribute__((noinline))
/* Called from few places, on the way of every message. */
#define CHOIRI_INLINE inline __attribute__((always_inline))

#endif
