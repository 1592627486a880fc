/* SPDX-License-Identifier: MIT */
/* Values as JSON: recorded values both ways, the grammar's corners, errors with their places, limits,
 * damage. */
#include "base/dlist.h"
#include "value/test_values.h"

static const char *const declarations[] = {
    "struct Defaults { a: u32, b: u32 = default, c: Option<u8>, d: Vec<u8> = default }",
    "struct Wide { Person: Person, list: Vec<Shapes>, map: HashMap<String, (u8, Person)> }",
    NULL,
};

static values *setup(void) {
    return values_declared(declarations);
}

static int parse(values *v, uint32_t type, const char *json, size_t len, void *out, choir_str *error) {
    /* In memory of its own, so that a read behind the end is found. */
    char *exact = malloc(len + 1);
    memcpy(exact + 1, json, len);
    int rc =
        choir_value_from_json(&v->ts->unit, type, (choir_str){exact + 1, len}, values_arena(v), out, error);
    free(exact);
    return rc;
}

static int print(values *v, uint32_t type, const void *value, choir_str *ret) {
    int rc = choir_value_to_json(&v->ts->unit, type, value, values_arena(v), ret);
    if (rc == CHOIR_OK) cr_assert_eq(ret->data[ret->len], '\0');
    return rc;
}

/* --- recorded values --- */

static void check_recorded(values *v, const values_vector *vector) {
    choir_bytes bytes = values_hex(v, vector->hex), again;
    void *value = values_room(v, vector->type);
    choir_str json, error;
    cr_assert_eq(values_decode(v, vector->type, bytes, value, NULL), CHOIR_OK, "%s", vector->line);
    cr_assert_eq(print(v, vector->type, value, &json), CHOIR_OK, "%s", vector->line);
    cr_assert_str_eq(json.data, vector->json);
    if (vector->lossy) return;
    value = values_room(v, vector->type);
    int rc = parse(v, vector->type, json.data, json.len, value, &error);
    cr_assert_eq(rc, CHOIR_OK, "%s: %.*s", vector->line, (int)error.len, error.data);
    cr_assert_eq(values_encode(v, vector->type, value, &again), CHOIR_OK, "%s", vector->line);
    cr_assert(values_equal(bytes, again), "%s", vector->line);
}

Test(json, recorded) {
    values *v = values_new();
    cr_assert_gt(values_each_vector(v, check_recorded), 160);
    values_free(v);
}

Test(json, random_round_trips) {
    values *v = setup();
    static const char *const types[] = {"Scalars",
                                        "Parts",
                                        "Vec<Parts>",
                                        "Expr",
                                        "Tree",
                                        "Shapes",
                                        "Wide",
                                        "(Person, Option<Parts>)",
                                        "HashMap<(u8, String), [Expr; 2]>"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        uint32_t type = values_type(v, types[i]);
        for (int n = 0; n < 300; n++) {
            uint8_t *value = values_room(v, type), *back = values_room(v, type);
            choir_bytes bytes, again;
            choir_str json, error = {NULL, 0};
            values_random_value(v, type, value, 0);
            cr_assert_eq(values_encode(v, type, value, &bytes), CHOIR_OK);
            cr_assert_eq(print(v, type, value, &json), CHOIR_OK);
            int rc = parse(v, type, json.data, json.len, back, &error);
            cr_assert_eq(rc, CHOIR_OK, "%.*s in %s", (int)error.len, error.data, json.data);
            cr_assert_eq(values_encode(v, type, back, &again), CHOIR_OK);
            cr_assert(values_equal(bytes, again), "%s", json.data);
            choiri_arena_reset(&v->arena);
        }
    }
    values_free(v);
}

