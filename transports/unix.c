/* SPDX-License-Identifier: MIT */
/* unix://PATH (local://PATH is the same) and unix-abstract:NAME.
 *
 * While we listen on a path, PATH.lock is locked (flock), as listeners of vox do: whoever has the lock owns
 * the path. A socket file whose owner is gone is replaced, one that somebody listens on never, and what is
 * not a socket is left alone. When we close, the files go, if they are still the ones that we made.
 *
 * Rejected: taking a refused connection for proof that nobody listens. A listener that has not called listen
 * yet refuses, too; the lock is what decides, and the connection only protects listeners that do not know of
 * the lock. Umask for the mode: it is the whole process's. The socket is given its mode before it listens, so
 * nobody can get in early. */
#include "connect.h"
#include "evidence.h"
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_LEN (sizeof((struct sockaddr_un *)0)->sun_path - 1)
#define LOCK_PATH    (PATH_MAX_LEN + sizeof ".lock")
/* How often a lock file is opened again that another listener removed in the meantime. */
#define LOCK_TRIES 16u

/* ---- addresses ---- */

static int parse_mode(const char *query, net_address *a, net_text *why) {
    int mode = 0;
    const char *s = query + strlen("mode=");
    bool good = strncmp(query, "mode=", strlen("mode=")) == 0 && *s != '\0';
    for (; good && *s; s++) {
        good = *s >= '0' && *s <= '7' && mode <= 0777;
        mode = mode * 8 + (*s - '0');
    }
    if (!good || mode > 0777) {
        choiri_net_text_add(why, "after \"?\" comes mode=OCTAL, such as mode=0660, found \"%s\"", query);
        return CHOIR_ERR_ADDRESS;
    }
    a->mode = mode;
    return CHOIR_OK;
}

static int too_long(net_text *why, const char *what, size_t len) {
    choiri_net_text_add(why, "the %s has %zu bytes, and the address of a socket has room for %zu", what, len,
                        PATH_MAX_LEN);
    return CHOIR_ERR_ADDRESS;
}

static int local_parse(const char *rest, net_address *a, net_text *why) {
    size_t len = strcspn(rest, "?");
    a->mode = -1;
    a->socket.local.sun_family = AF_UNIX;
    if (len == 0) {
        choiri_net_text_add(why, "the path is missing");
        return CHOIR_ERR_ADDRESS;
    }
    if (len > PATH_MAX_LEN) return too_long(why, "path", len);
    memcpy(a->socket.local.sun_path, rest, len);
    return rest[len] == '?' ? parse_mode(rest + len + 1, a, why) : CHOIR_OK;
}

static int abstract_parse(const char *rest, net_address *a, net_text *why) {
    size_t len = strlen(rest);
    a->mode = -1;
    a->socket.local.sun_family = AF_UNIX;
    if (len == 0) {
        choiri_net_text_add(why, "the name is missing");
        return CHOIR_ERR_ADDRESS;
    }
    if (len > PATH_MAX_LEN) return too_long(why, "name", len);
    memcpy(a->socket.local.sun_path + 1, rest, len);
    return CHOIR_OK;
}

/* ---- connecting ---- */

static int local_begin(net_link *link) {
    net_connect *c = link->connect;
    if (c->address.mode >= 0)
        return choiri_net_fail(link->loop, CHOIR_ERR_ADDRESS,
                               "\"%s\": the mode is for whoever listens on the socket", c->url);
    c->found[0] = c->address.socket;
    c->found_len = 1;
    c->searched = true;
    return CHOIR_OK;
}

/* ---- listening ---- */

static int refused(net_listener *l, const char *why, int error) {
    char at[NET_EVIDENCE_TEXT];
    choiri_net_sockaddr_text(&l->address.socket, at, sizeof at);
    return choiri_net_fail(l->loop, CHOIR_ERR_LISTEN, "cannot listen on %s:%s%s: %s%s%s",
                           l->address.scheme->name, l->address.scheme->slashes ? "//" : "",
                           l->address.scheme->slashes ? at : at + 1, why, error ? ": " : "",
                           error ? strerror(error) : "");
}

static void lock_path(const net_listener *l, char ret[LOCK_PATH]) {
    snprintf(ret, LOCK_PATH, "%s.lock", l->address.socket.local.sun_path);
}

/* True when `path` is still the file that `fd` has open. */
static bool is_same(int fd, const char *path) {
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

/* Locks the path, or says who has it. */
static int lock(net_listener *l) {
    char path[LOCK_PATH];
    lock_path(l, path);
    for (uint32_t tries = LOCK_TRIES; tries > 0; tries--) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) return refused(l, "its lock file (the path and .lock) cannot be opened", errno);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int error = errno;
            close(fd);
            if (error == EWOULDBLOCK) return refused(l, "it is in use: another process has locked it", 0);
            return refused(l, "its lock file cannot be locked", error);
        }
        if (is_same(fd, path)) {
            l->file.lock = fd;
            return CHOIR_OK;
        }
        close(fd); /* the one who had it has just removed it */
    }
    return refused(l, "it is in use: others come and go", 0);
}

