/* SPDX-License-Identifier: MIT */
/* The conversations of lib/testing/scenarios.c, as they must go: the expected events on both sides, whatever
 * the pieces in which bytes move and with both framings, with the same bytes; and with every allocation
 * failing in turn. All of it in both codecs: the events are the same, only the payloads in them are spelled
 * differently. */
#include "protocol/message_msgpack.h"
#include "testing/scenarios.h"
#include "wire/msgpack.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the test that runs: each is a process of its own. */
static uint32_t codec = CHOIR_CODEC_POSTCARD;

static void use_msgpack(void) {
    if (!choiri_msgpack_is_built()) cr_skip_test("built without msgpack");
    codec = CHOIR_CODEC_MSGPACK;
}

static void init(test_pair *p) {
    test_pair_init(p);
    p->client_options.codec = codec;
}

/* Without the payloads, which are the last word of lines that tell of a request, or of a call that was
 * answered. */
static char *without_payloads(const char *log) {
    char *copy = malloc(strlen(log) + 1), *to = copy;
    while (*log) {
        const char *end = strchr(log, '\n'), *cut = end;
        bool request = strncmp(log, "request ", 8) == 0, done = strncmp(log, "call-done ", 10) == 0;
        while (cut > log && cut[-1] != ' ') cut--;
        bool hex = cut < end && strspn(cut, "0123456789abcdef.") == (size_t)(end - cut);
        size_t len = (size_t)((request || done) && hex ? cut - 1 - log : end - log);
        memcpy(to, log, len);
        to[len] = '\n';
        to += len + 1;
        log = end + 1;
    }
    *to = 0;
    return copy;
}

/* When a request is done depends on when the link takes its answer, and so on the pieces: those lines come
 * last, in their order. That each comes before the end of its connection is watched by testing/events.h. */
static char *dones_last(const char *log) {
    char *copy = malloc(strlen(log) + 1), *to = copy;
    for (int dones = 0; dones < 2; dones++) {
        for (const char *at = log, *end; *at; at = end) {
            end = strchr(at, '\n') + 1;
            if ((strncmp(at, "request-done ", 13) == 0) != dones) continue;
            memcpy(to, at, (size_t)(end - at));
            to += end - at;
        }
    }
    *to = 0;
    return copy;
}

static bool same_log(const char *log, const char *expected) {
    char *a = dones_last(log), *b = dones_last(expected);
    if (codec != CHOIR_CODEC_POSTCARD) {
        char *c = without_payloads(a), *d = without_payloads(b);
        free(a);
        free(b);
        a = c;
        b = d;
    }
    bool same = strcmp(a, b) == 0;
    free(a);
    free(b);
    return same;
}

static void expect_events(void) {
    for (size_t i = 0; i < test_scenarios_len; i++) {
        const test_scenario *sc = &test_scenarios[i];
        test_pair p;
        init(&p);
        cr_assert(test_scenario_run(sc, &p), "%s", sc->name);
        cr_assert(same_log(p.client.events.log, sc->client), "%s, client:\n%s", sc->name,
                  p.client.events.log);
        cr_assert(same_log(p.server.events.log, sc->server), "%s, server:\n%s", sc->name,
                  p.server.events.log);
        cr_assert(p.client.events.closed && p.server.events.closed);
        cr_assert_eq(test_pair_deinit(&p), 0, "%s leaks", sc->name);
    }
}

Test(scenarios, events_are_the_expected_ones) {
    expect_events();
}
Test(scenarios, msgpack_events_are_the_expected_ones) {
    use_msgpack();
    expect_events();
}

/* ---- the same in other pieces ---- */

static bool same_bytes(const test_side *a, const test_side *b) {
    return a->sent_len == b->sent_len && memcmp(a->sent, b->sent, a->sent_len) == 0;
}

static size_t frame_size(const uint8_t *at) {
    return 4u + (size_t)(at[0] | at[1] << 8 | at[2] << 16 | at[3] << 24);
}

/* How often one frame is among those that a side has sent. */
static size_t count_frame(const test_side *side, const uint8_t *frame) {
    size_t n = 0, size = frame_size(frame);
    for (size_t at = 0; at < side->sent_len; at += frame_size(side->sent + at))
        n += frame_size(side->sent + at) == size && memcmp(side->sent + at, frame, size) == 0;
    return n;
}

