/* SPDX-License-Identifier: MIT */
/* Honest ends on a bad day: slow links, overload, an end in the middle of output, long sleeps. Two sessions
 * of ours over a link that carries so many bytes a second and holds some of them on the way; both ends are
 * looked at. Reliability cases A20, F23 and F25 to F27. */
#include "testing/accounting.h"
#include "testing/pair.h"
#include "testing/trial.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP (10 * CHOIR_MILLISECOND)
#define MBIT 125000u /* bytes per second */

/* ---- a slow link ---- */

/* One direction: takes output while it holds less than `buffer`, as a kernel does, and passes on `rate` bytes
 * a second. */
typedef struct lane {
    test_side *from, *to;
    uint8_t *bytes;         /* what it holds: len bytes from `at` on */
    size_t at, len, buffer; /* at: always less than buffer */
    uint64_t rate;
    bool stopped; /* takes and passes on nothing */
    uint64_t carried;
    choir_time progress; /* the last time that it took or passed on something */
} lane;

typedef struct slow {
    test_pair pair;
    lane up, down; /* from the client, from the server */
} slow;

static void lane_init(lane *l, test_side *from, test_side *to, uint64_t rate, size_t buffer) {
    *l = (lane){.from = from, .to = to, .rate = rate, .buffer = buffer, .bytes = malloc(2 * buffer + 1)};
}

static void take(lane *l) {
    choir_iov iov[16];
    size_t n, taken = 1;
    while (l->from->attachment && taken > 0 && l->len < l->buffer) {
        n = choir_attachment_peek(l->from->attachment, iov, 16);
        taken = 0;
        for (size_t i = 0; i < n && l->len < l->buffer; i++) {
            size_t room = l->buffer - l->len, len = iov[i].len < room ? iov[i].len : room;
            memcpy(l->bytes + l->at + l->len, iov[i].base, len);
            l->len += len;
            taken += len;
        }
        if (taken == 0) return;
        cr_assert_eq(choir_attachment_consume(l->from->attachment, taken, l->from->pair->now), CHOIR_OK);
        l->progress = l->from->pair->now;
        test_side_poll(l->from);
    }
}

static void drop_front(lane *l, size_t len) {
    l->at += len;
    l->len -= len;
    if (l->at < l->buffer) return;
    memmove(l->bytes, l->bytes + l->at, l->len);
    l->at = 0;
}

static void carry(lane *l) {
    if (l->stopped) return;
    take(l);
    choir_attachment *to = l->to->attachment;
    if (l->len == 0 || !to || !(choir_attachment_interest(to) & (CHOIR_WANTS_INPUT | CHOIR_FINISHED))) return;
    size_t len = (size_t)(l->rate / (CHOIR_SECOND / STEP));
    if (len > l->len) len = l->len;
    test_side_feed(l->to, l->bytes + l->at, len);
    drop_front(l, len);
    l->carried += len;
    l->progress = l->from->pair->now;
    if (l->from->attachment) choir_attachment_progress(l->from->attachment, l->progress);
    take(l);
}

static void advance(test_side *side) {
    if (side->attachment) choir_attachment_advance(side->attachment, side->pair->now);
    choir_session_advance(side->session, side->pair->now);
    test_side_poll(side);
}

/* A finished end whose output was carried closes its link. */
static void hang_up(slow *s) {
    if (s->up.len == 0 && s->down.len == 0) test_pair_pump(&s->pair);
}

static void step(slow *s) {
    s->pair.now += STEP;
    carry(&s->up);
    carry(&s->down);
    advance(&s->pair.client);
    advance(&s->pair.server);
    hang_up(s);
}

static void pass(slow *s, choir_duration d) {
    for (choir_time end = s->pair.now + d; s->pair.now < end;) step(s);
}

/* Established over a link of infinite speed; then both lanes have `rate` and `buffer`. */
static void begin(slow *s, uint64_t rate, size_t buffer) {
    memset(s, 0, sizeof *s);
    test_pair *p = &s->pair;
    test_pair_init(p);
    p->client_root.call = p->server_root.call = &trial_service;
    p->client_root.serve = p->server_root.serve = &trial_served;
    p->client_link.max_payload = p->server_link.max_payload = 17u << 20;
    lane_init(&s->up, &p->client, &p->server, rate, buffer);
    lane_init(&s->down, &p->server, &p->client, rate, buffer);
}

