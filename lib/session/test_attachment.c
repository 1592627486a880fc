/* SPDX-License-Identifier: MIT */
/* Attachments: stages, interest, framings, output, deadlines of the link, ends, and what each function
 * answers when. */
#include "session/attachment.h"
#include "session/session.h"
#include "testing/pair.h"
#include "testing/peer.h"
#include "wire/msgpack.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t ignored[64];

static bool text_has(choir_str text, const char *part) {
    char copy[512];
    snprintf(copy, sizeof copy, "%.*s", (int)text.len, text.data);
    return strstr(copy, part) != NULL;
}

/* ---- life and wrong use ---- */

Test(attachment, options_are_checked) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_attachment *a = NULL;
    choir_attachment_options o;
    choir_attachment_options_init(&o);
    o.framing = 2;
    cr_assert_eq(choir_attachment_new_acceptor(env, &o, &a, 1), CHOIR_ERR_INVALID);
    choir_attachment_options_init(&o);
    o.max_payload = 63;
    cr_assert_eq(choir_attachment_new_acceptor(env, &o, &a, 1), CHOIR_ERR_INVALID);
    choir_attachment_options_init(&o);
    o.max_handshake = 63;
    cr_assert_eq(choir_attachment_new_acceptor(env, &o, &a, 1), CHOIR_ERR_INVALID);
    o.max_handshake = 1u << 30;
    cr_assert_eq(choir_attachment_new_acceptor(env, &o, &a, 1), CHOIR_ERR_INVALID);
    struct {
        choir_attachment_options o;
        uint64_t later;
    } longer;
    memset(&longer, 0, sizeof longer);
    choir_attachment_options_init(&longer.o);
    longer.o.size = sizeof longer;
    longer.later = 1;
    cr_assert_eq(choir_attachment_new_acceptor(env, &longer.o, &a, 1), CHOIR_ERR_INVALID, "unknown bytes");
    cr_assert_eq(choir_attachment_new_acceptor(NULL, NULL, &a, 1), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_attachment_new_acceptor(env, NULL, NULL, 1), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_attachment_new_initiator(env, NULL, NULL, &a, 1), CHOIR_ERR_INVALID);
    cr_assert_null(a);
    longer.later = 0;
    cr_assert_eq(choir_attachment_new_acceptor(env, &longer.o, &a, 1), CHOIR_OK);
    cr_assert_null(choir_attachment_session(a));
    choir_attachment_free(a, 1);
    choir_attachment_free(NULL, 1);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

Test(attachment, session_options_are_checked) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_session *s = NULL;
    choir_session_options o;
    choir_conn_options root;
    choir_metadata_entry entries[65] = {{.key = {"k", 1}, .type = CHOIR_METADATA_U64}};
    for (int bad = 0; bad < 6; bad++) {
        choir_session_options_init(&o);
        choir_conn_options_init(&root);
        o.root = &root;
        root.metadata = entries;
        if (bad == 0) o.codec = CHOIR_CODEC_MSGPACK + 1;
        if (bad == 1) root.max_concurrent_requests = 0;
        if (bad == 2) root.metadata_len = 65;
        if (bad == 3) root.metadata = NULL, root.metadata_len = 1;
        if (bad == 4) root.metadata_len = 1, entries[0].type = 3;
        choir_unit unit = *trial_service.unit;
        choir_service service = {&unit, trial_service.name, trial_service.methods_len, trial_service.methods};
        unit.abi = 77;
        if (bad == 5) root.call = &service;
        int status = choir_session_new(env, &o, &s, 1);
        cr_assert_eq(status, bad == 5 ? CHOIR_ERR_ABI : CHOIR_ERR_INVALID, "%d: %s", bad,
                     choir_status_name(status));
        cr_assert_null(s);
        entries[0].type = CHOIR_METADATA_U64;
    }
    choir_session_options_init(&o);
    choir_conn_options_init(&root);
    static char big[16384];
    memset(big, 'v', sizeof big);
    entries[0] = (choir_metadata_entry){.key = {"k", 1}, .bytes = {(const uint8_t *)big, sizeof big}};
    root.metadata = entries;
    root.metadata_len = 1;
    o.root = &root;
    cr_assert_eq(choir_session_new(env, &o, &s, 1), CHOIR_ERR_INVALID, "more than a peer of ours would take");
    choir_session_options_init(&o);
    o.codec = CHOIR_CODEC_MSGPACK;
    int status = choir_session_new(env, &o, &s, 1);
    cr_assert_eq(status, choiri_msgpack_is_built() ? CHOIR_OK : CHOIR_ERR_UNSUPPORTED);
    if (status == CHOIR_OK) {
        cr_assert_eq(choir_session_codec(s), CHOIR_CODEC_MSGPACK);
        choir_session_free(s);
    }
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

static int destroyed;
static void destroy(void *user_data) {
    cr_assert_eq(user_data, &destroyed);
    destroyed++;
}