static void unlock(net_listener *l) {
    char path[LOCK_PATH];
    lock_path(l, path);
    if (is_same(l->file.lock, path)) unlink(path);
    close(l->file.lock);
    l->file.lock = -1;
}

/* Makes way for our socket file: what a listener has left behind that is gone. */
static int clear_path(net_listener *l) {
    const net_sockaddr *at = &l->address.socket;
    const char *path = at->local.sun_path;
    struct stat st;
    if (lstat(path, &st) != 0) return errno == ENOENT ? CHOIR_OK : refused(l, "the path", errno);
    if (!S_ISSOCK(st.st_mode))
        return refused(l, "it is stuck: something that is not a socket is in the way", 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return refused(l, "no socket", errno);
    int error = connect(fd, &at->any, choiri_net_sockaddr_len(at)) == 0 ? 0 : errno;
    close(fd);
    if (error == 0 || error == EAGAIN)
        return refused(l, "it is in use: somebody listens there, without the lock", 0);
    if (error != ECONNREFUSED) return refused(l, "it is stuck: whether somebody listens is not known", error);
    if (unlink(path) != 0)
        return refused(l, "the socket of a listener that is gone cannot be removed", errno);
    choiri_net_log(l->loop, CHOIR_LOG_INFO, "%s: replaced the socket of a listener that is gone", path);
    return CHOIR_OK;
}

/* Binds and listens; false leaves errno. */
static bool listen_on(net_listener *l, int fd) {
    const net_sockaddr *at = &l->address.socket;
    const char *path = at->local.sun_path;
    struct stat st;
    if (bind(fd, &at->any, choiri_net_sockaddr_len(at)) != 0) return false;
    if (path[0] != '\0') {
        if (lstat(path, &st) != 0) return false;
        l->file.dev = st.st_dev;
        l->file.ino = st.st_ino;
        if (l->address.mode >= 0 && chmod(path, (mode_t)l->address.mode) != 0) return false;
    }
    return listen(fd, SOMAXCONN) == 0;
}

static void remove_socket(net_listener *l) {
    const char *path = l->address.socket.local.sun_path;
    struct stat st;
    if (l->file.ino != 0 && lstat(path, &st) == 0 && st.st_dev == l->file.dev && st.st_ino == l->file.ino)
        unlink(path);
}

static int open_socket(net_listener *l) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && listen_on(l, fd)) {
        l->fd = fd;
        return CHOIR_OK;
    }
    int error = errno;
    if (fd >= 0) close(fd);
    if (error == EADDRINUSE) return refused(l, "it is in use", 0);
    return refused(l, "the socket", error);
}

static int local_listen(net_listener *l) {
    int status = lock(l);
    if (status != CHOIR_OK) return status;
    status = clear_path(l);
    if (status == CHOIR_OK) status = open_socket(l);
    if (status != CHOIR_OK) {
        remove_socket(l);
        unlock(l);
        return status;
    }
    snprintf(l->url, sizeof l->url, "unix://%s", l->address.socket.local.sun_path);
    return CHOIR_OK;
}

/* A lock is the open file's, which a forked process shares: it must not be given back by that one. */
static void local_unlisten(net_listener *l, bool forked) {
    if (forked) {
        close(l->file.lock);
        return;
    }
    remove_socket(l);
    unlock(l);
}

static int abstract_listen(net_listener *l) {
    int status = open_socket(l);
    if (status != CHOIR_OK) return status;
    snprintf(l->url, sizeof l->url, "unix-abstract:%s", l->address.socket.local.sun_path + 1);
    return CHOIR_OK;
}

/* ---- links ---- */

static void local_evidence(int fd, net_evidence *evidence) {
    net_sockaddr address = {.local = {0}};
    socklen_t len = sizeof address - 1;
    if (getpeername(fd, &address.any, &len) == 0)
        choiri_net_sockaddr_text(&address, evidence->peer, sizeof evidence->peer);
    address = (net_sockaddr){.local = {0}};
    len = sizeof address - 1;
    if (getsockname(fd, &address.any, &len) == 0)
        choiri_net_sockaddr_text(&address, evidence->local, sizeof evidence->local);
    struct ucred peer;
    len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) return;
    evidence->flags |= CHOIR_EVIDENCE_CREDENTIALS;
    evidence->uid = peer.uid;
    evidence->gid = peer.gid;
    evidence->pid = peer.pid;
}

const net_scheme choiri_net_scheme_local = {
    .name = "unix",
    .alias = "local",
    .form = "unix://path",
    .slashes = true,
    .links = &choiri_net_stream_links,
    .parse = local_parse,
    .begin = local_begin,
    .connect = choiri_net_connect_addresses,
    .listen = local_listen,
    .unlisten = local_unlisten,
    .evidence = local_evidence,
};

const net_scheme choiri_net_scheme_abstract = {
    .name = "unix-abstract",
    .form = "unix-abstract:name",
    .links = &choiri_net_stream_links,
    .parse = abstract_parse,
    .begin = local_begin,
    .connect = choiri_net_connect_addresses,
    .listen = abstract_listen,
    .evidence = local_evidence,
};
