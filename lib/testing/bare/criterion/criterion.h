/* SPDX-License-Identifier: MIT */
/* A stand-in for the part of Criterion that our tests use, for targets that have no Criterion:
 * -Dbare_tests=true. Each test runs in a process of its own, as with Criterion, so a test that crashes fails
 * alone and statics start anew.
 *
 * usage of a test program: PROGRAM [NAME] only the tests whose suite/name has NAME in it
 *
 * It prints what failed and ends with "N passed, N failed". Rejected: this header for every build, because
 * Criterion has the filters and reports that people want at their desks. */
#ifndef CHOIRI_TESTING_BARE_CRITERION_H
#define CHOIRI_TESTING_BARE_CRITERION_H
#pragma GCC system_header /* optional arguments of macros, as in Criterion's own header */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct bare_test {
    const char *suite, *name; /* options of a whole suite have no name */
    void (*run)(void);
    void (*init)(void), (*fini)(void); /* of a suite: around each of its tests */
    int signal;                        /* that it must end with; 0: none */
    double timeout;                    /* seconds; 0: the runner of the program decides */
    struct bare_test *next;
} bare_test;

void bare_add(bare_test *test);
/* A check: ends the test if it is fatal, or lets it go on and fail. */
void bare_check(bool bad, bool fatal, const char *place, const char *what, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void bare_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void bare_skip(void);
/* Of a pointer to anything, functions too. */
static inline bool bare_is_null(uintptr_t pointer) {
    return pointer == 0;
}

#define Test(suite_, name_, ...)                                                                             \
    static void bare_run_##suite_##_##name_(void);                                                           \
    static bare_test bare_test_##suite_##_##name_ = {                                                        \
        .suite = #suite_, .name = #name_, .run = bare_run_##suite_##_##name_, __VA_ARGS__};                  \
    __attribute__((constructor)) static void bare_add_##suite_##_##name_(void) {                             \
        bare_add(&bare_test_##suite_##_##name_);                                                             \
    }                                                                                                        \
    static void bare_run_##suite_##_##name_(void)

#define TestSuite(name_, ...)                                                                                \
    static bare_test bare_suite_##name_ = {.suite = #name_, __VA_ARGS__};                                    \
    __attribute__((constructor)) static void bare_add_suite_##name_(void) {                                  \
        bare_add(&bare_suite_##name_);                                                                       \
    }                                                                                                        \
    struct bare_test

#define BARE_TEXT2(x) #x
#define BARE_TEXT(x)  BARE_TEXT2(x)
#define BARE_HERE     __FILE__ ":" BARE_TEXT(__LINE__)
/* The text of a check is a format with arguments, or nothing. */
#define BARE(fatal, good, what, ...) bare_check(!(good), fatal, BARE_HERE, what, " " __VA_ARGS__)

#define cr_assert(cond, ...)       BARE(true, cond, #cond, __VA_ARGS__)
#define cr_assert_not(cond, ...)   BARE(true, !(cond), "not " #cond, __VA_ARGS__)
#define cr_assert_eq(a, b, ...)    BARE(true, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)   BARE(true, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)    BARE(true, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)   BARE(true, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)    BARE(true, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)   BARE(true, (a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(p, ...)     BARE(true, bare_is_null((uintptr_t)(p)), #p " is NULL", __VA_ARGS__)
#define cr_assert_not_null(p, ...) BARE(true, !bare_is_null((uintptr_t)(p)), #p " is not NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)                                                                          \
    BARE(true, strcmp(a, b) == 0, #a " and " #b " are the same text", __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...)                                                                       \
    BARE(true, memcmp(a, b, n) == 0, #a " and " #b " are the same", __VA_ARGS__)
#define cr_assert_fail(...)      BARE(true, false, "failed:", __VA_ARGS__)
#define cr_expect(cond, ...)     BARE(false, cond, #cond, __VA_ARGS__)
#define cr_expect_not(cond, ...) BARE(false, !(cond), "not " #cond, __VA_ARGS__)
#define cr_expect_eq(a, b, ...)  BARE(false, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) BARE(false, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)                                                                          \
    BARE(false, strcmp(a, b) == 0, #a " and " #b " are the same text", __VA_ARGS__)
#define cr_skip_test(...) bare_skip()
#define cr_log_info(...)  bare_log(__VA_ARGS__)
#define cr_log_warn(...)  bare_log(__VA_ARGS__)

#endif
