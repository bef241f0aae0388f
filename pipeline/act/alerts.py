"""What is known of every alert now, who was told, and which remediation it asked for: alert events in, alerts and requests out."""

import heapq
from collections.abc import Mapping

import msgspec

from pipeline.act.alert_rows import ALERT_ROW, SERVICE_ROW, AlertRow, Head, ServiceRow, read_own
from pipeline.act.cloud_events import request_record
from pipeline.act.delivery import News, delivery, is_old, news
from pipeline.act.muting import FiringNames, stand_in
from pipeline.act.params import ActParams
from pipeline.act.remediation import Asked, Outcome, RemediationParams, is_dry_run, remembered, request_id, rule
from pipeline.contracts.alerts import Alert, AlertEvent, AlertState, Delivery
from pipeline.contracts.bounded_rows import BoundedRows
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.keys import service_key
from pipeline.contracts.limits import Bound, Evicted
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.rows import HEAD, pack
from pipeline.errors import StateError

OLD_NEWS_NOTE = "not considered: it was old news when Tocsin read it"
MUTED_NOTE = "not considered: {} stands for it"


def restore(params: ActParams, remediation: RemediationParams, partition: int, rows: Mapping[str, bytes]) -> "ActStage":
    """Return the stage that wrote ``rows``; without rows, a new one.

    Raises
    ------
    StateError
        If a row cannot be read, or is of another version or of no known kind.

    """
    applied, head = -1, Head()
    alerts: list[tuple[str, int, AlertRow]] = []
    services: list[tuple[str, int, ServiceRow]] = []
    for name, row in rows.items():
        if name == HEAD:
            applied, head = read_own(name, row, Head, partition)
        elif name.startswith(ALERT_ROW):
            alerts.append((name, *read_own(name, row, AlertRow, partition)))
        elif name.startswith(SERVICE_ROW):
            services.append((name, *read_own(name, row, ServiceRow, partition)))
        else:
            raise StateError(f"alerts, partition {partition}: row {name!r} is of no known kind")
    alerts = [row for row in alerts if not _is_gone(row[2], head.stream_ms, params)]
    stage = ActStage(
        params,
        remediation,
        BoundedRows(params.max_alerts, head.alerts_gone_through, alerts),
        BoundedRows(params.max_services, head.services_gone_through, services),
    )
    stage.applied, stage.stream_ms = applied, head.stream_ms
    return stage


