/* SPDX-License-Identifier: MIT */
/* What is counted when two versions of a file are compared, on which the exit status of choir schema diff
 * depends. */
#include "idl/idl.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static idl *parse(const char *text) {
    idl *file = NULL;
    idl_error error;
    cr_assert(idl_parse(text, strlen(text), "test.rs", &file, &error), "%s", error.text);
    return file;
}

static void compare(const char *before, const char *after, idl_diff_counts *ret_counts, char *ret_printed,
                    size_t size) {
    idl_error error;
    idl *old = parse(before), *new = parse(after);
    FILE *out = tmpfile();
    cr_assert(out && idl_diff(old, new, out, ret_counts, &error));
    rewind(out);
    size_t len = fread(ret_printed, 1, size - 1, out);
    ret_printed[len] = '\0';
    fclose(out);
    idl_free(old);
    idl_free(new);
}

static void check(const char *before, const char *after, idl_diff_way old, idl_diff_way new,
                  const char *last_lines) {
    idl_diff_counts counts;
    char printed[2048];
    compare(before, after, &counts, printed, sizeof printed);
    const idl_diff_way expected[IDL_CALLERS] = {old, new};
    for (int i = 0; i < IDL_CALLERS; i++) {
        const idl_diff_way *way = &counts.callers[i], *e = &expected[i];
        cr_assert_eq(way->methods, e->methods, "%s", printed);
        cr_assert_eq(way->broken, e->broken, "%s", printed);
        cr_assert_eq(way->partial, e->partial, "%s", printed);
        cr_assert_eq(way->vox_broken, e->vox_broken, "%s", printed);
        cr_assert_eq(way->added, e->added, "%s", printed);
    }
    size_t len = strlen(printed), tail = strlen(last_lines);
    cr_assert(len >= tail && strcmp(printed + len - tail, last_lines) == 0, "%s", printed);
}

#define PUT(type) "trait A { async fn put(&self, s: " type "); } "
#define GET(type) "trait A { async fn get(&self) -> " type "; } "
#define OLD       "old callers can call new servers: "
#define NEW       "new callers can call old servers: "

Test(diff, nothing) {
    check("", "", (idl_diff_way){0}, (idl_diff_way){0}, OLD "yes\n" NEW "yes\n");
    check(PUT("u8"), PUT("u8"), (idl_diff_way){.methods = 1}, (idl_diff_way){.methods = 1},
          "A\n  same       put\n\n" OLD "yes\n" NEW "yes\n");
}

Test(diff, directions) {
    static const char small[] = "struct S { a: u8 }", large[] = "struct S { a: u8, b: u8 }";
    char texts[4][128];
    for (int i = 0; i < 4; i++)
        snprintf(texts[i], sizeof texts[i], "%s%s", i < 2 ? PUT("S") : GET("S"), i & 1 ? large : small);
    const idl_diff_way good = {.methods = 1}, bad = {.methods = 1, .broken = 1};
    static const char old_breaks[] = OLD "no, 1 of 1 methods cannot be called\n" NEW "yes\n",
                      new_breaks[] = OLD "yes\n" NEW "no, 1 of 1 methods cannot be called\n";
    check(texts[0], texts[1], bad, good, old_breaks); /* a server needs more than old callers say */
    check(texts[1], texts[0], good, bad, new_breaks);
    check(texts[2], texts[3], good, bad, new_breaks); /* a caller needs more than old servers say */
    check(texts[3], texts[2], bad, good, old_breaks);
}

Test(diff, methods) {
    static const char one[] = "trait A { async fn a(&self); }",
                      two[] = "trait A { async fn a(&self); async fn b(&self); }",
                      other[] = "trait A { async fn a(&self); } trait B { async fn b(&self); }";
    const idl_diff_way same = {.methods = 1}, added = {.methods = 1, .added = 1},
                       removed = {.methods = 2, .broken = 1};
    check(one, two, same, added, OLD "yes\n" NEW "yes; 1 added, which old servers do not have\n");
    check(one, other, same, added, OLD "yes\n" NEW "yes; 1 added, which old servers do not have\n");
    check(two, one, removed, same, OLD "no, 1 of 2 methods cannot be called\n" NEW "yes\n");
    check(other, one, removed, same, OLD "no, 1 of 2 methods cannot be called\n" NEW "yes\n");
}

Test(diff, values) {
    check(PUT("E") "enum E { A }", PUT("E") "enum E { A, B }", (idl_diff_way){.methods = 1},
          (idl_diff_way){.methods = 1, .partial = 1},
          OLD "yes\n" NEW "yes, but 1 of 1 methods not with all values\n");
    check(
        "trait A { async fn a(&self, s: S); async fn b(&self, e: E); } struct S { a: u8 } enum E { A, B }",
        "trait A { async fn a(&self, s: S); async fn b(&self, e: E); } struct S { a: u8, b: u8 } enum E { A }",
        (idl_diff_way){.methods = 2, .broken = 1, .partial = 1}, (idl_diff_way){.methods = 2},
        OLD "no, 1 of 2 methods cannot be called, 1 not with all values\n" NEW "yes\n");
}

Test(diff, vox) {
    check(PUT("S") "struct S { a: u8 }", PUT("S") "struct S { a: u8, b: Option<u8> }",
          (idl_diff_way){.methods = 1, .vox_broken = 1}, (idl_diff_way){.methods = 1},
          OLD "yes\n      with vox in Rust at the reading end, 1 of 1 methods cannot be called\n" NEW
              "yes\n");
    check(
        PUT("S") "struct S { k: Vec<S> }", PUT("S") "struct S { k: Vec<S> }",
        (idl_diff_way){.methods = 1, .vox_broken = 1}, (idl_diff_way){.methods = 1, .vox_broken = 1},
        "A\n  same       put\n      a vox server in Rust crashes when it reads the arguments: args.0.k[] is of a "
        "type that contains itself, and comparing that never ends\n\n" OLD
        "yes\n      with vox in Rust at the reading end, 1 of 1 methods cannot be called\n" NEW
        "yes\n      with vox in Rust at the reading end, 1 of 1 methods cannot be called\n");
}
