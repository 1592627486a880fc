/* SPDX-License-Identifier: MIT */
/* Testbed's handlers, and those of its evolved version, which are echoes. Each is answered at once, but for
 * an echo that was asked to be slow: its answer waits in the request's own memory for a timer of libevent,
 * and goes when the timer fires, the caller cancels or the session ends, whichever is first. Methods with
 * channels have no handler: the library refuses their calls. */
#include "serve_testbed.h"

#include "testbed/testbed_evolved.h"
#include "testbed/testbed_handlers.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

/* More than the largest message. */
#define ARENA_MAX ((size_t)32 << 20)

/* ---- answers ---- */

/* What became of an answer. One too large is refused with a reason; what cannot be answered at all is
 * dropped, so that its caller need not wait for ever. */
static void answered(choir_responder to, int status) {
    if (status == CHOIR_ERR_TOO_LARGE)
        status = choir_respond_invalid(to, CHOIR_STR("the answer would be too large for a message"));
    if (status != CHOIR_OK) choir_respond_drop(to);
}

/* The echoes: the one argument is the answer, and is sent from where it lies. */
#define ECHO(service, method, argument)                                                                      \
    static void service##_on_##method(void *ctx, service##_##method##_responder to,                          \
                                      const service##_##method##_args *args, const choir_event *request) {   \
        (void)ctx, (void)request;                                                                            \
        answered(to.any, service##_reply_##method(to, argument));                                            \
    }
ECHO(testbed, echo_point, &args->point)
ECHO(testbed, echo_gnarly, &args->payload)
ECHO(testbed, echo_bytes, args->data)
ECHO(testbed, echo_bool, args->b)
ECHO(testbed, echo_u64, args->n)
ECHO(testbed, echo_option_string, &args->s)
ECHO(testbed, echo_shape, &args->shape)
ECHO(testbed, echo_status_v1, &args->status)
ECHO(testbed, echo_tag_v1, &args->tag)
ECHO(testbed, echo_profile, &args->profile)
ECHO(testbed, echo_record, &args->record)
ECHO(testbed, echo_status, &args->status)
ECHO(testbed, echo_tag, &args->tag)
ECHO(testbed, echo_measurement, &args->m)
ECHO(testbed, echo_config, &args->c)
ECHO(evolved, echo_profile, &args->profile)
ECHO(evolved, echo_record, &args->record)
ECHO(evolved, echo_status, &args->status)
ECHO(evolved, echo_tag, &args->tag)
ECHO(evolved, echo_measurement, &args->m)
ECHO(evolved, echo_config, &args->c)

/* NULL: the request was dropped. */
static choir_arena *arena_for(const serve_testbed *t, choir_responder to) {
    choir_arena *arena = NULL;
    if (choir_arena_new(choir_loop_env(t->loop), ARENA_MAX, &arena) != CHOIR_OK) choir_respond_drop(to);
    return arena;
}

static void reverse(void *ctx, testbed_reverse_responder to, const testbed_reverse_args *args,
                    const choir_event *request) {
    choir_arena *arena = arena_for(ctx, to.any);
    choir_str value;
    (void)request;
    if (!arena) return;
    int status = testbed_reverse(args, arena, &value);
    answered(to.any, status == CHOIR_OK ? testbed_reply_reverse(to, value) : status);
    choir_arena_free(arena);
}

static void divide(void *ctx, testbed_divide_responder to, const testbed_divide_args *args,
                   const choir_event *request) {
    int64_t value;
    testbed_math_error error;
    (void)ctx, (void)request;
    int status = testbed_divide(args, &value, &error);
    answered(to.any, status == CHOIR_OK ? testbed_reply_divide(to, value) : testbed_fail_divide(to, &error));
}

static void lookup(void *ctx, testbed_lookup_responder to, const testbed_lookup_args *args,
                   const choir_event *request) {
    testbed_person value;
    testbed_lookup_error error;
    (void)ctx, (void)request;
    int status = testbed_lookup(args, &value, &error);
    answered(to.any, status == CHOIR_OK ? testbed_reply_lookup(to, &value) : testbed_fail_lookup(to, &error));
}

