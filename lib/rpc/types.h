/* SPDX-License-Identifier: MIT */
/* What a connection lastingly knows: ids that it gave out, and what was announced about types in either
 * direction. Made with its first message, freed with the connection; what the peer makes it hold is charged
 * to the session. */
#ifndef CHOIRI_TYPES_H
#define CHOIRI_TYPES_H

#include "base/assert.h"
#include "schema/dynamic.h"
#include "schema/plan.h"
#include "schema/tracker.h"
#include "session/session.h"

/* All plans and units of a connection together: as much as the schemas they are made from may take. */
#define CHOIRI_PLANS_MAX_BYTES CHOIRI_SCHEMA_MAX_BYTES
/* A vox peer announces a method's types once, and may have to repair that once. */
#define CHOIRI_BINDING_TRIES 4u
#define CHOIRI_LATE_IDS      4u

/* What is known about one direction of one method. */
enum { CHOIRI_BOUND_NO = 0, CHOIRI_BOUND_OK, CHOIRI_BOUND_BAD };

/* The types of a DYNAMIC method's answer, as the peer announced them. */
typedef struct choiri_answer_types {
    choiri_arena arena; /* has the unit */
    const choir_unit *unit;
    uint32_t ok, err;
} choiri_answer_types;

typedef struct choiri_binding {
    choir_str text;             /* BAD: why, allocated */
    choiri_plan *plan;          /* OK: how the peer's values are read; NULL: as ours */
    choiri_answer_types *types; /* OK, of a DYNAMIC method: allocated */
    bool announced;             /* ours was sent */
    bool complained;            /* the log was told of an answer that could not be encoded */
    uint8_t peer;               /* CHOIRI_BOUND_*: the peer's */
    uint8_t tries;              /* announcements of the peer that were looked at */
} choiri_binding;

/* The bindings of a service's methods that were used. */
typedef struct choiri_bindings {
    uint16_t *index; /* one for each method: place in `list` + 1, 0 is none; NULL before the first */
    choiri_binding **list;
    uint16_t len, cap;
} choiri_bindings;

typedef struct choiri_lasting {
    choiri_send_tracker sent;
    choiri_recv_tracker received;
    choiri_bindings served; /* our responses, the peer's arguments */
    choiri_bindings called; /* our arguments, the peer's responses */
    size_t plan_bytes;      /* of all plans and units: at most CHOIRI_PLANS_MAX_BYTES */
    size_t text_bytes;      /* of the texts of bindings */
    uint64_t charged;       /* to the session; as wide as what it is taken from there */
    uint64_t next_id;       /* of our calls; our parity; never wraps */
    uint64_t next_operation;
    uint64_t late; /* answers that may still come for calls we gave up: not charged */
    /* The newest calls that were given up and whose method has no response binding; 0: none. */
    uint64_t late_ids[CHOIRI_LATE_IDS];
    uint32_t late_methods[CHOIRI_LATE_IDS];
    uint32_t late_next;
    bool was_full; /* the log was told that all places of handlers are taken */
} choiri_lasting;

/* Made if there is none yet; NULL without memory. */
choiri_lasting *choiri_lasting_make(choir_session *s, choiri_conn *c);
static inline choiri_lasting *choiri_lasting_get(choir_session *s, choiri_conn *c) {
    return CHOIRI_LIKELY(c->lasting != NULL) ? c->lasting : choiri_lasting_make(s, c);
}
void choiri_lasting_free(choir_session *s, choiri_conn *c);

/* The binding of a method, which stays where it is until the connection goes; `peek` gives NULL when there is
 * none yet, `get` without memory. */
static inline choiri_binding *choiri_binding_peek(const choiri_bindings *b, uint32_t method) {
    return b->index && b->index[method] ? b->list[b->index[method] - 1] : NULL;
}
choiri_binding *choiri_binding_make(choir_session *s, choiri_conn *c, bool called, uint32_t method);
static inline choiri_binding *choiri_binding_get(choir_session *s, choiri_conn *c, bool called,
                                                 uint32_t method) {
    choiri_lasting *l = c->lasting;
    choiri_binding *b = choiri_binding_peek(called ? &l->called : &l->served, method);
    return CHOIRI_LIKELY(b != NULL) ? b : choiri_binding_make(s, c, called, method);
}

/* Values can be read: the peer's layout is known, or does not matter. */
static inline bool choiri_binding_is_settled(const choir_session *s, const choiri_binding *b) {
    return b->peer == CHOIRI_BOUND_OK || (b->peer == CHOIRI_BOUND_NO && !s->codec->compares_layouts);
}

/* Takes schemas of the peer and binds them to a method (CHOIR_METHOD_NONE: only remembers them). false when
 * the connection has failed. */
bool choiri_types_bind(choir_session *s, choiri_conn *c, uint32_t method, bool response, choir_bytes schemas,
                       choir_time now);
/* A Schema message. */
void choiri_types_message(choir_session *s, choiri_conn *c, const choiri_message *msg,
                          const choiri_frame *frame, choir_time now);
/* Does our next message for this binding carry schemas? */
static inline bool choiri_types_will_announce(const choir_session *s, const choiri_binding *b) {
    return !b->announced && (s->codec->needs_schemas || s->peer.announces);
}
/* The schemas field of our message: the announcement if it has not been made, else empty. OK or
 * ERR_NO_MEMORY. */
int choiri_types_write(const choir_session *s, choiri_lasting *l, const choiri_schema_set *a,
                       choiri_writer *w);
static inline int choiri_types_announce(const choir_session *s, choiri_lasting *l, const choiri_binding *b,
                                        const choiri_schema_set *a, choiri_writer *w) {
    if (CHOIRI_UNLIKELY(choiri_types_will_announce(s, b))) return choiri_types_write(s, l, a, w);
    choiri_codec_write_schemas(s->codec, w, &l->sent, NULL);
    return CHOIR_OK;
}
/* The message is queued: so is its announcement. */
static inline void choiri_types_announced(const choir_session *s, choiri_lasting *l, choiri_binding *b,
                                          const choiri_schema_set *a) {
    if (CHOIRI_LIKELY(!choiri_types_will_announce(s, b))) return;
    choiri_send_tracker_commit(&l->sent, a);
    b->announced = true;
}
/* A vox peer sees UnknownMethod only under an announced root: sends that of "returns nothing, cannot fail"
 * ahead, in a message of its own. OK · what failed with nothing sent. rule: rpc.unknown-method */
int choiri_types_announce_nothing(choir_session *s, choiri_conn *c, uint64_t method_id, choir_time now);
/* "Testbed.echo" */
void choiri_method_text(const choiri_prepared *service, uint32_t method, choiri_text *text);

/* api.c: finds or prepares a service, and says in the log what is wrong with its descriptors. As
 * choiri_prepare. */
int choiri_prepare_logged(choir_env *env, const choir_service *desc, const choiri_prepared **ret);

#endif
