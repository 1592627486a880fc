/* SPDX-License-Identifier: MIT */
/* Zeroes a struct of constant size on a hot path: in pieces that compilers turn into a few vector stores. The
 * whole at once becomes a string instruction or a call, whose start alone takes longer; the barriers keep the
 * pieces apart. */
#ifndef CHOIRI_CLEAR_H
#define CHOIRI_CLEAR_H

#include "base/attr.h"

#include <stddef.h>
#include <string.h>

static CHOIRI_INLINE void choiri_clear(void *ptr, size_t size) {
    unsigned char *p = ptr;
    for (; size >= 64; size -= 64, p += 64) {
        memset(p, 0, 64);
        __asm__ volatile("" ::: "memory");
    }
    memset(p, 0, size);
}

#endif
