/* SPDX-License-Identifier: MIT */
/* Run-time units: everything that Rust and recorded peers announce, values by them, hostile schemas, memory
 * that runs out. */
#include "schema/dynamic.h"
#include "schema/test_schema.h"
#include "schema_vectors.h"
#include "testing/events.h"
#include "value/unit.h"
#include "value/value.h"

typedef struct dynamic_env {
    schema_env s;
    choir_arena *arena;
    const choir_unit *unit;
    uint32_t root;
    choir_str error;
} dynamic_env;

static void open_env(dynamic_env *d) {
    *d = (dynamic_env){0};
    schema_env_open(&d->s);
    cr_assert_eq(choir_arena_new(d->s.env, (size_t)64 << 20, &d->arena), CHOIR_OK);
}

static void close_env(dynamic_env *d) {
    choir_arena_free(d->arena);
    schema_env_close(&d->s);
}

static int make(dynamic_env *d, choir_bytes schemas) {
    choiri_text text;
    d->unit = NULL;
    d->error = CHOIR_STR("");
    int status = choir_unit_from_schemas(schemas, d->arena, &d->unit, &d->root, &d->error);
    if (status == CHOIR_OK)
        cr_assert_eq(choiri_unit_check(d->unit, &text), CHOIR_OK, "%s", text.data);
    else
        cr_assert(!d->unit && d->error.len > 0);
    return status;
}

static void *room(dynamic_env *d, const choir_unit *u, uint32_t type) {
    const choir_type *t = choiri_unit_type(u, type);
    void *p = choir_arena_alloc(d->arena, t->size, t->align);
    cr_assert(p);
    return p;
}

/* --- what Rust announces --- */

static const schema_vector_type *find_static(choir_bytes payload) {
    for (size_t i = 0; i < rust_types_count; i++) {
        if (choiri_wire_equal(rust_types[i].payload, payload) && !rust_types[i].root.is_response)
            return &rust_types[i];
    }
    return NULL;
}

static choir_str json_of(dynamic_env *d, const choir_unit *u, uint32_t type, choir_bytes postcard) {
    choir_str json, error;
    void *value = room(d, u, type);
    int status = choir_value_from_postcard(u, type, postcard, d->arena, value, &error);
    cr_assert_eq(status, CHOIR_OK, "%.*s", (int)error.len, error.data);
    cr_assert_eq(choir_value_to_json(u, type, value, d->arena, &json), CHOIR_OK);
    return json;
}

/* What cannot be read without knowing the types: their layout is not announced, or may be announced wrongly
 * because instances share one declaration. */
static const struct {
    const char *name, *error;
} not_blind[] = {
    {"std::time::Duration", "no layout for this type"},
    {"std::path::PathBuf", "no layout for this type"},
    {"vox_types::Message<'static>", "\"args\": the peer announced no layout"},
    {"[[u8; 2]; 3]", "several arrays"},
    {"([u8; 2], [u8; 3])", "several arrays"},
    {"TwoArrays", "several arrays"},
    {"TwoBufs", "bytes are left"},
    {"TwoWraps", "several instances of a generic type"},
    {"TwoWrapsRev", "several instances of a generic type"},
};
enum { NOT_BLIND = sizeof not_blind / sizeof *not_blind };

static int is_not_blind(const char *name) {
    for (int i = 0; i < NOT_BLIND; i++)
        if (strcmp(not_blind[i].name, name) == 0) return i;
    return -1;
}

/* The other interpreters: a clone is equal and prints the same. */
static void check_operations(dynamic_env *d, const void *value, const char *name) {
    char text[300], again[300];
    void *clone;
    bool equal;
    cr_assert_eq(choir_value_clone(d->s.env, d->unit, d->root, value, &clone), CHOIR_OK, "%s", name);
    cr_assert_eq(choir_value_equal(d->unit, d->root, value, clone, &equal), CHOIR_OK, "%s", name);
    choir_value_print(d->unit, d->root, value, text, sizeof text);
    choir_value_print(d->unit, d->root, clone, again, sizeof again);
    cr_assert(equal && strcmp(text, again) == 0 && !strstr(text, "<bad"), "%s: %s and %s", name, text, again);
    choir_value_free(d->s.env, clone);
}

/* JSON has one null for whatever is empty in these. */
static bool is_null_twice(const char *name) {
    return strcmp(name, "Option<Option<u32>>") == 0 || strcmp(name, "Option<()>") == 0 ||
           strcmp(name, "Doubled") == 0;
}

static bool check_example(dynamic_env *d, const schema_vector_example *e) {
    choir_bytes again;
    int wrong = is_not_blind(e->name), status = make(d, e->payload);
    if (status == CHOIR_OK && e->postcard.data)
        status = choir_value_from_postcard(d->unit, d->root, e->postcard, d->arena, room(d, d->unit, d->root),
                                           &d->error);
    if (status != CHOIR_OK) {
        cr_assert(wrong >= 0, "%s: %.*s", e->name, (int)d->error.len, d->error.data);
        cr_assert(test_find(d->error.data, d->error.len, not_blind[wrong].error), "%s: %.*s", e->name,
                  (int)d->error.len, d->error.data);
        return false;
    }
    if (!e->postcard.data) return false;
    cr_assert(wrong < 0, "%s can be read after all", e->name);
    void *value = room(d, d->unit, d->root);
    cr_assert_eq(choir_value_from_postcard(d->unit, d->root, e->postcard, d->arena, value, NULL), CHOIR_OK);
    cr_assert_eq(choir_value_to_postcard(d->unit, d->root, value, d->arena, &again), CHOIR_OK);
    test_bytes_eq(again, e->postcard, e->name);
    check_operations(d, value, e->name);
    choir_str json = json_of(d, d->unit, d->root, e->postcard);
    status = choir_value_from_json(d->unit, d->root, json, d->arena, value, &d->error);
    cr_assert_eq(status, CHOIR_OK, "%s: %.*s", e->name, (int)d->error.len, d->error.data);
    cr_assert_eq(choir_value_to_postcard(d->unit, d->root, value, d->arena, &again), CHOIR_OK);
    if (!is_null_twice(e->name)) test_bytes_eq(again, e->postcard, e->name);
    const schema_vector_type *v = find_static(e->payload);
    if (!v) return true;
    choir_str ours = json_of(d, v->root.unit, v->root.type, e->postcard);
    cr_assert(ours.len == json.len && memcmp(ours.data, json.data, json.len) == 0, "%s: %s instead of %s",
              e->name, json.data, ours.data);
    return true;
}

