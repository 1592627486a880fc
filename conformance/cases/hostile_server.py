#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hostile input over real sockets, against a running `choir serve`, and hostile servers against `choir call`.

usage: hostile_server.py --choir PROGRAM [--only NAME] [--seed N]

Prints TAP with the measured figures; names start with the number of the reliability case. Every server has an honest caller
beside its attackers from start to end, whose calls must all succeed, and must be left as it was: alive, no descriptor
more, memory bounded, exit status 0 when terminated.

How long things take is printed and not judged, because it says how fast the machine is. Judged is what ended a
link (its last words, or the log), that no deadline ended what must end at once, that no deadline came early, and
that something moves: a wait fails when nothing at all has come, or was taken, for PATIENCE.

What takes long has a server of its own and runs at once; the rest runs one after the other, so that CPU time and memory can
be told apart. Under AddressSanitizer memory is printed but not judged: it keeps what was freed.
"""
import argparse
import contextlib
import fcntl
import multiprocessing
import os
import random
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

import bad_servers
import wire
from wire import Closed, Late, Link, Message, Peer, call, cancel, connect, frame, frames, hello, ping, response, text

PATIENCE = wire.PATIENCE  # seconds
HANDSHAKE, FRAME, STALL = 10.0, 30.0, 30.0  # the server's deadlines
MAX_PAYLOAD, MAX_HANDSHAKE, MAX_PROLOGUE = 16 << 20, 1 << 20, 64
BURST, RATE = 1000, 100   # glitches at once, and per second; what starts handlers has the same budget
NUISANCES = 65536 + 10 * 10000  # late messages and refusals at once, and what comes in 10 s
RUNNING, QUEUED = 64, 1024  # requests
KIB = 1 << 10
MOST_TAKEN = 64 << 20     # bytes of a peer that never reads: far more than the server and two kernels buffer
# What the log says of a link that a deadline has ended.
DEADLINES = ("was not finished in time", "took too long to arrive", "took nothing off our output")
SESSION_MEMORY = 9011     # KiB: 8 MiB and a tenth


class Failed(Exception):
    pass


def check(good, what):
    if not good:
        raise Failed(what)


# ---- the servers and their honest callers ----


def honest(port, control):
    """Calls echo until it is told to stop. Reports when each call began and how long it took, and what failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    samples, failures, peer = [], [], None
    while not control.poll(0.002):
        began = time.monotonic()
        try:
            if peer is None:
                peer = Peer(port)
            peer.echo(f"honest {len(samples)}")
            samples.append((began, time.monotonic() - began))
        except (OSError, ValueError, Closed, Late) as e:
            failures.append((began, f"{type(e).__name__}: {e}"))
            peer = None
    control.send((samples, failures))


