/* SPDX-License-Identifier: MIT */
/* Programs that were compiled against other headers than the library they run with.
 *
 * The structs of an older header are written down here by hand, as prefixes of today's; nothing in the program that
 * runs a call between two sessions uses the longer ones. Each is allocated with its own size, so that a sanitizer
 * sees the library touch a byte behind it. A newer header is tried with structs that go on after today's end.
 * Linked with the shared library and its public headers only, as a program would be. Prints TAP.
 *
 * A prefix must end where no padding follows, or the next member would lie inside the old struct. That is checked for
 * today's structs as well, because they are tomorrow's prefixes. */
#include "choir/choir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the older header ---- */

typedef struct old_env_options { /* before there was a log */
    size_t size;
    choir_allocator allocator;
    choir_random_fn *random;
    void *random_ctx;
} old_env_options;

typedef struct old_session_options { /* before calls were queued and the link was watched */
    size_t size;
    const choir_service *serve, *call;
    const choir_metadata_entry *metadata;
    size_t metadata_len;
    uint32_t max_concurrent_requests, max_queued_requests;
} old_session_options;

typedef struct old_attachment_options { /* before there were deadlines */
    size_t size;
    uint32_t framing, max_payload, max_handshake, min_rate;
} old_attachment_options;

typedef struct old_call_options { /* before calls had metadata */
    size_t size;
    choir_time deadline;
} old_call_options;

typedef struct old_event { /* before events had values */
    uint32_t kind;
    int32_t status;
    choir_conn conn;
    choir_call_id call;
    choir_request_id request;
    void *user_data;
    const choir_service *service;
    uint32_t method, outcome;
} old_event;

