/* SPDX-License-Identifier: MIT */
/* Keepalive: is the peer alive? Any received byte counts as life; silence is answered by a Ping, more silence by the end.
 *
 * While calls or requests are in flight silence counts from the first of them at the earliest, so that a call after a long idle time
 * is not killed by the idleness before it. A peer is never declared dead without having been asked: when the process slept
 * through the moment of asking, the clock of silence starts again. rule: session.keepalive */
#include "session/internal.h"

static choir_time later(choir_time t, choir_duration d) {
    return t > CHOIR_TIME_NEVER - d ? CHOIR_TIME_NEVER : t + d;
}

void choiri_keepalive_init(choir_session *s, const choir_session_options *o, choir_time now) {
    s->alive.idle = o->keepalive_idle;
    s->alive.busy = o->keepalive_busy;
    s->alive.send = o->keepalive_send;
    s->alive.last_rx = s->alive.last_tx = now;
    s->alive.busy_since = CHOIR_TIME_NEVER;
}

void choiri_session_alive(choir_session *s, choir_time now) {
    s->alive.last_rx = now;
    s->alive.asked = false;
}

typedef struct silence {
    choir_time ask, dead; /* CHOIR_TIME_NEVER: not watched */
} silence;

static silence watch(const choir_session *s) {
    silence w = {CHOIR_TIME_NEVER, CHOIR_TIME_NEVER};
    if (s->alive.idle > 0) {
        w.ask = later(s->alive.last_rx, s->alive.idle / 3 * 2);
        w.dead = later(s->alive.last_rx, s->alive.idle);
    }
    if (s->alive.busy > 0 && s->alive.busy_since != CHOIR_TIME_NEVER) {
        choir_time since = s->alive.last_rx > s->alive.busy_since ? s->alive.last_rx : s->alive.busy_since;
        choir_time ask = later(since, s->alive.busy / 2), dead = later(since, s->alive.busy);
        if (ask < w.ask) w.ask = ask;
        if (dead < w.dead) w.dead = dead;
    }
    return w;
}

/* Before the handshake is done its own deadline watches; while input is paused silence is our doing. */
static bool is_watching(const choir_session *s) {
    return s->state == CHOIRI_SESSION_ESTABLISHED && s->attachment && !s->attachment->paused;
}

choir_time choiri_keepalive_deadline(const choir_session *s) {
    if (!is_watching(s)) return CHOIR_TIME_NEVER;
    silence w = watch(s);
    choir_time t = s->alive.asked ? w.dead : w.ask;
    choir_time send = s->alive.send > 0 ? later(s->alive.last_tx, s->alive.send) : CHOIR_TIME_NEVER;
    return send < t ? send : t;
}

static bool ping(choir_session *s, choir_time now) {
    choiri_sending m;
    if (!choiri_session_begin(s, &m, NULL)) return false;
    s->codec->encode(&m.writer, &(choiri_message){.kind = CHOIRI_MSG_PING, .id = s->alive.nonce + 1}, NULL,
                     0);
    if (choiri_session_end(s, &m, now) != CHOIR_OK) return false;
    s->alive.nonce++;
    s->alive.mark = s->attachment->written + s->attachment->out.bytes;
    return true;
}

/* The answer still gets the time between asking and giving up. */
static void asked_late(choir_session *s, choir_duration by) {
    s->alive.last_rx += by;
    if (s->alive.busy_since != CHOIR_TIME_NEVER) s->alive.busy_since += by;
}

void choiri_keepalive_advance(choir_session *s, choir_time now) {
    choir_duration gap = s->alive.gap;
    s->alive.gap = 0;
    if (!is_watching(s)) return;
    silence w = watch(s);
    choir_duration longest = s->alive.idle > s->alive.busy ? s->alive.idle : s->alive.busy;
    if (longest > 0 && gap > longest) { /* we slept */
        choiri_session_alive(s, now);
        if (s->alive.busy_since != CHOIR_TIME_NEVER) s->alive.busy_since = now;
        w = watch(s);
    }
    if (now >= w.dead && s->alive.asked && s->alive.ask_failed) { /* asked again, for the last time */
        if (!ping(s, now)) {
            choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
            return;
        }
        s->alive.ask_failed = false;
        asked_late(s, now - w.ask);
        return;
    }
    if (now >= w.dead && s->alive.asked && s->attachment->written < s->alive.mark &&
        s->attachment->output_moved > w.ask) {
        asked_late(
            s, now - w.ask); /* the link still takes what stands before the Ping: it cannot be answered yet */
        return;
    }
    if (now >= w.dead && s->alive.asked) {
        choiri_text text;
        choiri_text_init(&text);
        choiri_text_u64(choiri_text_add(&text, "the peer was silent for "),
                        (now - s->alive.last_rx) / CHOIR_MILLISECOND);
        choiri_text_add(&text, " ms and did not answer a ping");
        choiri_session_fail(s, CHOIR_ERR_PEER_UNRESPONSIVE, &text, now);
        return;
    }
    bool ask = now >= w.ask && !s->alive.asked;
    bool send = s->alive.send > 0 && now >= later(s->alive.last_tx, s->alive.send);
    if (!ask && !send) return;
    bool sent = ping(s, now);
    if (!sent) s->alive.last_tx = now; /* no memory: try again in one interval, not in a loop */
    if (ask) {
        s->alive.asked = true;
        s->alive.ask_failed = !sent;
        asked_late(s, now - w.ask);
    }
}

int choir_session_ping(choir_session *s, choir_time now) {
    if (!s || s->state != CHOIRI_SESSION_ESTABLISHED) return CHOIR_ERR_STATE;
    if (s->alive.host_nonce != 0) return CHOIR_ERR_BUSY;
    now = choiri_session_time(s, now);
    if (!ping(s, now)) return CHOIR_ERR_NO_MEMORY;
    s->alive.host_nonce = s->alive.nonce;
    return CHOIR_OK;
}
