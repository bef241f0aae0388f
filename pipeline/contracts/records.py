"""What a stage reads and what it says: Kafka records without Kafka."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.contracts.readings import RejectReason

Headers = tuple[tuple[str, bytes], ...]


class RefusedBatch(msgspec.Struct, frozen=True):
    """Why a record batch was not read, or not to its end: one record stands for all of its offsets up to ``last_offset``."""

    reason: RejectReason
    detail: str
    last_offset: int


class InRecord(msgspec.Struct, frozen=True):
    """One record as it was read. ``timestamp_ms`` is Kafka's; header values are bytes or ``None``.

    With ``refused`` it stands for a record batch, and its value is what of that was not decompressed (empty: it is not known).
    """

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    refused: RefusedBatch | None = None


@dataclass(frozen=True, slots=True)
class InRecords(Sequence[InRecord]):
    """Records of one partition as columns; an :class:`InRecord` is made only of one that is asked for.

    Plain lists of bytes, because the garbage collector looks through objects that may hold others, however many wait.

    Attributes
    ----------
    offsets
        Ascending.
    timestamps_ms
        Kafka's, epoch ms.
    keys, values
        One a record; a value of ``None`` is a tombstone.
    headers
        By index, of the records that have any.
    refused
        By index, of the records that stand for a record batch.

    """

    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: Mapping[int, tuple[tuple[str, bytes | None], ...]]
    refused: Mapping[int, RefusedBatch] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Sequence[InRecord]) -> Self:
        """Return records as columns; those that are columns already, themselves."""
        if isinstance(records, cls):
            return records
        return cls(
            np.array([record.offset for record in records], np.int64),
            np.array([record.timestamp_ms for record in records], np.int64),
            [record.key for record in records],
            [record.value for record in records],
            {at: record.headers for at, record in enumerate(records) if record.headers},
            {at: record.refused for at, record in enumerate(records) if record.refused is not None},
        )

    def read(self) -> Self:
        """Return the same records, those that stand for a batch without their values."""
        if not self.refused:
            return self
        return replace(self, values=[None if at in self.refused else value for at, value in enumerate(self.values)])

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[InRecord]:
        columns = zip(self.offsets.tolist(), self.timestamps_ms.tolist(), self.keys, self.values, strict=True)
        if not (self.headers or self.refused):
            for column in columns:
                yield InRecord(*column)
            return
        for at, column in enumerate(columns):
            yield InRecord(*column, self.headers.get(at, ()), self.refused.get(at))

    @overload
    def __getitem__(self, at: int) -> InRecord: ...
    @overload
    def __getitem__(self, at: slice) -> "InRecords": ...
    def __getitem__(self, at: int | slice) -> "InRecord | InRecords":
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            return InRecords(
                self.offsets[start:stop],
                self.timestamps_ms[start:stop],
                self.keys[start:stop],
                self.values[start:stop],
                {n - start: headers for n, headers in self.headers.items() if start <= n < stop},
                {n - start: refused for n, refused in self.refused.items() if start <= n < stop},
            )
        at = range(len(self))[at]
        return InRecord(
            int(self.offsets[at]),
            int(self.timestamps_ms[at]),
            self.keys[at],
            self.values[at],
            self.headers.get(at, ()),
            self.refused.get(at),
        )


class OutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record to publish. ``topic`` is a logical name of config/topics.yaml, such as ``signals``.

    ``partition``: ``None`` lets the key decide. ``timestamp_ms``: ``None`` is now. ``closes_ms`` does not travel: the end of
    the window that the record is the first to publish, epoch ms; ``None``: of none.
    """

    topic: str
    key: str
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None
    closes_ms: int | None = None
