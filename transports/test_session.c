/* SPDX-License-Identifier: MIT */
/* Sessions of the loop as the core has them: what its hooks see, and its functions used directly. */
#include "test_world.h"

/* ---- who calls ---- */

typedef struct doorman {
    world *w;
    uint32_t asked;
    char scheme[16];
    bool credentials;
} doorman;

/* Decides by what is known about the peer, before anything of its request is decoded. */
static int decide(void *ctx, choir_session *session, const choir_event *request, choir_reason *ret_reason) {
    doorman *d = ctx;
    const choir_evidence *e = request->evidence;
    d->asked++;
    cr_assert_not_null(e);
    cr_assert_eq(e, choir_session_evidence(session));
    snprintf(d->scheme, sizeof d->scheme, "%.*s", (int)e->scheme.len, e->scheme.data);
    d->credentials = (e->flags & CHOIR_EVIDENCE_CREDENTIALS) != 0;
    if (d->credentials && e->uid == getuid() && e->pid == getpid()) return CHOIR_VERDICT_RUN;
    *ret_reason = choir_reason_of(CHOIR_STR("who are you?"));
    return CHOIR_VERDICT_REFUSE;
}

/* A client of a server whose root connections have these options. */
static void begin_with_root(world *w, const char *url, const choir_conn_options *root) {
    choir_session_options session;
    choir_session_options_init(&session);
    session.root = root;
    world_begin(w);
    choir_server_options o = server_options(w);
    o.session = &session;
    cr_assert_eq(choir_listen(w->loop, url, &o, &w->server), CHOIR_OK);
    join(w, choir_server_url(w->server));
}

static void hooks_see_evidence(world *w, const char *url) {
    doorman d = {.w = w};
    const choir_hooks hooks = {.size = sizeof hooks, .ctx = &d, .decide = decide};
    choir_conn_options root;
    choir_conn_options_init(&root);
    root.hooks = &hooks;
    begin_with_root(w, url, &root);
    echo(w);
    until(w, w->done == 1);
    bool local = strncmp(url, "unix", 4) == 0;
    cr_assert_eq(d.asked, 1);
    cr_assert_eq(d.credentials, local, "%s", url);
    cr_assert_eq(strncmp(url, d.scheme, strlen(d.scheme)), 0, "%s: %s", url, d.scheme);
    cr_assert_eq(w->outcomes[local ? CHOIR_OUTCOME_OK : CHOIR_OUTCOME_SEND_FAILED], 1, "%s", url);
    world_end(w);
}
Test(session, hooks_see_evidence) {
    on_each(hooks_see_evidence);
}

/* ---- functions of the core, used directly ---- */

typedef struct watcher {
    choir_observer observer;
    uint32_t pongs, cancelled;
    char text[64];  /* of the last event that had one, or choir-reason of its metadata */
    uint32_t extra; /* of its metadata */
} watcher;

static void read_metadata(watcher *v, const choir_event *e) {
    choir_metadata_entry entry;
    if (choir_metadata_find(e->metadata, CHOIR_STR("choir-reason"), CHOIR_METADATA_STRING, &entry))
        snprintf(v->text, sizeof v->text, "%.*s", (int)entry.bytes.len, (const char *)entry.bytes.data);
    if (choir_metadata_find(e->metadata, CHOIR_STR("extra"), CHOIR_METADATA_U64, &entry))
        v->extra = (uint32_t)entry.u64;
}

static void watch(void *ctx, choir_session *session, const choir_event *e) {
    watcher *v = ctx;
    (void)session;
    if (e->kind == CHOIR_EVENT_SESSION_PONG) v->pongs++;
    if (e->kind == CHOIR_EVENT_REQUEST_CANCELLED) v->cancelled++;
    read_metadata(v, e);
}

static choir_call_id call_directly(world *w, choir_session *session, choir_conn_id conn) {
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    choir_call_options o;
    choir_call_options_init(&o);
    o.user_data = w;
    o.callback = on_echoed;
    choir_call_id id;
    cr_assert_eq(choir_call(session, conn, TESTBED_ECHO, &args, &o, &id, choir_loop_now(w->loop)), CHOIR_OK);
    return id;
}

