/* SPDX-License-Identifier: MIT */
/* The loop: event_base, environment, time, the turn.
 *
 * Invariants: `turning` is true exactly while the turn event is pending or runs, so every marked task is run
 * soon; `depth` is not 0 exactly while a callback of libevent for us is on the stack, and all callbacks of
 * the host run under one.
 *
 * Rejected: writing at the end of each read callback instead of in one event per turn. It saves 30 ns per
 * wake-up, but a message for a third link would be written once for each link that was read. */
#include "loop.h"

#include "link.h"
#include "options.h"
#include "poster.h"
#include "resolve.h"
#include "session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

/* Tasks that run before input is looked at again: with memory links a turn could otherwise go on for ever. */
#define TURN_BUDGET 256u
/* What one read takes at most. 64 KiB to 256 KiB measure alike; larger ones leave the second-level cache. */
#define BLOCK_SIZE (256u << 10)

/* The page that tells processes apart. */
#define HERE_SIZE 4096u

/* ---- what the host gave, or its defaults ---- */

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

static int system_random(void *ctx, void *out, size_t len) {
    (void)ctx;
    for (size_t at = 0; at < len;) {
        ssize_t n = getrandom((char *)out + at, len - at, 0);
        if (n < 0 && errno != EINTR) return -1;
        if (n > 0) at += (size_t)n;
    }
    return 0;
}

static choir_time clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (choir_time)t.tv_sec * CHOIR_SECOND + (choir_time)t.tv_nsec;
}

void *choiri_net_alloc(choir_loop *loop, size_t size) {
    return loop->allocator.alloc(loop->allocator.ctx, size);
}

void *choiri_net_realloc(choir_loop *loop, void *ptr, size_t old_size, size_t size) {
    if (!ptr) return choiri_net_alloc(loop, size);
    return loop->allocator.realloc(loop->allocator.ctx, ptr, old_size, size);
}

void choiri_net_release(choir_loop *loop, void *ptr, size_t size) {
    if (ptr) loop->allocator.free(loop->allocator.ctx, ptr, size);
}

/* ---- processes ---- */

/* One page for each loop, so that every function can ask with a read of memory; getpid is a system call.
 * Kernels before 4.14 do not know the advice: there a forked process is not noticed. */
