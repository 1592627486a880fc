/* SPDX-License-Identifier: MIT */
/* choir/net.h: libchoir-net, servers and clients on an event loop.
 *
 * Role:    listen, connect, register a service, call with a callback, call and wait, reply now or later,
 *          without knowing the layers. Runs on libevent, on the host's own event_base if it has one; starts
 *          no threads.
 * Owner:   loops are the host's; servers and clients belong to their loop and are freed with it at the
 *          latest.
 * Life:    everything is legal in a callback, freeing the object it is about included: its memory and its
 *          remaining callbacks go at the end of the turn.
 * Threads: a loop and all that belongs to it is one thread's. Many loops may exist. Other threads use
 *          a poster to run functions on a loop.
 * Errors:  a function that failed never calls back; no callback runs inside the call that registers it.
 *
 * Addresses:
 *
 *   tcp://HOST:PORT     HOST is an IPv4 address, an IPv6 address in brackets, or a name, which is resolved
 *                       without blocking; localhost is loopback and not looked up. To listen it must be an
 *                       address or localhost, and port 0 lets the system choose. HOST:PORT is the same.
 *   unix://PATH         a socket in the file system; local://PATH is the same. While a server listens, it
 *                       holds a lock on PATH.lock; it replaces the socket of a server that is gone, never
 *                       that of a live one, and removes its own when it closes. ?mode=0660 behind the path of
 *                       a server gives the socket that mode.
 *   unix-abstract:NAME  a socket without a file. Anybody on the machine may connect: look at the evidence.
 *   fd:N, fd:IN,OUT     descriptors that the program was given (sockets, pipes), taken by the library. A
 *                       server accepts from one that listens, and has the one session of one that is
 *                       connected.
 *   stdio:              standard input and output, as fd:0,1; /dev/null and standard error take their places.
 *   mem://NAME          inside one loop.
 */
#ifndef CHOIR_NET_H
#define CHOIR_NET_H

#include "choir/attachment.h"
#include "choir/evidence.h"
#include "choir/rpc.h"
#include "choir/stream.h"
#include "choir/value.h"

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;

typedef struct choir_loop choir_loop;
typedef struct choir_server choir_server;
typedef struct choir_client choir_client;

typedef struct choir_loop_options {
    size_t size; /* set by choir_loop_options_init */
    /* base: the host's event_base, borrowed until the loop is freed; NULL makes one. */
    struct event_base *base;
    /* env: log, memory quota and the like, borrowed for the call. NULL: the defaults. Without an allocator it
     * is malloc, without random the system's. */
    const choir_env_options *env;
} choir_loop_options;

/* Fills in the defaults and writes exactly `size` bytes (env.h says why). */
CHOIR_API void choir_loop_options_init_sized(choir_loop_options *options, size_t size);
static inline void choir_loop_options_init(choir_loop_options *options) {
    choir_loop_options_init_sized(options, sizeof *options);
}
/* `options` may be NULL. OK · ERR_INVALID · ERR_NO_MEMORY · ERR_RANDOM · ERR_IO. Returns owned (free with
 * choir_loop_free). */
CHOIR_API int choir_loop_new(const choir_loop_options *options, choir_loop **ret_loop);
/* Frees the loop with its servers and clients; their remaining callbacks run first, and can make nothing new.
 * Not from a callback of this loop, where it does nothing. What handlers on other threads hold goes as well:
 * wait for them first. In another process than the one that made the loop it closes and frees, without a
 * callback and without a word to any peer (with the host's base: after the event_reinit that libevent asks
 * for), and all other functions there answer ERR_STATE or do nothing. */
CHOIR_API void choir_loop_free(choir_loop *loop);
/* Runs until choir_loop_stop, or until nothing is left that could happen. OK · ERR_REENTRANT · ERR_IO. */
CHOIR_API int choir_loop_run(choir_loop *loop);
/* One turn: waits at most `timeout` (0: not at all; CHOIR_TIME_NEVER: as long as it takes) for something to
 * happen and handles it. OK · ERR_REENTRANT · ERR_IO. */
CHOIR_API int choir_loop_turn(choir_loop *loop, choir_duration timeout);
/* Makes choir_loop_run return after this turn. */
CHOIR_API void choir_loop_stop(choir_loop *loop);
/* Closes every server and client of the loop in order, and calls back once, not inside this call, when all
 * of it has ended: what was answered has left, handlers have let go of every request, no link is open. It
 * does not when the loop is freed before, and what is made meanwhile holds it up. Servers and clients stay to
 * be freed, by the host or with the loop. OK · ERR_INVALID · ERR_STATE · ERR_BUSY (it is under way). */
