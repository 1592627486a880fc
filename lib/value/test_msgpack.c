/* SPDX-License-Identifier: MIT */
/* Values in msgpack: how each type is spelled, what else is taken, what is refused and with which words,
 * limits, random values there and back. Postcard is the measure: a value is the same when its postcard is. */
#include "value/msgpack.h"
#include "value/test_values.h"

static const char *const declarations[] = {
    "struct Meters(f64)",
    "struct Maybe(Option<u8>)",
    "struct Nil {}",
    NULL,
};

static values *setup(void) {
    values *v = values_declared(declarations);
    v->ts->types[values_type(v, "Meters")].name = test_types_string(v->ts, "Meters");
    v->ts->types[values_type(v, "Maybe")].name = test_types_string(v->ts, "Maybe");
    choiri_text text;
    cr_assert_eq(choiri_unit_check(&v->ts->unit, &text), CHOIR_OK, "%s", text.data);
    return v;
}

static int pack(values *v, uint32_t type, const void *value, choir_bytes *ret) {
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, v->env);
    choiri_writer_init(&w, &q, NULL);
    choiri_msgpack_encode(&w, &v->ts->unit, type, value);
    int status = choiri_writer_finish(&w);
    if (status == CHOIR_OK) *ret = values_take(v, &q);
    choiri_outq_deinit(&q);
    return status;
}

static int unpack(values *v, uint32_t type, choir_bytes bytes, void *value, choiri_text *text) {
    choiri_reader r = choiri_reader_of(bytes);
    return choiri_msgpack_decode(&r, &v->ts->unit, type, &v->arena, value, text);
}

/* "82 a1'a'01": hex, with text between quotes. */
static choir_bytes spelled(values *v, const char *text) {
    uint8_t *out = values_alloc(v, strlen(text) + 1);
    size_t len = 0;
    for (bool quoted = false; *text; text++) {
        unsigned byte;
        if (*text == '\'') {
            quoted = !quoted;
        } else if (quoted) {
            out[len++] = (uint8_t)*text;
        } else if (*text != ' ') {
            cr_assert_eq(sscanf(text, "%2x", &byte), 1, "%s", text);
            out[len++] = (uint8_t)byte;
            text++;
        }
    }
    return (choir_bytes){out, len};
}

static choir_bytes postcard_of(values *v, uint32_t type, const void *value) {
    choir_bytes bytes;
    cr_assert_eq(values_encode(v, type, value, &bytes), CHOIR_OK);
    return bytes;
}

/* ---- spelling ---- */

typedef struct spelling {
    const char *type, *postcard, *msgpack;
} spelling;

/* What is written, and read. */
static const spelling canonical[] = {
    {"bool", "01", "c3"},
    {"u8", "ff", "ccff"},
    {"u64", "ffffffffffffffffff01", "cfffffffffffffffff"},
    {"i64", "ffffffffffffffffff01", "d38000000000000000"},
    {"i8", "80", "d080"},
    {"u128", "01", "c410 00000000000000000000000000000001"},
    {"i128", "01", "c410 ffffffffffffffffffffffffffffffff"},
    {"f32", "0000c03f", "ca3fc00000"},
    {"f32", "0100a07f", "ca7fa00001"}, /* a signalling NaN */
    {"f64", "000000000000f83f", "cb3ff8000000000000"},
    {"char", "02c3b1", "a2c3b1"},
    {"String", "03616263", "a3'abc'"},
    {"Vec<u8>", "0200ff", "c40200ff"},
    {"()", "", "c0"},
    {"Option<u8>", "00", "c0"},
    {"Option<u8>", "0105", "05"},
    {"Option<Option<u8>>", "00", "c0"},
    {"Option<Option<u8>>", "0100", "91c0"},
    {"Option<Option<u8>>", "010105", "9105"},
    {"Option<Option<Option<u8>>>", "0100", "91c0"},
    {"Option<Option<Option<u8>>>", "010100", "9191c0"},
    {"Option<()>", "00", "c0"},
    {"Option<()>", "01", "91c0"},
    {"Option<Box<Option<u8>>>", "0100", "91c0"},
    {"Option<Maybe>", "0100", "91c0"},
    {"Option<Nil>", "01", "80"},
    {"Vec<Option<u8>>", "020001 07", "92c007"},
    {"(u8, String)", "010161", "9201a1'a'"},
    {"[u8; 2]", "0102", "920102"},
    {"HashSet<i32>", "0201 02", "92ff01"},
    {"HashMap<u8, String>", "0105 0161", "8105a1'a'"},
    {"Box<u32>", "07", "07"},
    {"Meters", "000000000000f83f", "cb3ff8000000000000"},
    {"Person", "01611e00", "83 a4'name' a1'a' a3'age' 1e a5'email' c0"},
    {"Nil", "", "80"},
    {"Shapes", "00", "a4'Unit'"},
    {"Shapes", "0107", "81 a3'New' 07"},
    {"Shapes", "0207 0161", "81 a3'Tup' 92 07 a1'a'"},
    {"Shapes", "030700", "81 a5'Named' 82 a1'a' 07 a1'b' c0"},
    {"Shapes", "04", "81 a7'Nothing' 90"},
    {"Shapes", "05", "81 a5'Empty' 80"},
    {"Result<u8, String>", "0005", "81 a2'Ok' 05"},
    {"Result<(), String>", "00", "81 a2'Ok' c0"},
    {"Result<u8, String>", "010161", "81 a3'Err' a1'a'"},
    {"Deep", "010100", "81 a4'More' 81 a4'More' a3'End'"},
};

