#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs choir-gen as a user or build system does: options, files, errors, and what the output must be for compilers.

usage: test_choir_gen.py CHOIR_GEN CHOIR SOURCE_ROOT BUILD_ROOT
"""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hygiene"))
from tap import Tap  # noqa: E402

INTERFACES = ["conformance/testbed/testbed.rs", "conformance/testbed/testbed_evolved.rs",
              "conformance/generated/zoo.rs", "docs/examples/calculator/calculator.rs"]
# The whole list of meson.build.
C_WARNINGS = """-Wall -Wextra -Wpedantic -Werror -Wconversion -Wsign-conversion -Wshadow -Wvla -Wstrict-prototypes
    -Wmissing-prototypes -Wundef -Wcast-align -Wwrite-strings -Wimplicit-fallthrough -Wswitch-enum -Wformat=2
    -Wnull-dereference -Wdouble-promotion -fno-common""".split()
CPP_WARNINGS = "-Wall -Wextra -Wpedantic -Werror -Wconversion -Wshadow -Wundef -Wold-style-cast".split()

# What C cannot name, or names twice: text and the start of the message.
BAD = [
    ("struct A { int: u8, int_: u8 }",
     '1:21: error: the field "int_" would be int_ in C, as the field "int" in line 1\n'),
    ("struct MyType;\nstruct A { x: u8 }\nstruct a { x: u8 }",
     '3:8: error: the type "a" would be bad_a in C, as the type "A" in line 2\n'),
    ("enum E { FooBar, Foo_bar }",
     '1:18: error: the variant "Foo_bar" would be BAD_E_FOO_BAR in C, as the variant "FooBar" in line 1\n'),
    ("enum E { A { x: u8 } }\nstruct E_A { x: u8 }",
     '2:8: error: the type "E_A" would be bad_e_a in C, as the variant "A" in line 1\n'),
    ("trait T { async fn a(&self); }\nstruct ReplyA { x: u8 }",
     '2:8: error: the type "ReplyA" would be t_reply_a in C, as the method "a" in line 1\n'),
    ("enum E { Tag(u8), Tag_(u8) }", '1:19: error: the variant "Tag_" would be tag_ in C, as the variant "Tag" in line 1\n'),
    ("trait T { async fn size(&self); async fn size_(&self, x: u8); }",
     '1:42: error: the method id of "size_" is also that of "size" in line 1\n'),
    ("trait T { async fn f(&self, int: u8, int_: u8); }",
     '1:38: error: the field "int_" would be int_ in C, as the field "int" in line 1\n'),
    ("trait T { async fn get(&self); }\nstruct GetResponder(u8);",
     '2:8: error: the type "GetResponder" would be t_get_responder in C, as the method "get" in line 1\n'),
    ("trait Size { async fn get(&self); }\nstruct T(u8);",
     '2:8: error: the type "T" would be size_t in C, which is a name of C itself\n'),
    ("trait Int64 { async fn max(&self); }", '1:24: error: the method "max" would be INT64_MAX in C, which is a name of C itself\n'),
    ("trait Choir { async fn call(&self) -> Str; }\nstruct Str(u64);",
     '1:7: error: names in C would start with "choir_", as those of the library do\n'),
    ("trait ChoirMaster { async fn f(&self); }", '1:7: error: names in C would start with "choir_master_", as those of'),
    ("trait T { async fn f(&self); }\nstruct Service(u8);",
     '2:8: error: the type "Service" would be t_service in C, as the trait "T" in line 1\n'),
    ("struct Caf\u00e9 { x: u8 }", '1:8: error: "Caf\u00e9" is no name in C\n'),
    ("struct A { \u00e9: u8 }", '1:12: error: "\u00e9" is no name in C\n'),
    ("struct A { #[facet(default = 7)] x: u8 }", "1:30: error: a default that is not zero; a missing field is zero in C\n"),
    ("struct A { x: i31 }", '1:15: error: there is no type "i31"\n'),
    ("struct A { x: " + "Vec<" * 10000 + "u8" + ">" * 10000 + "}", "1:271: error: types are nested too deep here\n"),
    ("struct A { x: " + "(" * 10000, "1:79: error: types are nested too deep here\n"),
    ("/*" * 10000, "1:1: error: this comment does not end\n"),
    ("", ""),
]

# An interface with every form, for names: whatever is called like anything else in it.
CROSSED = '''pub struct Id(u64, u32);
pub enum Key { UserId(Id), OldId(Id, u8), Named { id: Id, both: (Id, Id) }, Nothing }
pub struct Link { pub user_id: Id, pub other: Id, pub list: Vec<Id>, pub maybe: Option<Id>, pub parts: [u8; 2],
    pub map: std::collections::HashMap<u32, Id>, pub result: Result<Id, Key>, pub boxed: Box<Link> }
%s
pub trait User {
    async fn link(&self, user_id: Id, other: Id, key: Key, parts: [u8; 2]) -> Result<Link, Key>;
    async fn start(&self, user_service: String, options: Option<u32>, names: Vec<String>) -> bool;
    %s
}
'''
# Where a name can stand, with others before and behind it.
PLACES = {
    "fields": ("pub struct Many { pub first: Id, %s, pub last: Id }", "async fn many(&self, many: Many) -> Many;", "pub r#{}: {}", ", "),
    "arguments": ("", "async fn many(&self, %s, last: Id);", "r#{}: {}", ", "),
    "variants": ("pub enum Many { First(Id), %s, Last(Id) }", "async fn many(&self, many: Many) -> Many;", "r#{}({})", ", "),
    "methods": ("", "%s async fn last(&self, id: Id) -> Id;", "async fn r#{0}(&self, id: {1}) -> Result<{1}, Id>;", " "),
    "types": ("%s", "", "pub struct r#{} {{ pub id: {} }}", " "),
}
TYPES = ["Id", "String", "u32", "Option<Id>", "Vec<Id>", "Key", "bool", "Vec<u8>", "Box<Id>", "[u8; 2]", "Vec<String>"]
# What programs include before, for the names of its macros, variables and types.
BEFORE = '''#include <assert.h>
#include <complex.h>
#include <errno.h>
#include <iso646.h>
#include <math.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
'''
OTHER_NAMES = '''I complex imaginary errno h_errno h_addr st_mtime st_atime sa_handler si_pid unix linux i386 stdin stdout EOF NULL
    major minor makedev assert isnan signbit offsetof htons va_start alloca index read write open close y0 j1 stat time signal
    select sleep timezone daylight environ optarg signgam memcpy strlen size_t uint32_t uint8_t int64_t uintptr_t bool true
    wchar_t char16_t ssize_t time_t choir_str choir_client choir_list CHOIR_OK CHOIR_API NAN alignas and not_eq class delete
    template operator typename namespace nullptr concept requires co_await final override module import restrict inline asm
    typeof register volatile auto size tag some value ok err key f0 any items len call_options call_args ret_call __x _Bool _X
    max min abs std string vector main'''.split()

# Files of other forms, which must compile.
FORMS = {
    "no_trait": "pub struct Only { pub x: u8 }\npub enum Two { A, B(Only) }\n",
    "two-traits.v1": "trait A { async fn f(&self, x: u8) -> u8; }\ntrait B { async fn f(&self, x: Vec<u8>) -> Option<u8>; }\n",
    "letters": "trait OAuth2 { async fn \u00e9clair(&self, n: u32) -> u32; async fn \u03a3\u0391\u03a3(&self); }\n",
    "empty_trait": "/// Nothing.\ntrait Empty {}\n",
    "h": "trait H { async fn h(&self, h: u8); async fn unit(&self); async fn r#type(&self) -> Result<(), ()>; }\n",
    "words": "trait Words { async fn st_mtime(&self, timezone: u8, I: f64, major: u8, errno: u8) -> Vec<u8>; async fn major(&self); }\n",
    "own_names": "trait T { async fn f(&self, done: u8, done_: u8, args: u8, call_args: u8, options: [u8; 2], now: Option<u8>); }\n",
    "accents": "trait \u00c9t\u00e9 { async fn f(&self, x: u8) -> u8; }\n",
    "channels": "trait C { async fn all(&self, a: Tx<Vec<u8>>, b: Rx<(u8, String)>, c: Option<Tx<()>>); }\n",
    "long": "trait QuiteALongNameForAService { async fn a_method_whose_name_is_rather_long(&self, "
            "and_an_argument_whose_name_is_long_too: Option<Vec<(u8, String, Vec<u16>)>>)"
            " -> Result<Vec<Option<u8>>, Option<Result<u8, (u64, i128)>>>; }\n",
}

# Parts of programs that use an interface, and whether they compile: C, its end in C and C++.
RESPONDERS = '''#include "typed.h"
static void get(void *ctx, kv_get_responder to, const kv_get_args *args, const choir_event *request) {
    (void)ctx, (void)args, (void)request;
    %s
}
extern const kv_handlers handlers;
const kv_handlers handlers = {sizeof(kv_handlers), %s};
'''
SWITCH = '''#include "tags.h"
int number(const tags_shape *shape);
int number(const tags_shape *shape) {
    switch (shape->tag) {
    case TAGS_SHAPE_CIRCLE: return 1;
    case TAGS_SHAPE_NAMED: return 2;
    %s
    }
    return 0;
}
'''
PROGRAMS = {
    "typed": ("trait Kv { async fn get(&self, key: String) -> String; async fn put(&self, n: u32) -> Result<u32, String>; }", [
        ("an answer", RESPONDERS % ('kv_reply_get(to, CHOIR_STR("x"));', "get, NULL"), True),
        ("what is for all methods", RESPONDERS % ("choir_respond_drop(to.any);", "get, NULL"), True),
        ("the answer of another method", RESPONDERS % ("kv_reply_put(to, 1);", "get, NULL"), False),
        ("the error of another method", RESPONDERS % ('kv_fail_put(to, CHOIR_STR("x"));', "get, NULL"), False),
        ("an untyped responder", RESPONDERS % ('kv_reply_get(to.any, CHOIR_STR("x"));', "get, NULL"), False),
        ("the handler of another method", RESPONDERS % ("choir_respond_drop(to.any);", "NULL, get"), False),
    ]),
    "helpers": ("struct Person { name: String, nick: Option<String>, keys: Option<[u8; 2]>, wait: std::time::Duration, end: Option<()> }", [
        ("text, options and spans", """#include "helpers.h"
