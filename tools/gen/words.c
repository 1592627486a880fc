/* SPDX-License-Identifier: MIT */
/* Words that C and C++ have taken before an interface file is read.
 *
 * A macro with parameters is none of them: it is only expanded in front of a bracket, and no generated code
 * has a bracket behind a member or parameter. So a version keeps its `major` and `minor`, also behind
 * <sys/sysmacros.h>. Macros in capitals are left out, but for the few of common headers, since Rust's names
 * of members and arguments are not in capitals. */
#include "gen/gen.h"

#include <stdio.h>

/* Keywords of C17, C23 and C++23, and what compilers define by themselves. */
static const char keywords[] =
    " alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t class "
    "co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype "
    "default delete do double dynamic_cast else enum explicit export extern false float for friend goto i386 if "
    "inline int linux long mutable namespace new noexcept noreturn not not_eq nullptr operator or or_eq private "
    "protected public register reinterpret_cast requires restrict return short signed sizeof static static_assert "
    "static_cast struct switch template this thread_local throw true try typedef typeid typename typeof "
    "typeof_unqual union unix unsigned using virtual void volatile wchar_t while xor xor_eq ";

/* Macros without parameters of the C library and of POSIX, which a program may have included before. */
static const char macros[] =
    " BUFSIZ EOF I INFINITY NAN NULL complex d_fileno errno h_addr h_errno ifa_broadaddr ifa_dstaddr "
    "ifc_buf ifc_req ifr_addr ifr_bandwidth ifr_broadaddr ifr_data ifr_dstaddr ifr_flags ifr_hwaddr ifr_ifindex "
    "ifr_map ifr_metric ifr_mtu ifr_name ifr_netmask ifr_newname ifr_qlen ifr_slave imaginary math_errhandling "
    "no_argument optional_argument required_argument s6_addr s6_addr16 s6_addr32 sa_handler sa_sigaction "
    "sched_priority si_addr si_addr_lsb si_arch si_band si_call_addr si_fd si_int si_lower si_overrun si_pid si_pkey "
    "si_ptr si_status si_stime si_syscall si_timerid si_uid si_upper si_utime si_value sigev_notify_attributes "
    "sigev_notify_function st_atime st_ctime st_mtime stderr stdin stdout ";

/* What the headers that generated ones include declare with an underscore inside. */
static const char declared[] =
    " PTRDIFF_MAX PTRDIFF_MIN SIG_ATOMIC_MAX SIG_ATOMIC_MIN SIZE_MAX WCHAR_MAX WCHAR_MIN WINT_MAX WINT_MIN "
    "explicit_bzero locale_t max_align_t nullptr_t ptrdiff_t size_t ssize_t strcasecmp_l strcoll_l strerror_l "
    "strerror_r strncasecmp_l strtok_r strxfrm_l ";

/* What the generated functions use, and variables of the C library, which a parameter would shadow. So would
 * it a type of POSIX, all of which end in _t. */
static const char shadowed[] =
    " daylight environ getdate_err memcpy optarg opterr optind optopt "
    "program_invocation_name program_invocation_short_name signgam timezone tzname ";

static bool is_among(const char *words, choir_str name) {
    char padded[40];
    if (name.len + 3 > sizeof padded) return false;
    snprintf(padded, sizeof padded, " %.*s ", (int)name.len, name.data);
    return strstr(words, padded) != NULL;
}

/* Takes a word off the front. */
static bool skip(choir_str *s, const char *lower, const char *upper) {
    size_t len = strlen(lower);
    if (s->len < len || (memcmp(s->data, lower, len) != 0 && memcmp(s->data, upper, len) != 0)) return false;
    *s = (choir_str){s->data + len, s->len - len};
    return true;
}

/* Of <stdint.h>: int8_t, uint_fast16_t, INTMAX_MAX, UINT64_C and so on. */
static bool is_of_stdint(choir_str name) {
    skip(&name, "u", "U");
    if (!skip(&name, "int", "INT")) return false;
    if (!skip(&name, "_least", "_LEAST")) skip(&name, "_fast", "_FAST");
    if (!skip(&name, "ptr", "PTR")) skip(&name, "max", "MAX");
    while (name.len > 0 && name.data[0] >= '0' && name.data[0] <= '9')
        name = (choir_str){name.data + 1, name.len - 1};
    return idl_is(name, "_t") || idl_is(name, "_MAX") || idl_is(name, "_MIN") || idl_is(name, "_C");
}

bool gen_is_ours(choir_str name) {
    return (skip(&name, "choiri", "CHOIRI") || skip(&name, "choir", "CHOIR")) &&
           (name.len == 0 || name.data[0] == '_');
}

bool gen_is_global_word(choir_str name) {
    return is_among(keywords, name) || is_among(declared, name) || is_of_stdint(name);
}

bool gen_is_shadow(choir_str name) {
    return is_among(shadowed, name) || (name.len > 2 && memcmp(name.data + name.len - 2, "_t", 2) == 0);
}

bool gen_is_word(choir_str name) {
    return gen_is_global_word(name) || is_among(macros, name) || gen_is_ours(name);
}
