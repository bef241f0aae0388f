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

REPLAYED_HEADER = "tocsin-replayed"
"""Of a note on the dead-letter topic, without a value, under the letter's own key: the letter with this id was sent again."""


class DeadLetter(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Where a rejected record came from, and each rule that it broke.

    ``id`` is the same whenever the same record is rejected again. ``n_records`` is how many records the message
    holds; when ``rejections`` name indexes, the others were counted. ``key_base64`` is the record's own key
    (``None``: it had none); the dead letter's Kafka key is ``topic/partition/offset``.
    ``n_value_bytes`` is the length of a value that was too long to be kept whole (0: it is whole); the record itself is
    still on its topic. ``last_offset``: the letter is of a record batch that was not read, of all its offsets up to this one;
    its value is that of the batch which is still compressed, or empty.
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
    n_value_bytes: int = 0
    last_offset: int | None = None
    environment: str = ""
    service: str = ""
    version: str = ""


MAX_KEPT_BYTES = 9_437_184
"""Of key, value and headers. A compressed message may be far larger than what topics and producers take; a dead letter that
is refused would stop its partition for ever."""
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
    last_offset = None if record.refused is None else record.refused.last_offset
    n_offsets = 1 if last_offset is None else last_offset - record.offset + 1
    key, headers, value = _kept(record)
    letter = DeadLetter(
        id=content_id("dead-letter", topic, partition, record.offset, record.timestamp_ms),
        topic=topic,
        partition=partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        key_base64=None if key is None else b64encode(key).decode(),
        is_tombstone=record.value is None,
        config=config,
        n_records=n_records * n_offsets,
        rejections=rejections[:MAX_LISTED],
        n_rejected=len(rejections) * n_offsets,
        n_value_bytes=0 if record.value is None or value == record.value else len(record.value),
        last_offset=last_offset,
        environment=environment,
        service=service,
        version=version,
    )
    return OutRecord(
        topic="dead-letters",
        key=f"{topic}/{partition}/{record.offset}",
        value=value,
        headers=(*headers, (HEADER, encode(letter))),
    )


def _kept(record: InRecord) -> tuple[bytes | None, tuple[tuple[str, bytes | None], ...], bytes | None]:
    """Return key, headers and value, each cut to what is left of the limit by those before it."""
    key = None if record.key is None else record.key[: MAX_KEPT_BYTES // 4]  # it grows by a third in the letter
    left = MAX_KEPT_BYTES - 2 * len(key or b"")
    headers = []
    for name, text in record.headers:
        left -= len(name.encode()) + len(text or b"")
        if left < 0:
            break
        headers.append((name, text))
    return key, tuple(headers), None if record.value is None else record.value[: max(left, 0)]
