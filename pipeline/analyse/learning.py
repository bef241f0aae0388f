"""When a service's models must not learn, and what people said of its alerts: the learning discipline of one service.

Learning stops while an incident, a deployment, an experiment or maintenance is open; judging never does. What was seen
meanwhile is discarded, unless somebody says that it is the new normal.
"""

from collections.abc import Iterable
from dataclasses import field
from typing import Annotated, Any

import msgspec
from pydantic import Field
from pydantic.dataclasses import dataclass

from models.errors import ModelStateError
from pipeline.contracts.config import PARAMS
from pipeline.contracts.partials import ChangeNote, FeedbackNote, FeedbackVerdict

Seconds = Annotated[float, Field(gt=0)]
_MAX_SAID = 32
"""Feedback remembered, the newest, so that what comes twice counts once."""
_MAX_CONDITIONS = 64
"""Conditions of which alarms and feedback are counted."""


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class LearningParams:
    """When learning stops, and what feedback does.

    Attributes
    ----------
    freeze_s
        By type of change event: how long learning stops when the event names no ``until``, seconds, above 0. A change of
        another type does not stop it. A later event of the same type takes the place of the earlier one, so one whose
        ``until`` is its ``time`` ends it.
    freeze_most_s
        ... and at most for so long, whatever ``until`` says, seconds, above 0.
    raise_times
        A false positive multiplies the condition's threshold for this service by so much, in [1, 3].
    raise_most
        ... up to so much in all, in [1, 10].
    raise_s
        ... for so long from the last one, seconds, above 0.

    """

    freeze_s: dict[str, Seconds] = field(
        default_factory=lambda: {"deployment": 900.0, "experiment": 3600.0, "maintenance": 3600.0, "incident": 3600.0}
    )
    freeze_most_s: Seconds = 2 * 86_400.0
    raise_times: Annotated[float, Field(ge=1, le=3)] = 1.3
    raise_most: Annotated[float, Field(ge=1, le=10)] = 2.0
    raise_s: Seconds = 7 * 86_400.0


class Count(msgspec.Struct, array_like=True):
    """Of one condition: alarms that opened, and feedback by verdict."""

    alarms: int = 0
    false_positive: int = 0
    expected: int = 0
    new_normal: int = 0

    def marks(self) -> dict[str, int]:
        """Return the four by name."""
        return {
            "opened": self.alarms,
            "false_positive": self.false_positive,
            "expected": self.expected,
            "new_normal": self.new_normal,
        }


class _State(msgspec.Struct):
    v: int
    freezes: dict[str, tuple[int, int, int]]
    raised: dict[str, tuple[float, int]]
    said: list[tuple[int, str, str]]
    counts: dict[str, Count]


class Discipline:
    """One service's freezes, raised thresholds and counts; all times are event time.

    Notes
    -----
    Memory: a freeze by type of change, at most 32 feedback notes and 64 conditions.

    """

    def __init__(self, params: LearningParams) -> None:
        self._params = params
        self._freezes: dict[str, tuple[int, int, int]] = {}
        """(time of the event, start, end) of the newest change by type, ms."""
        self._raised: dict[str, tuple[float, int]] = {}
        """(threshold times, until ms) by condition."""
        self._said: list[tuple[int, str, str]] = []
        self.counts: dict[str, Count] = {}

    def note_changes(self, changes: Iterable[ChangeNote]) -> None:
        """Take change events in; one that was taken in before changes nothing."""
        for change in changes:
            usual_s = self._params.freeze_s.get(change.type)
            known = self._freezes.get(change.type)
            if usual_s is None or (known is not None and known[0] > change.time_ms):
                continue
            end_ms = change.time_ms + round(usual_s * 1000) if change.until_ms is None else change.until_ms
            most_ms = change.time_ms + round(self._params.freeze_most_s * 1000)
            self._freezes[change.type] = (change.time_ms, change.time_ms, min(end_ms, most_ms))

    def open_change(self, start_ms: int, end_ms: int) -> str | None:
        """Return the type of a change that is open in ``[start_ms, end_ms)``; ``None``: there is none."""
        for kind, (_, from_ms, until_ms) in self._freezes.items():
            if from_ms < end_ms and start_ms < until_ms:
                return kind
        return None

    def heard(self, notes: Iterable[FeedbackNote]) -> list[FeedbackNote]:
        """Return the notes that were not heard before, and remember them."""
        fresh = []
        for note in notes:
            name = (note.time_ms, note.condition, note.verdict.value)
            if name not in self._said:
                fresh.append(note)
                self._said = [*self._said[1 - _MAX_SAID :], name]
        return fresh

    def count_alarm(self, condition: str) -> None:
        """Count an alarm that opened."""
        if (count := self._count(condition)) is not None:
            count.alarms += 1

    def count_feedback(self, condition: str, verdict: FeedbackVerdict) -> None:
        """Count what a person said of a condition's alarm."""
        if (count := self._count(condition)) is not None:
            setattr(count, verdict.value, getattr(count, verdict.value) + 1)

    def raise_threshold(self, condition: str, at_ms: int) -> None:
        """Raise a condition's threshold because its alarm was false."""
        times = min(self.thresholds(at_ms).get(condition, 1.0) * self._params.raise_times, self._params.raise_most)
        if condition in self._raised or len(self._raised) < _MAX_CONDITIONS:
            self._raised[condition] = (times, at_ms + round(self._params.raise_s * 1000))

    def thresholds(self, at_ms: int) -> dict[str, float]:
        """Return by how much thresholds are multiplied now, by condition; those not named are as they are."""
        if not self._raised:
            return {}
        return {condition: times for condition, (times, until_ms) in self._raised.items() if at_ms < until_ms}

    def _count(self, condition: str) -> Count | None:
        if condition not in self.counts and len(self.counts) >= _MAX_CONDITIONS:
            return None
        return self.counts.setdefault(condition, Count())

    def to_state(self) -> dict[str, Any]:
        """Return plain, versioned data."""
        state = _State(v=1, freezes=self._freezes, raised=self._raised, said=self._said, counts=self.counts)
        plain: dict[str, Any] = msgspec.to_builtins(state)
        return plain

    def from_state(self, state: object) -> "Discipline":
        """Take plain data over.

        Raises
        ------
        ModelStateError
            If it is of another version, or incomplete.

        """
        try:
            read = msgspec.convert(state, _State)
        except msgspec.ValidationError as problem:
            raise ModelStateError(f"a discipline cannot be read: {problem}") from problem
        if read.v != 1:
            raise ModelStateError(f"expected a discipline v1, got v{read.v}")
        self._freezes, self._raised, self._said, self.counts = read.freezes, read.raised, read.said, read.counts
        return self
