/* SPDX-License-Identifier: MIT */
/* Our CBOR reader beside libcbor, on generated, mutated and real documents. What we accept, libcbor
 * accepts with the same extent and structure; what libcbor accepts and we refuse has a reason that is
 * named here.
 *
 * libcbor allocates from announced lengths, so of what we refuse it is only given input in which nothing
 * could announce much, wherever a decoder might look. It knows neither unassigned simple values (0 to 19
 * and 32 to 255) nor unassigned tags in one byte (6 to 20), and it refuses text that is not UTF-8
 * everywhere, which we do where text is read: documents that have one of these and that it refuses are
 * only counted. */
#include "wire/cbor.h"
#include "wire/test_wire.h"
#include "wire/utf8.h"
#include "wire_vectors.h"

#include <cbor.h>

typedef struct counts {
    unsigned tried, both, neither, ours_only, theirs_only, kept_away;
} counts;

/* True when a head at this place would announce at most a million. */
static bool announces_little(const uint8_t *p, size_t left) {
    unsigned major = *p >> 5, info = *p & 31u;
    if (major < 2 || major > 5 || info < 26 || info > 27) return true;
    size_t bytes = info == 26 ? 4 : 8;
    if (left <= bytes) return true;
    uint64_t v = 0;
    for (size_t i = 1; i <= bytes; i++) v = v << 8 | p[i];
    return v <= 1000000;
}

static bool is_safe_for_libcbor(choir_bytes in) {
    for (size_t i = 0; i < in.len; i++) {
        if (!announces_little(in.data + i, in.len - i)) return false;
    }
    return true;
}

/* Length of the head at p, which is known to be whole; *ret_value is its argument. */
static size_t head_of(const uint8_t *p, uint64_t *ret_value) {
    unsigned info = *p & 31u;
    size_t more = info < 24 ? 0u : (size_t)1 << (info - 24);
    uint64_t v = info;
    if (more > 0) v = 0;
    for (size_t i = 1; i <= more; i++) v = v << 8 | p[i];
    *ret_value = v;
    return 1 + more;
}

/* Walks our reader and libcbor's tree side by side. False when our document has what libcbor refuses, see
 * above. */