Test(msgpack, spelling) {
    values *v = setup();
    for (size_t i = 0; i < sizeof canonical / sizeof canonical[0]; i++) {
        const spelling *s = &canonical[i];
        uint32_t type = values_type(v, s->type);
        choir_bytes postcard = spelled(v, s->postcard), want = spelled(v, s->msgpack), out = {NULL, 0};
        void *value = values_room(v, type), *again = values_room(v, type);
        choiri_text text;
        cr_assert_eq(values_decode(v, type, postcard, value, &text), CHOIR_OK, "%s: %s", s->type, text.data);
        cr_assert_eq(pack(v, type, value, &out), CHOIR_OK);
        cr_assert(values_equal(out, want), "%s %s", s->type, s->msgpack);
        cr_assert_eq(unpack(v, type, out, again, &text), CHOIR_OK, "%s: %s", s->type, text.data);
        cr_assert(values_equal(postcard_of(v, type, again), postcard), "%s %s", s->type, s->msgpack);
    }
    values_free(v);
}

/* What is read besides. */
static const spelling lenient[] = {
    {"u8", "07", "cf0000000000000007"},
    {"u64", "07", "d30000000000000007"},
    {"i8", "07", "cd0007"},
    {"u64", "808080808020", "cb4270000000000000"},
    {"i64", "01", "cbbff0000000000000"},
    {"u128", "07", "07"},
    {"i128", "0d", "f9"},
    {"f64", "0000000000000840", "03"},
    {"f64", "00000000000008c0", "fd"},
    {"f64", "000000000000f83f", "ca3fc00000"},
    {"f32", "0000c03f", "cb3ff8000000000000"},
    {"f32", "0000807f", "cb7ff0000000000000"},
    {"f32", "00004040", "03"},
    {"Vec<u8>", "0200ff", "9200ccff"},
    {"Vec<u8>", "0161", "a1'a'"},
    {"[u8; 2]", "0102", "c4020102"},
    {"[u8; 2]", "6162", "a2'ab'"},
    {"()", "", "90"},
    {"()", "", "80"},
    {"Nil", "", "c0"},
    {"Nil", "", "90"},
    {"Nil", "", "81 a1'x' 01"},
    {"HashMap<u8, String>", "0105 0161", "91 92 05 a1'a'"},
    {"Person", "01611e00", "93 a1'a' 1e c0"},
    {"Person", "01611e00", "82 a3'age' 1e a4'name' a1'a'"},
    {"Person", "01611e010162", "85 a3'new' 91c0 a5'email' a1'b' a3'age' 1e 05 c70100aa a4'name' a1'a'"},
    {"Shapes", "00", "81 a4'Unit' c0"},
    {"Shapes", "030700", "81 a5'Named' 81 a1'a' 07"},
    {"Shapes", "030700", "81 a5'Named' 92 07 c0"},
    {"Shapes", "04", "81 a7'Nothing' c0"},
    {"Shapes", "05", "81 a5'Empty' c0"},
    {"String", "0161", "d90161"},
};

