# SPDX-License-Identifier: MIT
"""Servers that do not behave, and what `choir call` makes of them: exit status, the words on standard error, the time.

Each case is a function that is given the accepted link and acts as the server; when it returns, the link is closed.
A deadline must not come early, nor be a later one; how long the rest takes is the machine's affair.
Statuses: 0 answered, 3 no connection or a session that failed, 4 a call without an answer of the method.
"""
import concurrent.futures
import contextlib
import re
import socket
import subprocess
import threading
import time

import wire
from wire import OK, PATIENCE, Closed, Late, Link, Message, frame, text

CASES = []  # (name, (server, status, words, seconds from and to, options of choir call, result))
DEFAULT_CONNECT = 10.0  # seconds that the command gives a connection when it is not told
SHORT = ("--timeout", "3")
IN_SHORT = (3, DEFAULT_CONNECT)


def case(name, status, words, took=(0, 2 * PATIENCE), options=("--timeout", "20"), result=None):
    """`words`: regular expression that standard error must match."""
    def add(server):
        CASES.append((f"client: {name}", (server, status, words, took, options, result)))
        return server
    return add


# ---- an honest server, as far as it goes ----


def take_hello(link):
    """Prologue and Hello, the first of which is answered."""
    if link.receive() != wire.PROLOGUE:
        raise ValueError("no prologue")
    link.send(wire.ACCEPTED)
    link.receive()


def establish(link):
    take_hello(link)
    link.send(wire.hello_yourself())
    if link.receive() != wire.LETS_GO:
        raise ValueError("no LetsGo")


def take_call(link):
    """Goes on until a call comes; its id."""
    establish(link)
    while True:
        m = Message(link.receive())
        if m.kind == wire.REQUEST and m.body == wire.CALL:
            return m.id


def answer(link, ret, request=None):
    mine = take_call(link)
    link.send(wire.response(mine if request is None else request, ret, wire.METHODS["echo"][2]))


def wait_end(link, seconds=2 * PATIENCE):
    with contextlib.suppress(Late):
        link.wait_end(seconds)


GOOD = OK + text("hi")


@case("an honest server", 0, "^$", result='"hi"\n')
def honest(link):
    answer(link, GOOD)
    wait_end(link)


@case("an honest server that pings, and sends its frames in pieces", 0, "^$", result='"hi"\n')
def pieces(link):
    request = take_call(link)
    link.send(wire.ping(5))
    if Message(link.receive()).kind != wire.PONG:
        raise ValueError("no pong")
    data = frame(wire.response(request, GOOD, wire.METHODS["echo"][2]))
    for at in range(0, len(data), 50):
        link.send_bytes(data[at:at + 50])
        time.sleep(0.1)
    wait_end(link)


# ---- before the session ----


@case("mute after the connection is accepted", 3, "the handshake was not finished in time.*\nhint: ", IN_SHORT, SHORT)
def mute(link):
    wait_end(link)


@case("mute, with the default timeout of a connection", 3, "the handshake was not finished in time", (DEFAULT_CONNECT, 2 * PATIENCE))
def mute_for_long(link):
    wait_end(link)


@case("mute after the prologue", 3, "the handshake was not finished in time", IN_SHORT, SHORT)
def mute_after_prologue(link):
    link.receive()
    link.send(wire.ACCEPTED)
    wait_end(link)


@case("closes at once", 3, "the link ended: .*(the peer closed the link|reset by peer)")
def close_at_once(link):
    del link


@case("resets the connection", 3, "the link ended: .*[Rr]eset")
def reset(link):
    link.receive()
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@case("closes after Hello", 3, "the link ended: the peer closed the link")
def close_after_hello(link):
    take_hello(link)


@case("garbage", 3, 'the bytes "\\\\x8f\\\\x00\\\\xff.*\nhint: something else than a vox peer')
def garbage(link):
    link.send_bytes(bytes.fromhex("8f00ff12") * 50)
    wait_end(link)


