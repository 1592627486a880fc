/* SPDX-License-Identifier: MIT */
/* Messages, and the loop with what a program adds to it: signals and a log on standard error. */
#include "tool.h"

#include <event2/event.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

/* ---- messages ---- */

void tool_say(const char *format, ...) {
    va_list arguments;
    fputs("choir: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void tool_hint(const char *format, ...) {
    va_list arguments;
    fputs("hint: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* What one can do about a status; NULL when there is nothing to say. */
static const char *hint_of(int status) {
    switch (status) {
    case CHOIR_ERR_ADDRESS:
    case CHOIR_ERR_RESOLVE: return "check the name, or use an IP address";
    case CHOIR_ERR_CONNECT: return "check that a server listens there; choir serve HOST:PORT starts one";
    case CHOIR_ERR_LISTEN:
        return "choose an address of this machine and a free port; port 0 lets the system choose one";
    case CHOIR_ERR_CONNECT_TIMEOUT: return "check host and port, and that no firewall is in between";
    case CHOIR_ERR_HANDSHAKE_TIMEOUT:
        return "check that a vox peer uses this port, and that it does not hang";
    case CHOIR_ERR_PROLOGUE: return "something else than a vox peer uses this port; check the address";
    case CHOIR_ERR_NEWER_PEER: return "only peers of vox 0.4 can be talked to";
    case CHOIR_ERR_REJECTED: return "vox's own peers speak only postcard; leave out --codec";
    case CHOIR_ERR_REFUSED: return "the peer's own log may tell more";
    case CHOIR_ERR_PEER_UNRESPONSIVE:
    case CHOIR_ERR_WRITE_STALLED: return "check whether the peer hangs or is stopped, and the network";
    case CHOIR_ERR_LINK_LOST: return "the peer closed the connection; its own log may say why";
    default: return NULL;
    }
}

int tool_failed(int status, choir_str text) {
    const char *hint = hint_of(status), *name = choir_status_text(status);
    if (text.len > 0)
        tool_say("%.*s", (int)text.len, text.data);
    else
        tool_say("%s", name);
    if (hint) tool_hint("%s", hint);
    return TOOL_FAILED;
}

/* ---- the client ---- */

int tool_client_failed(const char *url, int status, choir_str text) {
    char line[800];
    const char *what = choir_status_text(status);
    /* What happened before there was a link is told with the address in it. */
    bool before = status == CHOIR_ERR_ADDRESS || status == CHOIR_ERR_RESOLVE || status == CHOIR_ERR_CONNECT ||
                  status == CHOIR_ERR_CONNECT_TIMEOUT;
    if (before && text.len > 0) return tool_failed(status, text);
    bool more = text.len > 0 && (text.len != strlen(what) || memcmp(text.data, what, text.len) != 0);
    snprintf(line, sizeof line, "%s: %s%s%.*s", url, what, more ? ": " : "", more ? (int)text.len : 0,
             text.data);
    return tool_failed(status, (choir_str){line, strlen(line)});
}

int tool_connect(tool *t, const tool_command *command, const char *url, const choir_client_options *options,
                 choir_client **ret_client) {
    int status = choir_connect(t->loop, url, options, ret_client);
    choir_str text = choir_loop_error(t->loop);
    if (status == CHOIR_ERR_ADDRESS) return tool_usage(command, "%.*s", (int)text.len, text.data);
    if (status == CHOIR_OK) status = choir_client_wait_open(*ret_client);
    return status == CHOIR_OK ? TOOL_OK : tool_client_failed(url, status, choir_loop_error(t->loop));
}

/* ---- the loop ---- */

static void on_log(void *ctx, uint32_t level, const char *area, choir_str text) {
    static const char names[][8] = {"error", "warning", "info", "debug"};
    const tool *t = ctx;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    choir_duration since = (choir_time)now.tv_sec * CHOIR_SECOND + (choir_time)now.tv_nsec - t->start;
    fprintf(stderr, "%10.3f %s %s: %.*s\n", (double)since / (double)CHOIR_SECOND, names[level & 3], area,
            (int)text.len, text.data);
}

bool tool_init(tool *t, uint32_t log_level) {
    *t = (tool){0};
    t->base = event_base_new();
    if (!t->base) {
        tool_say("the event loop cannot be made");
        return false;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    t->start = (choir_time)now.tv_sec * CHOIR_SECOND + (choir_time)now.tv_nsec;
    choir_loop_options options;
    choir_env_options env;
    choir_loop_options_init(&options);
    choir_env_options_init(&env);
    options.base = t->base;
    options.env = &env;
    if (log_level != TOOL_SILENT) {
        env.log = on_log;
        env.log_ctx = t;
        env.log_level = log_level;
    }
    int status = choir_loop_new(&options, &t->loop);
    if (status == CHOIR_OK) return true;
    tool_failed(status, CHOIR_STR(""));
    event_base_free(t->base);
    return false;
}

static void forget_interrupts(tool *t) {
    for (int i = 0; i < 2; i++) {
        if (t->interrupts[i]) event_free(t->interrupts[i]);
        t->interrupts[i] = NULL;
    }
}

void tool_deinit(tool *t) {
    choir_loop_free(t->loop);
    forget_interrupts(t);
    event_base_free(t->base);
}

static void on_interrupt(evutil_socket_t signal, short what, void *ctx) {
    tool *t = ctx;
    (void)signal, (void)what;
    forget_interrupts(t); /* which gives the signals back to the system */
    t->interrupted(t->interrupted_ctx);
}

bool tool_on_interrupt(tool *t, void (*fn)(void *ctx), void *ctx) {
    static const int signals[2] = {SIGINT, SIGTERM};
    t->interrupted = fn;
    t->interrupted_ctx = ctx;
    for (int i = 0; i < 2; i++) {
        t->interrupts[i] = evsignal_new(t->base, signals[i], on_interrupt, t);
        if (!t->interrupts[i] || event_add(t->interrupts[i], NULL) != 0) {
            tool_failed(CHOIR_ERR_NO_MEMORY, CHOIR_STR(""));
            return false;
        }
    }
    return true;
}
