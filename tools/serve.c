/* SPDX-License-Identifier: MIT */
/* choir serve: a server with the Testbed service. */
#include "serve_testbed.h"
#include "tool.h"

#define URL_MAX      300u
#define MAX_REQUESTS 1000000u

static const char help[] =
    "usage: choir serve [OPTION]... ADDRESS\n"
    "\n"
    "Serves the methods of Testbed (choir call --list) until it is interrupted or terminated; then it closes its\n"
    "sessions in order. A second interrupt ends it at once. The first line of output says where it listens:\n"
    "\n"
    "  listening on tcp://127.0.0.1:41234\n"
    "\n" TOOL_ADDRESSES
    "HOST is an IP address or localhost; with port 0 the system chooses. ?mode=0660 behind a PATH is the mode of the\n"
    "socket. With a descriptor that is connected, or stdio:, it ends with the session; its output then goes to\n"
    "standard error.\n"
    "\n"
    "  --evolved          serve the evolved Testbed: its six echoes of evolved types, to try versions with\n"
    "  --max-requests N   handle at most this many requests of a session at a time; the others wait (64)\n"
    "  --log[=LEVEL]      log what happens on standard error: error, warning, info (without LEVEL) or debug\n"
    "  --test-hooks       let the argument of Testbed.echo make the server misbehave: \"slow:MS:TEXT\" is answered\n"
    "                     after MS milliseconds, \"panic\" is dropped, \"exit\" ends the process with status 3\n"
    "  --help             print this\n"
    "\n"
    "Exit status\n"
    "  0  closed in order\n"
    "  2  wrong usage\n"
    "  3  could not listen\n";

typedef struct serve {
    char url[URL_MAX];
    const char *address;
    uint32_t max_requests, log_level;
    bool test_hooks, evolved;
    tool tool;
    choir_server *server;
} serve;

enum { REQUESTS, LOG, HOOKS, EVOLVED };
static const tool_option known[] = {[REQUESTS] = {"max-requests", TOOL_VALUE},
                                    [LOG] = {"log", TOOL_MAYBE},
                                    [HOOKS] = {"test-hooks", TOOL_FLAG},
                                    [EVOLVED] = {"evolved", TOOL_FLAG},
                                    {NULL, 0}};

static int parse(serve *s, int argc, char **argv) {
    tool_options o = {.command = &tool_serve, .known = known, .argc = argc, .argv = argv};
    for (int which; (which = tool_next(&o)) != TOOL_END;) {
        if (which == TOOL_BAD) return TOOL_USAGE;
        if (which == REQUESTS && !tool_count(o.value, 1, MAX_REQUESTS, &s->max_requests))
            return tool_usage(&tool_serve, "--max-requests needs a number from 1 to %u, not \"%s\"",
                              MAX_REQUESTS, o.value);
        if (which == LOG && !tool_level(o.value, &s->log_level))
            return tool_usage(&tool_serve, "there is no log level \"%s\"", o.value);
        if (which == HOOKS) s->test_hooks = true;
        if (which == EVOLVED) s->evolved = true;
        if (which == TOOL_OPERAND && s->address) return tool_usage(&tool_serve, "one address is enough");
        if (which == TOOL_OPERAND) s->address = o.value;
    }
    if (!s->address) return tool_usage(&tool_serve, "an address is needed, such as tcp://127.0.0.1:0");
    return tool_url(&tool_serve, s->address, s->url, sizeof s->url);
}

static void on_interrupt(void *ctx) {
    serve *s = ctx;
    choir_server_close(s->server);
}

static int listen_and_run(serve *s) {
    choir_server_options options;
    choir_server_options_init(&options);
    choir_session_options session;
    choir_conn_options root;
    choir_session_options_init(&session);
    choir_conn_options_init(&root);
    root.max_concurrent_requests = s->max_requests;
    session.root = &root;
    options.session = &session;
    serve_testbed testbed = {s->tool.loop, s->tool.base, s->test_hooks, s->evolved};
    serve_testbed_options(&testbed, &options);
    int status = choir_listen(s->tool.loop, s->url, &options, &s->server);
    choir_str why = choir_loop_error(s->tool.loop);
    if (status == CHOIR_ERR_ADDRESS) {
        status = tool_usage(&tool_serve, "%.*s", (int)why.len, why.data);
    } else if (status != CHOIR_OK) {
        status = tool_failed(status, why);
    } else if (!tool_on_interrupt(&s->tool, on_interrupt, s)) {
        status = TOOL_FAILED;
    } else {
        printf("listening on %s\n", choir_server_url(s->server));
        fflush(stdout);
        status = CHOIR_OK;
        while (status == CHOIR_OK && !choir_server_is_done(s->server))
            status = choir_loop_turn(s->tool.loop, CHOIR_TIME_NEVER);
        status = status == CHOIR_OK ? TOOL_OK : tool_failed(status, choir_loop_error(s->tool.loop));
    }
    tool_deinit(&s->tool); /* while `testbed` is there: requests that wait are ended now */
    return status;
}

static int run(int argc, char **argv) {
    serve s = {.max_requests = 64, .log_level = TOOL_SILENT};
    int status = parse(&s, argc, argv);
    if (status != TOOL_OK) return status;
    return tool_init(&s.tool, s.log_level) ? listen_and_run(&s) : TOOL_FAILED;
}

const tool_command tool_serve = {"serve", "serve the Testbed service", help, run};
