/* SPDX-License-Identifier: MIT */
/* Functions that other threads have run on a loop.
 *
 * A poster is counted: by the hosts' references, and once more while its loop has it, so it outlives
 * whichever goes first. The mutex guards all that both sides touch; the eventfd is written when the queue
 * stops being empty, or the last reference goes, and read before the queue is taken, so no post is missed.
 * The event is added while anybody could post, which is what keeps a loop from being idle.
 *
 * Memory is plain malloc's: the allocator of the loop belongs to the loop's thread. */
#include "poster.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct post {
    struct post *next;
    choir_post_fn *fn;
    void *ctx;
} post;

struct choir_poster {
    pthread_mutex_t lock;
    pid_t pid;        /* of the process that made it */
    choir_loop *loop; /* NULL: it is gone */
    uint32_t refs;    /* the hosts' */
    post *first, **last;
    int fd;
    struct event event; /* the loop's thread only */
};

static void wake(const choir_poster *p) {
    uint64_t one = 1;
    while (write(p->fd, &one, sizeof one) < 0)
        continue; /* fails for a signal only: the counter is far from full */
}

static void destroy(choir_poster *p) {
    pthread_mutex_destroy(&p->lock);
    close(p->fd);
    free(p);
}

/* Takes all that was posted until now. */
static post *take(choir_poster *p) {
    post *first = p->first;
    p->first = NULL;
    p->last = &p->first;
    return first;
}

static void run_posts(post *first, choir_loop *loop) {
    for (post *at = first, *next; at; at = next) {
        next = at->next;
        at->fn(at->ctx, loop);
        free(at);
    }
}

static void on_posted(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    choir_poster *p = arg;
    choir_loop *loop = p->loop;
    uint64_t count;
    choiri_net_enter(loop);
    if (read(fd, &count, sizeof count) < 0) count = 0; /* nothing: both reasons to wake us have been seen */
    pthread_mutex_lock(&p->lock);
    post *first = take(p);
    pthread_mutex_unlock(&p->lock);
    run_posts(first, loop);
    pthread_mutex_lock(&p->lock);
    bool unused = p->refs == 0 && !p->first;
    pthread_mutex_unlock(&p->lock);
    if (unused) { /* and nobody is left who could change that, but for this thread */
        event_del(&p->event);
        loop->poster = NULL;
        destroy(p);
    }
    choiri_net_leave(loop);
}

static choir_poster *make(choir_loop *loop) {
    choir_poster *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (p->fd < 0 || pthread_mutex_init(&p->lock, NULL) != 0) {
        if (p->fd >= 0) close(p->fd);
        free(p);
        return NULL;
    }
    p->pid = getpid();
    p->loop = loop;
    p->last = &p->first;
    event_assign(&p->event, loop->base, p->fd, EV_READ | EV_PERSIST, on_posted, p);
    event_add(&p->event, NULL);
    return p;
}

choir_poster *choir_loop_poster(choir_loop *loop) {
    if (!loop) return NULL;
    if (choiri_net_check_usable(loop) != CHOIR_OK) return NULL;
    if (!loop->poster) loop->poster = make(loop);
    if (!loop->poster) {
        choiri_net_result(loop, CHOIR_ERR_NO_MEMORY);
        return NULL;
    }
    choiri_net_result(loop, CHOIR_OK);
    return choir_poster_retain(loop->poster);
}

choir_poster *choir_poster_retain(choir_poster *poster) {
    pthread_mutex_lock(&poster->lock);
    poster->refs++;
    pthread_mutex_unlock(&poster->lock);
    return poster;
}

void choir_poster_release(choir_poster *poster) {
    if (!poster || poster->pid != getpid()) return;
    pthread_mutex_lock(&poster->lock);
    bool last = --poster->refs == 0, alone = !poster->loop;
    if (last && !alone) wake(poster); /* its loop lets go of it */
    pthread_mutex_unlock(&poster->lock);
    if (last && alone) destroy(poster);
}

int choir_poster_post(choir_poster *poster, choir_post_fn *fn, void *ctx) {
    if (!poster || !fn) return CHOIR_ERR_INVALID;
    if (poster->pid != getpid()) return CHOIR_ERR_STATE;
    post *made = malloc(sizeof *made);
    if (!made) return CHOIR_ERR_NO_MEMORY;
    *made = (post){.fn = fn, .ctx = ctx};
    pthread_mutex_lock(&poster->lock);
    bool gone = !poster->loop;
    if (!gone) {
        if (!poster->first) wake(poster);
        *poster->last = made;
        poster->last = &made->next;
    }
    pthread_mutex_unlock(&poster->lock);
    if (gone) free(made);
    return gone ? CHOIR_ERR_CLOSED : CHOIR_OK;
}

void choiri_net_poster_close(choir_loop *loop, bool forked) {
    choir_poster *p = loop->poster;
    if (!p) return;
    loop->poster = NULL;
    event_del(&p->event);
    if (forked) {
        /* Another thread may have held the lock when this process was made of it: it is not touched any more.
         * */
        close(p->fd);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->loop = NULL;
    post *first = take(p);
    bool unused = p->refs == 0;
    pthread_mutex_unlock(&p->lock);
    run_posts(first, NULL);
    if (unused) destroy(p);
}
