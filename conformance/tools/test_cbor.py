#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is announced, read by a CBOR library that is not ours: python3-cbor2.

usage: test_cbor.py CHOIR INTERFACE.rs...
"""
import io
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hygiene"))
from tap import Tap  # noqa: E402

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's packages are those of this one
try:
    import cbor2
except ImportError:
    if os.environ.get("CHOIR_SECOND_TRY") is None and os.access(SYSTEM_PYTHON, os.X_OK):
        os.environ["CHOIR_SECOND_TRY"] = "1"
        os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON] + sys.argv)
    cbor2 = None


def references(kind):
    """Type ids that a schema's kind names."""
    if isinstance(kind, dict):
        if kind.get("tag") == "concrete" and "type_id" in kind:
            yield kind["type_id"]
        for value in kind.values():
            yield from references(value)
    elif isinstance(kind, list):
        for value in kind:
            yield from references(value)


def wrong(announcement):
    """What is wrong with one announcement, or None."""
    data = bytes.fromhex(announcement["schemas"])
    stream = io.BytesIO(data)
    payload = cbor2.CBORDecoder(stream).decode()
    if stream.tell() != len(data):
        return f"{len(data) - stream.tell()} bytes are left"
    if cbor2.dumps(payload) != data:
        return "is written as other bytes"
    if sorted(payload) != ["root", "schemas"]:
        return f"has the keys {sorted(payload)}"
    ids = [schema["id"] for schema in payload["schemas"]]
    if len(set(ids)) != len(ids):
        return "has a schema twice"
    if any(sorted(schema) != ["id", "kind", "type_params"] for schema in payload["schemas"]):
        return "has a schema with other keys"
    missing = set(references([payload["root"], [s["kind"] for s in payload["schemas"]]])) - set(ids)
    if missing:
        return f"does not announce {sorted(missing)}"
    if f"{payload['root']['type_id']:016x}" != announcement["id"]:
        return "has another root"
    return None


def check(tap, choir, path):
    name, count = os.path.basename(path), 0
    out = subprocess.run([choir, "schema", "export", path], stdout=subprocess.PIPE, check=True).stdout
    for service in json.loads(out)["services"]:
        for method in service["methods"]:
            for direction in ("args", "response"):
                count += 1
                why = wrong(method[direction])
                if why:
                    tap.check(False, f"{name}: {method['name']} {direction}", why)
    tap.check(count > 0, f"{name}: {count} announcements are read and written alike")


def main():
    tap = Tap()
    for path in sys.argv[2:]:
        if cbor2:
            check(tap, sys.argv[1], path)
        else:
            tap.skip(f"announcements of {os.path.basename(path)}", "python3-cbor2 is not installed")
    tap.end()


main()
