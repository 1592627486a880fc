/* SPDX-License-Identifier: MIT */
/* The calls that the Rust client has under the same names, made with the functions that choir-gen makes. One
 * function per method, then the cases; each case states what must come back. */
#include "interop/methods.h"

#include "interop/checks.h"
#include "testbed/testbed.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG      ((size_t)1 << 16) /* longer than what fits into one read of a socket */
#define MIB       ((size_t)1 << 20)
#define PI        3.14159265358979323846
#define SUBNORMAL 4.9406564584124654e-324 /* the smallest */
#define S(text)   CHOIR_STR(text)
#define COUNT(a)  (sizeof(a) / sizeof(a)[0])

/* ---- long values ---- */

/* Numbered blocks, so that lost or swapped pieces show; owned by the caller (free). */
static choir_str long_text(size_t len) {
    char *text = malloc(len + 16);
    for (size_t at = 0, block = 0; at < len; at += 8) snprintf(text + at, 16, "%07zu ", block++);
    return (choir_str){text, len};
}

static choir_bytes numbered_bytes(size_t len) {
    uint8_t *bytes = malloc(len);
    for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(i % 251);
    return (choir_bytes){bytes, len};
}

/* The same from the end to the beginning, in place. */
static void reverse_bytes(uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len / 2; i++) {
        uint8_t byte = bytes[i];
        bytes[i] = bytes[len - 1 - i];
        bytes[len - 1 - i] = byte;
    }
}

/* ---- strings ---- */

static void echo(choir_client *c, const char *name, choir_str text) {
    const choir_event *done = NULL;
    int status = testbed_wait_echo(c, text, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO, status, done, &text);
}

static void reverse(choir_client *c, const char *name, choir_str text, choir_str reversed) {
    const choir_event *done = NULL;
    int status = testbed_wait_reverse(c, text, LIMIT, &done);
    ends_with_value(name, TESTBED_REVERSE, status, done, &reversed);
}

static void echo_option_string(choir_client *c, const char *name, choir_str text) {
    const choir_event *done = NULL;
    testbed_option_string some = {true, text};
    int status = testbed_wait_echo_option_string(c, &some, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_OPTION_STRING, status, done, &some);
}

static void parse_color(choir_client *c, const char *name, choir_str color, const char *expected) {
    const choir_event *done = NULL;
    int status = testbed_wait_parse_color(c, color, LIMIT, &done);
    ends_with(name, TESTBED_PARSE_COLOR, status, done, expected);
}

static void swap_pair(choir_client *c, const char *name, int32_t number, choir_str text) {
    const choir_event *done = NULL;
    testbed_tuple_i32_string pair = {number, text};
    testbed_tuple_string_i32 swapped = {text, number};
    int status = testbed_wait_swap_pair(c, &pair, LIMIT, &done);
    ends_with_value(name, TESTBED_SWAP_PAIR, status, done, &swapped);
}