Test(json, durations) {
    static const struct {
        const char *json;
        choir_timespan span;
        const char *printed;
    } good[] = {
        {"0", {0, 0}, "0"},
        {"0.0e7", {0, 0}, "0"},
        {"1.5", {1, 500000000}, "1.5"},
        {"1.50000000000", {1, 500000000}, "1.5"},
        {"1e-9", {0, 1}, "0.000000001"},
        {"1500000000e-9", {1, 500000000}, "1.5"},
        {"1.234567891E+3", {1234, 567891000}, "1234.567891"},
        {"0.000000000000000001e19", {10, 0}, "10"},
        {"18446744073709551615.999999999", {UINT64_MAX, 999999999}, "18446744073709551615.999999999"},
        {"0e9999", {0, 0}, "0"},
    };
    static const struct {
        const char *json;
        int status;
        const char *why;
    } bad[] = {
        {"-1", CHOIR_ERR_TOO_LARGE, "out of range for duration"},
        {"18446744073709551616", CHOIR_ERR_TOO_LARGE, "out of range for duration"},
        {"1e20", CHOIR_ERR_TOO_LARGE, "out of range for duration"},
        {"1e999999999999", CHOIR_ERR_TOO_LARGE, "out of range for duration"},
        {"0.0000000001", CHOIR_ERR_LAYOUT, "finer than a nanosecond: \"0.0000000001\" in duration"},
        {"1e-10", CHOIR_ERR_LAYOUT, "finer than a nanosecond"},
        {"1e-999999999999", CHOIR_ERR_LAYOUT, "finer than a nanosecond"},
        {"\"1\"", CHOIR_ERR_LAYOUT, "number"},
        {"{}", CHOIR_ERR_LAYOUT, "number"},
    };
    values *v = setup();
    uint32_t type = values_type(v, "Duration");
    choir_str text = {NULL, 0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        choir_timespan span = {7, 7};
        int rc = parse(v, type, good[i].json, strlen(good[i].json), &span, &text);
        cr_assert_eq(rc, CHOIR_OK, "%s: %.*s", good[i].json, (int)text.len, text.data);
        cr_assert_eq(span.seconds, good[i].span.seconds, "%s", good[i].json);
        cr_assert_eq(span.nanoseconds, good[i].span.nanoseconds, "%s: %u", good[i].json, span.nanoseconds);
        cr_assert_eq(print(v, type, &span, &text), CHOIR_OK);
        cr_assert_str_eq(text.data, good[i].printed);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        choir_timespan span;
        cr_assert_eq(parse(v, type, bad[i].json, strlen(bad[i].json), &span, &text), bad[i].status, "%s",
                     bad[i].json);
        char error[128];
        snprintf(error, sizeof error, "%.*s", (int)text.len, text.data);
        cr_assert(strstr(error, bad[i].why), "%s: %s", bad[i].json, error);
    }
    cr_assert_eq(print(v, type, &(choir_timespan){0, 1000000000}, &text), CHOIR_ERR_INVALID);
    values_free(v);
}

Test(json, channel_ends_have_none) {
    values *v = setup();
    uint32_t type = values_type(v, "(u8, Tx<u32>)"), other = values_type(v, "Option<Rx<u32>>");
    struct {
        uint8_t byte;
        choir_tx tx;
    } value = {1, {2}};
    choir_str text;
    cr_assert_eq(print(v, type, &value, &text), CHOIR_ERR_UNSUPPORTED);
    cr_assert_eq(parse(v, type, "[1, 2]", 6, &value, &text), CHOIR_ERR_UNSUPPORTED);
    cr_assert_eq(text.len, strlen("args.1: a channel end has no JSON"));
    cr_assert_arr_eq(text.data, "args.1: a channel end has no JSON", text.len);
    struct {
        bool has;
        choir_rx rx;
    } option = {true, {2}};
    cr_assert_eq(parse(v, other, "null", 4, &option, &text), CHOIR_OK); /* no end, no trouble */
    cr_assert(!option.has);
    values_free(v);
}

/* Random damage never crashes, never reads outside, and what is accepted can be written again. */
Test(json, damaged) {
    values *v = setup();
    static const char replacements[] = "{}[]\",:\\ 0-9.eEtfnu\x01\xff";
    static const char *const types[] = {"Parts", "Expr", "Shapes", "Wide"};
    uint32_t indices[4];
    for (size_t i = 0; i < 4; i++) indices[i] = values_type(v, types[i]);
    size_t accepted = 0;
    for (int n = 0; n < 4000; n++) {
        uint32_t type = indices[n % 4];
        uint8_t *value = values_room(v, type);
        choir_str json, error;
        values_random_value(v, type, value, 4);
        cr_assert_eq(print(v, type, value, &json), CHOIR_OK);
        char *text = values_alloc(v, json.len + 1);
        memcpy(text, json.data, json.len + 1);
        for (uint64_t k = values_random(v) % 3; k < 3; k++)
            text[values_random(v) % json.len] = replacements[values_random(v) % (sizeof replacements - 1)];
        size_t len = values_random(v) % 4 ? json.len : (size_t)(values_random(v) % json.len);
        int rc = parse(v, type, text, len, value, &error);
        if (rc == CHOIR_OK) {
            accepted++;
            cr_assert_eq(print(v, type, value, &json), CHOIR_OK);
        } else {
            cr_assert(rc == CHOIR_ERR_MALFORMED || rc == CHOIR_ERR_LAYOUT || rc == CHOIR_ERR_TOO_LARGE, "%d",
                      rc);
            cr_assert_gt(error.len, 0);
        }
        choiri_arena_reset(&v->arena);
    }
    cr_assert_gt(accepted, 10);
    values_free(v);
}

