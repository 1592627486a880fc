/* SPDX-License-Identifier: MIT */
/* Peers that somebody else accepted, descriptors that a program was given, streams of the host's own. */
#include "link.h"
#include "test_relay.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/wait.h>

static void pair(int ends[2]) {
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void join_fd(world *w, int fd) {
    char url[32];
    snprintf(url, sizeof url, "fd:%d", fd);
    join(w, url);
}

/* ---- adopted descriptors ---- */

/* Bytes that were read by whoever told the protocols apart come first: all lengths of them. */
Test(adopt, bytes_already_read) {
    static relay r;
    for (size_t len = 0; len < 40; len += 3) {
        world w;
        int client[2], server[2];
        char bytes[64];
        world_begin(&w);
        serve(&w, urls[3]);
        pair(client);
        pair(server);
        join_fd(&w, client[0]);
        for (size_t at = 0; at < len;) {
            choir_loop_turn(w.loop, 0);
            ssize_t n = recv(client[1], bytes + at, len - at, MSG_DONTWAIT);
            if (n > 0) at += (size_t)n;
        }
        cr_assert_eq(choir_server_adopt(w.server, server[0], "unix", bytes, len), CHOIR_OK);
        memset(bytes, 0, sizeof bytes);
        r = (relay){.listener = -1,
                    .chunk = 4096,
                    .left = SIZE_MAX,
                    .ends = {{client[1], client[1]}, {server[1], server[1]}}};
        echo(&w);
        for (choir_time end = clock_now() + PATIENCE; w.done == 0; choir_loop_turn(w.loop, 0)) {
            cr_assert_lt(clock_now(), end, "%zu bytes were read before", len);
            relay_step(&r);
        }
        cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 1);
        relay_end_all(&r);
        world_end(&w);
    }
}

Test(adopt, refused) {
    world w;
    int ends[2];
    world_begin(&w);
    choir_server_options so = server_options(&w);
    so.max_sessions = 1;
    cr_assert_eq(choir_listen(w.loop, urls[3], &so, &w.server), CHOIR_OK);
    pair(ends);
    cr_assert_eq(choir_server_adopt(NULL, ends[0], "unix", NULL, 0), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_server_adopt(w.server, ends[0], NULL, NULL, 0), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_server_adopt(w.server, ends[0], "unix", NULL, 1), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_server_adopt(w.server, ends[0], "mem", NULL, 0), CHOIR_ERR_ADDRESS);
    cr_assert_eq(choir_server_adopt(w.server, ends[0], "carrier-pigeon", NULL, 0), CHOIR_ERR_ADDRESS);
    cr_assert(strstr(choir_loop_error(w.loop).data, "\"carrier-pigeon\" is not a scheme of descriptors"));
    cr_assert_eq(choir_server_adopt(w.server, -1, "fd", NULL, 0), CHOIR_ERR_IO);
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(choir_server_adopt(w.server, file, "fd", NULL, 0), CHOIR_ERR_IO);
    cr_assert(strstr(choir_loop_error(w.loop).data, "cannot be a link: Operation not permitted"), "%s",
              choir_loop_error(w.loop).data);
    close(file); /* what is refused is not taken */
    cr_assert_eq(choir_server_adopt_stream(w.server, NULL, NULL, 0), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_server_adopt(w.server, ends[0], "unix", NULL, 0), CHOIR_OK);
    join_fd(&w, ends[1]);
    until(&w, w.opened == 1);
    pair(ends);
    cr_assert_eq(choir_server_adopt(w.server, ends[0], "unix", NULL, 0), CHOIR_ERR_BLOCKED);
    choir_server_close(w.server);
    cr_assert_eq(choir_server_adopt(w.server, ends[0], "unix", NULL, 0), CHOIR_ERR_CLOSED);
    close(ends[0]);
    close(ends[1]);
    world_end(&w);
}

