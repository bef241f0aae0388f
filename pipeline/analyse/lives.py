"""Where a condition of a service stands, and whether one more window fires it, ends it or changes nothing."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.alerts import AlertState
from pipeline.contracts.anomalies import Finding, Judgement, Severity
from pipeline.contracts.config import PARAMS
from pipeline.contracts.exemplars import Exemplar, kept
from pipeline.contracts.partials import ChangeNote

EXEMPLARS = 3
"""Told with an alert."""
Windows = Annotated[int, Field(ge=1, le=1_000)]
Ms = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class ConditionRule:
    """How long a condition must be bad to fire, and recovered to end: windows of the service.

    Attributes
    ----------
    match
        Shell pattern on the condition: ``latency``, ``saturation:*``, ``*``.
    pending_windows
        Consecutive anomalous windows that fire, in [1, 1000]; 1 fires at once.
    wide_from_ms
        A window at least so long can be proof by itself: it fires at once when its score is ``sure_times`` its
        threshold, ms.
    sure_times
        Score over threshold, times, at least 1; what is nearer to its threshold, or has none, waits to be confirmed.
    recovery_windows
        Consecutive recovered windows that end it, in [1, 1000].

    """

    match: str
    pending_windows: Windows = 2
    wide_from_ms: Ms = 60_000
    sure_times: Annotated[float, Field(ge=1)] = 1.3
    recovery_windows: Windows = 3

    def is_proof(self, finding: Finding, window_ms: int) -> bool:
        """Tell whether one anomalous window of this length is proof by itself."""
        threshold = finding.explanation.get("threshold")
        if window_ms < self.wide_from_ms or threshold is None or finding.score is None:
            return False
        return abs(finding.score) >= self.sure_times * threshold


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class Patience:
    """How long a life goes on without news.

    Attributes
    ----------
    reminder_ms
        Event time between two events of a firing alert, ms; 0: every window.
    max_pending_windows
        A condition that neither fires nor calms down in so many windows (no data) is cancelled, in [1, 1000].
    give_up_ms
        A firing condition of which nothing was heard for so long (no data, resource gone) ends unconfirmed, ms; 0: never.

    """

    reminder_ms: Ms = 60_000
    max_pending_windows: Windows = 30
    give_up_ms: Ms = 3_600_000


class Life(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One life of a condition, from its first bad window until it is cancelled or resolved.

    Attributes
    ----------
    since_ms, first_end_ms
        Start and end of the first bad window.
    is_rollup
        It lives on five-minute rollups; other windows do not touch it.
    n_windows
        Windows since it began, also those without a judgement.
    n_bad, n_recovered
        Consecutive ones up to now; a window without a judgement neither adds nor resets.
    judged_ms
        End of the last window that was judged.
    fired_at_ms
        ``None``: pending.
    reported_ms, reported_severity
        Of the last event about it.
    finding
        The last judged one.
    change
        What people did shortly before it began.
    exemplars
        Few of its requests, the slowest so far; of ``errors``, failed ones.
    callees
        What the service called in the window in which it was told of last.

    """

    condition: str
    signal: str
    since_ms: int
    first_end_ms: int
    is_rollup: bool = False
    n_windows: int = 0
    n_bad: int = 0
    n_recovered: int = 0
    judged_ms: int = 0
    fired_at_ms: int | None = None
    reported_ms: int = 0
    reported_severity: Severity = Severity.TICKET
    severity: Severity = Severity.TICKET
    worst_score: float | None = None
    finding: Finding
    change: ChangeNote | None = None
    exemplars: list[Exemplar] = []
    callees: list[str] = []

    @property
    def state(self) -> AlertState:
        """Pending or firing."""
        return AlertState.PENDING if self.fired_at_ms is None else AlertState.FIRING


