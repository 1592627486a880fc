/* SPDX-License-Identifier: MIT */
/* A sentence for people about a call that returned no value: what was called and where, what ended it,
 * whether it ran, what to do. From the same facts that programs look at (docs/internals/failed-calls.md).
 *
 * What a peer wrote is quoted, escaped and cut: it must not steer a terminal, and must not be taken for
 * words of ours. */
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PEER_TEXT_MAX 160u

typedef struct sentence {
    char *data;
    size_t len, room; /* room does not count the NUL */
    bool cut;
} sentence;

static void put(sentence *s, const char *data, size_t len) {
    if (s->cut) return;
    size_t fits = len <= s->room - s->len ? len : s->room - s->len;
    memcpy(s->data + s->len, data, fits);
    s->len += fits;
    if (fits == len) return;
    s->cut = true;
    size_t keep = s->room < 3 ? 0 : s->room - 3;
    while (keep > 0 && ((unsigned char)s->data[keep] & 0xc0u) == 0x80u) keep--; /* not inside a character */
    s->len = keep;
    if (s->room >= 3) memcpy(s->data + keep, "...", 3), s->len += 3;
}

static void put_text(sentence *s, const char *text) {
    put(s, text, strlen(text));
}

static void put_format(sentence *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_format(sentence *s, const char *format, ...) {
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put_text(s, text);
}

/* Texts of ours are one line, but a host's (choir_session_fail) and a system's need not be. */
static void put_line(sentence *s, choir_str text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool control = c < 0x20 || c == 0x7f ||
                       (c == 0xc2 && i + 1 < text.len && (unsigned char)text.data[i + 1] < 0xa0);
        if (control) put_format(s, "\\x%02x", c);
        if (control && c == 0xc2) put_format(s, "\\x%02x", (unsigned char)text.data[++i]);
        if (!control) put(s, text.data + i, 1);
    }
}

static void put_quoted(sentence *s, choir_str text) {
    size_t len = text.len < PEER_TEXT_MAX ? text.len : PEER_TEXT_MAX;
    put_text(s, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c > 0x7e)
            put_format(s, "\\x%02x", c);
        else if (c == '"' || c == '\\')
            put_format(s, "\\%c", c);
        else
            put(s, text.data + i, 1);
    }
    put_text(s, len < text.len ? "...\"" : "\"");
}

/* ---- what was called, and where ---- */

/* The address only once: `why` may have it. */
static void put_call(sentence *s, const choir_client *client, const choir_event *done, choir_str why) {
    const char *url = choir_client_url(client);
    size_t len = strlen(url);
    for (size_t i = 0; i + len <= why.len && len > 0; i++)
        if (memcmp(why.data + i, url, len) == 0) len = 0;
    if (done && done->service && done->method != CHOIR_METHOD_NONE) {
        choir_str service = choir_service_name(done->service),
                  method = choir_method_name(done->service, done->method);
        put(s, service.data, service.len);
        put_text(s, ".");
        put(s, method.data, method.len);
        if (len > 0) put_text(s, " at ");
    }
    put(s, url, len);
    if (s->len > 0) put_text(s, ": ");
}

/* ---- what ended it ---- */

static const char *peers_words(uint32_t outcome) {
    switch (outcome) {
    case CHOIR_OUTCOME_UNKNOWN_METHOD: return "unknown method";
    case CHOIR_OUTCOME_INVALID_PAYLOAD: return "invalid payload: the peer refused the arguments";
    case CHOIR_OUTCOME_CANCELLED: return "cancelled by the peer";
    case CHOIR_OUTCOME_SEND_FAILED: return "the peer did not take the call";
    case CHOIR_OUTCOME_INDETERMINATE: return "the peer does not know the outcome";
    default: return choir_outcome_text(outcome);
    }
}

static void put_user_error(sentence *s, const choir_event *done) {
    char value[PEER_TEXT_MAX] = "";
    put_text(s, "the method answered with an error");
    if (!done->unit || !done->value) return;
    choir_value_print(done->unit, done->type, done->value, value, sizeof value);
    put_text(s, ": ");
    put_text(s, value);
}

/* What happened before there was a link is told in full by its text; texts of deadlines and sizes too. */
static bool status_adds(int status) {
    return choir_status_is_fatal(status) && status != CHOIR_ERR_CONNECT && status != CHOIR_ERR_RESOLVE &&
           status != CHOIR_ERR_CONNECT_TIMEOUT;
}

static void put_end(sentence *s, const choir_event *done) {
    if (done->outcome == CHOIR_OUTCOME_USER_ERROR) {
        put_user_error(s, done);
    } else if (done->status == CHOIR_OK) {
        put_text(s, peers_words(done->outcome));
        if (done->text.len > 0) put_text(s, ", it says "), put_quoted(s, done->text);
    } else {
        put_text(s, choir_outcome_text(done->outcome));
        put_text(s, ": ");
        bool adds = done->text.len == 0 || status_adds(done->status);
        if (adds) put_text(s, choir_status_text(done->status));
        if (adds && done->text.len > 0) put_text(s, ": ");
        put_line(s, done->text);
    }
}