static void open_pair(slow *s) {
    cr_assert(test_pair_open(&s->pair));
    cr_assert(choir_session_is_established(s->pair.server.session));
    s->pair.client.hold = s->pair.server.hold = true; /* from here on the lanes carry */
}

static void end(slow *s) {
    test_pair_cut(&s->pair);
    free(s->up.bytes);
    free(s->down.bytes);
    cr_assert_eq(test_pair_deinit(&s->pair), 0);
}

static void expect_alive(const slow *s) {
    const test_side *sides[] = {&s->pair.client, &s->pair.server};
    for (int i = 0; i < 2; i++)
        cr_assert(choir_session_is_established(sides[i]->session), "the %s at %llu ms: %s", sides[i]->name,
                  (unsigned long long)(s->pair.now / CHOIR_MILLISECOND),
                  choir_session_text(sides[i]->session).data);
}

static choir_bytes blob(size_t len) {
    static uint8_t bytes[16u << 20];
    cr_assert_leq(len, sizeof bytes);
    return (choir_bytes){bytes, len};
}

static void echo_bytes(test_side *side, const choir_event *e) {
    if (e->kind == CHOIR_EVENT_REQUEST)
        cr_assert_eq(choir_reply(side->session, e->request, e->value, NULL, side->pair->now), CHOIR_OK);
}

/* ---- F23: a slow but honest link ---- */

static const struct link_case {
    uint64_t rate;
    size_t size, buffer;
} links[] = {
    {MBIT, 1000000, 65536},         /* one that holds little */
    {MBIT, 1000000, 2u << 20},      /* one that takes all of it at once */
    {10 * MBIT, 16u << 20, 262144}, /* and the large one */
    {10 * MBIT, 16u << 20, 17u << 20},
};
enum { LINKS = sizeof links / sizeof *links };

/* There and back again, with keepalive at its defaults, called by either end. */
Test(honest, F23_progress_is_life) {
    for (int i = 0; i < LINKS; i++) {
        for (int caller = 0; caller < 2; caller++) {
            const struct link_case *l = &links[i];
            slow s;
            begin(&s, l->rate, l->buffer);
            open_pair(&s);
            test_side *a = caller ? &s.pair.server : &s.pair.client;
            test_side *b = caller ? &s.pair.client : &s.pair.server;
            a->events.quiet = b->events.quiet = true;
            b->on_event = echo_bytes;
            choir_bytes args = blob(l->size);
            choir_time start = s.pair.now;
            cr_assert_eq(test_side_call(a, TRIAL_ECHO_BYTES, &args, NULL, NULL), CHOIR_OK);
            while (a->events.done == 0) {
                step(&s);
                expect_alive(&s);
                cr_assert_lt(s.pair.now - start, 40 * CHOIR_SECOND);
            }
            cr_assert_eq(a->events.last_outcome, CHOIR_OUTCOME_OK);
            cr_assert_gt(s.pair.now - start, 15 * CHOIR_SECOND, "both ways, one after the other");
            test_check_charges(s.pair.server.session);
            end(&s);
        }
    }
}

/* The link stops in the middle of the argument, or of the answer: its caller finds out within 5 s of the last
 * progress, and not before the other end had its time to answer a ping. */
