/* SPDX-License-Identifier: MIT */
/* Answers: encode, seal, send; and the host's side of a request.
 *
 * Without a seal hook an answer is encoded straight into the output. With one it is encoded apart, shown to
 * the hook, and sent when the hook, or later choir_request_seal, says so. */
#include "base/assert.h"
#include "base/clear.h"
#include "base/options.h"
#include "rpc/request.h"
#include "value/unit.h"
#include "wire/utf8.h"

static const choir_reply_options defaults = {.size = sizeof defaults};

void choir_reply_options_init_sized(choir_reply_options *o, size_t size) {
    choiri_options_give(o, size, &defaults, sizeof defaults);
}

/* ---- encode ---- */

static CHOIRI_INLINE void write_result(choiri_writer *w, const choiri_rpc *r, const choiri_answer *a) {
    const choiri_codec *codec = r->hot.session->codec;
    if (CHOIRI_UNLIKELY(a->encoded.data != NULL)) {
        choiri_write_span(w, a->encoded.data, a->encoded.len);
        return;
    }
    choiri_codec_begin_result(codec, w, a->outcome, a->text);
    if (a->outcome > CHOIR_OUTCOME_USER_ERROR) return;
    const choir_method *m = a->m->desc;
    choiri_codec_write_value(codec, w, r->hot.conn->profile->serve->unit,
                             a->outcome == CHOIR_OUTCOME_OK ? m->ok : m->err, a->value);
}

/* ---- send ---- */

int choiri_answer_send(choiri_rpc *r, const choiri_answer *a, choiri_leaving *leaving, choir_time now) {
    choir_session *s = r->hot.session;
    const choiri_codec *codec = s->codec;
    choiri_conn *c = r->hot.conn;
    choiri_sending m;
    choiri_lasting *l = choiri_lasting_get(s, c);
    choiri_binding *b = a->b;
    if (!b && l && a->m) b = choiri_binding_get(s, c, false, choiri_method_index(c->profile->serve, a->m));
    if (!l || (!b && a->m)) return CHOIR_ERR_NO_MEMORY;
    if (!choiri_egress_begin(s, &r->hot, &m, a->chunk)) return CHOIR_ERR_CLOSED;
    choiri_hole ret = choiri_codec_begin_response(codec, &m.writer, c->wire_id, a->wire_id, a->metadata,
                                                  a->metadata_len, b && choiri_types_will_announce(s, b));
    write_result(&m.writer, r, a);
    choiri_codec_fill_hole(codec, &m.writer, ret);
    if (!b) {
        choiri_codec_write_schemas(codec, &m.writer, &l->sent, NULL);
        return choiri_egress_end(&m, CHOIRI_FRAME_ANSWER, leaving, now);
    }
    /* The true root goes with the first answer of a method, errors included. rule: schema.response-root */
    const choiri_schema_set *root = &a->m->response;
    int status = choiri_types_announce(s, l, b, root, &m.writer);
    if (status != CHOIR_OK) choiri_writer_fail(&m.writer, status);
    status = choiri_egress_end(&m, CHOIRI_FRAME_ANSWER, leaving, now);
    if (status == CHOIR_OK) choiri_types_announced(s, l, b, root);
    if (CHOIRI_UNLIKELY(status == CHOIR_ERR_TOO_LARGE && leaving)) leaving->end = m.end; /* its size */
    return status;
}

/* A reason of a host that is too large for this link, or not well-formed. */
static bool cannot_be_said(int status) {
    return status == CHOIR_ERR_TOO_LARGE || status == CHOIR_ERR_INVALID;
}

void choiri_answer_refuse(choiri_rpc *r, uint64_t wire_id, const choiri_prepared_method *m, uint32_t outcome,
                          choir_str text, choir_time now) {
    choiri_answer a = {.wire_id = wire_id, .m = m, .outcome = outcome, .text = text};
    choiri_answer_must(r, &a, now);
}

