/* SPDX-License-Identifier: MIT */
/* The services of a server. They are few, so they are searched one by one.
 *
 * A connection serves one service, and the peer says which. Rejected: routing the requests of a peer that
 * names none by their method ids, over all services. The ids would allow it, but whoever decides by service
 * who may call what would have to decide for every request instead of once, and limits, types and user data
 * of a connection would be those of no service in particular. */
#include "services.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void choir_server_options_serve(choir_server_options *options, const choir_service *service,
                                choir_dispatch *dispatch, const void *dispatch_to, void *ctx) {
    if (!options) return;
    uint32_t at = options->services_len++; /* one too many is seen by choir_listen */
    if (at < CHOIR_SERVICES_MAX)
        options->services[at] =
            (choir_served){.service = service, .dispatch = dispatch, .dispatch_to = dispatch_to, .ctx = ctx};
}

static bool is_same(choir_str a, choir_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static const choir_served *find(const choir_server_options *o, choir_str name) {
    for (uint32_t i = 0; i < o->services_len; i++)
        if (is_same(choir_service_name(o->services[i].service), name)) return &o->services[i];
    return NULL;
}

/* ---- checks ---- */

static int check_one(choir_loop *loop, const choir_served *s) {
    if (!s->service)
        return choiri_net_fail(loop, CHOIR_ERR_INVALID, "a server needs services that are not NULL");
    int status = choiri_net_service_check(loop, s->service);
    if (status != CHOIR_OK) return status;
    choir_str name = choir_service_name(s->service);
    if (s->dispatch ? !s->dispatch_to : !s->handlers)
        return choiri_net_fail(loop, CHOIR_ERR_INVALID,
                               "service %.*s needs handlers (generated ones with their size)", (int)name.len,
                               name.data);
    for (size_t i = 0; i < sizeof s->reserved / sizeof *s->reserved; i++)
        if (s->reserved[i])
            return choiri_net_fail(loop, CHOIR_ERR_INVALID, "reserved members of service %.*s are set",
                                   (int)name.len, name.data);
    return CHOIR_OK;
}

static int check_name(choir_loop *loop, const choir_server_options *o, const choir_served *s) {
    choir_str name = choir_service_name(s->service);
    if (find(o, name) == s) return CHOIR_OK;
    return choiri_net_fail(loop, CHOIR_ERR_INVALID, "two services are called %.*s", (int)name.len, name.data);
}

int choiri_net_services_check(choir_loop *loop, const choir_server_options *options) {
    int status = CHOIR_OK;
    if (options->services_len == 0)
        return choiri_net_fail(loop, CHOIR_ERR_INVALID, "a server needs a service");
    if (options->services_len > CHOIR_SERVICES_MAX)
        return choiri_net_fail(loop, CHOIR_ERR_INVALID, "a server has at most %u services, not %u",
                               CHOIR_SERVICES_MAX, options->services_len);
    for (uint32_t i = 0; i < options->services_len && status == CHOIR_OK; i++)
        status = check_one(loop, &options->services[i]);
    for (uint32_t i = 0; i < options->services_len && status == CHOIR_OK; i++)
        status = check_name(loop, options, &options->services[i]);
    return status;
}

/* ---- handlers ---- */

const choir_served *choiri_net_services_of(const choir_server_options *options,
                                           const choir_service *service) {
    for (uint32_t i = 0; i < options->services_len; i++)
        if (options->services[i].service == service) return &options->services[i];
    return NULL;
}

static bool call(const choir_served *s, uint32_t method, choir_responder to, const choir_event *request) {
    const void *args = request ? request->value : NULL;
    if (s->dispatch) return s->dispatch(s->dispatch_to, method, s->ctx, to, args, request);
    if (!s->handlers[method]) return false;
    if (request) s->handlers[method](s->ctx, to, args, request);
    return true;
}

bool choiri_net_services_handle(const choir_served *served, choir_responder to, const choir_event *request) {
    return served && call(served, request->method, to, request);
}

void choiri_net_services_warn(choir_loop *loop, const char *url, const choir_server_options *options) {
    for (uint32_t i = 0; i < options->services_len; i++) {
        const choir_served *s = &options->services[i];
        net_text missing = {.len = 0};
        for (uint32_t m = 0; m < s->service->methods_len; m++) {
            if (call(s, m, (choir_responder){0}, NULL)) continue;
            choir_str name = choir_method_name(s->service, m);
            choiri_net_text_add(&missing, "%s%.*s", missing.len > 0 ? ", " : "", (int)name.len, name.data);
        }
        if (missing.len == 0) continue;
        choir_str name = choir_service_name(s->service);
        choiri_net_log(loop, CHOIR_LOG_WARNING,
                       "%s: %.*s has no handlers for %s: callers are told that these methods are unknown",
                       url, (int)name.len, name.data, missing.data);
    }
}

/* ---- the peer's choice ---- */

/* Text of NET_REFUSAL_MAX bytes while it is built. */
typedef struct refusal {
    char *at;
    size_t left; /* without the NUL */
} refusal;

/* All of it or nothing, so that no letter is cut in two. */
static __attribute__((format(printf, 2, 3))) bool add(refusal *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char text[NET_REFUSAL_MAX];
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n > r->left) return false;
    memcpy(r->at, text, (size_t)n + 1);
    r->at += n;
    r->left -= (size_t)n;
    return true;
}

/* A name that a peer made up: what is not printable ASCII, or not a name's, is not repeated. */
static void add_name(refusal *r, choir_str name) {
    enum { SHOWN = 40 };
    char shown[SHOWN + 1];
    size_t len = name.len < SHOWN ? name.len : SHOWN;
    for (size_t i = 0; i < len; i++) {
        char c = name.data[i];
        shown[i] = c >= 0x20 && c <= 0x7e && c != '"' && c != '\\' ? c : '?';
    }
    shown[len] = '\0';
    add(r, "no service \"%s%s\" here; offered: ", shown, name.len > SHOWN ? "..." : "");
}

static void refuse(const choir_server_options *o, choir_str name, char *ret_why) {
    refusal r = {ret_why, NET_REFUSAL_MAX - 1 - sizeof ", and 16 more"};
    add_name(&r, name);
    for (uint32_t i = 0; i < o->services_len; i++) {
        choir_str offered = choir_service_name(o->services[i].service);
        if (add(&r, "%s%.*s", i > 0 ? ", " : "", (int)offered.len, offered.data)) continue;
        r.left += sizeof ", and 16 more";
        add(&r, i > 0 ? ", and %u more" : "%u services", o->services_len - i);
        return;
    }
}

/* vox peers that expect no service say Noop. */
static bool is_none(choir_str name) {
    return name.len == 0 || is_same(name, CHOIR_STR("Noop"));
}

bool choiri_net_services_choose(const choir_server_options *options, choir_str name,
                                const choir_service **ret_service, char *ret_why) {
    const choir_served *named = find(options, name);
    if (!named && !is_none(name)) {
        refuse(options, name, ret_why);
        return false;
    }
    if (!named && options->services_len == 1) named = options->services;
    *ret_service = named ? named->service : NULL;
    return true;
}