/* A service manager hands over a socket that listens. */
Test(adopt, listening_descriptor) {
    world w;
    char url[32];
    uint16_t port;
    world_begin(&w);
    int fd = mute_listener(8, &port);
    snprintf(url, sizeof url, "fd:%d", fd);
    serve(&w, url);
    cr_assert_str_eq(choir_server_url(w.server), url);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    for (uint32_t i = 1; i <= 3; i++) {
        w.opened = 0;
        join(&w, url);
        until(&w, w.opened == 1 && w.sessions_opened == i);
    }
    const choir_evidence *e = choir_session_evidence(choir_loop_session(w.loop, w.session));
    cr_assert_eq(memcmp(e->peer.data, "127.0.0.1:", 10), 0, "what the socket is, is found out");
    choir_loop_free(w.loop);
    cr_assert_eq(w.memory.bytes, 0);
    cr_assert_eq(open_fds(), w.fds);
}

/* One peer and no other can come over a pair of sockets; somebody always may where we listen. */
Test(adopt, a_server_is_done_when_nobody_is_left) {
    world w;
    char url[32];
    int ends[2];
    cr_assert(choir_server_is_done(NULL));
    world_begin(&w);
    pair(ends);
    snprintf(url, sizeof url, "fd:%d", ends[0]);
    serve(&w, url);
    cr_assert_not(choir_server_is_done(w.server));
    join_fd(&w, ends[1]);
    until(&w, w.opened == 1);
    cr_assert_not(choir_server_is_done(w.server));
    choir_client_close(w.client);
    until(&w, choir_server_is_done(w.server));
    world_end(&w);

    world_begin(&w);
    serve(&w, urls[3]);
    join(&w, choir_server_url(w.server));
    until(&w, w.opened == 1);
    choir_client_close(w.client);
    until(&w, choir_server_sessions(w.server) == 0);
    cr_assert_not(choir_server_is_done(w.server));
    choir_server_close(w.server);
    until(&w, choir_server_is_done(w.server));
    world_end(&w);
}

Test(adopt, bad_descriptors) {
    world w;
    world_begin(&w);
    choir_client_options c = client_options(&w);
    choir_server_options s = server_options(&w);
    static const char *const bad[] = {"fd:",   "fd:x",           "fd:1,",   "fd:1,2,3",
                                      "fd:-1", "fd:99999999999", "stdio:x", "fd:987654"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(choir_connect(w.loop, bad[i], &c, &w.client), CHOIR_ERR_ADDRESS, "%s", bad[i]);
        cr_assert_eq(choir_listen(w.loop, bad[i], &s, &w.server), CHOIR_ERR_ADDRESS, "%s", bad[i]);
    }
    cr_assert(strstr(choir_loop_error(w.loop).data, "descriptor 987654: Bad file descriptor"));
    char url[32];
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    snprintf(url, sizeof url, "fd:%d", file);
    cr_assert_eq(choir_connect(w.loop, url, &c, &w.client), CHOIR_ERR_ADDRESS);
    cr_assert(strstr(choir_loop_error(w.loop).data, "neither a socket nor a pipe nor a device"));
    close(file);
    world_end(&w);
}

/* ---- programs that others start ---- */

/* A program that serves on its standard input and output, and prints in between. */
static void run_child(void) {
    world *w = calloc(1, sizeof *w);
    choir_loop_new(NULL, &w->loop);
    serve(w, "stdio:");
    printf("this would be a frame of 1,936,287,828 bytes\n");
    fflush(stdout);
    choir_loop_run(w->loop);
    _exit(w->sessions_closed == 1 ? 7 : 8);
}

Test(adopt, child_on_its_standard_input_and_output) {
    for (int sockets = 0; sockets < 2; sockets++) {
        world w;
        int to[2], from[2];
        char url[48];
        world_begin(&w);
        if (sockets) {
            pair(to);
            from[0] = from[1] = -1;
        } else {
            cr_assert_eq(pipe2(to, O_CLOEXEC), 0);
            cr_assert_eq(pipe2(from, O_CLOEXEC), 0);
        }
        pid_t pid = fork();
        if (pid == 0) {
            dup2(open("/dev/null", O_WRONLY), 2); /* where the print goes */
            dup2(to[0], 0);
            dup2(sockets ? to[0] : from[1], 1);
            for (int fd = 3; fd < 256; fd++) close(fd);
            run_child();
        }
        close(to[0]);
        if (!sockets) close(from[1]);
        if (sockets)
            snprintf(url, sizeof url, "fd:%d", to[1]);
        else
            snprintf(url, sizeof url, "fd:%d,%d", from[0], to[1]);
        join(&w, url);
        for (int i = 0; i < 100; i++) echo(&w);
        until(&w, w.done == 100);
        cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 100);
        choir_client_close(w.client);
        until(&w, w.closed == 1);
        int status = 0;
        choir_loop_turn(w.loop, 0);
        world_end(&w);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "%x", (unsigned)status);
    }
}