void choiri_answer_must(choiri_rpc *r, const choiri_answer *a, choir_time now) {
    int status = choiri_answer_send(r, a, NULL, now);
    if (cannot_be_said(status) && a->metadata_len > 0) {
        choiri_answer bare = *a;
        bare.metadata_len = 0;
        status = choiri_answer_send(r, &bare, NULL, now);
    }
    choiri_answer_owed(r, status, now);
}

void choiri_answer_owed(choiri_rpc *r, int status, choir_time now) {
    choiri_text text;
    if (status == CHOIR_OK || status == CHOIR_ERR_CLOSED) return; /* closed: there is nobody to tell */
    choiri_text_init(&text);
    if (status == CHOIR_ERR_TOO_LARGE) {
        choiri_text_u64(choiri_text_add(&text, "the peer takes at most "), choiri_egress_max(r->hot.session));
        choiri_text_add(&text, " bytes, too few for an answer that it is owed");
        status = CHOIR_ERR_PROTOCOL;
    } else {
        status = CHOIR_ERR_OUT_OF_MEMORY;
    }
    choiri_conn_fail(r->hot.session, r->hot.conn, status, &text, now);
}

void choiri_answer_left(choir_session *s, choiri_leaving *leaving, bool taken) {
    choiri_request *q = CHOIRI_CONTAINER(leaving, choiri_request, leaving);
    q->is_leaving = false;
    choiri_session_end_work(s);
    if (!taken) q->outcome = CHOIR_OUTCOME_CONNECTION_CLOSED;
    choiri_ready_add(s, &q->node, CHOIRI_REQUEST_DONE);
}

/* What is known about an answer that was not sent. */
static choiri_unsent unsent_of(const choiri_request *q, const choiri_answer *a) {
    const choir_method *m = q->m->desc;
    return (choiri_unsent){.service = choiri_request_profile(q)->serve,
                           .method = q->method,
                           .type = a->outcome == CHOIR_OUTCOME_OK ? m->ok : m->err,
                           .value = a->value,
                           .has_value = !a->encoded.data && a->outcome <= CHOIR_OUTCOME_USER_ERROR,
                           .is_answer = true,
                           .size = q->leaving.end,
                           .b = q->b};
}

/* The answer is larger than the peer takes, which its handler cannot know beforehand and may not look at. So
 * the request is over with what still can be said: of a result, that there was one, and why it is not there
 * (ERR_TOO_LARGE); of everything else, the same without its words (OK). */
static CHOIRI_COLD int send_less(choiri_request *q, const choiri_answer *a, choir_time now) {
    choir_session *s = choiri_request_session(q);
    choir_metadata_entry reason;
    choiri_answer less = {.wire_id = a->wire_id, .m = a->m, .b = a->b, .outcome = a->outcome};
    int told = CHOIR_OK;
    if (a->outcome <= CHOIR_OUTCOME_USER_ERROR) {
        const choiri_unsent u = unsent_of(q, a);
        told = choiri_unsent_note(s, &u, CHOIR_ERR_TOO_LARGE);
        choir_str why = choir_session_error(s);
        reason = (choir_metadata_entry){.key = CHOIR_STR("choir-reason"),
                                        .type = CHOIR_METADATA_STRING,
                                        .bytes = {(const uint8_t *)why.data, why.len}};
        less.outcome = CHOIR_OUTCOME_INDETERMINATE;
        less.metadata = &reason;
        less.metadata_len = why.len > 0;
    }
    int status = choiri_answer_send(q->rpc, &less, &q->leaving, now);
    if (status == CHOIR_ERR_TOO_LARGE && less.metadata_len > 0) {
        less.metadata_len = 0;
        status = choiri_answer_send(q->rpc, &less, &q->leaving, now);
    }
    q->is_leaving = status == CHOIR_OK;
    if (status == CHOIR_OK)
        choiri_request_set_answered(q, less.outcome);
    else
        choiri_answer_owed(q->rpc, status, now);
    choiri_request_finish(q, now);
    return status == CHOIR_ERR_TOO_LARGE ? status : told;
}

