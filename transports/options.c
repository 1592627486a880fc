/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <string.h>

/* No options struct comes near it: a larger number is one that was never initialised. */
#define SIZE_PLAUSIBLE 4096u

int choiri_net_options_copy(void *dst, size_t dst_size, const void *src) {
    size_t size;
    memcpy(&size, src, sizeof size);
    if (size < sizeof size || size > SIZE_PLAUSIBLE) return CHOIR_ERR_INVALID;
    for (size_t i = dst_size; i < size; i++)
        if (((const uint8_t *)src)[i] != 0) return CHOIR_ERR_INVALID;
    memcpy(dst, src, size < dst_size ? size : dst_size);
    memcpy(dst, &dst_size, sizeof dst_size);
    return CHOIR_OK;
}

void choiri_net_options_give(void *dst, size_t size, const void *defaults, size_t defaults_size) {
    if (!dst || size < sizeof size || size > SIZE_PLAUSIBLE) return;
    size_t known = size < defaults_size ? size : defaults_size;
    memcpy(dst, defaults, known);
    if (size > known) memset((uint8_t *)dst + known, 0, size - known);
    memcpy(dst, &size, sizeof size);
}

int choiri_net_session_options(const choir_session_options *session,
                               const choir_attachment_options *attachment, net_session_options *ret_options) {
    net_session_options o;
    choir_session_options_init(&o.session);
    choir_conn_options_init(&o.root);
    choir_attachment_options_init(&o.attachment);
    if ((session && choiri_net_options_copy(&o.session, sizeof o.session, session) != CHOIR_OK) ||
        (o.session.root && choiri_net_options_copy(&o.root, sizeof o.root, o.session.root) != CHOIR_OK) ||
        (attachment && choiri_net_options_copy(&o.attachment, sizeof o.attachment, attachment) != CHOIR_OK))
        return CHOIR_ERR_INVALID;
    o.session.wake = NULL;
    o.attachment.wake = NULL;
    o.attachment.evidence = NULL;
    *ret_options = o;
    return CHOIR_OK;
}
