/* SPDX-License-Identifier: MIT */
/* Conversations of two sessions over the Trial service, from the first byte to the end of the link, each with
 * the list of events that both ends must report. Tests run them in pieces of any size, with failing
 * allocations, with other framing. */
#ifndef CHOIRI_TESTING_SCENARIOS_H
#define CHOIRI_TESTING_SCENARIOS_H

#include "testing/pair.h"
#include "testing/trial.h"

typedef struct test_scenario {
    const char *name;
    void (*setup)(test_pair *pair); /* options; NULL when the defaults will do */
    void (*run)(test_pair *pair);
    const char *client, *server; /* event lists up to CLOSED */
    bool pongs_float; /* a Pong waits beside other output: which goes first depends on the pieces */
} test_scenario;

extern const test_scenario test_scenarios[];
extern const size_t test_scenarios_len;

/* Runs one in a pair that was initialised (allocator, split, framing), and cuts the link at the end unless
 * the sessions have closed it. false when the sessions could not be made. */
bool test_scenario_run(const test_scenario *scenario, test_pair *pair);

#endif
