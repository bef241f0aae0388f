"""One part of what is known of a service: a model, its newest snapshot, and the points that came since.

A snapshot and the points behind it are the model: folding the points into it again gives the same state, number by number.
docs/adr/0008 has the protocol.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Generic, Protocol, TypeVar

import msgspec
from pydantic import Field
from pydantic.dataclasses import dataclass

from models.errors import ModelStateError
from pipeline.contracts.config import PARAMS
from pipeline.contracts.ids import content_id
from pipeline.contracts.rows import pack, unpack
from pipeline.errors import StateError

Seconds = Annotated[float, Field(ge=10)]
P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
Point = TypeVar("Point")
Result = TypeVar("Result")
MAX_POINTS = 96
"""Points kept behind a snapshot; one more, and the next checkpoint takes a new snapshot whatever the schedule says."""


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class MemoryParams:
    """When snapshots of models are taken.

    Attributes
    ----------
    snapshot_s
        Event time between two snapshots of a service's detectors, seconds, at least 10. Shorter: less to fold in again
        after a restart; longer: fewer bytes. What came since is kept window by window.

    novelty_snapshot_s
        The same of its novelty detectors, which are larger and see a rollup of five minutes at a time.

    """

    snapshot_s: Seconds = 300.0
    novelty_snapshot_s: Seconds = 21_600.0


class Foldable(Protocol[P_contra, R_co]):
    """A deterministic model: its state and a point decide the next state and the result."""

    def fold(self, point: P_contra) -> R_co:
        """Take a point in, and return what is to be said."""
        ...

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        ...


class Kept(msgspec.Struct, frozen=True):
    """What a checkpoint is to write of a memory: a new snapshot's state, or the points since the last checkpoint by slot."""

    state: dict[str, Any] | None = None
    points: dict[int, bytes] = {}


class Memory(Generic[Point, Result]):
    """A model with its place in the log.

    Parameters
    ----------
    model
        As it was after ``n`` points, the last of which lay at offset ``applied`` and ended at ``at_ms``.
    interval_ms
        Event time between two snapshots, ms.
    phase_ms
        Where in the interval, ms: spreads services evenly.
    is_kept
        Whether a snapshot of exactly this state is on its topic; without one the next checkpoint takes one.

    Notes
    -----
    Memory: the model, and at most ``MAX_POINTS`` encoded points between two checkpoints.

    """

    def __init__(
        self,
        model: Foldable[Point, Result],
        interval_ms: int,
        phase_ms: int,
        *,
        n: int = 0,
        applied: int = -1,
        at_ms: int = 0,
        is_kept: bool = False,
    ) -> None:
        self.model = model
        self.n = n
        self.applied = applied
        self.at_ms = at_ms
        self._interval_ms = interval_ms
        self._phase_ms = phase_ms
        self._snapshot_n = n
        self._due_ms = self._after(at_ms)
        """From here on a new snapshot is due."""
        self._fresh: list[tuple[int, int, Point]] = []
        self._is_due = not is_kept

    @property
    def n_points(self) -> int:
        """How many points stand behind the newest snapshot."""
        return self.n - self._snapshot_n

    def fold(self, offset: int, point: Point, at_ms: int) -> Result:
        """Fold a point in; ``at_ms`` is the end of its window."""
        result = self.replay(offset, point, at_ms)
        if self.at_ms >= self._due_ms or self.n - self._snapshot_n > MAX_POINTS:
            self._is_due = True
        if self._is_due:
            self._fresh.clear()
        else:
            self._fresh.append((self.n, offset, point))
        return result

    def replay(self, offset: int, point: Point, at_ms: int) -> Result:
        """Fold in a point that is stored already."""
        self.n += 1
        self.applied = offset
        self.at_ms = max(self.at_ms, at_ms)
        return self.model.fold(point)

    def hasten(self) -> None:
        """Have the next checkpoint take a snapshot, if anything came since the last one."""
        if self.n_points:
            self._is_due = True
            self._fresh.clear()

    def take(self) -> Kept:
        """Return what a checkpoint is to write, and count it as written."""
        if self._is_due:
            self._is_due, self._snapshot_n, self._due_ms = False, self.n, self._after(self.at_ms)
            return Kept(state=self.model.to_state())
        points = {n - self._snapshot_n - 1: pack(offset, msgspec.msgpack.encode((n, point))) for n, offset, point in self._fresh}
        self._fresh.clear()
        return Kept(points=points)

    def _after(self, time_ms: int) -> int:
        """Return the first boundary of the schedule after a time."""
        return ((time_ms + self._phase_ms) // self._interval_ms + 1) * self._interval_ms - self._phase_ms


def phase_ms(key: str, interval_ms: int) -> int:
    """Return a service's place in the schedule, in ``[0, interval_ms)``: from its name, so that everybody agrees."""
    return int(content_id("snapshot", key)[:12], 16) % interval_ms


def points_after(rows: Mapping[int, bytes], *, n: int, applied: int, head: int, point_type: type[Point]) -> list[tuple[int, Point]]:
    """Return (offset, point) of what came after a snapshot, in order.

    Parameters
    ----------
    rows
        Point rows by slot.
    n, applied
        Of the snapshot.
    head
        Offset that the partition's head row vouches for. What lies above may be cut off: a checkpoint was.
    point_type
        Of the points.

    Raises
    ------
    ModelStateError
        If one is missing that the head row vouches for.

    """
    found: dict[int, tuple[int, Point]] = {}
    for row in rows.values():
        with suppress(StateError, msgspec.DecodeError):  # one that cannot be read is as good as missing
            offset, body = unpack(row)
            if offset > applied:
                at, point = msgspec.msgpack.decode(body, type=tuple[int, point_type])  # type: ignore[valid-type]
                found[at] = (offset, point)  # two writers may have put the same point into two slots
    points: list[tuple[int, Point]] = []
    for i, at in enumerate(sorted(found)):
        offset, point = found[at]
        if at != n + i + 1:
            if offset <= head:
                raise ModelStateError(f"the point after {n + i} is missing, the next one is {at}")
            break
        points.append((offset, point))
    return points
