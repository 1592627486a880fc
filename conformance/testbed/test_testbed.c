/* SPDX-License-Identifier: MIT */
/* What Testbed's methods do, from the bytes of a call to the bytes of its answer, as vox peers have recorded
 * them. */
#include "choir/value.h"
#include "schema/service.h"
#include "testbed/testbed.h"
#include "testbed/testbed_handlers.h"
#include "testing/alloc.h"
#include "value/unit.h"
#include "value/value.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

typedef struct bed {
    test_alloc alloc;
    choir_env *env;
    choir_arena *arena;
} bed;

static void open_bed(bed *b) {
    *b = (bed){0};
    b->env = test_env(&b->alloc);
    cr_assert_eq(choir_arena_new(b->env, 1 << 20, &b->arena), CHOIR_OK);
}

static void close_bed(bed *b) {
    choir_arena_free(b->arena);
    choir_env_free(b->env);
    cr_assert_eq(b->alloc.bytes, 0);
}

static choir_bytes from_hex(bed *b, const char *hex) {
    size_t len = strlen(hex) / 2;
    uint8_t *data = choir_arena_alloc(b->arena, len, 1);
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        data[i] = (uint8_t)byte;
    }
    return (choir_bytes){data, len};
}

static uint32_t args_of(uint32_t method) {
    return testbed_service.methods[method].args;
}
static uint32_t ok_of(uint32_t method) {
    return testbed_service.methods[method].ok;
}
static uint32_t err_of(uint32_t method) {
    return testbed_service.methods[method].err;
}

static void decode(bed *b, uint32_t type, const char *hex, void *out) {
    choiri_reader r = choiri_reader_of(from_hex(b, hex));
    choiri_text text;
    int rc = choiri_value_decode(&r, testbed_service.unit, type, &b->arena->arena, out, &text);
    cr_assert_eq(rc, CHOIR_OK, "%s: %s", hex, text.data);
    cr_assert_eq(choiri_reader_left(&r), 0);
}

static void check_encoded(bed *b, uint32_t type, const void *value, const char *hex) {
    choir_bytes expected = from_hex(b, hex);
    choiri_outq q;
    choiri_writer w;
    choir_iov iov = {NULL, 0};
    choiri_outq_init(&q, b->env);
    choiri_writer_init(&w, &q, NULL);
    choiri_value_encode(&w, testbed_service.unit, type, value);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    choiri_outq_peek(&q, 0, UINT64_MAX, &iov, 1);
    cr_assert_eq(iov.len, expected.len, "%s", hex);
    cr_assert(iov.len == 0 || memcmp(iov.base, expected.data, iov.len) == 0, "%s", hex);
    choiri_outq_deinit(&q);
}

static void check_str(choir_str s, const char *text) {
    cr_assert_eq(s.len, strlen(text), "%.*s", (int)s.len, s.data);
    cr_assert_eq(memcmp(s.data, text, s.len), 0, "%.*s", (int)s.len, s.data);
}

Test(testbed, recorded_arguments) {
    bed b;
    open_bed(&b);
    testbed_echo_args echo;
    decode(&b, args_of(TESTBED_ECHO), "0568656c6c6f", &echo);
    check_str(echo.message, "hello");
    check_encoded(&b, args_of(TESTBED_ECHO), &echo, "0568656c6c6f");
    testbed_divide_args divide;
    decode(&b, args_of(TESTBED_DIVIDE), "1406", &divide);
    cr_assert(divide.dividend == 10 && divide.divisor == 3);
    divide = (testbed_divide_args){INT64_MIN, -1};
    check_encoded(&b, args_of(TESTBED_DIVIDE), &divide, "ffffffffffffffffff0101");
    testbed_lookup_args lookup;
    decode(&b, args_of(TESTBED_LOOKUP), "e707", &lookup);
    cr_assert_eq(lookup.id, 999);
    testbed_echo_u64_args number = {UINT64_MAX};
    check_encoded(&b, args_of(TESTBED_ECHO_U64), &number, "ffffffffffffffffff01");
    testbed_echo_bool_args flag = {true};
    check_encoded(&b, args_of(TESTBED_ECHO_BOOL), &flag, "01");
    testbed_echo_bytes_args bytes = {{(const uint8_t *)"\xde\xad", 2}};
    check_encoded(&b, args_of(TESTBED_ECHO_BYTES), &bytes, "02dead");
    testbed_echo_option_string_args option = {{true, {"hello", 5}}};
    check_encoded(&b, args_of(TESTBED_ECHO_OPTION_STRING), &option, "010568656c6c6f");
    option.s.some = false;
    check_encoded(&b, args_of(TESTBED_ECHO_OPTION_STRING), &option, "00");
    close_bed(&b);
}

