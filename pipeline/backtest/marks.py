"""What alerts are worth against labels: decides which label each of them found, and what recall, precision and delay follow."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median, quantiles

from pipeline.backtest.fired import Fired
from pipeline.backtest.labels import Label, Labels

OWN_MS = 120_000
"""So long after a problem's end an alert on its service still finds it, ms."""
AFFECTED_MS = 900_000
"""So long after it an alert on an affected service is no surprise, ms."""
HARMLESS_MS = 600_000
"""So long after a harmless event's end a false alert is put down to it, ms."""
DAY_MS = 86_400_000


class Worth(StrEnum):
    """What an alert was."""

    OWN = "own"
    """On the service of a label, in its time: it found it."""
    NEUTRAL = "neutral"
    """On a service that the label says it affects."""
    FALSE = "false"
    IGNORED = "ignored"
    """Before the scored time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One alert, what it was, the labels that it found, and the shortest harmless event that may have caused a false one."""

    fired: Fired
    worth: Worth
    found: tuple[Label, ...] = ()
    harmless: Label | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The figures of some alerts against labels.

    Attributes
    ----------
    labels
        What was to be found: those that end after the scored time begins.
    delay_ms_by_label
        By index in ``labels``: from its start to the first alert that found it, ms.
    service_days
        Time in which a false alert would have counted.

    """

    labels: tuple[Label, ...]
    judged: tuple[Judged, ...]
    delay_ms_by_label: Mapping[int, int]
    service_days: float
    tally: Counter[Worth] = field(default_factory=Counter)

    def figures(self) -> dict[str, object]:
        """Return the figures as plain data; what cannot be said is ``None``. Delays in seconds."""
        n_found, n_false = len(self.delay_ms_by_label), self.tally[Worth.FALSE]
        figures: dict[str, object] = {
            "labels": len(self.labels),
            "detected": n_found,
            "recall": share(n_found, len(self.labels)),
            "precision": share(n_found, n_found + n_false),
            "false_alerts": n_false,
            "false_alerts_per_service_day": share(n_false, self.service_days),
            **self._delays(range(len(self.labels))),
            "alerts": {worth.value: self.tally[worth] for worth in Worth},
        }
        for name, is_hard in (("hard", True), ("soft", False)):
            some = [i for i, label in enumerate(self.labels) if label.is_hard is is_hard]
            if some:
                figures[name] = self._of(some)
        return figures | {"kinds": self._kinds()}

    def _kinds(self) -> dict[str, object]:
        by_kind: dict[str, list[int]] = defaultdict(list)
        for i, label in enumerate(self.labels):
            by_kind[label.kind].append(i)
        return {kind: self._of(some) for kind, some in sorted(by_kind.items()) if kind}

    def _of(self, some: Sequence[int]) -> dict[str, object]:
        n_found = sum(i in self.delay_ms_by_label for i in some)
        return {"labels": len(some), "detected": n_found, "recall": share(n_found, len(some)), **self._delays(some)}

    def _delays(self, some: Iterable[int]) -> dict[str, object]:
        delays = sorted(self.delay_ms_by_label[i] / 1000 for i in some if i in self.delay_ms_by_label)
        return {"median_delay_s": round(median(delays), 3) if delays else None, "p90_delay_s": _p90(delays)}


def mark(labels: Labels, alerts: Iterable[Fired], *, service_days: float, until_ms: int | None = None) -> Marks:
    """Return what the alerts are worth.

    An alert on a label's service between its start and 120 s after its end finds it, whatever the condition. One on a
    service that the label affects, up to 900 s after its end, is neutral. Every other one is false.

    Parameters
    ----------
    labels
        What happened.
    alerts
        Each once: an alert that fires, not each of its windows.
    service_days
        Services times days in which alerts count.
    until_ms
        Labels that start later cannot be found and do not count, UTC epoch ms; ``None``: all can.

    """
    from_ms = labels.scored_from_ms
    wanted = tuple(
        label
        for label in labels.labels
        if (from_ms is None or label.end_ms > from_ms) and (until_ms is None or label.start_ms < until_ms)
    )
    delays: dict[int, int] = {}
    judged = []
    for fired in alerts:
        if from_ms is not None and fired.at_ms <= from_ms:
            judged.append(Judged(fired=fired, worth=Worth.IGNORED))
            continue
        own = [i for i, label in enumerate(wanted) if _finds(fired, label)]
        for i in own:
            delay_ms = fired.at_ms - wanted[i].start_ms
            delays[i] = min(delay_ms, delays.get(i, delay_ms))
        if own:
            judged.append(Judged(fired=fired, worth=Worth.OWN, found=tuple(wanted[i] for i in own)))
        elif any(_may_feel(fired, label) for label in wanted):
            judged.append(Judged(fired=fired, worth=Worth.NEUTRAL))
        else:
            judged.append(Judged(fired=fired, worth=Worth.FALSE, harmless=_harmless(fired, labels.harmless)))
    return Marks(
        labels=wanted,
        judged=tuple(judged),
        delay_ms_by_label=delays,
        service_days=service_days,
        tally=Counter(one.worth for one in judged),
    )


def share(part: float, whole: float) -> float | None:
    """Return part / whole, four digits; ``None`` where there is no whole."""
    return round(part / whole, 4) if whole else None


def _finds(fired: Fired, label: Label) -> bool:
    return label.is_on(fired.environment, fired.service) and label.start_ms <= fired.at_ms <= label.end_ms + OWN_MS


def _may_feel(fired: Fired, label: Label) -> bool:
    if label.affected is None:
        return False
    is_felt = label.is_on(fired.environment, fired.service) or label.touches(fired.environment, fired.service)
    return is_felt and label.start_ms <= fired.at_ms <= label.end_ms + AFFECTED_MS


def _harmless(fired: Fired, events: Iterable[Label]) -> Label | None:
    near = [
        event
        for event in events
        if event.service in (fired.service, "*") and event.start_ms <= fired.at_ms <= event.end_ms + HARMLESS_MS
    ]
    return min(near, key=lambda event: event.end_ms - event.start_ms, default=None)


def _p90(values: Sequence[float]) -> float | None:
    """Return the 90th percentile, interpolated between the values."""
    if len(values) < 2:
        return values[0] if values else None
    return round(quantiles(values, n=10, method="inclusive")[-1], 3)
