"""When people are told: decides which alert events are news to them."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.contracts.alerts import AlertEvent, Transition
from pipeline.contracts.anomalies import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """One moment at which people are told: an alert fires, or a firing ticket becomes a page.

    ``at_ms`` is the end of the window that caused it, ``since_ms`` the start of the first bad one.
    """

    environment: str
    service: str
    condition: str
    severity: Severity
    at_ms: int
    since_ms: int
    alert_id: str
    is_escalation: bool
    sentence: str


class News:
    """Remembers how severe each firing alert is. Memory O(firing alerts)."""

    def __init__(self) -> None:
        self._severity: dict[str, Severity] = {}

    def told(self, event: AlertEvent) -> Iterator[Fired]:
        """Yield an alert that fires, and one that becomes a page while it is firing."""
        before = self._severity.get(event.alert_id)
        if event.transition is Transition.FIRED or (
            event.transition is Transition.STILL_FIRING and before is Severity.TICKET and event.severity is Severity.PAGE
        ):
            yield Fired(
                environment=event.environment,
                service=event.service,
                condition=event.condition,
                severity=event.severity,
                at_ms=event.at_ms,
                since_ms=event.since_ms,
                alert_id=event.alert_id,
                is_escalation=event.transition is not Transition.FIRED,
                sentence=event.sentence,
            )
            self._severity[event.alert_id] = event.severity
        elif event.transition is Transition.RESOLVED:
            self._severity.pop(event.alert_id, None)
