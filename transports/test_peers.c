/* SPDX-License-Identifier: MIT */
/* Limits, shortages, and peers that are hostile or unlucky. */
#include "test_relay.h"

/* ---- limits ---- */

static void count_opened(void *ctx, choir_client *client, const choir_event *event) {
    (void)client;
    (void)event;
    ((world *)ctx)->opened++;
}

static void max_sessions(world *w, const char *url) {
    world_begin(w);
    choir_server_options so = server_options(w);
    so.max_sessions = 2;
    cr_assert_eq(choir_listen(w->loop, url, &so, &w->server), CHOIR_OK);
    choir_client_options co = client_options(w);
    co.opened = count_opened;
    co.closed = count_closed;
    choir_client *clients[4];
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), &co, &clients[i]), CHOIR_OK);
        cr_assert_eq(choir_client_call(clients[i], TESTBED_ECHO, &args, NULL, count_call, w, NULL), CHOIR_OK);
    }
    until(w, w->done == 2);
    turn_for(w, 50 * CHOIR_MILLISECOND);
    cr_assert_eq(w->opened, 2);
    cr_assert_eq(choir_server_sessions(w->server), 2);
    choir_client_free(clients[0]);
    choir_client_free(clients[1]);
    until(w, w->opened == 4 && w->done == 4 && w->closed == 2);
    cr_assert_eq(choir_server_sessions(w->server), 2);
    world_end(w);
    cr_assert_eq(w->closed, 4);
    cr_assert_eq(w->sessions_closed, 4);
}
Test(peers, max_sessions) {
    on_each(max_sessions);
}

/* True when the other end has closed, reading what comes before. */
static bool is_closed(int fd) {
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) continue;
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

static void never_closed(void *ctx, choir_client *client, const choir_event *event) {
    const world *w = ctx;
    (void)client;
    cr_assert_eq(w->done, w->to_send, "thrown out after %u of %u: %s: %.*s", w->done, w->to_send,
                 choir_status_name(event->status), (int)event->text.len, event->text.data);
}

/* A herd of clients in one moment: while handshakes are full nobody more is accepted, and nobody is thrown
 * out. */
static void herd_of(world *w, const char *url, uint32_t clients, uint32_t max_handshakes) {
    world_begin(w);
    choir_server_options so = server_options(w);
    so.max_handshakes = max_handshakes;
    cr_assert_eq(choir_listen(w->loop, url, &so, &w->server), CHOIR_OK);
    choir_client_options co = client_options(w);
    co.opened = count_opened;
    co.closed = never_closed; /* before all are served */
    w->to_send = clients;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    for (uint32_t i = 0; i < clients; i++) {
        choir_client *client;
        cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), &co, &client), CHOIR_OK);
        cr_assert_eq(choir_client_call(client, TESTBED_ECHO, &args, NULL, on_echoed, w, NULL), CHOIR_OK);
    }
    until(w, w->done == clients);
    cr_assert_eq(w->opened, clients);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], clients, "%s", w->text);
    cr_assert_eq(w->requests, clients);
    cr_assert_eq(w->sessions_opened, clients);
    cr_assert_eq(w->sessions_closed, 0);
    world_end(w);
}
static void herd(world *w, const char *url) {
    herd_of(w, url, 100, 4);
}
Test(peers, herd_of_clients, .timeout = 60) {
    on_each(herd);
}
/* With room for all of their handshakes: both ends share a loop here, so whoever is slow to speak is only as
 * slow as this machine. Descriptors are a matter of the machine as well: the large crowds are in memory. */
Test(peers, F24_crowds_are_served, .timeout = 120) {
    world w;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    uint32_t clients = files.rlim_cur > 3000 ? 1200 : (uint32_t)files.rlim_cur / 3;
    herd_of(&w, urls[0], clients, clients);
    herd_of(&w, urls[2], 4000, 4000);
    herd_of(&w, urls[2], 10000, 10000);
}

static void note_evicted(void *ctx, uint32_t level, const char *area, choir_str text) {
    world *w = ctx;
    (void)area;
    cr_assert_eq(level, CHOIR_LOG_WARNING);
    if (strstr(text.data, "evicted")) snprintf(w->text, sizeof w->text, "%.*s", (int)text.len, text.data);
}

/* Those that say nothing go when others wait, but not before they have had a second; whoever says something
 * stays. */
