"""Protobuf as the OpenTelemetry Collector 0.155 writes it, with an encoder of its own: fields in reverse order of declaration."""

from google.protobuf.message import Message


def from_last_to_first(message: Message) -> bytes:
    """Return a message's bytes with the fields of all its parts from the one declared last to the first; readers must not mind."""
    written = bytearray()
    given = {descriptor.name: value for descriptor, value in message.ListFields()}
    for descriptor in reversed(message.DESCRIPTOR.fields):
        if descriptor.name not in given:
            continue
        value = given[descriptor.name]
        if descriptor.message_type is None:
            alone = type(message)()
            if descriptor.is_repeated:
                getattr(alone, descriptor.name).extend(value)
            else:
                setattr(alone, descriptor.name, value)
            written += alone.SerializeToString()
            continue
        for part in value if descriptor.is_repeated else [value]:
            inner = from_last_to_first(part)
            written += _varint(descriptor.number << 3 | 2) + _varint(len(inner)) + inner
    return bytes(written)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
