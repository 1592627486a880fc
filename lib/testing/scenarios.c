/* SPDX-License-Identifier: MIT */
/* The server's handlers answer at once, except for `later` and `keep`, which wait until the scenario says so.
 * Whatever a function answers that is not OK becomes a line of the event list, so that nothing fails
 * unseen. */
#include "testing/scenarios.h"

#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 64u

typedef struct world {
    choir_request_id waiting[WAITING_MAX]; /* requests that their handlers still hold */
    uint32_t waiting_len;
    const choir_str *again; /* what the client calls echo with when it becomes writable */
    bool show_metadata;
} world;

static world *world_of(test_side *side) {
    return side->ctx;
}

static void note_status(test_side *side, const char *what, int status) {
    if (status != CHOIR_OK) test_events_note(&side->events, "%s %s", what, choir_status_name(status));
}

/* ---- handlers ---- */

/* An answer that cannot be made for want of memory must not leave its caller waiting. */
static void after_answer(test_side *side, choir_request_id id, int status) {
    note_status(side, "reply", status);
    if (status == CHOIR_ERR_NO_MEMORY)
        note_status(side, "drop", choir_request_drop(side->session, id, NULL, side->pair->now));
}

static void reply(test_side *side, choir_request_id id, const void *value) {
    after_answer(side, id, choir_reply(side->session, id, value, NULL, side->pair->now));
}

static void reply_error(test_side *side, choir_request_id id, uint32_t tag) {
    trial_error error = {tag};
    after_answer(side, id, choir_reply_error(side->session, id, &error, NULL, side->pair->now));
}

static void divide(test_side *side, const choir_event *e) {
    const trial_divide_args *args = e->value;
    if (args->divisor == 0) {
        reply_error(side, e->request, TRIAL_DIVISION_BY_ZERO);
        return;
    }
    int64_t result = args->dividend / args->divisor;
    reply(side, e->request, &result);
}

static void lookup(test_side *side, const choir_event *e) {
    uint32_t id = *(const uint32_t *)e->value;
    if (id >= 100) {
        reply_error(side, e->request, id < 200 ? TRIAL_ACCESS_DENIED : TRIAL_NOT_FOUND);
        return;
    }
    trial_person person = {CHOIR_STR("Alice"), 30, {true, CHOIR_STR("alice@example.com")}};
    reply(side, e->request, &person);
}

static void show_metadata(test_side *side, choir_metadata list) {
    choir_metadata_entry e;
    while (choir_metadata_next(&list, &e)) {
        if (e.type == CHOIR_METADATA_U64)
            test_events_note(&side->events, "  %.*s = %llu flags %llu", (int)e.key.len, e.key.data,
                             (unsigned long long)e.u64, (unsigned long long)e.flags);
        else
            test_events_note(&side->events, "  %.*s = %.*s flags %llu", (int)e.key.len, e.key.data,
                             (int)e.bytes.len, (const char *)e.bytes.data, (unsigned long long)e.flags);
    }
}

static void serve(test_side *side, const choir_event *e) {
    world *w = world_of(side);
    if (w->show_metadata) show_metadata(side, e->metadata);
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    switch (e->method) {
    case TRIAL_ECHO:
    case TRIAL_ECHO_BYTES: reply(side, e->request, e->value); break;
    case TRIAL_DIVIDE: divide(side, e); break;
    case TRIAL_LOOKUP: lookup(side, e); break;
    case TRIAL_NOTHING: reply(side, e->request, NULL); break;
    default:
        if (w->waiting_len < WAITING_MAX) w->waiting[w->waiting_len++] = e->request;
        break;
    }
}

static void call_again(test_side *side, const choir_event *e) {
    world *w = world_of(side);
    if (w->show_metadata) show_metadata(side, e->metadata);
    if (e->kind != CHOIR_EVENT_CONN_WRITABLE || !w->again) return;
    test_side_call(side, TRIAL_ECHO, w->again, NULL, NULL);
}