static void create_person(void *ctx, testbed_create_person_responder to,
                          const testbed_create_person_args *args, const choir_event *request) {
    testbed_person value = testbed_create_person(args);
    (void)ctx, (void)request;
    answered(to.any, testbed_reply_create_person(to, &value));
}

static void rectangle_area(void *ctx, testbed_rectangle_area_responder to,
                           const testbed_rectangle_area_args *args, const choir_event *request) {
    (void)ctx, (void)request;
    answered(to.any, testbed_reply_rectangle_area(to, testbed_rectangle_area(args)));
}

static void parse_color(void *ctx, testbed_parse_color_responder to, const testbed_parse_color_args *args,
                        const choir_event *request) {
    testbed_option_color value = testbed_parse_color(args);
    (void)ctx, (void)request;
    answered(to.any, testbed_reply_parse_color(to, &value));
}

static void shape_area(void *ctx, testbed_shape_area_responder to, const testbed_shape_area_args *args,
                       const choir_event *request) {
    (void)ctx, (void)request;
    answered(to.any, testbed_reply_shape_area(to, testbed_shape_area(args)));
}

static void create_canvas(void *ctx, testbed_create_canvas_responder to,
                          const testbed_create_canvas_args *args, const choir_event *request) {
    testbed_canvas value = testbed_create_canvas(args);
    (void)ctx, (void)request;
    answered(to.any, testbed_reply_create_canvas(to, &value));
}

static void process_message(void *ctx, testbed_process_message_responder to,
                            const testbed_process_message_args *args, const choir_event *request) {
    choir_arena *arena = arena_for(ctx, to.any);
    testbed_message value;
    (void)request;
    if (!arena) return;
    int status = testbed_process_message(args, arena, &value);
    answered(to.any, status == CHOIR_OK ? testbed_reply_process_message(to, &value) : status);
    choir_arena_free(arena);
}

static void get_points(void *ctx, testbed_get_points_responder to, const testbed_get_points_args *args,
                       const choir_event *request) {
    choir_arena *arena = arena_for(ctx, to.any);
    testbed_point_list value;
    (void)request;
    if (!arena) return;
    int status = testbed_get_points(args, arena, &value);
    answered(to.any, status == CHOIR_OK ? testbed_reply_get_points(to, value) : status);
    choir_arena_free(arena);
}

static void swap_pair(void *ctx, testbed_swap_pair_responder to, const testbed_swap_pair_args *args,
                      const choir_event *request) {
    testbed_tuple_string_i32 value = testbed_swap_pair(args);
    (void)ctx, (void)request;
    answered(to.any, testbed_reply_swap_pair(to, &value));
}

static void all_colors(void *ctx, testbed_all_colors_responder to, const choir_event *request) {
    (void)ctx, (void)request;
    answered(to.any, testbed_reply_all_colors(to, testbed_all_colors()));
}

static void describe_point(void *ctx, testbed_describe_point_responder to,
                           const testbed_describe_point_args *args, const choir_event *request) {
    testbed_tagged_point value = testbed_describe_point(args);
    (void)ctx, (void)request;
    answered(to.any, testbed_reply_describe_point(to, &value));
}

/* ---- answers that wait ---- */

typedef struct waiting {
    testbed_echo_responder to;
    choir_str message;
    struct event timer;
} waiting;

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    const waiting *w = arg;
    (void)fd, (void)what;
    answered(w->to.any, testbed_reply_echo(w->to, w->message));
}

static void answer_later(const serve_testbed *t, testbed_echo_responder to, choir_str message, uint32_t ms) {
    const struct timeval after = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    choir_session *session = choir_responder_session(to.any);
    waiting *w = choir_request_alloc(session, to.any.request, sizeof *w, _Alignof(waiting));
    if (w) {
        w->to = to;
        w->message = message;
    }
    if (!w || event_assign(&w->timer, t->base, -1, 0, on_timer, w) != 0 || event_add(&w->timer, &after) != 0)
        choir_respond_drop(to.any);
    else
        choir_request_set_user_data(session, to.any.request, w);
}

