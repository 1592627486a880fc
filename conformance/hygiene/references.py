#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that references resolve. Run by ./dev lint.

usage: references.py

Comments, tests and pages name rules of the protocol (rule: link.frame), cases of reliability (A12, F3), pages and tests.
Each of these must exist: a rule has one definition in docs/protocol/, a case one row in docs/reliability.md, a relative
link its file and its heading, and a test that the row of a case names is in the file it is said to be in. The protocol
has no page numbers. Every rule is also tried on a planted violation.
"""
import os
import re

from tap import Tap
from tree import ROOT, read_tracked

PROTOCOL, RELIABILITY = "docs/protocol/", "docs/reliability.md"

ID = r"[a-z]+\.(?:\*|[a-z0-9]+(?:-[a-z0-9]+)*)"
NEXT_LINE = r"(?:\s*\n\s*(?:\*|//|#)?)?"  # a list of rules may go on in the next line of its comment
RULE_USE = re.compile(rf"\brule:?\s{NEXT_LINE}\s*({ID}(?:,{NEXT_LINE}\s*{ID})*)(?![\w.-]*\w)")
RULE_DEFINED = re.compile(rf"^(?:\* )?\*\*({ID})\*\*: ", re.M)
RULE_BOLD = re.compile(rf"\*\*({ID})\*\*(?!: )")

CASE = re.compile(r"(?<![\w.$-])([AF][1-9][0-9]?b?)(?![\w'(-]|\.\w)")
NOT_CASES = {"F32", "F64"}
CASE_DEFINED = re.compile(r"^\| \*\*([AF][0-9]+b?)\*\* \|", re.M)
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
C_TEST = re.compile(r"^Test\(\w+, ([AF][0-9]+b?)_", re.M)
PY_CASE = re.compile(r"(?:#[^\n]*|[\"(]case[s]? |\(\"|@case\(f?\")([AF][0-9]+b?)(?= )")

PAGE_NUMBER = re.compile(r"\bprotocol(?:'s)? pages? [0-9]|\bpages? [0-9]{2} of the protocol", re.I)
DOC_PATH = re.compile(r"(?<![\w./])docs/[\w./-]+\.(?:md|1)\b")

LINK = re.compile(r"\]\(([^)\s]+)\)")
LINK_DEFINED = re.compile(r"^\[([^\]]+)\]: (\S+)$", re.M)
CODE = re.compile(r"^```.*?^```", re.M | re.S)
SPAN = re.compile(r"`[^`\n]*`")
TESTS_OF = re.compile(r"\[([^\]]+)\]((?:\s*`[^`]+`)*)")


def line_of(text, at):
    return text.count("\n", 0, at) + 1


class Tree:
    """The texts, and what they define."""

    def __init__(self, texts):
        self.texts = texts
        self.rules, self.cases = {}, {}
        for path, text in texts.items():
            if path.startswith(PROTOCOL) and path.endswith(".md"):
                for found in RULE_DEFINED.finditer(text):
                    self.rules.setdefault(found.group(1), []).append(f"{path}:{line_of(text, found.start())}")
        for found in CASE_DEFINED.finditer(texts.get(RELIABILITY, "")):
            self.cases.setdefault(found.group(1), []).append(line_of(texts[RELIABILITY], found.start()))

    def has_rule(self, name):
        if name.endswith(".*"):
            return any(rule.startswith(name[:-1]) for rule in self.rules)
        return name in self.rules

    def exists(self, path):
        return path in self.texts or os.path.exists(os.path.join(ROOT, path))


def check_rules(tree, path, text):
    """Every rule that is named is defined."""
    uses = [(found.start(), name) for found in RULE_USE.finditer(text) for name in re.findall(ID, found.group(1))]
    if path.endswith(".md"):
        uses += [(found.start(), found.group(1)) for found in RULE_BOLD.finditer(text)]
    for at, name in uses:
        if not tree.has_rule(name):
            yield f"{path}:{line_of(text, at)}: no page of {PROTOCOL} defines the rule {name}"
    if path.endswith((".c", ".h")):
        for comment in C_COMMENT.finditer(text):
            for found in re.finditer(r"\brule: ", comment.group()):
                if not RULE_USE.match(comment.group(), found.start()):
                    yield f"{path}:{line_of(text, comment.start() + found.start())}: this is not the name of a rule"


def check_twice(tree, path, text):
    """A rule and a case have one definition."""
    if path.startswith(PROTOCOL):
        for name, places in tree.rules.items():
            if len(places) > 1 and places[0].startswith(path + ":"):
                yield f"{places[1]}: {name} is defined already in {places[0]}"
    if path == RELIABILITY:
        for name, lines in tree.cases.items():
            if len(lines) > 1:
                yield f"{path}:{lines[1]}: {name} has a row already"


def cases_in(path, text):
    """(position, case) of what is named as a case: in comments and names of tests, not in code that looks alike."""
    if path.endswith((".c", ".h")):
        for comment in C_COMMENT.finditer(text):
            for found in CASE.finditer(comment.group()):
                yield comment.start() + found.start(), found.group(1)
        for found in C_TEST.finditer(text):
            yield found.start(), found.group(1)
    elif path.endswith(".py"):
        for found in PY_CASE.finditer(text):
            yield found.start(1), found.group(1)
    elif path.endswith(".md"):
        plain = CODE.sub(lambda found: re.sub(r"\S", " ", found.group()), text)
        plain = SPAN.sub(lambda found: " " * len(found.group()), plain)
        for found in CASE.finditer(plain):
            yield found.start(), found.group(1)


def check_cases(tree, path, text):
    """Every case that is named has a row."""
    for at, name in cases_in(path, text):
        if name not in tree.cases and name not in NOT_CASES:
            yield f"{path}:{line_of(text, at)}: {RELIABILITY} has no row for {name}"


def check_page_numbers(tree, path, text):
    """The protocol has no page numbers."""
    for found in PAGE_NUMBER.finditer(re.sub(r"\s*\n\s*(?:\*|#|//)?\s*", " ", text)):
        yield f"{path}: the protocol has names of pages, not numbers: {found.group()}"


def check_doc_paths(tree, path, text):
    """Pages that sources name are there."""
    if not path.endswith(".md"):
        for found in DOC_PATH.finditer(text):
            if not tree.exists(found.group()):
                yield f"{path}:{line_of(text, found.start())}: there is no {found.group()}"


def slugs(text):
    """The anchors of a page's headings."""
    for heading in re.findall(r"^#+ (.*)$", CODE.sub("", text), re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        yield re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-")


def check_links(tree, path, text):
    """Relative links lead somewhere."""
    if not path.endswith(".md"):
        return
    plain = CODE.sub(lambda found: re.sub(r"\S", " ", found.group()), text)
    targets = [(found.start(), found.group(1)) for found in LINK.finditer(plain)]
    targets += [(found.start(), found.group(2)) for found in LINK_DEFINED.finditer(plain)]
    for at, target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        if not tree.exists(there):
            yield f"{path}:{line_of(text, at)}: there is no {there}"
        elif anchor and anchor not in slugs(tree.texts.get(there, "")):
            yield f"{path}:{line_of(text, at)}: {there} has no heading #{anchor}"


def check_tests(tree, path, text):
    """The tests that a case names are in the files where they are said to be."""
    if path != RELIABILITY:
        return
    files = {name: os.path.normpath(os.path.join(os.path.dirname(path), target))
             for name, target in LINK_DEFINED.findall(text)}
    for row in re.finditer(r"^\| \*\*(\w+)\*\* \|.*\|([^|]*)\|$", text, re.M):
        shown = row.group(2)
        if not re.search(r"\[|no test yet|not built yet", shown):
            yield f"{path}:{line_of(text, row.start())}: {row.group(1)} has no test and does not say so"
        for name, tests in TESTS_OF.findall(shown):
            where = files.get(name)
            if not where:
                yield f"{path}:{line_of(text, row.start())}: [{name}] is no file"
                continue
            for test in re.findall(r"`([^`]+)`", tests):
                if test not in tree.texts.get(where, ""):
                    yield f"{path}:{line_of(text, row.start())}: {where} has no test {test}"


PAGE = {PROTOCOL + "links.md": "# Links\n\n**link.frame**: a payload.\n",
        RELIABILITY: "| **A1** | x | y | [core] `A1_x` |\n\n[core]: ../a.c\n", "a.c": "Test(hostile, A1_x) {\n"}
# Rule, and violations: the name and text of a file beside those of PAGE, or in place of one.
RULES = [
    (check_rules, [("b.c", "/* rule: link.fame */\n"), ("b.c", "/* rule: link.frame, link.fame */\n"),
                   ("b.c", "/* rule: link.frame,\n * link.fame */\n"), ("b.c", "/* On the wire: rule link.fame. */\n"),
                   ("b.c", "/* rule: schema.* */\n"), ("b.c", "/* rule: see there */\n"),
                   ("b.md", "See **link.fame**.\n"), ("b.py", "# rule: link.fame\n")]),
    (check_twice, [(PROTOCOL + "b.md", "**link.frame**: again.\n"), (PROTOCOL + "links.md", "**link.frame**: a.\n\n" * 2),
                   (RELIABILITY, "| **A1** | x | y | no test yet |\n" * 2)]),
    (check_cases, [("b.c", "/* ---- A1, A2: lengths ---- */\n"), ("b.c", "Test(hostile, A2_x) {\n"),
                   ("b.py", "@case(\"A2 a length\")\n"), ("b.py", "    (\"A2 a length\", 1),\n"),
                   ("b.md", "Shown by F2.\n"), ("b.h", "/* (reliability case F2) */\n")]),
    (check_page_numbers, [("b.c", "/* protocol page 05 */\n"), ("b.c", "/* protocol page\n * 05 */\n"),
                          ("b.c", "/* what page 04 of the protocol says */\n"), ("b.md", "the protocol's page 02\n")]),
    (check_doc_paths, [("b.c", "/* docs/protocol/lines.md */\n")]),
    (check_links, [("docs/b.md", "[a](a.md)\n"), ("b.md", "[a](docs/reliability.md#nothing)\n"),
                   ("b.md", "[a]\n\n[a]: a.md\n")]),
    (check_tests, [(RELIABILITY, PAGE[RELIABILITY].replace("A1_x", "A1_y")),
                   (RELIABILITY, "| **A1** | x | y | [core] `A1_x` |\n"), (RELIABILITY, "| **A1** | x | y | tests |\n")]),
]


def main():
    texts = read_tracked()
    tree, tap = Tree(texts), Tap()
    own = "conformance/hygiene/references.py"  # has the violations
    for rule, planted in RULES:
        found = [line for path, text in texts.items() if path != own for line in rule(tree, path, text)]
        tap.check(not found, f"references: {rule.__doc__} ({len(texts)} files)", found)
        good = Tree(dict(PAGE))
        clean = [line for path, text in PAGE.items() for line in rule(good, path, text)]
        tap.check(not clean, f"references: {rule.__doc__} Nothing is found where nothing is wrong.", clean)
        for name, text in planted:
            bad = Tree(dict(PAGE, **{name: text}))
            tap.check([line for path, t in bad.texts.items() for line in rule(bad, path, t)],
                      f"references: {rule.__doc__} A planted violation is found ({text.strip()!r})")
    tap.check(len(tree.rules) > 40 and len(tree.cases) > 70,
              f"references: {len(tree.rules)} rules and {len(tree.cases)} cases are defined")
    tap.end()


if __name__ == "__main__":
    main()
