/* SPDX-License-Identifier: MIT */
/* What a loop does for its users: functions that other threads have run, and timers. */
#include "test_world.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- posts ---- */

typedef struct posting {
    choir_poster *poster;
    choir_loop *loop;
    pthread_t thread;
    uint32_t ran, dropped;     /* on the loop's thread */
    _Atomic uint32_t accepted; /* by choir_poster_post */
    uint32_t last[4];          /* number of each thread's last post that ran */
} posting;

enum { THREADS = 4, POSTS = 5000 };

typedef struct numbered {
    posting *of;
    uint32_t thread, number;
} numbered;

static void on_post(void *ctx, choir_loop *loop) {
    numbered *n = ctx;
    posting *p = n->of;
    if (loop) {
        cr_assert_eq(loop, p->loop);
        cr_assert(pthread_equal(pthread_self(), p->thread));
        cr_assert_eq(choir_loop_turn(loop, 0), CHOIR_ERR_REENTRANT);
        p->ran++;
    } else {
        p->dropped++;
    }
    cr_assert_eq(n->number, p->last[n->thread] + 1, "posts of one thread keep their order");
    p->last[n->thread] = n->number;
    free(n);
}

typedef struct worker {
    posting *of;
    uint32_t number;
    pthread_t thread;
} worker;

static void *post_many(void *arg) {
    worker *w = arg;
    posting *p = w->of;
    choir_poster *own = choir_poster_retain(p->poster);
    for (uint32_t i = 1; i <= POSTS; i++) {
        numbered *n = malloc(sizeof *n);
        *n = (numbered){p, w->number, i};
        int status = choir_poster_post(own, on_post, n);
        if (status == CHOIR_OK) {
            atomic_fetch_add(&p->accepted, 1);
            continue;
        }
        free(n);
        if (status != CHOIR_ERR_CLOSED) return arg;
        break;
    }
    choir_poster_release(own);
    return NULL;
}

static void start(posting *p, worker workers[THREADS]) {
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.of = p, .number = i};
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, post_many, &workers[i]), 0);
    }
}

static void join_all(worker workers[THREADS]) {
    for (uint32_t i = 0; i < THREADS; i++) {
        void *wrong;
        cr_assert_eq(pthread_join(workers[i].thread, &wrong), 0);
        cr_assert_null(wrong);
    }
}

static void begin(world *w, posting *p) {
    world_begin(w);
    *p = (posting){.loop = w->loop, .thread = pthread_self()};
    cr_assert_not_null(p->poster = choir_loop_poster(w->loop));
}

Test(loop, posts_of_many_threads) {
    world w;
    posting p;
    worker workers[THREADS];
    begin(&w, &p);
    start(&p, workers);
    until(&w, p.ran == THREADS * POSTS);
    join_all(workers);
    cr_assert_eq(atomic_load(&p.accepted), p.ran);
    choir_poster_release(p.poster);
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK, "the loop is idle when nobody can post any more");
    world_end(&w);
}

/* The loop goes at any moment: what was accepted runs exactly once, what comes later is refused. */
Test(loop, freed_while_threads_post) {
    for (int round = 0; round < 20; round++) {
        world w;
        posting p;
        worker workers[THREADS];
        begin(&w, &p);
        start(&p, workers);
        until(&w, p.ran >= (uint32_t)round * 100);
        choir_loop_free(w.loop);
        uint32_t after = p.ran + p.dropped;
        join_all(workers);
        cr_assert_eq(p.ran + p.dropped, after, "nothing runs when the loop is gone");
        cr_assert_eq(atomic_load(&p.accepted), after);
        cr_assert_eq(choir_poster_post(p.poster, on_post, NULL), CHOIR_ERR_CLOSED);
        choir_poster_release(p.poster);
        cr_assert_eq(w.memory.bytes, 0);
        cr_assert_eq(open_fds(), w.fds);
    }
}

/* The last reference is dropped by another thread, which the loop waits for; and a loop can have a poster
 * again. */
