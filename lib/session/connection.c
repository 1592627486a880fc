/* SPDX-License-Identifier: MIT */
/* Records of connections: slots, wire ids, states, life.
 *
 * The root's record is slot 0 and lies in the session; others lie in pages that stay until the session goes.
 * A free record keeps its generation, which moves on with each use; one that would come out as the session's
 * first again is retired, so no handle is ever given twice. `next` links a chain of the hash while a record
 * has a wire id, and the free list while it has none.
 *
 * Rejected: an array that grows by moving (hot parts and drivers keep pointers to records), and records from
 * the object pool (a handle could not be looked up by its slot). */
#include "session/connection.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/siphash.h"
#include "session/session.h"

#define PAGE      64u
#define PAGES_MAX (UINT32_C(1) << 20)
#define BUCKETS   16u /* to begin with */

/* ---- states ---- */

static bool is_legal(choiri_conn_state from, choiri_conn_state to) {
    switch (to) {
    case CHOIRI_CONN_OPENING:
    case CHOIRI_CONN_OFFERED: return from == CHOIRI_CONN_FREE;
    case CHOIRI_CONN_OPEN: return from == CHOIRI_CONN_OPENING || from == CHOIRI_CONN_OFFERED;
    case CHOIRI_CONN_CLOSED: return from == CHOIRI_CONN_OPENING || from == CHOIRI_CONN_OPEN;
    case CHOIRI_CONN_FREE: return from == CHOIRI_CONN_OFFERED || from == CHOIRI_CONN_CLOSED;
    }
    return false;
}

static void set_state(choiri_conn *c, choiri_conn_state to) {
    CHOIRI_ASSERT(is_legal(choiri_conn_get_state(c), to));
    c->node.state = (uint8_t)((c->node.state & ~CHOIRI_CONN_STATE) | (uint8_t)to);
}

/* Of a free record: whose it is, and the parity of our ids. */
static void set_flags(choiri_conn *c, uint8_t parity, bool theirs) {
    c->node.state = (uint8_t)(CHOIRI_CONN_FREE | (parity == CHOIRI_PARITY_EVEN ? CHOIRI_CONN_EVEN : 0) |
                              (theirs ? CHOIRI_CONN_THEIRS : 0));
}

/* ---- slots ---- */

static choiri_conn *at(choir_session *s, uint32_t slot) {
    if (slot == 0) return &s->conns.root;
    return &s->conns.pages[(slot - 1) / PAGE][(slot - 1) % PAGE];
}

static int add_page(choir_session *s) {
    uint32_t n = s->conns.pages_len;
    if (n == PAGES_MAX) return CHOIR_ERR_NO_MEMORY;
    if ((n & (n - 1)) == 0) { /* as many as there is room for */
        uint32_t room = n == 0 ? 1 : n * 2;
        choiri_conn **pages = choiri_realloc(s->env, s->conns.pages, n * sizeof *pages, room * sizeof *pages);
        if (!pages) return CHOIR_ERR_NO_MEMORY;
        s->conns.pages = pages;
    }
    choiri_conn *page = choiri_zalloc(s->env, PAGE * sizeof *page);
    if (!page) return CHOIR_ERR_NO_MEMORY;
    for (uint32_t i = PAGE; i-- > 0;) {
        page[i].slot = n * PAGE + i + 1;
        page[i].node.kind = CHOIRI_READY_CONN;
        page[i].node.generation = s->conns.first_generation;
        page[i].next = s->conns.free;
        s->conns.free = page[i].slot + 1;
    }
    s->conns.pages[n] = page;
    s->conns.pages_len = n + 1;
    return CHOIR_OK;
}

/* ---- wire ids ---- */

static uint32_t *bucket_of(choir_session *s, uint64_t wire_id) {
    return &s->conns.buckets[choiri_siphash(s->seed, wire_id) & (s->conns.buckets_len - 1)];
}

