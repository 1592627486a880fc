/* SPDX-License-Identifier: MIT */
/* Serves keys and values from memory. Says on standard error what it does; ends in order on SIGTERM or
 * Ctrl-C.
 * usage: server [ADDRESS] */
#include "kv.h"

#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What callers can make the server hold: 64 MB of values. */
#define KEYS_MAX  1000u
#define VALUE_MAX 65536u
#define KEY_MAX   255u

typedef struct item {
    choir_str key;
    kv_entry entry;
    char data[]; /* the key and the value */
} item;

/* A request of wait_change that waits for its answer. It lies in the request's own memory. */
typedef struct waiter {
    kv_wait_change_responder to;
    const kv_wait_change_args *args; /* they live until the answer */
    struct waiter *next;
} waiter;

typedef struct store {
    item *items[KEYS_MAX]; /* in the order of their keys */
    size_t count;
    uint64_t version; /* of the last change */
    waiter *waiting;
} store;

/* ---- the store ---- */

static int compare(choir_str a, choir_str b) {
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Where the key is, or belongs. */
static size_t place_of(const store *s, choir_str key) {
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(s->items[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static item *find(const store *s, choir_str key) {
    size_t at = place_of(s, key);
    return at < s->count && compare(s->items[at]->key, key) == 0 ? s->items[at] : NULL;
}

static item *item_new(choir_str key, choir_bytes value, uint64_t version) {
    item *i = malloc(sizeof *i + key.len + value.len);
    if (!i) return NULL;
    *i = (item){{i->data, key.len}, {version, {(uint8_t *)i->data + key.len, value.len}}};
    memcpy(i->data, key.data, key.len);
    if (value.len > 0) memcpy(i->data + key.len, value.data, value.len);
    return i;
}

/* Puts the item in the place of `old`, or where it belongs if that is NULL. */
static void store_put(store *s, item *i, item *old) {
    size_t at = place_of(s, i->key);
    if (!old) memmove(s->items + at + 1, s->items + at, (s->count++ - at) * sizeof *s->items);
    free(old);
    s->items[at] = i;
}

static void store_delete(store *s, item *i) {
    size_t at = place_of(s, i->key);
    memmove(s->items + at, s->items + at + 1, (--s->count - at) * sizeof *s->items);
    free(i);
}

/* ---- requests ---- */

static void say(const char *what, choir_str key) {
    fprintf(stderr, "%s %.*s\n", what, (int)key.len, key.data);
}

/* What cannot be answered is dropped, so that its caller need not wait for ever. */
static void or_drop(int status, choir_responder to) {
    if (status != CHOIR_OK) choir_respond_drop(to);
}

/* Keys are printed, so they have nothing in them that steers a terminal. Refusal has no word for others:
 * the caller is told that its arguments are invalid. */
static bool is_key(choir_str key, choir_responder to) {
    bool good = key.len > 0 && key.len <= KEY_MAX;
    for (size_t i = 0; i < key.len && good; i++) good = key.data[i] > ' ' && key.data[i] <= '~';
    if (!good) choir_respond_invalid(to, CHOIR_STR("a key is 1 to 255 printable characters of ASCII"));
    return good;
}

/* ---- an answer that comes later ---- */

/* Answers if the key has another version than the caller knows. */
static bool answer_change(const store *s, kv_wait_change_responder to, const kv_wait_change_args *args) {
    const item *i = find(s, args->key);
    if ((i ? i->entry.version : 0) == args->since) return false;
    const kv_refusal gone = {.tag = KV_REFUSAL_NOT_FOUND};
    or_drop(i ? kv_reply_wait_change(to, &i->entry) : kv_fail_wait_change(to, &gone), to.any);
    return true;
}

/* lines: later */
static void wait_change(void *ctx, kv_wait_change_responder to, const kv_wait_change_args *args,
                        const choir_event *request) {
    store *s = ctx;
    choir_session *session = choir_responder_session(to.any);
    if (!is_key(args->key, to.any) || answer_change(s, to, args)) return;
    waiter *w = choir_request_alloc(session, request->request, sizeof *w, _Alignof(waiter));
    if (!w) {
        choir_respond_drop(to.any);
        return;
    }
    *w = (waiter){to, args, s->waiting};
    s->waiting = w;
    say("watch", args->key);
    choir_request_set_user_data(session, request->request, w);
}

static void changed(store *s) {
    for (waiter **at = &s->waiting, *w; (w = *at);)
        if (answer_change(s, w->to, w->args))
            *at = w->next;
        else
            at = &w->next;
}

/* The caller gave its request up, or has gone. Whoever keeps one must drop it then. */
static void let_go(void *ctx, choir_responder to, const choir_event *event) {
    waiter **at = &((store *)ctx)->waiting;
    while (*at && *at != event->user_data) at = &(*at)->next;
    if (!*at) return; /* it was answered, or is one of another method */
    say(event->kind == CHOIR_EVENT_REQUEST_CANCELLED ? "cancelled" : "gone", (*at)->args->key);
    *at = (*at)->next;
    choir_respond_drop(to);
}
/* lines end */

/* ---- answers at once ---- */

static void get(void *ctx, kv_get_responder to, const kv_get_args *args, const choir_event *request) {
    (void)request;
    if (!is_key(args->key, to.any)) return;
    const item *i = find(ctx, args->key);
    const kv_refusal why = {.tag = KV_REFUSAL_NOT_FOUND};
    or_drop(i ? kv_reply_get(to, &i->entry) : kv_fail_get(to, &why), to.any);
}

/* May it be put? If not, `why` says why. `have` is the version that is there, 0 for none. */
static bool may_put(const store *s, const kv_put_args *args, uint64_t have, kv_refusal *why) {
    if (args->value.len > VALUE_MAX)
        *why = (kv_refusal){.tag = KV_REFUSAL_TOO_LARGE, .too_large = {args->value.len, VALUE_MAX}};
    else if (args->expect.some && args->expect.value != have)
        *why = (kv_refusal){.tag = KV_REFUSAL_CONFLICT, .conflict = {have}};
    else if (have == 0 && s->count == KEYS_MAX)
        *why = (kv_refusal){.tag = KV_REFUSAL_FULL, .full = {KEYS_MAX}};
    else
        return true;
    return false;
}

static void put(void *ctx, kv_put_responder to, const kv_put_args *args, const choir_event *request) {
    store *s = ctx;
    kv_refusal why;
    (void)request;
    if (!is_key(args->key, to.any)) return;
    item *old = find(s, args->key);
    if (!may_put(s, args, old ? old->entry.version : 0, &why)) {
        or_drop(kv_fail_put(to, &why), to.any);
        return;
    }
    item *i = item_new(args->key, args->value, s->version + 1);
    if (!i) {
        choir_respond_drop(to.any);
        return;
    }
    store_put(s, i, old);
    s->version++;
    or_drop(kv_reply_put(to, s->version), to.any);
    say("put", i->key);
    changed(s);
}

static void delete_(void *ctx, kv_delete_responder to, const kv_delete_args *args,
                    const choir_event *request) {
    store *s = ctx;
    (void)request;
    if (!is_key(args->key, to.any)) return;
    item *i = find(s, args->key);
    if (!i) {
        const kv_refusal why = {.tag = KV_REFUSAL_NOT_FOUND};
        or_drop(kv_fail_delete(to, &why), to.any);
        return;
    }
    store_delete(s, i);
    say("delete", args->key); /* before the answer, after which the text is not ours any more */
    or_drop(kv_reply_delete(to), to.any);
    changed(s);
}

/* The list is made in the request's own memory, and freed with it. */
static void list(void *ctx, kv_list_responder to, const kv_list_args *args, const choir_event *request) {
    const store *s = ctx;
    choir_session *session = choir_responder_session(to.any);
    kv_key_info *keys =
        choir_request_alloc(session, request->request, (s->count + 1) * sizeof *keys, _Alignof(kv_key_info));
    size_t len = 0;
    if (!keys) {
        choir_respond_drop(to.any);
        return;
    }
    for (size_t at = place_of(s, args->prefix); at < s->count; at++) {
        const item *i = s->items[at];
        if (i->key.len < args->prefix.len || memcmp(i->key.data, args->prefix.data, args->prefix.len) != 0)
            break;
        keys[len++] = (kv_key_info){i->key, i->entry.version, i->entry.value.len};
    }
    or_drop(kv_reply_list(to, (kv_key_info_list){keys, len}), to.any);
}

/* ---- the program ---- */

/* lines: main */
typedef struct program {
    choir_server *server;
    struct event *signals[2];
} program;

/* What was answered leaves, then the sessions end, and so the loop. Another signal ends the program at
 * once. */
static void stop(evutil_socket_t signal, short what, void *ctx) {
    program *p = ctx;
    (void)signal, (void)what;
    for (int i = 0; i < 2; i++) event_del(p->signals[i]);
    choir_server_close(p->server);
    fprintf(stderr, "closing\n");
}

int main(int argc, char **argv) {
    static const kv_handlers handlers = {.size = sizeof handlers,
                                         .get = get,
                                         .put = put,
                                         .delete_ = delete_,
                                         .list = list,
                                         .wait_change = wait_change};
    static store s;
    program p;
    choir_loop *loop;
    choir_env_options env;
    choir_loop_options with;
    choir_server_options serve;

    choir_env_options_init(&env);
    env.log = choir_log_to_stderr; /* warnings and errors */
    choir_loop_options_init(&with);
    with.base = event_base_new();
    with.env = &env;
    choir_server_options_init(&serve);
    serve.cancelled = serve.ended = let_go;
    kv_serve(&serve, &handlers, &s);
    if (!with.base || choir_loop_new(&with, &loop)) return 1;
    if (choir_listen(loop, argc > 1 ? argv[1] : "tcp://127.0.0.1:7712", &serve, &p.server)) {
        choir_str why = choir_loop_error(loop);
        fprintf(stderr, "%.*s\n", (int)why.len, why.data);
        choir_loop_free(loop);
        event_base_free(with.base);
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        p.signals[i] = evsignal_new(with.base, i == 0 ? SIGTERM : SIGINT, stop, &p);
        if (!p.signals[i] || event_add(p.signals[i], NULL)) return 1;
    }
    printf("listening on %s\n", choir_server_url(p.server));
    fflush(stdout);
    int status = choir_loop_run(loop);
    choir_loop_free(loop);
    for (int i = 0; i < 2; i++) event_free(p.signals[i]);
    event_base_free(with.base);
    while (s.count > 0) free(s.items[--s.count]);
    return status == CHOIR_OK ? 0 : 1;
}
/* lines end */