Test(peers, only_the_silent_are_evicted) {
    world w = {.fds = open_fds()};
    choir_loop_options lo;
    loop_options(&w, &lo);
    w.env.log = note_evicted;
    w.env.log_ctx = &w;
    cr_assert_eq(choir_loop_new(&lo, &w.loop), CHOIR_OK);
    choir_server_options so = server_options(&w);
    so.max_handshakes = 3;
    cr_assert_eq(choir_listen(w.loop, urls[0], &so, &w.server), CHOIR_OK);
    static const char prologue[] = "\x08\0\0\0VOTH\x09\0\0\0";
    int fds[3];
    struct sockaddr_in self;
    socklen_t len = sizeof self;
    char name[32];
    for (int i = 0; i < 3; i++) fds[i] = raw_connect(choir_server_url(w.server));
    getsockname(fds[1], (struct sockaddr *)&self, &len);
    snprintf(name, sizeof name, "127.0.0.1:%u", ntohs(self.sin_port));
    choir_time begin = clock_now();
    turn_for(&w, 20 * CHOIR_MILLISECOND);
    join(&w, choir_server_url(w.server));
    /* The first one spells its prologue, so the second is the longest silent. */
    for (size_t said = 0; !w.opened;) {
        if (said < 11 && clock_now() >= begin + said * 100 * CHOIR_MILLISECOND)
            cr_assert_eq(send(fds[0], &prologue[said++], 1, MSG_NOSIGNAL), 1);
        cr_assert_lt(clock_now(), begin + PATIENCE);
        choir_loop_turn(w.loop, 5 * CHOIR_MILLISECOND);
    }
    cr_assert_geq(clock_now() - begin, CHOIR_SECOND);
    cr_assert_not(is_closed(fds[0]));
    cr_assert(is_closed(fds[1]));
    cr_assert_not(is_closed(fds[2]));
    cr_assert(strstr(w.text, "1 evicted, last ") && strstr(w.text, name) && strstr(w.text, "silent for 1"),
              "%s", w.text);
    for (int i = 0; i < 3; i++) close(fds[i]);
    world_end(&w);
}

Test(peers, handshake_timeout) {
    world w;
    world_begin(&w);
    choir_server_options so = server_options(&w);
    choir_attachment_options attachment;
    choir_attachment_options_init(&attachment);
    attachment.handshake_timeout = 50 * CHOIR_MILLISECOND;
    so.attachment = &attachment;
    cr_assert_eq(choir_listen(w.loop, urls[0], &so, &w.server), CHOIR_OK);
    int fd = raw_connect(choir_server_url(w.server));
    choir_time begin = clock_now();
    until(&w, is_closed(fd));
    choir_duration took = clock_now() - begin;
    cr_assert(took >= 45 * CHOIR_MILLISECOND && took < DEFAULT_TIMEOUT, "%llu", (unsigned long long)took);
    close(fd);
    world_end(&w);
}

static choir_duration cpu_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (choir_duration)t.tv_sec * CHOIR_SECOND + (choir_duration)t.tv_nsec;
}

static void count_log(void *ctx, uint32_t level, const char *area, choir_str text) {
    world *w = ctx;
    if (strcmp(area, "net") != 0 || strstr(text.data, " has no handlers for ")) return;
    cr_assert_eq(level, CHOIR_LOG_WARNING);
    cr_assert(strstr(text.data, "accepting has to pause: Too many open files"), "%.*s", (int)text.len,
              text.data);
    w->result++;
}

/* Case F11: without descriptors accepting pauses, costs nothing, and goes on by itself. */
Test(peers, out_of_descriptors) {
    world w = {.fds = open_fds()};
    choir_loop_options lo;
    loop_options(&w, &lo);
    w.env.log = count_log;
    w.env.log_ctx = &w;
    cr_assert_eq(choir_loop_new(&lo, &w.loop), CHOIR_OK);
    serve(&w, urls[0]);
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < 3; i++) join(&w, choir_server_url(w.server));
    /* The clients' sockets fit below the limit, the server's do not. */
    int next = dup(0);
    close(next);
    low = (struct rlimit){.rlim_cur = (rlim_t)next + 3, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    turn_for(&w, 50 * CHOIR_MILLISECOND);
    choir_duration cpu = cpu_time();
    turn_for(&w, 400 * CHOIR_MILLISECOND);
    cpu = cpu_time() - cpu;
    cr_assert_lt(cpu, 400 * CHOIR_MILLISECOND / 4, "%llu ns", (unsigned long long)cpu);
    cr_assert_eq(w.opened, 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    until(&w, w.opened == 3);
    cr_assert_eq(w.result, 1, "%d warnings", w.result);
    world_end(&w);
}

/* What links read into and what waits in them counts against the quota of the loop's env. */
static void counted(world *w, const char *url) {
    world_open(w, url);
    w->blob = make_blob(100000);
    w->keep = true;
    for (int i = 0; i < 10; i++) cr_assert_eq(echo_blob(w, 100000), CHOIR_OK);
    until(w, w->kept_len == 10);
    uint64_t counted = choir_env_memory(choir_loop_env(w->loop));
    cr_assert_gt(counted, 10 * 100000);
    cr_assert_lt(w->memory.bytes - counted, 64u << 10, "%llu bytes are not counted",
                 (unsigned long long)(w->memory.bytes - counted));
    world_end(w);
}
Test(peers, read_blocks_are_counted) {
    on_each(counted);
}

/* ---- hostile and unlucky peers ---- */

Test(peers, garbage_is_answered_and_closed) {
    world w;
    world_begin(&w);
    serve(&w, urls[0]);
    static const char *const openings[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "\x08\0\0\0VOTH\x09\x07\x07\x07", "\0\0\0\0", "\xff\xff\xff\xff"};
    static const size_t sizes[] = {27, 12, 4, 4};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int fd = raw_connect(choir_server_url(w.server));
        cr_assert_eq(send(fd, openings[i], sizes[i], 0), (ssize_t)sizes[i]);
        until(&w, is_closed(fd));
        close(fd);
    }
    cr_assert_eq(w.sessions_opened, 0);
    world_end(&w);
}

