/* SPDX-License-Identifier: MIT */
#include "idl/idl.h"

#include <criterion/criterion.h>
#include <string.h>
Test(idl_parse, empty) {
    idl *file;
    idl_error error;
    cr_assert(idl_parse("", 0, "test.rs", &file, &error));
    idl_free(file);
}
