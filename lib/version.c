/* SPDX-License-Identifier: MIT */
/* What the library says it is. It lies above the layers because it belongs to the library as a whole. */
#include "choir/version.h"

const char *choir_version(void) {
    return CHOIR_VERSION;
}

uint32_t choir_version_number(void) {
    return CHOIR_VERSION_NUMBER;
}
