"""Protobuf as the OpenTelemetry Collector writes it since it has an encoder of its own: fields from the last to the first."""

from google.protobuf.message import Message


def from_last_to_first(message: Message) -> bytes:
    """Return a message's bytes with the fields of all its parts in descending order of their numbers; readers must not mind."""
    written = bytearray()
    for descriptor, value in reversed(message.ListFields()):
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
