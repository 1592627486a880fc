/* SPDX-License-Identifier: MIT */
/* Links that are slow and honest, over TCP with a relay that passes so many bytes at a time: what the kernel
 * has taken is on its way, and must neither look dead nor be cut. Then a program that slept. Reliability
 * cases F23, F26 and F27. */
#include "test_relay.h"

/* A kernel that takes little for the reader, so that the writer's has to keep it. */
static void take_little(int fd) {
    int size = 16384;
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
}

/* One step of the relay for each pause, and a turn of the loop. */
static void step(world *w, relay *r, choir_duration pause) {
    static choir_time next;
    if (clock_now() >= next) {
        relay_step(r);
        next = clock_now() + pause;
    }
    choir_loop_turn(w->loop, CHOIR_MILLISECOND);
}

#define until_relayed(w, r, pause, condition)                                                                \
    for (choir_time relay_end_ = clock_now() + PATIENCE; !(condition);) {                                    \
        cr_assert_lt(clock_now(), relay_end_, "waited for " #condition);                                     \
        step(w, r, pause);                                                                                   \
    }

/* The client's end of the relay takes little as well: its listener says so for what it accepts. */
static void begin(world *w, relay *r, const choir_session_options *session) {
    char url[64];
    world_begin(w);
    w->keep = true;
    w->blob = make_blob(4 * MiB);
    choir_server_options so = server_options(w);
    so.session = session;
    cr_assert_eq(choir_listen(w->loop, urls[0], &so, &w->server), CHOIR_OK);
    *r = (relay){.chunk = 65536, .left = SIZE_MAX};
    relay_begin(r, choir_server_url(w->server), url);
    take_little(r->listener);
    take_little(r->ends[1].in);
    choir_client_options co = client_options(w);
    co.session = session;
    cr_assert_eq(choir_connect(w->loop, url, &co, &w->client), CHOIR_OK);
    until_relayed(w, r, 0, w->opened == 1 && w->sessions_opened == 1);
}

/* 8 MB of answers, then the server closes: they arrive, however long that takes, and so does the end. */
Test(slow, F26_answers_arrive_after_close, .timeout = 90) {
    enum { ANSWERS = 8 };
    world w;
    static relay r;
    begin(&w, &r, NULL);
    for (int i = 0; i < ANSWERS; i++) cr_assert_eq(echo_blob(&w, 1), CHOIR_OK);
    until_relayed(&w, &r, 0, w.kept_len == ANSWERS);
    choir_bytes answer = {w.blob, MiB};
    for (int i = 0; i < ANSWERS; i++) cr_assert_eq(choir_respond(w.kept[i], &answer), CHOIR_OK);
    choir_server_close(w.server);
    choir_time start = clock_now();
    until_relayed(&w, &r, 8 * CHOIR_MILLISECOND, w.closed == 1);
    cr_assert_gt(clock_now() - start, 800 * CHOIR_MILLISECOND, "it was no slow link");
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], ANSWERS, "%s", w.text);
    cr_assert_eq(w.bytes, ANSWERS * MiB);
    relay_end_all(&r);
    until(&w, w.sessions_closed == 1);
    cr_assert_eq(w.ended, ANSWERS);
    world_end(&w);
}

/* The kernel has all of the argument and passes it on slowly: that is no silence. Then the link stops. */
Test(slow, F23_what_the_kernel_passes_on_is_life, .timeout = 90) {
    world w;
    static relay r;
    choir_session_options session;
    choir_session_options_init(&session);
    session.keepalive_busy = 600 * CHOIR_MILLISECOND;
    begin(&w, &r, &session);
    cr_assert_eq(echo_blob(&w, 3 * MiB), CHOIR_OK);
    choir_time start = clock_now();
    until_relayed(&w, &r, 40 * CHOIR_MILLISECOND, w.kept_len == 1 || w.closed == 1);
    cr_assert_eq(w.closed, 0, "%s", w.text);
    cr_assert_gt(clock_now() - start, 1200 * CHOIR_MILLISECOND, "it was no slow link");
    cr_assert_eq(echo_blob(&w, 3 * MiB), CHOIR_OK);
    size_t passed = r.passed;
    until_relayed(&w, &r, 40 * CHOIR_MILLISECOND, r.passed > passed + MiB);
    cr_assert_eq(w.closed, 0);
    until(&w, w.closed == 1);
    cr_assert_eq(w.status, CHOIR_ERR_PEER_UNRESPONSIVE, "%s", w.text);
    relay_end_all(&r);
    until(&w, w.sessions_closed == 1);
    choir_respond_drop(w.kept[0]);
    world_end(&w);
}

/* The program is stopped, and the peer goes away meanwhile: what it calls then has not left. */
Test(slow, F27_a_call_after_a_sleep_is_not_given_to_a_dead_link) {
    world w;
    static relay r;
    begin(&w, &r, NULL);
    relay_cut(&r);
    for (choir_time end = clock_now() + 300 * CHOIR_MILLISECOND; clock_now() < end;) poll(NULL, 0, 10);
    cr_assert_eq(echo_blob(&w, 1), CHOIR_OK);
    until(&w, w.closed == 1);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_SEND_FAILED], 1, "%s", w.text);
    relay_end_all(&r);
    until(&w, w.sessions_closed == 1);
    world_end(&w);
}