/* The request was cancelled or is over. If its answer still waits, it does so no longer. */
static void end_waiting(void *ctx, choir_responder to, const choir_event *event) {
    waiting *w = event->user_data;
    (void)ctx;
    if (!w) return;
    event_del(&w->timer);
    choir_respond_drop(to);
}

/* ---- echo and its hooks ---- */

/* "slow:250:text" is 250. */
static bool is_slow(choir_str message, uint32_t *ret_ms) {
    uint64_t ms = 0;
    size_t at = 5;
    if (message.len < at || memcmp(message.data, "slow:", at) != 0) return false;
    for (; at < message.len && message.data[at] >= '0' && message.data[at] <= '9' && ms <= UINT32_MAX; at++)
        ms = ms * 10 + (uint64_t)(message.data[at] - '0');
    if (at == 5 || at == message.len || message.data[at] != ':' || ms > UINT32_MAX) return false;
    *ret_ms = (uint32_t)ms;
    return true;
}

static bool is_text(choir_str message, const char *text) {
    return message.len == strlen(text) && memcmp(message.data, text, message.len) == 0;
}

static void echo(void *ctx, testbed_echo_responder to, const testbed_echo_args *args,
                 const choir_event *request) {
    const serve_testbed *t = ctx;
    uint32_t ms;
    (void)request;
    if (t->hooks && is_text(args->message, "exit")) _Exit(3);
    if (t->hooks && is_text(args->message, "panic"))
        choir_respond_drop(to.any);
    else if (t->hooks && is_slow(args->message, &ms))
        answer_later(t, to, args->message, ms);
    else
        answered(to.any, testbed_reply_echo(to, args->message));
}

/* ---- the two services ---- */

static const testbed_handlers handlers = {
    .size = sizeof(testbed_handlers),
    .echo = echo,
    .reverse = reverse,
    .divide = divide,
    .lookup = lookup,
    .echo_point = testbed_on_echo_point,
    .create_person = create_person,
    .rectangle_area = rectangle_area,
    .parse_color = parse_color,
    .shape_area = shape_area,
    .create_canvas = create_canvas,
    .echo_gnarly = testbed_on_echo_gnarly,
    .process_message = process_message,
    .get_points = get_points,
    .swap_pair = swap_pair,
    .echo_bytes = testbed_on_echo_bytes,
    .echo_bool = testbed_on_echo_bool,
    .echo_u64 = testbed_on_echo_u64,
    .echo_option_string = testbed_on_echo_option_string,
    .all_colors = all_colors,
    .describe_point = describe_point,
    .echo_shape = testbed_on_echo_shape,
    .echo_status_v1 = testbed_on_echo_status_v1,
    .echo_tag_v1 = testbed_on_echo_tag_v1,
    .echo_profile = testbed_on_echo_profile,
    .echo_record = testbed_on_echo_record,
    .echo_status = testbed_on_echo_status,
    .echo_tag = testbed_on_echo_tag,
    .echo_measurement = testbed_on_echo_measurement,
    .echo_config = testbed_on_echo_config,
};

static const evolved_handlers evolved = {
    .size = sizeof(evolved_handlers),
    .echo_profile = evolved_on_echo_profile,
    .echo_record = evolved_on_echo_record,
    .echo_status = evolved_on_echo_status,
    .echo_tag = evolved_on_echo_tag,
    .echo_measurement = evolved_on_echo_measurement,
    .echo_config = evolved_on_echo_config,
};

void serve_testbed_options(serve_testbed *testbed, choir_server_options *options) {
    if (testbed->evolved)
        evolved_serve(options, &evolved, testbed);
    else
        testbed_serve(options, &handlers, testbed);
    options->cancelled = end_waiting;
    options->ended = end_waiting;
}
