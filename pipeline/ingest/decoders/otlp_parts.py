"""What the parts of every OTLP message mean: attributes, times, and whether the bytes are such a message at all."""

from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, NumberDataPoint

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Rejection, RejectReason
from pipeline.ingest.decoders.harvest import refused_message
from pipeline.ingest.decoders.otlp_json import from_json
from pipeline.ingest.semantics import Attribute
from pipeline.ingest.times import believed
from pipeline.ingest.validation import missing, refused

M = TypeVar("M", bound=Message)
NO_RECORDED_VALUE = 1
"""Flag of a point that only says that its series ended (a staleness marker)."""


def parsed(kind: type[M], value: bytes) -> M | Decoded:
    """Return the message that bytes hold, or that they are refused.

    Unknown fields are ignored, as the protocol demands; wrong wire types, cut ends, text that is not UTF-8 and nesting
    beyond protobuf's own limit (100) are not.
    """
    message = kind()
    try:
        message.ParseFromString(value)
    except DecodeError as problem:
        detail = f"a message must be an OTLP {kind.__name__} in protobuf: {problem}"
        return refused_message(RejectReason.INVALID_PROTOBUF, detail)
    return message


def message_of(config: IngestConfig, kind: type[M], value: bytes) -> tuple[M, list[Rejection]] | Decoded:
    """Return the message that bytes hold in protobuf or in JSON, with what of it is refused; or that it is refused whole."""
    if value.lstrip()[:1] in {b"{", b"["}:
        return from_json(config, value, kind)
    message = parsed(kind, value)
    return message if isinstance(message, Decoded) else (message, [])


def attributes_of(config: IngestConfig, attributes: Iterable[KeyValue], field: str) -> dict[str, Attribute]:
    """Return attributes that are text, numbers or booleans, by name; others say nothing that is looked for.

    Raises
    ------
    FieldRefused
        If there are too many.

    """
    found: dict[str, Attribute] = {}
    n = 0
    for attribute in attributes:
        n += 1
        value = scalar(attribute.value)
        if value is not None:
            found[attribute.key] = value
    if n > config.max_attributes:
        raise refused(RejectReason.TOO_MANY_ATTRIBUTES, field, f"must be at most {config.max_attributes}", n)
    return found


def scalar(value: AnyValue) -> Attribute | None:
    """Return a text, number or boolean; ``None`` for anything else."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "int_value":
        return value.int_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "double_value":
        return value.double_value
    return None


def number_of(point: NumberDataPoint | Exemplar) -> float:
    """Return a point's value, of whichever of the two types it is; 0: it has none."""
    return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double


def recorded(point: NumberDataPoint) -> float | None:
    """Return a point's value; ``None``: nothing was measured."""
    value = number_of(point)
    return None if point.flags & NO_RECORDED_VALUE or value != value else value  # noqa: PLR0124 - NaN


def time_ms(config: IngestConfig, nanoseconds: int, field: str, published_ms: int) -> int:
    """Return a time in epoch ms that is believed.

    Raises
    ------
    FieldRefused
        If it is 0 (not given), absurdly early, or too far ahead of its record or behind it.

    """
    if not nanoseconds:
        raise missing(field)
    return believed(config, nanoseconds // 1_000_000, field, nanoseconds, published_ms)