Test(honest, F23_a_stopped_peer_is_found_5_s_after_the_last_progress) {
    for (int i = 0; i < LINKS; i++) {
        for (int answer = 0; answer < 2; answer++) {
            const struct link_case *l = &links[i];
            slow s;
            begin(&s, l->rate, l->buffer);
            open_pair(&s);
            const test_side *caller = &s.pair.client, *callee = &s.pair.server;
            s.pair.client.events.quiet = s.pair.server.events.quiet = true;
            s.pair.server.on_event = echo_bytes;
            choir_bytes args = blob(l->size);
            cr_assert_eq(test_side_call(&s.pair.client, TRIAL_ECHO_BYTES, &args, NULL, NULL), CHOIR_OK);
            const lane *moving = answer ? &s.down : &s.up;
            while (moving->carried < l->size / 2) step(&s);
            expect_alive(&s);
            s.up.stopped = s.down.stopped = true;
            choir_time last = moving->progress;
            /* A callee waits for its peer while its answer does: not when the link has taken all of it. */
            bool both = answer && l->buffer < l->size;
            while (choir_session_is_established(caller->session) ||
                   (both && choir_session_is_established(callee->session))) {
                step(&s);
                cr_assert_leq(s.pair.now, last + 5 * CHOIR_SECOND + STEP, "link %d, answer %d", i, answer);
            }
            cr_assert_gt(s.pair.now, last + 2 * CHOIR_SECOND);
            cr_assert_eq(choir_session_status(caller->session), CHOIR_ERR_PEER_UNRESPONSIVE);
            if (both) cr_assert_eq(choir_session_status(callee->session), CHOIR_ERR_PEER_UNRESPONSIVE);
            cr_assert_eq(caller->events.done, 1);
            end(&s);
        }
    }
}

/* ---- A20, F25: overload ---- */

/* Of the client's calls by outcome, and of the server's handlers that ran for nothing. */
typedef struct tally {
    uint32_t outcomes[16];
    uint32_t for_nothing;
} tally;

/* Handlers that are too slow: what they hold is dropped when it is cancelled. The others echo at once. */
static void drop_cancelled(test_side *side, const choir_event *e) {
    if (e->kind == CHOIR_EVENT_REQUEST && e->method == TRIAL_ECHO)
        cr_assert_eq(choir_reply(side->session, e->request, e->value, NULL, side->pair->now), CHOIR_OK);
    if (e->kind != CHOIR_EVENT_REQUEST_CANCELLED) return;
    ((tally *)side->ctx)->for_nothing++;
    cr_assert_eq(choir_request_drop(side->session, e->request, NULL, side->pair->now), CHOIR_OK);
}

static void count_outcomes(test_side *side, const choir_event *e) {
    tally *t = side->ctx;
    if (e->kind == CHOIR_EVENT_CALL_DONE) t->outcomes[e->outcome]++;
}

/* Everything is over that was begun, and both ends say so. */
static void expect_settled(test_pair *p) {
    test_pair_sleep(p, CHOIR_SECOND);
    cr_assert(choir_session_is_established(p->client.session) &&
              choir_session_is_established(p->server.session));
    cr_assert_eq(test_events_open_calls(&p->client.events), 0);
    cr_assert_eq(test_events_open_requests(&p->server.events), 0);
    cr_assert_eq(choir_session_held_requests(p->server.session), 0);
    test_check_charges(p->client.session);
    test_check_charges(p->server.session);
    /* A call that takes no time is answered as ever. */
    choir_str text = CHOIR_STR("x");
    p->client.events.last_outcome = 99;
    cr_assert_eq(test_side_call(&p->client, TRIAL_ECHO, &text, NULL, NULL), CHOIR_OK);
    test_pair_sleep(p, 100 * CHOIR_MILLISECOND);
    cr_assert_eq(p->client.events.last_outcome, CHOIR_OUTCOME_OK);
}

static void open_overloaded(test_pair *p, tally *t) {
    test_pair_init(p);
    p->client_root.call = &trial_service;
    p->server_root.serve = &trial_served;
    p->client.events.quiet = p->server.events.quiet = true;
    p->client.on_event = count_outcomes;
    p->client.ctx = p->server.ctx = t;
    p->server.on_event = drop_cancelled;
    *t = (tally){.for_nothing = 0};
    cr_assert(test_pair_open(p));
}

static int call_for(test_pair *p, uint32_t method, const void *args, choir_duration patience) {
    choir_call_options o;
    choir_call_id call;
    choir_call_options_init(&o);
    o.deadline = p->now + patience;
    int status =
        choir_call(p->client.session, choir_session_root(p->client.session), method, args, &o, &call, p->now);
    if (status == CHOIR_OK) test_events_call(&p->client.events, call);
    return status;
}

