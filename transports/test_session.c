/* SPDX-License-Identifier: MIT */
/* Sessions of the loop as the core has them: what its hooks see, and its functions used directly. */
#include "test_world.h"

/* ---- who calls ---- */

typedef struct doorman {
    world *w;
    uint32_t asked;
    char scheme[16];
    bool credentials;
} doorman;

/* Decides by what is known about the peer, before anything of its request is decoded. */
static int decide(void *ctx, choir_session *session, const choir_event *request, choir_reason *ret_reason) {
    doorman *d = ctx;
    const choir_evidence *e = request->evidence;
    d->asked++;
    cr_assert_not_null(e);
    cr_assert_eq(e, choir_session_evidence(session));
    snprintf(d->scheme, sizeof d->scheme, "%.*s", (int)e->scheme.len, e->scheme.data);
    d->credentials = (e->flags & CHOIR_EVIDENCE_CREDENTIALS) != 0;
    if (d->credentials && e->uid == getuid() && e->pid == getpid()) return CHOIR_VERDICT_RUN;
    *ret_reason = choir_reason_of(CHOIR_STR("who are you?"));
    return CHOIR_VERDICT_REFUSE;
}

static void hooks_see_evidence(world *w, const char *url) {
    doorman d = {.w = w};
    const choir_hooks hooks = {.size = sizeof hooks, .ctx = &d, .decide = decide};
    choir_session_options session;
    choir_conn_options root;
    choir_session_options_init(&session);
    choir_conn_options_init(&root);
    root.hooks = &hooks;
    session.root = &root;
    world_begin(w);
    choir_server_options o = server_options(w);
    o.session = &session;
    cr_assert_eq(choir_listen(w->loop, url, &o, &w->server), CHOIR_OK);
    join(w, choir_server_url(w->server));
    echo(w);
    until(w, w->done == 1);
    bool local = strncmp(url, "unix", 4) == 0;
    cr_assert_eq(d.asked, 1);
    cr_assert_eq(d.credentials, local, "%s", url);
    cr_assert_eq(strncmp(url, d.scheme, strlen(d.scheme)), 0, "%s: %s", url, d.scheme);
    cr_assert_eq(w->outcomes[local ? CHOIR_OUTCOME_OK : CHOIR_OUTCOME_SEND_FAILED], 1, "%s", url);
    world_end(w);
}
Test(session, hooks_see_evidence) {
    on_each(hooks_see_evidence);
}
