/* SPDX-License-Identifier: MIT */
/* Would a difference be noticed? The comparison is tried itself: one byte of what the recorded side sent, and
 * we have to send, is changed, and the run that was right must be wrong; so for the arguments and answers
 * that we received and the host must have seen. Left out is what is free to differ (see compare.c). */
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>

/* All bytes of payloads up to this size; of larger ones every 16th, or as many as of one with 8 KiB. */
#define SMALL 256u
#define STEP  16u
#define LARGE 8192u

static uint32_t step_of(const replay_payload *p) {
    return p->len <= SMALL ? 1 : p->len <= LARGE ? STEP : p->len / (LARGE / STEP);
}

/* Where `text` starts for the last time, or the length when it does not. */
static uint32_t find_text(const replay_payload *p, const char *text) {
    size_t len = strlen(text);
    for (size_t at = p->len; at >= len; at--)
        if (memcmp(p->data + at - len, text, len) == 0) return (uint32_t)(at - len);
    return p->len;
}

static bool is_request(const replay_payload *p, uint8_t body, choiri_message *ret) {
    return p->len > 1 && p->data[1] == CHOIRI_MSG_REQUEST &&
           choiri_message_decode(replay_bytes(p), ret) == CHOIR_OK && ret->body == body;
}

/* Err(UnknownMethod) or Err(InvalidPayload). */
static bool is_refusal(choir_bytes ret) {
    return ret.len >= 2 && ret.data[0] == 1 && (ret.data[1] == 1 || ret.data[1] == 2);
}

static bool is_refused(const replay_recording *r, uint64_t id) {
    choiri_message m;
    for (uint32_t i = 0; i < r->len; i++)
        if (is_request(&r->payloads[i], CHOIRI_BODY_RESPONSE, &m) && m.id == id) return is_refusal(m.payload);
    return false;
}

/* Bytes [start, end) of a payload, or with `outside` those around them. */
typedef struct range {
    uint32_t start, end;
    bool outside;
} range;

/* What is compared of a payload that we have to send. */
static range range_of_ours(const replay_payload *p) {
    replay_hello hello;
    choiri_message m;
    if (replay_hello_read(replay_bytes(p),
                          &hello)) /* but supports_retry and resume_key, with the heads of their names */
        return (range){find_text(p, "supports_retry") - 1, find_text(p, "metadata") - 1, true};
    if (p->len < 2 || p->data[1] > CHOIRI_MSG_PONG || choiri_message_decode(replay_bytes(p), &m) != CHOIR_OK)
        return (range){0, p->len, false};
    if (m.kind == CHOIRI_MSG_SCHEMA) return (range){0, 0, false}; /* schemas are compared as a set */
    if (m.kind != CHOIRI_MSG_REQUEST) return (range){0, p->len, false};
    uint32_t start = (uint32_t)(m.payload.data - p->data);
    if (p->answer.len > 0) return (range){0, start - 4, false}; /* not ours */
    if (m.body == CHOIRI_BODY_RESPONSE && m.payload.data[0] == 1 && m.payload.data[1] == 2)
        return (range){0, start - 4, false}; /* a text, whose length is free as well */
    return (range){0, start + (uint32_t)m.payload.len, false};
}

/* What is compared of a payload that we have received: what the host was told of it. */
static range range_of_theirs(const replay_part *part, const replay_payload *p) {
    choiri_message m;
    bool told = part->calls ? is_request(p, CHOIRI_BODY_RESPONSE, &m)
                            : is_request(p, CHOIRI_BODY_CALL, &m) && !is_refused(part->recording, m.id);
    if (!told || !p->delivered || p->reads == REPLAY_UNREADABLE) return (range){0, 0, false};
    uint32_t start = (uint32_t)(m.payload.data - p->data);
    return (range){start, start + (uint32_t)m.payload.len, false};
}

static bool notices(const replay_part *part, const replay_run *run, replay_payload *changed, uint8_t *data,
                    uint32_t at) {
    changed->data = data;
    data[at] ^= 1;
    bool noticed = !replay_compare(part, run, true);
    data[at] ^= 1;
    if (!noticed)
        printf("# %s as the %s, byte %u of an expected payload of %u bytes: not noticed\n",
               part->recording->name, part->client ? "client" : "server", at, changed->len);
    return noticed;
}

bool replay_compare_is_sharp(const replay_part *part, const replay_run *run, uint64_t *ret_tried) {
    const replay_recording *r = part->recording;
    replay_payload *payloads = calloc(r->len, sizeof *payloads);
    if (!payloads) abort();
    memcpy(payloads, r->payloads, r->len * sizeof *payloads);
    replay_recording copy = {r->name, payloads, r->len};
    replay_part other = *part;
    other.recording = &copy;
    bool ok = true;
    *ret_tried = 0;
    for (uint32_t i = 0; i < r->len; i++) {
        const replay_payload *p = &r->payloads[i];
        range compared = p->from_client == part->client ? range_of_ours(p) : range_of_theirs(part, p);
        uint8_t *data = malloc(p->len);
        if (!data) abort();
        memcpy(data, p->data, p->len);
        for (uint32_t at = 0; at < p->len; at += step_of(p)) {
            if ((at >= compared.start && at < compared.end) == compared.outside) continue;
            ok = notices(&other, run, &payloads[i], data, at) && ok;
            ++*ret_tried;
        }
        payloads[i] = *p;
        free(data);
    }
    free(payloads);
    return ok;
}
