/* SPDX-License-Identifier: MIT */
/* A log function for standard error. It is here because the core does no I/O; a line is one write, so that
 * those of several threads do not mix. */
#include "choir/net.h"

#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1000 };

static const char *level_name(uint32_t level) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    return level < sizeof names / sizeof *names ? names[level] : "log";
}

void choir_log_to_stderr(void *ctx, uint32_t level, const char *area, choir_str text) {
    char line[LINE_MAX_BYTES + 8];
    (void)ctx;
    int head = snprintf(line, LINE_MAX_BYTES / 2, "%s: %s: ", level_name(level), area ? area : "");
    size_t len = head < 0 ? 0 : head < LINE_MAX_BYTES / 2 ? (size_t)head : LINE_MAX_BYTES / 2 - 1;
    for (size_t i = 0; i < text.len; i++) {
        if (len + 8 > LINE_MAX_BYTES) {
            memcpy(line + len, "...", 3);
            len += 3;
            break;
        }
        char c = text.data[i]; /* perhaps a peer's: nothing that a terminal obeys */
        if (c >= 0x20 && c <= 0x7e)
            line[len++] = c;
        else
            len += (size_t)snprintf(line + len, 5, "\\x%02x", (unsigned)(unsigned char)c);
    }
    line[len++] = '\n';
    fwrite(line, 1, len, stderr);
}