/* For each announcement of Rust with an example: bytes to a value to JSON to a value to the same bytes, and
 * the JSON is what the program's own descriptor gives. */
Test(dynamic, rust_types) {
    dynamic_env d;
    open_env(&d);
    size_t read = 0;
    for (size_t i = 0; i < rust_examples_count; i++) {
        read += check_example(&d, &rust_examples[i]);
        choir_arena_reset(d.arena);
    }
    printf("examples read without their types: %zu of %d\n", read, rust_examples_count);
    cr_assert_geq(read, 155);
    close_env(&d);
}

static void check_methods(const schema_vector_method *methods, size_t count) {
    dynamic_env d;
    open_env(&d);
    for (size_t i = 0; i < count; i++) {
        uint32_t ok, err;
        cr_assert_eq(make(&d, methods[i].payload), CHOIR_OK, "%s: %s", methods[i].name, d.error.data);
        bool is_response = methods[i].direction == 1;
        cr_assert_eq(choiri_dynamic_result(d.unit, d.root, &ok, &err), is_response, "%s", methods[i].name);
        if (!is_response) cr_assert_neq(choiri_unit_type(d.unit, d.root)->kind, CHOIR_KIND_ENUM);
        choir_arena_reset(d.arena);
    }
    close_env(&d);
}

Test(dynamic, testbed) {
    check_methods(testbed_schemas, testbed_schemas_count);
    check_methods(testbed_evolved_schemas, testbed_evolved_schemas_count);
}

/* What peers announced in recorded sessions, each on top of what its connection had received before. */
Test(dynamic, recorded) {
    dynamic_env d;
    open_env(&d);
    choiri_recv_tracker sides[2];
    for (int i = 0; i < 2; i++) choiri_recv_tracker_init(&sides[i], d.s.env, test_seed, NULL);
    for (size_t i = 0; i < announcements_count; i++) {
        const schema_vector_announcement *v = &announcements[i], *before = v - 1;
        if (i > 0 && (strcmp(v->session, before->session) != 0 || strcmp(v->peer, before->peer) != 0 ||
                      v->connection != before->connection)) {
            for (int k = 0; k < 2; k++) {
                choiri_recv_tracker_deinit(&sides[k]);
                choiri_recv_tracker_init(&sides[k], d.s.env, test_seed, NULL);
            }
        }
        choiri_text text;
        choir_bytes root;
        cr_assert_eq(choiri_recv_tracker_add(&sides[v->from_server], v->payload, &root, &text), CHOIR_OK);
        int status =
            choiri_dynamic_make(&d.arena->arena, &sides[v->from_server], root, &d.unit, &d.root, &text);
        cr_assert_eq(status, CHOIR_OK, "%s: %s", v->session, text.data);
        cr_assert_eq(choiri_unit_check(d.unit, &text), CHOIR_OK, "%s", text.data);
        choir_arena_reset(d.arena);
    }
    for (int i = 0; i < 2; i++) choiri_recv_tracker_deinit(&sides[i]);
    cr_assert_geq(announcements_count, 223);
    close_env(&d);
}

/* --- one type each --- */

#define REF(id)              "{tag:concrete,type_id:" #id ",args:[]}"
#define REF1(id, arg)        "{tag:concrete,type_id:" #id ",args:[" arg "]}"
#define VAR(name)            "{tag:var,name:" #name "}"
#define ROOT(id)             "],root:" REF(id) "}"
#define PRIM(id, name)       "{id:" #id ",kind:{tag:primitive,primitive_type:" #name "}},"
#define SCHEMA(id, kind)     "{id:" #id ",kind:{" kind "}},"
#define FIELD(name, ref)     "{name:" #name ",type_ref:" ref ",required:true},"
#define STRUCT(name, fields) "tag:struct,name:" #name ",fields:[" fields "]"
#define GENERIC(id, kind)    "{id:" #id ",type_params:[T],kind:{" kind "}},"
#define SCHEMAS              "{schemas:["

static int make_text(dynamic_env *d, const char *text) {
    test_bytes b = test_cbor(text);
    int status = make(d, test_span(b));
    free(b.data); /* nothing may borrow from it */
    return status;
}

static void expect(const char *text, int status, const char *error) {
    dynamic_env d;
    open_env(&d);
    int got = make_text(&d, text);
    cr_assert_eq(got, status, "%d %.*s for %s", got, (int)d.error.len, d.error.data, text);
    if (status != CHOIR_OK)
        cr_assert(test_find(d.error.data, d.error.len, error), "%.*s", (int)d.error.len, d.error.data);
    close_env(&d);
}

/* What Rust announces of a payload with a HashMap<u8, u8> first: the body of that one for all maps. The same
 * for Result. */
Test(dynamic, maps_and_results_take_their_arguments) {
    dynamic_env d;
    open_env(&d);
    cr_assert_eq(
        make_text(
            &d,
            "{schemas:[" PRIM(1, u8) PRIM(
                2,
                string) "{id:3,type_params:[K,V],kind:{tag:map,key:{tag:var,name:K},value:{tag:var,name:K}}},"
                        "],root:{tag:concrete,type_id:3,args:[" REF(1) "," REF(2) "]}}"),
        CHOIR_OK, "%.*s", (int)d.error.len, d.error.data);
    choir_str json = json_of(&d, d.unit, d.root, (choir_bytes){(const uint8_t *)"\2\7\0\x08\1x", 6});
    cr_assert_str_eq(json.data, "[[7,\"\"],[8,\"x\"]]");
    close_env(&d);
    open_env(&d);
    cr_assert_eq(
        make_text(&d, "{schemas:[" PRIM(1, u8) PRIM(
                          2, string) "{id:3,type_params:[T,E],kind:{tag:enum,name:Result,variants:["
                                     "{name:Ok,index:0,payload:{tag:newtype,type_ref:{tag:var,name:T}}},"
                                     "{name:Err,index:1,payload:{tag:newtype,type_ref:{tag:var,name:T}}}]}},"
                                     "],root:{tag:concrete,type_id:3,args:[" REF(1) "," REF(2) "]}}"),
        CHOIR_OK, "%.*s", (int)d.error.len, d.error.data);
    json = json_of(&d, d.unit, d.root, (choir_bytes){(const uint8_t *)"\1\2no", 4});
    cr_assert_str_eq(json.data, "{\"Err\":\"no\"}");
    close_env(&d);
}

