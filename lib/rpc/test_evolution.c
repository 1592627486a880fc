/* SPDX-License-Identifier: MIT */
/* Two programs with different versions of the same types: the plain Testbed calls the evolved one, and the
 * other way round, through a pair of sessions. What must come of it is in docs/protocol/schemas.md, with the
 * choices it recommends: a missing Option is none. */
#include "schema/test_schema.h"
#include "schema_vectors.h"
#include "testing/inside.h"
#include "testing/pair.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

typedef struct world {
    test_pair p;
    choir_arena *memory;
    char seen[512];   /* what the handler got */
    char answer[512]; /* what the caller got */
    uint32_t outcome;
} world;

/* `bad`: a text that the line must contain; else the whole JSON. */
typedef struct exchange {
    const char *method, *args;
    const char *seen;   /* by the handler; NULL: it was not run */
    const char *answer; /* JSON, or the text of an error */
    uint32_t outcome;
} exchange;

static void print(world *w, const choir_unit *u, uint32_t type, const void *value, char *out, size_t size) {
    choir_str json;
    int status = choir_value_to_json(u, type, value, w->memory, &json);
    cr_assert_eq(status, CHOIR_OK, "%d", status);
    snprintf(out, size, "%.*s", (int)json.len, json.data);
}

static void echo(test_side *side, const choir_event *e) {
    world *w = side->ctx;
    if (e->kind != CHOIR_EVENT_REQUEST) return;
    const choir_unit *u = e->service->unit;
    print(w, u, e->service->methods[e->method].args, e->value, w->seen, sizeof w->seen);
    /* The only argument is the value of the tuple. */
    cr_assert_eq(choir_reply(side->session, e->request, e->value, NULL, side->pair->now), CHOIR_OK);
}

static void done(test_side *side, const choir_event *e) {
    world *w = side->ctx;
    if (e->kind != CHOIR_EVENT_CALL_DONE) return;
    w->outcome = e->outcome;
    if (e->outcome == CHOIR_OUTCOME_OK)
        print(w, e->service->unit, e->service->methods[e->method].ok, e->value, w->answer, sizeof w->answer);
    else
        snprintf(w->answer, sizeof w->answer, "%.*s", (int)e->text.len, e->text.data);
}

static void world_open(world *w, const choir_service *client, const choir_service *server) {
    memset(w, 0, sizeof *w);
    test_pair_init(&w->p);
    w->p.client_root.call = client;
    w->p.server_root.serve = server;
    w->p.client.on_event = done;
    w->p.server.on_event = echo;
    w->p.client.ctx = w->p.server.ctx = w;
    cr_assert(test_pair_open(&w->p));
    cr_assert_eq(choir_arena_new(w->p.env, (size_t)1 << 20, &w->memory), CHOIR_OK);
}

static void world_close(world *w) {
    choir_arena_free(w->memory);
    cr_assert_eq(test_pair_deinit(&w->p), 0);
}

static void call(world *w, const choir_service *s, const exchange *x) {
    uint32_t method;
    choir_str why = {"", 0};
    cr_assert_eq(choir_service_find(s, (choir_str){x->method, strlen(x->method)}, &method), CHOIR_OK);
    uint32_t type = s->methods[method].args;
    void *args = choir_arena_alloc(w->memory, s->unit->types[type].size, 16);
    int status =
        choir_value_from_json(s->unit, type, (choir_str){x->args, strlen(x->args)}, w->memory, args, &why);
    cr_assert_eq(status, CHOIR_OK, "%s: %.*s", x->args, (int)why.len, why.data);
    w->seen[0] = w->answer[0] = '\0';
    test_side_call(&w->p.client, method, args, NULL, NULL);
    test_pair_pump(&w->p);
}

/* Each exchange twice: the plan is made for the first and used again for the second. */
static void check(world *w, const choir_service *client, const exchange *x) {
    for (int round = 0; round < 2; round++) {
        call(w, client, x);
        cr_assert_eq(w->outcome, x->outcome, "%s %s: %s, %s", x->method, x->args,
                     choir_outcome_text(w->outcome), w->answer);
        cr_assert_str_eq(w->seen, x->seen ? x->seen : "", "%s", x->method);
        cr_assert_str_eq(w->answer, x->answer, "%s: %s", x->method, w->answer);
    }
}

