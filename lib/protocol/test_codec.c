/* SPDX-License-Identifier: MIT */
/* What every codec promises, tried on each that this build has: what it writes it reads, its table says what
 * it does, and the functions of every call give what the table gives. */
#include "choir/session.h"
#include "protocol/codec.h"
#include "wire/cbor.h"
#include "wire/metadata.h"
#include "wire/test_wire.h"

enum { UNIT, NUMBER, PAIR, TYPES };
static const char strings[] = "\0Pair\0left\0right";
typedef struct numbers {
    uint64_t left, right;
} numbers;
static const choir_type types[TYPES] = {
    [UNIT] = {.kind = CHOIR_KIND_UNIT, .align = 1},
    [NUMBER] = {.kind = CHOIR_KIND_U64, .size = 8, .align = 8},
    [PAIR] =
        {.kind = CHOIR_KIND_STRUCT, .name = 1, .size = sizeof(numbers), .align = 8, .first = 0, .count = 2},
};
static const choir_field fields[] = {
    {.name = 6, .type = NUMBER, .offset = offsetof(numbers, left)},
    {.name = 11, .type = NUMBER, .offset = offsetof(numbers, right)},
};
static const choir_unit unit = {
    CHOIR_UNIT_HEADER, .types_len = TYPES, .fields_len = 2,    .strings_len = sizeof strings,
    .types = types,    .fields = fields,   .strings = strings,
};

static const choir_metadata_entry entries[] = {
    {.key = {"why", 3}, .type = CHOIR_METADATA_STRING, .bytes = {(const uint8_t *)"because", 7}},
    {.key = {"n", 1}, .type = CHOIR_METADATA_U64, .u64 = 300, .flags = CHOIR_METADATA_NO_PROPAGATE},
};

/* Two types and a root, as CBOR: numbers stand for schemas. */
static const choiri_schema_part parts[] = {{.id = 11, .cbor = {(const uint8_t *)"\x07", 1}},
                                           {.id = 12, .cbor = {(const uint8_t *)"\x18\x64", 2}}};
static const choiri_schema_set announcement = {parts, 2, {(const uint8_t *)"\x61r", 2}};
#define ANNOUNCED "\xa2\x67schemas\x82\x07\x18\x64\x64root\x61r"

typedef struct trial {
    bench b;
    choiri_arena arena;
    choiri_send_tracker sent;
    choiri_writer w;
    const choiri_codec *codec;
} trial;

static void trial_open(trial *t, const choiri_codec *codec) {
    static const uint64_t seed[2] = {1, 2};
    bench_open(&t->b);
    choiri_arena_init(&t->arena, t->b.env, NULL, 0, CHOIRI_DECODE_ARENA_MAX);
    choiri_send_tracker_init(&t->sent, t->b.env, seed);
    choiri_writer_init(&t->w, &t->b.q, NULL);
    t->codec = codec;
}

static void trial_close(trial *t) {
    choiri_arena_reset(&t->arena);
    choiri_send_tracker_deinit(&t->sent);
    bench_close(&t->b);
}

static choir_bytes written(trial *t) {
    cr_assert_eq(choiri_writer_finish(&t->w), CHOIR_OK);
    choir_bytes out = bench_take(&t->b);
    choiri_writer_init(&t->w, &t->b.q, NULL);
    return out;
}

static void each_codec(void (*check)(trial *t)) {
    uint32_t tried = 0;
    for (uint32_t i = 0; i < CHOIRI_CODECS; i++) {
        trial t;
        const choiri_codec *codec = choiri_codec_of(i);
        if (!codec) continue;
        trial_open(&t, codec);
        check(&t);
        trial_close(&t);
        tried++;
    }
    cr_assert_geq(tried, 1);
}

Test(codec, found_by_its_number) {
    for (uint32_t i = 0; i < CHOIRI_CODECS; i++) {
        const choiri_codec *codec = choiri_codec_of(i);
        if (codec) cr_assert_eq(codec->id, i);
    }
    cr_assert_eq(choiri_codec_of(CHOIR_CODEC_POSTCARD), &choiri_codec_postcard);
    cr_assert_null(choiri_codec_of(CHOIRI_CODECS));
    cr_assert_null(choiri_codec_of(UINT32_MAX));
}

