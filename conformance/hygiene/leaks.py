#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes leaks fail: runs a test of a build with AddressSanitizer.

usage: leaks.py PROGRAM [ARGUMENT]...

Criterion runs each test in a process of its own and does not mind that one reports leaks when it ends, nor do tests that
start other programs. So the reports of all of them go to files, and one that has a frame of ours fails the test. Leaks of the
test framework alone (its runner has one, now and then, on a loaded machine) do not.

Criterion's runner has a thread, and forks. When that thread is inside of the sanitizer's allocator at that moment, the child
inherits a lock that nobody will ever open (GCC 12 and LLVM 14 have no fork handlers), and waits for it for ever, before it has
begun with its test. Such a child is known by what it waits for, and the program is started again. A test of ours that waits for
a lock of its own still runs into its time limit.
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


FUTEX = "202"  # of x86-64
ALLOCATOR = range(0x640000000000, 0x640000000000 + (1 << 20))  # where the sanitizer's allocator has its locks there
POLL, STUCK = 5, 3  # seconds; polls in a row in which a child waits there


def is_stuck(pid):
    try:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            call = file.read().split()
    except OSError:
        return False
    return len(call) > 1 and call[0] == FUTEX and int(call[1], 16) in ALLOCATOR


def descendants(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = [int(word) for word in file.read().split()]
    except OSError:
        return []
    return children + [below for child in children for below in descendants(child)]


def run(command, env):
    """The exit status; started again, at most twice, when a child of the runner never began."""
    for attempt in range(3):
        program = subprocess.Popen(command, env=env)
        stuck = {}
        while True:
            try:
                return program.wait(timeout=POLL)
            except subprocess.TimeoutExpired:
                pass
            stuck = {pid: stuck.get(pid, 0) + 1 for pid in descendants(program.pid) if is_stuck(pid)}
            if attempt < 2 and any(times >= STUCK for times in stuck.values()):
                break
        below = descendants(program.pid)
        program.kill()
        for pid in below:
            try:
                os.kill(pid, 9)
            except OSError:
                pass
        program.wait()
        print("the sanitizer's allocator was locked when the runner forked: started again", file=sys.stderr)
    return 1


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
        status = run(command, env)
        found = leaks(folder)
    for part in found[:8]:
        print(part, file=sys.stderr)
    if found:
        print(f"{len(found)} leaks", file=sys.stderr)
        return 1
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
