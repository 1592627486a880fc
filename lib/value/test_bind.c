/* SPDX-License-Identifier: MIT */
/* Ends of channels go through a binder, in both codecs and both directions,
 * wherever they are in a value. */
#include "test_values.h"
#include "value/msgpack.h"

#include <criterion/criterion.h>

#define ENDS 10u

/* Every place that an end can be in, in the order of the wire; its number is
 * its place in this list. */
static const char *const places[ENDS + 1] = {
    "", "tx", "opt", "list[0]", "list[1]", "pick.Two.b", "res.Ok", "boxed", "arr[0]", "arr[1]", "map[0].1",
};
static const char all[] = "ff"      /* lead */
                          "01"      /* tx */
                          "0102"    /* opt: Some */
                          "020304"  /* list of two */
                          "020905"  /* pick: Two { a: 9, b } */
                          "0006"    /* res: Ok */
                          "07"      /* boxed */
                          "0809"    /* arr */
                          "01630a"; /* map: 99 => */

typedef struct recorder {
    uint32_t calls, fail_at; /* this call (1-based) is refused; 0 is none */
    int status;              /* with this */
    uint64_t numbers[ENDS + 1];
    uint32_t kinds[ENDS + 1];
} recorder;

static int record(recorder *r, const choir_binding_site *site, uint64_t number) {
    cr_assert_lt(r->calls, ENDS);
    cr_assert_eq(site->unit->types[site->type].kind, site->kind);
    r->numbers[r->calls] = number;
    r->kinds[r->calls++] = site->kind;
    return r->calls == r->fail_at ? r->status : CHOIR_OK;
}

static int bind(void *ctx, const choir_binding_site *site, uint64_t number, void *ret_handle) {
    int status = record(ctx, site, number);
    if (status == CHOIR_OK) *(uint64_t *)ret_handle = 1000 + number;
    return status;
}

static int unbind(void *ctx, const choir_binding_site *site, const void *handle, uint64_t *ret_number) {
    uint64_t number = *(const uint64_t *)handle - 1000;
    int status = record(ctx, site, number);
    if (status == CHOIR_OK) *ret_number = number;
    return status;
}

static choir_binder binder_of(recorder *r) {
    return (choir_binder){.size = sizeof(choir_binder), .ctx = r, .bind = bind, .unbind = unbind};
}

static uint32_t setup(values *v) {
    test_types_declare(v->ts, "enum Pick { Nothing, One(Rx<u32>), Two { a: u8, b: Tx<u32> } }");
    test_types_declare(v->ts, "struct Deep { lead: u8, tx: Tx<u32>, opt: "
                              "Option<Rx<String>>, list: Vec<Tx<u32>>, "
                              "pick: Pick, res: Result<Rx<u8>, u8>, boxed: "
                              "Box<Tx<u32>>, arr: [Tx<u8>; 2], "
                              "map: HashMap<u8, Rx<u8>> }");
    return test_types_find(v->ts, "Deep");
}

typedef struct codec {
    const char *name;
    void (*encode)(choiri_writer *w, const choir_unit *u, uint32_t type, const void *value);
    int (*decode)(choiri_reader *r, const choir_unit *u, uint32_t type, choiri_arena *arena, void *ret_value,
                  choiri_text *ret_text);
} codec;

static const codec codecs[] = {
    {"postcard", choiri_value_encode, choiri_value_decode},
    {"msgpack", choiri_msgpack_encode, choiri_msgpack_decode},
};
#define CODECS (choiri_msgpack_is_built() ? 2u : 1u)

static int encode(values *v, const codec *c, uint32_t type, const void *value, const choir_binder *binder,
                  choir_bytes *ret) {
    choiri_outq q;
    choiri_writer w;
    choir_iov iov;
    choiri_outq_init(&q, v->env);
    choiri_writer_init(&w, &q, NULL);
    w.binder = binder;
    c->encode(&w, &v->ts->unit, type, value);
    int status = choiri_writer_finish(&w);
    if (status == CHOIR_OK && ret) {
        cr_assert_eq(choiri_outq_peek(&q, 0, UINT64_MAX, &iov, 1), 1);
        *ret = (choir_bytes){memcpy(values_alloc(v, iov.len), iov.base, iov.len), iov.len};
    }
    choiri_outq_deinit(&q);
    return status;
}

