"""Decoders: which wire format a topic holds, and what one message becomes; no message is able to raise."""

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Rejection, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders.registry import DECODERS, Decoder

__all__ = ["DECODERS", "Decoder", "decode"]


def decode(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what a message holds: each of its records is a reading, a rejection, or ignored.

    The key is not looked at; headers only where a format has no other place for a service's name. The result depends on
    nothing but the arguments.

    Raises
    ------
    KeyError
        If the configuration names no decoder for ``topic``.

    """
    decoder = DECODERS[config.decoders[topic]]
    value = record.value
    if value is None:
        return _refused(RejectReason.EMPTY, "a message must have a value, got a tombstone")
    if len(value) > config.max_message_bytes:
        return _refused(RejectReason.OVERSIZE, f"a message must have at most {config.max_message_bytes} bytes, has {len(value)}")
    if not value or value.isspace():
        return _refused(RejectReason.EMPTY, f"a message must hold a record, got {len(value)} bytes of nothing")
    return decoder(config, topic, record)


def _refused(reason: RejectReason, detail: str) -> Decoded:
    return Decoded(rejections=[Rejection(reason=reason, detail=detail)])
