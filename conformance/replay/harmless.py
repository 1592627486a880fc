# SPDX-License-Identifier: MIT
"""Which bytes of recorded payloads may change without anything to see, and why.

The replay changes bytes of what our side receives and wants to see an effect; these are the exceptions. The readers
here are apart from the library's, and know only the protocol: CBOR, and the Messages that the recordings have.
"""

import evolution
import values

OMITTABLE = "the name of a member that says nothing, and may be left out"
REQUIRED = "`required` of a field: it says nothing about the layout"
MESSAGE_ID = "the id that the handshake's schema list gives to Message: it is found as the last one"
SAME_VARIABLE = "a type variable, where another one stands for the same type"
PRIMITIVE_ARGS = "the arguments of a primitive type, which has none"
LOST_BINDING = "whether and for which answers there is a schema: without one our own layout counts"
UNKNOWN_ROOT = "the id of an answer's root: one that was never announced stands for our own layout"
NO_VALUE = "the schema of a method of whose answers none has a value"
REFUSED = "of a refused call: metadata, arguments and schemas, which decide nothing"
RESUME_KEY = "a resume key: we do not resume"
NO_CALL = "whether retry is supported, where no call is made"
PING_CONNECTION = "the connection of a Ping, or of a Pong that nobody waits for: it is the root"
PONG_NONCE = "the nonce of an answer to keepalive: any byte of the peer is a sign of life"
RESERVED = "reserved bytes of the prologue"
UNUSED_VARIANT = "the name of a variant that no value has"
DROPPED = "the name of a field that our layout lacks: by any other name it would be dropped as well"
DEFAULTED = "the name of a field that may be missing, and is as if it were"
UNUSED_ARGUMENT = "the id of a type argument that nothing refers to"
ARRAY_LENGTH = "the length of an array: Rust announces arrays of several lengths as one, so it does not count"
UNREADABLE = "a value that our layout does not have: it was not read"
BAD_PROLOGUE = "version and mode of a prologue that is refused for the other one"

REASONS = [OMITTABLE, REQUIRED, MESSAGE_ID, SAME_VARIABLE, PRIMITIVE_ARGS, LOST_BINDING, UNKNOWN_ROOT, NO_VALUE,
           REFUSED, RESUME_KEY, NO_CALL, PING_CONNECTION, PONG_NONCE, RESERVED, UNUSED_VARIANT, DROPPED,
           DEFAULTED, UNUSED_ARGUMENT, ARRAY_LENGTH, UNREADABLE, BAD_PROLOGUE]

BYTES, TEXT, ARRAY, MAP = 2, 3, 4, 5
REQUEST, SCHEMA, PING, PONG = 5, 6, 8, 9
CALL, RESPONSE = 0, 1


class Item:
    """A CBOR item: its head is data[start:head], all of it data[start:end]."""

    def __init__(self, data, start):
        self.start, self.major, low = start, data[start] >> 5, data[start] & 31
        self.is_true = data[start] == 0xf5
        size = 0 if low < 24 else 1 << (low - 24)
        self.head = start + 1 + size
        self.number = low if size == 0 else int.from_bytes(data[start + 1:self.head], "big")
        self.items, self.text = [], None
        self.end = self.head
        if self.major in (BYTES, TEXT):
            self.end += self.number
            self.text = data[self.head:self.end]
        elif self.major in (ARRAY, MAP):
            for _ in range(self.number * (2 if self.major == MAP else 1)):
                self.items.append(Item(data, self.end))
                self.end = self.items[-1].end

    def members(self):
        return list(zip(self.items[::2], self.items[1::2])) if self.major == MAP else []

    def get(self, key):
        return next((value for name, value in self.members() if name.text == key), None)

    def all(self):
        yield self
        for item in self.items:
            yield from item.all()


class Message:
    """A Message: numbers, and where things are as (start, end). Members that it does not have are absent or empty."""

    def __init__(self, data):
        self.data, self.at = data, 0
        self.metadata, self.payload, self.schemas, self.method = [], None, None, None
        self.conn = self.varint()
        self.kind = self.value(self.varint())
        if self.kind == REQUEST:
            self.id = self.value(self.varint())
            self.body = self.value(self.varint())
            if self.body == CALL:
                self.method = self.varint()
            self.read_metadata()
            self.payload = self.span(4)
            self.payload = self.span(int.from_bytes(data[slice(*self.payload)], "little"))
            self.schemas_size = self.varint()
            self.schemas = self.span(self.value(self.schemas_size))
        elif self.kind == SCHEMA:
            self.method = self.varint()
            self.direction = self.span(1)
            self.schemas_size = self.varint()
            self.schemas = self.span(self.value(self.schemas_size))
        elif self.kind in (PING, PONG):
            self.nonce = self.varint()

    def span(self, size):
        self.at += size
        return (self.at - size, self.at)

    def varint(self):
        size = 1
        while self.data[self.at + size - 1] >= 0x80:
            size += 1
        return self.span(size)

    def value(self, span):
        return sum((byte & 0x7f) << 7 * i for i, byte in enumerate(self.data[slice(*span)]))

    def read_metadata(self):
        for _ in range(self.value(self.varint())):
            self.metadata.append(self.span(self.value(self.varint())))
            if self.value(self.varint()) == 2:
                self.metadata.append(self.varint())
            else:
                self.metadata.append(self.span(self.value(self.varint())))
            self.metadata.append(self.varint())

    def has_schemas(self):
        return self.schemas and self.schemas[0] < self.schemas[1]

    def schema_payload(self):
        return Item(self.data[:self.schemas[1]], self.schemas[0])

    def method_id(self):
        return self.value(self.method)

    def is_of_server(self):
        return self.kind == REQUEST and self.body == RESPONSE or \
            self.kind == SCHEMA and self.data[self.direction[0]] == RESPONSE

    def is_call(self):
        return self.is_request(CALL)

    def is_request(self, body):
        return self.kind == REQUEST and self.body == body