Test(dynamic, what_is_wrong) {
    expect("{schemas:[" ROOT(7), CHOIR_ERR_MALFORMED, "the peer never announced type 0x0000000000000007");
    expect(SCHEMAS SCHEMA(1, STRUCT(S, FIELD(a, REF(2)) FIELD(b, REF(3)))) PRIM(2, u8) ROOT(1),
           CHOIR_ERR_MALFORMED, "\"b\": the peer never announced type 0x0000000000000003");
    expect(SCHEMAS SCHEMA(1, STRUCT(S, FIELD(a, VAR(T)))) ROOT(1), CHOIR_ERR_MALFORMED,
           "\"a\": the peer's types use a type parameter that is not bound: \"T\"");
    expect("{schemas:[],root:" VAR(T) "}", CHOIR_ERR_MALFORMED, "not bound");
    expect(SCHEMAS GENERIC(1, "tag:list,element:" VAR(T)) ROOT(1), CHOIR_ERR_MALFORMED, "[]: the peer's");
    expect(SCHEMAS PRIM(1, payload) SCHEMA(2, "tag:option,element:" REF(1)) ROOT(2), CHOIR_ERR_UNSUPPORTED,
           "no layout");
    expect(SCHEMAS PRIM(1, payload)
               GENERIC(2, "tag:map,key:" VAR(T) ",value:" VAR(T)) "],root:" REF1(2, REF(1)) "}",
           CHOIR_ERR_UNSUPPORTED, "[key]: the peer announced no layout");
    expect(SCHEMAS PRIM(1, payload) PRIM(2, bytes) "],root:" REF1(2, REF(1)) "}", CHOIR_ERR_UNSUPPORTED,
           "elements of this list");
    expect(SCHEMAS SCHEMA(1, "tag:enum,name:E,variants:[{name:A,index:1,payload:unit}]") ROOT(1),
           CHOIR_ERR_UNSUPPORTED, "out of order");
}

#define ARRAY(id)            GENERIC(id, "tag:array,element:" VAR(T) ",length:2")
#define NEWTYPE(name, index) "{name:" #name ",index:" #index ",payload:{tag:newtype,type_ref:" VAR(T) "}}"
#define BOTH(kind)                                                                                           \
    PAIR(GENERIC(3, kind), SCHEMA(9, STRUCT(S, FIELD(a, REF1(3, REF(1))) FIELD(b, REF1(3, REF(2))))))
#define PAIR(a, b) "{schemas:[" PRIM(1, u8) PRIM(2, u32) a b "],root:" REF(9) "}"

/* rule: schema.dynamic. Whatever vox's sharing makes uncertain is refused, though the bytes may fit; what it
 * leaves certain is read. */
Test(dynamic, refuses_to_guess) {
    static const char arrays[] = "\"b\": the peer's type has several arrays";
    static const char generics[] = "\"b\": the peer's type has several instances of a generic type";
    const choir_bytes four = {(const uint8_t *)"\1\2\3\4", 4};
    dynamic_env d;
    /* One array, at one place: read. The same at two: their lengths are those of the first. */
    expect(PAIR(ARRAY(3), SCHEMA(9, STRUCT(S, FIELD(a, REF1(3, REF(1))) FIELD(b, REF(1))))), CHOIR_OK, "");
    expect(PAIR(ARRAY(3), SCHEMA(9, STRUCT(S, FIELD(a, REF1(3, REF(1))) FIELD(b, REF1(3, REF(1)))))),
           CHOIR_ERR_UNSUPPORTED, arrays);
    expect(PAIR(ARRAY(3), SCHEMA(9, STRUCT(S, FIELD(a, REF1(3, REF(1))) FIELD(b, REF1(3, REF(2)))))),
           CHOIR_ERR_UNSUPPORTED, arrays);
    expect(PAIR(ARRAY(3), SCHEMA(9, STRUCT(S, FIELD(a, REF(1)) FIELD(b, REF1(3, REF1(3, REF(1))))))),
           CHOIR_ERR_UNSUPPORTED, arrays);
    /* A place is where a reference stands, however often it is read. */
    expect(PAIR(ARRAY(3) GENERIC(4, "tag:list,element:" REF1(3, REF(1))),
                SCHEMA(9, STRUCT(S, FIELD(a, REF1(4, REF(1))) FIELD(b, REF1(4, REF(2)))))),
           CHOIR_OK, "");
    /* An array that is nobody's parameter has its own length. */
    open_env(&d);
    cr_assert_eq(make_text(&d, PAIR(SCHEMA(3, "tag:array,element:" REF(1) ",length:2"),
                                    SCHEMA(9, STRUCT(S, FIELD(a, REF(3)) FIELD(b, REF(3)))))),
                 CHOIR_OK);
    cr_assert_str_eq(json_of(&d, d.unit, d.root, four).data, "{\"a\":[1,2],\"b\":[3,4]}");
    close_env(&d);
    /* A body in which something may be equal to a parameter by chance: a parameter twice, a type beside
     * it; the same instance twice is one. */
    expect(BOTH(STRUCT(W, FIELD(v, VAR(T)) FIELD(w, VAR(T)))), CHOIR_ERR_UNSUPPORTED, generics);
    expect(BOTH(STRUCT(W, FIELD(v, VAR(T)) FIELD(w, REF(1)))), CHOIR_ERR_UNSUPPORTED, generics);
    expect(BOTH(STRUCT(W, FIELD(v, REF(1)))), CHOIR_ERR_UNSUPPORTED, generics);
    expect(BOTH("tag:tuple,elements:[" VAR(T) "," VAR(T) "]"), CHOIR_ERR_UNSUPPORTED, generics);
    expect(BOTH("tag:enum,name:E,variants:[" NEWTYPE(A, 0) "," NEWTYPE(B, 1) "]"), CHOIR_ERR_UNSUPPORTED,
           generics);
    expect(BOTH("tag:enum,name:E,variants:[" NEWTYPE(
               A, 0) ",{name:B,index:1,payload:{tag:struct,fields:[" FIELD(b, VAR(T)) "]}}]"),
           CHOIR_ERR_UNSUPPORTED, generics);
    expect(
        BOTH("tag:enum,name:E,variants:[{name:B,index:0,payload:{tag:tuple,types:[" VAR(T) "," VAR(T) "]}}]"),
        CHOIR_ERR_UNSUPPORTED, generics);
    expect(PAIR(GENERIC(3, STRUCT(W, FIELD(v, VAR(T)) FIELD(w, VAR(T)))),
                SCHEMA(9, STRUCT(S, FIELD(a, REF1(3, REF(1))) FIELD(b, REF1(3, REF(1)))))),
           CHOIR_OK, "");
    /* One in which nothing can. */
    expect(BOTH(STRUCT(W, FIELD(v, VAR(T)))), CHOIR_OK, "");
    expect(BOTH("tag:enum,name:E,variants:[{name:B,index:0,payload:unit}," NEWTYPE(A, 1) "]"), CHOIR_OK, "");
    /* Anonymous tuples, lists, options: each body holds for all. */
    open_env(&d);
    cr_assert_eq(
        make_text(
            &d, PAIR(GENERIC(3, "tag:tuple,elements:[" VAR(T) "]") GENERIC(4, "tag:list,element:" VAR(T))
                         GENERIC(5, "tag:option,element:" VAR(T)),
                     SCHEMA(9, STRUCT(S, FIELD(a, REF1(3, REF1(4, REF(1)))) FIELD(b, REF1(3, REF1(5, REF(2))))
                                             FIELD(c, REF1(4, REF1(5, REF(1)))))))),
        CHOIR_OK, "%.*s", (int)d.error.len, d.error.data);
    cr_assert_str_eq(json_of(&d, d.unit, d.root, (choir_bytes){(const uint8_t *)"\1\7\1\x8\1\0", 6}).data,
                     "{\"a\":[[7]],\"b\":[8],\"c\":[null]}");
    close_env(&d);
}

