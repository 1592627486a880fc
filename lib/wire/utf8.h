/* SPDX-License-Identifier: MIT */
#ifndef CHOIRI_UTF8_H
#define CHOIRI_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when the bytes are well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool choiri_utf8_is_valid(const uint8_t *data, size_t len);

#endif
