#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real peers: our programs against a vox 0.4.0 peer written in Rust, in both directions and both roles.

usage: run.py --choir PROGRAM --client PROGRAM --vox PROGRAM [--list]

First the Rust client talks to the Rust server, which must say what vox-rust/expected.txt says: its lines are what everybody
else must print. Then Rust client to C server, C client to Rust server, C client to C server, line by line; then callers of
one version of the service with servers of the other; then the cases in which something is cancelled, killed or stopped.
Prints TAP; fails when a case fails, and when fewer cases ran than are listed.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

EXPECTED = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers", "vox-rust", "expected.txt")
# Texts are free: only the kind of the outcome is compared.
FREE_TEXT = ("invalid-payload/echo-u64", "invalid-payload/divide-string")
# A Rust caller cannot see UnknownMethod of a method that returns something (its plan for the answer fails first); ours can.
RUST_BLIND = ("unknown-method/string", "unknown-method/string-again", "unknown-method/fallible")
# Keepalive needs 5 s; the rest is patience with a busy machine.
FOUND_DEAD_WITHIN = 30.0
LIMIT = 60

PAIRS = ("rust-to-rust", "rust-to-c", "c-to-rust", "c-to-c")
# What comes of a call when the caller has one version of the service and the callee the other: the call succeeds, the callee
# refuses the arguments, the caller refuses the answer, or both would. Ours differ from vox's in one thing: an optional
# field that is missing is None. The last column is what has to be named as the reason.
EVOLUTION = """
called as  method                  rust-to-rust  rust-to-c  c-to-rust  c-to-c  because of
v1         echo_profile            callee        ok         callee     ok      avatar
v1         echo_record             ok            ok         ok         ok      -
v1         echo_status             ok            ok         ok         ok      -
v1         echo_tag                caller        caller     caller     caller  note
v1         echo_measurement        both          both       both       both    value
v1         echo_config             callee        callee     callee     callee  owner
v1         echo_record/afterwards  ok            ok         ok         ok      -
evolved    echo_profile            caller        caller     ok         ok      avatar
evolved    echo_record             ok            ok         ok         ok      -
evolved    echo_status             ok            ok         ok         ok      -
evolved    echo_status/suspended   callee        callee     callee     callee  variant
evolved    echo_tag                callee        callee     callee     callee  note
evolved    echo_measurement        both          both       both       both    value
evolved    echo_config             caller        caller     caller     caller  owner
evolved    echo_record/afterwards  ok            ok         ok         ok      -
"""
# Calls that succeed return their argument, as far as both know it.
RETURNED = {
    ("v1", "echo_profile"): 'Profile { name: "Ana", bio: "x" }',
    ("v1", "echo_record"): 'Record { alpha: -1, beta: "b", gamma: 2.5 }',
    ("v1", "echo_status"): "Inactive",
    ("evolved", "echo_profile"): 'Profile { name: "Ana", bio: "x", avatar: None }',
    ("evolved", "echo_record"): 'Record { gamma: 2.5, alpha: -1, beta: "b" }',
    ("evolved", "echo_status"): "Inactive",
}
# How the text of a refusal tells who refused. A Rust caller that would refuse the answer does not see what the callee says.
SAYS = {
    ("callee", "rust"): r"failed: at \.0|^unknown remote enum variant",
    ("callee", "c"): r"^Testbed\.\w+ arguments: ",
    ("caller", "rust"): "failed: at ::Ok",
    ("caller", "c"): r"^Testbed\.\w+ answer: ",
}
SPECIAL = ("cancel c-to-rust", "cancel c-to-c", "deadline c-to-rust", "killed c-to-rust", "killed rust-to-c",
           "killed c-to-c", "stopped server c-to-rust", "stopped server c-to-c", "stopped client rust-to-c",
           "unix socket rust-to-c", "unix socket c-to-rust", "one lock, held by rust", "one lock, held by c",
           "socket that rust left", "socket that c left")


