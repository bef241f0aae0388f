"""What a run said, as it goes by: the alerts' lives, how long each service was watched, and every finding for the plots."""

from collections import Counter
from dataclasses import dataclass, field

from pipeline.backtest.fired import Fired
from pipeline.backtest.series import SeriesLog
from pipeline.contracts.alerts import AlertEvent, Transition
from pipeline.contracts.anomalies import Severity, Verdict
from pipeline.contracts.codec import decode
from pipeline.contracts.keys import service_key
from pipeline.contracts.records import OutRecord

MAX_LIVES = 100_000
"""Alerts whose lives are kept; further ones are counted only."""


@dataclass(slots=True, kw_only=True)
class Life:
    """One alert that fired: since when, until when (``None``: the history ends before), and what was said of it."""

    service_key: str
    service: str
    condition: str
    signal: str
    severity: Severity
    since_ms: int
    fired_at_ms: int
    resolved_at_ms: int | None = None
    sentence: str = ""
    resolved: str = ""


@dataclass(slots=True, kw_only=True)
class Watched:
    """One service: from its first window to its last, and how much of that counts, ms."""

    service: str
    first_ms: int
    last_ms: int
    scored_ms: int = 0


@dataclass(slots=True, kw_only=True)
class Record:
    """Listens to a chain.

    Parameters
    ----------
    scored_from_ms
        Windows that end at or before it do not count as watched; ``None``: all do.
    series
        Keeps the findings; ``None``: nobody wants plots.

    """

    scored_from_ms: int | None = None
    series: SeriesLog | None = None
    fired: list[Fired] = field(default_factory=list)
    lives: dict[str, Life] = field(default_factory=dict)
    services: dict[str, Watched] = field(default_factory=dict)
    published: Counter[str] = field(default_factory=Counter)

    def heard(self, output: OutRecord) -> None:
        """Take in one record that a stage published."""
        self.published[output.topic] += 1
        if output.value is None:
            return
        if output.topic == "anomalies":
            self._watched(decode(output.value, Verdict))
        elif output.topic == "alert-events":
            self._lived(decode(output.value, AlertEvent))

    @property
    def service_days(self) -> float:
        """Services times days in which alerts count."""
        return sum(watched.scored_ms for watched in self.services.values()) / 86_400_000

    @property
    def first_ms(self) -> int | None:
        """Start of the first window judged, UTC epoch ms; ``None``: there was none."""
        return min((watched.first_ms for watched in self.services.values()), default=None)

    @property
    def last_ms(self) -> int | None:
        """End of the last window judged, UTC epoch ms."""
        return max((watched.last_ms for watched in self.services.values()), default=None)

    def _watched(self, verdict: Verdict) -> None:
        if verdict.retired:
            return
        key = service_key(verdict.environment, verdict.service)
        start_ms, end_ms = verdict.window_start_ms, verdict.window_end_ms
        watched = self.services.get(key)
        if watched is None:
            watched = self.services[key] = Watched(service=verdict.service, first_ms=start_ms, last_ms=end_ms)
        watched.last_ms = max(watched.last_ms, end_ms)
        if not verdict.rollup and (self.scored_from_ms is None or end_ms > self.scored_from_ms):
            watched.scored_ms += end_ms - start_ms
        if self.series is not None:
            self.series.take(verdict)

    def _lived(self, event: AlertEvent) -> None:
        life = self.lives.get(event.alert_id)
        if life is None:
            if event.fired_at_ms is None or len(self.lives) >= MAX_LIVES:
                return
            life = self.lives[event.alert_id] = Life(
                service_key=service_key(event.environment, event.service),
                service=event.service,
                condition=event.condition,
                signal=event.signal,
                severity=event.severity,
                since_ms=event.since_ms,
                fired_at_ms=event.fired_at_ms,
                sentence=event.sentence,
            )
        if event.severity is Severity.PAGE:
            life.severity = Severity.PAGE
        if event.transition is Transition.RESOLVED:
            life.resolved_at_ms = event.resolved_at_ms
            life.resolved = event.sentence
