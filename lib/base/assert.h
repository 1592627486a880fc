/* SPDX-License-Identifier: MIT */
/* Assertions about our own state, never about input. They stay on in release builds: a broken invariant ends
 * the process at the place instead of corrupting a peer's data later. No libc: a trap instruction. */
#ifndef CHOIRI_ASSERT_H
#define CHOIRI_ASSERT_H

#include "base/attr.h"

#define CHOIRI_ASSERT(cond)                                                                                  \
    do {                                                                                                     \
        if (CHOIRI_UNLIKELY(!(cond))) __builtin_trap();                                                      \
    } while (0)

#endif
