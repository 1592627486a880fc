/* SPDX-License-Identifier: MIT */
/* Two sessions in one thread, joined in memory by the public core: what a call costs without any system call.
 *
 *   memory_link summary         allocations per call, bytes per idle session, calls per second
 *   memory_link echo|lookup N [msgpack]
 *                              N calls, 64 in flight (run under callgrind, twice, to get instructions per
 *                              call)
 *   memory_link timers N ARMED  N echo calls with deadlines while ARMED other calls wait with theirs */
#include "choir/attachment.h"
#include "choir/rpc.h"
#include "harness.h"
#include "testbed/testbed.h"
#include "testbed/testbed_handlers.h"

#define IN_FLIGHT 64

static void *plain_alloc(void *ctx, size_t size) {
    (void)ctx;
    return malloc(size);
}
static void *plain_realloc(void *ctx, void *ptr, size_t old_size, size_t size) {
    (void)ctx;
    (void)old_size;
    return realloc(ptr, size);
}
static void plain_free(void *ctx, void *ptr, size_t size) {
    (void)ctx;
    (void)size;
    free(ptr);
}
static int fixed_random(void *ctx, void *out, size_t len) {
    uint8_t *p = out;
    (void)ctx;
    for (size_t i = 0; i < len; i++) p[i] = (uint8_t)(i * 37 + 11);
    return 0;
}

typedef struct end {
    choir_session *session;
    choir_attachment *link;
} end;

static choir_env *env;
static end client, server;
static choir_time now = CHOIR_SECOND;
static uint32_t method = TESTBED_ECHO;
static choir_time deadline = CHOIR_TIME_NEVER;
static uint32_t codec = CHOIR_CODEC_POSTCARD;
static long left, done;
static bool hold_first; /* the server does not answer: calls stay open with their deadlines armed */

static void check(int status, const char *what) {
    if (status == CHOIR_OK) return;
    fprintf(stderr, "%s: %s\n", what, choir_status_text(status));
    exit(1);
}

static void call(void) {
    static const testbed_echo_args echo = {{"0123456789abcdef0123456789abcdef", 32}};
    static const testbed_lookup_args lookup = {1};
    const void *args = method == TESTBED_ECHO ? (const void *)&echo : (const void *)&lookup;
    choir_call_options options;
    choir_call_options_init(&options);
    options.deadline = deadline;
    check(choir_call(client.session, choir_session_root(client.session), method, args, &options, NULL, now),
          "call");
}

static void poll_client(void) {
    const choir_event *e;
    while ((e = choir_session_poll(client.session))) {
        if (e->kind != CHOIR_EVENT_CALL_DONE) continue;
        if (e->outcome != CHOIR_OUTCOME_OK) exit(1);
        done++;
        if (left > 0) {
            left--;
            call();
        }
    }
}

static void answer(const choir_event *e) {
    if (e->method == TESTBED_ECHO) {
        check(choir_reply(server.session, e->request, e->value, NULL, now), "reply");
        return;
    }
    testbed_person person;
    testbed_lookup_error error;
    if (testbed_lookup(e->value, &person, &error) == CHOIR_OK)
        check(choir_reply(server.session, e->request, &person, NULL, now), "reply");
    else
        check(choir_reply_error(server.session, e->request, &error, NULL, now), "reply");
}

static void poll_server(void) {
    const choir_event *e;
    while ((e = choir_session_poll(server.session)))
        if (e->kind == CHOIR_EVENT_REQUEST && !hold_first) answer(e);
}

static void accept_hello(choir_attachment *link) {
    choir_session_options options;
    if (!choir_attachment_hello(link)) return;
    choir_session_options_init(&options);
    choir_conn_options root;
    choir_conn_options_init(&root);
    root.serve = &testbed_service;
    root.max_concurrent_requests = 200000;
    options.root = &root;
    options.memory_quota = UINT64_C(1) << 40;
    check(choir_attachment_accept(link, &options, &server.session, now), "accept");
}

static bool move(end *from, end *to) {
    choir_iov iov[16];
    size_t n = choir_attachment_peek(from->link, iov, 16), total = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = iov[i].base;
        for (size_t len = iov[i].len; len > 0;) {
            size_t used = 0;
            check(choir_attachment_receive(to->link, at, len, NULL, &used, now), "receive");
            at += used;
            len -= used;
            total += used;
            if (to == &client) {
                poll_client();
                continue;
            }
            accept_hello(to->link);
            if (server.session) poll_server();
        }
    }
    check(choir_attachment_consume(from->link, total, now), "consume");
    if (from == &server && total > 0 && server.session) poll_server(); /* the answers have left */
    return total > 0;
}