Test(json, every_prefix_is_malformed) {
    values *v = setup();
    uint32_t type = values_type(v, "Wide");
    static const char json[] =
        " { \"Person\" : {\"name\":\"\\u00f1\\ud83d\\ude00\",\"age\":1,\"email\":null}, \"list\":[\"Unit\",{\"New\":5},"
        "{\"Tup\":[1,\"x\"]},{\"Named\":{\"a\":7,\"b\":\"y\"}},{\"Nothing\":[]},{\"Empty\":{}}],\n\t\"map\":{\"k\":[1,"
        "{\"name\":\"\",\"age\":255}]}}";
    size_t len = sizeof json - 1;
    void *value = values_room(v, type);
    choir_str error, again;
    cr_assert_eq(parse(v, type, json, len, value, &error), CHOIR_OK, "%.*s", (int)error.len, error.data);
    cr_assert_eq(print(v, type, value, &again), CHOIR_OK);
    cr_assert_str_eq(again.data,
                     "{\"Person\":{\"name\":\"ñ😀\",\"age\":1,\"email\":null},\"list\":[\"Unit\",{\"New\":5},"
                     "{\"Tup\":[1,\"x\"]},{\"Named\":{\"a\":7,\"b\":\"y\"}},{\"Nothing\":[]},{\"Empty\":{}}],"
                     "\"map\":{\"k\":[1,{\"name\":\"\",\"age\":255,\"email\":null}]}}");
    for (size_t n = 0; n < len; n++)
        cr_assert_eq(parse(v, type, json, n, value, &error), CHOIR_ERR_MALFORMED, "%zu: %.*s", n, (int)n,
                     json);
    values_free(v);
}

/* --- what is accepted and what is not --- */

typedef struct good {
    const char *type, *json, *printed;
} good;

Test(json, accepted) {
    static const good cases[] = {
        {"u8", " \t\r\n 7 \n", "7"},
        {"i8", "-0", "0"},
        {"f64", "-0", "-0.0"},
        {"f64", "1E+2", "100.0"},
        {"f64", "12345678901234567890123", "1.2345678901234568e22"},
        {"f64", "1e-400", "0.0"},
        {"f32", "0.1", "0.1"},
        {"f32", "16777217", "16777216.0"},
        {"f64", "\"NaN\"", "\"NaN\""},
        {"f32", "\"-Infinity\"", "\"-Infinity\""},
        {"f64", "\"Infinity\"", "\"Infinity\""},
        {"i64", "-9223372036854775808", "-9223372036854775808"},
        {"u128", "340282366920938463463374607431768211455", "340282366920938463463374607431768211455"},
        {"i128", "-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"},
        {"String", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u0000\\u001f\"",
         "\"\\\"\\\\/\\b\\f\\n\\r\\tA\\u0000\\u001f\""},
        {"String", "\"\\ud834\\udd1e \\u20AC\"", "\"\U0001d11e €\""},
        {"String", "\"\x7f\"", "\"\x7f\""},
        {"char", "\"\\ud83d\\ude00\"", "\"😀\""},
        {"char", "\"\\u0000\"", "\"\\u0000\""},
        {"char", "\"\\\\\"", "\"\\\\\""},
        {"Vec<u8>", "[ 1 , 2 ]", "[1,2]"},
        {"Vec<u8>", "[ ]", "[]"},
        {"Vec<()>", "[null,null]", "[null,null]"},
        {"HashMap<String, u8>", "{\"a\":1,\"a\":2,\"\\u0061\":3}", "{\"a\":1,\"a\":2,\"a\":3}"},
        {"HashMap<u8, u8>", "[[1,2],[1,3]]", "[[1,2],[1,3]]"},
        {"HashMap<char, u8>", "[[\"x\",2]]", "[[\"x\",2]]"},
        {"Person", "{\"age\":1,\"\\u006eame\":\"x\"}", "{\"name\":\"x\",\"age\":1,\"email\":null}"},
        {"Defaults", "{\"a\":1}", "{\"a\":1,\"b\":0,\"c\":null,\"d\":[]}"},
        {"Defaults", "{\"d\":[3],\"c\":4,\"b\":5,\"a\":1}", "{\"a\":1,\"b\":5,\"c\":4,\"d\":[3]}"},
        {"Option<Option<u8>>", "null", "null"},
        {"Result<(), !>", "{ \"Ok\" : null }", "{\"Ok\":null}"},
        {"Vec<String>", "[\"],[\",\"\\\"]\",\"}\\\\\"]", "[\"],[\",\"\\\"]\",\"}\\\\\"]"},
    };
    values *v = setup();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t type = values_type(v, cases[i].type);
        void *value = values_room(v, type);
        choir_str error, json;
        int rc = parse(v, type, cases[i].json, strlen(cases[i].json), value, &error);
        cr_assert_eq(rc, CHOIR_OK, "%s: %.*s", cases[i].json, (int)error.len, error.data);
        cr_assert_eq(print(v, type, value, &json), CHOIR_OK);
        cr_expect_str_eq(json.data, cases[i].printed);
    }
    values_free(v);
}

