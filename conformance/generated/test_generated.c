/* SPDX-License-Identifier: MIT */
/* Generated code: its tables say what the interface file was read into, with the compiler's sizes and offsets
 * equal to ours; ids and announcements are those of real peers; typed clients and handlers understand each
 * other. */
#include "choir/value.h"
#include "idl/idl.h"
#include "rust_vectors.h"
#include "testbed/testbed.h"
#include "testbed/testbed_evolved.h"
#include "testing/alloc.h"
#include "value/unit.h"
#include "zoo.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- tables ---- */

/* Generated sources assert the same of their own lists. */
#define IS_LIST(type)                                                                                        \
    _Static_assert(sizeof(type) == sizeof(choir_list) &&                                                     \
                       offsetof(type, items) == offsetof(choir_list, items) &&                               \
                       offsetof(type, len) == offsetof(choir_list, len),                                     \
                   "laid out as choir_list")
IS_LIST(choir_bool_list);
IS_LIST(choir_u128_list);
IS_LIST(choir_f64_list);
IS_LIST(choir_str_list);
IS_LIST(choir_timespan_list);

static void compare_types(const choir_unit *made, const choir_unit *read) {
    cr_assert_eq(made->types_len, read->types_len);
    for (uint32_t i = 0; i < made->types_len; i++) {
        const choir_type *a = &made->types[i], *b = &read->types[i];
        cr_expect(memcmp(a, b, sizeof *a) == 0,
                  "type %u: kind %u, size %u, align %u, offset %u; read: %u %u %u %u", i, a->kind, a->size,
                  a->align, a->offset, b->kind, b->size, b->align, b->offset);
    }
}

