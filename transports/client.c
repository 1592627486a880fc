/* SPDX-License-Identifier: MIT */
/* Clients: one session and its link, calls with callbacks, and the waits of small tools.
 *
 * The session exists from the start, so calls can be made before there is a link. It is kept until the client
 * is freed, for its text. A wait runs the loop itself; the event it returns is the session's own, so the
 * session stands still (loop->held) until the loop runs again. */
#include "client.h"

#include "connect.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

struct choir_client {
    net_object object;
    choir_loop *loop;
    choir_client_options options;
    net_session_options each;
    net_session *session; /* NULL only while the client is made or buried */
    char url[NET_URL_MAX];
    bool opened;
    bool over; /* closed was reported */
    struct {
        void (*done)(void *ctx, choir_duration round_trip); /* NULL: none is under way */
        void *ctx;
        choir_time sent;
    } ping;
};

static choir_client *client_of(const net_session *session) {
    return session->owner_data;
}

const choir_attachment_options *choiri_net_client_attachment(const net_session *session) {
    return &client_of(session)->each.attachment;
}

/* ---- events ---- */

static void end_ping(choir_client *c, choir_duration round_trip) {
    void (*done)(void *ctx, choir_duration round_trip) = c->ping.done;
    c->ping.done = NULL;
    if (done) done(c->ping.ctx, round_trip);
}

static void on_event(net_session *session, const choir_event *event) {
    choir_client *c = client_of(session);
    const choir_client_options *o = &c->options;
    switch (event->kind) {
    case CHOIR_EVENT_CALL_DONE: net_session_done(event); return;
    case CHOIR_EVENT_CONN_WRITABLE:
        if (o->writable) o->writable(o->ctx, c);
        return;
    case CHOIR_EVENT_SESSION_PONG: end_ping(c, c->loop->now - c->ping.sent); return;
    case CHOIR_EVENT_SESSION_ESTABLISHED:
        c->opened = true;
        if (o->opened) o->opened(o->ctx, c, event);
        return;
    case CHOIR_EVENT_SESSION_CLOSED:
        end_ping(c, CHOIR_TIME_NEVER);
        c->over = true;
        if (o->closed) o->closed(o->ctx, c, event);
        return;
    default: return;
    }
}

/* The client has its session until it is freed itself. */
static bool is_done(const net_session *session) {
    (void)session;
    return false;
}

static void on_gone(net_session *session) {
    client_of(session)->session = NULL;
}

static const net_session_owner client_owner = {on_event, is_done, on_gone};

/* ---- life ---- */

static const choir_client_options defaults = {.size = sizeof defaults, .connect_timeout = 10 * CHOIR_SECOND};

void choir_client_options_init_sized(choir_client_options *options, size_t size) {
    choiri_net_options_give(options, size, &defaults, sizeof defaults);
}

static void close_client(net_object *object) {
    choir_client *c = NET_CONTAINER(object, choir_client, object);
    choir_session_close(c->session->session, choiri_net_now(c->loop));
}

static void bury_client(net_object *object) {
    choir_client *c = NET_CONTAINER(object, choir_client, object);
    choir_loop *loop = c->loop;
    if (loop->wait.client == c) loop->wait.client = NULL; /* a wait for it finds nobody to report to */
    choiri_net_session_let_go(c->session);
    choiri_net_release(loop, c, sizeof *c);
}

static void abandon_client(net_object *object) {
    choir_client *c = NET_CONTAINER(object, choir_client, object);
    choiri_net_release(c->loop, c, sizeof *c);
}

static int check_options(choir_loop *loop, const choir_client_options *options, choir_client_options *ret,
                         net_session_options *ret_each) {
    *ret = defaults;
    if ((options && choiri_net_options_copy(ret, sizeof *ret, options) != CHOIR_OK) ||
        choiri_net_session_options(ret->session, ret->attachment, ret_each) != CHOIR_OK)
        return choiri_net_fail(loop, CHOIR_ERR_INVALID,
                               "the client's options are not initialised, or of a newer library");
    int status = ret->service ? choiri_net_service_check(loop, ret->service) : CHOIR_OK;
    if (status != CHOIR_OK) return status;
    ret->session = NULL; /* the host's, which were borrowed */
    ret->attachment = NULL;
    ret_each->root.call = ret->service;
    ret_each->root.serve = NULL; /* nobody would answer */
    return CHOIR_OK;
}

