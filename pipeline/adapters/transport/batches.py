"""What the bulk driver takes out of aiokafka's fetcher at once: whole runs of one partition's records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from faust.types import TP

from pipeline.contracts.records import InRecord

MAX_RECORDS = 65_536
MAX_BYTES = 8 * 1024 * 1024
"""Of keys, values and headers of one batch; with MAX_WAITING it bounds what a partition may hold in memory."""
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

    """

    topic: str
    partition: int
    begins_at: int
    records: list[InRecord]
    next_offset: int
    high_watermark: int
    n_seeks: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """Records of one partition taken out of the fetcher, in the consumer's thread."""

    tp: TP
    records: Sequence[Any]
    begins_at: int
    next_offset: int
    high_watermark: int
    n_seeks: int


def take_run(tp: TP, result: Any, *, max_records: int, max_bytes: int) -> list[Any]:
    """Take records out of an aiokafka ``FetchResult`` (untyped) as its ``getall`` does, within limits.

    At most ``max_records``, and no more once ``max_bytes`` are reached; always the first one, however large it is.
    """
    taken: list[Any] = []
    if not result.check_assignment(tp) or not result.has_more():
        return taken
    size = 0
    for record in result._partition_records:  # noqa: SLF001 - getall has no limit in bytes
        taken.append(record)
        size += _size(record)
        if size >= max_bytes or len(taken) >= max_records:
            result._update_position()  # noqa: SLF001 - likewise
            return taken
    result._update_position()  # noqa: SLF001 - likewise
    result._partition_records = None  # noqa: SLF001 - what getall leaves behind when it has taken all
    return taken


def as_batch(taken: Taken) -> Batch:
    """Return what an agent gets."""
    return Batch(
        topic=taken.tp.topic,
        partition=taken.tp.partition,
        begins_at=taken.begins_at,
        records=[InRecord(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in taken.records],
        next_offset=taken.next_offset,
        high_watermark=taken.high_watermark,
        n_seeks=taken.n_seeks,
    )


def _size(record: Any) -> int:
    size: int = max(record.serialized_key_size, 0) + max(record.serialized_value_size, 0)
    for name, value in record.headers:
        size += len(name) + len(value or b"")
    return size