#define OK      CHOIR_OUTCOME_OK
#define INVALID CHOIR_OUTCOME_INVALID_PAYLOAD

static const exchange plain_to_evolved[] = {
    {"echo_profile", "[{\"name\":\"a\",\"bio\":\"b\"}]", "[{\"name\":\"a\",\"bio\":\"b\",\"avatar\":null}]",
     "{\"name\":\"a\",\"bio\":\"b\"}", OK},
    {"echo_record", "[{\"alpha\":-7,\"beta\":\"b\",\"gamma\":1.5}]",
     "[{\"gamma\":1.5,\"alpha\":-7,\"beta\":\"b\"}]", "{\"alpha\":-7,\"beta\":\"b\",\"gamma\":1.5}", OK},
    {"echo_status", "[\"Inactive\"]", "[\"Inactive\"]", "\"Inactive\"", OK},
    {"echo_tag", "[{\"label\":\"l\",\"priority\":3,\"note\":\"n\"}]", "[{\"label\":\"l\",\"priority\":3}]",
     "Testbed.echo_tag answer: Ok.note: missing in the peer's type; ours is struct Tag, the peer's is struct \"Tag\" "
     "(type 0x0eefcca6337b755d)",
     INVALID},
    {"echo_measurement", "[{\"unit\":\"u\",\"value\":1.0}]", NULL,
     "Testbed.echo_measurement arguments: args.0.value: ours is string, the peer's is f64 (type 0x3f2e589db81e95bf)",
     INVALID},
    {"echo_config", "[{\"key\":\"k\",\"value\":\"v\"}]", NULL,
     "Testbed.echo_config arguments: args.0.owner: missing in the peer's type; ours is struct Config, the peer's is "
     "struct \"Config\" (type 0xec2764b25ae6ef1e)",
     INVALID},
};

static const exchange evolved_to_plain[] = {
    {"echo_profile", "[{\"name\":\"a\",\"bio\":\"b\",\"avatar\":\"pic\"}]",
     "[{\"name\":\"a\",\"bio\":\"b\"}]", "{\"name\":\"a\",\"bio\":\"b\",\"avatar\":null}", OK},
    {"echo_record", "[{\"gamma\":-0.25,\"alpha\":300,\"beta\":\"\"}]",
     "[{\"alpha\":300,\"beta\":\"\",\"gamma\":-0.25}]", "{\"gamma\":-0.25,\"alpha\":300,\"beta\":\"\"}", OK},
    {"echo_status", "[\"Active\"]", "[\"Active\"]", "\"Active\"", OK},
    {"echo_status", "[\"Suspended\"]", NULL,
     "Testbed.echo_status arguments: args.0: the peer sent variant \"Suspended\" of enum Status, which ours does not "
     "have",
     INVALID},
    {"echo_status", "[\"Inactive\"]", "[\"Inactive\"]", "\"Inactive\"", OK},
    {"echo_tag", "[{\"label\":\"l\",\"priority\":3}]", NULL,
     "Testbed.echo_tag arguments: args.0.note: missing in the peer's type; ours is struct Tag, the peer's is struct "
     "\"Tag\" (type 0x0eefcca6337b755d)",
     INVALID},
    {"echo_measurement", "[{\"unit\":\"u\",\"value\":\"1\"}]", NULL,
     "Testbed.echo_measurement arguments: args.0.value: ours is f64, the peer's is string (type 0x6d7dce914ee150e8)",
     INVALID},
    {"echo_config", "[{\"key\":\"k\",\"value\":\"v\",\"owner\":\"o\"}]", "[{\"key\":\"k\",\"value\":\"v\"}]",
     "Testbed.echo_config answer: Ok.owner: missing in the peer's type; ours is struct Config, the peer's is struct "
     "\"Config\" (type 0xec2764b25ae6ef1e)",
     INVALID},
};

