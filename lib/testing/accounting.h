/* SPDX-License-Identifier: MIT */
/* Charged = held: what a session has charged is compared with what walking over all of its objects finds. */
#ifndef CHOIRI_TESTING_ACCOUNTING_H
#define CHOIRI_TESTING_ACCOUNTING_H

#include "session/session.h"

/* Ends the process with a text when they differ. */
void test_check_charges(choir_session *s);

#endif
