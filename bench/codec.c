/* SPDX-License-Identifier: MIT */
/* How long the codec takes for one GnarlyPayload: what a call does with its arguments, without the call.
 *
 *   codec write VALUE.json FILE     its postcard, for the peers that are compared with
 *   codec time VALUE.json SECONDS   medians, as one line of JSON: encoding, decoding, and decoding through a
 *                                   translation plan what a peer sends whose structs have their fields in the
 *                                   opposite order
 *   codec repeat VALUE.json WHAT N  encodes, decodes or translates N times (run under callgrind) */
#include "codec.h"
#include "reordered.h"
#include "schema/extract.h"
#include "schema/plan.h"

typedef struct codec {
    choir_env *env;
    choir_arena *values;
    choiri_outq q;
    choiri_arena arena;
    testbed_gnarly_payload value, decoded;
    choir_bytes ours, theirs;
    choiri_plan *plan;
} codec;

static const choir_unit *const our_unit = &testbed_unit, *const their_unit = &reordered_unit;

static void put(codec *c, const choir_unit *unit, uint32_t type, const void *value) {
    choiri_writer w;
    choiri_writer_init(&w, &c->q, NULL);
    choiri_value_encode(&w, unit, type, value);
    codec_check(choiri_writer_finish(&w), "encode");
}

static choir_bytes encoded(codec *c, const choir_unit *unit, uint32_t type, const void *value) {
    put(c, unit, type, value);
    size_t len = (size_t)c->q.bytes;
    uint8_t *data = malloc(len);
    choiri_outq_copy(&c->q, 0, data, len);
    choiri_outq_consume(&c->q, len);
    return (choir_bytes){data, len};
}

static void encode(void *ctx) {
    codec *c = ctx;
    put(c, our_unit, TESTBED_TYPE_GNARLY_PAYLOAD, &c->value);
    choiri_outq_consume(&c->q, c->q.bytes);
}

static void get(codec *c, const choiri_plan *plan, choir_bytes bytes) {
    choiri_reader r = choiri_reader_of(bytes);
    choiri_arena_reset(&c->arena);
    codec_check(choiri_plan_decode(plan, CHOIRI_PLAN_ROOT, &r, our_unit, TESTBED_TYPE_GNARLY_PAYLOAD,
                                   &c->arena, &c->decoded, NULL),
                "decode");
}

static void decode(void *ctx) {
    codec *c = ctx;
    get(c, NULL, c->ours);
}

static void translate(void *ctx) {
    codec *c = ctx;
    get(c, c->plan, c->theirs);
}

static void check_equal(codec *c, const char *what) {
    bool equal = false;
    codec_check(choir_value_equal(our_unit, TESTBED_TYPE_GNARLY_PAYLOAD, &c->value, &c->decoded, &equal),
                what);
    codec_check(equal ? CHOIR_OK : CHOIR_ERR_MALFORMED, what);
}

/* What a connection does once for each method. */
static void make_plan(codec *c) {
    choiri_text text;
    choiri_arena arena;
    choiri_recv_tracker tracker;
    choiri_schema_set theirs, ours;
    choiri_root their_root = {.unit = their_unit, .type = REORDERED_TYPE_GNARLY_PAYLOAD};
    choiri_root our_root = {.unit = our_unit, .type = TESTBED_TYPE_GNARLY_PAYLOAD};
    static const uint64_t seed[2] = {1, 2};
    choiri_arena_init(&arena, c->env, NULL, 0, (size_t)1 << 22);
    choiri_recv_tracker_init(&tracker, c->env, seed, NULL);
    codec_check(choiri_extract(&arena, NULL, &their_root, &theirs, &text), "their schemas");
    codec_check(choiri_extract(&arena, NULL, &our_root, &ours, &text), "our schemas");
    for (uint32_t i = 0; i < theirs.parts_len; i++)
        codec_check(choiri_recv_tracker_add_all(&tracker, theirs.parts[i].cbor, 1, NULL, &text),
                    "announcement");
    choiri_plan_input in = {c->env, &tracker, theirs.root, &our_root, &ours, false, CHOIRI_PLAN_ENDS};
    codec_check(choiri_plan_make(&in, &c->plan, NULL, &text), "plan");
    choiri_recv_tracker_deinit(&tracker);
    choiri_arena_reset(&arena);
}

static void open_codec(codec *c, const char *path) {
    static reordered_gnarly_payload theirs;
    choir_str json = codec_read_file(path);
    c->env = codec_env();
    codec_check(choir_arena_new(c->env, (size_t)1 << 26, &c->values), "arena");
    choiri_outq_init(&c->q, c->env);
    codec_read_value(our_unit, TESTBED_TYPE_GNARLY_PAYLOAD, json, c->values, &c->value);
    codec_read_value(their_unit, REORDERED_TYPE_GNARLY_PAYLOAD, json, c->values, &theirs);
    c->ours = encoded(c, our_unit, TESTBED_TYPE_GNARLY_PAYLOAD, &c->value);
    c->theirs = encoded(c, their_unit, REORDERED_TYPE_GNARLY_PAYLOAD, &theirs);
    choiri_arena_init(&c->arena, c->env, NULL, 0, choiri_value_arena_limit(c->ours.len));
    make_plan(c);
    decode(c);
    check_equal(c, "decoded value");
    translate(c);
    check_equal(c, "translated value");
}

static void write_file(const char *path, choir_bytes bytes) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes.data, 1, bytes.len, f) != bytes.len || fclose(f) != 0) {
        fprintf(stderr, "%s: cannot be written\n", path);
        exit(1);
    }
}

int main(int argc, char **argv) {
    static codec c;
    if (argc == 4 && !strcmp(argv[1], "write")) {
        open_codec(&c, argv[2]);
        write_file(argv[3], c.ours);
    } else if (argc == 4 && !strcmp(argv[1], "time")) {
        double seconds = atof(argv[3]);
        open_codec(&c, argv[2]);
        printf("{\"peer\":\"choir\",\"bytes\":%zu,\"encode_ns\":%.1f,", c.ours.len,
               codec_measure(seconds, encode, &c));
        printf("\"decode_ns\":%.1f,", codec_measure(seconds, decode, &c));
        printf("\"translate_ns\":%.1f}\n", codec_measure(seconds, translate, &c));
    } else if (argc == 5 && !strcmp(argv[1], "repeat")) {
        void (*work)(void *) = !strcmp(argv[3], "encode")   ? encode
                               : !strcmp(argv[3], "decode") ? decode
                                                            : translate;
        open_codec(&c, argv[2]);
        for (long i = atol(argv[4]); i > 0; i--) work(&c);
    } else {
        fprintf(stderr, "usage: codec write VALUE.json FILE | time VALUE.json SECONDS | repeat VALUE.json "
                        "encode|decode|translate N\n");
        return 2;
    }
    return 0;
}