Test(evolution, plain_calls_evolved) {
    world w;
    world_open(&w, &testbed, &testbed_evolved);
    for (size_t i = 0; i < sizeof plain_to_evolved / sizeof plain_to_evolved[0]; i++)
        check(&w, &testbed, &plain_to_evolved[i]);
    world_close(&w);
}

Test(evolution, evolved_calls_plain) {
    world w;
    world_open(&w, &testbed_evolved, &testbed);
    for (size_t i = 0; i < sizeof evolved_to_plain / sizeof evolved_to_plain[0]; i++)
        check(&w, &testbed_evolved, &evolved_to_plain[i]);
    world_close(&w);
}

/* Plans are made once: later calls allocate nothing. */
Test(evolution, steady_state) {
    world w;
    world_open(&w, &testbed_evolved, &testbed);
    const exchange *x = &evolved_to_plain[0];
    for (int i = 0; i < 20; i++) call(&w, &testbed_evolved, x);
    uint64_t before = w.p.alloc.calls, during;
    for (int i = 0; i < 50; i++) {
        choir_arena_reset(w.memory);
        call(&w, &testbed_evolved, x);
    }
    during = w.p.alloc.calls - before;
    /* The same with equal types, where nothing is translated. */
    world same;
    world_open(&same, &testbed_evolved, &testbed_evolved);
    for (int i = 0; i < 20; i++) call(&same, &testbed_evolved, x);
    before = same.p.alloc.calls;
    for (int i = 0; i < 50; i++) {
        choir_arena_reset(same.memory);
        call(&same, &testbed_evolved, x);
    }
    cr_assert_eq(during, same.p.alloc.calls - before, "%llu allocations, %llu without plans",
                 (unsigned long long)during, (unsigned long long)(same.p.alloc.calls - before));
    world_close(&same);
    world_close(&w);
}

/* Without memory for a plan the session ends, as it does without memory for the schemas; nothing leaks, and
 * every call has its one end (which the list of events watches). */
Test(evolution, no_memory) {
    uint64_t n = 0, failed;
    do {
        world w;
        world_open(&w, &testbed_evolved, &testbed);
        const exchange *x = &evolved_to_plain[0];
        void *args = choir_arena_alloc(w.memory, 256, 16);
        choir_str why;
        uint32_t method;
        cr_assert_eq(choir_service_find(&testbed_evolved, CHOIR_STR("echo_profile"), &method), CHOIR_OK);
        cr_assert_eq(choir_value_from_json(testbed_evolved.unit, testbed_evolved.methods[method].args,
                                           (choir_str){x->args, strlen(x->args)}, w.memory, args, &why),
                     CHOIR_OK);
        w.p.server.on_event = NULL; /* what the handler does needs memory, too */
        w.p.alloc.fail_at = w.p.alloc.calls + ++n;
        test_side_call(&w.p.client, method, args, NULL, NULL);
        test_pair_pump(&w.p);
        failed = w.p.alloc.failed;
        w.p.alloc.fail_at = 0;
        world_close(&w);
    } while (failed > 0);
    cr_assert_geq(n, 3);
}

/* --- what all plans of a connection may take --- */

#define METHODS  8u
#define VARIANTS 2500

static const char limit_strings[] = "\0Svc\0m0\0m1\0m2\0m3\0m4\0m5\0m6\0m7\0S\0A";
enum { LIMIT_M0 = 5, LIMIT_S = 29, LIMIT_A = 31 };
static const choir_variant limit_variants[] = {{.name = LIMIT_A}};
static const choir_field limit_fields[] = {{.type = 0}};
static const choir_type limit_types[] = {
    {.kind = CHOIR_KIND_ENUM, .name = LIMIT_S, .size = 4, .align = 4, .count = 1},
    {.kind = CHOIR_KIND_TUPLE, .size = 4, .align = 4, .count = 1},
    {.kind = CHOIR_KIND_UNIT, .align = 1},
    {.kind = CHOIR_KIND_NEVER, .align = 1},
};
static const choir_unit limit_unit = {CHOIR_UNIT_HEADER,
                                      .types_len = 4,
                                      .fields_len = 1,
                                      .variants_len = 1,
                                      .strings_len = sizeof limit_strings,
                                      .types = limit_types,
                                      .fields = limit_fields,
                                      .variants = limit_variants,
                                      .strings = limit_strings};

