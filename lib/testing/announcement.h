/* SPDX-License-Identifier: MIT */
/* The announcement of one type, without a service around it. */
#ifndef CHOIRI_TESTING_ANNOUNCEMENT_H
#define CHOIRI_TESTING_ANNOUNCEMENT_H

#include "schema/service.h"

/* OK · what choiri_unit_check and choiri_extract answer · ERR_INVALID · ERR_NO_MEMORY. Memory from `env`. */
int test_announcement_new(choir_env *env, const choir_unit *u, uint32_t type, choiri_schema_set *ret);
void test_announcement_free(choir_env *env, choiri_schema_set *a);

#endif
