/* SPDX-License-Identifier: MIT */
/* What a peer announces: it is stored or refused, read into a unit of its own, and compared with types of
 * ours. Then a value is read by both, which must agree about where it ends. Input: is the reading lenient,
 * our method (interface, number), payloads (two bytes of length each; ended by 0), value. */
#include "schema/dynamic.h"
#include "schema/plan.h"
#include "types.h"
#include "value/unit.h"

#define PAYLOADS  8
#define VALUE_MAX 65536u /* of a value's own size: the peer may announce arrays of megabytes */

typedef struct peer {
    fuzz_run f;
    choiri_recv_tracker tracker;
    choir_bytes root, value;
    bool is_lenient;
} peer;

static void check_text(int status, const choiri_text *text) {
    FUZZ_CHECK(status == CHOIR_OK || text->len > 0, "status %d without a text", status);
}

/* Reads the value by the peer's own types; *ret_left: what is behind it. False when it cannot be read. */
static bool read_theirs(peer *p, size_t *ret_left) {
    const choir_unit *u;
    uint32_t type;
    choiri_text text;
    choiri_arena made, memory;
    bool read = false;
    choiri_text_init(&text);
    choiri_arena_init(&made, p->f.env, NULL, 0, (size_t)4 << 20);
    choiri_arena_init(&memory, p->f.env, NULL, 0, choiri_value_arena_limit(p->value.len));
    int status = choiri_dynamic_make(&made, &p->tracker, p->root, &u, &type, &text);
    check_text(status, &text);
    if (status == CHOIR_OK) {
        FUZZ_CHECK(choiri_unit_check(u, &text) == CHOIR_OK, "a unit that is not sound: %s", text.data);
        size_t size = choiri_unit_type(u, type)->size;
        void *value = fuzz_memory(&p->f, size <= VALUE_MAX ? size : 0);
        choiri_reader r = choiri_reader_of(p->value);
        read = size <= VALUE_MAX && choiri_value_decode(&r, u, type, &memory, value, &text) == CHOIR_OK;
        *ret_left = choiri_reader_left(&r);
        if (read) fuzz_check_value(&p->f, u, type, value);
    }
    choiri_arena_reset(&memory);
    choiri_arena_reset(&made);
    return read;
}

/* Reads it as a value of ours. For an answer: only the plan is made. */
static bool read_ours(peer *p, const choiri_root *root, const choiri_schema_set *announcement,
                      size_t *ret_left) {
    choiri_plan *plan = NULL;
    choiri_plan_facts facts = {0};
    choiri_text text;
    bool read = false;
    choiri_text_init(&text);
    choiri_plan_input in = {p->f.env,     &p->tracker,   p->root,         root,
                            announcement, p->is_lenient, CHOIRI_PLAN_ENDS};
    int status = choiri_plan_make(&in, &plan, &facts, &text);
    check_text(status, &text);
    FUZZ_CHECK(facts.steps <= CHOIRI_SCHEMA_MAX_STEPS, "%u steps", facts.steps);
    if (status == CHOIR_OK && !root->is_response) {
        FUZZ_CHECK(choiri_plan_size(plan) <= CHOIRI_PLAN_MAX_BYTES, "a plan of %zu bytes",
                   choiri_plan_size(plan));
        void *value = fuzz_memory(&p->f, choiri_unit_type(root->unit, root->type)->size);
        choiri_reader r = choiri_reader_of(p->value);
        choiri_arena memory;
        choiri_arena_init(&memory, p->f.env, NULL, 0, choiri_value_arena_limit(p->value.len));
        choiri_text_init(&text);
        status =
            choiri_plan_decode(plan, CHOIRI_PLAN_ROOT, &r, root->unit, root->type, &memory, value, &text);
        check_text(status, &text);
        read = status == CHOIR_OK;
        *ret_left = choiri_reader_left(&r);
        if (read) fuzz_check_value(&p->f, root->unit, root->type, value);
        choiri_arena_reset(&memory);
    }
    choiri_plan_free(p->f.env, plan);
    return read;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint64_t seed[2] = {1, 2};
    peer p = {0};
    const choir_unit *unit;
    choiri_text text;
    fuzz_open(&p.f, data, size);
    choiri_text_init(&text);
    choiri_recv_tracker_init(&p.tracker, p.f.env, seed, NULL);
    p.is_lenient = fuzz_u8(&p.f) & 1;
    const choiri_prepared_method *m = fuzz_method(&p.f, &unit);
    const choiri_root args = {.unit = unit, .type = m->desc->args},
                      answer = {.unit = unit, .is_response = true, .ok = m->desc->ok, .err = m->desc->err};
    for (uint32_t i = 0, len; i < PAYLOADS && (len = fuzz_u16(&p.f)) > 0; i++) {
        choir_bytes root, payload = fuzz_copy(&p.f, fuzz_take(&p.f, len));
        int status = choiri_recv_tracker_add(&p.tracker, payload, &root, &text);
        check_text(status, &text);
        if (status == CHOIR_OK) p.root = root;
        status = choiri_message_schema_match(p.f.env, payload, &text);
        check_text(status, &text);
    }
    p.value = fuzz_copy(&p.f, p.f.in);
    if (p.root.data) {
        size_t theirs = 0, ours = 0, none;
        bool both = read_theirs(&p, &theirs);
        both &= read_ours(&p, &args, &m->args, &ours);
        /* A lenient reader takes ours for what was never announced. */
        FUZZ_CHECK(!both || p.is_lenient || theirs == ours, "the value ends at %zu and at %zu", theirs, ours);
        read_ours(&p, &answer, &m->response, &none);
    }
    choiri_recv_tracker_deinit(&p.tracker);
    return fuzz_close(&p.f);
}