Test(attachment, a_session_has_one_link) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_session_options o;
    choir_session_options_init(&o);
    o.user_data = &destroyed;
    o.destroy = destroy;
    choir_session *s;
    choir_attachment *a = NULL, *b = NULL;
    cr_assert_eq(choir_session_new(env, &o, &s, 1), CHOIR_OK);
    cr_assert_eq(choir_session_user_data(s), &destroyed);
    cr_assert_neq(choir_session_root(s).v, 0, "a handle even before the link");
    cr_assert_eq(choir_conn_peer_requests(s, choir_session_root(s)), 0);
    cr_assert_eq(choir_attachment_new_initiator(env, NULL, s, &a, 1), CHOIR_OK);
    cr_assert_eq(choir_attachment_session(a), s);
    cr_assert_eq(choir_attachment_new_initiator(env, NULL, s, &b, 1), CHOIR_ERR_STATE);
    choir_attachment_free(a, 1);
    cr_assert_eq(choir_attachment_new_initiator(env, NULL, s, &b, 1), CHOIR_ERR_STATE);
    cr_assert_null(b);
    cr_assert(choir_session_is_closed(s));
    cr_assert_eq(choir_session_status(s), CHOIR_ERR_LINK_LOST);
    cr_assert(text_has(choir_session_text(s), "the host let go of the link"));
    choir_session_free(s);
    cr_assert_eq(destroyed, 1);
    choir_session_free(NULL);

    cr_assert_eq(choir_session_new(env, NULL, &s, 1), CHOIR_OK);
    choir_session_close(s, 2);
    cr_assert_eq(choir_attachment_new_initiator(env, NULL, s, &b, 3), CHOIR_ERR_STATE, "it is closed");
    choir_session_free(s);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* Sessions freed at every stage, with events that nobody polled. */
Test(attachment, free_at_every_stage) {
    for (int initiator = 0; initiator <= 1; initiator++) {
        for (test_stage stage = TEST_STAGE_START; stage <= TEST_STAGE_OPEN; stage++) {
            if (initiator && stage == TEST_STAGE_HELLO) continue;
            for (int attachment_first = 0; attachment_first <= 1; attachment_first++) {
                test_peer p;
                test_peer_init(&p);
                p.initiator = initiator != 0;
                test_peer_open(&p, stage);
                if (attachment_first || !p.session) choir_attachment_free(p.attachment, p.now);
                p.attachment = NULL;
                choir_session_free(p.session);
                p.session = NULL;
                cr_assert_eq(test_peer_deinit(&p), 0, "initiator %d stage %d", initiator, stage);
            }
        }
    }
}

/* ---- stages ---- */

