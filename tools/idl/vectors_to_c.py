#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tables of Rust texts and what Rust makes of them.

usage: vectors_to_c.py FOLDER OUTPUT      FOLDER is conformance/vectors/schema
"""
import json
import os
import sys


def load(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


def text(value):
    return json.dumps(value)  # of ASCII only, which is a C string


def type_rows(types):
    for entry in types:
        name = entry["rust_type"]
        if name.startswith("vox_types::"):
            continue  # the protocol's own types, not written as text
        rust = f"{entry.get('definition', '')} trait Probe {{ async fn probe(&self, value: {name}); }}"
        yield f"    {{{text(name)}, {text(rust)}, {text(entry['payload_cbor_hex'])}}},"


def method_rows(methods):
    for entry in methods:
        rust = f"trait {entry['trait']} {{ async fn {entry['method']}(&self); }}"
        octal = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\{b:03o}" for b in rust.encode())
        plain = "true" if rust.isascii() else "false"
        yield f'    {{"{octal}", UINT64_C({entry["id"]}), {plain}}},'


def main(folder, output):
    with open(output, "w", encoding="utf-8") as out:
        print("static const struct { const char *name, *text, *payload; } rust_types[] = {", file=out)
        print("\n".join(type_rows(load(folder, "rust-types.json")["types"])), file=out)
        print("};\nstatic const struct { const char *text; uint64_t id; bool ascii; } rust_methods[] = {", file=out)
        print("\n".join(method_rows(load(folder, "rust-method-ids.json")["methods"])), file=out)
        print("};", file=out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
