/* SPDX-License-Identifier: MIT */
/* Text for people that is cut when it gets too long. */
#ifndef CHOIRI_NET_TEXT_H
#define CHOIRI_NET_TEXT_H

#include "choir/base.h"

typedef struct net_text {
    size_t len;
    char data[500]; /* NUL-terminated; ends in "..." when it was cut */
} net_text;

void choiri_net_text_add(net_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline choir_str net_text_get(const net_text *t) {
    return (choir_str){t->data, t->len};
}

#endif