static const char gnarly_hex[] =
    "ffffffffffffffffff01042f6d6e7403010005612e7478740a2f6d6e742f612e74787402056f776e657204726f6f740002c3"
    "bc03000301020305ffffffffff000a746578742f706c61696e020178017902010103646972082f6d6e742f64697202056f77"
    "6e657204726f6f740002c3bc03000301020305ffffffffff01ac020105612e7478740301ffffffffffffffffff01026c6e07"
    "2f6d6e742f6c6e02056f776e657204726f6f740002c3bc03000301020305ffffffffff0205612e74787404007f8001ffffff"
    "ff0f0103656e6404deadbeef";

static const char gnarly_json[] =
    "[{\"revision\":18446744073709551615,\"mount\":\"/mnt\",\"entries\":[{\"id\":1,\"parent\":null,"
    "\"name\":\"a.txt\",\"path\":\"/mnt/a.txt\",\"attrs\":[{\"key\":\"owner\",\"value\":\"root\"},"
    "{\"key\":\"\",\"value\":\"ü\"}],\"chunks\":[[],[1,2,3],[255,255,255,255,255]],"
    "\"kind\":{\"File\":{\"mime\":\"text/plain\",\"tags\":[\"x\",\"y\"]}}},{\"id\":2,\"parent\":1,"
    "\"name\":\"dir\",\"path\":\"/mnt/dir\",\"attrs\":[{\"key\":\"owner\",\"value\":\"root\"},"
    "{\"key\":\"\",\"value\":\"ü\"}],\"chunks\":[[],[1,2,3],[255,255,255,255,255]],"
    "\"kind\":{\"Directory\":{\"child_count\":300,\"children\":[\"a.txt\"]}}},"
    "{\"id\":3,\"parent\":18446744073709551615,\"name\":\"ln\",\"path\":\"/mnt/ln\","
    "\"attrs\":[{\"key\":\"owner\",\"value\":\"root\"},"
    "{\"key\":\"\",\"value\":\"ü\"}],\"chunks\":[[],[1,2,3],[255,255,255,255,255]],"
    "\"kind\":{\"Symlink\":{\"target\":\"a.txt\",\"hops\":[0,127,128,4294967295]}}}],"
    "\"footer\":\"end\",\"digest\":[222,173,190,239]}]";

Test(testbed, recorded_gnarly_payload) {
    bed b;
    open_bed(&b);
    uint32_t type = args_of(TESTBED_ECHO_GNARLY);
    testbed_echo_gnarly_args args, again;
    decode(&b, type, gnarly_hex, &args);
    const testbed_gnarly_entry *entries = args.payload.entries.items;
    cr_assert_eq(args.payload.entries.len, 3);
    cr_assert_eq(entries[0].kind.tag, TESTBED_GNARLY_KIND_FILE);
    cr_assert_eq(entries[0].chunks.items[1].len, 3);
    cr_assert_eq(entries[1].kind.directory.child_count, 300);
    cr_assert_eq(entries[2].kind.symlink.hops.items[3], UINT32_MAX);
    check_str(entries[2].attrs.items[1].value, "ü");
    check_encoded(&b, type, &args, gnarly_hex);
    check_encoded(&b, ok_of(TESTBED_ECHO_GNARLY), &args.payload, gnarly_hex);

    choir_str json, error = {NULL, 0};
    cr_assert_eq(choir_value_to_json(testbed_service.unit, type, &args, b.arena, &json), CHOIR_OK);
    cr_assert_str_eq(json.data, gnarly_json);
    int rc = choir_value_from_json(testbed_service.unit, type, json, b.arena, &again, &error);
    cr_assert_eq(rc, CHOIR_OK, "%.*s", (int)error.len, error.data);
    check_encoded(&b, type, &again, gnarly_hex);
    decode(&b, type, "0000000000", &args);
    cr_assert_eq(args.payload.entries.len, 0);
    close_bed(&b);
}

