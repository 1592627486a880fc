#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Msgpack mode against peers made with other libraries: python3-msgpack and @msgpack/msgpack, both as clients of
`choir serve` and as servers of `choir call`, over every method of the Testbed service that is described.

usage: msgpack.py CHOIR FOLDER

FOLDER is for the Node peer's library, which npm installs there as package-lock.json says. Prints TAP; a peer whose
interpreter or library is missing is skipped by name, or with CHOIR_ALL_PEERS=1 a failure. The session in hex of
docs/protocol/msgpack.md is held with `choir serve`, too.
"""
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "hygiene"))
from tap import Tap  # noqa: E402

LIMIT = 60
GNARLY = {
    "revision": 18446744073709551615, "mount": "/m\u00e9dia", "footer": None, "digest": [0, 255],
    "entries": [
        {"id": 1, "parent": None, "name": "a", "path": "/a", "attrs": [{"key": "k", "value": ""}],
         "chunks": [[1, 2], []], "kind": {"File": {"mime": "text/plain", "tags": ["x", "y"]}}},
        {"id": 2, "parent": 1, "name": "b", "path": "/b", "attrs": [], "chunks": [],
         "kind": {"Directory": {"child_count": 3, "children": ["c", "\u4e16\U0001f980"]}}},
        {"id": 3, "parent": 9007199254740993, "name": "c", "path": "/c", "attrs": [], "chunks": [],
         "kind": {"Symlink": {"target": "/a", "hops": [1, 4294967295]}}},
    ],
}
ALICE = {"name": "Alice", "age": 30, "email": "alice@example.com"}
BOB = {"name": "Bob", "age": 25, "email": None}
MAX, MIN = 2 ** 63 - 1, -2 ** 63
# Method, arguments, result or the method's own error.
CALLS = [
    ("echo", ["hello"], "hello", None), ("echo", [""], "", None), ("echo", ["\u4e16\U0001f980\0"], "\u4e16\U0001f980\0", None),
    ("echo", ["x" * 70000], "x" * 70000, None), ("reverse", ["a\U0001f980c"], "c\U0001f980a", None),
    ("divide", [7, 2], 3, None), ("divide", [-7, 2], -3, None), ("divide", [MAX, -1], -MAX, None),
    ("divide", [MIN, 1], MIN, None), ("divide", [1, 0], None, "DivisionByZero"), ("divide", [MIN, -1], None, "Overflow"),
    ("lookup", [1], ALICE, None), ("lookup", [2], BOB, None), ("lookup", [100], None, "AccessDenied"),
    ("lookup", [4294967295], None, "NotFound"), ("echo_bool", [True], True, None), ("echo_bool", [False], False, None),
    ("echo_bytes", [[]], [], None), ("echo_bytes", [list(range(256))], list(range(256)), None),
    ("echo_option_string", [None], None, None), ("echo_option_string", ["here"], "here", None),
    ("echo_gnarly", [GNARLY], GNARLY, None),
] + [("echo_u64", [n], n, None) for n in
     (0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 + 1, 2 ** 63, 2 ** 64 - 1)]


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)


class Server:
    """A process that prints `listening on tcp://HOST:PORT`."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on tcp://"):
            self.process.kill()
            raise RuntimeError(f"{command} printed {line!r}")
        self.address = line.strip()[len("listening on tcp://"):]

    def __enter__(self):
        return self.address

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def find_python(_folder):
    for program in (sys.executable, "/usr/bin/python3"):
        if run(program, "-c", "import msgpack").returncode == 0:
            return [program, os.path.join(HERE, "msgpack-python", "peer.py")], ""
    return None, "python3-msgpack is not installed"


def find_node(folder):
    if not shutil.which("node") or not shutil.which("npm"):
        return None, "node or npm is not installed"
    work = os.path.join(folder, "msgpack-node")
    os.makedirs(work, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc", "peer.mjs"):
        shutil.copy(os.path.join(HERE, "msgpack-node", name), work)
    done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=work, capture_output=True, text=True,
                          timeout=10 * LIMIT)
    if done.returncode != 0 and not os.path.isdir(os.path.join(work, "node_modules", "@msgpack")):
        return None, "npm could not install @msgpack/msgpack: " + " ".join(done.stderr.split())[:120]
    return ["node", os.path.join(work, "peer.mjs")], ""