typedef struct bad {
    const char *type, *json;
    int status;
    const char *text;
} bad;

static void check_bad(const bad *cases, size_t count) {
    values *v = setup();
    for (size_t i = 0; i < count; i++) {
        uint32_t type = values_type(v, cases[i].type);
        choir_str error = {NULL, 0};
        int rc = parse(v, type, cases[i].json, strlen(cases[i].json), values_room(v, type), &error);
        cr_expect_eq(rc, cases[i].status, "%s from %s: %d", cases[i].type, cases[i].json, rc);
        char text[512];
        snprintf(text, sizeof text, "%.*s", (int)error.len, error.data ? error.data : "");
        cr_expect_str_eq(text, cases[i].text);
    }
    values_free(v);
}

Test(json, not_json) {
    static const bad cases[] = {
        {"u8", "", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"u8", "7 8", CHOIR_ERR_MALFORMED, "expected the end at byte 2"},
        {"u8", "07", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"u8", "+7", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"u8", "-", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"f64", "1.", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"f64", ".5", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"f64", "1e", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"f64", "1e+", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"f64", "NaN", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"f64", "0x10", CHOIR_ERR_MALFORMED, "expected the end at byte 1"},
        {"bool", "truex", CHOIR_ERR_MALFORMED, "expected the end at byte 4"},
        {"bool", "True", CHOIR_ERR_MALFORMED, "expected true or false at byte 0"},
        {"()", "nil", CHOIR_ERR_MALFORMED, "expected null at byte 0"},
        {"u8", "nil", CHOIR_ERR_MALFORMED, "expected a number at byte 0"},
        {"String", "fals", CHOIR_ERR_MALFORMED, "expected a string at byte 0"},
        {"String", "\"a", CHOIR_ERR_MALFORMED, "expected '\"' at byte 2"},
        {"String", "\"\\", CHOIR_ERR_MALFORMED, "expected '\"' at byte 2"},
        {"String", "\"\\\"", CHOIR_ERR_MALFORMED, "expected '\"' at byte 3"},
        {"String", "'a'", CHOIR_ERR_MALFORMED, "expected a string at byte 0"},
        {"String", "\"\n\"", CHOIR_ERR_MALFORMED, "expected an escape for a control character at byte 1"},
        {"String", "\"\\x\"", CHOIR_ERR_MALFORMED, "expected an escape at byte 1"},
        {"String", "\"a\\u12g4\"", CHOIR_ERR_MALFORMED, "expected an escape at byte 2"},
        {"String", "\"\\u12\"", CHOIR_ERR_MALFORMED, "expected an escape at byte 1"},
        {"String", "\"\\ud800\"", CHOIR_ERR_MALFORMED, "expected an escape at byte 1"},
        {"String", "\"\\ud800\\u0041\"", CHOIR_ERR_MALFORMED, "expected an escape at byte 1"},
        {"String", "\"\\udc00\"", CHOIR_ERR_MALFORMED, "expected an escape at byte 1"},
        {"String", "\"\\ud800\\ud800\"", CHOIR_ERR_MALFORMED, "expected an escape at byte 1"},
        {"String", "\"\xff\"", CHOIR_ERR_MALFORMED, "not UTF-8"},
        {"Vec<u16>", "[1,]", CHOIR_ERR_MALFORMED, "[1]: expected a number at byte 3"},
        {"Vec<u16>", "[,1]", CHOIR_ERR_MALFORMED, "[0]: expected a number at byte 1"},
        {"Vec<u16>", "[1 2]", CHOIR_ERR_MALFORMED, "expected ',' or ']' at byte 3"},
        {"Vec<u16>", "[1}", CHOIR_ERR_MALFORMED, "expected ',' or ']' at byte 2"},
        {"Vec<u16>", "[\xc3\xa9]", CHOIR_ERR_MALFORMED, "[0]: expected a number at byte 1"},
        {"Vec<u16>", "[\x01]", CHOIR_ERR_MALFORMED, "[0]: expected a number at byte 1"},
        {"Person", "{\"name\"=1}", CHOIR_ERR_MALFORMED, "expected ':' at byte 7"},
        {"Person", "{name:1}", CHOIR_ERR_MALFORMED, "expected a key at byte 1"},
        {"Person", "{\"age\":1,}", CHOIR_ERR_MALFORMED, "expected a key at byte 9"},
        {"Person", "{\"age\":1 \"name\":\"\"}", CHOIR_ERR_MALFORMED, "expected ',' or '}' at byte 9"},
        {"Shapes", "{\"New\":1", CHOIR_ERR_MALFORMED, "expected '}' at byte 8"},
        {"Wide", "{\"list\":[\"Unit\",{\"Tup\":[1,\"\\q\"]}]}", CHOIR_ERR_MALFORMED,
         "list[1].Tup.1: expected an escape at byte 27"},
    };
    check_bad(cases, sizeof cases / sizeof cases[0]);
}