/* A peer that goes on sending after it was given up, and never closes, is rid of after the linger. */
Test(peers, linger_is_bounded) {
    world w;
    world_begin(&w);
    serve(&w, urls[0]);
    int fds = open_fds();
    int fd = raw_connect(choir_server_url(w.server));
    cr_assert_eq(send(fd, "\xff\xff\xff\xff", 4, 0), 4);
    choir_time begin = clock_now();
    until(&w, open_fds() == fds + 2);
    char junk[1000] = {0};
    while (open_fds() == fds + 2) {
        cr_assert_lt(clock_now() - begin, PATIENCE);
        send(fd, junk, sizeof junk, MSG_DONTWAIT | MSG_NOSIGNAL);
        choir_loop_turn(w.loop, 5 * CHOIR_MILLISECOND);
    }
    cr_assert_geq(clock_now() - begin, 200 * CHOIR_MILLISECOND);
    close(fd);
    world_end(&w);
}

/* ---- a relay between client and server that can be unkind ---- */

/* One session with a few calls over the relay, until everything is answered or over. */
static size_t over_relay(size_t chunk, size_t left, bool half) {
    static relay r;
    world w;
    r = (relay){.chunk = chunk, .left = left, .half = half};
    char url[64];
    world_begin(&w);
    serve(&w, urls[0]);
    relay_begin(&r, choir_server_url(w.server), url);
    join(&w, url);
    for (int i = 0; i < 3; i++) echo(&w);
    for (choir_time end = clock_now() + PATIENCE; w.done < 3;) {
        cr_assert_lt(clock_now(), end, "%zu bytes passed", r.passed);
        relay_step(&r);
        choir_loop_turn(w.loop, 0);
    }
    size_t passed = r.passed;
    relay_end_all(&r);
    until(&w, w.closed == 1 && w.sessions_closed == w.sessions_opened);
    cr_assert_eq(w.status, CHOIR_ERR_LINK_LOST);
    cr_assert_eq(w.done, 3);
    cr_assert_eq(w.requests, w.ended);
    world_end(&w);
    return passed;
}

Test(peers, one_byte_at_a_time, .timeout = 60) {
    over_relay(1, SIZE_MAX, false);
}

/* The link is cut, in both directions or in one, at many places: everything ends exactly once. */
Test(peers, cut, .timeout = 120) {
    size_t all = over_relay(4096, SIZE_MAX, false);
    for (size_t at = 1; at < all; at += at < 64 ? 1 : 61) over_relay(4096, at, false);
    for (size_t at = 1; at < all; at += 97) over_relay(4096, at, true);
}

/* What the peer sent before it was gone counts, also when it is a write that finds out: the reason is
 * reported. */