/* Gives the client its session, link and way; what it noted says why not. */
static int open_client(choir_client *c, const net_address *address, const char *url) {
    choir_loop *loop = c->loop;
    choir_session *core = NULL;
    net_link *link = NULL;
    c->session = choiri_net_session_new(loop, &client_owner, c);
    if (!c->session) return choiri_net_result(loop, CHOIR_ERR_NO_MEMORY);
    choir_session_options o = choiri_net_session_waking(c->session, choiri_net_session_options_of(&c->each));
    int status = choiri_net_result(loop, choir_session_new(loop->env, &o, &core, choiri_net_now(loop)));
    if (status == CHOIR_OK) {
        choiri_net_session_set(c->session, core);
        link = choiri_net_link_new(loop, address->scheme->links);
        status = link ? choiri_net_connect_start(link, address, url, c->options.connect_timeout)
                      : choiri_net_result(loop, CHOIR_ERR_NO_MEMORY);
    }
    if (status == CHOIR_OK) {
        choiri_net_session_attach(c->session, link);
        return CHOIR_OK;
    }
    if (link) choiri_net_link_free(link);
    choiri_net_session_free(c->session);
    return status;
}

int choir_connect(choir_loop *loop, const char *url, const choir_client_options *options,
                  choir_client **ret_client) {
    if (!loop || !url || !ret_client) return CHOIR_ERR_INVALID;
    if (choiri_net_check_usable(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    choir_client_options o;
    net_session_options each;
    net_address address;
    int status = check_options(loop, options, &o, &each);
    if (status == CHOIR_OK) status = choiri_net_address_parse(url, &address, &loop->error);
    if (status != CHOIR_OK) return status;
    choir_client *c = choiri_net_alloc(loop, sizeof *c);
    if (!c) return choiri_net_result(loop, CHOIR_ERR_NO_MEMORY);
    memset(c, 0, sizeof *c);
    c->object.close = close_client;
    c->object.bury = bury_client;
    c->object.abandon = abandon_client;
    c->loop = loop;
    c->options = o;
    c->each = each;
    snprintf(c->url, sizeof c->url, "%s", url);
    net_node_init(&c->object.node);
    status = open_client(c, &address, url);
    if (status != CHOIR_OK) {
        choiri_net_release(loop, c, sizeof *c);
        return status;
    }
    net_list_append(&loop->objects, &c->object.node);
    choiri_net_session_mark(c->session);
    *ret_client = c;
    return choiri_net_result(loop, CHOIR_OK);
}

void choir_client_close(choir_client *client) {
    if (client && !net_is_forked(client->loop)) close_client(&client->object);
}

void choir_client_free(choir_client *client) {
    if (client && !net_is_forked(client->loop)) choiri_net_doom(client->loop, &client->object);
}

int choir_client_status(const choir_client *client) {
    return client ? choir_session_status(client->session->session) : CHOIR_ERR_INVALID;
}

choir_str choir_client_text(const choir_client *client) {
    return client ? choir_session_text(client->session->session) : (choir_str){"", 0};
}

const char *choir_client_url(const choir_client *client) {
    return client ? client->url : "";
}

choir_loop *choiri_net_client_loop(const choir_client *client) {
    return client->loop;
}

choir_session *choir_client_session(const choir_client *client) {
    return client && !net_is_forked(client->loop) ? client->session->session : NULL;
}

choir_conn_id choir_client_conn(const choir_client *client) {
    return client && !net_is_forked(client->loop) ? client->session->root : (choir_conn_id){0};
}

/* ---- calls ---- */

int choir_client_call(choir_client *client, uint32_t method, const void *args,
                      const choir_call_options *options, choir_call_fn *done, void *ctx,
                      choir_call_id *ret_call) {
    if (!client) return CHOIR_ERR_INVALID;
    choir_loop *loop = client->loop;
    net_session *session = client->session;
    if (choiri_net_check_process(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    if (!done) return choiri_net_result(loop, CHOIR_ERR_INVALID);
    choir_call_options o;
    choir_call_options_init(&o);
    if (options && choiri_net_options_copy(&o, sizeof o, options) != CHOIR_OK)
        return choiri_net_result(loop, CHOIR_ERR_INVALID);
    o.user_data = ctx;
    o.callback = done;
    choir_call_id call;
    int status = choir_call(session->session, session->root, method, args, &o, &call, choiri_net_now(loop));
    if (status == CHOIR_OK && ret_call) *ret_call = call;
    return choiri_net_session_result(loop, session->session, status);
}

int choir_client_ping(choir_client *client, void (*done)(void *ctx, choir_duration round_trip), void *ctx) {
    if (!client) return CHOIR_ERR_INVALID;
    choir_loop *loop = client->loop;
    if (choiri_net_check_process(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    if (!done) return choiri_net_result(loop, CHOIR_ERR_INVALID);
    choir_time now = choiri_net_now(loop);
    int status = choir_session_ping(client->session->session, now);
    if (status != CHOIR_OK) return choiri_net_result(loop, status);
    client->ping.done = done;
    client->ping.ctx = ctx;
    client->ping.sent = now;
    return choiri_net_result(loop, CHOIR_OK);
}

/* ---- waits ---- */

static void begin_wait(choir_client *c) {
    choir_loop *loop = c->loop;
    choiri_net_unhold(loop);
    loop->wait.active = true;
    loop->wait.client = c;
    loop->wait.done = NULL;
    loop->wait.call = (choir_call_id){0};
}

/* Runs the loop once; OK while the client is there. */
static int wait_more(choir_loop *loop) {
    bool idle;
    int status = choiri_net_pass(loop, EVLOOP_ONCE, &idle);
    if (status != CHOIR_OK) return status;
    if (!loop->wait.client) return CHOIR_ERR_CLOSED; /* freed by a callback */
    return idle ? CHOIR_ERR_STATE : CHOIR_OK;
}

int choir_client_wait_open(choir_client *client) {
    if (!client) return CHOIR_ERR_INVALID;
    choir_loop *loop = client->loop;
    if (choiri_net_check_process(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    if (choiri_net_is_reentrant(loop)) return choiri_net_result(loop, CHOIR_ERR_REENTRANT);
    begin_wait(client);
    int status = CHOIR_OK;
    while (status == CHOIR_OK && !client->opened && !client->over) status = wait_more(loop);
    loop->wait.active = false;
    if (status != CHOIR_OK || !client->over) return choiri_net_result(loop, status);
    choir_str text = choir_client_text(client);
    return choiri_net_fail(loop, choir_client_status(client), "%.*s", (int)text.len, text.data);
}

/* May the loop run? Asked before a call is made, because one that was made may run. Callbacks that the host
 * has on its own base are known to libevent alone: it refuses to run. */
static int may_wait(choir_loop *loop) {
    bool idle;
    if (loop->own_base) return CHOIR_OK;
    int status = choiri_net_pass(loop, EVLOOP_NONBLOCK, &idle);
    return status == CHOIR_OK && !loop->wait.client ? CHOIR_ERR_CLOSED : status;
}

static void on_waited(void *ctx, const choir_event *done) {
    choir_loop *loop = ctx;
    /* The call of a wait that gave up is nobody's any more. */
    if (!loop->wait.active || !loop->wait.client || done->call.v != loop->wait.call.v) return;
    loop->wait.done = done;
    loop->held = loop->wait.client->session;
    loop->held->held = true;
}

/* What a wait that brings no event says: the method, and why. */
static int no_answer(choir_client *c, uint32_t method, int status) {
    choir_loop *loop = c->loop;
    const choir_service *service = c->options.service;
    char why[sizeof loop->error.data];
    snprintf(why, sizeof why, "%s", loop->error.len > 0 ? loop->error.data : choir_status_text(status));
    if (!service || method >= service->methods_len) return status;
    choir_str name = choir_service_name(service), what = choir_method_name(service, method);
    if (strncmp(why, name.data, name.len) == 0 && why[name.len] == '.') return status; /* it begins so */
    return choiri_net_fail(loop, status, "%.*s.%.*s: %s", (int)name.len, name.data, (int)what.len, what.data,
                           why);
}

static int wait_call(choir_client *c, uint32_t method, const void *args, choir_duration timeout) {
    choir_loop *loop = c->loop;
    begin_wait(c);
    int status = may_wait(loop);
    if (status != CHOIR_OK) return choiri_net_result(loop, status);
    choir_call_options o;
    choir_call_options_init(&o);
    choir_time now = choiri_net_now(loop);
    o.deadline = timeout > CHOIR_TIME_NEVER - now ? CHOIR_TIME_NEVER : now + timeout;
    status = choir_client_call(c, method, args, &o, on_waited, loop, &loop->wait.call);
    if (status != CHOIR_OK) return status;
    while (status == CHOIR_OK && !loop->wait.done) status = wait_more(loop);
    /* Nobody is left to take the answer, if its client is still there. */
    if (status != CHOIR_OK && loop->wait.client)
        choir_cancel(c->session->session, loop->wait.call, NULL, choiri_net_now(loop));
    return choiri_net_result(loop, status);
}

int choir_client_wait_call(choir_client *client, uint32_t method, const void *args, choir_duration timeout,
                           const choir_event **ret_done) {
    if (ret_done) *ret_done = NULL;
    if (!client) return CHOIR_ERR_INVALID;
    choir_loop *loop = client->loop;
    if (choiri_net_check_process(loop) != CHOIR_OK) return CHOIR_ERR_STATE;
    if (!ret_done) return choiri_net_result(loop, CHOIR_ERR_INVALID);
    if (choiri_net_is_reentrant(loop)) {
        choiri_net_result(loop, CHOIR_ERR_REENTRANT);
        return no_answer(client, method, CHOIR_ERR_REENTRANT);
    }
    int status = wait_call(client, method, args, timeout);
    bool is_there = loop->wait.client != NULL; /* a callback may have freed it */
    loop->wait.active = false;
    if (status != CHOIR_OK) return is_there ? no_answer(client, method, status) : status;
    choiri_net_schedule(loop); /* whoever runs the loop next, the session goes on */
    *ret_done = loop->wait.done;
    return CHOIR_OK;
}
