#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds and installs choir in every way that docs/guide/05-building.md names, and a program with each.

usage: packaging.py CC

The program is the one of docs/examples/project, with its Makefile, its CMakeLists.txt, its meson.build and its wrap file;
besides, a program of ten lines for the core alone. Each is run, and what it prints is compared. choir is compiled twice,
once by itself and once as a subproject; another kind of library or another prefix is made from the same objects.
Everything is in a folder that is removed at the end. install.py tests what the build that it belongs to installs.
"""
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

from tap import Tap
from tree import ROOT, tracked

EXAMPLE = os.path.join("docs", "examples", "project")
PRINTED = "Professor\nAda\nerror: no language in common\n"
CORE = {
    "core.c": """
#include <choir/choir.h>
#include <stdio.h>

int main(void) {
    puts(choir_version());
    return 0;
}
""",
    "CMakeLists.txt": """
cmake_minimum_required(VERSION 3.13)
project(core C)
find_package(choir ${WANTED} REQUIRED COMPONENTS ${PARTS})
add_executable(core core.c)
target_link_libraries(core PRIVATE choir::choir)
""",
}
# What the program must not get from the machine, or from the build that runs this test.
FOREIGN = re.compile(r"^(CFLAGS|CPPFLAGS|LDFLAGS|LDLIBS|DESTDIR|CHOIR_.*|CMAKE_.*|MAKE.*|MESON_.*|NINJA_.*|PKG_CONFIG.*|"
                     r"LD_LIBRARY_PATH|LD_RUN_PATH|LIBRARY_PATH|CPATH|C_INCLUDE_PATH)$")


class Place:
    """An installation: its prefix, or where that was put, and the folder of its libraries."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.libraries = next((folder for folder, _, names in os.walk(prefix)
                               if {"libchoir.so", "libchoir.a"} & set(names)), "")
        self.pc = os.path.join(self.libraries, "pkgconfig")

    def has(self, *names):
        return [name for name in names if os.path.exists(os.path.join(self.libraries, name))]


