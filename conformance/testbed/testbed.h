/* SPDX-License-Identifier: MIT */
/* Testbed: the service that vox peers are tested with, as far as it has no channels: C types and descriptors.
 *
 * Written by hand, in the form that a generator would give them: one struct per type and per method's arguments, an
 * index per method, one choir_service. Names and their order are part of the wire format. */
#ifndef TESTBED_H
#define TESTBED_H

#include "choir/type.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Indices into testbed_service.methods. */
enum {
    TESTBED_ECHO,
    TESTBED_REVERSE,
    TESTBED_DIVIDE,
    TESTBED_LOOKUP,
    TESTBED_ECHO_GNARLY,
    TESTBED_ECHO_BYTES,
    TESTBED_ECHO_BOOL,
    TESTBED_ECHO_U64,
    TESTBED_ECHO_OPTION_STRING,
    TESTBED_METHODS
};

extern const choir_service testbed_service;

typedef struct testbed_option_string {
    bool some;
    choir_str value;
} testbed_option_string;

typedef struct testbed_option_u64 {
    bool some;
    uint64_t value;
} testbed_option_u64;

typedef struct testbed_person {
    choir_str name;
    uint8_t age;
    testbed_option_string email;
} testbed_person;

enum { TESTBED_MATH_DIVISION_BY_ZERO, TESTBED_MATH_OVERFLOW };
typedef struct testbed_math_error {
    uint32_t tag; /* TESTBED_MATH_* */
} testbed_math_error;

enum { TESTBED_LOOKUP_NOT_FOUND, TESTBED_LOOKUP_ACCESS_DENIED };
typedef struct testbed_lookup_error {
    uint32_t tag; /* TESTBED_LOOKUP_* */
} testbed_lookup_error;

typedef struct testbed_gnarly_attr {
    choir_str key;
    choir_str value;
} testbed_gnarly_attr;

enum { TESTBED_GNARLY_FILE, TESTBED_GNARLY_DIRECTORY, TESTBED_GNARLY_SYMLINK };
typedef struct testbed_gnarly_kind {
    uint32_t tag; /* TESTBED_GNARLY_* */
    union {
        struct {
            choir_str mime;
            choir_list tags; /* of choir_str */
        } file;
        struct {
            uint32_t child_count;
            choir_list children; /* of choir_str */
        } directory;
        struct {
            choir_str target;
            choir_list hops; /* of uint32_t */
        } symlink;
    };
} testbed_gnarly_kind;

typedef struct testbed_gnarly_entry {
    uint64_t id;
    testbed_option_u64 parent;
    choir_str name;
    choir_str path;
    choir_list attrs;  /* of testbed_gnarly_attr */
    choir_list chunks; /* of choir_bytes */
    testbed_gnarly_kind kind;
} testbed_gnarly_entry;

typedef struct testbed_gnarly_payload {
    uint64_t revision;
    choir_str mount;
    choir_list entries; /* of testbed_gnarly_entry */
    testbed_option_string footer;
    choir_bytes digest;
} testbed_gnarly_payload;

typedef struct testbed_echo_args {
    choir_str message;
} testbed_echo_args;

typedef struct testbed_reverse_args {
    choir_str message;
} testbed_reverse_args;

typedef struct testbed_divide_args {
    int64_t dividend;
    int64_t divisor;
} testbed_divide_args;

typedef struct testbed_lookup_args {
    uint32_t id;
} testbed_lookup_args;

typedef struct testbed_echo_gnarly_args {
    testbed_gnarly_payload payload;
} testbed_echo_gnarly_args;

typedef struct testbed_echo_bytes_args {
    choir_bytes data;
} testbed_echo_bytes_args;

typedef struct testbed_echo_bool_args {
    bool b;
} testbed_echo_bool_args;

typedef struct testbed_echo_u64_args {
    uint64_t n;
} testbed_echo_u64_args;

typedef struct testbed_echo_option_string_args {
    testbed_option_string s;
} testbed_echo_option_string_args;

#ifdef __cplusplus
}
#endif
#endif
