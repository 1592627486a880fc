/* SPDX-License-Identifier: MIT */
/* The one place that knows how options structs grow (base/options.h). Rejected: a version number per struct,
 * which needs a table of old sizes for each of them; the size says the same and is filled by the init
 * function. */
#include "base/options.h"

#include "base/assert.h"
#include "choir/status.h"

#include <string.h>

/* No options struct comes near it: a larger number is a struct that was never initialised, and looking for
 * unknown bytes would then read memory that is not the caller's. */
#define SIZE_PLAUSIBLE 4096u

int choiri_options_copy(void *dst, size_t dst_size, const void *src) {
    CHOIRI_ASSERT(dst_size >= sizeof(size_t) && dst_size <= SIZE_PLAUSIBLE);
    if (!src) return CHOIR_ERR_INVALID;
    size_t size;
    memcpy(&size, src, sizeof size);
    if (size < sizeof size || size > SIZE_PLAUSIBLE) return CHOIR_ERR_INVALID;
    const uint8_t *bytes = src;
    for (size_t i = dst_size; i < size; i++)
        if (bytes[i] != 0) return CHOIR_ERR_INVALID;
    memcpy(dst, src, size < dst_size ? size : dst_size);
    memcpy(dst, &dst_size, sizeof dst_size);
    return CHOIR_OK;
}

void choiri_options_give(void *dst, size_t size, const void *defaults, size_t defaults_size) {
    if (CHOIRI_LIKELY(size == defaults_size)) { /* whose first member says so already */
        memcpy(dst, defaults, size);
        return;
    }
    if (size < sizeof size || size > SIZE_PLAUSIBLE) return;
    size_t known = size < defaults_size ? size : defaults_size;
    memcpy(dst, defaults, known);
    if (size > known) memset((uint8_t *)dst + known, 0, size - known);
    memcpy(dst, &size, sizeof size);
}
