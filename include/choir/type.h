/* SPDX-License-Identifier: MIT */
/* choir/type.h: static type descriptors.
 *
 * Role:    constant data that describes C types, methods and services. Encoding, decoding, wire schemas and
 *          printing each have one interpreter that works from it. There is no code per type.
 * Owner:   the program. Descriptors are usually const data, generated or written by hand; the library only
 *          reads them.
 * Life:    they must outlive every env that has seen them, or be freed there first (choir_service_free).
 * Threads: any; they are read-only.
 * Errors:  every function that is given a unit of another version returns ERR_ABI.
 *
 * Records refer to each other by index instead of pointer, and names are offsets into one block of text, so a
 * unit needs no relocations. Records only grow at the end, and the unit carries their sizes (strides), so a
 * newer library reads units that were made for an older one.
 *
 * How a type looks in C: integers and floats as themselves (u128 as choir_u128, char as uint32_t), string as
 * choir_str, bytes (Vec<u8>) as choir_bytes, lists and sets as choir_list or a type that is laid out as it
 * (choir_str_list), maps as such a list of key-value
 * structs, arrays as T[N], options as a struct of `bool` and value, tuples and structs as structs, enums and
 * results as a struct of uint32_t tag (position of the variant) and a union, Box<T> as T *.
 *
 * Generated code has a C enum for the tag of an enum, so that -Wswitch finds a variant that was added. Its
 * values are not negative, which makes it compatible with unsigned int for GCC and Clang: what the library
 * writes as a uint32_t may be read as the enum, and the generated source asserts its size, which
 * -fshort-enums would change. */
#ifndef CHOIR_TYPE_H
#define CHOIR_TYPE_H

#include "choir/base.h"
#include "choir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CHOIR_TYPE_ABI 1u

/* Kinds of types. */
#define CHOIR_KIND_BOOL     1u
#define CHOIR_KIND_U8       2u
#define CHOIR_KIND_U16      3u
#define CHOIR_KIND_U32      4u
#define CHOIR_KIND_U64      5u
#define CHOIR_KIND_U128     6u
#define CHOIR_KIND_I8       7u
#define CHOIR_KIND_I16      8u
#define CHOIR_KIND_I32      9u
#define CHOIR_KIND_I64      10u
#define CHOIR_KIND_I128     11u
#define CHOIR_KIND_F32      12u
#define CHOIR_KIND_F64      13u
#define CHOIR_KIND_CHAR     14u /* uint32_t, a Unicode scalar value */
#define CHOIR_KIND_STRING   15u /* choir_str */
#define CHOIR_KIND_BYTES    16u /* choir_bytes; Rust's Vec<u8> */
#define CHOIR_KIND_UNIT     17u /* nothing */
#define CHOIR_KIND_NEVER    18u /* no value exists */
#define CHOIR_KIND_OPTION   19u /* elem; bool at 0, value at `offset` */
#define CHOIR_KIND_LIST     20u /* elem; choir_list */
#define CHOIR_KIND_SET      21u /* elem; choir_list */
#define CHOIR_KIND_MAP      22u /* elem is the tuple (key, value); choir_list of it */
#define CHOIR_KIND_ARRAY    23u /* elem, count; elements from 0 */
#define CHOIR_KIND_BOX      24u /* elem; a pointer, never NULL */
#define CHOIR_KIND_TUPLE    25u /* fields [first, first + count), without names */
#define CHOIR_KIND_STRUCT   26u /* name; fields [first, first + count) */
#define CHOIR_KIND_ENUM     27u /* name; variants [first, first + count); uint32_t tag at 0 */
#define CHOIR_KIND_RESULT   28u /* elem is Ok, elem2 Err; uint32_t tag at 0 (1 is Err), value at `offset` */
#define CHOIR_KIND_TX       29u /* elem; choir_tx, the sending end of a channel; in arguments only */
#define CHOIR_KIND_RX       30u /* elem; choir_rx, the receiving end */
#define CHOIR_KIND_DURATION 31u /* choir_timespan; Rust's std::time::Duration */

typedef struct choir_u128 {
    uint64_t lo, hi;
} choir_u128;

typedef struct choir_list {
    const void *items;
    size_t len;
} choir_list;

/* Declares a list type that says what it holds and is laid out as choir_list, which the library reads and
 * writes in its place. Generated code has such types for lists of its own types. */
#define CHOIR_LIST_OF(name, type)                                                                            \
    typedef struct name {                                                                                    \
        const type *items;                                                                                   \
        size_t len;                                                                                          \
    } name

