"""What the bulk driver takes out of aiokafka's fetcher at once: whole runs of one partition's records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from faust.types import TP

from pipeline.adapters.transport.runs import RawRecords
from pipeline.contracts.records import InRecord

MAX_RECORDS = 65_536
MAX_BYTES = 8 * 1024 * 1024
"""Of one batch; with MAX_WAITING it bounds what a partition may hold in memory."""
MAX_WAITING = 2
"""Batches of one partition that wait for their agent, besides the one in work."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive records of one partition, raw, as one message.

    Attributes
    ----------
    begins_at
        Fetch position before it; equals the ``next_offset`` delivered before, unless something was lost or sought.
    records
        In order; may be empty where the log holds only markers.
    next_offset
        Fetch position after it.
    high_watermark
        End of the log as the broker told with the last fetch.
    n_seeks
        How often the partition had been sought when this was taken; a batch from before the last seek is stale.
    max_batch_bytes
        What record batches were held to when they were decompressed, bytes; ``None``: nobody has said.

    """

    topic: str
    partition: int
    begins_at: int
    records: Sequence[InRecord]
    next_offset: int
    high_watermark: int
    n_seeks: int = 0
    max_batch_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """Records of one partition taken out of the fetcher, in the consumer's thread."""

    tp: TP
    records: Sequence[Any]
    begins_at: int
    next_offset: int
    high_watermark: int
    n_seeks: int
    max_batch_bytes: int


def take_run(tp: TP, result: Any, *, max_records: int, max_bytes: int, max_batch_bytes: int) -> Sequence[InRecord]:
    """Take records out of an aiokafka ``FetchResult`` (untyped) as its ``getall`` does, but as columns and within limits.

    At most ``max_records``, and no more once ``max_bytes`` are reached; always the first one, however large it is. No record
    batch is decompressed to more than ``max_batch_bytes``.

    Raises
    ------
    aiokafka.errors.CorruptRecordException
        If a checksum is wrong; nothing is taken then, and what was fetched is fetched again.

    """
    if not result.check_assignment(tp) or not result.has_more():
        return ()
    raw = result._partition_records  # noqa: SLF001 - getall has no limit in bytes
    if not isinstance(raw, RawRecords):
        raw = result._partition_records = RawRecords(raw, max_batch_bytes=max_batch_bytes)  # noqa: SLF001 - likewise
    records, has_more = raw.take(max_records=max_records, max_bytes=max_bytes)
    result._update_position()  # noqa: SLF001 - likewise
    if not has_more:
        result._partition_records = None  # noqa: SLF001 - what getall leaves behind when it has taken all
    return records


def as_batch(taken: Taken) -> Batch:
    """Return what an agent gets."""
    return Batch(
        topic=taken.tp.topic,
        partition=taken.tp.partition,
        begins_at=taken.begins_at,
        records=taken.records,
        next_offset=taken.next_offset,
        high_watermark=taken.high_watermark,
        n_seeks=taken.n_seeks,
        max_batch_bytes=taken.max_batch_bytes,
    )