Test(json, another_shape) {
    static const bad cases[] = {
        {"u8", "256", CHOIR_ERR_TOO_LARGE, "out of range for u8"},
        {"u8", "-1", CHOIR_ERR_TOO_LARGE, "out of range for u8"},
        {"i8", "128", CHOIR_ERR_TOO_LARGE, "out of range for i8"},
        {"i8", "-129", CHOIR_ERR_TOO_LARGE, "out of range for i8"},
        {"u64", "18446744073709551616", CHOIR_ERR_TOO_LARGE, "out of range for u64"},
        {"i64", "9223372036854775808", CHOIR_ERR_TOO_LARGE, "out of range for i64"},
        {"i64", "-9223372036854775809", CHOIR_ERR_TOO_LARGE, "out of range for i64"},
        {"u128", "340282366920938463463374607431768211456", CHOIR_ERR_TOO_LARGE, "out of range for u128"},
        {"i128", "170141183460469231731687303715884105728", CHOIR_ERR_TOO_LARGE, "out of range for i128"},
        {"i128", "-170141183460469231731687303715884105729", CHOIR_ERR_TOO_LARGE, "out of range for i128"},
        {"u16", "1.0", CHOIR_ERR_LAYOUT, "not an integer: \"1.0\" in u16"},
        {"u16", "1e2", CHOIR_ERR_LAYOUT, "not an integer: \"1e2\" in u16"},
        {"f64", "1e309", CHOIR_ERR_TOO_LARGE, "out of range for f64"},
        {"f32", "-3.5e38", CHOIR_ERR_TOO_LARGE, "out of range for f32"},
        {"f64", "\"inf\"", CHOIR_ERR_LAYOUT, "not a number: \"inf\" in f64"},
        {"f64", "null", CHOIR_ERR_LAYOUT, "expected a number, found null"},
        {"bool", "1", CHOIR_ERR_LAYOUT, "expected true or false, found a number"},
        {"char", "\"\"", CHOIR_ERR_LAYOUT, "not one character: \"\" in char"},
        {"char", "\"ab\"", CHOIR_ERR_LAYOUT, "not one character: \"ab\" in char"},
        {"String", "5", CHOIR_ERR_LAYOUT, "expected a string, found a number"},
        {"Vec<u8>", "\"x\"", CHOIR_ERR_LAYOUT, "expected an array, found a string"},
        {"Vec<u8>", "[1,256]", CHOIR_ERR_TOO_LARGE, "[1]: out of range for u8"},
        {"Vec<Vec<u8>>", "[[],[0,true]]", CHOIR_ERR_LAYOUT, "[1][1]: expected a number, found a boolean"},
        {"()", "0", CHOIR_ERR_LAYOUT, "expected null, found a number"},
        {"!", "0", CHOIR_ERR_LAYOUT, "expected nothing, found a number"},
        {"Vec<u16>", "{}", CHOIR_ERR_LAYOUT, "expected an array, found an object"},
        {"HashMap<String, u8>", "[]", CHOIR_ERR_LAYOUT, "expected an object, found an array"},
        {"HashMap<u8, u8>", "{}", CHOIR_ERR_LAYOUT, "expected an array, found an object"},
        {"HashMap<u8, u8>", "[[1,2],[3]]", CHOIR_ERR_LAYOUT, "[1]: expected 2 elements for tuple"},
        {"[u8; 2]", "[1]", CHOIR_ERR_LAYOUT, "expected 2 elements for array"},
        {"[u8; 2]", "[1,2,3]", CHOIR_ERR_LAYOUT, "expected the end of the array, found a number"},
        {"(u8, u8)", "[1,2,3]", CHOIR_ERR_LAYOUT, "expected the end of the array, found a number"},
        {"(u8, bool)", "[1,2]", CHOIR_ERR_LAYOUT, "args.1: expected true or false, found a number"},
        {"Person", "[]", CHOIR_ERR_LAYOUT, "expected an object, found an array"},
        {"Person", "{\"name\":\"x\"}", CHOIR_ERR_LAYOUT, "missing field \"age\" in Person"},
        {"Person", "{\"nom\":\"x\"}", CHOIR_ERR_LAYOUT, "unknown field \"nom\" in Person"},
        {"Person", "{\"age\":1,\"age\":1}", CHOIR_ERR_LAYOUT, "second field \"age\" in Person"},
        {"Shapes", "\"Circle\"", CHOIR_ERR_LAYOUT, "unknown variant \"Circle\" in Shapes"},
        {"Shapes", "\"New\"", CHOIR_ERR_LAYOUT, "no payload for variant \"New\" in Shapes"},
        {"Shapes", "{\"Unit\":null}", CHOIR_ERR_LAYOUT, "a payload for variant \"Unit\" in Shapes"},
        {"Shapes", "{\"New\":1,\"Tup\":[]}", CHOIR_ERR_LAYOUT, "more than one variant in Shapes"},
        {"Shapes", "{}", CHOIR_ERR_LAYOUT, "no variant in Shapes"},
        {"Shapes", "5", CHOIR_ERR_LAYOUT, "expected an object, found a number"},
        {"Result<u8, u8>", "{\"ok\":1}", CHOIR_ERR_LAYOUT, "unknown variant \"ok\" in result"},
        {"Result<u8, u8>", "{\"Err\":300}", CHOIR_ERR_TOO_LARGE, "Err: out of range for u8"},
        {"Wide", "{\"Person\":{\"name\":7}}", CHOIR_ERR_LAYOUT,
         "Person.name: expected a string, found a number"},
        {"Wide", "{\"map\":{\"a\":[1,{\"name\":\"\",\"age\":-1}]}}", CHOIR_ERR_TOO_LARGE,
         "map[0].1.age: out of range for u8"},
        {"Wide", "{\"list\":[\"Unit\",{\"Named\":{\"a\":1,\"b\":2}}]}", CHOIR_ERR_LAYOUT,
         "list[1].Named.b: expected a string, found a number"},
    };
    check_bad(cases, sizeof cases / sizeof cases[0]);
}