CHOIR_LIST_OF(choir_bool_list, bool);
CHOIR_LIST_OF(choir_u8_list, uint8_t); /* a set; Vec<u8> is choir_bytes */
CHOIR_LIST_OF(choir_u16_list, uint16_t);
CHOIR_LIST_OF(choir_u32_list, uint32_t); /* also of char */
CHOIR_LIST_OF(choir_u64_list, uint64_t);
CHOIR_LIST_OF(choir_u128_list, choir_u128); /* also of i128 */
CHOIR_LIST_OF(choir_i8_list, int8_t);
CHOIR_LIST_OF(choir_i16_list, int16_t);
CHOIR_LIST_OF(choir_i32_list, int32_t);
CHOIR_LIST_OF(choir_i64_list, int64_t);
CHOIR_LIST_OF(choir_f32_list, float);
CHOIR_LIST_OF(choir_f64_list, double);
CHOIR_LIST_OF(choir_str_list, choir_str);
CHOIR_LIST_OF(choir_bytes_list, choir_bytes);

/* Ends of a channel. They are handles; 0 is none. */
typedef struct choir_tx {
    uint64_t v;
} choir_tx;
typedef struct choir_rx {
    uint64_t v;
} choir_rx;

/* A span of time. `nanoseconds` is below 1,000,000,000. */
typedef struct choir_timespan {
    uint64_t seconds;
    uint32_t nanoseconds;
} choir_timespan;
CHOIR_LIST_OF(choir_timespan_list, choir_timespan);

static inline choir_timespan choir_timespan_of(choir_duration duration) {
    choir_timespan span = {duration / CHOIR_SECOND, CHOIR_CAST(uint32_t, duration % CHOIR_SECOND)};
    return span;
}
/* What is longer than 584 years, which are all that it can hold, is CHOIR_TIME_NEVER. */
static inline choir_duration choir_duration_of(choir_timespan span) {
    bool fits = span.seconds <= (CHOIR_TIME_NEVER - span.nanoseconds) / CHOIR_SECOND;
    return fits ? span.seconds * CHOIR_SECOND + span.nanoseconds : CHOIR_TIME_NEVER;
}

/* Initialise an option: zoo_option_u32 age = CHOIR_SOME(7), none = CHOIR_NONE. */
#define CHOIR_SOME(...)                                                                                      \
    { true, __VA_ARGS__ }
#ifdef __cplusplus
#define CHOIR_NONE                                                                                           \
    {}
#else
#define CHOIR_NONE                                                                                           \
    { 0 }
#endif

/* Lists, bytes, sets and maps each stand for two Rust types, which are announced differently. Member `count`
 * says which one it is:
 *              0          1
 *   list       Vec<T>     [T] (Box<[T]>, Arc<[T]>, ...)
 *   bytes      Vec<u8>    [u8]
 *   set        BTreeSet   HashSet
 *   map        HashMap    BTreeMap */
#define CHOIR_COUNT_VEC       0u
#define CHOIR_COUNT_SLICE     1u
#define CHOIR_COUNT_BTREE_SET 0u
#define CHOIR_COUNT_HASH_SET  1u
#define CHOIR_COUNT_HASH_MAP  0u
#define CHOIR_COUNT_BTREE_MAP 1u

typedef struct choir_type {
    uint32_t kind;   /* CHOIR_KIND_* */
    uint32_t name;   /* string offset; struct, enum and tuple struct (a tuple with a name), else 0 */
    uint32_t size;   /* sizeof the C type; 0 for unit and never */
    uint32_t align;  /* _Alignof the C type; 1 for unit and never */
    uint32_t elem;   /* type index */
    uint32_t elem2;  /* type index */
    uint32_t first;  /* field or variant index */
    uint32_t count;  /* fields, variants or array elements; CHOIR_COUNT_* */
    uint32_t offset; /* of the value inside an option or result */
    /* For an instantiation of a generic declaration: the number of the declaration in the unit, counted from
     * 1, and its type parameters with the types that they stand for here. Constant parameters are left out.
     * Each instantiation has a record of its own. decl is 0 for a type that is not generic. */
    uint32_t decl;
    uint32_t first_param; /* param index */
    uint32_t params;      /* how many */
} choir_type;

typedef struct choir_param {
    uint32_t name; /* string offset: T */
    uint32_t type; /* type index */
} choir_param;

#define CHOIR_FIELD_DEFAULT   1u /* zero when the peer's type does not have it */
#define CHOIR_FIELD_SENSITIVE 2u /* not shown when a value is printed */

typedef struct choir_field {
    uint32_t name;   /* string offset; 0 in tuples */
    uint32_t type;   /* type index */
    uint32_t offset; /* in the C struct; for a variant's field, in the enum's struct */
    uint32_t flags;  /* CHOIR_FIELD_* */
} choir_field;

