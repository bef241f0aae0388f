"""What a stage is: one partition's pure state machine, that a thin shell feeds, publishes for and checkpoints."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from pipeline.contracts.limits import Bound
from pipeline.contracts.records import InRecord, OutRecord


class InTwoParts(Iterable[OutRecord]):
    """What a step says, of which the second part may wait for what other partitions have to say first.

    Both are said, in order, before the partition's next record is folded in or its rows are taken.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def first(self) -> Iterable[OutRecord]:
        """What is said at once."""
        ...

    @property
    @abstractmethod
    def later(self) -> Iterable[OutRecord] | None:
        """What may wait; ``None``: nothing."""
        ...

    def __iter__(self) -> Iterator[OutRecord]:
        yield from self.first
        yield from self.later or ()


class Stage(Protocol):
    """See docs/architecture.md, "Stages"."""

    @property
    def applied(self) -> int:
        """Offset of the last input record folded in; -1 at first."""
        ...

    @property
    def bounds_reached(self) -> Mapping[Bound, int]:
        """How often each bound of the state was reached; only grows while the stage lives."""
        ...

    def step(self, record: InRecord, now_ms: int) -> Iterable[OutRecord]:
        """Fold one record in; return what to publish, in order. No I/O, no clock but ``now_ms``.

        All of the record is in the state when this returns, however much of what it says was asked for yet. Some of it may
        be said later (:class:`InTwoParts`); it stays the same until it was said.
        """
        ...

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the rows changed since the last call, the head row last; ``None`` deletes a row."""
        ...