def parse(text):
    """What a client says about each check, in order: {name: (outcome, verdict)}."""
    found = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        name, _, outcome = rest.partition(" ")
        if word == "result":
            found[name] = (outcome, None)
        elif word in ("ok", "FAIL"):
            name = name.rstrip(":")
            found[name] = (found.get(name, (None, None))[0], word)
    return found


def recorded():
    """Rust to Rust. Its checks are those of every pair: one more or less is a failure."""
    with open(EXPECTED, encoding="utf-8") as file:
        return parse(file.read())


def evolution():
    """The table: {(version, method): ({pair: outcome}, reason)}."""
    rows = [line.split() for line in EVOLUTION.strip().splitlines()[1:]]
    return {(row[0], row[1]): (dict(zip(PAIRS, row[2:6])), row[6]) for row in rows}


def evolution_name(version, method, pair):
    return f"{method} called as {version} {pair}"


def listed():
    return ([f"{check} {pair}" for pair in PAIRS for check in recorded()] +
            [evolution_name(*row, pair) for pair in PAIRS for row in evolution()] + list(SPECIAL))


class Tap:
    def __init__(self):
        self.ran, self.failed = [], 0

    def case(self, name, problem=None):
        self.ran.append(name)
        if problem:
            self.failed += 1
            print(f"not ok {len(self.ran)} - {name}\n  # {problem}", flush=True)
        else:
            print(f"ok {len(self.ran)} - {name}", flush=True)


class Server:
    """A server of one of the two kinds, and of the first version of the service or of the evolved one."""

    def __init__(self, kind, a, version="v1", address="127.0.0.1:0"):
        command = ([a.vox, "serve", address, "--nodelay"] if kind == "rust"
                   else [a.choir, "serve", "--test-hooks", address])
        if version == "evolved":
            command.append("--evolved")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if "listening on" not in line:
            self.process.kill()
            raise RuntimeError(f"{command[0]} did not start: {line!r} {self.process.stderr.read()[-300:]!r}")
        self.address = ("127.0.0.1:" + line.strip().rsplit(":", 1)[1]) if address.startswith("127.") else address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.communicate()


def client_command(kind, a, address, *scenarios):
    return [a.vox, "client", address, *scenarios] if kind == "rust" else [a.client, address, *scenarios]


def run_client(kind, a, address, *scenarios):
    """What the client says about each check, and how it ended."""
    done = subprocess.run(client_command(kind, a, address, *scenarios), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=LIMIT * 3)
    return parse(done.stdout), f"exit {done.returncode} {done.stderr[-300:]!r}"


def kind_of(outcome):
    return (outcome or "").split('("')[0]


def judge(name, pair, got, want):
    if got is None:
        return "did not run"
    outcome, verdict = got
    if verdict != "ok":
        return f"the client says FAIL: {outcome}"
    if want is None:
        return "Rust to Rust did not run it"
    if pair.startswith("c-to") and name in RUST_BLIND:
        return None if outcome == "Err(UnknownMethod)" else f"got {outcome}, wanted Err(UnknownMethod)"
    same = kind_of(outcome) == kind_of(want[0]) if name in FREE_TEXT else outcome == want[0]
    return None if same else f"got {outcome}, Rust to Rust has {want[0]}"


def pairs(a, tap):
    checks = reference = recorded()
    for pair in PAIRS:
        client, server = pair.split("-to-")
        found, why = {}, None
        try:
            with Server(server, a) as s:
                found, why = run_client(client, a, s.address, "all")
        except (OSError, RuntimeError, subprocess.TimeoutExpired) as e:
            why = str(e)
        for name in checks:
            problem = judge(name, pair, found.get(name), reference.get(name))
            tap.case(f"{name} {pair}", problem and f"{problem} ({why})" if problem == "did not run" else problem)
        extra = set(found) - set(checks)
        if extra:
            tap.case(f"nothing unlisted {pair}", f"checks that are not listed: {sorted(extra)}")
        if pair == "rust-to-rust":
            reference = found


