"""What a stage reads and what it says: Kafka records without Kafka."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, overload

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


class Labelled(Protocol):
    """The part of a record that is seldom looked at."""

    @property
    def key(self) -> bytes | None:
        """Kafka's key."""
        ...

    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]:
        """Kafka's headers."""
        ...


@dataclass(frozen=True, slots=True)
class InRecords(Sequence[InRecord]):
    """Records of one partition as columns; an :class:`InRecord` is made only of one that is asked for.

    Attributes
    ----------
    offsets
        Ascending.
    timestamps_ms
        Kafka's, epoch ms.
    values
        One a record; ``None`` is a tombstone.
    labelled
        What key and headers are taken from, one a record.

    """

    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    values: list[bytes | None]
    labelled: Sequence[Labelled]

    @classmethod
    def of(cls, records: Sequence[InRecord]) -> Self:
        """Return records as columns; those that are columns already, themselves."""
        if isinstance(records, cls):
            return records
        return cls(
            np.array([record.offset for record in records], np.int64),
            np.array([record.timestamp_ms for record in records], np.int64),
            [record.value for record in records],
            records,
        )

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, at: int) -> InRecord: ...
    @overload
    def __getitem__(self, at: slice) -> "InRecords": ...
    def __getitem__(self, at: int | slice) -> "InRecord | InRecords":
        if isinstance(at, slice):
            return InRecords(self.offsets[at], self.timestamps_ms[at], self.values[at], self.labelled[at])
        labelled = self.labelled[at]
        return InRecord(int(self.offsets[at]), int(self.timestamps_ms[at]), labelled.key, self.values[at], tuple(labelled.headers))


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
