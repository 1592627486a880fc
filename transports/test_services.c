/* SPDX-License-Identifier: MIT */
/* Several services on one server: which one a peer gets, who answers it, and what is said to one that asks
 * for something else. */
#include "services.h"
#include "test_world.h"
#include "testing/trial.h"

/* ---- two services ---- */

typedef struct trial_server {
    world *w;
    uint32_t echoes, cancelled, ended;
} trial_server;

static void on_trial_echo(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    trial_server *t = ctx;
    cr_assert_eq(request->service, &trial_served);
    t->echoes++;
    if (!kept(t->w, to, args)) choir_respond(to, args);
}

/* The same functions for the requests of both: the context tells them apart. */
static void either_cancelled(void *ctx, choir_responder request, const choir_event *event) {
    if (event->service == &trial_served)
        ((trial_server *)ctx)->cancelled++;
    else
        on_cancelled(ctx, request, event);
}

static void either_ended(void *ctx, choir_responder request, const choir_event *event) {
    if (event->service == &trial_served)
        ((trial_server *)ctx)->ended++;
    else
        on_ended(ctx, request, event);
}

static choir_handler *const trial_handlers[TRIAL_ABSENT] = {[TRIAL_ECHO] = on_trial_echo};

static choir_server_options two_services(world *w, trial_server *t) {
    choir_server_options o = server_options(w);
    *t = (trial_server){.w = w};
    o.services[o.services_len++] =
        (choir_served){.service = &trial_served, .handlers = trial_handlers, .ctx = t};
    o.cancelled = either_cancelled;
    o.ended = either_ended;
    return o;
}

/* A client that says something of its own first: the first vox-service counts. */
static void join_as(world *w, const choir_service *service, const char *name) {
    choir_client_options o = client_options(w);
    choir_session_options session;
    choir_conn_options root;
    choir_session_options_init(&session);
    choir_conn_options_init(&root);
    const choir_metadata_entry entry = {.key = CHOIR_STR("vox-service"),
                                        .type = CHOIR_METADATA_STRING,
                                        .bytes = {(const uint8_t *)name, name ? strlen(name) : 0}};
    root.metadata = &entry;
    root.metadata_len = name ? 1 : 0;
    session.root = &root;
    o.session = &session;
    o.service = service;
    w->opened = w->closed = 0;
    cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), &o, &w->client), CHOIR_OK);
}

static void trial_echo(world *w) {
    const choir_str hello = CHOIR_STR("hello");
    cr_assert_eq(choir_client_call(w->client, TRIAL_ECHO, &hello, NULL, on_echoed, w, NULL), CHOIR_OK);
}

static void by_name(world *w, const char *url) {
    trial_server t;
    world_begin(w);
    choir_server_options o = two_services(w, &t);
    cr_assert_eq(choir_listen(w->loop, url, &o, &w->server), CHOIR_OK);
    join_as(w, &testbed_service, NULL);
    echo(w);
    until(w, w->done == 1 && w->ended == 1);
    join_as(w, &trial_service, NULL);
    trial_echo(w);
    until(w, w->done == 2 && t.ended == 1);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], 2);
    cr_assert(w->requests == 2 && t.echoes == 1);
    /* What happens to a request is told to those who have it. */
    w->keep = true;
    trial_echo(w);
    until(w, w->kept_len == 1);
    choir_session_close(choir_client_session(w->client), choir_loop_now(w->loop));
    until(w, t.ended == 2);
    choir_respond_drop(w->kept[0]);
    cr_assert_eq(w->ended, 1);
    world_end(w);
}
Test(services, chosen_by_name) {
    on_each(by_name);
}

/* ---- none, and unknown ones ---- */

static void one_and_no_name(world *w, const char *url) {
    const char *const names[] = {"Noop", "", "Testbed"};
    world_begin(w);
    serve(w, url);
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        join_as(w, &testbed_service, names[i]);
        echo(w);
        until(w, w->done == i + 1);
        cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], i + 1, "\"%s\"", names[i]);
    }
    world_end(w);
}
Test(services, the_only_one_needs_no_name) {
    on_each(one_and_no_name);
}

static void several_and_no_name(world *w, const char *url) {
    trial_server t;
    world_begin(w);
    choir_server_options o = two_services(w, &t);
    cr_assert_eq(choir_listen(w->loop, url, &o, &w->server), CHOIR_OK);
    join_as(w, &testbed_service, "Noop");
    echo(w);
    until(w, w->done == 1);
    cr_assert_eq(w->opened, 1, "such a peer may want connections");
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_UNKNOWN_METHOD], 1);
    cr_assert_eq(w->requests, 0);
    world_end(w);
}
Test(services, several_need_a_name) {
    on_each(several_and_no_name);
}

