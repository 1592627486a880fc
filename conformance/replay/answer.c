/* SPDX-License-Identifier: MIT */
/* The Testbed's handlers, tied to a session directly: no server in between. */
#include "answer.h"

#include "testbed/testbed_handlers.h"

const choir_service *const replay_testbed = &testbed_service;

/* What the methods that do not return their argument may answer. */
typedef union result {
    choir_str string;
    int64_t i64;
    double f64;
    choir_list list;
    testbed_person person;
    testbed_option_color color;
    testbed_canvas canvas;
    testbed_message message;
    testbed_tuple_string_i32 pair;
    testbed_tagged_point point;
    testbed_math_error math_error;
    testbed_lookup_error lookup_error;
} result;

/* All other methods, and those of other services: their one argument is the answer. */
#define ECHO 2

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
    case TESTBED_GET_POINTS: return testbed_get_points(args, arena, &ok->list);
    case TESTBED_SWAP_PAIR: ok->pair = testbed_swap_pair(args); break;
    case TESTBED_ALL_COLORS: ok->list = testbed_all_colors(); break;
    case TESTBED_DESCRIBE_POINT: ok->point = testbed_describe_point(args); break;
    default: return ECHO;
    }
    return CHOIR_OK;
}

int replay_answer(choir_session *session, const choir_event *request, choir_arena *arena, choir_time now) {
    result ok, err;
    int status = ECHO;
    if (request->service == replay_testbed) status = run(request->method, request->value, arena, &ok, &err);
    if (status == ECHO) return choir_reply(session, request->request, request->value, NULL, now);
    if (status == CHOIR_OK) return choir_reply(session, request->request, &ok, NULL, now);
    if (status == TESTBED_USER_ERROR) return choir_reply_error(session, request->request, &err, NULL, now);
    return status;
}