/* The answer of a handler leaves now. */
static CHOIRI_INLINE int send_final(choiri_request *q, const choiri_answer *a, choir_time now) {
    int status = choiri_answer_send(q->rpc, a, &q->leaving, now);
    if (CHOIRI_UNLIKELY(status == CHOIR_ERR_TOO_LARGE)) return send_less(q, a, now);
    if (status != CHOIR_OK) return status;
    q->is_leaving = true;
    choiri_request_set_answered(q, a->outcome);
    choiri_request_finish(q, now);
    return CHOIR_OK;
}

/* ---- seal ---- */

static void free_sealed(choiri_request *q) {
    if (!q->sealed) return;
    size_t held = choiri_sealed_held(q);
    q->charged -= held;
    choiri_discharge(&q->rpc->hot, held);
    choiri_outq_deinit(q->sealed);
    choiri_free(choiri_request_session(q)->env, q->sealed, sizeof *q->sealed);
    q->sealed = NULL;
    q->sealing = false;
}

/* Metadata and answer, apart from each other. */
static choir_bytes parts_of(const choiri_request *q, choir_bytes *ret_metadata) {
    choir_iov iov = {NULL, 0};
    if (q->sealed->bytes > 0) choiri_outq_peek(q->sealed, 0, UINT64_MAX, &iov, 1);
    const uint8_t *data = iov.base;
    *ret_metadata = (choir_bytes){data, q->sealed_metadata};
    return (choir_bytes){data + q->sealed_metadata, iov.len - q->sealed_metadata};
}

/* Encodes the answer apart, in one piece. OK, or what failed, with nothing kept. */
static CHOIRI_NOINLINE int encode_apart(choiri_request *q, const choiri_answer *a) {
    choir_session *s = choiri_request_session(q);
    choiri_writer w;
    q->sealed = choiri_alloc(s->env, sizeof *q->sealed);
    if (!q->sealed) return CHOIR_ERR_NO_MEMORY;
    choiri_outq_init(q->sealed, s->env);
    choiri_writer_init(&w, q->sealed, NULL);
    choiri_write_entries(&w, a->metadata, a->metadata_len);
    q->sealed_metadata = (size_t)choiri_writer_offset(&w);
    q->sealed_entries = a->metadata_len;
    write_result(&w, q->rpc, a);
    int status = choiri_writer_finish(&w);
    size_t size = (size_t)q->sealed->bytes;
    if (status == CHOIR_OK && size > 0 && !choiri_outq_flatten(q->sealed, size)) status = CHOIR_ERR_NO_MEMORY;
    q->charged += choiri_sealed_held(q);
    choiri_charge_anyway(&q->rpc->hot, choiri_sealed_held(q));
    if (status != CHOIR_OK) free_sealed(q);
    return status;
}

/* It was not sealed: nothing of the answer may be told, nor that there was none. */
static void withhold(choiri_answer *a) {
    a->encoded = (choir_bytes){NULL, 0};
    a->metadata_len = 0;
    a->outcome = CHOIR_OUTCOME_INDETERMINATE;
}

/* Shows the answer to the hook. OK: it was sent, or waits; else what failed, with nothing changed. */
static CHOIRI_NOINLINE int seal(choiri_request *q, const choiri_answer *a, const choir_hooks *hooks,
                                choir_time now) {
    choir_bytes metadata;
    int status = encode_apart(q, a);
    if (status != CHOIR_OK) return status;
    q->outcome = a->outcome;
    q->sealing = true;
    choir_bytes bytes = parts_of(q, &metadata);
    int verdict = hooks->seal(hooks->ctx, choiri_request_session(q), q->handle, a->outcome, bytes);
    if (verdict == CHOIR_VERDICT_PEND) return CHOIR_OK;
    if (!q->sealing) return CHOIR_OK; /* the hook has completed it itself */
    if (q->answered) {                /* it has ended inside the hook */
        free_sealed(q);
        choiri_request_finish(q, now);
        return CHOIR_ERR_NOT_FOUND;
    }
    choiri_answer sealed = *a;
    sealed.encoded = bytes;
    if (verdict != CHOIR_VERDICT_RUN) withhold(&sealed);
    status = send_final(q, &sealed, now);
    free_sealed(q);
    return status;
}

