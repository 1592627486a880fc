#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that what the headers promise, what the symbol lists say and what the libraries export is the same.

usage: symbols.py (--library LIST LIBRARY HEADER...)... --static LIBRARY...

For each library: the functions that the headers mark CHOIR_API, the names in the version script LIST and the dynamic
symbols of LIBRARY are the same set, sorted in the list. The static libraries define no global name that does not
start with choir_ or choiri_, so that linking them into a program takes no other name.
"""
import os
import re
import subprocess
import sys

from tap import Tap

FUNCTION = re.compile(r"^CHOIR_API\b[^;(]*?\b(\w+)\(", re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)


def read(path):
    with open(path, encoding="utf-8") as file:
        return COMMENT.sub("", file.read())


def defined(*command):
    """Names that nm shows as defined, without the version nodes themselves (which are absolute)."""
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split() for line in lines if line and not line.endswith(":")]
    return {row[0].split("@")[0] for row in rows if len(row) > 1 and row[1] not in "AUw"}


def difference(first, second, what_first, what_second):
    return ([f"only in {what_first}: {name}" for name in sorted(first - second)] +
            [f"only in {what_second}: {name}" for name in sorted(second - first)])


def groups(arguments):
    """Splits at the options: [["--library", ...], ..., ["--static", ...]]."""
    found = []
    for argument in arguments:
        if argument.startswith("--"):
            found.append([])
        found[-1].append(argument)
    return found


def check_library(tap, symbols, library, *headers):
    short = os.path.basename(library)
    listed = re.findall(r"^\s+(\w+);", read(symbols), re.M)
    promised = {name for header in headers for name in FUNCTION.findall(read(header))}
    exported = defined("nm", "-D", "--defined-only", "--format=posix", library)
    found = difference(promised, set(listed), "the headers", "the list")
    tap.check(promised and not found, f"{short}: the list has the {len(promised)} functions of the headers", found)
    tap.check(listed == sorted(set(listed)), f"{short}: the list is sorted")
    found = difference(exported, set(listed), "the library", "the list")
    tap.check(not found, f"{short}: the library exports the {len(listed)} names of the list", found)


def check_static(tap, *libraries):
    names = defined("nm", "-g", "--defined-only", "--format=posix", *libraries)
    found = sorted(name for name in names if not re.match(r"choiri?_", name) and not name.startswith("__"))
    tap.check(names and not found, f"the {len(names)} global names of the static libraries have our prefix", found)


def main(arguments):
    tap = Tap()
    for option, *rest in groups(arguments):
        (check_library if option == "--library" else check_static)(tap, *rest)
    tap.end()


if __name__ == "__main__":
    if len(sys.argv) < 2 or not sys.argv[1].startswith("--"):
        sys.exit(__doc__)
    main(sys.argv[1:])
