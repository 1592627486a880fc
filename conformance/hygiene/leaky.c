/* SPDX-License-Identifier: MIT */
/* A test that leaks, on purpose: leaks.py must make it fail. */
#include <criterion/criterion.h>
#include <stdlib.h>

static void *volatile lost;

static __attribute__((noinline)) void leak(void) {
    lost = malloc(77);
    lost = NULL;
}

Test(leaky, leaks) {
    leak();
    cr_assert_null(lost);
}