Test(msgpack, what_else_is_taken) {
    values *v = setup();
    for (size_t i = 0; i < sizeof lenient / sizeof lenient[0]; i++) {
        const spelling *s = &lenient[i];
        uint32_t type = values_type(v, s->type);
        void *value = values_room(v, type);
        choiri_text text;
        cr_assert_eq(unpack(v, type, spelled(v, s->msgpack), value, &text), CHOIR_OK, "%s %s: %s", s->type,
                     s->msgpack, text.data);
        cr_assert(values_equal(postcard_of(v, type, value), spelled(v, s->postcard)), "%s %s", s->type,
                  s->msgpack);
    }
    values_free(v);
}

static const struct {
    const char *type, *msgpack;
    int status;
    const char *text;
} refused[] = {
    {"u8", "cd0100", CHOIR_ERR_MALFORMED, "expected u8, found a number that is too large"},
    {"u8", "ff", CHOIR_ERR_MALFORMED, "expected u8, found a number below 0"},
    {"i8", "cc80", CHOIR_ERR_MALFORMED, "expected i8, found a number that is too large"},
    {"i8", "d1ff7f", CHOIR_ERR_MALFORMED, "expected i8, found a number that is too small"},
    {"i64", "cf8000000000000000", CHOIR_ERR_MALFORMED, "expected i64, found a number that is too large"},
    {"u32", "cb3ff8000000000000", CHOIR_ERR_MALFORMED, "expected u32, found a float"},
    {"u64", "cb43f0000000000000", CHOIR_ERR_MALFORMED, "expected u64, found a float"},
    {"u64", "cb7ff8000000000000", CHOIR_ERR_MALFORMED, "expected u64, found a float"},
    {"u128", "c40101", CHOIR_ERR_MALFORMED, "expected u128, found a bin of another length than 16"},
    {"u128", "ff", CHOIR_ERR_MALFORMED, "expected u128, found a number below 0"},
    {"f32", "cb7fefffffffffffff", CHOIR_ERR_MALFORMED, "expected f32, found a number that is too large"},
    {"f64", "c3", CHOIR_ERR_MALFORMED, "expected f64, found a bool"},
    {"char", "a2'ab'", CHOIR_ERR_MALFORMED, "expected char, found a str that is not one character"},
    {"char", "a0", CHOIR_ERR_MALFORMED, "expected char, found a str that is not one character"},
    {"String", "a1ff", CHOIR_ERR_MALFORMED, "expected string, found bytes that are not UTF-8"},
    {"String", "a3eda080", CHOIR_ERR_MALFORMED, "expected string, found bytes that are not UTF-8"},
    {"String", "c40161", CHOIR_ERR_MALFORMED, "expected string, found a bin"},
    {"Vec<u8>", "91cd0100", CHOIR_ERR_MALFORMED,
     "expected bytes, found an array with other things than bytes"},
    {"bool", "01", CHOIR_ERR_MALFORMED, "expected bool, found a number"},
    {"()", "91c0", CHOIR_ERR_MALFORMED, "expected unit, found an array"},
    {"!", "c0", CHOIR_ERR_MALFORMED, "expected never, found nil"},
    {"u8", "d4ff00", CHOIR_ERR_MALFORMED, "expected u8, found an ext"},
    {"u8", "0101", CHOIR_ERR_MALFORMED, "not one msgpack value"},
    {"u8", "", CHOIR_ERR_TRUNCATED, "truncated msgpack"},
    {"u8", "c1", CHOIR_ERR_MALFORMED, "not one msgpack value"},
    {"Option<Option<u8>>", "05", CHOIR_ERR_MALFORMED,
     "an option of what may be nil must be nil or an array of one"},
    {"(u8, i64)", "92 01 a1'a'", CHOIR_ERR_MALFORMED, "args.1: expected i64, found a str"},
    {"(u8, i64)", "9101", CHOIR_ERR_MALFORMED, "an array with another number of items"},
    {"[u8; 2]", "c40101", CHOIR_ERR_MALFORMED, "expected array, found a bin"},
    {"[u8; 2]", "9101", CHOIR_ERR_MALFORMED, "expected array, found an array of another length"},
    {"Vec<Person>", "91 81 a4'name' a1'a'", CHOIR_ERR_MALFORMED, "[0]: lacks the field age"},
    {"Person", "83 a4'name' a1'a' a3'age' 01 a4'name' a1'b'", CHOIR_ERR_MALFORMED,
     "has twice the field name"},
    {"Person", "82 a4'name' a1'a' a3'age' a1'b'", CHOIR_ERR_MALFORMED, "age: expected u8, found a str"},
    {"Person", "c3", CHOIR_ERR_MALFORMED, "expected Person, found a bool"},
    {"Shapes", "a4'unit'", CHOIR_ERR_MALFORMED, "expected Shapes, found a variant that is not known"},
    {"Shapes", "a3'New'", CHOIR_ERR_MALFORMED, "expected Shapes, found a variant without what belongs to it"},
    {"Shapes", "82 a3'New' 01 a1'x' 02", CHOIR_ERR_MALFORMED, "expected Shapes, found a map"},
    {"Shapes", "81 a3'Tup' 92 07 08", CHOIR_ERR_MALFORMED, "Tup.1: expected string, found a number"},
    {"Shapes", "81 a5'Named' 80", CHOIR_ERR_MALFORMED, "lacks the field a"},
    {"Result<u8, u8>", "81 a3'Bad' 01", CHOIR_ERR_MALFORMED, "expected result, found neither Ok nor Err"},
    {"Result<u8, u8>", "81 a3'Err' c3", CHOIR_ERR_MALFORMED, "Err: expected u8, found a bool"},
    {"HashMap<u8, u8>", "81 01 a1'a'", CHOIR_ERR_MALFORMED, "[0].1: expected u8, found a str"},
};

