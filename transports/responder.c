/* SPDX-License-Identifier: MIT */
/* Responders: answers to one request, by the handle of its session. */
#include "session.h"

choir_session *choir_responder_session(choir_responder to) {
    return choir_loop_session(to.loop, to.session);
}

/* Notes what became of an answer. */
static int answered(choir_responder to, int status) {
    if (!to.loop) return status;
    if (net_is_forked(to.loop)) return choiri_net_check_process(to.loop);
    return choiri_net_session_result(to.loop, choir_responder_session(to), status);
}

int choir_respond(choir_responder to, const void *value) {
    return answered(
        to, choir_reply(choir_responder_session(to), to.request, value, NULL, choir_loop_now(to.loop)));
}

int choir_respond_error(choir_responder to, const void *error) {
    return answered(
        to, choir_reply_error(choir_responder_session(to), to.request, error, NULL, choir_loop_now(to.loop)));
}

int choir_respond_invalid(choir_responder to, choir_str text) {
    return answered(
        to, choir_reply_invalid(choir_responder_session(to), to.request, text, choir_loop_now(to.loop)));
}

int choir_respond_drop(choir_responder to) {
    return answered(
        to, choir_request_drop(choir_responder_session(to), to.request, NULL, choir_loop_now(to.loop)));
}
