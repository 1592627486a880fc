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
        values = [value["postcard_hex"] + ";" for value in entry.get("values", []) if "postcard_hex" in value]
        yield f"    {{{text(name)}, {text(rust)}, {text(entry['payload_cbor_hex'])}, {text(''.join(values))}}},"


def method_rows(methods):
    for entry in methods:
        rust = f"trait {entry['trait']} {{ async fn {entry['method']}(&self); }}"
        octal = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\{b:03o}" for b in rust.encode())
        yield f'    {{"{octal}", UINT64_C({entry["id"]})}},'


def service_rows(methods):
    for entry in methods:
        flags = int(entry["retry"]["idem"]) | 2 * int(entry["retry"]["persist"])
        response = entry["response_root_cbor_hex"]
        if entry["name"] == "echo_bytes":
            # Recorded from TypeScript, which says bytes; Rust says bytes<u8>.
            response = response.replace("1bba8125876d6388b46461726773" + "80",
                                        "1bba8125876d6388b46461726773" + "81" + U8)
        yield f"    {{{text(entry['name'])}, UINT64_C({entry['id']}), {flags}, " \
              f"{text(entry['args_root_cbor_hex'])}, {text(response)}}},"


U8 = "a36374616768636f6e637265746567747970655f69641b2c8d54f2314d0f20646172677380"
SERVICES = {"testbed_rows": "testbed-method-schemas.json", "evolved_rows": "testbed-evolved-method-schemas.json"}


def main(folder, output):
    with open(output, "w", encoding="utf-8") as out:
        print("struct service_row { const char *name; uint64_t id; uint32_t flags; const char *args, *response; };",
              file=out)
        print("static const struct { const char *name, *text, *payload, *values; } rust_types[] = {", file=out)
        print("\n".join(type_rows(load(folder, "rust-types.json")["types"])), file=out)
        print("};\nstatic const struct { const char *text; uint64_t id; } rust_methods[] = {", file=out)
        print("\n".join(method_rows(load(folder, "rust-method-ids.json")["methods"])), file=out)
        print("};", file=out)
        for name, source in SERVICES.items():
            print(f"static const struct service_row {name}[] = {{", file=out)
            print("\n".join(service_rows(load(folder, source)["methods"])), file=out)
            print("};", file=out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
