/* SPDX-License-Identifier: MIT */
/* The rpc driver's common part: dispatch of messages, hot parts, ends. */
#include "rpc/driver.h"

#include "base/assert.h"
#include "rpc/request.h"

/* ---- hot part ---- */

static void hot_init(choiri_hot *hot) {
    choiri_calls_init(choiri_rpc_of(hot));
    choiri_requests_init(choiri_rpc_of(hot));
}

static void hot_deinit(choiri_hot *hot) {
    choiri_calls_deinit(choiri_rpc_of(hot));
    choiri_requests_deinit(choiri_rpc_of(hot));
}

static bool hot_is_idle(const choiri_hot *hot) {
    const choiri_rpc *r = (const choiri_rpc *)(const void *)hot;
    return choiri_dlist_is_empty(&r->calls.live) && choiri_dlist_is_empty(&r->requests.live) &&
           !r->calls.want_writable;
}

static void go_on(choir_session *s, choiri_hot *hot, choir_time now) {
    (void)s;
    choiri_calls_pump(choiri_rpc_of(hot), now);
    choiri_requests_pump(choiri_rpc_of(hot), now);
}

/* ---- life of a connection ---- */

static void opened(choir_session *s, choiri_conn *c, choir_time now) {
    (void)s;
    choiri_rpc *r = choiri_rpc_peek(c);
    if (r) choiri_calls_pump(r, now);
}

static void shutdown(choir_session *s, choiri_conn *c, choir_time now) {
    (void)s;
    choiri_rpc *r = choiri_rpc_peek(c);
    if (!r) return;
    choiri_requests_shutdown(r, now);
    choiri_calls_ended(r, CHOIR_ERR_SHUTDOWN);
}

static void ended(choir_session *s, choiri_conn *c, int status) {
    (void)s;
    choiri_rpc *r = choiri_rpc_peek(c);
    if (!r) return;
    choiri_calls_ended(r, status);
    choiri_requests_ended(r, status);
}

/* ---- messages ---- */

/* Channels are not built yet: none is ever open here, so what comes is late or nobody's. */
static CHOIRI_NOINLINE void on_channel(choir_session *s, choiri_conn *c, const choiri_message *msg,
                                       const choiri_frame *frame, choir_time now) {
    (void)frame;
    choiri_hot *hot = choiri_conn_heat(s, c);
    if (!hot)
        choiri_conn_fail(s, c, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
    else if (choiri_conn_is_ours(c, msg->id))
        choiri_conn_protocol_error(s, c, "message for a channel that was never opened: ", msg->id, now);
    else
        choiri_conn_glitch(hot, now);
}

static void on_message(choir_session *s, choiri_conn *c, const choiri_message *msg, const choiri_frame *frame,
                       choir_time now) {
    if (CHOIRI_LIKELY(msg->kind == CHOIRI_MSG_REQUEST)) {
        if (msg->body == CHOIRI_BODY_CALL)
            choiri_requests_call(s, c, msg, frame, now);
        else if (msg->body == CHOIRI_BODY_RESPONSE)
            choiri_calls_response(s, c, msg, frame, now);
        else
            choiri_requests_cancel(s, c, msg, frame, now);
    } else if (msg->kind == CHOIRI_MSG_SCHEMA) {
        choiri_types_message(s, c, msg, frame, now);
    } else {
        CHOIRI_ASSERT(msg->kind == CHOIRI_MSG_CHANNEL); /* the session keeps the rest */
        on_channel(s, c, msg, frame, now);
    }
}

const choiri_driver choiri_rpc_driver = {
    .hot_size = sizeof(choiri_rpc),
    .hot_init = hot_init,
    .hot_is_idle = hot_is_idle,
    .hot_deinit = hot_deinit,
    .opened = opened,
    .message = on_message,
    .go_on = go_on,
    .call_moved = choiri_calls_moved,
    .shutdown = shutdown,
    .ended = ended,
    .lasting_free = choiri_lasting_free,
};

/* ---- what all connections have in common ---- */

static bool report(choir_session *s, choiri_ready *node, choir_event *event) {
    return node->kind == CHOIRI_READY_CALL ? choiri_call_report(s, node, event)
                                           : choiri_request_report(s, node, event);
}

static void retire(choir_session *s, choiri_ready *node) {
    (void)s;
    if (node->kind == CHOIRI_READY_CALL)
        choiri_call_retire(node);
    else
        choiri_request_retire(node);
}

static void expired(choir_session *s, choiri_timer *timer, choir_time now) {
    (void)s;
    choiri_calls_expired(timer, now);
}

/* Virtual connections have no public interface yet. */
static void offered(choir_session *s, choiri_conn *c, const choiri_message *open, choir_time now) {
    (void)open;
    if (!choiri_session_glitch(s, now)) return;
    if (choiri_conn_reject(s, c, CHOIR_STR("virtual connections are not supported"), now) != CHOIR_OK)
        choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
}

const choiri_upper choiri_rpc_upper = {
    .report = report,
    .retire = retire,
    .left = choiri_answer_left,
    .expired = expired,
    .offered = offered,
};

int choiri_reason_entries(const choir_reason *reason, choir_metadata_entry *entries, size_t *ret_count) {
    size_t count = 0;
    choir_reason r;
    *ret_count = 0;
    if (!reason) return CHOIR_OK;
    if (choiri_reason_check(reason, &r) != CHOIR_OK || r.metadata_len >= CHOIRI_REQUEST_ENTRIES)
        return CHOIR_ERR_INVALID;
    if (r.text.len > 0)
        entries[count++] = (choir_metadata_entry){.key = CHOIR_STR("choir-reason"),
                                                  .type = CHOIR_METADATA_STRING,
                                                  .bytes = {(const uint8_t *)r.text.data, r.text.len}};
    for (size_t i = 0; i < r.metadata_len; i++) entries[count++] = r.metadata[i];
    *ret_count = count;
    return CHOIR_OK;
}

void choiri_reason_read(choir_event *event) {
    choir_metadata_entry reason;
    if (choir_metadata_find(event->metadata, CHOIR_STR("choir-reason"), CHOIR_METADATA_STRING, &reason))
        event->text = (choir_str){(const char *)reason.bytes.data, reason.bytes.len};
}
