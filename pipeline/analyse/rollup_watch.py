"""One service's novelty detectors: rollups in, findings out, learning only from what is no trouble."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from models.alert_policy import AlertMemory, Outcome, step
from models.errors import reading
from models.novelty import Novelty, NoveltyDetector, Usual, one_in
from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.learning import Discipline, LearningParams
from pipeline.analyse.novelty_params import NoveltyParams
from pipeline.analyse.rarity import ABOVE_ALL, BELOW_ALL, DAYS, ONE_IN
from pipeline.analyse.rollup_points import SERIES, RollupPoint, Series
from pipeline.contracts.anomalies import Finding, Judgement, Severity
from pipeline.contracts.partials import FeedbackVerdict

PREFIX = "novelty:"
"""Begins the names of conditions that are judged here."""
_REMEMBERED = 4000
"""Rollups that a detector remembers."""
_ROLLUPS_A_DAY = 288
_CURVE = 24
"""Rollups in the curve that a detector looks at: as long after trouble, the curve still holds it and is not learned."""


class _Watched:
    """One series: its detector, what the two alert policies remember, and its alarm."""

    __slots__ = ("detector", "n_calm", "n_clean", "opened_ms", "page", "ticket")

    def __init__(self) -> None:
        self.detector = NoveltyDetector()
        self.ticket = AlertMemory()
        self.page = AlertMemory()
        self.opened_ms: int | None = None
        self.n_calm = 0
        self.n_clean = _CURVE
        """Rollups since the last trouble, up to the length of the curve."""

    def close(self) -> None:
        """End the alarm, and learn from what is seen now: it is no trouble, or has become the new normal."""
        self.opened_ms, self.n_calm, self.n_clean = None, 0, _CURVE

    def is_learning(self, *, is_troubled: bool) -> bool:
        """Tell whether the newest rollup may be learned, and count it."""
        if is_troubled or self.opened_ms is not None:
            self.n_clean = 0
            return False
        self.n_clean = min(self.n_clean + 1, _CURVE)
        return self.n_clean == _CURVE

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "detector": self.detector.to_state(),
            "ticket": asdict(self.ticket),
            "page": asdict(self.page),
            "alarm": [self.opened_ms, self.n_calm, self.n_clean],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "_Watched":
        """Return what the plain data is of."""
        watched = cls()
        watched.detector.from_state(state["detector"])
        watched.ticket, watched.page = AlertMemory(**state["ticket"]), AlertMemory(**state["page"])
        watched.opened_ms, watched.n_calm, watched.n_clean = state["alarm"]
        return watched


class RollupWatch:
    """The novelty of a service's series, each with a :class:`models.novelty.NoveltyDetector`.

    Notes
    -----
    Memory: at most five series of about 60 kB; time about 30 us a series and rollup.

    """

    def __init__(self, params: NoveltyParams, detection: DetectionParams, learning: LearningParams) -> None:
        self._params = params
        self._detection = detection
        self._ticket, self._page = detection.profiles.ticket.novelty.policy(), detection.profiles.page.novelty.policy()
        self._discipline = Discipline(learning)
        self._series: dict[str, _Watched] = {}
        self.last_end_ms = -1

    @property
    def discipline(self) -> Discipline:
        """What was said of its alarms."""
        return self._discipline

    def wants(self, point: RollupPoint) -> bool:
        """Tell whether a rollup is a new one."""
        return point.end_ms > self.last_end_ms

    def fold(self, point: RollupPoint) -> list[Finding]:
        """Judge a rollup, and learn from it where that is allowed."""
        self.last_end_ms = point.end_ms
        self._discipline.note_changes(point.changes)
        self._hear(point)
        change = self._discipline.open_change(point.start_ms, point.end_ms)
        may_learn = not (point.trouble or change)
        findings = []
        for name, value in point.series.items():
            if name in SERIES:
                findings.append(self._judge(name, value, point.end_ms, may_learn=may_learn))
        return findings

    def _hear(self, point: RollupPoint) -> None:
        for note in self._discipline.heard(point.feedback):
            for name, watched in self._series.items():
                condition = PREFIX + name
                if note.condition != condition and (note.condition or watched.opened_ms is None):
                    continue
                self._discipline.count_feedback(condition, note.verdict)
                if note.verdict is FeedbackVerdict.FALSE_POSITIVE:
                    self._discipline.raise_threshold(condition, point.end_ms)
                if note.verdict is not FeedbackVerdict.EXPECTED:
                    watched.close()

    def _judge(self, name: str, value: float, end_ms: int, *, may_learn: bool) -> Finding:
        series, time_s = SERIES[name], end_ms / 1000
        watched = self._series.get(name)
        if watched is None:
            watched = self._series[name] = _Watched()
        usual, look = watched.detector.usual_at(time_s), watched.detector.look_one({"value": value, "time_s": time_s})
        score = look.novelty.score
        raised = self._discipline.thresholds(end_ms).get(PREFIX + name, 1.0)
        threshold = self._ticket.threshold * (1 + watched.ticket.fatigue_at(self._ticket, time_s)) * raised
        counted = score if score is None else score / raised if self._is_enough(series, value, usual) else 0.0
        is_hot, is_page = self._follow(PREFIX + name, watched, counted, end_ms)
        is_learned = watched.is_learning(is_troubled=not may_learn)
        watched.detector.take_one(look, is_normal=is_learned)
        return _finding(name, series, value, usual, look.novelty, watched, threshold, is_hot=is_hot, is_page=is_page)

    def _is_enough(self, series: Series, value: float, usual: Usual | None) -> bool:
        return usual is not None and series.is_enough(self._detection, series.told(value), series.told(usual.expected))

    def _follow(self, condition: str, watched: _Watched, score: float | None, end_ms: int) -> tuple[bool, bool]:
        """Return whether the series is in alarm and hot now, and whether that is a page; open or close its alarm."""
        time_s = end_ms / 1000
        watched.ticket, outcome = step(self._ticket, watched.ticket, time_s=time_s, score=score)
        watched.page, paged = step(self._page, watched.page, time_s=time_s, score=score)
        is_hot = outcome not in (Outcome.COLD, Outcome.NOT_READY)
        if watched.opened_ms is None and outcome.is_alert:
            watched.opened_ms, watched.n_calm = end_ms, 0
            self._discipline.count_alarm(condition)
        elif watched.opened_ms is not None:
            watched.n_calm = 0 if is_hot else watched.n_calm + 1
            if watched.n_calm >= self._params.calm_rollups:
                watched.opened_ms = None
            elif end_ms - watched.opened_ms >= self._params.max_alarm_s * 1000:
                watched.close()
        is_open = watched.opened_ms is not None
        return is_hot and is_open, is_open and paged not in (Outcome.COLD, Outcome.NOT_READY)

    def to_state(self) -> dict[str, Any]:
        """Return plain, versioned data and bytes."""
        return {
            "kind": "rollup_watch",
            "v": 1,
            "last_end_ms": self.last_end_ms,
            "series": {name: watched.to_state() for name, watched in self._series.items()},
            "discipline": self._discipline.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> "RollupWatch":
        """Take plain data over.

        Raises
        ------
        ModelStateError
            If it is of another version, or incomplete.

        """
        with reading(state, "rollup_watch", 1):
            self.last_end_ms = int(state["last_end_ms"])
            self._discipline.from_state(state["discipline"])
            self._series = {name: _Watched.from_state(held) for name, held in state["series"].items() if name in SERIES}
        return self


def _finding(  # noqa: PLR0917 - a row of a table
    name: str,
    series: Series,
    value: float,
    usual: Usual | None,
    novelty: Novelty,
    watched: _Watched,
    threshold: float,
    *,
    is_hot: bool,
    is_page: bool,
) -> Finding:
    n_seen = watched.detector.n_seen
    base = Finding(
        condition=PREFIX + name,
        signal=series.signal,
        judgement=Judgement.NOT_READY,
        unit=series.unit,
        statistic=series.statistic,
        observed=series.told(value),
        n_seen=n_seen,
    )
    if novelty.score is None or usual is None:
        return base
    return msgspec.structs.replace(
        base,
        judgement=Judgement.ANOMALOUS if is_hot else Judgement.NORMAL,
        severity=Severity.PAGE if is_page else Severity.TICKET,
        expected=series.told(usual.expected),
        lower=series.told(usual.lower),
        upper=series.told(usual.upper),
        score=novelty.score,
        is_recovered=watched.opened_ms is None,
        confidence=_confidence(novelty.score - threshold, n_seen, is_hot=is_hot),
        explanation=_explanation(value, usual, novelty, threshold, n_seen),
    )


def _confidence(excess: float, n_seen: int, *, is_hot: bool) -> float:
    """Return how sure: the rarer, and the more days were seen, the surer; in ``[0, 1)``."""
    rarity = 1 - 0.5 * math.exp(-max(excess, 0.0)) if is_hot else 0.5
    return min(0.999, rarity * n_seen / (n_seen + _ROLLUPS_A_DAY))


def _explanation(value: float, usual: Usual, novelty: Novelty, threshold: float, n_seen: int) -> dict[str, float]:
    """Return the terms in powers of ten, the rarest of them as 1 in so many, and whether nothing like it was ever seen."""
    rarest = max(novelty.terms.values(), default=0.0)
    terms = novelty.terms | {
        "threshold": threshold,
        ONE_IN: float(one_in(min(rarest, 12.0))),
        DAYS: min(n_seen, _REMEMBERED) / _ROLLUPS_A_DAY,
    }
    if value > usual.most:
        terms[ABOVE_ALL] = 1.0
    elif value < usual.least:
        terms[BELOW_ALL] = 1.0
    return terms
