#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tables for the schema tests: descriptors of Rust types, and what Rust announces for them.

usage: schema_to_c.py FOLDER MESSAGE_SCHEMA.hex OUTPUT.h

FOLDER is conformance/vectors/schema; its README says what is in it. Each type text becomes a unit of its own, with
real C types behind it, so that sizes and offsets are the compiler's. Types that descriptors cannot say (foreign
ones) are left out and counted.
"""
import json
import os
import re
import sys

SCALARS = {name: name.upper() for name in
           "bool u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 char".split()}
SCALARS.update(usize="U64", isize="I64", String="STRING", str="STRING", Infallible="NEVER", Duration="DURATION")
C_TYPES = {"BOOL": "bool", "U8": "uint8_t", "U16": "uint16_t", "U32": "uint32_t", "U64": "uint64_t",
           "U128": "choir_u128", "I8": "int8_t", "I16": "int16_t", "I32": "int32_t", "I64": "int64_t",
           "I128": "choir_u128", "F32": "float", "F64": "double", "CHAR": "uint32_t", "STRING": "choir_str",
           "BYTES": "choir_bytes", "LIST": "choir_list", "SET": "choir_list", "MAP": "choir_list",
           "BOX": "const void *", "TX": "choir_tx", "RX": "choir_rx", "DURATION": "choir_timespan"}
# Types that share a kind with another: what their member `count` says.
FORMS = {"slice": "CHOIR_COUNT_SLICE", "HashSet": "CHOIR_COUNT_HASH_SET", "BTreeMap": "CHOIR_COUNT_BTREE_MAP"}


class Unsupported(Exception):
    """A type that descriptors cannot say."""


# ---- Rust text ----

class Parser:
    """Types are tuples: (name, argument...), numbers where they stand for constants. Definitions are
    {name: (kind, content, is transparent, [(parameter, is a constant)])}."""

    def __init__(self, text):
        text = re.sub(r"//[^\n]*", "", text)
        self.tokens = re.findall(r"r#\w+|'\w+|\w+|::|->|\"[^\"]*\"|[^\s\w]", text)
        self.at = 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, token):
        if self.peek() == token:
            self.at += 1
            return True
        return False

    def expect(self, *tokens):
        for token in tokens:
            if not self.accept(token):
                raise SyntaxError(f"expected {token}, have {self.tokens[self.at:self.at + 8]}")

    def until(self, end, item):
        found = []
        while not self.accept(end):
            found.append(item())
            self.accept(",")
        return found

    def type(self):
        if self.accept("&"):
            if self.peek().startswith("'"):
                self.take()
            return self.type()
        if self.accept("("):
            return ("tuple", *self.until(")", self.type))
        if self.accept("["):
            element = self.type()
            if self.accept(";"):
                length = self.take()
                self.expect("]")
                return ("array", element, int(length) if length.isdigit() else (length,))
            self.expect("]")
            return ("slice", element)
        name = self.take()
        while self.accept("::"):
            name += "::" + self.take()
        if not self.accept("<"):
            return (name,)

        def argument():
            if self.peek().startswith("'"):
                self.take()
                return None
            return int(self.take()) if self.peek().isdigit() else self.type()
        return (name, *[a for a in self.until(">", argument) if a is not None])

    def attributes(self):
        text = ""
        while self.accept("#"):
            self.expect("[")
            depth = 1
            while depth:
                token = self.take()
                depth += (token == "[") - (token == "]")
                text += token
        self.accept("pub")
        return text

    def fields(self):
        """(name, type, has a default) each, after the opening brace."""
        def field():
            attributes = self.attributes()
            name = self.take().removeprefix("r#")
            self.expect(":")
            return (name, self.type(), bool(re.search(r"facet\(default|,default", attributes)))
        return self.until("}", field)

    def unnamed(self):
        def field():
            self.attributes()
            return ("", self.type(), False)
        return self.until(")", field)

    def variant(self):
        self.attributes()
        name, shape, fields = self.take(), "UNIT", []
        if self.accept("("):
            fields = self.unnamed()
            shape = "NEWTYPE" if len(fields) == 1 else "TUPLE"
        elif self.accept("{"):
            fields, shape = self.fields(), "STRUCT"
        if self.accept("="):
            self.accept("-")
            self.take()
        return (name, shape, fields)

    def method(self):
        attributes = self.attributes()
        self.expect("async", "fn")
        name, args, ok = self.take(), [], ("tuple",)
        self.expect("(", "&", "self")
        self.accept(",")
        while not self.accept(")"):
            self.take()
            self.expect(":")
            args.append(self.type())
            self.accept(",")
        if self.accept("->"):
            ok = self.type()
        self.expect(";")
        ok, err = ok[1:] if ok[0] == "Result" else (ok, ("Infallible",))
        return (name, "idem" in attributes, args, ok, err)

    def parameter(self):
        constant = self.accept("const")
        name = self.take()
        if constant:
            self.expect(":")
            self.take()
        return (name, constant)

    def items(self, module=""):
        """All definitions of a text or module: (types, services)."""
        types, services = {}, {}
        while self.peek() not in (None, "}"):
            attributes, kind, name = self.attributes(), self.take(), module + self.take()
            params = self.until(">", self.parameter) if self.accept("<") else []
            if kind == "mod":
                self.expect("{")
                types.update(self.items(name + "::")[0])
                self.expect("}")
            elif kind == "trait":
                self.expect("{")
                services[name] = self.until("}", self.method)
            elif kind == "enum":
                self.expect("{")
                types[name] = ("enum", self.until("}", self.variant), False, params)
            elif self.accept("{"):
                types[name] = ("struct", self.fields(), False, params)
            elif self.accept("("):
                types[name] = ("tuple", self.unnamed(), "transparent" in attributes, params)
                self.expect(";")
            else:
                self.expect(";")
                types[name] = ("unit", [], False, params)
        return types, services


# ---- descriptors ----

def substitute(t, arguments):
    """A type in which parameters are replaced by what they stand for."""
    if isinstance(t, int):
        return t
    if len(t) == 1 and t[0] in arguments:
        return arguments[t[0]]
    return (t[0], *[substitute(a, arguments) for a in t[1:]])


class Unit:
    """One choir_unit. `shared`: equal builtin types share a record, and Vec<u8> is bytes; otherwise each use of
    a builtin type makes a record of its own, and every second Vec<u8> is a list of u8. Both mean the same."""

    def __init__(self, prefix, definitions, shared):
        self.prefix, self.definitions, self.shared = prefix, definitions, shared
        self.known, self.types, self.fields, self.variants = {}, [], [], []
        self.strings, self.offsets, self.plain_bytes = "", {"": 0}, False
        self.params, self.declarations = [], []
        self.typedefs, self.done = [], set()

    def string(self, text):
        if text not in self.offsets:
            self.offsets[text] = 1 + len(self.strings)
            self.strings += text + "\0"
        return self.offsets[text]

    def type(self, t):
        """The index of a type's record."""
        name, *args = t
        while name in ("Arc", "Rc", "Cow") or (name == "Box" and args[0][0] in ("slice", "str")):
            name, *args = args[0]
        if name not in self.definitions:
            name = name.split("::")[-1]
        definition = self.definitions.get(name)
        if definition and definition[2]:
            return self.type(definition[1][0][1])
        key = (name, *args)
        if (self.shared or definition) and key in self.known:
            return self.known[key]
        index = len(self.types)
        self.types.append(None)
        self.known[key] = index
        self.types[index] = self.named(name, args, definition) if definition else self.builtin(name, args)
        return index

    def builtin(self, name, args):
        if name == "tuple" and not args:
            return dict(kind="UNIT")
        if name in SCALARS and not args:
            return dict(kind=SCALARS[name])
        if name in ("Vec", "slice") and args == [("u8",)]:
            self.plain_bytes = self.shared or not self.plain_bytes
            if self.plain_bytes:
                return dict(kind="BYTES", form=FORMS.get(name))
        single = dict(Vec="LIST", slice="LIST", BTreeSet="SET", HashSet="SET", Option="OPTION", Box="BOX",
                      array="ARRAY", Tx="TX", Rx="RX").get(name)
        if single:
            return dict(kind=single, elem=self.type(args[0]), form=FORMS.get(name),
                        count=args[1] if name == "array" else 0)
        if name in ("HashMap", "BTreeMap"):
            return dict(kind="MAP", elem=self.type(("tuple", *args)), form=FORMS.get(name))
        if name == "Result":
            return dict(kind="RESULT", elem=self.type(args[0]), elem2=self.type(args[1]))
        if name == "tuple":
            return dict(kind="TUPLE", fields=self.fields_of([("", a, False) for a in args], {}))
        raise Unsupported(name)

    def fields_of(self, fields, arguments):
        made = [dict(name=self.string(n), type=self.type(substitute(t, arguments)),
                     flags="CHOIR_FIELD_DEFAULT" if d else "0") for n, t, d in fields]
        self.fields += made
        return made

    def named(self, name, args, definition):
        kind, content, _, params = definition
        if kind == "unit":
            return dict(kind="UNIT")
        record = dict(kind=kind.upper(), name=self.string(name.split("::")[-1]))
        arguments = {param: arg for (param, _), arg in zip(params, args)}
        if kind == "enum":
            record["variants"] = [dict(name=self.string(n), shape=s, fields=self.fields_of(f, arguments))
                                  for n, s, f in content]
            self.variants += record["variants"]
        else:
            record["fields"] = self.fields_of(content, arguments)
        if params:
            if name not in self.declarations:
                self.declarations.append(name)
            record["decl"] = 1 + self.declarations.index(name)
            record["params"] = [dict(name=self.string(n), type=self.type(arguments[n]))
                                for n, constant in params if not constant]
            self.params += record["params"]
        return record

    # -- the C types --

    def c_name(self, index):
        return f"{self.prefix}_t{index}"

    def is_empty(self, index):
        t = self.types[index]
        return t["kind"] in ("UNIT", "NEVER") or \
            (t["kind"] == "ARRAY" and (t["count"] == 0 or self.is_empty(t["elem"])))

    def members(self, fields):
        """Declarations of fields; those without a size have none."""
        text = ""
        for i, field in enumerate(fields):
            self.typedef(field["type"])
            if not self.is_empty(field["type"]):
                text += f"{self.c_name(field['type'])} f{i}; "
        return text

    def place(self, fields, c_name, path=""):
        for i, field in enumerate(fields):
            field["offset"] = "0" if self.is_empty(field["type"]) else f"offsetof({c_name}, {path}f{i})"

    def typedef(self, index):
        if index in self.done:
            return
        self.done.add(index)
        t, c_name = self.types[index], self.c_name(index)
        kind = t["kind"]
        t["offset"] = "0"
        if kind in ("LIST", "SET", "MAP", "BOX"):
            pass # the element lies elsewhere
        elif kind in ("OPTION", "ARRAY"):
            self.typedef(t["elem"])
        if self.is_empty(index):
            return
        if kind in C_TYPES:
            text = f"{C_TYPES[kind]} {c_name};"
        elif kind == "ARRAY":
            text = f"{self.c_name(t['elem'])} {c_name}[{t['count']}];"
        elif kind == "OPTION":
            value = "" if self.is_empty(t["elem"]) else f"{self.c_name(t['elem'])} value; "
            text = f"struct {{ bool has; {value}}} {c_name};"
            t["offset"] = f"offsetof({c_name}, value)" if value else "0"
        elif kind == "RESULT":
            values = self.members([dict(type=t["elem"]), dict(type=t["elem2"])])
            value = f"union {{ {values}}} value; " if values else ""
            text = f"struct {{ uint32_t tag; {value}}} {c_name};"
            t["offset"] = f"offsetof({c_name}, value)" if values else "4"
        elif kind == "ENUM":
            parts = [self.members(v["fields"]) for v in t["variants"]]
            inner = "".join(f"struct {{ {p}}} v{i}; " for i, p in enumerate(parts) if p)
            value = f"union {{ {inner}}} u; " if inner else ""
            text = f"struct {{ uint32_t tag; {value}}} {c_name};"
            for i, v in enumerate(t["variants"]):
                self.place(v["fields"], c_name, f"u.v{i}.")
        else:
            text = f"struct {{ {self.members(t['fields']) or 'char unused; '}}} {c_name};"
            self.place(t["fields"], c_name)
        self.typedefs.append("typedef " + text)

    # -- the tables --

    def write(self, out):
        for i in range(len(self.types)):
            self.typedef(i)
        out += self.typedefs
        position = {id(f): i for i, f in enumerate(self.fields)}
        variant_position = {id(v): i for i, v in enumerate(self.variants)}
        param_position = {id(p): i for i, p in enumerate(self.params)}
        rows = []
        for i, t in enumerate(self.types):
            items, where = (t["variants"], variant_position) if "variants" in t else (t.get("fields", []), position)
            size = "0" if self.is_empty(i) else f"sizeof({self.c_name(i)})"
            align = "1" if self.is_empty(i) else f"_Alignof({self.c_name(i)})"
            if t["kind"] == "ARRAY":
                inner = t["elem"]
                align = "1" if self.is_empty(inner) else f"_Alignof({self.c_name(inner)})"
            params = t.get("params", [])
            rows.append(f"    {{CHOIR_KIND_{t['kind']}, {t.get('name', 0)}, {size}, {align}, {t.get('elem', 0)}, "
                        f"{t.get('elem2', 0)}, {where[id(items[0])] if items else 0}, "
                        f"{t.get('form') or t.get('count') or len(items)}, {t['offset']}, {t.get('decl', 0)}, "
                        f"{param_position[id(params[0])] if params else 0}, {len(params)}}},")
        self.table(out, "choir_type", "types", rows)
        self.table(out, "choir_field", "fields",
                   [f"    {{{f['name']}, {f['type']}, {f['offset']}, {f['flags']}}}," for f in self.fields])
        self.table(out, "choir_variant", "variants",
                   [f"    {{{v['name']}, CHOIR_VARIANT_{v['shape']}, "
                    f"{position[id(v['fields'][0])] if v['fields'] else 0}, {len(v['fields'])}}},"
                    for v in self.variants])
        self.table(out, "choir_param", "params", [f"    {{{p['name']}, {p['type']}}}," for p in self.params])
        strings = "".join(f'"{s}\\0"' for s in self.strings.split("\0")[:-1])
        out.append(f'static const char {self.prefix}_strings[] = "\\0" {strings};')
        out.append(f"static const choir_unit {self.prefix} = {{CHOIR_UNIT_HEADER, "
                   f".types_len = {len(self.types)}, .fields_len = {len(self.fields)}, "
                   f".variants_len = {len(self.variants)}, .params_len = {len(self.params)}, "
                   f".strings_len = sizeof {self.prefix}_strings, .params = {self.prefix}_params, "
                   f".types = {self.prefix}_types, .fields = {self.prefix}_fields, "
                   f".variants = {self.prefix}_variants, .strings = {self.prefix}_strings}};")

    def table(self, out, c_type, name, rows):
        out.append(f"static const {c_type} {self.prefix}_{name}[] = {{")
        out.extend(rows or ["    {0},"])
        out.append("};")


