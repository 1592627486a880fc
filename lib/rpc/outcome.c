/* SPDX-License-Identifier: MIT */
/* What outcomes are called, and what they are good for. */
#include "choir/event.h"

const char *choir_outcome_text(uint32_t outcome) {
    switch (outcome) {
    case CHOIR_OUTCOME_OK: return "ok";
    case CHOIR_OUTCOME_USER_ERROR: return "user error";
    case CHOIR_OUTCOME_UNKNOWN_METHOD: return "unknown method";
    case CHOIR_OUTCOME_INVALID_PAYLOAD: return "invalid payload";
    case CHOIR_OUTCOME_CANCELLED: return "cancelled";
    case CHOIR_OUTCOME_CONNECTION_CLOSED: return "connection closed";
    case CHOIR_OUTCOME_SESSION_SHUTDOWN: return "session shut down";
    case CHOIR_OUTCOME_SEND_FAILED: return "send failed";
    case CHOIR_OUTCOME_INDETERMINATE: return "indeterminate";
    case CHOIR_OUTCOME_TIMED_OUT: return "timed out";
    default: return "unknown outcome";
    }
}

/* rule: rpc.retryable */
bool choir_outcome_is_retryable(uint32_t outcome) {
    return outcome == CHOIR_OUTCOME_CONNECTION_CLOSED || outcome == CHOIR_OUTCOME_SESSION_SHUTDOWN ||
           outcome == CHOIR_OUTCOME_SEND_FAILED;
}
