/* SPDX-License-Identifier: MIT */
/* Result<T, VoxError<E>> in msgpack: {"Ok": value}, {"Err": {"User": error}}, {"Err": "UnknownMethod"}, ...
 * rule: rpc.vox-error, msgpack.result (docs/protocol-msgpack.md) */
#include "rpc/driver.h"

/* VoxError's variants, by outcome. */
static const char *const names[] = {
    [CHOIR_OUTCOME_USER_ERROR] = "User",
    [CHOIR_OUTCOME_UNKNOWN_METHOD] = "UnknownMethod",
    [CHOIR_OUTCOME_INVALID_PAYLOAD] = "InvalidPayload",
    [CHOIR_OUTCOME_CANCELLED] = "Cancelled",
    [CHOIR_OUTCOME_CONNECTION_CLOSED] = "ConnectionClosed",
    [CHOIR_OUTCOME_SESSION_SHUTDOWN] = "SessionShutdown",
    [CHOIR_OUTCOME_SEND_FAILED] = "SendFailed",
    [CHOIR_OUTCOME_INDETERMINATE] = "Indeterminate",
};
#define NAMES (uint32_t)(sizeof names / sizeof names[0])

void choiri_result_msgpack_begin(choiri_writer *w, uint32_t outcome, choir_str text) {
    choiri_msgpack_write_map(w, 1);
    if (outcome == CHOIR_OUTCOME_OK) {
        choiri_msgpack_write_key(w, "Ok");
        return;
    }
    choiri_msgpack_write_key(w, "Err");
    bool holds = outcome == CHOIR_OUTCOME_USER_ERROR || outcome == CHOIR_OUTCOME_INVALID_PAYLOAD;
    if (holds) choiri_msgpack_write_map(w, 1);
    choiri_msgpack_write_key(w, names[outcome]);
    if (outcome == CHOIR_OUTCOME_INVALID_PAYLOAD) choiri_msgpack_write_str(w, text);
}

static bool read_outcome(choiri_reader *r, uint32_t *ret) {
    choir_str name;
    if (!choiri_msgpack_read_text(r, &name)) return false;
    for (uint32_t i = CHOIR_OUTCOME_USER_ERROR; i < NAMES; i++) {
        if (name.len != strlen(names[i]) || memcmp(name.data, names[i], name.len) != 0) continue;
        *ret = i;
        return true;
    }
    return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
}

/* The variant by its name; with what it holds when it is the only key of a map. A text may be missing. */
static bool read_error(choiri_reader *r, uint32_t *ret_outcome, choir_str *ret_text) {
    uint32_t pairs = 0;
    choiri_reader ahead = *r;
    if (!choiri_msgpack_read_map(&ahead, &pairs))
        return read_outcome(r, ret_outcome) &&
               (*ret_outcome != CHOIR_OUTCOME_USER_ERROR || choiri_reader_fail(r, CHOIR_ERR_MALFORMED));
    *r = ahead;
    if (pairs != 1) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    if (!read_outcome(r, ret_outcome)) return false;
    if (*ret_outcome == CHOIR_OUTCOME_USER_ERROR) return true;
    if (*ret_outcome == CHOIR_OUTCOME_INVALID_PAYLOAD && !choiri_msgpack_is_nil(r))
        return choiri_msgpack_read_text(r, ret_text);
    return choiri_msgpack_skip(r, NULL);
}

bool choiri_result_msgpack_read(choiri_reader *r, uint32_t *ret_outcome, choir_str *ret_text) {
    uint32_t pairs;
    choir_str name;
    *ret_text = (choir_str){"", 0};
    if (!choiri_msgpack_read_map(r, &pairs) || pairs != 1 || !choiri_msgpack_read_text(r, &name))
        return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    if (name.len == 2 && memcmp(name.data, "Ok", 2) == 0) {
        *ret_outcome = CHOIR_OUTCOME_OK;
        return true;
    }
    if (name.len != 3 || memcmp(name.data, "Err", 3) != 0) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    return read_error(r, ret_outcome, ret_text);
}
