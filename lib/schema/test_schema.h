/* SPDX-License-Identifier: MIT */
/* What the tests of wire schemas share: an env that counts, written bytes in one piece, payloads, and
 * comparing bytes with a text that says where they differ. */
#ifndef CHOIRI_TEST_SCHEMA_H
#define CHOIRI_TEST_SCHEMA_H

#include "schema/extract.h"
#include "schema/recv_tracker.h"
#include "testing/alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t test_seed[2] = {11, 12};

typedef struct schema_env {
    test_alloc alloc;
    choir_env *env;
} schema_env;

static inline void schema_env_open(schema_env *s) {
    *s = (schema_env){0};
    s->env = test_env(&s->alloc);
}

static inline void schema_env_close(schema_env *s) {
    choir_env_free(s->env);
    cr_assert_eq(s->alloc.bytes, 0, "%llu bytes are left", (unsigned long long)s->alloc.bytes);
}

/* Bytes that a test owns. */
typedef struct test_bytes {
    uint8_t *data;
    size_t len;
} test_bytes;

static inline choir_bytes test_span(test_bytes b) {
    return (choir_bytes){b.data, b.len};
}

/* Takes everything out of a queue; free(ret.data). */
static inline test_bytes test_take(choiri_outq *q) {
    size_t len = (size_t)q->bytes;
    test_bytes b = {malloc(len + 1), len};
    cr_assert(b.data);
    cr_assert_eq(choiri_outq_copy(q, 0, b.data, b.len), b.len);
    choiri_outq_deinit(q);
    return b;
}

/* What a tracker writes, without the length in front, which is checked. */
static inline test_bytes test_payload(choir_env *env, const choiri_send_tracker *t,
                                      const choiri_schema_set *a) {
    choiri_outq q;
    choiri_writer w;
    choiri_outq_init(&q, env);
    choiri_writer_init(&w, &q, NULL);
    choiri_send_tracker_write(t, a, &w);
    cr_assert_eq(choiri_writer_finish(&w), CHOIR_OK);
    test_bytes all = test_take(&q);
    choiri_outq_deinit(&q);
    choiri_reader r = choiri_reader_of(test_span(all));
    choir_bytes payload = {NULL, 0};
    cr_assert(choiri_read_bytes(&r, &payload));
    cr_assert_eq(choiri_reader_left(&r), 0, "the length in front is not that of the payload");
    memmove(all.data, payload.data, payload.len);
    all.len = payload.len;
    return all;
}

/* The complete payload of one announcement. */
static inline test_bytes test_first_payload(choir_env *env, const choiri_schema_set *a) {
    choiri_send_tracker t;
    choiri_send_tracker_init(&t, env, test_seed);
    test_bytes b = test_payload(env, &t, a);
    choiri_send_tracker_deinit(&t);
    return b;
}

static inline void test_bytes_eq(choir_bytes got, choir_bytes expected, const char *what) {
    size_t at = 0;
    while (at < got.len && at < expected.len && got.data[at] == expected.data[at]) at++;
    cr_assert(at == got.len && at == expected.len, "%s: %zu bytes instead of %zu, different at %zu: %.*s",
              what, got.len, expected.len, at,
              (int)(got.len > at ? (got.len - at > 60 ? 60 : got.len - at) : 0), (const char *)got.data + at);
}

/* Diagnostic-like text to CBOR: {..} maps, [..] arrays, "..." or 'word' texts, numbers, true and false. A
 * count in front of a bracket, as in #9[, is written instead of the true one. Whatever it is, it must fit. */
typedef struct test_cbor_text {
    uint8_t *data;
    size_t len, cap;
} test_cbor_text;

static inline void test_put(test_cbor_text *c, const void *data, size_t len) {
    if (c->len + len > c->cap) {
        c->cap = 2 * (c->cap + len);
        c->data = realloc(c->data, c->cap);
        cr_assert(c->data);
    }
    memcpy(c->data + c->len, data, len);
    c->len += len;
}

static inline void test_put_head(test_cbor_text *c, unsigned major, uint64_t value) {
    uint8_t head[9] = {(uint8_t)(major << 5 | 27)};
    if (value < 24) {
        head[0] = (uint8_t)(major << 5 | value);
        test_put(c, head, 1);
        return;
    }
    for (int i = 0; i < 8; i++) head[8 - i] = (uint8_t)(value >> 8 * i); /* not the shortest form: allowed */
    test_put(c, head, 9);
}

static inline void test_put_word(test_cbor_text *c, const char *word) {
    test_put_head(c, 3, strlen(word));
    test_put(c, word, strlen(word));
}

static inline const char *test_put_item(test_cbor_text *c, const char *p);

static inline const char *test_put_items(test_cbor_text *c, const char *p, char close, uint64_t announced) {
    test_cbor_text inner = {0};
    uint64_t count = 0;
    while (*p != close) {
        p = test_put_item(&inner, p);
        count++;
        while (*p == ' ' || *p == ',' || *p == ':') p++;
    }
    if (close == '}') cr_assert(count % 2 == 0);
    uint64_t shown = announced != UINT64_MAX ? announced : close == '}' ? count / 2 : count;
    test_put_head(c, close == '}' ? 5 : 4, shown);
    if (inner.len > 0) test_put(c, inner.data, inner.len);
    free(inner.data);
    return p + 1;
}

static inline const char *test_put_item(test_cbor_text *c, const char *p) {
    uint64_t announced = UINT64_MAX;
    while (*p == ' ') p++;
    if (*p == '#') {
        char *end;
        announced = strtoull(p + 1, &end, 10);
        p = end;
    }
    if (*p == '{' || *p == '[') return test_put_items(c, p + 1, *p == '{' ? '}' : ']', announced);
    if (*p >= '0' && *p <= '9') {
        char *end;
        test_put_head(c, 0, strtoull(p, &end, 0));
        return end;
    }
    if (*p == '!') { /* null */
        test_put(c, "\xf6", 1);
        return p + 1;
    }
    char word[64];
    size_t len = 0;
    while (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789", *p) && *p) {
        cr_assert(len < 63);
        word[len++] = *p++;
    }
    cr_assert(len > 0, "what is \"%s\"", p);
    word[len] = '\0';
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        test_put(c, word[0] == 't' ? "\xf5" : "\xf4", 1);
    } else {
        test_put_word(c, word);
    }
    return p;
}

/* The CBOR of a text, in memory of exactly its size, so that a read behind the end is found;
 * free(ret.data). */
static inline test_bytes test_cbor(const char *text) {
    test_cbor_text c = {0};
    const char *end = test_put_item(&c, text);
    cr_assert_eq(*end, '\0', "text behind the item: \"%s\"", end);
    test_bytes exact = {malloc(c.len), c.len};
    memcpy(exact.data, c.data, c.len);
    free(c.data);
    return exact;
}

#endif
