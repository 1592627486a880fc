#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records what a compiled program knows about the library.

usage: record.py INCLUDE_FOLDER... > abi_N.c

The folders are include/ and that of version.h in a build. The record is a C file that compiles as long as programs that
were built when it was made fit this library: members lie where they lay, structs have not shrunk, those passed by value have
the same size, constants have their values, and functions are there with their types. It is for 64-bit machines.
"""
import os
import re
import subprocess
import sys
import tempfile

# Passed by value, or in arrays that programs make: docs/internals/api.md.
FIXED = re.compile(r"choir_(str|bytes|list|u128|timespan|iov|\w+_id|responder|served|metadata(_entry)?|key|observer|view|"
                   r"tx|rx|allocator|\w+_list)$")
HEADERS = ("choir.h", "net.h")


def read(path):
    with open(path, encoding="utf-8") as file:
        return re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)


def structs(text):
    """Names, and members outside of structs within."""
    for name, body in re.findall(r"typedef struct (choir_\w+) \{(.*?)\n\} choir_\w+;", text, flags=re.S):
        body = re.sub(r"\{[^{}]*\}", "", body)
        members = []
        for declaration in filter(None, (" ".join(part.split()) for part in body.split(";"))):
            pointer = re.search(r"\(\*(\w+)\)\(", declaration)
            if pointer:
                members.append(pointer.group(1))
                continue
            members += [re.sub(r"\[.*|\*", "", word).split()[-1] for word in declaration.split(",")]
        yield name, members


def values(folders, expressions):
    """What they are today, by the compiler."""
    lines = [f"#include <choir/{header}>" for header in HEADERS] + ["#include <stddef.h>", "#include <stdio.h>", "int main(void) {"]
    lines += [f'    printf("%lld\\n", (long long)({expression}));' for expression in expressions] + ["}"]
    with tempfile.TemporaryDirectory() as folder:
        source, program = folder + "/a.c", folder + "/a"
        with open(source, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
        subprocess.run([os.environ.get("CC", "cc"), *[f"-I{f}" for f in folders], "-o", program, source], check=True)
        return subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def main(folders):
    texts = {name: read(f"{folders[0]}/choir/{name}") for name in sorted(os.listdir(folders[0] + "/choir")) if name.endswith(".h")}
    text = "\n".join(texts.values())
    layouts = sorted(structs(text))
    offsets = [(name, member) for name, members in layouts for member in members]
    constants = sorted(set(re.findall(r"^#define (CHOIR_[A-Z0-9_]+)[ \t]+\(?-?(?:UINT32_MAX|\d|\(1|CHOIR_\w+ \*)", text, flags=re.M)))
    constants += sorted("CHOIR_" + name for name in re.findall(r"X\((\w+), -?\d+,", text))
    numbers = iter(values(folders, [f"sizeof({n})" for n, _ in layouts] + [f"offsetof({n}, {m})" for n, m in offsets] + constants))
    print("/* SPDX-License-Identifier: MIT */\n/* What a program that was compiled against an earlier choir knows about it. Made by record.py;"
          " never edited.\n * See README.md. */\n#include <choir/choir.h>\n#include <choir/net.h>\n#include <stddef.h>\n")
    print('#define SAME(what, value) _Static_assert((what) == (value), #what " was " #value)')
    print('#define GROWN(type, size) _Static_assert(sizeof(type) >= (size), #type " had " #size " bytes")\n')
    for name, _ in layouts:
        print(f"SAME(sizeof({name}), {next(numbers)});" if FIXED.match(name) else f"GROWN({name}, {next(numbers)});")
    for name, member in offsets:
        print(f"SAME(offsetof({name}, {member}), {next(numbers)});")
    for name in constants:
        print(f"SAME({name}, {next(numbers)});")
    print("\n/* Declared again: another type is an error. */")
    for found in re.findall(r"^CHOIR_API\s+([^;{]*?);", text, flags=re.M | re.S):
        print(f"CHOIR_API {' '.join(found.split())};")
    print("\n/* And all of them are there. */\ntypedef void any(void);\nextern any *const older_knows[];\nany *const older_knows[] = {")
    for name in re.findall(r"^CHOIR_API\s+[^;{(]*?(choir_\w+)\(", text, flags=re.M | re.S):
        print(f"    (any *){name},")
    print("};\nint main(void) {\n    for (size_t i = 0; i < sizeof older_knows / sizeof *older_knows; i++)\n        if (!older_knows[i]) return 1;\n    return 0;\n}")


if __name__ == "__main__":
    main(sys.argv[1:]) if len(sys.argv) > 1 else sys.exit(__doc__)