# ---- everything ----

def bytes_table(out, name, data):
    body = ",".join(map(str, data + b"\xff")) # one byte more, so that no array is empty
    out.append(f"static const uint8_t {name}[] = {{{body}}};")


def rows_table(out, c_type, name, rows):
    out.append(f"__attribute__((unused)) static const {c_type} {name}[] = {{")
    out.extend(rows)
    out.append("};")
    out.append(f"enum {{ {name}_count = {len(rows)} }};")


def write_types(out, folder, table, shared_of):
    rows, left_out = [], []
    with open(os.path.join(folder, table.replace("_", "-") + ".json"), encoding="utf-8") as file:
        types = json.load(file)["types"]
    for i, entry in enumerate(types):
        try:
            if "payload_cbor_hex" not in entry or entry.get("opaque_definition"):
                raise Unsupported("not announced")
            definitions, _ = Parser(entry.get("definition", "")).items()
            unit = Unit(f"{table}_{i}", definitions, shared_of(i))
            root, err = Parser(entry["rust_type"]).type(), ("tuple",)
            is_response = root[0] == "Result" and root[2][0].endswith("VoxError")
            if is_response:
                root, err = root[1], root[2][1]
            root, err = unit.type(root), unit.type(err)
        except Unsupported:
            left_out.append(entry["rust_type"])
            continue
        unit.write(out)
        payload = bytes.fromhex(entry["payload_cbor_hex"])
        bytes_table(out, f"{table}_{i}_payload", payload)
        values = [bytes.fromhex(v["postcard_hex"]) for v in entry.get("values", [])]
        for k, value in enumerate(values):
            bytes_table(out, f"{table}_{i}_value_{k}", value)
        out.append(f"static const choir_bytes {table}_{i}_values[] = {{")
        out.extend([f"    {{{table}_{i}_value_{k}, {len(v)}}}," for k, v in enumerate(values)] or ["    {0},"])
        out.append("};")
        rows.append(f"    {{{json.dumps(entry['rust_type'])}, {{&{table}_{i}, "
                    f"{str(is_response).lower()}, {root}, {root}, {err}}}, "
                    f"{{{table}_{i}_payload, {len(payload)}}}, {len(values)}, {table}_{i}_values}},")
    out.append("/* left out: " + ", ".join(left_out).replace("*/", "* /") + " */")
    rows_table(out, "schema_vector_type", table, rows)
    out.append(f"enum {{ {table}_left_out = {len(left_out)} }};")