static bool same_frames(const test_side *a, const test_side *b) {
    if (a->sent_len != b->sent_len) return false;
    for (size_t at = 0; at < a->sent_len; at += frame_size(a->sent + at))
        if (count_frame(a, a->sent + at) != count_frame(b, a->sent + at)) return false;
    return true;
}

static void compare_with_whole(int split, uint64_t seed, bool none) {
    for (size_t i = 0; i < test_scenarios_len; i++) {
        const test_scenario *sc = &test_scenarios[i];
        test_pair whole, p;
        init(&whole);
        cr_assert(test_scenario_run(sc, &whole));
        init(&p);
        p.split = split;
        p.seed = seed;
        p.whole_payloads = none;
        cr_assert(test_scenario_run(sc, &p));
        cr_assert(same_log(p.client.events.log, sc->client), "%s, client:\n%s", sc->name,
                  p.client.events.log);
        cr_assert(same_log(p.server.events.log, sc->server), "%s, server:\n%s", sc->name,
                  p.server.events.log);
        bool (*same)(const test_side *, const test_side *) = sc->pongs_float ? same_frames : same_bytes;
        cr_assert(same(&whole.client, &p.client), "%s: the client sent other bytes", sc->name);
        cr_assert(same(&whole.server, &p.server), "%s: the server sent other bytes", sc->name);
        test_pair_deinit(&whole);
        cr_assert_eq(test_pair_deinit(&p), 0, "%s leaks", sc->name);
    }
}

Test(scenarios, byte_by_byte_is_the_same) {
    compare_with_whole(1, 1, false);
}
Test(scenarios, random_pieces_are_the_same) {
    for (uint64_t seed = 1; seed <= 5; seed++) compare_with_whole(-1, seed, false);
}
Test(scenarios, pieces_of_7_are_the_same) {
    compare_with_whole(7, 1, false);
}
Test(scenarios, framing_none_is_the_same) {
    compare_with_whole(0, 1, true);
}
Test(scenarios, msgpack_in_pieces_is_the_same) {
    use_msgpack();
    compare_with_whole(1, 1, false);
    compare_with_whole(7, 1, false);
    compare_with_whole(-1, 1, false);
    compare_with_whole(0, 1, true);
}

/* ---- failing allocations ---- */

static size_t count_line(const char *log, const char *line, size_t len) {
    size_t n = 0;
    for (const char *end; *log; log = end + 1) {
        end = strchr(log, '\n');
        n += (size_t)(end - log) == len && memcmp(log, line, len) == 0;
    }
    return n;
}

/* Does a line tell of something that went wrong: the error of a function, or an end that nobody asked for? */
static bool is_bad(const char *line, size_t len) {
    static const char *const bad[] = {"ERR_",      "invalid payload", "send failed",   "connection closed",
                                      "timed out", "cancelled",       "unknown method"};
    char copy[512];
    snprintf(copy, sizeof copy, "%.*s", (int)len, line);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (strstr(copy, bad[i])) return true;
    return false;
}

/* Is there a bad line that should not be there? */
static bool has_error(const char *log, const char *expected) {
    const char *end;
    for (const char *line = log; *line; line = end + 1) {
        end = strchr(line, '\n');
        size_t len = (size_t)(end - line);
        if (is_bad(line, len) && count_line(log, line, len) > count_line(expected, line, len)) return true;
    }
    return false;
}

/* What both sides have sent and what is left of it. Hints are Cancel and Pong: nothing depends on them, so
 * without memory the first is left out and the second waits. */
typedef struct sent_kinds {
    size_t refusals; /* answers SendFailed: a caller that has given up meanwhile does not report them */
    size_t hints;
    size_t hanging; /* calls without an end */
} sent_kinds;

/* What a payload says; false when it is a prologue or a handshake. */
static bool read_message(test_pair *p, choir_bytes payload, choiri_message *ret) {
    if (codec == CHOIR_CODEC_POSTCARD) return choiri_message_decode(payload, ret) == CHOIR_OK;
    choiri_arena arena;
    choiri_arena_init(&arena, p->env, NULL, 0, 1u << 20);
    bool ok = choiri_msgpack_message_decode(payload, &arena, ret) == CHOIR_OK;
    choiri_arena_reset(&arena);
    return ok;
}

