/* SPDX-License-Identifier: MIT */
/* Descriptor-driven postcard codec: C values to bytes and back. Decoded strings and bytes point into the
 * input, the rest lives in the arena; both directions bound nesting at 64. The descriptor has been checked.
 * Ends of channels go through the binder of the reader or writer (choir/binder.h), whose statuses are added
 * to those below. */
#ifndef CHOIRI_VALUE_H
#define CHOIRI_VALUE_H

#include "base/arena.h"
#include "base/text.h"
#include "choir/type.h"
#include "choir/value.h"
#include "wire/reader.h"
#include "wire/writer.h"

#define CHOIRI_VALUE_DEPTH 64u
#define CHOIRI_NANOS       1000000000u /* in a second */

/* Kinds that hold other values, each of which is a level of nesting. */
static inline bool choiri_kind_nests(uint32_t kind) {
    return kind - CHOIR_KIND_OPTION <= CHOIR_KIND_RESULT - CHOIR_KIND_OPTION;
}
/* What decoding one payload may take from an arena: rule limit.decode (64 KiB + 16 x payload). */
static inline size_t choiri_value_arena_limit(size_t payload) {
    return 65536u + 16u * payload;
}

/* Failures stick in the writer: ERR_INVALID (bad tag, text that is not UTF-8, a never value, bad char),
 * ERR_DEPTH, ERR_NO_MEMORY. */
void choiri_value_encode(choiri_writer *w, const choir_unit *u, uint32_t type, const void *value);

/* After ERR_INVALID or ERR_DEPTH: appends what is wrong with the value and where, such as
 * "args.1[3].kind: Kind has no variant 7". False: the value is not to blame. */
bool choiri_value_why(const choir_unit *u, uint32_t type, const void *value, choiri_text *text);

/* OK · ERR_TRUNCATED · ERR_MALFORMED · ERR_DEPTH · ERR_TOO_LARGE (arena limit) · ERR_NO_MEMORY. `ret_value`
 * has the type's size and is undefined after a failure. ret_text (may be NULL) says where and what, e.g.
 * "args.1: truncated i64". Bytes behind the value are left in the reader. */
int choiri_value_decode(choiri_reader *r, const choir_unit *u, uint32_t type, choiri_arena *arena,
                        void *ret_value, choiri_text *ret_text);

/* Fewest bytes a value of this type takes on the wire (0 for zero-sized ones); bounds list counts. */
size_t choiri_value_min_size(const choir_unit *u, uint32_t type);
/* Are zeros a value of this type? Not of never, nor of what holds a box outside an option or a list: it must
 * point somewhere. So fields of such types have no default. */
bool choiri_value_has_zero(const choir_unit *u, uint32_t type);

/* Does a value take neither memory nor bytes? Then there is nothing to do for it, and nothing must be done: a
 * few bytes of nested lists could announce billions of such values, and a few types be made of billions of
 * such parts. */
static inline bool choiri_value_is_nothing(const choir_unit *u, uint32_t type, size_t size) {
    return size == 0 && choiri_value_min_size(u, type) == 0;
}

/* What a box points to; NULL is no value. The pointer in it has the program's type. */
static inline const void *choiri_value_boxed(const void *box) {
    memcpy(&box, box, sizeof box);
    return box;
}

struct choir_arena {
    choiri_arena arena;
};

#endif