static int decode(values *v, const codec *c, uint32_t type, choir_bytes bytes, const choir_binder *binder,
                  void *value, choiri_text *text) {
    choiri_reader r = choiri_reader_of(bytes);
    r.binder = binder;
    return c->decode(&r, &v->ts->unit, type, &v->arena, value, text);
}

/* The value in this codec, as a peer sends it: with numbers. */
static choir_bytes sent(values *v, const codec *c, uint32_t type) {
    choir_bytes bytes;
    void *value = values_room(v, type);
    cr_assert_eq(decode(v, &codecs[0], type, values_hex(v, all), NULL, value, NULL), CHOIR_OK);
    cr_assert_eq(encode(v, c, type, value, NULL, &bytes), CHOIR_OK);
    return bytes;
}

static void check_recorded(const recorder *r, uint32_t calls) {
    cr_assert_eq(r->calls, calls);
    for (uint32_t i = 0; i < calls; i++) {
        uint64_t number = i + 1;
        bool is_rx = number == 2 || number == 6 || number == 10;
        cr_assert_eq(r->numbers[i], number);
        cr_assert_eq(r->kinds[i], is_rx ? CHOIR_KIND_RX : CHOIR_KIND_TX);
    }
}

/* Handles inside, numbers outside. */
Test(bind, everywhere_in_both_directions) {
    values *v = values_new();
    uint32_t type = setup(v);
    for (uint32_t i = 0; i < CODECS; i++) {
        recorder in = {0}, out = {0};
        const choir_binder binding = binder_of(&in), unbinding = binder_of(&out);
        choir_bytes bytes = sent(v, &codecs[i], type), again, shown;
        void *value = values_room(v, type);
        cr_assert_eq(decode(v, &codecs[i], type, bytes, &binding, value, NULL), CHOIR_OK);
        check_recorded(&in, ENDS);
        /* Without a binder it is handles that are written. */
        cr_assert_eq(encode(v, &codecs[0], type, value, NULL, &shown), CHOIR_OK);
        cr_assert_eq(shown.data[1], (1001 & 0x7f) | 0x80);
        cr_assert_eq(shown.data[2], 1001 >> 7);
        cr_assert_eq(encode(v, &codecs[i], type, value, &unbinding, &again), CHOIR_OK);
        check_recorded(&out, ENDS);
        cr_assert(values_equal(bytes, again), "%s", codecs[i].name);
    }
    values_free(v);
}

/* None is no end. */
Test(bind, what_is_not_there_is_not_bound) {
    values *v = values_new();
    uint32_t type = (setup(v), test_types_find(v->ts, "(Option<Tx<u8>>, Vec<Rx<u8>>, Pick)"));
    for (uint32_t i = 0; i < CODECS; i++) {
        recorder r = {0};
        const choir_binder binder = binder_of(&r);
        void *value = values_room(v, type);
        choir_bytes bytes;
        cr_assert_eq(decode(v, &codecs[0], type, values_hex(v, "000000"), &binder, value, NULL), CHOIR_OK);
        cr_assert_eq(encode(v, &codecs[i], type, value, &binder, &bytes), CHOIR_OK);
        cr_assert_eq(decode(v, &codecs[i], type, bytes, &binder, value, NULL), CHOIR_OK);
        cr_assert_eq(r.calls, 0);
    }
    values_free(v);
}

static const int statuses[] = {CHOIR_ERR_MALFORMED, CHOIR_ERR_NOT_FOUND, CHOIR_ERR_STATE,
                               CHOIR_ERR_TOO_LARGE, CHOIR_ERR_NO_MEMORY, CHOIR_ERR_UNSUPPORTED,
                               CHOIR_ERR_INVALID};

static void check_refused(values *v, const codec *c, uint32_t type, uint32_t n, int status) {
    recorder in = {.fail_at = n, .status = status}, good = {0}, out = in;
    const choir_binder binding = binder_of(&in), ok = binder_of(&good), unbinding = binder_of(&out);
    choir_bytes bytes = sent(v, c, type);
    void *value = values_room(v, type);
    choiri_text text;
    char place[32];
    cr_assert_eq(decode(v, c, type, bytes, &binding, value, &text), status, "%s, end %u", c->name, n);
    check_recorded(&in, n);
    snprintf(place, sizeof place, "%s: ", places[n]);
    cr_assert(strncmp(text.data, place, strlen(place)) == 0, "%s: %s", c->name, text.data);
    cr_assert(strstr(text.data, status == CHOIR_ERR_MALFORMED ? "malformed " : choir_status_text(status)),
              "%s", text.data);
    value = values_room(v, type);
    cr_assert_eq(decode(v, c, type, bytes, &ok, value, NULL), CHOIR_OK);
    cr_assert_eq(encode(v, c, type, value, &unbinding, NULL), status);
    check_recorded(&out, n);
}

