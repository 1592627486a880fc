/* SPDX-License-Identifier: MIT */
/* Processes that are forked off: they can free the loop of their parent, and nothing that they do reaches it.
 * */
#include "test_world.h"

#include <sys/wait.h>

/* Runs `child` in a process that is forked off; it exits with 0 when all was as it should be there. */
static void in_child(world *w, int (*child)(world *w)) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(child(w));
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status), "%x", (unsigned)status);
    cr_assert_eq(WEXITSTATUS(status), 0, "line %d", WEXITSTATUS(status));
}

/* In the child: exits with (the low byte of) the line that is wrong. */
#define check(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) _exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1);                                      \
    } while (0)

static int frees(world *w) {
    uint32_t closed = w->closed, sessions = w->sessions_closed;
    choir_loop_free(w->loop);
    check(w->memory.bytes == 0);
    check(open_fds() == w->fds);
    check(w->closed == closed && w->sessions_closed == sessions); /* no callback */
    return 0;
}

/* Every kind of link, with everything open and busy: the parent goes on as if nothing had happened. */
static void freed_in_a_child(world *w, const char *url) {
    world_open(w, url);
    choir_loop_timer *timer;
    cr_assert_eq(choir_loop_timer_new(w->loop, (choir_loop_timer_fn *)abort, NULL, &timer), CHOIR_OK);
    choir_loop_timer_set(timer, choir_loop_now(w->loop) + 3600 * CHOIR_SECOND);
    choir_poster *poster = choir_loop_poster(w->loop);
    w->keep = true;
    for (int i = 0; i < 3; i++) echo(w);
    until(w, w->kept_len == 3);
    in_child(w, frees);
    turn_for(w, 20 * CHOIR_MILLISECOND);
    cr_assert_eq(w->closed + w->sessions_closed, 0, "%s: the child has ended the session", url);
    for (uint32_t i = 0; i < 3; i++) {
        const struct testbed_echo_args *args = w->kept_args[i];
        cr_assert_eq(choir_respond(w->kept[i], &args->message), CHOIR_OK);
    }
    until(w, w->done == 3);
    /* The server still accepts, and times still come. */
    w->keep = false;
    choir_client_options o = client_options(w);
    choir_client *other;
    o.opened = NULL;
    o.closed = count_closed;
    cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), &o, &other), CHOIR_OK);
    cr_assert_eq(choir_client_wait_open(other), CHOIR_OK, "%s: the server is deaf", url);
    const choir_event *done;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    w->keep = true;
    cr_assert_eq(choir_client_wait_call(other, TESTBED_ECHO, &args, 20 * CHOIR_MILLISECOND, &done), CHOIR_OK);
    cr_assert_eq(done->outcome, CHOIR_OUTCOME_TIMED_OUT);
    choir_poster_release(poster);
    world_end(w);
}
Test(fork, loop_freed_in_a_child) {
    on_each(freed_in_a_child);
}

static void never_posted(void *ctx, choir_loop *loop) {
    (void)ctx, (void)loop;
    abort();
}

static choir_poster *inherited;

static int refused(world *w) {
    choir_client_options co = client_options(w);
    choir_server_options so = server_options(w);
    choir_client *client = NULL;
    choir_server *server = NULL;
    choir_loop_timer *timer = NULL;
    const choir_event *done;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    check(choir_loop_run(w->loop) == CHOIR_ERR_STATE);
    check(choir_loop_turn(w->loop, 0) == CHOIR_ERR_STATE);
    check(strstr(choir_loop_error(w->loop).data, "another process"));
    check(choir_connect(w->loop, urls[0], &co, &client) == CHOIR_ERR_STATE && !client);
    check(choir_listen(w->loop, urls[0], &so, &server) == CHOIR_ERR_STATE && !server);
    check(choir_server_adopt(w->server, 0, "fd", NULL, 0) == CHOIR_ERR_STATE);
    check(choir_client_call(w->client, TESTBED_ECHO, &args, NULL, on_echoed, w, NULL) == CHOIR_ERR_STATE);
    check(choir_client_session(w->client) == NULL);
    check(choir_client_conn(w->client).v == 0);
    check(choir_client_ping(w->client, NULL, NULL) == CHOIR_ERR_STATE);
    check(choir_client_wait_open(w->client) == CHOIR_ERR_STATE);
    check(choir_client_wait_call(w->client, TESTBED_ECHO, &args, 0, &done) == CHOIR_ERR_STATE);
    check(choir_respond(w->kept[0], &args.message) == CHOIR_ERR_STATE);
    check(choir_respond_drop(w->kept[0]) == CHOIR_ERR_STATE);
    check(choir_responder_session(w->kept[0]) == NULL);
    check(choir_loop_session(w->loop, w->kept[0].session) == NULL);
    check(choir_loop_timer_new(w->loop, (choir_loop_timer_fn *)abort, NULL, &timer) == CHOIR_ERR_STATE &&
          !timer);
    check(choir_loop_poster(w->loop) == NULL);
    check(choir_poster_post(inherited, never_posted, NULL) == CHOIR_ERR_STATE);
    choir_poster_release(inherited);
    choir_client_close(w->client);
    choir_client_free(w->client);
    choir_server_close(w->server);
    choir_server_free(w->server);
    return frees(w);
}

Test(fork, everything_else_is_refused) {
    world w;
    world_open(&w, urls[3]);
    inherited = choir_loop_poster(w.loop);
    w.keep = true;
    echo(&w);
    until(&w, w.kept_len == 1);
    in_child(&w, refused);
    const struct testbed_echo_args *args = w.kept_args[0];
    cr_assert_eq(choir_respond(w.kept[0], &args->message), CHOIR_OK);
    until(&w, w.done == 1);
    cr_assert_eq(access(urls[3] + strlen("unix://"), F_OK), 0, "the child has removed the socket");
    choir_server_options so = server_options(&w);
    choir_server *second = NULL;
    cr_assert_eq(choir_listen(w.loop, urls[3], &so, &second), CHOIR_ERR_LISTEN,
                 "the child gave the lock back");
    choir_poster_release(inherited);
    world_end(&w);
}

/* A child may have a loop of its own, and call its parent. */
static int calls_parent(world *w) {
    char url[64];
    snprintf(url, sizeof url, "%s", choir_server_url(w->server));
    frees(w);
    choir_loop *loop;
    choir_client *client;
    choir_client_options o;
    choir_client_options_init(&o);
    o.service = &testbed_service;
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    const choir_event *done;
    check(choir_loop_new(NULL, &loop) == CHOIR_OK);
    check(choir_connect(loop, url, &o, &client) == CHOIR_OK);
    check(choir_client_wait_call(client, TESTBED_ECHO, &args, PATIENCE, &done) == CHOIR_OK);
    check(done->outcome == CHOIR_OUTCOME_OK);
    choir_loop_free(loop);
    return 0;
}

Test(fork, child_with_a_loop_of_its_own) {
    world w;
    world_open(&w, urls[4]);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(calls_parent(&w));
    int status = 0;
    until(&w, waitpid(pid, &status, WNOHANG) == pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
    cr_assert_eq(w.requests, 1);
    world_end(&w);
}
