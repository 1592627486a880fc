/* SPDX-License-Identifier: MIT */
/* The contract of every scheme: the same cases with the same results for all rows of one table. What makes no
 * sense for a scheme is skipped, for a reason that its row gives. A new scheme is one more row. */
#include "test_relay.h"

#include <signal.h>
#include <sys/un.h>
#include <sys/wait.h>

/* Where a server listens and how its peers get there. */
typedef struct place {
    char listen[80];
    char connect[96]; /* URL for clients; empty: the server's own */
    relay_end peer;   /* the only way to the server, when there is only one; -1 */
} place;

typedef enum contract_case {
    OPEN,
    REFUSE,
    HALF_CLOSE,
    SPLIT,
    JOINED,
    SMALL_BUFFERS,
    KILLED,
    STOPPED,
    MANY,
    CLOSE_WHILE_CONNECTING,
    EVIDENCE,
    CASES
} contract_case;

typedef struct row {
    const char *scheme;
    void (*prepare)(place *p);
    /* Descriptors of a raw connection to the server. NULL: `peer` of the place. */
    relay_end (*raw)(const char *url);
    const char *nobody; /* an address where nobody is */
    int refused;        /* how connecting to it fails */
    bool has_addresses; /* both ends have a name */
    bool has_credentials;
    const char *skipped[CASES]; /* why */
} row;

/* ---- schemes ---- */

static void prepare_url(place *p, size_t i) {
    *p = (place){.peer = {-1, -1}};
    snprintf(p->listen, sizeof p->listen, "%s", urls[i]);
}
static void tcp(place *p) {
    prepare_url(p, 0);
}
static void memory(place *p) {
    prepare_url(p, 2);
}
static void local(place *p) {
    prepare_url(p, 3);
}
static void abstract(place *p) {
    prepare_url(p, 4);
}

static void descriptor(place *p) {
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *p = (place){.peer = {ends[1], ends[1]}};
    snprintf(p->listen, sizeof p->listen, "fd:%d", ends[0]);
    snprintf(p->connect, sizeof p->connect, "fd:%d", ends[1]);
}

/* The standard input and output of the test become pipes, as those of a program that somebody has started. */
static void standard(place *p) {
    int to[2], from[2];
    cr_assert_eq(pipe2(to, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(from, O_CLOEXEC), 0);
    fflush(stdout);
    dup2(to[0], 0);
    dup2(from[1], 1);
    close(to[0]);
    close(from[1]);
    *p = (place){.listen = "stdio:", .peer = {from[0], to[1]}};
    snprintf(p->connect, sizeof p->connect, "fd:%d,%d", from[0], to[1]);
}

static relay_end raw_tcp(const char *url) {
    int fd = raw_connect(url);
    return (relay_end){fd, fd};
}

static relay_end raw_local(const char *url) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    bool is_file = strncmp(url, "unix://", 7) == 0;
    const char *name = strchr(url, ':') + (is_file ? 3 : 1);
    memcpy(a.sun_path + !is_file, name, strlen(name));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
    cr_assert_eq(connect(fd, (struct sockaddr *)&a, (socklen_t)len), 0, "%s", strerror(errno));
    return (relay_end){fd, fd};
}

#define ONE_PEER   "there is one peer"
#define NO_BYTES   "payloads pass from hand to hand, and never are bytes"
#define ONE_LOOP   "both ends are in one loop"
#define IS_THERE   "a descriptor has its other end, or is none"
#define TAKES_EACH [MANY] = ONE_PEER, [REFUSE] = IS_THERE

static const row rows[] = {
    {"tcp", tcp, raw_tcp, "tcp://127.0.0.1:1", CHOIR_ERR_CONNECT, true, false, {NULL}},
    {"unix", local, raw_local, "unix:///tmp/choir-test-nobody.sock", CHOIR_ERR_CONNECT, false, true, {NULL}},
    {"unix-abstract",
     abstract,
     raw_local,
     "unix-abstract:choir-test-nobody",
     CHOIR_ERR_CONNECT,
     false,
     true,
     {NULL}},
    {"fd", descriptor, NULL, NULL, 0, false, true, {TAKES_EACH}},
    {"stdio", standard, NULL, NULL, 0, false, false, {TAKES_EACH}},
    {"mem",
     memory,
     NULL,
     "mem://nobody",
     CHOIR_ERR_CONNECT,
     false,
     false,
     {[HALF_CLOSE] = NO_BYTES,
      [SPLIT] = NO_BYTES,
      [JOINED] = NO_BYTES,
      [SMALL_BUFFERS] = NO_BYTES,
      [KILLED] = ONE_LOOP,
      [STOPPED] = ONE_LOOP}},
};
#define ROWS (sizeof rows / sizeof *rows)

