"""Decoders: which wire format a topic holds, and what one message becomes; no message is able to raise."""

from collections.abc import Callable, Mapping

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Rejection, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders.native import decode_changes, decode_feedback, decode_native

Decoder = Callable[[IngestConfig, InRecord], Decoded]
"""Reads a message whose value is there, not blank, and not oversize."""

DECODERS: Mapping[str, Decoder] = {"native": decode_native, "changes": decode_changes, "feedback": decode_feedback}
"""By the names that ``IngestConfig.decoders`` may use."""


def decode(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what a message holds: each of its records is a reading, a rejection, or ignored.

    Key and headers are not looked at. The result depends on nothing but the arguments.

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
    return decoder(config, record)


def _refused(reason: RejectReason, detail: str) -> Decoded:
    return Decoded(rejections=[Rejection(reason=reason, detail=detail)])