int choir_request_seal(choir_session *s, choir_request_id id, int verdict, choir_time now) {
    choir_metadata_entry entries[CHOIRI_REQUEST_ENTRIES];
    if (!s || (verdict != CHOIR_VERDICT_RUN && verdict != CHOIR_VERDICT_REFUSE)) return CHOIR_ERR_INVALID;
    choiri_request *q = choiri_request_find(s, id);
    if (!q) return CHOIR_ERR_NOT_FOUND;
    if (!q->sealing) return CHOIR_ERR_STATE;
    now = choiri_session_time(s, now);
    if (q->answered) { /* it was cancelled, or its connection ended, meanwhile */
        free_sealed(q);
        choiri_request_finish(q, now);
        return CHOIR_ERR_CANCELLED;
    }
    choir_metadata staged = {.count = q->sealed_entries};
    choiri_answer a = {.wire_id = q->wire_id, .m = q->m, .metadata = entries};
    a.encoded = parts_of(q, &staged.entries);
    a.outcome = q->outcome;
    while (a.metadata_len < CHOIRI_REQUEST_ENTRIES && choir_metadata_next(&staged, &entries[a.metadata_len]))
        a.metadata_len++;
    if (verdict == CHOIR_VERDICT_REFUSE) withhold(&a);
    int status = send_final(q, &a, now);
    if (status == CHOIR_OK || status == CHOIR_ERR_TOO_LARGE) free_sealed(q); /* it is over */
    return status;
}

/* ---- the host's side ---- */

static CHOIRI_NOINLINE int take_options(const choir_reply_options *in, choiri_answer *a) {
    choir_reply_options o = defaults;
    if (choiri_options_copy(&o, sizeof o, in) != CHOIR_OK || o.metadata_len > CHOIRI_REQUEST_ENTRIES ||
        (o.metadata_len > 0 && !o.metadata) || (o.encoded.data && a->value))
        return CHOIR_ERR_INVALID;
    a->chunk = o.chunk;
    a->encoded = o.encoded;
    a->metadata = o.metadata;
    a->metadata_len = o.metadata_len;
    return CHOIR_OK;
}

static CHOIRI_INLINE int answer(choir_session *s, choir_request_id id, choiri_answer *a, choir_time now) {
    choiri_request *q = choiri_request_find(s, id);
    if (!q || q->sealing) return CHOIR_ERR_NOT_FOUND;
    now = choiri_session_time(s, now);
    if (q->answered) {
        int status = q->outcome == CHOIR_OUTCOME_CANCELLED ? CHOIR_ERR_CANCELLED : CHOIR_ERR_NOT_FOUND;
        choiri_request_finish(q, now);
        return status;
    }
    a->wire_id = q->wire_id;
    a->m = q->m;
    a->b = q->b;
    if (!a->chunk) a->chunk = q->chunk;
    const choir_hooks *hooks = &choiri_request_profile(q)->hooks;
    return hooks->seal ? seal(q, a, hooks, now) : send_final(q, a, now);
}

/* Says what was wrong with an answer that is still owed. */
static CHOIRI_COLD int unsent(choir_session *s, choir_request_id id, const choiri_answer *a, int status) {
    const choiri_request *q = choiri_request_find(s, id);
    if (status == CHOIR_ERR_TOO_LARGE) return status; /* that was said, and is over */
    if (!q || !q->m || (status != CHOIR_ERR_INVALID && status != CHOIR_ERR_DEPTH))
        return choiri_unsaid(s, status);
    const choiri_unsent u = unsent_of(q, a);
    return choiri_unsent_note(s, &u, status);
}