class Decision(StrEnum):
    """What one more window means for a life."""

    WAIT = "wait"
    """Pending, and neither confirmed nor over."""
    FIRE = "fire"
    CANCEL = "cancel"
    CONTINUE = "continue"
    """Firing, and nothing to say."""
    REMIND = "remind"
    """Firing, and it is time to say so again, or it has become more severe."""
    RECOVER = "recover"
    GIVE_UP = "give_up"
    """Firing, but nothing was heard of it for too long."""


def begun(finding: Finding, start_ms: int, end_ms: int, *, is_rollup: bool) -> Life:
    """Return the life that an anomalous finding begins, before its window is counted."""
    return Life(
        condition=finding.condition,
        signal=finding.signal,
        since_ms=start_ms,
        first_end_ms=end_ms,
        is_rollup=is_rollup,
        judged_ms=end_ms,
        reported_ms=end_ms,
        finding=finding,
    )


def counted(life: Life, finding: Finding | None, end_ms: int, exemplars: Sequence[Exemplar] = ()) -> Life:
    """Return the life with one more window, and its exemplars, in it; ``None``: its verdict says nothing of the condition."""
    n_windows = life.n_windows + 1
    if finding is None or finding.judgement in (Judgement.NOT_READY, Judgement.NO_DATA):
        return msgspec.structs.replace(life, n_windows=n_windows)
    if finding.judgement is Judgement.NORMAL:
        n_recovered = life.n_recovered + 1 if finding.is_recovered else 0
        return msgspec.structs.replace(
            life, n_windows=n_windows, n_bad=0, n_recovered=n_recovered, judged_ms=end_ms, finding=finding
        )
    return msgspec.structs.replace(
        life,
        n_windows=n_windows,
        n_bad=life.n_bad + 1,
        n_recovered=0,
        judged_ms=end_ms,
        severity=graver(life.severity, finding.severity),
        worst_score=_further(life.worst_score, finding.score),
        finding=finding,
        exemplars=_telling(life, exemplars) if exemplars else life.exemplars,
    )


def decide(life: Life, rule: ConditionRule, patience: Patience, at_ms: int) -> Decision:
    """Return what the window that ends at ``at_ms``, already counted in ``life``, means.

    No data is neither bad nor good: while a service is silent, a latency alert goes on and does not recover;
    the silence is an alert of its own.
    """
    if life.fired_at_ms is None:
        return _decide_pending(life, rule, patience)
    if life.n_recovered >= rule.recovery_windows:
        return Decision.RECOVER
    if at_ms - life.judged_ms >= patience.give_up_ms > 0:
        return Decision.GIVE_UP
    if graver(life.severity, life.reported_severity) is not life.reported_severity:
        return Decision.REMIND
    if at_ms - life.reported_ms >= patience.reminder_ms:
        return Decision.REMIND
    return Decision.CONTINUE


def graver(one: Severity, other: Severity) -> Severity:
    """Return the one of two severities that asks for more."""
    return Severity.PAGE if Severity.PAGE in (one, other) else Severity.TICKET


def _telling(life: Life, exemplars: Sequence[Exemplar]) -> list[Exemplar]:
    """Return the exemplars that tell most of a life, with those of one more window."""
    if life.condition == "errors":
        failed = (exemplar for exemplar in exemplars if exemplar.failed)
        return kept([*life.exemplars, *failed], EXEMPLARS)[:EXEMPLARS]
    timed = (exemplar for exemplar in exemplars if exemplar.value_ms is not None)
    return kept([*life.exemplars, *timed], EXEMPLARS)[:EXEMPLARS]


def _decide_pending(life: Life, rule: ConditionRule, patience: Patience) -> Decision:
    if life.n_bad >= rule.pending_windows or (life.n_bad and rule.is_proof(life.finding, life.first_end_ms - life.since_ms)):
        return Decision.FIRE
    if life.n_bad == 0 or life.n_windows >= patience.max_pending_windows:
        return Decision.CANCEL
    return Decision.WAIT


def _further(worst: float | None, score: float | None) -> float | None:
    if worst is None or score is None:
        return score if worst is None else worst
    return score if abs(score) > abs(worst) else worst