static void link_id(choir_session *s, choiri_conn *c) {
    uint32_t *bucket = bucket_of(s, c->wire_id);
    c->next = *bucket;
    *bucket = c->slot + 1;
}

static int grow_buckets(choir_session *s) {
    uint32_t len = s->conns.buckets_len ? s->conns.buckets_len * 2 : BUCKETS;
    uint32_t *old = s->conns.buckets, old_len = s->conns.buckets_len;
    uint32_t *buckets = choiri_zalloc(s->env, len * sizeof *buckets);
    if (!buckets) return CHOIR_ERR_NO_MEMORY;
    s->conns.buckets = buckets;
    s->conns.buckets_len = len;
    for (uint32_t i = 0; i < old_len; i++) {
        for (uint32_t slot = old[i]; slot != 0;) {
            choiri_conn *c = at(s, slot - 1);
            slot = c->next;
            link_id(s, c);
        }
    }
    choiri_free(s->env, old, old_len * sizeof *old);
    return CHOIR_OK;
}

static void unlink_id(choir_session *s, choiri_conn *c) {
    uint32_t *place = bucket_of(s, c->wire_id);
    while (*place != c->slot + 1) place = &at(s, *place - 1)->next;
    *place = c->next;
    s->conns.count--;
}

choiri_conn *choiri_conn_virtual(choir_session *s, uint64_t wire_id) {
    if (s->conns.count == 0) return NULL;
    for (uint32_t slot = *bucket_of(s, wire_id); slot != 0;) {
        choiri_conn *c = at(s, slot - 1);
        if (c->wire_id == wire_id) return c;
        slot = c->next;
    }
    return NULL;
}

choiri_conn *choiri_conn_find(choir_session *s, choir_conn_id handle) {
    uint32_t slot = (uint32_t)handle.v, generation = (uint32_t)(handle.v >> 32);
    if (slot > s->conns.pages_len * PAGE) return NULL;
    choiri_conn *c = at(s, slot);
    return c->node.generation == generation && choiri_conn_get_state(c) != CHOIRI_CONN_FREE ? c : NULL;
}

/* ---- making and freeing records ---- */

static int new_conn(choir_session *s, uint64_t wire_id, choiri_conn **ret) {
    int status = s->conns.count >= s->conns.buckets_len ? grow_buckets(s) : CHOIR_OK;
    if (status == CHOIR_OK && s->conns.free == 0) status = add_page(s);
    if (status != CHOIR_OK) return status;
    choiri_conn *c = at(s, s->conns.free - 1);
    s->conns.free = c->next;
    c->wire_id = wire_id;
    link_id(s, c);
    s->conns.count++;
    s->conns.live++;
    *ret = c;
    return CHOIR_OK;
}

static bool is_theirs(const choir_session *s, uint64_t wire_id) {
    return (wire_id & 1) != (s->parity == CHOIRI_PARITY_ODD);
}

/* What a live record has, but for its place. */
static void strip(choir_session *s, choiri_conn *c) {
    choiri_hot_free(s, c);
    if (c->lasting) c->profile->driver->lasting_free(s, c);
    choiri_profile *p = c->profile;
    c->profile = NULL;
    if (p && p->destroy && s->given) p->destroy(c->user_data);
    c->user_data = NULL;
    choiri_profile_release(s->env, p);
}

static void free_conn(choir_session *s, choiri_conn *c) {
    strip(s, c);
    if (c->node.state & CHOIRI_CONN_THEIRS) s->charged -= sizeof *c;
    set_state(c, CHOIRI_CONN_FREE);
    if (++c->node.generation == 0) c->node.generation = 1;
    if (c->node.generation == s->conns.first_generation) return; /* retired */
    c->next = s->conns.free;
    s->conns.free = c->slot + 1;
}

/* Out of the hash: from now on its wire id is nobody's. */
static void forget_id(choir_session *s, choiri_conn *c) {
    if (choiri_conn_is_root(c)) return;
    unlink_id(s, c);
    if (c->node.state & CHOIRI_CONN_THEIRS) s->conns.theirs--;
}