#define SAME(member)                                                                                         \
    cr_assert_eq(made->member##_len, read->member##_len);                                                    \
    cr_expect(made->member##_len == 0 ||                                                                     \
                  memcmp(made->member, read->member, made->member##_len * sizeof *made->member) == 0,        \
              #member)

static void compare_units(const choir_unit *made, const choir_unit *read) {
    choiri_text text;
    cr_assert_eq(choiri_unit_check(made, &text), CHOIR_OK);
    compare_types(made, read);
    SAME(fields);
    SAME(variants);
    SAME(strings);
    SAME(params);
    SAME(schemas);
    SAME(announcements);
    SAME(parts);
    SAME(schema_bytes);
}

static void compare(const choir_service *made, const char *path) {
    idl *file;
    idl_error error;
    cr_assert(idl_read(getenv(path), &file, &error), "%s", error.text);
    cr_assert(idl_announce(file, &error), "%s", error.text);
    const choir_service *read = idl_find(file, choir_service_name(made));
    cr_assert(read);
    compare_units(made->unit, idl_unit(file));
    SAME(methods);
    cr_expect_eq(made->name, read->name);
    idl_free(file);
}

Test(generated, tables) {
    compare(&testbed_service, "TESTBED_RS");
    compare(&evolved_service, "EVOLVED_RS");
    compare(&zoo_service, "ZOO_RS");
}

static bool is_hex(const uint8_t *bytes, size_t len, const char *hex) {
    char digits[3];
    for (size_t i = 0; i < len; i++) {
        snprintf(digits, sizeof digits, "%02x", bytes[i]);
        if (memcmp(digits, hex + 2 * i, 2) != 0) return false;
    }
    return strlen(hex) == 2 * len;
}

static bool is_root(const choir_unit *u, uint32_t announcement, const char *hex) {
    const choir_announcement *a = &u->announcements[announcement - 1];
    return is_hex(u->schema_bytes + a->root, a->root_len, hex);
}

static void compare_methods(const choir_service *s, const struct service_row *rows, size_t count) {
    cr_assert_eq(s->methods_len, count);
    for (uint32_t i = 0; i < count; i++) {
        choir_str name = choir_method_name(s, i);
        const choir_method *m = &s->methods[i];
        cr_expect(name.len == strlen(rows[i].name) && memcmp(name.data, rows[i].name, name.len) == 0);
        cr_expect_eq(m->id, rows[i].id, "%s", rows[i].name);
        cr_expect_eq(m->flags, rows[i].flags, "%s", rows[i].name);
        cr_expect(is_root(s->unit, m->args_announcement, rows[i].args), "%s", rows[i].name);
        cr_expect(is_root(s->unit, m->response_announcement, rows[i].response), "%s", rows[i].name);
    }
}

Test(generated, ids_and_roots_of_real_peers) {
    cr_assert_eq(COUNT(testbed_rows), TESTBED_METHODS);
    compare_methods(&testbed_service, testbed_rows, COUNT(testbed_rows));
    compare_methods(&evolved_service, evolved_rows, COUNT(evolved_rows));
}

/* ---- calls ---- */

typedef struct zoo {
    int opened, hollow;
    int done;
} zoo;

static void on_open(void *ctx, zoo_open_responder to, const choir_event *request) {
    zoo *z = ctx;
    (void)request;
    z->opened++;
    cr_expect_eq(zoo_reply_open(to), CHOIR_OK);
}
static void on_numbers(void *ctx, zoo_numbers_responder to, const zoo_numbers_args *args,
                       const choir_event *request) {
    (void)ctx, (void)request;
    cr_expect_eq(zoo_reply_numbers(to, &args->numbers), CHOIR_OK);
}
static void on_animal(void *ctx, zoo_animal_responder to, const zoo_animal_args *args,
                      const choir_event *request) {
    (void)ctx, (void)request;
    cr_expect_eq(zoo_reply_animal(to, &args->animal), CHOIR_OK);
}
static void on_containers(void *ctx, zoo_containers_responder to, const zoo_containers_args *args,
                          const choir_event *request) {
    (void)ctx, (void)request;
    cr_expect_eq(zoo_reply_containers(to, &args->containers), CHOIR_OK);
}
static void on_hollow(void *ctx, zoo_hollow_responder to, const choir_event *request) {
    zoo *z = ctx;
    (void)request;
    z->hollow++;
    cr_expect_eq(zoo_reply_hollow(to), CHOIR_OK);
}
static void on_array(void *ctx, zoo_array_responder to, const zoo_array_args *args,
                     const choir_event *request) {
    (void)ctx, (void)request;
    cr_expect_eq(zoo_reply_array(to, args->array), CHOIR_OK);
}
static void on_fails(void *ctx, zoo_fails_responder to, const zoo_fails_args *args,
                     const choir_event *request) {
    (void)ctx, (void)request;
    cr_expect_eq(args->why.len > 0 ? zoo_fail_fails(to, args->why) : zoo_reply_fails(to), CHOIR_OK);
}
static void on_delete(void *ctx, zoo_delete_responder to, const zoo_delete_args *args,
                      const choir_event *request) {
    (void)ctx, (void)request;
    zoo_option_u8 answer = {args->done, args->client};
    cr_expect_eq(zoo_reply_delete(to, &answer), CHOIR_OK);
}
static void on_size(void *ctx, zoo_size_responder to, const zoo_size_args *args, const choir_event *request) {
    (void)ctx, (void)request;
    cr_expect_eq(zoo_reply_size(to, args->args + args->ctx), CHOIR_OK);
}

static const zoo_handlers handlers = {.size = sizeof(zoo_handlers),
                                      .open = on_open,
                                      .numbers = on_numbers,
                                      .animal = on_animal,
                                      .containers = on_containers,
                                      .hollow = on_hollow,
                                      .array = on_array,
                                      .fails = on_fails,
                                      .delete_ = on_delete,
                                      .size_ = on_size};

typedef struct world {
    zoo zoo;
    choir_loop *loop;
    choir_server *server;
    choir_client *client;
} world;

static void begin(world *w, const zoo_handlers *with) {
    *w = (world){0};
    choir_server_options serve;
    choir_client_options join;
    choir_server_options_init(&serve);
    zoo_serve(&serve, with, &w->zoo);
    choir_client_options_init(&join);
    join.service = &zoo_service;
    cr_assert_eq(choir_loop_new(NULL, &w->loop), CHOIR_OK);
    cr_assert_eq(choir_listen(w->loop, "mem://zoo", &serve, &w->server), CHOIR_OK);
    cr_assert_eq(choir_connect(w->loop, "mem://zoo", &join, &w->client), CHOIR_OK);
    cr_assert_eq(choir_client_wait_open(w->client), CHOIR_OK);
}

#define PATIENCE (10 * CHOIR_SECOND)

static bool is(choir_str s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

Test(generated, scalars_and_nothing) {
    world w;
    const choir_event *done;
    begin(&w, &handlers);
    cr_assert_eq(zoo_wait_open(w.client, PATIENCE, &done), CHOIR_OK);
    cr_expect(zoo_ok_open(done) && w.zoo.opened == 1);
    const zoo_numbers in = {.a = 255,
                            .d = UINT64_MAX,
                            .e = {1, 2},
                            .i = INT64_MIN,
                            .j = {3, UINT64_MAX},
                            .l = -0.5,
                            .m = 0x1F600,
                            .n = true,
                            .p = -1};
    cr_assert_eq(zoo_wait_numbers(w.client, &in, PATIENCE, &done), CHOIR_OK);
    const zoo_numbers *out = zoo_ok_numbers(done);
    cr_assert(out);
    cr_expect(out->a == 255 && out->d == UINT64_MAX && out->e.hi == 2 && out->i == INT64_MIN &&
              out->j.hi == UINT64_MAX && out->l == -0.5 && out->m == 0x1F600 && out->n && out->p == -1);
    cr_assert_eq(zoo_wait_hollow(w.client, PATIENCE, &done), CHOIR_OK);
    cr_expect(zoo_ok_hollow(done) && w.zoo.hollow == 1);
    /* What belongs to another method or another service is told apart, before anything is read as its
     * types. */
    cr_expect(!zoo_ok_numbers(done) && !testbed_ok_generate(done) && !testbed_ok_echo(done));
    const choir_event *other = done;
    cr_expect_eq(testbed_wait_echo(w.client, CHOIR_STR("x"), PATIENCE, &other), CHOIR_ERR_INVALID);
    cr_expect_eq(testbed_client_echo(w.client, CHOIR_STR("x"), NULL, NULL, NULL, NULL), CHOIR_ERR_INVALID);
    const uint32_t three[3] = {1, 0, UINT32_MAX};
    cr_assert_eq(zoo_wait_array(w.client, three, PATIENCE, &done), CHOIR_OK);
    const uint32_t *array = zoo_ok_array(done);
    cr_expect(array && memcmp(array, three, sizeof three) == 0);
    cr_assert_eq(zoo_wait_size(w.client, 40, 2, PATIENCE, &done), CHOIR_OK);
    const uint32_t *size = zoo_ok_size(done);
    cr_expect(size && *size == 42);
    cr_assert_eq(zoo_wait_delete(w.client, 7, 0, true, PATIENCE, &done), CHOIR_OK);
    const zoo_option_u8 *maybe = zoo_ok_delete(done);
    cr_expect(maybe && maybe->some && maybe->value == 7);
    choir_loop_free(w.loop);
}

Test(generated, handlers_without_their_size) {
    static const zoo_handlers none = {.open = NULL};
    choir_loop *loop;
    choir_server *server = NULL;
    choir_server_options serve;
    choir_server_options_init(&serve);
    zoo_serve(&serve, &none, NULL);
    cr_assert_eq(choir_loop_new(NULL, &loop), CHOIR_OK);
    cr_expect_eq(choir_listen(loop, "mem://zoo", &serve, &server), CHOIR_ERR_INVALID);
    cr_expect(strstr(choir_loop_error(loop).data, "with their size"));
    choir_loop_free(loop);
}

Test(generated, enums_and_boxes) {
    world w;
    const choir_event *done;
    begin(&w, &handlers);
    zoo_animal bird = {.tag = ZOO_ANIMAL_BIRD, .bird = CHOIR_STR("tweet")};
    zoo_animal cat = {.tag = ZOO_ANIMAL_CAT, .cat = {.f0 = 9, .f1 = {true, &bird}}};
    cr_assert_eq(zoo_wait_animal(w.client, &cat, PATIENCE, &done), CHOIR_OK);
    const zoo_animal *out = zoo_ok_animal(done);
    cr_assert(out);
    cr_expect(out->tag == ZOO_ANIMAL_CAT && out->cat.f0 == 9 && out->cat.f1.some);
    cr_expect(out->cat.f1.value->tag == ZOO_ANIMAL_BIRD && is(out->cat.f1.value->bird, "tweet"));
    zoo_animal dog = {.tag = ZOO_ANIMAL_DOG, .dog = {CHOIR_STR("Rex"), 0.25}};
    cr_assert_eq(zoo_wait_animal(w.client, &dog, PATIENCE, &done), CHOIR_OK);
    out = zoo_ok_animal(done);
    cr_expect(out && is(out->dog.name, "Rex") && out->dog.double_ == 0.25);
    for (uint32_t tag = ZOO_ANIMAL_EMPTY_TUPLE; tag <= ZOO_ANIMAL_GHOST; tag++) {
        cr_assert_eq(zoo_wait_animal(w.client, &(zoo_animal){.tag = tag}, PATIENCE, &done), CHOIR_OK);
        out = zoo_ok_animal(done);
        cr_expect(out && out->tag == tag);
    }
    choir_loop_free(w.loop);
}

Test(generated, containers) {
    world w;
    const choir_event *done;
    begin(&w, &handlers);
    const choir_str names[] = {CHOIR_STR("a"), CHOIR_STR("")};
    const zoo_entry_string_u32 entries[] = {{CHOIR_STR("x"), 1}, {CHOIR_STR("y"), 2}};
    const uint32_t numbers[] = {5, 6, 7};
    const zoo_option_u16 some[] = {{true, 3}};
    const zoo_option_u16_list rows[] = {{NULL, 0}, {some, 1}};
    const zoo_result_unit_unit results[] = {{.tag = 1}};
    uint64_t boxed = 8;
    uint16_t four[4] = {1, 2, 3, 4};
    const zoo_containers in = {.bytes = {(const uint8_t *)"\x01\x02", 2},
                               .names = {names, 2},
                               .nested = {rows, 2},
                               .slice = {numbers, 3},
                               .text = CHOIR_STR("cow"),
                               .map = {entries, 2},
                               .units = {NULL, 3},
                               .grid = {{1, 2}, {3, 4}, {5, 6}},
                               .boxed = &boxed,
                               .boxed_array = four,
                               .span = {3, 999999999},
                               .maybe = {true, {true}},
                               .result = {.tag = 1, .err = CHOIR_STR("bad")},
                               .results = {results, 1},
                               .cage = {4},
                               .buffers = {{{1, 2}}, {{3, 4, 5}}},
                               .pairs = {{1, CHOIR_STR("p")}, {2, 3}}};
    cr_assert_eq(zoo_wait_containers(w.client, &in, PATIENCE, &done), CHOIR_OK);
    const zoo_containers *out = zoo_ok_containers(done);
    cr_assert(out, "%s %.*s", choir_outcome_text(done->outcome), (int)done->text.len, done->text.data);
    cr_assert(out->names.len == 2 && out->map.len == 2 && out->slice.len == 3 && out->units.len == 3);
    cr_expect(is(out->map.items[1].key, "y") && out->map.items[1].value == 2);
    cr_expect(is(out->names.items[0], "a") && out->slice.items[2] == 7);
    cr_expect(out->nested.len == 2 && out->nested.items[1].items[0].value == 3 &&
              out->results.items[0].tag == 1);
    cr_expect(memcmp(out->slice.items, numbers, sizeof numbers) == 0 && is(out->text, "cow"));
    cr_expect(memcmp(out->grid, in.grid, sizeof in.grid) == 0 && *out->boxed == 8);
    cr_expect(memcmp(out->boxed_array, four, sizeof four) == 0 && out->span.nanoseconds == 999999999);
    cr_expect(out->maybe.some && out->maybe.value.some && out->result.tag == 1 && is(out->result.err, "bad"));
    cr_expect(out->buffers.f1.data[2] == 5 && is(out->pairs.f0.second, "p") && out->cage.bars == 4);
    char text[64];
    const zoo_cage cage = {.int_ = 1, .secret = CHOIR_STR("hidden")};
    choir_value_print(&zoo_unit, ZOO_TYPE_CAGE, &cage, text, sizeof text);
    cr_expect(strstr(text, "int: 1"), "%s", text);
    choir_loop_free(w.loop);
}

static void on_done(void *ctx, const choir_event *done) {
    zoo *z = ctx;
    const choir_str *why = zoo_err_fails(done);
    z->done += why && is(*why, "closed");
    cr_expect_not(zoo_ok_fails(done));
}

/* Errors, callbacks, and a method that an older table of handlers does not have. */
Test(generated, errors) {
    world w;
    const choir_event *done;
    begin(&w, &handlers);
    cr_assert_eq(zoo_client_fails(w.client, CHOIR_STR("closed"), NULL, on_done, &w.zoo, NULL), CHOIR_OK);
    cr_assert_eq(zoo_wait_fails(w.client, CHOIR_STR(""), PATIENCE, &done), CHOIR_OK);
    cr_expect(zoo_ok_fails(done) && !zoo_err_fails(done));
    cr_expect_eq(w.zoo.done, 1);
    cr_assert_eq(zoo_wait_cage(w.client, &(zoo_cage){.int_ = 1}, PATIENCE, &done), CHOIR_OK);
    cr_expect_eq(done->outcome, CHOIR_OUTCOME_UNKNOWN_METHOD, "there is no handler");
    choir_loop_free(w.loop);

    zoo_handlers old = handlers;
    old.size = offsetof(zoo_handlers, delete_);
    begin(&w, &old);
    cr_assert_eq(zoo_wait_fails(w.client, CHOIR_STR(""), PATIENCE, &done), CHOIR_OK);
    cr_expect(zoo_ok_fails(done));
    cr_assert_eq(zoo_wait_size(w.client, 1, 2, PATIENCE, &done), CHOIR_OK);
    cr_expect_eq(done->outcome, CHOIR_OUTCOME_UNKNOWN_METHOD);
    choir_loop_free(w.loop);
}

/* Copied from the handlers of others, with a cast that hides it from the compiler: refused before the value
 * is read as what it is not, and the request can still be answered. */
static void on_fails_confused(void *ctx, zoo_fails_responder to, const zoo_fails_args *args,
                              const choir_event *request) {
    zoo *z = ctx;
    const testbed_math_error error = {TESTBED_MATH_ERROR_OVERFLOW};
    (void)args, (void)request;
    cr_expect_eq(zoo_reply_size((zoo_size_responder){to.any}, 1), CHOIR_ERR_INVALID);
    cr_expect_eq(zoo_reply_open((zoo_open_responder){to.any}), CHOIR_ERR_INVALID);
    cr_expect_eq(testbed_reply_echo((testbed_echo_responder){to.any}, CHOIR_STR("x")), CHOIR_ERR_INVALID);
    cr_expect_eq(testbed_fail_divide((testbed_divide_responder){to.any}, &error), CHOIR_ERR_INVALID);
    cr_expect_eq(zoo_reply_fails((zoo_fails_responder){{0}}), CHOIR_ERR_INVALID, "names no method");
    cr_expect_eq(zoo_fail_fails(to, CHOIR_STR("confused")), CHOIR_OK);
    cr_expect_eq(zoo_reply_fails(to), CHOIR_ERR_NOT_FOUND);
    z->done++;
}

/* The same number in another service is another method. */
static void on_testbed_first(void *ctx, testbed_echo_responder to, const testbed_echo_args *args,
                             const choir_event *request) {
    (void)args, (void)request;
    cr_expect(to.any.method == ZOO_OPEN && to.any.service == &testbed_service);
    cr_expect_eq(zoo_reply_open((zoo_open_responder){to.any}), CHOIR_ERR_INVALID);
    cr_expect_eq(choir_respond_drop(to.any), CHOIR_OK);
    ++*(int *)ctx;
}

Test(generated, the_answer_of_another_method) {
    static const testbed_handlers first = {.size = sizeof first, .echo = on_testbed_first};
    zoo_handlers confused = handlers;
    confused.fails = on_fails_confused;
    world w;
    const choir_event *done;
    begin(&w, &confused);
    cr_assert_eq(zoo_wait_fails(w.client, CHOIR_STR("?"), PATIENCE, &done), CHOIR_OK);
    cr_expect(zoo_err_fails(done) && is(*zoo_err_fails(done), "confused") && w.zoo.done == 1);

    int seen = 0;
    choir_server *other;
    choir_client *client;
    choir_server_options serve;
    choir_client_options join;
    choir_server_options_init(&serve);
    testbed_serve(&serve, &first, &seen);
    choir_client_options_init(&join);
    join.service = &testbed_service;
    cr_assert_eq(choir_listen(w.loop, "mem://other", &serve, &other), CHOIR_OK);
    cr_assert_eq(choir_connect(w.loop, "mem://other", &join, &client), CHOIR_OK);
    cr_assert_eq(testbed_wait_echo(client, CHOIR_STR("?"), PATIENCE, &done), CHOIR_OK);
    cr_expect(done->outcome == CHOIR_OUTCOME_CANCELLED && seen == 1);
    choir_loop_free(w.loop);
}

static void on_testbed_echo(void *ctx, testbed_echo_responder to, const testbed_echo_args *args,
                            const choir_event *request) {
    (void)request;
    ++*(int *)ctx;
    cr_expect_eq(testbed_reply_echo(to, args->message), CHOIR_OK);
}

/* Each is added to those before it, with a context of its own. */
Test(generated, a_server_of_two_services) {
    static const testbed_handlers echoes = {.size = sizeof echoes, .echo = on_testbed_echo};
    zoo state = {0};
    int echoed = 0;
    choir_loop *loop;
    choir_server *server;
    choir_client *keeper, *tester;
    choir_server_options serve;
    choir_client_options join;
    const choir_event *done;
    choir_server_options_init(&serve);
    zoo_serve(&serve, &handlers, &state);
    testbed_serve(&serve, &echoes, &echoed);
    cr_assert_eq(choir_loop_new(NULL, &loop), CHOIR_OK);
    cr_assert_eq(choir_listen(loop, "mem://both", &serve, &server), CHOIR_OK);
    choir_client_options_init(&join);
    join.service = &zoo_service;
    cr_assert_eq(choir_connect(loop, "mem://both", &join, &keeper), CHOIR_OK);
    join.service = &testbed_service;
    cr_assert_eq(choir_connect(loop, "mem://both", &join, &tester), CHOIR_OK);
    cr_assert_eq(zoo_wait_open(keeper, PATIENCE, &done), CHOIR_OK);
    cr_expect(zoo_ok_open(done) && state.opened == 1);
    cr_assert_eq(testbed_wait_echo(tester, CHOIR_STR("both"), PATIENCE, &done), CHOIR_OK);
    cr_expect(testbed_ok_echo(done) && is(*testbed_ok_echo(done), "both") && echoed == 1);
    choir_loop_free(loop);
}
