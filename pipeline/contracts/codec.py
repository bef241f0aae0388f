"""How a record becomes bytes on a topic, and back: JSON, validated against its type."""

from typing import TypeVar

import msgspec

from pipeline.errors import RecordInvalid

T = TypeVar("T")
_encoder = msgspec.json.Encoder()
_decoders: dict[object, msgspec.json.Decoder[object]] = {}


def encode(record: object) -> bytes:
    """Return the JSON bytes of a contract record."""
    return _encoder.encode(record)


def decode(value: bytes, record_type: type[T]) -> T:
    """Return the record that ``value`` holds.

    Raises
    ------
    RecordInvalid
        If ``value`` is not JSON, or breaks the type's rules; the message names the place and the rule.

    """
    decoder = _decoders.get(record_type)
    if decoder is None:
        decoder = _decoders[record_type] = msgspec.json.Decoder(record_type)
    try:
        return decoder.decode(value)  # type: ignore[return-value]
    except msgspec.DecodeError as problem:  # ValidationError is one
        name = getattr(record_type, "__name__", str(record_type))
        raise RecordInvalid(f"not a {name}: {problem}") from problem