/* The handler that has waited longest answers with this number. */
static void answer(test_pair *p, uint32_t number) {
    world *w = world_of(&p->server);
    if (w->waiting_len == 0) return;
    choir_request_id id = w->waiting[0];
    memmove(w->waiting, w->waiting + 1, --w->waiting_len * sizeof w->waiting[0]);
    reply(&p->server, id, &number);
    test_pair_pump(p);
}

static void drop(test_pair *p) {
    world *w = world_of(&p->server);
    if (w->waiting_len == 0) return;
    note_status(&p->server, "drop",
                choir_request_drop(p->server.session, w->waiting[--w->waiting_len], NULL, p->now));
    test_pair_pump(p);
}

static void echo(test_pair *p, const char *text) {
    choir_str s = {text, strlen(text)};
    test_side_call(&p->client, TRIAL_ECHO, &s, NULL, NULL);
}

static choir_call_id call_number(test_pair *p, uint32_t method, uint32_t number, choir_time deadline) {
    choir_call_id call = {0};
    choir_call_options o;
    choir_call_options_init(&o);
    o.deadline = deadline;
    test_side_call(&p->client, method, &number, &o, &call);
    return call;
}

static choir_call_id later(test_pair *p, uint32_t number) {
    return call_number(p, TRIAL_LATER, number, CHOIR_TIME_NEVER);
}

static void cancel(test_pair *p, choir_call_id call) {
    note_status(&p->client, "cancel", choir_cancel(p->client.session, call, NULL, p->now));
}

/* ---- conversations ---- */

static void do_nothing(test_pair *p) {
    (void)p;
}

static void do_echo(test_pair *p) {
    echo(p, "a");
    echo(p, "b");
    test_pair_pump(p);
    echo(p, "a text that is longer than the hex digits");
    test_side_call(&p->client, TRIAL_NOTHING, NULL, NULL, NULL);
    test_pair_pump(p);
}

static void do_error(test_pair *p) {
    trial_divide_args args = {7, -2};
    test_side_call(&p->client, TRIAL_DIVIDE, &args, NULL, NULL);
    test_pair_pump(p);
    args.divisor = 0;
    test_side_call(&p->client, TRIAL_DIVIDE, &args, NULL, NULL);
    test_pair_pump(p);
    call_number(p, TRIAL_LOOKUP, 150, CHOIR_TIME_NEVER);
    call_number(p, TRIAL_LOOKUP, 1, CHOIR_TIME_NEVER);
    test_pair_pump(p);
}

static void do_unknown(test_pair *p) {
    choir_str s = CHOIR_STR("x");
    test_side_call(&p->client, TRIAL_ABSENT, &s, NULL, NULL);
    test_side_call(&p->client, TRIAL_ABSENT, &s, NULL, NULL);
    test_pair_pump(p);
    echo(p, "still here");
    test_pair_pump(p);
}

static void set_other(test_pair *p) {
    p->client_root.call = &trial_other;
}

/* Both other layouts: the server refuses the arguments, the client the answer. */
static void do_other_layouts(test_pair *p) {
    call_number(p, TRIAL_OTHER_ECHO, 5, CHOIR_TIME_NEVER);
    test_pair_pump(p);
    call_number(p, TRIAL_OTHER_LOOKUP, 1, CHOIR_TIME_NEVER);
    test_pair_pump(p);
    call_number(p, TRIAL_OTHER_LOOKUP, 150, CHOIR_TIME_NEVER);
    test_pair_pump(p);
}

static void set_one_request(test_pair *p) {
    p->server_root.max_concurrent_requests = 1;
}

static void do_cancel_queued(test_pair *p) {
    later(p, 1);
    choir_call_id queued = later(p, 2);
    test_pair_pump(p);
    cancel(p, queued);
    test_pair_pump(p);
    answer(p, 10);
}