/* 64 calls in flight towards a callee that answers none of them within their 20 ms, for a minute. */
Test(honest, A20_64_in_flight_with_deadlines_of_20_ms_for_60_s) {
    test_pair p;
    tally t;
    open_overloaded(&p, &t);
    uint32_t made = 0, number = 5;
    for (choir_time stop = p.now + 60 * CHOIR_SECOND; p.now < stop;) {
        while (test_events_open_calls(&p.client.events) < 64) {
            cr_assert_eq(call_for(&p, TRIAL_LATER, &number, 20 * CHOIR_MILLISECOND), CHOIR_OK);
            made++;
        }
        test_pair_sleep(&p, 5 * CHOIR_MILLISECOND);
        cr_assert(choir_session_is_established(p.client.session), "%s", p.client.events.last_text);
        cr_assert(choir_session_is_established(p.server.session), "%s", p.server.events.last_text);
    }
    printf("%u calls, %u handlers started, %u timed out, %u were sent away\n", made, p.server.events.started,
           t.outcomes[CHOIR_OUTCOME_TIMED_OUT], t.outcomes[CHOIR_OUTCOME_SEND_FAILED]);
    cr_assert_geq(made, 60 * 40 * 64, "it is the deadline that ends them");
    cr_assert_leq(p.server.events.started, 1000 + 60 * 100);
    cr_assert_geq(p.server.events.started, 60 * 100);
    expect_settled(&p);
    cr_assert_eq(t.outcomes[CHOIR_OUTCOME_TIMED_OUT] + t.outcomes[CHOIR_OUTCOME_SEND_FAILED], made);
    cr_assert_eq(test_pair_deinit(&p), 0);
}

/* 300 calls a second time out, or 3 in 100 of 5,000 whose others are answered at once. Nobody's session ends,
 * and no more handlers run for nothing than may: the caller goes slower. */
static void time_out(uint32_t rate, uint32_t slow_one_in) {
    test_pair p;
    tally t;
    open_overloaded(&p, &t);
    uint32_t made = 0, blocked = 0, number = 5;
    choir_str text = CHOIR_STR("x");
    choir_time start = p.now;
    for (uint32_t i = 0; i < 60 * rate; i++) {
        bool late = i % slow_one_in == 0;
        int status = call_for(&p, late ? TRIAL_LATER : TRIAL_ECHO, late ? (void *)&number : (void *)&text,
                              20 * CHOIR_MILLISECOND);
        cr_assert(status == CHOIR_OK || status == CHOIR_ERR_BLOCKED);
        status == CHOIR_OK ? made++ : blocked++;
        test_pair_sleep(&p, start + (choir_duration)(i + 1) * CHOIR_SECOND / rate - p.now);
        if (i % rate != 0) continue;
        cr_assert(choir_session_is_established(p.client.session), "%s", p.client.events.last_text);
        cr_assert(choir_session_is_established(p.server.session), "%s", p.server.events.last_text);
    }
    printf("%u calls: %u answered, %u timed out, %u were sent away, %u blocked; %u ran for nothing\n", made,
           t.outcomes[CHOIR_OUTCOME_OK], t.outcomes[CHOIR_OUTCOME_TIMED_OUT],
           t.outcomes[CHOIR_OUTCOME_SEND_FAILED], blocked, t.for_nothing);
    cr_assert_leq(t.for_nothing, 1000 + 60 * 100, "the caller is slowed down");
    cr_assert_geq(t.for_nothing, 60 * 100);
    cr_assert_eq(p.client.events.done, made - (uint32_t)test_events_open_calls(&p.client.events));
    expect_settled(&p);
    cr_assert_eq(test_pair_deinit(&p), 0);
}

Test(honest, F25_300_timeouts_a_second) {
    time_out(300, 1);
}
Test(honest, F25_3_in_100_of_5000_calls_a_second_time_out) {
    time_out(5000, 33);
}

/* ---- F26: close with much to say ---- */

enum { ANSWERS = 8, ANSWER = 1000000 };

/* Holds requests and remembers how they ended. */
typedef struct holder {
    choir_request_id ids[ANSWERS];
    uint32_t held, ok, not_ok;
    const lane *down;
    uint64_t left[ANSWERS]; /* bytes that the link had taken when the n-th ended well */
} holder;

