/* SPDX-License-Identifier: MIT */
/* The served side: the Testbed service and its handlers. */
#ifndef REPLAY_ANSWER_H
#define REPLAY_ANSWER_H

#include "choir/rpc.h"
#include "choir/value.h"

extern const choir_service *const replay_testbed;

/* Answers a REQUEST event as the Testbed does; `arena` is for what is made on the way. Statuses as choir_reply, or the
 * handler's. */
int replay_answer(choir_session *session, const choir_event *request, choir_arena *arena, choir_time now);

#endif
