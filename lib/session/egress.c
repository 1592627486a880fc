/* SPDX-License-Identifier: MIT */
/* The output scheduler.
 *
 * Invariants: a connection stands in the ring exactly while its queue has something; the sum of `calls` and
 * `answers` is at most the queue's bytes; `charged` is the queue's `held`. A frame in a connection's queue is
 * what the link will carry, but that the upper two bits of its length say what kind of frame it is, for the
 * budgets; they are cleared when it moves. A frame of 4 KiB or more seals its block, so that it moves later
 * without being copied.
 *
 * Rejected: queues of the link that refer to connections' queues (no moving at all, but a link that depends
 * on the lives of connections, and thousands of tiny references); giving small messages priority (they
 * overtake their own connection's). */
#include "session/egress.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "session/attachment.h"
#include "session/session.h"

#define SEAL_MIN    4096u
#define KIND_SHIFT  30u
#define LENGTH_MASK CHOIRI_EGRESS_PAYLOAD_MAX

void choiri_egress_init(choiri_egress *e, choir_env *env) {
    *e = (choiri_egress){.deficit = 0};
    choiri_outq_init(&e->queue, env);
    choiri_dlist_init(&e->turn);
    choiri_dlist_init(&e->relieved);
    choiri_dlist_init(&e->leaving);
}

/* Follows what the queue really holds. */
static void recharge(choiri_hot *hot) {
    choiri_egress *e = &hot->egress;
    if (e->queue.held > e->charged)
        choiri_charge_anyway(hot, (size_t)(e->queue.held - e->charged));
    else if (e->queue.held < e->charged)
        choiri_discharge(hot, (size_t)(e->charged - e->queue.held));
    e->charged = e->queue.held;
}

static void give_up(choir_session *s, choiri_dlist *leaving) {
    while (!choiri_dlist_is_empty(leaving)) {
        choiri_leaving *l = CHOIRI_CONTAINER(leaving->next, choiri_leaving, link);
        choiri_dlist_remove(&l->link);
        s->upper->left(s, l, false);
    }
}

void choiri_egress_clear(choiri_hot *hot) {
    choiri_egress *e = &hot->egress;
    choiri_outq_deinit(&e->queue);
    choiri_dlist_remove(&e->turn);
    choiri_dlist_remove(&e->relieved);
    e->calls = e->answers = e->deficit = 0;
    e->call_frames = 0;
    recharge(hot);
    give_up(hot->session, &e->leaving);
}

/* ---- producing ---- */

bool choiri_egress_begin(choir_session *s, choiri_hot *hot, choiri_sending *m, choir_chunk *chunk) {
    choir_attachment *a = s->attachment;
    if (!a || a->stage != CHOIRI_STAGE_OPEN) return false;
    m->session = s;
    bool direct = !hot || (a->out.bytes < CHOIRI_EGRESS_SHORT && choiri_egress_is_empty(&hot->egress));
    m->hot = direct ? NULL : hot;
    m->queue = direct ? &a->out : &hot->egress.queue;
    m->mark = choiri_outq_get_mark(m->queue);
    choiri_writer_init(&m->writer, m->queue, chunk);
    m->head = NULL;
    if (CHOIRI_LIKELY(choiri_writer_ensure(&m->writer, CHOIRI_FRAME_HEAD))) {
        m->head = m->writer.pos;
        m->writer.pos += CHOIRI_FRAME_HEAD;
    }
    return true;
}

/* A message went into its connection's queue. */
static CHOIRI_NOINLINE void enqueued(choiri_sending *m, choiri_frame_kind kind, choiri_leaving *leaving) {
    choiri_egress *e = &m->hot->egress;
    uint64_t bytes = e->queue.bytes - m->mark.bytes;
    if (kind == CHOIRI_FRAME_ANSWER) {
        e->answers += bytes;
        if (!leaving) kind = CHOIRI_FRAME_REFUSAL;
    }
    choiri_store_le32(m->head, choiri_load_le32(m->head) | (uint32_t)kind << KIND_SHIFT);
    if (kind == CHOIRI_FRAME_CALL) {
        e->calls += bytes;
        e->call_frames++;
    }
    if (leaving) choiri_dlist_append(&e->leaving, &leaving->link);
    if (bytes >= SEAL_MIN) choiri_outq_seal(&e->queue);
    if (choiri_dlist_is_empty(&e->turn)) choiri_dlist_append(&m->session->ring, &e->turn);
    recharge(m->hot);
}

static CHOIRI_COLD int take_back(choiri_sending *m) {
    int status = choiri_writer_finish(&m->writer);
    m->end = choiri_writer_offset(&m->writer) - m->mark.bytes - CHOIRI_FRAME_HEAD;
    choiri_outq_rollback(m->queue, m->mark);
    return status != CHOIR_OK ? status : CHOIR_ERR_TOO_LARGE;
}

int choiri_egress_end(choiri_sending *m, choiri_frame_kind kind, choiri_leaving *leaving, choir_time now) {
    choir_attachment *a = m->session->attachment;
    uint64_t payload = choiri_writer_offset(&m->writer) - m->mark.bytes - CHOIRI_FRAME_HEAD;
    if (CHOIRI_UNLIKELY(m->writer.status != CHOIR_OK || payload > a->max_sent)) return take_back(m);
    choiri_store_le32(m->head, (uint32_t)payload);
    choiri_outq_commit(m->queue, (size_t)(m->writer.pos - m->writer.base));
    if (CHOIRI_UNLIKELY(m->hot != NULL)) {
        m->end = CHOIRI_EGRESS_QUEUED;
        enqueued(m, kind, leaving);
    } else {
        m->end = a->written + a->out.bytes;
        if (leaving) {
            leaving->end = m->end;
            choiri_dlist_append(&a->leaving, &leaving->link);
        }
    }
    choiri_attachment_wrote(a, now);
    return CHOIR_OK;
}