/* Names that a unit cannot hold. */
Test(dynamic, names) {
    static const char *const texts[] = {
        SCHEMAS SCHEMA(1, STRUCT(X, "")) ROOT(1),
        SCHEMAS SCHEMA(1, STRUCT(S, FIELD(X, REF(1)))) ROOT(1),
        SCHEMAS SCHEMA(1, "tag:enum,name:X,variants:[]") ROOT(1),
        SCHEMAS SCHEMA(1, "tag:enum,name:E,variants:[{name:X,index:0,payload:unit}]") ROOT(1),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dynamic_env d;
        open_env(&d);
        test_bytes b = test_cbor(texts[i]);
        uint8_t *name = memchr(b.data, 'X', b.len);
        cr_assert(name);
        *name = 0;
        cr_assert_eq(make(&d, test_span(b)), CHOIR_ERR_MALFORMED);
        cr_assert(test_find(d.error.data, d.error.len, "unusable name"));
        free(b.data);
        close_env(&d);
    }
}

/* Arguments that nobody uses may be of any type, as HashSet's hasher is. */
Test(dynamic, unused_arguments) {
    dynamic_env d;
    open_env(&d);
    cr_assert_eq(make_text(&d, SCHEMAS PRIM(1, payload)
                                   PRIM(2, u32) "{id:3,type_params:[T,S],kind:{tag:list,element:" VAR(
                                       T) "}}],root:{tag:concrete,type_id:3,args:[" REF(2) REF(1) "]}}"),
                 CHOIR_OK);
    cr_assert_str_eq(json_of(&d, d.unit, d.root, (choir_bytes){(const uint8_t *)"\2\7\10", 3}).data, "[7,8]");
    close_env(&d);
}

/* bytes<T>, the way vox announces lists behind a first list of u8. */
Test(dynamic, bytes_of_something) {
    dynamic_env d;
    open_env(&d);
    cr_assert_eq(make_text(&d, SCHEMAS PRIM(1, bytes) PRIM(2, u8) PRIM(3, u32)
                                   SCHEMA(4, STRUCT(S, FIELD(a, REF(1)) FIELD(b, REF1(1, REF(2)))
                                                           FIELD(c, REF1(1, REF(3)))
                                                               FIELD(d, REF1(1, REF1(1, REF(2)))))) ROOT(4)),
                 CHOIR_OK);
    choir_str json =
        json_of(&d, d.unit, d.root, (choir_bytes){(const uint8_t *)"\1\200\1\377\1\200\1\2\0\1\377", 11});
    cr_assert_str_eq(json.data, "{\"a\":[128],\"b\":[255],\"c\":[128],\"d\":[[],[255]]}");
    close_env(&d);
}

/* --- recursion --- */

Test(dynamic, recursion_ends_in_boxes) {
    static const char nested[] = SCHEMAS PRIM(1, u8) GENERIC(2, "tag:option,element:" VAR(T))
        GENERIC(3, "tag:list,element:" VAR(T)) SCHEMA(
            4, STRUCT(Node, FIELD(v, REF(1)) FIELD(next, REF1(2, REF(4))) FIELD(kids, REF1(3, REF(4)))))
            ROOT(4);
    static const uint8_t value[] = {1, 1, 2, 0, 0, 2, 3, 0, 0, 4, 0, 0};
    dynamic_env d;
    open_env(&d);
    cr_assert_eq(make_text(&d, nested), CHOIR_OK);
    uint32_t boxes = 0;
    for (uint32_t i = 0; i < d.unit->types_len; i++) boxes += d.unit->types[i].kind == CHOIR_KIND_BOX;
    cr_assert_eq(boxes, 1, "in the option; the list is a pointer already");
    choir_str json = json_of(&d, d.unit, d.root, (choir_bytes){value, sizeof value});
    cr_assert_str_eq(json.data,
                     "{\"v\":1,\"next\":{\"v\":2,\"next\":null,\"kids\":[]},"
                     "\"kids\":[{\"v\":3,\"next\":null,\"kids\":[]},{\"v\":4,\"next\":null,\"kids\":[]}]}");
    close_env(&d);
}

/* A struct that holds itself can be announced, but no value of it can be sent. */
Test(dynamic, recursion_without_end) {
    static const char *const texts[] = {
        SCHEMAS SCHEMA(1, STRUCT(S, FIELD(s, REF(1)))) ROOT(1),
        SCHEMAS SCHEMA(1, "tag:tuple,elements:[" REF(2) REF(1) "]") PRIM(2, u8) ROOT(1),
        SCHEMAS SCHEMA(1, "tag:option,element:" REF(1)) ROOT(1),
        SCHEMAS SCHEMA(1, "tag:list,element:" REF(1)) ROOT(1),
        SCHEMAS SCHEMA(1, "tag:array,element:" REF(1) ",length:3") ROOT(1),
        SCHEMAS SCHEMA(1, "tag:map,key:" REF(1) ",value:" REF(1)) ROOT(1),
        SCHEMAS SCHEMA(1, "tag:enum,name:E,variants:[{name:A,index:0,payload:{tag:newtype,type_ref:" REF(
                              1) "}}]") ROOT(1),
    };
    uint8_t ones[200];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dynamic_env d;
        open_env(&d);
        memset(ones, i == 6 ? 0 : 1, sizeof ones);
        cr_assert_eq(make_text(&d, texts[i]), CHOIR_OK, "%s", texts[i]);
        int status = choir_value_from_postcard(d.unit, d.root, (choir_bytes){ones, sizeof ones}, d.arena,
                                               room(&d, d.unit, d.root), &d.error);
        cr_assert_eq(status, CHOIR_ERR_DEPTH, "%d for %s", status, texts[i]);
        close_env(&d);
    }
}

