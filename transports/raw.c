/* SPDX-License-Identifier: MIT */
/* Streams over raw descriptors: sockets, and pairs of pipes.
 *
 * The only place where bytes enter and leave the process. Output to a socket says MSG_NOSIGNAL; a pipe knows
 * nothing of the kind, so SIGPIPE is blocked around the write, and taken back when that write has raised
 * it. */
#include "raw.h"

#include "evidence.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* choir_iov is made to be an iovec. */
_Static_assert(sizeof(choir_iov) == sizeof(struct iovec) &&
                   offsetof(choir_iov, base) == offsetof(struct iovec, iov_base) &&
                   offsetof(choir_iov, len) == offsetof(struct iovec, iov_len),
               "choir_iov is not laid out like struct iovec");

typedef struct raw {
    choir_stream stream;
    choir_loop *loop;
    choir_evidence *evidence;
    int fds[2];
    int error;
    bool sockets[2];
    bool made_nonblocking[2]; /* they were not when they came: others may share them */
} raw;

static raw *raw_of(choir_stream *stream) {
    return NET_CONTAINER(stream, raw, stream);
}

static int blocked_or_failed(raw *r) {
    r->error = errno;
    return errno == EAGAIN || errno == EWOULDBLOCK ? CHOIR_ERR_BLOCKED : CHOIR_ERR_IO;
}

static int raw_read(choir_stream *stream, void *ret_bytes, size_t size, size_t *ret_len) {
    raw *r = raw_of(stream);
    ssize_t n;
    do n = r->sockets[0] ? recv(r->fds[0], ret_bytes, size, 0) : read(r->fds[0], ret_bytes, size);
    while (n < 0 && errno == EINTR);
    if (n < 0) return blocked_or_failed(r);
    if (n == 0) return CHOIR_ERR_CLOSED;
    *ret_len = (size_t)n;
    return CHOIR_OK;
}

static ssize_t write_to_socket(int fd, const choir_iov *segments, size_t len) {
    if (len == 1) return send(fd, segments->base, segments->len, MSG_NOSIGNAL);
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)segments, .msg_iovlen = len};
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static ssize_t write_to_pipe(int fd, const choir_iov *segments, size_t len) {
    static const struct timespec at_once = {0, 0};
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    ssize_t n = writev(fd, (const struct iovec *)(const void *)segments, (int)len);
    int error = errno;
    if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR) continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return n;
}

static int raw_writev(choir_stream *stream, const choir_iov *segments, size_t len, size_t *ret_written) {
    raw *r = raw_of(stream);
    ssize_t n;
    do
        n = r->sockets[1] ? write_to_socket(r->fds[1], segments, len)
                          : write_to_pipe(r->fds[1], segments, len);
    while (n < 0 && errno == EINTR);
    if (n < 0) return blocked_or_failed(r);
    *ret_written = (size_t)n;
    return CHOIR_OK;
}

static void release_fd(raw *r, int i) {
    int fd = r->fds[i];
    /* A forked process shares the flag with its parent, which still needs it. */
    if (r->made_nonblocking[i] && !net_is_forked(r->loop))
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    close(fd);
}

static int raw_shut(choir_stream *stream) {
    raw *r = raw_of(stream);
    if (r->sockets[1]) {
        if (shutdown(r->fds[1], SHUT_WR) == 0) return CHOIR_OK;
        r->error = errno;
        return CHOIR_ERR_IO;
    }
    if (r->fds[1] == r->fds[0]) return CHOIR_OK; /* a device: there is no half of it */
    release_fd(r, 1);
    r->fds[1] = -1;
    return CHOIR_OK;
}

static void raw_close(choir_stream *stream) {
    raw *r = raw_of(stream);
    choir_loop *loop = r->loop;
    if (r->fds[1] >= 0 && r->fds[1] != r->fds[0]) release_fd(r, 1);
    release_fd(r, 0);
    choiri_net_evidence_free(loop, r->evidence);
    choiri_net_release(loop, r, sizeof *r);
}

static choir_stream_wait raw_wait(const choir_stream *stream, uint32_t operation) {
    const raw *r = raw_of((choir_stream *)(uintptr_t)stream);
    return operation == CHOIR_STREAM_READ ? (choir_stream_wait){r->fds[0], CHOIR_STREAM_READABLE}
                                          : (choir_stream_wait){r->fds[1], CHOIR_STREAM_WRITABLE};
}

static const choir_evidence *raw_evidence(const choir_stream *stream) {
    return raw_of((choir_stream *)(uintptr_t)stream)->evidence;
}

static choir_str raw_error(const choir_stream *stream) {
    const char *text = strerror(raw_of((choir_stream *)(uintptr_t)stream)->error);
    return (choir_str){text, strlen(text)};
}

/* Of a socket: what was not acknowledged (TCP), or read (unix); of a pipe: what nobody has read. */
static size_t raw_unsent(const choir_stream *stream) {
    const raw *r = raw_of((choir_stream *)(uintptr_t)stream);
    int bytes = 0;
    if (r->fds[1] < 0 || ioctl(r->fds[1], r->sockets[1] ? TIOCOUTQ : FIONREAD, &bytes) != 0) return 0;
    return (size_t)bytes;
}

static const choir_stream_ops raw_ops = {
    .size = sizeof raw_ops,
    .read = raw_read,
    .writev = raw_writev,
    .shut = raw_shut,
    .close = raw_close,
    .wait = raw_wait,
    .evidence = raw_evidence,
    .error = raw_error,
    .unsent = raw_unsent,
};

/* ---- making one ---- */

/* Sets one descriptor up; false leaves errno. A regular file never says when it is ready. */
static bool prepare(raw *r, int i) {
    struct stat st;
    int fd = r->fds[i];
    if (fstat(fd, &st) != 0) return false;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return false;
    r->sockets[i] = S_ISSOCK(st.st_mode);
    if (!r->sockets[i] && !S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode)) {
        errno = EPERM;
        return false;
    }
    r->made_nonblocking[i] = !(flags & O_NONBLOCK);
    return !r->made_nonblocking[i] || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static choir_evidence *collect(choir_loop *loop, const net_scheme *scheme, int fd) {
    net_evidence found = {0};
    if (scheme->evidence) scheme->evidence(fd, &found);
    choir_evidence e = {
        .size = sizeof e,
        .scheme = {scheme->name, strlen(scheme->name)},
        .peer = {found.peer, strlen(found.peer)},
        .local = {found.local, strlen(found.local)},
        .flags = found.flags,
        .uid = found.uid,
        .gid = found.gid,
        .pid = found.pid,
    };
    return choiri_net_evidence_copy(loop, &e);
}

int choiri_net_raw_new(choir_loop *loop, const net_scheme *scheme, const int fds[2],
                       choir_stream **ret_stream) {
    raw made = {.stream = {&raw_ops}, .loop = loop, .fds = {fds[0], fds[1]}};
    if (!prepare(&made, 0)) return CHOIR_ERR_IO;
    if (fds[1] == fds[0])
        made.sockets[1] = made.sockets[0];
    else if (!prepare(&made, 1))
        return CHOIR_ERR_IO;
    if (scheme->prepare) scheme->prepare(fds[0]);
    made.evidence = collect(loop, scheme, fds[0]);
    raw *r = made.evidence ? choiri_net_alloc(loop, sizeof *r) : NULL;
    if (!r) {
        choiri_net_evidence_free(loop, made.evidence);
        return CHOIR_ERR_NO_MEMORY;
    }
    *r = made;
    *ret_stream = &r->stream;
    return CHOIR_OK;
}
