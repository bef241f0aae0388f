"""Records out of aiokafka's record batches, a batch at a time, as columns: no object per record outlives its parser."""

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

import numpy as np
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from numpy.typing import NDArray

from pipeline.adapters.codecs import BatchTooLarge, BatchUnread, bounded
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.records import InRecords, RefusedBatch

_offset, _timestamp, _key, _value, _headers = map(attrgetter, ("offset", "timestamp", "key", "value", "headers"))
_UNCOMPRESSED = 0
_MAGIC_THAT_TELLS = 2
"""The message format from which on a batch says which offsets it has; before, it has only that of its last record, at times."""
_NOWHERE = -2
"""No position of a partition: aiokafka then drops what was fetched, and fetches it again."""
_NO_TIMESTAMP = -1
"""What Kafka calls the timestamp of a record that has none, as those of message format 0."""
PARSED_AT_ONCE = 65_536
"""Records of a batch: parsed, a record of seven bytes takes two hundred."""
_UNREADABLE = (CorruptRecordException, UnsupportedCodecError, ValueError, OverflowError, struct.error)
"""What aiokafka's parsers raise over bytes that make no sense; a name of a header that is no UTF-8 among them."""


class RawRecords:
    """Stands where aiokafka has its ``PartitionRecords`` (untyped), and treats checksums, markers and transactions as that does.

    A record batch that would be larger than ``max_batch_bytes`` decompressed, or whose bytes make no sense although its checksum is
    right, is one record that says so (:class:`~pipeline.contracts.records.RefusedBatch`): nothing else would ever get past it.
    Which records of it come before that, and where it stands, follows from its bytes and from the limit alone.

    Attributes
    ----------
    next_fetch_offset
        Where the partition goes on after what was taken.

    """

    def __init__(self, fetched: Any, *, max_batch_bytes: int) -> None:
        self.next_fetch_offset: int = fetched.next_fetch_offset
        self._fetched = fetched
        fetched._records_iterator = None  # noqa: SLF001 - holds its owner: what was fetched would stay until a collection
        self._left: InRecords | None = None
        self._left_until = self.next_fetch_offset
        self._is_compressed = False
        self._max_batch_bytes = max_batch_bytes
        self._batch: Any = None
        self._parsing: Iterator[Any] | None = None
        self._parsed_until = 0

    def take(self, *, max_records: int, max_bytes: int) -> tuple[InRecords, bool]:
        """Return the next records within limits (see ``take_run``), and whether there may be more.

        Raises
        ------
        CorruptRecordException
            If a checksum is wrong.

        """
        taken: list[InRecords] = []
        n_taken, size, position = 0, 0, self.next_fetch_offset
        while n_taken < max_records and size < max_bytes:
            left = self._left or self._next_records(position)
            if left is None:
                self.next_fetch_offset = max(position, self._left_until)
                return _joined(taken), False
            n, here = self._fitting(left, max_records - n_taken, max_bytes - size)
            taken.append(left[:n] if n < len(left) else left)
            self._left = left[n:] if n < len(left) else None
            is_done = self._left is None and self._batch is None
            position = self._left_until if is_done else int(taken[-1].offsets[-1]) + 1
            n_taken, size = n_taken + n, size + here
        self.next_fetch_offset = position
        return _joined(taken), True

    def _next_records(self, position: int) -> InRecords | None:
        """Parse the next records from ``position`` on, at most those of one batch."""
        while self._batch is not None or self._begin_batch():
            try:
                records, offsets = self._parse()
            except (BatchUnread, *_UNREADABLE) as problem:
                refusal = self._refusal(position, problem)
                if self._left_until > position:
                    return refusal
                continue
            if records:
                self._left_until = max(self._left_until, self._parsed_until)  # old formats do not tell, at times
                if records[0].offset < position:  # a compressed batch is fetched whole, wherever the position is
                    begin = int(np.searchsorted(offsets, position))
                    records, offsets = records[begin:], offsets[begin:]
            if records:
                return _columns(records, offsets)
        return None

    def _begin_batch(self) -> bool:
        """Go on to the next record batch that holds what is to be read."""
        fetched = self._fetched
        while fetched._records.has_next():  # noqa: SLF001 - what follows is PartitionRecords._unpack_records, a batch at a time
            batch = fetched._records.next_batch()  # noqa: SLF001
            if fetched._check_crcs and not batch.validate_crc():  # noqa: SLF001
                self.next_fetch_offset = _NOWHERE
                raise CorruptRecordException(f"Invalid CRC - {fetched._tp}")  # noqa: SLF001
            self._left_until = batch.next_offset
            if self._is_aborted(batch) or batch.is_control_batch:
                continue
            self._is_compressed = getattr(batch, "compression_type", None) != _UNCOMPRESSED  # old formats do not tell
            self._batch, self._parsing, self._parsed_until = batch, None, getattr(batch, "base_offset", 0)
            return True
        return False

    def _parse(self) -> tuple[list[Any], NDArray[np.int64]]:
        """Return the next records of the batch at hand, and their offsets; it is done with when these are its last.

        Raises
        ------
        ValueError
            If offsets do not ascend, or are not the batch's. A broker looks at what the batch says of them, not at each record.

        """
        with bounded(self._max_batch_bytes):
            if self._parsing is None:
                self._parsing = islice(self._batch, None)  # aiokafka's own iterator is begun only once
            records = list(islice(self._parsing, PARSED_AT_ONCE))  # old formats decompress only here
        offsets = np.fromiter(map(_offset, records), np.int64, len(records))
        if records:
            end = self._batch.next_offset if getattr(self._batch, "magic", 0) >= _MAGIC_THAT_TELLS else None
            first, last = records[0].offset, records[-1].offset
            is_within = self._parsed_until <= first and (end is None or last < end)
            if not is_within or np.count_nonzero(offsets[1:] <= offsets[:-1]):
                raise ValueError("the offsets of records must ascend within their batch")
            self._parsed_until = last + 1
        if len(records) < PARSED_AT_ONCE:
            self._batch = self._parsing = None
        return records, offsets

    def _refusal(self, position: int, problem: Exception) -> InRecords:
        """Return the record that stands for the rest of the batch at hand."""
        batch = self._batch
        self._batch = self._parsing = None
        is_too_large = isinstance(problem, BatchTooLarge)
        reason = RejectReason.BATCH_TOO_LARGE if is_too_large else RejectReason.UNREADABLE_BATCH
        begins_at = max(position, getattr(batch, "base_offset", position))
        said = problem.problem if isinstance(problem, BatchUnread) else str(problem) or type(problem).__name__
        detail = f"{said} (offsets {begins_at} to {self._left_until - 1})"
        return InRecords(
            np.array([begins_at], np.int64),
            np.array([getattr(batch, "max_timestamp", _NO_TIMESTAMP)], np.int64),
            [None],
            [problem.payload if isinstance(problem, BatchUnread) else b""],
            {},
            {0: RefusedBatch(reason, detail, self._left_until - 1)},
        )

    def _is_aborted(self, batch: Any) -> bool:
        fetched = self._fetched
        if fetched._isolation_level != READ_COMMITTED or batch.producer_id is None:  # noqa: SLF001
            return False
        fetched._consume_aborted_up_to(batch.base_offset)  # noqa: SLF001
        aborted = fetched._aborted_producers  # noqa: SLF001
        if batch.is_control_batch and fetched._contains_abort_marker(batch):  # noqa: SLF001
            aborted.discard(batch.producer_id)
        return bool(batch.is_transactional) and batch.producer_id in aborted

    def _fitting(self, records: InRecords, max_records: int, max_bytes: int) -> tuple[int, int]:
        """Return how many records reach a limit, and their bytes: of values, and of the rest where that may be compressed away."""
        values = records.values[:max_records]
        if not self._is_compressed and None not in values:
            size = sum(map(len, values))  # type: ignore[arg-type] # none is None
            if size <= max_bytes:
                return len(values), size
        size = 0
        for n, value in enumerate(values, 1):
            size += _length(value) + _length(records.keys[n - 1])
            size += sum(len(name) + _length(content) for name, content in records.headers.get(n - 1, ()))
            if size >= max_bytes:
                return n, size
        return len(values), size


