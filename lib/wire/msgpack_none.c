/* SPDX-License-Identifier: MIT */
/* What stands in for msgpack.c in a build without msgpack-c: modes and options that would lead here are
 * refused before. */
#include "wire/msgpack.h"

bool choiri_msgpack_is_built(void) {
    return false;
}

bool choiri_msgpack_read(choiri_reader *r, choiri_msgpack_token *ret) {
    (void)ret;
    return choiri_reader_fail(r, CHOIR_ERR_UNSUPPORTED);
}

static void fail(choiri_writer *w) {
    choiri_writer_fail(w, CHOIR_ERR_UNSUPPORTED);
}

void choiri_msgpack_write_nil(choiri_writer *w) {
    fail(w);
}
void choiri_msgpack_write_bool(choiri_writer *w, bool v) {
    (void)v;
    fail(w);
}
void choiri_msgpack_write_uint(choiri_writer *w, uint64_t v) {
    (void)v;
    fail(w);
}
void choiri_msgpack_write_int(choiri_writer *w, int64_t v) {
    (void)v;
    fail(w);
}
void choiri_msgpack_write_f32(choiri_writer *w, float v) {
    (void)v;
    fail(w);
}
void choiri_msgpack_write_f64(choiri_writer *w, double v) {
    (void)v;
    fail(w);
}
void choiri_msgpack_write_str(choiri_writer *w, choir_str s) {
    (void)s;
    fail(w);
}
void choiri_msgpack_write_bin(choiri_writer *w, choir_bytes b) {
    (void)b;
    fail(w);
}
void choiri_msgpack_write_array(choiri_writer *w, size_t count) {
    (void)count;
    fail(w);
}
void choiri_msgpack_write_map(choiri_writer *w, size_t pairs) {
    (void)pairs;
    fail(w);
}