/* Runs a case for every scheme that has it. */
static void each(contract_case which, void (*run)(const row *r)) {
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].skipped[which])
            fprintf(stderr, "skipped for %s: %s\n", rows[i].scheme, rows[i].skipped[which]);
        else
            run(&rows[i]);
    }
}

/* ---- worlds of a scheme ---- */

static const char *client_url(const place *p, const world *w) {
    return p->connect[0] ? p->connect : choir_server_url(w->server);
}

/* A loop with a server at the place; client and server take its descriptors when they open. */
static void begin(world *w, place *p, const row *r, const choir_session_options *session) {
    *w = (world){.fds = open_fds()};
    r->prepare(p);
    choir_loop_options o;
    loop_options(w, &o);
    cr_assert_eq(choir_loop_new(&o, &w->loop), CHOIR_OK);
    choir_server_options so = server_options(w);
    so.session = session;
    int status = choir_listen(w->loop, p->listen, &so, &w->server);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", p->listen, choir_loop_error(w->loop).data);
}

static void end(world *w) {
    /* The descriptors that were standard input and output are other ones now, as many as before. */
    world_end(w);
}

/* A relay between a client on a socket pair and the server; the client is joined. */
static void begin_relayed(world *w, relay *r, const row *scheme) {
    place p;
    int ends[2];
    char url[32];
    begin(w, &p, scheme, NULL);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    r->listener = -1;
    r->ends[0] = (relay_end){ends[0], ends[0]};
    r->ends[1] = scheme->raw ? scheme->raw(choir_server_url(w->server)) : p.peer;
    snprintf(url, sizeof url, "fd:%d", ends[1]);
    join(w, url);
}

#define until_relayed(w, r, condition)                                                                       \
    do {                                                                                                     \
        choir_time until_end = clock_now() + 6 * PATIENCE;                                                   \
        while (!(condition)) {                                                                               \
            cr_assert_lt(clock_now(), until_end, "waited for " #condition);                                  \
            relay_step(r);                                                                                   \
            cr_assert_eq(choir_loop_turn((w)->loop, 0), CHOIR_OK);                                           \
        }                                                                                                    \
    } while (0)

/* ---- open, refuse, close ---- */

static void open_and_close(const row *r) {
    world w;
    place p;
    begin(&w, &p, r, NULL);
    join(&w, client_url(&p, &w));
    for (int i = 0; i < 10; i++) echo(&w);
    until(&w, w.done == 10 && w.ended == 10);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 10, "%s", r->scheme);
    choir_client_close(w.client);
    until(&w, w.closed == 1 && w.sessions_closed == 1);
    cr_assert_eq(w.status, CHOIR_ERR_SHUTDOWN, "%s", r->scheme);
    cr_assert_eq(w.session_status, CHOIR_ERR_LINK_LOST, "%s", r->scheme);
    end(&w);
}
Test(contract, open_and_close) {
    each(OPEN, open_and_close);
}

static void refuse(const row *r) {
    world w;
    world_begin(&w);
    join(&w, r->nobody);
    echo(&w);
    until(&w, w.closed == 1);
    cr_assert_eq(w.status, r->refused, "%s: %s", r->scheme, w.text);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_SEND_FAILED], 1, "%s", r->scheme);
    cr_assert(strstr(w.text, r->nobody), "%s", w.text);
    world_end(&w);
}
Test(contract, refuse) {
    each(REFUSE, refuse);
}

static void close_while_connecting(const row *r) {
    for (int freed = 0; freed < 2; freed++) {
        world w;
        place p;
        begin(&w, &p, r, NULL);
        join(&w, client_url(&p, &w));
        echo(&w);
        if (freed)
            choir_client_free(w.client);
        else
            choir_client_close(w.client);
        until(&w, w.closed == 1);
        cr_assert_eq(w.status, CHOIR_ERR_SHUTDOWN, "%s", r->scheme);
        cr_assert_eq(w.done, 1, "%s", r->scheme);
        relay_close(&p.peer); /* it was never taken */
        end(&w);
        cr_assert_eq(w.sessions_opened, 0, "%s", r->scheme);
    }
}
Test(contract, close_while_connecting) {
    each(CLOSE_WHILE_CONNECTING, close_while_connecting);
}