class ActStage:
    """Alert events in; current alerts and remediation requests out. One partition of `tocsin.alert-events`.

    A row per dedup key (about 1 KB, at most ``max_alerts``) and one per service that something was asked for
    (at most ``max_services``). Events that come twice are ignored. A re-run after a crash publishes the same
    records, unless so much time went by that the news is old: then a request may follow with the same id and a later
    expiry.

    Attributes
    ----------
    applied
        Offset of the last event folded in.
    stream_ms
        Latest event time seen, -1 at first.
    n_forgotten
        Alerts dropped for want of room before they ended.

    """

    def __init__(
        self,
        params: ActParams,
        remediation: RemediationParams,
        alerts: BoundedRows[AlertRow],
        services: BoundedRows[ServiceRow],
    ) -> None:
        self.applied = -1
        self.stream_ms = -1
        self.n_forgotten = 0
        self._params = params
        self._remediation = remediation
        self._alerts = alerts
        self._services = services
        self._firing = FiringNames((name, row.alert.event) for name, row in alerts.items())
        self._ends = [(row.ended_ms, name) for name, row in alerts.items() if row.ended_ms is not None]
        heapq.heapify(self._ends)

    @property
    def bounds_reached(self) -> Mapping[Bound, int]:
        """Alerts dropped for want of room before they ended."""
        return {Evicted.ALERTS: self.n_forgotten}

    def step(self, record: InRecord, now_ms: int) -> list[OutRecord]:
        """Fold one event in; ``now_ms`` decides only what is old news, and what has expired."""
        self.applied = record.offset
        event = decode(record.value or b"", AlertEvent)
        self.stream_ms = max(self.stream_ms, event.at_ms)
        name = ALERT_ROW + event.dedup_key
        before = self._alerts.get(name)
        outputs: list[OutRecord] = []
        if self._alerts.applied(name) < record.offset and not _is_repeated(before, event):
            row, outputs = self._advance(before, event, record.offset, now_ms)
            outputs += self._keep(name, row, record.offset)
        return outputs + self._tombstones()

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the rows changed since the last call; the head row last, and services before alerts.

        A crash between two rows must not leave an alert that has asked beside a service that does not know.
        """
        changes = self._services.take_changes(encode)
        changes |= self._alerts.take_changes(encode)
        head = Head(
            stream_ms=self.stream_ms,
            alerts_gone_through=self._alerts.gone_through,
            services_gone_through=self._services.gone_through,
        )
        changes[HEAD] = pack(self.applied, encode(head))
        return changes

    def _advance(self, before: AlertRow | None, event: AlertEvent, offset: int, now_ms: int) -> tuple[AlertRow, list[OutRecord]]:
        """Return a dedup key's row after an event, and what to publish."""
        is_same_life = before is not None and before.alert.event.alert_id == event.alert_id
        life = before if before is not None and is_same_life else AlertRow(alert=_unheard(event))
        old_news_ms = self._params.old_news_ms
        decided = news(event, life.told, now_ms=now_ms, old_news_ms=old_news_ms)
        muted_by = ""
        if decided is News.NOTIFY and life.told is None and self._params.mute_ms:
            firing = self._firing.of_callees(event)
            muted_by = stand_in(event, firing, row_of=lambda name: self._before(name, offset), mute_ms=self._params.mute_ms)
        decided = News.MUTE if muted_by else decided
        is_told = decided is News.NOTIFY
        alert = msgspec.structs.replace(
            life.alert,
            version=event.version,
            event=event,
            delivery=delivery(event, decided, life.alert.delivery),
            notified_at_ms=event.at_ms if is_told else life.alert.notified_at_ms,
            muted_by=muted_by or ("" if is_told else life.alert.muted_by),
        )
        is_latest = before is not None and before.alert.event.at_ms == event.at_ms
        row = AlertRow(
            alert=alert,
            event_ids=[*(before.event_ids if before is not None and is_latest else []), event.id],
            told=event.severity if is_told else life.told,
            done=life.done,
        )
        if event.state is not AlertState.FIRING:
            return row, [_alert_record(row)]
        note = MUTED_NOTE.format(muted_by) if muted_by else ""
        if is_old(event, now_ms=now_ms, old_news_ms=old_news_ms):
            note = OLD_NEWS_NOTE
        if note:
            alert = msgspec.structs.replace(alert, remediation_note=alert.remediation_note or note)
            row = msgspec.structs.replace(row, alert=alert)
            return row, [_alert_record(row)]
        return self._remedied(row, offset, now_ms)

    def _before(self, name: str, offset: int) -> AlertRow | None:
        """Return a row as it was before the event at ``offset``: what came after it is not looked at."""
        return self._alerts.get(name) if self._alerts.applied(name) < offset else None

    def _remedied(self, row: AlertRow, offset: int, now_ms: int) -> tuple[AlertRow, list[OutRecord]]:
        """Return the row after remediation was considered, and what to publish."""
        event = row.alert.event
        key = service_key(event.environment, event.service)
        history = self._services.get(SERVICE_ROW + key) or ServiceRow()
        ruling = rule(self._remediation, event, history.asked, row.done, now_ms)
        note = ruling.note or row.alert.remediation_note
        if ruling.outcome is not Outcome.REQUESTED or ruling.policy is None:
            row = msgspec.structs.replace(row, alert=msgspec.structs.replace(row.alert, remediation_note=note))
            return row, [_alert_record(row)]
        action = ruling.policy.action
        asked = Asked(request_id(event, action), action, event.at_ms)
        row = msgspec.structs.replace(
            row,
            alert=msgspec.structs.replace(row.alert, remediation_id=asked.id, remediation_note=note),
            done={**row.done, action: event.severity},
        )
        if asked.id in [one.id for one in history.asked]:  # a re-run: it was published before the service's row was written
            return row, [_alert_record(row)]
        kept = remembered(history.asked, asked, self._remediation.max_per_service_per_hour)
        self._services.put(SERVICE_ROW + key, ServiceRow(asked=kept), offset)
        dry_run = is_dry_run(self._remediation, ruling.policy)
        request = request_record(event, ruling.policy, source=self._params.source, dry_run=dry_run)
        return row, [_alert_record(row), request]

    def _keep(self, name: str, row: AlertRow, offset: int) -> list[OutRecord]:
        """Store a row; return the tombstones of ended alerts that it pushed out."""
        if row.ended_ms is not None:
            heapq.heappush(self._ends, (row.ended_ms, name))
        gone = self._alerts.put(name, row, offset)
        self._firing.note(name, row.alert.event)
        for lost, state in gone:
            self._firing.note(lost, state.alert.event, is_gone=True)
        over = [lost for lost, state in gone if state.ended_ms is not None]
        self.n_forgotten += len(gone) - len(over)
        return [_tombstone(lost) for lost in over]

    def _tombstones(self) -> list[OutRecord]:
        """Drop the alerts that ended long ago, and return their tombstones, the longest ended first."""
        outputs: list[OutRecord] = []
        while self._ends and self._ends[0][0] + self._params.tombstone_after_ms <= self.stream_ms:
            ended_ms, name = heapq.heappop(self._ends)
            row = self._alerts.get(name)
            if row is not None and row.ended_ms == ended_ms:  # else it began again, or has gone
                self._alerts.delete(name)
                outputs.append(_tombstone(name))
        if len(self._ends) > 2 * len(self._alerts) + 64:  # mostly ends of alerts that began again
            self._ends = [(row.ended_ms, name) for name, row in self._alerts.items() if row.ended_ms is not None]
            heapq.heapify(self._ends)
        return outputs


def _unheard(event: AlertEvent) -> Alert:
    return Alert(
        environment=event.environment, service=event.service, version=event.version, delivery=Delivery.PENDING, event=event
    )


def _is_repeated(row: AlertRow | None, event: AlertEvent) -> bool:
    if row is None:
        return False
    last = row.alert.event
    return event.at_ms < last.at_ms or (event.at_ms == last.at_ms and event.id in row.event_ids)


def _is_gone(row: AlertRow, stream_ms: int, params: ActParams) -> bool:
    return row.ended_ms is not None and row.ended_ms + params.tombstone_after_ms <= stream_ms


def _alert_record(row: AlertRow) -> OutRecord:
    return OutRecord(topic="alerts", key=row.alert.event.dedup_key, value=encode(row.alert))


def _tombstone(name: str) -> OutRecord:
    return OutRecord(topic="alerts", key=name.removeprefix(ALERT_ROW), value=None)