def write_examples(out, folder):
    """Every announcement of rust-types.json with every example of its encoding, also of types that descriptors cannot
    say."""
    with open(os.path.join(folder, "rust-types.json"), encoding="utf-8") as file:
        types = [t for t in json.load(file)["types"] if "payload_cbor_hex" in t]
    rows = []
    for i, entry in enumerate(types):
        payload = bytes.fromhex(entry["payload_cbor_hex"])
        bytes_table(out, f"rust_examples_{i}_payload", payload)
        postcards = [bytes.fromhex(v["postcard_hex"]) for v in entry.get("values", []) if "postcard_hex" in v]
        start = f"    {{{json.dumps(entry['rust_type'])}, {{rust_examples_{i}_payload, {len(payload)}}}, "
        for j, postcard in enumerate(postcards):
            bytes_table(out, f"rust_examples_{i}_{j}", postcard)
            rows.append(f"{start}{{rust_examples_{i}_{j}, {len(postcard)}}}}},")
        if not postcards:
            rows.append(f"{start}{{NULL, 0}}}},")
    rows_table(out, "schema_vector_example", "rust_examples", rows)


def write_service(out, folder, table):
    """A service, and for each of its methods what both directions announce in total."""
    with open(os.path.join(folder, table.replace("_", "-") + ".rs"), encoding="utf-8") as file:
        definitions, services = Parser(file.read()).items()
    with open(os.path.join(folder, table.replace("_", "-") + "-method-schemas.json"), encoding="utf-8") as file:
        schemas = {m["name"]: m for m in json.load(file)["methods"]}
    (service, methods), = services.items()
    unit = Unit(table + "_unit", definitions, True)
    rows, expected = [], []
    for name, idem, args, ok, err in methods:
        args_type = unit.type(("tuple", *args))
        rows.append(f"    {{{unit.string(name)}, {'CHOIR_METHOD_IDEM' if idem else '0'}, {args_type}, "
                    f"{unit.type(ok)}, {unit.type(err)}, 0, {schemas[name]['id']}u, 0, 0}},")
        for direction in ("args", "response"):
            made = f"{table}_{name}_{direction}"
            bytes_table(out, made, bytes.fromhex(schemas[name][direction + "_first_payload_cbor_hex"]))
            expected.append(f'    {{"{name}", {int(direction == "response")}, {{{made}, sizeof {made} - 1}}}},')
    service_name = unit.string(service)
    unit.write(out)
    out.append(f"static const choir_method {table}_methods[] = {{")
    out.extend(rows + ["};"])
    out.append(f"__attribute__((unused)) static const choir_service {table} = "
               f"{{&{table}_unit, {service_name}, {len(rows)}, {table}_methods}};")
    rows_table(out, "schema_vector_method", table + "_schemas", expected)