static bool make_here(choir_loop *loop) {
    void *page = mmap(NULL, HERE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return false;
    madvise(page, HERE_SIZE, MADV_WIPEONFORK);
    *(uint8_t *)page = 1;
    loop->here = page;
    return true;
}

static void drop_here(choir_loop *loop) {
    if (loop->here) munmap((void *)(uintptr_t)loop->here, HERE_SIZE);
}

int choiri_net_check_process(choir_loop *loop) {
    return net_is_forked(loop) ? choiri_net_fail(loop, CHOIR_ERR_STATE, "the loop is another process's")
                               : CHOIR_OK;
}

int choiri_net_check_usable(choir_loop *loop) {
    return loop->freeing ? choiri_net_result(loop, CHOIR_ERR_STATE) : choiri_net_check_process(loop);
}

/* ---- texts ---- */

int choiri_net_fail(choir_loop *loop, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(loop->error.data, sizeof loop->error.data, format, arguments);
    va_end(arguments);
    loop->error.len = n < 0                                 ? 0
                      : (size_t)n < sizeof loop->error.data ? (size_t)n
                                                            : sizeof loop->error.data - 1;
    return status;
}

int choiri_net_result(choir_loop *loop, int status) {
    if (status != CHOIR_OK) return choiri_net_fail(loop, status, "%s", choir_status_text(status));
    loop->error.len = 0;
    return status;
}

int choiri_net_service_check(choir_loop *loop, const choir_service *service) {
    char why[160] = "";
    int status = choir_service_check(loop->env, service, why, sizeof why);
    if (status == CHOIR_OK) return CHOIR_OK;
    return choiri_net_fail(loop, status, "the service's descriptors: %s",
                           why[0] ? why : choir_status_text(status));
}

choir_str choir_loop_error(const choir_loop *loop) {
    return loop ? net_text_get(&loop->error) : (choir_str){"", 0};
}

void choiri_net_log(choir_loop *loop, uint32_t level, const char *format, ...) {
    if (!loop->log || level > loop->log_level) return;
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (n < 0) return;
    size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    loop->log(loop->log_ctx, level, "net", (choir_str){line, len});
}

/* ---- the turn ---- */

choir_time choiri_net_now(choir_loop *loop) {
    if (loop->depth == 0) loop->now = clock_now();
    return loop->now;
}

void choiri_net_schedule(choir_loop *loop) {
    if (loop->turning) return;
    loop->turning = true;
    event_active(&loop->turn_event, 0, 0);
}

void choiri_net_enter(choir_loop *loop) {
    loop->depth++;
    if (!loop->fresh) {
        loop->now = clock_now();
        loop->fresh = true;
        choiri_net_schedule(loop);
    }
    if (loop->held && !loop->wait.active) choiri_net_unhold(loop);
}

void choiri_net_leave(choir_loop *loop) {
    loop->depth--;
}

void choiri_net_doom(choir_loop *loop, net_object *object) {
    if (object->doomed) return;
    object->doomed = true;
    net_list_append(&loop->doomed, &object->node);
    object->close(object);
    choiri_net_schedule(loop);
}

void choiri_net_mark(choir_loop *loop, net_task *task) {
    if (!net_list_is_empty(&task->node)) return;
    net_list_append(&loop->marked, &task->node);
    choiri_net_schedule(loop);
}

static void run_marked(choir_loop *loop, uint32_t *left) {
    for (; *left > 0 && !net_list_is_empty(&loop->marked); (*left)--) {
        net_task *task = NET_CONTAINER(loop->marked.next, net_task, node);
        net_node_remove(&task->node);
        task->run(task);
    }
}

/* Has everything ended that choir_loop_close closed? */
static bool is_over(const choir_loop *loop) {
    if (!net_list_is_empty(&loop->links)) return false;
    for (const net_node *n = loop->sessions.next; n != &loop->sessions; n = n->next) {
        const net_session *session = NET_CONTAINER(n, net_session, all);
        if (!session->over || choir_session_held_requests(session->session) > 0) return false;
    }
    return true;
}

static void tell_closed(choir_loop *loop) {
    choir_loop_closed_fn *done = loop->closing.done;
    if (!done || loop->freeing || !is_over(loop)) return;
    loop->closing.done = NULL;
    done(loop->closing.ctx, loop);
}

static void run_turn(choir_loop *loop) {
    uint32_t left = TURN_BUDGET;
    run_marked(loop, &left);
    while (!net_list_is_empty(&loop->doomed)) {
        net_object *object = NET_CONTAINER(loop->doomed.next, net_object, node);
        net_node_remove(&object->node);
        object->bury(object);
    }
    run_marked(loop, &left); /* what was let go says its last words */
    tell_closed(loop);
    choiri_net_dns_settle(loop);
    choiri_net_timers_settle(loop);
    loop->fresh = false;
    loop->turning = !net_list_is_empty(&loop->marked) || !net_list_is_empty(&loop->doomed);
    if (!loop->turning) return;
    /* A timer that is due at once lets the descriptors have their say first; activating the event would
     * not. */
    static const struct timeval at_once = {0, 0};
    event_add(&loop->turn_event, &at_once);
}

static void on_turn(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    choir_loop *loop = arg;
    choiri_net_enter(loop);
    run_turn(loop);
    choiri_net_leave(loop);
}

choir_chunk *choiri_net_block(choir_loop *loop) {
    if (loop->block && !choir_chunk_is_unique(loop->block)) {
        choir_chunk_release(loop->block);
        loop->block = NULL;
    }
    if (!loop->block && choir_env_chunk_new(loop->env, BLOCK_SIZE, &loop->block) != CHOIR_OK) return NULL;
    return loop->block;
}

void choiri_net_unhold(choir_loop *loop) {
    net_session *session = loop->held;
    if (!session) return;
    loop->held = NULL;
    loop->wait.done = NULL;
    choir_chunk_release(loop->held_chunk);
    loop->held_chunk = NULL;
    session->held = false;
    choiri_net_session_mark(session);
}

/* ---- life ---- */

static const choir_loop_options defaults = {.size = sizeof defaults};

void choir_loop_options_init_sized(choir_loop_options *options, size_t size) {
    choiri_net_options_give(options, size, &defaults, sizeof defaults);
}

static int make_base(choir_loop *loop, struct event_base *host) {
    loop->base = host;
    if (host) return CHOIR_OK;
    struct event_config *config = event_config_new();
    if (!config) return CHOIR_ERR_NO_MEMORY;
    /* Only this thread ever touches it. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    loop->own_base = loop->base != NULL;
    return loop->base ? CHOIR_OK : CHOIR_ERR_IO;
}

static void on_timeout(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (void)arg;
}

static int init_loop(choir_loop *loop, struct event_base *host, const choir_env_options *env) {
    loop->log = env->log;
    loop->log_ctx = env->log_ctx;
    loop->log_level = env->log_level;
    net_node_init(&loop->marked);
    net_node_init(&loop->links);
    net_node_init(&loop->sessions);
    net_node_init(&loop->objects);
    net_node_init(&loop->doomed);
    net_node_init(&loop->host_timers);
    net_node_init(&loop->memory_listeners);
    loop->now = clock_now();
    if (env->random(env->random_ctx, &loop->first_generation, sizeof loop->first_generation) != 0)
        return CHOIR_ERR_RANDOM;
    loop->first_generation = loop->first_generation / 2 + 1; /* not 0, and far from the end */
    int status = choir_env_new(env, &loop->env);
    if (status == CHOIR_OK) status = make_base(loop, host);
    if (status == CHOIR_OK && !choiri_net_timers_init(loop)) status = CHOIR_ERR_IO;
    if (status != CHOIR_OK) return status;
    event_assign(&loop->turn_event, loop->base, -1, 0, on_turn, loop);
    event_assign(&loop->timeout_event, loop->base, -1, 0, on_timeout, loop);
    return CHOIR_OK;
}

int choir_loop_new(const choir_loop_options *options, choir_loop **ret_loop) {
    choir_loop_options o = defaults;
    choir_env_options env;
    choir_env_options_init(&env);
    if (!ret_loop || (options && choiri_net_options_copy(&o, sizeof o, options) != CHOIR_OK) ||
        (o.env && choiri_net_options_copy(&env, sizeof env, o.env) != CHOIR_OK))
        return CHOIR_ERR_INVALID;
    if (!env.allocator.alloc) env.allocator = (choir_allocator){plain_alloc, plain_realloc, plain_free, NULL};
    if (!env.random) env.random = system_random;
    choir_loop *loop = env.allocator.alloc(env.allocator.ctx, sizeof *loop);
    if (!loop) return CHOIR_ERR_NO_MEMORY;
    memset(loop, 0, sizeof *loop);
    loop->allocator = env.allocator;
    int status = make_here(loop) ? init_loop(loop, o.base, &env) : CHOIR_ERR_NO_MEMORY;
    if (status != CHOIR_OK) {
        if (loop->own_base) event_base_free(loop->base);
        choir_env_free(loop->env);
        drop_here(loop);
        choiri_net_release(loop, loop, sizeof *loop);
        return status;
    }
    *ret_loop = loop;
    return CHOIR_OK;
}

int choir_loop_close(choir_loop *loop, choir_loop_closed_fn *done, void *ctx) {
    if (!loop || !done) return CHOIR_ERR_INVALID;
    if (choiri_net_check_usable(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    if (loop->closing.done) return choiri_net_result(loop, CHOIR_ERR_BUSY);
    loop->closing.done = done;
    loop->closing.ctx = ctx;
    for (net_node *n = loop->objects.next, *next; n != &loop->objects; n = next) {
        next = n->next;
        net_object *object = NET_CONTAINER(n, net_object, node);
        object->close(object);
    }
    choiri_net_schedule(loop);
    return choiri_net_result(loop, CHOIR_OK);
}

/* Gives back what is left when nothing of the loop's can call back any more. */
static void release_loop(choir_loop *loop) {
    choiri_net_host_timers_free(loop);
    event_del(&loop->turn_event); /* the turn it was scheduled for was this one */
    choiri_net_dns_free(loop);
    choiri_net_timers_deinit(loop);
    choir_chunk_release(loop->block);
    choir_env_free(loop->env);
    if (loop->own_base) event_base_free(loop->base);
    choiri_net_release(loop, loop->slots, loop->slots_len * sizeof *loop->slots);
    drop_here(loop);
    choiri_net_release(loop, loop, sizeof *loop);
}

static void free_links_and_sessions(choir_loop *loop) {
    while (!net_list_is_empty(&loop->links))
        choiri_net_link_free(NET_CONTAINER(loop->links.next, net_link, all));
    while (!net_list_is_empty(&loop->sessions))
        choiri_net_session_free(NET_CONTAINER(loop->sessions.next, net_session, all));
}

static void abandon_objects(net_node *list) {
    while (!net_list_is_empty(list)) {
        net_object *object = NET_CONTAINER(list->next, net_object, node);
        net_node_remove(&object->node);
        object->abandon(object);
    }
}

/* The loop of another process: descriptors are closed and memory is freed, but nothing is said to anybody and
 * nothing that is shared with that process changes. Its epoll set would be, by every event_del; event_reinit
 * makes a set of our own. In the host's base that is the host's business. */
static void abandon_loop(choir_loop *loop) {
    if (loop->own_base) event_reinit(loop->base);
    loop->freeing = true;
    loop->held = NULL;
    choir_chunk_release(loop->held_chunk);
    choiri_net_poster_close(loop, true);
    for (net_node *n = loop->sessions.next; n != &loop->sessions; n = n->next)
        NET_CONTAINER(n, net_session, all)->owner = NULL;
    for (net_node *n = loop->links.next; n != &loop->links; n = n->next)
        NET_CONTAINER(n, net_link, all)->acceptor = NULL;
    free_links_and_sessions(loop);
    abandon_objects(&loop->objects);
    abandon_objects(&loop->doomed);
    release_loop(loop);
}

void choir_loop_free(choir_loop *loop) {
    if (!loop || loop->depth > 0 || loop->running) return;
    if (net_is_forked(loop)) {
        abandon_loop(loop);
        return;
    }
    choiri_net_unhold(loop);
    loop->freeing = true;
    choiri_net_enter(loop);
    choiri_net_poster_close(loop, false);
    while (!net_list_is_empty(&loop->objects))
        choiri_net_doom(loop, NET_CONTAINER(loop->objects.next, net_object, node));
    do run_turn(loop);
    while (loop->turning);
    free_links_and_sessions(loop);
    choiri_net_leave(loop);
    release_loop(loop);
}

choir_time choir_loop_now(choir_loop *loop) {
    return loop ? choiri_net_now(loop) : 0;
}
choir_env *choir_loop_env(choir_loop *loop) {
    return loop ? loop->env : NULL;
}

/* ---- running ---- */

bool choiri_net_is_reentrant(const choir_loop *loop) {
    return loop->depth > 0 || loop->running;
}

int choiri_net_pass(choir_loop *loop, int flags, bool *ret_idle) {
    loop->running = true;
    errno = 0;
    int result = event_base_loop(loop->base, flags);
    loop->running = false;
    *ret_idle = result == 1;
    if (result >= 0) return CHOIR_OK;
    /* libevent refuses in the same way when the host runs its base already, but without an error of the
     * system. (To ask it first would be event_base_get_running_event, which crashes in 2.1 when nothing
     * runs.) */
    return errno == 0 ? CHOIR_ERR_REENTRANT : CHOIR_ERR_IO;
}

int choir_loop_run(choir_loop *loop) {
    if (!loop) return CHOIR_ERR_INVALID;
    if (choiri_net_check_process(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    if (choiri_net_is_reentrant(loop)) return choiri_net_result(loop, CHOIR_ERR_REENTRANT);
    bool idle = false;
    int status = CHOIR_OK;
    for (loop->stop = false; status == CHOIR_OK && !idle && !loop->stop;) {
        status = choiri_net_pass(loop, EVLOOP_ONCE, &idle);
        if (event_base_got_exit(loop->base) || event_base_got_break(loop->base)) break; /* the host's wish */
    }
    return choiri_net_result(loop, status);
}

int choir_loop_turn(choir_loop *loop, choir_duration timeout) {
    if (!loop) return CHOIR_ERR_INVALID;
    if (choiri_net_check_process(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    if (choiri_net_is_reentrant(loop)) return choiri_net_result(loop, CHOIR_ERR_REENTRANT);
    bool idle;
    if (timeout == 0)
        return choiri_net_result(loop, choiri_net_pass(loop, EVLOOP_ONCE | EVLOOP_NONBLOCK, &idle));
    if (timeout == CHOIR_TIME_NEVER)
        return choiri_net_result(loop, choiri_net_pass(loop, EVLOOP_ONCE, &idle));
    struct timeval after = net_timeval(timeout);
    event_add(&loop->timeout_event, &after);
    int status = choiri_net_pass(loop, EVLOOP_ONCE, &idle);
    event_del(&loop->timeout_event);
    return choiri_net_result(loop, status);
}

void choir_loop_stop(choir_loop *loop) {
    if (loop) loop->stop = true;
}
