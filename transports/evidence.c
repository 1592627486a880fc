/* SPDX-License-Identifier: MIT */
#include "evidence.h"

#include "loop.h"

#include <string.h>

static size_t size_of(const choir_evidence *e) {
    return sizeof *e + e->scheme.len + e->peer.len + e->local.len;
}

static void move_text(choir_str *text, char **at) {
    if (text->len > 0) memcpy(*at, text->data, text->len);
    text->data = *at;
    *at += text->len;
}

choir_evidence *choiri_net_evidence_copy(choir_loop *loop, const choir_evidence *evidence) {
    choir_evidence *copy = choiri_net_alloc(loop, size_of(evidence));
    if (!copy) return NULL;
    *copy = *evidence;
    char *at = (char *)(copy + 1);
    move_text(&copy->scheme, &at);
    move_text(&copy->peer, &at);
    move_text(&copy->local, &at);
    return copy;
}

void choiri_net_evidence_free(choir_loop *loop, choir_evidence *evidence) {
    if (evidence) choiri_net_release(loop, evidence, size_of(evidence));
}