/* The reader of a pipe is gone: an error, and no signal, for us or for a thread that had it blocked. */
Test(adopt, broken_pipe) {
    world w;
    int to[2], from[2];
    char url[48];
    world_begin(&w);
    cr_assert_eq(pipe2(to, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(from, O_CLOEXEC), 0);
    close(to[0]);
    snprintf(url, sizeof url, "fd:%d,%d", from[0], to[1]);
    join(&w, url);
    until(&w, w.closed == 1);
    cr_assert_eq(w.status, CHOIR_ERR_LINK_LOST);
    cr_assert(strstr(w.text, "writing failed: Broken pipe"), "%s", w.text);
    close(from[1]);
    world_end(&w);
}

/* Descriptors come back to others as they were. */
Test(adopt, blocking_mode_is_restored) {
    world w;
    int ends[2];
    world_begin(&w);
    pair(ends);
    int copy = dup(ends[0]);
    serve(&w, urls[3]);
    cr_assert_eq(choir_server_adopt(w.server, ends[0], "fd", NULL, 0), CHOIR_OK);
    cr_assert(fcntl(copy, F_GETFL) & O_NONBLOCK);
    close(ends[1]);
    turn_for(&w, 5 * CHOIR_MILLISECOND);
    until(&w, !(fcntl(copy, F_GETFL) & O_NONBLOCK));
    close(copy);
    world_end(&w);
}

/* ---- a stream of the host's own ---- */

/* A filter as TLS is one: it has to write before it can read, reads more than it is asked for, and gives out
 * little. */
typedef struct filter {
    choir_stream stream;
    int fd;
    bool greeted;   /* the byte that it has to write is written */
    bool heard;     /* and the other's was read */
    bool anonymous; /* it never knows who the peer is */
    char bytes[64];
    size_t at, len;
    uint32_t closed, shut;
} filter;

static filter *filter_of(const choir_stream *stream) {
    return (filter *)(uintptr_t)stream;
}

/* True when both have greeted. */
static bool greet(filter *f) {
    char c = '?';
    if (!f->greeted && send(f->fd, "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) f->greeted = true;
    if (f->greeted && !f->heard && recv(f->fd, &c, 1, MSG_DONTWAIT) == 1) f->heard = c == '!';
    return f->heard;
}

static int filter_read(choir_stream *stream, void *ret_bytes, size_t size, size_t *ret_len) {
    filter *f = filter_of(stream);
    if (!greet(f)) return CHOIR_ERR_BLOCKED;
    if (f->at == f->len) {
        ssize_t n = recv(f->fd, f->bytes, sizeof f->bytes, MSG_DONTWAIT);
        if (n == 0) return CHOIR_ERR_CLOSED;
        if (n < 0) return errno == EAGAIN ? CHOIR_ERR_BLOCKED : CHOIR_ERR_IO;
        f->at = 0;
        f->len = (size_t)n;
    }
    *ret_len = f->len - f->at < 5 ? f->len - f->at : 5;
    if (*ret_len > size) *ret_len = size;
    memcpy(ret_bytes, f->bytes + f->at, *ret_len);
    f->at += *ret_len;
    return CHOIR_OK;
}

static int filter_writev(choir_stream *stream, const choir_iov *segments, size_t len, size_t *ret_written) {
    filter *f = filter_of(stream);
    (void)len;
    if (!greet(f)) return CHOIR_ERR_BLOCKED;
    ssize_t n =
        send(f->fd, segments->base, segments->len < 7 ? segments->len : 7, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN ? CHOIR_ERR_BLOCKED : CHOIR_ERR_IO;
    *ret_written = (size_t)n;
    return CHOIR_OK;
}

static int filter_shut(choir_stream *stream) {
    filter_of(stream)->shut++;
    return shutdown(filter_of(stream)->fd, SHUT_WR) == 0 ? CHOIR_OK : CHOIR_ERR_IO;
}

static void filter_close(choir_stream *stream) {
    filter_of(stream)->closed++;
    close(filter_of(stream)->fd);
}

static choir_stream_wait filter_wait(const choir_stream *stream, uint32_t operation) {
    const filter *f = filter_of(stream);
    if (!f->greeted) return (choir_stream_wait){f->fd, CHOIR_STREAM_WRITABLE};
    if (!f->heard) return (choir_stream_wait){f->fd, CHOIR_STREAM_READABLE};
    if (operation == CHOIR_STREAM_WRITE) return (choir_stream_wait){f->fd, CHOIR_STREAM_WRITABLE};
    return (choir_stream_wait){f->fd, f->at < f->len ? 0 : CHOIR_STREAM_READABLE};
}

static const choir_evidence *filter_evidence(const choir_stream *stream) {
    static const choir_evidence evidence = {
        .size = sizeof evidence, .scheme = {"filter", 6}, .peer = {"", 0}, .local = {"", 0}};
    const filter *f = filter_of(stream);
    return f->heard && !f->anonymous ? &evidence : NULL;
}

static choir_str filter_error(const choir_stream *stream) {
    (void)stream;
    return CHOIR_STR("the filter is torn");
}

static const choir_stream_ops filter_ops = {sizeof filter_ops, filter_read,  filter_writev,
                                            filter_shut,       filter_close, filter_wait,
                                            filter_evidence,   filter_error, NULL};

/* Strips the greetings of the filter for a client without one, both ways. */
static void filtered(bool anonymous, const choir_stream_ops *ops) {
    static relay r;
    world w;
    int client[2], server[2];
    char greeting;
    world_begin(&w);
    serve(&w, urls[3]);
    pair(client);
    pair(server);
    filter f = {.stream = {ops}, .fd = server[0], .anonymous = anonymous};
    cr_assert_eq(choir_server_adopt_stream(w.server, &f.stream, NULL, 0), CHOIR_OK);
    until(&w, recv(server[1], &greeting, 1, MSG_DONTWAIT) == 1);
    turn_for(&w, 5 * CHOIR_MILLISECOND);
    cr_assert_not(f.heard);
    cr_assert_eq(send(server[1], "!", 1, 0), 1);
    r = (relay){.listener = -1,
                .chunk = 4096,
                .left = SIZE_MAX,
                .ends = {{client[1], client[1]}, {server[1], server[1]}}};
    join_fd(&w, client[0]);
    for (int i = 0; i < 20; i++) echo(&w);
    for (choir_time end = clock_now() + PATIENCE; w.done < 20; choir_loop_turn(w.loop, 0)) {
        cr_assert_lt(clock_now(), end, "%u are answered", w.done);
        relay_step(&r);
    }
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 20);
    /* What the stream did not know when it was adopted is told in time. */
    const choir_evidence *e = choir_session_evidence(choir_loop_session(w.loop, w.session));
    cr_assert_eq(e == NULL, anonymous);
    if (e) cr_assert_eq(e->scheme.len, 6);
    choir_server_close(w.server);
    for (choir_time end = clock_now() + PATIENCE; f.closed == 0; choir_loop_turn(w.loop, 0)) {
        cr_assert_lt(clock_now(), end);
        relay_step(&r);
    }
    relay_end_all(&r);
    world_end(&w);
    cr_assert_eq(f.closed, 1);
    cr_assert_eq(f.shut, 1);
}
Test(adopt, filter_that_writes_in_order_to_read) {
    filtered(false, &filter_ops);
}
Test(adopt, a_stream_that_knows_nothing_of_its_peer) {
    filtered(true, &filter_ops);
}

/* Of an older program, which has no `unsent`, and of a newer one, which has more than we know. */
Test(adopt, streams_of_other_versions) {
    const size_t sizes[] = {offsetof(choir_stream_ops, unsent), sizeof filter_ops + sizeof(void *)};
    for (size_t i = 0; i < 2; i++) {
        choir_stream_ops *ops = calloc(1, sizes[i]);
        cr_assert_not_null(ops);
        memcpy(ops, &filter_ops, i == 0 ? sizes[i] : sizeof filter_ops);
        memcpy(ops, &sizes[i], sizeof sizes[i]);
        filtered(false, ops);
        free(ops);
    }
}

Test(adopt, streams_that_are_none) {
    struct {
        choir_stream_ops ops;
        uint64_t later;
    } newer;
    world w;
    world_begin(&w);
    serve(&w, urls[3]);
    filter f = {.stream = {&newer.ops}, .fd = -1};
    for (int i = 0; i < 3; i++) {
        memset(&newer, 0, sizeof newer);
        newer.ops = filter_ops;
        if (i == 0) newer.ops.size = sizeof newer;
        if (i == 0) newer.later = 1;
        if (i == 1) newer.ops.size = offsetof(choir_stream_ops, error);
        if (i == 2) newer.ops.read = NULL;
        cr_assert_eq(choir_server_adopt_stream(w.server, &f.stream, NULL, 0), CHOIR_ERR_INVALID, "%d", i);
    }
    f.stream.ops = NULL;
    cr_assert_eq(choir_server_adopt_stream(w.server, &f.stream, NULL, 0), CHOIR_ERR_INVALID);
    world_end(&w);
    cr_assert_eq(f.closed, 0, "it was not taken");
}

/* ---- many that wait ---- */

/* Peers that do not take their answers hold what they sent, counted, and what was made of it. */
Test(adopt, unread_answers_cost_what_was_sent, .timeout = 60) {
    enum { LINKS = 20, CALLS = 60, BLOB = 1000, SENT = CALLS * BLOB };
    world server, client;
    int ends[LINKS][2], small = 1;
    char url[32];
    choir_client *clients[LINKS];
    world_begin(&server);
    world_begin(&client);
    choir_server_options so = server_options(&server);
    choir_session_options session;
    choir_conn_options root;
    choir_session_options_init(&session);
    choir_conn_options_init(&root);
    root.max_answers = 2 * BLOB;
    session.root = &root;
    so.session = &session;
    cr_assert_eq(choir_listen(server.loop, urls[3], &so, &server.server), CHOIR_OK);
    client.blob = make_blob(BLOB);
    choir_client_options co = client_options(&client);
    co.closed = count_closed;
    struct testbed_echo_bytes_args args = {{client.blob, BLOB}};
    for (int i = 0; i < LINKS; i++) {
        pair(ends[i]);
        setsockopt(ends[i][0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        cr_assert_eq(choir_server_adopt(server.server, ends[i][0], "unix", NULL, 0), CHOIR_OK);
        client.opened = 0;
        snprintf(url, sizeof url, "fd:%d", ends[i][1]);
        cr_assert_eq(choir_connect(client.loop, url, &co, &clients[i]), CHOIR_OK);
        for (choir_time end = clock_now() + PATIENCE;
             !client.opened || server.sessions_opened <= (uint32_t)i;) {
            cr_assert_lt(clock_now(), end);
            choir_loop_turn(client.loop, 0);
            choir_loop_turn(server.loop, 0);
        }
    }
    /* Written in one piece for each, and the answers are never read. */
    for (int i = 0; i < LINKS * CALLS; i++)
        cr_assert_eq(
            choir_client_call(clients[i % LINKS], TESTBED_ECHO_BYTES, &args, NULL, count_call, &client, NULL),
            CHOIR_OK);
    choir_loop_turn(client.loop, 0);
    uint64_t before = choir_env_memory(choir_loop_env(server.loop));
    uint64_t uncounted = server.memory.bytes - before;
    for (int i = 0; i < LINKS; i++) choir_loop_turn(server.loop, 0);
    uint64_t held = choir_env_memory(choir_loop_env(server.loop)) - before;
    cr_assert_gt(held, (uint64_t)LINKS * SENT / 2, "%llu bytes", (unsigned long long)held);
    /* What a request's handler was given lives until its answer has left: a record, the payload and the
     * value, in blocks of powers of two. Beside them there are a block for the next read, and for each link
     * its output and tables. */
    cr_assert_lt(held,
                 (uint64_t)LINKS * CALLS * (1024 + 2 * 1024 + 4096) + (256u << 10) +
                     (uint64_t)LINKS * (40u << 10) + (uint64_t)LINKS * SENT,
                 "%llu", (unsigned long long)held);
    cr_assert_eq(server.memory.bytes - choir_env_memory(choir_loop_env(server.loop)), uncounted);
    choir_loop_free(server.loop);
    cr_assert_eq(server.memory.bytes, 0);
    choir_loop_free(client.loop);
    cr_assert_eq(open_fds(), server.fds);
    free(client.blob);
}
