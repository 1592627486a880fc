/* SPDX-License-Identifier: MIT */
/* Names and texts of the status codes, generated from the one list in choir/status.h. */
#include "choir/status.h"

const char *choir_status_name(int status) {
    switch (status) {
#define STATUS_NAME(name, value, text)                                                                       \
    case value: return #name;
        CHOIR_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    default: return "ERR_UNKNOWN";
    }
}

bool choir_status_is_retryable(int status) {
    switch (status) {
    case CHOIR_ERR_BUSY:
    case CHOIR_ERR_BLOCKED:
    case CHOIR_ERR_NO_MEMORY:
    case CHOIR_ERR_CLOSED: /* on another session */
    case CHOIR_ERR_TIMED_OUT:
    case CHOIR_ERR_CONNECT:
    case CHOIR_ERR_IO:
    case CHOIR_ERR_RESOLVE:
    case CHOIR_ERR_CONNECT_TIMEOUT:
    case CHOIR_ERR_ID_EXHAUSTED: /* on another connection */
    case CHOIR_ERR_FRAME_TIMEOUT:
    case CHOIR_ERR_HANDSHAKE_TIMEOUT:
    case CHOIR_ERR_PEER_UNRESPONSIVE:
    case CHOIR_ERR_WRITE_STALLED:
    case CHOIR_ERR_LINK_LOST:
    case CHOIR_ERR_OUT_OF_MEMORY:
    case CHOIR_ERR_SHUTDOWN:
    case CHOIR_ERR_PEER_CLOSED: return true;
    default: return false;
    }
}

const char *choir_status_text(int status) {
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                                       \
    case value: return text;
        CHOIR_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    default: return "not a status of this library";
    }
}