#include <stdio.h>
bool use(helpers_person *person, const char *name);
bool use(helpers_person *person, const char *name) {
    const helpers_option_string none = CHOIR_NONE, nick = CHOIR_SOME(CHOIR_STR("Ada"));
    const helpers_option_array_2_u8 keys = CHOIR_SOME({1, 2});
    const helpers_option_unit end = CHOIR_SOME();
    person->name = choir_str_of(name);
    person->nick = choir_str_equal(person->name, nick.value) ? none : nick;
    person->keys = keys;
    person->end = end;
    person->wait = choir_timespan_of(3 * CHOIR_SECOND);
    return printf("%.*s", CHOIR_STR_ARGS(person->name)) > 0 && choir_duration_of(person->wait) < CHOIR_TIME_NEVER;
}
""", True),
    ]),
    "lists": ("""struct KeyInfo { key: String } struct KeyInfoList(u8); struct U32List(u8);
        struct Node { children: Vec<Node>, boxes: Vec<Box<Node>>, pairs: Vec<(Node, u8)>, arrays: Vec<[Node; 2]>, none: Vec<()> }
        struct All { a: Vec<KeyInfo>, b: Vec<Vec<u32>>, c: Vec<U32List>, d: Vec<Vec<Vec<char>>>, e: Vec<Box<Vec<Box<All>>>>,
            f: std::collections::HashSet<u32>, g: Option<Vec<Option<String>>>, h: Vec<Box<[u8]>>, i: Vec<Vec<()>>,
            j: std::collections::BTreeMap<u8, All>, k: Box<Vec<f32>> }
        trait Lists { async fn all(&self, all: All, names: Vec<String>, infos: Vec<KeyInfo>) -> Result<Vec<KeyInfo>, Vec<u64>>; }""", [
        ("what lists hold", """#include "lists.h"
            const void *use(const lists_all *all, const lists_node *node, const choir_event *done);
            const void *use(const lists_all *all, const lists_node *node, const choir_event *done) {
                const lists_key_info_list_ infos = all->a; /* the type KeyInfoList has its name */
                const choir_str key = infos.items[0].key;
                const choir_u32_list *rows = all->b.items, *set = &all->f;
                const lists_key_info_list_ *ok = lists_ok_all(done);
                const choir_u64_list *err = lists_err_all(done);
                if (ok && err && node->children.items[0].boxes.items[0] == node) return &node->pairs.items[0].f0;
                if (rows[0].items[0] + set->items[0] + all->d.items[0].items[0].items[0] == 0) return key.data;
                if (all->k->items[0] < 1.0f) return all->j.items[0].value.h.items[0].data;
                if (node->arrays.len + all->i.items[0].len == 0) return all->e.items[0]->items[0];
                return all->g.value.items[0].value.data + all->c.items[0].f0;
            }
