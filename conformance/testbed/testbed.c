/* SPDX-License-Identifier: MIT */
/* Testbed's descriptors. Records refer to each other by index; the indices are enumerators, and the lists of names
 * and fields are written once and unfolded twice (to number them and to fill them in), so no index is counted by hand.
 * The method ids are written down and not computed: preparing the service compares them with the names' hashes. */
#include "testbed/testbed.h"

/* --- names: members of one struct, whose offsets are the string offsets --- */

/* clang-format off */
#define NAMES(NAME) \
    NAME(Testbed) \
    NAME(echo) NAME(reverse) NAME(divide) NAME(lookup) NAME(echo_gnarly) NAME(echo_bytes) NAME(echo_bool) \
    NAME(echo_u64) NAME(echo_option_string) \
    NAME(Person) NAME(name) NAME(age) NAME(email) \
    NAME(MathError) NAME(DivisionByZero) NAME(Overflow) \
    NAME(LookupError) NAME(NotFound) NAME(AccessDenied) \
    NAME(GnarlyAttr) NAME(key) NAME(value) \
    NAME(GnarlyKind) NAME(File) NAME(Directory) NAME(Symlink) \
    NAME(mime) NAME(tags) NAME(child_count) NAME(children) NAME(target) NAME(hops) \
    NAME(GnarlyEntry) NAME(id) NAME(parent) NAME(path) NAME(attrs) NAME(chunks) NAME(kind) \
    NAME(GnarlyPayload) NAME(revision) NAME(mount) NAME(entries) NAME(footer) NAME(digest)

#define NAME_MEMBER(id) char id[sizeof #id];
struct names {
    char empty[1];
    NAMES(NAME_MEMBER)
};

#define NAME_TEXT(id) .id = #id,
static const struct names names = {
    .empty = "",
    NAMES(NAME_TEXT)
};
/* clang-format on */

#define N(id) ((uint32_t)offsetof(struct names, id))

/* --- types --- */

enum {
    T_NEVER,
    T_BOOL,
    T_U8,
    T_U32,
    T_U64,
    T_I64,
    T_STRING,
    T_BYTES,
    T_OPTION_STRING,
    T_OPTION_U64,
    T_LIST_STRING,
    T_LIST_BYTES,
    T_LIST_U32,
    T_LIST_ATTR,
    T_LIST_ENTRY,
    T_PERSON,
    T_MATH_ERROR,
    T_LOOKUP_ERROR,
    T_GNARLY_ATTR,
    T_GNARLY_KIND,
    T_GNARLY_ENTRY,
    T_GNARLY_PAYLOAD,
    T_ECHO_ARGS,
    T_REVERSE_ARGS,
    T_DIVIDE_ARGS,
    T_LOOKUP_ARGS,
    T_ECHO_GNARLY_ARGS,
    T_ECHO_BYTES_ARGS,
    T_ECHO_BOOL_ARGS,
    T_ECHO_U64_ARGS,
    T_ECHO_OPTION_STRING_ARGS,
    T_COUNT
};

/* --- fields: of a struct, of a variant, and of arguments (a tuple, so without a name) --- */

/* clang-format off */
#define FIELDS(FIELD, IN_VARIANT, ARGUMENT) \
    FIELD(person, name, T_STRING) \
    FIELD(person, age, T_U8) \
    FIELD(person, email, T_OPTION_STRING) \
    FIELD(gnarly_attr, key, T_STRING) \
    FIELD(gnarly_attr, value, T_STRING) \
    IN_VARIANT(gnarly_kind, file, mime, T_STRING) \
    IN_VARIANT(gnarly_kind, file, tags, T_LIST_STRING) \
    IN_VARIANT(gnarly_kind, directory, child_count, T_U32) \
    IN_VARIANT(gnarly_kind, directory, children, T_LIST_STRING) \
    IN_VARIANT(gnarly_kind, symlink, target, T_STRING) \
    IN_VARIANT(gnarly_kind, symlink, hops, T_LIST_U32) \
    FIELD(gnarly_entry, id, T_U64) \
    FIELD(gnarly_entry, parent, T_OPTION_U64) \
    FIELD(gnarly_entry, name, T_STRING) \
    FIELD(gnarly_entry, path, T_STRING) \
    FIELD(gnarly_entry, attrs, T_LIST_ATTR) \
    FIELD(gnarly_entry, chunks, T_LIST_BYTES) \
    FIELD(gnarly_entry, kind, T_GNARLY_KIND) \
    FIELD(gnarly_payload, revision, T_U64) \
    FIELD(gnarly_payload, mount, T_STRING) \
    FIELD(gnarly_payload, entries, T_LIST_ENTRY) \
    FIELD(gnarly_payload, footer, T_OPTION_STRING) \
    FIELD(gnarly_payload, digest, T_BYTES) \
    ARGUMENT(echo, message, T_STRING) \
    ARGUMENT(reverse, message, T_STRING) \
    ARGUMENT(divide, dividend, T_I64) \
    ARGUMENT(divide, divisor, T_I64) \
    ARGUMENT(lookup, id, T_U32) \
    ARGUMENT(echo_gnarly, payload, T_GNARLY_PAYLOAD) \
    ARGUMENT(echo_bytes, data, T_BYTES) \
    ARGUMENT(echo_bool, b, T_BOOL) \
    ARGUMENT(echo_u64, n, T_U64) \
    ARGUMENT(echo_option_string, s, T_OPTION_STRING)

