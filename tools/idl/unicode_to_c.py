#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the tables of letters for method_id.c from Python's unicodedata.

usage: unicode_to_c.py OUTPUT

UPPER, LOWER and LETTER (a letter without case, or a number) are Rust's char::is_uppercase, is_lowercase and
is_alphanumeric for what can stand in a name. UNSURE is what Python's tables do not tell: which marks count as letters
(Unicode's Other_Alphabetic), and what this version of Unicode does not have.
"""
import sys
import unicodedata


def kind(c):
    category = unicodedata.category(c)
    if category[0] == "M" or category == "Cn":
        return "UNSURE"
    if c.isupper():
        return "UPPER"
    if c.islower():
        return "LOWER"
    return "LETTER" if category[0] == "L" or category in ("Nd", "Nl", "No") else None


def ranges():
    """Runs of one kind: (first, last, kind)."""
    run = None
    for scalar in range(0x80, 0x110000):
        k = kind(chr(scalar))
        if run and run[2] == k:
            run = (run[0], scalar, k)
            continue
        if run and run[2]:
            yield run
        run = (scalar, scalar, k)
    if run[2]:
        yield run


def main(output):
    with open(output, "w", encoding="utf-8") as out:
        print(f"/* Unicode {unicodedata.unidata_version} */", file=out)
        print("static const letter_range letter_ranges[] = {", file=out)
        for first, last, k in ranges():
            print(f"    {{{first:#x}, {last:#x}, {k}}},", file=out)
        print("};\n/* In order; none for what is in lower case already. */\nstatic const lower_pair lower_pairs[] = {", file=out)
        for scalar in range(0x80, 0x110000):
            lower = chr(scalar).lower()
            if lower != chr(scalar):
                second = ord(lower[1]) if len(lower) > 1 else 0
                print(f"    {{{scalar:#x}, {{{ord(lower[0]):#x}, {second:#x}}}}},", file=out)
        print("};", file=out)


main(sys.argv[1])
