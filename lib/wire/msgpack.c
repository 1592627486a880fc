/* SPDX-License-Identifier: MIT */
/* The one file that sees msgpack-c.
 *
 * Reading instantiates msgpack-c's parser (its unpack_template.h, which is made for that) with callbacks that
 * note one token and stop it in front of the items of an array or a map, so the caller decides what to do
 * with them. Rejected: msgpack_unpack, which builds a tree of 24 bytes for each value that may be one byte on
 * the wire (16 MiB of input make 400 MiB) and gets the memory from malloc. Nothing of msgpack-c's own
 * allocation is linked: packing is inline, too, so the library has no symbol of it at all
 * (docs/decisions/0011-msgpack-c.md; conformance/hygiene/purity.py makes sure). */
#ifndef NDEBUG
#define NDEBUG /* msgpack-c's assertions are about what choiri_msgpack_read checks */
#endif
#include "wire/msgpack.h"

#include <msgpack/pack.h>
#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>

/* Its headers say in which order the machine that they were made for has its bytes. In a cross build with
 * those of the build machine that is another one, and every number would be wrong. */
_Static_assert(MSGPACK_ENDIAN_BIG_BYTE == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__),
               "these headers of msgpack-c are for a machine of another byte order");

/* ---- reading ---- */

typedef struct state {
    choiri_msgpack_token *token;
} state;

/* What msgpack-c keeps of each value that it has parsed: we need nothing, the token has it. */
typedef char nothing;

#define msgpack_unpack_struct(name)    struct unpack##name
#define msgpack_unpack_func(ret, name) static inline ret unpack##name
#define msgpack_unpack_callback(name)  on##name
#define msgpack_unpack_object          nothing
#define msgpack_unpack_user            state

#define STOP (-1)

static inline nothing on_root(state *s) {
    s->token->kind = CHOIRI_MSGPACK_NOTHING;
    return 0;
}

static inline int note(state *s, uint32_t kind, uint64_t number, nothing *ret) {
    s->token->kind = kind;
    s->token->number = number;
    *ret = 0;
    return 0;
}

static inline int note_signed(state *s, int64_t v, nothing *ret) {
    return note(s, v < 0 ? CHOIRI_MSGPACK_NEGATIVE : CHOIRI_MSGPACK_UINT, (uint64_t)v, ret);
}

static inline int on_uint8(state *s, uint8_t v, nothing *ret) {
    return note(s, CHOIRI_MSGPACK_UINT, v, ret);
}
static inline int on_uint16(state *s, uint16_t v, nothing *ret) {
    return note(s, CHOIRI_MSGPACK_UINT, v, ret);
}
static inline int on_uint32(state *s, uint32_t v, nothing *ret) {
    return note(s, CHOIRI_MSGPACK_UINT, v, ret);
}
static inline int on_uint64(state *s, uint64_t v, nothing *ret) {
    return note(s, CHOIRI_MSGPACK_UINT, v, ret);
}
static inline int on_int8(state *s, int8_t v, nothing *ret) {
    return note_signed(s, v, ret);
}
static inline int on_int16(state *s, int16_t v, nothing *ret) {
    return note_signed(s, v, ret);
}
static inline int on_int32(state *s, int32_t v, nothing *ret) {
    return note_signed(s, v, ret);
}
static inline int on_int64(state *s, int64_t v, nothing *ret) {
    return note_signed(s, v, ret);
}
static inline int on_double(state *s, double v, nothing *ret) {
    s->token->real = v;
    return note(s, CHOIRI_MSGPACK_FLOAT, 0, ret);
}
static inline int on_float(state *s, float v, nothing *ret) {
    return on_double(s, (double)v, ret);
}
static inline int on_nil(state *s, nothing *ret) {
    return note(s, CHOIRI_MSGPACK_NIL, 0, ret);
}
static inline int on_true(state *s, nothing *ret) {
    return note(s, CHOIRI_MSGPACK_BOOL, 1, ret);
}
static inline int on_false(state *s, nothing *ret) {
    return note(s, CHOIRI_MSGPACK_BOOL, 0, ret);
}

/* Of an empty one msgpack-c gives no place. */
static inline int note_span(state *s, uint32_t kind, const char *at, size_t len, nothing *ret) {
    s->token->bytes = (choir_bytes){(const uint8_t *)(len > 0 ? at : ""), len};
    return note(s, kind, 0, ret);
}
static inline int on_str(state *s, const char *base, const char *at, unsigned len, nothing *ret) {
    (void)base;
    return note_span(s, CHOIRI_MSGPACK_STR, at, len, ret);
}
static inline int on_bin(state *s, const char *base, const char *at, unsigned len, nothing *ret) {
    (void)base;
    return note_span(s, CHOIRI_MSGPACK_BIN, at, len, ret);
}
static inline int on_ext(state *s, const char *base, const char *at, unsigned len, nothing *ret) {
    (void)base;
    return note_span(s, CHOIRI_MSGPACK_EXT, at, len, ret);
}

static inline int note_container(state *s, uint32_t kind, size_t count, nothing *ret) {
    s->token->count = (uint32_t)count;
    note(s, kind, 0, ret);
    return STOP;
}
static inline int on_array(state *s, size_t count, nothing *ret) {
    return note_container(s, CHOIRI_MSGPACK_ARRAY, count, ret);
}
static inline int on_map(state *s, size_t count, nothing *ret) {
    return note_container(s, CHOIRI_MSGPACK_MAP, count, ret);
}
/* Never called: the parser does not get into an array or a map. */
static inline int on_array_item(state *s, nothing *array, nothing item) {
    (void)s, (void)array, (void)item;
    return STOP;
}
static inline int on_map_item(state *s, nothing *map, nothing key, nothing value) {
    (void)s, (void)map, (void)key, (void)value;
    return STOP;
}

