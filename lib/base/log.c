/* SPDX-License-Identifier: MIT */
/* The one place that calls the host's log sink. */
#include "base/log.h"

void choiri_log(choir_env *env, uint32_t level, const char *area, const choiri_text *text) {
    if (choiri_log_is_on(env, level)) env->log(env->log_ctx, level, area, choiri_text_get(text));
}