static void do_cancel_running(test_pair *p) {
    choir_call_id call = later(p, 1);
    test_pair_pump(p);
    cancel(p, call);
    cancel(p, call);
    test_pair_pump(p);
    answer(p, 10);
    echo(p, "x");
    test_pair_pump(p);
}

/* The answer is on its way when the call is cancelled: nobody minds. */
static void do_cancel_answered(test_pair *p) {
    choir_call_id call = later(p, 1);
    test_pair_pump(p);
    p->server.hold = true;
    answer(p, 10);
    cancel(p, call);
    test_pair_pump(p);
    p->server.hold = false;
    test_pair_pump(p);
    cancel(p, call);
}

static void do_persist(test_pair *p) {
    choir_call_id call = call_number(p, TRIAL_KEEP, 1, CHOIR_TIME_NEVER);
    test_pair_pump(p);
    cancel(p, call);
    test_pair_pump(p);
    answer(p, 10);
}

static void do_deadline_silent(test_pair *p) {
    p->server.hold = true;
    call_number(p, TRIAL_LOOKUP, 1, p->now + 100 * CHOIR_MILLISECOND);
    test_pair_pump(p);
    test_pair_sleep(p, 200 * CHOIR_MILLISECOND);
    p->server.hold = false;
    test_pair_pump(p);
    call_number(p, TRIAL_LOOKUP, 1, p->now + 100 * CHOIR_MILLISECOND);
    test_pair_pump(p);
    test_pair_sleep(p, 200 * CHOIR_MILLISECOND);
}

static void do_deadline_queued(test_pair *p) {
    later(p, 1);
    call_number(p, TRIAL_LATER, 2, p->now + 100 * CHOIR_MILLISECOND);
    test_pair_pump(p);
    test_pair_sleep(p, 200 * CHOIR_MILLISECOND);
    answer(p, 10);
}

static void set_two_requests(test_pair *p) {
    p->server_root.max_concurrent_requests = 2;
}

static void do_queueing(test_pair *p) {
    for (uint32_t i = 1; i <= 5; i++) later(p, i);
    test_pair_pump(p);
    for (uint32_t i = 1; i <= 5; i++) answer(p, 10 * i);
}

static void set_short_queue(test_pair *p) {
    p->server_root.max_concurrent_requests = 1;
    p->client_root.max_queued_calls = 1;
}

static void do_blocked(test_pair *p) {
    static const choir_str again = {"again", 5};
    later(p, 1);
    later(p, 2);
    later(p, 3);
    world_of(&p->client)->again = &again;
    test_pair_pump(p);
    answer(p, 10);
    answer(p, 20);
}

static void set_no_queue(test_pair *p) {
    p->server_root.max_concurrent_requests = 1;
    p->client_root.max_queued_calls = 0;
}

static void do_blocked_without_queue(test_pair *p) {
    static const choir_str again = {"again", 5};
    later(p, 1);
    later(p, 2);
    world_of(&p->client)->again = &again;
    test_pair_pump(p);
    answer(p, 10);
}

static void do_server_closes(test_pair *p) {
    later(p, 1);
    echo(p, "x");
    test_pair_pump(p);
    choir_session_close(p->server.session, p->now);
    answer(p, 10); /* too late */
    test_pair_pump(p);
}

static void do_client_closes(test_pair *p) {
    later(p, 1);
    test_pair_pump(p);
    choir_session_close(p->client.session, p->now);
    choir_session_close(p->client.session, p->now);
    test_pair_pump(p);
    answer(p, 10); /* its session has ended */
    answer(p, 20);
}

/* Calls that wait when the session closes surely never ran. */
static void do_close_with_queue(test_pair *p) {
    later(p, 1);
    later(p, 2);
    test_pair_pump(p);
    choir_session_close(p->client.session, p->now);
    test_pair_pump(p);
}

