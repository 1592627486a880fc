/* SPDX-License-Identifier: MIT */
/* Keepalive: is the peer alive? Any received byte counts as life; silence is answered by a Ping, more silence
 * by the end.
 *
 * While calls or requests are in flight silence counts from the first of them at the earliest, so that a call
 * after a long idle time is not killed by the idleness before it. A peer is never declared dead without
 * having been asked: when the process slept through the moment of asking, the clock of silence starts again.
 * Nor is one whose link still takes, or carries, what stands before the Ping: it cannot answer yet. rule:
 * session.keepalive */
#include "base/time.h"
#include "session/attachment.h"
#include "session/session.h"

void choiri_keepalive_start(choir_attachment *a, choir_time now) {
    a->alive.last_rx = a->alive.last_tx = now;
    a->asked = false;
}

void choiri_keepalive_heard(choir_attachment *a, choir_time now) {
    a->alive.last_rx = now;
    a->asked = false;
}

typedef struct silence {
    choir_time ask, dead; /* CHOIR_TIME_NEVER: not watched */
} silence;

static silence watch(const choir_attachment *a) {
    const choir_session *s = a->session;
    silence w = {CHOIR_TIME_NEVER, CHOIR_TIME_NEVER};
    if (s->keepalive.idle > 0) {
        w.ask = choiri_time_later(a->alive.last_rx, s->keepalive.idle / 3 * 2);
        w.dead = choiri_time_later(a->alive.last_rx, s->keepalive.idle);
    }
    if (s->keepalive.busy > 0 && s->busy_since != CHOIR_TIME_NEVER) {
        choir_time since = a->alive.last_rx > s->busy_since ? a->alive.last_rx : s->busy_since;
        w.ask = choiri_time_earlier(w.ask, choiri_time_later(since, s->keepalive.busy / 2));
        w.dead = choiri_time_earlier(w.dead, choiri_time_later(since, s->keepalive.busy));
    }
    return w;
}

/* Before the handshake is done its own deadline watches; while input is paused silence is our doing. */
static bool is_watching(const choir_attachment *a) {
    return a->stage == CHOIRI_STAGE_OPEN && !a->paused;
}

static choir_time send_deadline(const choir_attachment *a) {
    choir_duration send = a->session->keepalive.send;
    return send > 0 ? choiri_time_later(a->alive.last_tx, send) : CHOIR_TIME_NEVER;
}

choir_time choiri_keepalive_deadline(const choir_attachment *a) {
    if (!is_watching(a)) return CHOIR_TIME_NEVER;
    silence w = watch(a);
    return choiri_time_earlier(a->asked ? w.dead : w.ask, send_deadline(a));
}

static bool ping(choir_attachment *a, choir_time now) {
    choir_session *s = a->session;
    choiri_sending m;
    if (!choiri_egress_begin(s, NULL, &m, NULL)) return false;
    s->codec->encode(&m.writer, &(choiri_message){.kind = CHOIRI_MSG_PING, .id = a->alive.nonce + 1}, NULL,
                     0);
    if (choiri_egress_end(&m, CHOIRI_FRAME_OTHER, NULL, now) != CHOIR_OK) return false;
    a->alive.nonce++;
    a->alive.mark = a->written + a->out.bytes;
    return true;
}

/* The answer still gets the time between asking and giving up. */
static void asked_late(choir_attachment *a, choir_duration by) {
    a->alive.last_rx += by;
    if (a->session->busy_since != CHOIR_TIME_NEVER) a->session->busy_since += by;
}

/* Since it was asked: the link took some of what stands before the Ping, or what it had taken went on. */
static bool is_progressing(const choir_attachment *a, choir_time asked) {
    return (a->written < a->alive.mark && a->output_moved > asked) || a->alive.carried > asked;
}

/* The time to answer is over. */
static void judge(choir_attachment *a, const silence *w, choir_time now) {
    if (a->ask_failed) { /* asked again, for the last time */
        if (!ping(a, now)) {
            choiri_session_fail(a->session, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
            return;
        }
        a->ask_failed = false;
        asked_late(a, now - w->ask);
        return;
    }
    if (is_progressing(a, w->ask)) {
        asked_late(a, now - w->ask);
        return;
    }
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_u64(choiri_text_add(&text, "the peer was silent for "),
                    (now - a->alive.last_rx) / CHOIR_MILLISECOND);
    choiri_text_add(&text, " ms and did not answer a ping");
    choiri_attachment_fail(a, CHOIR_ERR_PEER_UNRESPONSIVE, &text, now);
}

void choiri_keepalive_advance(choir_attachment *a, choir_duration gap, choir_time now) {
    const choir_session *s = a->session;
    if (!is_watching(a)) return;
    silence w = watch(a);
    choir_duration longest = s->keepalive.idle > s->keepalive.busy ? s->keepalive.idle : s->keepalive.busy;
    if (longest > 0 && gap > longest) { /* we slept */
        choiri_keepalive_heard(a, now);
        if (s->busy_since != CHOIR_TIME_NEVER) a->session->busy_since = now;
        w = watch(a);
    }
    if (now >= w.dead && a->asked) {
        judge(a, &w, now);
        return;
    }
    bool ask = now >= w.ask && !a->asked;
    if (!ask && now < send_deadline(a)) return;
    bool sent = ping(a, now);
    if (!sent) a->alive.last_tx = now; /* no memory: try again in one interval, not in a loop */
    if (ask) {
        a->asked = true;
        a->ask_failed = !sent;
        asked_late(a, now - w.ask);
    }
}

int choir_session_ping(choir_session *s, choir_time now) {
    if (!s || s->state != CHOIRI_SESSION_ESTABLISHED) return CHOIR_ERR_STATE;
    choir_attachment *a = s->attachment;
    if (a->alive.host_nonce != 0) return CHOIR_ERR_BUSY;
    now = choiri_session_time(s, now);
    if (!ping(a, now)) return CHOIR_ERR_NO_MEMORY;
    a->alive.host_nonce = a->alive.nonce;
    return CHOIR_OK;
}
