/* SPDX-License-Identifier: MIT */
/* Copies of what a transport knows about the peer. */
#include "base/options.h"
#include "session/attachment.h"

#include <string.h>

static size_t size_of(const choir_evidence *e) {
    return sizeof *e + e->scheme.len + e->peer.len + e->local.len;
}

static choir_str move_text(char **at, choir_str text) {
    choir_str copy = {*at, text.len};
    if (text.len > 0) memcpy(*at, text.data, text.len);
    *at += text.len;
    return copy;
}

static bool is_text(choir_str text) {
    return text.data || text.len == 0;
}

int choiri_evidence_copy(choir_env *env, const choir_evidence *from, choir_evidence **ret) {
    choir_evidence e = {.size = sizeof e};
    if (choiri_options_copy(&e, sizeof e, from) != CHOIR_OK || !is_text(e.scheme) || !is_text(e.peer) ||
        !is_text(e.local))
        return CHOIR_ERR_INVALID;
    choir_evidence *copy = choiri_alloc(env, size_of(&e));
    if (!copy) return CHOIR_ERR_NO_MEMORY;
    char *at = (char *)(copy + 1);
    *copy = e;
    copy->scheme = move_text(&at, e.scheme);
    copy->peer = move_text(&at, e.peer);
    copy->local = move_text(&at, e.local);
    *ret = copy;
    return CHOIR_OK;
}

void choiri_evidence_free(choir_env *env, choir_evidence *evidence) {
    if (evidence) choiri_free(env, evidence, size_of(evidence));
}