static void do_cut(test_pair *p) {
    later(p, 1);
    later(p, 2);
    later(p, 3);
    test_pair_pump(p);
    test_pair_cut(p);
    if (p->server.session && choir_session_held_requests(p->server.session) != 3)
        test_events_note(&p->server.events, "held %u", choir_session_held_requests(p->server.session));
    answer(p, 10);
    drop(p);
    if (p->server.session && choir_session_held_requests(p->server.session) != 1)
        test_events_note(&p->server.events, "held %u", choir_session_held_requests(p->server.session));
    /* The third handler never comes back: freeing the session frees what it holds. */
}

static void do_reply_later(test_pair *p) {
    later(p, 1);
    later(p, 2);
    test_pair_pump(p);
    test_pair_sleep(p, 40 * CHOIR_SECOND);
    answer(p, 10);
    echo(p, "x");
    test_pair_pump(p);
    answer(p, 20);
}

static void do_drop(test_pair *p) {
    later(p, 1);
    test_pair_pump(p);
    drop(p);
    echo(p, "x");
    test_pair_pump(p);
}

/* What a handler may not answer, and what it may instead. */
static void do_odd_answers(test_pair *p) {
    later(p, 1);
    later(p, 2);
    test_pair_pump(p);
    world *w = world_of(&p->server);
    if (w->waiting_len < 2) { /* one was refused for want of memory */
        drop(p);
        return;
    }
    choir_session *s = p->server.session;
    trial_error error = {0};
    note_status(&p->server, "error", choir_reply_error(s, w->waiting[0], &error, NULL, p->now));
    after_answer(&p->server, w->waiting[0], choir_reply_invalid(s, w->waiting[0], CHOIR_STR("no"), p->now));
    note_status(&p->server, "again", choir_reply_invalid(s, w->waiting[0], CHOIR_STR("no"), p->now));
    after_answer(&p->server, w->waiting[1], choir_request_drop(s, w->waiting[1], NULL, p->now));
    w->waiting_len = 0;
    test_pair_pump(p);
}

static const choir_metadata_entry hello_metadata[] = {
    {.key = {"from", 4}, .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"client", 6}, .flags = 1},
    {.key = {"n", 1}, .type = CHOIR_METADATA_U64, .u64 = UINT64_MAX, .flags = 1u << 20}};
static const choir_metadata_entry yourself_metadata[] = {
    {.key = {"from", 4}, .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"server", 6}, .flags = 2}};
static const choir_metadata_entry call_metadata[] = {
    {.key = {"trace", 5}, .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"t1", 2}, .flags = 3},
    {.key = {"trace", 5}, .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"", 0}, .flags = 0},
    {.key = {"", 0}, .type = CHOIR_METADATA_U64, .u64 = 300, .flags = UINT64_MAX}};

static void set_metadata(test_pair *p) {
    p->client_root.metadata = hello_metadata;
    p->client_root.metadata_len = 2;
    p->server_root.metadata = yourself_metadata;
    p->server_root.metadata_len = 1;
    p->server_root.max_concurrent_requests = 1;
    world_of(&p->client)->show_metadata = world_of(&p->server)->show_metadata = true;
}

/* The second call waits for the first: its metadata too. */
static void do_metadata(test_pair *p) {
    choir_str s = CHOIR_STR("x");
    choir_call_options o;
    choir_call_options_init(&o);
    o.metadata = call_metadata;
    o.metadata_len = 3;
    test_side_call(&p->client, TRIAL_ECHO, &s, &o, NULL);
    test_side_call(&p->client, TRIAL_ECHO, &s, &o, NULL);
    test_pair_pump(p);
}

static void do_ping(test_pair *p) {
    note_status(&p->client, "ping", choir_session_ping(p->client.session, p->now));
    note_status(&p->client, "ping", choir_session_ping(p->client.session, p->now));
    test_pair_pump(p);
    note_status(&p->server, "ping", choir_session_ping(p->server.session, p->now));
    test_pair_pump(p);
    note_status(&p->client, "ping", choir_session_ping(p->client.session, p->now));
    test_pair_pump(p);
}

