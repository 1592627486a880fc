#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets: recorded bytes and interface files in the form of each target's input.

usage: seeds.py CONFORMANCE STAMP

They go to the folder seeds/TARGET beside the file STAMP, which is written last. What a target's input looks like is said
at the top of its source.
"""
import glob
import itertools
import json
import os
import re
import shutil
import struct
import sys


def load(folder, name):
    with open(os.path.join(folder, "vectors", name), encoding="utf-8") as file:
        if name.endswith(".jsonl"):
            return [json.loads(line) for line in file]
        return json.load(file)


def named(rows):
    """(name, bytes) of a list of vectors, the first of each content."""
    seen = set()
    for row in rows:
        data = bytes.fromhex(row.get("correct_hex", row["hex"]))
        if data not in seen:
            seen.add(data)
            yield row["name"], data


def u16(number):
    return bytes([number & 255, number >> 8])


def short(data):
    return u16(len(data)) + data


def framed(data):
    return len(data).to_bytes(4, "little") + data


def messages(folder):
    yield from named(load(folder, "golden/message-examples.json") + load(folder, "golden/extra-vectors.json"))
    kinds = {}
    for name, data in named(load(folder, "recorded/messages.json")):
        kind = name.split(" ")[-1]
        kinds[kind] = kinds.get(kind, 0) + 1
        if kinds[kind] <= 4:
            yield name, data


def frame(folder):
    for name, data in messages(folder):
        yield name, b"\x03\x03\x00\x05\xff" + framed(data) * 2 + framed(b"")
    yield "over the limit", b"\x01\x01\x02" + framed(bytes(16)) + framed(bytes(17))


def prologue(_):
    for magic in (b"VOTH", b"VOTA", b"VOTR"):
        for rest in (b"\x09\0\0\0", b"\x09\x01\0\0", b"\x09\x10\0\0", b"\x08\0\0\0"):
            yield f"{magic} {rest}", b"\x01" + magic + rest
    for text in (b"GET / HTTP/1.1", b"PRI * HTTP/2.0", b"\x16\x03\x01\x02\0\x01\0", b"SSH-2.0-OpenSSH_9.2"):
        yield str(text), b"\x03" + text


def handshake(folder):
    rows = load(folder, "golden/handshake-examples.json") + load(folder, "recorded/handshakes.json")[:3]
    for name, data in named(rows):
        yield name, b"\x01" + data
    yield "long", b"\0\xa1\x65Sorry\xa1\x66reason\x78\xfa" + b"because " * 31 + b"so"


def methods(folder, path):
    """Names of the methods in an interface file, in order, which is how the targets number them."""
    with open(os.path.join(folder, path), encoding="utf-8") as file:
        return re.findall(r"async fn (\w+)", file.read())


def schema(folder):
    """What is announced about the Testbed and its evolved version, each to the other and to itself."""
    numbers = {1: methods(folder, "testbed/testbed.rs"), 2: methods(folder, "testbed/testbed_evolved.rs")}
    for name in ("testbed", "testbed-evolved"):
        for i, method in enumerate(load(folder, f"schema/{name}-method-schemas.json")["methods"]):
            payload = bytes.fromhex(method["args_first_payload_cbor_hex"])
            answer = bytes.fromhex(method["response_first_payload_cbor_hex"])
            for ours, known in numbers.items():
                is_same = (name == "testbed") == (ours == 1)
                if method["name"] not in known or len(payload + answer) > 1500 or (is_same and i % 4):
                    continue
                at = bytes([i & 1, ours, known.index(method["name"])])
                yield f"{name} {method['name']} to {ours} args", at + short(payload) + u16(0) + bytes(24)
                yield f"{name} {method['name']} to {ours} both", at + short(payload) + short(answer) + u16(0) + bytes(9)
    for row in load(folder, "schema/rust-types.json")["types"][::6]:
        payload = bytes.fromhex(row["payload_cbor_hex"])
        if len(payload) < 2000:
            yield row["rust_type"], b"\0\0\x05" + short(payload) + u16(0) + b"\1\1\1\1" + bytes(24)


def value(_):
    """Nothing of everything, and one of everything, for the types of each interface."""
    for interface in range(3):
        for number in range(96):
            for fill in (b"\0", b"\1"):
                yield f"{interface} {number} {fill}", bytes([interface, number]) + fill * 24


def json_text(_):
    texts = ['null', 'true', '[]', '{}', '1', '-1.5e3', '"a\\u00e9\\n"', '[1,2,3]', '["a",["b"]]', '{"a":1}', '{"Ok":null}',
             '"NaN"', '{"secs":1,"nanos":2}', '[[1,2],[3,4]]', '340282366920938463463374607431768211455',
             '{"first":1,"second":"x"}', '{"value":1,"next":null,"children":[{"value":2,"next":null,"children":[]}]}',
             '{"Cat":[1,{"Bird":"x"}]}', '{"Dog":{"name":"x","double":0.5,"nothing":null}}', '"Fish"']
    for interface, number in itertools.product(range(3), range(96)):
        text = texts[(number + interface) % len(texts)]
        yield f"{interface} {number} {text}", bytes([interface, number]) + text.encode()


def pack(value):
    """Msgpack of small things."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        if value < 0:
            return b"\xd3" + value.to_bytes(8, "big", signed=True)
        return bytes([value]) if value < 128 else b"\xcf" + value.to_bytes(8, "big")
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        return (b"\xd9" if isinstance(value, str) else b"\xc4") + bytes([len(data)]) + data
    if isinstance(value, list):
        return bytes([0x90 + len(value)]) + b"".join(map(pack, value))
    return bytes([0x80 + len(value)]) + b"".join(pack(key) + pack(item) for key, item in value.items())