static void hold(test_side *side, const choir_event *e) {
    holder *h = side->ctx;
    if (e->kind == CHOIR_EVENT_REQUEST) h->ids[h->held++] = e->request;
    if (e->kind != CHOIR_EVENT_REQUEST_DONE) return;
    if (e->outcome == CHOIR_OUTCOME_OK)
        h->left[h->ok++] = h->down->carried + h->down->len;
    else
        h->not_ok++;
}

/* 8 MB are answered, then the server closes: a link of 32 Mbit/s needs two seconds for them. */
static void close_with_output(slow *s, holder *h, tally *t) {
    begin(s, 32 * MBIT, 65536);
    *h = (holder){.down = &s->down};
    *t = (tally){.for_nothing = 0};
    s->pair.client.events.quiet = s->pair.server.events.quiet = true;
    s->pair.client.on_event = count_outcomes;
    s->pair.client.ctx = t;
    s->pair.server.on_event = hold;
    s->pair.server.ctx = h;
    open_pair(s);
    choir_bytes little = blob(1), much = blob(ANSWER);
    for (int i = 0; i < ANSWERS; i++)
        cr_assert_eq(test_side_call(&s->pair.client, TRIAL_ECHO_BYTES, &little, NULL, NULL), CHOIR_OK);
    pass(s, 100 * CHOIR_MILLISECOND);
    cr_assert_eq(h->held, ANSWERS);
    for (int i = 0; i < ANSWERS; i++)
        cr_assert_eq(choir_reply(s->pair.server.session, h->ids[i], &much, NULL, s->pair.now), CHOIR_OK);
    test_side_poll(&s->pair.server);
    cr_assert_eq(h->ok, 0, "nothing has left yet");
    choir_session_close(s->pair.server.session, s->pair.now);
    test_side_poll(&s->pair.server);
}

Test(honest, F26_what_was_answered_arrives_after_close) {
    slow s;
    holder h;
    tally t;
    close_with_output(&s, &h, &t);
    choir_time start = s.pair.now;
    while (!s.pair.client.events.closed) {
        step(&s);
        cr_assert_lt(s.pair.now - start, 4 * CHOIR_SECOND);
    }
    cr_assert_gt(s.pair.now - start, 19 * CHOIR_SECOND / 10);
    cr_assert_eq(t.outcomes[CHOIR_OUTCOME_OK], ANSWERS);
    cr_assert(h.ok == ANSWERS && h.not_ok == 0);
    for (uint64_t i = 0; i < ANSWERS; i++) cr_assert_geq(h.left[i], (i + 1) * ANSWER, "said before it left");
    cr_assert(s.pair.server.events.closed);
    end(&s);
}

/* The link is lost on the way: what had left was said to be ok, the rest not. */
Test(honest, F26_what_did_not_leave_is_not_said_to_have_ended_well) {
    slow s;
    holder h;
    tally t;
    close_with_output(&s, &h, &t);
    pass(&s, CHOIR_SECOND);
    uint64_t taken = s.down.carried + s.down.len;
    test_pair_cut(&s.pair);
    cr_assert_eq(h.ok, taken / (ANSWER + 16));
    cr_assert_eq(h.ok + h.not_ok, ANSWERS);
    cr_assert(h.ok > 0 && h.not_ok > 0);
    cr_assert_leq(t.outcomes[CHOIR_OUTCOME_OK], h.ok);
    cr_assert_eq(t.outcomes[CHOIR_OUTCOME_OK] + t.outcomes[CHOIR_OUTCOME_CONNECTION_CLOSED], ANSWERS);
    end(&s);
}

/* ---- F27: sleep ---- */

/* The program sleeps 17 s, the machine an hour, with nothing or a call in flight; whatever is done first
 * afterwards, the session lives and the next call runs. */