class Test:
    def __init__(self, tap, cc, folder):
        self.tap, self.folder = tap, folder
        self.environment = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        self.environment.update(CC=cc, LC_ALL="C")
        self.source, self.build = os.path.join(folder, "choir"), os.path.join(folder, "build")
        for path in tracked():
            os.makedirs(os.path.join(self.source, os.path.dirname(path)), exist_ok=True)
            shutil.copy(os.path.join(ROOT, path), os.path.join(self.source, path))

    def run(self, *command, **environment):
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                              env={**self.environment, **environment})

    def steps(self, name, *commands, **environment):
        """Runs one command after the other. One result, with the output of the one that failed."""
        for command in commands:
            done = self.run(*command, **environment)
            if done.returncode:
                return self.tap.check(False, name, " ".join(command) + "\n" + done.stdout + done.stderr)
        return self.tap.check(True, name)

    def prints(self, name, program, expected, static, **environment):
        """What a program prints, and which of our libraries it needs: none, or not none."""
        done = self.run(program, **environment)
        self.tap.check(done.stdout == expected and not done.stderr, f"{name}: the program runs", done.stdout + done.stderr)
        needed = re.findall(r"\(NEEDED\).*\[(libchoir.*)\]", self.run("readelf", "-d", program).stdout)
        self.tap.check(bool(needed) != static, f"{name}: it is {'static' if static else 'shared'}", needed)

    def project(self, name):
        """A copy of the example."""
        copy = os.path.join(self.folder, name)
        shutil.copytree(os.path.join(self.source, EXAMPLE), copy)
        return copy

    def install(self, name, kind, prefix, destdir=None):
        """choir, configured with a kind of library and a prefix, and installed."""
        options = [f"-Ddefault_library={kind}", f"-Dprefix={prefix}"]
        if os.path.exists(self.build):
            configure = ["meson", "configure", self.build, *options]
        else:
            configure = ["meson", "setup", self.build, self.source, "-Dtests=disabled", "-Dtools=true", "-Dwerror=true",
                         "-Doptimization=0", "-Ddebug=false", *options]
        into = {"DESTDIR": destdir} if destdir else {}
        good = self.steps(f"{name}: choir builds and installs", configure, ["ninja", "-C", self.build],
                          ["meson", "install", "-C", self.build, "--no-rebuild"], **into)
        return Place(prefix if not destdir else destdir + prefix) if good else None

    # ---- ways to build a program ----

    def make(self, name, place, static, *options, **environment):
        copy = self.project(name)
        if self.steps(f"{name}: make", ["make", "-C", copy, *options], PKG_CONFIG_PATH=place.pc):
            self.prints(name, os.path.join(copy, "greeter"), PRINTED, static, **environment)

    def meson(self, name, place, static):
        copy = self.project(name)
        build = os.path.join(copy, "build")
        if self.steps(f"{name}: meson", ["meson", "setup", build, copy], ["ninja", "-C", build], PKG_CONFIG_PATH=place.pc):
            self.prints(name, os.path.join(build, "greeter"), PRINTED, static)

    def cmake_core(self, name, place, wanted="0.1", parts="choir", kind=""):
        """Configures the program of the core with CMake: its build folder, and what CMake said if it does not find choir."""
        copy = os.path.join(self.folder, name)
        os.makedirs(copy)
        for file, text in CORE.items():
            with open(os.path.join(copy, file), "w", encoding="utf-8") as out:
                out.write(text)
        done = self.run("cmake", "-G", "Ninja", "-S", copy, "-B", copy + "/build", f"-DCMAKE_PREFIX_PATH={place.prefix}",
                        f"-DWANTED={wanted}", f"-DPARTS={parts}", f"-Dchoir_USE_STATIC_LIBS={kind}")
        return copy + "/build", "" if done.returncode == 0 else re.sub(r"\s+", " ", done.stderr)

    def cmake(self, name, place, static, *options):
        if not shutil.which("cmake"):
            self.tap.skip(name, "there is no cmake here")
            return
        copy = self.project(name)
        build = os.path.join(copy, "build")
        if self.steps(f"{name}: cmake", ["cmake", "-G", "Ninja", "-S", copy, "-B", build,
                                         f"-DCMAKE_PREFIX_PATH={place.prefix}", *options],
                      ["cmake", "--build", build]):
            self.prints(name, os.path.join(build, "greeter"), PRINTED, static)


