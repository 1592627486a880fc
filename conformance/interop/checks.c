/* SPDX-License-Identifier: MIT */
#include "interop/checks.h"

#include "interop/debug.h"
#include "testbed/testbed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

checks client_checks;

choir_client *open_client(const choir_service *service) {
    choir_loop *loop = client_checks.loop;
    choir_client_options options;
    choir_client *client;
    char url[128];
    choir_client_options_init(&options);
    options.service = service;
    bool is_url = choir_address_scheme(client_checks.address) != NULL;
    snprintf(url, sizeof url, "%s%s", is_url ? "" : "tcp://", client_checks.address);
    int status = choir_connect(loop, url, &options, &client);
    if (status == CHOIR_OK) status = choir_client_wait_open(client);
    if (status == CHOIR_OK) return client;
    choir_str why = choir_loop_error(loop);
    fprintf(stderr, "no session with %s: %s %.*s\n", url, choir_status_text(status), (int)why.len, why.data);
    exit(2);
}

void verdict(const char *name, const char *got, const char *expected, bool ok) {
    char *shown = debug_abbreviate(got);
    printf("result %s %s\n", name, shown);
    if (ok) {
        client_checks.passed++;
        printf("ok %s\n", name);
    } else {
        client_checks.failed++;
        printf("FAIL %s: got %s expected %s\n", name, shown, expected);
    }
    fflush(stdout);
    free(shown);
}

void expect(const char *name, const char *got, const char *expected) {
    verdict(name, got, expected, strcmp(got, expected) == 0);
}

char *outcome_text(const choir_service *service, uint32_t method, int status, const choir_event *done) {
    if (status == CHOIR_OK) return debug_outcome(service, method, done);
    char *text = malloc(64);
    snprintf(text, 64, "no call: %s", choir_status_name(status));
    return text;
}

void ends_with(const char *name, uint32_t method, int status, const choir_event *done, const char *expected) {
    char *got = outcome_text(&testbed_service, method, status, done);
    expect(name, got, expected);
    free(got);
}

void ends_with_value(const char *name, uint32_t method, int status, const choir_event *done,
                     const void *value) {
    char *shown = debug_value(testbed_service.unit, testbed_service.methods[method].ok, value);
    size_t room = strlen(shown) + sizeof "Ok()";
    char *expected = malloc(room);
    snprintf(expected, room, "Ok(%s)", shown);
    ends_with(name, method, status, done, expected);
    free(expected);
    free(shown);
}