Test(msgpack, what_is_refused_and_with_which_words) {
    values *v = setup();
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        uint32_t type = values_type(v, refused[i].type);
        choiri_text text;
        int status = unpack(v, type, spelled(v, refused[i].msgpack), values_room(v, type), &text);
        cr_expect_eq(status, refused[i].status, "%s %s: %d", refused[i].type, refused[i].msgpack, status);
        cr_expect_str_eq(text.data, refused[i].text, "%s %s: %s", refused[i].type, refused[i].msgpack,
                         text.data);
    }
    values_free(v);
}

Test(msgpack, a_field_with_a_default_may_be_missing) {
    values *v = setup();
    uint32_t type = values_type(v, "Person");
    v->ts->fields[v->ts->types[type].first + 1].flags = CHOIR_FIELD_DEFAULT;
    struct {
        choir_str name;
        uint8_t age;
    } *person = values_room(v, type);
    cr_assert_eq(unpack(v, type, spelled(v, "81 a4'name' a1'a'"), person, NULL), CHOIR_OK);
    cr_assert_eq(person->age, 0);
    values_free(v);
}

Test(msgpack, durations_and_channel_ends) {
    static const char strings[] = "\0";
    static const choir_type types[] = {
        {.kind = CHOIR_KIND_DURATION, .size = sizeof(choir_timespan), .align = 8},
        {.kind = CHOIR_KIND_TX, .size = sizeof(choir_tx), .align = 8},
        {.kind = CHOIR_KIND_RX, .size = sizeof(choir_rx), .align = 8},
    };
    static const choir_unit unit = {CHOIR_UNIT_HEADER, .types_len = 3, .strings_len = sizeof strings,
                                    .types = types, .strings = strings};
    values *v = setup();
    const choir_unit own = v->ts->unit;
    v->ts->unit = unit;
    choir_timespan time = {5, 999999999}, back = {0, 0};
    choir_bytes out = {NULL, 0};
    cr_assert_eq(pack(v, 0, &time, &out), CHOIR_OK);
    cr_assert(values_equal(out, spelled(v, "82 a4'secs' 05 a5'nanos' ce3b9ac9ff")));
    cr_assert_eq(unpack(v, 0, out, &back, NULL), CHOIR_OK);
    cr_assert(back.seconds == 5 && back.nanoseconds == 999999999);
    cr_assert_eq(unpack(v, 0, spelled(v, "82 a5'nanos' 01 a4'secs' 02"), &back, NULL), CHOIR_OK);
    cr_assert(back.seconds == 2 && back.nanoseconds == 1);
    cr_assert_eq(unpack(v, 0, spelled(v, "920203"), &back, NULL), CHOIR_OK);
    cr_assert(back.seconds == 2 && back.nanoseconds == 3);
    static const char *const bad[] = {"9202ce3b9aca00", "82 a4'secs' 05 a4'secs' 05",
                                      "82 a4'secs' 05 a1'n' 05", "81 a4'secs' 05", "05"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(unpack(v, 0, spelled(v, bad[i]), &back, NULL), CHOIR_ERR_MALFORMED, "%s", bad[i]);
    time.nanoseconds = CHOIRI_NANOS;
    cr_assert_eq(pack(v, 0, &time, &out), CHOIR_ERR_INVALID);
    for (uint32_t type = 1; type <= 2; type++) {
        choir_tx end = {300}, got = {0};
        cr_assert_eq(pack(v, type, &end, &out), CHOIR_OK);
        cr_assert(values_equal(out, spelled(v, "cd012c")));
        cr_assert_eq(unpack(v, type, out, &got, NULL), CHOIR_OK);
        cr_assert_eq(got.v, 300);
    }
    v->ts->unit = own;
    values_free(v);
}

/* ---- there and back ---- */

static void check_vector(values *v, const values_vector *vector) {
    choir_bytes postcard = values_hex(v, vector->hex), packed = {NULL, 0};
    void *value = values_room(v, vector->type), *again = values_room(v, vector->type);
    choiri_text text;
    cr_assert_eq(values_decode(v, vector->type, postcard, value, NULL), CHOIR_OK);
    cr_assert_eq(pack(v, vector->type, value, &packed), CHOIR_OK, "%s", vector->line);
    cr_assert_eq(choiri_msgpack_scan(packed), CHOIR_OK);
    cr_assert_eq(unpack(v, vector->type, packed, again, &text), CHOIR_OK, "%s: %s", vector->line, text.data);
    cr_assert(values_equal(postcard_of(v, vector->type, again), postcard), "%s", vector->line);
    for (size_t len = 0; len < packed.len; len++) { /* in memory of its own */
        uint8_t *cut = malloc(len + 1);
        memcpy(cut + 1, packed.data, len);
        cr_assert_eq(unpack(v, vector->type, (choir_bytes){cut + 1, len}, again, &text), CHOIR_ERR_TRUNCATED);
        free(cut);
    }
}

Test(msgpack, recorded_values_there_and_back) {
    values *v = values_new();
    cr_assert_gt(values_each_vector(v, check_vector), 160);
    values_free(v);
}

Test(msgpack, random_values_there_and_back) {
    static const char *const types[] = {"Parts",
                                        "Scalars",
                                        "Expr",
                                        "Vec<Option<Option<Person>>>",
                                        "Deep",
                                        "Tree",
                                        "Option<Option<Option<()>>>",
                                        "HashMap<char, Vec<Shapes>>"};
    values *v = setup();
    size_t deep = 0;
    uint32_t ids[8];
    for (size_t i = 0; i < 8; i++) ids[i] = values_type(v, types[i]);
    for (size_t n = 0; n < 4000; n++) {
        uint32_t type = ids[n % 8];
        void *value = values_room(v, type), *again = values_room(v, type);
        choir_bytes packed = {NULL, 0};
        choiri_text text;
        values_random_value(v, type, value, 0);
        int status = pack(v, type, value, &packed);
        deep += status == CHOIR_ERR_DEPTH;
        if (status == CHOIR_OK) {
            cr_assert_eq(unpack(v, type, packed, again, &text), CHOIR_OK, "%s: %s", types[n % 8], text.data);
            cr_assert(values_equal(postcard_of(v, type, again), postcard_of(v, type, value)));
        }
        choiri_arena_reset(&v->arena);
    }
    cr_assert_lt(deep, 400);
    values_free(v);
}

/* Damaged bytes: an error, or a value that can be written again. Nothing in between. */
Test(msgpack, every_bit_flip_is_an_error_or_a_value) {
    values *v = setup();
    uint32_t type = values_type(v, "Parts");
    size_t errors = 0, good = 0;
    for (size_t n = 0; n < 6; n++) {
        choir_bytes packed = {NULL, 0};
        void *value = values_room(v, type);
        values_random_value(v, type, value, 9);
        if (pack(v, type, value, &packed) != CHOIR_OK) continue;
        uint8_t *bytes = malloc(packed.len);
        for (size_t bit = 0; bit < 8 * packed.len; bit++) {
            memcpy(bytes, packed.data, packed.len);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            choiri_arena arena;
            choiri_text text;
            choiri_arena_init(&arena, v->env, NULL, 0, choiri_value_arena_limit(packed.len));
            choiri_reader r = choiri_reader_of((choir_bytes){bytes, packed.len});
            int status = choiri_msgpack_decode(&r, &v->ts->unit, type, &arena, value, &text);
            choir_bytes again = {NULL, 0};
            errors += status != CHOIR_OK;
            good += status == CHOIR_OK;
            if (status == CHOIR_OK)
                cr_assert_eq(pack(v, type, value, &again), CHOIR_OK);
            else
                cr_assert_gt(text.len, 0);
            choiri_arena_reset(&arena);
        }
        free(bytes);
        choiri_arena_reset(&v->arena);
    }
    cr_assert_gt(errors, 1000);
    cr_assert_gt(good, 1000);
    values_free(v);
}

/* ---- limits ---- */

Test(msgpack, A15_bombs_take_no_memory) {
    static const char *const bombs[] = {"ddff000000", "dfffffffff", "c6ffffffff", "91ddffffffff", "dcffffc0"};
    static const char *const types[] = {"Vec<Person>", "HashMap<String, u8>", "Vec<u8>", "Vec<Vec<u64>>",
                                        "Parts"};
    values *v = setup();
    uint8_t *nested = malloc(100001);
    memset(nested, 0x91, 100000);
    nested[100000] = 0xc0;
    for (size_t t = 0; t < 5; t++) {
        uint32_t type = values_type(v, types[t]);
        void *value = values_room(v, type);
        for (size_t i = 0; i <= 5; i++) {
            choir_bytes bomb = i < 5 ? spelled(v, bombs[i]) : (choir_bytes){nested, 100001};
            uint64_t before = v->alloc.peak = v->alloc.bytes;
            cr_assert_neq(unpack(v, type, bomb, value, NULL), CHOIR_OK);
            cr_assert_eq(v->alloc.peak, before);
        }
    }
    free(nested);
    values_free(v);
}

/* One byte on the wire, much in memory: the arena's limit is what counts. */
Test(msgpack, memory_is_bounded_by_the_payload) {
    values *v = setup();
    uint32_t type = values_type(v, "Vec<Nil>");
    test_types_declare(v->ts, "struct Wide { a: Option<[u64; 64]> }");
    type = values_type(v, "Vec<Wide>");
    enum { COUNT = 10000 };
    uint8_t *bytes = malloc(3 + COUNT);
    memset(bytes, 0x80, 3 + COUNT);
    bytes[0] = 0xdc, bytes[1] = COUNT >> 8, bytes[2] = COUNT & 255;
    choir_list list;
    choiri_arena arena;
    choiri_text text;
    choiri_arena_init(&arena, v->env, NULL, 0, choiri_value_arena_limit(3 + COUNT));
    choiri_reader r = choiri_reader_of((choir_bytes){bytes, 3 + COUNT});
    int status = choiri_msgpack_decode(&r, &v->ts->unit, type, &arena, &list, &text);
    cr_assert_eq(status, CHOIR_ERR_TOO_LARGE);
    cr_assert_str_eq(text.data, "over the memory limit");
    choiri_arena_reset(&arena);
    free(bytes);
    values_free(v);
}

/* Keys that are not known cost a comparison with each field: the steps end long before a second has
 * passed. */
Test(msgpack, unknown_keys_cost_bounded_work, .timeout = 120) {
    enum { PAIRS = 2000000, FIELDS = 200 };
    static const char strings[] = "\0field";
    static const choir_type types[] = {
        {.kind = CHOIR_KIND_U8, .size = 1, .align = 1},
        {.kind = CHOIR_KIND_OPTION, .size = 2, .align = 1, .elem = 0, .offset = 1},
        {.kind = CHOIR_KIND_STRUCT, .name = 1, .size = 2, .align = 1, .first = 0, .count = FIELDS},
    };
    choir_field fields[FIELDS];
    for (uint32_t i = 0; i < FIELDS; i++) fields[i] = (choir_field){.name = 1, .type = 1};
    const choir_unit unit = {
        CHOIR_UNIT_HEADER, .types_len = 3,   .fields_len = FIELDS, .strings_len = sizeof strings,
        .types = types,    .fields = fields, .strings = strings};
    values *v = setup();
    const choir_unit own = v->ts->unit;
    v->ts->unit = unit;
    uint8_t value[2], *bytes = malloc(5 + 2 * (size_t)PAIRS), *p = bytes;
    memcpy(p, "\xdf\x00\x1e\x84\x80", 5);
    p += 5;
    for (int i = 0; i < PAIRS; i++, p += 2) memcpy(p, "\xa0\xc0", 2);
    cr_assert_eq(unpack(v, 2, (choir_bytes){bytes, (size_t)(p - bytes)}, value, NULL), CHOIR_ERR_TOO_LARGE);
    /* A thousand unknown keys are nobody's trouble. */
    memcpy(bytes, "\xdf\x00\x00\x03\xe8", 5);
    cr_assert_eq(unpack(v, 2, (choir_bytes){bytes, 5 + 2000}, value, NULL), CHOIR_OK);
    free(bytes);
    v->ts->unit = own;
    values_free(v);
}

Test(msgpack, nesting_ends_at_32_both_ways) {
    values *v = setup();
    for (size_t depth = 32; depth <= 33; depth++) {
        char name[256] = "";
        for (size_t i = 0; i < depth; i++) strcat(name, "Vec<");
        strcat(name, "u32");
        for (size_t i = 0; i < depth; i++) strcat(name, ">");
        uint32_t type = values_type(v, name), leaf = 1;
        uint8_t bytes[40];
        memset(bytes, 0x91, sizeof bytes);
        bytes[depth] = 1;
        choir_list list, nest[34] = {{&leaf, 1}};
        choiri_text text;
        choir_bytes out = {NULL, 0};
        for (size_t i = 1; i < depth; i++) nest[i] = (choir_list){&nest[i - 1], 1};
        int good = depth == 32 ? CHOIR_OK : CHOIR_ERR_DEPTH;
        cr_assert_eq(unpack(v, type, (choir_bytes){bytes, depth + 1}, &list, &text), good);
        if (good != CHOIR_OK) cr_assert_str_eq(text.data, "nested more than 32 deep");
        cr_assert_eq(pack(v, type, &nest[depth - 1], &out), good);
    }
    values_free(v);
}

Test(msgpack, text_and_bytes_are_borrowed) {
    values *v = setup();
    choir_bytes in = spelled(v, "92 a3'abc' c4020102");
    struct {
        choir_str s;
        choir_bytes b;
    } pair;
    choiri_arena none;
    choiri_arena_init(&none, v->env, NULL, 0, 0);
    choiri_reader r = choiri_reader_of(in);
    cr_assert_eq(
        choiri_msgpack_decode(&r, &v->ts->unit, values_type(v, "(String, Vec<u8>)"), &none, &pair, NULL),
        CHOIR_OK);
    cr_assert_eq((const uint8_t *)pair.s.data, in.data + 2);
    cr_assert_eq(pair.b.data, in.data + 7);
    values_free(v);
}

Test(msgpack, each_allocation_fails_in_turn) {
    values *v = setup();
    uint32_t type = values_type(v, "Parts");
    choir_bytes packed = {NULL, 0};
    void *value = values_room(v, type);
    int status;
    do {
        values_random_value(v, type, value, 9);
        status = pack(v, type, value, &packed);
    } while (status != CHOIR_OK || packed.len < 300);
    size_t failures = 0;
    status = CHOIR_ERR_NO_MEMORY;
    for (uint64_t n = 1; status != CHOIR_OK; n++) {
        test_alloc small = {0};
        choir_env *env = test_env(&small);
        choiri_arena arena;
        choiri_text text;
        small.fail_at = small.calls + n;
        choiri_arena_init(&arena, env, NULL, 0, SIZE_MAX);
        choiri_reader r = choiri_reader_of(packed);
        status = choiri_msgpack_decode(&r, &v->ts->unit, type, &arena, value, &text);
        cr_assert(status == CHOIR_OK || status == CHOIR_ERR_NO_MEMORY);
        if (status != CHOIR_OK) cr_assert(strstr(text.data, "out of memory"), "%s", text.data);
        failures += status != CHOIR_OK;
        choiri_arena_reset(&arena);
        choir_env_free(env);
        cr_assert_eq(small.bytes, 0);
    }
    cr_assert_gt(failures, 0);
    values_free(v);
}

static void refuse(values *v, const char *type, const void *value) {
    choir_bytes bytes;
    cr_expect_eq(pack(v, values_type(v, type), value, &bytes), CHOIR_ERR_INVALID, "%s", type);
}

Test(msgpack, what_a_peer_would_choke_on_is_not_sent) {
    values *v = setup();
    values_each_unsendable(v, refuse);
    refuse(v, "u8", NULL);
    values_free(v);
}