static void *release_later(void *arg) {
    posting *p = arg;
    while (!atomic_load(&p->accepted)) continue;
    choir_poster_release(p->poster);
    return NULL;
}

static void allow(void *ctx, choir_loop *loop) {
    (void)loop;
    atomic_store(&((posting *)ctx)->accepted, 1);
}

Test(loop, last_reference_lets_the_loop_end) {
    world w;
    posting p;
    begin(&w, &p);
    for (int again = 0; again < 3; again++) {
        pthread_t thread;
        atomic_store(&p.accepted, 0);
        if (again) cr_assert_not_null(p.poster = choir_loop_poster(w.loop));
        cr_assert_eq(pthread_create(&thread, NULL, release_later, &p), 0);
        cr_assert_eq(choir_poster_post(p.poster, allow, &p), CHOIR_OK);
        cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
    choir_poster *kept = choir_loop_poster(w.loop);
    choir_poster_release(choir_poster_retain(kept));
    cr_assert_eq(choir_poster_post(NULL, allow, &p), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_poster_post(kept, NULL, &p), CHOIR_ERR_INVALID);
    cr_assert_null(choir_loop_poster(NULL));
    choir_poster_release(kept);
    choir_poster_release(NULL);
    world_end(&w);
}

/* A worker thread makes the answer, and the loop sends it. */
typedef struct job {
    world *w;
    choir_poster *poster;
    choir_responder to;
    const struct testbed_echo_args *args;
    int status;
} job;

static void answer(void *ctx, choir_loop *loop) {
    job *j = ctx;
    cr_assert_not_null(loop);
    j->status = choir_respond(j->to, &j->args->message);
}

static void *work(void *arg) {
    job *j = arg;
    if (memcmp(j->args->message.data, "hello", 5) != 0) return arg;
    return choir_poster_post(j->poster, answer, j) == CHOIR_OK ? NULL : arg;
}

static void answered_by_a_thread(world *w, const char *url) {
    world_open(w, url);
    w->keep = true;
    job j = {.w = w, .status = 1};
    cr_assert_not_null(j.poster = choir_loop_poster(w->loop));
    echo(w);
    until(w, w->kept_len == 1);
    j.to = w->kept[0];
    j.args = w->kept_args[0];
    pthread_t thread;
    void *wrong;
    cr_assert_eq(pthread_create(&thread, NULL, work, &j), 0);
    until(w, w->done == 1);
    cr_assert_eq(pthread_join(thread, &wrong), 0);
    cr_assert_null(wrong);
    cr_assert_eq(j.status, CHOIR_OK);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], 1);
    choir_poster_release(j.poster);
    world_end(w);
}
Test(loop, answered_by_a_thread) {
    on_each(answered_by_a_thread);
}

/* ---- timers ---- */

typedef struct tick {
    world *w;
    choir_loop_timer *timer;
    choir_time set_to, fired_at;
    uint32_t fired, again; /* how often it sets itself again */
    bool frees;
} tick;

static void on_tick(void *ctx, choir_loop_timer *timer) {
    tick *t = ctx;
    cr_assert_eq(timer, t->timer);
    t->fired_at = choir_loop_now(t->w->loop);
    cr_assert_geq(t->fired_at, t->set_to, "too early");
    t->fired++;
    if (t->frees) {
        choir_loop_timer_free(timer);
        t->timer = NULL;
    } else if (t->again > 0) {
        t->again--;
        choir_loop_timer_set(timer, 0); /* long due: with the next turn, not in this one for ever */
    }
}

static void set(tick *t, choir_duration in) {
    t->set_to = choir_loop_now(t->w->loop) + in;
    choir_loop_timer_set(t->timer, t->set_to);
}

static void tick_begin(tick *t, world *w) {
    *t = (tick){.w = w};
    cr_assert_eq(choir_loop_timer_new(w->loop, on_tick, t, &t->timer), CHOIR_OK);
}

