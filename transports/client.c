/* SPDX-License-Identifier: MIT */
/* Clients: one link, one session, calls with callbacks, and the waits of small tools.
 *
 * The session exists from the start, so calls can be made before there is a link. It is kept until the client is freed,
 * for its text. A wait runs the loop itself; the event it returns is the session's own, so the link stands still
 * (loop->held) until the loop runs again. */
#include "internal.h"

#include <string.h>

struct choir_client {
    net_object object;
    choir_loop *loop;
    choir_client_options options;
    net_session_options each;
    net_link *link; /* NULL only while the client is made or buried */
    bool opened;
    bool over; /* closed was reported */
    struct {
        void (*done)(void *ctx, choir_duration round_trip); /* NULL: none is under way */
        void *ctx;
        choir_time sent;
    } ping;
};

static choir_client *client_of(const net_link *link) {
    return link->owner_data;
}

const choir_attachment_options *choiri_net_client_attachment(const net_link *link) {
    return &client_of(link)->each.attachment;
}

/* ---- events ---- */

static void end_ping(choir_client *c, choir_duration round_trip) {
    void (*done)(void *ctx, choir_duration round_trip) = c->ping.done;
    c->ping.done = NULL;
    if (done) done(c->ping.ctx, round_trip);
}

static void on_event(net_link *link, const choir_event *event) {
    choir_client *c = client_of(link);
    const choir_client_options *o = &c->options;
    switch (event->kind) {
    case CHOIR_EVENT_CALL_DONE: event->callback(event->user_data, event); return;
    case CHOIR_EVENT_CONN_WRITABLE:
        if (o->writable) o->writable(o->ctx, c);
        return;
    case CHOIR_EVENT_SESSION_PONG: end_ping(c, c->loop->now - c->ping.sent); return;
    case CHOIR_EVENT_SESSION_ESTABLISHED:
        c->opened = true;
        if (o->opened) o->opened(o->ctx, c);
        return;
    case CHOIR_EVENT_SESSION_CLOSED:
        end_ping(c, CHOIR_TIME_NEVER);
        c->over = true;
        if (o->closed) o->closed(o->ctx, c, choir_client_status(c), choir_client_text(c));
        return;
    default: return;
    }
}

static void on_hello(net_link *link) {
    (void)link;
} /* comes to acceptors only */

/* The client has its session until it is freed itself. */
static bool is_done(const net_link *link) {
    (void)link;
    return false;
}

static void on_gone(net_link *link) {
    client_of(link)->link = NULL;
}

static const net_owner client_owner = {on_event, on_hello, is_done, on_gone};

/* ---- life ---- */

static const choir_client_options defaults = {.size = sizeof defaults, .connect_timeout = 10 * CHOIR_SECOND};

void choir_client_options_init_sized(choir_client_options *options, size_t size) {
    choiri_net_options_give(options, size, &defaults, sizeof defaults);
}

static void close_client(net_object *object) {
    choir_client *c = NET_CONTAINER(object, choir_client, object);
    choir_session_close(c->link->session, choiri_net_now(c->loop));
    if (c->link->state == NET_OPENING)
        choiri_net_link_lost(c->link, CHOIR_ERR_LINK_LOST, CHOIR_STR("closed while connecting"));
    choiri_net_link_mark(c->link);
}

static void bury_client(net_object *object) {
    choir_client *c = NET_CONTAINER(object, choir_client, object);
    choir_loop *loop = c->loop;
    if (loop->wait.client == c) loop->wait.client = NULL; /* a wait for it finds nobody to report to */
    choiri_net_link_let_go(c->link);
    choiri_net_release(loop, c, sizeof *c);
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
    ret_each->session.serve = NULL;
    ret_each->session.call = ret->service;
    return CHOIR_OK;
}

static int check_address(choir_loop *loop, const char *url, net_address *ret_address) {
    int status = choiri_net_address_parse(url, ret_address, &loop->error);
    if (status == CHOIR_OK && ret_address->scheme == NET_TCP && ret_address->port == 0)
        return choiri_net_fail(loop, CHOIR_ERR_ADDRESS, "\"%s\": port 0 cannot be connected to", url);
    return status;
}

/* Gives the client its link, session and way. */
static int open_client(choir_client *c, const net_address *address, const char *url) {
    choir_loop *loop = c->loop;
    const net_ops *ops = address->scheme == NET_MEMORY ? &choiri_net_memory : &choiri_net_tcp;
    c->link = choiri_net_link_new(loop, ops, &client_owner, c);
    if (!c->link) return CHOIR_ERR_NO_MEMORY;
    net_link *link = c->link;
    int status = choir_session_new(loop->env, &c->each.session, &link->session, choiri_net_now(loop));
    if (status == CHOIR_OK) status = choiri_net_connect_start(link, address, url, c->options.connect_timeout);
    if (status != CHOIR_OK) {
        choiri_net_link_free(link);
        return status;
    }
    link->root = choir_session_root(link->session);
    return CHOIR_OK;
}

int choir_connect(choir_loop *loop, const char *url, const choir_client_options *options,
                  choir_client **ret_client) {
    if (!loop || !url || !ret_client) return CHOIR_ERR_INVALID;
    if (loop->freeing) return choiri_net_result(loop, CHOIR_ERR_STATE);
    choir_client_options o;
    net_session_options each;
    net_address address;
    int status = check_options(loop, options, &o, &each);
    if (status == CHOIR_OK) status = check_address(loop, url, &address);
    if (status != CHOIR_OK) return status;
    choir_client *c = choiri_net_alloc(loop, sizeof *c);
    if (!c) return choiri_net_result(loop, CHOIR_ERR_NO_MEMORY);
    memset(c, 0, sizeof *c);
    c->object.close = close_client;
    c->object.bury = bury_client;
    c->loop = loop;
    c->options = o;
    c->each = each;
    net_node_init(&c->object.node);
    status = open_client(c, &address, url);
    if (status != CHOIR_OK) {
        choiri_net_release(loop, c, sizeof *c);
        return choiri_net_result(loop, status);
    }
    net_list_append(&loop->objects, &c->object.node);
    choiri_net_link_mark(c->link);
    *ret_client = c;
    return choiri_net_result(loop, CHOIR_OK);
}