/* The status is the binder's, the text says where, and nobody is asked again.
 */
Test(bind, each_call_is_refused) {
    values *v = values_new();
    uint32_t type = setup(v);
    for (uint32_t i = 0; i < CODECS; i++)
        for (uint32_t n = 1; n <= ENDS; n++)
            for (size_t s = 0; s < sizeof statuses / sizeof statuses[0]; s++)
                check_refused(v, &codecs[i], type, n, statuses[s]);
    values_free(v);
}

/* What is cut or no number is refused before the binder hears of it. */
Test(bind, bad_numbers_are_not_shown_to_it) {
    values *v = values_new();
    uint32_t type = test_types_find(v->ts, "Tx<u8>");
    static const struct row {
        uint32_t codec;
        const char *hex;
        int status;
        const char *text;
    } rows[] = {
        {0, "", CHOIR_ERR_TRUNCATED, "truncated "},
        {0, "ff", CHOIR_ERR_TRUNCATED, "truncated "},
        {0, "ffffffffffffffffff02", CHOIR_ERR_MALFORMED, "malformed "},
        {1, "cd01", CHOIR_ERR_TRUNCATED, "truncated msgpack"},
        {1, "ff", CHOIR_ERR_MALFORMED, "found a number below 0"},
        {1, "a131", CHOIR_ERR_MALFORMED, "found a str"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        recorder r = {0};
        const choir_binder binder = binder_of(&r);
        choiri_text text;
        choir_tx tx;
        if (rows[i].codec >= CODECS) continue;
        cr_assert_eq(decode(v, &codecs[rows[i].codec], type, values_hex(v, rows[i].hex), &binder, &tx, &text),
                     rows[i].status);
        cr_assert(strstr(text.data, rows[i].text), "%s", text.data);
        cr_assert_eq(r.calls, 0);
    }
    values_free(v);
}

/* Without memory the binder has seen what came before the first thing that
 * needed some, and no more. */
Test(bind, memory_runs_out) {
    values *v = values_new();
    uint32_t type = setup(v);
    for (uint32_t i = 0; i < CODECS; i++) {
        recorder in = {0}, good = {0}, out = {0};
        const choir_binder binding = binder_of(&in), ok = binder_of(&good), unbinding = binder_of(&out);
        choir_bytes bytes = sent(v, &codecs[i], type);
        void *value = values_room(v, type);
        choiri_text text;
        choiri_arena none;
        choiri_reader r = choiri_reader_of(bytes);
        choiri_arena_init(&none, v->env, NULL, 0, 0);
        r.binder = &binding;
        int status = codecs[i].decode(&r, &v->ts->unit, type, &none, value, &text);
        cr_assert_eq(status, CHOIR_ERR_TOO_LARGE);
        check_recorded(&in, 2); /* the list needs memory */
        cr_assert_str_eq(text.data, "list: over the memory limit");

        cr_assert_eq(decode(v, &codecs[i], type, bytes, &ok, value, NULL), CHOIR_OK);
        test_alloc alloc = {.fail_at = 0};
        choir_env *env = test_env(&alloc);
        alloc.fail_at = alloc.calls + 1;
        alloc.fail_after = true;
        choiri_outq q;
        choiri_writer w;
        choiri_outq_init(&q, env);
        choiri_writer_init(&w, &q, NULL);
        w.binder = &unbinding;
        codecs[i].encode(&w, &v->ts->unit, type, value);
        cr_assert_eq(choiri_writer_finish(&w), CHOIR_ERR_NO_MEMORY);
        check_recorded(&out, 0); /* there was no room for the byte in front of them */
        choiri_outq_deinit(&q);
        choir_env_free(env);
        cr_assert_eq(alloc.bytes, 0);
    }
    values_free(v);
}