static void many(const row *r) {
    enum { CLIENTS = 50 };
    world w;
    place p;
    begin(&w, &p, r, NULL);
    choir_client_options o = client_options(&w);
    o.opened = NULL;
    o.closed = count_closed;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    for (int i = 0; i < CLIENTS; i++) {
        choir_client *client;
        cr_assert_eq(choir_connect(w.loop, client_url(&p, &w), &o, &client), CHOIR_OK);
        cr_assert_eq(choir_client_call(client, TESTBED_ECHO, &args, NULL, count_call, &w, NULL), CHOIR_OK);
    }
    until(&w, w.done == CLIENTS);
    cr_assert_eq(w.requests, CLIENTS, "%s", r->scheme);
    cr_assert_eq(choir_server_sessions(w.server), CLIENTS);
    end(&w);
    cr_assert_eq(w.closed, CLIENTS);
}
Test(contract, many_at_once) {
    each(MANY, many);
}

/* ---- bytes that come apart, together, slowly and not at all ---- */

static relay shared;

static void split(const row *r) {
    world w;
    shared = (relay){.chunk = 1, .left = SIZE_MAX};
    begin_relayed(&w, &shared, r);
    for (int i = 0; i < 3; i++) echo(&w);
    until_relayed(&w, &shared, w.done == 3);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 3, "%s", r->scheme);
    relay_end_all(&shared);
    until(&w, w.closed == 1 && w.sessions_closed == 1);
    end(&w);
}
Test(contract, split_reads, .timeout = 60) {
    each(SPLIT, split);
}

static void joined(const row *r) {
    world w;
    shared = (relay){.chunk = 65536, .left = SIZE_MAX};
    begin_relayed(&w, &shared, r);
    until_relayed(&w, &shared, w.opened == 1 && w.sessions_opened == 1);
    for (int i = 0; i < 500; i++) echo(&w);
    turn_for(&w, 5 * CHOIR_MILLISECOND); /* they gather in front of the relay */
    until_relayed(&w, &shared, w.done == 500);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 500, "%s", r->scheme);
    relay_end_all(&shared);
    end(&w);
}
Test(contract, joined_reads, .timeout = 60) {
    each(JOINED, joined);
}

/* 64 MiB in each direction at the same time, 8 KiB at a time: both ends are held back all the while. */
static void small_buffers(const row *r) {
    world w;
    shared = (relay){.chunk = 8192, .left = SIZE_MAX};
    begin_relayed(&w, &shared, r);
    w.blob = make_blob(MiB);
    uint32_t sent = 0;
    until_relayed(&w, &shared, w.opened == 1);
    for (choir_time last = clock_now(), passed = 0; w.done < 64;) {
        while (sent < 64 && echo_blob(&w, MiB) == CHOIR_OK) sent++;
        for (int i = 0; i < 16; i++) relay_step(&shared);
        cr_assert_eq(choir_loop_turn(w.loop, 0), CHOIR_OK);
        if (shared.passed != passed) last = clock_now();
        passed = shared.passed;
        cr_assert_lt(clock_now() - last, PATIENCE, "%s: nothing passed; %u of 64 are back", r->scheme,
                     w.done);
    }
    cr_assert_eq(w.bytes, 64ull * MiB);
    cr_assert_lt(w.memory.peak, 80ull * MiB);
    relay_end_all(&shared);
    end(&w);
}
Test(contract, small_buffers, .timeout = 180) {
    each(SMALL_BUFFERS, small_buffers);
}

/* The peer sends no more, but would still read: the session is over, and the server closes its half. */
static void half_close(const row *r) {
    world w;
    shared = (relay){.chunk = 65536, .left = SIZE_MAX};
    begin_relayed(&w, &shared, r);
    w.keep = true;
    echo(&w);
    until_relayed(&w, &shared, w.requests == 1);
    relay_shut(&shared);
    until(&w, w.sessions_closed == 1);
    cr_assert_eq(w.session_status, CHOIR_ERR_LINK_LOST, "%s", r->scheme);
    cr_assert_eq(choir_respond_drop(w.kept[0]), CHOIR_ERR_NOT_FOUND);
    until_relayed(&w, &shared, w.closed == 1);
    cr_assert_eq(w.status, CHOIR_ERR_LINK_LOST, "%s", r->scheme);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 0);
    relay_end_all(&shared);
    end(&w);
}
Test(contract, half_close) {
    each(HALF_CLOSE, half_close);
}

/* ---- peers that are other processes ---- */