static bool compare(choiri_reader *r, const cbor_item_t *item, bool check) {
    uint64_t v;
    choir_bytes bytes;
    size_t count;
    bool b, known = true;
    switch (choiri_cbor_peek(r)) {
    case CHOIRI_CBOR_UINT:
        cr_assert(choiri_cbor_read_uint(r, &v));
        if (check) cr_assert(cbor_isa_uint(item) && cbor_get_int(item) == v);
        return true;
    case CHOIRI_CBOR_NEGATIVE:
        cr_assert(choiri_cbor_skip(r, &bytes));
        head_of(bytes.data, &v);
        if (check) cr_assert(cbor_isa_negint(item) && cbor_get_int(item) == v);
        return true;
    case CHOIRI_CBOR_BYTES:
        cr_assert(choiri_cbor_read_bytes(r, &bytes));
        if (!check) return true;
        cr_assert(cbor_isa_bytestring(item) && cbor_bytestring_is_definite(item));
        cr_assert(
            bytes_equal(bytes, (choir_bytes){cbor_bytestring_handle(item), cbor_bytestring_length(item)}));
        return true;
    case CHOIRI_CBOR_TEXT:
        cr_assert(choiri_cbor_skip(r, &bytes));
        count = head_of(bytes.data, &v);
        known = choiri_utf8_is_valid(bytes.data + count, bytes.len - count);
        if (!check) return known;
        cr_assert(cbor_isa_string(item) && cbor_string_is_definite(item));
        cr_assert(bytes_equal((choir_bytes){bytes.data + count, bytes.len - count},
                              (choir_bytes){cbor_string_handle(item), cbor_string_length(item)}));
        return known;
    case CHOIRI_CBOR_ARRAY:
        cr_assert(choiri_cbor_read_array(r, &count));
        if (check) cr_assert(cbor_isa_array(item) && cbor_array_size(item) == count);
        for (size_t i = 0; i < count; i++)
            known &= compare(r, check ? cbor_array_handle(item)[i] : NULL, check);
        return known;
    case CHOIRI_CBOR_MAP:
        cr_assert(choiri_cbor_read_map(r, &count));
        if (check) cr_assert(cbor_isa_map(item) && cbor_map_size(item) == count);
        for (size_t i = 0; i < count; i++) {
            known &= compare(r, check ? cbor_map_handle(item)[i].key : NULL, check);
            known &= compare(r, check ? cbor_map_handle(item)[i].value : NULL, check);
        }
        return known;
    case CHOIRI_CBOR_TAG:
        known = *r->pos < 0xc6 || *r->pos > 0xd4;
        r->pos += head_of(r->pos, &v);
        if (check) cr_assert(cbor_isa_tag(item) && cbor_tag_value(item) == v);
        if (!check) return compare(r, NULL, false) && known;
        cbor_item_t *inner = cbor_tag_item(item);
        known &= compare(r, inner, true);
        cbor_decref(&inner);
        return known;
    case CHOIRI_CBOR_BOOL:
        cr_assert(choiri_cbor_read_bool(r, &b));
        if (check) cr_assert(cbor_is_bool(item) && cbor_get_bool(item) == b);
        return true;
    case CHOIRI_CBOR_NULL:
        cr_assert(choiri_cbor_read_null(r));
        if (check) cr_assert(cbor_is_null(item));
        return true;
    case CHOIRI_CBOR_FLOAT:
        cr_assert(choiri_cbor_skip(r, &bytes));
        if (check) cr_assert(cbor_is_float(item) && (size_t)1 << cbor_float_get_width(item) == bytes.len - 1);
        return true;
    case CHOIRI_CBOR_SIMPLE:
        cr_assert(choiri_cbor_skip(r, &bytes));
        if (check) cr_assert(cbor_is_undef(item));
        return bytes.data[0] == 0xf7;
    default: cr_assert_fail("an accepted document has an item that cannot be peeked"); return false;
    }
}

/* Why we may refuse what libcbor takes: something of indefinite length, or nesting beyond the limit.
 * libcbor's tree is asked, not our reader. */
static bool has_reason(const cbor_item_t *item, unsigned depth) {
    if (depth > CHOIRI_CBOR_DEPTH) return true;
    switch (cbor_typeof(item)) {
    case CBOR_TYPE_BYTESTRING: return cbor_bytestring_is_indefinite(item);
    case CBOR_TYPE_STRING: return cbor_string_is_indefinite(item);
    case CBOR_TYPE_ARRAY:
        if (cbor_array_is_indefinite(item)) return true;
        for (size_t i = 0; i < cbor_array_size(item); i++) {
            if (has_reason(cbor_array_handle(item)[i], depth + 1)) return true;
        }
        return false;
    case CBOR_TYPE_MAP:
        if (cbor_map_is_indefinite(item)) return true;
        for (size_t i = 0; i < cbor_map_size(item); i++) {
            if (has_reason(cbor_map_handle(item)[i].key, depth + 1)) return true;
            if (has_reason(cbor_map_handle(item)[i].value, depth + 1)) return true;
        }
        return false;
    case CBOR_TYPE_TAG: {
        cbor_item_t *inner = cbor_tag_item(item);
        bool reason = has_reason(inner, depth + 1);
        cbor_decref(&inner);
        return reason;
    }
    case CBOR_TYPE_UINT:
    case CBOR_TYPE_NEGINT:
    case CBOR_TYPE_FLOAT_CTRL:
    default: return false;
    }
}

static void print_hex(choir_bytes in) {
    for (size_t i = 0; i < in.len && i < 200; i++) fprintf(stderr, "%02x", in.data[i]);
    fputc('\n', stderr);
}