static void pump(void) {
    while (move(&client, &server) || move(&server, &client)) poll_client();
}

static void open_pair(void) {
    choir_session_options options;
    choir_session_options_init(&options);
    choir_conn_options root;
    choir_conn_options_init(&root);
    root.call = &testbed_service;
    root.max_queued_calls = 200000;
    root.max_queued_call_bytes = UINT64_C(1) << 30;
    root.max_output = UINT64_C(1) << 30;
    options.root = &root;
    options.codec = codec;
    server.session = NULL;
    check(choir_session_new(env, &options, &client.session, now), "session");
    check(choir_attachment_new_initiator(env, NULL, client.session, &client.link, now), "attachment");
    check(choir_attachment_new_acceptor(env, NULL, &server.link, now), "attachment");
    pump();
    poll_client();
}

static void run_calls(long n) {
    long in_flight = n < IN_FLIGHT ? n : IN_FLIGHT;
    done = 0;
    left = n - in_flight;
    for (long i = 0; i < in_flight; i++) call();
    pump();
    if (done != n) exit(1);
}

static uint64_t allocations_of(uint32_t which, long n) {
    method = which;
    run_calls(1000);
    uint64_t before = choir_env_allocations(env);
    run_calls(n);
    return choir_env_allocations(env) - before;
}

static void idle_bytes(void) {
    enum { SESSIONS = 1000 };
    uint64_t before = choir_env_memory(env), after;
    for (int i = 0; i < SESSIONS; i++) open_pair(); /* kept: they end with the process */
    after = choir_env_memory(env);
    printf("bytes per idle session, both ends:           %8.0f\n", (double)(after - before) / SESSIONS);
    for (int i = 0; i < 1; i++) run_calls(1);
}

static void summary(void) {
    open_pair();
    uint64_t echo = allocations_of(TESTBED_ECHO, 10000), lookup = allocations_of(TESTBED_LOOKUP, 10000);
    printf("allocator calls in 10,000 warm echo calls:   %8llu\n", (unsigned long long)echo);
    printf("allocator calls in 10,000 warm lookup calls: %8llu\n", (unsigned long long)lookup);
    method = TESTBED_ECHO;
    uint64_t start = bench_now();
    run_calls(1000000);
    printf("calls per second, echo, 64 in flight:        %8.0f\n",
           1e6 / ((double)(bench_now() - start) * 1e-9));
    idle_bytes();
    if (echo + lookup > 0) exit(1);
}

static void timers(long n, long armed) {
    open_pair();
    run_calls(100);
    hold_first = true;
    for (long i = 0; i < armed; i++) {
        deadline = now + CHOIR_SECOND * 60 + (choir_duration)i * CHOIR_MILLISECOND;
        call();
    }
    pump();
    hold_first = false;
    deadline = now + CHOIR_SECOND * 30;
    for (; n > 0; n -= 100) {
        run_calls(100);
        now += CHOIR_MILLISECOND;
        deadline = now + CHOIR_SECOND * 30;
        choir_session_advance(client.session, now);
    }
}

int main(int argc, char **argv) {
    choir_env_options options;
    choir_env_options_init(&options);
    options.allocator = (choir_allocator){plain_alloc, plain_realloc, plain_free, NULL};
    options.random = fixed_random;
    check(choir_env_new(&options, &env), "env");
    if (argc == 2 && !strcmp(argv[1], "summary")) {
        summary();
    } else if ((argc == 3 || argc == 4) && (!strcmp(argv[1], "echo") || !strcmp(argv[1], "lookup"))) {
        if (argc == 4 && !strcmp(argv[3], "msgpack")) codec = CHOIR_CODEC_MSGPACK;
        method = !strcmp(argv[1], "echo") ? TESTBED_ECHO : TESTBED_LOOKUP;
        open_pair();
        run_calls(atol(argv[2]));
    } else if (argc == 4 && !strcmp(argv[1], "timers")) {
        timers(atol(argv[2]), atol(argv[3]));
    } else {
        fprintf(stderr, "usage: memory_link summary | echo|lookup N [msgpack] | timers N ARMED\n");
        return 2;
    }
    return 0;
}
