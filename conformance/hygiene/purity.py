#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the core does no I/O and has no state of its own.

usage: purity.py SOURCE_ROOT CC LIBRARY...

LIBRARY are the static libraries of the layers, built without sanitizers. Three checks:

* symbols: what the layers need from outside is on ALLOWED_SYMBOLS;
* state: no writable data in any object file;
* includes: lib/ includes no header of the hosted C library, but in its tests and in lib/testing.

Each check must also fail on a planted violation, so that a check which sees nothing does not pass.
"""
import os
import re
import subprocess
import sys
import tempfile

from tap import Tap

ALLOWED_SYMBOLS = {
    "memcpy", "memmove", "memset", "memcmp", "strlen",
    "_GLOBAL_OFFSET_TABLE_",  # the linker's own, from position-independent code
    "__stack_chk_fail",  # where the compiler's default is -fstack-protector
    "__udivti3", "__umodti3",  # the compiler's 128-bit division, pure arithmetic
}
# The freestanding headers of C17, and string.h for the five functions above.
ALLOWED_INCLUDES = {
    "float.h", "limits.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h",
    "stdnoreturn.h", "string.h",
}
# The one file that sees msgpack-c: its headers bring a parser and a packer that are compiled in, and no symbol.
MSGPACK_FILE, MSGPACK_INCLUDE = os.path.join("wire", "msgpack.c"), re.compile(r"^msgpack/\w+\.h$")
# Constant data that only needs relocation is writable for the loader alone.
WRITABLE = re.compile(r"^\.(data|bss|tdata|tbss)(\.(?!rel\.ro)|$)")

PLANTED_CALL = "#include <time.h>\nlong planted(void);\nlong planted(void) { return (long)time(0); }\n"
PLANTED_STATE = "int planted(void);\nint planted(void) { static int calls; return ++calls; }\n"
PLANTED_MALLOC = "#include <stdlib.h>\nvoid *planted(void);\nvoid *planted(void) { return malloc(1); }\n"
PLANTED_INCLUDE = '#include "base/env.h"\n#include <stdio.h>\n'


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def foreign_symbols(files):
    """Names that the files use and neither define nor may use."""
    used, defined = set(), set()
    for line in output("nm", "-g", "--format=posix", *files).splitlines():
        fields = line.split()
        if len(fields) < 2 or line.endswith(":"):
            continue
        (used if fields[1] in "Uw" else defined).add(fields[0])
    return sorted(used - defined - ALLOWED_SYMBOLS)


def writable_data(files):
    """Sections with writable data, as 'object: section (bytes)'."""
    found, member = [], ""
    for line in output("objdump", "-h", *files).splitlines():
        header = re.match(r"^(\S+):\s+file format", line)
        if header:
            member = header.group(1)
        section = re.match(r"^\s*\d+\s+(\S+)\s+([0-9a-f]+)\s", line)
        if section and WRITABLE.match(section.group(1)) and int(section.group(2), 16):
            found.append(f"{member}: {section.group(1)} ({int(section.group(2), 16)} bytes)")
    return found


def hosted_includes(root):
    found = []
    for folder, folders, names in os.walk(root):
        if "testing" in folders:
            folders.remove("testing")
        for name in sorted(names):
            if not name.endswith((".c", ".h")) or name.startswith("test_"):
                continue
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    include = re.match(r"\s*#\s*include\s*<([^>]+)>", line)
                    if not include or include.group(1) in ALLOWED_INCLUDES:
                        continue
                    if not (path.endswith(MSGPACK_FILE) and MSGPACK_INCLUDE.match(include.group(1))):
                        found.append(f"{path}:{number}: <{include.group(1)}>")
    return found


def compiled(cc, folder, name, text):
    source, result = os.path.join(folder, name + ".c"), os.path.join(folder, name + ".o")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    subprocess.run([cc, "-std=c17", "-O2", "-fPIC", "-c", source, "-o", result], check=True)
    return result


def main(root, cc, *libraries):
    tap = Tap()
    lib = os.path.join(root, "lib")
    objects = output("nm", "-g", *libraries).count(".o:")
    tap.check(objects > len(libraries), f"there is something to check: {objects} object files")

    found = foreign_symbols(libraries)
    tap.check(not found, "the core calls nothing but allowed functions", found)
    found = writable_data(libraries)
    tap.check(not found, "the core has no writable data", found)
    found = hosted_includes(lib)
    tap.check(not found, "the core includes no hosted header", found)

    with tempfile.TemporaryDirectory() as folder:
        planted = compiled(cc, folder, "call", PLANTED_CALL)
        tap.check(foreign_symbols([*libraries, planted]) == ["time"], "a planted call of time() is found")
        planted = compiled(cc, folder, "malloc", PLANTED_MALLOC)
        tap.check(foreign_symbols([*libraries, planted]) == ["malloc"], "a planted call of malloc() is found")
        planted = compiled(cc, folder, "state", PLANTED_STATE)
        tap.check(len(writable_data([*libraries, planted])) == 1, "a planted static variable is found")
        headers = os.path.join(folder, "headers")
        os.mkdir(headers)
        with open(os.path.join(headers, "planted.h"), "w", encoding="utf-8") as file:
            file.write(PLANTED_INCLUDE + "#include <msgpack/pack.h>\n")
        tap.check(len(hosted_includes(headers)) == 2, "planted #includes of <stdio.h> and msgpack-c are found")
    tap.end()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
