/* SPDX-License-Identifier: MIT */
/* Log lines to the host's sink; off by default. Never give it metadata values or payload bytes. */
#ifndef CHOIRI_LOG_H
#define CHOIRI_LOG_H

#include "base/env.h"
#include "base/text.h"

static inline bool choiri_log_is_on(const choir_env *env, uint32_t level) {
    return env->log && level <= env->log_level;
}
/* `area` is a literal such as "session". */
void choiri_log(choir_env *env, uint32_t level, const char *area, const choiri_text *text);

#endif
