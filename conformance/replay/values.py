# SPDX-License-Identifier: MIT
"""Reads values by the schemas that were announced for them, to learn which variants of enums they have."""

BYTE = {b"bool", b"u8", b"i8"}
NOTHING = {b"unit", b"never", b"payload"}
SIZED = {b"string", b"bytes", b"char"}
FIXED = {b"f32": 4, b"f64": 8}


class Types:
    """The types that one side announced, and `used`: (type id, variant) of what was read."""

    def __init__(self):
        self.schemas, self.used = {}, set()

    def add(self, payload):
        for schema in payload.get(b"schemas").items:
            self.schemas[schema.get(b"id").number] = schema

    def varint(self, data, at):
        value = shift = 0
        while data[at] >= 0x80:
            value, shift, at = value | (data[at] & 0x7f) << shift, shift + 7, at + 1
        return value | data[at] << shift, at + 1

    def read(self, ref, bound, data, at=0):
        """The end of a value of type `ref` that starts at `at`; `bound` has (ref, bound) of each type variable."""
        if ref.get(b"tag").text == b"var":
            return self.read(*bound[ref.get(b"name").text], data, at)
        schema = self.schemas[ref.get(b"type_id").number]
        params = schema.get(b"type_params")
        names = [param.text for param in params.items] if params else []
        args = ref.get(b"args").items if ref.get(b"args") else []
        inner = dict(zip(names, ((arg, bound) for arg in args)))
        return self.read_kind(schema, schema.get(b"kind"), inner, data, at)

    def read_kind(self, schema, kind, bound, data, at):
        def each(refs, at):
            for ref in refs:
                at = self.read(ref, bound, data, at)
            return at

        tag = kind.get(b"tag").text
        if tag == b"primitive":
            return self.read_primitive(kind.get(b"primitive_type").text, data, at)
        if tag == b"option":
            return at + 1 if data[at] == 0 else self.read(kind.get(b"element"), bound, data, at + 1)
        if tag in (b"list", b"map"):
            count, at = self.varint(data, at)
            return each([kind.get(b"element")] * count if tag == b"list" else
                        [kind.get(b"key"), kind.get(b"value")] * count, at)
        if tag == b"array":
            return each([kind.get(b"element")] * kind.get(b"length").number, at)
        if tag == b"tuple":
            return each(kind.get(b"elements").items, at)
        if tag == b"struct":
            return each([field.get(b"type_ref") for field in kind.get(b"fields").items], at)
        variant, at = self.varint(data, at)
        self.used.add((schema.get(b"id").number, variant))
        payload = kind.get(b"variants").items[variant].get(b"payload")
        tag = payload.get(b"tag").text
        if tag == b"unit":
            return at
        if tag == b"newtype":
            return self.read(payload.get(b"type_ref"), bound, data, at)
        return each(payload.get(b"types").items if tag == b"tuple" else
                    [field.get(b"type_ref") for field in payload.get(b"fields").items], at)

    def read_primitive(self, name, data, at):
        if name in NOTHING:
            return at
        if name in BYTE:
            return at + 1
        if name in FIXED:
            return at + FIXED[name]
        value, at = self.varint(data, at)
        return at + value if name in SIZED else at


def used_variants(messages):
    """(of the caller's values, of the server's): sets of (type id, variant index)."""
    types, roots, calls = (Types(), Types()), {}, {}
    for m in messages:
        if m and m.is_call():
            calls[m.id] = m.method_id()
    for m in messages:
        if not m or not m.has_schemas():
            continue
        answer, method = m.is_of_server(), calls[m.id] if m.method is None else m.method_id()
        types[answer].add(m.schema_payload())
        roots[answer, method] = m.schema_payload().get(b"root")
    for m in messages:
        if not m or m.payload is None:
            continue
        answer = m.is_of_server()
        root = roots.get((answer, calls[m.id]))
        try:
            types[answer].read(root, {}, bytes(m.data[slice(*m.payload)]))
        except (AttributeError, IndexError, KeyError):
            pass  # refused without a schema, or one that Rust announces too short (arrays of several lengths)
    return types[0].used, types[1].used
