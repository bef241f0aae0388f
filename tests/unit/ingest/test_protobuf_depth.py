"""A protobuf message that nests without end is refused with a reason, wherever it nests; one that nests a little is read."""

import pytest

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode

T0 = 1_767_571_210_000
ITEM_TIME = b"\x09" + (T0 * 10**6).to_bytes(8, "little")
"""A log record's time (1), so that ``auto`` knows one."""
DECODERS = ["otlp_metrics", "otlp_logs", "otlp_spans", "auto"]


def varint(n: int) -> bytes:
    digits = bytearray()
    while n > 0x7F:
        digits.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*digits, n])


def nested(levels: int, inner: bytes = b"") -> bytes:
    """Return a value that is an array of one value, and so on: two messages a level."""
    parts, size = [inner], len(inner)
    for _ in range(levels):
        for field in (0x0A, 0x2A):
            parts.append(bytes([field]) + varint(size))
            size += len(parts[-1])
    return b"".join(reversed(parts))


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def in_sender(value: bytes) -> bytes:
    """Return a message whose sender has an attribute of this value, and that holds one log record, metric or span."""
    attribute = field(1, b"k") + field(2, value)
    return field(1, field(1, field(1, attribute)) + field(2, field(2, ITEM_TIME)))


def in_item(value: bytes) -> bytes:
    """Return a message with a log record whose body is this value; elsewhere it is an unknown or a broken field."""
    return field(1, field(2, field(2, ITEM_TIME + field(5, value))))


def reasons(decoder: str, value: bytes) -> list[RejectReason]:
    config = IngestConfig(decoders={"t": decoder})
    decoded = decode(config, "t", InRecord(0, T0, None, value))
    assert decoded.readings == [] or len(decoded.readings) == 1
    return [rejection.reason for rejection in decoded.rejections]


@pytest.mark.parametrize("decoder", DECODERS)
def test_attributes_may_nest_a_little(decoder: str) -> None:
    assert RejectReason.INVALID_PROTOBUF not in reasons(
        decoder, field(1, field(1, field(1, field(1, b"k") + field(2, nested(40)))))
    )


@pytest.mark.parametrize("levels", [60, 5_000, 110_000])
@pytest.mark.parametrize("decoder", DECODERS)
def test_attributes_that_nest_without_end_are_refused(decoder: str, levels: int) -> None:
    value = in_sender(nested(levels))

    assert len(value) < IngestConfig().max_message_bytes
    assert reasons(decoder, value) == [RejectReason.INVALID_PROTOBUF]


@pytest.mark.parametrize("decoder", ["otlp_logs", "auto"])
def test_a_body_that_nests_without_end_is_refused(decoder: str) -> None:
    assert reasons(decoder, in_item(nested(110_000))) == [RejectReason.INVALID_PROTOBUF]
    assert RejectReason.INVALID_PROTOBUF not in reasons(decoder, in_item(nested(40)))


@pytest.mark.parametrize("decoder", ["otlp_metrics", "otlp_logs", "otlp_spans"])
def test_groups_that_nest_without_end_in_a_field_that_nobody_knows_are_refused(decoder: str) -> None:
    unknown_group = b"\x9b\x06"  # field 99, start
    assert reasons(decoder, unknown_group * 200_000) == [RejectReason.INVALID_PROTOBUF]