Test(testbed, reverse) {
    static const char *const cases[][2] = {{"", ""},
                                           {"a", "a"},
                                           {"hello", "olleh"},
                                           {"añ😀b", "b😀ña"},
                                           {"e\u0301", "\u0301e"},
                                           {"世界🦀", "🦀界世"}};
    bed b;
    open_bed(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        testbed_reverse_args args = {{cases[i][0], strlen(cases[i][0])}};
        choir_str ret;
        cr_assert_eq(testbed_reverse(&args, b.arena, &ret), CHOIR_OK);
        check_str(ret, cases[i][1]);
    }
    testbed_reverse_args large = {{"x", 2 << 20}};
    choir_str ret;
    cr_assert_eq(testbed_reverse(&large, b.arena, &ret), CHOIR_ERR_NO_MEMORY);
    close_bed(&b);
}

Test(testbed, divide) {
    static const struct {
        int64_t dividend, divisor;
        int rc;
        int64_t ret;
        uint32_t tag;
        const char *hex; /* of the result or the error */
    } cases[] = {
        {10, 3, CHOIR_OK, 3, 0, "06"},
        {-7, 2, CHOIR_OK, -3, 0, "05"},
        {INT64_MIN, 1, CHOIR_OK, INT64_MIN, 0, "ffffffffffffffffff01"},
        {INT64_MAX, -1, CHOIR_OK, -INT64_MAX, 0, "fdffffffffffffffff01"},
        {1, 0, TESTBED_USER_ERROR, 0, TESTBED_MATH_ERROR_DIVISION_BY_ZERO, "00"},
        {INT64_MIN, 0, TESTBED_USER_ERROR, 0, TESTBED_MATH_ERROR_DIVISION_BY_ZERO, "00"},
        {INT64_MIN, -1, TESTBED_USER_ERROR, 0, TESTBED_MATH_ERROR_OVERFLOW, "01"},
    };
    bed b;
    open_bed(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        testbed_divide_args args = {cases[i].dividend, cases[i].divisor};
        int64_t ret = 0;
        testbed_math_error err = {0};
        cr_assert_eq(testbed_divide(&args, &ret, &err), cases[i].rc);
        cr_assert_eq(ret, cases[i].ret);
        cr_assert_eq(err.tag, cases[i].tag);
        if (cases[i].rc == CHOIR_OK)
            check_encoded(&b, ok_of(TESTBED_DIVIDE), &ret, cases[i].hex);
        else
            check_encoded(&b, err_of(TESTBED_DIVIDE), &err, cases[i].hex);
    }
    close_bed(&b);
}

Test(testbed, lookup) {
    static const struct {
        uint32_t id;
        int rc;
        uint32_t tag;
        const char *hex;
    } cases[] = {
        {1, CHOIR_OK, 0, "05416c6963651e0111616c696365406578616d706c652e636f6d"},
        {2, CHOIR_OK, 0, "03426f621900"},
        {3, CHOIR_OK, 0,
         "07436861726c69652301"
         "13636861726c6965406578616d706c652e636f6d"},
        {0, TESTBED_USER_ERROR, TESTBED_LOOKUP_ERROR_NOT_FOUND, "00"},
        {4, TESTBED_USER_ERROR, TESTBED_LOOKUP_ERROR_NOT_FOUND, "00"},
        {99, TESTBED_USER_ERROR, TESTBED_LOOKUP_ERROR_NOT_FOUND, "00"},
        {100, TESTBED_USER_ERROR, TESTBED_LOOKUP_ERROR_ACCESS_DENIED, "01"},
        {199, TESTBED_USER_ERROR, TESTBED_LOOKUP_ERROR_ACCESS_DENIED, "01"},
        {200, TESTBED_USER_ERROR, TESTBED_LOOKUP_ERROR_NOT_FOUND, "00"},
    };
    bed b;
    open_bed(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        testbed_lookup_args args = {cases[i].id};
        testbed_person person;
        testbed_lookup_error err = {0};
        cr_assert_eq(testbed_lookup(&args, &person, &err), cases[i].rc);
        cr_assert_eq(err.tag, cases[i].tag);
        if (cases[i].rc == CHOIR_OK)
            check_encoded(&b, ok_of(TESTBED_LOOKUP), &person, cases[i].hex);
        else
            check_encoded(&b, err_of(TESTBED_LOOKUP), &err, cases[i].hex);
    }
    close_bed(&b);
}

