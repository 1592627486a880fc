/* SPDX-License-Identifier: MIT */
/* Responders: answers to one request, by the handle of its session. */
#include "session.h"

/* OK · ERR_NOT_FOUND (or no loop) · ERR_STATE (another process's). */
static int find(choir_responder to, net_session **ret_session) {
    if (!to.loop) return CHOIR_ERR_NOT_FOUND;
    if (net_is_forked(to.loop)) return CHOIR_ERR_STATE;
    net_session *session = choiri_net_session_find(to.loop, to.session);
    if (!session) return CHOIR_ERR_NOT_FOUND;
    *ret_session = session;
    return CHOIR_OK;
}

/* After every answer: it leaves with this turn. */
static int answered(choir_responder to, net_session *session, int status) {
    if (session) choiri_net_session_mark(session);
    return to.loop ? choiri_net_result(to.loop, status) : status;
}

int choir_respond(choir_responder to, const void *value) {
    net_session *s = NULL;
    int status = find(to, &s);
    if (s) status = choir_reply(s->session, to.request, value, NULL, choiri_net_now(to.loop));
    return answered(to, s, status);
}

int choir_respond_error(choir_responder to, const void *error) {
    net_session *s = NULL;
    int status = find(to, &s);
    if (s) status = choir_reply_error(s->session, to.request, error, NULL, choiri_net_now(to.loop));
    return answered(to, s, status);
}

int choir_respond_invalid(choir_responder to, choir_str text) {
    net_session *s = NULL;
    int status = find(to, &s);
    if (s) status = choir_reply_invalid(s->session, to.request, text, choiri_net_now(to.loop));
    return answered(to, s, status);
}

int choir_respond_drop(choir_responder to) {
    net_session *s = NULL;
    int status = find(to, &s);
    if (s) status = choir_request_drop(s->session, to.request, NULL, choiri_net_now(to.loop));
    return answered(to, s, status);
}

void *choir_responder_alloc(choir_responder to, size_t size, size_t align) {
    net_session *s;
    return find(to, &s) == CHOIR_OK ? choir_request_alloc(s->session, to.request, size, align) : NULL;
}

int choir_responder_set_user_data(choir_responder to, void *user_data) {
    net_session *s = NULL;
    int status = find(to, &s);
    if (s) status = choir_request_set_user_data(s->session, to.request, user_data);
    return to.loop ? choiri_net_result(to.loop, status) : status;
}

const choir_evidence *choir_responder_evidence(choir_responder to) {
    net_session *s;
    return find(to, &s) == CHOIR_OK ? choir_session_evidence(s->session) : NULL;
}
