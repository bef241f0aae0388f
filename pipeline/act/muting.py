"""Which alert stands for another one: what a service calls was in alarm shortly before it was."""

from collections.abc import Iterable, Iterator

from pipeline.contracts.alerts import AlertEvent, AlertState
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.topology import CalleeKind, callee_name


class FiringNames:
    """Names of the rows of firing alerts, by what a caller calls their service: as many as rows that are kept."""

    def __init__(self, alerts: Iterable[tuple[str, AlertEvent]]) -> None:
        self._names: dict[str, set[str]] = {}
        for name, event in alerts:
            self.note(name, event)

    def note(self, name: str, event: AlertEvent, *, is_gone: bool = False) -> None:
        """Take an alert's newest event, or that its row is gone."""
        key = _as_callee(event)
        if event.state is AlertState.FIRING and not is_gone:
            self._names.setdefault(key, set()).add(name)
            return
        names = self._names.get(key, set())
        names.discard(name)
        if not names:
            self._names.pop(key, None)

    def of_callees(self, event: AlertEvent) -> Iterator[str]:
        """Yield the rows of firing alerts of the services that the event's service calls, itself left out.

        A database, a queue or a host that has a service's name is not that service. Of a host nobody said what it is: it may be
        a proxy before many services, and a further alert does less harm than a muted one.
        """
        own = _as_callee(event)
        for callee in event.callees:
            if callee != own:
                yield from sorted(self._names.get(callee, ()))


def stands_for(cause: AlertEvent, event: AlertEvent, mute_ms: int) -> bool:
    """Return whether a firing alert of a callee can stand for that of its caller: it began at most ``mute_ms`` before."""
    return cause.state is AlertState.FIRING and 0 <= event.since_ms - cause.since_ms <= mute_ms


def is_as_loud(told: Severity | None, severity: Severity) -> bool:
    """Return whether a person was told of the cause, and no more quietly than of what it would stand for."""
    return told is Severity.PAGE or (told is not None and severity is Severity.TICKET)


def _as_callee(event: AlertEvent) -> str:
    return callee_name(CalleeKind.SERVICE, event.environment, event.service)
