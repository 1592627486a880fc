/* SPDX-License-Identifier: MIT */
/* Messages to connections: decodes a payload and gives it to whom it concerns. Pong and ProtocolError are the
 * link's and the session's, and so is Ping, which vox peers answer whatever connection it names; everything
 * else goes to a connection by its wire id. */
#include "base/assert.h"
#include "session/attachment.h"
#include "session/session.h"

/* For a connection that is not live. One that was is honest, however many messages were under way: nothing on
 * this wire acknowledges a close. One that the peer never opened is odd, one that we never opened is
 * nobody's. rule: connection.unknown */
static void unknown_connection(choir_session *s, const choiri_message *msg, choir_time now) {
    bool ours = (msg->conn & 1) == (s->parity == CHOIRI_PARITY_ODD);
    if (msg->conn == 0 || msg->conn <= (ours ? s->conns.next_id - 1 : s->conns.highest))
        choiri_session_nuisance(s, now);
    else if (ours)
        choiri_session_protocol_error(s, "message for a connection that was never opened: ", msg->conn, now);
    else
        choiri_session_glitch(s, now);
}

static void on_protocol_error(choir_session *s, const choiri_message *msg, choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(&text, "the peer says: ");
    choiri_text_quoted(&text, (choir_bytes){(const uint8_t *)msg->description.data, msg->description.len},
                       160);
    choiri_session_fail(s, CHOIR_ERR_PEER_PROTOCOL, &text, now);
}

static CHOIRI_COLD void undecodable(choir_session *s, int status, choir_time now) {
    if (status == CHOIR_ERR_NO_MEMORY) {
        choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return;
    }
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_add(choiri_text_add(&text, "a message that cannot be decoded: "), choir_status_text(status));
    choiri_session_fail(s, CHOIR_ERR_PROTOCOL, &text, now);
}

/* A message of an open connection, or one that is being opened. */
static void to_connection(choir_session *s, choiri_conn *c, const choiri_message *msg,
                          const choiri_frame *frame, choir_time now) {
    switch (msg->kind) {
    case CHOIRI_MSG_CONNECTION_ACCEPT:
    case CHOIRI_MSG_CONNECTION_REJECT:
    case CHOIRI_MSG_CONNECTION_CLOSE: choiri_conn_message(s, c, msg, now); return;
    default: break;
    }
    if (choiri_conn_get_state(c) == CHOIRI_CONN_OPEN)
        c->profile->driver->message(s, c, msg, frame, now);
    else /* sent ahead of an Accept: nobody is there yet to take it */
        choiri_session_glitch(s, now);
}

static CHOIRI_NOINLINE void on_message(choir_session *s, choiri_conn *c, const choiri_message *msg,
                                       const choiri_frame *frame, choir_time now) {
    switch (msg->kind) {
    case CHOIRI_MSG_PING: choiri_attachment_ping(s->attachment, msg->id); return;
    case CHOIRI_MSG_PONG:
        if (msg->conn == 0 && choiri_attachment_pong(s->attachment, msg->id))
            choiri_ready_add(s, &s->state_node, CHOIRI_REPORT_PONG);
        return;
    case CHOIRI_MSG_PROTOCOL_ERROR: on_protocol_error(s, msg, now); return;
    case CHOIRI_MSG_CONNECTION_OPEN: choiri_conn_offered(s, msg, now); return;
    default: break;
    }
    if (c)
        to_connection(s, c, msg, frame, now);
    else
        unknown_connection(s, msg, now);
}

static CHOIRI_NOINLINE void payload_of_any_kind(choir_session *s, const choiri_frame *frame, choir_time now) {
    choiri_message msg;
    int status = s->codec->decode(frame->payload, &s->inbox, &msg);
    if (status == CHOIR_OK)
        on_message(s, choiri_conn_by_wire_id(s, msg.conn), &msg, frame, now);
    else
        undecodable(s, status, now);
}

static CHOIRI_NOINLINE void to_virtual(choir_session *s, const choiri_message *msg, const choiri_frame *frame,
                                       choir_time now) {
    choiri_conn *c = choiri_conn_by_wire_id(s, msg->conn);
    if (c && choiri_conn_get_state(c) == CHOIRI_CONN_OPEN)
        c->profile->driver->message(s, c, msg, frame, now);
    else
        on_message(s, c, msg, frame, now);
}

void choiri_session_payload(choir_session *s, const choiri_frame *frame, choir_time now) {
    choiri_message msg;
    choiri_conn *root = &s->conns.root;
    if (CHOIRI_UNLIKELY(!choiri_codec_read_plain(s->codec, frame->payload, &msg)))
        payload_of_any_kind(s, frame, now);
    else if (msg.conn == 0 && choiri_conn_get_state(root) == CHOIRI_CONN_OPEN)
        root->profile->driver->message(s, root, &msg, frame, now);
    else
        to_virtual(s, &msg, frame, now);
}