#include <msgpack/unpack_template.h>

/* msgpack-c hands floats out as doubles, which makes a signalling NaN a quiet one. */
static void note_width(choiri_msgpack_token *ret, uint8_t first, const uint8_t *at) {
    bool single = first == 0xca;
    ret->count = single ? 4 : 8;
    ret->number = single ? (uint64_t)at[0] << 24 | (uint64_t)at[1] << 16 | (uint64_t)at[2] << 8 | at[3] : 0;
}

static CHOIRI_NOINLINE bool parse(choiri_reader *r, choiri_msgpack_token *ret) {
    struct unpack_context ctx;
    size_t used = 0;
    ctx.user.token = ret;
    unpack_init(&ctx);
    int result = unpack_execute(&ctx, (const char *)r->pos, choiri_reader_left(r), &used);
    if (result > 0) {
        if (ret->kind == CHOIRI_MSGPACK_FLOAT) note_width(ret, *r->pos, r->pos + 1);
        r->pos += used;
        return true;
    }
    if (result == 0) return choiri_reader_fail(r, CHOIR_ERR_TRUNCATED);
    if (ret->kind == CHOIRI_MSGPACK_NOTHING) return choiri_reader_fail(r, CHOIR_ERR_MALFORMED);
    r->pos += used + 1; /* stopped at the last byte of an array's or a map's head */
    return true;
}

/* Three quarters of a message's tokens have a head of one byte. Those are told apart here, which takes a
 * third of the parser's time; everything else is the parser's. */
bool choiri_msgpack_read(choiri_reader *r, choiri_msgpack_token *ret) {
    if (r->pos == r->end) return choiri_reader_fail(r, CHOIR_ERR_TRUNCATED);
    uint8_t first = *r->pos;
    size_t len = first & 31;
    if (first < 0x80) {
        ret->kind = CHOIRI_MSGPACK_UINT;
        ret->number = first;
        len = 0;
    } else if (first < 0xa0) {
        ret->kind = first < 0x90 ? CHOIRI_MSGPACK_MAP : CHOIRI_MSGPACK_ARRAY;
        ret->number = 0;
        ret->count = first & 15;
        len = 0;
    } else if (first < 0xc0 && len < choiri_reader_left(r)) {
        ret->kind = CHOIRI_MSGPACK_STR;
        ret->number = 0;
        ret->bytes = (choir_bytes){r->pos + 1, len};
    } else {
        return parse(r, ret);
    }
    r->pos += 1 + len;
    return true;
}

/* ---- writing ---- */

/* Heads and short strings mostly fit into what is reserved. */
static inline void put(choiri_writer *w, const void *data, size_t len) {
    if ((size_t)(w->end - w->pos) < len) {
        choiri_write_raw(w, data, len);
    } else if (len > 0) {
        memcpy(w->pos, data, len);
        w->pos += len;
    }
}

static int append(void *w, const char *data, size_t len) {
    put(w, data, len);
    return 0;
}

static void put_span(choiri_writer *w, const void *data, size_t len) {
    if (len > CHOIRI_SPLICE_MIN)
        choiri_write_span(w, data, len);
    else
        put(w, data, len);
}

static msgpack_packer packer_of(choiri_writer *w) {
    return (msgpack_packer){w, append};
}

void choiri_msgpack_write_nil(choiri_writer *w) {
    msgpack_packer p = packer_of(w);
    msgpack_pack_nil(&p);
}

void choiri_msgpack_write_bool(choiri_writer *w, bool v) {
    msgpack_packer p = packer_of(w);
    if (v)
        msgpack_pack_true(&p);
    else
        msgpack_pack_false(&p);
}

void choiri_msgpack_write_uint(choiri_writer *w, uint64_t v) {
    msgpack_packer p = packer_of(w);
    msgpack_pack_uint64(&p, v);
}

void choiri_msgpack_write_int(choiri_writer *w, int64_t v) {
    msgpack_packer p = packer_of(w);
    msgpack_pack_int64(&p, v);
}

void choiri_msgpack_write_f32(choiri_writer *w, float v) {
    msgpack_packer p = packer_of(w);
    msgpack_pack_float(&p, v);
}

void choiri_msgpack_write_f64(choiri_writer *w, double v) {
    msgpack_packer p = packer_of(w);
    msgpack_pack_double(&p, v);
}

/* Lengths and counts have 32 bits on the wire. */
static bool fits(choiri_writer *w, size_t n) {
    if (n <= UINT32_MAX) return true;
    choiri_writer_fail(w, CHOIR_ERR_TOO_LARGE);
    return false;
}

void choiri_msgpack_write_str(choiri_writer *w, choir_str s) {
    msgpack_packer p = packer_of(w);
    if (!fits(w, s.len)) return;
    msgpack_pack_str(&p, s.len);
    put_span(w, s.data, s.len);
}

void choiri_msgpack_write_bin(choiri_writer *w, choir_bytes b) {
    msgpack_packer p = packer_of(w);
    if (!fits(w, b.len)) return;
    msgpack_pack_bin(&p, b.len);
    put_span(w, b.data, b.len);
}

void choiri_msgpack_write_array(choiri_writer *w, size_t count) {
    msgpack_packer p = packer_of(w);
    if (fits(w, count)) msgpack_pack_array(&p, count);
}

void choiri_msgpack_write_map(choiri_writer *w, size_t pairs) {
    msgpack_packer p = packer_of(w);
    if (fits(w, pairs)) msgpack_pack_map(&p, pairs);
}

bool choiri_msgpack_is_built(void) {
    return true;
}