def content(item):
    return (item.head, item.end) if item.text is not None else (item.start + 1, item.end)


def omittable(root, names):
    """Members that say nothing: `names` maps a key to a test of its value. Behind the last one of a payload nothing
    is read, so the map that ends with it may also be one entry shorter."""
    for item in root.all():
        for key, value in item.members():
            if key.text in names and names[key.text](value):
                yield (key.start, key.end), OMITTABLE
                if value.end == root.end == item.end:
                    yield (item.start, item.start + 1), OMITTABLE


def required(root):
    for item in root.all():
        if item.get(b"required"):
            yield (item.get(b"required").start, item.get(b"required").end), REQUIRED


def is_empty(value):
    return value.major == ARRAY and value.number == 0


SCHEMA_NAMES = {b"args": is_empty, b"type_params": is_empty}
HELLO_NAMES = SCHEMA_NAMES | {b"metadata": is_empty, b"flags": lambda value: value.number == 0}


def hello_spans(item, calls):
    """A Hello or HelloYourself, the value of the map with that name."""
    name, body = item.members()[0]
    from_client = name.text == b"Hello"
    yield from omittable(item, HELLO_NAMES)
    yield from required(item)
    yield content(body.get(b"message_payload_schema").items[-1].get(b"id")), MESSAGE_ID
    for key, value in body.members():
        # The host of an acceptor sees key and retry; an initiator has no use for the key.
        if key.text == b"resume_key" and (value.major != MAP or not from_client):
            yield (key.start, key.end), RESUME_KEY
        if key.text == b"resume_key" and value.major == MAP and not from_client:
            yield content(value.get(b"bytes")), RESUME_KEY
        if key.text == b"supports_retry" and not from_client and not calls:
            yield (key.start, value.end), NO_CALL


def primitives(root):
    """Ids of the primitive types that a SchemaPayload announces."""
    return {schema.get(b"id").number for schema in root.get(b"schemas").items
            if schema.get(b"kind").get(b"tag").text == b"primitive"}


def schema_spans(talk, message, response):
    """A SchemaPayload."""
    data, root = message.data, message.schema_payload()
    yield from unused_arguments(root)
    for schema in root.get(b"schemas").items:
        yield from type_spans(talk, schema, response)
    yield from omittable(root, SCHEMA_NAMES)
    yield from required(root)
    for item in root.all():
        if item.get(b"type_id") and item.get(b"args") and item.get(b"type_id").number in talk.primitives:
            yield next((key.start, key.end) for key, _ in item.members() if key.text == b"args"), PRIMITIVE_ARGS
    ref = root.get(b"root")
    args = [data[arg.start:arg.end] for arg in ref.get(b"args").items]
    for schema in root.get(b"schemas").items:
        is_root = schema.get(b"id").number == ref.get(b"type_id").number
        if response and is_root:
            yield content(schema.get(b"id")), UNKNOWN_ROOT
        if is_root and len(args) > 1 and len(set(args)) == 1:
            for element in schema.get(b"kind").get(b"elements").items if not response else []:
                yield content(element.get(b"name")), SAME_VARIABLE
    if response:
        yield content(ref.get(b"type_id")), UNKNOWN_ROOT


def type_spans(talk, schema, answer):
    """Names and numbers in one announced type that values do not need."""
    kind = schema.get(b"kind")
    tag, name = kind.get(b"tag").text, kind.get(b"name") and kind.get(b"name").text.decode()
    if tag == b"enum" and name not in ("Result", "VoxError"):
        for variant in kind.get(b"variants").items:
            if (schema.get(b"id").number, variant.get(b"index").number) not in talk.used[answer]:
                yield content(variant.get(b"name")), UNUSED_VARIANT
    if tag == b"struct":
        for field in kind.get(b"fields").items:
            if talk.lacks(name, field.get(b"name").text.decode(), answer):
                yield content(field.get(b"name")), DROPPED
            if not field.get(b"required").is_true:
                yield content(field.get(b"name")), DEFAULTED
    if tag == b"array":
        yield (kind.get(b"length").start, kind.get(b"length").end), ARRAY_LENGTH


