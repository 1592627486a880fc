# SPDX-License-Identifier: MIT
"""Results of the hygiene checks, one line each in the Test Anything Protocol, which meson and ./dev count."""
import sys


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, good, name, detail=""):
        """One result. `detail` is shown when it is bad: text, or a list of lines."""
        self.count += 1
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}")
        if not good:
            self.failed += 1
            for line in detail.splitlines() if isinstance(detail, str) else detail:
                print(f"#   {line}")
        return good

    def skip(self, name, why):
        """One result that could not be had here."""
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {why}")

    def end(self):
        """Prints the plan and leaves with the exit status of the whole."""
        print(f"1..{self.count}", flush=True)
        sys.exit(1 if self.failed or not self.count else 0)
