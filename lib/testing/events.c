/* SPDX-License-Identifier: MIT */
/* Handles are kept for ever in open-addressing sets: they are never given twice, so a second terminal event
 * of one is seen however late it comes. */
#include "testing/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX_MAX 24u

enum { OPEN = 1, CANCELLED, ENDED }; /* states of a handle */

static void append(test_events *t, const char *text, size_t len) {
    if (t->log_len + len + 1 > t->log_cap) {
        t->log_cap = (t->log_len + len + 1) * 2;
        t->log = realloc(t->log, t->log_cap);
        if (!t->log) abort();
    }
    memcpy(t->log + t->log_len, text, len);
    t->log_len += len;
    t->log[t->log_len] = '\0';
}

static void add(test_events *t, const char *text) {
    if (!t->quiet) append(t, text, strlen(text));
}

void test_events_init(test_events *t, const char *name) {
    *t = (test_events){.name = name};
    append(t, "", 0);
}

void test_events_deinit(test_events *t) {
    free(t->log);
    free(t->calls.slots);
    free(t->requests.slots);
    *t = (test_events){0};
}

void test_events_note(test_events *t, const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    add(t, line);
    add(t, "\n");
}

const void *test_find(const void *data, size_t len, const char *part) {
    size_t n = strlen(part);
    for (const char *at = data; len >= n; at++, len--)
        if (memcmp(at, part, n) == 0) return at;
    return NULL;
}

static _Noreturn void broken(const test_events *t, const char *promise) {
    fprintf(stderr, "events of %s: %s\n%s", t->name, promise, t->log);
    abort();
}

static void need(const test_events *t, bool kept, const char *promise) {
    if (!kept) broken(t, promise);
}

/* ---- handles ---- */