static void refused(world *w, const choir_service *service, const char *name, const char *text) {
    join_as(w, service, name);
    until(w, w->closed == 1);
    cr_assert_eq(w->opened, 0);
    cr_assert_eq(w->status, CHOIR_ERR_REFUSED);
    cr_assert(strstr(w->text, text), "%s", w->text);
}

static void unknown(world *w, const char *url) {
    trial_server t;
    world_begin(w);
    choir_server_options o = two_services(w, &t);
    cr_assert_eq(choir_listen(w->loop, url, &o, &w->server), CHOIR_OK);
    refused(w, &testbed_service, "Librarian",
            "the peer said Sorry: \"no service \\\"Librarian\\\" here; offered: Testbed, Trial\"");
    /* Calls that wait are told that they surely never ran. */
    join_as(w, &testbed_service, "testbed");
    echo(w);
    until(w, w->closed == 1);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_SEND_FAILED], 1);
    cr_assert_eq(w->sessions_opened, 0);
    /* A name that somebody made up to do harm. */
    char long_name[900];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    refused(w, &testbed_service, long_name, "xxx...\\\" here; offered: Testbed, Trial\"");
    refused(w, &testbed_service, "a\"\x1b[2J\xc3\xa9", "no service \\\"a??[2J??\\\" here");
    cr_assert_eq(choir_server_sessions(w->server), 0);
    world_end(w);
    cr_assert_eq(w->sessions_closed, 0);
}
Test(services, an_unknown_one_is_refused) {
    on_each(unknown);
}

/* The one service that there is, under another name than the client's. */
Test(services, a_client_of_another_service_is_told) {
    world w;
    world_begin(&w);
    serve(&w, urls[2]);
    refused(&w, &trial_service, NULL, "no service \\\"Trial\\\" here; offered: Testbed");
    world_end(&w);
}

/* ---- many ---- */

/* Services without methods: s0, s1, ... */
typedef struct row {
    char strings[CHOIR_SERVICES_MAX + 1][64];
    choir_unit units[CHOIR_SERVICES_MAX + 1];
    choir_service services[CHOIR_SERVICES_MAX + 1];
} row;

static choir_handler *const nobody[1] = {NULL};

static void make_row(row *r, choir_server_options *o, uint32_t count, const char *prefix) {
    choir_server_options_init(o);
    for (uint32_t i = 0; i < count; i++) {
        int len = snprintf(r->strings[i] + 1, sizeof r->strings[i] - 1, "%s%u", prefix, i);
        r->strings[i][0] = '\0';
        r->units[i] = *testbed_service.unit;
        r->units[i].strings = r->strings[i];
        r->units[i].strings_len = (uint32_t)len + 2;
        r->units[i].types_len = r->units[i].fields_len = r->units[i].variants_len = r->units[i].params_len =
            0;
        r->units[i].schemas_len = r->units[i].announcements_len = r->units[i].parts_len = 0;
        r->units[i].schema_bytes_len = 0;
        r->services[i] = (choir_service){.unit = &r->units[i], .name = 1};
        if (i < CHOIR_SERVICES_MAX)
            o->services[i] = (choir_served){.service = &r->services[i], .handlers = nobody};
    }
    o->services_len = count;
}

