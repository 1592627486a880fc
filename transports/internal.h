/* SPDX-License-Identifier: MIT */
/* What the files of libchoir-net share. See choir/net.h for the contract; only public headers are used.
 *
 * How a turn goes. libevent calls back because something is readable, writable or due; each such callback enters the
 * loop (the first of a wake-up reads the clock), feeds what it read and marks its link. The turn event, activated once
 * per wake-up, comes behind them: it runs every marked link, which is where output is written:
 * one write for the answers of one wake-up, and more only in the middle of a long burst (link.c). Calls from outside a callback mark links in the same way.
 *
 * Nothing is freed while anything of it may be on the stack: links, clients and servers go in the turn event only
 * (or in choir_loop_free), under which no other callback runs.
 */
#ifndef CHOIRI_NET_INTERNAL_H
#define CHOIRI_NET_INTERNAL_H

#include "choir/net.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>

typedef struct net_link net_link;

/* ---- intrusive list: a node that is in no list points to itself ---- */

typedef struct net_node {
    struct net_node *next, *prev;
} net_node;

static inline void net_node_init(net_node *n) {
    n->next = n->prev = n;
}
static inline bool net_list_is_empty(const net_node *head) {
    return head->next == head;
}
static inline void net_node_remove(net_node *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    net_node_init(n);
}
static inline void net_list_append(net_node *head, net_node *n) {
    net_node_remove(n);
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}
#define NET_CONTAINER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* ---- text that is cut when it gets too long ---- */

typedef struct net_text {
    size_t len;
    char data[500]; /* NUL-terminated; ends in "..." when it was cut */
} net_text;

void choiri_net_text_add(net_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline choir_str net_text_get(const net_text *t) {
    return (choir_str){t->data, t->len};
}

/* ---- address.c ---- */

#define NET_HOST_MAX 253u /* longest DNS name */
#define NET_URL_MAX  280u /* a URL with such a name, and its NUL */

typedef union net_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} net_sockaddr;

typedef enum net_scheme { NET_TCP, NET_MEMORY } net_scheme;

typedef struct net_address {
    net_scheme scheme;
    bool numeric;                /* tcp: socket is filled in, nothing has to be resolved */
    uint16_t port;               /* tcp */
    char host[NET_HOST_MAX + 1]; /* tcp: without brackets; mem: the name */
    net_sockaddr socket;
} net_address;

/* Understands tcp://host:port and mem://name. OK · ERR_ADDRESS with *ret_why saying what is wrong; *ret_address is then
 * unspecified. */
int choiri_net_address_parse(const char *url, net_address *ret_address, net_text *ret_why);
/* "127.0.0.1:80", "[::1]:80". */
void choiri_net_sockaddr_text(const net_sockaddr *address, char *ret_text, size_t size);
socklen_t choiri_net_sockaddr_len(const net_sockaddr *address);

/* ---- loop.c ---- */

typedef struct net_slot {
    net_link *link;      /* NULL: free */
    uint32_t generation; /* of the link that is or was here */
    uint32_t next_free;  /* index + 1; 0 ends the list */
} net_slot;

struct choir_loop {
    struct event_base *base;
    bool own_base;
    bool running;   /* we are inside event_base_loop */
    bool stop;      /* choir_loop_run shall return */
    bool fresh;     /* now was read in this turn */
    bool turning;   /* the turn event is pending or runs */
    bool freeing;   /* choir_loop_free is at work: nothing new may be made */
    uint32_t depth; /* callbacks of ours that are running; 0 or 1 */
    choir_time now;
    choir_env *env;
    choir_allocator allocator;
    choir_log_fn *log;
    void *log_ctx;
    uint32_t log_level;
    choir_chunk *chunk; /* what links read into; replaced when somebody retained it */
    net_node dirty;     /* links that have work in this turn */
    net_node links;
    net_node objects;        /* clients and servers */
    net_node doomed;         /* those that were freed by the host: they go with this turn */
    net_node memory_servers; /* those that listen on mem:// */
    uint32_t links_len;
    struct event turn_event;
    struct event timeout_event; /* bounds choir_loop_turn */
    struct {
        net_link **heap; /* by armed */
        uint32_t len, cap;
        choir_time set_to; /* of fd; CHOIR_TIME_NEVER: to nothing that counts */
        bool listening;    /* event is added */
        int fd;
        struct event event;
    } timers;
    net_slot *slots; /* sessions by handle */
    uint32_t slots_len, free_slot;
    uint32_t first_generation; /* random, so that handles of two runs do not look alike */
    struct net_dns *dns;       /* made with the first name */
    /* What choir_client_call_wait and _wait_open wait for. */
    struct {
        bool active;
        choir_client *client; /* NULL once it was freed */
        choir_call_id call;
        const choir_event *done;
    } wait;
    net_link *held;          /* its session's last event is in the hands of choir_client_call_wait's caller */
    choir_chunk *held_chunk; /* what that event may point into */
    net_text error;
};

