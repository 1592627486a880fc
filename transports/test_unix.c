/* SPDX-License-Identifier: MIT */
/* Sockets in the file system: whose they are, what is in the way, and what is left. */
#include "test_world.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

/* A folder of the test's own, and paths in it. */
typedef struct folder {
    char path[64], socket[80], lock[96], url[96];
} folder;

static void folder_begin(folder *f) {
    snprintf(f->path, sizeof f->path, "/tmp/choir-unix-XXXXXX");
    cr_assert_not_null(mkdtemp(f->path));
    snprintf(f->socket, sizeof f->socket, "%s/s", f->path);
    snprintf(f->lock, sizeof f->lock, "%s.lock", f->socket);
    snprintf(f->url, sizeof f->url, "unix://%s", f->socket);
}

/* Nothing may be left in it. */
static void folder_end(folder *f) {
    cr_assert_eq(rmdir(f->path), 0, "%s: %s", f->path, strerror(errno));
}

static bool exists(const char *path) {
    return access(path, F_OK) == 0;
}

static void refused(world *w, const char *url, const char *text) {
    choir_server_options o = server_options(w);
    choir_server *server = NULL;
    cr_assert_eq(choir_listen(w->loop, url, &o, &server), CHOIR_ERR_LISTEN);
    cr_assert_null(server);
    cr_assert(strstr(choir_loop_error(w->loop).data, text), "\"%s\" does not say \"%s\"",
              choir_loop_error(w->loop).data, text);
}

/* A socket that is bound to the path, and perhaps listened on. */
static int other_socket(const char *path, int type, bool listens) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    if (listens) cr_assert_eq(listen(fd, 1), 0);
    return fd;
}

Test(unix, listens_and_cleans_up) {
    world w;
    folder f;
    folder_begin(&f);
    world_begin(&w);
    serve(&w, f.url);
    cr_assert_str_eq(choir_server_url(w.server), f.url);
    cr_assert(exists(f.socket) && exists(f.lock));
    char alias[96];
    snprintf(alias, sizeof alias, "local://%s", f.socket);
    join(&w, alias);
    echo(&w);
    until(&w, w.done == 1);
    cr_assert_eq(w.outcomes[CHOIR_OUTCOME_OK], 1);
    choir_server_close(w.server);
    cr_assert_not(exists(f.socket));
    cr_assert_not(exists(f.lock));
    serve(&w, alias);
    cr_assert_str_eq(choir_server_url(w.server), f.url);
    world_end(&w);
    folder_end(&f);
}

Test(unix, relative_paths_and_modes) {
    world w;
    folder f;
    char url[128];
    struct stat st;
    folder_begin(&f);
    cr_assert_eq(chdir(f.path), 0);
    world_begin(&w);
    serve(&w, "unix://s?mode=0612");
    cr_assert_str_eq(choir_server_url(w.server), "unix://s");
    cr_assert_eq(stat(f.socket, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0612);
    choir_client_options o = client_options(&w);
    snprintf(url, sizeof url, "%s?mode=0600", f.url);
    cr_assert_eq(choir_connect(w.loop, url, &o, &w.client), CHOIR_ERR_ADDRESS);
    cr_assert(strstr(choir_loop_error(w.loop).data, "whoever listens"), "%s", choir_loop_error(w.loop).data);
    choir_server_free(w.server);
    choir_loop_turn(w.loop, 0);
    mode_t before = umask(077);
    serve(&w, f.url);
    cr_assert_eq(stat(f.socket, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700, "without a mode it is the umask's");
    umask(before);
    world_end(&w);
    folder_end(&f);
}

/* Whoever has the lock owns the path, and a socket that somebody listens on is never taken. */
Test(unix, in_use) {
    world w;
    folder f;
    folder_begin(&f);
    world_begin(&w);
    serve(&w, f.url);
    refused(&w, f.url, "it is in use: another process has locked it");
    choir_server_free(w.server);
    choir_loop_turn(w.loop, 0);
    /* A listener that knows nothing of locks. */
    int fd = other_socket(f.socket, SOCK_STREAM, true);
    refused(&w, f.url, "it is in use: somebody listens there, without the lock");
    cr_assert(exists(f.socket));
    cr_assert_not(exists(f.lock), "a lock that was of no use is given back");
    close(fd);
    unlink(f.socket);
    /* One that locks as vox does. */
    fd = open(f.lock, O_CREAT | O_RDWR, 0666);
    cr_assert_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    refused(&w, f.url, "it is in use: another process has locked it");
    cr_assert(exists(f.lock));
    close(fd);
    serve(&w, f.url); /* the file alone is no lock */
    world_end(&w);
    folder_end(&f);
}

Test(unix, stuck) {
    world w;
    folder f;
    char url[96];
    folder_begin(&f);
    world_begin(&w);
    /* A listener that was killed has left its socket: it is replaced. */
    close(other_socket(f.socket, SOCK_STREAM, true));
    serve(&w, f.url);
    join(&w, f.url);
    until(&w, w.opened == 1);
    choir_server_free(w.server);
    until(&w, w.closed == 1);
    /* Files and sockets of another type are not ours to remove. */
    close(open(f.socket, O_CREAT | O_WRONLY, 0600));
    refused(&w, f.url, "it is stuck: something that is not a socket is in the way");
    cr_assert(exists(f.socket));
    unlink(f.socket);
    int fd = other_socket(f.socket, SOCK_DGRAM, false);
    refused(&w, f.url, "it is stuck: whether somebody listens is not known");
    close(fd);
    unlink(f.socket);
    snprintf(url, sizeof url, "unix://%s/no/s", f.path);
    refused(&w, url, "lock file");
    refused(&w, url, "No such file or directory");
    world_end(&w);
    folder_end(&f);
}

/* Somebody has removed our socket and made another one: it is not ours to remove. */
Test(unix, removes_only_its_own) {
    world w;
    folder f;
    folder_begin(&f);
    world_begin(&w);
    serve(&w, f.url);
    unlink(f.socket);
    int fd = other_socket(f.socket, SOCK_STREAM, true);
    choir_server_close(w.server);
    cr_assert(exists(f.socket));
    cr_assert_not(exists(f.lock));
    close(fd);
    unlink(f.socket);
    world_end(&w);
    folder_end(&f);
}

/* The backlog of a socket is full: whoever connects tries again until time is over. */
Test(unix, full_backlog) {
    world w;
    folder f;
    folder_begin(&f);
    world_begin(&w);
    int fd = other_socket(f.socket, SOCK_STREAM, true), fill[3];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", f.socket);
    for (int i = 0; i < 3; i++) {
        fill[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fill[i], (struct sockaddr *)&a, sizeof a);
    }
    choir_client_options o = client_options(&w);
    o.connect_timeout = 100 * CHOIR_MILLISECOND;
    cr_assert_eq(choir_connect(w.loop, f.url, &o, &w.client), CHOIR_OK);
    cr_assert_eq(choir_client_wait_open(w.client), CHOIR_ERR_CONNECT_TIMEOUT);
    cr_assert(strstr(w.text, "the server does not accept"), "%s", w.text);
    for (int i = 0; i < 3; i++) close(fill[i]);
    close(fd);
    unlink(f.socket);
    world_end(&w);
    folder_end(&f);
}