/* Instantiations without end: struct S<T> { s: S<Option<T>> }. */
Test(dynamic, instantiation_without_end) {
    expect(SCHEMAS PRIM(1, u8) GENERIC(2, "tag:option,element:" VAR(T))
               GENERIC(3, "tag:list,element:" REF1(3, REF1(2, VAR(T)))) "],root:" REF1(3, REF(1)) "}",
           CHOIR_ERR_DEPTH, "nested more than 64 deep");
    /* Twice at each level, 60 levels: every instantiation is made once. */
#define TWICE(ref) "{tag:concrete,type_id:2,args:[" ref "," ref "]}"
    expect(SCHEMAS PRIM(1, u8) "{id:2,type_params:[T,U],kind:{tag:tuple,elements:[" VAR(T) "," VAR(
               U) "]}}," GENERIC(3,
                                 "tag:list,element:" TWICE(TWICE(TWICE(
                                     VAR(T))))) "],root:" REF1(3, REF1(3, REF1(3, REF1(3, REF(1))))) "}",
           CHOIR_OK, "");
}

/* --- limits --- */

typedef struct text_builder {
    char *data;
    size_t len;
} text_builder;

/* Appends text in which @ stands for a, and $ for b. */
static void put_format(text_builder *t, const char *format, uint32_t a, uint32_t b) {
    t->data = realloc(t->data, t->len + 12 * strlen(format) + 1);
    cr_assert(t->data);
    for (; *format; format++) {
        if (*format == '@' || *format == '$')
            t->len += (size_t)sprintf(t->data + t->len, "%u", *format == '@' ? a : b);
        else
            t->data[t->len++] = *format;
    }
    t->data[t->len] = '\0';
}

/* A chain of `count` schemas of this form, which refer to the next; the last one is `end`. */
static int make_chain(const char *form, uint32_t count, const char *end, const char *error) {
    text_builder t = {0};
    dynamic_env d;
    open_env(&d);
    put_format(&t, SCHEMAS, 0, 0);
    for (uint32_t i = 1; i < count; i++) put_format(&t, form, i, i + 1);
    put_format(&t, end, count, 0);
    put_format(&t, ROOT(1), 0, 0);
    int status = make_text(&d, t.data);
    if (status != CHOIR_OK)
        cr_assert(test_find(d.error.data, d.error.len, error), "%.*s", (int)d.error.len, d.error.data);
    uint64_t peak = d.s.alloc.peak;
    cr_assert_lt(peak, 4u << 20, "%llu bytes", (unsigned long long)peak);
    free(t.data);
    close_env(&d);
    return status;
}

#define CHAIN_REF "{tag:concrete,type_id:$,args:[]}"

Test(dynamic, depth) {
    static const char form[] = "{id:@,kind:{tag:option,element:" CHAIN_REF "}},";
    cr_assert_eq(make_chain(form, 65, PRIM(@, u8), ""), CHOIR_OK);
    cr_assert_eq(make_chain(form, 66, PRIM(@, u8), "nested more than 64 deep"), CHOIR_ERR_DEPTH);
}