Test(peers, last_words_are_read) {
    static relay r = {.chunk = 65536, .left = SIZE_MAX};
    world server, client;
    char url[64];
    world_begin(&server);
    serve(&server, urls[0]);
    relay_begin(&r, choir_server_url(server.server), url);
    world_begin(&client);
    join(&client, url);
    choir_time end = clock_now() + PATIENCE;
    while (!client.opened || !server.sessions_opened) {
        cr_assert_lt(clock_now(), end);
        relay_step(&r);
        choir_loop_turn(client.loop, 0);
        choir_loop_turn(server.loop, 0);
    }
    /* The relay breaks the protocol, passes on what the server says to that, and goes with a reset. */
    struct linger reset = {1, 0};
    setsockopt(r.ends[0].in, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    cr_assert_eq(send(r.ends[1].out, "\x04\0\0\0\xff\xff\xff\xff", 8, 0), 8);
    while (r.ends[0].in >= 0) {
        cr_assert_lt(clock_now(), end);
        relay_step(&r);
        choir_loop_turn(server.loop, 0);
    }
    echo(&client); /* which is written before anything is read */
    until(&client, client.closed == 1);
    cr_assert_eq(client.status, CHOIR_ERR_PEER_PROTOCOL, "%s: %s", choir_status_name(client.status),
                 client.text);
    cr_assert_eq(server.session_status, CHOIR_ERR_PROTOCOL);
    relay_end_all(&r);
    choir_loop_free(client.loop);
    cr_assert_eq(client.memory.bytes, 0);
    world_end(&server);
}

/* A peer that stops reading is given up, and costs what was allowed until then. */
Test(peers, peer_that_does_not_read, .timeout = 60) {
    world w;
    char url[64];
    world_begin(&w);
    choir_server_options so = server_options(&w);
    choir_session_options session;
    choir_attachment_options attachment;
    choir_session_options_init(&session);
    choir_attachment_options_init(&attachment);
    attachment.write_stall_timeout = 300 * CHOIR_MILLISECOND;
    session.keepalive_busy = session.keepalive_idle = 0;
    so.session = &session;
    so.attachment = &attachment;
    cr_assert_eq(choir_listen(w.loop, urls[0], &so, &w.server), CHOIR_OK);
    static relay r = {.chunk = 65536, .left = SIZE_MAX};
    relay_begin(&r, choir_server_url(w.server), url);
    join(&w, url);
    w.blob = make_blob(MiB);
    choir_time end = clock_now() + PATIENCE;
    for (uint32_t sent = 0; w.sessions_closed == 0;) {
        cr_assert_lt(clock_now(), end);
        r.deaf = w.opened && w.sessions_opened;
        if (r.deaf && sent < 60 && echo_blob(&w, MiB) == CHOIR_OK) sent++;
        relay_step(&r);
        choir_loop_turn(w.loop, 0);
    }
    cr_assert_eq(w.session_status, CHOIR_ERR_WRITE_STALLED, "%s", choir_status_name(w.session_status));
    /* Half of the session's quota for requests that wait, the answers before them, and what the caller has
     * written. */
    cr_assert_lt(w.memory.peak, 80ull * MiB, "%llu", (unsigned long long)w.memory.peak);
    relay_end_all(&r);
    until(&w, w.closed == 1);
    world_end(&w);
}

/* ---- memory that runs out ---- */

/* The n-th allocation fails: a refusal or an end, no crash, no leak, every callback at most once. Returns
 * false when nothing failed any more. */
static bool with_failure(uint64_t n, const char *url) {
    world w = {.fds = open_fds(), .memory = {.fail_at = n}};
    choir_loop_options lo;
    loop_options(&w, &lo);
    if (choir_loop_new(&lo, &w.loop) != CHOIR_OK) {
        cr_assert_eq(w.memory.bytes, 0);
        cr_assert_eq(open_fds(), w.fds);
        return true;
    }
    choir_server_options so = server_options(&w);
    choir_session_options session;
    choir_attachment_options attachment;
    choir_session_options_init(&session);
    choir_attachment_options_init(&attachment);
    attachment.handshake_timeout = session.keepalive_busy = 500 * CHOIR_MILLISECOND;
    so.session = &session;
    so.attachment = &attachment;
    choir_client_options co = client_options(&w);
    co.opened = count_opened;
    co.connect_timeout = 500 * CHOIR_MILLISECOND;
    co.session = &session;
    uint32_t made = 0;
    if (choir_listen(w.loop, url, &so, &w.server) == CHOIR_OK &&
        choir_connect(w.loop, choir_server_url(w.server), &co, &w.client) == CHOIR_OK) {
        for (int i = 0; i < 3; i++) made += try_echo(&w, NULL) == CHOIR_OK;
        for (choir_time end = clock_now() + PATIENCE; w.done < made && w.closed == 0;) {
            cr_assert_lt(clock_now(), end, "allocation %llu", (unsigned long long)n);
            choir_loop_turn(w.loop, 20 * CHOIR_MILLISECOND);
        }
    }
    bool failed = w.memory.failed > 0;
    bool had_client = w.client != NULL;
    world_end(&w);
    cr_assert_eq(w.done, made);
    cr_assert_eq(w.closed, had_client ? 1 : 0);
    cr_assert_eq(w.sessions_opened, w.sessions_closed);
    return failed;
}

Test(peers, failing_allocations, .timeout = 150) {
    for (size_t i = 0; i < URLS; i += 2) {
        uint64_t n = 1;
        while (with_failure(n, urls[i])) n++;
        cr_assert_gt(n, 20);
    }
}