Test(services, as_many_as_there_may_be) {
    static row r;
    world w;
    choir_server_options o;
    choir_server *server = NULL;
    char why[NET_REFUSAL_MAX];
    const choir_service *chosen = &testbed_service;
    world_begin(&w);
    make_row(&r, &o, CHOIR_SERVICES_MAX, "s");
    cr_assert_eq(choir_listen(w.loop, urls[2], &o, &server), CHOIR_OK, "%s", choir_loop_error(w.loop).data);
    for (uint32_t i = 0; i < CHOIR_SERVICES_MAX; i++) {
        char name[8];
        snprintf(name, sizeof name, "s%u", i);
        cr_assert(choiri_net_services_choose(&o, (choir_str){name, strlen(name)}, &chosen, why));
        cr_assert_eq(chosen, &r.services[i]);
        cr_assert_eq(choiri_net_services_of(&o, chosen), &o.services[i]);
    }
    cr_assert_null(choiri_net_services_of(&o, &testbed_service));
    cr_assert(!choiri_net_services_handle(NULL, (choir_responder){0}, NULL));
    cr_assert(!choiri_net_services_choose(&o, CHOIR_STR("s16"), &chosen, why));
    cr_assert_str_eq(why, "no service \"s16\" here; offered: s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, "
                          "s11, s12, s13, s14, s15");
    make_row(&r, &o, CHOIR_SERVICES_MAX, "Service\xc3\xa9Number");
    cr_assert(!choiri_net_services_choose(&o, CHOIR_STR("s16"), &chosen, why));
    cr_assert_str_eq(why, "no service \"s16\" here; offered: Service\xc3\xa9Number0, Service\xc3\xa9Number1, "
                          "Service\xc3\xa9Number2, Service\xc3\xa9Number3, Service\xc3\xa9Number4, "
                          "Service\xc3\xa9Number5, "
                          "and 10 more");
    make_row(&r, &o, CHOIR_SERVICES_MAX + 1, "s");
    server = NULL;
    cr_assert_eq(choir_listen(w.loop, "mem://more", &o, &server), CHOIR_ERR_INVALID);
    cr_assert(!server && strstr(choir_loop_error(w.loop).data, "at most 16 services, not 17"));
    world_end(&w);
}

Test(services, options_are_checked) {
    static choir_dispatch *const no_dispatch = NULL;
    world w;
    trial_server t;
    choir_server *server = NULL;
    world_begin(&w);
    cr_assert_eq(choir_listen(w.loop, urls[2], NULL, &server), CHOIR_ERR_INVALID);
    cr_assert(strstr(choir_loop_error(w.loop).data, "a server needs a service"));
    choir_server_options o = two_services(&w, &t);
    o.services[1] = o.services[0];
    cr_assert_eq(choir_listen(w.loop, urls[2], &o, &server), CHOIR_ERR_INVALID);
    cr_assert(strstr(choir_loop_error(w.loop).data, "two services are called Testbed"));
    o = two_services(&w, &t);
    o.services[1].service = NULL;
    cr_assert_eq(choir_listen(w.loop, urls[2], &o, &server), CHOIR_ERR_INVALID);
    cr_assert(strstr(choir_loop_error(w.loop).data, "not NULL"));
    o = two_services(&w, &t);
    o.services[1].reserved[2] = &w;
    cr_assert_eq(choir_listen(w.loop, urls[2], &o, &server), CHOIR_ERR_INVALID);
    cr_assert(strstr(choir_loop_error(w.loop).data, "reserved members of service Trial"));
    o = two_services(&w, &t);
    choir_server_options_serve(&o, &testbed_service, no_dispatch, NULL, NULL);
    cr_assert_eq(o.services_len, 3);
    cr_assert_eq(choir_listen(w.loop, urls[2], &o, &server), CHOIR_ERR_INVALID);
    choir_server_options_init(&o);
    testbed_serve(&o, NULL, NULL);
    cr_assert_eq(choir_listen(w.loop, urls[2], &o, &server), CHOIR_ERR_INVALID);
    cr_assert(
        strstr(choir_loop_error(w.loop).data, "Testbed needs handlers (generated ones with their size)"));
    static const testbed_handlers without_size = {.size = 0};
    choir_server_options_init(&o);
    testbed_serve(&o, &without_size, NULL);
    cr_assert_eq(choir_listen(w.loop, urls[2], &o, &server), CHOIR_ERR_INVALID);
    choir_server_options_serve(NULL, &testbed_service, no_dispatch, NULL, NULL);
    cr_assert_null(server);
    world_end(&w);
}

/* ---- methods that nobody answers ---- */

typedef struct log_lines {
    uint32_t warnings;
    char text[1024]; /* of the last warning */
} log_lines;

static void take_line(void *ctx, uint32_t level, const char *area, choir_str text) {
    log_lines *log = ctx;
    (void)area;
    if (level != CHOIR_LOG_WARNING) return;
    log->warnings++;
    snprintf(log->text, sizeof log->text, "%.*s", (int)text.len, text.data);
}

static void echo_typed(void *ctx, testbed_echo_responder to, const testbed_echo_args *args,
                       const choir_event *request) {
    (void)ctx, (void)request;
    cr_assert_eq(testbed_reply_echo(to, args->message), CHOIR_OK);
}

