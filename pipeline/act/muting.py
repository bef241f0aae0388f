"""Which alert stands for another one: what a service calls was in alarm shortly before it was."""

from collections.abc import Callable, Iterable, Iterator

from pipeline.act.alert_rows import ALERT_ROW, AlertRow
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


RowOf = Callable[[str], AlertRow | None]
"""The row of a name, if there is one."""


def stand_in(event: AlertEvent, firing: Iterable[str], *, row_of: RowOf, mute_ms: int) -> str:
    """Return the dedup key of the alert that stands for this one, and that somebody was told of; empty: none.

    Parameters
    ----------
    event
        A step of an alert that nobody was told of yet.
    firing
        Names of the rows of firing alerts of what its service calls.
    row_of
        What is known of an alert.
    mute_ms
        See :func:`stands_for`.

    """
    for name in firing:
        row = row_of(name)
        if row is None or not stands_for(row.alert.event, event, mute_ms):
            continue
        cause = told_instead(row, row_of)
        if cause is not None and is_as_loud(cause.told, event.severity):
            return cause.alert.event.dedup_key
    return ""


def told_instead(row: AlertRow, row_of: RowOf) -> AlertRow | None:
    """Return the firing alert that people were told of instead of one that is muted; itself, if they were told of it."""
    seen = set[str]()
    found: AlertRow | None = row
    while found is not None and found.told is None:
        name = ALERT_ROW + found.alert.muted_by
        if name in seen:
            return None
        seen.add(name)
        found = row_of(name)
    return found if found is not None and found.alert.event.state is AlertState.FIRING else None


def stands_for(cause: AlertEvent, event: AlertEvent, mute_ms: int) -> bool:
    """Return whether a firing alert of a callee can stand for that of its caller: it began at most ``mute_ms`` before."""
    return cause.state is AlertState.FIRING and 0 <= event.since_ms - cause.since_ms <= mute_ms


def is_as_loud(told: Severity | None, severity: Severity) -> bool:
    """Return whether a person was told of the cause, and no more quietly than of what it would stand for."""
    return told is Severity.PAGE or (told is not None and severity is Severity.TICKET)


def _as_callee(event: AlertEvent) -> str:
    return callee_name(CalleeKind.SERVICE, event.environment, event.service)