typedef void choir_loop_closed_fn(void *ctx, choir_loop *loop);
CHOIR_API int choir_loop_close(choir_loop *loop, choir_loop_closed_fn *done, void *ctx);
/* Monotonic time of this turn; read once per turn. */
CHOIR_API choir_time choir_loop_now(choir_loop *loop);
CHOIR_API choir_env *choir_loop_env(choir_loop *loop);

/* A log function for programs that have none: env options' `log`. Writes a line to standard error, such as
 * "warning: net: ..."; what is not printable ASCII is escaped, and the line ends at 1,000 bytes. Any
 * thread. */
CHOIR_API void choir_log_to_stderr(void *ctx, uint32_t level, const char *area, choir_str text);

/* ---- sessions ----
 *
 * A client or a request leads to its session, on which every function of the core may be used: choir/rpc.h,
 * choir/session.h, choir/connection.h. What it has to send leaves, and what becomes of it is reported, with
 * this turn of the loop; `now` is choir_loop_now. Three are the loop's own: choir_session_poll, _advance and
 * _free. The same goes for the session's attachment. A call made with choir_call calls back if its options
 * have a callback. Whoever wants events that have no callback observes them (choir_session_observe). */

/* A server's session by its handle. NULL when it is gone. Returns borrowed (valid until it is freed: after
 * `closed`, when no handler holds a request of it any more). */
CHOIR_API choir_session *choir_loop_session(choir_loop *loop, uint64_t session);

/* ---- timers ---- */

/* Calls back once for each time that it is set. */
typedef struct choir_loop_timer choir_loop_timer;
typedef void choir_loop_timer_fn(void *ctx, choir_loop_timer *timer);

/* OK · ERR_INVALID · ERR_NO_MEMORY · ERR_STATE (the loop is being freed). Returns owned (free with
 * choir_loop_timer_free; those that are left go with the loop, without a call). */
CHOIR_API int choir_loop_timer_new(choir_loop *loop, choir_loop_timer_fn *fn, void *ctx,
                                   choir_loop_timer **ret_timer);
/* Has the function called once, at `at` or the first turn after it, instead of when it was set to before.
 * CHOIR_TIME_NEVER: not at all. A loop with a timer that is set is not idle. */
CHOIR_API void choir_loop_timer_set(choir_loop_timer *timer, choir_time at);
/* Frees it; legal in its own callback. */
CHOIR_API void choir_loop_timer_free(choir_loop_timer *timer);

/* ---- other threads ---- */

/* Has functions run on a loop, from any thread. */
typedef struct choir_poster choir_poster;
/* `loop`: the loop on whose thread it runs; NULL: the loop is being freed, and nothing of it may be used. */
typedef void choir_post_fn(void *ctx, choir_loop *loop);

/* The loop's poster, retained for the caller; NULL without memory, or when the loop is being freed. While
 * somebody has a reference, the loop is not idle. Returns owned (release with choir_poster_release). */
CHOIR_API choir_poster *choir_loop_poster(choir_loop *loop);
/* Adds a reference (retains); returns its argument. Any thread. */
CHOIR_API choir_poster *choir_poster_retain(choir_poster *poster);
/* Drops a reference (releases). NULL is fine. Any thread; the poster may outlive its loop. */
CHOIR_API void choir_poster_release(choir_poster *poster);
/* Has fn(ctx, loop) run on the loop's thread, in a turn of its own, in the order of posts. After OK it runs
 * exactly once: at the latest in choir_loop_free, with NULL for the loop. Any thread.
 * OK · ERR_INVALID · ERR_CLOSED (the loop is gone) · ERR_STATE (another process's) · ERR_NO_MEMORY. */
CHOIR_API int choir_poster_post(choir_poster *poster, choir_post_fn *fn, void *ctx);

/* The scheme that an address begins with ("unix" for local://), or NULL when that is none: for programs that
 * also take texts that are not URLs. Returns borrowed (valid for ever). */
CHOIR_API const char *choir_address_scheme(const char *address);

/* ---- server ---- */

/* Names one request; a value that may be kept. Using it after the request ended is ERR_NOT_FOUND. Generated
 * code has a type around it for each method, whose member `any` it is. */
typedef struct choir_responder {
    choir_loop *loop;
    uint64_t session; /* handle in the loop */
    choir_request_id request;
    const choir_service *service; /* of method */
    uint32_t method;              /* index in the service: what the request asks for */
} choir_responder;

