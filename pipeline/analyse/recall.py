"""A service's memory made again from its rows: the newest snapshot, and what came since folded in once more.

What cannot be read starts cold, and says why; it never stops a worker, and nothing is guessed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.errors import ModelStateError
from pipeline.analyse.memory import Foldable, Memory, points_after
from pipeline.analyse.memory_rows import Stored, whole_model
from pipeline.contracts.models import ModelSnapshot, read_snapshot
from pipeline.contracts.rows import applied_of
from pipeline.errors import RecordInvalid, StateError

_UNREADABLE = (
    ModelStateError,
    RecordInvalid,
    StateError,
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    ArithmeticError,
)
"""What a damaged or foreign state may raise while it is read."""


class Recalled(NamedTuple):
    """A memory, and why it starts cold though something was stored; empty: it does not."""

    memory: Memory[Any, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """How one part of a service's memory is read back.

    Attributes
    ----------
    fresh, load
        Make a model that knows nothing, and one of a state; ``load`` may raise.
    interval_ms, phase_ms
        Of its snapshots; see :class:`Memory`.
    point_type
        Of its points, which have an ``end_ms``.
    app
        Whose offsets count. A snapshot of another app is a warm start, if it is of a time before ``before_ms``.
    head
        Offset that the partition's head row vouches for.
    before_ms
        Start of the window at hand.

    """

    fresh: Callable[[], Foldable[Any, Any]]
    load: Callable[[Mapping[str, Any]], Foldable[Any, Any]]
    interval_ms: int
    phase_ms: int
    point_type: type
    app: str
    head: int
    before_ms: int

    def __call__(self, stored: Stored) -> Recalled:
        """Return what is remembered."""
        try:
            memory = self._read(stored)
        except _UNREADABLE as problem:
            return Recalled(self._memory(self.fresh()), str(problem) or repr(problem))
        return Recalled(memory or self._memory(self.fresh()))

    def _read(self, stored: Stored) -> Memory[Any, Any] | None:
        snapshot = None if stored.snapshot is None else read_snapshot(stored.snapshot)
        if stored.whole is not None and (
            snapshot is None or snapshot.app != self.app or applied_of(stored.whole) > snapshot.applied
        ):
            return self._memory(self.load(whole_model(stored.whole)), applied=applied_of(stored.whole))
        if snapshot is not None and snapshot.app == self.app:
            return self._replayed(snapshot, stored.points)
        if stored.points:
            raise ModelStateError(f"there are {len(stored.points)} points, and no snapshot that they belong to")
        if snapshot is None:
            return None
        if snapshot.at_ms > self.before_ms:
            raise ModelStateError(
                f"the snapshot of {snapshot.app!r} is of {snapshot.at_ms} ms, later than the first window, of {self.before_ms} ms"
            )
        return self._memory(self.load(snapshot.state), at_ms=snapshot.at_ms)

    def _replayed(self, snapshot: ModelSnapshot, rows: Mapping[int, bytes]) -> Memory[Any, Any]:
        memory = self._memory(self.load(snapshot.state), n=snapshot.n, applied=snapshot.applied, at_ms=snapshot.at_ms, is_kept=True)
        points: list[tuple[int, Any]] = points_after(
            rows, n=snapshot.n, applied=snapshot.applied, head=self.head, point_type=self.point_type
        )
        for offset, point in points:
            memory.replay(offset, point, point.end_ms)
        return memory

    def _memory(self, model: Foldable[Any, Any], **place: Any) -> Memory[Any, Any]:
        return Memory(model, self.interval_ms, self.phase_ms, **place)
