/* SPDX-License-Identifier: MIT */
/* choir ping: how long messages take to a peer and back. */
#include "tool.h"

#include <stdlib.h>

#define COUNT_MAX 1000000u
#define URL_MAX   300u

static const char help[] =
    "usage: choir ping [OPTION]... ADDRESS\n"
    "\n"
    "Sends Pings over one session, one after the other, and prints how long each took to be answered. No method is\n"
    "called. An interrupt ends it early, with the summary.\n"
    "\n" TOOL_ADDRESSES "\n"
    "  --count N            send this many, 1 to 1,000,000 (4)\n"
    "  --interval SECONDS   wait this long in between (1)\n"
    "  --codec CODEC        speak postcard or msgpack (postcard)\n"
    "  --log[=LEVEL]        log what the library does: error, warning, info (without LEVEL) or debug\n"
    "  --help               print this\n"
    "\n"
    "Exit status\n"
    "  0  every Ping was answered\n"
    "  2  wrong usage\n"
    "  3  could not connect, or the session failed\n";

typedef struct ping {
    char url[URL_MAX];
    const char *address;
    uint32_t count, log_level, codec;
    choir_duration interval;
    tool tool;
    choir_client *client;
    choir_duration *trips; /* room for `count` */
    uint32_t sent, answered;
    bool waiting, interrupted, over;
} ping;

enum { COUNT, INTERVAL, LOG, CODEC };
static const tool_option known[] = {[COUNT] = {"count", TOOL_VALUE},
                                    [INTERVAL] = {"interval", TOOL_VALUE},
                                    [LOG] = {"log", TOOL_MAYBE},
                                    [CODEC] = {"codec", TOOL_VALUE},
                                    {NULL, 0}};

static int parse(ping *p, int argc, char **argv) {
    tool_options o = {.command = &tool_ping, .known = known, .argc = argc, .argv = argv};
    for (int which; (which = tool_next(&o)) != TOOL_END;) {
        if (which == TOOL_BAD) return TOOL_USAGE;
        if (which == COUNT && !tool_count(o.value, 1, COUNT_MAX, &p->count))
            return tool_usage(&tool_ping, "--count needs a number from 1 to %u, not \"%s\"", COUNT_MAX,
                              o.value);
        if (which == INTERVAL && !tool_seconds(o.value, &p->interval))
            return tool_usage(&tool_ping, "--interval needs seconds, such as 0.5, not \"%s\"", o.value);
        if (which == LOG && !tool_level(o.value, &p->log_level))
            return tool_usage(&tool_ping, "there is no log level \"%s\"", o.value);
        if (which == CODEC && !tool_codec(o.value, &p->codec))
            return tool_usage(&tool_ping, "--codec is postcard or msgpack, not \"%s\"", o.value);
        if (which == TOOL_OPERAND && p->address) return tool_usage(&tool_ping, "one address is enough");
        if (which == TOOL_OPERAND) p->address = o.value;
    }
    if (!p->address) return tool_usage(&tool_ping, "an address is needed");
    return tool_url(&tool_ping, p->address, p->url, sizeof p->url);
}

static void on_pong(void *ctx, choir_duration round_trip) {
    ping *p = ctx;
    p->waiting = false;
    if (round_trip == CHOIR_TIME_NEVER) return;
    p->trips[p->answered++] = round_trip;
    printf("pong from %s: %.3f ms\n", p->url, tool_ms(round_trip));
    fflush(stdout);
}

static void on_closed(void *ctx, choir_client *client, const choir_event *event) {
    ping *p = ctx;
    (void)client, (void)event;
    p->over = true;
}

static void on_interrupt(void *ctx) {
    ping *p = ctx;
    p->interrupted = true;
}

static int compare(const void *a, const void *b) {
    choir_duration x = *(const choir_duration *)a, y = *(const choir_duration *)b;
    return (x > y) - (x < y);
}

static void summarise(ping *p) {
    uint32_t n = p->answered;
    printf("%u sent, %u answered", (unsigned)p->sent, (unsigned)n);
    if (n == 0) {
        putchar('\n');
        return;
    }
    qsort(p->trips, n, sizeof *p->trips, compare);
    choir_duration median = n % 2 ? p->trips[n / 2] : (p->trips[n / 2 - 1] + p->trips[n / 2]) / 2;
    printf("; round trip min %.3f ms, median %.3f ms, max %.3f ms\n", tool_ms(p->trips[0]), tool_ms(median),
           tool_ms(p->trips[n - 1]));
}

/* Runs the loop until the answer is there, or for `time`. */
static int turn(ping *p, choir_duration time) {
    int status = choir_loop_turn(p->tool.loop, time);
    return status == CHOIR_OK ? TOOL_OK : tool_failed(status, choir_loop_error(p->tool.loop));
}

static int send_pings(ping *p) {
    int status = TOOL_OK;
    while (status == TOOL_OK && !p->over && !p->interrupted && p->sent < p->count) {
        int result = choir_client_ping(p->client, on_pong, p);
        if (result != CHOIR_OK) return tool_failed(result, choir_loop_error(p->tool.loop));
        p->sent++;
        p->waiting = true;
        choir_time next = choir_loop_now(p->tool.loop) + p->interval;
        while (status == TOOL_OK && p->waiting && !p->interrupted) status = turn(p, CHOIR_TIME_NEVER);
        for (choir_time now; status == TOOL_OK && !p->over && !p->interrupted && p->sent < p->count &&
                             (now = choir_loop_now(p->tool.loop)) < next;)
            status = turn(p, next - now);
    }
    return status;
}

static int connect_and_ping(ping *p) {
    choir_client_options options;
    choir_session_options session;
    choir_session_options_init(&session);
    session.codec = p->codec;
    choir_client_options_init(&options);
    options.session = &session;
    options.ctx = p;
    options.closed = on_closed;
    int status = tool_connect(&p->tool, &tool_ping, p->url, &options, &p->client);
    if (status != TOOL_OK) return status;
    if (!tool_on_interrupt(&p->tool, on_interrupt, p)) return TOOL_FAILED;
    status = send_pings(p);
    summarise(p);
    if (status != TOOL_OK || !p->over) return status;
    return tool_client_failed(p->url, choir_client_status(p->client), choir_client_text(p->client));
}

static int run(int argc, char **argv) {
    ping p = {.count = 4, .interval = CHOIR_SECOND, .log_level = TOOL_SILENT};
    int status = parse(&p, argc, argv);
    if (status != TOOL_OK) return status;
    p.trips = calloc(p.count, sizeof *p.trips);
    if (!p.trips) return tool_failed(CHOIR_ERR_NO_MEMORY, CHOIR_STR(""));
    if (tool_init(&p.tool, p.log_level)) {
        status = connect_and_ping(&p);
        tool_deinit(&p.tool);
    } else {
        status = TOOL_FAILED;
    }
    free(p.trips);
    return status;
}

const tool_command tool_ping = {"ping", "measure the round trip to a peer", help, run};