/* ---- messages ---- */

static const choiri_message rare[] = {
    {.kind = CHOIRI_MSG_PROTOCOL_ERROR, .description = {"bad", 3}},
    {.kind = CHOIRI_MSG_CONNECTION_OPEN, .conn = 3, .settings = {CHOIRI_PARITY_EVEN, 64}},
    {.kind = CHOIRI_MSG_CONNECTION_ACCEPT, .conn = 300, .settings = {CHOIRI_PARITY_ODD, UINT32_MAX}},
    {.kind = CHOIRI_MSG_CONNECTION_REJECT, .conn = 4},
    {.kind = CHOIRI_MSG_CONNECTION_CLOSE, .conn = 5},
    {.kind = CHOIRI_MSG_REQUEST, .body = CHOIRI_BODY_CANCEL, .id = 9},
    {.kind = CHOIRI_MSG_SCHEMA, .method = 77, .direction = 1, .schemas = {(const uint8_t *)"abc", 3}},
    {.kind = CHOIRI_MSG_CHANNEL,
     .body = CHOIRI_CHANNEL_ITEM,
     .id = 8,
     .payload = {(const uint8_t *)"item", 4}},
    {.kind = CHOIRI_MSG_CHANNEL, .body = CHOIRI_CHANNEL_CLOSE, .id = 8},
    {.kind = CHOIRI_MSG_CHANNEL, .body = CHOIRI_CHANNEL_RESET, .id = 8},
    {.kind = CHOIRI_MSG_CHANNEL, .body = CHOIRI_CHANNEL_GRANT, .id = 8, .additional = 16},
    {.kind = CHOIRI_MSG_PING, .id = UINT64_MAX},
    {.kind = CHOIRI_MSG_PONG, .id = 1},
};
#define RARE (sizeof rare / sizeof rare[0])

static bool has_metadata(const choiri_message *m) {
    return (m->kind >= CHOIRI_MSG_CONNECTION_OPEN && m->kind <= CHOIRI_MSG_REQUEST) ||
           (m->kind == CHOIRI_MSG_CHANNEL &&
            (m->body == CHOIRI_CHANNEL_CLOSE || m->body == CHOIRI_CHANNEL_RESET));
}

static void check_entries(choir_metadata list, size_t count) {
    choir_metadata_entry e;
    cr_assert_eq(list.count, count);
    for (size_t i = 0; i < count; i++) {
        cr_assert(choir_metadata_next(&list, &e));
        cr_assert(bytes_equal(str_bytes(e.key), str_bytes(entries[i].key)));
        cr_assert(bytes_equal(e.bytes, entries[i].bytes));
        cr_assert(e.type == entries[i].type && e.u64 == entries[i].u64 && e.flags == entries[i].flags);
    }
}

static void check_same(const choiri_message *a, const choiri_message *b) {
    cr_assert(a->conn == b->conn && a->kind == b->kind && a->body == b->body && a->id == b->id);
    cr_assert(a->direction == b->direction && a->additional == b->additional && a->method == b->method);
    cr_assert(bytes_equal(a->payload, b->payload) && bytes_equal(a->schemas, b->schemas));
    cr_assert(bytes_equal(str_bytes(a->description), str_bytes(b->description)));
    cr_assert_eq(a->settings.parity, b->settings.parity);
    cr_assert_eq(a->settings.max_concurrent_requests, b->settings.max_concurrent_requests);
}