Test(attachment, acceptor_goes_through_its_stages) {
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    choir_attachment *a = p.attachment;
    size_t used = 7;
    cr_assert_eq(choir_attachment_interest(a), CHOIR_WANTS_INPUT);
    cr_assert_null(choir_attachment_hello(a));
    cr_assert_eq(
        choir_attachment_refuse(a, &(choir_reason){sizeof(choir_reason), CHOIR_STR("no"), NULL, 0}, p.now),
        CHOIR_ERR_STATE);
    cr_assert_eq(choir_attachment_accept(a, NULL, &p.session, p.now), CHOIR_ERR_STATE);
    cr_assert_eq(choir_attachment_receive(a, NULL, 1, NULL, &used, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_attachment_receive(a, ignored, 1, NULL, NULL, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_attachment_receive(NULL, ignored, 1, NULL, &used, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(used, 7, "untouched on failure");
    /* The Hello, by hand, so that nobody accepts it. */
    uint8_t hello[256] = {0};
    static const char body[] =
        "\xa1\x65Hello\xa3\x66parity\xa1\x64"
        "Even\xf6\x73"
        "connection_settings\xa2\x66parity\xa1\x63Odd\xf6\x77max_concurrent_requests\x07\x76"
        "message_payload_schema\x80";
    hello[0] = sizeof body - 1;
    memcpy(hello + 4, body, sizeof body - 1);
    cr_assert_eq(choir_attachment_receive(a, hello, sizeof body + 3, NULL, &used, p.now), CHOIR_OK);
    cr_assert_eq(used, sizeof body + 3);
    const choir_hello *h = choir_attachment_hello(a);
    cr_assert_not_null(h);
    cr_assert_eq(h->parity, 2);
    cr_assert_eq(h->max_concurrent_requests, 7);
    cr_assert_eq(h->supports_retry, 0);
    cr_assert_eq(h->metadata.count, 0);
    cr_assert_eq(choir_attachment_interest(a), 0, "nothing is read while a Hello waits");
    cr_assert_eq(choir_attachment_receive(a, hello, 1, NULL, &used, p.now), CHOIR_ERR_STATE);
    choir_session_options bad;
    choir_conn_options bad_root;
    choir_session_options_init(&bad);
    choir_conn_options_init(&bad_root);
    bad_root.max_concurrent_requests = 0;
    bad.root = &bad_root;
    cr_assert_eq(choir_attachment_accept(a, &bad, &p.session, p.now), CHOIR_ERR_INVALID);
    cr_assert_not_null(choir_attachment_hello(a), "it still waits");
    choir_reason reason = choir_reason_of((choir_str){"\xff", 1});
    cr_assert_eq(choir_attachment_refuse(a, &reason, p.now), CHOIR_ERR_INVALID);
    reason.text = (choir_str){NULL, 1};
    cr_assert_eq(choir_attachment_refuse(a, &reason, p.now), CHOIR_ERR_INVALID);
    reason = (choir_reason){.size = 1};
    cr_assert_eq(choir_attachment_refuse(a, &reason, p.now), CHOIR_ERR_INVALID);
    cr_assert_not_null(choir_attachment_hello(a), "it still waits");
    cr_assert_eq(choir_attachment_accept(a, &p.options, &p.session, p.now), CHOIR_OK);
    cr_assert_null(choir_attachment_hello(a));
    cr_assert_eq(choir_attachment_accept(a, &p.options, &p.session, p.now), CHOIR_ERR_STATE);
    cr_assert_eq(p.session->parity, CHOIRI_PARITY_ODD, "the opposite of the peer's");
    cr_assert_eq(choir_attachment_interest(a), CHOIR_WANTS_INPUT | CHOIR_HAS_OUTPUT);
    cr_assert(!choir_session_is_established(p.session));
    cr_assert_eq(test_peer_lets_go(&p), CHOIR_OK);
    cr_assert(choir_session_is_established(p.session));
    cr_assert_eq(choir_conn_peer_requests(p.session, choir_session_root(p.session)), 7);
    cr_assert_str_eq(p.events.log, "established\n");
    choir_bytes frame;
    cr_assert(test_peer_next_frame(&p, &frame) && frame.len > 7000, "HelloYourself");
    cr_assert(!test_peer_next_frame(&p, &frame));
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(attachment, evidence_is_told_once_and_in_time) {
    static const choir_evidence first = {.size = sizeof first, .scheme = {"tls", 3}, .peer = {"somebody", 8}};
    static const uint8_t prologue[] = {8, 0, 0, 0, 'V', 'O', 'T', 'H', 9, 0, 0, 0};
    for (int told = 0; told < 3; told++) {
        test_alloc alloc = {0};
        choir_env *env = test_env(&alloc);
        choir_attachment *a;
        choir_attachment_options o;
        size_t used;
        choir_attachment_options_init(&o);
        if (told == 0) o.evidence = &first;
        cr_assert_eq(choir_attachment_new_acceptor(env, &o, &a, 1), CHOIR_OK);
        cr_assert_eq(choir_attachment_set_evidence(NULL, &first), CHOIR_ERR_INVALID);
        cr_assert_eq(choir_attachment_set_evidence(a, NULL), CHOIR_ERR_INVALID);
        /* A part of a payload is none. */
        cr_assert_eq(choir_attachment_receive(a, prologue, 7, NULL, &used, 1), CHOIR_OK);
        if (told == 1) {
            alloc.fail_at = alloc.calls + 1;
            cr_assert_eq(choir_attachment_set_evidence(a, &first), CHOIR_ERR_NO_MEMORY);
            cr_assert_eq(choir_attachment_set_evidence(a, &first), CHOIR_OK);
        }
        if (told < 2) {
            cr_assert_eq(choir_attachment_set_evidence(a, &first), CHOIR_ERR_STATE, "it does not change");
            cr_assert_eq(a->evidence->peer.len, 8);
            cr_assert_neq(a->evidence->peer.data, first.peer.data, "copied");
        }
        cr_assert_eq(choir_attachment_receive(a, prologue + 7, 5, NULL, &used, 1), CHOIR_OK);
        cr_assert_eq(choir_attachment_set_evidence(a, &first), CHOIR_ERR_STATE, "too late");
        choir_attachment_free(a, 1);
        choir_env_free(env);
        cr_assert_eq(alloc.bytes, 0);
    }
}

/* Of an older program, which knows nothing of pids, and of a newer one, which has more than we know. */
Test(attachment, evidence_of_other_versions) {
    struct {
        choir_evidence e;
        uint64_t later;
    } newer;
    for (int i = 0; i < 4; i++) {
        test_alloc alloc = {0};
        choir_env *env = test_env(&alloc);
        choir_attachment *a;
        memset(&newer, 0, sizeof newer);
        newer.e.size = i == 0 ? offsetof(choir_evidence, pid) : sizeof newer;
        newer.e.peer = i == 3 ? (choir_str){NULL, 2} : (choir_str){"me", 2};
        newer.e.pid = 7;
        newer.later = i == 2;
        int expected = i < 2 ? CHOIR_OK : CHOIR_ERR_INVALID;
        cr_assert_eq(choir_attachment_new_acceptor(env, NULL, &a, 1), CHOIR_OK);
        cr_assert_eq(choir_attachment_set_evidence(a, &newer.e), expected, "%d", i);
        if (i < 2) cr_assert(a->evidence->peer.len == 2 && a->evidence->pid == (i == 0 ? 0 : 7));
        choir_attachment_free(a, 1);
        choir_attachment_options o;
        choir_attachment_options_init(&o);
        o.evidence = &newer.e;
        cr_assert_eq(choir_attachment_new_acceptor(env, &o, &a, 1), expected, "%d", i);
        if (expected == CHOIR_OK) choir_attachment_free(a, 1);
        choir_env_free(env);
        cr_assert_eq(alloc.bytes, 0);
    }
}

Test(attachment, initiator_speaks_first) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, TEST_STAGE_START);
    test_peer_take(&p);
    /* test_peer_open dropped the prologue and the Hello: look at those of another one. */
    choir_session *s;
    choir_attachment *a;
    choir_iov iov[16];
    cr_assert_eq(choir_session_new(p.env, &p.options, &s, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_new_initiator(p.env, NULL, s, &a, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_interest(a), CHOIR_WANTS_INPUT | CHOIR_HAS_OUTPUT);
    size_t n = choir_attachment_peek(a, iov, 16);
    cr_assert_geq(n, 1);
    cr_assert_eq(memcmp(iov[0].base, "\x08\0\0\0VOTH\x09\0\0\0", 12), 0);
    cr_assert_eq(memcmp((const uint8_t *)iov[0].base + 16, "\xa1\x65Hello\xa6", 8), 0,
                 "the Hello goes right behind");
    cr_assert_null(choir_attachment_hello(a));
    cr_assert_eq(choir_attachment_accept(a, NULL, &s, p.now), CHOIR_ERR_STATE);
    choir_session_free(s);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(attachment, refuse_says_sorry) {
    test_pair p;
    test_pair_init(&p);
    p.env = test_env(&p.alloc);
    cr_assert_eq(choir_session_new(p.env, NULL, &p.client.session, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_new_initiator(p.env, NULL, p.client.session, &p.client.attachment, p.now),
                 CHOIR_OK);
    cr_assert_eq(choir_attachment_new_acceptor(p.env, NULL, &p.server.attachment, p.now), CHOIR_OK);
    p.server_options.root = &p.server_root;
    p.server_root.max_concurrent_requests = 0; /* accept fails, so the pair refuses */
    test_pair_pump(&p);
    cr_assert_str_eq(p.server.events.log, "accept ERR_INVALID\n");
    cr_assert_str_eq(p.client.events.log, "conn-closed ERR_REFUSED\nclosed ERR_REFUSED\n");
    cr_assert(text_has(choir_session_text(p.client.session), "the peer said Sorry"));
    cr_assert_eq(test_pair_deinit(&p), 0);
}

Test(attachment, a_resume_key_is_not_taken) {
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    static const char hello[] =
        "\xa1\x65Hello\xa4\x66parity\xa1\x63Odd\xf6\x73"
        "connection_settings\xa2\x66parity\xa1\x63Odd\xf6\x77max_concurrent_requests\x07\x76"
        "message_payload_schema\x80\x6aresume_key\xa1\x65"
        "bytes\x50"
        "0123456789abcdef";
    uint8_t frame[256] = {sizeof hello - 1};
    size_t used;
    memcpy(frame + 4, hello, sizeof hello - 1);
    cr_assert_eq(choir_attachment_receive(p.attachment, frame, sizeof hello + 3, NULL, &used, p.now),
                 CHOIR_OK);
    const choir_hello *h = choir_attachment_hello(p.attachment);
    cr_assert(h && h->resume_key_len == 16 && memcmp(h->resume_key, "0123456789abcdef", 16) == 0);
    cr_assert_eq(choir_attachment_accept(p.attachment, &p.options, &p.session, p.now), CHOIR_ERR_UNSUPPORTED);
    cr_assert_null(p.session);
    cr_assert_eq(
        choir_attachment_refuse(
            p.attachment, &(choir_reason){sizeof(choir_reason), CHOIR_STR("no resume here"), NULL, 0}, p.now),
        CHOIR_OK);
    cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_FINISHED | CHOIR_HAS_OUTPUT);
    cr_assert_eq(choir_attachment_receive(p.attachment, frame, 1, NULL, &used, p.now), CHOIR_ERR_SHUTDOWN);
    choir_bytes sorry;
    cr_assert(test_peer_next_frame(&p, &sorry));
    cr_assert_eq(memcmp(sorry.data, "\xa1\x65Sorry\xa1\x66reason\x6eno resume here", sorry.len), 0);
    cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_FINISHED);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

static void expect_initiator_end(const void *payload, size_t len, test_stage stage, int status,
                                 const char *text) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    test_peer_open(&p, stage);
    cr_assert_eq(test_peer_frame(&p, payload, len), status, "%s", choir_status_name(p.status));
    cr_assert(text_has(choir_session_text(p.session), text), "%.*s", (int)choir_session_text(p.session).len,
              choir_session_text(p.session).data);
    cr_assert_eq(choir_attachment_status(p.attachment), status);
    cr_assert(text_has(choir_attachment_text(p.attachment), text));
    cr_assert(p.events.closed && !p.events.established);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(attachment, what_an_initiator_can_meet) {
    expect_initiator_end("VOTR\x09\x01\0\0", 8, TEST_STAGE_START, CHOIR_ERR_REJECTED,
                         "refused conduit mode bare");
    expect_initiator_end("VOTA\x09\x01\0\0", 8, TEST_STAGE_START, CHOIR_ERR_PROLOGUE,
                         "selected conduit mode stable");
    expect_initiator_end("VOTH\x09\0\0\0", 8, TEST_STAGE_START, CHOIR_ERR_PROLOGUE, "a vox TransportHello");
    expect_initiator_end("\xa1\x65Sorry\xa1\x66reason\x64"
                         "busy",
                         20, TEST_STAGE_PROLOGUE, CHOIR_ERR_REFUSED, "\"busy\"");
    expect_initiator_end("\xa1\x66LetsGo\xa0", 9, TEST_STAGE_PROLOGUE, CHOIR_ERR_HANDSHAKE,
                         "LetsGo instead of HelloYourself");
    expect_initiator_end("\x04phon", 5, TEST_STAGE_PROLOGUE, CHOIR_ERR_NEWER_PEER, "vox 0.9 or later");
    static const char same_parity[] =
        "\xa1\x6dHelloYourself\xa2\x73"
        "connection_settings\xa2\x66parity\xa1\x63Odd\xf6\x77max_concurrent_requests\x07"
        "\x76message_payload_schema\x80";
    expect_initiator_end(same_parity, sizeof same_parity - 1, TEST_STAGE_PROLOGUE, CHOIR_ERR_HANDSHAKE,
                         "our own parity");
}

/* ---- input ---- */

Test(attachment, busy_until_polled) {
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_HELLO);
    uint8_t two[32] = {9, 0, 0, 0, 0xa1, 0x66, 'L', 'e', 't', 's', 'G', 'o', 0xa0};
    static const uint8_t ping[] = {3, 0, 0, 0, 0, 8, 1};
    memcpy(two + 13, ping, sizeof ping);
    size_t used = 99;
    cr_assert_eq(choir_attachment_receive(p.attachment, two, 20, NULL, &used, p.now), CHOIR_OK);
    cr_assert_eq(used, 13, "at most one payload");
    cr_assert_eq(choir_attachment_receive(p.attachment, two + 13, 7, NULL, &used, p.now), CHOIR_ERR_BUSY);
    cr_assert_eq(used, 13, "nothing was taken");
    test_peer_poll(&p);
    cr_assert_eq(choir_attachment_receive(p.attachment, two + 13, 7, NULL, &used, p.now), CHOIR_OK);
    cr_assert_eq(used, 7);
    cr_assert_eq(choir_attachment_receive(p.attachment, two, 0, NULL, &used, p.now), CHOIR_OK);
    cr_assert_eq(used, 0);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(attachment, finished_takes_nothing) {
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_OPEN);
    choir_session_close(p.session, p.now);
    size_t used;
    cr_assert_eq(choir_attachment_receive(p.attachment, ignored, 1, NULL, &used, p.now), CHOIR_ERR_SHUTDOWN);
    cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_FINISHED);
    cr_assert_eq(choir_attachment_deadline(p.attachment), CHOIR_TIME_NEVER);
    cr_assert_eq(choir_session_deadline(p.session), CHOIR_TIME_NEVER);
    test_peer_sleep(&p, 100 * CHOIR_SECOND);
    cr_assert_str_eq(p.events.log,
                     "established\ndetached ERR_SHUTDOWN\nconn-closed ERR_SHUTDOWN\nclosed ERR_SHUTDOWN\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(attachment, closed_says_why) {
    static const int statuses[][2] = {{CHOIR_ERR_LINK_LOST, CHOIR_ERR_LINK_LOST},
                                      {CHOIR_OK, CHOIR_ERR_LINK_LOST},
                                      {CHOIR_ERR_IO, CHOIR_ERR_LINK_LOST},
                                      {CHOIR_ERR_WRITE_STALLED, CHOIR_ERR_WRITE_STALLED}};
    for (size_t i = 0; i < 4; i++) {
        test_peer p;
        test_peer_init(&p);
        test_peer_open(&p, TEST_STAGE_OPEN);
        p.deaf = true;
        cr_assert_eq(test_peer_ping(&p, 1), CHOIR_OK);
        cr_assert(choir_attachment_interest(p.attachment) & CHOIR_HAS_OUTPUT);
        char text[400];
        memset(text, 't', sizeof text);
        choir_attachment_closed(p.attachment, statuses[i][0], (choir_str){text, sizeof text}, p.now);
        cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_FINISHED,
                     "nothing can be written any more");
        test_peer_poll(&p);
        cr_assert_eq(choir_session_status(p.session), statuses[i][1]);
        cr_assert_geq(choir_session_text(p.session).len, 200);
        choir_attachment_closed(p.attachment, CHOIR_ERR_PROTOCOL, CHOIR_STR("again"), p.now);
        cr_assert_eq(choir_session_status(p.session), statuses[i][1], "the first one sticks");
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}

/* ---- output ---- */

Test(attachment, consume_is_checked) {
    test_pair p;
    test_pair_init(&p);
    cr_assert(test_pair_open(&p));
    choir_iov iov[16];
    choir_attachment *a = p.client.attachment;
    cr_assert_eq(choir_attachment_peek(a, iov, 16), 0);
    cr_assert_eq(choir_attachment_peek(a, NULL, 16), 0);
    cr_assert_eq(choir_attachment_consume(a, 1, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_session_ping(p.client.session, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_peek(a, iov, 16), 1);
    cr_assert_eq(iov[0].len, 7);
    cr_assert_eq(choir_attachment_consume(a, 8, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_attachment_consume(a, 3, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_peek(a, iov, 16), 1);
    cr_assert_eq(iov[0].len, 4);
    cr_assert_eq(choir_attachment_consume(a, 4, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_interest(a), CHOIR_WANTS_INPUT);
    cr_assert_eq(test_pair_deinit(&p), 0);
}

Test(attachment, framing_none_keeps_boundaries) {
    test_pair p;
    test_pair_init(&p);
    p.whole_payloads = true;
    cr_assert(test_pair_open(&p));
    choir_attachment *a = p.client.attachment;
    choir_iov iov[16];
    cr_assert_eq(choir_session_ping(p.client.session, p.now), CHOIR_OK);
    p.now += 10 * CHOIR_SECOND; /* the keepalive's own ping goes behind it */
    choir_session_advance(p.client.session, p.now);
    cr_assert_eq(choir_attachment_peek(a, iov, 16), 1);
    cr_assert_eq(iov[0].len, 3, "one payload, although two wait");
    cr_assert_eq(memcmp(iov[0].base, "\0\x08\x01", 3), 0);
    cr_assert_eq(choir_attachment_consume(a, 2, p.now), CHOIR_ERR_INVALID, "as a whole");
    cr_assert_eq(choir_attachment_consume(a, 0, p.now), CHOIR_ERR_INVALID);
    cr_assert_eq(choir_attachment_consume(a, 3, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_peek(a, iov, 16), 1);
    cr_assert_eq(memcmp(iov[0].base, "\0\x08\x02", 3), 0);
    cr_assert_eq(choir_attachment_consume(a, 3, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_peek(a, iov, 16), 0);
    /* An empty payload is one, and no message. */
    size_t used;
    cr_assert_eq(choir_attachment_receive(a, ignored, 0, NULL, &used, p.now), CHOIR_ERR_PROTOCOL);
    cr_assert_eq(test_pair_deinit(&p), 0);
}

Test(attachment, framing_none_limits) {
    test_alloc alloc = {0};
    choir_env *env = test_env(&alloc);
    choir_attachment_options o;
    choir_attachment *a;
    choir_attachment_options_init(&o);
    o.framing = CHOIR_FRAMING_NONE;
    cr_assert_eq(choir_attachment_new_acceptor(env, &o, &a, 1), CHOIR_OK);
    uint8_t bytes[65] = "VOTH\x09";
    size_t used;
    cr_assert_eq(choir_attachment_receive(a, bytes, 65, NULL, &used, 1), CHOIR_ERR_FRAME_TOO_LARGE);
    cr_assert(text_has(choir_attachment_text(a), "a payload of 65 bytes, the limit is 64"));
    choir_attachment_free(a, 1);
    choir_env_free(env);
    cr_assert_eq(alloc.bytes, 0);
}

/* ---- flow ---- */

static uint32_t wakes;
static void count_wake(void *ctx, choir_attachment *a) {
    (void)a;
    cr_assert_eq(ctx, &wakes);
    wakes++;
}

Test(attachment, wake_comes_once_until_peeked) {
    test_peer p;
    test_peer_init(&p);
    p.link.wake = count_wake;
    p.link.wake_ctx = &wakes;
    p.link.user_data = &p;
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(choir_attachment_user_data(p.attachment), &p);
    p.deaf = true;
    choir_iov iov[16];
    cr_assert_eq(choir_attachment_peek(p.attachment, iov, 16), 0);
    wakes = 0;
    cr_assert_eq(choir_session_ping(p.session, p.now), CHOIR_OK);
    cr_assert_eq(wakes, 1);
    cr_assert_eq(test_peer_ping(&p, 1), CHOIR_OK);
    cr_assert_eq(wakes, 1, "still the same");
    choir_attachment_peek(p.attachment, iov, 16);
    cr_assert_eq(test_peer_ping(&p, 2), CHOIR_OK);
    cr_assert_eq(wakes, 2, "a pong is output too");
    p.deaf = false;
    test_peer_take(&p);
    wakes = 0;
    choir_session_close(p.session, p.now);
    cr_assert_eq(wakes, 1, "the end wants attention");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

static void answer(test_peer *p, const choir_event *e) {
    if (e->kind == CHOIR_EVENT_REQUEST)
        cr_assert_eq(choir_reply(p->session, e->request, e->value, NULL, p->now), CHOIR_OK);
}

/* A frame that was half there when input stopped gets its whole time again when it goes on. */
Test(attachment, a_frame_is_not_late_while_input_is_stopped) {
    test_peer p;
    test_peer_init(&p);
    p.link.write_stall_timeout = 0;
    p.options.keepalive_idle = p.options.keepalive_busy = p.options.keepalive_send = 0;
    p.on_event = answer;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    cr_assert_eq(test_peer_call(&p, 1, TRIAL_ECHO, "\x01x", 2), CHOIR_OK);
    for (uint64_t i = 0; i < CHOIRI_PONGS_MAX; i++) cr_assert_eq(test_peer_ping(&p, i), CHOIR_OK);
    cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_HAS_OUTPUT, "a flood that is not read");
    cr_assert_eq(test_peer_raw(&p, "\x03\0", 2), CHOIR_OK, "the transport had read it already");
    cr_assert_eq(choir_attachment_deadline(p.attachment), CHOIR_TIME_NEVER);
    p.now += 100 * CHOIR_SECOND;
    choir_attachment_advance(p.attachment, p.now);
    cr_assert_eq(choir_attachment_status(p.attachment), CHOIR_OK);
    test_peer_take(&p);
    cr_assert_eq(choir_attachment_interest(p.attachment), CHOIR_WANTS_INPUT);
    cr_assert_eq(choir_attachment_deadline(p.attachment), p.now + 30 * CHOIR_SECOND);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- deadlines ---- */

static void expect_handshake_timeout(bool initiator, test_stage stage) {
    test_peer p;
    test_peer_init(&p);
    p.initiator = initiator;
    test_peer_open(&p, stage);
    cr_assert_eq(choir_attachment_deadline(p.attachment), 11 * CHOIR_SECOND);
    test_peer_sleep(&p, 10 * CHOIR_SECOND - 1);
    cr_assert_eq(choir_attachment_status(p.attachment), CHOIR_OK);
    test_peer_sleep(&p, 1);
    cr_assert_eq(choir_attachment_status(p.attachment), CHOIR_ERR_HANDSHAKE_TIMEOUT);
    cr_assert_eq(choir_attachment_interest(p.attachment) & CHOIR_FINISHED, CHOIR_FINISHED);
    if (p.session)
        cr_assert_str_eq(p.events.log, "conn-closed ERR_HANDSHAKE_TIMEOUT\nclosed ERR_HANDSHAKE_TIMEOUT\n");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(attachment, handshake_deadline) {
    expect_handshake_timeout(false, TEST_STAGE_START);
    expect_handshake_timeout(false, TEST_STAGE_PROLOGUE);
    expect_handshake_timeout(false, TEST_STAGE_HELLO);
    expect_handshake_timeout(true, TEST_STAGE_START);
    expect_handshake_timeout(true, TEST_STAGE_PROLOGUE);
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_OPEN);
    cr_assert_eq(choir_attachment_deadline(p.attachment), CHOIR_TIME_NEVER, "established");
    cr_assert_eq(test_peer_deinit(&p), 0);
    test_peer_init(&p);
    p.link.handshake_timeout = 0;
    test_peer_open(&p, TEST_STAGE_START);
    cr_assert_eq(choir_attachment_deadline(p.attachment), CHOIR_TIME_NEVER, "0 is off");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* A frame has 30 s, and a second more for each 32 KiB that have come. */
Test(attachment, slow_frame) {
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_OPEN);
    static uint8_t frame[4 + (1 << 20)] = {0, 0, 0x10};
    choir_time start = p.now;
    cr_assert_eq(test_peer_raw(&p, frame, 3), CHOIR_OK);
    cr_assert_eq(choir_attachment_deadline(p.attachment), start + 30 * CHOIR_SECOND, "from its first byte");
    p.now += CHOIR_SECOND;
    cr_assert_eq(test_peer_raw(&p, frame, 1), CHOIR_OK);
    cr_assert_eq(choir_attachment_deadline(p.attachment), start + 30 * CHOIR_SECOND);
    cr_assert_eq(test_peer_raw(&p, frame, 64 << 10), CHOIR_OK);
    cr_assert_eq(choir_attachment_deadline(p.attachment), start + 32 * CHOIR_SECOND);
    for (int i = 0; i < 10; i++) { /* bytes trickle, so the peer is alive, but the frame is not done */
        p.now += 3 * CHOIR_SECOND;
        cr_assert_eq(test_peer_raw(&p, frame, 1), CHOIR_OK);
    }
    choir_time deadline = choir_attachment_deadline(p.attachment);
    cr_assert_eq(deadline, start + 32 * CHOIR_SECOND + 10 * CHOIR_SECOND / (32 << 10));
    p.now = deadline - 1;
    choir_attachment_advance(p.attachment, p.now);
    cr_assert_eq(choir_attachment_status(p.attachment), CHOIR_OK);
    p.now++;
    choir_attachment_advance(p.attachment, p.now);
    cr_assert_eq(choir_attachment_status(p.attachment), CHOIR_ERR_FRAME_TIMEOUT);
    test_peer_poll(&p);
    choiri_message m;
    cr_assert(test_peer_next(&p, &m) && m.kind == CHOIRI_MSG_PROTOCOL_ERROR);
    cr_assert(text_has(m.description, "a frame took too long to arrive"));
    cr_assert_eq(test_peer_deinit(&p), 0);
}

Test(attachment, a_frame_that_ends_resets_the_clock) {
    test_peer p;
    test_peer_init(&p);
    p.link.min_rate = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    static const uint8_t ping[] = {3, 0, 0, 0, 0, 8, 1};
    cr_assert_eq(test_peer_raw(&p, ping, 6), CHOIR_OK);
    cr_assert_eq(choir_attachment_deadline(p.attachment), p.now + 30 * CHOIR_SECOND);
    p.now += 29 * CHOIR_SECOND;
    cr_assert_eq(test_peer_raw(&p, ping + 6, 1), CHOIR_OK);
    cr_assert_eq(choir_attachment_deadline(p.attachment), CHOIR_TIME_NEVER);
    cr_assert_eq(test_peer_raw(&p, ping, 1), CHOIR_OK);
    cr_assert_eq(choir_attachment_deadline(p.attachment), p.now + 30 * CHOIR_SECOND);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

static test_peer *stalled(test_peer *p) {
    test_peer_init(p);
    p->options.keepalive_idle = p->options.keepalive_busy = p->options.keepalive_send = 0;
    test_peer_open(p, TEST_STAGE_OPEN);
    p->deaf = true;
    cr_assert_eq(choir_session_ping(p->session, p->now), CHOIR_OK);
    return p;
}

Test(attachment, write_stall) {
    test_peer p;
    choir_time start = stalled(&p)->now;
    cr_assert_eq(choir_attachment_deadline(p.attachment), start + 30 * CHOIR_SECOND);
    p.now += 20 * CHOIR_SECOND;
    cr_assert_eq(choir_attachment_consume(p.attachment, 0, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_deadline(p.attachment), start + 30 * CHOIR_SECOND, "nothing was taken");
    cr_assert_eq(choir_attachment_consume(p.attachment, 1, p.now), CHOIR_OK);
    choir_duration earned = CHOIR_SECOND / 1024;
    cr_assert_eq(choir_attachment_deadline(p.attachment), start + 30 * CHOIR_SECOND + earned);
    test_peer_sleep(&p, 10 * CHOIR_SECOND + earned - 1);
    cr_assert_eq(choir_attachment_status(p.attachment), CHOIR_OK);
    test_peer_sleep(&p, 1);
    cr_assert_eq(choir_attachment_status(p.attachment), CHOIR_ERR_WRITE_STALLED);
    cr_assert_eq(choir_session_status(p.session), CHOIR_ERR_WRITE_STALLED);
    cr_assert_eq(test_peer_deinit(&p), 0);

    stalled(&p);
    cr_assert_eq(choir_attachment_consume(p.attachment, 7, p.now), CHOIR_OK);
    cr_assert_eq(choir_attachment_deadline(p.attachment), CHOIR_TIME_NEVER, "nothing waits");
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* `bytes` each second of more output than that: how many seconds until the link is given up, 0 for never. */
static uint32_t seconds_at_rate(uint32_t bytes, choir_duration every) {
    static uint8_t large[1 << 20];
    test_peer p;
    test_peer_init(&p);
    p.initiator = true;
    p.options.keepalive_idle = p.options.keepalive_busy = p.options.keepalive_send = 0;
    test_peer_open(&p, TEST_STAGE_OPEN);
    p.deaf = true;
    choir_bytes b = {large, sizeof large};
    choir_call_id id;
    cr_assert_eq(choir_call(p.session, choir_session_root(p.session), TRIAL_ECHO_BYTES, &b, NULL, &id, p.now),
                 CHOIR_OK);
    test_events_call(&p.events, id);
    choir_time start = p.now;
    uint32_t seconds = 0;
    for (int i = 0; i < 300 && seconds == 0; i++) {
        test_peer_sleep(&p, every);
        if (choir_attachment_status(p.attachment) != CHOIR_OK)
            seconds = (uint32_t)((p.now - start) / CHOIR_SECOND);
        else
            test_peer_take_part(&p, bytes);
    }
    cr_assert_eq(choir_attachment_status(p.attachment), seconds ? CHOIR_ERR_WRITE_STALLED : CHOIR_OK);
    cr_assert_eq(test_peer_deinit(&p), 0);
    return seconds;
}

/* Output has a least rate: a byte now and then does not hold what waits for ever, a slow link that goes on
 * does. */
Test(attachment, output_has_a_least_rate) {
    cr_assert_eq(seconds_at_rate(1, 29 * CHOIR_SECOND), 58, "seen at the next look");
    cr_assert_eq(seconds_at_rate(2048, CHOIR_SECOND), 0);
    cr_assert_eq(seconds_at_rate(1024, CHOIR_SECOND), 0);
    cr_assert_gt(seconds_at_rate(512, CHOIR_SECOND), 50);
    cr_assert_eq(seconds_at_rate(30 * 1024, 29 * CHOIR_SECOND), 0, "in bursts");
}

/* The process slept past the deadline: nobody tried to write, so nothing is known about the peer. */
Test(attachment, write_stall_after_sleeping) {
    test_peer p;
    stalled(&p);
    p.now += 3600 * CHOIR_SECOND;
    choir_attachment_advance(p.attachment, p.now);
    cr_assert_eq(choir_attachment_status(p.attachment), CHOIR_OK);
    cr_assert_eq(choir_attachment_deadline(p.attachment), p.now + 30 * CHOIR_SECOND);
    test_peer_sleep(&p, 30 * CHOIR_SECOND);
    cr_assert_eq(choir_attachment_status(p.attachment), CHOIR_ERR_WRITE_STALLED);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- sizes ---- */

Test(attachment, payload_limit) {
    for (uint32_t len = 100; len <= 101; len++) {
        test_peer p;
        test_peer_init(&p);
        p.link.max_payload = 100;
        test_peer_open(&p, TEST_STAGE_OPEN);
        uint8_t ping[101] = {0, 8, 1}; /* what follows a message is ignored */
        int status = test_peer_frame(&p, ping, len);
        cr_assert_eq(status, len == 100 ? CHOIR_OK : CHOIR_ERR_FRAME_TOO_LARGE);
        if (len == 101) {
            choiri_message m;
            cr_assert(test_peer_next(&p, &m) && m.kind == CHOIRI_MSG_PROTOCOL_ERROR);
            cr_assert(text_has(m.description, "a frame of 101 bytes, the limit is 100"));
        }
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}

Test(attachment, handshake_limit) {
    test_peer p;
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    cr_assert_eq(test_peer_raw(&p, "\x01\0\x10\0", 4), CHOIR_ERR_FRAME_TOO_LARGE);
    cr_assert(
        text_has(choir_attachment_text(p.attachment), "a frame of 1048577 bytes, the limit is 1048576"));
    cr_assert_eq(test_peer_deinit(&p), 0);
    test_peer_init(&p);
    test_peer_open(&p, TEST_STAGE_PROLOGUE);
    cr_assert_eq(test_peer_raw(&p, "\0\0\x10\0", 4), CHOIR_OK);
    cr_assert_eq(test_peer_deinit(&p), 0);
}

/* ---- failing allocations ---- */

Test(attachment, accept_without_memory_may_be_tried_again) {
    for (uint64_t n = 1;; n++) {
        test_peer p;
        test_peer_init(&p);
        test_peer_open(&p, TEST_STAGE_PROLOGUE);
        static const char hello[] =
            "\xa1\x65Hello\xa3\x66parity\xa1\x63Odd\xf6\x73"
            "connection_settings\xa2\x66parity\xa1\x63Odd\xf6\x77max_concurrent_requests\x07\x76"
            "message_payload_schema\x80";
        uint8_t frame[256] = {sizeof hello - 1};
        size_t used;
        memcpy(frame + 4, hello, sizeof hello - 1);
        cr_assert_eq(choir_attachment_receive(p.attachment, frame, sizeof hello + 3, NULL, &used, p.now),
                     CHOIR_OK);
        p.alloc.fail_at = p.alloc.calls + n;
        p.options.user_data = &destroyed;
        p.options.destroy = destroy;
        destroyed = 0;
        int status = choir_attachment_accept(p.attachment, &p.options, &p.session, p.now);
        if (p.alloc.failed == 0) {
            cr_assert_eq(status, CHOIR_OK);
            printf("%llu allocations failed in turn\n", (unsigned long long)n - 1);
            cr_assert_eq(test_peer_deinit(&p), 0);
            break;
        }
        cr_assert_eq(status, CHOIR_ERR_NO_MEMORY);
        cr_assert_null(p.session);
        cr_assert_eq(destroyed, 0, "it was never the host's");
        cr_assert_not_null(choir_attachment_hello(p.attachment));
        cr_assert_eq(choir_attachment_accept(p.attachment, &p.options, &p.session, p.now), CHOIR_OK);
        cr_assert_eq(test_peer_lets_go(&p), CHOIR_OK);
        cr_assert_str_eq(p.events.log, "established\n");
        cr_assert_eq(test_peer_deinit(&p), 0);
    }
}

Test(attachment, initiator_without_memory_may_be_tried_again) {
    for (uint64_t n = 1;; n++) {
        test_alloc alloc = {0};
        choir_env *env = test_env(&alloc);
        choir_session *s;
        choir_attachment *a = NULL;
        cr_assert_eq(choir_session_new(env, NULL, &s, 1), CHOIR_OK);
        alloc.fail_at = alloc.calls + n;
        int status = choir_attachment_new_initiator(env, NULL, s, &a, 1);
        bool failed = alloc.failed > 0;
        cr_assert_eq(status, failed ? CHOIR_ERR_NO_MEMORY : CHOIR_OK);
        if (failed) {
            cr_assert_null(a);
            cr_assert_eq(choir_attachment_new_initiator(env, NULL, s, &a, 1), CHOIR_OK);
        }
        choir_session_free(s);
        choir_env_free(env);
        cr_assert_eq(alloc.bytes, 0);
        if (!failed) break;
    }
}