static int reply(choir_session *s, choir_request_id id, uint32_t outcome, const void *value,
                 const choir_reply_options *options, choir_time now) {
    choiri_answer a;
    choiri_clear(&a, sizeof a);
    a.outcome = outcome;
    a.value = value;
    if (options && take_options(options, &a) != CHOIR_OK)
        return choiri_wrong_note(s, CHOIR_ERR_INVALID, "the options of the answer are not valid");
    int status = answer(s, id, &a, now);
    return CHOIRI_LIKELY(status == CHOIR_OK) ? status : unsent(s, id, &a, status);
}

int choir_reply(choir_session *s, choir_request_id id, const void *value, const choir_reply_options *options,
                choir_time now) {
    return reply(s, id, CHOIR_OUTCOME_OK, value, options, now);
}

int choir_reply_error(choir_session *s, choir_request_id id, const void *error,
                      const choir_reply_options *options, choir_time now) {
    choiri_request *q = choiri_request_find(s, id);
    if (!q) return choiri_unsaid(s, CHOIR_ERR_NOT_FOUND);
    if (choiri_unit_type(choiri_request_profile(q)->serve->unit, q->m->desc->err)->kind == CHOIR_KIND_NEVER)
        return choiri_wrong_note(s, CHOIR_ERR_INVALID, "the method has no error of its own");
    return reply(s, id, CHOIR_OUTCOME_USER_ERROR, error, options, now);
}

int choir_reply_invalid(choir_session *s, choir_request_id id, choir_str text, choir_time now) {
    if ((!text.data && text.len > 0) ||
        (text.len > 0 && !choiri_utf8_is_valid((const uint8_t *)text.data, text.len)))
        return choiri_wrong_note(s, CHOIR_ERR_INVALID, "the text of the answer is not UTF-8");
    choiri_answer a = {.outcome = CHOIR_OUTCOME_INVALID_PAYLOAD, .text = text};
    return choiri_unsaid(s, answer(s, id, &a, now));
}

int choir_reply_unknown(choir_session *s, choir_request_id id, choir_time now) {
    choiri_answer a = {.outcome = CHOIR_OUTCOME_UNKNOWN_METHOD};
    return choiri_unsaid(s, answer(s, id, &a, now));
}

int choir_request_drop(choir_session *s, choir_request_id id, const choir_reason *reason, choir_time now) {
    choir_metadata_entry entries[CHOIRI_REQUEST_ENTRIES];
    choiri_answer a = {.outcome = CHOIR_OUTCOME_CANCELLED, .metadata = entries};
    if (choiri_reason_entries(reason, entries, &a.metadata_len) != CHOIR_OK)
        return choiri_wrong_note(s, CHOIR_ERR_INVALID, "the reason is not valid");
    int status = choiri_unsaid(s, answer(s, id, &a, now));
    if (status == CHOIR_ERR_INVALID && a.metadata_len > 0) { /* a reason that is not well-formed */
        a.metadata_len = 0;
        status = answer(s, id, &a, now);
    }
    if (status == CHOIR_ERR_CANCELLED || status == CHOIR_ERR_TOO_LARGE) status = CHOIR_OK; /* it is over */
    if (status == CHOIR_OK) return CHOIR_OK;
    choiri_request *q = choiri_request_find(s, id);
    if (!q || q->sealing || status == CHOIR_ERR_INVALID) return status;
    if (status == CHOIR_ERR_CLOSED) /* there is nobody to tell */
        choiri_request_set_answered(q, CHOIR_OUTCOME_CANCELLED);
    else /* not even that can be said: the connection cannot keep its promise of one answer each */
        choiri_answer_owed(q->rpc, status, s->now);
    choiri_request_finish(q, s->now);
    return CHOIR_OK;
}
