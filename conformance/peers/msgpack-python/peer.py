#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A peer in Python that knows choir from docs/protocol/msgpack.md alone: the Testbed service, as client and server.

usage: peer.py serve                       prints where it listens, then answers until it is stopped
       peer.py call HOST:PORT METHOD JSON...   prints the result, or `error: ...` and exits with 1
"""
import json
import socket
import struct
import sys
import threading

import msgpack

METHODS = {
    "echo": 0x880bc4eee23574be, "reverse": 0x1c223f30e180392a, "divide": 0xfb68d9318f830875,
    "lookup": 0xa15ff52094712a3b, "echo_gnarly": 0xb6facae6a7a86e99, "echo_bytes": 0x44056c7842fa336c,
    "echo_bool": 0x5136d8f01a5f496c, "echo_u64": 0x85e2380dbf7ffe65, "echo_option_string": 0xb1a5bfd205b3fbfc,
}
NAMES = {number: name for name, number in METHODS.items()}
PROLOGUE, ACCEPT, REJECT = b"VOTH\x09\x10\x00\x00", b"VOTA\x09\x10\x00\x00", b"VOTR\x09\x01\x00\x00"


def unpack(payload):
    return msgpack.unpackb(payload, strict_map_key=False)


class Link:
    """Payloads with their length in front, and msgpack in them."""

    def __init__(self, connection):
        self.stream = connection.makefile("rwb")

    def send(self, payload):
        self.stream.write(struct.pack("<I", len(payload)) + payload)
        self.stream.flush()

    def receive(self):
        head = self.stream.read(4)
        if len(head) < 4:
            raise EOFError
        return self.stream.read(*struct.unpack("<I", head))

    def put(self, value):
        self.send(msgpack.packb(value))

    def get(self):
        return unpack(self.receive())

    def send_message(self, variant, members):
        self.put({"connection_id": 0, "payload": {variant: members}})

    def receive_message(self):
        """The next message as (variant, members); Pings are answered on the way."""
        while True:
            (variant, members), = self.get()["payload"].items()
            if variant == "ProtocolError":
                raise EOFError(members["description"])
            if variant != "Ping":
                return variant, members
            self.send_message("Pong", members)


def settings(parity):
    return {"parity": parity, "max_concurrent_requests": 64}


# ---- client ----

def connect(host, port):
    link = Link(socket.create_connection((host, port), timeout=20))
    link.send(PROLOGUE)
    link.put({"Hello": {"parity": "Odd", "connection_settings": settings("Odd")}})
    if link.receive() != ACCEPT:
        raise EOFError("the peer does not speak msgpack")
    if "HelloYourself" not in link.get():
        raise EOFError("the peer refused the session")
    link.put({"LetsGo": {}})
    return link


def call(link, request, method, arguments):
    """The Result of a call: {"Ok": value} or {"Err": error}."""
    args = msgpack.packb(arguments if arguments else None)
    link.send_message("RequestMessage", {"id": request, "body": {"Call": {"method_id": METHODS[method], "args": args}}})
    while True:
        variant, members = link.receive_message()
        if variant == "RequestMessage" and members["id"] == request:
            return unpack(members["body"]["Response"]["ret"])


# ---- server ----

PEOPLE = {1: ("Alice", 30, "alice@example.com"), 2: ("Bob", 25, None), 3: ("Charlie", 35, "charlie@example.com")}


def user(error):
    return {"Err": {"User": error}}


def divide(dividend, divisor):
    if divisor == 0:
        return user("DivisionByZero")
    quotient = abs(dividend) // abs(divisor) * (1 if (dividend < 0) == (divisor < 0) else -1)
    return {"Ok": quotient} if quotient < 1 << 63 else user("Overflow")


def lookup(number):
    if number not in PEOPLE:
        return user("AccessDenied" if 100 <= number < 200 else "NotFound")
    return {"Ok": dict(zip(("name", "age", "email"), PEOPLE[number]))}


HANDLERS = {"divide": divide, "lookup": lookup, "reverse": lambda text: {"Ok": text[::-1]}}


def answer(number, args):
    name = NAMES.get(number)
    if name is None:
        return {"Err": "UnknownMethod"}
    try:
        return HANDLERS.get(name, lambda value: {"Ok": value})(*unpack(args))
    except (ValueError, TypeError) as error:
        return {"Err": {"InvalidPayload": str(error)}}


def serve(connection):
    link = Link(connection)
    if link.receive() != PROLOGUE:
        link.send(REJECT)
        return
    link.send(ACCEPT)
    theirs = link.get()["Hello"]["parity"]
    link.put({"HelloYourself": {"connection_settings": settings("Even" if theirs == "Odd" else "Odd")}})
    if "LetsGo" not in link.get():
        return
    while True:
        variant, members = link.receive_message()
        (kind, body), = members["body"].items() if variant == "RequestMessage" else (("", {}),)
        if kind == "Call":
            ret = msgpack.packb(answer(body["method_id"], body["args"]))
            link.send_message("RequestMessage", {"id": members["id"], "body": {"Response": {"ret": ret}}})


def serve_one(connection):
    with connection:
        try:
            serve(connection)
        except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
            print(f"session ended: {error!r}", file=sys.stderr)


def main(command, *operands):
    if command == "serve":
        listener = socket.create_server(("127.0.0.1", 0))
        print(f"listening on tcp://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True).start()
    host, port = operands[0].rsplit(":", 1)
    result = call(connect(host, int(port)), 1, operands[1], [json.loads(text) for text in operands[2:]])
    failed = "Err" in result
    print("error: " * failed + json.dumps(result["Err" if failed else "Ok"], default=list))
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