/* A process with a client that calls and waits for its answer, which never comes. */
static pid_t start_peer(const char *url) {
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid > 0) return pid;
    choir_loop *loop;
    choir_client *client;
    choir_client_options o;
    choir_client_options_init(&o);
    o.service = &testbed_service;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    const choir_event *done;
    if (choir_loop_new(NULL, &loop) == CHOIR_OK && choir_connect(loop, url, &o, &client) == CHOIR_OK)
        choir_client_wait_call(client, TESTBED_ECHO, &args, CHOIR_TIME_NEVER, &done);
    _exit(1);
}

static void signalled(const row *r, int signal, const choir_session_options *session, int status) {
    world w;
    place p;
    begin(&w, &p, r, session);
    w.keep = true;
    pid_t pid = start_peer(client_url(&p, &w));
    relay_close(&p.peer); /* that process has it */
    until(&w, w.requests == 1);
    cr_assert_eq(kill(pid, signal), 0);
    until(&w, w.sessions_closed == 1);
    cr_assert_eq(w.session_status, status, "%s: %s", r->scheme, choir_status_name(w.session_status));
    choir_respond_drop(w.kept[0]);
    kill(pid, SIGKILL);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    end(&w);
}

static void killed(const row *r) {
    signalled(r, SIGKILL, NULL, CHOIR_ERR_LINK_LOST);
}
Test(contract, peer_killed) {
    each(KILLED, killed);
}

static void stopped(const row *r) {
    choir_session_options session;
    choir_session_options_init(&session);
    session.keepalive_busy = session.keepalive_idle = 500 * CHOIR_MILLISECOND;
    signalled(r, SIGSTOP, &session, CHOIR_ERR_PEER_UNRESPONSIVE);
}
Test(contract, peer_stopped) {
    each(STOPPED, stopped);
}

/* ---- evidence ---- */

static bool same_text(choir_str a, choir_str b) {
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static void check_evidence(const row *r, const choir_evidence *e, const char *scheme) {
    cr_assert_not_null(e, "%s", r->scheme);
    cr_assert_eq(e->size, sizeof *e);
    cr_assert_eq(e->scheme.len, strlen(scheme), "%s: %.*s", r->scheme, (int)e->scheme.len, e->scheme.data);
    cr_assert_eq(memcmp(e->scheme.data, scheme, e->scheme.len), 0);
    cr_assert_eq((e->flags & CHOIR_EVIDENCE_CREDENTIALS) != 0, r->has_credentials, "%s", r->scheme);
    if (r->has_credentials) {
        cr_assert_eq(e->uid, getuid());
        cr_assert_eq(e->gid, getgid());
        cr_assert_eq(e->pid, getpid());
    }
    cr_assert_eq(e->peer.len > 0 && e->local.len > 0, r->has_addresses, "%s", r->scheme);
}

static void evidence(const row *r) {
    world w;
    place p;
    begin(&w, &p, r, NULL);
    w.keep = true;
    join(&w, client_url(&p, &w));
    cr_assert_null(choir_session_evidence(choir_client_session(w.client)),
                   "nothing is known before there is a link");
    echo(&w);
    until(&w, w.requests == 1);
    const choir_evidence *server = choir_session_evidence(choir_responder_session(w.kept[0]));
    const choir_evidence *client = choir_session_evidence(choir_client_session(w.client));
    bool two_names = strcmp(r->scheme, "stdio") == 0; /* the other end of those pipes is fd:IN,OUT */
    check_evidence(r, server, r->scheme);
    check_evidence(r, client, two_names ? "fd" : r->scheme);
    cr_assert_eq(choir_session_evidence(choir_loop_session(w.loop, w.session)), server);
    if (r->has_addresses) {
        cr_assert(same_text(server->peer, client->local));
        cr_assert(same_text(server->local, client->peer));
    }
    choir_client_free(w.client);
    until(&w, w.sessions_closed == 1);
    cr_assert_eq(choir_session_evidence(choir_responder_session(w.kept[0])), server,
                 "it stays while the request is held");
    choir_respond_drop(w.kept[0]);
    until(&w, !choir_session_evidence(choir_responder_session(w.kept[0])));
    cr_assert_null(choir_session_evidence(choir_responder_session((choir_responder){0})));
    cr_assert_null(choir_loop_session(NULL, w.session));
    cr_assert_null(choir_loop_session(w.loop, w.session), "a handle of one that is gone");
    cr_assert_null(choir_session_evidence(choir_client_session(NULL)));
    end(&w);
}
Test(contract, evidence) {
    each(EVIDENCE, evidence);
}