static int give_profile(choir_session *s, choiri_conn *c, const choiri_profile *like) {
    c->profile = choiri_profile_get(s->env, like);
    return c->profile ? CHOIR_OK : CHOIR_ERR_NO_MEMORY;
}

int choiri_conn_make_root(choir_session *s, const choiri_conn_init *init) {
    choiri_conn *c = &s->conns.root;
    c->node.kind = CHOIRI_READY_CONN;
    c->node.generation = s->conns.first_generation;
    int status = give_profile(s, c, &init->like);
    if (status != CHOIR_OK) return status;
    set_flags(c, init->parity, false);
    c->user_data = init->user_data;
    set_state(c, CHOIRI_CONN_OPENING);
    s->conns.live++;
    return CHOIR_OK;
}

/* ---- open, accept, reject, close ---- */

/* Sends a message about a connection; behind its own output if it has some. */
static int send(choir_session *s, choiri_hot *hot, const choiri_message *msg,
                const choir_metadata_entry *entries, size_t count, choir_time now) {
    choiri_sending m;
    if (!choiri_egress_begin(s, hot, &m, NULL)) return CHOIR_ERR_STATE;
    s->codec->encode(&m.writer, msg, entries, count);
    return choiri_egress_end(&m, CHOIRI_FRAME_OTHER, NULL, now);
}

static choiri_settings settings_of(uint8_t parity, const choiri_limits *limits) {
    return (choiri_settings){parity, limits->max_concurrent_requests};
}

int choiri_conn_open(choir_session *s, const choiri_conn_init *init, choiri_conn **ret_conn, choir_time now) {
    choiri_conn *c;
    if (s->state != CHOIRI_SESSION_ESTABLISHED) return CHOIR_ERR_STATE;
    if (s->conns.next_id > UINT64_MAX - 2) return CHOIR_ERR_ID_EXHAUSTED;
    int status = new_conn(s, s->conns.next_id, &c);
    if (status != CHOIR_OK) return status;
    set_flags(c, init->parity, false);
    c->user_data = init->user_data;
    status = give_profile(s, c, &init->like);
    choiri_message msg = {.conn = c->wire_id,
                          .kind = CHOIRI_MSG_CONNECTION_OPEN,
                          .settings = settings_of(init->parity, &init->like.limits)};
    if (status == CHOIR_OK) status = send(s, NULL, &msg, init->metadata, init->metadata_len, now);
    set_state(c, CHOIRI_CONN_OPENING);
    if (status != CHOIR_OK) { /* as if it had never been */
        if (c->profile) choiri_profile_release(s->env, c->profile);
        c->profile = NULL;
        c->user_data = NULL;
        set_state(c, CHOIRI_CONN_CLOSED);
        forget_id(s, c);
        s->conns.live--;
        free_conn(s, c);
        return status;
    }
    s->conns.next_id += 2;
    *ret_conn = c;
    return CHOIR_OK;
}

/* rule: connection.open. The id must be one of the peer's own, and free. */
void choiri_conn_offered(choir_session *s, const choiri_message *msg, choir_time now) {
    choiri_conn *c;
    choiri_message reject = {.conn = msg->conn, .kind = CHOIRI_MSG_CONNECTION_REJECT};
    if (msg->conn == 0 || !is_theirs(s, msg->conn)) {
        choiri_session_protocol_error(
            s, "ConnectionOpen with an id that is not the peer's to use: ", msg->conn, now);
        return;
    }
    if (choiri_conn_by_wire_id(s, msg->conn)) {
        choiri_session_protocol_error(
            s, "ConnectionOpen with the id of a connection that is live: ", msg->conn, now);
        return;
    }
    if (s->conns.theirs >= s->conns.max_theirs) {
        static const char why[] = "too many connections";
        choir_metadata_entry entry = {.key = CHOIR_STR("error"),
                                      .type = CHOIR_METADATA_STRING,
                                      .bytes = {(const uint8_t *)why, sizeof why - 1}};
        if (!choiri_session_glitch(s, now)) return;
        if (send(s, NULL, &reject, &entry, 1, now) != CHOIR_OK)
            choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return;
    }
    if (new_conn(s, msg->conn, &c) != CHOIR_OK) {
        choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return;
    }
    s->conns.theirs++;
    if (msg->conn > s->conns.highest) s->conns.highest = msg->conn;
    s->charged += sizeof *c;
    set_flags(c, msg->settings.parity == CHOIRI_PARITY_ODD ? CHOIRI_PARITY_EVEN : CHOIRI_PARITY_ODD, true);
    set_state(c, CHOIRI_CONN_OFFERED);
    s->upper->offered(s, c, msg, now);
}

