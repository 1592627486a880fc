#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that each public header stands alone.

usage: headers.py INCLUDE,INCLUDE... HEADER...

Each header, included first and twice, compiles without a warning as C17 and as C++17 with every compiler that is
installed. A planted header that leans on another one must fail.
"""
import os
import shutil
import subprocess
import sys
import tempfile

from tap import Tap

LANGUAGES = [
    ("c", ("gcc", "clang"), ["-std=c17", "-Wstrict-prototypes", "-Wmissing-prototypes"]),
    ("c++", ("g++", "clang++"), ["-std=c++17", "-Wold-style-cast"]),
]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]
PLANTED = "static inline choir_time planted(void) { return CHOIR_TIME_NEVER; }\n"


def compile_text(compiler, language, flags, includes, text):
    return subprocess.run([compiler, "-x", language, "-fsyntax-only", *flags, *WARNINGS,
                           *(f"-I{include}" for include in includes), "-"], input=text, capture_output=True, text=True)


def main(includes, *headers):
    tap = Tap()
    includes = includes.split(",")
    for language, compilers, flags in LANGUAGES:
        present = [compiler for compiler in compilers if shutil.which(compiler)]
        tap.check(present, f"a compiler for {language} is installed", " ".join(compilers))
        for compiler in present:
            for header in headers:
                text = f"#include <choir/{os.path.basename(header)}>\n" * 2 + "extern int planted;\n"
                result = compile_text(compiler, language, flags, includes, text)
                tap.check(result.returncode == 0, f"{compiler}: choir/{os.path.basename(header)} stands alone",
                          result.stderr)
            with tempfile.TemporaryDirectory() as folder:
                with open(os.path.join(folder, "planted.h"), "w", encoding="utf-8") as file:
                    file.write(PLANTED)
                result = compile_text(compiler, language, flags, [*includes, folder], "#include <planted.h>\n")
                tap.check(result.returncode != 0, f"{compiler}: a planted header that does not is found")
    tap.end()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