def judge_evolution(version, method, pair, got):
    outcomes, reason = evolution()[version, method]
    want = outcomes[pair]
    if got is None:
        return "did not run"
    if want == "ok":
        want = f"Ok({RETURNED[version, method.partition('/')[0]]})"
        return None if got == want else f"got {got}, wanted {want}"
    caller, callee = pair.split("-to-")
    if want == "both":
        want = "caller" if caller == "rust" else "callee"
    text = re.fullmatch(r'Err\(InvalidPayload\("(.*)"\)\)', got)
    good = text and re.search(SAYS[want, caller if want == "caller" else callee], text[1]) and reason in text[1]
    return None if good else f"got {got}, wanted the {want} to refuse it because of {reason}"


def versions(a, tap):
    """Callers of one version, callees of the other."""
    for pair in PAIRS:
        client, server = pair.split("-to-")
        for version, other in (("v1", "evolved"), ("evolved", "v1")):
            found, why = {}, None
            try:
                with Server(server, a, other) as s:
                    found, why = run_client(client, a, s.address, f"call-as-{version}")
            except (OSError, RuntimeError, subprocess.TimeoutExpired) as e:
                why = str(e)
            methods = [method for called_as, method in evolution() if called_as == version]
            wrong = set()
            for method in methods:
                problem = judge_evolution(version, method, pair, found.get(method, (None,))[0])
                if problem:
                    wrong.add(method.partition("/")[0])
                tap.case(evolution_name(version, method, pair), problem and f"{problem} ({why})")
            extra = set(found) - set(methods)
            if extra:
                tap.case(f"nothing unlisted called as {version} {pair}", f"calls that are not listed: {sorted(extra)}")
            count = len({method.partition("/")[0] for method in methods})
            print(f"# {pair}, called as {version}: {count - len(wrong)} of {count} methods compatible or refused as listed")


def run_scenario(a, client, server, scenario):
    """One manual scenario that the client judges itself."""
    with Server(server, a) as s:
        done = subprocess.run(client_command(client, a, s.address, scenario), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=LIMIT)
        if done.returncode != 0 or f"ok {scenario}" not in done.stdout:
            return f"exit {done.returncode}: {done.stdout[-300:]!r} {done.stderr[-300:]!r}"
    return None


def read_until(process, word):
    for line in process.stdout:
        if word in line:
            return True
    return False