/* The next member of today's struct begins where the old one ends. */
#define IS_PREFIX(old, type, next)                                                                           \
    _Static_assert(sizeof(old) == offsetof(type, next), #old " is not a prefix")
IS_PREFIX(old_env_options, choir_env_options, log);
IS_PREFIX(old_session_options, choir_session_options, max_queued_request_bytes);
IS_PREFIX(old_attachment_options, choir_attachment_options, handshake_timeout);
IS_PREFIX(old_call_options, choir_call_options, metadata);
IS_PREFIX(old_event, choir_event, value);

#define ENDS_WITH(type, last)                                                                                \
    _Static_assert(offsetof(type, last) + sizeof(((type *)0)->last) == sizeof(type),                         \
                   #type " ends with padding")
ENDS_WITH(choir_env_options, memory_quota);
ENDS_WITH(choir_session_options, destroy);
ENDS_WITH(choir_attachment_options, reserved);
ENDS_WITH(choir_call_options, chunk);
ENDS_WITH(choir_event, reserved);
ENDS_WITH(choir_hello, metadata);

/* ---- results ---- */

static int count, failed;

static void check(bool good, const char *what) {
    printf("%s %d - %s\n", good ? "ok" : "not ok", ++count, what);
    if (!good) failed++;
}

static void need(bool good, const char *what) {
    if (good) return;
    check(false, what);
    exit(1);
}

/* ---- a service: Testbed with one of its methods, echo_u64(n: u64) -> u64 ---- */

#define ECHO_U64 0u
static const char strings[] = "\0Testbed\0echo_u64";
static const choir_field fields[] = {{.name = 0, .type = 0, .offset = 0}};
static const choir_type types[] = {
    {.kind = CHOIR_KIND_U64, .size = 8, .align = 8},
    {.kind = CHOIR_KIND_TUPLE, .size = 8, .align = 8, .first = 0, .count = 1},
    {.kind = CHOIR_KIND_NEVER, .size = 0, .align = 1},
};
static const choir_method methods[] = {
    {.name = 9, .args = 1, .ok = 0, .err = 2, .id = UINT64_C(0x85e2380dbf7ffe65)},
};
static const choir_unit unit = {
    CHOIR_UNIT_HEADER, .types_len = 3,   .fields_len = 1,    .strings_len = sizeof strings,
    .types = types,    .fields = fields, .strings = strings,
};
static const choir_service service = {.unit = &unit, .name = 1, .methods_len = 1, .methods = methods};

/* ---- the host ---- */

static size_t blocks; /* held by the library */

static void *host_alloc(void *ctx, size_t size) {
    (void)ctx;
    blocks++;
    return malloc(size);
}

static void *host_realloc(void *ctx, void *ptr, size_t old_size, size_t size) {
    (void)ctx, (void)old_size;
    if (!ptr) blocks++;
    return realloc(ptr, size);
}

static void host_free(void *ctx, void *ptr, size_t size) {
    (void)ctx, (void)size;
    if (ptr) blocks--;
    free(ptr);
}

static int host_random(void *ctx, void *out, size_t len) {
    uint32_t *state = ctx;
    for (size_t i = 0; i < len; i++) {
        *state = *state * 1664525u + 1013904223u;
        ((uint8_t *)out)[i] = (uint8_t)(*state >> 24);
    }
    return 0;
}

/* Memory for options of `size` bytes, with a canary behind them. */
#define CANARY 64u
static void *canary_new(size_t size) {
    void *options = malloc(size + CANARY);
    need(options != NULL, "memory");
    memset(options, 0xcc, size + CANARY);
    return options;
}

/* An init function was given the options: it filled them in and left the canary alone. Returns them in memory of their own
 * size. */
static void *canary_end(void *options, size_t size, const char *what) {
    size_t found, alive = 0;
    memcpy(&found, options, sizeof found);
    while (alive < CANARY && ((const uint8_t *)options)[size + alive] == 0xcc) alive++;
    check(found == size && alive == CANARY, what);
    void *exact = realloc(options, size);
    need(exact != NULL, "memory");
    return exact;
}

static choir_env *new_env(uint32_t *seed) {
    old_env_options *old = canary_new(sizeof *old);
    choir_env_options_init_sized((choir_env_options *)(void *)old, sizeof *old);
    old = canary_end(old, sizeof *old, "the init of env options stays inside the older struct");
    old->allocator = (choir_allocator){host_alloc, host_realloc, host_free, NULL};
    old->random = host_random;
    old->random_ctx = seed;
    choir_env *env = NULL;
    check(choir_env_new((const choir_env_options *)(const void *)old, &env) == CHOIR_OK,
          "an environment from options without a log");
    free(old);
    need(env != NULL, "the environment");
    return env;
}

static choir_session_options *old_session(bool serve, bool call) {
    old_session_options *old = canary_new(sizeof *old);
    choir_session_options_init_sized((choir_session_options *)(void *)old, sizeof *old);
    old = canary_end(old, sizeof *old, "the init of session options stays inside the older struct");
    old->serve = serve ? &service : NULL;
    old->call = call ? &service : NULL;
    return (choir_session_options *)(void *)old;
}

static choir_attachment_options *old_attachment(void) {
    old_attachment_options *old = canary_new(sizeof *old);
    choir_attachment_options_init_sized((choir_attachment_options *)(void *)old, sizeof *old);
    old = canary_end(old, sizeof *old, "the init of attachment options stays inside the older struct");
    old->framing = CHOIR_FRAMING_NONE;
    return (choir_attachment_options *)(void *)old;
}

/* ---- two sessions ---- */

typedef struct pair {
    choir_session *client, *server; /* server: NULL until its Hello was accepted */
    choir_attachment *client_link, *server_link;
    uint64_t asked, answer;
    uint32_t requests, done, outcome;
} pair;

static void poll_server(pair *p, choir_time now) {
    const old_event *event;
    while ((event = (const old_event *)(const void *)choir_session_poll(p->server)) != NULL) {
        if (event->kind != CHOIR_EVENT_REQUEST) continue;
        p->requests++;
        p->asked = 42; /* an old event has no value: the answer is the server's own */
        need(choir_reply(p->server, event->request, &p->asked, NULL, now) == CHOIR_OK, "the answer is taken");
    }
}

static void poll_client(pair *p) {
    const choir_event *event;
    while ((event = choir_session_poll(p->client)) != NULL) {
        if (event->kind != CHOIR_EVENT_CALL_DONE) continue;
        p->done++;
        p->outcome = event->outcome;
        if (event->value) memcpy(&p->answer, event->value, sizeof p->answer);
    }
}

/* Takes one payload off a link; NULL when there is none. */
static uint8_t *take(choir_attachment *from, size_t *ret_len, choir_time now) {
    choir_iov iov[16];
    size_t n = choir_attachment_peek(from, iov, 16), len = 0;
    if (n == 0) return NULL;
    for (size_t i = 0; i < n; i++) len += iov[i].len;
    uint8_t *payload = malloc(len);
    need(payload != NULL, "memory");
    for (size_t i = 0, at = 0; i < n; at += iov[i++].len) memcpy(payload + at, iov[i].base, iov[i].len);
    need(choir_attachment_consume(from, len, now) == CHOIR_OK, "the payload is taken");
    *ret_len = len;
    return payload;
}

/* Moves one payload and polls its receiver, whose events may point into it; false when there is none. */
static bool move(pair *p, bool to_server, choir_time now) {
    size_t len = 0, used = 0;
    uint8_t *payload = take(to_server ? p->client_link : p->server_link, &len, now);
    if (!payload) return false;
    choir_attachment *to = to_server ? p->server_link : p->client_link;
    need(choir_attachment_receive(to, payload, len, NULL, &used, now) == CHOIR_OK && used == len,
         "the payload is received");
    if (!to_server) {
        poll_client(p);
    } else if (p->server) {
        poll_server(p, now);
    } else if (choir_attachment_hello(to)) {
        choir_session_options *options = old_session(true, false);
        check(choir_attachment_accept(to, options, &p->server, now) == CHOIR_OK,
              "a session accepted with options that end at max_queued_requests");
        free(options);
        need(p->server != NULL, "the server's session");
    }
    free(payload);
    return true;
}

static void pump(pair *p, choir_time now) {
    int payloads = 0;
    while (move(p, true, now) || move(p, false, now)) need(++payloads < 100, "the sessions come to rest");
}

static void call(pair *p, choir_time now) {
    old_call_options *old = canary_new(sizeof *old);
    choir_call_options_init_sized((choir_call_options *)(void *)old, sizeof *old);
    old = canary_end(old, sizeof *old, "the init of call options stays inside the older struct");
    uint64_t n = 1;
    choir_call_id id = {0};
    check(choir_call(p->client, choir_session_root(p->client), ECHO_U64, &n,
                     (const choir_call_options *)(const void *)old, &id, now) == CHOIR_OK,
          "a call with options that end at its deadline, queued as today's default allows");
    free(old);
}

static void test_old_program(choir_env *env) {
    choir_time now = CHOIR_SECOND;
    pair p = {0};
    choir_session_options *options = old_session(false, true);
    check(choir_session_new(env, options, &p.client, now) == CHOIR_OK,
          "a session from options that end at max_queued_requests");
    free(options);
    choir_attachment_options *link = old_attachment();
    need(p.client != NULL, "the client's session");
    check(choir_attachment_new_initiator(env, link, p.client, &p.client_link, now) == CHOIR_OK,
          "an initiator's attachment from options without deadlines");
    check(choir_attachment_new_acceptor(env, link, &p.server_link, now) == CHOIR_OK,
          "an acceptor's attachment from options without deadlines");
    free(link);
    need(p.client_link && p.server_link, "the attachments");
    check(choir_attachment_deadline(p.client_link) != CHOIR_TIME_NEVER,
          "members the program does not know have today's defaults: the handshake has a deadline");

    call(&p, now);
    pump(&p, now);
    check(p.requests == 1, "the request is read as an old event");
    check(p.done == 1 && p.outcome == CHOIR_OUTCOME_OK && p.answer == 42, "the call is answered");
    choir_session_free(p.client);
    choir_session_free(p.server);
}

/* ---- newer headers ---- */

typedef struct newer {
    union {
        size_t size;
        choir_env_options env;
        choir_session_options session;
        choir_attachment_options attachment;
    } today;
    uint64_t unknown[4];
} newer;

/* Lets `today` go on with an unknown member that is set or not. */
static void extend(newer *options, size_t today, bool set) {
    uint8_t *end = (uint8_t *)options + today;
    memset(end, 0, sizeof options->unknown);
    end[sizeof options->unknown - 1] = set;
    options->today.size = today + sizeof options->unknown;
}

static void test_newer_program(choir_env *env, uint32_t *seed) {
    newer options;
    choir_time now = CHOIR_SECOND;
    for (int set = 0; set < 2; set++) {
        int expected = set ? CHOIR_ERR_INVALID : CHOIR_OK;
        choir_env *other = NULL;
        choir_env_options_init(&options.today.env);
        options.today.env.allocator = (choir_allocator){host_alloc, host_realloc, host_free, NULL};
        options.today.env.random = host_random;
        options.today.env.random_ctx = seed;
        extend(&options, sizeof options.today.env, set);
        check(choir_env_new(&options.today.env, &other) == expected && (other == NULL) == set,
              set ? "an unknown member that is set: no environment" : "one that is not: an environment");
        choir_env_free(other);

        choir_session *session = NULL;
        choir_session_options_init(&options.today.session);
        extend(&options, sizeof options.today.session, set);
        check(choir_session_new(env, &options.today.session, &session, now) == expected &&
                  (session == NULL) == set,
              set ? "an unknown member that is set: no session" : "one that is not: a session");
        choir_session_free(session);

        choir_attachment *attachment = NULL;
        choir_attachment_options_init(&options.today.attachment);
        extend(&options, sizeof options.today.attachment, set);
        check(choir_attachment_new_acceptor(env, &options.today.attachment, &attachment, now) == expected &&
                  (attachment == NULL) == set,
              set ? "an unknown member that is set: no attachment" : "one that is not: an attachment");
        if (attachment) choir_attachment_free(attachment, now);
    }
    choir_session *session = NULL;
    struct {
        choir_session_options known;
        uint64_t unknown;
    } *longer = canary_new(sizeof *longer);
    choir_session_options_init_sized(&longer->known, sizeof *longer);
    check(choir_session_new(env, &longer->known, &session, now) == CHOIR_OK,
          "a longer struct, as init has left it");
    choir_session_free(session);
    session = NULL;
    longer->unknown = 1;
    check(choir_session_new(env, &longer->known, &session, now) == CHOIR_ERR_INVALID && !session,
          "a longer struct with an unknown member that was set after init");
    free(canary_end(longer, sizeof *longer, "the init of a longer struct stays inside it"));
    choir_session_options_init(&options.today.session);
    options.today.size = 0;
    check(choir_session_new(env, &options.today.session, &session, now) == CHOIR_ERR_INVALID && !session,
          "options that were never initialised are refused");
}

int main(void) {
    uint32_t seed = 1;
    check(choir_version_number() >= CHOIR_VERSION_NUMBER && strcmp(choir_version(), CHOIR_VERSION) >= 0,
          "the library is not older than the header");
    choir_env *env = new_env(&seed);
    test_old_program(env);
    test_newer_program(env, &seed);
    choir_env_free(env);
    check(blocks == 0, "nothing is left allocated");
    printf("1..%d\n", count);
    return failed ? 1 : 0;
}