/* Twice at each level: 2^60 empty structs in one value that takes no bytes; and 2^60 bytes. */
Test(dynamic, wide_and_deep) {
    static const char form[] = "{id:@,kind:{tag:tuple,elements:[" CHAIN_REF CHAIN_REF "]}},";
    cr_assert_eq(make_chain(form, 4, PRIM(@, unit), ""), CHOIR_OK); /* 8 + 4 + 2 + 1 parts */
    cr_assert_eq(make_chain(form, 5, PRIM(@, unit), "16 parts that are always empty"), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(make_chain(form, 60, PRIM(@, unit), "16 parts"), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(make_chain(form, 25, PRIM(@, u8), ""), CHOIR_OK); /* 2^24 bytes */
    cr_assert_eq(make_chain(form, 26, PRIM(@, u8), "larger than any message"), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(make_chain(form, 60, PRIM(@, u8), "larger than any message"), CHOIR_ERR_TOO_LARGE);
}

Test(dynamic, arrays) {
    static const char form[] = "{id:@,kind:{tag:array,element:" CHAIN_REF ",length:256}},";
    cr_assert_eq(make_chain(form, 4, PRIM(@, u8), ""), CHOIR_OK);
    cr_assert_eq(make_chain(form, 5, PRIM(@, u8), "larger than any message"), CHOIR_ERR_TOO_LARGE);
    cr_assert_eq(make_chain(form, 2, PRIM(@, unit), "16 parts"), CHOIR_ERR_TOO_LARGE);
    expect(SCHEMAS PRIM(1, unit) SCHEMA(2, "tag:array,element:" REF(1) ",length:15") ROOT(2), CHOIR_OK, "");
    expect(SCHEMAS PRIM(1, unit) SCHEMA(2, "tag:array,element:" REF(1) ",length:17") ROOT(2),
           CHOIR_ERR_TOO_LARGE, "16 parts");
    expect(SCHEMAS PRIM(1, u8) SCHEMA(2, "tag:array,element:" REF(1) ",length:16777216") ROOT(2), CHOIR_OK,
           "");
    expect(SCHEMAS PRIM(1, u8) SCHEMA(2, "tag:array,element:" REF(1) ",length:16777217") ROOT(2),
           CHOIR_ERR_TOO_LARGE, "longer than any message");
    expect(SCHEMAS PRIM(1, u8) SCHEMA(2, "tag:array,element:" REF(1) ",length:18446744073709551615") ROOT(2),
           CHOIR_ERR_TOO_LARGE, "longer than any message");
}

/* A struct that has itself in it so often, each time in a box of its own. */
static int make_many(uint32_t count, const char *error) {
    text_builder t = {0};
    dynamic_env d;
    open_env(&d);
    put_format(&t, SCHEMAS "{id:1,kind:{tag:struct,name:S,fields:[", 0, 0);
    for (uint32_t i = 0; i < count; i++) put_format(&t, "{name:f@,type_ref:" REF(1) ",required:true}", i, 0);
    put_format(&t, "]}}" ROOT(1), 0, 0);
    int status = make_text(&d, t.data);
    if (status != CHOIR_OK)
        cr_assert(test_find(d.error.data, d.error.len, error), "%.*s", (int)d.error.len, d.error.data);
    free(t.data);
    close_env(&d);
    return status;
}

Test(dynamic, number_of_types) {
    cr_assert_eq(make_many(CHOIRI_DYNAMIC_MAX_TYPES - 1, ""), CHOIR_OK);
    cr_assert_eq(make_many(CHOIRI_DYNAMIC_MAX_TYPES, "more than 4096"), CHOIR_ERR_TOO_LARGE);
}

/* One long schema, read again for every argument: the work is bounded, whatever the number of types. */
Test(dynamic, work) {
    text_builder t = {0};
    dynamic_env d;
    open_env(&d);
    put_format(&t,
               SCHEMAS PRIM(1, u8) "{id:2,type_params:[T],kind:{tag:enum,name:E,variants:["
                                   "{name:A,index:0,payload:{tag:newtype,type_ref:" VAR(T) "}}",
               0, 0);
    for (uint32_t i = 1; i < 4000; i++) put_format(&t, "{name:Variant@,index:@,payload:unit}", i, 0);
    put_format(&t, "]}},{id:3,kind:{tag:tuple,elements:[", 0, 0);
    for (uint32_t i = 0; i < 1000; i++)
        put_format(&t, "{tag:concrete,type_id:2,args:[{tag:concrete,type_id:@,args:[]}]}", 10 + i, 0);
    put_format(&t, "]}},", 0, 0);
    for (uint32_t i = 0; i < 1000; i++)
        put_format(&t, "{id:@,kind:{tag:option,element:{tag:concrete,type_id:1,args:[]}}}", 10 + i, 0);
    put_format(&t, ROOT(3), 0, 0);
    cr_assert_eq(make_text(&d, t.data), CHOIR_ERR_TOO_LARGE);
    cr_assert(test_find(d.error.data, d.error.len, "too large to be read"), "%.*s", (int)d.error.len,
              d.error.data);
    cr_assert_lt(d.s.alloc.peak, 8u << 20);
    free(t.data);
    close_env(&d);
}

/* What decoding needs is bounded by the payload, not by what types say. */
Test(dynamic, a_large_type_needs_a_large_payload) {
    dynamic_env d;
    open_env(&d);
    choir_arena *small;
    cr_assert_eq(choir_arena_new(d.s.env, choiri_value_arena_limit(1), &small), CHOIR_OK);
    cr_assert_eq(make_text(&d, SCHEMAS PRIM(1, u8) SCHEMA(2, "tag:array,element:" REF(1) ",length:16000000")
                                   SCHEMA(3, "tag:list,element:" REF(2)) ROOT(3)),
                 CHOIR_OK);
    choir_list list;
    cr_assert_eq(choir_value_from_postcard(d.unit, d.root, (choir_bytes){(const uint8_t *)"\1", 1}, small,
                                           &list, &d.error),
                 CHOIR_ERR_TRUNCATED);
    uint8_t many[100] = {1};
    cr_assert_eq(
        choir_value_from_postcard(d.unit, d.root, (choir_bytes){many, sizeof many}, small, &list, &d.error),
        CHOIR_ERR_TOO_LARGE);
    choir_arena_free(small);
    close_env(&d);
}

/* --- bad bytes, no memory --- */

Test(dynamic, every_truncation_and_flip) {
    for (size_t i = 0; i < testbed_schemas_count; i++) {
        choir_bytes whole = testbed_schemas[i].payload;
        if (strcmp(testbed_schemas[i].name, "echo_gnarly") != 0 || testbed_schemas[i].direction == 1)
            continue;
        dynamic_env d;
        open_env(&d);
        for (size_t len = 0; len < whole.len; len++) {
            uint8_t *copy = malloc(len + 1); /* of exactly that size: a read behind it is found */
            memcpy(copy, whole.data, len);
            cr_assert_eq(make(&d, (choir_bytes){copy, len}), CHOIR_ERR_MALFORMED, "%zu", len);
            free(copy);
        }
        uint8_t *copy = malloc(whole.len);
        for (size_t at = 0; at < whole.len; at++) {
            memcpy(copy, whole.data, whole.len);
            copy[at] ^= (uint8_t)(1u << at % 8);
            make(&d,
                 (choir_bytes){copy, whole.len}); /* whatever it is, what is made passes the check of units */
            choir_arena_reset(d.arena);
        }
        free(copy);
        close_env(&d);
    }
}

Test(dynamic, failing_allocations) {
    choir_bytes payload = {NULL, 0};
    for (size_t i = 0; i < testbed_schemas_count; i++)
        if (strcmp(testbed_schemas[i].name, "echo_gnarly") == 0) payload = testbed_schemas[i].payload;
    cr_assert(payload.data);
    uint64_t n = 0, failed;
    do {
        dynamic_env d;
        open_env(&d);
        d.s.alloc.fail_at = d.s.alloc.calls + ++n;
        choir_str error = CHOIR_STR("");
        int status = choir_unit_from_schemas(payload, d.arena, &d.unit, &d.root, &error);
        failed = d.s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        close_env(&d);
    } while (failed > 0);
    cr_assert_gt(n, 5);
}

/* An arena that is full is another failure than no memory. */
Test(dynamic, full_arena) {
    dynamic_env d;
    open_env(&d);
    choir_arena *small;
    cr_assert_eq(choir_arena_new(d.s.env, 600, &small), CHOIR_OK);
    for (size_t i = 0; i < testbed_schemas_count; i++) {
        if (strcmp(testbed_schemas[i].name, "echo_gnarly") != 0) continue;
        cr_assert_eq(choir_unit_from_schemas(testbed_schemas[i].payload, small, &d.unit, &d.root, NULL),
                     CHOIR_ERR_TOO_LARGE);
        choir_arena_reset(small);
    }
    choir_arena_free(small);
    close_env(&d);
}

/* --- views --- */

static choir_str str(const char *s) {
    return (choir_str){s, strlen(s)};
}

static void expect_str(choir_str have, const char *expected) {
    cr_assert(have.len == strlen(expected) && memcmp(have.data, expected, have.len) == 0,
              "%.*s instead of %s", (int)have.len, have.data, expected);
}

Test(dynamic, views) {
    static const char json[] =
        "[{\"revision\":18446744073709551615,\"mount\":\"/m\",\"footer\":null,\"digest\":[1,2,3],\"entries\":["
        "{\"id\":7,\"parent\":3,\"name\":\"a\",\"path\":\"/a\",\"attrs\":[],\"chunks\":[[9]],"
        "\"kind\":{\"File\":{\"mime\":\"text/plain\",\"tags\":[\"x\",\"y\"]}}}]}]";
    dynamic_env d;
    open_env(&d);
    for (size_t i = 0; i < testbed_schemas_count; i++)
        if (strcmp(testbed_schemas[i].name, "echo_gnarly") == 0 && testbed_schemas[i].direction == 0)
            cr_assert_eq(make(&d, testbed_schemas[i].payload), CHOIR_OK);
    void *value = room(&d, d.unit, d.root);
    int status = choir_value_from_json(d.unit, d.root, CHOIR_STR(json), d.arena, value, &d.error);
    cr_assert_eq(status, CHOIR_OK, "%.*s", (int)d.error.len, d.error.data);
    choir_view args = choir_view_of(d.unit, d.root, value), gnarly = choir_view_at(args, 0);
    uint64_t u;
    int64_t s;
    choir_str text;
    choir_bytes bytes;
    bool flag;
    double number;
    cr_assert_eq(choir_view_kind(args), CHOIR_KIND_TUPLE);
    cr_assert_eq(choir_view_len(args), 1);
    cr_assert_eq(choir_view_kind(gnarly), CHOIR_KIND_STRUCT);
    expect_str(choir_view_name(gnarly), "GnarlyPayload");
    expect_str(choir_view_field_name(gnarly, 0), "revision");
    cr_assert(choir_view_u64(choir_view_field(gnarly, str("revision")), &u) && u == UINT64_MAX);
    cr_assert(!choir_view_i64(choir_view_field(gnarly, str("revision")), &s), "does not fit");
    cr_assert(choir_view_str(choir_view_field(gnarly, str("mount")), &text));
    expect_str(text, "/m");
    cr_assert_eq(choir_view_len(choir_view_field(gnarly, str("footer"))), 0);
    cr_assert(!choir_view_str(choir_view_field(gnarly, str("footer")), &text), "there is none");
    cr_assert(choir_view_bytes(choir_view_field(gnarly, str("digest")), &bytes));
    cr_assert(bytes.len == 3 && bytes.data[2] == 3);
    choir_view entry = choir_view_at(choir_view_field(gnarly, str("entries")), 0);
    choir_view kind = choir_view_field(entry, str("kind"));
    cr_assert(choir_view_u64(choir_view_field(entry, str("parent")), &u) && u == 3, "through the option");
    cr_assert(choir_view_i64(choir_view_field(entry, str("id")), &s) && s == 7);
    expect_str(choir_view_variant(kind), "File");
    cr_assert_eq(choir_view_len(kind), 2);
    cr_assert(choir_view_str(choir_view_at(choir_view_field(kind, str("tags")), 1), &text));
    expect_str(text, "y");
    /* What is not there is empty, however far one goes on. */
    choir_view none =
        choir_view_field(choir_view_at(choir_view_field(entry, str("nothing")), 5), str("more"));
    cr_assert_eq(choir_view_kind(none), 0);
    cr_assert_eq(choir_view_len(none), 0);
    expect_str(choir_view_name(none), "");
    expect_str(choir_view_variant(none), "");
    cr_assert(!choir_view_u64(none, &u) && !choir_view_bool(none, &flag) && !choir_view_f64(none, &number));
    cr_assert_eq(choir_view_kind(choir_view_at(args, 1)), 0);
    cr_assert_eq(choir_view_kind(choir_view_of(d.unit, d.unit->types_len, value)), 0);
    cr_assert_eq(choir_view_kind(choir_view_field(entry, CHOIR_STR(""))), 0);
    close_env(&d);
}

/* Every kind of part, on a unit of the program's own. */
static const struct {
    const char *name, *json;
    size_t len;
} shapes[] = {
    {"Option<u32>", "5", 1},
    {"HashMap<String, u32>", "{\"a\":1,\"b\":2}", 2},
    {"[u32; 3]", "[1,2,3]", 3},
    {"Result<u32, String>", "{\"Err\":\"no\"}", 1},
    {"(u32, String)", "[1,\"x\"]", 2},
    {"Vec<u8>", "[1,2]", 2},
    {"Box<u32>", "5", 0},
};

Test(dynamic, views_of_all_parts) {
    dynamic_env d;
    open_env(&d);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const choiri_root *root = NULL;
        for (size_t k = 0; k < rust_types_count; k++)
            if (strcmp(rust_types[k].name, shapes[i].name) == 0) root = &rust_types[k].root;
        cr_assert(root, "%s", shapes[i].name);
        void *value = room(&d, root->unit, root->type);
        cr_assert_eq(choir_value_from_json(root->unit, root->type, str(shapes[i].json), d.arena, value, NULL),
                     CHOIR_OK);
        choir_view v = choir_view_of(root->unit, root->type, value), last;
        choir_str text;
        uint64_t u;
        cr_assert_eq(choir_view_len(v), shapes[i].len, "%s", shapes[i].name);
        last = choir_view_at(v, shapes[i].len - 1);
        cr_assert_eq(choir_view_kind(choir_view_at(v, shapes[i].len)), 0);
        switch (i) {
        case 0: cr_assert(choir_view_u64(v, &u) && u == 5 && choir_view_u64(last, &u) && u == 5); break;
        case 1:
            cr_assert(choir_view_str(choir_view_at(last, 0), &text) && text.data[0] == 'b');
            cr_assert(choir_view_u64(choir_view_at(last, 1), &u) && u == 2);
            break;
        case 2: cr_assert(choir_view_u64(last, &u) && u == 3); break;
        case 3:
            expect_str(choir_view_variant(v), "Err");
            cr_assert(choir_view_str(last, &text));
            break;
        case 4: cr_assert(choir_view_str(last, &text)); break;
        case 5: cr_assert_eq(choir_view_kind(last), 0); break;
        default: cr_assert(choir_view_kind(v) == CHOIR_KIND_U32 && choir_view_u64(v, &u) && u == 5); break;
        }
    }
    close_env(&d);
}

/* --- services --- */

static const choir_method *testbed_method(const char *name) {
    uint32_t index;
    cr_assert_eq(choir_service_find(&testbed, str(name), &index), CHOIR_OK);
    return &testbed.methods[index];
}

Test(dynamic, a_service_announces_what_its_unit_says) {
    dynamic_env d;
    open_env(&d);
    const choir_method *gnarly = testbed_method("echo_gnarly");
    const choir_service *made;
    const choiri_prepared *prepared, *own;
    choiri_text text;
    char why[100] = "";
    cr_assert_eq(choir_service_make(d.s.env, CHOIR_STR("Testbed"), CHOIR_STR("echo_gnarly"), testbed.unit,
                                    gnarly->args, &made, why, sizeof why),
                 CHOIR_OK, "%s", why);
    cr_assert_eq(choiri_prepare(d.s.env, made, &prepared, &text), CHOIR_OK);
    cr_assert_eq(choiri_prepare(d.s.env, &testbed, &own, &text), CHOIR_OK);
    cr_assert_eq(prepared->methods[0].id, gnarly->id);
    const choiri_schema_set *expected = NULL;
    for (uint32_t i = 0; i < own->methods_len; i++)
        if (own->methods[i].id == gnarly->id) expected = &own->methods[i].args;
    test_bytes a = test_first_payload(d.s.env, &prepared->methods[0].args);
    test_bytes b = test_first_payload(d.s.env, expected);
    test_bytes_eq(test_span(a), test_span(b), "announced");
    cr_assert_eq(prepared->methods[0].response.parts_len, 0);
    free(a.data);
    free(b.data);
    expect_str(choir_service_name(made), "Testbed");
    expect_str(choir_method_name(made, 0), "echo_gnarly");
    /* Without arguments. */
    cr_assert_eq(choir_service_make(d.s.env, CHOIR_STR("Any"), CHOIR_STR("thing"), NULL, 0, &made, NULL, 0),
                 CHOIR_OK);
    cr_assert_eq(made->unit->types[made->methods[0].args].kind, CHOIR_KIND_UNIT);
    close_env(&d);
}

/* As a program that forwards has them: by the thousand, each for a while. */
Test(dynamic, services_come_and_go) {
    enum { SERVICES = 3000 };
    static const choir_service *made[SERVICES];
    dynamic_env d;
    open_env(&d);
    choir_env *env = d.s.env;
    const choiri_prepared *prepared;
    choiri_text text;
    cr_assert_eq(choiri_prepare(env, &testbed, &prepared, &text), CHOIR_OK);
    uint64_t full = 0;
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < SERVICES; i++) {
            char name[16];
            snprintf(name, sizeof name, "m%u", i);
            cr_assert_eq(choir_service_make(env, CHOIR_STR("Any"), str(name), NULL, 0, &made[i], NULL, 0),
                         CHOIR_OK);
        }
        if (round == 1) cr_assert_eq(choir_env_memory(env), full, "nothing was kept of the first ones");
        full = choir_env_memory(env);
        for (uint32_t i = 0; i < SERVICES; i++) {
            char name[16];
            snprintf(name, sizeof name, "m%u", i);
            cr_assert_eq(choiri_prepare(env, made[i], &prepared, &text), CHOIR_OK);
            cr_assert_eq(prepared->desc, made[i]);
            expect_str(choir_method_name(made[i], 0), name);
        }
        for (uint32_t i = 0; i < SERVICES; i++) cr_assert_eq(choir_service_free(env, made[i]), CHOIR_OK);
        cr_assert_eq(choir_service_free(env, made[0]), CHOIR_ERR_NOT_FOUND);
    }
    cr_assert_eq(choir_service_free(env, NULL), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_service_free(NULL, &testbed), CHOIR_ERR_INVALID);
    /* One that is compiled in is forgotten, and prepared anew. */
    cr_assert_eq(choir_service_free(env, &testbed), CHOIR_OK);
    cr_assert_eq(choir_service_free(env, &testbed), CHOIR_ERR_NOT_FOUND);
    cr_assert_eq(choiri_prepare(env, &testbed, &prepared, &text), CHOIR_OK);
    close_env(&d);
}

