"""What a stage reads and what it says: Kafka records without Kafka."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes], ...]


class InRecord(msgspec.Struct, frozen=True):
    """One record as it was read. ``timestamp_ms`` is Kafka's; header values are bytes or ``None``."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


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

    """

    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: Mapping[int, tuple[tuple[str, bytes | None], ...]]

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
        )

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, at: int) -> InRecord: ...
    @overload
    def __getitem__(self, at: slice) -> "InRecords": ...
    def __getitem__(self, at: int | slice) -> "InRecord | InRecords":
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            headers = {n - start: headers for n, headers in self.headers.items() if start <= n < stop}
            return InRecords(
                self.offsets[start:stop], self.timestamps_ms[start:stop], self.keys[start:stop], self.values[start:stop], headers
            )
        at = range(len(self))[at]
        return InRecord(
            int(self.offsets[at]), int(self.timestamps_ms[at]), self.keys[at], self.values[at], self.headers.get(at, ())
        )


class OutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record to publish. ``topic`` is a logical name of config/topics.yaml, such as ``signals``.

    ``partition``: ``None`` lets the key decide. ``timestamp_ms``: ``None`` is now.
    """

    topic: str
    key: str
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None
