/* SPDX-License-Identifier: MIT */
/* Two callers' ideas of the Testbed service that are wrong: one knows methods the server does not have, one has the argument
 * types wrong (types are not part of a method's id, so its calls reach the real methods). */
#ifndef CHOIR_INTEROP_SERVICES_H
#define CHOIR_INTEROP_SERVICES_H

#include "choir/type.h"

enum { NEWER_ECHO, NEWER_NOT_THERE, NEWER_NOT_THERE_UNIT, NEWER_NOT_THERE_FALLIBLE };
extern const choir_service newer_service; /* all take testbed_echo_args */

typedef struct mistyped_echo_args {
    uint64_t message;
} mistyped_echo_args;
typedef struct mistyped_divide_args {
    choir_str dividend;
    int64_t divisor;
} mistyped_divide_args;

enum { MISTYPED_ECHO, MISTYPED_DIVIDE, MISTYPED_REVERSE };
extern const choir_service mistyped_service; /* reverse takes testbed_reverse_args */

#endif
