/* SPDX-License-Identifier: MIT */
/* What the status of a call or an answer that could not be made does not say: which value, which sizes. Found
 * after the failure, so that those that succeed pay nothing for it. */
#include "base/log.h"
#include "rpc/driver.h"
#include "value/value.h"

void choiri_sizes_text(choiri_text *text, uint64_t size, uint64_t limit) {
    choiri_text_u64(choiri_text_add(text, "a message of "), size);
    choiri_text_u64(choiri_text_add(text, " bytes, where at most "), limit);
    choiri_text_add(text, " are taken");
}

static bool add_facts(const choir_session *s, const choiri_unsent *u, int status, choiri_text *text) {
    choiri_text why;
    switch (status) {
    case CHOIR_ERR_TOO_LARGE: choiri_sizes_text(text, u->size, choiri_egress_max(s)); return true;
    case CHOIR_ERR_DEPTH:
    case CHOIR_ERR_INVALID:
        choiri_text_init(&why);
        if (u->has_value && choiri_value_why(u->service->unit, u->type, u->value, &why))
            choiri_text_str(text, choiri_text_get(&why));
        else
            choiri_text_add(text, "its metadata is not well-formed");
        return true;
    default: return false;
    }
}

/* A value that cannot be encoded is a mistake of ours. How much a peer takes is its affair, and no reason to
 * fill our log. */
static void complain(choir_session *s, choiri_binding *b, int status, const choiri_text *text) {
    if (status == CHOIR_ERR_TOO_LARGE) {
        choiri_log(s->env, CHOIR_LOG_DEBUG, "rpc", text);
        return;
    }
    if (b && b->complained) return;
    if (b) b->complained = true;
    choiri_log(s->env, CHOIR_LOG_WARNING, "rpc", text);
}

int choiri_unsent_note(choir_session *s, const choiri_unsent *u, int status) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_method_text(u->service, u->method, &text);
    choiri_text_add(&text, u->is_answer ? " cannot be answered: " : ": ");
    bool said = add_facts(s, u, status, &text);
    choiri_session_note(s, said ? &text : NULL);
    if (said && u->is_answer) complain(s, u->b, status, &text);
    return status;
}

int choiri_wrong_note(choir_session *s, int status, const char *what) {
    choiri_text text;
    if (!s) return status;
    choiri_text_init(&text);
    choiri_text_add(&text, what);
    choiri_session_note(s, &text);
    return status;
}

int choiri_unsaid(choir_session *s, int status) {
    if (s && status != CHOIR_OK) choiri_session_note(s, NULL);
    return status;
}