/* ---- refilling ---- */

/* The oldest frame of a connection; the head of a frame never straddles blocks. */
typedef struct next_frame {
    uint8_t *head;
    uint32_t length;
    choiri_frame_kind kind;
    uint64_t bytes; /* head included */
} next_frame;

static next_frame look(const choiri_egress *e) {
    choir_iov iov;
    size_t n = choiri_outq_peek(&e->queue, 0, CHOIRI_FRAME_HEAD, &iov, 1);
    CHOIRI_ASSERT(n == 1 && iov.len == CHOIRI_FRAME_HEAD);
    uint32_t word = choiri_load_le32(iov.base);
    return (next_frame){iov.base, word & LENGTH_MASK, (choiri_frame_kind)(word >> KIND_SHIFT),
                        CHOIRI_FRAME_HEAD + (uint64_t)(word & LENGTH_MASK)};
}

/* Moves it into the link's queue. */
static bool onto_link(choir_attachment *a, choiri_hot *hot, const next_frame *f) {
    choiri_egress *e = &hot->egress;
    uint32_t word = choiri_load_le32(f->head);
    choiri_store_le32(f->head, f->length);
    if (!choiri_outq_transfer(&a->out, &e->queue, f->bytes)) {
        choiri_store_le32(f->head, word);
        return false;
    }
    e->deficit -= f->bytes < e->deficit ? f->bytes : e->deficit;
    if (f->kind == CHOIRI_FRAME_CALL) {
        e->calls -= f->bytes;
        hot->conn->profile->driver->call_moved(hot, --e->call_frames, a->written + a->out.bytes);
    }
    if (f->kind == CHOIRI_FRAME_ANSWER || f->kind == CHOIRI_FRAME_REFUSAL) e->answers -= f->bytes;
    if (f->kind != CHOIRI_FRAME_ANSWER) return true;
    if (!choiri_dlist_is_empty(&e->leaving)) { /* else its connection has ended, and everybody was told */
        choiri_leaving *l = CHOIRI_CONTAINER(e->leaving.next, choiri_leaving, link);
        choiri_dlist_remove(&l->link);
        l->end = a->written + a->out.bytes;
        choiri_dlist_append(&a->leaving, &l->link);
    }
    return true;
}

static void leave_ring(choir_session *s, choiri_hot *hot) {
    choiri_egress *e = &hot->egress;
    choiri_dlist_remove(&e->turn);
    e->deficit = 0;
    if (choiri_dlist_is_empty(&e->relieved)) choiri_dlist_append(&s->relieved, &e->relieved);
}

bool choiri_egress_refill(choir_attachment *a) {
    choir_session *s = a->session;
    while (a->out.bytes < CHOIRI_EGRESS_SHORT && !choiri_dlist_is_empty(&s->ring)) {
        choiri_hot *hot = CHOIRI_CONTAINER(s->ring.next, choiri_hot, egress.turn);
        choiri_egress *e = &hot->egress;
        next_frame f = look(e);
        bool is_alone = s->ring.next == s->ring.prev;
        if (f.bytes > e->deficit &&
            !is_alone) { /* its turn is over; the next one brings it another quantum */
            e->deficit += CHOIRI_EGRESS_QUANTUM;
            choiri_dlist_remove(&e->turn);
            choiri_dlist_append(&s->ring, &e->turn);
            continue;
        }
        bool moved = onto_link(a, hot, &f);
        recharge(hot);
        if (!moved) return false;
        if (choiri_egress_is_empty(e))
            leave_ring(s, hot);
        else if (choiri_dlist_is_empty(&e->relieved))
            choiri_dlist_append(&s->relieved, &e->relieved);
    }
    return true;
}

void choiri_egress_taken(choir_attachment *a, choir_time now) {
    choir_session *s = a->session;
    while (!choiri_dlist_is_empty(&a->leaving)) {
        choiri_leaving *l = CHOIRI_CONTAINER(a->leaving.next, choiri_leaving, link);
        if (l->end > a->written) break;
        choiri_dlist_remove(&l->link);
        s->upper->left(s, l, true);
    }
    while (!choiri_dlist_is_empty(&s->relieved)) {
        choiri_hot *hot = CHOIRI_CONTAINER(s->relieved.next, choiri_hot, egress.relieved);
        choiri_dlist_remove(&hot->egress.relieved);
        choiri_conn_go_on(s, hot, now);
    }
}

uint32_t choiri_egress_max(const choir_session *s) {
    return s->attachment ? s->attachment->max_sent : 0;
}

bool choiri_egress_has_left(const choir_session *s, uint64_t end) {
    const choir_attachment *a = s->attachment;
    return end <= (a ? a->written + a->out.bytes : s->taken);
}

void choiri_egress_lost(choir_session *s, choir_attachment *a) {
    while (!choiri_dlist_is_empty(&s->ring))
        choiri_egress_clear(CHOIRI_CONTAINER(s->ring.next, choiri_hot, egress.turn));
    while (!choiri_dlist_is_empty(&s->relieved)) choiri_dlist_remove(s->relieved.next);
    give_up(s, &a->leaving);
}