def write_method_ids(out, folder):
    with open(os.path.join(folder, "rust-method-ids.json"), encoding="utf-8") as file:
        methods = json.load(file)["methods"]
    rows = [f"    {{{json.dumps(m['trait'], ensure_ascii=False)}, {json.dumps(m['method'], ensure_ascii=False)}, "
            f"{m['id']}u}}," for m in methods]
    rows_table(out, "schema_vector_method_id", "rust_method_ids", rows)


def write_announcements(out, folder):
    with open(os.path.join(folder, "announcements.json"), encoding="utf-8") as file:
        announcements = json.load(file)["announcements"]
    rows, made = [], {}
    for a in announcements:
        if a["schemas_hex"] not in made:
            made[a["schemas_hex"]] = f"announcement_{len(made)}"
            bytes_table(out, made[a["schemas_hex"]], bytes.fromhex(a["schemas_hex"]))
        name = made[a["schemas_hex"]]
        rows.append(f'    {{"{a["peer"]}", "{a["session"]}", {a["connection"]}, {int(a["dir"] == "s2c")}, '
                    f'{a["method_id"]}u, {int(a["direction"] == "response")}, {{{name}, sizeof {name} - 1}}}},')
    rows_table(out, "schema_vector_announcement", "announcements", rows)


HEAD = """/* Generated by conformance/vectors/schema_to_c.py. */
#ifndef SCHEMA_VECTORS_H
#define SCHEMA_VECTORS_H
#include "schema/extract.h"
/* A type, the SchemaPayload that Rust announces for it, and values in postcard. */
typedef struct schema_vector_type {
    const char *name;
    choiri_root root;
    choir_bytes payload;
    int values_len;
    const choir_bytes *values;
} schema_vector_type;
/* An announcement and one value of its root; the value's data is NULL when there is no example. */
typedef struct schema_vector_example {
    const char *name;
    choir_bytes payload, postcard;
} schema_vector_example;
/* One direction of a method; `payload` lists its schemas in another order than ours. */
typedef struct schema_vector_method {
    const char *name;
    int direction;
    choir_bytes payload;
} schema_vector_method;
typedef struct schema_vector_method_id {
    const char *service, *method;
    uint64_t id;
} schema_vector_method_id;
/* What was announced in recorded sessions, in order. */
typedef struct schema_vector_announcement {
    const char *peer, *session;
    uint64_t connection;
    int from_server;
    uint64_t method;
    int direction;
    choir_bytes payload;
} schema_vector_announcement;"""


def main(folder, message_schema, output):
    out = [HEAD]
    write_types(out, folder, "rust_types", lambda i: i % 2 == 0)
    write_types(out, folder, "composed_types", lambda i: i % 2 == 0)
    write_examples(out, folder)
    write_service(out, folder, "testbed")
    write_service(out, folder, "testbed_evolved")
    write_method_ids(out, folder)
    write_announcements(out, folder)
    with open(message_schema, encoding="utf-8") as file:
        data = bytes.fromhex(file.read())
    bytes_table(out, "message_schema_bytes", data)
    out.append("__attribute__((unused)) static const choir_bytes message_schema_vector = "
               f"{{message_schema_bytes, {len(data)}}};")
    out.append("#endif")
    with open(output, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
