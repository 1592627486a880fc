/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void choiri_net_text_add(net_text *t, const char *format, ...) {
    size_t room = sizeof t->data - t->len;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(t->data + t->len, room, format, arguments);
    va_end(arguments);
    if (n < 0) return;
    if ((size_t)n < room) {
        t->len += (size_t)n;
        return;
    }
    t->len = sizeof t->data - 1;
    memcpy(t->data + t->len - 3, "...", 4);
}