#define FIELD_INDEX(owner, member, type)            F_##owner##_##member,
#define VARIANT_INDEX(owner, variant, member, type) F_##owner##_##variant##_##member,
#define ARGUMENT_INDEX(method, member, type)        F_##method##_args_##member,
enum { FIELDS(FIELD_INDEX, VARIANT_INDEX, ARGUMENT_INDEX) F_COUNT };

#define FIELD_RECORD(owner, member, type_)                                                                   \
    {.name = N(member), .type = type_, .offset = offsetof(testbed_##owner, member)},
#define VARIANT_RECORD(owner, variant, member, type_)                                                        \
    {.name = N(member), .type = type_, .offset = offsetof(testbed_##owner, variant.member)},
#define ARGUMENT_RECORD(method, member, type_)                                                               \
    {.type = type_, .offset = offsetof(testbed_##method##_args, member)},
static const choir_field fields[] = {FIELDS(FIELD_RECORD, VARIANT_RECORD, ARGUMENT_RECORD)};
/* clang-format on */

/* --- variants --- */

enum {
    V_DIVISION_BY_ZERO,
    V_OVERFLOW,
    V_NOT_FOUND,
    V_ACCESS_DENIED,
    V_FILE,
    V_DIRECTORY,
    V_SYMLINK,
    V_COUNT
};

#define UNIT(name_)                                                                                          \
    { .name = N(name_), .shape = CHOIR_VARIANT_UNIT }
#define STRUCT(name_, first_, count_)                                                                        \
    { .name = N(name_), .shape = CHOIR_VARIANT_STRUCT, .first = first_, .count = count_ }
static const choir_variant variants[] = {
    [V_DIVISION_BY_ZERO] = UNIT(DivisionByZero),
    [V_OVERFLOW] = UNIT(Overflow),
    [V_NOT_FOUND] = UNIT(NotFound),
    [V_ACCESS_DENIED] = UNIT(AccessDenied),
    [V_FILE] = STRUCT(File, F_gnarly_kind_file_mime, 2),
    [V_DIRECTORY] = STRUCT(Directory, F_gnarly_kind_directory_child_count, 2),
    [V_SYMLINK] = STRUCT(Symlink, F_gnarly_kind_symlink_target, 2),
};

#define C_TYPE(type) .size = sizeof(type), .align = _Alignof(type)
#define LIST_OF(type)                                                                                        \
    { .kind = CHOIR_KIND_LIST, C_TYPE(choir_list), .elem = type }
#define ARGS(method, first_, count_)                                                                         \
    { .kind = CHOIR_KIND_TUPLE, C_TYPE(testbed_##method##_args), .first = first_, .count = count_ }
#define OPTION_OF(type, elem_)                                                                               \
    { .kind = CHOIR_KIND_OPTION, C_TYPE(type), .elem = elem_, .offset = offsetof(type, value) }
#define STRUCT_TYPE(name_, type, first_, count_)                                                             \
    { .kind = CHOIR_KIND_STRUCT, .name = N(name_), C_TYPE(type), .first = first_, .count = count_ }
#define ENUM_TYPE(name_, type, first_, count_)                                                               \
    { .kind = CHOIR_KIND_ENUM, .name = N(name_), C_TYPE(type), .first = first_, .count = count_ }
static const choir_type types[] = {
    [T_NEVER] = {.kind = CHOIR_KIND_NEVER, .align = 1},
    [T_BOOL] = {.kind = CHOIR_KIND_BOOL, C_TYPE(bool)},
    [T_U8] = {.kind = CHOIR_KIND_U8, C_TYPE(uint8_t)},
    [T_U32] = {.kind = CHOIR_KIND_U32, C_TYPE(uint32_t)},
    [T_U64] = {.kind = CHOIR_KIND_U64, C_TYPE(uint64_t)},
    [T_I64] = {.kind = CHOIR_KIND_I64, C_TYPE(int64_t)},
    [T_STRING] = {.kind = CHOIR_KIND_STRING, C_TYPE(choir_str)},
    [T_BYTES] = {.kind = CHOIR_KIND_BYTES, C_TYPE(choir_bytes)},
    [T_OPTION_STRING] = OPTION_OF(testbed_option_string, T_STRING),
    [T_OPTION_U64] = OPTION_OF(testbed_option_u64, T_U64),
    [T_LIST_STRING] = LIST_OF(T_STRING),
    [T_LIST_BYTES] = LIST_OF(T_BYTES),
    [T_LIST_U32] = LIST_OF(T_U32),
    [T_LIST_ATTR] = LIST_OF(T_GNARLY_ATTR),
    [T_LIST_ENTRY] = LIST_OF(T_GNARLY_ENTRY),
    [T_PERSON] = STRUCT_TYPE(Person, testbed_person, F_person_name, 3),
    [T_MATH_ERROR] = ENUM_TYPE(MathError, testbed_math_error, V_DIVISION_BY_ZERO, 2),
    [T_LOOKUP_ERROR] = ENUM_TYPE(LookupError, testbed_lookup_error, V_NOT_FOUND, 2),
    [T_GNARLY_ATTR] = STRUCT_TYPE(GnarlyAttr, testbed_gnarly_attr, F_gnarly_attr_key, 2),
    [T_GNARLY_KIND] = ENUM_TYPE(GnarlyKind, testbed_gnarly_kind, V_FILE, 3),
    [T_GNARLY_ENTRY] = STRUCT_TYPE(GnarlyEntry, testbed_gnarly_entry, F_gnarly_entry_id, 7),
    [T_GNARLY_PAYLOAD] = STRUCT_TYPE(GnarlyPayload, testbed_gnarly_payload, F_gnarly_payload_revision, 5),
    [T_ECHO_ARGS] = ARGS(echo, F_echo_args_message, 1),
    [T_REVERSE_ARGS] = ARGS(reverse, F_reverse_args_message, 1),
    [T_DIVIDE_ARGS] = ARGS(divide, F_divide_args_dividend, 2),
    [T_LOOKUP_ARGS] = ARGS(lookup, F_lookup_args_id, 1),
    [T_ECHO_GNARLY_ARGS] = ARGS(echo_gnarly, F_echo_gnarly_args_payload, 1),
    [T_ECHO_BYTES_ARGS] = ARGS(echo_bytes, F_echo_bytes_args_data, 1),
    [T_ECHO_BOOL_ARGS] = ARGS(echo_bool, F_echo_bool_args_b, 1),
    [T_ECHO_U64_ARGS] = ARGS(echo_u64, F_echo_u64_args_n, 1),
    [T_ECHO_OPTION_STRING_ARGS] = ARGS(echo_option_string, F_echo_option_string_args_s, 1),
};

/* clang-format off */
static const choir_unit unit = {
    CHOIR_UNIT_HEADER,
    .types_len = T_COUNT,
    .fields_len = F_COUNT,
    .variants_len = V_COUNT,
    .strings_len = sizeof names,
    .types = types,
    .fields = fields,
    .variants = variants,
    .strings = (const char *)&names,
};
/* clang-format on */

#define METHOD(name_, args_, ok_, err_, id_)                                                                 \
    { .name = N(name_), .args = args_, .ok = ok_, .err = err_, .id = id_ }
static const choir_method methods[] = {
    [TESTBED_ECHO] = METHOD(echo, T_ECHO_ARGS, T_STRING, T_NEVER, UINT64_C(0x880bc4eee23574be)),
    [TESTBED_REVERSE] = METHOD(reverse, T_REVERSE_ARGS, T_STRING, T_NEVER, UINT64_C(0x1c223f30e180392a)),
    [TESTBED_DIVIDE] = METHOD(divide, T_DIVIDE_ARGS, T_I64, T_MATH_ERROR, UINT64_C(0xfb68d9318f830875)),
    [TESTBED_LOOKUP] = METHOD(lookup, T_LOOKUP_ARGS, T_PERSON, T_LOOKUP_ERROR, UINT64_C(0xa15ff52094712a3b)),
    [TESTBED_ECHO_GNARLY] =
        METHOD(echo_gnarly, T_ECHO_GNARLY_ARGS, T_GNARLY_PAYLOAD, T_NEVER, UINT64_C(0xb6facae6a7a86e99)),
    [TESTBED_ECHO_BYTES] =
        METHOD(echo_bytes, T_ECHO_BYTES_ARGS, T_BYTES, T_NEVER, UINT64_C(0x44056c7842fa336c)),
    [TESTBED_ECHO_BOOL] = METHOD(echo_bool, T_ECHO_BOOL_ARGS, T_BOOL, T_NEVER, UINT64_C(0x5136d8f01a5f496c)),
    [TESTBED_ECHO_U64] = METHOD(echo_u64, T_ECHO_U64_ARGS, T_U64, T_NEVER, UINT64_C(0x85e2380dbf7ffe65)),
    [TESTBED_ECHO_OPTION_STRING] = METHOD(echo_option_string, T_ECHO_OPTION_STRING_ARGS, T_OPTION_STRING,
                                          T_NEVER, UINT64_C(0xb1a5bfd205b3fbfc)),
};

const choir_service testbed_service = {
    .unit = &unit, .name = N(Testbed), .methods_len = TESTBED_METHODS, .methods = methods};
