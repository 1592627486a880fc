/* SPDX-License-Identifier: MIT */
/* The Testbed's handlers, tied to a session directly: no server in between. */
#include "answer.h"

#include "testbed/testbed_handlers.h"

const choir_service *const replay_testbed = &testbed_service;

/* What any of the methods may answer. */
typedef union result {
    choir_str string;
    int64_t i64;
    testbed_person person;
    testbed_gnarly_payload gnarly;
    choir_bytes bytes;
    bool flag;
    uint64_t u64;
    testbed_option_string option;
    testbed_math_error math_error;
    testbed_lookup_error lookup_error;
} result;

static int run(uint32_t method, const void *args, choir_arena *arena, result *ok, result *err) {
    switch (method) {
    case TESTBED_ECHO: return testbed_echo(args, &ok->string);
    case TESTBED_REVERSE: return testbed_reverse(args, arena, &ok->string);
    case TESTBED_DIVIDE: return testbed_divide(args, &ok->i64, &err->math_error);
    case TESTBED_LOOKUP: return testbed_lookup(args, &ok->person, &err->lookup_error);
    case TESTBED_ECHO_GNARLY: return testbed_echo_gnarly(args, &ok->gnarly);
    case TESTBED_ECHO_BYTES: return testbed_echo_bytes(args, &ok->bytes);
    case TESTBED_ECHO_BOOL: return testbed_echo_bool(args, &ok->flag);
    case TESTBED_ECHO_U64: return testbed_echo_u64(args, &ok->u64);
    case TESTBED_ECHO_OPTION_STRING: return testbed_echo_option_string(args, &ok->option);
    default: return CHOIR_ERR_UNSUPPORTED;
    }
}

int replay_answer(choir_session *session, const choir_event *request, choir_arena *arena, choir_time now) {
    result ok, err;
    int status = run(request->method, request->value, arena, &ok, &err);
    if (status == CHOIR_OK) return choir_reply(session, request->request, &ok, NULL, now);
    if (status == TESTBED_USER_ERROR) return choir_reply_error(session, request->request, &err, NULL, now);
    return status;
}
