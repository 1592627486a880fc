/* SPDX-License-Identifier: MIT */
/* Runs the tests of a program that was built with bare/criterion/criterion.h. */
#include "criterion/criterion.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILED  1
#define SKIPPED 77

static bare_test *first, **last = &first;
static bool has_failed; /* an expectation of the test that runs */

void bare_add(bare_test *test) {
    *last = test;
    last = &test->next;
}

void bare_check(bool bad, bool fatal, const char *place, const char *what, const char *format, ...) {
    if (!bad) return;
    va_list args;
    fprintf(stderr, "%s: %s", place, what);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (fatal) _exit(FAILED);
    has_failed = true;
}

void bare_log(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void bare_skip(void) {
    _exit(SKIPPED);
}

static const bare_test *suite_of(const bare_test *test) {
    const bare_test *suite = first;
    while (suite && (suite->name || strcmp(suite->suite, test->suite) != 0)) suite = suite->next;
    return suite;
}

_Noreturn static void run_here(const bare_test *test) {
    const bare_test *suite = suite_of(test);
    if (test->timeout > 0) alarm((unsigned)test->timeout);
    if (suite && suite->init) suite->init();
    test->run();
    if (suite && suite->fini) suite->fini();
    exit(has_failed ? FAILED : 0);
}

/* True if it ended as it should. */
static bool run(const bare_test *test, bool *ret_skipped) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) run_here(test);
    if (child < 0 || waitpid(child, &status, 0) != child) return false;
    *ret_skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED;
    if (test->signal) return WIFSIGNALED(status) && WTERMSIG(status) == test->signal;
    if (WIFSIGNALED(status)) fprintf(stderr, "ended by signal %d\n", WTERMSIG(status));
    return *ret_skipped || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
    unsigned passed = 0, failed = 0;
    for (const bare_test *test = first; test; test = test->next) {
        char name[256];
        bool skipped = false;
        if (!test->name) continue;
        snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
        if (argc > 1 && !strstr(name, argv[1])) continue;
        bool good = run(test, &skipped);
        if (!good) printf("failed: %s\n", name);
        passed += good && !skipped;
        failed += !good;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