def stop_server(a, server):
    """The server is stopped in the middle of a call: our client must find out within the limit."""
    with Server(server, a) as s:
        client = subprocess.Popen(client_command("c", a, s.address, "slow-call"), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        if not read_until(client, "calling"):
            return f"the client did not call: {client.communicate()}"
        time.sleep(0.2)  # the call has to be on its way; stopping too early would only make the case easier
        s.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            out, err = client.communicate(timeout=FOUND_DEAD_WITHIN + 5)
        except subprocess.TimeoutExpired:
            client.kill()
            return "not found dead"
        took = time.monotonic() - began
        if client.returncode != 0 or "ok slow-call" not in out:
            return f"exit {client.returncode}: {out[-300:]!r} {err[-300:]!r}"
        print(f"  # found dead after {took:.2f} s")
        return None if took <= FOUND_DEAD_WITHIN else f"found dead only after {took:.1f} s"


def stop_client(a):
    """A Rust client is stopped in the middle of a call: our server must close the session within the limit."""
    command = [a.choir, "serve", "--test-hooks", "--log", "tcp://127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    client = None
    try:
        address = "127.0.0.1:" + server.stdout.readline().strip().rsplit(":", 1)[1]
        client = subprocess.Popen(client_command("rust", a, address, "slow-call"), stdout=subprocess.PIPE, text=True)
        if not read_until(client, "calling"):
            return "the client did not call"
        time.sleep(0.2)
        client.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        os.set_blocking(server.stderr.fileno(), False)
        seen = ""
        while time.monotonic() - began < FOUND_DEAD_WITHIN:
            try:
                seen += os.read(server.stderr.fileno(), 65536).decode(errors="replace")
            except BlockingIOError:
                pass
            if "the peer sent nothing for too long" in seen:
                print(f"  # found dead after {time.monotonic() - began:.2f} s")
                return None
            time.sleep(0.02)
        return f"not found dead within {FOUND_DEAD_WITHIN} s: {seen[-300:]!r}"
    finally:
        if client:
            client.send_signal(signal.SIGCONT)
            client.kill()
        server.kill()


def over_unix_socket(a, client, server):
    """All checks once more, over a unix socket."""
    with tempfile.TemporaryDirectory() as folder, Server(server, a, address=f"local://{folder}/s") as s:
        found, why = run_client(client, a, s.address, "all")
    reference = recorded()
    problems = [f"{name}: {problem}" for name, want in reference.items()
                if (problem := judge(name, f"{client}-to-{server}", found.get(name), want))]
    return f"{len(problems)} of {len(reference)}, first {problems[0]} ({why})" if problems else None


def second_listener(a, first, second):
    """Whoever comes second is refused, and the first goes on."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"local://{folder}/s"
        with Server(first, a, address=address):
            command = [a.vox, "serve", address] if second == "rust" else [a.choir, "serve", address]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
            if done.returncode == 0 or not re.search("in use|InUse|already", done.stderr):
                return f"exit {done.returncode}: {done.stderr[-300:]!r}"
            found, why = run_client(second, a, address, "reverse")
            if not found or any(verdict != "ok" for _, verdict in found.values()):
                return f"the first does not answer any more: {found} {why}"
    return None


def left_socket(a, first, second):
    """The first is killed and leaves socket and lock; the second takes the place over."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"local://{folder}/s"
        with Server(first, a, address=address):
            pass
        if not os.path.exists(f"{folder}/s"):
            return "a server that is killed leaves no socket, so there is nothing to try"
        with Server(second, a, address=address):
            found, why = run_client(first, a, address, "reverse")
    bad = not found or any(verdict != "ok" for _, verdict in found.values())
    return f"{found} {why}" if bad else None


def special(a, tap):
    work = {
        "cancel c-to-rust": lambda: run_scenario(a, "c", "rust", "cancel"),
        "cancel c-to-c": lambda: run_scenario(a, "c", "c", "cancel"),
        "deadline c-to-rust": lambda: run_scenario(a, "c", "rust", "deadline"),
        "killed c-to-rust": lambda: run_scenario(a, "c", "rust", "peer-killed"),
        "killed rust-to-c": lambda: run_scenario(a, "rust", "c", "peer-killed"),
        "killed c-to-c": lambda: run_scenario(a, "c", "c", "peer-killed"),
        "stopped server c-to-rust": lambda: stop_server(a, "rust"),
        "stopped server c-to-c": lambda: stop_server(a, "c"),
        "stopped client rust-to-c": lambda: stop_client(a),
        "unix socket rust-to-c": lambda: over_unix_socket(a, "rust", "c"),
        "unix socket c-to-rust": lambda: over_unix_socket(a, "c", "rust"),
        "one lock, held by rust": lambda: second_listener(a, "rust", "c"),
        "one lock, held by c": lambda: second_listener(a, "c", "rust"),
        "socket that rust left": lambda: left_socket(a, "rust", "c"),
        "socket that c left": lambda: left_socket(a, "c", "rust"),
    }
    for name in SPECIAL:
        try:
            problem = work[name]()
        except (OSError, RuntimeError, subprocess.TimeoutExpired, IndexError) as e:
            problem = f"{type(e).__name__}: {e}"
        tap.case(name, problem)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("choir", "client", "vox"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--list", action="store_true", help="only name the cases")
    a = parser.parse_args()
    if a.list:
        print("\n".join(listed()))
        return 0
    print(f"1..{len(listed())}")
    tap = Tap()
    pairs(a, tap)
    versions(a, tap)
    special(a, tap)
    missing = [name for name in listed() if name not in tap.ran]
    for name in missing:
        print(f"# did not run: {name}")
    passed = len(tap.ran) - tap.failed
    print(f"{passed} passed, {tap.failed + len(missing)} failed")
    return 1 if tap.failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