static struct test_handle *find(const test_handles *h, uint64_t v) {
    size_t i = (size_t)(v * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (h->cap - 1);
    while (h->slots[i].state != 0 && h->slots[i].v != v) i = (i + 1) & (h->cap - 1);
    return &h->slots[i];
}

static uint32_t state_of(const test_handles *h, uint64_t v) {
    return h->cap > 0 ? find(h, v)->state : 0;
}

static void begin(test_handles *h, uint64_t v) {
    if (h->count >= h->cap / 2) {
        test_handles old = *h;
        h->cap = old.cap ? old.cap * 2 : 64;
        h->slots = calloc(h->cap, sizeof *h->slots);
        if (!h->slots) abort();
        for (size_t i = 0; i < old.cap; i++)
            if (old.slots[i].state != 0) *find(h, old.slots[i].v) = old.slots[i];
        free(old.slots);
    }
    *find(h, v) = (struct test_handle){v, OPEN};
    h->count++;
    h->live++;
}

static void end(test_handles *h, uint64_t v) {
    find(h, v)->state = ENDED;
    h->live--;
}

void test_events_call(test_events *t, choir_call_id call) {
    need(t, call.v != 0 && state_of(&t->calls, call.v) == 0, "a call's handle was given twice");
    begin(&t->calls, call.v);
}

size_t test_events_open_calls(const test_events *t) {
    return t->calls.live;
}
size_t test_events_open_requests(const test_events *t) {
    return t->requests.live;
}

/* ---- lines ---- */

static void add_method(test_events *t, const char *what, const choir_event *e) {
    choir_str name = e->service ? choir_method_name(e->service, e->method) : CHOIR_STR("?");
    add(t, what);
    if (!t->quiet) append(t, name.data, name.len);
}

static void add_payload(test_events *t, choir_bytes b) {
    char hex[2 * HEX_MAX + 32];
    size_t n = 0;
    hex[n++] = ' ';
    for (size_t i = 0; i < b.len && i < HEX_MAX; i++) n += (size_t)snprintf(hex + n, 3, "%02x", b.data[i]);
    if (b.len > HEX_MAX) snprintf(hex + n, sizeof hex - n, "...%zu", b.len);
    hex[sizeof hex - 1] = '\0';
    if (b.len > 0) add(t, hex);
}

static void add_status(test_events *t, const char *what, const choir_event *e) {
    add(t, what);
    add(t, choir_status_name(e->status));
    add(t, "\n");
}

/* Whether it ran agrees with how it ended, and with who says so. */
static bool ran_is_true(const choir_event *e) {
    bool ours = e->status != CHOIR_OK;
    switch (e->outcome) {
    case CHOIR_OUTCOME_OK:
    case CHOIR_OUTCOME_USER_ERROR: return e->ran == (e->value ? CHOIR_RAN_YES : CHOIR_RAN_MAYBE) && !ours;
    case CHOIR_OUTCOME_UNKNOWN_METHOD: return e->ran == CHOIR_RAN_NO && !ours;
    case CHOIR_OUTCOME_SEND_FAILED: return e->ran == CHOIR_RAN_NO;
    case CHOIR_OUTCOME_INVALID_PAYLOAD: return ours ? e->ran != CHOIR_RAN_NO : e->ran == CHOIR_RAN_NO;
    case CHOIR_OUTCOME_CANCELLED:
        return ours ? e->status == CHOIR_ERR_CANCELLED && e->ran != CHOIR_RAN_YES : e->ran == CHOIR_RAN_MAYBE;
    case CHOIR_OUTCOME_TIMED_OUT: return e->status == CHOIR_ERR_TIMED_OUT && e->ran == CHOIR_RAN_MAYBE;
    default: return e->ran == CHOIR_RAN_MAYBE;
    }
}

static void call_done(test_events *t, const choir_event *e) {
    need(t, state_of(&t->calls, e->call.v) == OPEN, "CALL_DONE for a call that was not made or has ended");
    end(&t->calls, e->call.v);
    t->done++;
    if (e->outcome != CHOIR_OUTCOME_OK && e->outcome != CHOIR_OUTCOME_USER_ERROR) t->failed++;
    add_method(t, "call-done ", e);
    add(t, " ");
    add(t, choir_outcome_text(e->outcome));
    if (e->status != CHOIR_OK) {
        add(t, " ");
        add(t, choir_status_name(e->status));
    }
    need(t, ran_is_true(e), "whether it ran follows from outcome and status");
    bool has_value = e->outcome == CHOIR_OUTCOME_OK || e->outcome == CHOIR_OUTCOME_USER_ERROR;
    need(t, (e->value != NULL) == has_value, "a value goes with ok and user error and with nothing else");
    if (has_value && !t->quiet) add_payload(t, e->payload);
    add(t, "\n");
}

static void request_event(test_events *t, const choir_event *e) {
    uint32_t state = state_of(&t->requests, e->request.v);
    if (e->kind == CHOIR_EVENT_REQUEST) {
        need(t, state == 0 && !t->detached,
             "REQUEST for a handle that was used, or after the end of the link");
        bool raw = (e->service->methods[e->method].flags & CHOIR_METHOD_RAW) != 0;
        need(t, (e->value != NULL) != raw, "a request without arguments");
        begin(&t->requests, e->request.v);
        t->started++;
        add_method(t, "request ", e);
        if (!t->quiet) add_payload(t, e->payload);
    } else if (e->kind == CHOIR_EVENT_REQUEST_CANCELLED) {
        need(t, state == OPEN, "REQUEST_CANCELLED twice, or for a request that is not running");
        find(&t->requests, e->request.v)->state = CANCELLED;
        add_method(t, "request-cancelled ", e);
    } else {
        need(t, state == OPEN || state == CANCELLED, "REQUEST_DONE for a request that is not running");
        end(&t->requests, e->request.v);
        add_method(t, "request-done ", e);
        add(t, " ");
        add(t, choir_outcome_text(e->outcome));
    }
    add(t, "\n");
}

static void session_event(test_events *t, const choir_event *e) {
    switch (e->kind) {
    case CHOIR_EVENT_SESSION_ESTABLISHED:
        need(t, !t->established && !t->detached, "ESTABLISHED twice or late");
        t->established = true;
        add(t, "established\n");
        break;
    case CHOIR_EVENT_SESSION_DETACHED:
        need(t, t->established && !t->detached, "DETACHED twice, or without ESTABLISHED");
        t->detached = true;
        add_status(t, "detached ", e);
        break;
    case CHOIR_EVENT_CONN_CLOSED:
        need(t, !t->closed, "CONN_CLOSED after CLOSED");
        if ((uint32_t)e->conn.v != 0) { /* not the root, whose slot is 0 */
            add_status(t, "virtual conn-closed ", e);
            break;
        }
        need(t, !t->conn_closed, "CONN_CLOSED twice");
        need(t, t->calls.live == 0 && t->requests.live == 0,
             "CONN_CLOSED before its calls and requests ended");
        need(t, t->detached == t->established, "CONN_CLOSED before DETACHED");
        t->conn_closed = true;
        add_status(t, "conn-closed ", e);
        break;
    case CHOIR_EVENT_SESSION_CLOSED:
        need(t, t->conn_closed, "CLOSED before the connection ended");
        t->closed = true;
        add_status(t, "closed ", e);
        break;
    case CHOIR_EVENT_CONN_WRITABLE:
        need(t, t->established && !t->detached, "WRITABLE without a link");
        add(t, "writable\n");
        break;
    case CHOIR_EVENT_SESSION_PONG:
        need(t, t->established && !t->detached, "PONG without a link");
        add(t, "pong\n");
        break;
    default: broken(t, "an event of unknown kind");
    }
}

void test_events_add(test_events *t, const choir_event *e) {
    need(t, !t->closed, "an event after CLOSED");
    if (e->text.len > 0) snprintf(t->last_text, sizeof t->last_text, "%.*s", (int)e->text.len, e->text.data);
    if (e->kind == CHOIR_EVENT_CALL_DONE || e->kind == CHOIR_EVENT_REQUEST_DONE) t->last_outcome = e->outcome;
    switch (e->kind) {
    case CHOIR_EVENT_CALL_DONE:
        need(t, !t->conn_closed, "CALL_DONE after CONN_CLOSED");
        call_done(t, e);
        break;
    case CHOIR_EVENT_REQUEST:
    case CHOIR_EVENT_REQUEST_CANCELLED:
    case CHOIR_EVENT_REQUEST_DONE:
        need(t, !t->conn_closed, "an event of a request after CONN_CLOSED");
        request_event(t, e);
        break;
    default: session_event(t, e); break;
    }
}
