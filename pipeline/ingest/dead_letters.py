"""What becomes of a message that holds something wrong: its untouched bytes, with the reasons in a header."""

from base64 import b64encode

from pipeline.contracts.codec import encode
from pipeline.contracts.dead_letters import HEADER, DeadLetter
from pipeline.contracts.ids import content_id
from pipeline.contracts.readings import Decoded
from pipeline.contracts.records import InRecord, OutRecord

MAX_LISTED = 100
"""Rejections listed in one dead letter; the rest are in its count."""


def dead_letter(*, source: str, record: InRecord, decoded: Decoded, config_hash: str) -> OutRecord:
    """Return the dead letter of a message; the same again whenever the same record is read again.

    Parameters
    ----------
    source
        ``topic/partition`` that it was read from.
    record
        The message. Value and headers travel untouched.
    decoded
        What it holds; at least one rejection.
    config_hash
        The ingest configuration that refused it.

    """
    topic, partition = source.rsplit("/", 1)
    letter = DeadLetter(
        id=content_id("dead-letter", topic, partition, record.offset, record.timestamp_ms),
        topic=topic,
        partition=int(partition),
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        key_base64=None if record.key is None else b64encode(record.key).decode(),
        is_tombstone=record.value is None,
        config=config_hash,
        n_records=len(decoded.readings) + len(decoded.rejections) + decoded.n_ignored,
        rejections=decoded.rejections[:MAX_LISTED],
        n_rejected=len(decoded.rejections),
    )
    return OutRecord(
        topic="dead-letters",
        key=f"{source}/{record.offset}",
        value=record.value,
        headers=(*record.headers, (HEADER, encode(letter))),
    )