def unused_arguments(root):
    """Rust gives a HashSet's hasher as an argument of its type: the primitive type `payload`."""
    payloads = [s.get(b"id").number for s in root.get(b"schemas").items
                if s.get(b"kind").get(b"primitive_type") and s.get(b"kind").get(b"primitive_type").text == b"payload"]
    for item in root.all():
        for key, value in item.members():
            if key.text in (b"id", b"type_id") and value.number in payloads:
                yield content(value), UNUSED_ARGUMENT


class Conversation:
    """The recorded messages of both sides, to look up what became of a call."""

    def __init__(self, entries, name):
        self.messages = [Message(data) if data[:3] != b"VOT" and data[0] >> 5 != MAP else None
                         for _, data in entries]
        self.views = evolution.views(name, self.messages)
        self.versions = evolution.RECORDINGS.get(name)
        self.used = values.used_variants(self.messages)
        known = [m for m in self.messages if m]
        self.calls = {m.id: m for m in known if m.is_request(CALL)}
        self.primitives = set().union(*(primitives(m.schema_payload()) for m in known if m.has_schemas()))
        unreadable = {id(m) for m, (seen, _) in zip(self.messages, self.views) if seen is evolution.UNREADABLE}
        answers = [(self.calls[m.id].method_id(), bytes(m.data[slice(*m.payload)]), id(m) in unreadable)
                   for m in known if m.is_request(RESPONSE)]
        self.callers = [from_client for (from_client, _), m in zip(entries, self.messages) if m and m.is_call()]
        # Answers Ok and Err(User) have a value, Err(UnknownMethod) and Err(InvalidPayload) mean a refused call.
        self.with_value = {method for method, ret, lost in answers
                           if (ret[:1] == b"\0" or ret[:2] == b"\1\0") and not lost}
        self.refused = {method for method, ret, _ in answers if ret[:2] in (b"\1\1", b"\1\2")}
        self.answered = {method for method, ret, _ in answers if ret[:1] == b"\0" or ret[:2] == b"\1\0"}
        self.refused_calls = {m.id for m in known if m.is_request(RESPONSE) and
                              bytes(m.data[slice(*m.payload)])[:2] in (b"\1\1", b"\1\2")}

    def lacks(self, name, field, answer):
        """Does the receiver's version of a type lack this field?"""
        target = self.versions[0 if answer else 1].get(name) if self.versions else None
        return target is not None and field not in [known[0] for known in target]

    def is_unreadable(self, message):
        return any(m is message and seen is evolution.UNREADABLE for m, (seen, _) in zip(self.messages, self.views))

    def is_refused(self, message):
        return message.method_id() in self.refused and message.method_id() not in self.answered

    def has_value(self, message):
        call = self.calls[message.id] if message.kind == REQUEST else message
        return call.method_id() in self.with_value


def client_message_spans(talk, m):
    """What our server receives."""
    if m.kind in (PING, PONG):
        yield m.conn, PING_CONNECTION
    if m.method and talk.is_refused(m):
        for span in m.metadata + [m.payload, m.schemas]:
            if span:
                yield span, REFUSED
        if m.kind == SCHEMA:
            yield (m.conn[0], m.direction[1]), REFUSED
    elif m.has_schemas():
        yield from schema_spans(talk, m, False)
    if m.is_call() and m.id in talk.refused_calls:
        for span in m.metadata + [m.payload]:
            yield span, REFUSED


def server_message_spans(talk, m):
    """What our client receives."""
    if m.kind == REQUEST and talk.is_unreadable(m):
        yield m.payload, UNREADABLE
    if m.kind in (PING, PONG):
        yield m.conn, PING_CONNECTION
    if m.kind == SCHEMA:
        yield (m.conn[0], m.direction[1]), LOST_BINDING
    if m.kind == REQUEST and m.has_schemas():  # of size 0 it is none, and what is behind a Message is ignored
        yield m.schemas_size, LOST_BINDING
    if m.has_schemas():
        if not talk.has_value(m):
            yield m.schemas, NO_VALUE
        yield from schema_spans(talk, m, True)


def payload_spans(talk, from_client, data, message):
    if data[:3] == b"VOT":
        if from_client and data[4:6] != b"\x09\x00":
            yield (4, 6), BAD_PROLOGUE
        yield (6, 8), RESERVED
    elif message is None:
        item = Item(data, 0)
        if item.members()[0][0].text in (b"Hello", b"HelloYourself"):
            yield from hello_spans(item, talk.calls)
    else:
        of_caller = from_client == (talk.callers[0] if talk.callers else True)
        yield from (client_message_spans if of_caller else server_message_spans)(talk, message)
        # Keepalive has sent the pings with even nonces: see play.c.
        if message.kind == PONG and message.value(message.nonce) % 2 == 0:
            yield message.nonce, PONG_NONCE


def spans(talk, entries):
    """For each (from_client, data) of a recording: a list of (at, len, reason)."""
    return [[(start, end - start, reason) for (start, end), reason in payload_spans(talk, from_client, data, message)]
            for (from_client, data), message in zip(entries, talk.messages)]
