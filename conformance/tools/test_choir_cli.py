#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The choir command as its user sees it: exit statuses, standard output, what standard error says, strange peers.

usage: test_choir_cli.py CHOIR CALCULATOR_SERVER

CALCULATOR_SERVER is the example: a peer that does not have Testbed. In the environment, CHOIR_VOX_PEER names the peer in
Rust, as ./dev test does; empty, or not set, its part is skipped. Prints TAP.
"""
import contextlib
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "conformance", "hygiene"))
from tap import Tap  # noqa: E402

OK, USER_ERROR, USAGE, FAILED, NO_ANSWER = range(5)
MANUAL = os.path.join(ROOT, "docs", "man", "choir.1")
VOX_PEER = os.environ.get("CHOIR_VOX_PEER", "")
LIMIT = 60
WITHOUT_MSGPACK = bool(os.environ.get("CHOIR_WITHOUT_MSGPACK"))  # the program was built so
PING_SUMMARY = re.compile(
    r"^(\d+) sent, (\d+) answered; round trip min ([\d.]+) ms, median ([\d.]+) ms, max ([\d.]+) ms$")

GNARLY = {
    "revision": 18446744073709551615, "mount": "/m\u00e9dia", "footer": None, "digest": [0, 255],
    "entries": [
        {"id": 1, "parent": None, "name": "a", "path": "/a", "attrs": [{"key": "k", "value": ""}],
         "chunks": [[1, 2], []], "kind": {"File": {"mime": "text/plain", "tags": ["x", "y"]}}},
        {"id": 2, "parent": 1, "name": "b", "path": "/b", "attrs": [], "chunks": [],
         "kind": {"Directory": {"child_count": 3, "children": []}}},
        {"id": 3, "parent": 1, "name": "c", "path": "/c", "attrs": [], "chunks": [],
         "kind": {"Symlink": {"target": "/a", "hops": [1, 4294967295]}}},
    ],
}


class Test(Tap):
    def __init__(self, choir):
        super().__init__()
        self.choir = choir

    def run(self, *arguments, **options):
        options = {"capture_output": True, "text": True, "timeout": LIMIT, **options}
        return subprocess.run([self.choir, *arguments], **options)

    def start(self, *arguments):
        return subprocess.Popen([self.choir, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def judge(self, name, done, status, out=None, err=()):
        """The exit status, all of standard output, and words that standard error must have (none: it is empty)."""
        problems = []
        if done.returncode != status:
            problems.append(f"exit status {done.returncode}, not {status}")
        if out is not None and done.stdout != out:
            problems.append(f"standard output is {done.stdout!r}, not {out!r}")
        if not err and done.stderr:
            problems.append(f"standard error should be empty: {done.stderr!r}")
        problems += [f"standard error lacks {word!r}: {done.stderr!r}" for word in err if word not in done.stderr]
        return self.check(not problems, name, problems)

    def expect(self, name, status, out, err, *arguments):
        return self.judge(name, self.run(*arguments), status, out, err)


class Server:
    """A process that prints `listening on URL`."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            self.process.kill()
            raise RuntimeError(f"{command} printed {line!r} {self.process.communicate()}")
        self.url = line.split()[-1]
        self.address = self.url.removeprefix("tcp://")
        self.port = int(self.url.rsplit(":", 1)[1]) if self.url.startswith("tcp:") else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def end(self, number):
        """Sends a signal; returns (exit status, rest of stdout, stderr)."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, err


@contextlib.contextmanager
def fake_peer(answer):
    """A port where each connection is handed to `answer`, in a thread that dies with us."""
    def loop():
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                with contextlib.suppress(OSError):
                    answer(connection)
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=loop, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def says(greeting):
    """A peer that says this, whatever it hears, and leaves once the other end does."""
    def answer(connection):
        connection.sendall(greeting)
        connection.settimeout(LIMIT)
        while connection.recv(4096):
            pass
    return answer


def echo(address, text="x"):
    """The arguments of a call."""
    return ["call", address, "Testbed.echo", json.dumps(text)]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_help(t):
    t.check(re.fullmatch(r"choir \d+\.\d+\.\d+\n", t.run("--version").stdout), "--version")
    with open(MANUAL, encoding="utf-8") as file:
        manual = file.read()
    for command in ([], ["serve"], ["call"], ["ping"], ["schema"]):
        done, name = t.run(*command, "--help"), " ".join(["choir", *command])
        options = re.findall(r"^  --([a-z-]+)", done.stdout, re.M)
        for part, text in (("manual", manual), ("synopsis", manual.split(".Sh DESCRIPTION")[0])):
            missing = [option for option in options if f"Fl -{option}" not in text]
            t.check(not missing, f"the {part} has every option of {name}", missing)
        good = done.stdout.startswith(f"usage: {name} ") and "Exit status" in done.stdout and max(
            map(len, done.stdout.splitlines())) <= 120
        t.judge(f"{name} --help", done, OK)
        t.check(good, f"{name} --help has usage and exit statuses, in lines one can read", done.stdout)
    t.judge("--help behind other arguments", t.run("call", "--timeout", "1", "--help"), OK)
    listed = t.run("call", "--list")
    t.judge("call --list", listed, OK)
    t.check("  Testbed.divide(i64, i64) -> Result<i64, MathError>\n" in listed.stdout, "call --list shows types",
            listed.stdout)


def test_recorded_channels(t):
    """A method with ends of channels inside its types is announced as a real Rust caller and callee did."""
    folder = os.path.join(ROOT, "conformance")
    made = t.run("schema", "export", os.path.join(folder, "replay", "extra_job.rs"))
    job = json.loads(made.stdout)["services"][0]["methods"][0]
    with open(os.path.join(folder, "vectors", "sessions-rust", "extra_job.jsonl"), encoding="utf-8") as file:
        announced = [m["decoded"]["payload"]["value"] for m in map(json.loads, file) if "SchemaMessage" in m["kind"]]
    t.check(len(announced) == 2, "recorded channels: two announcements")
    for value, direction in zip(announced, ("args", "response")):
        t.check(value["method_id"] == "0x" + job["id"] and value["schemas"] == "hex:" + job[direction]["schemas"],
                f"recorded channels: {direction}", f"{value}\n{job[direction]}")


def test_usage(t, url):
    help_of = {name: f"hint: choir {name} --help" for name in ("serve", "call", "ping")}
    cases = [
        ("no command", ["usage: choir"], []),
        ("an unknown command", ['no command "fly"', "hint: choir --help"], ["fly"]),
        ("call without method", ["an address and a method", help_of["call"]], ["call", url]),
        ("an unknown option", ["no option --loud", help_of["call"]], ["call", "--loud", url, "Testbed.echo", '"x"']),
        ("an option without its value", ["--timeout needs a value"], ["call", url, "Testbed.echo", '"x"', "--timeout"]),
        ("a flag with a value", ["--verbose has no value"], ["call", url, "Testbed.echo", '"x"', "--verbose=1"]),
        ("a timeout that is none", ['"soon"'], ["call", "--timeout", "soon", url, "Testbed.echo", '"x"']),
        ("a negative timeout", ['"-1"'], ["call", "--timeout=-1", url, "Testbed.echo", '"x"']),
        ("not a number", ['"nan"'], ["call", "--timeout=nan", url, "Testbed.echo", '"x"']),
        ("metadata without a key", ["KEY=VALUE"], ["call", "--metadata", "=x", url, "Testbed.echo", '"x"']),
        ("metadata without =", ["KEY=VALUE"], ["call", "--metadata", "x", url, "Testbed.echo", '"x"']),
        ("65 times metadata", ["at most 64"], ["call", *["--metadata=a=b"] * 65, url, "Testbed.echo", '"x"']),
        ("an unknown log level", ['"loud"'], ["call", "--log=loud", url, "Testbed.echo", '"x"']),
        ("a method without service", ["SERVICE.METHOD"], ["call", url, "echo", '"x"']),
        ("a method without a name", ["SERVICE.METHOD"], ["call", url, "Testbed.", '"x"']),
        ("a service without a name", ["SERVICE.METHOD"], ["call", url, ".echo", '"x"']),
        ("a name that is none", ["ASCII", help_of["call"]], ["call", url, "Testb\u00e4d.echo", '"x"']),
        ("too few arguments", ["takes 2 arguments, not 1", "divide(i64, i64)"], ["call", url, "Testbed.divide", "1"]),
        ("too many arguments", ["takes 1 argument, not 2"], ["call", url, "Testbed.echo", '"x"', '"y"']),
        ("no JSON", ["argument 1 of Testbed.echo", "hint: ", "'\"hello\"'"], ["call", url, "Testbed.echo", "hello"]),
        ("JSON of another type", ["argument 2 of Testbed.divide"], ["call", url, "Testbed.divide", "1", "true"]),
        ("a number out of range", ["out of range for u64"], ["call", url, "Testbed.echo_u64", str(2 ** 64)]),
        ("a place inside of JSON", ["entries[0].id"], ["call", url, "Testbed.echo_gnarly",
                                                       json.dumps(GNARLY).replace('"id": 1', '"id": "one"')]),
        ("no port", ["the port is missing", help_of["call"]], ["call", "localhost", "Testbed.echo", '"x"']),
        ("a bad port", ["99999"], ["call", "localhost:99999", "Testbed.echo", '"x"']),
        ("a scheme that is none", ["pigeon://x"], ["call", "pigeon://x", "Testbed.echo", '"x"']),
        ("an address that is too long", ["too long"], ["ping", "a" * 400 + ":1"]),
        ("serve without address", ["an address is needed", help_of["serve"]], ["serve"]),
        ("serve with two", ["one address is enough"], ["serve", "127.0.0.1:0", "127.0.0.1:0"]),
        ("serve no requests", ["from 1 to 1000000"], ["serve", "127.0.0.1:0", "--max-requests", "0"]),
        ("serve a name", ["example.com"], ["serve", "example.com:0"]),
        ("ping without address", ["an address is needed", help_of["ping"]], ["ping"]),
        ("ping never", ["from 1 to 1000000"], ["ping", "--count=0", url]),
        ("ping with a bad count", ['"3x"'], ["ping", "--count", "3x", url]),
        ("ping at a bad interval", ['"fast"'], ["ping", "--interval", "fast", url]),
    ]
    for name, words, arguments in cases:
        t.expect(f"usage: {name}", USAGE, "", words, *arguments)


def test_inference(t, url):
    """Arguments of methods that are not known: what cannot be one type alone is refused, and nothing is sent."""
    cases = [
        ("an integer without its type", ["argument 2", "7 may be of many types; write 7u32", "hint: ", "--types"], ['"x"', "7"]),
        ("a number of a type that is none", ["u7 is not a type of numbers"], ["1u7"]),
        ("a number out of its type's range", ["out of range for u8"], ["256u8"]),
        ("a fraction of an integer", ["argument 1", "not an integer"], ["1.5i32"]),
        ("a number that is none", ["argument 1", "expected the end"], ["1-2i32"]),
        ("null", ["null may be of any optional type"], ["null"]),
        ("an empty array", ["the elements of [] may be of any type"], ["[]"]),
        ("an array of two types", ["an array of u8 and bool"], ["[1u8,true]"]),
        ("an array without its end", ["expected , or ]"], ["[1u8"]),
        ("an object without a name", ["needs the name of its struct"], ['{"x":1i32}']),
        ("an object without its end", ["expected , or }"], ['P{"x":1i32']),
        ("an object without a colon", ["expected :"], ['P{"x" 1i32}']),
        ("a field that is no name", ['"a b" cannot be the name of a field'], ['P{"a b":1i32}']),
        ("a field with an empty name", ["without a name"], ['P{"":1i32}']),
        ("a string without its end", ["a string without its end"], ['"abc']),
        ("a string that ends in an escape", ["a string without its end"], ['"abc\\']),
        ("a string with a wrong escape", ["argument 1", "expected an escape"], [r'"\q"']),
        ("no quotes", ["hello is no value", "hint: ", "'\"hello\"'"], ["hello"]),
        ("nothing", ["a value is missing"], [""]),
        ("text behind it", ["text behind the value"], ["true true"]),
        ("two structs of one name", ["do not go together", "P"], ['P{"x":1i32}', 'P{"y":1i32}']),
        ("65 arrays", ["nested more than 64 deep"], ["[" * 65 + "1u8" + "]" * 65]),
        ("100,000 brackets", ["nested more than 64 deep"], ["[" * 100_000]),
    ]
    for name, words, arguments in cases:
        t.expect(f"inference: {name}", USAGE, "", words, "call", url, "Testbed.unknown", *arguments)


def test_dynamic(t, calculator, url):
    """Methods that this program does not know."""
    def call(name, peer, method, arguments, out, *options):
        t.expect(name, OK, out + "\n", [], "call", *options, peer, method, *arguments)

    with Server(calculator, "tcp://127.0.0.1:0") as other:
        call("a method that is not known", other.url, "Calculator.add", ["1i64", "-2i64"], "-1")
        t.expect("its error", USER_ERROR, "", ['error: "ByZero"\n'], "call", other.url, "Calculator.divide", "1i64",
                 "0i64")
        t.expect("arguments of other types", NO_ANSWER, "",
                 ["invalid payload", "ours is i64, the peer's is u64", "--types"], "call", other.url,
                 "Calculator.add", "1u64", "2u64")
        t.expect("too few of them", NO_ANSWER, "", ["invalid payload", "tuple of 2"], "call", other.url,
                 "Calculator.add", "1i64")
        t.expect("a method the peer does not have", NO_ANSWER, "", ["Calculator.multiply at tcp://", ": unknown method.", "It never ran."],
                 "call", other.url, "Calculator.multiply", "1i64")
        t.expect("a service the peer does not have", FAILED, "", ["no service", "Any", "here; offered: Calculator"],
                 "call", other.url, "Any.thing")
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "calculator.rs")
            with open(file, "w", encoding="utf-8") as out:
                out.write("""#[vox::service] pub trait Calculator {
                    async fn add(&self, a: i64, b: i64) -> i64;
                    async fn divide(&self, dividend: i64, divisor: i64) -> Result<i64, DivideError>;
                }
                pub enum DivideError { ByZero, Overflow }
                """)
            call("types from a file", other.url, "Calculator.divide", ["7", "2"], "3", "--types", file)
            t.expect("an error of such a type", USER_ERROR, "", ['error: "ByZero"\n'], "call", "--types", file,
                     other.url, "Calculator.divide", "7", "0")
            t.expect("a method that the file lacks", USAGE, "",
                     ["not among the methods of the file", "Calculator.add(i64, i64) -> i64"], "call", "--types", file,
                     other.url, "Calculator.next_sum")
            t.expect("the file's methods", OK, "  Calculator.add(i64, i64) -> i64\n"
                     "  Calculator.divide(i64, i64) -> Result<i64, DivideError>\n", [], "call", "--list",
                     f"--types={file}")
            with open(file, "w", encoding="utf-8") as out:
                out.write("pub struct S { x: Unknown }\ntrait T { async fn f(&self, s: S); }")
            t.expect("a file with a mistake", FAILED, "", [f"{file}:1:", "Unknown"], "call", "--types", file, url, "T.f",
                     "{}")
        t.expect("no file", FAILED, "", ["/nowhere.rs", "No such file"], "call", "--types", "/nowhere.rs", url, "T.f")


def test_rust_peer(t, vox):
    """The same with a peer of the published crates, which announces everything as Rust does."""
    def call(method, arguments, out, *options):
        t.expect(f"Rust: {method} {' '.join(arguments)[:40]}", OK, out + "\n", [], "call", *options, s.url, method,
                 *arguments)

    # Methods that are built in, and the same types from a file.
    from_file = ["--types", os.path.join(ROOT, "conformance", "vectors", "schema", "testbed.rs")]
    with Server(vox, "serve", "127.0.0.1:0", "--nodelay") as s:
        for types in [], from_file:
            call("Testbed.rectangle_area", ['{"top_left":{"x":0,"y":0},"bottom_right":{"x":2,"y":3},"label":null}'], "6.0",
                 *types)
            call("Testbed.create_canvas", ['"a"', '[{"Circle":{"radius":1.5}},"Point"]', '"Red"'],
                 '{"name":"a","shapes":[{"Circle":{"radius":1.5}},"Point"],"background":"Red"}', *types)
            call("Testbed.swap_pair", ['[1,"x"]'], '["x",1]', *types)
            call("Testbed.process_message", ['{"Data":[1,2,3]}'], '{"Data":[3,2,1]}', *types)
            gnarly = t.run("call", *types, s.url, "Testbed.echo_gnarly", json.dumps(GNARLY))
            t.check(gnarly.returncode == OK and json.loads(gnarly.stdout) == GNARLY, "Rust: echo_gnarly",
                    gnarly.stderr + gnarly.stdout)
        for command in [] if WITHOUT_MSGPACK else (echo(s.url), ["ping", s.url]):
            t.expect(f"Rust: {command[0]} in msgpack, which it does not know", FAILED, "",
                     ["no answer to conduit mode msgpack", "hint: ", "postcard"], command[0], "--codec=msgpack", *command[1:])
        t.expect("Rust: and the server goes on", OK, '"x"\n', [], *echo(s.url))
    # Methods that nobody knows but the peer.
    with Server(vox, "serve", "127.0.0.1:0", "--nodelay", "--sketch") as s:
        call("Sketch.colors", [], '["Red","Green","Blue"]')
        call("Sketch.row", ["2u32"], '[{"x":0,"y":0},{"x":1,"y":2}]')
        call("Sketch.same", ['Point {"x": -1i32, "y": 2i32}'], '{"x":-1,"y":2}')
        call("Sketch.color", ['"green"'], '"Green"')
        call("Sketch.color", ['"none"'], "null")
        call("Sketch.label", ['"a"', "1i32", "2i32", "true"], '{"label":"a","x":1,"y":2,"active":true}')
        call("Sketch.record", ['Record{"alpha":1i32,"beta":"b","gamma":2.5}'], '{"alpha":1,"beta":"b","gamma":2.5}')
        call("Sketch.divide", ["-7i64", "2i64"], "-3")
        t.expect("Rust: an error of a method that is not known", USER_ERROR, "", ['error: "Overflow"\n'], "call", s.url,
                 "Sketch.divide", f"{-2 ** 63}i64", "-1i64")
        t.expect("Rust: another type", NO_ANSWER, "", ["remote is `u32`, local is `i32`", "--types"], "call", s.url,
                 "Sketch.same", 'Point{"x":1u32,"y":2i32}')
        t.expect("Rust: a method it does not have", NO_ANSWER, "", ["unknown method"], "call", s.url, "Sketch.nothing")
        t.expect("Rust: a service it does not have", NO_ANSWER, "", ["unknown method"], *echo(s.url))


def test_calls(t, url):
    def call(name, method, arguments, out, *options):
        t.expect(name, OK, out + "\n", [], "call", *options, url, f"Testbed.{method}", *arguments)

    call("echo", "echo", ['"hello"'], '"hello"')
    call("echo of nothing", "echo", ['""'], '""')
    call("echo with escapes", "echo", [r'"a\u00e9\n\""'], json.dumps("a\u00e9\n\"", ensure_ascii=False))
    big = json.dumps("x" * 100_000)
    call("echo of 100 kB", "echo", [big], big)
    call("reverse", "reverse", ['"a\u00f1\U0001f600b"'], '"b\U0001f600\u00f1a"')
    call("divide a negative number", "divide", ["-7", "2"], "-3")
    call("divide the smallest number", "divide", [str(-2 ** 63), "1"], str(-2 ** 63))
    call("lookup", "lookup", ["2"], '{"name":"Bob","age":25,"email":null}')
    call("echo_bytes", "echo_bytes", ["[0,1,255]"], "[0,1,255]")
    call("echo_bool", "echo_bool", [" true "], "true")
    call("echo_u64", "echo_u64", [str(2 ** 64 - 1)], str(2 ** 64 - 1))
    call("echo_option_string, some", "echo_option_string", ['"x"'], '"x"')
    call("echo_option_string, none", "echo_option_string", ["null"], "null")
    gnarly = t.run("call", url, "Testbed.echo_gnarly", json.dumps(GNARLY))
    t.check(gnarly.returncode == OK and json.loads(gnarly.stdout) == GNARLY, "echo_gnarly",
            gnarly.stderr + gnarly.stdout)
    shapes = '[{"Circle":{"radius":2.5}},{"Rectangle":{"width":1.0,"height":2.0}},"Point"]'
    for method, arguments, out in [
            ("echo_point", ['{"x":42,"y":-7}'], None),
            ("create_person", ['"Eve"', "22", "null"], '{"name":"Eve","age":22,"email":null}'),
            ("rectangle_area", ['{"top_left":{"x":0,"y":0},"bottom_right":{"x":-10,"y":5},"label":"l"}'], "50.0"),
            ("parse_color", ['"GREEN"'], '"Green"'),
            ("parse_color", ['"purple"'], "null"),
            ("shape_area", ['{"Circle":{"radius":2.0}}'], "12.566370614359172"),
            ("create_canvas", ['"c"', shapes, '"Blue"'], '{"name":"c","shapes":%s,"background":"Blue"}' % shapes),
            ("process_message", ['{"Text":"x"}'], '{"Text":"processed: x"}'),
            ("process_message", ['{"Number":-21}'], '{"Number":-42}'),
            ("process_message", ['{"Data":[1,2,3]}'], '{"Data":[3,2,1]}'),
            ("get_points", ["3"], '[{"x":0,"y":0},{"x":1,"y":2},{"x":2,"y":4}]'),
            ("swap_pair", ['[99,"hello"]'], '["hello",99]'),
            ("all_colors", [], '["Red","Green","Blue"]'),
            ("describe_point", ['"far"', "-100", "200", "false"], '{"label":"far","x":-100,"y":200,"active":false}'),
            ("echo_shape", ['"Point"'], None),
            ("echo_status_v1", ['"Inactive"'], None),
            ("echo_tag_v1", ['{"label":"l","priority":1,"note":"n"}'], None),
            ("echo_profile", ['{"name":"n","bio":"b"}'], None),
            ("echo_record", ['{"alpha":-1,"beta":"b","gamma":0.5}'], None),
            ("echo_status", ['"Active"'], None),
            ("echo_tag", ['{"label":"l","priority":4294967295,"note":""}'], None),
            ("echo_measurement", ['{"unit":"m","value":-0.25}'], None),
            ("echo_config", ['{"key":"k","value":"v"}'], None)]:
        call(f"{method} {arguments}", method, arguments, out or arguments[0])
    t.expect("an answer that would be too large", NO_ANSWER, "", ["invalid payload", "too large"], "call", url,
             "Testbed.get_points", str(2 ** 32 - 1))
    for method in ("sum", "generate", "generate_retry_non_idem", "generate_retry_idem", "transform", "sum_large",
                   "generate_large"):
        t.expect(f"{method} has channels", USAGE, "", [f"Testbed.{method} takes an end of a channel", "x<"], "call", url,
                 f"Testbed.{method}", "1")
    call("an address without scheme", "echo_bool", ["true"], "true", "--timeout=10")
    t.expect("options behind the arguments", OK, "1\n", [], "call", url[len("tcp://"):], "Testbed.echo_u64", "1",
             "--timeout", "9")
    t.expect("-- ends the options", OK, "-1\n", [], "call", "--", url, "Testbed.divide", "-1", "1")
    call("with metadata", "echo_u64", ["7"], "7", "--metadata", "trace=1", "--metadata", "empty=")
    call("64 times metadata", "echo_u64", ["7"], "7", *["--metadata=a=b"] * 64)
    for codec in ("postcard",) if WITHOUT_MSGPACK else ("postcard", "msgpack"):
        t.expect(f"--codec {codec}", OK, "7\n", [], "call", "--codec", codec, url, "Testbed.echo_u64", "7")
    t.expect("--codec of no codec", USAGE, "", ["postcard or msgpack", "cbor"], "call", "--codec=cbor", url,
             "Testbed.echo_u64", "7")
    t.expect("--codec of no codec, for a ping", USAGE, "", ["postcard or msgpack", "cbor"], "ping", "--codec=cbor", url)
    if not WITHOUT_MSGPACK:
        t.expect("a user error in msgpack", USER_ERROR, "", ['error: "DivisionByZero"\n'], "call", "--codec=msgpack", url,
                 "Testbed.divide", "1", "0")
    t.expect("--verbose tells more on standard error", OK, "7\n",
             ["connected to tcp://", "Testbed.echo_u64: ok after "], "call", "--verbose", url, "Testbed.echo_u64", "7")
    t.expect("--log shows what the library does", OK, "7\n", [" info "], "call", "--log", url, "Testbed.echo_u64", "7")
    t.expect("a user error", USER_ERROR, "", ['error: "DivisionByZero"\n'], "call", url, "Testbed.divide", "1", "0")
    t.expect("another user error", USER_ERROR, "", ['error: "AccessDenied"\n'], "call", url, "Testbed.lookup", "100")


def test_evolved(t, choir):
    """Callers of one version, a server of the other: some values come through, some are refused."""
    with Server(choir, "serve", "--evolved", "127.0.0.1:0") as s:
        for method, value in [("echo_profile", '{"name":"n","bio":"b"}'), ("echo_status", '"Active"'),
                              ("echo_record", '{"alpha":-1,"beta":"b","gamma":0.5}')]:
            t.expect(f"evolved: {method}", OK, value + "\n", [], "call", s.url, f"Testbed.{method}", value)
        for method, value, words in [
                ("echo_tag", '{"label":"l","priority":1,"note":"n"}', ["Testbed.echo_tag answer: Ok.note: missing"]),
                ("echo_measurement", '{"unit":"m","value":1.5}', ["value: ours is string, the peer's is f64"]),
                ("echo_config", '{"key":"k","value":"v"}', ["owner"])]:
            t.expect(f"evolved: {method}", NO_ANSWER, "", ["invalid payload", *words], "call", s.url,
                     f"Testbed.{method}", value)
        t.expect("evolved: it has these methods only", NO_ANSWER, "", ["unknown method"], *echo(s.url))


def test_no_answer(t, choir, calculator, url):
    t.expect("slow, but in time", OK, '"slow:200:x"\n', [], *echo(url, "slow:200:x"))
    t.expect("timed out", NO_ANSWER, "", ["Testbed.echo at tcp://", ": timed out: no answer before the deadline. It may have run.", "hint: "], *echo(url, "slow:60000:x"),
             "--timeout", "2")
    t.expect("dropped by its handler", NO_ANSWER, "", ["Testbed.echo at tcp://", ": cancelled by the peer.", "its own log may tell more"], *echo(url, "panic"))
    t.expect("and the server goes on", OK, '"x"\n', [], *echo(url))
    with Server(calculator, "tcp://127.0.0.1:0") as other:
        t.expect("a peer with another service", FAILED, "", ["no service", "Testbed", "offered: Calculator"],
                 *echo(other.url))
    with Server(choir, "serve", "127.0.0.1:0") as plain:
        t.expect("no hooks unless asked for", OK, '"exit"\n', [], *echo(plain.url, "exit"))
    with Server(choir, "serve", "--test-hooks", "127.0.0.1:0") as doomed:
        t.expect("the peer dies during the call", FAILED, "", ["may have run", "the link ended"],
                 *echo(doomed.url, "exit"))
        t.check(doomed.process.wait(LIMIT) == 3, "exit leaves with status 3")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = t.run(*echo(url), capture_output=False, stdout=full, stderr=subprocess.PIPE)
    t.judge("a result that cannot be written", done, FAILED, None, ["cannot write"])


def test_strange_peers(t):
    port = free_port()
    refused = f"127.0.0.1:{port}: Connection refused"
    for command in (echo(f"127.0.0.1:{port}"), ["ping", f"tcp://127.0.0.1:{port}"]):
        t.expect(f"{command[0]}: nobody listens", FAILED, "", [refused, "hint: "], *command)
    t.expect("nobody listens at any address of a name", FAILED, "", [f"localhost:{port}", refused],
             *echo(f"localhost:{port}"))
    t.expect("a name that cannot be resolved", FAILED, "", ['"no-such-host.invalid"', "hint: "],
             *echo("no-such-host.invalid:1"), "--timeout=20")

    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    t.expect("a web server that is confused", FAILED, "", ["vox prologue", "<!DOCTYPE HTML>", "hint: "],
             *echo(f"127.0.0.1:{web.server_port}"))
    web.shutdown()
    strangers = [
        ("a web server", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "an HTTP response"),
        ("a TLS server", bytes([21, 3, 3, 0, 2, 2, 70]), "a TLS record"),
        ("an SSH server", b"SSH-2.0-OpenSSH_9.2p1\r\n", "an SSH banner"),
    ]
    for name, greeting, word in strangers:
        with fake_peer(says(greeting)) as address:
            t.expect(name, FAILED, "", [address, "vox prologue", word, "hint: "], *echo(address))
    with fake_peer(lambda connection: None) as address:
        t.expect("a server that hangs up", FAILED, "", [address, "the link ended", "hint: "], "ping", address)
    with fake_peer(says(b"")) as address:
        start = time.monotonic()
        t.expect("a server that says nothing", FAILED, "", [address, "not finished in time", "hint: "],
                 *echo(address), "--timeout=0.5")
        t.check(time.monotonic() - start < 10, "a server that says nothing is given up in time")


def ask_as_stranger(port, request):
    """What the server says to a client of another protocol until it closes; fails if it does not close."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(4096):
                heard += part
    return heard


