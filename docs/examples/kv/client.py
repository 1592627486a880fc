#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The key-value service from Python, in choir's msgpack mode: a socket and the msgpack library.

usage: client.py HOST:PORT get KEY
       client.py HOST:PORT put KEY VALUE [VERSION]    VALUE -: from standard input
       client.py HOST:PORT delete KEY
       client.py HOST:PORT list [PREFIX]
       client.py HOST:PORT watch KEY [COUNT]

Ends with 1 if the server refused, with 2 if the call failed.
"""
import signal
import socket
import struct
import sys

import msgpack

METHODS = {  # choir schema show kv.rs
    "get": 0x8f7284d7c364901d, "put": 0x0bf46ebd25e7e038, "delete": 0xe962e6d773c47d08,
    "list": 0xdaefbffda6deed79, "wait_change": 0x5d5e019ff1cf0dc5,
}


class Refused(Exception):
    """The method's own error: the name of the variant, and its fields."""

    def __init__(self, error):
        (self.variant, self.fields), = error.items() if isinstance(error, dict) else [(error, {})]
        super().__init__({
            "NotFound": "not found",
            "TooLarge": "too large: {size} bytes, the server takes {limit}",
            "Conflict": "conflict: it has version {have}",
            "Full": "full: the server keeps {limit} keys",
        }[self.variant].format(**self.fields))


class Failed(Exception):
    """The call has no result and no error of its own."""


class Client:
    """One session, one call at a time. Raises OSError, Failed, Refused."""

    def __init__(self, host, port):
        self.link = socket.create_connection((host, port), timeout=10)
        self.stream = self.link.makefile("rb")
        self.request = -1
        settings = {"parity": "Odd", "max_concurrent_requests": 64}
        service = {"key": "vox-service", "value": {"String": "Kv"}}
        self.send(b"VOTH\x09\x10\x00\x00")
        self.send_value({"Hello": {"parity": "Odd", "connection_settings": settings, "metadata": [service]}})
        if self.receive()[:4] != b"VOTA":
            raise Failed("the peer does not speak msgpack")
        answer = msgpack.unpackb(self.receive())
        if "HelloYourself" not in answer:
            raise Failed(f"no session: {answer['Sorry']['reason']}")
        self.send_value({"LetsGo": {}})
        self.link.settimeout(None)  # a watch may take long, and the server pings meanwhile

    def send(self, payload):
        self.link.sendall(struct.pack("<I", len(payload)) + payload)

    def receive(self):
        head = self.stream.read(4)
        payload = self.stream.read(*struct.unpack("<I", head)) if len(head) == 4 else b""
        if not payload:
            raise Failed("the server has gone")
        return payload

    def send_value(self, value):
        self.send(msgpack.packb(value))

    def message(self, variant, members):
        self.send_value({"connection_id": 0, "payload": {variant: members}})

    def call(self, method, *arguments):
        self.request += 2  # odd, as Hello said
        args = msgpack.packb(arguments)
        body = {"Call": {"method_id": METHODS[method], "args": args}}
        self.message("RequestMessage", {"id": self.request, "body": body})
        while True:
            (variant, members), = msgpack.unpackb(self.receive())["payload"].items()
            if variant == "Ping":  # whoever does not answer for 15 s is given up
                self.message("Pong", members)
            elif variant == "ProtocolError":
                raise Failed(members["description"])
            elif variant == "RequestMessage" and members["id"] == self.request and "Response" in members["body"]:
                return self.result(msgpack.unpackb(members["body"]["Response"]["ret"]))

    @staticmethod
    def result(ret):
        if "Ok" in ret:
            return ret["Ok"]
        error = ret["Err"]
        if "User" in error:
            raise Refused(error["User"])
        raise Failed(": ".join(*error.items()) if isinstance(error, dict) else error)

    def cancel(self):
        """Tells the server that nobody waits for the last call any more."""
        self.message("RequestMessage", {"id": self.request, "body": {"Cancel": {}}})


def show(value):
    sys.stdout.buffer.write(value + b"\n")
    sys.stdout.flush()


def watch(client, key, left):
    since = 0
    try:
        while left != 0:
            try:
                entry = client.call("wait_change", key, since)
                since = entry["version"]
                print(f"version {since}: ", end="", flush=True)
                show(entry["value"])
            except Refused:
                since = 0
                print("deleted", flush=True)
            left -= 1
    except KeyboardInterrupt:
        client.cancel()
        print("cancelled")


def run(client, command, key="", *more):
    if command == "get":
        show(client.call("get", key)["value"])
    elif command == "put":
        value = sys.stdin.buffer.read() if more[0] == "-" else more[0].encode()
        expect = int(more[1]) if len(more) > 1 else None
        print("version", client.call("put", key, value, expect))
    elif command == "delete":
        client.call("delete", key)
    elif command == "list":
        for info in client.call("list", key):
            print(f"{info['key']}: version {info['version']}, {info['size']} bytes")
    else:
        watch(client, key, int(more[0]) if more else -1)


def main(arguments):
    needed = {"get": 3, "put": 4, "delete": 3, "list": 2, "watch": 3}
    if len(arguments) < 2 or len(arguments) < needed.get(arguments[1], 9):
        sys.exit(__doc__)
    address = arguments[0].removeprefix("tcp://")
    host, _, port = address.rpartition(":")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has turned it off
    try:
        client = Client(host, int(port))
    except (OSError, ValueError) as error:
        print(f"cannot connect to {address}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return 2
    try:
        run(client, *arguments[1:])
    except Refused as why:
        print(why, file=sys.stderr)
        return 1
    except (Failed, OSError) as why:
        print(f"{arguments[1]}: {why}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