static void do_idle(test_pair *p) {
    test_pair_sleep(p, 100 * CHOIR_SECOND);
    echo(p, "x");
    test_pair_pump(p);
}

static void do_idle_dead(test_pair *p) {
    p->client.hold = p->server.hold = true;
    test_pair_sleep(p, 25 * CHOIR_SECOND);
}

static void do_busy_dead(test_pair *p) {
    later(p, 1);
    test_pair_pump(p);
    p->client.hold = p->server.hold = true;
    test_pair_sleep(p, 10 * CHOIR_SECOND);
}

/* Nobody ran for a minute, with a question on the way: nobody is dead for that, but the deadline has
 * passed. */
static void do_slept(test_pair *p) {
    p->client.hold = p->server.hold = true;
    call_number(p, TRIAL_LATER, 1, p->now + 20 * CHOIR_SECOND);
    test_pair_sleep(p, 4 * CHOIR_SECOND);
    p->now += 60 * CHOIR_SECOND;
    test_pair_sleep(p, CHOIR_MILLISECOND);
    p->client.hold = p->server.hold = false;
    test_pair_pump(p);
    test_pair_sleep(p, 30 * CHOIR_SECOND);
    drop(p);
    echo(p, "x");
    test_pair_pump(p);
}

static void do_large(test_pair *p) {
    static uint8_t bytes[100000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
    choir_bytes b = {bytes, sizeof bytes};
    for (int i = 0; i < 3; i++) test_side_call(&p->client, TRIAL_ECHO_BYTES, &b, NULL, NULL);
    test_pair_pump(p);
}

/* ---- running ---- */

bool test_scenario_run(const test_scenario *sc, test_pair *p) {
    world client = {.again = NULL}, server = {.again = NULL};
    p->client_root.call = &trial_service;
    p->server_root.serve = &trial_served;
    p->client.on_event = call_again;
    p->server.on_event = serve;
    p->client.ctx = &client;
    p->server.ctx = &server;
    if (sc->setup) sc->setup(p);
    bool ok = test_pair_open(p);
    if (ok && choir_session_is_established(p->client.session) && p->server.session &&
        choir_session_is_established(p->server.session))
        sc->run(p);
    test_pair_pump(p);
    p->hanging = test_events_open_calls(&p->client.events);
    test_pair_cut(p);
    if (!ok && p->client.session && !p->client.events.closed) { /* it never had a link */
        choir_session_close(p->client.session, p->now);
        test_side_poll(&p->client);
    }
    p->client.ctx = p->server.ctx = NULL;
    p->client.on_event = p->server.on_event = NULL;
    return ok;
}

/* How most conversations start and end. */
#define EST  "established\n"
#define LOST "detached ERR_LINK_LOST\nconn-closed ERR_LINK_LOST\nclosed ERR_LINK_LOST\n"

const test_scenario test_scenarios[] = {
    {.name = "establish", .run = do_nothing, .client = EST LOST, .server = EST LOST},
    {.name = "echo",
     .run = do_echo,
     .client = EST "call-done echo ok 0161\ncall-done echo ok 0162\n"
                   "call-done echo ok 296120746578742074686174206973206c6f6e6765722074...42\n"
                   "call-done nothing ok\n" LOST,
     .server = EST "request echo 0161\nrequest-done echo ok\nrequest echo 0162\n"
                   "request-done echo ok\n"
                   "request echo 296120746578742074686174206973206c6f6e6765722074...42\n"
                   "request-done echo ok\nrequest nothing\nrequest-done nothing ok\n" LOST},
    {.name = "error",
     .run = do_error,
     .client = EST "call-done divide ok 05\ncall-done divide user error 00\n"
                   "call-done lookup user error 01\n"
                   "call-done lookup ok 05416c6963651e0111616c696365406578616d706c652e63...26\n" LOST,
     .server = EST "request divide 0e03\nrequest-done divide ok\nrequest divide 0e00\n"
                   "request-done divide user error\nrequest lookup 9601\nrequest-done lookup user error\n"
                   "request lookup 01\nrequest-done lookup ok\n" LOST},
    {.name = "unknown method",
     .run = do_unknown,
     .client = EST "call-done absent unknown method\ncall-done absent unknown method\n"
                   "call-done echo ok 0a7374696c6c2068657265\n" LOST,
     .server = EST "request echo 0a7374696c6c2068657265\nrequest-done echo ok\n" LOST},
    {.name = "other layouts",
     .setup = set_other,
     .run = do_other_layouts,
     .client = EST "call-done echo invalid payload\ncall-done lookup invalid payload ERR_LAYOUT\n"
                   "call-done lookup invalid payload ERR_LAYOUT\n" LOST,
     .server = EST "request lookup 01\nrequest-done lookup ok\nrequest lookup 9601\n"
                   "request-done lookup user error\n" LOST},
    {.name = "cancel before it was sent",
     .setup = set_one_request,
     .run = do_cancel_queued,
     .client = EST "call-done later cancelled ERR_CANCELLED\ncall-done later ok 0a\n" LOST,
     .server = EST "request later 01\nrequest-done later ok\n" LOST},
    {.name = "cancel while it runs",
     .run = do_cancel_running,
     .client =
         EST "cancel ERR_NOT_FOUND\ncall-done later cancelled ERR_CANCELLED\ncall-done echo ok 0178\n" LOST,
     .server = EST "request later 01\nrequest-cancelled later\nreply ERR_CANCELLED\n"
                   "request-done later cancelled\nrequest echo 0178\nrequest-done echo ok\n" LOST},
    {.name = "cancel after the answer",
     .run = do_cancel_answered,
     .client = EST "call-done later cancelled ERR_CANCELLED\ncancel ERR_NOT_FOUND\n" LOST,
     .server = EST "request later 01\nrequest-done later ok\n" LOST},
    {.name = "persist",
     .run = do_persist,
     .client = EST "call-done keep cancelled ERR_CANCELLED\n" LOST,
     .server = EST "request keep 01\nrequest-done keep ok\n" LOST},
    {.name = "deadline on a silent link",
     .run = do_deadline_silent,
     .client = EST "call-done lookup timed out ERR_TIMED_OUT\n"
                   "call-done lookup ok 05416c6963651e0111616c696365406578616d706c652e63...26\n" LOST,
     .server = EST "request lookup 01\nrequest-done lookup ok\nrequest lookup 01\n"
                   "request-done lookup ok\n" LOST},
    {.name = "deadline in the queue",
     .setup = set_one_request,
     .run = do_deadline_queued,
     .client = EST "call-done later send failed ERR_TIMED_OUT\ncall-done later ok 0a\n" LOST,
     .server = EST "request later 01\nrequest-done later ok\n" LOST},
    {.name = "queueing beyond the peer's number",
     .setup = set_two_requests,
     .run = do_queueing,
     .client = EST "call-done later ok 0a\ncall-done later ok 14\ncall-done later ok 1e\n"
                   "call-done later ok 28\ncall-done later ok 32\n" LOST,
     .server = EST "request later 01\nrequest later 02\nrequest-done later ok\nrequest later 03\n"
                   "request-done later ok\nrequest later 04\nrequest-done later ok\nrequest later 05\n"
                   "request-done later ok\nrequest-done later ok\n" LOST},
    {.name = "blocked and writable",
     .setup = set_short_queue,
     .run = do_blocked,
     .client = EST "call ERR_BLOCKED\ncall-done later ok 0a\nwritable\ncall-done later ok 14\n"
                   "call-done echo ok 05616761696e\n" LOST,
     .server = EST "request later 01\nrequest-done later ok\nrequest later 02\n"
                   "request-done later ok\nrequest echo 05616761696e\nrequest-done echo ok\n" LOST},
    {.name = "blocked without a queue",
     .setup = set_no_queue,
     .run = do_blocked_without_queue,
     .client = EST "call ERR_BLOCKED\ncall-done later ok 0a\nwritable\n"
                   "call-done echo ok 05616761696e\n" LOST,
     .server = EST "request later 01\nrequest-done later ok\nrequest echo 05616761696e\n"
                   "request-done echo ok\n" LOST},
    {.name = "server closes",
     .run = do_server_closes,
     .client = EST "call-done echo ok 0178\ncall-done later cancelled\n" LOST,
     .server = EST "request later 01\nrequest echo 0178\nrequest-done echo ok\nreply ERR_NOT_FOUND\n"
                   "detached ERR_SHUTDOWN\nrequest-done later session shut down\n"
                   "conn-closed ERR_SHUTDOWN\nclosed ERR_SHUTDOWN\n"},
    {.name = "client closes",
     .run = do_client_closes,
     .client = EST "call-done later session shut down ERR_SHUTDOWN\ndetached ERR_SHUTDOWN\n"
                   "conn-closed ERR_SHUTDOWN\nclosed ERR_SHUTDOWN\n",
     .server = EST "request later 01\ndetached ERR_LINK_LOST\nrequest-done later connection closed\n"
                   "conn-closed ERR_LINK_LOST\nclosed ERR_LINK_LOST\nreply ERR_NOT_FOUND\n"},
    {.name = "close with a queue",
     .setup = set_one_request,
     .run = do_close_with_queue,
     .client = EST "call-done later session shut down ERR_SHUTDOWN\n"
                   "call-done later send failed ERR_SHUTDOWN\ndetached ERR_SHUTDOWN\n"
                   "conn-closed ERR_SHUTDOWN\nclosed ERR_SHUTDOWN\n",
     .server = EST "request later 01\ndetached ERR_LINK_LOST\nrequest-done later connection closed\n"
                   "conn-closed ERR_LINK_LOST\nclosed ERR_LINK_LOST\n"},
    {.name = "cut under running handlers",
     .run = do_cut,
     .client = EST "detached ERR_LINK_LOST\ncall-done later connection closed ERR_LINK_LOST\n"
                   "call-done later connection closed ERR_LINK_LOST\n"
                   "call-done later connection closed ERR_LINK_LOST\nconn-closed ERR_LINK_LOST\n"
                   "closed ERR_LINK_LOST\n",
     .server = EST "request later 01\nrequest later 02\nrequest later 03\ndetached ERR_LINK_LOST\n"
                   "request-done later connection closed\nrequest-done later connection closed\n"
                   "request-done later connection closed\nconn-closed ERR_LINK_LOST\n"
                   "closed ERR_LINK_LOST\nreply ERR_NOT_FOUND\ndrop ERR_NOT_FOUND\n"},
    {.name = "reply later",
     .run = do_reply_later,
     .client = EST "call-done later ok 0a\ncall-done echo ok 0178\ncall-done later ok 14\n" LOST,
     .server = EST "request later 01\nrequest later 02\nrequest-done later ok\nrequest echo 0178\n"
                   "request-done echo ok\nrequest-done later ok\n" LOST},
    {.name = "drop",
     .run = do_drop,
     .client = EST "call-done later cancelled\ncall-done echo ok 0178\n" LOST,
     .server = EST "request later 01\nrequest-done later cancelled\nrequest echo 0178\n"
                   "request-done echo ok\n" LOST},
    {.name = "odd answers",
     .run = do_odd_answers,
     .client = EST "call-done later invalid payload\ncall-done later cancelled\n" LOST,
     .server = EST "request later 01\nrequest later 02\nerror ERR_INVALID\nagain ERR_NOT_FOUND\n"
                   "request-done later invalid payload\nrequest-done later cancelled\n" LOST},
    {.name = "metadata",
     .setup = set_metadata,
     .run = do_metadata,
     .client = EST
     "  choir-max-payload = 16777216 flags 0\n  from = server flags 2\n  vox-service = Noop flags 0\ncall-done echo ok 0178\n"
     "call-done echo ok 0178\n" LOST,
     .server = EST "  choir-max-payload = 16777216 flags 0\n"
                   "  from = client flags 1\n  n = 18446744073709551615 flags 1048576\n"
                   "  vox-service = Trial flags 0\nrequest echo 0178\n  trace = t1 flags 3\n"
                   "  trace =  flags 0\n   = 300 flags 18446744073709551615\nrequest-done echo ok\n"
                   "  trace = t1 flags 3\n  trace =  flags 0\n   = 300 flags 18446744073709551615\n"
                   "request echo 0178\n  trace = t1 flags 3\n  trace =  flags 0\n"
                   "   = 300 flags 18446744073709551615\nrequest-done echo ok\n  trace = t1 flags 3\n"
                   "  trace =  flags 0\n   = 300 flags 18446744073709551615\n" LOST},
    {.name = "ping",
     .run = do_ping,
     .client = EST "ping ERR_BUSY\npong\npong\n" LOST,
     .server = EST "pong\n" LOST},
    {.name = "idle",
     .run = do_idle,
     .client = EST "call-done echo ok 0178\n" LOST,
     .server = EST "request echo 0178\nrequest-done echo ok\n" LOST},
    {.name = "idle and dead",
     .run = do_idle_dead,
     .client = EST "detached ERR_PEER_UNRESPONSIVE\nconn-closed ERR_PEER_UNRESPONSIVE\n"
                   "closed ERR_PEER_UNRESPONSIVE\n",
     .server = EST "detached ERR_PEER_UNRESPONSIVE\nconn-closed ERR_PEER_UNRESPONSIVE\n"
                   "closed ERR_PEER_UNRESPONSIVE\n"},
    {.name = "busy and dead",
     .run = do_busy_dead,
     .client = EST "detached ERR_PEER_UNRESPONSIVE\n"
                   "call-done later connection closed ERR_PEER_UNRESPONSIVE\n"
                   "conn-closed ERR_PEER_UNRESPONSIVE\nclosed ERR_PEER_UNRESPONSIVE\n",
     .server = EST "request later 01\ndetached ERR_PEER_UNRESPONSIVE\n"
                   "request-done later connection closed\nconn-closed ERR_PEER_UNRESPONSIVE\n"
                   "closed ERR_PEER_UNRESPONSIVE\n"},
    {.name = "slept, with questions on the way",
     .run = do_slept,
     .client = EST "call-done later timed out ERR_TIMED_OUT\ncall-done echo ok 0178\n" LOST,
     .server = EST "request later 01\nrequest-cancelled later\nrequest-done later cancelled\n"
                   "request echo 0178\nrequest-done echo ok\n" LOST,
     .pongs_float = true},
    {.name = "large",
     .run = do_large,
     .client = EST "call-done echo_bytes ok a08d0600070e151c232a31383f464d545b626970777e858c...100003\n"
                   "call-done echo_bytes ok a08d0600070e151c232a31383f464d545b626970777e858c...100003\n"
                   "call-done echo_bytes ok a08d0600070e151c232a31383f464d545b626970777e858c...100003\n" LOST,
     .server = EST "request echo_bytes a08d0600070e151c232a31383f464d545b626970777e858c...100003\n"
                   "request-done echo_bytes ok\n"
                   "request echo_bytes a08d0600070e151c232a31383f464d545b626970777e858c...100003\n"
                   "request-done echo_bytes ok\n"
                   "request echo_bytes a08d0600070e151c232a31383f464d545b626970777e858c...100003\n"
                   "request-done echo_bytes ok\n" LOST},
};
const size_t test_scenarios_len = sizeof test_scenarios / sizeof test_scenarios[0];