def judge(tap, name, done, value, error):
    """Compares what one call printed: JSON on standard output, or `error: JSON` on either."""
    text = (done.stdout + done.stderr).strip()
    if error is not None:
        good = done.returncode == 1 and text in (f'error: "{error}"', f'error: {{"User": "{error}"}}',
                                                 f'error: {{"User":"{error}"}}')
    else:
        try:
            good = done.returncode == 0 and json.loads(done.stdout) == value
        except ValueError:
            good = False
    tap.check(good, name, f"exit status {done.returncode}: {text[:300]}")


def label(method, arguments):
    text = json.dumps(arguments)
    return f"{method}{text if len(text) < 50 else text[:40] + '...'}"


def test_peer(tap, language, choir, peer):
    with Server(choir, "serve", "tcp://127.0.0.1:0") as address:
        for method, arguments, value, error in CALLS:
            done = run(*peer, "call", address, method, *map(json.dumps, arguments))
            judge(tap, f"{language} calls choir: {label(method, arguments)}", done, value, error)
        done = run(*peer, "call", address, "echo_u64", '"text"')
        tap.check("InvalidPayload" in done.stdout and "args.0: expected u64, found a str" in done.stdout,
                  f"{language} calls choir: a wrong type is told with its place", done.stdout + done.stderr)
    with Server(*peer, "serve") as address:
        for method, arguments, value, error in CALLS:
            done = run(choir, "call", "--codec", "msgpack", address, f"Testbed.{method}", *map(json.dumps, arguments))
            judge(tap, f"choir calls {language}: {label(method, arguments)}", done, value, error)
        done = run(choir, "ping", "--codec=msgpack", "--count=2", "--interval=0", address)
        tap.check(done.returncode == 0 and "2 sent, 2 answered" in done.stdout, f"choir pings {language}",
                  done.stdout + done.stderr)
        done = run(choir, "call", address, "Testbed.echo", '"x"')
        tap.check(done.returncode == 3 and "refused conduit mode bare: unsupported" in done.stderr,
                  f"{language} refuses postcard, and choir says so", done.stdout + done.stderr)


def read_document():
    """The frames of the documented session: pairs of direction and bytes."""
    path = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs", "protocol", "msgpack.md")
    with open(path, encoding="utf-8") as file:
        lines = [re.match(r"^([<>]) +([0-9a-f]+)(?:  |$)", line) for line in file.read().splitlines()]
    frames, left = [], 0
    for direction, text in (line.groups() for line in lines if line):
        data = bytes.fromhex(text)
        if left == 0:
            left = struct.unpack("<I", data)[0]
            frames.append((direction, data))
        else:
            left -= len(data)
            frames[-1] = (direction, frames[-1][1] + data)
    return frames


def test_document(tap, choir):
    frames = read_document()
    tap.check(len(frames) > 10 and len({direction for direction, _ in frames}) == 2, "the document shows a session")
    with Server(choir, "serve", "tcp://127.0.0.1:0") as address:
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=LIMIT) as link:
            stream = link.makefile("rb")
            for number, (direction, frame) in enumerate(frames, 1):
                if direction == ">":
                    link.sendall(frame)
                else:
                    got = stream.read(len(frame))
                    tap.check(got == frame, f"the document's frame {number} is what choir says", got.hex())


def main(choir, folder):
    tap = Tap()
    test_document(tap, choir)
    for language, find in (("Python", find_python), ("Node", find_node)):
        peer, why = find(folder)
        if peer:
            test_peer(tap, language, choir, peer)
        elif os.environ.get("CHOIR_ALL_PEERS"):
            tap.check(False, f"msgpack peer in {language}", why)
        else:
            tap.skip(f"msgpack peer in {language}", why)
    tap.end()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