def _columns(records: Sequence[Any], offsets: NDArray[np.int64]) -> InRecords:
    timestamps = list(map(_timestamp, records))
    if None in timestamps:
        timestamps = [_NO_TIMESTAMP if timestamp is None else timestamp for timestamp in timestamps]
    headers = list(map(_headers, records))
    return InRecords(
        offsets,
        np.array(timestamps, np.int64),
        list(map(_key, records)),
        list(map(_value, records)),
        {at: tuple(some) for at, some in enumerate(headers) if some} if any(headers) else {},
    )


def _joined(parts: Sequence[InRecords]) -> InRecords:
    if len(parts) == 1:
        return parts[0]
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    headers: dict[int, tuple[tuple[str, bytes | None], ...]] = {}
    refused: dict[int, RefusedBatch] = {}
    for part in parts:
        headers |= {at + len(values): some for at, some in part.headers.items()}
        refused |= {at + len(values): why for at, why in part.refused.items()}
        keys += part.keys
        values += part.values
    return InRecords(
        _concatenated([part.offsets for part in parts]),
        _concatenated([part.timestamps_ms for part in parts]),
        keys,
        values,
        headers,
        refused,
    )


def _concatenated(arrays: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)


def _length(data: bytes | None) -> int:
    return 0 if data is None else len(data)