/* Is this a request of that method? For generated code, which then knows the types of its answers. */
static inline bool choir_responder_is(choir_responder to, const choir_service *service, uint32_t method) {
    return to.service == service && to.method == method;
}

/* The session of a request: choir_loop_session(to.loop, to.session). */
CHOIR_API choir_session *choir_responder_session(choir_responder to);

/* One method's handler. Answer now, or keep the responder and answer later; always answer or drop, also when
 * the request was cancelled or has ended meanwhile (the answer is then ERR_CANCELLED or ERR_NOT_FOUND):
 * `args`, the C struct of the method's arguments, lives until then, or until the loop is freed. `request`
 * is the event (metadata, payload) and is borrowed. A handler runs on the loop: while it computes nothing is
 * answered, pings included, and a peer that waits for a call takes 5 s of silence for death (keepalive_busy).
 * Long work belongs elsewhere, and the answer comes later. */
typedef void choir_handler(void *ctx, choir_responder to, const void *args, const choir_event *request);

/* What generated code has instead of a table of handlers: finds the typed handler of method number `method`
 * in `handlers` and calls it. False: there is none. Without a `request` it only tells. */
typedef bool choir_dispatch(const void *handlers, uint32_t method, void *ctx, choir_responder to,
                            const void *args, const choir_event *request);

/* A service with those who answer for it. What it points to is borrowed as long as the server lives. */
typedef struct choir_served {
    const choir_service *service;
    /* handlers: one per method, in the service's order. A method whose entry is NULL is not served: its
     * callers are told that it is unknown, and the log says so when the server begins to listen. */
    choir_handler *const *handlers;
    /* dispatch: instead of `handlers`, called with dispatch_to. */
    choir_dispatch *dispatch;
    const void *dispatch_to;
    void *ctx;               /* given to the handlers, and to cancelled and ended */
    const void *reserved[3]; /* must be NULL */
} choir_served;

/* More than any program serves at one address; it bounds the size of the options. */
#define CHOIR_SERVICES_MAX 16u

typedef struct choir_server_options {
    size_t size; /* set by choir_server_options_init */
    /* services: what is served; services_len of them, with different names, added one by one by functions
     * that choir-gen makes, such as testbed_serve. A peer that names the service that it calls gets that one
     * on the root connection. One that names none (or Noop, as vox peers then say) gets the only one, or none
     * when there are several. One that names another is refused, with the names that are offered. */
    choir_served services[CHOIR_SERVICES_MAX];
    uint32_t services_len;
    /* cancelled: the peer gave the request up (REQUEST_CANCELLED). ended: it is over (REQUEST_DONE), the
     * event's outcome tells how. `ctx` is that of the request's service. Both may be NULL. */
    void (*cancelled)(void *ctx, choir_responder request, const choir_event *event);
    void (*ended)(void *ctx, choir_responder request, const choir_event *event);
    /* opened: a session was established (SESSION_ESTABLISHED: the peer's metadata, its evidence). closed: one
     * that had been is over (SESSION_CLOSED: status and text). `session` is its handle: choir_loop_session.
     * Both may be NULL. */
    void (*opened)(void *ctx, uint64_t session, const choir_event *event);
    void (*closed)(void *ctx, uint64_t session, const choir_event *event);
    void *ctx; /* given to opened and closed */
    /* max_sessions: links at a time; 10,000. Those in their handshake and those that are leaving count too.
     * At the bound nobody is accepted until one ends (the backlog waits). */
    uint32_t max_sessions;
    /* max_handshakes: links that have not finished their handshake; 1,024. At the bound nobody is accepted
     * until one ends. A link that has said nothing for 200 ms, or nothing more for a second, then makes way,
     * and the log says so. */
    uint32_t max_handshakes;
    /* session, attachment: options for each, borrowed for the call and copied. NULL: the defaults. What is
     * served, framing, evidence and wakes are the server's to set. What the root's metadata points to is
     * borrowed as long as the server lives. Each session gets user_data and destroy of both the session's
     * options and the root's, and destroy runs for each session: leave it NULL when they share user_data. */
    const choir_session_options *session;
    const choir_attachment_options *attachment;
} choir_server_options;

