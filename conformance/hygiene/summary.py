#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the results of a test run.

usage: summary.py LABEL TESTLOG      the testlog.json of one meson build
       summary.py LABEL - < OUTPUT   the output of one program

Prints "LABEL: N passed, N failed" with the names of what failed, and to descriptor 3 "N N" for the caller. A program
counts by what it reports itself: Criterion's synthesis, TAP lines, or a last line "N passed, N failed"; else it is one
test. A program that failed in another way than by its own count (a sanitizer's finding, a timeout, no test at all) adds one
failure.
"""
import json
import os
import re
import sys

SYNTHESIS = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed", re.M)
TAP_LINE = re.compile(r"^(not )?ok\b(?!.*# SKIP)", re.M)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def counts(text, good):
    """(passed, failed) of one program that ended well or not."""
    text = COLOUR.sub("", text)
    synthesis, closing, tap = SYNTHESIS.findall(text), CLOSING.findall(text), TAP_LINE.findall(text)
    if synthesis:
        passed, tested = int(synthesis[-1][1]), int(synthesis[-1][0])
        failed = tested - passed
    elif closing:
        passed, failed = map(int, closing[-1])
    elif tap:
        failed = sum(1 for line in tap if line)
        passed = len(tap) - failed
    else:
        passed, failed = (1, 0) if good else (0, 1)
    if (not good or passed == 0) and failed == 0:
        failed = 1
    return passed, failed


def main(label, log):
    passed = failed = programs = 0
    bad = []
    if log == "-":
        text, good = sys.stdin.read(), os.environ.get("STATUS", "0") == "0"
        results = [{"name": label, "stdout": text, "result": "OK" if good else "FAIL"}]
    else:
        with open(log, encoding="utf-8") as file:
            results = [json.loads(line) for line in file]
    for result in results:
        text = (result.get("stdout") or "") + "\n" + (result.get("stderr") or "")
        good, bad_ones = counts(text, result["result"] in ("OK", "EXPECTEDFAIL"))
        programs += 1
        passed, failed = passed + good, failed + bad_ones
        if bad_ones:
            bad.append(f"{result['name']}: {bad_ones} failed ({result['result'].lower()})")
    print(f"    {label}: {passed} passed, {failed} failed" + (f" in {programs} programs" if log != "-" else ""))
    for line in bad if log != "-" else []:
        print(f"        {line}")
    with os.fdopen(3, "w") as caller:
        print(passed, failed, file=caller)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