static void texts(choir_client *c) {
    choir_str text = long_text(LONG), mirrored = long_text(LONG);
    reverse_bytes((uint8_t *)(uintptr_t)mirrored.data, mirrored.len);

    /* The lengths at which the length itself gets longer, the ends of each length of a scalar, and characters
     * that have to be escaped when shown. */
    echo(c, "echo/127-bytes", (choir_str){text.data, 127});
    echo(c, "echo/128-bytes", (choir_str){text.data, 128});
    echo(c, "echo/16383-bytes", (choir_str){text.data, 16383});
    echo(c, "echo/16384-bytes", (choir_str){text.data, 16384});
    echo(c, "echo/scalars",
         S("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
    echo(c, "echo/escapes", S("\"\\\t\r\n'\x01\0"));

    reverse(c, "reverse/empty", S(""), S(""));
    reverse(c, "reverse/four-bytes",
            S("\xf4\x8f\xbf\xbf\xf0\x9f\x98\x80\xf0\x90\x80\x80"
              "a"),
            S("a\xf0\x90\x80\x80\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"));
    reverse(c, "reverse/combining", S("e\xcc\x81x"),
            S("x\xcc\x81"
              "e"));
    reverse(c, "reverse/long", text, mirrored);

    echo_option_string(c, "echo_option_string/non-ascii", S("\xc3\xb1\xf0\x9f\x98\x80"));
    echo_option_string(c, "echo_option_string/long", text);

    parse_color(c, "parse_color/red", S("red"), "Ok(Some(Red))");
    parse_color(c, "parse_color/green", S("GREEN"), "Ok(Some(Green))");
    parse_color(c, "parse_color/blue", S("bLuE"), "Ok(Some(Blue))");
    parse_color(c, "parse_color/empty", S(""), "Ok(None)");
    parse_color(c, "parse_color/other", S("purple"), "Ok(None)");
    parse_color(c, "parse_color/space", S("red "), "Ok(None)");
    parse_color(c, "parse_color/non-ascii",
                S("r\xc3\xab"
                  "d"),
                "Ok(None)");

    swap_pair(c, "swap_pair/empty", INT32_MIN, S(""));
    swap_pair(c, "swap_pair/non-ascii", INT32_MAX, S("\xc3\xb1\xf0\x9f\x98\x80"));
    swap_pair(c, "swap_pair/long", 0, text);
    free((void *)(uintptr_t)text.data);
    free((void *)(uintptr_t)mirrored.data);
}

/* ---- numbers ---- */

static void divide(choir_client *c, const char *name, int64_t dividend, int64_t divisor,
                   const char *expected) {
    const choir_event *done = NULL;
    int status = testbed_wait_divide(c, dividend, divisor, LIMIT, &done);
    ends_with(name, TESTBED_DIVIDE, status, done, expected);
}

static void lookup(choir_client *c, const char *name, uint32_t id, const char *expected) {
    const choir_event *done = NULL;
    int status = testbed_wait_lookup(c, id, LIMIT, &done);
    ends_with(name, TESTBED_LOOKUP, status, done, expected);
}

static void echo_u64(choir_client *c, const char *name, uint64_t n) {
    const choir_event *done = NULL;
    int status = testbed_wait_echo_u64(c, n, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_U64, status, done, &n);
}

static void numbers(choir_client *c) {
    divide(c, "divide/min-by-one", INT64_MIN, 1, "Ok(-9223372036854775808)");
    divide(c, "divide/max-by-minus-one", INT64_MAX, -1, "Ok(-9223372036854775807)");
    divide(c, "divide/min-by-max", INT64_MIN, INT64_MAX, "Ok(-1)");
    divide(c, "divide/max-by-min", INT64_MAX, INT64_MIN, "Ok(0)");
    divide(c, "divide/both-negative", -7, -2, "Ok(3)");
    divide(c, "divide/min-by-zero", INT64_MIN, 0, "Err(User(DivisionByZero))");

    lookup(c, "lookup/zero", 0, "Err(User(NotFound))");
    lookup(c, "lookup/99", 99, "Err(User(NotFound))");
    lookup(c, "lookup/199", 199, "Err(User(AccessDenied))");
    lookup(c, "lookup/200", 200, "Err(User(NotFound))");
    lookup(c, "lookup/max", UINT32_MAX, "Err(User(NotFound))");

    echo_u64(c, "echo_u64/127", 127);
    echo_u64(c, "echo_u64/16383", 16383);
    echo_u64(c, "echo_u64/16384", 16384);
    echo_u64(c, "echo_u64/32-bits", (uint64_t)UINT32_MAX + 1);
    echo_u64(c, "echo_u64/63-bits", UINT64_C(1) << 63);
}

/* ---- points ---- */

static void echo_point(choir_client *c, const char *name, int32_t x, int32_t y) {
    const choir_event *done = NULL;
    testbed_point point = {x, y};
    int status = testbed_wait_echo_point(c, &point, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_POINT, status, done, &point);
}

static void rectangle_area(choir_client *c, const char *name, testbed_rectangle rectangle, double area) {
    const choir_event *done = NULL;
    int status = testbed_wait_rectangle_area(c, &rectangle, LIMIT, &done);
    ends_with_value(name, TESTBED_RECTANGLE_AREA, status, done, &area);
}

static void get_points(choir_client *c, const char *name, uint32_t count) {
    const choir_event *done = NULL;
    testbed_point *points = calloc(count + 1, sizeof *points);
    for (int32_t i = 0; i < (int32_t)count; i++) points[i] = (testbed_point){i, 2 * i};
    testbed_point_list row = {points, count};
    int status = testbed_wait_get_points(c, count, LIMIT, &done);
    ends_with_value(name, TESTBED_GET_POINTS, status, done, &row);
    free(points);
}

static void describe_point(choir_client *c, const char *name, testbed_tagged_point point) {
    const choir_event *done = NULL;
    int status = testbed_wait_describe_point(c, point.label, point.x, point.y, point.active, LIMIT, &done);
    ends_with_value(name, TESTBED_DESCRIBE_POINT, status, done, &point);
}

static void points(choir_client *c) {
    static const testbed_option_string none = {false, {"", 0}};
    echo_point(c, "echo_point/zero", 0, 0);
    echo_point(c, "echo_point/limits", INT32_MIN, INT32_MAX);
    echo_point(c, "echo_point/one-byte", 63, -64);
    echo_point(c, "echo_point/two-bytes", 64, -65);

    rectangle_area(c, "rectangle_area/unit", (testbed_rectangle){{0, 0}, {1, 1}, none}, 1.0);
    rectangle_area(c, "rectangle_area/swapped", (testbed_rectangle){{3, 4}, {0, 0}, {true, S("")}}, 12.0);
    rectangle_area(c, "rectangle_area/flat",
                   (testbed_rectangle){{5, 1},
                                       {5, 9},
                                       {true, S("Gr\xc3\xb6\xc3\x9f"
                                                "e")}},
                   0.0);
    rectangle_area(c, "rectangle_area/greatest", (testbed_rectangle){{0, 0}, {INT32_MAX, INT32_MAX}, none},
                   (double)INT32_MAX * (double)INT32_MAX);
    rectangle_area(c, "rectangle_area/wraps", (testbed_rectangle){{INT32_MIN, 0}, {INT32_MAX, 1}, none}, 1.0);
    rectangle_area(c, "rectangle_area/smallest", (testbed_rectangle){{INT32_MIN, 0}, {0, 1}, none},
                   INT32_MIN);

    get_points(c, "get_points/0", 0);
    get_points(c, "get_points/1", 1);
    get_points(c, "get_points/1000", 1000);

    describe_point(c, "describe_point/empty", (testbed_tagged_point){S(""), 0, 0, false});
    describe_point(c, "describe_point/limits",
                   (testbed_tagged_point){S("far \xf0\x9f\x98\x80"), INT32_MIN, INT32_MAX, true});
    describe_point(c, "describe_point/negative", (testbed_tagged_point){S("x"), -100, 200, false});
}

/* ---- shapes ---- */

static testbed_shape circle(double radius) {
    return (testbed_shape){.tag = TESTBED_SHAPE_CIRCLE, .circle = {radius}};
}
static testbed_shape rectangle(double width, double height) {
    return (testbed_shape){.tag = TESTBED_SHAPE_RECTANGLE, .rectangle = {width, height}};
}
static testbed_shape point_shape(void) {
    return (testbed_shape){.tag = TESTBED_SHAPE_POINT};
}

static void shape_area(choir_client *c, const char *name, testbed_shape shape, double area) {
    const choir_event *done = NULL;
    int status = testbed_wait_shape_area(c, &shape, LIMIT, &done);
    ends_with_value(name, TESTBED_SHAPE_AREA, status, done, &area);
}

static void echo_shape(choir_client *c, const char *name, testbed_shape shape) {
    const choir_event *done = NULL;
    int status = testbed_wait_echo_shape(c, &shape, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_SHAPE, status, done, &shape);
}

static void create_canvas(choir_client *c, const char *name, choir_str title, const testbed_shape *shapes,
                          size_t count, uint32_t background) {
    const choir_event *done = NULL;
    testbed_canvas canvas = {title, {shapes, count}, {background}};
    int status = testbed_wait_create_canvas(c, title, canvas.shapes, &canvas.background, LIMIT, &done);
    ends_with_value(name, TESTBED_CREATE_CANVAS, status, done, &canvas);
}

static void shapes(choir_client *c) {
    shape_area(c, "shape_area/circle-zero", circle(0.0), 0.0);
    shape_area(c, "shape_area/circle", circle(2.5), PI * 2.5 * 2.5);
    shape_area(c, "shape_area/circle-subnormal", circle(SUBNORMAL), 0.0);
    shape_area(c, "shape_area/circle-max", circle(DBL_MAX), HUGE_VAL);
    shape_area(c, "shape_area/rectangle", rectangle(3.0, 4.0), 12.0);
    shape_area(c, "shape_area/rectangle-minus-zero", rectangle(-0.0, 1.0), -0.0);
    shape_area(c, "shape_area/rectangle-subnormal", rectangle(SUBNORMAL, 1.0), SUBNORMAL);
    shape_area(c, "shape_area/rectangle-infinite", rectangle(HUGE_VAL, -1.0), -HUGE_VAL);
    shape_area(c, "shape_area/point", point_shape(), 0.0);

    echo_shape(c, "echo_shape/circle-minus-zero", circle(-0.0));
    echo_shape(c, "echo_shape/circle-subnormal", circle(SUBNORMAL));
    echo_shape(c, "echo_shape/circle-greatest-subnormal", circle(DBL_MIN - SUBNORMAL));
    echo_shape(c, "echo_shape/circle-max", circle(DBL_MAX));
    echo_shape(c, "echo_shape/circle-infinite", circle(-HUGE_VAL));
    echo_shape(c, "echo_shape/rectangle", rectangle(0.1, 1e16));
    echo_shape(c, "echo_shape/rectangle-limits", rectangle(DBL_MIN, -DBL_MAX));
    echo_shape(c, "echo_shape/point", point_shape());

    const testbed_shape all[] = {circle(2.5), rectangle(1.0, -0.0), point_shape()};
    testbed_shape many[1000];
    for (size_t i = 0; i < COUNT(many); i++) many[i] = all[i % COUNT(all)];
    create_canvas(c, "create_canvas/empty", S(""), all, 0, TESTBED_COLOR_RED);
    create_canvas(c, "create_canvas/one", S("\xc3\xb1"), &all[2], 1, TESTBED_COLOR_GREEN);
    create_canvas(c, "create_canvas/every-shape", S("c"), all, COUNT(all), TESTBED_COLOR_BLUE);
    create_canvas(c, "create_canvas/1000", S("many"), many, COUNT(many), TESTBED_COLOR_RED);

    const choir_event *done = NULL;
    int status = testbed_wait_all_colors(c, LIMIT, &done);
    ends_with("all_colors/all", TESTBED_ALL_COLORS, status, done, "Ok([Red, Green, Blue])");
}

/* ---- bytes ---- */

#define ENTRIES 12u

/* What the entries of a payload point to: the first few of each are used. */
typedef struct gnarly_parts {
    testbed_gnarly_entry entries[ENTRIES];
    char names[ENTRIES][8], paths[ENTRIES][16];
    uint8_t bytes[ENTRIES];
    choir_bytes chunks[ENTRIES][2];
} gnarly_parts;

static testbed_gnarly_kind gnarly_kind(uint64_t at) {
    static const choir_str tags[] = {{"tag", 3}, {"tag", 3}, {"tag", 3}};
    static const choir_str children[] = {{"\xc3\xb1", 2}, {"\xc3\xb1", 2}, {"\xc3\xb1", 2}};
    static const uint32_t hops[] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    switch (at % 3) {
    case 0: return (testbed_gnarly_kind){.tag = TESTBED_GNARLY_KIND_FILE, .file = {S(""), {tags, at % 4}}};
    case 1:
        return (testbed_gnarly_kind){.tag = TESTBED_GNARLY_KIND_DIRECTORY,
                                     .directory = {UINT32_MAX, {children, at % 4}}};
    default:
        return (testbed_gnarly_kind){.tag = TESTBED_GNARLY_KIND_SYMLINK,
                                     .symlink = {S("../"), {hops, at % 4}}};
    }
}

/* Entries of all kinds in turn, with lists of every length up to 3. */
static void gnarly_entries(gnarly_parts *parts) {
    static const testbed_gnarly_attr attrs[] = {{{"k0", 2}, {"\xf0\x9f\x98\x80", 4}},
                                                {{"k1", 2}, {"\xf0\x9f\x98\x80", 4}},
                                                {{"k2", 2}, {"\xf0\x9f\x98\x80", 4}}};
    for (uint64_t at = 0; at < ENTRIES; at++) {
        int name = snprintf(parts->names[at], sizeof parts->names[at], "n%u", (unsigned)at);
        int path = snprintf(parts->paths[at], sizeof parts->paths[at], "/\xc3\xa9/%u", (unsigned)at);
        parts->bytes[at] = (uint8_t)at;
        parts->chunks[at][0] = (choir_bytes){&parts->bytes[at], 0};
        parts->chunks[at][1] = (choir_bytes){&parts->bytes[at], 1};
        parts->entries[at] = (testbed_gnarly_entry){.id = at,
                                                    .parent = {at % 2 == 1, at / 2},
                                                    .name = {parts->names[at], (size_t)name},
                                                    .path = {parts->paths[at], (size_t)path},
                                                    .attrs = {attrs, at % 4},
                                                    .chunks = {parts->chunks[at], at % 3},
                                                    .kind = gnarly_kind(at)};
    }
}

static void echo_gnarly(choir_client *c, const char *name, testbed_gnarly_entry_list entries,
                        choir_bytes digest) {
    const choir_event *done = NULL;
    testbed_gnarly_payload payload = {0, S(""), entries, {false, S("")}, digest};
    int status = testbed_wait_echo_gnarly(c, &payload, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_GNARLY, status, done, &payload);
}

static void echo_bytes(choir_client *c, const char *name, choir_bytes data) {
    const choir_event *done = NULL;
    int status = testbed_wait_echo_bytes(c, data, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_BYTES, status, done, &data);
}

static void process(choir_client *c, const char *name, testbed_message in, testbed_message out) {
    const choir_event *done = NULL;
    int status = testbed_wait_process_message(c, &in, LIMIT, &done);
    ends_with_value(name, TESTBED_PROCESS_MESSAGE, status, done, &out);
}
static void process_text(choir_client *c, const char *name, choir_str in, choir_str out) {
    process(c, name, (testbed_message){.tag = TESTBED_MESSAGE_TEXT, .text = in},
            (testbed_message){.tag = TESTBED_MESSAGE_TEXT, .text = out});
}
static void process_number(choir_client *c, const char *name, int64_t in, int64_t out) {
    process(c, name, (testbed_message){.tag = TESTBED_MESSAGE_NUMBER, .number = in},
            (testbed_message){.tag = TESTBED_MESSAGE_NUMBER, .number = out});
}
static void process_data(choir_client *c, const char *name, choir_bytes in) {
    uint8_t *reversed = malloc(in.len + 1);
    if (in.len > 0) memcpy(reversed, in.data, in.len);
    reverse_bytes(reversed, in.len);
    process(c, name, (testbed_message){.tag = TESTBED_MESSAGE_DATA, .data = in},
            (testbed_message){.tag = TESTBED_MESSAGE_DATA, .data = {reversed, in.len}});
    free(reversed);
}

static void bytes(choir_client *c) {
    static const uint8_t full[] = {255}, four[] = {1, 2, 3, 4};
    choir_bytes mib = numbered_bytes(MIB);
    uint8_t digest[256];
    gnarly_parts parts;
    for (size_t i = 0; i < COUNT(digest); i++) digest[i] = (uint8_t)i;
    gnarly_entries(&parts);
    echo_gnarly(c, "echo_gnarly/empty", (testbed_gnarly_entry_list){NULL, 0}, (choir_bytes){NULL, 0});
    echo_gnarly(c, "echo_gnarly/12-entries", (testbed_gnarly_entry_list){parts.entries, ENTRIES},
                (choir_bytes){digest, sizeof digest});
    parts.entries[0].chunks = (choir_bytes_list){&mib, 1};
    echo_gnarly(c, "echo_gnarly/1mib-chunk", (testbed_gnarly_entry_list){parts.entries, 1},
                (choir_bytes){NULL, 0});

    echo_bytes(c, "echo_bytes/127", (choir_bytes){mib.data, 127});
    echo_bytes(c, "echo_bytes/128", (choir_bytes){mib.data, 128});
    echo_bytes(c, "echo_bytes/1mib", mib);

    process_text(c, "process_message/text", S("abc"), S("processed: abc"));
    process_text(c, "process_message/text-empty", S(""), S("processed: "));
    process_text(c, "process_message/text-non-ascii", S("\xc3\xb1\xf0\x9f\x98\x80"),
                 S("processed: \xc3\xb1\xf0\x9f\x98\x80"));
    process_number(c, "process_message/number-zero", 0, 0);
    process_number(c, "process_message/number-negative", -1, -2);
    process_number(c, "process_message/number-max", INT64_MAX, -2);
    process_number(c, "process_message/number-min", INT64_MIN, 0);
    process_data(c, "process_message/data-empty", (choir_bytes){full, 0});
    process_data(c, "process_message/data-one", (choir_bytes){full, 1});
    process_data(c, "process_message/data-many", (choir_bytes){four, sizeof four});
    process_data(c, "process_message/data-1mib", mib);
    free((void *)(uintptr_t)mib.data);
}

/* ---- people, and the types that the evolved service changes, as they are before ---- */

static void create_person(choir_client *c, const char *name, testbed_person person) {
    const choir_event *done = NULL;
    int status = testbed_wait_create_person(c, person.name, person.age, &person.email, LIMIT, &done);
    ends_with_value(name, TESTBED_CREATE_PERSON, status, done, &person);
}

static void echo_profile(choir_client *c, const char *name, choir_str who, choir_str bio) {
    const choir_event *done = NULL;
    testbed_profile profile = {who, bio};
    int status = testbed_wait_echo_profile(c, &profile, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_PROFILE, status, done, &profile);
}

static void people(choir_client *c) {
    choir_str text = long_text(LONG);
    create_person(c, "create_person/empty", (testbed_person){S(""), 0, {false, S("")}});
    create_person(c, "create_person/limits",
                  (testbed_person){S("Zo\xc3\xab \xf0\x9f\x98\x80"), 255, {true, S("")}});
    create_person(c, "create_person/some", (testbed_person){S("a"), 127, {true, S("\xc3\xa9@x")}});
    create_person(c, "create_person/long", (testbed_person){text, 128, {false, S("")}});

    echo_profile(c, "echo_profile/empty", S(""), S(""));
    echo_profile(c, "echo_profile/non-ascii", S("\xc3\xb1"), S("\xf0\x9f\x98\x80"));
    echo_profile(c, "echo_profile/long", S("n"), text);
    free((void *)(uintptr_t)text.data);
}

static void echo_record(choir_client *c, const char *name, int32_t alpha, choir_str beta, double gamma) {
    const choir_event *done = NULL;
    testbed_record record = {alpha, beta, gamma};
    int status = testbed_wait_echo_record(c, &record, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_RECORD, status, done, &record);
}

static void echo_status(choir_client *c, const char *name, uint32_t tag) {
    const choir_event *done = NULL;
    testbed_status value = {tag};
    int status = testbed_wait_echo_status(c, &value, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_STATUS, status, done, &value);
}

static void echo_status_v1(choir_client *c, const char *name, uint32_t tag) {
    const choir_event *done = NULL;
    testbed_status value = {tag};
    int status = testbed_wait_echo_status_v1(c, &value, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_STATUS_V1, status, done, &value);
}

static void echo_tag(choir_client *c, const char *name, testbed_tag tag) {
    const choir_event *done = NULL;
    int status = testbed_wait_echo_tag(c, &tag, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_TAG, status, done, &tag);
}

static void echo_tag_v1(choir_client *c, const char *name, testbed_tag tag) {
    const choir_event *done = NULL;
    int status = testbed_wait_echo_tag_v1(c, &tag, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_TAG_V1, status, done, &tag);
}

static void echo_measurement(choir_client *c, const char *name, choir_str unit, double value) {
    const choir_event *done = NULL;
    testbed_measurement measurement = {unit, value};
    int status = testbed_wait_echo_measurement(c, &measurement, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_MEASUREMENT, status, done, &measurement);
}

static void echo_config(choir_client *c, const char *name, choir_str key, choir_str value) {
    const choir_event *done = NULL;
    testbed_config config = {key, value};
    int status = testbed_wait_echo_config(c, &config, LIMIT, &done);
    ends_with_value(name, TESTBED_ECHO_CONFIG, status, done, &config);
}

static void evolvable(choir_client *c) {
    static const testbed_tag empty = {{"", 0}, 0, {"", 0}};
    static const testbed_tag limits = {{"\xc3\x84", 2}, UINT32_MAX, {"\xf0\x9f\x98\x80", 4}};
    echo_record(c, "echo_record/empty", 0, S(""), 0.0);
    echo_record(c, "echo_record/limits", INT32_MIN, S("\xc3\xb1"), -0.0);
    echo_record(c, "echo_record/subnormal", INT32_MAX, S("b"), SUBNORMAL);

    echo_status(c, "echo_status/active", TESTBED_STATUS_ACTIVE);
    echo_status(c, "echo_status/inactive", TESTBED_STATUS_INACTIVE);
    echo_status_v1(c, "echo_status_v1/active", TESTBED_STATUS_ACTIVE);
    echo_status_v1(c, "echo_status_v1/inactive", TESTBED_STATUS_INACTIVE);
    echo_tag(c, "echo_tag/empty", empty);
    echo_tag(c, "echo_tag/limits", limits);
    echo_tag_v1(c, "echo_tag_v1/empty", empty);
    echo_tag_v1(c, "echo_tag_v1/limits", limits);

    /* Those between which shown numbers change their form are among these. */
    echo_measurement(c, "echo_measurement/minus-zero", S(""), -0.0);
    echo_measurement(c, "echo_measurement/subnormal", S("\xc2\xb0"), 3 * SUBNORMAL);
    echo_measurement(c, "echo_measurement/max", S("m"), DBL_MAX);
    echo_measurement(c, "echo_measurement/whole", S("m"), 9007199254740993.0);
    echo_measurement(c, "echo_measurement/great", S("m"), 1e16);
    echo_measurement(c, "echo_measurement/small", S("m"), 0.0001);
    echo_measurement(c, "echo_measurement/smaller", S("m"), 0.00001234);
    echo_measurement(c, "echo_measurement/third", S("m"), 1.0 / 3.0);

    echo_config(c, "echo_config/empty", S(""), S(""));
    echo_config(c, "echo_config/non-ascii", S("\xc3\xb1"), S("\xf0\x9f\x98\x80"));
}

void call_methods(choir_client *client) {
    texts(client);
    numbers(client);
    points(client);
    shapes(client);
    bytes(client);
    people(client);
    evolvable(client);
}
