#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that a layer cannot include what lies to its right.

usage: layering.py BUILD_ROOT SOURCE_ROOT LAYER=SEEN,SEEN... ...

For each pair of layers a planted file with one include is compiled with the command that the build itself uses for
a source of the first layer. It must compile when the first layer sees the second, and must fail when not. The
transports are tried too: they see the public headers, and nothing of lib/.
"""
import json
import os
import shlex
import subprocess
import sys
import tempfile

from tap import Tap

NOT_FOUND = ("No such file or directory", "file not found")


def commands(build):
    """The compile command of one source of each folder: its arguments and the source's name in them."""
    found = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            folder, name = os.path.split(os.path.join(entry["directory"], entry["file"]))
            if not name.startswith("test_"):
                found.setdefault(os.path.realpath(folder), (entry["file"], shlex.split(entry["command"])))
    return found


def compiles(build, command, include):
    """True, or False when the header was not found; any other error is raised."""
    source, arguments = command
    kept, skip = [], False
    for argument in arguments:
        if skip or argument in (source, "-c", "-MD", "-MMD"):
            skip = False
        elif argument in ("-o", "-MF", "-MQ"):
            skip = True
        else:
            kept.append(argument)
    with tempfile.NamedTemporaryFile("w", suffix=".c") as planted:
        planted.write(f'#include "{include}"\nextern int planted;\n')
        planted.flush()
        result = subprocess.run([*kept, "-fsyntax-only", planted.name], cwd=build, capture_output=True, text=True)
    if result.returncode and not any(text in result.stderr for text in NOT_FOUND):
        raise RuntimeError(result.stderr)
    return result.returncode == 0


def header_of(root, layer):
    """A header that is there to be included; a layer without one is tried with a name that its folder would have."""
    folder = os.path.join(root, "lib", layer)
    names = sorted(n for n in os.listdir(folder) if n.endswith(".h") and not n.startswith("test_"))
    return f"{layer}/{names[0]}" if names else None


def main(build, root, *pairs):
    tap = Tap()
    sees = {layer: set(filter(None, seen.split(","))) for layer, seen in (pair.split("=") for pair in pairs)}
    headers = {layer: header_of(root, layer) for layer in (*sees, "testing")}
    of_folder = commands(build)
    root = os.path.realpath(root)
    for layer, seen in sees.items():
        command = of_folder.get(os.path.join(root, "lib", layer))
        if not tap.check(command, f"{layer} is part of the build"):
            continue
        for other, header in headers.items():
            if not header:
                continue
            allowed = other in seen or other == layer
            tap.check(compiles(build, command, header) == allowed,
                      f"{layer} {'may' if allowed else 'cannot'} include {other}", header)
        tap.check(not compiles(build, command, "choir/net.h"), f"{layer} cannot include choir/net.h")
    transports = of_folder.get(os.path.join(root, "transports"))
    if tap.check(transports, "transports is part of the build"):
        tap.check(compiles(build, transports, "choir/choir.h"), "transports may include choir/choir.h")
        for layer, header in headers.items():
            if header:
                tap.check(not compiles(build, transports, header), f"transports cannot include {layer}", header)
    tap.end()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