/* Decodes the arguments into `args`, which has to be a struct of that method's, and says which they were if
 * it fails. */
#define ARGS(method, hex)                                                                                    \
    decode(&b, args_of(method), (hex), &args);                                                               \
    check_encoded(&b, args_of(method), &args, (hex))

Test(testbed, points_and_people) {
    bed b;
    open_bed(&b);
    {
        testbed_echo_point_args args;
        ARGS(TESTBED_ECHO_POINT, "540d");
        cr_assert(args.point.x == 42 && args.point.y == -7);
        check_encoded(&b, ok_of(TESTBED_ECHO_POINT), &args.point, "540d");
    }
    {
        testbed_create_person_args args;
        static const char hex[] = "04446176652801106461766540657861"
                                  "6d706c652e636f6d";
        ARGS(TESTBED_CREATE_PERSON, hex);
        testbed_person person = testbed_create_person(&args);
        check_str(person.name, "Dave");
        check_encoded(&b, ok_of(TESTBED_CREATE_PERSON), &person, hex);
    }
    {
        testbed_describe_point_args args;
        ARGS(TESTBED_DESCRIBE_POINT, "03666172c701900300");
        testbed_tagged_point point = testbed_describe_point(&args);
        cr_assert(point.x == -100 && point.y == 200 && !point.active);
        check_encoded(&b, ok_of(TESTBED_DESCRIBE_POINT), &point, "03666172c701900300");
    }
    {
        testbed_swap_pair_args args;
        ARGS(TESTBED_SWAP_PAIR, "c6010568656c6c6f");
        testbed_tuple_string_i32 pair = testbed_swap_pair(&args);
        check_encoded(&b, ok_of(TESTBED_SWAP_PAIR), &pair, "0568656c6c6fc601");
    }
    close_bed(&b);
}

Test(testbed, rectangle_area) {
    static const struct {
        testbed_point a, b;
        double area;
    } cases[] = {
        {{0, 0}, {0, 0}, 0},
        {{0, 0}, {10, 5}, 50},
        {{10, 5}, {0, 0}, 50},
        {{-3, 4}, {2, -4}, 40},
        {{INT32_MIN, 0}, {INT32_MAX, 1}, 1},
        {{INT32_MIN, 0}, {0, 1}, INT32_MIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        testbed_rectangle_area_args args = {{cases[i].a, cases[i].b, {false, {NULL, 0}}}};
        cr_assert_eq(testbed_rectangle_area(&args), cases[i].area, "case %zu", i);
    }
}

Test(testbed, colors) {
    static const char *const cases[][2] = {{"green", "0101"}, {"RED", "0100"},   {"bLuE", "0102"},
                                           {"purple", "00"},  {"", "00"},        {"gree", "00"},
                                           {"greens", "00"},  {"r\u00e9d", "00"}};
    bed b;
    open_bed(&b);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        testbed_parse_color_args args = {{cases[i][0], strlen(cases[i][0])}};
        testbed_option_color color = testbed_parse_color(&args);
        check_encoded(&b, ok_of(TESTBED_PARSE_COLOR), &color, cases[i][1]);
    }
    testbed_color_list all = testbed_all_colors();
    check_encoded(&b, args_of(TESTBED_ALL_COLORS), NULL, "");
    check_encoded(&b, ok_of(TESTBED_ALL_COLORS), &all, "03000102");
    close_bed(&b);
}

