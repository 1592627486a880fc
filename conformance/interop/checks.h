/* SPDX-License-Identifier: MIT */
/* What the scenarios of the C client share: where they call, and how outcomes are printed and judged. */
#ifndef CHOIR_INTEROP_CHECKS_H
#define CHOIR_INTEROP_CHECKS_H

#include "choir/net.h"

#define LIMIT (20 * CHOIR_SECOND)

typedef struct checks {
    choir_loop *loop;
    const char *address;
    unsigned passed, failed;
} checks;
extern checks client_checks;

/* A session with the peer; ends the program when there is none. */
choir_client *open_client(const choir_service *service);

/* Prints the outcome and, by `ok`, whether it is the expected one. */
void verdict(const char *name, const char *got, const char *expected, bool ok);
/* The same for texts that must be equal. */
void expect(const char *name, const char *got, const char *expected);

/* The end of a call in Rust's words, or why there was no call; owned by the caller (free). */
char *outcome_text(const choir_service *service, uint32_t method, int status, const choir_event *done);

/* Checks of a call of Testbed that has ended: the outcome must be this text, or Ok with this value. */
void ends_with(const char *name, uint32_t method, int status, const choir_event *done, const char *expected);
void ends_with_value(const char *name, uint32_t method, int status, const choir_event *done,
                     const void *value);

#endif