/* A client or server, as the loop sees it. */
typedef struct net_object {
    net_node node; /* in loop->objects or loop->doomed */
    bool doomed;
    void (*close)(struct net_object *object); /* begins the orderly end; may be called more than once */
    void (*bury)(struct net_object *object);  /* every callback that is still due, then free */
} net_object;

/* The host freed it: closes it now and buries it with the end of the turn. */
void choiri_net_doom(choir_loop *loop, net_object *object);

static inline struct timeval net_timeval(choir_duration d) {
    /* Rounded up, so that what is due is due when the timer fires. */
    uint64_t us = d / CHOIR_MICROSECOND + (d % CHOIR_MICROSECOND != 0);
    return (struct timeval){.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
}

void *choiri_net_alloc(choir_loop *loop, size_t size);
void choiri_net_release(choir_loop *loop, void *ptr, size_t size);
/* Lays `src` over the defaults in `dst`, as the core does with its options. OK · ERR_INVALID. */
int choiri_net_options_copy(void *dst, size_t dst_size, const void *src);
/* Fills the caller's `dst` of `size` bytes with as much of the defaults as fits, as the core does. */
void choiri_net_options_give(void *dst, size_t size, const void *defaults, size_t defaults_size);

/* What each session of a client or server and its link are made with: whole, whatever header the program was compiled
 * with. */
typedef struct net_session_options {
    choir_session_options session;
    choir_attachment_options attachment;
} net_session_options;

/* Lays what the host gave, either may be NULL, over the defaults; the wakes are ours. OK · ERR_INVALID. */
int choiri_net_session_options(const choir_session_options *session,
                               const choir_attachment_options *attachment, net_session_options *ret_options);
/* Notes why a function of the loop failed; returns `status`. */
int choiri_net_fail(choir_loop *loop, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Checks descriptors; notes what is wrong with them. */
int choiri_net_service_check(choir_loop *loop, const choir_service *service);
/* The same with the text that belongs to the status; OK clears the note. */
int choiri_net_result(choir_loop *loop, int status);
void choiri_net_log(choir_loop *loop, uint32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Time of this turn; outside of callbacks the clock is read. */
choir_time choiri_net_now(choir_loop *loop);
/* Around every callback of libevent. */
void choiri_net_enter(choir_loop *loop);
void choiri_net_leave(choir_loop *loop);
/* Makes sure that the turn event comes. */
void choiri_net_schedule(choir_loop *loop);
/* A chunk to read into that nobody else holds; NULL without memory. The loop keeps its reference. */
choir_chunk *choiri_net_chunk(choir_loop *loop);
/* True inside a callback of this loop, where it cannot be run. */
bool choiri_net_is_reentrant(const choir_loop *loop);
/* One pass of event_base_loop. OK · ERR_REENTRANT (the host's base runs already) · ERR_IO. *ret_idle: nothing is left that could happen. */
int choiri_net_pass(choir_loop *loop, int flags, bool *ret_idle);
/* Lets go of the event that the last choir_client_call_wait returned. */
void choiri_net_unhold(choir_loop *loop);
/* Handles of sessions; 0 without memory. */
uint64_t choiri_net_handle_new(choir_loop *loop, net_link *link);
void choiri_net_handle_free(choir_loop *loop, uint64_t handle);
net_link *choiri_net_handle_find(choir_loop *loop, uint64_t handle);

/* ---- timers.c ---- */

bool choiri_net_timers_init(choir_loop *loop);
void choiri_net_timers_deinit(choir_loop *loop);
/* Room for so many links; false without memory. */
bool choiri_net_timers_reserve(choir_loop *loop, uint32_t links);
/* Has choiri_net_link_due called at `t`, unless that is set to come earlier anyway. */
void choiri_net_timer_set(net_link *link, choir_time t);
void choiri_net_timer_clear(net_link *link);
/* With the end of each turn. */
void choiri_net_timers_settle(choir_loop *loop);

/* ---- resolve.c ---- */

#define NET_FOUND_MAX 16u /* addresses of a name that are tried */

/* A lookup of one name, both address families at once. */
typedef struct net_resolve net_resolve;

/* Starts to resolve; `link` is marked whenever something was found out. OK · ERR_NO_MEMORY · ERR_IO (no resolver). */
int choiri_net_resolve_new(net_link *link, const char *host, uint16_t port, net_resolve **ret_resolve);
void choiri_net_resolve_free(net_resolve *resolve);
/* True when both families were answered. */
bool choiri_net_resolve_is_done(const net_resolve *resolve);
/* When the first address was found; CHOIR_TIME_NEVER while there is none. */
choir_time choiri_net_resolve_found_at(const net_resolve *resolve);
/* Copies at most NET_FOUND_MAX addresses, IPv4 first, and returns how many. */
size_t choiri_net_resolve_found(const net_resolve *resolve, net_sockaddr ret_found[NET_FOUND_MAX]);
/* Why there are none, for people. */
const char *choiri_net_resolve_error(const net_resolve *resolve);
/* At the end of a turn: lets go of a resolver that nobody uses. */
void choiri_net_dns_settle(choir_loop *loop);
/* With choir_loop_free. */
void choiri_net_dns_free(choir_loop *loop);

/* ---- connect.c ---- */

/* The way of a client's link from an address to an open link. */
typedef struct net_connect {
    net_address address;
    char url[NET_URL_MAX];
    choir_time deadline;         /* of all of it, the handshake included */
    choir_time attempt_deadline; /* of the address that is being tried */
    net_resolve *resolve;
    net_sockaddr found[NET_FOUND_MAX];
    size_t found_len, next;
    bool searched;  /* found is complete */
    int status;     /* OK, or why there is no link */
    net_text tried; /* the addresses and what became of them */
} net_connect;

/* Gives an opening link its way. `timeout` 0: none. OK · ERR_NO_MEMORY · ERR_IO (no resolver), with nothing changed. */
int choiri_net_connect_start(net_link *link, const net_address *address, const char *url,
                             choir_duration timeout);
/* Goes on as far as possible: the link is then still opening, open, or closed with connect->status. */
void choiri_net_connect_step(net_link *link);
choir_time choiri_net_connect_deadline(const net_connect *connect);
void choiri_net_connect_free(net_link *link);
/* The link has its other end and opens. */
void choiri_net_connect_done(net_link *link);
/* There will be no link; the text is for people. */
void choiri_net_connect_failed(net_link *link, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- link.c ---- */

/* What a transport does for its links. */
typedef struct net_ops {
    uint32_t framing; /* CHOIR_FRAMING_* */
    /* Writes what the attachment offers, as far as the link takes it. */
    void (*flush)(net_link *link);
    /* Starts or stops listening for input. */
    void (*want)(net_link *link, bool input);
    /* Feeds what has arrived; called before time is told to pass. */
    void (*read)(net_link *link);
    /* No output will follow. */
    void (*shut)(net_link *link);
    /* The end. Called once, from any state. */
    void (*close)(net_link *link);
} net_ops;

/* Whom a link belongs to: a client or a server. */
typedef struct net_owner {
    /* One event of the session. */
    void (*event)(net_link *link, const choir_event *event);
    /* An acceptor's Hello waits. */
    void (*hello)(net_link *link);
    /* The link is closed and its session, if there ever was one, over; true when nothing of it is needed any more. */
    bool (*is_done)(const net_link *link);
    /* The link is about to be freed. */
    void (*gone)(net_link *link);
} net_owner;

typedef enum net_link_state {
    NET_OPENING,  /* a client's, before there is an other end */
    NET_OPEN,     /* bytes flow */
    NET_FLUSHING, /* the attachment has finished: what it still says is written; linger bounds it */
    NET_DRAINING, /* everything is written and our side shut; waits for the other end; linger bounds it */
    NET_CLOSED
} net_link_state;

struct net_link {
    choir_loop *loop;
    const net_ops *ops;
    const net_owner *owner; /* NULL: let go; events are thrown away and the link goes when it is closed */
    void *owner_data;       /* the client or server */
    choir_session *session;
    choir_attachment *attachment; /* NULL while opening */
    choir_conn root;              /* of session */
    uint64_t handle;              /* of the session in the loop; 0 is none */
    net_node all;                 /* in loop->links */
    net_node sibling;             /* in a list of the owner */
    net_node dirty;               /* in loop->dirty */
    net_link_state state;
    bool marked;       /* in loop->dirty */
    bool held;         /* an event is out (loop->held): no poll, no receive */
    bool over;         /* the session has reported its end */
    bool established;  /* the session has been established */
    bool handshaking;  /* a server's: among those that have not finished their handshake */
    bool reading;      /* listens for input */
    bool writing;      /* the link takes nothing at the moment; it says when it does */
    bool writable;     /* it did */
    choir_time armed;  /* when the link is looked at; CHOIR_TIME_NEVER when it is not in the heap */
    uint32_t timer_at; /* its index there + 1; 0 when it is not */
    choir_time linger; /* when patience with the other end ends */
    /* Bytes that were read but not wanted yet. Nothing is read while there are some. */
    struct {
        choir_chunk *chunk;
        size_t at, len; /* rest: [at, at + len) of chunk */
    } rest;
    net_connect *connect; /* opening, or failed to open */
    int fd;               /* tcp; -1 is none */
    net_link *peer;       /* memory: the other end */
    struct event read_event, write_event;
};

/* A link without an other end. NULL without memory. */
net_link *choiri_net_link_new(choir_loop *loop, const net_ops *ops, const net_owner *owner, void *owner_data);
/* Frees it with everything it has. */
void choiri_net_link_free(net_link *link);
/* Puts the link among those that run in this turn. */
void choiri_net_link_mark(net_link *link);
void choiri_net_link_run(net_link *link);
/* Time has come to look at the link's deadlines. */
void choiri_net_link_due(net_link *link);
/* Hands bytes from `chunk` to the attachment and reports what comes of them; what is not wanted is kept. */
void choiri_net_link_feed(net_link *link, choir_chunk *chunk, const uint8_t *bytes, size_t len);
/* Reports the session's events. */
void choiri_net_link_report(net_link *link);
/* The link has ended from outside. */
void choiri_net_link_lost(net_link *link, int status, choir_str text);
/* The owner goes: every event is reported now, then the link is on its own for the little that it still has to say. */
void choiri_net_link_let_go(net_link *link);
static inline bool net_link_wants(const net_link *link) {
    return (choir_attachment_interest(link->attachment) & CHOIR_WANTS_INPUT) != 0;
}

/* ---- tcp.c ---- */

extern const net_ops choiri_net_tcp;

/* Makes a socket and starts to connect it: 0 connected, EINPROGRESS (writable follows), or the errno of what failed. */
int choiri_net_tcp_connect(net_link *link, const net_sockaddr *to);
/* After writable: 0, or the errno of why the attempt failed. */
int choiri_net_tcp_connected(net_link *link);
/* Gives up an attempt: there is no socket then. */
void choiri_net_tcp_abandon(net_link *link);
/* Gives an accepted socket to a link, which takes it. */
void choiri_net_tcp_adopt(net_link *link, int fd);
/* A listening socket. OK · ERR_ADDRESS · ERR_LISTEN, with the reason noted. */
int choiri_net_tcp_listen(choir_loop *loop, const net_address *address, int *ret_fd, net_sockaddr *ret_bound);
/* The next one that connects: a socket, or -1 with errno. */
int choiri_net_tcp_accept(int fd);

/* ---- memory.c ---- */

extern const net_ops choiri_net_memory;

/* Ties a client's link to the server of this name; the link waits when that is full and fails when there is none. */
void choiri_net_memory_connect(net_link *link, const char *name);

/* ---- server.c ---- */

/* The server that listens on mem://name, or NULL. */
choir_server *choiri_net_server_find(choir_loop *loop, const char *name);
/* No more links are taken until one ends. */
bool choiri_net_server_is_full(const choir_server *server);
/* A link for a new peer, with its attachment; NULL without memory. The caller ties it to the other end. */
net_link *choiri_net_server_accept(choir_server *server, const net_ops *ops);
/* Keeps a link that found the server full; it is marked when there is room. */
void choiri_net_server_wait(choir_server *server, net_link *link);

/* ---- client.c ---- */

/* Options of an attachment, as the link's client wants them. */
const choir_attachment_options *choiri_net_client_attachment(const net_link *link);

#endif
