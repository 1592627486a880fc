/* SPDX-License-Identifier: MIT */
#include "interop/evolution.h"

#include "interop/checks.h"
#include "testbed/testbed.h"
#include "testbed/testbed_evolved.h"

#include <stdio.h>
#include <stdlib.h>

static void show(const choir_service *service, const char *name, uint32_t method, int status,
                 const choir_event *done) {
    char *text = outcome_text(service, method, status, done);
    printf("result %s %s\n", name, text);
    fflush(stdout);
    free(text);
}

void call_as_v1(void) {
    static const testbed_profile profile = {{"Ana", 3}, {"x", 1}};
    static const testbed_record record = {-1, {"b", 1}, 2.5};
    static const testbed_status inactive = {TESTBED_STATUS_INACTIVE};
    static const testbed_tag tag = {{"t", 1}, 7, {"n", 1}};
    static const testbed_measurement measurement = {{"m", 1}, 1.5};
    static const testbed_config config = {{"k", 1}, {"v", 1}};
    const choir_service *s = &testbed_service;
    choir_client *c = open_client(s);
    const choir_event *done = NULL;
    int status = testbed_wait_echo_profile(c, &profile, LIMIT, &done);
    show(s, "echo_profile", TESTBED_ECHO_PROFILE, status, done);
    status = testbed_wait_echo_record(c, &record, LIMIT, &done);
    show(s, "echo_record", TESTBED_ECHO_RECORD, status, done);
    status = testbed_wait_echo_status(c, &inactive, LIMIT, &done);
    show(s, "echo_status", TESTBED_ECHO_STATUS, status, done);
    status = testbed_wait_echo_tag(c, &tag, LIMIT, &done);
    show(s, "echo_tag", TESTBED_ECHO_TAG, status, done);
    status = testbed_wait_echo_measurement(c, &measurement, LIMIT, &done);
    show(s, "echo_measurement", TESTBED_ECHO_MEASUREMENT, status, done);
    status = testbed_wait_echo_config(c, &config, LIMIT, &done);
    show(s, "echo_config", TESTBED_ECHO_CONFIG, status, done);
    status = testbed_wait_echo_record(c, &record, LIMIT, &done);
    show(s, "echo_record/afterwards", TESTBED_ECHO_RECORD, status, done);
    choir_client_free(c);
}

void call_as_evolved(void) {
    static const evolved_profile profile = {{"Ana", 3}, {"x", 1}, {true, {"a.png", 5}}};
    static const evolved_record record = {2.5, -1, {"b", 1}};
    static const evolved_status inactive = {EVOLVED_STATUS_INACTIVE}, suspended = {EVOLVED_STATUS_SUSPENDED};
    static const evolved_tag tag = {{"t", 1}, 7};
    static const evolved_measurement measurement = {{"m", 1}, {"1.5", 3}};
    static const evolved_config config = {{"k", 1}, {"v", 1}, {"o", 1}};
    const choir_service *s = &evolved_service;
    choir_client *c = open_client(s);
    const choir_event *done = NULL;
    int status = evolved_wait_echo_profile(c, &profile, LIMIT, &done);
    show(s, "echo_profile", EVOLVED_ECHO_PROFILE, status, done);
    status = evolved_wait_echo_record(c, &record, LIMIT, &done);
    show(s, "echo_record", EVOLVED_ECHO_RECORD, status, done);
    status = evolved_wait_echo_status(c, &inactive, LIMIT, &done);
    show(s, "echo_status", EVOLVED_ECHO_STATUS, status, done);
    status = evolved_wait_echo_status(c, &suspended, LIMIT, &done);
    show(s, "echo_status/suspended", EVOLVED_ECHO_STATUS, status, done);
    status = evolved_wait_echo_tag(c, &tag, LIMIT, &done);
    show(s, "echo_tag", EVOLVED_ECHO_TAG, status, done);
    status = evolved_wait_echo_measurement(c, &measurement, LIMIT, &done);
    show(s, "echo_measurement", EVOLVED_ECHO_MEASUREMENT, status, done);
    status = evolved_wait_echo_config(c, &config, LIMIT, &done);
    show(s, "echo_config", EVOLVED_ECHO_CONFIG, status, done);
    status = evolved_wait_echo_record(c, &record, LIMIT, &done);
    show(s, "echo_record/afterwards", EVOLVED_ECHO_RECORD, status, done);
    choir_client_free(c);
}