static void put(test_bytes *b, const char *text) {
    test_bytes one = test_cbor(text);
    b->data = realloc(b->data, b->len + one.len);
    memcpy(b->data + b->len, one.data, one.len);
    b->len += one.len;
    free(one.data);
}

/* (S,) with an S of many variants that we do not have, whose names a plan keeps for its texts. */
static test_bytes large_enum(void) {
    test_bytes b = {NULL, 0};
    static const uint8_t open[] = {0xa2, 0x67, 's', 'c', 'h', 'e', 'm', 'a', 's', 0x82}, body[] = {0xa2},
                         head[] = {0xa3};
    test_cbor_text c = {0};
    test_put(&c, open, sizeof open);
    test_put(&c, body, sizeof body);
    test_put_item(&c, "id");
    test_put_item(&c, "1");
    test_put_item(&c, "kind");
    test_put(&c, head, sizeof head);
    test_put_item(&c, "tag");
    test_put_item(&c, "enum");
    test_put_item(&c, "name");
    test_put_item(&c, "S");
    test_put_item(&c, "variants");
    test_put_head(&c, 4, VARIANTS + 1);
    test_put_item(&c, "{name: A, index: 0, payload: unit}");
    for (int i = 1; i <= VARIANTS; i++) {
        char text[160];
        snprintf(text, sizeof text, "{name: N%058d, index: %d, payload: unit}", i, i);
        test_put_item(&c, text);
    }
    b.data = c.data;
    b.len = c.len;
    put(&b, "{id: 2, kind: {tag: tuple, elements: [{tag: concrete, type_id: 1, args: []}]}}");
    put(&b, "root");
    put(&b, "{tag: concrete, type_id: 2, args: []}");
    return b;
}

Test(evolution, plans_of_a_connection_are_limited) {
    choir_method methods[METHODS];
    const choir_service service = {&limit_unit, 1, METHODS, methods};
    test_pair p;
    size_t good = 0;
    for (uint32_t i = 0; i < METHODS; i++)
        methods[i] = (choir_method){
            .name = LIMIT_M0 + 3 * i,
            .args = 1,
            .ok = 2,
            .err = 3,
            .id = choiri_method_id(CHOIR_STR("Svc"), (choir_str){limit_strings + LIMIT_M0 + 3 * i, 2})};
    test_pair_init(&p);
    p.server_root.serve = &service;
    cr_assert(test_pair_open(&p));
    choir_session *s = p.server.session;
    choiri_conn *c = &s->conns.root;
    const choiri_lasting *l = test_lasting(s);
    const choiri_plan *first = NULL;
    test_bytes b = large_enum();
    for (uint32_t i = 0; i < METHODS; i++) {
        cr_assert(choiri_types_bind(s, c, i, false, (choir_bytes){b.data, b.len}, p.now));
        test_check_charges(s);
        const choiri_binding *bound = test_binding(&l->served, i);
        if (bound->peer == CHOIRI_BOUND_OK) {
            cr_assert(bound->plan);
            first = bound->plan;
            good++;
            continue;
        }
        cr_assert(
            test_find(bound->text.data, bound->text.len, "too many types of this peer differ from ours"));
        cr_assert_null(bound->plan);
    }
    printf("plans of %zu bytes: %zu of %u\n", choiri_plan_size(first), good, METHODS);
    cr_assert_eq(good, CHOIRI_PLANS_MAX_BYTES / choiri_plan_size(first));
    cr_assert_eq(l->plan_bytes, good * choiri_plan_size(first));
    free(b.data);
    cr_assert_eq(test_pair_deinit(&p), 0);
}
