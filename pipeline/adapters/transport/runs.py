"""Records out of aiokafka's record batches, a batch at a time: no object per record but the one that its parser makes."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException

from pipeline.contracts.records import InRecords

_offset, _timestamp, _value = attrgetter("offset"), attrgetter("timestamp"), attrgetter("value")
_UNCOMPRESSED = 0
_NOWHERE = -2
"""No position of a partition: aiokafka then drops what was fetched, and fetches it again."""
_NO_TIMESTAMP = -1
"""What Kafka calls the timestamp of a record that has none, as those of message format 0."""


class RawRecords:
    """Stands where aiokafka has its ``PartitionRecords`` (untyped), and treats checksums, markers and transactions as that does.

    Attributes
    ----------
    next_fetch_offset
        Where the partition goes on after what was taken.

    """

    def __init__(self, fetched: Any) -> None:
        self.next_fetch_offset: int = fetched.next_fetch_offset
        self._fetched = fetched
        self._left: list[Any] = []
        self._left_until = self.next_fetch_offset
        self._is_compressed = False

    def take(self, *, max_records: int, max_bytes: int) -> tuple[InRecords, bool]:
        """Return the next records within limits (see ``take_run``), and whether there may be more.

        Raises
        ------
        CorruptRecordException
            If a checksum is wrong.

        """
        taken: list[Any] = []
        values: list[bytes | None] = []
        size, next_offset = 0, self.next_fetch_offset
        while len(taken) < max_records and size < max_bytes:
            if not self._left and not self._open_batch(next_offset):
                self.next_fetch_offset = max(next_offset, self._left_until)
                return _columns(taken, values), False
            room = self._left[: max_records - len(taken)]
            own = list(map(_value, room))
            n = len(room)
            here = self._size(room, own)
            if size + here > max_bytes:
                n, here = _fitting(room, own, max_bytes - size)
            taken += room[:n]
            values += own[:n]
            size += here
            next_offset = self._left_until if n == len(self._left) else taken[-1].offset + 1
            self._left = self._left[n:]
        self.next_fetch_offset = next_offset
        return _columns(taken, values), True

    def _size(self, records: Sequence[Any], values: Sequence[bytes | None]) -> int:
        """Return the bytes of values, and of keys and headers where compression may have made much of little."""
        size = sum(map(_length, values)) if None in values else sum(map(len, values))  # type: ignore[arg-type] # none is None
        return size + sum(map(_rest, records)) if self._is_compressed else size

    def _open_batch(self, position: int) -> bool:
        """Parse the next record batch that has records from ``position`` on; tell whether there was one."""
        fetched = self._fetched
        while fetched._records.has_next():  # noqa: SLF001 - what follows is PartitionRecords._unpack_records, a batch at a time
            batch = fetched._records.next_batch()  # noqa: SLF001
            if fetched._check_crcs and not batch.validate_crc():  # noqa: SLF001
                self.next_fetch_offset = _NOWHERE
                raise CorruptRecordException(f"Invalid CRC - {fetched._tp}")  # noqa: SLF001
            self._left_until = batch.next_offset
            if self._is_aborted(batch) or batch.is_control_batch:
                continue
            records = list(batch)
            if records and records[0].offset < position:  # a compressed batch is fetched whole, wherever the position is
                records = [record for record in records if record.offset >= position]
            if records:
                self._left, self._is_compressed = (
                    records,
                    getattr(batch, "compression_type", None) != _UNCOMPRESSED,
                )  # old formats do not tell
                self._left_until = max(batch.next_offset, records[-1].offset + 1)  # old formats may tell less
                return True
        return False

    def _is_aborted(self, batch: Any) -> bool:
        fetched = self._fetched
        if fetched._isolation_level != READ_COMMITTED or batch.producer_id is None:  # noqa: SLF001
            return False
        fetched._consume_aborted_up_to(batch.base_offset)  # noqa: SLF001
        aborted = fetched._aborted_producers  # noqa: SLF001
        if batch.is_control_batch and fetched._contains_abort_marker(batch):  # noqa: SLF001
            aborted.discard(batch.producer_id)
        return bool(batch.is_transactional) and batch.producer_id in aborted


def _columns(taken: Sequence[Any], values: list[bytes | None]) -> InRecords:
    n = len(taken)
    timestamps = list(map(_timestamp, taken))
    if None in timestamps:
        timestamps = [_NO_TIMESTAMP if timestamp is None else timestamp for timestamp in timestamps]
    return InRecords(np.fromiter(map(_offset, taken), np.int64, n), np.array(timestamps, np.int64), values, taken)


def _fitting(records: Sequence[Any], values: Sequence[bytes | None], room: int) -> tuple[int, int]:
    """Return how many records reach ``room`` bytes, and how many bytes they are."""
    size = 0
    for n, (record, value) in enumerate(zip(records, values, strict=True), 1):
        size += _length(value) + _rest(record)
        if size >= room:
            return n, size
    return len(records), size


def _length(data: bytes | None) -> int:
    return 0 if data is None else len(data)


def _rest(record: Any) -> int:
    return _length(record.key) + sum(len(name) + _length(value) for name, value in record.headers)