/* With entries of ours and, from what was read, with a received list. */
static void check_rare(trial *t) {
    for (size_t i = 0; i < RARE; i++) {
        for (size_t count = 0; count <= (has_metadata(&rare[i]) ? 2 : 0); count++) {
            choiri_message m, again;
            t->codec->encode(&t->w, &rare[i], count ? entries : NULL, count);
            choir_bytes out = written(t);
            cr_assert_eq(t->codec->decode(out, &t->arena, &m), CHOIR_OK, "%s: message %zu", t->codec->name,
                         i);
            check_same(&m, &rare[i]);
            check_entries(m.metadata, count);
            if (count > 0) {
                const uint8_t *p = m.metadata.entries.data;
                cr_assert_eq(p >= out.data && p < out.data + out.len, t->codec->metadata_in_payload);
            }
            t->codec->encode(&t->w, &m, NULL, 0);
            choir_bytes second = written(t);
            cr_assert(bytes_equal(second, out));
            cr_assert_eq(t->codec->decode(second, &t->arena, &again), CHOIR_OK);
            check_entries(again.metadata, count);
            bytes_free(second);
            bytes_free(out);
        }
    }
}
Test(codec, rare_messages_come_back) {
    each_codec(check_rare);
}

static void check_bad_entry(trial *t) {
    const choir_metadata_entry bad = {.key = CHOIR_STR("k"), .type = 3};
    for (size_t i = 0; i < RARE; i++) {
        if (!has_metadata(&rare[i])) continue;
        t->codec->encode(&t->w, &rare[i], &bad, 1);
        cr_assert_eq(choiri_writer_finish(&t->w), CHOIR_ERR_INVALID);
        choiri_outq_consume(&t->b.q, t->b.q.bytes);
        choiri_writer_init(&t->w, &t->b.q, NULL);
    }
}
Test(codec, entries_are_checked) {
    each_codec(check_bad_entry);
}

/* ---- calls and responses ---- */

static void check_announced(const trial *t, choir_bytes schemas, bool announced) {
    choir_bytes cbor;
    if (!announced) {
        cr_assert_eq(schemas.len, 0);
        return;
    }
    cr_assert_eq(t->codec->to_cbor(t->b.env, schemas, sizeof ANNOUNCED - 1, &cbor), CHOIR_OK);
    cr_assert_eq(cbor.len, sizeof ANNOUNCED - 1);
    cr_assert(memcmp(cbor.data, ANNOUNCED, cbor.len) == 0);
    choiri_codec_free_cbor(t->b.env, schemas, cbor);
    cr_assert_eq(t->codec->to_cbor(t->b.env, schemas, sizeof ANNOUNCED - 2, &cbor), CHOIR_ERR_TOO_LARGE);
}

/* Through the table, or through the functions of every call. */
static choir_bytes write_call(trial *t, bool table, bool response, size_t count, uint64_t operation,
                              bool schemas) {
    const choiri_codec *c = t->codec;
    const numbers value = {1, 70000};
    const choiri_schema_set *a = schemas ? &announcement : NULL;
    choiri_hole hole;
    if (table) {
        hole = response ? c->begin_response(&t->w, 2, 5, entries, count, schemas)
                        : c->begin_call(&t->w, 2, 5, 1u << 20, entries, count, operation, schemas);
        if (response) c->begin_result(&t->w, CHOIR_OUTCOME_OK, (choir_str){"", 0});
        c->write_value(&t->w, &unit, PAIR, &value);
        c->fill_hole(&t->w, hole);
        c->write_schemas(&t->w, &t->sent, a);
        return written(t);
    }
    hole = response ? choiri_codec_begin_response(c, &t->w, 2, 5, entries, count, schemas)
                    : choiri_codec_begin_call(c, &t->w, 2, 5, 1u << 20, entries, count, operation, schemas);
    if (response) choiri_codec_begin_result(c, &t->w, CHOIR_OUTCOME_OK, (choir_str){"", 0});
    choiri_codec_write_value(c, &t->w, &unit, PAIR, &value);
    choiri_codec_fill_hole(c, &t->w, hole);
    choiri_codec_write_schemas(c, &t->w, &t->sent, a);
    return written(t);
}