/* Fills in the defaults and writes exactly `size` bytes (env.h says why). */
CHOIR_API void choir_server_options_init_sized(choir_server_options *options, size_t size);
static inline void choir_server_options_init(choir_server_options *options) {
    choir_server_options_init_sized(options, sizeof *options);
}
/* Adds a service with generated handlers. One too many is not added, and choir_listen says so. */
CHOIR_API void choir_server_options_serve(choir_server_options *options, const choir_service *service,
                                          choir_dispatch *dispatch, const void *dispatch_to, void *ctx);
/* Listens. OK · ERR_INVALID (also without a service, as with NULL for options) · ERR_ABI · ERR_ADDRESS ·
 * ERR_LISTEN (the text says why: choir_loop_error) · ERR_NO_MEMORY · ERR_STATE (the loop is being freed).
 * Returns borrowed (valid until choir_server_free or the loop is freed). */
CHOIR_API int choir_listen(choir_loop *loop, const char *url, const choir_server_options *options,
                           choir_server **ret_server);
/* The address with the port in use, such as tcp://127.0.0.1:41234. Returns borrowed (valid until free). */
CHOIR_API const char *choir_server_url(const choir_server *server);
/* Stops listening and closes its sessions in order: what was answered leaves first, for as long as the peer
 * takes it (attachment's write_stall_timeout and min_output_rate). */
CHOIR_API void choir_server_close(choir_server *server);
/* Closes and frees; the remaining callbacks of its sessions still come, at the end of the turn at the latest.
 * What a link does not take in that turn is cut, so a server that owes answers is closed first. A session of
 * which handlers hold requests stays until they have answered or dropped the last one. */
CHOIR_API void choir_server_free(choir_server *server);
CHOIR_API size_t choir_server_sessions(const choir_server *server);
/* True when no peer is left and none will come: it was closed, or its address was the one of a single peer
 * (fd:, stdio:). */
CHOIR_API bool choir_server_is_done(const choir_server *server);

/* Takes a peer that somebody else accepted, such as a service manager or a program that looks at the first
 * bytes to tell protocols apart. `scheme` says how `fd` is treated, such as "tcp" or "unix"; `bytes` were
 * read from it before, and are copied. OK (takes fd) · ERR_INVALID · ERR_ADDRESS (no scheme of descriptors) ·
 * ERR_CLOSED · ERR_BLOCKED (max_sessions is reached) · ERR_IO (not a socket or pipe) · ERR_NO_MEMORY. */
CHOIR_API int choir_server_adopt(choir_server *server, int fd, const char *scheme, const void *bytes,
                                 size_t len);
/* The same with a stream of the host's own (stream.h), taken on success. */
CHOIR_API int choir_server_adopt_stream(choir_server *server, choir_stream *stream, const void *bytes,
                                        size_t len);
/* Answers, for what every handler does: choir_reply and friends without options and reasons, with their
 * statuses. `value` and `error` are read as the method's types and not checked: generated functions take no
 * others. Everything else is done on the request itself (choir_responder_session and to.request), such as
 * choir_request_alloc and choir_request_set_user_data. */
CHOIR_API int choir_respond(choir_responder to, const void *value);
CHOIR_API int choir_respond_error(choir_responder to, const void *error);
CHOIR_API int choir_respond_invalid(choir_responder to, choir_str text);
CHOIR_API int choir_respond_drop(choir_responder to);

/* ---- client ---- */

typedef struct choir_client_options {
    size_t size; /* set by choir_client_options_init */
    /* service: what the peer is expected to serve. Borrowed as long as the client lives. */
    const choir_service *service;
    /* connect_timeout: resolving, connecting and the handshake together, from the first turn on; 10 s. 0 is
     * none. A connection that was made while the program was busy elsewhere counts, and has the time for its
     * handshake. */
    choir_duration connect_timeout;
    void *ctx; /* given to the callbacks */
    /* opened: calls leave from now on (SESSION_ESTABLISHED: the peer's metadata, its evidence). closed: the
     * end (SESSION_CLOSED: status and text), also when connecting failed (ERR_CONNECT, ERR_RESOLVE,
     * ERR_CONNECT_TIMEOUT; the text lists the addresses tried); exactly once, after every call has had its
     * callback. May be NULL. */
    void (*opened)(void *ctx, choir_client *client, const choir_event *event);
    void (*closed)(void *ctx, choir_client *client, const choir_event *event);
    /* writable: a call that was answered CHOIR_ERR_BLOCKED would be taken now. May be NULL. */
    void (*writable)(void *ctx, choir_client *client);
    /* session, attachment: options for each, borrowed for the call and copied. NULL: the defaults. What is
     * called, framing, evidence and wakes are the client's to set, and nothing is served. */
    const choir_session_options *session;
    const choir_attachment_options *attachment;
} choir_client_options;

