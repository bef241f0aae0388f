"""Why a record is on `tocsin.dead-letters`: travels in a header, beside the record's untouched bytes."""

from base64 import b64encode

import msgspec

from pipeline.contracts.codec import encode
from pipeline.contracts.ids import content_id
from pipeline.contracts.readings import Rejection
from pipeline.contracts.records import InRecord, OutRecord

SCHEMA = 1
"""Version of these records. Given by a factory, so that it is written even where defaults are left out."""
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

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
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


MAX_LISTED = 100
"""Rejections listed in one dead letter; the rest are in its count."""


def dead_letter(
    *,
    topic: str,
    partition: int,
    record: InRecord,
    rejections: list[Rejection],
    n_records: int,
    config: str = "",
    origin: tuple[str, str, str] = ("", "", ""),
) -> OutRecord:
    """Return the dead letter of a record; the same again whenever the same record is read again.

    Parameters
    ----------
    topic, partition
        Where it was read.
    record
        The record. Value and headers travel untouched.
    rejections
        Every rule that it broke; at least one.
    n_records
        How many records the message holds, the good ones too.
    config
        Hash of the ingest configuration that refused it.
    origin
        Environment, service and version that it says it is about, as far as they can be read.

    """
    environment, service, version = origin
    letter = DeadLetter(
        id=content_id("dead-letter", topic, partition, record.offset, record.timestamp_ms),
        topic=topic,
        partition=partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        key_base64=None if record.key is None else b64encode(record.key).decode(),
        is_tombstone=record.value is None,
        config=config,
        n_records=n_records,
        rejections=rejections[:MAX_LISTED],
        n_rejected=len(rejections),
        environment=environment,
        service=service,
        version=version,
    )
    return OutRecord(
        topic="dead-letters",
        key=f"{topic}/{partition}/{record.offset}",
        value=record.value,
        headers=(*record.headers, (HEADER, encode(letter))),
    )