static void read_pair(trial *t, choir_bytes payload, bool table, bool response) {
    const choiri_codec *c = t->codec;
    choiri_reader r = choiri_reader_of(payload);
    numbers value = {0, 0};
    choir_str text = {NULL, 0};
    const char *why = NULL;
    uint32_t outcome = CHOIR_OUTCOME_TIMED_OUT;
    if (response) {
        cr_assert(table ? c->read_result(&r, &outcome, &text, &why)
                        : choiri_codec_read_result(c, &r, &outcome, &text, &why));
        cr_assert_eq(outcome, CHOIR_OUTCOME_OK);
    }
    int status =
        table ? c->read_value(&r, NULL, CHOIRI_PLAN_ROOT, &unit, PAIR, &t->arena, &value, NULL)
              : choiri_codec_read_value(c, &r, NULL, CHOIRI_PLAN_ROOT, &unit, PAIR, &t->arena, &value, NULL);
    cr_assert_eq(status, CHOIR_OK);
    cr_assert_eq(choiri_reader_left(&r), 0);
    cr_assert(value.left == 1 && value.right == 70000);
}

static void check_call(trial *t, bool response, size_t count, uint64_t operation, bool schemas) {
    choir_bytes out = write_call(t, true, response, count, operation, schemas);
    choir_bytes same = write_call(t, false, response, count, operation, schemas);
    cr_assert(bytes_equal(out, same));
    for (int table = 0; table < 2; table++) {
        choiri_message m;
        choir_metadata_entry e;
        if (table || !choiri_codec_read_plain(t->codec, out, &m))
            cr_assert_eq(t->codec->decode(out, &t->arena, &m), CHOIR_OK);
        cr_assert(m.conn == 2 && m.kind == CHOIRI_MSG_REQUEST && m.id == 5);
        cr_assert_eq(m.body, response ? CHOIRI_BODY_RESPONSE : CHOIRI_BODY_CALL);
        cr_assert_eq(m.method, response ? 0 : 1u << 20);
        cr_assert_eq(choir_metadata_find(m.metadata, CHOIR_STR("vox-operation-id"), CHOIR_METADATA_U64, &e),
                     operation != 0);
        if (operation != 0) {
            cr_assert_eq(e.u64, operation);
            cr_assert_eq(m.metadata.count, count + 1);
        } else {
            check_entries(m.metadata, count);
        }
        read_pair(t, m.payload, table, response);
        check_announced(t, m.schemas, schemas);
    }
    bytes_free(out);
    bytes_free(same);
}

static void check_calls(trial *t) {
    for (unsigned n = 0; n < 24; n++) {
        bool response = n & 1, schemas = n & 2;
        uint64_t operation = !response && (n & 4) ? 5000 : 0;
        check_call(t, response, n / 8, operation, schemas);
    }
}
Test(codec, calls_and_responses_come_back) {
    each_codec(check_calls);
}

static void check_schema(trial *t) {
    choiri_message m;
    t->codec->begin_schema(&t->w, 6, 1u << 30, CHOIRI_DIRECTION_RESPONSE);
    choiri_codec_write_schemas(t->codec, &t->w, &t->sent, &announcement);
    choir_bytes out = written(t);
    cr_assert_eq(t->codec->decode(out, &t->arena, &m), CHOIR_OK);
    cr_assert(m.conn == 6 && m.kind == CHOIRI_MSG_SCHEMA && m.method == 1u << 30);
    cr_assert_eq(m.direction, CHOIRI_DIRECTION_RESPONSE);
    check_announced(t, m.schemas, true);
    bytes_free(out);
}
Test(codec, schema_messages_come_back) {
    each_codec(check_schema);
}

/* ---- answers ---- */

static void check_outcomes(trial *t) {
    const uint64_t number = 12;
    for (uint32_t outcome = CHOIR_OUTCOME_OK; outcome <= CHOIR_OUTCOME_INDETERMINATE; outcome++) {
        bool has_value = outcome <= CHOIR_OUTCOME_USER_ERROR;
        uint32_t got = CHOIR_OUTCOME_TIMED_OUT;
        choir_str text = {NULL, 0};
        const char *why = NULL;
        choiri_codec_begin_result(t->codec, &t->w, outcome, CHOIR_STR("a text"));
        if (has_value) t->codec->write_value(&t->w, &unit, NUMBER, &number);
        choir_bytes out = written(t);
        choiri_reader r = choiri_reader_of(out);
        cr_assert(choiri_codec_read_result(t->codec, &r, &got, &text, &why));
        cr_assert_eq(got, outcome);
        cr_assert_null(why);
        if (outcome == CHOIR_OUTCOME_INVALID_PAYLOAD)
            cr_assert(bytes_equal(str_bytes(text), str_bytes(CHOIR_STR("a text"))));
        else
            cr_assert_null(text.data);
        if (has_value) {
            uint64_t value = 0;
            cr_assert_eq(t->codec->read_value(&r, NULL, 0, &unit, NUMBER, &t->arena, &value, NULL), CHOIR_OK);
            cr_assert_eq(value, number);
        }
        cr_assert_eq(choiri_reader_left(&r), 0);
        bytes_free(out);
    }
}
Test(codec, outcomes_come_back) {
    each_codec(check_outcomes);
}