def check_files(test, place):
    """What pkg-config and the loader are told, in an installation of both kinds."""
    tap = test.tap
    for package in ("libchoir", "libchoir-net"):
        found = test.run("pkg-config", "--variable=choir_gen", package, PKG_CONFIG_PATH=place.pc).stdout.strip()
        tap.check(found == os.path.join(place.prefix, "bin", "choir-gen") and os.access(found, os.X_OK),
                  f"pkg-config says where choir-gen is: {package}", found)
    # A machine that has libevent's development files, and not those of msgpack-c.
    alone = os.path.join(test.folder, "pc")
    shutil.copytree(place.pc, alone)
    for package in ("libevent_core", "libevent_extra"):
        folder = test.run("pkg-config", "--variable=pcfiledir", package).stdout.strip()
        shutil.copy(os.path.join(folder, package + ".pc"), alone)
    for options in (["libchoir"], ["libchoir-net"], ["--static", "libchoir"], ["--static", "libchoir-net"]):
        done = test.run("pkg-config", "--cflags", "--libs", *options, PKG_CONFIG_LIBDIR=alone)
        tap.check(done.returncode == 0 and "msgpack" not in done.stdout and
                  ("-levent_core" in done.stdout) == (options == ["--static", "libchoir-net"]),
                  f"pkg-config asks for what is needed and not for msgpack-c: {' '.join(options)}",
                  done.stdout + done.stderr)
    library = os.path.join(place.libraries, "libchoir-net.so")
    done = test.run(sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", library)
    tap.check(done.returncode == 0, "libchoir-net.so finds libchoir.so beside it", done.stderr)


def check_pages(test, place):
    """The guide is there, pages of it and beside it are found by its links, and the man pages say where it is."""
    guide = os.path.join(place.prefix, "share", "doc", "choir", "guide")
    missing, links = [], 0
    for name in os.listdir(guide) if os.path.isdir(guide) else []:
        with open(os.path.join(guide, name), encoding="utf-8") as file:
            for target in re.findall(r"\]\(([^)#:]+)[#)]", file.read()):
                links += 1
                # Headers are where headers are, and README.md and its neighbours in the source.
                if not target.startswith("../../") and not os.path.exists(os.path.join(guide, target)):
                    missing.append(f"{name}: {target}")
    test.tap.check(links > 10 and not missing, "the guide is installed, with what it refers to", missing)
    named = []
    for name in ("choir.1", "choir-gen.1"):
        with open(os.path.join(place.prefix, "share", "man", "man1", name), encoding="utf-8") as file:
            text = file.read()
        named += re.findall(r"share/doc/[\w./-]*\w", text)
        test.tap.check("docs/" not in text, f"{name} names no file of the source")
    missing = [name for name in named if not os.path.exists(os.path.join(place.prefix, name))]
    test.tap.check(named and not missing, "the man pages say where the guide is", missing)


def check_cmake_core(test, place):
    """The core alone with CMake; and what find_package says when it cannot have what it asks for."""
    tap = test.tap
    if not shutil.which("cmake"):
        tap.skip("CMake: the core, versions, parts", "there is no cmake here")
        return
    with open(os.path.join(test.source, "meson.build"), encoding="utf-8") as file:
        version = re.search(r"version: '([\d.]+)'", file.read()).group(1)
    for kind in ("", "ON"):
        name = f"cmake-core-{'static' if kind else 'shared'}"
        build, why = test.cmake_core(name, place, kind=kind)
        if tap.check(not why, f"{name}: found", why) and test.steps(f"{name}: builds", ["cmake", "--build", build]):
            test.prints(name, os.path.join(build, "core"), version + "\n", static=bool(kind))
    minor = [int(number) for number in version.split(".")][:2]
    later, earlier = f"{minor[0]}.{minor[1] + 1}", "0.0.1"
    versions = ((version, True), (later, False), (earlier, False), (f"{version};EXACT", True),
                (f"{earlier}...{later}", True), (f"{earlier}...<{version}", False))
    for number, (wanted, good) in enumerate(versions):
        _, why = test.cmake_core(f"cmake-version-{number}", place, wanted)
        tap.check(bool(why) != good, f"CMake: version {wanted} is {'found' if good else 'refused'}", why)
    _, why = test.cmake_core("cmake-parts", place, parts="choir;choir-tls")
    tap.check("has no choir-tls" in why, "CMake: a part that is not there is named", why)


def check_subproject(test):
    """Meson takes choir from a wrap file, then as a folder of the project."""
    tap, copy = test.tap, test.project("subproject")
    folder, build, root = (os.path.join(copy, name) for name in ("subprojects", "build", "root"))
    program, inner = os.path.join(build, "greeter"), os.path.join(build, "subprojects", "choir")
    # The wrap file of the example, but with an archive in place of the address.
    wrap = os.path.join(folder, "choir.wrap")
    with open(wrap, encoding="utf-8") as file:
        provide = file.read().partition("[provide]")
    os.mkdir(os.path.join(folder, "packagefiles"))
    with tarfile.open(os.path.join(folder, "packagefiles", "choir.tar.gz"), "w:gz", compresslevel=1) as archive:
        archive.add(test.source, "choir")
    with open(wrap, "w", encoding="utf-8") as file:
        file.write("[wrap-file]\ndirectory = choir\nsource_filename = choir.tar.gz\n\n" + "".join(provide[1:]))
    setup = ["meson", "setup", build, copy, "--force-fallback-for=choir", "--prefix=/usr", "-Ddefault_library=static",
             "-Doptimization=0", "-Ddebug=false"]
    if not test.steps("wrap: meson", setup, ["ninja", "-C", build]):
        return
    test.prints("wrap", program, PRINTED, static=True)
    tap.check(os.path.exists(os.path.join(inner, "choir-gen")), "wrap: choir-gen is that of the subproject")
    tap.check(not os.path.exists(os.path.join(inner, "choir")) and not os.path.exists(os.path.join(inner, "docs")),
              "wrap: neither the command nor examples are built")
    with open(os.path.join(build, "meson-info", "intro-tests.json"), encoding="utf-8") as file:
        tests = file.read()
    tap.check(tests == "[]", "wrap: no tests are added", tests)

    # The folder that came from it, without the wrap file.
    os.remove(wrap)
    listing = os.path.join(copy, "meson.build")
    with open(listing, encoding="utf-8") as file:
        text = file.read().replace("choir = dependency(", "subproject('choir')\nchoir = dependency(")
    for kind, asked in (("shared", ""), ("both", ", static: false"), ("both", ", static: true")):
        with open(listing, "w", encoding="utf-8") as file:
            file.write(text.replace("'libchoir-net'", "'libchoir-net'" + asked))
        name = f"subproject, {kind}{asked}"
        configure = ["meson", "configure", build, f"-Dchoir:default_library={kind}"]
        if test.steps(f"{name}: meson", configure, ["ninja", "-C", build]):
            test.prints(name, program, PRINTED, static="true" in asked)
        if kind == "shared" and test.steps(f"{name}: meson install", ["meson", "install", "-C", build, "--no-rebuild",
                                                                      "--destdir", root]):
            found = [os.path.join(place, file)[len(root):] for place, _, files in os.walk(root) for file in files]
            surprises = [file for file in found if re.match("/usr/(bin|share)/", file)]
            tap.check(any(file.endswith("/libchoir-net.so.0") for file in found) and not surprises,
                      "subproject: libraries are installed, and neither programs nor pages", surprises)


def main(cc):
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        test = Test(tap, cc, folder)
        libraries = "libchoir.so", "libchoir-net.so", "libchoir.a", "libchoir-net.a"

        place = test.install("both", "both", os.path.join(folder, "both"))
        if not place:
            tap.end()
        tap.check(place.has(*libraries) == list(libraries), "both: there are both kinds", place.has(*libraries))
        check_files(test, place)
        check_pages(test, place)
        test.make("make-environment", place, False, LD_LIBRARY_PATH=place.libraries)
        test.make("make-rpath", place, False, f"LDFLAGS=-Wl,-rpath,'{place.libraries}'")
        test.make("make-static", place, True, "PKG_CONFIG=pkg-config --static", "LDFLAGS=-static")
        test.meson("meson-installed", place, False)
        test.cmake("cmake-shared", place, False)
        test.cmake("cmake-static", place, True, "-Dchoir_USE_STATIC_LIBS=ON")
        check_cmake_core(test, place)

        place = test.install("shared", "shared", os.path.join(folder, "shared"))
        if place:
            tap.check(place.has(*libraries) == list(libraries[:2]), "shared: there are no others", place.has(*libraries))
            if shutil.which("cmake"):
                _, why = test.cmake_core("cmake-no-static", place, kind="ON")
                tap.check("libraries wanted: STATIC" in why, "shared: CMake says that there is no static one", why)

        place = test.install("static", "static", os.path.join(folder, "static"))
        if place:
            tap.check(place.has(*libraries) == list(libraries[2:]), "static: there are no others", place.has(*libraries))
            test.make("make-static-alone", place, True)
            test.meson("meson-static-alone", place, True)
            test.cmake("cmake-static-alone", place, True)

        # Into a folder that is not the prefix, and used where it lies.
        place = test.install("destdir", "both", "/usr", os.path.join(folder, "root"))
        if place:
            outside = [name for name in os.listdir(os.path.join(folder, "root")) if name != "usr"]
            tap.check(not outside, "DESTDIR: all is below the prefix", outside)
            done = test.run("readelf", "-d", os.path.join(place.libraries, "libchoir-net.so"))
            tap.check("PATH)" not in done.stdout, "the system's prefix needs no path in the library", done.stdout)
            test.make("make-destdir", place, False, f"PKG_CONFIG=pkg-config --define-variable=prefix={place.prefix}",
                      LD_LIBRARY_PATH=place.libraries)
            test.cmake("cmake-destdir", place, True, "-Dchoir_USE_STATIC_LIBS=ON")

        check_subproject(test)
    tap.end()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