Test(testbed, shapes) {
    bed b;
    open_bed(&b);
    {
        testbed_shape_area_args args;
        ARGS(TESTBED_SHAPE_AREA, "0100000000000008400000000000001040");
        double area = testbed_shape_area(&args);
        check_encoded(&b, ok_of(TESTBED_SHAPE_AREA), &area, "0000000000002840");
        args.shape = (testbed_shape){.tag = TESTBED_SHAPE_CIRCLE, .circle = {2}};
        area = testbed_shape_area(&args);
        check_encoded(&b, ok_of(TESTBED_SHAPE_AREA), &area, "182d4454fb212940");
        args.shape = (testbed_shape){.tag = TESTBED_SHAPE_POINT};
        cr_assert_eq(testbed_shape_area(&args), 0);
    }
    {
        testbed_create_canvas_args args;
        ARGS(TESTBED_CREATE_CANVAS, "0b656e756d2d63616e766173020200000000000000044001");
        testbed_canvas canvas = testbed_create_canvas(&args);
        check_encoded(&b, ok_of(TESTBED_CREATE_CANVAS), &canvas,
                      "0b656e756d2d63616e766173020200000000000000044001");
    }
    close_bed(&b);
}

Test(testbed, process_message) {
    static const char *const cases[][2] = {
        {"020401020304", "020404030201"},
        {"0200", "0200"},
        {"0000", "000b70726f6365737365643a20"},
        {"00026869", "000d70726f6365737365643a206869"},
        {"0154", "01a801"},
        {"01ffffffffffffffffff01", "0100"}, /* i64::MIN */
    };
    bed b;
    open_bed(&b);
    testbed_process_message_args args;
    testbed_message message;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ARGS(TESTBED_PROCESS_MESSAGE, cases[i][0]);
        cr_assert_eq(testbed_process_message(&args, b.arena, &message), CHOIR_OK);
        check_encoded(&b, ok_of(TESTBED_PROCESS_MESSAGE), &message, cases[i][1]);
    }
    args.msg = (testbed_message){.tag = TESTBED_MESSAGE_TEXT, .text = {"x", 2 << 20}};
    cr_assert_eq(testbed_process_message(&args, b.arena, &message), CHOIR_ERR_NO_MEMORY);
    args.msg = (testbed_message){.tag = TESTBED_MESSAGE_DATA, .data = {(const uint8_t *)"x", 2 << 20}};
    cr_assert_eq(testbed_process_message(&args, b.arena, &message), CHOIR_ERR_NO_MEMORY);
    close_bed(&b);
}

Test(testbed, get_points) {
    bed b;
    open_bed(&b);
    testbed_get_points_args args;
    testbed_point_list points;
    ARGS(TESTBED_GET_POINTS, "03");
    cr_assert_eq(testbed_get_points(&args, b.arena, &points), CHOIR_OK);
    check_encoded(&b, ok_of(TESTBED_GET_POINTS), &points, "03000002040408");
    args.count = 0;
    cr_assert_eq(testbed_get_points(&args, b.arena, &points), CHOIR_OK);
    check_encoded(&b, ok_of(TESTBED_GET_POINTS), &points, "00");
    uint64_t before = b.alloc.bytes;
    args.count = UINT32_MAX;
    cr_assert_eq(testbed_get_points(&args, b.arena, &points), CHOIR_ERR_TOO_LARGE);
    args.count = TESTBED_POINTS_MAX + 1;
    cr_assert_eq(testbed_get_points(&args, b.arena, &points), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(b.alloc.bytes, before, "nothing is allocated for what is refused");
    args.count = TESTBED_POINTS_MAX;
    cr_assert_eq(testbed_get_points(&args, b.arena, &points), CHOIR_ERR_NO_MEMORY,
                 "more than this arena holds");
    choir_arena *large;
    cr_assert_eq(choir_arena_new(b.env, (size_t)16 << 20, &large), CHOIR_OK);
    cr_assert_eq(testbed_get_points(&args, large, &points), CHOIR_OK);
    const testbed_point *last = points.items + TESTBED_POINTS_MAX - 1;
    cr_assert(last->x == (int32_t)TESTBED_POINTS_MAX - 1 && last->y == 2 * last->x);
    choir_arena_free(large);
    close_bed(&b);
}
