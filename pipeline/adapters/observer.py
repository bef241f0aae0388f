"""Turns what the shells say about themselves into metrics."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from pipeline.adapters.metrics import Telemetry
from pipeline.contracts.alerts import Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.limits import KEYS, LIMIT_BY_REASON, Bound, Limit
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.records import OutRecord
from pipeline.contracts.remediation import Action

ANNOUNCE_EVERY_MS = 3_600_000
"""A bound that is reached again and again is logged once in so long; how often it was reached is counted."""
MAX_METRIC_LENGTH = 128
"""Characters of a foreign metric's name in a label; how many labels there may be is bounded by the sink."""
MAX_LATE_IDS = 10_000
"""Late counts are cumulative by id: so many ids are remembered, to count only what is new."""


class Counts(Protocol):
    """What one read made of its records."""

    @property
    def n_records(self) -> int:
        """Messages."""
        ...

    @property
    def n_readings(self) -> int:
        """Readings that were folded in."""
        ...

    @property
    def n_ignored(self) -> int:
        """Readings that the configuration passes over."""
        ...

    @property
    def n_unmapped_by_metric(self) -> Mapping[str, int]:
        """Of the ignored, those whose metric nobody knows."""
        ...

    @property
    def n_rejected_by_reason(self) -> Mapping[str, int]:
        """Records refused."""
        ...


class _LateHead(msgspec.Struct):
    """What is measured of a late count; of other records on its topic only the kind is looked at."""

    kind: str = ""
    id: str = ""
    readings: int = 0


class _AlertHead(msgspec.Struct):
    transition: Transition
    severity: Severity


class _RequestData(msgspec.Struct):
    action: Action
    dry_run: bool


class _RequestHead(msgspec.Struct):
    data: _RequestData


log = structlog.get_logger(__name__)
_late = msgspec.json.Decoder(_LateHead)
_alert = msgspec.json.Decoder(_AlertHead)
_request = msgspec.json.Decoder(_RequestHead)


class MetricsObserver:
    """The observer of one app's shells."""

    def __init__(self, telemetry: Telemetry, now_ms: Callable[[], int]) -> None:
        self._telemetry = telemetry
        self._now_ms = now_ms
        self._announced_ms: dict[tuple[str, Bound], int] = {}
        self._late: OrderedDict[str, int] = OrderedDict()

    def ingested(self, topic: str, counts: Counts) -> None:
        """Records were read and their readings folded or rejected."""
        self._telemetry.records_in(topic, counts.n_records)
        self._telemetry.readings(topic, counts.n_readings)
        if counts.n_ignored:
            self._telemetry.ignored(topic, counts.n_ignored)
        for metric, n in counts.n_unmapped_by_metric.items():
            self._telemetry.unmapped(topic, metric[:MAX_METRIC_LENGTH], n)
        for reason, n in counts.n_rejected_by_reason.items():
            self._telemetry.rejected(topic, RejectReason(reason), n)
        limits: dict[Bound, int] = {
            LIMIT_BY_REASON[known]: n
            for reason, n in counts.n_rejected_by_reason.items()
            if (known := RejectReason(reason)) in LIMIT_BY_REASON
        }
        self.bounds_reached(topic, limits)

    def bounds_reached(self, topic: str, counts: Mapping[Bound, int]) -> None:
        """Limits were reached, or entries had to go: counted, and logged once per topic, bound and hour."""
        for bound, n in counts.items():
            self._telemetry.bound_reached(bound, n)
            now_ms, before_ms = self._now_ms(), self._announced_ms.get((topic, bound))
            if before_ms is None or now_ms - before_ms >= ANNOUNCE_EVERY_MS:
                self._announced_ms[topic, bound] = now_ms
                what = "a limit is reached" if isinstance(bound, Limit) else "a full state forgets"
                log.warning(what, bound=bound.value, topic=topic, n=n, setting=KEYS[bound])

    def chunk_finished(self, topic: str, partition: int) -> None:  # noqa: ARG002 - one count a topic is enough
        """A chunk was acknowledged and may be committed."""
        self._telemetry.chunk_finished(topic)

    def stage_stepped(self, topic: str, partition: int, n_records: int) -> None:  # noqa: ARG002 - one count a topic
        """Records were folded into a stage."""
        self._telemetry.records_in(topic, n_records)

    def checkpointed(self, topic: str, partition: int, n_rows: int, seconds: float) -> None:  # noqa: ARG002 - the duration says it
        """Rows were written and acknowledged."""
        self._telemetry.checkpoint(topic, seconds * 1000)

    def discontinued(self, topic: str, partition: int, expected: int, got: int) -> None:
        """A batch did not go on from where its reader stands."""
        self._telemetry.offset_jump(topic, partition, expected=expected, delivered=got)

    def published(self, record: OutRecord) -> None:
        """A record was queued."""
        if record.closes_ms is not None:
            self._telemetry.window_published(record.closes_ms, self._now_ms())
            return
        if record.topic == "dead-letters":
            self._telemetry.dead_letter(record.key.rsplit("/", 2)[0])
            return
        if record.value is None:
            return
        if record.topic == "partials":
            self._telemetry.bundle_sent(record.key.rsplit("/", 1)[0], len(record.value))
        elif record.topic == "signals":
            self._late_count(record.partition or 0, _late.decode(record.value))
        elif record.topic == "alert-events":
            alert = _alert.decode(record.value)
            self._telemetry.alert_event(alert.transition, alert.severity)
        elif record.topic == "remediation.requests":
            request = _request.decode(record.value).data
            self._telemetry.remediation_requested(request.action, dry_run=request.dry_run)

    def _late_count(self, partition: int, head: _LateHead) -> None:
        if head.kind == "late":
            before = self._late.pop(head.id, 0)
            self._late[head.id] = head.readings
            if len(self._late) > MAX_LATE_IDS:
                self._late.popitem(last=False)
            self._telemetry.late_readings(partition, max(head.readings - before, 0))