/* ---- what to do ---- */

static const char *advice_of_status(int status) {
    switch (status) {
    case CHOIR_ERR_ADDRESS: return "Check how the address is written.";
    case CHOIR_ERR_RESOLVE: return "Check the name, or use an IP address.";
    case CHOIR_ERR_CONNECT: return "Check that a server listens there.";
    case CHOIR_ERR_CONNECT_TIMEOUT: return "Check host and port, and that no firewall is in between.";
    case CHOIR_ERR_HANDSHAKE_TIMEOUT:
        return "Check that a vox peer uses this port, and that it does not hang.";
    case CHOIR_ERR_PROLOGUE: return "Something else than a vox peer uses this port; check the address.";
    case CHOIR_ERR_NEWER_PEER: return "Only peers of vox 0.4 can be talked to.";
    case CHOIR_ERR_REJECTED: return "The peer does not speak this codec; postcard is what vox's own speak.";
    case CHOIR_ERR_REFUSED: return "The peer's own log may tell more.";
    case CHOIR_ERR_PEER_UNRESPONSIVE:
    case CHOIR_ERR_WRITE_STALLED: return "Check whether the peer hangs or is stopped, and the network.";
    case CHOIR_ERR_LINK_LOST: return "The peer's own log may say why.";
    case CHOIR_ERR_TOO_LARGE: return "Send less at a time, or raise max_payload at the end that takes less.";
    case CHOIR_ERR_BLOCKED: return "Call again when the client is writable.";
    case CHOIR_ERR_REENTRANT: return "Call with a callback instead of waiting.";
    default: return NULL;
    }
}

static const char *advice_of_outcome(uint32_t outcome) {
    switch (outcome) {
    case CHOIR_OUTCOME_UNKNOWN_METHOD: return "Check that it is the right peer, and its version.";
    case CHOIR_OUTCOME_CANCELLED: return "Its handler failed, or it is closing; its own log may tell more.";
    case CHOIR_OUTCOME_SESSION_SHUTDOWN: return "Try again once the peer is back.";
    case CHOIR_OUTCOME_SEND_FAILED: return "It may be overloaded: try again later.";
    default: return NULL;
    }
}

static void put_advice(sentence *s, int status, const choir_event *done) {
    const char *advice = NULL;
    if (done && done->status == CHOIR_OK)
        advice = advice_of_outcome(done->outcome);
    else if (!done || done->outcome != CHOIR_OUTCOME_INVALID_PAYLOAD) /* that is about reading, not sending */
        advice = advice_of_status(done ? done->status : status);
    if (advice) put_text(s, " "), put_text(s, advice);
    if (done && done->ran == CHOIR_RAN_MAYBE) put_text(s, " Find out whether it ran before calling again.");
    if (done && done->ran == CHOIR_RAN_NO && done->status != CHOIR_OK && choir_event_is_retryable(done) &&
        !advice)
        put_text(s, " Calling again does no harm.");
}

/* ---- all of it ---- */

static void put_failed_function(sentence *s, const choir_client *client, int status) {
    choir_str why = client ? choir_loop_error(choiri_net_client_loop(client)) : (choir_str){"", 0};
    put_call(s, client, NULL, why);
    if (why.len > 0)
        put_line(s, why);
    else
        put_text(s, choir_status_text(status));
    put_text(s, ".");
    /* The client had ended before: its end tells what to do. */
    int end = client && status == CHOIR_ERR_CLOSED ? choir_client_status(client) : CHOIR_OK;
    if (end != CHOIR_OK) put_text(s, " It never ran.");
    put_advice(s, end != CHOIR_OK ? end : status, NULL);
}

static void put_done(sentence *s, const choir_client *client, const choir_event *done) {
    static const char *const ran[] = {" It never ran.", " It may have run.", " It ran."};
    put_call(s, client, done, done->status != CHOIR_OK ? done->text : (choir_str){"", 0});
    if (done->outcome == CHOIR_OUTCOME_OK) {
        put_text(s, "ok");
        return;
    }
    put_end(s, done);
    put_text(s, ".");
    put_text(s, ran[done->ran <= CHOIR_RAN_YES ? done->ran : CHOIR_RAN_MAYBE]);
    put_advice(s, CHOIR_OK, done);
}

const char *choir_explain(const choir_client *client, int status, const choir_event *done, char *buffer,
                          size_t size) {
    if (!buffer || size == 0) return "";
    sentence s = {.data = buffer, .room = size - 1};
    if (done)
        put_done(&s, client, done);
    else if (status == CHOIR_OK)
        put_text(&s, "ok");
    else
        put_failed_function(&s, client, status);
    buffer[s.len] = '\0';
    return buffer;
}