""", True),
        ("a list of something else", """#include "lists.h"
            void use(lists_all *all, choir_u64_list list);
            void use(lists_all *all, choir_u64_list list) { all->f = list; }
""", False),
        ("what is in a list cannot be changed", """#include "lists.h"
            void use(const choir_u32_list *list);
            void use(const choir_u32_list *list) { list->items[0] = 1; }
""", False),
    ]),
    "tags": ("struct Id(u32); enum Shape { Circle(f64), Square(f64), Named(Id) } struct ShapeTag(u8); enum Only { One }", [
        ("a switch over all variants", SWITCH % "case TAGS_SHAPE_SQUARE: return 3;", True),
        ("a switch that leaves a variant out", SWITCH % "", False),
        ("a tag is as large as a number", """#include "tags.h"
            static char same[sizeof(tags_shape_tag_) == sizeof(uint32_t) && sizeof(tags_only) == 4 ? 1 : -1];
            char *use(const tags_shape_tag *declared, tags_only_tag *only);
            char *use(const tags_shape_tag *declared, tags_only_tag *only) {
                *only = TAGS_ONLY_ONE;
                return same + declared->f0;
            }
""", True),
    ]),
}

TOKEN = re.compile(r"(?P<doc>//[/!][^\n]*)|(?P<comment>//[^\n]*)|(?P<space>\s+)|(?P<word>r#\w+|'?\w+|::|->|\"[^\"]*\"|.)")


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def shuffled(text, rng):
    """The same tokens with other white space, line breaks and comments between them."""
    out = []
    for match in TOKEN.finditer(text):
        if match.lastgroup == "doc":
            out.append("\n" * rng.randrange(3) + match.group() + "\n")
        elif match.lastgroup == "word":
            gap = rng.choice([" ", "\n", "\t", "  \n\n ", "/* a /* b */ ; */", " // c }\n", "\r\n", "/**/"])
            out.append(match.group() + gap)
    return "".join(out)


class Test:
    def __init__(self, choir_gen, choir, source, build, folder):
        self.tap, self.folder = Tap(), folder
        self.choir_gen, self.choir, self.source, self.build = choir_gen, choir, source, build

    def gen(self, *arguments, **options):
        return run(self.choir_gen, *arguments, **options)

    def place(self, *parts):
        path = os.path.join(self.folder, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def outputs(self, stem, folder):
        return [read(os.path.join(self.folder, folder, stem + end)) for end in (".h", ".c")]

    def interface(self, path):
        """Everything about one interface file that is in the project."""
        stem, tap = os.path.basename(path)[:-3], self.tap
        source = os.path.join(self.source, path)
        for folder in ("first", "second"):
            self.place(folder, "x")
            language = {**os.environ, "LC_ALL": "C" if folder == "first" else "C.UTF-8"}
            result = self.gen("-o", self.place(folder), source, env=language)
            tap.check(result.returncode == 0 and not result.stderr, f"{stem}: generates", result.stderr)
        made = self.outputs(stem, "first")
        tap.check(made == self.outputs(stem, "second"), f"{stem}: twice the same")
        rng = random.Random(20260801)
        bad = []
        for _ in range(5):
            moved = self.place("moved", stem + ".rs")
            write(moved, shuffled(read(source), rng))
            result = self.gen("-o", self.place("moved"), moved)
            if result.returncode != 0 or made != self.outputs(stem, "moved"):
                bad.append(result.stderr or "another output")
        tap.check(not bad, f"{stem}: white space and comments change nothing", bad)
        self.compile(stem)
        self.format(stem)

    def compile(self, stem):
        code = os.path.join(self.folder, "first", stem)
        for compiler in filter(shutil.which, ("gcc", "clang")):
            result = run(compiler, "-std=c17", "-O2", *C_WARNINGS, *self.includes(), "-c", code + ".c", "-o", code + ".o")
            self.tap.check(result.returncode == 0, f"{stem}: compiles as C17 with {compiler}", result.stderr)
        for compiler in filter(shutil.which, ("g++", "clang++")):
            text = f'#include "{stem}.h"\n' * 2
            result = run(compiler, "-x", "c++", "-std=c++17", *CPP_WARNINGS, *self.includes(), "-fsyntax-only", "-", input=text)
            self.tap.check(result.returncode == 0, f"{stem}: can be included from C++17 with {compiler}", result.stderr)

    def crossed(self):
        """Every name that the generator makes, and many that others have, in every place: compiles, or is refused with
        both names."""
        path = self.place("first", "crossed.rs")
        write(path, CROSSED % ("", ""))
        result = self.gen("-o", self.place("first"), path)
        self.tap.check(result.returncode == 0, "crossed: generates", result.stderr)
        made = re.sub(r"/\*.*?\*/|\"[^\"\n]*\"|^#include[^\n]*|0x\w+", "", "".join(self.outputs("crossed", "first")),
                      flags=re.S | re.M)
        names = sorted(set(re.findall(r"[A-Za-z_]\w*", made)) - {"first", "last", "many", "link", "start"} | set(OTHER_NAMES))
        self.tap.check(len(names) > 300 and "user_link_responder" in names, f"crossed: {len(names)} names")
        for stem, (declared, method, form, between) in PLACES.items():
            left, bad = names, []
            if stem == "types":
                left = sorted({name[5:] for name in names if name.lower().startswith("user_")} | set(OTHER_NAMES))
            while True:
                many = between.join(form.format(name, TYPES[i % len(TYPES)]) for i, name in enumerate(left))
                write(path, CROSSED % tuple(part % many if "%s" in part else part for part in (declared, method)))
                result = self.gen("-o", self.place("first"), path)
                if result.returncode == 0:
                    break
                # The first of the two names is the one that is left out.
                told = re.search(r'error: .*?"(?:r#)?([^"]*)" (?:would be .* in C, (?:as the|which is)|is also that of|is|$)', result.stderr)
                if not told or told[1] not in left:
                    bad.append(result.stderr)
                    break
                left = [name for name in left if name != told[1]]
            self.tap.check(not bad and len(left) > (50 if stem == "types" else 200),
                           f"crossed: {len(left)} names of {stem}, the others are refused with both names", bad)
            for compiler, arguments in self.compilers():
                text = '#include "crossed.h"\n' if "c++" in arguments else '#include "crossed.c"\n'
                for label, before in (("", ""), (", behind other headers", BEFORE)):
                    result = run(compiler, *arguments, "-D_GNU_SOURCE", "-fsyntax-only", "-", input=before + text)
                    self.tap.check(result.returncode == 0, f"crossed: {stem} compile with {compiler}{label}",
                                   "\n".join(re.findall(r"^.*?error: .*$", result.stderr, re.M)[:10]))

    def guards(self):
        """Headers of one program, whose files or prefixes look alike."""
        text = "trait %s { async fn count(&self) -> u32; }"
        files = [("users/api.rs", "Users", []), ("orders/api.rs", "Orders", ["-p", "orders", "--header-name", "orders/api.h"]),
                 ("b_c.rs", "A", []), ("c.rs", "AB", ["-p", "a_b"]), ("my-api.v1.rs", "One", []), ("my_api_v1.rs", "Two", [])]
        program = ""
        for name, trait, arguments in files:
            path = self.place("guards", *name.split("/"))
            write(path, text % trait)
            result = self.gen("-o", os.path.dirname(path), *arguments, path)
            self.tap.check(result.returncode == 0, f"guards: generates {name}", result.stderr)
            program += f'#include "{name[:-3]}.h"\n' * 2
        program += "int main(void) { return 6 != users_service.methods_len + orders_service.methods_len + a_service.methods_len" \
                   " + a_b_service.methods_len + one_service.methods_len + two_service.methods_len; }\n"
        for compiler, arguments in self.compilers():
            result = run(compiler, *arguments, f"-I{self.folder}/guards", "-fsyntax-only", "-", input=program)
            self.tap.check(result.returncode == 0, f"guards: six headers in one program with {compiler}", result.stderr)

    def prefixes(self):
        """Those of the library itself."""
        path = self.place("prefixes", "choir.rs")
        write(path, "trait Orders { async fn count(&self) -> u32; }")
        for prefix in ("choir", "choir_orders", "choiri", "choiri_x"):
            result = self.gen("-p", prefix, "-o", self.place("prefixes"), path)
            self.tap.check(result.returncode == 2 and f"--prefix {prefix}\n" in result.stderr, f"refused: --prefix {prefix}",
                           result.stderr)
        for good in (["-p", "choirs"], []):
            result = self.gen(*good, "-o", self.place("prefixes"), path)
            self.tap.check(result.returncode == 0, f"taken: {' '.join(good) or 'the name of the trait, in a file choir.rs'}",
                           result.stderr)
        for text in ("struct A(u8);", "trait A {}\ntrait B {}"):
            write(path, text)
            result = self.gen("-o", self.place("prefixes"), path)
            self.tap.check(result.returncode == 1 and "--prefix NAME" in result.stderr, f"refused: {text[:10]} in choir.rs", result.stderr)
            result = self.gen("-p", "a", "-o", self.place("prefixes"), path)
            self.tap.check(result.returncode == 0, f"taken: {text[:10]} in choir.rs with another prefix", result.stderr)

    def programs(self):
        """What users write with the generated headers, and what they must not."""
        for stem, (interface, programs) in PROGRAMS.items():
            write(self.place("first", stem + ".rs"), interface)
            result = self.gen("-o", self.place("first"), self.place("first", stem + ".rs"))
            self.tap.check(result.returncode == 0, f"{stem}: generates", result.stderr)
            if stem == "tags":
                result = run("gcc", "-fshort-enums", *self.includes(), "-fsyntax-only", self.place("first", "tags.c"))
                self.tap.check("not with -fshort-enums" in result.stderr, "tags: -fshort-enums is refused", result.stderr)
            for name, text, good in programs:
                for compiler, arguments in self.compilers():
                    result = run(compiler, *arguments, "-fsyntax-only", "-", input=text)
                    self.tap.check((result.returncode == 0) == good, f"{stem}: {name} {'compiles' if good else 'does not compile'}"
                                   f" with {compiler}", result.stderr)

    def includes(self):
        return [f"-I{self.source}/include", f"-I{self.build}/include", f"-I{self.folder}/first"]

    def compilers(self):
        for compiler in filter(shutil.which, ("gcc", "clang")):
            yield compiler, ["-x", "c", "-std=c17", *C_WARNINGS, *self.includes()]
        for compiler in filter(shutil.which, ("g++", "clang++")):
            yield compiler, ["-x", "c++", "-std=c++17", *CPP_WARNINGS, *self.includes()]

    def format(self, stem):
        for program in filter(shutil.which, ("clang-format-14",)):
            files = [os.path.join(self.folder, "first", stem + end) for end in (".h", ".c")]
            shutil.copy(os.path.join(self.source, ".clang-format"), self.place("first", ".clang-format"))
            result = run(program, "--dry-run", "-Werror", *files)
            self.tap.check(result.returncode == 0, f"{stem}: is formatted", result.stderr[:2000])

    def bad_input(self):
        path = self.place("bad", "bad.rs")
        for text, message in BAD:
            write(path, text)
            result = self.gen("-o", self.place("bad"), path)
            expected = f"{path}:{message}" if message else f"{path}: error: the file declares nothing\n"
            self.tap.check(result.returncode == 1 and result.stderr.startswith(expected),
                           f"refused: {text[:40]!r}", f"{result.returncode}\n{result.stderr}")
        self.tap.check(os.listdir(self.place("bad")) == ["bad.rs"], "and nothing was written")
        write(path, "// " + "x" * 10_000_000)
        result = self.gen("-o", self.place("bad"), path)
        self.tap.check(result.returncode == 1 and "the file is too large" in result.stderr, "refused: 10 MB", result.stderr)
        write(path, "".join(f"struct A{i} {{ x: u32, y: Vec<A{i}> }}\n" for i in range(20000)))
        result = self.gen("-o", self.place("bad"), path, timeout=120)
        self.tap.check(result.returncode == 0, "20,000 types take their time, which is short", result.stderr)

    def damaged(self):
        """Interfaces with random damage: read or refused, never anything else."""
        rng, bad, statuses = random.Random(20260802), [], set()
        text = read(os.path.join(self.source, INTERFACES[2]))
        path = self.place("damaged", "zoo.rs")
        for _ in range(150):
            changed = text
            for _ in range(rng.randrange(1, 4)):
                at, span = rng.randrange(len(changed)), rng.randrange(12)
                piece = rng.choice(["", changed[at:at + span] * 2, rng.choice("<>(){}[];:,#!'\"/*&= \n\\abT0")])
                changed = changed[:at] + piece + changed[at + span:]
            write(path, changed)
            result = self.gen("-o", self.place("damaged"), path)
            statuses.add(result.returncode)
            if result.returncode not in (0, 1) or "Sanitizer" in result.stderr:
                bad.append(f"{result.returncode}: {result.stderr[:500]}\n{changed}")
        self.tap.check(not bad and statuses == {0, 1}, "150 damaged interfaces", bad[:2])

    def options(self):
        tap, source = self.tap, os.path.join(self.source, INTERFACES[0])
        folder = self.place("options", "x")[:-2]
        tap.check(self.gen("--help").returncode == 0 and "--check" in self.gen("--help").stdout, "--help")
        tap.check(re.match(r"choir-gen \d", self.gen("--version").stdout), "--version")
        for arguments in ([], ["--what"], ["a.rs", "b.rs"], ["--prefix", "Foo", source]):
            tap.check(self.gen(*arguments).returncode == 2, f"wrong usage: {' '.join(arguments) or 'nothing'}")
        tap.check(self.gen(os.path.join(folder, "none.rs")).returncode == 3, "no such file")
        tap.check(self.gen("-o", os.path.join(folder, "none"), source).returncode == 3, "no such folder")
        depfile = os.path.join(folder, "d")
        result = self.gen("-o", folder, "-p", "mine", "--header-name", "api/t.h", "--depfile", depfile, source)
        header, code = self.outputs("testbed", "options")
        tap.check(result.returncode == 0 and "mine_client_echo(" in header and '#include "api/t.h"' in code,
                  "--prefix and --header-name", result.stderr)
        tap.check(read(depfile) == f"{folder}/testbed.h {folder}/testbed.c: {source}\n", "--depfile", read(depfile))
        for stem, text in FORMS.items():
            write(self.place("first", stem + ".rs"), text)
            result = self.gen("-o", self.place("first"), self.place("first", stem + ".rs"))
            tap.check(result.returncode == 0, f"{stem}: generates", result.stderr)
            self.compile(stem)
            if stem not in ("long", "letters", "accents"):  # names that fill a line; a line is measured in bytes
                self.format(stem)
        tap.check(sorted(os.listdir(folder)) == ["d", "testbed.c", "testbed.h"], "nothing else is left")

    def check(self):
        tap, source = self.tap, os.path.join(self.source, INTERFACES[0])
        folder = self.place("check", "x")[:-2]
        result = self.gen("--check", "-o", folder, source)
        tap.check(result.returncode == 1 and "testbed.h is not there" in result.stderr, "--check: missing", result.stderr)
        self.gen("-o", folder, source)
        result = self.gen("--check", "-o", folder, source)
        tap.check(result.returncode == 0 and not result.stderr, "--check: the same", result.stderr)
        path = os.path.join(folder, "testbed.c")
        write(path, read(path).replace("\n", "\n\n", 1))
        changed = read(path)
        result = self.gen("--check", "-o", folder, source)
        tap.check(result.returncode == 1 and "testbed.c:2: differs" in result.stderr, "--check: other", result.stderr)
        tap.check(read(path) == changed, "--check writes nothing")

    def schema(self):
        tap, source = self.tap, os.path.join(self.source, INTERFACES[0])
        result = run(self.choir, "schema", "show", source)
        tap.check("  divide(i64, i64) -> Result<i64, MathError>\n    id fb68d9318f830875  args " in result.stdout,
                  "choir schema show", result.stdout + result.stderr)
        shown = re.findall(r"^  (\w+)\(.*\n    id [0-9a-f]{16}  args (.*)\n    response (.*?)(?:  .*)?$", result.stdout, re.M)
        refs = {name: (args, response) for name, args, response in shown}
        i64, never = "c6eb8c46f1e17fba", "5db70a394660f3e6"
        tap.check(len(refs) == 36 and refs["sum"][1] == f"42046de663beeef0<{i64}, 4cf4b2aeb98a1939<{never}>>"
                  and refs["divide"][0] == f"ba0496aa8cee7a4c<{i64}, {i64}>",
                  "choir schema show: whole references", result.stdout)
        tap.check(len({refs[name][1] for name in ("sum", "echo", "echo_bool", "echo_point", "divide", "lookup")}) == 6,
                  "choir schema show: responses of different types have different references", result.stdout)
        result = run(self.choir, "schema", "export", source)
        snapshot = json.loads(result.stdout)
        with open(os.path.join(self.source, "conformance/vectors/schema/testbed-method-schemas.json"),
                  encoding="utf-8") as file:
            expected = json.load(file)["methods"]
        methods = snapshot["services"][0]["methods"]
        same = [(m["name"], int(m["id"], 16), m["idem"], m["persist"]) for m in methods] == \
            [(e["name"], int(e["id"], 16), e["retry"]["idem"], e["retry"]["persist"]) for e in expected]
        tap.check(same and len(methods) == 36, "choir schema export: ids and flags of 36 methods")
        roots = all(m["args"]["schemas"].endswith(e["args_root_cbor_hex"]) for m, e in zip(methods, expected))
        tap.check(roots, "choir schema export: the announced arguments")
        for arguments in (["schema"], ["schema", "what"], ["schema", "show"], ["schema", "show", "a", "b"]):
            tap.check(run(self.choir, *arguments).returncode == 2, f"wrong usage: choir {' '.join(arguments)}")
        tap.check(run(self.choir, "schema", "show", "none.rs").returncode == 3, "choir schema: no such file")
        self.diff(source, os.path.join(self.source, "conformance/vectors/schema/testbed-evolved.rs"))

    def diff(self, old, new):
        """The plain and the evolved Testbed, and each kind of verdict."""
        tap = self.tap
        old_callers, new_callers = "old callers can call new servers: ", "new callers can call old servers: "
        result = run(self.choir, "schema", "diff", old, old)
        lines = result.stdout.splitlines()
        tap.check(result.returncode == 0 and lines[0] == "Testbed" and len(lines) == 40
                  and all(line.startswith("  same ") for line in lines[1:37])
                  and lines[37:] == ["", old_callers + "yes", new_callers + "yes"] and not result.stderr,
                  "choir schema diff: nothing has changed", result.stdout + result.stderr)
        result = run(self.choir, "schema", "diff", old, new)
        expected = ["  removed    echo\n      old callers can call new servers: no, because new servers do not have it\n",
                    "  compatible echo_profile\n"
                    "      old callers can call new servers: yes\n"
                    "          a vox server in Rust refuses the arguments: args.0.avatar is required there, because it "
                    "has no #[facet(default)]\n"
                    "      new callers can call old servers: yes\n"
                    "          a vox caller in Rust refuses the answer: Ok.avatar is required there, because it has no "
                    "#[facet(default)]\n"
                    "  compatible echo_record\n"
                    "      old callers can call new servers: yes\n"
                    "      new callers can call old servers: yes\n"
                    "  compatible echo_status\n"
                    "      old callers can call new servers: all but answers with variant Suspended in Ok\n"
                    "      new callers can call old servers: all but calls with variant Suspended in args.0\n"
                    "  breaking   echo_tag\n"
                    "      old callers can call new servers: no, because the caller cannot read the answer: "
                    "Ok.note: missing in the new version of struct Tag\n"
                    "      new callers can call old servers: no, because the server cannot read the arguments: "
                    "args.0.note: missing in the new version of struct Tag\n"
                    "  breaking   echo_measurement\n"
                    "      old callers can call new servers: no, because the server cannot read the arguments: "
                    "args.0.value: f64 in the old version, string in the new version\n"
                    "          and because the caller cannot read the answer: "
                    "Ok.value: f64 in the old version, string in the new version\n",
                    "  breaking   echo_config\n"
                    "      old callers can call new servers: no, because the server cannot read the arguments: "
                    "args.0.owner: missing in the old version of struct Config\n"
                    "      new callers can call old servers: no, because the caller cannot read the answer: "
                    "Ok.owner: missing in the old version of struct Config\n",
                    "\n\nold callers can call new servers: no, 33 of 36 methods cannot be called, 1 not with all values\n"
                    "      with vox in Rust at the reading end, 1 more of 36 methods cannot be called\n"
                    "new callers can call old servers: no, 3 of 6 methods cannot be called, 1 not with all values\n"
                    "      with vox in Rust at the reading end, 1 more of 6 methods cannot be called\n"]
        missing = [text for text in expected if text not in result.stdout]
        tap.check(result.returncode == 1 and not missing and result.stderr == (
            "choir: breaking for old callers of new servers: 33 of 36 methods\n"
            "choir: breaking for new callers of old servers: 3 of 6 methods\n"), "choir schema diff: the evolved Testbed",
            "\n".join(missing) + result.stdout + result.stderr)
        allowed = run(self.choir, "schema", "diff", "--allow", old, new)
        tap.check(allowed.returncode == 0 and allowed.stdout == result.stdout and not allowed.stderr,
                  "choir schema diff --allow", allowed.stderr)
        result = run(self.choir, "schema", "diff", new, old)
        tap.check("added      echo\n" in result.stdout and "; 30 added, which old servers do not have\n" in result.stdout,
                  "choir schema diff: methods that are new", result.stdout)
        self.diff_directions()
        self.diff_vox()
        for arguments in ([], [old], [old, new, old], ["--what", old, new], ["--require", "all", old, new],
                          ["--require=old-callers", "--allow", old, new], [old, new, "--require"]):
            tap.check(run(self.choir, "schema", "diff", *arguments).returncode == 2,
                      "choir schema diff: usage " + " ".join(os.path.basename(a) for a in arguments))
        tap.check(run(self.choir, "schema", "diff", old, "none.rs").returncode == 3, "choir schema diff: no such file")

    def versions(self, before, after, *options):
        """choir schema diff of two texts."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("v1.rs", "v2.rs")]
            for path, text in zip(paths, (before, after)):
                write(path, text)
            return run(self.choir, "schema", "diff", *options, *paths)

    def diff_directions(self):
        """Each of the two directions may break alone; what is required decides the exit status."""
        tap = self.tap
        put, get = "trait A { async fn put(&self, s: S); }\n", "trait A { async fn get(&self) -> S; }\n"
        small, large = "struct S { a: u8 }\n", "struct S { a: u8, b: u8 }\n"
        old_breaks = ((put + small, put + large), (get + large, get + small))
        new_breaks = ((put + large, put + small), (get + small, get + large))
        for pair in (*old_breaks, *new_breaks):
            for require in ("old-callers", "new-callers", "both", None):
                options = ["--require", require] if require else []
                result = self.versions(*pair, *options)
                breaks = "old" if pair in old_breaks else "new"
                status = int(not require or require == "both" or require.startswith(breaks))
                said = result.stderr.startswith(f"choir: breaking for {breaks} callers of ")
                tap.check(result.returncode == status and said == bool(status) and bool(result.stderr) == said,
                          f"choir schema diff: {breaks} callers break, {require} required, {'get' in pair[0]}",
                          result.stdout + result.stderr)
        both = "trait A { async fn put(&self, s: S); async fn get(&self) -> S; }\n"
        result = self.versions(both + small, both + large + "trait C { async fn go(&self); }\n")
        tap.check(result.returncode == 1 and result.stdout == (
            "A\n"
            "  one-way    put\n"
            "      old callers can call new servers: no, because the server cannot read the arguments: args.0.b: missing "
            "in the old version of struct S\n"
            "      new callers can call old servers: yes\n"
            "  one-way    get\n"
            "      old callers can call new servers: yes\n"
            "      new callers can call old servers: no, because the caller cannot read the answer: Ok.b: missing in the "
            "old version of struct S\n"
            "\nC\n  added      go\n"
            "\nold callers can call new servers: no, 1 of 2 methods cannot be called\n"
            "new callers can call old servers: no, 1 of 2 methods cannot be called; 1 added, which old servers do not "
            "have\n"), "choir schema diff: one way", result.stdout + result.stderr)
        gone = self.versions(both + small, put + small, "--require=new-callers")
        tap.check(gone.returncode == 0 and "  removed    get\n" in gone.stdout,
                  "choir schema diff: a removed method is nothing to new callers", gone.stdout + gone.stderr)
        tap.check(self.versions(both + small, put + small, "--require=old-callers").returncode == 1,
                  "choir schema diff: but to old ones")
        more = self.versions(put + small, both + small)
        tap.check(more.returncode == 0, "choir schema diff: an added method breaks nobody", more.stdout + more.stderr)
        some = self.versions("trait A { async fn put(&self, e: E); } enum E { X }",
                             "trait A { async fn put(&self, e: E); } enum E { X, Y, Z }")
        tap.check(some.returncode == 0 and "all but calls with variant Y in args.0 (and 1 more)\n" in some.stdout
                  and some.stdout.endswith("yes, but 1 of 1 methods not with all values\n"),
                  "choir schema diff: new variants", some.stdout + some.stderr)
        array = self.versions(put + "struct S { a: [u8; 2] }", put + "struct S { a: [u8; 3] }")
        tap.check(array.returncode == 1 and "args.0.a: the array has another length" in array.stdout,
                  "choir schema diff: the length of an array", array.stdout)
        umlaut = self.versions(put + small, put + "struct S { a: u8, \u00fc: u8 }")
        tap.check("args.0.\u00fc: missing in the old version of struct S\n" in umlaut.stdout,
                  "choir schema diff: names with other letters", umlaut.stdout)

    def diff_vox(self):
        """What vox in Rust makes of it is said only where it is something else, and decides nothing."""
        tap, put = self.tap, "trait A { async fn put(&self, s: S) -> u8; }\n"
        lines = {
            "a new Option": ("struct S { a: u8 }", "struct S { a: u8, b: Option<u8> }",
                             ["a vox server in Rust refuses the arguments: args.0.b is required there, because it has no "
                              "#[facet(default)]"]),
            "a new Option with a default": ("struct S { a: u8 }", "struct S { a: u8, #[facet(default)] b: Option<u8> }", []),
            "another type": ("struct S { a: u8 }", "struct S { a: u16 }", []),
            "a mandatory field": ("struct S { a: u8 }", "struct S { a: u8, b: u8 }", []),
            "in a variant": ("enum S { X { a: u8 }, Y }", "enum S { X { a: u8, b: u8 }, Y }",
                             ["a vox server in Rust refuses only some of the arguments: variant X in args.0, for lack of the "
                              "field b"]),
            "in a Box": ("struct I { a: u8, b: u8 } struct S { i: Box<I> }", "struct I { b: u8, a: u8 } struct S { i: Box<I> }",
                         ["a vox server in Rust misreads the arguments: args.0.i has another layout, and it does not "
                          "translate what is in a Box"] * 2),
            "recursion": ("struct S { kids: Vec<S> }", "struct S { kids: Vec<S> }",
                          ["a vox server in Rust crashes when it reads the arguments: args.0.kids[] is of a type that "
                           "contains itself, and comparing that never ends"]),
            "bytes before a list": ("struct S { a: Vec<u32> }", "struct S { #[facet(default)] b: Vec<u8>, a: Vec<u32> }",
                                    ["a vox server in Rust refuses the arguments: args.0.a is announced as list by the old "
                                     "version and as bytes by the new one"] * 2),
        }
        for name, (before, after, expected) in lines.items():
            result = self.versions(put + before, put + after)
            said = [line.strip() for line in result.stdout.splitlines() if line.strip().startswith("a vox ")]
            tap.check(said == expected, f"choir schema diff: what vox makes of it: {name}", result.stdout)
            breaks = "no, " in result.stdout
            tap.check(result.returncode == int(breaks), f"choir schema diff: exit status: {name}", result.stdout)


def main(choir_gen, choir, source, build):
    with tempfile.TemporaryDirectory() as folder:
        test = Test(choir_gen, choir, source, build, folder)
        for path in INTERFACES:
            test.interface(path)
        test.bad_input()
        test.damaged()
        test.options()
        test.programs()
        test.crossed()
        test.guards()
        test.prefixes()
        test.check()
        test.schema()
        test.tap.end()


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