@case("an HTTP server", 3, r"an HTTP response.*\nhint: something else than a vox peer")
def http(link):
    link.send_bytes(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@case("an SSH server", 3, "an SSH banner")
def ssh(link):
    link.send_bytes(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    wait_end(link)


@case("a TLS server", 3, "a TLS record")
def tls(link):
    link.send_bytes(bytes.fromhex("15030100020246"))


@case("another vox client", 3, "a vox TransportHello")
def another_client(link):
    link.send(wire.PROLOGUE, wire.hello())
    wait_end(link)


@case("refuses the conduit mode", 3, "the peer refused conduit mode bare: unsupported")
def refuse_mode(link):
    link.receive()
    link.send(wire.REJECTED)


@case("selects another conduit mode", 3, "the peer selected conduit mode stable when asked for bare")
def other_mode(link):
    link.receive()
    link.send(b"VOTA\x09\1\0\0")
    wait_end(link)


@case("another version of the prologue", 3, "prologue version 10 instead of 9")
def other_version(link):
    link.receive()
    link.send(b"VOTA\x0a\0\0\0")
    wait_end(link)


@case("Sorry", 3, 'the peer said Sorry: "no room at the inn"')
def sorry(link):
    take_hello(link)
    link.send(wire.cbor({"Sorry": {"reason": "no room at the inn"}}))
    wait_end(link)


@case("vox 0.9, whose handshake is no CBOR map", 3, "this looks like vox 0.9 or later.*\nhint: only peers of vox 0.4")
def newer(link):
    take_hello(link)
    link.send(b"\x01\x00\x24" + bytes(36))
    wait_end(link)


@case("a handshake of another shape", 3, "the handshake failed: .*unknown handshake message")
def strange_handshake(link):
    take_hello(link)
    link.send(wire.cbor({"Hi": {}}))
    wait_end(link)


@case("the caller's own parity", 3, "our own parity")
def same_parity(link):
    take_hello(link)
    link.send(wire.hello_yourself().replace(b"\x64Even", b"\x63Odd"))
    wait_end(link)


@case("a HelloYourself of 16 MiB", 3, "a frame of 16777216 bytes, the limit is 1048576")
def huge_handshake(link):
    take_hello(link)
    link.flood(frame(bytes(16 << 20)))


# ---- in the session ----


@case("closes in the middle of a call", 3, "the link ended: the peer closed the link.*It may have run")
def close_in_call(link):
    take_call(link)


@case("answers another call", 3, "the peer broke the protocol: .*99")
def wrong_id(link):
    answer(link, GOOD, request=99)
    wait_end(link)


@case("ProtocolError after the call", 3, 'we broke the protocol: the peer says: "bad luck"')
def reports_error(link):
    take_call(link)
    link.send(wire.protocol_error("bad luck"))
    wait_end(link)


@case("a message that cannot be decoded", 3, "the peer broke the protocol: a message that cannot be decoded")
def undecodable(link):
    take_call(link)
    link.send(b"\xff" * 20)
    wait_end(link)


@case("a frame of 4 GiB in the middle of a call", 3, "a frame of 4294967295 bytes")
def huge_frame(link):
    take_call(link)
    link.send_bytes(b"\xff\xff\xff\xff")
    wait_end(link)


@case("mute in the middle of a call", 3, "the peer was silent for [0-9]+ ms and did not answer a ping")
def mute_in_call(link):
    take_call(link)
    wait_end(link)


@case("never answers, but is alive", 4, "timed out.*\nhint: .*--timeout", IN_SHORT, SHORT)
def alive_only(link):
    take_call(link)
    while True:
        m = Message(link.receive())
        if m.kind == wire.PING:
            link.send(wire.pong(m.id))


@case("floods the caller with pings", 4, "timed out", IN_SHORT, SHORT)
def floods(link):
    take_call(link)
    with contextlib.suppress(Late):
        link.flood(frame(wire.ping(1)) * 1000000)


@case("answers with a result of another type", 4, "invalid payload")
def wrong_type(link):
    answer(link, OK + b"\x05ab")
    wait_end(link)


@case("answers without the schemas of the result: they are taken to be ours", 0, "^$", result='"hi"\n')
def without_schemas(link):
    link.send(wire.response(take_call(link), GOOD))
    wait_end(link)


@case("answers with an unknown kind of result", 4, "invalid payload")
def unknown_result(link):
    answer(link, b"\1\x20")
    wait_end(link)


@case("unknown method", 4, "unknown method. It never ran. Check that it is the right peer")
def unknown_method(link):
    answer(link, wire.UNKNOWN)
    wait_end(link)


@case("send failed", 4, "never ran.*try again later")
def send_failed(link):
    answer(link, wire.SEND_FAILED)
    wait_end(link)


@case("calls back with a ConnectionOpen and a call of its own", 0, "^$", result='"hi"\n')
def calls_back(link):
    request = take_call(link)
    link.send(wire.connection_open(2), wire.call(2, wire.METHODS["echo"][0], text("x")))
    link.send(wire.response(request, GOOD, wire.METHODS["echo"][2]))
    wait_end(link)


@case("answers twice", 0, "^$", result='"hi"\n')
def answers_twice(link):
    request = take_call(link)
    data = wire.response(request, GOOD, wire.METHODS["echo"][2])
    link.send(data, wire.response(request, GOOD))
    wait_end(link)


# ---- running them ----


def serve(listener, server, problems):
    try:
        sock, _ = listener.accept()
        with Link(sock) as link:
            server(link)
    except (Closed, Late):
        pass  # the caller has gone
    except (OSError, ValueError, IndexError) as e:
        problems.append(f"{type(e).__name__}: {e}")


def run(choir, server, status, words, span, options, result):
    problems = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=serve, args=(listener, server, problems), daemon=True)
        thread.start()
        began = time.monotonic()
        port = listener.getsockname()[1]
        done = subprocess.run([choir, "call", *options, f"tcp://127.0.0.1:{port}", "Testbed.echo", '"hi"'],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=3 * PATIENCE)
        took = time.monotonic() - began
        thread.join(3 * PATIENCE)
    said = f"status {done.returncode} after {took:.2f} s: {(done.stdout + done.stderr).strip()!r}"
    if problems:
        raise ValueError(f"the server failed: {problems}; {said}")
    if done.returncode != status or not re.search(words, done.stderr, re.S) or done.stdout != (result or ""):
        raise ValueError(f"wanted status {status} and {words!r}, got {said}")
    if not span[0] <= took <= span[1]:
        raise ValueError(f"not after {span[0]} s and before {span[1]} s: {said}")
    return said


def nobody(choir):
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = subprocess.run([choir, "call", f"127.0.0.1:{port}", "Testbed.echo", '"hi"'], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=3 * PATIENCE)
    if done.returncode != 3 or "refused" not in done.stderr or "hint: check that a server listens there" not in done.stderr:
        raise ValueError(f"status {done.returncode}: {done.stderr!r}")
    return f"status 3: {done.stderr.strip()!r}"


CASES.append(("client: nobody listens", None))


def run_all(tap, choir, cases):
    """All at once is too much for a small machine; what takes long mostly waits."""
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for name, values in cases:
            pool.submit(tap.run, name, (lambda v=values: run(choir, *v)) if values else lambda: nobody(choir))
