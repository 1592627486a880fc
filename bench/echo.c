/* SPDX-License-Identifier: MIT */
/* Echo of 32 bytes over TCP through libchoir-net, one process per end, as a program would use it.
 *
 *   echo serve PORT [CORE]
 *   echo client PORT IN_FLIGHT SECONDS [CORE]
 * The client prints one line of JSON; allocations are those of its own process per call in the window,
 * counted in the allocator that the loop was given. The server prints its own count for each session on
 * standard error. */
#include "choir/net.h"
#include "harness.h"
#include "testbed/testbed.h"

#include <signal.h>

static uint64_t allocator_calls;

static void *count_alloc(void *ctx, size_t size) {
    (void)ctx;
    allocator_calls++;
    return malloc(size);
}
static void *count_realloc(void *ctx, void *ptr, size_t old_size, size_t size) {
    (void)ctx;
    (void)old_size;
    allocator_calls++;
    return realloc(ptr, size);
}
static void count_free(void *ctx, void *ptr, size_t size) {
    (void)ctx;
    (void)size;
    free(ptr);
}

static void check(int status, const char *what, choir_loop *loop) {
    if (status == CHOIR_OK) return;
    choir_str why = loop ? choir_loop_error(loop) : (choir_str){"", 0};
    fprintf(stderr, "%s: %s %.*s\n", what, choir_status_text(status), (int)why.len, why.data);
    exit(1);
}

static choir_loop *new_loop(void) {
    choir_loop_options options;
    choir_loop *loop;
    choir_env_options env;
    choir_loop_options_init(&options);
    choir_env_options_init(&env);
    options.env = &env;
    env.allocator = (choir_allocator){count_alloc, count_realloc, count_free, NULL};
    check(choir_loop_new(&options, &loop), "loop", NULL);
    return loop;
}

/* ---- server ---- */

static uint64_t requests;

static void on_echo(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    (void)ctx;
    (void)request;
    requests++;
    choir_respond(to, &((const testbed_echo_args *)args)->message);
}

static void serve(const char *port) {
    choir_handler *handlers[TESTBED_METHODS] = {[TESTBED_ECHO] = on_echo};
    choir_loop *loop = new_loop();
    choir_server_options options;
    choir_server *server;
    char url[64];
    choir_server_options_init(&options);
    options.services[0] = (choir_served){.service = &testbed_service, .handlers = handlers};
    options.services_len = 1;
    choir_session_options session;
    choir_conn_options root;
    choir_session_options_init(&session);
    choir_conn_options_init(&root);
    root.max_concurrent_requests = 4096;
    session.root = &root;
    options.session = &session;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%s", port);
    check(choir_listen(loop, url, &options, &server), "listen", loop);
    printf("listening on %s\n", choir_server_url(server));
    fflush(stdout);
    choir_loop_run(loop);
}

/* ---- client ---- */

typedef struct slot {
    uint64_t sent_at; /* 0: not sampled */
} slot;

static bench run;
static choir_client *client;
static choir_loop *loop;
static uint64_t calls_made, allocations_before;
static const choir_str message = {"0123456789abcdef0123456789abcdef", 32};

static void on_answer(void *ctx, const choir_event *done);

static void call(slot *s) {
    s->sent_at = run.in_flight == 1 || calls_made++ % BENCH_SAMPLE_EVERY == 0 ? bench_now() : 0;
    testbed_echo_args args = {message};
    check(choir_client_call(client, TESTBED_ECHO, &args, NULL, on_answer, s, NULL), "call", loop);
}

static void on_answer(void *ctx, const choir_event *done) {
    slot *s = ctx;
    if (done->outcome != CHOIR_OUTCOME_OK) {
        if (run.phase == 2) return;
        fprintf(stderr, "echo: %s %.*s\n", choir_outcome_text(done->outcome), (int)done->text.len,
                done->text.data);
        exit(1);
    }
    const choir_str *answer = done->value;
    if (answer->len != message.len || memcmp(answer->data, message.data, message.len) != 0) {
        fprintf(stderr, "echo: wrong answer\n");
        exit(1);
    }
    if (s->sent_at) bench_sample(&run, bench_now() - s->sent_at);
    if (run.phase == 2) return;
    int phase = run.phase;
    if (!bench_count(&run)) {
        choir_loop_stop(loop);
        return;
    }
    if (run.phase != phase) allocations_before = allocator_calls;
    call(s);
}

static int run_client(const char *port, long in_flight, double seconds) {
    choir_client_options options;
    char url[64];
    loop = new_loop();
    choir_client_options_init(&options);
    options.service = &testbed_service;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%s", port);
    check(choir_connect(loop, url, &options, &client), "connect", loop);
    check(choir_client_wait_open(client), "connect", loop);
    bench_start(&run, "choir", in_flight, seconds);
    slot *slots = calloc((size_t)in_flight, sizeof *slots);
    for (long i = 0; i < in_flight; i++) call(&slots[i]);
    check(choir_loop_run(loop), "run", loop);
    double allocations = (double)(allocator_calls - allocations_before) / (double)run.calls;
    bench_report(&run, 0, 0, allocations);
    choir_loop_free(loop);
    return 0;
}

int main(int argc, char **argv) {
    if (argc >= 3 && !strcmp(argv[1], "serve")) {
        bench_pin(argc > 3 ? atoi(argv[3]) : -1);
        serve(argv[2]);
        return 0;
    }
    if (argc >= 5 && !strcmp(argv[1], "client")) {
        bench_pin(argc > 5 ? atoi(argv[5]) : -1);
        return run_client(argv[2], atol(argv[3]), atof(argv[4]));
    }
    fprintf(stderr, "usage: echo serve PORT [CORE] | echo client PORT IN_FLIGHT SECONDS [CORE]\n");
    return 2;
}