/* Fills in the defaults and writes exactly `size` bytes (env.h says why). */
CHOIR_API void choir_client_options_init_sized(choir_client_options *options, size_t size);
static inline void choir_client_options_init(choir_client_options *options) {
    choir_client_options_init_sized(options, sizeof *options);
}
/* Starts to connect. `options` may be NULL: nothing is called. Calls may be made at once; they wait for the
 * session. OK · ERR_INVALID · ERR_ABI · ERR_ADDRESS · ERR_NO_MEMORY · ERR_RANDOM · ERR_IO · ERR_STATE (the
 * loop is being freed). Returns borrowed (valid until choir_client_free or the loop is freed). */
CHOIR_API int choir_connect(choir_loop *loop, const char *url, const choir_client_options *options,
                            choir_client **ret_client);
/* Ends the session in order; closed follows once what was answered has left. */
CHOIR_API void choir_client_close(choir_client *client);
/* Closes and frees; its remaining callbacks still come, at the end of the turn at the latest. What the link
 * does not take in that turn is cut. */
CHOIR_API void choir_client_free(choir_client *client);

/* A client is one connection of a session. Both are there from the start. Borrowed (valid until
 * choir_client_free); NULL and 0 for no client, or in another process. */
CHOIR_API choir_session *choir_client_session(const choir_client *client);
CHOIR_API choir_conn_id choir_client_conn(const choir_client *client);
/* The service that it calls, NULL for none. Returns borrowed (valid as long as the descriptor). */
static inline const choir_service *choir_client_service(const choir_client *client) {
    return choir_conn_service(choir_client_session(client), choir_client_conn(client));
}

/* Calls; `done(ctx, event)` runs exactly once unless this fails. `options` may be NULL; its user_data and
 * callback are not used. Statuses as choir_call. ret_call may be NULL; it is for choir_cancel. */
CHOIR_API int choir_client_call(choir_client *client, uint32_t method, const void *args,
                                const choir_call_options *options, choir_call_fn *done, void *ctx,
                                choir_call_id *ret_call);
/* Sends a Ping and reports the round trip. OK · ERR_STATE (not established) · ERR_BUSY (one is under way).
 * `done` gets CHOIR_TIME_NEVER when the session ended first. */
CHOIR_API int choir_client_ping(choir_client *client, void (*done)(void *ctx, choir_duration round_trip),
                                void *ctx);

/* For small tools: runs the loop until the session is established, or fails. OK · ERR_REENTRANT · ERR_IO ·
 * the status it closed with. */
CHOIR_API int choir_client_wait_open(choir_client *client);
/* Calls, and runs the loop until it is answered or `timeout` is over (CHOIR_TIME_NEVER: no limit). *ret_done
 * is the CALL_DONE event when OK, whatever the outcome was, else NULL, which the functions made by choir-gen
 * take, too. It and what it points to are borrowed until the loop runs again, for whatever reason, or the
 * client is freed. OK · ERR_REENTRANT · ERR_IO · ERR_CLOSED (a callback freed the client) · statuses of
 * choir_call; then nothing was called, or nobody waits for it any more. */
CHOIR_API int choir_client_wait_call(choir_client *client, uint32_t method, const void *args,
                                     choir_duration timeout, const choir_event **ret_done);

/* Writes one line for people into `buffer`: what was called and where, what ended it, whether it ran, what to
 * do. `status` is what choir_client_call or a wait returned, `done` the event when there is one (NULL is
 * fine), `client` may be NULL. What the peer wrote is quoted, escaped and cut. Cut at `size`, NUL-terminated;
 * 512 bytes hold nearly all. Call it before anything else of the loop. Returns `buffer`. */
CHOIR_API const char *choir_explain(const choir_client *client, int status, const choir_event *done,
                                    char *buffer, size_t size);
/* The address it was given. Returns borrowed (valid until free). */
CHOIR_API const char *choir_client_url(const choir_client *client);

/* Status and text of the client's end, OK and empty before: those of its session. Text returns borrowed
 * (valid until free). */
CHOIR_API int choir_client_status(const choir_client *client);
CHOIR_API choir_str choir_client_text(const choir_client *client);
/* Why the last function of this loop failed, for people; empty when it did not. Returns borrowed (until the
 * next call). */
CHOIR_API choir_str choir_loop_error(const choir_loop *loop);

#ifdef __cplusplus
}
#endif
#endif