static void used_directly(world *w, const char *url) {
    static const choir_metadata_entry extra = {.key = {"extra", 5}, .type = CHOIR_METADATA_U64, .u64 = 7};
    watcher server = {.observer = {.event = watch}}, client = {.observer = {.event = watch}};
    server.observer.ctx = &server;
    client.observer.ctx = &client;
    world_open(w, url);
    choir_session *s = choir_client_session(w->client), *theirs = choir_loop_session(w->loop, w->session);
    choir_conn_id conn = choir_client_conn(w->client);
    cr_assert(s && theirs && conn.v == choir_session_root(s).v);
    choir_session_observe(s, &client.observer);
    choir_session_observe(theirs, &server.observer);
    w->keep = true;
    choir_call_id given_up = call_directly(w, s, conn);
    for (int i = 0; i < 2; i++) call_directly(w, s, conn);
    until(w, w->kept_len == 3);
    cr_assert_eq(choir_responder_session(w->kept[1]), theirs);
    cr_assert_eq(w->done, 0);

    /* An answer with metadata. */
    choir_reply_options reply;
    choir_reply_options_init(&reply);
    reply.metadata = &extra;
    reply.metadata_len = 1;
    const struct testbed_echo_args *args = w->kept_args[1];
    cr_assert_eq(choir_reply(theirs, w->kept[1].request, &args->message, &reply, choir_loop_now(w->loop)),
                 CHOIR_OK);
    until(w, w->done == 1);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_OK], 1);
    cr_assert_eq(client.extra, 7);

    /* No answer, with a reason. */
    choir_reason reason = choir_reason_of(CHOIR_STR("the printer is on fire"));
    cr_assert_eq(choir_request_drop(theirs, w->kept[2].request, &reason, choir_loop_now(w->loop)), CHOIR_OK);
    until(w, w->done == 2);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_CANCELLED], 1);
    cr_assert_str_eq(client.text, "the printer is on fire");

    /* The same from the other side. */
    reason = choir_reason_of(CHOIR_STR("the user has left"));
    cr_assert_eq(choir_cancel(s, given_up, &reason, choir_loop_now(w->loop)), CHOIR_OK);
    until(w, w->done == 3 && w->cancelled == 1);
    cr_assert_str_eq(w->reason, "the user has left");
    cr_assert_eq(server.cancelled, 1, "observers see it as well");
    cr_assert_eq(choir_request_drop(theirs, w->kept[0].request, NULL, choir_loop_now(w->loop)), CHOIR_OK);
    until(w, w->ended == 3);
    cr_assert_eq(w->last_outcome, CHOIR_OUTCOME_CANCELLED);

    cr_assert_eq(choir_session_ping(s, choir_loop_now(w->loop)), CHOIR_OK);
    cr_assert_eq(choir_session_ping(theirs, choir_loop_now(w->loop)), CHOIR_OK);
    until(w, client.pongs == 1 && server.pongs == 1);
    choir_session_unobserve(theirs, &server.observer);
    choir_session_unobserve(s, &client.observer);
    choir_session_close(s, choir_loop_now(w->loop));
    until(w, w->closed == 1 && w->sessions_closed == 1);
    cr_assert_null(choir_loop_session(w->loop, w->session));
    world_end(w);
}
Test(session, functions_of_the_core) {
    on_each(used_directly);
}

/* A deadline of such a call moves the time for which the loop waits. */
static void deadline_directly(world *w, const char *url) {
    world_open(w, url);
    w->keep = true;
    turn_for(w, 10 * CHOIR_MILLISECOND); /* nothing is left to be done */
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    choir_call_options o;
    choir_call_options_init(&o);
    o.user_data = w;
    o.callback = on_echoed;
    o.deadline = choir_loop_now(w->loop) + 30 * CHOIR_MILLISECOND;
    cr_assert_eq(choir_call(choir_client_session(w->client), choir_client_conn(w->client), TESTBED_ECHO,
                            &args, &o, NULL, choir_loop_now(w->loop)),
                 CHOIR_OK);
    while (w->done == 0) cr_assert_eq(choir_loop_turn(w->loop, CHOIR_TIME_NEVER), CHOIR_OK);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_TIMED_OUT], 1);
    choir_respond_drop(w->kept[0]);
    world_end(w);
}
Test(session, deadlines) {
    on_each(deadline_directly);
}

