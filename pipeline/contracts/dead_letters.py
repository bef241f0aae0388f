"""Why a record is on `tocsin.dead-letters`: travels in a header, beside the record's untouched bytes."""

import msgspec

from pipeline.contracts.readings import Rejection

SCHEMA = 1
HEADER = "tocsin-dead-letter"
"""The header that holds a :class:`DeadLetter` as JSON. Value and other headers are those of the record itself."""
REPLAY_HEADER = "tocsin-replayed-from"
"""Set on a replayed record: ``topic/partition/offset`` of the dead letter."""


class DeadLetter(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Where a rejected record came from, and each rule that it broke.

    ``id`` is the same whenever the same record is rejected again. ``n_records`` is how many records the message
    holds; when ``rejections`` name indexes, the others were counted. ``key_base64`` is the record's own key
    (``None``: it had none); the dead letter's Kafka key is ``topic/partition/offset``.
    ``environment``, ``service`` and ``version`` are those of the first rejected record where they can be read.
    """

    schema: int = SCHEMA
    id: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key_base64: str | None
    is_tombstone: bool = False
    config: str
    n_records: int
    rejections: list[Rejection]
    n_rejected: int
    environment: str = ""
    service: str = ""
    version: str = ""
