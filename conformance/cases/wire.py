# SPDX-License-Identifier: MIT
"""A vox 0.4 peer on plain sockets that does as it is told: the means of the cases in this folder, honest or not.

Functions make payloads, `Link` moves payloads over a socket, `Peer` is a link whose handshake is done. Nothing here is
checked before it is sent. Only what the cases need is decoded.
"""
import json
import os
import select
import socket
import struct
import time

# How long to wait for what must come: far longer than a busy machine needs.
PATIENCE = 30.0

PROLOGUE = b"VOTH\x09\0\0\0"
ACCEPTED = b"VOTA\x09\0\0\0"
REJECTED = b"VOTR\x09\1\0\0"

OPEN, ACCEPT, REJECT, CLOSE, REQUEST, SCHEMA, CHANNEL, PING, PONG = range(1, 10)  # kinds of messages; 0 is ProtocolError
CALL, RESPONSE, CANCEL = range(3)  # bodies of a request

# How a result starts.
OK, INVALID, CANCELLED, SEND_FAILED, UNKNOWN = b"\0", b"\1\2", b"\1\3", b"\1\6", b"\1\1"


def testbed():
    """{method name: (id, schemas of its arguments, schemas of its result)}; the schemas as sent the first time."""
    vectors = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "vectors", "schema")
    with open(os.path.join(vectors, "testbed-method-schemas.json"), encoding="utf-8") as file:
        methods = json.load(file)["methods"]
    return {m["name"]: (int(m["id"], 16), bytes.fromhex(m["args_first_payload_cbor_hex"]),
                        bytes.fromhex(m["response_first_payload_cbor_hex"])) for m in methods}


METHODS = testbed()
NO_METHOD = 0x0123456789abcdef

# ---- payloads ----


def frame(payload):
    return struct.pack("<I", len(payload)) + payload


def frames(*payloads):
    return b"".join(map(frame, payloads))


def cbor_head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    size = 1 if n < 1 << 8 else 2 if n < 1 << 16 else 4 if n < 1 << 32 else 8
    return bytes([major << 5 | 23 + size.bit_length()]) + n.to_bytes(size, "big")


class Raw(bytes):
    """CBOR that is there already."""


def cbor(value):
    if isinstance(value, Raw):
        return value
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        return cbor_head(0, value)
    if isinstance(value, bytes):
        return cbor_head(2, len(value)) + value
    if isinstance(value, str):
        return cbor_head(3, len(value.encode())) + value.encode()
    if isinstance(value, dict):
        return cbor_head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())
    return cbor_head(4, len(value)) + b"".join(map(cbor, value))


def hello(**changes):
    """The smallest useful Hello, with other or more members."""
    settings = {"parity": {"Odd": None}, "max_concurrent_requests": 64}
    entry = {"key": "vox-service", "value": {"String": "Testbed"}, "flags": 0}
    members = {"parity": {"Odd": None}, "connection_settings": settings, "message_payload_schema": [],
               "supports_retry": True, "resume_key": None, "metadata": [entry]}
    return cbor({"Hello": members | changes})


def hello_yourself():
    settings = {"parity": {"Even": None}, "max_concurrent_requests": 64}
    return cbor({"HelloYourself": {"connection_settings": settings, "message_payload_schema": [], "supports_retry": True,
                                   "resume_key": None, "metadata": []}})


LETS_GO = cbor({"LetsGo": {}})


def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def text(s):
    data = s if isinstance(s, bytes) else s.encode()
    return varint(len(data)) + data


def message(kind, body, conn=0):
    return varint(conn) + bytes([kind]) + body


def call(request, method, args=b"", schemas=b"", metadata=b"\0", conn=0):
    body = varint(request) + bytes([CALL]) + varint(method) + metadata + frame(args) + text(schemas)
    return message(REQUEST, body, conn)


def response(request, ret, schemas=b""):
    return message(REQUEST, varint(request) + bytes([RESPONSE]) + b"\0" + frame(ret) + text(schemas))


def cancel(request):
    return message(REQUEST, varint(request) + bytes([CANCEL]) + b"\0")


def ping(nonce, conn=0):
    return message(PING, varint(nonce), conn)


def pong(nonce):
    return message(PONG, varint(nonce))


def protocol_error(why):
    return message(0, text(why))


def channel_item(channel, item=b""):
    return message(CHANNEL, varint(channel) + b"\0" + frame(item))


def connection_open(conn):
    return message(OPEN, b"\0" + varint(64) + b"\0", conn)


class Message:
    """What a payload says: kind, and of it id (request or nonce), body, method, ret, text."""

    def __init__(self, payload):
        self.payload, self.at = payload, 0
        self.conn, self.kind = self.number(), self.number()
        self.id = self.body = self.method = self.ret = self.text = None
        if self.kind == 0:
            self.text = self.span().decode(errors="replace")
        elif self.kind in (PING, PONG):
            self.id = self.number()
        elif self.kind == REQUEST:
            self.id, self.body = self.number(), self.number()
            if self.body == CALL:
                self.method = self.number()
            elif self.body == RESPONSE:
                if self.number() != 0:
                    raise ValueError("an answer with metadata")
                length, = struct.unpack_from("<I", payload, self.at)
                self.ret = payload[self.at + 4:self.at + 4 + length]

    def number(self):
        n = shift = 0
        while True:
            byte = self.payload[self.at]
            self.at += 1
            n |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return n

    def span(self):
        length = self.number()
        self.at += length
        return self.payload[self.at - length:self.at]