Test(loop, timer_fires_once) {
    world w;
    tick t;
    world_begin(&w);
    tick_begin(&t, &w);
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK, "a timer that is not set keeps nobody");
    set(&t, 5 * CHOIR_MILLISECOND);
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK);
    cr_assert_eq(t.fired, 1);
    /* Moved later, earlier, and away. */
    set(&t, CHOIR_MILLISECOND);
    set(&t, 3 * CHOIR_MILLISECOND);
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK);
    cr_assert_eq(t.fired, 2);
    set(&t, 3600 * CHOIR_SECOND);
    set(&t, CHOIR_MILLISECOND);
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK);
    cr_assert_eq(t.fired, 3);
    set(&t, 3600 * CHOIR_SECOND);
    choir_loop_turn(w.loop, 0);
    choir_loop_timer_set(t.timer, CHOIR_TIME_NEVER);
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK);
    cr_assert_eq(t.fired, 3);
    choir_loop_timer_free(t.timer);
    choir_loop_timer_free(NULL);
    choir_loop_timer_set(NULL, 0);
    world_end(&w);
}

Test(loop, timer_in_its_own_callback) {
    world w;
    tick t;
    world_begin(&w);
    tick_begin(&t, &w);
    t.again = 100;
    set(&t, 0);
    t.set_to = 0;
    cr_assert_eq(choir_loop_turn(w.loop, PATIENCE), CHOIR_OK);
    cr_assert_leq(t.fired, 1, "one turn, one call");
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK);
    cr_assert_eq(t.fired, 101);
    t.frees = true;
    set(&t, 0);
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK);
    cr_assert_eq(t.fired, 102);
    cr_assert_null(t.timer);
    world_end(&w);
}

Test(loop, timers_in_order_beside_sessions) {
    enum { TIMERS = 200 };
    world w;
    static tick t[TIMERS];
    world_open(&w, urls[0]);
    for (uint32_t i = 0; i < TIMERS; i++) {
        tick_begin(&t[i], &w);
        set(&t[i], (i * 7919 % TIMERS) * 100 * CHOIR_MICROSECOND);
        echo(&w);
    }
    uint32_t fired = 0;
    while (fired < TIMERS) {
        choir_loop_turn(w.loop, PATIENCE);
        fired = 0;
        for (uint32_t i = 0; i < TIMERS; i++) fired += t[i].fired;
    }
    for (uint32_t i = 0; i < TIMERS; i++)
        for (uint32_t k = 0; k < i; k++)
            if (t[i].set_to < t[k].set_to) cr_assert_leq(t[i].fired_at, t[k].fired_at);
    until(&w, w.done == TIMERS);
    set(&t[0], 3600 * CHOIR_SECOND); /* it and the others go with the loop */
    world_end(&w);
    for (uint32_t i = 0; i < TIMERS; i++) cr_assert_eq(t[i].fired, 1);
}

Test(loop, services_without_memory) {
    for (uint64_t n = 1; n < 8; n++) {
        world w;
        choir_loop_timer *timers[20] = {NULL};
        world_begin(&w);
        w.memory.fail_at = w.memory.calls + n;
        for (int i = 0; i < 20; i++) {
            int status = choir_loop_timer_new(w.loop, on_tick, NULL, &timers[i]);
            cr_assert(status == CHOIR_OK || (status == CHOIR_ERR_NO_MEMORY && !timers[i]));
        }
        cr_assert_eq(w.memory.failed, 1);
        world_end(&w);
    }
}

/* ---- the end of everything ---- */

static void on_over(void *ctx, choir_loop *loop) {
    world *w = ctx;
    cr_assert_eq(loop, w->loop);
    cr_assert_eq(choir_server_sessions(w->server), 0);
    cr_assert_eq(w->closed, 1);
    w->result++;
    choir_loop_stop(loop);
}

