/* SPDX-License-Identifier: MIT */
/* Options of sessions and connections: their defaults, what is refused, and what becomes of them. A new limit
 * of a connection is a member of choir_conn_options, a default and a member of choiri_limits here, and is
 * tried at N and at N + 1 where it is kept. */
#include "base/options.h"

#include "session/handshake.h"
#include "session/session.h"
#include "wire/utf8.h"

static const choir_conn_options conn_defaults = {
    .size = sizeof conn_defaults,
    .max_concurrent_requests = 64,
    .max_queued_requests = 1024,
    .max_queued_request_bytes = 1u << 20,
    .max_queued_calls = 1024,
    .max_queued_call_bytes = 1u << 20,
    .glitch_burst = 1000,
    .glitch_rate = 100,
    .max_output = 4u << 20,
    .max_answers = 1u << 20,
};

static const choir_session_options defaults = {
    .size = sizeof defaults,
    .max_connections = 256,
    .memory_quota = 64u << 20,
    .keepalive_idle = 15 * CHOIR_SECOND,
    .keepalive_busy = 5 * CHOIR_SECOND,
    .keepalive_send = 15 * CHOIR_SECOND,
};

void choir_conn_options_init_sized(choir_conn_options *o, size_t size) {
    choiri_options_give(o, size, &conn_defaults, sizeof conn_defaults);
}

void choir_session_options_init_sized(choir_session_options *o, size_t size) {
    choiri_options_give(o, size, &defaults, sizeof defaults);
}

static int check_conn(const choir_conn_options *in, choir_conn_options *ret) {
    *ret = conn_defaults;
    if (in && choiri_options_copy(ret, sizeof *ret, in) != CHOIR_OK) return CHOIR_ERR_INVALID;
    if (ret->max_concurrent_requests == 0 || ret->max_output == 0 || ret->reserved != 0)
        return CHOIR_ERR_INVALID;
    if (ret->metadata_len > CHOIRI_HANDSHAKE_ENTRIES - CHOIRI_HANDSHAKE_OURS ||
        (ret->metadata_len > 0 && !ret->metadata))
        return CHOIR_ERR_INVALID;
    return CHOIR_OK;
}

int choiri_session_options_check(const choir_session_options *in, choir_session_options *ret,
                                 choir_conn_options *ret_root) {
    choir_session_options o = defaults;
    if (in && choiri_options_copy(&o, sizeof o, in) != CHOIR_OK) return CHOIR_ERR_INVALID;
    if (o.codec >= CHOIRI_CODECS || o.memory_quota == 0) return CHOIR_ERR_INVALID;
    *ret = o;
    return check_conn(o.root, ret_root);
}

int choiri_reason_check(const choir_reason *in, choir_reason *ret) {
    *ret = choir_reason_of(CHOIR_STR(""));
    if (!in) return CHOIR_OK;
    if (choiri_options_copy(ret, sizeof *ret, in) != CHOIR_OK) return CHOIR_ERR_INVALID;
    if ((ret->metadata_len > 0 && !ret->metadata) || (ret->text.len > 0 && !ret->text.data))
        return CHOIR_ERR_INVALID;
    bool said = ret->text.len == 0 || choiri_utf8_is_valid((const uint8_t *)ret->text.data, ret->text.len);
    return said ? CHOIR_OK : CHOIR_ERR_INVALID;
}

choiri_limits choiri_limits_of(const choir_conn_options *o) {
    return (choiri_limits){.max_queued_request_bytes = o->max_queued_request_bytes,
                           .max_queued_call_bytes = o->max_queued_call_bytes,
                           .max_output = o->max_output,
                           .max_answers = o->max_answers,
                           .max_concurrent_requests = o->max_concurrent_requests,
                           .max_queued_requests = o->max_queued_requests,
                           .max_queued_calls = o->max_queued_calls,
                           .glitch_burst = o->glitch_burst,
                           .glitch_rate = o->glitch_rate};
}