static bool is_refusal(choir_bytes ret) {
    static const char msgpack[] = "\x81\xa3"
                                  "Err\xaaSendFailed";
    if (codec == CHOIR_CODEC_POSTCARD) return ret.len == 2 && memcmp(ret.data, "\x01\x06", 2) == 0;
    return ret.len == sizeof msgpack - 1 && memcmp(ret.data, msgpack, ret.len) == 0;
}

static void count_sent(test_pair *p, const test_side *side, sent_kinds *ret) {
    choiri_message m;
    uint64_t fail_at = p->alloc.fail_at;
    p->alloc.fail_at = 0; /* what is looked at here is not under test */
    for (size_t at = 0; at + 4 <= side->sent_len; at += frame_size(side->sent + at)) {
        choir_bytes payload = {side->sent + at + 4, frame_size(side->sent + at) - 4};
        if (at + 4 + payload.len > side->sent_len || !read_message(p, payload, &m)) continue;
        bool request = m.kind == CHOIRI_MSG_REQUEST;
        if (request && m.body == CHOIRI_BODY_RESPONSE && is_refusal(m.payload)) ret->refusals++;
        if (m.kind == CHOIRI_MSG_PONG || (request && m.body == CHOIRI_BODY_CANCEL)) ret->hints++;
    }
    p->alloc.fail_at = fail_at;
}

static sent_kinds sent_by_both(test_pair *p) {
    sent_kinds kinds = {.hanging = p->hanging};
    count_sent(p, &p->client, &kinds);
    count_sent(p, &p->server, &kinds);
    return kinds;
}

typedef struct outcome {
    bool made;
    uint64_t calls, failed, left; /* left: bytes */
} outcome;

/* Runs with allocation number `n` failing, and all later ones if `after`. The watchman of the events checks
 * that each object ends once; whatever happened, both sessions have closed at the end. */
static outcome run_failing(const test_scenario *sc, uint64_t n, bool after, sent_kinds normal) {
    test_pair p;
    init(&p);
    p.alloc.fail_at = n;
    p.alloc.fail_after = after;
    outcome o = {.made = test_scenario_run(sc, &p)};
    const char *client = p.client.events.log, *server = p.server.events.log;
    cr_assert(!p.client.session || p.client.events.closed);
    cr_assert(!p.server.session || p.server.events.closed);
    bool same = same_log(client, sc->client) && same_log(server, sc->server);
    sent_kinds sent = sent_by_both(&p);
    bool excused = sent.refusals > normal.refusals || sent.hints < normal.hints;
    bool error = !o.made || p.client.status != CHOIR_OK || p.server.status != CHOIR_OK ||
                 has_error(client, sc->client) || has_error(server, sc->server);
    cr_assert(same || error || excused,
              "%s, allocation %llu: other events and no error\n-- client\n%s-- server\n%s", sc->name,
              (unsigned long long)n, client, server);
    cr_assert_leq(p.hanging, normal.hanging, "%s, allocation %llu: %zu calls hang", sc->name,
                  (unsigned long long)n, p.hanging);
    o.calls = p.alloc.calls;
    o.failed = p.alloc.failed;
    o.left = test_pair_deinit(&p);
    return o;
}

static void fail_each(bool after) {
    uint64_t total = 0;
    for (size_t i = 0; i < test_scenarios_len; i++) {
        const test_scenario *sc = &test_scenarios[i];
        test_pair p;
        init(&p);
        cr_assert(test_scenario_run(sc, &p));
        sent_kinds normal = sent_by_both(&p);
        test_pair_deinit(&p);
        uint64_t n = 1;
        for (;; n++) {
            outcome o = run_failing(sc, n, after, normal);
            cr_assert_eq(o.left, 0, "%s, allocation %llu: %llu bytes are left", sc->name,
                         (unsigned long long)n, (unsigned long long)o.left);
            if (o.failed == 0) break;
        }
        printf("%s: %llu allocations failed in turn\n", sc->name, (unsigned long long)(n - 1));
        cr_assert_gt(n, 20);
        total += n - 1;
    }
    printf("%llu runs\n", (unsigned long long)total);
}

Test(scenarios, every_allocation_fails_once) {
    fail_each(false);
}
Test(scenarios, memory_runs_out_for_good) {
    fail_each(true);
}
Test(scenarios, msgpack_every_allocation_fails_once) {
    use_msgpack();
    fail_each(false);
}
Test(scenarios, msgpack_memory_runs_out_for_good) {
    use_msgpack();
    fail_each(true);
}