Test(services, methods_without_handlers_are_told_of) {
    log_lines log = {0};
    world w = {.fds = open_fds()};
    trial_server t;
    choir_loop_options lo;
    loop_options(&w, &lo);
    w.env.log = take_line;
    w.env.log_ctx = &log;
    cr_assert_eq(choir_loop_new(&lo, &w.loop), CHOIR_OK);
    choir_server_options o = two_services(&w, &t);
    choir_server *server;
    o.services[0] = o.services[1];
    o.services_len = 1;
    cr_assert_eq(choir_listen(w.loop, "mem://trial", &o, &server), CHOIR_OK);
    cr_assert_eq(log.warnings, 1);
    cr_assert_str_eq(log.text,
                     "mem://trial: Trial has no handlers for divide, lookup, echo_bytes, nothing, "
                     "later, keep, measure, flags, grow, watch: callers are told that these methods "
                     "are unknown");
    /* The same of generated ones, of which the program knows a few only, or none. */
    const testbed_handlers some = {.size = sizeof some, .echo = echo_typed};
    const testbed_handlers older = {.size = sizeof older.size};
    choir_server_options_init(&o);
    testbed_serve(&o, &older, NULL);
    cr_assert_eq(choir_listen(w.loop, "mem://none", &o, &server), CHOIR_OK);
    cr_assert(log.warnings == 2 && strstr(log.text, "Testbed has no handlers for echo, reverse, "), "%s",
              log.text);
    choir_server_options_init(&o);
    testbed_serve(&o, &some, NULL);
    cr_assert_eq(choir_listen(w.loop, "mem://some", &o, &w.server), CHOIR_OK);
    cr_assert(log.warnings == 3 && strstr(log.text, "Testbed has no handlers for reverse, "), "%s", log.text);
    join(&w, "mem://some");
    divide(&w, 1, 2);
    echo(&w);
    until(&w, w.done == 2);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_UNKNOWN_METHOD], 1);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 1);
    world_end(&w);
}

/* ---- NULL ---- */

static void hear(void *ctx, const choir_event *done) {
    *(uint32_t *)ctx = done->outcome + 1;
}

/* Options and callbacks that are not given are none, at both ends. */
static void nothing_given(world *w, const char *url) {
    world_begin(w);
    choir_server_options so;
    choir_server_options_init(&so);
    so.services[0] = (choir_served){.service = &testbed_service, .handlers = handlers, .ctx = w};
    so.services_len = 1;
    cr_assert_eq(choir_listen(w->loop, url, &so, &w->server), CHOIR_OK);
    choir_client *silent, *caller;
    choir_client_options co;
    choir_client_options_init(&co);
    co.service = &testbed_service;
    cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), NULL, &silent), CHOIR_OK);
    cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), &co, &caller), CHOIR_OK);
    cr_assert_eq(choir_client_call(silent, 0, NULL, NULL, hear, w, NULL), CHOIR_ERR_INVALID);
    uint32_t heard[2] = {0, 0};
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    w->keep = true;
    choir_call_id call;
    cr_assert_eq(choir_client_call(caller, TESTBED_ECHO, &args, NULL, hear, &heard[0], NULL), CHOIR_OK);
    cr_assert_eq(choir_client_call(caller, TESTBED_ECHO, &args, NULL, hear, &heard[1], &call), CHOIR_OK);
    until(w, w->kept_len == 2);
    choir_session *session = choir_responder_session(w->kept[0]);
    cr_assert_eq(choir_reply(session, w->kept[0].request, &args.message, NULL, choir_loop_now(w->loop)),
                 CHOIR_OK);
    cr_assert_eq(choir_cancel(choir_client_session(caller), call, NULL, choir_loop_now(w->loop)), CHOIR_OK);
    until(w, heard[0] && heard[1]);
    cr_assert_eq(heard[0], CHOIR_OUTCOME_OK + 1);
    cr_assert_eq(heard[1], CHOIR_OUTCOME_CANCELLED + 1);
    cr_assert_eq(choir_request_drop(session, w->kept[1].request, NULL, choir_loop_now(w->loop)), CHOIR_OK);
    choir_client_close(silent);
    choir_client_close(caller);
    until(w, choir_server_sessions(w->server) == 0);
    choir_client_free(NULL);
    choir_server_free(NULL);
    choir_loop_free(NULL);
    cr_assert_eq(choir_loop_error(NULL).len, 0);
    cr_assert_eq(choir_loop_now(NULL), 0);
    choir_server_options_init_sized(NULL, sizeof so);
    choir_client_options_init_sized(NULL, sizeof co);
    choir_loop_options_init_sized(NULL, sizeof(choir_loop_options));
    world_end(w);
}
Test(services, what_is_not_given_is_none) {
    on_each(nothing_given);
}
