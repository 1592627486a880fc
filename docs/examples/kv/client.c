/* SPDX-License-Identifier: MIT */
/* The key-value service from the command line. Ends with 1 if the server refused, with 2 if the call
 * failed. */
#include "kv.h"

#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT   (5 * CHOIR_SECOND)
#define VALUE_MAX (1u << 20) /* more than the server takes, so that it can say so */

static int print_refusal(const kv_refusal *why) {
    switch (why->tag) { /* without a default, so that a compiler finds a variant that is added */
    case KV_REFUSAL_NOT_FOUND: fprintf(stderr, "not found\n"); break;
    case KV_REFUSAL_TOO_LARGE:
        fprintf(stderr, "too large: %" PRIu64 " bytes, the server takes %" PRIu64 "\n", why->too_large.size,
                why->too_large.limit);
        break;
    case KV_REFUSAL_CONFLICT:
        fprintf(stderr, "conflict: it has version %" PRIu64 "\n", why->conflict.have);
        break;
    case KV_REFUSAL_FULL:
        fprintf(stderr, "full: the server keeps %" PRIu64 " keys\n", why->full.limit);
        break;
    }
    return 1;
}

static void print_value(choir_bytes value) {
    fwrite(value.data, 1, value.len, stdout);
    putchar('\n');
}

/* ---- calls that wait ---- */

/* lines: call */
static int get(choir_client *client, choir_str key) {
    const choir_event *done;
    char why[512];
    int status = kv_wait_get(client, key, TIMEOUT, &done);
    if (kv_err_get(done)) return print_refusal(kv_err_get(done));
    if (!kv_ok_get(done)) {
        fprintf(stderr, "%s\n", choir_explain(client, status, done, why, sizeof why));
        return 2;
    }
    print_value(kv_ok_get(done)->value);
    return 0;
}
/* lines end */

/* For all calls that ended without a result and without an error of their own. */
static int failed(const choir_client *client, int status, const choir_event *done) {
    char why[512];
    fprintf(stderr, "%s\n", choir_explain(client, status, done, why, sizeof why));
    return 2;
}

static int put(choir_client *client, choir_str key, choir_bytes value, const char *expect) {
    const choir_event *done;
    kv_option_u64 version = {.some = expect != NULL, .value = expect ? strtoull(expect, NULL, 10) : 0};
    int status = kv_wait_put(client, key, value, &version, TIMEOUT, &done);
    if (kv_err_put(done)) return print_refusal(kv_err_put(done));
    if (!kv_ok_put(done)) return failed(client, status, done);
    printf("version %" PRIu64 "\n", *kv_ok_put(done));
    return 0;
}

static int delete_(choir_client *client, choir_str key) {
    const choir_event *done;
    int status = kv_wait_delete(client, key, TIMEOUT, &done);
    if (kv_err_delete(done)) return print_refusal(kv_err_delete(done));
    return kv_ok_delete(done) ? 0 : failed(client, status, done);
}

static int list(choir_client *client, choir_str prefix) {
    const choir_event *done;
    int status = kv_wait_list(client, prefix, TIMEOUT, &done);
    const kv_key_info_list *found = kv_ok_list(done);
    if (!found) return failed(client, status, done);
    const kv_key_info *keys = found->items;
    for (size_t i = 0; i < found->len; i++)
        printf("%.*s: version %" PRIu64 ", %" PRIu64 " bytes\n", (int)keys[i].key.len, keys[i].key.data,
               keys[i].version, keys[i].size);
    return 0;
}

/* ---- a call that is answered later ---- */

typedef struct watch {
    choir_loop *loop;
    choir_client *client;
    choir_str key;
    uint64_t since;
    unsigned long left; /* how many more changes to print */
    choir_call_id call;
    bool over;
    int status;
} watch;

static void end(watch *w, int status) {
    w->over = true;
    w->status = status;
}

