# SPDX-License-Identifier: MIT
"""What values of one version of the Testbed are in the other version's layout.

Six types of the Testbed have an evolved form. In recordings between peers of two versions a value is sent in its
sender's layout and seen in the receiver's; this says which bytes that are, or that there is no such value. It knows
the two versions and the rules, and nothing of the library: fields are matched by name, what the receiver lacks is
dropped, an optional field that the sender does not have is empty, all else must be there and have the same type.
"""

STRING, U32, I32, F64, MAYBE_STRING = range(5)
PLAIN = {
    "Profile": [("name", STRING), ("bio", STRING)],
    "Record": [("alpha", I32), ("beta", STRING), ("gamma", F64)],
    "Status": ["Active", "Inactive"],
    "Tag": [("label", STRING), ("priority", U32), ("note", STRING)],
    "Measurement": [("unit", STRING), ("value", F64)],
    "Config": [("key", STRING), ("value", STRING)],
}
EVOLVED = {
    "Profile": [("name", STRING), ("bio", STRING), ("avatar", MAYBE_STRING)],
    "Record": [("gamma", F64), ("alpha", I32), ("beta", STRING)],
    "Status": ["Active", "Inactive", "Suspended"],
    "Tag": [("label", STRING), ("priority", U32)],
    "Measurement": [("unit", STRING), ("value", STRING)],
    "Config": [("key", STRING), ("value", STRING), ("owner", STRING)],
}
METHODS = {0xbd9bcabddeebeb04: "Profile", 0x100b0e08da4b8f1a: "Record", 0x697590d3ffc36703: "Status",
           0x2bd1b3149d73ce97: "Tag", 0x3b3d22b015fa1a3f: "Measurement", 0xe13a477fb964ce28: "Config"}

# The versions of caller and server.
RECORDINGS = {
    "sessions/evolved": (PLAIN, EVOLVED),
    "sessions/evolved_client": (EVOLVED, PLAIN),
    "sessions/subject_evolved": (PLAIN, EVOLVED),
    "sessions/schema_message": (EVOLVED, PLAIN),  # of its one method with such a type
    "sessions-rust/evolved": (PLAIN, EVOLVED),
    "sessions-rust/evolved_client": (EVOLVED, PLAIN),
}
UNREADABLE = object()

# How process_message of the recorded TypeScript server starts its answer, and how it does by the service's definition.
OTHER_TEXT, OUR_TEXT = b"Processed: ", b"processed: "


def read_varint(data, at):
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def field_end(kind, data, at):
    if kind == F64:
        return at + 8
    if kind == MAYBE_STRING:
        return at + 1 if data[at] == 0 else field_end(STRING, data, at + 1)
    value, end = read_varint(data, at)
    return end + value if kind == STRING else end


def translate(name, data, source, target):
    """`data` in the layout that `target` has of this type, or UNREADABLE."""
    if isinstance(source[name][0], str):  # an enum without payloads
        variant = source[name][data[0]]
        return bytes([target[name].index(variant)]) if variant in target[name] else UNREADABLE
    values, at = {}, 0
    for field in source[name]:
        end = field_end(field[1], data, at)
        values[field], at = data[at:end], end
    if at != len(data):
        raise ValueError(f"{name} {data.hex()} is not of this version")
    for field in target[name]:
        if field[1] == MAYBE_STRING:
            values.setdefault(field, b"\0")
    return b"".join(values[field] for field in target[name]) if all(f in values for f in target[name]) else UNREADABLE


def views(recording, messages):
    """For each message of a recording: (what its receiver sees or None for the bytes as they are, what a server of this
    version answers or None for what was recorded)."""
    result = [(None, None)] * len(messages)
    versions = RECORDINGS.get(recording)
    calls = {}
    for i, m in enumerate(messages):
        if not m or m.payload is None:
            continue
        payload = bytes(m.data[slice(*m.payload)])
        if OTHER_TEXT in payload:
            result[i] = (None, payload.replace(OTHER_TEXT, OUR_TEXT))
        if not versions:
            continue
        if m.is_call():
            name = METHODS.get(m.method_id())
            calls[m.id] = (name, translate(name, payload, *versions) if name else None)
            result[i] = (calls[m.id][1], None)
            continue
        name, asked = calls[m.id]
        if not name:
            continue
        seen = translate(name, payload[1:], versions[1], versions[0]) if payload[0] == 0 else None
        refused = payload[:2] == b"\1\2"
        if not refused and (asked is UNREADABLE or payload != b"\0" + asked):
            raise ValueError(f"{recording}: the recorded answer {payload.hex()} follows other rules")
        result[i] = (seen, b"\0" + asked if refused and asked is not UNREADABLE else None)
    return result
