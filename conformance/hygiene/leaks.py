#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes leaks fail: runs a test of a build with AddressSanitizer.

usage: leaks.py PROGRAM [ARGUMENT]...

Criterion runs each test in a process of its own and does not mind that one reports leaks when it ends, nor do tests that
start other programs. So the reports of all of them go to files, and one that has a frame of ours fails the test. Leaks of the
test framework alone (its runner has one, now and then, on a loaded machine) do not.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

# What does not make a report ours: the sanitizer itself, the C library, the test framework, and the start of a program.
FOREIGN = re.compile(r"(/libsanitizer/|compiler-rt|/lib(asan|ubsan|c|criterion|boxfort|dyncall|nanomsg|git2|ffi)\.|<unknown module>|"
                     r"/sysdeps/|\bin (_start|__libc_start_\w+|__interceptor_\w+|(m|c|re)alloc)\b|/csu/)")
FRAME = re.compile(r"^\s+#\d+ .*$", re.M)


def is_ours(report):
    return any(not FOREIGN.search(frame) for frame in FRAME.findall(report))


def leaks(folder):
    """The single leaks of ours in all reports."""
    found = []
    for name in sorted(glob.glob(os.path.join(folder, "report.*"))):
        with open(name, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if "LeakSanitizer" not in text:
            sys.stderr.write(text)  # another finding: the program has failed by itself
            continue
        found += [part for part in re.split(r"\n\n", text) if re.search(r"leak of \d+ byte", part) and is_ours(part)]
    return found


def main(command):
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ)
        env["LSAN_OPTIONS"] = ":".join(filter(None, (env.get("LSAN_OPTIONS"), "exitcode=0",
                                                     f"log_path={folder}/report")))
        status = subprocess.run(command, env=env, check=False).returncode
        found = leaks(folder)
    for part in found[:8]:
        print(part, file=sys.stderr)
    if found:
        print(f"{len(found)} leaks", file=sys.stderr)
        return 1
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