static void judge(choir_bytes document, counts *c) {
    choir_bytes in = bytes_copy(document.data, document.len), item;
    choiri_reader r = choiri_reader_of(in), walk = r;
    bool ours = choiri_cbor_skip(&r, &item), plain = true;
    c->tried++;
    if (ours) {
        plain = compare(&walk, NULL, false);
        cr_assert_eq(walk.pos, r.pos);
    }
    /* In what we accept each count was compared with the bytes left. */
    if (in.len == 0 || (!ours && !is_safe_for_libcbor(in))) {
        c->kept_away++;
        bytes_free(in);
        return;
    }
    struct cbor_load_result result;
    cbor_item_t *tree = cbor_load(in.data, in.len, &result);
    if (ours && tree) {
        choiri_reader again = choiri_reader_of(in);
        cr_assert_eq(result.read, item.len);
        cr_assert(compare(&again, tree, true));
        c->both++;
    } else if (ours) {
        if (plain) print_hex(in);
        cr_assert(!plain, "libcbor refuses what we accept: error %d at %zu", (int)result.error.code,
                  result.error.position);
        c->ours_only++;
    } else if (tree) {
        bool reason = has_reason(tree, 0);
        if (!reason) print_hex(in);
        cr_assert(reason, "we refuse what libcbor accepts: status %d", r.status);
        c->theirs_only++;
    } else {
        c->neither++;
    }
    if (tree) cbor_decref(&tree);
    bytes_free(in);
}

typedef struct document {
    uint8_t *data;
    size_t len, cap;
} document;

static void add(document *d, const void *data, size_t len) {
    if (d->len + len > d->cap) {
        d->cap = 2 * (d->len + len);
        d->data = realloc(d->data, d->cap);
    }
    memcpy(d->data + d->len, data, len);
    d->len += len;
}

/* A head in a random form that is long enough for the value. */
static void add_head(document *d, unsigned major, uint64_t value, uint64_t *seed) {
    unsigned least = value < 24            ? 0u
                     : value <= 0xff       ? 1u
                     : value <= 0xffff     ? 2u
                     : value <= UINT32_MAX ? 3u
                                           : 4u;
    unsigned form = least + (next_random(seed) % 4 == 0 ? (unsigned)(next_random(seed) % (5 - least)) : 0u);
    uint8_t head[9] = {(uint8_t)(major << 5 | (form == 0 ? value : 23u + form))};
    size_t more = form == 0 ? 0u : (size_t)1 << (form - 1);
    for (size_t i = 0; i < more; i++) head[1 + i] = (uint8_t)(value >> (8 * (more - 1 - i)));
    add(d, head, 1 + more);
}

static void add_item(document *d, unsigned depth, uint64_t *seed) {
    static const uint8_t leaves[][9] = {{0xf4}, {0xf5}, {0xf6}, {0xf7}, {0xf9, 1, 2}, {0xfa, 1, 2, 3, 4},
                                        {0xfb}};
    static const size_t leaf_lens[] = {1, 1, 1, 1, 3, 5, 9};
    uint64_t pick = next_random(seed) % (depth == 0 ? 6 : 10), n = next_random(seed) % 6;
    uint64_t any = next_random(seed);
    uint8_t bytes[40];
    any >>= next_random(seed) % 64;
    switch (pick) {
    case 0:
    case 1: add_head(d, (unsigned)pick, any, seed); break;
    case 2:
    case 3:
        n = next_random(seed) % sizeof bytes;
        for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(32 + next_random(seed) % 90);
        add_head(d, (unsigned)pick, n, seed);
        add(d, bytes, n);
        break;
    case 6:
    case 7:
        add_head(d, 4, n, seed);
        while (n-- > 0) add_item(d, depth - 1, seed);
        break;
    case 8:
        add_head(d, 5, n, seed);
        for (n *= 2; n-- > 0;) add_item(d, depth - 1, seed);
        break;
    case 9: /* a tag, of those that libcbor knows as a single number */
        add_head(d, 6, any % 6, seed);
        add_item(d, depth - 1, seed);
        break;
    default:
        n = next_random(seed) % 7;
        add(d, leaves[n], leaf_lens[n]);
        break;
    }
}