class Server:
    """One `choir serve` process, what it logs and uses, and its honest caller."""

    def __init__(self, choir, name):
        self.name = name
        with open(choir, "rb") as file:
            self.sanitized = b"__asan_" in file.read()
        self.log_file = tempfile.TemporaryFile()
        self.process = subprocess.Popen([choir, "serve", "tcp://127.0.0.1:0", "--test-hooks", "--log"],
                                        stdout=subprocess.PIPE, stderr=self.log_file, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on tcp://127.0.0.1:"):
            raise RuntimeError(f"the server did not start: {line!r} {self.log()!r}")
        self.port = int(line.rsplit(":", 1)[1])
        self.fds_before = self.fds()
        with Peer(self.port) as peer:
            peer.echo("warm")
        self.memory_before = self.status("VmRSS")
        self.control, theirs = multiprocessing.Pipe()
        self.honest = multiprocessing.get_context("fork").Process(target=honest, args=(self.port, theirs), daemon=True)
        self.honest.start()
        self.settled_fds(lambda n: n > self.fds_before)

    def proc(self, name):
        return f"/proc/{self.process.pid}/{name}"

    def status(self, name):
        """KiB of memory; VmHWM is the highest VmRSS."""
        with open(self.proc("status"), encoding="ascii") as file:
            return int(re.search(rf"^{name}:\s+(\d+) kB", file.read(), re.M)[1])

    def cpu(self):
        """Seconds of CPU time so far."""
        with open(self.proc("stat"), encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fds(self):
        return len(os.listdir(self.proc("fd")))

    def settled_fds(self, good):
        """Descriptors, once there are as many as there should be, or after a while."""
        end = time.monotonic() + PATIENCE
        time.sleep(0.02)
        while not good(self.fds()) and time.monotonic() < end:
            time.sleep(0.02)
        return self.fds()

    def log(self, start=0):
        return os.pread(self.log_file.fileno(), 1 << 24, start).decode(errors="replace")

    def log_size(self):
        return os.fstat(self.log_file.fileno()).st_size

    def wait_log(self, words, start):
        end = time.monotonic() + PATIENCE
        while words not in (seen := self.log(start)):
            check(time.monotonic() < end, f"the log does not say {words!r} but {seen[-300:]!r}")
            time.sleep(0.01)

    @contextlib.contextmanager
    def uses_at_most(self, memory):
        """Yields figures that are filled at the end: how much memory was used at most, in KiB, and seconds of CPU time."""
        figures = {}
        with contextlib.suppress(OSError), open(self.proc("clear_refs"), "w", encoding="ascii") as file:
            file.write("5")  # VmHWM starts again from here
        before, cpu = self.status("VmRSS"), self.cpu()
        yield figures
        figures["memory"], figures["cpu"] = max(self.status("VmHWM") - before, 0), self.cpu() - cpu
        if not self.sanitized:
            check(figures["memory"] <= memory, f"memory grew by {figures['memory']} KiB, over {memory} KiB")

    def stop_honest(self):
        """(samples, failures) of the honest caller."""
        self.control.send("stop")
        check(self.control.poll(2 * PATIENCE), "the honest caller hangs")
        result = self.control.recv()
        self.honest.join()
        return result

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return "none: it does not end"

    def kill(self):
        self.honest.kill()
        self.process.kill()
        self.process.wait()


# ---- cases ----

CASES = []  # (name, server, function)


def case(name, server="main"):
    """Cases of the server "main" run one after the other, those of others at once."""
    def add(function):
        CASES.append((name, server, function))
        return function
    return add


def ms(seconds):
    return f"{seconds * 1000:.1f} ms"


def at_hello(port):
    link = connect(port)
    link.send(wire.PROLOGUE)
    check(link.receive() == wire.ACCEPTED, "the prologue was not accepted")
    return link


def at_lets_go(port):
    link = at_hello(port)
    link.send(hello())
    check(b"HelloYourself" in link.receive(), "no HelloYourself")
    return link


# How far a link has come, with the largest frame it may send then.
STAGES = (("first", connect, MAX_PROLOGUE), ("after the prologue", at_hello, MAX_HANDSHAKE),
          ("after Hello", at_lets_go, MAX_HANDSHAKE), ("in a session", Peer, MAX_PAYLOAD))


def is_last_word(payloads, words):
    """The last payload is a ProtocolError that says so."""
    if not payloads:
        return False
    m = Message(payloads[-1])
    return m.kind == 0 and words in m.text


def wait_end(link, words=None):
    """Seconds until the other end closes; in a session its last words are a ProtocolError."""
    took = link.wait_end()
    payloads = link.take_all()
    if words:
        check(is_last_word(payloads, words), f"no ProtocolError with {words!r} but {payloads[-1:]}")
    else:
        check(not payloads, f"answered {payloads[:3]}")
    return took


@case("A1 a length of 4 GiB and nothing else")
def length_only(s):
    took = []
    with s.uses_at_most(256) as used:  # KiB; mostly code that runs for the first time
        for stage, start, _ in STAGES:
            with start(s.port) as link:
                link.send_bytes(b"\xff\xff\xff")
                time.sleep(0.02)
                link.send_bytes(b"\xff")
                words = "a frame of 4294967295 bytes" if stage == "in a session" else None
                took.append(wait_end(link, words))
    return f"closed after {', '.join(map(ms, took))}; memory +{used['memory']} KiB"


@case("A2 one byte over the limit, sent in full")
def over_limit(s):
    figures = []
    for stage, start, limit in STAGES:
        with s.uses_at_most(KIB) as used, start(s.port) as link:
            sent = link.flood(frame(bytes(limit + 1)))
            took = time.monotonic() - link.sent_at
            if stage == "in a session":
                check(is_last_word(link.take_all(), "the limit is"), "no ProtocolError")
        figures.append(f"{stage} {ms(took)}, {sent} of {limit + 5} bytes taken, memory +{used['memory']} KiB")
    return "; ".join(figures)


def dribble(link, data, limit):
    """Sends a byte a second until the other end closes: seconds that took."""
    began = time.monotonic()
    for at in range(len(data)):
        check(time.monotonic() - began <= limit + PATIENCE, f"not closed {PATIENCE:.0f} s after {limit:.0f} s")
        link.send_bytes(data[at:at + 1])
        with contextlib.suppress(Late):
            link.wait_end(1.0)
            return time.monotonic() - began
    raise Failed("all was sent")


@case("A3 a frame that arrives a byte a second", server="slow")
def slow_frame(s):
    with Peer(s.port) as peer:
        took = dribble(peer, struct.pack("<I", MAX_PAYLOAD) + bytes(100), FRAME)
        check(is_last_word(peer.take_all(), "a frame took too long"), "no ProtocolError")
    check(took > FRAME - 1, f"closed already after {took:.1f} s")
    return f"closed after {took:.1f} s"


@case("A3 a handshake that arrives a byte a second", server="slow")
def slow_handshake(s):
    with at_hello(s.port) as link:
        took = dribble(link, frame(hello()), HANDSHAKE)
    check(took > HANDSHAKE - 1, f"closed already after {took:.1f} s")
    return f"closed after {took:.1f} s"


@case("A3 an honest frame that arrives in pieces over 5 s", server="slow")
def slow_but_honest(s):
    with Peer(s.port) as peer:
        request, payload = peer.request("echo", text("in pieces"))
        data = frame(payload)
        for at in range(20):
            peer.send_bytes(data[at * len(data) // 20:(at + 1) * len(data) // 20])
            time.sleep(0.25)
        check(peer.answer(request) == wire.OK + text("in pieces"), "a wrong answer")
    return "answered"


@case("A4 10,000 links that send nothing", server="silent")
def silent_links(s):
    count = 10000
    check(resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= count + 200, f"needs {count + 200} descriptors: see ulimit -n")
    began, gone = time.monotonic(), []
    before, first, honest_took = s.status("VmRSS"), s.fds(), []
    poll = select.epoll()
    socks = {}
    held = held_memory = 0
    try:
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", s.port), timeout=10)
            socks[sock.fileno()] = sock
            poll.register(sock.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
        opened = time.monotonic()
        while socks:
            check(time.monotonic() - opened <= HANDSHAKE + PATIENCE, f"{len(socks)} are not closed")
            for fd, _ in poll.poll(0.2):
                gone.append(time.monotonic() - opened)
                poll.unregister(fd)
                socks.pop(fd).close()
            if time.monotonic() - opened > 2 * len(honest_took):
                held = max(held, s.fds() - first)
                held_memory = max(held_memory, s.status("VmRSS") - before)
                start = time.monotonic()
                with Peer(s.port) as peer:
                    peer.echo("in between")
                honest_took.append(time.monotonic() - start)
    finally:
        poll.close()
        for sock in socks.values():
            sock.close()
    early = sum(1 for t in gone if t < HANDSHAKE - 1)
    each = held_memory * KIB / max(held, 1)
    if not s.sanitized:
        check(each <= 4096, f"each takes {each:.0f} bytes")
    return (f"{count} opened in {opened - began:.1f} s; {early} made room at once, the others gone after {max(gone):.1f} s; "
            f"{held} held at most, {each:.0f} bytes each; honest connect and call within {ms(max(honest_took))}")


def mode(n, version=9, reserved=b"\0\0"):
    return frame(b"VOTH" + bytes([version, n]) + reserved)


# What comes first, how it is answered, and what the log says of it.
FIRST_BYTES = (
    ("wrong magic", frame(b"VOXX\x09\0\0\0"), b"", "expected a vox prologue, got the bytes \"VOXX"),
    ("version 8", mode(0, version=8), wire.REJECTED, "prologue version 8 instead of 9"),
    ("mode 1", mode(1), wire.REJECTED, "conduit mode stable is not supported"),
    ("mode 2", mode(2), wire.REJECTED, "conduit mode 2 is not supported"),
    ("mode 17", mode(17), wire.REJECTED, "conduit mode stable msgpack is not supported"),
    ("mode 255", mode(255), wire.REJECTED, "conduit mode 255 is not supported"),
    ("short prologue", frame(wire.PROLOGUE[:7]), b"", "(7 bytes instead of 8)"),
    ("long prologue", frame(wire.PROLOGUE + b"\0"), b"", "(9 bytes instead of 8)"),
    ("empty prologue", frame(b""), b"", "(0 bytes instead of 8)"),
    ("an answer", frame(wire.ACCEPTED), b"", "got a vox TransportAccept"),
    ("HTTP GET", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"", "an HTTP request (GET)"),
    ("HTTP POST", b"POST /rpc HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"", "an HTTP request (POST)"),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b"", "an HTTP/2 preface"),
    ("TLS", bytes.fromhex("16030100c8010000c40303") + bytes(193), b"", "a TLS ClientHello"),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", b"", "an SSH banner"),
    ("zero bytes", bytes(64), b"", "(0 bytes instead of 8)"),
)


def first_bytes(sent, answer, words):
    def run(s):
        start = s.log_size()
        with connect(s.port) as link:
            link.send_bytes(sent)
            took = link.wait_end()
            check(link.input == (frame(answer) if answer else b""), f"answered {bytes(link.input)!r}")
        s.wait_log(words, start)
        return f"closed after {ms(took)}, the log says: {words}"
    return run


for sub, sent, answer, words in FIRST_BYTES:
    case(f"A5 {sub}")(first_bytes(sent, answer, words))


@case("A5 reserved bits are not looked at, as with vox peers")
def reserved_bits(s):
    with connect(s.port) as link:
        link.send_bytes(mode(0, reserved=b"\xff\xff"))
        check(link.receive() == wire.ACCEPTED, "not accepted")
    return "accepted"


def structs(*targets, last="S"):
    """A list of structs with one field each; number i refers to targets[i], the last one is called `last`."""
    def one(i, target):
        ref = {"tag": "concrete", "type_id": target, "args": []}
        field = {"name": "connection_id", "type_ref": ref, "required": True}
        name = last if i == len(targets) - 1 else "S"
        return {"id": i, "type_params": [], "kind": {"tag": "struct", "name": name, "fields": [field]}}
    return [one(i, target) for i, target in enumerate(targets)]


def bombs():
    many, most = 7000, 4000
    yield "more types than allowed", hello(message_payload_schema=structs(*range(many)))
    yield "a cycle", hello(message_payload_schema=structs(1, 0, 0, last="Message"))
    yield "a Message of itself", hello(message_payload_schema=structs(0, last="Message"))
    chain = structs(0, *range(most), last="Message")
    yield "references 4,000 deep", hello(message_payload_schema=chain)
    yield "references 4,000 deep, forwards", hello(message_payload_schema=structs(*range(1, most), 0, 0, last="Message"))
    yield "the same id 4,000 times", hello(message_payload_schema=[chain[0]] * most)
    yield "deep CBOR", hello(message_payload_schema=wire.Raw(b"\x81" * 8000 + b"\x80"))
    yield "deep CBOR under an unknown key", hello(extra=wire.Raw(b"\x81" * (MAX_HANDSHAKE - 300) + b"\x80"))
    yield "a count of 4 G", hello(message_payload_schema=wire.Raw(b"\x9a\xff\xff\xff\xff"))
    yield "metadata of 2^60 entries", hello(metadata=wire.Raw(b"\x9b\x10" + bytes(7)))
    yield "a megabyte of metadata", hello(metadata=[{"key": "k", "value": {"String": "v" * 1000000}, "flags": 0}])
    entry = {"key": "k", "value": {"U64": 1}, "flags": 0}
    yield "20,000 metadata entries", hello(metadata=[entry] * 20000)
    yield "indefinite length", hello(metadata=wire.Raw(b"\x9f\xff"))


@case("A6 a Hello of 16 MiB")
def huge_hello(s):
    with s.uses_at_most(2 * KIB) as used, at_hello(s.port) as link:
        sent = link.flood(frame(bytes(16 << 20)))
        took = time.monotonic() - link.sent_at
        check(not link.take_all(), "answered")
    return f"closed after {ms(took)}, {sent >> 10} KiB taken and thrown away, memory +{used['memory']} KiB"


@case("A6 a Hello of other bombs")
def hello_bombs(s):
    figures = []
    for name, payload in bombs():
        check(len(payload) <= MAX_HANDSHAKE, f"{name} would be refused for its size")
        start = s.log_size()
        with s.uses_at_most(4 * KIB) as used, at_hello(s.port) as link:
            link.send(payload)
            try:
                took = wait_end(link)
            except (Failed, Late) as e:
                raise Failed(f"{name}: {e}") from None
            s.wait_log("the handshake failed", start)
        check(used["cpu"] <= (1.0 if s.sanitized else 0.1), f"{name} needed {used['cpu']:.2f} s of CPU time")
        figures.append(f"{name} {len(payload) >> 10} KiB {ms(took)} +{used['memory']} KiB")
    return "; ".join(figures)


WITHOUT_MSGPACK = bool(os.environ.get("CHOIR_WITHOUT_MSGPACK"))  # the program was built so
MSGPACK_HELLO = (b"\x81\xa5Hello\x82\xa6parity\xa3Odd\xb3connection_settings"
                 b"\x82\xa6parity\xa3Odd\xb7max_concurrent_requests\x40")
# Length and count bombs, and what is deep.
MSGPACK_BOMBS = (b"\xdd\xff\0\0\0", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\0",
                 b"\x91" * 100000, b"\x81\xa1a" * 100000 + b"\xc0", b"\x93" * 33 + b"\xc0" * 67, b"\xc1")


def msgpack_call(request, method, args):
    """A call as the documentation of msgpack mode spells it."""
    return (b"\x82\xadconnection_id\0\xa7payload\x81\xaeRequestMessage\x82\xa2id\xce" + request.to_bytes(4, "big") +
            b"\xa4body\x81\xa4Call\x82\xa9method_id\xcf" + method.to_bytes(8, "big") +
            b"\xa4args\xc6" + len(args).to_bytes(4, "big") + args)


def msgpack_link(port, stage):
    """A link in msgpack mode: 0 behind the prologue, 1 behind the handshake."""
    link = connect(port)
    link.send(wire.PROLOGUE[:5] + b"\x10\0\0")
    check(link.receive() == wire.ACCEPTED[:5] + b"\x10\0\0", "mode 16 was not accepted")
    if stage:
        link.send(MSGPACK_HELLO)
        check(b"HelloYourself" in link.receive(), "no HelloYourself")
        link.send(b"\x81\xa6LetsGo\x80")
    return link


@case("A15 msgpack bombs in the handshake and as messages")
def msgpack_bombs(s):
    slowest = 0
    with s.uses_at_most(2 * KIB) as used:
        for stage in range(2):
            for bomb in MSGPACK_BOMBS:
                with msgpack_link(s.port, stage) as link:
                    link.send(bomb)
                    slowest = max(slowest, link.wait_end())
                    words = b"".join(link.take_all())
                    check(not words or (stage and b"ProtocolError" in words), f"{bomb[:8].hex()}: answered {words[:80]!r}")
                    check(not stage or words, f"{bomb[:8].hex()}: closed without a word")
    return f"{2 * len(MSGPACK_BOMBS)} closed, the slowest after {ms(slowest)}, memory +{used['memory']} KiB"


@case("A15 msgpack bombs as arguments end the call alone")
def msgpack_argument_bombs(s):
    echo = 0x880bc4eee23574be
    with s.uses_at_most(2 * KIB) as used, msgpack_link(s.port, 1) as link:
        for number, bomb in enumerate(MSGPACK_BOMBS):
            link.send(msgpack_call(2 * number + 1, echo, bomb))
            answer = link.receive()
            check(b"\xa3Err\x81\xaeInvalidPayload" in answer, f"{bomb[:8].hex()}: answered {answer[:120]!r}")
        link.send(msgpack_call(1001, echo, b"\x91\xa2hi"))
        check(link.receive().endswith(b"\x81\xa2Ok\xa2hi"), "an honest call afterwards is not answered")
    return f"{len(MSGPACK_BOMBS)} refused, the session lives, memory +{used['memory']} KiB"


@case("A7 handshake messages in a wrong order")
def wrong_order(s):
    sorry = wire.cbor({"Sorry": {"reason": "no"}})
    table = ((at_hello, wire.LETS_GO, "LetsGo instead of Hello"),
             (at_hello, wire.hello_yourself(), "HelloYourself instead of Hello"),
             (at_hello, wire.PROLOGUE, "must start with a CBOR map"),
             (at_hello, ping(1), "must start with a CBOR map"),
             (at_hello, b"", "empty handshake payload"),
             (at_hello, sorry, "the peer said Sorry"),
             (at_lets_go, hello(), "Hello instead of LetsGo"),
             (at_lets_go, ping(1), "must start with a CBOR map"),
             (at_lets_go, b"", "empty handshake payload"))
    took = []
    for start, payload, words in table:
        size = s.log_size()
        with start(s.port) as link:
            link.send(payload)
            took.append(wait_end(link))
        s.wait_log(words, size)
    with Peer(s.port) as peer:
        peer.send(hello())
        took.append(wait_end(peer, "cannot be decoded"))
    return f"{len(took)} orders, closed within {ms(max(took))}"


def random_bytes(rng):
    kind = rng.randrange(3)
    data = rng.randbytes(rng.choice((1, 3, 4, 8, 20, 100, 1000)))
    if kind == 0:
        return data
    if kind == 1:
        return b"".join(frame(rng.randbytes(rng.randrange(40))) for _ in range(5))
    valid = [wire.PROLOGUE, hello(), wire.LETS_GO, ping(7), cancel(1), wire.connection_open(1), wire.channel_item(1, b"x"),
             response(1, b"\0"), wire.protocol_error("oh"), call(1, wire.METHODS["divide"][0], b"\x02\x04",
                                                                wire.METHODS["divide"][1])]
    out = b""
    for payload in rng.sample(valid, 4):
        changed = bytearray(frame(payload))
        for _ in range(rng.randrange(3)):
            changed[rng.randrange(4, len(changed))] ^= 1 << rng.randrange(8)
        out += changed
    return out


@case("A8 random bytes after each stage of the handshake")
def random_input(s):
    rng, count, slowest = random.Random(s.seed), 4000, 0.0
    stages = [b"", frames(wire.PROLOGUE), frames(wire.PROLOGUE, hello()), frames(wire.PROLOGUE, hello(), wire.LETS_GO)]
    with s.uses_at_most(SESSION_MEMORY) as used:
        began = time.monotonic()
        for i in range(count):
            data = random_bytes(rng)
            with connect(s.port) as link:
                link.send_bytes(stages[i % 4] + data)
                with contextlib.suppress(OSError):
                    link.sock.shutdown(socket.SHUT_WR)
                try:
                    slowest = max(slowest, link.wait_end())
                except Late:
                    raise Failed(f"seed {s.seed}, number {i}: hangs after {data!r}") from None
        took = time.monotonic() - began
    return (f"seed {s.seed}: {count} links in {took:.1f} s, the slowest was closed after {ms(slowest)}; "
            f"memory +{used['memory']} KiB")


@case("A25 2,000 sessions one after the other", server="many sessions")
def churn(s):
    """On a server of its own: elsewhere what leaks could hide in memory that was used before and freed."""
    warm, count, before = 500, 2000, 0
    for i in range(warm + count):
        if i == warm:
            before = s.status("VmRSS")
        with Peer(s.port) as peer:
            peer.echo("once")
    grown = s.status("VmRSS") - before
    check(s.sanitized or grown <= count // 8, f"memory grew by {grown} KiB")
    return f"memory +{grown} KiB"


@case("A45 the link is left open after the end")
def left_open(s):
    figures = []
    for start, data in ((connect, b"GET / HTTP/1.1\r\n\r\n"), (at_hello, frame(b"\xff")), (Peer, frame(b"\xff"))):
        before = s.fds()
        with start(s.port) as link:
            link.send_bytes(data)
            link.wait_end()
            check(s.settled_fds(lambda n: n == before) == before, "the server does not close the socket")
            figures.append(time.monotonic() - link.sent_at)
    return f"descriptor closed after {', '.join(map(ms, figures))}"


@case("F11 no descriptors are left", server="few descriptors")
def no_descriptors(s):
    most = s.fds() + 20
    resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (most, most))
    cpu, count = s.cpu(), 60
    socks = [socket.create_connection(("127.0.0.1", s.port), timeout=10) for _ in range(count)]
    time.sleep(3)
    used = s.cpu() - cpu
    check(s.fds() >= most - 1, f"only {s.fds()} of {most} are used")
    s.wait_log("accepting has to pause", 0)
    for sock in socks:
        sock.close()
    began = time.monotonic()
    with Peer(s.port) as peer:
        peer.echo("afterwards")
    took = time.monotonic() - began
    pauses = s.log().count("accepting has to pause")
    check(pauses <= 10, f"logged {pauses} times")
    check(used <= 0.75, f"{used / 3 * 100:.0f} % CPU: it does not rest")
    return f"{used / 3 * 100:.0f} % CPU with honest calls beside it; connect and call {ms(took)} after there were some again"


# ---- in a session ----

ECHO, DIVIDE = wire.METHODS["echo"], wire.METHODS["divide"]


def slow_echo(request, milliseconds, schemas=b""):
    return call(request, ECHO[0], text(f"slow:{milliseconds}:x"), schemas)


# One of these ends the session: what is sent, and the words of the ProtocolError.
FATAL = (
    ("A10 a connection id of 11 bytes", [b"\x80" * 10 + b"\x01" + ping(1)], "cannot be decoded"),
    ("A11 arguments longer than their frame", [call(1, ECHO[0], bytes(40))[:-20]], "cannot be decoded"),
    ("A11 an empty payload", [b""], "cannot be decoded"),
    ("A12 metadata of 2^60 entries", [call(1, ECHO[0], b"", metadata=wire.varint(1 << 60))], "cannot be decoded"),
    ("A13 an unknown kind of message", [b"\0\x0a"], "cannot be decoded"),
    ("A13 an unknown body of a request", [b"\0\x05\x01\x03\0"], "cannot be decoded"),
    ("A7 a second LetsGo", [wire.LETS_GO], "cannot be decoded"),
    ("A26 a call with an id of the server's parity", [call(2, ECHO[0])], "not the caller's to use: 2"),
    ("A26 a call with id 0", [call(0, ECHO[0])], "not the caller's to use: 0"),
    ("A26 a connection with an id of the server's parity", [wire.connection_open(2)], "not the peer's to use: 2"),
    ("A26 a connection with id 0", [wire.connection_open(0)], "not the peer's to use: 0"),
    ("A27 the id of a running request again", [slow_echo(1, 2000, ECHO[1]), slow_echo(1, 2000)], "still open: 1"),
    ("A29 the root connection is closed", [wire.message(wire.CLOSE, b"\0")], "for the root connection"),
    ("A29 a message on a connection nobody opened", [call(1, ECHO[0], conn=4)], "never opened: 4"),
    ("A29 an item of a channel nobody opened", [wire.channel_item(2)], "never opened: 2"),
    ("A29 a cancel of a call nobody made", [cancel(2)], "not the caller's: 2"),
    ("A32 an answer to a call nobody made", [response(2, b"\0")], "2"),
    ("A38 schemas that are no CBOR", [call(1, ECHO[0], text("x"), b"\xff\xff")], "schemas"),
)


def one_is_fatal(payloads, words):
    def run(s):
        with Peer(s.port) as peer:
            peer.send(*payloads)
            took = wait_end(peer, words)
        return f"ProtocolError with \"{words}\", closed after {ms(took)}"
    return run


for name, payloads, words in FATAL:
    case(name)(one_is_fatal(payloads, words))


@case("A28 odd but legal ids")
def legal_ids(s):
    with Peer(s.port) as peer:
        peer.echo("first")
        for request in ((1 << 64) - 1, (1 << 63) + 1, 1, 1):
            peer.send(call(request, ECHO[0], text("x")))
            check(peer.answer(request) == wire.OK + text("x"), f"id {request} is not answered")
        peer.send(cancel(99), wire.channel_item(77), wire.message(wire.CLOSE, b"\0", conn=5), ping(5, conn=9))
        peer.echo("after late messages")
    return "answered; late messages are ignored"


LATE = "a flood of late messages or of requests over the limits"
ODD = "too many odd messages"


def end_of_flood(s, peer, data, words, limit, wanted=None):
    """Floods until the session ends with a ProtocolError. Answers must be about as many as the burst, except where nothing is
    answered; returns figures."""
    with s.uses_at_most(SESSION_MEMORY) as used:
        began = time.monotonic()
        sent = peer.flood(data)
        took = time.monotonic() - began
    payloads = peer.take_all()
    check(is_last_word(payloads, words), f"ended with {payloads[-1:]}")
    answers = len(payloads) - 1 if wanted is None else sum(1 for p in payloads if Message(p).ret == wanted)
    check(answers <= limit, f"{answers} answers, over {limit}")
    check(used["cpu"] <= 0.25 * max(took, 1) * (4 if s.sanitized else 1), f"{used['cpu']:.2f} s of CPU time in {took:.2f} s")
    return (f"{answers} answers, then ProtocolError and closed after {took:.2f} s; {sent >> 10} of {len(data) >> 10} KiB "
            f"taken; {used['cpu'] * 1000:.0f} ms CPU, memory +{used['memory']} KiB")


@case("A20 100,000 calls, each cancelled at once")
def rapid_cancel(s):
    with Peer(s.port) as peer:
        ids = range(1, 200001, 2)
        data = b"".join(frames(slow_echo(i, 5000, ECHO[1] if i == 1 else b""), cancel(i)) for i in ids)
        return end_of_flood(s, peer, data, LATE, NUISANCES, wire.CANCELLED)


@case("A21 100,000 calls of unknown methods")
def unknown_methods(s):
    with Peer(s.port) as peer:
        data = b"".join(frame(call(i, wire.NO_METHOD)) for i in range(1, 200001, 2))
        return end_of_flood(s, peer, data, LATE, NUISANCES, wire.UNKNOWN)


@case("A21 100,000 calls with arguments that cannot be decoded")
def invalid_arguments(s):
    with Peer(s.port) as peer:
        peer.echo("bound")
        data = b"".join(frame(call(i, ECHO[0], b"\x05ab")) for i in range(3, 200003, 2))
        return end_of_flood(s, peer, data, LATE, NUISANCES)


@case("A24 100,000 connections opened")
def open_connections(s):
    with Peer(s.port) as peer:
        data = b"".join(frame(wire.connection_open(i)) for i in range(1, 200001, 2))
        return end_of_flood(s, peer, data, "too many connections", BURST + RATE + 1)


@case("A34 1,000,000 items of an unknown channel")
def unknown_channel(s):
    with Peer(s.port) as peer:
        return end_of_flood(s, peer, frame(wire.channel_item(7, b"item")) * 1000000, ODD, 0)


@case("A29b 100,000 cancels of requests that are over")
def late_cancels(s):
    with Peer(s.port) as peer:
        return end_of_flood(s, peer, frame(cancel(5)) * 100000, LATE, 0)


@case("A22 a flood of pings for 3 s")
def ping_flood(s):
    data = frame(ping(1)) * 32768
    pongs = count = 0
    with Peer(s.port) as peer, s.uses_at_most(SESSION_MEMORY) as used:
        began = time.monotonic()
        while time.monotonic() - began < 3:
            check(peer.flood(data, lambda: True) == len(data), "closed")
            count += 32768
            pongs += len(peer.take_all())
        peer.send(ping(123456789))
        while Message(peer.receive()).id != 123456789:
            pongs += 1
        took = time.monotonic() - began
        peer.echo("still there")
    check(pongs <= count, "more pongs than pings")
    return (f"{count / took / 1e6:.2f} million pings/s, {pongs} pongs, the newest among them; "
            f"{used['cpu'] / took * 100:.0f} % CPU, memory +{used['memory']} KiB")


def small_window_peer(port):
    """A peer with a small receive buffer, so that the server's output soon has nowhere to go."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
    sock.connect(("127.0.0.1", port))
    link = Link(sock)
    link.send(wire.PROLOGUE, hello(), wire.LETS_GO)
    link.receive()
    link.receive()
    return link


def push(link, data, is_over):
    """Sends again and again without ever reading, until it is over: how many bytes were taken, and since when none
    any more. How long the other end goes on taking depends on the machine; that it stops does not."""
    link.sock.setblocking(False)
    moved = asked = time.monotonic()
    taken = 0
    poll = select.poll()
    poll.register(link.sock, select.POLLOUT)
    while True:
        now = time.monotonic()
        if now - asked > 0.05:
            if is_over():
                return taken, moved
            asked = now
        check(now - moved <= STALL + PATIENCE, f"not closed, nothing taken for {now - moved:.1f} s")
        check(taken <= MOST_TAKEN, f"{taken >> 20} MiB were taken and no end of it")
        if poll.poll(50):
            try:
                taken += link.sock.send(data)
                moved = now
            except BlockingIOError:
                pass
            except OSError:
                time.sleep(0.05)


def stall(s, link, data):
    """Pushes until the server has had enough: figures. It must take nothing more at some time, and close at the end
    of its patience. That is seen at the server: with all the buffers full, not even its reset may get through to us."""
    cpu, open_fds = s.cpu(), s.fds()
    taken, moved = push(link, data, lambda: s.fds() < open_fds)
    still = time.monotonic() - moved
    # With all buffers full, the two kernels can also come to a halt: then the server hears nothing, and ends for that.
    reason = next((w for w in ("took nothing off our output", "was silent for 15") if w in s.log()), None)
    check(reason, f"the log does not say why: {s.log()[-500:]!r}")
    # The kernel may still take some from us after the server has stopped reading.
    check(still >= STALL / 3, f"closed already {still:.1f} s after it took the last bytes")
    return (f"{taken >> 10} KiB taken, nothing more in the last {still:.1f} s, then closed because the peer {reason}; "
            f"{s.cpu() - cpu:.1f} s CPU")


def big_echo(i, size):
    """A call whose answer has `size` bytes and something."""
    method, schemas, _ = wire.METHODS["echo_bytes"]
    return frame(call(i, method, wire.varint(size) + bytes(size), schemas if i == 1 else b""))


def left_process(s, link):
    """Bytes that the server has handed to its kernel for this link and that we have not read."""
    mine, theirs = (f"{socket.htonl(0x7f000001):08X}:{port:04X}" for port in (link.sock.getsockname()[1], s.port))
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = (line.split() for line in file)
        queued = next(int(row[4].split(":")[0], 16) for row in rows if row[1:3] == [theirs, mine])
    arrived = fcntl.ioctl(link.sock, termios.FIONREAD, bytes(4))
    return queued + int.from_bytes(arrived, sys.byteorder)


def fill_kernel(s, link):
    """Calls until an answer does not fit into the kernel's buffers any more: how many. Pongs would take minutes to
    fill them, because most pings of a flood get none."""
    size = 256 << 10
    for count in range(1, 65):
        link.send_bytes(big_echo(2 * count - 1, size))
        left, moved = -1, time.monotonic()
        while left < count * size and time.monotonic() - moved < 3:
            if (now := left_process(s, link)) > left:
                left, moved = now, time.monotonic()
            time.sleep(0.01)
        if left < count * size:
            return count
    raise Failed("the kernel takes 16 MiB")


@case("A23 a flood of pings without reading", server="stalled pongs")
def unread_pongs(s):
    with s.uses_at_most(SESSION_MEMORY) as used, small_window_peer(s.port) as link:
        answers = fill_kernel(s, link)
        figures = stall(s, link, frame(ping(1)) * 4096)
    return f"{answers} answers filled the kernel's buffers; {figures}, memory +{used['memory']} KiB"


@case("A23 answers of 1 MiB that are not read, then pings", server="stalled answers")
def unread_answers(s):
    with s.uses_at_most(SESSION_MEMORY) as used, small_window_peer(s.port) as link:
        link.sock.settimeout(1)
        with contextlib.suppress(TimeoutError):
            for i in range(8):
                link.sock.sendall(big_echo(2 * i + 1, 1 << 20))
        figures = stall(s, link, frame(ping(1)) * 4096)
    return f"{i} requests sent, then {figures}, memory +{used['memory']} KiB"


def answers_until(peer, count):
    """{request: (result, when)} of that many answers."""
    got = {}
    while len(got) < count:
        m = Message(peer.receive())
        if m.kind == wire.PING:
            peer.send(wire.pong(m.id))
        elif m.kind == wire.REQUEST:
            check(m.id not in got, f"request {m.id} is answered twice")
            got[m.id] = (m.ret, time.monotonic())
    return got


@case("A30 more requests at once than may run and wait", server="busy")
def too_many_requests(s):
    beyond, slow = 900, 0.3
    count = RUNNING + QUEUED + beyond
    with Peer(s.port) as peer:
        ids = [2 * i + 1 for i in range(count)]
        began = time.monotonic()
        peer.send(*(slow_echo(i, int(slow * 1000), ECHO[1] if i == 1 else b"") for i in ids))
        got = answers_until(peer, count)
        refused = [i for i in ids if got[i][0] == wire.SEND_FAILED]
        ran = [i for i in ids if got[i][0] == wire.OK + text(f"slow:{int(slow * 1000)}:x")]
        check(len(refused) + len(ran) == count, "an answer of another kind")
        # On a machine so slow that some are answered before all have arrived, fewer are refused.
        check(0 < len(refused) <= beyond, f"{len(refused)} refused")
        took, rounds = max(when for _, when in got.values()) - began, -(-len(ran) // RUNNING)
        check(took >= slow * rounds * 0.95, f"{len(ran)} ran in {took:.2f} s: more than {RUNNING} at a time")
        early = max(got[i][1] for i in refused) - began
        peer.echo("afterwards")
    return f"{len(ran)} ran, {RUNNING} at a time, in {took:.2f} s; {len(refused)} refused within {ms(early)}"


@case("A30 a flood of requests beyond", server="busy")
def flood_of_requests(s):
    """Each is told at once, and whoever backs off then goes on."""
    with Peer(s.port) as peer:
        ids = range(1, 20001, 2)
        peer.send(*(slow_echo(i, 3000, ECHO[1] if i == 1 else b"") for i in ids))
        refused = len(ids) - RUNNING - QUEUED
        got = answers_until(peer, refused)
        told = sum(1 for ret, _ in got.values() if ret == wire.SEND_FAILED)
        check(told == refused, f"{told} of {refused} were refused")
        peer.send(ping(7))
        while Message(peer.receive()).kind != wire.PONG:
            pass
    return f"{told} refused, and the session goes on"


# ---- afterwards ----


def percentile(samples, part):
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0


def judge_honest(s, times):
    samples, failures = s.stop_honest()
    if failures:
        at = [name for name, (start, end) in times.items() if start <= failures[0][0] <= end]
        raise Failed(f"{len(failures)} failures, the first during {at}: {failures[0][1]}")
    check(samples, "no calls")
    took = [t for _, t in samples]
    worst = []
    for name, (start, end) in times.items():
        during = [t for began, t in samples if start <= began <= end]
        if len(during) >= 20:
            worst.append((percentile(during, 0.99), name.split()[0]))
    worst = ", ".join(f"{name} {ms(t)}" for t, name in sorted(worst, reverse=True)[:3])
    return (f"{len(samples)} calls, 0 failures; median {ms(percentile(took, 0.5))}, 99 % {ms(percentile(took, 0.99))}, "
            f"all {ms(max(took))}; 99 % during the worst: {worst}")


def judge_rest(s):
    check(s.process.poll() is None, f"ended by itself with status {s.process.returncode}: {s.log()[-500:]!r}")
    fds = s.settled_fds(lambda n: n <= s.fds_before)
    check(fds == s.fds_before, f"{fds} descriptors are open, {s.fds_before} were before")
    grown, began = s.status("VmRSS") - s.memory_before, time.monotonic()
    peak = s.status("VmHWM")
    if not s.sanitized:
        check(grown <= 2 * SESSION_MEMORY, f"memory has grown by {grown} KiB")
    status = s.terminate()
    check(status == 0, f"exit status {status}: {s.log()[-500:]!r}")
    return (f"{fds} descriptors as before, memory {s.memory_before} KiB then, +{grown} KiB now, {peak} KiB lately; "
            f"ended {ms(time.monotonic() - began)} after SIGTERM with status 0")


class Tap:
    def __init__(self, planned):
        self.lock, self.count, self.failed, self.planned = threading.Lock(), 0, 0, planned
        print(f"1..{planned}", flush=True)

    def run(self, name, function):
        """Runs one case and prints its result; (start, end)."""
        began = time.monotonic()
        try:
            good, words = True, function()
        except (Failed, Closed, Late, OSError, ValueError, subprocess.SubprocessError) as e:
            good, words = False, str(e) if isinstance(e, Failed) else f"{type(e).__name__}: {e}"
        except Exception as e:  # a case that is wrong itself must not look as if it had not run
            good, words = False, f"the case itself: {type(e).__name__}: {e}"
        with self.lock:
            self.count += 1
            self.failed += not good
            print(f"{'' if good else 'not '}ok {self.count} - {name}\n  # {words}", flush=True)
        return began, time.monotonic()


def run_server(tap, server, cases):
    """All cases of one server, then what is left of it."""
    times = {}

    def judged(function):
        start = server.log_size()
        figures = function(server)
        late = next((line for line in server.log(start).splitlines() if any(w in line for w in DEADLINES)), None)
        check(server.name != "main" or not late, f"a deadline ended it: {late}")
        return figures

    def one(name, function):
        times[name] = tap.run(name, lambda: judged(function))

    if server.name == "main":
        for name, function in cases:
            one(name, function)
    else:
        threads = [threading.Thread(target=one, args=c) for c in cases]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    tap.run(f"server \"{server.name}\": honest calls", lambda: judge_honest(server, times))
    tap.run(f"server \"{server.name}\": what is left", lambda: judge_rest(server))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choir", required=True, metavar="PROGRAM")
    parser.add_argument("--only", default="", metavar="NAME", help="only cases with this in their names")
    parser.add_argument("--seed", type=int, default=20260101, help="for the random bytes")
    a = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = [c for c in CASES if a.only in c[0] and not (WITHOUT_MSGPACK and "msgpack" in c[0])]
    clients = [c for c in bad_servers.CASES if a.only in c[0]]
    names = list(dict.fromkeys(server for _, server, _ in wanted))
    tap = Tap(len(wanted) + 2 * len(names) + len(clients))
    servers = []
    began = time.monotonic()
    try:
        for name in names:
            servers.append(Server(a.choir, name))
            servers[-1].seed = a.seed
        threads = [threading.Thread(target=run_server, args=(tap, s, [(n, f) for n, name, f in wanted if name == s.name]))
                   for s in servers]
        threads.append(threading.Thread(target=bad_servers.run_all, args=(tap, a.choir, clients)))
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        for s in servers:
            s.kill()
    missing = tap.planned - tap.count
    print(f"# {time.monotonic() - began:.1f} s\n{tap.count - tap.failed} passed, {tap.failed + missing} failed")
    return 1 if tap.failed or missing or not tap.count else 0


if __name__ == "__main__":
    sys.exit(main())
