/* SPDX-License-Identifier: MIT */
/* Arithmetic of time that ends at CHOIR_TIME_NEVER instead of starting anew. */
#ifndef CHOIRI_TIME_H
#define CHOIRI_TIME_H

#include "choir/base.h"

static inline choir_time choiri_time_later(choir_time t, choir_duration d) {
    return t > CHOIR_TIME_NEVER - d ? CHOIR_TIME_NEVER : t + d;
}
static inline choir_time choiri_time_earlier(choir_time a, choir_time b) {
    return a < b ? a : b;
}

#endif