Test(json, values_that_cannot_be_written) {
    values *v = setup();
    uint8_t two[32] = {2};
    uint32_t tag = 6, surrogate = 0xdfff, high = 0x110000;
    choir_str broken = {"a\xff", 2}, json;
    void *nowhere = NULL;
    choir_list nothing = {NULL, 1};
    cr_expect_eq(print(v, values_type(v, "bool"), two, &json), CHOIR_ERR_INVALID);
    cr_expect_eq(print(v, values_type(v, "Option<u8>"), two, &json), CHOIR_ERR_INVALID);
    cr_expect_eq(print(v, values_type(v, "Result<u8, u8>"), two, &json), CHOIR_ERR_INVALID);
    cr_expect_eq(print(v, values_type(v, "Shapes"), &tag, &json), CHOIR_ERR_INVALID);
    cr_expect_eq(print(v, values_type(v, "char"), &surrogate, &json), CHOIR_ERR_INVALID);
    cr_expect_eq(print(v, values_type(v, "char"), &high, &json), CHOIR_ERR_INVALID);
    cr_expect_eq(print(v, values_type(v, "String"), &broken, &json), CHOIR_ERR_INVALID);
    cr_expect_eq(print(v, values_type(v, "Box<u8>"), &nowhere, &json), CHOIR_ERR_INVALID);
    cr_expect_eq(print(v, values_type(v, "Vec<!>"), &nothing, &json), CHOIR_ERR_INVALID);
    values_free(v);
}

/* --- limits --- */

/* n brackets around a number: as text, and its type. */
static void nested(size_t n, char *type, char *json) {
    type[0] = json[0] = '\0';
    for (size_t i = 0; i < n; i++) strcat(type, "Vec<");
    strcat(type, "u32");
    for (size_t i = 0; i < n; i++) strcat(type, ">");
    for (size_t i = 0; i < n; i++) strcat(json, "[");
    strcat(json, "1");
    for (size_t i = 0; i < n; i++) strcat(json, "]");
}