static void close_everything(world *w, const char *url) {
    world_open(w, url);
    echo(w);
    until(w, w->done == 1);
    w->result = 0;
    cr_assert_eq(choir_loop_close(w->loop, NULL, w), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_loop_close(w->loop, on_over, w), CHOIR_OK);
    cr_assert_eq(choir_loop_close(w->loop, on_over, w), CHOIR_ERR_BUSY);
    cr_assert_eq(w->result, 0, "not inside the call");
    cr_assert_eq(choir_loop_run(w->loop), CHOIR_OK);
    cr_assert_eq(w->result, 1);
    cr_assert_eq(try_echo(w, NULL), CHOIR_ERR_CLOSED);
    world_end(w);
}
Test(loop, closes_everything) {
    on_each(close_everything);
}

/* A handler that still holds a request holds up the end. */
Test(loop, closes_when_handlers_have_let_go) {
    world w;
    world_open(&w, "tcp://127.0.0.1:0");
    w.keep = true;
    echo(&w);
    until(&w, w.kept_len == 1);
    w.result = 0;
    cr_assert_eq(choir_loop_close(w.loop, on_over, &w), CHOIR_OK);
    until(&w, w.closed == 1 && w.sessions_closed == 1);
    turn_for(&w, 20 * CHOIR_MILLISECOND);
    cr_assert_eq(w.result, 0);
    choir_respond_drop(w.kept[0]);
    until(&w, w.result == 1);
    world_end(&w);
}

static void count_over(void *ctx, choir_loop *loop) {
    (void)loop;
    ++*(int *)ctx;
}

Test(loop, closes_nothing) {
    world w;
    int over = 0;
    world_begin(&w);
    for (int i = 1; i <= 2; i++) {
        cr_assert_eq(choir_loop_close(w.loop, count_over, &over), CHOIR_OK);
        until(&w, over == i);
    }
    cr_assert_eq(choir_loop_close(w.loop, count_over, &over), CHOIR_OK);
    world_end(&w);
    cr_assert_eq(over, 2, "a loop that is freed tells nobody");
}

/* ---- the log function ---- */

/* What it writes to standard error. */
static const char *logged(char *line, size_t size, uint32_t level, const char *area, choir_str text) {
    int ends[2], saved = dup(STDERR_FILENO);
    cr_assert(saved >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    choir_log_to_stderr(NULL, level, area, text);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t n = read(ends[0], line, size - 1);
    close(ends[0]);
    line[n > 0 ? n : 0] = '\0';
    return line;
}

Test(loop, log_to_stderr) {
    char line[2048], many[3000];
    memset(many, 'x', sizeof many);
    cr_expect_str_eq(logged(line, sizeof line, CHOIR_LOG_WARNING, "net", CHOIR_STR("no handlers")),
                     "warning: net: no handlers\n");
    cr_expect_str_eq(logged(line, sizeof line, CHOIR_LOG_ERROR, "rpc", CHOIR_STR("")), "error: rpc: \n");
    cr_expect_str_eq(logged(line, sizeof line, 99, NULL, CHOIR_STR("a\nb\x1b[2J\0\xc2\x9b\x7f~")),
                     "log: : a\\x0ab\\x1b[2J\\x00\\xc2\\x9b\\x7f~\n");
    logged(line, sizeof line, CHOIR_LOG_DEBUG, "net", (choir_str){many, sizeof many});
    cr_expect(strlen(line) <= 1000 && strlen(line) > 980 && strcmp(line + strlen(line) - 4, "...\n") == 0);
    memset(many, '\n', sizeof many);
    many[2000] = '\0';
    logged(line, sizeof line, CHOIR_LOG_INFO, many, (choir_str){many, sizeof many});
    cr_expect(strlen(line) <= 1000 && strcmp(line + strlen(line) - 4, "...\n") == 0);

    /* As the log of a loop. */
    choir_loop *loop;
    choir_loop_options options;
    choir_env_options env;
    choir_loop_options_init(&options);
    choir_env_options_init(&env);
    env.log = choir_log_to_stderr;
    options.env = &env;
    cr_assert_eq(choir_loop_new(&options, &loop), CHOIR_OK);
    choir_loop_free(loop);
}