Test(dynamic, a_service_that_is_wrong) {
    dynamic_env d;
    open_env(&d);
    static char long_name[1026];
    memset(long_name, 'x', sizeof long_name);
    const struct {
        choir_str service, method;
        uint32_t args;
        const char *why;
    } cases[] = {
        {CHOIR_STR(""), CHOIR_STR("m"), 0, "not be empty"},
        {CHOIR_STR("S"), CHOIR_STR(""), 0, "not be empty"},
        {CHOIR_STR("S"), CHOIR_STR("\xc3\xa9"), 0, "ASCII"},
        {CHOIR_STR("S"), CHOIR_STR("a\0b"), 0, "the descriptor has the id"},
        {CHOIR_STR("S"), {long_name, 1025}, 0, "longer than 1024"},
        {CHOIR_STR("S"), CHOIR_STR("m"), UINT32_MAX, "not in the unit"},
        {CHOIR_STR("S"), CHOIR_STR("m"), 1, "neither a tuple nor unit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const choir_service *made = NULL;
        char why[200] = "";
        const choir_unit *u = rust_types[0].root.unit; /* bool */
        cr_assert_eq(choir_service_make(d.s.env, cases[i].service, cases[i].method, i < 5 ? NULL : u,
                                        i == 6 ? rust_types[0].root.type : cases[i].args, &made, why,
                                        sizeof why),
                     CHOIR_ERR_INVALID, "%zu", i);
        cr_assert(!made && strstr(why, cases[i].why), "%s", why);
    }
    close_env(&d);
}

Test(dynamic, a_service_without_memory) {
    uint64_t n = 0, failed;
    do {
        dynamic_env d;
        open_env(&d);
        const choir_service *made = NULL;
        d.s.alloc.fail_at = d.s.alloc.calls + ++n;
        int status = choir_service_make(d.s.env, CHOIR_STR("Testbed"), CHOIR_STR("echo_gnarly"), testbed.unit,
                                        testbed_method("echo_gnarly")->args, &made, NULL, 0);
        failed = d.s.alloc.failed;
        cr_assert_eq(status, failed > 0 ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        cr_assert_eq(made != NULL, status == CHOIR_OK);
        close_env(&d);
    } while (failed > 0);
    cr_assert_gt(n, 3);
}
