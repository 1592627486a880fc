/* SPDX-License-Identifier: MIT */
/* The command line.
 *
 * Rejected: getopt_long. It takes -7 for an option wherever it stands, and people call with numbers below
 * 0. */
#include "tool.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define YEAR 31536000.0

int tool_usage(const tool_command *command, const char *format, ...) {
    va_list arguments;
    const char *space = command ? " " : "", *name = command ? command->name : "";
    fputs("choir: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    tool_hint("choir%s%s --help shows how it is used", space, name);
    return TOOL_USAGE;
}

/* `text` is what comes after the dashes. */
static int next_option(tool_options *o, char *text) {
    char *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : strlen(text);
    for (int i = 0; o->known[i].name; i++) {
        const tool_option *k = &o->known[i];
        if (strlen(k->name) != len || memcmp(k->name, text, len) != 0) continue;
        o->value = equals ? equals + 1 : NULL;
        if (k->value == TOOL_FLAG && equals) {
            tool_usage(o->command, "--%s has no value", k->name);
            return TOOL_BAD;
        }
        if (k->value == TOOL_VALUE && !equals) {
            if (o->at == o->argc) {
                tool_usage(o->command, "--%s needs a value", k->name);
                return TOOL_BAD;
            }
            o->value = o->argv[o->at++];
        }
        return i;
    }
    tool_usage(o->command, "there is no option --%.*s", (int)len, text);
    return TOOL_BAD;
}

int tool_next(tool_options *o) {
    if (o->at == o->argc) return TOOL_END;
    char *text = o->argv[o->at++];
    if (!o->rest && strcmp(text, "--") == 0) {
        o->rest = true;
        return tool_next(o);
    }
    if (!o->rest && strncmp(text, "--", 2) == 0) return next_option(o, text + 2);
    o->value = text;
    return TOOL_OPERAND;
}

bool tool_seconds(const char *text, choir_duration *ret) {
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= YEAR)) return false;
    *ret = (choir_duration)(seconds * (double)CHOIR_SECOND);
    return true;
}

bool tool_count(const char *text, uint32_t min, uint32_t max, uint32_t *ret) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    unsigned long long n = strtoull(text, &end, 10);
    if (*end != '\0' || n < min || n > max) return false;
    *ret = (uint32_t)n;
    return true;
}

bool tool_level(const char *text, uint32_t *ret) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text ? text : "info", names[i]) != 0) continue;
        *ret = i;
        return true;
    }
    return false;
}

bool tool_codec(const char *text, uint32_t *ret) {
    *ret = strcmp(text, "msgpack") == 0 ? CHOIR_CODEC_MSGPACK : CHOIR_CODEC_POSTCARD;
    return *ret == CHOIR_CODEC_MSGPACK || strcmp(text, "postcard") == 0;
}

int tool_url(const tool_command *command, const char *address, char *ret_url, size_t size) {
    const char *scheme = choir_address_scheme(address);
    if (scheme && strcmp(scheme, "mem") == 0)
        return tool_usage(command, "\"%s\": such links are inside one process", address);
    int n = snprintf(ret_url, size, "%s%s", scheme || strstr(address, "://") ? "" : "tcp://", address);
    return n > 0 && (size_t)n < size ? TOOL_OK : tool_usage(command, "the address is too long");
}
