/* SPDX-License-Identifier: MIT */
/* Values and outcomes in Rust's debug format, so that they can be compared with what a Rust client prints.
 * All results are owned by the caller (free). */
#ifndef CHOIR_INTEROP_DEBUG_H
#define CHOIR_INTEROP_DEBUG_H

#include "choir/event.h"

char *debug_value(const choir_unit *unit, uint32_t type, const void *value);
/* "Ok(..)", "Err(User(..))", "Err(UnknownMethod)", ... of a finished call. */
char *debug_outcome(const choir_service *service, uint32_t method, const choir_event *done);
/* Texts over 2,000 bytes become a beginning, a length and a digest, as the Rust client has them. */
char *debug_abbreviate(const char *text);

#endif
