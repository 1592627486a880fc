#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs the build into an empty folder and uses it from there, as a program of somebody else would.

usage: install.py BUILD_ROOT CC KIND

Checks that the pkg-config files name what a program needs: against the core alone and against libchoir-net, with the
shared libraries and with the static ones. KIND is what the build was made with: shared, static or both.
"""
import os
import shutil
import subprocess
import sys
import tempfile

from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = {
    "libchoir": """
        #include <choir/choir.h>
        #include <string.h>
        int main(void) { return strcmp(choir_version(), CHOIR_VERSION) || choir_status_text(CHOIR_OK)[0] == 0; }
        """,
    "libchoir-net": """
        #include <choir/choir.h>
        #include <choir/net.h>
        int main(void) {
            choir_loop *loop;
            if (choir_loop_new(NULL, &loop)) return 1;
            choir_loop_free(loop);
            return choir_version_number() != CHOIR_VERSION_NUMBER;
        }
        """,
}


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def find(folder, name):
    for place, _, names in os.walk(folder):
        if name in names:
            return place
    return None


def flags(prefix, pc_folder, package, *options):
    environment = {**os.environ, "PKG_CONFIG_PATH": pc_folder}
    result = run("pkg-config", f"--define-variable=prefix={prefix}", *options, "--cflags", "--libs", package,
                 env=environment)
    return result.stdout.split() if result.returncode == 0 else None


def check_program(tap, cc, folder, libraries, arguments, package, kind):
    source, program = os.path.join(folder, "program.c"), os.path.join(folder, "program")
    with open(source, "w", encoding="utf-8") as file:
        file.write(PROGRAMS[package])
    result = run(cc, "-std=c17", "-Wall", "-Werror", source, "-o", program, *arguments)
    if tap.check(result.returncode == 0, f"a program for {package} builds, {kind}", result.stderr):
        result = run(program, env={**os.environ, "LD_LIBRARY_PATH": libraries if kind == "shared" else ""})
        tap.check(result.returncode == 0, f"and runs, {kind}", result.stderr)


def check_project(tap, cc, folder, root, pc_folder, libraries, programs):
    """A Meson project of somebody else: the one in the guide."""
    source, build = os.path.join(folder, "project"), os.path.join(folder, "project-build")
    shutil.copytree(os.path.join(ROOT, "docs", "examples", "project"), source)
    environment = {**os.environ, "CC": cc, "PKG_CONFIG_PATH": pc_folder, "PKG_CONFIG_SYSROOT_DIR": root,
                   "PATH": programs + os.pathsep + os.environ["PATH"], "LD_LIBRARY_PATH": libraries}
    for command in (["meson", "setup", build, source], ["ninja", "-C", build]):
        result = run(*command, env=environment)
        if not tap.check(result.returncode == 0, f"a Meson project with an interface file: {command[0]}",
                         result.stdout + result.stderr):
            return
    result = run(os.path.join(build, "greeter"), env=environment)
    tap.check(result.stdout == "Professor\nAda\nerror: no language in common\n", "and its program runs",
              result.stdout + result.stderr)


def check_files(tap, libraries, pc_folder, prefix):
    """What the loader and pkg-config are told: to look beside the library, and not for msgpack-c."""
    library = os.path.join(libraries, "libchoir-net.so")
    if os.path.exists(library) and not prefix.endswith("/usr"):  # the loader knows the system's own folders
        environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
        result = run(sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", library, env=environment)
        tap.check(result.returncode == 0, "libchoir-net.so finds libchoir.so beside it", result.stderr)
    for package in PROGRAMS:
        with open(os.path.join(pc_folder, package + ".pc"), encoding="utf-8") as file:
            text = file.read()
        tap.check("msgpack" not in text, f"{package}.pc does not ask for msgpack-c", text)


def main(build, cc, kind):
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(folder, "root")
        result = run("meson", "install", "-C", build, "--no-rebuild", "--destdir", root)
        tap.check(result.returncode == 0, "it installs", result.stdout + result.stderr)
        names = ("libchoir.pc", "libchoir.a" if kind == "static" else "libchoir.so", "choir.h")
        pc_folder, libraries, include = (find(root, name) for name in names)
        if not tap.check(pc_folder and libraries and include, "libraries, headers and pkg-config files are there"):
            tap.end()
        prefix = os.path.dirname(os.path.dirname(include))  # of PREFIX/include/choir
        if os.path.exists(os.path.join(prefix, "bin", "choir-gen")):
            check_project(tap, cc, folder, root, pc_folder, libraries, os.path.join(prefix, "bin"))
        check_files(tap, libraries, pc_folder, prefix)
        for package in PROGRAMS:
            shared = flags(prefix, pc_folder, package)
            if tap.check(shared, f"pkg-config knows {package}"):
                # With static libraries alone, it has to name what they need without being asked.
                check_program(tap, cc, folder, libraries, shared, package, "static" if kind == "static" else "shared")
            if kind == "shared":
                continue
            static = flags(prefix, pc_folder, package, "--static")
            # Only our own libraries are to be static; the names before the others' -l flags are replaced by files.
            own = {f"-l{name}": os.path.join(libraries, f"lib{name}.a") for name in ("choir", "choir-net")}
            check_program(tap, cc, folder, libraries, [own.get(flag, flag) for flag in static or []], package, "static")
    tap.end()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