void choir_client_close(choir_client *client) {
    if (client) close_client(&client->object);
}

void choir_client_free(choir_client *client) {
    if (client) choiri_net_doom(client->loop, &client->object);
}

int choir_client_status(const choir_client *client) {
    if (!client) return CHOIR_ERR_INVALID;
    const net_link *link = client->link;
    if (link->connect && link->connect->status != CHOIR_OK) return link->connect->status;
    return choir_session_status(link->session);
}

choir_str choir_client_text(const choir_client *client) {
    if (!client) return (choir_str){"", 0};
    const net_link *link = client->link;
    if (link->connect && link->connect->status != CHOIR_OK) return net_text_get(&link->connect->tried);
    return choir_session_text(link->session);
}

/* ---- calls ---- */

int choir_client_call(choir_client *client, uint32_t method, const void *args,
                      const choir_call_options *options, choir_call_fn *done, void *ctx,
                      choir_call_id *ret_call) {
    if (!client) return CHOIR_ERR_INVALID;
    choir_loop *loop = client->loop;
    net_link *link = client->link;
    if (!done) return choiri_net_result(loop, CHOIR_ERR_INVALID);
    choir_call_options o;
    choir_call_options_init(&o);
    if (options && choiri_net_options_copy(&o, sizeof o, options) != CHOIR_OK)
        return choiri_net_result(loop, CHOIR_ERR_INVALID);
    o.user_data = ctx;
    o.callback = done;
    choir_call_id call;
    int status = choir_call(link->session, link->root, method, args, &o, &call, choiri_net_now(loop));
    if (status != CHOIR_OK) return choiri_net_result(loop, status);
    choiri_net_link_mark(link);
    if (ret_call) *ret_call = call;
    return choiri_net_result(loop, CHOIR_OK);
}

const choir_service *choir_client_service(const choir_client *client) {
    return client ? choir_session_service(client->link->session) : NULL;
}

int choir_client_cancel(choir_client *client, choir_call_id call) {
    if (!client) return CHOIR_ERR_INVALID;
    int status = choir_cancel(client->link->session, call, choiri_net_now(client->loop));
    choiri_net_link_mark(client->link);
    return choiri_net_result(client->loop, status);
}

int choir_client_ping(choir_client *client, void (*done)(void *ctx, choir_duration round_trip), void *ctx) {
    if (!client) return CHOIR_ERR_INVALID;
    choir_loop *loop = client->loop;
    if (!done) return choiri_net_result(loop, CHOIR_ERR_INVALID);
    choir_time now = choiri_net_now(loop);
    int status = choir_session_ping(client->link->session, now);
    if (status != CHOIR_OK) return choiri_net_result(loop, status);
    client->ping.done = done;
    client->ping.ctx = ctx;
    client->ping.sent = now;
    choiri_net_link_mark(client->link);
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
    if (choiri_net_is_reentrant(loop)) return choiri_net_result(loop, CHOIR_ERR_REENTRANT);
    begin_wait(client);
    int status = CHOIR_OK;
    while (status == CHOIR_OK && !client->opened && !client->over) status = wait_more(loop);
    loop->wait.active = false;
    if (status != CHOIR_OK || !client->over) return choiri_net_result(loop, status);
    choir_str text = choir_client_text(client);
    return choiri_net_fail(loop, choir_client_status(client), "%.*s", (int)text.len, text.data);
}

static void on_waited(void *ctx, const choir_event *done) {
    choir_loop *loop = ctx;
    /* The call of a wait that gave up is nobody's any more. */
    if (!loop->wait.active || !loop->wait.client || done->call.v != loop->wait.call.v) return;
    loop->wait.done = done;
    loop->held = loop->wait.client->link;
    loop->held->held = true;
}

int choir_client_call_wait(choir_client *client, uint32_t method, const void *args, choir_duration timeout,
                           const choir_event **ret_done) {
    if (!client) return CHOIR_ERR_INVALID;
    choir_loop *loop = client->loop;
    if (!ret_done) return choiri_net_result(loop, CHOIR_ERR_INVALID);
    if (choiri_net_is_reentrant(loop)) return choiri_net_result(loop, CHOIR_ERR_REENTRANT);
    begin_wait(client);
    choir_call_options o;
    choir_call_options_init(&o);
    choir_time now = choiri_net_now(loop);
    o.deadline = timeout > CHOIR_TIME_NEVER - now ? CHOIR_TIME_NEVER : now + timeout;
    int status = choir_client_call(client, method, args, &o, on_waited, loop, &loop->wait.call);
    while (status == CHOIR_OK && !loop->wait.done) status = wait_more(loop);
    loop->wait.active = false;
    if (status != CHOIR_OK) {
        /* Nobody is left to take the answer, if the call was made and its client is still there. */
        if (loop->wait.client && loop->wait.call.v != 0) choir_client_cancel(client, loop->wait.call);
        return choiri_net_result(loop, status);
    }
    choiri_net_schedule(loop); /* whoever runs the loop next, the link goes on */
    *ret_done = loop->wait.done;
    return choiri_net_result(loop, CHOIR_OK);
}