# ---- links ----


class Closed(Exception):
    """The other end has closed; `left` is what it sent before and was not received."""

    def __init__(self, left=b""):
        super().__init__("closed by the other end")
        self.left = left


class Late(Exception):
    """Nothing came in time."""


class Link:
    """Payloads over a socket. Sending and receiving at once, in flood(), is what cannot block for ever."""

    def __init__(self, sock):
        self.sock, self.input, self.ended, self.sent_at = sock, bytearray(), False, 0.0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send_bytes(self, data):
        self.sent_at = time.monotonic()
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.sendall(data)
        except TimeoutError:
            raise Late("the other end takes nothing") from None
        except OSError:
            pass  # reading tells what there is to tell

    def send(self, *payloads):
        self.send_bytes(frames(*payloads))

    def read(self, timeout):
        """What comes next goes to input; False at the end of the stream."""
        self.sock.settimeout(max(timeout, 0.001))
        try:
            data = self.sock.recv(1 << 18)
        except TimeoutError:
            raise Late("nothing came in time") from None
        except OSError:
            data = b""
        self.input += data
        self.ended = not data
        return not self.ended

    def take(self):
        """The next payload of input, or None."""
        if len(self.input) < 4:
            return None
        end = 4 + struct.unpack_from("<I", self.input)[0]
        if len(self.input) < end:
            return None
        payload = bytes(self.input[4:end])
        del self.input[:end]
        return payload

    def take_all(self):
        return list(iter(self.take, None))

    def receive(self, timeout=PATIENCE):
        end = time.monotonic() + timeout
        while (payload := self.take()) is None:
            if not self.read(end - time.monotonic()):
                raise Closed(bytes(self.input))
        return payload

    def wait_end(self, timeout=PATIENCE):
        """Waits for the end of the stream, as long as something comes; it is in input. Seconds since the last bytes
        were sent."""
        while self.read(timeout):
            pass
        return time.monotonic() - self.sent_at

    def flood(self, data, until=None):
        """Sends and receives at once, until all is sent and until() is true (None: until the other end has closed), as
        long as something moves. Returns how many bytes could be sent."""
        self.sent_at = time.monotonic()
        data, at, end = memoryview(data), 0, self.sent_at + PATIENCE
        poll = select.poll()  # select() cannot name a descriptor over 1,023
        self.sock.setblocking(False)
        while not self.ended and not (at == len(data) and until and until()):
            left = end - time.monotonic()
            if left <= 0:
                raise Late(f"after {at} bytes sent: nothing moves and no end")
            poll.register(self.sock, select.POLLIN | (select.POLLOUT if at < len(data) else 0))
            can = dict(poll.poll(left * 1000)).get(self.sock.fileno(), 0)
            end = time.monotonic() + PATIENCE if can else end
            try:
                if can & ~select.POLLOUT:
                    self.read(0)
                    self.sock.setblocking(False)
                if can & select.POLLOUT and not self.ended:
                    at += self.sock.send(data[at:at + (1 << 18)])
            except BlockingIOError:
                pass
            except OSError:
                data, until = data[:at], None  # nothing more can be sent; what was said before can still be read
        return at


def connect(port):
    return Link(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))


class Peer(Link):
    """An initiator whose handshake is done."""

    def __init__(self, port):
        super().__init__(connect(port).sock)
        self.next_id, self.bound = 1, set()
        self.send(PROLOGUE, hello(), LETS_GO)
        if (got := self.receive()) != ACCEPTED:
            raise ValueError(f"a prologue was answered with {got!r}")
        if b"HelloYourself" not in (got := self.receive()):
            raise ValueError(f"Hello was answered with {got!r}")

    def new_id(self):
        self.next_id += 2
        return self.next_id - 2

    def request(self, name, args):
        """A call of Testbed, with the schemas when it is the first of its method: (request id, payload)."""
        method, schemas, _ = METHODS[name]
        new = name not in self.bound
        self.bound.add(name)
        request = self.new_id()
        return request, call(request, method, args, schemas if new else b"")

    def answer(self, request, timeout=PATIENCE):
        """The result of a request; other answers are passed over, pings are answered."""
        end = time.monotonic() + timeout
        while True:
            m = Message(self.receive(end - time.monotonic()))
            if m.kind == PING:
                self.send(pong(m.id))
            elif m.kind == 0:
                raise ValueError(f"ProtocolError: {m.text}")
            elif m.kind == REQUEST and m.body == RESPONSE and m.id == request:
                return m.ret

    def echo(self, words):
        request, payload = self.request("echo", text(words))
        self.send(payload)
        ret = self.answer(request)
        if ret != OK + text(words):
            raise ValueError(f"echo({words!r}) was answered with {ret!r}")