SETTINGS = {"parity": "Odd", "max_concurrent_requests": 64}


def msgpack(_):
    entries = [{"key": "k", "value": {"String": "s"}, "flags": 1}, {"key": "n", "value": {"U64": 7}}]
    bodies = [{"Call": {"method_id": 1 << 63, "args": b"\x91\x01", "metadata": entries, "schemas": b"\x80"}},
              {"Response": {"ret": b"\xc0", "metadata": []}}, {"Cancel": {}}]
    payloads = [{"RequestMessage": {"id": 1, "body": body}} for body in bodies] + [
        {"ChannelMessage": {"id": 3, "body": body}} for body in
        ({"Item": {"item": b"\x01"}}, {"Close": {}}, {"Reset": {"metadata": entries}}, {"GrantCredit": {"additional": 9}})] + [
        {"SchemaMessage": {"method_id": 5, "direction": "Args", "schemas": b"\x80"}}, {"Ping": {"nonce": 7}},
        {"Pong": {"nonce": 1 << 63}}, {"ProtocolError": {"description": "why"}},
        {"ConnectionOpen": {"connection_settings": SETTINGS}}, {"ConnectionClose": {"metadata": entries}}]
    for i, payload in enumerate(payloads):
        yield f"message {i}", b"\0" + pack({"connection_id": i & 1, "payload": payload})
        yield f"document {i}", b"\2" + pack(payload)
    values = [None, True, 1, -1000, "Fish", [1], [1, 2, 3], {"Ok": None}, {"Bird": "x"}, {"Dog": {"name": "x", "double": 0.5, "nothing": None}},
              {"value": 1, "next": None, "children": [{"value": 2, "next": None, "children": []}]}, [[None], [1]], {"secs": 1, "nanos": 2}]
    for interface, number in itertools.product(range(3), range(96)):
        yield f"value {interface} {number}", bytes([1, interface, number]) + pack(values[(number + interface) % len(values)])


def idl(folder):
    for path in sorted(glob.glob(os.path.join(folder, "*", "*.rs"))):
        with open(path, "rb") as file:
            text = file.read()
        yield os.path.basename(path), text
    yield "generics", (b"#[vox::service] trait T { async fn f(&self, a: G<u8, 2>, t: vox::Tx<String>) -> Result<(), E>; }\n"
                       b"/// Doc\nstruct G<A, const N: usize> { #[facet(default)] a: [A; N] }\nenum E { A, B(u8) = 3, C { d: i8 } }")


def session(folder):
    """Recorded sessions, one end of each: frames as they came; and conversations, each over a link of both kinds."""
    yield from recorded(folder)
    for name, data in conversations(folder):
        yield name, data
        yield f"{name}, boundaries kept", bytes([data[0] | 32]) + data[1:]


def recorded(folder):
    for path in sorted(glob.glob(os.path.join(folder, "vectors/sessions-rust/*.jsonl"))):
        rows = load(folder, os.path.relpath(path, os.path.join(folder, "vectors")))
        first = rows[0]["conn"]
        for role, direction in ((6, "c2s"), (7, "s2c")):
            parts = [bytes.fromhex(row["hex"]) for row in rows if row["conn"] == first and row["dir"] == direction]
            actions = b"".join(b"\1\0\0" + short(part) for part in parts if len(part) < 8000)
            if len(actions) < 12000:
                yield f"{os.path.basename(path)} {direction}", bytes([role, 3, 0]) + actions