static void on_change(void *ctx, const choir_event *done) {
    watch *w = ctx;
    const kv_entry *entry = kv_ok_wait_change(done);
    if (entry)
        printf("version %" PRIu64 ": ", entry->version), print_value(entry->value);
    else if (kv_err_wait_change(done))
        printf("deleted\n");
    else if (done->status == CHOIR_ERR_CANCELLED)
        printf("cancelled\n");
    else
        end(w, failed(w->client, CHOIR_OK, done));
    fflush(stdout);
    w->since = entry ? entry->version : 0;
    if (w->over) return;
    if (done->status == CHOIR_ERR_CANCELLED || --w->left == 0) {
        end(w, 0);
        return;
    }
    int status = kv_client_wait_change(w->client, w->key, w->since, NULL, on_change, w, &w->call);
    if (status) end(w, failed(w->client, status, NULL));
}

/* on_change is told that the call is over, and the server that nobody waits any more. */
static void on_interrupt(evutil_socket_t signal, short what, void *ctx) {
    watch *w = ctx;
    (void)signal, (void)what;
    choir_cancel(choir_client_session(w->client), w->call, NULL, choir_loop_now(w->loop));
}

static int watch_key(choir_loop *loop, struct event_base *base, choir_client *client, choir_str key,
                     const char *count) {
    if (!base) return 2;
    watch w = {.loop = loop, .client = client, .key = key, .left = count ? strtoul(count, NULL, 10) : 0};
    struct event *interrupt = evsignal_new(base, SIGINT, on_interrupt, &w);
    if (!interrupt || event_add(interrupt, NULL)) return 2;
    int status = kv_client_wait_change(client, key, 0, NULL, on_change, &w, &w.call);
    while (!status && !w.over) status = choir_loop_turn(loop, CHOIR_TIME_NEVER);
    event_free(interrupt);
    return status ? failed(client, status, NULL) : w.status;
}

/* ---- the program ---- */

static choir_bytes read_value(const char *text) {
    static uint8_t input[VALUE_MAX];
    if (strcmp(text, "-") == 0) return (choir_bytes){input, fread(input, 1, sizeof input, stdin)};
    return (choir_bytes){(const uint8_t *)text, strlen(text)};
}

static int usage(void) {
    fprintf(stderr, "usage: client ADDRESS get KEY\n"
                    "       client ADDRESS put KEY VALUE [VERSION]    VALUE -: from standard input\n"
                    "       client ADDRESS delete KEY\n"
                    "       client ADDRESS list [PREFIX]\n"
                    "       client ADDRESS watch KEY [COUNT]\n");
    return 2;
}

static int run(choir_loop *loop, struct event_base *base, choir_client *client, int argc, char **argv) {
    const char *command = argv[2], *key_text = argc > 3 ? argv[3] : "", *more = argc > 4 ? argv[4] : NULL;
    choir_str key = {key_text, strlen(key_text)};
    if (strcmp(command, "list") == 0) return list(client, key);
    if (argc > 3 && strcmp(command, "get") == 0) return get(client, key);
    if (argc > 3 && strcmp(command, "delete") == 0) return delete_(client, key);
    if (argc > 3 && strcmp(command, "watch") == 0) return watch_key(loop, base, client, key, more);
    if (argc > 4 && strcmp(command, "put") == 0)
        return put(client, key, read_value(more), argc > 5 ? argv[5] : NULL);
    return usage();
}

int main(int argc, char **argv) {
    choir_loop *loop;
    choir_client *client;
    choir_loop_options with;
    choir_client_options call;

    if (argc < 3) return usage();
    choir_loop_options_init(&with);
    if (strcmp(argv[2], "watch") == 0) with.base = event_base_new(); /* for its signal */
    choir_client_options_init(&call);
    call.service = &kv_service;
    if (choir_loop_new(&with, &loop)) return 2;
    int status = 2;
    if (choir_connect(loop, argv[1], &call, &client) == CHOIR_OK) {
        status = run(loop, with.base, client, argc, argv);
    } else {
        choir_str why = choir_loop_error(loop);
        fprintf(stderr, "%.*s\n", (int)why.len, why.data);
    }
    choir_loop_free(loop);
    if (with.base) event_base_free(with.base);
    return status;
}