def test_serve(t, choir):
    with Server(choir, "serve", "--log", "--max-requests", "1", "127.0.0.1:0") as s:
        for name, request in [("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                              ("TLS", bytes([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]))]:
            try:
                problem = "" if len(ask_as_stranger(s.port, request)) < 100 else "it said too much"
            except OSError as e:
                problem = str(e)
            t.check(not problem, f"an {name} client is hung up on", problem)
        t.expect("and vox peers are served still", OK, "1\n", [], "call", s.url, "Testbed.echo_u64", "1")
        t.expect("a port that is taken", FAILED, "", [s.url, "in use", "hint: "], "serve", s.url)
        status, out, err = s.end(signal.SIGTERM)
        t.check(status == OK and out == "", "SIGTERM ends it well", f"{status} {out!r} {err!r}")
        t.check("an HTTP request (GET)" in err and "a TLS ClientHello" in err, "the log names the strangers", err)
    with Server(choir, "serve", "--test-hooks", "tcp://localhost:0") as s:
        # A call that nobody ends would keep the server from closing.
        call = t.start(*echo(s.url, "slow:60000:x"), "--verbose")
        call.stderr.readline()  # connected
        time.sleep(0.3)
        start = time.monotonic()
        status, _, err = s.end(signal.SIGINT)
        took = time.monotonic() - start
        t.check(status == OK and err == "" and took < LIMIT / 2, "SIGINT in the middle of a call ends it well",
                f"{status} {err!r} {took}")
        out, err = call.communicate(timeout=LIMIT)
        t.check(call.returncode == NO_ANSWER and out == "" and "cancelled" in err, "and the caller is told",
                f"{out!r} {err!r}")
    with Server(choir, "serve", "[::1]:0") if has_ipv6() else contextlib.nullcontext() as s:
        if s:
            t.expect("IPv6", OK, "1\n", [], "call", s.url, "Testbed.echo_u64", "1")


def test_schemes(t, choir):
    """Addresses that are not TCP's, for serve, call and ping."""
    call = ["Testbed.echo_u64", "1"]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        with Server(choir, "serve", f"local://{path}?mode=0600") as s:
            t.check(s.url == f"unix://{path}" and os.stat(path).st_mode & 0o777 == 0o600, "serve on a unix socket", s.url)
            for url in (s.url, f"local://{path}"):
                t.expect(f"call over {url[:5]}", OK, "1\n", [], "call", url, *call)
            t.judge("ping over it", t.run("ping", "--count=1", s.url), OK)
            t.expect("a socket that is in use", FAILED, "", ["in use", "hint: "], "serve", s.url)
            status, _, err = s.end(signal.SIGTERM)
            t.check(status == OK and not os.listdir(folder), "it leaves nothing", f"{status} {err!r} {os.listdir(folder)}")
        t.expect("nobody is there", FAILED, "", [f"{path}: No such file", "hint: "], "call", f"unix://{path}", *call)
        with open(path, "w", encoding="ascii"):
            pass
        t.expect("a file is in the way", FAILED, "", ["stuck", "not a socket", "hint: "], "serve", f"unix://{path}")
        t.expect("a path that is too long", USAGE, "", ["bytes", "hint: "], "serve", f"unix://{path}{'x' * 200}")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        a, b = ours.fileno(), theirs.fileno()
        server = subprocess.Popen([choir, "serve", f"fd:{a}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  pass_fds=[a], text=True)
        done = subprocess.run([choir, "call", f"fd:{b}", *call], pass_fds=[b], capture_output=True, text=True,
                              timeout=LIMIT)
        t.judge("call over a descriptor", done, OK, "1\n")
    out, err = server.communicate(timeout=LIMIT)
    t.check(server.returncode == OK and out == f"listening on fd:{a}\n" and err == "",
            "the server of a descriptor ends with its session", f"{server.returncode} {out!r} {err!r}")
    server = subprocess.Popen([choir, "serve", "stdio:"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
    a, b = server.stdout.fileno(), server.stdin.fileno()
    done = subprocess.run([choir, "call", f"fd:{a},{b}", *call], pass_fds=[a, b], capture_output=True, text=True,
                          timeout=LIMIT)
    t.judge("call over standard input and output", done, OK, "1\n")
    server.stdin.close()
    out, err = server.stdout.read(), server.stderr.read()
    t.check(server.wait(LIMIT) == OK and out == b"" and err == b"listening on stdio:\n",
            "the server of stdio: keeps its own output apart", f"{server.returncode} {out!r} {err!r}")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_ping(t, choir, url):
    done = t.run("ping", "--count", "3", "--interval", "0.01", url)
    lines = done.stdout.splitlines()
    summary = PING_SUMMARY.match(lines[-1]) if lines else None
    good = done.returncode == OK and len(lines) == 4 and summary and summary.group(1, 2) == ("3", "3")
    t.check(good and all(line.startswith(f"pong from {url}: ") for line in lines[:3]), "ping",
            done.stdout + done.stderr)
    times = [float(n) for n in summary.group(3, 4, 5)] if summary else [1, 0, 0]
    t.check(times == sorted(times), "ping: min, median and max are in order", done.stdout)
    start = time.monotonic()
    t.judge("ping waits between pings, and not after the last", t.run("ping", "--count=2", "--interval=0.5", url), OK)
    t.check(time.monotonic() - start >= 0.5, "ping keeps the interval")
    process = t.start("ping", "--interval", "60", url)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    t.check(process.returncode == OK and out.startswith("1 sent, 1 answered; ") and err == "",
            "an interrupt ends ping with its summary", f"{process.returncode} {out!r} {err!r}")
    with Server(choir, "serve", "127.0.0.1:0") as s:
        process = t.start("ping", "--interval", "60", s.url)
        process.stdout.readline()
        s.process.kill()
        out, err = process.communicate(timeout=LIMIT)
        t.check(process.returncode == FAILED and "the link ended" in err and "1 sent" in out,
                "ping notices when the peer dies", f"{process.returncode} {out!r} {err!r}")


def main(choir, calculator):
    t = Test(choir)
    test_help(t)
    test_recorded_channels(t)
    with Server(choir, "serve", "--test-hooks", "tcp://127.0.0.1:0") as s:
        test_usage(t, s.url)
        test_inference(t, s.url)
        test_dynamic(t, calculator, s.url)
        test_calls(t, s.url)
        test_evolved(t, choir)
        test_no_answer(t, choir, calculator, s.url)
        test_ping(t, choir, s.url)
        status, _, err = s.end(signal.SIGTERM)
        t.check(status == OK and err == "", "the server of all this ends well and has said nothing",
                f"{status} {err!r}")
    test_schemes(t, choir)
    test_strange_peers(t)
    test_serve(t, choir)
    # A program that is named has to be there.
    if VOX_PEER:
        test_rust_peer(t, VOX_PEER)
    else:
        t.check(True, "calls of a Rust peer # SKIP CHOIR_VOX_PEER is not set")
    t.end()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
