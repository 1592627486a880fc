/* SPDX-License-Identifier: MIT */
/* choir/base.h: the small types that every other header uses.
 *
 * Role:    byte spans, strings, gathered output segments, time, handles.
 * Owner:   these are values. Who owns what they point to is said where they are used.
 * Life:    a value's. A pointer inside one is valid as long as the comment that hands it out says.
 * Threads: no state.
 * Errors:  none.
 */
#ifndef CHOIR_BASE_H
#define CHOIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHOIR_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* A span of bytes. Never owns. `data` may be NULL only when `len` is 0. */
typedef struct choir_bytes {
    const uint8_t *data;
    size_t len;
} choir_bytes;

/* A span of UTF-8 text. Not NUL-terminated, may contain NUL. Never owns. */
typedef struct choir_str {
    const char *data;
    size_t len;
} choir_str;

/* One segment of gathered output: same members and order as POSIX `struct iovec`. */
typedef struct choir_iov {
    void *base;
    size_t len;
} choir_iov;

/* Monotonic time in nanoseconds. The origin has no meaning. */
typedef uint64_t choir_time;
/* A span of time in nanoseconds. */
typedef uint64_t choir_duration;

#define CHOIR_TIME_NEVER  UINT64_MAX
#define CHOIR_MICROSECOND UINT64_C(1000)
#define CHOIR_MILLISECOND UINT64_C(1000000)
#define CHOIR_SECOND      UINT64_C(1000000000)

/* Handles: 32 bits of generation above 32 bits of slot; 0 is none. A handle is a value and may be kept for
 * ever: using one after its object has ended returns CHOIR_ERR_NOT_FOUND. Handles are structs so that the
 * compiler catches a mix-up. None of them is an id on the wire. */
typedef struct choir_conn_id {
    uint64_t v;
} choir_conn_id; /* root or virtual connection */
typedef struct choir_call_id {
    uint64_t v;
} choir_call_id; /* a call that we made */
typedef struct choir_request_id {
    uint64_t v;
} choir_request_id; /* a request that the peer made */

/* A literal as choir_str: CHOIR_STR("hello"). */
#ifdef __cplusplus
#define CHOIR_STR(literal) (choir_str{(literal), sizeof(literal) - 1})
/* Gives an untyped pointer (or a number) a type, in headers that C and C++ share. */
#define CHOIR_CAST(type, pointer) (static_cast<type>(pointer))
#else
#define CHOIR_STR(literal)        ((choir_str){(literal), sizeof(literal) - 1})
#define CHOIR_CAST(type, pointer) ((type)(pointer))
#endif

/* A C string as choir_str, which borrows it. NULL is the empty text. */
static inline choir_str choir_str_of(const char *text) {
    choir_str s = {text, text ? __builtin_strlen(text) : 0};
    return s;
}
/* A choir_str for %.*s: printf("%.*s\n", CHOIR_STR_ARGS(name)). It is looked at twice, and ends at a NUL. */
#define CHOIR_STR_ARGS(s) CHOIR_CAST(int, (s).len < 0x7fffffff ? (s).len : 0x7fffffff), (s).data

/* Is it the same text, and are they the same bytes? */
static inline bool choir_str_equal(choir_str a, choir_str b) {
    return a.len == b.len && (a.len == 0 || __builtin_memcmp(a.data, b.data, a.len) == 0);
}
static inline bool choir_bytes_equal(choir_bytes a, choir_bytes b) {
    return a.len == b.len && (a.len == 0 || __builtin_memcmp(a.data, b.data, a.len) == 0);
}

#ifdef __cplusplus
}
#endif
#endif