Test(json, nesting_ends_at_64) {
    values *v = setup();
    char type_text[512], text[512];
    choir_str error, json;
    for (size_t n = 64; n <= 65; n++) {
        nested(n, type_text, text);
        uint32_t type = values_type(v, type_text);
        choir_list list;
        int rc = parse(v, type, text, strlen(text), &list, &error);
        cr_assert_eq(rc, n == 64 ? CHOIR_OK : CHOIR_ERR_DEPTH);
        if (rc == CHOIR_OK) cr_assert_eq(print(v, type, &list, &json), CHOIR_OK);
        if (rc == CHOIR_OK) cr_assert_str_eq(json.data, text);
        uint32_t leaf = 1;
        choir_list nest[66] = {{&leaf, 1}};
        for (size_t i = 1; i < n; i++) nest[i] = (choir_list){&nest[i - 1], 1};
        cr_assert_eq(print(v, type, &nest[n - 1], &json), n == 64 ? CHOIR_OK : CHOIR_ERR_DEPTH);
    }
    /* An error inside bytes has a step more than there are levels. */
    text[0] = '\0';
    char *type_end = type_text + sprintf(type_text, "%s", "");
    for (size_t i = 0; i < 64; i++) type_end += sprintf(type_end, "Vec<");
    type_end += sprintf(type_end, "Vec<u8>");
    for (size_t i = 0; i < 64; i++) type_end += sprintf(type_end, ">");
    for (size_t i = 0; i < 65; i++) strcat(text, "[");
    strcat(text, "x");
    choir_list list;
    cr_assert_eq(parse(v, values_type(v, type_text), text, strlen(text), &list, &error), CHOIR_ERR_MALFORMED);
    values_free(v);
}

Test(json, objects_count_their_entries_as_nesting) {
    values *v = setup();
    /* 31 maps are 62 levels with their entries; the 32nd may still be there, the tuple of a 33rd may not. */
    char type_text[2048], text[512];
    for (size_t n = 32; n <= 33; n++) {
        type_text[0] = text[0] = '\0';
        for (size_t i = 0; i < n; i++) strcat(type_text, "HashMap<String, ");
        strcat(type_text, "u8");
        for (size_t i = 0; i < n; i++) strcat(type_text, ">");
        for (size_t i = 0; i < n; i++) strcat(text, "{\"\":");
        strcat(text, "1");
        for (size_t i = 0; i < n; i++) strcat(text, "}");
        uint32_t type = values_type(v, type_text);
        choir_list list;
        choir_str error, json;
        choir_bytes bytes;
        int expected = n == 32 ? CHOIR_OK : CHOIR_ERR_DEPTH;
        cr_assert_eq(parse(v, type, text, strlen(text), &list, &error), expected);
        if (expected != CHOIR_OK) continue;
        cr_assert_eq(print(v, type, &list, &json), CHOIR_OK);
        cr_assert_str_eq(json.data, text);
        cr_assert_eq(values_encode(v, type, &list, &bytes), CHOIR_OK, "the same depth in the other codec");
    }
    values_free(v);
}

/* Reads and writes with every limit from 0 on: too large below one limit, fine from there. */
Test(json, memory_ends_at_the_limit) {
    values *v = setup();
    uint32_t type = values_type(v, "Vec<Person>");
    static const char json[] =
        "[{\"name\":\"Alice\",\"age\":1,\"email\":\"a\\u0040b\"},{\"name\":\"B\",\"age\":2}]";
    size_t limit = 0;
    int rc;
    do {
        choir_arena *arena;
        choir_list list;
        choir_str error = {NULL, 0}, again;
        cr_assert_eq(choir_arena_new(v->env, limit, &arena), CHOIR_OK);
        rc = choir_value_from_json(&v->ts->unit, type, CHOIR_STR(json), arena, &list, &error);
        cr_assert(rc == CHOIR_OK || rc == CHOIR_ERR_TOO_LARGE);
        if (rc != CHOIR_OK) cr_assert_gt(error.len, 0);
        if (rc == CHOIR_OK) {
            choir_arena *small;
            int written = CHOIR_ERR_TOO_LARGE;
            for (size_t room = 0; written != CHOIR_OK; room++) {
                cr_assert_eq(choir_arena_new(v->env, room, &small), CHOIR_OK);
                written = choir_value_to_json(&v->ts->unit, type, &list, small, &again);
                cr_assert(written == CHOIR_OK ? room > again.len : written == CHOIR_ERR_TOO_LARGE);
                choir_arena_free(small);
            }
        }
        choir_arena_free(arena);
        limit++;
    } while (rc != CHOIR_OK);
    cr_assert_lt(limit, 1024);
    values_free(v);
}