static void check_no_answer(trial *t) {
    static const char *const bad[] = {"",
                                      "\x02",
                                      "\x01",
                                      "\x01\x08",
                                      "\x81",
                                      "\x81\xa2No\xc0",
                                      "\x81\xa3"
                                      "Err\xa3"
                                      "Odd"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        choir_bytes in = bytes_copy(bad[i], strlen(bad[i]));
        choiri_reader r = choiri_reader_of(in);
        uint32_t outcome;
        choir_str text;
        const char *why = NULL;
        cr_assert_not(choiri_codec_read_result(t->codec, &r, &outcome, &text, &why), "%s: %zu",
                      t->codec->name, i);
        cr_assert_not_null(why);
        bytes_free(in);
    }
}
Test(codec, other_answers_are_refused) {
    each_codec(check_no_answer);
}

/* ---- CBOR ---- */

static void write_greeting(choiri_writer *w, const void *ctx) {
    choiri_cbor_write_map(w, 1);
    choiri_cbor_write_key(w, "Hello");
    choiri_cbor_write_text(w, *(const choir_str *)ctx);
}

static void check_cbor(trial *t) {
    const choir_str world = CHOIR_STR("world");
    choir_bytes cbor;
    t->codec->write_cbor(&t->w, write_greeting, &world);
    choir_bytes out = written(t);
    cr_assert_eq(t->codec->to_cbor(t->b.env, out, SIZE_MAX, &cbor), CHOIR_OK);
    cr_assert_eq(cbor.len, 13);
    cr_assert(memcmp(cbor.data, "\xa1\x65Hello\x65world", 13) == 0);
    choiri_codec_free_cbor(t->b.env, out, cbor);
    cr_assert_eq(t->codec->to_cbor(t->b.env, out, 12, &cbor), CHOIR_ERR_TOO_LARGE);
    bytes_free(out);
}
Test(codec, cbor_comes_back) {
    each_codec(check_cbor);
}

/* Each allocation of writing and of reading CBOR fails in turn; nothing is left behind. */
static void check_memory(trial *t) {
    const choir_str world = CHOIR_STR("world");
    t->codec->write_cbor(&t->w, write_greeting, &world);
    choir_bytes good = written(t);
    for (uint64_t n = 1;; n++) {
        bench b;
        choiri_writer w;
        choir_bytes cbor;
        bench_open(&b);
        b.alloc.fail_at = b.alloc.calls + n;
        choiri_writer_init(&w, &b.q, NULL);
        t->codec->write_cbor(&w, write_greeting, &world);
        int wrote = choiri_writer_finish(&w);
        int read = t->codec->to_cbor(b.env, good, SIZE_MAX, &cbor);
        if (read == CHOIR_OK) choiri_codec_free_cbor(b.env, good, cbor);
        cr_assert(wrote == CHOIR_OK || wrote == CHOIR_ERR_NO_MEMORY);
        cr_assert(read == CHOIR_OK || read == CHOIR_ERR_NO_MEMORY);
        bool reached = b.alloc.calls >= b.alloc.fail_at;
        cr_assert_eq(wrote != CHOIR_OK || read != CHOIR_OK, reached);
        bench_close(&b);
        if (!reached) break;
    }
    bytes_free(good);
}
Test(codec, memory_runs_out) {
    each_codec(check_memory);
}