/* Before there is a link, too. */
Test(session, before_there_is_a_link) {
    world w;
    uint16_t port;
    char url[64];
    world_begin(&w);
    int fd = mute_listener(1, &port);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    int before = open_fds();
    join(&w, url);
    call_directly(&w, choir_client_session(w.client), choir_client_conn(w.client));
    choir_session_close(choir_client_session(w.client), choir_loop_now(w.loop));
    cr_assert_eq(w.done + w.closed, 0, "a callback ran inside close");
    cr_assert_eq(choir_loop_run(w.loop), CHOIR_OK); /* it has nothing left to wait for */
    cr_assert_eq(w.done, 1);
    cr_assert_eq(w.closed, 1);
    cr_assert_eq(w.status, CHOIR_ERR_SHUTDOWN);
    cr_assert_eq(open_fds(), before, "the socket is left");
    close(fd);
    world_end(&w);
}

/* A server calls its client, which serves nothing; without a callback nobody is told. */
static void server_calls(world *w, const char *url) {
    choir_conn_options root;
    choir_conn_options_init(&root);
    root.call = &testbed_service;
    begin_with_root(w, url, &root);
    until(w, w->sessions_opened == 1);
    choir_session *s = choir_loop_session(w->loop, w->session);
    struct testbed_echo_args args = {CHOIR_STR("hello")};
    cr_assert_eq(
        choir_call(s, choir_session_root(s), TESTBED_ECHO, &args, NULL, NULL, choir_loop_now(w->loop)),
        CHOIR_OK);
    call_directly(w, s, choir_session_root(s));
    until(w, w->done == 1);
    cr_assert_eq(w->outcomes[CHOIR_OUTCOME_UNKNOWN_METHOD], 1);
    world_end(w);
}
Test(session, a_server_calls_its_client) {
    on_each(server_calls);
}

Test(session, of_nothing) {
    world w;
    world_open(&w, urls[2]);
    cr_assert_null(choir_client_session(NULL));
    cr_assert_eq(choir_client_conn(NULL).v, 0);
    cr_assert_null(choir_responder_session((choir_responder){0}));
    cr_assert_null(choir_loop_session(NULL, w.session));
    cr_assert_null(choir_loop_session(w.loop, 0));
    cr_assert_null(choir_loop_session(w.loop, UINT64_MAX));
    world_end(&w);
}

/* The callbacks at both ends of a session see what the handshake brought. */
static void metadata_of_hello(world *w, const char *url) {
    static const choir_metadata_entry entries[] = {
        {.key = {"a", 1}, .type = CHOIR_METADATA_U64, .u64 = 1},
        {.key = {"b", 1}, .type = CHOIR_METADATA_U64, .u64 = 2},
    };
    choir_session_options session;
    choir_conn_options root;
    choir_session_options_init(&session);
    choir_conn_options_init(&root);
    root.metadata = entries;
    session.root = &root;
    world_begin(w);
    choir_server_options so = server_options(w);
    choir_client_options co = client_options(w);
    so.session = co.session = &session;
    root.metadata_len = 1;
    cr_assert_eq(choir_listen(w->loop, url, &so, &w->server), CHOIR_OK);
    root.metadata_len = 2;
    cr_assert_eq(choir_connect(w->loop, choir_server_url(w->server), &co, &w->client), CHOIR_OK);
    until(w, w->opened == 1 && w->sessions_opened == 1);
    cr_assert_eq(w->server_metadata, 4, "two, and what the library adds");
    cr_assert_eq(w->client_metadata, 3);
    world_end(w);
}
Test(session, metadata_of_the_handshake) {
    on_each(metadata_of_hello);
}