/* An offered one of which nobody was told. */
static void forget_offer(choir_session *s, choiri_conn *c) {
    forget_id(s, c);
    s->conns.live--;
    free_conn(s, c);
}

int choiri_conn_accept(choir_session *s, choiri_conn *c, const choiri_conn_init *init, choir_time now) {
    CHOIRI_ASSERT(choiri_conn_get_state(c) == CHOIRI_CONN_OFFERED);
    int status = give_profile(s, c, &init->like);
    if (status != CHOIR_OK) return status;
    choiri_message msg = {.conn = c->wire_id,
                          .kind = CHOIRI_MSG_CONNECTION_ACCEPT,
                          .settings = settings_of(choiri_conn_parity(c), &init->like.limits)};
    status = send(s, NULL, &msg, init->metadata, init->metadata_len, now);
    if (status != CHOIR_OK) {
        choiri_profile_release(s->env, c->profile);
        c->profile = NULL;
        return status;
    }
    c->user_data = init->user_data;
    set_state(c, CHOIRI_CONN_OPEN);
    c->profile->driver->opened(s, c, now);
    return CHOIR_OK;
}

int choiri_conn_reject(choir_session *s, choiri_conn *c, choir_str reason, choir_time now) {
    CHOIRI_ASSERT(choiri_conn_get_state(c) == CHOIRI_CONN_OFFERED);
    choir_metadata_entry entry = {.key = CHOIR_STR("error"),
                                  .type = CHOIR_METADATA_STRING,
                                  .bytes = {(const uint8_t *)reason.data, reason.len}};
    choiri_message msg = {.conn = c->wire_id, .kind = CHOIRI_MSG_CONNECTION_REJECT};
    int status = send(s, NULL, &msg, &entry, 1, now);
    if (status == CHOIR_OK) forget_offer(s, c);
    return status;
}

