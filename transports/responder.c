/* SPDX-License-Identifier: MIT */
/* Responders: answers to one request, by the handle of its session. */
#include "session.h"

static net_session *session_of(choir_responder to) {
    return to.loop ? choiri_net_session_find(to.loop, to.session) : NULL;
}

/* After every answer: it leaves with this turn. */
static int answered(choir_responder to, net_session *session, int status) {
    if (session) choiri_net_session_mark(session);
    return to.loop ? choiri_net_result(to.loop, status) : status;
}

int choir_respond(choir_responder to, const void *value) {
    net_session *s = session_of(to);
    return answered(to, s,
                    s ? choir_reply(s->session, to.request, value, NULL, choiri_net_now(to.loop))
                      : CHOIR_ERR_NOT_FOUND);
}

int choir_respond_error(choir_responder to, const void *error) {
    net_session *s = session_of(to);
    return answered(to, s,
                    s ? choir_reply_error(s->session, to.request, error, NULL, choiri_net_now(to.loop))
                      : CHOIR_ERR_NOT_FOUND);
}

int choir_respond_invalid(choir_responder to, choir_str text) {
    net_session *s = session_of(to);
    return answered(to, s,
                    s ? choir_reply_invalid(s->session, to.request, text, choiri_net_now(to.loop))
                      : CHOIR_ERR_NOT_FOUND);
}

int choir_respond_drop(choir_responder to) {
    net_session *s = session_of(to);
    return answered(
        to, s, s ? choir_request_drop(s->session, to.request, choiri_net_now(to.loop)) : CHOIR_ERR_NOT_FOUND);
}

void *choir_responder_alloc(choir_responder to, size_t size, size_t align) {
    net_session *s = session_of(to);
    return s ? choir_request_alloc(s->session, to.request, size, align) : NULL;
}

int choir_responder_set_user_data(choir_responder to, void *user_data) {
    net_session *s = session_of(to);
    if (!to.loop) return CHOIR_ERR_NOT_FOUND;
    return choiri_net_result(to.loop, s ? choir_request_set_user_data(s->session, to.request, user_data)
                                        : CHOIR_ERR_NOT_FOUND);
}

const choir_evidence *choir_responder_evidence(choir_responder to) {
    net_session *s = session_of(to);
    return s ? s->evidence : NULL;
}