static void mutate(document *d, uint64_t *seed) {
    for (uint64_t times = 1 + next_random(seed) % 4; times-- > 0 && d->len > 0;) {
        size_t at = (size_t)(next_random(seed) % d->len), n = (size_t)(next_random(seed) % 8);
        if (n > d->len - at) n = d->len - at;
        switch (next_random(seed) % 4) {
        case 0: d->data[at] ^= (uint8_t)(1u << next_random(seed) % 8); break;
        case 1: d->data[at] = (uint8_t)next_random(seed); break;
        case 2: /* a piece is lost */
            memmove(d->data + at, d->data + at + n, d->len - at - n);
            d->len -= n;
            break;
        default: d->len = at; break; /* cut */
        }
    }
}

static void report(const char *what, const counts *c) {
    printf("%s: %u documents, both %u, neither %u, only ours %u, only theirs %u, kept from libcbor %u\n",
           what, c->tried, c->both, c->neither, c->ours_only, c->theirs_only, c->kept_away);
}

Test(cbor_oracle, generated_documents, .timeout = 300) {
    counts whole = {0}, broken = {0};
    uint64_t seed = 1;
    for (unsigned i = 0; i < 60000; i++) {
        document d = {0};
        add_item(&d, 1 + i % 6, &seed);
        judge((choir_bytes){d.data, d.len}, &whole);
        cr_assert_eq(whole.both, i + 1, "a well-formed document is refused");
        for (unsigned k = 0; k < 4; k++) {
            document copy = {0};
            add(&copy, d.data, d.len);
            mutate(&copy, &seed);
            judge((choir_bytes){copy.data, copy.len}, &broken);
            free(copy.data);
        }
        free(d.data);
    }
    report("generated", &whole);
    report("mutated", &broken);
    cr_assert_gt(broken.both, 1000);
    cr_assert_gt(broken.neither, 1000);
}

static void judge_mutations(const test_vector *v, unsigned times, uint64_t *seed, counts *c) {
    judge((choir_bytes){v->data, v->len}, c);
    for (unsigned i = 0; i < times; i++) {
        document d = {0};
        add(&d, v->data, v->len);
        mutate(&d, seed);
        judge((choir_bytes){d.data, d.len}, c);
        free(d.data);
    }
}

Test(cbor_oracle, real_documents, .timeout = 300) {
    counts c = {0};
    uint64_t seed = 2;
    for (size_t i = 0; i < handshake_examples_count; i++)
        judge_mutations(&handshake_examples[i], 2000, &seed, &c);
    for (size_t i = 0; i < message_payload_schema_count; i++) {
        judge_mutations(&message_payload_schema[i], 2000, &seed, &c);
    }
    for (size_t i = 0; i < handshakes_count; i++) judge_mutations(&handshakes[i], 300, &seed, &c);
    report("real", &c);
    cr_assert_gt(c.both, 1000);
}

/* All documents of up to three bytes, and random ones. */
Test(cbor_oracle, short_and_random_documents, .timeout = 300) {
    counts c = {0}, random = {0};
    for (uint32_t x = 0; x < 1u << 24; x += x < 1u << 16 ? 1 : 7) {
        uint8_t p[3] = {(uint8_t)x, (uint8_t)(x >> 8), (uint8_t)(x >> 16)};
        judge((choir_bytes){p, x < 256 ? 1u : x < 65536 ? 2u : 3u}, &c);
    }
    uint64_t seed = 3;
    for (unsigned i = 0; i < 300000; i++) {
        uint8_t p[32];
        size_t len = 1 + (size_t)(next_random(&seed) % sizeof p);
        for (size_t k = 0; k < len; k++) p[k] = (uint8_t)(next_random(&seed) >> 20);
        judge((choir_bytes){p, len}, &random);
    }
    report("short", &c);
    report("random", &random);
    cr_assert_gt(c.theirs_only, 100);
}
