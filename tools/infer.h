/* SPDX-License-Identifier: MIT */
/* Types of arguments from how they are written. */
#ifndef INFER_H
#define INFER_H

#include "idl/idl.h"

typedef struct inferred {
    idl *types;  /* one service, Inferred, whose only method has these arguments */
    char **json; /* the arguments as plain JSON */
    size_t count;
} inferred;

/* False when a type is not certain: *ret_bad is the argument, or `count` when the types do not go together,
 * and ret_why says what is wrong. Free with infer_free. */
bool infer_arguments(char *const *texts, size_t count, inferred *ret, size_t *ret_bad, char *ret_why,
                     size_t why_size);
void infer_free(inferred *i);

#endif
