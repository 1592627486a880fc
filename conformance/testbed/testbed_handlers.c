/* SPDX-License-Identifier: MIT */
/* What Testbed's methods do. No state. */
#include "testbed/testbed_handlers.h"

#include <string.h>

#define PI 3.14159265358979323846

int testbed_reverse(const testbed_reverse_args *args, choir_arena *arena, choir_str *ret) {
    choir_str in = args->message;
    char *out = choir_arena_alloc(arena, in.len, 1);
    if (!out) return CHOIR_ERR_NO_MEMORY;
    /* A scalar is a first byte and the continuation bytes (10xxxxxx) behind it. */
    for (size_t from = 0; from < in.len;) {
        size_t len = 1;
        while (from + len < in.len && ((uint8_t)in.data[from + len] & 0xc0u) == 0x80u) len++;
        memcpy(out + in.len - from - len, in.data + from, len);
        from += len;
    }
    *ret = (choir_str){out, in.len};
    return CHOIR_OK;
}

int testbed_divide(const testbed_divide_args *args, int64_t *ret, testbed_math_error *ret_err) {
    bool by_zero = args->divisor == 0;
    if (by_zero || (args->dividend == INT64_MIN && args->divisor == -1)) {
        ret_err->tag = by_zero ? TESTBED_MATH_ERROR_DIVISION_BY_ZERO : TESTBED_MATH_ERROR_OVERFLOW;
        return TESTBED_USER_ERROR;
    }
    *ret = args->dividend / args->divisor;
    return CHOIR_OK;
}

int testbed_lookup(const testbed_lookup_args *args, testbed_person *ret, testbed_lookup_error *ret_err) {
    static const testbed_person people[] = {
        {{"Alice", 5}, 30, {true, {"alice@example.com", 17}}},
        {{"Bob", 3}, 25, {false, {NULL, 0}}},
        {{"Charlie", 7}, 35, {true, {"charlie@example.com", 19}}},
    };
    if (args->id >= 1 && args->id <= sizeof people / sizeof people[0]) {
        *ret = people[args->id - 1];
        return CHOIR_OK;
    }
    bool denied = args->id >= 100 && args->id <= 199;
    ret_err->tag = denied ? TESTBED_LOOKUP_ERROR_ACCESS_DENIED : TESTBED_LOOKUP_ERROR_NOT_FOUND;
    return TESTBED_USER_ERROR;
}

testbed_person testbed_create_person(const testbed_create_person_args *args) {
    return (testbed_person){.name = args->name, .age = args->age, .email = args->email};
}

/* The service is defined on 32-bit arithmetic: the difference of coordinates that are too far apart wraps, as
 * does the absolute value of the smallest number. */
static double distance(int32_t a, int32_t b) {
    uint32_t difference = (uint32_t)b - (uint32_t)a;
    if (difference == UINT32_C(1) << 31) return INT32_MIN;
    return difference >> 31 ? (double)(0 - difference) : (double)difference;
}

double testbed_rectangle_area(const testbed_rectangle_area_args *args) {
    const testbed_point *a = &args->rect.top_left, *b = &args->rect.bottom_right;
    return distance(a->x, b->x) * distance(a->y, b->y);
}

/* Only the ASCII letters have these names' letters as lower case. */
static bool is_name(choir_str given, const char *name) {
    if (given.len != strlen(name)) return false;
    for (size_t i = 0; i < given.len; i++) {
        char c = given.data[i];
        if ((c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c) != name[i]) return false;
    }
    return true;
}

testbed_option_color testbed_parse_color(const testbed_parse_color_args *args) {
    static const char *const names[] = {
        [TESTBED_COLOR_RED] = "red", [TESTBED_COLOR_GREEN] = "green", [TESTBED_COLOR_BLUE] = "blue"};
    testbed_option_color ret = {.some = false};
    for (uint32_t tag = 0; tag < sizeof names / sizeof *names && !ret.some; tag++)
        if (is_name(args->name, names[tag])) ret = (testbed_option_color){.some = true, .value = {tag}};
    return ret;
}

double testbed_shape_area(const testbed_shape_area_args *args) {
    const testbed_shape *s = &args->shape;
    switch (s->tag) {
    case TESTBED_SHAPE_CIRCLE: return PI * s->circle.radius * s->circle.radius;
    case TESTBED_SHAPE_RECTANGLE: return s->rectangle.width * s->rectangle.height;
    case TESTBED_SHAPE_POINT: break;
    }
    return 0;
}

testbed_canvas testbed_create_canvas(const testbed_create_canvas_args *args) {
    return (testbed_canvas){.name = args->name, .shapes = args->shapes, .background = args->background};
}

static int process_text(choir_str in, choir_arena *arena, testbed_message *ret) {
    static const char before[] = "processed: ";
    const size_t head = sizeof before - 1;
    char *out = choir_arena_alloc(arena, head + in.len, 1);
    if (!out) return CHOIR_ERR_NO_MEMORY;
    memcpy(out, before, head);
    if (in.len > 0) memcpy(out + head, in.data, in.len);
    *ret = (testbed_message){.tag = TESTBED_MESSAGE_TEXT, .text = {out, head + in.len}};
    return CHOIR_OK;
}

static int process_data(choir_bytes in, choir_arena *arena, testbed_message *ret) {
    uint8_t *out = choir_arena_alloc(arena, in.len, 1);
    if (!out) return CHOIR_ERR_NO_MEMORY;
    for (size_t i = 0; i < in.len; i++) out[i] = in.data[in.len - 1 - i];
    *ret = (testbed_message){.tag = TESTBED_MESSAGE_DATA, .data = {out, in.len}};
    return CHOIR_OK;
}

int testbed_process_message(const testbed_process_message_args *args, choir_arena *arena,
                            testbed_message *ret) {
    const testbed_message *in = &args->msg;
    if (in->tag == TESTBED_MESSAGE_TEXT) return process_text(in->text, arena, ret);
    if (in->tag == TESTBED_MESSAGE_DATA) return process_data(in->data, arena, ret);
    *ret = (testbed_message){.tag = TESTBED_MESSAGE_NUMBER, .number = (int64_t)((uint64_t)in->number * 2)};
    return CHOIR_OK;
}

int testbed_get_points(const testbed_get_points_args *args, choir_arena *arena, testbed_point_list *ret) {
    if (args->count > TESTBED_POINTS_MAX) return CHOIR_ERR_TOO_LARGE;
    testbed_point *points = choir_arena_alloc(arena, args->count * sizeof *points, _Alignof(testbed_point));
    if (!points) return CHOIR_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < args->count; i++) points[i] = (testbed_point){(int32_t)i, (int32_t)(2 * i)};
    *ret = (testbed_point_list){points, args->count};
    return CHOIR_OK;
}

testbed_tuple_string_i32 testbed_swap_pair(const testbed_swap_pair_args *args) {
    return (testbed_tuple_string_i32){args->pair.f1, args->pair.f0};
}

testbed_color_list testbed_all_colors(void) {
    static const testbed_color all[] = {{TESTBED_COLOR_RED}, {TESTBED_COLOR_GREEN}, {TESTBED_COLOR_BLUE}};
    return (testbed_color_list){all, sizeof all / sizeof *all};
}

testbed_tagged_point testbed_describe_point(const testbed_describe_point_args *args) {
    return (testbed_tagged_point){.label = args->label, .x = args->x, .y = args->y, .active = args->active};
}