def conversations(folder):
    """Which together have every action."""
    link = lambda action, *operands: bytes([action, *operands])
    own = lambda action, *operands: bytes([0x82 + action, *operands])  # 0x82 % 5 is 0
    fed = lambda data: link(1, 0, 0) + short(data)
    echo = own(0, 0, 0, 0, 2)
    yield "answered", bytes([1, 3, 0]) + echo + link(4, 1, 0, 4) + b"\0\2hi" + link(6, 100, 0) + link(11, 0x5E, 0)
    yield "requests", (bytes([0, 3, 0xE4]) + (link(3, 1, 0, 3) + b"\2hi" + link(3, 3, 1, 2) + b"\4\2" +
                       link(3, 5, 4, 0) + link(5, 3, 0) + link(7, 9, 0) + own(2, 1, 0) + own(3, 0)) * 2)
    yield "floods", (bytes([8, 0xC1, 0xFF]) + link(8, 0, 0) + b"".join(
        link(3, 2 * i + 1, 5, 1) + b"\1" for i in range(12)) + link(10, 2, 0) + link(6, 255, 0) + own(4, 0x5E))
    for kind in range(10):
        for conn in (0, 5):
            yield f"message {kind} {conn}", bytes([0, 3, 0]) + b"".join(
                link(2, 0, 0, kind, body, conn, 1, 0, 0, 7, 2) + b"\1a\0\0" for body in range(3))
    yield "cancels", (bytes([1, 3, 0]) + own(0, 0, 5, 9, 1) + own(1, 0) + link(5, 1, 0) + link(2, 0, 0, 8, 0, 0, 9) +
                      own(0, 0, 3, 0, 0) + link(11, 0x5E, 0))
    yield "large", (bytes([0, 0x83, 0]) + link(8, 0, 0) + b"".join(link(9, 2 * i + 1, 0, 200) for i in range(3)) +
                    link(7, 255, 0) * 2 + link(8, 0, 0) + link(6, 20, 0))
    yield "blocked", (bytes([1, 0x87, 0]) + link(8, 0, 0) + own(0, 0, 3, 0, 250) * 3 + link(8, 0, 0) + link(6, 2, 0) +
                      own(0, 0, 3, 0, 250))
    greetings = {row["name"]: bytes.fromhex(row["hex"]) for row in load(folder, "golden/handshake-examples.json")}
    asked, accepted = b"VOTH\x09\0\0\0", b"VOTA\x09\0\0\0"
    hello, sorry = greetings["Hello"], greetings["Sorry"]
    yield "resume", bytes([6, 3, 0]) + fed(asked) + fed(hello.replace(b"resume_key\xf6", b"resume_key\xa1\x65bytes\x50" + bytes(16)))
    yield "early", bytes([6, 3, 0]) + fed(asked) + fed(greetings["LetsGo"])
    yield "refused", bytes([7, 3, 0]) + echo + fed(accepted) + fed(sorry)
    yield "rejected", bytes([7, 3, 0]) + echo + fed(b"VOTR\x09\x01\0\0")
    call = lambda number, method, args: pack({"payload": {"RequestMessage": {"id": number, "body": {"Call": {
        "method_id": method, "args": pack(args)}}}}})
    yield "msgpack", bytes([6, 3, 0]) + b"".join(map(fed, (
        b"VOTH\x09\x10\0\0", pack({"Hello": {"parity": "Odd", "connection_settings": SETTINGS, "message_payload_schema": []}}),
        pack({"LetsGo": {}}), call(1, 0x85449d26f9ec872d, ["hi"]), call(3, 0xab275ee3e235df71, [7, 0]), call(5, 1, None),
        pack({"payload": {"Ping": {"nonce": 7}}}))))
    reply = lambda number, ret: pack({"payload": {"RequestMessage": {"id": number, "body": {"Response": {"ret": pack(ret)}}}}})
    yield "msgpack, calling", (bytes([23, 3, 0]) + fed(b"VOTA\x09\x10\0\0") + fed(pack({"HelloYourself": {
        "connection_settings": {"parity": "Even", "max_concurrent_requests": 64}}})) + echo + own(0, 0, 1, 0, 1) * 3 +
        b"".join(map(fed, (reply(1, {"Ok": "hi"}), reply(3, {"Err": {"User": "Overflow"}}), reply(5, {"Err": "UnknownMethod"}),
                           reply(7, {"Err": {"InvalidPayload": "why"}})))))


TARGETS = {"frame": frame, "prologue": prologue, "handshake": handshake, "message": messages, "schema": schema,
           "value": value, "json": json_text, "idl": idl, "session": session, "msgpack": msgpack}


def main(folder, stamp):
    top = os.path.join(os.path.dirname(stamp), "seeds")
    shutil.rmtree(top, ignore_errors=True)
    for target, seeds in TARGETS.items():
        os.makedirs(os.path.join(top, target))
        for i, (name, data) in enumerate(seeds(folder)):
            name = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:60]
            with open(os.path.join(top, target, f"{i:03}-{name}"), "wb") as file:
                file.write(data)
    with open(stamp, "w", encoding="utf-8") as file:
        file.write("seeds\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 3 else __doc__)