#define CHOIR_VARIANT_UNIT    0u
#define CHOIR_VARIANT_NEWTYPE 1u /* one unnamed field */
#define CHOIR_VARIANT_TUPLE   2u /* unnamed fields */
#define CHOIR_VARIANT_STRUCT  3u /* named fields */

typedef struct choir_variant {
    uint32_t name;  /* string offset */
    uint32_t shape; /* CHOIR_VARIANT_* */
    uint32_t first; /* field index */
    uint32_t count;
} choir_variant;

/* The handler may run again for the same operation. */
#define CHOIR_METHOD_IDEM 1u
/* A running handler is not stopped by its caller's cancel. */
#define CHOIR_METHOD_PERSIST 2u
/* The method can only be called. Its answer has whatever types the peer announces; `ok` and `err` are not
 * used. The CALL_DONE event says what its value is. */
#define CHOIR_METHOD_DYNAMIC 4u
/* Its values are not decoded here: a REQUEST or CALL_DONE has its payload only, and arguments and answers are
 * given encoded (choir_call_options, choir_reply_options). For those who forward. */
#define CHOIR_METHOD_RAW 8u

typedef struct choir_method {
    uint32_t name;  /* string offset, as in the interface: echo_u64 */
    uint32_t flags; /* CHOIR_METHOD_* */
    uint32_t args;  /* type index: a tuple of the arguments, or unit */
    uint32_t ok;    /* type index */
    uint32_t err;   /* type index: E of Result<T, E>; the type never if the method cannot fail */
    uint32_t reserved;
    /* The id on the wire, rule: rpc.method-id. It is checked against the names of service and method if both
     * are ASCII. Otherwise the generator's word is taken, because the library has no tables of other letters'
     * case. */
    uint64_t id;
    /* What is announced about arguments and response: announcement index + 1, or 0 if it is to be computed
     * when the service is first used. */
    uint32_t args_announcement, response_announcement;
} choir_method;

/* A schema as it is announced, computed when the unit was made: the CBOR of a Schema object, in [at, at +
 * len) of the unit's schema_bytes. */
typedef struct choir_schema {
    uint64_t id;
    uint32_t at, len;
} choir_schema;

/* Everything that is announced about one root type. */
typedef struct choir_announcement {
    uint32_t first, count;   /* range of the unit's `parts`: its schemas, dependencies first */
    uint32_t root, root_len; /* CBOR of the root's TypeRef, in schema_bytes */
} choir_announcement;

/* A unit: the records of one interface file. */
typedef struct choir_unit {
    uint32_t abi;  /* CHOIR_TYPE_ABI */
    uint32_t size; /* sizeof this struct */
    /* sizes of the records */
    uint16_t type_stride, field_stride, variant_stride, method_stride;
    uint16_t param_stride, schema_stride, announcement_stride, reserved;
    uint32_t types_len, fields_len, variants_len, strings_len;
    uint32_t params_len, schemas_len, announcements_len, parts_len, schema_bytes_len;
    const choir_type *types;
    const choir_field *fields;
    const choir_variant *variants;
    const char *strings; /* NUL-terminated names; offset 0 is the empty name */
    const choir_param *params;
    const choir_schema *schemas;
    const choir_announcement *announcements;
    const uint32_t *parts; /* schema indices */
    const uint8_t *schema_bytes;
} choir_unit;

typedef struct choir_service {
    const choir_unit *unit;
    uint32_t name; /* string offset, as in the interface: Testbed */
    uint32_t methods_len;
    const choir_method *methods;
} choir_service;

/* Fills in the version members of a unit that is written by hand. */
#define CHOIR_UNIT_HEADER                                                                                    \
    .abi = CHOIR_TYPE_ABI, .size = sizeof(choir_unit), .type_stride = sizeof(choir_type),                    \
    .field_stride = sizeof(choir_field), .variant_stride = sizeof(choir_variant),                            \
    .method_stride = sizeof(choir_method), .param_stride = sizeof(choir_param),                              \
    .schema_stride = sizeof(choir_schema), .announcement_stride = sizeof(choir_announcement)

/* The index of the method with this name, spelled as in the interface. OK · ERR_NOT_FOUND · ERR_ABI. */
CHOIR_API int choir_service_find(const choir_service *service, choir_str name, uint32_t *ret_index);
/* Names, spelled as in the interface. Empty when there is no such index or the unit cannot be read. Returns
 * borrowed (valid as long as the unit). */
CHOIR_API choir_str choir_service_name(const choir_service *service);
CHOIR_API choir_str choir_method_name(const choir_service *service, uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
