/* SPDX-License-Identifier: MIT */
/* What the subcommands of `choir` share: exit statuses, options, messages for people, the loop.
 *
 * Results go to standard output; everything else goes to standard error, as a line that says what happened
 * and, where something can be done about it, a line that starts with "hint:". */
#ifndef TOOL_H
#define TOOL_H

#include "choir/net.h"
#include "idl/idl.h"

#include <stdio.h>

/* Exit statuses; docs/man/choir.1 and the help texts list them. */
enum {
    TOOL_OK,
    TOOL_USER_ERROR,               /* the method answered with its own error */
    TOOL_BREAKS = TOOL_USER_ERROR, /* a new version breaks what is required to work */
    TOOL_USAGE,                    /* nothing was done */
    TOOL_FAILED,                   /* no connection, no listening, a session or the system that failed */
    TOOL_NO_ANSWER,                /* the call ended without an answer of the method */
};

/* A subcommand: `run` gets the arguments behind its name. */
typedef struct tool_command {
    const char *name, *summary, *help;
    int (*run)(int argc, char **argv);
} tool_command;

extern const tool_command tool_serve, tool_call, tool_ping, tool_schema;

/* ---- command line (options.c) ---- */

/* Whether an option has a value: --name=VALUE, or for TOOL_VALUE also --name VALUE. */
enum { TOOL_FLAG, TOOL_VALUE, TOOL_MAYBE };

typedef struct tool_option {
    const char *name; /* without the dashes */
    int value;        /* TOOL_FLAG, ... */
} tool_option;

typedef struct tool_options {
    const tool_command *command;
    const tool_option *known; /* ends with a NULL name */
    int argc, at;
    char **argv;
    bool rest;   /* after "--": no more options */
    char *value; /* of the option, NULL when there is none; or the operand */
} tool_options;

enum { TOOL_END = -1, TOOL_OPERAND = -2, TOOL_BAD = -3 };

/* The next option's index in `known`, or TOOL_OPERAND, TOOL_END, TOOL_BAD (a message was printed). Options
 * and operands come in any order. Only what starts with two dashes is an option, so that -7 is an argument of
 * a call. */
int tool_next(tool_options *o);
/* Prints what is wrong with the command line; returns TOOL_USAGE. */
int tool_usage(const tool_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Seconds with a fraction, 0 to a year. */
bool tool_seconds(const char *text, choir_duration *ret);
bool tool_count(const char *text, uint32_t min, uint32_t max, uint32_t *ret);
/* A log level; NULL is "info". */
bool tool_level(const char *text, uint32_t *ret);
/* postcard or msgpack, as CHOIR_CODEC_*. */
bool tool_codec(const char *text, uint32_t *ret);
/* The address as a URL: HOST:PORT stands for tcp://HOST:PORT, unless HOST is a scheme. TOOL_OK, or TOOL_USAGE
 * with a message. */
int tool_url(const tool_command *command, const char *address, char *ret_url, size_t size);

/* What the helps say about addresses. */
#define TOOL_ADDRESSES                                                                                          \
    "An ADDRESS is HOST:PORT or tcp://HOST:PORT, unix://PATH (local://PATH is the same), unix-abstract:NAME,\n" \
    "fd:N or fd:IN,OUT (descriptors that choir was given), or stdio: (standard input and output).\n"

/* ---- messages and the loop (tool.c) ---- */

typedef struct tool {
    struct event_base *base;
    choir_loop *loop;
    choir_time start;
    struct event *interrupts[2];
    void (*interrupted)(void *ctx);
    void *interrupted_ctx;
} tool;

#define TOOL_SILENT UINT32_MAX

/* Makes the loop; `log_level` is a CHOIR_LOG_* or TOOL_SILENT. False when that failed (a message was
 * printed). */
bool tool_init(tool *t, uint32_t log_level);
/* Frees the loop and all that it has. */
void tool_deinit(tool *t);
/* Calls `fn` at the first SIGINT or SIGTERM; the second one ends the process. False without memory. */
bool tool_on_interrupt(tool *t, void (*fn)(void *ctx), void *ctx);
/* Prints what failed and a hint about the status; returns TOOL_FAILED. */
int tool_failed(int status, choir_str text);
/* The same for the end of a client. */
int tool_client_failed(const char *url, int status, choir_str text);
/* Connects and waits until the session is established. Returns an exit status; if that is not TOOL_OK, a
 * message was printed. */
int tool_connect(tool *t, const tool_command *command, const char *url, const choir_client_options *options,
                 choir_client **ret_client);
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tool_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline double tool_ms(choir_duration d) {
    return (double)d / (double)CHOIR_MILLISECOND;
}

/* ---- services that are known (services.c) ---- */

/* `types` is an interface file that takes the place of the services that are built in; NULL: these. */

/* Reads an interface file. False: a message was printed. Returns owned (free with idl_free). */
bool tool_read_types(const char *path, idl **ret_types);
/* Finds SERVICE.METHOD, and returns an exit status. *ret_service is NULL for a method that is not built in:
 * nobody knows its types. When it is not in `types`, a message says what is. */
int tool_find_method(const tool_command *command, const char *name, const idl *types,
                     const choir_service **ret_service, uint32_t *ret_method);
/* Prints all methods with their types. */
void tool_list_methods(FILE *out, const idl *types);
/* Prints divide(i64, i64) -> Result<i64, MathError>. */
void tool_print_signature(FILE *out, const choir_service *service, uint32_t method);

#endif