Test(honest, F27_after_a_sleep_the_next_call_runs) {
    static const choir_duration naps[] = {17 * CHOIR_SECOND, 3600 * CHOIR_SECOND};
    for (int i = 0; i < 16; i++) {
        test_pair p;
        tally t;
        open_overloaded(&p, &t);
        uint32_t number = 5;
        choir_str text = CHOIR_STR("x");
        if (i & 2) cr_assert_eq(test_side_call(&p.client, TRIAL_LATER, &number, NULL, NULL), CHOIR_OK);
        test_pair_sleep(&p, CHOIR_SECOND);
        p.now += naps[i & 1];
        test_side *first = i & 4 ? &p.server : &p.client;
        if (i & 8) {
            choir_attachment_advance(first->attachment, p.now);
            choir_session_advance(first->session, p.now);
            test_side_poll(first);
        }
        cr_assert_eq(test_side_call(&p.client, TRIAL_ECHO, &text, NULL, NULL), CHOIR_OK);
        test_pair_sleep(&p, 100 * CHOIR_MILLISECOND);
        cr_assert_eq(t.outcomes[CHOIR_OUTCOME_OK], 1, "case %d: %s", i, p.client.events.last_text);
        cr_assert(choir_session_is_established(p.server.session));
        /* And from here on silence is found as ever. */
        p.client.hold = p.server.hold = true;
        cr_assert_eq(test_side_call(&p.client, TRIAL_ECHO, &text, NULL, NULL), CHOIR_OK);
        test_pair_sleep(&p, 5 * CHOIR_SECOND);
        cr_assert_eq(choir_session_status(p.client.session), CHOIR_ERR_PEER_UNRESPONSIVE);
        test_pair_cut(&p);
        cr_assert_eq(test_pair_deinit(&p), 0);
    }
}

/* How many calls among the frames in these bytes are whole. */
static uint32_t count_whole(const lane *l, size_t size) {
    uint32_t whole = 0;
    for (size_t at = 0; at + 4 <= l->len;) { /* nothing was carried: it begins with a frame */
        size_t len = l->bytes[at] | (size_t)l->bytes[at + 1] << 8 | (size_t)l->bytes[at + 2] << 16 |
                     (size_t)l->bytes[at + 3] << 24;
        at += 4 + len;
        whole += at <= l->len && len >= size; /* cancels are shorter */
    }
    return whole;
}

/* Of 40 calls the link takes some bytes, then the program sleeps for 17 s and the link is gone. Those whose
 * last byte it did not take surely never ran, whether they lie in the link's queue or their connection's. */
static void cut_after(size_t size, size_t taken, bool cancel_some) {
    enum { CALLS = 40 };
    slow s;
    tally t = {.for_nothing = 0};
    begin(&s, MBIT, taken + 1);
    s.up.buffer = taken;
    s.pair.client.events.quiet = true;
    s.pair.client.on_event = count_outcomes;
    s.pair.client.ctx = &t;
    open_pair(&s);
    choir_bytes args = blob(size);
    uint32_t cancelled = 0;
    for (int i = 0; i < CALLS; i++) {
        choir_call_id id;
        cr_assert_eq(test_side_call(&s.pair.client, TRIAL_ECHO_BYTES, &args, NULL, &id), CHOIR_OK);
        if (!cancel_some || i < CALLS / 2 || i % 5 != 0) continue;
        cr_assert_eq(choir_cancel(s.pair.client.session, id, NULL, s.pair.now), CHOIR_OK);
        cancelled++;
    }
    test_side_poll(&s.pair.client);
    take(&s.up);
    uint32_t left = count_whole(&s.up, size);
    s.pair.now += 17 * CHOIR_SECOND;
    test_pair_cut(&s.pair);
    cr_assert_eq(t.outcomes[CHOIR_OUTCOME_CANCELLED], cancelled);
    cr_assert_eq(t.outcomes[CHOIR_OUTCOME_CONNECTION_CLOSED], left,
                 "%zu bytes each, %zu taken: %u left, not %u", size, taken, left,
                 t.outcomes[CHOIR_OUTCOME_CONNECTION_CLOSED]);
    cr_assert_eq(t.outcomes[CHOIR_OUTCOME_SEND_FAILED], CALLS - cancelled - left);
    end(&s);
}

Test(honest, F27_what_never_left_surely_never_ran) {
    static const size_t sizes[] = {100, 3000, 20000};
    for (int i = 0; i < 3; i++) {
        for (size_t taken = 0; taken < 20 * sizes[i]; taken += sizes[i] / 3) {
            cut_after(sizes[i], taken, false);
            cut_after(sizes[i], taken, true);
        }
    }
}
