/* SPDX-License-Identifier: MIT */
/* Options structs of the public headers: they start with `size_t size` and only ever grow at the end, so that
 * a program built with older or newer headers works with this library as far as that is possible. */
#ifndef CHOIRI_OPTIONS_H
#define CHOIRI_OPTIONS_H

#include <stddef.h>

/* Lays the caller's `src` over `dst`, which holds the defaults and is `dst_size` bytes. A smaller `src` comes
 * from an older program: the rest keeps its defaults. A larger one comes from a newer program: it is accepted
 * if the bytes that we do not know are all zero. dst->size becomes dst_size. OK · ERR_INVALID (NULL, a size
 * that cannot be one, unknown bytes that are set); dst is then untouched. */
int choiri_options_copy(void *dst, size_t dst_size, const void *src);

/* Fills the caller's `dst`, which has `size` bytes, with as much of the defaults as fits, and what lies
 * behind them, members of a newer program, with zeroes: if that sets one of them, choiri_options_copy refuses
 * it. dst->size becomes `size`. Nothing is written when not even that member fits, or the size cannot be
 * one. */
void choiri_options_give(void *dst, size_t size, const void *defaults, size_t defaults_size);

#endif
