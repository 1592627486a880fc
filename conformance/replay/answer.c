/* SPDX-License-Identifier: MIT */
/* The handlers of Testbed and Extra, tied to a session directly: no server in between. */
#include "answer.h"

#include "extra.h"
#include "testbed/testbed_handlers.h"

#include <string.h>

const choir_service *const replay_testbed = &testbed_service;

/* What the methods that do not return their argument may answer. */
typedef union result {
    choir_str string;
    int64_t i64;
    double f64;
    testbed_point_list points;
    testbed_color_list colors;
    testbed_person person;
    testbed_option_color color;
    testbed_canvas canvas;
    testbed_message message;
    testbed_tuple_string_i32 pair;
    testbed_tagged_point point;
    testbed_math_error math_error;
    testbed_lookup_error lookup_error;
} result;

static int run(uint32_t method, const void *args, choir_arena *arena, result *ok, result *err) {
    switch (method) {
    case TESTBED_REVERSE: return testbed_reverse(args, arena, &ok->string);
    case TESTBED_DIVIDE: return testbed_divide(args, &ok->i64, &err->math_error);
    case TESTBED_LOOKUP: return testbed_lookup(args, &ok->person, &err->lookup_error);
    case TESTBED_CREATE_PERSON: ok->person = testbed_create_person(args); break;
    case TESTBED_RECTANGLE_AREA: ok->f64 = testbed_rectangle_area(args); break;
    case TESTBED_PARSE_COLOR: ok->color = testbed_parse_color(args); break;
    case TESTBED_SHAPE_AREA: ok->f64 = testbed_shape_area(args); break;
    case TESTBED_CREATE_CANVAS: ok->canvas = testbed_create_canvas(args); break;
    case TESTBED_PROCESS_MESSAGE: return testbed_process_message(args, arena, &ok->message);
    case TESTBED_GET_POINTS: return testbed_get_points(args, arena, &ok->points);
    case TESTBED_SWAP_PAIR: ok->pair = testbed_swap_pair(args); break;
    case TESTBED_ALL_COLORS: ok->colors = testbed_all_colors(); break;
    case TESTBED_DESCRIBE_POINT: ok->point = testbed_describe_point(args); break;
    default: return CHOIR_ERR_UNSUPPORTED;
    }
    return CHOIR_OK;
}

/* echo, echo_point, ...: what they are called is what they do. */
static bool is_echo(uint32_t method) {
    choir_str name = choir_method_name(replay_testbed, method);
    return name.len >= 4 && memcmp(name.data, "echo", 4) == 0;
}

int replay_answer(choir_session *session, const choir_event *request, choir_arena *arena, choir_time now) {
    result value, error;
    uint32_t number;
    const void *ok = request->value, *err = NULL;
    int status = CHOIR_OK; /* an echo: the one argument is the answer */
    if (request->service == &extra_service) {
        status = replay_run_extra(request->method, request->value, &number, &ok);
        err = &number;
    } else if (request->service == replay_testbed && !is_echo(request->method)) {
        status = run(request->method, request->value, arena, &value, &error);
        ok = &value;
        err = &error;
    }
    if (status == CHOIR_OK) return choir_reply(session, request->request, ok, NULL, now);
    if (status == TESTBED_USER_ERROR) return choir_reply_error(session, request->request, err, NULL, now);
    return status;
}
