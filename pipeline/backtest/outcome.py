"""One backtest as a whole: its figures, and what each alert and label was worth."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import msgspec

from pipeline.backtest.fired import Fired
from pipeline.backtest.labels import Label, Labels
from pipeline.backtest.marks import Judged, Marks, Worth, mark, share
from pipeline.backtest.record import Life, Record
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.ids import content_id
from pipeline.settings import Settings

ELSEWHERE = ("worker", "connection", "topics")
"""Settings that say where and how a worker runs."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One backtest.

    Attributes
    ----------
    source
        What was read, in words.
    version
        Of this Tocsin.
    config
        Name of the settings that decided; see :func:`config_digest`.
    record
        What it said.
    marks, page_marks
        What its alerts, and its pages alone, are worth; ``None``: there are no labels.

    """

    source: str
    version: str
    config: str
    record: Record
    labels: Labels
    marks: Marks | None
    page_marks: Marks | None

    @property
    def start_ms(self) -> int:
        """Start of the history, UTC epoch ms."""
        return self.record.first_ms or 0

    @property
    def end_ms(self) -> int:
        """End of the history, UTC epoch ms."""
        return self.record.last_ms or 1

    @cached_property
    def judged_by_alert(self) -> dict[str, Judged]:
        """What an alert was worth when it fired, by its id."""
        return {} if self.marks is None else {one.fired.alert_id: one for one in self.marks.judged}

    @cached_property
    def lives_by_service(self) -> dict[str, list[tuple[str, Life]]]:
        """(alert id, life) of each service, in order of time."""
        found: dict[str, list[tuple[str, Life]]] = defaultdict(list)
        for alert_id, life in self.record.lives.items():
            found[life.service_key].append((alert_id, life))
        return {key: sorted(lives, key=lambda one: one[1].fired_at_ms) for key, lives in found.items()}

    @cached_property
    def labels_by_service(self) -> dict[str, list[Label]]:
        """Labels on each service that was seen."""
        found: dict[str, list[Label]] = defaultdict(list)
        for key in self.record.services:
            environment, _, service = key.partition("/")
            found[key] = [label for label in self.labels.labels if label.is_on(environment, service)]
        return found

    @cached_property
    def found(self) -> Mapping[Label, bool]:
        """Whether each label that counts was found."""
        if self.marks is None:
            return {}
        return {label: i in self.marks.delay_ms_by_label for i, label in enumerate(self.marks.labels)}

    def worth(self, alert_id: str) -> Worth | None:
        """Return what an alert was worth; ``None`` without labels."""
        judged = self.judged_by_alert.get(alert_id)
        return None if judged is None else judged.worth

    def n_false(self, service_key: str) -> int:
        """Return how many alerts of a service were false."""
        return sum(self.worth(alert_id) is Worth.FALSE for alert_id, _ in self.lives_by_service.get(service_key, ()))

    def n_missed(self, service_key: str) -> int:
        """Return how many labels of a service were not found."""
        return sum(self.found.get(label) is False for label in self.labels_by_service[service_key])

    @property
    def alerts(self) -> dict[str, Counter[str]]:
        """Alerts that count (those after the scored time began) by condition and severity when they fired."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for fired in self.record.fired:
            if not fired.is_escalation and (self.record.scored_from_ms is None or fired.at_ms > self.record.scored_from_ms):
                found[fired.condition][fired.severity.value] += 1
        return dict(sorted(found.items(), key=lambda item: -sum(item[1].values())))

    def figures(self) -> dict[str, object]:
        """Return the figures as plain data."""
        n_alerts = sum(sum(counts.values()) for counts in self.alerts.values())
        pages = [
            fired
            for fired in self.record.fired
            if fired.severity is Severity.PAGE and (self.record.scored_from_ms is None or fired.at_ms > self.record.scored_from_ms)
        ]
        days = self.record.service_days
        figures: dict[str, object] = {
            "services": len(self.record.services),
            "service_days": round(days, 4),
            "start_ms": self.record.first_ms,
            "end_ms": self.record.last_ms,
            "scored_from_ms": self.record.scored_from_ms,
            "alerts": n_alerts,
            "alerts_per_service_day": share(n_alerts, days),
            "pages": len(pages),
            "pages_after_tickets": sum(fired.is_escalation for fired in pages),
            "pages_per_service_day": share(len(pages), days),
            "by_condition": {condition: dict(counts) for condition, counts in self.alerts.items()},
            "remediation_requests": self.record.published["remediation.requests"],
            "rejected_messages": self.record.published["dead-letters"],
        }
        if self.marks is not None and self.page_marks is not None:
            figures |= {"against_labels": self.marks.figures(), "pages_against_labels": self.page_marks.figures()}
        return figures


def config_digest(settings: Settings) -> str:
    """Return a short name of all settings that decide what is alerted: same name, same decisions."""
    deciding = {field.name: getattr(settings, field.name) for field in fields(settings) if field.name not in ELSEWHERE}
    return content_id(msgspec.json.encode(deciding, order="sorted").decode())[:8]


def judged(record: Record, labels: Labels | None, *, source: str, version: str, config: str) -> Outcome:
    """Return what a run amounts to; with labels, what its alerts are worth."""
    starts = [fired for fired in record.fired if not fired.is_escalation]
    pages = [fired for fired in record.fired if fired.severity is Severity.PAGE]

    def marks(labels: Labels, alerts: list[Fired]) -> Marks:
        return mark(labels, alerts, service_days=record.service_days, until_ms=record.last_ms)

    return Outcome(
        source=source,
        version=version,
        config=config,
        record=record,
        labels=labels or Labels(scored_from_ms=record.scored_from_ms),
        marks=None if labels is None else marks(labels, starts),
        page_marks=None if labels is None else marks(labels, pages),
    )
