/* SPDX-License-Identifier: MIT */
/* The served side: the services and their handlers. */
#ifndef REPLAY_ANSWER_H
#define REPLAY_ANSWER_H

#include "choir/rpc.h"
#include "choir/value.h"

extern const choir_service *const replay_testbed;

/* Answers a REQUEST event as its service does: Testbed, Extra, or one of echoes only. `arena` is for what is
 * made on the way. Statuses as choir_reply, or the handler's. */
int replay_answer(choir_session *session, const choir_event *request, choir_arena *arena, choir_time now);

/* Runs a method of Extra. *ret points into `args` or to *number. OK · TESTBED_USER_ERROR: *number is the
 * error's tag. */
int replay_run_extra(uint32_t method, const void *args, uint32_t *number, const void **ret);

#endif
