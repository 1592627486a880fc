#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The list of real-peer tests is red when there is no peer: a program that ends at once stands in for all of them.

usage: test_run.py     (prints TAP)
"""
import os
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(FOLDER), "hygiene"))
from tap import Tap  # noqa: E402


def run(*arguments):
    return subprocess.run([sys.executable, os.path.join(FOLDER, "run.py"), *arguments], capture_output=True, text=True,
                          timeout=120)


def main():
    t = Tap()
    listed = run("--list").stdout.splitlines()
    t.check(len(listed) > 600 and len(set(listed)) == len(listed), "cases are listed, each once", str(len(listed)))
    done = run("--choir", "/bin/false", "--client", "/bin/false", "--vox", "/bin/false")
    lines = done.stdout.splitlines()
    red = [line.partition(" - ")[2] for line in lines if line.startswith("not ok ")]
    t.check(red == listed, "without a peer each of them fails", f"{len(red)} of {len(listed)}")
    t.check(not any(line.startswith("ok ") for line in lines), "and none passes")
    t.check(done.returncode == 1 and lines[-1] == f"0 passed, {len(listed)} failed", "and so does the whole", lines[-1:])
    t.end()


if __name__ == "__main__":
    main()
