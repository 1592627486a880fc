/* SPDX-License-Identifier: MIT */
/* The limit: echo over TCP with nothing but a 4-byte length in front, epoll, one read per wake-up, and one
 * write that gathers all that the wake-up has produced. The payload sizes are those of the library's own
 * messages, so that the same number of bytes crosses the link.
 *
 *   raw serve PORT ANSWER_BYTES [CORE]
 *   raw client PORT IN_FLIGHT SECONDS REQUEST_BYTES [CORE]
 * Sizes are payload sizes, without the length. */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (256u << 10)
#define HEAD   4u

typedef struct link {
    int fd, epoll;
    int wants_write;
    uint8_t *in, *out;
    size_t in_len, out_at, out_len;
    void (*on_frame)(struct link *l);
} link_t;

static uint32_t reply_size, request_size;
static bench run;
static uint64_t *sent_at; /* ring of start times, answers come in order */
static uint64_t sent_count, answered_count;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void set_interest(link_t *l, int write_too) {
    if (l->wants_write == write_too) return;
    l->wants_write = write_too;
    struct epoll_event e = {.events = EPOLLIN | (write_too ? EPOLLOUT : 0), .data.ptr = l};
    epoll_ctl(l->epoll, EPOLL_CTL_MOD, l->fd, &e);
}

static void flush_out(link_t *l) {
    while (l->out_at < l->out_len) {
        ssize_t n = write(l->fd, l->out + l->out_at, l->out_len - l->out_at);
        if (n < 0 && errno == EAGAIN) {
            set_interest(l, 1);
            return;
        }
        if (n < 0) exit(0);
        l->out_at += (size_t)n;
    }
    l->out_at = l->out_len = 0;
    set_interest(l, 0);
}

static void put_frame(link_t *l, uint32_t size) {
    if (l->out_len + HEAD + size > BUFFER) die("output buffer too small");
    memcpy(l->out + l->out_len, &size, HEAD);
    memset(l->out + l->out_len + HEAD, 7, size);
    l->out_len += HEAD + size;
}

static void on_request(link_t *l) {
    put_frame(l, reply_size);
}

static void send_request(link_t *l) {
    if (run.in_flight == 1 || sent_count % BENCH_SAMPLE_EVERY == 0)
        sent_at[sent_count % (uint64_t)run.in_flight] = bench_now();
    sent_count++;
    put_frame(l, request_size);
}

static void on_answer(link_t *l) {
    if (run.in_flight == 1 || answered_count % BENCH_SAMPLE_EVERY == 0)
        bench_sample(&run, bench_now() - sent_at[answered_count % (uint64_t)run.in_flight]);
    answered_count++;
    if (run.phase < 2 && bench_count(&run)) send_request(l);
}

static void on_readable(link_t *l) {
    ssize_t n = read(l->fd, l->in + l->in_len, BUFFER - l->in_len);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) exit(0);
    l->in_len += (size_t)n;
    size_t at = 0;
    while (l->in_len - at >= HEAD) {
        uint32_t size;
        memcpy(&size, l->in + at, HEAD);
        if (l->in_len - at - HEAD < size) break;
        at += HEAD + size;
        l->on_frame(l);
    }
    l->in_len -= at;
    if (at > 0 && l->in_len > 0) memmove(l->in, l->in + at, l->in_len);
    flush_out(l);
}

static void new_link(link_t *l, int fd, void (*on_frame)(link_t *l)) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    *l = (link_t){.fd = fd,
                  .epoll = epoll_create1(0),
                  .in = malloc(BUFFER),
                  .out = malloc(BUFFER),
                  .on_frame = on_frame};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
    epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e);
}

static void turn(link_t *l) {
    struct epoll_event e;
    if (epoll_wait(l->epoll, &e, 1, -1) < 1) return;
    if (e.events & EPOLLOUT) flush_out(l);
    if (e.events & ~(uint32_t)EPOLLOUT) on_readable(l);
}

static struct sockaddr_in address(const char *port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)atoi(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void serve(const char *port) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in a = address(port);
    socklen_t len = sizeof a;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 8)) die("listen");
    getsockname(listener, (struct sockaddr *)&a, &len);
    printf("listening on 127.0.0.1:%d\n", ntohs(a.sin_port));
    fflush(stdout);
    link_t l;
    new_link(&l, accept(listener, NULL, NULL), on_request);
    for (;;) turn(&l);
}

static int client(const char *port, long in_flight, double seconds) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = address(port);
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) die("connect");
    link_t l;
    new_link(&l, fd, on_answer);
    bench_start(&run, "raw", in_flight, seconds);
    sent_at = calloc((size_t)in_flight, sizeof *sent_at);
    for (long i = 0; i < in_flight; i++) send_request(&l);
    flush_out(&l);
    while (run.phase < 2) turn(&l);
    bench_report(&run, request_size + HEAD, 0, -1);
    return 0;
}

int main(int argc, char **argv) {
    if (argc >= 4 && !strcmp(argv[1], "serve")) {
        bench_pin(argc > 4 ? atoi(argv[4]) : -1);
        reply_size = (uint32_t)atoi(argv[3]);
        serve(argv[2]);
    }
    if (argc >= 6 && !strcmp(argv[1], "client")) {
        bench_pin(argc > 6 ? atoi(argv[6]) : -1);
        request_size = (uint32_t)atoi(argv[5]);
        return client(argv[2], atol(argv[3]), atof(argv[4]));
    }
    fprintf(stderr, "usage: raw serve PORT ANSWER_BYTES [CORE]\n"
                    "       raw client PORT IN_FLIGHT SECONDS REQUEST_BYTES [CORE]\n");
    return 2;
}