Test(json, memory_runs_out) {
    values *v = setup();
    uint32_t type = values_type(v, "Vec<Person>");
    static const char json[] =
        "[{\"name\":\"Alice\",\"age\":1,\"email\":\"a\\u0040b\"},{\"name\":\"B\",\"age\":2}]";
    uint64_t failures = 0;
    int rc = CHOIR_ERR_NO_MEMORY;
    for (uint64_t n = 1; rc != CHOIR_OK; n++) {
        test_alloc small = {.fail_at = n};
        choir_env *env = test_env(&small);
        if (!env) continue;
        choir_arena *arena = NULL;
        choir_list list;
        choir_str error = {NULL, 0}, again;
        rc = choir_arena_new(env, 1 << 20, &arena);
        if (rc == CHOIR_OK)
            rc = choir_value_from_json(&v->ts->unit, type, CHOIR_STR(json), arena, &list, &error);
        if (rc == CHOIR_OK) choir_arena_alloc(arena, 1100, 1); /* so that writing needs a block of its own */
        if (rc == CHOIR_OK) rc = choir_value_to_json(&v->ts->unit, type, &list, arena, &again);
        failures += rc != CHOIR_OK;
        cr_assert(rc == CHOIR_OK || rc == CHOIR_ERR_NO_MEMORY, "%d", rc);
        choir_arena_free(arena);
        choir_env_free(env);
        cr_assert_eq(small.bytes, 0);
    }
    cr_assert_gt(failures, 1);
    values_free(v);
}

/* A peer's short list of long lists of nothing must not become a text of gigabytes, nor take their time. */
Test(json, writing_stops_at_the_limit, .timeout = 120) {
    values *v = setup();
    uint32_t type = values_type(v, "Vec<Vec<()>>");
    enum { LISTS = 100000 };
    choir_list *lists = calloc(LISTS, sizeof *lists);
    for (size_t i = 0; i < LISTS; i++) lists[i].len = 65536;
    choir_list list = {lists, LISTS};
    choir_arena *arena;
    choir_str json;
    cr_assert_eq(choir_arena_new(v->env, 1 << 20, &arena), CHOIR_OK);
    cr_assert_eq(choir_value_to_json(&v->ts->unit, type, &list, arena, &json), CHOIR_ERR_TOO_LARGE);
    choir_arena_free(arena);
    free(lists);
    values_free(v);
}

Test(json, wrong_units_are_refused) {
    values *v = setup();
    choir_unit other = v->ts->unit;
    choir_str json, error = {NULL, 0};
    uint8_t byte = 0;
    uint32_t type = values_type(v, "u8");
    other.abi++;
    cr_assert_eq(choir_value_from_json(&other, type, CHOIR_STR("1"), values_arena(v), &byte, &error),
                 CHOIR_ERR_ABI);
    cr_assert_gt(error.len, 0);
    cr_assert_eq(choir_value_to_json(&other, type, &byte, values_arena(v), &json), CHOIR_ERR_ABI);
    uint32_t none = v->ts->unit.types_len;
    cr_assert_eq(choir_value_from_json(&v->ts->unit, none, CHOIR_STR("1"), values_arena(v), &byte, NULL),
                 CHOIR_ERR_INVALID);
    cr_assert_eq(choir_value_to_json(&v->ts->unit, none, &byte, values_arena(v), &json), CHOIR_ERR_INVALID);
    values_free(v);
}

Test(json, arena) {
    values *v = setup();
    choir_arena *arena;
    cr_assert_eq(choir_arena_new(v->env, 4096, &arena), CHOIR_OK);
    for (size_t align = 1; align <= 16; align *= 2) {
        cr_assert_eq((uintptr_t)choir_arena_alloc(arena, 3, align) % align, 0);
        cr_assert_not_null(choir_arena_alloc(arena, 0, align));
    }
    cr_assert_null(choir_arena_alloc(arena, 1, 0));
    cr_assert_null(choir_arena_alloc(arena, 1, 3));
    cr_assert_null(choir_arena_alloc(arena, 1, 32));
    cr_assert_null(choir_arena_alloc(arena, 4096, 1));
    choir_arena_reset(arena);
    cr_assert_not_null(choir_arena_alloc(arena, 4000, 1));
    choir_arena_free(arena);
    choir_arena_free(NULL);
    values_free(v);
}