void choiri_conn_opened(choir_session *s, choiri_conn *c, uint32_t peer_requests, choir_time now) {
    choiri_profile like = *c->profile;
    like.limits.peer_requests = peer_requests;
    like.limits.max_calls = peer_requests > 0 ? peer_requests : 1;
    choiri_profile *known = choiri_profile_get(s->env, &like);
    if (!known) {
        choiri_conn_fail(s, c, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
        return;
    }
    choiri_profile_release(s->env, c->profile);
    c->profile = known;
    set_state(c, CHOIRI_CONN_OPEN);
    c->profile->driver->opened(s, c, now);
}

/* Accept, Reject and Close for a connection that is live. */
void choiri_conn_message(choir_session *s, choiri_conn *c, const choiri_message *msg, choir_time now) {
    choiri_conn_state state = choiri_conn_get_state(c);
    if (choiri_conn_is_root(c)) {
        choiri_session_protocol_error(s, "a connection message for the root connection, kind ", msg->kind,
                                      now);
        return;
    }
    if (msg->kind == CHOIRI_MSG_CONNECTION_CLOSE) {
        choir_metadata_entry e;
        choiri_text why;
        choiri_text_init(&why);
        choiri_text_add(&why, "the peer closed the connection");
        if (choir_metadata_find(msg->metadata, CHOIR_STR("choir-reason"), CHOIR_METADATA_STRING, &e))
            choiri_text_quoted(choiri_text_add(&why, ": "), e.bytes, 120);
        if (c->hot) choiri_egress_clear(c->hot); /* nothing may follow on this id */
        if (state == CHOIRI_CONN_OFFERED)
            forget_offer(s, c);
        else
            choiri_conn_end(s, c, CHOIR_ERR_PEER_CLOSED, &why);
        return;
    }
    if (state != CHOIRI_CONN_OPENING) { /* an answer that was given already, or to our own offer */
        choiri_session_protocol_error(s, "an answer to an Open that waits for none, connection ", msg->conn,
                                      now);
        return;
    }
    if (msg->kind == CHOIRI_MSG_CONNECTION_ACCEPT) {
        if (msg->settings.parity == choiri_conn_parity(c)) {
            choiri_conn_protocol_error(s, c, "accepted with our own parity, connection ", msg->conn, now);
            return;
        }
        choiri_conn_opened(s, c, msg->settings.max_concurrent_requests, now);
        return;
    }
    choiri_text why;
    choir_metadata_entry e;
    choiri_text_init(&why);
    choiri_text_add(&why, "the peer rejected the connection");
    if (choir_metadata_find(msg->metadata, CHOIR_STR("error"), CHOIR_METADATA_STRING, &e))
        choiri_text_quoted(choiri_text_add(&why, ": "), e.bytes, 120);
    choiri_conn_end(s, c, CHOIR_ERR_REFUSED, &why);
}

void choiri_conn_close(choir_session *s, choiri_conn *c, int status, choir_str reason, choir_time now) {
    CHOIRI_ASSERT(!choiri_conn_is_root(c));
    choir_metadata_entry entry = {.key = CHOIR_STR("choir-reason"),
                                  .type = CHOIR_METADATA_STRING,
                                  .bytes = {(const uint8_t *)reason.data, reason.len}};
    choiri_message msg = {.conn = c->wire_id, .kind = CHOIRI_MSG_CONNECTION_CLOSE};
    int sent = send(s, c->hot, &msg, &entry, reason.len > 0 ? 1 : 0, now);
    if (sent == CHOIR_ERR_TOO_LARGE || sent == CHOIR_ERR_INVALID) /* a reason that cannot be said */
        sent = send(s, c->hot, &msg, NULL, 0, now);
    choiri_text why;
    choiri_text_init(&why);
    choiri_text_str(&why, reason);
    choiri_conn_end(s, c, status, &why);
    /* The peer would go on using it, and we could not tell whether it knows. */
    if (sent == CHOIR_ERR_NO_MEMORY) choiri_session_fail(s, CHOIR_ERR_OUT_OF_MEMORY, NULL, now);
}

void choiri_conn_fail(choir_session *s, choiri_conn *c, int status, const choiri_text *why, choir_time now) {
    if (choiri_conn_is_root(c)) {
        choiri_session_fail(s, status, why, now);
        return;
    }
    if (choiri_conn_get_state(c) == CHOIRI_CONN_CLOSED) return;
    const char *text = choir_status_text(status);
    choir_str reason = why && why->len > 0 ? choiri_text_get(why) : (choir_str){text, strlen(text)};
    choiri_conn_close(s, c, status, reason, now);
}

void choiri_conn_protocol_error(choir_session *s, choiri_conn *c, const char *what, uint64_t number,
                                choir_time now) {
    choiri_text text;
    choiri_text_init(&text);
    choiri_text_u64(choiri_text_add(&text, what), number);
    choiri_conn_fail(s, c, CHOIR_ERR_PROTOCOL, &text, now);
}

/* ---- ends ---- */

void choiri_conn_end(choir_session *s, choiri_conn *c, int status, const choiri_text *text) {
    if (choiri_conn_get_state(c) == CHOIRI_CONN_CLOSED) return;
    set_state(c, CHOIRI_CONN_CLOSED);
    forget_id(s, c);
    c->profile->driver->ended(s, c, status);
    c->node.bits = CHOIRI_CONN_OVER; /* not WRITABLE any more */
    choiri_ready_add(s, &c->node, CHOIRI_CONN_OVER);
    if (choiri_conn_is_root(c)) return;     /* its reason is the session's */
    c->wire_id = (uint64_t)(int64_t)status; /* nobody asks for the id any more */
    choiri_hot *hot = text && text->len > 0 ? choiri_conn_heat(s, c) : NULL;
    if (hot)
        hot->why =
            choiri_text_keep(s->env, text); /* without memory it ends all the same, only without a text */
}

/* Calls `each` for every live record. */
static void for_each(choir_session *s, void (*each)(choir_session *s, choiri_conn *c, const void *ctx),
                     const void *ctx) {
    for (uint32_t i = 0; i < s->conns.pages_len; i++) {
        for (uint32_t k = 0; k < PAGE; k++) {
            choiri_conn *c = &s->conns.pages[i][k];
            if (choiri_conn_get_state(c) != CHOIRI_CONN_FREE) each(s, c, ctx);
        }
    }
    if (choiri_conn_get_state(&s->conns.root) != CHOIRI_CONN_FREE) each(s, &s->conns.root, ctx);
}

typedef struct ending {
    int status;
    const choiri_text *text;
} ending;

static void end_one(choir_session *s, choiri_conn *c, const void *ctx) {
    const ending *e = ctx;
    if (choiri_conn_get_state(c) == CHOIRI_CONN_OFFERED)
        forget_offer(s, c);
    else
        choiri_conn_end(s, c, e->status, e->text);
}

void choiri_conn_end_all(choir_session *s, int status, const choiri_text *text) {
    for_each(s, end_one, &(ending){status, text});
}

static void shut_down_one(choir_session *s, choiri_conn *c, const void *ctx) {
    c->node.bits &= (uint8_t)~CHOIRI_CONN_WRITABLE; /* there will be nothing to write */
    if (choiri_conn_get_state(c) == CHOIRI_CONN_OPEN)
        c->profile->driver->shutdown(s, c, *(const choir_time *)ctx);
}

void choiri_conn_shutdown_all(choir_session *s, choir_time now) {
    for_each(s, shut_down_one, &now);
}

static void drop_one(choir_session *s, choiri_conn *c, const void *ctx) {
    (void)ctx;
    strip(s, c);
    if (c->node.state & CHOIRI_CONN_THEIRS) s->charged -= sizeof *c;
    c->node.state = CHOIRI_CONN_FREE; /* from whatever state: nobody will ask */
}

void choiri_conn_drop_all(choir_session *s) {
    for_each(s, drop_one, NULL);
    for (uint32_t i = 0; i < s->conns.pages_len; i++)
        choiri_free(s->env, s->conns.pages[i], PAGE * sizeof **s->conns.pages);
    uint32_t room = 1;
    while (room < s->conns.pages_len) room *= 2;
    choiri_free(s->env, s->conns.pages, s->conns.pages ? room * sizeof *s->conns.pages : 0);
    choiri_free(s->env, s->conns.buckets, s->conns.buckets_len * sizeof *s->conns.buckets);
}

/* ---- reports ---- */

int choiri_conn_status(const choir_session *s, const choiri_conn *c) {
    return choiri_conn_is_root(c) ? s->status : (int32_t)(int64_t)c->wire_id;
}

choir_str choiri_conn_text(const choir_session *s, const choiri_conn *c) {
    if (choiri_conn_is_root(c)) return choir_session_text(s);
    return c->hot && c->hot->why.data ? c->hot->why : (choir_str){"", 0};
}

bool choiri_conn_report(choir_session *s, choiri_ready *node, choir_event *event) {
    choiri_conn *c = CHOIRI_CONTAINER(node, choiri_conn, node);
    event->conn = choiri_conn_handle(c);
    if (node->bits & CHOIRI_CONN_WRITABLE) {
        node->bits = 0;
        event->kind = CHOIR_EVENT_CONN_WRITABLE;
        return true;
    }
    if (!(node->bits & CHOIRI_CONN_OVER)) return false; /* the session closes meanwhile */
    /* It may have been in the list before what it waits for, to say that it is writable. */
    if ((c->hot && c->hot->unreported > 0) || (s->state_node.bits & CHOIRI_REPORT_DETACHED)) {
        choiri_ready_add(s, node, CHOIRI_CONN_OVER);
        return false;
    }
    node->bits = 0;
    event->kind = CHOIR_EVENT_CONN_CLOSED;
    event->status = choiri_conn_status(s, c);
    event->text = choiri_conn_text(s, c);
    event->user_data = c->user_data;
    s->conns.live--;
    s->retired = node;
    return true;
}

static bool is_needed(const choiri_hot *hot) {
    return hot && (hot->held > 0 || !choiri_egress_is_empty(&hot->egress));
}

/* Gone, unless handlers still hold requests of it, or its last words wait for the link: then with the last of
 * that. The root's record stays with its session. */
void choiri_conn_retire(choir_session *s, choiri_ready *node) {
    choiri_conn *c = CHOIRI_CONTAINER(node, choiri_conn, node);
    if (choiri_conn_is_root(c)) return;
    if (is_needed(c->hot))
        c->hot->over = true;
    else
        free_conn(s, c);
}

void choiri_conn_released(choir_session *s, choiri_hot *hot) {
    if (hot->over && !is_needed(hot)) free_conn(s, hot->conn);
}

void choiri_conn_go_on(choir_session *s, choiri_hot *hot, choir_time now) {
    if (hot->over)
        choiri_conn_released(s, hot);
    else if (choiri_conn_get_state(hot->conn) == CHOIRI_CONN_OPEN) {
        hot->conn->profile->driver->go_on(s, hot, now);
        choiri_conn_cool(s, hot);
    }
}

/* ---- queries ---- */

static const choiri_conn *live(const choir_session *s, choir_conn_id conn) {
    return s ? choiri_conn_find((choir_session *)(uintptr_t)s, conn) : NULL;
}

const choir_service *choir_conn_service(const choir_session *s, choir_conn_id conn) {
    const choiri_conn *c = live(s, conn);
    return c && c->profile && c->profile->call ? c->profile->call->desc : NULL;
}

uint32_t choir_conn_peer_requests(const choir_session *s, choir_conn_id conn) {
    const choiri_conn *c = live(s, conn);
    return c && c->profile ? c->profile->limits.peer_requests : 0;
}

void *choir_conn_user_data(const choir_session *s, choir_conn_id conn) {
    const choiri_conn *c = live(s, conn);
    return c ? c->user_data : NULL;
}

int choir_conn_set_user_data(choir_session *s, choir_conn_id conn, void *user_data) {
    choiri_conn *c = s ? choiri_conn_find(s, conn) : NULL;
    if (!c) return CHOIR_ERR_NOT_FOUND;
    c->user_data = user_data;
    return CHOIR_OK;
}

int choir_conn_set_slot(choir_session *s, choir_conn_id conn, const choir_key *key, void *value,
                        void (*destroy)(void *value)) {
    choiri_conn *c = s && key ? choiri_conn_find(s, conn) : NULL;
    if (!c || !c->profile) return CHOIR_ERR_NOT_FOUND;
    choiri_hot *hot = choiri_conn_heat(s, c);
    return hot ? choiri_slots_set(s->env, &hot->slots, key, value, destroy) : CHOIR_ERR_NO_MEMORY;
}

void *choir_conn_slot(const choir_session *s, choir_conn_id conn, const choir_key *key) {
    const choiri_conn *c = live(s, conn);
    return c && c->hot ? choiri_slots_get(c->hot->slots, key) : NULL;
}
